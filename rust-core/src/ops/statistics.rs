//! Distances, covariances, histograms, differences.

use crate::{bail, err};
use crate::dtype::{DType, Scalar, promote};
use crate::engine::copy::{contiguous_unlocked, copy_into, written_as};
use crate::engine::reduction::Reduction;
use crate::error::{Error, Result};
use crate::kernels::{pairs as distances, reduce};
use crate::shape::{broadcast, signed, wrap_dim, Dims, counts};
use crate::table::{Call, Outs, Refusal, Saves, Spec, Specs, Takes, Vjp, holds, one, Cast, several};
use crate::memory::List;
use crate::table::lang::Ex;
use crate::table::loops::reduction;
use crate::table::rules::{no_zero, zeros};
use crate::tensor::Tensor;
use smallvec::SmallVec;

fn eval_cdist(c: &Call) -> Result<Outs> {
    let (a, b, p) = (c.x(0), c.x(1), c.float(0));
    if a.ndim() < 2 || b.ndim() < 2 {
        bail!(Shape, "x1 and x2 must have at least two dimensions, got shapes {:?} and {:?}", a.shape(), b.shape());
    }
    if !a.dtype().is_float() || !b.dtype().is_float() {
        bail!(DType, "expected floating point tensors, got {} and {}", a.dtype(), b.dtype());
    }
    let (rows, columns) = ([a, b].map(|t| t.shape()[t.ndim() - 2]), [a, b].map(|t| t.shape()[t.ndim() - 1]));
    if columns[0] != columns[1] {
        let message = format!("x1 and x2 must have the same number of columns, got {} and {}", columns[0], columns[1]);
        return Err(Error::shapes("", message, a.shape(), b.shape()));
    }
    if p.is_nan() || p < 0.0 {
        bail!(Value, "only non-negative p values are supported, got {p}");
    }
    let modes = ["use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"];
    if !modes.contains(&c.str(1)) {
        bail!(Value, "{} is not a valid value for compute_mode", c.str(1));
    }
    if p != 2.0 {
        let difference = a.unsqueeze(-2)?.sub(&b.unsqueeze(-3)?, 1)?;
        if columns[0] == 0 {
            return one(difference.sum(Some(&[-1]), false, None)?);
        }
        if p == 0.0 {
            // Differences that are not numbers are not counted but stay.
            let ones = difference.abs()?.ceil()?.clamp(None, Some(Scalar::Int(1)))?;
            return one(ones.sum(Some(&[-1]), false, None)?);
        }
        return one(difference.vector_norm(p, Some(&[-1]), false, None)?);
    }
    // Never |x|^2 + |y|^2 - 2 x y, of which nothing is left where x and y are close to each other.
    let dtype = promote(a.dtype(), b.dtype())?;
    let batch = broadcast(&a.shape()[..a.ndim() - 2], &b.shape()[..b.ndim() - 2])?;
    let count: usize = batch.iter().product();
    let flat = |t: &Tensor, n: usize| {
        let mut wide = signed(&batch);
        wide.extend([n as i64, columns[0] as i64]);
        t.to_dtype(dtype)?.expand(&wide)?.reshape(&[count as i64, n as i64, columns[0] as i64])
    };
    let mut shape = signed(&batch);
    shape.extend([rows[0] as i64, rows[1] as i64]);
    one(flat(a, rows[0])?.euclidean_distances(&flat(b, rows[1])?)?.reshape(&shape)?)
}

/// Sizes `[batch, n, m, d]` of what `euclidean_distances` gets.
fn euclidean_sizes(c: &Call) -> Result<[usize; 4]> {
    let (x, y) = (c.x(0), c.x(1));
    let (&[batch, n, d], &[others, m, e]) = (x.shape(), y.shape()) else {
        bail!(Shape, "wanted two tensors of three dimensions, got shapes {:?} and {:?}", x.shape(), y.shape());
    };
    if batch != others || d != e {
        return Err(Error::shapes("", "wanted shapes [b, n, d] and [b, m, d]", x.shape(), y.shape()));
    }
    Ok([batch, n, m, d])
}

fn infer_euclidean(c: &Call) -> Result<Specs> {
    let [batch, n, m, _] = euclidean_sizes(c)?;
    let [d, e] = [c.x(0).dtype(), c.x(1).dtype()];
    if d != e || !d.is_float() {
        bail!(DType, "expected floating point tensors of one dtype, got {d} and {e}");
    }
    Spec::rows(&[batch, n, m], d)?.one()
}

fn compute_euclidean(c: &Call, outs: &[Tensor]) -> Result<()> {
    let sizes = euclidean_sizes(c)?;
    let compute = c.x(0).dtype().compute_dtype();
    let (x, y) = (contiguous_unlocked(c.x(0), compute, false)?, contiguous_unlocked(c.x(1), compute, false)?);
    written_as(&outs[0], compute, |out| {
        // SAFETY: row-major elements of the compute type with these sizes.
        unsafe {
            match compute {
                DType::F64 => distances::euclidean::<f64>(x.ptr(), y.ptr(), out.ptr(), sizes),
                _ => distances::euclidean::<f32>(x.ptr(), y.ptr(), out.ptr(), sizes),
            }
        }
        Ok(())
    })
}

