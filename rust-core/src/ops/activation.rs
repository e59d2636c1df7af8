//! Activations and softmax.

use crate::{bail, kernel, with_complex};
use crate::dtype::{Compute, DType, Scalar};
use crate::engine::copy::{contiguous_unlocked, copy_into, written_as};
use crate::engine::elementwise::Plan;
use crate::engine::promotion::Promote;
use crate::error::Result;
use crate::kernels::elementwise::{Loops, Params};
use crate::kernels::softmax::{Mode, self};
use crate::shape::wrap_dim;
use crate::table::{Call, Refusal, Saves, Spec, Specs, Takes, Vjp, one, Cast};
use crate::table::lang::Ex;
use crate::table::loops::{clamp_to, float1, float2, run};
use crate::table::rules::zeros;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

// Klambauer et al., Self-Normalizing Neural Networks (2017): the fixed point of mean 0 and variance 1.
const SELU_ALPHA: f64 = 1.6732632423543772;
const SELU_SCALE: f64 = 1.0507009873554805;

/// Runs a loop with some numbers as its parameters.
fn with<'a, const N: usize>(c: &Call<'a>, k: &'static Loops, numbers: &[f64]) -> Result<Plan<'a>> {
    let mut p = Params::default();
    p.f[..numbers.len()].copy_from_slice(numbers);
    run::<N>(c, k, Promote::Common, p)
}

/// sqrt(1/2) and 1/sqrt(2 pi); sqrt(2/pi) and the cubic coefficient of the approximation.
const GELU: [f64; 2] = [FRAC_1_SQRT_2, 0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2];
const GELU_TANH: [f64; 2] = [FRAC_2_SQRT_PI * FRAC_1_SQRT_2, 0.044715];

fn gelu_by_tanh(approximate: &str) -> Result<bool> {
    match approximate {
        "none" => Ok(false),
        "tanh" => Ok(true),
        other => bail!(Value, "approximate argument must be either none or tanh, got {other:?}"),
    }
}

fn eval_gelu<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    if gelu_by_tanh(c.str(0))? {
        let k = kernel!(float | x, p | 0.5 * x * (1.0 + Real::tanh(p[0] * (x + p[1] * x * x * x))));
        return with::<1>(c, k, &GELU_TANH);
    }
    with::<1>(c, kernel!(float | x, p | 0.5 * x * (1.0 + Real::erf(x * p[0]))), &GELU)
}

fn eval_gelu_backward<'a>(c: &Call<'a>) -> Result<Plan<'a>> {
    if gelu_by_tanh(c.str(0))? {
        let k = kernel!(
            float | g,
            x,
            p | {
                let t = Real::tanh(p[0] * (x + p[1] * x * x * x));
                let slope = p[0] * (1.0 + 3.0 * p[1] * x * x);
                g * 0.5 * ((1.0 + t) + x * (1.0 - t * t) * slope)
            }
        );
        return with::<2>(c, k, &GELU_TANH);
    }
    let k = kernel!(float | g, x, p | g * (0.5 * (1.0 + Real::erf(x * p[0])) + x * p[1] * Real::exp(-0.5 * x * x)));
    with::<2>(c, k, &GELU)
}

/// The second derivative of GELU.
fn gelu_curvature(x: &Ex, approximate: &str) -> Ex {
    if approximate != "tanh" {
        return (x.square() * -0.5).exp() * GELU[1] * (2.0 - x.square());
    }
    let [k, c] = GELU_TANH;
    let t = ((x + x.pow(3.0) * c) * k).tanh();
    let slope = (x.square() * (3.0 * c) + 1.0) * k;
    let falling = 1.0 - t.square();
    &falling * &slope + x * 0.5 * (&falling * (x * (6.0 * c * k)) - t * 2.0 * &falling * slope.square())
}

fn eval_elu<'a>(c: &Call<'a>, alpha: f64, scale: f64, input_scale: f64) -> Result<Plan<'a>> {
    let k = kernel!(float | x, p | if x > 0.0 { x * p[1] } else { Real::expm1(x * p[2]) * p[0] });
    with::<1>(c, k, &[alpha * scale, scale, input_scale])
}

fn elu_grad(v: &Vjp, alpha: f64, scale: f64, input_scale: f64) -> Ex {
    v.g().with(v.x(0), |g, x| Tensor::elu_backward(g, x, alpha, scale, input_scale))
}

fn celu_alpha(c: &Call) -> Result<f64> {
    match c.float(0) {
        0.0 => bail!(Value, "ZeroDivisionError: alpha cannot be 0 for CELU"),
        a => Ok(a),
    }
}

