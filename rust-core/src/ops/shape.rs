//! Shape, view, copy and joining ops.

use super::lang::{sum_dtype, Ex};
use super::{one, Call, Class, Grads, Outs, Refusal};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::copy;
use crate::shape::{infer_sizes, sizes, wrap_dim, wrap_dims, Dims, Layout};
use crate::tensor::{check_bounds, Tensor};
use crate::{bail, err};
use smallvec::SmallVec;

/// Copies `src`, broadcast and cast, into `dst` in place. The caller holds the locks and counts the version.
pub(crate) fn copy_into(dst: &Tensor, src: &Tensor) -> Result<()> {
    let from = src.layout().broadcast_to(dst.shape())?;
    if src.shares_storage(dst) && from != *dst.layout() {
        // Overlapping but different: go through a block aside.
        let aside = contiguous_unlocked(src, src.dtype(), true)?;
        return copy_into(dst, &aside);
    }
    // SAFETY: `from` has the destination's shape; both layouts lie inside their storages.
    unsafe { copy::strided(src.base_ptr(), src.dtype(), &from, dst.base_ptr(), dst.dtype(), dst.layout()) };
    Ok(())
}

/// A row-major tensor with the elements of `t` as `dtype`; `t` itself if it is one already and `always` is false.
pub(crate) fn contiguous_unlocked(t: &Tensor, dtype: DType, always: bool) -> Result<Tensor> {
    if !always && t.dtype() == dtype && t.is_contiguous() {
        return Ok(t.clone());
    }
    let out = Tensor::empty_of(t.shape(), dtype)?;
    // SAFETY: the output is new and row-major.
    unsafe { copy::to_contiguous(t.base_ptr(), t.dtype(), t.layout(), out.data_ptr(), dtype) };
    Ok(out)
}

impl Tensor {
    /// As `to_vec`, for callers that hold the lock.
    pub(crate) fn to_vec_unlocked<T: crate::dtype::Elem>(&self) -> Result<Vec<T>> {
        let t = contiguous_unlocked(self, T::DTYPE, false)?;
        // SAFETY: row-major, `numel` elements of T.
        Ok(unsafe { std::slice::from_raw_parts(t.ptr::<T>(), t.numel()) }.to_vec())
    }

    /// Elements converted to `dtype`; the tensor itself if it has that dtype.
    pub fn to_dtype(&self, dtype: DType) -> Result<Tensor> {
        if self.dtype() == dtype {
            return Ok(self.clone());
        }
        self.cast(dtype)
    }
}

fn with_view(c: &Call, layout: Layout) -> Result<Outs> {
    one(c.x(0).with_layout(layout))
}

fn same_layout(t: &Tensor, dtype: DType) -> Result<Tensor> {
    if t.layout().is_dense() {
        Tensor::empty_like_layout(t.layout(), dtype)
    } else {
        Tensor::empty_of(t.shape(), dtype)
    }
}

