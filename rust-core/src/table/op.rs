//! What is known about an op, and what its body and its rule see.

use super::attr::{attr_readers, Attr};
use super::kinds::{ArgDef, Signature};
use crate::dtype::{DType, Scalar};
use crate::engine::elementwise::Plan;
use crate::engine::spec::{Spec, Specs};
use crate::error::{Error, Result};
use crate::shape::Dims;
use crate::tensor::{Grads, Tensor, TensorImpl};
use crate::{bail, memory};
use smallvec::SmallVec;

/// Results of an op.
pub type Outs = SmallVec<[Tensor; 2]>;

/// The random inputs that an op is tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Standard normal numbers.
    Real,
    /// Numbers from 0.5 to 2.
    Positive,
    /// Numbers with absolute value from 0.5 to 2.
    NonZero,
    /// Numbers from -0.9 to 0.9.
    Unit,
    /// Numbers from 0.1 to 0.9.
    Probability,
    /// Whole numbers.
    Integer,
    /// Truth values.
    Boolean,
    /// The op needs inputs of its own making: its `samples`.
    Special,
}

/// How many results an op has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutKind {
    /// One tensor.
    Tensor,
    /// Two.
    Pair,
    /// Three.
    Triple,
    /// As many as the input asks for.
    List,
    /// None: it changes its inputs.
    Nothing,
}

impl OutKind {
    /// Results that it has in any case; of a list nobody knows.
    pub fn least(self) -> usize {
        match self {
            OutKind::Tensor => 1,
            OutKind::Pair => 2,
            OutKind::Triple => 3,
            OutKind::List | OutKind::Nothing => 0,
        }
    }
}

/// What backward needs. Bit `i` stands for input `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saves(pub u32);

impl Saves {
    /// Shapes and dtypes only (those are always there).
    pub const NOTHING: Saves = Saves(0);
    /// The outputs.
    pub const OUTPUT: Saves = Saves(1 << 31);
    /// The first input.
    pub const X: Saves = Saves(1);
    /// The second input.
    pub const B: Saves = Saves(2);
    /// The first two inputs.
    pub const XB: Saves = Saves(3);
    /// The first two inputs, each only if the other one needs a gradient (products).
    pub const CROSS: Saves = Saves(3 | 1 << 30);
    /// All inputs.
    pub const INPUTS: Saves = Saves((1 << 30) - 1);
    /// All inputs and outputs.
    pub const ALL: Saves = Saves::INPUTS.and(Saves::OUTPUT);
    /// Both.
    pub const fn and(self, other: Saves) -> Saves {
        Saves(self.0 | other.0)
    }
    pub(crate) fn input(self, i: usize) -> bool {
        self.0 & Saves::INPUTS.0 == Saves::INPUTS.0 || (i < 30 && self.0 >> i & 1 == 1)
    }
    pub(crate) fn cross(self) -> bool {
        self.0 >> 30 & 1 == 1
    }
    pub(crate) fn output(self) -> bool {
        self.0 >> 31 == 1
    }
}

/// The dtypes that a `Kernel` or `Dynamic` knows beside those from bool to float64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes(u8);

impl Takes {
    /// None.
    pub const NOTHING: Takes = Takes(0);
    /// complex64 and complex128.
    pub const COMPLEX: Takes = Takes(1);
    /// uint16, uint32 and uint64.
    pub const UNSIGNED: Takes = Takes(2);
    /// All.
    pub const ALL: Takes = Takes(3);

    #[inline(always)]
    pub(crate) fn dtype(self, d: DType) -> bool {
        // Codes: what all ops know comes first.
        (d as u8) <= DType::F64 as u8 || self.0 & if d.is_complex() { 1 } else { 2 } != 0
    }
    /// Refuses a dtype that is not among them.
    #[inline(always)]
    pub(crate) fn check(self, d: DType) -> Result<()> {
        if !self.dtype(d) {
            bail!(DType, "not implemented for dtype {d}");
        }
        Ok(())
    }
}

