//! Random tensors. Which numbers are drawn for which element is told in [`crate::random`]; elements are filled in the
//! order in which they lie in memory.

use super::pointwise::result_type;
use super::shape::{contiguous_unlocked, same_layout};
use super::{one, Call, Class, Outs, Refusal, Saves};
use crate::dtype::{default_dtype, dispatch, DType, Elem, Scalar};
use crate::error::{Error, Result};
use crate::kernels::copy;
use crate::parallel::parallel_for;
use crate::random::Generator;
use crate::shape::{broadcast, sizes, wrap_dim};
use crate::tensor::Tensor;
use crate::{bail, err};
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

/// The tensor that an in-place op fills; without one, a new tensor as the first input.
fn target(c: &Call) -> Result<Tensor> {
    c.out.map_or_else(|| same_layout(c.x(0), c.x(0).dtype()), |out| Ok(out.clone()))
}

fn new(c: &Call, size: usize, dtype: usize) -> Result<Tensor> {
    Tensor::empty_of(&sizes(c.ints(size))?, c.opt_dtype(dtype).unwrap_or(default_dtype()))
}

fn like(c: &Call, dtype: usize) -> Result<Tensor> {
    same_layout(c.x(0), c.opt_dtype(dtype).unwrap_or(c.x(0).dtype()))
}

/// Runs `$body` with `$T` bound to a floating-point type, or gives an error.
macro_rules! floats {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::F16 => {
                type $T = half::f16;
                $body
            }
            DType::BF16 => {
                type $T = half::bf16;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            other => bail!(DType, "not implemented for dtype {other}"),
        }
    };
}

fn uniform_into(g: &mut Generator, out: &Tensor, from: f64, to: f64) -> Result<()> {
    let d = out.dtype();
    if d.is_float() {
        for (name, v) in [("from", from), ("to", to)] {
            if v < d.min() || v > d.max() {
                bail!(Value, "{name} is out of bounds for {d}, got {v}");
            }
        }
        if to - from > d.max() {
            bail!(Value, "expects to - from to be at most {} for {d}, got from={from} and to={to}", d.max());
        }
    }
    match out.dtype() {
        DType::F32 => fill::<f32>(out, |s, _| g.uniform_f32(s, from, to)),
        DType::F64 => fill::<f64>(out, |s, _| g.uniform_f64(s, from, to)),
        DType::F16 => fill::<half::f16>(out, |s, _| g.uniform_reduced(s, from, to, half::f16::from_f32)),
        DType::BF16 => fill::<half::bf16>(out, |s, _| g.uniform_reduced(s, from, to, half::bf16::from_f32)),
        other => Err(err!(DType, "not implemented for dtype {other}")),
    }
}

