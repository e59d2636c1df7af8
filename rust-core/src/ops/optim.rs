//! Optimizer steps: one call changes all parameters of a group and their states in place.

use super::{Call, OpDef, Outs};
use crate::bail;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::copy;
use crate::kernels::optim::{self, Adagrad, Adam, RmsProp, Sgd, Step};
use crate::memory::room;
use crate::shape::Layout;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// The tensors of parameter `i` among lists of length `n`: itself, its gradient, its states.
fn of_parameter<'a>(c: &Call<'a>, lists: usize, i: usize) -> [Option<&'a Tensor>; 5] {
    let n = c.inputs.len() / lists;
    std::array::from_fn(|k| if k < lists { c.opt(i + k * n) } else { None })
}

/// Applies a step to each parameter. The inputs are `lists` lists of one length: parameters, gradients, states. All that can
/// fail comes before the first change.
fn apply(c: &Call, lists: usize, s: &dyn Step) -> Result<Outs> {
    let n = c.inputs.len() / lists;
    let mut room = 0;
    for i in 0..n {
        let (tensors, p) = (of_parameter(c, lists, i), c.x(i));
        for t in tensors.iter().flatten() {
            if t.shape() != p.shape() {
                let message =
                    format!("parameter {i} has shape {:?}, but its gradient or state {:?}", p.shape(), t.shape());
                return Err(Error::shapes("", message, p.shape(), t.shape()));
            }
            if !t.dtype().is_float() {
                bail!(DType, "parameters, gradients and states must be floating point, got {}", t.dtype());
            }
        }
        let alike = lie_alike(&tensors, p);
        // Dense tensors in storages of their own meet nowhere.
        if !alike || !apart(&tensors) {
            check_overlap(i, &tensors)?;
        }
        if !alike {
            room = room.max(p.numel() * p.dtype().compute_dtype().size());
        }
    }
    if c.meta {
        return Ok(Outs::new());
    }
    let mut scratch: [Option<Tensor>; 5] = Default::default();
    for block in scratch.iter_mut().take(if room > 0 { lists } else { 0 }) {
        *block = Some(Tensor::empty_of(&[room], DType::U8)?);
    }
    for i in 0..n {
        let tensors = of_parameter(c, lists, i);
        let alike = room == 0 || lie_alike(&tensors, c.x(i));
        step_one(&tensors, c.x(i), alike, s, &scratch)?;
    }
    Ok(Outs::new())
}

/// True if no two of the tensors share a storage.
fn apart(tensors: &[Option<&Tensor>; 5]) -> bool {
    let all = || tensors.iter().flatten();
    all().enumerate().all(|(k, t)| all().skip(k + 1).all(|o| !t.shares_storage(o)))
}

/// A parameter and its states are written: no two elements of them may lie at one place.
fn check_overlap(i: usize, tensors: &[Option<&Tensor>; 5]) -> Result<()> {
    const GRADIENT: usize = 1;
    for (k, t) in tensors.iter().enumerate().filter(|e| e.0 != GRADIENT) {
        let Some(t) = t else { continue };
        super::check_writable(t)?;
        let mut others = tensors.iter().enumerate().filter(|o| o.0 > k || o.0 == GRADIENT).filter_map(|o| *o.1);
        if others.any(|o| !std::ptr::eq(o, *t) && super::meet(t, o)) {
            bail!(
                Value,
                "unsupported operation: some elements of parameter {i}, its gradient and its states refer to a single \
                 memory location; clone() them first"
            );
        }
    }
    Ok(())
}

/// The gradients of a step, by their place among its inputs.
pub(super) fn gradients(op: &OpDef, inputs: &[Option<&Tensor>]) -> std::ops::Range<usize> {
    let n = inputs.len() / op.tensor_args().count();
    n..2 * n
}

/// True if some gradient of a step is not given.
pub(super) fn lacks_gradients(op: &OpDef, inputs: &[Option<&Tensor>]) -> bool {
    inputs[gradients(op, inputs)].iter().any(|g| g.is_none())
}

