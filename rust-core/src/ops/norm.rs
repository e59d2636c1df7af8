//! Normalisation layers.

use crate::bail;
use crate::autograd::{Exs, may_change, through};
use crate::dtype::{DType, Scalar};
use crate::engine::copy::{ptr, contiguous_unlocked, copy_into, fill_new, written_as};
use crate::engine::dtypes::{float, only_floats, ready};
use crate::engine::overlap::check_writable;
use crate::error::{Error, Result};
use crate::funnel::locks;
use crate::kernels::norm::{Channels, self};
use crate::parallel::Hold;
use crate::table::{Attr, Call, Grads, Outs, Refusal, Saves, Spec, Specs, one};
use crate::table::lang::Ex;
use crate::tensor::Tensor;
use crate::tensor::modes::{GradMode, recording};
use smallvec::{SmallVec, smallvec};

/// As [`ready`], in the compute type of `dtype`.
fn ready_as(t: Option<&Tensor>, dtype: DType) -> Result<Option<Tensor>> {
    t.map(|t| contiguous_unlocked(t, dtype.compute_dtype(), false)).transpose()
}

/// As [`written_as`], for two results.
fn both_written_as(outs: &[Tensor], dtype: DType, f: impl FnOnce([&Tensor; 2]) -> Result<()>) -> Result<()> {
    written_as(&outs[0], dtype, |a| written_as(&outs[1], dtype, |b| f([a, b])))
}

/// A parameter or statistic of an input of dtype `like`: of the given shape and of that dtype, or float32 beside halves.
fn check_param(t: Option<&Tensor>, shape: &[usize], like: DType, name: &str) -> Result<()> {
    check_affine(t, shape, name)?;
    match t.map(|t| t.dtype()) {
        Some(d) if d != like && (d != DType::F32 || like.compute_dtype() == like) => {
            bail!(DType, "expected {name} of the input's dtype {like}, got {d}")
        }
        _ => Ok(()),
    }
}

/// A weight or bias must have the given shape.
fn check_affine(t: Option<&Tensor>, shape: &[usize], name: &str) -> Result<()> {
    match t {
        Some(t) if t.shape() != shape => {
            let message = format!("expected {name} of shape {shape:?}, got {:?}", t.shape());
            Err(Error::shapes("", message, t.shape(), shape))
        }
        _ => Ok(()),
    }
}

/// A gradient has the shape of the input, and floats.
fn want_gradient(g: &Tensor, x: &Tensor) -> Result<()> {
    if g.shape() != x.shape() {
        return Err(Error::shapes("", "gradient and input must have one shape", g.shape(), x.shape()));
    }
    if !g.dtype().is_float() {
        bail!(DType, "expected a gradient of a floating point dtype, got {}", g.dtype());
    }
    Ok(())
}

/// The gradients of input, weight and bias, the latter two of `shape`.
fn gradients(x: &Tensor, w: Option<&Tensor>, shape: &[usize]) -> Result<Specs> {
    only_floats(x.dtype())?;
    let affine = w.map_or(x.dtype().compute_dtype(), |w| w.dtype());
    Ok(Specs::from_iter([Spec::rows(x.shape(), x.dtype())?, Spec::rows(shape, affine)?, Spec::rows(shape, affine)?]))
}

// ---- layer and RMS norm ----

/// Rows and their length, where `normalized` are the last sizes of `shape`.
fn rows_of(shape: &[usize], normalized: &[i64]) -> Result<(usize, usize)> {
    let k = normalized.len();
    let fits =
        k >= 1 && k <= shape.len() && shape[shape.len() - k..].iter().zip(normalized).all(|(&a, &b)| a as i64 == b);
    if !fits {
        bail!(
            Shape,
            "given normalized_shape={normalized:?}, expected input with shape [*, {}, but got input of size {shape:?}",
            format!("{normalized:?}").trim_start_matches('[')
        );
    }
    let n = shape[shape.len() - k..].iter().product();
    // Without elements there are no rows, however many there were.
    Ok((if n == 0 { 0 } else { shape[..shape.len() - k].iter().product() }, n))
}

/// The last sizes of the input, over which attribute 0 says that it is normalised.
fn normalized<'a>(c: &Call, x: &'a Tensor) -> &'a [usize] {
    &x.shape()[x.ndim() - c.ints(0).len()..]
}

fn infer_rows(c: &Call, bias: Option<&Tensor>, centered: bool) -> Result<Specs> {
    let x = c.x(0);
    rows_of(x.shape(), c.ints(0))?;
    let shape = normalized(c, x);
    // RMS norm brings its weight into the input's dtype.
    let like = |t: Option<&Tensor>| t.filter(|_| !centered).map_or(x.dtype(), |t| t.dtype());
    check_param(c.opt(1), shape, like(c.opt(1)), "weight")?;
    check_param(bias, shape, x.dtype(), "bias")?;
    only_floats(x.dtype())?;
    Spec::rows(x.shape(), x.dtype())?.one()
}

