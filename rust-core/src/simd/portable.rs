//! The vector of every target.

use super::vector::{interleave_scalar, Op, Vector};

/// The portable vector: 16 bytes, which the compiler maps to whatever the target has.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub(crate) struct Portable<T, const N: usize>([T; N]);

macro_rules! portable {
    ($t:ty, $n:literal) => {
        impl Vector for Portable<$t, $n> {
            type T = $t;
            const LANES: usize = $n;
            const WIDE: bool = false;
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                Portable([x; $n])
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                Portable(*p.cast())
            }
            #[inline(always)]
            unsafe fn load_n(p: *const $t, n: usize) -> Self {
                if n == $n {
                    return Self::load(p);
                }
                let mut v = [0.0; $n];
                for i in 0..n {
                    v[i] = *p.add(i);
                }
                Portable(v)
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                *p.cast() = self.0;
            }
            #[inline(always)]
            unsafe fn store_n(self, p: *mut $t, n: usize) {
                if n == $n {
                    return self.store(p);
                }
                for i in 0..n {
                    *p.add(i) = self.0[i];
                }
            }
            #[inline(always)]
            unsafe fn fma(self, x: Self, y: Self) -> Self {
                // Not mul_add: without the instruction that is a slow library call.
                let mut v = y.0;
                for i in 0..$n {
                    v[i] += self.0[i] * x.0[i];
                }
                Portable(v)
            }
            #[inline(always)]
            unsafe fn mul(self, x: Self) -> Self {
                let mut v = self.0;
                for i in 0..$n {
                    v[i] *= x.0[i];
                }
                Portable(v)
            }
            #[inline(always)]
            unsafe fn sum(self) -> $t {
                self.0.iter().sum()
            }
            #[inline(always)]
            unsafe fn prefetch(_: *const $t) {}
            #[inline(always)]
            unsafe fn interleave<const R: usize>(src: *const $t, rs: isize, n: usize, dst: *mut $t, ld: usize) {
                interleave_scalar::<$t, R>(src, rs, n, dst, ld)
            }
            unsafe fn call<O: Op<$t>>(op: O) {
                op.run::<Self>()
            }
        }
    };
}
portable!(f32, 4);
portable!(f64, 2);

/// Architectures of which we know nothing.
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
pub mod other {
    use super::super::vector::{Lane, Op};
    use super::Portable;

    levels! {}

    /// The best level this CPU can run.
    pub fn supported() -> Level {
        Level::Base
    }

    /// Asks for the cache line at `p`, which need not be memory of ours.
    #[inline(always)]
    pub fn prefetch(_: *const u8) {}
}

/// Calls an `#[inline(always)]` function in a function that has the features of a level: those of the target, which
/// all have.
#[doc(hidden)]
#[cfg(not(target_arch = "x86_64"))]
#[macro_export]
macro_rules! at_level {
    ($level:expr, $body:ident<$($g:ident: $bound:path),*>($($a:ident: $t:ty),*) $(-> $r:ty)?) => {{
        // One body serves all levels here.
        let _ = $level;
        $body($($a),*)
    }};
}
