//! Gathering, scattering, masks, positions of non-zero elements, and remapping of positions (pad, flip, roll).
//! Elements that are only moved are handled by their size, not by their dtype.
#![allow(clippy::missing_safety_doc)]

use crate::dtype::{dispatch_size, Acc, Elem, Truth};
use crate::error::Result;
use crate::kernels::copy::{Shared, GRAIN};
use crate::kernels::rows::rows;
use crate::memory::List;
use crate::parallel::{parallel_for, Pace};
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Mutex;

/// Where the positions of some dimensions lie, in elements, in row-major order.
pub enum Steps {
    /// `n` positions, `step` apart.
    Even {
        /// Number of positions.
        n: usize,
        /// Distance.
        step: isize,
    },
    /// Any positions.
    Table(List<isize>),
}

impl Steps {
    /// The positions of dimensions with these sizes and strides.
    ///
    /// None at all if these are part of something that has no elements: its other sizes mean no work then.
    pub fn new(shape: &[usize], strides: &[isize], whole: &[usize]) -> Result<Steps> {
        if shape.contains(&0) || whole.contains(&0) {
            return Ok(Steps::Even { n: 0, step: 1 });
        }
        let (mut n, mut step) = (1, 1);
        for d in (0..shape.len()).rev().filter(|&d| shape[d] != 1) {
            if n == 1 {
                (n, step) = (shape[d], strides[d]);
            } else if strides[d] == step.wrapping_mul(n as isize) {
                n *= shape[d];
            } else {
                let mut all = List::with_room(shape.iter().product())?;
                all.push(0)?;
                for (&n, &s) in shape.iter().zip(strides).rev() {
                    // What is there already is the inner part of each step.
                    for k in 1..n as isize {
                        let inner = all.len() / k as usize;
                        for i in 0..inner {
                            all.push(all[i] + k * s)?;
                        }
                    }
                }
                return Ok(Steps::Table(all));
            }
        }
        Ok(Steps::Even { n, step })
    }

    /// Number of positions.
    pub fn count(&self) -> usize {
        match self {
            Steps::Even { n, .. } => *n,
            Steps::Table(t) => t.len(),
        }
    }

    /// Position `i`.
    #[inline(always)]
    pub fn at(&self, i: usize) -> isize {
        match self {
            Steps::Even { step, .. } => i as isize * step,
            Steps::Table(t) => t[i],
        }
    }
}

/// `out[b, j, a] = src[b + j + a]` for row-major `out`; `size` is that of an element.
pub unsafe fn take(size: usize, src: *const u8, [b, j, a]: [&Steps; 3], out: *mut u8) {
    let (nj, na) = (j.count(), a.count());
    let n = b.count() * nj;
    if n * na == 0 {
        return;
    }
    dispatch_size!(size, T => {
        let (src, out) = (Shared(src as *mut T), Shared(out.cast::<T>()));
        parallel_for(n, GRAIN.div_ceil(na), &|r| {
            let (mut bi, mut ji) = (r.start / nj, r.start % nj);
            for row in r {
                // SAFETY: each row of the output is written once; the positions lie inside the source.
                unsafe {
                    let from = src.get().offset(b.at(bi) + j.at(ji));
                    let to = out.get().add(row * na);
                    match a {
                        Steps::Even { n: 1, .. } => *to = *from,
                        Steps::Even { step: 1, .. } => std::ptr::copy_nonoverlapping(from, to, na),
                        _ => (0..na).for_each(|i| *to.add(i) = *from.offset(a.at(i))),
                    }
                }
                ji += 1;
                if ji == nj {
                    (bi, ji) = (bi + 1, 0);
                }
            }
        });
    })
}

