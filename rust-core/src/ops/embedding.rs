//! Bags of embeddings, and tables of bounded norm.

use crate::bail;
use crate::dtype::{DType, Elem, Scalar, dispatch_float};
use crate::engine::copy::{ptr, contiguous_unlocked, copy_into, fill_new, written_as};
use crate::engine::dtypes::{check_rows, float, only_floats};
use crate::error::{Error, Result};
use crate::kernels::embedding::{Bags, Mode, self as kernel};
use crate::memory::List;
use crate::table::{Call, Refusal, Saves, Spec, Specs};
use crate::tensor::Tensor;

/// Runs `$body` with `$E` bound to a floating-point type.
macro_rules! floats {
    ($dtype:expr, $E:ident => $body:expr) => {
        // SAFETY: each use hands row-major tensors and the sizes they were checked for.
        dispatch_float!($dtype, $E => unsafe { $body }; d => unreachable!("dtype {d} has been refused"))
    };
}

/// What all ops on bags share: indices and offsets, and the attributes from `k` on.
struct Given<'a> {
    indices: &'a Tensor,
    offsets: Option<&'a Tensor>,
    mode: Mode,
    last: bool,
    padding: Option<i64>,
}

impl<'a> Given<'a> {
    fn of(indices: &'a Tensor, offsets: Option<&'a Tensor>, mode: i64, last: bool, padding: Option<i64>) -> Result<Given<'a>> {
        let mode = match mode {
            0 => Mode::Sum,
            1 => Mode::Mean,
            2 => Mode::Max,
            m => bail!(Value, "mode must be 0 (sum), 1 (mean) or 2 (max), got {m}"),
        };
        let given = Given { indices, offsets, mode, last, padding };
        check_rows(indices)?;
        match (indices.ndim(), offsets) {
            (2, None) => {}
            (2, Some(_)) => {
                bail!(Value, "if input is 2D, then offsets has to be None, as input is treated is a mini-batch")
            }
            (1, None) => bail!(Value, "offsets has to be a 1D Tensor but got None"),
            (1, Some(t)) => {
                check_rows(t)?;
                if t.ndim() != 1 {
                    bail!(Value, "offsets has to be a 1D Tensor, got shape {:?}", t.shape());
                }
                if last && t.numel() == 0 {
                    bail!(Value, "offsets must hold one number at least with include_last_offset");
                }
            }
            (n, _) => bail!(Value, "input has to be 1D or 2D Tensor, but got Tensor of dimension {n}"),
        }
        Ok(given)
    }

    /// The number of bags.
    fn bags(&self) -> usize {
        match self.offsets {
            Some(t) => t.numel() - self.last as usize,
            None => self.indices.shape()[0],
        }
    }

    /// The row that counts nowhere, of a table of `n`.
    fn padding_of(&self, n: usize) -> Result<Option<i64>> {
        let n = n as i64;
        match self.padding {
            Some(p) if p < -n || p >= n => {
                bail!(Value, "padding_idx must be within the number of embeddings, {} through {}, but got {p}", -n, n - 1)
            }
            p => Ok(p.map(|p| if p < 0 { p + n } else { p })),
        }
    }

    /// Runs `f` on the bags, whose rows must be in a table of `n`.
    fn read<R>(&self, n: usize, f: impl FnOnce(&Bags) -> R) -> Result<R> {
        let numbers = |t: &Tensor| contiguous_unlocked(t, DType::I64, false);
        // SAFETY: row-major int64.
        let slice = |t: &Tensor| unsafe { std::slice::from_raw_parts(t.ptr::<i64>(), t.numel()) };
        let held = numbers(self.indices)?;
        let rows = slice(&held);
        if let Some(i) = rows.iter().find(|&&i| i < 0 || i >= n as i64) {
            bail!(Index, "index {i} is out of bounds for a table of {n} rows");
        }
        let mut bounds = List::with_room(self.bags() + 1)?;
        match self.offsets {
            Some(t) => {
                let (held, all) = (numbers(t)?, rows.len());
                let given = slice(&held);
                if given.windows(2).any(|w| w[1] < w[0]) || given.last().is_some_and(|&e| e > all as i64) {
                    bail!(Value, "offsets must ascend up to the number of indices, {all}, got {given:?}");
                }
                if given.first().is_some_and(|&o| o != 0) {
                    bail!(Value, "offsets[0] has to be 0, i.e., the first sequence starts from position 0, got {}", given[0]);
                }
                bounds.extend(given.iter().map(|&o| o as usize))?;
                if !self.last {
                    bounds.push(all)?;
                }
            }
            None => {
                for b in 0..self.bags() + 1 {
                    bounds.push(b * self.indices.shape()[1])?;
                }
            }
        }
        Ok(f(&Bags { rows, bounds: &bounds, padding: self.padding_of(n)? }))
    }
}

