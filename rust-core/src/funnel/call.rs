//! Every call of an op, from whichever language, passes through [`call`] (or its in-place and `out=` twins), where autograd
//! records and a listener looks on.

use super::{cast, listener};
use crate::device::{self, Device, On};
use crate::dtype::{DType, Scalar};
use crate::engine::overlap::check_writable;
use crate::error::Result;
use crate::parallel::Hold;
use crate::storage::{Locks, Storage};
use crate::table::{one, Attr, Body, Call, Cast, OpDef, Outs, Signature, Spec, Takes};
use crate::tensor::modes::{autocast, Autocast};
use crate::tensor::Tensor;
use crate::{autograd, bail, err, memory};
use smallvec::SmallVec;

#[inline(always)]
pub(crate) fn locks<'a>(
    inputs: &[Option<&'a Tensor>],
    written: Option<&'a Tensor>,
    writes: impl Fn(usize) -> bool,
    meta: bool,
) -> Result<Locks<'a>> {
    // Beside meta tensors, which have nothing to lock, there may be numbers that are looked at.
    let here = |t: &&Tensor| !(meta && t.is_meta());
    let read =
        inputs.iter().enumerate().filter_map(|(i, t)| t.filter(here).map(|t| (&*t.0.storage as &Storage, writes(i))));
    // What is written first: it is the first input too.
    Locks::take(written.filter(here).map(|t| (&*t.0.storage as &Storage, true)).into_iter().chain(read))
}

/// Refuses a call in which a tensor is missing that must be there.
#[inline(always)]
pub(crate) fn check_present(op: &OpDef, inputs: &[Option<&Tensor>]) -> Result<()> {
    for (i, t) in inputs.iter().take(op.signature.singles).enumerate() {
        if t.is_none() && op.signature.requires(i) {
            return missing(op, i, None);
        }
    }
    if op.signature.lists > 0 {
        return check_lists(op, inputs);
    }
    Ok(())
}

fn check_lists(op: &OpDef, inputs: &[Option<&Tensor>]) -> Result<()> {
    for k in 0..op.signature.lists {
        let place = op.signature.singles + k;
        if !op.signature.requires(place) {
            continue;
        }
        if let Some(at) = inputs[op.signature.list(inputs.len(), k)].iter().position(|t| t.is_none()) {
            return missing(op, place, Some(at));
        }
    }
    Ok(())
}

#[cold]
fn missing(op: &OpDef, place: usize, at: Option<usize>) -> Result<()> {
    let name = op.tensor_args().nth(place).map_or("", |a| a.name);
    match at {
        None => bail!(Null, "argument '{name}' is NULL, wanted a tensor"),
        Some(i) => bail!(Null, "argument '{name}' has NULL at place {i}"),
    }
}

/// Calls an op. The inputs must fit its declaration; [`check_arguments`] does for callers by name.
pub fn call(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Outs> {
    if let Err(e) = memory::check() {
        return Err(e.in_op(op.name));
    }
    if let Err(e) = check_present(op, inputs) {
        return Err(e.in_op(op.name));
    }
    if let Some(k) = op.signature.collected {
        if inputs[op.signature.list(inputs.len(), k)].iter().any(|g| g.is_none()) {
            return with_collected(op, k, inputs, attrs);
        }
    }
    if op.cast != Cast::Nothing {
        if let Some(lower) = autocast() {
            return with_cast(op, inputs, attrs, lower);
        }
    }
    let record = !op.is_composite() && op.vjp.is_some() && autograd::wanted(inputs);
    let mut result = run(op, inputs, attrs);
    // The result stays in its place: each move of it costs as much as the addition of two numbers.
    if record {
        if let Err(e) = result.as_mut().map_or(Ok(()), |outs| autograd::record(op, inputs, attrs, outs)) {
            result = Err(e);
        }
    }
    match &mut result {
        Ok(outs) if listener::active() && !op.is_composite() => listener::called(op, false, inputs, attrs, outs),
        Ok(_) => {}
        // What a composite is made of is its own business.
        Err(e) if op.is_composite() || e.op().is_empty() => e.set_op(op.name),
        Err(_) => {}
    }
    result
}

/// Calls an op with its inputs cast as it says, and what it consists of without further casts.
#[cold]
fn with_cast(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr], lower: DType) -> Result<Outs> {
    let _off = Autocast::set(None);
    let own = cast::cast_inputs(op, inputs, lower)?;
    let mut lent: SmallVec<[Option<&Tensor>; 4]> = memory::room(inputs.len())?;
    lent.extend(inputs.iter().zip(&own).map(|(t, own)| own.as_ref().or(*t)));
    call(op, &lent, attrs)
}

