//! Losses.

use crate::{bail, err, kernel};
use crate::autograd::through;
use crate::dtype::{DType, Elem, Scalar};
use crate::engine::copy::{contiguous_unlocked, fill_new, only, written_as};
use crate::engine::dtypes::{float, only_floats};
use crate::engine::promotion::{Promote, result_type};
use crate::error::{Error, Result};
use crate::kernels::elementwise::Params;
use crate::kernels::loss::{Distance, self};
use crate::kernels::math::Real;
use crate::shape::{Dims, broadcast, signed};
use crate::table::{Call, Outs, Refusal, Saves, Spec, Specs, one, Cast};
use crate::table::lang::{Ex, rounded_once};
use crate::table::loops::run;
use crate::tensor::Tensor;
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
    Ok((result_type([x, t].into_iter())?, broadcast(x.shape(), t.shape())?))
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
        fill_new(out, Scalar::Float(if reduction == Reduction::Mean { sum / n as f64 } else { sum }));
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
    if beta.is_nan() || beta < 0.0 {
        bail!(Value, "does not support negative values for beta, got {beta}");
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
    fill_new(&outs[0], Scalar::Float(if reduction == Reduction::Mean { sum / total } else { sum }));
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
        fill_new(gx, Scalar::Int(0));
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
    fill_new(&outs[0], Scalar::Float(if reduction == Reduction::Mean { sum / count as f64 } else { sum }));
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

/// What is left of `t` where `mask` holds; 0 elsewhere.
fn kept(mask: &Tensor, t: &Tensor) -> Result<Tensor> {
    Tensor::where_(mask, t, &Tensor::number(Scalar::Int(0))?)
}

fn is(t: &Tensor, number: i64) -> Result<Tensor> {
    t.eq(&Tensor::number(Scalar::Int(number))?)
}

/// Losses of the elements times weights of the same shape, reduced; the mean is that of the weights if `normalised`.
fn weighted(losses: &Tensor, weight: &Tensor, word: &str, normalised: bool) -> Result<Tensor> {
    if weight.shape() != losses.shape() {
        let (w, x) = (weight.shape(), losses.shape());
        return Err(Error::shapes("", format!("Weights and input must have the same size, got {w:?} and {x:?}"), w, x));
    }
    let weighted = losses.mul(weight)?;
    if normalised && reduction(word)? == Reduction::Mean {
        return weighted.sum(None, false, None)?.div(&weight.sum(None, false, None)?, "");
    }
    reduce(&weighted, word)
}

fn eval_poisson(c: &Call) -> Result<Outs> {
    let (x, t, word) = (c.x(0), c.x(1), c.str(3));
    reduction(word)?;
    let mut losses = if c.bool(0) { x.exp()?.sub(&(t * x)?, 1)? } else { x.sub(&t.mul(&(x + c.float(2))?.log()?)?, 1)? };
    if c.bool(1) {
        let circle = (&(t * std::f64::consts::TAU)?.log()? * 0.5)?;
        let stirling = t.mul(&t.log()?)?.sub(t, 1)?.add(&circle, 1)?;
        losses = losses.add(&kept(&t.gt(&Tensor::number(Scalar::Int(1))?)?, &stirling)?, 1)?;
    }
    one(reduce(&losses, word)?)
}

fn eval_gaussian(c: &Call) -> Result<Outs> {
    let (x, t, word) = (c.x(0), c.x(1), c.str(2));
    reduction(word)?;
    let mut var = if c.x(2).0.wrapped { x.full_like(only(c.x(2)), None)? } else { c.x(2).clone() };
    want_float(&var, "var")?;
    if var.shape() != x.shape() {
        let differ = || x.shape().iter().zip(var.shape()).filter(|(a, b)| a != b);
        if x.shape().split_last().is_some_and(|(_, rest)| rest == var.shape()) {
            var = var.unsqueeze(-1)?;
        } else if var.ndim() != x.ndim() || differ().count() != 1 || differ().any(|(_, &b)| b != 1) {
            let (s, v) = (x.shape(), var.shape());
            return Err(Error::shapes("", format!("var is of incorrect size: input is {s:?}, var is {v:?}"), s, v));
        }
    }
    let var = var.variance_floor(c.float(1))?;
    let square = (x - t)?.pow(&Tensor::number(Scalar::Int(2))?)?;
    let losses = (&(&var.log()? + &(&square / &var)?)? * 0.5)?;
    let full = c.bool(0);
    one(reduce(&if full { (&losses + 0.5 * std::f64::consts::TAU.ln())? } else { losses }, word)?)
}

fn eval_hinge(c: &Call) -> Result<Outs> {
    let (x, t, word) = (c.x(0), c.x(1), c.str(1));
    if reduction(word)? == Reduction::Mean && !x.dtype().is_float() {
        bail!(DType, "the mean needs an input of a floating point dtype, got {}", x.dtype());
    }
    one(rounded_once([x], |[x]| {
        let far = kept(&is(t, 1)?.logical_not()?, &(c.float(0) - x)?.clamp_min(0)?)?;
        let near = kept(&is(t, -1)?.logical_not()?, x)?;
        reduce(&(&far + &near)?, word)
    })?)
}

fn eval_cosine_embedding(c: &Call) -> Result<Outs> {
    let (a, b, t, word) = (c.x(0), c.x(1), c.x(2), c.str(1));
    reduction(word)?;
    if t.ndim() + 1 != a.ndim() || a.ndim() != b.ndim() || t.ndim() > 1 {
        bail!(
            Shape,
            "expected inputs [N, d] with target [N], or [d] with a scalar target, got {:?}, {:?} and {:?}",
            a.shape(),
            b.shape(),
            t.shape()
        );
    }
    let product = |x: &Tensor, y: &Tensor| (x * y)?.sum(Some(&[-1]), false, None);
    let length = |x: &Tensor| &product(x, x)? + 1e-12;
    let cos = product(a, b)?.div(&length(a)?.mul(&length(b)?)?.sqrt()?, "")?;
    let near = kept(&is(t, 1)?, &(1.0 - &cos)?)?;
    let far = kept(&is(t, -1)?, &(&cos - c.float(0))?.clamp_min(0)?)?;
    one(reduce(&(&near + &far)?, word)?)
}

fn eval_margin_ranking(c: &Call) -> Result<Outs> {
    let (a, b, t, word) = (c.x(0), c.x(1), c.x(2), c.str(1));
    reduction(word)?;
    if a.ndim() != b.ndim() || a.ndim() != t.ndim() {
        bail!(
            Shape,
            "All input tensors should have same dimension but got sizes: input1: {:?}, input2: {:?}, target: {:?}",
            a.shape(),
            b.shape(),
            t.shape()
        );
    }
    let losses = (&t.neg()?.mul(&(a - b)?)? + c.float(0))?.clamp_min(0)?;
    one(reduce(&losses, word)?)
}

fn eval_soft_margin(c: &Call) -> Result<Outs> {
    let (x, t) = (c.x(0), c.x(1));
    reduction(c.str(0))?;
    want_float(x, "input")?;
    fits(t, "target", x.shape())?;
    one(reduce(&t.to_dtype(x.dtype())?.mul(x)?.neg()?.softplus(1, 20)?, c.str(0))?)
}

fn eval_multilabel_soft_margin(c: &Call) -> Result<Outs> {
    let (x, t, word) = (c.x(0), c.x(1), c.str(0));
    reduction(word)?;
    let Some(&classes) = x.shape().last() else {
        bail!(Index, "input must have at least one dimension");
    };
    let ones = t.mul(&x.logsigmoid()?)?;
    let zeros = (1.0 - t)?.mul(&x.neg()?.logsigmoid()?)?;
    let mut losses = (&ones + &zeros)?.neg()?;
    if let Some(w) = c.opt(2) {
        losses = losses.mul(w)?;
    }
    // Over the classes of the input, to which target and weight broadcast.
    let each = &losses.sum(Some(&[x.ndim() as i64 - 1]), false, None)? / classes as f64;
    one(reduce(&each?, word)?)
}

/// The number of classes of input `[N, C]`, `[C]` or a number. The target must be int64 and of `shape`, or a number.
fn classes_of(x: &Tensor, target: &Tensor, shape: Option<&[usize]>) -> Result<usize> {
    if x.ndim() > 2 || x.shape().last() == Some(&0) {
        bail!(Shape, "expected input [N, C] or [C], got shape {:?}", x.shape());
    }
    if target.dtype() != DType::I64 {
        bail!(DType, "target must be int64, got {}", target.dtype());
    }
    if shape.map_or(target.numel() != 1, |s| target.shape() != s) {
        let (t, s) = (target.shape(), x.shape());
        return Err(Error::shapes("", format!("inconsistent target size, got {t:?} for input of size {s:?}"), s, t));
    }
    Ok(x.shape().last().copied().unwrap_or(1))
}

fn eval_multi_margin(c: &Call) -> Result<Outs> {
    let (x, t, w) = (c.x(0), c.x(1), c.opt(2));
    let (p, margin, word) = (c.int(0), c.float(1), c.str(2));
    reduction(word)?;
    if p != 1 && p != 2 {
        bail!(Value, "only p == 1 and p == 2 supported, got {p}");
    }
    if let Some(w) = w.filter(|w| w.ndim() != 1) {
        bail!(Shape, "weight must be one-dimensional, got {}D", w.ndim());
    }
    let classes = classes_of(x, t, if x.ndim() == 2 { Some(&x.shape()[..1]) } else { None })?;
    if let Some(w) = w.filter(|w| w.shape() != [classes] || w.dtype() != x.dtype()) {
        let (shape, dtype) = (w.shape(), w.dtype());
        bail!(Shape, "expected weight of shape [{classes}] and dtype {}, got {shape:?} and {dtype}", x.dtype());
    }
    let n = if x.ndim() == 2 { x.shape()[0] as i64 } else { 1 };
    let (x, labels) = (x.reshape(&[n, classes as i64])?, t.reshape(&[n])?);
    let wanted = x.gather(1, &labels.unsqueeze(1)?, false)?;
    // Without a slope where the margin is just kept.
    let mut losses = (&(margin - &wanted)? + &x)?.relu()?.pow(&Tensor::number(Scalar::Int(p))?)?;
    if let Some(w) = w {
        losses = losses.mul(&w.index_select(0, &labels)?.unsqueeze(1)?)?;
    }
    let own = labels.one_hot(classes as i64)?.to_dtype(DType::Bool)?;
    let losses = losses.masked_fill(&own, &Tensor::number(Scalar::Float(0.0))?)?;
    let each = (&losses.sum(Some(&[1]), false, None)? / classes as f64)?;
    one(reduce(&each.reshape(&signed(t.shape()))?, word)?)
}

/// Which entries of the lists `[N, T]` count, and which of the classes `[N, C]` are listed.
fn compute_multilabel_targets(c: &Call, outs: &[Tensor]) -> Result<()> {
    let t = contiguous_unlocked(c.x(0), DType::I64, false)?;
    let (width, classes) = (outs[0].shape()[1], outs[1].shape()[1]);
    if let Some(i) = indices(&t).iter().find(|&&i| i < -1 || i >= classes as i64) {
        bail!(Value, "target must hold classes below {classes}, or -1, got {i}");
    }
    fill_new(&outs[0], Scalar::Int(0));
    fill_new(&outs[1], Scalar::Int(0));
    let lists = if t.numel() == 0 { 0 } else { outs[0].shape()[0] };
    for n in 0..lists {
        for (k, &class) in indices(&t)[n * width..(n + 1) * width].iter().enumerate().take_while(|(_, &i)| i >= 0) {
            // SAFETY: entry `k` of list `n`, and class `class` of sample `n`, of row-major truth values.
            unsafe {
                *outs[0].ptr::<bool>().add(n * width + k) = true;
                *outs[1].ptr::<bool>().add(n * classes + class as usize) = true;
            }
        }
    }
    Ok(())
}

fn eval_multilabel_margin(c: &Call) -> Result<Outs> {
    let (x, t, word) = (c.x(0), c.x(1), c.str(0));
    reduction(word)?;
    let classes = classes_of(x, t, Some(x.shape()))? as i64;
    let n = if x.ndim() == 2 { x.shape()[0] as i64 } else { 1 };
    let (rows, lists) = (x.reshape(&[n, classes])?, t.reshape(&[n, classes])?);
    let masks = Tensor::multilabel_targets(&lists, classes)?;
    let (listed, labels) = (masks[0].to_dtype(x.dtype())?, masks[1].to_dtype(x.dtype())?);
    let wanted = rows.gather(1, &lists.clamp_min(0)?, false)?;
    let hinge = (&(1.0 - &wanted)?.unsqueeze(2)? + &rows.unsqueeze(1)?)?.relu()?;
    let others = (1.0 - &labels)?.unsqueeze(1)?;
    let each = hinge.mul(&listed.unsqueeze(2)?)?.mul(&others)?.sum(Some(&[1, 2]), false, None)?;
    let each = (&each / classes as f64)?;
    one(reduce(&if x.ndim() == 2 { each } else { each.squeeze(Some(&[0]))? }, word)?)
}

fn eval_triplet_margin(c: &Call) -> Result<Outs> {
    let (a, near, far) = (c.x(0), c.x(1), c.x(2));
    let (margin, p, eps, word) = (c.float(0), c.float(1), c.float(2), c.str(4));
    reduction(word)?;
    if margin <= 0.0 {
        bail!(Value, "margin must be greater than 0, got {margin}");
    }
    if a.ndim() != near.ndim() || a.ndim() != far.ndim() {
        bail!(
            Shape,
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: \
             anchor {}D, positive {}D, and negative {}D inputs",
            a.ndim(),
            near.ndim(),
            far.ndim()
        );
    }
    let mut apart = Tensor::pairwise_distance(a, far, p, eps, false)?;
    if c.bool(3) {
        apart = apart.minimum(&Tensor::pairwise_distance(near, far, p, eps, false)?)?;
    }
    let together = Tensor::pairwise_distance(a, near, p, eps, false)?;
    one(reduce(&(&(margin + &together)? - &apart)?.clamp_min(0)?, word)?)
}

/// `log(e)`, at least -100.
fn bounded_log(e: Ex) -> Ex {
    e.then(|t| t.clamp(Some(Scalar::Float(-100.0)), None))
}

ops! {
    /// Squared differences of input and target, and their mean or sum.
    mse_loss(input: Tensor, target: Tensor, reduction: Str = "mean") -> Tensor, Real {
        cast: Cast::Full,
        body: Kernel(infer_distance, |c, outs| compute_distance(c, Distance::Square, 0.0, outs)),
        vjp: distance_rule!(Distance::Square, |v| 0.0, 0), saves: Saves::XB, method: false,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(2), 'average'", message: "is not a valid value for reduction" }],
        samples: &["r(2, 3), r(2, 3), 'mean'", "r(2, 3), r(2, 3), 'sum'", "r(2, 3), r(2, 3), 'none'"],
    }

    /// Absolute differences of input and target, and their mean or sum.
    l1_loss(input: Tensor, target: Tensor, reduction: Str = "mean") -> Tensor, Real {
        cast: Cast::Full,
        body: Composite(|c| {
            let (x, t) = (c.x(0), c.x(1));
            if x.dtype().is_float() && t.dtype().is_float() {
                return one(x.smooth_l1_loss(t, c.str(0), 0.0)?);
            }
            if [x, t].iter().any(|t| t.dtype() == DType::Bool) {
                bail!(DType, "not implemented for dtype bool, got {} and {}", x.dtype(), t.dtype());
            }
            one(reduce(&(x - t)?.abs()?, c.str(0))?)
        }),
        method: false,
        samples: &["r(2, 3), r(2, 3), 'mean'", "r(2, 3), r(2, 3), 'sum'", "r(2, 3), r(2, 3), 'none'"],
    }

    /// `d^2 / (2 beta)` for differences below `beta`, `|d| - beta / 2` for others, and their mean or sum (Girshick 2015).
    smooth_l1_loss(input: Tensor, target: Tensor, reduction: Str = "mean", beta: Float = 1.0) -> Tensor, Real {
        cast: Cast::Full,
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
        cast: Cast::Full,
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

    /// `mse_loss` of weighted elements; the mean is divided by the sum of the weights, which have the losses' shape.
    mse_loss_weighted(input: Tensor, target: Tensor, weight: Tensor, reduction: Str = "mean") -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| one(weighted(&c.x(0).mse_loss(c.x(1), "none")?, c.x(2), c.str(0), true)?)),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(2), rt.ones(1)", message: "must have the same size" }],
        samples: &["r(2, 3), r(2, 3), p(2, 3)", "r(2, 3), r(3), p(2, 3), 'sum'", "r(2), r(2), p(2), 'none'"],
    }

    /// `l1_loss` of weighted elements; the mean is divided by the sum of the weights, which have the losses' shape.
    l1_loss_weighted(input: Tensor, target: Tensor, weight: Tensor, reduction: Str = "mean") -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| one(weighted(&c.x(0).l1_loss(c.x(1), "none")?, c.x(2), c.str(0), true)?)),
        method: false, function: false,
        samples: &["r(2, 3), r(2, 3), p(2, 3)", "r(2, 3), r(3), p(2, 3), 'sum'", "r(2), r(2), p(2), 'none'"],
    }

    /// `huber_loss` of weighted elements; weights have the losses' shape, the mean is that of the products.
    huber_loss_weighted(
        input: Tensor, target: Tensor, weight: Tensor, reduction: Str = "mean", delta: Float = 1.0
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| one(weighted(&c.x(0).huber_loss(c.x(1), "none", c.float(1))?, c.x(2), c.str(0), false)?)),
        method: false, function: false,
        samples: &["r(2, 3), r(2, 3), p(2, 3)", "r(2, 3), r(3), p(2, 3), 'sum', 0.5", "r(2), r(2), p(2), 'none'"],
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
        cast: Cast::Full,
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
        cast: Cast::Full,
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
        cast: Cast::Full,
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
        cast: Cast::Full,
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
        cast: Cast::Full,
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

    /// Negative log-likelihood of counts `target` under Poisson distributions: `e^x - t x` if the input is the logarithm of
    /// the rate (`log_input`), else `x - t log(x + eps)`. `full` adds Stirling's approximation of `log(t!)` where `t > 1`.
    poisson_nll_loss(
        input: Tensor, target: Tensor, log_input: Bool = true, full: Bool = false, eps: Float = 1e-08,
        reduction: Str = "mean"
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_poisson),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(2), reduction='all'", message: "is not a valid value for reduction" }],
        samples: &[
            "r(2, 3), p(2, 3)", "p(2, 3), p(2, 3), False", "r(2, 3), t([0.5, 1.5, 4.0]), True, True, reduction='sum'",
            "p(3), t([0.5, 1.5, 4.0]), False, True, 0.1, 'none'",
        ],
    }

    /// Negative log-likelihood of `target` under normal distributions of mean `input` and variance `var`:
    /// `(log var + (input - target)^2 / var) / 2`, `var` being at least `eps`, which is no part of the gradient (Nix and
    /// Weigend 1994). `full` adds `log(2 pi) / 2`. `var` is a number or a tensor of the input's shape, or without its last
    /// dimension, or with one of size 1.
    gaussian_nll_loss(
        input: Tensor, target: Tensor, var: Operand, full: Bool = false, eps: Float = 1e-06, reduction: Str = "mean"
    ) -> Tensor, Special {
        body: Composite(eval_gaussian),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(2, 3), rt.ones(3)", message: "var is of incorrect size" }],
        samples: &[
            "r(2, 3), r(2, 3), p(2, 3)", "r(2, 3), r(2, 3), p(2), True", "r(2, 3), r(2, 3), p(2, 1), reduction='sum'",
            "r(3), r(3), 0.5, True, 1e-3, 'none'",
        ],
    }

    /// Variances, which must not be negative, brought up to `eps` at least. The gradient passes as if they were left alone.
    variance_floor(input: Tensor, eps: Float) -> Tensor, Positive {
        body: Elementwise(|c| {
            only_floats(c.x(0).dtype())?;
            if !c.meta {
                let t = ready(c.x(0))?;
                let fits = float!(t.dtype(), T => std::slice::from_raw_parts(t.ptr::<T>(), t.numel()).iter().all(|v| v.is_nan() || *v >= T::ZERO));
                if !fits {
                    bail!(Value, "var has negative entry/entries");
                }
            }
            let k = kernel!(float |x, p| if x < p[0] { p[0] } else { x });
            run::<1>(c, k, Promote::ToFloat, Params::new(&[Scalar::Float(c.float(0))]))
        }),
        vjp: vjp!(|v| v.g()), method: false, function: false,
        samples: &["p(2, 3), 0.01"],
    }

    /// `x` where the target is 1, `max(0, margin - x)` where it is -1, and their mean or sum.
    hinge_embedding_loss(input: Tensor, target: Tensor, margin: Float = 1.0, reduction: Str = "mean") -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_hinge),
        method: false, function: false,
        samples: &[
            "r(2, 3), c([1.0, -1.0, 1.0])", "r(2, 3), c([1.0, -1.0, -1.0]), 0.7, 'sum'", "r(3), i([1, -1, -1]), 2.0, 'none'",
        ],
    }

    /// `1 - cos(x1, x2)` where the target is 1, `max(0, cos(x1, x2) - margin)` where it is -1, and their mean or sum; inputs
    /// `[N, d]` with target `[N]`, or `[d]` with a number.
    cosine_embedding_loss(
        input1: Tensor, input2: Tensor, target: Tensor, margin: Float = 0.0, reduction: Str = "mean"
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_cosine_embedding),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(2, 3), rt.ones(2, 3)", message: "expected inputs [N, d]" }],
        samples: &[
            "r(3, 4), r(3, 4), c([1.0, -1.0, 1.0])", "r(3, 4), r(3, 4), c([1.0, -1.0, -1.0]), -0.9, 'sum'",
            "r(2, 4), r(2, 4), i([1, -1]), -0.9, 'none'", "r(4), r(4), c(1.0)",
        ],
    }

    /// `max(0, -target (input1 - input2) + margin)`, and its mean or sum; the target is 1 where the first input should be
    /// ranked higher, else -1.
    margin_ranking_loss(
        input1: Tensor, input2: Tensor, target: Tensor, margin: Float = 0.0, reduction: Str = "mean"
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_margin_ranking),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(1, 2), rt.ones(2)", message: "should have same dimension" }],
        samples: &[
            "r(3), r(3), c([1.0, -1.0, 1.0])", "r(3), r(3), i([1, -1, -1]), 0.5, 'sum'", "r(3), r(3), c([1.0, -1.0, -1.0]), 3.0, 'none'",
        ],
    }

    /// `log(1 + e^(-target input))`, of the input's shape and dtype, and its mean or sum.
    soft_margin_loss(input: Tensor, target: Tensor, reduction: Str = "mean") -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_soft_margin),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(2, 2)", message: "does not broadcast to the input's shape" }],
        samples: &["r(2, 3), c([1.0, -1.0, 1.0])", "r(2, 3), r(2, 3), 'sum'", "r(3), i([1, -1, -1]), 'none'"],
    }

    /// The mean over the classes of the binary cross-entropy of `sigmoid(input)`, and its mean or sum over the samples;
    /// input and target `[N, C]`, weight `[C]`.
    multilabel_soft_margin_loss(
        input: Tensor, target: Tensor, weight: OptTensor = None, reduction: Str = "mean"
    ) -> Tensor, Special {
        body: Composite(eval_multilabel_soft_margin),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(()), rt.ones(())", message: "at least one dimension" }],
        samples: &["r(2, 3), q(2, 3)", "r(2, 3), q(2, 3), c([1.0, 2.0, 0.5]), 'sum'", "r(2, 3), c([1.0, 0.0, 1.0]), None, 'none'"],
    }

    /// Sum over the classes `i` other than the target `t` of `max(0, margin - x[t] + x[i])^p`, times `weight[t]`, divided by
    /// the number of classes, and its mean or sum; input `[N, C]` with target `[N]`, or `[C]` with a number. `p` is 1 or 2.
    multi_margin_loss(
        input: Tensor, target: Tensor, p: Int = 1, margin: Float = 1.0, weight: OptTensor = None, reduction: Str = "mean"
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_multi_margin),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(2, 3), rt.tensor([0, 1]), 3", message: "only p == 1 and p == 2 supported" },
            Refusal { call: "rt.ones(2, 3), rt.tensor([0, 3])", message: "out of bounds" },
        ],
        samples: &[
            "r(3, 4), i([1, 0, 3])", "r(3, 4), i([1, 0, 3]), 2, 0.5, c([1.0, 2.0, 0.5, 3.0]), 'sum'", "r(4), i(2), reduction='none'",
        ],
    }

    /// For `multilabel_margin_loss`: which entries of the lists `target` [N, T] come before the first -1, and which of the
    /// `classes` are among them, `[N, classes]`, both as truth values.
    multilabel_targets(target: Tensor, classes: Int) -> Pair, Special {
        body: Kernel(
            |c| {
                let t = c.x(0);
                let &[n, width] = t.shape() else {
                    bail!(Shape, "expected targets of shape [N, T], got {:?}", t.shape());
                };
                if t.dtype() != DType::I64 {
                    bail!(DType, "target must be int64, got {}", t.dtype());
                }
                let rows = |m: usize| Spec::rows(&[n, m], DType::Bool);
                Ok(Specs::from_iter([rows(width)?, rows(crate::shape::sizes(&[c.int(0)])?[0])?]))
            },
            compute_multilabel_targets,
        ),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3, dtype=rt.int64), 3", message: "expected targets of shape" }],
    }

    /// Sum over the targets `t` of a sample and the other classes `i` of `max(0, 1 - x[t] + x[i])`, divided by the number of
    /// classes, and its mean or sum; input `[N, C]` or `[C]`, and as many target classes, of which those before the first
    /// -1 count.
    multilabel_margin_loss(input: Tensor, target: Tensor, reduction: Str = "mean") -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_multilabel_margin),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.tensor([0, 1])", message: "inconsistent target size" }],
        samples: &[
            "r(2, 4), i([[1, 2, -1, 0], [3, -1, 0, 1]])", "r(2, 3), i([[0, 0, 2], [-1, 1, 2]]), 'none'", "r(3), i([0, -1, 1]), 'sum'",
        ],
    }

    /// `max(0, d(anchor, positive) - d(anchor, negative) + margin)`, and its mean or sum, `d` being `pairwise_distance`.
    /// With `swap` the positive may stand for the anchor where it is nearer to the negative (Balntas et al. 2016).
    triplet_margin_loss(
        anchor: Tensor, positive: Tensor, negative: Tensor, margin: Float = 1.0, p: Float = 2.0, eps: Float = 1e-06,
        swap: Bool = false, reduction: Str = "mean"
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_triplet_margin),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(2, 3), rt.ones(2, 3), 0.0", message: "greater than 0" }],
        samples: &[
            "r(3, 4), r(3, 4), r(3, 4)", "r(3, 4), r(3, 4), r(3, 4), 2.0, 1.0, swap=True", "r(4), r(4), r(4), 5.0, 3.0, 0.1, reduction='sum'",
            "r(2, 3), r(2, 3), r(2, 3), 4.0, reduction='none'",
        ],
    }

    /// The `p`-norms of `x1 - x2 + eps` over the last dimension.
    pairwise_distance(x1: Tensor, x2: Tensor, p: Float = 2.0, eps: Float = 1e-06, keepdim: Bool = false) -> Tensor, Special {
        body: Composite(|c| {
            let apart = (&(c.x(0) - c.x(1))? + c.float(1))?;
            one(apart.vector_norm(c.float(0), Some(&[-1]), c.bool(2), None)?)
        }),
        method: false,
        samples: &["r(2, 3), r(2, 3)", "r(2, 3), r(3), 3.0, 0.1, True"],
    }

    /// Cosine of the angle between vectors along `dim`: `x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))`.
    cosine_similarity(x1: Tensor, x2: Tensor, dim: Int = 1, eps: Float = 1e-8) -> Tensor, Real {
        body: Composite(|c| {
            let dtype = result_type([c.x(0), c.x(1)].into_iter())?;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::check::{gradcheck, noise};

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
