//! Views: shapes, parts and orders of the same elements, and their gradients.

use crate::{bail, err};
use crate::dtype::{DType, Scalar, dispatch_all};
use crate::engine::copy::{contiguous_unlocked, copy_into, fill_new, filled_by};
use crate::error::{Error, Result};
use crate::kernels::index as kernel;
use crate::shape::{Dims, Layout, Strides, around, contiguous_strides, counts, infer_sizes, real_dim, signed, sizes, wrap_dim, wrap_dims};
use crate::storage::Storage;
use crate::table::{Call, Outs, Refusal, Relayout, Spec, Specs, Takes, made, one};
use crate::tensor::{Tensor, check_bounds};
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

ops! {
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
