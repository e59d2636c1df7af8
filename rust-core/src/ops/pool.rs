//! Pooling over the last one, two or three dimensions.

use crate::bail;
use crate::autograd::wanted;
use crate::dtype::{DType, Scalar};
use crate::engine::copy::{contiguous_unlocked, copy_into, written_as};
use crate::engine::dtypes::{compute, ready, supported};
use crate::engine::windows::{per_dim, planes};
use crate::error::{Error, Result};
use crate::funnel::listener;
use crate::kernels::pool::{Windows, self};
use crate::memory::List;
use crate::shape::{Dims, checked_numel, sizes};
use crate::table::{Call, Outs, Refusal, Saves, Spec, Specs, one, Cast};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// [`planes`], none of which may be without channels: only the batch may be empty.
fn pooled_planes(shape: &[usize], n: usize) -> Result<(usize, [usize; 3])> {
    let planes = planes(shape, n)?;
    if shape[shape.len() - n - 1] == 0 {
        bail!(Shape, "expected input with channels, only the batch may be empty, but got {shape:?}");
    }
    Ok(planes)
}

/// The pools' attributes.
struct Pool {
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
    dilation: [usize; 3],
    ceil: bool,
}

impl Pool {
    fn new(n: usize, kernel: &[i64], stride: &[i64], padding: &[i64], dilation: &[i64], ceil: bool) -> Result<Pool> {
        let kernel = per_dim(kernel, n, 1, 1, "kernel_size")?;
        let padding: [usize; 3] = per_dim(padding, n, 0, 0, "padding")?;
        for d in 3 - n..3 {
            if 2 * padding[d] > kernel[d] {
                bail!(
                    Value,
                    "pad should be at most half of effective kernel size, but got pad={} and kernel_size={}",
                    padding[d],
                    kernel[d]
                );
            }
        }
        Ok(Pool {
            kernel,
            stride: if stride.is_empty() { kernel } else { per_dim(stride, n, 1, 1, "stride")? },
            padding,
            dilation: per_dim(dilation, n, 1, 1, "dilation")?,
            ceil,
        })
    }

    /// The number of windows along dimension `d` of size `n`.
    fn count(&self, d: usize, n: usize) -> Result<usize> {
        let (k, s, p, step) = (self.kernel[d], self.stride[d], self.padding[d], self.dilation[d]);
        let reach = step * (k - 1) + 1;
        let room = n + 2 * p;
        if room < reach && !(self.ceil && room + s > reach) {
            bail!(
                Shape,
                "a window of {reach} does not fit into a dimension of size {n} with padding {p}: \
                the output size would be too small"
            );
        }
        let mut count = (room + if self.ceil { s - 1 } else { 0 } - reach) / s + 1;
        if self.ceil && (count - 1) * s >= n + p {
            count -= 1;
        }
        Ok(count)
    }

    fn counts(&self, size: [usize; 3]) -> Result<[usize; 3]> {
        Ok([self.count(0, size[0])?, self.count(1, size[1])?, self.count(2, size[2])?])
    }

    /// The windows of `planes` planes along dimension `d` of size `n`. Averages count the padding in if `include_pad`.
    fn windows(&self, planes: usize, d: usize, n: usize, include_pad: bool) -> Result<Windows> {
        let (k, s, p, step) = (self.kernel[d], self.stride[d], self.padding[d], self.dilation[d]);
        let count = self.count(d, n)?;
        let mut w = Windows { count, at: List::new(), step, divisor: List::new() };
        for o in 0..if planes > 0 { count } else { 0 } {
            // Window elements are at `o * s - p + i * step`; those inside are `low..high` of the `k`.
            let start = (o * s) as isize - p as isize;
            let low = if start < 0 { (-start) as usize } else { 0 }.div_ceil(step);
            let high = if start >= n as isize { 0 } else { ((n as isize - 1 - start) as usize / step + 1).min(k) };
            let (first, inside) = ((start + (low * step) as isize) as usize, high.saturating_sub(low));
            w.at.push((first, inside))?;
            let with_pad = (start + k as isize).min((n + p) as isize) - start;
            // A window that sees nothing gives 0.
            w.divisor.push(if include_pad { with_pad as f64 } else { inside.max(1) as f64 })?;
        }
        Ok(w)
    }
}

/// The windows of adaptive pools: output `o` of `count` sees the part from `o / count` to `(o + 1) / count`.
fn adaptive(planes: usize, n: usize, count: usize) -> Result<Windows> {
    let mut w = Windows { count, at: List::new(), step: 1, divisor: List::new() };
    for o in 0..if planes > 0 { count } else { 0 } {
        let place = |o: usize| (o as u128 * n as u128, count as u128);
        let first = { let (at, c) = place(o); at / c } as usize;
        let end = { let (at, c) = place(o + 1); at.div_ceil(c) } as usize;
        w.at.push((first, end - first))?;
        w.divisor.push((end - first) as f64)?;
    }
    Ok(w)
}

/// The number of windows per dimension of an adaptive pool.
fn adaptive_counts(output_size: &[i64], n: usize) -> Result<[usize; 3]> {
    per_dim(output_size, n, 1, 0, "output_size")
}

fn adaptive_windows(out: [usize; 3], (planes, size): (usize, [usize; 3])) -> Result<[Windows; 3]> {
    // Of an empty result nothing is looked at.
    let planes = planes * out.iter().map(|&n| n.min(1)).product::<usize>();
    Ok([adaptive(planes, size[0], out[0])?, adaptive(planes, size[1], out[1])?, adaptive(planes, size[2], out[2])?])
}

/// `shape` with the numbers of windows in the last `n` dimensions.
fn pooled_shape(shape: &[usize], n: usize, counts: [usize; 3]) -> Dims {
    let mut out = Dims::from_slice(&shape[..shape.len() - n]);
    out.extend_from_slice(&counts[3 - n..]);
    out
}

/// The largest elements of so many windows, and their places.
fn max_specs(x: &Tensor, n: usize, counts: [usize; 3], indices: bool) -> Result<Specs> {
    let shape = pooled_shape(x.shape(), n, counts);
    let mut specs = Spec::rows(&shape, x.dtype())?.one()?;
    if indices {
        specs.push(Spec::rows(&shape, DType::I64)?);
    }
    Ok(specs)
}

