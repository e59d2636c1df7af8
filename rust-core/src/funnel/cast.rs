//! `autocast`: ops that gain by it compute in a dtype of 16 bits, those that want range or precision in float32.

use super::call::call;
use crate::dtype::DType;
use crate::error::Result;
use crate::memory::{self, List};
use crate::table::{Attr, Cast, OpDef, Outs};
use crate::tensor::modes::{autocast_caches, grad_enabled, set_autocast, Autocast};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::cell::RefCell;

/// A parameter in another dtype, and what has to be so for it still to hold.
struct Kept {
    parameter: Tensor,
    cast: Tensor,
    version: u64,
    recorded: bool,
}

thread_local! {
    static KEPT: RefCell<List<Kept>> = const { RefCell::new(List::new()) };
}

/// Sets the dtype of `autocast` for good; returns the old one. Without one, what was kept is let go.
pub fn set(to: Option<DType>) -> Option<DType> {
    if to.is_none() {
        // Dropped outside: a release may call back.
        let _kept = KEPT.with(|k| std::mem::replace(&mut *k.borrow_mut(), List::new()));
    }
    set_autocast(to)
}

/// Calls an op with its inputs cast as it says, and what it consists of without further casts.
#[cold]
pub(super) fn cast_call(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr], lower: DType) -> Result<Outs> {
    let _off = Autocast::set(None);
    let goes = |t: &Tensor| t.dtype().is_float() && t.dtype() != DType::F64;
    let to = match op.cast {
        Cast::Lower => lower,
        Cast::Full => DType::F32,
        Cast::Widest => {
            inputs.iter().flatten().filter(|t| goes(t)).map(|t| t.dtype()).fold(lower, |a, b| match (a, b) {
                (a, b) if a == b => a,
                _ => DType::F32,
            })
        }
        Cast::Nothing => return call(op, inputs, attrs),
    };
    let mut own: SmallVec<[Option<Tensor>; 4]> = memory::room(inputs.len())?;
    for t in inputs {
        own.push(match t {
            Some(t) if goes(t) && t.dtype() != to => Some(cast(t, to)?),
            _ => None,
        });
    }
    let mut lent: SmallVec<[Option<&Tensor>; 4]> = memory::room(inputs.len())?;
    lent.extend(inputs.iter().zip(&own).map(|(t, own)| own.as_ref().or(*t)));
    call(op, &lent, attrs)
}

fn cast(t: &Tensor, to: DType) -> Result<Tensor> {
    if !(autocast_caches() && t.is_leaf() && t.requires_grad() && t.dtype() == DType::F32 && !t.is_view()) {
        return t.to_dtype(to);
    }
    let holds = |k: &Kept| {
        k.parameter.is_same(t)
            && k.cast.dtype() == to
            && k.version == t.0.storage.version()
            && k.recorded == grad_enabled()
    };
    if let Some(found) = KEPT.with(|k| k.borrow().iter().find(|k| holds(k)).map(|k| k.cast.clone())) {
        return Ok(found);
    }
    let cast = t.to_dtype(to)?;
    let kept =
        Kept { parameter: t.clone(), cast: cast.clone(), version: t.0.storage.version(), recorded: grad_enabled() };
    KEPT.with(|k| k.borrow_mut().push(kept))?;
    Ok(cast)
}
