//! Sorting, selection and search along rows. Elements become unsigned keys whose order is theirs (NaN greatest, -0 equal
//! to 0), packed with their index, so that every sort is stable and ties go to the first.
#![allow(clippy::missing_safety_doc)]

use super::copy::Shared;
use crate::dtype::{for_each_type, Category, Elem};
use crate::error::Result;
use crate::memory::List;
use crate::parallel::{poll, polled, try_parallel_for, Pace};
use std::mem::transmute_copy;

/// A key above an index.
pub trait Packed: Copy + Ord + Send + Sync + Default + 'static {
    /// Packs.
    fn pack(key: u64, index: usize) -> Self;
    /// The index.
    fn index(self) -> usize;
    /// The key.
    fn key(self) -> u64;
}
impl Packed for u64 {
    #[inline(always)]
    fn pack(key: u64, index: usize) -> u64 {
        key << 32 | index as u64
    }
    #[inline(always)]
    fn index(self) -> usize {
        self as u32 as usize
    }
    #[inline(always)]
    fn key(self) -> u64 {
        self >> 32
    }
}
impl Packed for u128 {
    #[inline(always)]
    fn pack(key: u64, index: usize) -> u128 {
        (key as u128) << 64 | index as u128
    }
    #[inline(always)]
    fn index(self) -> usize {
        self as usize
    }
    #[inline(always)]
    fn key(self) -> u64 {
        (self >> 64) as u64
    }
}

/// An element that can be sorted.
pub trait Sortable: Elem {
    /// Key and index in one number.
    type P: Packed;
    /// Bits of a key.
    const BITS: u32 = 8 * size_of::<Self>() as u32;
    /// An unsigned number in the order of the elements.
    #[inline(always)]
    fn key(self) -> u64 {
        if Self::CATEGORY == Category::Bool {
            return self.truth() as u64;
        }
        // SAFETY: the elements are plain numbers of that size.
        let bits: u64 = unsafe {
            match size_of::<Self>() {
                1 => transmute_copy::<Self, u8>(&self).into(),
                2 => transmute_copy::<Self, u16>(&self).into(),
                4 => transmute_copy::<Self, u32>(&self).into(),
                _ => transmute_copy(&self),
            }
        };
        let sign = if Self::SIGNED { 1 << (Self::BITS - 1) } else { 0 };
        if Self::CATEGORY != Category::Float {
            return bits ^ sign;
        }
        let all = sign | (sign - 1);
        if self.nan() {
            return all;
        }
        // Negative numbers turned around, positive ones above them; the key just below that of 0 is the one of -0.
        let ordered = bits ^ if bits & sign != 0 { all } else { sign };
        ordered + (ordered == sign - 1) as u64
    }
    /// Like the key, but for descending order.
    #[inline(always)]
    fn key_in(self, descending: bool) -> u64 {
        let mask = if Self::BITS == 64 { u64::MAX } else { (1 << Self::BITS) - 1 };
        if descending {
            !self.key() & mask
        } else {
            self.key()
        }
    }
}

/// The packed type for elements of so many bytes.
pub trait BySize {
    /// Key and index in one number.
    type P: Packed;
}
macro_rules! by_size {
    ($($bytes:literal $p:ty),+) => { $(impl BySize for [(); $bytes] { type P = $p; })+ };
}
by_size!(1 u64, 2 u64, 4 u64, 8 u128);

macro_rules! sortable {
    ($t:ty) => {
        impl Sortable for $t {
            type P = <[(); size_of::<$t>()] as BySize>::P;
        }
    };
}
for_each_type!(sortable);

/// Rows shorter than this are sorted by comparing.
const RADIX_FROM: usize = 1024;
/// Bits per pass of the radix sort.
const DIGIT: u32 = 11;

/// Puts the packed elements of a row into `order`, in the order of the row.
fn packed<T: Sortable>(x: &[T], descending: bool, order: &mut List<T::P>) -> Result<()> {
    order.clear();
    order.reserve(x.len())?;
    let mut done = Ok(());
    let mut start = 0;
    polled(x, |piece| {
        let items = piece.iter().enumerate().map(|(i, v)| T::P::pack(v.key_in(descending), start + i));
        done = std::mem::replace(&mut done, Ok(())).and_then(|()| order.extend(items));
        start += piece.len();
    });
    done
}

