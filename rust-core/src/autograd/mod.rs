//! Automatic differentiation. Calls of ops are recorded as nodes; [`backward`] walks them. The rules come from the table, and
//! what the walk itself computes is said in the op language.

#[cfg(test)]
pub(crate) mod check;
mod contexts;
mod hooks;
mod node;
mod record;
mod saved;
mod through;
mod walk;

pub(crate) use crate::tensor::modes::recording;
pub use crate::tensor::modes::saving_hooks as saved_hooks_active;
pub use crate::tensor::modes::{
    detect_anomaly, grad_enabled, inference_enabled, set_detect_anomaly, set_grad_enabled, set_inference, GradMode,
    InferenceMode,
};
pub use hooks::Target;
pub use node::{Custom, Foreign, Hook, Node, NodeHook, Packed};
pub use record::record_custom;
pub(crate) use record::{before_inplace, may_change, rebase, record, wanted};
pub use saved::{pop_saved_hooks, push_saved_hooks, SavedHooks};
pub(crate) use through::{through, Exs};
pub use walk::{backward, grad, walk_number, will_reach};