/// Gradients of the distances, which have no slope where they are 0: `(x - y) / distance`, summed up.
fn euclidean_rule(v: &Vjp) -> [Ex; 2] {
    if v.shape(0).contains(&0) || v.shape(1).contains(&0) {
        return [zeros(v, 0), zeros(v, 1)];
    }
    let y = v.y();
    let weight = no_zero(v.g() / &y, &y);
    // Moving both by one vector changes nothing but the rounding of what follows.
    let centre = v.x(0).then(|x| x.alias().mean(Some(&[-2]), true, None)?.nan_to_num(Some(0.0), Some(0.0), Some(0.0)));
    let (a, b) = (v.x(0) - &centre, v.x(1) - &centre);
    [
        v.want(0, || &a * weight.sum(&[-1], true) - weight.matmul(&b)),
        v.want(1, || &b * weight.mt().sum(&[-1], true) - weight.mt().matmul(&a)),
    ]
}

/// Weights of observations: a vector with one number for each.
fn observed(w: Option<&Tensor>, n: usize, name: &str, whole: bool) -> Result<Option<Tensor>> {
    let Some(w) = w else { return Ok(None) };
    if w.ndim() > 1 || w.numel() != n {
        bail!(Shape, "expected {name} to have one number for each of {n} observations, got shape {:?}", w.shape());
    }
    if w.dtype() == DType::Bool || w.dtype().is_float() == whole {
        bail!(DType, "expected {} {name}, got {}", if whole { "whole numbers as" } else { "floats as" }, w.dtype());
    }
    if holds(&w.lt(&Tensor::number(Scalar::Int(0))?)?.any(None, false)?)? {
        bail!(Value, "{name} cannot be negative");
    }
    w.reshape(&[-1]).map(Some)
}

fn eval_cov(c: &Call) -> Result<Outs> {
    let x = c.x(0);
    if x.ndim() > 2 {
        bail!(Shape, "expected input to have two or fewer dimensions, got shape {:?}", x.shape());
    }
    if x.dtype() == DType::Bool {
        bail!(DType, "bool dtype is not supported for input");
    }
    let x = if x.ndim() < 2 { x.reshape(&[1, -1])? } else { x.clone() };
    let n = x.shape()[1];
    let often = observed(c.opt(1), n, "fweights", true)?;
    let weight = observed(c.opt(2), n, "aweights", false)?;
    let w = match (&often, &weight) {
        (Some(f), Some(a)) => Some(f.mul(a)?),
        (f, a) => f.as_ref().or(a.as_ref()).cloned(),
    };
    let weighed = |t: &Tensor| w.as_ref().map_or_else(|| Ok(t.clone()), |w| t.mul(w));
    let total = match &w {
        Some(w) => w.sum(None, false, None)?,
        None => Tensor::number(Scalar::Int(n as i64))?,
    };
    if w.is_some() && !total.is_meta() && !holds(&total)? {
        bail!(Value, "weights sum to zero, cannot be normalized");
    }
    let average = weighed(&x)?.sum(Some(&[1]), true, None)?.div(&total, "")?;
    let correction = Tensor::number(Scalar::Int(c.int(0)))?;
    let off = match (&w, &weight) {
        (Some(w), Some(a)) => w.mul(a)?.sum(None, false, None)?.div(&total, "")?.mul(&correction)?,
        _ => correction,
    };
    let freedom = total.sub(&off, 1)?.clamp(Some(Scalar::Int(0)), None)?;
    let x = x.sub(&average, 1)?;
    let squares = x.mm(&weighed(&x)?.transpose(0, 1)?.conj()?)?;
    one(squares.div(&freedom, "")?.squeeze(None)?)
}

fn eval_histc(c: &Call) -> Result<Outs> {
    let (x, bins) = (c.x(0), c.int(0));
    if !x.dtype().is_float() {
        bail!(DType, "expected a floating point tensor as input, got {}", x.dtype());
    }
    if bins <= 0 {
        bail!(Value, "bins must be > 0, got {bins}");
    }
    let (mut low, mut high) = (c.scalar(1).f64(), c.scalar(2).f64());
    // Where no range is given, it is that of the elements.
    if low == high && c.meta {
        (low, high) = (0.0, 1.0);
    }
    if low == high && x.numel() > 0 {
        (low, high) = (x.min_all()?.item()?.f64(), x.max_all()?.item()?.f64());
    }
    if low == high {
        (low, high) = (low - 1.0, high + 1.0);
    }
    if !low.is_finite() || !high.is_finite() {
        bail!(Value, "range of [{low}, {high}] is not finite");
    }
    if low > high {
        bail!(Value, "max must be larger than min, got {high} and {low}");
    }
    if c.meta {
        return one(Tensor::filled(&[bins as usize], Scalar::Int(0), x.dtype())?);
    }
    let [from, to, width, count] = [low, high, high - low, bins as f64].map(|v| Tensor::number(Scalar::Float(v)));
    let (from, to) = (from?, to?);
    let inside = x.masked_select(&x.ge(&from)?.logical_and(&x.le(&to)?)?)?;
    // The upper bound belongs to the last interval.
    let place = inside.sub(&from, 1)?.mul(&count?)?.div(&width?, "")?.to_dtype(DType::I64)?;
    one(place.clamp(None, Some(Scalar::Int(bins - 1)))?.bincount(None, bins)?.to_dtype(x.dtype())?)
}

