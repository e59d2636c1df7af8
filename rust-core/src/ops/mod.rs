//! THE TABLE: every op is one entry in one of the files below.

use crate::device::{Device, On};
use crate::error::Result;
pub use crate::funnel::{call, call1, call_inplace, call_into, check_arguments, listener, set_autocast};
use crate::memory;
pub use crate::table::{
    lang, one, writes, ArgDef, ArgKind, Attr, Body, Call, Cast, Domain, Form, Grads, Holds, KindDef, OpDef, OutKind,
    Outs, Overlap, Refusal, Relayout, Saves, Signature, Spec, Specs, Takes, Vjp,
};
use crate::tensor::Tensor;
use crate::{bail, err};
use smallvec::SmallVec;
use std::sync::OnceLock;

#[macro_use]
mod macros;

/// The files of the table. A new file is one name here.
macro_rules! tables {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+
        /// Module name and entries of every file.
        pub static TABLES: &[(&str, &[&OpDef])] = &[$((stringify!($module), $module::TABLE)),+];
    };
}
tables!(
    create,
    arithmetic,
    functions,
    special,
    comparison,
    logic,
    activation,
    reduce,
    statistics,
    scan,
    sort,
    copying,
    views,
    view_copies,
    joining,
    arrange,
    index,
    matmul,
    linalg,
    factors,
    conv,
    pool,
    resize,
    embedding,
    norm,
    loss,
    ctc,
    random,
    rnn,
    attention,
    optim,
    complex,
    fft
);

/// [`call_into`] by name, checking the arguments against the declaration.
pub fn call_into_by_name(name: &str, inputs: &[Option<&Tensor>], attrs: &[Attr], outs: &[&Tensor]) -> Result<()> {
    let Some((op, false)) = find(name) else {
        bail!(Unsupported, "there is no op named {name:?} that makes results");
    };
    check_arguments(op, inputs, attrs).map_err(|e| e.in_op(name))?;
    call_into(op, inputs, attrs, outs)
}

/// The whole table, in a fixed order.
pub fn table() -> impl Iterator<Item = (&'static str, &'static OpDef)> {
    TABLES.iter().flat_map(|(module, ops)| ops.iter().map(move |op| (*module, *op)))
}

/// Finds an op by its name or an alias; "name_" is the in-place twin. The flag says that it is one.
pub fn find(name: &str) -> Option<(&'static OpDef, bool)> {
    type Names = std::collections::HashMap<&'static str, &'static OpDef>;
    static NAMES: OnceLock<Names> = OnceLock::new();
    let all = || table().flat_map(|(_, op)| std::iter::once(&op.name).chain(op.aliases).map(move |n| (*n, op)));
    let find = |name: &str| match NAMES.get() {
        Some(names) => names.get(name).copied(),
        None => {
            let mut names = Names::new();
            // Without memory for the map, each search goes through the table.
            if names.try_reserve(all().count()).is_err() {
                return all().find(|n| n.0 == name).map(|n| n.1);
            }
            names.extend(all());
            NAMES.get_or_init(|| names).get(name).copied()
        }
    };
    let twin = || find(name.strip_suffix('_')?).filter(|op| op.inplace).map(|op| (op, true));
    find(name).map(|op| (op, false)).or_else(twin)
}

/// Calls an op by name, checking the arguments against its declaration. This is the door that graph files and other
/// languages use.
pub fn call_by_name(name: &str, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Outs> {
    let (op, inplace) = find(name).ok_or_else(|| err!(Unsupported, "there is no op named {name:?}"))?;
    check_arguments(op, inputs, attrs).map_err(|e| e.in_op(name))?;
    if inplace {
        return one(call_inplace(op, inputs, attrs)?);
    }
    call(op, inputs, attrs)
}

/// What [`call_by_name`] would give, as meta tensors; nothing is computed.
pub fn infer_by_name(name: &str, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Outs> {
    let mut metas: SmallVec<[Option<Tensor>; 4]> = memory::room(inputs.len())?;
    let found = find(name);
    let inplace = found.is_some_and(|(_, inplace)| inplace);
    let kinds = found.map(|(op, _)| op.tensor_args().map(|a| a.kind));
    let mut kinds = kinds.into_iter().flatten();
    for t in inputs {
        let operand = kinds.next().is_some_and(|k| k.def().number);
        metas.push(match t {
            // A plain number stays one: its value may count.
            Some(t) if t.0.wrapped && operand && !metas.is_empty() => Some((*t).clone()),
            t => t.map(|t| t.without_its_elements()).transpose()?,
        });
        // So that the results say whether they do. An in-place change of a leaf would be refused.
        if let (Some(t), Some(Some(meta)), false) = (t, metas.last(), inplace) {
            if t.requires_grad() {
                meta.set_requires_grad(true)?;
            }
        }
    }
    let mut lent: SmallVec<[Option<&Tensor>; 4]> = memory::room(inputs.len())?;
    lent.extend(metas.iter().map(|t| t.as_ref()));
    let _on = On::enter(Device::Meta);
    let _quiet = listener::Quiet::enter();
    call_by_name(name, &lent, attrs)
}

/// Drops what this thread keeps of Fourier transforms.
pub fn forget_transforms() {
    crate::kernels::fft::forget();
}
