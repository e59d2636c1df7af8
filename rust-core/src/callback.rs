//! L0: calls of functions of the program.
//!
//! A callback that is left by unwinding (`pthread_exit`, an exception of C++) must not take locks and half-written state of
//! this library with it, and Rust cannot catch what is not its own. So callbacks are called through [`call`], which stops the
//! unwinding at the edge. What was under way here then ends by ordinary returns, as after any error, and the door through which
//! it came lets the unwinding go on into its caller ([`go_on`]).
//!
//! The edge is a function of its own with a personality routine of its own: the unwinder asks that one what to do with the
//! frame, and it always says "stop here".

use std::cell::Cell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many threads have something that unwinds to let go on.
static UNWINDING: AtomicUsize = AtomicUsize::new(0);

struct Thread {
    /// Callbacks under way.
    depth: Cell<u32>,
    /// What left a callback by unwinding, and how many callbacks were under way around that one.
    stopped: Cell<(*mut c_void, u32)>,
}

thread_local! {
    static THREAD: Thread = const { Thread { depth: Cell::new(0), stopped: Cell::new((std::ptr::null_mut(), 0)) } };
}

/// Calls a function of the program; None if it did not return, but unwound. `f` should own nothing: it is left as it is then.
pub fn call<R: Copy>(f: impl Fn() -> R) -> Option<R> {
    struct Frame<F, R>(F, MaybeUninit<R>);
    unsafe extern "C-unwind" fn run<F: Fn() -> R, R>(frame: *mut c_void) {
        // SAFETY: `call` passes its own frame.
        let frame = unsafe { &mut *frame.cast::<Frame<F, R>>() };
        frame.1.write((frame.0)());
    }
    fn thunk<F: Fn() -> R, R>(_: &F) -> unsafe extern "C-unwind" fn(*mut c_void) {
        run::<F, R>
    }
    let run = thunk(&f);
    let mut frame = Frame(f, MaybeUninit::uninit());
    THREAD.with(|t| {
        let depth = t.depth.replace(t.depth.get() + 1);
        // SAFETY: `run` gets what it expects.
        let unwound = crate::device::outside(|| unsafe { edge::enter(run, (&raw mut frame).cast()) });
        t.depth.set(depth);
        if unwound.is_null() {
            // SAFETY: `run` has come to its end.
            return Some(unsafe { frame.1.assume_init() });
        }
        let (old, _) = t.stopped.replace((unwound, depth));
        if old.is_null() {
            UNWINDING.fetch_add(1, Ordering::Relaxed);
        } else if old != unwound {
            // Of two exceptions one can go on.
            // SAFETY: nobody else has it.
            unsafe { edge::delete(old) };
        }
        None
    })
}

/// True if something that left a callback is on its way out of the present door (and not of one that a later callback, in the
/// course of that, has opened).
#[inline(always)]
pub fn unwinding() -> bool {
    let here = |t: &Thread| !t.stopped.get().0.is_null() && t.depth.get() <= t.stopped.get().1;
    UNWINDING.load(Ordering::Relaxed) != 0 && THREAD.with(here)
}

/// To be called at the end of a door, when nothing of it is left to be dropped: lets go on what left a callback by unwinding.
#[inline(always)]
pub fn go_on() {
    if unwinding() {
        resume();
    }
}

#[cold]
fn resume() {
    let (stopped, _) = THREAD.with(|t| t.stopped.replace((std::ptr::null_mut(), 0)));
    UNWINDING.fetch_sub(1, Ordering::Relaxed);
    // SAFETY: the edge got it from the unwinder, and it is let go on once.
    unsafe { edge::resume(stopped) }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod edge {
    use std::ffi::c_void;

    extern "C-unwind" {
        /// Calls `f(data)`; NULL, or the exception that has left it.
        #[link_name = "rustorch_edge"]
        pub fn enter(f: unsafe extern "C-unwind" fn(*mut c_void), data: *mut c_void) -> *mut c_void;
        #[link_name = "_Unwind_Resume_or_Rethrow"]
        fn rethrow(exception: *mut c_void) -> i32;
    }

    extern "C" {
        fn rustorch_edge_landing();
        fn _Unwind_SetGR(context: *mut c_void, register: i32, value: usize);
        fn _Unwind_SetIP(context: *mut c_void, address: usize);
        #[link_name = "_Unwind_DeleteException"]
        pub fn delete(exception: *mut c_void);
    }

    pub unsafe fn resume(exception: *mut c_void) {
        rethrow(exception);
        // It comes back only if nobody further up catches the exception.
        eprintln!("rustorch: an exception has left a callback, and nobody catches it");
        std::process::abort();
    }

    /// What the unwinder asks when it meets the frame of `rustorch_edge`.
    unsafe extern "C" fn stop_here(_: i32, actions: i32, _: u64, exception: *mut c_void, context: *mut c_void) -> i32 {
        const SEARCH: i32 = 1;
        const HANDLER_FOUND: i32 = 6;
        const INSTALL_CONTEXT: i32 = 7;
        if actions & SEARCH != 0 {
            return HANDLER_FOUND;
        }
        _Unwind_SetGR(context, 0, exception as usize);
        _Unwind_SetIP(context, rustorch_edge_landing as *const () as usize);
        INSTALL_CONTEXT
    }

    std::arch::global_asm!(
        ".pushsection .text.rustorch_edge,\"ax\",@progbits",
        ".globl rustorch_edge",
        ".hidden rustorch_edge",
        ".type rustorch_edge,@function",
        ".globl rustorch_edge_landing",
        ".hidden rustorch_edge_landing",
        "rustorch_edge:",
        ".cfi_startproc",
        ".cfi_personality 0x1b, {stop_here}",
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "xor eax, eax",
        // Here the unwinder sets the frame going again, with the exception in rax and all registers as the call left them.
        "rustorch_edge_landing:",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
        ".size rustorch_edge, . - rustorch_edge",
        ".popsection",
        stop_here = sym stop_here,
    );
}

/// Elsewhere a callback must not unwind; the contract says so.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod edge {
    use std::ffi::c_void;

    pub unsafe fn enter(f: unsafe extern "C-unwind" fn(*mut c_void), data: *mut c_void) -> *mut c_void {
        f(data);
        std::ptr::null_mut()
    }
    pub unsafe fn delete(_: *mut c_void) {}
    pub unsafe fn resume(_: *mut c_void) {}
}
