//! Connectionist temporal classification.

use crate::bail;
use crate::autograd::through;
use crate::dtype::{DType, Scalar};
use crate::engine::copy::{contiguous_unlocked, fill_new, written_as};
use crate::engine::dtypes::{float, only_floats};
use crate::error::{Error, Result};
use crate::kernels::copy::{GRAIN, Shared};
use crate::kernels::ctc::Sample;
use crate::kernels::math::Real;
use crate::memory::{List, missing};
use crate::parallel::parallel_for;
use crate::shape::signed;
use crate::table::{Call, Outs, Refusal, Saves, Spec, Specs, one, Cast};
use crate::table::lang::rounded_once;
use crate::tensor::Tensor;
use smallvec::SmallVec;

fn want_whole(t: &Tensor, name: &str) -> Result<()> {
    if t.dtype().is_float() || t.dtype() == DType::Bool {
        bail!(DType, "{name} must be whole numbers, got {}", t.dtype());
    }
    Ok(())
}

/// Checks what shapes and dtypes say: `log_probs` [T, N, C], targets [N, S] or [S], and `N` lengths of each kind.
fn check(log_probs: &Tensor, targets: &Tensor, lengths: [&Tensor; 2], blank: i64) -> Result<[usize; 3]> {
    let &[times, batch, classes] = log_probs.shape() else {
        bail!(Shape, "log_probs must have shape [T, N, C], got {:?}", log_probs.shape());
    };
    if log_probs.numel() == 0 {
        bail!(Shape, "log_probs must not be empty, got shape {:?}", log_probs.shape());
    }
    if blank < 0 || blank as usize >= classes {
        bail!(Value, "blank must be a class, from 0 to {}, got {blank}", classes - 1);
    }
    check_targets(targets, batch)?;
    for (lengths, name) in lengths.iter().zip(["input_lengths", "target_lengths"]) {
        check_lengths(lengths, name, batch)?;
    }
    Ok([times, batch, classes])
}

fn check_targets(targets: &Tensor, batch: usize) -> Result<()> {
    want_whole(targets, "targets")?;
    if !matches!(targets.shape(), [_] | [_, _]) || (targets.ndim() == 2 && targets.shape()[0] != batch) {
        bail!(Shape, "targets must have shape [{batch}, S], or hold all labels in one row, got {:?}", targets.shape());
    }
    Ok(())
}

fn check_lengths(lengths: &Tensor, name: &str, batch: usize) -> Result<()> {
    if lengths.dtype().is_float() || lengths.dtype() == DType::Bool {
        bail!(DType, "{name} must be integral, got {}", lengths.dtype());
    }
    if lengths.numel() != batch {
        bail!(Shape, "expected {batch} {name}, got {}", lengths.numel());
    }
    Ok(())
}

/// The elements of whole numbers.
fn numbers(t: &Tensor) -> Result<List<i64>> {
    contiguous_unlocked(t, DType::I64, false)?.to_vec_unlocked::<i64>()
}

/// Lengths, none of which is negative.
fn lengths(t: &Tensor, name: &str) -> Result<List<usize>> {
    let found = numbers(t)?;
    match found.iter().find(|&&n| n < 0) {
        Some(n) => bail!(Value, "{name} must be at least 0, got {n}"),
        None => List::collect(found.iter().map(|&n| n as usize)),
    }
}

/// What targets say about each sample of a batch.
struct Targets {
    labels: List<i64>,
    /// Where each sample's labels begin.
    starts: List<usize>,
    lengths: List<usize>,
}

impl Targets {
    fn new(targets: &Tensor, sizes: &Tensor, classes: Option<usize>) -> Result<Targets> {
        let lengths = lengths(sizes, "target_lengths")?;
        let shape = targets.shape();
        let mut starts = List::with_room(lengths.len())?;
        if let &[batch, width] = shape {
            let longest = lengths.iter().copied().max().unwrap_or(0);
            if longest > width {
                bail!(Shape, "targets must have shape [{batch}, {longest} or more], as target_lengths say, got {shape:?}");
            }
            starts.extend((0..batch).map(|i| i * width))?;
        } else {
            let mut total = 0usize;
            for &n in &lengths {
                starts.push(total)?;
                total = total.saturating_add(n);
            }
            if shape != [total] {
                bail!(Shape, "targets must be {total} labels, as target_lengths say, got shape {shape:?}");
            }
        }
        let all = Targets { labels: numbers(targets)?, starts, lengths };
        if let Some(classes) = classes {
            let bad = |&i: &i64| i < 0 || i >= classes as i64;
            if let Some(i) = (0..all.lengths.len()).flat_map(|n| all.of(n)).copied().find(bad) {
                bail!(Value, "targets must be classes, from 0 to {}, got {i}", classes - 1);
            }
        }
        Ok(all)
    }

