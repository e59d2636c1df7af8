//! The place where somebody can watch the calls of ops: recorders, graph capture, profilers. Each thread has a stack of
//! listeners, which hear the calls of that thread, the innermost first.

use crate::bail;
use crate::error::Result;
use crate::memory::{Kept, List};
use crate::table::{self, Attr, OpDef};
use crate::tensor::Tensor;
use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// An op that has no parts was called and has succeeded.
    Call,
    /// A composite begins; what comes one level deeper, up to its end, are its parts.
    Begin,
    /// The composite has succeeded.
    End,
    /// The composite has failed.
    Fail,
}

/// One event. It is the same whether gradients are recorded or not.
pub struct Event<'a> {
    /// What it tells.
    pub phase: Phase,
    /// Composites around it.
    pub depth: u32,
    /// The op.
    pub op: &'static OpDef,
    /// True for the in-place twin.
    pub inplace: bool,
    /// Its tensors.
    pub inputs: &'a [Option<&'a Tensor>],
    /// Its attributes.
    pub attrs: &'a [Attr<'a>],
    /// Its results, once it has succeeded; for in-place calls the first input.
    pub outputs: &'a [Tensor],
}

impl Event<'_> {
    /// True if the call writes to its input `i`.
    pub fn writes(&self, i: usize) -> bool {
        table::writes(self.op, self.inplace, self.inputs, self.attrs, i)
    }
    /// True if input `i` came as a plain number, which yields in type promotion.
    pub fn is_number(&self, i: usize) -> bool {
        self.inputs[i].is_some_and(|t| t.0.wrapped)
    }
}

/// Looks on. What a kernel calls inside itself is its own business and not told, nor is what a listener calls.
pub trait Listener: Send + Sync {
    /// Something has happened.
    fn called(&self, event: &Event);
}

struct Entry {
    listener: Arc<dyn Listener>,
    /// Composites that had begun on this thread when it was pushed: it hears no end of those.
    born: u64,
}

/// Listeners of all threads.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STACK: Kept<List<Entry>> = const { Kept::new() };
    /// While it is not 0, nothing is told.
    static QUIET: Cell<u32> = const { Cell::new(0) };
    /// Composites under way that were told.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Composites that were told.
    static BEGUN: Cell<u64> = const { Cell::new(0) };
}

/// The thread ends.
fn end_stack() {
    STACK.with(|kept| {
        let left = kept.take();
        LISTENERS.fetch_sub(left.as_ref().map_or(0, |l| l.len()), Ordering::Relaxed);
        kept.end();
    });
}

/// What `f` finds in this thread's stack.
fn look<R>(f: impl FnOnce(&[Entry]) -> R) -> R {
    // SAFETY: those that call this only look.
    STACK.with(|kept| unsafe { kept.look(|l| f(l.map_or(&[], |l| l))) })
}

/// From now on `listener` hears the calls of this thread, before those that were pushed earlier, until [`pop`].
pub fn push(listener: Arc<dyn Listener>) -> Result<()> {
    #[cfg(unix)]
    {
        /// The other threads are gone, and their listeners with them.
        unsafe extern "C" fn child() {
            LISTENERS.store(look(|l| l.len()), Ordering::Relaxed);
        }
        static ONCE: std::sync::Once = std::sync::Once::new();
        // SAFETY: the hook reads its own thread. Failure (no memory) costs time in the child: it looks where nobody is.
        ONCE.call_once(|| {
            unsafe { crate::fork::pthread_atfork(None, None, Some(child)) };
        });
    }
    STACK.with(|kept| {
        let mut list = kept.take().unwrap_or_default();
        let before = list.len();
        let pushed = list.push(Entry { listener, born: BEGUN.get() });
        kept.put(list, end_stack);
        pushed?;
        if look(|l| l.len()) == before {
            bail!(Memory, "there is no memory for a listener");
        }
        LISTENERS.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
}

/// Takes away the listener that this thread has pushed last; None if there is none.
pub fn pop() -> Option<Arc<dyn Listener>> {
    STACK.with(|kept| {
        let mut list = kept.take()?;
        let last = list.pop();
        kept.put(list, end_stack);
        let last = last?;
        LISTENERS.fetch_sub(1, Ordering::Relaxed);
        Some(last.listener)
    })
}

/// True if somebody listens, on whichever thread.
#[inline(always)]
pub fn active() -> bool {
    LISTENERS.load(Ordering::Relaxed) != 0
}

/// True if somebody listens on this thread.
#[inline(always)]
pub(crate) fn hears() -> bool {
    active() && heard()
}

/// Tells those of this thread that were there before composite number `before` began.
fn tell(event: &Event, before: u64) {
    let _quiet = Quiet::enter();
    // Nothing is borrowed during a call: a listener may push and pop.
    for i in (0..look(|l| l.len())).rev() {
        let listener = look(|l| l.get(i).filter(|e| e.born < before).map(|e| e.listener.clone()));
        if let Some(l) = listener {
            l.called(event);
        }
    }
}

/// True if this call would be told on this thread.
fn heard() -> bool {
    QUIET.get() == 0 && look(|l| !l.is_empty())
}

/// A call of an op without parts has succeeded.
#[cold]
pub(crate) fn called(
    op: &'static OpDef,
    inplace: bool,
    inputs: &[Option<&Tensor>],
    attrs: &[Attr],
    outputs: &[Tensor],
) {
    if heard() {
        tell(&Event { phase: Phase::Call, depth: DEPTH.get(), op, inplace, inputs, attrs, outputs }, u64::MAX);
    }
}

/// Runs what a composite is made of (`parts`), and tells its begin and its end.
#[cold]
pub(crate) fn in_parts<'a, R: AsRef<[Tensor]>>(
    op: &'static OpDef,
    inplace: bool,
    inputs: &'a [Option<&'a Tensor>],
    attrs: &'a [Attr<'a>],
    parts: impl FnOnce() -> Result<R>,
) -> Result<R> {
    if !heard() {
        return parts();
    }
    let depth = DEPTH.get();
    let number = BEGUN.get() + 1;
    BEGUN.set(number);
    let mut event = Event { phase: Phase::Begin, depth, op, inplace, inputs, attrs, outputs: &[] };
    tell(&event, number);
    DEPTH.set(depth + 1);
    // A panic ends the composite too, and so does an interrupt.
    let result = catch_unwind(AssertUnwindSafe(parts));
    DEPTH.set(depth);
    event.phase = Phase::Fail;
    if let Ok(Ok(outs)) = &result {
        (event.phase, event.outputs) = (Phase::End, outs.as_ref());
    }
    tell(&event, number);
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// While it lives, calls on this thread are not told.
pub struct Quiet(());

impl Quiet {
    pub(crate) fn enter() -> Quiet {
        QUIET.set(QUIET.get() + 1);
        Quiet(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(QUIET.get() - 1);
    }
}
