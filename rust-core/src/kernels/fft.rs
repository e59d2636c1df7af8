//! Discrete Fourier transforms along one dimension. Short rows are [`rustorch_fft`]'s. Longer ones are put together from
//! such: as a matrix whose columns and then rows are transformed (Gentleman and Sande 1966), which threads share, or, where
//! the length is a prime number, as a convolution (Bluestein 1970). So what the plans of others allocate without asking is
//! bounded, all else comes from here, and a long transform is polled between its parts.

use crate::error::Result;
use crate::kernels::copy::{Shared, GRAIN};
use crate::memory::{self, Kept, List};
use crate::parallel::{try_parallel_for, Pace};
use rustorch_fft::Plan;
pub use rustorch_fft::{Complex, Real};
use std::f64::consts::TAU;
use std::ops::Range;
use std::thread::LocalKey;

/// Columns that are brought together at a time, if that many are short enough.
const COLUMNS: usize = 16;
/// Elements that lie between two columns that are brought together, so that they do not all fall into the same lines of the
/// cache.
const GAP: usize = 8;
/// Elements of rows that are worked on at a time.
const BLOCK: usize = 1 << 14;
/// Elements that the plans a thread keeps may have in all.
const KEPT: usize = 1 << 18;

fn zeros<T: Real>(n: usize) -> Result<List<Complex<T>>> {
    List::filled(n, Complex::new(T::of(0.0), T::of(0.0)))
}

/// `exp(sign * 2 pi i k / n)` for all `k` below `n`, from two tables of about `sqrt(n)` numbers.
struct Circle {
    low: List<Complex<f64>>,
    high: List<Complex<f64>>,
    bits: u32,
}

impl Circle {
    fn new(n: usize, sign: f64) -> Result<Circle> {
        let bits = n.ilog2() / 2;
        let turn = |k: usize| {
            let (im, re) = (sign * TAU * (k as f64 / n as f64)).sin_cos();
            Complex::new(re, im)
        };
        Ok(Circle {
            low: List::collect((0..1 << bits).map(turn))?,
            high: List::collect((0..=n >> bits).map(|k| turn(k << bits)))?,
            bits,
        })
    }
    #[inline(always)]
    fn at(&self, k: usize) -> Complex<f64> {
        self.high[k >> self.bits] * self.low[k & ((1 << self.bits) - 1)]
    }
    #[inline(always)]
    fn rounded<T: Real>(&self, k: usize) -> Complex<T> {
        let z = self.at(k);
        Complex::new(T::of(z.re), T::of(z.im))
    }
}

/// How rows of some length are transformed.
enum Way<T> {
    Short(Plan<T>),
    /// Row-major matrices: plans for their columns and their rows, and the roots of unity that come in between.
    Matrix(Box<[Row<T>; 2]>, Circle),
    /// A convolution of a length that is a power of two, with this transform: the numbers that go with the elements, and the
    /// transform of those that they are convolved with.
    Convolution(Box<Row<T>>, List<Complex<T>>, List<Complex<T>>),
}

/// The transform of rows of `n` complex numbers.
struct Row<T> {
    n: usize,
    way: Way<T>,
}

/// The largest divisor of `n` up to its root.
fn divisor(n: usize) -> usize {
    let mut pace = Pace::default();
    (1..=n.isqrt())
        .rev()
        .find(|d| {
            pace.step(8);
            n.is_multiple_of(*d)
        })
        .unwrap_or(1)
}

