//! How strided operands are walked: row by row.
#![allow(clippy::needless_range_loop)]

use crate::parallel::parallel_for;
use smallvec::SmallVec;

/// Calls `f` with the byte offsets and element strides of one-dimensional rows that together cover `shape` once.
/// Dimensions that lie alike in all operands are merged; the one that the first operand steps through fastest is
/// innermost.
pub fn rows<const N: usize>(
    shape: &[usize],
    strides: [&[isize]; N],
    sizes: [usize; N],
    grain: usize,
    f: &(dyn Fn([isize; N], [isize; N], usize) + Sync),
) {
    let mut dims: SmallVec<[(usize, [isize; N]); 8]> = SmallVec::new();
    for d in 0..shape.len() {
        if shape[d] == 0 {
            return;
        }
        if shape[d] != 1 {
            dims.push((shape[d], std::array::from_fn(|k| strides[k][d])));
        }
    }
    // Outermost first; ties by the second operand.
    #[allow(clippy::disallowed_methods, reason = "as many as dimensions, and equals stay in their order")]
    dims.sort_by(|a, b| {
        let key = |x: &(usize, [isize; N])| (x.1[0].abs(), x.1.iter().map(|s| s.abs()).max().unwrap_or(0));
        key(b).cmp(&key(a))
    });
    let mut merged: SmallVec<[(usize, [isize; N]); 8]> = SmallVec::new();
    for (n, s) in dims {
        match merged.last_mut() {
            Some(last) if (0..N).all(|k| last.1[k] == s[k] * n as isize) => *last = (last.0 * n, s),
            _ => merged.push((n, s)),
        }
    }
    let Some((inner, step)) = merged.pop() else {
        return f([0; N], [1; N], 1);
    };
    let outer: usize = merged.iter().map(|d| d.0).product();
    if outer == 1 {
        return parallel_for(inner, grain, &|r| {
            let at = std::array::from_fn(|k| r.start as isize * step[k] * sizes[k] as isize);
            f(at, step, r.len());
        });
    }
    parallel_for(outer, grain.div_ceil(inner), &|r| {
        let mut index: SmallVec<[usize; 8]> = SmallVec::from_elem(0, merged.len());
        let mut at = [0isize; N];
        let mut rest = r.start;
        for d in (0..merged.len()).rev() {
            index[d] = rest % merged[d].0;
            rest /= merged[d].0;
            for k in 0..N {
                at[k] += index[d] as isize * merged[d].1[k];
            }
        }
        for _ in r {
            f(std::array::from_fn(|k| at[k] * sizes[k] as isize), step, inner);
            for d in (0..merged.len()).rev() {
                index[d] += 1;
                for k in 0..N {
                    at[k] += merged[d].1[k];
                }
                if index[d] < merged[d].0 {
                    break;
                }
                for k in 0..N {
                    at[k] -= merged[d].0 as isize * merged[d].1[k];
                }
                index[d] = 0;
            }
        }
    });
}
