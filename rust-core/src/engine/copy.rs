//! Copies, fills and single elements, for callers that hold the locks.

use super::spec::Spec;
use crate::dtype::{Category, DType, Elem, Scalar};
use crate::error::Result;
use crate::kernels::copy::{self, cast_row};
use crate::memory::List;
use crate::tensor::Tensor;

/// Copies `src`, broadcast and cast, into `dst` in place. The caller holds the locks and counts the version.
pub(crate) fn copy_into(dst: &Tensor, src: &Tensor) -> Result<()> {
    let from = src.layout().broadcast_to(dst.shape())?;
    if src.shares_storage(dst) && from == *dst.layout() && src.dtype() == dst.dtype() {
        return Ok(()); // the same elements
    }
    if src.shares_memory(dst) {
        // Overlapping but different: go through a block aside.
        let aside = contiguous_unlocked(src, src.dtype(), true)?;
        return copy_into(dst, &aside);
    }
    // SAFETY: `from` has the destination's shape; both layouts lie inside their storages.
    unsafe { copy::strided(src.base_ptr(), src.dtype(), &from, dst.base_ptr(), dst.dtype(), dst.layout()) };
    Ok(())
}

/// A row-major tensor with the elements of `t` as `dtype`; `t` itself if it is one already and `always` is false.
pub(crate) fn contiguous_unlocked(t: &Tensor, dtype: DType, always: bool) -> Result<Tensor> {
    if !always && t.dtype() == dtype && t.is_contiguous() {
        return Ok(t.clone());
    }
    let out = Tensor::empty_of(t.shape(), dtype)?;
    // SAFETY: the output is new and row-major.
    unsafe { copy::to_contiguous(t.base_ptr(), t.dtype(), t.layout(), out.data_ptr(), dtype) };
    Ok(out)
}

/// Has `f` write a row-major tensor of dtype `dtype`, and brings its elements to the result `out`.
pub(crate) fn written_as(out: &Tensor, dtype: DType, f: impl FnOnce(&Tensor) -> Result<()>) -> Result<()> {
    if out.dtype() == dtype && out.is_contiguous() {
        return f(out);
    }
    let aside = Tensor::empty_of(out.shape(), dtype)?;
    f(&aside)?;
    copy_into(out, &aside)
}

/// Fills a new tensor.
pub(crate) fn fill_new(out: &Tensor, value: Scalar) {
    // SAFETY: its elements fill one block.
    unsafe { copy::fill(out.data_ptr(), out.dtype(), out.numel(), value) };
}

/// First element of a tensor that may be missing, or null.
macro_rules! ptr {
    ($t:expr) => {
        $t.as_ref().map_or(std::ptr::null_mut(), |t| t.ptr())
    };
}
pub(crate) use ptr;

/// The element of a tensor that has one, for callers that hold the lock.
pub(crate) fn only(t: &Tensor) -> Scalar {
    let mut v = [0u64; 2];
    let at = v.as_mut_ptr();
    // SAFETY: one element is read, and 16 bytes hold any.
    unsafe {
        match t.dtype().category() {
            Category::Float => {
                cast_row(t.data_ptr(), t.dtype(), 1, at.cast(), DType::F64, 1, 1);
                Scalar::Float(f64::from_bits(v[0]))
            }
            Category::Complex => {
                cast_row(t.data_ptr(), t.dtype(), 1, at.cast(), DType::C128, 1, 1);
                Scalar::Complex(f64::from_bits(v[0]), f64::from_bits(v[1]))
            }
            Category::Bool | Category::Int => {
                cast_row(t.data_ptr(), t.dtype(), 1, at.cast(), DType::I64, 1, 1);
                Scalar::Int(v[0] as i64)
            }
        }
    }
}

/// A plain number that `dtype` must hold, for callers that hold the lock; tensors are cast.
pub(crate) fn check_number(t: &Tensor, dtype: DType) -> Result<()> {
    if t.0.wrapped && t.dtype() != dtype && !t.is_meta() {
        only(t).held_by(dtype)?;
    }
    Ok(())
}

/// A tensor of `shape` with every element `value`, of the dtype of `t` and where that lives.
pub(crate) fn filled_by(t: &Tensor, shape: &[usize], value: i64) -> Result<Tensor> {
    if t.is_meta() {
        return Spec::rows(shape, t.dtype())?.meta();
    }
    Tensor::filled(shape, Scalar::Int(value), t.dtype())
}

impl Tensor {
    /// A row-major tensor as one dimension, without history.
    pub(crate) fn flat(&self) -> Tensor {
        match self.layout().view(&[self.numel()]) {
            Some(l) => self.with_layout(l),
            None => unreachable!("it is row-major"),
        }
    }

    /// As `to_vec`, for callers that hold the lock.
    pub(crate) fn to_vec_unlocked<T: Elem>(&self) -> Result<List<T>> {
        let mut out = List::<T>::with_room(self.numel())?;
        // SAFETY: room for all elements, all of which are written, bools as 0 or 1.
        unsafe {
            let to = out.as_mut_ptr().cast();
            copy::to_contiguous(self.base_ptr(), self.dtype(), self.layout(), to, T::DTYPE);
            if T::DTYPE == DType::Bool {
                copy::normalise(to, self.numel());
            }
            out.set_len(self.numel());
        }
        Ok(out)
    }
}