    /// The labels of sample `n`.
    fn of(&self, n: usize) -> &[i64] {
        &self.labels[self.starts[n]..self.starts[n] + self.lengths[n]]
    }
}

/// A batch made ready: targets, and how long each input is.
fn batch_of(targets: &Tensor, [inputs, sizes]: [&Tensor; 2], [times, _, classes]: [usize; 3]) -> Result<(Targets, List<usize>)> {
    let long = lengths(inputs, "input_lengths")?;
    if let Some(n) = long.iter().find(|&&n| n > times) {
        bail!(Value, "input_lengths must be at most {times}, got {n}");
    }
    Ok((Targets::new(targets, sizes, Some(classes))?, long))
}

/// Room for `rows(n)` numbers for each state of each sample `n`, and where each sample's room begins.
fn room(targets: &Targets, rows: impl Fn(usize) -> usize) -> Result<(List<f64>, List<usize>)> {
    let mut starts = List::with_room(targets.lengths.len() + 1)?;
    let mut total = 0usize;
    starts.push(0)?;
    for (n, &length) in targets.lengths.iter().enumerate() {
        let size = rows(n).checked_mul(2 * length + 1).and_then(|size| total.checked_add(size));
        total = size.ok_or_else(|| missing(usize::MAX))?;
        starts.push(total)?;
    }
    Ok((List::filled(total, 0.0)?, starts))
}

fn compute_losses(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, lengths, blank) = (c.x(0), [c.x(2), c.x(3)], c.int(0) as usize);
    let sizes = check(x, c.x(1), lengths, c.int(0))?;
    let [_, batch, classes] = sizes;
    let (targets, long) = batch_of(c.x(1), lengths, sizes)?;
    let ready = contiguous_unlocked(x, x.dtype().compute_dtype(), false)?;
    let (mut rows, starts) = room(&targets, |_| 2)?;
    written_as(&outs[0], ready.dtype(), |out| {
        let memory = Shared(rows.as_mut_ptr());
        float!(x.dtype(), T => {
            let (from, to) = (Shared(ready.ptr::<T>()), Shared(out.ptr::<T>()));
            parallel_for(batch, GRAIN.div_ceil(2 * classes + rows.len() / batch), &|r| for n in r {
                let sample = Sample {
                    log_probs: from.get().add(n * classes) as *const T,
                    step: batch * classes,
                    times: long[n],
                    labels: targets.of(n),
                    blank,
                };
                // The part that belongs to this sample alone.
                let rows = std::slice::from_raw_parts_mut(memory.get().add(starts[n]), starts[n + 1] - starts[n]);
                let loss = sample.loss(rows);
                *to.get().add(n) = T::of(if loss == f64::INFINITY && c.bool(1) { 0.0 } else { loss });
            })
        });
        Ok(())
    })
}

