//! Reductions over strided blocks of any dtype, without copying the input: the dimensions are walked in the order in which
//! they lie in memory, and blocks that are not already contiguous in the compute type go through a buffer.
//!
//! A reduction is a [`Kernel`]: loops that turn a block into a partial result, join two of those, and finish one. Blocks
//! have fixed sizes, so that the bits of a result do not depend on the number of threads.
#![allow(clippy::missing_safety_doc)]

use super::copy::{cast_row, Shared, GRAIN};
use super::elementwise::Params;
use super::math::Real;
use crate::dtype::{Compute, DType, Elem};
use crate::error::Result;
use crate::memory::List;
use crate::parallel::{parallel_for, try_parallel_for};
use crate::simd::prefetch;
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Elements per block of a long row.
const BLOCK: usize = 8192;
/// Columns and rows of a block that is reduced downwards; together they stay in the second-level cache.
const WIDTH: usize = 256;
const HEIGHT: usize = 128;
/// Blocks below one another that one task joins.
const STACK: usize = 8;
/// Rows that are reduced in one go.
const BATCH: usize = 64;

/// `(x, stride, n, count, at, parts, params)`: `rows` reduces `count` rows of `n` elements, `stride` apart, and `columns`
/// reduces `count` columns of `n` elements whose rows are `stride` apart. `at` is the index of the first element within
/// the reduced range.
type Loop = unsafe fn(*const u8, isize, usize, usize, usize, *mut u8, &Params);

/// A reduction in one compute type, with the types hidden.
pub struct Kernel {
    /// Type that its loops read.
    pub input: DType,
    /// Types of its results; the second only where it has two.
    pub out: [DType; 2],
    part: usize,
    rows: Loop,
    columns: Loop,
    init: unsafe fn(*mut u8),
    join: unsafe fn(*mut u8, *const u8, usize),
    finish: unsafe fn(*const u8, usize, usize, &Params, [*mut u8; 2], usize),
}

/// A reduction for each compute type that it knows.
pub struct Kernels {
    /// In f32.
    pub f32: Option<Kernel>,
    /// In f64.
    pub f64: Option<Kernel>,
    /// In i64.
    pub i64: Option<Kernel>,
    /// For bytes and truth values, where that is worth loops of its own.
    pub u8: Option<Kernel>,
}

impl Kernels {
    /// The loops for inputs of dtype `from`, computing as `dtype` does.
    pub fn get(&self, from: DType, dtype: DType) -> Option<&Kernel> {
        match dtype.compute() {
            Compute::F32 => self.f32.as_ref(),
            Compute::F64 => self.f64.as_ref(),
            Compute::I64 if self.u8.is_some() && matches!(from, DType::Bool | DType::U8) => self.u8.as_ref(),
            Compute::I64 => self.i64.as_ref(),
            // Complex numbers are reduced as pairs of real ones.
            Compute::C64 | Compute::C128 => None,
        }
    }
}

/// A reduction: how a block becomes a partial result, and what happens to those.
trait Reduce {
    type T: Elem;
    type Part: Copy;
    type Out0: Elem;
    type Out1: Elem;
    fn init() -> Self::Part;
    unsafe fn run(x: *const Self::T, n: usize, at: usize, p: &Params) -> Self::Part;
    unsafe fn columns(x: *const Self::T, stride: isize, n: usize, w: usize, at: usize, to: *mut Self::Part, p: &Params);
    fn join(a: Self::Part, b: Self::Part) -> Self::Part;
    fn finish(part: Self::Part, n: usize, p: &Params) -> (Self::Out0, Self::Out1);
}

/// The [`Kernel`] of a [`Reduce`].
macro_rules! erased {
    ($r:ty) => {{
        type R = $r;
        type Part = <R as Reduce>::Part;
        crate::simd_fn! {
            unsafe fn rows(x: *const u8, stride: isize, n: usize, count: usize, at: usize, parts: *mut u8, p: &Params) {
                let (x, parts) = (x.cast::<<R as Reduce>::T>(), parts.cast::<Part>());
                for i in 0..count {
                    *parts.add(i) = <R as Reduce>::run(x.offset(i as isize * stride), n, at, p);
                }
            }
            unsafe fn columns(x: *const u8, stride: isize, n: usize, count: usize, at: usize, parts: *mut u8, p: &Params) {
                <R as Reduce>::columns(x.cast(), stride, n, count, at, parts.cast(), p)
            }
        }
        unsafe fn init(part: *mut u8) {
            *part.cast::<Part>() = <R as Reduce>::init();
        }
        unsafe fn join(into: *mut u8, from: *const u8, count: usize) {
            let (into, from) = (into.cast::<Part>(), from.cast::<Part>());
            for i in 0..count {
                *into.add(i) = <R as Reduce>::join(*into.add(i), *from.add(i));
            }
        }
        unsafe fn finish(parts: *const u8, count: usize, n: usize, p: &Params, out: [*mut u8; 2], at: usize) {
            for i in 0..count {
                let (a, b) = <R as Reduce>::finish(*parts.cast::<Part>().add(i), n, p);
                if !out[0].is_null() {
                    *out[0].cast::<<R as Reduce>::Out0>().add(at + i) = a;
                }
                if !out[1].is_null() {
                    *out[1].cast::<<R as Reduce>::Out1>().add(at + i) = b;
                }
            }
        }
        Some(Kernel {
            input: <<R as Reduce>::T as Elem>::DTYPE,
            out: [<<R as Reduce>::Out0 as Elem>::DTYPE, <<R as Reduce>::Out1 as Elem>::DTYPE],
            part: std::mem::size_of::<Part>(),
            rows, columns, init, join, finish,
        })
    }};
}

// ---- folds: reductions that take one element after the other ----

