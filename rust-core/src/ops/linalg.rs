//! Linear algebra beyond products: factorisations, solvers and what follows from them, over batches of matrices in the
//! last two dimensions. Gradients after Giles, *An extended collection of matrix derivative results* (2008), and Walter and
//! Lehmann, *Algorithmic differentiation of linear algebra functions* (2010).
#![allow(non_snake_case, reason = "matrices have PyTorch's names")]

use crate::{bail, err};
use crate::dtype::{DType, Elem, Scalar};
use crate::engine::copy::{contiguous_unlocked, copy_into, written_as};
use crate::engine::matrices::{
    count, each, each_complex, failure, identity, matrices, nothing, numbers, numbers_mut, product, spec, square, wide, with,
    write_identities, Parts,
};
use crate::engine::product::{ONE, ZERO, product_into};
use crate::error::{Error, Result};
use crate::kernels::complex::c as complex;
use crate::kernels::factor;
use crate::kernels::linalg::{Failed, Real, Vectors};
use crate::shape::{Dims, Layout, broadcast, signed};
use crate::table::{Call, Grads, Outs, Refusal, Saves, Spec, Specs, Takes, Vjp, holds, one, Cast};
use crate::table::lang::{Ex, IntoGrads};
use crate::table::rules::{number, prod_of_others};
use crate::tensor::Tensor;
use std::sync::atomic::{AtomicBool, Ordering};

/// Solves `A X = B` for each matrix `A` of `n x n` and `B` of `n x w`, in place; where there is none, that is noted and `B`
/// becomes NaN.
///
/// # Safety
/// Both have matrices of these sizes for each of the batch, and those of `b` are our own.
unsafe fn solve_each<T: Elem + Real>(
    batch: &[usize],
    a: &Parts<T>,
    n: usize,
    b: &Parts<T>,
    w: usize,
    noted: &Noted,
) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    each(batch, count(&[n, n, n + w]), T::solve_work(n, w), &|k, work| {
        // SAFETY: the caller's promise.
        let (a, b) = unsafe { (a.get(k), b.get_mut(k)) };
        T::solve(a, n, b, w, work).or_else(|e| {
            b.fill(T::of(f64::NAN));
            noted.note(k, e)
        })
    })
}

/// Where it is noted that a matrix has no result: in numbers for each of the batch (0, or a place counted from 1), or, without
/// them, as an error.
struct Noted<'a> {
    info: Option<&'a Tensor>,
}

