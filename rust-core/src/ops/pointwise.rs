//! Elementwise ops: arithmetic, comparison, logic, powers, exponentials, trigonometry, rounding.

use super::{one, Call, Outs, Refusal, Saves};
use crate::dtype::{default_dtype, Category, DType, ResultType, Scalar};
use crate::error::Result;
use crate::kernel;
use crate::kernels::copy::{Shared, GRAIN};
use crate::kernels::elementwise::{map, Kernel, Operand, Params};
use crate::parallel::parallel_for;
use crate::shape::{broadcast, Dims};
use crate::tensor::Tensor;
use crate::{bail, err};

/// How the dtype of the result follows from those of the operands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Promote {
    /// The common dtype.
    Common,
    /// The common dtype, whole numbers becoming floats.
    ToFloat,
    /// Bool; the comparison itself runs in the common dtype.
    ToBool,
}

/// The common dtype of some operands.
pub fn result_type<'a>(inputs: impl Iterator<Item = &'a Tensor>) -> DType {
    let mut r = ResultType::default();
    inputs.for_each(|t| r.add(t.dtype(), t.ndim(), t.0.wrapped));
    r.get()
}

/// Runs an elementwise kernel over all inputs of a call.
pub fn run<const N: usize>(c: &Call, k: &'static Kernel, promote: Promote, p: Params) -> Result<Outs> {
    let ins: [&Tensor; N] = std::array::from_fn(|i| c.x(i));
    let mut common = if ins.iter().all(|t| t.dtype() == ins[0].dtype() && t.0.wrapped == ins[0].0.wrapped) {
        ins[0].dtype()
    } else {
        result_type(ins.iter().copied())
    };
    if ins.iter().all(|t| t.0.wrapped) && common == DType::F64 {
        common = default_dtype();
    }
    if promote == Promote::ToFloat && !common.is_float() {
        common = default_dtype();
    }
    let out_dtype = if promote == Promote::ToBool { DType::Bool } else { common };
    run_as(c, k, ins, common, out_dtype, p)
}

/// Runs an elementwise kernel in the compute type of `common`.
pub fn run_as<const N: usize>(
    c: &Call,
    k: &'static Kernel,
    ins: [&Tensor; N],
    common: DType,
    out_dtype: DType,
    p: Params,
) -> Result<Outs> {
    let compute = common.compute_dtype();
    let Some(f) = k.get(common.compute()) else {
        bail!(DType, "not implemented for dtype {common}");
    };
    let loop_out = if k.to_bool { DType::Bool } else { compute };
    let same = ins.iter().all(|t| t.shape() == ins[0].shape());
    let mut wide: Dims;
    let shape: &[usize] = if same {
        ins[0].shape()
    } else {
        wide = ins[0].dims();
        for t in &ins[1..] {
            wide = broadcast(&wide, t.shape())?;
        }
        &wide
    };
    // Operands that lie alike in memory are walked as one line, and the result lies as they do.
    let alike = same
        && c.out.is_none_or(|o| o.strides() == ins[0].strides())
        && ins.iter().all(|t| t.strides() == ins[0].strides());
    let contiguous = alike && ins[0].is_contiguous();
    let dense = contiguous || (alike && ins[0].layout().is_dense());
    let out = if dense && !contiguous && c.out.is_none() {
        Tensor::empty_like_layout(ins[0].layout(), out_dtype)?
    } else {
        c.output(shape, out_dtype)?
    };
    let n = out.numel();
    if n == 0 {
        return one(out);
    }
    if dense && out.dtype() == loop_out && ins.iter().all(|t| t.dtype() == compute) {
        let ptrs: [Shared<u8>; N] = std::array::from_fn(|i| Shared(ins[i].data_ptr()));
        let (to, si, so) = (Shared(out.data_ptr()), compute.size(), loop_out.size());
        parallel_for(n, GRAIN, &|r| {
            let mut args = [std::ptr::null(); 3];
            // SAFETY: every operand has `n` elements of the compute type in one dense block.
            unsafe {
                for (a, q) in args.iter_mut().zip(&ptrs) {
                    *a = q.get().add(r.start * si) as *const u8;
                }
                f(&args, to.get().add(r.start * so), r.len(), &p);
            }
        });
        return one(out);
    }
    let mut layouts = Vec::with_capacity(N);
    for t in &ins {
        layouts.push(t.layout().broadcast_to(out.shape())?);
    }
    let operands: [Operand; N] = std::array::from_fn(|i| Operand {
        ptr: ins[i].data_ptr(),
        dtype: ins[i].dtype(),
        strides: &layouts[i].strides,
    });
    let to = Operand { ptr: out.data_ptr(), dtype: out.dtype(), strides: out.strides() };
    if ins.iter().any(|t| t.shares_storage(&out) && (t.layout() != out.layout() || t.dtype() != out.dtype())) {
        // The result overlaps an operand that is walked differently: compute aside, then copy.
        let aside = Tensor::empty_of(out.shape(), out.dtype())?;
        let to = Operand { ptr: aside.data_ptr(), dtype: out.dtype(), strides: aside.strides() };
        // SAFETY: operands are broadcast to the result's shape, and the result is new.
        unsafe { map(aside.shape(), operands, compute, to, loop_out, f, &p) };
        super::shape::copy_into(&out, &aside)?;
        return one(out);
    }
    // SAFETY: operands are broadcast to the result's shape; overlap is exact or none.
    unsafe { map(out.shape(), operands, compute, to, loop_out, f, &p) };
    one(out)
}

