//! Joining and splitting.

use crate::{bail, err};
use crate::engine::copy::filled_by;
use crate::engine::promotion::result_type;
use crate::error::{Error, Result};
use crate::kernels::copy;
use crate::memory::{List, self};
use crate::shape::{counts, real_dim, wrap_dim};
use crate::table::{Call, Grads, Outs, Refusal, Spec, Specs, Takes, Vjp, one, several, Cast};
use crate::table::lang::at_least;
use crate::tensor::Tensor;

/// Concatenates along `dim`, or along a new dimension if `new` is true.
fn infer_join(c: &Call, new: bool) -> Result<Specs> {
    let Some(&Some(first)) = c.inputs.iter().find(|t| t.is_some_and(|t| new || t.shape() != [0])).or(c.inputs.first())
    else {
        bail!(Value, "expected a non-empty list of tensors");
    };
    let dtype = if c.inputs.iter().flatten().all(|t| t.dtype() == first.dtype()) {
        first.dtype()
    } else {
        result_type(c.inputs.iter().flatten().copied())?
    };
    let d = wrap_dim(c.int(0), first.ndim() + new as usize)?;
    let mut shape = first.dims();
    if new {
        shape.insert(d, c.inputs.len());
    } else {
        shape[..].get_mut(d).map_or_else(
            || Err(err!(Value, "zero-dimensional tensors cannot be concatenated")),
            |n| {
                *n = 0;
                Ok(())
            },
        )?;
    }
    for (i, t) in c.inputs.iter().flatten().enumerate() {
        let fits = if new {
            t.shape() == first.shape()
        } else {
            skipped(t, shape.len())
                || (t.ndim() == shape.len() && (0..t.ndim()).all(|k| k == d || t.shape()[k] == shape[k]))
        };
        if !fits {
            let rule = if new { "must be equal".into() } else { format!("must match except in dimension {d}") };
            let message = format!(
                "sizes of tensors {rule}; expected {:?} but tensor number {i} in the list has {:?}",
                first.shape(),
                t.shape()
            );
            return Err(Error::shapes("", message, first.shape(), t.shape()));
        }
        if !new && !skipped(t, shape.len()) {
            let n = shape[d].checked_add(t.shape()[d]);
            shape[d] = n.ok_or_else(|| err!(Memory, "the result would be too large along dimension {d}"))?;
        }
    }
    Spec::rows(&shape, dtype)?.one()
}

fn compute_join(c: &Call, outs: &[Tensor], new: bool) -> Result<()> {
    let out = &outs[0];
    let d = wrap_dim(c.int(0), out.ndim())?;
    let mut at = 0;
    for t in c.inputs.iter().flatten().filter(|t| new || !skipped(t, out.ndim())) {
        let len = if new { 1 } else { t.shape()[d] };
        let part = out.layout().slice(d, at, len, 1);
        let to = if new { part.without(d) } else { part };
        // SAFETY: the slice has the input's shape and lies inside of the new output.
        unsafe { copy::strided(t.base_ptr(), t.dtype(), t.layout(), out.base_ptr(), out.dtype(), &to) };
        at += len;
    }
    Ok(())
}

/// `cat` overlooks empty 1-d tensors among tensors with more dimensions.
fn skipped(t: &Tensor, ndim: usize) -> bool {
    ndim != 1 && t.shape() == [0]
}

fn cat_vjp(v: &Vjp) -> Result<Grads> {
    let mut at = 0;
    let g = v.g();
    let mut part = |i: usize| {
        let shape = v.shape(i);
        g.then(|g| {
            if g.ndim() != 1 && shape == [0] {
                return filled_by(g, shape, 0);
            }
            let n = shape[wrap_dim(v.int(0), g.ndim())?] as i64;
            at += n;
            if v.need(i) {
                g.slice(v.int(0), Some(at - n), Some(at), 1)
            } else {
                Ok(g.clone())
            }
        })
    };
    let mut grads = memory::room(v.len())?;
    for i in 0..v.len() {
        memory::check()?;
        let part = part(i);
        grads.push(v.want(i, || part).value()?);
    }
    Ok(grads)
}

/// Gradients of all `n` outputs, zeros where none arrived.
fn all_grads(v: &Vjp, n: usize) -> Result<List<Tensor>> {
    List::try_collect((0..n).map(|k| v.gk(k).tensor()))
}

/// Equal parts of `n`: as many of `size` as fit, then the rest.
fn parts_of(n: i64, size: i64) -> Result<List<i64>> {
    if size < 0 || (size == 0 && n != 0) {
        bail!(Value, "split_size must be positive, got {size} for a dimension of size {n}");
    }
    let count = if size == 0 { 1 } else { (n / size + (n % size != 0) as i64).max(1) };
    List::collect((0..count).map(|k| size.min(n - k * size)))
}