fn eval_bincount(c: &Call) -> Result<Outs> {
    let (x, min) = (c.x(0), c.int(0));
    if x.ndim() != 1 || x.dtype().is_float() {
        bail!(Value, "only supports 1-d non-negative integral inputs, got shape {:?} of {}", x.shape(), x.dtype());
    }
    if min < 0 {
        bail!(Value, "minlength should be >= 0, got {min}");
    }
    let values = x.to_vec_unlocked::<i64>()?;
    if let Some(v) = values.iter().find(|&&v| v < 0) {
        bail!(Value, "only supports 1-d non-negative integral inputs, got the value {v}");
    }
    let bins = values.iter().max().map_or(Some(0), |&m| (m as usize).checked_add(1));
    let bins = bins.ok_or_else(|| err!(Memory, "too many bins"))?.max(min as usize);
    let Some(w) = c.opt(1) else {
        let out = Tensor::filled(&[bins], Scalar::Int(0), DType::I64)?;
        // SAFETY: `bins` elements, just written.
        let bin = unsafe { std::slice::from_raw_parts_mut(out.ptr::<i64>(), bins) };
        values.iter().for_each(|&v| bin[v as usize] += 1);
        return one(out);
    };
    if w.shape() != x.shape() {
        bail!(
            Shape,
            "weights should be 1-d and have the same length as input, got {:?} and {:?}",
            w.shape(),
            x.shape()
        );
    }
    let dtype = if w.dtype() == DType::F32 { DType::F32 } else { DType::F64 };
    let out = Tensor::filled(&[bins], Scalar::Int(0), DType::F64)?;
    // SAFETY: `bins` elements, just written.
    let bin = unsafe { std::slice::from_raw_parts_mut(out.ptr::<f64>(), bins) };
    values.iter().zip(w.to_vec_unlocked::<f64>()?).for_each(|(&v, w)| bin[v as usize] += w);
    one(contiguous_unlocked(&out, dtype, false)?)
}

fn eval_diff(c: &Call) -> Result<Outs> {
    let (x, n) = (c.x(0), c.int(0));
    if n < 0 {
        bail!(Value, "order must be non-negative but got {n}");
    }
    let dim = wrap_dim(c.int(1), x.ndim())?;
    if x.ndim() == 0 {
        bail!(Shape, "input must have at least one dimension");
    }
    let mut parts = SmallVec::<[Tensor; 3]>::new();
    for t in [c.opt(1), Some(x), c.opt(2)].into_iter().flatten() {
        let fits = |d: usize| d == dim || t.shape()[d] == x.shape()[d];
        if t.ndim() != x.ndim() || !(0..x.ndim()).all(fits) {
            let (s, e) = (x.shape(), t.shape());
            let message =
                format!("prepend and append must match the input's shape {s:?} except in dimension {}, got {e:?}", c.int(1));
            return Err(Error::shapes("", message, s, e));
        }
        parts.push(t.clone());
    }
    if n == 0 {
        return one(x.duplicate()?);
    }
    let along = dim as i64;
    let mut r = if parts.len() > 1 { Tensor::cat(&parts, along)? } else { x.clone() };
    let pair = |r: &Tensor, step: i64| -> Result<Tensor> {
        let size = (r.shape()[dim] as i64 - step).max(0);
        let (late, early) = (r.narrow(along, r.shape()[dim] as i64 - size, size)?, r.narrow(along, 0, size)?);
        if r.dtype() == DType::Bool {
            return late.logical_xor(&early);
        }
        late.sub(&early, 1)
    };
    let times = n.min(r.shape()[dim] as i64);
    if c.meta {
        // What comes of all steps, at once.
        return one(pair(&r, times)?);
    }
    for _ in 0..times {
        r = pair(&r, 1)?;
    }
    one(r)
}

/// The areas under a line through points, one for each step; `finish` adds them up.
fn eval_trapezoid(c: &Call, finish: impl Fn(&Tensor, i64) -> Result<Tensor>) -> Result<Outs> {
    let (y, x, dim) = (c.x(0), c.opt(1), c.int(1));
    let d = wrap_dim(dim, y.ndim())?;
    let Some(&n) = y.shape().get(d) else {
        bail!(Shape, "y must have at least one dimension");
    };
    if let Some(x) = x.filter(|x| x.ndim() > y.ndim()) {
        let message = format!("x of shape {:?} has more dimensions than y, {:?}", x.shape(), y.shape());
        return Err(Error::shapes("", message, x.shape(), y.shape()));
    }
    let odd = |d: DType| d == DType::Bool || d.is_wide_unsigned();
    if let Some(d) = [Some(y), x].into_iter().flatten().map(Tensor::dtype).find(|&d| odd(d)) {
        bail!(DType, "not implemented for dtype {d}");
    }
    let (along, n) = (d as i64, n as i64);
    if n == 0 {
        return one(finish(y, along)?.to_dtype(y.dtype())?);
    }
    let heights = (&(&y.narrow(along, 1, n - 1)? + &y.narrow(along, 0, n - 1)?)? / 2.0)?;
    let Some(x) = x else {
        return one(finish(&heights, along)?.mul(&Tensor::number(c.scalar(0))?)?);
    };
    let mut steps = x.diff(1, if x.ndim() == y.ndim() { along } else { -1 }, None, None)?;
    if x.ndim() == 1 && d + 1 != y.ndim() {
        let mut shape: SmallVec<[i64; 8]> = SmallVec::from_elem(1, y.ndim());
        shape[d] = -1;
        steps = steps.reshape(&shape)?;
    }
    one(finish(&heights.mul(&steps)?, along)?)
}

