//! Indexing, gathering and scattering.

ops! {}