/// `dst[b + j + a] = f(dst[b + j + a], src[b' + j' + a'])`, with the source's positions after those of the destination.
/// Places that `j` names several times are visited in order, whatever the number of threads.
pub unsafe fn put<T: Copy>(
    dst: *mut T,
    [b, j, a]: [&Steps; 3],
    src: *const T,
    [sb, sj, sa]: [&Steps; 3],
    f: impl Fn(T, T) -> T + Sync,
) {
    let (nb, nj, na) = (b.count(), j.count(), a.count());
    if nb * nj * na == 0 {
        return;
    }
    let (dst, src) = (Shared(dst), Shared(src as *mut T));
    let unit = |s: &Steps| matches!(s, Steps::Even { step: 1, .. }) || na == 1;
    let direct = unit(a) && unit(sa);
    let part = |bs: Range<usize>, cols: Range<usize>| {
        let mut pace = Pace::default();
        for bi in bs {
            for ji in 0..nj {
                pace.step(cols.len());
                // SAFETY: the parts of two calls differ in `b` or in `a`, and so in the places they write.
                unsafe {
                    let to = dst.get().offset(b.at(bi) + j.at(ji));
                    let from = src.get().offset(sb.at(bi) + sj.at(ji));
                    if direct {
                        for i in cols.clone() {
                            *to.add(i) = f(*to.add(i), *from.add(i));
                        }
                    } else {
                        for i in cols.clone() {
                            let to = to.offset(a.at(i));
                            *to = f(*to, *from.offset(sa.at(i)));
                        }
                    }
                }
            }
        }
    };
    if nb > 1 {
        parallel_for(nb, GRAIN.div_ceil(nj * na), &|r| part(r, 0..na));
    } else {
        parallel_for(na, GRAIN.div_ceil(nj).max(16), &|r| part(0..1, r));
    }
}

/// An operand of a walk: first element and strides over the walk's shape.
pub type Strided<'a, T> = (*mut T, &'a [isize]);

/// `out[p] = src[p + index[p] * step]`; gives an index that is outside of `0..n`, if there is one.
pub unsafe fn gather(
    size: usize,
    shape: &[usize],
    out: Strided<u8>,
    index: Strided<i64>,
    src: Strided<u8>,
    step: isize,
    n: usize,
) -> Option<i64> {
    let bad = Mutex::new(None);
    let (op, ip, sp) = (Shared(out.0), Shared(index.0), Shared(src.0));
    dispatch_size!(size, T => {
        rows(shape, [out.1, index.1, src.1], [size, 8, size], GRAIN, &|at, steps, len| {
            // SAFETY: `rows` yields each element of the output once; indices are checked before use.
            unsafe {
                let o = op.get().offset(at[0]).cast::<T>();
                let i = ip.get().cast::<u8>().offset(at[1]).cast::<i64>();
                let s = sp.get().offset(at[2]).cast::<T>();
                for k in 0..len as isize {
                    let v = *i.offset(k * steps[1]);
                    if v as u64 >= n as u64 {
                        *bad.lock().unwrap_or_else(|e| e.into_inner()) = Some(v);
                        return;
                    }
                    *o.offset(k * steps[0]) = *s.offset(k * steps[2] + v as isize * step);
                }
            }
        })
    });
    bad.into_inner().unwrap_or_else(|e| e.into_inner())
}

/// `dst[p + index[p] * step] = f(that, src[p])` over `shape`, in ascending order along `dim`, along which `dst` itself
/// has stride 0; gives an index that is outside of `0..n`, if there is one.
pub unsafe fn scatter<T: Copy>(
    shape: &[usize],
    dim: usize,
    dst: Strided<T>,
    index: Strided<i64>,
    src: Strided<T>,
    step: isize,
    n: usize,
    f: impl Fn(T, T) -> T + Sync,
) -> Option<i64> {
    let bad = Mutex::new(None);
    let (dp, ip, sp) = (Shared(dst.0), Shared(index.0), Shared(src.0));
    let size = std::mem::size_of::<T>();
    // Elements meet only along `dim`, so another dimension is split among the threads.
    let split = (0..shape.len()).filter(|&d| d != dim).max_by_key(|&d| shape[d]);
    let total: usize = shape.iter().product();
    let part = |r: Range<usize>| {
        let mut shape = crate::shape::Dims::from_slice(shape);
        let mut start = [0isize; 3];
        if let Some(d) = split {
            shape[d] = r.len();
            start = [dst.1[d], index.1[d], src.1[d]].map(|s| s * r.start as isize);
        }
        rows(&shape, [dst.1, index.1, src.1], [size, 8, size], usize::MAX, &|at, steps, len| {
            // SAFETY: see above; indices are checked before use.
            unsafe {
                let d = dp.get().offset(start[0]).cast::<u8>().offset(at[0]).cast::<T>();
                let i = ip.get().offset(start[1]).cast::<u8>().offset(at[1]).cast::<i64>();
                let s = sp.get().offset(start[2]).cast::<u8>().offset(at[2]).cast::<T>();
                let mut pace = Pace::default();
                for k in 0..len as isize {
                    pace.step(1);
                    let v = *i.offset(k * steps[1]);
                    if v as u64 >= n as u64 {
                        *bad.lock().unwrap_or_else(|e| e.into_inner()) = Some(v);
                        return;
                    }
                    let to = d.offset(k * steps[0] + v as isize * step);
                    *to = f(*to, *s.offset(k * steps[2]));
                }
            }
        });
    };
    match split {
        Some(d) if shape[d] > 0 => parallel_for(shape[d], GRAIN.div_ceil((total / shape[d]).max(1)), &|r| part(r)),
        Some(_) => {}
        None => part(0..1),
    }
    bad.into_inner().unwrap_or_else(|e| e.into_inner())
}

