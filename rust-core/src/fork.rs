//! L0: what a forked child finds. It has one thread, and a copy of all memory as it was at that moment: a lock that another
//! thread of the parent held stays taken for ever, unless somebody sees to it.
//!
//! Locks of which there are few are held by the forking thread while it forks ([`free_in_child!`]), so that the child finds
//! them free and what they protect whole. The guards of storages, of which there are many, carry the [`epoch`] in which they
//! were taken: those of an earlier one count as free.

use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(unix)]
pub(crate) type ForkHook = Option<unsafe extern "C" fn()>;

#[cfg(unix)]
extern "C" {
    /// Calls the hooks at every fork: before it, and after it in the parent and in the child.
    pub(crate) fn pthread_atfork(prepare: ForkHook, parent: ForkHook, child: ForkHook) -> i32;
}

/// 0 until somebody asks; then 1, and one more in every child.
static EPOCH: AtomicU32 = AtomicU32::new(0);

/// Differs between a process and those that it was forked from.
#[inline(always)]
pub(crate) fn epoch() -> u32 {
    match EPOCH.load(Ordering::Relaxed) {
        0 => first_epoch(),
        n => n,
    }
}

#[cold]
fn first_epoch() -> u32 {
    #[cfg(unix)]
    {
        unsafe extern "C" fn child() {
            EPOCH.fetch_add(1, Ordering::Relaxed);
        }
        static ONCE: std::sync::Once = std::sync::Once::new();
        // SAFETY: the hook does one atomic addition. Failure (no memory) leaves guards as they were, with a time limit.
        ONCE.call_once(|| {
            unsafe { pthread_atfork(None, None, Some(child)) };
        });
    }
    // Another thread may have been quicker; a child has added one already.
    let _ = EPOCH.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
    EPOCH.load(Ordering::Relaxed)
}

/// Has the forking thread hold a lock (`$lock` gives its guard, of type `$guard`) while it forks. To be called once.
macro_rules! free_in_child {
    ($guard:ty, $lock:expr) => {
        #[cfg(unix)]
        {
            use std::{cell::Cell, mem::ManuallyDrop};
            thread_local! {
                /// Without a destructor, to note which takes memory.
                static HELD: Cell<ManuallyDrop<Option<$guard>>> = const { Cell::new(ManuallyDrop::new(None)) };
            }
            unsafe extern "C" fn before() {
                HELD.set(ManuallyDrop::new(Some($lock)));
            }
            unsafe extern "C" fn after() {
                drop(ManuallyDrop::into_inner(HELD.replace(ManuallyDrop::new(None))));
            }
            // SAFETY: the hooks lock and unlock on the forking thread. Failure (no memory) leaves a fork as it was.
            unsafe { $crate::fork::pthread_atfork(Some(before), Some(after), Some(after)) };
        }
    };
}
pub(crate) use free_in_child;