ops! {
    /// A copy of `input` with its own memory.
    duplicate(input: Tensor) -> Tensor, Real {
        eval: |c| {
            let out = same_layout(c.x(0), c.x(0).dtype())?;
            copy_into(&out, c.x(0))?;
            one(out)
        },
        vjp: vjp!(|v| v.g()),
        onnx: Some("Identity"),
    }

    /// `src`, broadcast to the shape of `input` and cast to its dtype; in place it overwrites `input`.
    copy(input: Tensor, src: Tensor) -> Tensor, Real {
        eval: |c| {
            let x = c.x(0);
            let out = match c.out {
                Some(t) => t.clone(),
                None => Tensor::empty_of(x.shape(), x.dtype())?,
            };
            copy_into(&out, c.x(1))?;
            one(out)
        },
        vjp: vjp!(|v| [Ex::None, v.g()]),
        inplace: true, function: false,
    }

    /// The elements of `input` as `dtype`.
    cast(input: Tensor, dtype: DType) -> Tensor, Real {
        eval: |c| {
            let dtype = c.opt_dtype(0).ok_or_else(|| err!(DType, "a dtype is wanted"))?;
            let out = same_layout(c.x(0), dtype)?;
            copy_into(&out, c.x(0))?;
            one(out)
        },
        vjp: vjp!(|v| v.g()),
        onnx: Some("Cast"), method: false, function: false,
    }

    /// `input` itself if it is row-major without gaps, else a copy that is.
    contiguous(input: Tensor) -> Tensor, Real {
        eval: |c| {
            if c.x(0).is_contiguous() {
                return one(c.x(0).clone());
            }
            one(c.x(0).contiguous_copy()?)
        },
        class: Class::Composite, function: false,
    }

    /// A row-major copy of `input`.
    contiguous_copy(input: Tensor) -> Tensor, Real {
        eval: |c| one(contiguous_unlocked(c.x(0), c.x(0).dtype(), true)?),
        vjp: vjp!(|v| v.g()),
        method: false, function: false,
    }

    /// The same elements with another shape, sharing memory; an error if that needs a copy. One size may be -1.
    view(input: Tensor, size: Shape) -> Tensor, Special {
        eval: |c| {
            let x = c.x(0);
            let shape = infer_sizes(c.ints(0), x.numel())?;
            let layout = x.layout().view(&shape).ok_or_else(|| err!(Shape,
                "view size {shape:?} is not compatible with input tensor's size {:?} and strides {:?}; use reshape",
                x.shape(), x.strides()))?;
            with_view(c, layout)
        },
        vjp: vjp!(|v| v.g().reshape(&v.sizes(0))),
        class: Class::View, onnx: Some("Reshape"), function: false,
    }

    /// The same elements with another shape: a view where possible, else a copy. One size may be -1.
    reshape(input: Tensor, shape: Shape) -> Tensor, Special {
        eval: |c| {
            let x = c.x(0);
            let shape = infer_sizes(c.ints(0), x.numel())?;
            if x.shape() == shape.as_slice() {
                return one(x.view(c.ints(0))?);
            }
            let signed: SmallVec<[i64; 8]> = shape.iter().map(|&d| d as i64).collect();
            if x.layout().view(&shape).is_some() {
                return one(x.view(&signed)?);
            }
            one(x.contiguous()?.view(&signed)?)
        },
        class: Class::Composite, onnx: Some("Reshape"),
        refuses: &[Refusal { call: "rt.ones(2, 3), (4, 2)", message: "invalid for input of size 6" }],
    }

    /// Dimensions of size 1 repeated to `size` without copying; -1 keeps a size.
    expand(input: Tensor, size: Shape) -> Tensor, Special {
        eval: |c| {
            let x = c.x(0);
            let want = c.ints(0);
            let lead = want.len().checked_sub(x.ndim()).ok_or_else(|| err!(Shape,
                "the number of sizes {want:?} must be at least the number of dimensions of the tensor, {}", x.ndim()))?;
            let mut shape = Dims::new();
            for (i, &n) in want.iter().enumerate() {
                shape.push(match n {
                    -1 if i >= lead => x.shape()[i - lead],
                    n if n < 0 => bail!(Shape, "size {n} is not allowed in {want:?} at dimension {i}"),
                    n => n as usize,
                });
            }
            with_view(c, x.layout().broadcast_to(&shape)?)
        },
        vjp: vjp!(|v| v.g()),
        class: Class::View, onnx: Some("Expand"), function: false,
    }

    /// Dimensions `dim0` and `dim1` exchanged; a view.
    transpose(input: Tensor, dim0: Int, dim1: Int) -> Tensor, Special {
        eval: |c| {
            let n = c.x(0).ndim();
            let (a, b) = (wrap_dim(c.int(0), n)?, wrap_dim(c.int(1), n)?);
            with_view(c, if n == 0 { c.x(0).layout().clone() } else { c.x(0).layout().transpose(a, b) })
        },
        vjp: vjp!(|v| v.g().transpose(v.int(0), v.int(1))),
        class: Class::View, aliases: &["swapaxes", "swapdims"], onnx: Some("Transpose"),
    }

    /// A dimension of size 1 inserted at `dim`; a view.
    unsqueeze(input: Tensor, dim: Int) -> Tensor, Special {
        eval: |c| {
            let d = wrap_dim(c.int(0), c.x(0).ndim() + 1)?;
            let mut l = c.x(0).layout().clone();
            let step = if d < l.ndim() { l.shape[d] as isize * l.strides[d] } else { 1 };
            l.shape.insert(d, 1);
            l.strides.insert(d, step);
            with_view(c, l)
        },
        vjp: vjp!(|v| v.g().reshape(&v.sizes(0))),
        class: Class::View, onnx: Some("Unsqueeze"),
    }

    /// A view of the storage with the given sizes, strides and offset (in elements); the caller answers for the meaning.
    as_strided(input: Tensor, size: Ints, stride: Ints, storage_offset: OptInt = None) -> Tensor, Special {
        eval: |c| {
            let x = c.x(0);
            let shape = sizes(c.ints(0))?;
            if c.ints(1).len() != shape.len() {
                bail!(Value, "size {:?} and stride {:?} must have equal lengths", c.ints(0), c.ints(1));
            }
            let offset = c.opt_int(2).map_or(Ok(x.layout().offset), |o| usize::try_from(o)
                .map_err(|_| err!(Value, "storage_offset must not be negative, got {o}")))?;
            let layout = Layout { shape, strides: c.ints(1).iter().map(|&s| s as isize).collect(), offset };
            check_bounds(&x.0.storage, &layout, x.dtype())?;
            with_view(c, layout)
        },
        vjp: vjp!(|v| {
            let zeros = Ex::from(Tensor::filled(v.shape(0), crate::dtype::Scalar::Int(0), v.dtype(0)));
            zeros.with(v.g(), |z, g| z.as_strided_scatter(g, v.ints(0), v.ints(1), v.opt_int(2).unwrap_or(0)))
        }),
        class: Class::View,
    }

    /// A row-major copy of `input` in which the part that `as_strided(size, stride, storage_offset)` names is replaced by
    /// `src`; places that the part names several times get the sum.
    as_strided_scatter(input: Tensor, src: Tensor, size: Ints, stride: Ints, storage_offset: Int = 0) -> Tensor, Special {
        eval: |c| {
            let out = contiguous_unlocked(c.x(0), c.x(0).dtype(), true)?;
            let (mut shape, mut strides) = (sizes(c.ints(0))?, c.ints(1).iter().map(|&s| s as isize).collect::<SmallVec<_>>());
            let mut src = c.x(1).clone();
            // Repeated places (stride 0) receive the sum over the repetition.
            for d in (0..shape.len()).rev() {
                if strides[d] == 0 && shape[d] > 1 {
                    src = src.sum(Some(&[d as i64]), true, Some(src.dtype()))?;
                    shape[d] = 1;
                    strides[d] = 1;
                }
            }
            let layout = Layout { shape, strides, offset: c.int(2) as usize };
            check_bounds(&out.0.storage, &layout, out.dtype())?;
            copy_into(&out.with_layout(layout), &src)?;
            one(out)
        },
        vjp: vjp!(|v| {
            let g = v.g().contiguous();
            let part = v.want(1, || g.then(|g| g.as_strided(v.ints(0), v.ints(1), Some(v.int(2)))));
            let rest = v.want(0, || g.then(|g| {
                let zeros = Tensor::filled(v.shape(1), crate::dtype::Scalar::Int(0), g.dtype())?;
                g.as_strided_scatter(&zeros, v.ints(0), v.ints(1), v.int(2))
            }));
            [rest, part]
        }),
    }
}

/// Used by reductions that give their sums in another dtype.
pub(crate) fn reduced_dtype(t: &Tensor, dtype: Option<DType>) -> DType {
    dtype.unwrap_or_else(|| sum_dtype(t.dtype()))
}

/// Gradients of an op on a list: one per input.
pub(crate) fn per_input(parts: Vec<Ex>) -> Result<Grads> {
    parts.into_iter().map(Ex::value).collect()
}

#[allow(unused_imports)]
use wrap_dims as _;
