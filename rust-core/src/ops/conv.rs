//! Convolution, pooling, resizing of images.

use super::lang::{rounded_once, Ex};
use super::shape::contiguous_unlocked;
use super::complex::in_parts;
use super::{listener, one, written_as, Call, Outs, Refusal, Saves, Spec, Specs, Takes};
use crate::autograd;
use crate::dtype::{DType, Scalar};
use crate::error::{Error, Result};
use crate::kernels::conv::{self, Geometry};
use crate::kernels::pool::{self, Tap, Windows};
use crate::memory::List;
use crate::shape::{sizes, Dims, Layout};
use crate::tensor::Tensor;
use crate::{bail, err};
use smallvec::SmallVec;

/// Runs `$body` with `$T` as the compute type of a dtype that [`supported`] has let pass.
macro_rules! compute {
    ($dtype:expr, $T:ident => $body:expr) => {
        // SAFETY: each use hands row-major tensors of the compute type and the sizes they were checked for.
        match $dtype {
            DType::F16 | DType::BF16 | DType::F32 => {
                type $T = f32;
                unsafe { $body }
            }
            DType::F64 => {
                type $T = f64;
                unsafe { $body }
            }
            DType::I64 => {
                type $T = i64;
                unsafe { $body }
            }
            d => unreachable!("dtype {d} has been refused"),
        }
    };
}

/// Of the whole numbers only int64 is taken.
fn supported(dtype: DType) -> Result<()> {
    match dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 | DType::I64 | DType::C64 | DType::C128 => Ok(()),
        d => bail!(DType, "not implemented for dtype {d}"),
    }
}

/// [`supported`], unless there is nothing to compute.
fn computed(spec: Spec) -> Result<Specs> {
    if spec.layout.numel() > 0 {
        supported(spec.dtype)?;
    }
    spec.one()
}

/// A row-major tensor in the compute type.
fn ready(t: &Tensor) -> Result<Tensor> {
    contiguous_unlocked(t, t.dtype().compute_dtype(), false)
}

/// What the convolutions' kernels answer.
fn enough(memory: bool) -> Result<()> {
    if !memory {
        bail!(Memory, "could not allocate the buffers of a convolution");
    }
    Ok(())
}

// ---- convolution ----

/// An argument that is one number for all `n` dimensions, or one for each, in three dimensions.
fn per_dim<const N: usize>(values: &[i64], n: usize, fill: usize, least: i64, name: &str) -> Result<[usize; N]> {
    if values.len() != 1 && values.len() != n {
        bail!(Value, "{name} must be one number or {n}, got {values:?}");
    }
    if let Some(v) = values.iter().find(|&&v| v < least) {
        bail!(Value, "{name} must be at least {least}, got {v}");
    }
    if let Some(v) = values.iter().find(|&&v| v > i32::MAX as i64) {
        bail!(Value, "{name} is too large: {v}");
    }
    let mut out = [fill; N];
    for d in 0..n {
        out[N - n + d] = values[if values.len() == 1 { 0 } else { d }] as usize;
    }
    Ok(out)
}

/// The last `n` sizes as three.
fn three(shape: &[usize], n: usize) -> [usize; 3] {
    let mut out = [1; 3];
    out[3 - n..].copy_from_slice(&shape[shape.len() - n..]);
    out
}

/// Attributes that all entries of a convolution share, as they stand in the table.
#[derive(Clone, Copy)]
struct Params<'a> {
    stride: &'a [i64],
    padding: &'a [i64],
    dilation: &'a [i64],
    groups: i64,
}

