//! Random tensors. Which numbers are drawn for which element is told in [`crate::random`]; elements are filled in the
//! order in which they lie in memory.

use crate::{bail, err};
use crate::dtype::{DType, Elem, Scalar, default_dtype, dispatch, dispatch_float};
use crate::engine::complex::pairs;
use crate::engine::copy::{contiguous_unlocked, written_as};
use crate::engine::promotion::result_type;
use crate::error::{Error, Result};
use crate::kernels::copy;
use crate::kernels::quantile::{dirichlet_slope, gamma_slope};
use crate::kernels::elementwise::Params;
use crate::engine::promotion::Promote;
use crate::table::loops::run;
use crate::kernel;
use crate::memory::List;
use crate::parallel::parallel_for;
use crate::random::{Generator, check_counts, check_positive, check_probability, check_std, check_trials, check_uniform};
use crate::shape::{broadcast, sizes};
use crate::table::{Attr, Call, Grads, Outs, Refusal, Saves, Spec, Specs, Takes, one};
use crate::table::rules::zeros;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// Errors of the generator as errors of the op, whose name the funnel puts in front.
fn fails(message: String) -> Error {
    if message.contains(crate::random::MISSING) {
        return err!(Memory, "{}", message.split_once(": ").map_or(message.as_str(), |m| m.1));
    }
    err!(Value, "{}", message.split_once(": ").map_or(message.as_str(), |m| m.1))
}

/// Runs `f` on the elements of `out` as a slice in the order of memory. `f` is also told whether `out` is row-major.
fn fill<T: Elem>(out: &Tensor, f: impl FnOnce(&mut [T], bool) -> std::result::Result<(), String>) -> Result<()> {
    let n = out.numel();
    if out.layout().is_dense() {
        // SAFETY: the elements fill one block of `n`, which we hold for writing.
        let block = unsafe { std::slice::from_raw_parts_mut(out.ptr::<T>(), n) };
        return f(block, out.is_contiguous()).map_err(fails);
    }
    let mut order: SmallVec<[usize; 8]> = (0..out.ndim()).collect();
    order.sort_unstable_by_key(|&d| (std::cmp::Reverse(out.strides()[d]), d));
    let to = out.layout().permute(&order);
    let aside = Tensor::empty_of(to.shape(), T::DTYPE)?;
    // SAFETY: a new row-major tensor with `n` elements.
    f(unsafe { std::slice::from_raw_parts_mut(aside.ptr::<T>(), n) }, false).map_err(fails)?;
    // SAFETY: both have the shape of `to`.
    unsafe { copy::strided(aside.base_ptr(), T::DTYPE, aside.layout(), out.base_ptr(), T::DTYPE, &to) };
    Ok(())
}

/// As the first input, or that itself in place.
fn target(c: &Call) -> Result<Spec> {
    Spec::like(c.x(0), c.x(0).dtype())
}

fn new(c: &Call, size: usize, dtype: usize) -> Result<Spec> {
    Spec::rows(&sizes(c.ints(size))?, c.opt_dtype(dtype).unwrap_or(default_dtype()))
}

fn like(c: &Call, dtype: usize) -> Result<Spec> {
    Spec::like(c.x(0), c.opt_dtype(dtype).unwrap_or(c.x(0).dtype()))
}

/// Runs `$body` with `$T` bound to a floating-point type, or gives an error.
macro_rules! floats {
    ($dtype:expr, $T:ident => $body:expr) => {
        dispatch_float!($dtype, $T => $body; other => bail!(DType, "not implemented for dtype {other}"))
    };
}

fn check_float(d: DType) -> Result<()> {
    if !d.is_float() {
        bail!(DType, "not implemented for dtype {d}");
    }
    Ok(())
}

fn infer_uniform(spec: Spec, from: f64, to: f64) -> Result<Specs> {
    let d = spec.dtype.real();
    check_float(d)?;
    for (name, v) in [("from", from), ("to", to)] {
        if v < d.min() || v > d.max() {
            bail!(Value, "{name} is out of bounds for {d}, got {v}");
        }
    }
    if to - from > d.max() {
        bail!(Value, "expects to - from to be at most {} for {d}, got from={from} and to={to}", d.max());
    }
    check_uniform(from, to, d.compute_dtype().max()).map_err(fails)?;
    spec.one()
}

fn uniform_into(g: &mut Generator, out: &Tensor, from: f64, to: f64) -> Result<()> {
    if out.dtype().is_complex() {
        return uniform_into(g, &pairs(out)?, from, to);
    }
    match out.dtype() {
        DType::F32 => fill::<f32>(out, |s, _| g.uniform_f32(s, from, to)),
        DType::F64 => fill::<f64>(out, |s, _| g.uniform_f64(s, from, to)),
        DType::F16 => fill::<half::f16>(out, |s, _| g.uniform_reduced(s, from, to, half::f16::from_f32)),
        DType::BF16 => fill::<half::bf16>(out, |s, _| g.uniform_reduced(s, from, to, half::bf16::from_f32)),
        other => Err(err!(DType, "not implemented for dtype {other}")),
    }
}

fn infer_normal(spec: Spec, std: f64) -> Result<Specs> {
    check_float(spec.dtype.real())?;
    check_std("normal_", std).map_err(fails)?;
    spec.one()
}

