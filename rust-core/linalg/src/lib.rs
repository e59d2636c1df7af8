//! Dense factorisations of single matrices by [faer](https://docs.rs/faer), compiled for f32 and f64 in this crate, so that
//! those who use it need not compile them again.
//!
//! Matrices are row-major; none may be empty. Every call works in memory that it is given, as much as its namesake with
//! `_work` says (`usize::MAX` for more than can be counted): it allocates nothing itself, apart from [`PACKING`], and starts
//! no threads. Results depend on the elements alone. Signs follow LAPACK's conventions.

use faer::linalg::{cholesky::llt, evd, householder, lu::partial_pivoting as lu, qr::no_pivoting as qr, svd};
use faer::linalg::{temp_mat_scratch, temp_mat_uninit, triangular_solve};
use faer::mat::AsMatMut;
use faer::prelude::{Reborrow, ReborrowMut};
use faer::{dyn_stack::MemStack, dyn_stack::StackReq, traits::RealField};
use faer::{Accum, Conj, MatMut, MatRef, Par};
use std::alloc::Layout;
use std::mem::MaybeUninit;

/// Workspace.
pub type Work = [MaybeUninit<u8>];

/// The largest vectors of a processor: where they begin may change the order of sums, so workspace begins at such a place.
const ALIGN: usize = 64;

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Not a number among the elements.
    NotFinite,
    /// Too many iterations.
    NoConvergence,
    /// This pivot is zero.
    Singular(usize),
    /// The leading minor of this order is not positive.
    NotPositive(usize),
}

/// The block that the first call of each thread takes from the global allocator in a way that ends the process if there is
/// none: faer's matrix product keeps it for packing. Its size follows from a constant of the version that Cargo.toml names.
pub const PACKING: Option<Layout> = match Layout::from_size_align(4 << 20, 4096) {
    Ok(block) if cfg!(target_arch = "x86_64") => Some(block),
    _ => None,
};

/// Has this thread take its block ([`PACKING`]).
pub fn warm_up() {
    const N: usize = 24;
    let a = [1.0f32; N * N];
    let mut out = [0.0f32; N * N];
    let (a, to) = (rows(&a, N, N), rows_mut(&mut out, N, N));
    faer::linalg::matmul::matmul(to, Accum::Replace, a, a, 1.0f32, Par::Seq);
}

/// Which singular vectors are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vectors {
    /// None.
    No,
    /// As many as there are singular values.
    Thin,
    /// Square matrices of them.
    Full,
}

