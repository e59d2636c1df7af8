//! Normalisation over rows (layer, RMS), groups and channels (batch), with fused backward passes. Means and variances
//! are taken in two passes, sums in 32 lanes that are folded in a fixed order.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use super::math::Real;
use crate::error::Result;
use crate::memory::List;
use crate::parallel::parallel_for;

/// A trait with SIMD-dispatched versions, for f32 and f64, of generic loops of the same names; `T` is the type.
macro_rules! per_type {
    ($(#[$m:meta])* $tr:ident { $( fn $name:ident ( $($a:ident : $ty:ty),* $(,)? ) $(-> $r:ty)?; )* }) => {
        $(#[$m])*
        pub trait $tr<T> { $( #[doc(hidden)] unsafe fn $name($($a: $ty),*) $(-> $r)?; )* }
        $crate::kernels::norm::per_type!(@impl single f32 $tr { $( fn $name($($a: $ty),*) $(-> $r)?; )* });
        $crate::kernels::norm::per_type!(@impl double f64 $tr { $( fn $name($($a: $ty),*) $(-> $r)?; )* });
    };
    (@impl $module:ident $t:ident $tr:ident { $( fn $name:ident ( $($a:ident : $ty:ty),* ) $(-> $r:ty)?; )* }) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            type T = $t;
            $( $crate::simd_fn! { unsafe fn $name($($a: $ty),*) $(-> $r)? { super::$name::<T>($($a),*) } } )*
            impl $tr<T> for T { $( unsafe fn $name($($a: $ty),*) $(-> $r)? { $name($($a),*) } )* }
        }
    };
}
pub(crate) use per_type;

const LANES: usize = 32;

/// Folds lanes pairwise.
#[inline(always)]
pub(crate) fn fold<T: Real>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for k in 0..width {
            lanes[k] += lanes[k + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// `sum of f(i)` for `i < n`, in lanes.
#[inline(always)]
pub(crate) unsafe fn sum_of<T: Real>(n: usize, f: impl Fn(usize) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let whole = n / LANES * LANES;
    let mut i = 0;
    while i < whole {
        for (k, lane) in lanes.iter_mut().enumerate() {
            *lane += f(i + k);
        }
        i += LANES;
    }
    for (k, lane) in lanes.iter_mut().enumerate().take(n - whole) {
        *lane += f(whole + k);
    }
    fold(lanes)
}

#[inline(always)]
unsafe fn sum<T: Real>(x: *const T, n: usize) -> T {
    sum_of(n, |i| *x.add(i))
}

#[inline(always)]
unsafe fn squares<T: Real>(x: *const T, n: usize, mean: T) -> T {
    sum_of(n, |i| {
        let d = *x.add(i) - mean;
        d * d
    })
}

#[inline(always)]
unsafe fn product<T: Real>(g: *const T, x: *const T, n: usize, mean: T) -> T {
    sum_of(n, |i| *g.add(i) * (*x.add(i) - mean))
}

#[inline(always)]
unsafe fn affine<T: Real>(x: *const T, n: usize, a: T, b: T, out: *mut T) {
    for i in 0..n {
        *out.add(i) = *x.add(i) * a + b;
    }
}

/// `a * g + b * x + c`.
#[inline(always)]
unsafe fn combine<T: Real>(g: *const T, x: *const T, n: usize, a: T, b: T, c: T, out: *mut T) {
    for i in 0..n {
        *out.add(i) = *g.add(i) * a + (*x.add(i) * b + c);
    }
}

/// One row normalised, scaled by `w` and shifted by `b` element by element (either may be null).
#[inline(always)]
unsafe fn row<T: Real>(x: *const T, n: usize, eps: f64, centered: bool, w: *const T, b: *const T, out: *mut T) {
    let (mean, rstd) = moments(x, n, eps, centered);
    match (w.is_null(), b.is_null()) {
        (false, false) => {
            for i in 0..n {
                *out.add(i) = (*x.add(i) - mean) * rstd * *w.add(i) + *b.add(i);
            }
        }
        (false, true) => {
            for i in 0..n {
                *out.add(i) = (*x.add(i) - mean) * rstd * *w.add(i);
            }
        }
        _ => {
            for i in 0..n {
                let y = (*x.add(i) - mean) * rstd;
                *out.add(i) = if b.is_null() { y } else { y + *b.add(i) };
            }
        }
    }
}

/// Mean (0 unless `centered`) and one over the standard deviation.
#[inline(always)]
unsafe fn moments<T: Real>(x: *const T, n: usize, eps: f64, centered: bool) -> (T, T) {
    let size = T::of(n as f64);
    let mean = if centered { sum(x, n) / size } else { T::ZERO };
    let var = squares(x, n, mean) / size;
    if unsafe_square(var, eps) {
        let [mean, var, top] = scaled_moments(&|i| (*x.add(i)).as_f64(), n, centered);
        return (T::of(mean), T::of(1.0 / (var + eps / top / top).sqrt() / top));
    }
    (mean, T::ONE / (var + T::of(eps)).sqrt())
}

/// True if squares have left the range of the type, or may have come below it where that matters beside `eps`.
#[inline(always)]
fn unsafe_square<T: Real>(var: T, eps: f64) -> bool {
    !var.is_finite() | ((var.as_f64() < 1e-30) & (eps < 1e-24))
}

/// Mean (0 unless `centered`), variance in units of the square of the largest number, and that number.
#[cold]
#[inline(never)]
unsafe fn scaled_moments(x: &dyn Fn(usize) -> f64, n: usize, centered: bool) -> [f64; 3] {
    let top = (0..n).map(x).fold(0.0, |top: f64, v| if v.abs() > top || v.is_nan() { v.abs() } else { top });
    let top = if top == 0.0 { 1.0 } else { top };
    let size = n as f64;
    let mean = if centered { (0..n).map(|i| x(i) / top).sum::<f64>() / size } else { 0.0 };
    let var = (0..n).map(|i| (x(i) / top - mean).powi(2)).sum::<f64>() / size;
    [mean * top, var, top]
}

/// Backward of [`row`]: writes `gx` unless it is null, adds to `gw` and `gb` unless they are.
#[inline(always)]
unsafe fn row_grad<T: Real>(
    g: *const T,
    x: *const T,
    n: usize,
    eps: f64,
    centered: bool,
    w: *const T,
    gx: *mut T,
    gw: *mut T,
    gb: *mut T,
) {
    let (mean, rstd) = moments(x, n, eps, centered);
    if !gw.is_null() {
        for i in 0..n {
            *gw.add(i) += *g.add(i) * ((*x.add(i) - mean) * rstd);
            *gb.add(i) += *g.add(i);
        }
    }
    if gx.is_null() {
        return;
    }
    let size = T::of(n as f64);
    if w.is_null() {
        let dot = product(g, x, n, mean) * rstd / size;
        let all = if centered { sum(g, n) / size } else { T::ZERO };
        for i in 0..n {
            *gx.add(i) = rstd * (*g.add(i) - all - (*x.add(i) - mean) * rstd * dot);
        }
    } else {
        let dot = sum_of(n, |i| *g.add(i) * *w.add(i) * (*x.add(i) - mean)) * rstd / size;
        let all = if centered { sum_of(n, |i| *g.add(i) * *w.add(i)) / size } else { T::ZERO };
        for i in 0..n {
            *gx.add(i) = rstd * (*g.add(i) * *w.add(i) - all - (*x.add(i) - mean) * rstd * dot);
        }
    }
}

per_type! {
    /// The loops over contiguous elements.
    Loops {
        fn sum(x: *const T, n: usize) -> T;
        fn squares(x: *const T, n: usize, mean: T) -> T;
        fn product(g: *const T, x: *const T, n: usize, mean: T) -> T;
        fn affine(x: *const T, n: usize, a: T, b: T, out: *mut T);
        fn combine(g: *const T, x: *const T, n: usize, a: T, b: T, c: T, out: *mut T);
        fn row(x: *const T, n: usize, eps: f64, centered: bool, w: *const T, b: *const T, out: *mut T);
        fn row_grad(
            g: *const T, x: *const T, n: usize, eps: f64, centered: bool, w: *const T, gx: *mut T, gw: *mut T, gb: *mut T,
        );
    }
}

fn grain(size: usize) -> usize {
    (GRAIN / 4).div_ceil(size.max(1))
}

/// Element `i`, or `other` if there are none.
unsafe fn at<T: Real>(p: *const T, i: usize, other: T) -> T {
    if p.is_null() {
        other
    } else {
        *p.add(i)
    }
}

/// Each of `rows` rows of `n` elements normalised; without `centered`, by the root mean square alone.
pub unsafe fn rows<T: Real + Loops<T>>(
    rows: usize,
    n: usize,
    x: *const T,
    w: *const T,
    b: *const T,
    eps: f64,
    centered: bool,
    out: *mut T,
) {
    let (x, w, b, out) = (Shared(x as *mut T), Shared(w as *mut T), Shared(b as *mut T), Shared(out));
    parallel_for(rows, grain(n), &|r| {
        for i in r {
            T::row(x.get().add(i * n), n, eps, centered, w.get(), b.get(), out.get().add(i * n));
        }
    });
}

/// Backward of [`rows`]. `gw` and `gb` are both null, or both are written.
pub unsafe fn rows_grad<T: Real + Loops<T>>(
    rows: usize,
    n: usize,
    g: *const T,
    x: *const T,
    w: *const T,
    eps: f64,
    centered: bool,
    gx: *mut T,
    gw: *mut T,
    gb: *mut T,
) -> Result<()> {
    // A fixed number of row blocks, each with sums of its own.
    let block = rows.div_ceil(16).max(16);
    let blocks = rows.div_ceil(block);
    let affine = !gw.is_null();
    let mut parts = List::filled(if affine { blocks * 2 * n } else { 0 }, T::ZERO)?;
    let p = Shared(parts.as_mut_ptr());
    let (g, x, w, gx) = (Shared(g as *mut T), Shared(x as *mut T), Shared(w as *mut T), Shared(gx));
    parallel_for(blocks, grain(n * block), &|r| {
        for j in r {
            let (gw, gb) = if affine {
                (p.get().add(j * 2 * n), p.get().add((j * 2 + 1) * n))
            } else {
                (std::ptr::null_mut(), std::ptr::null_mut())
            };
            for i in j * block..((j + 1) * block).min(rows) {
                let at = i * n;
                let gx = if gx.get().is_null() { gx.get() } else { gx.get().add(at) };
                T::row_grad(g.get().add(at), x.get().add(at), n, eps, centered, w.get(), gx, gw, gb);
            }
        }
    });
    if affine {
        for (k, to) in [gw, gb].into_iter().enumerate() {
            let to = std::slice::from_raw_parts_mut(to, n);
            to.fill(T::ZERO);
            for j in 0..blocks {
                to.iter_mut().zip(&parts[(j * 2 + k) * n..]).for_each(|(t, &v)| *t += v);
            }
        }
    }
    Ok(())
}

/// Sizes of a row-major `[batch, channels, inner]` block.
#[derive(Clone, Copy)]
pub struct Channels {
    /// Samples.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Elements of one channel of one sample.
    pub inner: usize,
}

impl Channels {
    /// [`scaled_moments`] of channel `c`.
    unsafe fn scaled_moments<T: Real>(self, x: *const T, c: usize) -> [f64; 3] {
        let place = |i: usize| (i / self.inner * self.channels + c) * self.inner + i % self.inner;
        scaled_moments(&|i| (*x.add(place(i))).as_f64(), self.batch * self.inner, true)
    }

    /// One over the standard deviation of channel `c`, whose variance is `var`; with `own` that of `x` itself, so that
    /// squares out of range can be taken again in better units.
    unsafe fn rstd<T: Real>(self, x: *const T, c: usize, var: T, eps: f64, own: bool) -> T {
        if own && unsafe_square(var, eps) {
            let [_, var, top] = self.scaled_moments(x, c);
            return T::of(1.0 / (var + eps / top / top).sqrt() / top);
        }
        T::ONE / (var + T::of(eps)).sqrt()
    }

    /// Calls `f` for each sample with the place of channel `c`.
    fn each(self, c: usize, mut f: impl FnMut(usize)) {
        (0..self.batch).for_each(|n| f((n * self.channels + c) * self.inner));
    }
}

/// Mean and (biased) variance of each channel.
pub unsafe fn channel_stats<T: Real + Loops<T>>(s: Channels, x: *const T, mean: *mut T, var: *mut T) {
    let (x, mean, var) = (Shared(x as *mut T), Shared(mean), Shared(var));
    let count = (s.batch * s.inner) as f64;
    parallel_for(s.channels, grain(s.batch * s.inner), &|r| {
        for c in r {
            let mut total = 0.0;
            s.each(c, |at| total += T::sum(x.get().add(at), s.inner).as_f64());
            let m = T::of(total / count);
            let mut total = 0.0;
            s.each(c, |at| total += T::squares(x.get().add(at), s.inner, m).as_f64());
            (*mean.get().add(c), *var.get().add(c)) = if total.is_finite() {
                (m, T::of(total / count))
            } else {
                let [mean, var, top] = s.scaled_moments(x.get(), c);
                (T::of(mean), T::of(var * top * top))
            };
        }
    });
}

/// `(x - mean) / sqrt(var + eps) * w + b` per channel; with `own`, mean and variance are those of `x` itself.
pub unsafe fn channel_apply<T: Real + Loops<T>>(
    s: Channels,
    x: *const T,
    mean: *const T,
    var: *const T,
    w: *const T,
    b: *const T,
    eps: f64,
    own: bool,
    out: *mut T,
) -> Result<()> {
    // Rarely needed, and not for each sample.
    let mut rstds = List::new();
    if own && (0..s.channels).any(|c| unsafe_square(*var.add(c), eps)) {
        rstds = List::collect((0..s.channels).map(|c| s.rstd(x, c, *var.add(c), eps, true)))?;
    }
    let (x, mean, var) = (Shared(x as *mut T), Shared(mean as *mut T), Shared(var as *mut T));
    let (w, b, out) = (Shared(w as *mut T), Shared(b as *mut T), Shared(out));
    parallel_for(s.batch * s.channels, grain(s.inner), &|r| {
        for i in r {
            let c = i % s.channels;
            let rstd = match rstds.get(c) {
                Some(&rstd) => rstd,
                None => T::ONE / (*var.get().add(c) + T::of(eps)).sqrt(),
            };
            let a = at(w.get(), c, T::ONE) * rstd;
            let shift = at(b.get(), c, T::ZERO) - *mean.get().add(c) * a;
            T::affine(x.get().add(i * s.inner), s.inner, a, shift, out.get().add(i * s.inner));
        }
    });
    Ok(())
}

/// Backward of [`channel_apply`]; with `training`, mean and variance are those of `x` itself.
pub unsafe fn channel_grad<T: Real + Loops<T>>(
    s: Channels,
    g: *const T,
    x: *const T,
    mean: *const T,
    var: *const T,
    w: *const T,
    eps: f64,
    training: bool,
    gx: *mut T,
    gw: *mut T,
    gb: *mut T,
) {
    let (g, x, mean, var) = (Shared(g as *mut T), Shared(x as *mut T), Shared(mean as *mut T), Shared(var as *mut T));
    let (w, gx, gw, gb) = (Shared(w as *mut T), Shared(gx), Shared(gw), Shared(gb));
    let count = (s.batch * s.inner) as f64;
    parallel_for(s.channels, grain(s.batch * s.inner), &|r| {
        for c in r {
            let m = *mean.get().add(c);
            let rstd = s.rstd(x.get(), c, *var.get().add(c), eps, training);
            let (mut all, mut dot) = (0.0, 0.0);
            s.each(c, |at| {
                all += T::sum(g.get().add(at), s.inner).as_f64();
                dot += T::product(g.get().add(at), x.get().add(at), s.inner, m).as_f64();
            });
            *gb.get().add(c) = T::of(all);
            *gw.get().add(c) = T::of(dot * rstd.as_f64());
            let weight = at(w.get(), c, T::ONE);
            let a = weight * rstd;
            let mean_of = |sum: f64| T::of(weight.as_f64() * sum / count);
            let (all, dot) = (mean_of(all), mean_of(dot * rstd.as_f64()));
            s.each(c, |at| {
                let (g, x, gx) = (g.get().add(at), x.get().add(at), gx.get().add(at));
                if training {
                    centred_grad(g, x, s.inner, a, rstd, m, all, dot, gx);
                } else {
                    T::affine(g, s.inner, a, T::ZERO, gx);
                }
            });
        }
    });
}

/// `a * g - rstd * (all + (x - mean) * rstd * dot)`, as one linear form where its coefficients are numbers of the type.
unsafe fn centred_grad<T: Real + Loops<T>>(
    g: *const T,
    x: *const T,
    n: usize,
    a: T,
    rstd: T,
    mean: T,
    all: T,
    dot: T,
    gx: *mut T,
) {
    if (T::TINY..=T::MAX).contains(&(rstd * rstd)) {
        let b = -(dot * rstd * rstd);
        return T::combine(g, x, n, a, b, -(all * rstd) - b * mean, gx);
    }
    for i in 0..n {
        *gx.add(i) = a * *g.add(i) - rstd * (all + (*x.add(i) - mean) * rstd * dot);
    }
}

/// Mean and one over the standard deviation of a group: `n` contiguous elements.
unsafe fn group_moments<T: Real + Loops<T>>(x: *const T, n: usize, eps: f64) -> (T, T) {
    let size = T::of(n as f64);
    let mean = T::sum(x, n) / size;
    let var = T::squares(x, n, mean) / size;
    if unsafe_square(var, eps) {
        let [mean, var, top] = scaled_moments(&|i| (*x.add(i)).as_f64(), n, true);
        return (T::of(mean), T::of(1.0 / (var + eps / top / top).sqrt() / top));
    }
    (mean, T::ONE / (var + T::of(eps)).sqrt())
}

/// Each group of channels of each sample normalised, then scaled and shifted per channel.
pub unsafe fn groups<T: Real + Loops<T>>(
    s: Channels,
    groups: usize,
    x: *const T,
    w: *const T,
    b: *const T,
    eps: f64,
    out: *mut T,
) {
    let per = s.channels / groups;
    let n = per * s.inner;
    if n == 0 {
        return;
    }
    let (x, w, b, out) = (Shared(x as *mut T), Shared(w as *mut T), Shared(b as *mut T), Shared(out));
    parallel_for(s.batch * groups, grain(n), &|r| {
        for i in r {
            let (mean, rstd) = group_moments(x.get().add(i * n), n, eps);
            for k in 0..per {
                let c = i % groups * per + k;
                let a = at(w.get(), c, T::ONE) * rstd;
                let place = i * n + k * s.inner;
                T::affine(x.get().add(place), s.inner, a, at(b.get(), c, T::ZERO) - mean * a, out.get().add(place));
            }
        }
    });
}

/// Backward of [`groups`].
pub unsafe fn groups_grad<T: Real + Loops<T>>(
    s: Channels,
    groups: usize,
    g: *const T,
    x: *const T,
    w: *const T,
    eps: f64,
    gx: *mut T,
    gw: *mut T,
    gb: *mut T,
) -> Result<()> {
    let per = s.channels / groups;
    let n = per * s.inner;
    if s.batch * n == 0 {
        for c in 0..s.channels {
            (*gw.add(c), *gb.add(c)) = (T::ZERO, T::ZERO);
        }
        return Ok(());
    }
    // Per sample and channel: the sums that become the gradients of weight and bias.
    let mut sums = List::filled(s.batch * s.channels, [0.0f64; 2])?;
    let p = Shared(sums.as_mut_ptr());
    let (g, x, w, gx) = (Shared(g as *mut T), Shared(x as *mut T), Shared(w as *mut T), Shared(gx));
    parallel_for(s.batch * groups, grain(n), &|r| {
        for i in r {
            let (mean, rstd) = group_moments(x.get().add(i * n), n, eps);
            let (mut all, mut dot) = (0.0, 0.0);
            for k in 0..per {
                let place = i * n + k * s.inner;
                let weight = at(w.get(), i % groups * per + k, T::ONE).as_f64();
                let sum = T::sum(g.get().add(place), s.inner).as_f64();
                let product =
                    T::product(g.get().add(place), x.get().add(place), s.inner, mean).as_f64() * rstd.as_f64();
                *p.get().add(i * per + k) = [product, sum];
                all += weight * sum;
                dot += weight * product;
            }
            let (all, dot) = (T::of(all / n as f64), T::of(dot / n as f64));
            for k in 0..per {
                let place = i * n + k * s.inner;
                let a = at(w.get(), i % groups * per + k, T::ONE) * rstd;
                let (from, to) = (x.get().add(place), gx.get().add(place));
                centred_grad(g.get().add(place), from, s.inner, a, rstd, mean, all, dot, to);
            }
        }
    });
    for c in 0..s.channels {
        let total = |k: usize| (0..s.batch).map(|i| sums[i * s.channels + c][k]).fold(0.0, |a, b| a + b);
        *gw.add(c) = T::of(total(0));
        *gb.add(c) = T::of(total(1));
    }
    Ok(())
}
