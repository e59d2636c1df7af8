//! Losses.

use super::lang::{rounded_once, Ex};
use super::elementwise::{result_type, run, Promote};
use super::norm::{fill, float, only_floats, through};
use super::shape::contiguous_unlocked;
use super::{one, written_as, Call, Outs, Refusal, Saves, Spec, Specs};
use crate::dtype::{DType, Elem, Scalar};
use crate::error::{Error, Result};
use crate::kernel;
use crate::kernels::elementwise::Params;
use crate::kernels::loss::{self, Distance};
use crate::kernels::math::Real;
use crate::shape::{broadcast, Dims};
use crate::tensor::Tensor;
use crate::{bail, err};
use smallvec::SmallVec;

/// What becomes of the losses of the elements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reduction {
    None,
    Mean,
    Sum,
}

fn reduction(word: &str) -> Result<Reduction> {
    Ok(match word {
        "none" => Reduction::None,
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        _ => bail!(Value, "{word} is not a valid value for reduction; it is 'none', 'mean' or 'sum'"),
    })
}

/// Applies a reduction with the ops `mean` and `sum`.
fn reduce(t: &Tensor, word: &str) -> Result<Tensor> {
    match reduction(word)? {
        Reduction::None => Ok(t.clone()),
        Reduction::Mean => t.mean(None, false, None),
        Reduction::Sum => t.sum(None, false, None),
    }
}

/// What a loss gives: one number for each of `shape`, or one for all.
fn losses(reduction: Reduction, shape: &[usize], dtype: DType) -> Result<Specs> {
    only_floats(dtype)?;
    Spec::rows(if reduction == Reduction::None { shape } else { &[] }, dtype)?.one()
}

// ---- distances ----

/// Dtype and shape of the distances of inputs `at` and `at + 1`.
fn common(c: &Call, at: usize) -> Result<(DType, Dims)> {
    let (x, t) = (c.x(at), c.x(at + 1));
    Ok((result_type([x, t].into_iter()), broadcast(x.shape(), t.shape())?))
}

/// Input and target, broadcast and row-major in the compute type, with the dtype of the losses.
fn pair(c: &Call, at: usize) -> Result<(Tensor, Tensor, DType)> {
    let (dtype, shape) = common(c, at)?;
    let bring = |t: &Tensor| -> Result<Tensor> {
        let t = if t.shape() == shape.as_slice() { t.clone() } else { t.with_layout(t.layout().broadcast_to(&shape)?) };
        contiguous_unlocked(&t, dtype.compute_dtype(), false)
    };
    Ok((bring(c.x(at))?, bring(c.x(at + 1))?, dtype))
}

fn infer_distance(c: &Call) -> Result<Specs> {
    let reduction = reduction(c.str(0))?;
    let (dtype, shape) = common(c, 0)?;
    losses(reduction, &shape, dtype)
}

fn compute_distance(c: &Call, kind: Distance, beta: f64, outs: &[Tensor]) -> Result<()> {
    let reduction = reduction(c.str(0))?;
    let (x, t, dtype) = pair(c, 0)?;
    let n = x.numel();
    // Huber's loss has the input's dtype, whatever the common one is.
    written_as(&outs[0], dtype, |out| {
        if reduction == Reduction::None {
            return written_as(out, x.dtype(), |out| {
                float!(dtype, T => loss::distance_each::<T>(kind, beta, x.ptr(), t.ptr(), n, out.ptr()));
                Ok(())
            });
        }
        let sum = float!(dtype, T => loss::distance_sum::<T>(kind, beta, x.ptr(), t.ptr(), n)?);
        fill(out, Scalar::Float(if reduction == Reduction::Mean { sum / n as f64 } else { sum }));
        Ok(())
    })
}

const KINDS: [Distance; 4] = [Distance::Square, Distance::Absolute, Distance::Smooth, Distance::Huber];

/// The distance that a call has the gradient of.
fn kind(c: &Call) -> Result<Distance> {
    KINDS.get(c.int(0) as usize).copied().ok_or_else(|| err!(Value, "kind must be 0 to 3, got {}", c.int(0)))
}

/// Gradient of a distance for input and target.
macro_rules! distance_rule {
    ($kind:expr, |$v:ident| $beta:expr, $word:expr) => {
        vjp!(|$v| {
            let gx = $v.g().with($v.x(0), |g, x| {
                Tensor::distance_backward(g, x, &$v.x(1).tensor()?, $kind as i64, $beta, $v.str($word))
            });
            [$v.want(0, || gx.clone()), $v.want(1, || -&gx)]
        })
    };
}

/// Smooth L1 without a smooth part is L1.
fn smooth(beta: f64) -> Result<Distance> {
    if beta < 0.0 {
        bail!(Value, "beta must not be negative, got {beta}");
    }
    Ok(if beta == 0.0 { Distance::Absolute } else { Distance::Smooth })
}

// ---- negative log-likelihood ----

/// How input `[N, C, ...]` or `[C]` and target `[N, ...]` or `[]` lie: samples, classes, places per sample.
struct Classes {
    n: usize,
    c: usize,
    s: usize,
}

impl Classes {
    fn new(input: &[usize], target: &Tensor) -> Result<Classes> {
        let (want, k): (Dims, Classes) = match input {
            [] => bail!(Shape, "input must have at least one dimension"),
            [c] => (Dims::new(), Classes { n: 1, c: *c, s: 1 }),
            [n, c, rest @ ..] => (
                std::iter::once(*n).chain(rest.iter().copied()).collect(),
                Classes { n: *n, c: *c, s: rest.iter().product() },
            ),
        };
        if target.shape() != want.as_slice() {
            let message =
                format!("expected target of shape {want:?} for input of shape {input:?}, got {:?}", target.shape());
            return Err(Error::shapes("", message, input, target.shape()));
        }
        Ok(k)
    }

