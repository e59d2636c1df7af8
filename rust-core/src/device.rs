//! L0: where tensors live.

use crate::bail;
use crate::error::Result;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

/// A place for tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Device {
    /// Main memory.
    Cpu = 0,
    /// Nowhere: such tensors have a shape, a dtype and strides, but no elements.
    Meta = 1,
}

impl Device {
    /// From its code.
    pub fn from_code(code: i32) -> Result<Device> {
        Ok(match code {
            0 => Device::Cpu,
            1 => Device::Meta,
            _ => bail!(Value, "unknown device code {code}"),
        })
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Device::Cpu => "cpu",
            Device::Meta => "meta",
        })
    }
}

/// True once some thread has asked for another device than the CPU: until then nobody needs to look.
static USED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static CURRENT: Cell<Device> = const { Cell::new(Device::Cpu) };
    /// While an op has set another one: the device that the program has set.
    static OWN: Cell<Option<Device>> = const { Cell::new(None) };
}

/// Where this thread puts what is made of no other tensor.
#[inline(always)]
pub fn current() -> Device {
    if USED.load(Ordering::Relaxed) {
        CURRENT.get()
    } else {
        Device::Cpu
    }
}

/// Sets [`current`]; returns the one before.
pub fn set_current(device: Device) -> Device {
    if device != Device::Cpu {
        USED.store(true, Ordering::Relaxed);
    }
    CURRENT.replace(device)
}

/// Runs a function of the program, for which [`current`] is what the program has set.
#[inline(always)]
pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    if !USED.load(Ordering::Relaxed) {
        return f();
    }
    let Some(own) = OWN.take() else { return f() };
    let of_the_op = CURRENT.replace(own);
    let result = f();
    OWN.set(Some(CURRENT.replace(of_the_op)));
    result
}

/// While it lives, [`current`] is another device. Holds the one before, and whether that is the program's own.
pub(crate) struct On(Option<(Device, bool)>);

impl On {
    #[inline(always)]
    pub(crate) fn enter(device: Device) -> On {
        On((current() != device).then(|| On::change(device)))
    }

    #[cold]
    fn change(device: Device) -> (Device, bool) {
        let before = set_current(device);
        let outermost = OWN.get().is_none();
        if outermost {
            OWN.set(Some(before));
        }
        (before, outermost)
    }
}

impl Drop for On {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some((before, outermost)) = self.0 {
            // A function of the program may have set another one meanwhile.
            let own = if outermost { OWN.take() } else { None };
            CURRENT.set(own.unwrap_or(before));
        }
    }
}
