//! Activations and softmax.

ops! {}
