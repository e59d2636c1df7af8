//! Linear algebra with factors as LAPACK leaves them (LU, LDL, reflections), eigenvalues of any square matrix, and what is made
//! of other factorisations: ranks, conditions, tensors as matrices, the exponential.
#![allow(non_snake_case, reason = "matrices have PyTorch's names")]

use crate::{bail, err};
use crate::dtype::{DType, Scalar};
use crate::engine::complex::pairs;
use crate::engine::copy::{contiguous_unlocked, copy_into};
use crate::engine::matrices::{
    count, each, each_complex, failure, identity, matrices, numbers, numbers_mut, product, spec, square, wide, with, Parts,
};
use crate::error::{Error, Result};
use crate::kernels::factor;
use crate::kernels::linalg::Real;
use crate::memory::List;
use crate::shape::{Dims, broadcast, signed};
use crate::table::{Cast, Call, Outs, Refusal, Saves, Spec, Specs, Takes, Vjp, one};
use crate::table::lang::Ex;
use crate::table::rules::number;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// Shape, dtype and device of `like`, filled with one number.
fn filled(c: &Call, shape: &[usize], value: impl Into<Scalar>, dtype: DType) -> Result<Tensor> {
    if c.meta {
        return Spec::rows(shape, dtype)?.meta();
    }
    Tensor::filled(shape, value.into(), dtype)
}

/// An identity matrix of `m x n`.
fn eye(m: usize, n: usize, dtype: DType) -> Result<Tensor> {
    Tensor::eye_with(m as i64, Some(n as i64), Some(dtype))
}

fn adjoint(t: &Tensor) -> Result<Tensor> {
    t.transpose(-2, -1)?.conj()
}

/// The batch dimensions of `t`, then `last`.
fn with_batch(t: &[usize], last: &[usize]) -> Dims {
    t.iter().chain(last).copied().collect()
}

fn same_dtype(names: [&str; 2], a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dtype() != b.dtype() {
        bail!(DType, "expected {} and {} to have the same dtype, but got {} and {}", names[0], names[1], a.dtype(), b.dtype());
    }
    Ok(())
}

// ---- LU ----

fn infer_lu_factor(c: &Call) -> Result<Specs> {
    let (batch, m, n) = matrices(c.x(0))?;
    if !c.bool(0) {
        bail!(Unsupported, "LU without pivoting is not implemented on the CPU");
    }
    let info = spec(&batch, &[], DType::I32)?;
    Ok(Specs::from_iter([spec(&batch, &[m, n], c.x(0).dtype())?, spec(&batch, &[m.min(n)], DType::I32)?, info]))
}

fn compute_lu_factor(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (batch, m, n) = matrices(c.x(0))?;
    let k = m.min(n);
    let (pivots, info) = (Parts::<i32>::new(outs[1].clone(), k), Parts::<i32>::new(outs[2].clone(), 1));
    copy_into(&outs[2], &number(0)?)?;
    copy_into(&outs[0], c.x(0))?;
    if k == 0 {
        return Ok(());
    }
    let check = c.bool(1);
    let note = |at: usize, zero: Option<usize>| -> Result<()> {
        let Some(zero) = zero else { return Ok(()) };
        if check {
            return Err(failure(at, crate::kernels::linalg::Failed::Singular(zero)));
        }
        // SAFETY: one number for each of the batch, of our own.
        unsafe { info.get_mut(at)[0] = zero as i32 + 1 };
        Ok(())
    };
    if outs[0].dtype().is_complex() {
        let a = wide(c.x(0))?;
        each_complex(&batch, outs[0].numel(), |at| {
            // SAFETY: a matrix of this size, and as many pivots, for each of the batch.
            let (a, pivots) = unsafe { (numbers_mut(&a, at, m * n), pivots.get_mut(at)) };
            factor::lu_factor(a, [m, n], pivots)?;
            note(at, (0..k).find(|&i| !a[i * n + i].holds()))?;
            Ok(Ok(()))
        })?;
        return copy_into(&outs[0], &a);
    }
    with!(outs[0].dtype(), T => {
        let to = Parts::<T>::new(outs[0].clone(), m * n);
        each(&batch, count(&[m, n, k]), T::lu_work([m, n]), &|at, work| {
            let a = to.get_mut(at);
            T::lu(a, [m, n], pivots.get_mut(at), work);
            note(at, (0..k).find(|&i| a[i * n + i] == 0.0))
        })
    })
}

/// After Walter and Lehmann (2010), for compact factors of matrices of any shape.
fn lu_factor_rule(v: &Vjp) -> Ex {
    let (m, n) = (v.shape(0)[v.shape(0).len() - 2], v.shape(0)[v.shape(0).len() - 1]);
    let k = m.min(n) as i64;
    let (lu, g) = (v.yk(0), v.gk(0));
    let p = lu.with(v.yk(1), |lu, p| Ok(Tensor::lu_unpack(lu, p, false, true)?.swap_remove(0)));
    let part = |e: &Ex, dim: i64, from: i64, size: i64| e.then(|t| t.narrow(dim, from, size));
    let tril = |e: Ex| e.then(|t| t.tril(-1));
    let triu = |e: Ex| e.then(|t| t.triu(0));
    let square = |e: &Ex| part(&part(e, -2, 0, k), -1, 0, k);
    // Solutions with the triangles of the square part, conjugated: L' X = B and X U' = B.
    let head = square(&lu);
    let by_l = |e: Ex| head.mh().with(e, |a, b| a.linalg_solve_triangular(b, true, true, true));
    let by_u = |e: Ex| head.mh().with(e, |a, b| a.linalg_solve_triangular(b, false, false, false));
    let (l1, u1) = (tril(head.clone()), triu(head.clone()));
    let (gl, gu) = (square(&g), square(&g));
    // L' with ones on its diagonal, times the gradient of what lies below it.
    let of_l = |e: &Ex| l1.mh().matmul(e) + e;
    let gl = tril(gl);
    let gu = triu(gu);
    let (mut below, mut above) = (of_l(&gl), gu.matmul(u1.mh()));
    if m > n {
        let rest = (m - n) as i64;
        let (l2, g2) = (part(&lu, -2, k, rest), part(&g, -2, k, rest));
        above = above - l2.mh().matmul(&g2);
        let top = by_l(by_u(tril(below) + triu(above)));
        let bottom = by_u(g2);
        return p.matmul(top.with(bottom, |a, b| Tensor::cat(&[a.clone(), b.clone()], -2)));
    }
    if m < n {
        let rest = (n - m) as i64;
        let (u2, g2) = (part(&lu, -1, k, rest), part(&g, -1, k, rest));
        below = below - g2.matmul(u2.mh());
        let left = by_l(by_u(tril(below) + triu(above)));
        let right = by_l(g2);
        return p.matmul(left.with(right, |a, b| Tensor::cat(&[a.clone(), b.clone()], -1)));
    }
    p.matmul(by_l(by_u(tril(below) + triu(above))))
}

