//! Repeating, turning, padding and shuffling of elements.

use crate::{bail, err};
use crate::dtype::{DType, Scalar, dispatch_all};
use crate::engine::copy::{contiguous_unlocked, fill_new, written_as};
use crate::error::{Error, Result};
use crate::kernels::{copy, index as kernel};
use crate::memory::List;
use crate::shape::{Dims, Layout, Strides, counts, real_dim, signed, sizes, wrap_dim, wrap_dims};
use crate::table::{Call, Outs, Refusal, Spec, Specs, Takes, Vjp, one, several};
use crate::table::lang::{Ex, at_least};
use crate::tensor::Tensor;
use smallvec::SmallVec;

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

ops! {
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
