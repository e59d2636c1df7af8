//! Cumulative reductions.

use crate::bail;
use crate::dtype::{Compute, DType};
use crate::engine::copy::{contiguous_unlocked, written_as};
use crate::engine::promotion::to_float;
use crate::error::Result;
use crate::kernels::scan;
use crate::kernels::complex::{C, c as complex_number, self as numbers};
use crate::memory::List;
use crate::shape::{around, wrap_dim};
use crate::table::{Call, Saves, Spec, Specs, Takes, holds, one, Cast};
use crate::table::lang::sum_dtype;
use crate::table::loops::{float_kernel, infer_gradient};
use crate::table::rules::{after_ones, before, number, picked};
use crate::tensor::Tensor;
use crate::tensor::modes::grad_enabled;

/// The dtype that a scan of `what` gives, if `dtype` does not say so.
fn scan_dtype(x: &Tensor, what: scan::What, dtype: Option<DType>) -> DType {
    dtype.unwrap_or(match what {
        scan::What::LogSumExp => to_float(x.dtype()),
        _ => sum_dtype(x.dtype()),
    })
}

/// `[outer, n, inner]` of `x` around the dimension that attribute 0 names.
fn along(c: &Call, x: &Tensor) -> Result<[usize; 3]> {
    Ok(around(x.shape(), wrap_dim(c.int(0), x.ndim())?))
}

fn infer_scan(c: &Call, what: scan::What, dtype: Option<DType>) -> Result<Specs> {
    let x = c.x(0);
    along(c, x)?;
    let dtype = scan_dtype(x, what, dtype);
    if dtype == DType::Bool {
        bail!(DType, "not implemented for dtype bool");
    }
    Spec::rows(x.shape(), dtype)?.one()
}

/// The logarithm of 0.
const NOTHING: C = complex_number(f64::NEG_INFINITY, 0.0);

/// Runs a scan of `what` along attribute 0.
fn compute_scan(c: &Call, outs: &[Tensor], what: scan::What, dtype: Option<DType>, reverse: bool) -> Result<()> {
    let x = c.x(0);
    let compute = scan_dtype(x, what, dtype).compute_dtype();
    let [outer, n, inner] = along(c, x)?;
    let from = contiguous_unlocked(x, compute, false)?;
    if compute.is_complex() {
        return written_as(&outs[0], compute, |out| {
            let (from, to, sizes) = (from.data_ptr(), out.data_ptr(), [outer, n, inner]);
            // SAFETY: as below; the parts of complex numbers are added up side by side.
            unsafe {
                match (what, compute == DType::C64) {
                    (scan::What::Sum, _) => scan::scan(what, compute.real(), from, to, outer, n, 2 * inner, reverse),
                    (scan::What::Prod, true) => numbers::scan::<f32>(from, to, sizes, complex_number(1.0, 0.0), |a, b| a * b),
                    (scan::What::Prod, _) => numbers::scan::<f64>(from, to, sizes, complex_number(1.0, 0.0), |a, b| a * b),
                    (scan::What::LogSumExp, true) => numbers::scan::<f32>(from, to, sizes, NOTHING, C::log_add),
                    (scan::What::LogSumExp, _) => numbers::scan::<f64>(from, to, sizes, NOTHING, C::log_add),
                }
            }
            Ok(())
        });
    }
    written_as(&outs[0], compute, |out| {
        // SAFETY: both are row-major in the compute type; they may be one.
        unsafe { scan::scan(what, compute, from.data_ptr(), out.data_ptr(), outer, n, inner, reverse) };
        Ok(())
    })
}

fn infer_cum_extreme(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    along(c, x)?;
    Ok(Specs::from_iter([Spec::rows(x.shape(), x.dtype())?, Spec::rows(x.shape(), DType::I64)?]))
}

fn compute_cum_extreme(c: &Call, outs: &[Tensor], min: bool) -> Result<()> {
    let x = c.x(0);
    let (dims, compute) = (along(c, x)?, x.dtype().compute_dtype());
    let from = contiguous_unlocked(x, compute, false)?;
    let indices = outs[1].ptr();
    written_as(&outs[0], compute, |values| {
        // SAFETY: all three are row-major with the same number of elements.
        unsafe {
            match compute.compute() {
                Compute::F32 => scan::extreme::<f32>(from.ptr(), values.ptr(), indices, dims, min),
                Compute::F64 => scan::extreme::<f64>(from.ptr(), values.ptr(), indices, dims, min),
                Compute::I64 => scan::extreme::<i64>(from.ptr(), values.ptr(), indices, dims, min),
                Compute::C64 | Compute::C128 => unreachable!("complex numbers have no order"),
            }
        }
        Ok(())
    })
}

