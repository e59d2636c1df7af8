//! Dense factorisations of single matrices: those of [`rustorch_linalg`], with memory for their work.

use crate::error::Result;
use crate::memory::{self, List};
use crate::storage::Storage;
pub use rustorch_linalg::{Failed, Real, Vectors, Work};
use std::cell::Cell;
use std::mem::MaybeUninit;

/// Runs `f` with a workspace of `bytes`.
pub fn with_work<R>(bytes: usize, f: impl FnOnce(&mut Work) -> R) -> Result<R> {
    warm_up()?;
    let s = Storage::new(bytes)?;
    // SAFETY: a fresh block of that many bytes, of which nothing is taken to be initialised.
    let work = unsafe { std::slice::from_raw_parts_mut(s.ptr().cast::<MaybeUninit<u8>>(), s.nbytes()) };
    Ok(f(work))
}

/// What this thread takes once, in a way that ends the process if there is no memory, it takes here, after a look if there is
/// some.
fn warm_up() -> Result<()> {
    thread_local! {
        static DONE: Cell<bool> = const { Cell::new(false) };
    }
    if DONE.get() {
        return Ok(());
    }
    // To note that a thread keeps something, the C library takes some bytes more.
    drop(List::<u64>::with_room(1 << 10)?);
    match rustorch_linalg::PACKING {
        Some(block) => memory::lending(block, rustorch_linalg::warm_up)?,
        None => rustorch_linalg::warm_up(),
    }
    DONE.set(true);
    Ok(())
}
