//! The op language: expressions that gradient rules and expansions are written in. An [`Ex`] is a tensor, a number,
//! nothing, or an error that travels on, so that rules read as formulas. Everything goes through the funnel, so what is
//! written here can itself be differentiated.

use super::op::Vjp;
use crate::dtype::{DType, Scalar};
use crate::err;
use crate::error::{Error, Result};
use crate::shape::wrap_dim;
use crate::tensor::{Grads, Tensor};
use smallvec::SmallVec;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// An expression.
#[derive(Clone)]
pub enum Ex {
    /// A tensor.
    T(Tensor),
    /// A number.
    Num(f64),
    /// No gradient: a zero that costs nothing.
    None,
    /// Something went wrong.
    Err(Error),
}

impl From<Result<Tensor>> for Ex {
    fn from(r: Result<Tensor>) -> Ex {
        match r {
            Ok(t) => Ex::T(t),
            Err(e) => Ex::Err(e),
        }
    }
}
impl From<&Tensor> for Ex {
    fn from(t: &Tensor) -> Ex {
        Ex::T(t.clone())
    }
}
impl From<f64> for Ex {
    fn from(v: f64) -> Ex {
        Ex::Num(v)
    }
}
impl From<&Ex> for Ex {
    fn from(e: &Ex) -> Ex {
        e.clone()
    }
}

