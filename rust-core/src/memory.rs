//! L0: memory that the system may not have. What grows with an input is a [`List`] (or a tensor), whose every way to grow
//! can fail. What is small and bounded (headers, graph nodes, lists of dimensions, messages) cannot fail one by one in
//! today's Rust: for that, [`Allocator`] keeps a reserve, and [`check`] refuses new work while much of it is in use.
#![allow(clippy::disallowed_types, reason = "this is what is used in its place")]

use crate::error::{Error, Kind, Result};
pub use crate::thread::Kept;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The error of an allocation that failed.
#[cold]
pub fn missing(bytes: usize) -> Error {
    Error::new(Kind::Memory, "", format!("could not allocate {bytes} bytes"))
}

// ---- lists ----

/// A vector that says so when there is no memory for it: an error where `Vec` ends the process.
#[derive(Debug, PartialEq, Eq)]
pub struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        List::new()
    }
}

impl<T> List<T> {
    /// An empty list; takes no memory.
    pub const fn new() -> Self {
        List(Vec::new())
    }
    /// An empty list with room for `n`.
    pub fn with_room(n: usize) -> Result<Self> {
        let mut list = List::new();
        list.reserve_exact(n)?;
        Ok(list)
    }
    /// `n` times `value`.
    pub fn filled(n: usize, value: T) -> Result<Self>
    where
        T: Clone,
    {
        let mut list = List::with_room(n)?;
        list.0.resize(n, value);
        Ok(list)
    }
    /// What `items` gives.
    pub fn collect(items: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut list = List::new();
        list.extend(items)?;
        Ok(list)
    }
    /// What `items` gives, up to its first error.
    pub fn try_collect(items: impl IntoIterator<Item = Result<T>>) -> Result<Self> {
        let items = items.into_iter();
        let mut list = List::with_room(items.size_hint().0)?;
        for item in items {
            list.push(item?)?;
        }
        Ok(list)
    }
    /// Room for `n` more.
    pub fn reserve(&mut self, n: usize) -> Result<()> {
        self.0.try_reserve(n).map_err(|_| missing(n.saturating_mul(size_of::<T>())))
    }
    /// Room for `n` more, and no more than that.
    pub fn reserve_exact(&mut self, n: usize) -> Result<()> {
        self.0.try_reserve_exact(n).map_err(|_| missing(n.saturating_mul(size_of::<T>())))
    }
    /// Adds one.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<()> {
        if self.0.len() == self.0.capacity() {
            self.reserve(1)?;
        }
        self.0.push(value);
        Ok(())
    }
    /// Adds what `items` gives.
    #[inline]
    pub fn extend(&mut self, items: impl IntoIterator<Item = T>) -> Result<()> {
        let mut items = items.into_iter();
        self.reserve(items.size_hint().0)?;
        loop {
            let room = self.0.capacity() - self.0.len();
            // Takes no more than there is room for, so it does not allocate.
            self.0.extend(items.by_ref().take(room));
            if self.0.len() < self.0.capacity() {
                return Ok(());
            }
            let Some(next) = items.next() else { return Ok(()) };
            self.push(next)?;
        }
    }
    /// Adds copies of `items`.
    pub fn extend_from_slice(&mut self, items: &[T]) -> Result<()>
    where
        T: Clone,
    {
        self.reserve(items.len())?;
        self.0.extend_from_slice(items);
        Ok(())
    }
    /// Makes it `n` long; new places hold `value`.
    pub fn resize(&mut self, n: usize, value: T) -> Result<()>
    where
        T: Clone,
    {
        self.reserve(n.saturating_sub(self.0.len()))?;
        self.0.resize(n, value);
        Ok(())
    }
    /// Sets the length.
    ///
    /// # Safety
    /// As for `Vec::set_len`.
    pub unsafe fn set_len(&mut self, n: usize) {
        self.0.set_len(n);
    }
    /// Takes the last one off.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }
    /// Takes one out of the middle.
    pub fn remove(&mut self, at: usize) -> T {
        self.0.remove(at)
    }
    /// Keeps the first `n`.
    pub fn truncate(&mut self, n: usize) {
        self.0.truncate(n);
    }
    /// Keeps those that `f` wants.
    pub fn retain(&mut self, f: impl FnMut(&T) -> bool) {
        self.0.retain(f);
    }
    /// Takes all out.
    pub fn clear(&mut self) {
        self.0.clear();
    }
    /// Places there is room for.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
    /// The vector itself, for callers outside.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(v: Vec<T>) -> Self {
        List(v)
    }
}

