//! How samples move with the parameters of their distribution while their quantile stays, and the incomplete gamma
//! functions. In f64.
//!
//! A sample `x` of a distribution with density `f(x; a)` and cumulative distribution `F(x; a)` has the implicit derivative
//! `dx/da = -(dF/da) / f` (Figurnov, Mohamed and Mnih 2018). For the gamma and beta distributions `dF/da` is an integral of
//! `(ln t - mean of ln t)` times the density, over the values below `x`, or with the other sign over those above: the side
//! is taken on which the integrand has one sign. Near 0 there is a power series; elsewhere the double exponential rule
//! (Takahasi and Mori 1974) is good to ten digits.

use super::math::Real;
use std::f64::consts::{FRAC_1_SQRT_2, TAU};
use std::sync::OnceLock;

const NODES: usize = 41;

/// Points `u` and weights of the rule for integrals from 0 to infinity: `u = exp(s - exp(-s))` for `s` in steps of 0.2.
fn nodes() -> &'static [(f64, f64); NODES] {
    static ALL: OnceLock<[(f64, f64); NODES]> = OnceLock::new();
    ALL.get_or_init(|| {
        std::array::from_fn(|k| {
            let s = 0.2 * k as f64 - 3.4;
            let u = (s - (-s).exp()).exp();
            (u, 0.2 * u * (1.0 + (-s).exp()))
        })
    })
}

/// The integral of `f` from 0 to infinity, which falls by some factor within `scale`.
fn integral(scale: f64, f: impl Fn(f64) -> f64) -> f64 {
    scale * nodes().iter().map(|&(u, weight)| weight * f(scale * u)).sum::<f64>()
}

/// Where an exponent that begins with `rate * u + curvature * u^2 / 2` reaches about 1.
fn scale_of(rate: f64, curvature: f64) -> f64 {
    1.0 / (rate.max(0.0) + curvature.max(0.0).sqrt())
}

/// Sums of a power series and of it over `(a + k)`: `sum t_k / (a + k)` and `sum t_k / (a + k)^2` for k >= 1, where `t_0 = 1`
/// and `t_k = t_(k-1) * ratio(k)`.
fn tails(a: f64, ratio: impl Fn(f64) -> f64) -> (f64, f64) {
    let (mut term, mut once, mut twice) = (1.0f64, 0.0, 0.0);
    for k in 1..200 {
        let k = f64::from(k);
        term *= ratio(k);
        let t = term / (a + k);
        once += t;
        twice += t / (a + k);
        if term.abs() < 1e-18 {
            break;
        }
    }
    (once, twice)
}

/// `dx/da` of a sample `x` of the gamma distribution with shape `a` and rate 1.
pub fn gamma_slope(a: f64, x: f64) -> f64 {
    if !(a > 0.0 && a < f64::INFINITY && (0.0..f64::INFINITY).contains(&x)) {
        return f64::NAN;
    }
    if x == 0.0 {
        return 0.0;
    }
    let log = x.ln();
    if x < 1.0 {
        let above = log - Real::digamma(a + 1.0);
        let (once, twice) = tails(a, |k| -x / k);
        return -x * x.exp() * (above / a + once * (above + 1.0 / a) - twice);
    }
    let mean = Real::digamma(a);
    if log < mean {
        return integral(scale_of(a - x, x), |u| {
            let bend = if u < 1e-3 { u * u * (0.5 - u * (1.0 / 6.0 - u / 24.0)) } else { (-u).exp_m1() + u };
            x * (mean - log + u) * (-(a - x) * u - x * bend).exp()
        });
    }
    integral(scale_of((x - a + 1.0) / x, (a - 1.0) / (x * x)), |w| {
        let grown = (w / x).ln_1p();
        (log - mean + grown) * ((a - 1.0) * grown - w).exp()
    })
}

