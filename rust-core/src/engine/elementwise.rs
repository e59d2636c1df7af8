//! Elementwise loops: the way from a [`Plan`] (which loop runs over which operands) to a result.

use super::copy::{contiguous_unlocked, copy_into};
use super::overlap::meet;
use super::promotion::{common_dtype, Promote};
use super::spec::Spec;
use crate::bail;
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::copy::{Shared, GRAIN};
use crate::kernels::elementwise::{line, map, Lane, Loop, Loops, Operand, Params, MAX_PERIOD};
use crate::shape::{broadcast, Dims, Layout};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// What an elementwise op does: a loop over one to three operands.
pub struct Plan<'a> {
    run: Loop,
    /// The operands; only the first `n` count.
    ins: [&'a Tensor; 3],
    n: usize,
    /// What the loop reads them as.
    types: [DType; 3],
    /// Operands of a wider dtype take this one first.
    narrowed: Option<DType>,
    dtype: DType,
    /// What the loop writes.
    loop_out: DType,
    params: Params,
}

/// An elementwise kernel over some tensors.
pub fn run_on<'a, const N: usize>(
    k: &'static Loops,
    ins: [&'a Tensor; N],
    promote: Promote,
    p: Params,
) -> Result<Plan<'a>> {
    let common = common_dtype(&ins, promote)?;
    run_as(k, ins, common, if promote == Promote::ToBool { DType::Bool } else { common }, p)
}

/// An elementwise kernel in the compute type of `common`.
pub fn run_as<'a, const N: usize>(
    k: &'static Loops,
    ins: [&'a Tensor; N],
    common: DType,
    dtype: DType,
    p: Params,
) -> Result<Plan<'a>> {
    let compute = common.compute_dtype();
    let Some(f) = k.get(common) else {
        bail!(DType, "not implemented for dtype {common}");
    };
    // A 0-d operand of a wider dtype takes the common one first: whole numbers wrap around, and half floats are
    // compared as half floats. Whole numbers are compared as what they are, which the compute type holds.
    let strict = !common.is_complex() && common.is_float() == k.to_bool && (!common.is_float() || common.is_half());
    let mut plan = loop_over(f, ins, [compute; N], dtype, if k.to_bool { DType::Bool } else { compute }, p);
    plan.narrowed = (strict && ins.iter().any(|t| wider(t, common))).then_some(common);
    Ok(plan)
}

/// A loop that reads operand `k` as `types[k]` and writes `loop_out`.
pub fn loop_over<'a, const N: usize>(
    run: Loop,
    ins: [&'a Tensor; N],
    types: [DType; N],
    dtype: DType,
    loop_out: DType,
    params: Params,
) -> Plan<'a> {
    let k = |i: usize| i.min(N - 1);
    Plan {
        run,
        ins: [ins[0], ins[k(1)], ins[k(2)]],
        n: N,
        types: [types[0], types[k(1)], types[k(2)]],
        narrowed: None,
        dtype,
        loop_out,
        params,
    }
}

/// True if `t` can hold what `common` cannot.
fn wider(t: &Tensor, common: DType) -> bool {
    t.dtype() != common && crate::dtype::promote(t.dtype(), common).ok() != Some(common)
}

/// How an operand is walked beside the one that has the shape of the result: its step, and the length of what repeats.
fn walk(t: &Tensor, lead: &Tensor) -> Option<(isize, usize)> {
    if t.layout().alike(lead.layout()) {
        return Some((1, 1));
    }
    let n = t.numel();
    if n == 1 {
        return Some((0, 1));
    }
    let ends_alike = || {
        let ones = t.shape().iter().take_while(|&&d| d == 1).count();
        lead.shape().ends_with(&t.shape()[ones..])
    };
    (n <= MAX_PERIOD && t.is_contiguous() && lead.is_contiguous() && ends_alike()).then_some((0, n))
}

