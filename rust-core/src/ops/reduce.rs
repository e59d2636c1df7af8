//! Reductions.

use super::lang::sum_dtype;
use super::shape::contiguous_unlocked;
use super::{one, Call, Outs};
use crate::dtype::{Compute, DType};
use crate::error::Result;
use crate::kernels::reduce;
use crate::shape::{wrap_dims, Dims};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// A tensor made ready for a reduction: row-major in `dtype`, seen as `[outer, n, inner]`, with the shape of the result.
pub(crate) struct Reduction {
    /// The elements.
    pub x: Tensor,
    /// Product of the sizes before the reduced dimensions.
    pub outer: usize,
    /// Product of the reduced sizes.
    pub n: usize,
    /// Product of the sizes after them.
    pub inner: usize,
    /// Shape of the result.
    pub shape: Dims,
}

/// Brings the reduced dimensions together; an empty `dims` means all of them.
pub(crate) fn prepare(t: &Tensor, dims: &[i64], keepdim: bool, dtype: DType) -> Result<Reduction> {
    let dims = wrap_dims(dims, t.ndim())?;
    let shape = (0..t.ndim())
        .filter_map(|d| if !dims.contains(&d) { Some(t.shape()[d]) } else { keepdim.then_some(1) })
        .collect();
    let n = dims.iter().map(|&d| t.shape()[d]).product();
    let adjacent = dims.windows(2).all(|w| w[1] == w[0] + 1);
    if adjacent || (dims.len() == t.ndim() && t.layout().is_dense()) {
        let whole = dims.len() == t.ndim();
        let x = if whole && t.dtype() == dtype && t.layout().is_dense() {
            t.clone()
        } else {
            contiguous_unlocked(t, dtype, false)?
        };
        let first = dims.first().copied().unwrap_or(0);
        let outer = if whole { 1 } else { t.shape()[..first].iter().product() };
        let inner = if whole { 1 } else { t.shape()[first + dims.len()..].iter().product() };
        return Ok(Reduction { x, outer, n, inner, shape });
    }
    let mut order: SmallVec<[usize; 8]> = (0..t.ndim()).filter(|d| !dims.contains(d)).collect();
    let outer = order.iter().map(|&d| t.shape()[d]).product();
    order.extend(dims.iter().copied());
    let x = contiguous_unlocked(&t.with_layout(t.layout().permute(&order)), dtype, false)?;
    Ok(Reduction { x, outer, n, inner: 1, shape })
}

fn eval_sum(c: &Call) -> Result<Outs> {
    let x = c.x(0);
    let dtype = c.opt_dtype(2).unwrap_or(sum_dtype(x.dtype()));
    let r = prepare(x, c.ints(0), c.bool(1), dtype.compute_dtype())?;
    let out = Tensor::empty_of(&r.shape, dtype.compute_dtype())?;
    // SAFETY: `prepare` gives row-major elements of the compute type.
    unsafe {
        match dtype.compute() {
            Compute::F32 => reduce::sum::<f32>(r.x.ptr(), r.outer, r.n, r.inner, out.ptr()),
            Compute::F64 => reduce::sum::<f64>(r.x.ptr(), r.outer, r.n, r.inner, out.ptr()),
            Compute::I64 => reduce::sum::<i64>(r.x.ptr(), r.outer, r.n, r.inner, out.ptr()),
        }
    }
    one(contiguous_unlocked(&out, dtype, false)?)
}

ops! {
    /// Sum of the elements over `dim` (one or several; all by default). Whole numbers add up in int64.
    sum(input: Tensor, dim: OptInts = None, keepdim: Bool = false, dtype: OptDType = None) -> Tensor, Real {
        eval: eval_sum,
        vjp: vjp!(|v| v.g().restore(v.ints(0), v.bool(1), v.shape(0)).expand(&v.sizes(0))),
        onnx: Some("ReduceSum"),
    }
}