/// `x * s` with `s` from an attribute, for the rules.
fn times(s: Scalar) -> super::lang::Ex {
    super::lang::Ex::Num(s.f64())
}

/// An alpha of `add` and `sub` must not be a float when the operands are whole numbers.
fn alpha(c: &Call) -> Result<Scalar> {
    let a = c.scalar(0);
    if a.category() == Category::Float && result_type(c.inputs.iter().flatten().copied()).category() < Category::Float {
        bail!(Value, "for integral input tensors, argument alpha must not be a floating point number");
    }
    Ok(a)
}

fn eval_add(c: &Call) -> Result<Outs> {
    match alpha(c)? {
        Scalar::Int(1) => run::<2>(c, kernel!(all |a, b, _p| a + b), Promote::Common, Params::default()),
        s => run::<2>(
            c,
            kernel!(split |a, b, p| a + p[0] * b; |a, b, p| a.wrapping_add(p[0].wrapping_mul(b))),
            Promote::Common,
            Params::new(&[s]),
        ),
    }
}

fn eval_sub(c: &Call) -> Result<Outs> {
    if c.x(0).dtype() == DType::Bool && c.x(1).dtype() == DType::Bool {
        bail!(DType, "subtraction of two bool tensors is not supported; use logical_xor");
    }
    match alpha(c)? {
        Scalar::Int(1) => run::<2>(
            c,
            kernel!(split |a, b, _p| a - b; |a, b, _p| a.wrapping_sub(b)),
            Promote::Common,
            Params::default(),
        ),
        s => run::<2>(
            c,
            kernel!(split |a, b, p| a - p[0] * b; |a, b, p| a.wrapping_sub(p[0].wrapping_mul(b))),
            Promote::Common,
            Params::new(&[s]),
        ),
    }
}

fn eval_div(c: &Call) -> Result<Outs> {
    match c.str(0) {
        "" => run::<2>(c, kernel!(float |a, b, _p| a / b), Promote::ToFloat, Params::default()),
        mode @ ("trunc" | "floor") => {
            if !result_type(c.inputs.iter().flatten().copied()).is_float() {
                integer_divisor(c)?;
            }
            if mode == "trunc" {
                run::<2>(
                    c,
                    kernel!(split |a, b, _p| (a / b).trunc(); |a, b, _p| a.wrapping_div(b)),
                    Promote::Common,
                    Params::default(),
                )
            } else {
                run::<2>(
                    c,
                    kernel!(split |a, b, _p| Real::floor_divide(a, b); |a, b, _p| floor_div(a, b)),
                    Promote::Common,
                    Params::default(),
                )
            }
        }
        mode => Err(err!(Value, "rounding_mode must be None, 'trunc' or 'floor', got {mode:?}")),
    }
}