/// Weights of members, if given: of the shape of the indices and the dtype of the table.
fn check_each(each: Option<&Tensor>, given: &Given, dtype: DType) -> Result<()> {
    let Some(each) = each else { return Ok(()) };
    if each.shape() != given.indices.shape() {
        bail!(
            Value,
            "per_sample_weights must have the input's shape {:?}, got {:?}",
            given.indices.shape(),
            each.shape()
        );
    }
    if each.dtype() != dtype {
        bail!(DType, "per_sample_weights must have the weight's dtype {dtype}, got {}", each.dtype());
    }
    if given.mode != Mode::Sum {
        let name = if given.mode == Mode::Mean { "mean" } else { "max" };
        bail!(Unsupported, "per_sample_weights needs mode='sum', got mode='{name}'");
    }
    Ok(())
}

/// A matrix of floats.
fn table_of(t: &Tensor) -> Result<[usize; 2]> {
    only_floats(t.dtype())?;
    match *t.shape() {
        [n, d] => Ok([n, d]),
        _ => bail!(Shape, "'weight' must be 2-D, got shape {:?}", t.shape()),
    }
}

/// A row-major tensor in the compute type; null if there is none.
fn ready(t: Option<&Tensor>) -> Result<Option<Tensor>> {
    t.map(|t| contiguous_unlocked(t, t.dtype().compute_dtype(), false)).transpose()
}

fn given<'a>(c: &'a Call, indices: usize, k: usize) -> Result<Given<'a>> {
    Given::of(c.x(indices), c.opt(indices + 1), c.int(k), c.bool(k + 1), c.opt_int(k + 2))
}

fn infer_bag(c: &Call) -> Result<Specs> {
    let (w, each) = (c.x(0), c.opt(3));
    let given = given(c, 1, 0)?;
    let [n, d] = table_of(w)?;
    check_each(each, &given, w.dtype())?;
    given.padding_of(n)?;
    let best = [if given.mode == Mode::Max { given.bags() } else { 0 }, d];
    Ok(Specs::from_iter([Spec::rows(&[given.bags(), d], w.dtype())?, Spec::rows(&best, DType::I64)?]))
}

fn compute_bag(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (w, each) = (c.x(0), ready(c.opt(3))?);
    let given = given(c, 1, 0)?;
    let [n, d] = table_of(w)?;
    let w1 = contiguous_unlocked(w, w.dtype(), false)?;
    given.read(n, |bags| {
        floats!(w.dtype(), E => kernel::forward::<E>(bags, given.mode, w1.ptr(), d, ptr!(each), outs[0].ptr(), outs[1].ptr()))
    })?
}

fn infer_bag_backward(c: &Call) -> Result<Specs> {
    let (g, each, best) = (c.x(0), c.opt(3), c.opt(4));
    let given = given(c, 1, 1)?;
    let Ok(n) = usize::try_from(c.int(0)) else { bail!(Value, "num_weights must not be negative, got {}", c.int(0)) };
    let [bags, d] = table_of(g)?;
    if bags != given.bags() {
        bail!(Shape, "a gradient of shape {:?} does not fit {} bags", g.shape(), given.bags());
    }
    check_each(each, &given, g.dtype())?;
    given.padding_of(n)?;
    if given.mode == Mode::Max {
        let Some(best) = best else { bail!(Null, "mode max needs the max_indices of the bags") };
        if best.shape() != [bags, d] || best.dtype() != DType::I64 {
            let message = format!("max_indices must be int64 of shape [{bags}, {d}], got {} {:?}", best.dtype(), best.shape());
            return Err(Error::shapes("", message, best.shape(), g.shape()));
        }
    }
    Spec::rows(&[n, d], g.dtype())?.one()
}

