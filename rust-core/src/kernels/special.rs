//! Special functions of single numbers, in f64.

use super::math::Real;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_PI_4, PI};

/// Euler's constant.
const GAMMA: f64 = 0.577_215_664_901_532_9;
/// Where asymptotic series are good to the last digit.
const FAR: f64 = 20.0;

/// `1 + a1 + a1 a2 + ..`, until the terms count no more.
fn sum_of_products(ratio: impl Fn(f64) -> f64) -> f64 {
    let (mut sum, mut term) = (1.0f64, 1.0f64);
    for k in 1..500 {
        term *= ratio(f64::from(k));
        sum += term;
        if term.abs() <= sum.abs() * 1e-17 {
            break;
        }
    }
    sum
}

/// The series of Hankel's expansions in `1 / x` (DLMF 10.17.1), whose terms have one sign if `sign` is 1.
fn hankel(order: f64, x: f64, sign: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0f64);
    for k in 1..60 {
        let odd = f64::from(2 * k - 1);
        let next = term * sign * (4.0 * order * order - odd * odd) / (f64::from(8 * k) * x);
        // They fall at first, then rise again.
        if next.abs() > term.abs() && k > 2 || next == 0.0 {
            break;
        }
        term = next;
        sum += term;
    }
    sum
}

// ---- modified Bessel functions ----

/// `e^-|x| I0(x)`: the power series (DLMF 10.25.2), for large numbers the one in `1 / x` (10.40.1).
pub fn i0e(x: f64) -> f64 {
    let x = x.abs();
    if x < FAR {
        let q = x * x / 4.0;
        return sum_of_products(|k| q / (k * k)) * (-x).exp();
    }
    if x.is_infinite() {
        return 0.0;
    }
    hankel(0.0, x, -1.0) / (2.0 * PI * x).sqrt()
}

/// `e^-|x| I1(x)`.
pub fn i1e(x: f64) -> f64 {
    let size = x.abs();
    let y = if size < FAR {
        let q = size * size / 4.0;
        sum_of_products(|k| q / (k * (k + 1.0))) * (-size).exp() * size / 2.0
    } else if size.is_infinite() {
        0.0
    } else {
        hankel(1.0, size, -1.0) / (2.0 * PI * size).sqrt()
    };
    y.copysign(x)
}

/// `e^x y`, in two steps, so that it overflows only where the product does.
fn grown(y: f64, x: f64) -> f64 {
    if y == 0.0 && x.is_infinite() {
        return f64::INFINITY;
    }
    let half = (x / 2.0).exp();
    y * half * half
}

/// `I0(x)`.
pub fn i0(x: f64) -> f64 {
    grown(i0e(x), x.abs())
}

/// `I1(x)`.
pub fn i1(x: f64) -> f64 {
    if x.is_infinite() {
        return x;
    }
    grown(i1e(x), x.abs())
}

/// `e^x K(x)` of an order up to 1, for x >= 1: the integral over `cosh` (DLMF 10.32.9) by the trapezoidal rule, which converges
/// faster than any power of the step; for large numbers the series in `1 / x` (10.40.2).
fn ke(order: f64, x: f64) -> f64 {
    const STEP: f64 = 0.125;
    if x >= FAR {
        return hankel(order, x, 1.0) * (PI / (2.0 * x)).sqrt();
    }
    let mut sum = 0.5;
    for k in 1..64 {
        let t = STEP * f64::from(k);
        let half = (t / 2.0).sinh();
        let e = (-2.0 * x * half * half).exp() * (order * t).cosh();
        sum += e;
        if e < sum * 1e-18 {
            break;
        }
    }
    sum * STEP
}

/// `e^x K0(x)`; for small numbers by the power series (DLMF 10.31.2).
pub fn k0e(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY;
    }
    if x < 0.0 || x.is_nan() {
        return f64::NAN;
    }
    if x >= 1.0 {
        return if x.is_infinite() { 0.0 } else { ke(0.0, x) };
    }
    let (q, log) = (x * x / 4.0, (x / 2.0).ln() + GAMMA);
    let (mut sum, mut term, mut harmonic) = (-log, 1.0, 0.0);
    for k in 1..20 {
        let k = f64::from(k);
        term *= q / (k * k);
        harmonic += 1.0 / k;
        sum += term * (harmonic - log);
    }
    sum * x.exp()
}