fn max_pool(x: &Tensor, n: usize, [deep, rows, cols]: [Windows; 3], outs: &[Tensor]) -> Result<()> {
    let (count, size) = planes(x.shape(), n)?;
    let x1 = ready(x)?;
    let at = outs.get(1).map_or(std::ptr::null_mut(), |t| t.ptr());
    written_as(&outs[0], x1.dtype(), |out| {
        compute!(x1.dtype(), T => pool::max_pool::<T>(count, size, [&deep, &rows, &cols], x1.ptr(), out.ptr(), at))
    })
}

/// The max pool of a call over `n` dimensions.
fn max_attributes(c: &Call, n: usize) -> Result<Pool> {
    Pool::new(n, c.ints(0), c.ints(1), c.ints(2), c.ints(3), c.bool(4))
}

fn infer_max_pool(c: &Call, n: usize, indices: bool) -> Result<Specs> {
    let (_, size) = pooled_planes(c.x(0).shape(), n)?;
    if c.x(0).dtype() == DType::Bool {
        bail!(DType, "not implemented for dtype bool");
    }
    max_specs(c.x(0), n, max_attributes(c, n)?.counts(size)?, indices)
}

fn compute_max_pool(c: &Call, n: usize, outs: &[Tensor]) -> Result<()> {
    let (planes, size) = planes(c.x(0).shape(), n)?;
    let p = max_attributes(c, n)?;
    let windows = |d: usize| p.windows(planes, d, size[d], false);
    max_pool(c.x(0), n, [windows(0)?, windows(1)?, windows(2)?], outs)
}

/// Max pools without indices: autograd needs them, inference does not. A listener is told the same parts either way.
fn eval_max_pool_only(c: &Call, n: usize) -> Result<Outs> {
    let x = c.x(0);
    let (k, s, p, d, ceil) = (c.ints(0), c.ints(1), c.ints(2), c.ints(3), c.bool(4));
    if !wanted(&[Some(x)]) && !listener::hears() {
        return one(x.max_pool_values(k, s, p, d, ceil, n as i64)?);
    }
    let mut outs = match n {
        1 => x.max_pool1d_with_indices(k, Some(s), p, d, ceil)?,
        2 => x.max_pool2d_with_indices(k, Some(s), p, d, ceil)?,
        _ => x.max_pool3d_with_indices(k, Some(s), p, d, ceil)?,
    };
    outs.truncate(1);
    Ok(outs)
}

fn infer_adaptive_max(c: &Call, n: usize) -> Result<Specs> {
    pooled_planes(c.x(0).shape(), n)?;
    max_specs(c.x(0), n, adaptive_counts(c.ints(0), n)?, true)
}

fn compute_adaptive_max(c: &Call, n: usize, outs: &[Tensor]) -> Result<()> {
    let windows = adaptive_windows(adaptive_counts(c.ints(0), n)?, planes(c.x(0).shape(), n)?)?;
    max_pool(c.x(0), n, windows, outs)
}

macro_rules! max_pool_rule {
    ($n:literal) => {
        vjp!(|v| v.g().with(v.yk(1), |g, i| Tensor::max_pool_grad(g, i, &v.sizes(0), $n)))
    };
}

fn want_int64(index: &Tensor) -> Result<()> {
    if index.dtype() != DType::I64 {
        bail!(DType, "indices must be int64, got {}", index.dtype());
    }
    Ok(())
}

/// The indices, row-major. Each must lie in a plane of `size` elements, or be -1, which names no place.
fn checked_indices(index: &Tensor, size: usize) -> Result<Tensor> {
    let index = contiguous_unlocked(index, DType::I64, false)?;
    // SAFETY: row-major int64.
    let all = unsafe { std::slice::from_raw_parts(index.ptr::<i64>(), index.numel()) };
    match all.iter().find(|&&i| i < -1 || i >= size as i64) {
        Some(i) => bail!(Index, "index {i} is out of range for a plane of {size} elements"),
        None => Ok(index),
    }
}

/// Sizes of a fractional pool: planes, what they are, windows, and how many of those.
struct Fractional {
    count: usize,
    size: [usize; 3],
    kernel: [usize; 3],
    out: [usize; 3],
}

fn fractional(c: &Call, n: usize) -> Result<Fractional> {
    let (x, random) = (c.x(0), c.x(1));
    let (count, size) = pooled_planes(x.shape(), n)?;
    supported(x.dtype())?;
    let kernel = per_dim(c.ints(0), n, 1, 1, "kernel_size")?;
    let out: [usize; 3] = per_dim(c.ints(1), n, 1, 1, "output_size")?;
    for d in 3 - n..3 {
        if out[d] + kernel[d] > size[d] + 1 {
            bail!(Shape, "pool size {kernel:?} and output size {out:?} are too large for the input's {size:?}");
        }
    }
    let lead = x.ndim() - n;
    let batch = if lead == 2 { x.shape()[0] } else { 1 };
    if random.shape() != [batch, x.shape()[lead - 1], n] || random.dtype() != x.dtype() {
        bail!(
            Shape,
            "expected random samples of shape {:?} and the input's dtype, got {:?} of {}",
            [batch, x.shape()[lead - 1], n],
            random.shape(),
            random.dtype()
        );
    }
    Ok(Fractional { count, size, kernel, out })
}

fn infer_fractional(c: &Call, n: usize) -> Result<Specs> {
    let f = fractional(c, n)?;
    let mut shape = c.x(0).dims();
    let lead = shape.len() - n;
    shape[lead..].copy_from_slice(&f.out[3 - n..]);
    Ok(Specs::from_iter([Spec::rows(&shape, c.x(0).dtype())?, Spec::rows(&shape, DType::I64)?]))
}

