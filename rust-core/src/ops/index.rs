//! Indexing, gathering and scattering.
//!
//! A tensor that is indexed is seen as three groups of dimensions: those in front of the indexed ones, the indexed ones
//! (which become the dimensions of the index), and the rest. [`Steps`] says where the positions of each group lie.

use crate::{bail, err};
use crate::dtype::{Acc, DType, Elem, Scalar, Truth, dispatch, dispatch_all, dispatch_size};
use crate::engine::copy::{check_number, contiguous_unlocked, copy_into, only};
use crate::engine::dtypes::check_rows;
use crate::error::{Error, Result};
use crate::kernels::copy;
use crate::kernels::index::{Steps, self as kernel};
use crate::kernels::math::floor_div;
use crate::memory::List;
use crate::shape::{Dims, Layout, Strides, broadcast, contiguous_strides, signed, sizes, wrap_dim, counts};
use crate::table::{Call, Grads, Outs, Overlap, Refusal, Saves, Spec, Specs, Takes, Vjp, one, Cast, several};
use crate::table::lang::Ex;
use crate::table::rules::number;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// The first input is not saved, all others are.
const INDICES: Saves = Saves(Saves::INPUTS.0 & !1);

/// An index tensor or mask, made ready: the offsets that it picks.
struct Picked {
    shape: Dims,
    offsets: List<isize>,
}

/// What a list of indices picks out of a tensor.
struct Plan {
    groups: [Steps; 3],
    /// Shape of the result.
    shape: Dims,
    /// Dimensions of the result in the first group, and in the first two.
    cuts: [usize; 2],
}

/// Offsets of whole numbers along a dimension of size `n` and stride `step`.
fn offsets(t: &Tensor, dim: usize, n: usize, step: isize, from_end: bool) -> Result<List<isize>> {
    let t = contiguous_unlocked(t, DType::I64, false)?;
    // SAFETY: row-major, `numel` elements.
    let values = unsafe { std::slice::from_raw_parts(t.ptr::<i64>(), t.numel()) };
    let mut out = List::with_room(values.len())?;
    for &v in values {
        let i = if v < 0 && from_end { v.wrapping_add(n as i64) } else { v };
        if i as u64 >= n as u64 {
            bail!(Index, "index {v} is out of bounds for dimension {dim} with size {n}");
        }
        out.push(i as isize * step)?;
    }
    Ok(out)
}

/// Flat positions of the true elements.
fn true_positions(mask: &Tensor) -> Result<List<i64>> {
    let m = contiguous_unlocked(mask, mask.dtype(), false)?;
    let n = m.numel();
    Ok(dispatch_all!(m.dtype(), T => {
        // SAFETY: row-major, `n` elements; all `total` places of the output are written.
        unsafe {
            let (starts, total) = kernel::count(m.ptr::<T>(), n)?;
            let mut out = List::filled(total, 0i64)?;
            kernel::positions(m.ptr::<T>(), n, &starts, total, out.as_mut_ptr());
            out
        }
    }))
}

fn is_mask(t: &Tensor) -> bool {
    matches!(t.dtype(), DType::Bool | DType::U8)
}

/// Where index tensors and masks stand. NumPy's rules: index tensors broadcast together and take the place of the dimensions
/// they index if those are next to each other, else the front; a mask stands for the positions of its true elements and
/// indexes as many dimensions as it has.
struct Seats<'a> {
    /// Each of them, with the first of the dimensions that it indexes and their number.
    of: SmallVec<[(&'a Tensor, usize, usize); 4]>,
    /// Dimensions that none of them indexes: those that stay in front of the indexed ones, and those behind.
    front: SmallVec<[usize; 8]>,
    back: SmallVec<[usize; 8]>,
}

impl<'a> Seats<'a> {
    fn new(indexed: &[usize], indices: &[Option<&'a Tensor>]) -> Result<Seats<'a>> {
        let mut of: SmallVec<[(&Tensor, usize, usize); 4]> = SmallVec::new();
        let mut rest: SmallVec<[bool; 8]> = SmallVec::from_elem(true, indexed.len());
        let (mut d, mut first, mut end, mut adjacent) = (0, 0, 0, true);
        for t in indices {
            let Some(t) = t else {
                d += 1;
                continue;
            };
            let k = if is_mask(t) { t.ndim() } else { 1 };
            if d + k > indexed.len() {
                bail!(Index, "too many indices for tensor of dimension {}", indexed.len());
            }
            adjacent &= of.is_empty() || d == end;
            if of.is_empty() {
                first = d;
            }
            if is_mask(t) {
                if let Some(i) = (0..k).find(|&i| t.shape()[i] != indexed[d + i]) {
                    bail!(
                        Index,
                        "the shape of the mask {:?} at index {i} does not match the shape of the indexed tensor \
                        {indexed:?} at index {}",
                        t.shape(),
                        d + i
                    );
                }
            } else if t.dtype().is_differentiable() || t.dtype().is_wide_unsigned() {
                bail!(Index, "tensors used as indices must be long, int, byte or bool tensors, got {}", t.dtype());
            }
            of.push((t, d, k));
            rest[d..d + k].fill(false);
            d += k;
            end = d;
        }
        if d > indexed.len() {
            bail!(Index, "too many indices for tensor of dimension {}", indexed.len());
        }
        let lead = if adjacent { first } else { 0 };
        let (front, back) = (0..indexed.len()).filter(|&d| rest[d]).partition(|&d| d < lead);
        Ok(Seats { of, front, back })
    }

    /// Shape of the result where `wide` is that of the indices.
    fn result(&self, indexed: &[usize], wide: &[usize]) -> Dims {
        let sizes = |dims: &[usize]| -> Dims { dims.iter().map(|&d| indexed[d]).collect() };
        let mut shape = sizes(&self.front);
        shape.extend_from_slice(wide);
        shape.extend(sizes(&self.back));
        shape
    }

    /// Shape of the result, unless it depends on the elements of masks.
    fn shape(&self, indexed: &[usize]) -> Result<Option<Dims>> {
        if self.of.iter().any(|(t, ..)| is_mask(t)) {
            return Ok(None);
        }
        Ok(Some(self.result(indexed, &common(self.of.iter().map(|(t, ..)| t.shape()))?)))
    }
}

/// The shape that all indices are broadcast to.
fn common<'a>(shapes: impl Iterator<Item = &'a [usize]> + Clone) -> Result<Dims> {
    let mut wide = Dims::new();
    for shape in shapes.clone() {
        wide = broadcast(&wide, shape).map_err(|_| {
            let shapes: SmallVec<[_; 4]> = shapes.clone().collect();
            err!(Index, "shape mismatch: indexing tensors could not be broadcast together with shapes {shapes:?}")
        })?;
    }
    Ok(wide)
}

/// What `indices` pick out of a tensor of layout `l`.
fn plan(l: &Layout, indices: &[Option<&Tensor>]) -> Result<Plan> {
    let seats = Seats::new(l.shape(), indices)?;
    let mut picked: SmallVec<[Picked; 4]> = SmallVec::new();
    for &(t, d, k) in &seats.of {
        picked.push(if is_mask(t) {
            let steps = Steps::new(&l.shape()[d..d + k], &l.strides()[d..d + k], &[])?;
            let offsets = List::collect(true_positions(t)?.into_iter().map(|p| steps.at(p as usize)))?;
            Picked { shape: Dims::from_slice(&[offsets.len()]), offsets }
        } else {
            Picked { shape: t.dims(), offsets: offsets(t, d, l.shape()[d], l.strides()[d], true)? }
        });
    }
    let wide = common(picked.iter().map(|p| p.shape.as_slice()))?;
    let j = match &mut picked[..] {
        [] => Steps::Even { n: 1, step: 1 },
        [only] => Steps::Table(std::mem::take(&mut only.offsets)),
        several => {
            let mut sum = List::filled(crate::shape::checked_numel(&wide)?, 0isize)?;
            for p in several {
                let from = Layout::contiguous(&p.shape)?.broadcast_to(&wide)?;
                let from = Steps::new(from.shape(), from.strides(), &[])?;
                sum.iter_mut().enumerate().for_each(|(i, s)| *s += p.offsets[from.at(i) as usize]);
            }
            Steps::Table(sum)
        }
    };
    let shape = seats.result(l.shape(), &wide);
    let cuts = [seats.front.len(), seats.front.len() + wide.len()];
    let group = |dims: &[usize]| {
        let (sizes, strides): (Dims, Strides) = dims.iter().map(|&d| (l.shape()[d], l.strides()[d])).unzip();
        Steps::new(&sizes, &strides, &shape)
    };
    let groups = [group(&seats.front)?, j, group(&seats.back)?];
    Ok(Plan { groups, shape, cuts })
}

/// A dimension and the shape of what `index` picks along it; 0-d tensors are seen as having one element.
fn along(indexed: &[usize], dim: i64, index: &Tensor) -> Result<(usize, Dims)> {
    let d = wrap_dim(dim, indexed.len())?;
    whole_index(index)?;
    if index.ndim() > 1 {
        bail!(Index, "index is supposed to be a vector, but got shape {:?}", index.shape());
    }
    let mut shape = Dims::from_slice(indexed);
    if let Some(n) = shape.get_mut(d) {
        *n = index.numel();
    } else if index.numel() != 1 {
        bail!(Index, "index of a 0-dim tensor must have one element, got {}", index.numel());
    }
    Ok((d, shape))
}

/// What is put into a tensor of dtype `dtype` has this dtype or is a plain number.
fn check_source(src: &Tensor, dtype: DType) -> Result<()> {
    if src.dtype() != dtype && !src.0.wrapped {
        bail!(DType, "source and destination must have the same dtype, got {} and {}", src.dtype(), dtype);
    }
    Ok(())
}

/// The layout of `src` over what is indexed.
fn spread(src: &Tensor, shape: &[usize]) -> Result<Layout> {
    src.layout().broadcast_to(shape).map_err(|_| {
        let text = format!(
            "shape mismatch: value tensor of shape {:?} cannot be broadcast to indexing result of shape {shape:?}",
            src.shape()
        );
        Error::shapes("", text, src.shape(), shape)
    })
}

impl Plan {
    /// The plan that picks `index` along one dimension.
    fn along(l: &Layout, dim: i64, index: &Tensor) -> Result<Plan> {
        let (d, shape) = along(l.shape(), dim, index)?;
        let (n, step) = if l.ndim() == 0 { (1, 0) } else { (l.shape()[d], l.strides()[d]) };
        let j = offsets(index, d, n, step, false)?;
        let (cut, end) = (d.min(l.ndim()), (d + 1).min(l.ndim()));
        let groups = [
            Steps::new(&l.shape()[..cut], &l.strides()[..cut], &shape)?,
            Steps::Table(j),
            Steps::new(&l.shape()[end..], &l.strides()[end..], &shape)?,
        ];
        Ok(Plan { groups, shape, cuts: [cut, end] })
    }

    /// Writes what is picked of `x` to `out`, which is row-major.
    fn take(&self, x: &Tensor, out: &Tensor) {
        let [b, j, a] = &self.groups;
        // SAFETY: the plan was made for the layout of `x`, its offsets are checked, and `out` has its shape.
        unsafe { kernel::take(x.dtype().size(), x.data_ptr(), [b, j, a], out.data_ptr()) };
    }

    /// Puts `src`, broadcast to the plan's shape, into `out`: `f` where the sum is wanted, else the last one stays.
    fn put(&self, out: &Tensor, src: &Tensor, alpha: Option<Scalar>) -> Result<()> {
        check_number(src, out.dtype())?;
        let src = if src.dtype() != out.dtype() || src.shares_memory(out) {
            contiguous_unlocked(src, out.dtype(), true)?
        } else {
            src.clone()
        };
        let from = spread(&src, &self.shape)?;
        let [p, q] = self.cuts;
        let n = from.ndim();
        let part = |r: std::ops::Range<usize>| Steps::new(&from.shape()[r.clone()], &from.strides()[r], &self.shape);
        let (sb, sj, sa) = (part(0..p)?, part(p..q)?, part(q..n)?);
        self.put_steps(out, &src, [&sb, &sj, &sa], alpha);
        Ok(())
    }

    fn put_steps(&self, out: &Tensor, src: &Tensor, from: [&Steps; 3], alpha: Option<Scalar>) {
        let [b, j, a] = &self.groups;
        // SAFETY: the plan was made for the layout of `out`, its offsets are checked, and dtypes are equal.
        unsafe {
            match alpha {
                None => dispatch_size!(out.dtype().size(), T => {
                    kernel::put(out.data_ptr().cast::<T>(), [b, j, a], src.data_ptr().cast::<T>(), from, |_, s| s)
                }),
                Some(alpha) => dispatch_all!(out.dtype(), T => {
                    let k = alpha.to::<<T as Elem>::Acc>();
                    let add = |d: T, s: T| T::down(d.up().plus(k.times(s.up())));
                    kernel::put(out.ptr::<T>(), [b, j, a], src.ptr::<T>(), from, add)
                }),
            }
        }
    }
}

const ONE: Option<Scalar> = Some(Scalar::Int(1));

/// Brings `x` to the result of an op that changes some of its elements; in place it is there.
fn start(x: &Tensor, out: &Tensor) -> Result<()> {
    if out.is_same(x) {
        return Ok(());
    }
    copy_into(out, x)
}

/// Zeros for a result, which is row-major.
fn clear(out: &Tensor) {
    // SAFETY: row-major, `numel` elements.
    unsafe { copy::fill(out.data_ptr(), out.dtype(), out.numel(), Scalar::Int(0)) };
}

fn zeros(shape: &[usize], dtype: DType) -> Result<Tensor> {
    Tensor::filled(shape, Scalar::Int(0), dtype)
}

fn whole_mask<'a>(x: &Tensor, indices: &[Option<&'a Tensor>]) -> Option<&'a Tensor> {
    match indices {
        [Some(m)] if m.dtype() == DType::Bool && m.shape() == x.shape() => Some(m),
        _ => None,
    }
}

