//! What a garbage collector of another language may see: the contexts that one handle alone keeps alive.

use super::*;
use crate::storage::Release;
use std::ffi::c_void;
use std::sync::TryLockError;

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

/// So many objects are looked at for one handle: a collector asks again and again, and a graph may be long.
const LIMIT: usize = 100;

/// A search through what has a single owner. Whatever anybody else holds too is left out, with all behind it.
struct Search<'a> {
    left: usize,
    found: &'a mut dyn FnMut(Foreign),
}

impl Tensor {
    /// Calls `found` for each context that would be released with this handle, if it were dropped now. Contexts that lie
    /// deep in a graph may be left out.
    pub fn visit_contexts(&self, found: &mut dyn FnMut(Foreign)) {
        Search { left: LIMIT, found }.tensor(self);
    }
}

impl Node {
    /// As [`Tensor::visit_contexts`], for the handle of a node.
    pub fn visit_contexts(self: &Arc<Node>, found: &mut dyn FnMut(Foreign)) {
        Search { left: LIMIT, found }.node(self);
    }
}

/// The guard, unless another thread has it: then that thread has a share in what lies behind, too.
fn open<T>(m: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match m.try_lock() {
        Ok(g) => Some(g),
        Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

// Locks are held while what they guard is looked at, so nothing is dropped meanwhile. `LIMIT` bounds the recursion.
impl Search<'_> {
    fn alone<T>(&mut self, a: &Arc<T>) -> bool {
        if self.left == 0 || Arc::strong_count(a) != 1 {
            return false;
        }
        self.left -= 1;
        true
    }

    fn tensor(&mut self, t: &Tensor) {
        self.body(&t.0);
    }

    fn body(&mut self, t: &Arc<TensorImpl>) {
        if !self.alone(t) {
            return;
        }
        if let Some(meta) = t.meta.get() {
            self.meta(meta);
        }
        if let Some(base) = &t.base {
            self.tensor(base);
        }
    }

    fn meta(&mut self, meta: &Arc<Meta>) {
        if !self.alone(meta) {
            return;
        }
        let Some(state) = open(&meta.state) else { return };
        self.hooks(state.hooks.iter().chain(state.after.iter().flat_map(|a| &a.hooks)));
        if let Some((node, _)) = &state.history {
            self.node(node);
        }
        if let Some(grad) = &state.grad {
            self.tensor(grad);
        }
    }

    fn hooks<'b>(&mut self, hooks: impl Iterator<Item = &'b Registered>) {
        // A call that is under way has a share in its hook.
        hooks.filter(|h| Arc::strong_count(&h.call) == 1).filter_map(|h| h.context).for_each(|c| (self.found)(c));
    }

    fn node(&mut self, node: &Arc<Node>) {
        if !self.alone(node) {
            return;
        }
        match &node.rule {
            Rule::Custom(rule) if Arc::strong_count(rule) == 1 => {
                if let Some(c) = rule.context() {
                    (self.found)(c);
                }
            }
            Rule::Slices(Some(inner), _) => self.node(inner),
            _ => {}
        }
        if let Some(hooks) = open(&node.hooks) {
            self.hooks(hooks.iter().filter_map(|h| match h {
                NodeHook::Call(_, r) => Some(r),
                NodeHook::Retain(..) => None,
            }));
        }
        for e in node.edges.iter().flatten() {
            self.edge(e);
        }
        if let Some(saved) = open(&node.saved) {
            for s in saved.iter().flat_map(|s| s.inputs.iter().chain(&s.outputs)).flatten() {
                self.body(&s.data);
                if let Some(e) = &s.edge {
                    self.edge(e);
                }
            }
        }
    }

    fn edge(&mut self, e: &Edge) {
        match e {
            Edge::Node(n, _) => self.node(n),
            Edge::Leaf(m) => self.meta(m),
        }
    }
}
