//! The elementwise engine: walks broadcast operands, brings each block of them into the compute type, and runs a
//! contiguous loop over it. Loops are written once per op by [`kernel!`].
#![allow(clippy::missing_safety_doc, clippy::needless_range_loop)]

use crate::dtype::{Compute, DType, Elem, Scalar};
use crate::kernels::copy::{cast_row, Shared, GRAIN};
use crate::kernels::rows::rows;
use crate::parallel::parallel_for;
use std::mem::MaybeUninit;

/// Numbers that an op hands to its loop (slope, bounds ...), in both readings; a complex loop reads pairs of `f`.
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

impl Params {
    /// From up to two complex scalars.
    pub fn complex(values: &[Scalar]) -> Self {
        let mut p = Params::default();
        for (k, v) in values.iter().enumerate() {
            (p.f[2 * k], p.f[2 * k + 1]) = (v.f64(), v.imaginary());
        }
        p
    }
}

/// A loop over contiguous blocks: input pointers, output pointer, count, parameters.
pub type Loop = unsafe fn(&[*const u8; 3], *mut u8, usize, &Params);

/// The loops of one op, by compute type. A missing one is a dtype that the op refuses.
#[derive(Clone, Copy)]
pub struct Loops {
    /// Loop in f32.
    pub f32: Option<Loop>,
    /// Loop in f64.
    pub f64: Option<Loop>,
    /// Loop in i64.
    pub i64: Option<Loop>,
    /// Loop over pairs of f32.
    pub c64: Option<Loop>,
    /// Loop over pairs of f64.
    pub c128: Option<Loop>,
    /// True if whole numbers of 16 to 64 bits without sign are let in.
    pub unsigned: bool,
    /// True if it writes bools.
    pub to_bool: bool,
}

impl Loops {
    /// No loop at all.
    pub const NONE: Loops =
        Loops { f32: None, f64: None, i64: None, c64: None, c128: None, unsigned: false, to_bool: false };

    /// These, also for uint16, uint32 and uint64, whose bits above wrap around.
    pub const fn unsigned(self) -> Loops {
        Loops { unsigned: true, ..self }
    }

    /// The loop for a dtype.
    pub fn get(&self, d: DType) -> Option<Loop> {
        match d.compute() {
            Compute::F32 => self.f32,
            Compute::F64 => self.f64,
            Compute::I64 if d.is_wide_unsigned() && !self.unsigned => None,
            Compute::I64 => self.i64,
            Compute::C64 => self.c64,
            Compute::C128 => self.c128,
        }
    }
}

/// Elements that a loop takes at a time: 256 bytes of the widest type.
pub const fn chunk(widest: usize) -> usize {
    256 / widest
}

