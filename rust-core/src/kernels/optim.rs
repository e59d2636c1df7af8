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

#[inline(always)]
unsafe fn adam<T: Real>(s: &Adam, p: *mut T, g: *const T, avg: *mut T, sq: *mut T, max_sq: *mut T, n: usize) {
    let correction1 = 1.0 - s.beta1.powf(s.step);
    let correction2 = T::of((1.0 - s.beta2.powf(s.step)).sqrt());
    let (step, eps) = (T::of(-(s.lr / correction1)), T::of(s.eps));
    let (w1, beta2, w2) = (T::of(1.0 - s.beta1), T::of(s.beta2), T::of(1.0 - s.beta2));
    let (decay, keep) =
        if s.decoupled { (T::ZERO, T::of(1.0 - s.lr * s.weight_decay)) } else { (T::of(s.weight_decay), T::ONE) };
    for i in 0..n {
        let x = *p.add(i) * keep;
        let g = decayed(*g.add(i), x, s.maximize, decay);
        let m = lerp(*avg.add(i), g, w1);
        let v = *sq.add(i) * beta2 + w2 * g * g;
        *avg.add(i) = m;
        *sq.add(i) = v;
        let v = if max_sq.is_null() {
            v
        } else {
            let old = *max_sq.add(i);
            // NaN stays NaN.
            let v = if v > old || v.is_nan() { v } else { old };
            *max_sq.add(i) = v;
            v
        };
        *p.add(i) = x + step * m / (v.sqrt() / correction2 + eps);
    }
}

#[inline(always)]
unsafe fn rms_prop<T: Real>(s: &RmsProp, p: *mut T, g: *const T, sq: *mut T, avg: *mut T, buf: *mut T, n: usize) {
    let (step, eps, decay) = (T::of(-s.lr), T::of(s.eps), T::of(s.weight_decay));
    let (alpha, w, momentum) = (T::of(s.alpha), T::of(1.0 - s.alpha), T::of(s.momentum));
    for i in 0..n {
        let x = *p.add(i);
        let g = decayed(*g.add(i), x, s.maximize, decay);
        let v = *sq.add(i) * alpha + w * g * g;
        *sq.add(i) = v;
        let v = if avg.is_null() {
            v
        } else {
            let m = lerp(*avg.add(i), g, w);
            *avg.add(i) = m;
            v - m * m
        };
        let size = v.sqrt() + eps;
        *p.add(i) = if buf.is_null() {
            x + step * g / size
        } else {
            let b = *buf.add(i) * momentum + g / size;
            *buf.add(i) = b;
            x + step * b
        };
    }
}

#[inline(always)]
unsafe fn adagrad<T: Real>(s: &Adagrad, p: *mut T, g: *const T, sum: *mut T, n: usize) {
    let (step, eps, decay) = (T::of(-s.lr), T::of(s.eps), T::of(s.weight_decay));
    for i in 0..n {
        let x = *p.add(i);
        let g = decayed(*g.add(i), x, s.maximize, decay);
        let v = *sum.add(i) + g * g;
        *sum.add(i) = v;
        *p.add(i) = x + step * g / (v.sqrt() + eps);
    }
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