fn infer_renorm(c: &Call) -> Result<()> {
    let (x, p, most) = (c.x(0), c.scalar(0).f64(), c.scalar(2).f64());
    if !x.dtype().is_differentiable() {
        bail!(DType, "not implemented for dtype {}", x.dtype());
    }
    if p.is_nan() || p <= 0.0 {
        bail!(Value, "non-positive-norm not supported: {p}");
    }
    if most.is_nan() || most < 0.0 {
        bail!(Value, "expected maxnorm to be >= 0 but got {most}");
    }
    if x.ndim() < 2 {
        bail!(Shape, "input needs at least 2 dimensions, got {}", x.ndim());
    }
    Ok(())
}

/// Slices along `dim` whose norm is too large, made as short as that.
fn eval_renorm(c: &Call) -> Result<Outs> {
    infer_renorm(c)?;
    let (x, most) = (c.x(0), Tensor::number(Scalar::Float(c.scalar(2).f64()))?);
    let dim = wrap_dim(c.int(1), x.ndim())? as i64;
    let others: SmallVec<[i64; 8]> = (0..x.ndim() as i64).filter(|&d| d != dim).collect();
    let wide = match x.dtype() {
        DType::F16 | DType::BF16 => x.to_dtype(DType::F32)?,
        _ => x.clone(),
    };
    let norm = wide.vector_norm(c.scalar(0), Some(&others), true, None)?;
    let factor = most.div(&norm.add(&Tensor::number(Scalar::Float(1e-7))?, 1)?, "")?;
    let factor = Tensor::where_(&norm.gt(&most)?, &factor, &Tensor::number(Scalar::Float(1.0))?)?;
    one(wide.mul(&factor)?.to_dtype(x.dtype())?)
}

/// Slopes along one dimension: `spacing` is one number, or has the places of the elements.
fn slopes(x: &Tensor, dim: i64, spacing: Option<&Tensor>, order: i64) -> Result<Tensor> {
    let n = x.shape()[dim as usize] as i64;
    let part = |from: i64, size: i64| x.narrow(dim, from, size);
    let pick = |i: i64| part(if i < 0 { n + i } else { i }, 1);
    let number = |v: f64| Tensor::number(Scalar::Float(v));
    let places = spacing.filter(|s| s.ndim() == 1);
    let Some(places) = places else {
        let h = spacing.map_or_else(|| number(1.0), |s| Ok(s.clone()))?;
        let inner = part(2, n - 2)?.sub(&part(0, n - 2)?, 1)?.div(&h, "")?.mul(&number(0.5)?)?;
        let ends = |a: [i64; 3], sign: f64| -> Result<Tensor> {
            if order == 1 {
                return pick(a[1])?.sub(&pick(a[0])?, 1)?.div(&h.mul(&number(sign)?)?, "");
            }
            let sum = pick(a[0])?.mul(&number(-1.5)?)?.add(&pick(a[1])?.mul(&number(2.0)?)?, 1)?;
            sum.sub(&pick(a[2])?.mul(&number(0.5)?)?, 1)?.div(&h.mul(&number(sign)?)?, "")
        };
        return Tensor::cat(&[ends([0, 1, 2], 1.0)?, inner, ends([-1, -2, -3], -1.0)?], dim);
    };
    let mut shape: SmallVec<[i64; 8]> = SmallVec::from_elem(1, x.ndim());
    shape[dim as usize] = -1;
    let steps = places.diff(1, 0, None, None)?.reshape(&shape)?;
    let step = |i: i64| steps.narrow(dim, if i < 0 { n - 1 + i } else { i }, 1);
    let (before, after) = (steps.narrow(dim, 0, n - 2)?, steps.narrow(dim, 1, n - 2)?);
    // The parabola through three neighbours.
    let (late, early) = (part(2, n - 2)?.sub(&part(1, n - 2)?, 1)?.div(&after, "")?, part(1, n - 2)?.sub(&part(0, n - 2)?, 1)?.div(&before, "")?);
    let inner = late.mul(&before)?.add(&early.mul(&after)?, 1)?.div(&before.add(&after, 1)?, "")?;
    // At an end: the slope of the last step, and with order 2 how that changes.
    let end = |near: [i64; 2], far: [i64; 2], steps: [i64; 2]| -> Result<Tensor> {
        let (h, k) = (step(steps[0])?, step(steps[1])?);
        let slope = pick(near[1])?.sub(&pick(near[0])?, 1)?.div(&h, "")?;
        if order == 1 {
            return Ok(slope);
        }
        let next = pick(far[1])?.sub(&pick(far[0])?, 1)?.div(&k, "")?;
        slope.add(&slope.sub(&next, 1)?.mul(&h.div(&h.add(&k, 1)?, "")?)?, 1)
    };
    let first = end([0, 1], [1, 2], [0, 1])?;
    let last = end([-2, -1], [-3, -2], [-1, -2])?;
    Tensor::cat(&[first, inner, last], dim)
}

