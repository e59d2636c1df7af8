//! Matrix products: everything that ends in a GEMM.

use crate::{bail, err};
use crate::dtype::{Category, DType, Scalar};
use crate::engine::copy::{copy_into, written_as};
use crate::engine::product::{ONE, Product, Side, ZERO, not_implemented, product_into};
use crate::error::{Error, Result};
use crate::memory::List;
use crate::parallel::Pace;
use crate::shape::{Dims, Strides, broadcast, real_dim, wrap_dim};
use crate::table::{Call, Overlap, Refusal, Saves, Spec, Specs, Takes, Vjp, one, Cast};
use crate::table::lang::{Ex, rounded_once};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// What a product gives. There are none of truth values, unless there is nothing to compute.
fn product_spec(shape: &[usize], dtype: DType) -> Result<Spec> {
    let spec = Spec::rows(shape, dtype)?;
    if dtype == DType::Bool && spec.layout.numel() > 0 {
        return Err(not_implemented(dtype));
    }
    Ok(spec)
}

/// Both operands must have the same dtype.
fn same_dtype(a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dtype() != b.dtype() {
        bail!(DType, "expected both operands to have the same dtype, but got {} and {}", a.dtype(), b.dtype());
    }
    Ok(())
}

#[cold]
fn inner_sizes(a: &Tensor, b: &Tensor) -> Error {
    let message = format!("inner sizes differ, input is {:?}, other is {:?}", a.shape(), b.shape());
    Error::shapes("", message, a.shape(), b.shape())
}

/// Checks the number of dimensions of operand `i`.
fn want_ndim(c: &Call, i: usize, ndim: usize) -> Result<()> {
    let t = c.x(i);
    if t.ndim() != ndim {
        let name = c.op.tensor_args().nth(i).map_or("", |a| a.name);
        bail!(Shape, "argument '{name}' must be a {ndim}-d tensor, got one of shape {:?}", t.shape());
    }
    Ok(())
}

/// Batch dimensions, rows, columns and summed dimension of a product of any ranks but 0.
struct Sizes {
    batch: Dims,
    m: usize,
    n: usize,
    k: usize,
}

fn product_sizes(a: &Tensor, b: &Tensor) -> Result<Sizes> {
    same_dtype(a, b)?;
    let (sa, sb) = (a.shape(), b.shape());
    if a.ndim() == 0 || b.ndim() == 0 {
        let message = format!("both operands must have at least one dimension, input is {sa:?}, other is {sb:?}");
        return Err(Error::shapes("", message, sa, sb));
    }
    let k = sa[sa.len() - 1];
    if k != sb[sb.len().saturating_sub(2)] {
        return Err(inner_sizes(a, b));
    }
    let batch_a = &sa[..sa.len().saturating_sub(2)];
    let batch_b = &sb[..sb.len().saturating_sub(2)];
    let batch = if batch_a == batch_b { Dims::from_slice(batch_a) } else { broadcast(batch_a, batch_b)? };
    // A vector is a matrix with one row or one column.
    let m = if a.ndim() > 1 { sa[sa.len() - 2] } else { 1 };
    let n = if b.ndim() > 1 { sb[sb.len() - 1] } else { 1 };
    Ok(Sizes { batch, m, n, k })
}

/// As [`infer_matmul`], of operands with so many dimensions.
fn infer_product(c: &Call, ndims: [usize; 2]) -> Result<Specs> {
    for (i, n) in ndims.into_iter().enumerate() {
        want_ndim(c, i, n)?;
    }
    infer_matmul(c)
}

/// The product of PyTorch's `matmul`.
fn infer_matmul(c: &Call) -> Result<Specs> {
    let (a, b) = (c.x(0), c.x(1));
    let Sizes { batch: mut shape, m, n, .. } = product_sizes(a, b)?;
    if a.ndim() > 1 {
        shape.push(m);
    }
    if b.ndim() > 1 {
        shape.push(n);
    }
    product_spec(&shape, a.dtype())?.one()
}

fn compute_matmul(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (a, b) = (c.x(0), c.x(1));
    let Sizes { batch, m, n, k } = product_sizes(a, b)?;
    let (ma, mb) = (a.ndim() > 1, b.ndim() > 1);
    written_as(&outs[0], a.dtype(), |to| {
        // The step along the dimension that a vector lacks is never taken.
        let side_a = if ma {
            Side::new(a, &batch)
        } else {
            Side { rows: 0, cols: a.strides()[0], batch: SmallVec::from_elem(0, batch.len()) }
        };
        let side_b = if mb {
            Side::new(b, &batch)
        } else {
            Side { rows: b.strides()[0], cols: 0, batch: SmallVec::from_elem(0, batch.len()) }
        };
        let s = to.strides();
        let out = Side {
            rows: if ma { s[batch.len()] } else { 0 },
            cols: if mb { s[batch.len() + ma as usize] } else { 0 },
            batch: Strides::from_slice(&s[..batch.len()]),
        };
        let p = Product { m, n, k, batch, a: side_a, b: side_b, out, alpha: ONE, beta: ZERO };
        p.run(a.dtype(), a.data_ptr(), b.data_ptr(), to.data_ptr())
    })
}

/// `x` of shape `[..., k]` as a matrix.
fn rows(x: &Ex) -> Ex {
    x.then(|t| match t.ndim() {
        2 => Ok(t.clone()),
        0 => t.reshape(&[1, 1]),
        _ => {
            let k = t.shape()[t.ndim() - 1];
            let n: usize = t.shape()[..t.ndim() - 1].iter().product();
            t.reshape(&[n as i64, k as i64])
        }
    })
}

/// `a @ b` in the op language.
fn product(a: &Ex, b: impl Into<Ex>) -> Ex {
    a.with(b, |a, b| if a.ndim() == 2 && b.ndim() == 2 { a.mm(b) } else { a.matmul(b) })
}

/// Gradients of `a @ b`: `g @ b^T` and `a^T @ g`, vectors being seen as matrices with one row or one column.
fn matmul_grads(v: &Vjp) -> [Ex; 2] {
    let (na, nb) = (v.shape(0).len(), v.shape(1).len());
    let row = |e: Ex| if na == 1 { e.unsqueeze(-2) } else { e };
    let col = |e: Ex| if nb == 1 { e.unsqueeze(-1) } else { e };
    let g = match (na, nb) {
        (1, 1) => v.g().reshape(&[1, 1]),
        (1, _) => v.g().unsqueeze(-2),
        (_, 1) => v.g().unsqueeze(-1),
        _ => v.g(),
    };
    let ga = v.want(0, || {
        let ga = product(&g, col(v.x(1)).mt());
        if na == 1 {
            drop_dim(ga, 2)
        } else {
            ga
        }
    });
    let gb = v.want(1, || {
        let a = row(v.x(0));
        let gb = if nb == 2 && na > 2 { product(&rows(&a).mt(), rows(&g)) } else { product(&a.mt(), &g) };
        if nb == 1 {
            drop_dim(gb, 1)
        } else {
            gb
        }
    });
    [ga, gb]
}

