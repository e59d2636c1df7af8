//! Convolution, and its windows as columns.

use crate::{bail, err};
use crate::dtype::{DType, Scalar};
use crate::engine::copy::written_as;
use crate::engine::dtypes::{compute, ready, supported};
use crate::engine::windows::{per_dim, three};
use crate::error::{Error, Result};
use crate::kernels::conv::{Geometry, self};
use crate::shape::{Dims, Layout, sizes};
use crate::table::{Call, Outs, Refusal, Saves, Spec, Specs, Takes, one, Cast};
use crate::table::lang::{Ex, rounded_once};
use crate::table::loops::in_parts;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// [`supported`], unless there is nothing to compute.
fn computed(spec: Spec) -> Result<Specs> {
    if spec.layout.numel() > 0 {
        supported(spec.dtype)?;
    }
    spec.one()
}

/// What the convolutions' kernels answer.
fn enough(memory: bool) -> Result<()> {
    if !memory {
        bail!(Memory, "could not allocate the buffers of a convolution");
    }
    Ok(())
}

// ---- convolution ----

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

fn eval_conv_padding(c: &Call, spatial: usize) -> Result<Outs> {
    let (w, bias, stride, dilation, groups) = (c.x(1), c.opt(2), c.ints(0), c.ints(2), c.int(3));
    if w.ndim() != spatial + 2 {
        bail!(Shape, "expected a {}D weight, but got weight of size {:?}", spatial + 2, w.shape());
    }
    let mut x = c.x(0).clone();
    let mut padding: SmallVec<[i64; 3]> = SmallVec::from_elem(0, spatial);
    match c.str(1) {
        "valid" => {}
        "same" if stride.iter().any(|&s| s != 1) => bail!(Value, "padding='same' is not supported for strided convolutions"),
        "same" if dilation.len() != 1 && dilation.len() != spatial => {
            bail!(Shape, "dilation must be one number or one for each of {spatial} dimensions, got {dilation:?}")
        }
        "same" => {
            let around = |i: usize| -> Result<i64> {
                let d = dilation[if dilation.len() == 1 { 0 } else { i }];
                (w.shape()[2 + i] as i64 - 1).checked_mul(d).ok_or_else(|| err!(Value, "the window is too wide: dilation {d}"))
            };
            let around: SmallVec<[i64; 3]> = (0..spatial).map(around).collect::<Result<_>>()?;
            if around.iter().all(|a| a % 2 == 0) {
                padding = around.iter().map(|a| a / 2).collect();
            } else {
                // The op pads both sides alike: here, the odd one behind.
                let sides: SmallVec<[i64; 6]> = around.iter().rev().flat_map(|a| [a / 2, a - a / 2]).collect();
                x = x.pad(&sides, "constant", None)?;
            }
        }
        other => bail!(Value, "padding must be 'same', 'valid' or ints, got {other:?}"),
    }
    one(match spatial {
        1 => x.conv1d(w, bias, stride, &padding, dilation, groups)?,
        2 => x.conv2d(w, bias, stride, &padding, dilation, groups)?,
        _ => x.conv3d(w, bias, stride, &padding, dilation, groups)?,
    })
}