    /// The targets, each of which is a class or `ignore`.
    fn targets(&self, target: &Tensor, ignore: i64) -> Result<Tensor> {
        let t = contiguous_unlocked(target, DType::I64, false)?;
        match indices(&t).iter().find(|&&i| i != ignore && (i < 0 || i as usize >= self.c)) {
            Some(i) => bail!(Index, "target {i} is out of bounds for {} classes", self.c),
            None => Ok(t),
        }
    }
}

fn want_targets(target: &Tensor) -> Result<()> {
    if target.dtype() != DType::I64 && (target.dtype() != DType::U8 || target.ndim() > 1) {
        bail!(DType, "expected target of dtype int64 (or uint8, if it has at most one dimension), got {}", target.dtype());
    }
    Ok(())
}

/// The elements of a row-major int64 tensor.
fn indices(t: &Tensor) -> &[i64] {
    // SAFETY: row-major int64, and the caller's locks keep writers away.
    unsafe { std::slice::from_raw_parts(t.ptr::<i64>(), t.numel()) }
}

/// A weight for each class, of the input's dtype.
fn check_weights(w: Option<&Tensor>, classes: usize, dtype: DType) -> Result<()> {
    let Some(w) = w else { return Ok(()) };
    if w.shape() != [classes] {
        bail!(Shape, "weight must hold one number for each of the {classes} classes, got shape {:?}", w.shape());
    }
    if w.dtype() != dtype {
        bail!(DType, "weight must have the input's dtype {dtype}, got {}", w.dtype());
    }
    Ok(())
}

/// Row-major in the compute type.
fn ready(t: &Tensor) -> Result<Tensor> {
    contiguous_unlocked(t, t.dtype().compute_dtype(), false)
}

/// Weight of class `t`, 0 if it is ignored.
unsafe fn weight_at<T: Real + Elem>(w: &Option<Tensor>, t: i64, ignore: i64) -> T {
    match w {
        _ if t == ignore => T::ZERO,
        Some(w) => *w.ptr::<T>().add(t as usize),
        None => T::ONE,
    }
}

fn infer_nll(c: &Call) -> Result<Specs> {
    let (x, target, reduction) = (c.x(0), c.x(1), reduction(c.str(1))?);
    let k = Classes::new(x.shape(), target)?;
    want_targets(target)?;
    check_weights(c.opt(2), k.c, x.dtype())?;
    losses(reduction, target.shape(), x.dtype())
}

fn compute_nll(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, ignore, reduction) = (c.x(0), c.int(0), reduction(c.str(1))?);
    let k = Classes::new(x.shape(), c.x(1))?;
    let t = k.targets(c.x(1), ignore)?;
    let (w, x1) = (c.opt(2).map(ready).transpose()?, ready(x)?);
    let (mut sum, mut total) = (0.0, 0.0);
    // Writes the losses, where they are wanted, and adds them up.
    let mut each = |losses: Option<&Tensor>| {
        float!(x.dtype(), T => {
            for (i, &class) in indices(&t).iter().enumerate() {
                let weight: T = weight_at(&w, class, ignore);
                let loss = if class == ignore { T::ZERO } else {
                    -(*x1.ptr::<T>().add((i / k.s * k.c + class as usize) * k.s + i % k.s) * weight)
                };
                if let Some(losses) = losses {
                    *losses.ptr::<T>().add(i) = loss;
                }
                sum += loss.as_f64();
                total += weight.as_f64();
            }
        });
        Ok(())
    };
    if reduction == Reduction::None {
        return written_as(&outs[0], x1.dtype(), |losses| each(Some(losses)));
    }
    each(None)?;
    fill(&outs[0], Scalar::Float(if reduction == Reduction::Mean { sum / total } else { sum }));
    Ok(())
}

fn infer_nll_backward(c: &Call) -> Result<Specs> {
    let (g, target, reduction) = (c.x(0), c.x(1), reduction(c.str(2))?);
    let shape = crate::shape::sizes(c.ints(0))?;
    let k = Classes::new(&shape, target)?;
    want_targets(target)?;
    check_weights(c.opt(2), k.c, g.dtype())?;
    check_incoming(g, target.shape(), reduction)?;
    Spec::rows(&shape, g.dtype())?.one()
}

fn compute_nll_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (g, ignore, reduction) = (c.x(0), c.int(1), reduction(c.str(2))?);
    let k = Classes::new(outs[0].shape(), c.x(1))?;
    let t = k.targets(c.x(1), ignore)?;
    let (w, g1) = (c.opt(2).map(ready).transpose()?, ready(g)?);
    written_as(&outs[0], g1.dtype(), |gx| {
        fill(gx, Scalar::Int(0));
        float!(g.dtype(), T => {
            let total = |t: &Tensor| indices(t).iter().map(|&i| weight_at::<T>(&w, i, ignore).as_f64()).sum::<f64>();
            let scale = if reduction == Reduction::Mean { T::of(1.0 / total(&t)) } else { T::ONE };
            for (i, &class) in indices(&t).iter().enumerate() {
                if class != ignore {
                    let g = *g1.ptr::<T>().add(if reduction == Reduction::None { i } else { 0 });
                    let at = (i / k.s * k.c + class as usize) * k.s + i % k.s;
                    *gx.ptr::<T>().add(at) = -(weight_at::<T>(&w, class, ignore) * scale * g);
                }
            }
        });
        Ok(())
    })
}

