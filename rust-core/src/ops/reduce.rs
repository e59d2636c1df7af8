//! Reductions and cumulative reductions.

use crate::engine::complex::{abs_into, pairs, part};
use crate::engine::copy::{contiguous_unlocked, copy_into, written_as};
use crate::engine::elementwise::run_as;
use crate::shape::{around, signed};
use crate::table::{Call, Outs, Refusal, Saves, Spec, Specs, Takes, Vjp, holds, one};
use crate::table::lang::{Ex, sum_dtype};
use crate::table::rules::{after_ones, before, expandable, picked, prod_of_others, restored, shared, shared_by_all, zeros};
use crate::tensor::modes::grad_enabled;
use crate::dtype::{default_dtype, promote, Compute, DType, Scalar};
use crate::error::{Error, Result};
use crate::kernels::elementwise::Params;
use crate::kernels::reduce::{self, Dim, Kernels};
use crate::kernels::complex::{self as numbers, c as complex_number, C};
use crate::kernels::{pairs as distances, scan};
use crate::memory::List;
use crate::shape::{broadcast, wrap_dim, wrap_dims, Dims, Layout, Strides};
use crate::tensor::Tensor;
use crate::{bail, err};
use smallvec::SmallVec;

/// A reduction of a tensor: which loops run over which dimensions, and how the results lie.
struct Reduction {
    k: &'static reduce::Kernel,
    p: Params,
    /// The elements are brought to this dtype first, row by row.
    first: Option<DType>,
    /// The dimensions that stay, in the order in which they lie, then those that are reduced.
    walk: SmallVec<[Dim; 4]>,
    /// How the loops leave their results: in memory as the elements that they come from.
    layout: Layout,
    /// Dtypes of the results; None for one that is not wanted.
    dtypes: [Option<DType>; 2],
}

impl Reduction {
    /// Over `dims` (all if empty) of the elements of `x`, brought to dtype `first` before, computed as in `compute`.
    fn of(
        x: &Tensor,
        first: Option<DType>,
        dims: &[i64],
        keepdim: bool,
        kernels: &'static Kernels,
        compute: DType,
        dtypes: [Option<DType>; 2],
    ) -> Result<Reduction> {
        let from = first.unwrap_or(x.dtype());
        let Some(k) = kernels.get(from, compute) else {
            bail!(DType, "not implemented for dtype {from}");
        };
        let rows = first.map(|_| Layout::contiguous(x.shape())).transpose()?;
        let l = rows.as_ref().unwrap_or(x.layout());
        if dims.is_empty() {
            // In short: nothing stays.
            let walk = (0..l.ndim()).map(|d| (l.shape()[d], l.strides()[d], true)).collect();
            let ones: Dims = SmallVec::from_elem(1, if keepdim { l.ndim() } else { 0 });
            return Ok(Reduction { k, p: Params::default(), first, walk, layout: Layout::contiguous(&ones)?, dtypes });
        }
        let dims = wrap_dims(dims, x.ndim())?;
        let mut kept: SmallVec<[usize; 8]> = (0..l.ndim()).filter(|d| !dims.contains(d)).collect();
        kept.sort_unstable_by_key(|&d| {
            (std::cmp::Reverse(if l.shape()[d] == 1 { isize::MAX } else { l.strides()[d] }), d)
        });
        let mut strides: Strides = SmallVec::from_elem(1, l.ndim());
        let mut step = 1;
        for &d in kept.iter().rev() {
            strides[d] = step;
            step = step.saturating_mul(l.shape()[d].max(1) as isize);
        }
        let mut shape: Dims = (0..l.ndim()).map(|d| if dims.contains(&d) { 1 } else { l.shape()[d] }).collect();
        if !keepdim {
            for &d in dims.iter().rev() {
                shape.remove(d);
                strides.remove(d);
            }
        }
        let walk = kept
            .iter()
            .map(|&d| (l.shape()[d], l.strides()[d], false))
            .chain(dims.iter().map(|&d| (l.shape()[d], l.strides()[d], true)))
            .collect();
        Ok(Reduction { k, p: Params::default(), first, walk, layout: Layout::new(shape, strides, 0)?, dtypes })
    }

    /// One with one result, of the dtype that it computes in.
    fn single(x: &Tensor, dims: &[i64], keepdim: bool, kernels: &'static Kernels, dtype: DType) -> Result<Reduction> {
        Reduction::of(x, None, dims, keepdim, kernels, dtype, [Some(dtype), None])
    }

    /// With parameters for the loops.
    fn with(mut self, values: &[f64]) -> Reduction {
        self.p.f[..values.len()].copy_from_slice(values);
        self
    }

    /// The results that are wanted: the number that the loops know each by, and its dtype.
    fn wanted(&self) -> impl Iterator<Item = (usize, DType)> + '_ {
        self.dtypes.iter().enumerate().filter_map(|(i, d)| d.map(|d| (i, d)))
    }

    /// What comes out: row-major results, left as they are if the loops leave them so.
    fn specs(&self) -> Result<Specs> {
        let spec = |(i, dtype): (usize, DType)| {
            if self.k.out[i] == dtype && self.layout.is_contiguous() {
                return Ok(Spec { layout: self.layout.clone(), dtype });
            }
            Spec::rows(self.layout.shape(), dtype)
        };
        self.wanted().map(spec).collect()
    }

    /// What the loops write for the results `outs`: those themselves where they are as the loops leave them.
    fn raw(&self, outs: &[Tensor]) -> Result<Outs> {
        let raw = |((i, _), out): ((usize, DType), &Tensor)| {
            if out.dtype() == self.k.out[i] && *out.layout() == self.layout {
                return Ok(out.clone());
            }
            Tensor::empty_like_layout(&self.layout, self.k.out[i])
        };
        self.wanted().zip(outs).map(raw).collect()
    }

    /// Runs the loops over `x`, which write `raw`.
    fn run(&self, x: &Tensor, raw: &[Tensor]) -> Result<()> {
        let brought = self.first.map(|dtype| contiguous_unlocked(x, dtype, false)).transpose()?;
        let x = brought.as_ref().unwrap_or(x);
        let mut to = [std::ptr::null_mut(); 2];
        self.wanted().zip(raw).for_each(|((i, _), t)| to[i] = t.data_ptr());
        // SAFETY: `raw` is of the loops' types and has one element for each place of the kept dimensions, in their order.
        unsafe { reduce::reduce(self.k, x.data_ptr(), x.dtype(), &self.walk, &self.p, to) }
    }

    /// Writes the results `outs` of reducing `x`.
    fn compute(&self, x: &Tensor, outs: &[Tensor]) -> Result<()> {
        let raw = self.raw(outs)?;
        self.run(x, &raw)?;
        bring(&raw, outs)
    }
}

