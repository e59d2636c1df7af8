//! The graph: nodes, where they send gradients, and what tensors and nodes keep for it.

use crate::bail;
use crate::dtype::DType;
use crate::error::Result;
use crate::memory::List;
use crate::shape::{Dims, Layout};
use crate::storage::Release;
use crate::table::{Attr, OpDef};
use crate::tensor::{Grads, History, Meta, State, Tensor, TensorImpl};
use smallvec::SmallVec;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// A caller's context and the function that will release it.
#[derive(Clone, Copy)]
pub struct Foreign {
    /// The context.
    pub ctx: *mut c_void,
    /// Called once, when nobody needs the context any more.
    pub release: Option<Release>,
}
// SAFETY: nothing here looks behind the pointer, and the contract demands that `release` may run on any thread.
unsafe impl Send for Foreign {}
// SAFETY: as above.
unsafe impl Sync for Foreign {}

/// A function that sees a gradient and may replace it.
pub type Hook = Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>;

/// A function that sees what a node gives and got, `(grad_inputs, grad_outputs)`, and may replace the first; before the node
/// has run there are only the second, which it may replace then.
pub type NodeHook = Arc<dyn Fn(Option<&[Option<Tensor>]>, &[Option<Tensor>]) -> Result<Option<Grads>> + Send + Sync>;

/// A hook, the number that removes it, and what the caller keeps for it.
pub(super) struct Registered<H = Hook> {
    pub(super) id: u64,
    pub(super) call: H,
    pub(super) context: Option<Foreign>,
}

/// What is called around the run of a node, or around the collecting of a leaf's gradient.
#[derive(Default)]
pub(super) struct Around {
    pub(super) before: List<Registered<NodeHook>>,
    pub(super) after: List<Registered<NodeHook>>,
}

#[derive(Default)]
pub(super) struct LeafHooks {
    /// These see the gradient.
    pub(super) calls: List<Registered>,
    /// These see the tensor when `grad` is complete.
    pub(super) collected: List<Registered>,
    pub(super) around: Around,
    /// The tensor whose leaf this is now; see `Tensor::replaced_by`.
    pub(super) owner: Weak<TensorImpl>,
}

#[derive(Default)]
pub(super) struct NodeHooks {
    /// Hooks on outputs.
    pub(super) calls: List<(usize, Registered)>,
    /// Tensors that keep the gradients of outputs.
    pub(super) retained: Option<Box<Retained>>,
    pub(super) around: Around,
}

/// A note that the gradient of output `output` is to be kept (`retain_grad`). It goes from node to node as it is, so that
/// an in-place op, once it has written, needs no memory for it.
pub(super) struct Retained {
    pub(super) output: usize,
    pub(super) meta: Weak<Meta>,
    pub(super) next: Option<Box<Retained>>,
}