/// Refuses masks, and floats.
fn places_only(index: &Tensor) -> Result<()> {
    if is_mask(index) || index.dtype().is_differentiable() || index.dtype().is_wide_unsigned() {
        bail!(DType, "tensors used as indices must be long or int tensors, got {}", index.dtype());
    }
    Ok(())
}

/// Unless there are masks, of which the elements count.
fn infer_index(c: &Call) -> Result<Option<Specs>> {
    let x = c.x(0);
    let shape = Seats::new(x.shape(), &c.inputs[1..])?.shape(x.shape())?;
    shape.map(|shape| Spec::rows(&shape, x.dtype())?.one()).transpose()
}

fn eval_index(c: &Call) -> Result<Outs> {
    let (x, indices) = (c.x(0), &c.inputs[1..]);
    if let Some(mask) = whole_mask(x, indices) {
        return one(selected(x, mask)?);
    }
    let p = plan(x.layout(), indices)?;
    let out = Tensor::empty_of(&p.shape, x.dtype())?;
    p.take(x, &out);
    one(out)
}

/// The elements of `x` where the mask of the same shape is true.
fn selected(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let (x, m) = (contiguous_unlocked(x, x.dtype(), false)?, contiguous_unlocked(mask, DType::Bool, false)?);
    // SAFETY: both are row-major with the same number of elements.
    unsafe {
        let (starts, total) = kernel::count(m.ptr::<Truth>(), m.numel())?;
        let out = Tensor::empty_of(&[total], x.dtype())?;
        kernel::compress(x.dtype().size(), x.data_ptr(), m.ptr(), m.numel(), &starts, total, out.data_ptr());
        Ok(out)
    }
}

fn infer_index_backward(c: &Call) -> Result<Specs> {
    let shape = sizes(c.ints(0))?;
    if let Some(picked) = Seats::new(&shape, &c.inputs[1..])?.shape(&shape)? {
        spread(c.x(0), &picked)?;
    }
    Spec::rows(&shape, c.x(0).dtype())?.one()
}

fn compute_index_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    clear(&outs[0]);
    plan(outs[0].layout(), &c.inputs[1..])?.put(&outs[0], c.x(0), ONE)
}

fn infer_index_put(c: &Call) -> Result<Specs> {
    let (x, values) = (c.x(0), c.x(1));
    let picked = Seats::new(x.shape(), &c.inputs[2..])?.shape(x.shape())?;
    check_source(values, x.dtype())?;
    if let Some(picked) = picked {
        spread(values, &picked)?;
    }
    Spec::rows(x.shape(), x.dtype())?.one()
}

fn compute_index_put(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, values, indices, out) = (c.x(0), c.x(1), &c.inputs[2..], &outs[0]);
    let accumulate = c.bool(0);
    if let (Some(mask), false, 1) = (whole_mask(x, indices), accumulate, values.numel()) {
        check_number(values, x.dtype())?;
        return fill_where(out, x, mask, values);
    }
    start(x, out)?;
    plan(out.layout(), indices)?.put(out, values, if accumulate { ONE } else { None })
}

/// `x` with the elements where the mask is true replaced by the only element of `value`; `out` may be `x`.
fn fill_where(out: &Tensor, x: &Tensor, mask: &Tensor, value: &Tensor) -> Result<()> {
    let shape = out.shape();
    let value = contiguous_unlocked(value, x.dtype(), value.shares_memory(out))?;
    let mask = if mask.shares_memory(out) { contiguous_unlocked(mask, DType::Bool, true)? } else { mask.clone() };
    let (from, hit) = (x.layout().broadcast_to(shape)?, mask.layout().broadcast_to(shape)?);
    // SAFETY: all three are seen with one shape; in place the output is `x` itself.
    unsafe {
        let (o, s) = ((out.data_ptr(), out.strides()), (x.data_ptr(), from.strides()));
        let m = (mask.data_ptr(), hit.strides());
        kernel::masked_fill(x.dtype().size(), shape, o, s, m, value.data_ptr());
    }
    Ok(())
}

fn check_mask(mask: &Tensor) -> Result<()> {
    if mask.dtype() != DType::Bool {
        bail!(DType, "only supports boolean masks, but got mask with dtype {}", mask.dtype());
    }
    Ok(())
}