impl<'a> Noted<'a> {
    /// The errors, if `check` says so; else the numbers are noted, which are zeros so far.
    fn of(info: &'a Tensor, check: bool) -> Result<Noted<'a>> {
        copy_into(info, &number(0)?)?;
        Ok(Noted { info: (!check).then_some(info) })
    }
    fn note(&self, k: usize, why: Failed) -> Result<()> {
        let Some(info) = self.info else { return Err(failure(k, why)) };
        let at = match why {
            Failed::Singular(at) => at + 1,
            Failed::NotPositive(order) => order,
            Failed::NotFinite | Failed::NoConvergence => return Err(failure(k, why)),
        };
        // SAFETY: row-major numbers of our own, one for each of the batch, of which this thread writes its own.
        unsafe { *info.ptr::<i32>().add(k) = at as i32 };
        Ok(())
    }
}

/// Failures are errors.
const STRICT: Noted = Noted { info: None };

/// Numbers that say how it went, one for each matrix.
fn info_spec(batch: &[usize]) -> Result<Spec> {
    spec(batch, &[], DType::I32)
}

/// As many matrices as the input has, of the same size.
fn infer_square(c: &Call) -> Result<Specs> {
    let (batch, n) = square(c.x(0))?;
    spec(&batch, &[n, n], c.x(0).dtype())?.one()
}

fn invert(a: &Tensor, out: &Tensor, noted: &Noted) -> Result<()> {
    let (batch, n) = square(a)?;
    if out.dtype().is_complex() {
        let a = wide(a)?;
        return written_as(out, DType::C128, |out| {
            copy_into(out, &identity(n, DType::C128)?)?;
            solve_each_complex(&batch, &a, n, out, n, noted)
        });
    }
    write_identities(out, &batch, n, n);
    with!(out.dtype(), T => {
        solve_each(&batch, &Parts::<T>::of(a, n * n)?, n, &Parts::new(out.clone(), n * n), n, noted)
    })
}

/// As [`solve_each`], for complex128; the matrices are overwritten too.
fn solve_each_complex(batch: &[usize], a: &Tensor, n: usize, b: &Tensor, w: usize, noted: &Noted) -> Result<()> {
    each_complex(batch, b.numel(), |k| {
        // SAFETY: both hold matrices of these sizes for each of the batch.
        let (a, b) = unsafe { (numbers_mut(a, k, n * n), numbers_mut(b, k, n * w)) };
        if let Err(e) = factor::solve(a, n, b, w)? {
            b.fill(complex(f64::NAN, f64::NAN));
            noted.note(k, e)?;
        }
        Ok(Ok(()))
    })
}

/// `N` results of one number for each matrix.
fn infer_numbers<const N: usize>(c: &Call) -> Result<Specs> {
    let (batch, _) = square(c.x(0))?;
    // The logarithm of an absolute value, which comes second, is real.
    let dtype = |i: usize| if i == 1 { c.x(0).dtype().real() } else { c.x(0).dtype() };
    (0..N).map(|i| spec(&batch, &[], dtype(i))).collect()
}

/// Signs, logarithms of the absolute value, and values of the determinants, as far as they are wanted.
fn determinants(t: &Tensor, outs: [Option<&Tensor>; 3]) -> Result<()> {
    let (batch, n) = square(t)?;
    if t.dtype().is_complex() {
        let a = wide(t)?;
        let made = |d: DType| Tensor::empty_of(&batch, d);
        let (sign, log, value) = (made(DType::C128)?, made(DType::F64)?, made(DType::C128)?);
        each_complex(&batch, 1, |k| {
            // SAFETY: a matrix, and one number, for each of the batch.
            unsafe {
                let (s, l, v) = factor::determinant(numbers_mut(&a, k, n * n), n)?;
                (numbers_mut(&sign, k, 1)[0], numbers_mut(&value, k, 1)[0]) = (s, v);
                *log.ptr::<f64>().add(k) = l;
            }
            Ok(Ok(()))
        })?;
        return outs.iter().zip([&sign, &log, &value]).try_for_each(|(out, t)| out.map_or(Ok(()), |out| copy_into(out, t)));
    }
    with!(t.dtype(), T => {
        let outs = outs.map(|out| out.map(|out| Parts::<T>::new(out.clone(), 1)));
        let set = |k: usize, d: [f64; 3]| {
            for (out, d) in outs.iter().zip(d) {
                if let Some(out) = out {
                    out.get_mut(k)[0] = d as T;
                }
            }
        };
        if n == 0 {
            (0..product(&batch)).for_each(|k| set(k, [1.0, 0.0, 1.0]));
            return Ok(());
        }
        let a = Parts::<T>::of(t, n * n)?;
        each(&batch, count(&[n, n, n]), T::solve_work(n, 0), &|k, work| {
            set(k, T::determinant(a.get(k), n, work));
            Ok(())
        })
    })
}

fn compute_cholesky(a: &Tensor, upper: bool, out: &Tensor, noted: &Noted) -> Result<()> {
    let (batch, n) = square(a)?;
    if out.dtype().is_complex() {
        return written_as(out, DType::C128, |out| {
            copy_into(out, a)?;
            each_complex(&batch, out.numel(), |k| {
                // SAFETY: a matrix of this size for each of the batch.
                let a = unsafe { numbers_mut(out, k, n * n) };
                if let Err(e) = factor::cholesky(a, n, upper) {
                    a.fill(complex(f64::NAN, f64::NAN));
                    noted.note(k, e)?;
                }
                Ok(Ok(()))
            })
        });
    }
    copy_into(out, a)?;
    if n == 0 {
        return Ok(());
    }
    with!(out.dtype(), T => {
        let to = Parts::<T>::new(out.clone(), n * n);
        each(&batch, count(&[n, n, n]), T::cholesky_work(n), &|k, work| {
            let a = to.get_mut(k);
            T::cholesky(a, n, upper, work).or_else(|e| {
                a.fill(f64::NAN as T);
                noted.note(k, e)
            })
        })
    })
}

/// How many columns of `Q` are wanted, and whether it is.
fn qr_mode(mode: &str, m: usize, n: usize) -> Result<(usize, bool)> {
    Ok(match mode {
        "reduced" => (m.min(n), true),
        "complete" => (m, true),
        "r" => (m.min(n), false),
        mode => bail!(Value, "mode must be one of reduced, complete or r, got {mode}"),
    })
}

fn infer_qr(c: &Call) -> Result<Specs> {
    let (batch, m, n) = matrices(c.x(0))?;
    let (cols, with_q) = qr_mode(c.str(0), m, n)?;
    let d = c.x(0).dtype();
    let q = if with_q { spec(&batch, &[m, cols], d)? } else { nothing(d)? };
    Ok(Specs::from_iter([q, spec(&batch, &[cols, n], d)?]))
}

fn compute_qr(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (batch, m, n) = matrices(c.x(0))?;
    let (cols, with_q) = qr_mode(c.str(0), m, n)?;
    let (q, r) = (&outs[0], &outs[1]);
    if r.dtype().is_complex() {
        let a = wide(c.x(0))?;
        let (wq, wr) = (Tensor::empty_of(q.shape(), DType::C128)?, Tensor::empty_of(r.shape(), DType::C128)?);
        each_complex(&batch, wq.numel() + wr.numel(), |k| {
            // SAFETY: a matrix of these sizes for each of the batch.
            unsafe {
                let q = with_q.then(|| numbers_mut(&wq, k, m * cols));
                factor::qr(numbers_mut(&a, k, m * n), [m, n], cols, q, numbers_mut(&wr, k, cols * n))?;
            }
            Ok(Ok(()))
        })?;
        copy_into(q, &wq)?;
        return copy_into(r, &wr);
    }
    if m == 0 || n == 0 {
        if with_q {
            write_identities(q, &batch, m, cols);
        }
        return Ok(());
    }
    with!(q.dtype(), T => {
        let a = Parts::<T>::of(c.x(0), m * n)?;
        let (q, r) = (Parts::<T>::new(q.clone(), m * cols), Parts::<T>::new(r.clone(), cols * n));
        each(&batch, count(&[m, n, cols]), T::qr_work([m, n], cols), &|k, work| {
            T::qr(a.get(k), [m, n], cols, with_q.then(|| q.get_mut(k)), r.get_mut(k), work);
            Ok(())
        })
    })
}

/// What [`svd_into`] writes: U, S and Vh.
fn svd_specs(t: &Tensor, vectors: Vectors) -> Result<[Spec; 3]> {
    let (batch, m, n) = matrices(t)?;
    let (k, d) = (m.min(n), t.dtype());
    let (mu, nv) = if vectors == Vectors::Full { (m, n) } else { (k, k) };
    Ok([spec(&batch, &[m, mu], d)?, spec(&batch, &[k], d.real())?, spec(&batch, &[nv, n], d)?])
}

/// U, S and Vh; without vectors S only, and the other two are not touched.
fn svd_into(t: &Tensor, vectors: Vectors, [u, s, vh]: [&Tensor; 3]) -> Result<()> {
    let (batch, m, n) = matrices(t)?;
    let k = m.min(n);
    let (mu, nv) = if vectors == Vectors::Full { (m, n) } else { (k, k) };
    if t.dtype().is_complex() {
        let a = wide(t)?;
        let made = |last: &[usize], d: DType| spec(&batch, last, d)?.tensor();
        let (wu, ws, wv) = (made(&[m, mu], DType::C128)?, made(&[k], DType::F64)?, made(&[nv, n], DType::C128)?);
        each_complex(&batch, wu.numel() + ws.numel() + wv.numel(), |i| {
            // SAFETY: a matrix of these sizes for each of the batch.
            unsafe {
                let s = std::slice::from_raw_parts_mut(ws.ptr::<f64>().add(i * k), k);
                let (u, v) = (numbers_mut(&wu, i, m * mu), numbers_mut(&wv, i, nv * n));
                factor::svd(numbers(&a, i, m * n), [m, n], s, (u, mu), (v, nv))
            }
        })?;
        copy_into(s, &ws)?;
        if vectors != Vectors::No {
            copy_into(u, &wu)?;
            copy_into(vh, &wv)?;
        }
        return Ok(());
    }
    if k == 0 {
        if vectors != Vectors::No {
            write_identities(u, &batch, m, mu);
            write_identities(vh, &batch, nv, n);
        }
        return Ok(());
    }
    let sizes = if vectors == Vectors::No { [0, 0] } else { [m * mu, nv * n] };
    with!(t.dtype(), T => {
        let (a, s) = (Parts::<T>::of(t, m * n)?, Parts::<T>::new(s.clone(), k));
        let (u, vh) = (Parts::<T>::new(u.clone(), sizes[0]), Parts::<T>::new(vh.clone(), sizes[1]));
        each(&batch, count(&[4, m, n, k]), T::svd_work([m, n], vectors), &|i, work| {
            T::svd(a.get(i), [m, n], vectors, u.get_mut(i), s.get_mut(i), vh.get_mut(i), work).map_err(|e| failure(i, e))
        })
    })
}

/// U, S and Vh as new tensors, as many columns and rows of the vectors as there are values.
fn thin_svd(t: &Tensor) -> Result<[Tensor; 3]> {
    let [u, s, vh] = svd_specs(t, Vectors::Thin)?;
    let outs = [u.tensor()?, s.tensor()?, vh.tensor()?];
    svd_into(t, Vectors::Thin, [&outs[0], &outs[1], &outs[2]])?;
    Ok(outs)
}

fn compute_svd(c: &Call, outs: &[Tensor]) -> Result<()> {
    svd_into(c.x(0), full_or_thin(c), [&outs[0], &outs[1], &outs[2]])
}

fn full_or_thin(c: &Call) -> Vectors {
    if c.bool(0) {
        Vectors::Full
    } else {
        Vectors::Thin
    }
}

/// Whether the upper triangle is read.
fn is_upper(uplo: &str) -> Result<bool> {
    Ok(match uplo {
        "L" | "l" => false,
        "U" | "u" => true,
        other => bail!(Value, "expected UPLO argument to be 'L' or 'U', but got {other}"),
    })
}

/// Eigenvalues and eigenvectors.
fn eigh_specs(t: &Tensor) -> Result<[Spec; 2]> {
    let ((batch, n), d) = (square(t)?, t.dtype());
    Ok([spec(&batch, &[n], d.real())?, spec(&batch, &[n, n], d)?])
}

/// Eigenvalues and, if there is a place for them, eigenvectors.
fn eigh_into(t: &Tensor, upper: bool, values: &Tensor, vectors: Option<&Tensor>) -> Result<()> {
    let (batch, n) = square(t)?;
    if n == 0 {
        return Ok(());
    }
    if t.dtype().is_complex() {
        let (a, w, v) = (wide(t)?, Tensor::empty_of(values.shape(), DType::F64)?, Tensor::empty_of(t.shape(), DType::C128)?);
        each_complex(&batch, t.numel(), |k| {
            // SAFETY: a matrix of this size, and as many values, for each of the batch.
            unsafe {
                let w = std::slice::from_raw_parts_mut(w.ptr::<f64>().add(k * n), n);
                factor::eigh(numbers_mut(&a, k, n * n), n, upper, w, numbers_mut(&v, k, n * n))
            }
        })?;
        copy_into(values, &w)?;
        return vectors.map_or(Ok(()), |to| copy_into(to, &v));
    }
    with!(t.dtype(), T => {
        let (a, w) = (Parts::<T>::of(t, n * n)?, Parts::<T>::new(values.clone(), n));
        let v = vectors.map(|v| Parts::<T>::new(v.clone(), n * n));
        each(&batch, count(&[4, n, n, n]), T::eigh_work(n, v.is_some()), &|k, work| {
            T::eigh(a.get(k), n, upper, w.get_mut(k), v.as_ref().map(|v| v.get_mut(k)), work).map_err(|e| failure(k, e))
        })
    })
}

/// Matrices `n x n` and right-hand sides that share the batch dimensions of both; `w` is the number of these.
struct Sides {
    batch: Dims,
    n: usize,
    w: usize,
}

fn sides(a: &Tensor, b: &Tensor, left: bool) -> Result<Sides> {
    let ((batch_a, n), (batch_b, rows, cols)) = (square(a)?, matrices(b)?);
    if a.dtype() != b.dtype() {
        bail!(DType, "expected A and B to have the same dtype, got {} and {}", a.dtype(), b.dtype());
    }
    if n != if left { rows } else { cols } {
        return Err(Error::shapes(
            "",
            format!("incompatible shapes of A and B for the equation: {:?} and {:?}", a.shape(), b.shape()),
            a.shape(),
            b.shape(),
        ));
    }
    Ok(Sides { batch: broadcast(&batch_a, &batch_b)?, n, w: if left { cols } else { rows } })
}

impl Sides {
    /// The solutions lie as the right-hand sides do.
    fn spec(&self, left: bool, dtype: DType) -> Result<Specs> {
        spec(&self.batch, &if left { [self.n, self.w] } else { [self.w, self.n] }, dtype)?.one()
    }
    /// The matrices `a`, row-major, one for each of the batch.
    fn matrices(&self, a: &Tensor) -> Result<Tensor> {
        let shape: Dims = self.batch.iter().copied().chain([self.n, self.n]).collect();
        contiguous_unlocked(&a.with_layout(a.layout().broadcast_to(&shape)?), a.dtype(), false)
    }
}

fn compute_solve(c: &Call, out: &Tensor, noted: &Noted) -> Result<()> {
    let s = sides(c.x(0), c.x(1), true)?;
    let a = s.matrices(c.x(0))?;
    if out.dtype().is_complex() {
        let a = wide(&a)?;
        return written_as(out, DType::C128, |out| {
            copy_into(out, c.x(1))?;
            solve_each_complex(&s.batch, &a, s.n, out, s.w, noted)
        });
    }
    copy_into(out, c.x(1))?;
    with!(out.dtype(), T => {
        let (a, x) = (Parts::<T>::of(&a, s.n * s.n)?, Parts::new(out.clone(), s.n * s.w));
        solve_each(&s.batch, &a, s.n, &x, s.w, noted)
    })
}

/// As [`compute_solve`], noting for each matrix of the first input, which several right-hand sides may share, how it went.
fn compute_solve_ex(c: &Call, outs: &[Tensor]) -> Result<()> {
    let s = sides(c.x(0), c.x(1), true)?;
    let (all, own) = (info_spec(&s.batch)?.tensor()?, outs[1].shape());
    compute_solve(c, &outs[0], &Noted::of(&all, c.bool(0))?)?;
    let lead = s.batch.len() - own.len();
    let shared = |&d: &usize| d < lead || own[d - lead] == 1;
    let dims: Dims = (0..s.batch.len()).filter(shared).collect();
    if all.numel() == 0 || s.w == 0 {
        return copy_into(&outs[1], &number(0)?);
    }
    let first = dims.iter().try_fold(all, |t, &d| t.narrow(d as i64, 0, 1))?;
    copy_into(&outs[1], &first.reshape(&signed(own))?)
}

/// `X` with `A X = B` (`X A = B` if not `left`) as the first result of `solve`, which wants matrices on the right.
fn solve_as(a: &Tensor, b: &Tensor, left: bool, solve: impl Fn(&Tensor, &Tensor) -> Result<Outs>) -> Result<Outs> {
    let turned = |t: &Tensor| t.transpose(-2, -1);
    let (mut outs, back): (_, fn(&Tensor) -> Result<Tensor>) = match (are_vectors(b.shape(), a.shape()), left) {
        (true, true) => (solve(a, &b.unsqueeze(-1)?)?, |x| x.squeeze(Some(&[-1]))),
        (true, false) => bail!(Value, "vector broadcasting of the left hand side is not supported for left=False"),
        (false, true) => return solve(a, b),
        (false, false) if a.ndim() < 2 || b.ndim() < 2 => bail!(Shape, "A and B must have at least 2 dimensions"),
        (false, false) => (solve(&turned(a)?, &turned(b)?)?, |x| x.transpose(-2, -1)),
    };
    outs[0] = back(&outs[0])?;
    Ok(outs)
}

fn compute_solve_triangular(c: &Call, outs: &[Tensor]) -> Result<()> {
    let how = [c.bool(0), c.bool(1), c.bool(2)];
    let (s, out) = (sides(c.x(0), c.x(1), how[1])?, &outs[0]);
    let (a, n, w) = (s.matrices(c.x(0))?, s.n, s.w);
    if out.dtype().is_complex() {
        let a = wide(&a)?;
        return written_as(out, DType::C128, |out| {
            copy_into(out, c.x(1))?;
            each_complex(&s.batch, out.numel(), |k| {
                // SAFETY: matrices of these sizes for each of the batch.
                unsafe { factor::solve_triangular(numbers(&a, k, n * n), n, numbers_mut(out, k, n * w), w, how) };
                Ok(Ok(()))
            })
        });
    }
    copy_into(out, c.x(1))?;
    if n == 0 || w == 0 {
        return Ok(());
    }
    with!(out.dtype(), T => {
        let (a, x) = (Parts::<T>::of(&a, n * n)?, Parts::<T>::new(out.clone(), n * w));
        each(&s.batch, count(&[n, n, w]), T::solve_triangular_work(n, w), &|k, work| {
            T::solve_triangular(a.get(k), n, x.get_mut(k), w, how, work);
            Ok(())
        })
    })
}

/// The layout of one tolerance for each matrix of a batch, with a dimension of size 1 at the end.
fn over_batch(t: &Tensor, batch: &[usize]) -> Result<Layout> {
    let shape: Dims = batch.iter().copied().chain([1]).collect();
    let l = t.layout();
    if t.ndim() == 0 { l.clone() } else { l.unsqueeze(t.ndim()) }.broadcast_to(&shape)
}

fn tolerances(t: Option<&Tensor>, batch: &[usize], otherwise: f64) -> Result<Tensor> {
    let t = match t {
        // A copy has no history.
        Some(t) => contiguous_unlocked(t, DType::F64, true)?,
        None => number(otherwise)?,
    };
    Ok(t.with_layout(over_batch(&t, batch)?))
}

/// As [`matrices`], square ones where they are said to be symmetric.
fn pinv_sizes(c: &Call) -> Result<(Dims, usize, usize)> {
    if c.bool(0) {
        square(c.x(0)).map(|(batch, n)| (batch, n, n))
    } else {
        matrices(c.x(0))
    }
}

fn infer_pinv(c: &Call) -> Result<Specs> {
    let (batch, m, n) = pinv_sizes(c)?;
    for t in [c.opt(1), c.opt(2)].into_iter().flatten() {
        over_batch(t, &batch)?;
    }
    spec(&batch, &[n, m], c.x(0).dtype())?.one()
}

/// `V diag(1 / s) U'`, leaving out singular values of at most `max(atol, rtol * the largest)`.
fn compute_pinv(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, (batch, m, n)) = (c.x(0), pinv_sizes(c)?);
    if m == 0 || n == 0 {
        return Ok(());
    }
    // Who gives an absolute tolerance alone wants no relative one.
    let usual = if c.opt(1).is_some() { 0.0 } else { m.max(n) as f64 * x.dtype().eps() };
    let (atol, rtol) = (tolerances(c.opt(1), &batch, 0.0)?, tolerances(c.opt(2), &batch, usual)?);
    let (ut, s, v) = if c.bool(0) {
        let [s, v] = eigh_specs(x)?;
        let (s, v) = (s.tensor()?, v.tensor()?);
        eigh_into(x, false, &s, Some(&v))?;
        (v.transpose(-2, -1)?.conj()?, s, v)
    } else {
        let [u, s, vh] = thin_svd(x)?;
        (u.transpose(-2, -1)?.conj()?, s, vh.transpose(-2, -1)?.conj()?)
    };
    let size = s.abs()?;
    let limit = size.amax(&[-1], true)?.mul(&rtol)?.maximum(&atol)?;
    let inverse = s.reciprocal()?.masked_fill(&size.le(&limit)?, &number(0.0)?)?;
    product_into(&v.mul(&inverse.unsqueeze(-2)?)?, &ut, &outs[0], ONE, ZERO)
}

