//! L3: THE TABLE and the funnel. Every op is one entry in one of the files below; every call of an op, from whichever
//! language, passes through [`call`] (or [`call_inplace`]), where autograd records and a listener looks on.

use crate::autograd;
use crate::device::{self, Device, On};
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::memory;
use crate::parallel::Hold;
use crate::random::GeneratorHandle;
use crate::shape::{Dims, Layout};
use crate::storage::{Locks, Storage};
use crate::tensor::Tensor;
use crate::{bail, err};
use elementwise::Plan;
pub use kinds::{ArgDef, ArgKind, Form, Holds, KindDef, Signature};
use smallvec::SmallVec;
use std::sync::OnceLock;

#[macro_use]
mod kinds;
#[macro_use]
mod macros;
pub mod elementwise;
pub mod lang;
pub mod listener;

/// The files of the table. A new file is one name here.
macro_rules! tables {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+
        /// Module name and entries of every file.
        pub static TABLES: &[(&str, &[&OpDef])] = &[$((stringify!($module), $module::TABLE)),+];
    };
}
tables!(
    create, pointwise, activation, reduce, sort, shape, index, matmul, linalg, conv, pool, resize, embedding, norm,
    loss, ctc, random, rnn, attention, optim
);

/// Results of an op.
pub type Outs = SmallVec<[Tensor; 2]>;
/// Gradients for the inputs of an op, None where there is none.
pub type Grads = SmallVec<[Option<Tensor>; 3]>;

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

/// What a result is to be.
pub struct Spec {
    /// Sizes, and how the elements lie in memory.
    pub layout: Layout,
    /// Element type.
    pub dtype: DType,
}

impl Spec {
    /// Row-major.
    #[inline(always)] // made in its place, without a copy
    pub fn rows(shape: &[usize], dtype: DType) -> Result<Spec> {
        Ok(Spec { layout: Layout::contiguous(shape)?, dtype })
    }
    /// As the elements of a dense layout.
    pub fn as_dense(layout: &Layout, dtype: DType) -> Spec {
        Spec { layout: layout.counted_from(layout.offset()), dtype }
    }
    /// As the elements of `t` if those lie without gaps, else row-major.
    pub fn like(t: &Tensor, dtype: DType) -> Result<Spec> {
        Ok(Spec { layout: t.layout().packed()?, dtype })
    }
    /// A new tensor.
    #[inline(always)] // as above
    pub fn tensor(self) -> Result<Tensor> {
        Tensor::of_layout(self.layout, self.dtype)
    }
    /// As the only result.
    pub fn one(self) -> Result<Specs> {
        Ok(Specs::from_iter([self]))
    }
    /// A tensor without elements.
    pub(crate) fn meta(self) -> Result<Tensor> {
        Tensor::without_elements(self.layout, self.dtype)
    }
}

/// What an op will give, in order.
pub type Specs = SmallVec<[Spec; 2]>;

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