/// The gradient of a loss must have the shape that the reduction leaves.
fn check_incoming(g: &Tensor, shape: &[usize], reduction: Reduction) -> Result<()> {
    let want: &[usize] = if reduction == Reduction::None { shape } else { &[] };
    if g.shape() != want {
        return Err(Error::shapes(
            "",
            format!("expected a gradient of shape {want:?}, got {:?}", g.shape()),
            g.shape(),
            want,
        ));
    }
    if !g.dtype().is_float() {
        bail!(DType, "expected a gradient of a floating point dtype, got {}", g.dtype());
    }
    Ok(())
}

fn infer_softmax_nll(c: &Call) -> Result<Specs> {
    let (x, target, reduction) = (c.x(0), c.x(1), reduction(c.str(1))?);
    let k = Classes::new(x.shape(), target)?;
    if x.ndim() != 2 || k.c == 0 {
        bail!(Shape, "expected input of shape [N, C] with C > 0, got {:?}", x.shape());
    }
    want_targets(target)?;
    losses(reduction, &[k.n], x.dtype())
}

fn compute_softmax_nll(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, ignore, reduction) = (c.x(0), c.int(0), reduction(c.str(1))?);
    let k = Classes::new(x.shape(), c.x(1))?;
    let t = k.targets(c.x(1), ignore)?;
    let x1 = ready(x)?;
    let each = |losses: &Tensor| {
        float!(x.dtype(), T => loss::softmax_nll::<T>(k.n, k.c, x1.ptr(), indices(&t), ignore, losses.ptr()));
        Ok(())
    };
    if reduction == Reduction::None {
        return written_as(&outs[0], x1.dtype(), each);
    }
    let losses = Tensor::empty_of(&[k.n], x1.dtype())?;
    each(&losses)?;
    let sum: f64 = float!(x.dtype(), T => (0..k.n).map(|i| (*losses.ptr::<T>().add(i)).as_f64()).sum::<f64>()) + 0.0;
    let count = indices(&t).iter().filter(|&&i| i != ignore).count();
    fill(&outs[0], Scalar::Float(if reduction == Reduction::Mean { sum / count as f64 } else { sum }));
    Ok(())
}

fn infer_softmax_nll_backward(c: &Call) -> Result<Specs> {
    let (g, x, target, reduction) = (c.x(0), c.x(1), c.x(2), reduction(c.str(1))?);
    let k = Classes::new(x.shape(), target)?;
    if x.ndim() != 2 {
        bail!(Shape, "expected input of shape [N, C], got {:?}", x.shape());
    }
    want_targets(target)?;
    check_incoming(g, &[k.n], reduction)?;
    only_floats(x.dtype())?;
    Spec::rows(x.shape(), x.dtype())?.one()
}

fn compute_softmax_nll_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (g, x, ignore, reduction) = (c.x(0), c.x(1), c.int(0), reduction(c.str(1))?);
    let k = Classes::new(x.shape(), c.x(2))?;
    let t = k.targets(c.x(2), ignore)?;
    let x1 = ready(x)?;
    let g1 = contiguous_unlocked(g, x1.dtype(), false)?;
    let count = indices(&t).iter().filter(|&&i| i != ignore).count() as f64;
    written_as(&outs[0], x1.dtype(), |gx| {
        float!(x.dtype(), T => {
            let all = crate::kernels::copy::Shared(g1.ptr::<T>());
            let scale = if reduction == Reduction::Mean { T::of(1.0 / count) } else { T::ONE };
            let g = |i: usize| *all.get().add(if reduction == Reduction::None { i } else { 0 }) * scale;
            loss::softmax_nll_grad::<T>(k.n, k.c, x1.ptr(), indices(&t), ignore, &g, gx.ptr())
        });
        Ok(())
    })
}

fn eval_cross_entropy(c: &Call) -> Result<Outs> {
    let (x, target, w) = (c.x(0), c.x(1), c.opt(2));
    let (ignore, word, smoothing) = (c.int(0), c.str(1), c.float(2));
    let reduction = reduction(word)?;
    if !(0.0..=1.0).contains(&smoothing) {
        bail!(Value, "label_smoothing must be between 0.0 and 1.0, got {smoothing}");
    }
    if x.ndim() == 0 {
        bail!(Shape, "input must have at least one dimension");
    }
    let dim = if x.ndim() == 1 { 0 } else { 1 };
    let classes = x.shape()[dim as usize];
    let class_shape = || {
        let mut shape: SmallVec<[i64; 8]> = SmallVec::from_elem(1, x.ndim());
        shape[dim as usize] = classes as i64;
        shape
    };
    check_weights(w, classes, x.dtype())?;
    let weighted = |t: &Tensor| match w {
        Some(w) => t.mul(&w.reshape(&class_shape())?),
        None => Ok(t.clone()),
    };
    if target.shape() == x.shape() && target.dtype().is_float() {
        // The target holds probabilities.
        if ignore >= 0 {
            bail!(Value, "ignore_index is not supported for floating point target, got {ignore}");
        }
        let t = if smoothing > 0.0 {
            (&(target * (1.0 - smoothing))? + smoothing / classes as f64)?
        } else {
            target.clone()
        };
        let losses = weighted(&x.log_softmax(dim, None)?.mul(&t)?)?.neg()?;
        return one(match reduction {
            Reduction::None => losses.sum(Some(&[dim]), false, None)?,
            Reduction::Sum => losses.sum(None, false, None)?,
            Reduction::Mean => (&losses.sum(None, false, None)? / (x.numel() / classes.max(1)) as f64)?,
        });
    }
    if target.dtype().is_float() {
        let message = format!("class probabilities need the input's shape {:?}, got {:?}", x.shape(), target.shape());
        return Err(Error::shapes("", message, x.shape(), target.shape()));
    }
    if x.ndim() == 2 && w.is_none() && smoothing == 0.0 && classes > 0 {
        return one(x.softmax_nll(target, ignore, word)?);
    }
    let logp = x.log_softmax(dim, None)?;
    let nll = logp.nll_loss(target, w, ignore, word)?;
    if smoothing == 0.0 {
        return one(nll);
    }
    // The share of the uniform distribution.
    let ignored = target.eq(&Tensor::number(Scalar::Int(ignore))?)?;
    let smooth = weighted(&logp)?.sum(Some(&[dim]), false, None)?.neg()?;
    let smooth = smooth.masked_fill(&ignored, &Tensor::number(Scalar::Float(0.0))?)?;
    let smooth = match reduction {
        Reduction::None => smooth,
        Reduction::Sum => smooth.sum(None, false, None)?,
        Reduction::Mean => {
            let count = match w {
                // nll_loss of -1 everywhere sums the weights of the targets.
                Some(w) => x.full_like(-1.0, None)?.nll_loss(target, Some(w), ignore, "sum")?,
                None => ignored.logical_not()?.sum(None, false, Some(x.dtype()))?,
            };
            smooth.sum(None, false, None)?.div(&count, "")?
        }
    };
    one((&(&nll * (1.0 - smoothing))? + &(&smooth * (smoothing / classes as f64))?)?)
}

