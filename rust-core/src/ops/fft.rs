//! Discrete Fourier transforms: three kernels, the functions of PyTorch's module `fft` made of them, and transforms of the
//! windows of a signal (Allen and Rabiner, *A unified approach to short-time Fourier analysis and synthesis*, 1977).

use crate::bail;
use crate::dtype::{DType, Scalar, default_dtype};
use crate::engine::copy::{contiguous_unlocked, copy_into, written_as};
use crate::error::Result;
use crate::kernels::fft;
use crate::memory;
use crate::shape::{around, real_dim};
use crate::table::{Cast, Call, Outs, Refusal, Spec, Specs, Takes, holds, one};
use crate::table::rules::number;
use crate::tensor::Tensor;
use smallvec::SmallVec;

type Axes = SmallVec<[usize; 5]>;
type Sizes = SmallVec<[i64; 5]>;

/// Runs a body with `T` for the real type behind a dtype.
macro_rules! real {
    ($dtype:expr, $T:ident => $body:expr) => {
        if $dtype.real() == DType::F64 {
            type $T = f64;
            $body
        } else {
            type $T = f32;
            $body
        }
    };
}

// ---- kernels ----

/// The dimensions that are transformed, in their order.
fn axes(dims: &[i64], ndim: usize) -> Result<Axes> {
    let mut axes: Axes = memory::room(dims.len())?;
    for &d in dims {
        let d = real_dim(d, ndim)?;
        if axes.contains(&d) {
            bail!(Value, "dims must be unique, got {dims:?}");
        }
        axes.push(d);
    }
    Ok(axes)
}

/// Refuses transforms of nothing.
fn points(n: i64) -> Result<i64> {
    if n < 1 {
        bail!(Value, "invalid number of data points ({n}) specified");
    }
    Ok(n)
}

/// As [`axes`], those of a tensor that has elements along each, and the factor that `normalization` means: 1, or one over (the
/// root of) the number of elements that are added up. `last` is the size of the last axis where that is not the tensor's.
fn normalized(t: &Tensor, dims: &[i64], normalization: i64, last: Option<i64>) -> Result<(Axes, f64)> {
    let axes = axes(dims, t.ndim())?;
    let mut count = 1.0;
    for (i, &d) in axes.iter().enumerate() {
        let n = t.shape()[d] as i64;
        count *= points(if i + 1 == axes.len() { last.unwrap_or(n) } else { n })? as f64;
    }
    let factor = match normalization {
        0 => 1.0,
        1 => 1.0 / count.sqrt(),
        2 => 1.0 / count,
        n => bail!(Value, "normalization must be 0 (none), 1 (by the root of n) or 2 (by n), got {n}"),
    };
    Ok((axes, factor))
}

fn some(axes: &[usize]) -> Result<usize> {
    match axes.last() {
        Some(&d) => Ok(d),
        None => bail!(Value, "must transform at least one dimension"),
    }
}

/// The shape of `t` with `n` elements along `dim`.
fn resized_spec(t: &Tensor, dim: usize, n: usize, dtype: DType) -> Result<Specs> {
    let mut shape = t.dims();
    shape[dim] = n;
    Spec::rows(&shape, dtype)?.one()
}

fn only_complex(t: &Tensor) -> Result<()> {
    if !t.dtype().is_complex() {
        bail!(DType, "expected a complex tensor, got {}", t.dtype());
    }
    Ok(())
}

fn infer_c2c(c: &Call) -> Result<Specs> {
    only_complex(c.x(0))?;
    normalized(c.x(0), c.ints(0), c.int(1), None)?;
    Spec::rows(c.x(0).shape(), c.x(0).dtype())?.one()
}

/// Transforms row-major complex `t` in place along `axes`, the last one first, and multiplies by `factor`.
fn transform(t: &Tensor, axes: &[usize], forward: bool, factor: f64) -> Result<()> {
    real!(t.dtype(), T => for (i, &d) in axes.iter().enumerate().rev() {
        let factor = if i == 0 { factor } else { 1.0 };
        // SAFETY: a row-major tensor of our own, of these sizes.
        unsafe { fft::complex::<T>(t.data_ptr().cast(), around(t.shape(), d), forward, factor)? }
    });
    Ok(())
}

fn compute_c2c(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (axes, factor) = normalized(c.x(0), c.ints(0), c.int(1), None)?;
    written_as(&outs[0], c.x(0).dtype(), |out| {
        copy_into(out, c.x(0))?;
        transform(out, &axes, c.bool(2), factor)
    })
}

fn infer_r2c(c: &Call) -> Result<Specs> {
    let x = c.x(0);
    if !matches!(x.dtype(), DType::F32 | DType::F64) {
        bail!(DType, "expected a float32 or float64 tensor, got {}", x.dtype());
    }
    let last = some(&normalized(x, c.ints(0), c.int(1), None)?.0)?;
    let n = x.shape()[last];
    resized_spec(x, last, if c.bool(2) { n / 2 + 1 } else { n }, x.dtype().complex())
}

