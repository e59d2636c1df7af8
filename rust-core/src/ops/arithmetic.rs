//! Arithmetic: sums, products, quotients, powers, signs.

use crate::{bail, by_parts, kernel, with_complex};
use crate::dtype::{Category, DType, Scalar};
use crate::engine::complex::real_of;
use crate::engine::copy::{check_number, contiguous_unlocked, only};
use crate::engine::elementwise::{Plan, run_as, run_on};
use crate::engine::promotion::{Promote, common_dtype, result_type};
use crate::error::Result;
use crate::funnel::call_inplace;
use crate::kernels::complex::c as complex;
use crate::kernels::elementwise::{Loops, Params};
use crate::kernels::math::{floor_div, floor_rest};
use crate::table::{Attr, Call, Refusal, Saves, Takes, Vjp, one};
use crate::table::lang::Ex;
use crate::table::loops::{dtype_of, float1, float2, no_bool, run, test1, unsigned};
use crate::table::rules::{complex_number, log_of, plain_number, zeros};
use crate::tensor::Tensor;

/// `e * s` for an attribute `s`, which is mostly 1.
fn scaled(e: Ex, s: Scalar) -> Ex {
    match s {
        Scalar::Complex(..) => e * Ex::from(Tensor::number(s)),
        s if s.f64() == 1.0 => e,
        s => e * Ex::Num(s.f64()),
    }
}

/// Numbers for the loops of dtype `common`.
fn params_of(common: DType, values: &[Scalar]) -> Params {
    if common.is_complex() {
        Params::complex(values)
    } else {
        Params::new(values)
    }
}

/// A float attribute must not meet whole numbers.
fn alpha(c: &Call, k: usize, name: &str) -> Result<Scalar> {
    let a = c.scalar(k);
    if a == Scalar::Int(1) {
        return Ok(a);
    }
    let common = dtype_of(c)?;
    if a.category() == Category::Complex && !common.is_complex() {
        bail!(Value, "For non-complex input tensors, argument {name} must not be a complex number.");
    }
    if a.category() == Category::Float && !common.is_differentiable() {
        bail!(Value, "For integral input tensors, argument {name} must not be a floating point number.");
    }
    if a.category() == Category::Bool && common != DType::Bool {
        bail!(Value, "Boolean {name} only supported for Boolean results.");
    }
    a.held_by(common)
}

fn eval_add<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    match alpha(c, 0, "alpha")? {
        Scalar::Int(1) => run::<2>(
            c,
            by_parts!(kernel!(split |a, b, _p| a + b; |a, b, _p| a.wrapping_add(b))),
            Promote::Common,
            Params::default(),
        ),
        s => run::<2>(
            c,
            with_complex!(kernel!(split |a, b, p| a + p[0] * b; |a, b, p| a.wrapping_add(p[0].wrapping_mul(b))),
                put |a, b; p| a + engine::number(p, 0) * b),
            Promote::Common,
            params_of(dtype_of(c)?, &[s]),
        ),
    }
}

/// `a - alpha * b`.
fn subtract<'a>(c: &Call<'a>, a: &'a Tensor, b: &'a Tensor) -> Result<Plan<'a>> {
    if [a, b].iter().any(|t| t.dtype() == DType::Bool) {
        bail!(
            DType,
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, \
            use the `~` or `logical_not()` operator instead; for two masks, `^` or `logical_xor()`."
        );
    }
    match alpha(c, 0, "alpha")? {
        Scalar::Int(1) => run_on(by_parts!(kernel!(split |a, b, _p| a - b; |a, b, _p| a.wrapping_sub(b))),
            [a, b],
            Promote::Common,
            Params::default(),
        ),
        s => run_on(
            with_complex!(kernel!(split |a, b, p| a - p[0] * b; |a, b, p| a.wrapping_sub(p[0].wrapping_mul(b))),
                put |a, b; p| a - engine::number(p, 0) * b),
            [a, b],
            Promote::Common,
            params_of(dtype_of(c)?, &[s]),
        ),
    }
}

const TRUNC_DIVIDE: &Loops = kernel!(split |a, b, _p| (a / b).trunc(); |a, b, _p| a.wrapping_div(b));