fn compute_rows(c: &Call, bias: Option<&Tensor>, eps: f64, centered: bool, outs: &[Tensor]) -> Result<()> {
    let x = c.x(0);
    let (rows, n) = rows_of(x.shape(), c.ints(0))?;
    let (x1, w, b) = (ready(x)?, ready_as(c.opt(1), x.dtype())?, ready_as(bias, x.dtype())?);
    written_as(&outs[0], x1.dtype(), |out| {
        float!(x.dtype(), T => norm::rows::<T>(rows, n, x1.ptr(), ptr!(w), ptr!(b), eps, centered, out.ptr()));
        Ok(())
    })
}

/// eps of `rms_norm` where none is given.
fn rms_eps(eps: Option<f64>, dtype: DType) -> f64 {
    eps.unwrap_or(dtype.compute_dtype().eps())
}

/// `g`, `x`, `w` and the normalised dimensions to the gradients of x, weight and bias.
fn rows_formula(g: &Ex, x: &Ex, w: &Ex, dims: &[i64], lead: &[i64], eps: f64, centered: bool) -> Exs {
    let mean = |e: &Ex| e.then(|t| t.mean(Some(dims), true, None));
    let d = if centered { x - mean(x) } else { x.clone() };
    let rstd = (mean(&(&d * &d)) + eps).then(|t| t.rsqrt());
    let xh = &d * &rstd;
    let gw = if w.is_none() { g.clone() } else { g * w };
    let centre = if centered { &gw - mean(&gw) } else { gw.clone() };
    let gx = &rstd * (centre - &xh * mean(&(&gw * &xh)));
    let total = |e: Ex| if lead.is_empty() { e } else { e.sum(lead, false) };
    SmallVec::from_iter([gx, total(g * &xh), total(g.clone())])
}

// ---- channels ----

/// `[N, C, ...]` of an input; without elements there are no samples, however many there were.
fn extents(x: &Tensor) -> Channels {
    let batch = if x.numel() == 0 { 0 } else { x.shape()[0] };
    Channels { batch, channels: x.shape()[1], inner: x.shape()[2..].iter().product() }
}

/// Refuses inputs without channels.
fn want_channels(x: &Tensor) -> Result<()> {
    if x.ndim() < 2 {
        bail!(Shape, "expected at least 2D input (got {}D input of shape {:?})", x.ndim(), x.shape());
    }
    Ok(())
}

/// `x` with samples and channels exchanged.
fn turn(x: &Tensor) -> Tensor {
    x.with_layout(x.layout().transpose(0, 1))
}

/// The channels of `[N, C, ...]`, with `x` brought into an order in which each channel's runs are long: few elements
/// per run are turned into `[C, N * inner]`. The flag says that they were.
fn channels(x: &Tensor) -> Result<(Channels, Tensor, bool)> {
    let s = extents(x);
    let compute = x.dtype().compute_dtype();
    if s.inner >= 16 || s.batch == 1 {
        return Ok((s, contiguous_unlocked(x, compute, false)?, false));
    }
    let s = Channels { batch: 1, channels: s.channels, inner: s.batch * s.inner };
    Ok((s, contiguous_unlocked(&turn(x), compute, false)?, true))
}

/// Has `f` write what lies as `x1` of [`channels`], and undoes their turn in the row-major result `out`.
fn written_turned(out: &Tensor, turned: bool, dtype: DType, f: impl FnOnce(&Tensor) -> Result<()>) -> Result<()> {
    if !turned {
        return written_as(out, dtype, f);
    }
    let seen = turn(out);
    if seen.dtype() == dtype && seen.is_contiguous() {
        return f(&seen);
    }
    let aside = Tensor::empty_of(seen.shape(), dtype)?;
    f(&aside)?;
    copy_into(out, &turn(&aside))
}

fn infer_batch(x: &Tensor, stats: Option<[&Tensor; 2]>, w: Option<&Tensor>, b: Option<&Tensor>) -> Result<Specs> {
    want_channels(x)?;
    let shape = &x.shape()[1..2];
    check_param(w, shape, x.dtype(), "weight")?;
    check_param(b, shape, x.dtype(), "bias")?;
    if let Some([m, v]) = stats {
        check_param(Some(m), shape, x.dtype(), "running_mean")?;
        check_param(Some(v), shape, x.dtype(), "running_var")?;
    }
    only_floats(x.dtype())?;
    let mut specs = Spec::rows(x.shape(), x.dtype())?.one()?;
    if stats.is_none() {
        for _ in 0..2 {
            specs.push(Spec::rows(shape, x.dtype().compute_dtype())?);
        }
    }
    Ok(specs)
}