fn stacked(c: &Call, least: usize, dim: impl Fn(&Tensor) -> i64) -> Result<Outs> {
    let all = List::try_collect(c.inputs.iter().flatten().map(|t| at_least(t, least)))?;
    let Some(first) = all.first() else {
        bail!(Value, "expected a non-empty list of tensors");
    };
    one(Tensor::cat(&all, dim(first))?)
}

fn eval_block_diag(c: &Call) -> Result<Outs> {
    let all = List::try_collect(c.inputs.iter().flatten().map(|t| at_least(t, 2)))?;
    if let Some(t) = all.iter().find(|t| t.ndim() > 2) {
        bail!(Value, "input tensors must have 2 or fewer dimensions, got shape {:?}", t.shape());
    }
    if all.is_empty() {
        return one(Tensor::zeros_with(&[1, 0], None)?);
    }
    let width = all.iter().try_fold(0i64, |sum, t| sum.checked_add(t.shape()[1] as i64));
    let total = width.ok_or_else(|| err!(Memory, "the result has too many columns"))?;
    let mut at = 0;
    let rows = List::try_collect(all.iter().map(|t| {
        let n = t.shape()[1] as i64;
        at += n;
        t.pad(&[at - n, total - at], "constant", None)
    }))?;
    one(Tensor::cat(&rows, 0)?)
}

fn eval_tensor_split_indices(c: &Call) -> Result<Outs> {
    let (x, at) = (c.x(0), c.ints(0));
    real_dim(c.int(1), x.ndim())?;
    several(at.len() + 1, |i| x.slice(c.int(1), i.checked_sub(1).map(|i| at[i]), at.get(i).copied(), 1))
}

fn few(parts: i64) -> Result<usize> {
    usize::try_from(parts).ok().filter(|&n| n <= 1 << 24).ok_or_else(|| err!(Memory, "cannot make {parts} tensors"))
}

