//! Reductions over a row-major block seen as `[outer, n, inner]`, reducing the middle. Long rows are cut into blocks of a
//! fixed size, so that the bits of a result do not depend on the number of threads.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use crate::dtype::Elem;
use crate::parallel::parallel_for;

/// Elements per block of a long row.
pub const BLOCK: usize = 8192;

/// A sum of contiguous elements, kept in 64 lanes so that it vectorises in a fixed order.
macro_rules! sum_block {
    ($name:ident, $t:ty) => {
        crate::simd_fn! {
            unsafe fn $name(x: *const $t, n: usize) -> $t {
                let mut lanes = [0 as $t; 64];
                let whole = n / 64 * 64;
                let mut i = 0;
                while i < whole {
                    for k in 0..64 {
                        lanes[k] += *x.add(i + k);
                    }
                    i += 64;
                }
                for k in 0..n - whole {
                    lanes[k] += *x.add(whole + k);
                }
                let mut width = 32;
                while width > 0 {
                    for k in 0..width {
                        lanes[k] += lanes[k + width];
                    }
                    width /= 2;
                }
                lanes[0]
            }
        }
    };
}
sum_block!(sum_f32, f32);
sum_block!(sum_f64, f64);

macro_rules! add_rows {
    ($name:ident, $t:ty) => {
        crate::simd_fn! {
            unsafe fn $name(x: *const $t, acc: *mut $t, n: usize) {
                for i in 0..n {
                    *acc.add(i) += *x.add(i);
                }
            }
        }
    };
}
add_rows!(add_row_f32, f32);
add_rows!(add_row_f64, f64);

/// Sums in the type of the elements.
pub trait Sum: Elem {
    /// Sum of contiguous elements.
    unsafe fn block(x: *const Self, n: usize) -> Self;
    /// `acc[i] += x[i]`.
    unsafe fn row(x: *const Self, acc: *mut Self, n: usize);
    /// Zero.
    const ZERO: Self;
    /// Sum of block sums, in order.
    fn join(parts: &[Self]) -> Self;
}
impl Sum for f32 {
    unsafe fn block(x: *const f32, n: usize) -> f32 {
        sum_f32(x, n)
    }
    unsafe fn row(x: *const f32, acc: *mut f32, n: usize) {
        add_row_f32(x, acc, n)
    }
    const ZERO: f32 = 0.0;
    fn join(parts: &[f32]) -> f32 {
        parts.iter().map(|&v| v as f64).sum::<f64>() as f32
    }
}
impl Sum for f64 {
    unsafe fn block(x: *const f64, n: usize) -> f64 {
        sum_f64(x, n)
    }
    unsafe fn row(x: *const f64, acc: *mut f64, n: usize) {
        add_row_f64(x, acc, n)
    }
    const ZERO: f64 = 0.0;
    fn join(parts: &[f64]) -> f64 {
        parts.iter().sum()
    }
}
impl Sum for i64 {
    unsafe fn block(x: *const i64, n: usize) -> i64 {
        std::slice::from_raw_parts(x, n).iter().fold(0, |a, &b| a.wrapping_add(b))
    }
    unsafe fn row(x: *const i64, acc: *mut i64, n: usize) {
        for i in 0..n {
            *acc.add(i) = (*acc.add(i)).wrapping_add(*x.add(i));
        }
    }
    const ZERO: i64 = 0;
    fn join(parts: &[i64]) -> i64 {
        parts.iter().fold(0, |a, &b| a.wrapping_add(b))
    }
}

/// `out[o, i] = sum over k of x[o, k, i]`.
pub unsafe fn sum<T: Sum>(x: *const T, outer: usize, n: usize, inner: usize, out: *mut T) {
    let (x, out) = (Shared(x as *mut T), Shared(out));
    if inner == 1 {
        let blocks = n.div_ceil(BLOCK).max(1);
        if blocks == 1 {
            return parallel_for(outer, (GRAIN / n.max(1)).max(1), &|r| {
                for o in r {
                    // SAFETY: row `o` of the input, element `o` of the output.
                    unsafe { *out.get().add(o) = T::block(x.get().add(o * n), n) };
                }
            });
        }
        let mut parts = vec![T::ZERO; outer * blocks];
        let p = Shared(parts.as_mut_ptr());
        parallel_for(outer * blocks, GRAIN / BLOCK, &|r| {
            for j in r {
                let (o, b) = (j / blocks, j % blocks);
                let start = b * BLOCK;
                // SAFETY: block `b` of row `o`; part `j` belongs to it alone.
                unsafe { *p.get().add(j) = T::block(x.get().add(o * n + start), BLOCK.min(n - start)) };
            }
        });
        for o in 0..outer {
            *out.get().add(o) = T::join(&parts[o * blocks..(o + 1) * blocks]);
        }
        return;
    }
    // Columns: rows are added up, in pieces of the columns that stay in cache.
    const PIECE: usize = 1024;
    let pieces = inner.div_ceil(PIECE);
    parallel_for(outer * pieces, (GRAIN / (n.max(1) * inner.min(PIECE))).max(1), &|r| {
        for j in r {
            let (o, start) = (j / pieces, j % pieces * PIECE);
            let width = PIECE.min(inner - start);
            // SAFETY: columns `start..start + width` of slice `o`.
            unsafe {
                let acc = out.get().add(o * inner + start);
                std::slice::from_raw_parts_mut(acc, width).fill(T::ZERO);
                for k in 0..n {
                    T::row(x.get().add((o * n + k) * inner + start), acc, width);
                }
            }
        }
    });
}
