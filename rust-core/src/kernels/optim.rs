//! Optimizer steps: one pass over parameter, gradient and state, all of `n` elements and changed in place. The order of
//! the operations is that of the published update rules, so that results agree with other implementations to rounding.
#![allow(clippy::missing_safety_doc)]

use super::copy::{Shared, GRAIN};
use super::math::Real;
use crate::parallel::parallel_for;

/// Stochastic gradient descent (Sutskever et al. 2013, with dampening).
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    pub maximize: bool,
    /// The momentum buffers hold nothing yet.
    pub first: bool,
}

/// Adam (Kingma and Ba 2015), AMSGrad (Reddi et al. 2018), AdamW (Loshchilov and Hutter 2019).
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Adam {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    /// Number of this step, from 1.
    pub step: f64,
    pub maximize: bool,
    /// The denominator has the largest second moment so far.
    pub amsgrad: bool,
    /// Weight decay apart from the gradient.
    pub decoupled: bool,
}

/// RMSprop (Hinton, lecture 6e of Neural Networks for Machine Learning; centered: Graves 2013).
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct RmsProp {
    pub lr: f64,
    pub alpha: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub momentum: f64,
    pub maximize: bool,
}

/// Adagrad (Duchi et al. 2011).
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Adagrad {
    /// Learning rate of this step.
    pub lr: f64,
    pub weight_decay: f64,
    pub eps: f64,
    pub maximize: bool,
}

/// The gradient with its sign and the weight decay.
#[inline(always)]
fn decayed<T: Real>(g: T, p: T, maximize: bool, decay: T) -> T {
    let g = if maximize { -g } else { g };
    if decay != T::ZERO {
        g + decay * p
    } else {
        g
    }
}

#[inline(always)]
unsafe fn sgd<T: Real>(s: &Sgd, p: *mut T, g: *const T, buf: *mut T, n: usize) {
    let (step, decay, momentum, rest) =
        (T::of(-s.lr), T::of(s.weight_decay), T::of(s.momentum), T::of(1.0 - s.dampening));
    if buf.is_null() {
        for i in 0..n {
            let x = *p.add(i);
            *p.add(i) = x + step * decayed(*g.add(i), x, s.maximize, decay);
        }
        return;
    }
    for i in 0..n {
        let x = *p.add(i);
        let g = decayed(*g.add(i), x, s.maximize, decay);
        let b = *buf.add(i);
        let b = if s.first { g } else { b * momentum + rest * g };
        *buf.add(i) = b;
        let d = if s.nesterov { g + momentum * b } else { b };
        *p.add(i) = x + step * d;
    }
}

/// `a + w (b - a)`, from the nearer end.
#[inline(always)]
fn lerp<T: Real>(a: T, b: T, w: T) -> T {
    if w < T::HALF {
        a + w * (b - a)
    } else {
        b - (b - a) * (T::ONE - w)
    }
}

/// Elements that are worked on together: whole vectors, so that the compiler need not prove that the arrays are apart.
const W: usize = 32;

/// Reads up to `W` elements of each array from element `i` on. A null pointer reads as zeros.
#[inline(always)]
unsafe fn load<T: Real, const N: usize>(p: &[*mut T; N], i: usize, n: usize, v: &mut [[T; W]; N]) {
    for k in 0..N {
        if p[k].is_null() {
            v[k] = [T::ZERO; W];
        } else if n - i >= W {
            v[k] = p[k].add(i).cast::<[T; W]>().read_unaligned();
        } else {
            std::ptr::copy_nonoverlapping(p[k].add(i), v[k].as_mut_ptr(), n - i);
        }
    }
}

/// Writes back those of the arrays that `written` names (bit `k` stands for array `k`).
#[inline(always)]
unsafe fn store<T: Real, const N: usize>(p: &[*mut T; N], i: usize, n: usize, v: &[[T; W]; N], written: u32) {
    for k in 0..N {
        if written >> k & 1 == 0 || p[k].is_null() {
            continue;
        } else if n - i >= W {
            p[k].add(i).cast::<[T; W]>().write_unaligned(v[k]);
        } else {
            std::ptr::copy_nonoverlapping(v[k].as_ptr(), p[k].add(i), n - i);
        }
    }
}

/// Runs `$body` on every `$i` of blocks of the arrays `$p`, of which those in `$written` are changed. A macro, as a
/// closure would be compiled for the baseline instruction set.
macro_rules! blocks {
    ($t:ident, $n:ident, $written:literal, [$($p:ident),+], |$i:ident| $body:block) => {{
        let arrays = [$($p),+];
        let mut v = [[$t::ZERO; W]; [$(stringify!($p)),+].len()];
        let mut done = 0;
        while done < $n {
            load(&arrays, done, $n, &mut v);
            let [$($p),+] = &mut v;
            for $i in 0..W $body
            store(&arrays, done, $n, &v, $written);
            done += W;
        }
    }};
}

