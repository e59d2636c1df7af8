//! Whether ops are recorded, and in which dtype they compute, per thread.

use crate::dtype::DType;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static MODES: Modes = const {
        Modes {
            grad: Cell::new(true),
            inference: Cell::new(false),
            saving_hooks: Cell::new(false),
            autocast: Cell::new(None),
            caches: Cell::new(true),
        }
    };
}

struct Modes {
    grad: Cell<bool>,
    inference: Cell<bool>,
    saving_hooks: Cell<bool>,
    autocast: Cell<Option<DType>>,
    caches: Cell<bool>,
}

/// The dtype in which ops that gain by it compute on this thread; None if all compute in that of their inputs.
#[inline]
pub fn autocast() -> Option<DType> {
    MODES.with(|m| m.autocast.get())
}

/// Sets that dtype; returns the old one.
pub fn set_autocast(to: Option<DType>) -> Option<DType> {
    MODES.with(|m| m.autocast.replace(to))
}

/// True if parameters that were cast once are kept until `autocast` ends.
pub fn autocast_caches() -> bool {
    MODES.with(|m| m.caches.get())
}

/// Says whether they are; returns what was so.
pub fn set_autocast_caches(on: bool) -> bool {
    MODES.with(|m| m.caches.replace(on))
}

/// Sets the dtype of `autocast` until it is dropped.
pub(crate) struct Autocast(Option<DType>);

impl Autocast {
    pub(crate) fn set(to: Option<DType>) -> Autocast {
        Autocast(set_autocast(to))
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        set_autocast(self.0);
    }
}

/// True if hooks see what ops on this thread save.
#[inline]
pub fn saving_hooks() -> bool {
    MODES.with(|m| m.saving_hooks.get())
}

/// Says whether hooks see what ops on this thread save.
pub(crate) fn set_saving_hooks(on: bool) {
    MODES.with(|m| m.saving_hooks.set(on));
}

/// True if ops are recorded on this thread.
#[inline]
pub fn grad_enabled() -> bool {
    MODES.with(|m| m.grad.get())
}

/// True if ops on tensors that require gradients get a history on this thread.
#[inline]
pub(crate) fn recording() -> bool {
    MODES.with(|m| m.grad.get() && !m.inference.get())
}

/// True inside `inference_mode`.
#[inline]
pub fn inference_enabled() -> bool {
    MODES.with(|m| m.inference.get())
}

/// Switches recording on or off until it is dropped.
pub struct GradMode(bool);

impl GradMode {
    /// Sets the mode.
    pub fn set(on: bool) -> GradMode {
        GradMode(set_grad_enabled(on))
    }
}

impl Drop for GradMode {
    fn drop(&mut self) {
        set_grad_enabled(self.0);
    }
}

/// Switches inference mode (no recording at all) until it is dropped.
pub struct InferenceMode(bool, #[allow(dead_code, reason = "restores the grad mode when dropped")] GradMode);

impl InferenceMode {
    /// Sets the mode.
    pub fn set(on: bool) -> InferenceMode {
        InferenceMode(set_inference(on), GradMode::set(!on))
    }
}

impl Drop for InferenceMode {
    fn drop(&mut self) {
        set_inference(self.0);
    }
}

/// Sets the recording mode for good; returns the old one (for callers that cannot hold a guard).
pub fn set_grad_enabled(on: bool) -> bool {
    MODES.with(|m| m.grad.replace(on))
}

/// Sets inference mode for good; returns the old one.
pub fn set_inference(on: bool) -> bool {
    MODES.with(|m| m.inference.replace(on))
}

static DETECT_ANOMALY: AtomicBool = AtomicBool::new(false);

/// True if backward looks for NaN in every gradient.
pub fn detect_anomaly() -> bool {
    DETECT_ANOMALY.load(Ordering::Relaxed)
}

/// Makes backward, on every thread, fail at the first op whose gradient has NaN in it (or stop looking); returns what
/// it was.
pub fn set_detect_anomaly(on: bool) -> bool {
    DETECT_ANOMALY.swap(on, Ordering::Relaxed)
}