/// What an op does, and how it treats memory.
#[derive(Clone, Copy)]
pub enum Body {
    /// Reads its inputs and writes a new tensor, element by element: which loop runs over which of them.
    Elementwise(for<'a> fn(&Call<'a>) -> Result<Plan<'a>>),
    /// Reads its inputs and writes new tensors. The first function says what comes out, from shapes, dtypes and
    /// attributes alone, and refuses bad input; the second writes it.
    Kernel(fn(&Call) -> Result<Specs>, fn(&Call, &[Tensor]) -> Result<()>),
    /// As `Kernel`, but what comes out depends on the elements, so that the second function makes it. The first one says it
    /// where it does not.
    Dynamic(fn(&Call) -> Result<Option<Specs>>, fn(&Call) -> Result<Outs>),
    /// Returns tensors that share its first input's storage (of `set` its source's), or more of it.
    View(fn(&Call) -> Result<Outs>),
    /// Is made of other ops, which do their own recording and locking.
    Composite(fn(&Call) -> Result<Outs>),
}

impl Body {
    fn class(&self) -> &'static str {
        match self {
            Body::Elementwise(_) => "Elementwise",
            Body::Kernel(..) => "Kernel",
            Body::Dynamic(..) => "Dynamic",
            Body::View(_) => "View",
            Body::Composite(_) => "Composite",
        }
    }
}

/// What an in-place twin does that changes how its tensor lies, not the elements in their places. Layouts never change: the
/// twin returns a new handle, and the caller puts that in the place of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relayout {
    /// The tensor looks at the same elements in another way; its history goes on.
    View,
    /// The tensor gets other elements or other memory, which a tensor with gradients may not.
    Data,
}

/// Where an in-place twin writes, as against where it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Each element where those are read that it is made of: an input may be the very tensor that is written.
    Elementwise,
    /// One value everywhere: the elements may even share places.
    Uniform,
    /// Elsewhere: no other input may share memory with what is written.
    Moves,
    /// Nowhere before it has read all.
    Aside,
}

/// A call that must be refused, as test data: arguments in Python and a part of the message.
pub struct Refusal {
    /// Arguments of the call, as Python source (`rt` is the module).
    pub call: &'static str,
    /// What the message must contain.
    pub message: &'static str,
}

/// What an op does with floats of 16 and 32 bits while `autocast` is on. What is double, or no float, stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// Takes them as they are.
    Nothing,
    /// Takes them in the dtype of `autocast`.
    Lower,
    /// Takes them as float32.
    Full,
    /// Takes them in the widest dtype among them.
    Widest,
}