const FLOOR_DIVIDE: &Loops = kernel!(split |a, b, _p| Real::floor_divide(a, b); |a, b, _p| floor_div(a, b));

fn eval_div<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    match c.str(0) {
        "" => run::<2>(
            c,
            with_complex!(kernel!(float | a, b, _p | a / b), put |a, b; _p| a / b),
            Promote::ToFloat,
            Params::default(),
        ),
        "trunc" => divide(c, TRUNC_DIVIDE),
        "floor" => divide(c, FLOOR_DIVIDE),
        mode => {
            bail!(Value, "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{mode}'")
        }
    }
}

/// A division, or its rest, that whole numbers cannot do by zero.
fn divide<'a>(c: &Call<'a>, k: &'static Loops) -> Result<Plan<'a>> {
    no_bool(c, "")?;
    let common = dtype_of(c)?;
    if !common.is_differentiable() && !c.meta {
        // As the common dtype holds it: 256 is 0 in int8.
        let b = contiguous_unlocked(&contiguous_unlocked(c.x(1), common, false)?, DType::I64, false)?;
        // SAFETY: row-major, `numel` elements of i64.
        if unsafe { std::slice::from_raw_parts(b.ptr::<i64>(), b.numel()) }.contains(&0) {
            bail!(Value, "ZeroDivisionError");
        }
    }
    run::<2>(c, k, Promote::Common, Params::default())
}

/// `a^b` by squaring, with wrap-around; a negative power is 0 but for bases 1 and -1.
#[inline(always)]
fn int_pow(a: i64, b: i64) -> i64 {
    if b < 0 {
        return match a {
            1 => 1,
            -1 => 1 - 2 * (b & 1),
            _ => 0,
        };
    }
    let (mut r, mut base, mut n) = (1i64, a, b);
    while n > 0 {
        if n & 1 == 1 {
            r = r.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        n >>= 1;
    }
    r
}

const POW: &Loops =
    with_complex!(kernel!(split |a, b, _p| Real::pow(a, b); |a, b, _p| int_pow(a, b)), put |a, b; _p| a.pow(b));

const SQUARE: &Loops = with_complex!(kernel!(split |a, _p| a * a; |a, _p| a.wrapping_mul(a)), put |a; _p| a * a);

fn eval_pow<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    let (x, e) = (c.x(0), c.x(1));
    let common = common_dtype(&[x, e], Promote::Common)?;
    if e.ndim() == 0 && !e.is_meta() {
        let e = only(e);
        if common.is_complex() {
            return complex_pow(c, e, common);
        }
        if !common.is_float() && c.x(1).0.wrapped && e.i64() < 0 {
            bail!(Value, "Integers to negative integer powers are not allowed.");
        }
        if !common.is_float() {
            check_number(c.x(1), common)?;
        }
        if let Some(k) = special_power(e.f64(), common) {
            return run_as(k, [x], common, common, Params::default());
        }
    }
    if e.ndim() > 0 || !e.is_meta() {
        no_bool(c, "")?;
    }
    if x.0.wrapped && common.is_float() && !x.is_meta() && only(x).f64() == 2.0 {
        return run_as(kernel!(float | b, _p | Real::exp2(b)), [e], common, common, Params::default());
    }
    run::<2>(c, POW, Promote::Common, Params::default())
}

/// A complex power with one exponent for all.
fn complex_pow<'a>(c: &Call<'a>, e: Scalar, common: DType) -> Result<Plan<'a>> {
    let k = match (e.f64(), e.imaginary()) {
        (1.0, 0.0) => with_complex!(&Loops::NONE, put |a; _p| a),
        (2.0, 0.0) => SQUARE,
        (3.0, 0.0) => with_complex!(&Loops::NONE, put |a; _p| a * a * a),
        (0.5, 0.0) => with_complex!(&Loops::NONE, put |a; _p| a.sqrt()),
        (-0.5, 0.0) => with_complex!(&Loops::NONE, put |a; _p| a.rsqrt()),
        (-1.0, 0.0) => with_complex!(&Loops::NONE, put |a; _p| c(1.0, 0.0) / a),
        (-2.0, 0.0) => with_complex!(&Loops::NONE, put |a; _p| c(1.0, 0.0) / (a * a)),
        _ => return run::<2>(c, POW, Promote::Common, Params::default()),
    };
    run_as(k, [c.x(0)], common, common, Params::default())
}

