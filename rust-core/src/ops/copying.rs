//! Copies and casts.

use crate::err;
use crate::engine::copy::copy_into;
use crate::error::Result;
use crate::funnel::call_inplace;
use crate::table::{Call, Spec, Takes, one};
use crate::tensor::Tensor;

/// The elements of the last input, broadcast and cast.
fn compute_copy(c: &Call, outs: &[Tensor]) -> Result<()> {
    copy_into(&outs[0], c.x(c.inputs.len() - 1))
}

impl Tensor {
    /// `copy` in place: takes the elements of `src`, broadcast and cast.
    pub(crate) fn copy_(&self, src: &Tensor) -> Result<Tensor> {
        call_inplace(&defs::copy, &[Some(self), Some(src)], &[])
    }
}

ops! {
    /// A copy of `input` with its own memory.
    duplicate(input: Tensor) -> Tensor, Real {
        body: Kernel(|c| Spec::like(c.x(0), c.x(0).dtype())?.one(), compute_copy),
        vjp: vjp!(|v| v.g()),
        onnx: Some("Identity"),
        takes: Takes::ALL,
    }

    /// `src`, broadcast to the shape of `input` and cast to its dtype; in place it overwrites `input`.
    copy(input: Tensor, src: Tensor) -> Tensor, Real {
        body: Kernel(|c| {
            let (x, src) = (c.x(0), c.x(1));
            if src.shape() != x.shape() {
                src.layout().broadcast_to(x.shape())?;
            }
            Spec::rows(x.shape(), x.dtype())?.one()
        }, compute_copy),
        vjp: vjp!(|v| [Ex::None, v.g()]),
        inplace: true, direct: true, function: false,
        samples: &["r(2, 3), r(3)"],
        takes: Takes::ALL,
    }

    /// The elements of `input` as `dtype`.
    cast(input: Tensor, dtype: DType) -> Tensor, Real {
        body: Kernel(|c| {
            let dtype = c.opt_dtype(0).ok_or_else(|| err!(DType, "a dtype is wanted"))?;
            Spec::like(c.x(0), dtype)?.one()
        }, compute_copy),
        vjp: vjp!(|v| v.g()),
        onnx: Some("Cast"), method: false, function: false,
        samples: &["r(2), rt.float64"],
        takes: Takes::ALL,
    }

    /// `input` itself if it is row-major without gaps, else a copy that is.
    contiguous(input: Tensor) -> Tensor, Real {
        body: Composite(|c| {
            if c.x(0).is_contiguous() {
                return one(c.x(0).clone());
            }
            one(c.x(0).contiguous_copy()?)
        }),
        function: false,
    }

    /// A row-major copy of `input`.
    contiguous_copy(input: Tensor) -> Tensor, Real {
        body: Kernel(|c| Spec::rows(c.x(0).shape(), c.x(0).dtype())?.one(), compute_copy),
        vjp: vjp!(|v| v.g()),
        method: false, function: false,
        takes: Takes::ALL,
    }
}
