//! Optimizer steps: one call changes all parameters of a group and their states in place.

use crate::bail;
use crate::dtype::DType;
use crate::engine::overlap::{check_writable, meet};
use crate::error::{Error, Result};
use crate::kernels::copy;
use crate::kernels::optim::{Adagrad, Adam, RmsProp, Sgd, Step, self};
use crate::memory::room;
use crate::shape::Layout;
use crate::table::{Call, Specs};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// The tensors of parameter `i` among lists of length `n`: itself, its gradient, its states.
fn of_parameter<'a>(c: &Call<'a>, lists: usize, i: usize) -> [Option<&'a Tensor>; 5] {
    let n = c.inputs.len() / lists;
    std::array::from_fn(|k| if k < lists { c.opt(i + k * n) } else { None })
}

/// Refuses tensors that no step can take. The inputs are `lists` lists of one length: parameters, gradients, states.
fn check(c: &Call, lists: usize) -> Result<Specs> {
    for i in 0..c.inputs.len() / lists {
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
        // Dense tensors in storages of their own meet nowhere.
        if !lie_alike(&tensors, p) || !apart(&tensors) {
            check_overlap(i, &tensors)?;
        }
    }
    Ok(Specs::new())
}

/// Applies a step to each parameter. All that can fail comes before the first change.
fn apply(c: &Call, lists: usize, s: &dyn Step) -> Result<()> {
    let n = c.inputs.len() / lists;
    let of = |i| of_parameter(c, lists, i);
    let apart = (0..n).filter(|&i| !lie_alike(&of(i), c.x(i)));
    let room = apart.map(|i| c.x(i).numel() * c.x(i).dtype().compute_dtype().size()).max().unwrap_or(0);
    let mut scratch: [Option<Tensor>; 5] = Default::default();
    for block in scratch.iter_mut().take(if room > 0 { lists } else { 0 }) {
        *block = Some(Tensor::empty_of(&[room], DType::U8)?);
    }
    for i in 0..n {
        let alike = room == 0 || lie_alike(&of(i), c.x(i));
        step_one(&of(i), c.x(i), alike, s, &scratch)?;
    }
    Ok(())
}

/// True if no two of the tensors share memory.
fn apart(tensors: &[Option<&Tensor>; 5]) -> bool {
    let all = || tensors.iter().flatten();
    all().enumerate().all(|(k, t)| all().skip(k + 1).all(|o| !t.shares_memory(o)))
}