impl<T: Real> Row<T> {
    fn new(n: usize, forward: bool) -> Result<Row<T>> {
        let sign = if forward { -1.0 } else { 1.0 };
        if n <= Plan::<T>::LONGEST {
            let plan = memory::hoarding(Plan::<T>::bytes(n), || Plan::new(n, forward))?;
            return Ok(Row { n, way: Way::Short(plan) });
        }
        let d = divisor(n);
        if d > 1 {
            let parts = Box::new([Row::new(d, forward)?, Row::new(n / d, forward)?]);
            return Ok(Row { n, way: Way::Matrix(parts, Circle::new(n, sign)?) });
        }
        let circle = Circle::new(2 * n, sign)?;
        let (mut chirp, mut at) = (List::with_room(n)?, 0);
        let mut pace = Pace::default();
        for k in 0..n {
            // exp(sign * pi i k^2 / n); the squares modulo 2 n one after the other.
            chirp.push(circle.rounded(at))?;
            at = (at + 2 * k + 1) % (2 * n);
            pace.step(8);
        }
        let m = (2 * n - 1).next_power_of_two();
        let inner = Row::new(m, true)?;
        let mut spectrum = zeros(m)?;
        let scale = T::of(1.0 / m as f64);
        for k in 0..n {
            let z = chirp[k].conj() * scale;
            spectrum[k] = z;
            if k > 0 {
                spectrum[m - k] = z;
            }
        }
        inner.run(&mut spectrum, &mut zeros(inner.work())?)?;
        Ok(Row { n, way: Way::Convolution(Box::new(inner), chirp, spectrum) })
    }
    /// Elements that it keeps, more or less.
    fn size(&self) -> usize {
        match &self.way {
            Way::Short(_) => 2 * self.n,
            Way::Matrix(parts, circle) => {
                parts[0].size() + parts[1].size() + 2 * (circle.low.len() + circle.high.len())
            }
            Way::Convolution(inner, chirp, spectrum) => inner.size() + chirp.len() + spectrum.len(),
        }
    }
    /// Elements that `run` works in.
    fn work(&self) -> usize {
        match &self.way {
            Way::Short(plan) => plan.work(),
            Way::Matrix(..) => self.n,
            Way::Convolution(inner, _, spectrum) => spectrum.len() + inner.work(),
        }
    }
    /// Transforms each row of `rows`, in place.
    fn run(&self, rows: &mut [Complex<T>], work: &mut [Complex<T>]) -> Result<()> {
        match &self.way {
            Way::Short(plan) => {
                plan.run(rows, work);
                Ok(())
            }
            Way::Matrix(parts, circle) => {
                rows.chunks_exact_mut(self.n).try_for_each(|row| matrix(parts, circle, row, work))
            }
            Way::Convolution(inner, chirp, spectrum) => {
                let (with, work) = work.split_at_mut(spectrum.len());
                rows.chunks_exact_mut(self.n).try_for_each(|row| convolution(inner, chirp, spectrum, row, with, work))
            }
        }
    }
}

/// Runs `f` on parts of `n` lines of `length` elements each, on several threads.
fn split(n: usize, length: usize, f: impl Fn(Range<usize>) -> Result<()> + Sync) -> Result<()> {
    try_parallel_for(n, (GRAIN / length.max(1) / 4).max(1), &f)
}

/// How many columns of `n` elements are brought together.
fn columns(n: usize) -> usize {
    (4 * BLOCK / n).clamp(2, COLUMNS)
}

/// Brings `w` columns of `n` elements together as rows, `GAP` apart.
///
/// # Safety
/// The elements at `from`, whose rows are `step` apart, may be read, and `to` has room.
unsafe fn gather<T: Copy>(from: *const T, step: usize, n: usize, w: usize, to: &mut [T]) {
    assert!(to.len() >= w * (n + GAP));
    for j in 0..n {
        for c in 0..w {
            *to.get_unchecked_mut(c * (n + GAP) + j) = *from.add(j * step + c);
        }
    }
}

/// The reverse of [`gather`].
///
/// # Safety
/// Nobody else uses the elements at `to`.
unsafe fn scatter<T: Copy>(from: &[T], n: usize, w: usize, to: *mut T, step: usize) {
    assert!(from.len() >= w * (n + GAP));
    for j in 0..n {
        for c in 0..w {
            *to.add(j * step + c) = *from.get_unchecked(c * (n + GAP) + j);
        }
    }
}