/// A call that must be refused, as test data: arguments in Python and a part of the message.
pub struct Refusal {
    /// Arguments of the call, as Python source (`rt` is the module).
    pub call: &'static str,
    /// What the message must contain.
    pub message: &'static str,
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
    pub vjp: Option<fn(&autograd::Vjp) -> Result<Grads>>,
    /// What `vjp` reads.
    pub saves: Saves,
    /// The inputs that get their gradients first, given shapes and dtypes of all inputs, where that is not the order of the
    /// arguments: hooks see it.
    pub sends: fn(&[(Dims, DType)]) -> &'static [usize],
    /// True if there is an in-place twin `name_`.
    pub inplace: bool,
    /// Set if that twin does not write, but gives its tensor another layout.
    pub relayout: Option<Relayout>,
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
        inplace: false,
        relayout: None,
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

/// An attribute value.
#[derive(Clone, Copy, Debug)]
pub enum Attr<'a> {
    /// Not given.
    None,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A float.
    Float(f64),
    /// A number of any kind.
    Scalar(Scalar),
    /// Whole numbers.
    Ints(&'a [i64]),
    /// A dtype.
    DType(DType),
    /// A word.
    Str(&'a str),
    /// A generator; None is the default one.
    Generator(Option<&'a GeneratorHandle>),
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

macro_rules! attr_readers {
    ($t:ty) => {
        impl<'a> $t {
            /// Attribute `k` as a whole number.
            pub fn int(&self, k: usize) -> i64 {
                match self.attrs[k] {
                    Attr::Int(i) => i,
                    Attr::Scalar(s) => s.i64(),
                    _ => 0,
                }
            }
            /// Attribute `k` as a whole number, if given.
            pub fn opt_int(&self, k: usize) -> Option<i64> {
                match self.attrs[k] {
                    Attr::Int(i) => Some(i),
                    _ => None,
                }
            }
            /// Attribute `k` as whole numbers; empty if not given.
            pub fn ints(&self, k: usize) -> &[i64] {
                match self.attrs[k] {
                    Attr::Ints(v) => v,
                    _ => &[],
                }
            }
            /// Attribute `k` as whole numbers, if given.
            pub fn opt_ints(&self, k: usize) -> Option<&[i64]> {
                match self.attrs[k] {
                    Attr::Ints(v) => Some(v),
                    _ => None,
                }
            }
            /// Attribute `k` as a float.
            pub fn float(&self, k: usize) -> f64 {
                match self.attrs[k] {
                    Attr::Float(f) => f,
                    Attr::Int(i) => i as f64,
                    Attr::Scalar(s) => s.f64(),
                    _ => 0.0,
                }
            }
            /// Attribute `k` as a float, if given.
            pub fn opt_float(&self, k: usize) -> Option<f64> {
                match self.attrs[k] {
                    Attr::None => None,
                    _ => Some(self.float(k)),
                }
            }
            /// Attribute `k` as a number.
            pub fn scalar(&self, k: usize) -> Scalar {
                self.opt_scalar(k).unwrap_or(Scalar::Int(0))
            }
            /// Attribute `k` as a number, if given.
            pub fn opt_scalar(&self, k: usize) -> Option<Scalar> {
                match self.attrs[k] {
                    Attr::Scalar(s) => Some(s),
                    Attr::Int(i) => Some(Scalar::Int(i)),
                    Attr::Float(f) => Some(Scalar::Float(f)),
                    Attr::Bool(b) => Some(Scalar::Bool(b)),
                    _ => None,
                }
            }
            /// Attribute `k` as a truth value.
            pub fn bool(&self, k: usize) -> bool {
                matches!(self.attrs[k], Attr::Bool(true))
            }
            /// Attribute `k` as a dtype, if given.
            pub fn opt_dtype(&self, k: usize) -> Option<DType> {
                match self.attrs[k] {
                    Attr::DType(d) => Some(d),
                    _ => None,
                }
            }
            /// Attribute `k` as a word.
            pub fn str(&self, k: usize) -> &str {
                match self.attrs[k] {
                    Attr::Str(s) => s,
                    _ => "",
                }
            }
        }
    };
}
attr_readers!(Call<'a>);
attr_readers!(autograd::Vjp<'a>);

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
        Err(crate::error::Error::shapes("", message, t.shape(), shape))
    }
    /// Input `i`, if given.
    pub fn opt(&self, i: usize) -> Option<&'a Tensor> {
        self.inputs.get(i).copied().flatten()
    }
    /// Checks that a tensor can hold a result.
    fn check_out(&self, out: &Tensor, shape: &[usize], dtype: DType) -> Result<()> {
        if out.shape() != shape {
            return Err(crate::error::Error::shapes(
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
    pub fn with_generator<R>(&self, k: usize, f: impl FnOnce(&mut crate::random::Generator) -> R) -> R {
        // To its end: the program, if asked meanwhile, might want a number of this generator.
        let _hold = Hold::new();
        let generator = if let Attr::Generator(g) = self.attrs[k] { g } else { None };
        crate::random::with(generator, f)
    }
}

/// True if the only element of `t` is not 0, as far as it is known: a meta tensor has none.
pub(crate) fn holds(t: &Tensor) -> Result<bool> {
    Ok(!t.is_meta() && t.item()?.f64() != 0.0)
}

/// One result.
pub fn one(t: Tensor) -> Result<Outs> {
    let mut outs = Outs::new();
    outs.push(t);
    Ok(outs)
}

/// Has `f` write a row-major tensor of dtype `dtype`, and brings its elements to the result `out`.
pub(crate) fn written_as(out: &Tensor, dtype: DType, f: impl FnOnce(&Tensor) -> Result<()>) -> Result<()> {
    if out.dtype() == dtype && out.is_contiguous() {
        return f(out);
    }
    let aside = Tensor::empty_of(out.shape(), dtype)?;
    f(&aside)?;
    shape::copy_into(out, &aside)
}

/// `n` results, made one after the other.
pub(crate) fn several(n: usize, mut make: impl FnMut(usize) -> Result<Tensor>) -> Result<Outs> {
    memory::probe(n, size_of::<crate::tensor::TensorImpl>())?;
    let mut outs = memory::room(n)?;
    for i in 0..n {
        memory::check()?;
        outs.push(make(i)?);
    }
    Ok(outs)
}

#[inline(always)]
fn locks<'a>(
    inputs: &[Option<&'a Tensor>],
    written: Option<&'a Tensor>,
    writes: impl Fn(usize) -> bool,
    meta: bool,
) -> Result<Locks<'a>> {
    // Beside meta tensors, which have nothing to lock, there may be numbers that are looked at.
    let here = |t: &&Tensor| !(meta && t.is_meta());
    let read =
        inputs.iter().enumerate().filter_map(|(i, t)| t.filter(here).map(|t| (&*t.0.storage as &Storage, writes(i))));
    // What is written first: it is the first input too.
    Locks::take(written.filter(here).map(|t| (&*t.0.storage as &Storage, true)).into_iter().chain(read))
}

/// True if a call writes to its input `i`.
pub fn writes(op: &OpDef, inplace: bool, inputs: &[Option<&Tensor>], attrs: &[Attr], i: usize) -> bool {
    inplace && i == 0 && op.relayout.is_none()
        || op.signature.writes() && op.signature.is_written(inputs.len(), i) && (op.writes)(attrs)
}

/// Refuses a call in which a tensor is missing that must be there.
#[inline(always)]
fn check_present(op: &OpDef, inputs: &[Option<&Tensor>]) -> Result<()> {
    for (i, t) in inputs.iter().take(op.signature.singles).enumerate() {
        if t.is_none() && op.signature.requires(i) {
            return missing(op, i, None);
        }
    }
    if op.signature.lists > 0 {
        return check_lists(op, inputs);
    }
    Ok(())
}

fn check_lists(op: &OpDef, inputs: &[Option<&Tensor>]) -> Result<()> {
    for k in 0..op.signature.lists {
        let place = op.signature.singles + k;
        if !op.signature.requires(place) {
            continue;
        }
        if let Some(at) = inputs[op.signature.list(inputs.len(), k)].iter().position(|t| t.is_none()) {
            return missing(op, place, Some(at));
        }
    }
    Ok(())
}

#[cold]
fn missing(op: &OpDef, place: usize, at: Option<usize>) -> Result<()> {
    let name = op.tensor_args().nth(place).map_or("", |a| a.name);
    match at {
        None => bail!(Null, "argument '{name}' is NULL, wanted a tensor"),
        Some(i) => bail!(Null, "argument '{name}' has NULL at place {i}"),
    }
}

/// Calls an op. The inputs must fit its declaration; [`check_arguments`] does for callers by name.
pub fn call(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Outs> {
    if let Err(e) = memory::check() {
        return Err(e.in_op(op.name));
    }
    if let Err(e) = check_present(op, inputs) {
        return Err(e.in_op(op.name));
    }
    if let Some(k) = op.signature.collected {
        if inputs[op.signature.list(inputs.len(), k)].iter().any(|g| g.is_none()) {
            return with_collected(op, k, inputs, attrs);
        }
    }
    let record = !op.is_composite() && op.vjp.is_some() && autograd::wanted(inputs);
    let mut result = run(op, inputs, attrs);
    // The result stays in its place: each move of it costs as much as the addition of two numbers.
    if record {
        if let Err(e) = result.as_mut().map_or(Ok(()), |outs| autograd::record(op, inputs, attrs, outs)) {
            result = Err(e);
        }
    }
    match &mut result {
        Ok(outs) if listener::active() && !op.is_composite() => listener::called(op, false, inputs, attrs, outs),
        Ok(_) => {}
        // What a composite is made of is its own business.
        Err(e) if op.is_composite() || e.op().is_empty() => e.set_op(op.name),
        Err(_) => {}
    }
    result
}

/// Puts the gradients that backward has collected where none are given (`grads` is the number of their list); tensors that
/// have none are left out.
fn with_collected(op: &'static OpDef, grads: usize, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Outs> {
    let (n, count) = (op.signature.length(inputs.len()), inputs.len());
    let start = op.signature.list(count, grads).start;
    let mut own: SmallVec<[Option<Tensor>; 16]> = memory::room(n)?;
    for i in 0..n {
        let collected = || inputs[op.signature.singles + i].and_then(|t| t.grad());
        own.push(inputs[start + i].cloned().or_else(collected));
    }
    let mut filled: SmallVec<[Option<&Tensor>; 32]> = memory::room(count)?;
    filled.extend(inputs[..op.signature.singles].iter().copied());
    for (i, t) in inputs.iter().enumerate().skip(op.signature.singles) {
        if let Some(g) = &own[(i - op.signature.singles) % n] {
            filled.push(if (start..start + n).contains(&i) { Some(g) } else { *t });
        }
    }
    if filled.len() == op.signature.singles {
        return Ok(Outs::new());
    }
    call(op, &filled, attrs)
}

/// Runs the body of an op.
#[inline(always)]
fn run(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Outs> {
    let meta = on_meta(op, inputs)?;
    // What the op makes for itself lives there too.
    let _on = On::enter(if meta { Device::Meta } else { Device::Cpu });
    let c = Call { op, inputs, attrs, meta };
    match op.body {
        Body::Elementwise(plan) => {
            let _locks = locks(inputs, None, |_| false, meta)?;
            let plan = plan(&c)?;
            if meta {
                return one(plan.spec()?.meta()?);
            }
            let out = plan.spec()?.tensor()?;
            plan.compute(&out)?;
            one(out)
        }
        Body::Kernel(infer, compute) => {
            let _quiet = listener::active().then(listener::Quiet::enter);
            let specs = infer(&c)?;
            let mut outs = memory::room(specs.len())?;
            for spec in specs {
                outs.push(if meta { spec.meta()? } else { spec.tensor()? });
            }
            if op.signature.writes() && (op.writes)(attrs) {
                write(&c, compute, &outs)?;
            } else if !meta {
                let _locks = locks(inputs, None, |_| false, false)?;
                compute(&c, &outs)?;
            }
            Ok(outs)
        }
        Body::Dynamic(infer, eval) => {
            if meta {
                let Some(specs) = infer(&c)? else {
                    bail!(Unsupported, "the result depends on the elements of a meta tensor, which has none");
                };
                return specs.into_iter().map(Spec::meta).collect();
            }
            let _quiet = listener::active().then(listener::Quiet::enter);
            let _locks = locks(inputs, None, |_| false, false)?;
            let mut outs = eval(&c)?;
            for o in outs.iter_mut().filter(|o| o.is_view()) {
                // A view of the op's own memory is nobody's view.
                if !inputs.iter().flatten().any(|t| t.shares_storage(o)) {
                    *o = o.alias();
                }
            }
            Ok(outs)
        }
        Body::View(eval) => eval(&c),
        Body::Composite(expand) if listener::active() => listener::in_parts(op, false, inputs, attrs, || expand(&c)),
        Body::Composite(expand) => expand(&c),
    }
}

/// Has a kernel write to its mutable arguments.
fn write(c: &Call, compute: fn(&Call, &[Tensor]) -> Result<()>, outs: &[Tensor]) -> Result<()> {
    let (takes, n) = (&c.op.signature, c.inputs.len());
    let written = || c.inputs.iter().enumerate().filter(|(i, _)| takes.is_written(n, *i)).filter_map(|e| *e.1);
    written().try_for_each(|t| {
        autograd::may_change(t)?;
        check_writable(t)
    })?;
    if !c.meta {
        let _hold = Hold::new();
        let _locks = locks(c.inputs, None, |i| takes.is_written(n, i), false)?;
        compute(c, outs)?;
    }
    written().for_each(|t| t.0.storage.bump());
    Ok(())
}

/// True if the results are meta tensors: an input is one, and the others are, or have no dimensions (in lists: are plain
/// numbers).
#[inline(always)]
fn on_meta(op: &OpDef, inputs: &[Option<&Tensor>]) -> Result<bool> {
    let meta = inputs.iter().flatten().any(|t| t.is_meta());
    // What stands in a list is no number.
    let listed = || op.signature.lists > 0;
    if meta && inputs.iter().flatten().any(|t| !t.is_meta() && (t.ndim() > 0 || listed() && !t.0.wrapped)) {
        bail!(
            Unsupported,
            "expected all tensors to be on the same device, but found at least two devices, cpu and meta"
        );
    }
    let numbers = || inputs.iter().flatten().all(|t| t.0.wrapped);
    Ok(meta || device::current() == Device::Meta && numbers())
}

/// True if elements of both lie at one place.
fn meet(a: &Tensor, b: &Tensor) -> bool {
    let range = |t: &Tensor| {
        let start = t.layout().offset() * t.dtype().size();
        (start, start + t.layout().span() * t.dtype().size())
    };
    a.shares_storage(b) && {
        let (r, s) = (range(a), range(b));
        r.0 < s.1 && s.0 < r.1
    }
}

/// Refuses to write to a tensor whose elements share places: what they hold in the end, and whether threads get into each
/// other's way, would depend on the order of the writes.
pub(crate) fn check_writable(t: &Tensor) -> Result<()> {
    if !t.is_contiguous() && t.layout().overlaps_itself() {
        bail!(
            Value,
            "unsupported operation: more than one element of the written-to tensor (shape {:?}, strides {:?}) refers to a \
             single memory location; clone() it first",
            t.shape(),
            t.strides()
        );
    }
    Ok(())
}

/// Refuses in-place calls whose result depends on the order in which elements are read and written.
#[inline]
fn check_overlap(op: &'static OpDef, target: &Tensor, inputs: &[Option<&Tensor>]) -> Result<()> {
    let same = |a: &&OpDef, b: &'static OpDef| std::ptr::eq(*a, b);
    // A fill writes one value everywhere.
    if !same(&op, &pointwise::defs::fill) && !same(&op, &pointwise::defs::zero) {
        check_writable(target)?;
    }
    for t in inputs.iter().skip(1).flatten().filter(|t| t.shares_storage(target)) {
        // Ops that move elements write to other places than they read from.
        let moves = index::TABLE.iter().any(|e| same(e, op)) && !same(&op, &index::defs::masked_fill);
        let full = t.layout() == target.layout() && t.dtype() == target.dtype();
        let products = || matmul::TABLE.iter().any(|e| same(e, op));
        // Where elements of both are mingled in space, the op takes a copy first.
        let blocks = || t.layout().is_dense() && target.layout().is_dense();
        if (!full || moves) && blocks() && meet(t, target) && !products() {
            bail!(
                Value,
                "unsupported operation: some elements of the input tensor (shape {:?}) and the written-to tensor (shape {:?}) \
                 refer to a single memory location; clone() one of them first",
                t.shape(),
                target.shape()
            );
        }
    }
    Ok(())
}

/// Calls the in-place twin of an op: the result goes into the first input, which is returned. Of a twin that changes a layout
/// (`relayout`), the handle that is returned is what the first input becomes.
pub fn call_inplace(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Tensor> {
    check_present(op, inputs).map_err(|e| e.in_op(op.name))?;
    if let Some(how) = op.relayout {
        return relayout(op, how, inputs, attrs);
    }
    let Some(Some(target)) = inputs.first().copied() else {
        return Err(err!(Unsupported, "{} has no in-place form", op.name).in_op(op.name));
    };
    let run = || {
        memory::check()?;
        if !op.inplace {
            bail!(Unsupported, "{} has no in-place form", op.name);
        }
        if let Body::Composite(expand) = op.body {
            let parts = || assigned(op, expand, target, inputs, attrs);
            if listener::active() {
                return listener::in_parts(op, true, inputs, attrs, parts).map(|_| ());
            }
            return parts().map(|_| ());
        }
        check_overlap(op, target, inputs)?;
        let prepared = autograd::before_inplace(op, target, inputs, attrs)?;
        // What is written to a meta tensor is lost, wherever it comes from.
        let meta = target.is_meta() || on_meta(op, inputs)?;
        if meta && !target.is_meta() {
            bail!(Unsupported, "a tensor cannot take the elements of a meta tensor, which has none");
        }
        let _on = On::enter(target.device());
        let _quiet = listener::active().then(listener::Quiet::enter);
        let c = Call { op, inputs, attrs, meta };
        let _hold = Hold::new();
        let locked = || locks(inputs, Some(target), |_| false, meta);
        match op.body {
            Body::Elementwise(plan) => {
                let _locks = locked()?;
                let plan = plan(&c)?;
                plan.shape(|shape| c.check_out(target, shape, plan.dtype()))?;
                if !meta {
                    plan.compute(target)?;
                }
            }
            Body::Kernel(infer, compute) => {
                for spec in infer(&c)? {
                    c.check_out(target, spec.layout.shape(), spec.dtype)?;
                    if meta {
                        continue;
                    }
                    let _locks = locked()?;
                    if op.direct && spec.dtype == target.dtype() {
                        compute(&c, std::slice::from_ref(target))?;
                    } else {
                        let aside = spec.tensor()?;
                        compute(&c, std::slice::from_ref(&aside))?;
                        shape::copy_into(target, &aside)?;
                    }
                }
            }
            Body::Dynamic(..) | Body::View(_) | Body::Composite(_) => {
                unreachable!("{} has no in-place form", op.name)
            }
        }
        target.0.storage.bump();
        if let Some(node) = prepared {
            autograd::rebase(target, node)?;
        }
        Ok(())
    };
    run().map_err(|e| e.in_op(op.name))?;
    if listener::active() && !op.is_composite() {
        listener::called(op, true, inputs, attrs, std::slice::from_ref(target));
    }
    Ok(target.clone())
}

/// What the first input becomes.
#[cold]
fn relayout(op: &'static OpDef, how: Relayout, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Tensor> {
    let change = || {
        memory::check()?;
        let Some(Some(target)) = inputs.first().copied() else { unreachable!("it was looked for") };
        autograd::may_change(target)?;
        let needs = target.requires_grad();
        let on_it = |t: &Tensor| {
            let mut all: SmallVec<[Option<&Tensor>; 4]> = memory::room(inputs.len())?;
            all.extend(inputs.iter().copied());
            all[0] = Some(t);
            call1(op, &all, attrs)
        };
        match how {
            Relayout::Data if needs => bail!(Autograd, "a tensor that requires grad cannot get other elements"),
            Relayout::View if needs && (autograd::recording() || !target.is_leaf()) => {
                if target.is_leaf() {
                    bail!(Autograd, "a leaf tensor that requires grad cannot be changed in place (outside of no_grad)");
                }
                // Recorded in any case: the history has to know the shape.
                let _on = autograd::InferenceMode::set(false);
                let t = on_it(target)?;
                if target.retains_grad() {
                    t.retain_grad()?;
                }
                Ok(t)
            }
            Relayout::View if target.is_view() && !needs => on_it(target),
            _ => target.replaced_by(&on_it(&target.alias())?.alias()),
        }
    };
    let result = {
        let _quiet = listener::active().then(listener::Quiet::enter);
        change()
    };
    let t = result.map_err(|mut e| {
        e.set_op(op.name);
        e
    })?;
    if listener::active() {
        listener::called(op, true, inputs, attrs, std::slice::from_ref(&t));
    }
    Ok(t)
}

/// The in-place twin of a composite: its parts, which record themselves, and an assignment.
fn assigned(
    op: &'static OpDef,
    expand: fn(&Call) -> Result<Outs>,
    target: &Tensor,
    inputs: &[Option<&Tensor>],
    attrs: &[Attr],
) -> Result<Outs> {
    let meta = on_meta(op, inputs)?;
    let result = {
        let _on = On::enter(if meta { Device::Meta } else { Device::Cpu });
        let outs = expand(&Call { op, inputs, attrs, meta });
        outs.map_err(|mut e| {
            e.set_op(op.name);
            e
        })?
    };
    call_inplace(&shape::defs::copy, &[Some(target), result.first()], &[])?;
    one(target.clone())
}

/// Calls an op and puts its results into `outs`, which have their shapes. A kernel that writes results of the dtype and strides
/// of an `out` that shares no memory with the inputs writes straight into it; else the result is copied there.
pub fn call_into(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr], outs: &[&Tensor]) -> Result<()> {
    into(op, inputs, attrs, outs).map_err(|mut e| {
        if e.op().is_empty() {
            e.set_op(op.name);
        }
        e
    })
}

fn into(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr], outs: &[&Tensor]) -> Result<()> {
    memory::check()?;
    check_present(op, inputs)?;
    for (k, out) in outs.iter().enumerate() {
        autograd::may_change(out)?;
        check_writable(out)?;
        if outs[..k].iter().any(|o| meet(o, out)) {
            bail!(Value, "two results cannot be put into one place in memory");
        }
        if autograd::recording() && out.requires_grad() {
            bail!(Autograd, "functions with out=... arguments don't support automatic differentiation");
        }
    }
    let own = matches!(op.body, Body::Kernel(..) | Body::Elementwise(_)) && !op.signature.writes();
    if own && op.signature.collected.is_none() && !(op.vjp.is_some() && autograd::wanted(inputs)) {
        return computed_into(op, inputs, attrs, outs);
    }
    let results = call(op, inputs, attrs)?;
    if results.iter().any(|t| t.requires_grad() && autograd::recording()) {
        bail!(Autograd, "functions with out=... arguments don't support automatic differentiation");
    }
    let c = Call { op, inputs, attrs, meta: false };
    want_outs(outs, results.len())?;
    for (out, t) in outs.iter().zip(&results) {
        c.check_out(out, t.shape(), t.dtype())?;
    }
    for (out, t) in outs.iter().zip(&results) {
        call_inplace(&shape::defs::copy, &[Some(out), Some(t)], &[])?;
    }
    Ok(())
}

fn want_outs(outs: &[&Tensor], n: usize) -> Result<()> {
    if outs.len() != n {
        bail!(Value, "it has {n} results, {} tensors are given for them", outs.len());
    }
    Ok(())
}

/// The results of a kernel or an elementwise op, in `outs`.
fn computed_into(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr], outs: &[&Tensor]) -> Result<()> {
    let meta = on_meta(op, inputs)?;
    if outs.iter().any(|t| t.is_meta() != meta) {
        bail!(Unsupported, "inputs and the tensors for the results must be on one device");
    }
    let _on = On::enter(if meta { Device::Meta } else { Device::Cpu });
    let _quiet = listener::active().then(listener::Quiet::enter);
    let c = Call { op, inputs, attrs, meta };
    let lock = || {
        let here = |t: &&Tensor| !(meta && t.is_meta());
        let read = inputs.iter().flatten().copied().filter(here).map(|t| (&*t.0.storage, false));
        Locks::take(outs.iter().copied().filter(here).map(|t| (&*t.0.storage, true)).chain(read))
    };
    let apart = |out: &Tensor| !inputs.iter().flatten().any(|t| meet(t, out));
    let _hold = Hold::new();
    match op.body {
        Body::Elementwise(plan) => {
            let _locks = lock()?;
            let plan = plan(&c)?;
            want_outs(outs, 1)?;
            plan.shape(|shape| c.check_out(outs[0], shape, plan.dtype()))?;
            if !meta && apart(outs[0]) {
                plan.compute(outs[0])?;
            } else if !meta {
                let aside = plan.spec()?.tensor()?;
                plan.compute(&aside)?;
                shape::copy_into(outs[0], &aside)?;
            }
        }
        Body::Kernel(infer, compute) => {
            let specs = infer(&c)?;
            want_outs(outs, specs.len())?;
            for (out, spec) in outs.iter().zip(&specs) {
                c.check_out(out, spec.layout.shape(), spec.dtype)?;
            }
            if !meta {
                let mut targets: Outs = memory::room(specs.len())?;
                for (&out, spec) in outs.iter().zip(specs) {
                    let fits = out.dtype() == spec.dtype && out.strides() == spec.layout.strides() && apart(out);
                    targets.push(if fits { out.clone() } else { spec.tensor()? });
                }
                let _locks = lock()?;
                compute(&c, &targets)?;
                for (out, t) in outs.iter().zip(&targets).filter(|(out, t)| !t.is_same(out)) {
                    shape::copy_into(out, t)?;
                }
            }
        }
        _ => unreachable!("{} makes its results itself", op.name),
    }
    for out in outs {
        out.0.storage.bump();
    }
    drop(_quiet);
    if listener::active() {
        let results: Outs = outs.iter().map(|t| (*t).clone()).collect();
        listener::called(op, false, inputs, attrs, &results);
    }
    Ok(())
}

/// [`call_into`] by name, checking the arguments against the declaration.
pub fn call_into_by_name(name: &str, inputs: &[Option<&Tensor>], attrs: &[Attr], outs: &[&Tensor]) -> Result<()> {
    let Some((op, false)) = find(name) else {
        bail!(Unsupported, "there is no op named {name:?} that makes results");
    };
    check_arguments(op, inputs, attrs).map_err(|e| e.in_op(name))?;
    call_into(op, inputs, attrs, outs)
}

/// Calls an op with one result.
#[inline]
pub fn call1(op: &'static OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<Tensor> {
    let mut result = call(op, inputs, attrs);
    match &mut result {
        Ok(outs) => outs.pop().ok_or_else(|| err!(Panic, "{} gave no result", op.name)),
        Err(_) => result.map(|_| unreachable!("an error")),
    }
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
    let kinds = find(name).map(|(op, _)| op.tensor_args().map(|a| a.kind));
    let mut kinds = kinds.into_iter().flatten();
    for t in inputs {
        let operand = kinds.next().is_some_and(|k| k.def().number);
        metas.push(match t {
            // A plain number stays one: its value may count.
            Some(t) if t.0.wrapped && operand && !metas.is_empty() => Some((*t).clone()),
            t => t.map(|t| t.without_its_elements()).transpose()?,
        });
    }
    let mut lent: SmallVec<[Option<&Tensor>; 4]> = memory::room(inputs.len())?;
    lent.extend(metas.iter().map(|t| t.as_ref()));
    let _on = On::enter(Device::Meta);
    let _quiet = listener::Quiet::enter();
    call_by_name(name, &lent, attrs)
}

/// Checks the number of tensors, and number and kinds of attributes, against the declaration.
pub fn check_arguments(op: &OpDef, inputs: &[Option<&Tensor>], attrs: &[Attr]) -> Result<()> {
    let Signature { singles, lists, attrs: wanted, .. } = op.signature;
    if inputs.len() < singles || (lists == 0 && inputs.len() != singles) {
        bail!(Value, "wanted {singles} tensor arguments, got {}", inputs.len());
    }
    if lists > 0 && !(inputs.len() - singles).is_multiple_of(lists) {
        bail!(Value, "its {lists} tensor lists must have equal lengths");
    }
    if attrs.len() != wanted {
        bail!(Value, "wanted {wanted} attributes, got {}", attrs.len());
    }
    match op.attr_args().zip(attrs).find(|(a, v)| !a.kind.takes(v)) {
        Some((a, v)) => bail!(Value, "attribute '{}' wants {}, got {v:?}", a.name, a.kind.def().wants),
        None => Ok(()),
    }
}
