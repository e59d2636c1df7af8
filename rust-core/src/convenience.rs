//! Making tensors in few words: the default dtype and the default random generator. The ops behind them, with all their
//! arguments, are `zeros_with`, `randn_with` and so on.

use crate::dtype::Scalar;
use crate::error::Result;
use crate::tensor::Tensor;
use smallvec::SmallVec;

fn sizes(shape: &[usize]) -> SmallVec<[i64; 8]> {
    shape.iter().map(|&d| d as i64).collect()
}

impl Tensor {
    /// An uninitialised tensor.
    pub fn empty(shape: &[usize]) -> Result<Tensor> {
        Tensor::empty_with(&sizes(shape), None)
    }
    /// Zeros.
    pub fn zeros(shape: &[usize]) -> Result<Tensor> {
        Tensor::zeros_with(&sizes(shape), None)
    }
    /// Ones.
    pub fn ones(shape: &[usize]) -> Result<Tensor> {
        Tensor::ones_with(&sizes(shape), None)
    }
    /// Every element `value`, whose kind (truth value, whole number, float) decides the dtype.
    pub fn full(shape: &[usize], value: impl Into<Scalar>) -> Result<Tensor> {
        Tensor::full_with(&sizes(shape), value, None)
    }
    /// Random numbers, uniform in `[0, 1)`.
    pub fn rand(shape: &[usize]) -> Result<Tensor> {
        Tensor::rand_with(&sizes(shape), None, None)
    }
    /// Random numbers, standard normal.
    pub fn randn(shape: &[usize]) -> Result<Tensor> {
        Tensor::randn_with(&sizes(shape), None, None)
    }
    /// The identity matrix of `n` rows.
    pub fn eye(n: usize) -> Result<Tensor> {
        Tensor::eye_with(n as i64, None, None)
    }
}

/// Starts the stream of `seed` in the default random generator.
pub fn manual_seed(seed: u64) {
    crate::random::manual_seed(None, seed);
}
