//! Recurrent layers over whole sequences: per step one product with the weights of the state, and one pass over the gates
//! of each row.
//!
//! The rows of a sequence lie step by step, as in a packed sequence: those of a step go with the first rows of the state.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use super::gemm::{dgemm, sgemm};
use super::math::Real;
use super::norm::per_type;
use crate::parallel::{parallel_for, Pace};

/// What a step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `h' = tanh(x + W h + b)`.
    Tanh,
    /// `h' = max(x + W h + b, 0)`.
    Relu,
    /// Long short-term memory, gates in the order i, f, g, o.
    Lstm,
    /// Gated recurrent unit, gates in the order r, z, n.
    Gru,
}

impl Mode {
    /// Numbers that a hidden unit gets from the input.
    pub fn gates(self) -> usize {
        match self {
            Mode::Tanh | Mode::Relu => 1,
            Mode::Lstm => 4,
            Mode::Gru => 3,
        }
    }
    /// Numbers that a step leaves for backward per hidden unit, beside the old output: its gates, and the old cell of an
    /// LSTM, what the reset gate multiplies of a GRU.
    pub fn kept(self) -> usize {
        match self {
            Mode::Tanh | Mode::Relu => 1,
            Mode::Lstm => 5,
            Mode::Gru => 4,
        }
    }
}

/// The steps of a sequence of `rows` rows: `batch` rows each, or as `sizes` say.
pub struct Steps<'a> {
    /// Rows of each step, never growing, at most `batch`, of sum `rows`.
    pub sizes: Option<&'a [i64]>,
    /// Rows of the state.
    pub batch: usize,
    /// Rows of all steps.
    pub rows: usize,
}

impl Steps<'_> {
    /// Calls `f` with the first row and the number of rows of each step.
    pub fn each(&self, from_the_end: bool, mut f: impl FnMut(usize, usize)) {
        let count = self.sizes.map_or(self.rows.checked_div(self.batch).unwrap_or(0), |s| s.len());
        let size = |t: usize| self.sizes.map_or(self.batch, |s| s[t] as usize);
        let mut at = if from_the_end { self.rows } else { 0 };
        for k in 0..count {
            if from_the_end {
                let n = size(count - 1 - k);
                at -= n;
                f(at, n);
            } else {
                f(at, size(k));
                at += size(k);
            }
        }
    }
}

// ---- one row ----

/// `to = x + (y + b)`
#[inline(always)]
unsafe fn joined<T: Real>(x: *const T, y: *const T, b: *const T, to: *mut T, n: usize) {
    for i in 0..n {
        *to.add(i) = *x.add(i) + (*y.add(i) + *b.add(i));
    }
}

#[inline(always)]
unsafe fn sigmoids<T: Real>(p: *mut T, n: usize) {
    for i in 0..n {
        *p.add(i) = (*p.add(i)).sigmoid();
    }
}

#[inline(always)]
unsafe fn tanhs<T: Real>(p: *mut T, n: usize) {
    for i in 0..n {
        *p.add(i) = (*p.add(i)).tanh();
    }
}

/// One step of `n` hidden units: `x` and `y` are what input and state give to the gates, `b` is added to `y`; `h` (of a GRU
/// the old state too) and `c` become the new state, `w` what is kept.
#[inline(always)]
unsafe fn step<T: Real>(mode: Mode, n: usize, x: *const T, y: *const T, b: *const T, h: *mut T, c: *mut T, w: *mut T) {
    match mode {
        Mode::Tanh => {
            joined(x, y, b, w, n);
            tanhs(w, n);
            w.copy_to_nonoverlapping(h, n);
        }
        Mode::Relu => {
            joined(x, y, b, w, n);
            for i in 0..n {
                let v = *w.add(i);
                *w.add(i) = if v <= T::ZERO { T::ZERO } else { v };
            }
            w.copy_to_nonoverlapping(h, n);
        }
        Mode::Lstm => {
            joined(x, y, b, w, 4 * n);
            sigmoids(w, 2 * n);
            tanhs(w.add(2 * n), n);
            sigmoids(w.add(3 * n), n);
            c.copy_to_nonoverlapping(w.add(4 * n), n);
            for i in 0..n {
                *c.add(i) = *w.add(n + i) * *w.add(4 * n + i) + *w.add(i) * *w.add(2 * n + i);
            }
            for i in 0..n {
                *h.add(i) = (*c.add(i)).tanh();
            }
            for i in 0..n {
                *h.add(i) *= *w.add(3 * n + i);
            }
        }
        Mode::Gru => {
            joined(x, y, b, w, 2 * n);
            sigmoids(w, 2 * n);
            for i in 0..n {
                *w.add(3 * n + i) = *y.add(2 * n + i) + *b.add(2 * n + i);
            }
            for i in 0..n {
                *w.add(2 * n + i) = *x.add(2 * n + i) + *w.add(i) * *w.add(3 * n + i);
            }
            tanhs(w.add(2 * n), n);
            for i in 0..n {
                let new = *w.add(2 * n + i);
                *h.add(i) = new + *w.add(n + i) * (*h.add(i) - new);
            }
        }
    }
}

