//! Making tensors.
#![allow(non_snake_case, reason = "sizes have PyTorch's names")]

use crate::{bail, err};
use crate::dtype::{Category, DType, Elem, Scalar, default_dtype, dispatch, dispatch_all};
use crate::engine::copy::{fill_new, written_as};
use crate::error::Result;
use crate::kernels::complex::c as complex;
use crate::parallel::Pace;
use crate::shape::{Layout, sizes};
use crate::table::{Call, Refusal, Spec, Specs, Takes};
use crate::tensor::Tensor;

/// A tensor of the given sizes, to be filled with `value`.
fn infer_filled(c: &Call, value: Scalar, dtype: DType) -> Result<Specs> {
    let shape = sizes(c.ints(0))?;
    value.held_by(dtype)?;
    Spec::rows(&shape, dtype)?.one()
}

/// As the first input, to be filled with `value`.
fn infer_filled_like(c: &Call, value: Scalar, dtype: Option<DType>) -> Result<Specs> {
    let dtype = dtype.unwrap_or(c.x(0).dtype());
    value.held_by(dtype)?;
    Spec::like(c.x(0), dtype)?.one()
}

fn compute_filled(outs: &[Tensor], value: Scalar) -> Result<()> {
    fill_new(&outs[0], value);
    Ok(())
}

/// Writes numbers to a row-major tensor.
fn computed(t: &Tensor, f: impl Fn(usize) -> Scalar) {
    dispatch_all!(t.dtype(), T => {
        // SAFETY: the tensor is row-major, and `i` below its number of elements.
        (0..t.numel()).for_each(|i| unsafe { *t.ptr::<T>().add(i) = f(i).to::<T>() })
    });
}

fn infer_arange(c: &Call) -> Result<Specs> {
    let (start, end, step) = (c.scalar(0), c.scalar(1), c.scalar(2));
    let whole = [start, end, step].iter().all(|s| s.category() < Category::Float);
    let dtype = c.opt_dtype(3).unwrap_or(if whole { DType::I64 } else { default_dtype() });
    let (a, b, s) = (start.f64(), end.f64(), step.f64());
    if s == 0.0 || s.is_nan() || (dtype == DType::I64 && step.i64() == 0) {
        bail!(Value, "step must be nonzero, got {s}");
    }
    if !(a.is_finite() && b.is_finite()) {
        bail!(Value, "unsupported range: {a} -> {b}");
    }
    if a != b && (s > 0.0) != (b > a) {
        bail!(Value, "upper bound and lower bound inconsistent with step sign: {a} -> {b} by {s}");
    }
    // int64 counts in whole numbers, which are exact above 2^53 too.
    let n = if dtype == DType::I64 {
        let (span, s) = (end.i64() as i128 - start.i64() as i128, step.i64() as i128);
        ((span + s - s.signum()) / s) as f64
    } else {
        ((b - a) / s).ceil()
    };
    if !(0.0..9e15).contains(&n) {
        bail!(Memory, "a range of {n} elements is too large");
    }
    Spec::rows(&[n as usize], dtype)?.one()
}

fn compute_arange(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (start, step, t) = (c.scalar(0), c.scalar(2), &outs[0]);
    if t.dtype().is_float() {
        let (a, s) = (start.f64(), step.f64());
        computed(t, |i| Scalar::Float(s.mul_add(i as f64, a)));
        return Ok(());
    }
    let (a, s) = (start.i64(), step.i64());
    dispatch!(t.dtype(), T => {
        for i in 0..t.numel() {
            let v = a.wrapping_add(s.wrapping_mul(i as i64));
            // SAFETY: the tensor is row-major, and `i` below its number of elements.
            unsafe { *t.ptr::<T>().add(i) = T::from_i64(v) };
        }
    });
    Ok(())
}