/// Loops for exponents that need no logarithm.
fn special_power(e: f64, common: DType) -> Option<&'static Loops> {
    if e == 0.0 {
        return Some(kernel!(split |_a, _p| 1.0; |_a, _p| 1));
    }
    if e == 1.0 {
        return Some(kernel!(all | a, _p | a));
    }
    if common == DType::Bool {
        return None;
    }
    if e == 2.0 {
        return Some(SQUARE);
    }
    if e == 3.0 {
        return Some(kernel!(split |a, _p| a * a * a; |a, _p| a.wrapping_mul(a).wrapping_mul(a)));
    }
    if !common.is_float() {
        return None;
    }
    Some(if e == 0.5 {
        kernel!(float | a, _p | a.sqrt())
    } else if e == -0.5 {
        kernel!(float | a, _p | Real::rsqrt(a))
    } else if e == -1.0 {
        kernel!(float | a, _p | 1.0 / a)
    } else if e == -2.0 {
        kernel!(float | a, _p | 1.0 / (a * a))
    } else {
        return None;
    })
}

/// Gradients of `x^e`: 0 for the base where the exponent is 0, and 0 for the exponent where `0^e` stays 0.
fn vjp_pow(v: &Vjp) -> [Ex; 2] {
    let (x, e) = (v.x(0), v.x(1));
    let base = v.want(0, || match plain_number(&e) {
        Some(0.0) => zeros(v, 0),
        Some(1.0) => v.g(),
        Some(2.0) => v.g() * (&x * 2.0),
        Some(n) => v.g() * (x.pow(n - 1.0) * n),
        None => {
            let less = complex_number(&e, |z| z - complex(1.0, 0.0)).unwrap_or_else(|| &e - 1.0);
            (v.g() * (&e * x.with(less, |x, e| x.pow(e)))).keep(e.ne(0.0))
        }
    });
    let exponent = v.want(1, || {
        let y = x.with(&e, |x, e| x.pow(e));
        let from_zero = e.then(|e| if e.dtype().is_complex() { e.real()?.ge(&Tensor::number(Scalar::Int(0))?) } else { e.ge(&Tensor::number(Scalar::Int(0))?) });
        let stays = x.eq(0.0).with(from_zero, |a, b| a.logical_and(b));
        v.g() * (y * log_of(&x)).keep(stays.then(|m| m.logical_not()))
    });
    [base, exponent]
}

fn eval_lerp<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    let (x, end) = (c.x(0), c.x(1));
    if x.dtype() != end.dtype() {
        bail!(DType, "expected dtype {} for `end` but got dtype {}", x.dtype(), end.dtype());
    }
    if !x.dtype().is_differentiable() {
        bail!(DType, "not implemented for dtype {}", x.dtype());
    }
    if !c.x(2).0.wrapped && c.x(2).dtype() != x.dtype() {
        bail!(DType, "expected dtype {} for `weight` but got dtype {}", x.dtype(), c.x(2).dtype());
    }
    // From the nearer end, so that both ends are hit exactly.
    let k = with_complex!(
        kernel!(float | a, b, w, _p | if w.abs() < 0.5 { a + w * (b - a) } else { b - (b - a) * (1.0 - w) }),
        put |a, b, w; _p| if w.abs() < 0.5 { a + w * (b - a) } else { b - (b - a) * (c(1.0, 0.0) - w) });
    run::<3>(c, k, Promote::Common, Params::default())
}

fn eval_addcdiv<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    if !result_type([c.x(1), c.x(2)].into_iter())?.is_differentiable() {
        bail!(DType, "Integer division with addcdiv is no longer supported; divide with true_divide and add instead");
    }
    let common = dtype_of(c)?;
    let p = params_of(common, &[c.scalar(0).held_by(common)?]);
    let k = with_complex!(kernel!(float | a, b, d, p | a + p[0] * b / d), put |a, b, d; p| a + engine::number(p, 0) * b / d);
    run::<3>(c, k, Promote::ToFloat, p)
}