fn compute_r2c(c: &Call, outs: &[Tensor]) -> Result<()> {
    let x = contiguous_unlocked(c.x(0), c.x(0).dtype(), false)?;
    let (axes, factor) = normalized(&x, c.ints(0), c.int(1), None)?;
    let last = some(&axes)?;
    written_as(&outs[0], x.dtype().complex(), |out| {
        real!(x.dtype(), T => {
            let h = out.shape()[last];
            // SAFETY: row-major tensors of these sizes; the result is our own.
            unsafe { fft::of_real::<T>(x.ptr(), out.data_ptr().cast(), around(x.shape(), last), h, factor)? }
        });
        transform(out, &axes[..axes.len() - 1], true, 1.0)
    })
}

fn infer_c2r(c: &Call) -> Result<Specs> {
    let (x, n) = (c.x(0), points(c.int(2))?);
    only_complex(x)?;
    let last = some(&normalized(x, c.ints(0), c.int(1), Some(n))?.0)?;
    if x.shape()[last] as i64 != n / 2 + 1 {
        bail!(Shape, "{n} real numbers have {} complex ones, got {}", n / 2 + 1, x.shape()[last]);
    }
    resized_spec(x, last, n as usize, x.dtype().real())
}

fn compute_c2r(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (axes, factor) = normalized(c.x(0), c.ints(0), c.int(1), Some(c.int(2)))?;
    let last = some(&axes)?;
    let others = &axes[..axes.len() - 1];
    let x = contiguous_unlocked(c.x(0), c.x(0).dtype(), !others.is_empty())?;
    transform(&x, others, false, 1.0)?;
    written_as(&outs[0], x.dtype().real(), |out| {
        real!(x.dtype(), T => {
            // SAFETY: row-major tensors of these sizes; the result is our own.
            unsafe { fft::to_real::<T>(x.data_ptr().cast(), out.ptr(), around(out.shape(), last), factor) }
        })
    })
}

/// `t` with the elements of `dim` that stand for two of a real transform of `n` multiplied by `factor`.
fn twice(t: &Tensor, dim: usize, n: usize, factor: f64) -> Result<Tensor> {
    let (h, d) = (n / 2 + 1, t.dtype().real());
    let of = |n: usize, v: f64| Tensor::filled(&[n], Scalar::Float(v), d);
    let weights = Tensor::cat(&[of(1, 1.0)?, of(n - h, factor)?, of(2 * h - n - 1, 1.0)?], 0)?;
    let mut shape: Sizes = memory::room(t.ndim() - dim)?;
    shape.push(h as i64);
    shape.resize(t.ndim() - dim, 1);
    t.mul(&weights.reshape(&shape)?)
}

fn last_axis(dims: &[i64], ndim: usize) -> Result<usize> {
    some(&axes(dims, ndim)?)
}

fn r2c_rule(g: &Tensor, shape: &[usize], dims: &[i64], normalization: i64, onesided: bool) -> Result<Tensor> {
    if !onesided {
        return g.fft_c2c(dims, normalization, false)?.real();
    }
    let last = last_axis(dims, shape.len())?;
    twice(g, last, shape[last], 0.5)?.fft_c2r(dims, normalization, shape[last] as i64)
}

fn c2r_rule(g: &Tensor, dims: &[i64], normalization: i64) -> Result<Tensor> {
    let last = last_axis(dims, g.ndim())?;
    twice(&g.fft_r2c(dims, normalization, true)?, last, g.shape()[last], 2.0)
}

// ---- the functions ----

/// The input in the dtype of its transform: whole numbers in the default one.
fn promoted(x: &Tensor, complex: bool) -> Result<Tensor> {
    let d = x.dtype();
    let d = if d.is_differentiable() { d } else { default_dtype() };
    if d.is_float() && d.compute_dtype() != d {
        bail!(DType, "unsupported dtype {d}");
    }
    let d = if complex { d.complex() } else { d };
    if x.dtype() == d {
        return Ok(x.clone());
    }
    x.to_dtype(d)
}

fn promoted_real(x: &Tensor) -> Result<Tensor> {
    if x.dtype().is_complex() {
        bail!(DType, "expects a real input tensor, but got {}", x.dtype());
    }
    promoted(x, false)
}

/// The number for a word, see [`normalized`].
fn normalization(word: &str, forward: bool) -> Result<i64> {
    Ok(match word {
        "" | "backward" => i64::from(!forward) * 2,
        "forward" => i64::from(forward) * 2,
        "ortho" => 1,
        word => bail!(Value, "invalid normalization mode: {word:?}, expected \"forward\", \"backward\" or \"ortho\""),
    })
}

