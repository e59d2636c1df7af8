//! Shape, view, copy and joining ops.

use crate::engine::copy::{contiguous_unlocked, copy_into, fill_new, written_as};
use crate::engine::promotion::result_type;
use crate::funnel::call_inplace;
use crate::shape::{around, real_dim, signed};
use crate::table::{Call, Grads, Outs, Refusal, Relayout, Spec, Specs, Takes, Vjp, one, several};
use crate::table::lang::Ex;
use crate::dtype::{dispatch_all, DType, Scalar};
use crate::error::{Error, Result};
use crate::kernels::{copy, index as kernel};
use crate::memory::{self, List};
use crate::shape::{contiguous_strides, counts, infer_sizes, sizes, wrap_dim, wrap_dims, Dims, Layout, Strides};
use crate::storage::Storage;
use crate::tensor::{check_bounds, Tensor};
use crate::{bail, err};
use smallvec::SmallVec;

impl Tensor {
    /// These bytes as elements of another dtype.
    fn read_as(&self, dtype: DType) -> Result<Tensor> {
        let (l, old, new) = (self.layout(), self.dtype().size(), dtype.size());
        let (mut shape, mut strides, mut offset) = (self.dims(), Strides::from_slice(self.strides()), l.offset());
        if old != new {
            let why = format!("to view {} as {dtype} (elements of {old} and {new} bytes)", self.dtype());
            let Some(last) = l.ndim().checked_sub(1) else {
                bail!(Value, "a 0-d tensor cannot be used {why}");
            };
            if strides[last] != 1 && l.numel() > 0 {
                bail!(Value, "the stride of the last dimension must be 1 {why}, got {}", strides[last]);
            }
            let ratio = old.max(new) / old.min(new);
            if old > new {
                let grown = shape[last].checked_mul(ratio).zip(offset.checked_mul(ratio));
                (shape[last], offset) = grown.ok_or_else(|| err!(Memory, "shape {:?} is too large {why}", l.shape()))?;
                strides[..last].iter_mut().for_each(|s| *s = s.saturating_mul(ratio as isize));
            } else {
                let whole = |what: &str, n: usize| match n % ratio {
                    0 => Ok(n / ratio),
                    _ => Err(err!(Value, "the {what} must be divisible by {ratio} {why}, got {n}")),
                };
                shape[last] = whole("size of the last dimension", shape[last])?;
                offset = whole("storage offset", offset)?;
                for d in 0..last {
                    strides[d] = whole(&format!("stride of dimension {d}"), strides[d] as usize)? as isize;
                }
            }
        }
        let layout = Layout::new(shape, strides, offset)?;
        check_bounds(&self.0.storage, &layout, dtype)?;
        if !(self.base_ptr() as usize).is_multiple_of(dtype.alignment()) && layout.numel() > 0 {
            bail!(Value, "its memory does not lie at whole elements of {dtype}");
        }
        Ok(self.seen_as(layout, dtype))
    }

    /// Elements converted to `dtype`; the tensor itself if it has that dtype.
    pub fn to_dtype(&self, dtype: DType) -> Result<Tensor> {
        if self.dtype() == dtype {
            return Ok(self.clone());
        }
        self.cast(dtype)
    }
}

fn not_negative(what: &str, numbers: &[i64]) -> Result<Dims> {
    if numbers.iter().any(|&n| n < 0) {
        bail!(Value, "{what} must not be negative, got {numbers:?}");
    }
    counts(numbers)
}

/// A new row-major tensor, not initialised.
fn made(c: &Call, shape: &[usize], dtype: DType) -> Result<Tensor> {
    let spec = Spec::rows(shape, dtype)?;
    if c.meta {
        spec.meta()
    } else {
        spec.tensor()
    }
}

/// A tensor of this layout in the memory of `t`, or, if that is too small, in more of it that begins alike.
fn placed(c: &Call, t: &Tensor, layout: Layout) -> Result<Tensor> {
    let have = t.0.storage.nbytes() / t.dtype().size();
    let need = if layout.numel() == 0 { 0 } else { layout.offset() + layout.span() };
    if need == 0 {
        let (shape, strides) = (Dims::from_slice(layout.shape()), Strides::from_slice(layout.strides()));
        return Ok(t.alias().with_layout(Layout::new(shape, strides, 0)?).alias());
    }
    if need <= have {
        return Ok(t.alias().with_layout(layout).alias());
    }
    let memory = made(c, &[need], t.dtype())?;
    let old = t.alias().with_layout(Layout::contiguous(&[have])?);
    memory.narrow(0, 0, have as i64)?.copy_(&old)?;
    Ok(memory.with_layout(layout).alias())
}

fn with_view(c: &Call, layout: Layout) -> Result<Outs> {
    one(c.x(0).with_layout(layout))
}

/// A view of `x` as `shape` if there is one, else a copy.
fn reshaped(x: &Tensor, shape: &[usize]) -> Result<Outs> {
    let sizes = signed(shape);
    if x.layout().view(shape).is_some() {
        return one(x.view(&sizes)?);
    }
    one(x.contiguous_copy()?.view(&sizes)?)
}

/// A tensor of `shape` with every element `value`, of the dtype of `t` and where that lives.
fn filled_by(t: &Tensor, shape: &[usize], value: i64) -> Result<Tensor> {
    if t.is_meta() {
        return Spec::rows(shape, t.dtype())?.meta();
    }
    Tensor::filled(shape, Scalar::Int(value), t.dtype())
}

/// The elements of the last input, broadcast and cast.
fn compute_copy(c: &Call, outs: &[Tensor]) -> Result<()> {
    copy_into(&outs[0], c.x(c.inputs.len() - 1))
}

/// Start, number and step of the elements that Python's `start:end:step` picks out of `n`.
fn slice_bounds(n: usize, start: Option<i64>, end: Option<i64>, step: i64) -> Result<(usize, usize, usize)> {
    if step <= 0 {
        bail!(Value, "slice step must be positive, got {step}");
    }
    let n = n as i64;
    let clip = |i: i64| (if i < 0 { i.saturating_add(n) } else { i }).clamp(0, n);
    let start = clip(start.unwrap_or(0));
    let end = clip(end.unwrap_or(n)).max(start);
    Ok((start as usize, (end - start).unsigned_abs().div_ceil(step as u64) as usize, step as usize))
}

/// `index` of a dimension of size `n`, counted from the end if negative.
fn wrap_index(index: i64, dim: usize, shape: &[usize]) -> Result<usize> {
    let n = shape[dim] as i64;
    if index < -n || index >= n {
        bail!(Index, "index {index} out of range for tensor of size {shape:?} at dimension {dim}");
    }
    Ok(if index < 0 { index + n } else { index } as usize)
}

/// Where `grad` goes in a tensor that is zero elsewhere: the shape of that, a dimension, and the start, number and step of
/// the positions there.
type Place = (Dims, usize, (usize, usize, usize));

fn select_place(c: &Call) -> Result<Place> {
    let shape = sizes(c.ints(0))?;
    let d = real_dim(c.int(1), shape.len())?;
    let i = wrap_index(c.int(2), d, &shape)?;
    Ok((shape, d, (i, 1, 1)))
}

fn slice_place(c: &Call) -> Result<Place> {
    let shape = sizes(c.ints(0))?;
    let d = real_dim(c.int(1), shape.len())?;
    let part = slice_bounds(shape[d], c.opt_int(2), c.opt_int(3), c.int(4))?;
    Ok((shape, d, part))
}

fn infer_embed(c: &Call, (shape, dim, (_, len, _)): Place, keepdim: bool) -> Result<Specs> {
    let mut part = shape.clone();
    part[dim] = len;
    if !keepdim {
        part.remove(dim);
    }
    c.want_shape(0, &part)?;
    Spec::rows(&shape, c.x(0).dtype())?.one()
}

fn compute_embed(c: &Call, outs: &[Tensor], (shape, dim, (start, len, step)): Place) -> Result<()> {
    let [outer, _, inner] = around(&shape, dim);
    let g = contiguous_unlocked(c.x(0), c.x(0).dtype(), false)?;
    // SAFETY: both are row-major with the sizes given; the positions lie inside of dimension `dim`.
    unsafe {
        let bytes = inner * g.dtype().size();
        kernel::embed(g.data_ptr(), outs[0].data_ptr(), outer, shape[dim], bytes, (start, step, len));
    }
    Ok(())
}

/// The part of a layout that a call names.
type Part = fn(&Call, &Layout) -> Result<Layout>;

fn slice_part(c: &Call, l: &Layout) -> Result<Layout> {
    let d = real_dim(c.int(0), l.ndim())?;
    let (start, len, step) = slice_bounds(l.shape()[d], c.opt_int(1), c.opt_int(2), c.int(3))?;
    Ok(l.slice(d, start, len, step))
}

fn select_part(c: &Call, l: &Layout) -> Result<Layout> {
    let d = real_dim(c.int(0), l.ndim())?;
    Ok(l.select(d, wrap_index(c.int(1), d, l.shape())?))
}

fn diagonal_part(c: &Call, l: &Layout) -> Result<Layout> {
    diagonal_layout(l, c.int(0), c.int(1), c.int(2))
}

/// A row-major copy of the first input in which a part is replaced by the second.
fn infer_scatter(c: &Call, part: Part) -> Result<Specs> {
    let (x, src) = (c.x(0), c.x(1));
    let spec = Spec::rows(x.shape(), x.dtype())?;
    let to = part(c, &spec.layout)?;
    if to.shape() != src.shape() {
        return Err(Error::shapes(
            "",
            format!("expected src of shape {:?}, got {:?}", to.shape(), src.shape()),
            to.shape(),
            src.shape(),
        ));
    }
    spec.one()
}

fn compute_scatter(c: &Call, outs: &[Tensor], part: Part) -> Result<()> {
    let out = &outs[0];
    copy_into(out, c.x(0))?;
    copy_into(&out.with_layout(part(c, out.layout())?), c.x(1))
}

/// The part that `as_strided_scatter` replaces.
fn strided_part(c: &Call) -> Result<Layout> {
    let strides = c.ints(1).iter().map(|&s| s as isize).collect();
    let offset = usize::try_from(c.int(2)).map_err(|_| err!(Value, "storage_offset must not be negative"))?;
    Layout::new(sizes(c.ints(0))?, strides, offset)
}

fn infer_as_strided_scatter(c: &Call) -> Result<Specs> {
    let (x, src) = (c.x(0), c.x(1));
    if !x.is_contiguous() || x.layout().offset() != 0 {
        bail!(Unsupported, "the input must be row-major and begin where its storage does; clone() it first");
    }
    let spec = Spec::rows(x.shape(), x.dtype())?;
    let part = strided_part(c)?;
    // The storage of the result, without its bytes.
    check_bounds(&Storage::meta(x.numel() * x.dtype().size()), &part, x.dtype())?;
    if src.shape() != part.shape() {
        let text = format!(
            "expected src to have a size equal to the slice of input, src has shape {:?}, the slice {:?}",
            src.shape(),
            part.shape()
        );
        return Err(Error::shapes("", text, src.shape(), part.shape()));
    }
    spec.one()
}

fn compute_as_strided_scatter(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (out, part) = (&outs[0], strided_part(c)?);
    copy_into(out, c.x(0))?;
    let to = out.with_layout(part.clone());
    if !part.overlaps_itself() {
        return copy_into(&to, c.x(1));
    }
    copy_into(&to, &Tensor::filled(&[], Scalar::Int(0), out.dtype())?)?;
    add_into(out, &part, c.x(1))
}

/// The order of dimensions that moves `source` to `destination`.
fn moved(ndim: usize, source: &[i64], destination: &[i64]) -> Result<SmallVec<[i64; 8]>> {
    if source.len() != destination.len() {
        bail!(Value, "source {source:?} and destination {destination:?} must name equally many dimensions");
    }
    let mut order: SmallVec<[i64; 8]> = SmallVec::from_elem(-1, ndim);
    let mut free: SmallVec<[bool; 16]> = SmallVec::from_elem(true, ndim.max(1));
    for (&s, &d) in source.iter().zip(destination) {
        let (s, d) = (wrap_dim(s, ndim)?, wrap_dim(d, ndim)?);
        if ndim == 0 {
            continue;
        }
        if !free[s] || order[d] >= 0 {
            bail!(Value, "repeated dimension in source {source:?} or destination {destination:?}");
        }
        (free[s], order[d]) = (false, s as i64);
    }
    let mut rest = (0..ndim).filter(|&d| free[d]);
    for o in order.iter_mut().filter(|o| **o < 0) {
        *o = rest.next().unwrap_or(0) as i64;
    }
    Ok(order)
}

