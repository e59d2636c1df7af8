//! Extremes, bounds, comparisons and tests of numbers.

use crate::{bail, kernel, with_complex};
use crate::dtype::{DType, Scalar};
use crate::engine::elementwise::{Plan, run_as, run_on};
use crate::engine::promotion::Promote;
use crate::error::Result;
use crate::kernels::elementwise::{Loops, Params};
use crate::table::{Call, Refusal, Saves, Vjp, one};
use crate::table::lang::Ex;
use crate::table::loops::{bounds, clamp_to, no_bool, run, test1, test2, unsigned};
use crate::table::rules::zeros;
use crate::tensor::Tensor;

/// The plan of a comparison that all types know.
macro_rules! equality {
    (|$a:ident, $d:ident| $f:expr) => {
        |c| {
            let k = with_complex!(unsigned!(kernel!(all_to_bool |$a, $d, _p| $f)), put_truth |$a, $d; _p| $f);
            run::<2>(c, k, Promote::ToBool, Params::default())
        }
    };
}

/// The plan of an op in the common dtype: one expression for floats, one for whole numbers.
macro_rules! common2 {
    (|$a:ident, $d:ident| $f:expr; $i:expr) => {
        |c| run::<2>(c, kernel!(split |$a, $d, _p| $f; |$a, $d, _p| $i), Promote::Common, Params::default())
    };
}

fn eval_clamp_tensor<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    match (c.opt(1), c.opt(2)) {
        (Some(lo), Some(hi)) => {
            no_bool(c, "")?;
            let k = kernel!(split |a, l, h, _p| Real::minimum(Real::maximum(a, l), h); |a, l, h, _p| a.max(l).min(h));
            run_on(k, [c.x(0), lo, hi], Promote::Common, Params::default())
        }
        (Some(lo), None) => run_on(MAXIMUM, [c.x(0), lo], Promote::Common, Params::default()),
        (None, Some(hi)) => run_on(MINIMUM, [c.x(0), hi], Promote::Common, Params::default()),
        (None, None) => bail!(Value, "At least one of 'min' or 'max' must not be None"),
    }
}

fn vjp_clamp_tensor(v: &Vjp) -> [Ex; 3] {
    let (x, lo, hi) = (v.x(0), v.x(1), v.x(2));
    let both = |a: Ex, b: Ex| match (a.is_none(), b.is_none()) {
        (false, false) => a.with(b, |a, b| a.logical_and(b)),
        (true, _) => b,
        _ => a,
    };
    // Where both bounds cross, the upper one is the result.
    let below = |strict: Ex| both(strict, lo.lt(&hi));
    [
        v.want(0, || v.g().keep(both(x.ge(&lo), x.le(&hi)))),
        v.want(1, || v.g().keep(below(x.lt(&lo)))),
        v.want(2, || {
            let over = x.gt(&hi);
            let crossed = hi.lt(&lo);
            v.g().keep(if crossed.is_none() { over } else { over.with(crossed, |a, b| a.logical_or(b)) })
        }),
    ]
}

const MAXIMUM: &Loops = kernel!(split |a, b, _p| Real::maximum(a, b); |a, b, _p| a.max(b));

const MINIMUM: &Loops = kernel!(split |a, b, _p| Real::minimum(a, b); |a, b, _p| a.min(b));

