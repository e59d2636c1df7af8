//! Reading planes at the places that a grid names. For some places at once it is found out along each dimension which
//! elements they lie between; the channels then share what came out.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use super::math::Real;
use super::norm::per_type;
use crate::error::Result;
use crate::memory::List;
use crate::parallel::try_parallel_for;

/// Places that are looked up together.
const CHUNK: usize = 256;
/// An element that is not there: sums with it are negative.
const OUTSIDE: i64 = i64::MIN / 8;

/// How an element is made of its neighbours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By straight lines in every direction.
    Linear,
    /// The nearest one alone.
    Nearest,
    /// By the cubic convolution of Keys (1981).
    Cubic,
}

/// What lies outside.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Zeros.
    Zeros,
    /// The element at the border.
    Border,
    /// The plane, reflected at its border.
    Reflection,
}

/// What is read where.
pub struct Sampling {
    /// Number of dimensions, 2 or 3.
    pub n: usize,
    /// How.
    pub mode: Mode,
    /// What lies outside.
    pub padding: Padding,
    /// True if -1 and 1 are the centres of the first and the last element, not the outer edges.
    pub align: bool,
    /// Number of grids.
    pub batch: usize,
    /// Planes per grid.
    pub channels: usize,
    /// Sizes of a plane; the first is 1 if there are two dimensions.
    pub size: [usize; 3],
    /// Places per grid.
    pub places: usize,
}

impl Sampling {
    /// Elements that a place lies between along one dimension.
    #[inline(always)]
    fn along(&self) -> usize {
        match self.mode {
            Mode::Nearest => 1,
            Mode::Linear => 2,
            Mode::Cubic => 4,
        }
    }
    fn taps(&self) -> usize {
        self.along().pow(self.n as u32)
    }
    fn area(&self) -> usize {
        self.size.iter().product()
    }
}

/// What has been found out about the present places.
pub struct Found<T> {
    /// Offsets, weights and their derivatives along each dimension.
    line_at: List<i64>,
    line_weight: List<T>,
    line_slope: List<T>,
    /// Offsets and weights of all elements, and the derivatives of the weights by each coordinate.
    at: List<i64>,
    weight: List<T>,
    slope: List<T>,
    /// Sums per coordinate.
    sum: List<T>,
}

impl<T: Real> Found<T> {
    fn new(s: &Sampling, slopes: bool) -> Result<Found<T>> {
        let (line, all) = (s.n * 4 * CHUNK, s.taps() * CHUNK);
        let more = if slopes { s.n * all } else { 0 };
        Ok(Found {
            line_at: List::filled(line, 0)?,
            line_weight: List::filled(line, T::ZERO)?,
            line_slope: List::filled(line, T::ZERO)?,
            at: List::filled(all, 0)?,
            weight: List::filled(all, T::ZERO)?,
            slope: List::filled(more, T::ZERO)?,
            sum: List::filled(if slopes { s.n * CHUNK } else { 0 }, T::ZERO)?,
        })
    }
}

/// The place among `size` elements that the coordinate `v` of [-1, 1] means.
#[inline(always)]
fn place<T: Real>(v: T, size: T, align: bool) -> T {
    if align {
        (v + T::ONE) / T::TWO * (size - T::ONE)
    } else {
        ((v + T::ONE) * size - T::ONE) / T::TWO
    }
}

/// Where a place is looked up, and the derivative of that. What is nowhere is seen at the border.
#[inline(always)]
fn padded<T: Real>(mut x: T, size: T, padding: Padding, align: bool) -> (T, T) {
    if padding == Padding::Zeros {
        return (x, T::ONE);
    }
    let mut slope = T::ONE;
    if padding == Padding::Reflection {
        let (low, span) = if align { (T::ZERO, size - T::ONE) } else { (-T::HALF, size) };
        if span == T::ZERO {
            return (T::ZERO, T::ZERO);
        }
        let off = x - low;
        slope = if off < T::ZERO { -T::ONE } else { T::ONE };
        let off = off.abs();
        let turns = (off / span).floor();
        let rest = off - turns * span;
        let odd = turns - T::TWO * (turns * T::HALF).floor() != T::ZERO;
        x = if odd { span - rest + low } else { rest + low };
        slope = if odd { -slope } else { slope };
    }
    let last = size - T::ONE;
    if x > T::ZERO && x < last {
        (x, slope)
    } else {
        (if x >= last { last } else { T::ZERO }, T::ZERO)
    }
}

