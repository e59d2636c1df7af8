//! Levels and vectors of x86-64.

use super::portable::Portable;
use super::vector::{interleave_scalar, Lane, Op, Vector};
use std::arch::x86_64::*;

levels! {
    /// AVX2, FMA, BMI and F16C.
    Avx2 = 2, "avx2", [__m256, __m256d];
    /// AVX-512 F, BW, DQ and VL.
    Avx512 = 3, "avx512", [__m512, __m512d];
}

/// The best level this CPU can run.
pub fn supported() -> Level {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("f16c");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx512, avx2) {
        (true, _) => Level::Avx512,
        (_, true) => Level::Avx2,
        _ => Level::Base,
    }
}

/// Asks for the cache line at `p`, which need not be memory of ours.
#[inline(always)]
pub fn prefetch(p: *const u8) {
    // SAFETY: a hint that never faults; SSE belongs to the baseline.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
}

/// Calls an `#[inline(always)]` function in a function that has the features of a level.
#[doc(hidden)]
#[macro_export]
macro_rules! at_level {
    ($level:expr, $body:ident<$($g:ident: $bound:path),*>($($a:ident: $t:ty),*) $(-> $r:ty)?) => {{
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c,lzcnt,popcnt")]
        #[allow(clippy::too_many_arguments)]
        unsafe fn avx512<$($g: $bound),*>($($a: $t),*) $(-> $r)? { $body($($a),*) }
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,f16c,lzcnt,popcnt")]
        #[allow(clippy::too_many_arguments)]
        unsafe fn avx2<$($g: $bound),*>($($a: $t),*) $(-> $r)? { $body($($a),*) }
        match $level {
            $crate::simd::x86::Level::Avx512 => avx512($($a),*),
            $crate::simd::x86::Level::Avx2 => avx2($($a),*),
            $crate::simd::x86::Level::Base => $body($($a),*),
        }
    }};
}

/// `MASK[8 - n..]` has all bits set in its first `n` lanes.
static MASK32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
static MASK64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

#[inline(always)]
unsafe fn mask32(n: usize) -> __m256i {
    _mm256_loadu_si256(MASK32.as_ptr().add(8 - n).cast())
}

#[inline(always)]
unsafe fn mask64(n: usize) -> __m256i {
    _mm256_loadu_si256(MASK64.as_ptr().add(4 - n).cast())
}

#[inline(always)]
unsafe fn load_u16(p: *const u16, n: usize) -> __m128i {
    if n == 8 {
        return _mm_loadu_si128(p.cast());
    }
    let mut line = [0; 8];
    for i in 0..n {
        line[i] = *p.add(i);
    }
    _mm_loadu_si128(line.as_ptr().cast())
}

#[inline(always)]
unsafe fn low_bits(n: usize) -> u32 {
    (1 << n) - 1
}

#[inline(always)]
unsafe fn sum256(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
}

#[inline(always)]
unsafe fn sum256d(v: __m256d) -> f64 {
    let v = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
    _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v)))
}