/// Takes away dimension `-back`, which has size 1.
fn drop_dim(e: Ex, back: usize) -> Ex {
    e.then(|t| {
        let mut shape: SmallVec<[i64; 8]> = t.shape().iter().map(|&d| d as i64).collect();
        shape.remove(shape.len() - back);
        t.reshape(&shape)
    })
}

/// `beta` and `alpha`, which the dtype must hold.
fn weights(c: &Call) -> Result<[Scalar; 2]> {
    let dtype = c.x(0).dtype();
    Ok([c.scalar(0).held_by(dtype)?, c.scalar(1).held_by(dtype)?])
}

/// `beta * input + alpha * a @ b` of shape `shape`, where the ranks of `a` and `b` have been checked; `b` has `k` rows.
fn infer_add_product(c: &Call, shape: &[usize], k: usize) -> Result<Specs> {
    let (x, a, b) = (c.x(0), c.x(1), c.x(2));
    weights(c)?;
    same_dtype(x, a)?;
    same_dtype(a, b)?;
    if a.shape()[a.ndim() - 1] != k {
        return Err(inner_sizes(a, b));
    }
    x.layout().broadcast_to(shape)?;
    product_spec(shape, x.dtype())?.one()
}

fn compute_add_product(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, a, b, out) = (c.x(0), c.x(1), c.x(2), &outs[0]);
    let [beta, alpha] = weights(c)?;
    if (beta.f64() != 0.0 || beta.imaginary() != 0.0) && !out.is_same(x) {
        copy_into(out, x)?;
    }
    if b.ndim() > 1 {
        return product_into(a, b, out, alpha, beta);
    }
    let column = |t: &Tensor| t.with_layout(t.layout().unsqueeze(1));
    product_into(a, &column(b), &column(out), alpha, beta)
}

fn number(s: Scalar) -> Ex {
    match s {
        Scalar::Complex(..) => Ex::from(Tensor::number(s)),
        s => Ex::Num(s.f64()),
    }
}

/// `g * s`, or `g` itself for 1.
fn scaled(g: Ex, s: Scalar) -> Ex {
    if s.f64() == 1.0 && s.imaginary() == 0.0 {
        g
    } else {
        g * number(s)
    }
}

/// Gradients of `beta * input + alpha * a @ b`.
fn add_product_grads(v: &Vjp) -> [Ex; 3] {
    let (beta, alpha) = (v.scalar(0), v.scalar(1));
    [
        v.want(0, || scaled(v.g(), beta)),
        v.want(1, || scaled(product(&v.g(), v.x(2).mt()), alpha)),
        v.want(2, || scaled(product(&v.x(1).mt(), v.g()), alpha)),
    ]
}

fn infer_linear(c: &Call) -> Result<Specs> {
    let (x, w) = (c.x(0), c.x(1));
    same_dtype(x, w)?;
    let k = *x.shape().last().ok_or_else(|| err!(Shape, "input must have at least one dimension"))?;
    if w.ndim() == 0 || w.ndim() > 2 {
        bail!(Shape, "weight must have one or two dimensions, got shape {:?}", w.shape());
    }
    if w.shape()[w.ndim() - 1] != k {
        let message = format!(
            "input has {k} features, the weight wants {}: input is {:?}, weight is {:?}",
            w.shape()[w.ndim() - 1],
            x.shape(),
            w.shape()
        );
        return Err(Error::shapes("", message, x.shape(), w.shape()));
    }
    let mut shape = Dims::from_slice(&x.shape()[..x.ndim() - 1]);
    shape.extend_from_slice(&w.shape()[..w.ndim() - 1]);
    if let Some(b) = c.opt(2) {
        same_dtype(x, b)?;
        b.layout().broadcast_to(&shape).map_err(|_| {
            let n = outputs(w);
            Error::shapes("", format!("a bias of shape {:?} does not fit {n} outputs", b.shape()), b.shape(), w.shape())
        })?;
    }
    product_spec(&shape, x.dtype())?.one()
}

/// How many numbers a weight makes of one row.
fn outputs(w: &Tensor) -> usize {
    if w.ndim() == 2 {
        w.shape()[0]
    } else {
        1
    }
}

fn compute_linear(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, w, bias) = (c.x(0), c.x(1), c.opt(2));
    written_as(&outs[0], x.dtype(), |out| {
        if let Some(b) = bias {
            copy_into(out, b)?;
        }
        let step = x.ndim() - 1;
        let p = Product {
            m: 1,
            n: outputs(w),
            k: x.shape()[step],
            a: Side { rows: 0, cols: x.strides()[step], batch: Strides::from_slice(&x.strides()[..step]) },
            b: Side {
                rows: w.strides()[w.ndim() - 1],
                cols: if w.ndim() == 2 { w.strides()[0] } else { 0 },
                batch: SmallVec::from_elem(0, step),
            },
            out: Side { rows: 0, cols: 1, batch: Strides::from_slice(&out.strides()[..step]) },
            batch: Dims::from_slice(&x.shape()[..step]),
            alpha: ONE,
            beta: if bias.is_some() { ONE } else { ZERO },
        };
        p.run(x.dtype(), x.data_ptr(), w.data_ptr(), out.data_ptr())
    })
}

/// An input that is brought to two dimensions first gets its gradient last.
fn matmul_sends(x: &[(Dims, DType)]) -> &'static [usize] {
    let (a, b) = (x[0].0.len(), x[1].0.len());
    if a > 2 || (a == 1 && b == 2) {
        &[1, 0]
    } else {
        &[0, 1]
    }
}

/// As for a sum of the bias and a product with a transposed weight. Without a bias there are no dimensions of one.
fn linear_sends(x: &[(Dims, DType)]) -> &'static [usize] {
    let reshaped = x[0].0.len() != 2 && !x[2].0.is_empty();
    if reshaped {
        &[2, 1, 0]
    } else {
        &[2, 0, 1]
    }
}

