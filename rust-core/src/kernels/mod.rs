//! L1: loops over raw pointers and strides. Nothing here knows tensors or autograd.
//!
//! Safety contract of the whole folder: pointers are valid for the elements that the given sizes and strides reach,
//! outputs overlap inputs only where a function says so, and the caller holds the storage locks.

pub mod complex;
pub mod conv;
pub mod copy;
pub mod ctc;
pub mod elementwise;
pub mod embedding;
pub mod factor;
pub mod fft;
pub mod gemm;
pub mod grid;
pub mod index;
pub mod linalg;
pub mod loss;
pub mod math;
pub mod norm;
pub mod optim;
pub mod pairs;
pub mod pool;
pub mod quantile;
pub mod reduce;
pub mod resize;
pub mod rnn;
pub mod rows;
pub mod scan;
pub mod softmax;
pub mod sort;
pub mod special;
