//! L0: memory. A caching allocator, and [`Storage`]: a reference-counted block of bytes, our own or a foreign one, with
//! a version counter and a guard against concurrent use.

use crate::bail;
use crate::error::Result;
use crate::memory::{at_thread_end, missing};
use std::alloc::{GlobalAlloc, Layout as Block, System};
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once};
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

fn allocate(bytes: usize) -> Result<(*mut u8, usize)> {
    if FAIL_AFTER.load(Ordering::Relaxed) >= 0 && FAIL_AFTER.fetch_sub(1, Ordering::Relaxed) == 0 {
        return Err(missing(bytes));
    }
    if bytes > isize::MAX as usize - 2 * HUGE {
        return Err(missing(bytes));
    }
    if EXACT {
        let size = bytes.max(1);
        // SAFETY: the size is not zero.
        let p = unsafe { std::alloc::alloc(exact(size)) };
        return if p.is_null() { Err(missing(bytes)) } else { Ok((p, size)) };
    }
    if bytes <= SMALL_MAX {
        let (size, index) = class(bytes);
        let p = SMALL.with(|s| s.pop(size, index)).unwrap_or_else(|| from_system(size));
        return if p.is_null() { Err(missing(bytes)) } else { Ok((p, size)) };
    }
    let size = bytes.div_ceil(HUGE) * HUGE;
    if let Some(mut large) = large() {
        // The best fit that wastes at most a quarter.
        let fit = (0..large.len).filter(|&i| large.blocks[i].0 >= size && large.blocks[i].0 - size <= size / 4);
        if let Some(i) = fit.min_by_key(|&i| large.blocks[i].0) {
            let (size, p) = large.take(i);
            return Ok((p, size));
        }
    }
    let p = from_system(size);
    if p.is_null() {
        return Err(missing(bytes));
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

// ---- Storage ----

/// Called once when nobody needs a foreign buffer any more.
pub type Release = unsafe extern "C-unwind" fn(*mut c_void);

enum Owner {
    Inline,
    /// There are no bytes.
    Meta,
    Cached(usize),
    Foreign(Option<Release>, *mut c_void),
}

/// The lower half of a guard; all of it set means a writer.
const HELD: u64 = u32::MAX as u64;

/// A block of bytes that tensors share.
pub struct Storage {
    ptr: Cell<*mut u8>,
    nbytes: usize,
    owner: Owner,
    version: AtomicU64,
    /// The epoch of the process in the upper half; in the lower half the number of readers, or [`HELD`] for a writer.
    guard: AtomicU64,
    inline: UnsafeCell<[u64; INLINE / 8]>,
}

// SAFETY: bytes are only touched under the guard (see `lock`); `ptr` is written once, before the storage is shared.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl Storage {
    /// An uninitialised storage of `nbytes`. Fails with `RT_ERR_MEMORY`.
    pub fn new(nbytes: usize) -> Result<Arc<Storage>> {
        crate::simd::check()?;
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

    /// A storage of the device meta: it has a size, but no bytes.
    pub fn meta(nbytes: usize) -> Arc<Storage> {
        Arc::new(Storage::with(std::ptr::null_mut(), nbytes, Owner::Meta))
    }

    /// True if there are no bytes.
    #[inline(always)]
    pub fn is_meta(&self) -> bool {
        matches!(self.owner, Owner::Meta)
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
            guard: AtomicU64::new(0),
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
        let (now, epoch) = (self.guard.load(Ordering::Relaxed), (crate::fork::epoch() as u64) << 32);
        // What was taken before a fork nobody will give back.
        let held = if now & !HELD == epoch { now & HELD } else { 0 };
        let next = epoch | if write { HELD } else { held + 1 };
        let free = if write { held == 0 } else { held < HELD - 1 };
        free && self.guard.compare_exchange(now, next, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline(always)]
    fn lock(&self, write: bool) -> Result<()> {
        if self.is_meta() {
            bail!(Unsupported, "a meta tensor has no elements");
        }
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
            Owner::Inline | Owner::Meta | Owner::Foreign(None, _) => {}
            Owner::Cached(size) => {
                IN_USE.fetch_sub(self.nbytes, Ordering::Relaxed);
                release(self.ptr(), size);
            }
            Owner::Foreign(Some(f), ctx) => {
                // SAFETY: the contract of `foreign`: called once, here.
                crate::callback::call(|| unsafe { f(ctx) });
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
        crate::memory::reserve(&mut all, wanted.size_hint().1.unwrap_or(0))?;
        for one in wanted {
            // Often it is the one before, again.
            match all.last_mut() {
                Some(last) if std::ptr::eq(last.0, one.0) => last.1 |= one.1,
                _ => {
                    if all.len() == all.capacity() {
                        crate::memory::reserve(&mut all, 1)?;
                    }
                    all.push(one);
                }
            }
        }
        if all.len() > 1 {
            all.sort_unstable_by_key(|e| e.0 as *const Storage);
            all.dedup_by(|again, first| {
                let same = std::ptr::eq(again.0, first.0);
                first.1 |= same && again.1;
                same
            });
        }
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
    use crate::error::Kind;

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
