//! Linear algebra beyond products: factorisations, solvers and what follows from them, over batches of matrices in the
//! last two dimensions. Gradients after Giles, *An extended collection of matrix derivative results* (2008), and Walter and
//! Lehmann, *Algorithmic differentiation of linear algebra functions* (2010).
#![allow(non_snake_case, reason = "matrices have PyTorch's names")]

use super::lang::Ex;
use super::shape::contiguous_unlocked;
use super::{one, Call, Class, Outs, Refusal, Saves};
use crate::autograd::Vjp;
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::kernels::linalg;
use crate::memory::List;
use crate::shape::{broadcast, Dims};
use crate::tensor::Tensor;
use crate::{bail, err};

/// Leading dimensions, rows and columns of a batch of matrices of floats.
fn matrices(t: &Tensor) -> Result<(Dims, usize, usize)> {
    if t.ndim() < 2 {
        bail!(Shape, "the input tensor must have at least 2 dimensions, got shape {:?}", t.shape());
    }
    if !t.dtype().is_float() || t.dtype().compute_dtype() != t.dtype() {
        bail!(DType, "expected float32 or float64, got {}", t.dtype());
    }
    let lead = t.ndim() - 2;
    Ok((Dims::from_slice(&t.shape()[..lead]), t.shape()[lead], t.shape()[lead + 1]))
}

/// As [`matrices`], which must be square.
fn square(t: &Tensor) -> Result<(Dims, usize)> {
    let (batch, m, n) = matrices(t)?;
    if m != n {
        bail!(Shape, "must be batches of square matrices, but they are {m} by {n} matrices");
    }
    Ok((batch, n))
}

/// The elements in f64, row-major.
fn read(t: &Tensor) -> Result<List<f64>> {
    t.to_vec_unlocked::<f64>()
}

/// A result of `dtype` with shape `batch` + `last`.
fn result(batch: &[usize], last: &[usize], dtype: DType, data: &[f64]) -> Result<Tensor> {
    let shape: Dims = batch.iter().chain(last).copied().collect();
    contiguous_unlocked(&Tensor::from_slice(data, &shape)?, dtype, false)
}

/// The matrices of a batch, one slice each; `size` may be 0.
fn each(data: &[f64], size: usize) -> impl Iterator<Item = &[f64]> {
    data.chunks_exact(size.max(1))
}

fn product(batch: &[usize]) -> usize {
    batch.iter().product()
}

/// Elements of a batch of `m x n` matrices, at most as many as can be counted: more than there is memory for.
fn room(batch: &[usize], m: usize, n: usize) -> usize {
    product(batch).saturating_mul(m.saturating_mul(n))
}

/// Ones on the diagonal of an `m x n` matrix, row-major.
fn diagonal(m: usize, n: usize) -> impl Iterator<Item = f64> {
    (0..m * n).map(move |i| (i / n.max(1) == i % n.max(1)) as u8 as f64)
}

/// Solves `A X = B` for each matrix `A` of `n x n` and `B` of `n x w`; singular ones are an error.
fn solve_each(a: &[f64], n: usize, b: &mut [f64], w: usize) -> Result<()> {
    let mut pivots = List::filled(n, 0)?;
    let mut lu = List::with_room(a.len())?;
    lu.extend_from_slice(a)?;
    let solutions = b.chunks_exact_mut((n * w).max(1));
    for (k, (m, x)) in lu.chunks_exact_mut((n * n).max(1)).zip(solutions).enumerate() {
        if let (_, Some(at)) = linalg::lu(m, n, &mut pivots) {
            bail!(
                Value,
                "(batch element {k}): the matrix is singular: diagonal element {} of its U factor is zero",
                at + 1
            );
        }
        linalg::lu_solve(m, n, &pivots, x, w);
    }
    Ok(())
}

fn eval_inverse(c: &Call) -> Result<Outs> {
    let (batch, n) = square(c.x(0))?;
    let a = read(c.x(0))?;
    let mut x = List::filled(a.len(), 0.0)?;
    for e in x.chunks_exact_mut((n * n).max(1)) {
        (0..n).for_each(|i| e[i * n + i] = 1.0);
    }
    solve_each(&a, n, &mut x, n)?;
    one(result(&batch, &[n, n], c.x(0).dtype(), &x)?)
}

