//! Bodies that several elementwise entries share.

use crate::engine::complex::part;
use crate::engine::copy::{contiguous_unlocked, copy_into};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use super::op::Call;
use crate::bail;
use crate::dtype::{DType, ResultType, Scalar};
use crate::engine::elementwise::{run_as, run_on, Plan};
use crate::engine::promotion::Promote;
use crate::error::Result;
use crate::kernel;
use crate::kernels::elementwise::{Loops, Params};

/// An elementwise kernel over all inputs of a call.
pub fn run<'a, const N: usize>(c: &Call<'a>, k: &'static Loops, promote: Promote, p: Params) -> Result<Plan<'a>> {
    run_on::<N>(k, std::array::from_fn(|i| c.x(i)), promote, p)
}

/// The plan of an op whose result is a float: one expression for f32 and f64.
macro_rules! float1 {
    (|$a:ident| $b:expr; |$z:ident| $c:expr) => {
        |c| {
            let k = $crate::with_complex!($crate::kernel!(float | $a, _p | $b), put |$z; _p| $c);
            $crate::table::loops::run::<1>(c, k, $crate::engine::promotion::Promote::ToFloat, $crate::kernels::elementwise::Params::default())
        }
    };
    (|$a:ident| $b:expr) => {
        |c| {
            $crate::table::loops::run::<1>(
                c,
                $crate::kernel!(float | $a, _p | $b),
                $crate::engine::promotion::Promote::ToFloat,
                $crate::kernels::elementwise::Params::default(),
            )
        }
    };
}
pub(crate) use float1;

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
    let of = |i: usize, which: usize| {
        call.opt(i).map(|t| contiguous_unlocked(&part(t, which)?, real, false)).transpose()
    };
    let run = |parts: &[Option<Tensor>]| -> Result<Tensor> {
        let inputs: SmallVec<[Option<&Tensor>; 4]> = parts.iter().map(|t| t.as_ref()).collect();
        let made = Tensor::empty_of(out.shape(), real)?;
        compute(&Call { op: call.op, inputs: &inputs, attrs: call.attrs, meta: call.meta }, std::slice::from_ref(&made))?;
        Ok(made)
    };
    let copy = copy_into;
    if call.inputs.len() == 1 {
        copy(&part(out, 0)?, &run(&[of(0, 0)?])?)?;
        return copy(&part(out, 1)?, &run(&[of(0, 1)?])?);
    }
    let third = |which: usize| -> Result<SmallVec<[Option<Tensor>; 1]>> {
        if call.inputs.len() > 2 { Ok(SmallVec::from_iter([of(2, which)?])) } else { Ok(SmallVec::new()) }
    };
    let none: SmallVec<[Option<Tensor>; 1]> = third(0)?.iter().map(|_| None).collect();
    let product = |i: usize, j: usize, added: &[Option<Tensor>]| -> Result<Tensor> {
        let mut all: SmallVec<[Option<Tensor>; 3]> = SmallVec::from_iter([of(0, i)?, of(1, j)?]);
        all.extend(added.iter().cloned());
        run(&all)
    };
    let (difference, sum) = (kernel!(float |a, b, _p| a - b), kernel!(float |a, b, _p| a + b));
    let (a, b) = (product(0, 0, &third(0)?)?, product(1, 1, &none)?);
    run_as(difference, [&a, &b], real, real, Params::default())?.compute(&part(out, 0)?)?;
    let (a, b) = (product(0, 1, &third(1)?)?, product(1, 0, &none)?);
    run_as(sum, [&a, &b], real, real, Params::default())?.compute(&part(out, 1)?)
}
