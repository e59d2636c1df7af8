//! L0: the thread pool. One entry, [`parallel_for`], which every kernel uses to split its work.
//!
//! * The caller works too: it claims chunks like a worker, and at the end waits only for chunks that a worker has
//!   already started. A worker that wakes up late costs nothing.
//! * Each thread owns a contiguous share of the chunks and takes from the others only when its own are gone, so two
//!   calls over the same data touch it from the same core and find it in that core's cache.
//! * Workers start on first need, spin for a moment after each region, then park.
//! * One region runs at a time. A second caller, or a call from inside a region, runs its work inline.
//! * A forked child has no workers; it drops the inherited pool and builds a new one when it needs it.
//!
//! * Long ranges are done in pieces of about a millisecond, between which the program may end the call ([`poll`]).
//!
//! The split depends on the thread count, so a kernel must give the same bits for any split of its range.

use crate::bail;
use crate::error::Result;
use std::alloc::{GlobalAlloc, Layout, System};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// More threads than this are not used.
const MAX_THREADS: usize = 256;
/// Chunks per thread: enough to even out a core that is busy with something else.
const CHUNKS_PER_THREAD: usize = 4;
/// How long an idle worker spins before it parks.
const SPIN: Duration = Duration::from_micros(40);

/// The thread count; 0 until first asked for.
static THREADS: AtomicUsize = AtomicUsize::new(0);
static POOL: AtomicPtr<Pool> = AtomicPtr::new(null_mut());

thread_local! {
    /// Whether this thread is running a chunk (always true on a worker).
    static IN_REGION: Cell<bool> = const { Cell::new(false) };
    static WATCH: Watch = const { Watch { check: Cell::new(None), last: Cell::new(None), held: Cell::new(0) } };
}

// ---- interrupts ----

/// Asks the program whether the call of this thread is to go on; anything but 0 ends it.
pub type InterruptCheck = unsafe extern "C-unwind" fn() -> i32;

/// How often a thread asks.
const ASK_EVERY: Duration = Duration::from_millis(50);

struct Watch {
    check: Cell<Option<InterruptCheck>>,
    last: Cell<Option<Instant>>,
    /// How many calls are under way that must not be ended.
    held: Cell<u32>,
}

/// What unwinds a call that the program has ended; the doors turn it into an error.
pub(crate) struct Interrupted;

/// Sets what long calls of this thread ask from time to time, or nothing.
pub fn set_interrupt_check(check: Option<InterruptCheck>) {
    WATCH.with(|w| w.check.set(check));
}

/// While it lives, calls of this thread run to their end: what they change must not be left half changed.
pub(crate) struct Hold(());

impl Hold {
    #[inline]
    pub(crate) fn new() -> Hold {
        // A thread that is shutting down is not watched.
        let _ = WATCH.try_with(|w| w.held.set(w.held.get() + 1));
        Hold(())
    }
}

impl Drop for Hold {
    #[inline]
    fn drop(&mut self) {
        // As in `new`.
        let _ = WATCH.try_with(|w| w.held.set(w.held.get() - 1));
    }
}

/// True if the program wants this call to end. It is asked now and then only, and not on pool threads.
pub(crate) fn interrupted() -> bool {
    let asked = WATCH.try_with(|w| {
        let check = w.check.get().filter(|_| w.held.get() == 0)?;
        let now = Instant::now();
        if w.last.get().is_some_and(|last| now.duration_since(last) < ASK_EVERY) {
            return None;
        }
        w.last.set(Some(now));
        Some(check)
    });
    let Ok(Some(check)) = asked else { return false };
    // Whatever the program does now, such as running a handler of signals, is not asked again.
    let _hold = Hold::new();
    // SAFETY: the contract of `rt_set_interrupt_check`.
    crate::callback::call(|| unsafe { check() }) != Some(0)
}

/// Ends this call by unwinding if the program wants that. To be called between parts of long work, some milliseconds each.
#[inline(never)]
pub(crate) fn poll() {
    let ended = IN_REGION.get() && {
        let pool = POOL.load(Ordering::Acquire);
        // SAFETY: a published pool is never freed.
        !pool.is_null() && unsafe { &*pool }.ended.load(Ordering::Relaxed)
    };
    if ended || interrupted() {
        resume_unwind(Box::new(Interrupted));
    }
}

