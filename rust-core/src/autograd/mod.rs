//! L4: automatic differentiation. Ops record nodes; [`backward`] walks them. The rules come from the table.

mod contexts;
mod modes;
mod saved;
mod walk;

pub use contexts::Foreign;

pub(crate) use modes::recording;
pub use modes::saving_hooks as saved_hooks_active;
pub use modes::{
    detect_anomaly, grad_enabled, inference_enabled, set_detect_anomaly, set_grad_enabled, set_inference, GradMode,
    InferenceMode,
};
pub use saved::{pop_saved_hooks, push_saved_hooks, Packed, SavedHooks};
pub use walk::{backward, grad, walk_number, will_reach};

use saved::{Data, Saved, SavedSet};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::memory::{check, probe, reserve, room, List};
use crate::ops::lang::Ex;
use crate::ops::{Attr, Grads, OpDef, Outs};
use crate::shape::{Dims, Layout};
use crate::tensor::{Tensor, TensorImpl};
use crate::{bail, err};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// A function that sees a gradient and may replace it.
pub type Hook = Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>;

/// A function that sees what a node gives and got, `(grad_inputs, grad_outputs)`, and may replace the first; before the node
/// has run there are only the second, which it may replace then.
pub type NodeHook = Arc<dyn Fn(Option<&[Option<Tensor>]>, &[Option<Tensor>]) -> Result<Option<Grads>> + Send + Sync>;

/// Autograd state of a tensor. It is shared by the handles of one tensor (see `Tensor::replaced_by`).
#[derive(Default)]
pub struct Meta {
    /// True if gradients flow to or through the tensor.
    needs: AtomicBool,
    /// Goes up when an in-place op changes the history of this tensor or of a view of it.
    generation: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    grad: Option<Tensor>,
    /// The edge to the node that made this tensor; None for a leaf.
    history: Option<(Arc<Node>, usize)>,
    /// Hooks of a leaf; few have any. Those of other tensors are at the node.
    hooks: Option<Box<LeafHooks>>,
    /// For a view: the generation of its base that `history` belongs to.
    base_generation: u64,
}

/// A hook, the number that removes it, and what the caller keeps for it.
struct Registered<H = Hook> {
    id: u64,
    call: H,
    context: Option<Foreign>,
}

/// What is called around the run of a node, or around the collecting of a leaf's gradient.
#[derive(Default)]
struct Around {
    before: List<Registered<NodeHook>>,
    after: List<Registered<NodeHook>>,
}

#[derive(Default)]
struct LeafHooks {
    /// These see the gradient.
    calls: List<Registered>,
    /// These see the tensor when `grad` is complete.
    collected: List<Registered>,
    around: Around,
    /// The tensor whose leaf this is now; see `Tensor::replaced_by`.
    owner: Weak<TensorImpl>,
}

#[derive(Default)]
struct NodeHooks {
    /// Hooks on outputs.
    calls: List<(usize, Registered)>,
    /// Tensors that keep the gradients of outputs.
    retained: Option<Box<Retained>>,
    around: Around,
}

/// A note that the gradient of output `output` is to be kept (`retain_grad`). It goes from node to node as it is, so that
/// an in-place op, once it has written, needs no memory for it.
struct Retained {
    output: usize,
    meta: Weak<Meta>,
    next: Option<Box<Retained>>,
}

impl Retained {
    fn of(&self, meta: &Arc<Meta>) -> bool {
        self.meta.as_ptr() == Arc::as_ptr(meta)
    }
}

impl Drop for NodeHooks {
    /// One note after the other: there may be many.
    fn drop(&mut self) {
        let mut notes = self.retained.take();
        while let Some(mut note) = notes {
            notes = note.next.take();
        }
    }
}

/// Takes the hook `id` out of the list.
fn take_out<H>(list: &mut List<Registered<H>>, id: u64) -> Option<Registered<H>> {
    list.iter().position(|h| h.id == id).map(|i| list.remove(i))
}

