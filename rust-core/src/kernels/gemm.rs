//! L1: matrix multiplication on raw strided pointers.
//!
//! [`sgemm`] and [`dgemm`] compute `C = alpha * A @ B + beta * C` for an `m x k` A, a `k x n` B and an `m x n` C, each
//! given by a pointer to its first element, a row stride and a column stride in elements (any sign, 0 included for A
//! and B). As in BLAS, `beta == 0` never reads C, and `alpha == 0` or `k == 0` never reads A and B.
//! [`hgemm`] is the same for half floats, as if of f32 copies of A, B and C and rounded once: what is read of A and B is
//! widened on its way into a register or a packed panel, and C is summed up in f32, block by block.
//! [`igemm`] is the same for integers, with wrapping arithmetic.
//!
//! The shape decides the way, and every way gives an element of C the same operations in the same order wherever the
//! element lies in a tile or a task, so the bits do not depend on the number of threads (they do depend on the
//! [`Level`]):
//!
//! * one row (or column): a streaming vector-matrix product, by dot products or by row updates, as B lies in memory;
//! * few rows against a B that is contiguous along `k`: tiles of dot products;
//! * the rest: outer-product tiles held in registers, `MR` rows by a few vectors of columns. Small problems read A and
//!   B where they are (unless those are half floats); larger ones go through the five loops of Goto and van de Geijn (2008, "Anatomy of
//!   high-performance matrix multiplication") and Van Zee and van de Geijn (2015, "BLIS") over packed panels.
//!
//! # Safety
//! For all functions here: the pointers must be valid for every element that the sizes and strides reach, elements of
//! C must be distinct and must not overlap A or B, and nobody else may access C during the call. A [`Level`] must be
//! one that the CPU supports.
#![allow(clippy::missing_safety_doc)]
// Counted loops over arrays of registers unroll reliably; iterator chains do not.
#![allow(clippy::needless_range_loop)]

use super::copy::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, Shared, GRAIN};
use crate::dtype::half::{bf16, f16};
use crate::memory::Kept;
use crate::parallel::{parallel_for, poll, usable_threads, Pace};
use crate::simd::{level, widen_bf16, widen_f16, Lane, Level, Leveled, Op, Vector};
use std::alloc::{GlobalAlloc, Layout, System};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::null_mut;
use std::thread::LocalKey;

/// `C = alpha * A @ B + beta * C` in f32. Sizes in elements, strides in elements; see the module for the contract.
pub unsafe fn sgemm(
    m: usize,
    n: usize,
    k: usize,
    alpha: f32,
    a: *const f32,
    rsa: isize,
    csa: isize,
    b: *const f32,
    rsb: isize,
    csb: isize,
    beta: f32,
    c: *mut f32,
    rsc: isize,
    csc: isize,
) {
    gemm_at(level(), Gemm { m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc })
}

/// `C = alpha * A @ B + beta * C` in f64; like [`sgemm`].
pub unsafe fn dgemm(
    m: usize,
    n: usize,
    k: usize,
    alpha: f64,
    a: *const f64,
    rsa: isize,
    csa: isize,
    b: *const f64,
    rsb: isize,
    csb: isize,
    beta: f64,
    c: *mut f64,
    rsc: isize,
    csc: isize,
) {
    gemm_at(level(), Gemm { m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc })
}

/// `C = alpha * A @ B + beta * C` of half floats, computed in f32 and rounded once; like [`sgemm`].
pub(crate) unsafe fn hgemm<H: Half>(
    m: usize,
    n: usize,
    k: usize,
    alpha: f32,
    a: *const H,
    rsa: isize,
    csa: isize,
    b: *const H,
    rsb: isize,
    csb: isize,
    beta: f32,
    c: *mut H,
    rsc: isize,
    csc: isize,
) {
    half_at(level(), Gemm { m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc })
}

/// One problem: the arguments of [`sgemm`], for A and B of elements `S` and C of `O`.
#[derive(Clone, Copy)]
pub(crate) struct Gemm<T, S = T, O = T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub alpha: T,
    pub a: *const S,
    pub rsa: isize,
    pub csa: isize,
    pub b: *const S,
    pub rsb: isize,
    pub csb: isize,
    pub beta: T,
    pub c: *mut O,
    pub rsc: isize,
    pub csc: isize,
}

// SAFETY: the tasks of one problem write disjoint parts of C and only read A and B.
unsafe impl<T, S, O> Sync for Gemm<T, S, O> {}

/// [`sgemm`] or [`dgemm`] with the kernels of a given level, A and B as they are stored.
pub(crate) unsafe fn gemm_at<S: Stored>(level: Level, g: Gemm<S::T, S>) {
    S::T::at(level, g)
}

impl<S: Stored> Op<S::T> for Gemm<S::T, S> {
    #[inline(always)]
    unsafe fn run<V: Vector<T = S::T>>(self) {
        gemm::<V, S>(self)
    }
}

impl<T: Copy, S: Copy, O> Gemm<T, S, O> {
    /// The same problem read as `C^T = B^T @ A^T`.
    fn transposed(self) -> Self {
        Gemm {
            m: self.n,
            n: self.m,
            a: self.b,
            rsa: self.csb,
            csa: self.rsb,
            b: self.a,
            rsb: self.csa,
            csb: self.rsa,
            rsc: self.csc,
            csc: self.rsc,
            ..self
        }
    }

    /// The part of the problem that makes rows `i` and columns `j` of C.
    unsafe fn part(&self, i: Range<usize>, j: Range<usize>) -> Self {
        Gemm {
            m: i.len(),
            n: j.len(),
            a: self.a.offset(i.start as isize * self.rsa),
            b: self.b.offset(j.start as isize * self.csb),
            c: self.at(i.start, j.start),
            ..*self
        }
    }

    #[inline(always)]
    unsafe fn at(&self, i: usize, j: usize) -> *mut O {
        self.c.offset(i as isize * self.rsc + j as isize * self.csc)
    }

    /// The same sizes and factors with other matrices, each given by its pointer and its steps.
    fn of<R, P>(
        &self,
        a: (*const R, isize, isize),
        b: (*const R, isize, isize),
        c: (*mut P, isize, isize),
    ) -> Gemm<T, R, P> {
        let Gemm { m, n, k, alpha, beta, .. } = *self;
        Gemm {
            m,
            n,
            k,
            alpha,
            a: a.0,
            rsa: a.1,
            csa: a.2,
            b: b.0,
            rsb: b.1,
            csb: b.2,
            beta,
            c: c.0,
            rsc: c.1,
            csc: c.2,
        }
    }
}

impl<T: Lane, S: Copy> Gemm<T, S> {
    /// `C = alpha * value + beta * C` at one element.
    #[inline(always)]
    unsafe fn put(&self, i: usize, j: usize, value: T) {
        let c = self.at(i, j);
        let value = self.alpha * value;
        *c = if self.beta == T::ZERO { value } else { value + self.beta * *c };
    }
}

// ------------------------------------------------------------------------------------------------ elements in memory

/// An element of A or B as it lies in memory: f32 or f64, or a half float, which is widened as it is read.
pub(crate) trait Stored: Copy + 'static {
    /// What it is computed in.
    type T: Leveled;
    /// Whether that is another type. If so, tiles read packed panels only.
    const WIDENED: bool;
    fn get(self) -> Self::T;
    /// The first `n <= LANES` lanes from memory, the others 0.
    unsafe fn load_n<V: Vector<T = Self::T>>(p: *const Self, n: usize) -> V;
    /// All lanes.
    #[inline(always)]
    unsafe fn load<V: Vector<T = Self::T>>(p: *const Self) -> V {
        Self::load_n::<V>(p, V::LANES)
    }
    /// Interleaves `R` rows of up to [`DEPTH`] elements as [`Vector::interleave`] does.
    unsafe fn interleave<V: Vector<T = Self::T>, const R: usize>(
        src: *const Self,
        rs: isize,
        n: usize,
        dst: *mut Self::T,
        ld: usize,
    );
}

macro_rules! stored {
    ($($t:ty),+) => { $(
        impl Stored for $t {
            type T = $t;
            const WIDENED: bool = false;
            #[inline(always)]
            fn get(self) -> $t {
                self
            }
            #[inline(always)]
            unsafe fn load_n<V: Vector<T = $t>>(p: *const $t, n: usize) -> V {
                V::load_n(p, n)
            }
            #[inline(always)]
            unsafe fn load<V: Vector<T = $t>>(p: *const $t) -> V {
                V::load(p)
            }
            #[inline(always)]
            unsafe fn interleave<V: Vector<T = $t>, const R: usize>(
                src: *const $t, rs: isize, n: usize, dst: *mut $t, ld: usize,
            ) {
                V::interleave::<R>(src, rs, n, dst, ld)
            }
        }
    )+ };
}
stored!(f32, f64);