macro_rules! real {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $t:ty),* $(,)?) $(-> $out:ty)?;)+) => {
        /// f32 and f64.
        pub trait Real: Number {
            $($(#[$doc])* fn $name($($arg: $t),*) $(-> $out)?;)+
        }
        impl Real for f32 {
            $(fn $name($($arg: $t),*) $(-> $out)? { imp::$name::<f32>($($arg),*) })+
        }
        impl Real for f64 {
            $(fn $name($($arg: $t),*) $(-> $out)? { imp::$name::<f64>($($arg),*) })+
        }
    };
}

real! {
    /// Bytes for [`Real::svd`].
    fn svd_work(shape: [usize; 2], vectors: Vectors) -> usize;
    /// Singular values (falling) of the `m x n` matrix `a` into `s`; left singular vectors as columns of `u`, `m x m` or
    /// `m x min(m, n)`, and right ones as rows of `vh`, `n x n` or `min(m, n) x n` (both empty if they are not wanted). NaN is
    /// an error, infinity gives NaN.
    fn svd(a: &[Self], shape: [usize; 2], vectors: Vectors, u: &mut [Self], s: &mut [Self], vh: &mut [Self], work: &mut Work)
        -> Result<(), Failed>;
    /// Bytes for [`Real::eigh`].
    fn eigh_work(n: usize, vectors: bool) -> usize;
    /// Eigenvalues (rising) of the symmetric `n x n` matrix of which `a` holds the lower (or `upper`) triangle, and, if
    /// wanted, eigenvectors as columns. NaN and infinity give NaN.
    fn eigh(a: &[Self], n: usize, upper: bool, values: &mut [Self], vectors: Option<&mut [Self]>, work: &mut Work)
        -> Result<(), Failed>;
    /// Bytes for [`Real::qr`].
    fn qr_work(shape: [usize; 2], cols: usize) -> usize;
    /// Householder QR of the `m x n` matrix `a`: `r` is `cols x n` and `q`, if wanted, `m x cols`. NaN and
    /// infinity give NaN.
    fn qr(a: &[Self], shape: [usize; 2], cols: usize, q: Option<&mut [Self]>, r: &mut [Self], work: &mut Work);
    /// The reflections of [`Real::qr`] in the place of the `m x n` matrix `a`, as LAPACK leaves them: `R` in the upper
    /// triangle, below it the vectors, which begin with a 1, and as many factors `tau`. Needs as many bytes (with `cols` of 0).
    fn reflections(a: &mut [Self], shape: [usize; 2], tau: &mut [Self], work: &mut Work);
    /// Bytes for [`Real::lu`].
    fn lu_work(shape: [usize; 2]) -> usize;
    /// The factors `P A = L U` of the `m x n` matrix `a` in its place; `pivots[k]` counts, from 1, the row that changes places
    /// with row `k`.
    fn lu(a: &mut [Self], shape: [usize; 2], pivots: &mut [i32], work: &mut Work);
    /// Bytes for [`Real::eig`].
    fn eig_work(n: usize, vectors: bool) -> usize;
    /// Eigenvalues of the `n x n` matrix `a` and, if wanted, eigenvectors of length 1 as columns, as complex numbers: real
    /// and imaginary parts in turn. The greatest elements of the vectors are real. NaN and infinity are an error.
    fn eig(a: &[Self], n: usize, values: &mut [Self], vectors: Option<&mut [Self]>, work: &mut Work)
        -> Result<(), Failed>;
    /// Bytes for [`Real::least_squares`].
    fn least_squares_work(shape: [usize; 2], w: usize) -> usize;
    /// The `n x w` matrix `to` of least norm with the least `|A to - B|`, for an `m x n` matrix `a` of full rank and `m x w`
    /// elements of `b`, by QR. Returns an estimate of the condition number of `a`, as a rule by less than a factor of 3 too
    /// low: where it is beyond use or not a number, so is `to`.
    fn least_squares(a: &[Self], shape: [usize; 2], b: &[Self], w: usize, to: &mut [Self], work: &mut Work) -> f64;
    /// Bytes for [`Real::determinant`] (with `w` of 0) and [`Real::solve`].
    fn solve_work(n: usize, w: usize) -> usize;
    /// Sign, logarithm of the absolute value, and value of the determinant of the `n x n` matrix `a`.
    fn determinant(a: &[Self], n: usize, work: &mut Work) -> [f64; 3];
    /// Replaces the `n x w` matrix `b` by the solution of `A X = B`; says so if a pivot of `a` is zero.
    fn solve(a: &[Self], n: usize, b: &mut [Self], w: usize, work: &mut Work) -> Result<(), Failed>;
    /// Bytes for [`Real::solve_triangular`].
    fn solve_triangular_work(n: usize, w: usize) -> usize;
    /// Replaces the `n x w` matrix `b` by the solution of `T X = B`; `T` is the upper or lower triangle of `a`, with ones on
    /// the diagonal if `unit`. If not `left`, `b` is `w x n` and the equation `X T = B`.
    fn solve_triangular(a: &[Self], n: usize, b: &mut [Self], w: usize, upper_left_unit: [bool; 3], work: &mut Work);
    /// Bytes for [`Real::cholesky`].
    fn cholesky_work(n: usize) -> usize;
    /// The Cholesky factor of the symmetric `n x n` matrix whose lower (or `upper`) triangle `a` holds, in place: that
    /// triangle, with zeros on the other side.
    fn cholesky(a: &mut [Self], n: usize, upper: bool, work: &mut Work) -> Result<(), Failed>;
}

/// What the two have in common.
pub trait Number: RealField + Copy {
    /// Largest absolute values between these need no scaling: their squares neither overflow nor vanish.
    const PLAIN: [f64; 2];
    /// Inverses of powers of two up to this exponent are exact.
    const EXPONENT: f64;
    /// Rounds.
    fn of(v: f64) -> Self;
    /// Exact.
    fn f64(self) -> f64;
}

impl Number for f32 {
    const PLAIN: [f64; 2] = [1e-12, 1e12];
    const EXPONENT: f64 = 126.0;
    fn of(v: f64) -> Self {
        v as f32
    }
    fn f64(self) -> f64 {
        self.into()
    }
}

impl Number for f64 {
    const PLAIN: [f64; 2] = [1e-138, 1e138];
    const EXPONENT: f64 = 1022.0;
    fn of(v: f64) -> Self {
        v
    }
    fn f64(self) -> f64 {
        self
    }
}

fn rows<T>(a: &[T], m: usize, n: usize) -> MatRef<'_, T> {
    MatRef::from_row_major_slice(a, m, n)
}

fn rows_mut<T>(a: &mut [T], m: usize, n: usize) -> MatMut<'_, T> {
    MatMut::from_row_major_slice_mut(a, m, n)
}

/// `to = from`. One of them may run across the lines of the cache, hence the blocks.
fn copy<T: Number>(mut to: MatMut<'_, T>, from: MatRef<'_, T>) {
    const BLOCK: usize = 16;
    let (m, n) = (from.nrows(), from.ncols());
    assert!(to.nrows() == m && to.ncols() == n);
    if to.row_stride() == 1 && from.row_stride() == 1 {
        return to.copy_from(from);
    }
    let ([ti, tj], [fi, fj]) = ([to.row_stride(), to.col_stride()], [from.row_stride(), from.col_stride()]);
    let (to, from) = (to.as_ptr_mut(), from.as_ptr());
    for j in (0..n).step_by(BLOCK) {
        for i in (0..m).step_by(BLOCK) {
            for j in (j..(j + BLOCK).min(n)).map(|j| j as isize) {
                for i in (i..(i + BLOCK).min(m)).map(|i| i as isize) {
                    // SAFETY: an element of both, which overlap nowhere.
                    unsafe { *to.offset(i * ti + j * tj) = *from.offset(i * fi + j * fj) };
                }
            }
        }
    }
}

fn set_identity<T: Number>(mut a: MatMut<'_, T>) {
    a.fill(T::of(0.0));
    (0..a.nrows().min(a.ncols())).for_each(|i| a[(i, i)] = T::of(1.0));
}

