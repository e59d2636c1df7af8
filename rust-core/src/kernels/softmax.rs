//! Softmax and its logarithm, forward and backward, over the middle of a row-major block seen as `[outer, n, inner]`.
//! The order of every sum is fixed by `n` alone. Safety contract: see the folder's.
#![allow(clippy::missing_safety_doc, clippy::needless_range_loop)]

use super::copy::{Shared, GRAIN};
use super::math::Real;
use crate::parallel::parallel_for;

/// Columns that are worked on together where `inner` is not 1.
const PIECE: usize = 256;

/// What is computed; of the two inputs, `a` is the input or the gradient, `y` the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `e^a / sum(e^a)`
    Forward,
    /// The same, but 0 where every `a` is minus infinity
    SafeForward,
    /// `a - log(sum(e^a))`
    LogForward,
    /// `y (a - sum(a y))`
    Backward,
    /// `a - e^y sum(a)`
    LogBackward,
}

/// A type that has the loops.
pub trait Softmax: Real {
    /// One contiguous row.
    unsafe fn row(mode: Mode, a: *const Self, y: *const Self, out: *mut Self, n: usize);
    /// `width` columns, at most [`PIECE`], whose rows lie `step` apart.
    unsafe fn columns(mode: Mode, a: *const Self, y: *const Self, out: *mut Self, n: usize, step: usize, width: usize);
}

/// `W` elements at `x`, of which only `m` exist; the others are `other`.
#[inline(always)]
unsafe fn whole<T: Real, const W: usize>(x: *const T, m: usize, other: T, pad: &mut [T; W]) -> *const T {
    if m >= W {
        return x;
    }
    *pad = [other; W];
    std::ptr::copy_nonoverlapping(x, pad.as_mut_ptr(), m);
    pad.as_ptr()
}

