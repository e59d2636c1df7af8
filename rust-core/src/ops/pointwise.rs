//! Elementwise ops: arithmetic, comparison, logic, powers, exponentials, trigonometry, rounding.

use crate::table::rules::zeros;
use crate::engine::complex::real_of;
use crate::engine::copy::{check_number, contiguous_unlocked, copy_into, only};
use crate::engine::elementwise::{Plan, loop_over, run_as, run_on};
use crate::engine::overlap::check_writable;
use crate::engine::promotion::{Promote, common_dtype, result_type};
use crate::funnel::call_inplace;
use crate::table::{Attr, Call, Overlap, Refusal, Saves, Spec, Specs, Takes, Vjp, one};
use crate::table::lang::Ex;
use crate::table::loops::{bounds, clamp_to, float1, run};
use crate::bail;
use crate::dtype::{Category, DType, Scalar};
use crate::error::Result;
use crate::{by_parts, kernel, with_complex};
use crate::kernels::complex::{c as complex, C};
use crate::kernels::elementwise::{Loop, Loops, Params};
use crate::kernels::math::{Real, floor_div, floor_rest};
use crate::tensor::Tensor;
use std::f64::consts::{FRAC_2_SQRT_PI, LN_10, LN_2, LOG10_E, LOG2_E, PI};

/// The number that an operand of a gradient rule is, if it came as a plain number.
fn plain_number(e: &Ex) -> Option<f64> {
    match e {
        Ex::T(t) if t.0.wrapped && !t.dtype().is_complex() => t.item().ok().map(Scalar::f64),
        _ => None,
    }
}

/// What `f` makes of an operand that came as a plain complex number.
fn complex_number(e: &Ex, f: impl FnOnce(C) -> C) -> Option<Ex> {
    match e {
        Ex::T(t) if t.0.wrapped && t.dtype().is_complex() => {
            let z = t.item().map(|s| f(complex(s.f64(), s.imaginary())));
            Some(z.and_then(|z| Tensor::number(Scalar::Complex(z.re, z.im))).into())
        }
        _ => None,
    }
}

/// The logarithm of an operand; that of a plain number keeps the precision of one.
fn log_of(e: &Ex) -> Ex {
    if let Some(log) = complex_number(e, |z| z.log()) {
        return log;
    }
    plain_number(e).map_or_else(|| e.log(), |n| Ex::Num(n.ln()))
}

/// `e * s` for an attribute `s`, which is mostly 1.
fn scaled(e: Ex, s: Scalar) -> Ex {
    match s {
        Scalar::Complex(..) => e * Ex::from(Tensor::number(s)),
        s if s.f64() == 1.0 => e,
        s => e * Ex::Num(s.f64()),
    }
}

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
/// The same for two operands.
macro_rules! float2 {
    (|$a:ident, $d:ident| $b:expr; |$z:ident, $w:ident| $c:expr) => {
        |c| {
            let k = with_complex!(kernel!(float | $a, $d, _p | $b), put |$z, $w; _p| $c);
            run::<2>(c, k, Promote::ToFloat, Params::default())
        }
    };
    (|$a:ident, $d:ident| $b:expr) => {
        |c| run::<2>(c, kernel!(float | $a, $d, _p | $b), Promote::ToFloat, Params::default())
    };
}
/// The plan of an op that gives bools: one expression for floats, one for whole numbers.
macro_rules! test1 {
    (|$a:ident| $f:expr; $i:expr; $c:expr) => {
        |c| {
            let k = with_complex!(unsigned!(kernel!(split_to_bool |$a, _p| $f; |$a, _p| $i)), put_truth |$a; _p| $c);
            run::<1>(c, k, Promote::ToBool, Params::default())
        }
    };
    (|$a:ident| $f:expr; $i:expr) => {
        |c| run::<1>(c, kernel!(split_to_bool |$a, _p| $f; |$a, _p| $i), Promote::ToBool, Params::default())
    };
}
/// The same for two operands and any type.
macro_rules! test2 {
    (|$a:ident, $d:ident| $f:expr; $i:expr; $c:expr) => {
        |c| {
            let k = with_complex!(kernel!(split_to_bool |$a, $d, _p| $f; |$a, $d, _p| $i), put_truth |$a, $d; _p| $c);
            run::<2>(c, k, Promote::ToBool, Params::default())
        }
    };
    (|$a:ident, $d:ident| $f:expr; $i:expr) => {
        |c| run::<2>(c, kernel!(split_to_bool |$a, $d, _p| $f; |$a, $d, _p| $i), Promote::ToBool, Params::default())
    };
    (|$a:ident, $d:ident| $f:expr) => { test2!(|$a, $d| $f; $f) };
}
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
/// The plan of an op on whole numbers.
macro_rules! int2 {
    (unsigned |$a:ident, $d:ident| $i:expr) => {
        |c| run::<2>(c, unsigned!(kernel!(int | $a, $d, _p | $i)), Promote::Common, Params::default())
    };
    (|$a:ident, $d:ident| $i:expr) => {
        |c| run::<2>(c, kernel!(int | $a, $d, _p | $i), Promote::Common, Params::default())
    };
    (no_bool |$a:ident, $d:ident| $i:expr) => {
        |c| {
            no_bool(c, "")?;
            run::<2>(c, kernel!(int | $a, $d, _p | $i), Promote::Common, Params::default())
        }
    };
}
/// The loops of a kernel, for uint16 to uint64 too.
macro_rules! unsigned {
    ($k:expr) => {{
        const ALL: &Loops = &$k.unsigned();
        ALL
    }};
}