/// Whole-number division by zero has no answer.
fn integer_divisor(c: &Call) -> Result<()> {
    let b = c.x(1);
    let zero = b.to_vec_unlocked::<i64>()?.contains(&0);
    if zero {
        bail!(Value, "ZeroDivisionError: integer division by zero");
    }
    Ok(())
}

/// Quotient rounded towards minus infinity; `b` is not 0.
#[inline(always)]
pub fn floor_div(a: i64, b: i64) -> i64 {
    let q = a.wrapping_div(b);
    q - ((a.wrapping_rem(b) != 0) & ((a < 0) != (b < 0))) as i64
}

ops! {
    /// `input + alpha * other`, elementwise with broadcasting.
    add(input: Tensor, other: Operand, alpha: Scalar = 1) -> Tensor, Real {
        eval: eval_add,
        vjp: vjp!(|v| [v.g(), v.want(1, || v.g() * times(v.scalar(0)))]),
        inplace: true, onnx: Some("Add"), c: Some("{x} + {y}"),
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(4)", message: "do not broadcast" }],
    }

    /// `input - alpha * other`, elementwise with broadcasting.
    sub(input: Tensor, other: Operand, alpha: Scalar = 1) -> Tensor, Real {
        eval: eval_sub,
        vjp: vjp!(|v| [v.g(), v.want(1, || -(v.g() * times(v.scalar(0))))]),
        inplace: true, aliases: &["subtract"], onnx: Some("Sub"), c: Some("{x} - {y}"),
    }

    /// `input * other`, elementwise with broadcasting.
    mul(input: Tensor, other: Operand) -> Tensor, Real {
        eval: |c| run::<2>(c, kernel!(split |a, b, _p| a * b; |a, b, _p| a.wrapping_mul(b)), Promote::Common, Params::default()),
        vjp: vjp!(|v| [v.want(0, || v.g() * v.x(1)), v.want(1, || v.g() * v.x(0))]), saves: Saves::CROSS,
        inplace: true, aliases: &["multiply"], onnx: Some("Mul"), c: Some("{x} * {y}"),
    }

    /// `input / other`, elementwise with broadcasting. `rounding_mode` is None, "trunc" (towards zero) or "floor".
    div(input: Tensor, other: Operand, rounding_mode: Str = "") -> Tensor, NonZero {
        eval: eval_div,
        vjp: vjp!(|v| if v.str(0).is_empty() {
            [v.want(0, || v.g() / v.x(1)), v.want(1, || -(v.g() * (v.x(0) / v.x(1)) / v.x(1)))]
        } else {
            [v.g() * 0.0, v.want(1, || v.g() * 0.0)]
        }),
        saves: Saves::XB,
        inplace: true, aliases: &["divide", "true_divide"], onnx: Some("Div"), c: Some("{x} / {y}"),
    }

    /// `-input`, elementwise.
    neg(input: Tensor) -> Tensor, Real {
        eval: |c| run::<1>(c, kernel!(split |a, _p| -a; |a, _p| a.wrapping_neg()), Promote::Common, Params::default()),
        vjp: vjp!(|v| -v.g()),
        inplace: true, aliases: &["negative"], onnx: Some("Neg"), c: Some("-{x}"),
    }

    /// Hyperbolic tangent, elementwise.
    tanh(input: Tensor) -> Tensor, Real {
        eval: |c| run::<1>(c, kernel!(float |a, _p| Real::tanh(a)), Promote::ToFloat, Params::default()),
        vjp: vjp!(|v| v.g() * (1.0 - v.y() * v.y())), saves: Saves::OUTPUT,
        inplace: true, onnx: Some("Tanh"), c: Some("tanh{f}({x})"),
    }
}