ops! {
    /// Matrix product, by the ranks: vectors give their dot product, a vector is a row on the left and a column on the
    /// right, and all dimensions before the last two are batches that broadcast: `[..., m, k] @ [..., k, n]`.
    matmul(input: Tensor, other: Tensor) -> Tensor, Special {
        cast: Cast::Lower,
        body: Kernel(infer_matmul, compute_matmul),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| matmul_grads(v)), sends: matmul_sends, saves: Saves::CROSS,
        onnx: Some("MatMul"),
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(4, 5)",
            message: "matmul: inner sizes differ, input is [2, 3], other is [4, 5]" }],
        samples: &[
            "r(2, 3), r(3, 2)", "r(3), r(3)", "r(2, 3), r(3)", "r(3), r(3, 2)", "r(2, 2, 3), r(3, 2)",
            "r(2, 1, 2, 3), r(2, 3, 2)", "r(2, 2, 3), r(3)",
        ],
    }

    /// Product of two matrices: `[m, k] @ [k, n]`.
    mm(input: Tensor, mat2: Tensor) -> Tensor, Special {
        cast: Cast::Lower,
        body: Kernel(|c| infer_product(c, [2, 2]), compute_matmul),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| matmul_grads(v)), saves: Saves::CROSS,
        onnx: Some("MatMul"),
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(3)", message: "must be a 2-d tensor" }],
        samples: &["r(2, 3), r(3, 2)"],
    }

    /// Batched product of matrices: `[b, m, k] @ [b, k, n]`.
    bmm(input: Tensor, mat2: Tensor) -> Tensor, Special {
        cast: Cast::Lower,
        body: Kernel(
            |c| {
                want_ndim(c, 0, 3)?;
                want_ndim(c, 1, 3)?;
                if c.x(0).shape()[0] != c.x(1).shape()[0] {
                    let (a, b) = (c.x(0).shape(), c.x(1).shape());
                    return Err(Error::shapes("", format!("batch sizes differ, input is {a:?}, mat2 is {b:?}"), a, b));
                }
                infer_matmul(c)
            },
            compute_matmul,
        ),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| matmul_grads(v)), saves: Saves::CROSS,
        onnx: Some("MatMul"),
        refuses: &[Refusal { call: "rt.ones(2, 3, 4), rt.ones(3, 4, 5)", message: "batch sizes differ" }],
        samples: &["r(2, 2, 3), r(2, 3, 2)"],
    }

    /// Product of a matrix and a vector: `[m, k] @ [k]`.
    mv(input: Tensor, vec: Tensor) -> Tensor, Special {
        body: Kernel(|c| infer_product(c, [2, 1]), compute_matmul),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| matmul_grads(v)), saves: Saves::CROSS,
        samples: &["r(2, 3), r(3)"],
    }

    /// Sum of the products of two vectors of one length.
    dot(input: Tensor, tensor: Tensor) -> Tensor, Special {
        body: Kernel(|c| infer_product(c, [1, 1]), compute_matmul),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| [v.want(0, || v.g() * v.x(1)), v.want(1, || v.g() * v.x(0))]), saves: Saves::CROSS,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(3)", message: "inner sizes differ" }],
        samples: &["r(3), r(3)"],
    }

    /// The sum of the products of the conjugates of `input` with `other`, two vectors of one length.
    vdot(input: Tensor, other: Tensor) -> Tensor, Special {
        body: Composite(|c| one(c.x(0).conj()?.dot(c.x(1))?)),

        samples: &["r(3), r(3)"],
    }


    /// Outer product of two vectors: `out[i, j] = input[i] * vec2[j]`.
    outer(input: Tensor, vec2: Tensor) -> Tensor, Special {
        body: Composite(|c| {
            want_ndim(c, 0, 1)?;
            want_ndim(c, 1, 1)?;
            one(c.x(0).unsqueeze(1)?.mul(&c.x(1).unsqueeze(0)?)?)
        }),
        aliases: &["ger"],
        samples: &["r(2), r(3)"],
    }

    /// `beta * input + alpha * mat1 @ mat2`; with `beta` 0, `input` is not read.
    addmm(input: Tensor, mat1: Tensor, mat2: Tensor, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor, Special {
        cast: Cast::Lower,
        body: Kernel(
            |c| {
                want_ndim(c, 1, 2)?;
                want_ndim(c, 2, 2)?;
                infer_add_product(c, &[c.x(1).shape()[0], c.x(2).shape()[1]], c.x(2).shape()[0])
            },
            compute_add_product,
        ),
        direct: true,
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| add_product_grads(v)), saves: Saves(6),
        inplace: true, overlap: Overlap::Aside, onnx: Some("Gemm"),
        samples: &["r(2), r(2, 3), r(3, 2), 0.5, 1.5", "r(2, 2), r(2, 3), r(3, 2)"],
    }

    /// `beta * input + alpha * mat @ vec`.
    addmv(input: Tensor, mat: Tensor, vec: Tensor, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor, Special {
        body: Kernel(
            |c| {
                want_ndim(c, 1, 2)?;
                want_ndim(c, 2, 1)?;
                infer_add_product(c, &[c.x(1).shape()[0]], c.x(2).shape()[0])
            },
            compute_add_product,
        ),
        direct: true,
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| [
            v.want(0, || scaled(v.g(), v.scalar(0))),
            v.want(1, || scaled(v.g().unsqueeze(1) * v.x(2), v.scalar(1))),
            v.want(2, || scaled(product(&v.x(1).mt(), v.g()), v.scalar(1))),
        ]),
        saves: Saves(6), inplace: true, overlap: Overlap::Aside,
        samples: &["r(2), r(2, 3), r(3), 0.5, 1.5", "r(1), r(2, 3), r(3)"],
    }

    /// `beta * input + alpha * outer(vec1, vec2)`; with `beta` 0, `input` is not read. Truth values: or and and.
    addr(input: Tensor, vec1: Tensor, vec2: Tensor, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor, Special {
        body: Composite(|c| one(rounded_once([c.x(0), c.x(1), c.x(2)], |[x, a, b]| eval_addr(x, a, b, c.scalar(0), c.scalar(1)))?)),
        inplace: true,
        samples: &["r(2, 3), r(2), r(3), 0.5, 1.5"],
    }

    /// `beta * input + alpha * batch1 @ batch2`, batch by batch.
    baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor, Special {
        cast: Cast::Lower,
        body: Kernel(
            |c| {
                want_ndim(c, 1, 3)?;
                want_ndim(c, 2, 3)?;
                let (a, b) = (c.x(1).shape(), c.x(2).shape());
                if a[0] != b[0] {
                    return Err(Error::shapes("", format!("batch sizes differ, batch1 is {a:?}, batch2 is {b:?}"), a, b));
                }
                infer_add_product(c, &[a[0], a[1], b[2]], b[1])
            },
            compute_add_product,
        ),
        direct: true,
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| add_product_grads(v)), saves: Saves(6),
        inplace: true, overlap: Overlap::Aside,
        samples: &["r(2, 2), r(2, 2, 3), r(2, 3, 2), 0.5, 1.5", "r(2, 2, 2), r(2, 2, 3), r(2, 3, 2)"],
    }

    /// `beta * input + alpha * sum over b of batch1[b] @ batch2[b]`.
    addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor, Special {
        cast: Cast::Lower,
        body: Composite(|c| {
            want_ndim(c, 1, 3)?;
            want_ndim(c, 2, 3)?;
            // Summing over batches is one product whose inner dimension holds them.
            let (b, m) = (c.x(1).shape()[0] as i64, c.x(1).shape()[1] as i64);
            let (k, n) = (c.x(1).shape()[2] as i64, c.x(2).shape()[2] as i64);
            if c.x(2).shape()[0] as i64 != b || c.x(2).shape()[1] as i64 != k {
                return Err(inner_sizes(c.x(1), c.x(2)));
            }
            let left = c.x(1).transpose(0, 1)?.reshape(&[m, b * k])?;
            one(c.x(0).addmm(&left, &c.x(2).reshape(&[b * k, n])?, c.scalar(0), c.scalar(1))?)
        }),
        inplace: true,
        samples: &["r(2, 2), r(2, 2, 3), r(2, 3, 2), 0.5, 1.5"],
    }

    /// `input @ weight^T + bias` over the last dimension: `[..., k]` with `[n, k]` and `[n]` give `[..., n]`.
    linear(input: Tensor, weight: Tensor, bias: OptTensor = None) -> Tensor, Special {
        cast: Cast::Lower,
        body: Kernel(infer_linear, compute_linear),
        takes: Takes::COMPLEX,
        vjp: vjp!(|v| {
            let flat = v.shape(1).len() == 1;
            let g = if flat { v.g().unsqueeze(-1) } else { v.g() };
            let weight = || if flat { v.x(1).unsqueeze(0) } else { v.x(1) };
            [
                v.want(0, || product(&g, weight())),
                v.want(1, || product(&rows(&g).mt(), rows(&v.x(0))).reshape(&v.sizes(1))),
                v.want(2, || v.g()),
            ]
        }),
        saves: Saves::CROSS, sends: linear_sends, method: false, onnx: Some("Gemm"),
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(5, 4)", message: "input has 3 features, the weight wants 4" }],
        samples: &["r(2, 3), r(4, 3), r(4)", "r(3), r(2, 3)", "r(2, 2, 3), r(2, 3), r(2)"],
    }

    /// `y[..., o] = sum over i, j of input1[..., i] * weight[o, i, j] * input2[..., j] + bias[o]`.
    bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: OptTensor = None) -> Tensor, Special {
        body: Composite(|c| {
            let (a, b) = (c.x(0), c.x(1));
            want_ndim(c, 2, 3)?;
            let w = c.x(2).shape();
            match (a.shape().split_last(), b.shape().split_last()) {
                (Some((i, batch1)), Some((j, batch2))) if [*i, *j] == w[1..] && batch1 == batch2 => {}
                _ => bail!(Shape, "inputs of shapes {:?} and {:?} do not fit a weight of shape {w:?}", a.shape(), b.shape()),
            }
            if let Some(bias) = c.opt(3) {
                if bias.shape() != [w[0]] || bias.dtype() != c.x(2).dtype() {
                    bail!(Shape, "expected bias of shape {:?} and dtype {}, got {:?} and {}", [w[0]], c.x(2).dtype(), bias.shape(), bias.dtype());
                }
            }
            let y = a.unsqueeze(-2)?.unsqueeze(-2)?.matmul(c.x(2))?.matmul(&b.unsqueeze(-2)?.unsqueeze(-1)?)?;
            let mut shape: SmallVec<[i64; 8]> = y.shape().iter().map(|&d| d as i64).collect();
            shape.truncate(shape.len() - 2);
            let y = y.reshape(&shape)?;
            one(match c.opt(3) {
                Some(bias) => y.add(bias, 1)?,
                None => y,
            })
        }),
        method: false,
        samples: &["r(2, 3), r(2, 2), r(2, 3, 2), r(2)", "r(2, 3), r(2, 2), r(2, 3, 2)"],
    }



    /// Kronecker product: each element of `input` times the whole of `other`.
    kron(input: Tensor, other: Tensor) -> Tensor, Special {
        body: Composite(|c| {
            let (a, b) = (c.x(0), c.x(1));
            let n = a.ndim().max(b.ndim());
            let padded = |t: &Tensor| -> Dims {
                std::iter::repeat_n(1, n - t.ndim()).chain(t.shape().iter().copied()).collect()
            };
            let (sa, sb) = (padded(a), padded(b));
            let spread = |s: &[usize], first: bool| -> SmallVec<[i64; 16]> {
                s.iter().flat_map(|&d| if first { [d as i64, 1] } else { [1, d as i64] }).collect()
            };
            let product = a.reshape(&spread(&sa, true))?.mul(&b.reshape(&spread(&sb, false))?)?;
            let shape: SmallVec<[i64; 8]> = sa.iter().zip(&sb).map(|(&x, &y)| x.saturating_mul(y) as i64).collect();
            one(product.reshape(&shape)?)
        }),

        samples: &["r(2, 2), r(1, 3)", "r(2), r(2, 2)"],
    }

    /// Product of several matrices in the order that needs the fewest multiplications; the first and the last may be
    /// vectors. (Dynamic programming: Cormen et al., *Introduction to Algorithms*.)
    multi_dot(tensors: Tensors) -> Tensor, Special {
        body: Composite(|c| {
            let mut m = List::collect(c.inputs.iter().flatten().map(|&t| t.clone()))?;
            if m.len() < 2 {
                bail!(Value, "at least two tensors are wanted, got {}", m.len());
            }
            let last = m.len() - 1;
            let (row, col) = (m[0].ndim() == 1, m[last].ndim() == 1);
            if row {
                m[0] = m[0].unsqueeze(0)?;
            }
            if col {
                m[last] = m[last].unsqueeze(1)?;
            }
            if let Some(t) = m.iter().find(|t| t.ndim() != 2) {
                bail!(Shape, "matrices are wanted (and vectors at the ends), got shape {:?}", t.shape());
            }
            let y = eval_multi_dot(&m)?;
            one(match (row, col) {
                (true, true) => y.reshape(&[])?,
                (true, false) | (false, true) => y.reshape(&[-1])?,
                _ => y,
            })
        }),
        method: false,
        samples: &["[r(2, 3), r(3, 2), r(2, 2)]", "[r(3), r(3, 2), r(2)]"],
    }


    /// Sums over pairs of dimensions: `dims_self[i]` of `input` with `dims_other[i]` of `other`, size 1 going with any. The
    /// result has the other dimensions of `input`, then those of `other`.
    tensordot(input: Tensor, other: Tensor, dims_self: Ints, dims_other: Ints) -> Tensor, Special {
        body: Composite(|c| one(eval_tensordot(c.x(0), c.x(1), c.ints(0), c.ints(1))?)),
        method: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(4, 5), [1], [0]", message: "sizes differ" }],
        samples: &["r(2, 3), r(3, 2), (1,), (0,)", "r(2, 3, 2), r(2, 3), (0, 1), (0, 1)"],
    }

    /// Sum of products over the last dimension of both; plain multiplication if one of them is a number.
    inner(input: Tensor, other: Tensor) -> Tensor, Special {
        body: Composite(|c| {
            let (a, b) = (c.x(0), c.x(1));
            if a.ndim() == 0 || b.ndim() == 0 {
                return one(a.mul(b)?);
            }
            if a.shape().last() != b.shape().last() {
                let message = "the last dimension must match on both input tensors";
                return Err(Error::shapes("", message, a.shape(), b.shape()));
            }
            one(a.tensordot(b, &[-1], &[-1])?)
        }),

        samples: &["r(2, 3), r(4, 3)", "r(3), r(2, 3)"],
    }

    /// Einstein's summation: sums of products of the operands' elements as `equation` says, such as "bij,bjk->bik".
    /// Letters name dimensions, "..." stands for any number of them, a letter that occurs twice in an operand takes its
    /// diagonal; without "->" the result has the letters that occur once, in alphabetical order.
    einsum(equation: Str, operands: Tensors) -> Tensor, Special {
        body: Composite(|c| {
            let operands = List::collect(c.inputs.iter().flatten().map(|&t| t.clone()))?;
            one(einsum::run(c.str(0), operands)?)
        }),
        method: false, onnx: Some("Einsum"),
        samples: &[
            "'ij,jk->ik', [r(2, 3), r(3, 2)]", "'ii->i', [r(3, 3)]", "'bi,bj->bij', [r(2, 2), r(2, 3)]",
            "'...i,i', [r(2, 3), r(3)]", "'ij->', [r(2, 2)]",
        ],
    }

    /// Cross product over dimension `dim` of size 3 (the first such by default); the other dimensions broadcast.
    cross(input: Tensor, other: Tensor, dim: OptInt = None) -> Tensor, Special {
        body: Composite(|c| {
            let (a, b) = (c.x(0), c.x(1));
            if a.dtype() != b.dtype() {
                bail!(DType, "expected both inputs to have the same dtype, got {} and {}", a.dtype(), b.dtype());
            }
            let d = match c.opt_int(0) {
                Some(d) => wrap_dim(d, a.ndim())?,
                None => a.shape().iter().position(|&n| n == 3).ok_or_else(|| err!(Shape,
                    "no dimension of size 3 in shape {:?}", a.shape()))?,
            };
            let size = |t: &Tensor| t.shape().get((d + t.ndim()).wrapping_sub(a.ndim())).copied();
            if a.ndim() != b.ndim() || size(a) != Some(3) || size(b) != Some(3) {
                let message = format!("dimension {d} must have size 3, shapes are {:?} and {:?}", a.shape(), b.shape());
                return Err(Error::shapes("", message, a.shape(), b.shape()));
            }
            let d = d as i64;
            let part = |t: &Tensor, i: i64| t.narrow(d, i % 3, 1);
            let mut parts: SmallVec<[Tensor; 3]> = SmallVec::new();
            for i in 0..3 {
                parts.push((&(&part(a, i + 1)? * &part(b, i + 2)?)? - &(&part(a, i + 2)? * &part(b, i + 1)?)?)?);
            }
            one(Tensor::cat(&parts, d)?)
        }),
        aliases: &["linalg_cross"],
        samples: &["r(2, 3), r(2, 3)", "r(3, 2), r(3, 2), 0"],
    }
}

