//! Complex numbers: made of and seen as real ones, and what real numbers lack.

use crate::{bail, complex_loops, kernel, with_complex};
use crate::dtype::{DType, Scalar};
use crate::engine::complex::{of_pair, pairs, part, real_of};
use crate::engine::elementwise::{Plan, loop_over};
use crate::engine::promotion::Promote;
use crate::error::Result;
use crate::kernels::elementwise::{Loop, Params};
use crate::shape::Layout;
use crate::table::{Call, Outs, Refusal, Saves, one, Cast};
use crate::table::loops::run;
use crate::table::rules::zeros;
use crate::tensor::Tensor;

/// A complex function of two tensors of one floating-point dtype.
fn of_parts<'a>(call: &Call<'a>, pair: (Loop, Loop)) -> Result<Plan<'a>> {
    let (a, b) = (call.x(0), call.x(1));
    let d = a.dtype();
    if !matches!(d, DType::F32 | DType::F64) {
        bail!(DType, "expected both inputs to be float32 or float64 tensors, got {d} and {}", b.dtype());
    }
    if b.dtype() != d {
        bail!(DType, "expected both inputs to have the same dtype, got {d} and {}", b.dtype());
    }
    let out = d.complex();
    Ok(loop_over(of_pair(out, pair), [a, b], [d, d], out, out, Params::default()))
}

fn only_complex(t: &Tensor) -> Result<()> {
    if !t.dtype().is_complex() {
        bail!(DType, "only complex tensors have such parts, got dtype {}", t.dtype());
    }
    Ok(())
}

/// The view of [`part`] for a call.
fn view_part(call: &Call, which: usize) -> Result<Outs> {
    only_complex(call.x(0))?;
    one(part(call.x(0), which)?)
}

/// A complex number of which the real part is 0.
fn imaginary(g: &Tensor) -> Result<Tensor> {
    g.mul(&Tensor::number(Scalar::Complex(0.0, 1.0))?)
}

/// `Re(a * conj(b))`
fn projected(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let both = a.mul(&b.conj()?)?;
    if both.dtype().is_complex() {
        both.real()
    } else {
        Ok(both)
    }
}