/// Where the windows begin (Graham 2014, section 2): steps of two sizes, from a random number of [0, 1).
fn fractional_starts(random: f64, n: usize, out: usize, kernel: usize, single: bool) -> Result<List<usize>> {
    let rounded = |v: f64| if single { f64::from(v as f32) } else { v };
    let alpha = if out > 1 { rounded((n - kernel) as f64 / (out - 1) as f64) } else { 0.0 };
    let place = |i: usize| rounded(rounded(i as f64 + random) * alpha) as usize;
    List::collect((0..out).map(|i| if i + 1 == out { n - kernel } else { (place(i) - place(0)).min(n - kernel) }))
}

fn compute_fractional(c: &Call, n: usize, outs: &[Tensor]) -> Result<()> {
    let f = fractional(c, n)?;
    let (x, single) = (ready(c.x(0))?, c.x(0).dtype() != DType::F64);
    let random = c.x(1).to_vec_unlocked::<f64>()?;
    if random.iter().any(|r| !(0.0..=1.0).contains(r)) {
        bail!(Value, "random samples must lie between 0 and 1");
    }
    let (area, places) = (f.size.iter().product::<usize>(), f.out.iter().product::<usize>());
    let values = x.to_vec_unlocked::<f64>()?;
    let (mut best, mut index) = (List::with_room(f.count * places)?, List::with_room(f.count * places)?);
    for plane in 0..f.count {
        let x = &values[plane * area..(plane + 1) * area];
        let random = |d: usize| random[plane * n + if n == 2 { 2 - d } else { d }];
        let starts = |d: usize| {
            let r = if d + n < 3 { 0.0 } else { random(d) };
            fractional_starts(r, f.size[d], f.out[d], f.kernel[d], single)
        };
        let starts = [starts(0)?, starts(1)?, starts(2)?];
        for &t in starts[0].iter() {
            for &h in starts[1].iter() {
                for &w in starts[2].iter() {
                    let (mut most, mut at) = (f64::NEG_INFINITY, (t * f.size[1] + h) * f.size[2] + w);
                    for i in t..t + f.kernel[0] {
                        for j in h..h + f.kernel[1] {
                            for k in w..w + f.kernel[2] {
                                let place = (i * f.size[1] + j) * f.size[2] + k;
                                if x[place] > most || x[place].is_nan() {
                                    (most, at) = (x[place], place);
                                }
                            }
                        }
                    }
                    best.push(most)?;
                    index.push(at as i64)?;
                }
            }
        }
    }
    copy_into(&outs[0], &Tensor::from_slice(&best, outs[0].shape())?)?;
    copy_into(&outs[1], &Tensor::from_slice(&index, outs[1].shape())?)
}

/// The means of so many windows.
fn infer_average(x: &Tensor, n: usize, counts: [usize; 3]) -> Result<Specs> {
    let spec = Spec::rows(&pooled_shape(x.shape(), n, counts), x.dtype())?;
    supported(x.dtype())?;
    spec.one()
}

fn compute_average(x: &Tensor, n: usize, [deep, rows, cols]: [Windows; 3], outs: &[Tensor]) -> Result<()> {
    let (count, size) = planes(x.shape(), n)?;
    let x1 = ready(x)?;
    written_as(&outs[0], x1.dtype(), |out| {
        compute!(x.dtype(), T => pool::avg_pool::<T>(count, size, [&deep, &rows, &cols], x1.ptr(), out.ptr()))
    })
}

/// The gradient of an average pool with respect to its input, whose shape is attribute 0; `counts` gives the numbers of
/// windows from its sizes.
fn infer_average_grad(
    c: &Call,
    n: usize,
    counts: impl FnOnce([usize; 3]) -> Result<[usize; 3]>,
) -> Result<Specs> {
    let (g, shape) = (c.x(0), sizes(c.ints(0))?);
    let (_, size) = planes(&shape, n)?;
    if g.shape() != pooled_shape(&shape, n, counts(size)?).as_slice() {
        return Err(Error::shapes(
            "",
            format!("a gradient of shape {:?} does not fit input {shape:?}", g.shape()),
            g.shape(),
            &shape,
        ));
    }
    supported(g.dtype())?;
    Spec::rows(&shape, g.dtype())?.one()
}

fn compute_average_grad(g: &Tensor, n: usize, [deep, rows, cols]: [Windows; 3], outs: &[Tensor]) -> Result<()> {
    let (count, size) = planes(outs[0].shape(), n)?;
    let g1 = ready(g)?;
    written_as(&outs[0], g1.dtype(), |gx| {
        compute!(g.dtype(), T => pool::avg_pool_grad::<T>(count, size, [&deep, &rows, &cols], g1.ptr(), gx.ptr()))
    })
}

/// An average pool: `divisor` overrides what the sums are divided by.
struct Average {
    pool: Pool,
    include_pad: bool,
    divisor: Option<i64>,
}

impl Average {
    /// From the attributes from `k` on.
    fn of(c: &Call, k: usize, n: usize) -> Result<Average> {
        Ok(Average {
            pool: Pool::new(n, c.ints(k), c.ints(k + 1), c.ints(k + 2), &[1], c.bool(k + 3))?,
            include_pad: c.bool(k + 4),
            divisor: if k + 5 < c.attrs.len() { c.opt_int(k + 5) } else { None },
        })
    }

    fn counts(&self, size: [usize; 3]) -> Result<[usize; 3]> {
        let counts = self.pool.counts(size)?;
        if self.divisor == Some(0) {
            bail!(Value, "divisor_override must not be zero");
        }
        Ok(counts)
    }

    fn windows(&self, (planes, size): (usize, [usize; 3])) -> Result<[Windows; 3]> {
        let windows = |d: usize| self.pool.windows(planes, d, size[d], self.include_pad);
        let mut w = [windows(0)?, windows(1)?, windows(2)?];
        if let Some(d) = self.divisor {
            w[0].divisor.fill(d as f64);
            w[1].divisor.fill(1.0);
            w[2].divisor.fill(1.0);
        }
        Ok(w)
    }
}

fn infer_avg_pool(c: &Call, n: usize) -> Result<Specs> {
    let (_, size) = pooled_planes(c.x(0).shape(), n)?;
    infer_average(c.x(0), n, Average::of(c, 0, n)?.counts(size)?)
}

