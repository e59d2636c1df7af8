//! Sorting, selection and search.

use crate::bail;
use crate::device::Device;
use crate::dtype::{Compute, DType, Elem, Scalar, dispatch};
use crate::engine::copy::{contiguous_unlocked, written_as};
use crate::engine::promotion::result_type;
use crate::error::Result;
use crate::kernels::copy::{GRAIN, Shared, fill};
use crate::kernels::sort::{Packed, Task, self};
use crate::memory::List;
use crate::parallel::{Pace, parallel_for};
use crate::shape::{around, wrap_dim, Dims};
use crate::table::{Call, Outs, Refusal, Saves, Spec, Specs, Takes, one, Cast};
use crate::table::rules::{picked, shared_by_all};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// `[outer, n, inner]` of `x` around a dimension, and how many results each line of `n` elements has if `k` are wanted (as
/// many as elements if None).
fn lines(x: &Tensor, dim: usize, k: Option<usize>) -> ([usize; 3], usize) {
    let sizes = around(x.shape(), dim);
    // A number has no dimension to take fewer from.
    (sizes, k.filter(|_| x.ndim() > 0).unwrap_or(sizes[1]))
}

/// Places within a line are counted in 32 bits.
fn not_too_long(n: usize) -> Result<()> {
    if n >= u32::MAX as usize {
        bail!(Value, "a dimension of {n} elements is too long");
    }
    Ok(())
}

/// Values and indices of a task along `dim`, with `k` results per line.
fn infer_along(x: &Tensor, dim: i64, k: Option<usize>, keepdim: bool) -> Result<Specs> {
    let d = wrap_dim(dim, x.ndim())?;
    let ([_, n, _], k) = lines(x, d, k);
    let mut shape = x.dims();
    if x.ndim() > 0 {
        if keepdim {
            shape[d] = k;
        } else {
            shape.remove(d);
        }
    }
    let specs = [Spec::rows(&shape, x.dtype())?, Spec::rows(&shape, DType::I64)?];
    if specs[1].layout.numel() > 0 {
        not_too_long(n)?;
    }
    Ok(Specs::from_iter(specs))
}

/// Carries out `task` along `dim`, with `k` results per line.
fn compute_along(x: &Tensor, dim: i64, k: Option<usize>, task: Task, [values, indices]: [&Tensor; 2]) -> Result<()> {
    if indices.numel() == 0 {
        return Ok(());
    }
    let (sizes, k) = lines(x, wrap_dim(dim, x.ndim())?, k);
    let from = contiguous_unlocked(x, x.dtype(), false)?;
    // SAFETY: row-major elements; the results have `k` elements in place of `n`.
    dispatch!(x.dtype(), T => unsafe { sort::rows::<T>(from.ptr(), sizes, k, &task, values.ptr(), indices.ptr())? });
    Ok(())
}

fn infer_argsort(c: &Call) -> Result<Specs> {
    infer_along(c.x(0), c.int(0), None, true)?.swap_remove(1).one()
}

fn compute_argsort(c: &Call, outs: &[Tensor]) -> Result<()> {
    let values = Tensor::empty_of(outs[0].shape(), c.x(0).dtype())?;
    compute_along(c.x(0), c.int(0), None, Task::Sort { descending: c.bool(1) }, [&values, &outs[0]])
}

/// One element along the dimension of attribute 0.
fn infer_one(c: &Call) -> Result<Specs> {
    filled(c.x(0), c.int(0))?;
    infer_along(c.x(0), c.int(0), Some(1), c.bool(1))
}

fn compute_one(c: &Call, outs: &[Tensor], task: Task) -> Result<()> {
    compute_along(c.x(0), c.int(0), Some(1), task, [&outs[0], &outs[1]])
}

/// The size of a dimension that something must be chosen from.
fn filled(x: &Tensor, dim: i64) -> Result<usize> {
    let n = around(x.shape(), wrap_dim(dim, x.ndim())?)[1];
    if n == 0 && x.numel() == 0 {
        bail!(Index, "expected reduction dim {dim} to have non-zero size");
    }
    Ok(n)
}