/// A half float: computed in f32.
pub(crate) trait Half: Stored<T = f32> {
    /// `n` consecutive elements as f32.
    unsafe fn widen(src: *const Self, dst: *mut f32, n: usize);
    /// `n` consecutive elements of f32, rounded.
    unsafe fn narrow(src: *const f32, dst: *mut Self, n: usize);
}

macro_rules! half {
    ($($t:ty: $load:ident, $one:ident, $widen:ident, $narrow:ident);+) => { $(
        impl Stored for $t {
            type T = f32;
            const WIDENED: bool = true;
            #[inline(always)]
            fn get(self) -> f32 {
                $one(self.to_bits())
            }
            #[inline(always)]
            unsafe fn load_n<V: Vector<T = f32>>(p: *const $t, n: usize) -> V {
                V::$load(p.cast(), n)
            }
            #[inline(always)]
            unsafe fn interleave<V: Vector<T = f32>, const R: usize>(
                src: *const $t, rs: isize, n: usize, dst: *mut f32, ld: usize,
            ) {
                // Whole vectors, of which the last may run over the end of its row in `wide`.
                let mut wide = [const { MaybeUninit::<f32>::uninit() }; 4 * ROW];
                let wide = wide.as_mut_ptr().cast::<f32>();
                for r in 0..R {
                    for p in (0..n).step_by(V::LANES) {
                        let v: V = Self::load_n(src.offset(r as isize * rs).add(p), V::LANES.min(n - p));
                        v.store(wide.add(r * ROW + p));
                    }
                }
                V::interleave::<R>(wide, ROW as isize, n, dst, ld)
            }
        }
        impl Half for $t {
            unsafe fn widen(src: *const $t, dst: *mut f32, n: usize) {
                $widen(src.cast(), dst, n)
            }
            unsafe fn narrow(src: *const f32, dst: *mut $t, n: usize) {
                $narrow(src, dst.cast(), n)
            }
        }
    )+ };
}
half!(f16: load_f16, widen_f16, f16_to_f32, f32_to_f16; bf16: load_bf16, widen_bf16, bf16_to_f32, f32_to_bf16);

// ------------------------------------------------------------------------------------------------ choosing the way

/// Rows of a tile that reads A in place.
const DIRECT_ROWS: usize = 6;

/// The sizes of tiles that suit a vector's registers.
trait Tiles: Vector {
    /// Rows and vectors of a tile with packed A.
    const MR: usize = if Self::WIDE { 12 } else { 6 };
    const NV: usize = 2;
    /// Vectors of a tile with A in place (its rows are always [`DIRECT_ROWS`]).
    const DIRECT_NV: usize = if Self::WIDE { 4 } else { 2 };
}
impl<V: Vector> Tiles for V {}

/// Depth of a packed panel, so that the panel of B stays in the first-level cache.
const KC: usize = 384;
/// Bytes of the packed block of A (second-level cache) and of B (third-level cache).
const A_BYTES: usize = 384 << 10;
const B_BYTES: usize = 3 << 20;
/// Multiply-adds, and bytes of B in a product with few rows, that are worth a task of their own.
const TASK_WORK: usize = 1 << 20;
const TASK_BYTES: usize = 128 << 10;
/// A B of up to this many bytes, or one that meets up to this many rows, is read in place.
const DIRECT_BYTES: usize = 512 << 10;
const DIRECT_M: usize = 96;
/// Up to this depth the traffic of C decides, so it is written row by row.
const SHALLOW: usize = 32;

/// Bytes of `a * b` elements, or more than there are: repeated elements may be so many that the number wraps around.
fn bytes<T>(a: usize, b: usize) -> usize {
    a.saturating_mul(b).saturating_mul(size_of::<T>())
}

/// A deeper product is done part by part, between which the program may end it.
const DEEP: usize = 1 << 24;

unsafe fn gemm<V: Vector, S: Stored<T = V::T>>(g: Gemm<V::T, S>) {
    if g.m == 0 || g.n == 0 {
        return;
    }
    if g.k > DEEP {
        for p in (0..g.k).step_by(DEEP) {
            let (a, b) = (g.a.offset(p as isize * g.csa), g.b.offset(p as isize * g.rsb));
            let beta = if p == 0 { g.beta } else { V::T::ONE };
            gemm::<V, S>(Gemm { k: DEEP.min(g.k - p), a, b, beta, ..g });
            poll();
        }
        return;
    }
    if g.k == 0 || g.alpha == V::T::ZERO {
        return scale(&g);
    }
    // Vectors run along the columns of C: turn a column vector, or a C stored by columns.
    let g = if g.m != 1 && (g.n == 1 || (g.csc != 1 && g.rsc == 1)) { g.transposed() } else { g };
    let columns_per_task = TASK_BYTES / bytes::<V::T>(g.k, 1) + 1;
    if g.m == 1 && g.n == 1 && g.csa == 1 && g.rsb == 1 {
        V::call(Dot(&g));
    } else if g.rsb == 1 && g.csb != 1 && (g.m == 1 || g.csa == 1 && dots_pay(&g)) {
        dots::<V, S>(g, columns_per_task);
    } else if g.m == 1 && g.csb == 1 {
        // SAFETY: as for this function; the ranges are disjoint.
        parallel_for(g.n, columns_per_task + 64, &|j| unsafe { V::call(RowUpdates(&g.part(0..1, j))) });
    } else if g.k == 1 && g.csb == 1 && g.csc == 1 {
        let rows = TASK_BYTES / bytes::<V::T>(g.n, 1) + 1;
        // SAFETY: as above.
        parallel_for(g.m, rows, &|i| unsafe { V::call(Outer(&g.part(i, 0..g.n))) });
    } else {
        tiled::<V, S>(g);
    }
}

/// Whether dot products beat packing B: its time grows with `k`, that of adding up the lanes with `m`. With many rows
/// the columns of a tile should also stay in the first-level cache.
fn dots_pay<T, S>(g: &Gemm<T, S>) -> bool {
    g.m * 9 <= g.k && (g.m <= 32 || bytes::<T>(g.k, 1) <= 4 << 10)
}

/// `C = beta * C`.
unsafe fn scale<T: Lane, S: Copy>(g: &Gemm<T, S>) {
    for i in 0..g.m {
        for j in 0..g.n {
            let c = g.at(i, j);
            *c = if g.beta == T::ZERO { T::ZERO } else { g.beta * *c };
        }
    }
}

/// The plain triple loop, for when there is no memory for packing.
unsafe fn naive<S: Stored>(g: &Gemm<S::T, S>) {
    for i in 0..g.m {
        for j in 0..g.n {
            g.put(i, j, naive_sum(g, i, j));
        }
    }
}

unsafe fn naive_sum<S: Stored, O>(g: &Gemm<S::T, S, O>, i: usize, j: usize) -> S::T {
    let mut sum = S::T::ZERO;
    for p in 0..g.k {
        let x = (*g.a.offset(i as isize * g.rsa + p as isize * g.csa)).get();
        sum += x * (*g.b.offset(p as isize * g.rsb + j as isize * g.csb)).get();
    }
    sum
}

// ------------------------------------------------------------------------------------------------ one or few rows

/// Few rows of A, contiguous along `k` like the columns of B: dot products.
unsafe fn dots<V: Vector, S: Stored<T = V::T>>(mut g: Gemm<V::T, S>, columns_per_task: usize) {
    if g.csa == 1 {
        // SAFETY: as for this function; the ranges are disjoint.
        return parallel_for(g.n, columns_per_task, &|j| unsafe { V::call(Dots(&g.part(0..g.m, j))) });
    }
    // A single row with gaps: close them first.
    with_scratch(&SCRATCH, bytes::<S>(g.k, 1), |x: *mut S| {
        if x.is_null() {
            return naive(&g);
        }
        for p in 0..g.k {
            *x.add(p) = *g.a.offset(p as isize * g.csa);
        }
        (g.a, g.csa) = (x, 1);
        dots::<V, S>(g, columns_per_task);
    })
}

/// One long dot product, in eight chains.
#[derive(Clone, Copy)]
struct Dot<'a, S: Stored>(&'a Gemm<S::T, S>);

impl<S: Stored> Op<S::T> for Dot<'_, S> {
    #[inline(always)]
    unsafe fn run<V: Vector<T = S::T>>(self) {
        let g = self.0;
        let mut acc = [V::splat(S::T::ZERO); 8];
        let mut p = 0;
        while p + 8 * V::LANES <= g.k {
            for i in 0..8 {
                acc[i] = S::load::<V>(g.a.add(p + i * V::LANES)).fma(S::load::<V>(g.b.add(p + i * V::LANES)), acc[i]);
            }
            p += 8 * V::LANES;
        }
        while p < g.k {
            let lanes = V::LANES.min(g.k - p);
            acc[0] = S::load_n::<V>(g.a.add(p), lanes).fma(S::load_n::<V>(g.b.add(p), lanes), acc[0]);
            p += V::LANES;
        }
        let mut sum = acc[0].sum();
        for i in 1..8 {
            sum += acc[i].sum();
        }
        g.put(0, 0, sum);
    }
}