/// `e^x K1(x)`; for small numbers by the power series (DLMF 10.31.1).
pub fn k1e(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY;
    }
    if x < 0.0 || x.is_nan() {
        return f64::NAN;
    }
    if x >= 1.0 {
        return if x.is_infinite() { 0.0 } else { ke(1.0, x) };
    }
    let (q, log) = (x * x / 4.0, (x / 2.0).ln());
    let (mut sum, mut term, mut harmonic) = (0.0, 1.0, 0.0);
    for k in 0..20 {
        let k = f64::from(k);
        // psi(k + 1) + psi(k + 2)
        let psi = 2.0 * (harmonic - GAMMA) + 1.0 / (k + 1.0);
        sum += term * (log - psi / 2.0);
        term *= q / ((k + 1.0) * (k + 2.0));
        harmonic += 1.0 / (k + 1.0);
    }
    (1.0 / x + sum * x / 2.0) * x.exp()
}

/// `K0(x)`.
pub fn k0(x: f64) -> f64 {
    k0e(x) * (-x).exp()
}

/// `K1(x)`.
pub fn k1(x: f64) -> f64 {
    k1e(x) * (-x).exp()
}

// ---- Bessel and Airy functions ----

/// `J1(x)`, odd.
pub fn j1(x: f64) -> f64 {
    libm::j1(x)
}

/// `Y0(x)`: -infinity at 0, not a number below.
pub fn y0(x: f64) -> f64 {
    if x < 0.0 {
        f64::NAN
    } else {
        libm::y0(x)
    }
}

/// `Y1(x)`: -infinity at 0, not a number below.
pub fn y1(x: f64) -> f64 {
    if x < 0.0 {
        f64::NAN
    } else {
        libm::y1(x)
    }
}

/// `sin(x) / x`; 1 at 0.
pub fn spherical_j0(x: f64) -> f64 {
    if x.is_infinite() {
        0.0
    } else if x.abs() < 0.5 {
        let q = x * x;
        sum_of_products(|k| -q / (2.0 * k * (2.0 * k + 1.0)))
    } else {
        libm::sin(x) / x
    }
}

/// Airy's function Ai: by `K` of order 1/3 on the right (DLMF 9.6.2), by the series in `1 / x` far to the left (9.7.9), and
/// between by the power series of `y'' = x y`, anew at each half step from 0.
pub fn airy_ai(x: f64) -> f64 {
    if x.is_infinite() {
        return if x > 0.0 { 0.0 } else { f64::NAN };
    }
    let zeta = 2.0 / 3.0 * x.abs() * x.abs().sqrt();
    if x > 1.25 {
        return ke(1.0 / 3.0, zeta) * (-zeta).exp() * (x / 3.0).sqrt() / PI;
    }
    if x < -9.5 {
        // Terms u(k) / zeta^k (9.7.2), even ones with the cosine and odd ones with the sine.
        let (mut even, mut odd, mut term) = (1.0, 0.0, 1.0f64);
        for k in 1..30 {
            let f = f64::from(6 * k);
            let next = term * (f - 5.0) * (f - 3.0) * (f - 1.0) / (216.0 * f64::from(k) * f64::from(2 * k - 1) * zeta);
            if next.abs() > term.abs() || next < 1e-18 {
                break;
            }
            term = next;
            match k % 4 {
                1 => odd += term,
                2 => even -= term,
                3 => odd -= term,
                _ => even += term,
            }
        }
        let turn = zeta - FRAC_PI_4;
        return (turn.cos() * even + turn.sin() * odd) / (PI.sqrt() * (-x).sqrt().sqrt());
    }
    // Ai(0) and Ai'(0)
    let (mut at, mut y, mut slope) = (0.0f64, 0.355_028_053_887_817_2, -0.258_819_403_792_806_8);
    while at != x {
        let step = (x - at).clamp(-0.5, 0.5);
        // y'' = (at + h) y: c[k + 2] (k + 1) (k + 2) = at c[k] + c[k - 1]
        let (mut before, mut c, mut next) = (0.0, y, slope);
        let (mut power, mut value, mut change) = (1.0, 0.0, 0.0);
        for k in 0..24 {
            let n = f64::from(k);
            value += c * power;
            change += (n + 1.0) * next * power;
            let after = (at * c + before) / ((n + 1.0) * (n + 2.0));
            (before, c, next) = (c, next, after);
            power *= step;
        }
        (y, slope) = (value, change);
        at = if (x - at).abs() <= 0.5 { x } else { at + step };
        if x.is_nan() {
            return x;
        }
    }
    y
}

// ---- the normal distribution ----

