//! Recording: calls of ops get nodes, and their results a history.

use super::node::*;
use super::saved;
use crate::bail;
use crate::dtype::DType;
use crate::error::Result;
use crate::memory::{check, probe, reserve, room};
use crate::shape::Dims;
use crate::table::{Attr, OpDef, Outs};
use crate::tensor::modes::{inference_enabled, recording, GradMode};
use crate::tensor::{History, Meta, State, Tensor};
use smallvec::SmallVec;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// True if a call with these inputs has to be recorded.
#[inline]
pub(crate) fn wanted(inputs: &[Option<&Tensor>]) -> bool {
    inputs.iter().flatten().any(|t| t.requires_grad()) && recording()
}

/// An inference tensor is not watched: what backward would read may have changed.
fn refuse_inference(saved: &[Option<Saved>]) -> Result<()> {
    if saved.iter().flatten().any(|s| s.plain().is_some_and(|t| t.inference)) {
        bail!(
            Autograd,
            "Inference tensors cannot be saved for backward. Use clone() to get a normal tensor from one that was made in \
             inference mode, or no_grad() in the place of inference_mode()"
        );
    }
    Ok(())
}

/// Refuses to change an inference tensor outside of inference mode.
#[inline]
pub(crate) fn may_change(t: &Tensor) -> Result<()> {
    if t.0.inference && !inference_enabled() {
        bail!(
            Autograd,
            "Inplace update to inference tensor outside InferenceMode is not allowed. Use clone() to get a normal tensor \
             from one that was made in inference mode"
        );
    }
    Ok(())
}

/// The node of a call, without its outputs.
#[inline(always)] // a large value, to be made in its place
fn prepare(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Node> {
    let mut saved = SavedSet { inputs: room(inputs.len())?, outputs: SmallVec::new() };
    let mut edges: SmallVec<[Option<Edge>; 3]> = room(inputs.len())?;
    let mut kinds: SmallVec<[(Dims, DType); 3]> = room(inputs.len())?;
    for t in inputs {
        edges.push(t.and_then(|t| if t.dtype().is_differentiable() { t.edge() } else { None }));
    }
    for (i, t) in inputs.iter().enumerate() {
        if i % 64 == 63 {
            check()?;
        }
        let needed = op.saves.input(i) && (!op.saves.cross() || edges.get(1 - i.min(1)).is_some_and(|e| e.is_some()));
        saved.inputs.push(t.filter(|_| needed).map(|t| Saved::new(t, None)));
        kinds.push(t.map_or((Dims::new(), DType::F32), |t| (t.dims(), t.dtype())));
    }
    let mut owned = room(attrs.len())?;
    for a in attrs {
        owned.push(OwnedAttr::new(a)?);
    }
    Ok(Node::new(Rule::Op(op, owned), edges, kinds, SmallVec::new(), Some(saved)))
}

/// With one output only a hook of saved tensors can fail.
#[inline(always)] // as above
fn finish(node: &mut Node, outs: &[Tensor], save_outputs: bool) -> Result<()> {
    reserve(&mut node.outputs, outs.len())?;
    node.outputs.extend(outs.iter().map(|t| (t.dims(), t.dtype())));
    if save_outputs {
        if let Some(s) = node.saved.get_mut().unwrap_or_else(|e| e.into_inner()) {
            reserve(&mut s.outputs, outs.len())?;
            s.outputs.extend(outs.iter().enumerate().map(|(k, t)| Some(Saved::new(t, Some(k)))));
            saved::pack(&mut s.outputs, &[])?;
        }
    }
    Ok(())
}

/// Attaches the history of a call to its results.
pub(crate) fn record(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr], outs: &mut Outs) -> Result<()> {
    let mut node = prepare(op, inputs, attrs)?;
    if let Some(s) = node.saved.get_mut().unwrap_or_else(|e| e.into_inner()) {
        refuse_inference(&s.inputs)?;
        saved::pack(&mut s.inputs, inputs)?;
    }
    finish(&mut node, outs, op.saves.output())?;
    let node = Arc::new(node);
    probe(outs.len(), size_of::<Meta>())?;
    for (k, out) in outs.iter_mut().enumerate().filter(|o| o.1.dtype().is_differentiable()) {
        match Arc::get_mut(&mut out.0) {
            // A new tensor that nobody else has seen.
            Some(t) if t.base.is_none() && t.meta.get().is_none() => {
                let state = State { history: Some((node.clone() as History, k)), ..State::default() };
                t.meta = Arc::new(Meta { needs: true.into(), generation: 0.into(), state: state.into() }).into();
            }
            _ => out.set_history(node.clone(), k),
        }
    }
    Ok(())
}