/// Combines lanes pairwise.
#[inline(always)]
fn fold<T: Real, const W: usize>(mut lanes: [T; W], f: impl Fn(T, T) -> T) -> T {
    let mut width = W / 2;
    while width > 0 {
        for k in 0..width {
            lanes[k] = f(lanes[k], lanes[k + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn greater<T: Real>(a: T, b: T) -> T {
    if b > a {
        b
    } else {
        a
    }
}

#[inline(always)]
unsafe fn row<T: Real, const W: usize>(mode: Mode, a: *const T, y: *const T, out: *mut T, n: usize) {
    let (mut pad, mut pad2) = ([T::ZERO; W], [T::ZERO; W]);
    let mut lanes = [T::ZERO; W];
    if matches!(mode, Mode::Backward | Mode::LogBackward) {
        for i in (0..n).step_by(W) {
            let g = whole(a.add(i), n - i, T::ZERO, &mut pad);
            if mode == Mode::Backward {
                let y = whole(y.add(i), n - i, T::ZERO, &mut pad2);
                for k in 0..W {
                    lanes[k] = (*g.add(k)).mul_add(*y.add(k), lanes[k]);
                }
            } else {
                for k in 0..W {
                    lanes[k] += *g.add(k);
                }
            }
        }
        let sum = fold(lanes, |a, b| a + b);
        for i in (0..n).step_by(W) {
            let g = whole(a.add(i), n - i, T::ZERO, &mut pad);
            let y = whole(y.add(i), n - i, T::ZERO, &mut pad2);
            let mut r = [T::ZERO; W];
            for k in 0..W {
                let (g, y) = (*g.add(k), *y.add(k));
                r[k] = if mode == Mode::Backward { y * (g - sum) } else { g - y.exp() * sum };
            }
            std::ptr::copy_nonoverlapping(r.as_ptr(), out.add(i), W.min(n - i));
        }
        return;
    }
    let mut most = [-T::INF; W];
    for i in (0..n).step_by(W) {
        let x = whole(a.add(i), n - i, -T::INF, &mut pad);
        for k in 0..W {
            most[k] = greater(most[k], *x.add(k));
        }
    }
    let most = fold(most, greater);
    for i in (0..n).step_by(W) {
        let x = whole(a.add(i), n - i, -T::INF, &mut pad);
        let mut e = [T::ZERO; W];
        for k in 0..W {
            e[k] = (*x.add(k) - most).exp();
        }
        let m = W.min(n - i);
        if m < W {
            e[m..].fill(T::ZERO);
        }
        for k in 0..W {
            lanes[k] += e[k];
        }
        if mode == Mode::Forward {
            std::ptr::copy_nonoverlapping(e.as_ptr(), out.add(i), m);
        }
    }
    let sum = fold(lanes, |a, b| a + b);
    if mode == Mode::Forward {
        let scale = T::ONE / sum;
        for i in 0..n {
            *out.add(i) = *out.add(i) * scale;
        }
    } else {
        let rest = sum.log();
        for i in 0..n {
            *out.add(i) = *a.add(i) - most - rest;
        }
    }
}

#[inline(always)]
unsafe fn columns<T: Real>(mode: Mode, a: *const T, y: *const T, out: *mut T, n: usize, step: usize, width: usize) {
    let mut sums = [T::ZERO; PIECE];
    if matches!(mode, Mode::Backward | Mode::LogBackward) {
        for i in 0..n {
            let (g, y) = (a.add(i * step), y.add(i * step));
            for k in 0..width {
                sums[k] += if mode == Mode::Backward { *g.add(k) * *y.add(k) } else { *g.add(k) };
            }
        }
        for i in 0..n {
            let (g, y, out) = (a.add(i * step), y.add(i * step), out.add(i * step));
            for k in 0..width {
                let (g, y) = (*g.add(k), *y.add(k));
                *out.add(k) = if mode == Mode::Backward { y * (g - sums[k]) } else { g - y.exp() * sums[k] };
            }
        }
        return;
    }
    let mut most = [-T::INF; PIECE];
    for i in 0..n {
        for k in 0..width {
            most[k] = greater(most[k], *a.add(i * step + k));
        }
    }
    for i in 0..n {
        let (a, out) = (a.add(i * step), out.add(i * step));
        for k in 0..width {
            let e = (*a.add(k) - most[k]).exp();
            sums[k] += e;
            if mode == Mode::Forward {
                *out.add(k) = e;
            }
        }
    }
    for s in &mut sums[..width] {
        *s = if mode == Mode::Forward { T::ONE / *s } else { s.log() };
    }
    for i in 0..n {
        let (a, out) = (a.add(i * step), out.add(i * step));
        for k in 0..width {
            *out.add(k) = if mode == Mode::Forward { *out.add(k) * sums[k] } else { *a.add(k) - most[k] - sums[k] };
        }
    }
}

/// Writes zeros over the columns of a softmax of nothing but minus infinities.
#[inline(always)]
unsafe fn hide<T: Real>(a: *const T, out: *mut T, n: usize, step: usize, width: usize) {
    for k in 0..width.min(n * width) {
        // Such a column is all NaN.
        if (*out.add(k)).is_nan() && (0..n).all(|i| *a.add(i * step + k) == -T::INF) {
            (0..n).for_each(|i| *out.add(i * step + k) = T::ZERO);
        }
    }
}

macro_rules! softmax {
    ($t:ty, $w:literal, $row:ident, $columns:ident) => {
        crate::simd_fn! {
            unsafe fn $row(mode: Mode, a: *const $t, y: *const $t, out: *mut $t, n: usize) {
                // One branch outside, so that each mode gets loops of its own.
                match mode {
                    Mode::Forward => row::<$t, $w>(Mode::Forward, a, y, out, n),
                    Mode::SafeForward => {
                        row::<$t, $w>(Mode::Forward, a, y, out, n);
                        hide(a, out, n, 1, 1);
                    }
                    Mode::LogForward => row::<$t, $w>(Mode::LogForward, a, y, out, n),
                    Mode::Backward => row::<$t, $w>(Mode::Backward, a, y, out, n),
                    Mode::LogBackward => row::<$t, $w>(Mode::LogBackward, a, y, out, n),
                }
            }
            unsafe fn $columns(mode: Mode, a: *const $t, y: *const $t, out: *mut $t, n: usize, step: usize, w: usize) {
                match mode {
                    Mode::Forward => columns(Mode::Forward, a, y, out, n, step, w),
                    Mode::SafeForward => {
                        columns(Mode::Forward, a, y, out, n, step, w);
                        hide(a, out, n, step, w);
                    }
                    Mode::LogForward => columns(Mode::LogForward, a, y, out, n, step, w),
                    Mode::Backward => columns(Mode::Backward, a, y, out, n, step, w),
                    Mode::LogBackward => columns(Mode::LogBackward, a, y, out, n, step, w),
                }
            }
        }
        impl Softmax for $t {
            unsafe fn row(mode: Mode, a: *const $t, y: *const $t, out: *mut $t, n: usize) {
                $row(mode, a, y, out, n)
            }
            unsafe fn columns(mode: Mode, a: *const $t, y: *const $t, out: *mut $t, n: usize, step: usize, w: usize) {
                $columns(mode, a, y, out, n, step, w)
            }
        }
    };
}
softmax!(f32, 64, row_f32, columns_f32);
softmax!(f64, 32, row_f64, columns_f64);

/// Runs over the whole block; `y` is read by the backward modes only.
pub unsafe fn run<T: Softmax>(mode: Mode, a: *const T, y: *const T, out: *mut T, [outer, n, inner]: [usize; 3]) {
    let (a, y, out) = (Shared(a as *mut T), Shared(y as *mut T), Shared(out));
    // An element costs about four times what one of an addition costs.
    let grain = |work: usize| (GRAIN / 4 / work.max(1)).max(1);
    if inner == 1 {
        return parallel_for(outer, grain(n), &|r| {
            for o in r {
                // SAFETY: row `o`.
                unsafe { T::row(mode, a.get().add(o * n), y.get().wrapping_add(o * n), out.get().add(o * n), n) };
            }
        });
    }
    let pieces = inner.div_ceil(PIECE);
    parallel_for(outer * pieces, grain(n * inner.min(PIECE)), &|r| {
        for j in r {
            let start = j % pieces * PIECE;
            let at = j / pieces * n * inner + start;
            // SAFETY: columns `start..` of slice `j / pieces`.
            unsafe {
                let (a, y, out) = (a.get().add(at), y.get().wrapping_add(at), out.get().add(at));
                T::columns(mode, a, y, out, n, inner, PIECE.min(inner - start));
            }
        }
    });
}