fn normal_into(g: &mut Generator, out: &Tensor, mean: f64, std: f64) -> Result<()> {
    if out.dtype().is_complex() {
        // Both parts have half of the variance; PyTorch gives both the mean.
        return normal_into(g, &pairs(out)?, mean, std * std::f64::consts::FRAC_1_SQRT_2);
    }
    floats!(out.dtype(), T => {
        if !out.is_contiguous() {
            return fill::<T>(out, |s, _| g.normal_serial(s, mean, std, T::from_f64));
        }
    });
    match out.dtype() {
        DType::F32 => fill::<f32>(out, |s, _| g.normal_f32(s, mean, std)),
        DType::F64 => fill::<f64>(out, |s, _| g.normal_f64(s, mean, std)),
        DType::F16 => fill::<half::f16>(out, |s, _| g.normal_reduced(s, mean, std, half::f16::from_f32)),
        _ => fill::<half::bf16>(out, |s, _| g.normal_reduced(s, mean, std, half::bf16::from_f32)),
    }
}

fn infer_normal_tensors(c: &Call) -> Result<Specs> {
    let (mean, std) = (c.x(0), c.x(1));
    let dtype = if mean.0.wrapped { std.dtype() } else { mean.dtype() };
    check_float(dtype)?;
    Spec::rows(&broadcast(mean.shape(), std.shape())?, dtype)?.one()
}

fn compute_normal_tensors(c: &Call, outs: &[Tensor]) -> Result<()> {
    let out = &outs[0];
    let ready = |t: &Tensor| {
        contiguous_unlocked(&t.with_layout(t.layout().broadcast_to(out.shape())?), DType::F64, false)
    };
    let (mean, std) = (ready(c.x(0))?, ready(c.x(1))?);
    let n = out.numel();
    // SAFETY: row-major f64, `n` each.
    let (mean, std) = unsafe {
        (std::slice::from_raw_parts(mean.ptr::<f64>(), n), std::slice::from_raw_parts(std.ptr::<f64>(), n))
    };
    if let Some(s) = std.iter().find(|s| s.is_nan() || **s < 0.0) {
        bail!(Value, "expects all elements of std >= 0.0, but found std {s}");
    }
    c.with_generator(0, |g| normal_into(g, out, 0.0, 1.0))?;
    // Products and sums are rounded one by one, each as its operands' dtypes ask for.
    let product = result_type([out, c.x(1)].into_iter())?;
    let sum = result_type([out, c.x(1), c.x(0)].into_iter())?;
    let rounded = |v: f64, d: DType| -> Result<f64> { Ok(floats!(d, T => T::from_f64(v).to_f64())) };
    floats!(out.dtype(), T => {
        for i in 0..n {
            // SAFETY: element `i` of a new row-major tensor.
            let at = unsafe { &mut *out.ptr::<T>().add(i) };
            *at = T::from_f64(rounded(rounded(at.to_f64() * std[i], product)? + mean[i], sum)?);
        }
    });
    Ok(())
}

fn infer_integers(spec: Spec, low: i64, high: i64) -> Result<Specs> {
    let d = spec.dtype;
    if low >= high {
        bail!(Value, "expects 'from' to be less than 'to', but got from={low} >= to={high}");
    }
    for (name, v) in [("from", low), ("to - 1", high - 1)] {
        // 64-bit ends of the range: f64 rounds i64::MAX up, so int64 is not looked at.
        if d != DType::I64 && ((v as f64) < d.min() || v as f64 > d.max()) {
            bail!(Value, "{name} is out of bounds for {d}, got {v}");
        }
    }
    spec.one()
}

/// Whole numbers of `[low, high)`.
fn integers_into(g: &mut Generator, out: &Tensor, low: i64, high: i64) -> Result<()> {
    dispatch!(out.dtype(), T => fill::<T>(out, |s, _| g.random_from_to(s, low, high, T::from_i64)))
}

/// The range of `random`; none if only int64 itself ends it, or nothing but the dtype.
fn random_range(c: &Call) -> Option<(i64, i64)> {
    let d = c.x(0).dtype();
    match (c.opt_int(0), c.opt_int(1)) {
        (None, None) => None,
        (Some(_), None) if d == DType::I64 => None,
        (low, high) => Some((low.unwrap_or(0), high.unwrap_or(d.largest_whole().saturating_add(1)))),
    }
}

fn infer_random(c: &Call) -> Result<Specs> {
    match random_range(c) {
        Some((low, high)) => infer_integers(target(c)?, low, high),
        None => target(c)?.one(),
    }
}

fn compute_random(c: &Call, outs: &[Tensor]) -> Result<()> {
    let out = &outs[0];
    let most = out.dtype().largest_whole();
    c.with_generator(2, |g| match (random_range(c), c.opt_int(0)) {
        (Some((low, high)), _) => integers_into(g, out, low, high),
        (None, Some(low)) => fill::<i64>(out, |s, _| {
            g.random_from(s, low);
            Ok(())
        }),
        (None, None) => dispatch!(out.dtype(), T => fill::<T>(out, |s, _| {
            g.random_full(s, most, |v| T::from_i64(v as i64));
            Ok(())
        })),
    })
}

/// The target, if what the distribution asks of its parameters holds.
fn infer_any(c: &Call, check: std::result::Result<(), String>) -> Result<Specs> {
    check.map_err(fails)?;
    target(c)?.one()
}

/// As `infer_any`, for distributions of floats.
fn infer_float(c: &Call, check: std::result::Result<(), String>) -> Result<Specs> {
    check_float(c.x(0).dtype())?;
    infer_any(c, check)
}