/// One op: everything that is known about it.
pub struct OpDef {
    /// PyTorch's name.
    pub name: &'static str,
    /// What it computes.
    pub doc: &'static str,
    /// Arguments, in PyTorch's order.
    pub args: &'static [ArgDef],
    /// What follows from them.
    pub signature: Signature,
    /// False if a call with such attributes leaves its mutable arguments alone.
    pub writes: fn(&[Attr]) -> bool,
    /// Results.
    pub out: OutKind,
    /// Test inputs.
    pub domain: Domain,
    /// What it does.
    pub body: Body,
    /// Vector-Jacobian product, in the op language; None where no gradient flows.
    pub vjp: Option<fn(&Vjp) -> Result<Grads>>,
    /// What `vjp` reads.
    pub saves: Saves,
    /// The inputs that get their gradients first, given shapes and dtypes of all inputs, where that is not the order of the
    /// arguments: hooks see it.
    pub sends: fn(&[(Dims, DType)]) -> &'static [usize],
    /// True if `vjp` conjugates by itself. Other rules are written for functions that are holomorphic, or move elements:
    /// for complex results they are run on conjugated gradients and give conjugated ones.
    pub conjugates: bool,
    /// The dtypes that it knows beside the usual ones, if it is a `Kernel` or `Dynamic`.
    pub takes: Takes,
    /// What it does with its inputs while `autocast` is on.
    pub cast: Cast,
    /// True if there is an in-place twin `name_`.
    pub inplace: bool,
    /// Set if that twin does not write, but gives its tensor another layout.
    pub relayout: Option<Relayout>,
    /// What its in-place twin does if another input shares memory with the first one.
    pub overlap: Overlap,
    /// True for a `Kernel` that may write over its first input.
    pub direct: bool,
    /// True for a `Composite` of which a part is `Dynamic`.
    pub dynamic: bool,
    /// True if it is a method of Tensor in Python.
    pub method: bool,
    /// True if it is a function of the package in Python.
    pub function: bool,
    /// Other names of the same op.
    pub aliases: &'static [&'static str],
    /// ONNX operator.
    pub onnx: Option<&'static str>,
    /// C text of one element, `{f}` being the suffix of math functions.
    pub c: Option<&'static str>,
    /// Calls that must be refused.
    pub refuses: &'static [Refusal],
    /// Calls whose first and second derivatives are checked, as test data: arguments in Python, made by the functions of
    /// `tests/test_gradients.py`. An op without any is called with tensors of its domain.
    pub samples: &'static [&'static str],
}

impl OpDef {
    /// Field values that most entries share.
    pub const BASE: OpDef = OpDef {
        name: "",
        doc: "",
        args: &[],
        signature: Signature::of(&[]),
        writes: |_| true,
        out: OutKind::Tensor,
        domain: Domain::Real,
        body: Body::Composite(|_| Ok(Outs::new())),
        vjp: None,
        saves: Saves::NOTHING,
        sends: |_| &[],
        conjugates: false,
        takes: Takes::NOTHING,
        cast: Cast::Nothing,
        inplace: false,
        relayout: None,
        overlap: Overlap::Elementwise,
        direct: false,
        dynamic: false,
        method: true,
        function: true,
        aliases: &[],
        onnx: None,
        c: None,
        refuses: &[],
        samples: &[],
    };

    /// What its body is, in a word; "Dynamic" if what comes out depends on the elements.
    pub fn class(&self) -> &'static str {
        if self.dynamic {
            "Dynamic"
        } else {
            self.body.class()
        }
    }
    /// True if it is made of other ops.
    pub fn is_composite(&self) -> bool {
        matches!(self.body, Body::Composite(_))
    }
    /// The tensor arguments.
    pub fn tensor_args(&self) -> impl Iterator<Item = &ArgDef> {
        self.args.iter().filter(|a| a.kind.is_tensor())
    }
    /// The attributes: what is not a tensor.
    pub fn attr_args(&self) -> impl Iterator<Item = &ArgDef> {
        self.args.iter().filter(|a| !a.kind.is_tensor())
    }
}

/// One call of an op as its body sees it.
pub struct Call<'a> {
    /// The op.
    pub op: &'static OpDef,
    /// Tensors, in the order of the op's tensor arguments; lists come last and have equal lengths.
    pub inputs: &'a [Option<&'a Tensor>],
    /// Attributes, in the order of the op's other arguments.
    pub attrs: &'a [Attr<'a>],
    /// True if only shapes and dtypes are wanted: there are no elements to look at.
    pub meta: bool,
}

/// A recorded call, as its rule sees it.
pub(crate) trait Recorded {
    /// Input `i`, if it was saved.
    fn input(&self, i: usize) -> Option<Result<Tensor>>;
    /// Output `k`, if it was saved.
    fn output(&self, k: usize) -> Option<Result<Tensor>>;
    /// True if input `i` wants a gradient.
    fn needs(&self, i: usize) -> bool;
}