impl<T> Deref for List<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for List<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// An empty small vector with room for `n`.
pub fn room<A: smallvec::Array>(n: usize) -> Result<smallvec::SmallVec<A>> {
    let mut v = smallvec::SmallVec::new();
    reserve(&mut v, n)?;
    Ok(v)
}

/// Makes room for `n` more in a small vector.
#[inline]
pub fn reserve<A: smallvec::Array>(v: &mut smallvec::SmallVec<A>, n: usize) -> Result<()> {
    v.try_reserve(n).map_err(|_| missing(n.saturating_mul(size_of::<A::Item>())))
}

/// Fails if the system would not give `n * bytes` now: for work that takes this much in small pieces.
pub fn probe(n: usize, bytes: usize) -> Result<()> {
    List::<u8>::with_room(n.saturating_mul(bytes)).map(|_| ())
}

// ---- the reserve ----

/// Small blocks take whole units. A request is at most 64 of them, 16 KiB.
const UNIT: usize = 256;
/// 64 units each, 4 MiB in all; no page of it is touched before the first shortage.
const WORDS: usize = 256;
/// From this many units in use on, nothing new is begun.
const FULL: usize = WORDS * 64 / 4;

#[repr(align(4096))]
struct Bytes(UnsafeCell<[u8; WORDS * 64 * UNIT]>);
// SAFETY: a unit belongs to whoever has set its bit in `TAKEN`.
unsafe impl Sync for Bytes {}

static BYTES: Bytes = Bytes(UnsafeCell::new([0; WORDS * 64 * UNIT]));
static TAKEN: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Fails while memory is so short that even what cannot fail lives on the reserve. One load when all is well.
#[inline(always)]
pub fn check() -> Result<()> {
    if IN_USE.load(Ordering::Relaxed) >= FULL {
        return Err(exhausted());
    }
    Ok(())
}

/// True while some of the reserve is in use.
pub fn is_short() -> bool {
    IN_USE.load(Ordering::Relaxed) > 0
}

#[cold]
fn exhausted() -> Error {
    Error::new(Kind::Memory, "", "the system has no memory left")
}

fn units(size: usize) -> (usize, u64) {
    let n = size.div_ceil(UNIT).max(1);
    (n, u64::MAX >> (64 - n))
}

#[cold]
fn take(size: usize, align: usize) -> *mut u8 {
    if align > UNIT || size > 64 * UNIT {
        return std::ptr::null_mut();
    }
    let (n, mask) = units(size);
    for (w, word) in TAKEN.iter().enumerate() {
        let mut now = word.load(Ordering::Relaxed);
        loop {
            // Bit `i` stays if the `n` bits from `i` on are free.
            let (mut runs, mut have) = (!now, 1);
            while have < n {
                let step = have.min(n - have);
                runs &= runs >> step;
                have += step;
            }
            if runs == 0 {
                break;
            }
            let at = runs.trailing_zeros() as usize;
            match word.compare_exchange_weak(now, now | mask << at, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => {
                    IN_USE.fetch_add(n, Ordering::Relaxed);
                    // SAFETY: inside of the array.
                    return unsafe { BYTES.0.get().cast::<u8>().add((w * 64 + at) * UNIT) };
                }
                Err(other) => now = other,
            }
        }
    }
    std::ptr::null_mut()
}

#[inline(always)]
fn is_ours(p: *mut u8) -> bool {
    (p as usize).wrapping_sub(BYTES.0.get() as usize) < WORDS * 64 * UNIT
}

#[cold]
fn put_back(p: *mut u8, size: usize) {
    let unit = (p as usize - BYTES.0.get() as usize) / UNIT;
    let (n, mask) = units(size);
    TAKEN[unit / 64].fetch_and(!(mask << (unit % 64)), Ordering::Release);
    IN_USE.fetch_sub(n, Ordering::Relaxed);
}

/// The system's allocator; when that has nothing, cached blocks are given back to it, and small requests are then served
/// from the reserve. It is this library's global allocator, so that small things never end the process.
pub struct Allocator;

#[cold]
fn short(layout: Layout) -> *mut u8 {
    crate::blocks::empty_cache();
    // SAFETY: the caller's layout, which has a size.
    let p = unsafe { System.alloc(layout) };
    if !p.is_null() {
        return p;
    }
    if let Some(block) = take_lent(layout) {
        return block;
    }
    let p = take(layout.size(), layout.align());
    if p.is_null() {
        carve(layout)
    } else {
        p
    }
}

thread_local! {
    /// A block of the system's that waits for a request of exactly its layout.
    static LENT: Cell<Option<(*mut u8, Layout)>> = const { Cell::new(None) };
}

/// The lent block, if it has this layout.
fn take_lent(layout: Layout) -> Option<*mut u8> {
    let (block, of) = LENT.get()?;
    (of == layout).then(|| {
        LENT.set(None);
        block
    })
}

