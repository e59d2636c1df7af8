//! Results that go into tensors which are there already (`out=`).

use super::call::{call, check_dtypes, check_numbers, check_present, on_meta};
use super::listener;
use crate::device::{Device, On};
use crate::engine::copy::copy_into;
use crate::engine::overlap::{check_writable, meet};
use crate::error::Result;
use crate::parallel::Hold;
use crate::storage::Locks;
use crate::table::{Attr, Body, Call, OpDef, Outs};
use crate::tensor::Tensor;
use crate::{autograd, bail, memory};

/// Calls an op and puts its results into `outs`, which have their shapes. A kernel that writes results of the dtype and strides
/// of an `out` that shares no memory with the inputs writes straight into it; else the result is copied there.
pub fn call_into(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr], outs: &[&Tensor]) -> Result<()> {
    into(op, inputs, attrs, outs).map_err(|mut e| {
        if e.op().is_empty() {
            e.set_op(op.name);
        }
        e
    })
}

fn into(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr], outs: &[&Tensor]) -> Result<()> {
    memory::check()?;
    check_present(op, inputs)?;
    for (k, out) in outs.iter().enumerate() {
        autograd::may_change(out)?;
        check_writable(out)?;
        if outs[..k].iter().any(|o| meet(o, out)) {
            bail!(Value, "two results cannot be put into one place in memory");
        }
        if autograd::recording() && out.requires_grad() {
            bail!(Autograd, "functions with out=... arguments don't support automatic differentiation");
        }
    }
    let own = matches!(op.body, Body::Kernel(..) | Body::Elementwise(_)) && !op.signature.writes();
    if own && op.signature.collected.is_none() && !(op.vjp.is_some() && autograd::wanted(inputs)) {
        return computed_into(op, inputs, attrs, outs);
    }
    let results = call(op, inputs, attrs)?;
    if results.iter().any(|t| t.requires_grad() && autograd::recording()) {
        bail!(Autograd, "functions with out=... arguments don't support automatic differentiation");
    }
    let c = Call { op, inputs, attrs, meta: false };
    want_outs(outs, results.len())?;
    for (out, t) in outs.iter().zip(&results) {
        c.check_out(out, t.shape(), t.dtype())?;
    }
    for (out, t) in outs.iter().zip(&results) {
        out.copy_(t)?;
    }
    Ok(())
}

fn want_outs(outs: &[&Tensor], n: usize) -> Result<()> {
    if outs.len() != n {
        bail!(Value, "it has {n} results, {} tensors are given for them", outs.len());
    }
    Ok(())
}

/// The results of a kernel or an elementwise op, in `outs`.
fn computed_into(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr], outs: &[&Tensor]) -> Result<()> {
    let meta = on_meta(op, inputs)?;
    if outs.iter().any(|t| t.is_meta() != meta) {
        bail!(Unsupported, "inputs and the tensors for the results must be on one device");
    }
    let _on = On::enter(if meta { Device::Meta } else { Device::Cpu });
    let _quiet = listener::active().then(listener::Quiet::enter);
    let c = Call { op, inputs, attrs, meta };
    let lock = || {
        let here = |t: &&Tensor| !(meta && t.is_meta());
        let read = inputs.iter().flatten().copied().filter(here).map(|t| (&*t.0.storage, false));
        Locks::take(outs.iter().copied().filter(here).map(|t| (&*t.0.storage, true)).chain(read))
    };
    let apart = |out: &Tensor| !inputs.iter().flatten().any(|t| meet(t, out));
    let _hold = Hold::new();
    match op.body {
        Body::Elementwise(plan) => {
            check_numbers(op, attrs)?;
            let _locks = lock()?;
            let plan = plan(&c)?;
            want_outs(outs, 1)?;
            plan.shape(|shape| c.check_out(outs[0], shape, plan.dtype()))?;
            if !meta && apart(outs[0]) {
                plan.compute(outs[0])?;
            } else if !meta {
                let aside = plan.spec()?.tensor()?;
                plan.compute(&aside)?;
                copy_into(outs[0], &aside)?;
            }
        }
        Body::Kernel(infer, compute) => {
            check_dtypes(op, inputs, attrs)?;
            let specs = infer(&c)?;
            want_outs(outs, specs.len())?;
            for (out, spec) in outs.iter().zip(&specs) {
                c.check_out(out, spec.layout.shape(), spec.dtype)?;
            }
            if !meta {
                let mut targets: Outs = memory::room(specs.len())?;
                for (&out, spec) in outs.iter().zip(specs) {
                    let fits = out.dtype() == spec.dtype && out.strides() == spec.layout.strides() && apart(out);
                    targets.push(if fits { out.clone() } else { spec.tensor()? });
                }
                let _locks = lock()?;
                compute(&c, &targets)?;
                for (out, t) in outs.iter().zip(&targets).filter(|(out, t)| !t.is_same(out)) {
                    copy_into(out, t)?;
                }
            }
        }
        _ => unreachable!("{} makes its results itself", op.name),
    }
    for out in outs {
        out.changed();
    }
    drop(_quiet);
    if listener::active() {
        let results: Outs = outs.iter().map(|t| (*t).clone()).collect();
        listener::called(op, false, inputs, attrs, &results);
    }
    Ok(())
}