crate::simd_fn! {
    unsafe fn fill_row_1(x: *const u8, mask: *const u8, out: *mut u8, n: usize, v: u8) {
        for i in 0..n { *out.add(i) = if *mask.add(i) != 0 { v } else { *x.add(i) }; }
    }
    unsafe fn fill_row_2(x: *const u16, mask: *const u8, out: *mut u16, n: usize, v: u16) {
        for i in 0..n { *out.add(i) = if *mask.add(i) != 0 { v } else { *x.add(i) }; }
    }
    unsafe fn fill_row_4(x: *const u32, mask: *const u8, out: *mut u32, n: usize, v: u32) {
        for i in 0..n { *out.add(i) = if *mask.add(i) != 0 { v } else { *x.add(i) }; }
    }
    unsafe fn fill_row_8(x: *const u64, mask: *const u8, out: *mut u64, n: usize, v: u64) {
        for i in 0..n { *out.add(i) = if *mask.add(i) != 0 { v } else { *x.add(i) }; }
    }
}

/// `out = if mask { value } else { x }` over `shape`; `value` points to one element.
pub unsafe fn masked_fill(
    size: usize,
    shape: &[usize],
    out: Strided<u8>,
    x: Strided<u8>,
    mask: Strided<u8>,
    value: *const u8,
) {
    let (op, xp, mp, vp) = (Shared(out.0), Shared(x.0), Shared(mask.0), Shared(value as *mut u8));
    rows(shape, [out.1, x.1, mask.1], [size, size, 1], GRAIN, &|at, steps, n| {
        // SAFETY: `rows` yields each element of the output once.
        unsafe {
            let (o, x, m) = (op.get().offset(at[0]), xp.get().offset(at[1]), mp.get().offset(at[2]));
            let v = vp.get();
            if steps == [1; 3] && size <= 8 {
                return match size {
                    1 => fill_row_1(x, m, o, n, *v),
                    2 => fill_row_2(x.cast(), m, o.cast(), n, *v.cast()),
                    4 => fill_row_4(x.cast(), m, o.cast(), n, *v.cast()),
                    8 => fill_row_8(x.cast(), m, o.cast(), n, *v.cast()),
                    n => unreachable!("no dtype has elements of {n} bytes"),
                };
            }
            dispatch_size!(size, T => {
                let (o, x, v) = (o.cast::<T>(), x.cast::<T>(), *v.cast::<T>());
                for k in 0..n as isize {
                    let hit = *m.offset(k * steps[2]) != 0;
                    *o.offset(k * steps[0]) = if hit { v } else { *x.offset(k * steps[1]) };
                }
            })
        }
    });
}

/// Elements per block of the two-pass kernels below.
const BLOCK: usize = 16 * 1024;

/// First pass over `n` elements: where the non-zero ones of each block start among all of them, and their number.
pub unsafe fn count<T: Elem>(x: *const T, n: usize) -> Result<(List<usize>, usize)> {
    let mut starts = List::filled(n.div_ceil(BLOCK), 0usize)?;
    let (xp, sp) = (Shared(x as *mut T), Shared(starts.as_mut_ptr()));
    parallel_for(starts.len(), 2, &|r| {
        for b in r {
            let (from, to) = (b * BLOCK, ((b + 1) * BLOCK).min(n));
            // SAFETY: inside of `n`; each block writes its own count.
            unsafe {
                let block = std::slice::from_raw_parts(xp.get().add(from), to - from);
                *sp.get().add(b) = block.iter().map(|v| v.truth() as u32).sum::<u32>() as usize;
            }
        }
    });
    let mut total = 0;
    for s in starts.iter_mut() {
        total += std::mem::replace(s, total);
    }
    Ok((starts, total))
}