/// Normalises by given statistics, or by those of the input, which become results.
fn compute_batch(
    x: &Tensor,
    stats: Option<[&Tensor; 2]>,
    w: Option<&Tensor>,
    b: Option<&Tensor>,
    eps: f64,
    outs: &[Tensor],
) -> Result<()> {
    let (s, x1, turned) = channels(x)?;
    let (w1, b1) = (ready_as(w, x.dtype())?, ready_as(b, x.dtype())?);
    let [mean, var] = match stats {
        Some([m, v]) => [contiguous_unlocked(m, x1.dtype(), false)?, contiguous_unlocked(v, x1.dtype(), false)?],
        None => {
            float!(x.dtype(), T => norm::channel_stats::<T>(s, x1.ptr(), outs[1].ptr(), outs[2].ptr()));
            [outs[1].clone(), outs[2].clone()]
        }
    };
    written_turned(&outs[0], turned, x1.dtype(), |out| {
        float!(x.dtype(), T => norm::channel_apply::<T>(
            s, x1.ptr(), mean.ptr(), var.ptr(), ptr!(w1), ptr!(b1), eps, stats.is_none(), out.ptr()))
    })
}

/// Gradients of x, weight and bias of a batch norm with given mean and variance (None: those of x itself).
fn batch_formula(g: &Ex, x: &Ex, stats: Option<[&Ex; 2]>, w: &Ex, ndim: usize, eps: f64) -> Exs {
    let dims: SmallVec<[i64; 8]> = (0..ndim as i64).filter(|&d| d != 1).collect();
    let mut shape: SmallVec<[i64; 8]> = SmallVec::from_elem(1, ndim);
    shape[1] = -1;
    let mean = |e: &Ex| e.then(|t| t.mean(Some(&dims), true, None));
    let per_channel = |e: &Ex| e.reshape(&shape);
    let (d, var) = match stats {
        Some([m, v]) => (x - per_channel(m), per_channel(v)),
        None => {
            let d = x - mean(x);
            let var = mean(&(&d * &d));
            (d, var)
        }
    };
    let rstd = (var + eps).then(|t| t.rsqrt());
    let xh = &d * &rstd;
    let gw = if w.is_none() { g.clone() } else { g * per_channel(w) };
    let gx = match stats {
        Some(_) => &gw * &rstd,
        None => &rstd * (&gw - mean(&gw) - &xh * mean(&(&gw * &xh))),
    };
    SmallVec::from_iter([gx, (g * &xh).sum(&dims, false), g.sum(&dims, false)])
}

/// `stat += momentum * (new - stat)`, without history.
fn update(stat: &Tensor, new: &Tensor, momentum: f64) -> Result<()> {
    let _mode = GradMode::set(false);
    let momentum = Tensor::number(Scalar::Float(momentum))?;
    stat.lerp_(&new.to_dtype(stat.dtype())?, &momentum)?;
    Ok(())
}

/// Moves two statistics, or neither.
fn update_both(stats: [Option<&Tensor>; 2], new: [Option<&Tensor>; 2], momentum: f64) -> Result<()> {
    let both = stats[0].is_some() && stats[1].is_some();
    // An interrupt between the two would unwind.
    let _hold = Hold::new();
    let old = match stats[0].filter(|t| both && !t.is_meta()) {
        Some(first) => Some(contiguous_unlocked(first, first.dtype(), true)?),
        None => None,
    };
    for (k, (stat, new)) in stats.into_iter().zip(new).enumerate() {
        let done = stat.zip(new).map_or(Ok(()), |(stat, new)| update(stat, new, momentum));
        if let (Err(_), 1, Some(first), Some(old)) = (&done, k, stats[0], &old) {
            let _locks = locks(&[], Some(first), |_| false, false)?;
            copy_into(first, old)?;
        }
        done?;
    }
    Ok(())
}

/// Running statistics of `x` that are to be moved: both or none, one number per channel.
fn check_stats(x: &Tensor, mean: Option<&Tensor>, var: Option<&Tensor>) -> Result<()> {
    if mean.is_some() != var.is_some() {
        bail!(Value, "running_mean and running_var must either both be None or neither be None");
    }
    let Some(&channels) = x.shape().get(1) else { return Ok(()) };
    for (stat, name) in [(mean, "running_mean"), (var, "running_var")] {
        check_param(stat, &[channels], x.dtype(), name)?;
        if let Some(t) = stat {
            may_change(t)?;
            check_writable(t)?;
        }
    }
    Ok(())
}

/// Statistics take no part in graphs.
fn refuse_gradients(stats: [Option<&Tensor>; 2]) -> Result<()> {
    for (stat, name) in stats.iter().zip(["running_mean", "running_var"]) {
        if recording() && stat.is_some_and(|t| t.requires_grad()) {
            bail!(Autograd, "not differentiable with respect to argument '{name}': it cannot require grad");
        }
    }
    Ok(())
}

