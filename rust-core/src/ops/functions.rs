//! Functions of one number: roots, exponentials, angles, rounding, special functions.

use crate::{bail, kernel, with_complex};
use crate::dtype::Scalar;
use crate::engine::elementwise::Plan;
use crate::engine::promotion::Promote;
use crate::error::Result;
use crate::kernels::elementwise::{Loop, Loops, Params};
use crate::kernels::math::Real;
use crate::kernels::quantile::incomplete_gamma;
use crate::table::{Call, Refusal, Saves, Vjp};
use crate::table::lang::Ex;
use crate::kernels::special;
use crate::table::loops::{float1, float2, no_bool, run, unsigned};
use crate::table::rules::{log_of, zeros};
use crate::tensor::Tensor;
use std::f64::consts::{FRAC_2_SQRT_PI, LN_10, LN_2, LOG10_E, LOG2_E, PI};

/// The plan of a function of an angle in radians.
macro_rules! angle {
    ($f:ident; |$z:ident| $c:expr) => {
        |c| {
            const NEAR: &Loops = kernel!(float |a, _p| Real::$f(a));
            unsafe fn single(x: &[*const u8; 3], out: *mut u8, n: usize, p: &Params) {
                with_far_angles::<f32>(NEAR.f32, libm::$f, x, out, n, p)
            }
            unsafe fn double(x: &[*const u8; 3], out: *mut u8, n: usize, p: &Params) {
                with_far_angles::<f64>(NEAR.f64, libm::$f, x, out, n, p)
            }
            const ALL: &Loops = &Loops { f32: Some(single), f64: Some(double), ..Loops::NONE };
            run::<1>(c, with_complex!(ALL, put |$z; _p| $c), Promote::ToFloat, Params::default())
        }
    };
}

/// A loop whose reduction of arguments is good up to 2^45: what lies beyond is computed one by one by `exact`, which takes
/// as many digits of pi as it needs (Payne and Hanek 1983).
unsafe fn with_far_angles<T: Real>(
    near: Option<Loop>,
    exact: fn(f64) -> f64,
    ins: &[*const u8; 3],
    out: *mut u8,
    n: usize,
    p: &Params,
) {
    const PART: usize = 512;
    let limit = T::of(35184372088832.0);
    let (x, out) = (ins[0].cast::<T>(), out.cast::<T>());
    let Some(near) = near else { return };
    let mut done = 0;
    while done < n {
        let (x, out, m) = (x.add(done), out.add(done), PART.min(n - done));
        let mut far = false;
        for i in 0..m {
            far |= (*x.add(i)).abs() > limit;
        }
        if far {
            // The result may lie on top of the operand.
            let mut kept = [T::ZERO; PART];
            std::ptr::copy_nonoverlapping(x, kept.as_mut_ptr(), m);
            near(&[x.cast(), ins[1], ins[2]], out.cast(), m, p);
            for (i, v) in kept.iter().enumerate().take(m).filter(|(_, v)| v.abs() > limit) {
                *out.add(i) = T::of(exact(v.as_f64()));
            }
        } else {
            near(&[x.cast(), ins[1], ins[2]], out.cast(), m, p);
        }
        done += m;
    }
}

fn times<'a>(c: &Call<'a>, factor: f64) -> Result<Plan<'a>> {
    run::<1>(c, kernel!(float | a, p | a * p[0]), Promote::ToFloat, Params::new(&[Scalar::Float(factor)]))
}

/// Rounding: whole numbers are whole already.
fn eval_round<'a>(c: &Call<'a>, k: &'static Loops) -> Result<Plan<'a>> {
    no_bool(c, "")?;
    if !c.x(0).dtype().is_float() {
        return run::<1>(c, unsigned!(kernel!(all | a, _p | a)), Promote::Common, Params::default());
    }
    run::<1>(c, k, Promote::Common, Params::default())
}

fn eval_round_decimals<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    let d = c.int(0);
    if d == 0 {
        return eval_round(c, kernel!(float | a, _p | Real::round(a)));
    }
    if !c.x(0).dtype().is_float() {
        bail!(DType, "round with decimals is not implemented for dtype {}", c.x(0).dtype());
    }
    let p = Params::new(&[Scalar::Float(10f64.powi(d.unsigned_abs().min(400) as i32))]);
    let k = if d > 0 {
        kernel!(float | a, p | Real::round(a * p[0]) / p[0])
    } else {
        kernel!(float | a, p | Real::round(a / p[0]) * p[0])
    };
    run::<1>(c, k, Promote::Common, p)
}