ops! {
    /// The tensors one after the other along `dim`; the other sizes must be equal. The result has the common dtype.
    cat(tensors: Tensors, dim: Int = 0) -> Tensor, Special {
        cast: Cast::Widest,
        body: Kernel(|c| infer_join(c, false), |c, outs| compute_join(c, outs, false)),
        vjp: vjp!(|v| cat_vjp(v)),
        aliases: &["concat", "concatenate"], onnx: Some("Concat"), method: false,
        refuses: &[
            Refusal { call: "[rt.ones(2, 3), rt.ones(2, 4)]", message: "must match except in dimension 0" },
            Refusal { call: "[]", message: "non-empty list" },
        ],
        samples: &["[r(2, 3), r(1, 3)]", "[r(2, 1), r(2, 2)], 1"],
        takes: Takes::ALL,
    }

    /// Tensors of one shape along a new dimension `dim`.
    stack(tensors: Tensors, dim: Int = 0) -> Tensor, Special {
        cast: Cast::Widest,
        body: Kernel(|c| infer_join(c, true), |c, outs| compute_join(c, outs, true)),
        vjp: vjp!(|v| {
            let mut grads = memory::room(v.len())?;
            for i in 0..v.len() {
                memory::check()?;
                grads.push(v.want(i, || v.g().then(|g| g.select(v.int(0), i as i64))).value()?);
            }
            Ok(grads)
        }),
        onnx: Some("ConcatFromSequence"), method: false,
        refuses: &[Refusal { call: "[rt.ones(2), rt.ones(3)]", message: "must be equal" }],
        samples: &["[r(2, 3), r(2, 3)]", "[r(2, 3), r(2, 3)], -1"],
        takes: Takes::ALL,
    }

    /// The tensors side by side: along dimension 0 for 1-d tensors, else along dimension 1.
    hstack(tensors: Tensors) -> Tensor, Special {
        body: Composite(|c| stacked(c, 1, |x| (x.ndim() > 1) as i64)),
        method: false,
        samples: &["[r(2, 3), r(2, 3)]", "[r(2), r(2)]"],
    }

    /// The tensors, 1-d ones seen as rows, one below the other.
    vstack(tensors: Tensors) -> Tensor, Special {
        body: Composite(|c| stacked(c, 2, |_| 0)),
        aliases: &["row_stack"], method: false,
        samples: &["[r(2, 3), r(2, 3)]", "[r(2), r(2)]"],
    }

    /// The tensors, seen with three dimensions, along the third.
    dstack(tensors: Tensors) -> Tensor, Special {
        body: Composite(|c| stacked(c, 3, |_| 2)),
        method: false,
        samples: &["[r(2, 3), r(2, 3)]", "[r(2), r(2)]"],
    }

    /// The tensors, those with fewer than two dimensions seen as columns, side by side.
    column_stack(tensors: Tensors) -> Tensor, Special {
        body: Composite(|c| {
            let all = c.inputs.iter().flatten().map(|x| match x.ndim() {
                0 | 1 => x.reshape(&[x.numel() as i64, 1]),
                _ => Ok((*x).clone()),
            });
            one(Tensor::cat(&List::try_collect(all)?, 1)?)
        }),
        method: false,
        samples: &["[r(2, 3), r(2, 3)]", "[r(2), r(2)]"],
    }

    /// Matrices (1-d and 0-d tensors are seen as rows) along the diagonal of a matrix that is zero elsewhere.
    block_diag(tensors: Tensors) -> Tensor, Special {
        body: Composite(eval_block_diag),
        method: false,
        samples: &["[r(2, 2), r(1, 3), r(2)]"],
    }

    /// Parts of dimension `dim` with the given sizes; views.
    split_with_sizes(input: Tensor, split_sizes: Ints, dim: Int = 0) -> List, Special {
        body: View(|c| {
            let x = c.x(0);
            let d = real_dim(c.int(1), x.ndim())?;
            let parts = counts(c.ints(0))?;
            if parts.iter().try_fold(0usize, |a, &n| a.checked_add(n)) != Some(x.shape()[d]) {
                bail!(Value, "split_sizes must sum up to the size {} of dimension {d}, got {parts:?}", x.shape()[d]);
            }
            let mut at = 0;
            several(parts.len(), |i| {
                at += parts[i];
                Ok(x.with_layout(x.layout().slice(d, at - parts[i], parts[i], 1)))
            })
        }),
        vjp: vjp!(|v| Ex::from(all_grads(v, v.ints(0).len()).and_then(|g| Tensor::cat(&g, v.int(1))))),
        onnx: Some("Split"),
        refuses: &[Refusal { call: "rt.ones(3), [1, 1]", message: "must sum up to the size 3" }],
        samples: &["r(5, 2), (2, 3)", "r(2, 4), (1, 3), 1"],
    }

    /// Parts of `split_size` elements of dimension `dim`, the last one smaller if need be; views.
    split(input: Tensor, split_size: Int, dim: Int = 0) -> List, Special {
        body: Composite(|c| {
            let x = c.x(0);
            let n = x.shape()[real_dim(c.int(1), x.ndim())?] as i64;
            x.split_with_sizes(&parts_of(n, c.int(0))?, c.int(1))
        }),
        onnx: Some("Split"),
        refuses: &[Refusal { call: "rt.ones(3), 0", message: "split_size must be positive" }],
        samples: &["r(5, 2), 2", "r(2, 3), 2, 1"],
    }

    /// At most `chunks` parts of equal size of dimension `dim`, the last one smaller if need be; views.
    chunk(input: Tensor, chunks: Int, dim: Int = 0) -> List, Special {
        body: Composite(|c| {
            let (x, k) = (c.x(0), c.int(0));
            let n = x.shape()[real_dim(c.int(1), x.ndim())?] as i64;
            if k <= 0 {
                bail!(Value, "expects chunks to be greater than 0, got {k}");
            }
            if n == 0 {
                return x.split_with_sizes(&List::filled(few(k)?, 0)?, c.int(1));
            }
            x.split_with_sizes(&parts_of(n, n / k + (n % k != 0) as i64)?, c.int(1))
        }),
        onnx: Some("Split"),
        samples: &["r(5, 2), 2", "r(2, 3), 2, 1"],
    }

    /// `sections` parts of dimension `dim` whose sizes differ by at most one, larger ones first; views.
    tensor_split_sections(input: Tensor, sections: Int, dim: Int = 0) -> List, Special {
        body: Composite(|c| {
            let (x, k) = (c.x(0), c.int(0));
            let n = x.shape()[real_dim(c.int(1), x.ndim())?] as i64;
            if k <= 0 {
                bail!(Value, "number of sections must be larger than 0, got {k}");
            }
            few(k)?;
            let parts = List::collect((0..k).map(|i| n / k + (i < n % k) as i64))?;
            x.split_with_sizes(&parts, c.int(1))
        }),
        function: false, method: false,
        samples: &["r(5, 2), 2", "r(2, 3), 2, 1"],
    }

    /// The parts of dimension `dim` between the given places; views.
    tensor_split_indices(input: Tensor, indices: Ints, dim: Int = 0) -> List, Special {
        body: Composite(eval_tensor_split_indices),
        function: false, method: false,
        samples: &["r(5, 2), (1, 3)", "r(2, 3), (1,), 1"],
    }

    /// Each element of dimension `dim`, which disappears; views.
    unbind(input: Tensor, dim: Int = 0) -> List, Special {
        body: View(|c| {
            let x = c.x(0);
            let d = real_dim(c.int(0), x.ndim())?;
            several(x.shape()[d], |i| Ok(x.with_layout(x.layout().select(d, i))))
        }),
        vjp: vjp!(|v| {
            let n = v.shape(0)[wrap_dim(v.int(0), v.shape(0).len())?];
            Ex::from(all_grads(v, n).and_then(|g| Tensor::stack(&g, v.int(0))))
        }),

        samples: &["r(2, 3)", "r(2, 3), 1"],
    }
}
