//! Derivatives of hand-written backward ops.

use super::walk::grad;
use crate::error::Result;
use crate::memory;
use crate::table::lang::Ex;
use crate::table::Vjp;
use crate::tensor::modes::{grad_enabled, GradMode};
use crate::tensor::{Grads, Tensor};
use smallvec::{smallvec, SmallVec};

/// Some expressions.
pub(crate) type Exs = SmallVec<[Ex; 4]>;

/// Gradients of an op whose results are a formula of other ops: the formula is run on the saved inputs and walked back
/// from. This is how hand-written backward ops get derivatives of their own. `f` gets one expression per input (nothing
/// for inputs that are missing) and gives one per output.
pub(crate) fn through(v: &Vjp, f: impl FnOnce(&[Ex]) -> Exs) -> Result<Grads> {
    let create_graph = grad_enabled();
    let mut inputs: SmallVec<[Ex; 4]> = memory::room(v.len())?;
    let mut sources: SmallVec<[Option<Tensor>; 4]> = memory::room(v.len())?;
    for i in 0..v.len() {
        let x = v.x(i).value()?;
        let _mode = GradMode::set(true);
        let source = match x {
            // A handle of its own, so that the walk stops here and does not go on into the history.
            Some(x) if x.requires_grad() => Some(x.view(&v.sizes(i))?),
            Some(x) => {
                let x = x.alias();
                if v.need(i) && x.dtype().is_float() {
                    x.set_requires_grad(true)?;
                }
                Some(x)
            }
            None => None,
        };
        inputs.push(source.as_ref().map_or(Ex::None, Ex::from));
        sources.push(source);
    }
    let outs = {
        let _mode = GradMode::set(true);
        f(&inputs).into_iter().map(Ex::value).collect::<Result<Grads>>()?
    };
    let (mut roots, mut seeds) = (SmallVec::<[&Tensor; 4]>::new(), SmallVec::<[Tensor; 4]>::new());
    for (k, out) in outs.iter().enumerate() {
        if let (Some(out), true) = (out, v.has(k)) {
            if out.requires_grad() {
                roots.push(out);
                seeds.push(v.gk(k).tensor()?);
            }
        }
    }
    let wanted: SmallVec<[usize; 8]> =
        (0..v.len()).filter(|&i| v.need(i) && sources[i].as_ref().is_some_and(|s| s.requires_grad())).collect();
    let mut grads: Grads = smallvec![None; v.len()];
    if roots.is_empty() || wanted.is_empty() {
        return Ok(grads);
    }
    let targets: SmallVec<[&Tensor; 8]> = wanted.iter().filter_map(|&i| sources[i].as_ref()).collect();
    let seeds: SmallVec<[Option<&Tensor>; 4]> = seeds.iter().map(Some).collect();
    let found = grad(&roots, &seeds, &targets, create_graph, create_graph)?;
    for (i, g) in wanted.into_iter().zip(found) {
        grads[i] = g;
    }
    Ok(grads)
}