fn infer_masked_fill(c: &Call) -> Result<Specs> {
    let (x, mask) = (c.x(0), c.x(1));
    check_mask(mask)?;
    single_value(c.x(2))?;
    Spec::rows(&broadcast(x.shape(), mask.shape())?, x.dtype())?.one()
}

fn compute_masked_fill(c: &Call, outs: &[Tensor]) -> Result<()> {
    check_value(c.x(0), c.x(2))?;
    fill_where(&outs[0], c.x(0), c.x(1), c.x(2))
}

/// A fill value is one number.
fn single_value(value: &Tensor) -> Result<()> {
    if value.ndim() != 0 {
        bail!(Value, "only supports a 0-dimensional value tensor, but got tensor with {} dimension(s)", value.ndim());
    }
    Ok(())
}

/// A fill value is one that the dtype of `x` can hold.
fn check_value(x: &Tensor, value: &Tensor) -> Result<()> {
    if value.dtype() != x.dtype() {
        only(value).held_by(x.dtype())?;
    }
    Ok(())
}

fn eval_masked_select(c: &Call) -> Result<Outs> {
    let (x, mask) = (c.x(0), c.x(1));
    check_mask(mask)?;
    let shape = broadcast(x.shape(), mask.shape())?;
    let wide = |t: &Tensor| Ok::<_, Error>(t.with_layout(t.layout().broadcast_to(&shape)?));
    one(selected(&wide(x)?, &wide(mask)?)?)
}

fn infer_masked_scatter(c: &Call) -> Result<Specs> {
    let (x, mask, source) = (c.x(0), c.x(1), c.x(2));
    check_mask(mask)?;
    if source.dtype() != x.dtype() {
        bail!(DType, "expected input and source to have same dtypes but got {} and {}", x.dtype(), source.dtype());
    }
    Spec::rows(&broadcast(x.shape(), mask.shape())?, x.dtype())?.one()
}

fn compute_masked_scatter(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (source, out) = (c.x(2), &outs[0]);
    let wide =
        |t: &Tensor| contiguous_unlocked(&t.with_layout(t.layout().broadcast_to(out.shape())?), t.dtype(), false);
    let (x, mask, source) = (wide(c.x(0))?, wide(c.x(1))?, contiguous_unlocked(source, source.dtype(), false)?);
    // SAFETY: all are row-major, and the source has enough elements.
    unsafe {
        let (starts, total) = kernel::count(mask.ptr::<Truth>(), mask.numel())?;
        if total > source.numel() {
            bail!(Value, "number of elements of source ({}) < number of ones in mask ({total})", source.numel());
        }
        let (p, m, s) = (x.data_ptr(), mask.ptr::<Truth>(), source.data_ptr());
        kernel::expand(x.dtype().size(), p, m, mask.numel(), (&starts, total), s, out.data_ptr());
    }
    Ok(())
}

/// The gradient of `masked_scatter` for its source: the gradient where the mask is true, then zeros.
fn masked_source(g: &Tensor, mask: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let picked = g.masked_select(mask)?;
    let missing = shape.iter().product::<usize>() as i64 - picked.numel() as i64;
    picked.pad(&[0, missing], "constant", None)?.reshape(&signed(shape))
}

fn eval_nonzero(c: &Call) -> Result<Outs> {
    let x = c.x(0);
    let flat = true_positions(x)?;
    let out = Tensor::empty_of(&[flat.len(), x.ndim()], DType::I64)?;
    // SAFETY: as many rows as positions.
    unsafe { kernel::unravel(flat.as_ptr(), flat.len(), x.shape(), out.ptr()) };
    one(out)
}

/// Sizes, of a 0-d tensor those of one with one element.
fn spans(shape: &[usize]) -> Dims {
    Dims::from_slice(if shape.is_empty() { &[1] } else { shape })
}

/// Sizes and strides, likewise.
fn axes(t: &Tensor) -> (Dims, Strides) {
    let strides = if t.ndim() == 0 { &[1] } else { t.strides() };
    (spans(t.shape()), Strides::from_slice(strides))
}

/// Places are counted in int64 or int32; smaller types would soon not reach.
fn whole_index(index: &Tensor) -> Result<()> {
    if !matches!(index.dtype(), DType::I64 | DType::I32) {
        bail!(DType, "expected dtype int64 or int32 for index, got {}", index.dtype());
    }
    Ok(())
}

fn long_index(index: &Tensor) -> Result<()> {
    if index.dtype() != DType::I64 {
        bail!(DType, "expected dtype int64 for index, got {}", index.dtype());
    }
    Ok(())
}

/// Checks an index of gather and scatter against the shape of the tensor that it indexes.
fn check_places(index: &Tensor, x: &[usize], dim: i64) -> Result<()> {
    let dim = wrap_dim(dim, x.len())?;
    // Of no places the dtype says nothing, as in PyTorch.
    if index.numel() == 0 {
        return Ok(());
    }
    whole_index(index)?;
    let (shape, x) = (spans(index.shape()), spans(x));
    if shape.len() != x.len() {
        bail!(
            Value,
            "index tensor must have the same number of dimensions as input tensor, got {} and {}",
            shape.len(),
            x.len()
        );
    }
    if (0..x.len()).any(|d| d != dim && shape[d] > x[d]) {
        let text = format!("expected index {shape:?} to be no larger than input {x:?} apart from dimension {dim}");
        return Err(Error::shapes("", text, &shape, &x));
    }
    Ok(())
}

/// The elements of an index as int64.
fn as_long(index: &Tensor) -> Result<Tensor> {
    if index.dtype() == DType::I64 {
        return Ok(index.clone());
    }
    contiguous_unlocked(index, DType::I64, false)
}

fn found(bad: Option<i64>, dim: usize, n: usize) -> Result<()> {
    match bad {
        Some(i) => Err(err!(Index, "index {i} is out of bounds for dimension {dim} with size {n}")),
        None => Ok(()),
    }
}

fn infer_gather(c: &Call) -> Result<Specs> {
    check_places(c.x(1), c.x(0).shape(), c.int(0))?;
    Spec::rows(c.x(1).shape(), c.x(0).dtype())?.one()
}

fn compute_gather(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, dim, out) = (c.x(0), wrap_dim(c.int(0), c.x(0).ndim())?, &outs[0]);
    if out.numel() == 0 {
        return Ok(());
    }
    let (shape, mut strides) = axes(x);
    let index = as_long(c.x(1))?;
    let step = std::mem::replace(&mut strides[dim], 0);
    let (over, steps) = axes(&index);
    // SAFETY: shapes are checked by `infer_gather`, indices by the kernel.
    let bad = unsafe {
        let o = (out.data_ptr(), &axes(out).1[..]);
        let (i, s) = ((index.ptr::<i64>(), &steps[..]), (x.data_ptr(), &strides[..]));
        kernel::gather(x.dtype().size(), &over, o, i, s, step, shape[dim])
    };
    found(bad, dim, shape[dim])
}

/// How `scatter` and its siblings combine what is there with what comes.
#[derive(Clone, Copy, PartialEq)]
enum Combine {
    Set,
    Add,
    Prod,
    Max,
    Min,
}

/// Sum of two elements.
#[inline(always)]
fn sum<T: Elem>(d: T, s: T) -> T {
    T::down(d.up().plus(s.up()))
}

/// Product of two elements.
#[inline(always)]
fn product<T: Elem>(d: T, s: T) -> T {
    T::down(d.up().times(s.up()))
}

/// `t`, or a copy of it if it would change while `out` is written.
fn apart(t: Tensor, out: &Tensor) -> Result<Tensor> {
    if t.shares_memory(out) {
        return contiguous_unlocked(&t, t.dtype(), true);
    }
    Ok(t)
}

/// Checks what is to be scattered into a tensor of this shape and dtype.
fn check_scatter(shape: &[usize], dtype: DType, dim: i64, index: &Tensor, src: &Tensor) -> Result<()> {
    check_places(index, shape, dim)?;
    if index.numel() == 0 {
        return Ok(());
    }
    if src.dtype() != dtype {
        bail!(DType, "expected input and src to have the same dtype, got {dtype} and {}", src.dtype());
    }
    let (over, room) = (spans(index.shape()), spans(src.shape()));
    if room.len() != over.len() || (0..over.len()).any(|d| over[d] > room[d]) {
        let text = format!("expected index {over:?} to be no larger than src {room:?}");
        return Err(Error::shapes("", text, &over, &room));
    }
    Ok(())
}

/// Scatters `src`, which [`check_scatter`] has seen, into `out`.
fn scatter_into(out: &Tensor, dim: i64, index: &Tensor, src: &Tensor, how: Combine) -> Result<()> {
    if index.numel() == 0 {
        return Ok(());
    }
    let dim = wrap_dim(dim, out.ndim())?;
    let (shape, mut strides) = axes(out);
    let (index, src) = (apart(as_long(index)?, out)?, apart(src.clone(), out)?);
    let ((over, steps), (_, from)) = (axes(&index), axes(&src));
    put_at(out, &over, dim, &mut strides, (&index, &steps), (&src, &from), shape[dim], how)
}