fn eval_batch_norm(c: &Call) -> Result<Outs> {
    let (x, mean, var, w, b) = (c.x(0), c.opt(1), c.opt(2), c.opt(3), c.opt(4));
    let (training, momentum, eps) = (c.bool(0), c.float(1), c.float(2));
    refuse_gradients([mean, var])?;
    if x.ndim() < 2 && x.numel() == 0 {
        return one(x.duplicate()?);
    }
    if !training {
        let (Some(m), Some(v)) = (mean, var) else {
            bail!(Value, "expected running_mean and running_var to be defined when training=False");
        };
        return one(x.batch_norm_eval(m, v, w, b, eps)?);
    }
    // What can be refused is refused before the first of the two changes.
    check_stats(x, mean, var)?;
    let mut outs = x.batch_norm_train(w, b, eps)?;
    let n = x.numel() / x.shape()[1].max(1);
    // An empty batch says nothing about the statistics.
    if n > 0 && (mean.is_some() || var.is_some()) {
        // The running variance is the unbiased one.
        let unbiased = (&outs[2] * (n as f64 / (n as f64 - 1.0)))?;
        update_both([mean, var], [Some(&outs[1]), Some(&unbiased)], momentum)?;
    }
    outs.truncate(1);
    Ok(outs)
}

fn eval_instance_norm(c: &Call) -> Result<Outs> {
    let (x, mean, var, w, b) = (c.x(0), c.opt(1), c.opt(2), c.opt(3), c.opt(4));
    let (use_input, momentum, eps) = (c.bool(0), c.float(1), c.float(2));
    refuse_gradients([mean, var])?;
    if x.ndim() < 2 {
        bail!(Shape, "expected at least 2D input, got shape {:?}", x.shape());
    }
    let (n, channels) = (x.shape()[0] as i64, x.shape()[1] as i64);
    if !use_input {
        return one(x.batch_norm(mean, var, w, b, false, momentum, eps)?);
    }
    if mean.is_none() && var.is_none() {
        return one(x.group_norm(channels, w, b, eps)?);
    }
    check_stats(x, mean, var)?;
    // Each sample's channels are channels of one long batch norm, whose statistics are averaged over the samples.
    let mut shape: SmallVec<[i64; 8]> = x.shape().iter().map(|&d| d as i64).collect();
    (shape[0], shape[1]) = (1, n * channels);
    let repeat =
        |t: Option<&Tensor>| t.map(|t| t.unsqueeze(0)?.expand(&[n, channels])?.reshape(&[n * channels])).transpose();
    let copy = |t: Option<&Tensor>| repeat(t)?.map(|t| t.duplicate()).transpose();
    let (m, v) = (copy(mean)?, copy(var)?);
    let y = x.reshape(&shape)?.batch_norm(
        m.as_ref(),
        v.as_ref(),
        repeat(w)?.as_ref(),
        repeat(b)?.as_ref(),
        true,
        momentum,
        eps,
    )?;
    let averaged = |t: Option<Tensor>| {
        t.map(|t| t.reshape(&[n, channels])?.mean(Some(&[0]), false, None)).transpose()
    };
    let (m, v) = (averaged(m)?, averaged(v)?);
    update_both([mean, var], [m.as_ref(), v.as_ref()], 1.0)?;
    let shape: SmallVec<[i64; 8]> = x.shape().iter().map(|&d| d as i64).collect();
    one(y.reshape(&shape)?)
}

/// The channels of a group norm's input, row-major.
fn group_channels(x: &Tensor, groups: i64) -> Result<(Channels, usize)> {
    if x.ndim() < 2 {
        bail!(Shape, "expected input with at least 2 dimensions, got shape {:?}", x.shape());
    }
    let s = extents(x);
    if groups <= 0 || s.channels as i64 % groups != 0 {
        bail!(
            Value,
            "expected number of channels in input to be divisible by num_groups, but got input of shape {:?} and \
            num_groups={groups}",
            x.shape()
        );
    }
    Ok((s, (groups as usize).min(s.channels.max(1))))
}

