//! L4: automatic differentiation. Ops record nodes; [`backward`] walks them. The rules come from the table.

mod contexts;
mod modes;
mod walk;

pub use contexts::Foreign;

use modes::recording;
pub use modes::{
    detect_anomaly, grad_enabled, inference_enabled, set_detect_anomaly, set_grad_enabled, set_inference, GradMode,
    InferenceMode,
};
pub use walk::{backward, grad};

use crate::dtype::DType;
use crate::error::Result;
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
    /// Hooks of a leaf. Those of other tensors are at the node.
    hooks: List<Registered>,
    /// Hooks that a leaf calls when `grad` is complete. Few have any.
    after: Option<Box<After>>,
    /// For a view: the generation of its base that `history` belongs to.
    base_generation: u64,
}

/// A hook, the number that removes it, and what the caller keeps for it.
pub(crate) struct Registered {
    id: u64,
    call: Hook,
    context: Option<Foreign>,
}

struct After {
    hooks: List<Registered>,
    /// The tensor that the hooks get.
    owner: Weak<TensorImpl>,
}

impl Meta {
    /// True if a tensor that is made now on this thread is an inference tensor.
    #[inline]
    pub(crate) fn of_inference() -> bool {
        inference_enabled()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The tensor whose state this is now `t`: the hooks that see the tensor follow it.
    pub(crate) fn moved_to(&self, t: &Tensor) {
        if let Some(after) = &mut self.lock().after {
            after.owner = Arc::downgrade(&t.0);
        }
    }
}

/// Where a gradient goes.
#[derive(Clone)]
pub(crate) enum Edge {
    /// To output `usize` of a node.
    Node(Arc<Node>, usize),
    /// To a leaf.
    Leaf(Arc<Meta>),
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
    hooks: Mutex<List<NodeHook>>,
    /// True if `hooks` holds any.
    hooked: AtomicBool,
    sequence: u64,
    /// The next node in the list of those that are taken apart.
    doomed: Option<Arc<Node>>,
}

/// A hook on one output of a node, or a leaf-like place that keeps the gradient (`retain_grad`).
pub(crate) enum NodeHook {
    Call(usize, Registered),
    Retain(usize, Weak<Meta>),
}

#[derive(Default)]
struct SavedSet {
    inputs: SmallVec<[Option<Saved>; 3]>,
    outputs: SmallVec<[Option<Saved>; 1]>,
}

/// A tensor that backward will read: its elements, where its gradient goes, and the version it had.
struct Saved {
    data: Arc<TensorImpl>,
    edge: Option<Edge>,
    /// For an output of the node itself, its index (an edge would be a cycle).
    output: Option<usize>,
    version: u64,
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
        if on && !self.dtype().is_float() {
            bail!(Autograd, "only floating point tensors can require gradients, got {}", self.dtype());
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
            None => Edge::Leaf(self.meta().clone()),
        })
    }

    fn set_history(&self, node: Arc<Node>, k: usize) -> Result<()> {
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
            let mut hooks = old.hooks.lock().unwrap_or_else(|e| e.into_inner());
            let before = hooks.len();
            hooks.retain(|h| !matches!(h, NodeHook::Retain(_, m) if m.as_ptr() == Arc::as_ptr(meta)));
            let moved = hooks.len() < before;
            drop(hooks);
            if moved {
                node.add_hook(NodeHook::Retain(k, Arc::downgrade(meta)))?;
            }
        }
        Ok(())
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
        let node = Node {
            rule: Rule::AsStrided(Box::new([base.layout().clone(), self.layout().clone()])),
            edges: SmallVec::from_iter([Some(edge)]),
            inputs: SmallVec::from_iter([(base.dims(), base.dtype())]),
            outputs: SmallVec::from_iter([(self.dims(), self.dtype())]),
            saved: Mutex::new(None),
            hooks: Mutex::default(),
            hooked: AtomicBool::new(false),
            sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed),
            doomed: None,
        };
        // Fails where there is no memory for a note that the gradient be kept; then it is not.
        let _ = self.set_history(Arc::new(node), 0);
    }

    /// Keeps the gradient of a tensor that is no leaf.
    pub fn retain_grad(&self) -> Result<()> {
        if !self.requires_grad() {
            bail!(Autograd, "retain_grad: can't retain_grad on a tensor that does not require gradients");
        }
        if let Some((node, k)) = self.history() {
            let meta = self.meta();
            let retains = |h: &NodeHook| matches!(h, NodeHook::Retain(_, m) if m.as_ptr() == Arc::as_ptr(meta));
            if !node.hooks.lock().unwrap_or_else(|e| e.into_inner()).iter().any(retains) {
                node.add_hook(NodeHook::Retain(k, Arc::downgrade(meta)))?;
            }
        }
        Ok(())
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
            Some((node, k)) => node.add_hook(NodeHook::Call(k, Registered { id, call, context }))?,
            None => self.meta().lock().hooks.push(Registered { id, call, context })?,
        }
        Ok(id)
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
        let mut s = self.meta().lock();
        let after = s.after.get_or_insert_with(|| After { hooks: List::new(), owner: Weak::new() }.into());
        after.hooks.push(Registered { id, call, context })?;
        after.owner = Arc::downgrade(&self.0);
        Ok(id)
    }

    /// Removes a hook; unknown ids are ignored.
    pub fn remove_hook(&self, id: u64) {
        if let Some(m) = self.0.meta.get() {
            // Dropped after the lock is released: it may run a foreign release callback.
            let _gone = {
                let mut s = m.lock();
                let s = &mut *s;
                let of_list = |l: &mut List<Registered>| l.iter().position(|h| h.id == id).map(|i| l.remove(i));
                [of_list(&mut s.hooks), s.after.as_mut().and_then(|a| of_list(&mut a.hooks))]
            };
        }
        if let Some((node, _)) = self.history() {
            let _gone = {
                let mut hooks = node.hooks.lock().unwrap_or_else(|e| e.into_inner());
                let found = hooks.iter().position(|h| matches!(h, NodeHook::Call(_, r) if r.id == id));
                found.map(|i| hooks.remove(i))
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

    /// The nodes that gradients flow to, one per input; None inside for a leaf.
    pub fn next(&self) -> impl ExactSizeIterator<Item = Option<Option<Arc<Node>>>> + '_ {
        let target = |e: &Edge| match e {
            Edge::Node(n, _) => Some(n.clone()),
            Edge::Leaf(_) => None,
        };
        self.edges.iter().map(move |e| e.as_ref().map(target))
    }

    fn add_hook(&self, h: NodeHook) -> Result<()> {
        self.hooks.lock().unwrap_or_else(|e| e.into_inner()).push(h)?;
        self.hooked.store(true, Ordering::Release);
        Ok(())
    }

    fn lock_saved(&self) -> MutexGuard<'_, Option<SavedSet>> {
        self.saved.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Drop for Node {
    /// Takes long chains apart step by step, where nested drops would overflow the stack. The list of nodes that are still to
    /// go through lies in the nodes, so that it takes no memory.
    fn drop(&mut self) {
        fn add(list: &mut Option<Arc<Node>>, mut n: Arc<Node>) {
            // A node that somebody else has too only loses an owner.
            if let Some(node) = Arc::get_mut(&mut n) {
                node.doomed = list.take();
                *list = Some(n);
            }
        }
        fn take(node: &mut Node, list: &mut Option<Arc<Node>>) {
            let mut edge = |e: Option<Edge>| {
                if let Some(Edge::Node(n, _)) = e {
                    add(list, n);
                }
            };
            node.edges.drain(..).for_each(&mut edge);
            let saved = node.saved.get_mut().unwrap_or_else(|e| e.into_inner()).take();
            for s in saved.into_iter().flat_map(|s| s.inputs.into_iter().chain(s.outputs)).flatten() {
                edge(s.edge);
            }
            if let Rule::Slices(inner, ..) = &mut node.rule {
                if let Some(inner) = inner.take() {
                    add(list, inner);
                }
            }
        }
        let mut list = self.doomed.take();
        take(self, &mut list);
        while let Some(mut n) = list {
            list = None;
            if let Some(node) = Arc::get_mut(&mut n) {
                list = node.doomed.take();
                take(node, &mut list);
            }
        }
    }
}

impl Saved {
    fn new(t: &Tensor, output: Option<usize>) -> Saved {
        let (data, edge) = match output {
            None if !t.requires_grad() && !t.is_view() => (t.0.clone(), None),
            None => (t.alias_keeping_number().0, t.edge()),
            Some(_) => (t.alias().0, None),
        };
        Saved { data, edge, output, version: t.version() }
    }

    /// The tensor as it was saved; with its place in the graph if the walk is recorded or `whole` asks for it.
    fn unpack(&self, node: &Arc<Node>, whole: bool) -> Result<Tensor> {
        let data = Tensor(self.data.clone());
        if data.version() != self.version {
            bail!(
                Autograd,
                "one of the variables needed for gradient computation has been modified by an inplace operation: \
                 a {} tensor of shape {:?} that {} saved is at version {}; expected version {} instead",
                data.dtype(),
                data.shape(),
                node.name(),
                data.version(),
                self.version
            );
        }
        if !whole && !grad_enabled() {
            return Ok(data);
        }
        let edge = match self.output {
            Some(k) => Some(Edge::Node(node.clone(), k)),
            None => self.edge.clone(),
        };
        Ok(match edge {
            None => data,
            Some(Edge::Leaf(meta)) => {
                let t = data.alias();
                // `t` is new: the cell is empty.
                let _ = t.0.meta.set(meta);
                t
            }
            Some(Edge::Node(n, k)) => {
                let t = data.alias();
                t.set_history(n, k)?;
                t
            }
        })
    }
}

impl Tensor {
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
    if saved.iter().flatten().any(|s| s.data.inference) {
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
        edges.push(t.and_then(|t| if t.dtype().is_float() { t.edge() } else { None }));
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
    Ok(Node {
        rule: Rule::Op(op, owned),
        edges,
        inputs: kinds,
        outputs: SmallVec::new(),
        saved: Mutex::new(Some(saved)),
        hooks: Mutex::default(),
        hooked: AtomicBool::new(false),
        sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed),
        doomed: None,
    })
}

/// With one output this cannot fail.
#[inline(always)] // as above
fn finish(mut node: Node, outs: &[Tensor], save_outputs: bool) -> Result<Arc<Node>> {
    reserve(&mut node.outputs, outs.len())?;
    node.outputs.extend(outs.iter().map(|t| (t.dims(), t.dtype())));
    if save_outputs {
        if let Some(s) = node.saved.get_mut().unwrap_or_else(|e| e.into_inner()) {
            reserve(&mut s.outputs, outs.len())?;
            s.outputs.extend(outs.iter().enumerate().map(|(k, t)| Some(Saved::new(t, Some(k)))));
        }
    }
    Ok(Arc::new(node))
}

/// Attaches the history of a call to its results.
pub(crate) fn record(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr], outs: &mut Outs) -> Result<()> {
    let mut node = prepare(op, inputs, attrs)?;
    if let Some(s) = node.saved.get_mut().unwrap_or_else(|e| e.into_inner()) {
        refuse_inference(&s.inputs)?;
    }
    let node = finish(node, outs, op.saves.output())?;
    probe(outs.len(), size_of::<Meta>())?;
    for (k, out) in outs.iter_mut().enumerate().filter(|o| o.1.dtype().is_float()) {
        match Arc::get_mut(&mut out.0) {
            // A new tensor that nobody else has seen.
            Some(t) if t.base.is_none() && t.meta.get().is_none() => {
                let state = State { history: Some((node.clone(), k)), ..State::default() };
                t.meta = Arc::new(Meta { needs: true.into(), generation: 0.into(), state: state.into() }).into();
            }
            _ => out.set_history(node.clone(), k)?,
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
    let mut edges: SmallVec<[Option<Edge>; 3]> = room(inputs.len())?;
    edges.extend(inputs.iter().map(|t| t.and_then(|t| t.edge())));
    let mut kinds: SmallVec<[(Dims, DType); 3]> = room(inputs.len())?;
    kinds.extend(inputs.iter().map(|t| t.map_or((Dims::new(), DType::F32), |t| (t.dims(), t.dtype()))));
    let mut results: SmallVec<[(Dims, DType); 1]> = room(outs.len())?;
    results.extend(outs.iter().map(|t| (t.dims(), t.dtype())));
    let node = Node {
        rule: Rule::Custom(rule),
        edges,
        inputs: kinds,
        outputs: results,
        saved: Mutex::new(Some(SavedSet { inputs: kept, outputs: SmallVec::new() })),
        hooks: Mutex::default(),
        hooked: AtomicBool::new(false),
        sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed),
        doomed: None,
    };
    let node = Arc::new(node);
    for (k, out) in outs.iter().enumerate() {
        if out.dtype().is_float() {
            out.set_history(node.clone(), k)?;
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
    if needs && target.is_leaf() {
        bail!(Autograd, "a leaf Variable that requires grad is being used in an in-place operation");
    }
    if let (true, Some(base)) = (needs, target.base()) {
        if base.requires_grad() && base.is_leaf() {
            bail!(Autograd, "a view of a leaf Variable that requires grad is being used in an in-place operation");
        }
    }
    if !target.dtype().is_float() || !inputs.iter().flatten().any(|t| t.requires_grad()) {
        return Ok(None);
    }
    // An op without a derivative (a fill, random numbers) cuts the history: its rule sends no gradient back.
    let mut node = prepare(op, inputs, attrs)?;
    let saved = node.saved.get_mut().unwrap_or_else(|e| e.into_inner());
    if let Some(Some(first)) = saved.as_mut().and_then(|s| s.inputs.first_mut()) {
        // The rule reads the elements as they are now: they are copied before the op writes over them.
        let _mode = GradMode::set(false);
        let copy = target.duplicate()?;
        first.version = copy.version();
        first.data = copy.0;
    }
    if let Some(s) = saved {
        refuse_inference(&s.inputs)?;
    }
    Ok(Some(node))
}

/// Gives `target` the history of the in-place call that has just changed it, and its base with it.
pub(crate) fn rebase(target: &Tensor, node: Node) -> Result<()> {
    let save_outputs = matches!(node.rule, Rule::Op(op, _) if op.saves.output());
    let inner = finish(node, std::slice::from_ref(target), save_outputs)?;
    let Some(base) = target.base() else {
        target.set_history(inner, 0)?;
        target.meta().generation.fetch_add(1, Ordering::AcqRel);
        return Ok(());
    };
    let mut edges = inner.edges.clone();
    edges[0] = base.edge();
    let mut inputs = inner.inputs.clone();
    inputs[0] = (base.dims(), base.dtype());
    let node = Arc::new(Node {
        rule: Rule::Slices(Some(inner), Box::new([base.layout().clone(), target.layout().clone()])),
        edges,
        inputs,
        outputs: SmallVec::from_iter([(base.dims(), base.dtype())]),
        saved: Mutex::new(None),
        hooks: Mutex::default(),
        hooked: AtomicBool::new(false),
        sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed),
        doomed: None,
    });
    base.set_history(node, 0)?;
    base.meta().generation.fetch_add(1, Ordering::AcqRel);
    Ok(())
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
