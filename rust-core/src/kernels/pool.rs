//! Pooling over the last dimensions, up to three, of row-major planes, window by window. Each output row first reduces the rows
//! of its windows element by element, which vectorises, and then the columns of what came out.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use crate::dtype::Acc;
use crate::error::Result;
use crate::memory::List;
use crate::parallel::{parallel_for, try_parallel_for};

/// The windows along one dimension: for each output the first element and the number of elements, `step` apart.
pub struct Windows {
    /// Number of outputs.
    pub count: usize,
    /// First element and count, per output; none where there are no planes to look at.
    pub at: List<(usize, usize)>,
    /// Distance of the elements of a window.
    pub step: usize,
    /// What an average divides by along this dimension, per output.
    pub divisor: List<f64>,
}

impl Windows {
    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.count
    }
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A type that pools run in.
pub trait Num: Acc + PartialOrd {
    /// What a window without elements has as its largest.
    const LOWEST: Self;
    /// Quotient; whole numbers are not divided by 0.
    fn over(self, other: Self) -> Self;
    #[doc(hidden)]
    unsafe fn max(
        x: *const Self,
        w: usize,
        windows: [&Windows; 3],
        out: *mut Self,
        index: *mut i64,
        tmp: &mut Columns<Self>,
    );
    #[doc(hidden)]
    unsafe fn average(x: *const Self, w: usize, windows: [&Windows; 3], out: *mut Self, tmp: &mut Columns<Self>);
    #[doc(hidden)]
    unsafe fn average_grad(g: *const Self, w: usize, windows: [&Windows; 3], gx: *mut Self, tmp: &mut Columns<Self>);
}

/// What each column of the present output row has so far.
#[doc(hidden)]
pub struct Columns<T> {
    best: List<T>,
    row: List<u32>,
    /// Rows of a slice of the plane.
    high: usize,
    /// Elements of the plane.
    size: usize,
}

impl<T: Num> Columns<T> {
    fn new([d, h, w]: [usize; 3]) -> Result<Self> {
        Ok(Columns { best: List::filled(w, T::ZERO)?, row: List::filled(w, 0)?, high: h, size: d * h * w })
    }
}

/// True if `v` takes the place of `best`: it is larger, or not a number.
#[inline(always)]
#[allow(clippy::eq_op)]
fn beats<T: PartialOrd>(v: T, best: T) -> bool {
    (v > best) | (v != v)
}

/// True if `v` at place `p` takes the place of `best` at place `q`: in row-major order the first of equal numbers counts,
/// and the last one that is not a number.
#[inline(always)]
#[allow(clippy::eq_op)]
fn later<T: PartialOrd, P: PartialOrd>(v: T, p: P, best: T, q: P) -> bool {
    ((v != v) & ((best == best) | (p > q))) | (v > best) | ((v == best) & (p < q))
}