fn eval_addr(x: &Tensor, a: &Tensor, b: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    let bools = x.dtype() == DType::Bool;
    let number = |s: Scalar| -> Result<Tensor> {
        if s.category() == Category::Float && !x.dtype().is_differentiable() {
            bail!(Value, "for integral input tensors, arguments beta and alpha must not be floating point numbers");
        }
        Tensor::number(if bools { Scalar::Bool(s.f64() != 0.0) } else { s })
    };
    let product = a.outer(b)?.mul(&number(alpha)?)?;
    if beta.f64() == 0.0 && beta.imaginary() == 0.0 {
        x.expand(&[product.shape()[0] as i64, product.shape()[1] as i64])?;
        return Ok(product);
    }
    let x = x.mul(&number(beta)?)?;
    let sum = if bools { x.logical_or(&product)? } else { x.add(&product, 1)? };
    if sum.shape() != product.shape() {
        let message = format!("input of shape {:?} cannot be expanded to {:?}", x.shape(), product.shape());
        return Err(Error::shapes("", message, x.shape(), product.shape()));
    }
    Ok(sum)
}

fn eval_tensordot(a: &Tensor, b: &Tensor, da: &[i64], db: &[i64]) -> Result<Tensor> {
    if da.len() != db.len() {
        bail!(Value, "both dimension lists must have one length, got {da:?} and {db:?}");
    }
    let wrap = |dims: &[i64], t: &Tensor| {
        dims.iter().map(|&d| real_dim(d, t.ndim())).collect::<Result<SmallVec<[usize; 8]>>>()
    };
    let (da, db) = (wrap(da, a)?, wrap(db, b)?);
    let (mut a, mut b) = (a.clone(), b.clone());
    let sum = |t: &Tensor, dim: usize| t.sum(Some(&[dim as i64]), true, Some(t.dtype()));
    for (&x, &y) in da.iter().zip(&db) {
        match (a.shape()[x], b.shape()[y]) {
            (n, m) if n == m => {}
            (1, _) => b = sum(&b, y)?,
            (_, 1) => a = sum(&a, x)?,
            _ => {
                let message = format!(
                    "contracted dimensions need to match: sizes differ, dimension {x} of {:?} and dimension {y} of {:?}",
                    a.shape(),
                    b.shape()
                );
                return Err(Error::shapes("", message, a.shape(), b.shape()));
            }
        }
    }
    let (a, b) = (&a, &b);
    let rest =
        |t: &Tensor, used: &[usize]| (0..t.ndim()).filter(|d| !used.contains(d)).collect::<SmallVec<[usize; 8]>>();
    let (fa, fb) = (rest(a, &da), rest(b, &db));
    let order = |x: &[usize], y: &[usize]| x.iter().chain(y).map(|&d| d as i64).collect::<SmallVec<[i64; 8]>>();
    let count = |t: &Tensor, dims: &[usize]| dims.iter().map(|&d| t.shape()[d]).product::<usize>() as i64;
    let (m, k, n) = (count(a, &fa), count(a, &da), count(b, &fb));
    let left = a.permute(&order(&fa, &da))?.reshape(&[m, k])?;
    let right = b.permute(&order(&db, &fb))?.reshape(&[k, n])?;
    let shape: SmallVec<[i64; 8]> =
        fa.iter().map(|&d| a.shape()[d] as i64).chain(fb.iter().map(|&d| b.shape()[d] as i64)).collect();
    left.mm(&right)?.reshape(&shape)
}