/// As [`poll`], with an error in the place of unwinding. With `now` the program is asked even if it has just been.
pub(crate) fn go_on(now: bool) -> Result<()> {
    if now {
        // A thread that is shutting down is not watched.
        let _ = WATCH.try_with(|w| w.last.set(None));
    }
    if interrupted() {
        bail!(Interrupted, "the call was interrupted");
    }
    Ok(())
}

/// Calls `f` for one piece after the other of a long list, polling between them.
#[inline]
pub(crate) fn polled<T>(items: &[T], mut f: impl FnMut(&[T])) {
    const PIECE: usize = 1 << 20;
    for piece in items.chunks(PIECE) {
        f(piece);
        if items.len() > PIECE {
            poll();
        }
    }
}

/// Polls after every some million steps of work that is not split by [`parallel_for`].
#[derive(Default)]
pub(crate) struct Pace(usize);

impl Pace {
    /// Counts `steps`, of about a nanosecond each.
    #[inline(always)]
    pub(crate) fn step(&mut self, steps: usize) {
        self.0 += steps;
        if self.0 >= 1 << 22 {
            self.0 = 0;
            poll();
        }
    }
}

/// Calls `f` on one range after the other, polling between them: so many at once that it takes about a millisecond, but
/// `grain` at least.
pub(crate) fn in_pieces(range: Range<usize>, grain: usize, f: &dyn Fn(Range<usize>)) {
    const PIECE: Duration = Duration::from_millis(1);
    let mut size = grain.max(1);
    let (mut at, end) = (range.start, range.end);
    if range.len() > 4 * size || (size == 1 && range.len() > 1) {
        let mut began = Instant::now();
        while end - at >= 2 * size {
            f(at..at + size);
            at += size;
            let now = Instant::now();
            if now.duration_since(began) < PIECE {
                size *= 2;
            }
            began = now;
            poll();
        }
    }
    f(at..end);
}

/// The number of threads a parallel region may use, the caller included. The default is `RUSTORCH_NUM_THREADS`,
/// else `OMP_NUM_THREADS`, else the number of CPUs this process may run on.
#[inline]
pub fn num_threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => default_threads(),
        n => n,
    }
}

/// [`num_threads`], or 1 from inside a parallel region, where nested work runs inline.
#[inline]
pub fn usable_threads() -> usize {
    if IN_REGION.get() {
        1
    } else {
        num_threads()
    }
}

/// Sets the number of threads for later regions, between 1 and 256; numbers outside are brought to the nearer end.
pub fn set_num_threads(n: usize) {
    THREADS.store(n.clamp(1, MAX_THREADS), Ordering::Relaxed);
}

#[cold]
fn default_threads() -> usize {
    let from_env = |name| std::env::var(name).ok()?.trim().parse::<usize>().ok().filter(|&n| n > 0);
    let n = from_env("RUSTORCH_NUM_THREADS")
        .or_else(|| from_env("OMP_NUM_THREADS"))
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, |n| n.get()))
        .min(MAX_THREADS);
    // A set_num_threads() that came in between wins.
    match THREADS.compare_exchange(0, n, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => n,
        Err(set) => set,
    }
}

/// Calls `f` on disjoint ranges that together cover `0..n`, each at least `grain` long (unless `n` is shorter), on
/// several threads when that helps. Returns when all are done; a panic in `f` is raised again here.
#[inline]
pub fn parallel_for(n: usize, grain: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
    if n == 0 {
        return;
    }
    if n <= grain {
        return f(0..n);
    }
    if IN_REGION.get() {
        return in_pieces(0..n, grain, f);
    }
    // Its pieces may be too short to ask in between, and still this may be one of very many such calls.
    poll();
    if num_threads() == 1 {
        return in_pieces(0..n, grain, f);
    }
    fork_join(n, grain.max(1), f);
}

/// [`parallel_for`] for work that can fail: one of the errors comes back when all is done.
pub fn try_parallel_for(n: usize, grain: usize, f: &(dyn Fn(Range<usize>) -> Result<()> + Sync)) -> Result<()> {
    let failed = Mutex::new(None);
    parallel_for(n, grain, &|r| {
        if let Err(e) = f(r) {
            failed.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(e);
        }
    });
    failed.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
}