/// Backward of [`step`]: `g` is the gradient of the new output, `gc` that of the new cell, which becomes that of the old one;
/// `w` is what was kept, with the old output behind it. Writes the gradients of the gates, as the input sees them (`gx`) and,
/// of a GRU, as the state does (`gy`); the part of the old output's that does not go by the weights, of a GRU, takes the
/// place of `g`. `h`, unless it is null, gets an LSTM's output.
#[inline(always)]
unsafe fn step_grad<T: Real>(
    mode: Mode,
    n: usize,
    g: *mut T,
    gc: *mut T,
    w: *const T,
    gx: *mut T,
    gy: *mut T,
    h: *mut T,
) {
    match mode {
        Mode::Tanh => {
            for i in 0..n {
                let y = *w.add(i);
                *gx.add(i) = *g.add(i) * (T::ONE - y * y);
            }
        }
        Mode::Relu => {
            for i in 0..n {
                *gx.add(i) = if *w.add(i) <= T::ZERO { T::ZERO } else { *g.add(i) };
            }
        }
        Mode::Lstm => {
            let t = gx.add(3 * n); // where the cell's tanh is for a while
            for i in 0..n {
                *t.add(i) = *w.add(n + i) * *w.add(4 * n + i) + *w.add(i) * *w.add(2 * n + i);
            }
            tanhs(t, n);
            if !h.is_null() {
                for i in 0..n {
                    *h.add(i) = *w.add(3 * n + i) * *t.add(i);
                }
            }
            for i in 0..n {
                let (t, o) = (*t.add(i), *w.add(3 * n + i));
                *gc.add(i) += *g.add(i) * o * (T::ONE - t * t);
            }
            for i in 0..n {
                let o = *w.add(3 * n + i);
                *t.add(i) = *g.add(i) * *t.add(i) * o * (T::ONE - o);
            }
            for i in 0..n {
                let a = *w.add(i);
                *gx.add(i) = *gc.add(i) * *w.add(2 * n + i) * a * (T::ONE - a);
            }
            for i in 0..n {
                let f = *w.add(n + i);
                *gx.add(n + i) = *gc.add(i) * *w.add(4 * n + i) * f * (T::ONE - f);
            }
            for i in 0..n {
                let new = *w.add(2 * n + i);
                *gx.add(2 * n + i) = *gc.add(i) * *w.add(i) * (T::ONE - new * new);
            }
            for i in 0..n {
                *gc.add(i) *= *w.add(n + i);
            }
        }
        Mode::Gru => {
            for i in 0..n {
                let (z, new) = (*w.add(n + i), *w.add(2 * n + i));
                *gx.add(n + i) = *g.add(i) * (*w.add(4 * n + i) - new) * z * (T::ONE - z);
                *gx.add(2 * n + i) = *g.add(i) * (T::ONE - z) * (T::ONE - new * new);
            }
            for i in 0..n {
                let r = *w.add(i);
                *gx.add(i) = *gx.add(2 * n + i) * *w.add(3 * n + i) * r * (T::ONE - r);
                *gy.add(2 * n + i) = *gx.add(2 * n + i) * r;
            }
            gx.copy_to_nonoverlapping(gy, 2 * n);
            for i in 0..n {
                *g.add(i) *= *w.add(n + i);
            }
        }
    }
}

