//! Losses.

ops! {}