fn compute_bag_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (g, each) = (ready(Some(c.x(0)))?, ready(c.opt(3))?);
    let given = given(c, 1, 1)?;
    let (n, d) = (outs[0].shape()[0], outs[0].shape()[1]);
    let best = c.opt(4).filter(|_| given.mode == Mode::Max);
    let best = best.map(|t| contiguous_unlocked(t, DType::I64, false)).transpose()?;
    if let Some(t) = &best {
        // SAFETY: row-major int64.
        let all = unsafe { std::slice::from_raw_parts(t.ptr::<i64>(), t.numel()) };
        if let Some(i) = all.iter().find(|&&i| i < -1 || i >= n as i64) {
            bail!(Index, "index {i} is out of bounds for a table of {n} rows");
        }
    }
    let dtype = c.x(0).dtype();
    written_as(&outs[0], dtype.compute_dtype(), |out| {
        given.read(n, |bags| {
            float!(dtype, T => kernel::backward::<T>(bags, given.mode, ptr!(g), d, ptr!(each), ptr!(best), n, out.ptr()));
        })
    })
}

fn infer_each_backward(c: &Call) -> Result<Specs> {
    let (g, w) = (c.x(0), c.x(1));
    let given = Given::of(c.x(2), c.opt(3), 0, c.bool(0), c.opt_int(1))?;
    let [n, d] = table_of(w)?;
    c.want_shape(0, &[given.bags(), d])?;
    if g.dtype() != w.dtype() {
        bail!(DType, "the gradient must have the weight's dtype {}, got {}", w.dtype(), g.dtype());
    }
    given.padding_of(n)?;
    Spec::rows(given.indices.shape(), w.dtype())?.one()
}

fn compute_each_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (g, w) = (ready(Some(c.x(0)))?, c.x(1));
    let given = Given::of(c.x(2), c.opt(3), 0, c.bool(0), c.opt_int(1))?;
    let [n, d] = table_of(w)?;
    let w1 = contiguous_unlocked(w, w.dtype(), false)?;
    written_as(&outs[0], w.dtype().compute_dtype(), |out| {
        // What is behind the last bag, or counts nowhere.
        fill_new(out, Scalar::Int(0));
        given.read(n, |bags| floats!(w.dtype(), E => kernel::each_backward::<E>(bags, ptr!(g), w1.ptr(), d, out.ptr())))
    })
}

/// Rows of `z` that the largest elements came from.
fn picked(z: &Tensor, best: &Tensor) -> Result<Tensor> {
    let none = Tensor::number(Scalar::Int(0))?;
    let there = best.ge(&none)?;
    Tensor::where_(&there, &z.gather(0, &best.clamp(Some(Scalar::Int(0)), None)?, false)?, &none)
}

// ---- tables of bounded norm ----

fn compute_renorm(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (w, out) = (c.x(0), &outs[0]);
    if !out.shares_storage(w) {
        copy_into(out, w)?;
    }
    let [n, d] = table_of(w)?;
    let held = contiguous_unlocked(c.x(1), DType::I64, false)?;
    // SAFETY: row-major int64.
    let mut rows = List::collect(unsafe { std::slice::from_raw_parts(held.ptr::<i64>(), held.numel()) }.iter().copied())?;
    if let Some(i) = rows.iter().find(|&&i| i < 0 || i >= n as i64) {
        bail!(Index, "index {i} is out of bounds for a table of {n} rows");
    }
    rows.sort_unstable();
    let (most, p) = (c.float(0), c.float(1));
    let mut before = -1;
    for &row in rows.iter() {
        if row == before {
            continue;
        }
        before = row;
        floats!(out.dtype(), E => {
            let at = |j: usize| out.ptr::<E>().offset(row as isize * out.strides()[0] + j as isize * out.strides()[1]);
            let size = |j: usize| (*at(j)).up().to_f64().abs();
            let norm = match p {
                _ if p == f64::INFINITY => (0..d).map(size).fold(0.0, |a: f64, v| if v > a || v.is_nan() { v } else { a }),
                _ if p == f64::NEG_INFINITY => (0..d).map(size).fold(f64::INFINITY, |a: f64, v| if v < a || v.is_nan() { v } else { a }),
                _ if p == 0.0 => (0..d).filter(|&j| size(j) != 0.0).count() as f64,
                _ if p == 2.0 => (0..d).map(|j| size(j) * size(j)).sum::<f64>().sqrt(),
                _ => (0..d).map(|j| size(j).powf(p)).sum::<f64>().powf(1.0 / p),
            };
            if norm > most {
                let scale = most / (norm + 1e-7);
                for j in 0..d {
                    *at(j) = E::from_f64((*at(j)).up().to_f64() * scale);
                }
            }
        });
    }
    Ok(())
}