/// `sum over k >= i of g[k] * (product of x[j], j <= k, j != i)`. Where no element is zero that is a reversed sum of
/// `g * y / x`; else each element has its own products.
fn cumprod_rule(x: &Tensor, g: &Tensor, dim: i64) -> Result<Tensor> {
    if x.ndim() == 0 || x.numel() == 0 {
        return Ok(g.clone());
    }
    if holds(&x.all(None, false)?)? {
        return g.mul(&x.cumprod(dim, None)?)?.cumsum_from_end(dim)?.div(x, "");
    }
    let n = x.shape()[wrap_dim(dim, x.ndim())?] as i64;
    let before = before(x, dim)?;
    let mut parts = List::with_room(n as usize)?;
    for i in 0..n {
        // The products of what follows x[i], which is itself left out.
        let after = after_ones(&x.narrow(dim, i + 1, n - i - 1)?, dim)?.cumprod(dim, None)?;
        let sum = g.narrow(dim, i, n - i)?.mul(&after)?.sum(Some(&[dim]), true, None)?;
        parts.push(sum.mul(&before.narrow(dim, i, 1)?)?)?;
    }
    Tensor::cat(&parts, dim)
}

/// `sum over k >= i of g[k] * exp(x[i] - y[k])` of complex numbers, in logarithms.
fn complex_logcumsumexp_rule(x: &Tensor, y: &Tensor, g: &Tensor, dim: i64) -> Result<Tensor> {
    if x.ndim() == 0 {
        return Ok(g.clone());
    }
    g.log()?.sub(y, 1)?.flip(&[dim])?.logcumsumexp(dim)?.flip(&[dim])?.add(x, 1)?.exp()
}

/// `sum over k >= i of g[k] * exp(x[i] - y[k])`, positive and negative gradients apart and in logarithms.
fn logcumsumexp_rule(x: &Tensor, y: &Tensor, g: &Tensor, dim: i64) -> Result<Tensor> {
    if x.ndim() == 0 {
        return Ok(g.clone());
    }
    // Before the first finite element there is nothing to hand on.
    let nothing = y.eq(&number(f64::NEG_INFINITY)?)?;
    let y = &y.masked_fill(&nothing, &number(0)?)?;
    let part = |g: &Tensor| -> Result<Tensor> {
        let none = g.le(&number(0)?)?.logical_or(&nothing)?;
        let logs = g.masked_fill(&none, &number(1)?)?.log()?.masked_fill(&none, &number(f64::NEG_INFINITY)?)?;
        logs.sub(y, 1)?.flip(&[dim])?.logcumsumexp(dim)?.flip(&[dim])?.add(x, 1)?.exp()
    };
    part(g)?.sub(&part(&g.neg()?)?, 1)
}