/// Sorts a row: `order` receives the packed elements in order.
pub fn sort_row<T: Sortable>(x: &[T], descending: bool, order: &mut List<T::P>, aside: &mut List<T::P>) -> Result<()> {
    packed(x, descending, order)?;
    if x.len() < RADIX_FROM {
        order.sort_unstable();
        return Ok(());
    }
    // Least significant digit first; the counts of all digits are taken in one pass.
    let digit = if T::BITS <= 16 { 8 } else { DIGIT };
    let passes = T::BITS.div_ceil(digit) as usize;
    let size = 1 << digit;
    let mut counts = List::filled(passes * size, 0u32)?;
    polled(order, |piece| {
        for p in piece {
            let key = p.key();
            for pass in 0..passes {
                counts[pass * size + (key >> (pass as u32 * digit)) as usize % size] += 1;
            }
        }
    });
    aside.resize(x.len(), T::P::default())?;
    for pass in 0..passes {
        let counts = &mut counts[pass * size..(pass + 1) * size];
        if counts.iter().any(|&c| c as usize == x.len()) {
            continue;
        }
        let mut at = 0;
        for c in counts.iter_mut() {
            at += std::mem::replace(c, at);
        }
        let shift = pass as u32 * digit;
        polled(order, |piece| {
            for &p in piece {
                let place = &mut counts[(p.key() >> shift) as usize % size];
                // SAFETY: the counts of a digit add up to the length of the row.
                unsafe { *aside.get_unchecked_mut(*place as usize) = p };
                *place += 1;
            }
        });
        std::mem::swap(order, aside);
    }
    Ok(())
}

/// The `k` first elements in (descending) order, in order. Candidates are collected in a short list; once that is full,
/// only elements better than its `k`-th are looked at.
pub fn top_row<T: Sortable>(
    x: &[T],
    k: usize,
    descending: bool,
    order: &mut List<T::P>,
    aside: &mut List<T::P>,
) -> Result<()> {
    const CHUNK: usize = 32;
    order.clear();
    if k == 0 {
        return Ok(());
    }
    let room = 2 * k + 256;
    if k >= LONG {
        sort_row(x, descending, order, aside)?;
        order.truncate(k);
        return Ok(());
    }
    if room >= x.len() {
        packed(x, descending, order)?;
    } else {
        order.reserve(room)?;
        let mut worst = u64::MAX;
        let mut pace = Pace::default();
        for (c, chunk) in x.chunks(CHUNK).enumerate() {
            pace.step(CHUNK);
            let best = chunk.iter().fold(u64::MAX, |m, v| m.min(v.key_in(descending)));
            if best >= worst && order.len() >= k {
                continue;
            }
            for (i, v) in chunk.iter().enumerate() {
                let key = v.key_in(descending);
                if key < worst || order.len() < k {
                    order.push(T::P::pack(key, c * CHUNK + i))?;
                }
            }
            if order.len() + CHUNK > room {
                order.select_nth_unstable(k - 1);
                order.truncate(k);
                worst = order[k - 1].key();
            }
        }
    }
    if k < order.len() {
        order.select_nth_unstable(k - 1);
        order.truncate(k);
    }
    order.sort_unstable();
    Ok(())
}

/// More elements than this are selected from with polls in between.
const LONG: usize = 1 << 20;

/// Index of the `k`-th smallest element, `k` counting from 0.
pub fn select_row<T: Sortable>(x: &[T], k: usize, order: &mut List<T::P>) -> Result<usize> {
    packed(x, false, order)?;
    let k = narrow(order, k);
    Ok(order.select_nth_unstable(k).1.index())
}

/// Leaves at most `LONG` elements, among them the `k`-th smallest, and gives its rank among those: quickselect in passes
/// that can be interrupted. All elements differ, as their indices do.
fn narrow<P: Packed>(order: &mut List<P>, mut k: usize) -> usize {
    const SAMPLE: usize = 255;
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    while order.len() > LONG {
        let n = order.len();
        let mut sample = [P::default(); SAMPLE];
        for s in &mut sample {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *s = order[(random >> 33) as usize % n];
        }
        sample.sort_unstable();
        // A little beside its expected rank, so that one pass most often leaves a short end.
        let rank = (k as f64 / n as f64 * SAMPLE as f64) as usize;
        let (low, high) = (sample[rank.saturating_sub(20)], sample[(rank + 20).min(SAMPLE - 1)]);
        let part = |p: P| (p >= low) as usize + (p > high) as usize;
        let mut sizes = [0; 3];
        polled(order, |piece| piece.iter().for_each(|&p| sizes[part(p)] += 1));
        let mut wanted = 0;
        while k >= sizes[wanted] {
            k -= sizes[wanted];
            wanted += 1;
        }
        let mut to = 0;
        for start in (0..n).step_by(LONG) {
            for i in start..n.min(start + LONG) {
                let p = order[i];
                if part(p) == wanted {
                    order[to] = p;
                    to += 1;
                }
            }
            poll();
        }
        order.truncate(to);
        if to > n / 8 * 7 {
            break; // hardly possible: a sample that tells nothing
        }
    }
    k
}