fn compute_losses_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (g, x, lengths, blank) = (c.x(0), c.x(1), [c.x(3), c.x(4)], c.int(0) as usize);
    let sizes = check(x, c.x(2), lengths, c.int(0))?;
    let [_, batch, classes] = sizes;
    let (targets, long) = batch_of(c.x(2), lengths, sizes)?;
    let ready = contiguous_unlocked(x, x.dtype().compute_dtype(), false)?;
    let g = contiguous_unlocked(g, ready.dtype(), false)?;
    let (mut rows, starts) = room(&targets, |n| long[n] + 2)?;
    written_as(&outs[0], ready.dtype(), |out| {
        fill_new(out, Scalar::Int(0));
        let memory = Shared(rows.as_mut_ptr());
        float!(x.dtype(), T => {
            let (from, to, g) = (Shared(ready.ptr::<T>()), Shared(out.ptr::<T>()), Shared(g.ptr::<T>()));
            parallel_for(batch, GRAIN.div_ceil(2 * classes + rows.len() / batch), &|r| for n in r {
                let sample = Sample {
                    log_probs: from.get().add(n * classes) as *const T,
                    step: batch * classes,
                    times: long[n],
                    labels: targets.of(n),
                    blank,
                };
                // The part that belongs to this sample alone.
                let rows = std::slice::from_raw_parts_mut(memory.get().add(starts[n]), starts[n + 1] - starts[n]);
                sample.gradient(classes, (*g.get().add(n)).as_f64(), c.bool(1), rows, to.get().add(n * classes));
            })
        });
        Ok(())
    })
}

/// Width of the states of the longest target that there may be.
fn most_states(targets: &Tensor) -> Result<usize> {
    let labels = targets.shape().last().copied().unwrap_or(0);
    labels.checked_mul(2).and_then(|n| n.checked_add(1)).ok_or_else(|| missing(usize::MAX))
}

fn infer_states(c: &Call) -> Result<Specs> {
    let batch = c.x(1).numel();
    check_targets(c.x(0), batch)?;
    check_lengths(c.x(1), "target_lengths", batch)?;
    let shape = [batch, most_states(c.x(0))?];
    Ok(Specs::from_iter([Spec::rows(&shape, DType::I64)?, Spec::rows(&shape, DType::Bool)?]))
}

fn compute_states(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (targets, blank) = (Targets::new(c.x(0), c.x(1), None)?, c.int(0));
    let (batch, states) = (outs[0].shape()[0], outs[0].shape()[1]);
    // SAFETY: new row-major tensors of `batch * states` elements.
    let (path, skips) = unsafe {
        let n = batch * states;
        (std::slice::from_raw_parts_mut(outs[0].ptr::<i64>(), n), std::slice::from_raw_parts_mut(outs[1].ptr::<bool>(), n))
    };
    path.fill(blank);
    skips.fill(false);
    for n in 0..batch {
        let at = n * states;
        for (i, &label) in targets.of(n).iter().enumerate() {
            path[at + 2 * i + 1] = label;
            skips[at + 2 * i + 1] = i > 0 && label != blank && label != targets.of(n)[i - 1];
        }
    }
    Ok(())
}

/// In place of the logarithm of 0, whose differences would be NaN.
const TINY: f64 = -1e30;

