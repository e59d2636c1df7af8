//! Complex numbers: functions, computed in f64, and loops over them. What only moves or adds up complex numbers has no loops
//! of its own: it sees pairs of real ones.
#![allow(clippy::missing_safety_doc)]

use super::elementwise::Params;
use super::math::Real;
pub use crate::dtype::Complex;
use std::f64::consts::{FRAC_PI_2, LN_2, PI};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// What functions are computed in.
pub type C = Complex<f64>;

/// A complex number.
#[inline(always)]
pub const fn c(re: f64, im: f64) -> C {
    Complex { re, im }
}

impl Add for C {
    type Output = C;
    #[inline(always)]
    fn add(self, o: C) -> C {
        c(self.re + o.re, self.im + o.im)
    }
}
impl Sub for C {
    type Output = C;
    #[inline(always)]
    fn sub(self, o: C) -> C {
        c(self.re - o.re, self.im - o.im)
    }
}
impl Neg for C {
    type Output = C;
    #[inline(always)]
    fn neg(self) -> C {
        c(-self.re, -self.im)
    }
}
impl Mul for C {
    type Output = C;
    #[inline(always)]
    fn mul(self, o: C) -> C {
        c(self.re * o.re - self.im * o.im, self.re * o.im + self.im * o.re)
    }
}
impl Mul<f64> for C {
    type Output = C;
    #[inline(always)]
    fn mul(self, o: f64) -> C {
        c(self.re * o, self.im * o)
    }
}
impl Div for C {
    type Output = C;
    /// Scaled by the larger part of the divisor (Smith 1962).
    #[inline(always)]
    fn div(self, o: C) -> C {
        let (a, b) = (o.re.abs(), o.im.abs());
        if a >= b {
            if a == 0.0 {
                return c(self.re / a, self.im / b);
            }
            let r = o.im / o.re;
            let d = 1.0 / (o.re + o.im * r);
            c((self.re + self.im * r) * d, (self.im - self.re * r) * d)
        } else {
            let r = o.re / o.im;
            let d = 1.0 / (o.im + o.re * r);
            c((self.re * r + self.im) * d, (self.im * r - self.re) * d)
        }
    }
}

const ONE: C = c(1.0, 0.0);