/// The offset of element `at`, a whole number.
#[inline(always)]
#[allow(clippy::eq_op)]
fn offset<T: Real>(at: T, size: usize, stride: i64) -> i64 {
    let i = at.as_f64() as i64;
    if at == at && i >= 0 && i < size as i64 {
        i * stride
    } else {
        OUTSIDE
    }
}

/// The cubic weights of the elements around a place `t` behind one, and their derivatives.
#[inline(always)]
fn cubic<T: Real>(t: T) -> ([T; 4], [T; 4]) {
    let a = T::of(-0.75);
    let [two, three, four, five, eight, ten] = [2.0, 3.0, 4.0, 5.0, 8.0, 10.0].map(T::of);
    let near = |x: T| ((a + two) * x - (a + three)) * x * x + T::ONE;
    let far = |x: T| ((a * x - five * a) * x + eight * a) * x - four * a;
    let near_slope = |x: T| (three * (a + two) * x - two * (a + three)) * x;
    let far_slope = |x: T| (three * a * x - ten * a) * x + eight * a;
    let s = T::ONE - t;
    (
        [far(t + T::ONE), near(t), near(s), far(s + T::ONE)],
        [far_slope(t + T::ONE), near_slope(t), -near_slope(s), -far_slope(s + T::ONE)],
    )
}

#[inline(always)]
unsafe fn locate<T: Real>(s: &Sampling, grid: *const T, len: usize, slopes: bool, found: &mut Found<T>) {
    let (n, m) = (s.n, s.along());
    let mut stride = 1i64;
    for d in (0..n).rev() {
        let size = s.size[3 - n + d];
        let (wide, base) = (T::of(size as f64), d * 4 * CHUNK);
        let steep = T::of(if s.align { size as f64 - 1.0 } else { size as f64 } / 2.0);
        let at = found.line_at.as_mut_ptr().add(base);
        let weight = found.line_weight.as_mut_ptr().add(base);
        let slope = found.line_slope.as_mut_ptr().add(base);
        for l in 0..len {
            let x = place(*grid.add(l * n + n - 1 - d), wide, s.align);
            match s.mode {
                Mode::Nearest => {
                    let (x, _) = padded(x, wide, s.padding, s.align);
                    *at.add(l) = offset(x.round(), size, stride);
                }
                Mode::Linear => {
                    let (x, turn) = padded(x, wide, s.padding, s.align);
                    let low = x.floor();
                    let t = x - low;
                    *at.add(l) = offset(low, size, stride);
                    *at.add(CHUNK + l) = offset(low + T::ONE, size, stride);
                    *weight.add(l) = T::ONE - t;
                    *weight.add(CHUNK + l) = t;
                    *slope.add(l) = -(steep * turn);
                    *slope.add(CHUNK + l) = steep * turn;
                }
                Mode::Cubic => {
                    let low = x.floor();
                    let (w, dw) = cubic(x - low);
                    for j in 0..4 {
                        let (i, _) = padded(low + T::of(j as f64 - 1.0), wide, s.padding, s.align);
                        *at.add(j * CHUNK + l) = offset(i.trunc(), size, stride);
                        *weight.add(j * CHUNK + l) = w[j];
                        *slope.add(j * CHUNK + l) = dw[j] * steep;
                    }
                }
            }
        }
        stride *= size as i64;
    }
    for k in 0..s.taps() {
        let digit = |d: usize| k / m.pow((n - 1 - d) as u32) % m;
        let line = |d: usize| (d * 4 + digit(d)) * CHUNK;
        let at = found.at.as_mut_ptr().add(k * CHUNK);
        let weight = found.weight.as_mut_ptr().add(k * CHUNK);
        let (line_at, line_weight) = (found.line_at.as_ptr(), found.line_weight.as_ptr());
        let (a, b) = (line(n - 2), line(n - 1));
        for l in 0..len {
            *at.add(l) = *line_at.add(a + l) + *line_at.add(b + l);
            *weight.add(l) = *line_weight.add(a + l) * *line_weight.add(b + l);
        }
        if n == 3 {
            let c = line(0);
            for l in 0..len {
                *at.add(l) += *line_at.add(c + l);
                *weight.add(l) *= *line_weight.add(c + l);
            }
        }
        if !slopes {
            continue;
        }
        for d in 0..n {
            let slope = found.slope.as_mut_ptr().add((d * s.taps() + k) * CHUNK);
            let own = found.line_slope.as_ptr().add(line(d));
            for l in 0..len {
                *slope.add(l) = *own.add(l);
            }
            for e in (0..n).filter(|&e| e != d) {
                let other = line_weight.add(line(e));
                for l in 0..len {
                    *slope.add(l) *= *other.add(l);
                }
            }
        }
    }
}

