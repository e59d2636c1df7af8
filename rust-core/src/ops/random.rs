//! Random ops.

ops! {}