fn fork_join(n: usize, grain: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
    let threads = num_threads();
    let chunks = (n / grain).min(threads * CHUNKS_PER_THREAD);
    if chunks < 2 {
        return in_pieces(0..n, grain, f);
    }
    let Some(pool) = pool() else { return in_pieces(0..n, grain, f) };
    if pool.busy.swap(true, Ordering::Acquire) {
        return in_pieces(0..n, grain, f);
    }
    let threads = threads.min(chunks);
    // SAFETY: `busy` is ours, and `run` returns only after the last chunk is done.
    unsafe {
        pool.start_workers(threads - 1);
        pool.run(Job { n, chunks, grain, f: forget_lifetime(f) }, threads);
    }
    let panic = pool.panic.lock().unwrap_or_else(|e| e.into_inner()).take();
    pool.busy.store(false, Ordering::Release);
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}

/// A thread's share of the chunks, `next` in the low half and `end` in the high half, on a cache line of its own.
#[repr(align(128))]
struct Share(AtomicU64);

impl Share {
    fn claim(&self) -> Option<usize> {
        let mut word = self.0.load(Ordering::Relaxed);
        while (word as u32) < (word >> 32) as u32 {
            match self.0.compare_exchange_weak(word, word + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(word as u32 as usize),
                Err(now) => word = now,
            }
        }
        None
    }
}

/// What the chunks of the present region are. Written by the region's owner before any share is filled, and read only
/// by a thread that holds a claimed chunk, for which the owner waits.
struct Job {
    n: usize,
    chunks: usize,
    grain: usize,
    f: *const (dyn Fn(Range<usize>) + Sync),
}

/// Where a worker without work sleeps.
struct Bed {
    /// What its thread is told when it starts: the pool, and which worker it is.
    pool: AtomicPtr<Pool>,
    me: AtomicUsize,
    parked: AtomicBool,
    lock: Mutex<()>,
    bell: Condvar,
}

impl Bed {
    const fn new() -> Bed {
        Bed {
            pool: AtomicPtr::new(null_mut()),
            me: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            lock: Mutex::new(()),
            bell: Condvar::new(),
        }
    }
}

/// No thread calls `f` without a claimed chunk, and the region's owner waits for all of those.
fn forget_lifetime<'a>(f: *const (dyn Fn(Range<usize>) + Sync + 'a)) -> *const (dyn Fn(Range<usize>) + Sync) {
    // SAFETY: equal but for the lifetime.
    unsafe { std::mem::transmute::<*const (dyn Fn(Range<usize>) + Sync + 'a), *const (dyn Fn(Range<usize>) + Sync)>(f) }
}

struct Pool {
    busy: AtomicBool,
    /// Counts regions, so that a worker sees that there is something new.
    epoch: AtomicU32,
    /// Threads in the present region.
    active: AtomicUsize,
    /// Chunks not yet finished.
    pending: AtomicUsize,
    shares: [Share; MAX_THREADS],
    beds: [Bed; MAX_THREADS],
    /// True once a chunk has panicked or the program has ended the call: the rest is skipped.
    ended: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    // These two belong to whoever holds `busy`.
    job: UnsafeCell<Job>,
    workers: UnsafeCell<usize>,
}

// SAFETY: `job` and `workers` follow the rules stated at their types and fields; the rest is atomics and a mutex.
unsafe impl Sync for Pool {}

/// The pool of this process, made on first use and never freed; None if there is no memory for it.
fn pool() -> Option<&'static Pool> {
    let mut p = POOL.load(Ordering::Acquire);
    if p.is_null() {
        forget_pool_in_child();
        let layout = Layout::new::<Pool>();
        // SAFETY: the layout has a size.
        let new = unsafe { System.alloc(layout) }.cast::<Pool>();
        if new.is_null() {
            return None;
        }
        // SAFETY: room for a pool, which nobody else knows.
        unsafe {
            new.write(Pool {
                busy: AtomicBool::new(false),
                epoch: AtomicU32::new(0),
                active: AtomicUsize::new(0),
                pending: AtomicUsize::new(0),
                shares: [const { Share(AtomicU64::new(0)) }; MAX_THREADS],
                beds: [const { Bed::new() }; MAX_THREADS],
                ended: AtomicBool::new(false),
                panic: Mutex::new(None),
                job: UnsafeCell::new(Job { n: 0, chunks: 1, grain: 1, f: &|_: Range<usize>| {} }),
                workers: UnsafeCell::new(0),
            });
        }
        p = match POOL.compare_exchange(null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => new,
            Err(other) => {
                // SAFETY: `new` was not published, and owns nothing.
                unsafe { System.dealloc(new.cast(), layout) };
                other
            }
        };
    }
    // SAFETY: a published pool is never freed.
    Some(unsafe { &*p })
}

/// Makes every forked child start without a pool: its threads and perhaps its locks belong to the parent.
#[cfg(unix)]
fn forget_pool_in_child() {
    unsafe extern "C" fn child() {
        POOL.store(null_mut(), Ordering::Release);
    }
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Ordering::AcqRel) {
        // SAFETY: the hook does one atomic store. Failure (no memory) only loses parallelism in a forked child.
        unsafe { crate::fork::pthread_atfork(None, None, Some(child)) };
    }
}