/// The context of one gradient rule. `lang` has its methods.
pub struct Vjp<'a> {
    pub(crate) grads: &'a [Option<Tensor>],
    pub(crate) inputs: &'a [(Dims, DType)],
    pub(crate) outputs: &'a [(Dims, DType)],
    pub(crate) call: &'a dyn Recorded,
    pub(crate) attrs: SmallVec<[Attr<'a>; 6]>,
}

attr_readers!(Call<'a>);
attr_readers!(Vjp<'a>);

impl<'a> Call<'a> {
    /// Input `i`, which the door has checked to be there.
    pub fn x(&self, i: usize) -> &'a Tensor {
        match self.inputs[i] {
            Some(t) => t,
            None => unreachable!("{}: required input {i} is missing", self.op.name),
        }
    }
    /// Checks that input `i` has the shape that the others ask for.
    pub fn want_shape(&self, i: usize, shape: &[usize]) -> Result<()> {
        let t = self.x(i);
        if t.shape() == shape {
            return Ok(());
        }
        let name = self.op.tensor_args().nth(i).map_or("", |a| a.name);
        let message = format!("argument '{name}' must have shape {shape:?}, got {:?}", t.shape());
        Err(Error::shapes("", message, t.shape(), shape))
    }
    /// Input `i`, if given.
    pub fn opt(&self, i: usize) -> Option<&'a Tensor> {
        self.inputs.get(i).copied().flatten()
    }
    /// Checks that a tensor can hold a result.
    pub(crate) fn check_out(&self, out: &Tensor, shape: &[usize], dtype: DType) -> Result<()> {
        if out.shape() != shape {
            return Err(Error::shapes(
                "",
                format!(
                    "the result has shape {shape:?}, which does not fit the tensor of shape {:?} that is to hold it",
                    out.shape()
                ),
                out.shape(),
                shape,
            ));
        }
        if dtype.category() > out.dtype().category() {
            bail!(DType, "result type {dtype} can't be cast to the desired output type {}", out.dtype());
        }
        Ok(())
    }
    /// Runs `f` on the random generator of attribute `k`.
    pub fn with_generator<R>(&self, k: usize, f: impl FnOnce(&mut crate::random::Generator) -> Result<R>) -> Result<R> {
        let generator = if let Attr::Generator(g) = self.attrs[k] { g } else { None };
        crate::random::with(generator, f).unwrap_or_else(|| {
            bail!(Value, "this thread is drawing from the generator already: a handler of signals needs one of its own")
        })
    }
}

/// True if the only element of `t` is not 0, as far as it is known: a meta tensor has none.
pub(crate) fn holds(t: &Tensor) -> Result<bool> {
    let holds = |s: Scalar| s.f64() != 0.0 || s.imaginary() != 0.0;
    Ok(!t.is_meta() && holds(t.item()?))
}

/// True if a call writes to its input `i`.
pub fn writes(op: &OpDef, inplace: bool, inputs: &[Option<&Tensor>], attrs: &[Attr], i: usize) -> bool {
    inplace && i == 0 && op.relayout.is_none()
        || op.signature.writes() && op.signature.is_written(inputs.len(), i) && (op.writes)(attrs)
}

/// One result.
pub fn one(t: Tensor) -> Result<Outs> {
    let mut outs = Outs::new();
    outs.push(t);
    Ok(outs)
}

/// `n` results, made one after the other.
pub(crate) fn several(n: usize, mut make: impl FnMut(usize) -> Result<Tensor>) -> Result<Outs> {
    memory::probe(n, size_of::<TensorImpl>())?;
    let mut outs = memory::room(n)?;
    for i in 0..n {
        memory::check()?;
        outs.push(make(i)?);
    }
    Ok(outs)
}

/// A new row-major tensor, not initialised.
pub(crate) fn made(c: &Call, shape: &[usize], dtype: DType) -> Result<Tensor> {
    let spec = Spec::rows(shape, dtype)?;
    if c.meta {
        spec.meta()
    } else {
        spec.tensor()
    }
}