/// `row` as a matrix `a x b`: its columns transformed, turned, and then its rows, of which element `k` of row `i` goes to place
/// `i + a k`.
fn matrix<T: Real>(
    parts: &[Row<T>; 2],
    circle: &Circle,
    row: &mut [Complex<T>],
    aside: &mut [Complex<T>],
) -> Result<()> {
    let [first, second] = parts;
    let (a, b) = (first.n, second.n);
    let (row, aside) = (Shared(row.as_mut_ptr()), Shared(aside.as_mut_ptr()));
    let width = columns(a);
    split(b.div_ceil(width), a * width, |blocks| {
        let (mut buffer, mut work) = (zeros(width * (a + GAP))?, zeros(first.work())?);
        for j in blocks.map(|k| k * width) {
            let w = width.min(b - j);
            // SAFETY: the columns of this part.
            unsafe { gather(row.get().add(j), b, a, w, &mut buffer) };
            for (c, part) in buffer.chunks_exact_mut(a + GAP).take(w).enumerate() {
                first.run(&mut part[..a], &mut work)?;
                // SAFETY: the place of column `j + c`, which no other part has.
                let to = unsafe { std::slice::from_raw_parts_mut(aside.get().add((j + c) * a), a) };
                let mut at = 0;
                for (to, z) in to.iter_mut().zip(part.iter()) {
                    *to = z * circle.rounded::<T>(at);
                    at += j + c;
                }
            }
        }
        Ok(())
    })?;
    let width = columns(b);
    split(a.div_ceil(width), b * width, |blocks| {
        let (mut buffer, mut work) = (zeros(width * (b + GAP))?, zeros(second.work())?);
        for i in blocks.map(|k| k * width) {
            let w = width.min(a - i);
            // SAFETY: the columns of this part.
            unsafe { gather(aside.get().add(i), a, b, w, &mut buffer) };
            for part in buffer.chunks_exact_mut(b + GAP).take(w) {
                second.run(&mut part[..b], &mut work)?;
            }
            // SAFETY: their places, which no other part has.
            unsafe { scatter(&buffer, b, w, row.get().add(i), a) };
        }
        Ok(())
    })
}

fn convolution<T: Real>(
    inner: &Row<T>,
    chirp: &[Complex<T>],
    spectrum: &[Complex<T>],
    row: &mut [Complex<T>],
    with: &mut [Complex<T>],
    work: &mut [Complex<T>],
) -> Result<()> {
    with.fill(Complex::new(T::of(0.0), T::of(0.0)));
    with.iter_mut().zip(row.iter().zip(chirp)).for_each(|(to, (x, c))| *to = x * c);
    inner.run(with, work)?;
    // The conjugate of a transform of conjugates is the inverse one.
    with.iter_mut().zip(spectrum).for_each(|(z, s)| *z = (*z * s).conj());
    inner.run(with, work)?;
    row.iter_mut().zip(with.iter().zip(chirp)).for_each(|(to, (z, c))| *to = z.conj() * c);
    Ok(())
}

// ---- real rows ----

/// Which transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of complex numbers to complex numbers.
    Complex {
        /// With a minus in the exponent.
        forward: bool,
    },
    /// Forward, of real numbers.
    OfReal,
    /// Backward, of the first half of numbers of which the second is the conjugate of the first, to real ones.
    ToReal,
}

/// The transform of rows of `n` numbers. Real ones of an even number are taken as half as many complex ones.
pub struct Transform<T> {
    kind: Kind,
    n: usize,
    row: Row<T>,
    /// `exp(-2 pi i k / n)`, of an even number of real ones for `k` up to a quarter of that.
    turns: List<Complex<T>>,
}