/// Sign, logarithm of the absolute value, and value of the determinants.
fn determinants(t: &Tensor) -> Result<(Dims, List<[f64; 3]>)> {
    let (batch, n) = square(t)?;
    if n == 0 {
        let ones = List::filled(product(&batch), [1.0, 0.0, 1.0])?;
        return Ok((batch, ones));
    }
    if t.numel() == 0 {
        return Ok((batch, List::new()));
    }
    let mut a = read(t)?;
    let mut pivots = List::filled(n, 0)?;
    let dets = a.chunks_exact_mut(n * n).map(|m| {
        let (sign, _) = linalg::lu(m, n, &mut pivots);
        let mut d = [sign, 0.0, sign];
        for k in 0..n {
            let p = m[k * n + k];
            d[0] *= if p == 0.0 { 0.0 } else { p.signum() };
            d[1] += p.abs().ln();
            d[2] *= p;
        }
        d
    });
    let dets = List::collect(dets)?;
    Ok((batch, dets))
}

fn eval_det(c: &Call) -> Result<Outs> {
    let (batch, d) = determinants(c.x(0))?;
    one(result(&batch, &[], c.x(0).dtype(), &List::collect(d.iter().map(|d| d[2]))?)?)
}

fn eval_slogdet(c: &Call) -> Result<Outs> {
    let (batch, d) = determinants(c.x(0))?;
    let part = |k: usize| result(&batch, &[], c.x(0).dtype(), &List::collect(d.iter().map(|d| d[k]))?);
    Ok(Outs::from_iter([part(0)?, part(1)?]))
}

fn eval_cholesky(c: &Call) -> Result<Outs> {
    let (batch, n) = square(c.x(0))?;
    let mut a = read(c.x(0))?;
    for (k, m) in a.chunks_exact_mut((n * n).max(1)).enumerate() {
        if c.bool(0) {
            m.copy_from_slice(&linalg::transposed(m, n, n)?);
        }
        if let Some(order) = linalg::cholesky(m, n) {
            bail!(
                Value,
                "(batch element {k}): the factorization could not be completed because the input is not \
                 positive-definite (the leading minor of order {order} is not positive-definite)"
            );
        }
        if c.bool(0) {
            m.copy_from_slice(&linalg::transposed(m, n, n)?);
        }
    }
    one(result(&batch, &[n, n], c.x(0).dtype(), &a)?)
}

fn eval_qr(c: &Call) -> Result<Outs> {
    let (batch, m, n) = matrices(c.x(0))?;
    let (cols, with_q) = match c.str(0) {
        "reduced" => (m.min(n), true),
        "complete" => (m, true),
        "r" => (m.min(n), false),
        mode => bail!(Value, "mode must be one of reduced, complete or r, got {mode}"),
    };
    let a = read(c.x(0))?;
    let (mut q, mut r) = (List::<f64>::new(), List::<f64>::new());
    let elements = room(&batch, m, cols);
    if m * n == 0 && elements > 0 {
        q.reserve_exact(elements)?;
        for _ in 0..product(&batch) {
            q.extend(diagonal(m, cols))?;
        }
    }
    for x in each(&a, m * n) {
        let [one_q, one_r] = linalg::qr(x, m, n, cols)?;
        q.extend_from_slice(&one_q)?;
        r.extend_from_slice(&one_r)?;
    }
    let d = c.x(0).dtype();
    let q = if with_q { result(&batch, &[m, cols], d, &q)? } else { Tensor::empty_of(&[0], d)? };
    Ok(Outs::from_iter([q, result(&batch, &[cols, n], d, &r)?]))
}