fn infer_topk(c: &Call) -> Result<Specs> {
    let (x, k) = (c.x(0), c.int(0));
    if x.dtype() == DType::Bool {
        bail!(DType, "not implemented for dtype bool");
    }
    let n = around(x.shape(), wrap_dim(c.int(1), x.ndim())?)[1];
    if k < 0 || k as usize > n {
        bail!(Value, "selected index k out of range: {k} of {n}");
    }
    infer_along(x, c.int(1), Some(k as usize), true)
}

fn compute_topk(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (k, task) = (c.int(0) as usize, Task::Top { descending: c.bool(2) });
    compute_along(c.x(0), c.int(1), Some(k), task, [&outs[0], &outs[1]])
}

fn infer_kthvalue(c: &Call) -> Result<Specs> {
    let (x, k) = (c.x(0), c.int(0));
    let n = filled(x, c.int(1))?;
    if k < 1 || k as usize > n {
        bail!(Value, "selected number k out of range for dimension {}: {k} of {n}", c.int(1));
    }
    infer_along(x, c.int(1), Some(1), c.bool(2))
}

fn compute_kthvalue(c: &Call, outs: &[Tensor]) -> Result<()> {
    compute_along(c.x(0), c.int(1), Some(1), Task::Select(c.int(0) as usize - 1), [&outs[0], &outs[1]])
}

fn infer_median_all(c: &Call) -> Result<Specs> {
    not_too_long(c.x(0).numel())?;
    Spec::rows(&[], c.x(0).dtype())?.one()
}

fn compute_median_all(c: &Call, outs: &[Tensor], skip_nan: bool) -> Result<()> {
    let x = c.x(0);
    if x.numel() == 0 {
        // SAFETY: one element.
        unsafe { fill(outs[0].data_ptr(), x.dtype(), 1, Scalar::Float(f64::NAN)) };
        return Ok(());
    }
    let flat = contiguous_unlocked(x, x.dtype(), false)?.flat();
    let index = Tensor::empty_of(&[], DType::I64)?;
    compute_along(&flat, 0, Some(1), Task::Median { skip_nan }, [&outs[0], &index])
}

/// The sorted distinct elements, the place of each element among them, and how often each one occurs.
fn eval_unique(c: &Call) -> Result<Outs> {
    let x = c.x(0);
    let n = x.numel();
    if n >= u32::MAX as usize {
        bail!(Value, "{n} elements are too many");
    }
    let from = contiguous_unlocked(x, x.dtype(), false)?;
    let (mut firsts, mut counts) = (List::new(), List::<i64>::new());
    let inverse = Tensor::empty_of(if c.bool(1) { x.shape() } else { &[0] }, DType::I64)?;
    let values = dispatch!(x.dtype(), T => {
        // SAFETY: `n` row-major elements; the inverse has as many if it is wanted.
        let (row, inv) = unsafe {
            (std::slice::from_raw_parts(from.ptr::<T>(), n), std::slice::from_raw_parts_mut(inverse.ptr::<i64>(), inverse.numel()))
        };
        let (mut order, mut aside) = (List::new(), List::new());
        sort::sort_row(row, false, &mut order, &mut aside)?;
        let mut last: Option<T> = None;
        let mut pace = Pace::default();
        for p in &order {
            pace.step(4);
            let v = row[p.index()];
            if last != Some(v) {
                firsts.push(p.index())?;
                counts.push(0)?;
                last = Some(v);
            }
            let place = counts.len() - 1;
            counts[place] += 1;
            if let Some(i) = inv.get_mut(p.index()) {
                *i = place as i64;
            }
        }
        Tensor::from_slice(&List::collect(firsts.iter().map(|&i| row[i]))?, &[firsts.len()])?
    });
    let counts =
        if c.bool(2) { Tensor::from_slice(&counts, &[counts.len()])? } else { Tensor::empty_of(&[0], DType::I64)? };
    Ok(Outs::from_iter([values, inverse, counts]))
}