fn compute_avg_pool(c: &Call, n: usize, outs: &[Tensor]) -> Result<()> {
    let windows = Average::of(c, 0, n)?.windows(planes(c.x(0).shape(), n)?)?;
    compute_average(c.x(0), n, windows, outs)
}

fn infer_adaptive_avg(c: &Call, n: usize) -> Result<Specs> {
    planes(c.x(0).shape(), n)?;
    infer_average(c.x(0), n, adaptive_counts(c.ints(0), n)?)
}

fn compute_adaptive_avg(c: &Call, n: usize, outs: &[Tensor]) -> Result<()> {
    let windows = adaptive_windows(adaptive_counts(c.ints(0), n)?, planes(c.x(0).shape(), n)?)?;
    compute_average(c.x(0), n, windows, outs)
}

/// [`adaptive_counts`] of the pool that a call has the gradient of.
fn adaptive_grad_counts(c: &Call, n: usize) -> Result<[usize; 3]> {
    let g = c.x(0).shape();
    let out: SmallVec<[i64; 2]> = g[g.len() - n..].iter().map(|&d| d as i64).collect();
    adaptive_counts(&out, n)
}

/// Attribute `k` as the number of dimensions that are pooled.
fn rank(c: &Call, k: usize) -> usize {
    match c.int(k) {
        1 => 1,
        2 => 2,
        _ => 3,
    }
}

/// Elements put back where a max pool has found them; among those of one place the last one counts.
fn eval_unpool(c: &Call, n: usize) -> Result<Outs> {
    let (x, index) = (c.x(0), c.x(1));
    let shape = x.shape();
    if shape.len() != n + 1 && shape.len() != n + 2 {
        bail!(Shape, "expected {}D or {}D input, got shape {shape:?}", n + 1, n + 2);
    }
    if index.shape() != shape {
        bail!(Shape, "indices must have the input's shape {shape:?}, got {:?}", index.shape());
    }
    if index.dtype() != DType::I64 {
        bail!(DType, "elements in indices should be type int64 but got: {}", index.dtype());
    }
    if shape[shape.len() - n - 1..].contains(&0) {
        bail!(Shape, "only the batch may be empty, got shape {shape:?}");
    }
    let wanted: [usize; 3] = per_dim(c.ints(0), n, 1, 1, "output_size")?;
    let out = pooled_shape(shape, n, wanted);
    let area = checked_numel(&wanted)?;
    let mut flat: SmallVec<[i64; 8]> = shape[..shape.len() - n].iter().map(|&d| d as i64).collect();
    let mut list = flat.clone();
    flat.push(area as i64);
    list.push(checked_numel(&shape[shape.len() - n..])? as i64);
    let zeros = Tensor::zeros_with(&flat, Some(x.dtype()))?;
    let out: SmallVec<[i64; 8]> = out.iter().map(|&d| d as i64).collect();
    one(zeros.scatter(-1, &index.reshape(&list)?, &x.reshape(&list)?)?.reshape(&out)?)
}

/// Norms of windows, which are means of powers; of infinite order the largest or the smallest magnitude.
fn eval_lp_pool(c: &Call, n: usize) -> Result<Outs> {
    let (x, p, kernel, stride, ceil) = (c.x(0), c.float(0), c.ints(1), c.opt_ints(2), c.bool(3));
    if p == 0.0 {
        bail!(Value, "ZeroDivisionError: norm_type must not be 0");
    }
    if p.is_infinite() {
        let signed = |t: &Tensor| if p < 0.0 { t.neg() } else { Ok(t.clone()) };
        let x = signed(&x.abs()?)?;
        return one(signed(&match n {
            1 => x.max_pool1d(kernel, stride, &[0], &[1], ceil)?,
            2 => x.max_pool2d(kernel, stride, &[0], &[1], ceil)?,
            _ => x.max_pool3d(kernel, stride, &[0], &[1], ceil)?,
        })?);
    }
    let number = |v: f64| Tensor::number(Scalar::Float(v));
    let powers = x.pow(&number(p)?)?;
    let mean = match n {
        1 => powers.avg_pool1d(kernel, stride, &[0], ceil, true)?,
        2 => powers.avg_pool2d(kernel, stride, &[0], ceil, true, None)?,
        _ => powers.avg_pool3d(kernel, stride, &[0], ceil, true, None)?,
    };
    let sizes: [usize; 3] = per_dim(kernel, n, 1, 1, "kernel_size")?;
    let many: f64 = sizes.iter().map(|&k| k as f64).product();
    one(mean.sign()?.mul(&mean.abs()?.relu()?)?.mul(&number(many)?)?.pow(&number(1.0 / p)?)?)
}

fn eval_local_response_norm(c: &Call) -> Result<Outs> {
    let (x, size) = (c.x(0), c.int(0));
    if x.ndim() < 3 {
        bail!(Shape, "Expected 3D or higher dimensionality input (got {} dimensions)", x.ndim());
    }
    if size < 1 {
        bail!(Value, "size must be positive, got {size}");
    }
    if x.numel() == 0 {
        return one(x.clone());
    }
    let number = |v: f64| Tensor::number(Scalar::Float(v));
    let [n, channels] = [x.shape()[0], x.shape()[1]].map(|d| d as i64);
    let square = x.square()?.reshape(&[n, 1, channels, -1])?;
    let padded = square.pad(&[0, 0, size / 2, (size - 1) / 2], "constant", None)?;
    let mean = padded.avg_pool2d(&[size, 1], Some(&[1]), &[0], false, true, None)?;
    let scale = mean.mul(&number(c.float(1))?)?.add(&number(c.float(3))?, 1)?.pow(&number(c.float(2))?)?;
    let shape: SmallVec<[i64; 8]> = x.shape().iter().map(|&d| d as i64).collect();
    one(x.div(&scale.reshape(&shape)?, "")?)
}

