//! Cumulative reductions over a row-major block seen as `[outer, n, inner]`, along the middle. Floats accumulate in f64.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use super::math::Real;
use crate::dtype::{Compute, DType, Elem};
use crate::parallel::{parallel_for, poll, Pace};

/// Columns that one task carries along.
const WIDTH: usize = 256;
/// So many elements of a row are done between two polls; a multiple of 4.
const PIECE: usize = 1 << 20;

/// An associative operation with its accumulator.
trait Scan {
    type T: Elem;
    type A: Copy;
    fn unit() -> Self::A;
    fn lift(x: Self::T) -> Self::A;
    fn op(a: Self::A, b: Self::A) -> Self::A;
    fn lower(a: Self::A) -> Self::T;
}

/// One row. Four elements at a time, so that the chain of dependent steps is a quarter as long.
#[inline(always)]
unsafe fn along<S: Scan>(x: *const S::T, out: *mut S::T, n: usize) {
    let mut a = S::unit();
    let mut i = 0;
    loop {
        let end = n.min(i + PIECE);
        while i + 4 <= end {
            let v = [0, 1, 2, 3].map(|k| S::lift(*x.add(i + k)));
            let (front, back) = (S::op(v[0], v[1]), S::op(v[2], v[3]));
            *out.add(i) = S::lower(S::op(a, v[0]));
            *out.add(i + 1) = S::lower(S::op(a, front));
            *out.add(i + 2) = S::lower(S::op(S::op(a, front), v[2]));
            a = S::op(a, S::op(front, back));
            *out.add(i + 3) = S::lower(a);
            i += 4;
        }
        if end == n {
            break;
        }
        poll();
    }
    while i < n {
        a = S::op(a, S::lift(*x.add(i)));
        *out.add(i) = S::lower(a);
        i += 1;
    }
}

/// `w` neighbouring columns; from the last row to the first if `step` is negative.
#[inline(always)]
unsafe fn downwards<S: Scan>(x: *const S::T, out: *mut S::T, n: usize, step: isize, w: usize) {
    let mut acc = [S::unit(); WIDTH];
    let rows = PIECE / w.max(1);
    for k in 0..n as isize {
        if k as usize % rows == rows - 1 {
            poll();
        }
        let (x, out) = (x.offset(k * step), out.offset(k * step));
        for i in 0..w {
            let a = S::op(acc[i], S::lift(*x.add(i)));
            acc[i] = a;
            *out.add(i) = S::lower(a);
        }
    }
}

macro_rules! scans {
    ($($name:ident: $t:ty as $a:ty, $unit:expr, |$x:ident, $y:ident| $op:expr, $along:ident $down:ident;)+) => { $(
        struct $name;
        impl Scan for $name {
            type T = $t;
            type A = $a;
            #[inline(always)]
            fn unit() -> $a { $unit }
            #[inline(always)]
            fn lift(x: $t) -> $a { x as $a }
            #[inline(always)]
            fn op($x: $a, $y: $a) -> $a { $op }
            #[inline(always)]
            fn lower(a: $a) -> $t { a as $t }
        }
        crate::simd_fn! {
            unsafe fn $along(x: *const u8, out: *mut u8, n: usize) { along::<$name>(x.cast(), out.cast(), n) }
            unsafe fn $down(x: *const u8, out: *mut u8, n: usize, step: isize, w: usize) {
                downwards::<$name>(x.cast(), out.cast(), n, step, w)
            }
        }
    )+ };
}

/// log(e^a + e^b)
#[inline(always)]
fn log_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if b > a || b.is_nan() { (a, b) } else { (b, a) };
    if low == high && high.is_infinite() {
        high
    } else {
        high + Real::log1p(Real::exp(low - high))
    }
}