/// A reduction that takes one element after the other; `e` is the first parameter of the call.
trait Fold {
    type T: Elem;
    /// What one lane of a block holds.
    type A: Copy;
    /// What a block leaves.
    type Part: Copy;
    type Out: Elem;
    fn zero() -> Self::A;
    fn step(a: Self::A, x: Self::T, e: f64) -> Self::A;
    fn merge(a: Self::A, b: Self::A) -> Self::A;
    fn lift(a: Self::A) -> Self::Part;
    fn join(a: Self::Part, b: Self::Part) -> Self::Part;
    fn finish(part: Self::Part, p: &Params) -> Self::Out;
}

/// Folds `n` elements in `L` lanes, which are then merged in a fixed order.
#[inline(always)]
unsafe fn lanes<F: Fold, const L: usize>(x: *const F::T, n: usize, e: f64) -> F::A {
    let mut lanes = [F::zero(); L];
    let whole = n / L * L;
    let mut i = 0;
    while i < whole {
        if L == 64 {
            // Large inputs come at the speed of memory: asking for them early gains about a sixth.
            for line in 0..size_of::<[F::T; L]>() / 64 {
                prefetch(x.add(i).cast::<u8>().wrapping_add(512 + 64 * line));
            }
        }
        for k in 0..L {
            lanes[k] = F::step(lanes[k], *x.add(i + k), e);
        }
        i += L;
    }
    for k in 0..n - whole {
        lanes[k] = F::step(lanes[k], *x.add(whole + k), e);
    }
    let mut width = L / 2;
    while width > 0 {
        for k in 0..width {
            lanes[k] = F::merge(lanes[k], lanes[k + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[inline(always)]
unsafe fn fold<F: Fold>(x: *const F::T, n: usize, e: f64) -> F::A {
    match n {
        0..16 => lanes::<F, 1>(x, n, e),
        16..256 => lanes::<F, 16>(x, n, e),
        _ => {
            // In parts, so that no lane adds up more than 16 numbers.
            let mut all = lanes::<F, 64>(x, n.min(1024), e);
            let mut done = 1024;
            while done < n {
                all = F::merge(all, lanes::<F, 64>(x.add(done), (n - done).min(1024), e));
                done += 1024;
            }
            all
        }
    }
}

struct Folded<F>(PhantomData<F>);

impl<F: Fold> Reduce for Folded<F> {
    type T = F::T;
    type Part = F::Part;
    type Out0 = F::Out;
    type Out1 = bool;
    fn init() -> F::Part {
        F::lift(F::zero())
    }
    #[inline(always)]
    unsafe fn run(x: *const F::T, n: usize, _at: usize, p: &Params) -> F::Part {
        // Long runs are joined as blocks are: what a lane holds would lose digits.
        let mut part = F::lift(fold::<F>(x, n.min(1024), p.f[0]));
        let mut done = 1024;
        while done < n {
            part = F::join(part, F::lift(fold::<F>(x.add(done), (n - done).min(1024), p.f[0])));
            done += 1024;
        }
        part
    }
    #[inline(always)]
    unsafe fn columns(x: *const F::T, stride: isize, n: usize, w: usize, _at: usize, to: *mut F::Part, p: &Params) {
        let e = p.f[0];
        let mut acc = [F::zero(); WIDTH];
        let mut k = 0;
        while k + 8 <= n {
            let rows: [*const F::T; 8] = std::array::from_fn(|j| x.offset((k + j) as isize * stride));
            for i in 0..w {
                // A sum of its own: rounding grows with the length of a chain.
                let mut a = F::zero();
                for r in rows {
                    a = F::step(a, *r.add(i), e);
                }
                acc[i] = F::merge(acc[i], a);
            }
            k += 8;
        }
        while k < n {
            let r = x.offset(k as isize * stride);
            for i in 0..w {
                acc[i] = F::step(acc[i], *r.add(i), e);
            }
            k += 1;
        }
        for i in 0..w {
            *to.add(i) = F::lift(acc[i]);
        }
    }
    #[inline(always)]
    fn join(a: F::Part, b: F::Part) -> F::Part {
        F::join(a, b)
    }
    #[inline(always)]
    fn finish(part: F::Part, _n: usize, p: &Params) -> (F::Out, bool) {
        (F::finish(part, p), false)
    }
}

/// Declares a fold: element type, lane type, block type, result type, then its functions as expressions.
macro_rules! folds {
    ($($name:ident<$t:ty> lane $a:ty, part $part:ty, out $o:ty:
        zero $zero:expr; step |$sa:ident, $sx:ident, $se:ident| $step:expr; merge |$ma:ident, $mb:ident| $merge:expr;
        lift |$l:ident| $lift:expr; join |$ja:ident, $jb:ident| $join:expr; finish |$f:ident, $p:ident| $finish:expr;
    )+) => { $(
        struct $name;
        impl Fold for $name {
            type T = $t;
            type A = $a;
            type Part = $part;
            type Out = $o;
            #[inline(always)]
            fn zero() -> $a { $zero }
            #[inline(always)]
            fn step($sa: $a, $sx: $t, $se: f64) -> $a { let _ = $se; $step }
            #[inline(always)]
            fn merge($ma: $a, $mb: $a) -> $a { $merge }
            #[inline(always)]
            fn lift($l: $a) -> $part { $lift }
            #[inline(always)]
            fn join($ja: $part, $jb: $part) -> $part { $join }
            #[inline(always)]
            fn finish($f: $part, $p: &Params) -> $o { let _ = $p; $finish }
        }
    )+ };
}

/// Folds of floats that add up: lanes in the element type, blocks in f64, and a last step.
macro_rules! float_sums {
    ($($f:ident $d:ident: |$x:ident, $e:ident, $t:ident| $term:expr, finish |$s:ident, $p:ident| $finish:expr;)+) => {
        $(float_sums!(@one $f, f32, |$x, $e, $t| $term, |$s, $p| $finish);
          float_sums!(@one $d, f64, |$x, $e, $t| $term, |$s, $p| $finish);)+
    };
    (@one $name:ident, $ty:ty, |$x:ident, $e:ident, $t:ident| $term:expr, |$s:ident, $p:ident| $finish:expr) => {
        folds! {
            $name<$ty> lane $ty, part f64, out $ty:
                zero 0.0; step |a, $x, $e| { #[allow(dead_code)] type $t = $ty; a + $term }; merge |a, b| a + b;
                lift |a| a as f64; join |a, b| a + b; finish |$s, $p| $finish as $ty;
        }
    };
}

float_sums! {
    // The divisor makes a mean of it.
    SumF32 SumF64: |x, e, T| x, finish |s, p| (s / p.f[0]);
    NanSumF32 NanSumF64: |x, e, T| if x.is_nan() { 0.0 } else { x }, finish |s, p| s;
    AbsSumF32 AbsSumF64: |x, e, T| x.abs(), finish |s, p| s;
    PowerSumF32 PowerSumF64: |x, e, T| Real::pow(x.abs(), e as T), finish |s, p| s.powf(1.0 / p.f[0]);
}

folds! {
    SumI64<i64> lane i64, part i64, out i64:
        zero 0; step |a, x, e| a.wrapping_add(x); merge |a, b| a.wrapping_add(b);
        lift |a| a; join |a, b| a.wrapping_add(b); finish |s, p| s;
    // A block of bytes cannot overflow its lanes.
    SumU8<u8> lane u32, part i64, out i64:
        zero 0; step |a, x, e| a + x as u32; merge |a, b| a + b;
        lift |a| a as i64; join |a, b| a + b; finish |s, p| s;
    ProdF32<f32> lane f32, part f64, out f32:
        zero 1.0; step |a, x, e| a * x; merge |a, b| a * b; lift |a| a as f64; join |a, b| a * b; finish |s, p| s as f32;
    ProdF64<f64> lane f64, part f64, out f64:
        zero 1.0; step |a, x, e| a * x; merge |a, b| a * b; lift |a| a; join |a, b| a * b; finish |s, p| s;
    ProdI64<i64> lane i64, part i64, out i64:
        zero 1; step |a, x, e| a.wrapping_mul(x); merge |a, b| a.wrapping_mul(b);
        lift |a| a; join |a, b| a.wrapping_mul(b); finish |s, p| s;
    // Squares are taken in f64: they neither overflow nor vanish for any f32.
    SquareSumF32<f32> lane f64, part f64, out f32:
        zero 0.0; step |a, x, e| a + x as f64 * x as f64; merge |a, b| a + b;
        lift |a| a; join |a, b| a + b; finish |s, p| s.sqrt() as f32;
    SquareSumF64<f64> lane f64, part f64, out f64:
        zero 0.0; step |a, x, e| a + x * x; merge |a, b| a + b; lift |a| a; join |a, b| a + b; finish |s, p| s.sqrt();
}

/// Counts, and the two questions about truth, for one element type.
macro_rules! truths {
    ($($t:ty, $lane:ty: $count:ident $count_f:ident $any:ident $all:ident;)+) => { folds! { $(
        $count<$t> lane u32, part i64, out i64:
            zero 0; step |a, x, e| a + (x != 0 as $t) as u32; merge |a, b| a + b;
            lift |a| a as i64; join |a, b| a + b; finish |s, p| s;
        $count_f<$t> lane u32, part i64, out f64:
            zero 0; step |a, x, e| a + (x != 0 as $t) as u32; merge |a, b| a + b;
            lift |a| a as i64; join |a, b| a + b; finish |s, p| s as f64;
        $any<$t> lane $lane, part bool, out bool:
            zero 0; step |a, x, e| a | (x != 0 as $t) as $lane; merge |a, b| a | b;
            lift |a| a != 0; join |a, b| a | b; finish |s, p| s;
        $all<$t> lane $lane, part bool, out bool:
            zero 1; step |a, x, e| a & (x != 0 as $t) as $lane; merge |a, b| a & b;
            lift |a| a != 0; join |a, b| a & b; finish |s, p| s;
    )+ } };
}
truths! {
    f32, u32: CountF32 NormCountF32 AnyF32 AllF32;
    f64, u64: CountF64 NormCountF64 AnyF64 AllF64;
    i64, u64: CountI64 NormCountI64 AnyI64 AllI64;
    u8, u8: CountU8 NormCountU8 AnyU8 AllU8;
}

/// The better of two, where NaN is best of all; the first of equals.
#[inline(always)]
#[allow(clippy::eq_op)]
fn better<T: PartialOrd + Copy, const MIN: bool>(a: T, x: T) -> T {
    if (if MIN { x < a } else { x > a }) | (x != x) {
        x
    } else {
        a
    }
}

/// Extremes, plain and of absolute values.
macro_rules! extremes {
    ($($t:ty, [$lowest:expr, $highest:expr]: $max:ident $min:ident $maxabs:ident $minabs:ident |$x:ident| $abs:expr;)+) => {
        $(extremes!(@one $max, $t, false, $lowest, |$x| $x); extremes!(@one $min, $t, true, $highest, |$x| $x);
          extremes!(@one $maxabs, $t, false, 0 as $t, |$x| $abs); extremes!(@one $minabs, $t, true, $highest, |$x| $abs);)+
    };
    (@one $name:ident, $t:ty, $min:literal, $zero:expr, |$x:ident| $v:expr) => { folds! {
        $name<$t> lane $t, part $t, out $t:
            zero $zero; step |a, $x, e| better::<$t, $min>(a, $v); merge |a, b| better::<$t, $min>(a, b);
            lift |a| a; join |a, b| better::<$t, $min>(a, b); finish |s, p| s;
    } };
}
extremes! {
    f32, [f32::NEG_INFINITY, f32::INFINITY]: MaxF32 MinF32 MaxAbsF32 MinAbsF32 |x| x.abs();
    f64, [f64::NEG_INFINITY, f64::INFINITY]: MaxF64 MinF64 MaxAbsF64 MinAbsF64 |x| x.abs();
    i64, [i64::MIN, i64::MAX]: MaxI64 MinI64 MaxAbsI64 MinAbsI64 |x| x.wrapping_abs();
}

/// The kernels of a fold by type.
macro_rules! fold_kernels {
    ($($(#[doc = $doc:literal])+ $name:ident: $f:ident $d:ident $($i:ident $($u:ident)?)?;)+) => { $(
        $(#[doc = $doc])+
        pub static $name: Kernels = Kernels {
            f32: erased!(Folded<$f>),
            f64: erased!(Folded<$d>),
            i64: fold_kernels!(@opt $($i)?),
            u8: fold_kernels!(@opt $($($u)?)?),
        };
    )+ };
    (@opt) => { None };
    (@opt $r:ident) => { erased!(Folded<$r>) };
}
fold_kernels! {
    /// Sum divided by the first parameter (which whole numbers ignore).
    SUM: SumF32 SumF64 SumI64 SumU8;
    /// Sum in which NaN counts as 0.
    NANSUM: NanSumF32 NanSumF64 SumI64 SumU8;
    /// Product.
    PROD: ProdF32 ProdF64 ProdI64;
    /// Maximum; NaN wins.
    MAX: MaxF32 MaxF64 MaxI64;
    /// Minimum; NaN wins.
    MIN: MinF32 MinF64 MinI64;
    /// Sum of absolute values.
    NORM1: AbsSumF32 AbsSumF64;
    /// Root of the sum of squares.
    NORM2: SquareSumF32 SquareSumF64;
    /// `(sum |x|^p)^(1/p)`, p being the first parameter.
    NORMP: PowerSumF32 PowerSumF64;
    /// Largest absolute value.
    NORM_MAX: MaxAbsF32 MaxAbsF64 MaxAbsI64;
    /// Smallest absolute value.
    NORM_MIN: MinAbsF32 MinAbsF64 MinAbsI64;
    /// Number of elements that are not 0, as int64.
    COUNT: CountF32 CountF64 CountI64 CountU8;
    /// Number of elements that are not 0, as float64.
    NORM0: NormCountF32 NormCountF64 NormCountI64 NormCountU8;
    /// True if any element is not 0.
    ANY: AnyF32 AnyF64 AnyI64 AnyU8;
    /// True if no element is 0.
    ALL: AllF32 AllF64 AllI64 AllU8;
}

// ---- reductions with a richer partial result ----

/// Smallest and largest.
struct Both<T>(PhantomData<T>);
trait Ends: Elem + PartialOrd {
    const LOWEST: Self;
    const HIGHEST: Self;
}
impl Ends for f32 {
    const LOWEST: f32 = f32::NEG_INFINITY;
    const HIGHEST: f32 = f32::INFINITY;
}
impl Ends for f64 {
    const LOWEST: f64 = f64::NEG_INFINITY;
    const HIGHEST: f64 = f64::INFINITY;
}
impl Ends for i64 {
    const LOWEST: i64 = i64::MIN;
    const HIGHEST: i64 = i64::MAX;
}
impl<T: Ends> Fold for Both<T> {
    type T = T;
    type A = (T, T);
    type Part = (T, T);
    type Out = T;
    fn zero() -> (T, T) {
        (T::HIGHEST, T::LOWEST)
    }
    #[inline(always)]
    fn step(a: (T, T), x: T, _e: f64) -> (T, T) {
        (better::<T, true>(a.0, x), better::<T, false>(a.1, x))
    }
    #[inline(always)]
    fn merge(a: (T, T), b: (T, T)) -> (T, T) {
        (better::<T, true>(a.0, b.0), better::<T, false>(a.1, b.1))
    }
    #[inline(always)]
    fn lift(a: (T, T)) -> (T, T) {
        a
    }
    #[inline(always)]
    fn join(a: (T, T), b: (T, T)) -> (T, T) {
        Self::merge(a, b)
    }
    fn finish(part: (T, T), _p: &Params) -> T {
        part.0
    }
}

/// A [`Both`] that gives its two results.
struct MinMax<T>(PhantomData<T>);
impl<T: Ends> Reduce for MinMax<T> {
    type T = T;
    type Part = (T, T);
    type Out0 = T;
    type Out1 = T;
    fn init() -> (T, T) {
        Both::<T>::zero()
    }
    #[inline(always)]
    unsafe fn run(x: *const T, n: usize, at: usize, p: &Params) -> (T, T) {
        Folded::<Both<T>>::run(x, n, at, p)
    }
    #[inline(always)]
    unsafe fn columns(x: *const T, stride: isize, n: usize, w: usize, at: usize, to: *mut (T, T), p: &Params) {
        Folded::<Both<T>>::columns(x, stride, n, w, at, to, p)
    }
    fn join(a: (T, T), b: (T, T)) -> (T, T) {
        Both::<T>::merge(a, b)
    }
    fn finish(part: (T, T), _n: usize, _p: &Params) -> (T, T) {
        part
    }
}

/// The best element and its index, the first of equals; NaN is best.
struct Best<T, const MIN: bool>(PhantomData<T>);

/// A fold that keeps the best element.
struct BestFold<T, const MIN: bool>(PhantomData<T>);
impl<T: Ends, const MIN: bool> Fold for BestFold<T, MIN> {
    type T = T;
    type A = T;
    type Part = T;
    type Out = T;
    #[inline(always)]
    fn zero() -> T {
        if MIN {
            T::HIGHEST
        } else {
            T::LOWEST
        }
    }
    #[inline(always)]
    fn step(a: T, x: T, _e: f64) -> T {
        better::<T, MIN>(a, x)
    }
    #[inline(always)]
    fn merge(a: T, b: T) -> T {
        better::<T, MIN>(a, b)
    }
    #[inline(always)]
    fn lift(a: T) -> T {
        a
    }
    #[inline(always)]
    fn join(a: T, b: T) -> T {
        better::<T, MIN>(a, b)
    }
    fn finish(part: T, _p: &Params) -> T {
        part
    }
}

#[allow(clippy::eq_op)]
impl<T: Ends, const MIN: bool> Reduce for Best<T, MIN> {
    type T = T;
    type Part = (T, i64);
    type Out0 = T;
    type Out1 = i64;
    fn init() -> (T, i64) {
        (BestFold::<T, MIN>::zero(), 0)
    }
    /// Finds the value, then where it is: two passes over a block that is in the first-level cache.
    #[inline(always)]
    unsafe fn run(x: *const T, n: usize, at: usize, _p: &Params) -> (T, i64) {
        let best = fold::<BestFold<T, MIN>>(x, n, 0.0);
        let nan = best != best;
        let mut i = 0;
        while i + 32 <= n {
            let mut hit = false;
            for k in 0..32 {
                let v = *x.add(i + k);
                hit |= (v == best) | (nan & (v != v));
            }
            if hit {
                break;
            }
            i += 32;
        }
        while i < n {
            let v = *x.add(i);
            if (v == best) | (nan & (v != v)) {
                break;
            }
            i += 1;
        }
        (best, (at + i) as i64)
    }
    #[inline(always)]
    unsafe fn columns(x: *const T, stride: isize, n: usize, w: usize, at: usize, to: *mut (T, i64), _p: &Params) {
        let mut best = [BestFold::<T, MIN>::zero(); WIDTH];
        let mut row = [0i32; WIDTH];
        for i in 0..w {
            best[i] = *x.add(i);
        }
        for k in 1..n {
            let r = x.offset(k as isize * stride);
            for i in 0..w {
                let (v, b) = (*r.add(i), best[i]);
                let take = (if MIN { v < b } else { v > b }) | ((v != v) & (b == b));
                best[i] = if take { v } else { b };
                row[i] = if take { k as i32 } else { row[i] };
            }
        }
        for i in 0..w {
            *to.add(i) = (best[i], at as i64 + row[i] as i64);
        }
    }
    #[inline(always)]
    fn join(a: (T, i64), b: (T, i64)) -> (T, i64) {
        if (if MIN { b.0 < a.0 } else { b.0 > a.0 }) | ((b.0 != b.0) & (a.0 == a.0)) {
            b
        } else {
            a
        }
    }
    #[inline(always)]
    fn finish(part: (T, i64), _n: usize, _p: &Params) -> (T, i64) {
        part
    }
}

/// Mean and sum of squared distances from it, joined as in Chan, Golub and LeVeque, *Updating formulae and a pairwise
/// algorithm for computing sample variances* (1979). Within a block: two passes, corrected for the rounding of the mean.
struct Spread<T>(PhantomData<T>);

#[derive(Clone, Copy)]
struct Moments {
    n: f64,
    mean: f64,
    m2: f64,
}

/// Adds up `x - e` and its square.
struct Distances<T>(PhantomData<T>);
impl<T: Real + Elem> Fold for Distances<T> {
    type T = T;
    type A = (T, T);
    type Part = (T, T);
    type Out = T;
    #[inline(always)]
    fn zero() -> (T, T) {
        (<T as Real>::ZERO, <T as Real>::ZERO)
    }
    #[inline(always)]
    fn step(a: (T, T), x: T, e: f64) -> (T, T) {
        let d = x - T::of(e);
        (a.0 + d, a.1 + d * d)
    }
    #[inline(always)]
    fn merge(a: (T, T), b: (T, T)) -> (T, T) {
        (a.0 + b.0, a.1 + b.1)
    }
    #[inline(always)]
    fn lift(a: (T, T)) -> (T, T) {
        a
    }
    #[inline(always)]
    fn join(a: (T, T), b: (T, T)) -> (T, T) {
        Self::merge(a, b)
    }
    fn finish(part: (T, T), _p: &Params) -> T {
        part.0
    }
}

/// Adds up.
struct Total<T>(PhantomData<T>);
impl<T: Real + Elem> Fold for Total<T> {
    type T = T;
    type A = T;
    type Part = T;
    type Out = T;
    #[inline(always)]
    fn zero() -> T {
        <T as Real>::ZERO
    }
    #[inline(always)]
    fn step(a: T, x: T, _e: f64) -> T {
        a + x
    }
    #[inline(always)]
    fn merge(a: T, b: T) -> T {
        a + b
    }
    #[inline(always)]
    fn lift(a: T) -> T {
        a
    }
    #[inline(always)]
    fn join(a: T, b: T) -> T {
        a + b
    }
    fn finish(part: T, _p: &Params) -> T {
        part
    }
}

impl Moments {
    #[inline(always)]
    fn new<T: Real>(n: usize, center: T, d: T, d2: T) -> Moments {
        let (n, d) = (n as f64, d.as_f64());
        Moments { n, mean: center.as_f64() + d / n, m2: d2.as_f64() - d * d / n }
    }
}

impl<T: Real + Elem> Reduce for Spread<T> {
    type T = T;
    type Part = Moments;
    type Out0 = T;
    type Out1 = T;
    fn init() -> Moments {
        Moments { n: 0.0, mean: 0.0, m2: 0.0 }
    }
    #[inline(always)]
    unsafe fn run(x: *const T, n: usize, _at: usize, _p: &Params) -> Moments {
        let center = fold::<Total<T>>(x, n, 0.0) / T::of(n as f64);
        let (d, d2) = fold::<Distances<T>>(x, n, center.as_f64());
        Moments::new(n, center, d, d2)
    }
    #[inline(always)]
    unsafe fn columns(x: *const T, stride: isize, n: usize, w: usize, at: usize, to: *mut Moments, p: &Params) {
        let mut center = [<T as Real>::ZERO; WIDTH];
        Folded::<Total<T>>::columns(x, stride, n, w, at, center.as_mut_ptr(), p);
        let (mut d, mut d2) = ([<T as Real>::ZERO; WIDTH], [<T as Real>::ZERO; WIDTH]);
        let count = T::of(n as f64);
        for c in &mut center[..w] {
            *c /= count;
        }
        for k in 0..n {
            let r = x.offset(k as isize * stride);
            for i in 0..w {
                let v = *r.add(i) - center[i];
                d[i] += v;
                d2[i] += v * v;
            }
        }
        for i in 0..w {
            *to.add(i) = Moments::new(n, center[i], d[i], d2[i]);
        }
    }
    #[inline(always)]
    fn join(a: Moments, b: Moments) -> Moments {
        if a.n == 0.0 {
            return b;
        }
        let n = a.n + b.n;
        let d = b.mean - a.mean;
        Moments { n, mean: a.mean + d * (b.n / n), m2: a.m2 + b.m2 + d * d * (a.n * b.n / n) }
    }
    /// Parameters: the correction, and 1 for the root.
    #[inline(always)]
    fn finish(part: Moments, n: usize, p: &Params) -> (T, T) {
        let (mean, m2) = if n == 0 { (f64::NAN, f64::NAN) } else { (part.mean, part.m2.max(0.0) + 0.0 * part.m2) };
        let var = m2 / (n as f64 - p.f[0]).max(0.0);
        (T::of(if p.f[1] == 1.0 { var.sqrt() } else { var }), T::of(mean))
    }
}

/// `log(sum(exp(x)))` as the largest element and the sum of exponentials relative to it.
struct LogSumExp<T>(PhantomData<T>);

/// Adds up `exp(x - e)`.
struct Exponentials<T>(PhantomData<T>);
impl<T: Real + Elem> Fold for Exponentials<T> {
    type T = T;
    type A = T;
    type Part = T;
    type Out = T;
    #[inline(always)]
    fn zero() -> T {
        <T as Real>::ZERO
    }
    #[inline(always)]
    fn step(a: T, x: T, e: f64) -> T {
        a + (x - T::of(e)).exp()
    }
    #[inline(always)]
    fn merge(a: T, b: T) -> T {
        a + b
    }
    #[inline(always)]
    fn lift(a: T) -> T {
        a
    }
    #[inline(always)]
    fn join(a: T, b: T) -> T {
        a + b
    }
    fn finish(part: T, _p: &Params) -> T {
        part
    }
}

#[inline(always)]
fn finite_or_zero(x: f64) -> f64 {
    if x.is_finite() {
        x
    } else {
        0.0
    }
}

impl<T: Real + Elem + Ends> Reduce for LogSumExp<T> {
    type T = T;
    type Part = (f64, f64);
    type Out0 = T;
    type Out1 = bool;
    fn init() -> (f64, f64) {
        (f64::NEG_INFINITY, 0.0)
    }
    #[inline(always)]
    unsafe fn run(x: *const T, n: usize, _at: usize, _p: &Params) -> (f64, f64) {
        let max = fold::<BestFold<T, false>>(x, n, 0.0).as_f64();
        (max, fold::<Exponentials<T>>(x, n, finite_or_zero(max)).as_f64())
    }
    #[inline(always)]
    unsafe fn columns(x: *const T, stride: isize, n: usize, w: usize, at: usize, to: *mut (f64, f64), p: &Params) {
        let mut max = [<T as Real>::ZERO; WIDTH];
        Folded::<BestFold<T, false>>::columns(x, stride, n, w, at, max.as_mut_ptr(), p);
        let mut sum = [<T as Real>::ZERO; WIDTH];
        let mut shift = [<T as Real>::ZERO; WIDTH];
        for i in 0..w {
            shift[i] = T::of(finite_or_zero(max[i].as_f64()));
        }
        for k in 0..n {
            let r = x.offset(k as isize * stride);
            for i in 0..w {
                sum[i] += (*r.add(i) - shift[i]).exp();
            }
        }
        for i in 0..w {
            *to.add(i) = (max[i].as_f64(), sum[i].as_f64());
        }
    }
    fn join(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
        let m = better::<f64, false>(a.0, b.0);
        let scaled = |(max, sum): (f64, f64)| if max == m { sum } else { sum * (max - m).exp() };
        (m, scaled(a) + scaled(b))
    }
    fn finish((max, sum): (f64, f64), _n: usize, _p: &Params) -> (T, bool) {
        (T::of(sum.ln() + finite_or_zero(max)), false)
    }
}

/// Kernels of a reduction that is generic over the element type.
macro_rules! typed_kernels {
    ($($(#[doc = $doc:literal])+ $name:ident: $r:ident $(, $min:literal)? for f32 f64 $($i:ident)?;)+) => { $(
        $(#[doc = $doc])+
        pub static $name: Kernels = Kernels {
            f32: erased!($r<f32 $(, $min)?>),
            f64: erased!($r<f64 $(, $min)?>),
            i64: typed_kernels!(@opt $r $(, $min)?; $($i)?),
            u8: None,
        };
    )+ };
    (@opt $r:ident $(, $min:literal)?;) => { None };
    (@opt $r:ident $(, $min:literal)?; $i:ident) => { erased!($r<$i $(, $min)?>) };
}
typed_kernels! {
    /// Largest element and its index.
    ARGMAX: Best, false for f32 f64 i64;
    /// Smallest element and its index.
    ARGMIN: Best, true for f32 f64 i64;
    /// Smallest and largest element.
    MINMAX: MinMax for f32 f64 i64;
    /// Variance (or its root) and mean; parameters: the correction, and 1 for the root.
    VAR: Spread for f32 f64;
    /// `log(sum(exp(x)))`.
    LOGSUMEXP: LogSumExp for f32 f64;
}

// ---- the walk ----

/// A dimension of the input: size, step in elements, and whether it is reduced.
pub type Dim = (usize, isize, bool);

/// Runs of elements that are not contiguous in the type of the loops go through this.
struct Buffer(List<u64>);

impl Buffer {
    fn get(&mut self, bytes: usize) -> Result<*mut u8> {
        if self.0.len() * 8 < bytes {
            self.0.resize(bytes.div_ceil(8), 0)?;
        }
        Ok(self.0.as_mut_ptr().cast())
    }
}

/// Space for partial results.
fn parts_buffer(k: &Kernel, count: usize) -> Result<List<u64>> {
    List::filled((count * k.part).div_ceil(8), 0)
}

/// Offset, in elements, of place `index` of the row-major range over `dims`.
#[inline]
fn offset_of(dims: &[(usize, isize)], mut index: usize) -> isize {
    let mut at = 0;
    for &(n, s) in dims.iter().rev() {
        at += (index % n) as isize * s;
        index /= n;
    }
    at
}

struct Walk<'a> {
    k: &'a Kernel,
    p: &'a Params,
    x: Shared<u8>,
    dtype: DType,
    out: [Shared<u8>; 2],
    /// Kept and reduced dimensions, outermost first, without those of the innermost loops.
    kept: SmallVec<[(usize, isize); 4]>,
    reduced: SmallVec<[(usize, isize); 4]>,
    /// Number of reduced elements.
    n: usize,
}

/// Reduces the elements at `x` (first element) over the dimensions that are marked so. Results are row-major over the kept
/// dimensions in the order given, which should be that of falling strides. A null result pointer is skipped.
pub unsafe fn reduce(
    k: &Kernel,
    x: *const u8,
    dtype: DType,
    dims: &[Dim],
    p: &Params,
    out: [*mut u8; 2],
) -> Result<()> {
    let dtype = if dtype == DType::Bool && k.input == DType::U8 { DType::U8 } else { dtype };
    let n: usize = dims.iter().filter(|d| d.2).map(|d| d.0).product();
    let outs: usize = dims.iter().filter(|d| !d.2).map(|d| d.0).product();
    if outs == 0 {
        return Ok(());
    }
    if n == 0 {
        let mut part = parts_buffer(k, 1)?;
        (k.init)(part.as_mut_ptr().cast());
        for i in 0..outs {
            (k.finish)(part.as_ptr().cast(), 1, 0, p, out, i);
        }
        return Ok(());
    }
    // Memory order, with neighbours that lie like one dimension made one. The order of the kept dimensions stays.
    let mut sorted: SmallVec<[Dim; 4]> = dims.iter().copied().filter(|d| d.0 != 1).collect();
    #[allow(clippy::disallowed_methods, reason = "as many as dimensions, and equals stay in their order")]
    sorted.sort_by_key(|a| std::cmp::Reverse(a.1));
    let mut merged: SmallVec<[Dim; 4]> = SmallVec::new();
    for d in sorted {
        match merged.last_mut() {
            Some(l) if l.2 == d.2 && l.1 == d.1 * d.0 as isize => *l = (l.0 * d.0, d.1, d.2),
            _ => merged.push(d),
        }
    }
    let pick = |reduced: bool| merged.iter().filter(|d| d.2 == reduced).map(|d| (d.0, d.1)).collect();
    let mut w =
        Walk { k, p, x: Shared(x as *mut u8), dtype, out: out.map(Shared), kept: pick(false), reduced: pick(true), n };
    // Narrow columns are better gathered.
    match merged.last() {
        Some(&(width, _, false)) if width >= 8 || w.reduced.is_empty() => w.downwards(),
        _ => w.along(),
    }
}

impl Walk<'_> {
    unsafe fn finish(&self, parts: *const u8, count: usize, at: usize) {
        (self.k.finish)(parts, count, self.n, self.p, [self.out[0].get(), self.out[1].get()], at)
    }

    /// The innermost dimension is reduced.
    unsafe fn along(&mut self) -> Result<()> {
        let (n, step) = self.reduced.pop().unwrap_or((1, 1));
        let (k, size, width) = (self.k, self.dtype.size(), self.k.input.size());
        let direct = self.dtype == k.input && (step == 1 || n == 1);
        let others: usize = self.reduced.iter().map(|d| d.0).product();
        let outs: usize = self.kept.iter().map(|d| d.0).product();
        let (blocks, group) = (n.div_ceil(BLOCK), (BLOCK / n).max(1));
        let pieces = blocks * others.div_ceil(group);
        if direct && others == 1 && blocks == 1 {
            let (rows, apart) = self.kept.pop().unwrap_or((1, 0));
            let this = &*self;
            parallel_for(outs, (GRAIN / n).max(1), &|r| {
                let mut parts = [MaybeUninit::<[u64; 3]>::uninit(); BATCH];
                let parts = parts.as_mut_ptr().cast::<u8>();
                let mut o = r.start;
                while o < r.end {
                    let count = (r.end - o).min(rows - o % rows).min(BATCH);
                    let at = offset_of(&this.kept, o / rows) + (o % rows) as isize * apart;
                    // SAFETY: `count` rows of `n` elements from there; no partial result is larger than 24 bytes.
                    unsafe {
                        let x = this.x.get().offset(at * size as isize);
                        (k.rows)(x, apart, n, count, 0, parts, this.p);
                        this.finish(parts, count, o);
                    }
                    o += count;
                }
            });
            return Ok(());
        }
        let this = &*self;
        let mut store = parts_buffer(k, if pieces > 1 { outs * pieces } else { 0 })?;
        let all = Shared(store.as_mut_ptr().cast::<u8>());
        let work = n.min(BLOCK) * others.min(group);
        try_parallel_for(outs * pieces, (GRAIN / work).max(1), &|r| {
            let mut buffer = Buffer(List::new());
            let (mut one, mut next) = ([0u64; 3], [0u64; 3]);
            for j in r {
                let (o, piece) = (j / pieces, j % pieces);
                let (first, start) = (piece / blocks * group, piece % blocks * BLOCK);
                let count = BLOCK.min(n - start);
                let base = offset_of(&this.kept, o) + start as isize * step;
                for row in first..(first + group).min(others) {
                    // SAFETY: block `start..start + count` of reduced row `row` of result `o`; parts fit into 24 bytes.
                    unsafe {
                        let mut x =
                            this.x.get().offset((base + offset_of(&this.reduced, row)) * size as isize) as *const u8;
                        if !direct {
                            let b = buffer.get(count * width)?;
                            cast_row(x, this.dtype, step, b, k.input, 1, count);
                            x = b;
                        }
                        let to = if row == first { one.as_mut_ptr() } else { next.as_mut_ptr() };
                        (k.rows)(x, 0, count, 1, row * n + start, to.cast(), this.p);
                        if row != first {
                            (k.join)(one.as_mut_ptr().cast(), next.as_ptr().cast(), 1);
                        }
                    }
                }
                // SAFETY: part `j`, or result `o`, belongs to this task alone.
                unsafe {
                    if pieces > 1 {
                        std::ptr::copy_nonoverlapping(one.as_ptr().cast(), all.get().add(j * k.part), k.part);
                    } else {
                        this.finish(one.as_ptr().cast(), 1, o);
                    }
                }
            }
            Ok(())
        })?;
        if pieces > 1 {
            for o in 0..outs {
                let part = all.get().add(o * pieces * k.part);
                for j in 1..pieces {
                    (k.join)(part, part.add(j * k.part), 1);
                }
                self.finish(part, 1, o);
            }
        }
        Ok(())
    }

    /// The innermost dimension is kept: rows are reduced into one another.
    unsafe fn downwards(&mut self) -> Result<()> {
        let (width, step) = self.kept.pop().unwrap_or((1, 1));
        let (n, down) = self.reduced.pop().unwrap_or((1, 0));
        let (k, size, wide) = (self.k, self.dtype.size(), self.k.input.size());
        let direct = self.dtype == k.input && (step == 1 || width == 1);
        let others: usize = self.reduced.iter().map(|d| d.0).product();
        let outer: usize = self.kept.iter().map(|d| d.0).product();
        // A task is a stack of blocks of one strip of columns; what several tasks leave of a strip is joined afterwards.
        let strips = width.div_ceil(WIDTH);
        let blocks = n.div_ceil(HEIGHT) * others;
        let stacks = blocks.div_ceil(STACK);
        let this = &*self;
        let strip_bytes = WIDTH.min(width) * k.part;
        let mut store = parts_buffer(k, if stacks > 1 { outer * strips * stacks * WIDTH.min(width) } else { 0 })?;
        let all = Shared(store.as_mut_ptr().cast::<u8>());
        let work = width.min(WIDTH) * (n * others).min(HEIGHT * STACK);
        try_parallel_for(outer * strips * stacks, (GRAIN / work).max(1), &|r| {
            let (mut buffer, mut mine, mut next) = (Buffer(List::new()), Buffer(List::new()), Buffer(List::new()));
            for j in r {
                let (strip, stack) = (j / stacks, j % stacks);
                let (o, start) = (strip / strips, strip % strips * WIDTH);
                let count = WIDTH.min(width - start);
                let base = offset_of(&this.kept, o) + start as isize * step;
                // SAFETY: the block at `base` and the rows below; the partial results of task `j` belong to it alone.
                unsafe {
                    let first = stack * STACK;
                    let one = if stacks > 1 { all.get().add(j * strip_bytes) } else { mine.get(strip_bytes)? };
                    for b in first..(first + STACK).min(blocks) {
                        let (other, top) = (b / n.div_ceil(HEIGHT), b % n.div_ceil(HEIGHT) * HEIGHT);
                        let rows = HEIGHT.min(n - top);
                        let at = base + offset_of(&this.reduced, other) + top as isize * down;
                        let mut x = this.x.get().offset(at * size as isize) as *const u8;
                        let mut apart = down;
                        if !direct {
                            let to = buffer.get(rows * count * wide)?;
                            for i in 0..rows {
                                let from = x.offset(i as isize * down * size as isize);
                                cast_row(from, this.dtype, step, to.add(i * count * wide), k.input, 1, count);
                            }
                            (x, apart) = (to, count as isize);
                        }
                        let to = if b == first { one } else { next.get(strip_bytes)? };
                        (k.columns)(x, apart, rows, count, other * n + top, to, this.p);
                        if b != first {
                            (k.join)(one, to, count);
                        }
                    }
                    if stacks == 1 {
                        this.finish(one, count, o * width + start);
                    }
                }
            }
            Ok(())
        })?;
        if stacks > 1 {
            for strip in 0..outer * strips {
                let (o, start) = (strip / strips, strip % strips * WIDTH);
                let count = WIDTH.min(width - start);
                let one = all.get().add(strip * stacks * strip_bytes);
                for s in 1..stacks {
                    (k.join)(one, one.add(s * strip_bytes), count);
                }
                self.finish(one, count, o * width + start);
            }
        }
        Ok(())
    }
}
