//! Batches of matrices: their sizes, their elements one matrix after the other, and why one has no result.

use super::copy::{contiguous_unlocked, copy_into};
use super::spec::Spec;
use crate::dtype::{DType, Elem, Scalar};
use crate::error::{Error, Result};
use crate::kernels::complex::C;
use crate::kernels::copy::{Shared, GRAIN};
use crate::kernels::linalg::{with_work, Failed, Work};
use crate::parallel::parallel_for;
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use crate::{bail, err};
use std::sync::Mutex;

/// Leading dimensions, rows and columns of a batch of matrices of floats.
pub(crate) fn matrices(t: &Tensor) -> Result<(Dims, usize, usize)> {
    if t.ndim() < 2 {
        bail!(Shape, "the input tensor must have at least 2 dimensions, got shape {:?}", t.shape());
    }
    if !t.dtype().is_differentiable() || t.dtype().compute_dtype() != t.dtype() {
        bail!(DType, "expected float32, float64, complex64 or complex128, got {}", t.dtype());
    }
    let lead = t.ndim() - 2;
    Ok((Dims::from_slice(&t.shape()[..lead]), t.shape()[lead], t.shape()[lead + 1]))
}

/// As [`matrices`], which must be square.
pub(crate) fn square(t: &Tensor) -> Result<(Dims, usize)> {
    let (batch, m, n) = matrices(t)?;
    if m != n {
        bail!(Shape, "must be batches of square matrices, but they are {m} by {n} matrices");
    }
    Ok((batch, n))
}

/// Row-major elements of a tensor, taken apart into matrices (or vectors) of one size.
pub(crate) struct Parts<T> {
    // Holds the memory.
    _of: Tensor,
    at: Shared<T>,
    size: usize,
}

impl<T: Elem> Parts<T> {
    /// Copies what is not row-major.
    pub(crate) fn of(t: &Tensor, size: usize) -> Result<Parts<T>> {
        Ok(Parts::new(contiguous_unlocked(t, T::DTYPE, false)?, size))
    }
    /// `t` must be row-major.
    pub(crate) fn new(t: Tensor, size: usize) -> Parts<T> {
        Parts { at: Shared(t.ptr()), _of: t, size }
    }
    /// Part `k`.
    ///
    /// # Safety
    /// There is such a part, and nobody writes to it.
    pub(crate) unsafe fn get(&self, k: usize) -> &[T] {
        std::slice::from_raw_parts(self.at.get().add(k * self.size), self.size)
    }
    /// Part `k`, for writing.
    ///
    /// # Safety
    /// There is such a part of a tensor of our own, and nobody else uses it.
    #[allow(clippy::mut_from_ref, reason = "threads write to different parts")]
    pub(crate) unsafe fn get_mut(&self, k: usize) -> &mut [T] {
        std::slice::from_raw_parts_mut(self.at.get().add(k * self.size), self.size)
    }
}

/// `with!(dtype, T => body)` for the types that a matrix may have. Bodies use [`Parts`] of the sizes that they were made for,
/// each in one call of [`each`].
macro_rules! with {
    ($dtype:expr, $T:ident => $body:expr) => {
        // SAFETY: see above.
        match $dtype {
            $crate::dtype::DType::F64 => {
                type $T = f64;
                unsafe { $body }
            }
            _ => {
                type $T = f32;
                unsafe { $body }
            }
        }
    };
}

pub(crate) use with;

/// Runs `f` for each matrix of a batch, on several threads, with a workspace of `work` bytes; `cost` is about the number of
/// operations for one. If it fails for some, the first of these counts.
pub(crate) fn each(
    batch: &[usize],
    cost: usize,
    work: usize,
    f: &(dyn Fn(usize, &mut Work) -> Result<()> + Sync),
) -> Result<()> {
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let fails = |k: usize, e: Error| {
        let mut first = failed.lock().unwrap_or_else(|e| e.into_inner());
        if first.as_ref().is_none_or(|(at, _)| k < *at) {
            *first = Some((k, e));
        }
    };
    parallel_for(product(batch), (GRAIN / cost.max(1)).max(1), &|range| {
        let start = range.start;
        let done = with_work(work, |work| {
            for k in range {
                if let Err(e) = f(k, work) {
                    return fails(k, e);
                }
            }
        });
        if let Err(e) = done {
            fails(start, e);
        }
    });
    failed.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), |(_, e)| Err(e))
}