per_type! {
    /// The loops over one row.
    Rows {
        fn step(mode: Mode, n: usize, x: *const T, y: *const T, b: *const T, h: *mut T, c: *mut T, w: *mut T);
        fn step_grad(mode: Mode, n: usize, g: *mut T, gc: *mut T, w: *const T, gx: *mut T, gy: *mut T, h: *mut T);
    }
}

// ---- all steps ----

/// f32 or f64.
pub trait Float: Real + Rows<Self> {
    /// `c = a @ b + beta * c` for row-major `a` [m, k] and `c` [m, n]; `b` [k, n] has the strides `bs`.
    unsafe fn product(mnk: [usize; 3], a: *const Self, b: *const Self, bs: [usize; 2], beta: Self, c: *mut Self);
}

macro_rules! float {
    ($t:ident, $gemm:ident) => {
        impl Float for $t {
            unsafe fn product([m, n, k]: [usize; 3], a: *const $t, b: *const $t, bs: [usize; 2], beta: $t, c: *mut $t) {
                let (rsb, csb) = (bs[0] as isize, bs[1] as isize);
                $gemm(m, n, k, 1.0, a, k as isize, 1, b, rsb, csb, beta, c, n as isize, 1)
            }
        }
    };
}
float!(f32, sgemm);
float!(f64, dgemm);

/// A layer in one direction.
pub struct Layer<'a> {
    /// What a step computes.
    pub mode: Mode,
    /// From the last step to the first.
    pub reverse: bool,
    /// The steps.
    pub steps: Steps<'a>,
    /// Hidden units.
    pub hidden: usize,
    /// Numbers of an output: the hidden units, or what they are projected to.
    pub out: usize,
}

impl Layer<'_> {
    /// Numbers that a row leaves for backward: what [`Mode::kept`] says, and the output before.
    pub fn kept(&self) -> usize {
        self.mode.kept().saturating_mul(self.hidden).saturating_add(self.out)
    }

    /// Calls `f` for the rows of a step, on several threads where it pays.
    fn rows(&self, n: usize, f: impl Fn(usize) + Sync) {
        // A gate costs about as much as eight additions.
        let grain = GRAIN.div_ceil(8 * self.mode.gates() * self.hidden + 1);
        parallel_for(n, grain, &|r| r.for_each(&f));
    }
}

/// What the forward pass reads and writes; all row-major.
pub struct Forward<T> {
    /// The input's part of the gates, [rows, gates].
    pub x: *const T,
    /// Weights of the state, [gates, out].
    pub w_hh: *const T,
    /// Their bias, [gates].
    pub b_hh: *const T,
    /// Projection, [out, hidden], or null.
    pub w_hr: *const T,
    /// The state, [batch, out]: first as it is before, in the end as it is after all steps.
    pub h: *mut T,
    /// The cells of an LSTM, [batch, hidden], likewise.
    pub c: *mut T,
    /// Outputs, [rows, out].
    pub out: *mut T,
    /// What backward reads: [rows, kept], or, where nothing is kept, [batch, kept].
    pub work: *mut T,
    /// True if it is kept.
    pub keep: bool,
    /// Room for the state's part of the gates, [batch, gates].
    pub gates: *mut T,
    /// Room for what is projected, [batch, hidden].
    pub whole: *mut T,
}