/// Brings what loops have written to the results.
fn bring(raw: &[Tensor], outs: &[Tensor]) -> Result<()> {
    raw.iter().zip(outs).filter(|(t, out)| !t.is_same(out)).try_for_each(|(t, out)| copy_into(out, t))
}

/// A body that does the [`Reduction`] of its input that it makes of the call.
macro_rules! reduction {
    (|$c:ident| $of:expr) => {
        Kernel(
            |$c| {
                let r: Result<Reduction> = $of;
                r?.specs()
            },
            |$c, outs| {
                let r: Result<Reduction> = $of;
                r?.compute($c.x(0), outs)
            },
        )
    };
}

/// A plain number as an operand.
fn number(v: impl Into<Scalar>) -> Result<Tensor> {
    Tensor::number(v.into())
}

/// An optional dimension as a list; empty for all.
fn listed(dim: Option<i64>) -> SmallVec<[i64; 1]> {
    dim.into_iter().collect()
}

/// Number of elements that are reduced into one.
fn count(shape: &[usize], dims: &[i64]) -> Result<usize> {
    Ok(wrap_dims(dims, shape.len())?.iter().map(|&d| shape[d]).product())
}

/// The dtype of a floating-point result; whole numbers are refused.
fn float_dtype(x: &Tensor, dtype: Option<DType>) -> Result<DType> {
    let d = dtype.unwrap_or(x.dtype());
    if !d.is_differentiable() {
        bail!(DType, "could not infer output dtype: the input dtype must be a floating point one, got {d}");
    }
    Ok(d)
}

