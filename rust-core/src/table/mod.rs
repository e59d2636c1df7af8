//! What an op is: the fields of an entry, the kinds of its arguments, what its body and its gradient rule see, and the
//! language that rules and expansions are written in. The entries themselves stand in `ops`.

pub mod attr;
#[macro_use]
pub mod kinds;
pub mod lang;
pub mod loops;
pub mod op;
pub mod rules;

pub use crate::engine::spec::{Spec, Specs};
pub use crate::tensor::Grads;
pub use attr::Attr;
pub use kinds::{ArgDef, ArgKind, Form, Holds, KindDef, Signature};
pub(crate) use op::{holds, made, several, Recorded};
pub use op::{
    one, writes, Body, Call, Cast, Domain, OpDef, OutKind, Outs, Overlap, Refusal, Relayout, Saves, Takes, Vjp,
};