fn eval_gradient(c: &Call) -> Result<Outs> {
    let (x, order) = (c.x(0), c.int(1));
    let half = matches!(x.dtype(), DType::F16 | DType::BF16);
    if x.dtype() == DType::Bool || x.dtype() == DType::U8 {
        bail!(DType, "not implemented for dtype {}", x.dtype());
    }
    if order != 1 && order != 2 {
        bail!(Value, "only edge_order of 1 and 2 are supported, got {order}");
    }
    let all: SmallVec<[i64; 8]> = (0..x.ndim() as i64).collect();
    let dims = c.opt_ints(0).unwrap_or(&all);
    let mut seen = SmallVec::<[usize; 8]>::new();
    for &d in dims {
        let d = wrap_dim(d, x.ndim())?;
        if x.ndim() == 0 || seen.contains(&d) {
            bail!(Value, "dim {d} appears multiple times in the list of dims");
        }
        if (x.shape()[d] as i64) < order + 1 {
            bail!(Shape, "expected each dimension size to be at least edge_order+1, got shape {:?}", x.shape());
        }
        seen.push(d);
    }
    let spacing = &c.inputs[1..];
    if !spacing.is_empty() && spacing.len() != dims.len() {
        bail!(Value, "expected one spacing for each of {} dimensions, got {}", dims.len(), spacing.len());
    }
    for (&d, s) in seen.iter().zip(spacing.iter().flatten()) {
        if s.ndim() > 1 || s.ndim() == 1 && s.shape()[0] != x.shape()[d] {
            bail!(Shape, "expected one place for each of {} elements, got shape {:?}", x.shape()[d], s.shape());
        }
    }
    if !half {
        return several(dims.len(), |k| slopes(x, seen[k] as i64, spacing.get(k).copied().flatten(), order));
    }
    // Rounded once.
    let wide = x.to_dtype(DType::F32)?;
    several(dims.len(), |k| {
        let spacing = spacing.get(k).copied().flatten().map(|s| s.to_dtype(DType::F32)).transpose()?;
        slopes(&wide, seen[k] as i64, spacing.as_ref(), order)?.to_dtype(x.dtype())
    })
}

/// Edges of `bins` intervals of one width.
fn even_edges(low: f64, high: f64, bins: usize, dtype: DType) -> Result<Tensor> {
    Tensor::linspace(Scalar::Float(low), Scalar::Float(high), bins as i64 + 1, Some(dtype))
}

/// Edges of even intervals over given ranges (`low, high` for each column), or those of the columns of `x`: `[m, d]`.
fn edges_of(x: &Tensor, bins: &[i64], range: Option<&Tensor>) -> Result<List<Tensor>> {
    let given = range.map(|r| r.to_vec_unlocked::<f64>()).transpose()?;
    List::try_collect(bins.iter().enumerate().map(|(d, &n)| {
        let (mut low, mut high) = match &given {
            Some(g) => (g[2 * d], g[2 * d + 1]),
            None if x.shape()[0] == 0 => (0.0, 1.0),
            None => {
                let column = x.alias().select(1, d as i64)?;
                (column.min_all()?.item()?.f64(), column.max_all()?.item()?.f64())
            }
        };
        if !low.is_finite() || !high.is_finite() {
            bail!(Value, "range [{low}, {high}] for dimension {d} is not finite");
        }
        if low > high {
            bail!(Value, "min should not exceed max, but got min {low} max {high} for dimension {d}");
        }
        if low == high {
            (low, high) = (low - 0.5, high + 0.5);
        }
        even_edges(low, high, n as usize, x.dtype())
    }))
}

/// Checks `x [m, d]` and its weights, and gives `m` and `d`.
fn points(x: &Tensor, weight: Option<&Tensor>) -> Result<[usize; 2]> {
    if !matches!(x.dtype(), DType::F32 | DType::F64) {
        bail!(DType, "not implemented for dtype {}", x.dtype());
    }
    let &[m, d] = x.shape() else {
        bail!(Shape, "wanted points as the rows of a matrix, got shape {:?}", x.shape());
    };
    if let Some(w) = weight {
        if w.dtype() != x.dtype() {
            bail!(DType, "expected weights of dtype {}, as the points, got {}", x.dtype(), w.dtype());
        }
        if w.numel() != m {
            bail!(Shape, "expected one weight for each of {m} points, got shape {:?}", w.shape());
        }
    }
    Ok([m, d])
}

/// The sizes of a histogram with so many bins.
fn bin_counts(bins: &[i64], d: usize) -> Result<Dims> {
    if bins.len() != d {
        bail!(Value, "expected one number of bins for each of {d} columns, got {}", bins.len());
    }
    if let Some(n) = bins.iter().find(|&&n| n <= 0) {
        bail!(Value, "bins must be > 0, got {n}");
    }
    counts(bins)
}

