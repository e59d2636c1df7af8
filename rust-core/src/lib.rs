//! rustorch: tensors, autograd and neural-network kernels behind a flat C ABI.
//!
//! Layers, each using only those below it: `capi`, then `ops` (the entries of the table), `funnel` (calls), `autograd`, `table`
//! (what an op is), `engine` (computing with tensors), `tensor`, `kernels`, and at the bottom `storage`, `shape`, `memory`,
//! `dtype`, `error` and the like. `io` stands on `tensor`.
//!
//! ```
//! use rustorch::{DType, Tensor};
//! let x = Tensor::from_slice(&[1.0f32, 2.0], &[2])?;
//! x.set_requires_grad(true)?;
//! let y = (&(&x * &x)? + 1.0)?.sum(None, false, None)?;
//! y.backward()?;
//! assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [2.0, 4.0]);
//! # Ok::<(), rustorch::Error>(())
//! ```
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::disallowed_types, clippy::disallowed_macros, clippy::disallowed_methods))]
#![recursion_limit = "512"]

mod blocks;
mod callback;
pub mod device;
pub mod dtype;
pub mod error;
mod fork;
pub mod memory;
pub mod parallel;
pub mod random;
pub mod shape;
pub mod simd;
pub mod storage;
mod thread;

pub mod kernels;
pub mod tensor;

pub(crate) mod engine;
#[macro_use]
pub(crate) mod table;
pub mod autograd;
pub(crate) mod funnel;
pub mod ops;

pub mod io;

#[cfg(feature = "capi")]
pub mod capi;

pub use convenience::manual_seed;
pub use dtype::{DType, Scalar};
pub use error::{Error, Kind, Result};
pub use tensor::Tensor;

#[cfg(feature = "reserve")]
#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::Allocator;

mod convenience;
mod operators;

/// The README's Rust blocks, compiled and run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