/// `dx/da / (1 - x)` of a sample `x` of the beta distribution with parameters `a` and `total - a`, the latter held fixed.
pub fn dirichlet_slope(x: f64, a: f64, total: f64) -> f64 {
    let b = total - a;
    if !(a > 0.0 && b >= 0.0 && total < f64::INFINITY && (0.0..=1.0).contains(&x)) {
        return f64::NAN;
    }
    if x == 0.0 || b == 0.0 {
        return 0.0;
    }
    let x = x.min(1.0 - f64::EPSILON / 2.0);
    let (log, rest) = (x.ln(), 1.0 - x);
    let next = Real::digamma(a + 1.0) - Real::digamma(total);
    if x * b.max(1.0) < 0.5 {
        let above = log - next;
        let (once, twice) = tails(a, |k| x * (k - b) / k);
        return -x * (-b * (-x).ln_1p()).exp() * (above / a + once * (above + 1.0 / a) - twice);
    }
    let mean = next - 1.0 / a;
    if log < mean {
        let odds = x / rest;
        let scale = if b < 1.0 { 1.0 / a } else { scale_of(a - (b - 1.0) * odds, (b - 1.0) * (odds + odds * odds)) };
        return odds
            * integral(scale, |u| (mean - log + u) * ((b - 1.0) * (-odds * (-u).exp_m1()).ln_1p() - a * u).exp());
    }
    let odds = rest / x;
    let scale = if a < 1.0 { 1.0 / b } else { scale_of(b - (a - 1.0) * odds, (a - 1.0) * (odds + odds * odds)) };
    integral(scale, |v| {
        let grown = (-odds * (-v).exp_m1()).ln_1p();
        (log - mean + grown) * ((a - 1.0) * grown - b * v).exp()
    })
}

/// `ln(1 + m) - m`.
fn log1p_bend(m: f64) -> f64 {
    if m.abs() > 0.1 {
        return m.ln_1p() - m;
    }
    // -m^2/2 + m^3/3 - ...
    let (mut power, mut sum) = (-m * m, 0.0);
    for k in 2..20 {
        sum += power / f64::from(k);
        power *= -m;
    }
    sum
}

/// `x^a e^-x / gamma(a + 1)`.
fn gamma_front(a: f64, x: f64) -> f64 {
    if a < 20.0 {
        return (a * x.ln() - x - Real::lgamma(a + 1.0)).exp();
    }
    // Stirling's series (DLMF 5.11.1).
    let i = 1.0 / a;
    let rest = i * (1.0 / 12.0 - i * i * (1.0 / 360.0 - i * i * (1.0 / 1260.0 - i * i / 1680.0)));
    (a * log1p_bend((x - a) / a) - rest).exp() / (TAU * a).sqrt()
}

/// For `a` and `x` below 1: `1 - x^a / gamma(a + 1)` and the rest of the series of the lower function.
fn small_upper_gamma(a: f64, x: f64) -> f64 {
    let log = a * x.ln() - libm::lgamma(a + 1.0);
    let (mut sum, mut term) = (0.0, 1.0);
    for k in 1..60 {
        let k = f64::from(k);
        term *= -x / k;
        sum += term / (a + k);
    }
    -log.exp_m1() - log.exp() * a * sum
}

