//! Separable resizing of row-major planes of up to three dimensions. Each output row first mixes the input rows that it
//! sees, which vectorises, and then goes along what came out; where rows are much longer than what is wanted of them, the
//! other way round.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use crate::dtype::Acc;
use crate::error::Result;
use crate::memory::List;
use crate::parallel::{parallel_for, try_parallel_for};

/// What the outputs along one dimension are mixed from.
pub struct Taps<T> {
    /// Number of outputs.
    pub count: usize,
    /// Elements per output: 1, 2 or 4; 0 where that varies.
    pub each: usize,
    /// Places: element `j` of output `o` is at `j * count + o`, or follows `first[o]` where their number varies.
    pub at: List<usize>,
    /// Weights, in the same order; none if `each` is 1, which only moves elements.
    pub weight: List<T>,
    /// Where elements of outputs begin, `count + 1` of them, if their number varies.
    pub first: List<usize>,
    /// True if elements stay where they are.
    pub stays: bool,
}

impl<T: Acc> Taps<T> {
    /// A dimension of `n` elements as it is.
    pub fn identity(n: usize) -> Result<Taps<T>> {
        Ok(Taps { count: n, each: 1, at: List::collect(0..n)?, weight: List::new(), first: List::new(), stays: true })
    }
    #[inline(always)]
    fn len(&self, o: usize) -> usize {
        if self.each > 0 {
            self.each
        } else {
            self.first[o + 1] - self.first[o]
        }
    }
    /// Place and weight of element `j` of output `o`.
    #[inline(always)]
    fn tap(&self, o: usize, j: usize) -> (usize, T) {
        let i = if self.each > 0 { j * self.count + o } else { self.first[o] + j };
        (self.at[i], if self.each == 1 { T::ONE } else { self.weight[i] })
    }
    /// About how many elements an output sees.
    fn seen(&self) -> usize {
        if self.each > 0 {
            self.each
        } else {
            self.at.len() / self.count.max(1) + 1
        }
    }
}

/// The taps of three dimensions.
pub type Axes<T> = [Taps<T>; 3];

#[inline(always)]
unsafe fn across<T: Acc>(line: *const T, taps: &Taps<T>, to: *mut T) {
    let n = taps.count;
    if taps.stays {
        return std::ptr::copy_nonoverlapping(line, to, n);
    }
    let (at, weight) = (taps.at.as_ptr(), taps.weight.as_ptr());
    let x = |j: usize, o: usize| *line.add(*at.add(j * n + o));
    let w = |j: usize, o: usize| *weight.add(j * n + o);
    let part = |j: usize, o: usize| x(j, o).times(w(j, o));
    match taps.each {
        1 => {
            for o in 0..n {
                *to.add(o) = x(0, o);
            }
        }
        2 => {
            for o in 0..n {
                *to.add(o) = part(0, o).plus(part(1, o));
            }
        }
        4 => {
            for o in 0..n {
                *to.add(o) = part(0, o).plus(part(1, o)).plus(part(2, o)).plus(part(3, o));
            }
        }
        _ => {
            for o in 0..n {
                let mut sum = T::ZERO;
                for i in *taps.first.get_unchecked(o)..*taps.first.get_unchecked(o + 1) {
                    sum = sum.plus((*line.add(*at.add(i))).times(*weight.add(i)));
                }
                *to.add(o) = sum;
            }
        }
    }
}

/// `to += scale * (adjoint of across)(g)`.
#[inline(always)]
unsafe fn back<T: Acc>(g: *const T, taps: &Taps<T>, scale: Option<T>, to: *mut T) {
    let n = taps.count;
    let (at, weight) = (taps.at.as_ptr(), taps.weight.as_ptr());
    let put = |i: usize, v: T| *to.add(i) = (*to.add(i)).plus(v);
    for o in 0..n {
        let g = *g.add(o);
        let g = scale.map_or(g, |s| g.times(s));
        if taps.each == 1 {
            put(*at.add(o), g);
            continue;
        }
        let (first, step, len) =
            if taps.each > 0 { (o, n, taps.each) } else { (*taps.first.get_unchecked(o), 1, taps.len(o)) };
        for j in 0..len {
            let i = first + j * step;
            put(*at.add(i), g.times(*weight.add(i)));
        }
    }
}

