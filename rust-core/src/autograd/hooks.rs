//! Gradients that tensors keep and functions that see gradients: what programs ask of tensors and nodes.

use super::node::*;
use crate::bail;
use crate::error::{Error, Result};
use crate::tensor::modes::inference_enabled;
use crate::tensor::Tensor;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

static HOOK_ID: AtomicU64 = AtomicU64::new(1);

impl Tensor {
    /// Makes a leaf ask for gradients, or stop asking.
    pub fn set_requires_grad(&self, on: bool) -> Result<()> {
        if on && !self.dtype().is_differentiable() {
            bail!(
                Autograd,
                "only tensors of floating point and complex dtypes can require gradients, got {}",
                self.dtype()
            );
        }
        if on && self.0.inference && !inference_enabled() {
            bail!(Autograd, "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
        }
        if !on && self.history().is_some() {
            bail!(Autograd, "you can only change requires_grad flags of leaf tensors; use detach()");
        }
        if on || self.0.meta.get().is_some() {
            self.meta().needs.store(on || self.history().is_some(), Ordering::Release);
        }
        Ok(())
    }

    /// The gradient that backward has collected.
    pub fn grad(&self) -> Option<Tensor> {
        self.0.meta.get().and_then(|m| m.lock().grad.clone())
    }

    /// Sets or removes the collected gradient; it must have this tensor's shape and dtype.
    pub fn set_grad(&self, g: Option<Tensor>) -> Result<()> {
        if let Some(g) = &g {
            if g.shape() != self.shape() {
                return Err(Error::shapes(
                    "grad",
                    format!("wanted a gradient of shape {:?}, got {:?}", self.shape(), g.shape()),
                    self.shape(),
                    g.shape(),
                ));
            }
            if g.dtype() != self.dtype() {
                bail!(DType, "grad: wanted dtype {}, got {}", self.dtype(), g.dtype());
            }
            if g.device() != self.device() {
                bail!(Value, "grad: wanted a gradient on device {}, got one on {}", self.device(), g.device());
            }
        }
        if g.is_some() || self.0.meta.get().is_some() {
            // The old gradient is dropped after the lock is released: it may run a foreign release callback.
            let _old = std::mem::replace(&mut self.meta().lock().grad, g);
        }
        Ok(())
    }

    /// Keeps the gradient of a tensor that is no leaf.
    pub fn retain_grad(&self) -> Result<()> {
        if !self.requires_grad() {
            bail!(Autograd, "retain_grad: can't retain_grad on a tensor that does not require gradients");
        }
        if let Some((node, output)) = self.history() {
            let meta = self.meta();
            // One note is enough.
            let _old = node.forget(meta);
            node.retain(Box::new(Retained { output, meta: Arc::downgrade(meta), next: None }));
        }
        Ok(())
    }

    /// True for a tensor that is no leaf and whose gradient backward keeps.
    pub fn retains_grad(&self) -> bool {
        let Some((node, _)) = self.history() else { return false };
        let hooks = node.lock_hooks();
        let mut note = hooks.as_ref().and_then(|h| h.retained.as_ref());
        while let Some(n) = note.filter(|n| !n.of(self.meta())) {
            note = n.next.as_ref();
        }
        note.is_some()
    }

    /// Calls `hook` with each gradient of this tensor during backward; its result, if any, takes the gradient's place.
    pub fn register_hook(&self, hook: Hook) -> Result<u64> {
        self.register_hook_of(hook, None)
    }

    /// As [`register_hook`](Tensor::register_hook), for a hook that keeps a context of another language.
    pub fn register_hook_of(&self, call: Hook, context: Option<Foreign>) -> Result<u64> {
        if !self.requires_grad() {
            bail!(Autograd, "register_hook: cannot register a hook on a tensor that doesn't require gradient");
        }
        let id = HOOK_ID.fetch_add(1, Ordering::Relaxed);
        match self.history() {
            Some((node, k)) => node.with_hooks(|h| h.calls.push((k, Registered { id, call, context })))?,
            None => self.with_leaf_hooks(|h| h.calls.push(Registered { id, call, context }))?,
        }
        Ok(id)
    }

    fn with_leaf_hooks<R>(&self, f: impl FnOnce(&mut LeafHooks) -> R) -> R {
        let mut state = self.meta().lock();
        let hooks = leaf_hooks_mut(&mut state);
        hooks.owner = Arc::downgrade(&self.0);
        f(hooks)
    }

    /// Calls `hook` with this leaf whenever backward has added all of a gradient to its `grad`; what it returns is ignored.
    ///
    /// The hook must not own the tensor, which owns the hook.
    pub fn register_post_accumulate_grad_hook(&self, hook: Hook) -> Result<u64> {
        self.register_post_accumulate_grad_hook_of(hook, None)
    }

    /// As [`register_post_accumulate_grad_hook`](Tensor::register_post_accumulate_grad_hook), for a hook that keeps a
    /// context of another language.
    pub fn register_post_accumulate_grad_hook_of(&self, call: Hook, context: Option<Foreign>) -> Result<u64> {
        const NAME: &str = "register_post_accumulate_grad_hook";
        if !self.requires_grad() {
            bail!(Autograd, "{NAME}: cannot register a hook on a tensor that doesn't require gradient");
        }
        if !self.is_leaf() {
            bail!(Autograd, "{NAME}: post accumulate grad hooks cannot be registered on non-leaf tensors");
        }
        let id = HOOK_ID.fetch_add(1, Ordering::Relaxed);
        self.with_leaf_hooks(|h| h.collected.push(Registered { id, call, context }))?;
        Ok(id)
    }

    /// Removes a hook; unknown ids are ignored.
    pub fn remove_hook(&self, id: u64) {
        if let Some(m) = self.0.meta.get() {
            // Dropped after the lock is released, here and below: it may run a foreign release callback.
            let _gone = {
                let mut s = m.lock();
                leaf_hooks(&s).is_some().then(|| {
                    let h = leaf_hooks_mut(&mut s);
                    (take_out(&mut h.calls, id), take_out(&mut h.collected, id))
                })
            };
        }
        if let Some((node, _)) = self.history() {
            let _gone = {
                let mut hooks = node.lock_hooks();
                hooks.as_mut().and_then(|h| h.calls.iter().position(|c| c.1.id == id).map(|i| h.calls.remove(i)))
            };
        }
    }

    /// Cuts this tensor from its history in place.
    pub fn detach_in_place(&self) -> Result<()> {
        if self.is_view() {
            bail!(Autograd, "detach_: can't detach views in-place; use detach()");
        }
        if let Some(m) = self.0.meta.get() {
            let _old = m.lock().history.take();
            m.needs.store(false, Ordering::Release);
        }
        Ok(())
    }
}

impl Node {
    /// Where the gradients of the inputs go, one per input: to an output of a node or to a leaf.
    pub fn next(&self) -> impl ExactSizeIterator<Item = Option<Target>> + '_ {
        self.edges.iter().map(|e| e.clone().map(Target::new))
    }
}

