//! What loops that are written with vectors are written with.

/// A number that vectors hold: f32 or f64.
pub(crate) trait Lane:
    Copy + PartialEq + std::ops::Mul<Output = Self> + std::ops::Add<Output = Self> + std::ops::AddAssign + 'static
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The same number.
    fn of(x: f32) -> Self;
}

impl Lane for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    #[inline(always)]
    fn of(x: f32) -> f32 {
        x
    }
}

impl Lane for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    #[inline(always)]
    fn of(x: f32) -> f64 {
        x.into()
    }
}

/// A register of `LANES` numbers. All methods are inlined into a function that has the features, see [`Op`].
pub(crate) trait Vector: Copy {
    type T: Lane;
    const LANES: usize;
    /// 32 registers rather than 16.
    const WIDE: bool;

    unsafe fn splat(x: Self::T) -> Self;
    unsafe fn load(p: *const Self::T) -> Self;
    /// The first `n <= LANES` lanes from memory, the others 0.
    unsafe fn load_n(p: *const Self::T, n: usize) -> Self;
    /// As [`Vector::load_n`], from float16 numbers.
    #[inline(always)]
    unsafe fn load_f16(p: *const u16, n: usize) -> Self {
        widened(p, n, widen_f16)
    }
    /// As [`Vector::load_n`], from bfloat16 numbers.
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16, n: usize) -> Self {
        widened(p, n, widen_bf16)
    }
    unsafe fn store(self, p: *mut Self::T);
    /// Writes the first `n <= LANES` lanes.
    unsafe fn store_n(self, p: *mut Self::T, n: usize);
    /// `self * x + y`.
    unsafe fn fma(self, x: Self, y: Self) -> Self;
    unsafe fn mul(self, x: Self) -> Self;
    /// The sum of the lanes.
    unsafe fn sum(self) -> Self::T;
    unsafe fn prefetch(p: *const Self::T);
    /// Interleaves `R` (2 or 4) rows: `dst[p * ld + r] = src[r * rs + p]` for `p` in `0..n`.
    unsafe fn interleave<const R: usize>(src: *const Self::T, rs: isize, n: usize, dst: *mut Self::T, ld: usize);
    /// Runs `op` in a function with the features of this vector.
    unsafe fn call<O: Op<Self::T>>(op: O);
}

/// Code to be compiled for a vector type's features; `run` must be `#[inline(always)]`.
pub(crate) trait Op<T: Lane>: Copy {
    unsafe fn run<V: Vector<T = T>>(self);
}

/// The number with these bits of a float16.
#[inline(always)]
pub fn widen_f16(bits: u16) -> f32 {
    let h = bits as u32;
    // Exponent and mantissa move to f32's places; the product with 2^112 mends the bias, subnormals included.
    let magnitude = (h & 0x7fff) << 13;
    let finite = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
    let special = magnitude | 0x7f80_0000;
    f32::from_bits(if magnitude >= 0x0f80_0000 { special } else { finite } | (h & 0x8000) << 16)
}

/// The number with these bits of a bfloat16.
#[inline(always)]
pub fn widen_bf16(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

#[inline(always)]
unsafe fn widened<V: Vector>(p: *const u16, n: usize, widen: impl Fn(u16) -> f32) -> V {
    let mut line = [V::T::ZERO; 16];
    for i in 0..n {
        line[i] = V::T::of(widen(*p.add(i)));
    }
    V::load(line.as_ptr())
}

#[inline(always)]
pub(super) unsafe fn interleave_scalar<T: Copy, const R: usize>(
    src: *const T,
    rs: isize,
    n: usize,
    dst: *mut T,
    ld: usize,
) {
    for p in 0..n {
        for r in 0..R {
            *dst.add(p * ld + r) = *src.offset(r as isize * rs).add(p);
        }
    }
}
