//! The funnel: every call of an op passes through here.

mod call;
mod cast;
mod inplace;
mod into;
pub mod listener;

pub(crate) use call::locks;
pub use call::{call, call1, check_arguments};
pub use cast::set as set_autocast;
pub use inplace::call_inplace;
pub use into::call_into;