/// Layout of the diagonal: the other dimensions, then the diagonal.
fn diagonal_layout(l: &Layout, offset: i64, dim1: i64, dim2: i64) -> Result<Layout> {
    let (a, b) = (real_dim(dim1, l.ndim())?, real_dim(dim2, l.ndim())?);
    if a == b {
        bail!(Value, "diagonal dimensions cannot be identical {dim1}, {dim2}");
    }
    let shift = offset.unsigned_abs() as usize;
    let (n, skip) = if offset >= 0 {
        (l.shape()[a].min(l.shape()[b].saturating_sub(shift)), l.strides()[b])
    } else {
        (l.shape()[b].min(l.shape()[a].saturating_sub(shift)), l.strides()[a])
    };
    let start = if n > 0 && l.numel() > 0 { shift * skip as usize } else { 0 };
    let rest = (0..l.ndim()).filter(|&d| d != a && d != b);
    let (mut shape, mut strides): (Dims, Strides) = rest.map(|d| (l.shape()[d], l.strides()[d])).unzip();
    shape.push(n);
    strides.push(l.strides()[a].saturating_add(l.strides()[b]));
    Layout::new(shape, strides, l.offset() + start)
}

/// Zeros of `shape` with the input on a diagonal, given by offset and dimensions.
fn infer_on_diagonal(c: &Call, shape: &[usize], [offset, dim1, dim2]: [i64; 3]) -> Result<Specs> {
    let spec = Spec::rows(shape, c.x(0).dtype())?;
    c.x(0).layout().broadcast_to(diagonal_layout(&spec.layout, offset, dim1, dim2)?.shape())?;
    spec.one()
}

fn compute_on_diagonal(c: &Call, outs: &[Tensor], [offset, dim1, dim2]: [i64; 3]) -> Result<()> {
    let out = &outs[0];
    fill_new(out, Scalar::Int(0));
    copy_into(&out.with_layout(diagonal_layout(out.layout(), offset, dim1, dim2)?), c.x(0))
}

fn compute_fill_diagonal(c: &Call, outs: &[Tensor]) -> Result<()> {
    let out = &outs[0];
    copy_into(out, c.x(0))?;
    if out.numel() == 0 {
        return Ok(());
    }
    let (l, value) = (out.layout(), Tensor::filled(&[], c.scalar(0), out.dtype())?);
    let (rows, columns) = (l.shape()[0], l.shape()[l.ndim() - 1]);
    let step = l.strides().iter().fold(0isize, |sum, &s| sum.saturating_add(s));
    // A wrapped diagonal leaves out one row after each round.
    let last = if c.bool(1) && l.ndim() == 2 { rows } else { rows.min(1) };
    for start in (0..last).step_by(columns + 1) {
        let n = columns.min(rows - start);
        let offset = l.offset() + start * l.strides()[0] as usize;
        copy_into(&out.with_layout(Layout::new(Dims::from_slice(&[n]), Strides::from_slice(&[step]), offset)?), &value)?;
    }
    Ok(())
}

fn infer_diag_embed(c: &Call) -> Result<Specs> {
    let (x, nd) = (c.x(0), c.x(0).ndim() + 1);
    let n = *x.shape().last().ok_or_else(|| err!(Value, "input must have at least one dimension"))?;
    let (a, b) = (wrap_dim(c.int(1), nd)?, wrap_dim(c.int(2), nd)?);
    if a == b {
        bail!(Value, "diagonal dimensions cannot be identical {}, {}", c.int(1), c.int(2));
    }
    let side = n + c.int(0).unsigned_abs() as usize;
    let mut shape = Dims::from_slice(&x.shape()[..nd - 2]);
    for d in [a.min(b), a.max(b)] {
        shape.insert(d, side);
    }
    infer_on_diagonal(c, &shape, [c.int(0), c.int(1), c.int(2)])
}

fn unfold_layout(l: &Layout, dim: i64, size: i64, step: i64) -> Result<Layout> {
    let d = wrap_dim(dim, l.ndim())?;
    let n = l.shape().get(d).copied().unwrap_or(1);
    if size < 0 || size as usize > n {
        bail!(Value, "size must be between 0 and the size {n} of dimension {d}, got {size}");
    }
    if step <= 0 {
        bail!(Value, "step is {step} but must be > 0");
    }
    let (mut shape, mut strides) = (Dims::from_slice(l.shape()), Strides::from_slice(l.strides()));
    shape.push(size as usize);
    strides.push(l.strides().get(d).copied().unwrap_or(1));
    if l.ndim() > 0 {
        shape[d] = (n - size as usize) / step as usize + 1;
        strides[d] = strides[d].saturating_mul(step as isize);
    }
    Layout::new(shape, strides, l.offset())
}

/// Adds `src` to the part of `out` that `layout` names, places that it names several times receiving the sum.
fn add_into(out: &Tensor, layout: &Layout, src: &Tensor) -> Result<()> {
    let from = contiguous_unlocked(src, out.dtype(), false)?;
    let from_layout = from.layout().broadcast_to(layout.shape())?;
    let to = out.with_layout(layout.clone());
    dispatch_all!(out.dtype(), T => {
        // SAFETY: the caller has checked that the layout lies inside of `out`.
        unsafe { kernel::accumulate::<T>(layout.shape(), (to.ptr(), layout.strides()), (from.ptr(), from_layout.strides())) }
    });
    Ok(())
}

/// Concatenates along `dim`, or along a new dimension if `new` is true.
fn infer_join(c: &Call, new: bool) -> Result<Specs> {
    let Some(&Some(first)) = c.inputs.iter().find(|t| t.is_some_and(|t| new || t.shape() != [0])).or(c.inputs.first())
    else {
        bail!(Value, "expected a non-empty list of tensors");
    };
    let dtype = if c.inputs.iter().flatten().all(|t| t.dtype() == first.dtype()) {
        first.dtype()
    } else {
        result_type(c.inputs.iter().flatten().copied())?
    };
    let d = wrap_dim(c.int(0), first.ndim() + new as usize)?;
    let mut shape = first.dims();
    if new {
        shape.insert(d, c.inputs.len());
    } else {
        shape[..].get_mut(d).map_or_else(
            || Err(err!(Value, "zero-dimensional tensors cannot be concatenated")),
            |n| {
                *n = 0;
                Ok(())
            },
        )?;
    }
    for (i, t) in c.inputs.iter().flatten().enumerate() {
        let fits = if new {
            t.shape() == first.shape()
        } else {
            skipped(t, shape.len())
                || (t.ndim() == shape.len() && (0..t.ndim()).all(|k| k == d || t.shape()[k] == shape[k]))
        };
        if !fits {
            let rule = if new { "must be equal".into() } else { format!("must match except in dimension {d}") };
            let message = format!(
                "sizes of tensors {rule}; expected {:?} but tensor number {i} in the list has {:?}",
                first.shape(),
                t.shape()
            );
            return Err(Error::shapes("", message, first.shape(), t.shape()));
        }
        if !new && !skipped(t, shape.len()) {
            let n = shape[d].checked_add(t.shape()[d]);
            shape[d] = n.ok_or_else(|| err!(Memory, "the result would be too large along dimension {d}"))?;
        }
    }
    Spec::rows(&shape, dtype)?.one()
}

fn compute_join(c: &Call, outs: &[Tensor], new: bool) -> Result<()> {
    let out = &outs[0];
    let d = wrap_dim(c.int(0), out.ndim())?;
    let mut at = 0;
    for t in c.inputs.iter().flatten().filter(|t| new || !skipped(t, out.ndim())) {
        let len = if new { 1 } else { t.shape()[d] };
        let part = out.layout().slice(d, at, len, 1);
        let to = if new { part.without(d) } else { part };
        // SAFETY: the slice has the input's shape and lies inside of the new output.
        unsafe { copy::strided(t.base_ptr(), t.dtype(), t.layout(), out.base_ptr(), out.dtype(), &to) };
        at += len;
    }
    Ok(())
}

/// `cat` overlooks empty 1-d tensors among tensors with more dimensions.
fn skipped(t: &Tensor, ndim: usize) -> bool {
    ndim != 1 && t.shape() == [0]
}

fn cat_vjp(v: &Vjp) -> Result<Grads> {
    let mut at = 0;
    let g = v.g();
    let mut part = |i: usize| {
        let shape = v.shape(i);
        g.then(|g| {
            if g.ndim() != 1 && shape == [0] {
                return filled_by(g, shape, 0);
            }
            let n = shape[wrap_dim(v.int(0), g.ndim())?] as i64;
            at += n;
            if v.need(i) {
                g.slice(v.int(0), Some(at - n), Some(at), 1)
            } else {
                Ok(g.clone())
            }
        })
    };
    let mut grads = memory::room(v.len())?;
    for i in 0..v.len() {
        memory::check()?;
        let part = part(i);
        grads.push(v.want(i, || part).value()?);
    }
    Ok(grads)
}

/// Gradients of all `n` outputs, zeros where none arrived.
fn all_grads(v: &Vjp, n: usize) -> Result<List<Tensor>> {
    List::try_collect((0..n).map(|k| v.gk(k).tensor()))
}

/// Equal parts of `n`: as many of `size` as fit, then the rest.
fn parts_of(n: i64, size: i64) -> Result<List<i64>> {
    if size < 0 || (size == 0 && n != 0) {
        bail!(Value, "split_size must be positive, got {size} for a dimension of size {n}");
    }
    let count = if size == 0 { 1 } else { (n / size + (n % size != 0) as i64).max(1) };
    List::collect((0..count).map(|k| size.min(n - k * size)))
}

/// The size of a dimension after padding by `before` and `after`.
fn padded_size(n: usize, before: i64, after: i64, mode: &str, dim: usize, shape: &[usize]) -> Result<usize> {
    let most = 1i64 << 40;
    if before.max(after) > most || before.min(after) < -most {
        bail!(Memory, "padding ({before}, {after}) of dimension {dim} of {shape:?} is too large");
    }
    let n = n as i64;
    let total = n.checked_add(before + after).ok_or_else(|| err!(Memory, "padding of {shape:?} is too large"))?;
    if total < 0 {
        bail!(Value, "padding ({before}, {after}) leaves dimension {dim} of {shape:?} with negative size {total}");
    }
    let too_far = match mode {
        "reflect" => before >= n || after >= n,
        "circular" => before.max(after) > n + before.min(0) + after.min(0),
        "replicate" => n == 0 && total > 0,
        _ => false,
    };
    if too_far {
        bail!(
            Value,
            "padding ({before}, {after}) is too large for mode {mode:?} at dimension {dim} of input {shape:?}: \
            padding size should be less than the corresponding input dimension"
        );
    }
    Ok(total as usize)
}

/// Where the elements of a padded dimension come from; -1 for those that are filled.
fn pad_map(n: usize, before: i64, after: i64, size: usize, mode: &str) -> Result<List<isize>> {
    let n = n as i64;
    // What is cut off does not come back from the other end.
    let cut = (-before).max(0);
    let left = n - cut - (-after).max(0);
    let place = |i: i64| match mode {
        "circular" => cut + (i - cut).rem_euclid(left),
        _ if (0..n).contains(&i) => i,
        "reflect" if i < 0 => -i,
        "reflect" => 2 * (n - 1) - i,
        "replicate" => i.clamp(0, n - 1),
        _ => -1,
    };
    List::collect((0..size as i64).map(|i| place(i.saturating_sub(before)) as isize))
}

/// For each dimension the places that its elements come from; none where they stay.
type Maps = SmallVec<[List<isize>; 5]>;

fn no_maps(ndim: usize) -> Maps {
    (0..ndim).map(|_| List::new()).collect()
}

/// The dimensions that `pad` changes, with what it puts before and after.
fn padded<'a>(ndim: usize, pad: &'a [i64]) -> impl Iterator<Item = (usize, [i64; 2])> + 'a {
    let both = pad.chunks_exact(2).enumerate().map(move |(i, p)| (ndim - 1 - i, [p[0], p[1]]));
    both.filter(|(_, p)| *p != [0, 0])
}

/// The padded shape.
fn pad_shape(shape: &[usize], pad: &[i64], mode: &str) -> Result<Dims> {
    let (nd, k) = (shape.len(), pad.len() / 2);
    if !pad.len().is_multiple_of(2) || k > nd {
        bail!(Value, "padding {pad:?} must hold two numbers for each of at most {nd} dimensions");
    }
    match mode {
        "constant" => {}
        "reflect" | "replicate" | "circular" => {
            if !(1..=3).contains(&k) || !(nd == k + 1 || nd == k + 2) {
                bail!(
                    Unsupported,
                    "mode {mode:?} pads the last 1, 2 or 3 dimensions of a tensor that has 1 or 2 more, \
                    got padding {pad:?} for input {shape:?}"
                );
            }
        }
        _ => bail!(Value, "mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode:?}"),
    }
    let mut out = Dims::from_slice(shape);
    for (d, [before, after]) in padded(nd, pad) {
        out[d] = padded_size(shape[d], before, after, mode, d, shape)?;
    }
    Ok(out)
}

/// Maps of `pad` for every dimension, `out` being the padded shape.
fn pad_maps(shape: &[usize], pad: &[i64], mode: &str, out: &[usize]) -> Result<Maps> {
    let mut maps = no_maps(shape.len());
    // Without elements the sizes mean no work.
    if !out.contains(&0) {
        for (d, [before, after]) in padded(shape.len(), pad) {
            maps[d] = pad_map(shape[d], before, after, out[d], mode)?;
        }
    }
    Ok(maps)
}