/// The gradient of the losses in terms of other ops, for its own gradients: of `g` [N] and `x` [T, N, C].
fn composed(g: &Tensor, x: &Tensor, targets: &Tensor, [inputs, sizes]: [&Tensor; 2], blank: i64, zero: bool) -> Result<Tensor> {
    let number = |v: f64| Tensor::number(Scalar::Float(v));
    let whole = |v: i64| Tensor::number(Scalar::Int(v));
    let (times, batch) = (x.shape()[0] as i64, x.shape()[1] as i64);
    let states = Tensor::ctc_states(targets, sizes, blank)?;
    let (path, skips) = (&states[0], &states[1]);
    let count = path.shape()[1] as i64;
    let place = path.unsqueeze(0)?.expand(&[times, batch, count])?;
    let emitted = x.gather(2, &place, false)?.clamp_min(TINY)?.unbind(0)?;
    let only = |mask: &Tensor, t: &Tensor| Tensor::where_(mask, t, &number(TINY)?);
    let flat = |t: &Tensor| t.to_dtype(DType::I64)?.reshape(&[batch, 1]);
    let (inputs, sizes) = (flat(inputs)?, flat(sizes)?);
    let at = Tensor::arange(0i64, count, 1i64, Some(DType::I64))?;
    let zeros = emitted[0].zeros_like(None)?;
    // Moved by `k` states, towards the end or from there.
    let ahead = |t: &Tensor, k: i64| t.pad(&[k, 0], "constant", Some(TINY))?.narrow(1, 0, count);
    let back = |t: &Tensor, k: i64| t.pad(&[0, k], "constant", Some(TINY))?.narrow(1, k, count);
    let skips_on = skips.pad(&[0, 2], "constant", Some(0.0))?.narrow(1, 2, count)?;
    let add = |terms: &[Tensor]| Tensor::stack(terms, 0)?.logsumexp(&[0], false);
    let mut alphas: List<Tensor> = List::new();
    alphas.push((&only(&at.lt(&whole(2)?)?, &zeros)? + &emitted[0])?)?;
    for t in 1..times as usize {
        let last = &alphas[t - 1];
        let new = add(&[last.clone(), ahead(last, 1)?, only(skips, &ahead(last, 2)?)?])?;
        alphas.push(Tensor::where_(&inputs.gt(&whole(t as i64)?)?, &(&new + &emitted[t])?, last)?)?;
    }
    let ends = at.ge(&sizes.mul(&whole(2)?)?.sub(&whole(1)?, 1)?)?.logical_and(&at.le(&sizes.mul(&whole(2)?)?)?)?;
    let end = only(&ends, &zeros)?;
    let mut betas: List<Tensor> = List::new();
    betas.push(end.clone())?;
    for t in (0..times as usize - 1).rev() {
        let after = (&betas[betas.len() - 1] + &emitted[t + 1])?;
        let new = add(&[after.clone(), back(&after, 1)?, only(&skips_on, &back(&after, 2)?)?])?;
        betas.push(Tensor::where_(&inputs.gt(&whole(t as i64 + 1)?)?, &new, &end)?)?;
    }
    let all = (&alphas[times as usize - 1] + &end)?.logsumexp(&[1], true)?;
    let shares = List::try_collect((0..times as usize).map(|t| {
        let share = (&(&alphas[t] + &betas[times as usize - 1 - t])? - &all)?;
        share.clamp_max(1.0)?.exp()
    }))?;
    let spread = x.zeros_like(None)?.scatter_add(2, &place, &Tensor::stack(&shares, 0)?)?;
    let slope = (&x.exp()? - &spread)?.mul(&g.reshape(&[batch, 1])?)?;
    let here = Tensor::arange(0i64, times, 1i64, Some(DType::I64))?.reshape(&[times, 1, 1])?.lt(&inputs)?;
    let possible = all.gt(&number(TINY / 2.0)?)?;
    let slope = Tensor::where_(&possible, &slope, &number(if zero { 0.0 } else { f64::NAN })?)?;
    Tensor::where_(&here, &slope, &number(0.0)?)
}

fn eval_ctc_loss(c: &Call) -> Result<Outs> {
    let (x, targets, inputs, sizes) = (c.x(0), c.x(1), c.x(2), c.x(3));
    let (blank, word, zero) = (c.int(0), c.str(1), c.bool(2));
    if !["none", "mean", "sum"].contains(&word) {
        bail!(Value, "{word} is not a valid value for reduction; it is 'none', 'mean' or 'sum'");
    }
    if x.ndim() != 2 && x.ndim() != 3 {
        bail!(Shape, "log_probs must have shape [T, N, C] or [T, C], got {:?}", x.shape());
    }
    if !x.dtype().is_float() {
        bail!(DType, "log_probs must have a floating point dtype, got {}", x.dtype());
    }
    one(rounded_once([x], |[x]| {
        let batched = if x.ndim() == 2 { x.unsqueeze(1)? } else { x.clone() };
        let losses = Tensor::ctc_losses(&batched, targets, inputs, sizes, blank, zero)?;
        match word {
            "mean" => {
                let counts = sizes.clamp_min(1)?.to_dtype(losses.dtype())?.reshape(&signed(losses.shape()))?;
                losses.div(&counts, "")?.mean(None, false, None)
            }
            "sum" => losses.sum(None, false, None),
            _ if x.ndim() == 2 => losses.squeeze(Some(&[0])),
            _ => Ok(losses),
        }
    })?)
}

