//! Losses in one pass: sums of distances, and softmax with negative log-likelihood. Sums run over blocks of a fixed size.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use super::math::Real;
use super::norm::{per_type, sum_of};
use crate::error::Result;
use crate::memory::List;
use crate::parallel::parallel_for;

/// Elements per block of a sum.
const BLOCK: usize = 8192;

/// A function of the difference `d` of input and target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// `d^2`
    Square,
    /// `|d|`
    Absolute,
    /// `d^2 / (2 beta)` up to `beta`, then `|d| - beta / 2`
    Smooth,
    /// `d^2 / 2` up to `beta`, then `beta (|d| - beta / 2)`
    Huber,
}

#[inline(always)]
fn distance<T: Real, const KIND: u8>(d: T, beta: T) -> T {
    let a = d.abs();
    match KIND {
        0 => d * d,
        1 => a,
        2 => {
            if a < beta {
                T::HALF * a * a / beta
            } else {
                a - T::HALF * beta
            }
        }
        _ => {
            if a <= beta {
                T::HALF * a * a
            } else {
                beta * (a - T::HALF * beta)
            }
        }
    }
}

/// Derivative of [`distance`].
#[inline(always)]
fn slope_at<T: Real, const KIND: u8>(d: T, beta: T) -> T {
    let sign = if d > T::ZERO {
        T::ONE
    } else if d < T::ZERO {
        -T::ONE
    } else {
        d
    };
    match KIND {
        0 => d + d,
        1 => sign,
        2 => {
            if d.abs() < beta {
                d / beta
            } else {
                sign
            }
        }
        _ => {
            if d.abs() <= beta {
                d
            } else {
                beta * sign
            }
        }
    }
}

/// Runs an expression with the constant `K` for a kind.
macro_rules! by_kind {
    ($kind:expr, $f:ident($($a:expr),*)) => {
        match $kind {
            Distance::Square => $f::<T, 0>($($a),*),
            Distance::Absolute => $f::<T, 1>($($a),*),
            Distance::Smooth => $f::<T, 2>($($a),*),
            Distance::Huber => $f::<T, 3>($($a),*),
        }
    };
}

#[inline(always)]
unsafe fn total_of<T: Real, const K: u8>(beta: T, x: *const T, t: *const T, n: usize) -> T {
    sum_of(n, |i| distance::<T, K>(*x.add(i) - *t.add(i), beta))
}

#[inline(always)]
unsafe fn each_of<T: Real, const K: u8>(beta: T, x: *const T, t: *const T, n: usize, out: *mut T) {
    for i in 0..n {
        *out.add(i) = distance::<T, K>(*x.add(i) - *t.add(i), beta);
    }
}

#[inline(always)]
unsafe fn slope_of<T: Real, const K: u8>(
    beta: T,
    x: *const T,
    t: *const T,
    g: *const T,
    scale: T,
    n: usize,
    out: *mut T,
) {
    if g.is_null() {
        for i in 0..n {
            *out.add(i) = slope_at::<T, K>(*x.add(i) - *t.add(i), beta) * scale;
        }
    } else {
        for i in 0..n {
            *out.add(i) = slope_at::<T, K>(*x.add(i) - *t.add(i), beta) * *g.add(i);
        }
    }
}

#[inline(always)]
unsafe fn total<T: Real>(kind: Distance, beta: T, x: *const T, t: *const T, n: usize) -> T {
    by_kind!(kind, total_of(beta, x, t, n))
}

#[inline(always)]
unsafe fn each<T: Real>(kind: Distance, beta: T, x: *const T, t: *const T, n: usize, out: *mut T) {
    by_kind!(kind, each_of(beta, x, t, n, out))
}

#[inline(always)]
unsafe fn slope<T: Real>(
    kind: Distance,
    beta: T,
    x: *const T,
    t: *const T,
    g: *const T,
    scale: T,
    n: usize,
    out: *mut T,
) {
    by_kind!(kind, slope_of(beta, x, t, g, scale, n, out))
}

/// The largest element of a row, and the logarithm of the sum of `e^(x - largest)`.
#[inline(always)]
unsafe fn log_sum<T: Real>(x: *const T, n: usize) -> [T; 2] {
    let mut lanes = [*x; 16];
    let whole = n / 16 * 16;
    let mut i = 0;
    while i < whole {
        for (k, lane) in lanes.iter_mut().enumerate() {
            let v = *x.add(i + k);
            *lane = if v > *lane { v } else { *lane };
        }
        i += 16;
    }
    let mut top = lanes[0];
    for &v in &lanes {
        top = if v > top { v } else { top };
    }
    for i in whole..n {
        let v = *x.add(i);
        top = if v > top { v } else { top };
    }
    [top, sum_of(n, |i| (*x.add(i) - top).exp()).log()]
}