fn eval_svd(c: &Call) -> Result<Outs> {
    let (batch, m, n) = matrices(c.x(0))?;
    let (k, full) = (m.min(n), c.bool(0));
    let (mu, nv) = if full { (m, n) } else { (k, k) };
    let a = read(c.x(0))?;
    let (mut u, mut s, mut vh) = (List::new(), List::new(), List::new());
    let elements = [room(&batch, m, mu), room(&batch, nv, n)];
    if m * n == 0 && elements != [0, 0] {
        u.reserve_exact(elements[0])?;
        vh.reserve_exact(elements[1])?;
        for _ in 0..product(&batch) {
            u.extend(diagonal(m, mu))?;
            vh.extend(diagonal(nv, n))?;
        }
    }
    for x in each(&a, m * n) {
        let [values, mut left, mut right] = linalg::svd(x, m, n)?;
        for _ in k..mu {
            linalg::complete(&mut left, m)?;
        }
        for _ in k..nv {
            linalg::complete(&mut right, n)?;
        }
        u.extend_from_slice(&linalg::transposed(&left, mu, m)?)?;
        s.extend_from_slice(&values)?;
        vh.extend_from_slice(&right)?;
    }
    let d = c.x(0).dtype();
    Ok(Outs::from_iter([
        result(&batch, &[m, mu], d, &u)?,
        result(&batch, &[k], d, &s)?,
        result(&batch, &[nv, n], d, &vh)?,
    ]))
}

fn eval_eigh(c: &Call) -> Result<Outs> {
    let (batch, n) = square(c.x(0))?;
    let upper = match c.str(0) {
        "L" | "l" => false,
        "U" | "u" => true,
        other => bail!(Value, "expected UPLO argument to be 'L' or 'U', but got {other}"),
    };
    let a = read(c.x(0))?;
    let (mut values, mut vectors) = (List::new(), List::new());
    for x in each(&a, n * n) {
        let [w, v] = if upper { linalg::eigh(&linalg::transposed(x, n, n)?, n)? } else { linalg::eigh(x, n)? };
        values.extend_from_slice(&w)?;
        vectors.extend_from_slice(&linalg::transposed(&v, n, n)?)?;
    }
    let d = c.x(0).dtype();
    Ok(Outs::from_iter([result(&batch, &[n], d, &values)?, result(&batch, &[n, n], d, &vectors)?]))
}

/// Right-hand sides as matrices that share the batch dimensions of `a`, and the shape of the result.
struct Sides {
    batch: Dims,
    n: usize,
    w: usize,
    a: List<f64>,
    b: List<f64>,
}

fn sides(a: &Tensor, b: &Tensor, left: bool) -> Result<Sides> {
    let ((batch_a, n), (batch_b, rows, cols)) = (square(a)?, matrices(b)?);
    if a.dtype() != b.dtype() {
        bail!(DType, "expected A and B to have the same dtype, got {} and {}", a.dtype(), b.dtype());
    }
    if n != if left { rows } else { cols } {
        return Err(crate::error::Error::shapes(
            "",
            format!("incompatible shapes of A and B for the equation: {:?} and {:?}", a.shape(), b.shape()),
            a.shape(),
            b.shape(),
        ));
    }
    let batch = broadcast(&batch_a, &batch_b)?;
    let spread = |t: &Tensor, last: [usize; 2]| -> Result<List<f64>> {
        let shape: Dims = batch.iter().copied().chain(last).collect();
        read(&t.with_layout(t.layout().broadcast_to(&shape)?))
    };
    Ok(Sides { n, w: if left { cols } else { rows }, a: spread(a, [n, n])?, b: spread(b, [rows, cols])?, batch })
}

fn eval_solve(c: &Call) -> Result<Outs> {
    let mut s = sides(c.x(0), c.x(1), true)?;
    solve_each(&s.a, s.n, &mut s.b, s.w)?;
    one(result(&s.batch, &[s.n, s.w], c.x(0).dtype(), &s.b)?)
}

fn eval_solve_triangular(c: &Call) -> Result<Outs> {
    let (upper, left, unit) = (c.bool(0), c.bool(1), c.bool(2));
    let mut s = sides(c.x(0), c.x(1), left)?;
    let (n, w) = (s.n, s.w);
    for (a, x) in each(&s.a, n * n).zip(s.b.chunks_exact_mut((n * w).max(1))) {
        if left {
            linalg::solve_triangular(a, n, x, w, upper, unit);
        } else {
            // X A = B is A' X' = B'.
            let mut t = linalg::transposed(x, w, n)?;
            linalg::solve_triangular(&linalg::transposed(a, n, n)?, n, &mut t, w, !upper, unit);
            x.copy_from_slice(&linalg::transposed(&t, n, w)?);
        }
    }
    one(result(&s.batch, &if left { [n, w] } else { [w, n] }, c.x(0).dtype(), &s.b)?)
}