#[inline(always)]
unsafe fn max<T: Num>(
    x: *const T,
    w: usize,
    windows: [&Windows; 3],
    out: *mut T,
    index: *mut i64,
    tmp: &mut Columns<T>,
) {
    let [deep, high, cols] = windows;
    let (best, row) = (&mut tmp.best[..w], &mut tmp.row[..w]);
    let (mut out, mut index) = (out, index);
    // Pairs of columns, the common case, need no loops over windows.
    let width = w as u32;
    let pairs = cols.step == 1 && tmp.size < 1 << 32 && cols.at.iter().enumerate().all(|(o, &c)| c == (2 * o, 2));
    let last = tmp.size / w.max(1) - 1;
    for (&(near, slices), &(first, lines)) in deep.at.iter().flat_map(|z| high.at.iter().map(move |y| (z, y))) {
        best.fill(T::LOWEST);
        row.fill((near * tmp.high + first).min(last) as u32);
        for r in 0..slices * lines {
            // Rows of all slices are numbered through.
            let at = (near + r / lines * deep.step) * tmp.high + first + r % lines * high.step;
            let line = std::slice::from_raw_parts(x.add(at * w), w);
            if index.is_null() {
                for (b, &v) in best.iter_mut().zip(line) {
                    *b = if beats(v, *b) { v } else { *b };
                }
            } else {
                for i in 0..w {
                    let better = beats(line[i], best[i]);
                    best[i] = if better { line[i] } else { best[i] };
                    row[i] = if better { at as u32 } else { row[i] };
                }
            }
        }
        if pairs {
            for o in 0..cols.len() {
                let (a, b) = (*best.get_unchecked(2 * o), *best.get_unchecked(2 * o + 1));
                *out.add(o) = if beats(b, a) { b } else { a };
            }
            if !index.is_null() {
                for o in 0..cols.len() {
                    let (a, b) = (*best.get_unchecked(2 * o), *best.get_unchecked(2 * o + 1));
                    let (i, j) = (*row.get_unchecked(2 * o), *row.get_unchecked(2 * o + 1));
                    let second = later(b, j * width + 1, a, i * width);
                    let r = if second { j } else { i };
                    *index.add(o) = (r * width + 2 * o as u32 + second as u32) as i64;
                }
            }
        }
        for (o, &(first, count)) in cols.at.iter().enumerate().take(if pairs { 0 } else { usize::MAX }) {
            let mut top = T::LOWEST;
            if index.is_null() {
                for c in 0..count {
                    let v = *best.get_unchecked(first + c * cols.step);
                    top = if beats(v, top) { v } else { top };
                }
            } else {
                let mut place = (row.get(first).copied().unwrap_or(0) as usize * w + first.min(w - 1)) as u64;
                for c in 0..count {
                    let i = first + c * cols.step;
                    let (v, p) = (*best.get_unchecked(i), *row.get_unchecked(i) as u64 * w as u64 + i as u64);
                    let better = later(v, p, top, place);
                    top = if better { v } else { top };
                    place = if better { p } else { place };
                }
                *index.add(o) = if count == 0 { -1 } else { place as i64 };
            }
            *out.add(o) = top;
        }
        out = out.add(cols.len());
        if !index.is_null() {
            if slices * lines == 0 {
                std::slice::from_raw_parts_mut(index, cols.len()).fill(-1);
            }
            index = index.add(cols.len());
        }
    }
}

/// What to divide by if there is one window, the whole plane.
#[inline(always)]
fn whole(w: usize, high: usize, size: usize, windows: [&Windows; 3]) -> Option<f64> {
    let one = [size / high / w, high, w].iter().zip(windows).all(|(&n, v)| v.at[..] == [(0, n)]);
    one.then(|| windows.iter().map(|v| v.divisor[0]).product())
}

/// Sum of contiguous elements, in lanes.
#[inline(always)]
unsafe fn sum<T: Num>(x: *const T, n: usize) -> T {
    let mut lanes = [T::ZERO; 16];
    let whole = n / 16 * 16;
    let mut i = 0;
    while i < whole {
        for (k, lane) in lanes.iter_mut().enumerate() {
            *lane = lane.plus(*x.add(i + k));
        }
        i += 16;
    }
    let rest = (whole..n).fold(T::ZERO, |s, i| s.plus(*x.add(i)));
    lanes.into_iter().fold(rest, |s, v| s.plus(v))
}

#[inline(always)]
unsafe fn average<T: Num>(x: *const T, w: usize, windows: [&Windows; 3], out: *mut T, tmp: &mut Columns<T>) {
    if let Some(all) = whole(w, tmp.high, tmp.size, windows) {
        *out = sum(x, tmp.size).over(T::from_f64(all));
        return;
    }
    let [deep, high, cols] = windows;
    let sum = &mut tmp.best[..w];
    for r in 0..deep.len() * high.len() {
        let ((near, slices), (first, lines)) = (deep.at[r / high.len()], high.at[r % high.len()]);
        sum.fill(T::ZERO);
        for i in 0..slices * lines {
            let at = (near + i / lines) * tmp.high + first + i % lines;
            let line = std::slice::from_raw_parts(x.add(at * w), w);
            for (s, &v) in sum.iter_mut().zip(line) {
                *s = s.plus(v);
            }
        }
        let tall = T::from_f64(deep.divisor[r / high.len()] * high.divisor[r % high.len()]);
        for (o, &(first, count)) in cols.at.iter().enumerate() {
            let mut total = T::ZERO;
            for i in 0..count {
                total = total.plus(*sum.get_unchecked(first + i));
            }
            *out.add(r * cols.len() + o) = total.over(tall.times(T::from_f64(*cols.divisor.get_unchecked(o))));
        }
    }
}

