//! L0: memory. A caching allocator, and [`Storage`]: a reference-counted block of bytes, our own or a foreign one, with
//! a version counter and a guard against concurrent use.

use crate::bail;
use crate::error::{Error, Kind, Result};
use std::alloc::{alloc, dealloc, Layout as Block};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Alignment of every block we allocate, in bytes.
pub const ALIGN: usize = 64;
const HUGE: usize = 2 << 20;
const SMALL_MAX: usize = 1 << 20;
const SMALL_CACHE: usize = 32 << 20;
const LARGE_CACHE: usize = 256 << 20;
/// Storages up to this many bytes live inside their header and need no block.
const INLINE: usize = 32;
/// For the fuzzer: blocks of exactly the size wanted, not cached and not in headers, so that a sanitizer sees every access
/// outside of them.
const EXACT: bool = cfg!(feature = "exact");

// ---- the caching allocator: small classes LIFO per thread, large blocks in one shared list ----

/// The size class of `bytes`: four per doubling, so that at most a fifth is wasted.
fn class(bytes: usize) -> (usize, usize) {
    let bytes = bytes.max(64);
    let exp = usize::BITS as usize - 1 - (bytes - 1).leading_zeros() as usize;
    let quarter = (1usize << exp) / 4;
    let step = ((bytes - 1) - (1 << exp)) / quarter + 1;
    ((1 << exp) + step * quarter, exp * 4 + step)
}

#[derive(Default)]
struct Small {
    lists: Vec<Vec<*mut u8>>,
    bytes: usize,
}

impl Drop for Small {
    fn drop(&mut self) {
        for (i, list) in self.lists.iter().enumerate() {
            for &p in list {
                // SAFETY: blocks in list `i` were allocated with that class's size.
                unsafe { dealloc(p, block(class_size(i))) };
            }
        }
    }
}

fn class_size(index: usize) -> usize {
    let (exp, step) = ((index - 1) / 4, (index - 1) % 4 + 1);
    (1usize << exp) + step * ((1usize << exp) / 4)
}

fn block(size: usize) -> Block {
    // SAFETY: ALIGN and HUGE are powers of two; `size` was checked by `allocate`.
    unsafe { Block::from_size_align_unchecked(size, if size > SMALL_MAX { HUGE } else { ALIGN }) }
}

thread_local! {
    static SMALL: RefCell<Small> = RefCell::default();
}

struct Large(Vec<(usize, *mut u8)>, usize);
// SAFETY: the pointers are free blocks that nobody else knows.
unsafe impl Send for Large {}
static LARGE: Mutex<Large> = Mutex::new(Large(Vec::new(), 0));

/// The list of large blocks, unless it stays busy: a process may have been forked while another thread had it.
fn large() -> Option<MutexGuard<'static, Large>> {
    for _ in 0..10_000 {
        if let Ok(list) = LARGE.try_lock() {
            return Some(list);
        }
        std::hint::spin_loop();
    }
    None
}

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static FAIL_AFTER: AtomicI32 = AtomicI32::new(-1);

/// Bytes of the blocks that storages hold at present; cached free blocks do not count, nor does what lives inside a header.
pub fn bytes_in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

/// Fault injection for tests: the allocation after the next `n` fails; -1 switches it off.
pub fn fail_after(n: i32) {
    FAIL_AFTER.store(n, Ordering::Relaxed);
}

/// Gives cached free blocks of this thread, and the shared large ones, back to the system.
pub fn empty_cache() {
    let _old = SMALL.with(|s| s.take());
    let Some(mut large) = large() else { return };
    for (size, p) in large.0.drain(..) {
        // SAFETY: allocated with this size's block.
        unsafe { dealloc(p, block(size)) };
    }
    large.1 = 0;
}