/// What `rows` does with each row.
pub enum Task {
    /// Sorts it.
    Sort {
        /// Largest first.
        descending: bool,
    },
    /// Gives its first elements in order.
    Top {
        /// Largest first.
        descending: bool,
    },
    /// Gives the `k`-th smallest element, counting from 0.
    Select(usize),
    /// Gives the middle element, the lower one of two; a NaN if there is one, unless `skip_nan`.
    Median {
        /// NaNs do not count.
        skip_nan: bool,
    },
    /// Gives the most frequent element.
    Mode,
}

/// Carries out `task` on each line along the middle of the row-major `[outer, n, inner]`; `k` results per line go to
/// `values` (unless null) and `indices` of shape `[outer, k, inner]`. `n` is at least 1 and at most 2^32 - 1.
pub unsafe fn rows<T: Sortable>(
    x: *const T,
    [outer, n, inner]: [usize; 3],
    k: usize,
    task: &Task,
    values: *mut T,
    indices: *mut i64,
) -> Result<()> {
    let (x, values, indices) = (Shared(x as *mut T), Shared(values), Shared(indices));
    try_parallel_for(outer * inner, (16 * 1024 / n.max(1)).max(1), &|r| {
        let (mut order, mut aside, mut line) = (List::new(), List::new(), List::new());
        for j in r {
            let (o, i) = (j / inner, j % inner);
            // SAFETY: the line of `n` elements at (o, i), and its `k` results.
            unsafe {
                let first = x.get().add(o * n * inner + i);
                let row = if inner == 1 {
                    std::slice::from_raw_parts(first, n)
                } else {
                    line.clear();
                    let mut pace = Pace::default();
                    line.extend((0..n).map(|e| {
                        pace.step(1);
                        *first.add(e * inner)
                    }))?;
                    &line[..]
                };
                let to = o * k * inner + i;
                let put = |place: usize, index: usize| {
                    if !values.get().is_null() {
                        *values.get().add(to + place * inner) = *row.get_unchecked(index);
                    }
                    *indices.get().add(to + place * inner) = index as i64;
                };
                match *task {
                    Task::Sort { descending } => {
                        sort_row(row, descending, &mut order, &mut aside)?;
                        let mut place = 0;
                        polled(&order, |piece| {
                            for p in piece {
                                put(place, p.index());
                                place += 1;
                            }
                        });
                    }
                    Task::Top { descending } => {
                        top_row(row, k, descending, &mut order, &mut aside)?;
                        order.iter().enumerate().for_each(|(place, p)| put(place, p.index()));
                    }
                    Task::Select(nth) => put(0, select_row(row, nth, &mut order)?),
                    Task::Median { skip_nan } => {
                        let nans = row.iter().filter(|v| v.nan()).count();
                        put(
                            0,
                            match row.iter().position(|v| v.nan()) {
                                Some(at) if !skip_nan || nans == n => at,
                                _ => select_row(row, (n - nans - 1) / 2, &mut order)?,
                            },
                        );
                    }
                    Task::Mode => {
                        sort_row(row, false, &mut order, &mut aside)?;
                        put(0, mode(row, &order));
                    }
                }
            }
        }
        Ok(())
    })
}

/// Index of the last of the most frequent elements; the smallest such element if there are several.
fn mode<T: Sortable>(row: &[T], order: &[T::P]) -> usize {
    let (mut best, mut longest, mut start) = (order[0].index(), 0, 0);
    // NaN counts as equal to NaN.
    let same = |a: T, b: T| a == b || (a.nan() && b.nan());
    let mut pace = Pace::default();
    for i in 1..=order.len() {
        pace.step(4);
        if i == order.len() || !same(row[order[i].index()], row[order[start].index()]) {
            if i - start > longest {
                (longest, best) = (i - start, order[i - 1].index());
            }
            start = i;
        }
    }
    best
}

/// First place in the ascending `row` whose element is `v` or more (more than `v` if `right`). NaN in the row is neither,
/// and nothing is `v` or more if that is NaN.
#[inline]
pub fn place<T: Elem + PartialOrd>(row: impl Fn(usize) -> T, n: usize, v: T, right: bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let mid = (low + high) / 2;
        let m = row(mid);
        if if right { m > v } else { m >= v } {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    low
}

/// First place in the ascending `row` whose element is not less than `v` (greater than `v` if `right`). NaN is greatest.
#[inline]
pub fn search<T: Elem>(row: impl Fn(usize) -> T, n: usize, v: T, right: bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let mid = (low + high) / 2;
        let m = row(mid);
        if if right { v.less(m) } else { !m.less(v) } {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    low
}
