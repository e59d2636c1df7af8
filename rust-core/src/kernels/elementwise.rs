//! The elementwise engine: walks broadcast operands, brings each block of them into the compute type, and runs a
//! contiguous loop over it. Loops are written once per op by [`map1!`], [`map2!`], [`map3!`] and their siblings.
#![allow(clippy::missing_safety_doc)]

use crate::dtype::{Compute, DType, Scalar};
use crate::kernels::copy::{cast_row, Shared};
use crate::parallel::parallel_for;
use smallvec::SmallVec;

/// Numbers that an op hands to its loop (slope, bounds ...), in both readings.
#[derive(Clone, Copy, Default)]
pub struct Params {
    /// As floats.
    pub f: [f64; 4],
    /// As whole numbers.
    pub i: [i64; 4],
}

impl Params {
    /// From up to four scalars.
    pub fn new(values: &[Scalar]) -> Self {
        let mut p = Params::default();
        for (k, v) in values.iter().enumerate() {
            p.f[k] = v.f64();
            p.i[k] = v.i64();
        }
        p
    }
}

/// A loop over contiguous blocks: input pointers, output pointer, count, parameters.
pub type Loop = unsafe fn(&[*const u8; 3], *mut u8, usize, &Params);

/// The loops of one op, by compute type. A missing one is a dtype that the op refuses.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// Loop in f32.
    pub f32: Option<Loop>,
    /// Loop in f64.
    pub f64: Option<Loop>,
    /// Loop in i64.
    pub i64: Option<Loop>,
    /// True if it writes bools.
    pub to_bool: bool,
}

impl Kernel {
    /// The loop for a compute type.
    pub fn get(&self, c: Compute) -> Option<Loop> {
        match c {
            Compute::F32 => self.f32,
            Compute::F64 => self.f64,
            Compute::I64 => self.i64,
        }
    }
}

/// One typed loop with SIMD dispatch; used by the `map` macros.
#[macro_export]
macro_rules! elementwise_loop {
    ($t:ty, $o:ty, [$($x:ident $k:literal),+], $p:ident, $pf:ident, $body:expr) => {{
        $crate::simd_fn! {
            unsafe fn run(ins: &[*const u8; 3], out: *mut u8, n: usize, params: &$crate::kernels::elementwise::Params) {
                #[allow(unused_imports)]
                use $crate::kernels::math::Real;
                #[allow(unused_variables)]
                let $p = $crate::kernels::elementwise::$pf(params);
                let out = out.cast::<$o>();
                $(let $x = ins[$k].cast::<$t>();)+
                for index in 0..n {
                    $(let $x: $t = *$x.add(index);)+
                    *out.add(index) = $body;
                }
            }
        }
        Some(run as $crate::kernels::elementwise::Loop)
    }};
}

/// Parameters as f32.
#[inline(always)]
pub fn params_f32(p: &Params) -> [f32; 4] {
    [p.f[0] as f32, p.f[1] as f32, p.f[2] as f32, p.f[3] as f32]
}
/// Parameters as f64.
#[inline(always)]
pub fn params_f64(p: &Params) -> [f64; 4] {
    p.f
}
/// Parameters as i64.
#[inline(always)]
pub fn params_i64(p: &Params) -> [i64; 4] {
    p.i
}

