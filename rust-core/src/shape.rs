//! L0: shapes, strides and layouts. A [`Layout`] says where the elements of a tensor lie in its storage.

use crate::error::{Error, Result};
use crate::{bail, err};
use smallvec::SmallVec;

/// Sizes, inline for up to five dimensions.
pub type Dims = SmallVec<[usize; 5]>;
/// Strides in elements, inline for up to five dimensions.
pub type Strides = SmallVec<[isize; 5]>;

/// Where the elements of a tensor lie in a storage: `offset + sum(index[d] * strides[d])`, in elements.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Size per dimension.
    pub shape: Dims,
    /// Step per dimension, in elements.
    pub strides: Strides,
    /// First element.
    pub offset: usize,
}

/// Row-major strides of `shape`.
#[inline]
pub fn contiguous_strides(shape: &[usize]) -> Strides {
    if let &[_] = shape {
        return SmallVec::from_buf_and_len([1; 5], 1);
    }
    let mut strides: Strides = SmallVec::from_elem(1, shape.len());
    let mut step = 1usize;
    for d in (0..shape.len()).rev() {
        strides[d] = step as isize;
        step = step.saturating_mul(shape[d].max(1));
    }
    strides
}

/// Number of elements, or an error if it does not fit.
pub fn checked_numel(shape: &[usize]) -> Result<usize> {
    if shape.contains(&0) {
        return Ok(0);
    }
    shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .filter(|&n| n <= isize::MAX as usize)
        .ok_or_else(|| err!(Memory, "a tensor of shape {shape:?} has too many elements"))
}

impl Clone for Layout {
    fn clone(&self) -> Layout {
        // `from_slice` copies memory, where a clone of the vectors goes from element to element.
        let (shape, strides) = (Dims::from_slice(&self.shape), Strides::from_slice(&self.strides));
        Layout { shape, strides, offset: self.offset }
    }
}

impl Layout {
    /// Row-major from element 0.
    #[inline]
    pub fn contiguous(shape: &[usize]) -> Self {
        Layout { shape: Dims::from_slice(shape), strides: contiguous_strides(shape), offset: 0 }
    }

    /// True if both step through their elements in the same way, wherever they begin.
    #[inline(always)]
    pub fn alike(&self, other: &Layout) -> bool {
        let n = self.ndim();
        // Few numbers: a loop is quicker than a call that compares memory.
        n == other.ndim() && (0..n).all(|d| self.shape[d] == other.shape[d] && self.strides[d] == other.strides[d])
    }

    /// Number of dimensions.
    #[inline(always)]
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    #[inline(always)]
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if the elements lie in row-major order without gaps.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1isize;
        for d in (0..self.shape.len()).rev() {
            let n = self.shape[d];
            if n == 0 {
                return true;
            }
            if n != 1 {
                if self.strides[d] != step {
                    return self.numel() == 0;
                }
                step *= n as isize;
            }
        }
        true
    }

    /// True if each of the elements lies at its own place and they fill one gapless block (in any order of dimensions).
    pub fn is_dense(&self) -> bool {
        let mut order: SmallVec<[usize; 8]> = (0..self.ndim()).filter(|&d| self.shape[d] != 1).collect();
        order.sort_by_key(|&d| self.strides[d]);
        let mut step = 1isize;
        for d in order {
            if self.strides[d] != step {
                return self.numel() <= 1;
            }
            step *= self.shape[d] as isize;
        }
        true
    }

    /// One past the last element that is touched, relative to `offset`; 0 if there are none.
    pub fn span(&self) -> usize {
        if self.numel() == 0 {
            return 0;
        }
        1 + self.shape.iter().zip(&self.strides).map(|(&n, &s)| (n - 1) * s.max(0) as usize).sum::<usize>()
    }

    /// This layout seen with `shape`, by repeating dimensions of size 1.
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<Layout> {
        if self.shape.as_slice() == shape {
            return Ok(self.clone());
        }
        let fail = || {
            Error::shapes("", format!("shape {:?} cannot be broadcast to {shape:?}", self.shape), &self.shape, shape)
        };
        let lead = shape.len().checked_sub(self.ndim()).ok_or_else(fail)?;
        let mut strides: Strides = SmallVec::from_elem(0, shape.len());
        for d in 0..self.ndim() {
            let (from, to) = (self.shape[d], shape[lead + d]);
            if from == to {
                strides[lead + d] = self.strides[d];
            } else if from != 1 {
                return Err(fail());
            }
        }
        Ok(Layout { shape: Dims::from_slice(shape), strides, offset: self.offset })
    }

    /// Exchanges two dimensions.
    pub fn transpose(&self, a: usize, b: usize) -> Layout {
        let mut l = self.clone();
        l.shape.swap(a, b);
        l.strides.swap(a, b);
        l
    }

    /// Dimensions in a new order.
    pub fn permute(&self, order: &[usize]) -> Layout {
        Layout {
            shape: order.iter().map(|&d| self.shape[d]).collect(),
            strides: order.iter().map(|&d| self.strides[d]).collect(),
            offset: self.offset,
        }
    }

    /// `len` elements of dimension `dim` from `start`, each `step` apart.
    pub fn slice(&self, dim: usize, start: usize, len: usize, step: usize) -> Layout {
        let mut l = self.clone();
        if len > 0 {
            l.offset = (l.offset as isize + start as isize * l.strides[dim]) as usize;
        }
        l.shape[dim] = len;
        l.strides[dim] *= step as isize;
        l
    }

    /// This layout as `shape` without copying, or None if that cannot be had.
    pub fn view(&self, shape: &[usize]) -> Option<Layout> {
        if self.is_contiguous() {
            let mut l = Layout::contiguous(shape);
            l.offset = self.offset;
            return Some(l);
        }
        // Old dimensions are merged into runs that lie like one; each run must be cut up exactly by new dimensions.
        let mut strides: Strides = SmallVec::from_elem(0, shape.len());
        let mut new = shape.len();
        let old: SmallVec<[usize; 8]> = (0..self.ndim()).filter(|&d| self.shape[d] != 1).collect();
        let mut i = old.len();
        while i > 0 {
            let last = old[i - 1];
            let (mut run, base) = (self.shape[last], self.strides[last]);
            i -= 1;
            while i > 0 && self.strides[old[i - 1]] == base * run as isize {
                run *= self.shape[old[i - 1]];
                i -= 1;
            }
            let mut step = base;
            let mut left = run;
            while new > 0 && (left > 1 || shape[new - 1] == 1) {
                let n = shape[new - 1];
                if n == 0 || left % n != 0 {
                    return None;
                }
                left /= n;
                new -= 1;
                strides[new] = step;
                step *= n as isize;
            }
            if left != 1 {
                return None;
            }
        }
        if shape[..new].iter().any(|&n| n != 1) {
            return None;
        }
        Some(Layout { shape: Dims::from_slice(shape), strides, offset: self.offset })
    }
}

