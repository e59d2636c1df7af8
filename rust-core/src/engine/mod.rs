//! What ops are computed with: promotion, elementwise loops over tensors, copies, products. Tensors in, tensors out; nothing
//! here knows an op.

pub mod complex;
pub mod copy;
pub mod dtypes;
pub mod elementwise;
pub mod matrices;
pub mod overlap;
pub mod product;
pub mod promotion;
pub mod reduction;
pub mod spec;
pub mod windows;