impl Complex<f64> {
    /// The conjugate.
    #[inline(always)]
    pub fn conj(self) -> C {
        c(self.re, -self.im)
    }
    /// The absolute value.
    pub fn abs(self) -> f64 {
        self.re.hypot(self.im)
    }
    /// The square of the absolute value.
    #[inline(always)]
    pub fn square_abs(self) -> f64 {
        self.re * self.re + self.im * self.im
    }
    /// The angle from -pi to pi; NaN for NaN.
    pub fn arg(self) -> f64 {
        self.im.atan2(self.re)
    }
    /// True if it is not 0.
    #[inline(always)]
    pub fn holds(self) -> bool {
        self.re != 0.0 || self.im != 0.0
    }
    /// `z / |z|`; 0 for 0.
    pub fn sgn(self) -> C {
        let r = self.abs();
        if r == 0.0 {
            c(0.0, 0.0)
        } else {
            c(self.re / r, self.im / r)
        }
    }
    /// `i z`
    #[inline(always)]
    fn turned(self) -> C {
        c(-self.im, self.re)
    }
    /// `-i z`
    #[inline(always)]
    fn turned_back(self) -> C {
        c(self.im, -self.re)
    }
    /// e^z
    pub fn exp(self) -> C {
        let e = self.re.exp();
        if self.im == 0.0 {
            return c(e, self.im);
        }
        if self.re == f64::NEG_INFINITY && !self.im.is_finite() {
            return c(0.0, 0.0);
        }
        let (s, k) = self.im.sin_cos();
        c(e * k, e * s)
    }
    /// 2^z
    pub fn exp2(self) -> C {
        (self * LN_2).exp()
    }
    /// e^z - 1, accurate near 0.
    pub fn expm1(self) -> C {
        let half = (self.im * 0.5).sin();
        c(self.re.exp_m1() * self.im.cos() - 2.0 * half * half, self.re.exp() * self.im.sin())
    }
    /// Natural logarithm.
    pub fn log(self) -> C {
        let r = self.abs();
        // Near the unit circle the square is known better than its root.
        let re = if (0.5..2.0).contains(&r) {
            let (a, b) = (self.re.abs().max(self.im.abs()), self.re.abs().min(self.im.abs()));
            ((a - 1.0) * (a + 1.0) + b * b).ln_1p() * 0.5
        } else {
            r.ln()
        };
        c(re, self.arg())
    }
    /// log(1 + z), accurate near 0.
    pub fn log1p(self) -> C {
        let z = c(1.0 + self.re, self.im);
        if self.re.abs() > 0.5 || self.im.abs() > 0.5 {
            return z.log();
        }
        c((self.re * (2.0 + self.re) + self.im * self.im).ln_1p() * 0.5, z.arg())
    }
    /// Square root.
    pub fn sqrt(self) -> C {
        if self.re == 0.0 && self.im == 0.0 {
            return c(0.0, self.im);
        }
        if self.im.is_infinite() {
            return c(f64::INFINITY, self.im);
        }
        if self.re.is_infinite() {
            return match self.re > 0.0 {
                true => c(self.re, if self.im.is_nan() { self.im } else { self.im * 0.0 }),
                false if self.im.is_nan() => c(f64::NAN, f64::INFINITY),
                false => c(0.0, f64::INFINITY.copysign(self.im)),
            };
        }
        // In eighths, so that nothing overflows.
        let t = ((self.re.abs() * 0.125) + (self.re * 0.125).hypot(self.im * 0.125)).sqrt() * 2.0;
        if self.re >= 0.0 {
            c(t, self.im / (2.0 * t))
        } else {
            c(self.im.abs() / (2.0 * t), t.copysign(self.im))
        }
    }
    /// 1 / sqrt(z)
    pub fn rsqrt(self) -> C {
        ONE / self.sqrt()
    }
    /// z^w
    pub fn pow(self, w: C) -> C {
        if !w.holds() {
            return ONE;
        }
        if !self.holds() && w.re > 0.0 {
            return c(0.0, 0.0);
        }
        (w * self.log()).exp()
    }
    /// Hyperbolic sine.
    pub fn sinh(self) -> C {
        if self.im == 0.0 {
            return c(self.re.sinh(), self.im);
        }
        let (s, k) = self.im.sin_cos();
        c(self.re.sinh() * k, self.re.cosh() * s)
    }
    /// Hyperbolic cosine.
    pub fn cosh(self) -> C {
        if self.im == 0.0 {
            return c(self.re.cosh(), self.im * self.re.sinh().signum());
        }
        let (s, k) = self.im.sin_cos();
        c(self.re.cosh() * k, self.re.sinh() * s)
    }
    /// Hyperbolic tangent (Kahan 1987).
    pub fn tanh(self) -> C {
        if self.re.abs() > 20.0 {
            let tail = if self.im.is_finite() { 4.0 * self.im.sin() * self.im.cos() } else { 0.0 };
            return c(1f64.copysign(self.re), tail * (-2.0 * self.re.abs()).exp());
        }
        let (t, s) = (self.im.tan(), self.re.sinh());
        let (beta, rho) = (1.0 + t * t, (1.0 + s * s).sqrt());
        let d = 1.0 + beta * s * s;
        c(beta * rho * s / d, t / d)
    }
    /// Sine.
    pub fn sin(self) -> C {
        self.turned().sinh().turned_back()
    }
    /// Cosine.
    pub fn cos(self) -> C {
        self.turned().cosh()
    }
    /// Tangent.
    pub fn tan(self) -> C {
        self.turned().tanh().turned_back()
    }
    /// Inverse hyperbolic sine (Kahan 1987, as the next ones).
    pub fn asinh(self) -> C {
        if self.re.abs() > 1e150 || self.im.abs() > 1e150 {
            // log(2 z), up to the sign.
            let far = c(self.re.abs(), self.im).log();
            return c((far.re + LN_2).copysign(self.re), far.im);
        }
        let (s, t) = (c(1.0 + self.im, -self.re).sqrt(), c(1.0 - self.im, self.re).sqrt());
        c((s.re * t.im - t.re * s.im).asinh(), self.im.atan2(s.re * t.re - s.im * t.im))
    }
    /// Inverse sine.
    pub fn asin(self) -> C {
        self.turned().asinh().turned_back()
    }
    /// Inverse cosine.
    pub fn acos(self) -> C {
        if self.re.abs() > 1e150 || self.im.abs() > 1e150 {
            let re = self.im.abs().atan2(self.re);
            return c(re, -(self.log().re + LN_2).copysign(self.im));
        }
        let (s, t) = (c(1.0 - self.re, -self.im).sqrt(), c(1.0 + self.re, self.im).sqrt());
        c(2.0 * s.re.atan2(t.re), (t.re * s.im - t.im * s.re).asinh())
    }
    /// Inverse hyperbolic cosine.
    pub fn acosh(self) -> C {
        if self.re.abs() > 1e150 || self.im.abs() > 1e150 {
            return c(self.log().re + LN_2, self.arg());
        }
        let (s, t) = (c(self.re - 1.0, self.im).sqrt(), c(self.re + 1.0, self.im).sqrt());
        c((s.re * t.re + s.im * t.im).asinh(), 2.0 * s.im.atan2(t.re))
    }
    /// Inverse hyperbolic tangent.
    pub fn atanh(self) -> C {
        if self.re.is_sign_negative() {
            return -(-self).atanh();
        }
        let y = self.im.abs();
        if self.re > 1e150 || y > 1e150 {
            let h = (self.re * 0.5).hypot(self.im * 0.5);
            return c(self.re / 4.0 / h / h, FRAC_PI_2.copysign(self.im));
        }
        if self.re == 1.0 && y < 1e-154 {
            return if y == 0.0 {
                c(f64::INFINITY, self.im)
            } else {
                c(-(y.sqrt() / (y.hypot(2.0)).sqrt()).ln(), (2f64.atan2(-y) * 0.5).copysign(self.im))
            };
        }
        let d = (1.0 - self.re) * (1.0 - self.re) + y * y;
        let re = (4.0 * self.re / d).ln_1p() * 0.25;
        let im = -(-2.0 * self.im).atan2((1.0 - self.re) * (1.0 + self.re) - y * y) * 0.5;
        c(re, im)
    }
    /// Inverse tangent.
    pub fn atan(self) -> C {
        self.turned().atanh().turned_back()
    }
    /// 1 / (1 + e^-z)
    pub fn sigmoid(self) -> C {
        ONE / (ONE + (-self).exp())
    }
    /// sin(pi z) / (pi z); 1 at 0.
    pub fn sinc(self) -> C {
        if !self.holds() {
            return ONE;
        }
        let z = self * PI;
        z.sin() / z
    }
    /// log(e^z + e^w) without overflow.
    pub fn log_add(self, w: C) -> C {
        let (high, low) = if self.re >= w.re || self.re.is_nan() { (self, w) } else { (w, self) };
        if high.re.is_infinite() && low == high {
            return high;
        }
        if high.re == f64::NEG_INFINITY {
            return high;
        }
        high + (low - high).exp().log1p()
    }
}

