//! Resizing of images, and reading them at the places of a grid.

use crate::bail;
use crate::autograd::{Exs, grad, through};
use crate::dtype::{DType, Scalar};
use crate::engine::copy::{contiguous_unlocked, fill_new, written_as};
use crate::engine::dtypes::{compute, float, only_floats, ready, supported};
use crate::engine::windows::{per_dim, planes, three};
use crate::error::{Error, Result};
use crate::kernels::grid::{Mode, Padding, Sampling, self};
use crate::kernels::resize::{Axes, Resize, Taps, self};
use crate::memory::List;
use crate::shape::{Dims, checked_numel, sizes};
use crate::table::{Call, Grads, Outs, Refusal, Saves, Spec, Specs, Vjp, one, Cast};
use crate::table::lang::Ex;
use crate::tensor::Tensor;
use smallvec::SmallVec;

// ---- resizing ----

/// What an output element is made of.
#[derive(Clone, Copy, PartialEq)]
enum Filter {
    /// The element that it lies in, found as OpenCV does.
    Nearest,
    /// The element that it lies in.
    NearestExact,
    /// Straight lines between neighbours.
    Linear,
    /// The cubic convolution of Keys (1981), a = -0.75.
    Cubic,
    /// A triangle as wide as an output element.
    SmoothLinear,
    /// The cubic of Keys, a = -0.5, as wide as an output element.
    SmoothCubic,
}
use Filter::*;

impl Filter {
    fn moves(self) -> bool {
        matches!(self, Nearest | NearestExact)
    }
    fn smooths(self) -> bool {
        matches!(self, SmoothLinear | SmoothCubic)
    }
}

/// How the last `n` dimensions are resized.
struct How {
    n: usize,
    filter: Filter,
    align: bool,
    scales: [Option<f64>; 3],
}

impl How {
    /// The attributes that follow the sizes, from `k` on.
    fn of(c: &Call, n: usize, filter: Filter, k: usize) -> How {
        let (align, k) = if filter.moves() { (false, k) } else { (c.bool(k), k + 1) };
        let mut scales = [None; 3];
        for d in 0..n {
            scales[3 - n + d] = c.opt_float(k + d);
        }
        How { n, filter, align, scales }
    }

    /// The taps of a dimension of `size` elements that becomes `count`. Places are computed in float32 if `single`.
    fn taps<T: Resize>(&self, d: usize, size: usize, count: usize, single: bool) -> Result<Taps<T>> {
        let filter = self.filter;
        // In two dimensions the nearest element of what is doubled, or as large as it was, does not look at the scale.
        let plain = filter == Nearest && self.n == 2 && (count == size || count == 2 * size);
        if d < 3 - self.n || (count == size && (plain || filter == Linear || filter.smooths())) {
            return Taps::identity(count);
        }
        let single = single || filter.moves();
        let r = |v: f64| if single { v as f32 as f64 } else { v };
        let (n, last) = (size as f64, size - 1);
        let ratio = match self.scales[d].filter(|&s| s > 0.0 && !plain) {
            _ if self.align && count < 2 => 0.0,
            _ if self.align => r((n - 1.0) / (count as f64 - 1.0)),
            Some(s) => r(1.0 / s),
            None => r(n / count as f64),
        };
        if filter.smooths() {
            return self.smooth(size, count, ratio);
        }
        let each = [1, 1, 2, 4][filter as usize];
        let mut taps = Taps {
            count,
            each,
            at: List::filled(count * each, 0)?,
            weight: List::filled(if each > 1 { count * each } else { 0 }, T::ZERO)?,
            first: List::new(),
            stays: false,
        };
        for o in 0..count {
            let at = match filter {
                Nearest => r(o as f64 * ratio),
                NearestExact => r((o as f64 + 0.5) * ratio),
                _ if self.align => r(ratio * o as f64),
                _ => r(r(ratio * r(o as f64 + 0.5)) - 0.5),
            };
            let at = if filter == Linear { at.max(0.0) } else { at };
            let low = (at.floor() as i64).min(last as i64);
            let t = r(at - low as f64).clamp(0.0, 1.0);
            let place = |j: i64| low.saturating_add(j).clamp(0, last as i64) as usize;
            let mut set = |j: usize, at: usize, weight: f64| {
                taps.at[j * count + o] = at;
                if each > 1 {
                    taps.weight[j * count + o] = T::from_f64(weight);
                }
            };
            match filter {
                Linear => {
                    set(0, place(0), 1.0 - t);
                    set(1, place(1), t);
                }
                Cubic => {
                    for (j, x) in [t + 1.0, t, 1.0 - t, 2.0 - t].into_iter().enumerate() {
                        set(j, place(j as i64 - 1), keys(x, -0.75));
                    }
                }
                _ => set(0, place(0), 1.0),
            }
        }
        Ok(taps)
    }

    /// Filters that become wider where many elements are made one.
    fn smooth<T: Resize>(&self, size: usize, count: usize, ratio: f64) -> Result<Taps<T>> {
        let reach = if self.filter == SmoothCubic { 2.0 } else { 1.0 };
        let wide = ratio.max(1.0);
        let (support, most) = (reach * wide, ((reach * wide).ceil() * 2.0 + 1.0) as usize);
        let mut taps = Taps { count, each: 0, at: List::new(), weight: List::new(), first: List::new(), stays: false };
        taps.first.push(0)?;
        let mut weights = List::new();
        for o in 0..count {
            let centre = ratio * (o as f64 + 0.5);
            let from = ((centre - support + 0.5) as i64).max(0) as usize;
            let end = ((centre + support + 0.5) as i64).clamp(0, size as i64) as usize;
            let from = from.min(size - 1);
            let end = end.clamp(from + 1, from.saturating_add(most).min(size).max(from + 1));
            weights.clear();
            for i in from..end {
                let x = ((i as f64 - centre + 0.5) / wide).abs();
                weights.push(if self.filter == SmoothCubic { keys(x, -0.5) } else { (1.0 - x).max(0.0) })?;
            }
            let total: f64 = weights.iter().sum();
            for (i, w) in (from..end).zip(&weights) {
                taps.at.push(i)?;
                taps.weight.push(T::from_f64(if total == 0.0 { *w } else { w / total }))?;
            }
            taps.first.push(taps.at.len())?;
        }
        Ok(taps)
    }