/// Puts the gradients that backward has collected where none are given; parameters that have none are left out.
pub(super) fn with_own_gradients(
    op: &OpDef,
    inputs: &[Option<&Tensor>],
    step: impl FnOnce(&[Option<&Tensor>]) -> Result<Outs>,
) -> Result<Outs> {
    let grads = gradients(op, inputs);
    let n = grads.len();
    let mut own: SmallVec<[Option<Tensor>; 16]> = room(n)?;
    own.extend(grads.map(|i| inputs[i].or(inputs[i - n]?.grad().as_ref()).cloned()));
    let mut filled: SmallVec<[Option<&Tensor>; 32]> = room(inputs.len())?;
    for (i, t) in inputs.iter().enumerate() {
        if let Some(g) = &own[i % n] {
            filled.push(if i / n == 1 { Some(g) } else { *t });
        }
    }
    if filled.is_empty() {
        return Ok(Outs::new());
    }
    step(&filled)
}

/// True if all tensors of a parameter can be walked as one line in the compute type.
fn lie_alike(tensors: &[Option<&Tensor>; 5], p: &Tensor) -> bool {
    let compute = p.dtype().compute_dtype();
    let alike = |t: &Tensor| t.dtype() == compute && t.strides() == p.strides();
    tensors.iter().flatten().all(|t| alike(t)) && (p.is_contiguous() || p.layout().is_dense())
}

/// The step of one parameter. `scratch` has room for row-major copies where its tensors do not lie alike.
fn step_one(
    tensors: &[Option<&Tensor>; 5],
    p: &Tensor,
    alike: bool,
    s: &dyn Step,
    scratch: &[Option<Tensor>; 5],
) -> Result<()> {
    let compute = p.dtype().compute_dtype();
    let mut at = [std::ptr::null_mut(); 5];
    for (k, t) in tensors.iter().enumerate() {
        at[k] = match (t, &scratch[k]) {
            (Some(t), Some(block)) if !alike => {
                // SAFETY: the block holds as many elements of the compute type.
                unsafe { copy::to_contiguous(t.base_ptr(), t.dtype(), t.layout(), block.data_ptr(), compute) };
                block.data_ptr()
            }
            (t, _) => t.map_or(std::ptr::null_mut(), |t| t.data_ptr()),
        };
    }
    // SAFETY: dense blocks of `numel` elements of the compute type, in one order.
    unsafe { optim::run(s, compute == DType::F64, at, p.numel()) };
    if alike {
        return Ok(());
    }
    let rows = Layout::contiguous(p.shape())?;
    for (k, t) in tensors.iter().enumerate().filter(|(k, _)| *k != 1) {
        if let Some(t) = t {
            // SAFETY: the block holds the new elements in row-major order.
            unsafe { copy::strided(at[k], compute, &rows, t.base_ptr(), t.dtype(), t.layout()) };
        }
    }
    Ok(())
}

/// All tensors of list `k` must be there.
fn want(c: &Call, lists: usize, k: usize, why: &str) -> Result<()> {
    let n = c.inputs.len() / lists;
    if c.inputs[k * n..(k + 1) * n].iter().any(|t| t.is_none()) {
        let name = c.op.tensor_args().nth(k).map_or("", |a| a.name);
        bail!(Value, "{why} wants a tensor for each parameter in {name}");
    }
    Ok(())
}

