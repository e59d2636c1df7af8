//! Gradient rules that several entries share.

use super::lang::Ex;
use super::op::{holds, Vjp};
use crate::dtype::Scalar;
use crate::error::Result;
use crate::kernels::complex::{c as complex, C};
use crate::shape::wrap_dim;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// The gradient of what is constant almost everywhere.
pub(crate) fn zeros(v: &Vjp, i: usize) -> Ex {
    v.want(i, || Tensor::filled(v.shape(i), Scalar::Int(0), v.dtype(i)).into())
}

/// The input's shape with each reduced dimension of size 1.
pub(crate) fn restored(e: Ex, v: &Vjp, dims: &[i64], keepdim: bool) -> Ex {
    e.restore(dims, keepdim, v.shape(0))
}

/// As [`restored`], for what is expanded next: that gives a 0-d gradient its dimensions too.
pub(crate) fn expandable(e: Ex, v: &Vjp, dims: &[i64], keepdim: bool) -> Ex {
    match e {
        Ex::T(t) if t.ndim() == 0 => Ex::T(t),
        e => restored(e, v, dims, keepdim),
    }
}

/// The gradient of an extreme, shared evenly among the elements that equal it.
pub(crate) fn shared(v: &Vjp, g: Ex, y: Ex, dims: &[i64], keepdim: bool) -> Ex {
    let y = restored(y, v, dims, keepdim);
    let mask = v.x(0).eq(&y);
    let count = mask.sum(dims, true);
    (restored(g, v, dims, keepdim) / count).keep(mask)
}

/// As [`shared`], for a reduction of everything, where NaN equals NaN.
pub(crate) fn shared_by_all(v: &Vjp) -> Ex {
    let mask = v.x(0).with(v.y(), |x, y| if holds(&y.isnan()?)? { x.isnan() } else { x.eq(y) });
    let count = mask.sum(&[], false);
    (v.g() / count).keep(mask)
}

/// The gradient of a value that was picked by index goes back to its place.
pub(crate) fn picked(v: &Vjp, g: Ex, indices: Ex, dim: i64, keepdim: bool) -> Ex {
    let lift = |e: Ex| if keepdim || v.shape(0).is_empty() { e } else { e.unsqueeze(dim) };
    lift(g).with(lift(indices), |g, i| Tensor::gather_backward(g, i, &v.sizes(0), dim))
}

/// Ones, then `x` along `dim`.
pub(crate) fn after_ones(x: &Tensor, dim: i64) -> Result<Tensor> {
    let mut shape = x.dims();
    shape[wrap_dim(dim, x.ndim())?] = 1;
    Tensor::cat(&[Tensor::filled(&shape, Scalar::Int(1), x.dtype())?, x.clone()], dim)
}

/// The products of the elements before each one.
pub(crate) fn before(x: &Tensor, dim: i64) -> Result<Tensor> {
    let n = x.shape()[wrap_dim(dim, x.ndim())?] as i64;
    after_ones(&x.narrow(dim, 0, n - 1)?, dim)?.cumprod(dim, None)
}

/// For each element the product of the others along `dim` (of all if None).
pub(crate) fn prod_of_others(x: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    if x.ndim() == 0 {
        return Tensor::filled(&[], Scalar::Int(1), x.dtype());
    }
    let Some(d) = dim else {
        let sizes: SmallVec<[i64; 8]> = x.shape().iter().map(|&d| d as i64).collect();
        return prod_of_others(&x.reshape(&[-1])?, Some(0))?.reshape(&sizes);
    };
    if x.numel() == 0 {
        return Ok(x.clone());
    }
    before(x, d)?.mul(&before(&x.flip(&[d])?, d)?.flip(&[d])?)
}

/// The number that an operand of a gradient rule is, if it came as a plain number.
pub(crate) fn plain_number(e: &Ex) -> Option<f64> {
    match e {
        Ex::T(t) if t.0.wrapped && !t.dtype().is_complex() => t.item().ok().map(Scalar::f64),
        _ => None,
    }
}

/// What `f` makes of an operand that came as a plain complex number.
pub(crate) fn complex_number(e: &Ex, f: impl FnOnce(C) -> C) -> Option<Ex> {
    match e {
        Ex::T(t) if t.0.wrapped && t.dtype().is_complex() => {
            let z = t.item().map(|s| f(complex(s.f64(), s.imaginary())));
            Some(z.and_then(|z| Tensor::number(Scalar::Complex(z.re, z.im))).into())
        }
        _ => None,
    }
}

/// The logarithm of an operand; that of a plain number keeps the precision of one.
pub(crate) fn log_of(e: &Ex) -> Ex {
    if let Some(log) = complex_number(e, |z| z.log()) {
        return log;
    }
    plain_number(e).map_or_else(|| e.log(), |n| Ex::Num(n.ln()))
}

/// A plain number as an operand.
pub(crate) fn number(v: impl Into<Scalar>) -> Result<Tensor> {
    Tensor::number(v.into())
}

/// `e` where `of` is not zero, else 0.
pub(crate) fn no_zero(e: Ex, of: &Ex) -> Ex {
    e.with(of.eq(0.0), |e, zero| e.masked_fill(zero, &number(0)?))
}
