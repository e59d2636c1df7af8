//! Levels and vectors of aarch64, where NEON (with fused multiply-add) belongs to the baseline: [`simd_fn!`] compiles
//! nothing twice, and the level decides on the vectors alone.
//!
//! [`simd_fn!`]: crate::simd_fn

use super::portable::Portable;
use super::vector::{interleave_scalar, Lane, Op, Vector};
use std::arch::aarch64::*;
use std::arch::asm;

levels! {
    /// NEON.
    Neon = 2, "neon", [float32x4_t, float64x2_t];
}

/// The best level this CPU can run.
pub fn supported() -> Level {
    Level::Neon
}

/// Asks for the cache line at `p`, which need not be memory of ours.
#[inline(always)]
pub fn prefetch(p: *const u8) {
    // SAFETY: a hint that never faults.
    unsafe { asm!("prfm pldl1keep, [{p}]", p = in(reg) p, options(readonly, nostack, preserves_flags)) }
}

#[inline(always)]
unsafe fn load_f32(p: *const f32, n: usize) -> float32x4_t {
    let none = vdup_n_f32(0.0);
    match n {
        4 => vld1q_f32(p),
        3 => vcombine_f32(vld1_f32(p), vld1_lane_f32::<0>(p.add(2), none)),
        2 => vcombine_f32(vld1_f32(p), none),
        1 => vcombine_f32(vld1_lane_f32::<0>(p, none), none),
        _ => vdupq_n_f32(0.0),
    }
}

#[inline(always)]
unsafe fn store_f32(mut p: *mut f32, n: usize, v: float32x4_t) {
    if n == 4 {
        return vst1q_f32(p, v);
    }
    let mut half = vget_low_f32(v);
    if n & 2 != 0 {
        vst1_f32(p, half);
        p = p.add(2);
        half = vget_high_f32(v);
    }
    if n & 1 != 0 {
        vst1_lane_f32::<0>(p, half);
    }
}

#[inline(always)]
unsafe fn load_f64(p: *const f64, n: usize) -> float64x2_t {
    match n {
        2 => vld1q_f64(p),
        1 => vld1q_lane_f64::<0>(p, vdupq_n_f64(0.0)),
        _ => vdupq_n_f64(0.0),
    }
}

#[inline(always)]
unsafe fn store_f64(p: *mut f64, n: usize, v: float64x2_t) {
    match n {
        2 => vst1q_f64(p, v),
        1 => vst1q_lane_f64::<0>(p, v),
        _ => {}
    }
}

#[inline(always)]
unsafe fn interleave_f32<const R: usize>(src: *const f32, rs: isize, n: usize, dst: *mut f32, ld: usize) {
    let row = |r: isize| src.offset((r % R as isize) * rs);
    let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
    let mut p = 0;
    while p + 4 <= n {
        let (a, b) = (vld1q_f32(r0.add(p)), vld1q_f32(r1.add(p)));
        let (ab_lo, ab_hi) = (vzip1q_f32(a, b), vzip2q_f32(a, b));
        let ab = [vget_low_f32(ab_lo), vget_high_f32(ab_lo), vget_low_f32(ab_hi), vget_high_f32(ab_hi)];
        let (c, d) = (vld1q_f32(r2.add(p)), vld1q_f32(r3.add(p)));
        let (cd_lo, cd_hi) = (vzip1q_f32(c, d), vzip2q_f32(c, d));
        let cd = [vget_low_f32(cd_lo), vget_high_f32(cd_lo), vget_low_f32(cd_hi), vget_high_f32(cd_hi)];
        for i in 0..4 {
            let to = dst.add((p + i) * ld);
            if R == 4 {
                vst1q_f32(to, vcombine_f32(ab[i], cd[i]));
            } else {
                vst1_f32(to, ab[i]);
            }
        }
        p += 4;
    }
    interleave_scalar::<f32, R>(src.add(p), rs, n - p, dst.add(p * ld), ld);
}