#[inline(always)]
unsafe fn adam<T: Real>(s: &Adam, p: *mut T, g: *mut T, avg: *mut T, sq: *mut T, max_sq: *mut T, n: usize) {
    let correction1 = 1.0 - s.beta1.powf(s.step);
    let correction2 = (1.0 - s.beta2.powf(s.step)).sqrt();
    // `step m / (sqrt(v) / c + eps)` with one division: both sides times `c`.
    let (step, eps) = (T::of(-(s.lr / correction1) * correction2), T::of(s.eps * correction2));
    let (w1, beta2, w2) = (T::of(1.0 - s.beta1), T::of(s.beta2), T::of(1.0 - s.beta2));
    let (decay, keep) =
        if s.decoupled { (T::ZERO, T::of(1.0 - s.lr * s.weight_decay)) } else { (T::of(s.weight_decay), T::ONE) };
    blocks!(T, n, 0b11101, [p, g, avg, sq, max_sq], |i| {
        let x = p[i] * keep;
        let g = decayed(g[i], x, s.maximize, decay);
        avg[i] = lerp(avg[i], g, w1);
        sq[i] = sq[i] * beta2 + w2 * g * g;
        // Without AMSGrad `max_sq` is not kept, so that this is `sq`; NaN stays NaN.
        let old = max_sq[i];
        let v = if (sq[i] > old) | sq[i].is_nan() { sq[i] } else { old };
        max_sq[i] = v;
        p[i] = x + step * avg[i] / (v.sqrt() + eps);
    });
}

#[inline(always)]
unsafe fn rms_prop<T: Real>(s: &RmsProp, p: *mut T, g: *mut T, sq: *mut T, avg: *mut T, buf: *mut T, n: usize) {
    let (step, eps, decay) = (T::of(-s.lr), T::of(s.eps), T::of(s.weight_decay));
    let (alpha, w, momentum) = (T::of(s.alpha), T::of(1.0 - s.alpha), T::of(s.momentum));
    let (centered, with_momentum) = (!avg.is_null(), !buf.is_null());
    blocks!(T, n, 0b11101, [p, g, sq, avg, buf], |i| {
        let x = p[i];
        let g = decayed(g[i], x, s.maximize, decay);
        sq[i] = sq[i] * alpha + w * g * g;
        let m = lerp(avg[i], g, w);
        avg[i] = m;
        let v = if centered { sq[i] - m * m } else { sq[i] };
        let size = v.sqrt() + eps;
        let b = buf[i] * momentum + g / size;
        buf[i] = b;
        p[i] = if with_momentum { x + step * b } else { x + step * g / size };
    });
}

#[inline(always)]
unsafe fn adagrad<T: Real>(s: &Adagrad, p: *mut T, g: *mut T, sum: *mut T, n: usize) {
    let (step, eps, decay) = (T::of(-s.lr), T::of(s.eps), T::of(s.weight_decay));
    blocks!(T, n, 0b101, [p, g, sum], |i| {
        let x = p[i];
        let g = decayed(g[i], x, s.maximize, decay);
        sum[i] += g * g;
        p[i] = x + step * g / (sum[i].sqrt() + eps);
    });
}

/// A step on pointers to parameter, gradient and up to three states, null where there is none.
pub trait Step: Sync {
    /// Changes `n` elements in f32.
    unsafe fn single(&self, p: [*mut f32; 5], n: usize);
    /// Changes `n` elements in f64.
    unsafe fn double(&self, p: [*mut f64; 5], n: usize);
}

macro_rules! step {
    ($name:ident, $f:ident, $single:ident, $double:ident, $($k:literal),+) => {
        crate::simd_fn! {
            unsafe fn $single(s: &$name, p: [*mut f32; 5], n: usize) { $f(s, p[0], p[1], $(p[$k],)+ n) }
            unsafe fn $double(s: &$name, p: [*mut f64; 5], n: usize) { $f(s, p[0], p[1], $(p[$k],)+ n) }
        }
        impl Step for $name {
            unsafe fn single(&self, p: [*mut f32; 5], n: usize) {
                $single(self, p, n)
            }
            unsafe fn double(&self, p: [*mut f64; 5], n: usize) {
                $double(self, p, n)
            }
        }
    };
}
step!(Sgd, sgd, sgd_f32, sgd_f64, 2);
step!(Adam, adam, adam_f32, adam_f64, 2, 3, 4);
step!(RmsProp, rms_prop, rms_prop_f32, rms_prop_f64, 2, 3, 4);
step!(Adagrad, adagrad, adagrad_f32, adagrad_f64, 2);

/// Runs a step over `n` elements of f64 (`wide`) or f32.
pub unsafe fn run(s: &dyn Step, wide: bool, p: [*mut u8; 5], n: usize) {
    let p = p.map(Shared);
    parallel_for(n, GRAIN, &|r| {
        let at = |q: Shared<u8>, size: usize| if q.get().is_null() { q.get() } else { q.get().add(r.start * size) };
        if wide {
            s.double(p.map(|q| at(q, 8).cast()), r.len());
        } else {
            s.single(p.map(|q| at(q, 4).cast()), r.len());
        }
    });
}
