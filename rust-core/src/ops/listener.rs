//! The place where somebody can watch every call of an op: recorders, graph capture, profilers.

use super::{Attr, OpDef};
use crate::tensor::Tensor;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

/// One call, after it succeeded.
pub struct Event<'a> {
    /// The op.
    pub op: &'static OpDef,
    /// True for the in-place twin.
    pub inplace: bool,
    /// Its tensors.
    pub inputs: &'a [Option<&'a Tensor>],
    /// Its attributes.
    pub attrs: &'a [Attr<'a>],
    /// Its results; for in-place calls the first input.
    pub outputs: &'a [Tensor],
}

/// Looks on. Only outermost calls are told: what a composite op is made of stays its own business, unless it is recorded
/// for backward; then its parts are told in its place.
pub trait Listener: Send + Sync {
    /// One call has succeeded.
    fn called(&self, event: &Event);
}

static ACTIVE: AtomicBool = AtomicBool::new(false);
static CURRENT: RwLock<Option<Arc<dyn Listener>>> = RwLock::new(None);

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Sets or removes the listener; returns the one before.
pub fn set(listener: Option<Arc<dyn Listener>>) -> Option<Arc<dyn Listener>> {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        crate::fork::free_in_child!(
            std::sync::RwLockWriteGuard<'static, Option<Arc<dyn Listener>>>,
            CURRENT.write().unwrap_or_else(|e| e.into_inner())
        )
    });
    let mut current = CURRENT.write().unwrap_or_else(|e| e.into_inner());
    ACTIVE.store(listener.is_some(), Ordering::Release);
    std::mem::replace(&mut *current, listener)
}

/// True if somebody listens.
#[inline(always)]
pub fn active() -> bool {
    ACTIVE.load(Ordering::Relaxed)
}

#[cold]
pub(super) fn tell(op: &'static OpDef, inplace: bool, inputs: &[Option<&Tensor>], attrs: &[Attr], outputs: &[Tensor]) {
    if DEPTH.get() > 0 {
        return;
    }
    // The lock is not held during the call: the listener may set another one.
    let listener = CURRENT.read().unwrap_or_else(|e| e.into_inner()).clone();
    if let Some(l) = listener {
        let _quiet = Depth::enter();
        l.called(&Event { op, inplace, inputs, attrs, outputs });
    }
}

/// While it lives, calls on this thread are inner ones.
pub struct Depth(());

impl Depth {
    pub(super) fn enter() -> Depth {
        DEPTH.set(DEPTH.get() + 1);
        Depth(())
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}
