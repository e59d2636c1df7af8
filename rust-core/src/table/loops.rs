//! Bodies that several entries share.

use super::op::Call;
use crate::dtype::{DType, ResultType, Scalar};
use crate::engine::complex::part;
use crate::engine::copy::{contiguous_unlocked, copy_into};
use crate::engine::elementwise::{run_as, run_on, Plan};
use crate::engine::promotion::{result_type, Promote};
use crate::engine::spec::{Spec, Specs};
use crate::error::Result;
use crate::kernels::elementwise::{Loops, Params};
use crate::tensor::Tensor;
use crate::{bail, kernel};
use smallvec::SmallVec;

/// An elementwise kernel over all inputs of a call.
pub fn run<'a, const N: usize>(c: &Call<'a>, k: &'static Loops, promote: Promote, p: Params) -> Result<Plan<'a>> {
    run_on::<N>(k, std::array::from_fn(|i| c.x(i)), promote, p)
}

/// One whose result is a float.
pub fn to_float<'a, const N: usize>(c: &Call<'a>, k: &'static Loops) -> Result<Plan<'a>> {
    run::<N>(c, k, Promote::ToFloat, Params::default())
}

/// One whose result is a truth value.
pub fn to_bool<'a, const N: usize>(c: &Call<'a>, k: &'static Loops) -> Result<Plan<'a>> {
    run::<N>(c, k, Promote::ToBool, Params::default())
}

/// The plan of an op whose result is a float: one expression for f32 and f64.
macro_rules! float1 {
    (|$a:ident| $b:expr; |$z:ident| $c:expr) => {
        |c| {
            let k = $crate::with_complex!($crate::kernel!(float | $a, _p | $b), put |$z; _p| $c);
            $crate::table::loops::to_float::<1>(c, k)
        }
    };
    (|$a:ident| $b:expr) => {
        |c| {
            $crate::table::loops::to_float::<1>(c, $crate::kernel!(float | $a, _p | $b))
        }
    };
}
pub(crate) use float1;

/// The same for two operands.
macro_rules! float2 {
    (|$a:ident, $d:ident| $b:expr; |$z:ident, $w:ident| $c:expr) => {
        |c| {
            let k = $crate::with_complex!($crate::kernel!(float | $a, $d, _p | $b), put |$z, $w; _p| $c);
            $crate::table::loops::to_float::<2>(c, k)
        }
    };
    (|$a:ident, $d:ident| $b:expr) => {
        |c| $crate::table::loops::to_float::<2>(c, $crate::kernel!(float | $a, $d, _p | $b))
    };
}
pub(crate) use float2;

/// The first input brought into bounds, of which the upper one wins; NaN stays.
pub(crate) fn clamp_to<'a>(c: &Call<'a>, min: Option<Scalar>, max: Option<Scalar>) -> Result<Plan<'a>> {
    let x = c.x(0);
    let mut r = ResultType::default();
    r.add(x.dtype(), x.ndim(), x.0.wrapped)?;
    for s in [min, max].into_iter().flatten() {
        r.add(s.dtype(), 0, true)?;
    }
    let common = r.get()?;
    if min.is_none() && max.is_none() {
        bail!(Value, "At least one of 'min' or 'max' must not be None");
    }
    if common == DType::Bool {
        bail!(DType, "not implemented for dtype bool");
    }
    // A negative lower bound of unsigned numbers bounds nothing; a negative upper one is no such number.
    let nothing = |s: Scalar| common == DType::U8 && s.f64() < 0.0;
    for s in [min.filter(|&s| !nothing(s)), max].into_iter().flatten() {
        if nothing(s) {
            bail!(Value, "value cannot be converted to type {common} without overflow, got {s}");
        }
        s.held_by(common)?;
    }
    let nan = |s: Option<Scalar>| s.is_some_and(|s| s.f64().is_nan());
    if nan(min) || nan(max) {
        return run_as(kernel!(float | _a, _p | <_ as Real>::NAN), [x], common, common, Params::default());
    }
    let k = kernel!(split |a, p| {
        let a = if a < p[0] { p[0] } else { a };
        if a > p[1] { p[1] } else { a }
    }; |a, p| a.max(p[0]).min(p[1]));
    run_as(k, [x], common, common, bounds(min, max))
}

/// Missing bounds are those of the type.
pub(crate) fn bounds(min: Option<Scalar>, max: Option<Scalar>) -> Params {
    let (low, high) = (min.unwrap_or(Scalar::Float(f64::NEG_INFINITY)), max.unwrap_or(Scalar::Float(f64::INFINITY)));
    Params::new(&[low, high])
}