/// Element `i` of a block.
#[inline(always)]
pub unsafe fn get<T: Real>(p: *const u8, i: usize) -> C {
    let z = *p.cast::<Complex<T>>().add(i);
    c(z.re.as_f64(), z.im.as_f64())
}
/// Writes element `i` of a block.
#[inline(always)]
pub unsafe fn put<T: Real>(p: *mut u8, i: usize, z: C) {
    *p.cast::<Complex<T>>().add(i) = Complex { re: T::of(z.re), im: T::of(z.im) };
}
/// Writes a real element.
#[inline(always)]
pub unsafe fn put_real<T: Real>(p: *mut u8, i: usize, v: f64) {
    *p.cast::<T>().add(i) = T::of(v);
}
/// Writes a truth value.
#[inline(always)]
pub unsafe fn put_truth<T: Real>(p: *mut u8, i: usize, v: bool) {
    *p.add(i) = v as u8;
}
/// Element `i` of a block of real numbers.
#[inline(always)]
pub unsafe fn get_real<T: Real>(p: *const u8, i: usize) -> f64 {
    (*p.cast::<T>().add(i)).as_f64()
}

/// Number `k` of those that a complex op hands to its loop.
#[inline(always)]
pub fn number(p: &Params, k: usize) -> C {
    c(p.f[2 * k], p.f[2 * k + 1])
}