/// Runs of equal neighbours.
fn eval_unique_consecutive(c: &Call) -> Result<Outs> {
    let x = c.x(0);
    let n = x.numel();
    let from = contiguous_unlocked(x, x.dtype(), false)?;
    let mut counts = List::<i64>::new();
    let inverse = Tensor::empty_of(if c.bool(0) { x.shape() } else { &[0] }, DType::I64)?;
    let values = dispatch!(x.dtype(), T => {
        // SAFETY: `n` row-major elements; the inverse has as many if it is wanted.
        let (row, inv) = unsafe {
            (std::slice::from_raw_parts(from.ptr::<T>(), n), std::slice::from_raw_parts_mut(inverse.ptr::<i64>(), inverse.numel()))
        };
        let mut values = List::<T>::new();
        let mut pace = Pace::default();
        for (i, &v) in row.iter().enumerate() {
            pace.step(2);
            if i == 0 || row[i - 1] != v {
                values.push(v)?;
                counts.push(0)?;
            }
            let place = counts.len() - 1;
            counts[place] += 1;
            if let Some(to) = inv.get_mut(i) {
                *to = place as i64;
            }
        }
        Tensor::from_slice(&values, &[values.len()])?
    });
    let counts =
        if c.bool(1) { Tensor::from_slice(&counts, &[counts.len()])? } else { Tensor::empty_of(&[0], DType::I64)? };
    Ok(Outs::from_iter([values, inverse, counts]))
}

/// Distinct slices along a dimension, in lexicographic order, with inverse and counts.
fn eval_unique_dim(c: &Call) -> Result<Outs> {
    let x = c.x(0);
    let dim = wrap_dim(c.int(0), x.ndim())?;
    if x.ndim() == 0 {
        bail!(Shape, "a 0-d tensor has no slices");
    }
    let n = x.shape()[dim];
    if n > 0 && x.numel() == 0 {
        bail!(
            Shape,
            "there are 0 sized dimensions in {:?}, and they aren't selected, so unique cannot be applied",
            x.shape()
        );
    }
    // Slices as rows, their elements in the order that they have.
    let (mut there, mut back): (Dims, Dims) = ((0..x.ndim()).collect(), (0..x.ndim()).collect());
    there[..=dim].rotate_right(1);
    back[..=dim].rotate_left(1);
    let rows = contiguous_unlocked(&x.with_layout(x.layout().permute(&there)), x.dtype(), false)?;
    let width = rows.numel().checked_div(n).unwrap_or(0);
    let mut order = List::collect(0..n)?;
    let mut shape = rows.dims();
    let inverse = Tensor::empty_of(&[n], DType::I64)?;
    // SAFETY: `n` elements.
    let inv = unsafe { std::slice::from_raw_parts_mut(inverse.ptr::<i64>(), n) };
    let mut counts = List::<i64>::new();
    let values = dispatch!(x.dtype(), T => {
        // SAFETY: `n` rows of `width` elements.
        let all = unsafe { std::slice::from_raw_parts(rows.ptr::<T>(), n * width) };
        let row = |i: usize| &all[i * width..(i + 1) * width];
        // Of equal slices the first one comes first; a stable sort would want memory.
        let mut pace = Pace::default();
        order.sort_unstable_by(|&a, &b| {
            pace.step(width + 8);
            let differ = row(a).iter().zip(row(b)).find(|(x, y)| x.less(**y) || y.less(**x));
            differ.map_or(a.cmp(&b), |(x, y)| if x.less(*y) { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater })
        });
        let mut kept: List<T> = List::new();
        let mut last = None;
        for &i in &order {
            if last.is_none_or(|l| row(l) != row(i)) {
                kept.extend_from_slice(row(i))?;
                counts.push(0)?;
                last = Some(i);
            }
            let place = counts.len() - 1;
            counts[place] += 1;
            inv[i] = place as i64;
        }
        shape[0] = counts.len();
        Tensor::from_slice(&kept, &shape)?
    });
    let values = contiguous_unlocked(&values.with_layout(values.layout().permute(&back)), x.dtype(), false)?;
    let values = if values.is_view() { values.alias() } else { values };
    let counts = Tensor::from_slice(&counts, &[counts.len()])?;
    Ok(Outs::from_iter([values, inverse, counts]))
}