fn count_points(x: &Tensor, edges: &[Tensor], weight: Option<&Tensor>, density: bool, out: &Tensor) -> Result<()> {
    let [m, d] = points(x, weight)?;
    let x = x.to_vec_unlocked::<f64>()?;
    let weight = weight.map(|w| w.to_vec_unlocked::<f64>()).transpose()?;
    let edges = List::try_collect(edges.iter().map(|e| e.to_vec_unlocked::<f64>()))?;
    let sizes = out.shape();
    let mut bins = List::filled(out.numel(), 0.0f64)?;
    'points: for i in 0..m {
        let mut at = 0;
        for (k, edges) in edges.iter().enumerate() {
            let v = x[i * d + k];
            let (Some(&low), Some(&high)) = (edges.first(), edges.last()) else { continue 'points };
            // One edge alone bounds nothing.
            if !(v >= low && v <= high) || sizes[k] == 0 {
                continue 'points;
            }
            // The upper bound belongs to the last interval.
            let place = edges.partition_point(|&e| e <= v).clamp(1, sizes[k]) - 1;
            at = at * sizes[k] + place;
        }
        bins[at] += weight.as_ref().map_or(1.0, |w| w[i]);
    }
    if density {
        let total: f64 = bins.iter().sum();
        let mut inner = bins.len();
        bins.iter_mut().for_each(|b| *b /= total);
        for (k, edges) in edges.iter().enumerate() {
            inner /= sizes[k].max(1);
            for (i, b) in bins.iter_mut().enumerate() {
                let place = i / inner % sizes[k];
                *b /= edges[place + 1] - edges[place];
            }
        }
    }
    copy_into(out, &Tensor::from_slice(&bins, sizes)?)
}

/// Bounds for each of `d` columns, if given.
fn range_of<'a>(c: &Call<'a>, i: usize, d: usize) -> Result<Option<&'a Tensor>> {
    let Some(r) = c.opt(i) else { return Ok(None) };
    if r.ndim() != 1 || r.shape()[0] != 2 * d || r.dtype() != DType::F64 {
        bail!(Value, "range should have {} elements, but got {}", 2 * d, r.numel());
    }
    Ok(Some(r))
}

/// The edges, as tensors that a call has in its list.
fn given_edges(c: &Call, d: usize) -> Result<List<Tensor>> {
    let edges = List::collect(c.inputs[2..].iter().flatten().map(|&t| t.clone()))?;
    if edges.len() != d {
        bail!(Value, "expected edges for each of {d} columns, got {} tensors", edges.len());
    }
    for e in edges.iter() {
        if e.ndim() != 1 || e.numel() == 0 {
            bail!(Shape, "bins must be one-dimensional, with at least one edge, got shape {:?}", e.shape());
        }
        if e.dtype() != c.x(0).dtype() {
            bail!(DType, "expected bins of dtype {}, as the points, got {}", c.x(0).dtype(), e.dtype());
        }
    }
    Ok(edges)
}