/// Sizes of factors and their pivots: batch, rows, columns.
fn lu_sizes(lu: &Tensor, pivots: &Tensor) -> Result<(Dims, usize, usize)> {
    let (batch, m, n) = matrices(lu)?;
    if pivots.dtype() != DType::I32 {
        bail!(DType, "expected pivots of int32, as lu_factor gives them, got {}", pivots.dtype());
    }
    if pivots.shape() != with_batch(&batch, &[m.min(n)]).as_slice() {
        let message = format!("expected pivots of shape {:?}, one for each row", with_batch(&batch, &[m.min(n)]));
        return Err(Error::shapes("", message, lu.shape(), pivots.shape()));
    }
    Ok((batch, m, n))
}

fn eval_lu_unpack(c: &Call) -> Result<Outs> {
    let (lu, pivots) = (c.x(0), c.x(1));
    let (data, order) = (c.bool(0), c.bool(1));
    let (_, m, n) = lu_sizes(lu, pivots)?;
    let (k, d) = (m.min(n) as i64, lu.dtype());
    let none = || filled(c, &[0], 0, d);
    let p = if order {
        let rows = pivots.pivots_to_rows(m as i64, false)?;
        let places = Tensor::arange(Scalar::Int(0), Scalar::Int(m as i64), Scalar::Int(1), None)?;
        rows.unsqueeze(-2)?.eq(&places.unsqueeze(-1)?)?.to_dtype(d)?
    } else {
        none()?
    };
    let (l, u) = if data {
        let l = lu.narrow(-1, 0, k)?.tril(-1)?.add(&eye(m, k as usize, d)?, 1)?;
        (l, lu.narrow(-2, 0, k)?.triu(0)?)
    } else {
        (none()?, none()?)
    };
    Ok(Outs::from_iter([p, l, u]))
}

/// `b` with its rows in the order that `rows` tells, for each of the batch.
fn reordered(b: &Tensor, rows: &Tensor) -> Result<Tensor> {
    let shape = signed(b.shape());
    b.gather(-2, &rows.unsqueeze(-1)?.expand(&shape)?, false)
}

fn eval_lu_solve(c: &Call) -> Result<Outs> {
    let (lu, pivots, b) = (c.x(0), c.x(1), c.x(2));
    let (left, adj) = (c.bool(0), c.bool(1));
    let (batch, n) = square(lu)?;
    lu_sizes(lu, pivots)?;
    same_dtype(["LU", "B"], lu, b)?;
    let (batch_b, rows, columns) = matrices(b)?;
    if n != if left { rows } else { columns } {
        let message = format!("incompatible shapes of A and B for the equation: {:?} and {:?}", lu.shape(), b.shape());
        return Err(Error::shapes("", message, lu.shape(), b.shape()));
    }
    let all = broadcast(&batch, &batch_b)?;
    // X A = B is A' X' = B', with or without the conjugates.
    let turned = |t: &Tensor| if adj { adjoint(t) } else { t.transpose(-2, -1) };
    let mut b = if left { b.clone() } else { turned(b)? };
    let last = [n, b.shape()[b.ndim() - 1]];
    b = b.expand(&signed(&with_batch(&all, &last)))?;
    // With the factors themselves, or with what they are on the other side.
    let x = if adj != left {
        let b = reordered(&b, &pivots.pivots_to_rows(n as i64, false)?.expand(&signed(&with_batch(&all, &[n])))?)?;
        let y = lu.linalg_solve_triangular(&b, false, true, true)?;
        lu.linalg_solve_triangular(&y, true, true, false)?
    } else {
        let other = if left || adj { adjoint(lu)? } else { lu.transpose(-2, -1)? };
        let y = other.linalg_solve_triangular(&b, false, true, false)?;
        let y = other.linalg_solve_triangular(&y, true, true, true)?;
        reordered(&y, &pivots.pivots_to_rows(n as i64, true)?.expand(&signed(&with_batch(&all, &[n])))?)?
    };
    one(if left { x } else { turned(&x)? })
}

/// The rows of `A` in the order of `P' A`, or the other way, from the exchanges that make it.
fn compute_pivots_to_rows(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (m, back, k) = (c.int(0) as usize, c.bool(1), c.x(0).shape()[c.x(0).ndim() - 1]);
    let count = product(&c.x(0).shape()[..c.x(0).ndim() - 1]);
    let (pivots, out) = (Parts::<i32>::of(c.x(0), k)?, Parts::<i64>::new(outs[0].clone(), m));
    let mut rows = List::collect(0..m)?;
    for at in 0..count {
        // SAFETY: as many pivots, and rows of our own, for each of the batch.
        let (pivots, out) = unsafe { (pivots.get(at), out.get_mut(at)) };
        rows.iter_mut().enumerate().for_each(|(i, r)| *r = i);
        for (i, &p) in pivots.iter().enumerate() {
            if p < 1 || p as usize > m {
                bail!(Index, "pivots count rows from 1 to {m}, got {p}");
            }
            rows.swap(i, p as usize - 1);
        }
        for (i, &r) in rows.iter().enumerate() {
            let (to, value) = if back { (r, i) } else { (i, r) };
            out[to] = value as i64;
        }
    }
    Ok(())
}

// ---- LDL ----

fn infer_ldl(c: &Call) -> Result<Specs> {
    let ((batch, n), d) = (square(c.x(0))?, c.x(0).dtype());
    Ok(Specs::from_iter([spec(&batch, &[n, n], d)?, spec(&batch, &[n], DType::I32)?, spec(&batch, &[], DType::I32)?]))
}