ops! {
    /// The largest element of each window of `kernel_size`, `stride` apart (by default the kernel size), over the last
    /// dimension. NaN is larger than any number.
    max_pool1d(
        input: Tensor, kernel_size: Ints, stride: OptInts = None, padding: Ints = 0, dilation: Ints = 1, ceil_mode: Bool = false
    ) -> Tensor, Special {
        body: Composite(|c| eval_max_pool_only(c, 1)),
        method: false, onnx: Some("MaxPool"),
        samples: &["r(1, 2, 6), 2", "r(1, 2, 6), 3, 2, 1, 1, True", "r(1, 6), 2, 1, 0, 2"],
    }

    /// The largest element of each window over the last two dimensions.
    max_pool2d(
        input: Tensor, kernel_size: Ints, stride: OptInts = None, padding: Ints = 0, dilation: Ints = 1, ceil_mode: Bool = false
    ) -> Tensor, Special {
        body: Composite(|c| eval_max_pool_only(c, 2)),
        method: false, onnx: Some("MaxPool"),
        refuses: &[Refusal { call: "rt.ones(1, 1, 4, 4), 2, 2, 2", message: "pad should be at most half" }],
        samples: &["r(1, 2, 4, 4), 2", "r(1, 1, 4, 5), (2, 3), (1, 2), (1, 1), 1, True"],
    }

    /// The largest element of each window over the last three dimensions.
    max_pool3d(
        input: Tensor, kernel_size: Ints, stride: OptInts = None, padding: Ints = 0, dilation: Ints = 1, ceil_mode: Bool = false
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| eval_max_pool_only(c, 3)),
        method: false, onnx: Some("MaxPool"),
        refuses: &[Refusal { call: "rt.ones(1, 1, 4, 4, 4), 2, 2, 2", message: "pad should be at most half" }],
        samples: &["r(1, 2, 2, 4, 2), 2", "r(1, 3, 2, 5), (2, 1, 3), (1, 1, 2), (1, 0, 1), 1, True"],
    }

    /// Max pools over the last `rank` dimensions, without a gradient.
    max_pool_values(
        input: Tensor, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: Bool, rank: Int
    ) -> Tensor, Special {
        body: Kernel(|c| infer_max_pool(c, rank(c, 5), false), |c, outs| compute_max_pool(c, rank(c, 5), outs)),
        method: false, function: false,
    }

    /// [`max_pool1d`], and the places of the elements in the last dimension (int64).
    max_pool1d_with_indices(
        input: Tensor, kernel_size: Ints, stride: OptInts = None, padding: Ints = 0, dilation: Ints = 1, ceil_mode: Bool = false
    ) -> Pair, Special {
        body: Kernel(|c| infer_max_pool(c, 1, true), |c, outs| compute_max_pool(c, 1, outs)),
        vjp: max_pool_rule!(1), saves: Saves::OUTPUT,
        method: false,
        samples: &["r(1, 2, 6), 2", "r(1, 2, 6), 3, 2, 1, 1, True"],
    }

    /// [`max_pool2d`], and the places of the elements in their planes (int64, row-major).
    max_pool2d_with_indices(
        input: Tensor, kernel_size: Ints, stride: OptInts = None, padding: Ints = 0, dilation: Ints = 1, ceil_mode: Bool = false
    ) -> Pair, Special {
        body: Kernel(|c| infer_max_pool(c, 2, true), |c, outs| compute_max_pool(c, 2, outs)),
        vjp: max_pool_rule!(2), saves: Saves::OUTPUT,
        method: false,
        samples: &["r(1, 2, 4, 4), 2", "r(1, 1, 4, 5), (2, 3), (1, 2), (1, 1), 1, True"],
    }

    /// [`max_pool3d`], and the places of the elements in their planes (int64, row-major).
    max_pool3d_with_indices(
        input: Tensor, kernel_size: Ints, stride: OptInts = None, padding: Ints = 0, dilation: Ints = 1, ceil_mode: Bool = false
    ) -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(|c| infer_max_pool(c, 3, true), |c, outs| compute_max_pool(c, 3, outs)),
        vjp: max_pool_rule!(3), saves: Saves::OUTPUT,
        method: false,
        samples: &["r(1, 2, 2, 4, 2), 2", "r(1, 3, 2, 5), (2, 1, 3), (1, 1, 2), (1, 0, 1), 1, True"],
    }

    /// The largest element of each of `output_size` parts of the last dimension, and their places.
    adaptive_max_pool1d(input: Tensor, output_size: Ints) -> Pair, Special {
        body: Kernel(|c| infer_adaptive_max(c, 1), |c, outs| compute_adaptive_max(c, 1, outs)),
        vjp: max_pool_rule!(1), saves: Saves::OUTPUT,
        method: false,
        samples: &["r(1, 2, 5), 2", "r(1, 2, 5), 1"],
    }

    /// The largest element of each of `output_size` parts of the last two dimensions, and their places.
    adaptive_max_pool2d(input: Tensor, output_size: Ints) -> Pair, Special {
        body: Kernel(|c| infer_adaptive_max(c, 2), |c, outs| compute_adaptive_max(c, 2, outs)),
        vjp: max_pool_rule!(2), saves: Saves::OUTPUT,
        method: false,
        samples: &["r(1, 1, 3, 4), (2, 3)", "r(1, 2, 3, 4), (1, 1)"],
    }

    /// The largest element of each of `output_size` parts of the last three dimensions, and their places.
    adaptive_max_pool3d(input: Tensor, output_size: Ints) -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(|c| infer_adaptive_max(c, 3), |c, outs| compute_adaptive_max(c, 3, outs)),
        vjp: max_pool_rule!(3), saves: Saves::OUTPUT,
        method: false,
        samples: &["r(1, 2, 3, 4), (2, 2, 3)", "r(1, 1, 3, 2, 4), (1, 1, 1)"],
    }

    /// Zeros of length `output_size` with the elements of `input` `[N, C, L]` put back at `indices`, where
    /// [`max_pool1d_with_indices`] has found them.
    max_unpool1d(input: Tensor, indices: Tensor, output_size: Ints) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| eval_unpool(c, 1)),
        method: false, onnx: Some("MaxUnpool"),
        samples: &["r(1, 2, 2), i([[[0, 3], [1, 2]]]), (4,)"],
    }

    /// Zeros of size `output_size` with the elements of `input` `[N, C, H, W]` put back at `indices`, where
    /// [`max_pool2d_with_indices`] has found them.
    max_unpool2d(input: Tensor, indices: Tensor, output_size: Ints) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| eval_unpool(c, 2)),
        method: false, onnx: Some("MaxUnpool"),
        refuses: &[
            Refusal { call: "rt.ones(1, 1, 2), rt.zeros(1, 1, 2, dtype=rt.int32), 2", message: "should be type int64" },
            Refusal { call: "rt.ones(1, 1, 2), rt.zeros(1, 2, 1, dtype=rt.int64), 2", message: "indices must have the input's shape" },
        ],
        samples: &["r(1, 1, 2), i([[[0, 3]]]), (2, 2)", "r(1, 1, 1, 2), i([[[[5, 0]]]]), (2, 3)"],
    }

    /// Zeros of size `output_size` with the elements of `input` `[N, C, D, H, W]` put back at `indices`, where
    /// [`max_pool3d_with_indices`] has found them.
    max_unpool3d(input: Tensor, indices: Tensor, output_size: Ints) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| eval_unpool(c, 3)),
        method: false, onnx: Some("MaxUnpool"),
        samples: &["r(1, 1, 1, 2), i([[[[0, 7]]]]), (2, 2, 2)"],
    }

    /// The greatest element of each of `output_size` windows over `[N, C, H, W]`, which begin at random distances, and its place
    /// in its plane. `random_samples` `[N, C, 2]`, from 0 to 1, are for width and height.
    fractional_max_pool2d(input: Tensor, kernel_size: Ints, output_size: Ints, random_samples: Tensor) -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(|c| infer_fractional(c, 2), |c, outs| compute_fractional(c, 2, outs)),
        vjp: max_pool_rule!(2), saves: Saves::OUTPUT,
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(1, 1, 4, 4), 2, 4, rt.zeros(1, 1, 2)", message: "too large" }],
        samples: &["r(1, 2, 5, 6), 2, (3, 2), c([[[0.2, 0.7], [0.5, 0.1]]])"],
    }

    /// As `fractional_max_pool2d`, over `[N, C, D, H, W]`; `random_samples` `[N, C, 3]` are for depth, height and width.
    fractional_max_pool3d(input: Tensor, kernel_size: Ints, output_size: Ints, random_samples: Tensor) -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(|c| infer_fractional(c, 3), |c, outs| compute_fractional(c, 3, outs)),
        vjp: max_pool_rule!(3), saves: Saves::OUTPUT,
        method: false, function: false,
        samples: &["r(1, 1, 4, 3, 4), (2, 1, 2), 2, c([[[0.2, 0.7, 0.4]]])"],
    }

    /// Zeros of `input_size` with `grad` added at `indices` of each plane of `rank` dimensions.
    max_pool_grad(grad: Tensor, indices: Tensor, input_size: Ints, rank: Int) -> Tensor, Special {
        body: Kernel(
            |c| {
                let (g, n, shape) = (c.x(0), rank(c, 1), sizes(c.ints(0))?);
                planes(&shape, n)?;
                if g.shape() != c.x(1).shape() || g.ndim() != shape.len() || g.shape()[..g.ndim() - n] != shape[..g.ndim() - n] {
                    return Err(Error::shapes("", format!("a gradient of shape {:?} with indices {:?} does not fit input {shape:?}",
                        g.shape(), c.x(1).shape()), g.shape(), &shape));
                }
                want_int64(c.x(1))?;
                Spec::rows(&shape, g.dtype())?.one()
            },
            |c, outs| {
                let (count, size) = planes(outs[0].shape(), rank(c, 1))?;
                let area = size.iter().product();
                let (index, g1) = (checked_indices(c.x(1), area)?, ready(c.x(0))?);
                let p = g1.numel() / count.max(1);
                written_as(&outs[0], g1.dtype(), |gx| {
                    compute!(g1.dtype(), T => pool::scatter::<T>(count, area, p, g1.ptr(), index.ptr(), gx.ptr()));
                    Ok(())
                })
            },
        ),
        vjp: vjp!(|v| [v.g().with(v.x(1), |z, i| z.pool_gather(i, v.int(1))), Ex::None]), saves: Saves::B,
        method: false, function: false,
        samples: &["r(1, 1, 3), i([[[0, 3, 3]]]), (1, 1, 4), 1", "r(1, 1, 1, 2), i([[[[0, 3]]]]), (1, 1, 2, 2), 2"],
    }

    /// The elements at `indices` of each plane of `rank` dimensions.
    pool_gather(input: Tensor, indices: Tensor, rank: Int) -> Tensor, Special {
        body: Kernel(
            |c| {
                let (x, n, shape) = (c.x(0), rank(c, 0), c.x(1).shape());
                planes(x.shape(), n)?;
                if shape.len() != x.ndim() || shape[..x.ndim() - n] != x.shape()[..x.ndim() - n] {
                    return Err(Error::shapes("", format!("indices of shape {shape:?} do not fit input {:?}", x.shape()), x.shape(), shape));
                }
                want_int64(c.x(1))?;
                Spec::rows(shape, x.dtype())?.one()
            },
            |c, outs| {
                let (count, size) = planes(c.x(0).shape(), rank(c, 0))?;
                let area = size.iter().product();
                let (index, x1) = (checked_indices(c.x(1), area)?, ready(c.x(0))?);
                let p = index.numel() / count.max(1);
                written_as(&outs[0], x1.dtype(), |out| {
                    compute!(x1.dtype(), T => pool::gather::<T>(count, area, p, x1.ptr(), index.ptr(), out.ptr()));
                    Ok(())
                })
            },
        ),
        vjp: vjp!(|v| [v.g().with(v.x(1), |g, i| Tensor::max_pool_grad(g, i, &v.sizes(0), v.int(0))), Ex::None]), saves: Saves::B,
        method: false, function: false,
        samples: &["r(1, 1, 4), i([[[0, 3, 3]]]), 1", "r(1, 1, 2, 2), i([[[[0, 3]]]]), 2"],
    }

    /// The mean of each window over the last dimension; zeros of the padding count if `count_include_pad`.
    avg_pool1d(
        input: Tensor, kernel_size: Ints, stride: OptInts = None, padding: Ints = 0, ceil_mode: Bool = false, count_include_pad: Bool = true
    ) -> Tensor, Special {
        body: Kernel(|c| infer_avg_pool(c, 1), |c, outs| compute_avg_pool(c, 1, outs)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::avg_pool_grad(
            g, &v.sizes(0), v.ints(0), v.ints(1), v.ints(2), v.bool(3), v.bool(4), None, 1))),
        method: false, onnx: Some("AveragePool"),
        samples: &["r(1, 2, 6), 2", "r(1, 2, 6), 3, 2, 1, True, False", "r(1, 6), 3, 2, 1, True, True"],
    }

    /// The mean of each window over the last two dimensions; `divisor_override`, if given, takes the place of the count.
    avg_pool2d(
        input: Tensor, kernel_size: Ints, stride: OptInts = None, padding: Ints = 0, ceil_mode: Bool = false, count_include_pad: Bool = true,
        divisor_override: OptInt = None
    ) -> Tensor, Special {
        body: Kernel(|c| infer_avg_pool(c, 2), |c, outs| compute_avg_pool(c, 2, outs)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::avg_pool_grad(
            g, &v.sizes(0), v.ints(0), v.ints(1), v.ints(2), v.bool(3), v.bool(4), v.opt_int(5), 2))),
        method: false, onnx: Some("AveragePool"),
        samples: &[
            "r(1, 2, 4, 4), 2", "r(1, 1, 4, 5), (2, 3), (1, 2), (1, 1), True, False", "r(1, 1, 4, 4), 2, 2, 1, False, True, 3",
        ],
    }

    /// The mean of each window over the last three dimensions; `divisor_override`, if given, takes the place of the count.
    avg_pool3d(
        input: Tensor, kernel_size: Ints, stride: OptInts = None, padding: Ints = 0, ceil_mode: Bool = false, count_include_pad: Bool = true,
        divisor_override: OptInt = None
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(|c| infer_avg_pool(c, 3), |c, outs| compute_avg_pool(c, 3, outs)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::avg_pool_grad(
            g, &v.sizes(0), v.ints(0), v.ints(1), v.ints(2), v.bool(3), v.bool(4), v.opt_int(5), 3))),
        method: false, onnx: Some("AveragePool"),
        samples: &[
            "r(1, 2, 2, 4, 2), 2", "r(1, 3, 2, 5), (2, 1, 3), (1, 1, 2), (1, 0, 1), True, False",
            "r(1, 2, 4, 3), 2, 2, 1, False, True, 3",
        ],
    }

    /// Gradient of the average pools with respect to their input of shape `input_size`.
    avg_pool_grad(
        grad: Tensor, input_size: Ints, kernel_size: Ints, stride: Ints, padding: Ints, ceil_mode: Bool, count_include_pad: Bool,
        divisor_override: OptInt, rank: Int
    ) -> Tensor, Special {
        body: Kernel(
            |c| infer_average_grad(c, rank(c, 7), |size| Average::of(c, 1, rank(c, 7))?.counts(size)),
            |c, outs| {
                let n = rank(c, 7);
                compute_average_grad(c.x(0), n, Average::of(c, 1, n)?.windows(planes(outs[0].shape(), n)?)?, outs)
            },
        ),
        vjp: vjp!(|v| v.g().then(|z| match v.int(7) {
            1 => z.avg_pool1d(v.ints(1), Some(v.ints(2)), v.ints(3), v.bool(4), v.bool(5)),
            2 => z.avg_pool2d(v.ints(1), Some(v.ints(2)), v.ints(3), v.bool(4), v.bool(5), v.opt_int(6)),
            _ => z.avg_pool3d(v.ints(1), Some(v.ints(2)), v.ints(3), v.bool(4), v.bool(5), v.opt_int(6)),
        })),
        method: false, function: false,
        samples: &[
            "r(1, 1, 2), (1, 1, 4), (2,), (2,), (0,), False, True, None, 1",
            "r(1, 1, 5, 3), (1, 1, 4, 5), (2, 3), (1, 2), (1, 1), False, False, None, 2",
            "r(1, 1, 3, 3), (1, 1, 4, 4), (2, 2), (2, 2), (1, 1), False, True, 3, 2",
        ],
    }

    /// The mean of each of `output_size` parts of the last dimension.
    adaptive_avg_pool1d(input: Tensor, output_size: Ints) -> Tensor, Special {
        body: Kernel(|c| infer_adaptive_avg(c, 1), |c, outs| compute_adaptive_avg(c, 1, outs)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::adaptive_avg_pool_grad(g, &v.sizes(0), 1))),
        method: false,
        samples: &["r(1, 2, 5), 2", "r(1, 2, 5), 1"],
    }

    /// The mean of each of `output_size` parts of the last two dimensions.
    adaptive_avg_pool2d(input: Tensor, output_size: Ints) -> Tensor, Special {
        body: Kernel(|c| infer_adaptive_avg(c, 2), |c, outs| compute_adaptive_avg(c, 2, outs)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::adaptive_avg_pool_grad(g, &v.sizes(0), 2))),
        method: false,
        samples: &["r(1, 1, 3, 4), (2, 3)", "r(1, 2, 3, 4), (1, 1)"],
    }

    /// The mean of each of `output_size` parts of the last three dimensions.
    adaptive_avg_pool3d(input: Tensor, output_size: Ints) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(|c| infer_adaptive_avg(c, 3), |c, outs| compute_adaptive_avg(c, 3, outs)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::adaptive_avg_pool_grad(g, &v.sizes(0), 3))),
        method: false,
        samples: &["r(1, 2, 3, 4), (2, 2, 3)", "r(1, 1, 3, 2, 4), (1, 1, 1)"],
    }

    /// Gradient of the adaptive average pools with respect to their input of shape `input_size`.
    adaptive_avg_pool_grad(grad: Tensor, input_size: Ints, rank: Int) -> Tensor, Special {
        body: Kernel(
            |c| {
                let (g, n) = (c.x(0).shape(), rank(c, 1));
                if g.len() != n + 1 && g.len() != n + 2 {
                    bail!(Shape, "expected a gradient of {} or {} dimensions, but got size {g:?}", n + 1, n + 2);
                }
                infer_average_grad(c, n, |_| adaptive_grad_counts(c, n))
            },
            |c, outs| {
                let n = rank(c, 1);
                let windows = adaptive_windows(adaptive_grad_counts(c, n)?, planes(outs[0].shape(), n)?)?;
                compute_average_grad(c.x(0), n, windows, outs)
            },
        ),
        vjp: vjp!(|v| v.g().then(|z| {
            let s = v.sizes(0);
            match v.int(1) {
                1 => z.adaptive_avg_pool1d(&s[s.len() - 1..]),
                2 => z.adaptive_avg_pool2d(&s[s.len() - 2..]),
                _ => z.adaptive_avg_pool3d(&s[s.len() - 3..]),
            }
        })),
        method: false, function: false,
        samples: &["r(1, 2, 2), (1, 2, 5), 1", "r(1, 2, 1, 1), (1, 2, 3, 4), 2", "r(1, 1, 2, 3), (1, 1, 3, 4), 2"],
    }

    /// The `norm_type`-norm, `(sum of x^p)^(1/p)`, of each window of `[N, C, L]`.
    lp_pool1d(
        input: Tensor, norm_type: Float, kernel_size: Ints, stride: OptInts = None, ceil_mode: Bool = false
    ) -> Tensor, Special {
        body: Composite(|c| eval_lp_pool(c, 1)),
        method: false, onnx: Some("LpPool"),
        samples: &["z(1, 2, 6), 2.0, 2", "p(1, 5), 3.0, 3, 2, True", "r(1, 6), inf, 2"],
    }

    /// The `norm_type`-norm, `(sum of x^p)^(1/p)`, of each window of `[N, C, H, W]`.
    lp_pool2d(
        input: Tensor, norm_type: Float, kernel_size: Ints, stride: OptInts = None, ceil_mode: Bool = false
    ) -> Tensor, Special {
        body: Composite(|c| eval_lp_pool(c, 2)),
        method: false, onnx: Some("LpPool"),
        samples: &["z(1, 2, 4, 4), 2.0, 2", "p(1, 4, 5), 3.0, (2, 3), (1, 2), True"],
    }

    /// The `norm_type`-norm, `(sum of x^p)^(1/p)`, of each window of `[N, C, D, H, W]`.
    lp_pool3d(
        input: Tensor, norm_type: Float, kernel_size: Ints, stride: OptInts = None, ceil_mode: Bool = false
    ) -> Tensor, Special {
        body: Composite(|c| eval_lp_pool(c, 3)),
        method: false, onnx: Some("LpPool"),
        samples: &["z(1, 2, 4, 2), 2.0, 2", "p(1, 2, 4, 2), 1.0, (1, 2, 2), 1"],
    }

    /// `input / (k + alpha * m)^beta`, m being the mean of the squares over `size` neighbouring channels of `[N, C, *]`
    /// (Krizhevsky et al. 2012).
    local_response_norm(
        input: Tensor, size: Int, alpha: Float = 1e-4, beta: Float = 0.75, k: Float = 1.0
    ) -> Tensor, Special {
        body: Composite(eval_local_response_norm),
        method: false, onnx: Some("LRN"),
        refuses: &[Refusal { call: "rt.ones(2, 3), 2", message: "Expected 3D or higher" }],
        samples: &["r(1, 4, 2), 3, 0.5, 0.7, 2.0", "r(2, 3, 2, 1), 2"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::check::{gradcheck, noise};

    #[test]
    fn second_derivatives() {
        gradcheck(&|x| x[0].max_pool2d(&[2], None, &[1], &[1], true), &[noise(&[2, 5, 4], 1)]);
        gradcheck(&|x| x[0].max_pool1d(&[3], Some(&[2]), &[1], &[1], false), &[noise(&[2, 2, 7], 1)]);
        gradcheck(&|x| x[0].avg_pool2d(&[3, 2], Some(&[2]), &[1], true, false, None), &[noise(&[2, 5, 4], 1)]);
        gradcheck(&|x| x[0].avg_pool2d(&[2], None, &[1], true, true, None), &[noise(&[2, 5, 4], 1)]);
        gradcheck(&|x| x[0].avg_pool1d(&[2], Some(&[1]), &[0], false, true), &[noise(&[2, 5], 1)]);
        gradcheck(&|x| x[0].adaptive_avg_pool2d(&[3, 2]), &[noise(&[2, 5, 4], 1)]);
        gradcheck(
            &|x| {
                let mut o = x[0].adaptive_max_pool2d(&[3, 2])?;
                Ok(o.swap_remove(0))
            },
            &[noise(&[2, 5, 4], 1)],
        );
    }

    #[test]
    fn pools() {
        let x = Tensor::from_slice(&[1.0f32, f32::NAN, 3.0, 3.0, 5.0, 0.0], &[1, 2, 3]).unwrap();
        let y = x.max_pool2d_with_indices(&[2], Some(&[1]), &[0], &[1], false).unwrap();
        let v = y[0].to_vec::<f32>().unwrap();
        assert!(v[0].is_nan() && v[1].is_nan());
        assert_eq!(y[1].to_vec::<i64>().unwrap(), [1, 1]);
        let x = Tensor::from_slice(&[2.0f32, 2.0, 2.0, 2.0], &[1, 2, 2]).unwrap();
        assert_eq!(x.max_pool2d_with_indices(&[2], None, &[0], &[1], false).unwrap()[1].to_vec::<i64>().unwrap(), [0]);
        assert!(x.max_pool2d(&[3], None, &[0], &[1], false).is_err());
        assert!(x.max_pool2d(&[0], None, &[0], &[1], false).is_err());
        let ones = Tensor::filled(&[1, 4, 4], crate::dtype::Scalar::Float(1.0), DType::F32).unwrap();
        let y = ones.avg_pool2d(&[3], Some(&[2]), &[1], true, true, None).unwrap();
        assert_eq!(y.shape(), [1, 3, 3]);
        assert!((y.to_vec::<f32>().unwrap()[0] - 4.0 / 9.0).abs() < 1e-6);
    }
}
