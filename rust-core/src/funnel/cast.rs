//! `autocast`: ops that gain by it compute in a dtype of 16 bits, those that want range or precision in float32.

use crate::dtype::DType;
use crate::error::Result;
use crate::memory::{self, List};
use crate::table::{Cast, OpDef};
use crate::tensor::modes::{autocast_caches, grad_enabled, set_autocast};
use crate::tensor::Tensor;
use crate::thread::Kept;
use smallvec::SmallVec;

/// A parameter in another dtype, and what has to be so for it still to hold.
struct Twin {
    parameter: Tensor,
    cast: Tensor,
    version: u64,
    recorded: bool,
}

thread_local! {
    static TWINS: Kept<List<Twin>> = const { Kept::new() };
}

fn end_twins() {
    TWINS.with(Kept::end);
}

/// Sets the dtype of `autocast` for good; returns the old one. Without one, what was kept is let go.
pub fn set(to: Option<DType>) -> Option<DType> {
    if to.is_none() {
        // Dropped outside: a release may call back.
        let _twins = TWINS.with(Kept::take);
    }
    set_autocast(to)
}

/// Of an op's inputs those that are to be cast, as it says, in their new dtype.
pub(super) fn cast_inputs(
    op: &OpDef,
    inputs: &[Option<&Tensor>],
    lower: DType,
) -> Result<SmallVec<[Option<Tensor>; 4]>> {
    let goes = |t: &Tensor| t.dtype().is_float() && t.dtype() != DType::F64;
    let to = match op.cast {
        Cast::Nothing => None,
        Cast::Lower => Some(lower),
        Cast::Full => Some(DType::F32),
        Cast::Widest => {
            let same = inputs.iter().flatten().all(|t| !goes(t) || t.dtype() == lower);
            Some(if same { lower } else { DType::F32 })
        }
    };
    let mut own: SmallVec<[Option<Tensor>; 4]> = memory::room(inputs.len())?;
    for t in inputs {
        own.push(match (t, to) {
            (Some(t), Some(to)) if goes(t) && t.dtype() != to => Some(cast(t, to)?),
            _ => None,
        });
    }
    Ok(own)
}

fn cast(t: &Tensor, to: DType) -> Result<Tensor> {
    if !(autocast_caches() && t.is_leaf() && t.requires_grad() && t.dtype() == DType::F32 && !t.is_view()) {
        return t.to_dtype(to);
    }
    let holds = |k: &Twin| {
        k.parameter.is_same(t)
            && k.cast.dtype() == to
            && k.version == t.0.storage.version()
            && k.recorded == grad_enabled()
    };
    // SAFETY: looks only.
    let found = TWINS
        .with(|kept| unsafe { kept.look(|l| l.and_then(|l| l.iter().find(|k| holds(k)).map(|k| k.cast.clone()))) });
    if let Some(found) = found {
        return Ok(found);
    }
    let cast = t.to_dtype(to)?;
    let twin =
        Twin { parameter: t.clone(), cast: cast.clone(), version: t.0.storage.version(), recorded: grad_enabled() };
    TWINS.with(|kept| {
        let mut list = kept.take().unwrap_or_default();
        let pushed = list.push(twin);
        kept.put(list, end_twins);
        pushed
    })?;
    Ok(cast)
}