/// The cheapest order of a chain of matrix products, and the product.
fn eval_multi_dot(m: &[Tensor]) -> Result<Tensor> {
    let n = m.len();
    for w in m.windows(2) {
        if w[0].shape()[1] != w[1].shape()[0] {
            return Err(inner_sizes(&w[0], &w[1]));
        }
    }
    let sizes = std::iter::once(m[0].shape()[0]).chain(m.iter().map(|t| t.shape()[1]));
    let p = List::collect(sizes.map(|d| d as f64))?;
    let mut cost = List::filled(n.saturating_mul(n), 0.0f64)?;
    let mut cut = List::filled(n.saturating_mul(n), 0usize)?;
    let mut pace = Pace::default();
    for len in 1..n {
        for i in 0..n - len {
            pace.step(len);
            let j = i + len;
            cost[i * n + j] = f64::INFINITY;
            for k in i..j {
                let q = cost[i * n + k] + cost[(k + 1) * n + j] + p[i] * p[k + 1] * p[j + 1];
                if q < cost[i * n + j] {
                    cost[i * n + j] = q;
                    cut[i * n + j] = k;
                }
            }
        }
    }
    fn join(m: &[Tensor], cut: &[usize], n: usize, i: usize, j: usize) -> Result<Tensor> {
        if i == j {
            return Ok(m[i].clone());
        }
        let k = cut[i * n + j];
        join(m, cut, n, i, k)?.mm(&join(m, cut, n, k + 1, j)?)
    }
    join(m, &cut, n, 0, n - 1)
}