/// Elements of complex128, row-major.
///
/// # Safety
/// `t` is row-major, of that dtype, and as long as `size` matrices; nobody writes to it.
pub(crate) unsafe fn numbers<'a>(t: &Tensor, k: usize, size: usize) -> &'a [C] {
    std::slice::from_raw_parts(t.data_ptr().cast::<C>().add(k * size), size)
}

/// As [`numbers`], for writing.
///
/// # Safety
/// As there, and nobody else uses these.
pub(crate) unsafe fn numbers_mut<'a>(t: &Tensor, k: usize, size: usize) -> &'a mut [C] {
    std::slice::from_raw_parts_mut(t.data_ptr().cast::<C>().add(k * size), size)
}

/// A copy of a complex tensor in complex128, which may be overwritten.
pub(crate) fn wide(t: &Tensor) -> Result<Tensor> {
    contiguous_unlocked(t, DType::C128, true)
}

/// Runs `f` for each matrix of a batch, if there are `elements` at all; [`factor`] takes memory for its work itself.
pub(crate) fn each_complex(
    batch: &[usize],
    elements: usize,
    f: impl Fn(usize) -> Result<std::result::Result<(), Failed>>,
) -> Result<()> {
    let count = if elements == 0 { 0 } else { product(batch) };
    for k in 0..count {
        crate::memory::check()?;
        f(k)?.map_err(|e| failure(k, e))?;
    }
    Ok(())
}

/// The error for matrix `k` of a batch.
#[cold]
pub(crate) fn failure(k: usize, why: Failed) -> Error {
    match why {
        Failed::NotFinite => err!(
            Value,
            "(batch element {k}): the algorithm failed to converge because the input matrix contained non-finite values"
        ),
        Failed::NoConvergence => err!(Value, "(batch element {k}): the algorithm failed to converge"),
        Failed::Singular(at) => err!(
            Value,
            "(batch element {k}): the matrix is singular: diagonal element {} of its U factor is zero",
            at + 1
        ),
        Failed::NotPositive(order) => err!(
            Value,
            "(batch element {k}): the factorization could not be completed because the input is not positive-definite \
             (the leading minor of order {order} is not positive-definite)"
        ),
    }
}

/// `a b c`, or as much as can be counted.
pub(crate) fn count(sizes: &[usize]) -> usize {
    sizes.iter().fold(1, |n: usize, &size| n.saturating_mul(size))
}

/// A result of shape `batch` + `last`.
pub(crate) fn spec(batch: &[usize], last: &[usize], dtype: DType) -> Result<Spec> {
    let shape: Dims = batch.iter().chain(last).copied().collect();
    Spec::rows(&shape, dtype)
}

/// Nothing as a result.
pub(crate) fn nothing(dtype: DType) -> Result<Spec> {
    Spec::rows(&[0], dtype)
}

/// Writes matrices with ones on the diagonal to row-major `t`, `batch` of them.
pub(crate) fn write_identities(t: &Tensor, batch: &[usize], m: usize, n: usize) {
    with!(t.dtype(), T => {
        let to = Parts::<T>::new(t.clone(), m * n);
        parallel_for(if m * n == 0 { 0 } else { product(batch) }, (GRAIN / (m * n).max(1)).max(1), &|range| {
            for k in range {
                let e = to.get_mut(k);
                e.fill(0.0);
                e.iter_mut().step_by(n + 1).take(m.min(n)).for_each(|v| *v = 1.0);
            }
        });
    });
}

pub(crate) fn product(batch: &[usize]) -> usize {
    batch.iter().product()
}

/// An identity matrix.
pub(crate) fn identity(n: usize, dtype: DType) -> Result<Tensor> {
    let e = Tensor::filled(&[n, n], Scalar::Int(0), dtype)?;
    copy_into(
        &e.with_layout(Layout::new(Dims::from_slice(&[n]), [n as isize + 1].into_iter().collect(), 0)?),
        &Tensor::filled(&[], Scalar::Int(1), dtype)?,
    )?;
    Ok(e)
}