/// The element at an offset; zero where there is none.
#[inline(always)]
unsafe fn look<T: Real>(plane: *const T, at: i64) -> T {
    let v = *plane.add(at.max(0) as usize);
    if at < 0 {
        T::ZERO
    } else {
        v
    }
}

#[inline(always)]
unsafe fn mix<T: Real, const K: usize>(found: &Found<T>, len: usize, plane: *const T, out: *mut T) {
    let (at, weight) = (found.at.as_ptr(), found.weight.as_ptr());
    for l in 0..len {
        let mut sum = look(plane, *at.add(l)) * *weight.add(l);
        for k in 1..K {
            sum += look(plane, *at.add(k * CHUNK + l)) * *weight.add(k * CHUNK + l);
        }
        *out.add(l) = sum;
    }
}

/// One plane at the places that have been found.
#[inline(always)]
unsafe fn read<T: Real>(taps: usize, found: &Found<T>, len: usize, plane: *const T, out: *mut T) {
    match taps {
        1 => {
            for l in 0..len {
                *out.add(l) = look(plane, *found.at.as_ptr().add(l));
            }
        }
        4 => mix::<T, 4>(found, len, plane, out),
        8 => mix::<T, 8>(found, len, plane, out),
        _ => mix::<T, 16>(found, len, plane, out),
    }
}

/// The adjoint of [`read`].
#[inline(always)]
unsafe fn put<T: Real>(taps: usize, found: &Found<T>, len: usize, g: *const T, gx: *mut T) {
    let (at, weight) = (found.at.as_ptr(), found.weight.as_ptr());
    for l in 0..len {
        let g = *g.add(l);
        for k in 0..taps {
            let i = *at.add(k * CHUNK + l);
            if i >= 0 {
                *gx.add(i as usize) += if taps == 1 { g } else { g * *weight.add(k * CHUNK + l) };
            }
        }
    }
}

/// Adds what a plane gives to the gradients of the coordinates.
#[inline(always)]
unsafe fn turn<T: Real>(n: usize, taps: usize, found: &mut Found<T>, len: usize, g: *const T, plane: *const T) {
    let (at, slope, sum) = (found.at.as_ptr(), found.slope.as_ptr(), found.sum.as_mut_ptr());
    for d in 0..n {
        for k in 0..taps {
            let (at, slope) = (at.add(k * CHUNK), slope.add((d * taps + k) * CHUNK));
            for l in 0..len {
                *sum.add(d * CHUNK + l) += *g.add(l) * (look(plane, *at.add(l)) * *slope.add(l));
            }
        }
    }
}

per_type! {
    /// The loops over places.
    Places {
        fn locate(s: &Sampling, grid: *const T, len: usize, slopes: bool, found: &mut Found<T>);
        fn read(taps: usize, found: &Found<T>, len: usize, plane: *const T, out: *mut T);
        fn put(taps: usize, found: &Found<T>, len: usize, g: *const T, gx: *mut T);
        fn turn(n: usize, taps: usize, found: &mut Found<T>, len: usize, g: *const T, plane: *const T);
    }
}

