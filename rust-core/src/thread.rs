//! L0: what a thread keeps from one call to the next, and gives back at its end.

use std::cell::Cell;
use std::mem::ManuallyDrop;

type End = Cell<Option<fn()>>;

thread_local! {
    // More than there are users: tests count them.
    static ENDS: [End; 16] = const { [const { Cell::new(None) }; 16] };
}

/// Has `f` called when this thread ends; asked again, it does nothing. False if the system has no memory to note it, or too
/// many ask: then the thread must keep nothing. (A thread-local with a destructor does not do: to note that, the C library
/// allocates, and ends the process if it cannot.)
pub fn at_thread_end(f: fn()) -> bool {
    ENDS.with(|ends| {
        let place = ends.iter().find(|e| e.get().is_none_or(|g| std::ptr::fn_addr_eq(g, f)));
        let Some(place) = place else { return false };
        if place.get().is_none() {
            if !ending::arm() {
                return false;
            }
            place.set(Some(f));
        }
        true
    })
}

fn thread_ends() {
    // What one gives back may be kept by another one again.
    for _ in 0..3 {
        ENDS.with(|ends| ends.iter().filter_map(|e| e.take()).for_each(|f| f()));
    }
}

/// What a thread keeps from one call to the next, in a thread-local: dropped when the thread ends.
pub struct Kept<T> {
    value: Cell<ManuallyDrop<Option<T>>>,
    armed: Cell<bool>,
}

impl<T> Kept<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Kept { value: Cell::new(ManuallyDrop::new(None)), armed: Cell::new(false) }
    }
    /// Takes it out.
    #[inline]
    pub fn take(&self) -> Option<T> {
        ManuallyDrop::into_inner(self.value.replace(ManuallyDrop::new(None)))
    }
    /// Looks at it where it lies.
    ///
    /// # Safety
    /// `f` must not take, put or end what is kept here.
    #[inline]
    pub unsafe fn look<R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        // SAFETY: the cell belongs to this thread, and nobody changes it meanwhile.
        f(unsafe { &*self.value.as_ptr() }.as_ref())
    }
    /// Keeps `value`, or drops it if it cannot be kept; `end` must call [`Kept::end`] of this place.
    #[inline]
    pub fn put(&self, value: T, end: fn()) {
        if self.armed.get() || at_thread_end(end) {
            self.armed.set(true);
            drop(ManuallyDrop::into_inner(self.value.replace(ManuallyDrop::new(Some(value)))));
        }
    }
    /// The thread ends.
    pub fn end(&self) {
        self.armed.set(false);
        drop(self.take());
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept::new()
    }
}

#[cfg(target_os = "linux")]
mod ending {
    use std::ffi::c_void;
    use std::sync::OnceLock;

    extern "C" {
        fn pthread_key_create(key: *mut u32, end: Option<unsafe extern "C" fn(*mut c_void)>) -> i32;
        fn pthread_setspecific(key: u32, value: *const c_void) -> i32;
    }

    unsafe extern "C" fn end(_: *mut c_void) {
        super::thread_ends();
    }

    pub fn arm() -> bool {
        static KEY: OnceLock<Option<u32>> = OnceLock::new();
        let key = KEY.get_or_init(|| {
            let mut key = 0;
            // SAFETY: `end` may run on any thread; the library is never unloaded (build.rs).
            (unsafe { pthread_key_create(&mut key, Some(end)) } == 0).then_some(key)
        });
        // SAFETY: the key exists; any value but NULL has `end` called.
        key.is_some_and(|key| unsafe { pthread_setspecific(key, std::ptr::dangling::<c_void>()) } == 0)
    }
}

#[cfg(not(target_os = "linux"))]
mod ending {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            super::thread_ends();
        }
    }
    thread_local! {
        static END: End = const { End };
    }

    pub fn arm() -> bool {
        END.try_with(|_| ()).is_ok()
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_thread_gives_back_at_its_end() {
        static ENDED: AtomicUsize = AtomicUsize::new(0);
        fn end() {
            ENDED.fetch_add(1, Ordering::SeqCst);
        }
        std::thread::spawn(|| assert!(at_thread_end(end) && at_thread_end(end))).join().unwrap();
        assert_eq!(ENDED.load(Ordering::SeqCst), 1);
    }
}
