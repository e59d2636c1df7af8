//! Bags of rows of a table.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use super::pool::Num;
use crate::dtype::{Acc, Elem};
use crate::error::Result;
use crate::memory::List;
use crate::parallel::{parallel_for, try_parallel_for};

/// What a bag is made into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The sum of its rows.
    Sum,
    /// Their mean.
    Mean,
    /// The largest of each column.
    Max,
}

/// Which rows are in which bags.
pub struct Bags<'a> {
    /// Rows of the table, all of which are there.
    pub rows: &'a [i64],
    /// Where bags begin, and the last one ends.
    pub bounds: &'a [usize],
    /// A row that counts nowhere.
    pub padding: Option<i64>,
}

impl Bags<'_> {
    fn len(&self) -> usize {
        self.bounds.len() - 1
    }
    /// The members of a bag: their places in `rows`, and the rows.
    #[inline(always)]
    fn bag(&self, b: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let kept = |i: &usize| Some(self.rows[*i]) != self.padding;
        (self.bounds[b]..self.bounds[b + 1]).filter(kept).map(|i| (i, self.rows[i] as usize))
    }
}

/// `out[b]` of each bag, and in mode `Max` which rows it came from (-1 for none). `each`, unless null, weighs the members.
pub unsafe fn forward<E: Elem>(
    bags: &Bags,
    mode: Mode,
    table: *const E,
    d: usize,
    each: *const E::Acc,
    out: *mut E,
    best: *mut i64,
) -> Result<()>
where
    E::Acc: Num,
{
    let (table, each, out, best) = (Shared(table as *mut E), Shared(each as *mut E::Acc), Shared(out), Shared(best));
    let work = bags.rows.len() * d / bags.len().max(1) + d;
    try_parallel_for(bags.len(), GRAIN.div_ceil(work.max(1)), &|r| {
        let mut sum = List::filled(d, E::Acc::ZERO)?;
        for b in r {
            sum.fill(E::Acc::ZERO);
            let mut count = 0;
            let best = if mode == Mode::Max { best.get().add(b * d) } else { std::ptr::null_mut() };
            for (i, row) in bags.bag(b) {
                let x = std::slice::from_raw_parts(table.get().add(row * d), d);
                if mode == Mode::Max {
                    for (j, (s, v)) in sum.iter_mut().zip(x).enumerate() {
                        let v = v.up();
                        #[allow(clippy::eq_op)]
                        if count == 0 || v > *s || v != v {
                            *s = v;
                            *best.add(j) = row as i64;
                        }
                    }
                } else if each.get().is_null() {
                    for (s, v) in sum.iter_mut().zip(x) {
                        *s = s.plus(v.up());
                    }
                } else {
                    let weight = *each.get().add(i);
                    for (s, v) in sum.iter_mut().zip(x) {
                        *s = s.plus(v.up().times(weight));
                    }
                }
                count += 1;
            }
            if mode == Mode::Max && count == 0 {
                std::slice::from_raw_parts_mut(best, d).fill(-1);
            }
            let divisor = E::Acc::from_f64(count.max(1) as f64);
            for (j, s) in sum.iter().enumerate() {
                *out.get().add(b * d + j) = E::down(if mode == Mode::Mean { s.over(divisor) } else { *s });
            }
        }
        Ok(())
    })
}

/// The gradient of [`forward`] with respect to the table of `n` rows. Columns are shared out, so that each sum is taken in
/// one order.
pub unsafe fn backward<T: Num>(
    bags: &Bags,
    mode: Mode,
    g: *const T,
    d: usize,
    each: *const T,
    best: *const i64,
    n: usize,
    out: *mut T,
) {
    let (g, each, best, out) = (Shared(g as *mut T), Shared(each as *mut T), Shared(best as *mut i64), Shared(out));
    parallel_for(n, GRAIN.div_ceil(d.max(1)), &|r| {
        std::slice::from_raw_parts_mut(out.get().add(r.start * d), r.len() * d).fill(T::ZERO);
    });
    parallel_for(d, GRAIN.div_ceil(bags.rows.len().max(1)).max(16), &|columns| {
        for b in 0..bags.len() {
            let g = g.get().add(b * d);
            if mode == Mode::Max {
                for j in columns.clone() {
                    let row = *best.get().add(b * d + j);
                    if row >= 0 {
                        let to = out.get().add(row as usize * d + j);
                        *to = (*to).plus(*g.add(j));
                    }
                }
                continue;
            }
            let divisor = match mode {
                Mode::Mean => T::from_f64(bags.bag(b).count().max(1) as f64),
                _ => T::ONE,
            };
            for (i, row) in bags.bag(b) {
                let to = out.get().add(row * d);
                let weight = if each.get().is_null() { T::ONE } else { *each.get().add(i) };
                for j in columns.clone() {
                    let v = match mode {
                        Mode::Mean => (*g.add(j)).over(divisor),
                        _ => (*g.add(j)).times(weight),
                    };
                    *to.add(j) = (*to.add(j)).plus(v);
                }
            }
        }
    });
}

/// `out[i] = sum over j of g[bag of i][j] * table[row of i][j]`; 0 for members that count nowhere.
pub unsafe fn each_backward<E: Elem>(bags: &Bags, g: *const E::Acc, table: *const E, d: usize, out: *mut E::Acc)
where
    E::Acc: Num,
{
    let (g, table, out) = (Shared(g as *mut E::Acc), Shared(table as *mut E), Shared(out));
    parallel_for(bags.len(), GRAIN.div_ceil(bags.rows.len() * d / bags.len().max(1) + 1), &|r| {
        for b in r {
            for (i, row) in bags.bag(b) {
                let mut sum = E::Acc::ZERO;
                for j in 0..d {
                    sum = sum.plus((*g.get().add(b * d + j)).times((*table.get().add(row * d + j)).up()));
                }
                *out.get().add(i) = sum;
            }
        }
    });
}