/// The chunk `i` of all grids: which grid, the first place and their number.
fn chunk(s: &Sampling, i: usize) -> (usize, usize, usize) {
    let each = s.places.div_ceil(CHUNK);
    let from = i % each * CHUNK;
    (i / each, from, CHUNK.min(s.places - from))
}

/// All planes at all places: `[batch, channels, places]`.
pub unsafe fn forward<T: Real + Places<T>>(s: &Sampling, x: *const T, grid: *const T, out: *mut T) -> Result<()> {
    let (x, grid, out) = (Shared(x as *mut T), Shared(grid as *mut T), Shared(out));
    let (area, taps) = (s.area(), s.taps());
    let chunks = s.batch * s.places.div_ceil(CHUNK);
    try_parallel_for(chunks, (GRAIN / 4).div_ceil(CHUNK * taps * (s.channels + 4)), &|r| {
        let mut found = Found::new(s, false)?;
        for i in r {
            let (b, from, len) = chunk(s, i);
            T::locate(s, grid.get().add((b * s.places + from) * s.n), len, false, &mut found);
            for c in b * s.channels..(b + 1) * s.channels {
                T::read(taps, &found, len, x.get().add(c * area), out.get().add(c * s.places + from));
            }
        }
        Ok(())
    })
}

/// The gradient of [`forward`] with respect to `x`.
pub unsafe fn input_grad<T: Real + Places<T>>(s: &Sampling, g: *const T, grid: *const T, gx: *mut T) -> Result<()> {
    let (g, grid, gx) = (Shared(g as *mut T), Shared(grid as *mut T), Shared(gx));
    let (area, taps) = (s.area(), s.taps());
    try_parallel_for(s.batch * s.channels, (GRAIN / 4).div_ceil((s.places * taps).max(area)), &|r| {
        let mut found = Found::new(s, false)?;
        std::slice::from_raw_parts_mut(gx.get().add(r.start * area), r.len() * area).fill(T::ZERO);
        for b in r.start / s.channels..r.end.div_ceil(s.channels) {
            let planes = r.start.max(b * s.channels)..r.end.min((b + 1) * s.channels);
            for from in (0..s.places).step_by(CHUNK) {
                let len = CHUNK.min(s.places - from);
                T::locate(s, grid.get().add((b * s.places + from) * s.n), len, false, &mut found);
                for c in planes.clone() {
                    T::put(taps, &found, len, g.get().add(c * s.places + from), gx.get().add(c * area));
                }
            }
        }
        Ok(())
    })
}

/// The gradient of [`forward`] with respect to the grid.
pub unsafe fn grid_grad<T: Real + Places<T>>(
    s: &Sampling,
    g: *const T,
    x: *const T,
    grid: *const T,
    gg: *mut T,
) -> Result<()> {
    let shared = |p: *const T| Shared(p as *mut T);
    let (g, x, grid, gg) = (shared(g), shared(x), shared(grid), Shared(gg));
    let (n, area, taps) = (s.n, s.area(), s.taps());
    let chunks = s.batch * s.places.div_ceil(CHUNK);
    if s.mode == Mode::Nearest {
        std::slice::from_raw_parts_mut(gg.get(), s.batch * s.places * n).fill(T::ZERO);
        return Ok(());
    }
    try_parallel_for(chunks, (GRAIN / 4).div_ceil(CHUNK * taps * n * (s.channels + 4)), &|r| {
        let mut found = Found::new(s, true)?;
        for i in r {
            let (b, from, len) = chunk(s, i);
            T::locate(s, grid.get().add((b * s.places + from) * n), len, true, &mut found);
            found.sum.fill(T::ZERO);
            for c in b * s.channels..(b + 1) * s.channels {
                T::turn(n, taps, &mut found, len, g.get().add(c * s.places + from), x.get().add(c * area));
            }
            for l in 0..len {
                for d in 0..n {
                    *gg.get().add((b * s.places + from + l) * n + n - 1 - d) = found.sum[d * CHUNK + l];
                }
            }
        }
        Ok(())
    })
}