/// `x` cut off or filled up with zeros to these sizes along some dimensions.
fn resized(x: &Tensor, axes: &[usize], sizes: &[i64]) -> Result<Tensor> {
    let (mut x, mut pad, mut padded) = (x.clone(), Sizes::from_elem(0, 2 * x.ndim()), false);
    for (&d, &n) in axes.iter().zip(sizes) {
        let (now, after) = (x.shape()[d] as i64, 2 * (x.ndim() - 1 - d) + 1);
        if n < now {
            x = x.narrow(d as i64, 0, n)?;
        }
        pad[after] = (n - now).max(0);
        padded |= n > now;
    }
    if padded {
        x.pad(&pad, "constant", None)
    } else {
        Ok(x)
    }
}

/// Which dimensions are transformed, and how many elements of each.
struct Lines {
    axes: Axes,
    sizes: Sizes,
}

impl Lines {
    /// Of a function of one dimension. `doubled`: by default twice as many elements as the input has, but for the ends.
    fn single(c: &Call, doubled: bool) -> Result<Lines> {
        let x = c.x(0);
        let d = real_dim(c.int(1), x.ndim())?;
        let now = x.shape()[d] as i64;
        let n = c.opt_int(0).unwrap_or(if doubled { before_halving(now) } else { now });
        Ok(Lines { axes: Axes::from_iter([d]), sizes: Sizes::from_iter([points(n)?]) })
    }
    /// Of one of several dimensions: those of `dim`, or the last ones, as many as there are sizes, or all.
    fn several(c: &Call, doubled: bool) -> Result<Lines> {
        let (x, s) = (c.x(0), c.opt_ints(0));
        let axes = match (c.opt_ints(1), s) {
            (Some(dim), s) => {
                let axes = axes(dim, x.ndim())?;
                if let Some(s) = s.filter(|s| s.len() != dim.len()) {
                    bail!(Shape, "dim and s must have the same length, got {} and {}", dim.len(), s.len());
                }
                axes
            }
            (None, Some(s)) if s.len() > x.ndim() => {
                bail!(Shape, "got s with {} values, but the input tensor has only {} dimensions", s.len(), x.ndim())
            }
            (None, s) => (x.ndim() - s.map_or(x.ndim(), |s| s.len())..x.ndim()).collect(),
        };
        let mut sizes: Sizes = memory::room(axes.len())?;
        for (i, &d) in axes.iter().enumerate() {
            let now = x.shape()[d] as i64;
            let now = if doubled && i + 1 == axes.len() { before_halving(now) } else { now };
            sizes.push(points(s.map(|s| s[i]).filter(|&n| n != -1).unwrap_or(now))?);
        }
        Ok(Lines { axes, sizes })
    }
    fn dims(&self) -> Sizes {
        self.axes.iter().map(|&d| d as i64).collect()
    }
    fn resized(&self, x: &Tensor) -> Result<Tensor> {
        resized(x, &self.axes, &self.sizes)
    }
    /// With complex numbers as many as have real ones.
    fn halved(&self, x: &Tensor) -> Result<Tensor> {
        some(&self.axes)?;
        let mut sizes = self.sizes.clone();
        if let Some(n) = sizes.last_mut() {
            *n = *n / 2 + 1;
        }
        resized(x, &self.axes, &sizes)
    }
    /// Complex to complex.
    fn c2c(&self, x: &Tensor, norm: &str, forward: bool) -> Result<Outs> {
        let (x, norm) = (promoted(x, true)?, normalization(norm, forward)?);
        one(self.resized(&x)?.fft_c2c(&self.dims(), norm, forward)?)
    }
    /// Real to half of the complex numbers.
    fn r2c(&self, x: &Tensor, norm: &str, forward: bool) -> Result<Outs> {
        let (x, norm, dims) = (promoted_real(x)?, normalization(norm, forward)?, self.dims());
        some(&self.axes)?;
        let x = self.resized(&x)?;
        if forward {
            return one(x.fft_r2c(&dims, norm, true)?);
        }
        // The inverse of the transform of real numbers is its conjugate; that of the others is not.
        let (others, last) = dims.split_at(dims.len() - 1);
        let y = x.fft_r2c(last, norm, true)?.conj()?;
        one(if others.is_empty() { y } else { y.fft_c2c(others, norm, false)? })
    }
    /// Half of the complex numbers to real ones.
    fn c2r(&self, x: &Tensor, norm: &str, forward: bool) -> Result<Outs> {
        let (x, norm, dims) = (promoted(x, true)?, normalization(norm, forward)?, self.dims());
        let x = self.halved(&x)?;
        let n = self.sizes[self.sizes.len() - 1];
        // A forward transform is the conjugate of the inverse one of conjugates.
        one(if forward { x.conj()? } else { x }.fft_c2r(&dims, norm, n)?)
    }
}

/// How many real numbers `h` complex ones stand for, if they are an even number.
fn before_halving(h: i64) -> i64 {
    h.saturating_sub(1).saturating_mul(2)
}