/// The shape that both broadcast to.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Dims> {
    if a == b {
        return Ok(Dims::from_slice(a));
    }
    let n = a.len().max(b.len());
    let mut out: Dims = SmallVec::from_elem(1, n);
    for i in 0..n {
        let x = if i + a.len() >= n { a[i + a.len() - n] } else { 1 };
        let y = if i + b.len() >= n { b[i + b.len() - n] } else { 1 };
        out[i] = match (x, y) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => {
                return Err(Error::shapes(
                    "",
                    format!("shapes {a:?} and {b:?} do not broadcast: dimension {i} is {x} and {y}"),
                    a,
                    b,
                ))
            }
        };
    }
    Ok(out)
}

/// A possibly negative dimension as an index; 0-d tensors accept -1 and 0.
pub fn wrap_dim(dim: i64, ndim: usize) -> Result<usize> {
    let n = ndim.max(1) as i64;
    if dim < -n || dim >= n {
        bail!(Index, "dimension out of range (expected to be in range of [{}, {}], but got {dim})", -n, n - 1);
    }
    Ok(if dim < 0 { dim + n } else { dim } as usize)
}

/// Several dimensions as sorted distinct indices; an empty list means all of them.
pub fn wrap_dims(dims: &[i64], ndim: usize) -> Result<SmallVec<[usize; 8]>> {
    if dims.is_empty() {
        return Ok((0..ndim).collect());
    }
    let mut out: SmallVec<[usize; 8]> = dims.iter().map(|&d| wrap_dim(d, ndim)).collect::<Result<_>>()?;
    out.sort_unstable();
    if out.windows(2).any(|w| w[0] == w[1]) {
        bail!(Value, "dim {dims:?} names a dimension more than once");
    }
    if ndim == 0 {
        out.clear();
    }
    Ok(out)
}

/// Sizes from signed numbers; negative ones are an error.
pub fn sizes(dims: &[i64]) -> Result<Dims> {
    dims.iter()
        .map(|&d| usize::try_from(d).map_err(|_| err!(Shape, "sizes must not be negative, got {dims:?}")))
        .collect()
}

/// Sizes from signed numbers of which one may be -1, "what is left" of `numel`.
pub fn infer_sizes(dims: &[i64], numel: usize) -> Result<Dims> {
    let mut known = 1usize;
    let mut hole = None;
    for (i, &d) in dims.iter().enumerate() {
        match d {
            -1 if hole.is_none() => hole = Some(i),
            -1 => bail!(Shape, "only one dimension can be inferred, got {dims:?}"),
            d if d < 0 => bail!(Shape, "invalid shape dimension {d} in {dims:?}"),
            d => known = known.checked_mul(d as usize).ok_or_else(|| err!(Shape, "shape {dims:?} is too large"))?,
        }
    }
    let mut out: Dims = dims.iter().map(|&d| d.max(0) as usize).collect();
    if let Some(i) = hole {
        if known == 0 {
            bail!(Shape, "cannot tell the size of the dimension -1 in {dims:?}: the others hold no elements");
        }
        if !numel.is_multiple_of(known) {
            bail!(Shape, "shape {dims:?} is invalid for input of size {numel}");
        }
        out[i] = numel / known;
    } else if known != numel {
        bail!(Shape, "shape {dims:?} is invalid for input of size {numel}");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_strided_layouts() {
        let l = Layout::contiguous(&[4, 6]).slice(1, 0, 6, 1);
        assert!(l.view(&[2, 2, 3, 2]).is_some());
        let t = Layout::contiguous(&[4, 6]).transpose(0, 1);
        assert!(t.view(&[24]).is_none());
        assert_eq!(t.view(&[6, 2, 2]).unwrap().strides.as_slice(), &[1, 12, 6]);
        assert_eq!(t.view(&[2, 3, 4]).unwrap().strides.as_slice(), &[3, 1, 6]);
        let b = Layout::contiguous(&[1, 3]).broadcast_to(&[2, 3]).unwrap();
        assert!(b.view(&[6]).is_none());
        assert!(b.view(&[2, 1, 3]).is_some());
    }

    #[test]
    fn inference_of_one_size() {
        assert_eq!(infer_sizes(&[-1, 3], 12).unwrap().as_slice(), &[4, 3]);
        assert!(infer_sizes(&[-1, 5], 12).is_err());
        assert!(infer_sizes(&[-1, -1], 12).is_err());
    }
}
