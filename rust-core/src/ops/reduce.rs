//! Reductions: sums, products, extremes, variances, norms.

use crate::bail;
use crate::dtype::{Compute, DType, Scalar, promote};
use crate::engine::complex::{abs_into, pairs, part};
use crate::engine::copy::{contiguous_unlocked, copy_into, written_as};
use crate::engine::elementwise::run_as;
use crate::engine::promotion::to_float;
use crate::engine::reduction::{Reduction, bring, count};
use crate::error::Result;
use crate::kernels::scan;
use crate::kernels::complex::{C, c as complex_number, self as numbers};
use crate::kernels::elementwise::Params;
use crate::kernels::reduce::{Kernels, self};
use crate::shape::{Dims, around, signed, wrap_dim, wrap_dims};
use crate::table::{Call, Outs, Refusal, Saves, Spec, Specs, Takes, Vjp, one, Cast};
use crate::table::lang::{Ex, sum_dtype};
use crate::table::loops::{float_kernel, infer_gradient, reduction};
use crate::table::rules::{expandable, no_zero, number, picked, prod_of_others, restored, shared, shared_by_all};
use crate::tensor::Tensor;
use crate::tensor::modes::grad_enabled;
use smallvec::SmallVec;

/// An optional dimension as a list; empty for all.
fn listed(dim: Option<i64>) -> SmallVec<[i64; 1]> {
    dim.into_iter().collect()
}

/// The dtype of a floating-point result; whole numbers are refused.
fn float_dtype(x: &Tensor, dtype: Option<DType>) -> Result<DType> {
    let d = dtype.unwrap_or(x.dtype());
    if !d.is_differentiable() {
        bail!(DType, "could not infer output dtype: the input dtype must be a floating point one, got {d}");
    }
    Ok(d)
}

/// Reductions without a neutral element need something to reduce.
fn not_empty(x: &Tensor, dims: &[i64]) -> Result<()> {
    if x.numel() > 0 {
        return Ok(());
    }
    if dims.is_empty() {
        bail!(
            Index,
            "expected reduction dim to be specified for input.numel() == 0; specify it with the 'dim' argument"
        );
    }
    for d in wrap_dims(dims, x.ndim())? {
        if x.shape()[d] == 0 {
            bail!(Index, "expected reduction dim {d} to have non-zero size");
        }
    }
    Ok(())
}

fn sum_of(c: &Call, kernels: &'static Kernels) -> Result<Reduction> {
    let x = c.x(0);
    let dtype = c.opt_dtype(2).unwrap_or(sum_dtype(x.dtype()));
    let first = truth_first(x, dtype);
    // Truth values are counted: a byte that is shared with others may be neither 0 nor 1.
    let truths = first.unwrap_or(x.dtype()) == DType::Bool && dtype.compute() == Compute::I64;
    let kernels = if truths { &reduce::COUNT } else { kernels };
    Ok(Reduction::of(x, first, c.ints(0), c.bool(1), kernels, dtype, [Some(dtype), None])?.with(&[1.0]))
}

/// Sums and products that are to be truth values are those of truth values: fractions must not be cut off first.
fn truth_first(x: &Tensor, dtype: DType) -> Option<DType> {
    let from = x.dtype();
    (dtype == DType::Bool && from.is_float() || from.is_complex()).then_some(dtype)
}

/// The dimensions that a reduction names: all if none.
fn all_dims(dims: &[i64], ndim: usize) -> Result<SmallVec<[i64; 8]>> {
    if dims.is_empty() {
        return Ok((0..ndim as i64).collect());
    }
    Ok(wrap_dims(dims, ndim)?.iter().map(|&d| d as i64).collect())
}

/// The row-major result of a reduction.
fn infer_reduced(x: &Tensor, dims: &[i64], keepdim: bool, dtype: DType) -> Result<Specs> {
    let dims = all_dims(dims, x.ndim())?;
    let mut shape = x.dims();
    for d in (0..x.ndim()).rev().filter(|&d| dims.contains(&(d as i64))) {
        shape[d] = 1;
        if !keepdim {
            shape.remove(d);
        }
    }
    Spec::rows(&shape, dtype)?.one()
}

/// Reduces both parts of complex numbers, each for itself.
fn compute_pairs(
    x: &Tensor,
    dims: &[i64],
    keepdim: bool,
    kernels: &'static Kernels,
    values: &[f64],
    out: &Tensor,
) -> Result<()> {
    let x = if x.ndim() == 0 { x.with_layout(x.layout().unsqueeze(0)) } else { x.clone() };
    let dims = if out.ndim() == 0 { all_dims(&[], x.ndim())? } else { all_dims(dims, x.ndim())? };
    let (from, to) = (pairs(&x)?, pairs(out)?);
    Reduction::single(&from, &dims, keepdim && out.ndim() > 0, kernels, from.dtype())?.with(values).compute(&from, &[to])
}

/// The dtype of a sum, if that is complex.
fn complex_sum(c: &Call) -> Option<DType> {
    Some(c.opt_dtype(2).unwrap_or(c.x(0).dtype())).filter(|d| d.is_complex())
}

fn infer_sum(c: &Call, mean: bool) -> Result<Specs> {
    if let Some(d) = c.opt_dtype(2).filter(|d| d.is_wide_unsigned()) {
        bail!(DType, "not implemented for dtype {d}");
    }
    match complex_sum(c) {
        Some(d) => infer_reduced(c.x(0), c.ints(0), c.bool(1), d),
        None => (if mean { mean_of(c)? } else { sum_of(c, &reduce::SUM)? }).specs(),
    }
}