fn eval_isclose<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    let (x, y) = (c.x(0), c.x(1));
    if x.dtype() != y.dtype() {
        bail!(DType, "{} did not match {}", x.dtype(), y.dtype());
    }
    for (k, name) in ["rtol", "atol"].iter().enumerate() {
        if c.float(k).is_nan() || c.float(k) < 0.0 {
            bail!(Value, "{name} must be greater than or equal to zero, but got {}", c.float(k));
        }
    }
    let k = with_complex!(unsigned!(kernel!(split_to_bool |a, b, p| {
        let error = (a - b).abs();
        (a == b)
            | ((p[2] != 0.0) & a.is_nan() & b.is_nan())
            | (error.is_finite() & (error <= p[1] + (p[0] * b).abs()))
    }; |a, b, p| {
        // Of whole numbers the difference is exact; the tolerances are floats.
        let (relative, absolute) = (f64::from_bits(p[0] as u64), f64::from_bits(p[1] as u64));
        (a == b) | (a.abs_diff(b) as f64 <= absolute + (relative * b as f64).abs())
    })), put_truth |a, b; p| {
        let error = (a - b).abs();
        let nan = |z: engine::C| z.re.is_nan() || z.im.is_nan();
        a == b || p.f[2] != 0.0 && nan(a) && nan(b) || error.is_finite() && error <= p.f[1] + p.f[0] * b.abs()
    });
    // Numbers of uint64 are read as those of int64.
    let large = unsigned!(kernel!(int |a, b, p| {
        let (relative, absolute) = (f64::from_bits(p[0] as u64), f64::from_bits(p[1] as u64));
        let (a, b) = (a as u64, b as u64);
        ((a == b) | (a.abs_diff(b) as f64 <= absolute + (relative * b as f64).abs())) as i64
    }));
    let (relative, absolute) = (c.float(0), c.float(1));
    let p = Params {
        f: [relative, absolute, c.bool(2) as u8 as f64, 0.0],
        i: [relative.to_bits() as i64, absolute.to_bits() as i64, 0, 0],
    };
    run_as(if x.dtype() == DType::U64 { large } else { k }, [x, y], x.dtype(), DType::Bool, p)
}