#[cfg(not(unix))]
fn forget_pool_in_child() {}

impl Pool {
    /// Starts workers until there are `wanted`; with fewer (the system refuses, or has no threads) all still works.
    /// The caller holds `busy`.
    unsafe fn start_workers(&'static self, wanted: usize) {
        let workers = &mut *self.workers.get();
        while *workers < wanted && start_thread(self, *workers + 1) {
            *workers += 1;
        }
    }

    /// One region. The caller holds `busy`; `chunks >= threads >= 1`.
    unsafe fn run(&self, job: Job, threads: usize) {
        let chunks = job.chunks;
        *self.job.get() = job;
        self.ended.store(false, Ordering::Relaxed);
        self.pending.store(chunks, Ordering::Relaxed);
        self.active.store(threads, Ordering::Relaxed);
        for t in 0..threads {
            let (next, end) = (chunks * t / threads, chunks * (t + 1) / threads);
            self.shares[t].0.store(next as u64 | (end as u64) << 32, Ordering::Release);
        }
        // SeqCst here and in work(): either the worker sees the new epoch, or we see that it parked.
        self.epoch.fetch_add(1, Ordering::SeqCst);
        for bed in &self.beds[1..threads.min(*self.workers.get() + 1)] {
            if bed.parked.load(Ordering::SeqCst) {
                // A worker that holds the lock and has not yet seen the epoch waits for the bell by the time we have it.
                drop(bed.lock.lock().unwrap_or_else(|e| e.into_inner()));
                bed.bell.notify_one();
            }
        }
        IN_REGION.set(true);
        self.take_chunks(0, threads);
        IN_REGION.set(false);
        let mut spins = 0;
        while self.pending.load(Ordering::Acquire) != 0 {
            // A chunk is running elsewhere; on a crowded machine its thread may need our core.
            spins += 1;
            if spins < 2000 {
                std::hint::spin_loop();
            } else {
                // Once the call is to end, nobody is asked again.
                if spins % 64 == 0 && !self.ended.load(Ordering::Relaxed) && interrupted() {
                    self.fail(Box::new(Interrupted));
                }
                thread::yield_now();
            }
        }
    }