/// Fills `out`, seen with shape `to`, with the elements of `x`, seen row-major with shape `from`, that lie at the places
/// that the maps name.
fn remap(
    x: &Tensor,
    from: &[usize],
    maps: &[List<isize>],
    out: &Tensor,
    to: &[usize],
    fill: Scalar,
) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    let x = contiguous_unlocked(x, x.dtype(), false)?;
    dispatch_all!(x.dtype(), T => {
        let fill = fill.to::<T>();
        let fill = (&fill as *const T).cast::<u8>();
        // SAFETY: both are row-major with these shapes; the maps name places inside of `x`.
        unsafe { kernel::remap(x.dtype().size(), x.data_ptr(), from, maps, out.data_ptr(), to, fill) }
    })
}

fn infer_pad(c: &Call) -> Result<Specs> {
    let (x, value) = (c.x(0), c.opt_float(2));
    let shape = pad_shape(x.shape(), c.ints(0), c.str(1))?;
    if value.is_some_and(|v| v != 0.0) && c.str(1) != "constant" {
        bail!(Value, "padding mode {:?} doesn't take in value argument", c.str(1));
    }
    Scalar::Float(value.unwrap_or(0.0)).held_by(x.dtype())?;
    Spec::rows(&shape, x.dtype())?.one()
}

fn compute_pad(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, out) = (c.x(0), &outs[0]);
    let maps = pad_maps(x.shape(), c.ints(0), c.str(1), out.shape())?;
    remap(x, x.shape(), &maps, out, out.shape(), Scalar::Float(c.opt_float(2).unwrap_or(0.0)))
}

fn infer_pad_backward(c: &Call) -> Result<Specs> {
    let (g, shape) = (c.x(0), sizes(c.ints(0))?);
    let padded = pad_shape(&shape, c.ints(1), c.str(2))?;
    if g.shape() != padded.as_slice() {
        bail!(Shape, "expected a gradient of shape {padded:?}, got {:?}", g.shape());
    }
    Spec::rows(&shape, g.dtype())?.one()
}

fn compute_pad_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (g, out) = (c.x(0), &outs[0]);
    let maps = pad_maps(out.shape(), c.ints(1), c.str(2), g.shape())?;
    let g = contiguous_unlocked(g, g.dtype(), false)?;
    fill_new(out, Scalar::Int(0));
    if g.numel() == 0 {
        return Ok(());
    }
    // SAFETY: both are row-major with these shapes; the maps name places inside of `out`.
    dispatch_all!(g.dtype(), T => unsafe { kernel::remap_add::<T>(g.ptr(), g.shape(), &maps, out.ptr(), out.shape()) });
    Ok(())
}

/// How far `roll` moves the elements of each dimension; None if it rolls the flattened tensor.
fn rolls(c: &Call) -> Result<Option<SmallVec<[i64; 8]>>> {
    let (x, shifts, dims) = (c.x(0), c.ints(0), c.ints(1));
    if dims.is_empty() && shifts.len() == 1 {
        return Ok(None);
    }
    if shifts.is_empty() || shifts.len() != dims.len() {
        bail!(Value, "shifts {shifts:?} and dims {dims:?} must have equal lengths");
    }
    let mut total: SmallVec<[i64; 8]> = SmallVec::from_elem(0, x.ndim());
    for (&s, &d) in shifts.iter().zip(dims) {
        let d = real_dim(d, x.ndim())?;
        if x.shape()[d] > 0 {
            total[d] = (total[d] as i128 + s as i128).rem_euclid(x.shape()[d] as i128) as i64;
        }
    }
    Ok(Some(total))
}

fn compute_roll(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, out) = (c.x(0), &outs[0]);
    let back =
        |n: usize, s: i64| List::collect((0..n as i64).map(|i| (i as i128 - s as i128).rem_euclid(n as i128) as isize));
    let Some(total) = rolls(c)? else {
        let n = x.numel();
        return remap(x, &[n], &[back(n, c.ints(0)[0])?], out, &[n], Scalar::Int(0));
    };
    let mut maps = no_maps(x.ndim());
    for (d, &s) in total.iter().enumerate().filter(|s| *s.1 != 0 && x.numel() > 0) {
        maps[d] = back(x.shape()[d], s)?;
    }
    remap(x, x.shape(), &maps, out, x.shape(), Scalar::Int(0))
}

/// The dimensions that `flip` reverses; a number has none.
fn flipped(c: &Call) -> Result<SmallVec<[usize; 8]>> {
    if c.ints(0).is_empty() {
        return Ok(SmallVec::new());
    }
    wrap_dims(c.ints(0), c.x(0).ndim())
}

fn compute_flip(c: &Call, outs: &[Tensor]) -> Result<()> {
    let x = c.x(0);
    let mut maps = no_maps(x.ndim());
    // Work goes with the elements, not with the sizes of an empty tensor.
    for d in flipped(c)?.into_iter().filter(|_| x.numel() > 0) {
        maps[d] = List::collect((0..x.shape()[d] as isize).rev())?;
    }
    remap(x, x.shape(), &maps, &outs[0], x.shape(), Scalar::Int(0))
}

fn infer_triangle(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    if x.ndim() < 2 {
        bail!(Value, "input tensor must have at least 2 dimensions, got shape {:?}", x.shape());
    }
    Spec::rows(x.shape(), x.dtype())?.one()
}

fn compute_triangle(c: &Call, outs: &[Tensor], lower: bool) -> Result<()> {
    let x = c.x(0);
    let &[.., r, n] = x.shape() else { unreachable!() };
    if x.numel() == 0 {
        return Ok(());
    }
    written_as(&outs[0], x.dtype(), |out| {
        let from = contiguous_unlocked(x, x.dtype(), false)?;
        // SAFETY: both are row-major; in place they are the same memory.
        unsafe {
            kernel::triangle(
                x.dtype().size(),
                from.data_ptr(),
                out.data_ptr(),
                x.numel() / (r * n),
                r,
                n,
                c.int(0),
                lower,
            )
        };
        Ok(())
    })
}

/// The shape of `repeat`'s result, and where its elements lie in the input if each repeated dimension is seen as two,
/// [times, size], of which the input has the second.
fn repeated(c: &Call) -> Result<(Dims, Layout)> {
    let (x, repeats) = (c.x(0), counts(c.ints(0))?);
    let Some(lead) = repeats.len().checked_sub(x.ndim()) else {
        bail!(
            Value,
            "number of dimensions of repeat dims {repeats:?} can not be smaller than number of dimensions of \
            tensor {:?}",
            x.shape()
        );
    };
    let (mut wide, mut shape) = (Dims::new(), Dims::new());
    let mut strides = Strides::new();
    for (i, &r) in repeats.iter().enumerate() {
        let (n, s) = i.checked_sub(lead).map_or((1, 0), |d| (x.shape()[d], x.strides()[d]));
        wide.extend([r, n]);
        strides.extend([0, s]);
        shape.push(r.checked_mul(n).ok_or_else(|| err!(Memory, "repeats {repeats:?} are too large"))?);
    }
    Ok((shape, Layout::new(wide, strides, x.layout().offset())?))
}

fn compute_repeat(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, (_, from)) = (c.x(0), repeated(c)?);
    // SAFETY: the output is new and row-major, in both shapes.
    unsafe { copy::to_contiguous(x.base_ptr(), x.dtype(), &from, outs[0].data_ptr(), x.dtype()) };
    Ok(())
}

fn repeat_vjp(v: &Vjp) -> Ex {
    let (shape, repeats) = (v.sizes(0), v.ints(0));
    let lead = repeats.len() - shape.len();
    let mut wide: SmallVec<[i64; 16]> = SmallVec::from_slice(&repeats[..lead]);
    let mut dims: SmallVec<[i64; 16]> = (0..lead as i64).collect();
    for (&r, &n) in repeats[lead..].iter().zip(&shape) {
        dims.push(wide.len() as i64);
        wide.extend([r, n]);
    }
    if dims.is_empty() {
        return v.g();
    }
    v.g().reshape(&wide).sum(&dims, false)
}

/// Unless the number of classes is to be found in the elements.
fn infer_one_hot(c: &Call) -> Result<Option<Specs>> {
    let (x, classes) = (c.x(0), c.int(0));
    if x.dtype() != DType::I64 {
        bail!(DType, "one_hot is only applicable to index tensors of dtype int64, got {}", x.dtype());
    }
    if classes < 1 {
        return Ok(None);
    }
    let mut shape = x.dims();
    shape.push(classes as usize);
    Spec::rows(&shape, DType::I64)?.one().map(Some)
}

fn eval_one_hot(c: &Call) -> Result<Outs> {
    infer_one_hot(c)?;
    let (x, classes) = (c.x(0), c.int(0));
    let values = x.to_vec_unlocked::<i64>()?;
    let (low, high) = values.iter().fold((0, -1), |(l, h), &v| (v.min(l), v.max(h)));
    if low < 0 {
        bail!(Value, "class values must be non-negative, got {low}");
    }
    let classes = match classes {
        -1 if values.is_empty() => bail!(Value, "cannot infer total number of classes from an empty tensor"),
        -1 => high.checked_add(1).ok_or_else(|| err!(Memory, "a dimension for class {high} is too large"))?,
        n if n < 1 && values.is_empty() => bail!(Value, "num_classes should be positive, got {n}"),
        n if high >= n => bail!(Value, "class values must be smaller than num_classes {n}, got {high}"),
        n => n,
    };
    let mut shape = x.dims();
    shape.push(classes as usize);
    let out = Tensor::filled(&shape, Scalar::Int(0), DType::I64)?;
    for (i, &v) in values.iter().enumerate() {
        // SAFETY: `v` is below the number of classes.
        unsafe { *out.ptr::<i64>().add(i * classes as usize + v as usize) = 1 };
    }
    one(out)
}

fn eval_shuffle(c: &Call, back: bool) -> Result<Outs> {
    let (x, r) = (c.x(0), c.int(0));
    let nd = x.ndim();
    if nd < 3 {
        bail!(Value, "input must have at least 3 dimensions, got shape {:?}", x.shape());
    }
    let [.., ch, h, w] = signed(x.shape())[..] else { unreachable!() };
    let square = |r: i64| r.checked_mul(r);
    let fits = r > 0 && if back { h % r == 0 && w % r == 0 && square(r).and_then(|q| ch.checked_mul(q)).is_some() } else { square(r).is_some_and(|q| ch % q == 0) };
    if !fits {
        let what = if back { "height and width" } else { "its square the number of channels" };
        bail!(Value, "the factor must divide {what} of shape {:?}, got {r}", x.shape());
    }
    if !back && (h.checked_mul(r).is_none() || w.checked_mul(r).is_none()) {
        bail!(Memory, "height and width of shape {:?} cannot grow by {r}", x.shape());
    }
    let (b, mut order) = (nd - 3, (0..nd as i64 - 3).collect::<SmallVec<[i64; 8]>>());
    let (mut wide, mut last) = (signed(&x.shape()[..b]), signed(&x.shape()[..b]));
    let at = |k: i64| b as i64 + k;
    if back {
        wide.extend([ch, h / r, r, w / r, r]);
        order.extend([0, 2, 4, 1, 3].map(at));
        last.extend([ch * r * r, h / r, w / r]);
    } else {
        wide.extend([ch / (r * r), r, r, h, w]);
        order.extend([0, 3, 1, 4, 2].map(at));
        last.extend([ch / (r * r), h * r, w * r]);
    }
    one(apart(x, x.reshape(&wide)?.permute(&order)?.reshape(&last)?)?)
}

/// `made`, or a copy if it is a view of `x`: a rearrangement that moves nothing is a new tensor like the others.
fn apart(x: &Tensor, made: Tensor) -> Result<Tensor> {
    if made.shares_storage(x) { made.contiguous_copy() } else { Ok(made) }
}

/// All tensors of a call, owned.
fn owned(c: &Call) -> Result<List<Tensor>> {
    List::collect(c.inputs.iter().flatten().map(|&t| t.clone()))
}

/// Each tensor with at least `n` dimensions, as `hstack` and its siblings see it.
fn at_least(t: &Tensor, n: usize) -> Result<Tensor> {
    match (n, t.ndim()) {
        (1 | 2, 0) => t.reshape(&[1, 1][..n]),
        (2, 1) => t.unsqueeze(0),
        (3, 0) => t.reshape(&[1, 1, 1]),
        (3, 1) => t.unsqueeze(0)?.unsqueeze(-1),
        (3, 2) => t.unsqueeze(-1),
        _ => Ok(t.clone()),
    }
}

fn stacked(c: &Call, least: usize, dim: impl Fn(&Tensor) -> i64) -> Result<Outs> {
    let all = List::try_collect(c.inputs.iter().flatten().map(|t| at_least(t, least)))?;
    let Some(first) = all.first() else {
        bail!(Value, "expected a non-empty list of tensors");
    };
    one(Tensor::cat(&all, dim(first))?)
}

/// The shape that all tensors of a call broadcast to.
fn common_shape(c: &Call) -> Result<Dims> {
    c.inputs.iter().flatten().try_fold(Dims::new(), |s, t| crate::shape::broadcast(&s, t.shape()))
}