/// Where the dimension of a softmax goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    First,
    Last,
}

/// A softmax of `N` inputs along attribute 0.
fn infer_softmax<const N: usize>(c: &Call, dtype: DType) -> Result<Specs> {
    let x = c.x(0);
    if !dtype.is_float() {
        bail!(DType, "not implemented for dtype {dtype}");
    }
    wrap_dim(c.int(0), x.ndim())?;
    if N == 2 && c.x(1).shape() != x.shape() {
        bail!(Shape, "wanted two tensors of one shape, got {:?} and {:?}", x.shape(), c.x(1).shape());
    }
    Spec::rows(x.shape(), dtype)?.one()
}

fn compute_softmax<const N: usize>(c: &Call, outs: &[Tensor], mode: Mode) -> Result<()> {
    let (x, out) = (c.x(0), &outs[0]);
    let d = wrap_dim(c.int(0), x.ndim())?;
    let (n, inner) = match x.ndim() {
        0 => (1, 1),
        _ => (x.shape()[d], x.shape()[d + 1..].iter().product()),
    };
    // Short rows and few columns do not fill vectors: such a tensor is turned, so that the dimension comes last (rows)
    // or first (columns).
    let others = x.numel() / n.max(1);
    let turn = match inner {
        1 if n >= 64 || others < 16 => None,
        1 => Some(Turn::First),
        2..16 if n >= 64 || others < 16 => Some(Turn::Last),
        2..16 => Some(Turn::First),
        _ => None,
    };
    let first = (turn == Some(Turn::First)).then_some(d);
    let last = (turn == Some(Turn::Last)).then_some(d);
    let rest = (0..x.ndim()).filter(|&k| turn.is_none() || k != d);
    let order: SmallVec<[usize; 8]> = first.into_iter().chain(rest).chain(last).collect();
    let compute = out.dtype().compute_dtype();
    let ready = |t: &Tensor| contiguous_unlocked(&t.with_layout(t.layout().permute(&order)), compute, false);
    let a = ready(x)?;
    let y = if N == 2 { ready(c.x(1))? } else { a.clone() };
    let sizes = match turn {
        _ if a.numel() == 0 => [0; 3],
        None => [others / inner, n, inner],
        Some(Turn::First) => [1, n, others],
        Some(Turn::Last) => [others, n, 1],
    };
    let write = |out: &Tensor| {
        // SAFETY: three row-major blocks of the compute type with these sizes.
        unsafe {
            match compute.compute() {
                Compute::F64 => softmax::run::<f64>(mode, a.ptr(), y.ptr(), out.ptr(), sizes),
                _ => softmax::run::<f32>(mode, a.ptr(), y.ptr(), out.ptr(), sizes),
            }
        }
        Ok(())
    };
    if turn.is_none() {
        return written_as(out, compute, write);
    }
    let turned = Tensor::empty_of(a.shape(), compute)?;
    write(&turned)?;
    let mut back: SmallVec<[usize; 8]> = SmallVec::from_elem(0, order.len());
    order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
    copy_into(out, &turned.with_layout(turned.layout().permute(&back)))
}

/// The dtype of a softmax.
fn softmax_dtype(c: &Call) -> DType {
    c.opt_dtype(1).unwrap_or(c.x(0).dtype())
}

/// The weight of `prelu`, shaped to broadcast along the channels of the input.
fn channel_weight(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    if w.ndim() > 1 {
        bail!(Shape, "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {}", w.ndim());
    }
    if w.dtype() != x.dtype() {
        bail!(DType, "prelu: Type promoting not supported. Got {} and {}", x.dtype(), w.dtype());
    }
    let channels = if x.ndim() >= 2 { x.shape()[1] } else { 1 };
    if w.numel() != 1 && x.ndim() == 0 {
        bail!(Shape, "Not allow zero-dim input tensor.");
    }
    if w.numel() != 1 && w.numel() != channels {
        bail!(
            Shape,
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = {} and channel size = \
            {channels}.",
            w.numel()
        );
    }
    let mut shape: SmallVec<[i64; 8]> = SmallVec::from_elem(1, x.ndim());
    if x.ndim() >= 2 {
        shape[1] = w.numel() as i64;
    }
    w.reshape(&shape)
}

fn not_bool(t: &Tensor) -> Result<()> {
    if t.dtype() == DType::Bool {
        bail!(DType, "not implemented for dtype bool");
    }
    Ok(())
}

