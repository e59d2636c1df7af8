//! L0: [`Storage`]: a reference-counted block of bytes, our own or a foreign one, with a version counter and a guard
//! against concurrent use.

use crate::bail;
use crate::blocks::{allocate, release, EXACT};
pub use crate::blocks::{empty_cache, fail_after, ALIGN};
use crate::error::Result;
use crate::memory::missing;
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Storages up to this many bytes live inside their header and need no block.
const INLINE: usize = 32;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Bytes of the blocks that storages hold at present; cached free blocks do not count, nor does what lives inside a header.
pub fn bytes_in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

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
    /// How many of the changes that `version` counts backward is not to notice.
    unnoticed: AtomicU64,
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
            let (p, size) = allocate(nbytes).ok_or_else(|| missing(nbytes))?;
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
            unnoticed: AtomicU64::new(0),
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

    /// True if both are one, or lie over the same foreign memory.
    #[inline(always)]
    pub fn meets(&self, other: &Storage) -> bool {
        let range = |s: &Storage| (s.ptr() as usize, s.ptr() as usize + s.nbytes);
        std::ptr::eq(self, other) || {
            let ((a, b), (c, d)) = (range(self), range(other));
            a < d && c < b && !self.is_meta() && !other.is_meta()
        }
    }

    /// Goes up with every in-place change that backward is to notice.
    #[inline]
    pub fn noticed(&self) -> u64 {
        self.version().wrapping_sub(self.unnoticed.load(Ordering::Acquire))
    }

    /// Counts a change that it is not to notice.
    #[cold]
    pub fn bump_unnoticed(&self) {
        self.unnoticed.fetch_add(1, Ordering::AcqRel);
        self.bump();
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
