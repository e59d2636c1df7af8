//! Complex tensors seen as real ones.

use super::elementwise::{loop_over, Plan};
use crate::complex_loops;
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::elementwise::{Loop, Params};
use crate::shape::{Layout, Strides};
use crate::tensor::Tensor;

/// Real and imaginary parts of a complex tensor as its last dimension, sharing memory, without history.
pub(crate) fn pairs(t: &Tensor) -> Result<Tensor> {
    let (mut shape, mut strides) = (t.dims(), doubled(t));
    shape.push(2);
    strides.push(1);
    Ok(t.seen_as(Layout::new(shape, strides, 2 * t.layout().offset())?, t.dtype().real()))
}

/// The real parts (`which` 0) or imaginary ones (1), sharing memory, without history.
pub(crate) fn part(t: &Tensor, which: usize) -> Result<Tensor> {
    Ok(t.seen_as(
        Layout::new(t.dims(), doubled(t), 2 * t.layout().offset() + if t.numel() > 0 { which } else { 0 })?,
        t.dtype().real(),
    ))
}

fn doubled(t: &Tensor) -> Strides {
    t.strides().iter().map(|s| s.saturating_mul(2)).collect()
}

/// The loop of a pair for a complex dtype.
pub(crate) fn of_pair(dtype: DType, pair: (Loop, Loop)) -> Loop {
    if dtype == DType::C64 {
        pair.0
    } else {
        pair.1
    }
}

/// An elementwise function of a complex tensor with real results.
pub(crate) fn real_of(x: &Tensor, pair: (Loop, Loop)) -> Plan<'_> {
    let d = x.dtype();
    loop_over(of_pair(d, pair), [x], [d], d.real(), d.real(), Params::default())
}

/// Writes the absolute values of a complex tensor.
pub(crate) fn abs_into(x: &Tensor, out: &Tensor) -> Result<()> {
    real_of(x, complex_loops!(put_real |z; _p| z.abs())).compute(out)
}
