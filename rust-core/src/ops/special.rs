//! Special functions under the names of `torch.special`, and what takes numbers apart.

use crate::bail;
use crate::dtype::{DType, Scalar};
use crate::engine::copy::copy_into;
use crate::engine::elementwise::Plan;
use crate::engine::promotion::Promote;
use crate::err;
use crate::error::Result;
use crate::kernel;
use crate::kernels::elementwise::Params;
use crate::kernels::special;
use crate::memory::List;
use crate::table::{Call, Outs, Refusal, Saves, Spec, Specs, Vjp, one};
use crate::table::lang::Ex;
use crate::table::loops::{float1, float2, run};
use crate::table::rules::{no_zero, number, zeros};
use crate::tensor::Tensor;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// The plan of a function of one number that is computed in f64.
macro_rules! wide1 {
    ($f:path) => {
        float1!(|a| Real::of($f(a.as_f64())))
    };
}

/// The same for two.
macro_rules! wide2 {
    ($f:path) => {
        float2!(|a, b| Real::of($f(a.as_f64(), b.as_f64())))
    };
}

/// `f` of the saved input.
fn of_x(v: &Vjp, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Ex {
    v.x(0).then(f)
}

/// `y / x`, and `at_zero` where `x` is 0, to which the quotient tends.
fn quotient(v: &Vjp, y: Ex, at_zero: f64) -> Ex {
    let x = v.x(0);
    let zero = x.eq(0.0).then(|z| z.to_dtype(v.dtype(0)));
    y / (&x + &zero) + zero * at_zero
}

/// A derivative that nobody has worked out, as in PyTorch.
fn unknown(name: &str) -> Ex {
    Ex::Err(err!(Autograd, "the derivative with respect to '{name}' is not implemented"))
}

/// The number next to `x` on the way to `y`, in a format of so many binary digits with this lowest exponent and largest number.
fn next_after(x: f64, y: f64, [digits, lowest, largest]: [f64; 3]) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if x == y {
        return y;
    }
    if x.is_infinite() {
        return largest.copysign(x);
    }
    let (mantissa, exponent) = special::frexp(x);
    let step = |e: f64| libm::ldexp(1.0, e.max(lowest) as i32);
    if x == 0.0 {
        return step(lowest).copysign(y);
    }
    let outwards = (y > x) == (x > 0.0);
    let e = f64::from(exponent) - digits;
    if outwards {
        x + step(e).copysign(x)
    } else {
        // Below a power of two they lie closer together.
        x - step(if mantissa.abs() == 0.5 { e - 1.0 } else { e }).copysign(x)
    }
}

fn eval_nextafter<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    let d = crate::engine::promotion::result_type([c.x(0), c.x(1)].into_iter())?;
    let (digits, lowest) = match d {
        DType::F64 => (53.0, -1074.0),
        DType::F32 => (24.0, -149.0),
        DType::BF16 => (8.0, -133.0),
        DType::F16 => (11.0, -24.0),
        d => bail!(DType, "not implemented for dtype {d}"),
    };
    let p = Params::new(&[digits, lowest, d.max()].map(Scalar::Float));
    let k = kernel!(float |a, b, p| Real::of(next_after(a.as_f64(), b.as_f64(), [p[0], p[1], p[2]].map(|v| v.as_f64()))));
    run::<2>(c, k, Promote::Common, p)
}

fn infer_frexp(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    if !x.dtype().is_float() {
        bail!(DType, "only supports floating-point dtypes, got {}", x.dtype());
    }
    Ok(Specs::from_iter([Spec::rows(x.shape(), x.dtype())?, Spec::rows(x.shape(), DType::I32)?]))
}

fn compute_frexp(c: &Call, outs: &[Tensor]) -> Result<()> {
    let values = c.x(0).to_vec_unlocked::<f64>()?;
    let parts = || values.iter().map(|&v| special::frexp(v));
    let (mantissas, exponents) = (List::collect(parts().map(|p| p.0))?, List::collect(parts().map(|p| i64::from(p.1)))?);
    let shaped = |t: Tensor| t.reshape(&crate::shape::signed(c.x(0).shape()));
    copy_into(&outs[0], &shaped(Tensor::from_slice(&mantissas, &[mantissas.len()])?)?)?;
    copy_into(&outs[1], &shaped(Tensor::from_slice(&exponents, &[exponents.len()])?)?)
}