fn compute_ldl(c: &Call, outs: &[Tensor]) -> Result<()> {
    let ((batch, n), d) = (square(c.x(0))?, c.x(0).dtype());
    let hermitian = c.bool(0) && d.is_complex();
    let (pivots, info) = (Parts::<i32>::new(outs[1].clone(), n), Parts::<i32>::new(outs[2].clone(), 1));
    copy_into(&outs[2], &number(0)?)?;
    let a = contiguous_unlocked(c.x(0), if d.is_complex() { DType::C128 } else { DType::F64 }, true)?;
    let check = c.bool(1);
    each_complex(&batch, outs[0].numel(), |at| {
        // SAFETY: a matrix of this size, and as many pivots, for each of the batch.
        let failed = unsafe {
            let failed = if d.is_complex() {
                factor::ldl(numbers_mut(&a, at, n * n), n, hermitian, pivots.get_mut(at))
            } else {
                let a = std::slice::from_raw_parts_mut(a.ptr::<f64>().add(at * n * n), n * n);
                factor::ldl(a, n, false, pivots.get_mut(at))
            };
            info.get_mut(at)[0] = failed;
            failed
        };
        if failed > 0 && check {
            bail!(Value, "(batch element {at}): the factorization could not be completed: pivot {failed} is zero");
        }
        Ok(Ok(()))
    })?;
    copy_into(&outs[0], &a)
}

/// Batch, order, and number of right-hand sides.
fn ldl_solve_sizes(c: &Call) -> Result<(Dims, usize, usize)> {
    let (ld, pivots, b) = (c.x(0), c.x(1), c.x(2));
    let (batch, n) = square(ld)?;
    if b.ndim() < 2 {
        bail!(Shape, "expected B to have at least 2 dimensions, got shape {:?}", b.shape());
    }
    let (batch_b, rows, w) = matrices(b)?;
    same_dtype(["LD", "B"], ld, b)?;
    if pivots.dtype().is_differentiable() || pivots.dtype() == DType::Bool {
        bail!(DType, "expected pivots to be whole numbers, got {}", pivots.dtype());
    }
    if pivots.shape() != with_batch(&batch, &[n]).as_slice() || rows != n {
        let message = format!("expected pivots of shape {:?} and B of {n} rows", with_batch(&batch, &[n]));
        return Err(Error::shapes("", message, pivots.shape(), b.shape()));
    }
    Ok((broadcast(&batch, &batch_b)?, n, w))
}

fn compute_ldl_solve(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (batch, n, w) = ldl_solve_sizes(c)?;
    let d = outs[0].dtype();
    let hermitian = c.bool(0) && d.is_complex();
    let compute = if d.is_complex() { DType::C128 } else { DType::F64 };
    let spread = |t: &Tensor, last: &[usize], d: DType| {
        contiguous_unlocked(&t.with_layout(t.layout().broadcast_to(&with_batch(&batch, last))?), d, true)
    };
    let (ld, pivots) = (spread(c.x(0), &[n, n], compute)?, spread(c.x(1), &[n], DType::I32)?);
    let (x, pivots) = (spread(c.x(2), &[n, w], compute)?, Parts::<i32>::new(pivots, n));
    each_complex(&batch, outs[0].numel(), |at| {
        // SAFETY: matrices of these sizes, and as many pivots, for each of the batch.
        let fits = unsafe {
            if d.is_complex() {
                let (a, x) = (numbers(&ld, at, n * n), numbers_mut(&x, at, n * w));
                factor::ldl_solve(a, n, pivots.get(at), hermitian, x, w)
            } else {
                let a = std::slice::from_raw_parts(ld.ptr::<f64>().add(at * n * n), n * n);
                let x = std::slice::from_raw_parts_mut(x.ptr::<f64>().add(at * n * w), n * w);
                factor::ldl_solve(a, n, pivots.get(at), false, x, w)
            }
        };
        if !fits {
            bail!(Value, "these are no pivots of a factorization of {n} by {n} matrices");
        }
        Ok(Ok(()))
    })?;
    copy_into(&outs[0], &x)
}

// ---- reflections ----

fn infer_geqrf(c: &Call) -> Result<Specs> {
    let ((batch, m, n), d) = (matrices(c.x(0))?, c.x(0).dtype());
    Ok(Specs::from_iter([spec(&batch, &[m, n], d)?, spec(&batch, &[m.min(n)], d)?]))
}

fn compute_geqrf(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (batch, m, n) = matrices(c.x(0))?;
    let k = m.min(n);
    if k == 0 {
        return Ok(());
    }
    if outs[0].dtype().is_complex() {
        let (a, tau) = (wide(c.x(0))?, Tensor::empty_of(outs[1].shape(), DType::C128)?);
        each_complex(&batch, a.numel(), |at| {
            // SAFETY: a matrix of this size, and as many factors, for each of the batch.
            unsafe { factor::reflections(numbers_mut(&a, at, m * n), [m, n], numbers_mut(&tau, at, k)) };
            Ok(Ok(()))
        })?;
        copy_into(&outs[0], &a)?;
        return copy_into(&outs[1], &tau);
    }
    copy_into(&outs[0], c.x(0))?;
    with!(outs[0].dtype(), T => {
        let (a, tau) = (Parts::<T>::new(outs[0].clone(), m * n), Parts::<T>::new(outs[1].clone(), k));
        each(&batch, count(&[m, n, k]), T::qr_work([m, n], 0), &|at, work| {
            T::reflections(a.get_mut(at), [m, n], tau.get_mut(at), work);
            Ok(())
        })
    })
}

/// The product `H1 H2 .. Hk` of `Hi = I - tau[i] v[i] v[i]'` as `I - V T V'`: `V`, and `T` as the solution of a triangular
/// system (Schreiber and Van Loan 1989).
struct Reflections {
    v: Tensor,
    system: Tensor,
    factors: Tensor,
}

fn reflections(a: &Tensor, tau: &Tensor) -> Result<Reflections> {
    let (batch, m, _) = matrices(a)?;
    same_dtype(["input", "tau"], a, tau)?;
    let k = tau.shape().last().copied().unwrap_or(0);
    if tau.ndim() + 1 != a.ndim() || tau.shape()[..tau.ndim().saturating_sub(1)] != batch[..] {
        let message = "expected tau to have the batch dimensions of input, and one number for each reflection";
        return Err(Error::shapes("", message, a.shape(), tau.shape()));
    }
    let v = a.narrow(-1, 0, k as i64)?.tril(-1)?.add(&eye(m, k, a.dtype())?, 1)?;
    let factors = tau.unsqueeze(-1)?;
    let system = adjoint(&v)?.matmul(&v)?.triu(1)?.mul(&factors)?;
    Ok(Reflections { v, system, factors })
}

impl Reflections {
    /// `T b`
    fn times(&self, b: &Tensor) -> Result<Tensor> {
        self.system.linalg_solve_triangular(&b.mul(&self.factors)?, true, true, true)
    }
    /// `T' b`
    fn adjoint_times(&self, b: &Tensor) -> Result<Tensor> {
        adjoint(&self.system)?.linalg_solve_triangular(b, false, true, true)?.mul(&self.factors.conj()?)
    }
}