impl<'a> Params<'a> {
    /// The attributes from `k` on.
    fn of(c: &'a Call, k: usize) -> Params<'a> {
        Params { stride: c.ints(k), padding: c.ints(k + 1), dilation: c.ints(k + 2), groups: c.int(k + 3) }
    }

    /// Checks `input` against `weight`; the output size is computed if `out` does not give it.
    fn geometry(&self, input: &[usize], weight: &[usize], out: Option<&[usize]>) -> Result<Geometry> {
        let n = weight.len().saturating_sub(2);
        if !(1..=3).contains(&n) {
            bail!(Shape, "weight must have three, four or five dimensions, got shape {weight:?}");
        }
        if input.len() != n + 1 && input.len() != n + 2 {
            bail!(
                Shape,
                "expected {}D (unbatched) or {}D (batched) input, but got input of size {input:?}",
                n + 1,
                n + 2
            );
        }
        let (c_in, c_out) = (input[input.len() - n - 1], weight[0]);
        if self.groups <= 0 {
            bail!(Value, "groups must be positive, got {}", self.groups);
        }
        let groups = self.groups as usize;
        let wanted = weight[1].saturating_mul(groups);
        if c_out % groups != 0 || wanted != c_in {
            let message = format!(
                "given groups={groups}, weight of size {weight:?}, expected input {input:?} to have {wanted} channels, but got \
                 {c_in} channels instead");
            return Err(Error::shapes("", message, input, weight));
        }
        let mut g = Geometry {
            batch: if input.len() == n + 2 { input[0] } else { 1 },
            groups,
            c_in,
            c_out,
            size: three(input, n),
            kernel: three(weight, n),
            stride: per_dim(self.stride, n, 1, 1, "stride")?,
            padding: per_dim(self.padding, n, 0, 0, "padding")?,
            dilation: per_dim(self.dilation, n, 1, 1, "dilation")?,
            out: [1; 3],
        };
        if g.kernel.contains(&0) {
            bail!(Shape, "the kernel size must not be zero, weight has shape {weight:?}");
        }
        let too_large = || err!(Memory, "input {input:?} is too large with padding {:?}", self.padding);
        for d in 0..3 {
            let padded = g.size[d].checked_add(2 * g.padding[d]).ok_or_else(too_large)?;
            let reach = (g.kernel[d] - 1).checked_mul(g.dilation[d]).and_then(|r| r.checked_add(1)).ok_or_else(too_large)?;
            if out.is_none() && reach > padded {
                bail!(
                    Shape,
                    "calculated padded input size per channel: {padded}. Kernel size: {reach}. \
                    Kernel size can't be greater than actual input size (input {input:?}, weight {weight:?})"
                );
            }
            g.out[d] = if reach > padded { 0 } else { (padded - reach) / g.stride[d] + 1 };
        }
        if let Some(out) = out {
            let fits = out.len() == input.len()
                && out[out.len() - n - 1] == c_out
                && (out.len() == n + 1 || out[0] == g.batch)
                && three(out, n).iter().zip(&g.out).all(|(got, most)| got <= most);
            if !fits {
                let message = format!("a gradient of shape {out:?} does not fit input {input:?} and weight {weight:?}");
                return Err(Error::shapes("", message, out, input));
            }
            g.out = three(out, n);
        }
        // All buffers of a convolution hold at most as many elements as the padded input or the output: no size below
        // overflows.
        let most = isize::MAX as usize / 64;
        let steps = |d: usize| (g.out[d].max(1) - 1).checked_mul(g.stride[d])?.checked_add((g.kernel[d] - 1) * g.dilation[d]);
        if (0..3).any(|d| steps(d).is_none_or(|n| n > most)) {
            return Err(too_large());
        }
        let fits = |n: usize, sizes: [usize; 3]| {
            sizes.iter().try_fold(n.max(1), |a, &d| a.checked_mul(d.max(1))).is_some_and(|n| n <= most)
        };
        if !fits(c_in, g.padded()) || !fits(c_out, g.out) || !fits(weight[1].max(c_out), g.kernel) {
            return Err(too_large());
        }
        Ok(g)
    }
}

/// Gives `shape` another number of channels and other sizes.
fn out_shape(input: &[usize], g: &Geometry, n: usize) -> Dims {
    let mut shape = Dims::from_slice(&input[..input.len() - n - 1]);
    shape.push(g.c_out);
    shape.extend_from_slice(&g.out[3 - n..]);
    shape
}

fn same_dtypes(ts: &[&Tensor]) -> Result<()> {
    match ts.iter().find(|t| t.dtype() != ts[0].dtype()) {
        Some(t) => {
            bail!(DType, "input and weight (and bias) must have one dtype, got {} and {}", ts[0].dtype(), t.dtype())
        }
        None => Ok(()),
    }
}

fn infer_conv(c: &Call, n: usize) -> Result<Specs> {
    let (x, w) = (c.x(0), c.x(1));
    if w.ndim() != n + 2 {
        bail!(Shape, "expected a {}-dimensional weight, but got one of size {:?}", n + 2, w.shape());
    }
    let g = Params::of(c, 0).geometry(x.shape(), w.shape(), None)?;
    if x.shape()[x.ndim() - n..].contains(&0) {
        bail!(Shape, "expected input with non-zero size in the dimensions that are convolved, but got {:?}", x.shape());
    }
    if g.c_out == 0 {
        bail!(Shape, "expected a weight with at least one output channel, but got one of size {:?}", w.shape());
    }
    same_dtypes(&[x, w])?;
    if let Some(b) = c.opt(2) {
        same_dtypes(&[x, b])?;
        if b.shape() != [g.c_out] {
            bail!(
                Shape,
                "expected bias to be 1-dimensional with {} elements, but got bias of size {:?}",
                g.c_out,
                b.shape()
            );
        }
    }
    computed(Spec::rows(&out_shape(x.shape(), &g, n), x.dtype())?)
}

fn compute_conv(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, w) = (c.x(0), c.x(1));
    if outs[0].numel() == 0 {
        return Ok(());
    }
    if x.dtype().is_complex() {
        return in_parts(c, &outs[0], compute_conv);
    }
    let g = Params::of(c, 0).geometry(x.shape(), w.shape(), None)?;
    let (x1, w1, bias) = (ready(x)?, ready(w)?, c.opt(2).map(ready).transpose()?);
    written_as(&outs[0], x1.dtype(), |out| {
        enough(
            compute!(x.dtype(), T => conv::forward::<T>(&g, x1.ptr(), w1.ptr(), bias.as_ref().map_or(std::ptr::null(), |b| b.ptr()), out.ptr())),
        )
    })
}

/// The convolution that fits the rank of `w`, cut to `shape`: output padding beyond the stride leaves more places.
fn conv_to(x: &Tensor, w: &Tensor, p: Params, shape: &[usize]) -> Result<Tensor> {
    if shape.contains(&0) || x.numel() == 0 {
        // A convolution would refuse it; of nothing but padding there are zeros.
        if x.is_meta() {
            return Tensor::without_elements(Layout::contiguous(shape)?, x.dtype());
        }
        return Tensor::filled(shape, Scalar::Int(0), x.dtype());
    }
    let mut y = match w.ndim() {
        3 => x.conv1d(w, None, p.stride, p.padding, p.dilation, p.groups)?,
        4 => x.conv2d(w, None, p.stride, p.padding, p.dilation, p.groups)?,
        _ => x.conv3d(w, None, p.stride, p.padding, p.dilation, p.groups)?,
    };
    for (d, &n) in shape.iter().enumerate() {
        if y.shape()[d] > n {
            y = y.narrow(d as i64, 0, n as i64)?;
        }
    }
    Ok(y)
}

fn input_grad(g: &Ex, w: impl Into<Ex>, size: &[i64], p: Params) -> Ex {
    g.with(w, |g, w| Tensor::conv_input_grad(g, w, size, p.stride, p.padding, p.dilation, p.groups))
}

fn weight_grad(g: &Ex, x: impl Into<Ex>, size: &[i64], p: Params) -> Ex {
    g.with(x, |g, x| Tensor::conv_weight_grad(g, x, size, p.stride, p.padding, p.dilation, p.groups))
}

/// The attributes of a convolution from `k` on, as a rule sees them.
macro_rules! params {
    ($v:ident, $k:literal) => {
        Params { stride: $v.ints($k), padding: $v.ints($k + 1), dilation: $v.ints($k + 2), groups: $v.int($k + 3) }
    };
}

macro_rules! conv_rule {
    () => {
        vjp!(|v| [
            v.want(0, || input_grad(&v.g(), v.x(1), &v.sizes(0), params!(v, 0))),
            v.want(1, || weight_grad(&v.g(), v.x(0), &v.sizes(1), params!(v, 0))),
            v.want(2, || {
                let channel = v.shape(0).len() as i64 - (v.shape(1).len() as i64 - 1);
                let dims: SmallVec<[i64; 5]> = (0..v.shape(0).len() as i64).filter(|&d| d != channel).collect();
                v.g().sum(&dims, false)
            }),
        ])
    };
}