ops! {
    /// Sums of the elements so far along `dim`.
    cumsum(input: Tensor, dim: Int, dtype: OptDType = None) -> Tensor, Real {
        body: Kernel(
            |c| infer_scan(c, scan::What::Sum, c.opt_dtype(1)),
            |c, outs| compute_scan(c, outs, scan::What::Sum, c.opt_dtype(1), false),
        ),
        takes: Takes::ALL,
        vjp: vjp!(|v| v.g().then(|g| g.cumsum_from_end(v.int(0)))),
        inplace: true, direct: true, onnx: Some("CumSum"),
        samples: &["r(2, 3), 1", "r(2, 3), 0, rt.float64"],
    }

    /// Sums along `dim` of each element and those after it.
    cumsum_from_end(input: Tensor, dim: Int) -> Tensor, Real {
        body: Kernel(
            |c| infer_scan(c, scan::What::Sum, Some(c.x(0).dtype())),
            |c, outs| compute_scan(c, outs, scan::What::Sum, Some(c.x(0).dtype()), true),
        ),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| v.g().then(|g| g.cumsum(v.int(0), None))),
        method: false, function: false,
        samples: &["r(2, 3), 1", "r(2, 3), 0"],
    }

    /// Products of the elements so far along `dim`.
    cumprod(input: Tensor, dim: Int, dtype: OptDType = None) -> Tensor, Real {
        body: Kernel(
            |c| infer_scan(c, scan::What::Prod, c.opt_dtype(1)),
            |c, outs| compute_scan(c, outs, scan::What::Prod, c.opt_dtype(1), false),
        ),
        takes: Takes::ALL,
        vjp: vjp!(|v| v.x(0).with(v.g(), |x, g| {
            if grad_enabled() || x.dtype().is_complex() || g.dtype().is_complex() { cumprod_rule(x, g, v.int(0)) } else { Tensor::cumprod_backward(g, x, v.int(0)) }
        })),
        saves: Saves::X, inplace: true, direct: true,
        samples: &["r(2, 3), 1", "t([2.0, 0.0, 3.0]), 0", "t([0.0, 2.0, 0.0, 3.0]), 0", "r(2, 2), 0, rt.float64"],
    }

    /// Gradient of `cumprod`, right for zeros too.
    cumprod_backward(grad: Tensor, input: Tensor, dim: Int) -> Tensor, Special {
        body: Kernel(
            |c| along(c, c.x(1)).and_then(|_| infer_gradient(c, c.x(1).shape())),
            |c, outs| float_kernel!(c, outs, along(c, c.x(1))?, scan::cumprod_backward, 0, 1),
        ),
        method: false, function: false,
    }

    /// Largest element so far along `dim`, and the index of the latest one that reached it.
    cummax(input: Tensor, dim: Int) -> Pair, Real {
        body: Kernel(infer_cum_extreme, |c, outs| compute_cum_extreme(c, outs, false)),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(0), true)), saves: Saves::OUTPUT,
        samples: &["r(2, 3), 1", "r(3, 2), 0"],
    }

    /// Smallest element so far along `dim`, and the index of the latest one that reached it.
    cummin(input: Tensor, dim: Int) -> Pair, Real {
        body: Kernel(infer_cum_extreme, |c, outs| compute_cum_extreme(c, outs, true)),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(0), true)), saves: Saves::OUTPUT,
        samples: &["r(2, 3), 1", "r(3, 2), 0"],
    }

    /// `log(sum(exp))` of the elements so far along `dim`.
    logcumsumexp(input: Tensor, dim: Int) -> Tensor, Real {
        body: Kernel(
            |c| infer_scan(c, scan::What::LogSumExp, None),
            |c, outs| compute_scan(c, outs, scan::What::LogSumExp, None, false),
        ),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| {
            let (x, y, g) = (v.x(0).tensor()?, v.y().tensor()?, v.g().tensor()?);
            let r = if x.dtype().is_complex() {
                // Of complex numbers there are no signs to keep apart.
                complex_logcumsumexp_rule(&x, &y, &g, v.int(0))
            } else if grad_enabled() { logcumsumexp_rule(&x, &y, &g, v.int(0)) } else { Tensor::logcumsumexp_backward(&g, &x, &y, v.int(0)) };
            Ex::from(r).grads()
        }),
        saves: Saves::X.and(Saves::OUTPUT),
        samples: &["r(2, 3), 1", "r(2, 2), 0", "t([-inf, 1.0, 2.0]), 0", "t([1.0, -inf, 2.0]), 0"],
    }

    /// Gradient of `logcumsumexp`.
    logcumsumexp_backward(grad: Tensor, input: Tensor, output: Tensor, dim: Int) -> Tensor, Special {
        body: Kernel(
            |c| along(c, c.x(1)).and_then(|_| infer_gradient(c, c.x(1).shape())),
            |c, outs| float_kernel!(c, outs, along(c, c.x(1))?, scan::logcumsumexp_backward, 0, 1, 2),
        ),
        method: false, function: false,
    }

    /// The sum of the diagonal of a matrix.
    trace(input: Tensor) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| {
            if c.x(0).ndim() != 2 {
                bail!(Shape, "expected a matrix, got shape {:?}", c.x(0).shape());
            }
            one(c.x(0).diagonal(0, 0, 1)?.sum(None, false, None)?)
        }),

        samples: &["r(3, 3)", "r(2, 3)"],
    }
}