/// Second pass: calls `f(i, k)` for the `k`-th non-zero element, which is element `i`. `f` may write to place `k` only.
#[inline(always)]
unsafe fn each<T: Elem>(x: *const T, n: usize, starts: &[usize], total: usize, f: impl Fn(usize, usize) + Sync) {
    let xp = Shared(x as *mut T);
    parallel_for(starts.len(), 2, &|r| {
        for b in r {
            let (mut i, mut k) = (b * BLOCK, starts[b]);
            let (end, stop) = (starts.get(b + 1).copied().unwrap_or(total), ((b + 1) * BLOCK).min(n));
            // Without branches on the data: what is written for a zero element is overwritten by the next one.
            while k < end && i < stop {
                f(i, k);
                // SAFETY: `i` is inside of the block.
                k += unsafe { *xp.get().add(i) }.truth() as usize;
                i += 1;
            }
        }
    });
}

/// Positions of the non-zero elements of a row-major block.
pub unsafe fn positions<T: Elem>(x: *const T, n: usize, starts: &[usize], total: usize, out: *mut i64) {
    let out = Shared(out);
    each(x, n, starts, total, |i, k| unsafe { *out.get().add(k) = i as i64 });
}

/// The elements of `x` where `mask` is true; both row-major.
pub unsafe fn compress(
    size: usize,
    x: *const u8,
    mask: *const Truth,
    n: usize,
    starts: &[usize],
    total: usize,
    out: *mut u8,
) {
    dispatch_size!(size, T => {
        let (x, out) = (Shared(x as *mut T), Shared(out.cast::<T>()));
        each(mask, n, starts, total, |i, k| unsafe { *out.get().add(k) = *x.get().add(i) });
    })
}

/// `x` with the elements where `mask` is true replaced by those of `src`, in order; all row-major.
pub unsafe fn expand(
    size: usize,
    x: *const u8,
    mask: *const Truth,
    n: usize,
    (starts, total): (&[usize], usize),
    src: *const u8,
    out: *mut u8,
) {
    dispatch_size!(size, T => {
        let (x, m, s, o) = (Shared(x as *mut T), Shared(mask as *mut Truth), Shared(src as *mut T), Shared(out.cast::<T>()));
        parallel_for(starts.len(), 2, &|r| {
            for b in r {
                let mut k = starts[b];
                let end = starts.get(b + 1).copied().unwrap_or(total);
                for i in b * BLOCK..((b + 1) * BLOCK).min(n) {
                    // SAFETY: `src` has `total` elements, as many as the mask has true ones (or had, when they were counted).
                    unsafe {
                        let hit = (*m.get().add(i)).truth() && k < end;
                        *o.get().add(i) = if hit { *s.get().add(k) } else { *x.get().add(i) };
                        k += hit as usize;
                    }
                }
            }
        });
    })
}

/// Flat positions in a row-major array of `shape` as rows of coordinates.
pub unsafe fn unravel(flat: *const i64, n: usize, shape: &[usize], out: *mut i64) {
    let (fp, op, nd) = (Shared(flat as *mut i64), Shared(out), shape.len());
    parallel_for(n, GRAIN / 8, &|r| {
        for i in r {
            // SAFETY: each row of the output is written once.
            unsafe {
                let (mut p, row) = (*fp.get().add(i) as usize, op.get().add(i * nd));
                for d in (0..nd).rev() {
                    // 32-bit divisions are several times faster than 64-bit ones.
                    let (q, m) = match u32::try_from(p) {
                        Ok(p) => ((p / shape[d] as u32) as usize, (p % shape[d] as u32) as usize),
                        Err(_) => (p / shape[d], p % shape[d]),
                    };
                    *row.add(d) = m as i64;
                    p = q;
                }
            }
        }
    });
}

/// A run of output positions along one dimension: `from`, `from + step` ... in the source; none where `step` is 0.
struct Run {
    at: usize,
    n: usize,
    from: isize,
    step: isize,
}