impl Tensor {
    /// `add` in place.
    pub(crate) fn add_(&self, other: &Tensor, alpha: i64) -> Result<Tensor> {
        call_inplace(&defs::add, &[Some(self), Some(other)], &[Attr::Int(alpha)])
    }
    /// `lerp` in place.
    pub(crate) fn lerp_(&self, end: &Tensor, weight: &Tensor) -> Result<Tensor> {
        call_inplace(&defs::lerp, &[Some(self), Some(end), Some(weight)], &[])
    }
}

ops! {
    // ---- arithmetic ----

    /// `input + alpha * other`, elementwise with broadcasting.
    add(input: Tensor, other: Operand, alpha: Scalar = 1) -> Tensor, Real {
        body: Elementwise(eval_add),
        vjp: vjp!(|v| [v.g(), v.want(1, || scaled(v.g(), v.scalar(0)))]),
        inplace: true, onnx: Some("Add"), c: Some("{x} + {y}"),
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(4)", message: "do not broadcast" }],
        samples: &["r(2, 3), r(3), alpha=2.5", "r(2, 1), 1.5, alpha=-2"],
        takes: Takes::COMPLEX,
    }

    /// `input - alpha * other`, elementwise with broadcasting.
    sub(input: Tensor, other: Operand, alpha: Scalar = 1) -> Tensor, Real {
        body: Elementwise(|c| subtract(c, c.x(0), c.x(1))),
        vjp: vjp!(|v| [v.g(), v.want(1, || -scaled(v.g(), v.scalar(0)))]),
        inplace: true, aliases: &["subtract"], onnx: Some("Sub"), c: Some("{x} - {y}"),
        refuses: &[Refusal { call: "rt.tensor([True]), rt.tensor([True])", message: "with a bool tensor" }],
        samples: &["r(2, 3), r(3), alpha=2.5", "r(2, 1), 1.5, alpha=-2"],
        takes: Takes::COMPLEX,
    }

    /// `other - alpha * input`, elementwise with broadcasting.
    rsub(input: Tensor, other: Operand, alpha: Scalar = 1) -> Tensor, Real {
        body: Elementwise(|c| subtract(c, c.x(1), c.x(0))),
        vjp: vjp!(|v| [v.want(0, || -scaled(v.g(), v.scalar(0))), v.g()]),
        method: false, c: Some("{y} - {x}"),
        samples: &["r(2, 3), r(3), alpha=2.5"],
        takes: Takes::COMPLEX,
    }

    /// `input * other`, elementwise with broadcasting.
    mul(input: Tensor, other: Operand) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = with_complex!(unsigned!(kernel!(split |a, b, _p| a * b; |a, b, _p| a.wrapping_mul(b))), put |a, b; _p| a * b);
            run::<2>(c, k, Promote::Common, Params::default())
        }),
        vjp: vjp!(|v| [v.want(0, || v.g() * v.x(1)), v.want(1, || v.g() * v.x(0))]), saves: Saves::CROSS,
        inplace: true, aliases: &["multiply"], onnx: Some("Mul"), c: Some("{x} * {y}"),
        samples: &["r(2, 3), r(2, 1)", "r(2), 3.5"],
    }

    /// `input / other`, elementwise with broadcasting. `rounding_mode` is None, "trunc" (towards zero) or "floor".
    div(input: Tensor, other: Operand, rounding_mode: Str = "") -> Tensor, NonZero {
        body: Elementwise(eval_div),
        vjp: vjp!(|v| if v.str(0).is_empty() {
            [v.want(0, || v.g() / v.x(1)), v.want(1, || -(v.g() * (v.x(0) / v.x(1)) / v.x(1)))]
        } else {
            [zeros(v, 0), zeros(v, 1)]
        }),
        saves: Saves::XB,
        inplace: true, aliases: &["divide", "true_divide"], onnx: Some("Div"), c: Some("{x} / {y}"),
        refuses: &[
            Refusal { call: "rt.ones(2), 2, rounding_mode='up'", message: "rounding_mode" },
            Refusal { call: "rt.tensor([1]), 0, rounding_mode='floor'", message: "ZeroDivisionError" },
        ],
        samples: &["r(2, 3), z(3)", "r(2, 3), z(2, 1), 'floor'", "r(2, 3), z(3), 'trunc'"],
    }

    /// `input / other` rounded towards minus infinity, as Python's `//`.
    floor_divide(input: Tensor, other: Operand) -> Tensor, NonZero {
        body: Elementwise(|c| divide(c, FLOOR_DIVIDE)),
        inplace: true,
        refuses: &[Refusal { call: "rt.tensor([1]), 0", message: "ZeroDivisionError" }],
    }

    /// The rest of the division that rounds towards minus infinity, as Python's `%`: it has the sign of `other`.
    remainder(input: Tensor, other: Operand) -> Tensor, NonZero {
        body: Elementwise(|c| divide(c, kernel!(split |a, b, _p| Real::remainder(a, b); |a, b, _p| floor_rest(a, b)))),
        vjp: vjp!(|v| [v.g(), v.want(1, || -(v.g() * v.x(0).with(v.x(1), |a, b| a.div(b, "floor"))))]),
        saves: Saves::XB,
        inplace: true, onnx: Some("Mod"),
        refuses: &[Refusal { call: "rt.tensor([1]), 0", message: "ZeroDivisionError" }],
        samples: &["r(2, 3), z(3)", "r(3), 1.5"],
    }

    /// The rest of the division that rounds towards zero, as C's `fmod`: it has the sign of `input`.
    fmod(input: Tensor, other: Operand) -> Tensor, NonZero {
        body: Elementwise(|c| divide(c, kernel!(split |a, b, _p| Real::fmod(a, b); |a, b, _p| a.wrapping_rem(b)))),
        vjp: vjp!(|v| [v.g(), v.want(1, || -(v.g() * v.x(0).with(v.x(1), |a, b| a.div(b, "trunc"))))]),
        saves: Saves::XB,
        inplace: true, onnx: Some("Mod"), c: Some("fmod{f}({x}, {y})"),
        samples: &["r(2, 3), z(3)", "r(3), 1.5"],
    }

    /// `input + value * tensor1 * tensor2`.
    addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, value: Scalar = 1) -> Tensor, Real {
        body: Elementwise(|c| {
            let p = params_of(dtype_of(c)?, &[alpha(c, 0, "value")?]);
            let k = with_complex!(kernel!(split |a, b, d, p| a + p[0] * b * d;
                |a, b, d, p| a.wrapping_add(p[0].wrapping_mul(b).wrapping_mul(d))),
                put |a, b, d; p| a + engine::number(p, 0) * b * d);
            run::<3>(c, k, Promote::Common, p)
        }),
        vjp: vjp!(|v| [
            v.g(),
            v.want(1, || scaled(v.g() * v.x(2), v.scalar(0))),
            v.want(2, || scaled(v.g() * v.x(1), v.scalar(0))),
        ]),
        saves: Saves(6), inplace: true,
        samples: &["r(2, 3), r(3), r(2, 1), value=-1.5"],
        takes: Takes::COMPLEX,
    }

    /// `input + value * tensor1 / tensor2`.
    addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, value: Scalar = 1) -> Tensor, NonZero {
        body: Elementwise(eval_addcdiv),
        vjp: vjp!(|v| [
            v.g(),
            v.want(1, || scaled(v.g() / v.x(2), v.scalar(0))),
            v.want(2, || -scaled(v.g() * (v.x(1) / (v.x(2) * v.x(2))), v.scalar(0))),
        ]),
        saves: Saves(6), inplace: true,
        refuses: &[Refusal { call: "rt.ones(1), rt.tensor([1]), rt.tensor([1])", message: "Integer division" }],
        samples: &["r(2, 3), r(3), z(2, 1), value=-1.5"],
        takes: Takes::COMPLEX,
    }

    /// `input + weight * (end - input)`.
    lerp(input: Tensor, end: Tensor, weight: Operand) -> Tensor, Real {
        body: Elementwise(eval_lerp),
        vjp: vjp!(|v| [
            v.want(0, || {
                let rest = complex_number(&v.x(2), |w| complex(1.0, 0.0) - w);
                v.g() * rest.unwrap_or_else(|| 1.0 - plain_number(&v.x(2)).map_or(v.x(2), Ex::Num))
            }),
            v.want(1, || v.g() * v.x(2)),
            v.want(2, || v.g() * (v.x(1) - v.x(0))),
        ]),
        saves: Saves::INPUTS, inplace: true,
        samples: &["r(2, 3), r(3), r(2, 1)", "r(2), r(2), 0.3", "r(2), r(2), 0.7"],
    }

    /// `-input`.
    neg(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            no_bool(c, ": to invert a mask, use the `~` or `logical_not()` operator")?;
            run::<1>(c, by_parts!(kernel!(split |a, _p| -a; |a, _p| a.wrapping_neg())), Promote::Common, Params::default())
        }),
        vjp: vjp!(|v| -v.g()),
        inplace: true, aliases: &["negative"], onnx: Some("Neg"), c: Some("-{x}"),
        refuses: &[Refusal { call: "rt.tensor([True])", message: "logical_not" }],
    }

    /// `input` itself.
    positive(input: Tensor) -> Tensor, Real {
        body: Composite(|c| {
            no_bool(c, ": the `+` operator on a bool tensor is not supported")?;
            one(c.x(0).clone())
        }),
    }

    /// `1 / input`.
    reciprocal(input: Tensor) -> Tensor, NonZero {
        body: Elementwise(float1!(|a| 1.0 / a; |z| c(1.0, 0.0) / z)),
        vjp: vjp!(|v| -(v.g() * (v.y() * v.y()))), saves: Saves::OUTPUT,
        inplace: true, onnx: Some("Reciprocal"), c: Some("1 / {x}"),
    }

    /// Absolute value.
    abs(input: Tensor) -> Tensor, NonZero {
        body: Elementwise(|c| {
            no_bool(c, "")?;
            if c.x(0).dtype().is_complex() {
                return Ok(real_of(c.x(0), crate::complex_loops!(put_real |z; _p| z.abs())));
            }
            run::<1>(c, kernel!(split |a, _p| a.abs(); |a, _p| a.wrapping_abs()), Promote::Common, Params::default())
        }),
        vjp: vjp!(|v| v.g() * v.x(0).sgn()), saves: Saves::X,
        inplace: true, aliases: &["absolute"], onnx: Some("Abs"), c: Some("fabs{f}({x})"),
        refuses: &[Refusal { call: "rt.tensor([True])", message: "bool" }],
    }

    /// -1, 0 or 1 by the sign; 0 for NaN.
    sign(input: Tensor) -> Tensor, NonZero {
        body: Elementwise(|c| {
            let k = kernel!(split |a, _p| Real::sign(a); |a, _p| a.signum());
            run::<1>(c, k, Promote::Common, Params::default())
        }),
        vjp: vjp!(|v| zeros(v, 0)),
        inplace: true, onnx: Some("Sign"), c: Some("({x} > 0) - ({x} < 0)"),
    }

    /// True where the sign bit is set (-0 included).
    signbit(input: Tensor) -> Tensor, NonZero {
        body: Elementwise(test1!(|a| Real::signbit(a); a < 0)),
    }

    /// The magnitude of `input` with the sign of `other`.
    copysign(input: Tensor, other: Operand) -> Tensor, NonZero {
        body: Elementwise(float2!(|a, b| a.copysign(b))),
        vjp: vjp!(|v| [
            v.want(0, || v.g() * v.x(0).sign() * v.x(0).sign().with(v.x(1), |a, b| a.copysign(b))),
            zeros(v, 1),
        ]),
        saves: Saves::XB, inplace: true, c: Some("copysign{f}({x}, {y})"),
        samples: &["z(2, 3), z(3)", "z(3), -1.5"],
    }

    // ---- powers ----

    /// `input ^ exponent`. Whole numbers stay whole; a negative exponent for them must be a tensor.
    pow(input: Tensor, exponent: Operand) -> Tensor, Positive {
        body: Elementwise(eval_pow),
        vjp: vjp!(|v| vjp_pow(v)), saves: Saves::XB,
        inplace: true, onnx: Some("Pow"), c: Some("pow{f}({x}, {y})"),
        refuses: &[Refusal { call: "rt.tensor([2]), -1", message: "negative integer powers" }],
        samples: &["p(2, 3), r(3)", "z(3), 3", "z(3), 2", "p(3), -1.5", "z(3), 1", "t([0.0, 1.5]), 2"],
    }

    /// `input ^ exponent`, computed in float64.
    float_power(input: Tensor, exponent: Operand) -> Tensor, Positive {
        body: Elementwise(|c| {
            let complex = c.x(0).dtype().is_complex() || c.x(1).dtype().is_complex();
            let d = if complex { DType::C128 } else { DType::F64 };
            run_as(POW, [c.x(0), c.x(1)], d, d, Params::default())
        }),
        vjp: vjp!(|v| vjp_pow(v)), saves: Saves::XB,
        inplace: true,
        samples: &["p(2, 3), r(3)", "z(3), 2"],
    }

    /// `input * input`.
    square(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            let d = c.x(0).dtype();
            let common = if d == DType::Bool { DType::I64 } else { d };
            run_as(SQUARE, [c.x(0)], common, common, Params::default())
        }),
        vjp: vjp!(|v| v.g() * (v.x(0) * 2.0)), saves: Saves::X,
        inplace: true, c: Some("{x} * {x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(n: usize) -> Vec<f32> {
        (0..n).map(|i| i as f32 * 0.5 - 3.0).collect()
    }

    #[test]
    fn operands_may_lie_in_any_way() -> Result<()> {
        let (rows, columns) = (37, 70);
        let a = Tensor::from_slice(&range(rows * columns), &[rows, columns])?;
        let full = a.to_vec::<f32>()?;
        let turned = Tensor::from_slice(&range(rows * columns), &[columns, rows])?.transpose(0, 1)?;
        let others = [
            Tensor::from_slice(&range(columns), &[columns])?,
            Tensor::from_slice(&range(rows), &[rows, 1])?,
            Tensor::from_slice(&[2.0f32], &[])?,
            turned.clone(),
            turned.to_dtype(DType::I32)?,
            Tensor::from_slice(&range(columns), &[1, columns])?.expand(&[rows as i64, columns as i64])?,
        ];
        for b in &others {
            let wide = b.expand(&[rows as i64, columns as i64])?.to_vec::<f32>()?;
            let want: Vec<f32> = full.iter().zip(&wide).map(|(a, b)| a - b).collect();
            assert_eq!(a.sub(b, 1)?.to_vec::<f32>()?, want);
            assert_eq!(b.rsub(&a, 1)?.to_vec::<f32>()?, want);
            let target = a.duplicate()?;
            call_inplace(&defs::sub, &[Some(&target), Some(b)], &[Attr::Int(1)])?;
            assert_eq!(target.to_vec::<f32>()?, want);
        }
        Ok(())
    }

    #[test]
    fn in_place_on_overlapping_views() -> Result<()> {
        let x = Tensor::from_slice(&range(100), &[100])?;
        let before = x.to_vec::<f32>()?;
        let (low, high) = (x.as_strided(&[99], &[1], Some(0))?, x.as_strided(&[99], &[1], Some(1))?);
        let add = |to, other| call_inplace(&defs::add, &[Some(to), Some(other)], &[Attr::Int(1)]);
        // What would be read after it was written is refused, and nothing has changed.
        assert_eq!(add(&high, &low).unwrap_err().kind(), crate::error::Kind::Value);
        assert_eq!(x.to_vec::<f32>()?, before);
        // The very same elements are read before they are written.
        add(&high, &high.alias())?;
        assert_eq!(high.to_vec::<f32>()?, before[1..].iter().map(|v| v + v).collect::<Vec<f32>>());
        Ok(())
    }

    #[test]
    fn whole_numbers() -> Result<()> {
        let a = Tensor::from_slice(&[7i64, -7, i64::MIN, 5], &[4])?;
        let b = Tensor::from_slice(&[2i64, 2, -1, -3], &[4])?;
        assert_eq!(a.floor_divide(&b)?.to_vec::<i64>()?, [3, -4, i64::MIN, -2]);
        assert_eq!(a.remainder(&b)?.to_vec::<i64>()?, [1, 1, 0, -1]);
        assert_eq!(a.fmod(&b)?.to_vec::<i64>()?, [1, -1, 0, 2]);
        assert_eq!(b.pow(&Tensor::from_slice(&[3i64], &[])?)?.to_vec::<i64>()?, [8, 8, -1, -27]);
        assert!(a.floor_divide(&Tensor::from_slice(&[1i64, 0, 1, 1], &[4])?).is_err());
        Ok(())
    }
}