impl Retained {
    pub(super) fn of(&self, meta: &Arc<Meta>) -> bool {
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
pub(super) fn take_out<H>(list: &mut List<Registered<H>>, id: u64) -> Option<Registered<H>> {
    list.iter().position(|h| h.id == id).map(|i| list.remove(i))
}

impl LeafHooks {
    /// True if a gradient has to be whole before it is collected.
    pub(super) fn wait(&self) -> bool {
        !(self.calls.is_empty() && self.collected.is_empty() && self.around.is_empty())
    }
}

impl Around {
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Registered<NodeHook>> {
        take_out(&mut self.before, id).or_else(|| take_out(&mut self.after, id))
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

pub(super) enum Rule {
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
    pub(super) rule: Rule,
    pub(super) edges: SmallVec<[Option<Edge>; 3]>,
    pub(super) inputs: SmallVec<[(Dims, DType); 3]>,
    pub(super) outputs: SmallVec<[(Dims, DType); 1]>,
    pub(super) saved: Mutex<Option<SavedSet>>,
    pub(super) hooks: Mutex<Option<Box<NodeHooks>>>,
    /// True if there have been `hooks`.
    pub(super) hooked: AtomicBool,
    pub(super) sequence: u64,
    /// The next node in the list of those that are taken apart.
    pub(super) doomed: Option<Arc<Node>>,
}

/// An attribute that a node keeps.
#[derive(Debug)]
pub(crate) enum OwnedAttr {
    Plain(Attr<'static>),
    Ints(List<i64>),
    Str(Box<str>),
}

impl OwnedAttr {
    pub(super) fn new(a: &Attr) -> Result<OwnedAttr> {
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
    pub(super) fn get(&self) -> Attr<'_> {
        match self {
            OwnedAttr::Plain(a) => *a,
            OwnedAttr::Ints(v) => Attr::Ints(v),
            OwnedAttr::Str(s) => Attr::Str(s),
        }
    }
}

/// A tensor in the form that a hook has given it.
pub trait Packed: Send + Sync {
    /// The tensor again, with the elements and the shape that it had. Called whenever backward reads it.
    fn unpack(&self) -> Result<Tensor>;
    /// The context of another language that it keeps.
    fn context(&self) -> Option<Foreign> {
        None
    }
}

/// Tensors saved by one call.
#[derive(Default)]
pub(super) struct SavedSet {
    pub inputs: SmallVec<[Option<Saved>; 3]>,
    pub outputs: SmallVec<[Option<Saved>; 1]>,
}

/// A tensor that backward will read: its elements, and where its gradient goes.
#[derive(Clone)]
pub(super) struct Saved {
    pub data: Data,
    pub edge: Option<Edge>,
    /// For an output of the node itself, its index (an edge would be a cycle).
    pub output: Option<usize>,
}

#[derive(Clone)]
pub(super) enum Data {
    /// A tensor and the version that it had.
    Plain(Arc<TensorImpl>, u64),
    /// What a hook has made of it, and its shape.
    Packed(Arc<(Box<dyn Packed>, Dims)>),
}

static SEQUENCE: AtomicU64 = AtomicU64::new(1);

// ---- what autograd keeps in a tensor ----

/// What a tensor calls its history is a node.
fn as_node(history: History) -> Arc<Node> {
    history.downcast().unwrap_or_else(|_| unreachable!("only nodes are recorded"))
}

/// The hooks of a leaf, if it has any.
pub(super) fn leaf_hooks(state: &State) -> Option<&LeafHooks> {
    state.hooks.as_ref()?.downcast_ref()
}

/// The hooks of a leaf.
pub(super) fn leaf_hooks_mut(state: &mut State) -> &mut LeafHooks {
    let hooks = state.hooks.get_or_insert_with(|| Box::new(LeafHooks::default()));
    hooks.downcast_mut().unwrap_or_else(|| unreachable!("nothing else is kept there"))
}

impl Meta {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The tensor whose state this is now `t`: the hooks that see the tensor follow it.
    pub(crate) fn moved_to(&self, t: &Tensor) {
        leaf_hooks_mut(&mut self.lock()).owner = Arc::downgrade(&t.0);
    }
}

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
        !self.requires_grad() || self.0.meta.get().is_none_or(|m| m.lock().history.is_none())
    }

    pub(super) fn history(&self) -> Option<(Arc<Node>, usize)> {
        if self.0.base.is_some() {
            self.refresh_view();
        }
        let (made_by, k) = self.0.meta.get().and_then(|m| m.lock().history.clone())?;
        Some((as_node(made_by), k))
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

    pub(super) fn set_history(&self, node: Arc<Node>, k: usize) {
        let meta = self.meta();
        let old = {
            let mut s = meta.lock();
            if let Some(bm) = self.0.base.as_ref().and_then(|b| b.0.meta.get()) {
                s.base_generation = bm.generation.load(Ordering::Acquire);
            }
            s.history.replace((node.clone(), k))
        };
        let old = old.map(|(old, _)| as_node(old));
        meta.needs.store(true, Ordering::Release);
        // Hooks stay with the value that they were registered on; a gradient to be kept is that of the present one.
        // (The old node is dropped with no lock held: it may run a foreign release callback.)
        if let Some(old) = old.filter(|o| o.hooked.load(Ordering::Acquire) && !Arc::ptr_eq(o, &node)) {
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

    /// A handle with other elements but this one's autograd state (gradient, hooks, `requires_grad`).
    pub fn replaced_by(&self, data: &Tensor) -> Result<Tensor> {
        if self.requires_grad() && !data.dtype().is_differentiable() {
            bail!(DType, "data set to a tensor that requires gradients must be floating point, got {}", data.dtype());
        }
        if data.device() != self.device() {
            bail!(Value, "data of a tensor on device {} cannot be set to one on {}", self.device(), data.device());
        }
        let t = data.alias();
        if self.0.meta.get().is_some() || self.requires_grad() {
            // `t` is new and has no state yet, so this cannot fail.
            let _ = t.0.meta.set(self.meta().clone());
            self.meta().moved_to(&t);
        }
        Ok(t)
    }

    /// The tensor that has this one's autograd state now; see [`Tensor::replaced_by`].
    pub(super) fn present(&self) -> Tensor {
        let owner = leaf_hooks(&self.meta().lock()).and_then(|h| h.owner.upgrade());
        owner.map_or_else(|| self.clone(), Tensor)
    }
}

// ---- nodes ----

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
    pub(super) fn new(
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

    pub(super) fn lock_hooks(&self) -> MutexGuard<'_, Option<Box<NodeHooks>>> {
        self.hooks.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn with_hooks<R>(&self, f: impl FnOnce(&mut NodeHooks) -> R) -> R {
        let done = f(self.lock_hooks().get_or_insert_with(Default::default));
        self.hooked.store(true, Ordering::Release);
        done
    }

    pub(super) fn retain(&self, mut note: Box<Retained>) {
        self.with_hooks(|h| {
            note.next = h.retained.take();
            h.retained = Some(note);
        });
    }

    /// Takes the note out that this tensor keeps its gradient.
    pub(super) fn forget(&self, meta: &Arc<Meta>) -> Option<Box<Retained>> {
        let mut hooks = self.lock_hooks();
        let mut at = &mut hooks.as_mut()?.retained;
        while !at.as_ref()?.of(meta) {
            at = &mut at.as_mut()?.next;
        }
        let mut note = at.take()?;
        *at = note.next.take();
        Some(note)
    }

    pub(super) fn lock_saved(&self) -> MutexGuard<'_, Option<SavedSet>> {
        self.saved.lock().unwrap_or_else(|e| e.into_inner())
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
            doom(list, as_node(n));
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