/// `a *= f`
fn scale<T: Number>(mut a: MatMut<'_, T>, f: f64) {
    if f != 1.0 {
        for j in 0..a.ncols() {
            a.rb_mut().col_mut(j).iter_mut().for_each(|v| *v = T::of(v.f64() * f));
        }
    }
}

/// What the elements of a matrix are like.
enum Size {
    Nan,
    Infinite,
    /// A power of two by which they are to be divided.
    Scale(f64),
}

fn size_of_elements<T: Number>(elements: impl Iterator<Item = T>) -> Size {
    let (mut largest, mut nan) = (0.0f64, false);
    for v in elements {
        let v = v.f64().abs();
        nan |= v.is_nan();
        largest = if v > largest { v } else { largest };
    }
    if nan {
        return Size::Nan;
    }
    if largest == f64::INFINITY {
        return Size::Infinite;
    }
    let [low, high] = T::PLAIN;
    Size::Scale(match largest == 0.0 || (low..high).contains(&largest) {
        true => 1.0,
        false => largest.log2().floor().clamp(-T::EXPONENT, T::EXPONENT).exp2(),
    })
}

/// A column-major matrix on the stack; the rest of that is `$stack` from here on.
macro_rules! temporary {
    ($name:ident[$m:expr, $n:expr] of $T:ident, $stack:ident) => {
        // SAFETY: plain numbers, which are written before they are read.
        let (mut $name, $stack) = unsafe { temp_mat_uninit::<$T, _, _>($m, $n, $stack) };
        let mut $name = $name.as_mat_mut();
    };
}

fn bytes(parts: &[StackReq]) -> usize {
    match StackReq::all_of(parts).unaligned_bytes_required() {
        usize::MAX => usize::MAX,
        n => n.saturating_add(ALIGN),
    }
}

/// True for matrices that nobody has memory for: faer must not be asked about them.
fn is_beyond(m: usize, n: usize) -> bool {
    m.max(64).saturating_mul(n.max(64)) >= 1 << 48
}

fn stack(work: &mut Work) -> &mut MemStack {
    let skip = work.as_ptr().align_offset(ALIGN).min(work.len());
    MemStack::new(&mut work[skip..])
}

/// Runs an expression with `N` of `n`, for matrices that are factored right here, in f64: calls of blocked code would cost
/// more than the work.
macro_rules! small {
    ($n:expr, $N:ident => $small:expr, _ => $large:expr) => {
        small!(@ $n, $N => $small, _ => $large, 1 2 3 4 5 6 7 8)
    };
    (@ $n:expr, $N:ident => $small:expr, _ => $large:expr, $($size:literal)+) => {
        match $n {
            $($size => {
                const $N: usize = $size;
                $small
            })+
            _ => $large,
        }
    };
}

/// The factors `P A = L U` of a small matrix.
struct Small<const N: usize> {
    x: [[f64; N]; N],
    /// The rows of `A`, in their new order.
    order: [usize; N],
    odd: bool,
}

impl<const N: usize> Small<N> {
    fn new<T: Number>(a: &[T]) -> Self {
        let (mut x, mut order, mut odd) = ([[0.0; N]; N], std::array::from_fn(|i| i), false);
        for (x, a) in x.iter_mut().zip(a.chunks_exact(N)) {
            x.iter_mut().zip(a).for_each(|(x, a)| *x = a.f64());
        }
        for k in 0..N {
            // A NaN is taken as pivot: it must not be lost.
            let mut p = k;
            for i in k + 1..N {
                let (v, best) = (x[i][k].abs(), x[p][k].abs());
                if v > best || (v.is_nan() && !best.is_nan()) {
                    p = i;
                }
            }
            if p != k {
                x.swap(k, p);
                order.swap(k, p);
                odd = !odd;
            }
            let top = x[k];
            if top[k] == 0.0 {
                continue;
            }
            for row in &mut x[k + 1..] {
                let f = row[k] / top[k];
                row[k] = f;
                (k + 1..N).for_each(|j| row[j] -= f * top[j]);
            }
        }
        Small { x, order, odd }
    }

    fn pivots(&self) -> impl Iterator<Item = f64> + '_ {
        (0..N).map(|i| self.x[i][i])
    }

    fn solve<T: Number>(&self, b: &mut [T], w: usize) -> Result<(), Failed> {
        if let Some(at) = self.pivots().position(|p| p == 0.0) {
            return Err(Failed::Singular(at));
        }
        for c in 0..w {
            let mut y: [f64; N] = std::array::from_fn(|i| b[self.order[i] * w + c].f64());
            for i in 0..N {
                (0..i).for_each(|j| y[i] -= self.x[i][j] * y[j]);
            }
            for i in (0..N).rev() {
                (i + 1..N).for_each(|j| y[i] -= self.x[i][j] * y[j]);
                y[i] /= self.x[i][i];
            }
            (0..N).for_each(|i| b[i * w + c] = T::of(y[i]));
        }
        Ok(())
    }
}