fn allocate(bytes: usize) -> Result<(*mut u8, usize)> {
    let fail = || Error::new(Kind::Memory, "", format!("could not allocate {bytes} bytes"));
    if FAIL_AFTER.load(Ordering::Relaxed) >= 0 && FAIL_AFTER.fetch_sub(1, Ordering::Relaxed) == 0 {
        return Err(fail());
    }
    if bytes > isize::MAX as usize - 2 * HUGE {
        return Err(fail());
    }
    if EXACT {
        let size = bytes.max(1);
        // SAFETY: the size is not zero.
        let p = unsafe { alloc(block(size)) };
        return if p.is_null() { Err(fail()) } else { Ok((p, size)) };
    }
    if bytes <= SMALL_MAX {
        let (size, index) = class(bytes);
        let cached = SMALL
            .try_with(|s| {
                let mut s = s.borrow_mut();
                let p = s.lists.get_mut(index)?.pop()?;
                s.bytes -= size;
                Some(p)
            })
            .ok()
            .flatten();
        // SAFETY: the size is not zero.
        let p = cached.unwrap_or_else(|| unsafe { alloc(block(size)) });
        return if p.is_null() { Err(fail()) } else { Ok((p, size)) };
    }
    let size = bytes.div_ceil(HUGE) * HUGE;
    if let Some(mut large) = large() {
        // The best fit that wastes at most a quarter.
        let fit = (0..large.0.len()).filter(|&i| large.0[i].0 >= size && large.0[i].0 - size <= size / 4);
        if let Some(i) = fit.min_by_key(|&i| large.0[i].0) {
            let (size, p) = large.0.swap_remove(i);
            large.1 -= size;
            return Ok((p, size));
        }
    }
    // SAFETY: the size is not zero.
    let mut p = unsafe { alloc(block(size)) };
    if p.is_null() {
        empty_cache();
        // SAFETY: as above.
        p = unsafe { alloc(block(size)) };
    }
    if p.is_null() {
        return Err(fail());
    }
    #[cfg(target_os = "linux")]
    {
        extern "C" {
            fn madvise(addr: *mut c_void, len: usize, advice: i32) -> i32;
        }
        // SAFETY: the block is ours and 2 MiB aligned; a refusal only means small pages.
        unsafe { madvise(p.cast(), size, 14) };
    }
    Ok((p, size))
}

fn release(p: *mut u8, size: usize) {
    if EXACT {
        // SAFETY: allocated with this size's block.
        return unsafe { dealloc(p, block(size)) };
    }
    if size <= SMALL_MAX {
        let kept = SMALL.try_with(|s| {
            let mut s = s.borrow_mut();
            if s.bytes + size > SMALL_CACHE {
                return false;
            }
            let index = class(size).1;
            if s.lists.len() <= index {
                s.lists.resize_with(index + 1, Vec::new);
            }
            s.bytes += size;
            s.lists[index].push(p);
            true
        });
        if kept == Ok(true) {
            return;
        }
    } else if let Some(mut large) = large() {
        if large.1 + size <= LARGE_CACHE {
            large.1 += size;
            large.0.push((size, p));
            return;
        }
    }
    // SAFETY: allocated with this size's block.
    unsafe { dealloc(p, block(size)) };
}

// ---- Storage ----

/// Called once when nobody needs a foreign buffer any more.
pub type Release = unsafe extern "C" fn(*mut c_void);

enum Owner {
    Inline,
    Cached(usize),
    Foreign(Option<Release>, *mut c_void),
}

/// A block of bytes that tensors share.
pub struct Storage {
    ptr: Cell<*mut u8>,
    nbytes: usize,
    owner: Owner,
    version: AtomicU64,
    guard: AtomicI32,
    inline: UnsafeCell<[u64; INLINE / 8]>,
}

