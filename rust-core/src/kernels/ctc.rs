//! Connectionist temporal classification (Graves et al. 2006): the walks over the states of a target. State `2i + 1` is
//! label `i`, the others are blanks. All sums of probabilities are logarithms in f64.
#![allow(clippy::missing_safety_doc)]

use super::math::Real;

/// No probability at all.
const NEVER: f64 = f64::NEG_INFINITY;

/// One sample: its log-probabilities, and the labels that they are to spell.
pub struct Sample<'a, T> {
    /// Those of the classes at the first time.
    pub log_probs: *const T,
    /// Elements from one time to the next.
    pub step: usize,
    /// Times that count.
    pub times: usize,
    /// Classes other than the blank.
    pub labels: &'a [i64],
    /// The class that is no label.
    pub blank: usize,
}

/// `log(e^a + e^b + e^c)`.
fn add(a: f64, b: f64, c: f64) -> f64 {
    let top = a.max(b).max(c);
    if top == NEVER {
        return a + b + c; // NaN stays
    }
    top + ((a - top).exp() + (b - top).exp() + (c - top).exp()).ln()
}

impl<T: Real> Sample<'_, T> {
    /// Number of states.
    pub fn states(&self) -> usize {
        2 * self.labels.len() + 1
    }

    fn class(&self, s: usize) -> usize {
        if s % 2 == 1 {
            self.labels[s / 2] as usize
        } else {
            self.blank
        }
    }

    /// True if state `s` may follow state `s - 2`: between equal labels there must be a blank.
    fn skips(&self, s: usize) -> bool {
        s > 1 && self.class(s) != self.blank && self.class(s) != self.class(s - 2)
    }

    unsafe fn at(&self, t: usize, s: usize) -> f64 {
        (*self.log_probs.add(t * self.step + self.class(s))).as_f64()
    }

    /// The probabilities to be in each state at time `t` and to have seen the beginning of the target, given those of the
    /// time before.
    unsafe fn forward(&self, t: usize, before: &[f64], now: &mut [f64]) {
        for s in 0..self.states() {
            let from = if t == 0 {
                if s < 2 {
                    0.0
                } else {
                    NEVER
                }
            } else {
                let one = if s > 0 { before[s - 1] } else { NEVER };
                add(before[s], one, if self.skips(s) { before[s - 2] } else { NEVER })
            };
            now[s] = from + self.at(t, s);
        }
    }

    /// The probabilities to see the rest of the target after time `t` from each state, given those of the time after.
    unsafe fn backward(&self, t: usize, after: &[f64], now: &mut [f64]) {
        let states = self.states();
        for s in 0..states {
            now[s] = if t + 1 == self.times {
                if s + 2 >= states {
                    0.0
                } else {
                    NEVER
                }
            } else {
                let go = |to: usize| after[to] + self.at(t + 1, to);
                let one = if s + 1 < states { go(s + 1) } else { NEVER };
                add(go(s), one, if s + 2 < states && self.skips(s + 2) { go(s + 2) } else { NEVER })
            };
        }
    }

    /// Log-probability of the target, given the last result of `forward`.
    fn end(&self, last: &[f64]) -> f64 {
        let states = self.states();
        match (self.times, states) {
            (0, 1) => 0.0,
            (0, _) => NEVER,
            (_, 1) => last[0],
            _ => add(last[states - 1], last[states - 2], NEVER),
        }
    }

    /// The negative log-likelihood of the labels. `rows` has room for the states of two times.
    pub unsafe fn loss(&self, rows: &mut [f64]) -> f64 {
        let (mut before, mut now) = rows.split_at_mut(self.states());
        for t in 0..self.times {
            self.forward(t, before, now);
            std::mem::swap(&mut before, &mut now);
        }
        // Not -0 for a certain target.
        0.0 - self.end(before)
    }

    /// The gradient of [`loss`](Self::loss) times `g`, for log-probabilities whose exponentials add up to 1: the
    /// probability of each class less the share of the paths that are there. `gx` begins as `log_probs` does, with zeros.
    /// `rows` has room for the states of all times and two more. Without any path it is NaN, or zero with `zero_infinity`.
    pub unsafe fn gradient(&self, classes: usize, g: f64, zero_infinity: bool, rows: &mut [f64], gx: *mut T) {
        let states = self.states();
        let (alphas, betas) = rows.split_at_mut(self.times * states);
        for t in 0..self.times {
            let (before, now) = alphas[..(t + 1) * states].split_at_mut(t * states);
            self.forward(t, &before[t.saturating_sub(1) * states..], now);
        }
        let all = if self.times == 0 { NEVER } else { self.end(&alphas[(self.times - 1) * states..]) };
        if all == NEVER {
            if !zero_infinity {
                for t in 0..self.times {
                    std::slice::from_raw_parts_mut(gx.add(t * self.step), classes).fill(T::NAN);
                }
            }
            return;
        }
        let (mut after, mut now) = betas.split_at_mut(states);
        for t in (0..self.times).rev() {
            self.backward(t, after, now);
            let out = gx.add(t * self.step);
            for k in 0..classes {
                *out.add(k) = T::of((*self.log_probs.add(t * self.step + k)).as_f64().exp() * g);
            }
            for s in 0..states {
                let share = (alphas[t * states + s] + now[s] - all).exp();
                let to = out.add(self.class(s));
                *to = T::of((*to).as_f64() - share * g);
            }
            std::mem::swap(&mut after, &mut now);
        }
    }
}