/// As [`Real::cholesky`] for a small matrix of which these are the strides; what the factor has as zeros is left alone.
fn small_cholesky<T: Number, const N: usize>(a: &mut [T], [ti, tj]: [usize; 2]) -> Result<(), Failed> {
    let mut x = [[0.0; N]; N];
    for j in 0..N {
        for i in j..N {
            let mut v = a[i * ti + j * tj].f64();
            (0..j).for_each(|k| v -= x[i][k] * x[j][k]);
            if i > j {
                x[i][j] = v / x[j][j];
            } else if v > 0.0 {
                x[j][j] = v.sqrt();
            } else {
                return Err(Failed::NotPositive(j + 1));
            }
        }
    }
    for j in 0..N {
        (j..N).for_each(|i| a[i * ti + j * tj] = T::of(x[i][j]));
    }
    Ok(())
}

/// Sign, logarithm and value of a determinant from the pivots.
fn product<T: Number>(a: &[T], odd: bool, pivots: impl Iterator<Item = f64>) -> [f64; 3] {
    let sign = if odd { -1.0 } else { 1.0 };
    let mut d = [sign, 0.0, sign];
    for p in pivots {
        d[0] *= if p == 0.0 { 0.0 } else { p.signum() };
        d[1] += p.abs().ln();
        d[2] *= p;
        // What follows a zero is not a number; it counts only if it came in.
        if p == 0.0 && !a.iter().any(|v| v.f64().is_nan()) {
            return [0.0, f64::NEG_INFINITY, 0.0];
        }
    }
    d
}

mod imp {
    use super::*;

    fn kinds(m: usize, n: usize, vectors: Vectors) -> [svd::ComputeSvdVectors; 2] {
        use svd::ComputeSvdVectors as Kind;
        match vectors {
            Vectors::No => [Kind::No, Kind::No],
            Vectors::Full if m > n => [Kind::Full, Kind::Thin],
            _ => [Kind::Thin, Kind::Thin],
        }
    }

    /// Columns of the larger factor of a matrix of `m >= n`, and of the smaller.
    fn columns(m: usize, n: usize, vectors: Vectors) -> [usize; 2] {
        match vectors {
            Vectors::No => [0, 0],
            Vectors::Thin => [n, n],
            Vectors::Full => [m, n],
        }
    }

    pub fn svd_work<T: Number>([m, n]: [usize; 2], vectors: Vectors) -> usize {
        let (m, n) = (m.max(n), m.min(n));
        let ([large, small], [u, v]) = (columns(m, n, vectors), kinds(m, n, vectors));
        if is_beyond(m, n.max(large)) {
            return usize::MAX;
        }
        bytes(&[
            temp_mat_scratch::<T>(m, n),
            temp_mat_scratch::<T>(n, 1),
            temp_mat_scratch::<T>(m, large),
            temp_mat_scratch::<T>(n, small),
            svd::svd_scratch::<T>(m, n, u, v, Par::Seq, Default::default()),
        ])
    }

    pub fn svd<T: Number>(
        a: &[T],
        [m, n]: [usize; 2],
        vectors: Vectors,
        u: &mut [T],
        s: &mut [T],
        vh: &mut [T],
        work: &mut Work,
    ) -> Result<(), Failed> {
        let size = match size_of_elements(a.iter().copied()) {
            Size::Nan => return Err(Failed::NotFinite),
            Size::Infinite => {
                [u, s, vh].into_iter().for_each(|x| x.fill(T::of(f64::NAN)));
                return Ok(());
            }
            Size::Scale(f) => f,
        };
        // A wide matrix is taken as the transpose of a tall one.
        let (tall, m, n) = (m >= n, m.max(n), m.min(n));
        let [large, small] = columns(m, n, vectors);
        let stack = stack(work);
        temporary!(x[m, n] of T, stack);
        temporary!(values[n, 1] of T, stack);
        temporary!(left[m, large] of T, stack);
        temporary!(right[n, small] of T, stack);
        copy(x.rb_mut(), if tall { rows(a, m, n) } else { MatRef::from_column_major_slice(a, m, n) });
        scale(x.rb_mut(), 1.0 / size);
        // faer expects zeros in some places.
        [values.rb_mut(), left.rb_mut(), right.rb_mut()].into_iter().for_each(|mut x| x.fill(T::of(0.0)));
        let d = values.rb_mut().col_mut(0).as_diagonal_mut();
        let (l, r) = match vectors {
            Vectors::No => (None, None),
            _ => (Some(left.rb_mut()), Some(right.rb_mut())),
        };
        svd::svd(x.rb(), d, l, r, Par::Seq, stack, Default::default()).map_err(|_| Failed::NoConvergence)?;
        scale(values.rb_mut(), size);
        s.iter_mut().enumerate().for_each(|(i, s)| *s = values[(i, 0)]);
        if vectors != Vectors::No {
            let (l, r) = if tall { (left, right) } else { (right, left) };
            copy(rows_mut(u, l.nrows(), l.ncols()), l.rb());
            copy(MatMut::from_column_major_slice_mut(vh, r.nrows(), r.ncols()), r.rb());
        }
        Ok(())
    }

    pub fn eigh_work<T: Number>(n: usize, vectors: bool) -> usize {
        let kind = if vectors { evd::ComputeEigenvectors::Yes } else { evd::ComputeEigenvectors::No };
        if is_beyond(n, n) {
            return usize::MAX;
        }
        bytes(&[
            temp_mat_scratch::<T>(n, n),
            temp_mat_scratch::<T>(n, 1),
            temp_mat_scratch::<T>(n, if vectors { n } else { 0 }),
            evd::self_adjoint_evd_scratch::<T>(n, kind, Par::Seq, Default::default()),
        ])
    }