// SAFETY: bytes are only touched under the guard (see `lock`); `ptr` is written once, before the storage is shared.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl Storage {
    /// An uninitialised storage of `nbytes`. Fails with `RT_ERR_MEMORY`.
    pub fn new(nbytes: usize) -> Result<Arc<Storage>> {
        let (ptr, owner) = if nbytes <= INLINE && !EXACT {
            (std::ptr::null_mut(), Owner::Inline)
        } else {
            let (p, size) = allocate(nbytes)?;
            IN_USE.fetch_add(nbytes, Ordering::Relaxed);
            (p, Owner::Cached(size))
        };
        let s = Arc::new(Storage::with(ptr, nbytes, owner));
        if ptr.is_null() {
            s.ptr.set(s.inline.get().cast());
        }
        Ok(s)
    }

    /// A storage over memory that somebody else owns; `release(ctx)` is called once at the end.
    ///
    /// # Safety
    /// `ptr` must be valid for reads and writes of `nbytes` bytes until `release` is called.
    pub unsafe fn foreign(ptr: *mut u8, nbytes: usize, release: Option<Release>, ctx: *mut c_void) -> Arc<Storage> {
        Arc::new(Storage::with(ptr, nbytes, Owner::Foreign(release, ctx)))
    }

    fn with(ptr: *mut u8, nbytes: usize, owner: Owner) -> Storage {
        Storage {
            ptr: Cell::new(ptr),
            nbytes,
            owner,
            version: AtomicU64::new(0),
            guard: AtomicI32::new(0),
            inline: UnsafeCell::new([0; INLINE / 8]),
        }
    }

    /// First byte.
    #[inline(always)]
    pub fn ptr(&self) -> *mut u8 {
        self.ptr.get()
    }

    /// Size in bytes.
    #[inline(always)]
    pub fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// Goes up with every in-place change.
    #[inline(always)]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Counts one in-place change.
    pub fn bump(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    #[inline(always)]
    fn try_lock(&self, write: bool) -> bool {
        if write {
            self.guard.compare_exchange(0, -1, Ordering::Acquire, Ordering::Relaxed).is_ok()
        } else {
            let n = self.guard.load(Ordering::Relaxed);
            n >= 0 && self.guard.compare_exchange(n, n + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
        }
    }

    #[inline(always)]
    fn lock(&self, write: bool) -> Result<()> {
        if self.try_lock(write) {
            return Ok(());
        }
        self.wait(write)
    }

    /// Waits, but not for ever: after [`set_lock_timeout`]'s time the answer is `RT_ERR_STATE`.
    #[cold]
    fn wait(&self, write: bool) -> Result<()> {
        for _ in 0..64 {
            if self.try_lock(write) {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        let limit = Duration::from_millis(TIMEOUT_MS.load(Ordering::Relaxed));
        let start = Instant::now();
        let mut pause = 1u64;
        while !self.try_lock(write) {
            if start.elapsed() > limit {
                bail!(State, "a tensor's storage was in use by another thread for more than {limit:?}");
            }
            std::thread::sleep(Duration::from_micros(pause));
            pause = (pause * 2).min(500);
        }
        Ok(())
    }

    #[inline(always)]
    fn unlock(&self, write: bool) {
        if write {
            self.guard.store(0, Ordering::Release);
        } else {
            self.guard.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        match self.owner {
            Owner::Inline | Owner::Foreign(None, _) => {}
            Owner::Cached(size) => {
                IN_USE.fetch_sub(self.nbytes, Ordering::Relaxed);
                release(self.ptr(), size);
            }
            Owner::Foreign(Some(f), ctx) => {
                // SAFETY: the contract of `foreign`: called once, here.
                unsafe { f(ctx) }
            }
        }
    }
}

static TIMEOUT_MS: AtomicU64 = AtomicU64::new(30_000);

/// How long an op waits for a storage that another thread writes to.
pub fn set_lock_timeout(ms: u64) {
    TIMEOUT_MS.store(ms, Ordering::Relaxed);
}

/// Locks on several storages, held until dropped. Taken in address order, so that two ops cannot wait for each other.
pub struct Locks<'a>(smallvec::SmallVec<[(&'a Storage, bool); 4]>);

impl<'a> Locks<'a> {
    /// Locks each storage once, for writing if any of its mentions says so.
    #[inline(always)] // made in its place, without a copy
    pub fn take(wanted: impl Iterator<Item = (&'a Storage, bool)>) -> Result<Self> {
        let mut all: smallvec::SmallVec<[(&'a Storage, bool); 4]> = smallvec::SmallVec::new();
        all.extend(wanted);
        all.sort_unstable_by_key(|e| e.0 as *const Storage);
        all.dedup_by(|again, first| {
            let same = std::ptr::eq(again.0, first.0);
            first.1 |= same && again.1;
            same
        });
        for i in 0..all.len() {
            if let Err(e) = all[i].0.lock(all[i].1) {
                for &(s, write) in &all[..i] {
                    s.unlock(write);
                }
                return Err(e);
            }
        }
        Ok(Locks(all))
    }
}

impl Drop for Locks<'_> {
    fn drop(&mut self) {
        for &(s, write) in &self.0 {
            s.unlock(write);
        }
    }
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
        }
    }

    #[test]
    fn a_writer_excludes_readers_until_the_time_is_up() {
        let s = Storage::new(8).unwrap();
        set_lock_timeout(20);
        let held = Locks::take([(&*s, true)].into_iter()).unwrap();
        assert_eq!(Locks::take([(&*s, false)].into_iter()).err().unwrap().kind(), Kind::State);
        drop(held);
        assert!(Locks::take([(&*s, false), (&*s, false)].into_iter()).is_ok());
        set_lock_timeout(30_000);
    }

    #[test]
    fn absurd_sizes_are_an_error() {
        assert_eq!(Storage::new(usize::MAX / 2).err().unwrap().kind(), Kind::Memory);
        assert_eq!(Storage::new(1 << 50).err().unwrap().kind(), Kind::Memory);
    }
}
