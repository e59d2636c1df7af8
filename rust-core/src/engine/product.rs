//! Products of matrices.

use super::copy::{contiguous_unlocked, copy_into};
use super::elementwise::run_on;
use super::promotion::Promote;
use crate::dtype::half::{bf16, f16};
use crate::dtype::{DType, Scalar};
use crate::err;
use crate::error::{Error, Result};
use crate::kernels::copy::Shared;
use crate::kernels::elementwise::{Loops, Params};
use crate::kernels::gemm::{dgemm, hgemm, igemm, sgemm};
use crate::parallel::parallel_for;
use crate::shape::{Dims, Strides};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// One operand of a product: the steps of its rows, its columns and its (broadcast) batch dimensions.
#[derive(Clone)]
pub(crate) struct Side {
    pub(crate) rows: isize,
    pub(crate) cols: isize,
    pub(crate) batch: Strides,
}

impl Side {
    /// Steps of a tensor of at least two dimensions over the batch dimensions `batch`.
    pub(crate) fn new(t: &Tensor, batch: &[usize]) -> Side {
        let (n, s) = (t.ndim(), t.strides());
        Side { rows: s[n - 2], cols: s[n - 1], batch: batch_steps(&t.shape()[..n - 2], &s[..n - 2], batch) }
    }
}

/// Steps over the batch dimensions `batch` of dimensions that broadcast to them.
pub(crate) fn batch_steps(shape: &[usize], strides: &[isize], batch: &[usize]) -> Strides {
    let mut out: Strides = SmallVec::from_elem(0, batch.len());
    let lead = batch.len() - shape.len();
    for d in 0..shape.len() {
        if shape[d] != 1 {
            out[lead + d] = strides[d];
        }
    }
    out
}

/// A product to be made: `out[b] = alpha * a[b] @ b[b] + beta * out[b]` over all batches.
#[derive(Clone)]
pub(crate) struct Product {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) batch: Dims,
    pub(crate) a: Side,
    pub(crate) b: Side,
    pub(crate) out: Side,
    pub(crate) alpha: Scalar,
    pub(crate) beta: Scalar,
}

impl Product {
    /// Batches that lie like more rows of one matrix become rows.
    fn fold(&mut self) {
        while let Some(&size) = self.batch.last() {
            let last = self.batch.len() - 1;
            let (a, b, o) = (self.a.batch[last], self.b.batch[last], self.out.batch[last]);
            let m = self.m as isize;
            let follows = |rows: isize, step: isize| m == 1 || step == rows * m;
            if size != 1 && !(b == 0 && follows(self.a.rows, a) && follows(self.out.rows, o)) {
                break;
            }
            if size != 1 {
                if m == 1 {
                    (self.a.rows, self.out.rows) = (a, o);
                }
                self.m *= size;
            }
            self.batch.pop();
            self.a.batch.pop();
            self.b.batch.pop();
            self.out.batch.pop();
        }
    }

    /// Four products of the parts of complex numbers; `alpha` is 1, `beta` 0 or 1.
    fn run_complex(mut self, real: DType, a: *const u8, b: *const u8, out: *mut u8) -> Result<()> {
        for side in [&mut self.a, &mut self.b, &mut self.out] {
            // The strides of what has no elements are of any size.
            (side.rows, side.cols) = (side.rows.wrapping_mul(2), side.cols.wrapping_mul(2));
            side.batch.iter_mut().for_each(|s| *s = s.wrapping_mul(2));
        }
        let size = real.size();
        for (x, y, to, sign, beta) in
            [(0, 0, 0, 1, self.beta), (1, 1, 0, -1, ONE), (0, 1, 1, 1, self.beta), (1, 0, 1, 1, ONE)]
        {
            let p = Product { alpha: Scalar::Int(sign), beta, ..self.clone() };
            p.run(real, a.wrapping_add(x * size), b.wrapping_add(y * size), out.wrapping_add(to * size))?;
        }
        Ok(())
    }