/// A transposed convolution: the input gradient of the convolution with the same weight.
fn eval_conv_transpose(c: &Call, n: usize) -> Result<Outs> {
    let (x, w) = (c.x(0), c.x(1));
    let p = Params { stride: c.ints(0), padding: c.ints(1), groups: c.int(3), dilation: c.ints(4) };
    if w.ndim() != n + 2 || (x.ndim() != n + 1 && x.ndim() != n + 2) {
        bail!(
            Shape,
            "expected {}D (unbatched) or {}D (batched) input and a {}D weight, but got {:?} and {:?}",
            n + 1,
            n + 2,
            n + 2,
            x.shape(),
            w.shape()
        );
    }
    if x.shape()[x.ndim() - n - 1] != w.shape()[0] {
        let message = format!(
            "given weight of size {:?}, expected input {:?} to have {} channels",
            w.shape(),
            x.shape(),
            w.shape()[0]
        );
        return Err(Error::shapes("", message, x.shape(), w.shape()));
    }
    if p.groups <= 0 {
        bail!(Value, "groups must be positive, got {}", p.groups);
    }
    if w.shape()[1] == 0 {
        bail!(Shape, "expected a weight with at least one output channel, but got one of size {:?}", w.shape());
    }
    same_dtypes(&[x, w, c.opt(2).unwrap_or(w)])?;
    let stride: [usize; 3] = per_dim(p.stride, n, 1, 1, "stride")?;
    let padding: [usize; 3] = per_dim(p.padding, n, 0, 0, "padding")?;
    let dilation: [usize; 3] = per_dim(p.dilation, n, 1, 1, "dilation")?;
    let extra: [usize; 3] = per_dim(c.ints(2), n, 0, 0, "output_padding")?;
    let mut size: SmallVec<[i64; 8]> = x.shape()[..x.ndim() - n - 1].iter().map(|&d| d as i64).collect();
    size.push((w.shape()[1] as i64).saturating_mul(p.groups));
    for d in 3 - n..3 {
        if extra[d] >= stride[d].max(dilation[d]) && extra[d] > 0 {
            bail!(Value, "output padding must be smaller than either stride or dilation, but got output_padding {:?}, stride {:?}, \
                dilation {:?}", c.ints(2), p.stride, p.dilation);
        }
        let [i, k] = [x.shape(), w.shape()].map(|s| three(s, n)[d] as i128);
        let [step, pad, apart, extra] = [stride[d], padding[d], dilation[d], extra[d]].map(|v| v as i128);
        let s = (i - 1) * step - 2 * pad + apart * (k - 1) + extra + 1;
        if i == 0 {
            bail!(Shape, "expected input with non-zero size in the dimensions that are convolved, but got {:?}", x.shape());
        }
        if s < 1 {
            bail!(Shape, "the output size would be {s} for input {:?} and weight {:?}", x.shape(), w.shape());
        }
        size.push(i64::try_from(s).map_err(|_| err!(Memory, "an output of size {s} is too large"))?);
    }
    let run = |x: &Tensor, w: &Tensor| Tensor::conv_input_grad(x, w, &size, p.stride, p.padding, p.dilation, p.groups);
    let Some(b) = c.opt(2) else { return one(run(x, w)?) };
    let channels = size[size.len() - n - 1];
    if b.shape() != [channels as usize] {
        bail!(
            Shape,
            "expected bias to be 1-dimensional with {channels} elements, but got bias of size {:?}",
            b.shape()
        );
    }
    let mut shape: SmallVec<[i64; 4]> = SmallVec::from_elem(1, n + 1);
    shape[0] = channels;
    one(rounded_once([x, w, b], |[x, w, b]| run(x, w)?.add(&b.reshape(&shape)?, 1))?)
}

// ---- pooling ----

/// Batch and channels, height, width: the last `n` dimensions pooled.
fn planes(shape: &[usize], n: usize) -> Result<(usize, [usize; 2])> {
    if shape.len() != n + 1 && shape.len() != n + 2 {
        bail!(Shape, "expected {}D or {}D input, but got input of size {shape:?}", n + 1, n + 2);
    }
    let (lead, size) = shape.split_at(shape.len() - n);
    if size.contains(&0) {
        bail!(Shape, "expected input with non-zero size in the dimensions that are pooled, but got {shape:?}");
    }
    Ok((lead.iter().product(), if n == 1 { [1, size[0]] } else { [size[0], size[1]] }))
}

/// [`planes`], none of which may be without channels: only the batch may be empty.
fn pooled_planes(shape: &[usize], n: usize) -> Result<(usize, [usize; 2])> {
    let planes = planes(shape, n)?;
    if shape[shape.len() - n - 1] == 0 {
        bail!(Shape, "expected input with channels, only the batch may be empty, but got {shape:?}");
    }
    Ok(planes)
}

/// The pools' attributes.
struct Pool {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    ceil: bool,
}

