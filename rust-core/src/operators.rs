//! Rust operators: `&a + &b`, `&a * 2.0` and so on give `Result<Tensor>`.

use crate::dtype::Scalar;
use crate::error::Result;
use crate::tensor::Tensor;
use std::ops::{Add, Div, Mul, Neg, Sub};

macro_rules! operator {
    ($trait:ident $m:ident, $f:expr) => {
        impl $trait<&Tensor> for &Tensor {
            type Output = Result<Tensor>;
            fn $m(self, rhs: &Tensor) -> Result<Tensor> {
                $f(self, rhs)
            }
        }
        impl $trait<f64> for &Tensor {
            type Output = Result<Tensor>;
            fn $m(self, rhs: f64) -> Result<Tensor> {
                $f(self, &Tensor::number(Scalar::Float(rhs))?)
            }
        }
        impl $trait<&Tensor> for f64 {
            type Output = Result<Tensor>;
            fn $m(self, rhs: &Tensor) -> Result<Tensor> {
                $f(&Tensor::number(Scalar::Float(self))?, rhs)
            }
        }
    };
}
operator!(Add add, |a: &Tensor, b: &Tensor| a.add(b, 1));
operator!(Sub sub, |a: &Tensor, b: &Tensor| a.sub(b, 1));
operator!(Mul mul, |a: &Tensor, b: &Tensor| a.mul(b));
operator!(Div div, |a: &Tensor, b: &Tensor| a.div(b, ""));

impl Neg for &Tensor {
    type Output = Result<Tensor>;
    fn neg(self) -> Result<Tensor> {
        Tensor::neg(self)
    }
}

impl Tensor {
    /// Adds the gradients of this one-element tensor to the leaves it was made from.
    pub fn backward(&self) -> Result<()> {
        crate::autograd::backward(&[self], &[None], None, false, false)
    }
}
