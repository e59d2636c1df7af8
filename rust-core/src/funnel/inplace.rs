//! In-place twins.

use super::call::{call1, check_dtypes, check_numbers, check_present, locks, on_meta};
use super::listener;
use crate::device::{Device, On};
use crate::engine::copy::copy_into;
use crate::engine::overlap::{check_writable, meet};
use crate::error::Result;
use crate::parallel::Hold;
use crate::table::{one, Attr, Body, Call, OpDef, Outs, Overlap, Relayout};
use crate::tensor::Tensor;
use crate::{autograd, bail, err, memory};
use smallvec::SmallVec;

/// Refuses in-place calls whose result depends on the order in which elements are read and written.
#[inline]
fn check_overlap(op: &'static OpDef, target: &Tensor, inputs: &[Option<&Tensor>]) -> Result<()> {
    if op.overlap != Overlap::Uniform {
        check_writable(target)?;
    }
    if op.overlap == Overlap::Aside {
        return Ok(());
    }
    for t in inputs.iter().skip(1).flatten().filter(|t| t.shares_memory(target)) {
        let full = t.layout() == target.layout() && t.dtype() == target.dtype() && t.base_ptr() == target.base_ptr();
        let moves = op.overlap == Overlap::Moves;
        // Where elements of both are mingled in space, the op takes a copy first.
        let blocks = || t.layout().is_dense() && target.layout().is_dense();
        if (!full || moves) && blocks() && meet(t, target) {
            bail!(
                Value,
                "unsupported operation: some elements of the input tensor (shape {:?}) and the written-to tensor (shape {:?}) \
                 refer to a single memory location; clone() one of them first",
                t.shape(),
                target.shape()
            );
        }
    }
    Ok(())
}

/// Calls the in-place twin of an op: the result goes into the first input, which is returned. Of a twin that changes a layout
/// (`relayout`), the handle that is returned is what the first input becomes.
pub fn call_inplace(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Tensor> {
    check_present(op, inputs).map_err(|e| e.in_op(op.name))?;
    if let Some(how) = op.relayout {
        return relayout(op, how, inputs, attrs);
    }
    let Some(Some(target)) = inputs.first().copied() else {
        return Err(err!(Unsupported, "{} has no in-place form", op.name).in_op(op.name));
    };
    let run = || {
        memory::check()?;
        if !op.inplace {
            bail!(Unsupported, "{} has no in-place form", op.name);
        }
        if let Body::Composite(expand) = op.body {
            let parts = || assigned(op, expand, target, inputs, attrs);
            if listener::active() {
                return listener::in_parts(op, true, inputs, attrs, parts).map(|_| ());
            }
            return parts().map(|_| ());
        }
        check_overlap(op, target, inputs)?;
        let prepared = autograd::before_inplace(op, target, inputs, attrs)?;
        // What is written to a meta tensor is lost, wherever it comes from.
        let meta = target.is_meta() || on_meta(op, inputs)?;
        if meta && !target.is_meta() {
            bail!(Unsupported, "a tensor cannot take the elements of a meta tensor, which has none");
        }
        let _on = On::enter(target.device());
        let _quiet = listener::active().then(listener::Quiet::enter);
        let c = Call { op, inputs, attrs, meta };
        let _hold = Hold::new();
        let locked = || locks(inputs, Some(target), |_| false, meta);
        match op.body {
            Body::Elementwise(plan) => {
                check_numbers(op, attrs)?;
                let _locks = locked()?;
                let plan = plan(&c)?;
                plan.shape(|shape| c.check_out(target, shape, plan.dtype()))?;
                if !meta {
                    plan.compute(target)?;
                }
            }
            Body::Kernel(infer, compute) => {
                check_dtypes(op, inputs, attrs)?;
                for spec in infer(&c)? {
                    c.check_out(target, spec.layout.shape(), spec.dtype)?;
                    if meta {
                        continue;
                    }
                    let _locks = locked()?;
                    if op.direct && spec.dtype == target.dtype() {
                        compute(&c, std::slice::from_ref(target))?;
                    } else {
                        let aside = spec.tensor()?;
                        compute(&c, std::slice::from_ref(&aside))?;
                        copy_into(target, &aside)?;
                    }
                }
            }
            Body::Dynamic(..) | Body::View(_) | Body::Composite(_) => {
                unreachable!("{} has no in-place form", op.name)
            }
        }
        target.changed();
        if let Some(node) = prepared {
            autograd::rebase(target, node)?;
        }
        Ok(())
    };
    run().map_err(|e| e.in_op(op.name))?;
    if listener::active() && !op.is_composite() {
        listener::called(op, true, inputs, attrs, std::slice::from_ref(target));
    }
    Ok(target.clone())
}

/// What the first input becomes.
#[cold]
fn relayout(op: &'static OpDef, how: Relayout, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Tensor> {
    let change = || {
        memory::check()?;
        let Some(Some(target)) = inputs.first().copied() else { unreachable!("it was looked for") };
        autograd::may_change(target)?;
        let needs = target.requires_grad();
        let on_it = |t: &Tensor| {
            let mut all: SmallVec<[Option<&Tensor>; 4]> = memory::room(inputs.len())?;
            all.extend(inputs.iter().copied());
            all[0] = Some(t);
            call1(op, &all, attrs)
        };
        match how {
            Relayout::Data if needs => bail!(Autograd, "a tensor that requires grad cannot get other elements"),
            Relayout::View if needs && (autograd::recording() || !target.is_leaf()) => {
                if target.is_leaf() {
                    bail!(Autograd, "a leaf tensor that requires grad cannot be changed in place (outside of no_grad)");
                }
                // Recorded in any case: the history has to know the shape.
                let _on = autograd::InferenceMode::set(false);
                let t = on_it(target)?;
                if target.retains_grad() {
                    t.retain_grad()?;
                }
                Ok(t)
            }
            Relayout::View if target.is_view() && !needs => on_it(target),
            _ => target.replaced_by(&on_it(&target.alias())?.alias()),
        }
    };
    let result = {
        let _quiet = listener::active().then(listener::Quiet::enter);
        change()
    };
    let t = result.map_err(|mut e| {
        e.set_op(op.name);
        e
    })?;
    if listener::active() {
        listener::called(op, true, inputs, attrs, std::slice::from_ref(&t));
    }
    Ok(t)
}

/// The in-place twin of a composite: its parts, which record themselves, and an assignment.
fn assigned(
    op: &'static OpDef,
    expand: fn(&Call) -> Result<Outs>,
    target: &Tensor,
    inputs: &[Option<&Tensor>],
    attrs: &[Attr],
) -> Result<Outs> {
    let meta = on_meta(op, inputs)?;
    let result = {
        let _on = On::enter(if meta { Device::Meta } else { Device::Cpu });
        let outs = expand(&Call { op, inputs, attrs, meta });
        outs.map_err(|mut e| {
            e.set_op(op.name);
            e
        })?
    };
    let Some(result) = result.first() else { bail!(Panic, "{} gave no result", op.name) };
    one(target.copy_(result)?)
}
