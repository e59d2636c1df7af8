//! Fill, copy and cast between strided buffers of any dtypes.
#![allow(clippy::missing_safety_doc, clippy::needless_range_loop)]

use crate::dtype::{dispatch, dispatch_all, dispatch_plain, dispatch_size, Compute, DType, Elem, Scalar};
use crate::kernels::rows::rows;
use crate::parallel::parallel_for;
use crate::shape::Layout;
use crate::simd::{widen_bf16, widen_f16};
use smallvec::SmallVec;
use std::ops::Range;

/// Work per thread below which a loop is not split, in elements.
pub const GRAIN: usize = 32 * 1024;

/// Pointer that may go to another thread; the kernels split their ranges so that no two touch one element.
#[derive(Clone, Copy)]
pub struct Shared<T>(pub *mut T);
// SAFETY: see above.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: see above.
unsafe impl<T> Sync for Shared<T> {}
impl<T> Shared<T> {
    /// The pointer.
    #[inline(always)]
    pub fn get(&self) -> *mut T {
        self.0
    }
}

/// Makes `n` consecutive elements of a bool tensor 0 or 1.
pub unsafe fn normalise(p: *mut u8, n: usize) {
    let p = Shared(p);
    parallel_for(n, GRAIN, &|r| {
        // SAFETY: the ranges are disjoint parts of 0..n.
        unsafe { std::slice::from_raw_parts_mut(p.get().add(r.start), r.len()) }
            .iter_mut()
            .for_each(|b| *b = (*b != 0) as u8);
    });
}

/// Writes `value` to `n` consecutive elements.
pub unsafe fn fill(p: *mut u8, dtype: DType, n: usize, value: Scalar) {
    dispatch_all!(dtype, T => {
        let v: T = value.to::<T>();
        let p = Shared(p.cast::<T>());
        parallel_for(n, GRAIN, &|r| {
            // SAFETY: the ranges are disjoint parts of 0..n.
            unsafe { std::slice::from_raw_parts_mut(p.get().add(r.start), r.len()) }.fill(v);
        });
    })
}

