//! The values of attributes, and how bodies and rules read them.

use crate::dtype::{DType, Scalar};
use crate::random::GeneratorHandle;

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
pub(super) use attr_readers;