fn compute_sum(c: &Call, outs: &[Tensor], mean: bool) -> Result<()> {
    let x = c.x(0);
    match complex_sum(c) {
        Some(d) => {
            let n = if mean { count(x.shape(), c.ints(0))? as f64 } else { 1.0 };
            let x = if x.dtype() == d { x.clone() } else { contiguous_unlocked(x, d, false)? };
            compute_pairs(&x, c.ints(0), c.bool(1), &reduce::SUM, &[n], &outs[0])
        }
        None => (if mean { mean_of(c)? } else { sum_of(c, &reduce::SUM)? }).compute(x, outs),
    }
}

/// Folds complex numbers along one dimension, or all of them.
fn compute_fold(x: &Tensor, d: DType, dim: Option<i64>, out: &Tensor, first: C, f: fn(C, C) -> C) -> Result<()> {
    let sizes = match dim {
        Some(dim) => around(x.shape(), wrap_dim(dim, x.ndim())?),
        None => [1, x.numel(), 1],
    };
    let sizes = if sizes[0] == 0 && x.numel() == 0 { [1, 0, out.numel()] } else { sizes };
    let x = contiguous_unlocked(x, d, false)?;
    written_as(out, d, |out| {
        // SAFETY: both are row-major with these sizes.
        unsafe {
            if d == DType::C64 {
                numbers::fold::<f32>(x.data_ptr(), out.data_ptr(), sizes, first, f);
            } else {
                numbers::fold::<f64>(x.data_ptr(), out.data_ptr(), sizes, first, f);
            }
        }
        Ok(())
    })
}

fn compute_complex_var(c: &Call, outs: &[Tensor], root: bool) -> Result<()> {
    let x = c.x(0);
    let x = if x.ndim() == 0 { x.with_layout(x.layout().unsqueeze(0)) } else { x.clone() };
    let real = x.dtype().real();
    let (dims, keep) = (if c.x(0).ndim() == 0 { &[][..] } else { c.ints(0) }, c.bool(2) && c.x(0).ndim() > 0);
    let variance = |which: usize| -> Result<Tensor> {
        // In f64, where the squares of single numbers are safe.
        let wide = contiguous_unlocked(&part(&x, which)?, DType::F64, false)?;
        let r = Reduction::of(&wide, None, dims, keep, &reduce::VAR, DType::F64, [Some(DType::F64), None])?;
        let out = Tensor::empty_of(outs[0].shape(), DType::F64)?;
        r.with(&[correction(c.opt_scalar(1)), 0.0]).compute(&wide, std::slice::from_ref(&out))?;
        Ok(out)
    };
    let (a, b) = (variance(0)?, variance(1)?);
    let k = if root { crate::kernel!(float |a, b, _p| (a + b).sqrt()) } else { crate::kernel!(float |a, b, _p| a + b) };
    run_as(k, [&a, &b], DType::F64, real, Params::default())?.compute(&outs[0])?;
    if let Some(mean) = outs.get(1) {
        compute_pairs(&x, dims, keep, &reduce::SUM, &[count(x.shape(), dims)? as f64], mean)?;
    }
    Ok(())
}

/// The absolute values of complex numbers, else the tensor itself.
fn magnitudes(x: &Tensor) -> Result<Tensor> {
    if !x.dtype().is_complex() {
        return Ok(x.clone());
    }
    let out = Tensor::empty_of(x.shape(), x.dtype().real())?;
    abs_into(x, &out)?;
    Ok(out)
}

/// `log(sum(exp))` of complex numbers.
fn compute_complex_logsumexp(c: &Call, out: &Tensor) -> Result<()> {
    let x = c.x(0).alias();
    let x = if x.ndim() == 0 { x.unsqueeze(0)? } else { x };
    let dims = if c.x(0).ndim() == 0 { all_dims(&[], 1)? } else { all_dims(c.ints(0), x.ndim())? };
    if x.numel() == 0 {
        let y = x.exp()?.sum(Some(&dims), c.bool(1), None)?.log()?;
        return copy_into(out, &y);
    }
    let top = x.real()?.amax(&dims, true)?;
    let top = top.masked_fill(&top.isfinite()?.logical_not()?, &number(0)?)?;
    let y = x.sub(&top, 1)?.exp()?.sum(Some(&dims), true, None)?.log()?.add(&top, 1)?;
    copy_into(out, &y.reshape(&signed(out.shape()))?)
}

fn prod_of(c: &Call) -> Result<Reduction> {
    let (x, dims) = (c.x(0), listed(c.opt_int(0)));
    let dtype = c.opt_dtype(2).unwrap_or(sum_dtype(x.dtype()));
    Reduction::of(x, truth_first(x, dtype), &dims, c.bool(1), &reduce::PROD, dtype, [Some(dtype), None])
}

fn logsumexp_of(c: &Call) -> Result<Reduction> {
    Reduction::single(c.x(0), c.ints(0), c.bool(1), &reduce::LOGSUMEXP, to_float(c.x(0).dtype()))
}

fn mean_of(c: &Call) -> Result<Reduction> {
    let x = c.x(0);
    let dtype = float_dtype(x, c.opt_dtype(2))?;
    let n = count(x.shape(), c.ints(0))?;
    Ok(Reduction::single(x, c.ints(0), c.bool(1), &reduce::SUM, dtype)?.with(&[n as f64]))
}

fn extreme_of(c: &Call, dims: &[i64], keepdim: bool, kernels: &'static Kernels) -> Result<Reduction> {
    let x = c.x(0);
    not_empty(x, dims)?;
    Reduction::single(x, dims, keepdim, kernels, x.dtype())
}