// ---- rules ----

impl Ex {
    /// Zeros above the diagonal.
    fn tril(&self, diagonal: i64) -> Ex {
        self.then(|t| t.tril(diagonal))
    }
    /// A vector as a diagonal matrix.
    fn diag_embed(&self) -> Ex {
        self.then(|t| t.diag_embed(0, -2, -1))
    }
    /// `X` of `self X = b`.
    fn solve(&self, b: impl Into<Ex>) -> Ex {
        self.with(b, |a, b| a.solve_matrices(b))
    }
    /// `X` of `self X = b` (or `X self = b`) for a triangular matrix.
    fn solve_triangular(&self, b: impl Into<Ex>, upper: bool, left: bool) -> Ex {
        self.with(b, |a, b| a.linalg_solve_triangular(b, upper, left, false))
    }
    /// `self - self'`
    fn skew(&self) -> Ex {
        self - self.mh()
    }
}

/// The results of an op on `x`.
fn factors<const N: usize>(x: Ex, f: impl FnOnce(&Tensor) -> Result<Outs>) -> [Ex; N] {
    match x.tensor().and_then(|x| f(&x)) {
        Ok(outs) => std::array::from_fn(|i| match outs.get(i) {
            Some(out) => Ex::T(out.clone()),
            None => Ex::Err(err!(Panic, "a factor is missing")),
        }),
        Err(e) => std::array::from_fn(|_| Ex::Err(e.clone())),
    }
}

