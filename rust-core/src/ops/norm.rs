//! Normalisation layers.

ops! {}
