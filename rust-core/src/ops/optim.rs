//! Optimizer steps: one call changes all parameters of a group and their states in place.

use super::shape::{contiguous_unlocked, copy_into};
use super::{Call, Class, OpDef, Outs};
use crate::bail;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::optim::{self, Adagrad, Adam, RmsProp, Sgd, Step};
use crate::memory::List;
use crate::tensor::Tensor;

/// A parameter with its gradient and states, and row-major copies of them in the compute type where they do not lie alike
/// in dense blocks of that type.
struct Group<'a> {
    tensors: [Option<&'a Tensor>; 5],
    copies: Option<[Option<Tensor>; 5]>,
}

/// Applies a step to each parameter. The inputs are `lists` lists of one length: parameters, gradients, states.
fn apply(c: &Call, lists: usize, s: &dyn Step) -> Result<Outs> {
    let n = c.inputs.len() / lists;
    let mut groups = List::with_room(n)?;
    for i in 0..n {
        let mut tensors: [Option<&Tensor>; 5] = [None; 5];
        for (k, slot) in tensors.iter_mut().enumerate().take(lists) {
            *slot = c.opt(i + k * n);
        }
        let p = c.x(i);
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
        groups.push(Group::new(tensors, p)?)?;
    }
    // From here on nothing fails: a step is taken by all parameters or by none.
    groups.iter().try_for_each(|g| g.step(s))?;
    Ok(Outs::new())
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
    let (grads, n) = (gradients(op, inputs), gradients(op, inputs).start);
    let own = List::collect(grads.map(|i| inputs[i].or(inputs[i - n]?.grad().as_ref()).cloned()))?;
    let mut filled = List::with_room(inputs.len())?;
    for (i, t) in inputs.iter().enumerate() {
        if let Some(g) = &own[i % n] {
            filled.push(if i / n == 1 { Some(g) } else { *t })?;
        }
    }
    if filled.is_empty() {
        return Ok(Outs::new());
    }
    step(&filled)
}

impl<'a> Group<'a> {
    fn new(tensors: [Option<&'a Tensor>; 5], p: &Tensor) -> Result<Self> {
        let compute = p.dtype().compute_dtype();
        let alike = |t: &Tensor| t.dtype() == compute && t.strides() == p.strides();
        if tensors.iter().flatten().all(|t| alike(t)) && (p.is_contiguous() || p.layout().is_dense()) {
            return Ok(Group { tensors, copies: None });
        }
        let mut copies: [Option<Tensor>; 5] = Default::default();
        for (copy, t) in copies.iter_mut().zip(tensors) {
            *copy = t.map(|t| contiguous_unlocked(t, compute, false)).transpose()?;
        }
        Ok(Group { tensors, copies: Some(copies) })
    }

    fn step(&self, s: &dyn Step) -> Result<()> {
        let Some(p) = self.tensors[0] else { return Ok(()) };
        let at = std::array::from_fn(|k| {
            let own = self.copies.as_ref().map_or(self.tensors[k], |c| c[k].as_ref());
            own.map_or(std::ptr::null_mut(), |t| t.data_ptr())
        });
        // SAFETY: all lie alike in dense blocks of `numel` elements of the compute type.
        unsafe { optim::run(s, p.dtype().compute_dtype() == DType::F64, at, p.numel()) };
        for (k, copy) in self.copies.iter().flatten().enumerate() {
            if let (Some(copy), Some(t), true) = (copy, self.tensors[k], k != 1) {
                if !copy.is_same(t) {
                    copy_into(t, copy)?;
                }
            }
        }
        Ok(())
    }
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
        eval: |c| {
            if c.float(1) != 0.0 {
                want(c, 3, 2, "momentum")?;
            }
            apply(c, 3, &Sgd {
                lr: c.float(0), momentum: c.float(1), dampening: c.float(2), weight_decay: c.float(3),
                nesterov: c.bool(4), maximize: c.bool(5), first: c.bool(6),
            })
        },
        class: Class::Mutates, method: false, function: false,
    }

    /// One step of Adam; `step` counts from 1, `decoupled` makes it AdamW, tensors in `max_exp_avg_sqs` AMSGrad.
    adam_step(
        params: Tensors, grads: OptTensors, exp_avgs: Tensors, exp_avg_sqs: Tensors, max_exp_avg_sqs: OptTensors, lr: Float,
        beta1: Float = 0.9, beta2: Float = 0.999, eps: Float = 1e-8, weight_decay: Float = 0.0, step: Float = 1.0,
        amsgrad: Bool = false, maximize: Bool = false, decoupled: Bool = false
    ) -> Nothing, Special {
        eval: |c| {
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
        },
        class: Class::Mutates, method: false, function: false,
    }

    /// One step of RMSprop; tensors in `grad_avgs` are used if `centered`, those in `momentum_buffers` if `momentum` is
    /// not 0.
    rmsprop_step(
        params: Tensors, grads: OptTensors, square_avgs: Tensors, grad_avgs: OptTensors, momentum_buffers: OptTensors, lr: Float,
        alpha: Float = 0.99, eps: Float = 1e-8, weight_decay: Float = 0.0, momentum: Float = 0.0, centered: Bool = false,
        maximize: Bool = false
    ) -> Nothing, Special {
        eval: |c| {
            let (n, momentum, centered) = (c.inputs.len() / 5, c.float(4), c.bool(5));
            let mut inputs = List::collect(c.inputs.iter().copied())?;
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
        },
        class: Class::Mutates, method: false, function: false,
    }

    /// One step of Adagrad; `step` counts from 1.
    adagrad_step(
        params: Tensors, grads: OptTensors, state_sums: Tensors, lr: Float, lr_decay: Float = 0.0, weight_decay: Float = 0.0,
        eps: Float = 1e-10, step: Float = 1.0, maximize: Bool = false
    ) -> Nothing, Special {
        eval: |c| apply(c, 3, &Adagrad {
            lr: c.float(0) / (1.0 + (c.float(4) - 1.0) * c.float(1)), weight_decay: c.float(2), eps: c.float(3),
            maximize: c.bool(5),
        }),
        class: Class::Mutates, method: false, function: false,
    }
}