/// Fills by `f`, which gets a slice of any dtype and the conversion to it.
macro_rules! fill_any {
    ($c:ident, $outs:ident, $k:literal, |$g:ident, $s:ident, $T:ident| $f:expr) => {
        $c.with_generator($k, |$g| dispatch!($outs[0].dtype(), $T => fill::<$T>(&$outs[0], |$s, _| $f)))
    };
    (float $c:ident, $outs:ident, $k:literal, |$g:ident, $s:ident, $T:ident| $f:expr) => {
        $c.with_generator($k, |$g| floats!($outs[0].dtype(), $T => fill::<$T>(&$outs[0], |$s, _| $f)))
    };
}

/// Zeros and ones with probabilities `p`, which is broadcast to them.
fn infer_bernoulli(spec: Spec, p: &Tensor) -> Result<Specs> {
    p.layout().broadcast_to(spec.layout.shape())?;
    if !p.dtype().is_float() {
        bail!(DType, "expected probabilities of a floating point dtype, got {}", p.dtype());
    }
    spec.one()
}

fn bernoulli_into(g: &mut Generator, out: &Tensor, p: &Tensor) -> Result<()> {
    let wide = p.layout().broadcast_to(out.shape())?;
    // The probabilities in the order in which the output is filled.
    let mut order: SmallVec<[usize; 8]> = (0..out.ndim()).collect();
    order.sort_unstable_by_key(|&d| (std::cmp::Reverse(out.strides()[d]), d));
    let compute = if p.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let p = contiguous_unlocked(&p.with_layout(wide.permute(&order)), compute, false)?;
    let n = p.numel();
    dispatch!(out.dtype(), T => fill::<T>(out, |s, _| {
        let (zero, one) = (T::from_i64(0), T::from_i64(1));
        // SAFETY: row-major, `n` elements.
        unsafe {
            match compute {
                DType::F64 => g.bernoulli_f64(s, std::slice::from_raw_parts(p.ptr::<f64>(), n), zero, one),
                _ => g.bernoulli_f32(s, std::slice::from_raw_parts(p.ptr::<f32>(), n), zero, one),
            }
        }
    }))
}

fn infer_multinomial(c: &Call) -> Result<Specs> {
    let (x, samples) = (c.x(0), c.int(0));
    if !x.dtype().is_float() {
        bail!(DType, "expects floating-point probabilities, got {}", x.dtype());
    }
    let (&categories, rows) = match x.shape() {
        [n] => (n, 1),
        [r, n] => (n, *r),
        other => bail!(Value, "probabilities must have 1 or 2 dimensions, got shape {other:?}"),
    };
    let Some(samples) = usize::try_from(samples).ok().filter(|&n| n > 0) else {
        bail!(Value, "cannot sample n_sample <= 0 samples, got {samples}");
    };
    if categories > 1 << 24 {
        bail!(Value, "number of categories cannot exceed 2^24, got {categories}");
    }
    let mut shape = x.dims();
    shape[x.ndim() - 1] = samples;
    let spec = Spec::rows(&shape, DType::I64)?;
    if rows > 0 {
        check_counts(categories, samples, c.bool(1)).map_err(fails)?;
    }
    spec.one()
}

fn compute_multinomial(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, again, out) = (c.x(0), c.bool(1), &outs[0]);
    let rows = if x.ndim() == 1 { 1 } else { x.shape()[0] };
    let w = contiguous_unlocked(x, x.dtype().compute_dtype(), false)?;
    // SAFETY: both are row-major.
    let (n, to) = (w.numel(), unsafe { std::slice::from_raw_parts_mut(out.ptr::<i64>(), out.numel()) });
    c.with_generator(2, |g| unsafe {
        let drawn = match x.dtype() {
            DType::F64 => g.multinomial_f64(std::slice::from_raw_parts(w.ptr(), n), rows, again, to),
            d => {
                let round = |v: f32| match d {
                    DType::F16 => half::f16::from_f32(v).to_f32(),
                    DType::BF16 => half::bf16::from_f32(v).to_f32(),
                    _ => v,
                };
                g.multinomial_f32(std::slice::from_raw_parts(w.ptr(), n), rows, again, to, round)
            }
        };
        drawn.map_err(fails)
    })
}

fn infer_native_dropout(c: &Call) -> Result<Specs> {
    check_float(c.x(0).dtype())?;
    check_probability(1.0 - c.float(0)).map_err(fails)?;
    Ok(Specs::from_iter([target(c)?, target(c)?]))
}

/// `input` times a mask that is 0 with probability `p` and else `1 / (1 - p)`, and that mask.
fn compute_native_dropout(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, p, out, mask) = (c.x(0), c.float(0), &outs[0], &outs[1]);
    let x = if x.layout().is_dense() { x.clone() } else { contiguous_unlocked(x, x.dtype(), true)? };
    floats!(x.dtype(), T => {
        let scale = T::down(T::from_i64(1).up() / (1.0 - p) as <T as Elem>::Acc);
        c.with_generator(1, |g| fill::<T>(mask, |s, _| g.bernoulli_scalar(s, 1.0 - p, T::from_i64(0), scale)))?;
        let (from, m, to) = (copy::Shared(x.ptr::<T>()), copy::Shared(mask.ptr::<T>()), copy::Shared(out.ptr::<T>()));
        parallel_for(x.numel(), copy::GRAIN, &|r| {
            for i in r {
                // SAFETY: three dense blocks with one layout.
                unsafe { *to.get().add(i) = T::down((*from.get().add(i)).up() * (*m.get().add(i)).up()) };
            }
        });
    });
    Ok(())
}