fn eval_householder(c: &Call) -> Result<Outs> {
    let (a, tau) = (c.x(0), c.x(1));
    let (_, m, n) = matrices(a)?;
    if m < n {
        bail!(Shape, "input must have at least as many rows as columns, got shape {:?}", a.shape());
    }
    if tau.shape().last().is_some_and(|&k| k > n) {
        bail!(Shape, "there are more reflections than columns: {:?} and {:?}", tau.shape(), a.shape());
    }
    let r = reflections(a, tau)?;
    let first = adjoint(&r.v.narrow(-2, 0, n as i64)?)?;
    one(eye(m, n, a.dtype())?.sub(&r.v.matmul(&r.times(&first)?)?, 1)?)
}

fn eval_ormqr(c: &Call) -> Result<Outs> {
    let (a, tau, b) = (c.x(0), c.x(1), c.x(2));
    let (left, transpose) = (c.bool(0), c.bool(1));
    let ((_, m, n), (batch, rows, columns)) = (matrices(a)?, matrices(b)?);
    same_dtype(["input", "other"], a, b)?;
    let k = tau.shape().last().copied().unwrap_or(0);
    if m != if left { rows } else { columns } || k > n || k > m || a.ndim() != b.ndim() || a.shape()[..a.ndim() - 2] != batch[..] {
        let message = format!("reflections {:?} with factors {:?} do not fit {:?}", a.shape(), tau.shape(), b.shape());
        return Err(Error::shapes("", message, a.shape(), b.shape()));
    }
    let r = reflections(a, tau)?;
    let by = |x: &Tensor| if transpose { r.adjoint_times(x) } else { r.times(x) };
    if left {
        return one(b.sub(&r.v.matmul(&by(&adjoint(&r.v)?.matmul(b)?)?)?, 1)?);
    }
    one(b.sub(&b.matmul(&r.v)?.matmul(&by(&adjoint(&r.v)?)?)?, 1)?)
}

// ---- eigenvalues ----

/// Eigenvalues and, if there is a place for them, eigenvectors.
fn eig_into(t: &Tensor, values: &Tensor, vectors: Option<&Tensor>) -> Result<()> {
    let (batch, n) = square(t)?;
    if n == 0 {
        return Ok(());
    }
    if t.dtype().is_complex() {
        let made = |shape: &[usize]| Tensor::empty_of(shape, DType::C128);
        let (a, w) = (wide(t)?, made(values.shape())?);
        let v = vectors.map(|v| made(v.shape())).transpose()?;
        each_complex(&batch, t.numel(), |k| {
            // SAFETY: a matrix of this size, and as many values and vectors, for each of the batch.
            unsafe {
                let v = v.as_ref().map(|v| numbers_mut(v, k, n * n));
                factor::eig(numbers_mut(&a, k, n * n), n, numbers_mut(&w, k, n), v)
            }
        })?;
        copy_into(values, &w)?;
        return vectors.zip(v).map_or(Ok(()), |(to, v)| copy_into(to, &v));
    }
    let (w, v) = (pairs(values)?, vectors.map(pairs).transpose()?);
    with!(t.dtype(), T => {
        let (a, w) = (Parts::<T>::of(t, n * n)?, Parts::<T>::new(w.clone(), 2 * n));
        let v = v.map(|v| Parts::<T>::new(v.clone(), 2 * n * n));
        each(&batch, count(&[20, n, n, n]), T::eig_work(n, v.is_some()), &|k, work| {
            T::eig(a.get(k), n, w.get_mut(k), v.as_ref().map(|v| v.get_mut(k)), work).map_err(|e| failure(k, e))
        })
    })
}

/// What comes of the eigenvectors `v` and the matrix `inner` in their coordinates: `V^-H inner V^H`, for real matrices real.
fn back_from_vectors(v: &Vjp, vectors: &Ex, inner: Ex) -> Ex {
    let g = vectors.mh().with(inner.matmul(vectors.mh()), |a, b| a.solve_matrices(b));
    if v.dtype(0).is_complex() {
        return g;
    }
    g.then(|g| g.real())
}

/// The eigenvectors may change in length and phase: such a part of their gradient is left out.
fn eig_rule(v: &Vjp) -> Ex {
    let (values, vectors) = (v.yk(0), v.yk(1));
    let on_diagonal = |e: Ex| e.then(|t| t.diag_embed(0, -2, -1));
    let mut inner = if v.has(0) { on_diagonal(v.gk(0)) } else { Ex::None };
    if v.has(1) {
        let w = vectors.mh().matmul(v.gk(1));
        let length = w.then(|w| w.diagonal(0, -2, -1)?.real()?.unsqueeze(-2));
        let w = w - vectors.mh().matmul(&vectors * length);
        let gaps = (values.unsqueeze(-2) - values.unsqueeze(-1)).conj();
        let ones = on_diagonal(values.then(|t| t.ones_like(None)));
        let off = (w / (gaps + &ones)) * (1.0 - ones);
        inner = inner + off;
    }
    back_from_vectors(v, &vectors, inner)
}

// ---- norms and ranks ----

fn floats(t: &Tensor) -> Result<()> {
    if !t.dtype().is_differentiable() {
        bail!(DType, "expected a floating point or complex tensor as input, got {}", t.dtype());
    }
    Ok(())
}

fn eval_cond(c: &Call) -> Result<Outs> {
    let (a, word, p) = (c.x(0), c.str(0), c.opt_scalar(1));
    let (batch, m, n) = matrices(a)?;
    let real = a.dtype().real();
    let order = p.map_or(2.0, Scalar::f64);
    if word.is_empty() && order.abs() == 2.0 {
        if m == 0 || n == 0 {
            return one(filled(c, &batch, 0, real)?);
        }
        let s = Tensor::linalg_svdvals(a)?;
        let (most, least) = (s.select(-1, 0)?, s.select(-1, -1)?);
        return one(if order > 0.0 { most.div(&least, "")? } else { least.div(&most, "")? });
    }
    square(a)?;
    if n == 0 {
        return one(filled(c, &batch, 0, real)?);
    }
    let parts = Tensor::linalg_inv_ex(a, false)?;
    let singular = parts[1].ne(&number(0)?)?;
    let inverse = parts[0].masked_fill(&singular.unsqueeze(-1)?.unsqueeze(-1)?, &number(0)?)?;
    let word = if word.is_empty() { "fro" } else { word };
    let norm = |t: &Tensor| t.linalg_matrix_norm(p, &[-2, -1], false, None, word);
    one(norm(a)?.mul(&norm(&inverse)?)?.masked_fill(&singular, &number(f64::INFINITY)?)?)
}

