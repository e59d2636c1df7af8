//! Distances between the rows of two matrices. Safety contract: see the folder's.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use super::math::Real;
use super::norm::{per_type, sum_of};
use crate::parallel::parallel_for;

/// The Euclidean distance of two rows of `d` elements, with squares in f64.
#[inline(always)]
unsafe fn distance<T: Real>(x: *const T, y: *const T, d: usize) -> T {
    let sum = sum_of(d, |k| {
        let difference = (*x.add(k)).as_f64() - (*y.add(k)).as_f64();
        difference * difference
    });
    if (1e-290..1e290).contains(&sum) {
        return T::of(sum.sqrt());
    }
    scaled(x, y, d)
}

/// The same of differences whose squares f64 does not hold.
#[cold]
#[inline(never)]
unsafe fn scaled<T: Real>(x: *const T, y: *const T, d: usize) -> T {
    let difference = |k: usize| (*x.add(k)).as_f64() - (*y.add(k)).as_f64();
    let top = (0..d).map(difference).fold(0.0, |top: f64, v| if v.abs() > top || v.is_nan() { v.abs() } else { top });
    if top == 0.0 || !top.is_finite() {
        return T::of(top);
    }
    T::of((0..d).map(|k| (difference(k) / top).powi(2)).sum::<f64>().sqrt() * top)
}

per_type! {
    /// The loop over two contiguous rows.
    Rows { fn distance(x: *const T, y: *const T, d: usize) -> T; }
}

/// `out[b][i][j] = |x[b][i] - y[b][j]|` for row-major `x` [batch, n, d], `y` [batch, m, d] and `out` [batch, n, m].
pub unsafe fn euclidean<T: Real + Rows<T>>(x: *const T, y: *const T, out: *mut T, [batch, n, m, d]: [usize; 4]) {
    let (x, y, out) = (Shared(x as *mut T), Shared(y as *mut T), Shared(out));
    parallel_for(batch * n, (GRAIN / 4).div_ceil(m * d + 1), &|rows| {
        for i in rows {
            for j in 0..m {
                *out.get().add(i * m + j) = T::distance(x.get().add(i * d), y.get().add((i / n * m + j) * d), d);
            }
        }
    });
}