impl LeafHooks {
    /// True if a gradient has to be whole before it is collected.
    fn wait(&self) -> bool {
        !(self.calls.is_empty() && self.collected.is_empty() && self.around.is_empty())
    }
}

impl Around {
    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    fn remove(&mut self, id: u64) -> Option<Registered<NodeHook>> {
        take_out(&mut self.before, id).or_else(|| take_out(&mut self.after, id))
    }
}

impl Meta {
    /// True if a tensor that is made now on this thread is an inference tensor.
    #[inline]
    pub(crate) fn of_inference() -> bool {
        inference_enabled()
    }

    /// True if this thread records how tensors are made.
    #[inline(always)]
    pub(crate) fn of_recorded() -> bool {
        grad_enabled()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The tensor whose state this is now `t`: the hooks that see the tensor follow it.
    pub(crate) fn moved_to(&self, t: &Tensor) {
        self.lock().hooks.get_or_insert_with(Default::default).owner = Arc::downgrade(&t.0);
    }
}

/// Where a gradient goes.
#[derive(Clone)]
pub(crate) enum Edge {
    /// To output `usize` of a node.
    Node(Arc<Node>, usize),
    /// To a leaf, which lives as long as somebody may send it a gradient: its hooks get it.
    Leaf(Tensor),
}

/// What a custom function (or a C callback) computes in backward.
pub trait Custom: Send + Sync {
    /// Name, for messages and `grad_fn`.
    fn name(&self) -> &str;
    /// Gradients for the inputs, given those of the outputs.
    fn backward(&self, grads: &[Option<Tensor>], saved: &dyn Fn() -> Result<Grads>) -> Result<Grads>;
    /// The context of another language that it keeps.
    fn context(&self) -> Option<Foreign> {
        None
    }
}

enum Rule {
    Op(&'static OpDef, SmallVec<[OwnedAttr; 2]>),
    Custom(Arc<dyn Custom>),
    /// An in-place change of a view, seen from its base: the inner node (until it is dropped), and the
    /// view's layout in the base.
    Slices(Option<Arc<Node>>, Box<[Layout; 2]>),
    /// A view whose base got a new history.
    AsStrided(Box<[Layout; 2]>),
}

/// A recorded op.
pub struct Node {
    rule: Rule,
    edges: SmallVec<[Option<Edge>; 3]>,
    inputs: SmallVec<[(Dims, DType); 3]>,
    outputs: SmallVec<[(Dims, DType); 1]>,
    saved: Mutex<Option<SavedSet>>,
    hooks: Mutex<Option<Box<NodeHooks>>>,
    /// True if there have been `hooks`.
    hooked: AtomicBool,
    sequence: u64,
    /// The next node in the list of those that are taken apart.
    doomed: Option<Arc<Node>>,
}

/// An attribute that a node keeps.
#[derive(Debug)]
pub(crate) enum OwnedAttr {
    Plain(Attr<'static>),
    Ints(List<i64>),
    Str(Box<str>),
}

impl OwnedAttr {
    fn new(a: &Attr) -> Result<OwnedAttr> {
        Ok(OwnedAttr::Plain(match *a {
            Attr::Ints(v) => {
                let mut list = List::with_room(v.len())?;
                list.extend_from_slice(v)?;
                return Ok(OwnedAttr::Ints(list));
            }
            Attr::Str(s) => return Ok(OwnedAttr::Str(s.into())),
            // A generator has done its work in the forward pass.
            Attr::Generator(_) | Attr::None => Attr::None,
            Attr::Bool(v) => Attr::Bool(v),
            Attr::Int(v) => Attr::Int(v),
            Attr::Float(v) => Attr::Float(v),
            Attr::Scalar(v) => Attr::Scalar(v),
            Attr::DType(v) => Attr::DType(v),
        }))
    }
    fn get(&self) -> Attr<'_> {
        match self {
            OwnedAttr::Plain(a) => *a,
            OwnedAttr::Ints(v) => Attr::Ints(v),
            OwnedAttr::Str(s) => Attr::Str(s),
        }
    }
}

static SEQUENCE: AtomicU64 = AtomicU64::new(1);
static HOOK_ID: AtomicU64 = AtomicU64::new(1);

// ---- the autograd side of Tensor ----

impl Tensor {
    pub(crate) fn meta(&self) -> &Arc<Meta> {
        self.0.meta.get_or_init(Default::default)
    }