/// Operands that lie alike in memory are walked as one line, along which smaller ones repeat: the operand that leads, and
/// how each is walked.
fn in_line<'a, const N: usize>(ins: [&'a Tensor; N], shape: &[usize]) -> Option<(&'a Tensor, [(isize, usize); N])> {
    let lead = ins.into_iter().find(|t| t.shape() == shape && (t.is_contiguous() || t.layout().is_dense()))?;
    let mut walks = [(1, 1); N];
    for (w, t) in walks.iter_mut().zip(ins) {
        *w = walk(t, lead)?;
    }
    let periods = || walks.iter().map(|w| w.1).filter(|&p| p > 1);
    (periods().min() == periods().max()).then_some((lead, walks))
}

/// The operand beside which all others lie alike or are single elements.
#[inline(always)]
fn leads<'a>(ins: &[&'a Tensor]) -> Option<&'a Tensor> {
    let lead = ins.iter().copied().find(|t| t.numel() != 1).unwrap_or(ins[0]);
    let fits = |t: &&Tensor| t.layout().alike(lead.layout()) || (t.numel() == 1 && t.ndim() <= lead.ndim());
    ins.iter().all(fits).then_some(lead)
}

/// The shape that all operands are broadcast to.
fn common_shape(ins: &[&Tensor]) -> Result<Dims> {
    let mut shape = ins[0].dims();
    for t in &ins[1..] {
        if t.shape() != shape.as_slice() {
            shape = broadcast(&shape, t.shape())?;
        }
    }
    Ok(shape)
}

/// True if writing `out` elementwise could change elements of `t` before they are read.
fn clashes(t: &Tensor, out: &Tensor) -> bool {
    t.shares_memory(out)
        && (t.layout() != out.layout() || t.dtype() != out.dtype() || t.base_ptr() != out.base_ptr())
        && meet(t, out)
}

/// `$body` with `$ins`, an array of as many operands as there are.
macro_rules! operands {
    ($plan:expr, $ins:ident => $body:expr) => {
        match $plan.n {
            1 => {
                let $ins = [$plan.ins[0]];
                $body
            }
            2 => {
                let $ins = [$plan.ins[0], $plan.ins[1]];
                $body
            }
            _ => {
                let $ins = $plan.ins;
                $body
            }
        }
    };
}