/// `e^(x^2) erfc(x)`, for large numbers by the series in `1 / x` (DLMF 7.12.1).
pub fn erfcx(x: f64) -> f64 {
    if x > 25.0 {
        return sum_of_products(|k| (0.5 - k) / x / x) / x / PI.sqrt();
    }
    if x >= 0.0 {
        return super::math::double::erfcx(x);
    }
    if x.is_nan() {
        return x;
    }
    // What the square lacks, to first order.
    let square = x * x;
    let e = square.exp();
    let e = if e.is_finite() { e + e * x.mul_add(x, -square) } else { e };
    2.0 * e - erfcx(-x)
}

/// The logarithm of the normal distribution function.
pub fn log_ndtr(x: f64) -> f64 {
    let t = x * FRAC_1_SQRT_2;
    if x < -1.0 {
        (erfcx(-t) / 2.0).ln() - t * t
    } else {
        (-libm::erfc(t) / 2.0).ln_1p()
    }
}

/// The number with this value of the normal distribution function.
pub fn ndtri(p: f64) -> f64 {
    if p == 0.0 {
        return f64::NEG_INFINITY;
    }
    if p == 1.0 {
        return f64::INFINITY;
    }
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p > 0.5 {
        return -ndtri(1.0 - p);
    }
    if p > 0.1 {
        return Real::erfinv(2.0 * p - 1.0) * std::f64::consts::SQRT_2;
    }
    // Newton's steps on the logarithm, which is nearly a parabola here.
    let log = p.ln();
    let mut x = -(-2.0 * log - (-2.0 * log * 2.0 * PI).ln().max(0.0)).max(1.0).sqrt();
    for _ in 0..8 {
        let value = log_ndtr(x);
        let slope = (-x * x / 2.0 - value).exp() / (2.0 * PI).sqrt();
        let step = (value - log) / slope;
        x -= step;
        if step.abs() < 1e-14 * x.abs() {
            break;
        }
    }
    x
}

/// `-x log(x)`; 0 at 0, -infinity below.
pub fn entr(x: f64) -> f64 {
    if x.is_nan() {
        x
    } else if x > 0.0 {
        -x * x.ln()
    } else if x == 0.0 {
        0.0
    } else {
        f64::NEG_INFINITY
    }
}

// ---- incomplete gamma functions ----

/// Hurwitz's zeta function, the sum of `(q + k)^-s` over k >= 0, for s > 1 (Euler-Maclaurin, DLMF 25.11.5).
pub fn zeta(s: f64, q: f64) -> f64 {
    if s == 1.0 {
        return f64::INFINITY;
    }
    if s < 1.0 || q.is_nan() || s.is_nan() {
        return f64::NAN;
    }
    if q <= 0.0 {
        if q == q.floor() {
            return f64::INFINITY;
        }
        if s != s.floor() {
            return f64::NAN;
        }
    }
    if q < -20.0 {
        // The bases below 0 are -(below + j) for j = 0 to `count - 1`, those above begin with `1 - below`.
        let (count, below) = ((-q).floor() + 1.0, -q - (-q).floor());
        let sum = zeta(s, below) - zeta(s, below + count);
        return zeta(s, 1.0 - below) + if s % 2.0 == 0.0 { sum } else { -sum };
    }
    let (mut sum, mut a) = (0.0f64, q);
    while a < 10.0 + s {
        let term = a.powf(-s);
        sum += term;
        a += 1.0;
        if a > 2.0 && term <= sum.abs() * 1e-18 || a > 0.0 && sum.is_infinite() {
            return sum;
        }
    }
    sum += a.powf(1.0 - s) / (s - 1.0) + 0.5 * a.powf(-s);
    // B(2k) / (2k)!
    const TERMS: [f64; 10] = [
        1.0 / 12.0,
        -1.0 / 720.0,
        1.0 / 30240.0,
        -1.0 / 1209600.0,
        1.0 / 47900160.0,
        -691.0 / 1307674368000.0,
        1.0 / 74724249600.0,
        -3617.0 / 10670622842880000.0,
        43867.0 / 5109094217170944000.0,
        -174611.0 / 802857662698291200000.0,
    ];
    let (mut power, mut factor) = (a.powf(-s - 1.0), s);
    for (k, b) in TERMS.iter().enumerate() {
        if power == 0.0 {
            break;
        }
        sum += b * factor * power;
        let j = s + 2.0 * k as f64;
        factor *= (j + 1.0) * (j + 2.0);
        power /= a * a;
    }
    sum
}

// ---- orthogonal polynomials ----

/// Degrees beyond this are not computed one after the other.
const MANY: f64 = 100_000.0;

