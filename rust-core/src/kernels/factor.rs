//! Factorisations of single complex matrices, row-major, in f64: plain loops, and Jacobi's methods where there are singular
//! values or eigenvalues. (Real matrices have [`super::linalg`].)

use super::complex::{c, C};
use super::linalg::Failed;
use crate::error::Result;
use crate::memory::List;
use crate::parallel::Pace;

const ZERO: C = c(0.0, 0.0);
const ONE: C = c(1.0, 0.0);
/// Sweeps of Jacobi's methods; some ten are enough.
const SWEEPS: usize = 60;

/// The factors `P A = L U` in the place of `a`, which rows of `A` they have, whether that is an odd permutation, and the first
/// pivot that is zero.
struct Lu {
    order: List<usize>,
    odd: bool,
    singular: Option<usize>,
}

fn lu(a: &mut [C], n: usize) -> Result<Lu> {
    let mut f = Lu { order: List::collect(0..n)?, odd: false, singular: None };
    let mut pace = Pace::default();
    for k in 0..n {
        let mut p = k;
        for i in k + 1..n {
            let (v, best) = (a[i * n + k].abs(), a[p * n + k].abs());
            if v > best || v.is_nan() && !best.is_nan() {
                p = i;
            }
        }
        if p != k {
            (0..n).for_each(|j| a.swap(k * n + j, p * n + j));
            f.order.swap(k, p);
            f.odd = !f.odd;
        }
        let pivot = a[k * n + k];
        if !pivot.holds() {
            f.singular = f.singular.or(Some(k));
            continue;
        }
        for i in k + 1..n {
            pace.step(4 * (n - k));
            let factor = a[i * n + k] / pivot;
            a[i * n + k] = factor;
            for j in k + 1..n {
                a[i * n + j] = a[i * n + j] - factor * a[k * n + j];
            }
        }
    }
    Ok(f)
}

/// The determinant of the matrix `a`, which is overwritten: sign, logarithm of the absolute value, and value.
pub fn determinant(a: &mut [C], n: usize) -> Result<(C, f64, C)> {
    let f = lu(a, n)?;
    let (mut sign, mut log, mut value) = (ONE, 0.0, ONE);
    for k in 0..n {
        let u = a[k * n + k];
        (sign, log, value) = (sign * u.sgn(), log + u.abs().ln(), value * u);
    }
    Ok(if f.odd { (-sign, log, -value) } else { (sign, log, value) })
}

/// Replaces the `n x w` matrix `b` by the solution of `A X = B`; `a` is overwritten.
pub fn solve(a: &mut [C], n: usize, b: &mut [C], w: usize) -> Result<std::result::Result<(), Failed>> {
    let f = lu(a, n)?;
    if let Some(k) = f.singular {
        return Ok(Err(Failed::Singular(k)));
    }
    let mut x = List::filled(n * w, ZERO)?;
    for (i, &from) in f.order.iter().enumerate() {
        x[i * w..(i + 1) * w].copy_from_slice(&b[from * w..(from + 1) * w]);
    }
    b.copy_from_slice(&x);
    solve_triangular(a, n, b, w, [false, true, true]);
    solve_triangular(a, n, b, w, [true, true, false]);
    Ok(Ok(()))
}

/// Replaces the `n x w` (or `w x n`) matrix `b` by the solution of `T X = B` (or, if not `left`, `X T = B`); `T` is the upper or
/// lower triangle of `a`, with ones on the diagonal if `unit`.
pub fn solve_triangular(a: &[C], n: usize, b: &mut [C], w: usize, [upper, left, unit]: [bool; 3]) {
    // Row `i` of the unknowns, taken as those of the equation for row `i`; transposed if they stand on the left.
    let at = |i: usize, j: usize| if left { a[i * n + j] } else { a[j * n + i] };
    let place = |i: usize, k: usize| if left { i * w + k } else { k * n + i };
    let backwards = upper == left;
    let mut pace = Pace::default();
    for step in 0..n {
        let i = if backwards { n - 1 - step } else { step };
        let known = if backwards { i + 1..n } else { 0..i };
        for k in 0..w {
            pace.step(4 * known.len() + 4);
            let sum = known.clone().fold(b[place(i, k)], |v, j| v - at(i, j) * b[place(j, k)]);
            b[place(i, k)] = if unit { sum } else { sum / at(i, i) };
        }
    }
}

