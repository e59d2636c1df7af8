//! L0: a caching allocator of blocks of bytes: small classes last in, first out per thread, large blocks in one shared list.

use crate::thread::at_thread_end;
use std::alloc::{GlobalAlloc, Layout as Block, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, Once};

/// Alignment of every block we allocate, in bytes.
pub const ALIGN: usize = 64;
const HUGE: usize = 2 << 20;
const SMALL_MAX: usize = 1 << 20;
const SMALL_CACHE: usize = 32 << 20;
const LARGE_CACHE: usize = 256 << 20;
/// For the fuzzer: blocks of exactly the size wanted, not cached, so that a sanitizer sees every access outside of them.
pub(crate) const EXACT: bool = cfg!(feature = "exact");

/// The size class of `bytes`: four per doubling, so that at most a fifth is wasted.
fn class(bytes: usize) -> (usize, usize) {
    let bytes = bytes.max(64);
    let exp = usize::BITS as usize - 1 - (bytes - 1).leading_zeros() as usize;
    let quarter = (1usize << exp) / 4;
    let step = ((bytes - 1) - (1 << exp)) / quarter + 1;
    ((1 << exp) + step * quarter, exp * 4 + step)
}

/// One more than the last class of `SMALL_MAX` bytes.
const CLASSES: usize = 81;

/// Free blocks by class. Each holds the address of the next one, so that keeping a block takes no memory.
struct Small {
    first: [Cell<*mut u8>; CLASSES],
    bytes: Cell<usize>,
    /// Whether the thread has noted that it must give all back at its end; it keeps nothing before that, nor after it.
    open: Cell<Option<bool>>,
}

impl Small {
    fn pop(&self, size: usize, index: usize) -> Option<*mut u8> {
        let p = self.first[index].get();
        if p.is_null() {
            return None;
        }
        // SAFETY: a free block of ours, which `push` wrote the next one's address to.
        self.first[index].set(unsafe { p.cast::<*mut u8>().read() });
        self.bytes.set(self.bytes.get() - size);
        Some(p)
    }

    /// False if the block is not kept.
    fn push(&self, p: *mut u8, size: usize, index: usize) -> bool {
        let bytes = self.bytes.get();
        if bytes + size > SMALL_CACHE || !self.open.get().unwrap_or_else(|| self.try_open()) {
            return false;
        }
        // SAFETY: the block is free, aligned and has at least 64 bytes.
        unsafe { p.cast::<*mut u8>().write(self.first[index].get()) };
        self.first[index].set(p);
        self.bytes.set(bytes + size);
        true
    }

    #[cold]
    fn try_open(&self) -> bool {
        let noted = at_thread_end(close_small);
        if noted {
            self.open.set(Some(true));
        }
        noted
    }

    fn empty(&self) {
        for index in 1..CLASSES {
            let size = class_size(index);
            while let Some(p) = self.pop(size, index) {
                // SAFETY: blocks of this class were allocated with its size.
                unsafe { System.dealloc(p, block(size)) };
            }
        }
    }
}

fn close_small() {
    SMALL.with(|s| {
        s.open.set(Some(false));
        s.empty();
    });
}

fn class_size(index: usize) -> usize {
    let (exp, step) = ((index - 1) / 4, (index - 1) % 4 + 1);
    (1usize << exp) + step * ((1usize << exp) / 4)
}

fn block(size: usize) -> Block {
    // SAFETY: ALIGN and HUGE are powers of two; `size` was checked by `allocate`.
    unsafe { Block::from_size_align_unchecked(size, if size > SMALL_MAX { HUGE } else { ALIGN }) }
}

/// The program's own allocator, the fuzzer's, is asked for these.
fn exact(size: usize) -> Block {
    // SAFETY: as above.
    unsafe { Block::from_size_align_unchecked(size, ALIGN) }
}

thread_local! {
    static SMALL: Small = const {
        Small { first: [const { Cell::new(null_mut()) }; CLASSES], bytes: Cell::new(0), open: Cell::new(None) }
    };
}

/// Free large blocks, the first `len` of `blocks`, with `bytes` in all.
struct Large {
    blocks: [(usize, *mut u8); LARGE_CACHE / HUGE],
    len: usize,
    bytes: usize,
}

impl Large {
    fn take(&mut self, i: usize) -> (usize, *mut u8) {
        let found = self.blocks[i];
        self.len -= 1;
        self.blocks[i] = self.blocks[self.len];
        self.bytes -= found.0;
        found
    }
}