fn infer_range(c: &Call) -> Result<Specs> {
    let (start, end, step) = (c.scalar(0), c.scalar(1), c.scalar(2));
    let steps = (end.f64() - start.f64()) / step.f64();
    if step.f64() == 0.0 || steps < 0.0 || steps.is_nan() {
        bail!(Value, "cannot go from {start} to {end} by steps of {step}");
    }
    if steps >= 9e15 {
        bail!(Memory, "a range of {steps} elements is too large");
    }
    Spec::rows(&[steps as usize + 1], c.opt_dtype(3).unwrap_or(default_dtype()))?.one()
}

fn compute_range(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (start, step, t) = (c.scalar(0), c.scalar(2), &outs[0]);
    if t.dtype().is_float() || [start, step].iter().any(|s| s.category() == Category::Float) {
        computed(t, |i| Scalar::Float(i as f64 * step.f64() + start.f64()));
    } else {
        computed(t, |i| Scalar::Int((i as i64).wrapping_mul(step.i64()).wrapping_add(start.i64())));
    }
    Ok(())
}

/// How many `r`-combinations of `n` things there are; None if too many.
fn binomial(n: i64, r: i64, with_replacement: bool) -> Option<usize> {
    let n = n as u128 + if with_replacement { (r as u128).checked_sub(1)? } else { 0 };
    let r = r as u128;
    if r > n {
        return Some(0);
    }
    // A product that is a binomial coefficient itself after each step, and soon too large.
    let few = r.min(n - r);
    let product = (1..=few).try_fold(1u128, |p, i| Some(p.checked_mul(n - few + i)? / i).filter(|&p| p < 1 << 64));
    usize::try_from(product?).ok()
}

fn infer_combinations(c: &Call) -> Result<Specs> {
    let (n, r) = (c.int(0), c.int(1));
    if n < 0 || r < 1 {
        bail!(Value, "expected a positive number of a non-negative number of things, got {r} of {n}");
    }
    let rows = binomial(n, r, c.bool(2)).ok_or_else(|| err!(Memory, "there are too many combinations of {r} of {n}"))?;
    Spec::rows(&[rows, r as usize], DType::I64)?.one()
}

fn compute_combinations(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (n, again) = (c.int(0), c.bool(2));
    let (rows, r) = (outs[0].shape()[0], outs[0].shape()[1]);
    // SAFETY: a new row-major int64 tensor of `rows` rows of `r` numbers.
    let all = unsafe { std::slice::from_raw_parts_mut(outs[0].ptr::<i64>(), rows * r) };
    // The largest number that may stand at a place.
    let most = |k: usize| if again { n - 1 } else { n - (r - k) as i64 };
    for i in 0..rows {
        let (before, row) = all.split_at_mut(i * r);
        let row = &mut row[..r];
        if i == 0 {
            row.iter_mut().enumerate().for_each(|(k, v)| *v = if again { 0 } else { k as i64 });
            continue;
        }
        row.copy_from_slice(&before[(i - 1) * r..]);
        if let Some(at) = (0..r).rev().find(|&k| row[k] < most(k)) {
            let first = row[at] + 1;
            row[at..].iter_mut().enumerate().for_each(|(k, v)| *v = first + if again { 0 } else { k as i64 });
        }
    }
    Ok(())
}

/// `base^e`, exactly where both are whole and int64 holds it.
fn power(base: f64, e: f64, to: DType) -> Scalar {
    let whole = |v: f64| v == v.trunc() && v.abs() < 9e15;
    let exact = (!to.is_float() && whole(base) && whole(e) && e >= 0.0).then(|| {
        let e = u32::try_from(e as i64).ok()?;
        (base as i64).checked_pow(e)
    });
    exact.flatten().map_or(Scalar::Float(base.powf(e)), Scalar::Int)
}

fn infer_spaced(c: &Call, dtype: Option<DType>) -> Result<Specs> {
    let n = usize::try_from(c.int(2)).map_err(|_| err!(Value, "number of steps must be non-negative, got {}", c.int(2)))?;
    let complex = [c.scalar(0), c.scalar(1)].iter().any(|s| s.category() == Category::Complex);
    let dtype = dtype.unwrap_or(if complex { default_dtype().complex() } else { default_dtype() });
    c.scalar(0).held_by(dtype)?;
    c.scalar(1).held_by(dtype)?;
    Spec::rows(&[n], dtype)?.one()
}