/// One tolerance for each matrix of a batch.
fn tolerances(t: Option<&Tensor>, batch: &[usize], otherwise: f64) -> Result<List<f64>> {
    match t {
        Some(t) => read(&t.with_layout(t.layout().broadcast_to(batch)?)),
        None => List::filled(product(batch), otherwise),
    }
}

/// `V diag(1 / s) U'`, leaving out singular values of at most `max(atol, rtol * the largest)`.
fn eval_pinv(c: &Call) -> Result<Outs> {
    let hermitian = c.bool(0);
    let (batch, m, n) = if hermitian { square(c.x(0)).map(|(b, n)| (b, n, n))? } else { matrices(c.x(0))? };
    let dtype = c.x(0).dtype();
    // Who gives an absolute tolerance alone wants no relative one.
    let usual = if c.opt(1).is_some() { 0.0 } else { m.max(n) as f64 * dtype.eps() };
    let (atol, rtol) = (tolerances(c.opt(1), &batch, 0.0)?, tolerances(c.opt(2), &batch, usual)?);
    let mut out = List::filled(product(&batch) * m * n, 0.0)?;
    let a = read(c.x(0))?;
    for (b, (x, to)) in each(&a, m * n).zip(out.chunks_exact_mut((m * n).max(1))).enumerate() {
        let (s, u, v) = if hermitian {
            let [s, v] = linalg::eigh(x, n)?;
            (s, None, v)
        } else {
            let [s, u, v] = linalg::svd(x, m, n)?;
            (s, Some(u), v)
        };
        // The eigenvectors are both.
        let u = u.as_ref().unwrap_or(&v);
        let largest = s.iter().fold(0.0f64, |x, y| x.max(y.abs()));
        for i in (0..s.len()).filter(|&i| s[i].abs() > atol[b].max(rtol[b] * largest)) {
            for r in 0..n {
                let f = v[i * n + r] / s[i];
                (0..m).for_each(|c| to[r * m + c] += f * u[i * m + c]);
            }
        }
    }
    one(result(&batch, &[n, m], dtype, &out)?)
}

// ---- rules ----

fn number(v: f64) -> Result<Tensor> {
    Tensor::number(Scalar::Float(v))
}

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
        self - self.mt()
    }
}

/// `inverse(A)' * g`, g being one number per matrix.
fn inverse_times(a: Ex, g: Ex) -> Ex {
    a.then(|a| a.inverse()).mt() * g.unsqueeze(-1).unsqueeze(-1)
}

/// `det * inverse(A)'`; for a singular matrix the adjugate, by way of its singular values.
fn det_rule(v: &Vjp) -> Ex {
    let g = v.g() * v.y();
    let singular = match v.y().tensor().and_then(|y| y.eq(&number(0.0)?)?.any(None, false)?.item()) {
        Ok(s) => s.i64() != 0,
        Err(e) => return Ex::Err(e),
    };
    if !singular {
        return inverse_times(v.x(0), g);
    }
    let parts = v.x(0).tensor().and_then(|a| Tensor::linalg_svd(&a, false));
    let (u, s, vh) = match parts {
        Ok(mut p) => {
            let (vh, s, u) = (p.pop(), p.pop(), p.pop());
            match (u, s, vh) {
                (Some(u), Some(s), Some(vh)) => (Ex::T(u), Ex::T(s), Ex::T(vh)),
                _ => return Ex::Err(err!(Panic, "a factor is missing")),
            }
        }
        Err(e) => return Ex::Err(e),
    };
    let others = s.then(|s| super::reduce::prod_of_others(s, Some(-1)));
    let sign = u.matmul(&vh).then(|t| t.det()).unsqueeze(-1).unsqueeze(-1);
    v.g().unsqueeze(-1).unsqueeze(-1) * sign * (u * others.unsqueeze(-2)).matmul(vh)
}

/// `S = L^-T phi(L' G) L^-1`, made symmetric; phi takes the lower triangle with half of the diagonal.
fn cholesky_rule(v: &Vjp) -> Ex {
    let upper = v.bool(0);
    let (l, g) = if upper { (v.y().mt(), v.g().mt()) } else { (v.y(), v.g()) };
    let p = l.mt().matmul(g.tril(0));
    let phi = (p.tril(0) + p.tril(-1)) * 0.5;
    let s = l.mt().solve_triangular(phi, true, true);
    let s = l.solve_triangular(s, false, false);
    (&s + s.mt()) * 0.5
}