/// `kernel!(float |x, p| ...)`: loops of one expression for the named compute types. Kinds: `float` (f32, f64), `all`
/// (and i64), `int`, `split` (one expression for floats, one for i64), each also as `*_to_bool`. `p` is `[_; 4]`.
#[macro_export]
macro_rules! kernel {
    (@loop $t:ty, $o:ty, $pf:ident, |$a:ident, $p:ident| $b:expr) => { $crate::elementwise_loop!($t, $o, [$a 0], $p, $pf, $b) };
    (@loop $t:ty, $o:ty, $pf:ident, |$a:ident, $c:ident, $p:ident| $b:expr) => {
        $crate::elementwise_loop!($t, $o, [$a 0, $c 1], $p, $pf, $b)
    };
    (@loop $t:ty, $o:ty, $pf:ident, |$a:ident, $c:ident, $d:ident, $p:ident| $b:expr) => {
        $crate::elementwise_loop!($t, $o, [$a 0, $c 1, $d 2], $p, $pf, $b)
    };
    (@make $bool:literal, $f:expr, $d:expr, $i:expr) => {{
        const K: $crate::kernels::elementwise::Kernel =
            $crate::kernels::elementwise::Kernel { f32: $f, f64: $d, i64: $i, to_bool: $bool };
        &K
    }};
    (float |$($x:ident),+| $b:expr) => {
        $crate::kernel!(@make false, $crate::kernel!(@loop f32, f32, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, f64, params_f64, |$($x),+| $b), None)
    };
    (all |$($x:ident),+| $b:expr) => {
        $crate::kernel!(@make false, $crate::kernel!(@loop f32, f32, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, f64, params_f64, |$($x),+| $b), $crate::kernel!(@loop i64, i64, params_i64, |$($x),+| $b))
    };
    (int |$($x:ident),+| $b:expr) => {
        $crate::kernel!(@make false, None, None, $crate::kernel!(@loop i64, i64, params_i64, |$($x),+| $b))
    };
    (split |$($x:ident),+| $b:expr; |$($y:ident),+| $c:expr) => {
        $crate::kernel!(@make false, $crate::kernel!(@loop f32, f32, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, f64, params_f64, |$($x),+| $b), $crate::kernel!(@loop i64, i64, params_i64, |$($y),+| $c))
    };
    (all_to_bool |$($x:ident),+| $b:expr) => {
        $crate::kernel!(@make true, $crate::kernel!(@loop f32, bool, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, bool, params_f64, |$($x),+| $b), $crate::kernel!(@loop i64, bool, params_i64, |$($x),+| $b))
    };
    (split_to_bool |$($x:ident),+| $b:expr; |$($y:ident),+| $c:expr) => {
        $crate::kernel!(@make true, $crate::kernel!(@loop f32, bool, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, bool, params_f64, |$($x),+| $b), $crate::kernel!(@loop i64, bool, params_i64, |$($y),+| $c))
    };
}

/// Calls `f` with the byte offsets and element strides of one-dimensional rows that together cover `shape` once.
/// Dimensions that lie alike in all operands are merged; the one that the first operand steps through fastest is innermost.
pub fn rows<const N: usize>(
    shape: &[usize],
    strides: [&[isize]; N],
    sizes: [usize; N],
    grain: usize,
    f: &(dyn Fn([isize; N], [isize; N], usize) + Sync),
) {
    let mut dims: SmallVec<[(usize, [isize; N]); 8]> = SmallVec::new();
    for d in 0..shape.len() {
        if shape[d] == 0 {
            return;
        }
        if shape[d] != 1 {
            dims.push((shape[d], std::array::from_fn(|k| strides[k][d])));
        }
    }
    // Outermost first; ties by the second operand.
    dims.sort_by(|a, b| {
        let key = |x: &(usize, [isize; N])| (x.1[0].abs(), x.1.iter().map(|s| s.abs()).max().unwrap_or(0));
        key(b).cmp(&key(a))
    });
    let mut merged: SmallVec<[(usize, [isize; N]); 8]> = SmallVec::new();
    for (n, s) in dims {
        match merged.last_mut() {
            Some(last) if (0..N).all(|k| last.1[k] == s[k] * n as isize) => *last = (last.0 * n, s),
            _ => merged.push((n, s)),
        }
    }
    let Some((inner, step)) = merged.pop() else {
        return f([0; N], [1; N], 1);
    };
    let outer: usize = merged.iter().map(|d| d.0).product();
    if outer == 1 {
        return parallel_for(inner, grain, &|r| {
            let at = std::array::from_fn(|k| r.start as isize * step[k] * sizes[k] as isize);
            f(at, step, r.len());
        });
    }
    parallel_for(outer, grain.div_ceil(inner), &|r| {
        let mut index: SmallVec<[usize; 8]> = SmallVec::from_elem(0, merged.len());
        let mut at = [0isize; N];
        let mut rest = r.start;
        for d in (0..merged.len()).rev() {
            index[d] = rest % merged[d].0;
            rest /= merged[d].0;
            for k in 0..N {
                at[k] += index[d] as isize * merged[d].1[k];
            }
        }
        for _ in r {
            f(std::array::from_fn(|k| at[k] * sizes[k] as isize), step, inner);
            for d in (0..merged.len()).rev() {
                index[d] += 1;
                for k in 0..N {
                    at[k] += merged[d].1[k];
                }
                if index[d] < merged[d].0 {
                    break;
                }
                for k in 0..N {
                    at[k] -= merged[d].0 as isize * merged[d].1[k];
                }
                index[d] = 0;
            }
        }
    });
}

