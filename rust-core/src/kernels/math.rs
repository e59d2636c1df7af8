//! L1: the real functions of the elementwise kernels, once for f32 and f64.
//!
//! Everything is `#[inline(always)]` and, but for [`Real::fmod`] and what is built on it and f64's [`Real::lgamma`] and
//! [`Real::pow`], free of branches and calls, so that a plain loop under [`simd_fn!`](crate::simd_fn)
//! becomes vector code. The selects below (`if` between two computed values) are there for the same reason: both sides
//! are always evaluated. Fused multiply-adds are written out, so each SIMD level gives the same bits.
//!
//! Arguments are reduced as in Cody and Waite, *Software Manual for the Elementary Functions* (1980), with fused
//! multiply-adds; the polynomials are minimax fits (Remez) of this project. An f32 function that is not worth its own
//! polynomial is evaluated in f64 and rounded once.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// Declares the one-argument functions of the trait.
macro_rules! declare {
    ($($(#[$m:meta])* $name:ident),+ $(,)?) => { $($(#[$m])* fn $name(self) -> Self;)+ };
}

/// f32 or f64, with PyTorch's names and edge cases.
///
/// On a *concrete* f32 or f64, `x.exp()` is the standard library's method, not this trait's: there, write
/// `Real::exp(x)`. In code that is generic over `T: Real`, `x.exp()` is this one.
pub trait Real:
    Copy
    + Default
    + Debug
    + Display
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
{
    /// 0
    const ZERO: Self;
    /// 1/2
    const HALF: Self;
    /// 1
    const ONE: Self;
    /// 2
    const TWO: Self;
    /// π
    const PI: Self;
    /// Infinity.
    const INF: Self;
    /// Not a number.
    const NAN: Self;
    /// The distance from 1 to the next number.
    const EPS: Self;
    /// The lowest finite number.
    const MIN: Self;
    /// The greatest finite number.
    const MAX: Self;
    /// The least positive normal number.
    const TINY: Self;

    /// From f64, rounded.
    fn of(v: f64) -> Self;
    /// As f64.
    fn as_f64(self) -> f64;

    declare! {
        /// e^x
        exp,
        /// 2^x
        exp2,
        /// e^x - 1, accurate near 0.
        expm1,
        /// Natural logarithm.
        log,
        /// Logarithm to base 2.
        log2,
        /// Logarithm to base 10.
        log10,
        /// log(1 + x), accurate near 0.
        log1p,
        /// Square root.
        sqrt,
        /// Sine of x radians; accurate for |x| <= 2^45, some value in [-1, 1] beyond.
        sin,
        /// Cosine of x radians; accurate for |x| <= 2^45, some value in [-1, 1] beyond.
        cos,
        /// Tangent of x radians; accurate for |x| <= 2^45.
        tan,
        /// Inverse sine.
        asin,
        /// Inverse cosine.
        acos,
        /// Inverse tangent.
        atan,
        /// Hyperbolic sine.
        sinh,
        /// Hyperbolic cosine.
        cosh,
        /// Hyperbolic tangent.
        tanh,
        /// Inverse hyperbolic sine.
        asinh,
        /// Inverse hyperbolic cosine.
        acosh,
        /// Inverse hyperbolic tangent.
        atanh,
        /// Error function.
        erf,
        /// 1 - erf(x), accurate for large x.
        erfc,
        /// The inverse of erf; ±inf at ±1, NaN outside.
        erfinv,
        /// log |Γ(x)|
        lgamma,
        /// The logarithmic derivative of Γ; -inf at 0, +inf at -0, NaN at negative whole numbers.
        digamma,
        /// To the nearest whole number, halves to even.
        round,
        /// The next whole number below.
        floor,
        /// The next whole number above.
        ceil,
        /// The whole number next to it on the side of 0.
        trunc,
        /// Absolute value.
        abs,
    }
    /// x^y
    fn pow(self, y: Self) -> Self;
    /// The angle of the point (x, y), y first, in radians.
    fn atan2(self, x: Self) -> Self;
    /// sqrt(x² + y²) without overflow in between.
    fn hypot(self, y: Self) -> Self;
    /// The magnitude of self with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// The rest of the division that rounds to zero; has the sign of self.
    fn fmod(self, y: Self) -> Self;
    /// self * a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// True for NaN.
    fn is_nan(self) -> bool;
    /// True for ±inf.
    fn is_inf(self) -> bool;
    /// True for neither NaN nor ±inf.
    fn is_finite(self) -> bool;
    /// True for negative numbers, -0 and NaNs with the sign bit.
    fn signbit(self) -> bool;

    /// 1 / sqrt(x)
    #[inline(always)]
    fn rsqrt(self) -> Self {
        Self::ONE / self.sqrt()
    }
    /// 1 / x
    #[inline(always)]
    fn reciprocal(self) -> Self {
        Self::ONE / self
    }
    /// x²
    #[inline(always)]
    fn square(self) -> Self {
        self * self
    }
    /// x - trunc(x)
    #[inline(always)]
    fn frac(self) -> Self {
        self - self.trunc()
    }
    /// 1 / (1 + e^-x)
    #[inline(always)]
    fn sigmoid(self) -> Self {
        // e^-|x| never overflows, and keeps the small values of the left tail.
        let e = (-self.abs()).exp();
        let top = if self >= Self::ZERO { Self::ONE } else { e };
        let d = Self::ONE + e;
        // The last term is what the sum lacks.
        let y = top / d;
        (e - (d - Self::ONE)).mul_add(-y, y)
    }
    /// -1, 0 or 1; 0 for NaN.
    #[inline(always)]
    fn sign(self) -> Self {
        let positive = if self > Self::ZERO { Self::ONE } else { Self::ZERO };
        if self < Self::ZERO {
            -Self::ONE
        } else {
            positive
        }
    }
    /// The greater one; NaN if either is.
    #[inline(always)]
    fn maximum(self, y: Self) -> Self {
        let m = if self > y { self } else { y };
        if self.is_nan() {
            self
        } else {
            m
        }
    }
    /// The smaller one; NaN if either is.
    #[inline(always)]
    fn minimum(self, y: Self) -> Self {
        let m = if self < y { self } else { y };
        if self.is_nan() {
            self
        } else {
            m
        }
    }
    /// The greater one; a NaN loses.
    #[inline(always)]
    fn fmax(self, y: Self) -> Self {
        let m = if self > y { self } else { y };
        if y.is_nan() {
            self
        } else {
            m
        }
    }
    /// The smaller one; a NaN loses.
    #[inline(always)]
    fn fmin(self, y: Self) -> Self {
        let m = if self < y { self } else { y };
        if y.is_nan() {
            self
        } else {
            m
        }
    }
    /// The rest of the division that rounds down; has the sign of `y`, as Python's `%`.
    #[inline(always)]
    fn remainder(self, y: Self) -> Self {
        let r = self.fmod(y);
        // Adding -0 changes nothing.
        let r = r + if crosses(r, y) { y } else { -Self::ZERO };
        if r == Self::ZERO {
            r.copysign(y)
        } else {
            r
        }
    }
    /// The quotient rounded down, as Python's `//`: the exact one, not the floor of a rounded quotient.
    #[inline(always)]
    fn floor_divide(self, y: Self) -> Self {
        let r = self.fmod(y);
        // Whole up to one rounding.
        let q = (self - r) / y - if crosses(r, y) { Self::ONE } else { Self::ZERO };
        let f = q.floor();
        let f = f + if q - f > Self::HALF { Self::ONE } else { Self::ZERO };
        let f = if q == Self::ZERO { q.copysign(self / y) } else { f };
        if y == Self::ZERO {
            self / y
        } else {
            f
        }
    }
}

/// True if the rest `r` of a division that rounds to zero lies on the other side of 0 than the divisor.
#[inline(always)]
fn crosses<T: Real>(r: T, y: T) -> bool {
    (r != T::ZERO) & ((y < T::ZERO) != (r < T::ZERO))
}

/// `horner!(x; c0, c1, ...)` is c0 + c1 x + c2 x² + ...
macro_rules! horner {
    ($x:expr; $c:expr) => { $c };
    ($x:expr; $c:expr, $($rest:expr),+ $(,)?) => { $x.mul_add(horner!($x; $($rest),+), $c) };
}

/// The part of the implementation that reads the same for both types.
macro_rules! implement {
    ($t:ident, $m:ident) => {
        const ZERO: Self = 0.0;
        const HALF: Self = 0.5;
        const ONE: Self = 1.0;
        const TWO: Self = 2.0;
        const PI: Self = std::$t::consts::PI;
        const INF: Self = $t::INFINITY;
        const NAN: Self = $t::NAN;
        const EPS: Self = $t::EPSILON;
        const MIN: Self = $t::MIN;
        const MAX: Self = $t::MAX;
        const TINY: Self = $t::MIN_POSITIVE;
        forward! { $m: exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
        erf erfc erfinv lgamma digamma }
        forward2! { $m: pow atan2 hypot fmod }
        forward! { $t: sqrt floor ceil trunc abs }
        forward2! { $t: copysign }
        #[inline(always)]
        fn of(v: f64) -> Self {
            v as $t
        }
        #[inline(always)]
        fn as_f64(self) -> f64 {
            self as f64
        }
        #[inline(always)]
        fn round(self) -> Self {
            self.round_ties_even()
        }
        #[inline(always)]
        fn mul_add(self, a: Self, b: Self) -> Self {
            $t::mul_add(self, a, b)
        }
        #[inline(always)]
        fn is_nan(self) -> bool {
            $t::is_nan(self)
        }
        #[inline(always)]
        fn is_inf(self) -> bool {
            $t::is_infinite(self)
        }
        #[inline(always)]
        fn is_finite(self) -> bool {
            $t::is_finite(self)
        }
        #[inline(always)]
        fn signbit(self) -> bool {
            self.is_sign_negative()
        }
    };
}
macro_rules! forward {
    ($m:ident: $($name:ident)+) => { $(#[inline(always)] fn $name(self) -> Self { $m::$name(self) })+ };
}
macro_rules! forward2 {
    ($m:ident: $($name:ident)+) => { $(#[inline(always)] fn $name(self, y: Self) -> Self { $m::$name(self, y) })+ };
}

impl Real for f32 {
    implement!(f32, single);
}
impl Real for f64 {
    implement!(f64, double);
}

mod single {
    use super::double;
    use std::f32::consts::{LN_2, LOG2_E};

    /// Adding and subtracting it rounds to a whole number (to even), which then sits in the low bits of the sum.
    const SHIFT: f32 = 12582912.0; // 1.5 * 2^23
    /// ln 2 - LN_2
    const LN_2_REST: f32 = -1.9046542e-9;
    const EXPONENT: u32 = 0xff80_0000;
    /// Where the mantissa range of the logarithms starts: they use [2/3, 4/3).
    const TWO_THIRDS: u32 = 0x3f2a_aaab;

    macro_rules! widened {
        ($($name:ident)+) => { $(#[inline(always)] pub fn $name(x: f32) -> f32 { double::$name(x as f64) as f32 })+ };
    }
    widened! { sinh cosh asinh acosh atanh erfc digamma }

    /// (e^r - 1 for |r| <= ln(2)/2, whole number n shifted by SHIFT) with x = n ln 2 + r.
    #[inline(always)]
    fn exp_parts(x: f32) -> (f32, f32) {
        let t = x.mul_add(LOG2_E, SHIFT);
        let n = t - SHIFT;
        let r = n.mul_add(-LN_2_REST, n.mul_add(-LN_2, x));
        let p = horner! { r; 0.5, 0.16666542, 0.041666616, 0.008366802, 0.0013917176 };
        ((r * r).mul_add(p, r), t)
    }

    /// 2^(n + k) for the shifted n; within the normal range.
    #[inline(always)]
    fn power_of_two(shifted: f32, k: i32) -> f32 {
        f32::from_bits((shifted.to_bits() << 23).wrapping_add(((127 + k) << 23) as u32))
    }

    /// v * 2^n for the shifted n in [-252, 252], in two steps so that it may overflow or become subnormal.
    #[inline(always)]
    fn scale(v: f32, shifted: f32) -> f32 {
        // Only the low bits count, and those of SHIFT and of its half are 0.
        let (a, n) = (shifted.to_bits() >> 1, shifted.to_bits());
        let power = |k: u32| f32::from_bits((k << 23).wrapping_add(127 << 23));
        v * power(a) * power(n.wrapping_sub(a))
    }

    #[inline(always)]
    pub fn exp(x: f32) -> f32 {
        let (p, t) = exp_parts(x.clamp(-104.0, 89.0));
        scale(1.0 + p, t)
    }

    #[inline(always)]
    pub fn exp2(x: f32) -> f32 {
        let x = x.clamp(-151.0, 129.0);
        let t = x + SHIFT;
        let r = x - (t - SHIFT);
        let q = horner! { r; LN_2, 0.2402265, 0.055504058, 0.00961809, 0.0013337003, 0.00015450738, 1.4592635e-5 };
        scale(r.mul_add(q, 1.0), t)
    }

    #[inline(always)]
    pub fn expm1(x: f32) -> f32 {
        let (p, t) = exp_parts(x.clamp(-20.0, 89.0));
        // Half of it, as 2^128 is out of range.
        let s = power_of_two(t, -1);
        let y = 2.0 * s.mul_add(p, s - 0.5);
        if x.abs() < 3e-8 {
            x
        } else {
            y
        }
    }

    #[inline(always)]
    pub fn tanh(x: f32) -> f32 {
        let a = x.abs().clamp(0.0, 10.0);
        let z = a * a;
        let small = (a * z).mul_add(horner! { z; -0.333333, 0.13331936, -0.053784598, 0.020797668, -0.005896134 }, a);
        let (p, t) = exp_parts(2.0 * a);
        let large = 1.0 - 2.0 / (power_of_two(t, 0).mul_add(1.0 + p, 1.0));
        (if a < 0.6 { small } else { large }).copysign(x)
    }

    /// k ln 2 + log(1 + f) for |f| <= 1/3.
    #[inline(always)]
    fn log_sum(k: f32, f: f32) -> f32 {
        let q = horner! { f;
            0.33333224, -0.24999689, 0.2001003, -0.1668548, 0.14011222, -0.12114999, 0.13960387, -0.1319072
        };
        let r = (f * f).mul_add(f.mul_add(q, -0.5), f);
        k.mul_add(LN_2, k.mul_add(LN_2_REST, r))
    }

    #[inline(always)]
    pub fn log(x: f32) -> f32 {
        let subnormal = x < f32::MIN_POSITIVE;
        let v = if subnormal { x * 8388608.0 } else { x };
        let shift = if subnormal { -23.0 } else { 0.0 };
        let e = v.to_bits().wrapping_sub(TWO_THIRDS) & EXPONENT;
        let m = f32::from_bits(v.to_bits().wrapping_sub(e));
        let y = log_sum(((e as i32) >> 23) as f32 + shift, m - 1.0);
        let edge = if x == 0.0 { f32::NEG_INFINITY } else { f32::NAN };
        let y = if x > 0.0 { y } else { edge };
        if x == f32::INFINITY {
            x
        } else {
            y
        }
    }

    #[inline(always)]
    pub fn log1p(x: f32) -> f32 {
        let u = 1.0 + x;
        let e = u.to_bits().wrapping_sub(TWO_THIRDS) & EXPONENT;
        // f = (1 + x) / 2^k - 1 with one rounding; 2^-k alone may be subnormal, hence the 4 and 1/4.
        let s = f32::from_bits(4f32.to_bits().wrapping_sub(e));
        let f = f32::from_bits(x.to_bits().wrapping_sub(e)) + s.mul_add(0.25, -1.0);
        let y = log_sum(((e as i32) >> 23) as f32, f).copysign(x);
        let edge = if x == -1.0 { f32::NEG_INFINITY } else { f32::NAN };
        let y = if x > -1.0 { y } else { edge };
        if x == f32::INFINITY {
            x
        } else {
            y
        }
    }

    /// Sine, cosine and quadrant of x, in f64: the reduction keeps its accuracy there without a second word.
    #[inline(always)]
    fn sin_cos(x: f32) -> (f64, f64, u64) {
        let (r, _, quadrant) = double::reduce_pi(x as f64);
        let z = r * r;
        let s = horner! { z;
            -0.16666666641601158, 0.008333329381973582, -0.00019839333396570415, 2.7182968121496023e-6
        };
        let c = horner! { z; -0.49999999724824823, 0.041666623280878896, -0.0013886762201049437, 2.439028840722724e-5 };
        (r * z.mul_add(s, 1.0), z.mul_add(c, 1.0), quadrant)
    }

    #[inline(always)]
    pub fn sin(x: f32) -> f32 {
        let (s, c, q) = sin_cos(x);
        double::by_quadrant(s, c, q) as f32
    }

    #[inline(always)]
    pub fn cos(x: f32) -> f32 {
        let (s, c, q) = sin_cos(x);
        double::by_quadrant(s, c, q.wrapping_add(1)) as f32
    }

    #[inline(always)]
    pub fn tan(x: f32) -> f32 {
        let (s, c, q) = sin_cos(x);
        double::quotient_by_quadrant(s, c, q) as f32
    }

    #[inline(always)]
    pub fn erf(x: f32) -> f32 {
        let a = x.abs().clamp(0.0, 4.0);
        let z = a * a;
        let q = horner! { z;
            0.12837917, -0.37612632, 0.11283699, -0.026860295, 0.0052039637, -0.00081784435, 8.5206026e-5
        };
        let small = a.mul_add(q, a);
        // -log(1 - erf(a))
        let w = horner! { a;
            -0.00016920267, 1.1294883, 0.6334011, 0.10821992, -0.025080154, 0.004156001, -0.00043132177, 2.0820495e-5
        };
        let (p, t) = exp_parts(-w);
        let s = power_of_two(t, 0);
        let large = 1.0 - s.mul_add(p, s);
        (if a < 0.92 { small } else { large }).copysign(x)
    }

    #[inline(always)]
    pub fn erfinv(x: f32) -> f32 {
        let a = x.abs() as f64;
        let (k, l) = double::log_rough((1.0 - a) * (1.0 + a));
        let w = -k.mul_add(std::f64::consts::LN_2, l);
        let u = w.sqrt() - 3.0;
        let tail = horner! { u;
            2.83297680264452, 1.001675210135921, 0.009445227307287607, -0.007642211752292673, 0.005688306513703018,
            -0.0035703147035523893, 0.0014741311507169227, -0.00011283837692423715, -0.00027882522469320346,
            0.00015505271459858428, -2.674137916271281e-5
        };
        double::erfinv_edges(x as f64, a * if w < 4.84 { double::erfinv_center(w) } else { tail }) as f32
    }

    #[inline(always)]
    pub fn lgamma(x: f32) -> f32 {
        double::lgamma_rough(x as f64) as f32
    }

    #[inline(always)]
    pub fn pow(x: f32, y: f32) -> f32 {
        // e^(y log |x|) in f64, where neither the logarithm's error nor the range of f32 matters.
        let a = x.abs();
        let (k, l) = double::log_rough(a as f64);
        let l = k.mul_add(std::f64::consts::LN_2, l);
        let l = if a == 0.0 { f64::NEG_INFINITY } else { l };
        let l = if a < f32::INFINITY { l } else { a as f64 };
        let v = double::exp_rough((y as f64 * l).clamp(-200.0, 200.0)) as f32;
        let whole = y.trunc() == y;
        let odd = whole & ((y * 0.5).trunc() != y * 0.5);
        let v = if odd { v.copysign(x) } else { v };
        let v = if (x < 0.0) & (a != f32::INFINITY) & !whole { f32::NAN } else { v };
        if (y == 0.0) | (x == 1.0) | ((x == -1.0) & (y.abs() == f32::INFINITY)) {
            1.0
        } else {
            v
        }
    }

    #[inline(always)]
    pub fn atan2(y: f32, x: f32) -> f32 {
        double::angle::<true>(y as f64, x as f64) as f32
    }

    #[inline(always)]
    pub fn hypot(x: f32, y: f32) -> f32 {
        let (x, y) = (x as f64, y as f64);
        let h = x.mul_add(x, y * y).sqrt() as f32;
        if (x.abs() == f64::INFINITY) | (y.abs() == f64::INFINITY) {
            f32::INFINITY
        } else {
            h
        }
    }

    #[inline(always)]
    pub fn fmod(x: f32, y: f32) -> f32 {
        double::fmod(x as f64, y as f64) as f32
    }

    #[inline(always)]
    pub fn log2(x: f32) -> f32 {
        let (k, y) = double::log_rough(x as f64);
        double::log_edges(x as f64, y.mul_add(std::f64::consts::LOG2_E, k)) as f32
    }

    #[inline(always)]
    pub fn log10(x: f32) -> f32 {
        let (k, y) = double::log_rough(x as f64);
        double::log_edges(x as f64, k.mul_add(std::f64::consts::LOG10_2, y * std::f64::consts::LOG10_E)) as f32
    }

    #[inline(always)]
    pub fn atan(x: f32) -> f32 {
        double::angle::<true>(x as f64, 1.0) as f32
    }

    #[inline(always)]
    pub fn asin(x: f32) -> f32 {
        let x = x as f64;
        double::angle::<true>(x, ((1.0 - x) * (1.0 + x)).sqrt()) as f32
    }

    #[inline(always)]
    pub fn acos(x: f32) -> f32 {
        let x = x as f64;
        double::angle::<true>(((1.0 - x) * (1.0 + x)).sqrt(), x) as f32
    }
}

pub(super) mod double {
    use std::f64::consts::{FRAC_2_PI, FRAC_2_SQRT_PI, FRAC_PI_2, FRAC_PI_4, LN_2, LOG10_2, LOG10_E, LOG2_E, PI};

    /// Adding and subtracting it rounds to a whole number (to even), which then sits in the low bits of the sum.
    const SHIFT: f64 = 6755399441055744.0; // 1.5 * 2^52
                                           // What the constants lack: two words hold 106 bits.
    const LN_2_REST: f64 = 2.3190468138462996e-17;
    const LOG10_2_REST: f64 = -2.8037281277851704e-18;
    const PI_2_REST: [f64; 2] = [6.123233995736766e-17, -1.4973849048591698e-33];
    const PI_4_REST: f64 = 3.061616997868383e-17;
    /// 2^600
    const HUGE: f64 = f64::from_bits((1023 + 600) << 52);
    const ONE: u64 = 0x3ff0_0000_0000_0000;
    /// 1/sqrt(2): the mantissa range of the logarithms is [1/sqrt(2), sqrt(2)).
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;

    /// (r with |r| <= ln(2)/2, whole number n shifted by SHIFT) with x = n ln 2 + r.
    #[inline(always)]
    fn reduce_ln2(x: f64) -> (f64, f64) {
        let t = x.mul_add(LOG2_E, SHIFT);
        let n = t - SHIFT;
        (n.mul_add(-LN_2_REST, n.mul_add(-LN_2, x)), t)
    }

    /// (e^r - 1 - r) / r² for |r| <= ln(2)/2.
    #[inline(always)]
    fn expm1_rest(r: f64) -> f64 {
        horner! { r;
            0.5, 0.16666666666666677, 0.041666666666666664, 0.008333333333321287, 0.0013888888888894124,
            0.00019841269887109877, 2.4801587281345637e-5, 2.7557243138121294e-6, 2.755733347351333e-7,
            2.5109435925647455e-8, 2.0889609894703917e-9
        }
    }

    /// e^r - 1 for |r| <= ln(2)/2.
    #[inline(always)]
    fn expm1_poly(r: f64) -> f64 {
        (r * r).mul_add(expm1_rest(r), r)
    }

    /// 2^(n + k) for the shifted n; within the normal range.
    #[inline(always)]
    fn power_of_two(shifted: f64, k: i64) -> f64 {
        f64::from_bits((shifted.to_bits() << 52).wrapping_add(((1023 + k) << 52) as u64))
    }

    /// v * 2^(n + k) for the shifted n, n + k in [-2044, 2044], in two steps so that it may overflow or become subnormal.
    #[inline(always)]
    fn scale(v: f64, shifted: f64, k: i64) -> f64 {
        // Only the low bits count, and those of SHIFT and of its half are 0.
        let n = shifted.to_bits().wrapping_add(k as u64);
        let a = n >> 1;
        let power = |k: u64| f64::from_bits((k << 52).wrapping_add(ONE));
        v * power(a) * power(n.wrapping_sub(a))
    }

    /// e^x 2^k
    #[inline(always)]
    fn exp_scaled(x: f64, k: i64) -> f64 {
        let (r, t) = reduce_ln2(x.clamp(-747.0, 712.0));
        scale(1.0 + expm1_poly(r), t, k)
    }

    #[inline(always)]
    pub fn exp(x: f64) -> f64 {
        exp_scaled(x, 0)
    }

    /// e^x for |x| <= 200 to f32's accuracy.
    #[inline(always)]
    pub fn exp_rough(x: f64) -> f64 {
        let (r, t) = reduce_ln2(x);
        let p = horner! { r;
            0.5000000095337058, 0.16666518677957495, 0.04166620531485638, 0.00836891209842614, 0.0013950616329611624
        };
        let s = power_of_two(t, 0);
        s.mul_add((r * r).mul_add(p, r), s)
    }

    #[inline(always)]
    pub fn exp2(x: f64) -> f64 {
        let x = x.clamp(-1076.0, 1025.0);
        let t = x + SHIFT;
        scale(1.0 + expm1_poly((x - (t - SHIFT)) * LN_2), t, 0)
    }

    /// (e^x - 1) / 4: the quarter keeps 2^1025 in range.
    #[inline(always)]
    fn expm1_quarter(x: f64) -> f64 {
        let (r, t) = reduce_ln2(x.clamp(-40.0, 710.7));
        let s = power_of_two(t, -2);
        let c = s - 0.25;
        // s r + c and its rounding error apart.
        let h = s.mul_add(r, c);
        h + s.mul_add(r * r * expm1_rest(r), s.mul_add(r, c - h))
    }

    #[inline(always)]
    pub fn expm1(x: f64) -> f64 {
        let y = 4.0 * expm1_quarter(x);
        if x.abs() < 1e-17 {
            x
        } else {
            y
        }
    }

    #[inline(always)]
    pub fn sinh(x: f64) -> f64 {
        let q = expm1_quarter(x.abs());
        let y = 2.0 * (q / 4f64.mul_add(q, 1.0)) + 2.0 * q;
        (if x.abs() < 1e-9 { x } else { y }).copysign(x)
    }

    #[inline(always)]
    pub fn cosh(x: f64) -> f64 {
        let h = exp_scaled(x.abs(), -1);
        h + 0.25 / h
    }

    #[inline(always)]
    pub fn tanh(x: f64) -> f64 {
        let t = expm1(2.0 * x.abs().clamp(0.0, 22.0));
        (t / (t + 2.0)).copysign(x)
    }

    /// (k, exponent field of 2^k, biased) with v in 2^k [1/sqrt(2), sqrt(2)).
    #[inline(always)]
    fn exponent(v: f64) -> (f64, u64) {
        let e = v.to_bits().wrapping_add(ONE - SQRT_HALF) >> 52;
        // e + 2^52 in the low bits of an f64 of that size: a conversion that needs no integer instruction.
        (f64::from_bits(e | 0x4330_0000_0000_0000) - (4503599627370496.0 + 1023.0), (e << 52).wrapping_sub(ONE))
    }

    /// (k, f) with x = 2^k (1 + f), for normal x.
    #[inline(always)]
    fn split_normal(x: f64) -> (f64, f64) {
        let (k, e) = exponent(x);
        (k, f64::from_bits(x.to_bits().wrapping_sub(e)) - 1.0)
    }

    /// (k, f) with x = 2^k (1 + f).
    #[inline(always)]
    fn split(x: f64) -> (f64, f64) {
        let subnormal = x < f64::MIN_POSITIVE;
        let (k, f) = split_normal(if subnormal { x * 18014398509481984.0 } else { x });
        (if subnormal { k - 54.0 } else { k }, f)
    }

    /// (f²/2, the rest) with log(1 + f) = f - (f²/2 - rest), from the series in s = f / (2 + f).
    #[inline(always)]
    fn log_parts(f: f64) -> (f64, f64) {
        let s = f / (2.0 + f);
        let z = s * s;
        let p = horner! { z;
            0.6666666666666735, 0.3999999999940935, 0.28571428743686783, 0.2222219842888112, 0.1818357236507396,
            0.1531383174537348, 0.14798264764098862
        };
        let half = 0.5 * f * f;
        (half, s * z.mul_add(p, half))
    }

    /// The logarithm's edge cases: `y` for finite positive numbers.
    #[inline(always)]
    pub fn log_edges(x: f64, y: f64) -> f64 {
        let edge = if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
        let y = if x > 0.0 { y } else { edge };
        if x == f64::INFINITY {
            x
        } else {
            y
        }
    }

    #[inline(always)]
    pub fn log(x: f64) -> f64 {
        let (k, f) = split(x);
        let (half, rest) = log_parts(f);
        log_edges(x, k.mul_add(LN_2, f - (half - k.mul_add(LN_2_REST, rest))))
    }

    /// (k, y) with log(x) = k ln 2 + y to 43 bits, for normal x > 0.
    #[inline(always)]
    pub fn log_rough(x: f64) -> (f64, f64) {
        let (k, f) = split_normal(x);
        let s = f / (2.0 + f);
        let z = s * s;
        let p = horner! { z;
            0.6666666667582052, 0.39999995614618084, 0.28572109979823146, 0.22176152109898295, 0.19584709631453223
        };
        (k, s * z.mul_add(p, 2.0))
    }

    #[inline(always)]
    pub fn log2(x: f64) -> f64 {
        let (k, f) = split(x);
        let (half, rest) = log_parts(f);
        log_edges(x, (f - (half - rest)).mul_add(LOG2_E, k))
    }

    #[inline(always)]
    pub fn log10(x: f64) -> f64 {
        let (k, f) = split(x);
        let (half, rest) = log_parts(f);
        log_edges(x, k.mul_add(LOG10_2, (f - (half - rest)).mul_add(LOG10_E, k * LOG10_2_REST)))
    }

    #[inline(always)]
    pub fn log1p(x: f64) -> f64 {
        let (k, e) = exponent(1.0 + x);
        // f = (1 + x) / 2^k - 1 with one rounding; 2^-k alone may be subnormal, hence the 4 and 1/4.
        let s = f64::from_bits(4f64.to_bits().wrapping_sub(e));
        let f = f64::from_bits(x.to_bits().wrapping_sub(e)) + s.mul_add(0.25, -1.0);
        let (half, rest) = log_parts(f);
        let y = k.mul_add(LN_2, f - (half - k.mul_add(LN_2_REST, rest))).copysign(x);
        let edge = if x == -1.0 { f64::NEG_INFINITY } else { f64::NAN };
        let y = if x > -1.0 { y } else { edge };
        if x == f64::INFINITY {
            x
        } else {
            y
        }
    }

    #[inline(always)]
    pub fn asinh(x: f64) -> f64 {
        let a = x.abs();
        let big = a > 1e18;
        let u = a + a * a / (1.0 + a.mul_add(a, 1.0).sqrt());
        let y = log1p(if big { a } else { u });
        (if big { y + LN_2 } else { y }).copysign(x)
    }

    #[inline(always)]
    pub fn acosh(x: f64) -> f64 {
        let t = x - 1.0;
        let big = x > 1e18;
        let y = log1p(if big { x } else { t + (t * (t + 2.0)).sqrt() });
        let y = if big { y + LN_2 } else { y };
        if x < 1.0 {
            f64::NAN
        } else {
            y
        }
    }

    #[inline(always)]
    pub fn atanh(x: f64) -> f64 {
        let a = x.abs();
        (0.5 * log1p(2.0 * a / (1.0 - a))).copysign(x)
    }

    /// (r, what r lacks, quadrant) with x = quadrant π/2 + r + rest and |r| <= π/4 (a little more for large x).
    ///
    /// The first product and difference are exact, because all three numbers are multiples of 2^-52.
    #[inline(always)]
    pub fn reduce_pi(x: f64) -> (f64, f64, u64) {
        let t = x.mul_add(FRAC_2_PI, SHIFT);
        let n = t - SHIFT;
        let a = n.mul_add(-FRAC_PI_2, x);
        let p = n * PI_2_REST[0];
        let r = a - p;
        let b = r - a;
        let rest = (a - (r - b)) - (p + b) - n.mul_add(PI_2_REST[1], n.mul_add(PI_2_REST[0], -p));
        // n is off by more and more beyond 2^45; keep the polynomials in their range.
        (r.clamp(-0.8, 0.8), rest.clamp(-1e-15, 1e-15), t.to_bits())
    }

    /// sin(r + quadrant π/2) from sin(r) and cos(r).
    #[inline(always)]
    pub fn by_quadrant(s: f64, c: f64, quadrant: u64) -> f64 {
        let v = if quadrant & 1 == 0 { s } else { c };
        f64::from_bits(v.to_bits() ^ ((quadrant & 2) << 62))
    }

    /// tan(r + quadrant π/2) from sin(r) and cos(r).
    #[inline(always)]
    pub fn quotient_by_quadrant(s: f64, c: f64, quadrant: u64) -> f64 {
        let even = quadrant & 1 == 0;
        (if even { s } else { -c }) / (if even { c } else { s })
    }

    /// Sine and cosine of r + rest for |r| <= π/4.
    #[inline(always)]
    fn sin_cos_poly(r: f64, rest: f64) -> (f64, f64) {
        let z = r * r;
        let s = horner! { z;
            -0.16666666666666632, 0.008333333333322486, -0.0001984126982985337, 2.755731370506059e-6,
            -2.5050759887453095e-8, 1.589688626386709e-10
        };
        let c = horner! { z;
            0.0416666666666666, -0.001388888888887447, 2.4801587289666885e-5, -2.755731439925171e-7,
            2.087572899181315e-9, -1.1359917221671286e-11
        };
        let sin = r + (r * z).mul_add(s, rest * z.mul_add(-0.5, 1.0));
        let half = 0.5 * z;
        let w = 1.0 - half;
        let cos = w + ((1.0 - w - half) + (z * z).mul_add(c, -(r * rest)));
        (sin, cos)
    }

    /// Sine, cosine and quadrant of x.
    #[inline(always)]
    fn sin_cos(x: f64) -> (f64, f64, u64) {
        let (r, rest, quadrant) = reduce_pi(x);
        let (s, c) = sin_cos_poly(r, rest);
        (if x == 0.0 { x } else { s }, c, quadrant)
    }

    #[inline(always)]
    pub fn sin(x: f64) -> f64 {
        let (s, c, q) = sin_cos(x);
        by_quadrant(s, c, q)
    }

    #[inline(always)]
    pub fn cos(x: f64) -> f64 {
        let (s, c, q) = sin_cos(x);
        by_quadrant(s, c, q.wrapping_add(1))
    }

    #[inline(always)]
    pub fn tan(x: f64) -> f64 {
        let (s, c, q) = sin_cos(x);
        quotient_by_quadrant(s, c, q)
    }

    /// The angle of the point (x, y); coordinates that are not infinite are below 1e300. `ROUGH` is for f32.
    #[inline(always)]
    pub fn angle<const ROUGH: bool>(y: f64, x: f64) -> f64 {
        let (a, b) = (y.abs(), x.abs());
        let swapped = a > b;
        let (num, den) = (if swapped { b } else { a }, if swapped { a } else { b });
        // inf / inf and 0 / 0 count as 1 / 1 and 0 / 1.
        let infinite = (num == f64::INFINITY) & (den == f64::INFINITY);
        let num = if infinite { 1.0 } else { num };
        let den = if infinite | (den == 0.0) { 1.0 } else { den };
        // Turn by π/4 above tan(π/8).
        let turned = num > 0.41421356237309503 * den;
        let t = (if turned { num - den } else { num }) / (if turned { num + den } else { den });
        let z = t * t;
        let p = if ROUGH {
            horner! { z;
                -0.33333332514392416, 0.1999990516624864, -0.14282041448290556, 0.11045085293493563,
                -0.08478357308529243, 0.04748168302492832
            }
        } else {
            horner! { z;
                -0.333333333333332, 0.19999999999953819, -0.14285714280220538, 0.11111110784676351,
                -0.09090897792802134, 0.07692060834564643, -0.06663110988568098, 0.05847938718423745,
                -0.05039521508415093, 0.03806990558035271, -0.01791287427475568
            }
        };
        let p = (t * z).mul_add(p, t);
        // The angle is eighths * π/4 ± p.
        let eighths: f64 = if turned { 1.0 } else { 0.0 };
        let eighths = if swapped { 2.0 - eighths } else { eighths };
        let negative = x.is_sign_negative();
        let eighths = if negative { 4.0 - eighths } else { eighths };
        let p = if swapped != negative { -p } else { p };
        eighths.mul_add(FRAC_PI_4, eighths.mul_add(PI_4_REST, p)).copysign(y)
    }

    #[inline(always)]
    pub fn atan2(y: f64, x: f64) -> f64 {
        let s = range_scale(y, x);
        angle::<false>(y * s, x * s)
    }

    #[inline(always)]
    pub fn atan(x: f64) -> f64 {
        angle::<false>(x, 1.0)
    }

    #[inline(always)]
    pub fn asin(x: f64) -> f64 {
        angle::<false>(x, ((1.0 - x) * (1.0 + x)).sqrt())
    }

    #[inline(always)]
    pub fn acos(x: f64) -> f64 {
        angle::<false>(((1.0 - x) * (1.0 + x)).sqrt(), x)
    }

    /// A power of two that brings the greater of two magnitudes to where its square, too, is in range.
    #[inline(always)]
    fn range_scale(x: f64, y: f64) -> f64 {
        let m = if x.abs() > y.abs() { x.abs() } else { y.abs() };
        let s = if m > 1e150 { HUGE.recip() } else { 1.0 };
        if m < 1e-150 {
            HUGE
        } else {
            s
        }
    }

    #[inline(always)]
    pub fn hypot(x: f64, y: f64) -> f64 {
        let s = range_scale(x, y);
        let (a, b) = (x * s, y * s);
        let h = a.mul_add(a, b * b).sqrt() / s;
        if (x.abs() == f64::INFINITY) | (y.abs() == f64::INFINITY) {
            f64::INFINITY
        } else {
            h
        }
    }

    /// e^(x²) erfc(x) for x >= 0, as a polynomial in (x - 4) / (x + 4) over 1 + 2x.
    #[inline(always)]
    pub fn erfcx(x: f64) -> f64 {
        let t = (x - 4.0) / (x + 4.0);
        let p = horner! { t;
            1.2329951186255526, -0.13962111684056316, 0.015379652102604982, 0.0680970542547619, -0.10103906603550439,
            0.09373283499627554, -0.06633036582930496, 0.03716751556442099, -0.016197733868939166, 0.005031969800707221,
            -0.0007577745102210118, -0.00019925609787628247, 0.00015062658667771845, -2.439995489444338e-5,
            -1.1234567920559153e-5, 5.708339272201972e-6, 3.139148776288924e-7, -8.190286045102792e-7,
            5.5429941008597965e-8, 1.0076636096495063e-7, -8.334360983081959e-9, -8.187857356130269e-9,
            9.86002830876304e-11
        };
        p / x.mul_add(2.0, 1.0)
    }

    /// (erfc(x), e^(-x²)) for x >= 0.
    #[inline(always)]
    fn erfc_parts(x: f64) -> (f64, f64) {
        let x = x.clamp(0.0, 28.0);
        let square = x * x;
        let e = exp(-square);
        // What the square lacks, to first order.
        let e = x.mul_add(x, -square).mul_add(-e, e);
        (e * erfcx(x), e)
    }

    #[inline(always)]
    pub fn erfc(x: f64) -> f64 {
        let (v, _) = erfc_parts(x.abs());
        let v = if x < 0.0 { 2.0 - v } else { v };
        if x.abs() < 0.5 {
            1.0 - erf_small(x)
        } else {
            v
        }
    }

    /// erf(x) for |x| <= 0.85.
    #[inline(always)]
    fn erf_small(x: f64) -> f64 {
        let z = x * x;
        let p = horner! { z;
            0.12837916709551256, -0.3761263890318329, 0.11283791670931156, -0.02686617064010676, 0.005223977570360001,
            -0.0008548323467612858, 0.0001205518911011904, -1.4921895027880996e-5, 1.6398758478890794e-6,
            -1.569432833097525e-7, 1.066671337204091e-8
        };
        x.mul_add(p, x)
    }

    #[inline(always)]
    pub fn erf(x: f64) -> f64 {
        let a = x.abs();
        let large = 1.0 - erfc_parts(a).0;
        (if a < 0.85 { erf_small(a) } else { large }).copysign(x)
    }

    /// erfinv(x) / x to 29 bits, from w = -log(1 - x²) <= 4.84.
    #[inline(always)]
    pub fn erfinv_center(w: f64) -> f64 {
        horner! { w;
            0.8862269270517502, 0.23201357616236304, 0.011550172694409336, -0.002338041606721384,
            -0.00012276519412306438, 4.114625471360232e-5, 5.4927109355001004e-6, -2.388663171241603e-6,
            2.889608377856703e-7, -1.4977239898339912e-8, 2.3887419601715044e-10
        }
    }

    /// ±inf at ±1, NaN beyond, else `y` with the sign of x.
    #[inline(always)]
    pub fn erfinv_edges(x: f64, y: f64) -> f64 {
        let y = if x.abs() == 1.0 { f64::INFINITY } else { y };
        (if x.abs() <= 1.0 { y } else { f64::NAN }).copysign(x)
    }

    #[inline(always)]
    pub fn erfinv(x: f64) -> f64 {
        let a = x.abs();
        let w = -log((1.0 - a) * (1.0 + a));
        let u = w.sqrt() - 4.0;
        // 21 bits.
        let tail = horner! { u;
            3.8397846420225856, 1.009502858114921, 0.0012481739245442174, -0.0009213892977411075, 0.0003514229243639847,
            -4.027081138400938e-5, 2.151334472768284e-5, -7.682137498479316e-5, 3.802409113637225e-5,
            5.862136486065169e-9, -2.0620425461041248e-6
        };
        let y = a * if w < 4.84 { erfinv_center(w) } else { tail };
        // One step of Halley's method on erf(y) - a triples the bits. The difference is taken where it cancels exactly.
        let (c, e) = erfc_parts(y);
        let error = if a < 0.5 { erf_small(y) - a } else { (1.0 - a) - c };
        let d = error / (FRAC_2_SQRT_PI * e);
        erfinv_edges(x, y - d / y.mul_add(d, 1.0))
    }

    #[inline(always)]
    pub fn lgamma(x: f64) -> f64 {
        libm::lgamma(x)
    }

    /// (q, z) for the recurrences that take Γ from z = a + 8 to a < 8, where q (q + 6) (q + 10) (q + 12) is the product
    /// a (a + 1) ... (a + 7); z = a above.
    #[inline(always)]
    fn gamma_shift(a: f64) -> (f64, f64) {
        (a * (a + 7.0), if a < 8.0 { a + 8.0 } else { a })
    }

    /// Sine and cosine of πx.
    #[inline(always)]
    fn sin_cos_pi(x: f64) -> (f64, f64) {
        let half = (x * 2.0).round_ties_even();
        let (s, c) = sin_cos_poly((x - 0.5 * half) * PI, 0.0);
        let half = half + SHIFT;
        (by_quadrant(s, c, half.to_bits()), by_quadrant(s, c, half.to_bits().wrapping_add(1)))
    }

    /// lgamma(x) with an absolute error of some 1e-14 near its roots: f32's accuracy.
    ///
    /// Stirling's series (DLMF 5.11.1) from a = |x| >= 8, recurrence below, reflection (DLMF 5.5.3) for x < 0.
    #[inline(always)]
    pub fn lgamma_rough(x: f64) -> f64 {
        let a = x.abs();
        let (q, z) = gamma_shift(a);
        let product = if a < 8.0 { q * (q + 6.0) * (q + 10.0) * (q + 12.0) } else { 1.0 };
        let i = 1.0 / z;
        let w = i * i;
        let tail =
            i * horner! { w; 1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360360.0 };
        // log(2π) / 2
        let stirling = (z - 0.5).mul_add(log(z), -z) + (0.9189385332046727 + tail);
        let (s, _) = sin_cos_pi(a);
        let sine = s.abs() * a;
        let l = log(if x < 0.0 { product / sine } else { product });
        // log π
        let y = if x < 0.0 { 1.1447298858494002 - stirling + l } else { stirling - l };
        let y = if (x == 1.0) | (x == 2.0) { 0.0 } else { y };
        if (a == f64::INFINITY) | ((x <= 0.0) & (x == x.trunc())) {
            f64::INFINITY
        } else {
            y
        }
    }

    /// The asymptotic series (DLMF 5.11.2) from |x| >= 8, recurrence (5.5.2) below, reflection (5.5.4) for x < 0.
    #[inline(always)]
    pub fn digamma(x: f64) -> f64 {
        let a = x.abs();
        let (q, z) = gamma_shift(a);
        // The sum of 1 / (a + i), i < 8, is the product's logarithmic derivative.
        let sum =
            (2.0 * a + 7.0) * horner! { q; 720.0, 504.0, 84.0, 4.0 } / (q * horner! { q; 720.0, 252.0, 28.0, 1.0 });
        let i = 1.0 / z;
        let w = i * i;
        let tail = horner! { w; 1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 1.0 / 132.0, -691.0 / 32760.0, 1.0 / 12.0 };
        let y = log(z) - w.mul_add(tail, 0.5 * i) - if a < 8.0 { sum } else { 0.0 };
        let (s, c) = sin_cos_pi(a);
        let y = if x < 0.0 { y + (1.0 / a + PI * c / s) } else { y };
        let y = if (x < 0.0) & (x == x.trunc()) { f64::NAN } else { y };
        if x == 0.0 {
            f64::INFINITY.copysign(-x)
        } else {
            y
        }
    }

    #[inline(always)]
    pub fn pow(x: f64, y: f64) -> f64 {
        x.powf(y)
    }

    #[inline(always)]
    pub fn fmod(x: f64, y: f64) -> f64 {
        let q = x / y;
        if q.abs() < 4503599627370496.0 && y.abs() < f64::INFINITY {
            // q may have been rounded up to the next whole number; the rest has the other sign then. Both sums are exact.
            let r = (-q.trunc()).mul_add(y, x);
            let low = if r.is_sign_negative() == x.is_sign_negative() { 0.0 } else { y.copysign(x) };
            (if r == 0.0 { r } else { r + low }).copysign(x)
        } else {
            fmod_slow(x, y)
        }
    }

    /// Apart and cold: else the loop is vectorised with this call in every lane.
    #[cold]
    #[inline(never)]
    fn fmod_slow(x: f64, y: f64) -> f64 {
        x % y
    }
}

/// Quotient rounded towards minus infinity; `b` is not 0.
#[inline(always)]
pub fn floor_div(a: i64, b: i64) -> i64 {
    let q = a.wrapping_div(b);
    q - ((a.wrapping_rem(b) != 0) & ((a < 0) != (b < 0))) as i64
}

/// What floor division leaves.
#[inline(always)]
pub fn floor_rest(a: i64, b: i64) -> i64 {
    let r = a.wrapping_rem(b);
    r + if (r != 0) & ((r < 0) != (b < 0)) { b } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::Real;

    /// All binary exponents, the ranges where things happen, and the edges.
    fn samples() -> Vec<f32> {
        let mut v: Vec<f32> = (0..=u32::MAX).step_by(80_021).map(f32::from_bits).collect();
        v.extend((-20_000..=20_000).flat_map(|i| [i as f32 * 1e-4, i as f32 * 5e-3]));
        v.extend([0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-45, -1e-45, f32::MAX, f32::MIN]);
        v.extend([88.72284, -87.33655, -103.97, 128.0, 127.99999, -149.0, -150.0, 1e-38, 0.5, -0.5]);
        v
    }

    /// The error of `y` in units of the last place of a float with `digits` bits and least exponent `low`.
    fn ulps(y: f64, want: f64, digits: i32, low: i32) -> f64 {
        let max = if digits == 24 { f32::MAX as f64 } else { f64::MAX };
        let want =
            if want.abs() > max * (1.0 + 0.5f64.powi(digits + 1)) { want.signum() * f64::INFINITY } else { want };
        if y == want || (y.is_nan() && want.is_nan()) {
            return if y == 0.0 && y.is_sign_negative() != want.is_sign_negative() { f64::INFINITY } else { 0.0 };
        }
        let exponent = (((want.to_bits() >> 52) & 0x7ff) as i32 - 1023).max(low);
        let error = (y - want).abs() / f64::exp2((exponent - digits + 1) as f64);
        if error.is_nan() {
            f64::INFINITY
        } else {
            error
        }
    }

    /// Names, function, reference, allowed error in ulps.
    macro_rules! check {
        ($t:ty, $digits:literal, $low:literal, $keep:expr; $($name:ident $reference:expr, $limit:literal;)+) => { $(
            let reference: fn(f64) -> f64 = $reference;
            let (mut worst, mut at) = (0.0, 0.0);
            for x in samples() {
                let x = x as $t;
                if !($keep)(stringify!($name), x as f64) { continue; }
                let e = ulps(<$t as Real>::$name(x) as f64, reference(x as f64), $digits, $low);
                if e > worst { (worst, at) = (e, x); }
            }
            assert!(worst <= $limit, "{} {}({at:e}): {} ulp, {:e} for {:e}", stringify!($t), stringify!($name), worst,
                <$t as Real>::$name(at), reference(at as f64));
        )+ };
    }

    fn sigmoid(x: f64) -> f64 {
        if x < 0.0 {
            x.exp() / (1.0 + x.exp())
        } else {
            1.0 / (1.0 + (-x).exp())
        }
    }

    fn digamma(x: f64) -> f64 {
        if x > 10.0 {
            let z = 1.0 / (x * x);
            x.ln() - 0.5 / x - z * (1.0 / 12.0 - z * (1.0 / 120.0 - z * (1.0 / 252.0 - z * (1.0 / 240.0 - z / 132.0))))
        } else {
            digamma(x + 1.0) - 1.0 / x
        }
    }

    #[test]
    fn f32_accuracy() {
        let keep = |name: &str, x: f64| match name {
            "sin" | "cos" | "tan" => x.is_nan() || x.is_infinite() || x.abs() < 2f64.powi(45),
            "digamma" => x > 0.0,
            _ => true,
        };
        check! { f32, 24, -126, keep;
            exp f64::exp, 1.1;
            exp2 f64::exp2, 1.0;
            expm1 f64::exp_m1, 1.6;
            log f64::ln, 1.0;
            log2 f64::log2, 0.51;
            log10 f64::log10, 0.51;
            log1p f64::ln_1p, 1.5;
            sqrt f64::sqrt, 0.5;
            rsqrt |x| 1.0 / x.sqrt(), 1.5;
            sin f64::sin, 0.51;
            cos f64::cos, 0.51;
            tan f64::tan, 0.51;
            asin f64::asin, 0.51;
            acos f64::acos, 0.51;
            atan f64::atan, 0.51;
            sinh f64::sinh, 0.51;
            cosh f64::cosh, 0.51;
            tanh f64::tanh, 1.5;
            asinh libm::asinh, 0.51;
            acosh |x| if x < 1.0 { f64::NAN } else { libm::acosh(x) }, 0.51;
            atanh libm::atanh, 0.51;
            sigmoid sigmoid, 2.0;
            erf libm::erf, 1.2;
            erfc libm::erfc, 0.51;
            erfinv <f64 as Real>::erfinv, 0.6;
            lgamma libm::lgamma, 1.0;
            digamma digamma, 0.51;
            round f64::round_ties_even, 0.0;
            floor f64::floor, 0.0;
            ceil f64::ceil, 0.0;
            trunc f64::trunc, 0.0;
        }
    }

    #[test]
    fn f64_accuracy() {
        // The references are off by up to one ulp themselves.
        let keep = |name: &str, x: f64| match name {
            "sin" | "cos" | "tan" => x.is_nan() || x.is_infinite() || x.abs() < 2f64.powi(45),
            _ => true,
        };
        check! { f64, 53, -1022, keep;
            exp f64::exp, 2.0;
            exp2 f64::exp2, 2.0;
            expm1 f64::exp_m1, 2.0;
            log f64::ln, 2.0;
            log2 f64::log2, 2.0;
            log10 f64::log10, 2.0;
            log1p f64::ln_1p, 2.0;
            sin f64::sin, 1.0;
            cos f64::cos, 1.0;
            tan f64::tan, 2.0;
            asin f64::asin, 3.0;
            acos f64::acos, 3.0;
            atan f64::atan, 2.0;
            sinh f64::sinh, 3.0;
            cosh f64::cosh, 2.0;
            tanh f64::tanh, 3.0;
            asinh libm::asinh, 4.0;
            acosh |x| if x < 1.0 { f64::NAN } else { libm::acosh(x) }, 4.0;
            atanh libm::atanh, 4.0;
            erf libm::erf, 2.0;
            erfc libm::erfc, 4.0;
        }
        for i in -999..1000 {
            let x = i as f64 * 1e-3;
            // The step from 0.999 to the slope of erf amplifies the rounding of erf itself.
            let y = Real::erfinv(x);
            let slope = std::f64::consts::FRAC_2_SQRT_PI * (-y * y).exp();
            assert!((libm::erf(y) - x).abs() <= 4.0 * f64::EPSILON * (y.abs() * slope + x.abs()), "erfinv({x}) = {y}");
        }
        // Beyond the range of f32.
        for x in [710.0, 710.4, 711.0, -745.0, -745.2, -746.0, 1e300, 1e-310, 5e-324] {
            assert!(ulps(Real::exp(x), x.exp(), 53, -1022) <= 1.0, "exp({x})");
            assert!(ulps(Real::sinh(x), x.sinh(), 53, -1022) <= 3.0, "sinh({x})");
            assert!(ulps(Real::cosh(x), x.cosh(), 53, -1022) <= 2.0, "cosh({x})");
            assert!(ulps(Real::log(x), x.ln(), 53, -1022) <= 1.0, "log({x})");
            assert!(ulps(Real::asinh(x), libm::asinh(x), 53, -1022) <= 3.0, "asinh({x})");
            assert!(ulps(Real::atan2(x, 1e300), x.atan2(1e300), 53, -1022) <= 2.0, "atan2({x})");
            assert!(ulps(Real::hypot(x, 1e300), x.hypot(1e300), 53, -1022) <= 2.0, "hypot({x})");
        }
        assert!((0..=22).all(|k| Real::log10(10f64.powi(k)) == k as f64));
        assert!((-1074..1024).all(|k| Real::log2(Real::exp2(k as f64)) == k as f64));
    }

    #[test]
    fn two_arguments() {
        let edges = [0.0, 1.0, 2.0, 0.5, 3.0, 2.5, 1e-3, 7.0, 1e10, 3e38, 1e-40, 16777217.0, f32::INFINITY];
        let mut v: Vec<f32> = edges.iter().flat_map(|&x| [x, -x]).collect();
        v.push(f32::NAN);
        v.extend((0..u32::MAX).step_by(30_000_001).map(f32::from_bits));
        for &x in &v {
            for &y in &v {
                let (a, b) = (x as f64, y as f64);
                let close = |got: f32, want: f64, limit: f64, what: &str| {
                    assert!(ulps(got as f64, want, 24, -126) <= limit, "{what}({x}, {y}) = {got}, not {want}");
                };
                close(Real::pow(x, y), a.powf(b), 0.6, "pow");
                close(Real::atan2(x, y), a.atan2(b), 0.51, "atan2");
                close(Real::hypot(x, y), a.hypot(b), 0.51, "hypot");
                close(Real::fmod(x, y), a % b, 0.0, "fmod");
                // Of f32 values held in f64 both have the same rest.
                close(Real::fmod(a, b) as f32, a % b, 0.0, "f64 fmod");
                let max = if x.is_nan() || y.is_nan() { f64::NAN } else { a.max(b) };
                close(Real::maximum(x, y).abs(), max.abs(), 0.0, "maximum");
                close(-Real::minimum(-x, -y).abs(), -max.abs(), 0.0, "minimum");
                close(Real::fmax(x, y).abs(), a.max(b).abs(), 0.0, "fmax");
                close(-Real::fmin(-x, -y).abs(), -a.max(b).abs(), 0.0, "fmin");
            }
        }
    }

    #[test]
    fn division_rounds_down() {
        for x in -50..50 {
            for y in (-9..10).filter(|&y| y != 0) {
                let (q, r) = ((x as f64 / y as f64).floor(), (x - (x as f64 / y as f64).floor() as i32 * y) as f64);
                // Scaled by a power of two, nothing changes; the quotients by tenths are not those of the rounded numbers.
                for s in [1.0, 0.125, 2f64.powi(60)] {
                    assert_eq!(Real::floor_divide(x as f64 * s, y as f64 * s), q, "{x} // {y}");
                    assert_eq!(Real::remainder(x as f64 * s, y as f64 * s), r * s, "{x} % {y}");
                    assert_eq!(
                        Real::floor_divide((x as f64 * s) as f32, (y as f64 * s) as f32),
                        q as f32,
                        "{x} // {y}"
                    );
                    assert_eq!(
                        Real::remainder((x as f64 * s) as f32, (y as f64 * s) as f32),
                        (r * s) as f32,
                        "{x} % {y}"
                    );
                }
            }
        }
        // 1.0 is less than ten times the f64 next to 0.1.
        assert_eq!(Real::floor_divide(1.0, 0.1), 9.0);
        assert_eq!(Real::floor_divide(1.0, 0.0), f64::INFINITY);
        assert!(Real::floor_divide(0.0f32, 0.0).is_nan() && Real::remainder(1.0f32, 0.0).is_nan());
        assert_eq!(Real::remainder(-1.0, f64::INFINITY), f64::INFINITY);
        assert!(Real::floor_divide(-0.0, 3.0f64).is_sign_negative());
        // A rest of 0 has the sign of the divisor too.
        for (x, y) in [(-0.0f64, 3.0f64), (-1.0, 1.0), (1.0, -1.0), (0.0, -2.0), (4.0, 2.0)] {
            assert_eq!(Real::remainder(x, y).is_sign_negative(), y < 0.0, "{x} % {y}");
            assert_eq!(Real::remainder(x as f32, y as f32).is_sign_negative(), y < 0.0, "{x} % {y}");
        }
    }

    #[test]
    fn large_angles_stay_in_range() {
        for x in [1e15, 1e20, 1e38, -3e38] {
            assert!(Real::sin(x).abs() <= 1.0 && Real::cos(x).abs() <= 1.0f64);
            assert!(Real::sin(x as f32).abs() <= 1.0 && Real::cos(x as f32).abs() <= 1.0);
        }
        assert!(Real::sin(f64::MAX).abs() <= 1.0 && Real::cos(f64::MIN).abs() <= 1.0);
    }

    /// Each SIMD level must give the bits of the baseline.
    macro_rules! same_bits {
        ($t:ty: $($name:ident)+) => { $({
            #[inline(always)]
            fn body(x: &[$t], y: &mut [$t]) {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = Real::$name(x);
                }
            }
            let x: Vec<$t> = samples().into_iter().step_by(7).map(|x| x as $t).collect();
            let mut want = vec![0.0; x.len()];
            body(&x, &mut want);
            for &level in Level::ALL.iter().filter(|level| **level <= supported()) {
                let mut got = vec![0.0; x.len()];
                // SAFETY: only levels that the CPU supports.
                unsafe { compiled_for(level, &x, &mut got) };
                for i in 0..x.len() {
                    let same = got[i].to_bits() == want[i].to_bits() || (got[i].is_nan() && want[i].is_nan());
                    assert!(same, "{level:?} {}({}) = {}, not {}", stringify!($name), x[i], got[i], want[i]);
                }
            }
            unsafe fn compiled_for(level: Level, x: &[$t], y: &mut [$t]) {
                crate::at_level!(level, body<>(x: &[$t], y: &mut [$t]))
            }
        })+ };
    }

    #[test]
    fn levels_agree() {
        use crate::simd::{supported, Level};
        same_bits! { f32: exp exp2 expm1 log log2 log10 log1p rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh
        atanh sigmoid erf erfc erfinv lgamma digamma round floor sign }
        same_bits! { f64: exp exp2 expm1 log log2 log10 log1p rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh
        atanh sigmoid erf erfc erfinv digamma round floor sign }
    }
}