/// The product, or another fold by `f`, of lines of `n` elements: `x` [outer, n, inner] gives `out` [outer, inner].
pub unsafe fn fold<T: Real>(x: *const u8, out: *mut u8, [outer, n, inner]: [usize; 3], first: C, f: fn(C, C) -> C) {
    for o in 0..outer {
        for i in 0..inner {
            let line = (0..n).map(|k| get::<T>(x, (o * n + k) * inner + i));
            put::<T>(out, o * inner + i, line.fold(first, f));
        }
    }
}

/// The folds by `f` of the elements so far; `x` and `out`, [outer, n, inner], may be one.
pub unsafe fn scan<T: Real>(x: *const u8, out: *mut u8, [outer, n, inner]: [usize; 3], first: C, f: fn(C, C) -> C) {
    for o in 0..outer {
        for i in 0..inner {
            let mut v = first;
            for k in 0..n {
                let at = (o * n + k) * inner + i;
                v = f(v, get::<T>(x, at));
                put::<T>(out, at, v);
            }
        }
    }
}

/// `complex_loops!(put |a, b; p| ...)`: loops over pairs of f32 and of f64, computed in f64. `put` says what is written, and
/// `get` before it what is read if that is not complex.
#[macro_export]
macro_rules! complex_loops {
    ($put:ident |$($x:ident),+; $p:ident| $b:expr) => { $crate::complex_loops!(get $put |$($x),+; $p| $b) };
    ($get:ident $put:ident |$($x:ident),+; $p:ident| $b:expr) => {{
        unsafe fn run<T: $crate::kernels::math::Real>(
            ins: &[*const u8; 3],
            out: *mut u8,
            n: usize,
            $p: &$crate::kernels::elementwise::Params,
        ) {
            #[allow(unused_imports)]
            use $crate::kernels::complex::{self as engine, c};
            // Some loops have no parameters.
            let _ = $p;
            for i in 0..n {
                let mut operands = ins.iter();
                $(let $x = engine::$get::<T>(match operands.next() { Some(p) => *p, None => return }, i);)+
                engine::$put::<T>(out, i, $b);
            }
        }
        (run::<f32> as $crate::kernels::elementwise::Loop, run::<f64> as $crate::kernels::elementwise::Loop)
    }};
}

/// The loops of a [`kernel!`] and, for complex numbers, those of [`complex_loops!`].
#[macro_export]
macro_rules! with_complex {
    ($k:expr, $put:ident |$($x:ident),+; $p:ident| $b:expr) => {{
        const OF_REAL: &$crate::kernels::elementwise::Loops = $k;
        const OF_PAIRS: ($crate::kernels::elementwise::Loop, $crate::kernels::elementwise::Loop) =
            $crate::complex_loops!($put |$($x),+; $p| $b);
        const WITH_COMPLEX: &$crate::kernels::elementwise::Loops =
            &$crate::kernels::elementwise::Loops { c64: Some(OF_PAIRS.0), c128: Some(OF_PAIRS.1), ..*OF_REAL };
        WITH_COMPLEX
    }};
}

/// The loops of a [`kernel!`], which do the same with both parts of a complex number.
#[macro_export]
macro_rules! by_parts {
    ($k:expr) => {{
        use $crate::kernels::elementwise::{Loops, Params};
        const OF_REAL: &Loops = $k;
        unsafe fn single(x: &[*const u8; 3], out: *mut u8, n: usize, p: &Params) {
            if let Some(f) = OF_REAL.f32 {
                f(x, out, 2 * n, p)
            }
        }
        unsafe fn double(x: &[*const u8; 3], out: *mut u8, n: usize, p: &Params) {
            if let Some(f) = OF_REAL.f64 {
                f(x, out, 2 * n, p)
            }
        }
        const WITH_COMPLEX: &Loops = &Loops { c64: Some(single), c128: Some(double), ..*OF_REAL };
        WITH_COMPLEX
    }};
}