// ---- binary cross-entropy ----

fn same_shape(input: &Tensor, target: &Tensor) -> Result<()> {
    if input.shape() != target.shape() {
        let message = format!("target size {:?} must be the same as input size {:?}", target.shape(), input.shape());
        return Err(Error::shapes("", message, input.shape(), target.shape()));
    }
    Ok(())
}

/// Weighs the losses of the elements, whose shape and dtype stay, and reduces them.
fn weigh(losses: Tensor, w: Option<&Tensor>, word: &str) -> Result<Tensor> {
    let losses = match w {
        Some(w) => {
            fits(w, "weight", losses.shape())?;
            losses.mul(w)?.to_dtype(losses.dtype())?
        }
        None => losses,
    };
    reduce(&losses, word)
}

/// `t` must broadcast to `shape`.
fn fits(t: &Tensor, name: &str, shape: &[usize]) -> Result<()> {
    if broadcast(t.shape(), shape).ok().as_deref() != Some(shape) {
        let message = format!("{name} of shape {:?} does not broadcast to the input's shape {shape:?}", t.shape());
        return Err(Error::shapes("", message, t.shape(), shape));
    }
    Ok(())
}

fn want_float(t: &Tensor, name: &str) -> Result<()> {
    if !t.dtype().is_float() {
        bail!(DType, "expected {name} of a floating point dtype, got {}", t.dtype());
    }
    Ok(())
}

/// `log(e)`, at least -100.
fn bounded_log(e: Ex) -> Ex {
    e.then(|t| t.clamp(Some(Scalar::Float(-100.0)), None))
}