crate::simd_fn! {
    pub(super) unsafe fn bf16_to_f32(src: *const u16, dst: *mut f32, n: usize) {
        for i in 0..n { *dst.add(i) = widen_bf16(*src.add(i)); }
    }
    pub(super) unsafe fn f32_to_bf16(src: *const f32, dst: *mut u16, n: usize) {
        for i in 0..n {
            let x = *src.add(i);
            let b = x.to_bits();
            let rounded = b.wrapping_add(0x7fff + ((b >> 16) & 1)) >> 16;
            let nan = 0x7fc0 | (b >> 16) & 0x8000;
            *dst.add(i) = if x.is_nan() { nan } else { rounded } as u16;
        }
    }
    pub(super) unsafe fn f16_to_f32(src: *const u16, dst: *mut f32, n: usize) {
        for i in 0..n {
            *dst.add(i) = widen_f16(*src.add(i));
        }
    }
    pub(super) unsafe fn f32_to_f16(src: *const f32, dst: *mut u16, n: usize) {
        for i in 0..n {
            let bits = (*src.add(i)).to_bits();
            let a = bits & 0x7fff_ffff;
            // Rounds to even at bit 13; a carry runs into the exponent, as it should.
            let normal = a.wrapping_add(0xc800_0fff + ((a >> 13) & 1)) >> 13;
            // Adding 1/2 makes the unit of the sum f16's smallest subnormal.
            let subnormal = (f32::from_bits(a) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
            let small = if a < 0x3880_0000 { subnormal } else { normal };
            let finite = if a >= 0x4780_0000 { 0x7c00 } else { small };
            let magnitude = if a > 0x7f80_0000 { 0x7e00 } else { finite };
            *dst.add(i) = (magnitude | (bits >> 16) & 0x8000) as u16;
        }
    }
}

#[inline(always)]
fn cast_one<S: Elem, D: Elem>(v: S) -> D {
    match S::DTYPE.compute() {
        // A float of uint64 is not that of int64.
        Compute::I64 if !(matches!(S::DTYPE, DType::U64) && D::DTYPE.is_float()) => D::from_i64(v.to_i64()),
        _ => D::from_f64(v.to_f64()),
    }
}

/// Casts consecutive elements of types other than half floats, compiled for each SIMD level.
unsafe fn cast_plain<S: Elem, D: Elem>(src: *const S, dst: *mut D, n: usize) {
    #[inline(always)]
    unsafe fn body<S: Elem, D: Elem>(src: *const S, dst: *mut D, n: usize) {
        for i in 0..n {
            *dst.add(i) = cast_one(*src.add(i));
        }
    }
    // SAFETY: level() only names what this CPU supports.
    #[cfg(not(quick))]
    {
        crate::at_level!(crate::simd::level(), body<S: Elem, D: Elem>(src: *const S, dst: *mut D, n: usize))
    }
    #[cfg(quick)]
    body(src, dst, n)
}

/// Casts consecutive elements.
unsafe fn cast_dense(src: *const u8, sd: DType, dst: *mut u8, dd: DType, n: usize) {
    use DType::{BF16, F16, F32};
    match (sd, dd) {
        (s, d) if s == d => std::ptr::copy_nonoverlapping(src, dst, n * sd.size()),
        (BF16, F32) => bf16_to_f32(src.cast(), dst.cast(), n),
        (F32, BF16) => f32_to_bf16(src.cast(), dst.cast(), n),
        (F16, F32) => f16_to_f32(src.cast(), dst.cast(), n),
        (F32, F16) => f32_to_f16(src.cast(), dst.cast(), n),
        // Other half floats have no loops of their own.
        (half, F32) if half.is_half() => dispatch!(half, S => {
            for i in 0..n {
                *dst.cast::<f32>().add(i) = (*src.cast::<S>().add(i)).to_f64() as f32;
            }
        }),
        (F32, half) if half.is_half() => dispatch!(half, D => {
            for i in 0..n {
                *dst.cast::<D>().add(i) = D::from_f64((*src.cast::<f32>().add(i)).into());
            }
        }),
        (s, d) if s.is_complex() || d.is_complex() => cast_parts(src, s, dst, d, n),
        // Half floats come and go by way of f32.
        (s, d) if s.is_half() || d.is_half() => {
            let mut between = [0f32; 256];
            let b = between.as_mut_ptr().cast::<u8>();
            let mut i = 0;
            while i < n {
                let m = (n - i).min(256);
                cast_dense(src.add(i * sd.size()), sd, b, F32, m);
                cast_dense(b, F32, dst.add(i * dd.size()), dd, m);
                i += m;
            }
        }
        _ => dispatch_plain!(sd, S => {
            dispatch_plain!(dd, D => cast_plain::<S, D>(src.cast(), dst.cast(), n))
        }),
    }
}

/// Casts consecutive elements of which one side is complex: as pairs of real ones, or as every other one of them.
#[cold]
unsafe fn cast_parts(src: *const u8, sd: DType, dst: *mut u8, dd: DType, n: usize) {
    match (sd.is_complex(), dd.is_complex()) {
        (true, true) => cast_dense(src, sd.real(), dst, dd.real(), 2 * n),
        (true, false) if dd == DType::Bool => dispatch_all!(sd, S => {
            for i in 0..n {
                *dst.add(i) = (*src.cast::<S>().add(i)).truth() as u8;
            }
        }),
        (true, false) => cast_row(src, sd.real(), 2, dst, dd, 1, n),
        (false, _) => {
            let zero = 0f64;
            cast_row(src, sd, 1, dst, dd.real(), 2, n);
            cast_row((&raw const zero).cast(), dd.real(), 0, dst.add(dd.real().size()), dd.real(), 2, n);
        }
    }
}

/// Copies elements of `size` bytes with strides in elements.
unsafe fn move_row(src: *const u8, ss: isize, dst: *mut u8, ds: isize, n: usize, size: usize) {
    if ss == 1 && ds == 1 {
        return std::ptr::copy_nonoverlapping(src, dst, n * size);
    }
    dispatch_size!(size, T => {
        let (s, d) = (src.cast::<T>(), dst.cast::<T>());
        if ss == 0 && ds == 1 {
            return std::slice::from_raw_parts_mut(d, n).fill(*s);
        }
        for i in 0..n as isize {
            *d.offset(i * ds) = *s.offset(i * ss);
        }
    })
}

/// Casts `n` elements with strides in elements; strides of 0 repeat. Equal dtypes copy bits.
pub unsafe fn cast_row(src: *const u8, sd: DType, ss: isize, dst: *mut u8, dd: DType, ds: isize, n: usize) {
    if sd == dd {
        return move_row(src, ss, dst, ds, n, sd.size());
    }
    if ss == 1 && ds == 1 {
        return cast_dense(src, sd, dst, dd, n);
    }
    const BLOCK: usize = 256;
    // Room for elements of any dtype.
    let mut blocks = [const { std::mem::MaybeUninit::<[u128; BLOCK]>::uninit() }; 2];
    let [from, to] = &mut blocks;
    let (from, to) = (from.as_mut_ptr().cast::<u8>(), to.as_mut_ptr().cast::<u8>());
    if ss == 0 {
        cast_dense(src, sd, to, dd, n.min(1));
        return move_row(to, 0, dst, ds, n, dd.size());
    }
    let mut i = 0;
    while i < n {
        let m = (n - i).min(BLOCK);
        move_row(src.offset(i as isize * ss * sd.size() as isize), ss, from, 1, m, sd.size());
        cast_dense(from, sd, to, dd, m);
        move_row(to, 1, dst.offset(i as isize * ds * dd.size() as isize), ds, m, dd.size());
        i += m;
    }
}

/// Copies `src` (broadcast to the destination's shape by the caller) into `dst`, casting. Pointers are storage starts.
pub unsafe fn strided(src: *const u8, sd: DType, sl: &Layout, dst: *mut u8, dd: DType, dl: &Layout) {
    let n = dl.numel();
    if n == 0 {
        return;
    }
    let (sp, dp) = (Shared(src.add(sl.offset() * sd.size()) as *mut u8), Shared(dst.add(dl.offset() * dd.size())));
    if sl.alike(dl) && dl.is_dense() {
        return parallel_for(n, GRAIN, &|r| {
            // SAFETY: disjoint ranges of one dense block.
            unsafe {
                let (s, d) = (sp.get().add(r.start * sd.size()), dp.get().add(r.start * dd.size()));
                cast_row(s, sd, 1, d, dd, 1, r.len());
            }
        });
    }
    if sd == dd && turned(sp, sl, dp, dl, sd.size()) {
        return;
    }
    rows(dl.shape(), [dl.strides(), sl.strides()], [dd.size(), sd.size()], GRAIN, &|[d, s], [ds, ss], n| {
        // SAFETY: `rows` yields each destination element once.
        unsafe { cast_row(sp.get().offset(s), sd, ss, dp.get().offset(d), dd, ds, n) }
    });
}

/// Copies `src` to a row-major block, casting.
pub unsafe fn to_contiguous(src: *const u8, sd: DType, sl: &Layout, dst: *mut u8, dd: DType) {
    let Ok(to) = Layout::contiguous(sl.shape()) else { unreachable!("a layout has checked sizes") };
    strided(src, sd, sl, dst, dd, &to);
}

/// Copies between layouts of which each steps fastest through another dimension, in square blocks, so that both sides
/// are touched by whole cache lines. False if the layouts are not of that kind.
unsafe fn turned(src: Shared<u8>, sl: &Layout, dst: Shared<u8>, dl: &Layout, size: usize) -> bool {
    let unit = |strides: &[isize]| (0..dl.ndim()).find(|&d| dl.shape()[d] > 1 && strides[d] == 1);
    let (Some(i), Some(j)) = (unit(dl.strides()), unit(sl.strides())) else { return false };
    let (ni, nj) = (dl.shape()[i], dl.shape()[j]);
    let (si, dj) = (sl.strides()[i], dl.strides()[j]);
    if i == j || ni < 4 || nj < 4 || si < 2 || dj < 2 {
        return false;
    }
    const STRIP: usize = 64;
    let strips = nj.div_ceil(STRIP);
    let outer: SmallVec<[usize; 8]> = (0..dl.ndim()).filter(|&d| d != i && d != j).collect();
    let total = strips * outer.iter().map(|&d| dl.shape()[d]).product::<usize>();
    parallel_for(total, (GRAIN / (STRIP * ni)).max(1), &|r| {
        for strip in r {
            let first = strip % strips * STRIP;
            let (mut rest, mut s, mut d) = (strip / strips, first as isize, first as isize * dj);
            for &k in outer.iter().rev() {
                let index = (rest % dl.shape()[k]) as isize;
                rest /= dl.shape()[k];
                s += index * sl.strides()[k];
                d += index * dl.strides()[k];
            }
            let (s, d) = (src.get().offset(s * size as isize), dst.get().offset(d * size as isize));
            let n = STRIP.min(nj - first);
            // SAFETY: rows `first..first + n` of one matrix; strips are disjoint.
            unsafe {
                dispatch_size!(size, T => turn::<T>(s.cast(), si, d.cast(), dj, ni, n));
            }
        }
    });
    true
}

/// `dst[j * dj + i] = src[i * si + j]`.
unsafe fn turn<T: Copy>(src: *const T, si: isize, dst: *mut T, dj: isize, ni: usize, nj: usize) {
    const SIDE: usize = 8;
    let mut i = 0;
    while i + SIDE <= ni {
        let mut j = 0;
        while j + SIDE <= nj {
            let s = src.offset(i as isize * si + j as isize);
            let d = dst.offset(j as isize * dj + i as isize);
            let lines: [[T; SIDE]; SIDE] =
                std::array::from_fn(|a| s.offset(a as isize * si).cast::<[T; SIDE]>().read_unaligned());
            for b in 0..SIDE {
                let line: [T; SIDE] = std::array::from_fn(|a| lines[a][b]);
                d.offset(b as isize * dj).cast::<[T; SIDE]>().write_unaligned(line);
            }
            j += SIDE;
        }
        rest(src, si, dst, dj, i..i + SIDE, j..nj);
        i += SIDE;
    }
    rest(src, si, dst, dj, i..ni, 0..nj);
}

/// The part of [`turn`] that fills no block.
unsafe fn rest<T: Copy>(src: *const T, si: isize, dst: *mut T, dj: isize, i: Range<usize>, j: Range<usize>) {
    for j in j {
        for i in i.clone() {
            *dst.offset(j as isize * dj + i as isize) = *src.offset(i as isize * si + j as isize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::half::{bf16, f16};

    unsafe fn cast<S: Elem, D: Elem + Default>(src: &[S]) -> Vec<D> {
        let mut out = vec![D::default(); src.len()];
        cast_row(src.as_ptr().cast(), S::DTYPE, 1, out.as_mut_ptr().cast(), D::DTYPE, 1, src.len());
        out
    }

    #[test]
    fn half_floats_are_converted_as_the_standard_says() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let halves: Vec<f16> = all.iter().map(|&b| f16::from_bits(b)).collect();
        let brains: Vec<bf16> = all.iter().map(|&b| bf16::from_bits(b)).collect();
        // Numbers between, beside and beyond the half floats.
        let singles: Vec<f32> = (0..1u32 << 20).map(|i| f32::from_bits(i << 12 | i & 0xfff)).collect();
        // SAFETY: slices of the named types.
        let (wide, wide2, narrow, narrow2) = unsafe {
            (
                cast::<f16, f32>(&halves),
                cast::<bf16, f32>(&brains),
                cast::<f32, f16>(&singles),
                cast::<f32, bf16>(&singles),
            )
        };
        for i in 0..all.len() {
            assert!(wide[i].to_bits() == halves[i].to_f32().to_bits() || halves[i].is_nan() && wide[i].is_nan());
            assert!(wide2[i].to_bits() == brains[i].to_f32().to_bits() || brains[i].is_nan() && wide2[i].is_nan());
        }
        for (i, &x) in singles.iter().enumerate() {
            assert!(narrow[i].to_bits() == f16::from_f32(x).to_bits() || x.is_nan() && narrow[i].is_nan(), "{x}");
            assert!(narrow2[i].to_bits() == bf16::from_f32(x).to_bits() || x.is_nan() && narrow2[i].is_nan(), "{x}");
        }
    }

    #[test]
    fn casts_truncate_and_wrap() {
        let x = [-1.7f64, 300.5, 0.0, 2.0];
        // SAFETY: slices of the named types.
        unsafe {
            assert_eq!(cast::<f64, u8>(&x), [255, 44, 0, 2]);
            assert_eq!(cast::<f64, i32>(&x), [-1, 300, 0, 2]);
            assert_eq!(cast::<f64, bool>(&x), [true, true, false, true]);
            assert_eq!(cast::<bool, f16>(&[true, false]), [f16::ONE, f16::ZERO]);
            assert_eq!(cast::<i64, bf16>(&[3, -2]), [bf16::from_f32(3.0), bf16::from_f32(-2.0)]);
        }
    }

    #[test]
    fn turned_copies() {
        for shape in [[5usize, 9, 1], [64, 65, 2], [130, 70, 3], [8, 8, 8]] {
            let from = Layout::contiguous(&shape).unwrap();
            let n = from.numel();
            let src: Vec<u16> = (0..n as u16).collect();
            for order in [[1, 0, 2], [2, 1, 0], [0, 2, 1], [1, 2, 0], [2, 0, 1]] {
                let turned = from.permute(&order);
                let mut dst = vec![0u16; n];
                // SAFETY: both hold `n` elements of two bytes.
                unsafe { to_contiguous(src.as_ptr().cast(), DType::F16, &turned, dst.as_mut_ptr().cast(), DType::F16) };
                let mut at = 0;
                for a in 0..turned.shape()[0] as isize {
                    for b in 0..turned.shape()[1] as isize {
                        for c in 0..turned.shape()[2] as isize {
                            let s = turned.strides();
                            assert_eq!(dst[at], src[(a * s[0] + b * s[1] + c * s[2]) as usize]);
                            at += 1;
                        }
                    }
                }
            }
        }
    }
}