ops! {
    /// One step of stochastic gradient descent. With `momentum`, `buffer = momentum * buffer + (1 - dampening) * grad`
    /// (`first`: `buffer = grad`) takes the gradient's place, or with `nesterov` `grad + momentum * buffer`; then
    /// `param -= lr * grad`. Where an optimizer step is given no gradient, it takes the one that backward has collected,
    /// and leaves out parameters that have none.
    sgd_step(
        params: Tensors, grads: OptTensors, momentum_buffers: OptTensors, lr: Float, momentum: Float = 0.0, dampening: Float = 0.0,
        weight_decay: Float = 0.0, nesterov: Bool = false, maximize: Bool = false, first: Bool = false
    ) -> Nothing, Special {
        body: Mutates(|c| {
            if c.float(1) != 0.0 {
                want(c, 3, 2, "momentum")?;
            }
            apply(c, 3, &Sgd {
                lr: c.float(0), momentum: c.float(1), dampening: c.float(2), weight_decay: c.float(3),
                nesterov: c.bool(4), maximize: c.bool(5), first: c.bool(6),
            })
        }),
        method: false, function: false,
    }

    /// One step of Adam; `step` counts from 1, `decoupled` makes it AdamW, tensors in `max_exp_avg_sqs` AMSGrad.
    adam_step(
        params: Tensors, grads: OptTensors, exp_avgs: Tensors, exp_avg_sqs: Tensors, max_exp_avg_sqs: OptTensors, lr: Float,
        beta1: Float = 0.9, beta2: Float = 0.999, eps: Float = 1e-8, weight_decay: Float = 0.0, step: Float = 1.0,
        amsgrad: Bool = false, maximize: Bool = false, decoupled: Bool = false
    ) -> Nothing, Special {
        body: Mutates(|c| {
            let n = c.inputs.len() / 5;
            let s = Adam {
                lr: c.float(0), beta1: c.float(1), beta2: c.float(2), eps: c.float(3), weight_decay: c.float(4),
                step: c.float(5), amsgrad: c.bool(6), maximize: c.bool(7), decoupled: c.bool(8),
            };
            if c.bool(6) {
                want(c, 5, 4, "amsgrad")?;
                apply(c, 5, &s)
            } else {
                apply(&Call { inputs: &c.inputs[..4 * n], ..*c }, 4, &s)
            }
        }),
        method: false, function: false,
    }

    /// One step of RMSprop; tensors in `grad_avgs` are used if `centered`, those in `momentum_buffers` if `momentum` is
    /// not 0.
    rmsprop_step(
        params: Tensors, grads: OptTensors, square_avgs: Tensors, grad_avgs: OptTensors, momentum_buffers: OptTensors, lr: Float,
        alpha: Float = 0.99, eps: Float = 1e-8, weight_decay: Float = 0.0, momentum: Float = 0.0, centered: Bool = false,
        maximize: Bool = false
    ) -> Nothing, Special {
        body: Mutates(|c| {
            let (n, momentum, centered) = (c.inputs.len() / 5, c.float(4), c.bool(5));
            let mut inputs: SmallVec<[Option<&Tensor>; 20]> = room(c.inputs.len())?;
            inputs.extend(c.inputs.iter().copied());
            if centered {
                want(c, 5, 3, "centered")?;
            } else {
                inputs[3 * n..4 * n].fill(None);
            }
            if momentum > 0.0 {
                want(c, 5, 4, "momentum")?;
            } else {
                inputs[4 * n..].fill(None);
            }
            apply(&Call { inputs: &inputs, ..*c }, 5, &RmsProp {
                lr: c.float(0), alpha: c.float(1), eps: c.float(2), weight_decay: c.float(3), momentum, maximize: c.bool(6),
            })
        }),
        method: false, function: false,
    }

    /// One step of Adagrad; `step` counts from 1.
    adagrad_step(
        params: Tensors, grads: OptTensors, state_sums: Tensors, lr: Float, lr_decay: Float = 0.0, weight_decay: Float = 0.0,
        eps: Float = 1e-10, step: Float = 1.0, maximize: Bool = false
    ) -> Nothing, Special {
        body: Mutates(|c| apply(c, 3, &Adagrad {
            lr: c.float(0) / (1.0 + (c.float(4) - 1.0) * c.float(1)), weight_decay: c.float(2), eps: c.float(3),
            maximize: c.bool(5),
        })),
        method: false, function: false,
    }
}