fn eval_matrix_rank(c: &Call) -> Result<Outs> {
    let (a, hermitian) = (c.x(0), c.bool(0));
    let (batch, m, n) = matrices(a)?;
    if hermitian {
        square(a)?;
    }
    for t in [c.opt(1), c.opt(2)].into_iter().flatten() {
        if t.dtype().is_complex() {
            bail!(DType, "tolerances must be real numbers, got {}", t.dtype());
        }
    }
    if m == 0 || n == 0 {
        return one(filled(c, &batch, 0, DType::I64)?);
    }
    let a = a.alias();
    let s = if hermitian { a.linalg_eigvalsh("L")?.abs()? } else { Tensor::linalg_svdvals(&a)? };
    // Who gives an absolute tolerance alone wants no relative one.
    let usual = number(m.max(n) as f64 * a.dtype().eps())?;
    let atol = c.opt(1).map_or_else(|| number(0.0), |t| Ok(t.clone()))?;
    let rtol = match (c.opt(1), c.opt(2)) {
        (_, Some(r)) => r.clone(),
        (Some(t), None) => Tensor::where_(&t.gt(&number(0)?)?, &number(0.0)?, &usual)?,
        (None, None) => usual,
    };
    let last = |t: &Tensor| if t.ndim() == 0 { Ok(t.clone()) } else { t.unsqueeze(-1) };
    let most = if hermitian { s.amax(&[-1], true)? } else { s.narrow(-1, 0, 1)? };
    let limit = last(&rtol)?.mul(&most)?;
    let limit = Tensor::maximum(&limit, &last(&atol)?.to_dtype(limit.dtype())?)?;
    one(s.gt(&limit)?.sum(Some(&[-1]), false, None)?)
}

// ---- tensors as matrices ----

fn whole(shape: &[usize]) -> usize {
    shape.iter().fold(1, |n: usize, &d| n.saturating_mul(d))
}

fn eval_tensorinv(c: &Call) -> Result<Outs> {
    let (a, ind) = (c.x(0), c.int(0));
    if ind <= 0 {
        bail!(Value, "expected a strictly positive integer for 'ind', got {ind}");
    }
    let (front, back) = a.shape().split_at((ind as usize).min(a.ndim()));
    if whole(front) != whole(back) {
        bail!(
            Shape,
            "expected a tensor whose first {ind} dimensions hold as many elements as the others, got shape {:?}",
            a.shape()
        );
    }
    let n = whole(front) as i64;
    let shape: Dims = back.iter().chain(front).copied().collect();
    one(a.reshape(&[n, n])?.inverse()?.reshape(&signed(&shape))?)
}

fn eval_tensorsolve(c: &Call) -> Result<Outs> {
    let (a, b) = (c.x(0), c.x(1));
    let mut turned = a.clone();
    if let Some(dims) = c.opt_ints(0) {
        let ends: SmallVec<[i64; 8]> = (0..dims.len() as i64).map(|i| i - dims.len() as i64).collect();
        turned = a.movedim(dims, &ends)?;
    }
    let (_, last) = turned.shape().split_at(b.ndim().min(turned.ndim()));
    let (n, shape) = (whole(last), signed(last));
    if n != b.numel() || n.checked_mul(n) != Some(turned.numel()) {
        let message = "expected self to have as many elements as the square of other's, in square shapes";
        return Err(Error::shapes("", message, a.shape(), b.shape()));
    }
    let n = n as i64;
    one(turned.reshape(&[n, n])?.linalg_solve(&b.reshape(&[-1])?, true)?.reshape(&shape)?)
}

/// The powers 0 to `n - 1` as a last dimension.
fn powers(c: &Call, x: &Tensor, n: i64) -> Result<Tensor> {
    let mut shape = x.dims();
    shape.push(n.max(1) as usize - 1);
    let rest = x.unsqueeze(-1)?.expand(&signed(&shape))?.cumprod(-1, None)?;
    *shape.last_mut().unwrap_or(&mut 0) = 1;
    Tensor::cat(&[filled(c, &shape, 1, rest.dtype())?, rest], -1)?.narrow(-1, 0, n)
}

fn eval_linalg_vander(c: &Call) -> Result<Outs> {
    let x = c.x(0);
    if x.dtype() == DType::Bool || x.dtype().is_wide_unsigned() {
        bail!(DType, "not implemented for dtype {}", x.dtype());
    }
    let x = if x.ndim() == 0 { x.unsqueeze(-1)? } else { x.clone() };
    let n = c.opt_int(0).unwrap_or(x.shape()[x.ndim() - 1] as i64);
    if n <= 1 {
        bail!(Value, "N must be greater than 1, got {n}");
    }
    one(powers(c, &x, n)?)
}

// ---- the exponential ----

/// Padé's approximant of order 13, of the matrix divided by a power of two, and as many squares (Higham 2005).
fn compute_matrix_exp(c: &Call, outs: &[Tensor]) -> Result<()> {
    const B: [f64; 14] = [
        64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
        10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0,
    ];
    let d = c.x(0).dtype().compute_dtype();
    if outs[0].numel() == 0 {
        return Ok(());
    }
    let n = c.x(0).shape()[c.x(0).ndim() - 1];
    let size = n as i64;
    let a = contiguous_unlocked(c.x(0), d, true)?.reshape(&[-1, size, size])?;
    let norms = a.abs()?.sum(Some(&[-2]), false, None)?.amax(&[-1], false)?.to_vec_unlocked::<f64>()?;
    let limit = if d.real() == DType::F32 { 3.92572478313866 } else { 5.371920351148152 };
    let halvings = |&norm: &f64| if norm.is_finite() && norm > limit { (norm / limit).log2().ceil() } else { 0.0 };
    let times = List::collect(norms.iter().map(halvings))?;
    let factors = List::collect(times.iter().map(|t| (-t).exp2()))?;
    let column = |v: &[f64]| Tensor::from_slice(v, &[v.len(), 1, 1]);
    let x = a.mul(&column(&factors)?.to_dtype(d.real())?)?;
    let e = identity(n, d)?;
    let x2 = x.matmul(&x)?;
    let x4 = x2.matmul(&x2)?;
    let x6 = x4.matmul(&x2)?;
    let sum = |b: [f64; 4], zeroth: bool| -> Result<Tensor> {
        let by = |t: &Tensor, f: f64| t.mul(&number(f)?);
        let s = by(&x6, b[3])?.add(&by(&x4, b[2])?, 1)?.add(&by(&x2, b[1])?, 1)?;
        if zeroth { s.add(&by(&e, b[0])?, 1) } else { Ok(s) }
    };
    let odd = x6.matmul(&sum([0.0, B[9], B[11], B[13]], false)?)?.add(&sum([B[1], B[3], B[5], B[7]], true)?, 1)?;
    let even = x6.matmul(&sum([0.0, B[8], B[10], B[12]], false)?)?.add(&sum([B[0], B[2], B[4], B[6]], true)?, 1)?;
    let odd = x.matmul(&odd)?;
    let mut r = even.sub(&odd, 1)?.solve_matrices(&even.add(&odd, 1)?)?;
    let times_left = column(&times)?;
    for step in 0..times.iter().fold(0.0f64, |a, &b| a.max(b)) as usize {
        let square = r.matmul(&r)?;
        r = Tensor::where_(&times_left.gt(&number(step as f64)?)?, &square, &r)?;
    }
    copy_into(&outs[0], &r.reshape(&signed(outs[0].shape()))?)
}

