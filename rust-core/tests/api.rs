//! The crate as a Rust program sees it.
#![allow(clippy::disallowed_types, clippy::disallowed_macros, clippy::disallowed_methods, reason = "tests")]

use rustorch::autograd::{grad, GradMode};
use rustorch::ops::{call_inplace, find, Attr};
use rustorch::{DType, Error, Kind, Result, Tensor};

#[test]
fn creation_in_few_words() -> Result<()> {
    rustorch::manual_seed(0);
    let a = Tensor::randn(&[3, 3])?;
    rustorch::manual_seed(0);
    assert_eq!(a.to_vec::<f32>()?, Tensor::randn(&[3, 3])?.to_vec::<f32>()?);
    assert_eq!(a.dtype(), DType::F32);
    assert_eq!(Tensor::zeros(&[2, 0])?.shape(), [2, 0]);
    assert_eq!(Tensor::ones(&[2])?.to_vec::<f64>()?, [1.0, 1.0]);
    assert_eq!(Tensor::full(&[2], 7)?.dtype(), DType::I64);
    assert_eq!(Tensor::eye(2)?.to_vec::<i32>()?, [1, 0, 0, 1]);
    assert!(Tensor::rand(&[100])?.to_vec::<f32>()?.iter().all(|x| (0.0..1.0).contains(x)));
    Ok(())
}

#[test]
fn operators_and_gradients() -> Result<()> {
    let x = Tensor::from_slice(&[1.0f64, 2.0, 3.0], &[3])?;
    x.set_requires_grad(true)?;
    let y = (&(&(&x * &x)? / 2.0)? - &(1.0 - &x)?)?;
    y.sum(None, false, None)?.backward()?;
    assert_eq!(x.grad().unwrap().to_vec::<f64>()?, [2.0, 3.0, 4.0]);
    assert_eq!((-&x)?.to_vec::<f64>()?, [-1.0, -2.0, -3.0]);
    let _no_grad = GradMode::set(false);
    assert!(!(&x * 2.0)?.requires_grad());
    Ok(())
}

#[test]
fn second_derivatives() -> Result<()> {
    let x = Tensor::from_slice(&[0.5f64], &[1])?;
    x.set_requires_grad(true)?;
    let y = x.sin()?;
    let first = grad(&[&y], &[None], &[&x], true, true)?.remove(0).unwrap();
    let second = grad(&[&first], &[None], &[&x], false, false)?.remove(0).unwrap();
    assert!((second.item()?.f64() + 0.5f64.sin()).abs() < 1e-15);
    Ok(())
}

#[test]
fn errors_are_data() {
    let (a, b) = (Tensor::zeros(&[2, 3]).unwrap(), Tensor::zeros(&[4, 5]).unwrap());
    let e: Error = a.matmul(&b).unwrap_err();
    assert_eq!((e.kind(), e.op()), (Kind::Shape, "matmul"));
    assert_eq!(e.both_shapes().unwrap(), (&[2, 3][..], &[4, 5][..]));
    assert!(e.to_string().starts_with("matmul: "));
    assert_eq!(Tensor::zeros(&[usize::MAX]).unwrap_err().kind(), Kind::Shape);
    assert_eq!(Tensor::zeros(&[1 << 45]).unwrap_err().kind(), Kind::Memory);
}

#[test]
fn a_long_chain_needs_no_deep_stack() -> Result<()> {
    let x = Tensor::ones(&[1])?;
    x.set_requires_grad(true)?;
    let mut y = x.clone();
    for _ in 0..100_000 {
        y = (&y * 1.0)?;
    }
    y.backward()?;
    assert_eq!(x.grad().unwrap().item()?.f64(), 1.0);
    drop(y);
    Ok(())
}

#[test]
fn tensors_travel_between_threads() -> Result<()> {
    let shared = Tensor::zeros(&[1000])?;
    let add_one = || -> Result<Tensor> {
        let (add, _) = find("add").unwrap();
        call_inplace(add, &[Some(&shared), Some(&Tensor::ones(&[1000])?)], &[Attr::Int(1)])
    };
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..50).for_each(|_| drop(add_one().unwrap())));
        }
    });
    assert!(shared.to_vec::<f32>()?.iter().all(|&v| v == 200.0));
    Ok(())
}

#[test]
fn places_that_several_elements_share_are_not_written() -> Result<()> {
    let base = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[4])?;
    let refused = |x: &Tensor, y: &Tensor| {
        let (add, _) = find("add").unwrap();
        let e = call_inplace(add, &[Some(x), Some(y)], &[Attr::Int(1)]).unwrap_err();
        assert!(e.to_string().contains("single memory location"), "{e}");
    };
    refused(&base.slice(0, Some(0), Some(1), 1)?.expand(&[4])?, &Tensor::ones(&[4])?);
    refused(&base.as_strided(&[3, 2], &[1, 1], None)?, &Tensor::ones(&[3, 2])?);
    refused(&base.slice(0, Some(0), Some(3), 1)?, &base.slice(0, Some(1), None, 1)?);
    assert_eq!((base.to_vec::<f32>()?, base.version()), (vec![1.0, 2.0, 3.0, 4.0], 0));
    Ok(())
}

#[test]
fn bytes_read_as_another_dtype_share_memory_and_version() -> Result<()> {
    let x = Tensor::from_slice(&[1.0f32, 2.0], &[2])?;
    let bits = x.view_dtype(DType::I32)?;
    assert_eq!(bits.to_vec::<i32>()?, [0x3f80_0000, 0x4000_0000]);
    call_inplace(find("zero").unwrap().0, &[Some(&bits)], &[])?;
    assert_eq!((x.to_vec::<f32>()?, x.version()), (vec![0.0; 2], 1));
    let bytes = Tensor::from_slice(&[0u8, 1, 2, 255], &[4])?;
    let truths = bytes.view_dtype(DType::Bool)?;
    assert_eq!(truths.to_vec::<bool>()?, [false, true, true, true]);
    assert_eq!(truths.nonzero()?.to_vec::<i64>()?, [1, 2, 3]);
    assert_eq!(truths.sum(None, false, None)?.item()?.i64(), 3);
    Ok(())
}
