//! L5: files.

pub mod safetensors;