/// Runs `f`, code of others that asks for a block of this layout once, and would end the process if it got none: fails before
/// if the system has none. (Helps those whose global allocator is [`Allocator`].)
pub fn lending<R>(layout: Layout, f: impl FnOnce() -> R) -> Result<R> {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            if let Some((block, layout)) = LENT.take() {
                // SAFETY: allocated below, and not handed out.
                unsafe { System.dealloc(block, layout) };
            }
        }
    }
    assert!(layout.size() > 0);
    // SAFETY: it has a size.
    let block = unsafe { System.alloc(layout) };
    if block.is_null() {
        return Err(missing(layout.size()));
    }
    LENT.set(Some((block, layout)));
    let _back = Back;
    Ok(f())
}

/// A block of the system's whose parts stand in for blocks that the system has not.
#[derive(Clone, Copy)]
struct Hoard {
    start: usize,
    free: usize,
    end: usize,
}

thread_local! {
    static HOARD: Cell<Option<Hoard>> = const { Cell::new(None) };
}
/// Threads that use parts of theirs.
static CARVING: AtomicUsize = AtomicUsize::new(0);

/// A part of this thread's hoard.
fn carve(layout: Layout) -> *mut u8 {
    let Some(hoard) = HOARD.get() else {
        return std::ptr::null_mut();
    };
    let at = hoard.free.next_multiple_of(layout.align());
    if layout.size() > hoard.end.saturating_sub(at) {
        return std::ptr::null_mut();
    }
    if hoard.free == hoard.start {
        CARVING.fetch_add(1, Ordering::Relaxed);
    }
    HOARD.set(Some(Hoard { free: at + layout.size(), ..hoard }));
    at as *mut u8
}

/// True for a part of this thread's hoard; no other thread has any.
#[inline(always)]
fn is_carved(p: *mut u8) -> bool {
    CARVING.load(Ordering::Relaxed) > 0 && HOARD.get().is_some_and(|h| (h.start..h.end).contains(&(p as usize)))
}

/// Runs `f`, code of others that asks for blocks in ways that would end the process if it got none: `bytes` at most in all, those
/// apart that the reserve has. Fails if the system has not got these, before or meanwhile; what `f` made is then dropped.
/// It must start no threads. (Helps those whose global allocator is [`Allocator`].)
pub fn hoarding<R>(bytes: usize, f: impl FnOnce() -> R) -> Result<R> {
    struct Back(Layout);
    impl Drop for Back {
        fn drop(&mut self) {
            if let Some(hoard) = HOARD.take() {
                if hoard.free > hoard.start {
                    CARVING.fetch_sub(1, Ordering::Relaxed);
                }
                // SAFETY: allocated below; nobody has parts of it any more.
                unsafe { System.dealloc(hoard.start as *mut u8, self.0) };
            }
        }
    }
    assert!(HOARD.get().is_none());
    let Ok(layout) = Layout::from_size_align(bytes.max(1), UNIT) else {
        return Err(missing(bytes));
    };
    // SAFETY: it has a size.
    let start = unsafe { System.alloc(layout) } as usize;
    if start == 0 {
        return Err(missing(bytes));
    }
    HOARD.set(Some(Hoard { start, free: start, end: start + layout.size() }));
    let _back = Back(layout);
    let made = f();
    if HOARD.get().is_some_and(|h| h.free > h.start) {
        drop(made);
        return Err(missing(bytes));
    }
    Ok(made)
}