fn put_at(
    out: &Tensor,
    over: &[usize],
    dim: usize,
    strides: &mut Strides,
    (index, steps): (&Tensor, &[isize]),
    (src, from): (&Tensor, &[isize]),
    n: usize,
    how: Combine,
) -> Result<()> {
    let step = std::mem::replace(&mut strides[dim], 0);
    let i = (index.ptr::<i64>(), steps);
    // SAFETY: shapes are checked by `check_scatter` or `check_places`, indices by the kernel.
    let bad = unsafe {
        match how {
            Combine::Set => dispatch_size!(out.dtype().size(), T => {
                let (o, s) = ((out.data_ptr().cast::<T>(), &strides[..]), (src.data_ptr().cast::<T>(), from));
                kernel::scatter(over, dim, o, i, s, step, n, |_, s| s)
            }),
            _ => dispatch_all!(out.dtype(), T => {
                let (o, s) = ((out.ptr::<T>(), &strides[..]), (src.ptr::<T>(), from));
                match how {
                    Combine::Add => kernel::scatter(over, dim, o, i, s, step, n, sum),
                    Combine::Prod => kernel::scatter(over, dim, o, i, s, step, n, product),
                    // NaN is greatest for `less`; the smallest number of a set with NaN is NaN too.
                    Combine::Max => kernel::scatter(over, dim, o, i, s, step, n, |d: T, s: T| if d.less(s) { s } else { d }),
                    _ => kernel::scatter(over, dim, o, i, s, step, n, |d: T, s: T| {
                        if !d.nan() && (s.nan() || s.less(d)) { s } else { d }
                    }),
                }
            }),
        }
    };
    found(bad, dim, n)
}

/// Sets the places that `index`, which [`check_places`] has seen, names to `value`.
fn scatter_number(out: &Tensor, dim: i64, index: &Tensor, value: Scalar) -> Result<()> {
    if index.numel() == 0 {
        return Ok(());
    }
    let d = wrap_dim(dim, out.ndim())?;
    let (shape, mut strides) = axes(out);
    let index = apart(as_long(index)?, out)?;
    let (over, steps) = axes(&index);
    let value = Tensor::filled(&[], value.held_by(out.dtype())?, out.dtype())?;
    let none: Strides = SmallVec::from_elem(0, over.len());
    put_at(out, &over, d, &mut strides, (&index, &steps), (&value, &none), shape[d], Combine::Set)
}

/// In place, no index may be found bad after the first change.
fn check_index(c: &Call, out: &Tensor) -> Result<()> {
    if !out.is_same(c.x(0)) {
        return Ok(());
    }
    let dim = wrap_dim(c.int(0), out.ndim())?;
    let n = axes(out).0[dim];
    let index = contiguous_unlocked(c.x(1), DType::I64, false)?;
    // SAFETY: row-major, `numel` elements.
    let all = unsafe { std::slice::from_raw_parts(index.ptr::<i64>(), index.numel()) };
    found(all.iter().copied().find(|&i| i as u64 >= n as u64), dim, n)
}

fn infer_scatter(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    check_scatter(x.shape(), x.dtype(), c.int(0), c.x(1), c.x(2))?;
    Spec::rows(x.shape(), x.dtype())?.one()
}

fn compute_scatter(c: &Call, out: &Tensor, how: Combine) -> Result<()> {
    check_index(c, out)?;
    start(c.x(0), out)?;
    scatter_into(out, c.int(0), c.x(1), c.x(2), how)
}

fn infer_scatter_value(c: &Call) -> Result<Specs> {
    let (x, index) = (c.x(0), c.x(1));
    check_places(index, x.shape(), c.int(0))?;
    if index.numel() > 0 {
        c.scalar(1).held_by(x.dtype())?;
    }
    Spec::rows(x.shape(), x.dtype())?.one()
}

fn compute_scatter_value(c: &Call, outs: &[Tensor]) -> Result<()> {
    check_index(c, &outs[0])?;
    start(c.x(0), &outs[0])?;
    scatter_number(&outs[0], c.int(0), c.x(1), c.scalar(1))
}

fn infer_gather_backward(c: &Call) -> Result<Specs> {
    let (g, shape) = (c.x(0), sizes(c.ints(0))?);
    check_scatter(&shape, g.dtype(), c.int(1), c.x(1), g)?;
    Spec::rows(&shape, g.dtype())?.one()
}

fn compute_gather_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    clear(&outs[0]);
    scatter_into(&outs[0], c.int(1), c.x(1), c.x(0), Combine::Add)
}

/// `src` of a scatter may be larger than the index; its gradient there is zero.
fn grown(g: Tensor, shape: &[usize]) -> Result<Tensor> {
    if g.shape() == shape {
        return Ok(g);
    }
    if g.ndim() == 0 || shape.is_empty() {
        // A tensor without dimensions counts as one of one dimension.
        let wide = grown(g.reshape(&[-1])?, if shape.is_empty() { &[1] } else { shape })?;
        return wide.reshape(&signed(shape));
    }
    if g.numel() == 0 {
        // An empty index may have any number of dimensions.
        return Tensor::filled(shape, Scalar::Int(0), g.dtype());
    }
    let pad: SmallVec<[i64; 16]> =
        (0..shape.len()).rev().flat_map(|d| [0, shape[d] as i64 - g.shape()[d] as i64]).collect();
    g.pad(&pad, "constant", None)
}

fn gathered(v: &Vjp, src: usize) -> Ex {
    v.want(src, || v.g().with(v.x(1), |g, i| grown(g.gather(v.int(0), i, false)?, v.shape(src))))
}

fn combine(c: &Call) -> Result<Combine> {
    Ok(match c.str(1) {
        "sum" | "mean" => Combine::Add,
        "prod" => Combine::Prod,
        "amax" => Combine::Max,
        "amin" => Combine::Min,
        other => bail!(Value, "reduce argument must be either sum, prod, mean, amax or amin, got {other}"),
    })
}

fn infer_scatter_reduce(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    if !matches!(combine(c)?, Combine::Add | Combine::Prod) || c.str(1) == "mean" {
        Takes::NOTHING.check(x.dtype())?;
    }
    check_scatter(x.shape(), x.dtype(), c.int(0), c.x(1), c.x(2))?;
    Spec::rows(x.shape(), x.dtype())?.one()
}

fn compute_scatter_reduce(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, dim, index, src, out) = (c.x(0), c.int(0), c.x(1), c.x(2), &outs[0]);
    let (how, own) = (combine(c)?, c.bool(2));
    copy_into(out, x)?;
    if !own {
        let d = x.dtype();
        let limit = |f: f64, i: f64| if d.is_float() { Scalar::Float(f) } else { Scalar::Float(i) };
        let neutral = match how {
            Combine::Prod => Scalar::Int(1),
            Combine::Max if d == DType::I64 => Scalar::Int(i64::MIN),
            Combine::Min if d == DType::I64 => Scalar::Int(i64::MAX),
            Combine::Max => limit(f64::NEG_INFINITY, d.min()),
            Combine::Min => limit(f64::INFINITY, d.max()),
            _ => Scalar::Int(0),
        };
        scatter_number(out, dim, index, neutral)?;
    }
    scatter_into(out, dim, index, src, how)?;
    if c.str(1) == "mean" {
        let counts = Tensor::filled(x.shape(), Scalar::Int(own as i64), DType::I64)?;
        let ones = Tensor::filled(src.shape(), Scalar::Int(1), DType::I64)?;
        scatter_into(&counts, dim, index, &ones, Combine::Add)?;
        dispatch!(x.dtype(), T => {
            for i in 0..x.numel() {
                // SAFETY: both are row-major with the shape of `x`.
                unsafe {
                    let (p, n) = (out.ptr::<T>().add(i), (*counts.ptr::<i64>().add(i)).max(1));
                    *p = match T::DTYPE.compute() {
                        crate::dtype::Compute::I64 => T::from_i64(floor_div((*p).to_i64(), n)),
                        _ => T::from_f64((*p).to_f64() / n as f64),
                    };
                }
            }
        });
    }
    Ok(())
}

/// 1 where the tensors are equal, else 0, as `dtype`.
fn same(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.eq(b)?.to_dtype(a.dtype())
}