ops! {
    /// Squared differences of input and target, and their mean or sum.
    mse_loss(input: Tensor, target: Tensor, reduction: Str = "mean") -> Tensor, Real {
        body: Kernel(infer_distance, |c, outs| compute_distance(c, Distance::Square, 0.0, outs)),
        vjp: distance_rule!(Distance::Square, |v| 0.0, 0), saves: Saves::XB, method: false,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(2), 'average'", message: "is not a valid value for reduction" }],
        samples: &["r(2, 3), r(2, 3), 'mean'", "r(2, 3), r(2, 3), 'sum'", "r(2, 3), r(2, 3), 'none'"],
    }

    /// Absolute differences of input and target, and their mean or sum.
    l1_loss(input: Tensor, target: Tensor, reduction: Str = "mean") -> Tensor, Real {
        body: Kernel(infer_distance, |c, outs| compute_distance(c, Distance::Absolute, 0.0, outs)),
        vjp: distance_rule!(Distance::Absolute, |v| 0.0, 0), saves: Saves::XB, method: false,
        samples: &["r(2, 3), r(2, 3), 'mean'", "r(2, 3), r(2, 3), 'sum'", "r(2, 3), r(2, 3), 'none'"],
    }

    /// `d^2 / (2 beta)` for differences below `beta`, `|d| - beta / 2` for others, and their mean or sum (Girshick 2015).
    smooth_l1_loss(input: Tensor, target: Tensor, reduction: Str = "mean", beta: Float = 1.0) -> Tensor, Real {
        body: Kernel(
            |c| {
                smooth(c.float(1))?;
                infer_distance(c)
            },
            |c, outs| compute_distance(c, smooth(c.float(1))?, c.float(1), outs),
        ),
        vjp: distance_rule!(smooth(v.float(1))?, |v| v.float(1), 0), saves: Saves::XB, method: false,
        samples: &["r(2, 3), r(2, 3), 'mean', 0.7", "r(2, 3), r(2, 3), 'sum', 0.7", "r(2, 3), r(2, 3), 'none', 0.7"],
    }

    /// `d^2 / 2` for differences up to `delta`, `delta (|d| - delta / 2)` for others, and their mean or sum (Huber 1964).
    huber_loss(input: Tensor, target: Tensor, reduction: Str = "mean", delta: Float = 1.0) -> Tensor, Real {
        body: Kernel(
            |c| {
                if c.float(1).is_nan() || c.float(1) <= 0.0 {
                    bail!(Value, "delta must be greater than zero, got {}", c.float(1));
                }
                want_float(c.x(0), "input")?;
                let mut specs = infer_distance(c)?;
                specs[0].dtype = c.x(0).dtype();
                Ok(specs)
            },
            |c, outs| compute_distance(c, Distance::Huber, c.float(1), outs),
        ),
        vjp: distance_rule!(Distance::Huber, |v| v.float(1), 0), saves: Saves::XB, method: false,
        samples: &["r(2, 3), r(2, 3), 'mean', 0.7", "r(2, 3), r(2, 3), 'sum', 0.7", "r(2, 3), r(2, 3), 'none', 0.7"],
    }

    /// Gradient of the losses above with respect to the input: `grad` times the derivative, broadcast to a common shape.
    distance_backward(grad: Tensor, input: Tensor, target: Tensor, kind: Int, beta: Float, reduction: Str) -> Tensor, Special {
        body: Kernel(
            |c| {
                kind(c)?;
                let reduction = reduction(c.str(2))?;
                let (dtype, shape) = common(c, 1)?;
                check_incoming(c.x(0), &shape, reduction)?;
                only_floats(dtype)?;
                Spec::rows(&shape, dtype)?.one()
            },
            |c, outs| {
                let (kind, reduction) = (kind(c)?, reduction(c.str(2))?);
                let (x, t, dtype) = pair(c, 1)?;
                let n = x.numel();
                let g = contiguous_unlocked(c.x(0), x.dtype(), false)?;
                written_as(&outs[0], x.dtype(), |out| {
                    float!(dtype, T => {
                        let (from, scale) = match reduction {
                            Reduction::None => (g.ptr::<T>() as *const T, 1.0),
                            Reduction::Sum => (std::ptr::null(), (*g.ptr::<T>()).as_f64()),
                            Reduction::Mean => (std::ptr::null(), (*g.ptr::<T>()).as_f64() / n as f64),
                        };
                        loss::distance_slope::<T>(kind, c.float(1), x.ptr(), t.ptr(), from, scale, n, out.ptr())
                    });
                    Ok(())
                })
            },
        ),
        vjp: vjp!(|v| {
            let (kind, beta, mean) = (v.int(0), v.float(1), v.str(2) == "mean");
            through(v, |x| {
                let clamp = |e: Ex, b: f64| e.then(|t| t.clamp(Some(Scalar::Float(-b)), Some(Scalar::Float(b))));
                let d = &x[1] - &x[2];
                let n = match &d { Ex::T(t) => t.numel() as f64, _ => 1.0 };
                let slope = match kind {
                    0 => d * 2.0,
                    1 => d.then(|t| t.sign()),
                    2 => clamp(d / beta, 1.0),
                    _ => clamp(d, beta),
                };
                SmallVec::from_iter([slope * &x[0] * if mean { 1.0 / n } else { 1.0 }])
            })
        }),
        saves: Saves::INPUTS, method: false, function: false,
        samples: &[
            "r(), r(2, 3), r(2, 3), 0, 0.7, 'mean'", "r(), r(2, 3), r(2, 3), 1, 0.7, 'mean'",
            "r(), r(2, 3), r(2, 3), 2, 0.7, 'mean'", "r(), r(2, 3), r(2, 3), 3, 0.7, 'mean'",
            "r(2, 3), r(2, 3), r(2, 3), 0, 0.7, 'none'", "r(2, 3), r(2, 3), r(2, 3), 1, 0.7, 'none'",
            "r(2, 3), r(2, 3), r(2, 3), 2, 0.7, 'none'", "r(2, 3), r(2, 3), r(2, 3), 3, 0.7, 'none'",
            "r(), r(2, 3), r(2, 3), 0, 1.0, 'sum'",
        ],
    }

    /// Negative log-likelihood: `-weight[t] * input[n, t, ...]` for the class `t = target[n, ...]`, 0 where it is
    /// `ignore_index`; the mean is over the weights. Input `[N, C, ...]` or `[C]`.
    nll_loss(
        input: Tensor, target: Tensor, weight: OptTensor = None, ignore_index: Int = -100, reduction: Str = "mean"
    ) -> Tensor, Special {
        body: Kernel(infer_nll, compute_nll),
        vjp: vjp!(|v| [v.g().with(v.x(1), |g, t| {
            Tensor::nll_loss_backward(g, t, v.x(2).value()?.as_ref(), &v.sizes(0), v.int(0), v.str(1))
        }), Ex::None, Ex::None]),
        saves: Saves(0b110), method: false, onnx: Some("NegativeLogLikelihoodLoss"),
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.tensor([0, 3])", message: "out of bounds" }],
        samples: &[
            "r(3, 4), i([1, 0, 3])", "r(3, 4), i([1, 0, 3]), c([1.0, 2.0, 0.5, 3.0]), 0",
            "r(3, 4), i([1, 0, 3]), c([1.0, 2.0, 0.5, 3.0]), 3, 'sum'", "r(3, 4), i([1, 0, 3]), None, 0, 'none'",
            "r(2, 3, 2), i([[0, 1], [2, 0]]), c([1.0, 2.0, 0.5])",
        ],
    }

    /// Gradient of `nll_loss` with respect to its input of shape `input_size`.
    nll_loss_backward(
        grad: Tensor, target: Tensor, weight: OptTensor, input_size: Ints, ignore_index: Int, reduction: Str
    ) -> Tensor, Special {
        body: Kernel(infer_nll_backward, compute_nll_backward),
        // The loss is linear in its input.
        vjp: vjp!(|v| [v.g().with(v.x(1), |z, t| z.nll_loss(t, v.x(2).value()?.as_ref(), v.int(1), v.str(2))), Ex::None, Ex::None]),
        saves: Saves(0b110), method: false, function: false,
        samples: &[
            "r(), i([1, 0]), None, (2, 3), -100, 'mean'", "r(), i([1, 0]), c([1.0, 2.0, 0.5]), (2, 3), 0, 'sum'",
            "r(2), i([1, 0]), c([1.0, 2.0, 0.5]), (2, 3), -100, 'none'",
            "r(), i([1, 2]), c([1.0, 2.0, 0.5]), (2, 3), -100, 'mean'",
        ],
    }

    /// Softmax and negative log-likelihood of `[N, C]` in one pass.
    softmax_nll(input: Tensor, target: Tensor, ignore_index: Int, reduction: Str) -> Tensor, Special {
        body: Kernel(infer_softmax_nll, compute_softmax_nll),
        vjp: vjp!(|v| [v.g().with(v.x(0), |g, x| Tensor::softmax_nll_backward(g, x, &v.x(1).tensor()?, v.int(0), v.str(1))), Ex::None]),
        saves: Saves::XB, method: false, function: false, onnx: Some("SoftmaxCrossEntropyLoss"),
        samples: &["r(3, 4), i([1, 0, 3]), 0, 'mean'", "r(3, 4), i([1, 0, 3]), 0, 'sum'", "r(3, 4), i([1, 0, 3]), 0, 'none'"],
    }

    /// Gradient of `softmax_nll` with respect to its input: `(softmax - one_hot(target)) * grad`.
    softmax_nll_backward(grad: Tensor, input: Tensor, target: Tensor, ignore_index: Int, reduction: Str) -> Tensor, Special {
        body: Kernel(infer_softmax_nll_backward, compute_softmax_nll_backward),
        vjp: vjp!(|v| {
            let (size, target) = (v.sizes(1), v.x(2).tensor()?);
            through(v, |x| {
                let logp = x[1].then(|t| t.log_softmax(1, None));
                let g = x[0].then(|g| Tensor::nll_loss_backward(g, &target, None, &size, v.int(0), v.str(1)));
                SmallVec::from_iter([g.with(logp, |g, y| Tensor::log_softmax_backward(g, y, 1))])
            })
        }),
        saves: Saves::INPUTS, method: false, function: false,
        samples: &[
            "r(), r(3, 4), i([1, 0, 3]), -100, 'mean'", "r(), r(3, 4), i([1, 0, 3]), 0, 'sum'",
            "r(3), r(3, 4), i([1, 0, 3]), 0, 'none'", "r(), r(3, 4), i([1, 0, 3]), 3, 'mean'",
        ],
    }

    /// Cross-entropy of the softmax of `input` over the classes (dimension 1, or 0 of a vector) and a target: class
    /// indices (int64, without the dimension of the classes), or probabilities (floats of the input's shape).
    /// `label_smoothing` mixes in the uniform distribution (Szegedy et al. 2016).
    cross_entropy(
        input: Tensor, target: Tensor, weight: OptTensor = None, ignore_index: Int = -100, reduction: Str = "mean",
        label_smoothing: Float = 0.0
    ) -> Tensor, Special {
        body: Composite(eval_cross_entropy),
        method: false, onnx: Some("SoftmaxCrossEntropyLoss"),
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.tensor([0, 3])", message: "out of bounds" }],
        samples: &[
            "r(3, 4), i([1, 0, 3])", "r(3, 4), i([1, 0, 3]), c([1.0, 2.0, 0.5, 3.0]), 0",
            "r(3, 4), i([1, 0, 3]), c([1.0, 2.0, 0.5, 3.0]), 0, 'mean', 0.2", "r(3, 4), i([1, 0, 3]), None, 1, 'sum', 0.2",
            "r(2, 3), q(2, 3)", "r(2, 3), q(2, 3), c([1.0, 2.0, 0.5]), -100, 'none', 0.1",
        ],
    }

    /// `-(t log x + (1 - t) log(1 - x))`, the logarithms bounded below by -100.
    bce_each(input: Tensor, target: Tensor) -> Tensor, Probability {
        body: Elementwise(|c| {
            for (t, name) in [(c.x(0), "input"), (c.x(1), "target")] {
                only_floats(t.dtype().compute_dtype())?;
                if !c.meta {
                    let t = ready(t)?;
                    let fits = float!(t.dtype(), T => std::slice::from_raw_parts(t.ptr::<T>(), t.numel()).iter().all(|v| (T::ZERO..=T::ONE).contains(v)));
                    if !fits {
                        bail!(Value, "all elements of {name} should be between 0 and 1");
                    }
                }
            }
            run::<2>(c, kernel!(float |x, t, p| {
                let bounded = |v| if v < p[0] { p[0] } else { v };
                (t - p[1]) * bounded(Real::log1p(-x)) - t * bounded(Real::log(x))
            }), Promote::ToFloat, Params::new(&[Scalar::Float(-100.0), Scalar::Float(1.0)]))
        }),
        vjp: vjp!(|v| {
            let x = || v.x(0);
            [
                v.want(0, || {
                    let spread = ((1.0 - x()) * x()).then(|t| t.clamp(Some(Scalar::Float(1e-12)), None));
                    v.g() * (x() - v.x(1)) / spread
                }),
                v.want(1, || {
                    let log = bounded_log(x().then(|t| t.log()));
                    v.g() * (bounded_log((-x()).then(|t| t.log1p())) - log)
                }),
            ]
        }),
        saves: Saves::XB, method: false, function: false,
        samples: &["q(2, 3), q(2, 3)"],
    }

    /// Binary cross-entropy of probabilities: `-weight * (t log x + (1 - t) log(1 - x))`, the logarithms bounded below by
    /// -100, and the mean or sum.
    binary_cross_entropy(
        input: Tensor, target: Tensor, weight: OptTensor = None, reduction: Str = "mean"
    ) -> Tensor, Probability {
        body: Composite(|c| {
            same_shape(c.x(0), c.x(1))?;
            let (x, t) = (c.x(0), c.x(1));
            want_float(x, "input")?;
            if t.dtype() != x.dtype() {
                bail!(DType, "expected target of the input's dtype {}, got {}", x.dtype(), t.dtype());
            }
            one(weigh(Tensor::bce_each(c.x(0), c.x(1))?, c.opt(2), c.str(0))?)
        }),
        method: false,
        samples: &[
            "q(2, 3), q(2, 3), None, 'mean'", "q(2, 3), q(2, 3), None, 'sum'", "q(2, 3), q(2, 3), None, 'none'",
            "q(2, 3), q(2, 3), c([1.0, 2.0, 0.5])",
        ],
    }

    /// `(1 - t) x + log(1 + e^-x)`: the binary cross-entropy of `sigmoid(x)`.
    bce_logits_each(input: Tensor, target: Tensor) -> Tensor, Real {
        body: Elementwise(|c| run::<2>(c, kernel!(float |x, t, p| {
            let below = if x < p[0] { -x } else { p[0] };
            (p[1] - t) * x + below + Real::log1p(Real::exp(-Real::abs(x)))
        }), Promote::ToFloat, Params::new(&[Scalar::Float(0.0), Scalar::Float(1.0)]))),
        vjp: vjp!(|v| [
            v.want(0, || v.g() * (v.x(0).then(|t| t.sigmoid()) - v.x(1))),
            v.want(1, || -(v.g() * v.x(0))),
        ]),
        saves: Saves::XB, method: false, function: false,
        samples: &["r(2, 3), q(2, 3)"],
    }

    /// Binary cross-entropy of `sigmoid(input)`, without overflow; `pos_weight` multiplies the share of the ones.
    binary_cross_entropy_with_logits(
        input: Tensor, target: Tensor, weight: OptTensor = None, pos_weight: OptTensor = None, reduction: Str = "mean"
    ) -> Tensor, Real {
        body: Composite(|c| {
            let (x, t, weight, p) = (c.x(0), c.x(1), c.opt(2), c.opt(3));
            same_shape(x, t)?;
            want_float(x, "input")?;
            want_float(t, "target")?;
            if let Some(p) = p {
                fits(p, "pos_weight", x.shape())?;
            }
            one(rounded_once([x, t, weight.unwrap_or(x), p.unwrap_or(x)], |[x, t, w, p1]| {
                let losses = if p.is_some() {
                    let ones = (&(&(p1 - 1.0)? * t)? + 1.0)?;
                    (&(&(1.0 - t)? * x)? - &(&ones * &x.logsigmoid()?)?)?
                } else {
                    Tensor::bce_logits_each(x, t)?
                };
                weigh(losses, weight.map(|_| w), c.str(0))
            })?)
        }),
        method: false,
        samples: &[
            "r(2, 3), q(2, 3), None, None, 'mean'", "r(2, 3), q(2, 3), None, None, 'sum'",
            "r(2, 3), q(2, 3), None, None, 'none'", "r(2, 3), q(2, 3), c([1.0, 2.0, 0.5]), c([3.0, 1.0, 2.0])",
        ],
    }

    /// Kullback-Leibler divergence of log-probabilities `input` from `target`: `t (log t - input)`, or with `log_target`
    /// `e^t (t - input)`. "batchmean" divides the sum by the first size.
    kl_div(input: Tensor, target: Tensor, reduction: Str = "mean", log_target: Bool = false) -> Tensor, Positive {
        body: Composite(|c| {
            let (x, t) = (c.x(0), c.x(1));
            want_float(x, "input")?;
            want_float(t, "target")?;
            let losses = if c.bool(1) { t.exp()?.mul(&(t - x)?)? } else { (&t.xlogy(t)? - &(t * x)?)? };
            if c.str(0) == "batchmean" {
                let n = x.shape().first().copied().unwrap_or(1);
                return one((&losses.sum(None, false, None)? / n as f64)?);
            }
            one(reduce(&losses, c.str(0))?)
        }),
        method: false,
        samples: &[
            "r(2, 3), p(2, 3), 'mean'", "r(2, 3), p(2, 3), 'sum'", "r(2, 3), p(2, 3), 'none'", "r(2, 3), p(2, 3), 'batchmean'",
            "r(2, 3), r(2, 3), 'sum', True",
        ],
    }

    /// Cosine of the angle between vectors along `dim`: `x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))`.
    cosine_similarity(x1: Tensor, x2: Tensor, dim: Int = 1, eps: Float = 1e-8) -> Tensor, Real {
        body: Composite(|c| {
            let dtype = result_type([c.x(0), c.x(1)].into_iter());
            if !dtype.is_float() {
                bail!(DType, "expected common dtype to be floating point, got {dtype}");
            }
            if c.float(1).is_nan() || c.float(1) < 0.0 {
                bail!(Value, "eps must be non-negative, got {}", c.float(1));
            }
            let shape = broadcast(c.x(0).shape(), c.x(1).shape())?;
            let shape: SmallVec<[i64; 8]> = shape.iter().map(|&d| d as i64).collect();
            let unit = |t: &Tensor| -> Result<Tensor> {
                let t = t.to_dtype(dtype)?.expand(&shape)?;
                let norm = t.vector_norm(2.0, Some(&[c.int(0)]), true, None)?;
                t.div(&norm.clamp(Some(Scalar::Float(c.float(1))), None)?, "")
            };
            one(unit(c.x(0))?.mul(&unit(c.x(1))?)?.sum(Some(&[c.int(0)]), false, None)?)
        }),
        method: false,
        samples: &["r(2, 3), r(2, 3)", "r(2, 3), r(3), 0", "r(2, 3), r(2, 3), 1, 5.0"],
    }

    /// `input / max(|input|_p, eps)`, the `p`-norm being taken along `dim`.
    normalize(input: Tensor, p: Float = 2.0, dim: OptInts = None, eps: Float = 1e-12) -> Tensor, Real {
        body: Composite(|c| {
            let x = c.x(0);
            let norm = x.vector_norm(c.float(0), c.opt_ints(1), true, None)?;
            one(x.div(&norm.clamp(Some(Scalar::Float(c.float(2))), None)?, "")?)
        }),
        method: false, function: false, onnx: Some("LpNormalization"),
        samples: &["r(2, 3)", "r(2, 3), 2.0, 1", "r(2, 3), 1.0, 0", "r(2, 3), 3.0, (0, 1), 5.0"],
    }

    /// The `p`-norm of `x1 - x2 + eps` along the last dimension.
    pairwise_distance(x1: Tensor, x2: Tensor, p: Float = 2.0, eps: Float = 1e-6, keepdim: Bool = false) -> Tensor, Real {
        body: Composite(|c| {
            let apart = c.x(0).sub(c.x(1), 1)?.add(&Tensor::number(Scalar::Float(c.float(1)))?, 1)?;
            one(apart.vector_norm(c.float(0), Some(&[-1]), c.bool(2), None)?)
        }),
        method: false,
        samples: &["r(2, 3), r(2, 3)", "r(2, 3), r(3), 1.0, 0.5, True"],
    }

    /// `p`-norms of the differences of all pairs of rows of `[n, d]`: `[n (n - 1) / 2]`, first those of the first row.
    pdist(input: Tensor, p: Float = 2.0) -> Tensor, Special {
        body: Composite(|c| {
            let (x, p) = (c.x(0), c.float(0));
            let [n, _] = *x.shape() else { bail!(Shape, "pdist only supports 2D tensors, got: {}D", x.ndim()) };
            if p.is_nan() || p < 0.0 {
                bail!(Value, "pdist only supports non-negative p values, got {p}");
            }
            let pairs = Tensor::triu_indices(n as i64, n as i64, 1, None)?;
            let rows = |k: i64, dim: i64| x.index_select(0, &pairs.select(0, k)?)?.unsqueeze(dim);
            one(Tensor::cdist(&rows(0, 1)?, &rows(1, 1)?, p, "use_mm_for_euclid_dist_if_necessary")?.reshape(&[-1])?)
        }),
        method: false,
        refuses: &[Refusal { call: "rt.ones(3)", message: "pdist only supports 2D tensors" }],
        samples: &["r(4, 3)", "r(4, 3), 1.0", "r(3, 2), inf"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::matmul::tests::{gradcheck, noise};

    #[test]
    fn gradients_of_both_orders() {
        for word in ["none", "mean", "sum"] {
            let pair = || [noise(&[3, 4], 1), noise(&[3, 4], 2)];
            gradcheck(&|x| x[0].mse_loss(&x[1], word), &pair());
            gradcheck(&|x| x[0].l1_loss(&x[1], word), &pair());
            gradcheck(&|x| x[0].smooth_l1_loss(&x[1], word, 0.4), &pair());
            gradcheck(&|x| x[0].huber_loss(&x[1], word, 0.4), &pair());
            let target = Tensor::from_slice(&[1i64, -100, 3], &[3]).unwrap();
            let w = Tensor::from_slice(&[0.5, 1.5, 2.0, 0.7], &[4]).unwrap();
            gradcheck(&|x| x[0].nll_loss(&target, Some(&w), -100, word), &[noise(&[3, 4], 1)]);
            gradcheck(&|x| x[0].cross_entropy(&target, None, -100, word, 0.0), &[noise(&[3, 4], 1)]);
            gradcheck(&|x| x[0].cross_entropy(&target, Some(&w), -100, word, 0.1), &[noise(&[3, 4], 1)]);
            let places = Tensor::from_slice(&[1i64, 0, 3, 2], &[2, 2]).unwrap();
            gradcheck(&|x| x[0].cross_entropy(&places, Some(&w), -100, word, 0.0), &[noise(&[2, 4, 2], 1)]);
            gradcheck(&|x| x[0].cross_entropy(&x[1], Some(&w), -100, word, 0.1), &pair());
            let half = |seed| (&(&noise(&[3, 2], seed) * 0.4).unwrap() + 0.5).unwrap();
            gradcheck(&|x| x[0].binary_cross_entropy(&x[1], None, word), &[half(1), half(2)]);
            gradcheck(&|x| x[0].binary_cross_entropy_with_logits(&x[1], None, None, word), &pair());
            gradcheck(&|x| x[0].binary_cross_entropy_with_logits(&x[1], None, Some(&w), word), &pair());
            gradcheck(&|x| x[0].kl_div(&x[1], word, true), &pair());
        }
        gradcheck(&|x| x[0].mse_loss(&x[1], "mean"), &[noise(&[3, 4], 1), noise(&[4], 2)]);
        gradcheck(&|x| Tensor::cosine_similarity(&x[0], &x[1], 1, 1e-8), &[noise(&[3, 4], 1), noise(&[3, 4], 2)]);
    }

    #[test]
    fn bad_targets_are_refused() {
        let x = noise(&[2, 3], 1);
        for target in [&[0i64, 3][..], &[0, -1], &[0, 1, 2]] {
            let t = Tensor::from_slice(target, &[target.len()]).unwrap();
            assert!(x.nll_loss(&t, None, -100, "mean").is_err());
            assert!(x.cross_entropy(&t, None, -100, "mean", 0.0).is_err());
        }
    }
}
