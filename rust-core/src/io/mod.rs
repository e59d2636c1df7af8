//! L5: files.

mod file;
mod header;
pub mod safetensors;

pub use header::{MAX_HEADER, MAX_TENSORS};