/// Evenly spaced numbers from the first to the second, both first brought to the dtype: exact and then cut for whole
/// numbers, in f64 for that dtype and else in f32, each counted from the nearer end so that both ends are exact. With
/// `base` they are its exponents.
fn compute_spaced(c: &Call, outs: &[Tensor], base: Option<f64>) -> Result<()> {
    let (start, end, t) = (c.scalar(0), c.scalar(1), &outs[0]);
    let (n, dtype) = (t.numel(), t.dtype());
    if dtype.is_complex() {
        let (a, b) = (complex(start.f64(), start.imaginary()), complex(end.f64(), end.imaginary()));
        let step = (b - a) * (1.0 / (n.max(2) - 1) as f64);
        computed(t, |i| {
            let v = if i < n / 2 || n == 1 { a + step * i as f64 } else { b - step * (n - 1 - i) as f64 };
            let v = base.map_or(v, |base| complex(base, 0.0).pow(v));
            Scalar::Complex(v.re, v.im)
        });
        return Ok(());
    }
    if !dtype.is_float() && base.is_none() {
        dispatch!(dtype, T => {
            let (a, b) = (start.to::<T>().to_i64() as i128, end.to::<T>().to_i64() as i128);
            let last = (n as i128 - 1).max(1);
            for i in 0..n {
                let at = i as i128;
                // SAFETY: the tensor is row-major, and `i` below its number of elements.
                unsafe { *t.ptr::<T>().add(i) = T::from_i64(((a * (last - at) + b * at) / last) as i64) };
            }
        });
        return Ok(());
    }
    let f = |v: f64| base.map_or(Scalar::Float(v), |base| power(base, v, dtype));
    dispatch!(dtype, T => {
        let round = |v: f64| if dtype == DType::F64 { v } else { v as f32 as f64 };
        let (a, b) = (start.to::<T>().to_f64(), end.to::<T>().to_f64());
        let step = if n > 1 { round(round(b - a) / (n - 1) as f64) } else { 0.0 };
        computed(t, |i| f(if i < n / 2 || n == 1 {
            round(step.mul_add(i as f64, a))
        } else {
            round(step.mul_add(-((n - 1 - i) as f64), b))
        }))
    });
    Ok(())
}

fn infer_eye(c: &Call) -> Result<Specs> {
    let shape = sizes(&[c.int(0), c.opt_int(1).unwrap_or(c.int(0))])?;
    Spec::rows(&shape, c.opt_dtype(2).unwrap_or(default_dtype()))?.one()
}

fn compute_eye(_: &Call, outs: &[Tensor]) -> Result<()> {
    let out = &outs[0];
    fill_new(out, Scalar::Int(0));
    let (rows, columns) = (out.shape()[0], out.shape()[1]);
    dispatch_all!(out.dtype(), T => for i in 0..rows.min(columns) {
        // SAFETY: row `i`, column `i` of a row-major matrix.
        unsafe { *out.ptr::<T>().add(i * (columns + 1)) = Scalar::Int(1).to() };
    });
    Ok(())
}

/// `1 + 2 + ... + n`; 0 for negative `n`.
fn triangle(n: i128) -> u128 {
    let n = n.max(0) as u128;
    n * (n + 1) / 2
}

/// Rows, columns and last diagonal of the lower triangle; the upper one is what is not in it.
fn triangle_of(c: &Call, lower: bool) -> (i128, i128, i128) {
    let (r, n, k) = (c.int(0) as i128, c.int(1) as i128, c.int(2) as i128);
    // Row `i` has the columns up to `i + k` (lower), or those after it.
    (r, n, (if lower { k } else { k - 1 }).clamp(-r - 1, n))
}

