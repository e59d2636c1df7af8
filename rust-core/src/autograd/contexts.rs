//! What a garbage collector of another language may see: the contexts that one handle alone keeps alive.

use super::hooks::Target;
use super::node::*;
use crate::memory::List;
use crate::tensor::{Meta, State, Tensor, TensorImpl};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// So many objects are looked at for one handle: a collector asks again and again.
const LIMIT: usize = 20_000;

/// A search through what would go with one handle. An object that anybody else holds too is left out, with all behind it; one
/// that several of the found ones hold, and nobody else, is found when the last of them is.
struct Search<'a> {
    left: usize,
    found: &'a mut dyn FnMut(Foreign),
    /// How often an object with several owners has been met, by its address.
    met: HashMap<usize, usize>,
    work: List<Thing>,
    guards: List<Guard<'a>>,
}

/// Something to look into.
enum Thing {
    Tensor(*const TensorImpl),
    Meta(*const Meta),
    Node(*const Node),
}

/// What is looked at stays locked to the end of the search, so nothing is dropped meanwhile.
#[expect(dead_code, reason = "held, not read")]
enum Guard<'a> {
    State(MutexGuard<'a, State>),
    Hooks(MutexGuard<'a, Option<Box<NodeHooks>>>),
    Saved(MutexGuard<'a, Option<SavedSet>>),
}

impl Tensor {
    /// Calls `found` for each context that would be released with this handle, if it were dropped now. In very large graphs
    /// some may be left out.
    pub fn visit_contexts(&self, found: &mut dyn FnMut(Foreign)) {
        // Most often it has other owners, and that is all.
        if Arc::strong_count(&self.0) == 1 {
            Search::new(found).run(|s| s.tensor(self));
        }
    }
}

impl Target {
    /// As [`Tensor::visit_contexts`], for the handle of a node.
    pub fn visit_contexts(&self, found: &mut dyn FnMut(Foreign)) {
        Search::new(found).run(|s| s.edge(&self.edge));
    }
}

/// The guard, unless another thread has it: then that thread has a share in what lies behind, too.
fn open<'a, T>(m: &'a Mutex<T>) -> Option<(MutexGuard<'a, T>, &'a T)> {
    let guard = match m.try_lock() {
        Ok(g) => g,
        Err(TryLockError::Poisoned(e)) => e.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    let inside: *const T = &*guard;
    // SAFETY: the guard, which `Search` keeps to its end, keeps everybody else from changing it.
    Some((guard, unsafe { &*inside }))
}

impl<'a> Search<'a> {
    fn new(found: &'a mut dyn FnMut(Foreign)) -> Self {
        Search { left: LIMIT, found, met: HashMap::new(), work: List::new(), guards: List::new() }
    }

    /// Ends early where memory is short: contexts are left out then, as in large graphs.
    fn run(mut self, begin: impl FnOnce(&mut Self) -> Option<()>) {
        let mut next = begin(&mut self);
        while next.is_some() {
            let Some(thing) = self.work.pop() else { return };
            // SAFETY: reached from the handle, which is borrowed, through what does not change or is locked.
            next = unsafe {
                match thing {
                    Thing::Tensor(t) => self.in_tensor(&*t),
                    Thing::Meta(m) => self.in_meta(&*m),
                    Thing::Node(n) => self.in_node(&*n),
                }
            };
        }
    }

    /// One of the owners of an object has been found. With the last of them, `thing` is to be looked into.
    fn owner<T: ?Sized>(&mut self, a: &Arc<T>, thing: impl FnOnce(*const T) -> Thing) -> Option<()> {
        let owners = Arc::strong_count(a);
        if owners > 1 {
            self.met.try_reserve(1).ok()?;
            let met = self.met.entry(Arc::as_ptr(a).cast::<()>() as usize).or_insert(0);
            *met += 1;
            if *met < owners {
                return Some(());
            }
        }
        self.left = self.left.checked_sub(1)?;
        self.work.push(thing(Arc::as_ptr(a))).ok()
    }

    fn tensor(&mut self, t: &Tensor) -> Option<()> {
        self.owner(&t.0, Thing::Tensor)
    }

    fn node(&mut self, n: &Arc<Node>) -> Option<()> {
        self.owner(n, Thing::Node)
    }

    fn edge(&mut self, e: &Edge) -> Option<()> {
        match e {
            Edge::Node(n, _) => self.node(n),
            Edge::Leaf(t) => self.tensor(t),
        }
    }

    fn in_tensor(&mut self, t: &'a TensorImpl) -> Option<()> {
        if let Some(meta) = t.meta.get() {
            self.owner(meta, Thing::Meta)?;
        }
        t.base.iter().try_for_each(|b| self.tensor(b))
    }

    fn in_meta(&mut self, meta: &'a Meta) -> Option<()> {
        let Some((guard, state)) = open(&meta.state) else { return Some(()) };
        self.guards.push(Guard::State(guard)).ok()?;
        if let Some(h) = leaf_hooks(state) {
            self.hooks(h.calls.iter().chain(&h.collected));
            self.around(&h.around);
        }
        state.history.iter().try_for_each(|(n, _)| self.owner(n, |n| Thing::Node(n.cast())))?;
        state.grad.iter().try_for_each(|g| self.tensor(g))
    }

    fn hooks<'b, H: ?Sized + 'b>(&mut self, hooks: impl Iterator<Item = &'b Registered<Arc<H>>>) {
        // A call that is under way has a share in its hook.
        hooks.filter(|h| Arc::strong_count(&h.call) == 1).filter_map(|h| h.context).for_each(|c| (self.found)(c));
    }

    fn around(&mut self, a: &Around) {
        self.hooks(a.before.iter().chain(&a.after));
    }

    fn in_node(&mut self, node: &'a Node) -> Option<()> {
        match &node.rule {
            Rule::Custom(rule) if Arc::strong_count(rule) == 1 => {
                rule.context().into_iter().for_each(|c| (self.found)(c));
            }
            Rule::Slices(Some(inner), _) => self.node(inner)?,
            _ => {}
        }
        if let Some((guard, hooks)) = open(&node.hooks) {
            self.guards.push(Guard::Hooks(guard)).ok()?;
            if let Some(h) = hooks {
                self.hooks(h.calls.iter().map(|c| &c.1));
                self.around(&h.around);
            }
        }
        node.edges.iter().flatten().try_for_each(|e| self.edge(e))?;
        let Some((guard, saved)) = open(&node.saved) else { return Some(()) };
        self.guards.push(Guard::Saved(guard)).ok()?;
        for s in saved.iter().flat_map(|s| s.inputs.iter().chain(&s.outputs)).flatten() {
            match &s.data {
                Data::Plain(t, _) => self.owner(t, Thing::Tensor)?,
                // A walk that is under way has a share.
                Data::Packed(p) if Arc::strong_count(p) == 1 => p.0.context().into_iter().for_each(|c| (self.found)(c)),
                Data::Packed(_) => {}
            }
            s.edge.iter().try_for_each(|e| self.edge(e))?;
        }
        Some(())
    }
}
