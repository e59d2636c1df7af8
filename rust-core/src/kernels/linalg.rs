//! Dense factorisations of single matrices, row-major, in f64 whatever the dtype of the tensor. After Golub and Van Loan,
//! *Matrix Computations* (4th edition, 2013); signs follow LAPACK's conventions.

use crate::error::Result;
use crate::memory::List;

/// `y += a * x`
#[inline(always)]
fn axpy(a: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// Inner product, in eight lanes.
#[inline(always)]
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(a, b)| a * b).sum();
    for (x, y) in xs.zip(ys) {
        for k in 0..8 {
            lanes[k] += x[k] * y[k];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Rows `i < j` of a matrix with rows of `n`.
fn two_rows(a: &mut [f64], n: usize, i: usize, j: usize) -> (&mut [f64], &mut [f64]) {
    let (top, bottom) = a.split_at_mut(j * n);
    (&mut top[i * n..(i + 1) * n], &mut bottom[..n])
}

/// The transpose of the `m x n` matrix `a`.
pub fn transposed(a: &[f64], m: usize, n: usize) -> Result<List<f64>> {
    let mut t = List::filled(m * n, 0.0)?;
    for i in 0..m {
        for j in 0..n {
            t[j * m + i] = a[i * n + j];
        }
    }
    Ok(t)
}

/// The unit matrix.
pub fn identity(n: usize) -> Result<List<f64>> {
    let mut e = List::filled(n.saturating_mul(n), 0.0)?;
    (0..n).for_each(|i| e[i * n + i] = 1.0);
    Ok(e)
}

/// Factors the `n x n` matrix `a` as `P L U` with partial pivoting, in place. `pivots[k]` is the row that was exchanged
/// with row `k`; gives the sign of the permutation and the index of the first zero pivot, if there is one.
pub fn lu(a: &mut [f64], n: usize, pivots: &mut [usize]) -> (f64, Option<usize>) {
    let (mut sign, mut singular) = (1.0, None);
    for k in 0..n {
        // A NaN is taken as pivot: it must not be lost.
        let mut p = k;
        for i in k + 1..n {
            let (v, best) = (a[i * n + k].abs(), a[p * n + k].abs());
            if v > best || (v.is_nan() && !best.is_nan()) {
                p = i;
            }
        }
        pivots[k] = p;
        if a[p * n + k] == 0.0 {
            singular = singular.or(Some(k));
            continue;
        }
        if p != k {
            let (x, y) = two_rows(a, n, k, p);
            x.swap_with_slice(y);
            sign = -sign;
        }
        for i in k + 1..n {
            let (top, row) = two_rows(a, n, k, i);
            let f = row[k] / top[k];
            row[k] = f;
            axpy(-f, &top[k + 1..], &mut row[k + 1..]);
        }
    }
    (sign, singular)
}

/// Solves `L U x = P b` in place for the `n x w` matrix `b`, given the factors.
pub fn lu_solve(a: &[f64], n: usize, pivots: &[usize], b: &mut [f64], w: usize) {
    for (k, &p) in pivots.iter().enumerate() {
        if p != k {
            let (x, y) = two_rows(b, w, k.min(p), k.max(p));
            x.swap_with_slice(y);
        }
    }
    solve_triangular(a, n, b, w, false, true);
    solve_triangular(a, n, b, w, true, false);
}

/// Solves `T x = b` in place for the `n x w` matrix `b`; `T` is the upper or lower triangle of `a`, with ones on the
/// diagonal if `unit`.
pub fn solve_triangular(a: &[f64], n: usize, b: &mut [f64], w: usize, upper: bool, unit: bool) {
    for step in 0..n {
        let k = if upper { n - 1 - step } else { step };
        if !unit {
            let d = a[k * n + k];
            b[k * w..(k + 1) * w].iter_mut().for_each(|v| *v /= d);
        }
        let others = if upper { 0..k } else { k + 1..n };
        for i in others {
            let f = a[i * n + k];
            if f != 0.0 {
                let (x, y) = two_rows(b, w, i.min(k), i.max(k));
                if upper {
                    axpy(-f, y, x);
                } else {
                    axpy(-f, x, y);
                }
            }
        }
    }
}

/// The lower Cholesky factor of the lower triangle of `a`, in place, with zeros above; the order of the first leading
/// minor that is not positive, if there is one.
pub fn cholesky(a: &mut [f64], n: usize) -> Option<usize> {
    for j in 0..n {
        let row = &a[j * n..j * n + j];
        let d = a[j * n + j] - dot(row, row);
        if d <= 0.0 || d.is_nan() {
            return Some(j + 1);
        }
        let d = d.sqrt();
        a[j * n + j] = d;
        for i in j + 1..n {
            let (top, below) = two_rows(a, n, j, i);
            below[j] = (below[j] - dot(&below[..j], &top[..j])) / d;
        }
        a[j * n + j + 1..(j + 1) * n].fill(0.0);
    }
    None
}

/// Householder QR of the `m x n` matrix `a`: `q` is `m x cols` (`cols` at most `m`) and `r` is `cols x n`. The diagonal of
/// `r` has the sign opposite to that of the column it was made from, as in LAPACK.
pub fn qr(a: &[f64], m: usize, n: usize, cols: usize) -> Result<[List<f64>; 2]> {
    // Columns as rows: each reflection runs along memory.
    let mut t = transposed(a, m, n)?;
    let k = m.min(n);
    let mut taus = List::filled(k, 0.0)?;
    for j in 0..k {
        let (head, tail) = t.split_at_mut((j + 1) * m);
        let v = &mut head[j * m + j..];
        let alpha = v[0];
        let rest = norm(&v[1..]);
        if rest == 0.0 {
            continue;
        }
        let beta = -alpha.hypot(rest).copysign(alpha);
        taus[j] = (beta - alpha) / beta;
        v[1..].iter_mut().for_each(|x| *x /= alpha - beta);
        v[0] = 1.0;
        for column in tail.chunks_exact_mut(m) {
            let column = &mut column[j..];
            let s = taus[j] * dot(v, column);
            axpy(-s, v, column);
        }
        // The place of the leading 1 holds the diagonal of R.
        v[0] = beta;
    }
    let mut r = List::filled(cols * n, 0.0)?;
    for i in 0..cols {
        for j in i..n {
            r[i * n + j] = t[j * m + i];
        }
    }
    // Q = H1 H2 ... Hk applied to the first columns of the identity, last reflection first.
    let mut q = List::filled(cols * m, 0.0)?;
    for c in 0..cols {
        q[c * m + c] = 1.0;
    }
    for j in (0..k).rev() {
        let v = &mut t[j * m + j..(j + 1) * m];
        v[0] = 1.0;
        if taus[j] != 0.0 {
            for column in q.chunks_exact_mut(m) {
                let column = &mut column[j..];
                let s = taus[j] * dot(v, column);
                axpy(-s, v, column);
            }
        }
    }
    Ok([transposed(&q, cols, m)?, r])
}

/// Euclidean norm without overflow in between.
fn norm(x: &[f64]) -> f64 {
    let largest = x.iter().fold(0.0f64, |m, v| if v.is_nan() { f64::NAN } else { m.max(v.abs()) });
    if largest == 0.0 || !largest.is_finite() {
        return if largest == 0.0 && x.iter().any(|v| v.is_nan()) { f64::NAN } else { largest };
    }
    if (1e-140..1e140).contains(&largest) {
        return dot(x, x).sqrt();
    }
    x.iter().map(|v| (v / largest).powi(2)).sum::<f64>().sqrt() * largest
}

/// Sweeps over all pairs after which the Jacobi methods give up; they converge quadratically and need 6 to 12.
const SWEEPS: usize = 60;

/// Rotates two vectors: `(c x - s y, s x + c y)`.
#[inline(always)]
fn rotate(x: &mut [f64], y: &mut [f64], c: f64, s: f64) {
    for (x, y) in x.iter_mut().zip(y) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

/// Cosine and sine of the rotation that makes the off-diagonal element `b` of `[[a, b], [b, d]]` zero.
fn jacobi(a: f64, b: f64, d: f64) -> (f64, f64) {
    let z = (d - a) / (2.0 * b);
    let t = z.signum() / (z.abs() + (1.0 + z * z).sqrt());
    let c = 1.0 / (1.0 + t * t).sqrt();
    (c, c * t)
}

/// Singular values (falling) of the `m x n` matrix `a`, and its singular vectors as rows: `k = min(m, n)` left ones of
/// length `m` and right ones of length `n`. One-sided Jacobi rotations of the triangular factor of a QR (Hestenes 1958).
pub fn svd(a: &[f64], m: usize, n: usize) -> Result<[List<f64>; 3]> {
    if m < n {
        let [s, v, u] = svd(&transposed(a, m, n)?, n, m)?;
        return Ok([s, u, v]);
    }
    let [q, r] = qr(a, m, n, n)?;
    // Rows of `w` are the columns of R; `v` collects the rotations. In the end w = diag(s) u'.
    let mut w = transposed(&r, n, n)?;
    let mut v = identity(n)?;
    for _ in 0..SWEEPS {
        let mut done = true;
        for i in 0..n {
            for j in i + 1..n {
                let (x, y) = two_rows(&mut w, n, i, j);
                let (xx, xy, yy) = (dot(x, x), dot(x, y), dot(y, y));
                if xy.abs() <= f64::EPSILON * (xx * yy).sqrt() || xy.is_nan() {
                    continue;
                }
                done = false;
                let (c, s) = jacobi(xx, xy, yy);
                rotate(x, y, c, s);
                let (x, y) = two_rows(&mut v, n, i, j);
                rotate(x, y, c, s);
            }
        }
        if done {
            break;
        }
    }
    let norms = List::collect(w.chunks_exact(n.max(1)).map(norm))?;
    let order = ordered(n, |i, j| norms[j].total_cmp(&norms[i]))?;
    let s = List::collect(order.iter().map(|&i| norms[i]))?;
    let right = rows(&v, n, &order)?;
    // Left vectors of R; where the singular value vanishes any completion to an orthonormal basis will do.
    let mut left = List::with_room(n * n)?;
    let tiny = s.first().copied().unwrap_or(0.0) * f64::EPSILON * n as f64;
    for (place, &i) in order.iter().enumerate() {
        if s[place] > tiny || s[place].is_nan() {
            left.extend(w[i * n..(i + 1) * n].iter().map(|x| x / s[place]))?;
        } else {
            complete(&mut left, n)?;
        }
    }
    // U = Q times the left vectors of R.
    let mut u = List::filled(n * m, 0.0)?;
    for k in 0..n {
        for i in 0..m {
            u[k * m + i] = dot(&q[i * n..(i + 1) * n], &left[k * n..(k + 1) * n]);
        }
    }
    Ok([s, u, right])
}

/// The numbers below `n` in the order of `by`; equal ones stay in theirs.
fn ordered(n: usize, by: impl Fn(usize, usize) -> std::cmp::Ordering) -> Result<List<usize>> {
    let mut order = List::collect(0..n)?;
    // Not the stable sort: that one needs memory.
    order.sort_unstable_by(|&i, &j| by(i, j).then(i.cmp(&j)));
    Ok(order)
}

/// The rows of length `n` in an order.
fn rows(a: &[f64], n: usize, order: &[usize]) -> Result<List<f64>> {
    let mut out = List::with_room(order.len() * n)?;
    for &i in order {
        out.extend_from_slice(&a[i * n..(i + 1) * n])?;
    }
    Ok(out)
}

/// Appends a unit vector that is orthogonal to the orthonormal rows of length `n`.
pub fn complete(rows: &mut List<f64>, n: usize) -> Result<()> {
    let (mut largest, mut best, mut v) = (0.0, List::filled(n, 0.0)?, List::filled(n, 0.0)?);
    for axis in 0..n {
        v.fill(0.0);
        v[axis] = 1.0;
        // Twice, because once leaves rounding errors.
        for _ in 0..2 {
            for r in rows.chunks_exact(n) {
                let s = dot(r, &v);
                axpy(-s, r, &mut v);
            }
        }
        let length = norm(&v);
        if length > largest {
            largest = length;
            best.copy_from_slice(&v);
        }
        if largest > 0.5 {
            break;
        }
    }
    rows.extend(best.iter().map(|x| x / largest))
}

/// Eigenvalues (rising) of the symmetric matrix given by the lower triangle of `a`, and the eigenvectors as rows. Cyclic
/// Jacobi rotations.
pub fn eigh(a: &[f64], n: usize) -> Result<[List<f64>; 2]> {
    let mut w = List::with_room(a.len())?;
    w.extend_from_slice(a)?;
    for i in 0..n {
        for j in 0..i {
            w[j * n + i] = w[i * n + j];
        }
    }
    let mut v = identity(n)?;
    let small = norm(&w) * f64::EPSILON * 1e-2;
    for _ in 0..SWEEPS {
        let mut done = true;
        for i in 0..n {
            for j in i + 1..n {
                let (a, b, d) = (w[i * n + i], w[i * n + j], w[j * n + j]);
                if b.abs() <= small || b.is_nan() {
                    continue;
                }
                done = false;
                let (c, s) = jacobi(a, b, d);
                let (x, y) = two_rows(&mut w, n, i, j);
                rotate(x, y, c, s);
                for row in w.chunks_exact_mut(n) {
                    (row[i], row[j]) = (c * row[i] - s * row[j], s * row[i] + c * row[j]);
                }
                (w[i * n + j], w[j * n + i]) = (0.0, 0.0);
                let (x, y) = two_rows(&mut v, n, i, j);
                rotate(x, y, c, s);
            }
        }
        if done {
            break;
        }
    }
    let order = ordered(n, |i, j| w[i * n + i].total_cmp(&w[j * n + j]))?;
    Ok([List::collect(order.iter().map(|&i| w[i * n + i]))?, rows(&v, n, &order)?])
}
