//! Whether ops are recorded, per thread.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    static GRAD: Cell<bool> = const { Cell::new(true) };
    static INFERENCE: Cell<bool> = const { Cell::new(false) };
}

/// True if ops are recorded on this thread.
#[inline]
pub fn grad_enabled() -> bool {
    GRAD.get()
}

/// True inside `inference_mode`.
pub fn inference_enabled() -> bool {
    INFERENCE.get()
}

/// Switches recording on or off until it is dropped.
pub struct GradMode(bool);

impl GradMode {
    /// Sets the mode.
    pub fn set(on: bool) -> GradMode {
        GradMode(GRAD.replace(on))
    }
}

impl Drop for GradMode {
    fn drop(&mut self) {
        GRAD.set(self.0);
    }
}

/// Switches inference mode (no recording at all) until it is dropped.
pub struct InferenceMode(bool, #[allow(dead_code, reason = "restores the grad mode when dropped")] GradMode);

impl InferenceMode {
    /// Sets the mode.
    pub fn set(on: bool) -> InferenceMode {
        InferenceMode(INFERENCE.replace(on), GradMode::set(!on))
    }
}

impl Drop for InferenceMode {
    fn drop(&mut self) {
        INFERENCE.set(self.0);
    }
}

/// Sets the recording mode for good; returns the old one (for callers that cannot hold a guard).
pub fn set_grad_enabled(on: bool) -> bool {
    GRAD.replace(on)
}

/// Sets inference mode for good; returns the old one.
pub fn set_inference(on: bool) -> bool {
    INFERENCE.replace(on)
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