/// The Cholesky factor `L` (or `L'`, if `upper`) of the Hermitian matrix of which `a` holds that triangle, in its place.
pub fn cholesky(a: &mut [C], n: usize, upper: bool) -> std::result::Result<(), Failed> {
    // The lower triangle is filled either way.
    if upper {
        (0..n).for_each(|i| (0..i).for_each(|j| a[i * n + j] = a[j * n + i].conj()));
    }
    let mut pace = Pace::default();
    for j in 0..n {
        let d = (0..j).fold(a[j * n + j].re, |v, k| v - a[j * n + k].square_abs());
        if d.is_nan() || d <= 0.0 {
            return Err(Failed::NotPositive(j + 1));
        }
        let root = d.sqrt();
        a[j * n + j] = c(root, 0.0);
        for i in j + 1..n {
            pace.step(4 * j + 4);
            let v = (0..j).fold(a[i * n + j], |v, k| v - a[i * n + k] * a[j * n + k].conj());
            a[i * n + j] = v * (1.0 / root);
        }
    }
    for i in 0..n {
        for j in 0..i {
            if upper {
                a[j * n + i] = a[i * n + j].conj();
                a[i * n + j] = ZERO;
            } else {
                a[j * n + i] = ZERO;
            }
        }
    }
    Ok(())
}

/// Householder QR of the `m x n` matrix `a`, which is overwritten: `q`, if wanted, is `m x cols` and `r` `cols x n`. The
/// diagonal of `r` is real, with LAPACK's signs.
pub fn qr(a: &mut [C], [m, n]: [usize; 2], cols: usize, q: Option<&mut [C]>, r: &mut [C]) -> Result<()> {
    let steps = m.min(n);
    let mut factors = List::filled(steps, ZERO)?;
    let mut v = List::filled(if steps > 0 { m } else { 0 }, ZERO)?;
    let mut pace = Pace::default();
    for k in 0..steps {
        let (first, rest) = (a[k * n + k], (k + 1..m).fold(0.0f64, |s, i| s.hypot(a[i * n + k].abs())));
        if rest == 0.0 && first.im == 0.0 {
            continue;
        }
        let beta = -first.abs().hypot(rest).copysign(first.re);
        let scale = ONE / (first - c(beta, 0.0));
        factors[k] = c((beta - first.re) / beta, -first.im / beta);
        for i in k + 1..m {
            a[i * n + k] = a[i * n + k] * scale;
        }
        for j in k + 1..n {
            pace.step(8 * (m - k));
            let dot = (k + 1..m).fold(a[k * n + j], |s, i| s + a[i * n + k].conj() * a[i * n + j]);
            let f = factors[k].conj() * dot;
            a[k * n + j] = a[k * n + j] - f;
            for i in k + 1..m {
                a[i * n + j] = a[i * n + j] - a[i * n + k] * f;
            }
        }
        a[k * n + k] = c(beta, 0.0);
    }
    for i in 0..cols {
        for j in 0..n {
            r[i * n + j] = if j >= i { a[i * n + j] } else { ZERO };
        }
    }
    let Some(q) = q else { return Ok(()) };
    q.fill(ZERO);
    (0..cols).for_each(|i| q[i * cols + i] = ONE);
    for k in (0..steps).rev() {
        v[k] = ONE;
        (k + 1..m).for_each(|i| v[i] = a[i * n + k]);
        for j in 0..cols {
            pace.step(8 * (m - k));
            let dot = (k..m).fold(ZERO, |s, i| s + v[i].conj() * q[i * cols + j]);
            let f = factors[k] * dot;
            (k..m).for_each(|i| q[i * cols + j] = q[i * cols + j] - v[i] * f);
        }
    }
    Ok(())
}