/// `inverse(A)' * g`, g being one number per matrix.
fn inverse_times(a: Ex, g: Ex) -> Ex {
    a.then(|a| a.inverse()).mt() * g.unsqueeze(-1).unsqueeze(-1)
}

/// `det * inverse(A)'`; for a singular matrix the adjugate, by way of its singular values.
fn det_rule(v: &Vjp) -> Ex {
    let g = v.g() * v.y();
    let singular = match v.y().tensor().and_then(|y| holds(&y.eq(&number(0.0)?)?.any(None, false)?)) {
        Ok(s) => s,
        Err(e) => return Ex::Err(e),
    };
    if !singular {
        return inverse_times(v.x(0), g);
    }
    let [u, s, vh] = factors(v.x(0), |a| Tensor::linalg_svd(a, false));
    let others = s.then(|s| prod_of_others(s, Some(-1)));
    let sign = u.matmul(&vh).then(|t| t.det()).unsqueeze(-1).unsqueeze(-1);
    v.g().unsqueeze(-1).unsqueeze(-1) * sign * (u.conj() * others.unsqueeze(-2)).matmul(vh.conj())
}

/// `S = L^-T phi(L' G) L^-1`, made symmetric; phi takes the lower triangle with half of the diagonal.
fn cholesky_rule(v: &Vjp) -> Ex {
    let upper = v.bool(0);
    let (l, g) = if upper { (v.y().mh(), v.g().mh()) } else { (v.y(), v.g()) };
    let p = l.mh().matmul(g.tril(0));
    if v.dtype(0).is_complex() {
        // As PyTorch: the diagonal counts as if it could have imaginary parts.
        let phi = (p.tril(0) + p.tril(-1).mh()) * 0.5;
        let s = l.mh().solve_triangular(phi, true, true);
        return l.solve_triangular(s, false, false);
    }
    let phi = (p.tril(0) + p.tril(-1)) * 0.5;
    let s = l.mh().solve_triangular(phi, true, true);
    let s = l.solve_triangular(s, false, false);
    (&s + s.mh()) * 0.5
}

fn solve_rule(v: &Vjp) -> [Ex; 2] {
    let gb = v.x(0).mt().solve(v.g());
    [v.want(0, || -gb.matmul(v.y().mt())), gb]
}