fn eval_dropout(c: &Call) -> Result<Outs> {
    let (x, p) = (c.x(0), c.float(0));
    if !(0.0..=1.0).contains(&p) {
        bail!(Value, "dropout probability has to be between 0 and 1, but got {p}");
    }
    if !c.bool(1) || p == 0.0 || x.numel() == 0 {
        return one(x.clone());
    }
    if p == 1.0 {
        return one(x.mul(&Tensor::filled(&[], Scalar::Int(0), x.dtype())?)?);
    }
    let mut both = x.native_dropout(p, None)?;
    both.truncate(1);
    Ok(both)
}

/// The slopes of a leaky ReLU: uniform numbers of `[lower, upper)` where the input is not above 0, and 1 elsewhere; drawn in
/// row-major order.
fn compute_rrelu_slopes(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (lower, upper) = (c.float(0), c.float(1));
    let x = contiguous_unlocked(c.x(0), c.x(0).dtype(), false)?;
    floats!(x.dtype(), T => {
        // SAFETY: row-major; the results are nobody else's yet.
        let (from, to) = unsafe {
            let n = x.numel();
            (std::slice::from_raw_parts(x.ptr::<T>(), n), std::slice::from_raw_parts_mut(outs[0].ptr::<T>(), n))
        };
        let low = |v: &T| v.to_f64() <= 0.0;
        let mut drawn = List::filled(from.iter().filter(|v| low(v)).count(), 0.0)?;
        c.with_generator(2, |g| g.uniform_f64(&mut drawn, lower, upper).map_err(fails))?;
        let mut next = drawn.iter();
        for (o, v) in to.iter_mut().zip(from) {
            *o = T::from_f64(if low(v) { next.next().copied().unwrap_or(1.0) } else { 1.0 });
        }
    });
    Ok(())
}

/// Dropout of whole channels of `[N, C, *]` if `channels`; `alpha` keeps the mean and the variance of SELU networks.
fn eval_dropped(c: &Call, channels: bool, alpha: bool) -> Result<Outs> {
    let (x, p) = (c.x(0), c.float(0));
    if !(0.0..=1.0).contains(&p) {
        bail!(Value, "dropout probability has to be between 0 and 1, but got {p}");
    }
    if !c.bool(1) || p == 0.0 || x.numel() == 0 {
        return one(x.clone());
    }
    let number = |v: f64| Tensor::number(Scalar::Float(v));
    if p == 1.0 {
        return one(x.mul(&Tensor::filled(&[], Scalar::Int(0), x.dtype())?)?);
    }
    check_float(x.dtype())?;
    let noise = if channels {
        if x.ndim() < 2 {
            bail!(Shape, "Feature dropout requires at least 2 dimensions in the input, got shape {:?}", x.shape());
        }
        let mut shape: SmallVec<[i64; 8]> = SmallVec::from_elem(1, x.ndim());
        shape[0] = x.shape()[0] as i64;
        shape[1] = x.shape()[1] as i64;
        Tensor::empty_with(&shape, Some(x.dtype()))?.bernoulli_p(1.0 - p, None)?
    } else {
        x.alias().bernoulli_p(1.0 - p, None)?
    };
    if !alpha {
        return one(x.mul(&noise.div(&number(1.0 - p)?, "")?)?);
    }
    // What is dropped goes to -alpha', and an affine map restores mean and variance.
    let low = 1.7580993408473766;
    let a = 1.0 / ((low * low * p + 1.0) * (1.0 - p)).sqrt();
    let b = noise.sub(&number(1.0)?, 1)?.mul(&number(low * a)?)?.add(&number(low * a * p)?, 1)?;
    one(x.mul(&noise.mul(&number(a)?)?)?.add(&b, 1)?)
}

fn eval_gumbel_softmax(c: &Call) -> Result<Outs> {
    let (x, tau, hard, dim) = (c.x(0), c.float(0), c.bool(1), c.int(2));
    let gumbels = x.alias().exponential(1.0, None)?.log()?.neg()?;
    let soft = x.add(&gumbels, 1)?.div(&Tensor::number(Scalar::Float(tau))?, "")?.softmax(dim, None)?;
    if !hard {
        return one(soft);
    }
    let known = soft.alias();
    let best = known.max_dim(dim, true)?;
    let picked = x.alias().zeros_like(None)?.scatter_value(dim, &best[1], 1)?;
    // One-hot forwards, soft backwards.
    one(picked.sub(&known, 1)?.add(&soft, 1)?)
}

/// As `input`, of floats and row-major.
fn infer_drawn(c: &Call) -> Result<Specs> {
    check_float(c.x(0).dtype())?;
    Spec::rows(c.x(0).shape(), c.x(0).dtype())?.one()
}

/// The inputs broadcast to the result, row-major in f64.
fn parameters<const N: usize>(c: &Call, out: &Tensor) -> Result<[Tensor; N]> {
    let mut all = std::array::from_fn(|i| c.x(i).clone());
    for t in &mut all {
        *t = contiguous_unlocked(&t.with_layout(t.layout().broadcast_to(out.shape())?), DType::F64, false)?;
    }
    Ok(all)
}

/// The least positive normal number of a floating point dtype.
fn least(d: DType) -> f64 {
    match d {
        DType::F16 => half::f16::MIN_POSITIVE.to_f64(),
        DType::F64 => f64::MIN_POSITIVE,
        _ => f32::MIN_POSITIVE.into(),
    }
}