#[inline(always)]
unsafe fn interleave_f64<const R: usize>(src: *const f64, rs: isize, n: usize, dst: *mut f64, ld: usize) {
    let mut p = 0;
    while p + 2 <= n {
        let mut r = 0;
        while r < R {
            let from = src.offset(r as isize * rs).add(p);
            let (a, b) = (vld1q_f64(from), vld1q_f64(from.offset(rs)));
            let to = dst.add(p * ld + r);
            vst1q_f64(to, vzip1q_f64(a, b));
            vst1q_f64(to.add(ld), vzip2q_f64(a, b));
            r += 2;
        }
        p += 2;
    }
    interleave_scalar::<f64, R>(src.add(p), rs, n - p, dst.add(p * ld), ld);
}

#[inline(always)]
unsafe fn load_u16(p: *const u16, n: usize) -> uint16x4_t {
    if n == 4 {
        return vld1_u16(p);
    }
    let mut line = [0; 4];
    for i in 0..n {
        line[i] = *p.add(i);
    }
    vld1_u16(line.as_ptr())
}

/// The numbers with these bits of float16. (Rust has no stable name for this instruction of the baseline.)
#[inline(always)]
unsafe fn widen_f16(bits: uint16x4_t) -> float32x4_t {
    let wide: float32x4_t;
    asm!(
        "fcvtl {wide:v}.4s, {bits:v}.4h",
        wide = lateout(vreg) wide,
        bits = in(vreg) bits,
        options(pure, nomem, nostack, preserves_flags)
    );
    wide
}

macro_rules! vector {
    (
        $v:ty, $t:ty, $lanes:literal, $interleave:ident, $load_n:ident, $store_n:ident,
        $splat:ident, $load:ident, $store:ident, $fma:ident, $mul:ident, $sum:ident
        $(, $more:item)*
    ) => {
        impl Vector for $v {
            type T = $t;
            const LANES: usize = $lanes;
            const WIDE: bool = true;
            $($more)*
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                $splat(x)
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                $load(p)
            }
            #[inline(always)]
            unsafe fn load_n(p: *const $t, n: usize) -> Self {
                $load_n(p, n)
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                $store(p, self)
            }
            #[inline(always)]
            unsafe fn store_n(self, p: *mut $t, n: usize) {
                $store_n(p, n, self)
            }
            #[inline(always)]
            unsafe fn fma(self, x: Self, y: Self) -> Self {
                $fma(y, self, x)
            }
            #[inline(always)]
            unsafe fn mul(self, x: Self) -> Self {
                $mul(self, x)
            }
            #[inline(always)]
            unsafe fn sum(self) -> $t {
                $sum(self)
            }
            #[inline(always)]
            unsafe fn prefetch(p: *const $t) {
                prefetch(p.cast())
            }
            #[inline(always)]
            unsafe fn interleave<const R: usize>(src: *const $t, rs: isize, n: usize, dst: *mut $t, ld: usize) {
                $interleave::<R>(src, rs, n, dst, ld)
            }
            unsafe fn call<O: Op<$t>>(op: O) {
                op.run::<$v>()
            }
        }
    };
}
vector! {
    float32x4_t, f32, 4, interleave_f32, load_f32, store_f32,
    vdupq_n_f32, vld1q_f32, vst1q_f32, vfmaq_f32, vmulq_f32, vaddvq_f32,
    #[inline(always)]
    unsafe fn load_f16(p: *const u16, n: usize) -> Self {
        widen_f16(load_u16(p, n))
    },
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16, n: usize) -> Self {
        vreinterpretq_f32_u32(vshll_n_u16::<16>(load_u16(p, n)))
    }
}
vector! {
    float64x2_t, f64, 2, interleave_f64, load_f64, store_f64,
    vdupq_n_f64, vld1q_f64, vst1q_f64, vfmaq_f64, vmulq_f64, vaddvq_f64
}