/// `e^(x - top - log_sum) * scale`.
#[inline(always)]
unsafe fn softmax_times<T: Real>(x: *const T, n: usize, top: T, log_sum: T, scale: T, out: *mut T) {
    for i in 0..n {
        *out.add(i) = (*x.add(i) - top - log_sum).exp() * scale;
    }
}

per_type! {
    /// The loops over contiguous elements.
    Loops {
        fn total(kind: Distance, beta: T, x: *const T, t: *const T, n: usize) -> T;
        fn each(kind: Distance, beta: T, x: *const T, t: *const T, n: usize, out: *mut T);
        fn slope(kind: Distance, beta: T, x: *const T, t: *const T, g: *const T, scale: T, n: usize, out: *mut T);
        fn log_sum(x: *const T, n: usize) -> [T; 2];
        fn softmax_times(x: *const T, n: usize, top: T, log_sum: T, scale: T, out: *mut T);
    }
}

/// Sum of the distances of `n` pairs.
pub unsafe fn distance_sum<T: Real + Loops<T>>(
    kind: Distance,
    beta: f64,
    x: *const T,
    t: *const T,
    n: usize,
) -> Result<f64> {
    let blocks = n.div_ceil(BLOCK);
    let mut parts = List::filled(blocks, 0.0)?;
    let (x, t, p) = (Shared(x as *mut T), Shared(t as *mut T), Shared(parts.as_mut_ptr()));
    parallel_for(blocks, GRAIN / BLOCK, &|r| {
        for j in r {
            let at = j * BLOCK;
            *p.get().add(j) = T::total(kind, T::of(beta), x.get().add(at), t.get().add(at), BLOCK.min(n - at)).as_f64();
        }
    });
    // Rust's empty sum is -0.
    Ok(parts.iter().sum::<f64>() + 0.0)
}

/// The distance of each pair.
pub unsafe fn distance_each<T: Real + Loops<T>>(
    kind: Distance,
    beta: f64,
    x: *const T,
    t: *const T,
    n: usize,
    out: *mut T,
) {
    let (x, t, out) = (Shared(x as *mut T), Shared(t as *mut T), Shared(out));
    parallel_for(n, GRAIN, &|r| {
        T::each(kind, T::of(beta), x.get().add(r.start), t.get().add(r.start), r.len(), out.get().add(r.start));
    });
}

/// The derivative of each distance times `g`, or times `scale` if `g` is null.
pub unsafe fn distance_slope<T: Real + Loops<T>>(
    kind: Distance,
    beta: f64,
    x: *const T,
    t: *const T,
    g: *const T,
    scale: f64,
    n: usize,
    out: *mut T,
) {
    let (x, t, g, out) = (Shared(x as *mut T), Shared(t as *mut T), Shared(g as *mut T), Shared(out));
    parallel_for(n, GRAIN, &|r| {
        let at = r.start;
        let g = if g.get().is_null() { g.get() } else { g.get().add(at) };
        T::slope(kind, T::of(beta), x.get().add(at), t.get().add(at), g, T::of(scale), r.len(), out.get().add(at));
    });
}

fn grain(size: usize) -> usize {
    (GRAIN / 8).div_ceil(size.max(1))
}

/// `out[row] = -log softmax(x[row])[target[row]]`, 0 where the target is `ignore`; targets have been checked.
pub unsafe fn softmax_nll<T: Real + Loops<T>>(
    rows: usize,
    n: usize,
    x: *const T,
    target: &[i64],
    ignore: i64,
    out: *mut T,
) {
    let (x, out) = (Shared(x as *mut T), Shared(out));
    parallel_for(rows, grain(n), &|r| {
        for i in r {
            let row = x.get().add(i * n);
            *out.get().add(i) = if target[i] == ignore {
                T::ZERO
            } else {
                let [top, log_sum] = T::log_sum(row, n);
                log_sum + (top - *row.add(target[i] as usize))
            };
        }
    });
}

/// Backward of [`softmax_nll`]: `gx[row] = (softmax(x[row]) - one_hot(target[row])) * g(row)`.
pub unsafe fn softmax_nll_grad<T: Real + Loops<T>>(
    rows: usize,
    n: usize,
    x: *const T,
    target: &[i64],
    ignore: i64,
    g: &(dyn Fn(usize) -> T + Sync),
    gx: *mut T,
) {
    let (x, gx) = (Shared(x as *mut T), Shared(gx));
    parallel_for(rows, grain(n), &|r| {
        for i in r {
            let (row, out) = (x.get().add(i * n), gx.get().add(i * n));
            if target[i] == ignore {
                std::slice::from_raw_parts_mut(out, n).fill(T::ZERO);
                continue;
            }
            let [top, log_sum] = T::log_sum(row, n);
            let g = g(i);
            T::softmax_times(row, n, top, log_sum, g, out);
            *out.add(target[i] as usize) -= g;
        }
    });
}