impl Pool {
    fn new(n: usize, kernel: &[i64], stride: &[i64], padding: &[i64], dilation: &[i64], ceil: bool) -> Result<Pool> {
        let kernel = per_dim(kernel, n, 1, 1, "kernel_size")?;
        let padding: [usize; 2] = per_dim(padding, n, 0, 0, "padding")?;
        for d in 2 - n..2 {
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

    fn counts(&self, size: [usize; 2]) -> Result<[usize; 2]> {
        Ok([self.count(0, size[0])?, self.count(1, size[1])?])
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
fn adaptive_counts(output_size: &[i64], n: usize) -> Result<[usize; 2]> {
    per_dim(output_size, n, 1, 0, "output_size")
}

fn adaptive_windows(out: [usize; 2], (planes, size): (usize, [usize; 2])) -> Result<[Windows; 2]> {
    // Of an empty result nothing is looked at.
    let planes = planes * out[0].min(1) * out[1].min(1);
    Ok([adaptive(planes, size[0], out[0])?, adaptive(planes, size[1], out[1])?])
}

/// `shape` with the numbers of windows in the last `n` dimensions.
fn pooled_shape(shape: &[usize], n: usize, counts: [usize; 2]) -> Dims {
    let mut out = Dims::from_slice(&shape[..shape.len() - n]);
    out.extend_from_slice(&counts[2 - n..]);
    out
}

/// The largest elements of so many windows, and their places.
fn max_specs(x: &Tensor, n: usize, counts: [usize; 2], indices: bool) -> Result<Specs> {
    let shape = pooled_shape(x.shape(), n, counts);
    let mut specs = Spec::rows(&shape, x.dtype())?.one()?;
    if indices {
        specs.push(Spec::rows(&shape, DType::I64)?);
    }
    Ok(specs)
}

fn max_pool(x: &Tensor, n: usize, [rows, cols]: [Windows; 2], outs: &[Tensor]) -> Result<()> {
    let (count, size) = planes(x.shape(), n)?;
    let x1 = ready(x)?;
    let at = outs.get(1).map_or(std::ptr::null_mut(), |t| t.ptr());
    written_as(&outs[0], x1.dtype(), |out| {
        compute!(x1.dtype(), T => pool::max_pool::<T>(count, size, &rows, &cols, x1.ptr(), out.ptr(), at))
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
    max_pool(c.x(0), n, [p.windows(planes, 0, size[0], false)?, p.windows(planes, 1, size[1], false)?], outs)
}

/// Max pools without indices: autograd needs them, inference does not. A listener is told the same parts either way.
fn eval_max_pool_only(c: &Call, n: usize) -> Result<Outs> {
    let x = c.x(0);
    let (k, s, p, d, ceil) = (c.ints(0), c.ints(1), c.ints(2), c.ints(3), c.bool(4));
    if !autograd::wanted(&[Some(x)]) && !listener::hears() {
        return one(x.max_pool_values(k, s, p, d, ceil, n as i64)?);
    }
    let mut outs = if n == 1 {
        x.max_pool1d_with_indices(k, Some(s), p, d, ceil)?
    } else {
        x.max_pool2d_with_indices(k, Some(s), p, d, ceil)?
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

/// The means of so many windows.
fn infer_average(x: &Tensor, n: usize, counts: [usize; 2]) -> Result<Specs> {
    let spec = Spec::rows(&pooled_shape(x.shape(), n, counts), x.dtype())?;
    supported(x.dtype())?;
    spec.one()
}

fn compute_average(x: &Tensor, n: usize, [rows, cols]: [Windows; 2], outs: &[Tensor]) -> Result<()> {
    let (count, size) = planes(x.shape(), n)?;
    let x1 = ready(x)?;
    written_as(&outs[0], x1.dtype(), |out| {
        compute!(x.dtype(), T => pool::avg_pool::<T>(count, size, &rows, &cols, x1.ptr(), out.ptr()))
    })
}

/// The gradient of an average pool with respect to its input, whose shape is attribute 0; `counts` gives the numbers of
/// windows from its sizes.
fn infer_average_grad(
    c: &Call,
    n: usize,
    counts: impl FnOnce([usize; 2]) -> Result<[usize; 2]>,
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

fn compute_average_grad(g: &Tensor, n: usize, [rows, cols]: [Windows; 2], outs: &[Tensor]) -> Result<()> {
    let (count, size) = planes(outs[0].shape(), n)?;
    let g1 = ready(g)?;
    written_as(&outs[0], g1.dtype(), |gx| {
        compute!(g.dtype(), T => pool::avg_pool_grad::<T>(count, size, &rows, &cols, g1.ptr(), gx.ptr()))
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

    fn counts(&self, size: [usize; 2]) -> Result<[usize; 2]> {
        let counts = self.pool.counts(size)?;
        if self.divisor == Some(0) {
            bail!(Value, "divisor must be not zero");
        }
        Ok(counts)
    }

    fn windows(&self, (planes, size): (usize, [usize; 2])) -> Result<[Windows; 2]> {
        let windows = |d: usize| self.pool.windows(planes, d, size[d], self.include_pad);
        let mut w = [windows(0)?, windows(1)?];
        if let Some(d) = self.divisor {
            w[0].divisor.fill(d as f64);
            w[1].divisor.fill(1.0);
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
fn adaptive_grad_counts(c: &Call, n: usize) -> Result<[usize; 2]> {
    let g = c.x(0).shape();
    let out: SmallVec<[i64; 2]> = g[g.len() - n..].iter().map(|&d| d as i64).collect();
    adaptive_counts(&out, n)
}

/// Attribute `k` as the number of dimensions that are pooled.
fn rank(c: &Call, k: usize) -> usize {
    if c.int(k) == 1 {
        1
    } else {
        2
    }
}

// ---- resizing ----

/// Where output positions look along a dimension of `n` elements; `mode` is None for the nearest element, else says
/// whether corners are aligned.
fn resize_taps(n: usize, count: usize, mode: Option<bool>) -> Result<List<Tap>> {
    let mut taps = List::with_room(count)?;
    let scale = match mode {
        Some(true) if count > 1 => (n - 1) as f64 / (count - 1) as f64,
        Some(true) => 0.0,
        _ => n as f64 / count as f64,
    };
    for o in 0..count {
        taps.push(match mode {
            None => {
                // In f32, as the published indices are.
                let i = ((o as f32 * (n as f32 / count as f32)) as usize).min(n - 1);
                (i, i, 0.0)
            }
            Some(align) => {
                let place = if align { o as f64 * scale } else { ((o as f64 + 0.5) * scale - 0.5).max(0.0) };
                let i = (place as usize).min(n - 1);
                (i, (i + 1).min(n - 1), (place - i as f64).clamp(0.0, 1.0))
            }
        })?;
    }
    Ok(taps)
}

fn all_taps(size: [usize; 2], out: [usize; 2], mode: Option<bool>) -> Result<[List<Tap>; 2]> {
    Ok([resize_taps(size[0], out[0], mode)?, resize_taps(size[1], out[1], mode)?])
}

/// Weights of neighbours are no whole numbers.
fn can_resize(dtype: DType, mode: Option<bool>) -> Result<()> {
    if mode.is_some() && !dtype.is_float() {
        bail!(DType, "bilinear interpolation is not implemented for dtype {dtype}");
    }
    Ok(())
}

fn infer_resize(c: &Call, mode: Option<bool>) -> Result<Specs> {
    let x = c.x(0);
    can_resize(x.dtype(), mode)?;
    planes(x.shape(), 2)?;
    let wanted = per_dim(c.ints(0), 2, 1, 1, "output_size")?;
    computed(Spec::rows(&pooled_shape(x.shape(), 2, wanted), x.dtype())?)
}

fn compute_resize(c: &Call, mode: Option<bool>, outs: &[Tensor]) -> Result<()> {
    let x = c.x(0);
    let (count, size) = planes(x.shape(), 2)?;
    if count == 0 {
        return Ok(());
    }
    let (_, wanted) = planes(outs[0].shape(), 2)?;
    let x1 = ready(x)?;
    let [rows, cols] = all_taps(size, wanted, mode)?;
    written_as(&outs[0], x1.dtype(), |out| {
        compute!(x.dtype(), T => pool::bilinear::<T>(count, size, &rows, &cols, x1.ptr(), out.ptr()));
        Ok(())
    })
}

/// The mode of `upsample_grad`, as [`resize_taps`] wants it.
fn mode(c: &Call) -> Result<Option<bool>> {
    match c.str(1) {
        "nearest" => Ok(None),
        "bilinear" => Ok(Some(c.bool(2))),
        mode => bail!(Value, "mode must be 'nearest' or 'bilinear', got {mode:?}"),
    }
}

fn infer_resize_grad(c: &Call) -> Result<Specs> {
    let (g, mode, input_size) = (c.x(0), mode(c)?, c.ints(0));
    can_resize(g.dtype(), mode)?;
    let shape = sizes(input_size)?;
    let (count, _) = planes(&shape, 2)?;
    if g.ndim() != shape.len() || g.shape()[..g.ndim() - 2] != shape[..g.ndim() - 2] {
        return Err(Error::shapes(
            "",
            format!("a gradient of shape {:?} does not fit input {input_size:?}", g.shape()),
            g.shape(),
            &shape,
        ));
    }
    if count > 0 {
        planes(g.shape(), 2)?;
    }
    computed(Spec::rows(&shape, g.dtype())?)
}

fn compute_resize_grad(c: &Call, outs: &[Tensor]) -> Result<()> {
    let g = c.x(0);
    let (count, size) = planes(outs[0].shape(), 2)?;
    if count == 0 {
        return Ok(());
    }
    let (_, out) = planes(g.shape(), 2)?;
    let [rows, cols] = all_taps(size, out, mode(c)?)?;
    let g1 = ready(g)?;
    written_as(&outs[0], g1.dtype(), |gx| {
        compute!(g.dtype(), T => pool::bilinear_grad::<T>(count, size, &rows, &cols, g1.ptr(), gx.ptr()));
        Ok(())
    })
}

// ---- unfold and fold ----

/// The geometry of the windows of `unfold`: a convolution without weights.
fn window_geometry(shape: &[usize], c: &Call, k: usize) -> Result<Geometry> {
    if shape.len() != 3 && shape.len() != 4 {
        bail!(Shape, "expected 3D or 4D input, but got input of size {shape:?}");
    }
    let channels = shape[shape.len() - 3];
    let kernel: [usize; 2] = per_dim(c.ints(k), 2, 1, 1, "kernel_size")?;
    let p = Params { stride: c.ints(k + 3), padding: c.ints(k + 2), dilation: c.ints(k + 1), groups: 1 };
    p.geometry(shape, &[1, channels, kernel[0], kernel[1]], None)
}

/// The shape of the images that the columns of a call are added up to, and how they lie.
fn fold_geometry(c: &Call) -> Result<(Dims, Geometry)> {
    let col = c.x(0).shape();
    let size: [usize; 2] = per_dim(c.ints(0), 2, 1, 1, "output_size")?;
    let kernel: [usize; 2] = per_dim(c.ints(1), 2, 1, 1, "kernel_size")?;
    let taps = kernel[0] * kernel[1];
    let Some((lead, &[rows, windows])) = col.split_last_chunk::<2>().filter(|(lead, last)| {
        lead.len() <= 1 && last[0] % taps == 0 && !last.contains(&0)
    }) else {
        bail!(Shape, "expected 2D or 3D input with a multiple of {taps} rows, and windows, but got size {col:?}");
    };
    let mut shape = Dims::from_slice(lead);
    shape.extend_from_slice(&[rows / taps, size[0], size[1]]);
    let g = window_geometry(&shape, c, 1)?;
    if windows != g.positions() {
        bail!(
            Shape,
            "an output of {size:?} has {} windows, but the input of size {col:?} has {windows}",
            g.positions()
        );
    }
    Ok((shape, g))
}

/// An input without a batch gets a dimension of its own first, and its gradient last.
fn conv_sends(x: &[(Dims, DType)]) -> &'static [usize] {
    if x[0].0.len() < x[1].0.len() {
        &[1, 2, 0]
    } else {
        &[0, 1, 2]
    }
}

fn compute_input_grad(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (gy, w) = (c.x(0), c.x(1));
    if outs[0].numel() == 0 {
        return Ok(());
    }
    if outs[0].dtype().is_complex() {
        return in_parts(c, &outs[0], compute_input_grad);
    }
    let g = Params::of(c, 1).geometry(outs[0].shape(), w.shape(), Some(gy.shape()))?;
    let (gy1, w1) = (ready(gy)?, ready(w)?);
    written_as(&outs[0], gy1.dtype(), |gx| {
        enough(compute!(gy.dtype(), T => conv::input_grad::<T>(&g, gy1.ptr(), w1.ptr(), gx.ptr())))
    })
}

fn compute_weight_grad(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (gy, x) = (c.x(0), c.x(1));
    if outs[0].numel() == 0 {
        return Ok(());
    }
    if outs[0].dtype().is_complex() {
        return in_parts(c, &outs[0], compute_weight_grad);
    }
    let g = Params::of(c, 1).geometry(x.shape(), outs[0].shape(), Some(gy.shape()))?;
    let (gy1, x1) = (ready(gy)?, ready(x)?);
    written_as(&outs[0], gy1.dtype(), |gw| {
        enough(compute!(gy.dtype(), T => conv::weight_grad::<T>(&g, gy1.ptr(), x1.ptr(), gw.ptr())))
    })
}

fn compute_im2col(c: &Call, outs: &[Tensor]) -> Result<()> {
    if outs[0].numel() == 0 {
        return Ok(());
    }
    if outs[0].dtype().is_complex() {
        return in_parts(c, &outs[0], compute_im2col);
    }
    let (g, x1) = (window_geometry(c.x(0).shape(), c, 0)?, ready(c.x(0))?);
    written_as(&outs[0], x1.dtype(), |out| enough(compute!(x1.dtype(), T => conv::im2col::<T>(&g, x1.ptr(), out.ptr()))))
}

fn compute_col2im(c: &Call, outs: &[Tensor]) -> Result<()> {
    if outs[0].numel() == 0 {
        return Ok(());
    }
    if outs[0].dtype().is_complex() {
        return in_parts(c, &outs[0], compute_col2im);
    }
    let ((_, g), col) = (fold_geometry(c)?, ready(c.x(0))?);
    written_as(&outs[0], col.dtype(), |out| enough(compute!(col.dtype(), T => conv::col2im::<T>(&g, col.ptr(), out.ptr()))))
}

ops! {
    /// Convolution (cross-correlation) over one dimension: `[N, C, L]` or `[C, L]` with a weight `[O, C / groups, k]`;
    /// the output length is `(L + 2 * padding - dilation * (k - 1) - 1) / stride + 1`.
    conv1d(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: Int = 1
    ) -> Tensor, Special {
        body: Kernel(|c| infer_conv(c, 1), compute_conv), vjp: conv_rule!(), saves: Saves::CROSS, sends: conv_sends,
        method: false, onnx: Some("Conv"),
        samples: &["r(1, 2, 5), r(2, 2, 3), r(2)", "r(2, 2, 6), r(2, 1, 2), None, 2, 1, 2, 2", "r(2, 4), r(1, 2, 2)"],
        takes: Takes::COMPLEX,
    }

    /// Convolution (cross-correlation) over two dimensions: `[N, C, H, W]` or `[C, H, W]` with a weight
    /// `[O, C / groups, kh, kw]`.
    conv2d(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: Int = 1
    ) -> Tensor, Special {
        body: Kernel(|c| infer_conv(c, 2), compute_conv), vjp: conv_rule!(), saves: Saves::CROSS, sends: conv_sends,
        method: false, onnx: Some("Conv"),
        refuses: &[
            Refusal { call: "rt.ones(1, 2, 5, 5), rt.ones(4, 3, 3, 3)", message: "to have 3 channels, but got 2" },
            Refusal { call: "rt.ones(1, 2, 2, 2), rt.ones(4, 2, 3, 3)", message: "can't be greater than actual input size" },
        ],
        samples: &["r(1, 2, 3, 4), r(2, 2, 2, 3), r(2)", "r(1, 2, 4, 4), r(2, 1, 2, 2), None, (2, 1), (1, 0), (1, 2), 2"],
        takes: Takes::COMPLEX,
    }

    /// Convolution (cross-correlation) over three dimensions: `[N, C, D, H, W]` or `[C, D, H, W]`.
    conv3d(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: Int = 1
    ) -> Tensor, Special {
        body: Kernel(|c| infer_conv(c, 3), compute_conv), vjp: conv_rule!(), saves: Saves::CROSS, sends: conv_sends,
        method: false, onnx: Some("Conv"),
        samples: &[
            "r(1, 1, 2, 3, 2), r(2, 1, 2, 2, 1), r(2), 1, (0, 1, 0)",
            "r(1, 2, 2, 3, 2), r(2, 1, 1, 2, 2), None, (1, 2, 1), 0, 1, 2",
        ],
        takes: Takes::COMPLEX,
    }

    /// Gradient of a convolution of any rank with respect to its input of shape `input_size`.
    conv_input_grad(
        grad: Tensor, weight: Tensor, input_size: Ints, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: Int = 1
    ) -> Tensor, Special {
        body: Kernel(
            |c| {
                let (gy, w) = (c.x(0), c.x(1));
                same_dtypes(&[gy, w])?;
                let shape = sizes(c.ints(0))?;
                Params::of(c, 1).geometry(&shape, w.shape(), Some(gy.shape()))?;
                computed(Spec::rows(&shape, gy.dtype())?)
            },
            compute_input_grad,
        ),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |z, w| conv_to(z, w, params!(v, 1), v.shape(0)))),
            v.want(1, || weight_grad(&v.x(0), v.g(), &v.sizes(1), params!(v, 1))),
        ]),
        saves: Saves::CROSS, method: false, function: false,
        samples: &["r(1, 2, 3), r(2, 2, 3), (1, 2, 5)", "r(1, 2, 3, 2), r(2, 1, 2, 2), (1, 2, 4, 4), (2, 1), (1, 0), (1, 2), 2"],
        takes: Takes::COMPLEX,
    }

    /// Gradient of a convolution of any rank with respect to its weight of shape `weight_size`.
    conv_weight_grad(
        grad: Tensor, input: Tensor, weight_size: Ints, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: Int = 1
    ) -> Tensor, Special {
        body: Kernel(
            |c| {
                let (gy, x) = (c.x(0), c.x(1));
                same_dtypes(&[gy, x])?;
                let shape = sizes(c.ints(0))?;
                Params::of(c, 1).geometry(x.shape(), &shape, Some(gy.shape()))?;
                computed(Spec::rows(&shape, gy.dtype())?)
            },
            compute_weight_grad,
        ),
        vjp: vjp!(|v| [
            v.want(0, || v.x(1).with(v.g(), |x, z| conv_to(x, z, params!(v, 1), v.shape(0)))),
            v.want(1, || input_grad(&v.x(0), v.g(), &v.sizes(1), params!(v, 1))),
        ]),
        saves: Saves::CROSS, method: false, function: false,
        samples: &["r(1, 2, 3), r(1, 2, 5), (2, 2, 3)", "r(1, 2, 3, 2), r(1, 2, 4, 4), (2, 1, 2, 2), (2, 1), (1, 0), (1, 2), 2"],
        takes: Takes::COMPLEX,
    }

    /// Transposed convolution over one dimension: `[N, C, L]` with a weight `[C, O / groups, k]`; the output length is
    /// `(L - 1) * stride - 2 * padding + dilation * (k - 1) + output_padding + 1`.
    conv_transpose1d(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Ints = 0, output_padding: Ints = 0,
        groups: Int = 1, dilation: Ints = 1
    ) -> Tensor, Special {
        body: Composite(|c| eval_conv_transpose(c, 1)),
        method: false, onnx: Some("ConvTranspose"),
        samples: &["r(1, 2, 3), r(2, 2, 3), r(2)", "r(1, 2, 3), r(2, 1, 2), None, 2, 1, 1, 2, 2"],
    }

    /// Transposed convolution over two dimensions: `[N, C, H, W]` with a weight `[C, O / groups, kh, kw]`.
    conv_transpose2d(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Ints = 0, output_padding: Ints = 0,
        groups: Int = 1, dilation: Ints = 1
    ) -> Tensor, Special {
        body: Composite(|c| eval_conv_transpose(c, 2)),
        method: false, onnx: Some("ConvTranspose"),
        samples: &["r(1, 2, 2, 2), r(2, 1, 2, 3), r(1)", "r(1, 2, 2, 2), r(2, 1, 2, 2), r(2), (2, 1), (1, 0), (1, 0), 2, (1, 2)"],
    }

    /// Transposed convolution over three dimensions.
    conv_transpose3d(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Ints = 0, output_padding: Ints = 0,
        groups: Int = 1, dilation: Ints = 1
    ) -> Tensor, Special {
        body: Composite(|c| eval_conv_transpose(c, 3)),
        method: false, onnx: Some("ConvTranspose"),
        samples: &["r(1, 1, 2, 1, 2), r(1, 2, 2, 1, 2), r(2), 2, 0, (1, 0, 0)"],
    }

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
                let (count, [h, w]) = planes(outs[0].shape(), rank(c, 1))?;
                let (index, g1) = (checked_indices(c.x(1), h * w)?, ready(c.x(0))?);
                let p = g1.numel() / count.max(1);
                written_as(&outs[0], g1.dtype(), |gx| {
                    compute!(g1.dtype(), T => pool::scatter::<T>(count, h * w, p, g1.ptr(), index.ptr(), gx.ptr()));
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
                let (count, [h, w]) = planes(c.x(0).shape(), rank(c, 0))?;
                let (index, x1) = (checked_indices(c.x(1), h * w)?, ready(c.x(0))?);
                let p = index.numel() / count.max(1);
                written_as(&outs[0], x1.dtype(), |out| {
                    compute!(x1.dtype(), T => pool::gather::<T>(count, h * w, p, x1.ptr(), index.ptr(), out.ptr()));
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
            _ => z.avg_pool2d(v.ints(1), Some(v.ints(2)), v.ints(3), v.bool(4), v.bool(5), v.opt_int(6)),
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
                _ => z.adaptive_avg_pool2d(&s[s.len() - 2..]),
            }
        })),
        method: false, function: false,
        samples: &["r(1, 2, 2), (1, 2, 5), 1", "r(1, 2, 1, 1), (1, 2, 3, 4), 2", "r(1, 1, 2, 3), (1, 1, 3, 4), 2"],
    }

    /// Images resized to `output_size`; each pixel is the one of the input that it lies in.
    upsample_nearest2d(input: Tensor, output_size: Ints) -> Tensor, Special {
        body: Kernel(|c| infer_resize(c, None), |c, outs| compute_resize(c, None, outs)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::upsample_grad(g, &v.sizes(0), "nearest", false))),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 1, 2, 3), (4, 5)", "r(1, 1, 4, 3), (2, 2)"],
    }

    /// Images resized to `output_size` by linear interpolation in both directions; `align_corners` says whether the
    /// centres of the corner pixels stay in place, or the outer edges of the image.
    upsample_bilinear2d(input: Tensor, output_size: Ints, align_corners: Bool = false) -> Tensor, Special {
        body: Kernel(|c| infer_resize(c, Some(c.bool(1))), |c, outs| compute_resize(c, Some(c.bool(1)), outs)),
        vjp: vjp!(|v| v.g().then(|g| Tensor::upsample_grad(g, &v.sizes(0), "bilinear", v.bool(1)))),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 1, 2, 3), (4, 5)", "r(1, 1, 2, 3), (4, 5), True"],
    }

    /// Gradient of the resizing ops with respect to their input of shape `input_size`.
    upsample_grad(grad: Tensor, input_size: Ints, mode: Str, align_corners: Bool) -> Tensor, Special {
        body: Kernel(infer_resize_grad, compute_resize_grad),
        vjp: vjp!(|v| v.g().then(|z| {
            let s = v.sizes(0);
            match v.str(1) {
                "bilinear" => z.upsample_bilinear2d(&s[s.len() - 2..], v.bool(2)),
                _ => z.upsample_nearest2d(&s[s.len() - 2..]),
            }
        })),
        method: false, function: false,
        samples: &[
            "r(1, 1, 4, 5), (1, 1, 2, 3), 'nearest', False", "r(1, 1, 4, 5), (1, 1, 2, 3), 'bilinear', False",
            "r(1, 1, 4, 5), (1, 1, 2, 3), 'bilinear', True",
        ],
    }

    /// The windows of images `[N, C, H, W]` as columns: `[N, C * kh * kw, number of windows]` (`unfold` of PyTorch's
    /// functional module).
    im2col(input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Tensor, Special {
        body: Kernel(
            |c| {
                let x = c.x(0);
                let g = window_geometry(x.shape(), c, 0)?;
                if g.c_in == 0 {
                    bail!(Shape, "expected input with channels, but got size {:?}", x.shape());
                }
                let mut shape = Dims::from_slice(&x.shape()[..x.ndim() - 3]);
                shape.extend_from_slice(&[g.depth(), g.positions()]);
                // Elements are only moved: every dtype will do.
                Spec::rows(&shape, x.dtype())?.one()
            },
            compute_im2col,
        ),
        vjp: vjp!(|v| v.g().then(|g| {
            let s = v.sizes(0);
            g.col2im(&s[s.len() - 2..], v.ints(0), v.ints(1), v.ints(2), v.ints(3))
        })),
        method: false, function: false,
        samples: &["r(1, 1, 3, 4), (2, 2)", "r(1, 2, 4, 4), (2, 2), 2, 1, (1, 2)"],
        takes: Takes::COMPLEX,
    }

    /// Columns `[N, C * kh * kw, number of windows]` added up to images `[N, C, H, W]` (`fold` of PyTorch's functional
    /// module).
    col2im(input: Tensor, output_size: Ints, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1)
        -> Tensor, Special {
        body: Kernel(
            |c| computed(Spec::rows(&fold_geometry(c)?.0, c.x(0).dtype())?),
            compute_col2im,
        ),
        vjp: vjp!(|v| v.g().then(|z| z.im2col(v.ints(1), v.ints(2), v.ints(3), v.ints(4)))),
        method: false, function: false,
        samples: &["r(1, 4, 6), (3, 4), (2, 2)", "r(1, 8, 8), (4, 4), (2, 2), 2, 1, (1, 2)"],
        takes: Takes::COMPLEX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::matmul::tests::{gradcheck, noise};

    /// The formula, element by element, for `[N, C, H, W]`.
    fn naive(x: &Tensor, w: &Tensor, s: [usize; 2], p: [usize; 2], d: [usize; 2], groups: usize) -> (Dims, Vec<f64>) {
        let (xs, ws) = (x.dims(), w.dims());
        let (xv, wv) = (x.to_vec::<f64>().unwrap(), w.to_vec::<f64>().unwrap());
        let out = |i: usize| (xs[2 + i] + 2 * p[i] - d[i] * (ws[2 + i] - 1) - 1) / s[i] + 1;
        let shape = Dims::from_slice(&[xs[0], ws[0], out(0), out(1)]);
        let mut y = Vec::new();
        for n in 0..xs[0] {
            for o in 0..ws[0] {
                for r in 0..out(0) {
                    for c in 0..out(1) {
                        let mut sum = 0.0;
                        for k in 0..ws[1] {
                            let channel = o / (ws[0] / groups) * ws[1] + k;
                            for i in 0..ws[2] {
                                for j in 0..ws[3] {
                                    let (a, b) = (r * s[0] + i * d[0], c * s[1] + j * d[1]);
                                    if a >= p[0] && b >= p[1] && a - p[0] < xs[2] && b - p[1] < xs[3] {
                                        sum += xv[((n * xs[1] + channel) * xs[2] + a - p[0]) * xs[3] + b - p[1]]
                                            * wv[((o * ws[1] + k) * ws[2] + i) * ws[3] + j];
                                    }
                                }
                            }
                        }
                        y.push(sum);
                    }
                }
            }
        }
        (shape, y)
    }

    type Case = ([usize; 4], [usize; 4], [usize; 2], [usize; 2], [usize; 2], usize);
    const CASES: [Case; 9] = [
        ([2, 3, 5, 6], [4, 3, 3, 3], [1, 1], [1, 1], [1, 1], 1),
        ([3, 2, 7, 5], [4, 2, 3, 2], [2, 1], [0, 1], [1, 2], 1),
        ([1, 4, 6, 9], [6, 2, 2, 3], [2, 3], [1, 2], [2, 1], 2),
        ([2, 4, 5, 5], [4, 1, 3, 3], [1, 1], [1, 1], [1, 1], 4),
        ([2, 2, 6, 5], [4, 1, 3, 3], [2, 2], [1, 1], [1, 1], 2),
        ([2, 3, 4, 4], [5, 3, 1, 1], [1, 1], [0, 0], [1, 1], 1),
        ([2, 3, 20, 21], [2, 3, 3, 3], [1, 1], [1, 1], [1, 1], 1),
        ([2, 3, 20, 21], [4, 3, 1, 1], [1, 1], [0, 0], [1, 1], 1),
        ([1, 6, 70, 70], [3, 6, 5, 5], [1, 1], [2, 2], [1, 1], 1),
    ];

    fn signed<const N: usize>(v: [usize; N]) -> [i64; N] {
        v.map(|x| x as i64)
    }

    #[test]
    fn convolutions_and_their_gradients() {
        for (i, (xs, ws, s, p, d, groups)) in CASES.into_iter().enumerate() {
            let (x, w) = (noise(&xs, 1), noise(&ws, 2));
            let (shape, want) = naive(&x, &w, s, p, d, groups);
            let (s, p, d, groups) = (signed(s), signed(p), signed(d), groups as i64);
            for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
                let (x, w) = (x.to_dtype(dtype).unwrap(), w.to_dtype(dtype).unwrap());
                let y = x.conv2d(&w, None, &s, &p, &d, groups).unwrap();
                assert_eq!(y.shape(), shape.as_slice(), "case {i}");
                for (got, want) in y.to_vec::<f64>().unwrap().iter().zip(&want) {
                    assert!((got - want).abs() < tolerance * (1.0 + want.abs()), "case {i} {dtype}: {got} for {want}");
                }
                // <conv(x), g> = <x, input_grad(g)> = <w, weight_grad(g)>.
                let g = noise(&shape, 3).to_dtype(dtype).unwrap();
                let inner =
                    |a: &Tensor, b: &Tensor| a.mul(b).unwrap().sum(None, false, None).unwrap().item().unwrap().f64();
                let gx = Tensor::conv_input_grad(&g, &w, &signed(xs), &s, &p, &d, groups).unwrap();
                let gw = Tensor::conv_weight_grad(&g, &x, &signed(ws), &s, &p, &d, groups).unwrap();
                let want = inner(&y, &g);
                for got in [inner(&x, &gx), inner(&w, &gw)] {
                    assert!(
                        (got - want).abs() < 20.0 * tolerance * (1.0 + want.abs()),
                        "case {i} {dtype}: {got} for {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn second_derivatives() {
        gradcheck(
            &|x| x[0].conv2d(&x[1], Some(&x[2]), &[2], &[1], &[1], 2),
            &[noise(&[2, 4, 3, 3], 1), noise(&[2, 2, 2, 2], 2), noise(&[2], 3)],
        );
        gradcheck(
            &|x| x[0].conv1d(&x[1], Some(&x[2]), &[1], &[1], &[2], 1),
            &[noise(&[2, 5], 1), noise(&[3, 2, 2], 2), noise(&[3], 3)],
        );
        gradcheck(
            &|x| x[0].conv3d(&x[1], None, &[1], &[1], &[1], 1),
            &[noise(&[1, 1, 2, 3, 2], 1), noise(&[2, 1, 2, 2, 2], 2)],
        );
        gradcheck(
            &|x| x[0].conv_transpose2d(&x[1], Some(&x[2]), &[2], &[1], &[1], 2, &[1]),
            &[noise(&[1, 4, 2, 3], 1), noise(&[4, 1, 3, 2], 2), noise(&[2], 3)],
        );
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
        gradcheck(&|x| x[0].upsample_bilinear2d(&[5, 3], false), &[noise(&[2, 3, 4], 1)]);
        gradcheck(&|x| x[0].upsample_nearest2d(&[5, 3]), &[noise(&[2, 3, 4], 1)]);
        gradcheck(&|x| x[0].im2col(&[2], &[1], &[1], &[2]), &[noise(&[1, 2, 3, 4], 1)]);
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
