//! Logic, bits, and choices.

use crate::{bail, kernel, with_complex};
use crate::dtype::{DType, Scalar};
use crate::engine::copy::{check_number, copy_into};
use crate::engine::elementwise::{Plan, loop_over};
use crate::engine::overlap::check_writable;
use crate::engine::promotion::{Promote, common_dtype};
use crate::error::Result;
use crate::kernels::elementwise::{Loop, Params};
use crate::table::{Call, Overlap, Refusal, Saves, Spec, Specs, Takes};
use crate::table::loops::{float2, no_bool, run, test2, unsigned};
use crate::table::rules::zeros;
use crate::tensor::Tensor;
use std::f64::consts::LN_2;

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

ops! {
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
}