ops! {
    /// Sum (`mode` 0), mean (1) or maximum (2) of rows of `weight` `[n, d]` per bag: `indices` `[B, k]` has a bag in each
    /// row; flat ones `[m]` have bags that begin at `offsets` `[B]`, which end with the last bag's end if
    /// `include_last_offset`. In sums, `per_sample_weights` of the shape of `indices` weigh the members. Members equal to
    /// `padding_idx` count nowhere. Gives `[B, d]`, and in mode 2 the rows that the largest elements came from (-1 for those
    /// of empty bags, which are zeros), else `[0, d]`.
    embedding_bag(
        weight: Tensor, indices: Tensor, offsets: OptTensor = None, mode: Int = 0, per_sample_weights: OptTensor = None,
        include_last_offset: Bool = false, padding_idx: OptInt = None
    ) -> Pair, Special {
        body: Composite(|c| {
            let (w, indices, offsets) = (c.x(0), c.x(1), c.opt(2));
            let (mode, last, padding) = (c.int(0), c.bool(1), c.opt_int(2));
            let Some(each) = c.opt(3) else { return Tensor::embedding_bag_unweighted(w, indices, offsets, mode, last, padding) };
            Tensor::embedding_bag_weighted(w, indices, offsets, each, mode, last, padding)
        }),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3, 2), rt.tensor([3]), rt.tensor([0])", message: "index 3 is out of bounds" },
            Refusal { call: "rt.ones(3, 2), rt.tensor([1]), rt.tensor([2])", message: "offsets must ascend" },
            Refusal { call: "rt.ones(3, 2), rt.tensor([1])", message: "offsets has to be a 1D Tensor" },
        ],
        samples: &["r(4, 2), i([[0, 3], [3, 3]])", "r(4, 2), i([0, 3, 1, 1]), i([0, 1, 3]), 0, r(4), True"],
    }

    /// [`embedding_bag`] of members that all count alike.
    embedding_bag_unweighted(
        weight: Tensor, indices: Tensor, offsets: OptTensor, mode: Int, include_last_offset: Bool, padding_idx: OptInt
    ) -> Pair, Special {
        body: Kernel(infer_bag, compute_bag),
        vjp: vjp!(|v| {
            let (indices, offsets, n) = (v.x(1).tensor()?, v.x(2).value()?, v.shape(0)[0] as i64);
            let best = if v.int(0) == 2 { Some(v.yk(1).tensor()?) } else { None };
            v.g().then(|g| Tensor::embedding_bag_backward(
                g, &indices, offsets.as_ref(), None, best.as_ref(), n, v.int(0), v.bool(1), v.opt_int(2)))
        }),
        saves: Saves(6).and(Saves::OUTPUT), method: false, function: false,
        samples: &[
            "r(4, 2), i([[0, 3], [3, 3]]), None, 0, False, None", "r(4, 2), i([0, 3, 1, 1]), i([0, 3, 3]), 1, False, 3",
            "r(4, 2), i([0, 3, 1, 2]), i([0, 2, 2]), 2, False, None", "r(4, 2), i([[0, 3, 1], [2, 2, 2]]), None, 1, False, -1",
        ],
    }

    /// [`embedding_bag`] of weighted members.
    embedding_bag_weighted(
        weight: Tensor, indices: Tensor, offsets: OptTensor, per_sample_weights: Tensor, mode: Int, include_last_offset: Bool,
        padding_idx: OptInt
    ) -> Pair, Special {
        body: Kernel(infer_bag, compute_bag),
        vjp: vjp!(|v| {
            let (indices, offsets) = (v.x(1).tensor()?, v.x(2).value()?);
            let (last, padding, n) = (v.bool(1), v.opt_int(2), v.shape(0)[0] as i64);
            [
                v.want(0, || v.g().with(v.x(3), |g, each| {
                    Tensor::embedding_bag_backward(g, &indices, offsets.as_ref(), Some(each), None, n, 0, last, padding)
                })),
                Ex::None,
                Ex::None,
                v.want(3, || v.g().with(v.x(0), |g, w| {
                    Tensor::embedding_bag_per_sample_weights_backward(g, w, &indices, offsets.as_ref(), last, padding)
                })),
            ]
        }),
        saves: Saves::INPUTS, method: false, function: false,
        samples: &[
            "r(4, 2), i([0, 3, 1, 1]), i([0, 1, 3]), r(4), 0, True, None", "r(4, 2), i([[0, 3, 1]]), None, r(1, 3), 0, False, -1",
        ],
    }

    /// Gradient of `embedding_bag` with respect to its table of `num_weights` rows.
    embedding_bag_backward(
        grad: Tensor, indices: Tensor, offsets: OptTensor, per_sample_weights: OptTensor, max_indices: OptTensor,
        num_weights: Int, mode: Int = 0, include_last_offset: Bool = false, padding_idx: OptInt = None
    ) -> Tensor, Special {
        body: Kernel(infer_bag_backward, compute_bag_backward),
        vjp: vjp!(|v| {
            let (indices, offsets, each) = (v.x(1).tensor()?, v.x(2).value()?, v.x(3).value()?);
            let (mode, last, padding) = (v.int(1), v.bool(2), v.opt_int(3));
            [
                v.want(0, || v.g().then(|z| {
                    if mode == 2 {
                        return picked(z, &v.x(4).tensor()?);
                    }
                    let mut outs = Tensor::embedding_bag(z, &indices, offsets.as_ref(), mode, each.as_ref(), last, padding)?;
                    Ok(outs.swap_remove(0))
                })),
                Ex::None,
                Ex::None,
                v.want(3, || v.g().with(v.x(0), |z, g| {
                    Tensor::embedding_bag_per_sample_weights_backward(g, z, &indices, offsets.as_ref(), last, padding)
                })),
                Ex::None,
            ]
        }),
        saves: Saves::INPUTS, method: false, function: false,
        samples: &[
            "r(2, 2), i([[0, 3], [3, 3]]), None, r(2, 2), None, 4",
            "r(3, 2), i([0, 3, 1, 1]), i([0, 3, 3]), None, None, 4, 1, False, 3",
            "r(2, 2), i([0, 3, 1]), i([0, 3]), None, i([[0, 1], [-1, -1]]), 4, 2",
        ],
    }

    /// Gradient of `embedding_bag` with respect to the weights of its members.
    embedding_bag_per_sample_weights_backward(
        grad: Tensor, weight: Tensor, indices: Tensor, offsets: OptTensor = None, include_last_offset: Bool = false,
        padding_idx: OptInt = None
    ) -> Tensor, Special {
        body: Kernel(infer_each_backward, compute_each_backward),
        vjp: vjp!(|v| {
            let (indices, offsets, last, padding) = (v.x(2).tensor()?, v.x(3).value()?, v.bool(0), v.opt_int(1));
            [
                v.want(0, || v.g().with(v.x(1), |z, w| {
                    let mut outs = Tensor::embedding_bag(w, &indices, offsets.as_ref(), 0, Some(z), last, padding)?;
                    Ok(outs.swap_remove(0))
                })),
                v.want(1, || v.g().with(v.x(0), |z, g| {
                    let n = v.shape(1)[0] as i64;
                    Tensor::embedding_bag_backward(g, &indices, offsets.as_ref(), Some(z), None, n, 0, last, padding)
                })),
                Ex::None,
                Ex::None,
            ]
        }),
        saves: Saves::INPUTS, method: false, function: false,
        samples: &["r(2, 2), r(4, 2), i([[0, 3], [3, 3]])", "r(2, 2), r(4, 2), i([0, 3, 1, 1]), i([0, 1, 3]), True, 3"],
    }

    /// `input` `[n, d]` with those rows of `indices` scaled down whose `norm_type`-norm is above `max_norm`.
    embedding_renorm(input: Tensor, indices: Tensor, max_norm: Float, norm_type: Float = 2.0) -> Tensor, Special {
        body: Kernel(
            |c| {
                table_of(c.x(0))?;
                check_rows(c.x(1))?;
                Spec::rows(c.x(0).shape(), c.x(0).dtype())?.one()
            },
            compute_renorm,
        ),
        inplace: true, direct: true, method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3, 2), rt.tensor([3]), 1.0", message: "index 3 is out of bounds" }],
    }
}