/// The gradient stands beside the exponential of `[[A', G], [0, A']]`.
fn matrix_exp_rule(v: &Vjp) -> Ex {
    let n = v.shape(0)[v.shape(0).len() - 1] as i64;
    v.x(0).mh().with(v.g(), |a, g| {
        let top = Tensor::cat(&[a.clone(), g.clone()], -1)?;
        let bottom = Tensor::cat(&[a.zeros_like(None)?, a.clone()], -1)?;
        Tensor::cat(&[top, bottom], -2)?.matrix_exp()?.narrow(-2, 0, n)?.narrow(-1, n, n)
    })
}

// ---- few singular values ----

/// Random numbers that need no gradient, of the dtype of `a`, and then steps of orthogonal iteration (Halko, Martinsson and
/// Tropp 2011, algorithm 4.4): orthonormal columns that nearly span the range of `a`.
fn range_of(a: &Tensor, q: i64, steps: i64) -> Result<Tensor> {
    let first = |outs: Outs| outs.into_iter().next().ok_or_else(|| err!(Panic, "no Q"));
    let orthogonal = |x: Tensor| first(Tensor::linalg_qr(&x, "reduced")?);
    let columns = a.shape()[a.ndim() - 1] as i64;
    let mut basis = orthogonal(a.matmul(&Tensor::randn_with(&[columns, q], None, Some(a.dtype()))?)?)?;
    for _ in 0..steps {
        basis = orthogonal(adjoint(a)?.matmul(&basis)?)?;
        basis = orthogonal(a.matmul(&basis)?)?;
    }
    Ok(basis)
}

fn low_rank(a: &Tensor, q: i64, steps: i64) -> Result<Outs> {
    let (_, m, n) = matrices(a)?;
    if q < 0 || q > m.min(n) as i64 {
        bail!(Value, "q(={q}) must be non-negative integer and not greater than min(m, n)={}", m.min(n));
    }
    // Long before that nothing changes any more.
    if !(0..=1000).contains(&steps) {
        bail!(Value, "niter(={steps}) must be a number from 0 to 1000");
    }
    let tall = if m < n { adjoint(a)? } else { a.clone() };
    let basis = range_of(&tall, q, steps)?;
    let parts = Tensor::linalg_svd(&adjoint(&basis)?.matmul(&tall)?, false)?;
    let (u, s, v) = (basis.matmul(&parts[0])?, parts[1].clone(), adjoint(&parts[2])?);
    Ok(if m < n { Outs::from_iter([v, s, u]) } else { Outs::from_iter([u, s, v]) })
}