/// The regularised incomplete gamma functions P (`upper` false) and Q = 1 - P of `a` and `x`: by the series (DLMF 8.11.4), the
/// continued fraction (8.9.2, by Lentz's method), or for large `a` Temme's expansion (8.12.3, 8.12.4).
pub fn incomplete_gamma(a: f64, x: f64, upper: bool) -> f64 {
    if !(a >= 0.0 && x >= 0.0) || (a == 0.0 && x == 0.0) || (a.is_infinite() && x.is_infinite()) {
        return f64::NAN;
    }
    let of = |lower: f64| if upper { 1.0 - lower } else { lower };
    if x == 0.0 || a.is_infinite() {
        return of(0.0);
    }
    if a == 0.0 || x.is_infinite() {
        return of(1.0);
    }
    if a > 1e6 {
        let m = (x - a) / a;
        let eta = (-2.0 * log1p_bend(m)).sqrt().copysign(m);
        let near = -1.0 / 3.0 + eta * (1.0 / 12.0 - eta * (2.0 / 135.0 - eta / 864.0));
        let first = if eta.abs() < 1e-2 { near } else { 1.0 / m - 1.0 / eta };
        let side = if upper { 1.0 } else { -1.0 };
        let rest = (-0.5 * a * eta * eta).exp() / (TAU * a).sqrt() * first;
        return 0.5 * libm::erfc(side * eta * (a.sqrt() * FRAC_1_SQRT_2)) + side * rest;
    }
    // Small numbers are not to come as differences.
    if upper && a < 1.0 && x < 1.0 {
        return small_upper_gamma(a, x);
    }
    let front = gamma_front(a, x);
    if x < a + 1.0 {
        let (mut term, mut sum, mut k) = (1.0, 1.0, a);
        while term > sum * 1e-17 {
            k += 1.0;
            term *= x / k;
            sum += term;
        }
        return of((front * sum).min(1.0));
    }
    let (mut b, mut c, mut k) = (x + 1.0 - a, 1e300, 0.0);
    let (mut d, mut h) = (1.0 / b, 1.0 / b);
    loop {
        k += 1.0;
        let an = -k * (k - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-16 || k > 1e5 {
            break;
        }
    }
    let tail = (front * a * h).min(1.0);
    if upper {
        tail
    } else {
        1.0 - tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance * b.abs(), "{a} != {b}");
    }

    #[test]
    fn gamma_of_known_values() {
        // P(1, x) = 1 - e^-x, P(2, x) = 1 - (1 + x) e^-x; Q(1/2, x) = erfc(sqrt(x)).
        for x in [1e-3f64, 0.3, 1.0, 4.0, 30.0] {
            close(incomplete_gamma(1.0, x, false), -(-x).exp_m1(), 1e-14);
            close(incomplete_gamma(2.0, x, true), (1.0 + x) * (-x).exp(), 1e-13);
            close(incomplete_gamma(0.5, x, true), libm::erfc(x.sqrt()), 1e-12);
        }
        // Both sides of the change of method.
        let (below, above) =
            (incomplete_gamma(0.999_999e6, 1.0005e6, false), incomplete_gamma(1.000_001e6, 1.0005e6, false));
        assert!(below > above && below - above < 2e-3);
        close(incomplete_gamma(1e9, 1e9, false) + incomplete_gamma(1e9, 1e9, true), 1.0, 1e-15);
    }

    /// The derivative by differences of the distribution function, over the density.
    #[test]
    fn slopes_of_gamma() {
        for a in [0.3, 0.9, 2.0, 7.5, 40.0, 900.0] {
            for factor in [0.2, 0.7, 0.98, 1.0, 1.02, 1.5, 3.0] {
                let (x, step) = (a * factor, 1e-5 * a);
                let upper = factor > 1.0;
                let change = incomplete_gamma(a + step, x, upper) - incomplete_gamma(a - step, x, upper);
                let density = gamma_front(a, x) * a / x;
                if density > 1e-12 {
                    let sign = if upper { 1.0 } else { -1.0 };
                    close(gamma_slope(a, x), sign * change / (2.0 * step) / density, 1e-5);
                }
            }
        }
    }

    /// For b = 1 the distribution function is x^a, so that x = u^(1/a) and dx/da = -x ln(x) / a; for a = 1 it is
    /// 1 - (1 - x)^b, whose derivative by a is not as simple: the sides must agree where they meet.
    #[test]
    fn slopes_of_beta() {
        for a in [0.05, 0.4, 1.0, 3.0, 50.0] {
            for x in [1e-6, 0.1, 0.49, 0.51, 0.9, 0.999] {
                close(dirichlet_slope(x, a, a + 1.0), -f64::ln(x) * x / a / (1.0 - x), 1e-8);
            }
        }
        for (a, b) in [(0.3, 0.2), (2.0, 5.0), (30.0, 4.0), (300.0, 500.0)] {
            let mean = (f64::digamma(a) - f64::digamma(a + b)).exp();
            close(dirichlet_slope(mean * (1.0 - 1e-9), a, a + b), dirichlet_slope(mean * (1.0 + 1e-9), a, a + b), 1e-7);
        }
    }
}