/// `fft` and `ifft`.
fn complex_single(c: &Call, forward: bool) -> Result<Outs> {
    let lines = Lines::single(c, false)?;
    if c.x(0).dtype().is_complex() {
        return lines.c2c(c.x(0), c.str(2), forward);
    }
    let y = lines.resized(&promoted(c.x(0), false)?)?.fft_r2c(&lines.dims(), normalization(c.str(2), forward)?, false)?;
    one(if forward { y } else { y.conj()? })
}

/// Rolls the dimensions by half of their sizes, rounded up or down.
fn shifted(c: &Call, up: usize) -> Result<Outs> {
    let x = c.x(0);
    let dims: Sizes = c.opt_ints(0).map_or_else(|| (0..x.ndim() as i64).collect(), Sizes::from_slice);
    if dims.is_empty() {
        return one(x.duplicate()?);
    }
    let mut shifts: Sizes = memory::room(dims.len())?;
    for &d in &dims {
        shifts.push(((x.shape()[real_dim(d, x.ndim())?] + up) / 2) as i64);
    }
    one(x.roll(&shifts, &dims)?)
}

/// The numbers from `start` to `end`, divided by `n d`.
fn frequencies(c: &Call, start: i64, end: i64) -> Result<Tensor> {
    let (n, dtype) = (c.int(0), c.opt_dtype(2).unwrap_or(default_dtype()));
    if !dtype.is_float() {
        bail!(DType, "requires a floating point dtype, got {dtype}");
    }
    let k = Tensor::arange(Scalar::Int(start), Scalar::Int(end), Scalar::Int(1), Some(dtype))?;
    k.mul(&number(1.0 / (n as f64 * c.float(1)))?)
}

fn counted(c: &Call) -> Result<i64> {
    match c.int(0) {
        n if n >= 0 => Ok(n),
        n => bail!(Value, "n must be non-negative, got {n}"),
    }
}

// ---- windows of a signal ----

/// Sizes of the windows that a signal is taken apart into.
struct Frames {
    n: i64,
    hop: i64,
    window: i64,
}

impl Frames {
    fn of(c: &Call) -> Result<Frames> {
        let n = c.int(0);
        if n < 1 {
            bail!(Value, "expected n_fft > 0, got {n}");
        }
        let (hop, window) = (c.opt_int(1).unwrap_or(n / 4), c.opt_int(2).unwrap_or(n));
        if hop < 1 {
            bail!(Value, "expected hop_length > 0, got {hop}");
        }
        if window < 1 || window > n {
            bail!(Value, "expected 0 < win_length <= n_fft, got win_length={window} and n_fft={n}");
        }
        if let Some(w) = c.opt(1) {
            if *w.shape() != [window as usize] {
                bail!(Shape, "expected a 1D window tensor of size win_length={window}, got shape {:?}", w.shape());
            }
        }
        Ok(Frames { n, hop, window })
    }
    /// Elements before the window where it is shorter than the transform.
    fn before(&self) -> i64 {
        (self.n - self.window) / 2
    }
    /// The window in the middle of a whole transform; none means ones.
    fn window(&self, c: &Call) -> Result<Option<Tensor>> {
        let w = match c.opt(1) {
            Some(w) => w.clone(),
            None if self.window == self.n => return Ok(None),
            None => Tensor::filled(&[self.window as usize], Scalar::Int(1), c.x(0).dtype().real())?,
        };
        if self.window == self.n {
            return Ok(Some(w));
        }
        w.pad(&[self.before(), self.n - self.window - self.before()], "constant", None).map(Some)
    }
}

/// True if the signal or the window is complex.
fn complex_signal(c: &Call) -> bool {
    c.x(0).dtype().is_complex() || c.opt(1).is_some_and(|w| w.dtype().is_complex())
}

#[cold]
fn no_half<T>() -> Result<T> {
    bail!(Value, "cannot have onesided output if window or input is complex")
}

fn eval_stft(c: &Call) -> Result<Outs> {
    let (x, center, onesided, aligned) = (c.x(0), c.bool(3), c.bool(6), c.bool(8));
    if !x.dtype().is_differentiable() {
        bail!(DType, "expected a tensor of floating point or complex values, got {}", x.dtype());
    }
    if !matches!(x.ndim(), 1 | 2) {
        bail!(Shape, "expected a 1D or 2D tensor, got shape {:?}", x.shape());
    }
    if center && aligned {
        bail!(Value, "align_to_window should only be set when center=False");
    }
    let f = Frames::of(c)?;
    if onesided && complex_signal(c) {
        return no_half();
    }
    let mut signal = if x.ndim() == 1 { x.unsqueeze(0)? } else { x.clone() };
    if center {
        let half = f.n / 2;
        // Padding wants a dimension for channels.
        signal = signal.unsqueeze(0)?.pad(&[half, half], c.str(4), None)?.squeeze(Some(&[0]))?;
    }
    let length = signal.shape()[1] as i64;
    if f.n > length {
        bail!(Value, "expected 0 < n_fft <= {length}, the length of the signal, got n_fft={}", f.n);
    }
    if aligned {
        signal = signal.pad(&[f.before(), f.n - f.window - f.before()], "constant", None)?;
    }
    let mut frames = signal.unfold(-1, f.n, f.hop)?;
    if let Some(w) = f.window(c)? {
        frames = frames.mul(&w)?;
    }
    let normalization = i64::from(c.bool(5));
    let frames = promoted(&frames, false)?;
    let spectrum = if frames.dtype().is_complex() {
        frames.fft_c2c(&[2], normalization, true)?
    } else {
        frames.fft_r2c(&[2], normalization, onesided)?
    };
    let mut out = spectrum.transpose(1, 2)?;
    if x.ndim() == 1 {
        out = out.squeeze(Some(&[0]))?;
    }
    one(if c.bool(7) { out } else { out.view_as_real()? })
}