ops! {
    /// The complex numbers with these real and imaginary parts, both float32 or both float64.
    complex(real: Tensor, imag: Tensor) -> Tensor, Special {
        body: Elementwise(|call| of_parts(call, complex_loops!(get_real put |a, b; _p| c(a, b)))),
        vjp: vjp!(|v| [
            v.want(0, || v.g().then(|g| g.real())),
            v.want(1, || v.g().then(|g| g.imag())),
        ]),
        conjugates: true,
        refuses: &[Refusal { call: "rt.ones(2), rt.ones(2, dtype=rt.float64)", message: "same dtype" }],
        samples: &["r(2, 3), r(3)"],
    }

    /// The complex numbers with absolute value `abs` and angle `angle`: `abs * (cos(angle) + i sin(angle))`.
    polar(abs: Tensor, angle: Tensor) -> Tensor, Special {
        cast: Cast::Full,
        body: Elementwise(|call| of_parts(call, complex_loops!(get_real put |r, a; _p| c(r * a.cos(), r * a.sin())))),
        vjp: vjp!(|v| {
            let unit = v.x(1).with(v.x(1), |a, _| Tensor::polar(&a.ones_like(None)?, a));
            [
                v.want(0, || v.g().with(&unit, projected)),
                v.want(1, || v.x(0) * v.g().with(unit.then(imaginary), projected)),
            ]
        }),
        saves: Saves::XB, conjugates: true,
        samples: &["p(2, 3), r(3)"],
    }

    /// Real and imaginary parts as the last dimension, of size 2, sharing memory.
    view_as_real(input: Tensor) -> Tensor, Special {
        body: View(|call| {
            only_complex(call.x(0))?;
            one(pairs(call.x(0))?)
        }),
        vjp: vjp!(|v| v.g().then(|g| g.contiguous()?.view_as_complex())), conjugates: true,
        method: false,
        refuses: &[Refusal { call: "rt.ones(2)", message: "only complex tensors" }],
        samples: &["z2(2, 3)"],
    }

    /// The complex numbers whose parts are the last dimension, of size 2, sharing memory.
    view_as_complex(input: Tensor) -> Tensor, Special {
        cast: Cast::Full,
        body: View(|call| {
            let (t, d) = (call.x(0), call.x(0).dtype());
            if !matches!(d, DType::F32 | DType::F64) {
                bail!(DType, "view_as_complex is only supported for float32 and float64 tensors, got {d}");
            }
            let Some((&2, shape)) = t.shape().split_last() else {
                bail!(Shape, "the last dimension must have size 2, got shape {:?}", t.shape());
            };
            let (last, strides) = match t.strides().split_last() {
                Some((l, s)) => (*l, s),
                None => (1, t.strides()),
            };
            let many = |d: usize| shape[d] > 1;
            if last != 1 || t.layout().offset() % 2 != 0 || (0..shape.len()).any(|d| many(d) && strides[d] % 2 != 0) {
                bail!(
                    Value,
                    "the last dimension must have stride 1, and all others and the offset must be even, got strides {:?} and \
                     offset {}",
                    t.strides(),
                    t.layout().offset()
                );
            }
            if !(t.base_ptr() as usize).is_multiple_of(d.complex().alignment()) && t.numel() > 0 {
                bail!(Value, "its memory does not lie at whole elements of {}", d.complex());
            }
            let layout = Layout::new(shape.into(), strides.iter().map(|s| s / 2).collect(), t.layout().offset() / 2)?;
            one(t.seen_as(layout, d.complex()))
        }),
        vjp: vjp!(|v| v.g().then(|g| g.contiguous()?.view_as_real())), conjugates: true,
        method: false,
        refuses: &[Refusal { call: "rt.ones(3)", message: "must have size 2" }],
        samples: &["r(3, 2)"],
    }

    /// The real parts, sharing memory; a real tensor is its own.
    real(input: Tensor) -> Tensor, Real {
        body: View(|call| if call.x(0).dtype().is_complex() { view_part(call, 0) } else { one(call.x(0).with_layout(call.x(0).layout().clone())) }),
        vjp: vjp!(|v| v.g()), conjugates: true,
        method: false,
    }

    /// The imaginary parts of a complex tensor, sharing memory.
    imag(input: Tensor) -> Tensor, Special {
        body: View(|call| {
            if !call.x(0).dtype().is_complex() {
                bail!(DType, "imag is not implemented for tensors with non-complex dtypes");
            }
            view_part(call, 1)
        }),
        vjp: vjp!(|v| v.g().then(imaginary)), conjugates: true,
        method: false,
        refuses: &[Refusal { call: "rt.ones(3)", message: "non-complex" }],
        samples: &["z2(2, 3)"],
    }

    /// The complex conjugate, as a new tensor.
    conj_physical(input: Tensor) -> Tensor, Real {
        body: Elementwise(|call| {
            let k = with_complex!(kernel!(all |a, _p| a), put |z; _p| z.conj());
            run::<1>(call, k, Promote::Common, Params::default())
        }),
        vjp: vjp!(|v| v.g().conj()), conjugates: true,
        inplace: true,
    }

    /// The complex conjugate; a real tensor is its own. (PyTorch's is a view; this one is a new tensor.)
    conj(input: Tensor) -> Tensor, Real {
        body: Composite(|call| {
            one(if call.x(0).dtype().is_complex() { call.x(0).conj_physical()? } else { call.x(0).clone() })
        }),
    }

    /// The tensor itself: no tensor here waits to be conjugated.
    resolve_conj(input: Tensor) -> Tensor, Real {
        body: Composite(|call| one(call.x(0).clone())),
    }

    /// The tensor itself: no tensor here waits to be negated.
    resolve_neg(input: Tensor) -> Tensor, Real {
        body: Composite(|call| one(call.x(0).clone())),
    }

    /// The angle of a complex number in radians from -pi to pi: pi for negative numbers, 0 for others, NaN for NaN.
    angle(input: Tensor) -> Tensor, NonZero {
        body: Elementwise(|call| {
            if call.x(0).dtype().is_complex() {
                return Ok(real_of(call.x(0), complex_loops!(put_real |z; _p| z.arg())));
            }
            let k = kernel!(float |a, p| {
                let side = if a < 0.0 { p[0] } else { 0.0 };
                if a.is_nan() { a } else { side }
            });
            run::<1>(call, k, Promote::ToFloat, Params::new(&[Scalar::Float(std::f64::consts::PI)]))
        }),
        vjp: vjp!(|v| if v.dtype(0).is_complex() {
            // i z / |z|^2, which is the slope of the angle; there is none at 0.
            let x = v.x(0);
            let r = x.abs();
            let turn = x.then(imaginary) / (&r * &r);
            v.g() * turn.with(r.eq(0.0), |t, none| t.masked_fill(none, &Tensor::number(Scalar::Int(0))?))
        } else {
            zeros(v, 0)
        }),
        saves: Saves::X, conjugates: true,
        samples: &["r(3)", "z2(2, 3)"],
    }

    /// `input / |input|`, 0 for 0: of real numbers the sign.
    sgn(input: Tensor) -> Tensor, NonZero {
        body: Elementwise(|call| {
            let k = with_complex!(kernel!(split |a, _p| Real::sign(a); |a, _p| a.signum()), put |z; _p| z.sgn());
            run::<1>(call, k, Promote::Common, Params::default())
        }),
        vjp: vjp!(|v| if v.dtype(0).is_complex() {
            // What is left of a change when the part along the number is taken away.
            let r = v.x(0).abs();
            let unit = v.x(0).sgn();
            let across = v.g() - v.g().with(&unit, projected) * &unit;
            (across / &r).with(r.eq(0.0), |t, none| t.masked_fill(none, &Tensor::number(Scalar::Int(0))?))
        } else {
            zeros(v, 0)
        }),
        saves: Saves::X, conjugates: true, inplace: true,
        samples: &["z(3)", "z2(2, 3)"],
    }
}
