//! Distances, covariances, histograms, differences.

use crate::{bail, err};
use crate::dtype::{DType, Scalar, promote};
use crate::engine::copy::{contiguous_unlocked, written_as};
use crate::engine::reduction::Reduction;
use crate::error::{Error, Result};
use crate::kernels::{pairs as distances, reduce};
use crate::shape::{broadcast, signed, wrap_dim};
use crate::table::{Call, Outs, Refusal, Saves, Spec, Specs, Takes, Vjp, holds, one, Cast};
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

fn eval_trapezoid(c: &Call) -> Result<Outs> {
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
        return one(y.sum(Some(&[along]), false, Some(y.dtype()))?);
    }
    let heights = (&(&y.narrow(along, 1, n - 1)? + &y.narrow(along, 0, n - 1)?)? / 2.0)?;
    let Some(x) = x else {
        return one(heights.sum(Some(&[along]), false, None)?.mul(&Tensor::number(c.scalar(0))?)?);
    };
    let mut steps = x.diff(1, if x.ndim() == y.ndim() { along } else { -1 }, None, None)?;
    if x.ndim() == 1 && d + 1 != y.ndim() {
        let mut shape: SmallVec<[i64; 8]> = SmallVec::from_elem(1, y.ndim());
        shape[d] = -1;
        steps = steps.reshape(&shape)?;
    }
    one(heights.mul(&steps)?.sum(Some(&[along]), false, None)?)
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
        body: Composite(eval_trapezoid),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(2), rt.ones(2, 2)", message: "has more dimensions than y" },
            Refusal { call: "rt.tensor([True])", message: "not implemented for dtype bool" },
        ],
        samples: &["r(4)", "r(3, 4), r(3, 4)", "r(3, 4), r(3), dim=0", "r(2, 3), None, 0.5, 0"],
    }
}