ops! {
    /// Connectionist temporal classification (Graves et al. 2006): the negative log-likelihood of targets under
    /// log-probabilities of classes at each time, summed over all alignments, one class being `blank`. `log_probs` is
    /// `[T, N, C]` or `[T, C]`, `targets` `[N, S]` or all labels in one row, and the lengths say how much of T and S counts.
    /// The mean is that of the losses divided by the target lengths. A target that does not fit into its input costs infinity
    /// (and its gradient is NaN), or nothing with `zero_infinity`. The gradient is that of log-probabilities whose
    /// exponentials add up to 1.
    ctc_loss(
        log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: Int = 0,
        reduction: Str = "mean", zero_infinity: Bool = false
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_ctc_loss),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3, 1, 2), rt.tensor([[1]]), rt.tensor([3]), rt.tensor([1]), 2", message: "blank must be a class" },
        ],
        samples: &[
            "r(4, 2, 3).log_softmax(2), i([[1, 2], [1, 1]]), i([4, 3]), i([2, 1])",
            "r(4, 2, 3).log_softmax(2), i([1, 1, 2]), i([4, 4]), i([2, 1]), 0, 'sum'",
            "r(4, 3).log_softmax(1), i([0, 1]), i(4), i(2), 2, 'none'",
        ],
    }

    /// The losses of `ctc_loss` [N] before they are reduced.
    ctc_losses(
        log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: Int, zero_infinity: Bool
    ) -> Tensor, Special {
        body: Kernel(
            |c| {
                only_floats(c.x(0).dtype())?;
                let [_, batch, _] = check(c.x(0), c.x(1), [c.x(2), c.x(3)], c.int(0))?;
                Spec::rows(&[batch], c.x(0).dtype())?.one()
            },
            compute_losses,
        ),
        vjp: vjp!(|v| [
            v.g().with(v.x(0), |g, x| {
                let (t, n, s) = (v.x(1).tensor()?, v.x(2).tensor()?, v.x(3).tensor()?);
                Tensor::ctc_losses_backward(g, x, &t, &n, &s, v.int(0), v.bool(1))
            }),
            Ex::None,
            Ex::None,
            Ex::None,
        ]),
        saves: Saves::INPUTS, method: false, function: false,
        samples: &[
            "r(4, 2, 3).log_softmax(2), i([[1, 2], [1, 1]]), i([4, 3]), i([2, 1]), 0, False",
            "r(5, 2, 3).log_softmax(2), i([0, 0]), i([5, 1]), i([2, 0]), 1, True",
        ],
    }

    /// Gradient of `ctc_losses` with respect to the log-probabilities.
    ctc_losses_backward(
        grad: Tensor, log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: Int,
        zero_infinity: Bool
    ) -> Tensor, Special {
        body: Kernel(
            |c| {
                let (g, x) = (c.x(0), c.x(1));
                only_floats(x.dtype())?;
                let [_, batch, _] = check(x, c.x(2), [c.x(3), c.x(4)], c.int(0))?;
                if g.shape() != [batch] {
                    let message = format!("expected a gradient of shape [{batch}], got {:?}", g.shape());
                    return Err(Error::shapes("", message, g.shape(), &[batch]));
                }
                only_floats(g.dtype())?;
                Spec::rows(x.shape(), x.dtype())?.one()
            },
            compute_losses_backward,
        ),
        vjp: vjp!(|v| through(v, |x| {
            let t = |i: usize| x[i].clone().tensor();
            let slope = || {
                let (targets, lengths) = (t(2)?, [&t(3)?, &t(4)?]);
                rounded_once([&t(0)?, &t(1)?], |[g, x]| composed(g, x, &targets, lengths, v.int(0), v.bool(1)))
            };
            SmallVec::from_iter([Ex::from(slope())])
        })),
        saves: Saves::INPUTS, method: false, function: false,
        samples: &[
            "r(2), r(4, 2, 3).log_softmax(2), i([[1, 2], [1, 1]]), i([4, 3]), i([2, 1]), 0, False",
            "r(2), r(5, 2, 3), i([0, 0]), i([5, 1]), i([2, 0]), 1, True",
        ],
    }

    /// The states of targets as `ctc_loss` takes them, padded to the longest that there may be: each label between blanks,
    /// `[N, 2 S + 1]`, and whether a state may follow the last but one.
    ctc_states(targets: Tensor, target_lengths: Tensor, blank: Int) -> Pair, Special {
        body: Kernel(infer_states, compute_states),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2), rt.tensor([1, 1]), 0", message: "targets must be whole numbers" }],
    }
}
