//! L0: which vector extensions this CPU has, and one macro that compiles a loop for each of them.
//!
//! A kernel is written once as plain Rust; [`simd_fn!`] compiles it for the baseline, for AVX2+FMA and for
//! AVX-512, and picks one at run time. Rust never contracts `a * b + c` by itself and `mul_add` rounds once on
//! every path, so elementwise ops and reductions give the same bits on all three. Products of matrices do not: their
//! sums are split by the registers that a level has, so matmul, convolution, and what is made of them, agree only up
//! to rounding. What is promised is the same bits on one level, for any number of threads.

use crate::error::Result;
use std::sync::atomic::{AtomicU8, Ordering};

/// Instruction-set level, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// The target's baseline (SSE2 on x86-64).
    Base = 1,
    /// AVX2, FMA, BMI and F16C.
    Avx2 = 2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512 = 3,
}

static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The level in use: the best one of this CPU, or a lower one named by `RUSTORCH_CPU` (`portable`, `avx2`, `avx512`);
/// [`check`] refuses other words.
#[inline(always)]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        1 => Level::Base,
        2 => Level::Avx2,
        3 => Level::Avx512,
        _ => detect(),
    }
}

#[cold]
fn detect() -> Level {
    asked().map_or_else(
        |_| supported(),
        |level| {
            LEVEL.store(level as u8, Ordering::Relaxed);
            level
        },
    )
}

/// What the environment asks for, as far as this CPU has it.
fn asked() -> Result<Level> {
    let Some(word) = std::env::var_os("RUSTORCH_CPU") else { return Ok(supported()) };
    let wanted = match word.to_str() {
        Some("portable") => Level::Base,
        Some("avx2") => Level::Avx2,
        Some("avx512") => Level::Avx512,
        _ => {
            crate::bail!(Value, "the environment variable RUSTORCH_CPU must be portable, avx2 or avx512, got {word:?}")
        }
    };
    Ok(wanted.min(supported()))
}

/// An error if `RUSTORCH_CPU` is no level. Memory for elements is not given out before it is.
#[inline(always)]
pub fn check() -> Result<()> {
    match LEVEL.load(Ordering::Relaxed) {
        0 => first_check(),
        _ => Ok(()),
    }
}

#[cold]
fn first_check() -> Result<()> {
    LEVEL.store(asked()? as u8, Ordering::Relaxed);
    Ok(())
}

/// Asks for the cache line at `p`, which need not be memory of ours.
#[inline(always)]
pub fn prefetch(p: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults; SSE belongs to the baseline.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// The best level this CPU can run.
pub fn supported() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("f16c");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if avx512 {
            return Level::Avx512;
        }
        if avx2 {
            return Level::Avx2;
        }
    }
    Level::Base
}

/// Defines an `unsafe fn` whose body is compiled once per [`Level`] and dispatched at run time.
/// Everything the body calls must be `#[inline(always)]` to be compiled with the same features.
#[macro_export]
macro_rules! simd_fn {
    ($($(#[$m:meta])* $vis:vis unsafe fn $name:ident ( $($a:ident : $t:ty),* $(,)? ) $(-> $r:ty)? $body:block)+) => { $(
        $(#[$m])*
        #[allow(clippy::too_many_arguments, clippy::missing_safety_doc)]
        $vis unsafe fn $name($($a: $t),*) $(-> $r)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            unsafe fn body($($a: $t),*) $(-> $r)? $body
            #[cfg(all(target_arch = "x86_64", not(quick)))]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c,lzcnt,popcnt")]
                #[allow(clippy::too_many_arguments)]
                unsafe fn v4($($a: $t),*) $(-> $r)? { body($($a),*) }
                #[target_feature(enable = "avx2,fma,bmi1,bmi2,f16c,lzcnt,popcnt")]
                #[allow(clippy::too_many_arguments)]
                unsafe fn v3($($a: $t),*) $(-> $r)? { body($($a),*) }
                match $crate::simd::level() {
                    // SAFETY: level() only names what this CPU supports.
                    $crate::simd::Level::Avx512 => return v4($($a),*),
                    $crate::simd::Level::Avx2 => return v3($($a),*),
                    $crate::simd::Level::Base => {}
                }
            }
            body($($a),*)
        }
    )+ };
}