/// `max_dim` and `min_dim`.
fn extreme_along(c: &Call, kernels: &'static Kernels) -> Result<Reduction> {
    let x = c.x(0);
    let dims = [c.int(0)];
    not_empty(x, &dims)?;
    Reduction::of(x, None, &dims, c.bool(1), kernels, x.dtype(), [Some(x.dtype()), Some(DType::I64)])
}

fn arg_of(c: &Call, kernels: &'static Kernels) -> Result<Reduction> {
    let x = c.x(0);
    if x.dtype() == DType::Bool {
        bail!(DType, "not implemented for dtype bool");
    }
    let dims = listed(c.opt_int(0));
    not_empty(x, &dims)?;
    // Over several dimensions the index counts in row-major order.
    let first = (dims.is_empty() && x.ndim() > 1).then_some(x.dtype());
    Reduction::of(x, first, &dims, c.bool(1), kernels, x.dtype(), [None, Some(DType::I64)])
}

/// Indices stay as the loops leave them.
fn infer_arg(c: &Call, kernels: &'static Kernels) -> Result<Specs> {
    Spec { layout: arg_of(c, kernels)?.layout, dtype: DType::I64 }.one()
}

fn truth_dtype(x: &Tensor) -> DType {
    if x.dtype() == DType::U8 {
        DType::U8
    } else {
        DType::Bool
    }
}

/// The reduction of `any` and `all`; None for no dimensions at all: every element for itself.
fn truth_of(c: &Call, kernels: &'static Kernels) -> Result<Option<Reduction>> {
    let x = c.x(0);
    if c.opt_ints(0).is_some_and(|d| d.is_empty()) && x.ndim() > 0 {
        return Ok(None);
    }
    // Of complex numbers either part counts.
    let first = (x.dtype().is_complex() || x.dtype() == DType::U64).then_some(DType::Bool);
    let compute = first.unwrap_or(x.dtype());
    Reduction::of(x, first, c.ints(0), c.bool(1), kernels, compute, [Some(truth_dtype(x)), None]).map(Some)
}

fn infer_truth(c: &Call, kernels: &'static Kernels) -> Result<Specs> {
    match truth_of(c, kernels)? {
        Some(r) => r.specs(),
        None => Spec::rows(c.x(0).shape(), truth_dtype(c.x(0)))?.one(),
    }
}

fn compute_truth(c: &Call, outs: &[Tensor], kernels: &'static Kernels) -> Result<()> {
    match truth_of(c, kernels)? {
        Some(r) => r.compute(c.x(0), outs),
        None => written_as(&outs[0], DType::Bool, |out| copy_into(out, c.x(0))),
    }
}

fn correction(s: Option<Scalar>) -> f64 {
    s.map_or(1.0, |s| s.f64())
}

/// The variance, or its root, of `x`, which has the elements of the input in dtype `compute`.
fn var_of(c: &Call, x: &Tensor, root: bool, with_mean: bool, compute: DType) -> Result<Reduction> {
    let d = c.x(0).dtype();
    if d.is_complex() {
        unreachable!("both parts have variances");
    }
    if !d.is_float() {
        bail!(DType, "only floating point dtypes are supported, got {d}");
    }
    let r = Reduction::of(x, None, c.ints(0), c.bool(2), &reduce::VAR, compute, [Some(d), with_mean.then_some(d)])?;
    Ok(r.with(&[correction(c.opt_scalar(1)), root as u8 as f64]))
}

fn infer_var(c: &Call, root: bool, with_mean: bool) -> Result<Specs> {
    let d = c.x(0).dtype();
    if c.opt_scalar(1).is_some_and(|s| s.imaginary() != 0.0) {
        bail!(DType, "argument 'correction' must be a real number");
    }
    if d.is_complex() {
        let mut specs = infer_reduced(c.x(0), c.ints(0), c.bool(2), d.real())?;
        if with_mean {
            specs.extend(infer_reduced(c.x(0), c.ints(0), c.bool(2), d)?);
        }
        return Ok(specs);
    }
    var_of(c, c.x(0), root, with_mean, c.x(0).dtype())?.specs()
}

fn compute_var(c: &Call, outs: &[Tensor], root: bool, with_mean: bool) -> Result<()> {
    let (x, d) = (c.x(0), c.x(0).dtype());
    if d.is_complex() {
        return compute_complex_var(c, outs, root);
    }
    let r = var_of(c, x, root, with_mean, d)?;
    let raw = r.raw(outs)?;
    r.run(x, &raw)?;
    // Squares of single numbers are safe in f64, and those of double numbers after they are scaled.
    let least = if d == DType::F64 { 1e-290 } else { 1e-30 };
    let squares = least..1.0 / least;
    if !any_beyond(&raw[0], |v| !squares.contains(&if root { v * v } else { v })) {
        return bring(&raw, outs);
    }
    if d != DType::F64 {
        let wide = contiguous_unlocked(x, DType::F64, false)?;
        return var_of(c, &wide, root, with_mean, DType::F64)?.compute(&wide, outs);
    }
    let (y, scale) = scaled(x, c.ints(0), d, &reduce::NORM_MAX, true)?;
    let r = var_of(c, &y, root, with_mean, d)?;
    let raw = r.raw(outs)?;
    r.run(&y, &raw)?;
    raw.iter().zip([!root, false]).for_each(|(t, twice)| unscale(t, &scale, twice));
    bring(&raw, outs)
}

/// True if `beyond` holds for an element of a dense result in its compute type.
fn any_beyond(t: &Tensor, beyond: impl Fn(f64) -> bool) -> bool {
    // SAFETY: a new tensor, whose elements fill one block.
    unsafe {
        match t.dtype() {
            DType::F64 => std::slice::from_raw_parts(t.ptr::<f64>(), t.numel()).iter().any(|&v| beyond(v)),
            DType::F32 => std::slice::from_raw_parts(t.ptr::<f32>(), t.numel()).iter().any(|&v| beyond(v as f64)),
            _ => false,
        }
    }
}