fn runs(map: &[isize]) -> Result<List<Run>> {
    let mut out: List<Run> = List::new();
    for (at, &from) in map.iter().enumerate() {
        if let Some(r) = out.last_mut() {
            let last = r.from + (r.n as isize - 1) * r.step;
            let fits = match (from < 0, r.from < 0) {
                (true, true) => true,
                (false, false) => (r.n == 1 && (from - last).abs() == 1) || (r.n > 1 && from - last == r.step),
                _ => false,
            };
            if fits {
                if from >= 0 && r.n == 1 {
                    r.step = from - r.from;
                }
                r.n += 1;
                continue;
            }
        }
        out.push(Run { at, n: 1, from, step: if from < 0 { 0 } else { 1 } })?;
    }
    Ok(out)
}

/// `out[i, j, ..] = src[maps[0][i], maps[1][j], ..]`, both row-major; a negative entry takes `fill`, an empty map is the
/// identity.
pub unsafe fn remap(
    size: usize,
    src: *const u8,
    src_shape: &[usize],
    maps: &[List<isize>],
    out: *mut u8,
    out_shape: &[usize],
    fill: *const u8,
) -> Result<()> {
    let Some(last) = maps.iter().rposition(|m| !m.is_empty()) else {
        std::ptr::copy_nonoverlapping(src, out, size * out_shape.iter().product::<usize>());
        return Ok(());
    };
    let block: usize = src_shape[last + 1..].iter().product();
    let line = out_shape[last] * block;
    let outer: usize = out_shape[..last].iter().product();
    if outer * line == 0 {
        return Ok(());
    }
    let steps = crate::shape::contiguous_strides(src_shape);
    let runs = runs(&maps[last])?;
    dispatch_size!(size, T => {
        let (src, out, fill) = (Shared(src as *mut T), Shared(out.cast::<T>()), *fill.cast::<T>());
        parallel_for(outer, GRAIN.div_ceil(line), &|r| {
            for row in r {
                let (mut rest, mut at) = (row, Some(0isize));
                for d in (0..last).rev() {
                    let i = rest % out_shape[d];
                    rest /= out_shape[d];
                    let i = maps[d].get(i).copied().unwrap_or(i as isize);
                    at = at.filter(|_| i >= 0).map(|at| at + i * steps[d]);
                }
                // SAFETY: each line of the output is written once; maps name places inside the source.
                unsafe {
                    let to = out.get().add(row * line);
                    let Some(at) = at else {
                        std::slice::from_raw_parts_mut(to, line).fill(fill);
                        continue;
                    };
                    for run in &runs {
                        let to = to.add(run.at * block);
                        let from = src.get().offset(at + run.from.max(0) * block as isize);
                        match run.step {
                            0 => std::slice::from_raw_parts_mut(to, run.n * block).fill(fill),
                            1 => std::ptr::copy_nonoverlapping(from, to, run.n * block),
                            _ if block == 1 => (0..run.n).for_each(|i| *to.add(i) = *from.sub(i)),
                            _ => (0..run.n).for_each(|i| {
                                std::ptr::copy_nonoverlapping(from.sub(i * block), to.add(i * block), block)
                            }),
                        }
                    }
                }
            }
        });
    });
    Ok(())
}

/// The transpose of [`remap`]: `dst[maps[0][i], maps[1][j], ..] += src[i, j, ..]`.
pub unsafe fn remap_add<T: Elem>(
    src: *const T,
    src_shape: &[usize],
    maps: &[List<isize>],
    dst: *mut T,
    dst_shape: &[usize],
) {
    let nd = src_shape.len();
    // Leading dimensions that stay as they are do not meet: they are split among the threads.
    let lead = maps.iter().position(|m| !m.is_empty()).unwrap_or(nd);
    let outer: usize = src_shape[..lead].iter().product();
    let (n, m): (usize, usize) = (src_shape[lead..].iter().product(), dst_shape[lead..].iter().product());
    if n == 0 {
        return;
    }
    let steps = crate::shape::contiguous_strides(&dst_shape[lead..]);
    let (sp, dp) = (Shared(src as *mut T), Shared(dst));
    parallel_for(outer, GRAIN.div_ceil(n), &|r| {
        for o in r {
            let mut index: SmallVec<[usize; 8]> = SmallVec::from_elem(0, nd - lead);
            for i in 0..n {
                let mut at = Some(0);
                for (k, &i) in index.iter().enumerate() {
                    let i = maps[lead + k].get(i).copied().unwrap_or(i as isize);
                    at = at.filter(|_| i >= 0).map(|at| at + i * steps[k]);
                }
                if let Some(at) = at {
                    // SAFETY: maps name places inside the destination, and threads have different `o`.
                    unsafe {
                        let to = dp.get().add(o * m).offset(at);
                        *to = T::down((*to).up().plus((*sp.get().add(o * n + i)).up()));
                    }
                }
                for k in (0..index.len()).rev() {
                    index[k] += 1;
                    if index[k] < src_shape[lead + k] {
                        break;
                    }
                    index[k] = 0;
                }
            }
        }
    });
}