    fn axes<T: Resize>(&self, size: [usize; 3], wanted: [usize; 3], single: bool) -> Result<Axes<T>> {
        let taps = |d: usize| self.taps(d, size[d], wanted[d], single);
        Ok([taps(0)?, taps(1)?, taps(2)?])
    }
}

/// The kernel of Keys (1981) at `x >= 0`.
fn keys(x: f64, a: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// Weights of neighbours are no whole numbers; bytes are the colours of pictures.
fn can_resize(dtype: DType, n: usize, filter: Filter) -> Result<()> {
    if !(filter.moves() || dtype.is_float() || dtype == DType::U8 && n == 2) {
        bail!(Unsupported, "interpolation between elements is not implemented for {}D inputs of dtype {dtype}", n + 2);
    }
    Ok(())
}

/// `shape` with other sizes in its last `n` dimensions.
fn resized(shape: &[usize], n: usize, wanted: [usize; 3]) -> Dims {
    let mut out = Dims::from_slice(&shape[..shape.len() - n]);
    out.extend_from_slice(&wanted[3 - n..]);
    out
}

/// The size of the output, which attribute `k` says.
fn wanted(c: &Call, k: usize, n: usize, shape: &[usize]) -> Result<[usize; 3]> {
    let sizes = c.ints(k);
    if shape.len() == n + 1 || shape.len() == n + 2 {
        let have = &shape[shape.len() - n..];
        if sizes.iter().any(|&v| v <= 0) || have.contains(&0) {
            bail!(Shape, "input and output sizes should be greater than 0, got {have:?} and {sizes:?}");
        }
        if shape[shape.len() - n - 1] == 0 {
            bail!(Shape, "only the batch may be empty, got input of shape {shape:?}");
        }
    }
    planes(shape, n)?;
    per_dim(sizes, n, 1, 1, "output_size")
}

fn infer_resize(c: &Call, n: usize, filter: Filter) -> Result<Specs> {
    let x = c.x(0);
    let size = wanted(c, 0, n, x.shape())?;
    can_resize(x.dtype(), n, filter)?;
    Spec::rows(&resized(x.shape(), n, size), x.dtype())?.one()
}

fn compute_resize(c: &Call, n: usize, filter: Filter, outs: &[Tensor]) -> Result<()> {
    let (x, how) = (c.x(0), How::of(c, n, filter, 1));
    let (count, size) = planes(x.shape(), n)?;
    if outs[0].numel() == 0 {
        return Ok(());
    }
    let to = three(outs[0].shape(), n);
    if filter.moves() {
        let (x, out) = (contiguous_unlocked(x, x.dtype(), false)?, &outs[0]);
        let axes = how.axes::<f32>(size, to, true)?;
        // SAFETY: row-major tensors of one dtype, of the sizes that the taps are for.
        unsafe {
            match x.dtype().size() {
                1 => resize::moved::<u8>(count, size, &axes, x.data_ptr().cast(), out.data_ptr().cast()),
                2 => resize::moved::<u16>(count, size, &axes, x.data_ptr().cast(), out.data_ptr().cast()),
                4 => resize::moved::<u32>(count, size, &axes, x.data_ptr().cast(), out.data_ptr().cast()),
                _ => resize::moved::<u64>(count, size, &axes, x.data_ptr().cast(), out.data_ptr().cast()),
            }
        }
        return Ok(());
    }
    if !x.dtype().is_float() {
        return written_as(&outs[0], DType::F32, |out| resize_bytes(x, count, size, to, &how, out));
    }
    let (x1, single) = (ready(x)?, x.dtype() != DType::F64);
    written_as(&outs[0], x1.dtype(), |out| {
        compute!(x1.dtype(), T => resize::forward::<T>(count, size, &how.axes(size, to, single)?, x1.ptr(), out.ptr()))
    })
}

/// Pictures of bytes, which are rounded after each direction: along the rows, then across them.
fn resize_bytes(x: &Tensor, count: usize, size: [usize; 3], to: [usize; 3], how: &How, out: &Tensor) -> Result<()> {
    let x1 = contiguous_unlocked(x, DType::F32, false)?;
    let between = Tensor::empty_of(&[count, size[1], to[2]], DType::F32)?;
    let rounded = |t: &Tensor| {
        // SAFETY: a row-major float32 tensor of our own.
        let all = unsafe { std::slice::from_raw_parts_mut(t.ptr::<f32>(), t.numel()) };
        all.iter_mut().for_each(|v| *v = (*v + 0.5).floor().clamp(0.0, 255.0));
    };
    // What keeps its size is copied, whatever the scale.
    let taps = |d: usize| if size[d] == to[d] { Taps::identity(to[d]) } else { how.taps::<f32>(d, size[d], to[d], true) };
    let rows = [Taps::identity(1)?, Taps::identity(size[1])?, taps(2)?];
    let columns = [Taps::identity(1)?, taps(1)?, Taps::identity(to[2])?];
    // SAFETY: row-major float32 tensors of the sizes that the taps are for.
    unsafe {
        resize::forward::<f32>(count, size, &rows, x1.ptr(), between.ptr())?;
        rounded(&between);
        resize::forward::<f32>(count, [1, size[1], to[2]], &columns, between.ptr(), out.ptr())?;
    }
    rounded(out);
    Ok(())
}

/// Gradients of resizing: attribute 0 is the size of the output, attribute 1 the shape of the input.
fn infer_resize_backward(c: &Call, n: usize, filter: Filter) -> Result<Specs> {
    let (g, shape) = (c.x(0), sizes(c.ints(1))?);
    let size = wanted(c, 0, n, &shape)?;
    if g.shape() != resized(&shape, n, size).as_slice() {
        let message = format!("a gradient of shape {:?} does not fit input {shape:?} and output {:?}", g.shape(), c.ints(0));
        return Err(Error::shapes("", message, g.shape(), &shape));
    }
    if !filter.moves() {
        only_floats(g.dtype())?;
    }
    supported(g.dtype())?;
    Spec::rows(&shape, g.dtype())?.one()
}

fn compute_resize_backward(c: &Call, n: usize, filter: Filter, outs: &[Tensor]) -> Result<()> {
    let (g, how) = (c.x(0), How::of(c, n, filter, 2));
    let (count, size) = planes(outs[0].shape(), n)?;
    if count == 0 {
        return Ok(());
    }
    let to = three(g.shape(), n);
    let (g1, single) = (ready(g)?, g.dtype() != DType::F64);
    written_as(&outs[0], g1.dtype(), |gx| {
        compute!(g1.dtype(), T => resize::backward::<T>(count, size, &how.axes(size, to, single)?, g1.ptr(), gx.ptr()))
    })
}

/// The body of a resizing op.
macro_rules! resizes {
    ($n:literal, $filter:ident) => {
        Kernel(|c| infer_resize(c, $n, $filter), |c, outs| compute_resize(c, $n, $filter, outs))
    };
    (backward $n:literal, $filter:ident) => {
        Kernel(|c| infer_resize_backward(c, $n, $filter), |c, outs| compute_resize_backward(c, $n, $filter, outs))
    };
}

/// The rule of a resizing op whose gradient is the op `$back`, given the attributes after the output's size.
macro_rules! resize_rule {
    ($back:ident $(, $read:ident $k:literal)*) => {
        vjp!(|v| v.g().then(|g| Tensor::$back(g, v.ints(0), &v.sizes(0) $(, v.$read($k))*)))
    };
    (back $forward:ident $(, $read:ident $k:literal)*) => {
        vjp!(|v| v.g().then(|z| z.$forward(v.ints(0) $(, v.$read($k))*)))
    };
}

// ---- grids ----

/// The attributes of `grid_sampler_2d` and `grid_sampler_3d` from `k` on, and the sizes of an input and a grid.
fn sampling(x: &Tensor, grid: &Tensor, n: usize, [mode, padding]: [i64; 2], align: bool) -> Result<Sampling> {
    if x.ndim() != n + 2 || grid.ndim() != n + 2 {
        bail!(
            Shape,
            "expected input and grid of {} dimensions, but got input of shape {:?} and grid of shape {:?}",
            n + 2,
            x.shape(),
            grid.shape()
        );
    }
    if x.shape()[0] != grid.shape()[0] || grid.shape()[n + 1] != n {
        let message = format!(
            "expected a grid of shape [{}, .., {n}] for input {:?}, but got {:?}",
            x.shape()[0],
            x.shape(),
            grid.shape()
        );
        return Err(Error::shapes("", message, x.shape(), grid.shape()));
    }
    checked_numel(&x.shape()[2..])?;
    if x.shape()[2..].contains(&0) {
        bail!(Shape, "expected input with non-empty spatial dimensions, but got {:?}", x.shape());
    }
    only_floats(x.dtype())?;
    if x.dtype() != grid.dtype() {
        bail!(DType, "input and grid must have one float dtype, got {} and {}", x.dtype(), grid.dtype());
    }
    let mode = match mode {
        0 => Mode::Linear,
        1 => Mode::Nearest,
        2 if n == 2 => Mode::Cubic,
        2 => bail!(Unsupported, "bicubic interpolation only supports 4D input"),
        m => bail!(Value, "interpolation_mode must be 0 (bilinear), 1 (nearest) or 2 (bicubic), got {m}"),
    };
    let padding = match padding {
        0 => Padding::Zeros,
        1 => Padding::Border,
        2 => Padding::Reflection,
        p => bail!(Value, "padding_mode must be 0 (zeros), 1 (border) or 2 (reflection), got {p}"),
    };
    Ok(Sampling {
        n,
        mode,
        padding,
        align,
        batch: x.shape()[0],
        channels: x.shape()[1],
        size: three(x.shape(), n),
        places: checked_numel(&grid.shape()[1..n + 1])?,
    })
}

/// `[N, C]` of the input and the places of the grid.
fn sampled(x: &Tensor, grid: &Tensor, n: usize) -> Dims {
    let mut shape = Dims::from_slice(&x.shape()[..2]);
    shape.extend_from_slice(&grid.shape()[1..n + 1]);
    shape
}

fn infer_sampler(c: &Call, n: usize) -> Result<Specs> {
    let (x, grid) = (c.x(0), c.x(1));
    sampling(x, grid, n, [c.int(0), c.int(1)], c.bool(2))?;
    Spec::rows(&sampled(x, grid, n), x.dtype())?.one()
}

fn compute_sampler(c: &Call, n: usize, outs: &[Tensor]) -> Result<()> {
    let s = sampling(c.x(0), c.x(1), n, [c.int(0), c.int(1)], c.bool(2))?;
    let (x, grid) = (ready(c.x(0))?, ready(c.x(1))?);
    written_as(&outs[0], x.dtype(), |out| {
        float!(x.dtype(), T => grid::forward::<T>(&s, x.ptr(), grid.ptr(), out.ptr()))
    })
}

fn infer_sampler_backward(c: &Call, n: usize) -> Result<Specs> {
    let (g, x, grid) = (c.x(0), c.x(1), c.x(2));
    sampling(x, grid, n, [c.int(0), c.int(1)], c.bool(2))?;
    c.want_shape(0, &sampled(x, grid, n))?;
    if g.dtype() != x.dtype() {
        bail!(DType, "the gradient must have the input's dtype {}, got {}", x.dtype(), g.dtype());
    }
    Ok(Specs::from_iter([Spec::rows(x.shape(), x.dtype())?, Spec::rows(grid.shape(), x.dtype())?]))
}

fn compute_sampler_backward(c: &Call, n: usize, outs: &[Tensor]) -> Result<()> {
    let s = sampling(c.x(1), c.x(2), n, [c.int(0), c.int(1)], c.bool(2))?;
    let (g, x, grid) = (ready(c.x(0))?, ready(c.x(1))?, ready(c.x(2))?);
    for (k, out) in outs.iter().enumerate() {
        if !c.bool(3 + k) {
            fill_new(out, Scalar::Int(0));
            continue;
        }
        written_as(out, x.dtype(), |out| {
            float!(x.dtype(), T => match k {
                0 => grid::input_grad::<T>(&s, g.ptr(), grid.ptr(), out.ptr()),
                _ => grid::grid_grad::<T>(&s, g.ptr(), x.ptr(), grid.ptr(), out.ptr()),
            })
        })?;
    }
    Ok(())
}

macro_rules! sampler_rule {
    ($back:ident) => {
        vjp!(|v| {
            let (g, x, grid) = (v.g().tensor()?, v.x(0).tensor()?, v.x(1).tensor()?);
            let outs = Tensor::$back(&g, &x, &grid, v.int(0), v.int(1), v.bool(2), v.need(0), v.need(1))?;
            Ok(outs.into_iter().enumerate().map(|(i, t)| v.need(i).then_some(t)).collect())
        })
    };
}

/// What lies along one dimension: for each element that places lie between, its number, whether it is there, its weight.
type Line = SmallVec<[[Ex; 3]; 4]>;

/// The values of a sampler, made of other ops, so that they have derivatives of every order.
fn sampled_formula(x: &Ex, grid: &Ex, s: &Sampling) -> Ex {
    let n = s.n;
    let floor = |e: &Ex| e.then(|t| t.alias().floor());
    let within = |e: Ex, last: f64| e.then(|t| t.clamp(Some(Scalar::Float(0.0)), Some(Scalar::Float(last))));
    let mut lines: SmallVec<[Line; 3]> = SmallVec::new();
    for d in 0..n {
        let size = s.size[3 - n + d] as f64;
        let padded = |e: Ex| {
            let (low, span) = if s.align { (0.0, size - 1.0) } else { (-0.5, size) };
            let e = match s.padding {
                Padding::Zeros => return e,
                Padding::Border => e,
                Padding::Reflection if span == 0.0 => e * 0.0,
                Padding::Reflection => {
                    let off = (e - low).abs();
                    let turns = floor(&(&off / span));
                    let rest = off - &turns * span;
                    let odd = &turns - floor(&(&turns * 0.5)) * 2.0;
                    // Back where it has turned an odd number of times.
                    (1.0 - &odd) * (&rest + low) + odd * ((low + span) - rest)
                }
            };
            within(e, size - 1.0)
        };
        let v = grid.then(|t| t.select(-1, (n - 1 - d) as i64)) + 1.0;
        let at = if s.align { v * ((size - 1.0) / 2.0) } else { (v * size - 1.0) * 0.5 };
        let there = |at: Ex, weight: Ex| {
            let kept = within(at.clone(), size - 1.0);
            let inside = kept.eq(at);
            [kept, inside, weight]
        };
        let mut line = Line::new();
        match s.mode {
            Mode::Nearest => line.push(there(padded(at).then(|t| t.alias().round(0)), Ex::Num(1.0))),
            Mode::Linear => {
                let at = padded(at);
                let low = floor(&at);
                let t = at - &low;
                line.push(there(low.clone(), 1.0 - &t));
                line.push(there(low + 1.0, t));
            }
            Mode::Cubic => {
                let (low, a) = (floor(&at), -0.75);
                let t = at - &low;
                let near = |x: Ex| ((&x * (a + 2.0) - (a + 3.0)) * &x) * &x + 1.0;
                let far = |x: Ex| ((&x * a - 5.0 * a) * &x + 8.0 * a) * &x - 4.0 * a;
                let weights = [far(&t + 1.0), near(t.clone()), near(1.0 - &t), far(2.0 - &t)];
                for (j, weight) in weights.into_iter().enumerate() {
                    let at = padded(&low + (j as f64 - 1.0));
                    line.push(there(at.then(|t| t.trunc()), weight));
                }
            }
        }
        lines.push(line);
    }
    let signed = |v: &[usize]| v.iter().map(|&d| d as i64).collect::<SmallVec<[i64; 8]>>();
    let (batch, channels, places) = (s.batch as i64, s.channels as i64, s.places as i64);
    let area: usize = s.size.iter().product();
    let pixels = x.reshape(&[batch, channels, area as i64]);
    let mut total = Ex::None;
    let each = lines[0].len();
    for k in 0..each.pow(n as u32) {
        let (mut at, mut weight) = (Ex::Num(0.0), Ex::Num(1.0));
        for (d, line) in lines.iter().enumerate() {
            let [i, inside, w] = &line[k / each.pow((n - 1 - d) as u32) % each];
            at = at * s.size[3 - n + d] as f64 + i;
            weight = weight * w.with(inside, |w, m| w.mul(m));
        }
        let index = at.then(|t| t.alias().to_dtype(DType::I64)).reshape(&[batch, 1, places]);
        let read = pixels.with(index.expand(&[batch, channels, places]), |p, i| p.gather(2, i, false));
        total = total + read * weight.reshape(&[batch, 1, places]);
    }
    total.then(|t| {
        let mut shape = signed(&[s.batch, s.channels]);
        shape.extend(grid.clone().tensor()?.shape()[1..n + 1].iter().map(|&d| d as i64));
        t.reshape(&shape)
    })
}

/// Derivatives of the gradients of a sampler: the formula is walked back from twice.
fn sampler_backward_rule(v: &Vjp, n: usize) -> Result<Grads> {
    through(v, |x| {
        let run = || -> Result<Exs> {
            let leaf = |e: &Ex| {
                let t = e.clone().tensor()?;
                if t.requires_grad() {
                    return Ok(t);
                }
                let t = t.alias();
                t.set_requires_grad(true)?;
                Ok::<Tensor, Error>(t)
            };
            let (g, x, grid) = (x[0].clone().tensor()?, leaf(&x[1])?, leaf(&x[2])?);
            let s = sampling(&x, &grid, n, [v.int(0), v.int(1)], v.bool(2))?;
            let y = sampled_formula(&Ex::from(&x), &Ex::from(&grid), &s).tensor()?;
            let found = grad(&[&y], &[Some(&g)], &[&x, &grid], true, true)?;
            // Zeros, where they were not asked for, have no derivative.
            Ok((0..2).map(|k| found[k].as_ref().filter(|_| v.bool(3 + k)).map_or(Ex::None, Ex::from)).collect())
        };
        run().unwrap_or_else(|e| Exs::from_iter([Ex::Err(e)]))
    })
}

/// The sampling grid of affine maps.
fn eval_affine_grid(c: &Call) -> Result<Outs> {
    let (theta, size, align) = (c.x(0), c.ints(0), c.bool(1));
    let n = size.len().saturating_sub(2);
    if !(2..=3).contains(&n) {
        bail!(Unsupported, "expected a size of 4 or 5 numbers, (N, C, *), got {size:?}");
    }
    if size.iter().any(|&d| d <= 0) {
        bail!(Value, "expected non-zero, positive output size, got {size:?}");
    }
    only_floats(theta.dtype())?;
    if theta.ndim() != 3 || theta.shape()[0] as i64 != size[0] || theta.shape()[1..] != [n, n + 1] {
        bail!(
            Unsupported,
            "expected theta of shape [{}, {n}, {}] for the size {size:?}, got {:?}",
            size[0],
            n + 1,
            theta.shape()
        );
    }
    let dtype = Some(theta.dtype());
    let mut parts = List::new();
    for d in (0..n).rev() {
        let many = size[2 + d];
        let line = if many == 1 {
            Tensor::zeros_with(&[1], dtype)?
        } else {
            let line = Tensor::linspace(Scalar::Int(-1), Scalar::Int(1), many, dtype)?;
            if align {
                line
            } else {
                line.mul(&Tensor::number(Scalar::Float((many as f64 - 1.0) / many as f64))?)?
            }
        };
        let mut shape: SmallVec<[i64; 4]> = SmallVec::from_elem(1, n);
        shape[d] = many;
        parts.push(line.reshape(&shape)?.expand(&size[2..])?)?;
    }
    parts.push(Tensor::ones_with(&size[2..], dtype)?)?;
    let count: i64 = checked_numel(&sizes(&size[2..])?)? as i64;
    let base = Tensor::stack(&parts, -1)?.reshape(&[1, count, n as i64 + 1])?;
    let mut shape: SmallVec<[i64; 8]> = SmallVec::from_slice(&size[..1]);
    shape.extend_from_slice(&size[2..]);
    shape.push(n as i64);
    one(base.matmul(&theta.transpose(1, 2)?)?.reshape(&shape)?)
}

ops! {
    /// `[N, C, L]` resized to `output_size`; each element is the one of the input that it lies in. A scale, if given, says
    /// how much larger the output is in place of the ratio of the sizes.
    upsample_nearest1d(input: Tensor, output_size: Ints, scales: OptFloat = None) -> Tensor, Special {
        body: resizes!(1, Nearest), vjp: resize_rule!(upsample_nearest1d_backward, opt_float 1),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 2, 3), (5,)", "r(1, 1, 5), 3, 0.7"],
    }

    /// Images `[N, C, H, W]` resized to `output_size`; each pixel is the one of the input that it lies in.
    upsample_nearest2d(input: Tensor, output_size: Ints, scales_h: OptFloat = None, scales_w: OptFloat = None) -> Tensor, Special {
        body: resizes!(2, Nearest), vjp: resize_rule!(upsample_nearest2d_backward, opt_float 1, opt_float 2),
        method: false, function: false, onnx: Some("Resize"),
        refuses: &[Refusal { call: "rt.ones(1, 1, 2, 2), (0, 2)", message: "should be greater than 0" }],
        samples: &["r(1, 1, 2, 3), (4, 5)", "r(1, 1, 4, 3), (2, 2)", "r(1, 1, 4, 3), (2, 2), 0.6, 0.7"],
    }

    /// `[N, C, D, H, W]` resized to `output_size`; each element is the one of the input that it lies in.
    upsample_nearest3d(
        input: Tensor, output_size: Ints, scales_d: OptFloat = None, scales_h: OptFloat = None, scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(3, Nearest), vjp: resize_rule!(upsample_nearest3d_backward, opt_float 1, opt_float 2, opt_float 3),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 1, 2, 2, 3), (3, 2, 2)", "r(1, 1, 2, 2, 3), (4, 3, 2), 1.7, 1.6, 0.8"],
    }

    /// [`upsample_nearest1d`] with the places of Pillow: the centres of the elements decide (`_upsample_nearest_exact1d`
    /// of PyTorch).
    upsample_nearest_exact1d(input: Tensor, output_size: Ints, scales: OptFloat = None) -> Tensor, Special {
        body: resizes!(1, NearestExact), vjp: resize_rule!(upsample_nearest_exact1d_backward, opt_float 1),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 2, 3), (5,)", "r(1, 1, 5), 3, 0.7"],
    }

    /// [`upsample_nearest2d`] with the places of Pillow (`_upsample_nearest_exact2d` of PyTorch).
    upsample_nearest_exact2d(
        input: Tensor, output_size: Ints, scales_h: OptFloat = None, scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(2, NearestExact), vjp: resize_rule!(upsample_nearest_exact2d_backward, opt_float 1, opt_float 2),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 1, 2, 3), (4, 5)", "r(1, 1, 4, 3), (2, 2), 0.6, 0.7"],
    }

    /// [`upsample_nearest3d`] with the places of Pillow (`_upsample_nearest_exact3d` of PyTorch).
    upsample_nearest_exact3d(
        input: Tensor, output_size: Ints, scales_d: OptFloat = None, scales_h: OptFloat = None, scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(3, NearestExact),
        vjp: resize_rule!(upsample_nearest_exact3d_backward, opt_float 1, opt_float 2, opt_float 3),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 1, 2, 2, 3), (3, 2, 2)", "r(1, 1, 2, 2, 3), (4, 3, 2), 1.7, 1.6, 0.8"],
    }

    /// `[N, C, L]` resized to `output_size` by linear interpolation; `align_corners` says whether the centres of the first
    /// and the last element stay in place, or their outer edges. A scale, if given, says how much larger the output is in
    /// place of the ratio of the sizes.
    upsample_linear1d(input: Tensor, output_size: Ints, align_corners: Bool = false, scales: OptFloat = None) -> Tensor, Special {
        body: resizes!(1, Linear), vjp: resize_rule!(upsample_linear1d_backward, bool 1, opt_float 2),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 2, 3), (5,)", "r(1, 1, 5), 3, True", "r(1, 1, 5), 3, False, 0.7"],
    }

    /// Images resized to `output_size` by linear interpolation in both directions; `align_corners` says whether the
    /// centres of the corner pixels stay in place, or the outer edges of the image. Bytes are rounded after each direction.
    upsample_bilinear2d(
        input: Tensor, output_size: Ints, align_corners: Bool = false, scales_h: OptFloat = None, scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(2, Linear), vjp: resize_rule!(upsample_bilinear2d_backward, bool 1, opt_float 2, opt_float 3),
        method: false, function: false, onnx: Some("Resize"),
        refuses: &[Refusal { call: "rt.ones(1, 1, 2, 2, dtype=rt.int32), (3, 2)", message: "not implemented for 4D inputs of dtype int32" }],
        samples: &["r(1, 1, 2, 3), (4, 5)", "r(1, 1, 2, 3), (4, 5), True", "r(1, 1, 3, 20), (2, 1), False, 0.7, 0.06"],
    }

    /// `[N, C, D, H, W]` resized to `output_size` by linear interpolation in all directions.
    upsample_trilinear3d(
        input: Tensor, output_size: Ints, align_corners: Bool = false, scales_d: OptFloat = None, scales_h: OptFloat = None,
        scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(3, Linear),
        vjp: resize_rule!(upsample_trilinear3d_backward, bool 1, opt_float 2, opt_float 3, opt_float 4),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 1, 2, 2, 3), (3, 2, 2)", "r(1, 1, 2, 3, 2), (3, 4, 3), True", "r(1, 1, 2, 2, 3), (3, 3, 2), False, 1.7, 1.6, 0.8"],
    }

    /// Images resized to `output_size` by cubic convolution (Keys 1981, a = -0.75) in both directions.
    upsample_bicubic2d(
        input: Tensor, output_size: Ints, align_corners: Bool = false, scales_h: OptFloat = None, scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(2, Cubic), vjp: resize_rule!(upsample_bicubic2d_backward, bool 1, opt_float 2, opt_float 3),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 1, 2, 3), (4, 5)", "r(1, 1, 3, 3), (4, 2), True", "r(1, 1, 3, 3), (2, 4), False, 0.7, 1.4"],
    }

    /// [`upsample_bilinear2d`] with a filter that becomes wider where images become smaller, as Pillow's
    /// (`_upsample_bilinear2d_aa` of PyTorch).
    upsample_bilinear2d_aa(
        input: Tensor, output_size: Ints, align_corners: Bool = false, scales_h: OptFloat = None, scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(2, SmoothLinear), vjp: resize_rule!(upsample_bilinear2d_aa_backward, bool 1, opt_float 2, opt_float 3),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 1, 5, 4), (2, 6)", "r(1, 1, 5, 4), (2, 3), True", "r(1, 1, 5, 30), (2, 1), False, 0.5, 0.04"],
    }

    /// [`upsample_bicubic2d`] with a filter (a = -0.5) that becomes wider where images become smaller, as Pillow's
    /// (`_upsample_bicubic2d_aa` of PyTorch).
    upsample_bicubic2d_aa(
        input: Tensor, output_size: Ints, align_corners: Bool = false, scales_h: OptFloat = None, scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(2, SmoothCubic), vjp: resize_rule!(upsample_bicubic2d_aa_backward, bool 1, opt_float 2, opt_float 3),
        method: false, function: false, onnx: Some("Resize"),
        samples: &["r(1, 1, 5, 4), (2, 6)", "r(1, 1, 5, 4), (2, 3), True", "r(1, 1, 5, 4), (2, 3), False, 0.5, 0.7"],
    }

    /// Gradient of `upsample_nearest1d` with respect to its input of shape `input_size`.
    upsample_nearest1d_backward(grad_output: Tensor, output_size: Ints, input_size: Ints, scales: OptFloat = None) -> Tensor, Special {
        body: resizes!(backward 1, Nearest), vjp: resize_rule!(back upsample_nearest1d, opt_float 2),
        method: false, function: false,
        samples: &["r(1, 2, 5), (5,), (1, 2, 3)"],
    }

    /// Gradient of `upsample_nearest2d` with respect to its input of shape `input_size`.
    upsample_nearest2d_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, scales_h: OptFloat = None, scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 2, Nearest), vjp: resize_rule!(back upsample_nearest2d, opt_float 2, opt_float 3),
        method: false, function: false,
        samples: &["r(1, 1, 4, 5), (4, 5), (1, 1, 2, 3)", "r(1, 1, 2, 2), 2, (1, 1, 4, 3), 0.6, 0.7"],
    }

    /// Gradient of `upsample_nearest3d` with respect to its input of shape `input_size`.
    upsample_nearest3d_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, scales_d: OptFloat = None, scales_h: OptFloat = None,
        scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 3, Nearest), vjp: resize_rule!(back upsample_nearest3d, opt_float 2, opt_float 3, opt_float 4),
        method: false, function: false,
        samples: &["r(1, 1, 3, 2, 2), (3, 2, 2), (1, 1, 2, 2, 3), 1.7, 1.0, 0.8"],
    }

    /// Gradient of `upsample_nearest_exact1d` with respect to its input of shape `input_size`.
    upsample_nearest_exact1d_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, scales: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 1, NearestExact), vjp: resize_rule!(back upsample_nearest_exact1d, opt_float 2),
        method: false, function: false,
        samples: &["r(1, 2, 5), (5,), (1, 2, 3)"],
    }

    /// Gradient of `upsample_nearest_exact2d` with respect to its input of shape `input_size`.
    upsample_nearest_exact2d_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, scales_h: OptFloat = None, scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 2, NearestExact), vjp: resize_rule!(back upsample_nearest_exact2d, opt_float 2, opt_float 3),
        method: false, function: false,
        samples: &["r(1, 1, 4, 5), (4, 5), (1, 1, 2, 3)"],
    }

    /// Gradient of `upsample_nearest_exact3d` with respect to its input of shape `input_size`.
    upsample_nearest_exact3d_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, scales_d: OptFloat = None, scales_h: OptFloat = None,
        scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 3, NearestExact),
        vjp: resize_rule!(back upsample_nearest_exact3d, opt_float 2, opt_float 3, opt_float 4),
        method: false, function: false,
        samples: &["r(1, 1, 3, 2, 2), (3, 2, 2), (1, 1, 2, 2, 3)"],
    }

    /// Gradient of `upsample_linear1d` with respect to its input of shape `input_size`.
    upsample_linear1d_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, align_corners: Bool, scales: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 1, Linear), vjp: resize_rule!(back upsample_linear1d, bool 2, opt_float 3),
        method: false, function: false,
        samples: &["r(1, 2, 5), (5,), (1, 2, 3), False, 1.8", "r(1, 2, 5), (5,), (1, 2, 3), True"],
    }

    /// Gradient of `upsample_bilinear2d` with respect to its input of shape `input_size`.
    upsample_bilinear2d_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, align_corners: Bool, scales_h: OptFloat = None,
        scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 2, Linear), vjp: resize_rule!(back upsample_bilinear2d, bool 2, opt_float 3, opt_float 4),
        method: false, function: false,
        samples: &["r(1, 1, 4, 5), (4, 5), (1, 1, 2, 3), False, 1.8, 1.7", "r(1, 1, 4, 5), (4, 5), (1, 1, 2, 3), True"],
    }

    /// Gradient of `upsample_trilinear3d` with respect to its input of shape `input_size`.
    upsample_trilinear3d_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, align_corners: Bool, scales_d: OptFloat = None,
        scales_h: OptFloat = None, scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 3, Linear),
        vjp: resize_rule!(back upsample_trilinear3d, bool 2, opt_float 3, opt_float 4, opt_float 5),
        method: false, function: false,
        samples: &["r(1, 1, 3, 2, 4), (3, 2, 4), (1, 1, 2, 2, 3), False, 1.7, 1.0, 1.6"],
    }

    /// Gradient of `upsample_bicubic2d` with respect to its input of shape `input_size`.
    upsample_bicubic2d_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, align_corners: Bool, scales_h: OptFloat = None,
        scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 2, Cubic), vjp: resize_rule!(back upsample_bicubic2d, bool 2, opt_float 3, opt_float 4),
        method: false, function: false,
        samples: &["r(1, 1, 4, 5), (4, 5), (1, 1, 2, 3), False, 1.8, 1.7", "r(1, 1, 4, 5), (4, 5), (1, 1, 2, 3), True"],
    }

    /// Gradient of `upsample_bilinear2d_aa` with respect to its input of shape `input_size`.
    upsample_bilinear2d_aa_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, align_corners: Bool, scales_h: OptFloat = None,
        scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 2, SmoothLinear), vjp: resize_rule!(back upsample_bilinear2d_aa, bool 2, opt_float 3, opt_float 4),
        method: false, function: false,
        samples: &["r(1, 1, 2, 3), (2, 3), (1, 1, 5, 4), False, 0.5, 0.7"],
    }

    /// Gradient of `upsample_bicubic2d_aa` with respect to its input of shape `input_size`.
    upsample_bicubic2d_aa_backward(
        grad_output: Tensor, output_size: Ints, input_size: Ints, align_corners: Bool, scales_h: OptFloat = None,
        scales_w: OptFloat = None
    ) -> Tensor, Special {
        body: resizes!(backward 2, SmoothCubic), vjp: resize_rule!(back upsample_bicubic2d_aa, bool 2, opt_float 3, opt_float 4),
        method: false, function: false,
        samples: &["r(1, 1, 2, 3), (2, 3), (1, 1, 5, 4), False, 0.5, 0.7"],
    }

    /// Images `[N, C, H, W]` read at the places `(x, y)` of a grid `[N, h, w, 2]`, -1 and 1 being the borders (Jaderberg et
    /// al. 2015): `[N, C, h, w]`. Modes: 0 bilinear, 1 nearest, 2 bicubic. Outside there are 0 zeros, 1 the border, 2 the
    /// image, reflected. `align_corners` says whether the borders are the centres of the corner pixels or the outer edges.
    grid_sampler_2d(
        input: Tensor, grid: Tensor, interpolation_mode: Int, padding_mode: Int, align_corners: Bool
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(|c| infer_sampler(c, 2), |c, outs| compute_sampler(c, 2, outs)),
        vjp: sampler_rule!(grid_sampler_2d_backward), saves: Saves::XB,
        method: false, onnx: Some("GridSample"),
        refuses: &[
            Refusal { call: "rt.ones(1, 1, 2, 2), rt.ones(2, 1, 1, 2), 0, 0, False", message: "expected a grid of shape [1, .., 2]" },
            Refusal { call: "rt.ones(1, 1, 2, 2), rt.ones(1, 1, 1, 2), 3, 0, False", message: "interpolation_mode must be" },
            Refusal { call: "rt.ones(1, 1, 2, 2), rt.ones(1, 1, 1, 2), 0, 3, False", message: "padding_mode must be" },
        ],
        samples: &[
            "r(1, 2, 3, 4), t([[[[0.1, -0.7], [0.9, 1.2], [-1.1, 0.3]]]]), 0, 0, False",
            "r(1, 2, 3, 4), t([[[[0.1, -0.7], [0.9, 1.2], [-2.2, 0.3]]]]), 0, 1, True",
            "r(1, 2, 3, 4), t([[[[0.1, -0.7], [0.93, 1.2], [-2.2, 3.5]]]]), 0, 2, False",
            "r(1, 2, 3, 4), t([[[[0.1, -0.7], [0.93, 1.2], [-2.2, 3.5]]]]), 0, 2, True",
            "r(1, 2, 3, 4), t([[[[0.1, -0.7], [0.9, 1.2], [-1.1, 0.3]]]]), 1, 0, False",
            "r(1, 2, 3, 4), t([[[[0.1, -0.7], [0.9, 1.2], [-1.1, 0.3]]]]), 2, 0, False",
            "r(1, 2, 3, 4), t([[[[0.1, -0.7], [0.9, 1.2], [-1.1, 0.3]]]]), 2, 1, True",
            "r(1, 2, 3, 4), t([[[[0.1, -0.7], [0.9, 1.2], [-1.1, 0.3]]]]), 2, 2, False",
        ],
    }

    /// `[N, C, D, H, W]` read at the places `(x, y, z)` of a grid `[N, d, h, w, 3]`: `[N, C, d, h, w]`; as
    /// [`grid_sampler_2d`], but not bicubic.
    grid_sampler_3d(
        input: Tensor, grid: Tensor, interpolation_mode: Int, padding_mode: Int, align_corners: Bool
    ) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(|c| infer_sampler(c, 3), |c, outs| compute_sampler(c, 3, outs)),
        vjp: sampler_rule!(grid_sampler_3d_backward), saves: Saves::XB,
        method: false, onnx: Some("GridSample"),
        refuses: &[
            Refusal { call: "rt.ones(1, 1, 2, 2, 2), rt.ones(1, 1, 1, 1, 3), 2, 0, False", message: "bicubic interpolation only supports 4D" },
        ],
        samples: &[
            "r(1, 1, 2, 3, 4), t([[[[[0.1, -0.7, 0.2], [0.9, 1.2, -0.4]]]]]), 0, 0, False",
            "r(1, 1, 2, 3, 4), t([[[[[0.1, -0.7, 1.2], [0.9, 1.2, -0.4]]]]]), 0, 1, True",
            "r(1, 1, 2, 3, 4), t([[[[[0.1, -0.7, 1.2], [0.9, 1.2, -2.4]]]]]), 0, 2, False",
            "r(1, 1, 2, 3, 4), t([[[[[0.1, -0.7, 0.2], [0.9, 1.2, -0.4]]]]]), 1, 2, True",
        ],
    }

    /// Gradients of `grid_sampler_2d` with respect to its input (zeros unless `input_grad`) and its grid (zeros unless
    /// `grid_grad`).
    grid_sampler_2d_backward(
        grad_output: Tensor, input: Tensor, grid: Tensor, interpolation_mode: Int, padding_mode: Int, align_corners: Bool,
        input_grad: Bool = true, grid_grad: Bool = true
    ) -> Pair, Special {
        body: Kernel(|c| infer_sampler_backward(c, 2), |c, outs| compute_sampler_backward(c, 2, outs)),
        vjp: vjp!(|v| sampler_backward_rule(v, 2)), saves: Saves::INPUTS,
        method: false, function: false,
        samples: &[
            "r(1, 2, 1, 3), r(1, 2, 3, 4), t([[[[0.1, -0.7], [0.9, 1.2], [-1.1, 0.3]]]]), 0, 0, False",
            "r(1, 2, 1, 3), r(1, 2, 3, 4), t([[[[0.1, -0.7], [0.9, 1.2], [-1.1, 0.3]]]]), 2, 1, True, False, True",
        ],
    }

    /// Gradients of `grid_sampler_3d` with respect to its input (zeros unless `input_grad`) and its grid (zeros unless
    /// `grid_grad`).
    grid_sampler_3d_backward(
        grad_output: Tensor, input: Tensor, grid: Tensor, interpolation_mode: Int, padding_mode: Int, align_corners: Bool,
        input_grad: Bool = true, grid_grad: Bool = true
    ) -> Pair, Special {
        body: Kernel(|c| infer_sampler_backward(c, 3), |c, outs| compute_sampler_backward(c, 3, outs)),
        vjp: vjp!(|v| sampler_backward_rule(v, 3)), saves: Saves::INPUTS,
        method: false, function: false,
        samples: &["r(1, 1, 1, 1, 2), r(1, 1, 2, 3, 4), t([[[[[0.1, -0.7, 0.2], [0.9, 1.2, -0.4]]]]]), 0, 0, False, True, False"],
    }

    /// The grid that a sampler reads to apply the affine maps `theta` `[N, 2, 3]` to images of `size` `(N, C, H, W)`:
    /// `[N, H, W, 2]`; or `[N, 3, 4]` for `(N, C, D, H, W)`: `[N, D, H, W, 3]`.
    affine_grid_generator(theta: Tensor, size: Ints, align_corners: Bool) -> Tensor, Special {
        body: Composite(eval_affine_grid),
        method: false,
        refuses: &[Refusal { call: "rt.ones(2, 2, 3), (2, 1, 0, 4), False", message: "positive output size" }],
        samples: &["r(2, 2, 3), (2, 1, 2, 3), False", "r(1, 2, 3), (1, 1, 1, 3), True", "r(1, 3, 4), (1, 1, 2, 2, 3), False"],
    }
}
