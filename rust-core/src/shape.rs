//! L0: shapes, strides and layouts. A [`Layout`] says where the elements of a tensor lie in its storage.

use crate::error::{Error, Result};
use crate::{bail, err};
use smallvec::SmallVec;

/// Sizes, inline for up to five dimensions.
pub type Dims = SmallVec<[usize; 5]>;
/// Strides in elements, inline for up to five dimensions.
pub type Strides = SmallVec<[isize; 5]>;

/// Where the elements of a tensor lie in a storage: `offset + sum(index[d] * strides[d])`, in elements.
///
/// Whatever made it, a layout holds to this, so that nobody needs to check again: it has one stride per size, none of them
/// negative; the product of the sizes that are not 0, and the place of the last element, fit into an `isize`.
/// [`Layout::new`] checks it; the methods that need no check say why.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    shape: Dims,
    strides: Strides,
    offset: usize,
    numel: usize,
}

/// Row-major strides of `shape`.
#[inline]
pub fn contiguous_strides(shape: &[usize]) -> Strides {
    let mut strides: Strides = SmallVec::from_elem(1, shape.len());
    let mut step = 1usize;
    for d in (0..shape.len()).rev() {
        strides[d] = step as isize;
        step = step.saturating_mul(shape[d].max(1));
    }
    strides
}

/// Number of elements, or an error if it, or the product of the sizes beside a 0, does not fit into an `isize`.
#[inline]
pub fn checked_numel(shape: &[usize]) -> Result<usize> {
    let (mut n, mut empty, mut fits) = (1usize, false, true);
    for &d in shape {
        empty |= d == 0;
        let (product, over) = n.overflowing_mul(d.max(1));
        fits &= !over;
        n = product;
    }
    if fits && n <= isize::MAX as usize {
        return Ok(if empty { 0 } else { n });
    }
    Err(err!(Memory, "a tensor of shape {shape:?} has too many elements"))
}

impl Clone for Layout {
    #[inline]
    fn clone(&self) -> Layout {
        // `from_slice` copies memory, where a clone of the vectors goes from element to element.
        let (shape, strides) = (Dims::from_slice(&self.shape), Strides::from_slice(&self.strides));
        Layout { shape, strides, offset: self.offset, numel: self.numel }
    }
}

impl Layout {
    /// The layout with these sizes, strides and offset: the one way to make a layout of numbers that nobody has checked.
    pub fn new(shape: Dims, strides: Strides, offset: usize) -> Result<Layout> {
        let numel = checked_numel(&shape)?;
        if shape.len() != strides.len() {
            bail!(Value, "sizes {shape:?} and strides {strides:?} must have equal lengths");
        }
        if strides.iter().any(|&s| s < 0) {
            bail!(Value, "negative strides are not supported, got {strides:?}");
        }
        let step =
            |last: usize, (&n, &s): (&usize, &isize)| n.saturating_sub(1).checked_mul(s as usize)?.checked_add(last);
        let last = shape.iter().zip(&strides).try_fold(offset, step);
        if last.is_none_or(|l| l > isize::MAX as usize) {
            bail!(Value, "sizes {shape:?} with strides {strides:?} and offset {offset} reach too far");
        }
        Ok(Layout { shape, strides, offset, numel })
    }

    /// Row-major from element 0.
    #[inline]
    pub fn contiguous(shape: &[usize]) -> Result<Self> {
        if let &[n] = shape {
            if n <= isize::MAX as usize {
                return Ok(Layout {
                    shape: Dims::from_slice(shape),
                    strides: Strides::from_buf_and_len([1; 5], 1),
                    offset: 0,
                    numel: n,
                });
            }
        }
        let numel = checked_numel(shape)?;
        // No stride is larger than the product of the sizes.
        Ok(Layout { shape: Dims::from_slice(shape), strides: contiguous_strides(shape), offset: 0, numel })
    }

    /// Sizes.
    #[inline(always)]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Step per dimension, in elements.
    #[inline(always)]
    pub fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// Place of the first element.
    #[inline(always)]
    pub fn offset(&self) -> usize {
        self.offset
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
        self.numel
    }