/// Room for one chunk of one operand.
#[repr(align(64))]
pub struct Pad(#[allow(dead_code)] [u8; 256]);

/// The last elements of an operand, filled up to a whole chunk with ones (which no op objects to).
#[inline(always)]
pub unsafe fn padded<T: Elem, const CHUNK: usize>(x: *const T, n: usize, pad: &mut MaybeUninit<Pad>) -> *const T {
    let p = pad.as_mut_ptr().cast::<T>();
    for i in n..CHUNK {
        *p.add(i) = T::from_i64(1);
    }
    std::ptr::copy_nonoverlapping(x, p, n);
    p
}

/// One typed loop with SIMD dispatch; used by [`kernel!`]. It goes through whole chunks, of which the last one may be
/// padded: so there is one vector body, no scalar rest, and the result may lie on top of an operand.
#[macro_export]
macro_rules! elementwise_loop {
    ([$($x:ident : $t:ty = $k:literal),+] -> $o:ty, $widest:ty, |$p:ident : $pf:ident| $body:expr) => {{
        $crate::simd_fn! {
            unsafe fn run(ins: &[*const u8; 3], out: *mut u8, n: usize, params: &$crate::kernels::elementwise::Params) {
                use $crate::kernels::elementwise as engine;
                #[allow(unused_imports)]
                use $crate::kernels::math::Real;
                const CHUNK: usize = engine::chunk(std::mem::size_of::<$widest>());
                #[allow(unused_variables)]
                let $p = engine::$pf(params);
                let mut pads = [const { std::mem::MaybeUninit::<engine::Pad>::uninit() }; 4];
                let mut done = 0;
                while done < n {
                    let m = (n - done).min(CHUNK);
                    $(
                        let mut $x = ins[$k].cast::<$t>().add(done);
                        if m < CHUNK {
                            $x = engine::padded::<$t, CHUNK>($x, m, &mut pads[$k]);
                        }
                    )+
                    let mut result = [std::mem::MaybeUninit::<$o>::uninit(); CHUNK];
                    for (index, r) in result.iter_mut().enumerate() {
                        $(let $x: $t = *$x.add(index);)+
                        r.write($body);
                    }
                    let at = out.cast::<$o>().add(done);
                    let to = if m < CHUNK { pads[3].as_mut_ptr().cast::<$o>() } else { at };
                    std::ptr::copy_nonoverlapping(result.as_ptr().cast::<$o>(), to, CHUNK);
                    if m < CHUNK {
                        std::ptr::copy_nonoverlapping(to, at, m);
                    }
                    done += CHUNK;
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
    (@loop $t:ty, $o:ty, $pf:ident, |$a:ident, $p:ident| $b:expr) => {
        $crate::elementwise_loop!([$a: $t = 0] -> $o, $t, |$p: $pf| $b)
    };
    (@loop $t:ty, $o:ty, $pf:ident, |$a:ident, $c:ident, $p:ident| $b:expr) => {
        $crate::elementwise_loop!([$a: $t = 0, $c: $t = 1] -> $o, $t, |$p: $pf| $b)
    };
    (@loop $t:ty, $o:ty, $pf:ident, |$a:ident, $c:ident, $d:ident, $p:ident| $b:expr) => {
        $crate::elementwise_loop!([$a: $t = 0, $c: $t = 1, $d: $t = 2] -> $o, $t, |$p: $pf| $b)
    };
    (@make $bool:literal, $f:expr, $d:expr, $i:expr) => {{
        const K: $crate::kernels::elementwise::Loops =
            $crate::kernels::elementwise::Loops {
            f32: $f,
            f64: $d,
            i64: $i,
            to_bool: $bool,
            ..$crate::kernels::elementwise::Loops::NONE
        };
        &K
    }};
    (float |$($x:ident),+| $b:expr) => {
        $crate::kernel!(@make false, $crate::kernel!(@loop f32, f32, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, f64, params_f64, |$($x),+| $b), None)
    };
    (all |$($x:ident),+| $b:expr) => {
        $crate::kernel!(@make false, $crate::kernel!(@loop f32, f32, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, f64, params_f64, |$($x),+| $b),
            $crate::kernel!(@loop i64, i64, params_i64, |$($x),+| $b))
    };
    (int |$($x:ident),+| $b:expr) => {
        $crate::kernel!(@make false, None, None, $crate::kernel!(@loop i64, i64, params_i64, |$($x),+| $b))
    };
    (split |$($x:ident),+| $b:expr; |$($y:ident),+| $c:expr) => {
        $crate::kernel!(@make false, $crate::kernel!(@loop f32, f32, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, f64, params_f64, |$($x),+| $b),
            $crate::kernel!(@loop i64, i64, params_i64, |$($y),+| $c))
    };
    (float_to_bool |$($x:ident),+| $b:expr) => {
        $crate::kernel!(@make true, $crate::kernel!(@loop f32, bool, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, bool, params_f64, |$($x),+| $b), None)
    };
    (all_to_bool |$($x:ident),+| $b:expr) => {
        $crate::kernel!(@make true, $crate::kernel!(@loop f32, bool, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, bool, params_f64, |$($x),+| $b),
            $crate::kernel!(@loop i64, bool, params_i64, |$($x),+| $b))
    };
    (split_to_bool |$($x:ident),+| $b:expr; |$($y:ident),+| $c:expr) => {
        $crate::kernel!(@make true, $crate::kernel!(@loop f32, bool, params_f32, |$($x),+| $b),
            $crate::kernel!(@loop f64, bool, params_f64, |$($x),+| $b),
            $crate::kernel!(@loop i64, bool, params_i64, |$($y),+| $c))
    };
}

/// One operand: first element, dtype, the dtype that the loop reads or writes it in, and its strides over the output's
/// shape.
pub struct Operand<'a> {
    /// First element.
    pub ptr: *mut u8,
    /// Its dtype.
    pub dtype: DType,
    /// What the loop takes it as.
    pub loop_dtype: DType,
    /// Strides in elements, one per output dimension.
    pub strides: &'a [isize],
}

const BLOCK: usize = 1024;

#[repr(align(64))]
struct Buffer(#[allow(dead_code)] [u8; BLOCK * 16]);

/// One operand of one row.
#[derive(Clone, Copy)]
pub struct Lane {
    /// First element.
    pub ptr: Shared<u8>,
    /// Its dtype.
    pub dtype: DType,
    /// What the loop takes it as.
    pub loop_dtype: DType,
    /// From element to element; 0 means that `period` elements, one after the other, repeat.
    pub step: isize,
    /// Length of what repeats (at most [`MAX_PERIOD`]).
    pub period: usize,
}

/// The longest sequence that a [`Lane`] can repeat.
pub const MAX_PERIOD: usize = BLOCK / 2;

impl Lane {
    /// The lane from element `i` on.
    #[inline(always)]
    pub unsafe fn from(self, i: usize) -> Lane {
        Lane { ptr: Shared(self.ptr.get().offset(i as isize * self.step * self.dtype.size() as isize)), ..self }
    }
    #[inline(always)]
    fn direct(&self, n: usize) -> bool {
        self.dtype == self.loop_dtype && (self.step == 1 || n == 1)
    }
}

/// Runs a loop over one row. Blocks of each operand that does not lie as the loop wants it go through a buffer.
pub unsafe fn row<const N: usize>(ins: [Lane; N], out: Lane, n: usize, f: Loop, p: &Params) {
    let direct_in: [bool; N] = std::array::from_fn(|k| ins[k].direct(n));
    let direct_out = out.direct(n);
    let mut args = [std::ptr::null(); 3];
    if direct_out && direct_in.iter().all(|&d| d) {
        for k in 0..N {
            args[k] = ins[k].ptr.get();
        }
        return f(&args, out.ptr.get(), n, p);
    }
    let mut buffers = [const { MaybeUninit::<Buffer>::uninit() }; N];
    let mut result = MaybeUninit::<Buffer>::uninit();
    // A block begins where every repeated sequence begins.
    let period = ins.iter().map(|l| if l.step == 0 { l.period } else { 1 }).max().unwrap_or(1);
    let block = BLOCK / period * period;
    let mut done = 0;
    while done < n {
        let m = (n - done).min(block);
        for k in 0..N {
            let l = ins[k];
            let from = l.from(done).ptr.get();
            args[k] = if direct_in[k] {
                from
            } else {
                let b = buffers[k].as_mut_ptr().cast::<u8>();
                if l.step != 0 {
                    cast_row(from, l.dtype, l.step, b, l.loop_dtype, 1, m);
                } else if done == 0 {
                    let mut have = l.period.min(m);
                    cast_row(from, l.dtype, 1, b, l.loop_dtype, 1, have);
                    let size = l.loop_dtype.size();
                    while have < m {
                        let more = have.min(m - have);
                        std::ptr::copy_nonoverlapping(b, b.add(have * size), more * size);
                        have += more;
                    }
                }
                b
            };
        }
        let to = out.from(done).ptr.get();
        if direct_out {
            f(&args, to, m, p);
        } else {
            let r = result.as_mut_ptr().cast::<u8>();
            f(&args, r, m, p);
            cast_row(r, out.loop_dtype, 1, to, out.dtype, out.step, m);
        }
        done += m;
    }
}

/// `out[i] = f(ins[0][i], ...)` along one line of `n` elements, a multiple of every period.
pub unsafe fn line<const N: usize>(ins: [Lane; N], out: Lane, n: usize, f: Loop, p: &Params) {
    let period = ins.iter().map(|l| if l.step == 0 { l.period } else { 1 }).max().unwrap_or(1);
    if n <= GRAIN {
        return row(ins, out, n, f, p);
    }
    parallel_for(n / period, GRAIN / period, &|r| {
        let start = r.start * period;
        // SAFETY: disjoint ranges of the line.
        unsafe { row(ins.map(|l| l.from(start)), out.from(start), r.len() * period, f, p) }
    });
}

/// `out[i] = f(ins[0][i], ...)` over `shape`. `out` may be one of the inputs (same layout), else must not overlap them.
pub unsafe fn map<const N: usize>(shape: &[usize], ins: [Operand; N], out: Operand, f: Loop, p: &Params) {
    let lane = |o: &Operand| Lane { ptr: Shared(o.ptr), dtype: o.dtype, loop_dtype: o.loop_dtype, step: 1, period: 1 };
    let (from, to) = (std::array::from_fn::<Lane, N, _>(|k| lane(&ins[k])), lane(&out));
    let at = |l: Lane, bytes: isize, step: isize| Lane { ptr: Shared(l.ptr.get().offset(bytes)), step, ..l };
    macro_rules! go {
        ($($k:literal),+) => {{
            let (strides, sizes) = ([out.strides, $(ins[$k].strides),+], [to.dtype.size(), $(from[$k].dtype.size()),+]);
            rows(shape, strides, sizes, GRAIN, &|o, s, n| {
                let lanes = std::array::from_fn::<Lane, N, _>(|k| at(from[k], o[k + 1], s[k + 1]));
                row(lanes, at(to, o[0], s[0]), n, f, p);
            })
        }};
    }
    match N {
        1 => go!(0),
        2 => go!(0, 1),
        _ => go!(0, 1, 2),
    }
}