/// Runs of equal slices along a dimension.
fn eval_unique_consecutive_dim(c: &Call) -> Result<Outs> {
    let x = c.x(0);
    let dim = wrap_dim(c.int(0), x.ndim())?;
    if x.ndim() == 0 {
        bail!(Shape, "a 0-d tensor has no slices");
    }
    let n = x.shape()[dim];
    let rows = contiguous_unlocked(&x.with_layout(x.layout().transpose(0, dim)), x.dtype(), false)?;
    let width = rows.numel().checked_div(n).unwrap_or(0);
    let mut shape = rows.dims();
    let mut counts = List::<i64>::new();
    let inverse = Tensor::empty_of(&[n], DType::I64)?;
    // SAFETY: `n` elements.
    let inv = unsafe { std::slice::from_raw_parts_mut(inverse.ptr::<i64>(), n) };
    let values = dispatch!(x.dtype(), T => {
        // SAFETY: `n` rows of `width` elements.
        let all = unsafe { std::slice::from_raw_parts(rows.ptr::<T>(), n * width) };
        let row = |i: usize| &all[i * width..(i + 1) * width];
        let mut kept: List<T> = List::new();
        let mut pace = Pace::default();
        for (i, place) in inv.iter_mut().enumerate() {
            pace.step(width + 2);
            if i == 0 || row(i) != row(i - 1) {
                kept.extend_from_slice(row(i))?;
                counts.push(0)?;
            }
            *place = counts.len() as i64 - 1;
            let last = counts.len() - 1;
            counts[last] += 1;
        }
        shape[0] = counts.len();
        Tensor::from_slice(&kept, &shape)?
    });
    let values = contiguous_unlocked(&values.with_layout(values.layout().transpose(0, dim)), x.dtype(), false)?;
    let values = if values.is_view() { values.alias() } else { values };
    Ok(Outs::from_iter([values, inverse, Tensor::from_slice(&counts, &[counts.len()])?]))
}

/// Places of `values` in rows of `sequence`, whose leading dimensions agree unless it is 1-d.
fn infer_find(sequence: &Tensor, values: &Tensor, sorter: Option<&Tensor>, dtype: DType) -> Result<Specs> {
    if sequence.ndim() == 0 {
        bail!(Shape, "the sorted sequence must have at least one dimension");
    }
    let lead = sequence.ndim() - 1;
    if lead > 0 && (values.ndim() != sequence.ndim() || values.shape()[..lead] != sequence.shape()[..lead]) {
        bail!(
            Shape,
            "boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value \
             tensor must match, but we got boundaries tensor {:?} and input value tensor {:?}",
            sequence.shape(),
            values.shape()
        );
    }
    if let Some(s) = sorter.filter(|s| s.shape() != sequence.shape() || s.dtype() != DType::I64) {
        bail!(
            Shape,
            "sorter must be int64 of shape {:?}, got {} of shape {:?}",
            sequence.shape(),
            s.dtype(),
            s.shape()
        );
    }
    Spec::rows(values.shape(), dtype)?.one()
}

fn compute_find(
    sequence: &Tensor,
    values: &Tensor,
    sorter: Option<&Tensor>,
    right: bool,
    outs: &[Tensor],
) -> Result<()> {
    let (m, lead) = (sequence.shape()[sequence.ndim() - 1], sequence.ndim() - 1);
    let order = sorter.map(|s| s.to_vec_unlocked::<i64>()).transpose()?;
    if order.iter().flat_map(|o| o.iter()).any(|&i| i < 0 || i as usize >= m) {
        bail!(Index, "sorter index out of range");
    }
    let common = result_type([sequence, values].into_iter())?.compute_dtype();
    let (seq, vals) = (contiguous_unlocked(sequence, common, false)?, contiguous_unlocked(values, common, false)?);
    let per_row = if lead == 0 { values.numel() } else { values.shape()[lead] };
    macro_rules! go {
        ($t:ty, $out:ident) => {{
            let (s, v, to) = (Shared(seq.ptr::<$t>()), Shared(vals.ptr::<$t>()), Shared($out.ptr::<i64>()));
            parallel_for(values.numel(), GRAIN / 16, &|r| {
                for i in r {
                    let row = if lead == 0 { 0 } else { i / per_row * m };
                    // SAFETY: places 0..m of a row (the sorter was checked), and element `i`.
                    unsafe {
                        let at = |k: usize| match &order {
                            Some(o) => *s.get().add(row + o[row + k] as usize),
                            None => *s.get().add(row + k),
                        };
                        *to.get().add(i) = sort::place(at, m, *v.get().add(i), right) as i64;
                    }
                }
            });
        }};
    }
    written_as(&outs[0], DType::I64, |out| {
        match common.compute() {
            Compute::F32 => go!(f32, out),
            Compute::F64 => go!(f64, out),
            Compute::I64 => go!(i64, out),
            Compute::C64 | Compute::C128 => unreachable!("complex numbers have no order"),
        }
        Ok(())
    })
}