scans! {
    SumF32: f32 as f64, 0.0, |a, b| a + b, sum_along_f32 sum_down_f32;
    SumF64: f64 as f64, 0.0, |a, b| a + b, sum_along_f64 sum_down_f64;
    SumI64: i64 as i64, 0, |a, b| a.wrapping_add(b), sum_along_i64 sum_down_i64;
    ProdF32: f32 as f64, 1.0, |a, b| a * b, prod_along_f32 prod_down_f32;
    ProdF64: f64 as f64, 1.0, |a, b| a * b, prod_along_f64 prod_down_f64;
    ProdI64: i64 as i64, 1, |a, b| a.wrapping_mul(b), prod_along_i64 prod_down_i64;
    LogF32: f32 as f64, f64::NEG_INFINITY, |a, b| log_add_exp(a, b), log_along_f32 log_down_f32;
    LogF64: f64 as f64, f64::NEG_INFINITY, |a, b| log_add_exp(a, b), log_along_f64 log_down_f64;
}

/// What is accumulated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Sums.
    Sum,
    /// Products.
    Prod,
    /// `log(sum(exp))`, of floats only.
    LogSumExp,
}

/// `out[k] = op(x[0], ..., x[k])` along the middle of `[outer, n, inner]`, or `op(x[k], ..., x[n - 1])` if `reverse`.
/// `dtype` is a compute type; `out` may be `x`.
pub unsafe fn scan(
    what: What,
    dtype: DType,
    x: *const u8,
    out: *mut u8,
    outer: usize,
    n: usize,
    inner: usize,
    reverse: bool,
) {
    type Along = unsafe fn(*const u8, *mut u8, usize);
    type Down = unsafe fn(*const u8, *mut u8, usize, isize, usize);
    let (along, down): (Along, Down) = match (what, dtype.compute()) {
        (What::Sum, Compute::F32) => (sum_along_f32, sum_down_f32),
        (What::Sum, Compute::F64) => (sum_along_f64, sum_down_f64),
        (What::Sum, Compute::I64) => (sum_along_i64, sum_down_i64),
        (What::Prod, Compute::F32) => (prod_along_f32, prod_down_f32),
        (What::Prod, Compute::F64) => (prod_along_f64, prod_down_f64),
        (What::Prod, Compute::I64) => (prod_along_i64, prod_down_i64),
        (What::LogSumExp, Compute::F32) => (log_along_f32, log_down_f32),
        (What::Sum | What::Prod, Compute::C64 | Compute::C128) => {
            unreachable!("complex numbers have scans of their own")
        }
        (What::LogSumExp, _) => (log_along_f64, log_down_f64),
    };
    let size = dtype.size();
    let (x, out) = (Shared(x as *mut u8), Shared(out));
    if inner == 1 && !reverse {
        return parallel_for(outer, (GRAIN / n.max(1)).max(1), &|r| {
            for o in r {
                // SAFETY: row `o`.
                unsafe { along(x.get().add(o * n * size), out.get().add(o * n * size), n) };
            }
        });
    }
    let strips = inner.div_ceil(WIDTH);
    parallel_for(outer * strips, (GRAIN / (n * inner.min(WIDTH)).max(1)).max(1), &|r| {
        for j in r {
            let (o, start) = (j / strips, j % strips * WIDTH);
            let first = if reverse { n.saturating_sub(1) } else { 0 };
            let at = ((o * n + first) * inner + start) * size;
            let step = if reverse { -(inner as isize) } else { inner as isize };
            // SAFETY: columns `start..` of slice `o`.
            unsafe { down(x.get().add(at), out.get().add(at), n, step, WIDTH.min(inner - start)) };
        }
    });
}

/// Calls `f(offset)` for the first element of each line of `[outer, n, inner]` along the middle.
fn lines(outer: usize, n: usize, inner: usize, f: &(dyn Fn(usize) + Sync)) {
    let count = if n == 0 { 0 } else { outer * inner };
    parallel_for(count, (GRAIN / n.max(1)).max(1), &|r| {
        for j in r {
            f(j / inner * n * inner + j % inner);
        }
    });
}

/// Cumulative maximum (minimum if `min`) with the index of the latest element that reached it; NaN stays.
pub unsafe fn extreme<T: Elem + PartialOrd>(
    x: *const T,
    values: *mut T,
    indices: *mut i64,
    [outer, n, inner]: [usize; 3],
    min: bool,
) {
    let (x, values, indices) = (Shared(x as *mut T), Shared(values), Shared(indices));
    lines(outer, n, inner, &|at| {
        let (mut best, mut pace) = (0, Pace::default());
        for k in 0..n {
            pace.step(2);
            // SAFETY: element `k` of the line at `at`, here and below.
            unsafe {
                let (v, b) = (*x.get().add(at + k * inner), *x.get().add(at + best * inner));
                if v.nan() || (!b.nan() && if min { v <= b } else { v >= b }) {
                    best = k;
                }
                *values.get().add(at + k * inner) = *x.get().add(at + best * inner);
                *indices.get().add(at + k * inner) = best as i64;
            }
        }
    });
}