// SAFETY: every block is the system's, a run of units that nobody else has, or a part of this thread's hoard; `is_ours` and
// `is_carved` tell them apart.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let p = System.alloc(layout);
        if p.is_null() {
            short(layout)
        } else {
            p
        }
    }
    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let mut p = System.alloc_zeroed(layout);
        if p.is_null() {
            p = short(layout);
            if !p.is_null() {
                p.write_bytes(0, layout.size());
            }
        }
        p
    }
    #[inline]
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        if is_ours(p) {
            put_back(p, layout.size());
        } else if !is_carved(p) {
            System.dealloc(p, layout);
        }
    }
    #[inline]
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_ours(p) && !is_carved(p) {
            let new = System.realloc(p, layout, size);
            if !new.is_null() {
                return new;
            }
        }
        let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !new.is_null() {
            new.copy_from_nonoverlapping(p, layout.size().min(size));
            self.dealloc(p, layout);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_grow_or_fail() {
        let mut list = List::collect((0..1000).filter(|i| i % 3 == 0)).unwrap();
        list.extend(1..4).unwrap();
        list.push(7).unwrap();
        assert_eq!((list.len(), &list[334..]), (338, &[1, 2, 3, 7][..]));
        assert_eq!(List::with_room(usize::MAX).map(|l: List<u8>| l.len()).unwrap_err().kind(), Kind::Memory);
        assert_eq!(List::filled(1 << 60, 1u8).unwrap_err().kind(), Kind::Memory);
        assert_eq!(List::collect(0..usize::MAX).unwrap_err().kind(), Kind::Memory);
        assert_eq!(List::try_collect([Ok(1), Err(missing(1))]).unwrap_err().kind(), Kind::Memory);
    }

    #[test]
    fn a_hoard_stands_in_for_what_is_missing() {
        let layout = Layout::from_size_align(1000, 64).unwrap();
        assert!(carve(layout).is_null());
        assert_eq!(hoarding(5000, || 7).unwrap(), 7);
        let found = hoarding(5000, || {
            let all: Vec<usize> = (0..5).map(|_| carve(layout) as usize).collect();
            assert!(all[..4].iter().all(|&p| p != 0 && p.is_multiple_of(64) && is_carved(p as *mut u8)), "{all:?}");
            assert_eq!(all[4], 0);
            // SAFETY: blocks of this layout, the first of which is let go.
            unsafe {
                (all[0] as *mut u8).write_bytes(7, 1000);
                let moved = Allocator.realloc(all[0] as *mut u8, layout, 2000);
                assert!(!is_carved(moved) && (0..1000).all(|i| *moved.add(i) == 7));
                Allocator.dealloc(moved, Layout::from_size_align(2000, 64).unwrap());
            }
        });
        assert_eq!(found.unwrap_err().kind(), Kind::Memory);
        assert!(HOARD.get().is_none() && carve(layout).is_null());
        assert_eq!(hoarding(usize::MAX, || ()).unwrap_err().kind(), Kind::Memory);
        assert!(std::panic::catch_unwind(|| hoarding(500, || panic!("of others"))).is_err());
        assert!(HOARD.get().is_none());
    }

    #[test]
    fn the_reserve_lends_units_and_takes_them_back() {
        let before = IN_USE.load(Ordering::Relaxed);
        let sizes = [1, 256, 257, 5000, 64 * UNIT];
        let all: Vec<(*mut u8, usize)> = (0..40).map(|i| sizes[i % 5]).map(|n| (take(n, 16), n)).collect();
        for &(p, n) in &all {
            assert!(is_ours(p) && (p as usize).is_multiple_of(UNIT));
            // SAFETY: ours.
            unsafe { p.write_bytes(n as u8, n) };
        }
        for &(p, n) in &all {
            // SAFETY: ours, and written.
            assert!(unsafe { std::slice::from_raw_parts(p, n) }.iter().all(|&b| b == n as u8));
            put_back(p, n);
        }
        assert!(take(64 * UNIT + 1, 16).is_null() && take(1, 512).is_null());
        assert_eq!(IN_USE.load(Ordering::Relaxed), before);
        assert!(!is_ours(&mut 0u8));
    }

    #[test]
    fn nothing_begins_while_the_reserve_is_in_use() {
        let taken: Vec<_> = (0..FULL / 64).map(|_| take(64 * UNIT, 1)).collect();
        let refused = check();
        taken.into_iter().for_each(|p| put_back(p, 64 * UNIT));
        assert_eq!(refused.unwrap_err().kind(), Kind::Memory);
        assert!(check().is_ok());
    }

    #[test]
    fn a_lent_block_serves_one_request_of_its_layout() {
        let layout = Layout::from_size_align(1 << 20, 4096).unwrap();
        lending(layout, || {
            assert!(take_lent(Layout::from_size_align(1 << 20, 64).unwrap()).is_none());
            let block = take_lent(layout).unwrap();
            assert!(take_lent(layout).is_none());
            // SAFETY: a block of the system's with this layout.
            unsafe {
                block.write_bytes(1, 1 << 20);
                Allocator.dealloc(block, layout);
            }
        })
        .unwrap();
        lending(layout, || ()).unwrap();
        assert!(take_lent(layout).is_none());
        let all = Layout::from_size_align(1 << 60, 1).unwrap();
        assert_eq!(lending(all, || ()).unwrap_err().kind(), Kind::Memory);
    }

    #[test]
    fn blocks_move_out_of_the_reserve() {
        let layout = Layout::from_size_align(100, 8).unwrap();
        let p = take(100, 8);
        // SAFETY: ours, with this layout.
        unsafe {
            p.write_bytes(7, 100);
            let q = Allocator.realloc(p, layout, 5000);
            assert!(!is_ours(q) && *q.add(99) == 7);
            Allocator.dealloc(q, Layout::from_size_align(5000, 8).unwrap());
        }
    }
}