fn scatter_reduce_vjp(v: &Vjp) -> Result<Grads> {
    let (dim, own) = (v.int(0), v.bool(2));
    let (g, x, index, src) = (v.g().tensor()?, v.x(0).tensor()?, v.x(1).tensor()?, v.x(2).tensor()?);
    let from = |t: &Tensor| grown(t.gather(dim, &index, false)?, src.shape());
    let cut = |t: Tensor| if own { Ok(t) } else { t.scatter_value(dim, &index, 0) };
    let (to_x, to_src) = match v.str(1) {
        "sum" => (cut(g.clone())?, from(&g)?),
        "mean" => {
            let counts = if own { x.ones_like(None)? } else { x.zeros_like(None)? };
            let counts = counts.scatter_add(dim, &index, &src.ones_like(None)?)?.clamp_min(Scalar::Int(1))?;
            let g = g.div(&counts, "")?;
            (cut(g.clone())?, from(&g)?)
        }
        "prod" => {
            // What is left of a product without one of its factors: the product over the factor, but where a factor
            // is 0 the product of the others, which is not 0 only if there is no second 0.
            let zero_x = x.eq(&zero()?)?;
            let others = x.masked_fill(&zero_x, &number(1)?)?;
            let left = others.scatter_reduce(dim, &index, &src, "prod", own)?;
            let to_x = g.mul(&left)?.div(&others, "")?;
            let zero_src = src.eq(&zero()?)?;
            let zeros = x.zeros_like(None)?.scatter_add(dim, &index, &zero_src.to_dtype(x.dtype())?)?;
            let single = zero_src.logical_and(&from(&zeros)?.eq(&number(1)?)?)?;
            let rest = x.scatter_reduce(dim, &index, &src.masked_fill(&single, &number(1)?)?, "prod", own)?;
            let usual = from(&g.mul(&v.y().tensor()?)?)?.div(&src.masked_fill(&zero_src, &number(1)?)?, "")?;
            (cut(to_x)?, Tensor::where_(&single, &from(&g.mul(&rest)?)?, &usual)?)
        }
        _ => {
            // The gradient is shared among all elements that are equal to the result.
            let y = v.y().tensor()?;
            let (hit_x, hit_src) = (cut(same(&x, &y)?)?, same(&src, &from(&y)?)?);
            let g = g.div(&hit_x.scatter_add(dim, &index, &hit_src)?, "")?;
            (hit_x.mul(&g)?, hit_src.mul(&from(&g)?)?)
        }
    };
    Ok(Grads::from_iter([Some(to_x), None, Some(to_src)]))
}

fn infer_embedding(c: &Call) -> Result<Specs> {
    let (rows, w) = (c.x(0), c.x(1));
    let [_, d] = *w.shape() else { bail!(Shape, "'weight' must be 2-D, got shape {:?}", w.shape()) };
    check_rows(rows)?;
    let mut shape = rows.dims();
    shape.push(d);
    Spec::rows(&shape, w.dtype())?.one()
}

fn compute_embedding(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (rows, w) = (c.x(0), c.x(1));
    let j = Steps::Table(offsets(rows, 0, w.shape()[0], w.strides()[0], false)?);
    let groups = [Steps::Even { n: 1, step: 1 }, j, Steps::new(&w.shape()[1..], &w.strides()[1..], &[])?];
    Plan { groups, shape: outs[0].dims(), cuts: [0, rows.ndim()] }.take(w, &outs[0]);
    Ok(())
}

fn infer_embedding_backward(c: &Call) -> Result<Specs> {
    let (g, index) = (c.x(0), c.x(1));
    check_rows(index)?;
    let rows = usize::try_from(c.int(0)).map_err(|_| err!(Value, "num_weights must not be negative"))?;
    let inner: usize = g.shape().get(index.ndim()..).unwrap_or(&[]).iter().product();
    if g.shape().get(..index.ndim()) != Some(index.shape()) || g.ndim() != index.ndim() + 1 {
        bail!(Shape, "a gradient of shape {:?} does not fit indices of shape {:?}", g.shape(), index.shape());
    }
    Spec::rows(&[rows, inner], g.dtype())?.one()
}

/// Rows of the table that `index` names; the row `padding` gets no gradient.
fn compute_embedding_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (g, index, out) = (c.x(0), c.x(1), &outs[0]);
    let (rows, inner) = (out.shape()[0], out.shape()[1]);
    let g = contiguous_unlocked(g, g.dtype(), false)?;
    clear(out);
    let to = offsets(index, 0, rows, inner as isize, false)?;
    let padding = c.opt_int(1).filter(|&p| p >= 0).map(|p| (p as isize).saturating_mul(inner as isize));
    let kept = || to.iter().enumerate().filter(|(_, &o)| Some(o) != padding || inner == 0);
    let from = List::collect(kept().map(|(i, _)| (i * inner) as isize))?;
    let to = List::collect(kept().map(|(_, &o)| o))?;
    let unit = || Steps::Even { n: inner, step: 1 };
    let alone = || Steps::Even { n: 1, step: 1 };
    let p = Plan { groups: [alone(), Steps::Table(to), unit()], shape: Dims::new(), cuts: [0, 1] };
    p.put_steps(out, &g, [&alone(), &Steps::Table(from), &unit()], ONE);
    Ok(())
}

/// The saved index tensors of a rule, from input `first` on.
fn with_indices(v: &Vjp, first: usize, f: impl FnOnce(&[Option<&Tensor>]) -> Result<Tensor>) -> Ex {
    let run = || {
        let all = List::try_collect((first..v.len()).map(|i| v.x(i).value()))?;
        f(&List::collect(all.iter().map(Option::as_ref))?)
    };
    run().into()
}

fn zero() -> Result<Tensor> {
    number(0)
}

/// Indices counted from the end if negative.
fn from_start(index: &Tensor, n: usize) -> Result<Tensor> {
    if index.is_meta() {
        return Ok(index.clone());
    }
    let mut values = index.to_vec::<i64>()?;
    if values.iter().all(|&v| v >= 0) {
        return Ok(index.clone());
    }
    values.iter_mut().filter(|v| **v < 0).for_each(|v| *v += n as i64);
    Tensor::from_slice(&values, index.shape())
}

fn eval_take_along_dim(c: &Call) -> Result<Outs> {
    let (x, index) = (c.x(0), c.x(1));
    long_index(index)?;
    let Some(dim) = c.opt_int(0) else {
        return one(x.ravel()?.gather(0, &index.ravel()?, false)?);
    };
    if x.ndim() != index.ndim() {
        bail!(
            Value,
            "input and indices should have the same number of dimensions, but got {} dimensions for input, and \
            {} dimensions for indices",
            x.ndim(),
            index.ndim()
        );
    }
    let d = wrap_dim(dim, x.ndim())?;
    let (mut a, mut b) = (x.dims(), index.dims());
    if x.ndim() > 0 {
        (a[d], b[d]) = (1, 1);
    }
    let wide = signed(&broadcast(&a, &b)?);
    let with = |t: &Tensor| {
        let mut shape = wide.clone();
        if t.ndim() > 0 {
            shape[d] = t.shape()[d] as i64;
        }
        t.expand(&shape)
    };
    let n = x.shape().get(d).copied().unwrap_or(1);
    one(with(x)?.gather(dim, &with(&from_start(index, n)?)?, false)?)
}