impl Ex {
    /// The tensor; None for nothing.
    pub fn value(self) -> Result<Option<Tensor>> {
        match self {
            Ex::T(t) => Ok(Some(t)),
            Ex::None => Ok(None),
            Ex::Num(v) => Tensor::number(Scalar::Float(v)).map(Some),
            Ex::Err(e) => Err(e),
        }
    }
    /// The tensor, where there must be one.
    pub fn tensor(self) -> Result<Tensor> {
        self.value()?.ok_or_else(|| err!(Panic, "a rule used an input that is not there"))
    }
    /// Applies `f` to the tensor; nothing stays nothing.
    pub fn then(&self, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Ex {
        match self {
            Ex::T(t) => f(t).into(),
            Ex::Num(v) => Tensor::number(Scalar::Float(*v)).and_then(|t| f(&t)).into(),
            Ex::None => Ex::None,
            Ex::Err(e) => Ex::Err(e.clone()),
        }
    }
    /// Applies `f` to both tensors; nothing if either is nothing.
    pub fn with(&self, other: impl Into<Ex>, f: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>) -> Ex {
        match other.into() {
            Ex::None => Ex::None,
            Ex::Err(e) => Ex::Err(e),
            other => match (self, other.tensor()) {
                (Ex::Err(e), _) => Ex::Err(e.clone()),
                (_, Err(e)) => Ex::Err(e),
                (x, Ok(o)) => x.then(|t| f(t, &o)),
            },
        }
    }
    /// True for nothing.
    pub fn is_none(&self) -> bool {
        matches!(self, Ex::None)
    }
}

fn join(
    a: Ex,
    b: Ex,
    zero: impl FnOnce(Ex, Ex) -> Ex,
    num: impl FnOnce(f64, f64) -> f64,
    f: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>,
) -> Ex {
    match (a, b) {
        (Ex::Err(e), _) | (_, Ex::Err(e)) => Ex::Err(e),
        (a, b) if a.is_none() || b.is_none() => zero(a, b),
        (Ex::Num(x), Ex::Num(y)) => Ex::Num(num(x, y)),
        (a, b) => a.with(b, f),
    }
}

/// A difference, in which truth values are numbers.
fn minus(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let truth = |t: &Tensor| t.dtype() == DType::Bool;
    if !truth(a) && !truth(b) {
        return a.sub(b, 1);
    }
    let counted = |t: &Tensor| if truth(t) { t.to_dtype(DType::I64) } else { Ok(t.clone()) };
    counted(a)?.sub(&counted(b)?, 1)
}

macro_rules! operator {
    ($trait:ident $m:ident, $zero:expr, $num:expr, $f:expr) => {
        operator!(@impl $trait $m $zero, $num, $f;
            Ex, Ex; Ex, &Ex; &Ex, Ex; &Ex, &Ex; Ex, f64; &Ex, f64; f64, Ex; f64, &Ex);
    };
    (@impl $trait:ident $m:ident $zero:expr, $num:expr, $f:expr; $($l:ty, $r:ty);+) => {
        $(impl $trait<$r> for $l {
            type Output = Ex;
            fn $m(self, rhs: $r) -> Ex {
                join(self.into(), rhs.into(), $zero, $num, $f)
            }
        })+
    };
}
operator!(Add add, |a: Ex, b: Ex| if a.is_none() { b } else { a }, |x, y| x + y, |a: &Tensor, b: &Tensor| a.add(b, 1));
operator!(Sub sub, |a: Ex, b: Ex| if a.is_none() { -b } else { a }, |x, y| x - y, minus);
operator!(Mul mul, |_, _| Ex::None, |x, y| x * y, |a: &Tensor, b: &Tensor| a.mul(b));
operator!(Div div, |_, _| Ex::None, |x, y| x / y, |a: &Tensor, b: &Tensor| a.div(b, ""));

impl Neg for Ex {
    type Output = Ex;
    fn neg(self) -> Ex {
        match self {
            Ex::Num(v) => Ex::Num(-v),
            e => e.then(|t| t.neg()),
        }
    }
}
impl Neg for &Ex {
    type Output = Ex;
    fn neg(self) -> Ex {
        -self.clone()
    }
}

/// Ops of one tensor and nothing else, as methods of expressions.
macro_rules! plain {
    ($($name:ident)+) => { impl Ex { $(
        #[doc = concat!("`", stringify!($name), "` of the table.")]
        pub fn $name(&self) -> Ex { self.then(|t| t.$name()) }
    )+ } };
}
plain!(neg exp log sqrt rsqrt sin cos tanh sign sgn abs reciprocal square sigmoid contiguous conj);

/// Comparisons, as methods of expressions.
macro_rules! compare {
    ($($name:ident)+) => { impl Ex { $(
        #[doc = concat!("`", stringify!($name), "` of the table: true where it holds.")]
        pub fn $name(&self, o: impl Into<Ex>) -> Ex { self.with(o, |a, b| a.$name(b)) }
    )+ } };
}
compare!(eq ne lt le gt ge);

impl Ex {
    /// Power with a fixed exponent.
    pub fn pow(&self, e: f64) -> Ex {
        self.then(|t| t.pow(&Tensor::number(Scalar::Float(e))?))
    }
    /// Sum over `dims` (all if empty).
    pub fn sum(&self, dims: &[i64], keepdim: bool) -> Ex {
        self.then(|t| t.sum(Some(dims), keepdim, None))
    }
    /// New shape.
    pub fn reshape(&self, shape: &[i64]) -> Ex {
        self.then(|t| t.reshape(shape))
    }
    /// Repeats dimensions of size 1.
    pub fn expand(&self, shape: &[i64]) -> Ex {
        self.then(|t| t.expand(shape))
    }
    /// Inserts a dimension of size 1.
    pub fn unsqueeze(&self, dim: i64) -> Ex {
        self.then(|t| t.unsqueeze(dim))
    }
    /// Exchanges two dimensions.
    pub fn transpose(&self, a: i64, b: i64) -> Ex {
        self.then(|t| t.transpose(a, b))
    }
    /// Last two dimensions exchanged.
    pub fn mt(&self) -> Ex {
        self.transpose(-2, -1)
    }
    /// Last two dimensions exchanged, complex numbers conjugated.
    pub fn mh(&self) -> Ex {
        self.mt().conj()
    }
    /// Matrix product.
    pub fn matmul(&self, o: impl Into<Ex>) -> Ex {
        self.with(o, |a, b| a.matmul(b))
    }
    /// `if mask { self } else { 0 }`; the mask carries no gradient.
    pub fn keep(&self, mask: impl Into<Ex>) -> Ex {
        self.with(mask, |a, m| Tensor::where_(m, a, &Tensor::number(Scalar::Int(0))?))
    }
    /// Puts back the dimensions of size 1 that a reduction over `dims` (without keepdim) took away.
    pub fn restore(&self, dims: &[i64], keepdim: bool, shape: &[usize]) -> Ex {
        if keepdim || shape.is_empty() {
            return self.clone();
        }
        self.then(|t| {
            let mut full: SmallVec<[i64; 8]> = shape.iter().map(|&d| d as i64).collect();
            if dims.is_empty() {
                full.iter_mut().for_each(|d| *d = 1);
            }
            for &d in dims {
                full[wrap_dim(d, shape.len())?] = 1;
            }
            t.reshape(&full)
        })
    }
}

/// Sums a tensor to a shape that broadcasts to its own.
pub fn sum_to(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let lead = t.ndim().checked_sub(shape.len());
    let Some(lead) = lead else {
        return Err(Error::shapes("", format!("cannot sum {:?} to {shape:?}", t.shape()), t.shape(), shape));
    };
    let mut dims: SmallVec<[i64; 8]> = (0..lead as i64).collect();
    for (i, &n) in shape.iter().enumerate() {
        match (n, t.shape()[lead + i]) {
            (a, b) if a == b => {}
            (1, _) => dims.push((lead + i) as i64),
            _ => return Err(Error::shapes("", format!("cannot sum {:?} to {shape:?}", t.shape()), t.shape(), shape)),
        }
    }
    let s = if dims.is_empty() { t.clone() } else { t.sum(Some(&dims), true, None)? };
    let signed: SmallVec<[i64; 8]> = shape.iter().map(|&d| d as i64).collect();
    if s.dtype() != t.dtype() {
        return s.to_dtype(t.dtype())?.reshape(&signed);
    }
    s.reshape(&signed)
}

/// Runs `f` on half floats as float32 and rounds its result once, as composite ops of several terms should. Tensors that are
/// not all of one half dtype are left as they are.
pub fn rounded_once<const N: usize>(
    inputs: [&Tensor; N],
    f: impl FnOnce([&Tensor; N]) -> Result<Tensor>,
) -> Result<Tensor> {
    let d = inputs[0].dtype();
    if !matches!(d, DType::F16 | DType::BF16) || inputs.iter().any(|t| t.dtype() != d) {
        return f(inputs);
    }
    let wide: SmallVec<[Tensor; 4]> = inputs.iter().map(|t| t.to_dtype(DType::F32)).collect::<Result<_>>()?;
    f(std::array::from_fn(|i| &wide[i]))?.to_dtype(d)
}

/// Each tensor with at least `n` dimensions, as `hstack` and its siblings see it.
pub(crate) fn at_least(t: &Tensor, n: usize) -> Result<Tensor> {
    match (n, t.ndim()) {
        (1 | 2, 0) => t.reshape(&[1, 1][..n]),
        (2, 1) => t.unsqueeze(0),
        (3, 0) => t.reshape(&[1, 1, 1]),
        (3, 1) => t.unsqueeze(0)?.unsqueeze(-1),
        (3, 2) => t.unsqueeze(-1),
        _ => Ok(t.clone()),
    }
}

/// What a rule may give: one expression, several, or ready gradients.
pub trait IntoGrads {
    /// As gradients.
    fn grads(self) -> Result<Grads>;
}
impl IntoGrads for Ex {
    fn grads(self) -> Result<Grads> {
        Ok(Grads::from_iter([self.value()?]))
    }
}
impl<const N: usize> IntoGrads for [Ex; N] {
    fn grads(self) -> Result<Grads> {
        self.into_iter().map(Ex::value).collect()
    }
}
impl IntoGrads for SmallVec<[Ex; 4]> {
    fn grads(self) -> Result<Grads> {
        self.into_iter().map(Ex::value).collect()
    }
}
impl IntoGrads for Result<Grads> {
    fn grads(self) -> Result<Grads> {
        self
    }
}

/// The dtype of sums: whole numbers and truth values add up in int64.
pub fn sum_dtype(d: DType) -> DType {
    if d.is_differentiable() {
        d
    } else {
        DType::I64
    }
}

// ---- what a rule sees ----

impl Vjp<'_> {
    /// Gradient of the first output.
    pub fn g(&self) -> Ex {
        self.gk(0)
    }
    /// Gradient of output `k`; zeros if nothing flows there.
    pub fn gk(&self, k: usize) -> Ex {
        match &self.grads[k] {
            Some(g) => Ex::T(g.clone()),
            None => {
                let (shape, dtype) = &self.outputs[k];
                Ex::from(Tensor::filled(shape, Scalar::Int(0), *dtype))
            }
        }
    }
    /// True if a gradient reaches output `k`.
    pub fn has(&self, k: usize) -> bool {
        self.grads[k].is_some()
    }
    /// Saved input `i`; nothing if it was not given.
    pub fn x(&self, i: usize) -> Ex {
        self.call.input(i).map_or(Ex::None, Ex::from)
    }
    /// Saved output.
    pub fn y(&self) -> Ex {
        self.yk(0)
    }
    /// Saved output `k`.
    pub fn yk(&self, k: usize) -> Ex {
        self.call.output(k).map_or_else(|| Ex::Err(err!(Panic, "output {k} was not saved")), Ex::from)
    }
    /// True if input `i` wants a gradient.
    pub fn need(&self, i: usize) -> bool {
        self.call.needs(i)
    }
    /// The expression if input `i` wants a gradient.
    pub fn want(&self, i: usize, f: impl FnOnce() -> Ex) -> Ex {
        if self.need(i) {
            f()
        } else {
            Ex::None
        }
    }
    /// Shape of input `i`.
    pub fn shape(&self, i: usize) -> &[usize] {
        &self.inputs[i].0
    }
    /// Shape of input `i` as signed sizes.
    pub fn sizes(&self, i: usize) -> SmallVec<[i64; 8]> {
        self.shape(i).iter().map(|&d| d as i64).collect()
    }
    /// Dtype of input `i`.
    pub fn dtype(&self, i: usize) -> DType {
        self.inputs[i].1
    }
    /// Number of inputs.
    pub fn len(&self) -> usize {
        self.inputs.len()
    }
    /// True if the op has no inputs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