fn eval_istft(c: &Call) -> Result<Outs> {
    let (x, center, onesided, complex) = (c.x(0), c.bool(3), c.bool(5), c.bool(7));
    if !x.dtype().is_complex() {
        bail!(DType, "requires a complex-valued input tensor, as stft gives with return_complex=True, got {}", x.dtype());
    }
    if !matches!(x.ndim(), 2 | 3) {
        bail!(Shape, "expected a tensor with 2 or 3 dimensions, got shape {:?}", x.shape());
    }
    if x.numel() == 0 {
        bail!(Value, "input tensor cannot be empty, got shape {:?}", x.shape());
    }
    let f = Frames::of(c)?;
    if f.hop > f.window {
        bail!(Value, "expected 0 < hop_length <= win_length, got {} and {}", f.hop, f.window);
    }
    let (count, have) = (if onesided { f.n / 2 + 1 } else { f.n }, x.shape()[x.ndim() - 2] as i64);
    if have != count {
        bail!(Shape, "expected the frequency dimension of the input to have size {count} for n_fft={} and onesided={onesided}, got {have}", f.n);
    }
    if complex && onesided {
        return no_half();
    }
    if !complex && c.opt(1).is_some_and(|w| w.dtype().is_complex()) {
        bail!(Value, "complex windows are incompatible with return_complex=False");
    }
    let spectrum = if x.ndim() == 2 { x.unsqueeze(0)? } else { x.clone() }.transpose(1, 2)?;
    let (batch, windows) = (spectrum.shape()[0] as i64, spectrum.shape()[1] as i64);
    let normalization = if c.bool(4) { 1 } else { 2 };
    let frames = if complex {
        spectrum.fft_c2c(&[2], normalization, false)?
    } else {
        spectrum.narrow(2, 0, f.n / 2 + 1)?.fft_c2r(&[2], normalization, f.n)?
    };
    let Some(length) = (windows - 1).checked_mul(f.hop).and_then(|n| n.checked_add(f.n)) else {
        bail!(Memory, "{windows} windows, {} apart, are too many", f.hop);
    };
    let window = match f.window(c)? {
        Some(w) => w,
        None => Tensor::filled(&[f.n as usize], Scalar::Int(1), x.dtype().real())?,
    };
    let signal = Tensor::unfold_backward(&frames.mul(&window)?, &[batch, length], 1, f.n, f.hop)?;
    let square = window.mul(&window)?.expand(&[1, windows, f.n])?;
    let weights = Tensor::unfold_backward(&square, &[1, length], 1, f.n, f.hop)?;
    let start = if center { f.n / 2 } else { 0 };
    let end = match c.opt_int(6) {
        Some(n) if n < 0 => bail!(Value, "length must be non-negative, got {n}"),
        Some(n) => start.saturating_add(n),
        None => length - start,
    };
    let (from, to) = (start.min(length), end.clamp(start, length));
    let cut = |t: &Tensor| t.narrow(1, from, (to - from).max(0));
    let (signal, weights) = (cut(&signal)?, cut(&weights)?);
    if weights.numel() > 0 && holds(&weights.abs()?.min_all()?.le(&number(1e-11)?)?)? {
        bail!(Value, "the windows do not overlap enough: the sum of their squares is almost 0 at some place");
    }
    let mut out = signal.div(&weights, "")?;
    let missing = end.saturating_sub(start).saturating_sub((to - from).max(0));
    if c.opt_int(6).is_some() && missing > 0 {
        out = out.pad(&[0, missing], "constant", None)?;
    }
    one(if x.ndim() == 2 { out.squeeze(Some(&[0]))? } else { out })
}