ops! {
    // ---- extremes ----

    /// The greater one; NaN if either is. Equal operands share the gradient.
    maximum(input: Tensor, other: Tensor) -> Tensor, Real {
        body: Elementwise(|c| run::<2>(c, MAXIMUM, Promote::Common, Params::default())),
        vjp: vjp!(|v| [
            v.want(0, || v.g().then(|g| Tensor::extreme_backward(g, &v.x(0).tensor()?, &v.x(1).tensor()?))),
            v.want(1, || v.g().then(|g| Tensor::extreme_backward(g, &v.x(1).tensor()?, &v.x(0).tensor()?))),
        ]),
        saves: Saves::XB, onnx: Some("Max"),
        samples: &["r(2, 3), r(3)", "tied([1.0, 2.0, 3.0]), tied([1.0, 3.0, 2.0])"],
    }

    /// The smaller one; NaN if either is. Equal operands share the gradient.
    minimum(input: Tensor, other: Tensor) -> Tensor, Real {
        body: Elementwise(|c| run::<2>(c, MINIMUM, Promote::Common, Params::default())),
        vjp: vjp!(|v| [
            v.want(0, || v.g().then(|g| Tensor::extreme_backward(g, &v.x(1).tensor()?, &v.x(0).tensor()?))),
            v.want(1, || v.g().then(|g| Tensor::extreme_backward(g, &v.x(0).tensor()?, &v.x(1).tensor()?))),
        ]),
        saves: Saves::XB, onnx: Some("Min"),
        samples: &["r(2, 3), r(3)", "tied([1.0, 2.0, 3.0]), tied([1.0, 3.0, 2.0])"],
    }

    /// `grad_output` where `high` is greater than `low`, half of it where they are equal, 0 where it is smaller.
    extreme_backward(grad_output: Tensor, high: Tensor, low: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |g, a, b, _p| {
                let tied = if a == b { g * 0.5 } else { g };
                if a < b { 0.0 } else { tied }
            });
            run::<3>(c, k, Promote::Common, Params::default())
        }),
        vjp: vjp!(|v| [
            v.want(0, || v.g().then(|g| Tensor::extreme_backward(g, &v.x(1).tensor()?, &v.x(2).tensor()?))),
            zeros(v, 1),
            zeros(v, 2),
        ]),
        saves: Saves(6), method: false, function: false,
        samples: &["r(3), r(3), r(3)", "r(3), c([1.0, 2.0, 3.0]), c([1.0, 3.0, 2.0])"],
    }

    /// The greater one; a NaN loses.
    fmax(input: Tensor, other: Tensor) -> Tensor, Real {
        body: Elementwise(common2!(|a, b| Real::fmax(a, b); a.max(b))),
        vjp: vjp!(|v| {
            let first = v.x(0).ge(v.x(1)).with(v.x(1).then(|y| y.isnan()), |a, b| a.logical_or(b));
            [v.want(0, || v.g().keep(&first)), v.want(1, || v.g().keep(first.then(|m| m.logical_not())))]
        }),
        saves: Saves::XB,
        samples: &["r(2, 3), r(3)", "t([nan, 1.0, 2.0]), t([1.0, nan, 3.0])"],
    }

    /// The smaller one; a NaN loses.
    fmin(input: Tensor, other: Tensor) -> Tensor, Real {
        body: Elementwise(common2!(|a, b| Real::fmin(a, b); a.min(b))),
        vjp: vjp!(|v| {
            let first = v.x(0).le(v.x(1)).with(v.x(1).then(|y| y.isnan()), |a, b| a.logical_or(b));
            [v.want(0, || v.g().keep(&first)), v.want(1, || v.g().keep(first.then(|m| m.logical_not())))]
        }),
        saves: Saves::XB,
        samples: &["r(2, 3), r(3)", "t([nan, 1.0, 2.0]), t([1.0, nan, 3.0])"],
    }

    /// `input` brought into `[min, max]`; `max` wins if the bounds cross. Below all numbers of an unsigned dtype `min` bounds
    /// nothing; other bounds beyond the dtype are refused.
    clamp(input: Tensor, min: OptScalar = None, max: OptScalar = None) -> Tensor, Real {
        body: Elementwise(|c| clamp_to(c, c.opt_scalar(0), c.opt_scalar(1))),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::clamp_backward(g, x, v.opt_scalar(0), v.opt_scalar(1)))),
        saves: Saves::X,
        inplace: true, aliases: &["clip"], onnx: Some("Clip"),
        refuses: &[Refusal { call: "rt.ones(1)", message: "At least one of 'min' or 'max'" }],
        samples: &["t([-2.0, -0.3, 0.4, 3.0]), -1, 1", "t([-2.0, -0.3, 0.4]), min=-0.5", "t([-2.0, 0.3, 0.7]), max=0.5"],
    }

    /// `input` or `min`, whichever is greater.
    clamp_min(input: Tensor, min: Scalar) -> Tensor, Real {
        body: Elementwise(|c| clamp_to(c, c.opt_scalar(0), None)),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::clamp_backward(g, x, v.opt_scalar(0), None))), saves: Saves::X,
        inplace: true,
        samples: &["t([-2.0, 0.4]), 0.1"],
    }

    /// `input` or `max`, whichever is smaller.
    clamp_max(input: Tensor, max: Scalar) -> Tensor, Real {
        body: Elementwise(|c| clamp_to(c, None, c.opt_scalar(0))),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::clamp_backward(g, x, None, v.opt_scalar(0)))), saves: Saves::X,
        inplace: true,
        samples: &["t([-2.0, 0.4]), 0.1"],
    }

    /// `grad_output` where `input` lies within the bounds, else 0.
    clamp_backward(grad_output: Tensor, input: Tensor, min: OptScalar = None, max: OptScalar = None) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |g, x, p| if (x >= p[0]) & (x <= p[1]) { g } else { 0.0 });
            run::<2>(c, k, Promote::Common, bounds(c.opt_scalar(0), c.opt_scalar(1)))
        }),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, x| Tensor::clamp_backward(g, x, v.opt_scalar(0), v.opt_scalar(1)))),
            zeros(v, 1),
        ]),
        saves: Saves::B, method: false, function: false,
        samples: &["r(4), t([-2.0, -0.3, 0.4, 3.0]), -1, 1", "r(2), t([-2.0, 0.4]), max=0.1"],
    }

    /// `clamp` with bounds that are tensors.
    clamp_tensor(input: Tensor, min: OptTensor = None, max: OptTensor = None) -> Tensor, Real {
        body: Elementwise(eval_clamp_tensor),
        vjp: vjp!(|v| vjp_clamp_tensor(v)), saves: Saves::INPUTS,
        inplace: true, method: false, function: false,
        samples: &[
            "t([-2.0, 0.1, 3.0]), t([-1.0, -1.1, -1.2]), t([1.0, 1.1, 1.2])", "t([0.0, 0.5]), t([2.0, 3.0]), t([1.0, 1.5])",
            "t([-2.0, 3.0]), min=t([0.0, 0.0])", "t([-2.0, 3.0]), max=t([0.0, 0.0])",
        ],
    }

    // ---- comparison ----

    /// `input == other`, as bool.
    eq(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(equality!(|a, b| a == b)),
        inplace: true, onnx: Some("Equal"), c: Some("{x} == {y}"),
    }

    /// `input != other`, as bool.
    ne(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(equality!(|a, b| a != b)),
        inplace: true, aliases: &["not_equal"], c: Some("{x} != {y}"),
    }

    /// `input < other`, as bool.
    lt(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(test2!(|a, b| a < b)),
        inplace: true, aliases: &["less"], onnx: Some("Less"), c: Some("{x} < {y}"),
    }

    /// `input <= other`, as bool.
    le(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(test2!(|a, b| a <= b)),
        inplace: true, aliases: &["less_equal"], onnx: Some("LessOrEqual"), c: Some("{x} <= {y}"),
    }

    /// `input > other`, as bool.
    gt(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(test2!(|a, b| a > b)),
        inplace: true, aliases: &["greater"], onnx: Some("Greater"), c: Some("{x} > {y}"),
    }

    /// `input >= other`, as bool.
    ge(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(test2!(|a, b| a >= b)),
        inplace: true, aliases: &["greater_equal"], onnx: Some("GreaterOrEqual"), c: Some("{x} >= {y}"),
    }

    /// True where `|input - other| <= atol + rtol * |other|`, or where both are equal (with `equal_nan`: or both NaN).
    isclose(
        input: Tensor, other: Tensor, rtol: Float = 1e-05, atol: Float = 1e-08, equal_nan: Bool = false,
    ) -> Tensor, Real {
        body: Elementwise(eval_isclose),
        refuses: &[Refusal { call: "rt.ones(1), rt.ones(1), rtol=-1.0", message: "greater than or equal to zero" }],
    }

    /// One truth value: whether `isclose` holds everywhere.
    allclose(
        input: Tensor, other: Tensor, rtol: Float = 1e-05, atol: Float = 1e-08, equal_nan: Bool = false,
    ) -> Tensor, Special {
        body: Composite(|c| one(c.x(0).isclose(c.x(1), c.float(0), c.float(1), c.bool(2))?.all(None, false)?)),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(1), rt.ones(1), rtol=-1.0", message: "greater than or equal to zero" }],
        samples: &["r(2), r(2)"],
    }

    /// One truth value: whether shapes and all elements are equal.
    equal(input: Tensor, other: Tensor) -> Tensor, Special {
        body: Composite(|c| {
            if c.x(0).shape() != c.x(1).shape() {
                return one(Tensor::filled(&[], Scalar::Bool(false), DType::Bool)?);
            }
            one(c.x(0).eq(c.x(1))?.all(None, false)?)
        }),
        method: false, function: false,
        samples: &["r(2), r(2)"],
    }

    /// True for NaN.
    isnan(input: Tensor) -> Tensor, Real {
        body: Elementwise(test1!(|a| a.is_nan(); { let _ = a; false }; a.re.is_nan() || a.im.is_nan())),
        onnx: Some("IsNaN"),
    }

    /// True for either infinity.
    isinf(input: Tensor) -> Tensor, Real {
        body: Elementwise(test1!(|a| Real::is_inf(a); { let _ = a; false }; a.re.is_infinite() || a.im.is_infinite())),
        onnx: Some("IsInf"),
    }

    /// True for neither NaN nor an infinity.
    isfinite(input: Tensor) -> Tensor, Real {
        body: Elementwise(test1!(|a| a.is_finite(); { let _ = a; true }; a.re.is_finite() && a.im.is_finite())),
    }

    /// True for plus infinity.
    isposinf(input: Tensor) -> Tensor, Real {
        body: Elementwise(test1!(|a| Real::is_inf(a) & (a > 0.0); { let _ = a; false })),
    }

    /// True for minus infinity.
    isneginf(input: Tensor) -> Tensor, Real {
        body: Elementwise(test1!(|a| Real::is_inf(a) & (a < 0.0); { let _ = a; false })),
    }

    /// True for real numbers: always.
    isreal(input: Tensor) -> Tensor, Real {
        body: Elementwise(test1!(|a| { let _ = a; true }; { let _ = a; true }; a.im == 0.0)),
    }
}