    fn fail(&self, payload: Box<dyn Any + Send>) {
        let mut first = self.panic.lock().unwrap_or_else(|e| e.into_inner());
        first.get_or_insert(payload);
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Runs chunks until none is unclaimed, first of the own share, then of the others.
    fn take_chunks(&self, me: usize, threads: usize) {
        for i in 0..threads {
            let share = &self.shares[(me + i) % threads];
            while let Some(chunk) = share.claim() {
                // SAFETY: we hold a chunk, so the job stays as it is until we count it as done.
                let job = unsafe { &*self.job.get() };
                let (size, longer) = (job.n / job.chunks, job.n % job.chunks);
                let start = |i: usize| i * size + i.min(longer);
                // SAFETY: as above.
                let call =
                    AssertUnwindSafe(|| in_pieces(start(chunk)..start(chunk + 1), job.grain, unsafe { &*job.f }));
                if !self.ended.load(Ordering::Relaxed) {
                    if let Err(payload) = catch_unwind(call) {
                        self.fail(payload);
                    }
                }
                self.pending.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// A worker's life.
    fn work(&self, me: usize) {
        let bed = &self.beds[me];
        IN_REGION.set(true);
        let mut seen = 0;
        loop {
            let mut idle_since = Instant::now();
            let mut spins = 0u32;
            loop {
                let epoch = self.epoch.load(Ordering::SeqCst);
                if epoch != seen {
                    seen = epoch;
                    break;
                }
                spins += 1;
                std::hint::spin_loop();
                if spins.is_multiple_of(32) && idle_since.elapsed() > SPIN {
                    bed.parked.store(true, Ordering::SeqCst);
                    let mut asleep = bed.lock.lock().unwrap_or_else(|e| e.into_inner());
                    while self.epoch.load(Ordering::SeqCst) == seen {
                        asleep = bed.bell.wait(asleep).unwrap_or_else(|e| e.into_inner());
                    }
                    drop(asleep);
                    bed.parked.store(false, Ordering::SeqCst);
                    idle_since = Instant::now();
                }
            }
            let threads = self.active.load(Ordering::Acquire);
            if me < threads {
                self.take_chunks(me, threads);
            }
        }
    }
}

/// Starts worker `me` of the pool. The system's own call: `std::thread` notes the thread's end in a way that ends the
/// process if there is no memory for it.
#[cfg(target_os = "linux")]
fn start_thread(pool: &'static Pool, me: usize) -> bool {
    use std::ffi::{c_char, c_void};

    extern "C" {
        fn pthread_attr_init(attributes: *mut c_void) -> i32;
        fn pthread_attr_setstacksize(attributes: *mut c_void, bytes: usize) -> i32;
        fn pthread_attr_destroy(attributes: *mut c_void) -> i32;
        fn pthread_create(
            thread: *mut usize,
            attributes: *const c_void,
            start: extern "C" fn(*mut c_void) -> *mut c_void,
            argument: *mut c_void,
        ) -> i32;
        fn pthread_detach(thread: usize) -> i32;
        fn pthread_setname_np(thread: usize, name: *const c_char) -> i32;
    }

    extern "C" fn start(argument: *mut c_void) -> *mut c_void {
        // SAFETY: `start_thread` passes a bed of the pool, which lives for ever.
        let bed = unsafe { &*argument.cast::<Bed>() };
        let pool: *const Pool = bed.pool.load(Ordering::Acquire);
        // SAFETY: as above; the pool was written there before the thread began.
        unsafe { (*pool).work(bed.me.load(Ordering::Relaxed)) };
        std::ptr::null_mut()
    }

    let bed = &pool.beds[me];
    bed.me.store(me, Ordering::Relaxed);
    bed.pool.store(std::ptr::from_ref(pool).cast_mut(), Ordering::Release);
    if crate::memory::is_short() {
        return false;
    }
    let mut thread = 0;
    let mut attributes = [0u64; 16]; // more than any C library's `pthread_attr_t`
    let attributes: *mut c_void = attributes.as_mut_ptr().cast();
    // SAFETY: the attributes are used between their making and their end; the bed lives for ever.
    let started = unsafe {
        if pthread_attr_init(attributes) != 0 {
            return false;
        }
        pthread_attr_setstacksize(attributes, 2 << 20);
        let bed = std::ptr::from_ref(bed).cast_mut().cast();
        let started = pthread_create(&mut thread, attributes, start, bed) == 0;
        pthread_attr_destroy(attributes);
        started
    };
    if !started {
        return false;
    }
    let mut name = *b"rustorch-000\0";
    let digits = [me / 100, me / 10 % 10, me % 10];
    name[9..12].copy_from_slice(&digits.map(|d| b'0' + d as u8));
    // SAFETY: the thread runs for ever, so its handle is good; the name ends with 0.
    unsafe {
        pthread_setname_np(thread, name.as_ptr().cast());
        pthread_detach(thread);
    }
    true
}

#[cfg(not(target_os = "linux"))]
fn start_thread(pool: &'static Pool, me: usize) -> bool {
    thread::Builder::new().name(format!("rustorch-{me}")).spawn(move || pool.work(me)).is_ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    static TURN: Mutex<()> = Mutex::new(());

    /// Runs `f` with this thread count. It is global, so tests that set it take turns, and must do it through here.
    pub(crate) fn with_threads<R>(n: usize, f: impl FnOnce() -> R) -> R {
        let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
        set_num_threads(n);
        f()
    }

    fn count_hits(n: usize, grain: usize) {
        let hits: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
        parallel_for(n, grain, &|r| {
            assert!(r.len() >= grain.min(n));
            for i in r {
                hits[i].fetch_add(1, Ordering::Relaxed);
            }
        });
        assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1), "n={n} grain={grain}");
    }

    #[test]
    fn covers_the_range_once() {
        for threads in [1, 2, 3, 7] {
            with_threads(threads, || {
                for n in [0, 1, 2, 3, 10, 63, 64, 65, 1000, 4097] {
                    for grain in [0, 1, 3, 64, 1000, 5000] {
                        count_hits(n, grain);
                    }
                }
            });
        }
    }

    #[test]
    fn many_regions_in_a_row() {
        with_threads(4, || {
            let sum = AtomicUsize::new(0);
            for i in 0..20_000 {
                if i % 1000 == 0 {
                    thread::sleep(Duration::from_micros(200)); // lets the workers park
                }
                parallel_for(16, 1, &|r| {
                    sum.fetch_add(r.sum::<usize>(), Ordering::Relaxed);
                });
            }
            assert_eq!(sum.into_inner(), 20_000 * 120);
        });
    }

    #[test]
    fn works_on_several_threads() {
        with_threads(2, || {
            // Two chunks that each wait for the other to begin; gives up after a while on a very busy machine.
            let begun = AtomicUsize::new(0);
            let met = AtomicBool::new(false);
            parallel_for(2, 1, &|_| {
                begun.fetch_add(1, Ordering::SeqCst);
                let t = Instant::now();
                while t.elapsed() < Duration::from_secs(10) && !met.load(Ordering::SeqCst) {
                    if begun.load(Ordering::SeqCst) == 2 {
                        met.store(true, Ordering::SeqCst);
                    }
                    thread::yield_now();
                }
            });
            assert!(met.into_inner());
        });
    }

    #[test]
    fn nested_and_concurrent_callers() {
        with_threads(3, || {
            let total = AtomicUsize::new(0);
            thread::scope(|s| {
                for _ in 0..4 {
                    s.spawn(|| {
                        for _ in 0..500 {
                            parallel_for(8, 1, &|outer| {
                                for _ in outer {
                                    parallel_for(4, 1, &|r| {
                                        total.fetch_add(r.len(), Ordering::Relaxed);
                                    });
                                }
                            });
                        }
                    });
                }
            });
            assert_eq!(total.into_inner(), 4 * 500 * 32);
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        with_threads(4, || {
            for bad in [0, 5, 15] {
                let caught = catch_unwind(|| {
                    parallel_for(16, 1, &|r| {
                        if r.contains(&bad) {
                            resume_unwind(Box::new(bad)); // a panic without the hook's message
                        }
                    })
                });
                assert_eq!(*caught.unwrap_err().downcast::<usize>().unwrap(), bad);
                count_hits(1000, 1);
            }
        });
    }

    #[test]
    fn thread_count_is_kept_in_range() {
        with_threads(0, || assert_eq!(num_threads(), 1));
        with_threads(usize::MAX, || assert_eq!(num_threads(), MAX_THREADS));
    }

    #[cfg(unix)]
    #[test]
    fn a_forked_child_builds_its_own_pool() {
        extern "C" {
            fn fork() -> i32;
            fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
            fn _exit(code: i32) -> !;
        }
        with_threads(2, || {
            count_hits(100, 1);
            let sum = AtomicUsize::new(0);
            let met = AtomicBool::new(false);
            // SAFETY: the child only runs regions (which allocate; glibc and musl keep malloc usable after fork).
            let status = unsafe {
                let pid = fork();
                if pid == 0 {
                    let begun = AtomicUsize::new(0);
                    parallel_for(2, 1, &|_| {
                        begun.fetch_add(1, Ordering::SeqCst);
                        let t = Instant::now();
                        while t.elapsed() < Duration::from_secs(10) && !met.load(Ordering::SeqCst) {
                            met.fetch_or(begun.load(Ordering::SeqCst) == 2, Ordering::SeqCst);
                            thread::yield_now();
                        }
                    });
                    parallel_for(100, 1, &|r| {
                        sum.fetch_add(r.sum::<usize>(), Ordering::Relaxed);
                    });
                    _exit(if sum.into_inner() == 4950 && met.into_inner() { 0 } else { 1 });
                }
                let mut status = -1;
                assert_eq!(waitpid(pid, &mut status, 0), pid);
                status
            };
            assert_eq!(status, 0);
            count_hits(100, 1);
        });
    }
}