/// Cosine and sine of the rotation of two vectors that are to become orthogonal, whose product is `gamma` and whose squares
/// differ by `difference`.
fn rotation(difference: f64, gamma: f64) -> (f64, f64) {
    let zeta = difference / (2.0 * gamma);
    let t = 1f64.copysign(zeta) / (zeta.abs() + zeta.hypot(1.0));
    let k = 1.0 / t.hypot(1.0);
    (k, k * t)
}

/// Columns `p` and `q` of `a`, whose rows have `n` elements: the second turned by `phase`, then both rotated.
fn rotate(a: &mut [C], n: usize, [p, q]: [usize; 2], phase: C, (k, s): (f64, f64)) {
    for row in a.chunks_exact_mut(n) {
        let (x, y) = (row[p], row[q] * phase);
        (row[p], row[q]) = (x * k - y * s, x * s + y * k);
    }
}

/// Places of `values` in rising order.
fn order(values: &[f64]) -> Result<List<usize>> {
    let mut places = List::collect(0..values.len())?;
    places.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
    Ok(places)
}

/// Eigenvalues (rising) of the Hermitian matrix of which `a` holds the lower (or `upper`) triangle, and eigenvectors as
/// columns; `a` is overwritten.
pub fn eigh(
    a: &mut [C],
    n: usize,
    upper: bool,
    values: &mut [f64],
    vectors: &mut [C],
) -> Result<std::result::Result<(), Failed>> {
    for i in 0..n {
        a[i * n + i].im = 0.0;
        for j in 0..i {
            let (low, high) = (i * n + j, j * n + i);
            if upper {
                a[low] = a[high].conj();
            } else {
                a[high] = a[low].conj();
            }
        }
    }
    if a.iter().any(|v| !v.re.is_finite() || !v.im.is_finite()) {
        values.fill(f64::NAN);
        vectors.fill(c(f64::NAN, f64::NAN));
        return Ok(Ok(()));
    }
    let mut v = List::filled(n * n, ZERO)?;
    (0..n).for_each(|i| v[i * n + i] = ONE);
    let total = a.iter().fold(0.0f64, |s, z| s.hypot(z.abs()));
    let mut pace = Pace::default();
    for sweep in 0.. {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                pace.step(1);
                let off = a[p * n + q];
                let size = off.abs();
                if size <= total * 1e-17 || size == 0.0 {
                    continue;
                }
                turned = true;
                let phase = off.conj() * (1.0 / size);
                let turn = rotation(a[q * n + q].re - a[p * n + p].re, size);
                rotate(a, n, [p, q], phase, turn);
                pace.step(24 * n);
                // The rows likewise, with the conjugate.
                for j in 0..n {
                    let (x, y) = (a[p * n + j], a[q * n + j] * phase.conj());
                    (a[p * n + j], a[q * n + j]) = (x * turn.0 - y * turn.1, x * turn.1 + y * turn.0);
                }
                (a[p * n + q], a[q * n + p]) = (ZERO, ZERO);
                rotate(&mut v, n, [p, q], phase, turn);
            }
        }
        if !turned {
            break;
        }
        if sweep == SWEEPS {
            return Ok(Err(Failed::NoConvergence));
        }
    }
    let diagonal = List::collect((0..n).map(|i| a[i * n + i].re))?;
    for (to, &from) in order(&diagonal)?.iter().enumerate() {
        values[to] = diagonal[from];
        (0..n).for_each(|i| vectors[i * n + to] = v[i * n + from]);
    }
    Ok(Ok(()))
}