fn index_dtype(int32: bool) -> DType {
    if int32 {
        DType::I32
    } else {
        DType::I64
    }
}

/// Whether `searchsorted` looks for the place after equal elements.
fn to_the_right(c: &Call) -> Result<bool> {
    match c.str(2) {
        "" => Ok(c.bool(1)),
        "left" if c.bool(1) => {
            bail!(Value, "side and right can't be set to opposites, got side of left while right was True")
        }
        "left" => Ok(false),
        "right" => Ok(true),
        s => bail!(Value, "side can only be 'left' or 'right' but got {s}"),
    }
}

fn infer_bucketize(c: &Call) -> Result<Specs> {
    if c.x(1).ndim() != 1 {
        bail!(Shape, "boundaries tensor must be 1 dimension, but got dim({})", c.x(1).ndim());
    }
    infer_find(c.x(1), c.x(0), None, index_dtype(c.bool(0)))
}

fn compute_isin(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, test) = (c.x(0), c.x(1));
    let common = result_type([x, test].into_iter())?.compute_dtype();
    let (from, set) = (contiguous_unlocked(x, common, false)?, contiguous_unlocked(test, common, false)?);
    let invert = c.bool(1);
    macro_rules! go {
        ($t:ty) => {{
            // SAFETY: row-major elements.
            let set = unsafe { std::slice::from_raw_parts(set.ptr::<$t>(), set.numel()) };
            let (mut order, mut aside) = (List::new(), List::new());
            sort::sort_row(set, false, &mut order, &mut aside)?;
            let sorted: List<$t> = List::collect(order.iter().map(|p| set[p.index()]))?;
            let (s, to) = (Shared(from.ptr::<$t>()), Shared(outs[0].ptr::<bool>()));
            parallel_for(x.numel(), GRAIN / 16, &|r| {
                for i in r {
                    // SAFETY: element `i` of both.
                    unsafe {
                        let v = *s.get().add(i);
                        let at = sort::search(|k| sorted[k], sorted.len(), v, false);
                        *to.get().add(i) = (sorted.get(at) == Some(&v)) != invert;
                    }
                }
            });
        }};
    }
    match common.compute() {
        Compute::F32 => go!(f32),
        Compute::F64 => go!(f64),
        Compute::I64 => go!(i64),
        Compute::C64 | Compute::C128 => unreachable!("complex numbers have no order"),
    }
    Ok(())
}