fn eval_meshgrid(c: &Call) -> Result<Outs> {
    let xy = match c.str(0) {
        "ij" => false,
        "xy" => c.inputs.len() >= 2,
        other => bail!(Value, "indexing must be one of \"xy\" or \"ij\", got {other:?}"),
    };
    if c.inputs.is_empty() {
        bail!(Value, "expected a non-empty list of tensors");
    }
    if let Some(t) = c.inputs.iter().flatten().find(|t| t.ndim() > 1 || t.dtype() != c.x(0).dtype()) {
        bail!(Value, "expected 0-d or 1-d tensors of one dtype, got {} {:?}", t.dtype(), t.shape());
    }
    let mut order = List::collect(0..c.inputs.len())?;
    if xy {
        order.swap(0, 1);
    }
    let shape = List::collect(order.iter().map(|&i| c.x(i).numel() as i64))?;
    // Made in the order of the dimensions, as in PyTorch: hooks see it.
    let mut outs = several(order.len(), |d| {
        let mut own = List::filled(shape.len(), 1i64)?;
        own[d] = shape[d];
        c.x(order[d]).reshape(&own)?.expand(&shape)
    })?;
    if xy {
        outs.swap(0, 1);
    }
    Ok(outs)
}

fn eval_block_diag(c: &Call) -> Result<Outs> {
    let all = List::try_collect(c.inputs.iter().flatten().map(|t| at_least(t, 2)))?;
    if let Some(t) = all.iter().find(|t| t.ndim() > 2) {
        bail!(Value, "input tensors must have 2 or fewer dimensions, got shape {:?}", t.shape());
    }
    if all.is_empty() {
        return one(Tensor::zeros_with(&[1, 0], None)?);
    }
    let width = all.iter().try_fold(0i64, |sum, t| sum.checked_add(t.shape()[1] as i64));
    let total = width.ok_or_else(|| err!(Memory, "the result has too many columns"))?;
    let mut at = 0;
    let rows = List::try_collect(all.iter().map(|t| {
        let n = t.shape()[1] as i64;
        at += n;
        t.pad(&[at - n, total - at], "constant", None)
    }))?;
    one(Tensor::cat(&rows, 0)?)
}

fn eval_rot90(c: &Call) -> Result<Outs> {
    let (x, dims) = (c.x(0), c.ints(1));
    if x.ndim() < 2 || dims.len() != 2 {
        bail!(Value, "expected two rotation dims and a tensor with 2 or more, got dims {dims:?} and {:?}", x.shape());
    }
    let (a, b) = (wrap_dim(dims[0], x.ndim())? as i64, wrap_dim(dims[1], x.ndim())? as i64);
    if a == b {
        bail!(Value, "expected rotation dims to be different, got {dims:?}");
    }
    one(match c.int(0).rem_euclid(4) {
        1 => x.flip(&[b])?.transpose(a, b)?,
        2 => x.flip(&[a, b])?,
        3 => x.flip(&[a])?.transpose(a, b)?,
        _ => x.duplicate()?,
    })
}

fn eval_tensor_split_indices(c: &Call) -> Result<Outs> {
    let (x, at) = (c.x(0), c.ints(0));
    real_dim(c.int(1), x.ndim())?;
    several(at.len() + 1, |i| x.slice(c.int(1), i.checked_sub(1).map(|i| at[i]), at.get(i).copied(), 1))
}

/// A number of parts, which may exceed the size of a dimension but not all memory.
/// The size that a caller of `repeat_interleave` counts on.
fn check_output_size(wanted: Option<i64>, size: i64) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != size => bail!(Value, "Invalid output_size, expected {size} but got {wanted}"),
        _ => Ok(()),
    }
}

/// Numbers of repetitions: whole, in at least `least` and at most one dimension.
fn check_repeats(repeats: &Tensor, least: usize) -> Result<()> {
    let (d, shape) = (repeats.dtype(), repeats.shape());
    if d.is_float() || d == DType::Bool || shape.len() > 1 || shape.len() < least {
        let wanted = if least == 1 { "1-d" } else { "0-d or 1-d" };
        bail!(Value, "repeats must be a {wanted} tensor of whole numbers, got {d} {shape:?}");
    }
    Ok(())
}

/// Each of the numbers below `n`, as often as `repeats` says.
fn repeated_indices(repeats: &[i64], n: usize, output_size: Option<i64>) -> Result<List<i64>> {
    if repeats.len() != 1 && repeats.len() != n {
        bail!(Value, "repeats must have the same size as input along dim, but it has {} and input {n}", repeats.len());
    }
    if let Some(r) = repeats.iter().find(|&&r| r < 0) {
        bail!(Value, "repeats can not be negative, got {r}");
    }
    // The steps are as many as the results, whatever the size of the dimension.
    let (total, times) = match *repeats {
        [all] => (n.saturating_mul(all as usize), Some(all as usize)),
        _ => (repeats.iter().fold(0usize, |sum, &r| sum.saturating_add(r as usize)), None),
    };
    check_output_size(output_size, total as i64)?;
    let mut index = List::with_room(total)?;
    match times {
        Some(times) => index.extend((0..total).map(|k| (k / times) as i64))?,
        None => index.extend(repeats.iter().zip(0..).flat_map(|(&r, i)| std::iter::repeat_n(i, r as usize)))?,
    }
    Ok(index)
}

fn few(parts: i64) -> Result<usize> {
    usize::try_from(parts).ok().filter(|&n| n <= 1 << 24).ok_or_else(|| err!(Memory, "cannot make {parts} tensors"))
}

impl Tensor {
    /// `copy` in place: takes the elements of `src`, broadcast and cast.
    pub(crate) fn copy_(&self, src: &Tensor) -> Result<Tensor> {
        call_inplace(&defs::copy, &[Some(self), Some(src)], &[])
    }
}