fn infer_triangle_indices(c: &Call, lower: bool) -> Result<Specs> {
    if c.int(0) < 0 || c.int(1) < 0 {
        bail!(Value, "row and col must be non-negative, got {} and {}", c.int(0), c.int(1));
    }
    let (r, n, k) = triangle_of(c, lower);
    let below = triangle(r + k) - triangle(k) - (triangle(r + k - n) - triangle(k - n));
    let count = if lower { below } else { r as u128 * n as u128 - below };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    Spec::rows(&[2, count], c.opt_dtype(3).unwrap_or(DType::I64))?.one()
}

fn compute_triangle_indices(c: &Call, outs: &[Tensor], lower: bool) -> Result<()> {
    let (r, n, k) = triangle_of(c, lower);
    written_as(&outs[0], DType::I64, |t| {
        let (p, count, mut at) = (t.ptr::<i64>(), t.shape()[1], 0);
        let (first, last) = match (count, lower) {
            (0, _) => (0, 0),
            (_, true) => ((-k).max(0), r),
            (_, false) => (0, r.min(n - k)),
        };
        for i in first..last {
            let cut = (i + k + 1).clamp(0, n);
            for j in if lower { 0..cut } else { cut..n } {
                // SAFETY: the rows have `count` columns in all.
                unsafe { (*p.add(at), *p.add(count + at)) = (i as i64, j as i64) };
                at += 1;
            }
        }
        Ok(())
    })
}

fn infer_window(c: &Call, dtype: Option<DType>) -> Result<Specs> {
    let n = usize::try_from(c.int(0)).map_err(|_| err!(Value, "window_length must be non-negative, got {}", c.int(0)))?;
    let dtype = dtype.unwrap_or(default_dtype());
    if !dtype.is_float() {
        bail!(DType, "expects floating point dtypes, got {dtype}");
    }
    Spec::rows(&[n], dtype)?.one()
}

/// A window: `f(x)` for `x` from 0 to 1, over one step more if periodic.
fn compute_window(c: &Call, outs: &[Tensor], f: impl Fn(f64) -> f64) -> Result<()> {
    let n = outs[0].numel();
    let last = if c.bool(1) { n } else { n.max(1) - 1 } as f64;
    computed(&outs[0], |i| Scalar::Float(if n == 1 { 1.0 } else { f(i as f64 / last) }));
    Ok(())
}

