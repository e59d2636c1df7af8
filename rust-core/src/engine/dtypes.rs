//! The dtypes that families of kernels know, and the compute type in which each of them runs.

use super::copy::contiguous_unlocked;
use crate::bail;
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::Tensor;

/// Runs `$body` with `$T` as the compute type of a dtype that [`only_floats`] has let pass.
macro_rules! float {
    ($dtype:expr, $T:ident => $body:expr) => {
        // SAFETY: each use hands row-major tensors of the compute type and the sizes they were checked for.
        match $dtype {
            DType::F64 => {
                type $T = f64;
                unsafe { $body }
            }
            d if d.is_float() => {
                type $T = f32;
                unsafe { $body }
            }
            d => unreachable!("dtype {d} has been refused"),
        }
    };
}
pub(crate) use float;

/// Whole numbers are not normalised, and have no losses.
pub(crate) fn only_floats(dtype: DType) -> Result<()> {
    if !dtype.is_float() {
        bail!(DType, "not implemented for dtype {dtype}");
    }
    Ok(())
}

/// Runs `$body` with `$T` as the compute type of a dtype that [`supported`] has let pass.
macro_rules! compute {
    ($dtype:expr, $T:ident => $body:expr) => {
        // SAFETY: each use hands row-major tensors of the compute type and the sizes they were checked for.
        match $dtype {
            DType::F16 | DType::BF16 | DType::F32 => {
                type $T = f32;
                unsafe { $body }
            }
            DType::F64 => {
                type $T = f64;
                unsafe { $body }
            }
            DType::I64 => {
                type $T = i64;
                unsafe { $body }
            }
            d => unreachable!("dtype {d} has been refused"),
        }
    };
}
pub(crate) use compute;

/// Of the whole numbers only int64 is taken.
pub(crate) fn supported(dtype: DType) -> Result<()> {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 | DType::I64 | DType::C64 | DType::C128 => Ok(()),
        d => bail!(DType, "not implemented for dtype {d}"),
    }
}

/// A row-major tensor in the compute type.
pub(crate) fn ready(t: &Tensor) -> Result<Tensor> {
    contiguous_unlocked(t, t.dtype().compute_dtype(), false)
}

/// Indices of rows are whole numbers.
pub(crate) fn check_rows(index: &Tensor) -> Result<()> {
    if index.dtype().is_float() || index.dtype() == DType::Bool {
        bail!(DType, "expected indices of dtype int64 or int32, got {}", index.dtype());
    }
    Ok(())
}
