//! What a result is to be, before there is one.

use crate::dtype::DType;
use crate::error::Result;
use crate::shape::Layout;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// What a result is to be.
pub struct Spec {
    /// Sizes, and how the elements lie in memory.
    pub layout: Layout,
    /// Element type.
    pub dtype: DType,
}

impl Spec {
    /// Row-major.
    #[inline(always)] // made in its place, without a copy
    pub fn rows(shape: &[usize], dtype: DType) -> Result<Spec> {
        Ok(Spec { layout: Layout::contiguous(shape)?, dtype })
    }
    /// As the elements of a dense layout.
    pub fn as_dense(layout: &Layout, dtype: DType) -> Spec {
        Spec { layout: layout.counted_from(layout.offset()), dtype }
    }
    /// As the elements of `t` if those lie without gaps, else row-major.
    pub fn like(t: &Tensor, dtype: DType) -> Result<Spec> {
        Ok(Spec { layout: t.layout().packed()?, dtype })
    }
    /// A new tensor.
    #[inline(always)] // as above
    pub fn tensor(self) -> Result<Tensor> {
        Tensor::of_layout(self.layout, self.dtype)
    }
    /// As the only result.
    pub fn one(self) -> Result<Specs> {
        Ok(Specs::from_iter([self]))
    }
    /// A tensor without elements.
    pub(crate) fn meta(self) -> Result<Tensor> {
        Tensor::without_elements(self.layout, self.dtype)
    }
}

/// What an op will give, in order.
pub type Specs = SmallVec<[Spec; 2]>;
