//! Linear algebra beyond products.

ops! {}