/// Singular values (falling) of the `m x n` matrix `a`, left singular vectors as the `mu` columns of `u` and right ones as the
/// `nv` rows of `vh`: as many as there are values, or all.
pub fn svd(
    a: &[C],
    [m, n]: [usize; 2],
    s: &mut [f64],
    (u, mu): (&mut [C], usize),
    (vh, nv): (&mut [C], usize),
) -> Result<std::result::Result<(), Failed>> {
    if m == 0 || n == 0 {
        u.fill(ZERO);
        vh.fill(ZERO);
        (0..mu).for_each(|i| u[i * mu + i] = ONE);
        (0..nv).for_each(|i| vh[i * n + i] = ONE);
        return Ok(Ok(()));
    }
    if m < n {
        // A' = V S U'
        let mut turned = List::filled(m * n, ZERO)?;
        (0..n).for_each(|i| (0..m).for_each(|j| turned[i * m + j] = a[j * n + i].conj()));
        let (mut left, mut right) = (List::filled(n * nv, ZERO)?, List::filled(mu * m, ZERO)?);
        let done = svd(&turned, [n, m], s, (&mut left, nv), (&mut right, mu))?;
        (0..nv).for_each(|i| (0..n).for_each(|j| vh[i * n + j] = left[j * nv + i].conj()));
        (0..m).for_each(|i| (0..mu).for_each(|j| u[i * mu + j] = right[j * m + i].conj()));
        return Ok(done);
    }
    if a.iter().any(|v| v.re.is_nan() || v.im.is_nan()) {
        return Ok(Err(Failed::NotFinite));
    }
    let mut x = List::filled(m * n, ZERO)?;
    x.copy_from_slice(a);
    let mut v = List::filled(n * n, ZERO)?;
    (0..n).for_each(|i| v[i * n + i] = ONE);
    let mut pace = Pace::default();
    for sweep in 0.. {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                pace.step(16 * (m + n));
                let (mut alpha, mut beta, mut gamma) = (0.0, 0.0, ZERO);
                for row in x.chunks_exact(n) {
                    alpha += row[p].square_abs();
                    beta += row[q].square_abs();
                    gamma = gamma + row[p].conj() * row[q];
                }
                let size = gamma.abs();
                if size == 0.0 || size <= 1e-15 * (alpha * beta).sqrt() || size.is_nan() {
                    continue;
                }
                turned = true;
                let (phase, turn) = (gamma.conj() * (1.0 / size), rotation(beta - alpha, size));
                rotate(&mut x, n, [p, q], phase, turn);
                rotate(&mut v, n, [p, q], phase, turn);
            }
        }
        if !turned {
            break;
        }
        if sweep == SWEEPS {
            return Ok(Err(Failed::NoConvergence));
        }
    }
    let norms = List::collect((0..n).map(|j| (0..m).fold(0.0f64, |r, i| r.hypot(x[i * n + j].abs()))))?;
    let largest = norms.iter().fold(0.0f64, |a, &b| a.max(b));
    let falling = List::collect(norms.iter().map(|n| -n))?;
    for (k, &from) in order(&falling)?.iter().enumerate() {
        s[k] = norms[from];
        let least = largest * 1e-300;
        let f = if norms[from] > least { 1.0 / norms[from] } else { 0.0 };
        (0..m).for_each(|i| u[i * mu + k] = x[i * n + from] * f);
        (0..n).for_each(|j| vh[k * n + j] = v[j * n + from].conj());
    }
    complete(u, m, mu, (0..n).filter(|&k| s[k] > largest * 1e-300).count());
    Ok(Ok(()))
}

/// Fills the columns of `u` from `have` on, so that all are orthonormal.
fn complete(u: &mut [C], m: usize, mu: usize, have: usize) {
    let (mut axis, mut pace) = (0, Pace::default());
    for k in have..mu {
        while axis < m {
            (0..m).for_each(|i| u[i * mu + k] = if i == axis { ONE } else { ZERO });
            axis += 1;
            // Twice is enough (Kahan).
            for _ in 0..2 {
                for j in 0..k {
                    pace.step(8 * m);
                    let dot = (0..m).fold(ZERO, |d, i| d + u[i * mu + j].conj() * u[i * mu + k]);
                    (0..m).for_each(|i| u[i * mu + k] = u[i * mu + k] - u[i * mu + j] * dot);
                }
            }
            let r = (0..m).fold(0.0f64, |r, i| r.hypot(u[i * mu + k].abs()));
            if r > 0.5 / (m as f64).sqrt() {
                (0..m).for_each(|i| u[i * mu + k] = u[i * mu + k] * (1.0 / r));
                break;
            }
        }
    }
}