/// Where a gradient goes, for those who look at a graph: the node or leaf, and which of its outputs.
#[derive(Clone)]
pub struct Target {
    pub(super) edge: Edge,
}

impl Target {
    fn new(edge: Edge) -> Target {
        Target { edge }
    }

    /// Where the gradient of `t` goes; None if it needs none.
    pub fn of(t: &Tensor) -> Option<Target> {
        t.edge().map(Target::new)
    }

    /// The node; None for a leaf.
    pub fn node(&self) -> Option<&Arc<Node>> {
        match &self.edge {
            Edge::Node(n, _) => Some(n),
            Edge::Leaf(_) => None,
        }
    }

    /// The leaf, as it is now.
    pub fn leaf(&self) -> Option<Tensor> {
        match &self.edge {
            Edge::Node(..) => None,
            Edge::Leaf(t) => Some(t.present()),
        }
    }

    /// Which output of the node; 0 for a leaf.
    pub fn output(&self) -> usize {
        match &self.edge {
            Edge::Node(_, k) => *k,
            Edge::Leaf(_) => 0,
        }
    }

    /// The name of the node, or "AccumulateGrad".
    pub fn name(&self) -> String {
        self.node().map_or_else(|| "AccumulateGrad".into(), |n| n.name())
    }

    /// A number that stands for the node or the leaf as long as it lives.
    pub fn number(&self) -> u64 {
        match &self.edge {
            // The first bit tells them from addresses.
            Edge::Node(n, _) => n.sequence << 1 | 1,
            Edge::Leaf(t) => Arc::as_ptr(t.meta()) as u64,
        }
    }

    fn around<R>(&self, f: impl FnOnce(&mut Around) -> R) -> R {
        match &self.edge {
            Edge::Node(n, _) => n.with_hooks(|h| f(&mut h.around)),
            Edge::Leaf(t) => t.present().with_leaf_hooks(|h| f(&mut h.around)),
        }
    }

    /// Calls `call` around each run of the node, or each collecting of the leaf: before it, with the gradients of the
    /// outputs, or after it, with those of the inputs as well. What it returns takes the place of the first or the second.
    pub fn register_hook(&self, before: bool, call: NodeHook, context: Option<Foreign>) -> Result<u64> {
        let id = HOOK_ID.fetch_add(1, Ordering::Relaxed);
        self.around(|a| if before { &mut a.before } else { &mut a.after }.push(Registered { id, call, context }))?;
        Ok(id)
    }

    /// Removes a hook that [`Target::register_hook`] gave; unknown ids are ignored.
    pub fn remove_hook(&self, id: u64) {
        // Dropped after the lock is released: it may run a foreign release callback.
        let _gone = self.around(|a| a.remove(id));
    }
}