/// The polynomial of degree `n` (a whole number, other ones are cut off) from those of degrees 0 and 1 and the recurrence: 0
/// for negative degrees, not a number for those beyond what is reasonable.
fn recur(n: f64, first: f64, most: f64, next: impl Fn(f64, f64, f64) -> f64) -> f64 {
    let n = n.trunc();
    if n.is_nan() || n > most {
        return f64::NAN;
    }
    if n < 0.0 {
        return 0.0;
    }
    if n == 0.0 {
        return 1.0;
    }
    let (mut p, mut q, mut k) = (1.0, first, 1.0);
    while k < n && !q.is_nan() {
        (p, q) = (q, next(k, q, p));
        k += 1.0;
    }
    q
}

/// Chebyshev's polynomials of the four kinds, which differ in that of degree 1: by the recurrence they have in common, for
/// large degrees by cosines and sines.
fn chebyshev(kind: usize, x: f64, n: f64) -> f64 {
    let n = n.trunc();
    if n < 0.0 {
        return 0.0;
    }
    // At the ends of the interval.
    let odd = if n % 2.0 == 0.0 { 1.0 } else { -1.0 };
    if x.abs() == 1.0 {
        let (plain, wide) = (1.0, 2.0 * n + 1.0);
        return match (kind, x > 0.0) {
            (0, true) => 1.0,
            (0, false) => odd,
            (1, true) => n + 1.0,
            (1, false) => odd * (n + 1.0),
            (2, true) => plain,
            (2, false) => odd * wide,
            (_, true) => wide,
            (_, false) => odd,
        };
    }
    let first = match kind {
        0 => x,
        1 => x + x,
        2 => x + x - 1.0,
        _ => x + x + 1.0,
    };
    if n <= 50.0 || x.is_nan() || n.is_nan() {
        return recur(n, first, f64::INFINITY, |_, q, p| (x + x) * q - p);
    }
    if x.abs() > 1.0 {
        // They grow without bounds; it is the sign that counts, and digits where they are few.
        return recur(n, first, MANY, |_, q, p| {
            if q.is_infinite() {
                if x > 0.0 {
                    q
                } else {
                    -q
                }
            } else {
                (x + x) * q - p
            }
        });
    }
    let t = x.acos();
    match kind {
        0 => (n * t).cos(),
        1 => ((n + 1.0) * t).sin() / t.sin(),
        2 => ((n + 0.5) * t).cos() / (t / 2.0).cos(),
        _ => ((n + 0.5) * t).sin() / (t / 2.0).sin(),
    }
}

/// Chebyshev's polynomial of the first kind.
pub fn chebyshev_t(x: f64, n: f64) -> f64 {
    chebyshev(0, x, n)
}

/// Chebyshev's polynomial of the second kind.
pub fn chebyshev_u(x: f64, n: f64) -> f64 {
    chebyshev(1, x, n)
}

/// Chebyshev's polynomial of the third kind.
pub fn chebyshev_v(x: f64, n: f64) -> f64 {
    chebyshev(2, x, n)
}

/// Chebyshev's polynomial of the fourth kind.
pub fn chebyshev_w(x: f64, n: f64) -> f64 {
    chebyshev(3, x, n)
}

/// Hermite's polynomial, the physicists'.
pub fn hermite_h(x: f64, n: f64) -> f64 {
    recur(n, x + x, 512.0, |k, q, p| (x + x) * q - 2.0 * k * p)
}

/// Hermite's polynomial, the probabilists'.
pub fn hermite_he(x: f64, n: f64) -> f64 {
    recur(n, x, 512.0, |k, q, p| x * q - k * p)
}

/// Laguerre's polynomial.
pub fn laguerre_l(x: f64, n: f64) -> f64 {
    if x == 0.0 && n >= 0.0 {
        return 1.0;
    }
    recur(n, 1.0 - x, MANY, |k, q, p| ((2.0 * k + 1.0 - x) * q - k * p) / (k + 1.0))
}

/// Legendre's polynomial.
pub fn legendre_p(x: f64, n: f64) -> f64 {
    if x.abs() == 1.0 && n >= 0.0 {
        return if x > 0.0 || n.trunc() % 2.0 == 0.0 { 1.0 } else { -1.0 };
    }
    recur(n, x, MANY, |k, q, p| ((2.0 * k + 1.0) * x * q - k * p) / (k + 1.0))
}

// ---- parts of numbers ----

/// The mantissa, of absolute value from 0.5 to 1, and the exponent.
pub fn frexp(x: f64) -> (f64, i32) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0);
    }
    libm::frexp(x)
}