fn qr_rule(v: &Vjp) -> Result<super::Grads> {
    use super::lang::IntoGrads;
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
        let m = r.matmul(gr.mt()) - gq.mt().matmul(&q);
        let s = m.tril(0) + m.tril(-1).mt();
        r.solve_triangular((gq + q.matmul(s)).mt(), true, true).mt()
    };
    // X R' = B is R X' = B'.
    if m >= n {
        return tall(gq, &r, &gr).grads();
    }
    let (u, gu, gv) = (narrow(&r, 0, m), narrow(&gr, 0, m), narrow(&gr, m, n - m));
    let y = v.x(0).then(|a| a.narrow(-1, m as i64, (n - m) as i64));
    let ga = tall(gq + y.matmul(gv.mt()), &u, &gu);
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

fn svd_rule(v: &Vjp) -> Result<super::Grads> {
    use super::lang::IntoGrads;
    let (m, n) = (v.shape(0)[v.shape(0).len() - 2], v.shape(0)[v.shape(0).len() - 1]);
    // What completes full matrices is arbitrary, as in PyTorch: its gradients are left out.
    let narrow = |e: Ex, dim: i64| e.then(|t| t.narrow(dim, 0, m.min(n) as i64));
    let (u, s, vt) = (narrow(v.yk(0), -1), v.yk(1), narrow(v.yk(2), -2));
    let mut inner = if v.has(1) { v.gk(1).diag_embed() } else { Ex::None };
    let mut outer = Ex::None;
    let (column, row) = (s.unsqueeze(-1), s.unsqueeze(-2));
    if v.has(0) || v.has(2) {
        let gaps = gaps(&(&s * &s));
        if v.has(0) {
            let gu = narrow(v.gk(0), -1);
            let w = u.mt().matmul(&gu);
            inner = inner + w.skew() * &gaps * &row;
            if m > n {
                let scaled = gu / &row;
                outer = outer + (&scaled - u.matmul(u.mt().matmul(&scaled))).matmul(&vt);
            }
        }
        if v.has(2) {
            let gv = narrow(v.gk(2), -2);
            let w = vt.matmul(gv.mt());
            inner = inner + &column * (w.skew() * &gaps);
            if n > m {
                let scaled = gv / &column;
                outer = outer + u.matmul(&scaled - scaled.matmul(vt.mt()).matmul(&vt));
            }
        }
    }
    (u.matmul(inner).matmul(vt) + outer).grads()
}

fn eigh_rule(v: &Vjp) -> Ex {
    let (values, vectors) = (v.yk(0), v.yk(1));
    let mut inner = if v.has(0) { v.gk(0).diag_embed() } else { Ex::None };
    if v.has(1) {
        inner = inner + vectors.mt().matmul(v.gk(1)) * gaps(&values);
    }
    let g = vectors.matmul(inner).matmul(vectors.mt());
    (&g + g.mt()) * 0.5
}

fn pinv_rule(v: &Vjp) -> Ex {
    let (a, p, g) = (v.x(0), v.y(), v.g());
    let (pt, gt) = (p.mt(), g.mt());
    let (m, n) = (v.shape(0)[v.shape(0).len() - 2], v.shape(0)[v.shape(0).len() - 1]);
    if m <= n {
        let k = gt.matmul(&p);
        let kp = k.matmul(&pt);
        -p.matmul(&k).mt() + &kp - a.matmul(&p).matmul(&kp) + pt.matmul(&p).matmul(gt - k.matmul(a))
    } else {
        let k = p.matmul(&gt);
        let pk = pt.matmul(&k);
        -k.matmul(&p).mt() + (gt - a.matmul(&k)).matmul(&p).matmul(&pt) + &pk - pk.matmul(&p).matmul(a)
    }
}