/// `x`, in the compute type of `dtype`, divided by the number that `top` (the largest or smallest absolute value) finds in
/// each reduced range, or (`rounded`) by a power of two near it, and those divisors, of f64, lying as the results of the
/// reduction do.
fn scaled(x: &Tensor, dims: &[i64], dtype: DType, top: &'static Kernels, rounded: bool) -> Result<(Tensor, Tensor)> {
    // Row by row, as `y` will be: results of reductions lie as what is reduced does.
    let compute = dtype.compute_dtype();
    let x = &contiguous_unlocked(x, compute, false)?;
    let r = Reduction::single(x, dims, true, top, compute)?;
    let largest = Tensor::empty_like_layout(&r.layout, compute)?;
    r.run(x, std::slice::from_ref(&largest))?;
    let scale = Tensor::empty_like_layout(largest.layout(), DType::F64)?;
    for i in 0..scale.numel() {
        // SAFETY: both are new, and their elements fill one block.
        unsafe {
            let top = match largest.dtype() {
                DType::F64 => *largest.ptr::<f64>().add(i),
                _ => *largest.ptr::<f32>().add(i) as f64,
            };
            let least = if largest.dtype() == DType::F64 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE as f64 };
            // The exponent alone.
            let power = f64::from_bits(top.to_bits() & 0x7ff0_0000_0000_0000).max(least);
            let divisor = if rounded { power } else { top };
            *scale.ptr::<f64>().add(i) = if top > 0.0 && divisor.is_finite() { divisor } else { 1.0 };
        }
    }
    let divisor = contiguous_unlocked(&scale, compute, false)?;
    let k = crate::kernel!(float | a, b, _p | a / b);
    let y = run_as(k, [x, &divisor], compute, compute, Params::default())?.result()?;
    Ok((y, scale))
}

/// Multiplies results by their scales, once or twice.
fn unscale(t: &Tensor, scale: &Tensor, twice: bool) {
    for i in 0..t.numel() {
        // SAFETY: both are new, lie alike, and their elements fill one block.
        unsafe {
            let s = *scale.ptr::<f64>().add(i);
            let times = |v: f64| if twice { v * s * s } else { v * s };
            match t.dtype() {
                DType::F64 => *t.ptr::<f64>().add(i) = times(*t.ptr::<f64>().add(i)),
                _ => *t.ptr::<f32>().add(i) = times(*t.ptr::<f32>().add(i) as f64) as f32,
            }
        }
    }
}

/// A norm of `x`, which has the elements of the input, perhaps scaled, and the dtype that it is computed in.
fn norm_of(c: &Call, x: &Tensor) -> Result<(Reduction, DType)> {
    let (input, p) = (c.x(0).dtype().real(), c.scalar(0).f64());
    if c.scalar(0).imaginary() != 0.0 {
        bail!(DType, "argument 'ord' must be a real number, got {}", c.scalar(0));
    }
    if !input.is_float() {
        bail!(DType, "expected a floating point tensor as input, got {input}");
    }
    let dtype = c.opt_dtype(3).map_or(input, DType::real);
    if !dtype.is_float() || promote(dtype, input)? != dtype {
        bail!(DType, "the dtype of the input ({input}) should be convertible without narrowing to {dtype}");
    }
    if (p.is_infinite() || p < 0.0) && x.numel() == 0 && count(x.shape(), c.ints(1))? == 0 {
        bail!(Value, "cannot compute the {p} norm on an empty tensor because the operation does not have an identity");
    }
    let k = match p {
        0.0 => &reduce::NORM0,
        1.0 => &reduce::NORM1,
        2.0 => &reduce::NORM2,
        f64::INFINITY => &reduce::NORM_MAX,
        f64::NEG_INFINITY => &reduce::NORM_MIN,
        _ => &reduce::NORMP,
    };
    Ok((Reduction::single(x, c.ints(1), c.bool(2), k, dtype)?.with(&[p]), dtype))
}

fn compute_norm(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, p) = (&magnitudes(c.x(0))?, c.scalar(0).f64());
    let (r, dtype) = norm_of(c, x)?;
    let raw = r.raw(outs)?;
    r.run(x, &raw)?;
    // Powers that the compute type does not hold are taken of scaled numbers. (Squares of f32 are taken in f64.)
    let single = dtype.compute() == Compute::F32;
    let least = if single { 1e-30 } else { 1e-290 };
    let powers = p.is_finite() && p != 0.0 && p != 1.0 && !(p == 2.0 && single);
    let beyond = |v: f64| !(least..1.0 / least).contains(&v.powf(p));
    if !powers || !any_beyond(&raw[0], beyond) {
        return bring(&raw, outs);
    }
    // Of high powers nothing is left but that of the number which outweighs all others.
    let (top, rounded) = (if p < 0.0 { &reduce::NORM_MIN } else { &reduce::NORM_MAX }, p.abs() < 64.0);
    let (y, scale) = scaled(x, c.ints(1), dtype, top, rounded)?;
    let (r, _) = norm_of(c, &y)?;
    let raw = r.raw(outs)?;
    r.run(&y, &raw)?;
    unscale(&raw[0], &scale, false);
    bring(&raw, outs)
}