ops! {
    /// The factors `A = P L U` of matrices `[..., m, n]` with row exchanges: `L` (below its diagonal of ones) and `U` in one
    /// matrix; `pivots[k]` counts, from 1, the row that changes places with row `k`; and 0, or the place, from 1, of a zero on
    /// the diagonal of `U`, which `check_errors` makes an error.
    linalg_lu_factor_ex(A: Tensor, pivot: Bool = true, check_errors: Bool = false) -> Triple, Special {
        body: Kernel(infer_lu_factor, compute_lu_factor),
        vjp: vjp!(|v| lu_factor_rule(v)), saves: Saves::OUTPUT,
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(2, 2), True, True", message: "singular" },
            Refusal { call: "rt.ones(2, 2), False", message: "without pivoting" },
        ],
        samples: &["m(3)", "r(4, 2)", "r(2, 4)", "m(2, 2)"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// `P`, `L` and `U` of matrices `[..., m, n]`, whose product is `A`.
    linalg_lu(A: Tensor, pivot: Bool = true) -> Triple, Special {
        body: Composite(|c| {
            let f = Tensor::linalg_lu_factor_ex(c.x(0), c.bool(0), false)?;
            Tensor::lu_unpack(&f[0], &f[1], true, true)
        }),
        method: false, function: false,
        samples: &["m(3)", "r(4, 2)", "r(2, 4)"],
    }

    /// `P`, `L` and `U` from the factors and pivots of `linalg_lu_factor_ex`; what is not unpacked is empty.
    lu_unpack(LU_data: Tensor, LU_pivots: Tensor, unpack_data: Bool = true, unpack_pivots: Bool = true) -> Triple, Special {
        body: Composite(eval_lu_unpack),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 2), rt.ones(2)", message: "int32" }],
        samples: &[
            "m(3), rt.tensor([2, 2, 3], dtype=rt.int32)", "r(3, 2), rt.tensor([3, 2], dtype=rt.int32), True, False",
            "r(2, 3), rt.tensor([1, 2], dtype=rt.int32)",
        ],
    }

    /// The order of `m` rows after the exchanges `input`, as indices; with `inverse` where each row goes.
    pivots_to_rows(input: Tensor, m: Int, inverse: Bool = false) -> Tensor, Special {
        body: Kernel(
            |c| {
                let (shape, m) = (c.x(0).shape(), c.int(0));
                let Some((&k, batch)) = shape.split_last() else { bail!(Shape, "pivots must have a dimension") };
                if c.x(0).dtype() != DType::I32 || m < 0 || k > m as usize {
                    bail!(Value, "wanted pivots of int32 for at most {m} rows, got shape {shape:?} of {}", c.x(0).dtype());
                }
                spec(batch, &[m as usize], DType::I64)?.one()
            },
            compute_pivots_to_rows,
        ),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.tensor([3], dtype=rt.int32), 2", message: "from 1 to 2" }],
    }

    /// `X` with `A X = B` (`X A = B` if not `left`; `A'` for `A` with `adjoint`), from the factors of `linalg_lu_factor_ex`.
    linalg_lu_solve(
        LU: Tensor, pivots: Tensor, B: Tensor, left: Bool = true, adjoint: Bool = false
    ) -> Tensor, Special {
        body: Composite(eval_lu_solve),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.eye(2), rt.ones(2), rt.ones(2, 1)", message: "int32" }],
        samples: &[
            "m(3), rt.tensor([2, 2, 3], dtype=rt.int32), r(3, 2)", "m(3), rt.tensor([3, 3, 3], dtype=rt.int32), r(2, 3), False",
            "m(3), rt.tensor([3, 3, 3], dtype=rt.int32), r(3, 2), True, True",
            "m(3), rt.tensor([3, 3, 3], dtype=rt.int32), r(2, 3), False, True",
        ],
    }

    /// The factors `L D L'` of symmetric matrices (with `hermitian` of Hermitian ones), of which the lower triangles are read,
    /// in one matrix, LAPACK's pivots, and 0, or the place, from 1, of a pivot that is zero, which `check_errors` makes an error.
    linalg_ldl_factor_ex(input: Tensor, hermitian: Bool = false, check_errors: Bool = false) -> Triple, Special {
        body: Kernel(infer_ldl, compute_ldl),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.zeros(2, 2), False, True", message: "pivot 1 is zero" }],
        takes: Takes::COMPLEX,
    }

    /// `X` with `A X = B`, from the factors of `linalg_ldl_factor_ex`.
    linalg_ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, hermitian: Bool = false) -> Tensor, Special {
        body: Kernel(
            |c| {
                let (batch, n, w) = ldl_solve_sizes(c)?;
                spec(&batch, &[n, w], c.x(2).dtype())?.one()
            },
            compute_ldl_solve,
        ),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.eye(2), rt.tensor([0, 1]), rt.ones(2, 1)", message: "no pivots" }],
        takes: Takes::COMPLEX,
    }

    /// Householder reflections that make matrices `[..., m, n]` triangular, as LAPACK leaves them: `R` in the upper triangle,
    /// below it the vectors without the 1 that they begin with; and their factors.
    geqrf(input: Tensor) -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(infer_geqrf, compute_geqrf),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2)", message: "at least 2 dimensions" }],
        takes: Takes::COMPLEX,
    }

    /// The first columns, as many as `input` has, of the product of the reflections of `geqrf`, with their factors `tau`.
    linalg_householder_product(input: Tensor, tau: Tensor) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_householder),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(2)", message: "as many rows as columns" }],
        samples: &["r(3, 2), r(2)", "r(2, 3, 3), r(2, 2)"],
    }

    /// The product of the reflections of `geqrf` (`input` and `input2`), with `transpose` its adjoint, and `input3`, which
    /// stands on the right, or on the left if not `left`.
    ormqr(input: Tensor, input2: Tensor, input3: Tensor, left: Bool = true, transpose: Bool = false) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_ormqr),
        refuses: &[Refusal { call: "rt.ones(3, 2), rt.ones(2), rt.ones(2, 2)", message: "do not fit" }],
        samples: &["r(3, 2), r(2), r(3, 2)", "r(3, 2), r(2), r(2, 3), False", "r(3, 2), r(2), r(3, 2), True, True"],
    }

    /// Eigenvalues and eigenvectors (columns of length 1) of square matrices `[..., n, n]`, as complex numbers in no order.
    linalg_eig(input: Tensor) -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(
            |c| {
                let ((batch, n), d) = (square(c.x(0))?, c.x(0).dtype().complex());
                Ok(Specs::from_iter([spec(&batch, &[n], d)?, spec(&batch, &[n, n], d)?]))
            },
            |c, outs| eig_into(c.x(0), &outs[0], Some(&outs[1])),
        ),
        vjp: vjp!(|v| eig_rule(v)), saves: Saves::OUTPUT,
        method: false, function: false,
        refuses: &[Refusal { call: "rt.full((2, 2), rt.nan)", message: "non-finite" }],
        samples: &["m(3) + c([[0.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 9.0]])", "m(2, 2)"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// Eigenvalues of square matrices `[..., n, n]`, as complex numbers in no order.
    linalg_eigvals(input: Tensor) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(
            |c| {
                let (batch, n) = square(c.x(0))?;
                spec(&batch, &[n], c.x(0).dtype().complex())?.one()
            },
            |c, outs| eig_into(c.x(0), &outs[0], None),
        ),
        vjp: vjp!(|v| {
            // The values come in the order of the vectors only if they are computed with them.
            let both = v.x(0).then(|a| Ok(a.linalg_eig()?.swap_remove(1)));
            let inner = v.g().then(|g| g.diag_embed(0, -2, -1));
            back_from_vectors(v, &both, inner)
        }),
        saves: Saves::X, method: false, function: false,
        samples: &["m(3) + c([[0.0, 1.0, 0.0], [0.0, 1.0, 2.0], [1.0, 0.0, 3.0]])"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// The norm `p` (the singular values by default; `ord` may be "fro" or "nuc") of matrices times that of their inverses,
    /// infinity for singular ones.
    linalg_cond(input: Tensor, ord: Str = "", p: OptScalar = None) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_cond),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), 'fro'", message: "square" }],
        samples: &["r(3, 2)", "m(3), None, -2", "m(3), 'fro'", "m(2, 2), None, 1", "m(2), 'nuc'"],
    }

    /// How many singular values (absolute eigenvalues with `hermitian`) of matrices exceed `max(atol, rtol * the largest)`;
    /// the tolerances are one number or one per matrix, `rtol` being `max(m, n)` times the dtype's epsilon unless `atol` is
    /// given and positive.
    linalg_matrix_rank(input: Tensor, atol: OptTensor = None, rtol: OptTensor = None, hermitian: Bool = false) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_matrix_rank),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), hermitian=True", message: "square" }],
        samples: &["r(3, 2)"],
    }

    /// The tensor whose product with `input`, over the first `ind` dimensions of that and the last of this, is the identity.
    linalg_tensorinv(input: Tensor, ind: Int = 2) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_tensorinv),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3, 4)", message: "as many elements" }],
        samples: &["m(4).reshape(2, 2, 4)", "m(4).reshape(4, 2, 2), 1"],
    }

    /// `X` whose product with `input` over all its dimensions is `other`; the dimensions `dims` of `input` are moved to its
    /// end first.
    linalg_tensorsolve(input: Tensor, other: Tensor, dims: OptInts = None) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(eval_tensorsolve),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(2)", message: "square" }],
        samples: &["m(4).reshape(2, 2, 4), r(2, 2)", "m(4).reshape(2, 2, 4), r(4), [0, 1]"],
    }

    /// The powers 0 to `N - 1` (as many as elements by default) of the elements, along a new last dimension.
    linalg_vander(input: Tensor, N: OptInt = None) -> Tensor, Special {
        body: Composite(eval_linalg_vander),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3), 1", message: "greater than 1" }],
        samples: &["z(3)", "z(2, 3), 4"],
    }

    /// The powers `N - 1` to 0 (as many as elements by default) of the elements of a vector, one per column; with `increasing`
    /// from 0 up.
    vander(input: Tensor, N: OptInt = None, increasing: Bool = false) -> Tensor, Special {
        body: Composite(|c| {
            let x = c.x(0);
            if x.ndim() != 1 {
                bail!(Shape, "x must be a one-dimensional tensor, got shape {:?}", x.shape());
            }
            let n = c.opt_int(0).unwrap_or(x.shape()[0] as i64);
            if n < 0 {
                bail!(Value, "N must be non-negative, got {n}");
            }
            let p = powers(c, x, n)?;
            one(if c.bool(1) { p } else { p.flip(&[1])? })
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 2)", message: "one-dimensional" }],
        samples: &["z(3)", "z(3), 2, True"],
    }

    /// The exponential of square matrices `[..., n, n]`: the sum of their powers divided by the factorials.
    matrix_exp(input: Tensor) -> Tensor, Special {
        body: Kernel(
            |c| {
                let x = c.x(0);
                floats(x)?;
                if x.ndim() < 2 || x.shape()[x.ndim() - 2] != x.shape()[x.ndim() - 1] {
                    bail!(Shape, "expected batches of square matrices, got shape {:?}", x.shape());
                }
                Spec::rows(x.shape(), x.dtype())?.one()
            },
            compute_matrix_exp,
        ),
        vjp: vjp!(|v| matrix_exp_rule(v)), saves: Saves::X,
        refuses: &[Refusal { call: "rt.ones(2, 3)", message: "square" }],
        samples: &["r(3, 3)", "m(2, 2)"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// `X` with `A X = input`, from the Cholesky factor `input2` of `A`: lower, or `upper`, triangular.
    cholesky_solve(input: Tensor, input2: Tensor, upper: Bool = false) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| {
            let (b, l, upper) = (c.x(0), c.x(1), c.bool(0));
            matrices(b)?;
            square(l)?;
            let (first, second) = if upper { (adjoint(l)?, l.clone()) } else { (l.clone(), adjoint(l)?) };
            let y = first.linalg_solve_triangular(b, false, true, false)?;
            one(second.linalg_solve_triangular(&y, true, true, false)?)
        }),
        refuses: &[Refusal { call: "rt.ones(2, 1), rt.ones(3, 3)", message: "incompatible shapes" }],
        samples: &["r(3, 2), m(3)", "r(2, 1), m(2, 2), True"],
    }

    /// The inverse of the matrix that has the Cholesky factor `input`: lower, or `upper`, triangular.
    cholesky_inverse(input: Tensor, upper: Bool = false) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| {
            let (_, n) = square(c.x(0))?;
            one(eye(n, n, c.x(0).dtype())?.cholesky_solve(c.x(0), c.bool(0))?)
        }),
        refuses: &[Refusal { call: "rt.ones(2, 3)", message: "square" }],
        samples: &["m(3)", "m(2, 2), True"],
    }

    /// `X` with `A X = input` (`A'` for `A` with `transpose`) for triangular matrices, and a copy of `A`.
    triangular_solve(
        input: Tensor, A: Tensor, upper: Bool = true, transpose: Bool = false, unitriangular: Bool = false
    ) -> Pair, Special {
        cast: Cast::Full,
        body: Composite(|c| {
            let (b, a, upper) = (c.x(0), c.x(1), c.bool(0));
            square(a)?;
            let (batch, _, _) = matrices(b)?;
            let t = if c.bool(1) { a.transpose(-2, -1)? } else { a.clone() };
            let x = t.linalg_solve_triangular(b, upper != c.bool(1), true, c.bool(2))?;
            let last = &a.shape()[a.ndim() - 2..];
            let all = broadcast(&batch, &a.shape()[..a.ndim() - 2])?;
            Ok(Outs::from_iter([x, a.expand(&signed(&with_batch(&all, last)))?.duplicate()?]))
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 1), rt.ones(2, 3)", message: "square" }],
        samples: &["r(3, 2), m(3)", "r(3, 2), m(3), False, True, True"],
    }

    /// About the `q` largest singular values of matrices `[..., m, n]`, and as many vectors, as columns: `U`, `S` and `V`, by
    /// `niter` steps (at most 1000) from random vectors (Halko, Martinsson and Tropp 2011, algorithm 5.1). What `M` holds is taken away first.
    svd_lowrank(A: Tensor, q: Int = 6, niter: Int = 2, M: OptTensor = None) -> Triple, Special {
        body: Composite(|c| {
            let a = c.opt(1).map_or_else(|| Ok(c.x(0).clone()), |m| c.x(0).sub(&m.expand(&signed(c.x(0).shape()))?, 1))?;
            low_rank(&a, c.int(0), c.int(1))
        }),
        method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(3, 3), 4", message: "not greater than min" },
            Refusal { call: "rt.ones(3, 3), 2, 1001", message: "from 0 to 1000" },
        ],
        samples: &["r(4, 3), 3", "m(3), 3, 1, r(3)"],
    }

    /// As `svd_lowrank`, of rows from which with `center` their mean is taken away: `V` holds principal directions. `q` is at
    /// most 6 by default.
    pca_lowrank(A: Tensor, q: OptInt = None, center: Bool = true, niter: Int = 2) -> Triple, Special {
        body: Composite(|c| {
            let a = c.x(0);
            let (_, m, n) = matrices(a)?;
            let q = c.opt_int(0).unwrap_or(m.min(n).min(6) as i64);
            let centred = if c.bool(1) { a.sub(&a.mean(Some(&[-2]), true, None)?, 1)? } else { a.clone() };
            low_rank(&centred, q, c.int(2))
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3, 3), 4", message: "not greater than min" }],
        samples: &["r(4, 2)"],
    }
}