// SAFETY: the pointers are free blocks that nobody else knows.
unsafe impl Send for Large {}
static LARGE: Mutex<Large> = Mutex::new(Large { blocks: [(0, null_mut()); LARGE_CACHE / HUGE], len: 0, bytes: 0 });

/// The list of large blocks, unless it stays busy.
fn large() -> Option<MutexGuard<'static, Large>> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        crate::fork::free_in_child!(MutexGuard<'static, Large>, LARGE.lock().unwrap_or_else(|e| e.into_inner()))
    });
    for _ in 0..10_000 {
        if let Ok(list) = LARGE.try_lock() {
            return Some(list);
        }
        std::hint::spin_loop();
    }
    None
}

static FAIL_AFTER: AtomicI32 = AtomicI32::new(-1);

/// Fault injection for tests: the allocation after the next `n` fails; -1 switches it off.
pub fn fail_after(n: i32) {
    FAIL_AFTER.store(n, Ordering::Relaxed);
}

/// Gives cached free blocks of this thread, and the shared large ones, back to the system.
pub fn empty_cache() {
    SMALL.with(Small::empty);
    let Some(mut large) = large() else { return };
    while large.len > 0 {
        let (size, p) = large.take(0);
        // SAFETY: allocated with this size's block.
        unsafe { System.dealloc(p, block(size)) };
    }
}

/// A new block from the system, which gets the cached ones back if it has no other.
fn from_system(size: usize) -> *mut u8 {
    // SAFETY: the size is not zero.
    let mut p = unsafe { System.alloc(block(size)) };
    if p.is_null() {
        empty_cache();
        // SAFETY: as above.
        p = unsafe { System.alloc(block(size)) };
    }
    p
}

/// A block of at least `bytes`, and its size; None if there is no memory.
pub(crate) fn allocate(bytes: usize) -> Option<(*mut u8, usize)> {
    if FAIL_AFTER.load(Ordering::Relaxed) >= 0 && FAIL_AFTER.fetch_sub(1, Ordering::Relaxed) == 0 {
        return None;
    }
    if bytes > isize::MAX as usize - 2 * HUGE {
        return None;
    }
    if EXACT {
        let size = bytes.max(1);
        // SAFETY: the size is not zero.
        let p = unsafe { std::alloc::alloc(exact(size)) };
        return (!p.is_null()).then_some((p, size));
    }
    if bytes <= SMALL_MAX {
        let (size, index) = class(bytes);
        let p = SMALL.with(|s| s.pop(size, index)).unwrap_or_else(|| from_system(size));
        return (!p.is_null()).then_some((p, size));
    }
    let size = bytes.div_ceil(HUGE) * HUGE;
    if let Some(mut large) = large() {
        // The best fit that wastes at most a quarter.
        let fit = (0..large.len).filter(|&i| large.blocks[i].0 >= size && large.blocks[i].0 - size <= size / 4);
        if let Some(i) = fit.min_by_key(|&i| large.blocks[i].0) {
            let (size, p) = large.take(i);
            return Some((p, size));
        }
    }
    let p = from_system(size);
    if p.is_null() {
        return None;
    }
    #[cfg(target_os = "linux")]
    {
        extern "C" {
            fn madvise(addr: *mut c_void, len: usize, advice: i32) -> i32;
        }
        // SAFETY: the block is ours and 2 MiB aligned; a refusal only means small pages.
        unsafe { madvise(p.cast(), size, 14) };
    }
    Some((p, size))
}

/// Takes a block back that [`allocate`] gave with this size.
pub(crate) fn release(p: *mut u8, size: usize) {
    if EXACT {
        // SAFETY: allocated with this size's block.
        return unsafe { std::alloc::dealloc(p, exact(size)) };
    }
    if size <= SMALL_MAX {
        if SMALL.with(|s| s.push(p, size, class(size).1)) {
            return;
        }
    } else if let Some(mut large) = large() {
        let at = large.len;
        if large.bytes + size <= LARGE_CACHE && at < large.blocks.len() {
            large.blocks[at] = (size, p);
            large.len += 1;
            large.bytes += size;
            return;
        }
    }
    // SAFETY: allocated with this size's block.
    unsafe { System.dealloc(p, block(size)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_cover_their_sizes() {
        for bytes in (1..5000).chain([65535, 65536, 65537, SMALL_MAX]) {
            let (size, index) = class(bytes);
            assert!(size >= bytes, "{bytes} {size}");
            assert_eq!(size, class_size(index), "{bytes}");
            assert_eq!(class(size), (size, index));
            assert!(index < CLASSES);
        }
    }
}