impl<T: Real> Transform<T> {
    fn new(n: usize, kind: Kind) -> Result<Self> {
        let (forward, real) = match kind {
            Kind::Complex { forward } => (forward, false),
            kind => (kind == Kind::OfReal, true),
        };
        let halved = real && n.is_multiple_of(2);
        let turns = if halved {
            let circle = Circle::new(n, -1.0)?;
            List::collect((0..=n / 4).map(|k| circle.rounded(k)))?
        } else {
            List::new()
        };
        Ok(Transform { kind, n, row: Row::new(if halved { n / 2 } else { n }, forward)?, turns })
    }
    fn is_halved(&self) -> bool {
        self.row.n < self.n
    }
    /// Elements that the real transforms work in.
    fn work(&self) -> usize {
        self.row.work() + if self.is_halved() { 0 } else { self.n }
    }
    /// The first half of the transform of `x`, which has `n` elements, or all of it if `y` has room for it.
    fn of_real(&self, x: &[T], y: &mut [Complex<T>], work: &mut [Complex<T>], scale: T) -> Result<()> {
        let (n, h) = (self.n, self.n / 2 + 1);
        let half = T::of(0.5);
        if self.is_halved() {
            let m = n / 2;
            y.iter_mut().zip(x.chunks_exact(2)).for_each(|(z, pair)| *z = Complex::new(pair[0], pair[1]) * scale);
            self.row.run(&mut y[..m], work)?;
            let (first, zero) = (y[0], T::of(0.0));
            (y[0], y[m]) = (Complex::new(first.re + first.im, zero), Complex::new(first.re - first.im, zero));
            // Element `k` of the transforms of the even and of the odd places is the sum, and the difference over i.
            let (low, high) = y[1..m].split_at_mut(m / 2);
            let middle = low.len() > high.len();
            for ((low, high), w) in low.iter_mut().zip(high.iter_mut().rev()).zip(&self.turns[1..]) {
                let (a, b) = (*low, high.conj());
                let (even, d) = ((a + b) * half, (a - b) * half);
                let odd = Complex::new(d.im, -d.re) * w;
                (*low, *high) = (even + odd, (even - odd).conj());
            }
            if middle {
                y[m / 2] = y[m / 2].conj();
            }
        } else {
            let (row, work) = work.split_at_mut(n);
            row.iter_mut().zip(x).for_each(|(z, &x)| *z = Complex::new(x * scale, T::of(0.0)));
            self.row.run(row, work)?;
            y[..h].copy_from_slice(&row[..h]);
            // What cancels may leave something.
            y[0].im = T::of(0.0);
        }
        for k in h..y.len() {
            y[k] = y[n - k].conj();
        }
        Ok(())
    }
    /// The numbers `x` of which `y` is the first half of the transform, times `n`.
    fn to_real(&self, y: &[Complex<T>], x: &mut [T], work: &mut [Complex<T>], scale: T) -> Result<()> {
        let n = self.n;
        if !self.is_halved() {
            let (row, work) = work.split_at_mut(n);
            row[0] = Complex::new(y[0].re * scale, T::of(0.0));
            for k in 1..=n / 2 {
                let z = y[k] * scale;
                (row[k], row[n - k]) = (z, z.conj());
            }
            self.row.run(row, work)?;
            x.iter_mut().zip(row.iter()).for_each(|(x, z)| *x = z.re);
            return Ok(());
        }
        let m = n / 2;
        // SAFETY: 2 m numbers are m complex ones, which are pairs of numbers.
        let z = unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast::<Complex<T>>(), m) };
        z[0] = Complex::new(y[0].re + y[m].re, y[0].re - y[m].re) * scale;
        for k in 1..=m / 2 {
            let (a, b) = (y[k] * scale, y[m - k].conj() * scale);
            let (s, d) = (a + b, (a - b) * self.turns[k].conj());
            let d = Complex::new(-d.im, d.re);
            (z[k], z[m - k]) = (s + d, (s - d).conj());
        }
        self.row.run(z, work)
    }
}

/// The transforms that this thread keeps, the last one used at the end.
type Transforms<T> = Kept<List<Transform<T>>>;