ops! {
    /// Convolution (cross-correlation) over one dimension: `[N, C, L]` or `[C, L]` with a weight `[O, C / groups, k]`;
    /// the output length is `(L + 2 * padding - dilation * (k - 1) - 1) / stride + 1`.
    conv1d(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Ints = 0, dilation: Ints = 1, groups: Int = 1
    ) -> Tensor, Special {
        cast: Cast::Lower,
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
        cast: Cast::Lower,
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
        cast: Cast::Lower,
        body: Kernel(|c| infer_conv(c, 3), compute_conv), vjp: conv_rule!(), saves: Saves::CROSS, sends: conv_sends,
        method: false, onnx: Some("Conv"),
        samples: &[
            "r(1, 1, 2, 3, 2), r(2, 1, 2, 2, 1), r(2), 1, (0, 1, 0)",
            "r(1, 2, 2, 3, 2), r(2, 1, 1, 2, 2), None, (1, 2, 1), 0, 1, 2",
        ],
        takes: Takes::COMPLEX,
    }

    /// `conv1d` with `padding` by a word: "valid" for none, "same" for an output of the input's size, which wants `stride` 1;
    /// where that is an odd number, there is one more behind than before.
    conv1d_padding(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Str = "valid", dilation: Ints = 1,
        groups: Int = 1
    ) -> Tensor, Special {
        cast: Cast::Lower,
        body: Composite(|c| eval_conv_padding(c, 1)),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(1, 1, 3), rt.ones(1, 1, 2), None, 2, 'same'", message: "strided" },
            Refusal { call: "rt.ones(1, 1, 3), rt.ones(1, 1, 2), None, 1, 'full'", message: "padding must be" },
        ],
        samples: &["r(1, 2, 4), r(2, 2, 2), r(2), 1, 'same'", "r(1, 2, 4), r(2, 1, 2), r(2), 2, 'valid', 1, 2"],
        takes: Takes::COMPLEX,
    }

    /// `conv2d` with `padding` by a word, as in `conv1d_padding`.
    conv2d_padding(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Str = "valid", dilation: Ints = 1,
        groups: Int = 1
    ) -> Tensor, Special {
        cast: Cast::Lower,
        body: Composite(|c| eval_conv_padding(c, 2)),
        method: false, function: false,
        samples: &["r(1, 1, 4, 5), r(2, 1, 2, 3), None, 1, 'same', (1, 2)", "r(1, 1, 3, 3), r(1, 1, 3, 3), r(1), 1, 'same'"],
        takes: Takes::COMPLEX,
    }

    /// `conv3d` with `padding` by a word, as in `conv1d_padding`.
    conv3d_padding(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Str = "valid", dilation: Ints = 1,
        groups: Int = 1
    ) -> Tensor, Special {
        cast: Cast::Lower,
        body: Composite(|c| eval_conv_padding(c, 3)),
        method: false, function: false,
        samples: &["r(2, 3, 2, 4), r(1, 2, 1, 3, 2), r(1), 1, 'same'"],
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
        cast: Cast::Lower,
        body: Composite(|c| eval_conv_transpose(c, 1)),
        method: false, onnx: Some("ConvTranspose"),
        samples: &["r(1, 2, 3), r(2, 2, 3), r(2)", "r(1, 2, 3), r(2, 1, 2), None, 2, 1, 1, 2, 2"],
    }

    /// Transposed convolution over two dimensions: `[N, C, H, W]` with a weight `[C, O / groups, kh, kw]`.
    conv_transpose2d(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Ints = 0, output_padding: Ints = 0,
        groups: Int = 1, dilation: Ints = 1
    ) -> Tensor, Special {
        cast: Cast::Lower,
        body: Composite(|c| eval_conv_transpose(c, 2)),
        method: false, onnx: Some("ConvTranspose"),
        samples: &["r(1, 2, 2, 2), r(2, 1, 2, 3), r(1)", "r(1, 2, 2, 2), r(2, 1, 2, 2), r(2), (2, 1), (1, 0), (1, 0), 2, (1, 2)"],
    }

    /// Transposed convolution over three dimensions.
    conv_transpose3d(
        input: Tensor, weight: Tensor, bias: OptTensor = None, stride: Ints = 1, padding: Ints = 0, output_padding: Ints = 0,
        groups: Int = 1, dilation: Ints = 1
    ) -> Tensor, Special {
        cast: Cast::Lower,
        body: Composite(|c| eval_conv_transpose(c, 3)),
        method: false, onnx: Some("ConvTranspose"),
        samples: &["r(1, 1, 2, 1, 2), r(1, 2, 2, 1, 2), r(2), 2, 0, (1, 0, 0)"],
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
    use crate::autograd::check::{gradcheck, noise};

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
        gradcheck(&|x| x[0].im2col(&[2], &[1], &[1], &[2]), &[noise(&[1, 2, 3, 4], 1)]);
    }
}