/// `2 / (n - correction) * (x - mean) * g`
fn var_rule(v: &Vjp, g: Ex) -> Ex {
    let dims = v.ints(0);
    let n = match count(v.shape(0), dims) {
        Ok(n) => n as f64 - correction(v.opt_scalar(1)),
        Err(e) => return Ex::Err(e),
    };
    let mean = v.x(0).then(|x| x.mean(Some(dims), true, None));
    let factor = if n <= 0.0 { f64::INFINITY } else { 2.0 / n };
    restored(g, v, dims, v.bool(2)) * factor * (v.x(0) - mean)
}

/// The gradient of a variance from that of its root; none where the root is 0.
fn of_root(g: Ex, root: Ex) -> Ex {
    no_zero(g / (&root * 2.0), &root)
}

/// Gradient of a mean.
fn mean_rule(v: &Vjp, g: Ex, dims: &[i64], keepdim: bool) -> Ex {
    let n = count(v.shape(0), dims).unwrap_or(1) as f64;
    (expandable(g, v, dims, keepdim) / n).expand(&v.sizes(0))
}

fn norm_rule(v: &Vjp) -> Ex {
    let (p, dims, keep) = (v.scalar(0).f64(), v.ints(1), v.bool(2));
    let x = v.x(0);
    let (y, g) = (restored(v.y(), v, dims, keep), restored(v.g(), v, dims, keep));
    match p {
        0.0 => Ex::from(Tensor::filled(v.shape(0), Scalar::Int(0), v.dtype(0))),
        1.0 => x.sgn() * g,
        2.0 => no_zero(g / &y, &y) * x,
        p if p.is_infinite() => {
            let mask = x.abs().eq(&y);
            let count = mask.sum(dims, true);
            (x.sgn() * (g / count)).keep(mask)
        }
        // Powers of the quotient are within range where those of both are not.
        p => {
            let part = no_zero(&x / &y, &y);
            match p {
                // With p below 0 one zero makes the norm 0, and what the others are does not matter.
                p if p < 1.0 => no_zero(no_zero(x.sgn() * part.abs().pow(p - 1.0), &x), &y) * g,
                p if p < 2.0 => x.sgn() * part.abs().pow(p - 1.0) * g,
                p => &part * part.abs().pow(p - 2.0) * g,
            }
        }
    }
}

/// For `prod_backward` the shape that its gradient must have, and `[outer, n, inner]` of its input.
fn prod_lines(c: &Call) -> Result<(Dims, [usize; 3])> {
    let x = c.x(1);
    let mut reduced = x.dims();
    let Some(d) = c.opt_int(0) else {
        reduced.fill(1);
        return Ok((reduced, [1, x.numel(), 1]));
    };
    let d = wrap_dim(d, x.ndim())?;
    reduced.get_mut(d).into_iter().for_each(|n| *n = 1);
    Ok((reduced, around(x.shape(), d)))
}

fn eval_matrix_norm(c: &Call) -> Result<Outs> {
    let (a, ord, keep) = (c.x(0), c.opt_scalar(0).map(|s| s.f64()), c.bool(2));
    let a = match c.opt_dtype(3) {
        Some(d) => a.to_dtype(d)?,
        None => a.clone(),
    };
    if !a.dtype().is_float() && !a.dtype().is_complex() {
        bail!(DType, "expected a floating point or complex tensor, got {}", a.dtype());
    }
    if a.ndim() < 2 {
        bail!(Shape, "expected a tensor with at least two dimensions, got shape {:?}", a.shape());
    }
    let &[rows, columns] = c.ints(1) else {
        bail!(Shape, "dim must hold two dimensions, got {:?}", c.ints(1));
    };
    let (row, column) = (wrap_dim(rows, a.ndim())?, wrap_dim(columns, a.ndim())?);
    if row == column {
        bail!(Shape, "dim must hold two different dimensions of {}, got {:?}", a.ndim(), c.ints(1));
    }
    let both = [row as i64, column as i64];
    let singular = |pick: fn(&Tensor) -> Result<Tensor>| -> Result<Tensor> {
        let mut y = pick(&Tensor::linalg_svdvals(&a.movedim(&both, &[-2, -1])?)?)?;
        if keep {
            for d in [row.min(column), row.max(column)] {
                y = y.unsqueeze(d as i64)?;
            }
        }
        Ok(y)
    };
    let sums = |over: usize, along: usize, largest: bool| -> Result<Tensor> {
        let sums = a.abs()?.sum(Some(&[over as i64]), true, None)?;
        let along = [along as i64];
        let y = if largest { sums.amax(&along, true)? } else { sums.amin(&along, true)? };
        if keep { Ok(y) } else { y.squeeze(Some(&both)) }
    };
    one(match (ord, c.str(4)) {
        (None, "fro") => a.vector_norm(2, Some(&both), keep, None)?,
        (None, "nuc") => singular(|s| s.sum(Some(&[-1]), false, None))?,
        (Some(2.0), _) => singular(|s| s.amax(&[-1], false))?,
        (Some(-2.0), _) => singular(|s| s.amin(&[-1], false))?,
        (Some(p), _) if p.abs() == 1.0 => sums(row, column, p > 0.0)?,
        (Some(p), _) if p.is_infinite() => sums(column, row, p > 0.0)?,
        (Some(p), _) => bail!(Value, "ord must be 1, -1, 2, -2, inf, -inf, \"fro\" or \"nuc\", got {p}"),
        (None, w) => bail!(Value, "ord must be 1, -1, 2, -2, inf, -inf, \"fro\" or \"nuc\", got {w:?}"),
    })
}