#[inline(always)]
unsafe fn interleave_f32<const R: usize>(src: *const f32, rs: isize, n: usize, dst: *mut f32, ld: usize) {
    let row = |r: isize| src.offset((r % R as isize) * rs);
    let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
    let mut p = 0;
    while p + 8 <= n {
        let (a, b) = (_mm256_loadu_ps(r0.add(p)), _mm256_loadu_ps(r1.add(p)));
        let (c, d) = (_mm256_loadu_ps(r2.add(p)), _mm256_loadu_ps(r3.add(p)));
        let (ab_lo, ab_hi) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (cd_lo, cd_hi) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        let (ab_lo, ab_hi) = (_mm256_castps_pd(ab_lo), _mm256_castps_pd(ab_hi));
        let (cd_lo, cd_hi) = (_mm256_castps_pd(cd_lo), _mm256_castps_pd(cd_hi));
        // Each holds two columns, four apart.
        let out = [
            _mm256_unpacklo_pd(ab_lo, cd_lo),
            _mm256_unpackhi_pd(ab_lo, cd_lo),
            _mm256_unpacklo_pd(ab_hi, cd_hi),
            _mm256_unpackhi_pd(ab_hi, cd_hi),
        ];
        for (i, v) in out.into_iter().enumerate() {
            let (lo, hi) = (_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
            let (at_lo, at_hi) = (dst.add((p + i) * ld).cast(), dst.add((p + i + 4) * ld).cast());
            if R == 4 {
                _mm_storeu_pd(at_lo, lo);
                _mm_storeu_pd(at_hi, hi);
            } else {
                _mm_storel_pd(at_lo, lo);
                _mm_storel_pd(at_hi, hi);
            }
        }
        p += 8;
    }
    interleave_scalar::<f32, R>(src.add(p), rs, n - p, dst.add(p * ld), ld);
}

#[inline(always)]
unsafe fn interleave_f64<const R: usize>(src: *const f64, rs: isize, n: usize, dst: *mut f64, ld: usize) {
    let mut p = 0;
    while p + 4 <= n {
        let mut r = 0;
        while r < R {
            let from = src.offset(r as isize * rs).add(p);
            let (a, b) = (_mm256_loadu_pd(from), _mm256_loadu_pd(from.offset(rs)));
            let (even, odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            let to = dst.add(p * ld + r);
            _mm_storeu_pd(to, _mm256_castpd256_pd128(even));
            _mm_storeu_pd(to.add(ld), _mm256_castpd256_pd128(odd));
            _mm_storeu_pd(to.add(2 * ld), _mm256_extractf128_pd::<1>(even));
            _mm_storeu_pd(to.add(3 * ld), _mm256_extractf128_pd::<1>(odd));
            r += 2;
        }
        p += 4;
    }
    interleave_scalar::<f64, R>(src.add(p), rs, n - p, dst.add(p * ld), ld);
}

macro_rules! vector {
    (
        $v:ty, $t:ty, $lanes:literal, $wide:literal, $features:literal, $interleave:ident,
        $splat:ident, $load:ident, $store:ident, $fma:ident, $mul:ident,
        |$p:ident, $n:ident| $load_n:expr, |$q:ident, $o:ident, $x:ident| $store_n:expr, |$s:ident| $sum:expr
        $(, $more:item)*
    ) => {
        impl Vector for $v {
            type T = $t;
            const LANES: usize = $lanes;
            const WIDE: bool = $wide;
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
            unsafe fn load_n($p: *const $t, $n: usize) -> Self {
                $load_n
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                $store(p, self)
            }
            #[inline(always)]
            unsafe fn store_n(self, $q: *mut $t, $o: usize) {
                let $x = self;
                $store_n
            }
            #[inline(always)]
            unsafe fn fma(self, x: Self, y: Self) -> Self {
                $fma(self, x, y)
            }
            #[inline(always)]
            unsafe fn mul(self, x: Self) -> Self {
                $mul(self, x)
            }
            #[inline(always)]
            unsafe fn sum(self) -> $t {
                let $s = self;
                $sum
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
                #[target_feature(enable = $features)]
                unsafe fn go<O: Op<$t>>(op: O) {
                    op.run::<$v>()
                }
                go(op)
            }
        }
    };
}
vector! {
    __m256, f32, 8, false, "avx2,fma,bmi1,bmi2,f16c", interleave_f32,
    _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_mul_ps,
    |p, n| if n == 8 { _mm256_loadu_ps(p) } else { _mm256_maskload_ps(p, mask32(n)) },
    |p, n, v| if n == 8 { _mm256_storeu_ps(p, v) } else { _mm256_maskstore_ps(p, mask32(n), v) },
    |v| sum256(v),
    #[inline(always)]
    unsafe fn load_f16(p: *const u16, n: usize) -> Self {
        _mm256_cvtph_ps(load_u16(p, n))
    },
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16, n: usize) -> Self {
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(load_u16(p, n))))
    }
}
vector! {
    __m256d, f64, 4, false, "avx2,fma,bmi1,bmi2", interleave_f64,
    _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_fmadd_pd, _mm256_mul_pd,
    |p, n| if n == 4 { _mm256_loadu_pd(p) } else { _mm256_maskload_pd(p, mask64(n)) },
    |p, n, v| if n == 4 { _mm256_storeu_pd(p, v) } else { _mm256_maskstore_pd(p, mask64(n), v) },
    |v| sum256d(v)
}
vector! {
    __m512, f32, 16, true, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,f16c", interleave_f32,
    _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_mul_ps,
    |p, n| _mm512_maskz_loadu_ps(low_bits(n) as u16, p),
    |p, n, v| _mm512_mask_storeu_ps(p, low_bits(n) as u16, v),
    |v| sum256(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v))),
    #[inline(always)]
    unsafe fn load_f16(p: *const u16, n: usize) -> Self {
        _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(low_bits(n) as u16, p.cast()))
    },
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16, n: usize) -> Self {
        let bits = _mm256_maskz_loadu_epi16(low_bits(n) as u16, p.cast());
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
    }
}
vector! {
    __m512d, f64, 8, true, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2", interleave_f64,
    _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_fmadd_pd, _mm512_mul_pd,
    |p, n| _mm512_maskz_loadu_pd(low_bits(n) as u8, p),
    |p, n, v| _mm512_mask_storeu_pd(p, low_bits(n) as u8, v),
    |v| sum256d(_mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd::<1>(v)))
}