/// Writes `src`, seen as `[outer, len, inner]`, to the positions `start`, `start + step` ... of the middle dimension of
/// `out`, `[outer, n, inner]`, and zeros everywhere else. Sizes are in bytes for `inner`.
pub unsafe fn embed(src: *const u8, out: *mut u8, outer: usize, n: usize, inner: usize, at: (usize, usize, usize)) {
    let (start, step, len) = at;
    let (src, out) = (Shared(src as *mut u8), Shared(out));
    parallel_for(outer, (4 * GRAIN).div_ceil((n * inner).max(1)), &|r| {
        for o in r {
            // SAFETY: threads write different rows.
            unsafe {
                let (s, d) = (src.get().add(o * len * inner), out.get().add(o * n * inner));
                if len == 0 {
                    std::ptr::write_bytes(d, 0, n * inner);
                    continue;
                }
                std::ptr::write_bytes(d, 0, start * inner);
                let mut end = start + len;
                if step == 1 {
                    std::ptr::copy_nonoverlapping(s, d.add(start * inner), len * inner);
                } else {
                    for k in 0..len {
                        end = (start + (k + 1) * step).min(n);
                        let to = d.add((start + k * step) * inner);
                        std::ptr::copy_nonoverlapping(s.add(k * inner), to, inner);
                        std::ptr::write_bytes(to.add(inner), 0, (end - start - k * step - 1) * inner);
                    }
                }
                std::ptr::write_bytes(d.add(end * inner), 0, (n - end) * inner);
            }
        }
    });
}

/// `dst += src` over `shape`, one element after the other: places that `dst` names several times get the sum.
pub unsafe fn accumulate<T: Elem>(shape: &[usize], dst: Strided<T>, src: Strided<T>) {
    let (dp, sp) = (Shared(dst.0), Shared(src.0));
    let size = std::mem::size_of::<T>();
    rows(shape, [dst.1, src.1], [size, size], usize::MAX, &|at, steps, n| {
        // SAFETY: the grain keeps this on one thread.
        unsafe {
            let d = dp.get().cast::<u8>().offset(at[0]).cast::<T>();
            let s = sp.get().cast::<u8>().offset(at[1]).cast::<T>();
            for k in 0..n as isize {
                let to = d.offset(k * steps[0]);
                *to = T::down((*to).up().plus((*s.offset(k * steps[1])).up()));
            }
        }
    });
}

/// Keeps, in each row `i` of `batch` row-major `r x c` matrices, the columns up to (`lower`) or from (not `lower`)
/// column `i + k`, and zeroes the others. `out` may be `x`.
pub unsafe fn triangle(size: usize, x: *const u8, out: *mut u8, batch: usize, r: usize, c: usize, k: i64, lower: bool) {
    let (x, out) = (Shared(x as *mut u8), Shared(out));
    parallel_for(batch * r, GRAIN.div_ceil(c.max(1)), &|rows| {
        for row in rows {
            let i = (row % r) as i64;
            let cut = |extra: i64| i.saturating_add(k).saturating_add(extra).clamp(0, c as i64) as usize;
            let keep = if lower { 0..cut(1) } else { cut(0)..c };
            // SAFETY: threads write different rows.
            unsafe {
                let (s, d) = (x.get().add(row * c * size), out.get().add(row * c * size));
                if s != d {
                    std::ptr::copy_nonoverlapping(
                        s.add(keep.start * size),
                        d.add(keep.start * size),
                        keep.len() * size,
                    );
                }
                std::ptr::write_bytes(d, 0, keep.start * size);
                std::ptr::write_bytes(d.add(keep.end * size), 0, (c - keep.end) * size);
            }
        }
    });
}