/// Calls `f` for each input row that output row (`z`, `y`) of a plane sees: whether it is the first, its place, its weight.
#[inline(always)]
fn each_row<T: Acc>([deep, high, _]: &Axes<T>, h: usize, [z, y]: [usize; 2], mut f: impl FnMut(bool, usize, T)) {
    for i in 0..deep.len(z) {
        let (plane, u) = deep.tap(z, i);
        for j in 0..high.len(y) {
            let (row, v) = high.tap(y, j);
            f(i + j == 0, plane * h + row, u.times(v));
        }
    }
}

/// True if it is less work to go along every row than to mix them first.
#[inline(always)]
fn along_first<T: Acc>(w: usize, wide: &Taps<T>) -> bool {
    w / 8 > wide.count.saturating_mul(wide.seen())
}

#[inline(always)]
unsafe fn rows<T: Acc>(
    from: usize,
    end: usize,
    [d, h, w]: [usize; 3],
    axes: &Axes<T>,
    x: *const T,
    out: *mut T,
    line: *mut T,
) {
    let [deep, high, wide] = axes;
    let (nd, nh, nw) = (deep.count, high.count, wide.count);
    let single = deep.each == 1 && high.each == 1;
    for r in from..end {
        let (y, z, plane) = (r % nh, r / nh % nd, r / nh / nd);
        let (x, to) = (x.add(plane * d * h * w), out.add(r * nw));
        if single {
            if r > from && y > 0 && high.at[y] == high.at[y - 1] {
                std::ptr::copy_nonoverlapping(to.sub(nw), to, nw);
            } else {
                across(x.add((deep.at[z] * h + high.at[y]) * w), wide, to);
            }
            continue;
        }
        if along_first(w, wide) {
            each_row(axes, h, [z, y], |first, row, weight| {
                across(x.add(row * w), wide, line);
                for i in 0..nw {
                    let v = weight.times(*line.add(i));
                    *to.add(i) = if first { v } else { (*to.add(i)).plus(v) };
                }
            });
            continue;
        }
        if deep.each == 1 && high.each == 2 {
            let ((a, u), (b, v)) = (high.tap(y, 0), high.tap(y, 1));
            let (a, b) = (x.add((deep.at[z] * h + a) * w), x.add((deep.at[z] * h + b) * w));
            for i in 0..w {
                *line.add(i) = u.times(*a.add(i)).plus(v.times(*b.add(i)));
            }
        } else {
            each_row(axes, h, [z, y], |first, row, weight| {
                let row = x.add(row * w);
                if first {
                    for i in 0..w {
                        *line.add(i) = weight.times(*row.add(i));
                    }
                } else {
                    for i in 0..w {
                        *line.add(i) = (*line.add(i)).plus(weight.times(*row.add(i)));
                    }
                }
            });
        }
        across(line, wide, to);
    }
}

#[inline(always)]
unsafe fn rows_back<T: Acc>(
    plane: usize,
    [d, h, w]: [usize; 3],
    axes: &Axes<T>,
    g: *const T,
    gx: *mut T,
    line: *mut T,
) {
    let [deep, high, wide] = axes;
    let (nd, nh, nw) = (deep.count, high.count, wide.count);
    let gx = gx.add(plane * d * h * w);
    std::slice::from_raw_parts_mut(gx, d * h * w).fill(T::ZERO);
    let single = deep.each == 1 && high.each == 1;
    for z in 0..nd {
        for y in 0..nh {
            let g = g.add(((plane * nd + z) * nh + y) * nw);
            if single {
                back(g, wide, None, gx.add((deep.at[z] * h + high.at[y]) * w));
            } else if along_first(w, wide) {
                each_row(axes, h, [z, y], |_, row, weight| back(g, wide, Some(weight), gx.add(row * w)));
            } else {
                std::slice::from_raw_parts_mut(line, w).fill(T::ZERO);
                back(g, wide, None, line);
                each_row(axes, h, [z, y], |_, row, weight| {
                    let row = gx.add(row * w);
                    for i in 0..w {
                        *row.add(i) = (*row.add(i)).plus(weight.times(*line.add(i)));
                    }
                });
            }
        }
    }
}