fn qr_rule(v: &Vjp) -> Result<Grads> {
    use IntoGrads;
    let (m, n) = (v.shape(0)[v.shape(0).len() - 2], v.shape(0)[v.shape(0).len() - 1]);
    if v.str(0) == "r" || (v.str(0) == "complete" && m > n) {
        bail!(
            Autograd,
            "the derivative of linalg.qr is not implemented when mode='{}' with {m} by {n} matrices",
            v.str(0)
        );
    }
    let (q, r) = (v.yk(0), v.yk(1));
    let (gq, gr) = (v.gk(0), v.gk(1));
    // With more columns than rows, A = Q [U V]: the columns of V depend on Q and V only.
    let narrow = |e: &Ex, start: usize, length: usize| e.then(|t| t.narrow(-1, start as i64, length as i64));
    let tall = |gq: Ex, r: &Ex, gr: &Ex| {
        let m = r.matmul(gr.mh()) - gq.mh().matmul(&q);
        let s = m.tril(0) + m.tril(-1).mh();
        // The diagonal is real.
        let s = (&s + s.mh()) * 0.5;
        r.solve_triangular((gq + q.matmul(s)).mh(), true, true).mh()
    };
    // X R' = B is R X' = B'.
    if m >= n {
        return tall(gq, &r, &gr).grads();
    }
    let (u, gu, gv) = (narrow(&r, 0, m), narrow(&gr, 0, m), narrow(&gr, m, n - m));
    let y = v.x(0).then(|a| a.narrow(-1, m as i64, (n - m) as i64));
    let ga = tall(gq + y.matmul(gv.mh()), &u, &gu);
    let gy = q.matmul(gv);
    ga.with(gy, |a, b| Tensor::cat(&[a.clone(), b.clone()], -1)).grads()
}

/// `1 / (x[j] - x[i])` off the diagonal, 0 on it.
fn gaps(x: &Ex) -> Ex {
    let d = x.unsqueeze(-2) - x.unsqueeze(-1);
    let one = x.then(|x| Tensor::filled(x.shape(), Scalar::Int(1), x.dtype())?.diag_embed(0, -2, -1));
    let d = d + &one;
    (1.0 / d) - one
}

/// A diagonal matrix of real numbers, in the dtype of the matrices.
fn on_diagonal(v: &Vjp, e: Ex) -> Ex {
    e.diag_embed().then(|t| t.to_dtype(v.dtype(0)))
}

fn svd_rule(v: &Vjp) -> Result<Grads> {
    use IntoGrads;
    let (m, n) = (v.shape(0)[v.shape(0).len() - 2], v.shape(0)[v.shape(0).len() - 1]);
    // What completes full matrices is arbitrary, as in PyTorch: its gradients are left out.
    let narrow = |e: Ex, dim: i64| e.then(|t| t.narrow(dim, 0, m.min(n) as i64));
    let (u, s, vt) = (narrow(v.yk(0), -1), v.yk(1), narrow(v.yk(2), -2));
    let mut inner = if v.has(1) { on_diagonal(v, v.gk(1)) } else { Ex::None };
    let mut outer = Ex::None;
    let (column, row) = (s.unsqueeze(-1), s.unsqueeze(-2));
    if v.has(0) || v.has(2) {
        let gaps = gaps(&(&s * &s));
        if v.has(0) {
            let gu = narrow(v.gk(0), -1);
            let w = u.mh().matmul(&gu);
            inner = inner + w.skew() * &gaps * &row;
            if v.dtype(0).is_complex() && v.has(2) {
                // Both vectors may turn by one phase.
                let turns = w.skew().then(|w| w.diagonal(0, -2, -1));
                inner = inner + (turns / (&s * 2.0)).diag_embed();
            }
            if m > n {
                let scaled = gu / &row;
                outer = outer + (&scaled - u.matmul(u.mh().matmul(&scaled))).matmul(&vt);
            }
        }
        if v.has(2) {
            let gv = narrow(v.gk(2), -2);
            let w = vt.matmul(gv.mh());
            inner = inner + &column * (w.skew() * &gaps);
            if n > m {
                let scaled = gv / &column;
                outer = outer + u.matmul(&scaled - scaled.matmul(vt.mh()).matmul(&vt));
            }
        }
    }
    (u.matmul(inner).matmul(vt) + outer).grads()
}

fn eigh_rule(v: &Vjp) -> Ex {
    let (values, vectors) = (v.yk(0), v.yk(1));
    let mut inner = if v.has(0) { on_diagonal(v, v.gk(0)) } else { Ex::None };
    if v.has(1) {
        inner = inner + vectors.mh().matmul(v.gk(1)) * gaps(&values);
    }
    let g = vectors.matmul(inner).matmul(vectors.mh());
    (&g + g.mh()) * 0.5
}

/// What the gradient `g` of the pseudoinverse `p` of `a` (`[.., m, n]`) makes of `a`.
fn pinv_rule(a: Ex, p: Ex, g: Ex, [m, n]: [usize; 2]) -> Ex {
    let (pt, gt) = (p.mh(), g.mh());
    if m <= n {
        let k = gt.matmul(&p);
        let kp = k.matmul(&pt);
        -p.matmul(&k).mh() + &kp - a.matmul(&p).matmul(&kp) + pt.matmul(&p).matmul(gt - k.matmul(a))
    } else {
        let k = p.matmul(&gt);
        let pk = pt.matmul(&k);
        -k.matmul(&p).mh() + (gt - a.matmul(&k)).matmul(&p).matmul(&pt) + &pk - pk.matmul(&p).matmul(a)
    }
}

/// Rows and columns of matrices.
fn last_two(shape: &[usize]) -> [usize; 2] {
    let nd = shape.len();
    [shape[nd - 2], shape[nd - 1]]
}

/// True if right-hand sides of this shape are vectors, for matrices of the shape `a`.
fn are_vectors(b: &[usize], a: &[usize]) -> bool {
    b.len() == 1 || (b.len() + 1 == a.len() && *b == a[..b.len()])
}

/// Matrices `m x n` of a batch with `w` right-hand sides each, or one without a dimension of its own.
struct LeastSquares {
    batch: Dims,
    m: usize,
    n: usize,
    w: usize,
    vector: bool,
}

fn least_squares(c: &Call) -> Result<LeastSquares> {
    let (a, b) = (c.x(0), c.x(1));
    let (batch, m, n) = matrices(a)?;
    let d = a.dtype();
    if b.dtype() != d {
        bail!(DType, "expected A and B to have the same dtype, but got {d} and {}", b.dtype());
    }
    let vector = are_vectors(b.shape(), a.shape());
    let mut sides = b.dims();
    if vector {
        sides.push(1);
    }
    let [lead @ .., rows, w] = sides.as_slice() else { return Err(other_rows(a, b)) };
    if *rows != m {
        return Err(other_rows(a, b));
    }
    if lead != batch.as_slice() {
        bail!(Shape, "A {:?} and B {:?} must have the same batch dimensions", a.shape(), b.shape());
    }
    Ok(LeastSquares { m, n, w: *w, vector, batch })
}