    /// True if gradients flow to or through this tensor.
    #[inline]
    pub fn requires_grad(&self) -> bool {
        if self.0.base.is_some() {
            self.refresh_view();
        }
        self.0.meta.get().is_some_and(|m| m.needs.load(Ordering::Acquire))
    }

    /// True if no op with a history made this tensor.
    pub fn is_leaf(&self) -> bool {
        !self.requires_grad() || self.history().is_none()
    }

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
                return Err(crate::error::Error::shapes(
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

    fn history(&self) -> Option<(Arc<Node>, usize)> {
        if self.0.base.is_some() {
            self.refresh_view();
        }
        self.0.meta.get().and_then(|m| m.lock().history.clone())
    }

    /// The node that made this tensor.
    pub fn grad_fn(&self) -> Option<Arc<Node>> {
        self.history().map(|h| h.0)
    }

    pub(crate) fn edge(&self) -> Option<Edge> {
        if !self.requires_grad() {
            return None;
        }
        Some(match self.history() {
            Some((node, k)) => Edge::Node(node, k),
            None => Edge::Leaf(self.clone()),
        })
    }

    fn set_history(&self, node: Arc<Node>, k: usize) {
        let meta = self.meta();
        let old = {
            let mut s = meta.lock();
            if let Some(bm) = self.0.base.as_ref().and_then(|b| b.0.meta.get()) {
                s.base_generation = bm.generation.load(Ordering::Acquire);
            }
            s.history.replace((node.clone(), k))
        };
        meta.needs.store(true, Ordering::Release);
        // Hooks stay with the value that they were registered on; a gradient to be kept is that of the present one.
        // (The old node is dropped with no lock held: it may run a foreign release callback.)
        if let Some((old, _)) = old.filter(|o| o.0.hooked.load(Ordering::Acquire) && !Arc::ptr_eq(&o.0, &node)) {
            if let Some(mut note) = old.forget(meta) {
                note.output = k;
                node.retain(note);
            }
        }
    }

    /// A view's history is made anew when an in-place op has changed that of its base.
    fn refresh_view(&self) {
        let Some(base) = &self.0.base else { return };
        let Some(bm) = base.0.meta.get() else { return };
        let generation = bm.generation.load(Ordering::Acquire);
        if generation == 0 || self.meta().lock().base_generation == generation {
            return;
        }
        let Some(edge) = base.edge() else { return };
        let node = Node::new(
            Rule::AsStrided(Box::new([base.layout().clone(), self.layout().clone()])),
            SmallVec::from_iter([Some(edge)]),
            SmallVec::from_iter([(base.dims(), base.dtype())]),
            SmallVec::from_iter([(self.dims(), self.dtype())]),
            None,
        );
        self.set_history(Arc::new(node), 0);
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
        let hooks = state.hooks.get_or_insert_with(Default::default);
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
                s.hooks.as_mut().map(|h| (take_out(&mut h.calls, id), take_out(&mut h.collected, id)))
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
    /// PyTorch's style of name, such as "AddBackward0".
    pub fn name(&self) -> String {
        match &self.rule {
            Rule::Op(op, _) => {
                let words = op.name.split('_').map(|w| {
                    let mut c = w.chars();
                    c.next().map(|f| f.to_uppercase().collect::<String>() + c.as_str()).unwrap_or_default()
                });
                words.collect::<String>() + "Backward0"
            }
            Rule::Custom(c) => c.name().to_string(),
            Rule::Slices(..) => "CopySlices".into(),
            Rule::AsStrided(..) => "AsStridedBackward0".into(),
        }
    }

    #[inline(always)] // a large value, made in its place
    fn new(
        rule: Rule,
        edges: SmallVec<[Option<Edge>; 3]>,
        inputs: SmallVec<[(Dims, DType); 3]>,
        outputs: SmallVec<[(Dims, DType); 1]>,
        saved: Option<SavedSet>,
    ) -> Node {
        Node {
            rule,
            edges,
            inputs,
            outputs,
            saved: Mutex::new(saved),
            hooks: Mutex::new(None),
            hooked: AtomicBool::new(false),
            sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed),
            doomed: None,
        }
    }

    /// Where the gradients of the inputs go, one per input: to an output of a node or to a leaf.
    pub fn next(&self) -> impl ExactSizeIterator<Item = Option<Target>> + '_ {
        self.edges.iter().map(|e| e.clone().map(Target::new))
    }

    fn lock_hooks(&self) -> MutexGuard<'_, Option<Box<NodeHooks>>> {
        self.hooks.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn with_hooks<R>(&self, f: impl FnOnce(&mut NodeHooks) -> R) -> R {
        let done = f(self.lock_hooks().get_or_insert_with(Default::default));
        self.hooked.store(true, Ordering::Release);
        done
    }

    fn retain(&self, mut note: Box<Retained>) {
        self.with_hooks(|h| {
            note.next = h.retained.take();
            h.retained = Some(note);
        });
    }

    /// Takes the note out that this tensor keeps its gradient.
    fn forget(&self, meta: &Arc<Meta>) -> Option<Box<Retained>> {
        let mut hooks = self.lock_hooks();
        let mut at = &mut hooks.as_mut()?.retained;
        while !at.as_ref()?.of(meta) {
            at = &mut at.as_mut()?.next;
        }
        let mut note = at.take()?;
        *at = note.next.take();
        Some(note)
    }

    fn lock_saved(&self) -> MutexGuard<'_, Option<SavedSet>> {
        self.saved.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Where a gradient goes, for those who look at a graph: the node or leaf, and which of its outputs.
#[derive(Clone)]
pub struct Target {
    edge: Edge,
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

/// Long chains of nodes and gradients are taken apart step by step, where nested drops would overflow the stack. The list of
/// nodes that are still to go through lies in the nodes, so that it takes no memory.
impl Drop for Node {
    fn drop(&mut self) {
        let mut list = self.doomed.take();
        self.loosen(&mut list);
        unravel(list);
    }
}

impl Drop for Meta {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(|e| e.into_inner());
        if let Some(g) = state.grad.take() {
            let mut list = None;
            loosen(g.0, &mut list);
            unravel(list);
        }
    }
}

fn unravel(mut list: Option<Arc<Node>>) {
    while let Some(mut n) = list {
        list = None;
        if let Some(node) = Arc::get_mut(&mut n) {
            list = node.doomed.take();
            node.loosen(&mut list);
        }
    }
}

/// Puts a node on the list if nobody else has it; else it only loses an owner.
fn doom(list: &mut Option<Arc<Node>>, mut n: Arc<Node>) {
    if let Some(node) = Arc::get_mut(&mut n) {
        node.doomed = list.take();
        *list = Some(n);
    }
}

/// Takes the history and the gradient away from a tensor that goes, and from that gradient in turn. Also a leaf may have
/// become the result of an op since it was saved.
fn loosen(mut t: Arc<TensorImpl>, list: &mut Option<Arc<Node>>) {
    loop {
        let meta = Arc::get_mut(&mut t).and_then(|t| t.meta.get_mut()).and_then(Arc::get_mut);
        let Some(state) = meta.map(|m| m.state.get_mut().unwrap_or_else(|e| e.into_inner())) else { return };
        if let Some((n, _)) = state.history.take() {
            doom(list, n);
        }
        match state.grad.take() {
            Some(g) => t = g.0,
            None => return,
        }
    }
}

impl Node {
    /// Takes away what this node keeps alive.
    fn loosen(&mut self, list: &mut Option<Arc<Node>>) {
        let edge = |e: Option<Edge>, list: &mut Option<Arc<Node>>| match e {
            Some(Edge::Node(n, _)) => doom(list, n),
            Some(Edge::Leaf(t)) => loosen(t.0, list),
            None => {}
        };
        self.edges.drain(..).for_each(|e| edge(e, list));
        let saved = self.saved.get_mut().unwrap_or_else(|e| e.into_inner()).take();
        for s in saved.into_iter().flat_map(|s| s.inputs.into_iter().chain(s.outputs)).flatten() {
            edge(s.edge, list);
            if let Data::Plain(t, _) = s.data {
                loosen(t, list);
            }
        }
        if let Rule::Slices(inner, ..) = &mut self.rule {
            if let Some(inner) = inner.take() {
                doom(list, inner);
            }
        }
    }
}

impl Tensor {
    /// The tensor that has this one's autograd state now; see [`Tensor::replaced_by`].
    fn present(&self) -> Tensor {
        let owner = self.meta().lock().hooks.as_ref().and_then(|h| h.owner.upgrade());
        owner.map_or_else(|| self.clone(), Tensor)
    }

    fn alias_keeping_number(&self) -> Tensor {
        let mut t = self.alias();
        if self.0.wrapped {
            if let Some(i) = Arc::get_mut(&mut t.0) {
                i.wrapped = true;
            }
        }
        t
    }
}

// ---- recording ----

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
                let state = State { history: Some((node.clone(), k)), ..State::default() };
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
        let base = target.base().filter(|b| b.requires_grad());
        if base.is_some() || inputs.iter().flatten().any(|t| t.requires_grad()) {
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

// ---- what a rule sees ----

/// The context of one gradient rule.
pub struct Vjp<'a> {
    grads: &'a [Option<Tensor>],
    node: &'a Arc<Node>,
    saved: &'a SavedSet,
    pub(crate) attrs: SmallVec<[Attr<'a>; 6]>,
}

impl Vjp<'_> {
    /// Gradient of the first output.
    pub fn g(&self) -> Ex {
        self.gk(0)
    }
    /// Gradient of output `k`; zeros if nothing flows there.
    pub fn gk(&self, k: usize) -> Ex {
        match &self.grads[k] {
            Some(g) => Ex::T(g.clone()),
            None => {
                let (shape, dtype) = &self.node.outputs[k];
                Ex::from(Tensor::filled(shape, crate::dtype::Scalar::Int(0), *dtype))
            }
        }
    }
    /// True if a gradient reaches output `k`.
    pub fn has(&self, k: usize) -> bool {
        self.grads[k].is_some()
    }
    /// Saved input `i`; nothing if it was not given.
    pub fn x(&self, i: usize) -> Ex {
        match self.saved.inputs.get(i) {
            Some(Some(s)) => Ex::from(s.unpack(self.node, false)),
            _ => Ex::None,
        }
    }
    /// Saved output.
    pub fn y(&self) -> Ex {
        self.yk(0)
    }
    /// Saved output `k`.
    pub fn yk(&self, k: usize) -> Ex {
        match self.saved.outputs.get(k) {
            Some(Some(s)) => Ex::from(s.unpack(self.node, false)),
            _ => Ex::Err(err!(Panic, "output {k} was not saved")),
        }
    }
    /// True if input `i` wants a gradient.
    pub fn need(&self, i: usize) -> bool {
        self.node.edges.get(i).is_some_and(|e| e.is_some())
    }
    /// The expression if input `i` wants a gradient.
    pub fn want(&self, i: usize, f: impl FnOnce() -> Ex) -> Ex {
        if self.need(i) {
            f()
        } else {
            Ex::None
        }
    }
    /// Shape of input `i`.
    pub fn shape(&self, i: usize) -> &[usize] {
        &self.node.inputs[i].0
    }
    /// Shape of input `i` as signed sizes.
    pub fn sizes(&self, i: usize) -> SmallVec<[i64; 8]> {
        self.shape(i).iter().map(|&d| d as i64).collect()
    }
    /// Dtype of input `i`.
    pub fn dtype(&self, i: usize) -> DType {
        self.node.inputs[i].1
    }
    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.node.inputs.len()
    }
    /// True if the op has no inputs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