ops! {
    /// `input[indices]` with tensors of whole numbers, masks, and None for whole dimensions, by NumPy's rules.
    index(input: Tensor, indices: OptTensors) -> Tensor, Special {
        body: Dynamic(infer_index, eval_index),
        vjp: vjp!(|v| with_indices(v, 1, |i| Tensor::index_backward(&v.g().tensor()?, i, &v.sizes(0)))),
        saves: INDICES,
        function: false, method: false,
        refuses: &[Refusal { call: "rt.ones(3), [rt.tensor([5])]", message: "out of bounds for dimension 0 with size 3" }],
        samples: &[
            "r(3, 2), [i([0, 2, 0]), None]", "r(3, 2), [i([0, 2]), i([1, 1])]", "r(3, 2), [b([True, False, True])]",
            "r(2, 3), [None, i([[-1, 0], [1, 1]])]",
        ],
        takes: Takes::ALL,
    }

    /// The transpose of `index`: `grad` added to the places of a tensor of `input_sizes` that it was read from.
    index_backward(grad: Tensor, indices: OptTensors, input_sizes: Ints) -> Tensor, Special {
        body: Kernel(infer_index_backward, compute_index_backward),
        vjp: vjp!(|v| with_indices(v, 1, |i| v.g().tensor()?.index(i))),
        saves: INDICES,
        function: false, method: false,
        samples: &["r(3, 2), [i([0, 2, 0]), None], (3, 2)", "r(2), [i([0, 0]), i([1, 1])], (3, 2)"],
        takes: Takes::COMPLEX,
    }

    /// A copy of `input` with `values`, broadcast, put to (or with `accumulate` added to) the places `input[indices]`.
    index_put(input: Tensor, values: Tensor, indices: OptTensors, accumulate: Bool = false) -> Tensor, Special {
        body: Kernel(infer_index_put, compute_index_put), direct: true,
        vjp: vjp!(|v| [
            v.want(0, || if v.bool(0) { v.g() } else {
                with_indices(v, 2, |i| v.g().tensor()?.index_put(&zero()?, i, false))
            }),
            v.want(1, || with_indices(v, 2, |i| v.g().tensor()?.index(i))),
        ]),
        saves: Saves(INDICES.0 & !2),
        inplace: true, overlap: Overlap::Moves,
        refuses: &[Refusal { call: "rt.ones(3), rt.ones(3), [rt.tensor([0, 1])]", message: "shape mismatch" }],
        samples: &[
            "r(3, 2), r(2, 2), [i([0, 2])]", "r(3), r(3), [i([0, 0, 1])], True", "r(3, 2), r(1), [i([0, 2])]",
            "r(3, 2), r(), [b([True, False, True])], True",
        ],
        takes: Takes::COMPLEX,
    }

    /// `out[.., i, ..] = input[.., index[.., i, ..], ..]` along `dim`; `index` has the shape of the result.
    gather(input: Tensor, dim: Int, index: Tensor, sparse_grad: Bool = false) -> Tensor, Special {
        body: Kernel(infer_gather, compute_gather),
        vjp: vjp!(|v| v.g().with(v.x(1), |g, i| Tensor::gather_backward(g, i, &v.sizes(0), v.int(0)))),
        saves: Saves::B, onnx: Some("GatherElements"),
        refuses: &[Refusal { call: "rt.ones(3), 0, rt.tensor([3])", message: "index 3 is out of bounds" }],
        samples: &["r(2, 3), 1, i([[0, 2], [1, 1]])", "r(3, 2), 0, i([[0, 0]])"],
        takes: Takes::COMPLEX,
    }

    /// The transpose of `gather`.
    gather_backward(grad: Tensor, index: Tensor, input_sizes: Ints, dim: Int) -> Tensor, Special {
        body: Kernel(infer_gather_backward, compute_gather_backward),
        vjp: vjp!(|v| v.g().with(v.x(1), |g, i| grown(g.gather(v.int(1), i, false)?, v.shape(0)))),
        saves: Saves::B,
        function: false, method: false,
        samples: &["r(2, 2), i([[0, 2], [1, 1]]), (2, 3), 1", "r(1, 2), i([[0, 0]]), (3, 2), 0"],
        takes: Takes::COMPLEX,
    }

    /// A copy of `input` with `out[.., index[.., i, ..], ..] = src[.., i, ..]` along `dim`. Where an index repeats, one of
    /// the sources stays.
    scatter(input: Tensor, dim: Int, index: Tensor, src: Tensor) -> Tensor, Special {
        body: Kernel(infer_scatter, |c, outs| compute_scatter(c, &outs[0], Combine::Set)), direct: true,
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, i| g.scatter_value(v.int(0), i, 0))), Ex::None, gathered(v, 2),
        ]),
        saves: Saves::B, inplace: true, overlap: Overlap::Moves, onnx: Some("ScatterElements"),
        refuses: &[Refusal { call: "rt.ones(3), 0, rt.tensor([3]), rt.ones(1)", message: "index 3 is out of bounds" }],
        samples: &["r(2, 3), 1, i([[0, 2], [1, 0]]), r(2, 2)", "r(3, 2), 0, i([[2, 1]]), r(2, 2)"],
        takes: Takes::COMPLEX,
    }

    /// As `scatter`, with one number as the source.
    scatter_value(input: Tensor, dim: Int, index: Tensor, value: Scalar) -> Tensor, Special {
        body: Kernel(infer_scatter_value, compute_scatter_value), direct: true,
        vjp: vjp!(|v| v.g().with(v.x(1), |g, i| g.scatter_value(v.int(0), i, 0))),
        saves: Saves::B, inplace: true, overlap: Overlap::Moves, function: false, method: false,
        samples: &["r(2, 3), 1, i([[0, 2], [1, 0]]), 2.0"],
        takes: Takes::COMPLEX,
    }

    /// As `scatter_reduce` together with what is there, with one number as the source.
    scatter_value_reduce(input: Tensor, dim: Int, index: Tensor, value: Scalar, reduce: Str) -> Tensor, Special {
        body: Composite(|c| {
            let (x, places) = (c.x(0), c.x(1));
            let src = Tensor::full_with(&signed(places.shape()), c.scalar(1), Some(x.dtype()))?;
            one(x.scatter_reduce(c.int(0), places, &src, c.str(2), true)?)
        }),
        inplace: true, function: false, method: false,
        refuses: &[Refusal { call: "rt.ones(3), 0, rt.tensor([0]), 1.0, \"max\"", message: "reduce argument must be" }],
        samples: &["r(3, 2), 0, i([[0, 2], [2, 0]]), 2.0, 'sum'", "z(3, 2), 0, i([[0, 2], [2, 0]]), 2.0, 'prod'"],
    }

    /// As `scatter`, adding to what is there.
    scatter_add(input: Tensor, dim: Int, index: Tensor, src: Tensor) -> Tensor, Special {
        body: Kernel(infer_scatter, |c, outs| compute_scatter(c, &outs[0], Combine::Add)), direct: true,
        vjp: vjp!(|v| [v.g(), Ex::None, gathered(v, 2)]),
        saves: Saves::B, inplace: true, overlap: Overlap::Moves, onnx: Some("ScatterElements"),
        samples: &["r(2, 3), 1, i([[0, 2], [1, 1]]), r(2, 2)", "r(3, 2), 0, i([[0, 0]]), r(2, 3)"],
        takes: Takes::COMPLEX,
    }

    /// The elements of dimension `dim` that `index` names.
    index_select(input: Tensor, dim: Int, index: Tensor) -> Tensor, Special {
        body: Kernel(
            |c| Spec::rows(&along(c.x(0).shape(), c.int(0), c.x(1))?.1, c.x(0).dtype())?.one(),
            |c, outs| {
                Plan::along(c.x(0).layout(), c.int(0), c.x(1))?.take(c.x(0), &outs[0]);
                Ok(())
            },
        ),
        vjp: vjp!(|v| v.g().with(v.x(1), |g, i| Tensor::index_select_backward(g, i, &v.sizes(0), v.int(0)))),
        saves: Saves::B, onnx: Some("Gather"),
        refuses: &[Refusal { call: "rt.ones(3), 0, rt.tensor([3])", message: "index 3 is out of bounds" }],
        samples: &["r(2, 3), 1, i([0, 2, 0])", "r(3, 2), 0, i([1])"],
        takes: Takes::COMPLEX,
    }

    /// The transpose of `index_select`.
    index_select_backward(grad: Tensor, index: Tensor, input_sizes: Ints, dim: Int) -> Tensor, Special {
        body: Kernel(
            |c| {
                let shape = sizes(c.ints(0))?;
                spread(c.x(0), &along(&shape, c.int(1), c.x(1))?.1)?;
                Spec::rows(&shape, c.x(0).dtype())?.one()
            },
            |c, outs| {
                clear(&outs[0]);
                Plan::along(outs[0].layout(), c.int(1), c.x(1))?.put(&outs[0], c.x(0), ONE)
            },
        ),
        vjp: vjp!(|v| v.g().with(v.x(1), |g, i| g.index_select(v.int(1), i))),
        saves: Saves::B,
        function: false, method: false,
        samples: &["r(2, 3), i([0, 2, 0]), (2, 3), 1", "r(1, 2), i([1]), (3, 2), 0"],
        takes: Takes::COMPLEX,
    }

    /// A copy of `input` with `alpha * source` added to the elements of dimension `dim` that `index` names.
    index_add(input: Tensor, dim: Int, index: Tensor, source: Tensor, alpha: Scalar = 1) -> Tensor, Special {
        body: Kernel(
            |c| {
                let spec = infer_along(c, false)?;
                c.scalar(1).held_by(c.x(0).dtype())?;
                Ok(spec)
            },
            |c, outs| compute_along(c, &outs[0], Some(c.scalar(1))),
        ),
        direct: true,
        vjp: vjp!(|v| [
            v.g(), Ex::None,
            v.want(2, || v.g().with(v.x(1), |g, i| g.index_select(v.int(0), i)) * v.scalar(1).f64()),
        ]),
        saves: Saves::B, inplace: true, overlap: Overlap::Moves,
        samples: &["r(3, 2), 0, i([0, 2, 0]), r(3, 2), 1.5", "r(2, 3), 1, i([1]), r(2, 1)"],
        takes: Takes::COMPLEX,
    }

    /// A copy of `input` with the elements of dimension `dim` that `index` names replaced by those of `source`.
    index_copy(input: Tensor, dim: Int, index: Tensor, source: Tensor) -> Tensor, Special {
        cast: Cast::Widest,
        body: Kernel(
            |c| {
                long_index(c.x(1))?;
                infer_along(c, true)
            },
            |c, outs| compute_along(c, &outs[0], None),
        ),
        direct: true,
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, i| g.index_fill(v.int(0), i, &zero()?))), Ex::None,
            v.want(2, || v.g().with(v.x(1), |g, i| g.index_select(v.int(0), i))),
        ]),
        saves: Saves::B, inplace: true, overlap: Overlap::Moves,
        samples: &["r(3, 2), 0, i([0, 2]), r(2, 2)", "r(2, 3), 1, i([1]), r(2, 1)"],
        takes: Takes::COMPLEX,
    }

    /// A copy of `input` with the elements of dimension `dim` that `index` names set to one number.
    index_fill(input: Tensor, dim: Int, index: Tensor, value: Operand) -> Tensor, Special {
        body: Kernel(
            |c| {
                single_value(c.x(2))?;
                long_index(c.x(1))?;
                along(c.x(0).shape(), c.int(0), c.x(1))?;
                Spec::rows(c.x(0).shape(), c.x(0).dtype())?.one()
            },
            |c, outs| {
                let (x, out) = (c.x(0), &outs[0]);
                check_value(x, c.x(2))?;
                start(x, out)?;
                let value = contiguous_unlocked(c.x(2), out.dtype(), false)?;
                Plan::along(out.layout(), c.int(0), c.x(1))?.put(out, &value, None)
            },
        ),
        direct: true,
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, i| g.index_fill(v.int(0), i, &zero()?))), Ex::None,
            // An index that repeats names one place.
            v.want(2, || v.g().with(v.x(1), |g, i| g.sub(&g.index_fill(v.int(0), i, &zero()?)?, 1)).sum(&[], false)),
        ]),
        saves: Saves::B, inplace: true, overlap: Overlap::Moves,
        samples: &["r(3, 2), 0, i([0, 2]), 2.0", "r(2, 3), 1, i([1]), r()"],
        takes: Takes::COMPLEX,
    }

    /// `if mask { value } else { input }`, elementwise with broadcasting; the dtype stays that of `input`.
    masked_fill(input: Tensor, mask: Tensor, value: Operand) -> Tensor, Special {
        body: Kernel(infer_masked_fill, compute_masked_fill), direct: true,
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, m| g.masked_fill(m, &zero()?))), Ex::None,
            v.want(2, || v.g().with(v.x(1), |g, m| g.masked_select(m)).sum(&[], false)),
        ]),
        saves: Saves::B, inplace: true, onnx: Some("Where"),
        refuses: &[Refusal { call: "rt.ones(3), rt.ones(3), 1", message: "boolean masks" }],
        samples: &["r(2, 3), b([True, False, True]), 1.5", "r(2, 3), b([[True], [False]]), r()"],
        takes: Takes::COMPLEX,
    }

    /// The elements of `input` where `mask` is true, as one dimension, with broadcasting.
    masked_select(input: Tensor, mask: Tensor) -> Tensor, Special {
        body: Dynamic(|_| Ok(None), eval_masked_select),
        vjp: vjp!(|v| v.g().with(v.x(1), |g, m| {
            zeros(&broadcast(v.shape(0), m.shape())?, g.dtype())?.masked_scatter(m, g)
        })),
        saves: Saves::B, onnx: Some("Compress"),
        samples: &["r(2, 3), b([True, False, True])", "r(3), b([[True, False, True], [True, True, False]])"],
        takes: Takes::COMPLEX,
    }

    /// A copy of `input` with the elements where `mask` is true replaced by those of `source`, in order.
    masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor, Special {
        body: Kernel(infer_masked_scatter, compute_masked_scatter),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, m| g.masked_fill(m, &zero()?))), Ex::None,
            v.want(2, || v.g().with(v.x(1), |g, m| masked_source(g, &m.expand(&signed(g.shape()))?, v.shape(2)))),
        ]),
        saves: Saves::B, inplace: true, overlap: Overlap::Moves,
        refuses: &[Refusal { call: "rt.ones(2), rt.tensor([True, True]), rt.ones(1)", message: "number of ones in mask" }],
        samples: &["r(2, 3), b([[True, False, True], [False, True, False]]), r(4)", "r(2, 2), b([True, False]), r(2)"],
        takes: Takes::COMPLEX,
    }

    /// The elements that `index` names in the flattened `input`; the result has the shape of `index`.
    take(input: Tensor, index: Tensor) -> Tensor, Special {
        body: Composite(|c| {
            places_only(c.x(1))?;
            one(c.x(0).ravel()?.index(&[Some(c.x(1))])?)
        }),
        samples: &["r(2, 3), i([[0, 5], [0, 1]])"],
    }

    /// A copy of `input` with the elements that `index` names in the flattened tensor replaced by (or with `accumulate`
    /// increased by) those of `source`.
    put(input: Tensor, index: Tensor, source: Tensor, accumulate: Bool = false) -> Tensor, Special {
        body: Composite(|c| {
            let (x, places, source) = (c.x(0), c.x(1), c.x(2));
            places_only(places)?;
            if places.numel() != source.numel() {
                bail!(Value, "expected source and index to have the same number of elements, but got {} and {}",
                    source.numel(), places.numel());
            }
            let source = source.reshape(&signed(places.shape()))?;
            one(x.ravel()?.index_put(&source, &[Some(places)], c.bool(0))?.reshape(&signed(x.shape()))?)
        }),
        inplace: true,
        samples: &["r(2, 3), i([0, 5]), r(2)", "r(2, 3), i([0, 5, 0]), r(3), True"],
    }

    /// `gather` with broadcasting; without `dim` of the flattened tensors.
    take_along_dim(input: Tensor, indices: Tensor, dim: OptInt = None) -> Tensor, Special {
        body: Composite(eval_take_along_dim),

        samples: &["r(2, 3), i([[0], [1]]), 1", "r(2, 3), i([0, 5, 0])"],
    }

    /// As many as `size` rows of `nonzero`, and where there are fewer, rows of `fill_value`.
    nonzero_static(input: Tensor, size: Int, fill_value: Int = -1) -> Tensor, Special {
        body: Kernel(
            |c| {
                let Ok(size) = usize::try_from(c.int(0)) else { bail!(Value, "size must be non-negative, got {}", c.int(0)) };
                Spec::rows(&[size, c.x(0).ndim()], DType::I64)?.one()
            },
            |c, outs| {
                copy_into(&outs[0], &Tensor::number(Scalar::Int(c.int(1)))?)?;
                let found = c.x(0).alias().nonzero()?;
                let n = found.shape()[0].min(outs[0].shape()[0]) as i64;
                copy_into(&outs[0].narrow(0, 0, n)?, &found.narrow(0, 0, n)?)
            },
        ),
        takes: Takes::COMPLEX,
        refuses: &[Refusal { call: "rt.ones(2), -1", message: "non-negative" }],
    }

    /// The coordinates, one tensor for each of `shape`, of the elements that have these places in row-major order.
    unravel_index(input: Tensor, shape: Ints) -> List, Special {
        body: Composite(|c| {
            let (x, shape) = (c.x(0), c.ints(0));
            if x.dtype().is_differentiable() || x.dtype() == DType::Bool {
                bail!(DType, "expected 'indices' to be of integer dtype, got {}", x.dtype());
            }
            counts(shape)?;
            let mut steps: SmallVec<[i64; 8]> = SmallVec::from_elem(1, shape.len());
            for k in (1..shape.len()).rev() {
                let step = steps[k].checked_mul(shape[k]);
                steps[k - 1] = step.ok_or_else(|| err!(Value, "shape {shape:?} has too many elements"))?;
            }
            let x = x.to_dtype(DType::I64)?;
            several(shape.len(), |k| {
                let places = x.floor_divide(&Tensor::number(Scalar::Int(steps[k].max(1)))?)?;
                places.remainder(&Tensor::number(Scalar::Int(shape[k].max(1)))?)
            })
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2), (2, 2)", message: "integer dtype" }],
        samples: &["i([3, 1]), (2, 3)"],
    }

    /// The coordinates of the elements that are not zero, one per row: `[n, input.ndim]` of int64.
    nonzero(input: Tensor) -> Tensor, Special {
        body: Dynamic(|_| Ok(None), eval_nonzero),
        aliases: &["argwhere"], onnx: Some("NonZero"),
        takes: Takes::COMPLEX,
    }

    /// The coordinates of the elements that are not zero, one tensor per dimension.
    nonzero_list(input: Tensor) -> List, Special {
        body: Composite(|c| {
            let x = if c.x(0).ndim() == 0 { c.x(0).reshape(&[1])? } else { c.x(0).clone() };
            x.nonzero()?.unbind(1)
        }),
        dynamic: true,
        function: false, method: false,
        samples: &["r(2, 2)"],
    }

    /// Rows of `weight` (a table `[n, d]`) that `input` names: `[*]` becomes `[*, d]`. The row `padding_idx` (negative for
    /// none) gets no gradient.
    embedding(input: Tensor, weight: Tensor, padding_idx: OptInt = None) -> Tensor, Special {
        body: Kernel(infer_embedding, compute_embedding),
        vjp: vjp!(|v| [Ex::None, v.g().with(v.x(0), |g, i| {
            Tensor::embedding_backward(g, i, v.shape(1)[0] as i64, v.opt_int(0))
        })]),
        saves: Saves::X, onnx: Some("Gather"), function: false, method: false,
        refuses: &[Refusal { call: "rt.tensor([4]), rt.ones(3, 2)", message: "index 4 is out of bounds" }],
        samples: &["i([0, 2, 0]), r(3, 2)", "i([[0, 1]]), r(3, 2), 2"],
        takes: Takes::COMPLEX,
    }

    /// The gradient of `embedding` for its table of `num_weights` rows.
    embedding_backward(grad: Tensor, indices: Tensor, num_weights: Int, padding_idx: OptInt = None) -> Tensor, Special {
        body: Kernel(infer_embedding_backward, compute_embedding_backward),
        vjp: vjp!(|v| v.g().with(v.x(1), |g, i| match v.opt_int(1) {
            Some(p) if (0..v.int(0)).contains(&p) => {
                i.embedding(&g.index_fill(0, &Tensor::from_slice(&[p], &[1])?, &zero()?)?, None)
            }
            _ => i.embedding(g, None),
        })),
        saves: Saves::B,
        function: false, method: false,
        samples: &["r(3, 2), i([0, 2, 0]), 3", "r(3, 2), i([0, 2, 1]), 3, 2"],
        takes: Takes::COMPLEX,
    }

    /// A copy of `input` in which the elements of `src` that `index` sends to one place along `dim` are reduced ("sum",
    /// "prod", "mean", "amax", "amin"), together with what is there if `include_self` is true.
    scatter_reduce(
        input: Tensor, dim: Int, index: Tensor, src: Tensor, reduce: Str, include_self: Bool = true
    ) -> Tensor, Special {
        body: Kernel(infer_scatter_reduce, compute_scatter_reduce),
        vjp: vjp!(|v| scatter_reduce_vjp(v)), saves: Saves::ALL,
        inplace: true, overlap: Overlap::Moves, onnx: Some("ScatterElements"),
        refuses: &[Refusal { call: "rt.ones(3), 0, rt.tensor([0]), rt.ones(1), \"max\"", message: "reduce argument must be" }],
        samples: &[
            "r(3, 2), 0, i([[0, 2], [2, 0], [2, 1]]), r(3, 2), 'sum'",
            "r(3, 2), 0, i([[0, 2], [2, 0], [2, 1]]), r(3, 2), 'prod'",
            "r(3, 2), 0, i([[0, 2], [2, 0], [2, 1]]), r(3, 2), 'mean'",
            "r(3, 2), 0, i([[0, 2], [2, 0], [2, 1]]), r(3, 2), 'amax'",
            "r(3, 2), 0, i([[0, 2], [2, 0], [2, 1]]), r(3, 2), 'amin'", "r(3), 0, i([0, 2, 0]), r(3), 'sum', False",
            "r(3), 0, i([0, 2, 0]), r(3), 'prod', False", "r(3), 0, i([0, 2, 0]), r(3), 'mean', False",
            "r(3), 0, i([0, 2, 0]), r(3), 'amax', False", "r(3), 0, i([0, 2, 0]), r(3), 'amin', False",
            "r(3), 0, i([0, 2, 0]), t([0.0, 2.0, 0.5]), 'prod'",
        ],
        takes: Takes::COMPLEX,
    }

    /// A copy of `input` in which the slices of `source` along `dim` that `index` (one-dimensional) sends to one place are
    /// reduced ("prod", "mean", "amax", "amin"), together with what is there if `include_self` is true.
    index_reduce(
        input: Tensor, dim: Int, index: Tensor, source: Tensor, reduce: Str, include_self: Bool = true
    ) -> Tensor, Special {
        body: Composite(eval_index_reduce),
        inplace: true,
        refuses: &[
            Refusal { call: "rt.ones(3), 0, rt.tensor([0]), rt.ones(1), \"sum\"", message: "prod, mean, amax or amin" },
            Refusal { call: "rt.ones(3), 0, rt.tensor([0, 1]), rt.ones(1), \"prod\"", message: "source of shape" },
        ],
        samples: &[
            "r(3, 2), 0, i([0, 2, 0]), r(3, 2), 'prod'", "r(3, 2), 0, i([0, 2, 0]), r(3, 2), 'mean'",
            "r(3, 2), 0, i([0, 2, 0]), r(3, 2), 'amax'", "r(3, 2), 0, i([0, 2, 0]), r(3, 2), 'amin'",
            "r(3), 0, i([0, 2, 0]), r(3), 'prod', False", "r(3), 0, i([0, 2, 0]), r(3), 'mean', False",
            "r(3), 0, i([0, 2, 0]), r(3), 'amax', False", "r(3), 0, i([0, 2, 0]), r(3), 'amin', False",
        ],
    }
}