impl Plan<'_> {
    /// Element type of the result.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Hands `f` the shape of the result.
    pub fn shape<R>(&self, f: impl FnOnce(&[usize]) -> Result<R>) -> Result<R> {
        let ins = &self.ins[..self.n];
        match leads(ins) {
            Some(lead) => f(lead.shape()),
            None => f(&common_shape(ins)?),
        }
    }

    /// What comes out.
    #[inline]
    pub fn spec(&self) -> Result<Spec> {
        operands!(self, ins => self.spec_of(ins))
    }

    #[inline(always)]
    fn spec_of<const N: usize>(&self, ins: [&Tensor; N]) -> Result<Spec> {
        if let Some(lead) = leads(&ins).filter(|lead| lead.is_contiguous()) {
            return Spec::rows(lead.shape(), self.dtype);
        }
        let shape = common_shape(&ins)?;
        // The result lies as the operands do.
        match in_line(ins, &shape) {
            Some((lead, _)) if !lead.is_contiguous() => Ok(Spec::as_dense(lead.layout(), self.dtype)),
            _ => Spec::rows(&shape, self.dtype),
        }
    }

    /// The result as a new tensor.
    pub fn result(&self) -> Result<Tensor> {
        let out = self.spec()?.tensor()?;
        self.compute(&out)?;
        Ok(out)
    }

    /// Writes the result to `out`, which has its shape, in any order of memory; it may be an operand.
    #[inline]
    pub fn compute(&self, out: &Tensor) -> Result<()> {
        operands!(self, ins => self.compute_on(ins, out))
    }

    #[inline(always)]
    fn compute_on<const N: usize>(&self, ins: [&Tensor; N], out: &Tensor) -> Result<()> {
        let (first, n) = (ins[0], out.numel());
        let as_the_first = |k: usize| ins[k].dtype() == self.types[k] && ins[k].layout().alike(out.layout());
        if n <= GRAIN
            && out.dtype() == self.loop_out
            && first.is_contiguous()
            && (0..N).all(as_the_first)
            && !ins.iter().any(|t| clashes(t, out))
        {
            // The common case in short: what follows would find the same.
            let mut args = [std::ptr::null(); 3];
            for k in 0..N {
                args[k] = ins[k].data_ptr().cast_const();
            }
            // SAFETY: every operand has `n` elements of the loop's types in one block.
            unsafe { (self.run)(&args, out.data_ptr(), n, &self.params) };
            return Ok(());
        }
        let cast: SmallVec<[Tensor; N]>;
        let ins = match self.narrowed {
            Some(common) => {
                let brought =
                    |t: &&Tensor| contiguous_unlocked(t, if wider(t, common) { common } else { t.dtype() }, false);
                cast = ins.iter().map(brought).collect::<Result<_>>()?;
                std::array::from_fn(|i| &cast[i])
            }
            None => ins,
        };
        if n == 0 {
            return Ok(());
        }
        if ins.iter().any(|t| clashes(t, out)) {
            let aside = Spec::rows(out.shape(), out.dtype())?.tensor()?;
            self.walk(ins, &aside)?;
            return copy_into(out, &aside);
        }
        self.walk(ins, out)
    }

    fn walk<const N: usize>(&self, ins: [&Tensor; N], out: &Tensor) -> Result<()> {
        let types = self.types;
        let line_up = in_line(ins, out.shape()).filter(|(lead, _)| out.strides() == lead.strides());
        if let Some((_, walks)) = line_up {
            let lanes: [Lane; N] = std::array::from_fn(|k| Lane {
                ptr: Shared(ins[k].data_ptr()),
                dtype: ins[k].dtype(),
                loop_dtype: types[k],
                step: walks[k].0,
                period: walks[k].1,
            });
            let ptr = Shared(out.data_ptr());
            let to = Lane { ptr, dtype: out.dtype(), loop_dtype: self.loop_out, step: 1, period: 1 };
            // SAFETY: every operand has `numel` elements in one dense block, or repeats its own.
            unsafe { line(lanes, to, out.numel(), self.run, &self.params) };
            return Ok(());
        }
        let mut held: SmallVec<[(Tensor, Layout); N]> = SmallVec::new();
        for t in &ins {
            // What runs across the result is turned round first, in blocks.
            let turned = out.numel() >= 4096 && across(t, out);
            let t = if turned { contiguous_unlocked(t, t.dtype(), true)? } else { (*t).clone() };
            let layout = t.layout().broadcast_to(out.shape())?;
            held.push((t, layout));
        }
        let operands: [Operand; N] = std::array::from_fn(|i| Operand {
            ptr: held[i].0.data_ptr(),
            dtype: held[i].0.dtype(),
            loop_dtype: types[i],
            strides: held[i].1.strides(),
        });
        let (dtype, loop_dtype) = (out.dtype(), self.loop_out);
        let to = Operand { ptr: out.data_ptr(), dtype, loop_dtype, strides: out.strides() };
        // SAFETY: operands are broadcast to the result's shape; overlap is exact or none.
        unsafe { map(out.shape(), operands, to, self.run, &self.params) };
        Ok(())
    }
}

/// True if `t` steps fastest through another dimension than `out` does.
fn across(t: &Tensor, out: &Tensor) -> bool {
    let fastest = |t: &Tensor| {
        (0..t.ndim())
            .filter(|&d| t.shape()[d] > 1 && t.strides()[d] > 0)
            .min_by_key(|&d| t.strides()[d])
            .map(|d| d + out.ndim() - t.ndim())
    };
    let (a, b) = (fastest(t), fastest(out));
    a.is_some() && a != b && t.ndim() >= 2 && !t.is_contiguous()
}