#[inline(always)]
unsafe fn average_grad<T: Num>(g: *const T, w: usize, windows: [&Windows; 3], gx: *mut T, tmp: &mut Columns<T>) {
    if let Some(all) = whole(w, tmp.high, tmp.size, windows) {
        std::slice::from_raw_parts_mut(gx, tmp.size).fill((*g).over(T::from_f64(all)));
        return;
    }
    let [deep, high, cols] = windows;
    let sum = &mut tmp.best[..w];
    for r in 0..deep.len() * high.len() {
        let ((near, slices), (first, lines)) = (deep.at[r / high.len()], high.at[r % high.len()]);
        sum.fill(T::ZERO);
        let tall = T::from_f64(deep.divisor[r / high.len()] * high.divisor[r % high.len()]);
        for (o, &(first, count)) in cols.at.iter().enumerate() {
            let v = (*g.add(r * cols.len() + o)).over(tall.times(T::from_f64(*cols.divisor.get_unchecked(o))));
            for i in 0..count {
                let s = sum.get_unchecked_mut(first + i);
                *s = s.plus(v);
            }
        }
        for i in 0..slices * lines {
            let at = (near + i / lines) * tmp.high + first + i % lines;
            let line = std::slice::from_raw_parts_mut(gx.add(at * w), w);
            for (x, &s) in line.iter_mut().zip(sum.iter()) {
                *x = x.plus(s);
            }
        }
    }
}

macro_rules! num {
    ($t:ty, $m:ident, $lowest:expr, $over:expr) => {
        mod $m {
            use super::*;
            crate::simd_fn! {
                pub unsafe fn max(
                    x: *const $t, w: usize, windows: [&Windows; 3], out: *mut $t, index: *mut i64, tmp: &mut Columns<$t>,
                ) {
                    super::max(x, w, windows, out, index, tmp)
                }
                pub unsafe fn average(
                    x: *const $t, w: usize, windows: [&Windows; 3], out: *mut $t, tmp: &mut Columns<$t>,
                ) {
                    super::average(x, w, windows, out, tmp)
                }
                pub unsafe fn average_grad(
                    g: *const $t, w: usize, windows: [&Windows; 3], gx: *mut $t, tmp: &mut Columns<$t>,
                ) {
                    super::average_grad(g, w, windows, gx, tmp)
                }
            }
        }
        impl Num for $t {
            const LOWEST: $t = $lowest;
            #[inline(always)]
            fn over(self, other: $t) -> $t {
                $over(self, other)
            }
            unsafe fn max(
                x: *const $t, w: usize, windows: [&Windows; 3], out: *mut $t, index: *mut i64, tmp: &mut Columns<$t>,
            ) {
                $m::max(x, w, windows, out, index, tmp)
            }
            unsafe fn average(x: *const $t, w: usize, windows: [&Windows; 3], out: *mut $t, tmp: &mut Columns<$t>) {
                $m::average(x, w, windows, out, tmp)
            }
            unsafe fn average_grad(g: *const $t, w: usize, windows: [&Windows; 3], gx: *mut $t, tmp: &mut Columns<$t>) {
                $m::average_grad(g, w, windows, gx, tmp)
            }
        }
    };
}
num!(f32, single, f32::NEG_INFINITY, |a, b| a / b);
num!(f64, double, f64::NEG_INFINITY, |a, b| a / b);
num!(i64, whole, i64::MIN, |a: i64, b: i64| {
    if b == 0 {
        0
    } else {
        a.wrapping_div(b)
    }
});

fn grain(size: usize) -> usize {
    (GRAIN / 4).div_ceil(size.max(1))
}