/// The dtype of a result that whole numbers become floats for.
fn to_float(d: DType) -> DType {
    if d.is_differentiable() {
        d
    } else {
        default_dtype()
    }
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

// ---- complex numbers ----

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

fn eval_cdist(c: &Call) -> Result<Outs> {
    let (a, b, p) = (c.x(0), c.x(1), c.float(0));
    if a.ndim() < 2 || b.ndim() < 2 {
        bail!(Shape, "x1 and x2 must have at least two dimensions, got shapes {:?} and {:?}", a.shape(), b.shape());
    }
    if !a.dtype().is_float() || !b.dtype().is_float() {
        bail!(DType, "expected floating point tensors, got {} and {}", a.dtype(), b.dtype());
    }
    let (rows, columns) = ([a, b].map(|t| t.shape()[t.ndim() - 2]), [a, b].map(|t| t.shape()[t.ndim() - 1]));
    if columns[0] != columns[1] {
        let message = format!("x1 and x2 must have the same number of columns, got {} and {}", columns[0], columns[1]);
        return Err(Error::shapes("", message, a.shape(), b.shape()));
    }
    if p.is_nan() || p < 0.0 {
        bail!(Value, "only non-negative p values are supported, got {p}");
    }
    let modes = ["use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"];
    if !modes.contains(&c.str(1)) {
        bail!(Value, "{} is not a valid value for compute_mode", c.str(1));
    }
    if p != 2.0 {
        let difference = a.unsqueeze(-2)?.sub(&b.unsqueeze(-3)?, 1)?;
        if columns[0] == 0 {
            return one(difference.sum(Some(&[-1]), false, None)?);
        }
        if p == 0.0 {
            // Differences that are not numbers are not counted but stay.
            let ones = difference.abs()?.ceil()?.clamp(None, Some(Scalar::Int(1)))?;
            return one(ones.sum(Some(&[-1]), false, None)?);
        }
        return one(difference.vector_norm(p, Some(&[-1]), false, None)?);
    }
    // Never |x|^2 + |y|^2 - 2 x y, of which nothing is left where x and y are close to each other.
    let dtype = promote(a.dtype(), b.dtype())?;
    let batch = broadcast(&a.shape()[..a.ndim() - 2], &b.shape()[..b.ndim() - 2])?;
    let count: usize = batch.iter().product();
    let flat = |t: &Tensor, n: usize| {
        let mut wide = signed(&batch);
        wide.extend([n as i64, columns[0] as i64]);
        t.to_dtype(dtype)?.expand(&wide)?.reshape(&[count as i64, n as i64, columns[0] as i64])
    };
    let mut shape = signed(&batch);
    shape.extend([rows[0] as i64, rows[1] as i64]);
    one(flat(a, rows[0])?.euclidean_distances(&flat(b, rows[1])?)?.reshape(&shape)?)
}

/// Sizes `[batch, n, m, d]` of what `euclidean_distances` gets.
fn euclidean_sizes(c: &Call) -> Result<[usize; 4]> {
    let (x, y) = (c.x(0), c.x(1));
    let (&[batch, n, d], &[others, m, e]) = (x.shape(), y.shape()) else {
        bail!(Shape, "wanted two tensors of three dimensions, got shapes {:?} and {:?}", x.shape(), y.shape());
    };
    if batch != others || d != e {
        return Err(Error::shapes("", "wanted shapes [b, n, d] and [b, m, d]", x.shape(), y.shape()));
    }
    Ok([batch, n, m, d])
}

fn infer_euclidean(c: &Call) -> Result<Specs> {
    let [batch, n, m, _] = euclidean_sizes(c)?;
    let [d, e] = [c.x(0).dtype(), c.x(1).dtype()];
    if d != e || !d.is_float() {
        bail!(DType, "expected floating point tensors of one dtype, got {d} and {e}");
    }
    Spec::rows(&[batch, n, m], d)?.one()
}

fn compute_euclidean(c: &Call, outs: &[Tensor]) -> Result<()> {
    let sizes = euclidean_sizes(c)?;
    let compute = c.x(0).dtype().compute_dtype();
    let (x, y) = (contiguous_unlocked(c.x(0), compute, false)?, contiguous_unlocked(c.x(1), compute, false)?);
    written_as(&outs[0], compute, |out| {
        // SAFETY: row-major elements of the compute type with these sizes.
        unsafe {
            match compute {
                DType::F64 => distances::euclidean::<f64>(x.ptr(), y.ptr(), out.ptr(), sizes),
                _ => distances::euclidean::<f32>(x.ptr(), y.ptr(), out.ptr(), sizes),
            }
        }
        Ok(())
    })
}

/// Gradients of the distances, which have no slope where they are 0: `(x - y) / distance`, summed up.
fn euclidean_rule(v: &Vjp) -> [Ex; 2] {
    if v.shape(0).contains(&0) || v.shape(1).contains(&0) {
        return [zeros(v, 0), zeros(v, 1)];
    }
    let y = v.y();
    let weight = no_zero(v.g() / &y, &y);
    // Moving both by one vector changes nothing but the rounding of what follows.
    let centre = v.x(0).then(|x| x.alias().mean(Some(&[-2]), true, None)?.nan_to_num(Some(0.0), Some(0.0), Some(0.0)));
    let (a, b) = (v.x(0) - &centre, v.x(1) - &centre);
    [
        v.want(0, || &a * weight.sum(&[-1], true) - weight.matmul(&b)),
        v.want(1, || &b * weight.mt().sum(&[-1], true) - weight.mt().matmul(&a)),
    ]
}

/// Weights of observations: a vector with one number for each.
fn observed(w: Option<&Tensor>, n: usize, name: &str, whole: bool) -> Result<Option<Tensor>> {
    let Some(w) = w else { return Ok(None) };
    if w.ndim() > 1 || w.numel() != n {
        bail!(Shape, "expected {name} to have one number for each of {n} observations, got shape {:?}", w.shape());
    }
    if w.dtype() == DType::Bool || w.dtype().is_float() == whole {
        bail!(DType, "expected {} {name}, got {}", if whole { "whole numbers as" } else { "floats as" }, w.dtype());
    }
    if holds(&w.lt(&Tensor::number(Scalar::Int(0))?)?.any(None, false)?)? {
        bail!(Value, "{name} cannot be negative");
    }
    w.reshape(&[-1]).map(Some)
}

fn eval_cov(c: &Call) -> Result<Outs> {
    let x = c.x(0);
    if x.ndim() > 2 {
        bail!(Shape, "expected input to have two or fewer dimensions, got shape {:?}", x.shape());
    }
    if x.dtype() == DType::Bool {
        bail!(DType, "bool dtype is not supported for input");
    }
    let x = if x.ndim() < 2 { x.reshape(&[1, -1])? } else { x.clone() };
    let n = x.shape()[1];
    let often = observed(c.opt(1), n, "fweights", true)?;
    let weight = observed(c.opt(2), n, "aweights", false)?;
    let w = match (&often, &weight) {
        (Some(f), Some(a)) => Some(f.mul(a)?),
        (f, a) => f.as_ref().or(a.as_ref()).cloned(),
    };
    let weighed = |t: &Tensor| w.as_ref().map_or_else(|| Ok(t.clone()), |w| t.mul(w));
    let total = match &w {
        Some(w) => w.sum(None, false, None)?,
        None => Tensor::number(Scalar::Int(n as i64))?,
    };
    if w.is_some() && !total.is_meta() && !holds(&total)? {
        bail!(Value, "weights sum to zero, cannot be normalized");
    }
    let average = weighed(&x)?.sum(Some(&[1]), true, None)?.div(&total, "")?;
    let correction = Tensor::number(Scalar::Int(c.int(0)))?;
    let off = match (&w, &weight) {
        (Some(w), Some(a)) => w.mul(a)?.sum(None, false, None)?.div(&total, "")?.mul(&correction)?,
        _ => correction,
    };
    let freedom = total.sub(&off, 1)?.clamp(Some(Scalar::Int(0)), None)?;
    let x = x.sub(&average, 1)?;
    let squares = x.mm(&weighed(&x)?.transpose(0, 1)?.conj()?)?;
    one(squares.div(&freedom, "")?.squeeze(None)?)
}

fn eval_histc(c: &Call) -> Result<Outs> {
    let (x, bins) = (c.x(0), c.int(0));
    if !x.dtype().is_float() {
        bail!(DType, "expected a floating point tensor as input, got {}", x.dtype());
    }
    if bins <= 0 {
        bail!(Value, "bins must be > 0, got {bins}");
    }
    let (mut low, mut high) = (c.scalar(1).f64(), c.scalar(2).f64());
    // Where no range is given, it is that of the elements.
    if low == high && c.meta {
        (low, high) = (0.0, 1.0);
    }
    if low == high && x.numel() > 0 {
        (low, high) = (x.min_all()?.item()?.f64(), x.max_all()?.item()?.f64());
    }
    if low == high {
        (low, high) = (low - 1.0, high + 1.0);
    }
    if !low.is_finite() || !high.is_finite() {
        bail!(Value, "range of [{low}, {high}] is not finite");
    }
    if low > high {
        bail!(Value, "max must be larger than min, got {high} and {low}");
    }
    if c.meta {
        return one(Tensor::filled(&[bins as usize], Scalar::Int(0), x.dtype())?);
    }
    let [from, to, width, count] = [low, high, high - low, bins as f64].map(|v| Tensor::number(Scalar::Float(v)));
    let (from, to) = (from?, to?);
    let inside = x.masked_select(&x.ge(&from)?.logical_and(&x.le(&to)?)?)?;
    // The upper bound belongs to the last interval.
    let place = inside.sub(&from, 1)?.mul(&count?)?.div(&width?, "")?.to_dtype(DType::I64)?;
    one(place.clamp(None, Some(Scalar::Int(bins - 1)))?.bincount(None, bins)?.to_dtype(x.dtype())?)
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

/// `e` where `of` is not zero, else 0.
fn no_zero(e: Ex, of: &Ex) -> Ex {
    e.with(of.eq(0.0), |e, zero| e.masked_fill(zero, &number(0)?))
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

/// The dtype that a scan of `what` gives, if `dtype` does not say so.
fn scan_dtype(x: &Tensor, what: scan::What, dtype: Option<DType>) -> DType {
    dtype.unwrap_or(match what {
        scan::What::LogSumExp => to_float(x.dtype()),
        _ => sum_dtype(x.dtype()),
    })
}

/// `[outer, n, inner]` of `x` around the dimension that attribute 0 names.
fn along(c: &Call, x: &Tensor) -> Result<[usize; 3]> {
    Ok(around(x.shape(), wrap_dim(c.int(0), x.ndim())?))
}

fn infer_scan(c: &Call, what: scan::What, dtype: Option<DType>) -> Result<Specs> {
    let x = c.x(0);
    along(c, x)?;
    let dtype = scan_dtype(x, what, dtype);
    if dtype == DType::Bool {
        bail!(DType, "not implemented for dtype bool");
    }
    Spec::rows(x.shape(), dtype)?.one()
}

/// The logarithm of 0.
const NOTHING: C = complex_number(f64::NEG_INFINITY, 0.0);

/// Runs a scan of `what` along attribute 0.
fn compute_scan(c: &Call, outs: &[Tensor], what: scan::What, dtype: Option<DType>, reverse: bool) -> Result<()> {
    let x = c.x(0);
    let compute = scan_dtype(x, what, dtype).compute_dtype();
    let [outer, n, inner] = along(c, x)?;
    let from = contiguous_unlocked(x, compute, false)?;
    if compute.is_complex() {
        return written_as(&outs[0], compute, |out| {
            let (from, to, sizes) = (from.data_ptr(), out.data_ptr(), [outer, n, inner]);
            // SAFETY: as below; the parts of complex numbers are added up side by side.
            unsafe {
                match (what, compute == DType::C64) {
                    (scan::What::Sum, _) => scan::scan(what, compute.real(), from, to, outer, n, 2 * inner, reverse),
                    (scan::What::Prod, true) => numbers::scan::<f32>(from, to, sizes, complex_number(1.0, 0.0), |a, b| a * b),
                    (scan::What::Prod, _) => numbers::scan::<f64>(from, to, sizes, complex_number(1.0, 0.0), |a, b| a * b),
                    (scan::What::LogSumExp, true) => numbers::scan::<f32>(from, to, sizes, NOTHING, C::log_add),
                    (scan::What::LogSumExp, _) => numbers::scan::<f64>(from, to, sizes, NOTHING, C::log_add),
                }
            }
            Ok(())
        });
    }
    written_as(&outs[0], compute, |out| {
        // SAFETY: both are row-major in the compute type; they may be one.
        unsafe { scan::scan(what, compute, from.data_ptr(), out.data_ptr(), outer, n, inner, reverse) };
        Ok(())
    })
}

fn infer_cum_extreme(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    along(c, x)?;
    Ok(Specs::from_iter([Spec::rows(x.shape(), x.dtype())?, Spec::rows(x.shape(), DType::I64)?]))
}

fn compute_cum_extreme(c: &Call, outs: &[Tensor], min: bool) -> Result<()> {
    let x = c.x(0);
    let (dims, compute) = (along(c, x)?, x.dtype().compute_dtype());
    let from = contiguous_unlocked(x, compute, false)?;
    let indices = outs[1].ptr();
    written_as(&outs[0], compute, |values| {
        // SAFETY: all three are row-major with the same number of elements.
        unsafe {
            match compute.compute() {
                Compute::F32 => scan::extreme::<f32>(from.ptr(), values.ptr(), indices, dims, min),
                Compute::F64 => scan::extreme::<f64>(from.ptr(), values.ptr(), indices, dims, min),
                Compute::I64 => scan::extreme::<i64>(from.ptr(), values.ptr(), indices, dims, min),
                Compute::C64 | Compute::C128 => unreachable!("complex numbers have no order"),
            }
        }
        Ok(())
    })
}

/// A gradient like input 1, which must be of floats and whose shape the inputs behind it must have too; input 0, the
/// gradient of the result, must have the shape `grad`.
fn infer_gradient(c: &Call, grad: &[usize]) -> Result<Specs> {
    c.want_shape(0, grad)?;
    let like = c.x(1);
    if !like.dtype().is_float() {
        bail!(DType, "not implemented for dtype {}", like.dtype());
    }
    (2..c.inputs.len()).try_for_each(|i| c.want_shape(i, like.shape()))?;
    Spec::rows(like.shape(), like.dtype())?.one()
}

/// Runs a kernel of floats over row-major inputs, of which all but the first have the shape and dtype of the result.
macro_rules! float_kernel {
    ($c:ident, $outs:ident, $dims:expr, $f:path, $($i:expr),+) => {{
        let (d, dims) = ($outs[0].dtype().compute_dtype(), $dims);
        let ins = [$(contiguous_unlocked($c.x($i), d, false)?),+];
        written_as(&$outs[0], d, |out| {
            // SAFETY: row-major elements of the compute type, as many as `dims` say.
            unsafe {
                if d == DType::F64 {
                    $f($(ins[$i].ptr::<f64>(),)+ out.ptr(), dims)
                } else {
                    $f($(ins[$i].ptr::<f32>(),)+ out.ptr(), dims)
                }
            }
            Ok(())
        })
    }};
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

fn eval_bincount(c: &Call) -> Result<Outs> {
    let (x, min) = (c.x(0), c.int(0));
    if x.ndim() != 1 || x.dtype().is_float() {
        bail!(Value, "only supports 1-d non-negative integral inputs, got shape {:?} of {}", x.shape(), x.dtype());
    }
    if min < 0 {
        bail!(Value, "minlength should be >= 0, got {min}");
    }
    let values = x.to_vec_unlocked::<i64>()?;
    if let Some(v) = values.iter().find(|&&v| v < 0) {
        bail!(Value, "only supports 1-d non-negative integral inputs, got the value {v}");
    }
    let bins = values.iter().max().map_or(Some(0), |&m| (m as usize).checked_add(1));
    let bins = bins.ok_or_else(|| err!(Memory, "too many bins"))?.max(min as usize);
    let Some(w) = c.opt(1) else {
        let out = Tensor::filled(&[bins], Scalar::Int(0), DType::I64)?;
        // SAFETY: `bins` elements, just written.
        let bin = unsafe { std::slice::from_raw_parts_mut(out.ptr::<i64>(), bins) };
        values.iter().for_each(|&v| bin[v as usize] += 1);
        return one(out);
    };
    if w.shape() != x.shape() {
        bail!(
            Shape,
            "weights should be 1-d and have the same length as input, got {:?} and {:?}",
            w.shape(),
            x.shape()
        );
    }
    let dtype = if w.dtype() == DType::F32 { DType::F32 } else { DType::F64 };
    let out = Tensor::filled(&[bins], Scalar::Int(0), DType::F64)?;
    // SAFETY: `bins` elements, just written.
    let bin = unsafe { std::slice::from_raw_parts_mut(out.ptr::<f64>(), bins) };
    values.iter().zip(w.to_vec_unlocked::<f64>()?).for_each(|(&v, w)| bin[v as usize] += w);
    one(contiguous_unlocked(&out, dtype, false)?)
}

fn eval_diff(c: &Call) -> Result<Outs> {
    let (x, n) = (c.x(0), c.int(0));
    if n < 0 {
        bail!(Value, "order must be non-negative but got {n}");
    }
    let dim = wrap_dim(c.int(1), x.ndim())?;
    if x.ndim() == 0 {
        bail!(Shape, "input must have at least one dimension");
    }
    let mut parts = SmallVec::<[Tensor; 3]>::new();
    for t in [c.opt(1), Some(x), c.opt(2)].into_iter().flatten() {
        let fits = |d: usize| d == dim || t.shape()[d] == x.shape()[d];
        if t.ndim() != x.ndim() || !(0..x.ndim()).all(fits) {
            let (s, e) = (x.shape(), t.shape());
            let message =
                format!("prepend and append must match the input's shape {s:?} except in dimension {}, got {e:?}", c.int(1));
            return Err(Error::shapes("", message, s, e));
        }
        parts.push(t.clone());
    }
    if n == 0 {
        return one(x.duplicate()?);
    }
    let along = dim as i64;
    let mut r = if parts.len() > 1 { Tensor::cat(&parts, along)? } else { x.clone() };
    let pair = |r: &Tensor, step: i64| -> Result<Tensor> {
        let size = (r.shape()[dim] as i64 - step).max(0);
        let (late, early) = (r.narrow(along, r.shape()[dim] as i64 - size, size)?, r.narrow(along, 0, size)?);
        if r.dtype() == DType::Bool {
            return late.logical_xor(&early);
        }
        late.sub(&early, 1)
    };
    let times = n.min(r.shape()[dim] as i64);
    if c.meta {
        // What comes of all steps, at once.
        return one(pair(&r, times)?);
    }
    for _ in 0..times {
        r = pair(&r, 1)?;
    }
    one(r)
}

fn eval_trapezoid(c: &Call) -> Result<Outs> {
    let (y, x, dim) = (c.x(0), c.opt(1), c.int(1));
    let d = wrap_dim(dim, y.ndim())?;
    let Some(&n) = y.shape().get(d) else {
        bail!(Shape, "y must have at least one dimension");
    };
    if let Some(x) = x.filter(|x| x.ndim() > y.ndim()) {
        let message = format!("x of shape {:?} has more dimensions than y, {:?}", x.shape(), y.shape());
        return Err(Error::shapes("", message, x.shape(), y.shape()));
    }
    if y.dtype() == DType::Bool || x.is_some_and(|x| x.dtype() == DType::Bool) {
        bail!(DType, "not implemented for dtype bool");
    }
    let (along, n) = (d as i64, n as i64);
    if n == 0 {
        return one(y.sum(Some(&[along]), false, Some(y.dtype()))?);
    }
    let heights = (&(&y.narrow(along, 1, n - 1)? + &y.narrow(along, 0, n - 1)?)? / 2.0)?;
    let Some(x) = x else {
        return one(heights.sum(Some(&[along]), false, None)?.mul(&Tensor::number(c.scalar(0))?)?);
    };
    let mut steps = x.diff(1, if x.ndim() == y.ndim() { along } else { -1 }, None, None)?;
    if x.ndim() == 1 && d + 1 != y.ndim() {
        let mut shape: SmallVec<[i64; 8]> = SmallVec::from_elem(1, y.ndim());
        shape[d] = -1;
        steps = steps.reshape(&shape)?;
    }
    one(heights.mul(&steps)?.sum(Some(&[along]), false, None)?)
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

    /// The `p`-norm of `input - other`.
    dist(input: Tensor, other: Tensor, p: Scalar = 2) -> Tensor, Real {
        body: Composite(|c| one(c.x(0).sub(c.x(1), 1)?.vector_norm(c.scalar(0), None, false, None)?)),

        samples: &["r(2, 3), r(3)", "r(2, 3), r(3), 3", "r(2, 3), r(3), 1", "r(3), r(3), inf"],
    }

    /// Euclidean distances between the rows of `input` [b, n, d] and those of `other` [b, m, d]: [b, n, m].
    euclidean_distances(input: Tensor, other: Tensor) -> Tensor, Special {
        body: Kernel(infer_euclidean, compute_euclidean),
        vjp: vjp!(|v| euclidean_rule(v)), saves: Saves::XB.and(Saves::OUTPUT),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(1, 2, 3), rt.ones(1, 2, 4)", message: "wanted shapes" }],
        samples: &["r(2, 3, 2), r(2, 2, 2)", "r(1, 1, 3), r(1, 2, 3)"],
    }

    /// The `p`-norms of the differences of all pairs of rows: `x1 [*, n, d]` and `x2 [*, m, d]` give `[*, n, m]`. The 2-norm
    /// goes by way of a matrix product if `compute_mode` says so (by default if `n` or `m` is above 25); other norms need
    /// memory for `n * m * d` elements.
    cdist(
        x1: Tensor, x2: Tensor, p: Float = 2.0, compute_mode: Str = "use_mm_for_euclid_dist_if_necessary"
    ) -> Tensor, Real {
        body: Composite(eval_cdist),
        method: false,
        refuses: &[
            Refusal { call: "rt.ones(2, 3), rt.ones(2, 4)", message: "same number of columns" },
            Refusal { call: "rt.ones(2, 3), rt.ones(2, 3), -1.0", message: "non-negative" },
        ],
        samples: &[
            "r(3, 2), r(4, 2)", "r(3, 2), r(2, 2), 1.0", "r(2, 2), r(3, 2), 3.0", "r(2, 2), r(3, 2), inf",
            "r(2, 2, 2), r(2, 3, 2), compute_mode='donot_use_mm_for_euclid_dist'",
            "r(2, 2), r(3, 2), compute_mode='use_mm_for_euclid_dist'",
        ],
    }

    /// The `p`-norms of the differences of all pairs of rows of `input [n, d]`: `[n (n - 1) / 2]`, those of the first row
    /// with the ones below first.
    pdist(input: Tensor, p: Float = 2.0) -> Tensor, Special {
        body: Composite(|c| {
            let (x, p) = (c.x(0), c.float(0));
            if x.ndim() != 2 {
                bail!(Shape, "only supports 2D tensors, got: {}D", x.ndim());
            }
            if p.is_nan() || p < 0.0 {
                bail!(Value, "only supports non-negative p values, got {p}");
            }
            let n = x.shape()[0] as i64;
            let pairs = Tensor::triu_indices(n, n, 1, None)?;
            let rows = |which: i64| x.index_select(0, &pairs.select(0, which)?)?.unsqueeze(1);
            one(Tensor::cdist(&rows(0)?, &rows(1)?, p, "use_mm_for_euclid_dist_if_necessary")?.reshape(&[-1])?)
        }),
        method: false,
        refuses: &[
            Refusal { call: "rt.ones(2)", message: "only supports 2D tensors" },
            Refusal { call: "rt.ones(2, 2), -1.0", message: "non-negative p" },
        ],
        samples: &["r(4, 3)", "r(3, 2), 1.0", "r(3, 2), inf"],
    }

    /// Covariances of the rows of `input [n, observations]` (a vector is one row): `[n, n]`, or a number for one row.
    /// `correction` is taken off the degrees of freedom; `fweights` (whole numbers) say how often an observation counts,
    /// `aweights` how important it is.
    cov(input: Tensor, correction: Int = 1, fweights: OptTensor = None, aweights: OptTensor = None) -> Tensor, Real {
        body: Composite(eval_cov),

        refuses: &[
            Refusal { call: "rt.ones(2, 3, 4)", message: "two or fewer dimensions" },
            Refusal { call: "rt.ones(2, 3), 1, rt.tensor([1, -1, 2])", message: "cannot be negative" },
        ],
        samples: &["r(2, 4)", "r(2, 4), correction=0", "r(2, 3), aweights=c([1.0, 2.0, 0.5])", "r(2, 3), fweights=i([1, 2, 3])"],
    }

    /// Pearson's correlation coefficients of the rows of `input [n, observations]`: `[n, n]`, or a number for one row.
    corrcoef(input: Tensor) -> Tensor, Real {
        body: Composite(|c| {
            let k = c.x(0).cov(1, None, None)?;
            if k.ndim() == 0 {
                return one(k.div(&k, "")?);
            }
            let s = k.diagonal(0, 0, 1)?;
            let s = if s.dtype().is_complex() { s.real()?.sqrt()? } else { s.sqrt()? };
            let r = k.div(&s.unsqueeze(1)?, "")?.div(&s.unsqueeze(0)?, "")?;
            if r.dtype().is_complex() {
                let within = r.view_as_real()?.clamp(Some(Scalar::Int(-1)), Some(Scalar::Int(1)))?;
                return one(within.view_as_complex()?);
            }
            one(r.clamp(Some(Scalar::Int(-1)), Some(Scalar::Int(1)))?)
        }),

        refuses: &[Refusal { call: "rt.ones(2, 3, 4)", message: "two or fewer dimensions" }],
    }

    /// How many elements lie in each of `bins` intervals of one width from `min` to `max`, as floats. Elements outside do
    /// not count; if both bounds are equal they are the least and greatest element.
    histc(input: Tensor, bins: Int = 100, min: Scalar = 0, max: Scalar = 0) -> Tensor, Real {
        body: Composite(eval_histc),

        refuses: &[
            Refusal { call: "rt.ones(3), 0", message: "bins must be > 0" },
            Refusal { call: "rt.ones(3), 4, 1, 0", message: "max must be larger than min" },
            Refusal { call: "rt.tensor([1, 2])", message: "floating point" },
        ],
        samples: &["r(4), 3, -1, 1"],
    }

    /// Number of elements over `dim` (all by default) that are not zero.
    count_nonzero(input: Tensor, dim: OptInts = None) -> Tensor, Real {
        body: reduction!(|c| {
            let first = c.x(0).dtype().is_complex().then_some(DType::Bool);
            let compute = first.unwrap_or(c.x(0).dtype());
            Reduction::of(c.x(0), first, c.ints(0), false, &reduce::COUNT, compute, [Some(DType::I64), None])
        }),
        takes: Takes::COMPLEX,
    }

    /// Number of occurrences of each value from 0 up of a 1-d whole-number `input`, or the sum of their `weights`; at
    /// least `minlength` numbers.
    bincount(input: Tensor, weights: OptTensor = None, minlength: Int = 0) -> Tensor, Special {
        body: Dynamic(|_| Ok(None), eval_bincount),
        refuses: &[Refusal { call: "rt.tensor([-1])", message: "non-negative" }],
    }

    /// Differences of neighbours along `dim`, `n` times; `prepend` and `append` are put at the ends first. Of truth values
    /// whether they differ.
    diff(
        input: Tensor, n: Int = 1, dim: Int = -1, prepend: OptTensor = None, append: OptTensor = None
    ) -> Tensor, Special {
        body: Composite(eval_diff),
        refuses: &[
            Refusal { call: "rt.ones(()), 1", message: "at least one dimension" },
            Refusal { call: "rt.ones(2), -1", message: "order must be non-negative" },
            Refusal { call: "rt.ones(2, 3), prepend=rt.ones(3, 1)", message: "except in dimension" },
        ],
        samples: &["r(4)", "r(3, 4), 2, 0", "r(2, 3), 1, -1, r(2, 1), r(2, 2)", "r(3), 0", "r(2), 5"],
    }

    /// Integral of `y` along `dim` by the trapezoidal rule, with points `x` (of the shape of `y`, or a vector) or, without
    /// them, steps `dx`.
    trapezoid(y: Tensor, x: OptTensor = None, dx: Scalar = 1, dim: Int = -1) -> Tensor, Special {
        body: Composite(eval_trapezoid),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(2), rt.ones(2, 2)", message: "has more dimensions than y" },
            Refusal { call: "rt.tensor([True])", message: "not implemented for dtype bool" },
        ],
        samples: &["r(4)", "r(3, 4), r(3, 4)", "r(3, 4), r(3), dim=0", "r(2, 3), None, 0.5, 0"],
    }

    /// Sums of the elements so far along `dim`.
    cumsum(input: Tensor, dim: Int, dtype: OptDType = None) -> Tensor, Real {
        body: Kernel(
            |c| infer_scan(c, scan::What::Sum, c.opt_dtype(1)),
            |c, outs| compute_scan(c, outs, scan::What::Sum, c.opt_dtype(1), false),
        ),
        takes: Takes::ALL,
        vjp: vjp!(|v| v.g().then(|g| g.cumsum_from_end(v.int(0)))),
        inplace: true, direct: true, onnx: Some("CumSum"),
        samples: &["r(2, 3), 1", "r(2, 3), 0, rt.float64"],
    }

    /// Sums along `dim` of each element and those after it.
    cumsum_from_end(input: Tensor, dim: Int) -> Tensor, Real {
        body: Kernel(
            |c| infer_scan(c, scan::What::Sum, Some(c.x(0).dtype())),
            |c, outs| compute_scan(c, outs, scan::What::Sum, Some(c.x(0).dtype()), true),
        ),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| v.g().then(|g| g.cumsum(v.int(0), None))),
        method: false, function: false,
        samples: &["r(2, 3), 1", "r(2, 3), 0"],
    }

    /// Products of the elements so far along `dim`.
    cumprod(input: Tensor, dim: Int, dtype: OptDType = None) -> Tensor, Real {
        body: Kernel(
            |c| infer_scan(c, scan::What::Prod, c.opt_dtype(1)),
            |c, outs| compute_scan(c, outs, scan::What::Prod, c.opt_dtype(1), false),
        ),
        takes: Takes::ALL,
        vjp: vjp!(|v| v.x(0).with(v.g(), |x, g| {
            if grad_enabled() || x.dtype().is_complex() || g.dtype().is_complex() { cumprod_rule(x, g, v.int(0)) } else { Tensor::cumprod_backward(g, x, v.int(0)) }
        })),
        saves: Saves::X, inplace: true, direct: true,
        samples: &["r(2, 3), 1", "t([2.0, 0.0, 3.0]), 0", "t([0.0, 2.0, 0.0, 3.0]), 0", "r(2, 2), 0, rt.float64"],
    }

    /// Gradient of `cumprod`, right for zeros too.
    cumprod_backward(grad: Tensor, input: Tensor, dim: Int) -> Tensor, Special {
        body: Kernel(
            |c| along(c, c.x(1)).and_then(|_| infer_gradient(c, c.x(1).shape())),
            |c, outs| float_kernel!(c, outs, along(c, c.x(1))?, scan::cumprod_backward, 0, 1),
        ),
        method: false, function: false,
    }

    /// Largest element so far along `dim`, and the index of the latest one that reached it.
    cummax(input: Tensor, dim: Int) -> Pair, Real {
        body: Kernel(infer_cum_extreme, |c, outs| compute_cum_extreme(c, outs, false)),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(0), true)), saves: Saves::OUTPUT,
        samples: &["r(2, 3), 1", "r(3, 2), 0"],
    }

    /// Smallest element so far along `dim`, and the index of the latest one that reached it.
    cummin(input: Tensor, dim: Int) -> Pair, Real {
        body: Kernel(infer_cum_extreme, |c, outs| compute_cum_extreme(c, outs, true)),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(0), true)), saves: Saves::OUTPUT,
        samples: &["r(2, 3), 1", "r(3, 2), 0"],
    }

    /// `log(sum(exp))` of the elements so far along `dim`.
    logcumsumexp(input: Tensor, dim: Int) -> Tensor, Real {
        body: Kernel(
            |c| infer_scan(c, scan::What::LogSumExp, None),
            |c, outs| compute_scan(c, outs, scan::What::LogSumExp, None, false),
        ),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| {
            let (x, y, g) = (v.x(0).tensor()?, v.y().tensor()?, v.g().tensor()?);
            let r = if x.dtype().is_complex() {
                // Of complex numbers there are no signs to keep apart.
                complex_logcumsumexp_rule(&x, &y, &g, v.int(0))
            } else if grad_enabled() { logcumsumexp_rule(&x, &y, &g, v.int(0)) } else { Tensor::logcumsumexp_backward(&g, &x, &y, v.int(0)) };
            Ex::from(r).grads()
        }),
        saves: Saves::X.and(Saves::OUTPUT),
        samples: &["r(2, 3), 1", "r(2, 2), 0", "t([-inf, 1.0, 2.0]), 0", "t([1.0, -inf, 2.0]), 0"],
    }

    /// Gradient of `logcumsumexp`.
    logcumsumexp_backward(grad: Tensor, input: Tensor, output: Tensor, dim: Int) -> Tensor, Special {
        body: Kernel(
            |c| along(c, c.x(1)).and_then(|_| infer_gradient(c, c.x(1).shape())),
            |c, outs| float_kernel!(c, outs, along(c, c.x(1))?, scan::logcumsumexp_backward, 0, 1, 2),
        ),
        method: false, function: false,
    }

    /// The sum of the diagonal of a matrix.
    trace(input: Tensor) -> Tensor, Special {
        body: Composite(|c| {
            if c.x(0).ndim() != 2 {
                bail!(Shape, "expected a matrix, got shape {:?}", c.x(0).shape());
            }
            one(c.x(0).diagonal(0, 0, 1)?.sum(None, false, None)?)
        }),

        samples: &["r(3, 3)", "r(2, 3)"],
    }
}