ops! {
    /// Batch normalisation of `[N, C, ...]` (Ioffe and Szegedy 2015): per channel, `(input - mean) / sqrt(var + eps) *
    /// weight + bias`. In training, mean and (biased) variance are those of the input, and the running ones move towards
    /// them (the variance unbiased) by `momentum`; else the running ones are used.
    batch_norm(
        input: Tensor, running_mean: OptMut, running_var: OptMut, weight: OptTensor = None, bias: OptTensor = None,
        training: Bool = false, momentum: Float = 0.1, eps: Float = 1e-5
    ) -> Tensor, Special {
        body: Composite(eval_batch_norm), writes: |attrs| matches!(attrs, [Attr::Bool(true), ..]),
        method: false, onnx: Some("BatchNormalization"),
        refuses: &[Refusal { call: "rt.ones(2, 3), None, None", message: "expected running_mean and running_var to be defined" }],
        samples: &[
            "r(3, 2), None, None, r(2), r(2), True", "r(3, 2, 2), None, None, None, None, True, 0.1, 0.1",
            "r(3, 2), c([0.1, 0.2]), c([0.8, 1.2]), r(2), r(2)",
        ],
    }

    /// Batch normalisation by the input's own statistics; also gives those: mean and biased variance per channel.
    batch_norm_train(input: Tensor, weight: OptTensor, bias: OptTensor, eps: Float) -> Triple, Special {
        body: Kernel(
            |c| {
                let x = c.x(0);
                if x.ndim() >= 2 && x.numel() == x.shape()[1] && x.numel() > 0 {
                    bail!(Value, "expected more than 1 value per channel when training, got input size {:?}", x.shape());
                }
                infer_batch(x, None, c.opt(1), c.opt(2))
            },
            |c, outs| compute_batch(c.x(0), None, c.opt(1), c.opt(2), c.float(0), outs),
        ),
        vjp: vjp!(|v| {
            let (x, w) = (v.x(0).tensor()?, v.x(1).value()?);
            let (mean, var) = (v.yk(1).tensor()?, v.yk(2).tensor()?);
            let mut grads: Grads = SmallVec::from_iter([None, None, None]);
            if v.has(0) {
                let g = v.g().tensor()?;
                let outs = Tensor::batch_norm_backward(&g, &x, &mean.alias(), &var.alias(), w.as_ref(), v.float(0), true)?;
                grads = outs.into_iter().enumerate().map(|(i, t)| v.need(i).then_some(t)).collect();
            }
            if v.need(0) && (v.has(1) || v.has(2)) {
                let per_channel = |e: Ex| {
                    let mut shape: SmallVec<[i64; 8]> = smallvec![1; x.ndim()];
                    shape[1] = -1;
                    e.reshape(&shape)
                };
                let count = (x.numel() / x.shape()[1].max(1)) as f64;
                let by_var = per_channel(v.gk(2)) * 2.0 * (v.x(0) - per_channel(Ex::from(&mean)));
                let by_both = ((per_channel(v.gk(1)) + by_var) / count).expand(&v.sizes(0));
                grads[0] = match grads[0].take() {
                    Some(t) => (by_both + Ex::from(&t)).value()?,
                    None => by_both.value()?,
                };
            }
            Ok(grads)
        }),
        saves: Saves::XB.and(Saves::OUTPUT), method: false, function: false,
        samples: &["r(4, 2), r(2), r(2), 0.1", "r(2, 2, 3), None, None, 1e-5"],
    }

    /// Batch normalisation by given statistics.
    batch_norm_eval(
        input: Tensor, running_mean: Tensor, running_var: Tensor, weight: OptTensor, bias: OptTensor, eps: Float
    ) -> Tensor, Special {
        body: Kernel(
            |c| infer_batch(c.x(0), Some([c.x(1), c.x(2)]), c.opt(3), c.opt(4)),
            |c, outs| compute_batch(c.x(0), Some([c.x(1), c.x(2)]), c.opt(3), c.opt(4), c.float(0), outs),
        ),
        vjp: vjp!(|v| {
            let (x, m, s) = (v.x(0).tensor()?, v.x(1).tensor()?, v.x(2).tensor()?);
            let outs = Tensor::batch_norm_backward(&v.g().tensor()?, &x, &m, &s, v.x(3).value()?.as_ref(), v.float(0), false)?;
            let mut grads = outs.into_iter();
            let (gx, gw, gb) = (grads.next(), grads.next(), grads.next());
            Ok(SmallVec::from_iter([gx, None, None, gw.filter(|_| v.need(3)), gb.filter(|_| v.need(4))]))
        }),
        saves: Saves(0b1111), method: false, function: false,
        samples: &[
            "r(3, 2), c([0.1, 0.2]), c([0.8, 1.2]), r(2), r(2), 0.1",
            "r(3, 2, 2), c([0.1, 0.2]), c([0.8, 1.2]), None, None, 1e-5",
        ],
    }

    /// Gradients of a batch normalisation with respect to input, weight and bias; `training` says that mean and variance
    /// are functions of the input.
    batch_norm_backward(
        grad: Tensor, input: Tensor, mean: Tensor, var: Tensor, weight: OptTensor, eps: Float, training: Bool
    ) -> Triple, Special {
        body: Kernel(
            |c| {
                let (g, x, w) = (c.x(0), c.x(1), c.opt(4));
                want_gradient(g, x)?;
                want_channels(x)?;
                let shape = &x.shape()[1..2];
                for (t, name) in [(c.opt(2), "mean"), (c.opt(3), "var"), (w, "weight")] {
                    check_affine(t, shape, name)?;
                }
                gradients(x, w, shape)
            },
            |c, outs| {
                let (g, x) = (c.x(0), c.x(1));
                let (s, x1, turned) = channels(x)?;
                let (_, g1, _) = channels(&contiguous_unlocked(g, x1.dtype(), false)?)?;
                let (m, v, w1) = (ready_as(c.opt(2), x.dtype())?, ready_as(c.opt(3), x.dtype())?, ready_as(c.opt(4), x.dtype())?);
                written_turned(&outs[0], turned, x1.dtype(), |gx| both_written_as(&outs[1..], x1.dtype(), |[gw, gb]| {
                    float!(x.dtype(), T => norm::channel_grad::<T>(
                        s, g1.ptr(), x1.ptr(), ptr!(m), ptr!(v), ptr!(w1), c.float(0), c.bool(1), gx.ptr(), gw.ptr(), gb.ptr()));
                    Ok(())
                }))
            },
        ),
        vjp: vjp!(|v| {
            let (ndim, eps, training) = (v.shape(1).len(), v.float(0), v.bool(1));
            through(v, |x| batch_formula(&x[0], &x[1], (!training).then_some([&x[2], &x[3]]), &x[4], ndim, eps))
        }),
        saves: Saves::INPUTS, method: false, function: false,
        samples: &[
            "r(3, 2), r(3, 2), c([0.1, 0.2]), c([0.8, 1.2]), r(2), 0.1, False",
            "r(3, 2), *(lambda x: (x, x.mean(0).detach(), x.var(0, correction=0).detach()))(r(3, 2)), r(2), 0.1, True",
        ],
    }

    /// Normalisation over the last dimensions, `normalized_shape` (Ba et al. 2016): `(input - mean) / sqrt(var + eps) *
    /// weight + bias`.
    layer_norm(
        input: Tensor, normalized_shape: Ints, weight: OptTensor = None, bias: OptTensor = None, eps: Float = 1e-5
    ) -> Tensor, Special {
        body: Kernel(|c| infer_rows(c, c.opt(2), true), |c, outs| compute_rows(c, c.opt(2), c.float(1), true, outs)),
        vjp: vjp!(|v| {
            let affine = v.need(1) || v.need(2);
            let (x, w) = (v.x(0).tensor()?, v.x(1).value()?);
            let outs = Tensor::layer_norm_backward(&v.g().tensor()?, &x, w.as_ref(), v.ints(0), v.float(1), true, affine)?;
            Ok(outs.into_iter().enumerate().map(|(i, t)| v.need(i).then_some(t)).collect())
        }),
        saves: Saves::XB, method: false, onnx: Some("LayerNormalization"),
        refuses: &[Refusal { call: "rt.ones(2, 3), [4]", message: "expected input with shape [*, 4]" }],
        samples: &["r(2, 3), (3,), r(3), r(3)", "r(2, 2, 3), (2, 3), None, None, 0.1", "r(2, 3), (3,), r(3)"],
    }

    /// Normalisation over the last dimensions by their root mean square (Zhang and Sennrich 2019): `input /
    /// sqrt(mean(input^2) + eps) * weight`; `eps` is that of the compute type by default.
    rms_norm(input: Tensor, normalized_shape: Ints, weight: OptTensor = None, eps: OptFloat = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_rows(c, None, false),
            |c, outs| compute_rows(c, None, rms_eps(c.opt_float(1), c.x(0).dtype()), false, outs),
        ),
        vjp: vjp!(|v| {
            let (x, w) = (v.x(0).tensor()?, v.x(1).value()?);
            let eps = rms_eps(v.opt_float(1), v.dtype(0));
            let outs = Tensor::layer_norm_backward(&v.g().tensor()?, &x, w.as_ref(), v.ints(0), eps, false, v.need(1))?;
            Ok(outs.into_iter().take(2).enumerate().map(|(i, t)| v.need(i).then_some(t)).collect())
        }),
        sends: |_| &[1, 0], saves: Saves::XB, method: false, onnx: Some("RMSNormalization"),
        samples: &["r(2, 3), (3,), r(3)", "r(2, 2, 3), (2, 3), None, 0.1"],
    }

    /// Gradients of `layer_norm` (`centered`) or `rms_norm` with respect to input, weight and bias; the last two are
    /// zeros unless `affine`.
    layer_norm_backward(
        grad: Tensor, input: Tensor, weight: OptTensor, normalized_shape: Ints, eps: Float, centered: Bool, affine: Bool
    ) -> Triple, Special {
        body: Kernel(
            |c| {
                let (g, x, w) = (c.x(0), c.x(1), c.opt(2));
                want_gradient(g, x)?;
                rows_of(x.shape(), c.ints(0))?;
                let shape = normalized(c, x);
                check_affine(w, shape, "weight")?;
                gradients(x, w, shape)
            },
            |c, outs| {
                let (g, x) = (c.x(0), c.x(1));
                let (rows, n) = rows_of(x.shape(), c.ints(0))?;
                let (x1, w1) = (ready(x)?, ready_as(c.opt(2), x.dtype())?);
                let g1 = contiguous_unlocked(g, x1.dtype(), false)?;
                if !c.bool(3) {
                    outs[1..].iter().for_each(|t| fill_new(t, Scalar::Int(0)));
                    return written_as(&outs[0], x1.dtype(), |gx| {
                        float!(x.dtype(), T => norm::rows_grad::<T>(
                            rows, n, g1.ptr(), x1.ptr(), ptr!(w1), c.float(1), c.bool(2), gx.ptr(), std::ptr::null_mut(), std::ptr::null_mut()))
                    });
                }
                written_as(&outs[0], x1.dtype(), |gx| both_written_as(&outs[1..], x1.dtype(), |[gw, gb]| {
                    float!(x.dtype(), T => norm::rows_grad::<T>(
                        rows, n, g1.ptr(), x1.ptr(), ptr!(w1), c.float(1), c.bool(2), gx.ptr(), gw.ptr(), gb.ptr()))
                }))
            },
        ),
        vjp: vjp!(|v| {
            let (ndim, k) = (v.shape(1).len() as i64, v.ints(0).len() as i64);
            let dims: SmallVec<[i64; 8]> = (ndim - k..ndim).collect();
            let lead: SmallVec<[i64; 8]> = (0..ndim - k).collect();
            let (eps, centered) = (v.float(1), v.bool(2));
            through(v, |x| {
                let mut outs = rows_formula(&x[0], &x[1], &x[2], &dims, &lead, eps, centered);
                // Zeros have no derivative.
                outs.truncate(if v.bool(3) { 3 } else { 1 });
                outs
            })
        }),
        saves: Saves::INPUTS, method: false, function: false,
        samples: &[
            "r(2, 3), r(2, 3), r(3), (3,), 0.1, True, True", "r(2, 3), r(2, 3), r(3), (3,), 0.1, False, True",
            "r(2, 3), r(2, 3), None, (3,), 0.1, True, False",
        ],
    }

    /// Normalisation of each sample over `num_groups` groups of channels (Wu and He 2018); weight and bias are per channel.
    group_norm(
        input: Tensor, num_groups: Int, weight: OptTensor = None, bias: OptTensor = None, eps: Float = 1e-5
    ) -> Tensor, Special {
        body: Kernel(
            |c| {
                let x = c.x(0);
                let (s, _) = group_channels(x, c.int(0))?;
                check_param(c.opt(1), &[s.channels], x.dtype(), "weight")?;
                check_param(c.opt(2), &[s.channels], x.dtype(), "bias")?;
                only_floats(x.dtype())?;
                Spec::rows(x.shape(), x.dtype())?.one()
            },
            |c, outs| {
                let x = c.x(0);
                let (s, groups) = group_channels(x, c.int(0))?;
                let (x1, w, b) = (ready(x)?, ready_as(c.opt(1), x.dtype())?, ready_as(c.opt(2), x.dtype())?);
                written_as(&outs[0], x1.dtype(), |out| {
                    float!(x.dtype(), T => norm::groups::<T>(s, groups, x1.ptr(), ptr!(w), ptr!(b), c.float(1), out.ptr()));
                    Ok(())
                })
            },
        ),
        vjp: vjp!(|v| {
            let (x, w) = (v.x(0).tensor()?, v.x(1).value()?);
            let outs = Tensor::group_norm_backward(&v.g().tensor()?, &x, w.as_ref(), v.int(0), v.float(1))?;
            Ok(outs.into_iter().enumerate().map(|(i, t)| v.need(i).then_some(t)).collect())
        }),
        saves: Saves::XB, method: false, onnx: Some("GroupNormalization"),
        refuses: &[Refusal { call: "rt.ones(2, 3, 4), 2", message: "divisible by num_groups" }],
        samples: &["r(2, 4, 3), 2, r(4), r(4)", "r(1, 4, 2), 1, None, None, 0.1"],
    }

    /// Gradients of `group_norm` with respect to input, weight and bias.
    group_norm_backward(grad: Tensor, input: Tensor, weight: OptTensor, num_groups: Int, eps: Float) -> Triple, Special {
        body: Kernel(
            |c| {
                let (g, x, w) = (c.x(0), c.x(1), c.opt(2));
                want_gradient(g, x)?;
                let (s, _) = group_channels(x, c.int(0))?;
                check_affine(w, &[s.channels], "weight")?;
                gradients(x, w, &[s.channels])
            },
            |c, outs| {
                let (g, x) = (c.x(0), c.x(1));
                let (s, groups) = group_channels(x, c.int(0))?;
                let (x1, w1) = (ready(x)?, ready_as(c.opt(2), x.dtype())?);
                let g1 = contiguous_unlocked(g, x1.dtype(), false)?;
                written_as(&outs[0], x1.dtype(), |gx| both_written_as(&outs[1..], x1.dtype(), |[gw, gb]| {
                    float!(x.dtype(), T => norm::groups_grad::<T>(
                        s, groups, g1.ptr(), x1.ptr(), ptr!(w1), c.float(1), gx.ptr(), gw.ptr(), gb.ptr()))
                }))
            },
        ),
        vjp: vjp!(|v| {
            let shape = v.sizes(1);
            let (groups, eps) = (v.int(0), v.float(1));
            let (per, inner) = (shape[1] / groups, shape[2..].iter().product::<i64>());
            through(v, |x| {
                // The groups of what has no elements may be too many for a shape.
                if shape.contains(&0) {
                    let dims: SmallVec<[i64; 8]> = (0..shape.len() as i64).filter(|&d| d != 1).collect();
                    let (zero, per_channel) = (&x[0] * 0.0, (&x[0] * 0.0).sum(&dims, false));
                    return SmallVec::from_iter([zero, per_channel.clone(), per_channel]);
                }
                let grouped = |e: &Ex| e.reshape(&[shape[0], groups, per, inner]);
                let w = x[2].reshape(&[1, groups, per, 1]);
                let outs = rows_formula(&grouped(&x[0]), &grouped(&x[1]), &w, &[2, 3], &[], eps, true);
                let per_channel = |e: &Ex| e.sum(&[0, 3], false).reshape(&[shape[1]]);
                SmallVec::from_iter([outs[0].reshape(&shape), per_channel(&outs[1]), per_channel(&outs[2])])
            })
        }),
        saves: Saves::INPUTS, method: false, function: false,
        samples: &["r(2, 4, 3), r(2, 4, 3), r(4), 2, 0.1", "r(1, 4, 2), r(1, 4, 2), None, 4, 0.1"],
    }

    /// Normalisation of each channel of each sample (Ulyanov et al. 2016), or, without `use_input_stats`, by running
    /// statistics as in `batch_norm`.
    instance_norm(
        input: Tensor, running_mean: OptMut = None, running_var: OptMut = None, weight: OptTensor = None,
        bias: OptTensor = None, use_input_stats: Bool = true, momentum: Float = 0.1, eps: Float = 1e-5
    ) -> Tensor, Special {
        body: Composite(eval_instance_norm), writes: |attrs| matches!(attrs, [Attr::Bool(true), ..]),
        method: false, onnx: Some("InstanceNormalization"),
        samples: &[
            "r(2, 2, 4), None, None, r(2), r(2)", "r(1, 2, 3), None, None, None, None, True, 0.1, 0.1",
            "r(2, 2, 3), c([0.1, 0.2]), c([0.8, 1.2]), None, None, False",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::check::{gradcheck, noise};

    #[test]
    fn gradients_of_both_orders() {
        let affine = |n: usize| [noise(&[n], 5), noise(&[n], 6)];
        for shape in [&[4, 3][..], &[3, 2, 20], &[2, 3, 2, 2]] {
            let [w, b] = affine(shape[1]);
            gradcheck(
                &|x| x[0].batch_norm(None, None, Some(&x[1]), Some(&x[2]), true, 0.1, 1e-3),
                &[noise(shape, 1), w, b],
            );
        }
        let stats = (noise(&[3], 8), (&noise(&[3], 9) + 2.0).unwrap());
        let [w, b] = affine(3);
        gradcheck(
            &|x| x[0].batch_norm(Some(&stats.0), Some(&stats.1), Some(&x[1]), Some(&x[2]), false, 0.1, 1e-3),
            &[noise(&[4, 3], 1), w, b],
        );
        let [w, b] = affine(4);
        gradcheck(
            &|x| x[0].layer_norm(&[4], Some(&x[1]), Some(&x[2]), 1e-3),
            &[noise(&[3, 4], 1), w.clone(), b.clone()],
        );
        gradcheck(&|x| x[0].layer_norm(&[2, 3], None, None, 1e-3), &[noise(&[2, 2, 3], 1)]);
        gradcheck(&|x| x[0].rms_norm(&[4], Some(&x[1]), Some(1e-3)), &[noise(&[3, 4], 1), w.clone()]);
        gradcheck(
            &|x| x[0].group_norm(2, Some(&x[1]), Some(&x[2]), 1e-3),
            &[noise(&[2, 4, 3], 1), w.clone(), b.clone()],
        );
        gradcheck(&|x| x[0].group_norm(2, None, None, 1e-3), &[noise(&[2, 4], 1)]);
        gradcheck(
            &|x| x[0].instance_norm(None, None, Some(&x[1]), Some(&x[2]), true, 0.1, 1e-3),
            &[noise(&[2, 4, 3], 1), w, b],
        );
    }

    #[test]
    fn running_statistics_move() {
        let x = Tensor::from_slice(&[1.0f32, 10.0, 3.0, 30.0], &[2, 2]).unwrap();
        let (m, v) =
            (Tensor::from_slice(&[0.0f32, 0.0], &[2]).unwrap(), Tensor::from_slice(&[1.0f32, 1.0], &[2]).unwrap());
        x.batch_norm(Some(&m), Some(&v), None, None, true, 0.5, 1e-5).unwrap();
        assert_eq!(m.to_vec::<f32>().unwrap(), [1.0, 10.0]);
        assert_eq!(v.to_vec::<f32>().unwrap(), [1.5, 100.5]);
        assert!(x.batch_norm(None, None, None, None, false, 0.1, 1e-5).is_err());
        assert!(noise(&[1, 3], 1).batch_norm(None, None, None, None, true, 0.1, 1e-5).is_err());
    }
}
