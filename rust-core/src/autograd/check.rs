//! For unit tests: gradients beside central differences.

use super::walk::grad;
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::tensor::Tensor;

/// Numbers between -1 and 1 that look random.
pub(crate) fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    let n: usize = shape.iter().product();
    let data: Vec<f64> = (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (s >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect();
    Tensor::from_slice(&data, shape).unwrap()
}

type F<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// A number made of all elements, with uneven weights.
fn project(t: &Tensor, seed: u64) -> Result<Tensor> {
    t.mul(&noise(t.shape(), 1000 + seed))?.sum(None, false, None)
}

fn leaves(xs: &[Tensor]) -> Vec<Tensor> {
    let fresh = |x: &Tensor| {
        let t = x.alias();
        t.set_requires_grad(true).unwrap();
        t
    };
    xs.iter().map(fresh).collect()
}

fn first_order(f: F, xs: &[Tensor]) {
    let leaf = leaves(xs);
    let refs: Vec<&Tensor> = leaf.iter().collect();
    let y = project(&f(&leaf).unwrap(), 0).unwrap();
    let found = grad(&[&y], &[None], &refs, false, false).unwrap();
    for (i, g) in found.iter().enumerate() {
        let got = match g {
            Some(g) => {
                assert_eq!(g.shape(), xs[i].shape(), "gradient {i} has another shape");
                g.to_vec::<f64>().unwrap()
            }
            None => vec![0.0; xs[i].numel()],
        };
        let base = xs[i].to_vec::<f64>().unwrap();
        for e in 0..base.len() {
            let at = |h: f64| {
                let mut data = base.clone();
                data[e] += h;
                let mut moved = xs.to_vec();
                moved[i] = Tensor::from_slice(&data, xs[i].shape()).unwrap();
                // Leaves, so that a function may ask for gradients itself.
                project(&f(&leaves(&moved)).unwrap(), 0).unwrap().item().unwrap().f64()
            };
            let want = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((got[e] - want).abs() < 1e-6 * (1.0 + want.abs()), "input {i} element {e}: {} for {want}", got[e]);
        }
    }
}

/// Compares first and second derivatives of `f` with central differences.
pub(crate) fn gradcheck(f: F, xs: &[Tensor]) {
    first_order(f, xs);
    let second = |xs: &[Tensor]| -> Result<Tensor> {
        let refs: Vec<&Tensor> = xs.iter().collect();
        let y = project(&f(xs)?.mul(&f(xs)?)?, 7)?;
        let gs = grad(&[&y], &[None], &refs, true, true)?;
        let mut total = Tensor::filled(&[], Scalar::Float(0.0), DType::F64)?;
        for (i, g) in gs.iter().enumerate() {
            if let Some(g) = g {
                total = total.add(&project(g, 20 + i as u64)?, 1)?;
            }
        }
        Ok(total)
    };
    first_order(&second, xs);
}