    /// True if the elements lie in row-major order without gaps.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        if self.numel == 0 {
            return true;
        }
        let mut step = 1isize;
        for d in (0..self.shape.len()).rev() {
            let n = self.shape[d];
            if n != 1 {
                if self.strides[d] != step {
                    return false;
                }
                step *= n as isize;
            }
        }
        true
    }

    /// True if each of the elements lies at its own place and they fill one gapless block (in any order of dimensions).
    pub fn is_dense(&self) -> bool {
        if self.numel <= 1 {
            return true;
        }
        let mut order: SmallVec<[usize; 8]> = (0..self.ndim()).filter(|&d| self.shape[d] != 1).collect();
        order.sort_unstable_by_key(|&d| (self.strides[d], d));
        let mut step = 1isize;
        for d in order {
            if self.strides[d] != step {
                return false;
            }
            step *= self.shape[d] as isize;
        }
        true
    }

    /// One past the last element that is touched, relative to `offset`; 0 if there are none.
    pub fn span(&self) -> usize {
        if self.numel == 0 {
            return 0;
        }
        1 + self.shape.iter().zip(&self.strides).map(|(&n, &s)| (n - 1) * s as usize).sum::<usize>()
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
        let numel = checked_numel(shape)?;
        // Repeating reaches no further.
        Ok(Layout { shape: Dims::from_slice(shape), strides, offset: self.offset, numel })
    }

    /// The same places counted from `start`, which is not behind the first element.
    pub fn counted_from(&self, start: usize) -> Layout {
        let mut l = self.clone();
        l.offset = l.offset.saturating_sub(start);
        l
    }

    /// As this one, from element 0, if the elements lie without gaps; else row-major.
    pub fn packed(&self) -> Result<Layout> {
        if self.is_dense() {
            return Ok(self.counted_from(self.offset));
        }
        Layout::contiguous(&self.shape)
    }

    /// Exchanges two dimensions.
    pub fn transpose(&self, a: usize, b: usize) -> Layout {
        let mut l = self.clone();
        l.shape.swap(a, b);
        l.strides.swap(a, b);
        l
    }

    /// Dimensions in a new order, in which each of them stands once.
    pub fn permute(&self, order: &[usize]) -> Layout {
        debug_assert!(order.len() == self.ndim() && (0..self.ndim()).all(|d| order.contains(&d)));
        Layout {
            shape: order.iter().map(|&d| self.shape[d]).collect(),
            strides: order.iter().map(|&d| self.strides[d]).collect(),
            offset: self.offset,
            numel: self.numel,
        }
    }

    /// `len` elements of dimension `dim` from `start`, each `step` apart; they must be there.
    pub fn slice(&self, dim: usize, start: usize, len: usize, step: usize) -> Layout {
        let n = self.shape[dim];
        let inside =
            len == 0 || (start < n && (len == 1 || (len - 1).checked_mul(step).is_some_and(|s| s < n - start)));
        assert!(inside, "{len} elements from {start}, {step} apart, of a dimension of size {n}");
        let mut l = self.clone();
        l.shape[dim] = len;
        l.numel = l.shape.iter().product();
        // All of it within the reach of this layout; nothing lies in an empty one.
        if l.numel > 0 {
            l.offset += start * l.strides[dim] as usize;
        }
        if len > 1 {
            l.strides[dim] *= step as isize;
        }
        l
    }

    /// Without dimension `dim`, at its element `index`.
    pub fn select(&self, dim: usize, index: usize) -> Layout {
        self.slice(dim, index, 1, 1).without(dim)
    }

    /// Without dimension `dim`, which must have size 1.
    pub fn without(mut self, dim: usize) -> Layout {
        assert_eq!(self.shape[dim], 1);
        self.shape.remove(dim);
        self.strides.remove(dim);
        self
    }

    /// With a dimension of size 1 in front of dimension `dim`, stepping over what follows it.
    pub fn unsqueeze(&self, dim: usize) -> Layout {
        let mut l = self.clone();
        let step = l.shape.get(dim).map_or(1, |&n| (n as isize).saturating_mul(l.strides[dim]));
        l.shape.insert(dim, 1);
        l.strides.insert(dim, step);
        l
    }

    /// This layout as `shape` without copying, or None if that cannot be had. Both have the same number of elements.
    pub fn view(&self, shape: &[usize]) -> Option<Layout> {
        if self.is_contiguous() {
            let mut l = Layout::contiguous(shape).ok()?;
            l.offset = self.offset;
            return (l.numel == self.numel).then_some(l);
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
            while i > 0 && Some(self.strides[old[i - 1]]) == base.checked_mul(run as isize) {
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
                step = step.saturating_mul(n as isize);
            }
            if left != 1 {
                return None;
            }
        }
        if shape[..new].iter().any(|&n| n != 1) {
            return None;
        }
        // The same places as before, in the same number.
        Some(Layout { shape: Dims::from_slice(shape), strides, offset: self.offset, numel: self.numel })
    }

    /// Dimensions that repeat the same places, seen once.
    pub fn unrepeated(&self) -> Layout {
        let repeats = |d: &usize| self.strides[*d] == 0 && self.shape[*d] > 1;
        (0..self.ndim()).filter(repeats).fold(self.clone(), |l, d| l.slice(d, 0, 1, 1))
    }

    /// True if two elements lie at one place.
    pub fn overlaps_itself(&self) -> bool {
        if self.numel <= 1 || self.is_contiguous() {
            return false;
        }
        let mut dims: SmallVec<[(usize, usize); 8]> = (0..self.ndim())
            .filter(|&d| self.shape[d] != 1)
            .map(|d| (self.strides[d] as usize, self.shape[d]))
            .collect();
        dims.sort_unstable();
        // Mostly each dimension steps over all that the finer ones reach.
        let mut reach = 0;
        let clear = dims.iter().all(|&(s, n)| {
            let clear = s > reach;
            reach += s * (n - 1);
            clear
        });
        if clear {
            return false;
        }
        let span = self.span();
        if dims[0].0 == 0 || self.numel > span {
            return true;
        }
        // Two dimensions meet again where their steps have a common multiple; more are counted out.
        if let &[(s, n), (t, m)] = &dims[..] {
            let (mut a, mut b) = (s, t);
            while b != 0 {
                (a, b) = (b, a % b);
            }
            return t / a < n && s / a < m;
        }
        // Without the memory to look closer, the answer is the careful one.
        let Ok(mut seen) = crate::memory::List::filled(span / 64 + 1, 0u64) else { return true };
        (0..self.numel).any(|mut i| {
            let mut at = 0;
            for &(s, n) in &dims {
                at += i % n * s;
                i /= n;
            }
            let before = seen[at / 64] >> (at % 64) & 1 == 1;
            seen[at / 64] |= 1 << (at % 64);
            before
        })
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
    checked_numel(&out).map(|_| out)
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
    if ndim > 64 {
        bail!(Value, "only tensors with up to 64 dims are supported, got {ndim}");
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

/// Sizes as the signed numbers that ops take.
pub(crate) fn signed(shape: &[usize]) -> SmallVec<[i64; 8]> {
    shape.iter().map(|&d| d as i64).collect()
}

/// Sizes from signed numbers; negative ones are an error, and so are more elements than can be counted.
pub fn sizes(dims: &[i64]) -> Result<Dims> {
    let out = counts(dims)?;
    checked_numel(&out).map(|_| out)
}

/// Counts that are no shape, from signed numbers; negative ones are an error.
pub fn counts(numbers: &[i64]) -> Result<Dims> {
    let mut out: Dims = crate::memory::room(numbers.len())?;
    for &d in numbers {
        out.push(usize::try_from(d).map_err(|_| err!(Shape, "sizes must not be negative, got {d}"))?);
    }
    Ok(out)
}

/// A dimension that must exist: 0-d tensors have none.
pub(crate) fn real_dim(dim: i64, ndim: usize) -> Result<usize> {
    if ndim == 0 {
        bail!(Index, "a 0-dim tensor has no dimension {dim}");
    }
    wrap_dim(dim, ndim)
}

/// `[outer, n, inner]` of `shape` around one dimension; no lines at all where there are no elements.
pub(crate) fn around(shape: &[usize], dim: usize) -> [usize; 3] {
    if shape.is_empty() {
        return [1, 1, 1];
    }
    if shape.contains(&0) {
        return [0, shape[dim], 0];
    }
    [shape[..dim].iter().product(), shape[dim], shape[dim + 1..].iter().product()]
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
    checked_numel(&out).map(|_| out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_strided_layouts() {
        let l = Layout::contiguous(&[4, 6]).unwrap().slice(1, 0, 6, 1);
        assert!(l.view(&[2, 2, 3, 2]).is_some());
        let t = Layout::contiguous(&[4, 6]).unwrap().transpose(0, 1);
        assert!(t.view(&[24]).is_none());
        assert_eq!(t.view(&[6, 2, 2]).unwrap().strides(), &[1, 12, 6]);
        assert_eq!(t.view(&[2, 3, 4]).unwrap().strides(), &[3, 1, 6]);
        let b = Layout::contiguous(&[1, 3]).unwrap().broadcast_to(&[2, 3]).unwrap();
        assert!(b.view(&[6]).is_none());
        assert!(b.view(&[2, 1, 3]).is_some());
    }

    #[test]
    fn layouts_that_cannot_be_counted_are_refused() {
        let most = isize::MAX as usize;
        let new = |shape: &[usize], strides: &[isize], offset| Layout::new(shape.into(), strides.into(), offset);
        for shape in
            [&[most, 2][..], &[1 << 32, 1 << 32], &[0, most, most], &[1 << 62, 8], &[4, most - 1, most], &[most + 1]]
        {
            assert_eq!(checked_numel(shape).unwrap_err().kind(), crate::error::Kind::Memory);
            assert!(Layout::contiguous(shape).is_err());
            assert!(Layout::contiguous(&vec![1; shape.len()]).unwrap().broadcast_to(shape).is_err());
            assert!(new(shape, &vec![0; shape.len()], 0).is_err());
            assert!(sizes(&shape.iter().map(|&n| n as i64).collect::<Vec<_>>()).is_err());
            assert!(broadcast(&shape[..1], &vec![1; shape.len()]).is_err() || shape[0] <= most);
        }
        assert_eq!(Layout::contiguous(&[most]).unwrap().numel(), most);
        assert_eq!(Layout::contiguous(&[0, 1 << 62]).unwrap().strides(), [1 << 62, 1]);
        assert!(new(&[2, 2], &[1], 0).is_err());
        assert!(new(&[2], &[-1], 0).is_err());
        assert!(new(&[3], &[1 << 62], 0).is_err());
        assert!(new(&[2], &[1], most).is_err());
        assert!(new(&[2, 2], &[1 << 62, 1 << 62], 0).is_err());
        assert!(new(&[1], &[isize::MAX], 5).is_ok());
        assert!(broadcast(&[1 << 40, 1], &[1, 1 << 40]).is_err());
        assert!(infer_sizes(&[0, 1 << 40, 1 << 40], 0).is_err());
    }

    #[test]
    fn overlap_is_found_exactly() {
        let new = |shape: &[usize], strides: &[isize]| Layout::new(shape.into(), strides.into(), 0).unwrap();
        for (shape, strides, overlaps) in [
            (&[4][..], &[0][..], true),
            (&[1], &[0], false),
            (&[0, 4], &[1, 0], false),
            (&[3, 2], &[1, 1], true),
            (&[2, 2], &[2, 1], false),
            (&[3, 2], &[2, 3], false),
            (&[4, 3], &[2, 3], true),
            (&[2, 3, 2], &[6, 4, 3], false),
            (&[2, 3, 3], &[6, 4, 3], true),
            (&[3, 1 << 40], &[1, 0], true),
            (&[2, 2, 2], &[1, 1, 1], true),
        ] {
            let places: Vec<usize> = if shape.iter().product::<usize>() < 100 {
                (0..shape.iter().product())
                    .map(|mut i: usize| {
                        let digit = |(&n, &s): (&usize, &isize)| {
                            let at = i % n * s as usize;
                            i /= n;
                            at
                        };
                        shape.iter().zip(strides).map(digit).sum()
                    })
                    .collect()
            } else {
                vec![0, 0]
            };
            let distinct: std::collections::HashSet<_> = places.iter().collect();
            assert_eq!(distinct.len() < places.len(), overlaps, "{shape:?} {strides:?}");
            assert_eq!(new(shape, strides).overlaps_itself(), overlaps, "{shape:?} {strides:?}");
        }
    }

    #[test]
    fn inference_of_one_size() {
        assert_eq!(infer_sizes(&[-1, 3], 12).unwrap().as_slice(), &[4, 3]);
        assert!(infer_sizes(&[-1, 5], 12).is_err());
        assert!(infer_sizes(&[-1, -1], 12).is_err());
    }
}