/// Calls an op with one result.
#[inline]
pub fn call1(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Tensor> {
    let mut result = call(op, inputs, attrs);
    match &mut result {
        Ok(outs) => outs.pop().ok_or_else(|| err!(Panic, "{} gave no result", op.name)),
        Err(_) => result.map(|_| unreachable!("an error")),
    }
}

/// Refuses complex numbers where an op takes real ones only.
#[inline(always)]
pub(crate) fn check_numbers(op: &OpDef, attrs: &[Attr]) -> Result<()> {
    for (k, a) in attrs.iter().enumerate() {
        if matches!(a, Attr::Scalar(Scalar::Complex(..))) && !op.takes.dtype(DType::C64) {
            let name = op.attr_args().nth(k).map_or("", |a| a.name);
            bail!(DType, "argument '{name}' must be a real number, not a complex one");
        }
    }
    Ok(())
}

/// Refuses dtypes that a kernel does not know.
#[inline(always)]
pub(crate) fn check_dtypes(op: &OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<()> {
    check_numbers(op, attrs)?;
    if op.takes == Takes::ALL {
        return Ok(());
    }
    let named = attrs.iter().filter_map(|a| if let Attr::DType(d) = a { Some(*d) } else { None });
    inputs.iter().flatten().map(|t| t.dtype()).chain(named).try_for_each(|d| op.takes.check(d))
}

/// Puts the gradients that backward has collected where none are given (`grads` is the number of their list); tensors that
/// have none are left out.
fn with_collected(op: &'static OpDef, grads: usize, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Outs> {
    let (n, count) = (op.signature.length(inputs.len()), inputs.len());
    let start = op.signature.list(count, grads).start;
    let mut own: SmallVec<[Option<Tensor>; 16]> = memory::room(n)?;
    for i in 0..n {
        let collected = || inputs[op.signature.singles + i].and_then(|t| t.grad());
        own.push(inputs[start + i].cloned().or_else(collected));
    }
    let mut filled: SmallVec<[Option<&Tensor>; 32]> = memory::room(count)?;
    filled.extend(inputs[..op.signature.singles].iter().copied());
    for (i, t) in inputs.iter().enumerate().skip(op.signature.singles) {
        if let Some(g) = &own[(i - op.signature.singles) % n] {
            filled.push(if (start..start + n).contains(&i) { Some(g) } else { *t });
        }
    }
    if filled.len() == op.signature.singles {
        return Ok(Outs::new());
    }
    call(op, &filled, attrs)
}

/// Runs the body of an op.
#[inline(always)]
fn run(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Outs> {
    let meta = on_meta(op, inputs)?;
    // What the op makes for itself lives there too.
    let _on = On::enter(if meta { Device::Meta } else { Device::Cpu });
    let c = Call { op, inputs, attrs, meta };
    match op.body {
        Body::Elementwise(plan) => {
            check_numbers(op, attrs)?;
            let _locks = locks(inputs, None, |_| false, meta)?;
            let plan = plan(&c)?;
            if meta {
                return one(plan.spec()?.meta()?);
            }
            let out = plan.spec()?.tensor()?;
            plan.compute(&out)?;
            one(out)
        }
        Body::Kernel(infer, compute) => {
            check_dtypes(op, inputs, attrs)?;
            let _quiet = listener::active().then(listener::Quiet::enter);
            let specs = infer(&c)?;
            let mut outs = memory::room(specs.len())?;
            for spec in specs {
                outs.push(if meta { spec.meta()? } else { spec.tensor()? });
            }
            if op.signature.writes() && (op.writes)(attrs) {
                write(&c, compute, &outs)?;
            } else if !meta {
                let _locks = locks(inputs, None, |_| false, false)?;
                compute(&c, &outs)?;
            }
            Ok(outs)
        }
        Body::Dynamic(infer, eval) => {
            check_dtypes(op, inputs, attrs)?;
            if meta {
                let Some(specs) = infer(&c)? else {
                    bail!(Unsupported, "the result depends on the elements of a meta tensor, which has none");
                };
                return specs.into_iter().map(Spec::meta).collect();
            }
            let _quiet = listener::active().then(listener::Quiet::enter);
            let _locks = locks(inputs, None, |_| false, false)?;
            let mut outs = eval(&c)?;
            for o in outs.iter_mut().filter(|o| o.is_view()) {
                // A view of the op's own memory is nobody's view.
                if !inputs.iter().flatten().any(|t| t.shares_storage(o)) {
                    *o = o.alias();
                }
            }
            Ok(outs)
        }
        Body::View(eval) => eval(&c),
        Body::Composite(expand) if listener::active() => listener::in_parts(op, false, inputs, attrs, || expand(&c)),
        Body::Composite(expand) => expand(&c),
    }
}

/// Has a kernel write to its mutable arguments.
fn write(c: &Call, compute: fn(&Call, &[Tensor]) -> Result<()>, outs: &[Tensor]) -> Result<()> {
    let (takes, n) = (&c.op.signature, c.inputs.len());
    let written = || c.inputs.iter().enumerate().filter(|(i, _)| takes.is_written(n, *i)).filter_map(|e| *e.1);
    written().try_for_each(|t| {
        autograd::may_change(t)?;
        check_writable(t)
    })?;
    if !c.meta {
        let _hold = Hold::new();
        let _locks = locks(c.inputs, None, |i| takes.is_written(n, i), false)?;
        compute(c, outs)?;
    }
    written().for_each(|t| t.changed());
    Ok(())
}

/// True if the results are meta tensors: an input is one, and the others are, or have no dimensions (in lists: are plain
/// numbers).
#[inline(always)]
pub(crate) fn on_meta(op: &OpDef, inputs: &[Option<&Tensor>]) -> Result<bool> {
    let meta = inputs.iter().flatten().any(|t| t.is_meta());
    // What stands in a list is no number.
    let listed = || op.signature.lists > 0;
    if meta && inputs.iter().flatten().any(|t| !t.is_meta() && (t.ndim() > 0 || listed() && !t.0.wrapped)) {
        bail!(
            Unsupported,
            "expected all tensors to be on the same device, but found at least two devices, cpu and meta"
        );
    }
    let numbers = || inputs.iter().flatten().all(|t| t.0.wrapped);
    Ok(meta || device::current() == Device::Meta && numbers())
}

/// Checks the number of tensors, and number and kinds of attributes, against the declaration.
pub fn check_arguments(op: &OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<()> {
    let Signature { singles, lists, attrs: wanted, .. } = op.signature;
    if inputs.len() < singles || (lists == 0 && inputs.len() != singles) {
        bail!(Value, "wanted {singles} tensor arguments, got {}", inputs.len());
    }
    if lists > 0 && !(inputs.len() - singles).is_multiple_of(lists) {
        bail!(Value, "its {lists} tensor lists must have equal lengths");
    }
    if attrs.len() != wanted {
        bail!(Value, "wanted {wanted} attributes, got {}", attrs.len());
    }
    match op.attr_args().zip(attrs).find(|(a, v)| !a.kind.takes(v)) {
        Some((a, v)) => bail!(Value, "attribute '{}' wants {}, got {v:?}", a.name, a.kind.def().wants),
        None => Ok(()),
    }
}
