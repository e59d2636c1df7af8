//! Factorisations of single complex matrices, row-major, in f64: plain loops, and Jacobi's methods where there are singular
//! values or eigenvalues. (Real matrices have [`super::linalg`].)

use super::complex::{c, C};
use super::linalg::Failed;
use crate::error::Result;
use crate::memory::List;
use crate::parallel::Pace;
use std::ops::{Add, Div, Mul, Neg, Sub};

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

/// The factors `P A = L U` of the `m x n` matrix `a` in its place; `pivots[k]` counts, from 1, the row that changes places
/// with row `k`.
pub fn lu_factor(a: &mut [C], [m, n]: [usize; 2], pivots: &mut [i32]) -> Result<()> {
    let f = lu(a, [m, n])?;
    // Where each row is, and what is in each place, after the exchanges so far.
    let (mut place, mut row) = (List::collect(0..m)?, List::collect(0..m)?);
    for (k, pivot) in pivots.iter_mut().enumerate() {
        let p = place[f.order[k]];
        *pivot = p as i32 + 1;
        place.swap(row[k], row[p]);
        row.swap(k, p);
    }
    Ok(())
}

fn lu(a: &mut [C], [m, n]: [usize; 2]) -> Result<Lu> {
    let mut f = Lu { order: List::collect(0..m)?, odd: false, singular: None };
    let mut pace = Pace::default();
    for k in 0..m.min(n) {
        let mut p = k;
        for i in k + 1..m {
            let (v, best) = (a[i * n + k].size(), a[p * n + k].size());
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
        for i in k + 1..m {
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
    let f = lu(a, [n, n])?;
    let (mut sign, mut log, mut value) = (ONE, 0.0, ONE);
    for k in 0..n {
        let u = a[k * n + k];
        (sign, log, value) = (sign * u.sgn(), log + u.abs().ln(), value * u);
    }
    Ok(if f.odd { (-sign, log, -value) } else { (sign, log, value) })
}

/// Replaces the `n x w` matrix `b` by the solution of `A X = B`; `a` is overwritten.
pub fn solve(a: &mut [C], n: usize, b: &mut [C], w: usize) -> Result<std::result::Result<(), Failed>> {
    let f = lu(a, [n, n])?;
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

/// Householder reflections that make the `m x n` matrix `a` triangular, in its place as LAPACK leaves them: `R` in the upper
/// triangle, with a real diagonal, below it the vectors, which begin with a 1, and as many `factors`.
pub fn reflections(a: &mut [C], [m, n]: [usize; 2], factors: &mut [C]) {
    let mut pace = Pace::default();
    factors.fill(ZERO);
    for k in 0..m.min(n) {
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
}

/// Householder QR of the `m x n` matrix `a`, which is overwritten: `q`, if wanted, is `m x cols` and `r` `cols x n`. The
/// diagonal of `r` is real, with LAPACK's signs.
pub fn qr(a: &mut [C], [m, n]: [usize; 2], cols: usize, q: Option<&mut [C]>, r: &mut [C]) -> Result<()> {
    let steps = m.min(n);
    let mut factors = List::filled(steps, ZERO)?;
    let mut v = List::filled(if steps > 0 { m } else { 0 }, ZERO)?;
    reflections(a, [m, n], &mut factors);
    let mut pace = Pace::default();
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

/// Numbers that the loops below are for.
pub trait Field:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// A real number.
    fn of(v: f64) -> Self;
    /// The real part.
    fn re(self) -> f64;
    /// The conjugate.
    fn conj(self) -> Self;
    /// `|re| + |im|`
    fn size(self) -> f64;
}

impl Field for f64 {
    fn of(v: f64) -> f64 {
        v
    }
    fn re(self) -> f64 {
        self
    }
    fn conj(self) -> f64 {
        self
    }
    fn size(self) -> f64 {
        self.abs()
    }
}

impl Field for C {
    fn of(v: f64) -> C {
        c(v, 0.0)
    }
    fn re(self) -> f64 {
        self.re
    }
    fn conj(self) -> C {
        C::conj(self)
    }
    fn size(self) -> f64 {
        self.re.abs() + self.im.abs()
    }
}

/// The greatest of some numbers, and the place of the first such.
fn greatest(values: impl Iterator<Item = f64>) -> (usize, f64) {
    values.enumerate().fold((0, 0.0), |best, (i, v)| if v > best.1 { (i, v) } else { best })
}

/// `A = L D L'` (with conjugates if `hermitian`) by diagonal pivots of order 1 and 2 (Bunch and Kaufman 1977), from the lower
/// triangle of the `n x n` matrix `a` and in its place, with LAPACK's `pivots`: rows, counted from 1, that are exchanged,
/// negative for both rows of a pivot of order 2. Returns the first pivot, counted from 1, that is zero, or 0.
pub fn ldl<T: Field>(a: &mut [T], n: usize, hermitian: bool, pivots: &mut [i32]) -> i32 {
    let alpha = (1.0 + 17f64.sqrt()) / 8.0;
    let turned = |v: T| if hermitian { v.conj() } else { v };
    let real = |v: T| if hermitian { T::of(v.re()) } else { v };
    let (mut info, mut k, mut pace) = (0, 0, Pace::default());
    (0..n).for_each(|i| a[i * n + i + 1..(i + 1) * n].fill(T::of(0.0)));
    while k < n {
        let (mut step, mut kp) = (1, k);
        let diagonal = real(a[k * n + k]).size();
        let (at, column) = greatest((k + 1..n).map(|i| a[i * n + k].size()));
        let most = k + 1 + at;
        if diagonal.max(column) == 0.0 || diagonal.is_nan() {
            info = if info == 0 { k as i32 + 1 } else { info };
            a[k * n + k] = real(a[k * n + k]);
        } else {
            if diagonal < alpha * column {
                let row = greatest((k..most).map(|j| a[most * n + j].size())).1;
                let row = row.max(greatest((most + 1..n).map(|i| a[i * n + most].size())).1);
                if diagonal < alpha * column * (column / row) {
                    kp = most;
                    if real(a[most * n + most]).size() < alpha * row {
                        step = 2;
                    }
                }
            }
            let kk = k + step - 1;
            if kp != kk {
                (kp + 1..n).for_each(|i| a.swap(i * n + kk, i * n + kp));
                for j in kk + 1..kp {
                    let t = turned(a[j * n + kk]);
                    a[j * n + kk] = turned(a[kp * n + j]);
                    a[kp * n + j] = t;
                }
                a[kp * n + kk] = turned(a[kp * n + kk]);
                let t = real(a[kk * n + kk]);
                a[kk * n + kk] = real(a[kp * n + kp]);
                a[kp * n + kp] = t;
                if step == 2 {
                    a[k * n + k] = real(a[k * n + k]);
                    a.swap((k + 1) * n + k, kp * n + k);
                }
            } else {
                a[k * n + k] = real(a[k * n + k]);
                if step == 2 {
                    a[(k + 1) * n + k + 1] = real(a[(k + 1) * n + k + 1]);
                }
            }
            if step == 1 {
                let inverse = T::of(1.0) / a[k * n + k];
                for i in k + 1..n {
                    pace.step(i - k);
                    let f = a[i * n + k] * inverse;
                    for j in k + 1..i + 1 {
                        a[i * n + j] = a[i * n + j] - f * turned(a[j * n + k]);
                    }
                    a[i * n + i] = real(a[i * n + i]);
                }
                (k + 1..n).for_each(|i| a[i * n + k] = a[i * n + k] * inverse);
            } else if k + 2 < n {
                let (d, off, e) = (a[k * n + k], a[(k + 1) * n + k], a[(k + 1) * n + k + 1]);
                for j in k + 2..n {
                    let (wx, wy) = times_inverse([a[j * n + k], a[j * n + k + 1]], [d, off, e], hermitian);
                    pace.step(2 * (n - j));
                    for i in j..n {
                        a[i * n + j] = a[i * n + j] - a[i * n + k] * turned(wx) - a[i * n + k + 1] * turned(wy);
                    }
                    (a[j * n + k], a[j * n + k + 1]) = (wx, wy);
                    a[j * n + j] = real(a[j * n + j]);
                }
            }
        }
        if step == 1 {
            pivots[k] = kp as i32 + 1;
        } else {
            pivots[k..k + 2].fill(-(kp as i32 + 1));
        }
        k += step;
    }
    info
}

/// `[x y] D^-1` for the symmetric (or Hermitian) matrix `D` with the diagonal `d, e` and `off` below it.
fn times_inverse<T: Field>([x, y]: [T; 2], [d, off, e]: [T; 3], hermitian: bool) -> (T, T) {
    if !hermitian {
        let (d, e) = (d / off, e / off);
        let scale = T::of(1.0) / (d * e - T::of(1.0)) / off;
        return (scale * (e * x - y), scale * (d * y - x));
    }
    let size = (off * off.conj()).re().sqrt();
    let (unit, d, e) = (off / T::of(size), T::of(d.re() / size), T::of(e.re() / size));
    let scale = T::of(1.0 / ((d * e).re() - 1.0) / size);
    (scale * (e * x - unit * y), scale * (d * y - unit.conj() * x))
}

/// Replaces the `n x w` matrix `b` by the solution of `A X = B` with the factors of [`ldl`]. False if the pivots are not
/// those of such factors.
pub fn ldl_solve<T: Field>(a: &[T], n: usize, pivots: &[i32], hermitian: bool, b: &mut [T], w: usize) -> bool {
    let turned = |v: T| if hermitian { v.conj() } else { v };
    let fits = |p: i32| p != 0 && p.unsigned_abs() as usize <= n;
    let mut k = 0;
    while k < n {
        let step = if pivots[k] > 0 { 1 } else { 2 };
        if !fits(pivots[k]) || step == 2 && (k + 1 == n || pivots[k + 1] != pivots[k]) {
            return false;
        }
        k += step;
    }
    let mut pace = Pace::default();
    let swap = |b: &mut [T], i: usize, j: usize| {
        if i != j {
            (0..w).for_each(|c| b.swap(i * w + c, j * w + c));
        }
    };
    let mut k = 0;
    while k < n {
        let p = pivots[k].unsigned_abs() as usize - 1;
        let step = if pivots[k] > 0 { 1 } else { 2 };
        swap(b, k + step - 1, p);
        for from in k..k + step {
            for i in k + step..n {
                pace.step(w);
                let f = a[i * n + from];
                (0..w).for_each(|c| b[i * w + c] = b[i * w + c] - f * b[from * w + c]);
            }
        }
        if step == 1 {
            (0..w).for_each(|c| b[k * w + c] = b[k * w + c] / a[k * n + k]);
        } else {
            let off = a[(k + 1) * n + k];
            let (first, second) = (a[k * n + k] / turned(off), a[(k + 1) * n + k + 1] / off);
            let scale = first * second - T::of(1.0);
            for c in 0..w {
                let (x, y) = (b[k * w + c] / turned(off), b[(k + 1) * w + c] / off);
                b[k * w + c] = (second * x - y) / scale;
                b[(k + 1) * w + c] = (first * y - x) / scale;
            }
        }
        k += step;
    }
    let mut k = n;
    while k > 0 {
        let step = if pivots[k - 1] > 0 { 1 } else { 2 };
        for to in k - step..k {
            for i in k..n {
                pace.step(w);
                let f = turned(a[i * n + to]);
                (0..w).for_each(|c| b[to * w + c] = b[to * w + c] - f * b[i * w + c]);
            }
        }
        swap(b, k - 1, pivots[k - 1].unsigned_abs() as usize - 1);
        k -= step;
    }
    true
}

/// Eigenvalues of the `n x n` matrix `a`, which is overwritten, and, if wanted, eigenvectors of length 1 as columns, their
/// greatest elements real: Hessenberg's form, then QR steps with Wilkinson's shifts.
pub fn eig(
    a: &mut [C],
    n: usize,
    values: &mut [C],
    vectors: Option<&mut [C]>,
) -> Result<std::result::Result<(), Failed>> {
    if a.iter().any(|v| !v.re.is_finite() || !v.im.is_finite()) {
        return Ok(Err(Failed::NotFinite));
    }
    let mut z = List::filled(if vectors.is_some() { n * n } else { 0 }, ZERO)?;
    if vectors.is_some() {
        (0..n).for_each(|i| z[i * n + i] = ONE);
    }
    hessenberg(a, n, &mut z)?;
    let norm = a.iter().fold(0.0f64, |s, v| s.max(v.size()));
    if !schur(a, n, &mut z, norm)? {
        return Ok(Err(Failed::NoConvergence));
    }
    (0..n).for_each(|i| values[i] = a[i * n + i]);
    let Some(vectors) = vectors else { return Ok(Ok(())) };
    let least = (norm * f64::EPSILON).max(f64::MIN_POSITIVE);
    let mut x = List::filled(n, ZERO)?;
    let mut pace = Pace::default();
    for k in 0..n {
        x[k] = ONE;
        for i in (0..k).rev() {
            pace.step(4 * (k - i));
            let sum = (i + 1..k + 1).fold(ZERO, |s, j| s + a[i * n + j] * x[j]);
            let gap = a[i * n + i] - a[k * n + k];
            x[i] = -sum / if gap.size() < least { c(least, 0.0) } else { gap };
            // Before it overflows.
            let size = x[i].size();
            if size > 1e150 {
                (i..k + 1).for_each(|j| x[j] = x[j] * (1.0 / size));
            }
        }
        let column = |i: usize| (0..k + 1).fold(ZERO, |s, j| s + z[i * n + j] * x[j]);
        (0..n).for_each(|i| vectors[i * n + k] = column(i));
        pace.step(4 * n * (k + 1));
        let length = (0..n).fold(0.0f64, |r, i| r.hypot(vectors[i * n + k].abs()));
        let most = greatest((0..n).map(|i| vectors[i * n + k].abs())).0;
        let turn = vectors[most * n + k].conj().sgn() * (1.0 / length);
        (0..n).for_each(|i| vectors[i * n + k] = vectors[i * n + k] * turn);
        vectors[most * n + k].im = 0.0;
    }
    Ok(Ok(()))
}

/// Makes `a` zero below its first subdiagonal, by reflections that `z`, if not empty, is multiplied by too.
fn hessenberg(a: &mut [C], n: usize, z: &mut [C]) -> Result<()> {
    let mut v = List::filled(n, ZERO)?;
    let mut pace = Pace::default();
    for k in 0..n.saturating_sub(2) {
        let rest = (k + 2..n).fold(0.0f64, |s, i| s.hypot(a[i * n + k].abs()));
        if rest == 0.0 {
            continue;
        }
        let first = a[(k + 1) * n + k];
        let length = first.abs().hypot(rest);
        let turn = if first.holds() { first.sgn() } else { ONE };
        (k + 1..n).for_each(|i| v[i] = a[i * n + k]);
        v[k + 1] = first + turn * length;
        let f = 1.0 / (length * (length + first.abs()));
        pace.step(12 * n * (n - k));
        for j in k..n {
            let dot = (k + 1..n).fold(ZERO, |s, i| s + v[i].conj() * a[i * n + j]) * f;
            (k + 1..n).for_each(|i| a[i * n + j] = a[i * n + j] - v[i] * dot);
        }
        for row in a.chunks_exact_mut(n).chain(z.chunks_exact_mut(n)) {
            let dot = (k + 1..n).fold(ZERO, |s, j| s + row[j] * v[j]) * f;
            (k + 1..n).for_each(|j| row[j] = row[j] - dot * v[j].conj());
        }
        (k + 2..n).for_each(|i| a[i * n + k] = ZERO);
    }
    Ok(())
}

/// Makes a Hessenberg matrix triangular; false if that takes too long.
fn schur(a: &mut [C], n: usize, z: &mut [C], norm: f64) -> Result<bool> {
    const STEPS: usize = 60;
    let mut turns = List::filled(n, (ONE, ZERO))?;
    let (mut end, mut steps, mut pace) = (n, 0, Pace::default());
    while end > 1 {
        let last = end - 1;
        let mut start = last;
        while start > 0 {
            let size = a[(start - 1) * n + start - 1].size() + a[start * n + start].size();
            let size = if size == 0.0 { norm } else { size };
            if a[start * n + start - 1].size() <= f64::EPSILON * size {
                a[start * n + start - 1] = ZERO;
                break;
            }
            start -= 1;
        }
        if start == last {
            end -= 1;
            steps = 0;
            continue;
        }
        steps += 1;
        if steps > STEPS {
            return Ok(false);
        }
        // The eigenvalue of the last two rows that is closer to the last element; now and then something else.
        let (p, q, r, s) =
            (a[(last - 1) * n + last - 1], a[(last - 1) * n + last], a[last * n + last - 1], a[last * n + last]);
        let shift = if steps % 10 == 0 {
            s + c(r.size(), 0.0)
        } else {
            let half = (p - s) * 0.5;
            let root = (half * half + q * r).sqrt();
            let far = if (half + root).size() > (half - root).size() { half + root } else { half - root };
            if far.holds() {
                s - q * r / far
            } else {
                s
            }
        };
        (start..end).for_each(|i| a[i * n + i] = a[i * n + i] - shift);
        for k in start..last {
            let (x, y) = (a[k * n + k], a[(k + 1) * n + k]);
            let length = x.abs().hypot(y.abs());
            let turn = if length == 0.0 { (ONE, ZERO) } else { (x * (1.0 / length), y * (1.0 / length)) };
            turns[k] = turn;
            pace.step(16 * (n - k));
            for j in k..n {
                let (x, y) = (a[k * n + j], a[(k + 1) * n + j]);
                a[k * n + j] = turn.0.conj() * x + turn.1.conj() * y;
                a[(k + 1) * n + j] = turn.0 * y - turn.1 * x;
            }
            a[(k + 1) * n + k] = ZERO;
        }
        for k in start..last {
            let turn = turns[k];
            pace.step(16 * (k + n));
            let rows = (k + 2).min(end);
            for row in a[..rows * n].chunks_exact_mut(n).chain(z.chunks_exact_mut(n)) {
                let (x, y) = (row[k], row[k + 1]);
                row[k] = turn.0 * x + turn.1 * y;
                row[k + 1] = turn.0.conj() * y - turn.1.conj() * x;
            }
        }
        (start..end).for_each(|i| a[i * n + i] = a[i * n + i] + shift);
    }
    Ok(true)
}