    pub fn eigh<T: Number>(
        a: &[T],
        n: usize,
        upper: bool,
        values: &mut [T],
        vectors: Option<&mut [T]>,
        work: &mut Work,
    ) -> Result<(), Failed> {
        let triangle = (0..n).flat_map(|i| &a[if upper { i * n + i..(i + 1) * n } else { i * n..i * n + i + 1 }]);
        let Size::Scale(size) = size_of_elements(triangle.copied()) else {
            values.fill(T::of(f64::NAN));
            if let Some(v) = vectors {
                v.fill(T::of(f64::NAN));
            }
            return Ok(());
        };
        let stack = stack(work);
        temporary!(x[n, n] of T, stack);
        temporary!(w[n, 1] of T, stack);
        temporary!(v[n, if vectors.is_some() { n } else { 0 }] of T, stack);
        // faer reads the lower triangle.
        copy(x.rb_mut(), if upper { MatRef::from_column_major_slice(a, n, n) } else { rows(a, n, n) });
        scale(x.rb_mut(), 1.0 / size);
        [w.rb_mut(), v.rb_mut()].into_iter().for_each(|mut x| x.fill(T::of(0.0)));
        let d = w.rb_mut().col_mut(0).as_diagonal_mut();
        let to = vectors.is_some().then(|| v.rb_mut());
        evd::self_adjoint_evd(x.rb(), d, to, Par::Seq, stack, Default::default()).map_err(|_| Failed::NoConvergence)?;
        scale(w.rb_mut(), size);
        values.iter_mut().enumerate().for_each(|(i, s)| *s = w[(i, 0)]);
        if let Some(to) = vectors {
            copy(rows_mut(to, n, n), v.rb());
        }
        Ok(())
    }

    pub fn qr_work<T: Number>([m, n]: [usize; 2], cols: usize) -> usize {
        if is_beyond(m, n.max(cols)) {
            return usize::MAX;
        }
        let block = qr::factor::recommended_block_size::<T>(m, n);
        bytes(&[
            temp_mat_scratch::<T>(m, n),
            temp_mat_scratch::<T>(block, m.min(n)),
            temp_mat_scratch::<T>(m, cols),
            StackReq::any_of(&[
                qr::factor::qr_in_place_scratch::<T>(m, n, block, Par::Seq, Default::default()),
                householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<T>(m, block, cols),
            ]),
        ])
    }