/// Fills the result in row-major order by `f`, which gets the generator of attribute `k` and the element's parameters.
fn draw<const N: usize>(
    c: &Call,
    out: &Tensor,
    k: usize,
    mut f: impl FnMut(&mut Generator, [f64; N]) -> f64,
) -> Result<()> {
    let from = parameters::<N>(c, out)?;
    written_as(out, DType::F64, |out| {
        c.with_generator(k, |g| {
            for i in 0..out.numel() {
                // SAFETY: element `i` of row-major tensors of one size.
                unsafe { *out.ptr::<f64>().add(i) = f(g, std::array::from_fn(|p| *from[p].ptr::<f64>().add(i))) };
            }
            Ok(())
        })
    })
}

fn compute_sample_dirichlet(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (out, x) = (&outs[0], c.x(0));
    let n = x.shape().last().copied().unwrap_or(1).max(1);
    let [from] = parameters::<1>(c, out)?;
    let (low, high) = (least(out.dtype()), 1.0 - 0.5 * out.dtype().eps());
    written_as(out, DType::F64, |out| {
        // SAFETY: row-major f64, as many as `out` has elements.
        let (from, to) = unsafe {
            let n = out.numel();
            (std::slice::from_raw_parts(from.ptr::<f64>(), n), std::slice::from_raw_parts_mut(out.ptr::<f64>(), n))
        };
        c.with_generator(0, |g| {
            to.iter_mut().zip(from).for_each(|(t, &a)| *t = g.gamma(a).max(f64::MIN_POSITIVE));
            Ok(())
        })?;
        for row in to.chunks_mut(n) {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|v| *v = (*v / sum).clamp(low, high));
        }
        Ok(())
    })
}