/// `scatter_reduce` with one index for a whole slice.
fn eval_index_reduce(c: &Call) -> Result<Outs> {
    let (x, dim, index, source) = (c.x(0), c.int(0), c.x(1), c.x(2));
    if !["prod", "mean", "amax", "amin"].contains(&c.str(1)) {
        bail!(Value, "reduce argument must be either prod, mean, amax or amin, got {}", c.str(1));
    }
    if index.ndim() > 1 {
        bail!(Shape, "index is supposed to be a vector, got shape {:?}", index.shape());
    }
    let mut wanted = x.dims();
    let mut lifted: SmallVec<[i64; 8]> = SmallVec::from_elem(1, x.ndim());
    if x.ndim() > 0 {
        let d = wrap_dim(dim, x.ndim())?;
        (wanted[d], lifted[d]) = (index.numel(), -1);
    }
    if source.shape() != wanted.as_slice() {
        let text = format!("expected source of shape {wanted:?}, got {:?}", source.shape());
        return Err(Error::shapes("", text, &wanted, source.shape()));
    }
    let places = index.reshape(&lifted)?.expand(&signed(&wanted))?;
    one(x.scatter_reduce(dim, &places, source, c.str(1), c.bool(2))?)
}

/// `index_add` and `index_copy`, whose source may be one number without dimensions.
fn infer_along(c: &Call, number: bool) -> Result<Specs> {
    let (x, source) = (c.x(0), c.x(2));
    let (_, shape) = along(x.shape(), c.int(0), c.x(1))?;
    let number = number && (source.ndim() == 0 || x.ndim() == 0);
    let single = number && source.numel() == 1 && shape.iter().all(|&n| n == 1);
    if source.shape() != shape.as_slice() && !single {
        let text = format!("expected source of shape {shape:?}, got {:?}", source.shape());
        return Err(Error::shapes("", text, &shape, source.shape()));
    }
    check_source(source, x.dtype())?;
    Spec::rows(x.shape(), x.dtype())?.one()
}

