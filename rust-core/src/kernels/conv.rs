//! Convolution and its two gradients, on row-major images of up to three dimensions.
//!
//! Each image is first copied into a buffer with its padding. From there blocks of columns (one per output position,
//! one row per channel and tap: "im2col") are gathered into a buffer that stays in cache, and a GEMM does the rest.
//! Images with few output positions are taken several at a time, so that the GEMM is worth its name.
//! Functions return false if there is no memory for the buffers.
#![allow(clippy::missing_safety_doc)]

use super::copy::Shared;
use super::gemm::{dgemm, igemm, sgemm};
use crate::dtype::Acc;
use crate::memory::{Kept, List};
use crate::parallel::parallel_for;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// The sizes of a convolution, dimensions as depth, height, width.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Images.
    pub batch: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Input size.
    pub size: [usize; 3],
    /// Kernel size.
    pub kernel: [usize; 3],
    /// Steps between windows.
    pub stride: [usize; 3],
    /// Zeros around the image.
    pub padding: [usize; 3],
    /// Steps between taps.
    pub dilation: [usize; 3],
    /// Output size.
    pub out: [usize; 3],
}

/// Elements beyond the end of a row that the copying loops may touch.
const SLACK: usize = 16;

/// A run of output positions in one output row: first element in the padded image, first column, length.
#[doc(hidden)]
pub struct Run(usize, usize, usize);

impl Geometry {
    fn volume(&self) -> usize {
        self.size.iter().product()
    }
    /// Output positions of one image.
    pub fn positions(&self) -> usize {
        self.out.iter().product()
    }
    /// Rows of the column matrix of one group.
    pub fn depth(&self) -> usize {
        self.c_in / self.groups * self.kernel.iter().product::<usize>()
    }
    /// Size with padding.
    pub fn padded(&self) -> [usize; 3] {
        std::array::from_fn(|d| {
            let reach = (self.out[d].max(1) - 1) * self.stride[d] + (self.kernel[d] - 1) * self.dilation[d] + 1;
            reach.max(self.size[d] + 2 * self.padding[d])
        })
    }
    /// True if a column is a pixel as it lies in the image.
    fn is_pointwise(&self) -> bool {
        self.kernel == [1; 3] && self.stride == [1; 3] && self.padding == [0; 3] && self.out == self.size
    }
    /// Where each row of the column matrix starts in a padded image.
    fn taps(&self) -> Option<List<usize>> {
        let [pd, ph, pw] = self.padded();
        let [kd, kh, kw] = self.kernel;
        let [dd, dh, dw] = self.dilation;
        let mut taps = List::with_room(self.depth()).ok()?;
        for c in 0..self.c_in / self.groups {
            for a in 0..kd {
                for i in 0..kh {
                    taps.extend((0..kw).map(|j| ((c * pd + a * dd) * ph + i * dh) * pw + j * dw)).ok()?;
                }
            }
        }
        Some(taps)
    }
    /// The runs that make up output positions `from..to`.
    fn runs(&self, from: usize, to: usize) -> Option<List<Run>> {
        let [_, ph, pw] = self.padded();
        let [_, oh, ow] = self.out;
        let mut runs = List::new();
        let mut p = from;
        while p < to {
            let (row, x) = (p / ow, p % ow);
            let n = (ow - x).min(to - p);
            let start = (row / oh * self.stride[0] * ph + row % oh * self.stride[1]) * pw + x * self.stride[2];
            runs.push(Run(start, p - from, n)).ok()?;
            p += n;
        }
        Some(runs)
    }
    /// Images per block, and output positions per block of one image.
    fn blocks(&self) -> (usize, usize) {
        let p = self.positions().max(1);
        if p < 128 {
            return ((256 / p).clamp(1, self.batch.max(1)), p);
        }
        // A block of columns of about 128 Ki elements.
        let columns = ((1 << 17) / self.depth().max(1)).max(128);
        (1, p.div_ceil(p.div_ceil(columns)))
    }
}

// ---- scratch memory, kept per thread ----