    /// Runs it on three pointers to elements of `dtype`.
    pub(crate) fn run(mut self, dtype: DType, a: *const u8, b: *const u8, out: *mut u8) -> Result<()> {
        if dtype.is_complex() {
            return self.run_complex(dtype.real(), a, b, out);
        }
        self.fold();
        let (m, n, k) = (self.m, self.n, self.k);
        let work = m.saturating_mul(n).saturating_mul(k).max(1);
        let count: usize = self.batch.iter().product();
        if count == 0 || m == 0 || n == 0 {
            return Ok(());
        }
        macro_rules! go {
            ($t:ty, $gemm:path, $alpha:expr, $beta:expr) => {{
                let (alpha, beta) = ($alpha, $beta);
                let (pa, pb, pc) = (Shared(a as *mut $t), Shared(b as *mut $t), Shared(out as *mut $t));
                let one = |[x, y, z]: [isize; 3]| {
                    // SAFETY: the steps come from the layouts of live tensors, and `out` overlaps neither operand.
                    unsafe {
                        $gemm(
                            m,
                            n,
                            k,
                            alpha,
                            pa.get().offset(x),
                            self.a.rows,
                            self.a.cols,
                            pb.get().offset(y),
                            self.b.rows,
                            self.b.cols,
                            beta,
                            pc.get().offset(z),
                            self.out.rows,
                            self.out.cols,
                        )
                    }
                };
                if count == 1 {
                    one([0; 3]);
                } else {
                    // Large products split themselves; many small ones are split here.
                    let grain = if work > 1 << 24 { count } else { (1usize << 17).div_ceil(work) };
                    parallel_for(count, grain, &|r| r.for_each(|i| one(self.offsets(i))));
                }
            }};
        }
        match dtype {
            DType::F32 => go!(f32, sgemm, self.alpha.f64() as f32, self.beta.f64() as f32),
            DType::F16 => go!(f16, hgemm, self.alpha.f64() as f32, self.beta.f64() as f32),
            DType::BF16 => go!(bf16, hgemm, self.alpha.f64() as f32, self.beta.f64() as f32),
            DType::F64 => go!(f64, dgemm, self.alpha.f64(), self.beta.f64()),
            DType::U8 => go!(u8, igemm, self.alpha.i64() as u8, self.beta.i64() as u8),
            DType::I8 => go!(i8, igemm, self.alpha.i64() as i8, self.beta.i64() as i8),
            DType::I16 => go!(i16, igemm, self.alpha.i64() as i16, self.beta.i64() as i16),
            DType::I32 => go!(i32, igemm, self.alpha.i64() as i32, self.beta.i64() as i32),
            DType::I64 => go!(i64, igemm, self.alpha.i64(), self.beta.i64()),
            _ => return Err(not_implemented(dtype)),
        }
        Ok(())
    }

    /// First elements of batch `i`.
    fn offsets(&self, mut i: usize) -> [isize; 3] {
        let mut at = [0; 3];
        for d in (0..self.batch.len()).rev() {
            let index = (i % self.batch[d]) as isize;
            i /= self.batch[d];
            at[0] += index * self.a.batch[d];
            at[1] += index * self.b.batch[d];
            at[2] += index * self.out.batch[d];
        }
        at
    }
}

/// `out = alpha * a @ b + beta * out`. Operands have two dimensions or more, `out` all batch dimensions.
pub(crate) fn product_into(a: &Tensor, b: &Tensor, out: &Tensor, alpha: Scalar, beta: Scalar) -> Result<()> {
    let dtype = a.dtype();
    if dtype.is_complex() && (alpha != ONE || beta != ZERO) {
        let aside = Tensor::empty_of(out.shape(), dtype)?;
        product_into(a, b, &aside, ONE, ZERO)?;
        if beta.f64() == 0.0 && beta.imaginary() == 0.0 {
            let k = crate::with_complex!(&Loops::NONE, put |y; p| engine::number(p, 0) * y);
            return run_on(k, [&aside], Promote::Common, Params::complex(&[alpha]))?.compute(out);
        }
        let k = crate::with_complex!(&Loops::NONE, put |x, y; p| engine::number(p, 1) * x + engine::number(p, 0) * y);
        return run_on(k, [out, &aside], Promote::Common, Params::complex(&[alpha, beta]))?.compute(out);
    }
    if out.shares_memory(a) || out.shares_memory(b) {
        let aside = contiguous_unlocked(out, dtype, true)?;
        product_into(a, b, &aside, alpha, beta)?;
        return copy_into(out, &aside);
    }
    let (d, batch) = (out.ndim() - 2, Dims::from_slice(&out.shape()[..out.ndim() - 2]));
    let p = Product {
        m: out.shape()[d],
        n: out.shape()[d + 1],
        k: a.shape()[a.ndim() - 1],
        a: Side::new(a, &batch),
        b: Side::new(b, &batch),
        out: Side::new(out, &batch),
        batch,
        alpha,
        beta,
    };
    p.run(dtype, a.data_ptr(), b.data_ptr(), out.data_ptr())
}

#[cold]
pub(crate) fn not_implemented(dtype: DType) -> Error {
    err!(DType, "not implemented for dtype {dtype}")
}

pub(crate) const ONE: Scalar = Scalar::Int(1);

pub(crate) const ZERO: Scalar = Scalar::Int(0);
