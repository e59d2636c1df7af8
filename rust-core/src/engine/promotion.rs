//! Which dtype an op on several operands runs in.

use crate::dtype::{default_dtype, DType, ResultType};
use crate::error::Result;
use crate::tensor::Tensor;

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
pub fn result_type<'a>(mut inputs: impl Iterator<Item = &'a Tensor>) -> Result<DType> {
    let mut r = ResultType::default();
    inputs.try_for_each(|t| r.add(t.dtype(), t.ndim(), t.0.wrapped))?;
    r.get()
}

/// The dtype that an op on some operands runs in.
pub fn common_dtype(ins: &[&Tensor], promote: Promote) -> Result<DType> {
    let alike = ins[1..].iter().all(|t| t.dtype() == ins[0].dtype()) && !ins.iter().any(|t| t.0.wrapped);
    let common = if alike { ins[0].dtype() } else { result_type(ins.iter().copied())? };
    if promote == Promote::ToFloat && !common.is_differentiable() {
        return Ok(default_dtype());
    }
    Ok(common)
}

/// The dtype of a result that whole numbers become floats for.
pub(crate) fn to_float(d: DType) -> DType {
    if d.is_differentiable() {
        d
    } else {
        default_dtype()
    }
}