/// Einstein summation: the equation's grammar, and contraction from left to right.
mod einsum {
    use super::*;

    /// What a dimension is called: a letter, or its place from the right within "...".
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    enum Label {
        Dot(std::cmp::Reverse<usize>),
        Letter(u8),
    }

    type Labels = SmallVec<[Label; 8]>;

    /// The labels of one term; None stands for the ellipsis.
    fn term(text: &str, equation: &str) -> Result<List<Option<u8>>> {
        let mut out = List::new();
        let mut rest = text.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            match first {
                b' ' => rest = tail,
                b'.' if rest.starts_with(b"...") && !out.contains(&None) => {
                    out.push(None)?;
                    rest = &rest[3..];
                }
                l if l.is_ascii_alphabetic() => {
                    out.push(Some(l))?;
                    rest = tail;
                }
                l => bail!(
                    Value,
                    "invalid subscript {:?} in the equation {equation:?}; \
                    subscripts are letters of [a-zA-Z] and at most one '...' per term",
                    l as char
                ),
            }
        }
        Ok(out)
    }

    /// A tensor whose dimensions carry labels.
    struct Named {
        t: Tensor,
        labels: Labels,
    }

    impl Named {
        fn size(&self, l: Label) -> Option<usize> {
            self.labels.iter().position(|&x| x == l).map(|d| self.t.shape()[d])
        }

        /// Sums the dimensions whose labels `keep` does not want.
        fn sum_except(self, keep: impl Fn(Label) -> bool) -> Result<Named> {
            let gone: SmallVec<[i64; 8]> =
                (0..self.labels.len()).filter(|&d| !keep(self.labels[d])).map(|d| d as i64).collect();
            if gone.is_empty() {
                return Ok(self);
            }
            let t = self.t.sum(Some(&gone), false, None)?;
            Ok(Named { t, labels: self.labels.into_iter().filter(|&l| keep(l)).collect() })
        }

        /// Dimensions in the order of `labels`, all of which it must have.
        fn permuted(&self, labels: &[Label]) -> Result<Tensor> {
            let order: SmallVec<[i64; 8]> =
                labels.iter().filter_map(|l| self.labels.iter().position(|x| x == l)).map(|d| d as i64).collect();
            if order.iter().enumerate().all(|(i, &d)| i as i64 == d) {
                return Ok(self.t.clone());
            }
            self.t.permute(&order)
        }
    }

    /// Labels a tensor's dimensions and takes diagonals for labels that repeat.
    fn name(t: &Tensor, term: &[Option<u8>], index: usize) -> Result<Named> {
        let letters = term.iter().flatten().count();
        let dots = match (t.ndim().checked_sub(letters), term.contains(&None)) {
            (Some(n), true) => n,
            (Some(0), false) => 0,
            _ => bail!(Shape, "operand {index} of shape {:?} does not fit its {letters} subscripts", t.shape()),
        };
        let mut n = Named { t: t.clone(), labels: Labels::new() };
        for l in term {
            match l {
                Some(l) => n.labels.push(Label::Letter(*l)),
                None => n.labels.extend((0..dots).rev().map(|i| Label::Dot(std::cmp::Reverse(i)))),
            }
        }
        let mut d = 0;
        while d < n.labels.len() {
            if let Some(e) = (d + 1..n.labels.len()).find(|&e| n.labels[e] == n.labels[d]) {
                if n.t.shape()[d] != n.t.shape()[e] {
                    bail!(
                        Shape,
                        "operand {index} has sizes {} and {} for one subscript",
                        n.t.shape()[d],
                        n.t.shape()[e]
                    );
                }
                // The diagonal becomes the last dimension.
                n.t = n.t.diagonal(0, d as i64, e as i64)?;
                let l = n.labels[d];
                n.labels.remove(e);
                n.labels.remove(d);
                n.labels.push(l);
            } else {
                d += 1;
            }
        }
        Ok(n)
    }

    /// Sums the product of two named tensors over the labels that `keep` does not want.
    fn contract(a: Named, b: Named, keep: impl Fn(Label) -> bool) -> Result<Named> {
        // A dimension of size 1 against a larger one says nothing.
        let trim = |x: Named, other: &[(Label, usize)]| -> Result<Named> {
            let wide = |l: Label| other.iter().any(|&(o, n)| o == l && n != 1);
            let thin: Labels = x.labels.iter().copied().filter(|&l| x.size(l) == Some(1) && wide(l)).collect();
            x.sum_except(|l| !thin.contains(&l))
        };
        let sizes = |x: &Named| -> SmallVec<[(Label, usize); 8]> {
            x.labels.iter().copied().zip(x.t.shape().iter().copied()).collect()
        };
        let (sa, sb) = (sizes(&a), sizes(&b));
        let (a, b) = (trim(a, &sb)?, trim(b, &sa)?);
        let (la, lb) = (a.labels.clone(), b.labels.clone());
        let a = a.sum_except(|l| keep(l) || lb.contains(&l))?;
        let b = b.sum_except(|l| keep(l) || la.contains(&l))?;
        let both = |want: bool| -> Labels {
            a.labels.iter().copied().filter(|&l| b.labels.contains(&l) && keep(l) == want).collect()
        };
        let (batch, summed) = (both(true), both(false));
        let only =
            |x: &Named, y: &Named| -> Labels { x.labels.iter().copied().filter(|l| !y.labels.contains(l)).collect() };
        let (left, right) = (only(&a, &b), only(&b, &a));
        let count = |x: &Named, ls: &[Label]| ls.iter().filter_map(|&l| x.size(l)).product::<usize>() as i64;
        let (nb, m, k, n) = (count(&a, &batch), count(&a, &left), count(&a, &summed), count(&b, &right));
        let joined = |parts: [&Labels; 3]| -> Labels { parts.into_iter().flatten().copied().collect() };
        // Sums of whole numbers have become int64.
        let dtype = crate::dtype::promote(a.t.dtype(), b.t.dtype())?;
        let ready = |x: &Named, order: &Labels, sizes: &[i64]| -> Result<Tensor> {
            let t = x.permuted(order)?.reshape(sizes)?;
            if a.t.dtype() == b.t.dtype() {
                Ok(t)
            } else {
                t.to_dtype(dtype)
            }
        };
        let x = ready(&a, &joined([&batch, &left, &summed]), &[nb, m, k])?;
        let y = ready(&b, &joined([&batch, &summed, &right]), &[nb, k, n])?;
        let labels = joined([&batch, &left, &right]);
        let shape: SmallVec<[i64; 8]> =
            labels.iter().filter_map(|&l| a.size(l).or_else(|| b.size(l))).map(|d| d as i64).collect();
        Ok(Named { t: x.bmm(&y)?.reshape(&shape)?, labels })
    }

    /// The whole sum.
    pub fn run(equation: &str, operands: List<Tensor>) -> Result<Tensor> {
        let (inputs, output) = match equation.split_once("->") {
            Some((i, o)) => (i, Some(term(o, equation)?)),
            None => (equation, None),
        };
        let terms = List::try_collect(inputs.split(',').map(|t| term(t, equation)))?;
        if terms.len() != operands.len() {
            bail!(Value, "the equation {equation:?} has {} terms, got {} operands", terms.len(), operands.len());
        }
        let named = terms.iter().zip(&operands).enumerate().map(|(i, (s, t))| name(t, s, i));
        let mut named = List::try_collect(named)?;
        // Sizes of one label must agree, but for 1.
        let mut sizes: List<(Label, usize)> = List::new();
        for (i, x) in named.iter().enumerate() {
            for (&l, &n) in x.labels.iter().zip(x.t.shape()) {
                match sizes.iter_mut().find(|s| s.0 == l) {
                    None => sizes.push((l, n))?,
                    Some(s) if s.1 == n || n == 1 => {}
                    Some(s) if s.1 == 1 => s.1 = n,
                    Some(s) => {
                        bail!(Shape, "a subscript has size {n} in operand {i}, which does not fit {} seen before", s.1)
                    }
                }
            }
        }
        let mut all: Labels = sizes.iter().map(|s| s.0).collect();
        all.sort_unstable();
        let mut out = Labels::new();
        match output {
            Some(o) => {
                for l in o {
                    match l {
                        None => out.extend(all.iter().copied().filter(|l| matches!(l, Label::Dot(_)))),
                        Some(l) => out.push(Label::Letter(l)),
                    }
                }
            }
            None => {
                let once = |l: &Label| match l {
                    Label::Dot(_) => true,
                    Label::Letter(c) => terms.iter().flatten().filter(|x| **x == Some(*c)).count() == 1,
                };
                out.extend(all.iter().copied().filter(once));
            }
        }
        for (i, l) in out.iter().enumerate() {
            if !all.contains(l) {
                bail!(Value, "a subscript of the output of {equation:?} does not occur in any input");
            }
            if out[..i].contains(l) {
                bail!(Value, "a subscript occurs more than once in the output of {equation:?}");
            }
        }
        named.reverse();
        let Some(mut x) = named.pop() else { bail!(Value, "at least one operand is wanted") };
        while let Some(y) = named.pop() {
            let later: Labels = named.iter().flat_map(|n| n.labels.iter().copied()).collect();
            x = contract(x, y, |l| out.contains(&l) || later.contains(&l))?;
        }
        let x = x.sum_except(|l| out.contains(&l))?;
        x.permuted(&out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::check::{gradcheck, noise};

    fn naive(a: &[f64], b: &[f64], m: usize, n: usize, k: usize) -> Vec<f64> {
        let at = |i: usize| (0..k).map(|p| a[i / n * k + p] * b[p * n + i % n]).sum();
        (0..m * n).map(at).collect()
    }

    fn close(got: &Tensor, want: &[f64], tolerance: f64) {
        let got = got.to_vec::<f64>().unwrap();
        assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "{got:?} for {want:?}");
        }
    }

    #[test]
    fn products_of_all_ranks() {
        let (a, b) = (noise(&[2, 3, 4], 1), noise(&[4, 5], 2));
        let want = naive(&a.to_vec::<f64>().unwrap(), &b.to_vec::<f64>().unwrap(), 6, 5, 4);
        let y = a.matmul(&b).unwrap();
        assert_eq!(y.shape(), [2, 3, 5]);
        close(&y, &want, 1e-14);
        // Strided operands, and dtypes.
        let at = a.transpose(0, 2).unwrap().contiguous().unwrap().transpose(0, 2).unwrap();
        close(&at.matmul(&b).unwrap(), &want, 1e-14);
        let half = |t: &Tensor, d| t.to_dtype(d).unwrap();
        for (d, tolerance) in [(DType::F32, 1e-6), (DType::F16, 3e-3), (DType::BF16, 2e-2)] {
            close(&half(&a, d).matmul(&half(&b, d)).unwrap(), &want, tolerance);
        }
        let ints = Tensor::from_slice(&[1i64, 2, 3, 4], &[2, 2]).unwrap();
        assert_eq!(ints.mm(&ints).unwrap().to_vec::<i64>().unwrap(), [7, 10, 15, 22]);
        // Vectors and broadcast batches.
        assert_eq!(noise(&[4], 3).matmul(&b).unwrap().shape(), [5]);
        assert_eq!(a.matmul(&noise(&[4], 3)).unwrap().shape(), [2, 3]);
        assert_eq!(noise(&[4], 3).matmul(&noise(&[4], 4)).unwrap().shape(), &[] as &[usize]);
        assert_eq!(noise(&[7, 1, 3, 4], 3).matmul(&noise(&[5, 4, 2], 4)).unwrap().shape(), [7, 5, 3, 2]);
        assert_eq!(noise(&[0, 4], 3).matmul(&b).unwrap().shape(), [0, 5]);
        close(&noise(&[2, 0], 3).matmul(&noise(&[0, 2], 4)).unwrap(), &[0.0; 4], 0.0);
        let e = noise(&[2, 3], 1).matmul(&noise(&[4, 5], 1)).unwrap_err();
        assert_eq!(e.to_string(), "matmul: inner sizes differ, input is [2, 3], other is [4, 5]");
        assert_eq!(e.both_shapes(), Some((&[2usize, 3][..], &[4usize, 5][..])));
    }

    #[test]
    fn gradients() {
        let shapes: [(&[usize], &[usize]); 9] = [
            (&[3], &[3]),
            (&[2, 3], &[3]),
            (&[3], &[3, 2]),
            (&[2, 3], &[3, 2]),
            (&[2, 2, 3], &[3, 2]),
            (&[2, 3], &[2, 3, 2]),
            (&[2, 1, 2, 3], &[2, 3, 2]),
            (&[3], &[2, 3, 2]),
            (&[2, 2, 3], &[3]),
        ];
        for (a, b) in shapes {
            gradcheck(&|x| x[0].matmul(&x[1]), &[noise(a, 1), noise(b, 2)]);
        }
        gradcheck(&|x| x[0].linear(&x[1], Some(&x[2])), &[noise(&[2, 3], 1), noise(&[4, 3], 2), noise(&[4], 3)]);
        gradcheck(&|x| x[0].linear(&x[1], None), &[noise(&[2, 2, 3], 1), noise(&[4, 3], 2)]);
        gradcheck(&|x| x[0].linear(&x[1], Some(&x[2])), &[noise(&[3], 1), noise(&[4, 3], 2), noise(&[4], 3)]);
        gradcheck(&|x| x[0].linear(&x[1], Some(&x[2])), &[noise(&[2, 3], 1), noise(&[3], 2), noise(&[], 3)]);
        gradcheck(&|x| x[0].addmm(&x[1], &x[2], 0.5, 2.0), &[noise(&[4], 1), noise(&[2, 3], 2), noise(&[3, 4], 3)]);
        gradcheck(&|x| x[0].addmv(&x[1], &x[2], 0.5, 2.0), &[noise(&[2], 1), noise(&[2, 3], 2), noise(&[3], 3)]);
        gradcheck(&|x| x[0].addr(&x[1], &x[2], 0.5, 2.0), &[noise(&[2, 3], 1), noise(&[2], 2), noise(&[3], 3)]);
        gradcheck(
            &|x| Tensor::bilinear(&x[0], &x[1], &x[2], Some(&x[3])),
            &[noise(&[2, 3], 1), noise(&[2, 2], 2), noise(&[4, 3, 2], 3), noise(&[4], 4)],
        );
        gradcheck(
            &|x| x[0].baddbmm(&x[1], &x[2], 1, 1),
            &[noise(&[2, 2, 4], 1), noise(&[2, 2, 3], 2), noise(&[2, 3, 4], 3)],
        );
    }

    #[test]
    fn composites() {
        let (a, b, d) = (noise(&[2, 3], 1), noise(&[3, 4], 2), noise(&[3, 3], 3));
        let ein = |e: &str, x: &[Tensor]| Tensor::einsum(e, x);
        close(&ein("ij,jk->ik", &[a.clone(), b.clone()]).unwrap(), &a.mm(&b).unwrap().to_vec::<f64>().unwrap(), 1e-14);
        close(&ein("ij,jk", &[a.clone(), b.clone()]).unwrap(), &a.mm(&b).unwrap().to_vec::<f64>().unwrap(), 1e-14);
        let v = d.to_vec::<f64>().unwrap();
        close(&ein("ii", std::slice::from_ref(&d)).unwrap(), &[v[0] + v[4] + v[8]], 1e-14);
        close(&ein("ii->i", std::slice::from_ref(&d)).unwrap(), &[v[0], v[4], v[8]], 0.0);
        assert_eq!(
            ein("b...i,...ij->...bj", &[noise(&[5, 2, 3], 1), noise(&[2, 3, 4], 2)]).unwrap().shape(),
            [2, 5, 4]
        );
        for bad in ["ij,jk->il", "i?,jk", "ij->ij", "ijk,jk", "ij,ik->jk"] {
            assert!(ein(bad, &[a.clone(), b.clone()]).is_err(), "{bad}");
        }
        gradcheck(
            &|x| Tensor::einsum("bi,oij,bj->bo", x),
            &[noise(&[2, 3], 1), noise(&[2, 3, 2], 2), noise(&[2, 2], 3)],
        );
        gradcheck(&|x| x[0].tensordot(&x[1], &[0, -1], &[1, 0]), &[noise(&[2, 2, 3], 1), noise(&[3, 2, 2], 2)]);
        gradcheck(&|x| x[0].cross(&x[1], None), &[noise(&[2, 3], 1), noise(&[2, 3], 2)]);
        gradcheck(
            &|x| Tensor::scaled_dot_product_attention(&x[0], &x[1], &x[2], None, 0.0, true, None, false),
            &[noise(&[2, 3, 2], 1), noise(&[2, 3, 2], 2), noise(&[2, 3, 2], 3)],
        );
    }
}
