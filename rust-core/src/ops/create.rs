//! Tensors from nothing: constants, ranges, identity.

ops! {}