/// All steps of a layer.
pub unsafe fn forward<T: Float>(l: &Layer, p: &Forward<T>) {
    let (hidden, out, gates, kept) = (l.hidden, l.out, l.mode.gates() * l.hidden, l.kept());
    let (projects, keep) = (!p.w_hr.is_null(), p.keep);
    let (x, h, c, outs) = (Shared(p.x.cast_mut()), Shared(p.h), Shared(p.c), Shared(p.out));
    let (work, part, whole, b) = (Shared(p.work), Shared(p.gates), Shared(p.whole), Shared(p.b_hh.cast_mut()));
    let mut pace = Pace::default();
    l.steps.each(l.reverse, |at, n| {
        T::product([n, gates, out], p.h, p.w_hh, [1, out], T::ZERO, p.gates);
        l.rows(n, |r| {
            let w = work.get().add(if keep { at + r } else { r } * kept);
            let h = h.get().add(r * out);
            h.copy_to_nonoverlapping(w.add(kept - out), out);
            let to = if projects { whole.get().add(r * hidden) } else { h };
            // Only an LSTM has cells.
            let c = c.get().wrapping_add(r * hidden);
            T::step(l.mode, hidden, x.get().add((at + r) * gates), part.get().add(r * gates), b.get(), to, c, w);
            if !projects {
                h.copy_to_nonoverlapping(outs.get().add((at + r) * out), out);
            }
        });
        if projects {
            T::product([n, out, hidden], p.whole, p.w_hr, [1, hidden], T::ZERO, p.h);
            p.h.copy_to_nonoverlapping(p.out.add(at * out), n * out);
        }
        pace.step(n * gates * 16);
    });
}

/// What the backward pass reads and writes; all row-major.
pub struct Backward<T> {
    /// What the forward pass has kept, [rows, kept].
    pub work: *const T,
    /// Weights of the state, [gates, out].
    pub w_hh: *const T,
    /// Projection, [out, hidden], or null.
    pub w_hr: *const T,
    /// Gradient of the outputs, [rows, out], or null.
    pub g: *const T,
    /// Gradient of the state, [batch, out]: first after all steps, in the end before.
    pub gh: *mut T,
    /// Gradient of the cells of an LSTM, [batch, hidden], likewise.
    pub gc: *mut T,
    /// Gradient of the gates as the input sees it, [rows, gates].
    pub gx: *mut T,
    /// As the state sees it, of a GRU, [rows, gates].
    pub gy: *mut T,
    /// With a projection: gradient of what it gives, [rows, out].
    pub gp: *mut T,
    /// With a projection: what it was given, [rows, hidden].
    pub whole: *mut T,
    /// Room for the gradient of that, [batch, hidden].
    pub gw: *mut T,
}

/// Backward of [`forward`].
pub unsafe fn backward<T: Float>(l: &Layer, p: &Backward<T>) {
    let (hidden, out, gates, kept) = (l.hidden, l.out, l.mode.gates() * l.hidden, l.kept());
    let projects = !p.w_hr.is_null();
    let gru = l.mode == Mode::Gru;
    let (work, g) = (Shared(p.work.cast_mut()), Shared(p.g.cast_mut()));
    let (gh, gc, gx, gy, gp) = (Shared(p.gh), Shared(p.gc), Shared(p.gx), Shared(p.gy), Shared(p.gp));
    let (whole, gw) = (Shared(p.whole), Shared(p.gw));
    let mut pace = Pace::default();
    l.steps.each(!l.reverse, |at, n| {
        // All that reaches the outputs of this step.
        l.rows(n, |r| {
            let gh = gh.get().add(r * out);
            if !g.get().is_null() {
                let g = g.get().add((at + r) * out);
                for i in 0..out {
                    *gh.add(i) += *g.add(i);
                }
            }
            if projects {
                gh.copy_to_nonoverlapping(gp.get().add((at + r) * out), out);
            }
        });
        if projects {
            T::product([n, hidden, out], p.gh, p.w_hr, [hidden, 1], T::ZERO, p.gw);
        }
        l.rows(n, |r| {
            let row = |p: &Shared<T>, width: usize| p.get().wrapping_add((at + r) * width);
            let (g, whole) = match projects {
                true => (gw.get().add(r * hidden), row(&whole, hidden)),
                false => (gh.get().add(r * out), std::ptr::null_mut()),
            };
            // Only an LSTM has cells, only a GRU two gradients of its gates.
            let gc = gc.get().wrapping_add(r * hidden);
            T::step_grad(l.mode, hidden, g, gc, row(&work, kept), row(&gx, gates), row(&gy, gates), whole);
        });
        let seen = if gru { p.gy } else { p.gx }.add(at * gates);
        T::product([n, out, gates], seen, p.w_hh, [out, 1], if gru { T::ONE } else { T::ZERO }, p.gh);
        pace.step(n * gates * 16);
    });
}