fn normal_into(g: &mut Generator, out: &Tensor, mean: f64, std: f64) -> Result<()> {
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

/// Whole numbers of `[low, high)`.
fn integers_into(g: &mut Generator, out: &Tensor, low: i64, high: i64) -> Result<()> {
    let d = out.dtype();
    if low >= high {
        bail!(Value, "expects 'from' to be less than 'to', but got from={low} >= to={high}");
    }
    for (name, v) in [("from", low), ("to - 1", high - 1)] {
        // 64-bit ends of the range: f64 rounds i64::MAX up, so int64 is not looked at.
        if d != DType::I64 && ((v as f64) < d.min() || v as f64 > d.max()) {
            bail!(Value, "{name} is out of bounds for {d}, got {v}");
        }
    }
    dispatch!(d, T => fill::<T>(out, |s, _| g.random_from_to(s, low, high, T::from_i64)))
}

fn eval_random(c: &Call) -> Result<Outs> {
    let out = target(c)?;
    let most = out.dtype().largest_whole();
    c.with_generator(2, |g| match (c.opt_int(0), c.opt_int(1)) {
        (None, None) => dispatch!(out.dtype(), T => fill::<T>(&out, |s, _| {
            g.random_full(s, most, |v| T::from_i64(v as i64));
            Ok(())
        })),
        (Some(low), None) if out.dtype() == DType::I64 => fill::<i64>(&out, |s, _| {
            g.random_from(s, low);
            Ok(())
        }),
        (low, high) => integers_into(g, &out, low.unwrap_or(0), high.unwrap_or(most.saturating_add(1))),
    })?;
    one(out)
}

/// Fills by `f`, which gets a slice of any dtype and the conversion to it.
macro_rules! fill_any {
    ($c:ident, $k:literal, |$g:ident, $s:ident, $T:ident| $f:expr) => {{
        let out = target($c)?;
        $c.with_generator($k, |$g| dispatch!(out.dtype(), $T => fill::<$T>(&out, |$s, _| $f)))?;
        one(out)
    }};
    (float $c:ident, $k:literal, |$g:ident, $s:ident, $T:ident| $f:expr) => {{
        let out = target($c)?;
        $c.with_generator($k, |$g| {
            floats!(out.dtype(), $T => fill::<$T>(&out, |$s, _| $f))
        })?;
        one(out)
    }};
}

/// Zeros and ones with probabilities `p`, which is broadcast to `out`.
fn bernoulli_into(g: &mut Generator, out: &Tensor, p: &Tensor) -> Result<()> {
    let wide = p.layout().broadcast_to(out.shape())?;
    // The probabilities in the order in which the output is filled.
    let mut order: SmallVec<[usize; 8]> = (0..out.ndim()).collect();
    order.sort_unstable_by_key(|&d| (std::cmp::Reverse(out.strides()[d]), d));
    let compute = if p.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    if !p.dtype().is_float() {
        bail!(DType, "expected probabilities of a floating point dtype, got {}", p.dtype());
    }
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

fn eval_multinomial(c: &Call) -> Result<Outs> {
    let (x, samples, again) = (c.x(0), c.int(0), c.bool(1));
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
    let d = wrap_dim(-1, x.ndim())?;
    shape[d] = samples;
    let out = Tensor::empty_of(&shape, DType::I64)?;
    let w = contiguous_unlocked(x, x.dtype().compute_dtype(), false)?;
    // SAFETY: both are row-major.
    let (n, to) = (w.numel(), unsafe { std::slice::from_raw_parts_mut(out.ptr::<i64>(), out.numel()) });
    c.with_generator(2, |g| unsafe {
        match x.dtype() {
            DType::F64 => g.multinomial_f64(std::slice::from_raw_parts(w.ptr(), n), rows, again, to),
            d => {
                let round = |v: f32| match d {
                    DType::F16 => half::f16::from_f32(v).to_f32(),
                    DType::BF16 => half::bf16::from_f32(v).to_f32(),
                    _ => v,
                };
                g.multinomial_f32(std::slice::from_raw_parts(w.ptr(), n), rows, again, to, round)
            }
        }
    })
    .map_err(fails)?;
    one(out)
}

/// `input` times a mask that is 0 with probability `p` and else `1 / (1 - p)`, and that mask.
fn eval_native_dropout(c: &Call) -> Result<Outs> {
    let (x, p) = (c.x(0), c.float(0));
    let x = if x.layout().is_dense() { x.clone() } else { contiguous_unlocked(x, x.dtype(), true)? };
    let (out, mask) = (same_layout(&x, x.dtype())?, same_layout(&x, x.dtype())?);
    floats!(x.dtype(), T => {
        let scale = T::down(T::from_i64(1).up() / (1.0 - p) as <T as Elem>::Acc);
        c.with_generator(1, |g| fill::<T>(&mask, |s, _| g.bernoulli_scalar(s, 1.0 - p, T::from_i64(0), scale)))?;
        let (from, m, to) = (copy::Shared(x.ptr::<T>()), copy::Shared(mask.ptr::<T>()), copy::Shared(out.ptr::<T>()));
        parallel_for(x.numel(), copy::GRAIN, &|r| {
            for i in r {
                // SAFETY: three dense blocks with one layout.
                unsafe { *to.get().add(i) = T::down((*from.get().add(i)).up() * (*m.get().add(i)).up()) };
            }
        });
    });
    Ok(Outs::from_iter([out, mask]))
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

ops! {
    /// Uniform numbers of [0, 1) of shape `size`.
    rand(size: Shape, generator: Generator = None, dtype: OptDType = None) -> Tensor, Special {
        eval: |c| {
            let out = new(c, 0, 2)?;
            c.with_generator(1, |g| uniform_into(g, &out, 0.0, 1.0))?;
            one(out)
        },
        method: false, onnx: Some("RandomUniform"),
        refuses: &[Refusal { call: "2, dtype=rt.int64", message: "not implemented for dtype int64" }],
    }

    /// Standard normal numbers of shape `size`.
    randn(size: Shape, generator: Generator = None, dtype: OptDType = None) -> Tensor, Special {
        eval: |c| {
            let out = new(c, 0, 2)?;
            c.with_generator(1, |g| normal_into(g, &out, 0.0, 1.0))?;
            one(out)
        },
        method: false, onnx: Some("RandomNormal"),
    }

    /// Whole numbers of `[low, high)` of shape `size`; int64 by default.
    randint(
        low: Int, high: Int, size: Shape, generator: Generator = None, dtype: OptDType = None
    ) -> Tensor, Special {
        eval: |c| {
            let out = Tensor::empty_of(&sizes(c.ints(2))?, c.opt_dtype(4).unwrap_or(DType::I64))?;
            c.with_generator(3, |g| integers_into(g, &out, c.int(0), c.int(1)))?;
            one(out)
        },
        method: false,
        refuses: &[Refusal { call: "3, 3, (2,)", message: "expects 'from' to be less than 'to'" }],
    }

    /// The numbers 0 to `n - 1` in random order; int64 by default.
    randperm(n: Int, generator: Generator = None, dtype: OptDType = None) -> Tensor, Special {
        eval: |c| {
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
            let out = Tensor::empty_of(&[n as usize], DType::I64)?;
            c.with_generator(1, |g| fill::<i64>(&out, |s, _| {
                g.randperm_into(s);
                Ok(())
            }))?;
            one(contiguous_unlocked(&out, dtype, false)?)
        },
        method: false,
    }

    /// Uniform numbers of [0, 1) in the shape of `input`.
    rand_like(input: Tensor, generator: Generator = None, dtype: OptDType = None) -> Tensor, Special {
        eval: |c| {
            let out = like(c, 1)?;
            c.with_generator(0, |g| uniform_into(g, &out, 0.0, 1.0))?;
            one(out)
        },
        method: false, onnx: Some("RandomUniformLike"),
    }

    /// Standard normal numbers in the shape of `input`.
    randn_like(input: Tensor, generator: Generator = None, dtype: OptDType = None) -> Tensor, Special {
        eval: |c| {
            let out = like(c, 1)?;
            c.with_generator(0, |g| normal_into(g, &out, 0.0, 1.0))?;
            one(out)
        },
        method: false, onnx: Some("RandomNormalLike"),
    }

    /// Whole numbers of `[low, high)` in the shape and dtype of `input`.
    randint_like(
        input: Tensor, low: Int, high: Int, generator: Generator = None, dtype: OptDType = None
    ) -> Tensor, Special {
        eval: |c| {
            let out = like(c, 3)?;
            c.with_generator(2, |g| integers_into(g, &out, c.int(0), c.int(1)))?;
            one(out)
        },
        method: false,
    }

    /// In place: uniform numbers of `[from, to)`.
    uniform(input: Tensor, from: Float = 0.0, to: Float = 1.0, generator: Generator = None) -> Tensor, Special {
        eval: |c| {
            let out = target(c)?;
            c.with_generator(2, |g| uniform_into(g, &out, c.float(0), c.float(1)))?;
            one(out)
        },
        inplace: true, function: false, method: false,
    }

    /// In place: normal numbers with the given mean and standard deviation.
    normal(input: Tensor, mean: Float = 0.0, std: Float = 1.0, generator: Generator = None) -> Tensor, Special {
        eval: |c| {
            let out = target(c)?;
            c.with_generator(2, |g| normal_into(g, &out, c.float(0), c.float(1)))?;
            one(out)
        },
        inplace: true, function: false, method: false,
    }

    /// In place: whole numbers of `[from, to)`; without bounds all non-negative ones that the dtype holds exactly.
    random(input: Tensor, from: OptInt = None, to: OptInt = None, generator: Generator = None) -> Tensor, Special {
        eval: eval_random,
        inplace: true, function: false, method: false,
    }

    /// Ones with the probabilities of `input`, else zeros.
    bernoulli(input: Tensor, generator: Generator = None) -> Tensor, Special {
        eval: |c| {
            let out = Tensor::empty_of(c.x(0).shape(), c.x(0).dtype())?;
            c.with_generator(0, |g| bernoulli_into(g, &out, c.x(0)))?;
            one(out)
        },
        onnx: Some("Bernoulli"),
        refuses: &[Refusal { call: "rt.tensor([2.0])", message: "expected p in [0, 1]" }],
    }

    /// In place: ones with probability `p`, else zeros.
    bernoulli_p(input: Tensor, p: Float = 0.5, generator: Generator = None) -> Tensor, Special {
        eval: |c| fill_any!(c, 1, |g, s, T| g.bernoulli_scalar(s, c.float(0), T::from_i64(0), T::from_i64(1))),
        inplace: true, function: false, method: false,
    }

    /// In place: ones with the probabilities of the tensor `p`, broadcast, else zeros.
    bernoulli_tensor(input: Tensor, p: Tensor, generator: Generator = None) -> Tensor, Special {
        eval: |c| {
            let out = target(c)?;
            broadcast(out.shape(), c.x(1).shape())?;
            c.with_generator(0, |g| bernoulli_into(g, &out, c.x(1)))?;
            one(out)
        },
        inplace: true, function: false, method: false,
    }

    /// In place: exponentially distributed numbers with rate `lambd`.
    exponential(input: Tensor, lambd: Float = 1.0, generator: Generator = None) -> Tensor, Special {
        eval: |c| fill_any!(float c, 1, |g, s, T| g.exponential(s, c.float(0), T::from_f64)),
        inplace: true, function: false, method: false,
    }

    /// In place: the number of trials up to the first success, of probability `p`.
    geometric(input: Tensor, p: Float, generator: Generator = None) -> Tensor, Special {
        eval: |c| fill_any!(c, 1, |g, s, T| g.geometric(s, c.float(0), T::from_f64)),
        inplace: true, function: false, method: false,
    }

    /// In place: numbers of the Cauchy distribution.
    cauchy(input: Tensor, median: Float = 0.0, sigma: Float = 1.0, generator: Generator = None) -> Tensor, Special {
        eval: |c| fill_any!(float c, 2, |g, s, T| g.cauchy(s, c.float(0), c.float(1), T::from_f64)),
        inplace: true, function: false, method: false,
    }

    /// In place: numbers whose logarithm is normal with the given mean and standard deviation.
    log_normal(input: Tensor, mean: Float = 1.0, std: Float = 2.0, generator: Generator = None) -> Tensor, Special {
        eval: |c| fill_any!(float c, 2, |g, s, T| g.log_normal(s, c.float(0), c.float(1), T::from_f64)),
        inplace: true, function: false, method: false,
    }

    /// Normal numbers with means and standard deviations from two tensors, which broadcast together.
    normal_tensors(mean: Operand, std: Operand, generator: Generator = None) -> Tensor, Special {
        eval: |c| {
            let (mean, std) = (c.x(0), c.x(1));
            let dtype = result_type([mean, std].into_iter());
            if std.to_vec::<f64>()?.iter().any(|s| s.is_nan() || *s < 0.0) {
                bail!(Value, "expects all elements of std >= 0.0");
            }
            let out = Tensor::empty_of(&broadcast(mean.shape(), std.shape())?, dtype)?;
            c.with_generator(0, |g| normal_into(g, &out, 0.0, 1.0))?;
            one(out.mul(&std.alias())?.add(&mean.alias(), 1)?)
        },
        class: Class::Composite, function: false, method: false,
        samples: &["r(2), p(2), generator=generator()", "r(2), 1.5, generator=generator()", "0.5, p(2), generator=generator()"],
    }

    /// Indices drawn with the probabilities of the rows of `input`, `num_samples` per row: `[*, n]` becomes
    /// `[*, num_samples]` of int64.
    multinomial(
        input: Tensor, num_samples: Int, replacement: Bool = false, generator: Generator = None
    ) -> Tensor, Special {
        eval: eval_multinomial,
        onnx: Some("Multinomial"),
        refuses: &[Refusal { call: "rt.ones(2), 3", message: "without replacement" }],
    }

    /// `input` times a mask, which is the second result: 0 with probability `p`, else `1 / (1 - p)`; `p` below 1.
    native_dropout(input: Tensor, p: Float, generator: Generator = None) -> Pair, Special {
        eval: eval_native_dropout,
        vjp: vjp!(|v| v.g() * v.yk(1)), saves: Saves::OUTPUT,
        function: false, method: false,
        samples: &["r(4), 0.3, generator=generator()"],
    }

    /// In training, elements are zeroed with probability `p` and the others scaled by `1 / (1 - p)` (Srivastava et al.
    /// 2014); else `input` itself.
    dropout(input: Tensor, p: Float = 0.5, training: Bool = true) -> Tensor, Special {
        eval: eval_dropout,
        class: Class::Composite, inplace: true, onnx: Some("Dropout"), method: false,
        refuses: &[Refusal { call: "rt.ones(2), 1.5", message: "between 0 and 1" }],
        samples: &["r(4), 0.5", "r(4), 0.5, False"],
    }
}
