//! L0: which vector extensions this CPU has, one macro that compiles a loop for each of them, and one trait for the
//! loops that are written with vectors.
//!
//! Each instruction set has a file: it names the levels of its architecture (`levels!`), how to find out which of them
//! the CPU has, how a function gets their features (`at_level!`), and a [`Vector`] for each level and type. Nothing
//! outside of this folder knows which levels there are. On other architectures there is the baseline alone.
//!
//! A kernel is written once as plain Rust; [`simd_fn!`] compiles it for each level and picks one at run time. Rust never
//! contracts `a * b + c` by itself and `mul_add` rounds once on every path, so elementwise ops and reductions give the
//! same bits on all levels. Products of matrices, which are written with vectors, do not: their sums are split by the
//! registers that a level has, so matmul, convolution, and what is made of them, agree only up to rounding. What is
//! promised is the same bits on one level, for any number of threads.

use crate::error::Result;
use std::sync::atomic::{AtomicU8, Ordering};

/// The levels of an architecture above its baseline, lowest first: number, name in `RUSTORCH_CPU`, vectors of f32 and f64.
macro_rules! levels {
    ($($(#[$doc:meta])* $level:ident = $number:literal, $word:literal, [$f32:ty, $f64:ty];)*) => {
        /// Instruction-set level of this architecture, lowest first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Level {
            /// What every CPU of the target has, in plain Rust.
            Base = 1,
            $($(#[$doc])* $level = $number,)*
        }
        impl Level {
            /// All of them, lowest first.
            pub const ALL: &[Level] = &[Level::Base, $(Level::$level),*];
            /// Its name in `RUSTORCH_CPU`.
            pub fn word(self) -> &'static str {
                match self {
                    Level::Base => "portable",
                    $(Level::$level => $word,)*
                }
            }
            #[inline(always)]
            pub(super) fn numbered(n: u8) -> Option<Level> {
                match n {
                    1 => Some(Level::Base),
                    $($number => Some(Level::$level),)*
                    _ => None,
                }
            }
        }
        /// A number of which each level has vectors.
        pub(crate) trait Leveled: Lane {
            /// Runs `op` with the vector of a level, which the CPU must support; its features are [`Vector::call`]'s.
            unsafe fn at<O: Op<Self>>(level: Level, op: O);
        }
        impl Leveled for f32 {
            unsafe fn at<O: Op<f32>>(level: Level, op: O) {
                match level {
                    Level::Base => op.run::<Portable<f32, 4>>(),
                    $(Level::$level => op.run::<$f32>(),)*
                }
            }
        }
        impl Leveled for f64 {
            unsafe fn at<O: Op<f64>>(level: Level, op: O) {
                match level {
                    Level::Base => op.run::<Portable<f64, 2>>(),
                    $(Level::$level => op.run::<$f64>(),)*
                }
            }
        }
    };
}

#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod portable;
mod vector;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86;

#[cfg(target_arch = "aarch64")]
use neon as arch;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
use portable::other as arch;
#[cfg(target_arch = "x86_64")]
use x86 as arch;

pub(crate) use arch::Leveled;
pub use arch::{prefetch, supported, Level};
pub use vector::{widen_bf16, widen_f16};
pub(crate) use vector::{Lane, Op, Vector};

static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The level in use: the best one of this CPU, or a lower one named by `RUSTORCH_CPU` ([`Level::word`]); [`check`]
/// refuses other words.
#[inline(always)]
pub fn level() -> Level {
    Level::numbered(LEVEL.load(Ordering::Relaxed)).unwrap_or_else(detect)
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
    let Some(level) = Level::ALL.iter().find(|level| word.to_str() == Some(level.word())) else {
        let mut words = String::from(Level::Base.word());
        for (i, level) in Level::ALL.iter().enumerate().skip(1) {
            words += if i + 1 < Level::ALL.len() { ", " } else { " or " };
            words += level.word();
        }
        crate::bail!(Value, "the environment variable RUSTORCH_CPU must be {words}, got {word:?}")
    };
    Ok(supported().min(*level))
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
            // SAFETY: level() only names what this CPU supports.
            #[cfg(not(quick))]
            {
                $crate::at_level!($crate::simd::level(), body<>($($a: $t),*) $(-> $r)?)
            }
            #[cfg(quick)]
            body($($a),*)
        }
    )+ };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_numbered_and_named() {
        for (i, &level) in Level::ALL.iter().enumerate() {
            assert_eq!(Level::numbered(level as u8), Some(level));
            assert!(Level::ALL[..i].iter().all(|l| *l < level && l.word() != level.word()));
        }
        assert!(Level::ALL.contains(&level()) && level() <= supported());
    }
}