/// The dtype that all tensors of a call run in.
fn dtype_of(c: &Call) -> Result<DType> {
    result_type(c.inputs.iter().flatten().copied())
}

/// Arithmetic on truth values that has no meaning.
fn no_bool(c: &Call, hint: &str) -> Result<()> {
    if dtype_of(c)? == DType::Bool {
        bail!(DType, "not implemented for dtype bool{hint}");
    }
    Ok(())
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

/// `a << b`; 0 where `b` is no count of bits.
#[inline(always)]
fn shift_left(a: i64, b: i64) -> i64 {
    let v = a.wrapping_shl(b as u32);
    if (b as u64) < 64 {
        v
    } else {
        0
    }
}

/// `a >> b`; the sign alone where `b` is no count of bits.
#[inline(always)]
fn shift_right(a: i64, b: i64) -> i64 {
    a.wrapping_shr(if (b as u64) < 64 { b as u32 } else { 63 })
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

/// One typed loop of `where`: it moves bits, so the size of an element says all.
macro_rules! choose {
    ($t:ty) => {
        crate::elementwise_loop!([m: u8 = 0, a: $t = 1, b: $t = 2] -> $t, $t, |p: params_i64| {
            // Masks rather than a branch, which would keep the loads apart.
            let keep = ((m != 0) as $t).wrapping_neg();
            (a & keep) | (b & !keep)
        })
    };
}

/// The same for 16 bytes.
unsafe fn choose_pairs(ins: &[*const u8; 3], out: *mut u8, n: usize, _: &Params) {
    type Bits = [u64; 2];
    for i in 0..n {
        let from = ins[if *ins[0].add(i) != 0 { 1 } else { 2 }];
        *out.cast::<Bits>().add(i) = *from.cast::<Bits>().add(i);
    }
}

fn eval_where<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    let (m, a, b) = (c.x(0), c.x(1), c.x(2));
    if !matches!(m.dtype(), DType::Bool | DType::U8) {
        bail!(DType, "where expected condition to be a boolean tensor, but got a tensor with dtype {}", m.dtype());
    }
    let common = common_dtype(&[a, b], Promote::Common)?;
    if !common.is_half() {
        check_number(a, common)?;
        check_number(b, common)?;
    }
    let f: Option<Loop> = match common.size() {
        1 => choose!(u8),
        2 => choose!(i16),
        4 => choose!(i32),
        8 => choose!(i64),
        16 => Some(choose_pairs as Loop),
        n => unreachable!("no dtype has elements of {n} bytes"),
    };
    match f {
        Some(f) => Ok(loop_over(f, [m, a, b], [m.dtype(), common, common], common, common, Params::default())),
        None => unreachable!("every size has a loop"),
    }
}

fn compute_fill(c: &Call, value: &Tensor, out: &Tensor) -> Result<()> {
    check_number(value, c.x(0).dtype())?;
    if out.is_contiguous() {
        return copy_into(out, value);
    }
    // Places that several elements share are written once.
    let once = out.with_layout(out.layout().unrepeated());
    check_writable(&once)?;
    copy_into(&once, value)
}

fn infer_fill(c: &Call) -> Result<Specs> {
    if let Some(value) = c.opt(1).filter(|v| v.ndim() > 0) {
        bail!(Shape, "fill_ only supports 0-dimension value tensor but got tensor with {} dimensions.", value.ndim());
    }
    Ok(Specs::from_iter([Spec::rows(c.x(0).shape(), c.x(0).dtype())?]))
}

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

/// Hurwitz's zeta function, the sum of `(q + k)^-s` over k >= 0, for s > 1 (Euler-Maclaurin, DLMF 25.11.5).
fn zeta(s: f64, q: f64) -> f64 {
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
    let (mut sum, mut a) = (0.0, q);
    while a < 10.0 {
        sum += a.powf(-s);
        a += 1.0;
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
        sum += b * factor * power;
        let j = s + 2.0 * k as f64;
        factor *= (j + 1.0) * (j + 2.0);
        power /= a * a;
    }
    sum
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
    sign * Real::lgamma(n + 1.0).exp() * zeta(n + 1.0, x)
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

#[inline(always)]
fn gcd_of(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a as i64
}

#[inline(always)]
fn lcm_of(a: i64, b: i64) -> i64 {
    match gcd_of(a, b) {
        0 => 0,
        g => (a / g).wrapping_mul(b).wrapping_abs(),
    }
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

    // ---- logic ----

    /// True where both are not 0.
    logical_and(input: Tensor, other: Tensor) -> Tensor, Boolean {
        body: Elementwise(test2!(|a, b| (a != 0.0) & (b != 0.0); (a != 0) & (b != 0); a.holds() && b.holds())),
        inplace: true, onnx: Some("And"), c: Some("{x} && {y}"),
    }

    /// True where either is not 0.
    logical_or(input: Tensor, other: Tensor) -> Tensor, Boolean {
        body: Elementwise(test2!(|a, b| (a != 0.0) | (b != 0.0); (a != 0) | (b != 0); a.holds() || b.holds())),
        inplace: true, onnx: Some("Or"), c: Some("{x} || {y}"),
    }

    /// True where exactly one is not 0.
    logical_xor(input: Tensor, other: Tensor) -> Tensor, Boolean {
        body: Elementwise(test2!(|a, b| (a != 0.0) ^ (b != 0.0); (a != 0) ^ (b != 0); a.holds() != b.holds())),
        inplace: true, onnx: Some("Xor"), c: Some("!{x} != !{y}"),
    }

    /// True where it is 0.
    logical_not(input: Tensor) -> Tensor, Boolean {
        body: Elementwise(|call| {
            let k = with_complex!(kernel!(split_to_bool |a, _p| a == 0.0; |a, _p| a == 0), put_truth |a; _p| !a.holds());
            run::<1>(call, k, Promote::ToBool, Params::default())
        }),
        inplace: true, onnx: Some("Not"), c: Some("!{x}"),
    }

    /// Bits that are set in both; whole numbers and bools.
    bitwise_and(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(int2!(unsigned |a, b| a & b)),
        inplace: true, onnx: Some("BitwiseAnd"), c: Some("{x} & {y}"),
        refuses: &[Refusal { call: "rt.ones(1), 1", message: "not implemented for dtype float32" }],
    }

    /// Bits that are set in either; whole numbers and bools.
    bitwise_or(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(int2!(unsigned |a, b| a | b)),
        inplace: true, onnx: Some("BitwiseOr"), c: Some("{x} | {y}"),
    }

    /// Bits that are set in exactly one; whole numbers and bools.
    bitwise_xor(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(int2!(unsigned |a, b| a ^ b)),
        inplace: true, onnx: Some("BitwiseXor"), c: Some("{x} ^ {y}"),
    }

    /// All bits turned over; of bools, the truth value.
    bitwise_not(input: Tensor) -> Tensor, Integer {
        body: Elementwise(|c| {
            let k = if c.x(0).dtype() == DType::Bool { kernel!(int |a, _p| a ^ 1) } else { kernel!(int |a, _p| !a) };
            run::<1>(c, k, Promote::Common, Params::default())
        }),
        inplace: true, onnx: Some("BitwiseNot"), c: Some("~{x}"),
    }

    /// Bits moved up by `other`; 0 where that is not from 0 to 63.
    bitwise_left_shift(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(int2!(no_bool |a, b| shift_left(a, b))),
        inplace: true, c: Some("{x} << {y}"),
    }

    /// Bits moved down by `other`, keeping the sign.
    bitwise_right_shift(input: Tensor, other: Operand) -> Tensor, Integer {
        body: Elementwise(int2!(no_bool |a, b| shift_right(a, b))),
        inplace: true, c: Some("{x} >> {y}"),
    }

    /// Greatest common divisor of whole numbers.
    gcd(input: Tensor, other: Tensor) -> Tensor, Integer {
        body: Elementwise(int2!(no_bool |a, b| gcd_of(a, b))),
        inplace: true,
    }

    /// Least common multiple of whole numbers.
    lcm(input: Tensor, other: Tensor) -> Tensor, Integer {
        body: Elementwise(int2!(no_bool |a, b| lcm_of(a, b))),
        inplace: true,
    }

    // ---- choice and filling ----

    /// `input` where `condition` holds, else `other`; any dtypes, broadcasting.
    where_(condition: Tensor, input: Operand, other: Operand) -> Tensor, Special {
        body: Elementwise(eval_where),
        vjp: vjp!(|v| [
            Ex::None,
            v.want(1, || v.g().keep(v.x(0))),
            v.want(2, || v.x(0).with(v.g(), |m, g| Tensor::where_(m, &Tensor::number(Scalar::Int(0))?, g))),
        ]),
        saves: Saves::X, method: false, onnx: Some("Where"), c: Some("{x} ? {y} : {z}"),
        refuses: &[Refusal { call: "rt.ones(1), rt.ones(1), rt.ones(1)", message: "boolean tensor" }],
        samples: &["b([True, False, True]), r(2, 3), r(3)", "b([True, False]), r(2), 2.0", "b([True, False]), 2.0, r(2)"],
    }

    /// 0 for negative `input`, `values` at 0, 1 for positive `input`.
    heaviside(input: Tensor, values: Tensor) -> Tensor, NonZero {
        body: Elementwise(|c| {
            if c.x(0).dtype() != c.x(1).dtype() {
                bail!(DType, "not implemented for different dtypes, {} and {}", c.x(0).dtype(), c.x(1).dtype());
            }
            let k = kernel!(split |a, b, _p| if a == 0.0 { b } else if a > 0.0 { 1.0 } else { 0.0 };
                |a, b, _p| if a == 0 { b } else { (a > 0) as i64 });
            run::<2>(c, k, Promote::Common, Params::default())
        }),
        inplace: true,
    }

    /// Every element replaced by `value`, which has no dimensions.
    fill(input: Tensor, value: Operand) -> Tensor, Real {
        body: Kernel(infer_fill, |c, outs| compute_fill(c, c.x(1), &outs[0])), direct: true, takes: Takes::ALL,
        vjp: vjp!(|v| [zeros(v, 0), v.want(1, || v.g().sum(&[], false))]),
        inplace: true, overlap: Overlap::Uniform, method: false,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(2)", message: "0-dimension value tensor" }],
        samples: &["r(2, 3), r()", "r(2), 1.5"],
    }

    /// Every element replaced by 0.
    zero(input: Tensor) -> Tensor, Real {
        body: Kernel(infer_fill, |c, outs| compute_fill(c, &Tensor::number(Scalar::Int(0))?, &outs[0])), direct: true, takes: Takes::ALL,
        vjp: vjp!(|v| zeros(v, 0)),
        inplace: true, overlap: Overlap::Uniform, method: false, function: false,
    }

    /// `input * 2^other`.
    ldexp(input: Tensor, other: Tensor) -> Tensor, Real {
        body: Elementwise(float2!(|a, b| {
            // In parts, as 2^b may leave the range where the product does not.
            let part = (b * 0.25).trunc();
            let (step, rest) = (Real::exp2(part), Real::exp2(b - part - part - part));
            let y = if a == 0.0 { a } else { a * step * step * step * rest };
            if b.is_finite() { y } else { a * Real::exp2(b) }
        }; |a, b| a * b.exp2())),
        vjp: vjp!(|v| {
            let part = v.g() * v.x(1).then(|e| e.exp2());
            [v.want(0, || part.clone()), v.want(1, || &part * (v.x(0) * LN_2))]
        }),
        saves: Saves::XB, inplace: true,
        samples: &["r(2, 3), r(3)"],
    }

    /// `1 / (1 + e^-input)`.
    sigmoid(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::sigmoid(a); |z| z.sigmoid())),
        vjp: vjp!(|v| v.g().with(v.y(), Tensor::sigmoid_backward)), saves: Saves::OUTPUT,
        inplace: true, onnx: Some("Sigmoid"), c: Some("1 / (1 + exp{f}(-{x}))"),
    }

    /// Gradient of `sigmoid`: `grad_output * output * (1 - output)`.
    sigmoid_backward(grad_output: Tensor, output: Tensor) -> Tensor, Probability {
        body: Elementwise(float2!(|g, y| g * (y * (1.0 - y)); |g, y| g * (y * (c(1.0, 0.0) - y)))),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), Tensor::sigmoid_backward)),
            v.want(1, || v.g() * v.x(0) * (1.0 - v.x(1) * 2.0)),
        ]),
        saves: Saves::XB, method: false, function: false,
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