    pub fn qr<T: Number>(a: &[T], [m, n]: [usize; 2], cols: usize, q: Option<&mut [T]>, r: &mut [T], work: &mut Work) {
        let k = m.min(n);
        let block = qr::factor::recommended_block_size::<T>(m, n);
        let Size::Scale(size) = size_of_elements(a.iter().copied()) else {
            for i in 0..cols {
                let (zeros, others) = r[i * n..(i + 1) * n].split_at_mut(i.min(n));
                zeros.fill(T::of(0.0));
                others.fill(T::of(f64::NAN));
            }
            if let Some(q) = q {
                q.fill(T::of(f64::NAN));
            }
            return;
        };
        let stack = stack(work);
        temporary!(x[m, n] of T, stack);
        temporary!(h[block, k] of T, stack);
        temporary!(columns[m, if q.is_some() { cols } else { 0 }] of T, stack);
        copy(x.rb_mut(), rows(a, m, n));
        scale(x.rb_mut(), 1.0 / size);
        h.fill(T::of(0.0));
        qr::factor::qr_in_place(x.rb_mut(), h.rb_mut(), Par::Seq, stack, Default::default());
        if let Some(q) = q {
            set_identity(columns.rb_mut());
            householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
                x.rb().subcols(0, k),
                h.rb(),
                Conj::No,
                columns.rb_mut(),
                Par::Seq,
                stack,
            );
            copy(rows_mut(q, m, cols), columns.rb());
        }
        scale(x.rb_mut(), size);
        copy(rows_mut(r, cols, n), x.rb().subrows(0, cols));
        for i in 1..cols {
            r[i * n..i * n + i.min(n)].fill(T::of(0.0));
        }
    }

    pub fn reflections<T: Number>(a: &mut [T], [m, n]: [usize; 2], tau: &mut [T], work: &mut Work) {
        let k = m.min(n);
        let block = qr::factor::recommended_block_size::<T>(m, n);
        let Size::Scale(size) = size_of_elements(a.iter().copied()) else {
            a.fill(T::of(f64::NAN));
            tau.fill(T::of(f64::NAN));
            return;
        };
        let stack = stack(work);
        temporary!(x[m, n] of T, stack);
        temporary!(h[block, k] of T, stack);
        copy(x.rb_mut(), rows(a, m, n));
        scale(x.rb_mut(), 1.0 / size);
        h.fill(T::of(0.0));
        qr::factor::qr_in_place(x.rb_mut(), h.rb_mut(), Par::Seq, stack, Default::default());
        // faer keeps the inverses of the factors, in blocks of triangles.
        tau.iter_mut().enumerate().for_each(|(i, t)| *t = T::of(1.0 / h[(i % block, i)].f64()));
        copy(rows_mut(a, m, n), x.rb());
        if size != 1.0 {
            for i in 0..k {
                a[i * n + i..(i + 1) * n].iter_mut().for_each(|v| *v = T::of(v.f64() * size));
            }
        }
    }

    pub fn lu_work<T: Number>([m, n]: [usize; 2]) -> usize {
        if is_beyond(m, n) {
            return usize::MAX;
        }
        bytes(&[
            StackReq::new::<usize>(m),
            StackReq::new::<usize>(m),
            StackReq::new::<usize>(m),
            temp_mat_scratch::<T>(m, n),
            lu::factor::lu_in_place_scratch::<usize, T>(m, n, Par::Seq, Default::default()),
        ])
    }

    pub fn lu<T: Number>(a: &mut [T], [m, n]: [usize; 2], pivots: &mut [i32], work: &mut Work) {
        let stack = stack(work);
        let (mut forward, stack) = stack.make_with::<usize>(m, |_| 0);
        let (mut inverse, stack) = stack.make_with::<usize>(m, |_| 0);
        let (mut third, stack) = stack.make_with::<usize>(m, |_| 0);
        temporary!(x[m, n] of T, stack);
        copy(x.rb_mut(), rows(a, m, n));
        let (order, place, row) = (&mut *forward, &mut *inverse, &mut *third);
        lu::factor::lu_in_place(x.rb_mut(), order, place, Par::Seq, stack, Default::default());
        copy(rows_mut(a, m, n), x.rb());
        // From the order of the rows to the exchanges that lead there: where each row is, and what is in each place, after
        // those so far.
        (0..m).for_each(|i| (place[i], row[i]) = (i, i));
        for (k, pivot) in pivots.iter_mut().enumerate() {
            let p = place[order[k]];
            *pivot = p as i32 + 1;
            place.swap(row[k], row[p]);
            row.swap(k, p);
        }
    }

    pub fn eig_work<T: Number>(n: usize, vectors: bool) -> usize {
        let kind = if vectors { evd::ComputeEigenvectors::Yes } else { evd::ComputeEigenvectors::No };
        if is_beyond(n, n) {
            return usize::MAX;
        }
        bytes(&[
            temp_mat_scratch::<T>(n, n),
            temp_mat_scratch::<T>(n, 2),
            temp_mat_scratch::<T>(n, if vectors { n } else { 0 }),
            evd::evd_scratch::<T>(n, evd::ComputeEigenvectors::No, kind, Par::Seq, Default::default()),
        ])
    }

    pub fn eig<T: Number>(
        a: &[T],
        n: usize,
        values: &mut [T],
        vectors: Option<&mut [T]>,
        work: &mut Work,
    ) -> Result<(), Failed> {
        let Size::Scale(size) = size_of_elements(a.iter().copied()) else {
            return Err(Failed::NotFinite);
        };
        let stack = stack(work);
        temporary!(x[n, n] of T, stack);
        temporary!(w[n, 2] of T, stack);
        temporary!(v[n, if vectors.is_some() { n } else { 0 }] of T, stack);
        copy(x.rb_mut(), rows(a, n, n));
        scale(x.rb_mut(), 1.0 / size);
        [w.rb_mut(), v.rb_mut()].into_iter().for_each(|mut x| x.fill(T::of(0.0)));
        let (re, im) = w.rb_mut().split_at_col_mut(1);
        let (re, im) = (re.col_mut(0).as_diagonal_mut(), im.col_mut(0).as_diagonal_mut());
        let to = vectors.is_some().then(|| v.rb_mut());
        evd::evd_real(x.rb(), re, im, None, to, Par::Seq, stack, Default::default())
            .map_err(|_| Failed::NoConvergence)?;
        for i in 0..n {
            (values[2 * i], values[2 * i + 1]) = (T::of(w[(i, 0)].f64() * size), T::of(w[(i, 1)].f64() * size));
        }
        let Some(to) = vectors else { return Ok(()) };
        let mut k = 0;
        while k < n {
            // A pair of conjugates: real and imaginary parts of the first one's vector.
            let pair = w[(k, 1)].f64() != 0.0 && k + 1 < n;
            let part = |i: usize| (v[(i, k)].f64(), if pair { v[(i, k + 1)].f64() } else { 0.0 });
            let square = |i: usize| part(i).0.powi(2) + part(i).1.powi(2);
            let length = (0..n).map(square).sum::<f64>().sqrt();
            let most = (0..n).fold(0, |m, i| if square(i) > square(m) { i } else { m });
            let (p, q) = part(most);
            let (p, q) = if pair { (p / p.hypot(q) / length, -q / p.hypot(q) / length) } else { (1.0 / length, 0.0) };
            for i in 0..n {
                let (x, y) = part(i);
                let (re, mut im) = (x * p - y * q, x * q + y * p);
                if i == most {
                    im = 0.0;
                }
                let at = 2 * (i * n + k);
                (to[at], to[at + 1]) = (T::of(re), T::of(im));
                if pair {
                    (to[at + 2], to[at + 3]) = (T::of(re), T::of(-im));
                }
            }
            k += if pair { 2 } else { 1 };
        }
        Ok(())
    }

    pub fn least_squares_work<T: Number>([m, n]: [usize; 2], w: usize) -> usize {
        let (m, n) = (m.max(n), m.min(n));
        if is_beyond(m, n.max(w)) {
            return usize::MAX;
        }
        let block = qr::factor::recommended_block_size::<T>(m, n);
        bytes(&[
            temp_mat_scratch::<T>(m, n),
            temp_mat_scratch::<T>(block, n),
            temp_mat_scratch::<T>(m, w),
            temp_mat_scratch::<f64>(n, 1),
            StackReq::any_of(&[
                qr::factor::qr_in_place_scratch::<T>(m, n, block, Par::Seq, Default::default()),
                householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<T>(m, block, w),
                householder::apply_block_householder_sequence_transpose_on_the_left_in_place_scratch::<T>(m, block, w),
            ]),
        ])
    }

    pub fn least_squares<T: Number>(
        a: &[T],
        [m, n]: [usize; 2],
        b: &[T],
        w: usize,
        to: &mut [T],
        work: &mut Work,
    ) -> f64 {
        let Size::Scale(size) = size_of_elements(a.iter().copied()) else {
            to.fill(T::of(f64::NAN));
            return f64::NAN;
        };
        // A wide matrix is taken as the transpose of a tall one.
        let (tall, m, n) = (m >= n, m.max(n), m.min(n));
        let block = qr::factor::recommended_block_size::<T>(m, n);
        let stack = stack(work);
        temporary!(x[m, n] of T, stack);
        temporary!(h[block, n] of T, stack);
        temporary!(y[m, w] of T, stack);
        temporary!(v[n, 1] of f64, stack);
        copy(x.rb_mut(), if tall { rows(a, m, n) } else { MatRef::from_column_major_slice(a, m, n) });
        scale(x.rb_mut(), 1.0 / size);
        h.fill(T::of(0.0));
        qr::factor::qr_in_place(x.rb_mut(), h.rb_mut(), Par::Seq, stack, Default::default());
        let r = x.rb().subrows(0, n);
        if tall {
            copy(y.rb_mut(), rows(b, m, w));
            householder::apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj(
                x.rb(),
                h.rb(),
                Conj::No,
                y.rb_mut(),
                Par::Seq,
                stack,
            );
            triangular_solve::solve_upper_triangular_in_place(r, y.rb_mut().subrows_mut(0, n), Par::Seq);
        } else {
            let (mut top, mut rest) = y.rb_mut().split_at_row_mut(n);
            copy(top.rb_mut(), rows(b, n, w));
            rest.fill(T::of(0.0));
            triangular_solve::solve_lower_triangular_in_place(r.transpose(), top, Par::Seq);
            householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
                x.rb(),
                h.rb(),
                Conj::No,
                y.rb_mut(),
                Par::Seq,
                stack,
            );
        }
        scale(y.rb_mut(), 1.0 / size);
        let found = if tall { n } else { m };
        copy(rows_mut(to, found, w), y.rb().subrows(0, found));
        condition(r, v.rb_mut().col_mut(0).try_as_col_major_mut().unwrap().as_slice_mut())
    }

    /// An estimate of the condition number of the upper triangle of `r`, from below, by the power method.
    fn condition<T: Number>(r: MatRef<'_, T>, v: &mut [f64]) -> f64 {
        const STEPS: usize = 4;
        let n = v.len();
        let column = |j: usize| r.col(j).subrows(0, j + 1).try_as_col_major().unwrap().as_slice();
        let dot = |j: usize, v: &[f64]| column(j).iter().zip(v).map(|(r, v)| r.f64() * v).sum::<f64>();
        let add = |j: usize, f: f64, v: &mut [f64]| column(j).iter().zip(v).for_each(|(r, v)| *v += f * r.f64());
        let mut norm = |apply: &dyn Fn(&mut [f64])| {
            // Numbers without a pattern, the same each time.
            let mut state = 1u32;
            v.iter_mut().for_each(|v| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *v = 0.5 + f64::from(state) / f64::from(u32::MAX);
                *v = if state >> 15 & 1 == 0 { *v } else { -*v };
            });
            let mut norm = 0.0;
            for _ in 0..STEPS {
                let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
                let before = length(v);
                v.iter_mut().for_each(|v| *v /= before);
                apply(v);
                norm = length(v);
            }
            norm.sqrt()
        };
        let largest = norm(&|v| {
            // R v from the top, then R' of that from the bottom: each place is read before it is written.
            for j in 0..n {
                let f = v[j];
                v[j] = 0.0;
                add(j, f, &mut v[..=j]);
            }
            for j in (0..n).rev() {
                v[j] = dot(j, &v[..=j]);
            }
        });
        let inverse = norm(&|v| {
            for j in 0..n {
                let known = dot(j, &v[..j]);
                v[j] = (v[j] - known) / column(j)[j].f64();
            }
            for j in (0..n).rev() {
                v[j] /= column(j)[j].f64();
                let f = v[j];
                let (above, _) = v.split_at_mut(j);
                add(j, -f, above);
            }
        });
        largest * inverse
    }

    pub fn solve_work<T: Number>(n: usize, w: usize) -> usize {
        if is_beyond(n, n.max(w)) {
            return usize::MAX;
        }
        bytes(&[
            StackReq::new::<usize>(n),
            StackReq::new::<usize>(n),
            temp_mat_scratch::<T>(n, n),
            temp_mat_scratch::<T>(n, w),
            StackReq::any_of(&[
                lu::factor::lu_in_place_scratch::<usize, T>(n, n, Par::Seq, Default::default()),
                lu::solve::solve_in_place_scratch::<usize, T>(n, w, Par::Seq),
            ]),
        ])
    }

    pub fn determinant<T: Number>(a: &[T], n: usize, work: &mut Work) -> [f64; 3] {
        small!(n, N => {
            let lu = Small::<N>::new(a);
            product(a, lu.odd, lu.pivots())
        }, _ => {
            let stack = stack(work);
            let (mut forward, stack) = stack.make_with::<usize>(n, |_| 0);
            let (mut inverse, stack) = stack.make_with::<usize>(n, |_| 0);
            temporary!(x[n, n] of T, stack);
            copy(x.rb_mut(), rows(a, n, n));
            let (forward, inverse) = (&mut *forward, &mut *inverse);
            let (info, _) = lu::factor::lu_in_place(x.rb_mut(), forward, inverse, Par::Seq, stack, Default::default());
            product(a, info.transposition_count % 2 == 1, (0..n).map(|i| x[(i, i)].f64()))
        })
    }

    pub fn solve<T: Number>(a: &[T], n: usize, b: &mut [T], w: usize, work: &mut Work) -> Result<(), Failed> {
        small!(n, N => Small::<N>::new(a).solve(b, w), _ => {
            let stack = stack(work);
            let (mut forward, stack) = stack.make_with::<usize>(n, |_| 0);
            let (mut inverse, stack) = stack.make_with::<usize>(n, |_| 0);
            temporary!(x[n, n] of T, stack);
            temporary!(to[n, w] of T, stack);
            copy(x.rb_mut(), rows(a, n, n));
            let (forward, inverse) = (&mut *forward, &mut *inverse);
            let (_, order) = lu::factor::lu_in_place(x.rb_mut(), forward, inverse, Par::Seq, stack, Default::default());
            if let Some(at) = (0..n).find(|&i| x[(i, i)].f64() == 0.0) {
                return Err(Failed::Singular(at));
            }
            copy(to.rb_mut(), rows(b, n, w));
            lu::solve::solve_in_place_with_conj(x.rb(), x.rb(), order, Conj::No, to.rb_mut(), Par::Seq, stack);
            copy(rows_mut(b, n, w), to.rb());
            Ok(())
        })
    }

    pub fn solve_triangular_work<T: Number>(n: usize, w: usize) -> usize {
        if is_beyond(n, n.max(w)) {
            return usize::MAX;
        }
        bytes(&[temp_mat_scratch::<T>(n, n), temp_mat_scratch::<T>(n, w)])
    }

    pub fn solve_triangular<T: Number>(
        a: &[T],
        n: usize,
        b: &mut [T],
        w: usize,
        [upper, left, unit]: [bool; 3],
        work: &mut Work,
    ) {
        let stack = stack(work);
        temporary!(x[n, n] of T, stack);
        temporary!(to[n, w] of T, stack);
        // No error: what is left of the room, which nothing else wants.
        let _ = stack;
        // X T = B is T' X' = B'.
        let upper = upper == left;
        copy(x.rb_mut(), if left { rows(a, n, n) } else { MatRef::from_column_major_slice(a, n, n) });
        copy(to.rb_mut(), if left { rows(b, n, w) } else { MatRef::from_column_major_slice(b, n, w) });
        match (upper, unit) {
            (true, true) => triangular_solve::solve_unit_upper_triangular_in_place(x.rb(), to.rb_mut(), Par::Seq),
            (true, false) => triangular_solve::solve_upper_triangular_in_place(x.rb(), to.rb_mut(), Par::Seq),
            (false, true) => triangular_solve::solve_unit_lower_triangular_in_place(x.rb(), to.rb_mut(), Par::Seq),
            (false, false) => triangular_solve::solve_lower_triangular_in_place(x.rb(), to.rb_mut(), Par::Seq),
        }
        let b = if left { rows_mut(b, n, w) } else { MatMut::from_column_major_slice_mut(b, n, w) };
        copy(b, to.rb());
    }

    pub fn cholesky_work<T: Number>(n: usize) -> usize {
        if is_beyond(n, n) {
            return usize::MAX;
        }
        bytes(&[
            temp_mat_scratch::<T>(n, n),
            llt::factor::cholesky_in_place_scratch::<T>(n, Par::Seq, Default::default()),
        ])
    }

    pub fn cholesky<T: Number>(a: &mut [T], n: usize, upper: bool, work: &mut Work) -> Result<(), Failed> {
        small!(n, N => small_cholesky::<T, N>(a, if upper { [1, n] } else { [n, 1] })?, _ => {
            let stack = stack(work);
            temporary!(x[n, n] of T, stack);
            copy(x.rb_mut(), if upper { MatRef::from_column_major_slice(a, n, n) } else { rows(a, n, n) });
            let done =
                llt::factor::cholesky_in_place(x.rb_mut(), Default::default(), Par::Seq, stack, Default::default());
            if let Err(llt::factor::LltError::NonPositivePivot { index }) = done {
                return Err(Failed::NotPositive(index + 1));
            }
            let to = rows_mut(a, n, n);
            copy(if upper { to.transpose_mut() } else { to }, x.rb());
        });
        for i in 0..n {
            let row = &mut a[i * n..(i + 1) * n];
            if upper { &mut row[..i] } else { &mut row[i + 1..] }.fill(T::of(0.0));
        }
        Ok(())
    }
}