ops! {
    /// The `p`-norm of `input - other`.
    dist(input: Tensor, other: Tensor, p: Scalar = 2) -> Tensor, Real {
        body: Composite(|c| one(c.x(0).sub(c.x(1), 1)?.vector_norm(c.scalar(0), None, false, None)?)),

        samples: &["r(2, 3), r(3)", "r(2, 3), r(3), 3", "r(2, 3), r(3), 1", "r(3), r(3), inf"],
    }

    /// Euclidean distances between the rows of `input` [b, n, d] and those of `other` [b, m, d]: [b, n, m].
    euclidean_distances(input: Tensor, other: Tensor) -> Tensor, Special {
        body: Kernel(infer_euclidean, compute_euclidean),
        vjp: vjp!(|v| euclidean_rule(v)), saves: Saves::XB.and(Saves::OUTPUT),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(1, 2, 3), rt.ones(1, 2, 4)", message: "wanted shapes" }],
        samples: &["r(2, 3, 2), r(2, 2, 2)", "r(1, 1, 3), r(1, 2, 3)"],
    }

    /// The `p`-norms of the differences of all pairs of rows: `x1 [*, n, d]` and `x2 [*, m, d]` give `[*, n, m]`. The 2-norm
    /// goes by way of a matrix product if `compute_mode` says so (by default if `n` or `m` is above 25); other norms need
    /// memory for `n * m * d` elements.
    cdist(
        x1: Tensor, x2: Tensor, p: Float = 2.0, compute_mode: Str = "use_mm_for_euclid_dist_if_necessary"
    ) -> Tensor, Real {
        cast: Cast::Full,
        body: Composite(eval_cdist),
        method: false,
        refuses: &[
            Refusal { call: "rt.ones(2, 3), rt.ones(2, 4)", message: "same number of columns" },
            Refusal { call: "rt.ones(2, 3), rt.ones(2, 3), -1.0", message: "non-negative" },
        ],
        samples: &[
            "r(3, 2), r(4, 2)", "r(3, 2), r(2, 2), 1.0", "r(2, 2), r(3, 2), 3.0", "r(2, 2), r(3, 2), inf",
            "r(2, 2, 2), r(2, 3, 2), compute_mode='donot_use_mm_for_euclid_dist'",
            "r(2, 2), r(3, 2), compute_mode='use_mm_for_euclid_dist'",
        ],
    }

    /// The `p`-norms of the differences of all pairs of rows of `input [n, d]`: `[n (n - 1) / 2]`, those of the first row
    /// with the ones below first.
    pdist(input: Tensor, p: Float = 2.0) -> Tensor, Special {
        body: Composite(|c| {
            let (x, p) = (c.x(0), c.float(0));
            if x.ndim() != 2 {
                bail!(Shape, "only supports 2D tensors, got: {}D", x.ndim());
            }
            if p.is_nan() || p < 0.0 {
                bail!(Value, "only supports non-negative p values, got {p}");
            }
            let n = x.shape()[0] as i64;
            let pairs = Tensor::triu_indices(n, n, 1, None)?;
            let rows = |which: i64| x.index_select(0, &pairs.select(0, which)?)?.unsqueeze(1);
            one(Tensor::cdist(&rows(0)?, &rows(1)?, p, "use_mm_for_euclid_dist_if_necessary")?.reshape(&[-1])?)
        }),
        method: false,
        refuses: &[
            Refusal { call: "rt.ones(2)", message: "only supports 2D tensors" },
            Refusal { call: "rt.ones(2, 2), -1.0", message: "non-negative p" },
        ],
        samples: &["r(4, 3)", "r(3, 2), 1.0", "r(3, 2), inf"],
    }

    /// Covariances of the rows of `input [n, observations]` (a vector is one row): `[n, n]`, or a number for one row.
    /// `correction` is taken off the degrees of freedom; `fweights` (whole numbers) say how often an observation counts,
    /// `aweights` how important it is.
    cov(input: Tensor, correction: Int = 1, fweights: OptTensor = None, aweights: OptTensor = None) -> Tensor, Real {
        body: Composite(eval_cov),

        refuses: &[
            Refusal { call: "rt.ones(2, 3, 4)", message: "two or fewer dimensions" },
            Refusal { call: "rt.ones(2, 3), 1, rt.tensor([1, -1, 2])", message: "cannot be negative" },
        ],
        samples: &["r(2, 4)", "r(2, 4), correction=0", "r(2, 3), aweights=c([1.0, 2.0, 0.5])", "r(2, 3), fweights=i([1, 2, 3])"],
    }

    /// Pearson's correlation coefficients of the rows of `input [n, observations]`: `[n, n]`, or a number for one row.
    corrcoef(input: Tensor) -> Tensor, Real {
        body: Composite(|c| {
            let k = c.x(0).cov(1, None, None)?;
            if k.ndim() == 0 {
                return one(k.div(&k, "")?);
            }
            let s = k.diagonal(0, 0, 1)?;
            let s = if s.dtype().is_complex() { s.real()?.sqrt()? } else { s.sqrt()? };
            let r = k.div(&s.unsqueeze(1)?, "")?.div(&s.unsqueeze(0)?, "")?;
            if r.dtype().is_complex() {
                let within = r.view_as_real()?.clamp(Some(Scalar::Int(-1)), Some(Scalar::Int(1)))?;
                return one(within.view_as_complex()?);
            }
            one(r.clamp(Some(Scalar::Int(-1)), Some(Scalar::Int(1)))?)
        }),

        refuses: &[Refusal { call: "rt.ones(2, 3, 4)", message: "two or fewer dimensions" }],
    }

    /// How many elements lie in each of `bins` intervals of one width from `min` to `max`, as floats. Elements outside do
    /// not count; if both bounds are equal they are the least and greatest element.
    histc(input: Tensor, bins: Int = 100, min: Scalar = 0, max: Scalar = 0) -> Tensor, Real {
        body: Composite(eval_histc),

        refuses: &[
            Refusal { call: "rt.ones(3), 0", message: "bins must be > 0" },
            Refusal { call: "rt.ones(3), 4, 1, 0", message: "max must be larger than min" },
            Refusal { call: "rt.tensor([1, 2])", message: "floating point" },
        ],
        samples: &["r(4), 3, -1, 1"],
    }

    /// Number of elements over `dim` (all by default) that are not zero.
    count_nonzero(input: Tensor, dim: OptInts = None) -> Tensor, Real {
        body: reduction!(|c| {
            let first = c.x(0).dtype().is_complex().then_some(DType::Bool);
            let compute = first.unwrap_or(c.x(0).dtype());
            Reduction::of(c.x(0), first, c.ints(0), false, &reduce::COUNT, compute, [Some(DType::I64), None])
        }),
        takes: Takes::COMPLEX,
    }

    /// Number of occurrences of each value from 0 up of a 1-d whole-number `input`, or the sum of their `weights`; at
    /// least `minlength` numbers.
    bincount(input: Tensor, weights: OptTensor = None, minlength: Int = 0) -> Tensor, Special {
        body: Dynamic(|_| Ok(None), eval_bincount),
        refuses: &[Refusal { call: "rt.tensor([-1])", message: "non-negative" }],
    }

    /// Differences of neighbours along `dim`, `n` times; `prepend` and `append` are put at the ends first. Of truth values
    /// whether they differ.
    diff(
        input: Tensor, n: Int = 1, dim: Int = -1, prepend: OptTensor = None, append: OptTensor = None
    ) -> Tensor, Special {
        body: Composite(eval_diff),
        refuses: &[
            Refusal { call: "rt.ones(()), 1", message: "at least one dimension" },
            Refusal { call: "rt.ones(2), -1", message: "order must be non-negative" },
            Refusal { call: "rt.ones(2, 3), prepend=rt.ones(3, 1)", message: "except in dimension" },
        ],
        samples: &["r(4)", "r(3, 4), 2, 0", "r(2, 3), 1, -1, r(2, 1), r(2, 2)", "r(3), 0", "r(2), 5"],
    }

    /// Integral of `y` along `dim` by the trapezoidal rule, with points `x` (of the shape of `y`, or a vector) or, without
    /// them, steps `dx`.
    trapezoid(y: Tensor, x: OptTensor = None, dx: Scalar = 1, dim: Int = -1) -> Tensor, Special {
        body: Composite(|c| eval_trapezoid(c, |t, dim| t.sum(Some(&[dim]), false, None))),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(2), rt.ones(2, 2)", message: "has more dimensions than y" },
            Refusal { call: "rt.tensor([True])", message: "not implemented for dtype bool" },
        ],
        samples: &["r(4)", "r(3, 4), r(3, 4)", "r(3, 4), r(3), dim=0", "r(2, 3), None, 0.5, 0"],
    }

    /// The sums of `trapezoid` up to each point but the first.
    cumulative_trapezoid(y: Tensor, x: OptTensor = None, dx: Scalar = 1, dim: Int = -1) -> Tensor, Special {
        body: Composite(|c| eval_trapezoid(c, |t, dim| t.cumsum(dim, None))),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(2, 2)", message: "has more dimensions than y" }],
        samples: &["r(4)", "r(3, 4), r(3, 4)", "r(3, 4), r(3), dim=0", "r(2, 3), None, 0.5, 0"],
    }

    /// `input` with those slices along `dim` whose `p`-norm exceeds `maxnorm` made as short as that.
    renorm(input: Tensor, p: Scalar, dim: Int, maxnorm: Scalar) -> Tensor, Special {
        body: Composite(eval_renorm),
        inplace: true,
        refuses: &[
            Refusal { call: "rt.ones(2), 2, 0, 1", message: "at least 2 dimensions" },
            Refusal { call: "rt.ones(2, 2), 2, 0, -1", message: ">= 0" },
        ],
        samples: &["z(2, 3), 2, 0, 0.5", "z(2, 3), 1, 1, 2.0", "z(2, 3), 3, 0, 100"],
    }

    /// Slopes along each of `dim` (all by default) by differences of neighbours, exact for parabolas inside and, with an
    /// `edge_order` of 2, at the ends. `spacing` holds for each dimension a number, or the places of the elements.
    gradient(input: Tensor, spacing: Tensors, dim: OptInts = None, edge_order: Int = 1) -> List, Special {
        body: Composite(eval_gradient),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3), [], None, 3", message: "edge_order" },
            Refusal { call: "rt.ones(1), []", message: "at least edge_order+1" },
        ],
        samples: &[
            "r(4), []", "r(3, 4), [], (1, 0), 2", "r(4), [c([0.0, 1.0, 3.0, 4.5])], 0, 2", "r(3, 3), [c(0.5), c([0.0, 1.0, 4.0])]",
        ],
    }

    /// How many rows of `input` [m, d] (or the sum of their `weight`) lie in each of `bins` times .. intervals of one width,
    /// over `range` (`low, high` for each column, as float64; those of the columns by default), upper bounds included; with
    /// `density` divided by their sum and the volumes.
    histogramdd_from_bin_cts(
        input: Tensor, bins: Ints, range: OptTensor = None, weight: OptTensor = None, density: Bool = false
    ) -> Tensor, Special {
        body: Kernel(
            |c| {
                let [_, d] = points(c.x(0), c.opt(2))?;
                range_of(c, 1, d)?;
                Spec::rows(&bin_counts(c.ints(0), d)?, c.x(0).dtype())?.one()
            },
            |c, outs| {
                let edges = edges_of(c.x(0), c.ints(0), c.opt(1))?;
                count_points(c.x(0), &edges, c.opt(2), c.bool(1), &outs[0])
            },
        ),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3, 2), [2, 0]", message: "bins must be > 0" }],
    }

    /// The edges of the intervals of `histogramdd_from_bin_cts`, for each column.
    histogramdd_bin_edges(input: Tensor, bins: Ints, range: OptTensor = None) -> List, Special {
        body: Kernel(
            |c| {
                let [_, d] = points(c.x(0), None)?;
                range_of(c, 1, d)?;
                let sizes = bin_counts(c.ints(0), d)?;
                sizes.iter().map(|&n| Spec::rows(&[n.checked_add(1).ok_or_else(|| err!(Memory, "too many bins"))?], c.x(0).dtype())).collect()
            },
            |c, outs| {
                let edges = edges_of(c.x(0), c.ints(0), c.opt(1))?;
                outs.iter().zip(edges.iter()).try_for_each(|(out, e)| copy_into(out, e))
            },
        ),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3, 2), [2]", message: "for each of 2 columns" }],
    }

    /// As `histogramdd_from_bin_cts`, between given edges that rise, for each column.
    histogramdd_from_bin_tensors(input: Tensor, weight: OptTensor, bins: Tensors, density: Bool = false) -> Tensor, Special {
        body: Kernel(
            |c| {
                let [_, d] = points(c.x(0), c.opt(1))?;
                let edges = given_edges(c, d)?;
                let sizes: Dims = edges.iter().map(|e| e.numel() - 1).collect();
                Spec::rows(&sizes, c.x(0).dtype())?.one()
            },
            |c, outs| {
                let edges = given_edges(c, points(c.x(0), None)?[1])?;
                count_points(c.x(0), &edges, c.opt(1), c.bool(0), &outs[0])
            },
        ),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3, 2), None, [rt.ones(2)]", message: "for each of 2 columns" }],
    }
}