ops! {
    /// Uniform numbers of [0, 1) of shape `size`.
    rand(size: Shape, generator: Generator = None, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_uniform(new(c, 0, 2)?, 0.0, 1.0),
            |c, outs| c.with_generator(1, |g| uniform_into(g, &outs[0], 0.0, 1.0)),
        ),
        method: false, onnx: Some("RandomUniform"),
        refuses: &[Refusal { call: "2, dtype=rt.int64", message: "not implemented for dtype int64" }],
        takes: Takes::COMPLEX,
    }

    /// Standard normal numbers of shape `size`.
    randn(size: Shape, generator: Generator = None, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_normal(new(c, 0, 2)?, 1.0),
            |c, outs| c.with_generator(1, |g| normal_into(g, &outs[0], 0.0, 1.0)),
        ),
        method: false, onnx: Some("RandomNormal"),
        takes: Takes::COMPLEX,
    }

    /// Whole numbers of `[low, high)` of shape `size`; int64 by default.
    randint(
        low: Int, high: Int, size: Shape, generator: Generator = None, dtype: OptDType = None
    ) -> Tensor, Special {
        body: Kernel(|c| {
            let spec = Spec::rows(&sizes(c.ints(2))?, c.opt_dtype(4).unwrap_or(DType::I64))?;
            infer_integers(spec, c.int(0), c.int(1))
        }, |c, outs| c.with_generator(3, |g| integers_into(g, &outs[0], c.int(0), c.int(1)))),
        method: false,
        refuses: &[Refusal { call: "3, 3, (2,)", message: "expects 'from' to be less than 'to'" }],
        takes: Takes::UNSIGNED,
    }

    /// The numbers 0 to `n - 1` in random order; int64 by default.
    randperm(n: Int, generator: Generator = None, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(|c| {
            let n = c.int(0);
            let dtype = c.opt_dtype(2).unwrap_or(DType::I64);
            if n < 0 {
                bail!(Value, "n must be non-negative, got {n}");
            }
            if dtype == DType::Bool {
                bail!(DType, "not implemented for dtype {dtype}");
            }
            // PyTorch lets bfloat16 round.
            if dtype != DType::BF16 && n > dtype.largest_whole() {
                bail!(Value, "n is too large for result tensor type {dtype}");
            }
            Spec::rows(&[n as usize], dtype)?.one()
        }, |c, outs| written_as(&outs[0], DType::I64, |out| c.with_generator(1, |g| fill::<i64>(out, |s, _| {
            g.randperm_into(s);
            Ok(())
        })))),
        method: false,
    }

    /// Uniform numbers of [0, 1) in the shape of `input`.
    rand_like(input: Tensor, generator: Generator = None, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_uniform(like(c, 1)?, 0.0, 1.0),
            |c, outs| c.with_generator(0, |g| uniform_into(g, &outs[0], 0.0, 1.0)),
        ),
        method: false, onnx: Some("RandomUniformLike"),
    }

    /// Standard normal numbers in the shape of `input`.
    randn_like(input: Tensor, generator: Generator = None, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_normal(like(c, 1)?, 1.0),
            |c, outs| c.with_generator(0, |g| normal_into(g, &outs[0], 0.0, 1.0)),
        ),
        method: false, onnx: Some("RandomNormalLike"),
    }

    /// Whole numbers of `[low, high)` in the shape and dtype of `input`.
    randint_like(
        input: Tensor, low: Int, high: Int, generator: Generator = None, dtype: OptDType = None
    ) -> Tensor, Special {
        body: Kernel(
            |c| infer_integers(like(c, 3)?, c.int(0), c.int(1)),
            |c, outs| c.with_generator(2, |g| integers_into(g, &outs[0], c.int(0), c.int(1))),
        ),
        method: false,
    }

    /// In place: uniform numbers of `[from, to)`.
    uniform(input: Tensor, from: Float = 0.0, to: Float = 1.0, generator: Generator = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_uniform(target(c)?, c.float(0), c.float(1)),
            |c, outs| c.with_generator(2, |g| uniform_into(g, &outs[0], c.float(0), c.float(1))),
        ),
        inplace: true, direct: true, function: false, method: false,
        takes: Takes::COMPLEX,
    }

    /// In place: normal numbers with the given mean and standard deviation.
    normal(input: Tensor, mean: Float = 0.0, std: Float = 1.0, generator: Generator = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_normal(target(c)?, c.float(1)),
            |c, outs| c.with_generator(2, |g| normal_into(g, &outs[0], c.float(0), c.float(1))),
        ),
        vjp: vjp!(|v| zeros(v, 0)),
        inplace: true, direct: true, function: false, method: false,
        samples: &["r(2, 3)"],
        takes: Takes::COMPLEX,
    }

    /// In place: whole numbers of `[from, to)`; without bounds all non-negative ones that the dtype holds exactly.
    random(input: Tensor, from: OptInt = None, to: OptInt = None, generator: Generator = None) -> Tensor, Special {
        body: Kernel(infer_random, compute_random),
        inplace: true, direct: true, function: false, method: false,
        takes: Takes::UNSIGNED,
    }

    /// Ones with the probabilities of `input`, else zeros.
    bernoulli(input: Tensor, generator: Generator = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_bernoulli(Spec::rows(c.x(0).shape(), c.x(0).dtype())?, c.x(0)),
            |c, outs| c.with_generator(0, |g| bernoulli_into(g, &outs[0], c.x(0))),
        ),
        vjp: vjp!(|v| zeros(v, 0)), onnx: Some("Bernoulli"),
        samples: &["q(3)"],
        refuses: &[Refusal { call: "rt.tensor([2.0])", message: "expected p in [0, 1]" }],
    }

    /// In place: ones with probability `p`, else zeros.
    bernoulli_p(input: Tensor, p: Float = 0.5, generator: Generator = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_any(c, check_probability(c.float(0))),
            |c, outs| fill_any!(c, outs, 1, |g, s, T| g.bernoulli_scalar(s, c.float(0), T::from_i64(0), T::from_i64(1))),
        ),
        vjp: vjp!(|v| zeros(v, 0)),
        inplace: true, direct: true, function: false, method: false,
        samples: &["r(3), 0.4"],
    }

    /// In place: ones with the probabilities of the tensor `p`, broadcast, else zeros.
    bernoulli_tensor(input: Tensor, p: Tensor, generator: Generator = None) -> Tensor, Special {
        body: Kernel(|c| {
            let spec = target(c)?;
            broadcast(spec.layout.shape(), c.x(1).shape())?;
            infer_bernoulli(spec, c.x(1))
        }, |c, outs| c.with_generator(0, |g| bernoulli_into(g, &outs[0], c.x(1)))),
        vjp: vjp!(|v| [zeros(v, 0), zeros(v, 1)]),
        inplace: true, direct: true, function: false, method: false,
        samples: &["r(3), q(3)"],
    }

    /// In place: exponentially distributed numbers with rate `lambd`.
    exponential(input: Tensor, lambd: Float = 1.0, generator: Generator = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_float(c, check_positive("exponential_", "lambda", c.float(0))),
            |c, outs| fill_any!(float c, outs, 1, |g, s, T| g.exponential(s, c.float(0), T::from_f64)),
        ),
        inplace: true, direct: true, function: false, method: false,
    }

    /// In place: the number of trials up to the first success, of probability `p`.
    geometric(input: Tensor, p: Float, generator: Generator = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_any(c, check_trials(c.float(0))),
            |c, outs| fill_any!(c, outs, 1, |g, s, T| g.geometric(s, c.float(0), T::from_f64)),
        ),
        inplace: true, direct: true, function: false, method: false,
    }

    /// In place: numbers of the Cauchy distribution.
    cauchy(input: Tensor, median: Float = 0.0, sigma: Float = 1.0, generator: Generator = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_float(c, check_positive("cauchy_", "sigma", c.float(1))),
            |c, outs| fill_any!(float c, outs, 2, |g, s, T| g.cauchy(s, c.float(0), c.float(1), T::from_f64)),
        ),
        inplace: true, direct: true, function: false, method: false,
    }

    /// In place: numbers whose logarithm is normal with the given mean and standard deviation.
    log_normal(input: Tensor, mean: Float = 1.0, std: Float = 2.0, generator: Generator = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_float(c, check_positive("log_normal_", "std", c.float(1))),
            |c, outs| fill_any!(float c, outs, 2, |g, s, T| g.log_normal(s, c.float(0), c.float(1), T::from_f64)),
        ),
        inplace: true, direct: true, function: false, method: false,
    }

    /// Normal numbers of mean `mean` and standard deviation `std`.
    normal_float(
        mean: Float, std: Float, size: Shape, generator: Generator = None, dtype: OptDType = None
    ) -> Tensor, Special {
        body: Kernel(
            |c| infer_normal(new(c, 2, 4)?, c.float(1)),
            |c, outs| c.with_generator(3, |g| normal_into(g, &outs[0], c.float(0), c.float(1))),
        ),
        function: false, method: false,
    }

    /// Normal numbers with means and standard deviations from two tensors, which broadcast together, in the dtype of the
    /// first one that is no plain number. Gradients are zeros.
    normal_tensors(mean: Operand, std: Operand, generator: Generator = None) -> Tensor, Special {
        body: Kernel(infer_normal_tensors, compute_normal_tensors),
        vjp: vjp!(|v| [zeros(v, 0), zeros(v, 1)]),
        samples: &["r(3), p(3)"],
        function: false, method: false,
    }

    /// Indices drawn with the probabilities of the rows of `input`, `num_samples` per row: `[*, n]` becomes
    /// `[*, num_samples]` of int64.
    multinomial(
        input: Tensor, num_samples: Int, replacement: Bool = false, generator: Generator = None
    ) -> Tensor, Special {
        body: Kernel(infer_multinomial, compute_multinomial),
        onnx: Some("Multinomial"),
        refuses: &[Refusal { call: "rt.ones(2), 3", message: "without replacement" }],
    }

    /// Numbers of the gamma distribution with the shapes `input` and rate 1 (Marsaglia and Tsang 2000), in row-major order.
    /// Gradients are implicit ones (Figurnov et al. 2018): the quantile of a number stays.
    _standard_gamma(input: Tensor, generator: Generator = None) -> Tensor, Special {
        body: Kernel(infer_drawn, |c, outs| {
            let low = least(outs[0].dtype());
            draw(c, &outs[0], 0, |g, [a]| g.gamma(a).max(low))
        }),
        vjp: vjp!(|v| v.g() * v.x(0).with(v.y(), |a, y| a._standard_gamma_grad(y))),
        saves: Saves::X.and(Saves::OUTPUT),
        method: false,
        refuses: &[Refusal { call: "rt.ones(2, dtype=rt.int64)", message: "not implemented for dtype int64" }],
    }

    /// The derivative by `input`, the shape of a gamma distribution with rate 1, of the sample `output` whose quantile stays.
    _standard_gamma_grad(input: Tensor, output: Tensor) -> Tensor, Positive {
        body: Elementwise(|c| {
            let k = kernel!(float |a, x, _p| Real::of(gamma_slope(a.as_f64(), x.as_f64())));
            run::<2>(c, k, Promote::ToFloat, Params::default())
        }),
        vjp: vjp!(|_v| Err::<Grads, _>(err!(Unsupported, "derivative is not implemented"))),
        method: false,
    }

    /// Numbers of the Dirichlet distribution with the concentrations `input [*, K]`: gamma variables divided by their sum over
    /// the last dimension. Gradients are implicit ones (Jankowiak and Obermeyer 2018).
    _sample_dirichlet(input: Tensor, generator: Generator = None) -> Tensor, Special {
        body: Kernel(infer_drawn, compute_sample_dirichlet),
        vjp: vjp!(|v| {
            let (g, x, y) = (v.g(), v.x(0), v.yk(0));
            if v.shape(0).is_empty() {
                return Ok(Grads::from_iter([(g * 0.0).value()?]));
            }
            let total = x.sum(&[-1], true).then(|t| t.expand(&v.sizes(0)));
            let slope = y.with(&total, |y, t| y._dirichlet_grad(&v.x(0).tensor()?, t));
            slope * (&g - (&y * &g).sum(&[-1], true))
        }),
        saves: Saves::X.and(Saves::OUTPUT),
        method: false,
        refuses: &[Refusal { call: "rt.ones(2, dtype=rt.int64)", message: "not implemented for dtype int64" }],
    }

    /// The derivative by `alpha` of the sample `input` of a beta distribution with parameters `alpha` and `total - alpha`, whose
    /// quantile stays, divided by `1 - input`.
    _dirichlet_grad(input: Tensor, alpha: Tensor, total: Tensor) -> Tensor, Special {
        body: Elementwise(|c| {
            let k = kernel!(float |x, a, t, _p| Real::of(dirichlet_slope(x.as_f64(), a.as_f64(), t.as_f64())));
            run::<3>(c, k, Promote::ToFloat, Params::default())
        }),
        vjp: vjp!(|_v| Err::<Grads, _>(err!(Unsupported, "derivative is not implemented"))),
        method: false,
    }

    /// Numbers of the Poisson distribution with the rates `input`, which must not be negative (Hörmann 1993), in its dtype, drawn
    /// in row-major order. No gradient flows.
    poisson(input: Tensor, generator: Generator = None) -> Tensor, Special {
        body: Kernel(infer_drawn, |c, outs| {
            let [rates] = parameters::<1>(c, &outs[0])?;
            // SAFETY: row-major f64.
            let rates = unsafe { std::slice::from_raw_parts(rates.ptr::<f64>(), rates.numel()) };
            if let Some(r) = rates.iter().find(|r| r.is_nan() || **r < 0.0) {
                bail!(Value, "invalid Poisson rate, expected rate to be non-negative, got {r}");
            }
            draw(c, &outs[0], 0, |g, [r]| g.poisson(r))
        }),
        method: false,
        refuses: &[
            Refusal { call: "rt.ones(2, dtype=rt.int64)", message: "not implemented for dtype int64" },
            Refusal { call: "rt.tensor([1.0, -1.0])", message: "expected rate to be non-negative" },
        ],
    }

    /// Numbers of successes in `count` trials of probability `prob`, which broadcast together (Hörmann 1993), in the dtype of
    /// `count`, drawn in row-major order. No gradient flows.
    binomial(count: Tensor, prob: Tensor, generator: Generator = None) -> Tensor, Special {
        body: Kernel(
            |c| {
                check_float(c.x(0).dtype())?;
                check_float(c.x(1).dtype())?;
                Spec::rows(&broadcast(c.x(0).shape(), c.x(1).shape())?, c.x(0).dtype())?.one()
            },
            |c, outs| draw(c, &outs[0], 0, |g, [n, p]| g.binomial(n, p)),
        ),
        method: false,
        refuses: &[Refusal { call: "rt.ones(2, dtype=rt.int64), rt.ones(2)", message: "not implemented for dtype int64" }],
    }

    /// `input` times a mask, which is the second result: 0 with probability `p`, else `1 / (1 - p)`; `p` below 1.
    native_dropout(input: Tensor, p: Float, generator: Generator = None) -> Pair, Special {
        body: Kernel(infer_native_dropout, compute_native_dropout),
        vjp: vjp!(|v| v.g() * v.yk(1)), saves: Saves::OUTPUT,
        function: false, method: false,
        samples: &["r(4), 0.3, generator=generator()"],
    }

    /// In training, elements are zeroed with probability `p` and the others scaled by `1 / (1 - p)` (Srivastava et al.
    /// 2014); else `input` itself.
    dropout(input: Tensor, p: Float = 0.5, training: Bool = true) -> Tensor, Special {
        body: Composite(eval_dropout),
        inplace: true, onnx: Some("Dropout"), method: false,
        refuses: &[Refusal { call: "rt.ones(2), 1.5", message: "between 0 and 1" }],
        samples: &["r(4), 0.5", "r(4), 0.5, False"],
    }

    /// Dropout of whole channels of `[N, C, *]` (Tompson et al. 2015).
    feature_dropout(input: Tensor, p: Float = 0.5, training: Bool = true) -> Tensor, Special {
        body: Composite(|c| eval_dropped(c, true, false)),
        inplace: true, method: false,
        refuses: &[
            Refusal { call: "rt.ones(2, 2), 1.5", message: "between 0 and 1" },
            Refusal { call: "rt.ones(2)", message: "requires at least 2 dimensions" },
        ],
        samples: &["r(2, 3, 2), 0.5", "r(2, 3, 2), 0.5, False"],
    }

    /// Dropout that keeps the mean and the variance of SELU networks (Klambauer et al. 2017).
    alpha_dropout(input: Tensor, p: Float = 0.5, training: Bool = false) -> Tensor, Special {
        body: Composite(|c| eval_dropped(c, false, true)),
        inplace: true, method: false,
        refuses: &[Refusal { call: "rt.ones(2), 1.5", message: "between 0 and 1" }],
        samples: &["r(4), 0.5, True"],
    }

    /// [`alpha_dropout`] of whole channels of `[N, C, *]`.
    feature_alpha_dropout(input: Tensor, p: Float = 0.5, training: Bool = false) -> Tensor, Special {
        body: Composite(|c| eval_dropped(c, true, true)),
        inplace: true, method: false,
        refuses: &[Refusal { call: "rt.ones(2), 0.5, True", message: "requires at least 2 dimensions" }],
        samples: &["r(2, 3, 2), 0.5, True"],
    }

    /// A leaky ReLU whose slope below 0 is drawn from the uniform distribution between `lower` and `upper` for each element
    /// in training, and is the mean of both otherwise (Xu et al. 2015).
    rrelu(
        input: Tensor, lower: Float = 0.125, upper: Float = 0.3333333333333333, training: Bool = false, generator: Generator = None
    ) -> Tensor, Special {
        body: Composite(|c| {
            let (x, lower, upper) = (c.x(0), c.float(0), c.float(1));
            if lower.is_nan() || upper.is_nan() || lower > upper {
                bail!(Value, "the lower bound must be less than or equal to the upper, got {lower} and {upper}");
            }
            if !c.bool(2) {
                return one(x.leaky_relu((lower + upper) / 2.0)?);
            }
            let generator = if let Attr::Generator(g) = c.attrs[3] { g } else { None };
            one(x.mul(&x.rrelu_slopes(lower, upper, generator)?)?)
        }),
        inplace: true, method: false,
        refuses: &[Refusal { call: "rt.ones(2), 0.5, 0.25", message: "the lower bound must be less than or equal" }],
        samples: &["r(4)", "r(4), 0.2, 0.4, True, generator=generator()"],
    }

    /// The slopes of [`rrelu`] in training: uniform numbers of `[lower, upper)` where `input` is not above 0, else 1.
    rrelu_slopes(input: Tensor, lower: Float, upper: Float, generator: Generator = None) -> Tensor, Special {
        body: Kernel(
            |c| {
                check_float(c.x(0).dtype())?;
                check_uniform(c.float(0), c.float(1), f64::MAX).map_err(fails)?;
                Spec::rows(c.x(0).shape(), c.x(0).dtype())?.one()
            },
            compute_rrelu_slopes,
        ),
        method: false, function: false,
    }

    /// A sample of the categorical distribution with `logits` along `dim` that can be differentiated, closer to one-hot the
    /// lower `tau` is; with `hard` it is one-hot, with the soft one's gradient (Jang et al. 2016).
    gumbel_softmax(logits: Tensor, tau: Float = 1.0, hard: Bool = false, dim: Int = -1) -> Tensor, Special {
        body: Composite(eval_gumbel_softmax),
        method: false, function: false,
        samples: &["r(2, 3), 0.5", "r(2, 3), 2.0, False, 0"],
    }
}
