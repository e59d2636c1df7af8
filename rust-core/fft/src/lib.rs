//! Discrete Fourier transforms of short rows by [rustfft](https://docs.rs/rustfft), compiled for f32 and f64 in this crate,
//! so that those who use it need not compile it again.
//!
//! A transform allocates nothing, starts no threads, and depends on the elements alone. To make a plan takes memory in a way
//! that ends the process if there is none: at most [`Plan::bytes`].

pub use rustfft::num_complex::Complex;
use rustfft::{Fft, FftNum, FftPlanner};
use std::sync::Arc;

/// f32 and f64.
pub trait Real: FftNum {
    /// Rounds.
    fn of(v: f64) -> Self;
    #[doc(hidden)]
    fn planned(n: usize, forward: bool) -> Arc<dyn Fft<Self>>;
}

macro_rules! real {
    ($($t:ty)+) => { $(impl Real for $t {
        fn of(v: f64) -> Self {
            v as $t
        }
        fn planned(n: usize, forward: bool) -> Arc<dyn Fft<Self>> {
            let mut planner = FftPlanner::<$t>::new();
            if forward { planner.plan_fft_forward(n) } else { planner.plan_fft_inverse(n) }
        }
    })+ };
}
real!(f32 f64);

/// How rows of one length are transformed.
pub struct Plan<T>(Arc<dyn Fft<T>>);

impl<T: Real> Plan<T> {
    /// The longest rows that plans are made for: those of longer ones could take any amount of memory and time.
    pub const LONGEST: usize = 1 << 16;

    /// What [`Plan::new`] may allocate at most, in all and at a time: 1.8 times what was measured for all lengths up to 12000
    /// and every ninth or so of the others.
    pub fn bytes(n: usize) -> usize {
        (1 << 14) + 20 * n * size_of::<Complex<T>>()
    }
    /// For rows of `n` elements, from 1 to [`Plan::LONGEST`]: `sum x[j] exp(-+2 pi i j k / n)`, with the minus if `forward`.
    pub fn new(n: usize, forward: bool) -> Self {
        assert!((1..=Self::LONGEST).contains(&n));
        Plan(T::planned(n, forward))
    }
    /// Elements that [`Plan::run`] works in.
    pub fn work(&self) -> usize {
        self.0.get_inplace_scratch_len()
    }
    /// Transforms each row of `rows`, in place.
    pub fn run(&self, rows: &mut [Complex<T>], work: &mut [Complex<T>]) {
        self.0.process_with_scratch(rows, work);
    }
}
