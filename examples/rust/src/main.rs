//! Trains a small network in Rust: which of two interleaved spirals does a point belong to?
//!
//! The exit status says whether the loss fell below `LOSS_WANTED`.

use rustorch::autograd::GradMode;
use rustorch::{manual_seed, Result, Tensor};
use std::process::ExitCode;

const LOSS_WANTED: f64 = 0.05;
const POINTS: usize = 194;
const HIDDEN: usize = 32;

/// Points on two spirals, and -1 or 1 for the spiral that each lies on.
fn spirals() -> Result<(Tensor, Tensor)> {
    let (mut points, mut side) = (Vec::new(), Vec::new());
    for i in 0..POINTS {
        let k = (i / 2) as f32;
        let (turn, radius) = (k / 16.0 * std::f32::consts::PI, 1.0 - k / 104.0);
        let sign = if i % 2 == 1 { 1.0 } else { -1.0 };
        points.extend([sign * radius * turn.sin(), sign * radius * turn.cos()]);
        side.push(sign);
    }
    Ok((Tensor::from_slice(&points, &[POINTS, 2])?, Tensor::from_slice(&side, &[POINTS, 1])?))
}

/// A parameter: normal numbers with standard deviation `scale`.
fn parameter(shape: &[usize], scale: f64) -> Result<Tensor> {
    let p = (&Tensor::randn(shape)? * scale)?;
    p.set_requires_grad(true)?;
    Ok(p)
}

/// Weights and biases, one layer after the other.
fn network() -> Result<Vec<Tensor>> {
    Ok(vec![
        parameter(&[HIDDEN, 2], 3.0)?,
        parameter(&[HIDDEN], 1.0)?,
        parameter(&[HIDDEN, HIDDEN], 0.3)?,
        parameter(&[HIDDEN], 0.1)?,
        parameter(&[1, HIDDEN], 0.3)?,
        parameter(&[1], 0.1)?,
    ])
}

fn forward(network: &[Tensor], x: &Tensor) -> Result<Tensor> {
    network.chunks(2).try_fold(x.clone(), |x, layer| x.linear(&layer[0], Some(&layer[1]))?.tanh())
}

fn train() -> Result<f64> {
    manual_seed(0);
    let (x, target) = spirals()?;
    let parameters = network()?;
    let zeros = || parameters.iter().map(|p| p.zeros_like(None)).collect::<Result<Vec<_>>>();
    let (means, squares) = (zeros()?, zeros()?);
    let none = vec![None; parameters.len()];
    let mut value = f64::INFINITY;
    for step in 1..=600 {
        let error = (&forward(&parameters, &x)? - &target)?;
        let loss = (&error * &error)?.mean(None, false, None)?;
        value = loss.item()?.f64();
        if step % 100 == 0 {
            println!("step {step:3}: loss {value:.4}");
        }
        loss.backward()?;
        let _no_grad = GradMode::set(false);
        Tensor::adam_step(
            &parameters,
            &none, // the gradients that backward has collected
            &means,
            &squares,
            &none,
            0.02,
            0.9,
            0.999,
            1e-8,
            0.0,
            step as f64,
            false,
            false,
            false,
        )?;
        for p in &parameters {
            p.set_grad(None)?;
        }
    }
    Ok(value)
}

fn main() -> ExitCode {
    match train() {
        Ok(loss) => {
            println!("final loss {loss:.4} (wanted: below {LOSS_WANTED})");
            ExitCode::from(u8::from(loss >= LOSS_WANTED))
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(2)
        }
    }
}