#[cold]
fn other_rows(a: &Tensor, b: &Tensor) -> Error {
    err!(Shape, "A {:?} and B {:?} must have the same number of rows", a.shape(), b.shape())
}

fn infer_lstsq(c: &Call) -> Result<Specs> {
    let LeastSquares { batch, n, w, vector, .. } = least_squares(c)?;
    let last = [n, w];
    let x = spec(&batch, if vector { &last[..1] } else { &last }, c.x(0).dtype())?;
    Ok(Specs::from_iter([x, Spec::rows(&batch, DType::I64)?]))
}

/// The least-squares solution and the ranks: by QR where that finds full rank, else by the singular values.
fn compute_lstsq(c: &Call, outs: &[Tensor]) -> Result<()> {
    let LeastSquares { batch, m, n, w, vector } = least_squares(c)?;
    let (a, d) = (c.x(0), c.x(0).dtype());
    let matrix = |t: &Tensor| if vector { t.with_layout(t.layout().unsqueeze(t.ndim())) } else { t.clone() };
    // A copy, as the inputs are locked.
    let b = matrix(&contiguous_unlocked(c.x(1), d, true)?);
    let (x, rank) = (matrix(&outs[0]), &outs[1]);
    let rcond = c.opt_float(0).unwrap_or(m.max(n) as f64 * d.eps());
    let full = AtomicBool::new(m > 0 && n > 0 && w > 0 && !d.is_complex());
    if full.load(Ordering::Relaxed) {
        with!(d, T => {
            let (a, b) = (Parts::<T>::of(a, m * n)?, Parts::<T>::of(&b, m * w)?);
            let to = Parts::<T>::new(x.clone(), n * w);
            each(&batch, count(&[m, n, m.min(n) + w]), T::least_squares_work([m, n], w), &|k, work| {
                if full.load(Ordering::Relaxed) {
                    let condition = T::least_squares(a.get(k), [m, n], b.get(k), w, to.get_mut(k), work);
                    // Far enough from where rounding could decide; NaN never is.
                    let sure = condition < 0.4 / rcond;
                    if !sure {
                        full.store(false, Ordering::Relaxed);
                    }
                }
                Ok(())
            })?;
        });
    }
    if full.into_inner() {
        return copy_into(rank, &Tensor::number(Scalar::Int(m.min(n) as i64))?);
    }
    let [u, s, vh] = thin_svd(a)?;
    let least = if m.min(n) > 0 { s.narrow(-1, 0, 1)?.mul(&number(rcond)?)? } else { s.clone() };
    let inverse = s.reciprocal()?.masked_fill(&s.le(&least)?, &number(0.0)?)?;
    let parts = u.transpose(-2, -1)?.conj()?.matmul(&b)?.mul(&inverse.unsqueeze(-1)?)?;
    product_into(&vh.transpose(-2, -1)?.conj()?, &parts, &x, ONE, ZERO)?;
    copy_into(rank, &s.gt(&least)?.sum(Some(&[-1]), false, None)?)
}

/// The solution is the pseudoinverse times `B`.
fn lstsq_rule(v: &Vjp) -> [Ex; 2] {
    let vector = are_vectors(v.shape(1), v.shape(0));
    let matrix = |e: Ex| if vector { e.unsqueeze(-1) } else { e };
    let rcond = v.opt_float(0);
    let p = v.x(0).then(|a| {
        let rtol = rcond.map(number).transpose()?;
        a.linalg_pinv(None, rtol.as_ref(), false)
    });
    let g = matrix(v.gk(0));
    let ga = v.want(0, || pinv_rule(v.x(0), p.clone(), g.matmul(matrix(v.x(1)).mh()), last_two(v.shape(0))));
    let gb = v.want(1, || p.mh().matmul(&g));
    [ga, if vector { gb.then(|t| t.squeeze(Some(&[-1]))) } else { gb }]
}

fn eval_matrix_power(c: &Call) -> Result<Outs> {
    let (_, n) = square(c.x(0))?;
    let mut base = if c.int(0) < 0 { c.x(0).inverse()? } else { c.x(0).clone() };
    let mut power = c.int(0).unsigned_abs();
    let mut out: Option<Tensor> = None;
    while power > 0 {
        if power & 1 == 1 {
            out = Some(match out {
                Some(o) => o.matmul(&base)?,
                None => base.clone(),
            });
        }
        power >>= 1;
        if power > 0 {
            base = base.matmul(&base)?;
        }
    }
    match out {
        Some(o) if o.is_same(c.x(0)) => one(o.duplicate()?),
        Some(o) => one(o),
        None => {
            // An overwritten copy: the identity with the input's history, and no gradient.
            let power = c.x(0).duplicate()?;
            let e = spec(&[], &[n, n], power.dtype())?;
            let e = if c.meta { e.meta()? } else { e.tensor()? };
            if !c.meta {
                copy_into(&e, &identity(n, e.dtype())?)?;
            }
            one(power.copy_(&e)?)
        }
    }
}