/// The logarithm of the multivariate gamma function.
fn eval_mvlgamma(c: &Call) -> Result<Outs> {
    let (x, p) = (c.x(0), c.int(0));
    if p < 1 {
        bail!(Value, "p has to be greater than or equal to 1, got {p}");
    }
    if p > 1 << 20 {
        bail!(Value, "p is too large: {p}");
    }
    if x.dtype() == DType::Bool || x.dtype().is_complex() {
        bail!(DType, "not implemented for dtype {}", x.dtype());
    }
    let x = if x.dtype().is_float() { x.clone() } else { x.to_dtype(crate::dtype::default_dtype())? };
    let steps = Tensor::arange(Scalar::Int(0), Scalar::Int(p), Scalar::Int(1), Some(DType::F64))?.mul(&number(-0.5)?)?.to_dtype(x.dtype())?;
    let sum = x.unsqueeze(-1)?.add(&steps, 1)?.lgamma()?.sum(Some(&[-1]), false, None)?;
    one(sum.add(&number(p as f64 * (p - 1) as f64 / 4.0 * PI.ln())?, 1)?)
}

ops! {
    /// The modified Bessel function of the first kind, of order 0.
    i0(input: Tensor) -> Tensor, Real {
        body: Elementwise(wide1!(special::i0)),
        vjp: vjp!(|v| v.g() * of_x(v, Tensor::special_i1)), saves: Saves::X,
        inplace: true,
    }

    /// `e^-|input|` times the modified Bessel function of the first kind, of order 0.
    special_i0e(input: Tensor) -> Tensor, Real {
        body: Elementwise(wide1!(special::i0e)),
        vjp: vjp!(|v| v.g() * (of_x(v, Tensor::special_i1e) - v.x(0).sign() * v.y())), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
        samples: &["r(2, 3)", "t([-30.0, 0.3, 25.0])"],
    }

    /// The modified Bessel function of the first kind, of order 1.
    special_i1(input: Tensor) -> Tensor, Real {
        body: Elementwise(wide1!(special::i1)),
        vjp: vjp!(|v| v.g() * (of_x(v, Tensor::i0) - quotient(v, v.y(), 0.5))), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
    }

    /// `e^-|input|` times the modified Bessel function of the first kind, of order 1.
    special_i1e(input: Tensor) -> Tensor, Real {
        body: Elementwise(wide1!(special::i1e)),
        vjp: vjp!(|v| v.g() * (of_x(v, Tensor::special_i0e) - quotient(v, v.y(), 0.5) - v.x(0).sign() * v.y())),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
        samples: &["r(2, 3)", "t([-30.0, 0.3, 25.0])"],
    }

    /// The modified Bessel function of the second kind, of order 0.
    special_modified_bessel_k0(input: Tensor) -> Tensor, Positive {
        body: Elementwise(wide1!(special::k0)),
        vjp: vjp!(|v| -(v.g() * of_x(v, Tensor::special_modified_bessel_k1))), saves: Saves::X,
        method: false, function: false,
    }

    /// The modified Bessel function of the second kind, of order 1.
    special_modified_bessel_k1(input: Tensor) -> Tensor, Positive {
        body: Elementwise(wide1!(special::k1)),
        vjp: vjp!(|v| -(v.g() * (of_x(v, Tensor::special_modified_bessel_k0) + v.y() / v.x(0)))),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
    }

    /// `e^input` times the modified Bessel function of the second kind, of order 0.
    special_scaled_modified_bessel_k0(input: Tensor) -> Tensor, Positive {
        body: Elementwise(wide1!(special::k0e)),
        vjp: vjp!(|v| v.g() * (v.y() - of_x(v, Tensor::special_scaled_modified_bessel_k1))),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
    }

    /// `e^input` times the modified Bessel function of the second kind, of order 1.
    special_scaled_modified_bessel_k1(input: Tensor) -> Tensor, Positive {
        body: Elementwise(wide1!(special::k1e)),
        vjp: vjp!(|v| v.g() * (v.y() - of_x(v, Tensor::special_scaled_modified_bessel_k0) - v.y() / v.x(0))),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
    }

    /// The Bessel function of the first kind, of order 0.
    special_bessel_j0(input: Tensor) -> Tensor, Real {
        body: Elementwise(wide1!(libm::j0)),
        vjp: vjp!(|v| -(v.g() * of_x(v, Tensor::special_bessel_j1))), saves: Saves::X,
        method: false, function: false,
    }

    /// The Bessel function of the first kind, of order 1.
    special_bessel_j1(input: Tensor) -> Tensor, Real {
        body: Elementwise(wide1!(special::j1)),
        vjp: vjp!(|v| v.g() * (of_x(v, Tensor::special_bessel_j0) - quotient(v, v.y(), 0.5))),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
    }

    /// The Bessel function of the second kind, of order 0.
    special_bessel_y0(input: Tensor) -> Tensor, Positive {
        body: Elementwise(wide1!(special::y0)),
        vjp: vjp!(|v| -(v.g() * of_x(v, Tensor::special_bessel_y1))), saves: Saves::X,
        method: false, function: false,
    }

    /// The Bessel function of the second kind, of order 1.
    special_bessel_y1(input: Tensor) -> Tensor, Positive {
        body: Elementwise(wide1!(special::y1)),
        vjp: vjp!(|v| v.g() * (of_x(v, Tensor::special_bessel_y0) - v.y() / v.x(0))),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
    }

    /// The spherical Bessel function of the first kind, of order 0: `sin(input) / input`.
    special_spherical_bessel_j0(input: Tensor) -> Tensor, Real {
        body: Elementwise(wide1!(special::spherical_j0)),
        vjp: vjp!(|v| {
            let x = v.x(0);
            v.g() * no_zero((x.cos() - v.y()) / &x, &x)
        }),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
        samples: &["z(2, 3)"],
    }

    /// The Airy function Ai.
    special_airy_ai(input: Tensor) -> Tensor, Real {
        body: Elementwise(wide1!(special::airy_ai)),
        method: false, function: false,
    }

    /// `e^(input^2) erfc(input)`.
    special_erfcx(input: Tensor) -> Tensor, Real {
        body: Elementwise(wide1!(special::erfcx)),
        vjp: vjp!(|v| v.g() * (v.x(0) * v.y() * 2.0 - 2.0 / PI.sqrt())), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
    }

    /// The normal distribution function: the probability of a standard normal number below `input`.
    special_ndtr(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::of(0.5 * Real::erfc(-a.as_f64() * FRAC_1_SQRT_2)))),
        vjp: vjp!(|v| v.g() * ((v.x(0).square() * -0.5).exp() * (0.5 * FRAC_1_SQRT_2 * std::f64::consts::FRAC_2_SQRT_PI))),
        saves: Saves::X, method: false, function: false,
    }

    /// The logarithm of the normal distribution function.
    special_log_ndtr(input: Tensor) -> Tensor, Real {
        body: Elementwise(wide1!(special::log_ndtr)),
        vjp: vjp!(|v| {
            // The density over the probability.
            let scaled = of_x(v, |x| x.mul(&number(-FRAC_1_SQRT_2)?)?.special_erfcx());
            v.g() / (scaled * (PI / 2.0).sqrt())
        }),
        saves: Saves::X, method: false, function: false,
        samples: &["r(2, 3)", "t([-12.0, 3.0])"],
    }

    /// The inverse of the normal distribution function.
    special_ndtri(input: Tensor) -> Tensor, Probability {
        body: Elementwise(wide1!(special::ndtri)),
        vjp: vjp!(|v| v.g() * ((v.y().square() * 0.5).exp() * (2.0 * PI).sqrt())), saves: Saves::OUTPUT,
        method: false, function: false,
        samples: &["q(2, 3)", "t([0.01, 0.99])"],
    }

    /// The entropy `-input log(input)`; 0 at 0, -infinity below.
    special_entr(input: Tensor) -> Tensor, Positive {
        body: Elementwise(wide1!(special::entr)),
        vjp: vjp!(|v| v.g() * (-(v.x(0).log() + 1.0))), saves: Saves::X,
        method: false, function: false,
    }

    /// `input * log(1 + other)`; 0 where `input` is 0, unless `other` is NaN.
    special_xlog1py(input: Operand, other: Operand) -> Tensor, Positive {
        body: Elementwise(float2!(|a, b| if (a == 0.0) & !b.is_nan() { 0.0 } else { a * Real::log1p(b) })),
        vjp: vjp!(|v| [
            v.want(0, || {
                let nothing = v.x(0).eq(0.0).with(v.x(1).le(-1.0), |a, b| a.logical_and(b));
                (v.g() * v.x(1).then(|b| b.log1p())).keep(nothing.then(|m| m.logical_not()))
            }),
            v.want(1, || v.g() * v.x(0) / (v.x(1) + 1.0)),
        ]),
        saves: Saves::XB, method: false, function: false,
        samples: &["p(2, 3), p(3)", "t([0.0, 1.5]), p(2)"],
    }

    /// Hurwitz's zeta function: the sum of `(other + k)^-input` over k >= 0.
    special_zeta(input: Operand, other: Operand) -> Tensor, Special {
        body: Elementwise(wide2!(special::zeta)),
        vjp: vjp!(|v| [
            v.want(0, || unknown("input")),
            v.want(1, || v.g() * v.x(0) * (v.x(0) + 1.0).with(v.x(1), Tensor::special_zeta) * -1.0),
        ]),
        saves: Saves::XB, method: false, function: false,
        samples: &["c([2.0, 3.5, 5.0]), p(3)"],
    }

    /// The logarithm of the multivariate gamma function of dimension `p`: `p (p - 1) / 4 log(pi)` plus the sum of
    /// `lgamma(input - k / 2)` for k from 0 to `p - 1`.
    mvlgamma(input: Tensor, p: Int) -> Tensor, Special {
        body: Composite(eval_mvlgamma),
        inplace: true,
        refuses: &[Refusal { call: "rt.ones(2), 0", message: "greater than or equal to 1" }],
        samples: &["p(3) + 2, 3", "p(2), 1"],
    }

    /// Chebyshev's polynomial of the first kind, of degree `n`.
    special_chebyshev_polynomial_t(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(wide2!(special::chebyshev_t)),
        method: false, function: false,
    }

    /// Chebyshev's polynomial of the second kind, of degree `n`.
    special_chebyshev_polynomial_u(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(wide2!(special::chebyshev_u)),
        method: false, function: false,
    }

    /// Chebyshev's polynomial of the third kind, of degree `n`.
    special_chebyshev_polynomial_v(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(wide2!(special::chebyshev_v)),
        method: false, function: false,
    }

    /// Chebyshev's polynomial of the fourth kind, of degree `n`.
    special_chebyshev_polynomial_w(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(wide2!(special::chebyshev_w)),
        method: false, function: false,
    }

    /// Chebyshev's polynomial of the first kind, of degree `n`, at `2 x - 1`.
    special_shifted_chebyshev_polynomial_t(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(float2!(|x, n| Real::of(special::chebyshev_t(2.0 * x.as_f64() - 1.0, n.as_f64())))),
        method: false, function: false,
    }

    /// Chebyshev's polynomial of the second kind, of degree `n`, at `2 x - 1`.
    special_shifted_chebyshev_polynomial_u(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(float2!(|x, n| Real::of(special::chebyshev_u(2.0 * x.as_f64() - 1.0, n.as_f64())))),
        method: false, function: false,
    }

    /// Chebyshev's polynomial of the third kind, of degree `n`, at `2 x - 1`.
    special_shifted_chebyshev_polynomial_v(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(float2!(|x, n| Real::of(special::chebyshev_v(2.0 * x.as_f64() - 1.0, n.as_f64())))),
        method: false, function: false,
    }

    /// Chebyshev's polynomial of the fourth kind, of degree `n`, at `2 x - 1`.
    special_shifted_chebyshev_polynomial_w(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(float2!(|x, n| Real::of(special::chebyshev_w(2.0 * x.as_f64() - 1.0, n.as_f64())))),
        method: false, function: false,
    }

    /// The physicists' Hermite polynomial of degree `n`.
    special_hermite_polynomial_h(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(wide2!(special::hermite_h)),
        method: false, function: false,
    }

    /// The probabilists' Hermite polynomial of degree `n`.
    special_hermite_polynomial_he(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(wide2!(special::hermite_he)),
        method: false, function: false,
    }

    /// Laguerre's polynomial of degree `n`.
    special_laguerre_polynomial_l(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(wide2!(special::laguerre_l)),
        method: false, function: false,
    }

    /// Legendre's polynomial of degree `n`.
    special_legendre_polynomial_p(x: Operand, n: Operand) -> Tensor, Real {
        body: Elementwise(wide2!(special::legendre_p)),
        method: false, function: false,
    }

    /// The number of the dtype that comes next after `input` on the way to `other`.
    nextafter(input: Tensor, other: Tensor) -> Tensor, Real {
        body: Elementwise(eval_nextafter),
        vjp: vjp!(|v| [
            v.want(0, || v.g().keep(v.x(0).eq(v.x(1)).then(|m| m.logical_not()))),
            v.want(1, || zeros(v, 1)),
        ]),
        saves: Saves::XB, inplace: true,
        refuses: &[Refusal { call: "rt.tensor([1]), rt.tensor([2])", message: "not implemented for dtype int64" }],
    }

    /// Mantissas, of absolute value from 0.5 to 1 (or 0), and exponents (int32) with `input = mantissa * 2^exponent`.
    frexp(input: Tensor) -> Pair, Real {
        body: Kernel(infer_frexp, compute_frexp),
        vjp: vjp!(|v| v.g() / v.yk(1).then(|e| e.to_dtype(v.dtype(0))?.exp2())), saves: Saves::OUTPUT,
        method: false, function: false,
        refuses: &[Refusal { call: "rt.tensor([1])", message: "floating-point" }],
    }
}