fn compute_along(c: &Call, out: &Tensor, alpha: Option<Scalar>) -> Result<()> {
    let source = c.x(2);
    start(c.x(0), out)?;
    let p = Plan::along(out.layout(), c.int(0), c.x(1))?;
    let source = if source.ndim() == p.shape.len() {
        source.clone()
    } else {
        source.with_layout(Layout::new(p.shape.clone(), contiguous_strides(&p.shape), source.layout().offset())?)
    };
    p.put(out, &source, alpha)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::tests::with_threads;

    fn whole(v: &[i64]) -> Tensor {
        Tensor::from_slice(v, &[v.len()]).unwrap()
    }

    fn numbers(shape: &[usize]) -> Tensor {
        let v: Vec<f64> = (0..shape.iter().product::<usize>()).map(|i| i as f64).collect();
        Tensor::from_slice(&v, shape).unwrap()
    }

    #[test]
    fn index_tensors_that_are_not_adjacent_go_first() {
        let x = numbers(&[2, 3, 4]);
        let (a, b) = (whole(&[0, -1]), whole(&[1, 3]));
        let y = x.index(&[Some(&a), None, Some(&b)]).unwrap();
        assert_eq!(y.shape(), [2, 3]);
        assert_eq!(y.to_vec::<f64>().unwrap(), [1.0, 5.0, 9.0, 15.0, 19.0, 23.0]);
        let y = x.index(&[None, Some(&whole(&[0, 2])), Some(&b)]).unwrap();
        assert_eq!(y.to_vec::<f64>().unwrap(), [1.0, 11.0, 13.0, 23.0]);
        let mask = Tensor::from_slice(&[true, false, false, false, true, false], &[2, 3]).unwrap();
        assert_eq!(x.index(&[Some(&mask)]).unwrap().shape(), [2, 4]);
        let error = x.index(&[Some(&whole(&[2]))]).unwrap_err().to_string();
        assert_eq!(error, "index: index 2 is out of bounds for dimension 0 with size 2");
    }

    #[test]
    fn sums_do_not_depend_on_the_thread_count() {
        let n = 50_000usize;
        let index: Vec<i64> = (0..n as i64).map(|i| (i * 7919) % 13).collect();
        let src: Vec<f32> = (0..3 * n).map(|i| (i as f32).sin()).collect();
        let run = || {
            let src = Tensor::from_slice(&src, &[n, 3]).unwrap();
            let zeros = Tensor::filled(&[13, 3], Scalar::Int(0), DType::F32).unwrap();
            let rows = zeros.index_add(0, &whole(&index), &src, 1).unwrap();
            let all = whole(&index).reshape(&[n as i64, 1]).unwrap().expand(&[n as i64, 3]).unwrap();
            (rows.to_vec::<f32>().unwrap(), zeros.scatter_add(0, &all, &src).unwrap().to_vec::<f32>().unwrap())
        };
        let one = with_threads(1, run);
        assert_eq!(one.0, one.1);
        assert_eq!(one, with_threads(4, run));
    }

    #[test]
    fn an_index_out_of_bounds_is_an_error_and_nothing_else() {
        let x = numbers(&[3]);
        for bad in [3, -4, i64::MIN, i64::MAX] {
            let i = whole(&[bad]);
            let one = numbers(&[1]);
            assert!(x.index(&[Some(&i)]).is_err() && x.gather(0, &i, false).is_err() && x.take(&i).is_err());
            assert!(x.index_select(0, &i).is_err() && x.scatter(0, &i, &one).is_err());
            assert!(x.index_add(0, &i, &one, 1).is_err() && x.index_put(&one, &[Some(&i)], true).is_err());
        }
    }
}