/// The least-squares solution by way of the pseudoinverse.
fn eval_lstsq(c: &Call) -> Result<Outs> {
    let (a, b) = (c.x(0), c.x(1));
    let (_, m, _) = matrices(a)?;
    let vector = b.ndim() == 1 || (b.ndim() + 1 == a.ndim() && b.shape() == &a.shape()[..b.ndim()]);
    let b = if vector { b.unsqueeze(-1)? } else { b.clone() };
    if b.ndim() < 2 || b.shape()[b.ndim() - 2] != m {
        bail!(Shape, "A {:?} and B {:?} must have the same number of rows", a.shape(), c.x(1).shape());
    }
    let rtol = c.opt_float(0).map(number).transpose()?;
    let x = a.linalg_pinv(None, rtol.as_ref(), false)?.matmul(&b)?;
    one(if vector { x.squeeze(Some(&[-1]))? } else { x })
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
            let e = Tensor::from_slice(&linalg::identity(n)?, &[n, n])?;
            one(super::call_inplace(&super::shape::defs::copy, &[Some(&power), Some(&e)], &[])?)
        }
    }
}

ops! {
    /// Inverses of square matrices `[..., n, n]`.
    inverse(input: Tensor) -> Tensor, Special {
        eval: eval_inverse,
        vjp: vjp!(|v| -v.y().mt().matmul(v.g()).matmul(v.y().mt())), saves: Saves::OUTPUT,
        refuses: &[Refusal { call: "rt.ones(2, 2)", message: "singular" }],
        samples: &["m(3)", "m(2, 2)"],
    }

    /// Determinants of square matrices `[..., n, n]`.
    det(input: Tensor) -> Tensor, Special {
        eval: eval_det,
        vjp: vjp!(|v| det_rule(v)), saves: Saves::X.and(Saves::OUTPUT),
        onnx: Some("Det"),
        refuses: &[Refusal { call: "rt.ones(2, 3)", message: "square" }],
        samples: &["m(3)", "m(2, 2)", "tied([[1.0, 2.0], [2.0, 4.0]])"],
    }

    /// Signs of the determinants of square matrices `[..., n, n]`, and logarithms of their absolute values.
    slogdet(input: Tensor) -> Pair, Special {
        eval: eval_slogdet,
        vjp: vjp!(|v| if v.has(1) { inverse_times(v.x(0), v.gk(1)) } else { Ex::None }), saves: Saves::X,
        samples: &["m(3)", "-m(2, 3)"],
    }

    /// Logarithms of the determinants of square matrices; NaN where one is negative.
    logdet(input: Tensor) -> Tensor, Special {
        eval: |c| {
            let parts = c.x(0).slogdet()?;
            let negative = parts[0].lt(&number(0.0)?)?;
            one(parts[1].masked_fill(&negative, &number(f64::NAN)?)?)
        },
        class: Class::Composite,
        samples: &["m(3)"],
    }

    /// The matrix `input` multiplied `n` times by itself; its inverse if `n` is negative.
    matrix_power(input: Tensor, n: Int) -> Tensor, Special {
        eval: eval_matrix_power,
        class: Class::Composite,
        samples: &["m(3), 3", "m(2), -2", "m(2), 0", "m(2), 1"],
    }

    /// Cholesky factors `L` with `input = L L'` of symmetric positive-definite matrices `[..., n, n]`; `L'` if `upper`.
    cholesky(input: Tensor, upper: Bool = false) -> Tensor, Special {
        eval: eval_cholesky,
        vjp: vjp!(|v| cholesky_rule(v)), saves: Saves::OUTPUT,
        refuses: &[Refusal { call: "-rt.eye(2)", message: "positive-definite" }],
        samples: &["spd(m(3))", "spd(m(2, 2)), True"],
    }

    /// QR factors of matrices `[..., m, n]` by Householder reflections. `mode` is "reduced", "complete" or "r" (no `Q`).
    linalg_qr(A: Tensor, mode: Str = "reduced") -> Pair, Special {
        eval: eval_qr,
        vjp: vjp!(|v| qr_rule(v)), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
        samples: &["r(3, 2)", "r(2, 3)", "r(3, 3), 'complete'", "r(2, 3, 2)"],
    }

    /// Singular value decomposition `U diag(S) Vh` of matrices `[..., m, n]`; square `U` and `Vh` if `full_matrices`.
    linalg_svd(A: Tensor, full_matrices: Bool = true) -> Triple, Special {
        eval: eval_svd,
        vjp: vjp!(|v| svd_rule(v)), saves: Saves::OUTPUT,
        method: false, function: false,
        samples: &["r(3, 2), False", "r(2, 3), False", "r(3, 3)", "r(2, 3, 2), False"],
    }

    /// Eigenvalues (rising) and eigenvectors (columns) of symmetric matrices `[..., n, n]`, of which the triangle `UPLO` is read.
    linalg_eigh(input: Tensor, UPLO: Str = "L") -> Pair, Special {
        eval: eval_eigh,
        vjp: vjp!(|v| eigh_rule(v)), saves: Saves::OUTPUT,
        method: false, function: false,
        samples: &["sym(r(3, 3))", "sym(r(2, 3, 3)), 'U'"],
    }

    /// `X` with `input X = B` (`X input = B` if not `left`), for square matrices `[..., n, n]`; `B` is a batch of matrices, or of
    /// vectors if it has the shape of `input` without the last dimension (or one dimension).
    linalg_solve(input: Tensor, B: Tensor, left: Bool = true) -> Tensor, Special {
        eval: |c| {
            let (a, b) = (c.x(0), c.x(1));
            let vector = b.ndim() == 1 || (b.ndim() + 1 == a.ndim() && b.shape() == &a.shape()[..b.ndim()]);
            one(match (vector, c.bool(0)) {
                (true, true) => a.solve_matrices(&b.unsqueeze(-1)?)?.squeeze(Some(&[-1]))?,
                (true, false) => bail!(Value, "vector broadcasting of the left hand side is not supported for left=False"),
                (false, true) => a.solve_matrices(b)?,
                (false, false) if a.ndim() < 2 || b.ndim() < 2 => bail!(Shape, "A and B must have at least 2 dimensions"),
                (false, false) => a.transpose(-2, -1)?.solve_matrices(&b.transpose(-2, -1)?)?.transpose(-2, -1)?,
            })
        },
        class: Class::Composite, method: false, function: false,
        samples: &["m(3), r(3, 2)", "m(3), r(3)", "m(3), r(2, 3), left=False", "m(2, 2), r(2, 1)"],
    }

    /// `X` with `input X = B`, for square matrices `[..., n, n]` and right-hand sides `[..., n, k]`.
    solve_matrices(input: Tensor, B: Tensor) -> Tensor, Special {
        eval: eval_solve,
        vjp: vjp!(|v| {
            let gb = v.x(0).mt().solve(v.g());
            [v.want(0, || -gb.matmul(v.y().mt())), gb]
        }),
        saves: Saves::X.and(Saves::OUTPUT), method: false, function: false,
        samples: &["m(3), r(3, 2)", "m(2, 2), r(2, 1)"],
    }

    /// `X` with `input X = B` (`X input = B` if not `left`) for triangular matrices `[..., n, n]`.
    linalg_solve_triangular(input: Tensor, B: Tensor, upper: Bool, left: Bool = true, unitriangular: Bool = false) -> Tensor, Special {
        eval: eval_solve_triangular,
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
    }

    /// Pseudoinverses of matrices `[..., m, n]`. Singular values of at most `max(atol, rtol * the largest)` count as zero; the
    /// tolerances are one number or one per matrix, `rtol` being `max(m, n)` times the dtype's epsilon if neither is given.
    /// Of `hermitian` matrices the lower triangle is read.
    linalg_pinv(input: Tensor, atol: OptTensor = None, rtol: OptTensor = None, hermitian: Bool = false) -> Tensor, Special {
        eval: eval_pinv,
        vjp: vjp!(|v| [pinv_rule(v), Ex::None, Ex::None]), saves: Saves::X.and(Saves::OUTPUT),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), hermitian=True", message: "square" }],
        samples: &["r(3, 2)", "r(2, 3)", "m(3)", "spd(m(3)), hermitian=True"],
    }

    /// `X` of smallest norm that minimises `|input X - B|`.
    linalg_lstsq(input: Tensor, B: Tensor, rcond: OptFloat = None) -> Tensor, Special {
        eval: eval_lstsq,
        class: Class::Composite, method: false, function: false,
        samples: &["r(4, 2), r(4, 3)", "r(2, 3), r(2)"],
    }
}