fn eval_nan_to_num<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    let x = c.x(0);
    if !x.dtype().is_float() {
        return run::<1>(c, unsigned!(kernel!(all | a, _p | a)), Promote::Common, Params::default());
    }
    let p = [
        c.opt_float(0).unwrap_or(0.0),
        c.opt_float(1).unwrap_or(x.dtype().max()),
        c.opt_float(2).unwrap_or(x.dtype().min()),
    ];
    let k = kernel!(
        float | a,
        p | {
            let limit = if a > 0.0 { p[1] } else { p[2] };
            let v = if Real::is_inf(a) { limit } else { a };
            if a.is_nan() {
                p[0]
            } else {
                v
            }
        }
    );
    run::<1>(c, k, Promote::Common, Params::new(&p.map(Scalar::Float)))
}

fn eval_gamma<'a>(c: &Call<'a>, k: &'static Loops) -> Result<Plan<'a>> {
    for t in [c.x(0), c.x(1)] {
        if !t.dtype().is_float() {
            bail!(DType, "not implemented for dtype {}", t.dtype());
        }
    }
    run::<2>(c, k, Promote::Common, Params::default())
}

/// Gradients of the incomplete gamma functions (`sign` is -1 for the upper one): by `other` the density, by `input` what the
/// implicit derivative of a sample says.
fn igamma_rule(v: &Vjp, sign: f64) -> [Ex; 2] {
    let (a, x) = (v.x(0), v.x(1));
    let density = || ((&a - 1.0) * x.log() - &x - a.then(|a| a.lgamma())).exp() * sign;
    [
        v.want(0, || -(v.g() * density() * a.with(&x, |a, x| a._standard_gamma_grad(x)))),
        v.want(1, || v.g() * density()),
    ]
}

/// The derivative of order `n` of the digamma function (DLMF 5.15.1).
fn polygamma(n: f64, x: f64) -> f64 {
    if n == 0.0 {
        return Real::digamma(x);
    }
    if x.is_infinite() && x > 0.0 {
        return 0.0;
    }
    let sign = if n as i64 % 2 == 0 { -1.0 } else { 1.0 };
    sign * Real::lgamma(n + 1.0).exp() * special::zeta(n + 1.0, x)
}

fn eval_polygamma<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    if c.int(0) < 0 {
        bail!(Value, "polygamma(n, x) does not support negative n.");
    }
    let p = Params::new(&[Scalar::Int(c.int(0))]);
    run::<1>(c, kernel!(float | a, p | Real::of(polygamma(p[0].as_f64(), a.as_f64()))), Promote::ToFloat, p)
}

fn eval_logit<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    let eps = c.opt_float(0).unwrap_or(-1.0);
    let k = kernel!(
        float | a,
        p | {
            let low = if a < p[0] { p[0] } else { a };
            let inner = if low > 1.0 - p[0] { 1.0 - p[0] } else { low };
            let a = if p[0] < 0.0 { a } else { inner };
            Real::log(a / (1.0 - a))
        }
    );
    run::<1>(c, k, Promote::ToFloat, Params::new(&[Scalar::Float(eps)]))
}

/// `log(e^a + e^b)` in the base whose exponential is given; equal infinities give themselves.
macro_rules! log_add {
    ($a:ident, $b:ident, $exp:ident, $scale:expr) => {{
        let top = Real::maximum($a, $b);
        let y = top + $scale * Real::log1p(Real::$exp(-($a - $b).abs()));
        if ($a == $b) & $a.is_inf() {
            $a
        } else {
            y
        }
    }};
}

