//! What a node keeps for backward, and the hooks that may keep it in another form: on disk, compressed, not at all.

use super::node::*;
use crate::bail;
use crate::error::Result;
use crate::memory::{room, Kept, List};
use crate::tensor::modes::{self, grad_enabled, GradMode};
use crate::tensor::{Tensor, TensorImpl};
use std::sync::Arc;

/// Decides how the tensors are kept that ops save for backward.
pub trait SavedHooks: Send + Sync {
    /// Called when a tensor is saved. The hook must not change it.
    fn pack(&self, t: &Tensor) -> Result<Box<dyn Packed>>;
}

thread_local! {
    static HOOKS: Kept<List<Arc<dyn SavedHooks>>> = const { Kept::new() };
}

fn end_hooks() {
    HOOKS.with(Kept::end);
}

/// From now on this thread saves tensors through `hooks`, until [`pop_saved_hooks`].
pub fn push_saved_hooks(hooks: Arc<dyn SavedHooks>) -> Result<()> {
    HOOKS.with(|kept| {
        let mut list = kept.take().unwrap_or_default();
        let pushed = list.push(hooks);
        let depth = list.len();
        kept.put(list, end_hooks);
        pushed?;
        // SAFETY: looks only.
        if unsafe { kept.look(|l| l.is_none()) } {
            bail!(Memory, "there is no memory for the hooks of saved tensors");
        }
        modes::set_saving_hooks(depth > 0);
        Ok(())
    })
}

/// Takes the hooks away that were pushed last on this thread; false if there are none.
pub fn pop_saved_hooks() -> bool {
    // Dropped at the end: it may run a foreign release callback.
    let _last = HOOKS.with(|kept| {
        let mut list = kept.take()?;
        let last = list.pop();
        modes::set_saving_hooks(!list.is_empty());
        kept.put(list, end_hooks);
        last
    });
    _last.is_some()
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

impl Data {
    pub fn new(t: Tensor) -> Data {
        let version = t.version();
        Data::Plain(t.0, version)
    }
}

impl Saved {
    pub fn new(t: &Tensor, output: Option<usize>) -> Saved {
        let (data, edge) = match output {
            None if !t.requires_grad() && !t.is_view() => (t.0.clone(), None),
            None => (t.alias_keeping_number().0, t.edge()),
            Some(_) => (t.alias().0, None),
        };
        Saved { data: Data::Plain(data, t.version()), edge, output }
    }

    /// The tensor that is kept, unless a hook has it.
    pub fn plain(&self) -> Option<&Arc<TensorImpl>> {
        match &self.data {
            Data::Plain(t, _) => Some(t),
            Data::Packed(_) => None,
        }
    }

    /// The tensor as it was saved; with its place in the graph if the walk is recorded or `whole` asks for it.
    pub fn unpack(&self, node: &Arc<Node>, whole: bool) -> Result<Tensor> {
        let data = match &self.data {
            Data::Plain(t, version) => {
                let data = Tensor(t.clone());
                if data.version() != *version {
                    bail!(
                        Autograd,
                        "one of the variables needed for gradient computation has been modified by an inplace operation: \
                         a {} tensor of shape {:?} that {} saved is at version {}; expected version {} instead",
                        data.dtype(),
                        data.shape(),
                        node.name(),
                        data.version(),
                        version
                    );
                }
                data
            }
            Data::Packed(p) => {
                let data = p.0.unpack()?;
                if data.shape() != &p.1[..] {
                    bail!(
                        Autograd,
                        "a saved tensor of shape {:?} was unpacked as one of shape {:?} by its unpack hook",
                        p.1,
                        data.shape()
                    );
                }
                data.alias()
            }
        };
        if !whole && !grad_enabled() {
            return Ok(data);
        }
        let edge = match self.output {
            Some(k) => Some(Edge::Node(node.clone(), k)),
            None => self.edge.clone(),
        };
        Ok(match edge {
            None => data,
            Some(Edge::Leaf(leaf)) => {
                let t = data.alias();
                // `t` is new: the cell is empty.
                let _ = t.0.meta.set(leaf.meta().clone());
                t
            }
            Some(Edge::Node(n, k)) => {
                let t = data.alias();
                t.set_history(n, k);
                t
            }
        })
    }
}

impl SavedSet {
    pub fn holds_nothing(&self) -> bool {
        self.all().next().is_none()
    }

    fn all(&self) -> impl Iterator<Item = &Saved> {
        self.inputs.iter().chain(&self.outputs).flatten()
    }

    /// The same with every packed tensor unpacked; None if there is none. Nothing of a node may be locked while hooks run,
    /// so `self` is a copy then.
    pub fn copy_if_packed(&self) -> Result<Option<SavedSet>> {
        if !self.all().any(|s| s.plain().is_none()) {
            return Ok(None);
        }
        let (mut inputs, mut outputs) = (room(self.inputs.len())?, room(self.outputs.len())?);
        inputs.extend(self.inputs.iter().cloned());
        outputs.extend(self.outputs.iter().cloned());
        Ok(Some(SavedSet { inputs, outputs }))
    }

    /// Runs the hooks. Each tensor is asked for once per walk through its node.
    pub fn unpack(mut self, node: &Arc<Node>) -> Result<SavedSet> {
        for s in self.inputs.iter_mut().chain(&mut self.outputs).flatten() {
            if s.plain().is_none() {
                s.data = Data::new(Saved { edge: None, output: None, ..s.clone() }.unpack(node, false)?);
            }
        }
        Ok(self)
    }
}

/// Hands what was saved to the hooks of this thread, if there are any. They see the tensors of the call where those are given
/// (`originals`); an output is shown without its history, which would keep itself alive.
#[inline]
pub(super) fn pack(saved: &mut [Option<Saved>], originals: &[Option<&Tensor>]) -> Result<()> {
    if modes::saving_hooks() {
        pack_all(saved, originals)
    } else {
        Ok(())
    }
}

#[cold]
fn pack_all(saved: &mut [Option<Saved>], originals: &[Option<&Tensor>]) -> Result<()> {
    // SAFETY: cloning an Arc does not touch the list.
    let hooks = HOOKS.with(|kept| unsafe { kept.look(|l| l.and_then(|l| l.last().cloned())) });
    let Some(hooks) = hooks else { return Ok(()) };
    // What the hook does itself is not recorded, and not saved.
    let _mode = GradMode::set(false);
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            modes::set_saving_hooks(true);
        }
    }
    modes::set_saving_hooks(false);
    let _again = Again;
    for (i, s) in saved.iter_mut().enumerate() {
        let Some(s) = s else { continue };
        let Some(kept) = s.plain().filter(|t| !t.wrapped).cloned().map(Tensor) else { continue };
        let shown = originals.get(i).copied().flatten().filter(|_| s.output.is_none()).unwrap_or(&kept);
        let version = shown.version();
        let packed = hooks.pack(shown)?;
        if shown.version() != version {
            bail!(
                Autograd,
                "a hook that packs saved tensors has changed the tensor of shape {:?} that it was given in place",
                shown.shape()
            );
        }
        s.data = Data::Packed(Arc::new((packed, shown.dims())));
    }
    Ok(())
}