/// The largest element of each window, and, unless `index` is null, its place in its plane: -1 for a window that lies
/// wholly in the padding.
pub unsafe fn max_pool<T: Num>(
    planes: usize,
    size: [usize; 3],
    windows: [&Windows; 3],
    x: *const T,
    out: *mut T,
    index: *mut i64,
) -> Result<()> {
    let ([d, h, w], p) = (size, windows.iter().map(|v| v.len()).product::<usize>());
    if p == 0 {
        return Ok(()); // where nothing comes out the windows are not listed
    }
    let (x, out, index) = (Shared(x as *mut T), Shared(out), Shared(index));
    try_parallel_for(planes, grain(d * h * w), &|r| {
        let mut tmp = Columns::new(size)?;
        for i in r {
            let at = if index.get().is_null() { index.get() } else { index.get().add(i * p) };
            T::max(x.get().add(i * d * h * w), w, windows, out.get().add(i * p), at, &mut tmp);
        }
        Ok(())
    })
}

/// The mean of each window.
pub unsafe fn avg_pool<T: Num>(
    planes: usize,
    size: [usize; 3],
    windows: [&Windows; 3],
    x: *const T,
    out: *mut T,
) -> Result<()> {
    let ([d, h, w], p) = (size, windows.iter().map(|v| v.len()).product::<usize>());
    if p == 0 {
        return Ok(()); // as above
    }
    let (x, out) = (Shared(x as *mut T), Shared(out));
    try_parallel_for(planes, grain(d * h * w), &|r| {
        let mut tmp = Columns::new(size)?;
        for i in r {
            T::average(x.get().add(i * d * h * w), w, windows, out.get().add(i * p), &mut tmp);
        }
        Ok(())
    })
}

/// The adjoint of [`avg_pool`].
pub unsafe fn avg_pool_grad<T: Num>(
    planes: usize,
    size: [usize; 3],
    windows: [&Windows; 3],
    g: *const T,
    gx: *mut T,
) -> Result<()> {
    let ([d, h, w], p) = (size, windows.iter().map(|v| v.len()).product::<usize>());
    let (g, gx) = (Shared(g as *mut T), Shared(gx));
    try_parallel_for(planes, grain(d * h * w), &|r| {
        let mut tmp = Columns::new(size)?;
        for i in r {
            let plane = gx.get().add(i * d * h * w);
            std::slice::from_raw_parts_mut(plane, d * h * w).fill(T::ZERO);
            if p == 0 {
                continue;
            }
            T::average_grad(g.get().add(i * p), w, windows, plane, &mut tmp);
        }
        Ok(())
    })
}

/// `gx[plane, index] += g` over planes of `size` elements; the indices have been checked, those below 0 name no place.
pub unsafe fn scatter<T: Num>(planes: usize, size: usize, p: usize, g: *const T, index: *const i64, gx: *mut T) {
    let (g, index, gx) = (Shared(g as *mut T), Shared(index as *mut i64), Shared(gx));
    parallel_for(planes, grain(size), &|r| {
        for i in r {
            let plane = std::slice::from_raw_parts_mut(gx.get().add(i * size), size);
            plane.fill(T::ZERO);
            for j in i * p..(i + 1) * p {
                let at = *index.get().add(j);
                if at >= 0 {
                    let x = plane.get_unchecked_mut(at as usize);
                    *x = x.plus(*g.get().add(j));
                }
            }
        }
    });
}

/// `out = x[plane, index]`, 0 where the index is below 0; the indices have been checked.
pub unsafe fn gather<T: Num>(planes: usize, size: usize, p: usize, x: *const T, index: *const i64, out: *mut T) {
    let (x, index, out) = (Shared(x as *mut T), Shared(index as *mut i64), Shared(out));
    parallel_for(planes, grain(size), &|r| {
        for i in r {
            for j in i * p..(i + 1) * p {
                let at = *index.get().add(j);
                *out.get().add(j) = if at < 0 { T::ZERO } else { *x.get().add(i * size + at as usize) };
            }
        }
    });
}
