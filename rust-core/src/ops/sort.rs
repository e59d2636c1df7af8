//! Sorting and selection.

ops! {}