/// One operand: first element, dtype, and its strides over the output's shape.
pub struct Operand<'a> {
    /// First element.
    pub ptr: *const u8,
    /// Its dtype.
    pub dtype: DType,
    /// Strides in elements, one per output dimension.
    pub strides: &'a [isize],
}

const BLOCK: usize = 1024;

#[repr(align(64))]
struct Buffer([u8; BLOCK * 8]);

/// Runs a loop over one row: blocks of each operand that is not already contiguous in the compute type go through a buffer.
unsafe fn row<const N: usize>(
    ins: [*const u8; N],
    in_types: [DType; N],
    in_steps: [isize; N],
    compute: DType,
    out: *mut u8,
    out_type: DType,
    loop_out: DType,
    out_step: isize,
    n: usize,
    f: Loop,
    p: &Params,
) {
    let direct_in: [bool; N] = std::array::from_fn(|k| in_types[k] == compute && (in_steps[k] == 1 || n == 1));
    let direct_out = out_type == loop_out && (out_step == 1 || n == 1);
    let mut args = [std::ptr::null(); 3];
    if direct_out && direct_in.iter().all(|&d| d) {
        args[..N].copy_from_slice(&ins);
        return f(&args, out, n, p);
    }
    let mut buffers: [std::mem::MaybeUninit<Buffer>; N] = [const { std::mem::MaybeUninit::uninit() }; N];
    let mut result = std::mem::MaybeUninit::<Buffer>::uninit();
    let size = compute.size() as isize;
    let mut done = 0;
    while done < n {
        let m = (n - done).min(BLOCK);
        for k in 0..N {
            let width = in_types[k].size() as isize;
            args[k] = if direct_in[k] {
                ins[k].offset(done as isize * size)
            } else {
                let b = buffers[k].as_mut_ptr().cast::<u8>();
                // A repeated number is spread once and then reused.
                if in_steps[k] != 0 || done == 0 {
                    let from = ins[k].offset(done as isize * in_steps[k] * width);
                    if in_steps[k] == 0 {
                        cast_row(from, in_types[k], 0, b, compute, 1, 1);
                        cast_row(b, compute, 0, b.add(compute.size()), compute, 1, m - 1);
                    } else {
                        cast_row(from, in_types[k], in_steps[k], b, compute, 1, m);
                    }
                }
                b
            };
        }
        let to = out.offset(done as isize * out_step * out_type.size() as isize);
        if direct_out {
            f(&args, to, m, p);
        } else {
            let r = result.as_mut_ptr().cast::<u8>();
            f(&args, r, m, p);
            cast_row(r, loop_out, 1, to, out_type, out_step, m);
        }
        done += m;
    }
}

/// `out[i] = f(ins[0][i], ...)` over `shape`. `out` may be one of the inputs (same layout), else must not overlap them.
pub unsafe fn map<const N: usize>(
    shape: &[usize],
    ins: [Operand; N],
    compute: DType,
    out: Operand,
    loop_out: DType,
    f: Loop,
    p: &Params,
) {
    let types: [DType; N] = std::array::from_fn(|k| ins[k].dtype);
    let ptrs: [Shared<u8>; N] = std::array::from_fn(|k| Shared(ins[k].ptr as *mut u8));
    let outp = Shared(out.ptr as *mut u8);
    let size = out.dtype.size();
    macro_rules! go {
        ($m:literal, $($k:literal),+) => {
            rows(shape, [out.strides, $(ins[$k].strides),+], [size, $(types[$k].size()),+], super::copy::GRAIN, &|at, step, n| {
                let from: [*const u8; N] = std::array::from_fn(|k| ptrs[k].get().offset(at[k + 1]) as *const u8);
                let steps: [isize; N] = std::array::from_fn(|k| step[k + 1]);
                row::<N>(from, types, steps, compute, outp.get().offset(at[0]), out.dtype, loop_out, step[0], n, f, p);
            })
        };
    }
    match N {
        1 => go!(2, 0),
        2 => go!(3, 0, 1),
        _ => go!(4, 0, 1, 2),
    }
}