#[repr(align(64))]
struct Line(#[allow(dead_code)] [u8; 64]);
const KEEP: usize = (16 << 20) / 64;
thread_local! {
    static SCRATCH: Kept<List<Line>> = const { Kept::new() };
}

fn end_scratch() {
    SCRATCH.with(Kept::end);
}

/// Calls `f` with uninitialised room for `parts` elements of `T`, each part on a cache line of its own. False if it says so,
/// or, without a call, if there is no memory.
fn with_scratch<T, const N: usize>(parts: [usize; N], f: impl FnOnce([*mut T; N]) -> bool) -> bool {
    let lines = parts.map(|n| n.saturating_mul(size_of::<T>()).div_ceil(64));
    let mut memory = SCRATCH.with(Kept::take).unwrap_or_default();
    if memory.reserve(lines.iter().fold(0, |a: usize, &n| a.saturating_add(n))).is_err() {
        return false;
    }
    let mut at = memory.as_mut_ptr();
    let fine = f(std::array::from_fn(|i| {
        let here = at;
        at = at.wrapping_add(lines[i]);
        here.cast()
    }));
    if memory.capacity() <= KEEP {
        SCRATCH.with(|kept| kept.put(memory, end_scratch));
    }
    fine
}

/// [`parallel_for`] with scratch memory for each range; false if there was none for some, or `f` found none.
fn tasks<T, const N: usize>(
    n: usize,
    grain: usize,
    parts: [usize; N],
    f: impl Fn(Range<usize>, [*mut T; N]) -> bool + Sync,
) -> bool {
    let fine = AtomicBool::new(true);
    parallel_for(n, grain, &|r| {
        if !with_scratch(parts, |memory| f(r, memory)) {
            fine.store(false, Ordering::Relaxed);
        }
    });
    fine.into_inner()
}

// ---- element types ----

/// A type that convolutions run in.
pub trait Num: Acc {
    #[doc(hidden)]
    unsafe fn gemm(
        m: usize,
        n: usize,
        k: usize,
        a: *const Self,
        rsa: isize,
        csa: isize,
        b: *const Self,
        rsb: isize,
        csb: isize,
        beta: Self,
        c: *mut Self,
        rsc: isize,
        csc: isize,
    );
    #[doc(hidden)]
    unsafe fn gather(image: *const Self, taps: &[usize], runs: &[Run], step: usize, col: *mut Self, ld: usize);
    #[doc(hidden)]
    unsafe fn scatter(image: *mut Self, taps: &[usize], runs: &[Run], step: usize, col: *const Self, ld: usize);
    #[doc(hidden)]
    unsafe fn depthwise(
        image: *const Self,
        taps: &[usize],
        runs: &[Run],
        step: usize,
        w: *const Self,
        bias: Self,
        out: *mut Self,
    );
}

#[inline(always)]
unsafe fn gather<T: Copy>(image: *const T, taps: &[usize], runs: &[Run], step: usize, col: *mut T, ld: usize) {
    for (k, &tap) in taps.iter().enumerate() {
        for &Run(from, to, n) in runs {
            let (s, d) = (image.add(tap + from), col.add(k * ld + to));
            match step {
                // Whole vectors, running over the end: what follows is written later, or is slack.
                1 => {
                    let mut x = 0;
                    while x < n {
                        d.add(x).cast::<[T; SLACK]>().write_unaligned(s.add(x).cast::<[T; SLACK]>().read_unaligned());
                        x += SLACK;
                    }
                }
                2 => {
                    for x in 0..n {
                        *d.add(x) = *s.add(2 * x);
                    }
                }
                _ => {
                    for x in 0..n {
                        *d.add(x) = *s.add(step * x);
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn add_chunk<T: Num, const W: usize>(s: *const T, d: *mut T) {
    let (a, mut b) = (s.cast::<[T; W]>().read_unaligned(), d.cast::<[T; W]>().read_unaligned());
    for i in 0..W {
        b[i] = b[i].plus(a[i]);
    }
    d.cast::<[T; W]>().write_unaligned(b);
}

#[inline(always)]
unsafe fn scatter<T: Num>(image: *mut T, taps: &[usize], runs: &[Run], step: usize, col: *const T, ld: usize) {
    for (k, &tap) in taps.iter().enumerate() {
        for &Run(to, from, n) in runs {
            let (s, d) = (col.add(k * ld + from), image.add(tap + to));
            if step != 1 {
                for x in 0..n {
                    *d.add(step * x) = (*d.add(step * x)).plus(*s.add(x));
                }
                continue;
            }
            let mut x = 0;
            while x + 16 <= n {
                add_chunk::<T, 16>(s.add(x), d.add(x));
                x += 16;
            }
            if x + 8 <= n {
                add_chunk::<T, 8>(s.add(x), d.add(x));
                x += 8;
            }
            if x + 4 <= n {
                add_chunk::<T, 4>(s.add(x), d.add(x));
                x += 4;
            }
            while x < n {
                *d.add(x) = (*d.add(x)).plus(*s.add(x));
                x += 1;
            }
        }
    }
}

/// One output channel that sees one input channel. `out` needs slack.
#[inline(always)]
unsafe fn depthwise<T: Num>(
    image: *const T,
    taps: &[usize],
    runs: &[Run],
    step: usize,
    w: *const T,
    bias: T,
    out: *mut T,
) {
    for &Run(from, to, n) in runs {
        let mut x = 0;
        while x < n {
            let mut sum = [bias; SLACK];
            for (k, &tap) in taps.iter().enumerate() {
                let (s, w) = (image.add(tap + from + x * step), *w.add(k));
                if step == 1 {
                    let s = s.cast::<[T; SLACK]>().read_unaligned();
                    for i in 0..SLACK {
                        sum[i] = sum[i].plus(w.times(s[i]));
                    }
                } else {
                    for (i, sum) in sum.iter_mut().enumerate().take(n - x) {
                        *sum = sum.plus(w.times(*s.add(i * step)));
                    }
                }
            }
            out.add(to + x).cast::<[T; SLACK]>().write_unaligned(sum);
            x += SLACK;
        }
    }
}

macro_rules! num {
    ($t:ty, $m:ident, $gemm:expr) => {
        mod $m {
            use super::*;
            crate::simd_fn! {
                pub unsafe fn gather(image: *const $t, taps: &[usize], runs: &[Run], step: usize, col: *mut $t, ld: usize) {
                    super::gather(image, taps, runs, step, col, ld)
                }
                pub unsafe fn scatter(image: *mut $t, taps: &[usize], runs: &[Run], step: usize, col: *const $t, ld: usize) {
                    super::scatter(image, taps, runs, step, col, ld)
                }
                pub unsafe fn depthwise(
                    image: *const $t, taps: &[usize], runs: &[Run], step: usize, w: *const $t, bias: $t, out: *mut $t,
                ) {
                    super::depthwise(image, taps, runs, step, w, bias, out)
                }
            }
        }
        impl Num for $t {
            unsafe fn gemm(
                m: usize, n: usize, k: usize, a: *const $t, rsa: isize, csa: isize, b: *const $t, rsb: isize, csb: isize,
                beta: $t, c: *mut $t, rsc: isize, csc: isize,
            ) {
                $gemm(m, n, k, <$t>::ONE, a, rsa, csa, b, rsb, csb, beta, c, rsc, csc)
            }
            unsafe fn gather(image: *const $t, taps: &[usize], runs: &[Run], step: usize, col: *mut $t, ld: usize) {
                $m::gather(image, taps, runs, step, col, ld)
            }
            unsafe fn scatter(image: *mut $t, taps: &[usize], runs: &[Run], step: usize, col: *const $t, ld: usize) {
                $m::scatter(image, taps, runs, step, col, ld)
            }
            unsafe fn depthwise(
                image: *const $t, taps: &[usize], runs: &[Run], step: usize, w: *const $t, bias: $t, out: *mut $t,
            ) {
                $m::depthwise(image, taps, runs, step, w, bias, out)
            }
        }
    };
}
num!(f32, single, sgemm);
num!(f64, double, dgemm);
num!(i64, whole, igemm);

// ---- padding ----

/// Copies the `channels` images at `x` into zero-padded ones.
unsafe fn pad<T: Num>(g: &Geometry, channels: usize, x: *const T, to: *mut T) {
    let [pd, ph, pw] = g.padded();
    let [d, h, w] = g.size;
    let [ad, ah, aw] = g.padding;
    if [pd, ph, pw] != g.size {
        std::slice::from_raw_parts_mut(to, channels * pd * ph * pw).fill(T::ZERO);
    }
    for c in 0..channels {
        for i in 0..d {
            for j in 0..h {
                let from = x.add(((c * d + i) * h + j) * w);
                std::ptr::copy_nonoverlapping(from, to.add(((c * pd + i + ad) * ph + j + ah) * pw + aw), w);
            }
        }
    }
}

/// Copies what lies inside of the padding back.
unsafe fn unpad<T: Num>(g: &Geometry, channels: usize, from: *const T, x: *mut T) {
    let [pd, ph, pw] = g.padded();
    let [d, h, w] = g.size;
    let [ad, ah, aw] = g.padding;
    for c in 0..channels {
        for i in 0..d {
            for j in 0..h {
                let to = x.add(((c * d + i) * h + j) * w);
                std::ptr::copy_nonoverlapping(from.add(((c * pd + i + ad) * ph + j + ah) * pw + aw), to, w);
            }
        }
    }
}

// ---- the three products ----

/// `out[n, o] = bias[o] + sum over c and taps of weight[o, c, tap] * x[n, c, ...]`; `bias` may be null.
pub unsafe fn forward<T: Num>(g: &Geometry, x: *const T, weight: *const T, bias: *const T, out: *mut T) -> bool {
    let (cg, og, k, p) = (g.c_in / g.groups, g.c_out / g.groups, g.depth(), g.positions());
    let (images, columns) = g.blocks();
    let vol = cg * g.padded().iter().product::<usize>();
    let direct = g.is_pointwise() && images == 1;
    let depthwise = cg == 1 && !g.is_pointwise() && og <= 4;
    let images = if depthwise { 1 } else { images };
    let (Some(taps), Some(all_runs)) = (g.taps(), g.runs(0, p)) else { return false };
    let (px, pw, pb, po) = (Shared(x as *mut T), Shared(weight as *mut T), Shared(bias as *mut T), Shared(out));
    let blocks = g.batch.div_ceil(images);
    let width = if images == 1 { columns } else { images * p };
    let ld = width + SLACK;
    let room = if direct { [0; 3] } else { [vol + SLACK, if depthwise { p + SLACK } else { k * ld }, og * width] };
    tasks(blocks * g.groups, grain(g, images), room, |r, [image, col, tmp]: [*mut T; 3]| {
        for task in r {
            let (block, group) = (task / g.groups, task % g.groups);
            let (first, last) = (block * images, ((block + 1) * images).min(g.batch));
            let w = pw.get().add(group * og * k);
            let bias = |o: usize| if pb.get().is_null() { T::ZERO } else { *pb.get().add(group * og + o) };
            let beta = if pb.get().is_null() { T::ZERO } else { T::ONE };
            let plane = |n: usize, o: usize| po.get().add((n * g.c_out + group * og + o) * p);
            let x = |n: usize| px.get().add((n * g.c_in + group * cg) * g.volume());
            if depthwise {
                pad(g, cg, x(first), image);
                for o in 0..og {
                    T::depthwise(image, &taps, &all_runs, g.stride[2], w.add(o * k), bias(o), col);
                    std::ptr::copy_nonoverlapping(col, plane(first, o), p);
                }
            } else if images == 1 {
                if !direct {
                    pad(g, cg, x(first), image);
                }
                let mut from = 0;
                while from < p {
                    let to = (from + columns).min(p);
                    let n = to - from;
                    let (b, ldb) = if direct {
                        (x(first).add(from) as *const T, p)
                    } else {
                        let Some(runs) = g.runs(from, to) else { return false };
                        T::gather(image, &taps, &runs, g.stride[2], col, ld);
                        (col as *const T, ld)
                    };
                    if !pb.get().is_null() {
                        for o in 0..og {
                            std::slice::from_raw_parts_mut(plane(first, o).add(from), n).fill(bias(o));
                        }
                    }
                    let c = plane(first, 0).add(from);
                    T::gemm(og, n, k, w, k as isize, 1, b, ldb as isize, 1, beta, c, p as isize, 1);
                    from = to;
                }
            } else {
                for n in first..last {
                    pad(g, cg, x(n), image);
                    T::gather(image, &taps, &all_runs, g.stride[2], col.add((n - first) * p), ld);
                }
                let q = (last - first) * p;
                T::gemm(og, q, k, w, k as isize, 1, col, ld as isize, 1, T::ZERO, tmp, q as isize, 1);
                for n in first..last {
                    for o in 0..og {
                        let (s, d, b) = (tmp.add(o * q + (n - first) * p), plane(n, o), bias(o));
                        for i in 0..p {
                            *d.add(i) = (*s.add(i)).plus(b);
                        }
                    }
                }
            }
        }
        true
    })
}

/// Tasks per thread at least: enough multiplications to be worth a thread.
fn grain(g: &Geometry, images: usize) -> usize {
    let work = images * g.positions() * g.depth() * (g.c_out / g.groups);
    (1usize << 17).div_ceil(work.max(1))
}

/// Gradient with respect to the images: `gx` from the gradient `gy` of the outputs.
pub unsafe fn input_grad<T: Num>(g: &Geometry, gy: *const T, weight: *const T, gx: *mut T) -> bool {
    let (cg, og, k, p) = (g.c_in / g.groups, g.c_out / g.groups, g.depth(), g.positions());
    let (images, columns) = g.blocks();
    let vol = cg * g.padded().iter().product::<usize>();
    let direct = g.is_pointwise();
    let (Some(taps), Some(all_runs)) = (g.taps(), g.runs(0, p)) else { return false };
    let (py, pw, px) = (Shared(gy as *mut T), Shared(weight as *mut T), Shared(gx));
    let blocks = g.batch.div_ceil(images);
    let width = if images == 1 { columns } else { images * p };
    let room = [if direct { 0 } else { vol }, k * width, if images == 1 { 0 } else { og * width }];
    tasks(blocks * g.groups, grain(g, images), room, |r, [image, col, tmp]: [*mut T; 3]| {
        for task in r {
            let (block, group) = (task / g.groups, task % g.groups);
            let (first, last) = (block * images, ((block + 1) * images).min(g.batch));
            let w = pw.get().add(group * og * k);
            let plane = |n: usize, o: usize| py.get().add((n * g.c_out + group * og + o) * p) as *const T;
            let x = |n: usize| px.get().add((n * g.c_in + group * cg) * g.volume());
            let clear = || std::slice::from_raw_parts_mut(image, vol).fill(T::ZERO);
            if images == 1 {
                if !direct {
                    clear();
                }
                let mut from = 0;
                while from < p {
                    let to = (from + columns).min(p);
                    let n = to - from;
                    let y = plane(first, 0).add(from);
                    let (c, ldc) = if direct { (x(first).add(from), p) } else { (col, n) };
                    T::gemm(k, n, og, w, 1, k as isize, y, p as isize, 1, T::ZERO, c, ldc as isize, 1);
                    if !direct {
                        let Some(runs) = g.runs(from, to) else { return false };
                        T::scatter(image, &taps, &runs, g.stride[2], col, n);
                    }
                    from = to;
                }
                if !direct {
                    unpad(g, cg, image, x(first));
                }
            } else {
                let q = (last - first) * p;
                gather_planes(first, last, og, p, &plane, tmp);
                T::gemm(k, q, og, w, 1, k as isize, tmp, q as isize, 1, T::ZERO, col, q as isize, 1);
                for n in first..last {
                    if direct {
                        for c in 0..cg {
                            let s = col.add(c * q + (n - first) * p);
                            std::ptr::copy_nonoverlapping(s, x(n).add(c * p), p);
                        }
                    } else {
                        clear();
                        T::scatter(image, &taps, &all_runs, g.stride[2], col.add((n - first) * p), q);
                        unpad(g, cg, image, x(n));
                    }
                }
            }
        }
        true
    })
}

/// Planes of several images side by side: `to[o, n, ...]`.
unsafe fn gather_planes<T: Num>(
    first: usize,
    last: usize,
    og: usize,
    p: usize,
    plane: &dyn Fn(usize, usize) -> *const T,
    to: *mut T,
) {
    for o in 0..og {
        for n in first..last {
            std::ptr::copy_nonoverlapping(plane(n, o), to.add((o * (last - first) + n - first) * p), p);
        }
    }
}

/// Gradient with respect to the weight.
pub unsafe fn weight_grad<T: Num>(g: &Geometry, gy: *const T, x: *const T, gw: *mut T) -> bool {
    let (cg, og, k, p) = (g.c_in / g.groups, g.c_out / g.groups, g.depth(), g.positions());
    let (images, columns) = g.blocks();
    let vol = cg * g.padded().iter().product::<usize>();
    let direct = g.is_pointwise() && images == 1;
    let (Some(taps), Some(all_runs)) = (g.taps(), g.runs(0, p)) else { return false };
    let size = g.c_out * k;
    let blocks = g.batch.div_ceil(images);
    // Parts of the batch are summed apart, by the sizes alone so that threads do not matter; a large weight has one part.
    let parts = ((1usize << 21) / size.max(1)).clamp(1, 8).min(blocks.max(1));
    let Ok(mut sums) = List::filled(size * (parts - 1), T::ZERO) else { return false };
    let rest = Shared(sums.as_mut_ptr());
    let (py, px, pw) = (Shared(gy as *mut T), Shared(x as *mut T), Shared(gw));
    if g.batch == 0 || p == 0 {
        std::slice::from_raw_parts_mut(gw, size).fill(T::ZERO);
        return true;
    }
    let width = if images == 1 { columns } else { images * p };
    let ld = width + SLACK;
    let room = if direct { [0; 3] } else { [vol + SLACK, k * ld, if images == 1 { 0 } else { og * width }] };
    let fine = tasks(parts * g.groups, 1, room, |r, [image, col, tmp]: [*mut T; 3]| {
        for task in r {
            let (part, group) = (task / g.groups, task % g.groups);
            let to = if part == 0 { pw.get() } else { rest.get().add((part - 1) * size) }.add(group * og * k);
            let mut beta = T::ZERO;
            let mut add = |n: usize, y: *const T, ldy: usize, b: *const T, ldb: usize| {
                T::gemm(og, k, n, y, ldy as isize, 1, b, 1, ldb as isize, beta, to, k as isize, 1);
                beta = T::ONE;
            };
            let plane = |n: usize, o: usize| py.get().add((n * g.c_out + group * og + o) * p) as *const T;
            let x = |n: usize| px.get().add((n * g.c_in + group * cg) * g.volume()) as *const T;
            for block in blocks * part / parts..blocks * (part + 1) / parts {
                let (first, last) = (block * images, ((block + 1) * images).min(g.batch));
                if images == 1 {
                    if !direct {
                        pad(g, cg, x(first), image);
                    }
                    let mut from = 0;
                    while from < p {
                        let to = (from + columns).min(p);
                        let y = plane(first, 0).add(from);
                        if direct {
                            add(to - from, y, p, x(first).add(from), p);
                        } else {
                            let Some(runs) = g.runs(from, to) else { return false };
                            T::gather(image, &taps, &runs, g.stride[2], col, ld);
                            add(to - from, y, p, col, ld);
                        }
                        from = to;
                    }
                } else {
                    let q = (last - first) * p;
                    for n in first..last {
                        pad(g, cg, x(n), image);
                        T::gather(image, &taps, &all_runs, g.stride[2], col.add((n - first) * p), ld);
                    }
                    gather_planes(first, last, og, p, &plane, tmp);
                    add(q, tmp, q, col, ld);
                }
            }
        }
        true
    });
    for part in sums.chunks_exact(size.max(1)) {
        for (i, &v) in part.iter().enumerate() {
            *gw.add(i) = (*gw.add(i)).plus(v);
        }
    }
    fine
}

/// The column matrix of each image: `out[n, channel and tap, position]`.
pub unsafe fn im2col<T: Num>(g: &Geometry, x: *const T, out: *mut T) -> bool {
    let (k, p) = (g.depth(), g.positions());
    let vol = g.c_in * g.padded().iter().product::<usize>();
    let (Some(taps), Some(runs)) = (g.taps(), g.runs(0, p)) else { return false };
    let (px, po) = (Shared(x as *mut T), Shared(out));
    tasks(g.batch, 1, [vol + SLACK, k * p + SLACK], |r, [image, col]: [*mut T; 2]| {
        for n in r {
            pad(g, g.c_in, px.get().add(n * g.c_in * g.volume()), image);
            // Rows follow each other, so that each overrun is written over by the next row.
            T::gather(image, &taps, &runs, g.stride[2], col, p);
            std::ptr::copy_nonoverlapping(col, po.get().add(n * k * p), k * p);
        }
        true
    })
}

/// Adds up columns to images: the adjoint of [`im2col`].
pub unsafe fn col2im<T: Num>(g: &Geometry, col: *const T, x: *mut T) -> bool {
    let (k, p) = (g.depth(), g.positions());
    let vol = g.c_in * g.padded().iter().product::<usize>();
    let (Some(taps), Some(runs)) = (g.taps(), g.runs(0, p)) else { return false };
    let (pc, px) = (Shared(col as *mut T), Shared(x));
    tasks(g.batch, 1, [vol], |r, [image]: [*mut T; 1]| {
        for n in r {
            std::slice::from_raw_parts_mut(image, vol).fill(T::ZERO);
            T::scatter(image, &taps, &runs, g.stride[2], pc.get().add(n * k * p), p);
            unpad(g, g.c_in, image, px.get().add(n * g.c_in * g.volume()));
        }
        true
    })
}