/// Gradient of a cumulative product without divisions, so that zeros need no care:
/// `out[i] = (x[0] ... x[i - 1]) * t[i]` with `t[i] = g[i] + x[i + 1] * t[i + 1]`.
pub unsafe fn cumprod_backward<T: Real + Elem>(g: *const T, x: *const T, out: *mut T, [outer, n, inner]: [usize; 3]) {
    let (g, x, out) = (Shared(g as *mut T), Shared(x as *mut T), Shared(out));
    lines(outer, n, inner, &|at| {
        // SAFETY: elements of the line at `at`.
        unsafe {
            let (mut before, mut pace) = (1.0, Pace::default());
            for k in 0..n {
                pace.step(2);
                *out.get().add(at + k * inner) = T::of(before);
                before *= (*x.get().add(at + k * inner)).as_f64();
            }
            let mut t = 0.0;
            for k in (0..n).rev() {
                pace.step(2);
                t += (*g.get().add(at + k * inner)).as_f64();
                let o = out.get().add(at + k * inner);
                *o = T::of((*o).as_f64() * t);
                t *= (*x.get().add(at + k * inner)).as_f64();
            }
        }
    });
}

/// For each element the product of all others of its line, times the line's gradient (`g` is `[outer, inner]`).
pub unsafe fn prod_backward<T: Real + Elem>(g: *const T, x: *const T, out: *mut T, [outer, n, inner]: [usize; 3]) {
    let (g, x, out) = (Shared(g as *mut T), Shared(x as *mut T), Shared(out));
    lines(outer, n, inner, &|at| {
        // SAFETY: elements of the line at `at`.
        unsafe {
            let mut before = (*g.get().add(at / (n * inner) * inner + at % inner)).as_f64();
            let mut pace = Pace::default();
            for k in 0..n {
                pace.step(2);
                *out.get().add(at + k * inner) = T::of(before);
                before *= (*x.get().add(at + k * inner)).as_f64();
            }
            let mut after = 1.0;
            for k in (0..n).rev() {
                pace.step(2);
                let o = out.get().add(at + k * inner);
                *o = T::of((*o).as_f64() * after);
                after *= (*x.get().add(at + k * inner)).as_f64();
            }
        }
    });
}

/// Gradient of the cumulative `y = log(sum(exp(x)))`: `out[i] = exp(x[i] - y[i]) * u[i]` with
/// `u[i] = g[i] + exp(y[i] - y[i + 1]) * u[i + 1]`, in which no exponential exceeds 1.
pub unsafe fn logcumsumexp_backward<T: Real + Elem>(
    g: *const T,
    x: *const T,
    y: *const T,
    out: *mut T,
    [outer, n, inner]: [usize; 3],
) {
    let (g, x, y, out) = (Shared(g as *mut T), Shared(x as *mut T), Shared(y as *mut T), Shared(out));
    lines(outer, n, inner, &|at| {
        let mut u = 0.0;
        let mut next = f64::INFINITY;
        let mut pace = Pace::default();
        for k in (0..n).rev() {
            pace.step(20);
            let i = at + k * inner;
            // SAFETY: element `k` of the line at `at`.
            unsafe {
                let (xi, yi) = ((*x.get().add(i)).as_f64(), (*y.get().add(i)).as_f64());
                // Before the first finite element there is nothing to hand on.
                let carried = if u == 0.0 || yi == f64::NEG_INFINITY { 0.0 } else { u * (yi - next).exp() };
                u = (*g.get().add(i)).as_f64() + carried;
                let share = if xi == f64::NEG_INFINITY { 0.0 } else { (xi - yi).exp() };
                *out.get().add(i) = T::of(share * u);
                next = yi;
            }
        }
    });
}