#[derive(Clone, Copy)]
struct Dots<'a, S: Stored>(&'a Gemm<S::T, S>);

impl<S: Stored> Op<S::T> for Dots<'_, S> {
    #[inline(always)]
    unsafe fn run<V: Vector<T = S::T>>(self) {
        let g = self.0;
        let width = if g.m == 1 { 8 } else { 4 };
        let mut j = 0;
        while j < g.n {
            let mut i = 0;
            while i < g.m {
                i += match g.m - i {
                    1 if g.m == 1 => dot_tile::<V, S, 1, 8>(g, i, j),
                    1 => dot_tile::<V, S, 1, 4>(g, i, j),
                    3.. if V::WIDE => dot_tile::<V, S, 4, 4>(g, i, j),
                    _ => dot_tile::<V, S, 2, 4>(g, i, j),
                };
            }
            j += width;
        }
    }
}

/// Dot products of rows `i..i + M` of A with columns `j..j + N` of B; indices beyond the edge repeat the last one and
/// are dropped. Returns `M`.
#[inline(always)]
unsafe fn dot_tile<V: Vector, S: Stored<T = V::T>, const M: usize, const N: usize>(
    g: &Gemm<V::T, S>,
    i: usize,
    j: usize,
) -> usize {
    let (mut a, mut b) = ([g.a; M], [g.b; N]);
    for r in 0..M {
        a[r] = g.a.offset((i + r).min(g.m - 1) as isize * g.rsa);
    }
    for s in 0..N {
        b[s] = g.b.offset((j + s).min(g.n - 1) as isize * g.csb);
    }
    let mut acc = [[V::splat(V::T::ZERO); N]; M];
    let mut p = 0;
    while p + V::LANES <= g.k {
        let mut y = [V::splat(V::T::ZERO); N];
        for s in 0..N {
            y[s] = S::load::<V>(b[s].add(p));
        }
        for r in 0..M {
            let x = S::load::<V>(a[r].add(p));
            for s in 0..N {
                acc[r][s] = x.fma(y[s], acc[r][s]);
            }
        }
        p += V::LANES;
    }
    let left = g.k - p;
    if left > 0 {
        for r in 0..M {
            let x = S::load_n::<V>(a[r].add(p), left);
            for s in 0..N {
                acc[r][s] = x.fma(S::load_n::<V>(b[s].add(p), left), acc[r][s]);
            }
        }
    }
    for r in 0..M.min(g.m - i) {
        for s in 0..N.min(g.n - j) {
            g.put(i + r, j + s, acc[r][s].sum());
        }
    }
    M
}

/// One row of A, rows of B contiguous: `y += a[p] * B[p, ..]`, eight rows at a time, over a strip of columns whose sums
/// stay in the first-level cache.
#[derive(Clone, Copy)]
struct RowUpdates<'a, S: Stored>(&'a Gemm<S::T, S>);

impl<S: Stored> Op<S::T> for RowUpdates<'_, S> {
    #[inline(always)]
    unsafe fn run<V: Vector<T = S::T>>(self) {
        const STRIP: usize = 1024;
        let g = self.0;
        let mut sums = [S::T::ZERO; STRIP];
        let mut j = 0;
        while j < g.n {
            let n = STRIP.min(g.n - j);
            sums[..n].fill(S::T::ZERO);
            let mut p = 0;
            while p + 8 <= g.k {
                row_updates::<V, S, 8>(g, p, j, n, sums.as_mut_ptr());
                p += 8;
            }
            while p < g.k {
                row_updates::<V, S, 1>(g, p, j, n, sums.as_mut_ptr());
                p += 1;
            }
            for (s, &sum) in sums[..n].iter().enumerate() {
                g.put(0, j + s, sum);
            }
            j += n;
        }
    }
}

#[inline(always)]
unsafe fn row_updates<V: Vector, S: Stored<T = V::T>, const R: usize>(
    g: &Gemm<V::T, S>,
    p: usize,
    j: usize,
    n: usize,
    sums: *mut V::T,
) {
    let mut x = [V::splat(V::T::ZERO); R];
    let mut b = [g.b; R];
    for r in 0..R {
        x[r] = V::splat((*g.a.offset((p + r) as isize * g.csa)).get());
        b[r] = g.b.offset((p + r) as isize * g.rsb).add(j);
    }
    let mut s = 0;
    while s < n {
        let lanes = V::LANES.min(n - s);
        let mut y = V::load_n(sums.add(s), lanes);
        for r in 0..R {
            y = x[r].fma(S::load_n::<V>(b[r].add(s), lanes), y);
        }
        y.store_n(sums.add(s), lanes);
        s += V::LANES;
    }
}

/// `k == 1`, rows of B and C contiguous: C is written row by row, as it lies in memory.
#[derive(Clone, Copy)]
struct Outer<'a, S: Stored>(&'a Gemm<S::T, S>);

