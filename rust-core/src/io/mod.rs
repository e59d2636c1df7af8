//! L5: files.
#![allow(clippy::disallowed_types, reason = "what callers get as vectors; room is always asked for first")]

mod file;
mod header;
pub mod safetensors;

pub use header::{MAX_HEADER, MAX_TENSORS};
