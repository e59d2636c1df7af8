//! Fill, copy and cast between strided buffers of any dtypes.
#![allow(clippy::missing_safety_doc)]

use crate::dtype::{dispatch, Compute, DType, Elem, Scalar};
use crate::kernels::elementwise::rows;
use crate::parallel::parallel_for;
use crate::shape::Layout;

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

/// Writes `value` to `n` consecutive elements.
pub unsafe fn fill(p: *mut u8, dtype: DType, n: usize, value: Scalar) {
    dispatch!(dtype, T => {
        let v: T = value.to::<T>();
        let p = Shared(p.cast::<T>());
        parallel_for(n, GRAIN, &|r| {
            // SAFETY: the ranges are disjoint parts of 0..n.
            unsafe { std::slice::from_raw_parts_mut(p.get().add(r.start), r.len()) }.fill(v);
        });
    })
}

crate::simd_fn! {
    unsafe fn cast_f32_f64(src: *const f32, dst: *mut f64, n: usize) { for i in 0..n { *dst.add(i) = *src.add(i) as f64; } }
    unsafe fn cast_f64_f32(src: *const f64, dst: *mut f32, n: usize) { for i in 0..n { *dst.add(i) = *src.add(i) as f32; } }
    unsafe fn cast_i64_f32(src: *const i64, dst: *mut f32, n: usize) { for i in 0..n { *dst.add(i) = *src.add(i) as f32; } }
    unsafe fn cast_u8_f32(src: *const u8, dst: *mut f32, n: usize) { for i in 0..n { *dst.add(i) = *src.add(i) as f32; } }
    unsafe fn cast_bf16_f32(src: *const u16, dst: *mut f32, n: usize) {
        for i in 0..n { *dst.add(i) = f32::from_bits((*src.add(i) as u32) << 16); }
    }
    unsafe fn cast_f32_bf16(src: *const f32, dst: *mut u16, n: usize) {
        for i in 0..n {
            let x = *src.add(i);
            let b = x.to_bits();
            let rounded = b.wrapping_add(0x7fff + ((b >> 16) & 1)) >> 16;
            *dst.add(i) = if x.is_nan() { 0x7fc0 | (b >> 16) as u16 & 0x8000 } else { rounded as u16 };
        }
    }
}

#[inline]
unsafe fn cast_one<S: Elem, D: Elem>(v: S) -> D {
    match S::DTYPE.compute() {
        Compute::I64 => D::from_i64(v.to_i64()),
        _ => D::from_f64(v.to_f64()),
    }
}

/// Casts `n` elements with strides in elements; strides of 0 repeat. Equal dtypes copy bits.
pub unsafe fn cast_row(src: *const u8, sd: DType, ss: isize, dst: *mut u8, dd: DType, ds: isize, n: usize) {
    if ss == 1 && ds == 1 {
        if sd == dd {
            return std::ptr::copy_nonoverlapping(src, dst, n * sd.size());
        }
        match (sd, dd) {
            (DType::F32, DType::F64) => return cast_f32_f64(src.cast(), dst.cast(), n),
            (DType::F64, DType::F32) => return cast_f64_f32(src.cast(), dst.cast(), n),
            (DType::I64, DType::F32) => return cast_i64_f32(src.cast(), dst.cast(), n),
            (DType::U8 | DType::Bool, DType::F32) => return cast_u8_f32(src.cast(), dst.cast(), n),
            (DType::BF16, DType::F32) => return cast_bf16_f32(src.cast(), dst.cast(), n),
            (DType::F32, DType::BF16) => return cast_f32_bf16(src.cast(), dst.cast(), n),
            _ => {}
        }
    }
    if sd == dd {
        macro_rules! go {
            ($t:ty) => {{
                let (s, d) = (src.cast::<$t>(), dst.cast::<$t>());
                for i in 0..n as isize {
                    *d.offset(i * ds) = *s.offset(i * ss);
                }
            }};
        }
        return match sd.size() {
            1 => go!(u8),
            2 => go!(u16),
            4 => go!(u32),
            _ => go!(u64),
        };
    }
    dispatch!(sd, S => dispatch!(dd, D => {
        let (s, d) = (src.cast::<S>(), dst.cast::<D>());
        for i in 0..n as isize {
            *d.offset(i * ds) = cast_one::<S, D>(*s.offset(i * ss));
        }
    }))
}

/// Copies `src` (broadcast to the destination's shape by the caller) into `dst`, casting. Pointers are storage starts.
pub unsafe fn strided(src: *const u8, sd: DType, sl: &Layout, dst: *mut u8, dd: DType, dl: &Layout) {
    let n = dl.numel();
    if n == 0 {
        return;
    }
    let (sp, dp) = (Shared(src.add(sl.offset * sd.size()) as *mut u8), Shared(dst.add(dl.offset * dd.size())));
    if sl.shape == dl.shape && sl.strides == dl.strides && dl.is_dense() {
        return parallel_for(n, GRAIN, &|r| {
            // SAFETY: disjoint ranges of one dense block.
            unsafe {
                let (s, d) = (sp.get().add(r.start * sd.size()), dp.get().add(r.start * dd.size()));
                cast_row(s, sd, 1, d, dd, 1, r.len());
            }
        });
    }
    rows(&dl.shape, [&dl.strides, &sl.strides], [dd.size(), sd.size()], GRAIN, &|[d, s], [ds, ss], n| {
        // SAFETY: `rows` yields each destination element once.
        unsafe { cast_row(sp.get().offset(s), sd, ss, dp.get().offset(d), dd, ds, n) }
    });
}

/// Copies `src` to a row-major block, casting.
pub unsafe fn to_contiguous(src: *const u8, sd: DType, sl: &Layout, dst: *mut u8, dd: DType) {
    strided(src, sd, sl, dst, dd, &Layout::contiguous(&sl.shape));
}