/// What a real kernel, linear in its only input or in each of its first two (and in a third one that is added), makes of complex
/// ones: it runs on their parts.
pub(crate) fn in_parts(call: &Call, out: &Tensor, compute: fn(&Call, &[Tensor]) -> Result<()>) -> Result<()> {
    let real = out.dtype().real();
    let of =
        |i: usize, which: usize| call.opt(i).map(|t| contiguous_unlocked(&part(t, which)?, real, false)).transpose();
    let run = |parts: &[Option<Tensor>]| -> Result<Tensor> {
        let inputs: SmallVec<[Option<&Tensor>; 4]> = parts.iter().map(|t| t.as_ref()).collect();
        let made = Tensor::empty_of(out.shape(), real)?;
        compute(
            &Call { op: call.op, inputs: &inputs, attrs: call.attrs, meta: call.meta },
            std::slice::from_ref(&made),
        )?;
        Ok(made)
    };
    let copy = copy_into;
    if call.inputs.len() == 1 {
        copy(&part(out, 0)?, &run(&[of(0, 0)?])?)?;
        return copy(&part(out, 1)?, &run(&[of(0, 1)?])?);
    }
    let third = |which: usize| -> Result<SmallVec<[Option<Tensor>; 1]>> {
        if call.inputs.len() > 2 {
            Ok(SmallVec::from_iter([of(2, which)?]))
        } else {
            Ok(SmallVec::new())
        }
    };
    let none: SmallVec<[Option<Tensor>; 1]> = third(0)?.iter().map(|_| None).collect();
    let product = |i: usize, j: usize, added: &[Option<Tensor>]| -> Result<Tensor> {
        let mut all: SmallVec<[Option<Tensor>; 3]> = SmallVec::from_iter([of(0, i)?, of(1, j)?]);
        all.extend(added.iter().cloned());
        run(&all)
    };
    let (difference, sum) = (kernel!(float | a, b, _p | a - b), kernel!(float | a, b, _p | a + b));
    let (a, b) = (product(0, 0, &third(0)?)?, product(1, 1, &none)?);
    run_as(difference, [&a, &b], real, real, Params::default())?.compute(&part(out, 0)?)?;
    let (a, b) = (product(0, 1, &third(1)?)?, product(1, 0, &none)?);
    run_as(sum, [&a, &b], real, real, Params::default())?.compute(&part(out, 1)?)
}

/// The loops of a kernel, for uint16 to uint64 too.
macro_rules! unsigned {
    ($k:expr) => {{
        const ALL: &$crate::kernels::elementwise::Loops = &$k.unsigned();
        ALL
    }};
}
pub(crate) use unsigned;

/// The plan of an op that gives bools: one expression for floats, one for whole numbers.
macro_rules! test1 {
    (|$a:ident| $f:expr; $i:expr; $c:expr) => {
        |c| {
            let k = $crate::with_complex!($crate::table::loops::unsigned!($crate::kernel!(split_to_bool |$a, _p| $f; |$a, _p| $i)), put_truth |$a; _p| $c);
            $crate::table::loops::to_bool::<1>(c, k)
        }
    };
    (|$a:ident| $f:expr; $i:expr) => {
        |c| $crate::table::loops::to_bool::<1>(c, $crate::kernel!(split_to_bool |$a, _p| $f; |$a, _p| $i))
    };
}
pub(crate) use test1;

/// The same for two operands and any type.
macro_rules! test2 {
    (|$a:ident, $d:ident| $f:expr; $i:expr; $c:expr) => {
        |c| {
            let k = $crate::with_complex!($crate::kernel!(split_to_bool |$a, $d, _p| $f; |$a, $d, _p| $i), put_truth |$a, $d; _p| $c);
            $crate::table::loops::to_bool::<2>(c, k)
        }
    };
    (|$a:ident, $d:ident| $f:expr; $i:expr) => {
        |c| $crate::table::loops::to_bool::<2>(c, $crate::kernel!(split_to_bool |$a, $d, _p| $f; |$a, $d, _p| $i))
    };
    (|$a:ident, $d:ident| $f:expr) => { $crate::table::loops::test2!(|$a, $d| $f; $f) };
}
pub(crate) use test2;

/// The dtype that all tensors of a call run in.
pub(crate) fn dtype_of(c: &Call) -> Result<DType> {
    result_type(c.inputs.iter().flatten().copied())
}

/// Arithmetic on truth values that has no meaning.
pub(crate) fn no_bool(c: &Call, hint: &str) -> Result<()> {
    if dtype_of(c)? == DType::Bool {
        bail!(DType, "not implemented for dtype bool{hint}");
    }
    Ok(())
}

/// A body that does the [`Reduction`] of its input that it makes of the call.
macro_rules! reduction {
    (|$c:ident| $of:expr) => {
        $crate::table::Body::Kernel(
            |$c| {
                let r: $crate::error::Result<$crate::engine::reduction::Reduction> = $of;
                r?.specs()
            },
            |$c, outs| {
                let r: $crate::error::Result<$crate::engine::reduction::Reduction> = $of;
                r?.compute($c.x(0), outs)
            },
        )
    };
}
pub(crate) use reduction;

/// Runs a kernel of floats over row-major inputs, of which all but the first have the shape and dtype of the result.
macro_rules! float_kernel {
    ($c:ident, $outs:ident, $dims:expr, $f:path, $($i:expr),+) => {{
        let (d, dims) = ($outs[0].dtype().compute_dtype(), $dims);
        let ins = [$($crate::engine::copy::contiguous_unlocked($c.x($i), d, false)?),+];
        $crate::engine::copy::written_as(&$outs[0], d, |out| {
            // SAFETY: row-major elements of the compute type, as many as `dims` say.
            unsafe {
                if d == $crate::dtype::DType::F64 {
                    $f($(ins[$i].ptr::<f64>(),)+ out.ptr(), dims)
                } else {
                    $f($(ins[$i].ptr::<f32>(),)+ out.ptr(), dims)
                }
            }
            Ok(())
        })
    }};
}
pub(crate) use float_kernel;

/// A gradient like input 1, which must be of floats and whose shape the inputs behind it must have too; input 0, the
/// gradient of the result, must have the shape `grad`.
pub(crate) fn infer_gradient(c: &Call, grad: &[usize]) -> Result<Specs> {
    c.want_shape(0, grad)?;
    let like = c.x(1);
    if !like.dtype().is_float() {
        bail!(DType, "not implemented for dtype {}", like.dtype());
    }
    (2..c.inputs.len()).try_for_each(|i| c.want_shape(i, like.shape()))?;
    Spec::rows(like.shape(), like.dtype())?.one()
}