ops! {
    /// Sum of the elements over `dim` (one or several; all by default). Whole numbers add up in int64.
    sum(input: Tensor, dim: OptInts = None, keepdim: Bool = false, dtype: OptDType = None) -> Tensor, Real {
        body: Kernel(|c| infer_sum(c, false), |c, outs| compute_sum(c, outs, false)), takes: Takes::ALL,
        vjp: vjp!(|v| expandable(v.g(), v, v.ints(0), v.bool(1)).expand(&v.sizes(0))),
        onnx: Some("ReduceSum"),
        refuses: &[Refusal { call: "rt.ones(2, 3), 2", message: "out of range" }],
        samples: &["r(2, 3)", "r(2, 3, 2), 1", "r(2, 3, 2), (0, 2), True, rt.float64"],
    }

    /// Mean of the elements over `dim` (one or several; all by default). Floats only.
    mean(input: Tensor, dim: OptInts = None, keepdim: Bool = false, dtype: OptDType = None) -> Tensor, Real {
        body: Kernel(|c| infer_sum(c, true), |c, outs| compute_sum(c, outs, true)), takes: Takes::COMPLEX,
        vjp: vjp!(|v| mean_rule(v, v.g(), v.ints(0), v.bool(1))),
        onnx: Some("ReduceMean"),
        refuses: &[Refusal { call: "rt.ones(2, dtype=rt.int64)", message: "floating point" }],
        samples: &["r(2, 3)", "r(2, 3, 2), 1", "r(2, 3, 2), (0, 2), True, rt.float64"],
    }

    /// Product of the elements over `dim` (all by default). Whole numbers multiply in int64.
    prod(input: Tensor, dim: OptInt = None, keepdim: Bool = false, dtype: OptDType = None) -> Tensor, Real {
        cast: Cast::Full,
        body: Kernel(
            |c| match complex_sum(c) {
                Some(d) => infer_reduced(c.x(0), &listed(c.opt_int(0)), c.bool(1), d),
                None => prod_of(c)?.specs(),
            },
            |c, outs| match complex_sum(c) {
                Some(d) => compute_fold(c.x(0), d, c.opt_int(0), &outs[0], complex_number(1.0, 0.0), |a, b| a * b),
                None => prod_of(c)?.compute(c.x(0), outs),
            },
        ),
        takes: Takes::ALL,
        vjp: vjp!(|v| {
            let dims = listed(v.opt_int(0));
            let g = restored(v.g(), v, &dims, v.bool(1));
            v.x(0).with(g, |x, g| {
                if grad_enabled() || x.dtype().is_complex() || g.dtype().is_complex() {
                    prod_of_others(x, v.opt_int(0))?.mul(g)
                } else {
                    Tensor::prod_backward(g, x, v.opt_int(0))
                }
            }).grads()
        }),
        saves: Saves::X, onnx: Some("ReduceProd"),
        samples: &[
            "r(2, 3)", "r(2, 3), 1", "r(2, 3), 0, True", "t([0.0, 2.0, 3.0])", "t([0.0, 2.0, 0.0])",
            "t([[0.0, 2.0], [3.0, 4.0]]), 1",
        ],
    }

    /// Gradient of `prod`: `grad` (the reduced dimensions kept with size 1) times the product of the other elements.
    prod_backward(grad: Tensor, input: Tensor, dim: OptInt) -> Tensor, Special {
        body: Kernel(
            |c| infer_gradient(c, &prod_lines(c)?.0),
            |c, outs| float_kernel!(c, outs, prod_lines(c)?.1, scan::prod_backward, 0, 1),
        ),
        method: false, function: false,
    }

    /// Sum of the elements over `dim` (all by default), NaN counting as 0.
    nansum(input: Tensor, dim: OptInts = None, keepdim: Bool = false, dtype: OptDType = None) -> Tensor, Real {
        body: reduction!(|c| {
            if c.opt_dtype(2) == Some(DType::Bool) {
                bail!(DType, "not implemented for dtype bool");
            }
            sum_of(c, &reduce::NANSUM)
        }),
        vjp: vjp!(|v| {
            let there = v.x(0).then(|x| x.isnan()?.logical_not());
            expandable(v.g(), v, v.ints(0), v.bool(1)).expand(&v.sizes(0)).keep(there)
        }),
        saves: Saves::X,
        samples: &["t([nan, 1.0, 2.0])", "r(2, 3, 2), (0, 2), True"],
    }

    /// Mean over `dim` (all by default) of the elements that are not NaN.
    nanmean(input: Tensor, dim: OptInts = None, keepdim: Bool = false, dtype: OptDType = None) -> Tensor, Real {
        body: Composite(|c| {
            let x = c.x(0);
            float_dtype(x, c.opt_dtype(2))?;
            let n = x.isnan()?.logical_not()?.sum(c.opt_ints(0), c.bool(1), None)?;
            one(x.nansum(c.opt_ints(0), c.bool(1), c.opt_dtype(2))?.div(&n, "")?)
        }),

        samples: &["t([[nan, 1.0], [2.0, 3.0]]), 0", "r(2, 3, 2), (0, 2), True"],
    }

    /// Largest element over `dim` (one or several; all by default); NaN wins. The gradient is shared among equals.
    amax(input: Tensor, dim: Ints = [], keepdim: Bool = false) -> Tensor, Real {
        body: reduction!(|c| extreme_of(c, c.ints(0), c.bool(1), &reduce::MAX)),
        vjp: vjp!(|v| shared(v, v.g(), v.y(), v.ints(0), v.bool(1))), saves: Saves::X.and(Saves::OUTPUT),
        onnx: Some("ReduceMax"),
        refuses: &[Refusal { call: "rt.ones(0, 3), 0", message: "non-zero size" }],
        samples: &["r(2, 3), 1", "r(2, 3), (0, 1), True", "tied([2.0, 1.0, 3.0, 3.0, 1.0])"],
    }

    /// Smallest element over `dim` (one or several; all by default); NaN wins. The gradient is shared among equals.
    amin(input: Tensor, dim: Ints = [], keepdim: Bool = false) -> Tensor, Real {
        body: reduction!(|c| extreme_of(c, c.ints(0), c.bool(1), &reduce::MIN)),
        vjp: vjp!(|v| shared(v, v.g(), v.y(), v.ints(0), v.bool(1))), saves: Saves::X.and(Saves::OUTPUT),
        onnx: Some("ReduceMin"),
        samples: &["r(2, 3), 1", "r(2, 3), (0, 1), True", "tied([2.0, 1.0, 3.0, 3.0, 1.0])"],
    }

    /// Largest of all elements; NaN wins.
    max_all(input: Tensor) -> Tensor, Real {
        body: reduction!(|c| extreme_of(c, &[], false, &reduce::MAX)),
        vjp: vjp!(|v| shared_by_all(v)), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
        samples: &["r(2, 3)", "tied([2.0, 1.0, 3.0, 3.0, 1.0])"],
    }

    /// Smallest of all elements; NaN wins.
    min_all(input: Tensor) -> Tensor, Real {
        body: reduction!(|c| extreme_of(c, &[], false, &reduce::MIN)),
        vjp: vjp!(|v| shared_by_all(v)), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
        samples: &["r(2, 3)", "tied([2.0, 1.0, 3.0, 3.0, 1.0])"],
    }

    /// Largest elements along `dim` and their indices, the first of equals; NaN wins.
    max_dim(input: Tensor, dim: Int, keepdim: Bool = false) -> Pair, Real {
        body: reduction!(|c| extreme_along(c, &reduce::ARGMAX)),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(0), v.bool(1))), saves: Saves::OUTPUT,
        method: false, function: false,
        samples: &["r(2, 3), 1", "r(3, 2), 0, True"],
    }

    /// Smallest elements along `dim` and their indices, the first of equals; NaN wins.
    min_dim(input: Tensor, dim: Int, keepdim: Bool = false) -> Pair, Real {
        body: reduction!(|c| extreme_along(c, &reduce::ARGMIN)),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(0), v.bool(1))), saves: Saves::OUTPUT,
        method: false, function: false,
        samples: &["r(2, 3), 1", "r(3, 2), 0, True"],
    }

    /// Index of the largest element along `dim`, or in the flattened input; the first of equals, NaN being largest.
    argmax(input: Tensor, dim: OptInt = None, keepdim: Bool = false) -> Tensor, Real {
        body: Kernel(
            |c| infer_arg(c, &reduce::ARGMAX),
            |c, outs| arg_of(c, &reduce::ARGMAX)?.compute(c.x(0), outs),
        ),
        onnx: Some("ArgMax"),
    }

    /// Index of the smallest element along `dim`, or in the flattened input; the first of equals, NaN being smallest.
    argmin(input: Tensor, dim: OptInt = None, keepdim: Bool = false) -> Tensor, Real {
        body: Kernel(
            |c| infer_arg(c, &reduce::ARGMIN),
            |c, outs| arg_of(c, &reduce::ARGMIN)?.compute(c.x(0), outs),
        ),
        onnx: Some("ArgMin"),
    }

    /// Smallest and largest element along `dim` (of all by default).
    aminmax(input: Tensor, dim: OptInt = None, keepdim: Bool = false) -> Pair, Real {
        body: reduction!(|c| {
            let (x, dims) = (c.x(0), listed(c.opt_int(0)));
            not_empty(x, &dims)?;
            Reduction::of(x, None, &dims, c.bool(1), &reduce::MINMAX, x.dtype(), [Some(x.dtype()); 2])
        }),
        vjp: vjp!(|v| {
            let dims = listed(v.opt_int(0));
            let part = |k| if v.has(k) { shared(v, v.gk(k), v.yk(k), &dims, v.bool(1)) } else { Ex::None };
            part(0) + part(1)
        }),
        saves: Saves::X.and(Saves::OUTPUT),
        samples: &["r(2, 3)", "r(2, 3), 1", "r(2, 3), 0, True"],
    }

    /// True if any element over `dim` (all by default) is not zero. uint8 gives uint8.
    any(input: Tensor, dim: OptInts = None, keepdim: Bool = false) -> Tensor, Boolean {
        body: Kernel(|c| infer_truth(c, &reduce::ANY), |c, outs| compute_truth(c, outs, &reduce::ANY)),
        takes: Takes::ALL,
    }

    /// True if no element over `dim` (all by default) is zero. uint8 gives uint8.
    all(input: Tensor, dim: OptInts = None, keepdim: Bool = false) -> Tensor, Boolean {
        body: Kernel(|c| infer_truth(c, &reduce::ALL), |c, outs| compute_truth(c, outs, &reduce::ALL)),
        takes: Takes::ALL,
    }

    /// Variance over `dim` (all by default): squared distances from the mean, divided by `n - correction`.
    var(input: Tensor, dim: OptInts = None, correction: OptScalar = 1, keepdim: Bool = false) -> Tensor, Real {
        body: Kernel(|c| infer_var(c, false, false), |c, outs| compute_var(c, outs, false, false)),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| var_rule(v, v.g())), saves: Saves::X,
        refuses: &[Refusal { call: "rt.ones(2, dtype=rt.int64)", message: "floating point" }],
        samples: &["r(5)", "r(2, 3, 2), 1", "r(2, 3), (0, 1), 0, True", "r(5), correction=2"],
    }

    /// Standard deviation over `dim` (all by default): the root of `var`.
    std(input: Tensor, dim: OptInts = None, correction: OptScalar = 1, keepdim: Bool = false) -> Tensor, Real {
        body: Kernel(|c| infer_var(c, true, false), |c, outs| compute_var(c, outs, true, false)),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| var_rule(v, of_root(v.g(), v.y()))), saves: Saves::X.and(Saves::OUTPUT),
        samples: &["r(5)", "r(2, 3, 2), 1", "r(2, 3), (0, 1), 0, True", "r(5), correction=2"],
    }

    /// Variance and mean over `dim` (all by default).
    var_mean(input: Tensor, dim: OptInts = None, correction: OptScalar = 1, keepdim: Bool = false) -> Pair, Real {
        body: Kernel(|c| infer_var(c, false, true), |c, outs| compute_var(c, outs, false, true)),
        takes: Takes::COMPLEX, conjugates: true,
        vjp: vjp!(|v| {
            let spread = if v.has(0) { var_rule(v, v.g()) } else { Ex::None };
            spread + if v.has(1) { mean_rule(v, v.gk(1), v.ints(0), v.bool(2)) } else { Ex::None }
        }),
        saves: Saves::X, method: false,
        samples: &["r(5)", "r(2, 3, 2), 1", "r(2, 3), (0, 1), 0, True", "r(5), correction=2"],
    }

    /// Standard deviation and mean over `dim` (all by default).
    std_mean(input: Tensor, dim: OptInts = None, correction: OptScalar = 1, keepdim: Bool = false) -> Pair, Real {
        body: Kernel(|c| infer_var(c, true, true), |c, outs| compute_var(c, outs, true, true)),
        takes: Takes::COMPLEX, conjugates: true,
        vjp: vjp!(|v| {
            let spread = if v.has(0) { var_rule(v, of_root(v.g(), v.y())) } else { Ex::None };
            spread + if v.has(1) { mean_rule(v, v.gk(1), v.ints(0), v.bool(2)) } else { Ex::None }
        }),
        saves: Saves::X.and(Saves::OUTPUT), method: false,
        samples: &["r(5)", "r(2, 3, 2), 1", "r(2, 3), (0, 1), 0, True", "r(5), correction=2"],
    }

    /// `log(sum(exp(input)))` over `dim` (all if empty), without overflow.
    logsumexp(input: Tensor, dim: Ints, keepdim: Bool = false) -> Tensor, Real {
        body: Kernel(
            |c| match c.x(0).dtype() {
                d if d.is_complex() => infer_reduced(c.x(0), c.ints(0), c.bool(1), d),
                _ => logsumexp_of(c)?.specs(),
            },
            |c, outs| match c.x(0).dtype() {
                d if d.is_complex() => compute_complex_logsumexp(c, &outs[0]),
                _ => logsumexp_of(c)?.compute(c.x(0), outs),
            },
        ),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| {
            let y = restored(v.y(), v, v.ints(0), v.bool(1));
            restored(v.g(), v, v.ints(0), v.bool(1)) * (v.x(0) - y).exp()
        }),
        saves: Saves::X.and(Saves::OUTPUT), onnx: Some("ReduceLogSumExp"),
        samples: &["r(2, 3), 1", "r(2, 3), (0, 1), True", "t([[-inf, 1.0], [2.0, 3.0]]), 1"],
    }

    /// The `ord`-norm of the elements over `dim` (all by default) as one vector: `(sum |x|^ord)^(1/ord)`; the largest or
    /// smallest absolute value for ±inf, the number of elements that are not zero for 0.
    vector_norm(input: Tensor, ord: Scalar = 2, dim: OptInts = None, keepdim: Bool = false, dtype: OptDType = None) -> Tensor, Real {
        body: Kernel(|c| {
            // As of the absolute values.
            let x = c.x(0);
            let seen = if x.dtype().is_complex() { part(x, 0)? } else { x.clone() };
            let spec = norm_of(c, &seen)?.0.specs()?;
            if x.dtype().is_complex() { Ok(spec.into_iter().map(|s| Spec::rows(s.layout.shape(), s.dtype)).collect::<Result<_>>()?) } else { Ok(spec) }
        }, compute_norm),
        takes: Takes::COMPLEX, conjugates: true,
        vjp: vjp!(|v| norm_rule(v)), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
        samples: &[
            "r(2, 3)", "r(2, 3), 3, 1", "z(2, 3), 1, (0, 1), True", "r(4), inf", "r(4), -inf", "z(4), 0.5", "z(4), 0",
            "z(3), -1, 0, True, rt.float64",
        ],
    }

    /// Norms of the matrices in the two dimensions `dim`. `ord` is 1, -1 (largest, smallest sum of absolute values of a
    /// column), inf, -inf (of a row), 2, -2 (largest, smallest singular value); without it `named` says "fro" (the root of the
    /// sum of squares) or "nuc" (the sum of the singular values).
    linalg_matrix_norm(
        input: Tensor, ord: OptScalar = None, dim: Ints = [-2, -1], keepdim: Bool = false, dtype: OptDType = None, named: Str = "fro"
    ) -> Tensor, Real {
        body: Composite(eval_matrix_norm),
        takes: Takes::COMPLEX, method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3)", message: "at least two dimensions" },
            Refusal { call: "rt.ones(2, 2, dtype=rt.int64)", message: "floating point" },
            Refusal { call: "rt.ones(2, 2), 3", message: "ord must be" },
            Refusal { call: "rt.ones(2, 2), None, (0, 0)", message: "different" },
        ],
        samples: &[
            "r(2, 3)", "r(2, 3), 1", "r(2, 3), -1, (1, 0)", "r(2, 3, 2), inf, (0, 2), True", "r(2, 3), -inf", "m(3), 2",
            "m(3), -2, (-2, -1), True", "m(3), named='nuc'", "r(2, 3), dtype=rt.float64",
        ],
    }
}