ops! {
    /// `1 / (1 + e^-input)`.
    sigmoid(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|a| Real::sigmoid(a); |z| z.sigmoid())),
        vjp: vjp!(|v| v.g().with(v.y(), Tensor::sigmoid_backward)), saves: Saves::OUTPUT,
        inplace: true, onnx: Some("Sigmoid"), c: Some("1 / (1 + exp{f}(-{x}))"),
    }

    /// Gradient of `sigmoid`: `grad_output * output * (1 - output)`.
    sigmoid_backward(grad_output: Tensor, output: Tensor) -> Tensor, Probability {
        body: Elementwise(float2!(|g, y| g * (y * (1.0 - y)); |g, y| g * (y * (c(1.0, 0.0) - y)))),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), Tensor::sigmoid_backward)),
            v.want(1, || v.g() * v.x(0) * (1.0 - v.x(1) * 2.0)),
        ]),
        saves: Saves::XB, method: false, function: false,
    }

    /// `max(input, 0)`.
    relu(input: Tensor) -> Tensor, NonZero {
        body: Elementwise(|c| {
            if c.x(0).dtype() == DType::Bool {
                bail!(DType, "Boolean inputs not supported for relu");
            }
            let k = kernel!(split |x, _p| if x < 0.0 { 0.0 } else { x }; |x, _p| x.max(0));
            run::<1>(c, k, Promote::Common, Params::default())
        }),
        vjp: vjp!(|v| v.g().with(v.y(), |g, y| Tensor::threshold_backward(g, y, 0))), saves: Saves::OUTPUT,
        inplace: true, onnx: Some("Relu"), c: Some("{x} > 0 ? {x} : 0"),
        refuses: &[Refusal { call: "rt.tensor([True])", message: "Boolean inputs" }],
    }

    /// `input` where it is greater than `threshold`, else `value`.
    threshold(input: Tensor, threshold: Scalar, value: Scalar) -> Tensor, NonZero {
        body: Elementwise(|c| {
            let k = kernel!(split |x, p| if x <= p[0] { p[1] } else { x }; |x, p| if x <= p[0] { p[1] } else { x });
            let held = |i| c.scalar(i).held_by(c.x(0).dtype());
            run::<1>(c, k, Promote::Common, Params::new(&[held(0)?, held(1)?]))
        }),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::threshold_backward(g, x, v.scalar(0)))), saves: Saves::X,
        inplace: true, method: false,
        samples: &["t([-1.0, 0.05, 0.3]), 0.1, 7.0"],
    }

    /// `grad_output` where `input` is greater than `threshold`, else 0.
    threshold_backward(grad_output: Tensor, input: Tensor, threshold: Scalar) -> Tensor, NonZero {
        body: Elementwise(|c| with::<2>(c, kernel!(float |g, x, p| if x <= p[0] { 0.0 } else { g }), &[c.float(0)])),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, x| Tensor::threshold_backward(g, x, v.scalar(0)))),
            zeros(v, 1),
        ]),
        saves: Saves::B, method: false, function: false,
        samples: &["r(3), t([-1.0, 0.05, 0.3]), 0.1"],
    }

    /// `min(max(input, 0), 6)`.
    relu6(input: Tensor) -> Tensor, NonZero {
        body: Elementwise(|c| {
            not_bool(c.x(0))?;
            clamp_to(c, Some(Scalar::Int(0)), Some(Scalar::Int(6)))
        }),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::hardtanh_backward(g, x, 0, 6))), saves: Saves::X,
        inplace: true, method: false, function: false,
        samples: &["t([-1.0, 2.0, 7.0])"],
    }

    /// `input` brought into `[min_val, max_val]`.
    hardtanh(input: Tensor, min_val: Scalar = -1, max_val: Scalar = 1) -> Tensor, Real {
        body: Elementwise(|c| {
            not_bool(c.x(0))?;
            if c.float(0) > c.float(1) {
                bail!(Value, "min_val cannot be greater than max_val, got {} and {}", c.float(0), c.float(1));
            }
            if c.x(0).dtype() == DType::U8 && c.float(0) < 0.0 {
                bail!(Value, "cannot bring unsigned numbers into bounds from {}", c.scalar(0));
            }
            let d = c.x(0).dtype();
            let whole = |s: Scalar| s.held_by(d).map(|s| if d.is_float() { s } else { Scalar::Int(s.i64()) });
            clamp_to(c, Some(whole(c.scalar(0))?), Some(whole(c.scalar(1))?))
        }),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::hardtanh_backward(g, x, v.scalar(0), v.scalar(1)))),
        saves: Saves::X,
        inplace: true, method: false, function: false, onnx: Some("Clip"),
        samples: &["t([-3.0, 0.4, 1.7]), -2, 1.5", "r(3)"],
    }

    /// `grad_output` where `input` lies strictly between the bounds, else 0.
    hardtanh_backward(grad_output: Tensor, input: Tensor, min_val: Scalar, max_val: Scalar) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |g, x, p| if (x <= p[0]) | (x >= p[1]) { 0.0 } else { g });
            with::<2>(c, k, &[c.float(0), c.float(1)])
        }),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, x| Tensor::hardtanh_backward(g, x, v.scalar(0), v.scalar(1)))),
            zeros(v, 1),
        ]),
        saves: Saves::B, method: false, function: false,
        samples: &["r(3), t([-3.0, 0.4, 1.7]), -2, 1.5"],
    }

    /// `input` where it is positive, else `negative_slope * input`.
    leaky_relu(input: Tensor, negative_slope: Scalar = 0.01) -> Tensor, NonZero {
        body: Elementwise(|c| with::<1>(c, kernel!(float |x, p| if x > 0.0 { x } else { x * p[0] }), &[c.float(0)])),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::leaky_relu_backward(g, x, v.scalar(0)))), saves: Saves::X,
        inplace: true, method: false, function: false, onnx: Some("LeakyRelu"),
        samples: &["z(4), 0.3"],
    }

    /// Gradient of `leaky_relu`.
    leaky_relu_backward(grad_output: Tensor, input: Tensor, negative_slope: Scalar) -> Tensor, NonZero {
        body: Elementwise(|c| with::<2>(c, kernel!(float |g, x, p| if x > 0.0 { g } else { g * p[0] }), &[c.float(0)])),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, x| Tensor::leaky_relu_backward(g, x, v.scalar(0)))),
            zeros(v, 1),
        ]),
        saves: Saves::B, method: false, function: false,
        samples: &["r(4), z(4), 0.3"],
    }

    /// `input` where it is positive, else `weight * input`; `weight` holds one number, or one per channel (dimension
    /// 1).
    prelu(input: Tensor, weight: Tensor) -> Tensor, Special {
        cast: Cast::Lower,
        body: Composite(|c| one(Tensor::prelu_channels(c.x(0), &channel_weight(c.x(0), c.x(1))?)?)),
        onnx: Some("PRelu"),
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(2)", message: "channel size" }],
        samples: &["z(2, 3, 2), p(3)", "z(4), p(1)"],
    }

    /// `prelu` with a weight that broadcasts.
    prelu_channels(input: Tensor, weight: Tensor) -> Tensor, NonZero {
        body: Elementwise(|c| with::<2>(c, kernel!(float |x, w, _p| if x > 0.0 { x } else { x * w }), &[])),
        vjp: vjp!(|v| {
            let positive = v.x(0).gt(0.0);
            [
                v.want(0, || positive.then(|m| Tensor::where_(m, &v.g().tensor()?, &(v.g() * v.x(1)).tensor()?))),
                v.want(1, || (v.g() * v.x(0)).keep(positive.then(|m| m.logical_not()))),
            ]
        }),
        saves: Saves::XB, method: false, function: false,
        samples: &["z(2, 3), p(3)"],
    }

    /// `scale * input` where it is positive, else `scale * alpha * (e^(input_scale * input) - 1)`.
    elu(input: Tensor, alpha: Scalar = 1, scale: Scalar = 1, input_scale: Scalar = 1) -> Tensor, NonZero {
        body: Elementwise(|c| eval_elu(c, c.float(0), c.float(1), c.float(2))),
        vjp: vjp!(|v| elu_grad(v, v.float(0), v.float(1), v.float(2))), saves: Saves::X,
        inplace: true, method: false, function: false, onnx: Some("Elu"),
        samples: &["z(4)", "z(4), 1.5, 0.7, 1.2"],
    }

    /// `elu` with the constants that keep mean 0 and variance 1 (Klambauer et al., 2017).
    selu(input: Tensor) -> Tensor, NonZero {
        body: Elementwise(|c| eval_elu(c, SELU_ALPHA, SELU_SCALE, 1.0)),
        vjp: vjp!(|v| elu_grad(v, SELU_ALPHA, SELU_SCALE, 1.0)), saves: Saves::X,
        inplace: true, method: false, onnx: Some("Selu"),
    }

    /// `max(input, 0) + min(alpha * (e^(input / alpha) - 1), 0)`.
    celu(input: Tensor, alpha: Scalar = 1.0) -> Tensor, NonZero {
        body: Elementwise(|c| {
            let alpha = celu_alpha(c)?;
            eval_elu(c, alpha, 1.0, 1.0 / alpha)
        }),
        vjp: vjp!(|v| elu_grad(v, v.float(0), 1.0, 1.0 / v.float(0))), saves: Saves::X,
        inplace: true, method: false, onnx: Some("Celu"),
        refuses: &[Refusal { call: "rt.ones(1), 0.0", message: "alpha cannot be 0" }],
        samples: &["z(4), 1.7"],
    }

    /// Gradient of `elu`.
    elu_backward(
        grad_output: Tensor, input: Tensor, alpha: Scalar, scale: Scalar, input_scale: Scalar,
    ) -> Tensor, NonZero {
        body: Elementwise(|c| {
            let k = kernel!(float |g, x, p| if x > 0.0 { g * p[1] } else { g * p[0] * Real::exp(x * p[2]) });
            with::<2>(c, k, &[c.float(0) * c.float(1) * c.float(2), c.float(1), c.float(2)])
        }),
        vjp: vjp!(|v| {
            let (alpha, scale, inner) = (v.float(0), v.float(1), v.float(2));
            [
                v.want(0, || v.g().with(v.x(1), |g, x| Tensor::elu_backward(g, x, alpha, scale, inner))),
                v.want(1, || {
                    let curve = (v.x(1) * inner).exp() * (alpha * scale * inner * inner);
                    (v.g() * v.x(0) * curve).keep(v.x(1).le(0.0))
                }),
            ]
        }),
        saves: Saves::XB, method: false, function: false,
        samples: &["r(4), z(4), 1.5, 0.7, 1.2"],
    }

    /// `input * P(X <= input)` for a standard normal X (Hendrycks and Gimpel, 2016); `approximate` is "none" or "tanh".
    gelu(input: Tensor, approximate: Str = "none") -> Tensor, Real {
        body: Elementwise(eval_gelu),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::gelu_backward(g, x, v.str(0)))), saves: Saves::X,
        method: false, function: false, onnx: Some("Gelu"),
        refuses: &[Refusal { call: "rt.ones(1), approximate='erf'", message: "either none or tanh" }],
        samples: &["r(4)", "r(4), 'tanh'"],
    }

    /// Gradient of `gelu`.
    gelu_backward(grad_output: Tensor, input: Tensor, approximate: Str = "none") -> Tensor, Real {
        body: Elementwise(eval_gelu_backward),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, x| Tensor::gelu_backward(g, x, v.str(0)))),
            v.want(1, || v.g() * v.x(0) * gelu_curvature(&v.x(1), v.str(0))),
        ]),
        saves: Saves::XB, method: false, function: false,
        samples: &["r(4), r(4)", "r(4), r(4), 'tanh'"],
    }

    /// `input * sigmoid(input)`.
    silu(input: Tensor) -> Tensor, Real {
        body: Elementwise(|call| {
            let k = with_complex!(kernel!(float |x, _p| x * Real::sigmoid(x)), put |z; _p| z * z.sigmoid());
            with::<1>(call, k, &[])
        }),
        vjp: vjp!(|v| v.g().with(v.x(0), Tensor::silu_backward)), saves: Saves::X,
        inplace: true, method: false, function: false,
    }

    /// Gradient of `silu`.
    silu_backward(grad_output: Tensor, input: Tensor) -> Tensor, Real {
        body: Elementwise(|call| {
            let k = with_complex!(kernel!(float |g, x, _p| {
                let s = Real::sigmoid(x);
                g * s * (1.0 + x * (1.0 - s))
            }), put |g, z; _p| {
                let (s, one) = (z.sigmoid(), c(1.0, 0.0));
                g * s * (one + z * (one - s))
            });
            with::<2>(call, k, &[])
        }),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), Tensor::silu_backward)),
            v.want(1, || {
                let s = v.x(1).sigmoid();
                let slope = &s * (1.0 - &s);
                v.g() * v.x(0) * slope * (v.x(1) * (1.0 - s * 2.0) + 2.0)
            }),
        ]),
        saves: Saves::XB, method: false, function: false,
    }

    /// `input * tanh(softplus(input))` (Misra, 2019).
    mish(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |x, _p| {
                // tanh(log(1 + e)) = (e² + 2e) / (e² + 2e + 2)
                let e = Real::exp(if x > 20.0 { 20.0 } else { x });
                let m = e * (e + 2.0);
                x * (m / (m + 2.0))
            });
            with::<1>(c, k, &[])
        }),
        vjp: vjp!(|v| v.g().with(v.x(0), Tensor::mish_backward)), saves: Saves::X,
        inplace: true, method: false, function: false, onnx: Some("Mish"),
    }

    /// Gradient of `mish`.
    mish_backward(grad_output: Tensor, input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |g, x, _p| {
                let e = Real::exp(if x > 20.0 { 20.0 } else { x });
                let m = e * (e + 2.0);
                let t = m / (m + 2.0);
                g * (t + x * Real::sigmoid(x) * (1.0 - t * t))
            });
            with::<2>(c, k, &[])
        }),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), Tensor::mish_backward)),
            v.want(1, || {
                let x = v.x(1);
                let t = x.then(|x| x.softplus(1, 20)).tanh();
                let s = x.sigmoid();
                let slope = &s * (1.0 - t.square());
                v.g() * v.x(0) * slope * (&x * (1.0 - &s) + 2.0 - &x * 2.0 * t * s)
            }),
        ]),
        saves: Saves::XB, method: false, function: false,
    }

    /// `log(1 + e^(beta * input)) / beta`, and `input` itself where `beta * input > threshold`.
    softplus(input: Tensor, beta: Scalar = 1, threshold: Scalar = 20) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |x, p| {
                let soft = Real::log1p(Real::exp(x * p[0])) / p[0];
                if x * p[0] > p[1] { x } else { soft }
            });
            with::<1>(c, k, &[c.float(0), c.float(1)])
        }),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::softplus_backward(g, x, v.scalar(0), v.scalar(1)))),
        saves: Saves::X,
        method: false, function: false, onnx: Some("Softplus"),
        samples: &["r(4)", "t([-1.0, 0.3, 0.9]), 2, 1"],
    }

    /// Gradient of `softplus`.
    softplus_backward(grad_output: Tensor, input: Tensor, beta: Scalar, threshold: Scalar) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |g, x, p| {
                let soft = g * Real::sigmoid(x * p[0]);
                if x * p[0] > p[1] { g } else { soft }
            });
            with::<2>(c, k, &[c.float(0), c.float(1)])
        }),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, x| Tensor::softplus_backward(g, x, v.scalar(0), v.scalar(1)))),
            v.want(1, || {
                let t = v.x(1) * v.float(0);
                let s = t.sigmoid();
                (v.g() * v.x(0) * (&s * (1.0 - &s) * v.float(0))).keep(t.le(v.float(1)))
            }),
        ]),
        saves: Saves::XB, method: false, function: false,
        samples: &["r(3), t([-1.0, 0.3, 0.9]), 2, 1"],
    }

    /// `log(sigmoid(input))`.
    logsigmoid(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |x, _p| (if x < 0.0 { x } else { 0.0 }) - Real::log1p(Real::exp(-x.abs())));
            with::<1>(c, k, &[])
        }),
        vjp: vjp!(|v| v.g() * (-v.x(0)).sigmoid()), saves: Saves::X,
        method: false, function: false,
    }

    /// `min(max(input + 3, 0), 6) / 6`.
    hardsigmoid(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |x, p| {
                let low = if x + 3.0 < 0.0 { 0.0 } else { x + 3.0 };
                (if low > 6.0 { 6.0 } else { low }) * p[0]
            });
            with::<1>(c, k, &[1.0 / 6.0])
        }),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::hardtanh_backward(g, x, -3, 3)) * (1.0 / 6.0)), saves: Saves::X,
        inplace: true, method: false, function: false, onnx: Some("HardSigmoid"),
        samples: &["t([-4.0, -1.0, 1.0, 4.0])"],
    }

    /// `input * min(max(input + 3, 0), 6) / 6` (Howard et al., 2019).
    hardswish(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |x, p| {
                let low = if x + 3.0 < 0.0 { 0.0 } else { x + 3.0 };
                x * (if low > 6.0 { 6.0 } else { low }) * p[0]
            });
            with::<1>(c, k, &[1.0 / 6.0])
        }),
        vjp: vjp!(|v| v.g().with(v.x(0), Tensor::hardswish_backward)), saves: Saves::X,
        inplace: true, method: false, function: false, onnx: Some("HardSwish"),
        samples: &["t([-4.0, -1.0, 1.0, 4.0])"],
    }

    /// Gradient of `hardswish`.
    hardswish_backward(grad_output: Tensor, input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            let k = kernel!(float |g, x, p| {
                let inner = if x <= -3.0 { 0.0 } else { g * (x * p[0] + 0.5) };
                if x >= 3.0 { g } else { inner }
            });
            with::<2>(c, k, &[1.0 / 3.0])
        }),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), Tensor::hardswish_backward)),
            v.want(1, || (v.g() * v.x(0)).with(v.x(1), |g, x| Tensor::hardtanh_backward(g, x, -3, 3)) * (1.0 / 3.0)),
        ]),
        saves: Saves::XB, method: false, function: false,
        samples: &["r(4), t([-4.0, -1.0, 1.0, 4.0])"],
    }

    /// `input` where its absolute value exceeds `lambd`, else 0.
    hardshrink(input: Tensor, lambd: Scalar = 0.5) -> Tensor, Real {
        body: Elementwise(|c| with::<1>(c, kernel!(float |x, p| if x.abs() <= p[0] { 0.0 } else { x }), &[c.float(0)])),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::shrink_backward(g, x, v.scalar(0)))), saves: Saves::X,
        onnx: Some("Shrink"),
        samples: &["t([-1.0, -0.2, 0.3, 2.0]), 0.25"],
    }

    /// `input` brought nearer to 0 by `lambd`, stopping there.
    softshrink(input: Tensor, lambd: Scalar = 0.5) -> Tensor, Real {
        body: Elementwise(|c| {
            if !(0.0..f64::INFINITY).contains(&c.float(0)) {
                bail!(Value, "lambda must be greater or equal to 0, and finite, but found to be {}.", c.float(0));
            }
            // NaN stays NaN by way of the product.
            let k = kernel!(float |x, p| {
                let middle = if x < -p[0] { x + p[0] } else { x * 0.0 };
                if x > p[0] { x - p[0] } else { middle }
            });
            with::<1>(c, k, &[c.float(0)])
        }),
        vjp: vjp!(|v| v.g().with(v.x(0), |g, x| Tensor::shrink_backward(g, x, v.scalar(0)))), saves: Saves::X,
        method: false, function: false, onnx: Some("Shrink"),
        refuses: &[Refusal { call: "rt.ones(1), -1.0", message: "lambda must be greater or equal to 0" }],
        samples: &["t([-1.0, -0.2, 0.3, 2.0]), 0.25"],
    }

    /// `grad_output` where the absolute value of `input` exceeds `lambd`, else 0.
    shrink_backward(grad_output: Tensor, input: Tensor, lambd: Scalar) -> Tensor, Real {
        body: Elementwise(|c| with::<2>(c, kernel!(float |g, x, p| if x.abs() <= p[0] { 0.0 } else { g }), &[c.float(0)])),
        vjp: vjp!(|v| [
            v.want(0, || v.g().with(v.x(1), |g, x| Tensor::shrink_backward(g, x, v.scalar(0)))),
            zeros(v, 1),
        ]),
        saves: Saves::B, method: false, function: false,
        samples: &["r(4), t([-1.0, -0.2, 0.3, 2.0]), 0.25"],
    }

    /// `input - tanh(input)`.
    tanhshrink(input: Tensor) -> Tensor, Real {
        body: Elementwise(|c| {
            not_bool(c.x(0))?;
            (float1!(|x| x - Real::tanh(x); |z| z - z.tanh()))(c)
        }),
        vjp: vjp!(|v| v.g() * v.x(0).tanh().square()), saves: Saves::X,
        method: false, function: false,
    }

    /// `input / (1 + |input|)`.
    softsign(input: Tensor) -> Tensor, Real {
        body: Elementwise(float1!(|x| x / (1.0 + x.abs()); |z| z * (1.0 / (1.0 + z.abs())))),
        vjp: vjp!(|v| {
            let (x, d) = (v.x(0), v.x(0).abs() + 1.0);
            if !v.dtype(0).is_complex() {
                return (v.g() / d.square()).grads();
            }
            // Along the number the slope is that of real ones.
            let along = v.g().with(x.sgn(), |g, u| g.mul(&u.conj()?)?.real());
            (v.g() / &d - x * along / d.square()).grads()
        }),
        saves: Saves::X, conjugates: true,
        method: false, function: false, onnx: Some("Softsign"),
    }

    /// The first half of `input` along `dim` times the sigmoid of the second half (Dauphin et al., 2016).
    glu(input: Tensor, dim: Int = -1) -> Tensor, Special {
        body: Composite(|c| {
            let x = c.x(0);
            if x.ndim() == 0 {
                bail!(Shape, "glu does not support 0-dimensional tensors");
            }
            let d = wrap_dim(c.int(0), x.ndim())?;
            let n = x.shape()[d] as i64;
            if n % 2 != 0 {
                bail!(Shape, "Halving dimension must be even, but dimension {d} is size {n}");
            }
            let d = d as i64;
            one(x.narrow(d, 0, n / 2)?.mul(&x.narrow(d, n / 2, n / 2)?.sigmoid()?)?)
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "rt.ones(3)", message: "Halving dimension must be even" }],
        samples: &["r(2, 4)", "r(4, 3), 0"],
    }

    /// `e^input / sum(e^input)` along `dim`, computed without overflow.
    softmax(input: Tensor, dim: Int, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_softmax::<1>(c, softmax_dtype(c)),
            |c, outs| compute_softmax::<1>(c, outs, Mode::Forward),
        ),
        vjp: vjp!(|v| v.g().with(v.y(), |g, y| Tensor::softmax_backward(g, y, v.int(0)))), saves: Saves::OUTPUT,
        onnx: Some("Softmax"),
        refuses: &[
            Refusal { call: "rt.ones(2), 1", message: "out of range" },
            Refusal { call: "rt.tensor([1]), 0", message: "int64" },
        ],
        samples: &["r(2, 3), 0", "r(2, 3), -1, rt.float64"],
        takes: Takes::COMPLEX,
    }

    /// `softmax`, but 0 where all of `input` along `dim` is minus infinity.
    safe_softmax(input: Tensor, dim: Int, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_softmax::<1>(c, softmax_dtype(c)),
            |c, outs| compute_softmax::<1>(c, outs, Mode::SafeForward),
        ),
        vjp: vjp!(|v| v.g().with(v.y(), |g, y| Tensor::softmax_backward(g, y, v.int(0)))), saves: Saves::OUTPUT,
        function: false, method: false,
        samples: &["r(2, 3), 0", "r(2, 3), -1, rt.float64"],
    }

    /// `input - log(sum(e^input))` along `dim`, computed without overflow.
    log_softmax(input: Tensor, dim: Int, dtype: OptDType = None) -> Tensor, Special {
        body: Kernel(
            |c| infer_softmax::<1>(c, softmax_dtype(c)),
            |c, outs| compute_softmax::<1>(c, outs, Mode::LogForward),
        ),
        vjp: vjp!(|v| v.g().with(v.y(), |g, y| Tensor::log_softmax_backward(g, y, v.int(0)))), saves: Saves::OUTPUT,
        onnx: Some("LogSoftmax"),
        samples: &["r(2, 3), 0", "r(2, 3), -1, rt.float64"],
        takes: Takes::COMPLEX,
    }

    /// `softmax(-input)`.
    softmin(input: Tensor, dim: Int, dtype: OptDType = None) -> Tensor, Special {
        body: Composite(|c| one(c.x(0).neg()?.softmax(c.int(0), c.opt_dtype(1))?)),
        method: false, function: false,
        samples: &["r(2, 3), 0", "r(2, 3), -1, rt.float64"],
    }

    /// Gradient of `softmax`: `output * (grad_output - sum(grad_output * output))`.
    softmax_backward(grad_output: Tensor, output: Tensor, dim: Int) -> Tensor, Special {
        body: Kernel(
            |c| infer_softmax::<2>(c, c.x(1).dtype()),
            |c, outs| compute_softmax::<2>(c, outs, Mode::Backward),
        ),
        vjp: vjp!(|v| {
            let (gg, g, y) = (v.g(), v.x(0), v.x(1));
            let sum = |e: Ex| e.sum(&[v.int(0)], true);
            [
                v.want(0, || gg.with(&y, |gg, y| Tensor::softmax_backward(gg, y, v.int(0)))),
                v.want(1, || &gg * (&g - sum(&g * &y)) - &g * sum(&gg * &y)),
            ]
        }),
        saves: Saves::XB, method: false, function: false,
        samples: &["r(2, 3), q(2, 3), 1", "r(2, 3), q(2, 3), 0"],
    }

    /// Gradient of `log_softmax`: `grad_output - e^output * sum(grad_output)`.
    log_softmax_backward(grad_output: Tensor, output: Tensor, dim: Int) -> Tensor, Special {
        body: Kernel(
            |c| infer_softmax::<2>(c, c.x(1).dtype()),
            |c, outs| compute_softmax::<2>(c, outs, Mode::LogBackward),
        ),
        vjp: vjp!(|v| {
            let (gg, g, p) = (v.g(), v.x(0), v.x(1).exp());
            let sum = |e: Ex| e.sum(&[v.int(0)], true);
            [v.want(0, || &gg - sum(&gg * &p)), v.want(1, || -(&gg * &p * sum(g)))]
        }),
        saves: Saves::XB, method: false, function: false,
        samples: &["r(2, 3), r(2, 3), 1", "r(2, 3), r(2, 3), 0"],
    }
}
