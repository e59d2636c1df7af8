//! Tensors that share memory.

use crate::bail;
use crate::error::Result;
use crate::tensor::Tensor;

/// True if elements of both lie at one place.
pub(crate) fn meet(a: &Tensor, b: &Tensor) -> bool {
    let range = |t: &Tensor| {
        let start = t.base_ptr() as usize + t.layout().offset() * t.dtype().size();
        (start, start + t.layout().span() * t.dtype().size())
    };
    a.shares_memory(b) && {
        let (r, s) = (range(a), range(b));
        r.0 < s.1 && s.0 < r.1
    }
}

/// Refuses to write to a tensor whose elements share places: what they hold in the end, and whether threads get into each
/// other's way, would depend on the order of the writes.
pub(crate) fn check_writable(t: &Tensor) -> Result<()> {
    if !t.is_contiguous() && t.layout().overlaps_itself() {
        bail!(
            Value,
            "unsupported operation: more than one element of the written-to tensor (shape {:?}, strides {:?}) refers to a \
             single memory location; clone() it first",
            t.shape(),
            t.strides()
        );
    }
    Ok(())
}