/// Ranks between two elements are interpolated as `interpolation` says.
fn eval_quantile(c: &Call, skip_nan: bool) -> Result<Outs> {
    let (x, q) = (c.x(0), c.x(1));
    let mode = c.str(2);
    if !["linear", "lower", "higher", "midpoint", "nearest"].contains(&mode) {
        bail!(Value, "interpolation must be one of linear, lower, higher, midpoint or nearest, but got {mode}");
    }
    if ![DType::F32, DType::F64].contains(&x.dtype()) {
        bail!(DType, "input tensor must be either float or double dtype, got {}", x.dtype());
    }
    if x.numel() == 0 {
        bail!(Value, "input tensor must be non-empty");
    }
    if q.ndim() > 1 {
        bail!(Shape, "q must be a scalar or 1D tensor, got shape {:?}", q.shape());
    }
    if !q.0.wrapped && q.dtype() != x.dtype() {
        bail!(DType, "q tensor must be same dtype as the input tensor, got {} and {}", q.dtype(), x.dtype());
    }
    if !q.is_meta() && q.to_vec::<f64>()?.iter().any(|v| !(0.0..=1.0).contains(v)) {
        bail!(Value, "q values must be in the range [0, 1]");
    }
    let moved = if c.meta { Some(q.like_on(Device::Meta)?) } else { None };
    let q = moved.as_ref().unwrap_or(q);
    let num = |v: i64| Tensor::number(Scalar::Int(v));
    // Lines last, in order.
    let (dim, ndim) = (c.opt_int(0), x.ndim());
    let lines = match dim {
        None => x.reshape(&[-1])?,
        Some(d) => x.unsqueeze(-1)?.transpose(wrap_dim(d, ndim)? as i64, -1)?,
    };
    let lines = if dim.is_some() && ndim > 0 { lines } else { lines.reshape(&[-1])? };
    let sorted = lines.sort(-1, false, false)?.swap_remove(0);
    let n = sorted.shape()[sorted.ndim() - 1] as i64;
    let nan = sorted.isnan()?;
    let last = if skip_nan {
        nan.logical_not()?.sum(Some(&[-1]), true, None)?.sub(&num(1)?, 1)?.clamp_min(0)?
    } else {
        // A line with a NaN gives its last element, which is one.
        num(n - 1)?
    };
    let q1 = q.to_dtype(x.dtype())?.reshape(&[-1])?;
    let mut ranks = q1.mul(&last.to_dtype(x.dtype())?)?;
    if !skip_nan {
        let any = nan.any(Some(&[-1]), true)?;
        let mut size: SmallVec<[i64; 8]> = sorted.shape().iter().map(|&d| d as i64).collect();
        if let Some(l) = size.last_mut() {
            *l = q1.numel() as i64;
        }
        ranks = ranks.expand(&size)?.masked_fill(&any.expand(&size)?, &num(n - 1)?)?;
    }
    let take = |ranks: &Tensor| sorted.gather(-1, &ranks.to_dtype(DType::I64)?, false);
    let result = match mode {
        "lower" => take(&ranks.floor()?)?,
        "higher" => take(&ranks.ceil()?)?,
        "nearest" => take(&ranks.round(0)?)?,
        _ => {
            let low = ranks.floor()?;
            let weight = if mode == "midpoint" {
                Tensor::filled(&[], Scalar::Float(0.5), x.dtype())?
            } else {
                ranks.sub(&low, 1)?
            };
            take(&low)?.lerp(&take(&ranks.ceil()?)?, &weight)?
        }
    };
    // One dimension for q comes first; the reduced one stays with size 1 if asked for.
    let mut shape: SmallVec<[i64; 8]> = match dim {
        Some(d) if ndim > 0 => {
            let mut s: SmallVec<[i64; 8]> = x.shape().iter().map(|&d| d as i64).collect();
            s[wrap_dim(d, ndim)?] = 1;
            if !c.bool(1) {
                s.remove(wrap_dim(d, ndim)?);
            }
            s
        }
        _ if c.bool(1) => SmallVec::from_elem(1, ndim),
        _ => SmallVec::new(),
    };
    let moved = result.unsqueeze(0)?.transpose(0, -1)?;
    if q.ndim() == 1 {
        shape.insert(0, q.numel() as i64);
    }
    one(moved.reshape(&shape)?)
}

