//! Convolution and pooling.

ops! {}