/// A type that is resized in.
pub trait Resize: Acc {
    #[doc(hidden)]
    unsafe fn rows(
        from: usize,
        end: usize,
        size: [usize; 3],
        axes: &Axes<Self>,
        x: *const Self,
        out: *mut Self,
        line: *mut Self,
    );
    #[doc(hidden)]
    unsafe fn rows_back(
        plane: usize,
        size: [usize; 3],
        axes: &Axes<Self>,
        g: *const Self,
        gx: *mut Self,
        line: *mut Self,
    );
}
macro_rules! resize {
    ($t:ident, $m:ident) => {
        mod $m {
            use super::*;
            crate::simd_fn! {
                pub unsafe fn rows(
                    from: usize, end: usize, size: [usize; 3], axes: &Axes<$t>, x: *const $t, out: *mut $t, line: *mut $t,
                ) {
                    super::rows(from, end, size, axes, x, out, line)
                }
                pub unsafe fn rows_back(
                    plane: usize, size: [usize; 3], axes: &Axes<$t>, g: *const $t, gx: *mut $t, line: *mut $t,
                ) {
                    super::rows_back(plane, size, axes, g, gx, line)
                }
            }
        }
        impl Resize for $t {
            unsafe fn rows(from: usize, end: usize, size: [usize; 3], axes: &Axes<$t>, x: *const $t, out: *mut $t, line: *mut $t) {
                $m::rows(from, end, size, axes, x, out, line)
            }
            unsafe fn rows_back(plane: usize, size: [usize; 3], axes: &Axes<$t>, g: *const $t, gx: *mut $t, line: *mut $t) {
                $m::rows_back(plane, size, axes, g, gx, line)
            }
        }
    };
}
resize!(f32, single);
resize!(f64, double);
resize!(i64, whole);

/// `planes` planes of `size` resized.
pub unsafe fn forward<T: Resize>(
    planes: usize,
    size: [usize; 3],
    axes: &Axes<T>,
    x: *const T,
    out: *mut T,
) -> Result<()> {
    let work = axes.iter().map(Taps::seen).sum::<usize>() * axes[2].count.max(size[2] / 8);
    let (x, out) = (Shared(x as *mut T), Shared(out));
    let room = size[2].max(axes[2].count);
    try_parallel_for(planes * axes[0].count * axes[1].count, (GRAIN / 4).div_ceil(work.max(1)), &|r| {
        let mut line = List::filled(room, T::ZERO)?;
        T::rows(r.start, r.end, size, axes, x.get(), out.get(), line.as_mut_ptr());
        Ok(())
    })
}

/// The adjoint of [`forward`].
pub unsafe fn backward<T: Resize>(
    planes: usize,
    size: [usize; 3],
    axes: &Axes<T>,
    g: *const T,
    gx: *mut T,
) -> Result<()> {
    let work = axes.iter().map(|t| t.count).product::<usize>().max(size.iter().product());
    let (g, gx) = (Shared(g as *mut T), Shared(gx));
    try_parallel_for(planes, (GRAIN / 4).div_ceil(work.max(1)), &|r| {
        let mut line = List::filled(size[2], T::ZERO)?;
        for plane in r {
            T::rows_back(plane, size, axes, g.get(), gx.get(), line.as_mut_ptr());
        }
        Ok(())
    })
}

/// [`forward`] with taps that only move elements, of whatever type has their size.
pub unsafe fn moved<E: Copy>(planes: usize, [d, h, w]: [usize; 3], axes: &Axes<f32>, x: *const E, out: *mut E) {
    let [deep, high, wide] = axes;
    let (nd, nh, nw) = (deep.count, high.count, wide.count);
    let (x, out) = (Shared(x as *mut E), Shared(out));
    parallel_for(planes * nd * nh, (GRAIN / 4).div_ceil(nw.max(1)), &|rows| {
        let begin = rows.start;
        for r in rows {
            let (y, z, plane) = (r % nh, r / nh % nd, r / nh / nd);
            let to = out.get().add(r * nw);
            if r > begin && y > 0 && high.at[y] == high.at[y - 1] {
                std::ptr::copy_nonoverlapping(to.sub(nw), to, nw);
                continue;
            }
            let line = x.get().add(((plane * d + deep.at[z]) * h + high.at[y]) * w);
            if wide.stays {
                std::ptr::copy_nonoverlapping(line, to, nw);
                continue;
            }
            for (o, &at) in wide.at.iter().enumerate() {
                *to.add(o) = *line.add(at);
            }
        }
    });
}