ops! {
    /// A copy of `input` with its own memory.
    duplicate(input: Tensor) -> Tensor, Real {
        body: Kernel(|c| Spec::like(c.x(0), c.x(0).dtype())?.one(), compute_copy),
        vjp: vjp!(|v| v.g()),
        onnx: Some("Identity"),
        takes: Takes::ALL,
    }

    /// `src`, broadcast to the shape of `input` and cast to its dtype; in place it overwrites `input`.
    copy(input: Tensor, src: Tensor) -> Tensor, Real {
        body: Kernel(|c| {
            let (x, src) = (c.x(0), c.x(1));
            if src.shape() != x.shape() {
                src.layout().broadcast_to(x.shape())?;
            }
            Spec::rows(x.shape(), x.dtype())?.one()
        }, compute_copy),
        vjp: vjp!(|v| [Ex::None, v.g()]),
        inplace: true, direct: true, function: false,
        samples: &["r(2, 3), r(3)"],
        takes: Takes::ALL,
    }

    /// The elements of `input` as `dtype`.
    cast(input: Tensor, dtype: DType) -> Tensor, Real {
        body: Kernel(|c| {
            let dtype = c.opt_dtype(0).ok_or_else(|| err!(DType, "a dtype is wanted"))?;
            Spec::like(c.x(0), dtype)?.one()
        }, compute_copy),
        vjp: vjp!(|v| v.g()),
        onnx: Some("Cast"), method: false, function: false,
        samples: &["r(2), rt.float64"],
        takes: Takes::ALL,
    }

    /// `input` itself if it is row-major without gaps, else a copy that is.
    contiguous(input: Tensor) -> Tensor, Real {
        body: Composite(|c| {
            if c.x(0).is_contiguous() {
                return one(c.x(0).clone());
            }
            one(c.x(0).contiguous_copy()?)
        }),
        function: false,
    }

    /// A row-major copy of `input`.
    contiguous_copy(input: Tensor) -> Tensor, Real {
        body: Kernel(|c| Spec::rows(c.x(0).shape(), c.x(0).dtype())?.one(), compute_copy),
        vjp: vjp!(|v| v.g()),
        method: false, function: false,
        takes: Takes::ALL,
    }

    /// The same elements with another shape, sharing memory; an error if that needs a copy. One size may be -1.
    view(input: Tensor, size: Shape) -> Tensor, Special {
        body: View(|c| {
            let x = c.x(0);
            let shape = infer_sizes(c.ints(0), x.numel())?;
            let layout = x.layout().view(&shape).ok_or_else(|| err!(Shape,
                "view size {shape:?} is not compatible with input tensor's size {:?} and strides {:?}; use reshape",
                x.shape(), x.strides()))?;
            with_view(c, layout)
        }),
        vjp: vjp!(|v| v.g().reshape(&v.sizes(0))),
        onnx: Some("Reshape"), function: false,
        samples: &["r(2, 3), (3, 2)"],
    }

    /// The bytes of `input` read as elements of another dtype, sharing memory. Where these are smaller or larger, the last
    /// dimension becomes longer or shorter; it must lie without gaps, and everything at whole elements. No gradient.
    view_dtype(input: Tensor, dtype: DType) -> Tensor, Special {
        body: View(|c| {
            let dtype = c.opt_dtype(0).ok_or_else(|| err!(DType, "a dtype is wanted"))?;
            one(c.x(0).read_as(dtype)?)
        }),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3, dtype=rt.int8), rt.int16", message: "must be divisible by 2" },
            Refusal { call: "rt.ones(()), rt.int8", message: "0-d" },
            Refusal { call: "rt.ones(2, 3).t(), rt.float64", message: "stride" },
        ],
    }

    /// The elements of `input`'s memory, from its first one on in the order of memory, with another shape, row-major; its own
    /// shape changes nothing. If they do not fit into that memory there is new memory, which begins with what the old one
    /// held; further elements are not initialised.
    resize(input: Tensor, size: Shape) -> Tensor, Special {
        body: View(|c| {
            let x = c.x(0);
            let size = not_negative("sizes", c.ints(0))?;
            if size[..] == *x.shape() {
                return one(x.alias());
            }
            let rows = contiguous_strides(&size);
            one(placed(c, x, Layout::new(size, rows, x.layout().offset())?)?)
        }),
        inplace: true, relayout: Some(Relayout::Data), method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3), [-1]", message: "sizes must not be negative" }],
    }

    /// A tensor that looks into the memory of `source`: as that does, or, if `size` is given, with these sizes, strides
    /// (row-major if None) and offset, for which the memory grows if need be. Without `source` it is empty. It has the dtype
    /// and the device of `input`, which takes no other part.
    set(
        input: Tensor, source: OptTensor = None, storage_offset: Int = 0, size: OptInts = None, stride: OptInts = None
    ) -> Tensor, Special {
        body: View(|c| {
            let x = c.x(0);
            let sizes = c.opt_ints(1);
            if sizes.is_none() && (c.int(0) != 0 || c.opt_ints(2).is_some()) || sizes.is_some() && c.opt(1).is_none() {
                bail!(Value, "an offset and strides want sizes, and sizes a source");
            }
            let Some(source) = c.opt(1) else { return one(made(c, &[0], x.dtype())?) };
            if source.device() != x.device() {
                bail!(Value, "could not set a tensor on {} to one on {}", x.device(), source.device());
            }
            if source.dtype() != x.dtype() {
                bail!(DType, "could not set tensor of type {} to a tensor of type {}", source.dtype(), x.dtype());
            }
            let Some(size) = sizes else { return one(source.alias()) };
            let size = not_negative("sizes", size)?;
            let strides = match c.opt_ints(2) {
                None => contiguous_strides(&size),
                Some(s) if s.len() != size.len() => {
                    bail!(Value, "wanted sizes and strides of one length, got {size:?} and {s:?}")
                }
                Some(s) => not_negative("strides", s)?.iter().map(|&s| s as isize).collect(),
            };
            let offset = not_negative("the offset", &[c.int(0)])?[0];
            one(placed(c, source, Layout::new(size, strides, offset)?)?)
        }),
        inplace: true, relayout: Some(Relayout::Data), method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3), rt.ones(3), 0, [2], [-1]", message: "strides must not be negative" },
            Refusal { call: "rt.ones(3), rt.ones(3), -1, [2], [1]", message: "the offset must not be negative" },
            Refusal { call: "rt.ones(3), rt.ones(3, dtype=rt.float64)", message: "type float64" },
        ],
    }

    /// The same elements with another shape: a view where possible, else a copy. One size may be -1.
    reshape(input: Tensor, shape: Shape) -> Tensor, Special {
        body: Composite(|c| {
            let x = c.x(0);
            reshaped(x, &infer_sizes(c.ints(0), x.numel())?)
        }),
        onnx: Some("Reshape"),
        refuses: &[Refusal { call: "rt.ones(2, 3), (4, 2)", message: "invalid for input of size 6" }],
        samples: &["r(2, 3), (3, -1)", "r(2, 3).mT, (2, 3)"],
    }

    /// Dimensions of size 1 repeated to `size` without copying; -1 keeps a size.
    expand(input: Tensor, size: Shape) -> Tensor, Special {
        body: View(|c| {
            let x = c.x(0);
            let want = c.ints(0);
            let lead = want.len().checked_sub(x.ndim()).ok_or_else(|| err!(Shape,
                "the number of sizes {want:?} must be at least the number of dimensions of the tensor, {}", x.ndim()))?;
            let mut shape = Dims::new();
            for (i, &n) in want.iter().enumerate() {
                shape.push(match n {
                    -1 if i >= lead => x.shape()[i - lead],
                    n if n < 0 => bail!(Shape, "size {n} is not allowed in {want:?} at dimension {i}"),
                    n => n as usize,
                });
            }
            with_view(c, x.layout().broadcast_to(&shape)?)
        }),
        vjp: vjp!(|v| v.g()),
        onnx: Some("Expand"), function: false,
        samples: &["r(2, 1), (3, 2, 4)", "r(2, 1), (-1, 3)"],
    }

    /// Dimensions `dim0` and `dim1` exchanged; a view.
    transpose(input: Tensor, dim0: Int, dim1: Int) -> Tensor, Special {
        body: View(|c| {
            let n = c.x(0).ndim();
            let (a, b) = (wrap_dim(c.int(0), n)?, wrap_dim(c.int(1), n)?);
            with_view(c, if n == 0 { c.x(0).layout().clone() } else { c.x(0).layout().transpose(a, b) })
        }),
        vjp: vjp!(|v| v.g().transpose(v.int(0), v.int(1))),
        inplace: true, relayout: Some(Relayout::View), aliases: &["swapaxes", "swapdims"], onnx: Some("Transpose"),
        samples: &["r(2, 3, 2), 0, 1"],
    }

    /// A dimension of size 1 inserted at `dim`; a view.
    unsqueeze(input: Tensor, dim: Int) -> Tensor, Special {
        body: View(|c| {
            let d = wrap_dim(c.int(0), c.x(0).ndim() + 1)?;
            with_view(c, c.x(0).layout().unsqueeze(d))
        }),
        vjp: vjp!(|v| v.g().reshape(&v.sizes(0))),
        inplace: true, relayout: Some(Relayout::View), onnx: Some("Unsqueeze"),
        samples: &["r(2, 3), 1"],
    }

    /// A view of the storage with the given sizes, strides and offset (in elements); the caller answers for the meaning.
    as_strided(input: Tensor, size: Ints, stride: Ints, storage_offset: OptInt = None) -> Tensor, Special {
        body: Composite(|c| {
            let x = c.x(0);
            let own: SmallVec<[i64; 8]> = x.strides().iter().map(|&s| s as i64).collect();
            let start = x.layout().offset() as i64;
            one(x.restride(c.ints(0), c.ints(1), c.opt_int(2).unwrap_or(start), &own, start)?)
        }),
        inplace: true, relayout: Some(Relayout::View),
        samples: &["r(6), (2, 2), (1, 2), 1", "r(4), (3, 2), (1, 1)"],
    }

    /// `as_strided` of a tensor whose own strides and offset are given too, for the gradient: what flows to a place of the
    /// storage flows to the elements of `input` that lie there, in equal shares.
    restride(
        input: Tensor, size: Ints, stride: Ints, storage_offset: Int, own_stride: Ints, own_offset: Int
    ) -> Tensor, Special {
        body: View(|c| {
            let x = c.x(0);
            let shape = sizes(c.ints(0))?;
            let offset = usize::try_from(c.int(2))
                .map_err(|_| err!(Value, "storage_offset must not be negative, got {}", c.int(2)))?;
            let layout = Layout::new(shape, c.ints(1).iter().map(|&s| s as isize).collect(), offset)?;
            check_bounds(&x.0.storage, &layout, x.dtype())?;
            with_view(c, layout)
        }),
        vjp: vjp!(|v| {
            let (own, own_stride) = (v.sizes(0), v.ints(3));
            // The part of the storage that the two layouts span.
            let start = v.int(2).min(v.int(4));
            let end = |size: &[i64], stride: &[i64], offset: i64| {
                let last = size.iter().zip(stride).map(|(&d, &s)| (d - 1).max(0).saturating_mul(s));
                last.fold(offset.saturating_sub(start).saturating_add(1), i64::saturating_add)
            };
            let n = end(v.ints(0), v.ints(1), v.int(2)).max(end(&own, own_stride, v.int(4)));
            let flat = |g: &Tensor| filled_by(g, &sizes(&[n])?, 0);
            let at_own = |x: &Tensor| x.as_strided(&own, own_stride, Some(v.int(4).saturating_sub(start)));
            let all = v.g().then(|g| {
                flat(g)?.as_strided_scatter(g, v.ints(0), v.ints(1), v.int(2).saturating_sub(start))
            });
            let shares = v.g().then(|g| {
                let ones = filled_by(g, v.shape(0), 1)?;
                at_own(&flat(g)?.as_strided_scatter(&ones, &own, own_stride, v.int(4).saturating_sub(start))?)
            });
            all.then(at_own) / shares
        }),
        method: false, function: false,
        samples: &["r(6), (2, 2), (1, 2), 1, (1,), 0", "r(4), (3, 2), (1, 1), 0, (1,), 0"],
    }

    /// A row-major copy of `input` in which the part that `as_strided(size, stride, storage_offset)` names is replaced by
    /// `src`; places that the part names several times get the sum. `input` must be row-major and have its storage for itself.
    as_strided_scatter(input: Tensor, src: Tensor, size: Ints, stride: Ints, storage_offset: Int = 0) -> Tensor, Special {
        body: Kernel(infer_as_strided_scatter, compute_as_strided_scatter),
        vjp: vjp!(|v| {
            let g = v.g().then(|g| g.duplicate()?.contiguous());
            let part = v.want(1, || g.then(|g| g.as_strided(v.ints(0), v.ints(1), Some(v.int(2)))));
            let rest = v.want(0, || g.then(|g| {
                g.as_strided_scatter(&filled_by(g, v.shape(1), 0)?, v.ints(0), v.ints(1), v.int(2))
            }));
            [rest, part]
        }),
        samples: &["r(6), r(2, 2), (2, 2), (1, 2), 1"],
        takes: Takes::ALL,
    }

    /// Dimensions in the order `dims`; a view.
    permute(input: Tensor, dims: Shape) -> Tensor, Special {
        body: View(|c| {
            let x = c.x(0);
            if c.ints(0).len() != x.ndim() {
                bail!(Value, "wanted an order of {} dimensions, got {:?}", x.ndim(), c.ints(0));
            }
            let order: SmallVec<[usize; 8]> = c.ints(0).iter().map(|&d| wrap_dim(d, x.ndim())).collect::<Result<_>>()?;
            wrap_dims(c.ints(0), x.ndim())?;
            with_view(c, x.layout().permute(&order))
        }),
        vjp: vjp!(|v| v.g().then(|g| {
            let mut back: SmallVec<[i64; 8]> = SmallVec::from_elem(0, g.ndim());
            for (i, &d) in v.ints(0).iter().enumerate() {
                back[wrap_dim(d, g.ndim())?] = i as i64;
            }
            g.permute(&back)
        })),
        onnx: Some("Transpose"),
        refuses: &[Refusal { call: "rt.ones(2, 3), (0, 0)", message: "more than once" }],
        samples: &["r(2, 3, 2), (2, 0, 1)"],
    }

    /// Dimensions `source` moved to the places `destination`, the others in their old order; a view.
    movedim(input: Tensor, source: Ints, destination: Ints) -> Tensor, Special {
        body: Composite(|c| one(c.x(0).permute(&moved(c.x(0).ndim(), c.ints(0), c.ints(1))?)?)),
        aliases: &["moveaxis"],
        samples: &["r(2, 3, 2), (0,), (2,)"],
    }

    /// A matrix transposed; tensors with fewer than two dimensions stay as they are. A view.
    t(input: Tensor) -> Tensor, Special {
        body: View(|c| match c.x(0).ndim() {
            2 => with_view(c, c.x(0).layout().transpose(0, 1)),
            0 | 1 => with_view(c, c.x(0).layout().clone()),
            n => Err(err!(Value, "expects a tensor with <= 2 dimensions, but input is {n}-d")),
        }),
        vjp: vjp!(|v| v.g().then(|g| g.t())),
        inplace: true, relayout: Some(Relayout::View), onnx: Some("Transpose"),
        refuses: &[Refusal { call: "rt.ones(2, 3, 4)", message: "<= 2 dimensions" }],
        samples: &["r(2, 3)", "r(3)"],
    }

    /// The last two dimensions exchanged; a view. For real numbers this is the adjoint.
    matrix_transpose(input: Tensor) -> Tensor, Special {
        body: View(|c| match c.x(0).ndim() {
            n if n < 2 => Err(err!(Value, "expects a tensor with >= 2 dimensions, but input is {n}-d")),
            n => with_view(c, c.x(0).layout().transpose(n - 2, n - 1)),
        }),
        vjp: vjp!(|v| v.g().mt()),
        aliases: &["adjoint"],
        samples: &["r(2, 3)", "r(2, 2, 3)"],
    }

    /// Without the dimensions of size 1, or without those of them that `dim` names; a view.
    squeeze(input: Tensor, dim: OptInts = None) -> Tensor, Special {
        body: View(|c| {
            let (x, mut l) = (c.x(0), c.x(0).layout().clone());
            let dims = match c.opt_ints(0) {
                Some([]) => SmallVec::new(),
                dims => wrap_dims(dims.unwrap_or(&[]), x.ndim())?,
            };
            for &d in dims.iter().rev().filter(|&&d| x.shape()[d] == 1) {
                l = l.without(d);
            }
            with_view(c, l)
        }),
        vjp: vjp!(|v| v.g().reshape(&v.sizes(0))),
        inplace: true, relayout: Some(Relayout::View), onnx: Some("Squeeze"),
        samples: &["r(2, 1, 3, 1)", "r(2, 1, 3, 1), (1,)"],
    }

    /// Dimensions `start_dim` to `end_dim` as one.
    flatten(input: Tensor, start_dim: Int = 0, end_dim: Int = -1) -> Tensor, Special {
        body: Composite(|c| {
            let x = c.x(0);
            let (a, b) = (wrap_dim(c.int(0), x.ndim())?, wrap_dim(c.int(1), x.ndim())?);
            if a > b {
                bail!(Value, "start_dim {} must not come after end_dim {}", c.int(0), c.int(1));
            }
            if a == b && x.ndim() > 0 {
                return one(x.clone());
            }
            let mut shape = Dims::from_slice(&x.shape()[..a]);
            shape.push(x.shape().get(a..=b).map_or(1, |s| s.iter().product()));
            shape.extend(x.shape().iter().skip(b + 1).copied());
            reshaped(x, &shape)
        }),
        onnx: Some("Flatten"),
        samples: &["r(2, 3, 2)", "r(2, 3, 2), 1, 2"],
    }

    /// Dimension `dim` split into `sizes`, one of which may be -1; a view.
    unflatten(input: Tensor, dim: Int, sizes: Ints) -> Tensor, Special {
        body: Composite(|c| {
            let x = c.x(0);
            let d = real_dim(c.int(0), x.ndim())?;
            let parts = infer_sizes(c.ints(1), x.shape()[d])?;
            let mut shape = x.dims();
            shape.remove(d);
            shape.insert_many(d, parts);
            one(x.view(&signed(&shape))?)
        }),

        refuses: &[Refusal { call: "rt.ones(2, 6), 1, (4, 2)", message: "invalid for input of size 6" }],
        samples: &["r(2, 6), 1, (2, -1)"],
    }

    /// The elements as one dimension.
    ravel(input: Tensor) -> Tensor, Special {
        body: Composite(|c| reshaped(c.x(0), &[c.x(0).numel()])),

        samples: &["r(2, 3)"],
    }

    /// `length` elements of dimension `dim` from `start`; a view.
    narrow(input: Tensor, dim: Int, start: Int, length: Int) -> Tensor, Special {
        body: Composite(|c| {
            let (x, start, length) = (c.x(0), c.int(1), c.int(2));
            let n = x.shape().get(real_dim(c.int(0), x.ndim())?).map_or(0, |&n| n as i64);
            if length < 0 || start < -n || start > n {
                bail!(Index, "start {start} and length {length} do not fit a dimension of size {n}");
            }
            let start = if start < 0 { start + n } else { start };
            if length > n - start {
                bail!(Index, "start ({start}) + length ({length}) exceeds dimension size ({n})");
            }
            one(x.slice(c.int(0), Some(start), Some(start + length), 1)?)
        }),

        refuses: &[Refusal { call: "rt.ones(3), 0, 2, 2", message: "exceeds dimension size (3)" }],
        samples: &["r(2, 5), 1, 1, 3"],
    }

    /// `narrow` as a copy.
    narrow_copy(input: Tensor, dim: Int, start: Int, length: Int) -> Tensor, Special {
        body: Composite(|c| one(c.x(0).narrow(c.int(0), c.int(1), c.int(2))?.duplicate()?)),
        refuses: &[Refusal { call: "rt.ones(3), 0, 2, 2", message: "exceeds dimension size (3)" }],
        samples: &["r(2, 5), 1, 1, 3"],
    }

    /// Element `index` of dimension `dim`, which disappears; a view.
    select(input: Tensor, dim: Int, index: Int) -> Tensor, Special {
        body: View(|c| with_view(c, select_part(c, c.x(0).layout())?)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::select_backward(g, &v.sizes(0), v.int(0), v.int(1)))),

        refuses: &[Refusal { call: "rt.ones(3), 0, 3", message: "out of range" }],
        samples: &["r(2, 3), 1, -1"],
    }

    /// `grad` as element `index` of dimension `dim` of a tensor of `input_sizes` that is zero elsewhere.
    select_backward(grad: Tensor, input_sizes: Ints, dim: Int, index: Int) -> Tensor, Special {
        body: Kernel(|c| infer_embed(c, select_place(c)?, false), |c, outs| compute_embed(c, outs, select_place(c)?)),
        vjp: vjp!(|v| v.g().then(|g| g.select(v.int(1), v.int(2)))),
        function: false, method: false,
        samples: &["r(2), (2, 3), 1, 2"],
        takes: Takes::COMPLEX,
    }

    /// `input[start:end:step]` along `dim`, with Python's meaning of negative and missing numbers; a view.
    slice(input: Tensor, dim: Int = 0, start: OptInt = None, end: OptInt = None, step: Int = 1) -> Tensor, Special {
        body: View(|c| with_view(c, slice_part(c, c.x(0).layout())?)),
        vjp: vjp!(|v| v.g().then(|g| {
            Tensor::slice_backward(g, &v.sizes(0), v.int(0), v.opt_int(1), v.opt_int(2), v.int(3))
        })),
        onnx: Some("Slice"), function: false, method: false,
        samples: &["r(2, 6), 1, 1, 6, 2", "r(4), 0, -3"],
    }

    /// `grad` as the part `[start:end:step]` of dimension `dim` of a tensor of `input_sizes` that is zero elsewhere.
    slice_backward(
        grad: Tensor, input_sizes: Ints, dim: Int, start: OptInt, end: OptInt, step: Int
    ) -> Tensor, Special {
        body: Kernel(|c| infer_embed(c, slice_place(c)?, true), |c, outs| compute_embed(c, outs, slice_place(c)?)),
        vjp: vjp!(|v| v.g().then(|g| g.slice(v.int(1), v.opt_int(2), v.opt_int(3), v.int(4)))),
        function: false, method: false,
        samples: &["r(2, 3), (2, 6), 1, 1, 6, 2"],
        takes: Takes::COMPLEX,
    }

    /// A copy of `input` with `[start:end:step]` of dimension `dim` replaced by `src`.
    slice_scatter(
        input: Tensor, src: Tensor, dim: Int = 0, start: OptInt = None, end: OptInt = None, step: Int = 1
    ) -> Tensor, Special {
        body: Kernel(|c| infer_scatter(c, slice_part), |c, outs| compute_scatter(c, outs, slice_part)),
        vjp: vjp!(|v| [
            v.want(0, || v.g().then(|g| {
                g.slice_scatter(&filled_by(g, v.shape(1), 0)?, v.int(0), v.opt_int(1), v.opt_int(2), v.int(3))
            })),
            v.want(1, || v.g().then(|g| g.slice(v.int(0), v.opt_int(1), v.opt_int(2), v.int(3)))),
        ]),
        samples: &["r(2, 6), r(2, 3), 1, 0, 6, 2"],
        takes: Takes::ALL,
    }

    /// A copy of `input` with element `index` of dimension `dim` replaced by `src`.
    select_scatter(input: Tensor, src: Tensor, dim: Int, index: Int) -> Tensor, Special {
        body: Kernel(|c| infer_scatter(c, select_part), |c, outs| compute_scatter(c, outs, select_part)),
        vjp: vjp!(|v| [
            v.want(0, || v.g().then(|g| g.select_scatter(&filled_by(g, v.shape(1), 0)?, v.int(0), v.int(1)))),
            v.want(1, || v.g().then(|g| g.select(v.int(0), v.int(1)))),
        ]),
        samples: &["r(2, 3), r(2), 1, 0"],
        takes: Takes::ALL,
    }

    /// A copy of `input` with a diagonal, see `diagonal`, replaced by `src`.
    diagonal_scatter(input: Tensor, src: Tensor, offset: Int = 0, dim1: Int = 0, dim2: Int = 1) -> Tensor, Special {
        body: Kernel(|c| infer_scatter(c, diagonal_part), |c, outs| compute_scatter(c, outs, diagonal_part)),
        vjp: vjp!(|v| [
            v.want(0, || v.g().then(|g| {
                g.diagonal_scatter(&filled_by(g, v.shape(1), 0)?, v.int(0), v.int(1), v.int(2))
            })),
            v.want(1, || v.g().then(|g| g.diagonal(v.int(0), v.int(1), v.int(2)))),
        ]),
        samples: &["r(3, 3), r(2), 1", "r(2, 3, 3), r(3, 1), -1, 0, 2"],
        takes: Takes::ALL,
    }

    /// Windows of `size` elements of dimension `dimension`, `step` apart, as a new last dimension; a view.
    unfold(input: Tensor, dimension: Int, size: Int, step: Int) -> Tensor, Special {
        body: View(|c| with_view(c, unfold_layout(c.x(0).layout(), c.int(0), c.int(1), c.int(2))?)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::unfold_backward(g, &v.sizes(0), v.int(0), v.int(1), v.int(2)))),
        function: false,
        refuses: &[Refusal { call: "rt.ones(3), 0, 5, 1", message: "size must be between 0 and the size 3" }],
        samples: &["r(7), 0, 3, 2", "r(2, 5), 1, 3, 1"],
    }

    /// The transpose of `unfold`: each element of `grad` added to the place of `input_sizes` that it was read from.
    unfold_backward(grad: Tensor, input_sizes: Ints, dim: Int, size: Int, step: Int) -> Tensor, Special {
        body: Kernel(|c| {
            let spec = Spec::rows(&sizes(c.ints(0))?, c.x(0).dtype())?;
            let windows = unfold_layout(&spec.layout, c.int(1), c.int(2), c.int(3))?;
            c.x(0).layout().broadcast_to(windows.shape())?;
            spec.one()
        }, |c, outs| {
            let out = &outs[0];
            fill_new(out, Scalar::Int(0));
            add_into(out, &unfold_layout(out.layout(), c.int(1), c.int(2), c.int(3))?, c.x(0))
        }),
        vjp: vjp!(|v| v.g().then(|g| g.unfold(v.int(1), v.int(2), v.int(3)))),
        function: false, method: false,
        samples: &["r(3, 3), (7,), 0, 3, 2", "r(2, 3, 3), (2, 5), 1, 3, 1"],
        takes: Takes::COMPLEX,
    }

    /// The elements `i, i + offset` of dimensions `dim1`, `dim2`, as a new last dimension; a view.
    diagonal(input: Tensor, offset: Int = 0, dim1: Int = 0, dim2: Int = 1) -> Tensor, Special {
        body: View(|c| with_view(c, diagonal_part(c, c.x(0).layout())?)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::diagonal_backward(g, &v.sizes(0), v.int(0), v.int(1), v.int(2)))),

        refuses: &[Refusal { call: "rt.ones(2, 2), 0, 0, 0", message: "cannot be identical" }],
        samples: &["r(3, 4), 1", "r(2, 3, 3), -1, 1, 2"],
    }

    /// In place: the elements whose indices are all equal become `fill_value`; in tall matrices the diagonal begins again,
    /// one row below, with `wrap`. More than two dimensions must have one size.
    fill_diagonal(input: Tensor, fill_value: Scalar, wrap: Bool = false) -> Tensor, Special {
        body: Kernel(
            |c| {
                let (x, s) = (c.x(0), c.x(0).shape());
                if s.len() < 2 || (s.len() > 2 && s.iter().any(|&d| d != s[0])) {
                    bail!(Value, "wanted a matrix, or dimensions of one size, got shape {s:?}");
                }
                c.scalar(0).held_by(x.dtype())?;
                Spec::rows(s, x.dtype())?.one()
            },
            compute_fill_diagonal,
        ),
        vjp: vjp!(|v| v.g().then(|g| g.fill_diagonal(0, v.bool(1)))),
        direct: true, inplace: true, function: false, method: false,
        refuses: &[Refusal { call: "rt.ones(3), 1", message: "wanted a matrix" }],
        samples: &["r(2, 3), 1.5", "r(5, 2), 0, True", "r(3, 3, 3), 2.0"],
        takes: Takes::ALL,
    }

    /// `grad` on a diagonal of a tensor of `input_sizes` that is zero elsewhere.
    diagonal_backward(grad: Tensor, input_sizes: Ints, offset: Int, dim1: Int, dim2: Int) -> Tensor, Special {
        body: Kernel(
            |c| infer_on_diagonal(c, &sizes(c.ints(0))?, [c.int(1), c.int(2), c.int(3)]),
            |c, outs| compute_on_diagonal(c, outs, [c.int(1), c.int(2), c.int(3)]),
        ),
        vjp: vjp!(|v| v.g().then(|g| g.diagonal(v.int(1), v.int(2), v.int(3)))),
        function: false, method: false,
        samples: &["r(3), (3, 4), 1, 0, 1", "r(2, 2), (2, 3, 3), -1, 1, 2"],
        takes: Takes::COMPLEX,
    }

    /// The last dimension laid on a diagonal of two new dimensions `dim1`, `dim2`, zero elsewhere.
    diag_embed(input: Tensor, offset: Int = 0, dim1: Int = -2, dim2: Int = -1) -> Tensor, Special {
        body: Kernel(infer_diag_embed, |c, outs| compute_on_diagonal(c, outs, [c.int(0), c.int(1), c.int(2)])),
        vjp: vjp!(|v| v.g().then(|g| g.diagonal(v.int(0), v.int(1), v.int(2)))),
        samples: &["r(2, 3)", "r(2, 3), -1, 0, 2"],
        takes: Takes::ALL,
    }

    /// A diagonal of a matrix, or the matrix that has a vector on that diagonal and zeros elsewhere.
    diag(input: Tensor, diagonal: Int = 0) -> Tensor, Special {
        body: Composite(|c| match c.x(0).ndim() {
            1 => one(c.x(0).diag_embed(c.int(0), 0, 1)?),
            2 => one(c.x(0).diagonal(c.int(0), 0, 1)?.contiguous_copy()?),
            n => Err(err!(Value, "supports 1-d or 2-d tensors, got {n}-d")),
        }),

        refuses: &[Refusal { call: "rt.ones(2, 2, 2)", message: "1-d or 2-d" }],
        samples: &["r(3)", "r(3, 3), 1", "r(2), -1"],
    }

    /// The matrix that has the elements of `input` on a diagonal and zeros elsewhere.
    diagflat(input: Tensor, offset: Int = 0) -> Tensor, Special {
        body: Composite(|c| one(c.x(0).ravel()?.diag_embed(c.int(0), 0, 1)?)),

        samples: &["r(2, 2), 1"],
    }

    /// The tensors one after the other along `dim`; the other sizes must be equal. The result has the common dtype.
    cat(tensors: Tensors, dim: Int = 0) -> Tensor, Special {
        body: Kernel(|c| infer_join(c, false), |c, outs| compute_join(c, outs, false)),
        vjp: vjp!(|v| cat_vjp(v)),
        aliases: &["concat", "concatenate"], onnx: Some("Concat"), method: false,
        refuses: &[
            Refusal { call: "[rt.ones(2, 3), rt.ones(2, 4)]", message: "must match except in dimension 0" },
            Refusal { call: "[]", message: "non-empty list" },
        ],
        samples: &["[r(2, 3), r(1, 3)]", "[r(2, 1), r(2, 2)], 1"],
        takes: Takes::ALL,
    }

    /// Tensors of one shape along a new dimension `dim`.
    stack(tensors: Tensors, dim: Int = 0) -> Tensor, Special {
        body: Kernel(|c| infer_join(c, true), |c, outs| compute_join(c, outs, true)),
        vjp: vjp!(|v| {
            let mut grads = memory::room(v.len())?;
            for i in 0..v.len() {
                memory::check()?;
                grads.push(v.want(i, || v.g().then(|g| g.select(v.int(0), i as i64))).value()?);
            }
            Ok(grads)
        }),
        onnx: Some("ConcatFromSequence"), method: false,
        refuses: &[Refusal { call: "[rt.ones(2), rt.ones(3)]", message: "must be equal" }],
        samples: &["[r(2, 3), r(2, 3)]", "[r(2, 3), r(2, 3)], -1"],
        takes: Takes::ALL,
    }

    /// The tensors side by side: along dimension 0 for 1-d tensors, else along dimension 1.
    hstack(tensors: Tensors) -> Tensor, Special {
        body: Composite(|c| stacked(c, 1, |x| (x.ndim() > 1) as i64)),
        method: false,
        samples: &["[r(2, 3), r(2, 3)]", "[r(2), r(2)]"],
    }

    /// The tensors, 1-d ones seen as rows, one below the other.
    vstack(tensors: Tensors) -> Tensor, Special {
        body: Composite(|c| stacked(c, 2, |_| 0)),
        aliases: &["row_stack"], method: false,
        samples: &["[r(2, 3), r(2, 3)]", "[r(2), r(2)]"],
    }

    /// The tensors, seen with three dimensions, along the third.
    dstack(tensors: Tensors) -> Tensor, Special {
        body: Composite(|c| stacked(c, 3, |_| 2)),
        method: false,
        samples: &["[r(2, 3), r(2, 3)]", "[r(2), r(2)]"],
    }

    /// The tensors, those with fewer than two dimensions seen as columns, side by side.
    column_stack(tensors: Tensors) -> Tensor, Special {
        body: Composite(|c| {
            let all = c.inputs.iter().flatten().map(|x| match x.ndim() {
                0 | 1 => x.reshape(&[x.numel() as i64, 1]),
                _ => Ok((*x).clone()),
            });
            one(Tensor::cat(&List::try_collect(all)?, 1)?)
        }),
        method: false,
        samples: &["[r(2, 3), r(2, 3)]", "[r(2), r(2)]"],
    }

    /// Matrices (1-d and 0-d tensors are seen as rows) along the diagonal of a matrix that is zero elsewhere.
    block_diag(tensors: Tensors) -> Tensor, Special {
        body: Composite(eval_block_diag),
        method: false,
        samples: &["[r(2, 2), r(1, 3), r(2)]"],
    }

    /// Parts of dimension `dim` with the given sizes; views.
    split_with_sizes(input: Tensor, split_sizes: Ints, dim: Int = 0) -> List, Special {
        body: View(|c| {
            let x = c.x(0);
            let d = real_dim(c.int(1), x.ndim())?;
            let parts = counts(c.ints(0))?;
            if parts.iter().try_fold(0usize, |a, &n| a.checked_add(n)) != Some(x.shape()[d]) {
                bail!(Value, "split_sizes must sum up to the size {} of dimension {d}, got {parts:?}", x.shape()[d]);
            }
            let mut at = 0;
            several(parts.len(), |i| {
                at += parts[i];
                Ok(x.with_layout(x.layout().slice(d, at - parts[i], parts[i], 1)))
            })
        }),
        vjp: vjp!(|v| Ex::from(all_grads(v, v.ints(0).len()).and_then(|g| Tensor::cat(&g, v.int(1))))),
        onnx: Some("Split"),
        refuses: &[Refusal { call: "rt.ones(3), [1, 1]", message: "must sum up to the size 3" }],
        samples: &["r(5, 2), (2, 3)", "r(2, 4), (1, 3), 1"],
    }

    /// Parts of `split_size` elements of dimension `dim`, the last one smaller if need be; views.
    split(input: Tensor, split_size: Int, dim: Int = 0) -> List, Special {
        body: Composite(|c| {
            let x = c.x(0);
            let n = x.shape()[real_dim(c.int(1), x.ndim())?] as i64;
            x.split_with_sizes(&parts_of(n, c.int(0))?, c.int(1))
        }),
        onnx: Some("Split"),
        refuses: &[Refusal { call: "rt.ones(3), 0", message: "split_size must be positive" }],
        samples: &["r(5, 2), 2", "r(2, 3), 2, 1"],
    }

    /// At most `chunks` parts of equal size of dimension `dim`, the last one smaller if need be; views.
    chunk(input: Tensor, chunks: Int, dim: Int = 0) -> List, Special {
        body: Composite(|c| {
            let (x, k) = (c.x(0), c.int(0));
            let n = x.shape()[real_dim(c.int(1), x.ndim())?] as i64;
            if k <= 0 {
                bail!(Value, "expects chunks to be greater than 0, got {k}");
            }
            if n == 0 {
                return x.split_with_sizes(&List::filled(few(k)?, 0)?, c.int(1));
            }
            x.split_with_sizes(&parts_of(n, n / k + (n % k != 0) as i64)?, c.int(1))
        }),
        onnx: Some("Split"),
        samples: &["r(5, 2), 2", "r(2, 3), 2, 1"],
    }

    /// `sections` parts of dimension `dim` whose sizes differ by at most one, larger ones first; views.
    tensor_split_sections(input: Tensor, sections: Int, dim: Int = 0) -> List, Special {
        body: Composite(|c| {
            let (x, k) = (c.x(0), c.int(0));
            let n = x.shape()[real_dim(c.int(1), x.ndim())?] as i64;
            if k <= 0 {
                bail!(Value, "number of sections must be larger than 0, got {k}");
            }
            few(k)?;
            let parts = List::collect((0..k).map(|i| n / k + (i < n % k) as i64))?;
            x.split_with_sizes(&parts, c.int(1))
        }),
        function: false, method: false,
        samples: &["r(5, 2), 2", "r(2, 3), 2, 1"],
    }

    /// The parts of dimension `dim` between the given places; views.
    tensor_split_indices(input: Tensor, indices: Ints, dim: Int = 0) -> List, Special {
        body: Composite(eval_tensor_split_indices),
        function: false, method: false,
        samples: &["r(5, 2), (1, 3)", "r(2, 3), (1,), 1"],
    }

    /// Each element of dimension `dim`, which disappears; views.
    unbind(input: Tensor, dim: Int = 0) -> List, Special {
        body: View(|c| {
            let x = c.x(0);
            let d = real_dim(c.int(0), x.ndim())?;
            several(x.shape()[d], |i| Ok(x.with_layout(x.layout().select(d, i))))
        }),
        vjp: vjp!(|v| {
            let n = v.shape(0)[wrap_dim(v.int(0), v.shape(0).len())?];
            Ex::from(all_grads(v, n).and_then(|g| Tensor::stack(&g, v.int(0))))
        }),

        samples: &["r(2, 3)", "r(2, 3), 1"],
    }

    /// `input` repeated `repeats[d]` times along each dimension; further numbers in front add dimensions.
    repeat(input: Tensor, repeats: Shape) -> Tensor, Special {
        body: Kernel(|c| Spec::rows(&repeated(c)?.0, c.x(0).dtype())?.one(), compute_repeat),
        vjp: vjp!(|v| repeat_vjp(v)),
        onnx: Some("Tile"), function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), 2", message: "can not be smaller" }],
        samples: &["r(2, 1), (2, 3)", "r(2), (2, 2)"],
        takes: Takes::ALL,
    }

    /// As `repeat`, with missing numbers taken as 1.
    tile(input: Tensor, dims: Shape) -> Tensor, Special {
        body: Composite(|c| {
            let mut repeats: SmallVec<[i64; 8]> =
                SmallVec::from_elem(1, c.x(0).ndim().saturating_sub(c.ints(0).len()));
            repeats.extend_from_slice(c.ints(0));
            one(c.x(0).repeat(&repeats)?)
        }),
        onnx: Some("Tile"),
        samples: &["r(2, 2), (2,)", "r(2), (2, 2)"],
    }

    /// Each element of dimension `dim` (of the flattened tensor by default) `repeats` times in a row.
    repeat_interleave_int(input: Tensor, repeats: Int, dim: OptInt = None, output_size: OptInt = None) -> Tensor, Special {
        body: Composite(|c| {
            let x = if c.opt_int(1).is_none() { c.x(0).ravel()? } else { c.x(0).clone() };
            if c.int(0) < 0 {
                bail!(Value, "repeats can not be negative, got {}", c.int(0));
            }
            let d = wrap_dim(c.opt_int(1).unwrap_or(0), x.ndim())?;
            let x = if x.ndim() == 0 { x.reshape(&[1])? } else { x };
            let mut wide = signed(x.shape());
            let mut shape = wide.clone();
            wide.insert(d + 1, c.int(0));
            shape[d] = shape[d].saturating_mul(c.int(0));
            check_output_size(c.opt_int(2), shape[d])?;
            one(apart(&x, x.unsqueeze(d as i64 + 1)?.expand(&wide)?.reshape(&shape)?)?)
        }),
        function: false, method: false,
        samples: &["r(2, 2), 3, 1", "r(2, 2), 2"],
    }

    /// Element `i` of dimension `dim` (of the flattened tensor by default) `repeats[i]` times in a row. `output_size`, if
    /// given, must be the size that comes of it, which is then known without the elements of `repeats`.
    repeat_interleave_tensor(
        input: Tensor, repeats: Tensor, dim: OptInt = None, output_size: OptInt = None
    ) -> Tensor, Special {
        body: Composite(|c| {
            let x = if c.opt_int(0).is_none() { c.x(0).ravel()? } else { c.x(0).clone() };
            let x = if x.ndim() == 0 { x.reshape(&[1])? } else { x };
            let d = wrap_dim(c.opt_int(0).unwrap_or(0), x.ndim())?;
            if let (Some(size), true) = (c.opt_int(1), c.meta) {
                return one(x.index_select(d as i64, &Tensor::empty_with(&[size], Some(DType::I64))?)?);
            }
            check_repeats(c.x(1), 0)?;
            let index = repeated_indices(&c.x(1).to_vec::<i64>()?, x.shape()[d], c.opt_int(1))?;
            one(x.index_select(d as i64, &Tensor::from_slice(&index, &[index.len()])?)?)
        }),
        dynamic: true,
        function: false, method: false,
        samples: &["r(3, 2), i([1, 0, 2]), 0"],
    }

    /// Each index `i` of the vector `repeats`, `repeats[i]` times in a row.
    repeat_interleave_indices(repeats: Tensor, output_size: OptInt = None) -> Tensor, Special {
        body: Dynamic(
            |c| {
                check_repeats(c.x(0), 1)?;
                c.opt_int(0).map(|n| Spec::rows(&sizes(&[n])?, DType::I64)?.one()).transpose()
            },
            |c| {
                check_repeats(c.x(0), 1)?;
                let repeats = contiguous_unlocked(c.x(0), DType::I64, false)?.to_vec_unlocked::<i64>()?;
                let index = repeated_indices(&repeats, repeats.len(), c.opt_int(0))?;
                one(Tensor::from_slice(&index, &[index.len()])?)
            },
        ),
        function: false, method: false,
        refuses: &[Refusal { call: "rt.ones(2, 2, dtype=rt.int64)", message: "repeats must be" }],
    }

    /// Elements moved by `shifts` places along `dims`, those that fall off returning at the other end. Without `dims`
    /// the flattened tensor is rolled.
    roll(input: Tensor, shifts: Ints, dims: Ints = []) -> Tensor, Special {
        body: Kernel(|c| {
            rolls(c)?;
            Spec::rows(c.x(0).shape(), c.x(0).dtype())?.one()
        }, compute_roll),
        vjp: vjp!(|v| v.g().then(|g| {
            let back: SmallVec<[i64; 8]> = v.ints(0).iter().map(|&s| s.wrapping_neg()).collect();
            g.roll(&back, v.ints(1))
        })),
        refuses: &[Refusal { call: "rt.ones(3, 3), (1, 2), (0,)", message: "equal lengths" }],
        samples: &["r(2, 3), (1,), (1,)", "r(2, 3), (2,)", "r(2, 3), (1, -1), (0, 1)"],
        takes: Takes::ALL,
    }

    /// The order of the elements reversed along `dims`.
    flip(input: Tensor, dims: Shape) -> Tensor, Special {
        body: Kernel(|c| {
            flipped(c)?;
            Spec::rows(c.x(0).shape(), c.x(0).dtype())?.one()
        }, compute_flip),
        vjp: vjp!(|v| v.g().then(|g| g.flip(v.ints(0)))),
        samples: &["r(2, 3), (0, 1)", "r(2, 3), (1,)"],
        takes: Takes::COMPLEX,
    }

    /// Columns in reverse order.
    fliplr(input: Tensor) -> Tensor, Special {
        body: Composite(|c| match c.x(0).ndim() {
            0 | 1 => Err(err!(Value, "input must be >= 2-d")),
            _ => one(c.x(0).flip(&[1])?),
        }),

        samples: &["r(2, 3)"],
    }

    /// Rows in reverse order.
    flipud(input: Tensor) -> Tensor, Special {
        body: Composite(|c| match c.x(0).ndim() {
            0 => Err(err!(Value, "input must be >= 1-d")),
            _ => one(c.x(0).flip(&[0])?),
        }),

        samples: &["r(2, 3)"],
    }

    /// Rotated by `k` times 90 degrees in the plane of two dimensions, from the first towards the second.
    rot90(input: Tensor, k: Int = 1, dims: Ints = [0, 1]) -> Tensor, Special {
        body: Composite(eval_rot90),

        samples: &["r(2, 3)", "r(2, 3), -1", "r(2, 3, 2), 3, (1, 2)"],
    }

    /// The lower triangle of each matrix, up to the given diagonal; zero elsewhere.
    tril(input: Tensor, diagonal: Int = 0) -> Tensor, Special {
        body: Kernel(infer_triangle, |c, outs| compute_triangle(c, outs, true)),
        vjp: vjp!(|v| v.g().then(|g| g.tril(v.int(0)))),
        inplace: true, direct: true, onnx: Some("Trilu"),
        refuses: &[Refusal { call: "rt.ones(3)", message: "at least 2 dimensions" }],
        samples: &["r(3, 3), -1", "r(2, 2, 3)"],
        takes: Takes::COMPLEX,
    }

    /// The upper triangle of each matrix, from the given diagonal on; zero elsewhere.
    triu(input: Tensor, diagonal: Int = 0) -> Tensor, Special {
        body: Kernel(infer_triangle, |c, outs| compute_triangle(c, outs, false)),
        vjp: vjp!(|v| v.g().then(|g| g.triu(v.int(0)))),
        inplace: true, direct: true, onnx: Some("Trilu"),
        refuses: &[Refusal { call: "rt.ones(3)", message: "at least 2 dimensions" }],
        samples: &["r(3, 3), 1", "r(2, 2, 3)"],
        takes: Takes::COMPLEX,
    }

    /// `input` with `pad[2 i]` elements put before and `pad[2 i + 1]` after the `i`-th dimension from the last. They are
    /// `value` (0 by default; mode "constant"), mirrored ("reflect"), those at the rim ("replicate") or those from the
    /// other end ("circular"). Negative numbers take elements away.
    pad(input: Tensor, pad: Ints, mode: Str = "constant", value: OptFloat = None) -> Tensor, Special {
        body: Kernel(infer_pad, compute_pad),
        vjp: vjp!(|v| v.g().then(|g| if v.str(1) == "constant" {
            let back: SmallVec<[i64; 8]> = v.ints(0).iter().map(|&p| -p).collect();
            g.pad(&back, "constant", None)
        } else {
            Tensor::pad_backward(g, &v.sizes(0), v.ints(0), v.str(1))
        })),
        onnx: Some("Pad"), function: false, method: false,
        refuses: &[
            Refusal { call: "rt.ones(1, 3), (3, 0), \"reflect\"", message: "less than the corresponding" },
            Refusal { call: "rt.ones(3), (1, 1), \"mirror\"", message: "mode must be" },
        ],
        samples: &[
            "r(2, 3), (1, 2)", "r(2, 3), (1, 1), 'constant', 2.0", "r(2, 3), (-1, 2, 1, 0)", "r(1, 2, 4), (2, 1), 'reflect'",
            "r(1, 2, 4), (2, 1), 'replicate'", "r(1, 2, 4), (2, 1), 'circular'", "r(1, 1, 3, 3), (1, 1, 2, 1), 'reflect'",
        ],
        takes: Takes::ALL,
    }

    /// The transpose of `pad`: each element of `grad` added to the place of `input_sizes` that it was read from.
    pad_backward(grad: Tensor, input_sizes: Ints, pad: Ints, mode: Str) -> Tensor, Special {
        body: Kernel(infer_pad_backward, compute_pad_backward),
        vjp: vjp!(|v| v.g().then(|g| g.pad(v.ints(1), v.str(2), None))),
        function: false, method: false,
        samples: &[
            "r(1, 2, 7), (1, 2, 4), (2, 1), 'constant'", "r(1, 2, 7), (1, 2, 4), (2, 1), 'reflect'",
            "r(1, 2, 7), (1, 2, 4), (2, 1), 'replicate'", "r(1, 2, 7), (1, 2, 4), (2, 1), 'circular'",
            "r(1, 1, 6, 5), (1, 1, 3, 3), (1, 1, 2, 1), 'reflect'",
        ],
        takes: Takes::COMPLEX,
    }

    /// Channels spread over space: `[*, C r^2, H, W]` becomes `[*, C, H r, W r]` (Shi et al. 2016).
    pixel_shuffle(input: Tensor, upscale_factor: Int) -> Tensor, Special {
        body: Composite(|c| eval_shuffle(c, false)),
        onnx: Some("DepthToSpace"), method: false,
        refuses: &[Refusal { call: "rt.ones(1, 3, 2, 2), 2", message: "must divide" }],
        samples: &["r(1, 4, 2, 1), 2"],
    }

    /// `[N, C, *]` with channel `g * (C / groups) + c` moved to `c * groups + g` (Zhang et al. 2017).
    channel_shuffle(input: Tensor, groups: Int) -> Tensor, Special {
        body: Composite(|c| {
            let (x, groups) = (c.x(0), c.int(0));
            if x.ndim() < 3 {
                bail!(Shape, "channel_shuffle expects input with > 2 dims, but got {}", x.ndim());
            }
            let shape: SmallVec<[i64; 8]> = x.shape().iter().map(|&d| d as i64).collect();
            if groups <= 0 || shape[1] % groups != 0 {
                bail!(Value, "channels must be divisible by groups, got {} and {groups}", shape[1]);
            }
            let mut parts = shape.clone();
            parts[1] /= groups;
            parts.insert(1, groups);
            one(x.reshape(&parts)?.transpose(1, 2)?.duplicate()?.reshape(&shape)?)
        }),
        method: false,
        refuses: &[Refusal { call: "rt.ones(1, 3, 2), 2", message: "must be divisible by groups" }],
        samples: &["r(1, 4, 2), 2", "r(2, 6, 1, 2), 3"],
    }

    /// Space gathered into channels: `[*, C, H r, W r]` becomes `[*, C r^2, H, W]`.
    pixel_unshuffle(input: Tensor, downscale_factor: Int) -> Tensor, Special {
        body: Composite(|c| eval_shuffle(c, true)),
        onnx: Some("SpaceToDepth"), method: false,
        samples: &["r(1, 1, 4, 2), 2"],
    }

    /// Dimensions of size 1 repeated to `size` without copying; `expand` as a function.
    broadcast_to(input: Tensor, size: Shape) -> Tensor, Special {
        body: Composite(|c| one(c.x(0).expand(c.ints(0))?)),
        onnx: Some("Expand"),
        samples: &["r(2, 1), (3, 2, 2)"],
    }

    /// All tensors with the shape that they broadcast to; views.
    broadcast_tensors(tensors: Tensors) -> List, Special {
        body: Composite(|c| {
            let shape = signed(&common_shape(c)?);
            several(c.inputs.len(), |i| c.x(i).expand(&shape))
        }),
        method: false,
        samples: &["[r(2, 1), r(3)]"],
    }

    /// At least one dimension.
    atleast_1d(input: Tensor) -> Tensor, Special {
        body: Composite(|c| one(at_least(c.x(0), 1)?)),
        method: false,
        samples: &["r()", "r(2)", "r(2, 2)"],
    }

    /// At least two dimensions, new ones in front.
    atleast_2d(input: Tensor) -> Tensor, Special {
        body: Composite(|c| one(at_least(c.x(0), 2)?)),
        method: false,
        samples: &["r()", "r(2)", "r(2, 2)"],
    }

    /// At least three dimensions: `[n]` becomes `[1, n, 1]`, `[m, n]` becomes `[m, n, 1]`.
    atleast_3d(input: Tensor) -> Tensor, Special {
        body: Composite(|c| one(at_least(c.x(0), 3)?)),
        method: false,
        samples: &["r()", "r(2)", "r(2, 2)"],
    }

    /// The coordinates of a grid: tensor `i` varies along dimension `i` ("ij"; with "xy" the first two are exchanged).
    meshgrid(tensors: Tensors, indexing: Str = "ij") -> List, Special {
        body: Composite(eval_meshgrid),
        method: false,
        refuses: &[Refusal { call: "[rt.ones(2)], \"ji\"", message: "indexing must be" }],
        samples: &["[r(2), r(3)]", "[r(2), r(3)], 'xy'"],
    }

    /// All combinations of the elements of 1-d tensors, one per row.
    cartesian_prod(tensors: Tensors) -> Tensor, Special {
        body: Composite(|c| {
            if let Some(x) = c.inputs.iter().flatten().find(|x| x.ndim() != 1) {
                bail!(Value, "expected 1-d vectors, got shape {:?}", x.shape());
            }
            match c.inputs.len() {
                0 => Err(err!(Value, "expected a non-empty list of tensors")),
                1 => one(c.x(0).clone()),
                _ => {
                    let flat = List::try_collect(Tensor::meshgrid(&owned(c)?, "ij")?.iter().map(Tensor::ravel))?;
                    one(Tensor::stack(&flat, 1)?)
                }
            }
        }),
        method: false,
        samples: &["[r(2), r(3)]", "[r(2)]"],
    }

    /// All combinations of `r` elements of a vector in the order of their places, one per row; an element may occur
    /// repeatedly in one if `with_replacement`.
    combinations(input: Tensor, r: Int = 2, with_replacement: Bool = false) -> Tensor, Special {
        body: Composite(|c| {
            let x = c.x(0);
            if x.ndim() != 1 {
                bail!(Shape, "expected a 1-d vector, got shape {:?}", x.shape());
            }
            if c.int(0) < 0 {
                bail!(Value, "r must be non-negative, got {}", c.int(0));
            }
            if c.int(0) == 0 {
                return one(Tensor::empty_with(&[0], Some(x.dtype()))?);
            }
            let places = Tensor::combination_indices(x.numel() as i64, c.int(0), c.bool(1))?;
            one(x.index_select(0, &places.ravel()?)?.reshape(&signed(places.shape()))?)
        }),
        method: false,
        refuses: &[
            Refusal { call: "rt.ones(2, 2)", message: "expected a 1-d vector" },
            Refusal { call: "rt.ones(2), -1", message: "non-negative" },
        ],
        samples: &["r(4)", "r(3), 3", "r(3), 2, True"],
    }

    /// `input` summed to a shape that broadcasts to its own.
    sum_to_size(input: Tensor, size: Shape) -> Tensor, Special {
        body: Composite(|c| {
            let (x, size) = (c.x(0), sizes(c.ints(0))?);
            if size.is_empty() {
                return one(x.sum(None, false, None)?);
            }
            let lead = x.ndim().checked_sub(size.len());
            let Some(lead) = lead.filter(|&l| size.iter().zip(&x.shape()[l..]).all(|(&n, &have)| n == 1 || n == have)) else {
                let message = format!("{size:?} cannot be expanded to {:?}", x.shape());
                return Err(Error::shapes("", message, &size, x.shape()));
            };
            let within = (0..size.len()).filter(|&i| size[i] != x.shape()[lead + i]);
            let dims: SmallVec<[i64; 8]> = (0..lead).chain(within.map(|i| lead + i)).map(|d| d as i64).collect();
            let sums = if dims.is_empty() { x.clone() } else { x.sum(Some(&dims), true, None)? };
            one(sums.reshape(&signed(&size))?)
        }),
        function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), (2, 2)", message: "cannot be expanded" }],
        samples: &["r(2, 3), (1, 3)", "r(2, 3), (2, 1)", "r(2, 3), (3,)", "r(2, 3), ()", "r(2, 3), (2, 3)"],
    }

    /// Class numbers as rows of zeros with a one at that place: `[*]` becomes `[*, num_classes]` of int64. With -1 there
    /// are as many classes as the largest number asks for.
    one_hot(input: Tensor, num_classes: Int = -1) -> Tensor, Special {
        body: Dynamic(infer_one_hot, eval_one_hot),
        onnx: Some("OneHot"), function: false, method: false,
        refuses: &[Refusal { call: "rt.tensor([3]), 3", message: "smaller than num_classes" }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(shape: &[usize]) -> Tensor {
        let v: Vec<f64> = (0..shape.iter().product::<usize>()).map(|i| i as f64).collect();
        Tensor::from_slice(&v, shape).unwrap()
    }

    #[test]
    fn padding_and_its_transpose() {
        let x = numbers(&[1, 4]);
        for (mode, want) in [
            ("constant", [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 0.0]),
            ("reflect", [2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0]),
            ("replicate", [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0]),
            ("circular", [2.0, 3.0, 0.0, 1.0, 2.0, 3.0, 0.0]),
        ] {
            assert_eq!(x.pad(&[2, 1], mode, None).unwrap().to_vec::<f64>().unwrap(), want);
            let ones = Tensor::filled(&[1, 7], Scalar::Int(1), DType::F64).unwrap();
            let back = Tensor::pad_backward(&ones, &[1, 4], &[2, 1], mode).unwrap();
            let total: f64 = back.to_vec::<f64>().unwrap().iter().sum();
            assert_eq!(total, if mode == "constant" { 4.0 } else { 7.0 });
        }
        assert_eq!(x.pad(&[-1, -3, 1, 0], "constant", None).unwrap().shape(), [2, 0]);
    }

    #[test]
    fn gradients_of_views_add_up() {
        let x = numbers(&[5]);
        x.set_requires_grad(true).unwrap();
        x.unfold(0, 3, 1).unwrap().sum(None, false, None).unwrap().backward().unwrap();
        assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [1.0, 2.0, 3.0, 2.0, 1.0]);
        x.set_grad(None).unwrap();
        x.as_strided(&[2, 3], &[1, 1], Some(1)).unwrap().sum(None, false, None).unwrap().backward().unwrap();
        assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [0.0, 1.0, 2.0, 2.0, 1.0]);
        x.set_grad(None).unwrap();
        x.slice(0, Some(-4), None, 2).unwrap().sum(None, false, None).unwrap().backward().unwrap();
        assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [0.0, 1.0, 0.0, 1.0, 0.0]);
    }
}