impl<S: Stored> Op<S::T> for Outer<'_, S> {
    #[inline(always)]
    unsafe fn run<V: Vector<T = S::T>>(self) {
        let g = self.0;
        let beta = V::splat(g.beta);
        for i in 0..g.m {
            let a = V::splat(g.alpha * (*g.a.offset(i as isize * g.rsa)).get());
            let c = g.at(i, 0);
            for j in (0..g.n).step_by(V::LANES) {
                let lanes = V::LANES.min(g.n - j);
                let mut v = a.mul(S::load_n::<V>(g.b.add(j), lanes));
                if g.beta != S::T::ZERO {
                    v = beta.fma(V::load_n(c.add(j), lanes), v);
                }
                v.store_n(c.add(j), lanes);
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------ tiles

/// How a whole problem is done; the same for each of its tasks.
#[derive(Clone, Copy)]
struct Plan {
    pack_a: bool,
    pack_b: bool,
    /// Depth of a block along `k`.
    kc: usize,
}

unsafe fn tiled<V: Vector, S: Stored<T = V::T>>(g: Gemm<V::T, S>) {
    let in_place = g.csb == 1 && (g.m <= DIRECT_M || bytes::<V::T>(g.k, g.n) <= DIRECT_BYTES);
    let pack_a = !in_place && g.k > SHALLOW && g.m > DIRECT_M && g.n > DIRECT_M;
    let pack_b = pack_a || g.csb != 1;
    let kc = if pack_a { KC } else { KC / 2 };
    let kc = g.k.div_ceil(g.k.div_ceil(kc));
    let plan = Plan { pack_a: pack_a || S::WIDENED, pack_b: pack_b || S::WIDENED, kc };
    // A grid of tasks, as square as can be; two per thread even out a thread that is held up.
    let threads = usable_threads();
    let tasks = if threads == 1 { 1 } else { (g.m * g.n / (TASK_WORK / g.k + 1)).min(2 * threads) };
    let (mut rows, mut columns) = (1, 1);
    while rows * columns < tasks {
        *(if g.m / rows > g.n / columns { &mut rows } else { &mut columns }) *= 2;
    }
    let (mr, nr) = tile_size::<V>(plan);
    let height = g.m.div_ceil(rows).next_multiple_of(mr);
    let width = g.n.div_ceil(columns).next_multiple_of(nr);
    let (rows, columns) = (g.m.div_ceil(height), g.n.div_ceil(width));
    parallel_for(rows * columns, 1, &|tasks| {
        for task in tasks {
            let (i, j) = (task / columns * height, task % columns * width);
            // SAFETY: as for this function; the parts are disjoint.
            unsafe { serial::<V, S>(&g.part(i..g.m.min(i + height), j..g.n.min(j + width)), plan) };
        }
    });
}

fn tile_size<V: Vector>(plan: Plan) -> (usize, usize) {
    match plan.pack_a {
        true => (V::MR, V::NV * V::LANES),
        false => (DIRECT_ROWS, V::DIRECT_NV * V::LANES),
    }
}

/// One task: the loops around the tiles.
unsafe fn serial<V: Vector, S: Stored<T = V::T>>(g: &Gemm<V::T, S>, plan: Plan) {
    let size = size_of::<V::T>();
    let (mr, nr) = tile_size::<V>(plan);
    // Blocks of about equal size, whole tiles, within the cache's share.
    let block = |len: usize, unit: usize, bytes: usize| {
        let most = (bytes / (plan.kc * size) / unit).max(1) * unit;
        len.div_ceil(len.div_ceil(most)).next_multiple_of(unit)
    };
    let mc = if plan.pack_a { block(g.m, mr, A_BYTES) } else { g.m };
    let nc = if plan.pack_b { block(g.n, nr, B_BYTES) } else { g.n };
    let a_len = if plan.pack_a { (mc * plan.kc).next_multiple_of(64) } else { 0 };
    let b_len = if plan.pack_b { nc * plan.kc } else { 0 };
    with_scratch(&SCRATCH, (a_len + b_len) * size, |buffer: *mut V::T| {
        if buffer.is_null() && a_len + b_len > 0 {
            return naive(g);
        }
        let (a_buffer, b_buffer) = (buffer, buffer.wrapping_add(a_len));
        for j in (0..g.n).step_by(nc) {
            let n = nc.min(g.n - j);
            for p in (0..g.k).step_by(plan.kc) {
                let k = plan.kc.min(g.k - p);
                let src = g.b.offset(p as isize * g.rsb + j as isize * g.csb);
                // What is not packed is not widened either: the same type.
                let mut b: *const V::T = src.cast();
                if plan.pack_b {
                    V::call(Pack { src, across: g.csb, along: g.rsb, n, k, width: nr, dst: b_buffer });
                    b = b_buffer;
                }
                for i in (0..g.m).step_by(mc) {
                    let m = mc.min(g.m - i);
                    let src = g.a.offset(i as isize * g.rsa + p as isize * g.csa);
                    let mut a: *const V::T = src.cast();
                    if plan.pack_a {
                        V::call(Pack { src, across: g.rsa, along: g.csa, n: m, k, width: mr, dst: a_buffer });
                        a = a_buffer;
                    }
                    let beta = if p == 0 { g.beta } else { V::T::ONE };
                    let block = g.of((a, g.rsa, g.csa), (b, g.rsb, g.csb), (g.at(i, j), g.rsc, g.csc));
                    block_of_tiles::<V>(&Gemm { m, n, k, beta, ..block }, plan);
                }
            }
        }
    })
}

/// The two inner loops: all tiles of one block, with A and B packed or in place.
unsafe fn block_of_tiles<V: Vector>(g: &Gemm<V::T>, plan: Plan) {
    let (mr, nr) = tile_size::<V>(plan);
    let mut pace = Pace::default();
    if g.k <= SHALLOW {
        for i in (0..g.m).step_by(mr) {
            for j in (0..g.n).step_by(nr) {
                tile::<V>(g, plan, i..g.m.min(i + mr), j..g.n.min(j + nr));
                pace.step(mr * nr * g.k / 16);
            }
        }
    } else {
        for j in (0..g.n).step_by(nr) {
            // A single vector takes more rows, to have enough sums under way.
            let mr = if plan.pack_a || g.n - j > V::LANES { mr } else { 8 };
            for i in (0..g.m).step_by(mr) {
                tile::<V>(g, plan, i..g.m.min(i + mr), j..g.n.min(j + nr));
                pace.step(mr * nr * g.k / 16);
            }
        }
    }
}

#[inline(always)]
unsafe fn tile<V: Vector>(g: &Gemm<V::T>, plan: Plan, i: Range<usize>, j: Range<usize>) {
    let (rows, cols) = (i.len(), j.len());
    let (i, j) = (i.start, j.start);
    let vecs = cols.div_ceil(V::LANES);
    let (b, ldb, last) = match plan.pack_b {
        true => (g.b.add(j * g.k), (V::DIRECT_NV * V::LANES) as isize, V::LANES),
        false => (g.b.add(j), g.rsb, cols - (vecs - 1) * V::LANES),
    };
    let a = if plan.pack_a { g.a.add(i * g.k) } else { g.a.offset(i as isize * g.rsa) };
    // Rows of B are far apart, which no hardware prefetcher follows; only the first tile finds them uncached.
    let ahead = if i == 0 { 8 * ldb } else { 0 };
    let t = &Tile { g, rows, cols, a, b, ldb, last, ahead, c: g.at(i, j) };
    match (plan.pack_a, rows, vecs) {
        (true, 1..=4, 1) => V::call(Run::<_, 4, 1, true>(t)),
        (true, 1..=4, _) => V::call(Run::<_, 4, 2, true>(t)),
        (true, 5..=6, 1) if !V::WIDE => V::call(Run::<_, 6, 1, true>(t)),
        (true, 5..=6, _) if !V::WIDE => V::call(Run::<_, 6, 2, true>(t)),
        (true, 5..=8, 1) if V::WIDE => V::call(Run::<_, 8, 1, true>(t)),
        (true, 5..=8, _) if V::WIDE => V::call(Run::<_, 8, 2, true>(t)),
        (true, _, 1) if V::WIDE => V::call(Run::<_, 12, 1, true>(t)),
        (true, _, _) if V::WIDE => V::call(Run::<_, 12, 2, true>(t)),
        (_, 1, 1) => V::call(Run::<_, 1, 1, false>(t)),
        (_, 1, 2) => V::call(Run::<_, 1, 2, false>(t)),
        (_, 1, 3) if V::WIDE => V::call(Run::<_, 1, 3, false>(t)),
        (_, 1, _) if V::WIDE => V::call(Run::<_, 1, 4, false>(t)),
        (_, 2, 1) => V::call(Run::<_, 2, 1, false>(t)),
        (_, 2, 2) => V::call(Run::<_, 2, 2, false>(t)),
        (_, 2, 3) if V::WIDE => V::call(Run::<_, 2, 3, false>(t)),
        (_, 2, _) if V::WIDE => V::call(Run::<_, 2, 4, false>(t)),
        (_, 3..=4, 1) => V::call(Run::<_, 4, 1, false>(t)),
        (_, 3..=4, 2) => V::call(Run::<_, 4, 2, false>(t)),
        (_, 3..=4, 3) if V::WIDE => V::call(Run::<_, 4, 3, false>(t)),
        (_, 3..=4, _) if V::WIDE => V::call(Run::<_, 4, 4, false>(t)),
        (_, 5..=6, 1) => V::call(Run::<_, 6, 1, false>(t)),
        (_, _, 1) => V::call(Run::<_, 8, 1, false>(t)),
        (_, _, 3) if V::WIDE => V::call(Run::<_, 6, 3, false>(t)),
        (_, _, 4) if V::WIDE => V::call(Run::<_, 6, 4, false>(t)),
        _ => V::call(Run::<_, 6, 2, false>(t)),
    }
}

/// One tile of C: `rows x cols` of it at `c`, from the rows at `a` and the columns at `b`, whose next row is `ldb` on
/// and whose last vector has `last` lanes.
struct Tile<'a, T> {
    g: &'a Gemm<T>,
    rows: usize,
    cols: usize,
    a: *const T,
    b: *const T,
    ldb: isize,
    last: usize,
    /// How far ahead of the reads to fetch B.
    ahead: isize,
    c: *mut T,
}

/// The micro-kernel: `M >= rows` rows by `N` vectors in registers; `P` says that A is packed.
#[derive(Clone, Copy)]
struct Run<'a, T, const M: usize, const N: usize, const P: bool>(&'a Tile<'a, T>);

impl<T: Lane, const M: usize, const N: usize, const P: bool> Op<T> for Run<'_, T, M, N, P> {
    #[inline(always)]
    unsafe fn run<V: Vector<T = T>>(self) {
        let t = self.0;
        let Gemm { k, alpha, beta, rsa, csa, rsc, csc, .. } = *t.g;
        // Rows beyond the edge repeat the last one and are dropped.
        let mut row = [t.a; M];
        for i in 0..M {
            row[i] = t.a.wrapping_offset(i.min(t.rows - 1) as isize * rsa);
            if csc == 1 {
                V::prefetch(t.c.wrapping_offset(i as isize * rsc));
                V::prefetch(t.c.wrapping_offset(i as isize * rsc).wrapping_add(t.cols - 1));
            }
        }
        let mut acc = [[V::splat(T::ZERO); N]; M];
        let (mut a, mut b, mut offset) = (t.a, t.b, 0);
        for _ in 0..k {
            let mut y = [V::splat(T::ZERO); N];
            if !P {
                for j in 0..N {
                    V::prefetch(b.wrapping_offset(t.ahead).wrapping_add(j * V::LANES));
                }
            }
            for j in 0..N - 1 {
                y[j] = V::load(b.add(j * V::LANES));
            }
            let b_last = b.add((N - 1) * V::LANES);
            y[N - 1] = if P { V::load(b_last) } else { V::load_n(b_last, t.last) };
            for i in 0..M {
                let x = V::splat(if P { *a.add(i) } else { *row[i].offset(offset) });
                for j in 0..N {
                    acc[i][j] = x.fma(y[j], acc[i][j]);
                }
            }
            a = a.wrapping_add(V::MR);
            b = b.wrapping_offset(if P { (V::NV * V::LANES) as isize } else { t.ldb });
            offset += csa;
        }
        let alpha = V::splat(alpha);
        for i in 0..M {
            for j in 0..N {
                acc[i][j] = acc[i][j].mul(alpha);
            }
        }
        let last = t.cols - (N - 1) * V::LANES;
        for i in 0..M {
            if i >= t.rows {
                break;
            }
            let c = t.c.offset(i as isize * rsc);
            if csc == 1 {
                for j in 0..N {
                    let (c, lanes) = (c.add(j * V::LANES), if j + 1 < N { V::LANES } else { last });
                    let mut v = acc[i][j];
                    if beta != T::ZERO {
                        v = V::splat(beta).fma(V::load_n(c, lanes), v);
                    }
                    v.store_n(c, lanes);
                }
            } else {
                let mut line = [T::ZERO; 64];
                for j in 0..N {
                    acc[i][j].store(line.as_mut_ptr().add(j * V::LANES));
                }
                for (j, &v) in line[..t.cols].iter().enumerate() {
                    let c = c.offset(j as isize * csc);
                    *c = if beta == T::ZERO { v } else { beta * *c + v };
                }
            }
        }
    }
}

/// Packs `n` lines of length `k` (columns of B or rows of A) into panels: `width` lines side by side, so that
/// `dst[panel][p][line]`, with zeros for the lines that the last panel lacks.
#[derive(Clone, Copy)]
struct Pack<S: Stored> {
    src: *const S,
    /// Stride from line to line.
    across: isize,
    /// Stride within a line.
    along: isize,
    n: usize,
    k: usize,
    width: usize,
    dst: *mut S::T,
}

/// Elements of a line that are packed at a time when lines are interleaved: these, of all lines of a panel, fit the
/// first-level cache together.
const DEPTH: usize = 64;
/// Room for as many, and for what the last vector has beyond them.
const ROW: usize = DEPTH + 16;

impl<S: Stored> Op<S::T> for Pack<S> {
    #[inline(always)]
    unsafe fn run<V: Vector<T = S::T>>(self) {
        if self.across == 1 {
            // A few depths of all panels, then the next few: reads run along memory.
            for p in (0..self.k).step_by(16) {
                for first in (0..self.n).step_by(self.width) {
                    self.copy::<V>(first, p..self.k.min(p + 16));
                }
            }
        } else {
            for first in (0..self.n).step_by(self.width) {
                for p in (0..self.k).step_by(DEPTH) {
                    self.interleave::<V>(first, p..self.k.min(p + DEPTH));
                }
            }
        }
    }
}

impl<S: Stored> Pack<S> {
    /// A piece of the panel of line `first`, where neighbouring lines are neighbours in memory.
    #[inline(always)]
    unsafe fn copy<V: Vector<T = S::T>>(&self, first: usize, depths: Range<usize>) {
        let lines = self.width.min(self.n - first);
        for p in depths.clone() {
            let src = self.src.add(first).offset(p as isize * self.along);
            let dst = self.dst.add(first * self.k + p * self.width);
            for l in (0..lines).step_by(V::LANES) {
                let v = S::load_n::<V>(src.add(l), V::LANES.min(lines - l));
                // A whole vector even where fewer lanes are meant, if the next depth overwrites the surplus.
                match p + 1 < depths.end {
                    true => v.store(dst.add(l)),
                    false => v.store_n(dst.add(l), V::LANES.min(self.width - l)),
                }
            }
        }
    }

    /// A piece of the panel of line `first`, for any strides.
    #[inline(always)]
    unsafe fn interleave<V: Vector<T = S::T>>(&self, first: usize, depths: Range<usize>) {
        let Pack { across, along, width, .. } = *self;
        let lines = width.min(self.n - first);
        let src = self.src.offset(first as isize * across + depths.start as isize * along);
        let dst = self.dst.add(first * self.k + depths.start * width);
        let depth = depths.len();
        let mut done = 0;
        if along == 1 {
            while done + 4 <= lines {
                S::interleave::<V, 4>(src.offset(done as isize * across), across, depth, dst.add(done), width);
                done += 4;
            }
            if done + 2 <= lines {
                S::interleave::<V, 2>(src.offset(done as isize * across), across, depth, dst.add(done), width);
                done += 2;
            }
        }
        for line in done..lines.next_multiple_of(V::LANES).min(width) {
            let src = src.wrapping_offset(line as isize * across);
            for p in 0..depth {
                *dst.add(p * width + line) =
                    if line < lines { (*src.offset(p as isize * along)).get() } else { S::T::ZERO };
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------ half floats

/// Elements of C that are summed up in f32 at a time.
const ROUNDED: usize = 1 << 20;

/// [`hgemm`] with the kernels of a given level.
pub(crate) unsafe fn half_at<H: Half>(level: Level, g: Gemm<f32, H, H>) {
    if g.m == 0 || g.n == 0 {
        return;
    }
    let g = if g.csc != 1 && g.rsc == 1 { g.transposed() } else { g };
    // Blocks of about equal size, no more than fit.
    let width = g.n.div_ceil(g.n.div_ceil(ROUNDED / g.m.min(1 << 10)));
    let height = g.m.div_ceil(g.m.div_ceil(ROUNDED / width));
    for i in (0..g.m).step_by(height) {
        for j in (0..g.n).step_by(width) {
            let part = g.part(i..g.m.min(i + height), j..g.n.min(j + width));
            with_scratch(&WIDE_C, bytes::<f32>(part.m, part.n), |wide| half_block(level, part, wide));
        }
    }
}

/// One block, summed up in the memory at `wide`.
unsafe fn half_block<H: Half>(level: Level, g: Gemm<f32, H, H>, wide: *mut f32) {
    if wide.is_null() {
        for i in 0..g.m {
            for j in 0..g.n {
                let (sum, c) = (g.alpha * naive_sum(&g, i, j), g.at(i, j));
                let value = if g.beta == 0.0 { sum } else { sum + g.beta * (*c).get() };
                H::narrow(&value, c, 1);
            }
        }
        return;
    }
    if g.beta != 0.0 {
        pieces(&g, wide, |c, step, wide, n| {
            if step == 1 {
                return H::widen(c, wide, n);
            }
            for j in 0..n {
                *wide.add(j) = (*c.offset(j as isize * step)).get();
            }
        });
    }
    gemm_at(level, g.of((g.a, g.rsa, g.csa), (g.b, g.rsb, g.csb), (wide, g.n as isize, 1)));
    pieces(&g, wide, |c, step, wide, n| {
        if step == 1 {
            return H::narrow(wide, c, n);
        }
        for j in 0..n {
            H::narrow(wide.add(j), c.offset(j as isize * step), 1);
        }
    });
}

/// Calls `f` for pieces that make up C: first element, step, the same in the row-major `wide`, number of elements.
unsafe fn pieces<H: Half>(g: &Gemm<f32, H, H>, wide: *mut f32, f: impl Fn(*mut H, isize, *mut f32, usize) + Sync) {
    let whole = g.csc == 1 && (g.m == 1 || g.rsc == g.n as isize);
    let (c, wide) = (Shared(g.c), Shared(wide));
    let (n, rsc, csc) = (g.n, g.rsc, g.csc);
    if whole {
        return parallel_for(g.m * n, GRAIN, &|r| f(c.get().add(r.start), 1, wide.get().add(r.start), r.len()));
    }
    parallel_for(g.m, GRAIN / n + 1, &|r| {
        for i in r {
            f(c.get().offset(i as isize * rsc), csc, wide.get().add(i * n), n);
        }
    });
}

// ------------------------------------------------------------------------------------------------ scratch memory

/// A thread's packing memory, kept for the next call.
struct Scratch {
    p: *mut u8,
    bytes: usize,
}

impl Scratch {
    const NONE: Scratch = Scratch { p: null_mut(), bytes: 0 };

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes, 64).ok()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let (false, Some(layout)) = (self.p.is_null(), Self::layout(self.bytes)) {
            // SAFETY: allocated with this layout.
            unsafe { System.dealloc(self.p, layout) }
        }
    }
}

thread_local! {
    static SCRATCH: Kept<Scratch> = const { Kept::new() };
    /// That of [`half_at`], in use while others are.
    static WIDE_C: Kept<Scratch> = const { Kept::new() };
}

fn end_scratch() {
    SCRATCH.with(Kept::end);
    WIDE_C.with(Kept::end);
}

/// A thread keeps no more than this.
const KEEP: usize = 16 << 20;

/// Calls `f` with at least `bytes` of uninitialised memory, aligned to 64; null when `bytes` is 0 or there is none.
fn with_scratch<T>(place: &'static LocalKey<Kept<Scratch>>, bytes: usize, f: impl FnOnce(*mut T)) {
    if bytes == 0 {
        return f(null_mut());
    }
    let mut scratch = place.with(Kept::take).unwrap_or(Scratch::NONE);
    if scratch.bytes < bytes {
        scratch = Scratch::NONE;
        if let Some(layout) = Scratch::layout(bytes) {
            // SAFETY: the size is not zero.
            let p = unsafe { System.alloc(layout) };
            if !p.is_null() {
                scratch = Scratch { p, bytes };
            }
        }
    }
    f(scratch.p.cast());
    if scratch.bytes <= KEEP {
        place.with(|kept| kept.put(scratch, end_scratch));
    }
}

// ------------------------------------------------------------------------------------------------ integers

/// An integer with wrapping arithmetic: the result is the exact one modulo two to the number of its bits.
pub trait Int: Copy + PartialEq + Send + Sync + 'static {
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// `self * x + y`.
    fn mul_add(self, x: Self, y: Self) -> Self;
    #[doc(hidden)]
    unsafe fn rows(g: &IntRows<Self>);
}

/// Columns of C whose sums are kept in the first-level cache.
const INT_WIDTH: usize = 256;

/// Some rows of an integer product with at most `INT_WIDTH` columns; the rows of B are contiguous.
#[doc(hidden)]
pub struct IntRows<T>(Gemm<T>);

macro_rules! int {
    ($($t:ty: $rows:ident),+) => { $(
        $crate::simd_fn! {
            unsafe fn $rows(g: &Gemm<$t>) {
                int_rows(g)
            }
        }
        impl Int for $t {
            const ZERO: $t = 0;
            const ONE: $t = 1;
            #[inline(always)]
            fn mul_add(self, x: $t, y: $t) -> $t {
                self.wrapping_mul(x).wrapping_add(y)
            }
            unsafe fn rows(g: &IntRows<$t>) {
                $rows(&g.0)
            }
        }
    )+ };
}
int!(i8: rows_i8, u8: rows_u8, i16: rows_i16, i32: rows_i32, i64: rows_i64);

#[inline(always)]
unsafe fn int_rows<T: Int>(g: &Gemm<T>) {
    for i in 0..g.m {
        let a = g.a.offset(i as isize * g.rsa);
        let mut sums = [T::ZERO; INT_WIDTH];
        let sums = &mut sums[..g.n];
        let mut p = 0;
        while p + 4 <= g.k {
            int_update::<T, 4>(g, a, p, sums);
            p += 4;
        }
        while p < g.k {
            int_update::<T, 1>(g, a, p, sums);
            p += 1;
        }
        for (j, &sum) in sums.iter().enumerate() {
            int_put(g, i, j, sum);
        }
    }
}

/// `sums += a[p] * B[p, ..]` for `R` values of `p`.
#[inline(always)]
unsafe fn int_update<T: Int, const R: usize>(g: &Gemm<T>, a: *const T, p: usize, sums: &mut [T]) {
    let (mut x, mut b) = ([T::ZERO; R], [g.b; R]);
    for r in 0..R {
        x[r] = *a.offset((p + r) as isize * g.csa);
        b[r] = g.b.offset((p + r) as isize * g.rsb);
    }
    for (j, sum) in sums.iter_mut().enumerate() {
        for r in 0..R {
            *sum = x[r].mul_add(*b[r].add(j), *sum);
        }
    }
}

#[inline(always)]
unsafe fn int_put<T: Int>(g: &Gemm<T>, i: usize, j: usize, sum: T) {
    let c = g.at(i, j);
    let old = if g.beta == T::ZERO { T::ZERO } else { g.beta.mul_add(*c, T::ZERO) };
    *c = g.alpha.mul_add(sum, old);
}

/// `C = alpha * A @ B + beta * C` for integers, wrapping on overflow; see the module for the contract.
pub unsafe fn igemm<T: Int>(
    m: usize,
    n: usize,
    k: usize,
    alpha: T,
    a: *const T,
    rsa: isize,
    csa: isize,
    b: *const T,
    rsb: isize,
    csb: isize,
    beta: T,
    c: *mut T,
    rsc: isize,
    csc: isize,
) {
    let g = Gemm { m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc };
    if m == 0 || n == 0 {
        return;
    }
    let width = n.min(INT_WIDTH);
    let deep = DEEP / width;
    if k > deep {
        for p in (0..k).step_by(deep) {
            let (a, b) = (a.offset(p as isize * csa), b.offset(p as isize * rsb));
            let beta = if p == 0 { beta } else { T::ONE };
            igemm(m, n, deep.min(k - p), alpha, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc);
            poll();
        }
        return;
    }
    let packed = csb != 1 && k > 0;
    with_scratch(&SCRATCH, if packed { bytes::<T>(k, width) } else { 0 }, |panel: *mut T| {
        for j in (0..n).step_by(width) {
            let mut g = g.part(0..m, j..n.min(j + width));
            if packed {
                if panel.is_null() {
                    int_naive(&g);
                    continue;
                }
                for p in 0..k {
                    for l in 0..g.n {
                        *panel.add(p * width + l) = *g.b.offset(p as isize * rsb + l as isize * csb);
                    }
                }
                (g.b, g.rsb, g.csb) = (panel, width as isize, 1);
            }
            // SAFETY: as for this function; the ranges are disjoint.
            parallel_for(m, TASK_WORK / k.saturating_mul(g.n).saturating_add(1) + 1, &|i| unsafe {
                T::rows(&IntRows(g.part(i, 0..g.n)))
            });
        }
    })
}

/// The plain triple loop, for when there is no memory for packing.
unsafe fn int_naive<T: Int>(g: &Gemm<T>) {
    for i in 0..g.m {
        for j in 0..g.n {
            let mut sum = T::ZERO;
            for p in 0..g.k {
                let x = *g.a.offset(i as isize * g.rsa + p as isize * g.csa);
                sum = x.mul_add(*g.b.offset(p as isize * g.rsb + j as isize * g.csb), sum);
            }
            int_put(g, i, j, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::tests::with_threads;
    use crate::simd::supported;

    /// Small numbers in [-1, 1) from a linear congruential generator.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((self.0 >> 40) as i32 - (1 << 23)) as f64 / (1 << 23) as f64
        }
    }

    trait TestLane: Lane + Stored<T = Self> + std::fmt::Debug {
        const EPS: f64;
        fn from(x: f64) -> Self;
        fn to(self) -> f64;
    }
    impl TestLane for f32 {
        const EPS: f64 = f32::EPSILON as f64;
        fn from(x: f64) -> f32 {
            x as f32
        }
        fn to(self) -> f64 {
            self as f64
        }
    }
    impl TestLane for f64 {
        const EPS: f64 = f64::EPSILON;
        fn from(x: f64) -> f64 {
            x
        }
        fn to(self) -> f64 {
            self
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Kind {
        Rows,
        Columns,
        RowsWithGap,
        ColumnsWithGap,
        Sparse,
        Reversed,
    }
    use Kind::*;
    const KINDS: [Kind; 6] = [Rows, Columns, RowsWithGap, ColumnsWithGap, Sparse, Reversed];

    /// A matrix laid out in one of several ways inside a buffer.
    #[derive(Clone)]
    struct Matrix<T> {
        data: Vec<T>,
        start: usize,
        rs: isize,
        cs: isize,
    }

    impl<T: Copy> Matrix<T> {
        fn new(kind: Kind, rows: usize, cols: usize, fill: T) -> Self {
            let (r, c) = (rows.max(1) as isize, cols.max(1) as isize);
            let (rs, cs) = match kind {
                Rows => (c, 1),
                Columns => (1, r),
                RowsWithGap => (c + 3, 1),
                ColumnsWithGap => (1, r + 5),
                Sparse => (2 * c + 1, 2),
                Reversed => (-c, 1),
            };
            let start = if rs < 0 { (r - 1) * -rs } else { 0 } as usize;
            let len = 1 + (r - 1) * rs.abs() + (c - 1) * cs.abs();
            Matrix { data: vec![fill; len as usize], start, rs, cs }
        }
        fn index(&self, i: usize, j: usize) -> usize {
            (self.start as isize + i as isize * self.rs + j as isize * self.cs) as usize
        }
        fn ptr(&self) -> *const T {
            &self.data[self.start]
        }
        fn ptr_mut(&mut self) -> *mut T {
            &mut self.data[self.start]
        }
    }

    fn random<T: TestLane>(r: &mut Random, kind: Kind, rows: usize, cols: usize) -> Matrix<T> {
        let mut m = Matrix::new(kind, rows, cols, T::from(f64::NAN));
        for i in 0..rows {
            for j in 0..cols {
                let at = m.index(i, j);
                m.data[at] = T::from(r.next());
            }
        }
        m
    }

    fn run<T: TestLane>(
        level: Level,
        (m, n, k): (usize, usize, usize),
        alpha: f64,
        a: &Matrix<T>,
        b: &Matrix<T>,
        beta: f64,
        c: &mut Matrix<T>,
    ) {
        let (alpha, beta) = (T::from(alpha), T::from(beta));
        let (a, rsa, csa, b, rsb, csb) = (a.ptr(), a.rs, a.cs, b.ptr(), b.rs, b.cs);
        let (rsc, csc) = (c.rs, c.cs);
        // SAFETY: the matrices are as large as the sizes say.
        unsafe { gemm_at(level, Gemm { m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c: c.ptr_mut(), rsc, csc }) }
    }

    fn levels() -> Vec<Level> {
        Level::ALL.iter().copied().filter(|&l| l <= supported()).collect()
    }

    /// One product against a plain sum in f64, on every level; what lies between the elements of C must not change.
    fn check<T: TestLane>(size: (usize, usize, usize), kinds: (Kind, Kind, Kind), alpha: f64, beta: f64) {
        let (m, n, k) = size;
        let mut r = Random((m * 1000003 + n * 1009 + k) as u64);
        let a = random::<T>(&mut r, kinds.0, m, k);
        let b = random::<T>(&mut r, kinds.1, k, n);
        let c = if beta == 0.0 {
            Matrix::new(kinds.2, m, n, T::from(f64::NAN)) // must not be read
        } else {
            random::<T>(&mut r, kinds.2, m, n)
        };
        for level in levels() {
            let mut got = c.clone();
            run(level, size, alpha, &a, &b, beta, &mut got);
            let mut touched = vec![false; c.data.len()];
            for i in 0..m {
                for j in 0..n {
                    let at = c.index(i, j);
                    touched[at] = true;
                    let old = if beta == 0.0 { 0.0 } else { beta * c.data[at].to() };
                    let (mut want, mut size) = (old, old.abs());
                    for p in 0..k {
                        let term = alpha * a.data[a.index(i, p)].to() * b.data[b.index(p, j)].to();
                        want += term;
                        size += term.abs();
                    }
                    let error = (got.data[at].to() - want).abs();
                    let allowed = size * T::EPS * (k + 4) as f64;
                    assert!(error <= allowed, "{level:?} {m}x{n}x{k} {kinds:?} alpha {alpha} beta {beta} at {i},{j}");
                }
            }
            for (at, touched) in touched.into_iter().enumerate() {
                assert!(touched || got.data[at].to().is_nan(), "{level:?} {m}x{n}x{k} {kinds:?} wrote a gap");
            }
        }
    }

    fn check_both(size: (usize, usize, usize), kinds: (Kind, Kind, Kind), alpha: f64, beta: f64) {
        check::<f32>(size, kinds, alpha, beta);
        check::<f64>(size, kinds, alpha, beta);
    }

    const SCALES: [(f64, f64); 5] = [(1.0, 0.0), (1.0, 1.0), (-0.5, 2.0), (3.0, 0.0), (0.0, 0.75)];

    #[test]
    fn small_sizes_in_every_layout() {
        let mut turn = 0;
        for size in [(1, 1, 1), (1, 5, 3), (5, 1, 3), (3, 2, 1), (4, 4, 4), (7, 5, 6), (2, 17, 9), (13, 3, 40)] {
            for a in KINDS {
                for b in KINDS {
                    for c in KINDS {
                        let (alpha, beta) = SCALES[turn % SCALES.len()];
                        check_both(size, (a, b, c), alpha, beta);
                        turn += 1;
                    }
                }
            }
        }
    }

    #[test]
    fn all_edges_of_a_tile() {
        let mut turn = 0;
        for m in 1..=14 {
            for n in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 63, 64, 65] {
                let (alpha, beta) = SCALES[turn % SCALES.len()];
                let pick = |x: usize| KINDS[turn / x % 6];
                check_both((m, n, 5 + turn % 70), (pick(1), pick(7), pick(13)), alpha, beta);
                turn += 1;
            }
        }
    }

    #[test]
    fn every_way_at_its_own_size() {
        let sizes = [
            (1, 1, 700),     // one dot product
            (1, 130, 200),   // one row
            (1, 1100, 19),   // more than a strip
            (150, 1, 37),    // one column
            (3, 21, 300),    // dot products
            (9, 35, 90),     // dot products, more rows
            (120, 70, 1),    // an outer product
            (50, 70, 20),    // shallow
            (97, 101, 33),   // packed, both
            (100, 24, 410),  // B packed, two blocks deep
            (110, 100, 390), // packed, two blocks deep
        ];
        for (turn, size) in sizes.into_iter().enumerate() {
            for (i, (a, b)) in
                [(Rows, Rows), (Rows, Columns), (Columns, Rows), (Sparse, Sparse)].into_iter().enumerate()
            {
                let (alpha, beta) = SCALES[(turn + i) % 3];
                check_both(size, (a, b, KINDS[(turn + i) % 6]), alpha, beta);
            }
        }
        // A B too large to be read in place, and several blocks of A.
        check::<f32>((300, 400, 400), (Rows, RowsWithGap, Rows), 1.0, 0.0);
        check::<f64>((180, 300, 390), (Rows, Rows, Columns), 1.0, 1.0);
    }

    #[test]
    fn broadcast_operands() {
        for (m, n, k) in [(1, 40, 33), (6, 40, 3), (20, 30, 40)] {
            let x = [1.5f32];
            let mut c = vec![f32::NAN; m * n];
            // SAFETY: stride 0 stays on the one element.
            unsafe { sgemm(m, n, k, 1.0, x.as_ptr(), 0, 0, x.as_ptr(), 0, 0, 0.0, c.as_mut_ptr(), n as isize, 1) };
            assert!(c.iter().all(|&v| v == 2.25 * k as f32));
        }
    }

    #[test]
    fn empty_and_special() {
        check_both((0, 5, 3), (Rows, Rows, Rows), 1.0, 0.0);
        check_both((5, 0, 3), (Rows, Rows, Rows), 1.0, 0.0);
        for (alpha, beta) in SCALES {
            check_both((5, 7, 0), (Rows, Rows, Columns), alpha, beta);
        }
        for level in levels() {
            for (m, n, k) in [(1, 9, 20), (9, 1, 20), (5, 9, 60), (8, 70, 1), (20, 30, 40), (100, 100, 50)] {
                let nan = Matrix::new(Rows, m.max(n).max(k), m.max(n).max(k), f32::NAN);
                let mut c = Matrix::new(Rows, m, n, 2.0f32);
                run(level, (m, n, k), 0.0, &nan, &nan, 0.5, &mut c); // alpha 0 does not read A and B
                assert!(c.data.iter().all(|&x| x == 1.0));
                // A NaN or an infinity stays in its row and column.
                for b_kind in [Rows, Columns] {
                    let mut a = Matrix::new(Rows, m, k, 1.0f32);
                    let mut b = Matrix::new(b_kind, k, n, 1.0f32);
                    let at = a.index(m / 2, k - 1);
                    a.data[at] = f32::NAN;
                    let at = b.index(k / 2, n / 2);
                    b.data[at] = f32::INFINITY;
                    run(level, (m, n, k), 1.0, &a, &b, 0.0, &mut c);
                    for i in 0..m {
                        for j in 0..n {
                            let x = c.data[i * n + j];
                            let fine = match (i == m / 2, j == n / 2) {
                                (true, _) => x.is_nan(),
                                (_, true) => x == f32::INFINITY,
                                _ => x == k as f32,
                            };
                            assert!(fine, "{level:?} {m}x{n}x{k} {b_kind:?} at {i},{j}: {x}");
                        }
                    }
                }
            }
        }
    }

    trait TestHalf: Half + PartialEq + std::fmt::Debug {
        const EPS: f64;
        const SMALLEST: f64;
        fn from(x: f64) -> Self;
    }
    impl TestHalf for f16 {
        const EPS: f64 = f16::EPSILON.to_f64_const();
        const SMALLEST: f64 = f16::MIN_POSITIVE_SUBNORMAL.to_f64_const();
        fn from(x: f64) -> f16 {
            f16::from_f64(x)
        }
    }
    impl TestHalf for bf16 {
        const EPS: f64 = bf16::EPSILON.to_f64_const();
        const SMALLEST: f64 = bf16::MIN_POSITIVE_SUBNORMAL.to_f64_const();
        fn from(x: f64) -> bf16 {
            bf16::from_f64(x)
        }
    }

    fn random_half<H: TestHalf>(r: &mut Random, kind: Kind, rows: usize, cols: usize) -> Matrix<H> {
        let mut m = Matrix::new(kind, rows, cols, H::from(f64::NAN));
        for i in 0..rows {
            for j in 0..cols {
                let at = m.index(i, j);
                m.data[at] = H::from(r.next());
            }
        }
        m
    }

    fn run_half<H: TestHalf>(
        level: Level,
        (m, n, k): (usize, usize, usize),
        (alpha, beta): (f64, f64),
        a: &Matrix<H>,
        b: &Matrix<H>,
        c: &mut Matrix<H>,
    ) {
        let (alpha, beta) = (alpha as f32, beta as f32);
        let (a, rsa, csa, b, rsb, csb) = (a.ptr(), a.rs, a.cs, b.ptr(), b.rs, b.cs);
        let (rsc, csc) = (c.rs, c.cs);
        // SAFETY: the matrices are as large as the sizes say.
        unsafe { half_at(level, Gemm { m, n, k, alpha, a, rsa, csa, b, rsb, csb, beta, c: c.ptr_mut(), rsc, csc }) }
    }

    /// One product of half floats against a plain sum in f64, rounded once; gaps in C must not change.
    fn check_half<H: TestHalf>(size: (usize, usize, usize), kinds: (Kind, Kind, Kind), scales: (f64, f64)) {
        let ((m, n, k), (alpha, beta)) = (size, scales);
        let mut r = Random((m * 1000003 + n * 1009 + k) as u64);
        let a = random_half::<H>(&mut r, kinds.0, m, k);
        let b = random_half::<H>(&mut r, kinds.1, k, n);
        let c = match beta {
            0.0 => Matrix::new(kinds.2, m, n, H::from(f64::NAN)), // must not be read
            _ => random_half::<H>(&mut r, kinds.2, m, n),
        };
        for level in levels() {
            let mut got = c.clone();
            run_half(level, size, scales, &a, &b, &mut got);
            for i in 0..m {
                for j in 0..n {
                    let old = if beta == 0.0 { 0.0 } else { beta * (c.data[c.index(i, j)].get() as f64) };
                    let (mut want, mut size) = (old, old.abs());
                    for p in 0..k {
                        let (x, y) = (a.data[a.index(i, p)].get(), b.data[b.index(p, j)].get());
                        let term = alpha * x as f64 * y as f64;
                        want += term;
                        size += term.abs();
                    }
                    // Sums in f32, and half a unit of the one rounding.
                    let summed = size * f32::EPSILON as f64 * (k + 4) as f64;
                    let allowed = summed + ((want.abs() + summed) * H::EPS).max(H::SMALLEST) * 0.5;
                    let at = c.index(i, j);
                    let error = (got.data[at].get() as f64 - want).abs();
                    assert!(error <= allowed, "{level:?} {m}x{n}x{k} {kinds:?} {scales:?} at {i},{j}: {error}");
                    got.data[at] = c.data[at];
                }
            }
            let same = |(x, y): (&H, &H)| x.get().to_bits() == y.get().to_bits();
            assert!(got.data.iter().zip(&c.data).all(same), "{level:?} {m}x{n}x{k} {kinds:?} wrote a gap");
        }
    }

    #[test]
    fn products_of_half_floats() {
        let sizes = [
            (1, 1, 1),
            (1, 1, 700),
            (1, 130, 200),
            (1, 1100, 19),
            (150, 1, 37),
            (3, 21, 300),
            (9, 35, 90),
            (4, 4, 4),
            (13, 3, 40),
            (7, 65, 1),
            (120, 70, 1),
            (50, 70, 20),
            (97, 101, 33),
            (100, 24, 410),
            (5, 7, 0),
            (0, 5, 3),
            (5, 0, 3),
        ];
        let mut turn = 0;
        for size in sizes {
            for a in KINDS {
                for b in KINDS {
                    let (c, scales) = (KINDS[turn % 6], SCALES[turn / 6 % SCALES.len()]);
                    match turn % 2 {
                        0 => check_half::<f16>(size, (a, b, c), scales),
                        _ => check_half::<bf16>(size, (b, a, c), scales),
                    }
                    turn += 1;
                }
            }
        }
        // Two blocks deep, and more than one block of C.
        check_half::<f16>((110, 100, 390), (Rows, Columns, Rows), (1.0, 1.0));
        check_half::<bf16>((1300, 900, 3), (Rows, Rows, Columns), (1.0, 0.5));
        check_half::<f16>((1, (1 << 20) + 33, 2), (Rows, Rows, Rows), (1.0, 0.0));
    }

    #[test]
    fn every_half_float_is_read_as_what_it_is() {
        fn check<H: TestHalf>(of: fn(u16) -> H, want: fn(H) -> f32) {
            // Lengths with and without an incomplete vector.
            for n in [1 << 16, 61007, 13, 7, 3] {
                let b: Vec<H> = (0..n).map(|i| of((i * 40503 % (1 << 16)) as u16)).collect();
                for level in levels() {
                    for (m, k) in [(1, 1), (2, 1), (1, 2), (8, 2)] {
                        // The ways: an outer product, row updates, tiles.
                        let a = vec![H::from(0.5); m * k];
                        let mut c = vec![0f32; m * n];
                        let (a, rsa, rsb) = (a.as_ptr(), k as isize, 0);
                        let (alpha, beta, rsc) = (2.0 / k as f32, 0.0, n as isize);
                        let (b, c_at) = (b.as_ptr(), c.as_mut_ptr());
                        // SAFETY: the matrices are as large as the sizes say; all rows of B are the same one.
                        unsafe {
                            gemm_at(
                                level,
                                Gemm { m, n, k, alpha, a, rsa, csa: 1, b, rsb, csb: 1, beta, c: c_at, rsc, csc: 1 },
                            );
                        }
                        for (i, &x) in c.iter().enumerate() {
                            // SAFETY: within the matrix.
                            let h = unsafe { *b.add(i % n) };
                            let y = want(h);
                            assert!(x == y || (x.is_nan() && y.is_nan()), "{level:?} {m}x{n}x{k} {h:?}: {x}, not {y}");
                        }
                    }
                }
            }
        }
        check::<f16>(f16::from_bits, f16::to_f32);
        check::<bf16>(bf16::from_bits, bf16::to_f32);
    }

    fn half_of(x: &Matrix<f32>) -> Matrix<bf16> {
        Matrix { data: x.data.iter().map(|&x| bf16::from_f32(x)).collect(), start: x.start, rs: x.rs, cs: x.cs }
    }

    #[test]
    fn same_bits_for_any_thread_count() {
        let sizes = [(1, 3000, 300), (3000, 1, 300), (6, 700, 400), (1000, 300, 1), (500, 400, 12), (130, 210, 500)];
        for (m, n, k) in sizes {
            for (a_kind, b_kind) in [(Rows, Rows), (Rows, Columns), (Columns, Rows), (Columns, Columns)] {
                let mut r = Random(7);
                let a = random::<f32>(&mut r, a_kind, m, k);
                let b = random::<f32>(&mut r, b_kind, k, n);
                for level in levels() {
                    let result = |threads| {
                        let mut c = Matrix::new(Rows, m, n, f32::NAN);
                        with_threads(threads, || run(level, (m, n, k), 1.0, &a, &b, 0.0, &mut c));
                        c.data.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                    };
                    let one = result(1);
                    for threads in [2, 3, 8] {
                        assert!(
                            result(threads) == one,
                            "{level:?} {m}x{n}x{k} {a_kind:?} {b_kind:?} {threads} threads"
                        );
                    }
                    let (a, b) = (&half_of(&a), &half_of(&b));
                    let result = |threads| {
                        let mut c = Matrix::new(Columns, m, n, bf16::ZERO);
                        with_threads(threads, || run_half(level, (m, n, k), (1.0, 0.0), a, b, &mut c));
                        c.data
                    };
                    let one = result(1);
                    for threads in [2, 3, 8] {
                        assert!(
                            result(threads) == one,
                            "{level:?} {m}x{n}x{k} {a_kind:?} {b_kind:?} {threads} threads"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn integers_wrap() {
        fn check_int<T: Int + std::fmt::Debug>(from: fn(i64) -> T, to: fn(T) -> i64) {
            let mut r = Random(3);
            for (turn, (m, n, k)) in
                [(1, 1, 1), (3, 4, 0), (5, 33, 7), (40, 70, 65), (300, 65, 80)].into_iter().enumerate()
            {
                for (a_kind, b_kind, c_kind) in
                    [(Rows, Rows, Rows), (Columns, Sparse, Reversed), (Rows, Columns, Columns)]
                {
                    let mut fill = |kind, rows, cols| {
                        let mut m = Matrix::new(kind, rows, cols, T::ZERO);
                        m.data.iter_mut().for_each(|x| *x = from((r.next() * 9e18) as i64));
                        m
                    };
                    let (a, b, c) = (fill(a_kind, m, k), fill(b_kind, k, n), fill(c_kind, m, n));
                    let (alpha, beta) = [(1, 0), (3, 1), (-2, 5)][turn % 3];
                    let mut got = c.clone();
                    // SAFETY: the matrices are as large as the sizes say.
                    unsafe {
                        let (alpha, beta) = (from(alpha), from(beta));
                        let (rsc, csc) = (got.rs, got.cs);
                        igemm(m, n, k, alpha, a.ptr(), a.rs, a.cs, b.ptr(), b.rs, b.cs, beta, got.ptr_mut(), rsc, csc);
                    }
                    for i in 0..m {
                        for j in 0..n {
                            let at = c.index(i, j);
                            let term = |p| to(a.data[a.index(i, p)]).wrapping_mul(to(b.data[b.index(p, j)]));
                            let sum = (0..k).fold(0i64, |s, p| s.wrapping_add(term(p)));
                            let want = alpha.wrapping_mul(sum).wrapping_add(beta.wrapping_mul(to(c.data[at])));
                            assert_eq!(got.data[at], from(want), "{m}x{n}x{k} at {i},{j}");
                        }
                    }
                }
            }
        }
        check_int::<i64>(|x| x, |x| x);
        check_int::<i32>(|x| x as i32, |x| x as i64);
        check_int::<i16>(|x| x as i16, |x| x as i64);
        check_int::<i8>(|x| x as i8, |x| x as i64);
        check_int::<u8>(|x| x as u8, |x| x as i64);
    }
}