/// Numbers whose transforms are kept.
pub trait Number: Real {
    #[doc(hidden)]
    fn kept() -> (&'static LocalKey<Transforms<Self>>, fn())
    where
        Self: Sized;
}

macro_rules! number {
    ($($t:ty)+) => { $(impl Number for $t {
        fn kept() -> (&'static LocalKey<Transforms<$t>>, fn()) {
            thread_local! {
                static KEPT: Transforms<$t> = const { Kept::new() };
            }
            (&KEPT, || KEPT.with(Kept::end))
        }
    })+ };
}
number!(f32 f64);

/// Drops the transforms that this thread keeps.
pub fn forget() {
    <f32 as Number>::kept().0.with(|p| drop(p.take()));
    <f64 as Number>::kept().0.with(|p| drop(p.take()));
}

/// Calls `f` with the transform of rows of `n`. The others are not kept if that fails.
fn with<T: Number>(n: usize, kind: Kind, f: impl FnOnce(&Transform<T>) -> Result<()>) -> Result<()> {
    let (place, end) = T::kept();
    let mut all = place.with(Kept::take).unwrap_or_default();
    let found = all.iter().position(|t| t.n == n && t.kind == kind).map(|k| all.remove(k));
    let transform = match found {
        Some(t) => t,
        None => Transform::new(n, kind)?,
    };
    f(&transform)?;
    // With a part for itself, so that short ones are not too many to look through.
    let size = |t: &Transform<T>| t.row.size() + t.turns.len() + (1 << 11);
    if size(&transform) <= KEPT {
        all.push(transform)?;
        while all.iter().map(size).sum::<usize>() > KEPT {
            all.remove(0);
        }
    }
    place.with(|p| p.put(all, end));
    Ok(())
}

/// Transforms the lines of `n` elements of row-major `data`, `[outer, n, inner]`, in place, and multiplies by `scale`.
///
/// # Safety
/// Nobody else uses these elements.
pub unsafe fn complex<T: Number>(
    data: *mut Complex<T>,
    [outer, n, inner]: [usize; 3],
    forward: bool,
    scale: f64,
) -> Result<()> {
    let (data, factor) = (Shared(data), T::of(scale));
    let scaled = |row: &mut [Complex<T>]| {
        if scale != 1.0 {
            row.iter_mut().for_each(|z| *z = *z * factor);
        }
    };
    with::<T>(n, Kind::Complex { forward }, |t| {
        if inner == 1 {
            return split(outer, n, |rows| {
                let mut work = zeros(t.row.work())?;
                // SAFETY: the rows of this part.
                let all = unsafe { std::slice::from_raw_parts_mut(data.get().add(rows.start * n), rows.len() * n) };
                all.chunks_mut((BLOCK / n).max(1) * n).try_for_each(|rows| {
                    t.row.run(rows, &mut work)?;
                    scaled(rows);
                    Ok(())
                })
            });
        }
        let width = columns(n);
        let blocks = inner.div_ceil(width);
        split(outer * blocks, n * width, |units| {
            let (mut buffer, mut work) = (zeros(width * (n + GAP))?, zeros(t.row.work())?);
            for u in units {
                let (o, i) = (u / blocks, u % blocks * width);
                let w = width.min(inner - i);
                let at = data.get().wrapping_add(o * n * inner + i);
                // SAFETY: the columns of this part.
                unsafe { gather(at, inner, n, w, &mut buffer) };
                for row in buffer.chunks_exact_mut(n + GAP).take(w) {
                    t.row.run(&mut row[..n], &mut work)?;
                    scaled(&mut row[..n]);
                }
                // SAFETY: as above.
                unsafe { scatter(&buffer, n, w, at, inner) };
            }
            Ok(())
        })
    })
}

/// The transforms of the lines of `n` real elements of row-major `x`, `[outer, n, inner]`, times `scale`, as `[outer, h, inner]`:
/// all `n` elements of them, or the first half, `n / 2 + 1`.
///
/// # Safety
/// Pointers are valid for these sizes, and nobody else uses `y`.
pub unsafe fn of_real<T: Number>(
    x: *const T,
    y: *mut Complex<T>,
    [outer, n, inner]: [usize; 3],
    h: usize,
    scale: f64,
) -> Result<()> {
    let (x, y, scale) = (Shared(x.cast_mut()), Shared(y), T::of(scale));
    with::<T>(n, Kind::OfReal, |t| {
        let width = if inner == 1 { 1 } else { columns(n) };
        let blocks = inner.div_ceil(width);
        split(outer * blocks, n * width, |units| {
            let mut work = zeros(t.work())?;
            let sides = if inner == 1 { [0, 0] } else { [width * (n + GAP), width * (h + GAP)] };
            let (mut from, mut to) = (List::filled(sides[0], T::of(0.0))?, zeros(sides[1])?);
            for u in units {
                if inner == 1 {
                    // SAFETY: a row, and the one that it becomes.
                    let (x, y) = unsafe {
                        (
                            std::slice::from_raw_parts(x.get().add(u * n), n),
                            std::slice::from_raw_parts_mut(y.get().add(u * h), h),
                        )
                    };
                    t.of_real(x, y, &mut work, scale)?;
                    continue;
                }
                let (o, i) = (u / blocks, u % blocks * width);
                let w = width.min(inner - i);
                // SAFETY: the columns of this part.
                unsafe { gather(x.get().add(o * n * inner + i), inner, n, w, &mut from) };
                for (x, y) in from.chunks_exact(n + GAP).zip(to.chunks_exact_mut(h + GAP)).take(w) {
                    t.of_real(&x[..n], &mut y[..h], &mut work, scale)?;
                }
                // SAFETY: their places, which no other part has.
                unsafe { scatter(&to, h, w, y.get().add(o * h * inner + i), inner) };
            }
            Ok(())
        })
    })
}

/// The real lines of `n` elements, `[outer, n, inner]` in row-major `x`, of which `y`, `[outer, n / 2 + 1, inner]`, has the first
/// half of the transforms, times `n` and `scale`. Imaginary parts that must be zero are taken to be so.
///
/// # Safety
/// Pointers are valid for these sizes, and nobody else uses `x`.
pub unsafe fn to_real<T: Number>(
    y: *const Complex<T>,
    x: *mut T,
    [outer, n, inner]: [usize; 3],
    scale: f64,
) -> Result<()> {
    let (y, x, scale, h) = (Shared(y.cast_mut()), Shared(x), T::of(scale), n / 2 + 1);
    with::<T>(n, Kind::ToReal, |t| {
        let width = if inner == 1 { 1 } else { columns(n) };
        let blocks = inner.div_ceil(width);
        split(outer * blocks, n * width, |units| {
            let mut work = zeros(t.work())?;
            let sides = if inner == 1 { [0, 0] } else { [width * (h + GAP), width * (n + GAP)] };
            let (mut from, mut to) = (zeros(sides[0])?, List::filled(sides[1], T::of(0.0))?);
            for u in units {
                if inner == 1 {
                    // SAFETY: a row, and the one that it becomes.
                    let (y, x) = unsafe {
                        (
                            std::slice::from_raw_parts(y.get().add(u * h), h),
                            std::slice::from_raw_parts_mut(x.get().add(u * n), n),
                        )
                    };
                    t.to_real(y, x, &mut work, scale)?;
                    continue;
                }
                let (o, i) = (u / blocks, u % blocks * width);
                let w = width.min(inner - i);
                // SAFETY: the columns of this part.
                unsafe { gather(y.get().add(o * h * inner + i), inner, h, w, &mut from) };
                for (y, x) in from.chunks_exact(h + GAP).zip(to.chunks_exact_mut(n + GAP)).take(w) {
                    t.to_real(&y[..h], &mut x[..n], &mut work, scale)?;
                }
                // SAFETY: their places, which no other part has.
                unsafe { scatter(&to, n, w, x.get().add(o * n * inner + i), inner) };
            }
            Ok(())
        })
    })
}