// Differentiable forms of the backward kernels above, used while a graph is being made.

/// `sum over k >= i of g[k] * (product of x[j], j <= k, j != i)`. Where no element is zero that is a reversed sum of
/// `g * y / x`; else each element has its own products.
fn cumprod_rule(x: &Tensor, g: &Tensor, dim: i64) -> Result<Tensor> {
    if x.ndim() == 0 || x.numel() == 0 {
        return Ok(g.clone());
    }
    if holds(&x.all(None, false)?)? {
        return g.mul(&x.cumprod(dim, None)?)?.cumsum_from_end(dim)?.div(x, "");
    }
    let n = x.shape()[wrap_dim(dim, x.ndim())?] as i64;
    let before = before(x, dim)?;
    let mut parts = List::with_room(n as usize)?;
    for i in 0..n {
        // The products of what follows x[i], which is itself left out.
        let after = after_ones(&x.narrow(dim, i + 1, n - i - 1)?, dim)?.cumprod(dim, None)?;
        let sum = g.narrow(dim, i, n - i)?.mul(&after)?.sum(Some(&[dim]), true, None)?;
        parts.push(sum.mul(&before.narrow(dim, i, 1)?)?)?;
    }
    Tensor::cat(&parts, dim)
}

/// `sum over k >= i of g[k] * exp(x[i] - y[k])` of complex numbers, in logarithms.
fn complex_logcumsumexp_rule(x: &Tensor, y: &Tensor, g: &Tensor, dim: i64) -> Result<Tensor> {
    if x.ndim() == 0 {
        return Ok(g.clone());
    }
    g.log()?.sub(y, 1)?.flip(&[dim])?.logcumsumexp(dim)?.flip(&[dim])?.add(x, 1)?.exp()
}

/// `sum over k >= i of g[k] * exp(x[i] - y[k])`, positive and negative gradients apart and in logarithms.
fn logcumsumexp_rule(x: &Tensor, y: &Tensor, g: &Tensor, dim: i64) -> Result<Tensor> {
    if x.ndim() == 0 {
        return Ok(g.clone());
    }
    // Before the first finite element there is nothing to hand on.
    let nothing = y.eq(&number(f64::NEG_INFINITY)?)?;
    let y = &y.masked_fill(&nothing, &number(0)?)?;
    let part = |g: &Tensor| -> Result<Tensor> {
        let none = g.le(&number(0)?)?.logical_or(&nothing)?;
        let logs = g.masked_fill(&none, &number(1)?)?.log()?.masked_fill(&none, &number(f64::NEG_INFINITY)?)?;
        logs.sub(y, 1)?.flip(&[dim])?.logcumsumexp(dim)?.flip(&[dim])?.add(x, 1)?.exp()
    };
    part(g)?.sub(&part(&g.neg()?)?, 1)
}