ops! {
    /// Inverses of square matrices `[..., n, n]`.
    inverse(input: Tensor) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(infer_square, |c, outs| invert(c.x(0), &outs[0], &STRICT)),
        vjp: vjp!(|v| -v.y().mt().matmul(v.g()).matmul(v.y().mt())), saves: Saves::OUTPUT,
        refuses: &[Refusal { call: "rt.ones(2, 2)", message: "singular" }],
        samples: &["m(3)", "m(2, 2)"],
        takes: Takes::COMPLEX,
    }

    /// Inverses of square matrices `[..., n, n]`, and for each one 0, or the place, from 1, of a pivot that is zero: then the
    /// inverse is NaN, or, with `check_errors`, an error.
    linalg_inv_ex(A: Tensor, check_errors: Bool = false) -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(
            |c| {
                let (batch, n) = square(c.x(0))?;
                Ok(Specs::from_iter([spec(&batch, &[n, n], c.x(0).dtype())?, info_spec(&batch)?]))
            },
            |c, outs| invert(c.x(0), &outs[0], &Noted::of(&outs[1], c.bool(0))?),
        ),
        vjp: vjp!(|v| -v.y().mt().matmul(v.g()).matmul(v.y().mt())), saves: Saves::OUTPUT,
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 2), True", message: "singular" }],
        samples: &["m(3)", "m(2, 2), True"],
        takes: Takes::COMPLEX,
    }

    /// Determinants of square matrices `[..., n, n]`.
    det(input: Tensor) -> Tensor, Special {
        body: Kernel(infer_numbers::<1>, |c, outs| determinants(c.x(0), [None, None, Some(&outs[0])])),
        vjp: vjp!(|v| det_rule(v)), saves: Saves::X.and(Saves::OUTPUT),
        onnx: Some("Det"),
        refuses: &[Refusal { call: "rt.ones(2, 3)", message: "square" }],
        samples: &["m(3)", "m(2, 2)", "tied([[1.0, 2.0], [2.0, 4.0]])"],
        takes: Takes::COMPLEX,
    }

    /// Signs of the determinants of square matrices `[..., n, n]`, and logarithms of their absolute values.
    slogdet(input: Tensor) -> Pair, Special {
        body: Kernel(infer_numbers::<2>, |c, outs| determinants(c.x(0), [Some(&outs[0]), Some(&outs[1]), None])),
        vjp: vjp!(|v| {
            if !v.dtype(0).is_complex() {
                return (if v.has(1) { inverse_times(v.x(0), v.gk(1)) } else { Ex::None }).grads();
            }
            // The sign may turn, but not grow.
            let turn = v.gk(0).conj().with(v.yk(0), |g, s| g.mul(s)?.imag()?.mul(&Tensor::number(Scalar::Complex(0.0, 1.0))?));
            inverse_times(v.x(0).conj(), v.gk(1) - turn).grads()
        }),
        saves: Saves::X.and(Saves::OUTPUT), conjugates: true,
        samples: &["m(3)", "-m(2, 3)"],
        takes: Takes::COMPLEX,
    }

    /// Logarithms of the determinants of square matrices; NaN where one is negative.
    logdet(input: Tensor) -> Tensor, Special {
        body: Composite(|c| {
            let parts = c.x(0).slogdet()?;
            if c.x(0).dtype().is_complex() {
                return one(parts[0].log()?.add(&parts[1], 1)?);
            }
            let negative = parts[0].lt(&number(0.0)?)?;
            one(parts[1].masked_fill(&negative, &number(f64::NAN)?)?)
        }),

        samples: &["m(3)"],
    }

    /// The matrix `input` multiplied `n` times by itself; its inverse if `n` is negative.
    matrix_power(input: Tensor, n: Int) -> Tensor, Special {
        body: Composite(eval_matrix_power),

        samples: &["m(3), 3", "m(2), -2", "m(2), 0", "m(2), 1"],
    }

    /// Cholesky factors `L` with `input = L L'` of symmetric positive-definite matrices `[..., n, n]`; `L'` if `upper`.
    cholesky(input: Tensor, upper: Bool = false) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(infer_square, |c, outs| compute_cholesky(c.x(0), c.bool(0), &outs[0], &STRICT)),
        vjp: vjp!(|v| cholesky_rule(v)), saves: Saves::OUTPUT,
        refuses: &[Refusal { call: "-rt.eye(2)", message: "positive-definite" }],
        samples: &["spd(m(3))", "spd(m(2, 2)), True"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// As `cholesky`, and for each matrix 0, or the order of the leading minor that is not positive: then the factor is NaN,
    /// or, with `check_errors`, an error.
    linalg_cholesky_ex(input: Tensor, upper: Bool = false, check_errors: Bool = false) -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(
            |c| {
                let (batch, n) = square(c.x(0))?;
                Ok(Specs::from_iter([spec(&batch, &[n, n], c.x(0).dtype())?, info_spec(&batch)?]))
            },
            |c, outs| compute_cholesky(c.x(0), c.bool(0), &outs[0], &Noted::of(&outs[1], c.bool(1))?),
        ),
        vjp: vjp!(|v| cholesky_rule(v)), saves: Saves::OUTPUT,
        method: false, function: false,
        refuses: &[Refusal { call: "-rt.eye(2), False, True", message: "positive-definite" }],
        samples: &["spd(m(3))", "spd(m(2, 2)), True"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// QR factors of matrices `[..., m, n]` by Householder reflections. `mode` is "reduced", "complete" or "r" (no `Q`).
    linalg_qr(A: Tensor, mode: Str = "reduced") -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(infer_qr, compute_qr),
        vjp: vjp!(|v| qr_rule(v)), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
        samples: &["r(3, 2)", "r(2, 3)", "r(3, 3), 'complete'", "r(2, 3, 2)"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// Singular value decomposition `U diag(S) Vh` of matrices `[..., m, n]`; square `U` and `Vh` if `full_matrices`.
    linalg_svd(A: Tensor, full_matrices: Bool = true) -> Triple, Special {
        cast: Cast::Full,
        body: Kernel(|c| svd_specs(c.x(0), full_or_thin(c)).map(Specs::from_iter), compute_svd),
        vjp: vjp!(|v| svd_rule(v)), saves: Saves::OUTPUT,
        method: false, function: false,
        samples: &["r(3, 2), False", "r(2, 3), False", "r(3, 3)", "r(2, 3, 2), False"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// PyTorch's older form of `linalg_svd`: `U`, the singular values and `V` (not its adjoint), thin if `some`. Without
    /// `compute_uv` `U` and `V` are square and zero.
    svd(input: Tensor, some: Bool = true, compute_uv: Bool = true) -> Triple, Special {
        cast: Cast::Full,
        body: Composite(|c| {
            let (a, some, vectors) = (c.x(0), c.bool(0), c.bool(1));
            if vectors {
                let f = Tensor::linalg_svd(a, !some)?;
                return Ok(Outs::from_iter([f[0].clone(), f[1].clone(), f[2].transpose(-2, -1)?.conj()?]));
            }
            let (batch, m, n) = matrices(a)?;
            let zeros = |k: usize| {
                let shape: Dims = batch.iter().copied().chain([k, k]).collect();
                if c.meta { Spec::rows(&shape, a.dtype())?.meta() } else { Tensor::filled(&shape, Scalar::Int(0), a.dtype()) }
            };
            Ok(Outs::from_iter([zeros(m)?, Tensor::linalg_svdvals(a)?, zeros(n)?]))
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2)", message: "at least 2 dimensions" }],
        samples: &["r(3, 2)", "m(3), False", "r(2, 3), True, False"],
    }

    /// Sums of the products of the conjugates of `x` with `y` along `dim`; the other dimensions broadcast.
    linalg_vecdot(x: Tensor, y: Tensor, dim: Int = -1) -> Tensor, Special {
        body: Composite(|c| {
            let (x, y) = (c.x(0), c.x(1));
            if x.dtype() != y.dtype() || !x.dtype().is_differentiable() {
                bail!(DType, "expected two floating point tensors of one dtype, got {} and {}", x.dtype(), y.dtype());
            }
            one(x.conj()?.mul(y)?.sum(Some(&[c.int(0)]), false, None)?)
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(2, dtype=rt.float64)", message: "of one dtype" }],
        samples: &["r(2, 3), r(3)", "r(2, 3), r(2, 3), 0"],
    }

    /// Singular values (falling) of matrices `[..., m, n]`.
    linalg_svdvals(A: Tensor) -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(
            |c| {
                let (batch, m, n) = matrices(c.x(0))?;
                spec(&batch, &[m.min(n)], c.x(0).dtype().real())?.one()
            },
            |c, outs| svd_into(c.x(0), Vectors::No, [&outs[0]; 3]),
        ),
        vjp: vjp!(|v| {
            let [u, _, vh] = factors(v.x(0), |a| Tensor::linalg_svd(a, false));
            (u * v.g().unsqueeze(-2)).matmul(vh)
        }),
        saves: Saves::X, method: false, function: false,
        samples: &["r(3, 2)", "r(2, 2, 3)"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// Eigenvalues (rising) of symmetric matrices `[..., n, n]`, of which the triangle `UPLO` is read.
    linalg_eigvalsh(input: Tensor, UPLO: Str = "L") -> Tensor, Special {
        cast: Cast::Full,
        body: Kernel(
            |c| {
                let (batch, n) = square(c.x(0))?;
                is_upper(c.str(0))?;
                spec(&batch, &[n], c.x(0).dtype().real())?.one()
            },
            |c, outs| eigh_into(c.x(0), is_upper(c.str(0))?, &outs[0], None),
        ),
        vjp: vjp!(|v| {
            let [_, q] = factors(v.x(0), |a| a.linalg_eigh(v.str(0)));
            (&q * v.g().unsqueeze(-2)).matmul(q.mh())
        }),
        saves: Saves::X, method: false, function: false,
        samples: &["sym(r(3, 3))", "sym(r(2, 3, 3)), 'U'"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// Eigenvalues (rising) and eigenvectors (columns) of symmetric matrices `[..., n, n]`, of which the triangle `UPLO` is read.
    linalg_eigh(input: Tensor, UPLO: Str = "L") -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(
            |c| {
                let specs = eigh_specs(c.x(0))?;
                is_upper(c.str(0))?;
                Ok(Specs::from_iter(specs))
            },
            |c, outs| eigh_into(c.x(0), is_upper(c.str(0))?, &outs[0], Some(&outs[1])),
        ),
        vjp: vjp!(|v| eigh_rule(v)), saves: Saves::OUTPUT,
        method: false, function: false,
        samples: &["sym(r(3, 3))", "sym(r(2, 3, 3)), 'U'"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// `X` with `input X = B` (`X input = B` if not `left`), for square matrices `[..., n, n]`; `B` is a batch of matrices, or of
    /// vectors if it has the shape of `input` without the last dimension (or one dimension).
    linalg_solve(input: Tensor, B: Tensor, left: Bool = true) -> Tensor, Special {
        cast: Cast::Full,
        body: Composite(|c| solve_as(c.x(0), c.x(1), c.bool(0), |a, b| one(a.solve_matrices(b)?))),
        method: false, function: false,
        samples: &["m(3), r(3, 2)", "m(3), r(3)", "m(3), r(2, 3), left=False", "m(2, 2), r(2, 1)"],
    }

    /// `X` with `input X = B`, for square matrices `[..., n, n]` and right-hand sides `[..., n, k]`.
    solve_matrices(input: Tensor, B: Tensor) -> Tensor, Special {
        body: Kernel(
            |c| sides(c.x(0), c.x(1), true)?.spec(true, c.x(1).dtype()),
            |c, outs| compute_solve(c, &outs[0], &STRICT),
        ),
        vjp: vjp!(|v| solve_rule(v)),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
        samples: &["m(3), r(3, 2)", "m(2, 2), r(2, 1)"],
        takes: Takes::COMPLEX,
    }

    /// As `linalg_solve`, and for each matrix 0, or the place, from 1, of a pivot that is zero: then the solution is NaN, or,
    /// with `check_errors`, an error.
    linalg_solve_ex(input: Tensor, B: Tensor, left: Bool = true, check_errors: Bool = false) -> Pair, Special {
        body: Composite(|c| solve_as(c.x(0), c.x(1), c.bool(0), |a, b| a.solve_matrices_ex(b, c.bool(1)))),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 2), rt.ones(2, 2), True, True", message: "singular" }],
        samples: &["m(3), r(3, 2)", "m(3), r(3)", "m(3), r(2, 3), left=False", "m(2, 2), r(2, 1)"],
    }

    /// As `solve_matrices`, and how it went for each matrix of `input`: 0, or the place, from 1, of a pivot that is zero.
    solve_matrices_ex(input: Tensor, B: Tensor, check_errors: Bool = false) -> Pair, Special {
        body: Kernel(
            |c| {
                let mut specs = sides(c.x(0), c.x(1), true)?.spec(true, c.x(1).dtype())?;
                specs.push(info_spec(&square(c.x(0))?.0)?);
                Ok(specs)
            },
            compute_solve_ex,
        ),
        vjp: vjp!(|v| solve_rule(v)),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
        samples: &["m(3), r(3, 2)", "m(2, 2), r(2, 1)"],
        takes: Takes::COMPLEX,
    }

    /// `X` with `input X = B` (`X input = B` if not `left`) for triangular matrices `[..., n, n]`.
    linalg_solve_triangular(input: Tensor, B: Tensor, upper: Bool, left: Bool = true, unitriangular: Bool = false) -> Tensor, Special {
        body: Kernel(|c| sides(c.x(0), c.x(1), c.bool(1))?.spec(c.bool(1), c.x(1).dtype()), compute_solve_triangular),
        vjp: vjp!(|v| {
            let (upper, left, unit) = (v.bool(0), v.bool(1), v.bool(2));
            let gb = v.x(0).mt().with(v.g(), |a, g| a.linalg_solve_triangular(g, !upper, left, unit));
            let ga = v.want(0, || {
                let g = -if left { gb.matmul(v.y().mt()) } else { v.y().mt().matmul(&gb) };
                let k = i64::from(unit);
                if upper { g.then(|g| g.triu(k)) } else { g.tril(-k) }
            });
            [ga, gb]
        }),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
        samples: &[
            "m(3), r(3, 2), True", "m(3), r(3, 2), False", "m(3), r(2, 3), True, False", "m(3), r(3, 1), False, True, True",
            "m(3), r(1, 3), True, False, True", "m(2, 2), r(2, 1), True",
        ],
        takes: Takes::COMPLEX,
    }

    /// Pseudoinverses of matrices `[..., m, n]`. Singular values of at most `max(atol, rtol * the largest)` count as zero; the
    /// tolerances are one number or one per matrix, `rtol` being `max(m, n)` times the dtype's epsilon if neither is given.
    /// Of `hermitian` matrices the lower triangle is read.
    linalg_pinv(input: Tensor, atol: OptTensor = None, rtol: OptTensor = None, hermitian: Bool = false) -> Tensor, Special {
        body: Kernel(infer_pinv, compute_pinv),
        vjp: vjp!(|v| [pinv_rule(v.x(0), v.y(), v.g(), last_two(v.shape(0))), Ex::None, Ex::None]),
        saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), hermitian=True", message: "square" }],
        samples: &["r(3, 2)", "r(2, 3)", "m(3)", "spd(m(3)), hermitian=True"],
        takes: Takes::COMPLEX, conjugates: true,
    }

    /// `X` of smallest norm that minimises `|input X - B|`, and the ranks of the matrices `input`: how many singular values
    /// exceed `rcond` times the largest, by default `max(m, n)` times the dtype's epsilon.
    linalg_lstsq(input: Tensor, B: Tensor, rcond: OptFloat = None) -> Pair, Special {
        cast: Cast::Full,
        body: Kernel(infer_lstsq, compute_lstsq),
        vjp: vjp!(|v| lstsq_rule(v)), saves: Saves::XB,
        method: false, function: false,
        samples: &["r(4, 2), r(4, 3)", "r(2, 3), r(2)"],
        takes: Takes::COMPLEX, conjugates: true,
    }
}