ops! {
    /// Square root.
    sqrt(input: Tensor) -> Tensor, Positive {
        body: Elementwise(float1!(|a| a.sqrt(); |z| z.sqrt())),
        vjp: vjp!(|v| v.g() / (v.y() * 2.0)), saves: Saves::OUTPUT,
        inplace: true, onnx: Some("Sqrt"), c: Some("sqrt{f}({x})"),
    }

    /// `1 / sqrt(input)`.
    rsqrt(input: Tensor) -> Tensor, Positive {
        body: Elementwise(float1!(|a| Real::rsqrt(a); |z| z.rsqrt())),
        vjp: vjp!(|v| v.g() * (v.y().pow(3.0) * -0.5)), saves: Saves::OUTPUT,
        inplace: true, c: Some("1 / sqrt{f}({x})"),
    }

    // ---- exponentials and logarithms ----

    /// `e ^ input`.
    exp(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::exp(a); |z| z.exp())),
        vjp: vjp!(|v| v.g() * v.y()), saves: Saves::OUTPUT,
        inplace: true, onnx: Some("Exp"), c: Some("exp{f}({x})"),
    }

    /// `2 ^ input`.
    exp2(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::exp2(a); |z| z.exp2())),
        vjp: vjp!(|v| v.g() * (v.y() * LN_2)), saves: Saves::OUTPUT,
        inplace: true, c: Some("exp2{f}({x})"),
    }

    /// `e ^ input - 1`, accurate near 0.
    expm1(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::expm1(a); |z| z.expm1())),
        vjp: vjp!(|v| v.g() * (v.y() + 1.0)), saves: Saves::OUTPUT,
        inplace: true, c: Some("expm1{f}({x})"),
    }

    /// Natural logarithm.
    log(input: Tensor) -> Tensor, Positive {
        body: Elementwise(float1!(|a| Real::log(a); |z| z.log())),
        vjp: vjp!(|v| v.g() / v.x(0)), saves: Saves::X,
        inplace: true, onnx: Some("Log"), c: Some("log{f}({x})"),
    }

    /// Logarithm to base 2.
    log2(input: Tensor) -> Tensor, Positive {
        body: Elementwise(float1!(|a| Real::log2(a); |z| z.log() * LOG2_E)),
        vjp: vjp!(|v| v.g() / (v.x(0) * LN_2)), saves: Saves::X,
        inplace: true, c: Some("log2{f}({x})"),
    }

    /// Logarithm to base 10.
    log10(input: Tensor) -> Tensor, Positive {
        body: Elementwise(float1!(|a| Real::log10(a); |z| z.log() * LOG10_E)),
        vjp: vjp!(|v| v.g() / (v.x(0) * LN_10)), saves: Saves::X,
        inplace: true, c: Some("log10{f}({x})"),
    }

    /// `log(1 + input)`, accurate near 0.
    log1p(input: Tensor) -> Tensor, Positive {
        body: Elementwise(float1!(|a| Real::log1p(a); |z| z.log1p())),
        vjp: vjp!(|v| v.g() / (v.x(0) + 1.0)), saves: Saves::X,
        inplace: true, c: Some("log1p{f}({x})"),
    }

    /// `log(e^input + e^other)` without overflow.
    logaddexp(input: Tensor, other: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = with_complex!(kernel!(float |a, b, _p| log_add!(a, b, exp, 1.0)), put |a, b; _p| a.log_add(b));
            run::<2>(c, k, Promote::Common, Params::default())
        }),
        vjp: vjp!(|v| [
            v.want(0, || v.g() / ((v.x(1) - v.x(0)).exp() + 1.0)),
            v.want(1, || v.g() / ((v.x(0) - v.x(1)).exp() + 1.0)),
        ]),
        saves: Saves::XB,
        samples: &["r(2, 3), r(3)"],
    }

    /// `log2(2^input + 2^other)` without overflow.
    logaddexp2(input: Tensor, other: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            let p = Params::new(&[Scalar::Float(LOG2_E)]);
            run::<2>(c, kernel!(float |a, b, p| log_add!(a, b, exp2, p[0])), Promote::Common, p)
        }),
        vjp: vjp!(|v| [
            v.want(0, || v.g() / ((v.x(1) - v.x(0)).then(|t| t.exp2()) + 1.0)),
            v.want(1, || v.g() / ((v.x(0) - v.x(1)).then(|t| t.exp2()) + 1.0)),
        ]),
        saves: Saves::XB,
        samples: &["r(2, 3), r(3)"],
    }

    /// `input * log(other)`; 0 where `input` is 0, unless `other` is NaN.
    xlogy(input: Tensor, other: Operand) -> Tensor, Positive {
        body: Elementwise(float2!(|a, b| if (a == 0.0) & !b.is_nan() { 0.0 } else { a * Real::log(b) })),
        vjp: vjp!(|v| [
            v.want(0, || {
                let nothing = v.x(0).eq(0.0).with(v.x(1).le(0.0), |a, b| a.logical_and(b));
                (v.g() * log_of(&v.x(1))).keep(nothing.then(|m| m.logical_not()))
            }),
            v.want(1, || v.g() * v.x(0) / v.x(1)),
        ]),
        saves: Saves::XB, inplace: true,
        samples: &["p(2, 3), p(3)", "t([0.0, 1.5]), p(2)"],
    }

    /// `log(input / (1 - input))`; with `eps`, of `input` clamped to `[eps, 1 - eps]`.
    logit(input: Tensor, eps: OptFloat = None) -> Tensor, Probability {
        body: Elementwise(eval_logit),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::logit_backward(g, x, v.opt_float(0)))), saves: Saves::X,
        inplace: true,
        samples: &["q(2, 3)", "t([0.01, 0.5, 0.99]), 0.05"],
    }

    /// Gradient of `logit`.
    logit_backward(grad_output: Tensor, input: Tensor, eps: OptFloat = None) -> Tensor, Probability {
        body: Elementwise(|c| {
            let p = Params::new(&[Scalar::Float(c.opt_float(0).unwrap_or(-1.0))]);
            let k = kernel!(float |g, a, p| {
                let (low, other) = if p[0] < 0.0 { (0.0, <_ as Real>::NAN) } else { (p[0], 0.0) };
                if (a < low) | (a > 1.0 - low) { other } else { g / (a * (1.0 - a)) }
            });
            run::<2>(c, k, Promote::Common, p)
        }),
        vjp: vjp!(|v| {
            let (g, x) = (v.g(), v.x(1));
            let slope = v.x(0) * (&x * 2.0 - 1.0);
            [
                v.want(0, || g.with(&x, |g, x| Tensor::logit_backward(g, x, v.opt_float(0)))),
                // The second factor 1 / (x (1 - x)) brings its own zeros outside of the bounds.
                v.want(1, || {
                    let s = &g * slope / (&x * (1.0 - &x));
                    s.with(&x, |s, x| Tensor::logit_backward(s, x, v.opt_float(0)))
                }),
            ]
        }),
        saves: Saves::XB, method: false, function: false,
        samples: &["r(2, 3), q(2, 3)", "r(3), t([0.01, 0.5, 0.99]), 0.05"],
    }

    // ---- trigonometry ----

    /// Sine of radians.
    sin(input: Tensor) -> Tensor, Real {
        body: Elementwise(angle!(sin; |z| z.sin())),
        vjp: vjp!(|v| v.g() * v.x(0).cos()), saves: Saves::X,
        inplace: true, onnx: Some("Sin"), c: Some("sin{f}({x})"),
    }

    /// Cosine of radians.
    cos(input: Tensor) -> Tensor, Real {
        body: Elementwise(angle!(cos; |z| z.cos())),
        vjp: vjp!(|v| -(v.g() * v.x(0).sin())), saves: Saves::X,
        inplace: true, onnx: Some("Cos"), c: Some("cos{f}({x})"),
    }

    /// Tangent of radians.
    tan(input: Tensor) -> Tensor, Unit {
        body: Elementwise(angle!(tan; |z| z.tan())),
        vjp: vjp!(|v| v.g() * (v.y() * v.y() + 1.0)), saves: Saves::OUTPUT,
        inplace: true, onnx: Some("Tan"), c: Some("tan{f}({x})"),
    }

    /// Inverse sine, in radians.
    asin(input: Tensor) -> Tensor, Unit {
        body: Elementwise(float1!(|a| Real::asin(a); |z| z.asin())),
        vjp: vjp!(|v| v.g() * (1.0 - v.x(0) * v.x(0)).rsqrt()), saves: Saves::X,
        inplace: true, aliases: &["arcsin"], onnx: Some("Asin"), c: Some("asin{f}({x})"),
    }

    /// Inverse cosine, in radians.
    acos(input: Tensor) -> Tensor, Unit {
        body: Elementwise(float1!(|a| Real::acos(a); |z| z.acos())),
        vjp: vjp!(|v| -(v.g() * (1.0 - v.x(0) * v.x(0)).rsqrt())), saves: Saves::X,
        inplace: true, aliases: &["arccos"], onnx: Some("Acos"), c: Some("acos{f}({x})"),
    }

    /// Inverse tangent, in radians.
    atan(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::atan(a); |z| z.atan())),
        vjp: vjp!(|v| v.g() / (v.x(0) * v.x(0) + 1.0)), saves: Saves::X,
        inplace: true, aliases: &["arctan"], onnx: Some("Atan"), c: Some("atan{f}({x})"),
    }

    /// The angle of the point (`other`, `input`), in radians from -pi to pi.
    atan2(input: Tensor, other: Tensor) -> Tensor, NonZero {
        body: Elementwise(float2!(|a, b| Real::atan2(a, b))),
        vjp: vjp!(|v| {
            // At the origin there is no angle, and no slope.
            let (y, x) = (v.x(0), v.x(1));
            let r = y.with(&x, |y, x| y.hypot(x));
            let away = r.ne(0.0);
            let part = |e: &Ex| (v.g() * (e / &r) / &r).keep(&away);
            [v.want(0, || part(&x)), v.want(1, || -part(&y))]
        }),
        saves: Saves::XB, inplace: true, aliases: &["arctan2"], c: Some("atan2{f}({x}, {y})"),
        samples: &["z(2, 3), z(3)"],
    }

    /// Hyperbolic sine.
    sinh(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::sinh(a); |z| z.sinh())),
        vjp: vjp!(|v| v.g() * v.x(0).then(|x| x.cosh())), saves: Saves::X,
        inplace: true, onnx: Some("Sinh"), c: Some("sinh{f}({x})"),
    }

    /// Hyperbolic cosine.
    cosh(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::cosh(a); |z| z.cosh())),
        vjp: vjp!(|v| v.g() * v.x(0).then(|x| x.sinh())), saves: Saves::X,
        inplace: true, onnx: Some("Cosh"), c: Some("cosh{f}({x})"),
    }

    /// Hyperbolic tangent.
    tanh(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::tanh(a); |z| z.tanh())),
        vjp: vjp!(|v| v.g().with(v.y(), Tensor::tanh_backward)), saves: Saves::OUTPUT,
        inplace: true, onnx: Some("Tanh"), c: Some("tanh{f}({x})"),
    }

    /// Gradient of `tanh`: `grad_output * (1 - output^2)`.
    tanh_backward(grad_output: Tensor, output: Tensor) -> Tensor, Unit {
        body: Elementwise(float2!(|g, y| g * (1.0 - y * y); |g, y| g * (c(1.0, 0.0) - y * y))),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), Tensor::tanh_backward)),
            v.want(1, || v.g() * v.x(0) * (v.x(1) * -2.0)),
        ]),
        saves: Saves::XB, method: false, function: false,
    }

    /// Inverse hyperbolic sine.
    asinh(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::asinh(a); |z| z.asinh())),
        vjp: vjp!(|v| v.g() * (v.x(0) * v.x(0) + 1.0).rsqrt()), saves: Saves::X,
        inplace: true, aliases: &["arcsinh"], onnx: Some("Asinh"), c: Some("asinh{f}({x})"),
    }

    /// Inverse hyperbolic cosine.
    acosh(input: Tensor) -> Tensor, Special {
        body: Elementwise(float1!(|a| Real::acosh(a); |z| z.acosh())),
        vjp: vjp!(|v| v.g() * (v.x(0) * v.x(0) - 1.0).rsqrt()), saves: Saves::X,
        inplace: true, aliases: &["arccosh"], onnx: Some("Acosh"), c: Some("acosh{f}({x})"),
        samples: &["p(2, 3) + 1"],
    }

    /// Inverse hyperbolic tangent.
    atanh(input: Tensor) -> Tensor, Unit {
        body: Elementwise(float1!(|a| Real::atanh(a); |z| z.atanh())),
        vjp: vjp!(|v| v.g() / (1.0 - v.x(0) * v.x(0))), saves: Saves::X,
        inplace: true, aliases: &["arctanh"], onnx: Some("Atanh"), c: Some("atanh{f}({x})"),
    }

    /// `sqrt(input^2 + other^2)` without overflow in between.
    hypot(input: Tensor, other: Tensor) -> Tensor, NonZero {
        body: Elementwise(|c| run::<2>(c, kernel!(float |a, b, _p| Real::hypot(a, b)), Promote::Common, Params::default())),
        vjp: vjp!(|v| [v.want(0, || v.g() * (v.x(0) / v.y())), v.want(1, || v.g() * (v.x(1) / v.y()))]),
        saves: Saves::XB.and(Saves::OUTPUT), inplace: true, c: Some("hypot{f}({x}, {y})"),
        samples: &["z(2, 3), z(3)"],
    }

    /// `sin(pi input) / (pi input)`; 1 at 0.
    sinc(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            // The distance to the next whole number is exact, at which the sine changes its sign.
            let k = with_complex!(kernel!(float |a, p| {
                let whole = Real::round(a);
                let (s, half) = (Real::sin((a - whole) * p[0]), whole * 0.5);
                let s = if half == half.trunc() { s } else { -s };
                if a == 0.0 { 1.0 } else { s / (a * p[0]) }
            }), put |z; _p| z.sinc());
            run::<1>(c, k, Promote::ToFloat, Params::new(&[Scalar::Float(PI)]))
        }),
        vjp: vjp!(|v| {
            let x = v.x(0);
            if v.dtype(0).is_complex() {
                let z = &x * PI;
                let slope = (z.cos() - z.sin() / &z) / &x;
                return v.g().with(slope.with(x.eq(0.0), |s, none| s.masked_fill(none, &Tensor::number(Scalar::Int(0))?)), |g, s| g.mul(s)).grads();
            }
            let near = x.abs().lt(0.1);
            // Where the terms of the quotient cancel, the power series; each side sees harmless numbers where the other counts.
            let far = x.keep(near.eq(0.0)) + near.then(|n| n.to_dtype(v.dtype(0)));
            let small = x.keep(&near) * PI;
            let q = small.square();
            let series = [-1.0 / 3991680.0, 1.0 / 45360.0, -1.0 / 840.0, 1.0 / 30.0, -1.0 / 3.0];
            let series = series.iter().fold(Ex::Num(1.0 / 518918400.0), |s, &c| s * &q + c) * small;
            // Whole turns are left out before they are rounded.
            let turn = far.then(|x| x.fmod(&Tensor::number(Scalar::Int(2))?)) * PI;
            let quotient = (turn.cos() - turn.sin() / (&far * PI)) / &far;
            (v.g() * (quotient.keep(near.eq(0.0)) + series * PI)).grads()
        }),
        saves: Saves::X, inplace: true,
        samples: &["r(2, 3)", "t([0.0, 0.5, -1.2])"],
    }

    /// Degrees to radians.
    deg2rad(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| times(c, PI / 180.0)),
        vjp: vjp!(|v| v.g() * (PI / 180.0)),
        inplace: true,
    }

    /// Radians to degrees.
    rad2deg(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| times(c, 180.0 / PI)),
        vjp: vjp!(|v| v.g() * (180.0 / PI)),
        inplace: true,
    }

    // ---- rounding ----

    /// The next whole number above.
    ceil(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| eval_round(c, kernel!(float |a, _p| a.ceil()))),
        vjp: vjp!(|v| zeros(v, 0)),
        inplace: true, onnx: Some("Ceil"), c: Some("ceil{f}({x})"),
    }

    /// The next whole number below.
    floor(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| eval_round(c, kernel!(float |a, _p| a.floor()))),
        vjp: vjp!(|v| zeros(v, 0)),
        inplace: true, onnx: Some("Floor"), c: Some("floor{f}({x})"),
    }

    /// The whole number next to it on the side of 0.
    trunc(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| eval_round(c, kernel!(float |a, _p| a.trunc()))),
        vjp: vjp!(|v| zeros(v, 0)),
        inplace: true, aliases: &["fix"], c: Some("trunc{f}({x})"),
    }

    /// To the nearest number with `decimals` decimal places, halves to even.
    round(input: Tensor, decimals: Int = 0) -> Tensor, Real {
        body: Elementwise(eval_round_decimals),
        vjp: vjp!(|v| zeros(v, 0)),
        inplace: true, onnx: Some("Round"),
        samples: &["r(3)", "r(3), 1"],
    }

    /// `input - trunc(input)`.
    frac(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| run::<1>(c, kernel!(float |a, _p| Real::frac(a)), Promote::Common, Params::default())),
        vjp: vjp!(|v| v.g()),
        inplace: true,
    }

    /// NaN becomes `nan` (0), the infinities `posinf` and `neginf` (the greatest and the lowest number of the dtype).
    nan_to_num(input: Tensor, nan: OptFloat = None, posinf: OptFloat = None, neginf: OptFloat = None) -> Tensor, Real {
        body: Elementwise(eval_nan_to_num),
        vjp: vjp!(|v| v.g().keep(v.x(0).then(|x| x.isfinite()))), saves: Saves::X,
        inplace: true,
        samples: &["t([nan, inf, -inf, 1.5]), 2.0, 3.0, -4.0", "r(3)"],
    }

    // ---- special functions ----

    /// Error function.
    erf(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::erf(a))),
        vjp: vjp!(|v| v.g() * ((-v.x(0).square()).exp() * FRAC_2_SQRT_PI)), saves: Saves::X,
        inplace: true, onnx: Some("Erf"), c: Some("erf{f}({x})"),
    }

    /// `1 - erf(input)`, accurate for large numbers.
    erfc(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::erfc(a))),
        vjp: vjp!(|v| v.g() * ((-v.x(0).square()).exp() * -FRAC_2_SQRT_PI)), saves: Saves::X,
        inplace: true, c: Some("erfc{f}({x})"),
    }

    /// The inverse of `erf`.
    erfinv(input: Tensor) -> Tensor, Unit {
        body: Elementwise(float1!(|a| Real::erfinv(a))),
        vjp: vjp!(|v| v.g() * (v.y().square().exp() * (1.0 / FRAC_2_SQRT_PI))), saves: Saves::OUTPUT,
        inplace: true,
    }

    /// `log |gamma(input)|`.
    lgamma(input: Tensor) -> Tensor, Positive {
        body: Elementwise(float1!(|a| Real::lgamma(a))),
        vjp: vjp!(|v| v.g() * v.x(0).then(|x| x.digamma())), saves: Saves::X,
        inplace: true, c: Some("lgamma{f}({x})"),
        samples: &["p(3)", "t([-0.5, -1.3, 2.5])"],
    }

    /// The derivative of `lgamma`.
    digamma(input: Tensor) -> Tensor, Positive {
        body: Elementwise(float1!(|a| Real::digamma(a))),
        vjp: vjp!(|v| v.g() * v.x(0).then(|x| Tensor::polygamma(1, x))), saves: Saves::X,
        inplace: true,
        samples: &["p(3)", "t([-0.5, -1.3, 2.5])"],
    }

    /// The derivative of order `n` of `digamma`.
    polygamma(n: Int, input: Tensor) -> Tensor, Positive {
        body: Elementwise(eval_polygamma),
        vjp: vjp!(|v| v.g() * v.x(0).then(|x| Tensor::polygamma(v.int(0).saturating_add(1), x))), saves: Saves::X,
        inplace: true,
        refuses: &[Refusal { call: "-1, rt.ones(1)", message: "negative n" }],
        samples: &["1, p(3)", "0, p(3)", "2, p(3)"],
    }

    /// The regularised lower incomplete gamma function: the integral of `t^(input - 1) e^-t / gamma(input)` from 0 to `other`.
    igamma(input: Tensor, other: Tensor) -> Tensor, Positive {
        body: Elementwise(|c| eval_gamma(c, kernel!(float |a, x, _p| Real::of(incomplete_gamma(a.as_f64(), x.as_f64(), false))))),
        vjp: vjp!(|v| igamma_rule(v, 1.0)), saves: Saves::XB, inplace: true,
        samples: &["tied([0.5, 2.0, 30.0]), tied([0.2, 3.0, 25.0])", "c([0.5, 1.5]), p(3, 2)"],
    }

    /// The regularised upper incomplete gamma function, `1 - igamma(input, other)`.
    igammac(input: Tensor, other: Tensor) -> Tensor, Positive {
        body: Elementwise(|c| eval_gamma(c, kernel!(float |a, x, _p| Real::of(incomplete_gamma(a.as_f64(), x.as_f64(), true))))),
        vjp: vjp!(|v| igamma_rule(v, -1.0)), saves: Saves::XB, inplace: true,
        samples: &["tied([0.5, 2.0, 30.0]), tied([0.2, 3.0, 25.0])", "c([0.5, 1.5]), p(3, 2)"],
    }
}
