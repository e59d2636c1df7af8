//! Reductions of tensors: which loops run over which dimensions.

use super::copy::{contiguous_unlocked, copy_into};
use super::spec::{Spec, Specs};
use crate::bail;
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::elementwise::Params;
use crate::kernels::reduce::{self, Dim, Kernels};
use crate::shape::{wrap_dims, Dims, Layout, Strides};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// A reduction of a tensor: which loops run over which dimensions, and how the results lie.
pub(crate) struct Reduction {
    pub(crate) k: &'static reduce::Kernel,
    pub(crate) p: Params,
    /// The elements are brought to this dtype first, row by row.
    pub(crate) first: Option<DType>,
    /// The dimensions that stay, in the order in which they lie, then those that are reduced.
    pub(crate) walk: SmallVec<[Dim; 4]>,
    /// How the loops leave their results: in memory as the elements that they come from.
    pub(crate) layout: Layout,
    /// Dtypes of the results; None for one that is not wanted.
    pub(crate) dtypes: [Option<DType>; 2],
}

impl Reduction {
    /// Over `dims` (all if empty) of the elements of `x`, brought to dtype `first` before, computed as in `compute`.
    pub(crate) fn of(
        x: &Tensor,
        first: Option<DType>,
        dims: &[i64],
        keepdim: bool,
        kernels: &'static Kernels,
        compute: DType,
        dtypes: [Option<DType>; 2],
    ) -> Result<Reduction> {
        let from = first.unwrap_or(x.dtype());
        let Some(k) = kernels.get(from, compute) else {
            bail!(DType, "not implemented for dtype {from}");
        };
        let rows = first.map(|_| Layout::contiguous(x.shape())).transpose()?;
        let l = rows.as_ref().unwrap_or(x.layout());
        if dims.is_empty() {
            // In short: nothing stays.
            let walk = (0..l.ndim()).map(|d| (l.shape()[d], l.strides()[d], true)).collect();
            let ones: Dims = SmallVec::from_elem(1, if keepdim { l.ndim() } else { 0 });
            return Ok(Reduction { k, p: Params::default(), first, walk, layout: Layout::contiguous(&ones)?, dtypes });
        }
        let dims = wrap_dims(dims, x.ndim())?;
        let mut kept: SmallVec<[usize; 8]> = (0..l.ndim()).filter(|d| !dims.contains(d)).collect();
        kept.sort_unstable_by_key(|&d| {
            (std::cmp::Reverse(if l.shape()[d] == 1 { isize::MAX } else { l.strides()[d] }), d)
        });
        let mut strides: Strides = SmallVec::from_elem(1, l.ndim());
        let mut step = 1;
        for &d in kept.iter().rev() {
            strides[d] = step;
            step = step.saturating_mul(l.shape()[d].max(1) as isize);
        }
        let mut shape: Dims = (0..l.ndim()).map(|d| if dims.contains(&d) { 1 } else { l.shape()[d] }).collect();
        if !keepdim {
            for &d in dims.iter().rev() {
                shape.remove(d);
                strides.remove(d);
            }
        }
        let walk = kept
            .iter()
            .map(|&d| (l.shape()[d], l.strides()[d], false))
            .chain(dims.iter().map(|&d| (l.shape()[d], l.strides()[d], true)))
            .collect();
        Ok(Reduction { k, p: Params::default(), first, walk, layout: Layout::new(shape, strides, 0)?, dtypes })
    }

    /// One with one result, of the dtype that it computes in.
    pub(crate) fn single(
        x: &Tensor,
        dims: &[i64],
        keepdim: bool,
        kernels: &'static Kernels,
        dtype: DType,
    ) -> Result<Reduction> {
        Reduction::of(x, None, dims, keepdim, kernels, dtype, [Some(dtype), None])
    }

    /// With parameters for the loops.
    pub(crate) fn with(mut self, values: &[f64]) -> Reduction {
        self.p.f[..values.len()].copy_from_slice(values);
        self
    }

    /// The results that are wanted: the number that the loops know each by, and its dtype.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = (usize, DType)> + '_ {
        self.dtypes.iter().enumerate().filter_map(|(i, d)| d.map(|d| (i, d)))
    }

    /// What comes out: row-major results, left as they are if the loops leave them so.
    pub(crate) fn specs(&self) -> Result<Specs> {
        let spec = |(i, dtype): (usize, DType)| {
            if self.k.out[i] == dtype && self.layout.is_contiguous() {
                return Ok(Spec { layout: self.layout.clone(), dtype });
            }
            Spec::rows(self.layout.shape(), dtype)
        };
        self.wanted().map(spec).collect()
    }

    /// What the loops write for the results `outs`: those themselves where they are as the loops leave them.
    pub(crate) fn raw(&self, outs: &[Tensor]) -> Result<SmallVec<[Tensor; 2]>> {
        let raw = |((i, _), out): ((usize, DType), &Tensor)| {
            if out.dtype() == self.k.out[i] && *out.layout() == self.layout {
                return Ok(out.clone());
            }
            Tensor::empty_like_layout(&self.layout, self.k.out[i])
        };
        self.wanted().zip(outs).map(raw).collect()
    }

    /// Runs the loops over `x`, which write `raw`.
    pub(crate) fn run(&self, x: &Tensor, raw: &[Tensor]) -> Result<()> {
        let brought = self.first.map(|dtype| contiguous_unlocked(x, dtype, false)).transpose()?;
        let x = brought.as_ref().unwrap_or(x);
        let mut to = [std::ptr::null_mut(); 2];
        self.wanted().zip(raw).for_each(|((i, _), t)| to[i] = t.data_ptr());
        // SAFETY: `raw` is of the loops' types and has one element for each place of the kept dimensions, in their order.
        unsafe { reduce::reduce(self.k, x.data_ptr(), x.dtype(), &self.walk, &self.p, to) }
    }

    /// Writes the results `outs` of reducing `x`.
    pub(crate) fn compute(&self, x: &Tensor, outs: &[Tensor]) -> Result<()> {
        let raw = self.raw(outs)?;
        self.run(x, &raw)?;
        bring(&raw, outs)
    }
}

/// Brings what loops have written to the results.
pub(crate) fn bring(raw: &[Tensor], outs: &[Tensor]) -> Result<()> {
    raw.iter().zip(outs).filter(|(t, out)| !t.is_same(out)).try_for_each(|(t, out)| copy_into(out, t))
}

/// Number of elements that are reduced into one.
pub(crate) fn count(shape: &[usize], dims: &[i64]) -> Result<usize> {
    Ok(wrap_dims(dims, shape.len())?.iter().map(|&d| shape[d]).product())
}
