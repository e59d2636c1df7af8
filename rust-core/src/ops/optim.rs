//! Fused optimizer steps.

ops! {}