ops! {
    /// The elements along `dim` in order, and their indices. NaN is greatest. Always stable.
    sort(input: Tensor, dim: Int = -1, descending: Bool = false, stable: Bool = false) -> Pair, Real {
        body: Kernel(
            |c| infer_along(c.x(0), c.int(0), None, true),
            |c, outs| {
                let task = Task::Sort { descending: c.bool(1) };
                compute_along(c.x(0), c.int(0), None, task, [&outs[0], &outs[1]])
            },
        ),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(0), true)), saves: Saves::OUTPUT,
        refuses: &[Refusal { call: "rt.ones(2), 1", message: "out of range" }],
        samples: &["r(2, 3)", "r(3, 2), 0, True", "r(3), 0, stable=True"],
        takes: Takes::UNSIGNED,
    }

    /// The indices that sort along `dim`. NaN is greatest. Always stable.
    argsort(input: Tensor, dim: Int = -1, descending: Bool = false, stable: Bool = false) -> Tensor, Real {
        body: Kernel(infer_argsort, compute_argsort),
        takes: Takes::UNSIGNED,
    }

    /// The elements along the first dimension in order.
    msort(input: Tensor) -> Tensor, Real {
        body: Composite(|c| one(c.x(0).sort(0, false, true)?.swap_remove(0))),
    }

    /// The `k` largest (or smallest) elements along `dim`, in order, and their indices.
    topk(input: Tensor, k: Int, dim: Int = -1, largest: Bool = true, sorted: Bool = true) -> Pair, Special {
        body: Kernel(infer_topk, compute_topk),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(1), true)), saves: Saves::OUTPUT,
        onnx: Some("TopK"),
        refuses: &[Refusal { call: "rt.ones(3), 4", message: "out of range" }],
        samples: &["r(2, 4), 2", "r(4, 2), 3, 0, False"],
    }

    /// The `k`-th smallest element along `dim` (`k` counting from 1), and its index.
    kthvalue(input: Tensor, k: Int, dim: Int = -1, keepdim: Bool = false) -> Pair, Special {
        body: Kernel(infer_kthvalue, compute_kthvalue),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(1), v.bool(2))), saves: Saves::OUTPUT,
        refuses: &[Refusal { call: "rt.ones(3), 4", message: "out of range" }],
        samples: &["r(2, 4), 2", "r(3, 2), 1, 0, True"],
    }

    /// The middle one of all elements, the lower one of two; NaN if there is one.
    median_all(input: Tensor) -> Tensor, Real {
        body: Kernel(infer_median_all, |c, outs| compute_median_all(c, outs, false)),
        vjp: vjp!(|v| shared_by_all(v)), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
    }

    /// The middle elements along `dim`, the lower one of two, and their indices; NaN if there is one.
    median_dim(input: Tensor, dim: Int, keepdim: Bool = false) -> Pair, Real {
        body: Kernel(infer_one, |c, outs| compute_one(c, outs, Task::Median { skip_nan: false })),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(0), v.bool(1))), saves: Saves::OUTPUT,
        method: false, function: false,
        samples: &["r(2, 3), 1", "r(3, 2), 0, True"],
    }

    /// The middle one of all elements that are not NaN, the lower one of two.
    nanmedian_all(input: Tensor) -> Tensor, Real {
        body: Kernel(infer_median_all, |c, outs| compute_median_all(c, outs, true)),
        vjp: vjp!(|v| shared_by_all(v)), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
        samples: &["t([nan, 1.0, 3.0])"],
    }

    /// The middle elements along `dim` among those that are not NaN, and their indices.
    nanmedian_dim(input: Tensor, dim: Int, keepdim: Bool = false) -> Pair, Real {
        body: Kernel(infer_one, |c, outs| compute_one(c, outs, Task::Median { skip_nan: true })),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(0), v.bool(1))), saves: Saves::OUTPUT,
        method: false, function: false,
        samples: &["t([[nan, 1.0, 2.0], [3.0, nan, nan]]), 1", "r(3, 2), 0, True"],
    }

    /// The most frequent element along `dim` (the smallest one of several) and an index of it.
    mode(input: Tensor, dim: Int = -1, keepdim: Bool = false) -> Pair, Real {
        body: Kernel(infer_one, |c, outs| compute_one(c, outs, Task::Mode)),
        vjp: vjp!(|v| picked(v, v.g(), v.yk(1), v.int(0), v.bool(1))), saves: Saves::OUTPUT,
        samples: &["r(2, 3)", "r(3, 2), 0, True"],
    }

    /// The distinct elements in order, the place of each element of `input` among them (if `return_inverse`), and how often
    /// each occurs (if `return_counts`); what is not asked for is empty.
    unique_flat(input: Tensor, sorted: Bool = true, return_inverse: Bool = false, return_counts: Bool = false) -> Triple, Integer {
        body: Dynamic(|_| Ok(None), eval_unique),
        method: false, function: false,
        takes: Takes::UNSIGNED,
    }

    /// As `unique_flat`, but only neighbours are compared and the order stays.
    unique_consecutive_flat(input: Tensor, return_inverse: Bool = false, return_counts: Bool = false) -> Triple, Integer {
        body: Dynamic(|_| Ok(None), eval_unique_consecutive),
        method: false, function: false,
        takes: Takes::UNSIGNED,
    }

    /// The distinct slices along `dim` in lexicographic order, the place of each slice among them, and how often each occurs.
    unique_dim(input: Tensor, dim: Int) -> Triple, Integer {
        body: Dynamic(|_| Ok(None), eval_unique_dim),
        method: false, function: false,
        takes: Takes::UNSIGNED,
    }

    /// The slices along `dim` that differ from the one before, the number of the run that each slice belongs to, and the
    /// lengths of the runs.
    unique_consecutive_dim(input: Tensor, dim: Int) -> Triple, Integer {
        body: Dynamic(|_| Ok(None), eval_unique_consecutive_dim),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(()), 0", message: "has no slices" }],
    }

    /// Places where `input` would have to be put into the ascending last dimension of `sorted_sequence` (sorted by `sorter`,
    /// if given) to keep the order: before equal elements, or after them if `right`.
    searchsorted(sorted_sequence: Tensor, input: Operand, out_int32: Bool = false, right: Bool = false, side: Str = "",
        sorter: OptTensor = None) -> Tensor, Special {
        body: Kernel(
            |c| to_the_right(c).and_then(|_| infer_find(c.x(0), c.x(1), c.opt(2), index_dtype(c.bool(0)))),
            |c, outs| compute_find(c.x(0), c.x(1), c.opt(2), to_the_right(c)?, outs),
        ),
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(3, 3)", message: "must match" }],
    }

    /// Numbers of the buckets between ascending `boundaries` that the elements of `input` fall into.
    bucketize(input: Operand, boundaries: Tensor, out_int32: Bool = false, right: Bool = false) -> Tensor, Special {
        body: Kernel(infer_bucketize, |c, outs| compute_find(c.x(1), c.x(0), None, c.bool(1), outs)),
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(2, 2)", message: "1 dimension" }],
    }

    /// For each element of `elements` whether it is (or, if `invert`, is not) among `test_elements`.
    isin(elements: Operand, test_elements: Operand, assume_unique: Bool = false, invert: Bool = false) -> Tensor, Integer {
        body: Kernel(
            |c| {
                if [c.x(0), c.x(1)].iter().any(|t| t.dtype() == DType::Bool) {
                    bail!(DType, "not implemented for dtype bool");
                }
                Spec::rows(c.x(0).shape(), DType::Bool)?.one()
            },
            compute_isin,
        ),
        method: false,
        refuses: &[Refusal { call: "rt.tensor([True]), 1", message: "not implemented for dtype bool" }],
    }

    /// The `q`-quantiles (`q` from 0 to 1) of the elements along `dim` (of all by default), between two elements as
    /// `interpolation` says: linear, lower, higher, midpoint or nearest. The dimension of `q`, if it has one, comes first.
    quantile(input: Tensor, q: Operand, dim: OptInt = None, keepdim: Bool = false, interpolation: Str = "linear") -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| eval_quantile(c, false)),

        refuses: &[Refusal { call: "rt.ones(3), 2.0", message: "range [0, 1]" }],
        samples: &[
            "r(5), 0.3", "r(2, 5), c([0.2, 0.9]), 1, True", "r(4), 0.4, interpolation='lower'",
            "r(4), 0.4, interpolation='higher'", "r(4), 0.4, interpolation='midpoint'", "r(4), 0.4, interpolation='nearest'",
        ],
    }

    /// As `quantile`, over the elements that are not NaN.
    nanquantile(input: Tensor, q: Operand, dim: OptInt = None, keepdim: Bool = false, interpolation: Str = "linear") -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| eval_quantile(c, true)),

        samples: &["t([nan, 1.0, 2.0, 4.0]), 0.4", "t([[nan, 1.0, 2.0], [3.0, 4.0, 5.5]]), 0.4, 1, True"],
    }
}