/// Modified Bessel function of the first kind and order 0: the sum of `(x/2)^(2k) / k!^2`.
fn bessel_i0(x: f64) -> f64 {
    let (q, mut term, mut sum, mut k) = (x * x / 4.0, 1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= q / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

use std::f64::consts::{PI, TAU};

/// As [`compute_window`], of the distance to the middle, `(n - 1) / 2` or `n / 2` if periodic.
fn compute_around(outs: &[Tensor], periodic: bool, middle: Option<f64>, f: impl Fn(f64) -> f64) -> Result<()> {
    let n = outs[0].numel();
    let middle = middle.unwrap_or((n.max(1) - usize::from(!periodic || n == 1)) as f64 / 2.0);
    computed(&outs[0], |i| Scalar::Float(f(i as f64 - middle)));
    Ok(())
}

fn positive(name: &str, v: f64) -> Result<()> {
    if v <= 0.0 || v.is_nan() {
        bail!(Value, "{name} must be positive, got {v}");
    }
    Ok(())
}

ops! {
    /// An uninitialised tensor of shape `size`.
    empty(size: Shape, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| Spec::rows(&sizes(c.ints(0))?, c.opt_dtype(1).unwrap_or(default_dtype()))?.one(),
            |_, _| Ok(()),
        ),
        method: false,
        takes: Takes::ALL,
    }

    /// Zeros of shape `size`.
    zeros(size: Shape, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_filled(c, Scalar::Int(0), c.opt_dtype(1).unwrap_or(default_dtype())),
            |_, outs| compute_filled(outs, Scalar::Int(0)),
        ),
        method: false, onnx: Some("ConstantOfShape"),
        refuses: &[Refusal { call: "(2, -1)", message: "sizes must not be negative" }],
        takes: Takes::ALL,
    }

    /// Ones of shape `size`.
    ones(size: Shape, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_filled(c, Scalar::Int(1), c.opt_dtype(1).unwrap_or(default_dtype())),
            |_, outs| compute_filled(outs, Scalar::Int(1)),
        ),
        method: false, onnx: Some("ConstantOfShape"),
        takes: Takes::ALL,
    }

    /// A tensor of shape `size` with every element `fill_value`, whose kind decides the dtype if none is given.
    full(size: Shape, fill_value: Scalar, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_filled(c, c.scalar(1), c.opt_dtype(2).unwrap_or(c.scalar(1).dtype())),
            |c, outs| compute_filled(outs, c.scalar(1)),
        ),
        method: false, onnx: Some("ConstantOfShape"),
        takes: Takes::ALL,
    }

    /// An uninitialised tensor whose elements lie `stride` apart.
    empty_strided(size: Ints, stride: Ints, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| {
                let (shape, steps) = (sizes(c.ints(0))?, c.ints(1));
                if steps.len() != shape.len() || steps.iter().any(|&s| s < 0) {
                    bail!(Value, "wanted one stride for each size, not negative, got {:?} and {steps:?}", c.ints(0));
                }
                let steps = steps.iter().map(|&s| s as isize).collect();
                Spec { layout: Layout::new(shape, steps, 0)?, dtype: c.opt_dtype(2).unwrap_or(default_dtype()) }.one()
            },
            |_, _| Ok(()),
        ),
        method: false, function: false,
        refuses: &[Refusal { call: "(2, 3), (1,)", message: "one stride for each size" }],
        takes: Takes::ALL,
    }

    /// An uninitialised tensor as `input`.
    empty_like(input: Tensor, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(|c| Spec::like(c.x(0), c.opt_dtype(0).unwrap_or(c.x(0).dtype()))?.one(), |_, _| Ok(())),
        method: false,
        takes: Takes::ALL,
    }

    /// Zeros in the shape of `input`.
    zeros_like(input: Tensor, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_filled_like(c, Scalar::Int(0), c.opt_dtype(0)),
            |_, outs| compute_filled(outs, Scalar::Int(0)),
        ),
        method: false,
        takes: Takes::ALL,
    }

    /// Ones in the shape of `input`.
    ones_like(input: Tensor, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_filled_like(c, Scalar::Int(1), c.opt_dtype(0)),
            |_, outs| compute_filled(outs, Scalar::Int(1)),
        ),
        method: false,
        takes: Takes::ALL,
    }

    /// `fill_value` in the shape of `input`.
    full_like(input: Tensor, fill_value: Scalar, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_filled_like(c, c.scalar(0), c.opt_dtype(1)),
            |c, outs| compute_filled(outs, c.scalar(0)),
        ),
        method: false,
        takes: Takes::ALL,
    }

    /// `start + i * step` up to `end`, which is not included: `ceil((end - start) / step)` numbers. int64 if all three
    /// are whole, else the default dtype.
    arange(start: Scalar, end: Scalar, step: Scalar = 1, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(infer_arange, compute_arange),
        method: false, onnx: Some("Range"),
        refuses: &[Refusal { call: "0, 3, 0", message: "step must be nonzero" }],
    }

    /// `start + i * step` up to `end`, which is included if it is met, of the default dtype.
    range(start: Scalar, end: Scalar, step: Scalar = 1, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(infer_range, compute_range),
        method: false, function: false,
        refuses: &[
            Refusal { call: "0, 3, 0", message: "cannot go from 0 to 3 by steps of 0" },
            Refusal { call: "0, 3, -1", message: "cannot go from 0 to 3 by steps of -1" },
        ],
    }

    /// `steps` evenly spaced numbers from `start` to `end`, both included.
    linspace(start: Scalar, end: Scalar, steps: Int, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(|c| infer_spaced(c, c.opt_dtype(3)), |c, outs| compute_spaced(c, outs, None)),
        method: false,
        refuses: &[Refusal { call: "0, 1, -1", message: "number of steps must be non-negative" }],
        takes: Takes::COMPLEX,
    }

    /// `base` to the power of `steps` evenly spaced numbers from `start` to `end`, both included.
    logspace(start: Scalar, end: Scalar, steps: Int, base: Float = 10.0, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(|c| infer_spaced(c, c.opt_dtype(4)), |c, outs| compute_spaced(c, outs, Some(c.float(3)))),
        method: false,
        takes: Takes::COMPLEX,
    }

    /// The matrix of `n` rows and `m` (or `n`) columns with ones on the diagonal and zeros elsewhere.
    eye(n: Int, m: OptInt = None, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(infer_eye, compute_eye),
        method: false, onnx: Some("EyeLike"),
        takes: Takes::COMPLEX,
    }

    /// Row and column numbers of the lower triangle of a `row x col` matrix, up to diagonal `offset`: `[2, n]`.
    tril_indices(row: Int, col: Int, offset: Int = 0, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(|c| infer_triangle_indices(c, true), |c, outs| compute_triangle_indices(c, outs, true)),
        method: false,
    }

    /// The combinations of `r` of the numbers from 0 to `n - 1`, one per row, in lexicographic order.
    combination_indices(n: Int, r: Int, with_replacement: Bool = false) -> Tensor, Special {
        body: Kernel(infer_combinations, compute_combinations),
        method: false, function: false,
        refuses: &[
            Refusal { call: "3, -1", message: "non-negative" }, Refusal { call: "10**9, 10**6", message: "too many" },
        ],
    }

    /// Row and column numbers of the upper triangle of a `row x col` matrix, from diagonal `offset` on: `[2, n]`.
    triu_indices(row: Int, col: Int, offset: Int = 0, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(|c| infer_triangle_indices(c, false), |c, outs| compute_triangle_indices(c, outs, false)),
        method: false,
    }

    /// The Hann window `(1 - cos(2 pi x)) / 2`.
    hann_window(window_length: Int, periodic: Bool = true, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_window(c, c.opt_dtype(2)),
            |c, outs| compute_window(c, outs, |x| 0.5 - 0.5 * (TAU * x).cos()),
        ),
        method: false, onnx: Some("HannWindow"),
    }

    /// The Hamming window `alpha - beta cos(2 pi x)`.
    hamming_window(
        window_length: Int, periodic: Bool = true, alpha: Float = 0.54, beta: Float = 0.46, dtype: OptDType = None
    ) -> Tensor, Special {
        body: Kernel(
            |c| infer_window(c, c.opt_dtype(4)),
            |c, outs| compute_window(c, outs, |x| c.float(2) - c.float(3) * (TAU * x).cos()),
        ),
        method: false, onnx: Some("HammingWindow"),
    }

    /// The Blackman window `0.42 - 0.5 cos(2 pi x) + 0.08 cos(4 pi x)`.
    blackman_window(window_length: Int, periodic: Bool = true, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_window(c, c.opt_dtype(2)),
            |c, outs| compute_window(c, outs, |x| 0.42 - 0.5 * (TAU * x).cos() + 0.08 * (2.0 * TAU * x).cos()),
        ),
        method: false, onnx: Some("BlackmanWindow"),
    }

    /// The triangular window `1 - |2 x - 1|`.
    bartlett_window(window_length: Int, periodic: Bool = true, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_window(c, c.opt_dtype(2)),
            |c, outs| compute_window(c, outs, |x| 1.0 - (2.0 * x - 1.0).abs()),
        ),
        method: false,
    }

    /// The Kaiser window `I0(beta sqrt(1 - (2 x - 1)^2)) / I0(beta)`.
    kaiser_window(
        window_length: Int, periodic: Bool = true, beta: Float = 12.0, dtype: OptDType = None
    ) -> Tensor, Special {
        body: Kernel(|c| infer_window(c, c.opt_dtype(3)), |c, outs| {
            let beta = c.float(2);
            let scale = bessel_i0(beta);
            compute_window(c, outs, |x| bessel_i0(beta * (1.0 - (2.0 * x - 1.0).powi(2)).max(0.0).sqrt()) / scale)
        }),
        method: false,
    }

    /// The sine window `sin(pi (i + 1/2) / M)`; with `M + 1` in the place of `M` unless it is to be symmetric (`sym`).
    signal_windows_cosine(M: Int, sym: Bool = true, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(|c| infer_window(c, c.opt_dtype(2)), |c, outs| {
            let n = outs[0].numel();
            let all = (n + usize::from(!c.bool(1) && n > 1)) as f64;
            computed(&outs[0], |i| Scalar::Float((PI * (i as f64 + 0.5) / all).sin()));
            Ok(())
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "-1", message: "non-negative" }],
    }

    /// The exponential window `exp(-|i - center| / tau)`. The center is that of the window, `(M - 1) / 2`, or `M / 2` unless it is
    /// to be symmetric (`sym`); only then another one may be given.
    signal_windows_exponential(
        M: Int, center: OptFloat = None, tau: Float = 1.0, sym: Bool = true, dtype: OptDType = None
    ) -> Tensor, Special {
        body: Kernel(|c| {
            positive("tau", c.float(2))?;
            if c.bool(3) && c.opt_float(1).is_some() {
                bail!(Value, "center must be None for symmetric windows, got {}", c.float(1));
            }
            infer_window(c, c.opt_dtype(4))
        }, |c, outs| compute_around(outs, !c.bool(3), c.opt_float(1), |x| (-x.abs() / c.float(2)).exp())),
        method: false, function: false,
        refuses: &[Refusal { call: "3, 1.0", message: "symmetric" }, Refusal { call: "3, tau=0.0", message: "positive" }],
    }

    /// The Gaussian window `exp(-((i - center) / std)^2 / 2)` around `(M - 1) / 2`, or `M / 2` unless it is to be symmetric (`sym`).
    signal_windows_gaussian(M: Int, std: Float = 1.0, sym: Bool = true, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| {
                positive("std", c.float(1))?;
                infer_window(c, c.opt_dtype(3))
            },
            |c, outs| compute_around(outs, !c.bool(2), None, |x| (-0.5 * (x / c.float(1)).powi(2)).exp()),
        ),
        method: false, function: false,
        refuses: &[Refusal { call: "3, 0.0", message: "positive" }],
    }

    /// A sum of cosines, `sum of (-1)^k a[k] cos(2 pi k i / (M - 1))` for the elements of a 1-D tensor `a`; with `M` in the
    /// place of `M - 1` unless it is to be symmetric (`sym`).
    signal_windows_general_cosine(M: Int, a: Tensor, sym: Bool = true, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(|c| {
            if c.x(0).ndim() != 1 || c.x(0).numel() == 0 {
                bail!(Shape, "coefficients must be a 1-D tensor that is not empty, got shape {:?}", c.x(0).shape());
            }
            infer_window(c, c.opt_dtype(2))
        }, |c, outs| {
            let (a, n) = (c.x(0).to_vec_unlocked::<f64>()?, outs[0].numel());
            let last = (n.max(1) - usize::from(c.bool(1))) as f64;
            let mut pace = Pace::default();
            let at = |x: f64| a.iter().enumerate().map(|(k, a)| {
                let term = a * (TAU * k as f64 * x).cos();
                if k % 2 == 0 { term } else { -term }
            }).sum();
            let mut value = |i: usize| {
                pace.step(20 * a.len());
                Scalar::Float(if n == 1 { 1.0 } else { at(i as f64 / last) })
            };
            dispatch_all!(outs[0].dtype(), T => {
                // SAFETY: the tensor is row-major, and `i` below its number of elements.
                (0..n).for_each(|i| unsafe { *outs[0].ptr::<T>().add(i) = value(i).to::<T>() })
            });
            Ok(())
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "3, rt.ones(2, 2)", message: "1-D" }],
    }
}