/// Attaches a custom function's history to `outs`; `saved` is handed to its backward.
pub fn record_custom(
    rule: Arc<dyn Custom>,
    inputs: &[Option<&Tensor>],
    outs: &[Tensor],
    saved: &[Option<&Tensor>],
) -> Result<()> {
    let own = |t: &Tensor| outs.iter().position(|o| o.shares_storage(t) && o.layout() == t.layout());
    let mut kept: SmallVec<[Option<Saved>; 3]> = room(saved.len())?;
    for t in saved {
        kept.push(t.map(|t| {
            let input = inputs.iter().flatten().any(|i| i.is_same(t));
            Saved::new(t, if input { None } else { own(t) })
        }));
    }
    refuse_inference(&kept)?;
    saved::pack(&mut kept, saved)?;
    let mut edges: SmallVec<[Option<Edge>; 3]> = room(inputs.len())?;
    edges.extend(inputs.iter().map(|t| t.and_then(|t| t.edge())));
    let mut kinds: SmallVec<[(Dims, DType); 3]> = room(inputs.len())?;
    kinds.extend(inputs.iter().map(|t| t.map_or((Dims::new(), DType::F32), |t| (t.dims(), t.dtype()))));
    let mut results: SmallVec<[(Dims, DType); 1]> = room(outs.len())?;
    results.extend(outs.iter().map(|t| (t.dims(), t.dtype())));
    let saved = SavedSet { inputs: kept, outputs: SmallVec::new() };
    let node = Node::new(Rule::Custom(rule), edges, kinds, results, Some(saved));
    let node = Arc::new(node);
    for (k, out) in outs.iter().enumerate() {
        if out.dtype().is_differentiable() {
            out.set_history(node.clone(), k);
        }
    }
    Ok(())
}

/// Refuses in-place changes that autograd cannot follow; gives the node of a call that must be recorded.
pub(crate) fn before_inplace(
    op: &'static OpDef,
    target: &Tensor,
    inputs: &[Option<&Tensor>],
    attrs: &[Attr],
) -> Result<Option<Node>> {
    may_change(target)?;
    if !recording() {
        return Ok(None);
    }
    let needs = target.requires_grad();
    if target.0.unrecorded && target.dtype().is_differentiable() {
        let recast = target.base().is_none_or(|b| b.0.unrecorded);
        let base = target.base().filter(|b| b.requires_grad());
        if needs && recast || base.is_some() || inputs.iter().flatten().any(|t| t.requires_grad()) {
            if recast {
                bail!(
                    Autograd,
                    "elements seen as another dtype (parts of complex numbers, or numbers as complex ones) are being modified \
                     inplace, which gradients do not follow. Do it inside of no_grad, or make new numbers, as complex(re, im) \
                     does"
                );
            }
            bail!(
                Autograd,
                "A view was created in no_grad mode and is being modified inplace with grad mode enabled: what is meant for \
                 gradients is not clear. Put both inside of no_grad, or both outside"
            );
        }
    }
    if needs && target.is_leaf() {
        bail!(Autograd, "a leaf Variable that requires grad is being used in an in-place operation");
    }
    if let (true, Some(base)) = (needs, target.base()) {
        // The history of the base, of which the change becomes a part, must be that of the view.
        if base.is_leaf() {
            bail!(Autograd, "a view of a leaf Variable that requires grad is being used in an in-place operation");
        }
    }
    if !target.dtype().is_differentiable() || !inputs.iter().flatten().any(|t| t.requires_grad()) {
        return Ok(None);
    }
    // An op without a derivative (a fill, random numbers) cuts the history: its rule sends no gradient back.
    let mut node = prepare(op, inputs, attrs)?;
    let saved = node.saved.get_mut().unwrap_or_else(|e| e.into_inner());
    if let Some(Some(first)) = saved.as_mut().and_then(|s| s.inputs.first_mut()) {
        // The rule reads the elements as they are now: they are copied before the op writes over them.
        let _mode = GradMode::set(false);
        let copy = target.duplicate()?;
        first.data = Data::new(copy);
    }
    if let Some(s) = saved {
        refuse_inference(&s.inputs)?;
        let first = s.inputs.first().and_then(|s| s.as_ref()).and_then(|s| s.plain()).cloned().map(Tensor);
        let mut originals: SmallVec<[Option<&Tensor>; 4]> = room(inputs.len())?;
        originals.extend(inputs.iter().copied());
        originals[0] = first.as_ref();
        saved::pack(&mut s.inputs, &originals)?;
    }
    Ok(Some(node))
}

/// Gives `target` the history of the in-place call that has just changed it, and its base with it. Fails only if a hook of
/// saved tensors does, when the history is in place already.
pub(crate) fn rebase(target: &Tensor, mut node: Node) -> Result<()> {
    let save_outputs = matches!(node.rule, Rule::Op(op, _) if op.saves.output());
    let packed = finish(&mut node, std::slice::from_ref(target), save_outputs);
    if packed.is_err() {
        *node.saved.get_mut().unwrap_or_else(|e| e.into_inner()) = None;
    }
    let inner = Arc::new(node);
    let Some(base) = target.base() else {
        target.set_history(inner, 0);
        target.meta().generation.fetch_add(1, Ordering::AcqRel);
        return packed;
    };
    let mut edges = inner.edges.clone();
    edges[0] = base.edge();
    let mut inputs = inner.inputs.clone();
    inputs[0] = (base.dims(), base.dtype());
    let layouts = Box::new([base.layout().clone(), target.layout().clone()]);
    let outputs = SmallVec::from_iter([(base.dims(), base.dtype())]);
    base.set_history(Arc::new(Node::new(Rule::Slices(Some(inner), layouts), edges, inputs, outputs, None)), 0);
    base.meta().generation.fetch_add(1, Ordering::AcqRel);
    packed
}