/// A parameter and its states are written: no two elements of them may lie at one place.
fn check_overlap(i: usize, tensors: &[Option<&Tensor>; 5]) -> Result<()> {
    const GRADIENT: usize = 1;
    for (k, t) in tensors.iter().enumerate().filter(|e| e.0 != GRADIENT) {
        let Some(t) = t else { continue };
        check_writable(t)?;
        let mut others = tensors.iter().enumerate().filter(|o| o.0 > k || o.0 == GRADIENT).filter_map(|o| *o.1);
        if others.any(|o| meet(t, o)) {
            bail!(
                Value,
                "unsupported operation: some elements of parameter {i}, its gradient and its states refer to a single \
                 memory location; clone() them first"
            );
        }
    }
    Ok(())
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

impl<'a> Call<'a> {
    /// The call without the lists behind the first ones.
    fn first(&self, lists: usize) -> Call<'a> {
        Call { inputs: &self.inputs[..lists * self.op.signature.length(self.inputs.len())], ..*self }
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

/// As a step that does without the lists of states that its attributes do not ask for.
fn only<R>(c: &Call, used: &[(usize, bool)], f: impl FnOnce(&Call) -> Result<R>) -> Result<R> {
    let mut inputs: SmallVec<[Option<&Tensor>; 20]> = room(c.inputs.len())?;
    inputs.extend(c.inputs.iter().copied());
    for &(list, _) in used.iter().filter(|u| !u.1) {
        inputs[c.op.signature.list(c.inputs.len(), list)].fill(None);
    }
    f(&Call { inputs: &inputs, ..*c })
}

ops! {
    /// One step of stochastic gradient descent. With `momentum`, `buffer = momentum * buffer + (1 - dampening) * grad`
    /// (`first`: `buffer = grad`) takes the gradient's place, or with `nesterov` `grad + momentum * buffer`; then
    /// `param -= lr * grad`. Where an optimizer step is given no gradient, it takes the one that backward has collected,
    /// and leaves out parameters that have none.
    sgd_step(
        params: Muts, grads: Grads, momentum_buffers: OptMuts, lr: Float, momentum: Float = 0.0, dampening: Float = 0.0,
        weight_decay: Float = 0.0, nesterov: Bool = false, maximize: Bool = false, first: Bool = false
    ) -> Nothing, Special {
        body: Kernel(
            |c| {
                if c.float(1) != 0.0 {
                    want(c, 3, 2, "momentum")?;
                }
                check(c, 3)
            },
            |c, _| apply(c, 3, &Sgd {
                lr: c.float(0), momentum: c.float(1), dampening: c.float(2), weight_decay: c.float(3),
                nesterov: c.bool(4), maximize: c.bool(5), first: c.bool(6),
            }),
        ),
        method: false, function: false,
    }

    /// One step of Adam; `step` counts from 1, `decoupled` makes it AdamW, tensors in `max_exp_avg_sqs` AMSGrad.
    adam_step(
        params: Muts, grads: Grads, exp_avgs: Muts, exp_avg_sqs: Muts, max_exp_avg_sqs: OptMuts, lr: Float,
        beta1: Float = 0.9, beta2: Float = 0.999, eps: Float = 1e-8, weight_decay: Float = 0.0, step: Float = 1.0,
        amsgrad: Bool = false, maximize: Bool = false, decoupled: Bool = false
    ) -> Nothing, Special {
        body: Kernel(
            |c| {
                if !c.bool(6) {
                    return check(&c.first(4), 4);
                }
                want(c, 5, 4, "amsgrad")?;
                check(c, 5)
            },
            |c, _| {
                let lists = if c.bool(6) { 5 } else { 4 };
                apply(&c.first(lists), lists, &Adam {
                    lr: c.float(0), beta1: c.float(1), beta2: c.float(2), eps: c.float(3), weight_decay: c.float(4),
                    step: c.float(5), amsgrad: c.bool(6), maximize: c.bool(7), decoupled: c.bool(8),
                })
            },
        ),
        method: false, function: false,
    }

    /// One step of RMSprop; tensors in `grad_avgs` are used if `centered`, those in `momentum_buffers` if `momentum` is
    /// not 0.
    rmsprop_step(
        params: Muts, grads: Grads, square_avgs: Muts, grad_avgs: OptMuts, momentum_buffers: OptMuts, lr: Float,
        alpha: Float = 0.99, eps: Float = 1e-8, weight_decay: Float = 0.0, momentum: Float = 0.0, centered: Bool = false,
        maximize: Bool = false
    ) -> Nothing, Special {
        body: Kernel(
            |c| {
                if c.bool(5) {
                    want(c, 5, 3, "centered")?;
                }
                if c.float(4) > 0.0 {
                    want(c, 5, 4, "momentum")?;
                }
                only(c, &[(3, c.bool(5)), (4, c.float(4) > 0.0)], |c| check(c, 5))
            },
            |c, _| only(c, &[(3, c.bool(5)), (4, c.float(4) > 0.0)], |c| apply(c, 5, &RmsProp {
                lr: c.float(0), alpha: c.float(1), eps: c.float(2), weight_decay: c.float(3), momentum: c.float(4),
                maximize: c.bool(6),
            })),
        ),
        method: false, function: false,
    }

    /// One step of Adagrad; `step` counts from 1.
    adagrad_step(
        params: Muts, grads: Grads, state_sums: Muts, lr: Float, lr_decay: Float = 0.0, weight_decay: Float = 0.0,
        eps: Float = 1e-10, step: Float = 1.0, maximize: Bool = false
    ) -> Nothing, Special {
        body: Kernel(|c| check(c, 3), |c, _| apply(c, 3, &Adagrad {
            lr: c.float(0) / (1.0 + (c.float(4) - 1.0) * c.float(1)), weight_decay: c.float(2), eps: c.float(3),
            maximize: c.bool(5),
        })),
        method: false, function: false,
    }
}