ops! {
    /// The transform of complex numbers along each of `dim`: sums of `input[j] exp(-2 pi i j k / n)`, or with a plus if not
    /// `forward`; times 1, `1 / sqrt(n)` or `1 / n` as `normalization` is 0, 1 or 2, `n` being the number of elements that
    /// are added up.
    fft_c2c(input: Tensor, dim: Ints, normalization: Int, forward: Bool) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(infer_c2c, compute_c2c),
        vjp: vjp!(|v| v.g().then(|g| g.fft_c2c(v.ints(0), v.int(1), !v.bool(2)))), conjugates: true,
        method: false, function: false, takes: Takes::COMPLEX,
        refuses: &[
            Refusal { call: "rt.ones(3), 0, 0, True", message: "expected a complex tensor" },
            Refusal { call: "rt.ones(3) + 0j, 0, 3, True", message: "normalization must be" },
            Refusal { call: "rt.ones(3, 3) + 0j, (0, -2), 0, True", message: "must be unique" },
        ],
        samples: &["z2(2, 3), (0, 1), 0, True", "z2(4), 0, 1, False"],
    }

    /// The transform of real numbers along each of `dim`, as [`fft_c2c`] forward; of the last one only the first
    /// `n / 2 + 1` numbers if `onesided`, as the others are the conjugates of these.
    fft_r2c(input: Tensor, dim: Ints, normalization: Int, onesided: Bool) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(infer_r2c, compute_r2c),
        vjp: vjp!(|v| v.g().then(|g| r2c_rule(g, v.shape(0), v.ints(0), v.int(1), v.bool(2)))), conjugates: true,
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3), (), 0, True", message: "at least one" },
            Refusal { call: "rt.ones(0), 0, 0, True", message: "data points (0)" },
        ],
        samples: &["r(2, 4), (0, 1), 0, True", "r(5), 0, 1, True", "r(3, 2), 0, 2, False", "r(1), 0, 0, True"],
    }

    /// The real numbers of which `input` is the first half of the transform, times their number: `last_dim_size` along the
    /// last of `dim`, where `input` has `last_dim_size / 2 + 1`. Imaginary parts of those that stand for one number, not for
    /// two, do not count.
    fft_c2r(input: Tensor, dim: Ints, normalization: Int, last_dim_size: Int) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(infer_c2r, compute_c2r),
        vjp: vjp!(|v| v.g().then(|g| c2r_rule(g, v.ints(0), v.int(1)))), conjugates: true,
        method: false, function: false, takes: Takes::COMPLEX,
        refuses: &[Refusal { call: "rt.ones(3) + 0j, 0, 0, 7", message: "7 real numbers have 4 complex ones" }],
        samples: &["z2(2, 3), (0, 1), 0, 4", "z2(3), 0, 1, 5", "z2(3, 2), 0, 2, 4", "z2(1), 0, 0, 1"],
    }

    /// The discrete Fourier transform along `dim`: `y[k] = sum of input[j] exp(-2 pi i j k / n)`. The input is first cut off
    /// or filled up with zeros to `n` elements. `norm` "forward" divides by `n`, "ortho" by its root; "backward", as nothing,
    /// leaves that to the inverse.
    fft_fft(input: Tensor, n: OptInt = None, dim: Int = -1, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| complex_single(c, true)), method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3), 0", message: "data points (0)" },
            Refusal { call: "rt.ones(3), norm='both'", message: "normalization mode" },
            Refusal { call: "rt.ones(3).half()", message: "unsupported dtype float16" },
            Refusal { call: "rt.tensor(1.0)", message: "0-dim" },
        ],
        samples: &["r(2, 3)", "z2(3, 2), 4, 0, 'ortho'", "r(5), 4, norm='forward'"],
    }

    /// The inverse of `fft_fft`: `y[k] = sum of input[j] exp(2 pi i j k / n) / n`.
    fft_ifft(input: Tensor, n: OptInt = None, dim: Int = -1, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| complex_single(c, false)), method: false, function: false,
        samples: &["r(2, 3)", "z2(3, 2), 4, 0, 'ortho'", "r(5), 4, norm='forward'"],
    }

    /// As `fft_fft` for a real input; gives the first `n / 2 + 1` numbers, of which the others are conjugates.
    fft_rfft(input: Tensor, n: OptInt = None, dim: Int = -1, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::single(c, false)?.r2c(c.x(0), c.str(2), true)), method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3) + 0j", message: "expects a real input" }],
        samples: &["r(2, 4)", "r(5, 2), 3, 0, 'ortho'"],
    }

    /// The inverse of `fft_rfft`; `n`, the size of the result, is `2 (m - 1)` by default.
    fft_irfft(input: Tensor, n: OptInt = None, dim: Int = -1, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::single(c, true)?.c2r(c.x(0), c.str(2), false)), method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(1)", message: "data points (0)" }],
        samples: &["z2(2, 3)", "z2(3, 2), 5, 0, 'ortho'", "r(3)"],
    }

    /// The transform, real, of a signal of which `input` is the first half: the second is the conjugate of the first.
    fft_hfft(input: Tensor, n: OptInt = None, dim: Int = -1, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::single(c, true)?.c2r(c.x(0), c.str(2), true)), method: false, function: false,
        samples: &["z2(2, 3)", "z2(3, 2), 5, 0, 'ortho'"],
    }

    /// The inverse of `fft_hfft`: the first half of the inverse transform of real numbers.
    fft_ihfft(input: Tensor, n: OptInt = None, dim: Int = -1, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::single(c, false)?.r2c(c.x(0), c.str(2), false)), method: false, function: false,
        samples: &["r(2, 4)", "r(5, 2), 3, 0, 'ortho'"],
    }

    /// `fft_fftn` of two dimensions.
    fft_fft2(input: Tensor, s: OptInts = None, dim: Ints = [-2, -1], norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, false)?.c2c(c.x(0), c.str(2), true)), method: false, function: false,
        samples: &["r(2, 3)", "z2(2, 2, 2), (3, -1), (0, 2), 'ortho'"],
    }

    /// `fft_ifftn` of two dimensions.
    fft_ifft2(input: Tensor, s: OptInts = None, dim: Ints = [-2, -1], norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, false)?.c2c(c.x(0), c.str(2), false)), method: false, function: false,
        samples: &["r(2, 3)", "z2(2, 2, 2), (3, -1), (0, 2), 'ortho'"],
    }

    /// `fft_rfftn` of two dimensions.
    fft_rfft2(input: Tensor, s: OptInts = None, dim: Ints = [-2, -1], norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, false)?.r2c(c.x(0), c.str(2), true)), method: false, function: false,
        samples: &["r(2, 3)", "r(2, 2, 2), (3, -1), (0, 2), 'ortho'"],
    }

    /// `fft_irfftn` of two dimensions.
    fft_irfft2(input: Tensor, s: OptInts = None, dim: Ints = [-2, -1], norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, true)?.c2r(c.x(0), c.str(2), false)), method: false, function: false,
        samples: &["z2(2, 3)", "z2(2, 2, 2), (3, -1), (0, 2), 'ortho'"],
    }

    /// `fft_hfftn` of two dimensions.
    fft_hfft2(input: Tensor, s: OptInts = None, dim: Ints = [-2, -1], norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, true)?.c2r(c.x(0), c.str(2), true)), method: false, function: false,
        samples: &["z2(2, 3)", "z2(2, 2, 2), (3, -1), (0, 2), 'ortho'"],
    }

    /// `fft_ihfftn` of two dimensions.
    fft_ihfft2(input: Tensor, s: OptInts = None, dim: Ints = [-2, -1], norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, false)?.r2c(c.x(0), c.str(2), false)), method: false, function: false,
        samples: &["r(2, 3)", "r(2, 2, 2), (3, -1), (0, 2), 'ortho'"],
    }

    /// `fft_fft` along several dimensions: those of `dim`, by default the last ones, as many as `s` has sizes (-1 is that of
    /// the input), or all.
    fft_fftn(input: Tensor, s: OptInts = None, dim: OptInts = None, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, false)?.c2c(c.x(0), c.str(2), true)), method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3), (1, 2)", message: "only 1 dimensions" },
            Refusal { call: "rt.ones(3, 3), (1, 2), 0", message: "same length" },
            Refusal { call: "rt.ones(3, 3), dim=(0, 0)", message: "unique" },
        ],
        samples: &["r(2, 3)", "z2(2, 2, 2), (3, 1), None, 'forward'"],
    }

    /// The inverse of `fft_fftn`.
    fft_ifftn(input: Tensor, s: OptInts = None, dim: OptInts = None, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, false)?.c2c(c.x(0), c.str(2), false)), method: false, function: false,
        samples: &["r(2, 3)", "z2(2, 2, 2), (3, 1), None, 'forward'"],
    }

    /// `fft_rfft` along the last dimension, and `fft_fft` along the others.
    fft_rfftn(input: Tensor, s: OptInts = None, dim: OptInts = None, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, false)?.r2c(c.x(0), c.str(2), true)), method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3), dim=()", message: "at least one" }],
        samples: &["r(2, 3)", "r(2, 2, 2), (3, 1), None, 'forward'"],
    }

    /// The inverse of `fft_rfftn`; the last dimension has `2 (m - 1)` elements by default.
    fft_irfftn(input: Tensor, s: OptInts = None, dim: OptInts = None, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, true)?.c2r(c.x(0), c.str(2), false)), method: false, function: false,
        samples: &["z2(2, 3)", "z2(2, 2, 2), (3, 1), None, 'forward'"],
    }

    /// `fft_fft` along all dimensions but the last, and `fft_hfft` along that.
    fft_hfftn(input: Tensor, s: OptInts = None, dim: OptInts = None, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, true)?.c2r(c.x(0), c.str(2), true)), method: false, function: false,
        samples: &["z2(2, 3)", "z2(2, 2, 2), (3, 1), None, 'forward'"],
    }

    /// The inverse of `fft_hfftn`.
    fft_ihfftn(input: Tensor, s: OptInts = None, dim: OptInts = None, norm: Str = "") -> Tensor, Real {
        body: Composite(|c| Lines::several(c, false)?.r2c(c.x(0), c.str(2), false)), method: false, function: false,
        samples: &["r(2, 3)", "r(2, 2, 2), (3, 1), None, 'forward'"],
    }

    /// The frequencies of the results of `fft_fft` for `n` samples, `d` apart: `[0, 1, .., -2, -1] / (n d)`.
    fft_fftfreq(n: Int, d: Float = 1.0, dtype: OptDType = None) -> Tensor, Special {
        body: Composite(|c| {
            let n = counted(c)?;
            let k = frequencies(c, -(n / 2), n - n / 2)?;
            one(if n == 0 { k } else { k.roll(&[-(n / 2)], &[0])? })
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "-1", message: "non-negative" }, Refusal { call: "3, dtype=rt.int64", message: "floating point" }],
    }

    /// The frequencies of the results of `fft_rfft` for `n` samples, `d` apart: `[0, 1, .., n / 2] / (n d)`.
    fft_rfftfreq(n: Int, d: Float = 1.0, dtype: OptDType = None) -> Tensor, Special {
        body: Composite(|c| one(frequencies(c, 0, counted(c)? / 2 + 1)?)),
        method: false, function: false,
    }

    /// The order of the frequencies along `dim` (all by default) with zero in the middle.
    fft_fftshift(input: Tensor, dim: OptInts = None) -> Tensor, Real {
        body: Composite(|c| shifted(c, 0)), method: false, function: false,
        samples: &["r(2, 3)", "z2(3, 2), 0"],
    }

    /// The inverse of `fft_fftshift`.
    fft_ifftshift(input: Tensor, dim: OptInts = None) -> Tensor, Real {
        body: Composite(|c| shifted(c, 1)), method: false, function: false,
        samples: &["r(2, 3)", "z2(3, 2), 0"],
    }

    /// The transforms of the windows of a signal, `hop_length` apart (a quarter of `n_fft` by default): of `input`, `[T]` or
    /// `[B, T]`, `y[b, k, m] = sum of window[j] input[b, m hop_length + j] exp(-2 pi i j k / n_fft)`. A window of `win_length`
    /// elements (by default `n_fft`, and ones) stands in the middle of those of the transform. With `center` the signal is first
    /// padded by half of `n_fft` at both ends (`pad_mode` as of `pad`); without it, `align_to_window` has the first window, not
    /// the transform around it, begin where the signal does. `normalized` divides by the root of `n_fft`; `onesided` gives
    /// `n_fft / 2 + 1` of the frequencies, of which the others are conjugates. If not `return_complex`, real and imaginary
    /// parts are a dimension of size 2.
    stft(
        input: Tensor, n_fft: Int, hop_length: OptInt = None, win_length: OptInt = None, window: OptTensor = None,
        center: Bool = true, pad_mode: Str = "reflect", normalized: Bool = false, onesided: Bool = true,
        return_complex: Bool = true, align_to_window: Bool = false
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_stft),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(9), 10, center=False", message: "n_fft <= 9" },
            Refusal { call: "rt.ones(9), 4, window=rt.ones(3)", message: "win_length=4" },
            Refusal { call: "rt.ones(9), 4, 0", message: "hop_length > 0" },
            Refusal { call: "rt.ones(9) + 0j, 4", message: "onesided" },
            Refusal { call: "rt.ones(9), 4, align_to_window=True", message: "center=False" },
        ],
        samples: &[
            "r(2, 9), 4, window=r(4)", "r(9), 4, 2, 3, r(3), False, onesided=False", "z2(9), 4, 3, onesided=False",
            "r(9), 4, 2, 2, r(2), False, 'constant', True, True, False, True",
        ],
    }

    /// The signal whose windows have the transforms `input` (`[.., n_fft / 2 + 1, windows]`, or `n_fft` frequencies if not
    /// `onesided`), with the least squared difference: `sum of window ifft(input)` divided by the sum of squares of the windows, which
    /// must nowhere be 0 (Griffin and Lim 1984). With `center` the signal begins in the middle of the first window and ends in
    /// that of the last; with `length` it has so many elements. Real, but with `return_complex`.
    istft(
        input: Tensor, n_fft: Int, hop_length: OptInt = None, win_length: OptInt = None, window: OptTensor = None,
        center: Bool = true, normalized: Bool = false, onesided: Bool = true, length: OptInt = None,
        return_complex: Bool = false
    ) -> Tensor, Special {
        body: Composite(eval_istft),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3, 2), 4", message: "complex-valued" },
            Refusal { call: "rt.ones(4, 2) + 0j, 4", message: "frequency dimension" },
            Refusal { call: "rt.ones(3, 2) + 0j, 4, window=rt.zeros(4)", message: "overlap" },
            Refusal { call: "rt.ones(3, 2) + 0j, 4, 5", message: "hop_length <= win_length" },
        ],
        samples: &[
            "z2(2, 3, 4), 4, window=p(4)", "z2(4, 3), 4, 2, 3, p(3), onesided=False, return_complex=True",
            "z2(3, 3), 4, 1, None, p(4), False, True, True, 8",
        ],
    }
}
