//! Calls every op of the table by name, in place and not, with arguments of every sort: most do not fit, but each op is
//! also called in ways that do. After each call:
//!
//! * no panic, no call that works for more than two seconds, and (under AddressSanitizer) no memory fault;
//! * a call that failed has changed nothing, one that succeeded has changed only what it is declared to change;
//! * results can be read, and gradients walk back through them and have the shapes of their inputs;
//! * (with the feature `exact`) a part of the calls, made once more in memory that held other bytes, gives the same bits:
//!   whatever an op reads was written before.
//!
//! An op that is refused every time is a failure too. What was accepted is kept and varied, so that calls stay close to
//! what an op wants. `cargo test` makes a short run; `make fuzz` a long one with AddressSanitizer and exact blocks.
//!
//! Sizes go up to 2^63: tensors of such sizes have no elements or repeat one. Work in proportion to the elements of a
//! tensor is no fault, so calls are interrupted after a moment; those that cannot be are told.
//!
//! Options: `--seed N`, `--calls N` per op, `--seconds N`, `--op NAME`, `--avoid NAME,NAME`, `--threads N`, `--most N`
//! (seconds that a call may take: more than 2 in an emulator), `--supervise`
//! (restarts after a crash and says which call it was), `--show` (prints each call).
#![allow(clippy::disallowed_types, clippy::disallowed_macros, clippy::disallowed_methods, reason = "tests")]

use rustorch::autograd::{self, GradMode};
use rustorch::dtype::{half, Elem, Scalar, ALL};
use rustorch::ops::{self, ArgKind, Attr, Holds, OpDef};
use rustorch::{DType, Kind, Result, Tensor};
#[cfg(not(feature = "reserve"))]
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::panic::{catch_unwind, AssertUnwindSafe};
#[cfg(not(feature = "reserve"))]
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Larger blocks than this are refused, so that absurd sizes fail at once.
#[cfg(not(feature = "reserve"))]
static MOST_BYTES: AtomicUsize = AtomicUsize::new(8 << 20);
/// Processor time that one call may take, in seconds.
static MOST_TIME: AtomicU64 = AtomicU64::new(2);
/// After this time a call is asked to end.
const PATIENCE: Duration = Duration::from_millis(20);
/// Of this many elements in all are the inputs of calls that are kept and varied.
const MOST_KEPT: usize = 1 << 13;

/// What new memory is filled with.
static POISON: AtomicU8 = AtomicU8::new(0);
/// Whether it is filled at all.
const POISONS: bool = cfg!(all(feature = "exact", not(feature = "reserve")));

#[cfg(not(feature = "reserve"))]
struct Bounded;
// SAFETY: the system's allocator, but for the blocks that it refuses.
#[cfg(not(feature = "reserve"))]
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 {
        if l.size() > MOST_BYTES.load(Ordering::Relaxed) {
            return std::ptr::null_mut();
        }
        let p = System.alloc(l);
        if POISONS && !p.is_null() {
            p.write_bytes(POISON.load(Ordering::Relaxed), l.size());
        }
        p
    }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) {
        System.dealloc(p, l)
    }
    unsafe fn alloc_zeroed(&self, l: Layout) -> *mut u8 {
        if l.size() > MOST_BYTES.load(Ordering::Relaxed) {
            return std::ptr::null_mut();
        }
        System.alloc_zeroed(l)
    }
}
#[cfg(not(feature = "reserve"))]
#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

/// The crate's own allocator cannot be replaced: the address space is bounded instead.
#[cfg(all(feature = "reserve", target_os = "linux"))]
fn bound_memory() {
    extern "C" {
        fn setrlimit(resource: i32, limits: *const [u64; 2]) -> i32;
    }
    // SAFETY: resource 9 is the size of the address space; the limits are read.
    unsafe { setrlimit(9, &[640 << 20; 2]) };
}
#[cfg(not(all(feature = "reserve", target_os = "linux")))]
fn bound_memory() {}

// ---- random choices ----

struct Rng(u64);

impl Rng {
    fn new(seed: u64, name: &str) -> Rng {
        let mut r = Rng(name
            .bytes()
            .fold(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01B3))
            | 1);
        for _ in 0..8 {
            r.next();
        }
        r
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) as usize) % n.max(1)
    }
    /// True `percent` times in a hundred.
    fn hit(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as usize) as i64
    }
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

// ---- what a call is made of ----

#[derive(Clone, Copy, Debug, PartialEq)]
enum Values {
    /// -2 to 2.
    Real,
    /// 0.1 to 0.9.
    Probability,
    /// 0, 1 and 2.
    Small,
    /// -4 to 7.
    Whole,
    /// Infinities, NaN and the ends of the types among others.
    Odd,
    Zeros,
    Ones,
    /// Ascending.
    Sorted,
    /// Noise with a heavy diagonal in the last two dimensions.
    Diagonal,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum View {
    Plain,
    /// Two dimensions exchanged.
    Turned(usize, usize),
    /// Every `step`-th along a dimension, after `start`.
    Sliced(usize, usize, usize),
    /// Dimensions whose bit is set are repeated.
    Expanded(u32),
    /// Each dimension steps by one element: overlapping.
    Overlapping,
}

#[derive(Clone, Debug)]
struct Spec {
    shape: Vec<usize>,
    dtype: DType,
    view: View,
    values: Values,
    /// 0: no gradient wanted, 1: a leaf, 2: the result of an op.
    grad: u8,
    /// The same handle as an earlier tensor (or as that one's storage from its second element on).
    same: Option<(usize, bool)>,
    /// A plain number.
    number: bool,
}

#[derive(Clone, Debug)]
enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Ints(Vec<i64>),
    DType(DType),
    Str(&'static str),
    Generator,
}

#[derive(Clone, Debug)]
struct Plan {
    inplace: bool,
    tensors: Vec<Option<Spec>>,
    attrs: Vec<Value>,
    no_grad: bool,
}

const SHAPES: &[&[usize]] = &[
    &[],
    &[0],
    &[1],
    &[2],
    &[3],
    &[5],
    &[8],
    &[17],
    &[2, 3],
    &[3, 2],
    &[3, 3],
    &[4, 4],
    &[1, 1],
    &[0, 3],
    &[3, 0],
    &[1, 4, 1],
    &[2, 3, 4],
    &[3, 3, 3],
    &[2, 0, 3],
    &[1, 2, 6, 6],
    &[2, 3, 5, 5],
    &[0, 2, 3, 3],
    &[1, 1, 1, 1],
    &[2, 2, 3, 4, 5],
    &[1, 2, 1, 2, 1, 2],
    &[1, 1, 1, 1, 1, 1, 1, 2],
    &[1; 64],
    &[1; 65],
    &[1; 300],
    &[0, 1 << 40],
    &[1 << 40, 0],
    &[0, 0],
    &[1 << 20],
    &[3, 1 << 20],
    &[1 << 40],
    &[2, 1 << 40],
    &[1 << 62],
    &[1 << 63],
    &[(1 << 63) - 1],
    &[0, (1 << 63) - 1],
    &[1 << 31, 1 << 31],
    &[1 << 62, 8],
    &[33, 33],
    &[300],
    &[1, 300],
    &[64, 5],
];
const INTS: &[i64] = &[
    -3,
    -2,
    -1,
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    16,
    100,
    1000,
    65536,
    1 << 31,
    -(1 << 31),
    1 << 32,
    1 << 40,
    1 << 62,
    -(1 << 62),
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
    i64::MIN + 1,
];
const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    3.0,
    0.1,
    1e-8,
    1e-300,
    1e300,
    -1e300,
    1e18,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    256.0,
    65536.0,
    9.3e18,
    -9.3e18,
    1e-45,
];
const WORDS: &[&str] = &[
    "",
    "mean",
    "sum",
    "none",
    "batchmean",
    "floor",
    "trunc",
    "ij",
    "xy",
    "constant",
    "reflect",
    "replicate",
    "circular",
    "nearest",
    "bilinear",
    "linear",
    "lower",
    "higher",
    "midpoint",
    "prod",
    "amax",
    "amin",
    "multiply",
    "add",
    "left",
    "right",
    "reduced",
    "complete",
    "r",
    "L",
    "U",
    "u",
    "tanh",
    "fro",
    "nuc",
    "ij,jk->ik",
    "i,i->",
    "ii->i",
    "...",
    "...i,...i",
    "ij->ji",
    "a",
    "->",
    "aa",
    "i->ii",
    "ij,",
    "é",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
    "long text that is certainly no word of any op\u{0}",
];
/// Modules whose ops read whole inputs to give little: repeated elements cost what real ones do.
const READERS: &[&str] = &["reduce", "loss", "sort", "linalg", "matmul", "norm", "conv", "index"];

/// Calls that fit, for ops that random arguments seldom meet.
const RECIPES: &str = include_str!("../../tests/abi/calls.txt");

/// Ops whose results are not written at all, by declaration.
const UNWRITTEN: &[&str] = &["empty", "empty_like", "empty_strided", "resize", "set"];

fn parsed(op: &OpDef, text: &str) -> Plan {
    let (tensors, attrs) = text.split_once('|').expect("a bar");
    let spec = |word: &str| {
        if word == "-" {
            return None;
        }
        let (dtype, values) = match word.as_bytes()[0] {
            b'f' => (DType::F32, Values::Real),
            b'g' => (DType::F64, Values::Real),
            b'c' => (DType::C64, Values::Real),
            b'i' => (DType::I64, Values::Small),
            b'b' => (DType::Bool, Values::Small),
            b'p' => (DType::F32, Values::Probability),
            b's' => (DType::F32, Values::Sorted),
            b'o' => (DType::I32, Values::Ones),
            b'd' => (DType::F32, Values::Diagonal),
            other => panic!("unknown type {other} in a recipe of {}", op.name),
        };
        let shape = word[1..].split(',').filter(|s| !s.is_empty()).map(|s| s.parse().expect("a size")).collect();
        Some(Spec { shape, dtype, view: View::Plain, values, grad: 0, same: None, number: false })
    };
    let words: Vec<&str> = attrs.split_whitespace().collect();
    let attrs = op.attr_args().enumerate().map(|(i, a)| match words.get(i) {
        Some(&w) if w != "~" => from_text(a.kind, w),
        _ => a.default.map_or(Value::None, |d| from_text(a.kind, d)),
    });
    Plan {
        inplace: false,
        tensors: tensors.split_whitespace().map(spec).collect(),
        attrs: attrs.collect(),
        no_grad: false,
    }
}

/// An attribute as the table or a recipe writes it.
fn from_text(kind: ArgKind, text: &str) -> Value {
    use Holds::*;
    let numbers = || {
        text.trim_matches(['[', ']'])
            .split(',')
            .map(str::trim)
            .filter(|s| !s.is_empty())
            .map(|s| s.parse().expect("a number"))
            .collect()
    };
    match kind.def().holds {
        Generator => Value::Generator,
        _ if text == "None" || text == "-" => Value::None,
        Str => Value::Str(Box::leak(text.trim_matches('"').to_string().into_boxed_str())),
        Ints => Value::Ints(numbers()),
        Bool => Value::Bool(text == "true"),
        DType => Value::DType(rustorch::DType::F32),
        _ if text == "true" || text == "false" => Value::Bool(text == "true"),
        Int => Value::Int(text.parse().expect("a number")),
        _ => text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Float)).expect("a number"),
    }
}

// ---- making up calls ----

/// Ops whose rule says that there is no derivative, as in PyTorch.
const ENDS: [&str; 2] = ["_standard_gamma_grad", "_dirichlet_grad"];

struct Target {
    op: &'static OpDef,
    module: &'static str,
    rng: Rng,
    kept: Vec<Plan>,
    recipes: usize,
    /// Calls thought of, and those whose arguments could be made.
    calls: u64,
    made: u64,
    accepted: [u64; 2],
    backward: u64,
    /// Calls that were interrupted, and those that were made twice and compared.
    interrupted: u64,
    pairs: u64,
    shown: u32,
    time: Duration,
    gradients_wanted: bool,
}

impl Target {
    fn new(module: &'static str, op: &'static OpDef, seed: u64) -> Target {
        let own = RECIPES.lines().filter_map(|l| l.split_once(": ")).filter(|r| r.0 == op.name);
        let kept: Vec<Plan> = own.map(|r| parsed(op, r.1)).collect();
        let recipes = kept.len();
        let rng = Rng::new(seed, op.name);
        Target {
            op,
            module,
            rng,
            kept,
            recipes,
            calls: 0,
            made: 0,
            accepted: [0; 2],
            backward: 0,
            interrupted: 0,
            pairs: 0,
            shown: 0,
            time: Duration::ZERO,
            gradients_wanted: op.vjp.is_some() && !ENDS.contains(&op.name),
        }
    }

    /// Calls made, accepted, walked back, made twice.
    fn counts(&self) -> [u64; 4] {
        [self.made, self.accepted[0] + self.accepted[1], self.backward, self.pairs]
    }

    fn plan(&mut self) -> Plan {
        let way = self.rng.below(100);
        let mut p = if !self.kept.is_empty() && way < 65 {
            let mut p = self.rng.pick(&self.kept).clone();
            if self.rng.hit(50) {
                for t in p.tensors.iter_mut().flatten() {
                    t.grad = if t.dtype.is_differentiable() { *self.rng.pick(&[0, 1, 1, 2]) } else { 0 };
                }
            }
            for _ in 0..[0, 1, 1, 1, 2, 3][self.rng.below(6)] {
                self.vary(&mut p);
            }
            p
        } else {
            self.fresh(way.is_multiple_of(2))
        };
        p.inplace = self.op.inplace && self.rng.hit(40);
        p.no_grad = self.rng.hit(8);
        if p.inplace && self.rng.hit(70) {
            // Leaves that want gradients are refused: give history, or nothing.
            if let Some(Some(t)) = p.tensors.first_mut() {
                t.grad = if t.grad == 1 { 2 } else { t.grad };
            }
        }
        p
    }

    fn fresh(&mut self, friendly: bool) -> Plan {
        let op = self.op;
        let common: Vec<usize> = match self.rng.below(10) {
            0..=6 => vec![3; *self.rng.pick(&[1, 1, 2, 2, 2, 3, 4, 5])],
            7 => vec![4; self.rng.below(3)],
            _ => self.rng.pick(SHAPES).to_vec(),
        };
        let length = self.rng.below(4);
        let mut tensors = Vec::new();
        for a in op.tensor_args().filter(|a| !a.kind.is_list()) {
            let missing = if a.kind.is_optional() { 30 } else { 1 };
            tensors.push(if self.rng.hit(missing) {
                None
            } else {
                Some(self.spec(friendly, &common, tensors.len(), a.name))
            });
        }
        for a in op.tensor_args().filter(|a| a.kind.is_list()) {
            for _ in 0..length {
                let missing = if a.kind.is_optional() { 30 } else { 1 };
                tensors.push(if self.rng.hit(missing) {
                    None
                } else {
                    Some(self.spec(friendly, &common, tensors.len(), a.name))
                });
            }
        }
        let mut attrs = Vec::new();
        for a in op.attr_args() {
            let usual = if friendly { 75 } else { 30 };
            attrs.push(match a.default {
                Some(d) if self.rng.hit(usual) => from_text(a.kind, d),
                _ => self.value(a.kind, friendly),
            });
        }
        Plan { inplace: false, tensors, attrs, no_grad: false }
    }

    fn spec(&mut self, friendly: bool, common: &[usize], index: usize, name: &str) -> Spec {
        let r = &mut self.rng;
        let shape = if friendly && r.hit(85) { common.to_vec() } else { r.pick(SHAPES).to_vec() };
        let whole = ["index", "indices", "repeats", "target"].contains(&name) && r.hit(70);
        let dtype = match r.below(10) {
            _ if ["mask", "condition", "attn_mask"].contains(&name) && r.hit(80) => DType::Bool,
            _ if whole => *r.pick(&[DType::I64, DType::I64, DType::Bool, DType::I32]),
            0..=5 => DType::F32,
            6 => DType::F64,
            7 => DType::I64,
            _ => *r.pick(ALL),
        };
        let values = match r.below(8) {
            _ if whole && friendly => Values::Small,
            0..=2 => Values::Real,
            3 => Values::Probability,
            4 => Values::Small,
            5 => Values::Diagonal,
            6 => Values::Odd,
            _ => *r.pick(&[Values::Whole, Values::Zeros, Values::Ones, Values::Sorted]),
        };
        let grad = if dtype.is_differentiable() { *r.pick(&[0, 0, 1, 2]) } else { 0 };
        let same = (index > 0 && r.hit(if friendly { 10 } else { 20 })).then(|| (r.below(index), r.hit(30)));
        let view = self.view(shape.len());
        let number = shape.is_empty() && self.rng.hit(40);
        Spec { shape, dtype, view, values, grad, same, number }
    }

    fn view(&mut self, ndim: usize) -> View {
        let r = &mut self.rng;
        match r.below(10) {
            0 if ndim > 1 => View::Turned(r.below(ndim), r.below(ndim)),
            1 if ndim > 0 => View::Sliced(r.below(ndim), 1 + r.below(3), r.below(3)),
            2 if ndim > 0 => View::Expanded(1 << r.below(ndim.min(32))),
            3 if ndim > 0 && r.hit(40) => View::Overlapping,
            _ => View::Plain,
        }
    }

    fn int(&mut self, friendly: bool) -> i64 {
        match self.rng.below(10) {
            0..=1 if !friendly => *self.rng.pick(INTS),
            0..=7 => self.rng.between(0, 3),
            _ => self.rng.between(-3, 6),
        }
    }

    fn value(&mut self, kind: ArgKind, friendly: bool) -> Value {
        use Holds::*;
        if kind.is_optional() && kind.def().holds != Generator && self.rng.hit(40) {
            return Value::None;
        }
        match kind.def().holds {
            Scalar => match self.rng.below(4) {
                0 | 1 => Value::Int(self.int(friendly)),
                2 => Value::Bool(self.rng.hit(50)),
                _ => Value::Float(*self.rng.pick(FLOATS)),
            },
            Int => Value::Int(self.int(friendly)),
            Ints => {
                let n = self.rng.below(5);
                let equal = self.int(friendly);
                let all = self.rng.hit(50);
                Value::Ints((0..n).map(|_| if all { equal } else { self.int(friendly) }).collect())
            }
            Float if self.rng.hit(15) => Value::Int(self.int(friendly)),
            Float => Value::Float(if friendly { self.rng.unit() } else { *self.rng.pick(FLOATS) }),
            Bool => Value::Bool(self.rng.hit(50)),
            DType => Value::DType(*self.rng.pick(ALL)),
            Str => Value::Str(WORDS[self.rng.below(WORDS.len())]),
            Generator | Tensor => Value::Generator,
        }
    }

    /// Changes one thing.
    fn vary(&mut self, p: &mut Plan) {
        let (nt, na) = (p.tensors.len(), p.attrs.len());
        if na > 0 && (nt == 0 || self.rng.hit(40)) {
            let k = self.rng.below(na);
            let kind = self.op.attr_args().nth(k).map_or(ArgKind::Int, |a| a.kind);
            if let (Value::Ints(v), true) = (&mut p.attrs[k], self.rng.hit(70)) {
                let i = self.rng.below(v.len());
                match self.rng.below(6) {
                    0 => v.push(1),
                    1 => drop(v.pop()),
                    2 if !v.is_empty() => v[i] = *self.rng.pick(INTS),
                    _ if !v.is_empty() => v[i] = v[i].wrapping_add(self.rng.between(-2, 2)),
                    _ => {}
                }
            } else {
                let friendly = self.rng.hit(50);
                p.attrs[k] = self.value(kind, friendly);
            }
            return;
        }
        if nt == 0 {
            return;
        }
        let k = self.rng.below(nt);
        let n_single = self.op.tensor_args().filter(|a| !a.kind.is_list()).count();
        let lists = self.op.tensor_args().count() - n_single;
        if lists > 0 && self.rng.hit(15) {
            // One more, or one less, in each list.
            let n = (nt - n_single) / lists;
            if n > 0 && self.rng.hit(50) {
                for l in (0..lists).rev() {
                    p.tensors.remove(n_single + l * n + n - 1);
                }
            } else {
                for l in (0..lists).rev() {
                    let extra = self.rng.pick(&p.tensors).clone();
                    p.tensors.insert(n_single + (l + 1) * n, extra);
                }
            }
            return;
        }
        let Some(mut t) = p.tensors[k].clone() else {
            let shape = self.rng.pick(SHAPES).to_vec();
            p.tensors[k] = Some(self.spec(true, &shape, k, ""));
            return;
        };
        match self.rng.below(14) {
            0 | 1 if !t.shape.is_empty() => {
                let d = self.rng.below(t.shape.len());
                t.shape[d] = match self.rng.below(8) {
                    0 => 0,
                    1 => 1,
                    2 => t.shape[d] + 1,
                    3 => t.shape[d].saturating_sub(1),
                    4 => *self.rng.pick(&[1 << 20, 1 << 40, 1 << 62, (1 << 63) - 1, 40, 100, 1000]),
                    _ => 1 + self.rng.below(5),
                };
            }
            2 => t.shape.push(1 + self.rng.below(3)),
            3 => drop(t.shape.pop()),
            4 | 5 => t.dtype = *self.rng.pick(ALL),
            6 | 7 => t.view = self.view(t.shape.len()),
            8 | 9 => {
                use Values::*;
                t.values = *self.rng.pick(&[Real, Probability, Small, Whole, Odd, Zeros, Ones, Sorted, Diagonal]);
            }
            10 => t.grad = self.rng.below(3) as u8,
            11 if k > 0 => t.same = if t.same.is_some() { None } else { Some((self.rng.below(k), self.rng.hit(40))) },
            12 => {
                let other = self.rng.below(nt);
                if let Some(o) = &p.tensors[other] {
                    t.shape = o.shape.clone();
                }
            }
            13 => {
                let optional = self.rng.hit(60);
                p.tensors[k] = if optional { None } else { Some(t) };
                return;
            }
            _ => t.shape = self.rng.pick(SHAPES).to_vec(),
        }
        p.tensors[k] = Some(t);
    }
}

// ---- making tensors ----

/// A tensor and the block that its elements lie in.
struct Made {
    tensor: Tensor,
    block: Tensor,
    leaf: Tensor,
}

fn element(values: Values, dtype: DType, i: usize, n: usize, cols: usize, rng: &mut Rng) -> f64 {
    match values {
        Values::Real if dtype.is_differentiable() => rng.unit() * 4.0 - 2.0,
        Values::Real | Values::Whole => rng.between(-4, 7) as f64,
        Values::Probability => 0.1 + 0.8 * rng.unit(),
        Values::Small => rng.below(3) as f64,
        Values::Odd if rng.hit(60) => rng.between(-4, 7) as f64,
        Values::Odd => match rng.below(3) {
            0 => dtype.max(),
            1 => dtype.min(),
            _ => *rng.pick(FLOATS),
        },
        Values::Zeros => 0.0,
        Values::Ones => 1.0,
        Values::Sorted => i as f64 - n as f64 / 2.0,
        Values::Diagonal => (if cols > 0 && i % cols == i / cols % cols { 5.0 } else { 0.0 }) + (rng.unit() - 0.5),
    }
}

fn from<T: Elem>(values: &[f64], shape: &[usize]) -> Result<Tensor> {
    let elements: Vec<T> = values.iter().map(|&v| T::from_f64(v)).collect();
    Tensor::from_slice(&elements, shape)
}

fn fresh_block(s: &Spec, shape: &[usize], rng: &mut Rng) -> Result<Tensor> {
    let n = shape.iter().product();
    let cols = shape.last().copied().unwrap_or(0);
    let values: Vec<f64> = (0..n).map(|i| element(s.values, s.dtype, i, n, cols, rng)).collect();
    match s.dtype {
        DType::Bool => Tensor::from_slice(&values.iter().map(|v| *v >= 1.0).collect::<Vec<bool>>(), shape),
        DType::U8 => from::<u8>(&values, shape),
        DType::I8 => from::<i8>(&values, shape),
        DType::I16 => from::<i16>(&values, shape),
        DType::I32 => from::<i32>(&values, shape),
        DType::I64 => from::<i64>(&values, shape),
        DType::F16 => from::<half::f16>(&values, shape),
        DType::BF16 => from::<half::bf16>(&values, shape),
        DType::F32 => from::<f32>(&values, shape),
        DType::F64 => from::<f64>(&values, shape),
        DType::U16 => from::<u16>(&values, shape),
        DType::U32 => from::<u32>(&values, shape),
        DType::U64 => from::<u64>(&values, shape),
        DType::C64 | DType::C128 => {
            let imaginary = fresh_block(&Spec { dtype: DType::F64, ..s.clone() }, shape, rng)?;
            Tensor::complex(&from::<f64>(&values, shape)?, &imaginary)?.cast(s.dtype)
        }
    }
}

fn signed(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&d| d as i64).collect()
}

fn is(bits: u32, d: usize) -> bool {
    d < 32 && bits >> d & 1 == 1
}

fn made(s: &Spec, huge: bool, rng: &mut Rng) -> Result<Made> {
    if s.number && s.shape.is_empty() {
        let v = *rng.pick(FLOATS);
        let t = Tensor::number(if rng.hit(50) { Scalar::Float(v) } else { Scalar::Int(rng.between(-3, 6)) })?;
        return Ok(Made { block: t.clone(), leaf: t.clone(), tensor: t });
    }
    // What is large is repeated.
    let mut shape = s.shape.clone();
    let mut repeated = if let View::Expanded(bits) = s.view { bits } else { 0 };
    let count = |shape: &[usize]| shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if !shape.contains(&0) {
        // What is large is far too large, or has at most so many elements that a call takes no time.
        let most = if rng.hit(3) { 1 << 16 } else { 1 << 12 };
        let far = count(&shape).is_none_or(|n| n > 1 << 36);
        while count(&shape).is_none_or(|n| n > most) && !(far && huge) {
            let d = (0..shape.len()).max_by_key(|&d| shape[d]).unwrap_or(0);
            shape[d] = if shape[d] > 64 { 64 } else { shape[d] / 2 };
        }
        let real = |shape: &[usize], repeated: u32| {
            shape.iter().enumerate().filter(|(d, _)| !is(repeated, *d)).try_fold(1usize, |n, (_, &d)| n.checked_mul(d))
        };
        while real(&shape, repeated).is_none_or(|n| n > 2048) {
            let next = (0..shape.len()).filter(|&d| !is(repeated, d)).max_by_key(|&d| shape[d]).unwrap_or(0);
            match 1u32.checked_shl(next as u32) {
                Some(bit) => repeated |= bit,
                None => shape[next] = 1,
            }
        }
    }
    let mut own = shape.clone();
    own.iter_mut().enumerate().filter(|(d, _)| is(repeated, *d)).for_each(|(_, d)| *d = 1);
    let view = if repeated != 0 { View::Expanded(repeated) } else { s.view };
    match view {
        View::Turned(a, b) if a < own.len() && b < own.len() => own.swap(a, b),
        View::Sliced(d, step, start) if d < own.len() && own[d] < 1000 => own[d] = start + own[d] * step,
        View::Overlapping => own = vec![own.iter().map(|d| d.saturating_sub(1)).sum::<usize>() + 1],
        _ => {}
    }
    if count(&own).is_none_or(|n| n > 1 << 16) {
        own = vec![1];
    }
    let leaf = fresh_block(s, &own, rng)?;
    let mut block = leaf.clone();
    let grad = s.dtype.is_differentiable() && s.grad > 0;
    if grad && s.grad == 2 {
        leaf.set_requires_grad(true)?;
        block = leaf.duplicate()?;
    }
    let _mode = GradMode::set(s.grad == 2);
    let tensor = match view {
        View::Turned(a, b) if a < own.len() && b < own.len() => block.transpose(a as i64, b as i64)?,
        View::Sliced(d, step, start) if d < own.len() && shape[d] < 1000 => {
            block.slice(d as i64, Some(start as i64), None, step as i64)?
        }
        View::Expanded(_) => block.expand(&signed(&shape))?,
        View::Overlapping if !shape.contains(&0) => {
            block.as_strided(&signed(&shape), &vec![1; shape.len()], Some(0))?
        }
        _ => block.clone(),
    };
    if grad && s.grad == 1 {
        tensor.set_requires_grad(true)?;
        return Ok(Made { block, leaf: tensor.clone(), tensor });
    }
    Ok(Made { tensor, block, leaf })
}

// ---- one call ----

#[derive(Default)]
struct Report {
    /// What went wrong, and how often.
    faults: BTreeMap<String, u64>,
}

thread_local! {
    static PANIC: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}
/// The processor time when the call under way began, in microseconds.
static BEGAN: AtomicU64 = AtomicU64::new(0);

/// The processor time that the call under way has taken.
fn took() -> Duration {
    cpu().saturating_sub(Duration::from_micros(BEGAN.load(Ordering::Relaxed)))
}

/// The library asks whether the call is to go on.
unsafe extern "C-unwind" fn ask() -> i32 {
    (took() > PATIENCE) as i32
}

/// A call begins.
fn begin() {
    BEGAN.store(cpu().as_micros() as u64, Ordering::Relaxed);
}

/// So many times what one call may take.
fn most_time(times: u64) -> Duration {
    Duration::from_secs(times * MOST_TIME.load(Ordering::Relaxed))
}

/// The processor time of the call that has ended, if it was too long.
fn too_long() -> Option<Duration> {
    Some(took()).filter(|t| *t > most_time(1))
}

/// Processor time of this process.
fn cpu() -> Duration {
    #[cfg(target_os = "linux")]
    {
        #[repr(C)]
        struct Time(i64, i64);
        extern "C" {
            fn clock_gettime(clock: i32, t: *mut Time) -> i32;
        }
        let mut t = Time(0, 0);
        // SAFETY: the clock of this process, and room for its answer.
        if unsafe { clock_gettime(2, &mut t) } == 0 {
            return Duration::new(t.0 as u64, t.1 as u32);
        }
    }
    Duration::ZERO
}

/// The bytes of a row-major tensor.
fn bytes(t: &Tensor) -> &[u8] {
    if t.numel() == 0 {
        return &[];
    }
    // SAFETY: `t` is row-major; nobody writes while we look.
    unsafe { std::slice::from_raw_parts(t.data_ptr(), t.numel() * t.dtype().size()) }
}

/// Runs `f`; a panic, also one that came as an error, is given as text. None: it was interrupted.
fn quiet<R>(f: impl FnOnce() -> Result<R>) -> std::result::Result<Option<Result<R>>, String> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Err(e)) if e.kind() == Kind::Panic => Err(format!("PANIC as an error: {e}")),
        Ok(Err(e)) if e.kind() == Kind::Interrupted => Ok(None),
        Ok(r) => Ok(Some(r)),
        // Panics carry words.
        Err(what) if !what.is::<String>() && !what.is::<&str>() => Ok(None),
        Err(_) => Err(format!("PANIC {}", PANIC.with(|p| p.borrow().clone()))),
    }
}

/// What a call gave: the bytes of results, of gradients, and of the inputs afterwards.
#[derive(Default, PartialEq)]
struct Seen {
    parts: Vec<(String, Vec<u8>)>,
    /// Inputs and results have few elements.
    small: bool,
}

impl Seen {
    fn note(&mut self, what: &str, k: usize, t: &Tensor) {
        if t.numel() <= MOST_KEPT {
            if let Ok(t) = t.contiguous() {
                self.parts.push((format!("{what} {k}, {}{:?}", t.dtype(), t.shape()), bytes(&t).to_vec()));
            }
        }
    }
}

struct Options {
    seed: u64,
    calls: u64,
    seconds: f64,
    op: Option<String>,
    show: bool,
    skip: u64,
    state: Option<std::fs::File>,
    avoid: BTreeSet<String>,
}

impl Target {
    fn name(&self, p: &Plan) -> String {
        format!("{}{}", self.op.name, if p.inplace { "_" } else { "" })
    }

    fn once(&mut self, p: &Plan, report: &mut Report) {
        let seed = self.rng.next() | 1;
        let again = POISONS && self.rng.hit(12) && !UNWRITTEN.contains(&self.op.name);
        POISON.store(0, Ordering::Relaxed);
        self.made += 1;
        let interrupted = self.interrupted;
        let Some(seen) = self.attempt(p, seed, again, report) else { return };
        self.accepted[p.inplace as usize] += 1;
        let keep = self.rng.hit(10);
        if seen.small && self.kept.len() < self.recipes + 24 {
            self.kept.push(p.clone());
        } else if seen.small && keep {
            let k = self.recipes + self.rng.below(24);
            self.kept[k] = p.clone();
        }
        if again {
            POISON.store(0xA7, Ordering::Relaxed);
            let mut quietly = Report::default();
            let other = self.attempt(p, seed, again, &mut quietly);
            POISON.store(0, Ordering::Relaxed);
            if self.interrupted > interrupted {
                return;
            }
            self.pairs += 1;
            let name = self.name(p);
            let mut fault = |what: String| *report.faults.entry(format!("{name}: {what}")).or_default() += 1;
            let Some(other) = other else { return fault("SECOND CALL refused or faulty".into()) };
            if let Some((a, b)) = seen.parts.iter().zip(&other.parts).find(|(a, b)| a != b) {
                if self.shown < 3 {
                    self.shown += 1;
                    let at = a.1.iter().zip(&b.1).position(|(x, y)| x != y).unwrap_or(a.1.len());
                    println!("  {}: byte {at} of {} is {:x?} and {:x?}", a.0, a.1.len(), a.1.get(at), b.1.get(at));
                }
                fault("READS what nobody wrote: two calls differ".into());
            } else if seen.parts.len() != other.parts.len() {
                fault("READS what nobody wrote: more results".into());
            }
        }
    }

    /// One call and what follows from it; None if it was refused. `note`: its results are wanted.
    fn attempt(&mut self, p: &Plan, seed: u64, note: bool, report: &mut Report) -> Option<Seen> {
        let mut values = Rng(seed);
        let mut seen = Seen::default();
        if note || self.module == "random" {
            rustorch::manual_seed(values.next());
        }
        // What reads its whole input must be able to stop.
        let huge = !p.inplace && (!READERS.contains(&self.module) || values.hit(2));
        let mut all: Vec<Option<Made>> = Vec::new();
        for s in &p.tensors {
            let earlier = s.as_ref().and_then(|s| s.same).and_then(|(k, part)| all.get(k)?.as_ref().map(|m| (m, part)));
            let next = match (s, earlier) {
                (None, _) => None,
                (Some(_), Some((m, part))) => {
                    let t = &m.tensor;
                    let shifted = if part && t.ndim() > 0 { t.slice(0, Some(1), None, 1).ok() } else { None };
                    Some(Made {
                        tensor: shifted.unwrap_or_else(|| t.clone()),
                        block: m.block.clone(),
                        leaf: m.leaf.clone(),
                    })
                }
                (Some(s), None) => match made(s, huge, &mut values) {
                    Ok(m) => Some(m),
                    Err(_) => return None,
                },
            };
            all.push(next);
        }
        let attrs: Vec<Attr> = p
            .attrs
            .iter()
            .map(|v| match v {
                Value::None => Attr::None,
                Value::Bool(b) => Attr::Bool(*b),
                Value::Int(i) => Attr::Int(*i),
                Value::Float(f) => Attr::Float(*f),
                Value::Ints(v) => Attr::Ints(v),
                Value::DType(d) => Attr::DType(*d),
                Value::Str(s) => Attr::Str(s),
                Value::Generator => Attr::Generator(None),
            })
            .collect();
        let inputs: Vec<Option<&Tensor>> = all.iter().map(|m| m.as_ref().map(|m| &m.tensor)).collect();
        let before: Vec<Option<(Vec<u8>, u64)>> =
            all.iter().map(|m| m.as_ref().map(|m| (bytes(&m.block).to_vec(), m.tensor.version()))).collect();
        let name = self.name(p);
        let mode = GradMode::set(!p.no_grad);
        begin();
        let inferred = quiet(|| ops::infer_by_name(&name, &inputs, &attrs));
        let inferring = too_long();
        begin();
        let result = quiet(|| ops::call_by_name(&name, &inputs, &attrs));
        drop(mode);
        let mut fault = |what: String| *report.faults.entry(format!("{name}: {what}")).or_default() += 1;
        if let Some(took) = inferring {
            fault(format!("SLOW inference {took:?}"));
        }
        if let Some(what) = differs(self.op, &inferred, &result) {
            fault(what);
        }
        // Random numbers are drawn in one go, in this build slowly.
        let made = result.iter().flatten().flatten().flatten().map(Tensor::numel).max().unwrap_or(0).min(1 << 27);
        if let Some(took) = too_long().filter(|t| *t > most_time(1) + Duration::from_nanos(60 * made as u64)) {
            fault(format!("SLOW {took:?}"));
        }
        let changed = |k: usize| matches!((&all[k], &before[k]), (Some(m), Some((b, v))) if bytes(&m.block) != &b[..] || m.tensor.version() != *v);
        let outs = match result {
            Err(what) => {
                fault(what);
                return None;
            }
            Ok(Some(Ok(outs))) => outs,
            Ok(failed) => {
                if let Some(k) = (0..all.len()).find(|&k| changed(k)) {
                    let how =
                        failed.map_or("interrupted".into(), |e| e.err().map(|e| e.to_string()).unwrap_or_default());
                    fault(format!("CHANGED input {k}, and then failed: {how}"));
                } else if failed.is_none() {
                    self.interrupted += 1;
                }
                return None;
            }
        };
        let shares = |k: usize, j: usize| matches!((inputs[k], inputs[j]), (Some(a), Some(b)) if a.shares_storage(b));
        let declared = |j: usize| ops::writes(self.op, p.inplace, &inputs, &attrs, j);
        let may = |k: usize| (0..inputs.len()).any(|j| shares(k, j) && declared(j));
        if let Some(k) = (0..all.len()).find(|&k| changed(k) && !may(k)) {
            fault(format!("CHANGED input {k}"));
        }
        let few = |t: &Tensor| t.numel() <= MOST_KEPT || self.op.class() == "View";
        seen.small = all.iter().flatten().all(|m| few(&m.tensor)) && outs.iter().all(few);
        for t in &outs {
            if t.numel() <= 1 << 16 {
                let read = quiet(|| t.to_vec::<f64>());
                match read {
                    Err(what) => fault(format!("reading the result: {what}")),
                    Ok(Some(Err(e))) if e.kind() != Kind::Memory => fault(format!("reading the result: {e}")),
                    Ok(_) => {}
                }
                // The bytes of other numbers, seen as truth values, stay what they are.
                let bytes_of_others = UNWRITTEN.contains(&self.op.name) || self.op.name == "view_dtype";
                if t.dtype() == DType::Bool && t.is_contiguous() && !bytes_of_others && bytes(t).iter().any(|&b| b > 1)
                {
                    fault("a bool that is neither 0 nor 1".into());
                }
            }
        }
        if note {
            outs.iter().enumerate().for_each(|(k, t)| seen.note("result", k, t));
            all.iter().flatten().enumerate().for_each(|(k, m)| seen.note("input", k, &m.block));
        }
        let roots: Vec<&Tensor> = outs.iter().filter(|t| t.requires_grad() && t.numel() <= 1 << 16).collect();
        if roots.is_empty() {
            return Some(seen);
        }
        let leaves: Vec<&Tensor> = {
            let mut seen: Vec<&Tensor> = Vec::new();
            for m in all.iter().flatten().filter(|m| m.leaf.requires_grad()) {
                if !seen.iter().any(|s| s.is_same(&m.leaf)) {
                    seen.push(&m.leaf);
                }
            }
            seen
        };
        let twice = values.hit(20);
        begin();
        let walked = quiet(|| {
            let seeds: Vec<Tensor> = roots.iter().map(|t| Tensor::ones_like(t, None)).collect::<Result<_>>()?;
            let seeds: Vec<Option<&Tensor>> = seeds.iter().map(Some).collect();
            let first = autograd::grad(&roots, &seeds, &leaves, twice, twice)?;
            let again: Vec<&Tensor> = first.iter().flatten().filter(|g| g.requires_grad()).collect();
            if twice && !again.is_empty() {
                let seeds: Vec<Tensor> = again.iter().map(|t| Tensor::ones_like(t, None)).collect::<Result<_>>()?;
                let seeds: Vec<Option<&Tensor>> = seeds.iter().map(Some).collect();
                autograd::grad(&again, &seeds, &leaves, false, false)?;
            }
            for g in first.iter().flatten().filter(|g| g.numel() <= 1 << 16) {
                g.to_vec::<f64>()?;
            }
            Ok(first)
        });
        if let Some(took) = too_long() {
            fault(format!("SLOW gradient {took:?}"));
        }
        match walked {
            Err(what) => fault(format!("gradient: {what}")),
            Ok(Some(Err(e)))
                if matches!(e.kind(), Kind::Shape | Kind::DType | Kind::Index | Kind::Null | Kind::State) =>
            {
                fault(format!("gradient refused: {e}"))
            }
            Ok(None) => self.interrupted += 1,
            Ok(Some(Err(_))) => {}
            Ok(Some(Ok(grads))) => {
                self.backward += 1;
                for (k, (g, l)) in grads.iter().zip(&leaves).enumerate() {
                    let Some(g) = g else { continue };
                    // A leaf with another layout has become another handle.
                    let gone = p.inplace && self.op.relayout.is_some() && k == 0;
                    if !gone && (g.shape() != l.shape() || g.dtype() != l.dtype()) {
                        let (got, wanted) = ((g.dtype(), g.shape()), (l.dtype(), l.shape()));
                        fault(format!("gradient of {} {:?} for a leaf of {} {:?}", got.0, got.1, wanted.0, wanted.1));
                    }
                    if note {
                        seen.note("gradient", k, g);
                    }
                }
            }
        }
        Some(seen)
    }
}

type Outcome = std::result::Result<Option<Result<ops::Outs>>, String>;

/// What was inferred must be what came out; what was refused for its shapes or dtypes must have been refused.
fn differs(op: &OpDef, inferred: &Outcome, result: &Outcome) -> Option<String> {
    let dynamic = op.class() == "Dynamic";
    match (inferred, result) {
        (Err(what), _) => Some(format!("inference: {what}")),
        (Ok(Some(Err(e))), Ok(Some(Ok(_)))) if e.kind() == Kind::Memory || dynamic && e.kind() == Kind::Unsupported => {
            None
        }
        (Ok(Some(Err(e))), Ok(Some(Ok(_)))) => Some(format!("inference refuses what is computed: {e}")),
        // How many places a mask stands for is told by its elements.
        (Ok(Some(Ok(_))), Ok(Some(Err(e)))) if e.to_string().contains("indexing result of shape") => None,
        // Lengths are elements too.
        (Ok(Some(Ok(_))), Ok(Some(Err(e)))) if e.to_string().contains("as target_lengths say") => None,
        (Ok(Some(Ok(_))), Ok(Some(Err(e)))) if matches!(e.kind(), Kind::Shape | Kind::DType) && !dynamic => {
            Some(format!("inference accepts what is refused: {e}"))
        }
        (Ok(Some(Ok(a))), Ok(Some(Ok(b)))) => {
            let steps = |t: &Tensor| -> Vec<isize> {
                let strides = t.shape().iter().zip(t.strides());
                strides.map(|(&n, &s)| if n > 1 && t.numel() > 0 { s } else { 0 }).collect()
            };
            let same =
                |a: &Tensor, b: &Tensor| a.shape() == b.shape() && a.dtype() == b.dtype() && steps(a) == steps(b);
            let alike = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b));
            let shown = |ts: &ops::Outs| -> Vec<String> {
                ts.iter().map(|t| format!("{}{:?} by {:?}", t.dtype(), t.shape(), t.strides())).collect()
            };
            (!alike).then(|| format!("inferred {:?}, came {:?}", shown(a), shown(b)))
        }
        _ => None,
    }
}

fn run(o: &Options) -> (Report, Vec<Target>) {
    let mut targets: Vec<Target> = ops::table()
        .filter(|(_, op)| o.op.as_ref().is_none_or(|n| n == op.name) && !o.avoid.contains(op.name))
        .map(|(module, op)| Target::new(module, op, o.seed))
        .collect();
    let mut report = Report::default();
    let mut shown: BTreeMap<String, u32> = BTreeMap::new();
    let (start, mut done) = (Instant::now(), [0u64; 4]);
    'all: while o.seconds == 0.0 || start.elapsed().as_secs_f64() < o.seconds {
        for (k, t) in targets.iter_mut().enumerate() {
            let (round, before) = (Instant::now(), t.counts());
            for _ in 0..16 {
                if o.calls > 0 && t.calls >= o.calls {
                    if o.seconds == 0.0 && k + 1 == o.op.as_ref().map_or(ops::table().count() - o.avoid.len(), |_| 1) {
                        break 'all;
                    }
                    break;
                }
                let plan = t.plan();
                t.calls += 1;
                if o.show && t.calls > o.skip {
                    println!("{} {}", t.name(&plan), text(&plan));
                }
                if let Some(state) = &o.state {
                    let mut words = [0u8; 48];
                    for (i, n) in [k as u64, t.calls].iter().chain(&done).enumerate() {
                        words[i * 8..i * 8 + 8].copy_from_slice(&n.to_le_bytes());
                    }
                    let _ = state.write_at(&words, 0);
                }
                let known = report.faults.len();
                let before: u64 = report.faults.values().sum();
                t.once(&plan, &mut report);
                if report.faults.len() > known || report.faults.values().sum::<u64>() > before {
                    let times = shown.entry(t.op.name.into()).or_default();
                    *times += 1;
                    if *times <= 4 {
                        println!(
                            "FAULT {} {}\n  call {} of {} with seed {}",
                            t.name(&plan),
                            text(&plan),
                            t.calls,
                            t.op.name,
                            o.seed
                        );
                    }
                }
            }
            t.time += round.elapsed();
            done.iter_mut().zip(before).zip(t.counts()).for_each(|((n, old), new)| *n += new - old);
        }
    }
    (report, targets)
}

fn text(p: &Plan) -> String {
    let tensors: Vec<String> = p
        .tensors
        .iter()
        .map(|s| match s {
            None => "-".into(),
            Some(Spec { same: Some((k, part)), .. }) => format!("{}{k}", if *part { "part of " } else { "=" }),
            Some(s) if s.number => "number".into(),
            Some(s) => format!(
                "{}{:?}({:?} {:?}{})",
                s.dtype,
                s.shape,
                s.values,
                s.view,
                ["", " leaf", " grad"][s.grad as usize % 3]
            ),
        })
        .collect();
    format!("{} | {:?}{}", tensors.join(" "), p.attrs, if p.no_grad { " no_grad" } else { "" })
}

fn summary(report: &Report, targets: &[Target], o: &Options) -> bool {
    let mut sums = [0; 4];
    for t in targets {
        sums.iter_mut().zip(t.counts()).for_each(|(s, n)| *s += n);
    }
    let [calls, accepted, backward, pairs] = sums;
    let least = targets.iter().min_by_key(|t| t.counts()[1]).map_or(("", 0), |t| (t.op.name, t.counts()[1]));
    println!(
        "seed {}: {calls} calls of {} ops, {accepted} accepted ({} of {}, the fewest), {backward} walked back, \
         {pairs} compared, {} interrupted",
        o.seed,
        targets.len(),
        least.1,
        least.0,
        targets.iter().map(|t| t.interrupted).sum::<u64>()
    );
    let all: f64 = targets.iter().map(|t| t.time.as_secs_f64()).sum();
    let mut slow: Vec<&Target> = targets.iter().filter(|t| t.time.as_secs_f64() > 0.01 * all).collect();
    slow.sort_by_key(|t| std::cmp::Reverse(t.time));
    let share = |t: &&Target| format!("{} {:.0} %", t.op.name, 100.0 * t.time.as_secs_f64() / all);
    if o.seconds > 0.0 && targets.len() > 1 {
        println!("most time: {}", slow.iter().take(12).map(share).collect::<Vec<_>>().join(", "));
    }
    let mut good = report.faults.is_empty();
    for (what, n) in &report.faults {
        println!("{n:6} x {what}");
    }
    for t in targets.iter().filter(|t| t.calls >= 150) {
        let mut never = Vec::new();
        if t.accepted[0] == 0 {
            never.push("accepted");
        }
        if t.op.inplace && t.accepted[1] == 0 {
            never.push("accepted in place");
        }
        if t.gradients_wanted && t.backward == 0 {
            never.push("walked back through");
        }
        if !never.is_empty() {
            good = false;
            println!("NEVER {} in {} calls: {}", never.join(", "), t.calls, t.op.name);
        }
    }
    good
}

/// Runs the fuzzer in a child that is started again after a crash.
fn supervise(args: &[String], o: &Options) -> bool {
    let me = std::env::current_exe().expect("a program");
    let dir = std::env::temp_dir().join(format!("rustorch-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for temporary files");
    let state = dir.join("state");
    let (start, mut seed, mut good, mut total) = (Instant::now(), o.seed, true, [0u64; 4]);
    let mut crashes: BTreeMap<String, u32> = BTreeMap::new();
    loop {
        let left = o.seconds - start.elapsed().as_secs_f64();
        if left <= 0.5 {
            break;
        }
        let avoid: Vec<&str> = crashes.keys().chain(&o.avoid).map(|s| s.as_str()).collect();
        let mut child = std::process::Command::new(&me);
        child.args(args.iter().filter(|a| *a != "--supervise")).args([
            "--seed",
            &seed.to_string(),
            "--seconds",
            &left.to_string(),
        ]);
        child.args(["--avoid", &avoid.join(",")]).arg("--state").arg(&state);
        let out = child.output().expect("a child");
        let said = String::from_utf8_lossy(&out.stdout).to_string();
        print!("{said}");
        let words = std::fs::read(&state).unwrap_or_default();
        let word =
            |i: usize| words.get(i * 8..i * 8 + 8).map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap_or_default()));
        total.iter_mut().enumerate().for_each(|(i, n)| *n += word(2 + i));
        match out.status.code() {
            Some(0) => break,
            Some(1) if said.contains("calls of") => {
                good = false;
                break;
            }
            _ => {}
        }
        good = false;
        let name = ops::table()
            .filter(|(_, op)| o.op.as_ref().is_none_or(|n| n == op.name) && !avoid.contains(&op.name))
            .nth(word(0) as usize)
            .map_or("?", |(_, op)| op.name);
        *crashes.entry(name.into()).or_default() += 1;
        let n = word(1);
        println!("CRASH of {name}, call {n} with seed {seed}: {}", out.status);
        let errors = String::from_utf8_lossy(&out.stderr);
        for line in errors
            .lines()
            .filter(|l| {
                l.contains("ERROR")
                    || l.contains("SUMMARY")
                    || l.contains("rust-core")
                    || l.contains("src/")
                    || l.contains("memory allocation")
                    || l.contains("HANG")
            })
            .take(14)
        {
            println!("    {}", line.trim());
        }
        let mut again = std::process::Command::new(&me);
        again.args([
            "--seed",
            &seed.to_string(),
            "--op",
            name,
            "--calls",
            &n.to_string(),
            "--show",
            "--skip",
            &(n - 1).to_string(),
        ]);
        let again = again.output().expect("a child");
        println!(
            "    {}",
            String::from_utf8_lossy(&again.stdout)
                .lines()
                .rev()
                .find(|l| l.starts_with(name))
                .unwrap_or("(does not happen alone)")
        );
        seed += 1000;
    }
    let _ = std::fs::remove_dir_all(&dir);
    let [calls, accepted, backward, pairs] = total;
    println!(
        "{calls} calls, {accepted} accepted, {backward} walked back, {pairs} compared in {:.0} s, {} crashes",
        start.elapsed().as_secs_f64(),
        crashes.values().sum::<u32>()
    );
    good
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().rposition(|a| a == name).and_then(|i| args.get(i + 1)).cloned();
    let number = |name: &str| value(name).and_then(|v| v.parse::<f64>().ok());
    let o = Options {
        seed: number("--seed").unwrap_or(1.0) as u64,
        calls: number("--calls").map_or(if number("--seconds").is_some() { 0 } else { 150 }, |n| n as u64),
        seconds: number("--seconds").unwrap_or(0.0),
        op: value("--op"),
        show: args.iter().any(|a| a == "--show"),
        skip: number("--skip").unwrap_or(0.0) as u64,
        state: value("--state").map(|p| std::fs::File::create(p).expect("a file for the state")),
        avoid: value("--avoid").iter().flat_map(|v| v.split(',')).filter(|s| !s.is_empty()).map(String::from).collect(),
    };
    if args.iter().any(|a| a == "--list") {
        return;
    }
    let good = if args.iter().any(|a| a == "--supervise") {
        supervise(&args, &o)
    } else {
        bound_memory();
        MOST_TIME.store(number("--most").unwrap_or(2.0) as u64, Ordering::Relaxed);
        rustorch::parallel::set_interrupt_check(Some(ask));
        rustorch::parallel::set_num_threads(number("--threads").unwrap_or(1.0) as usize);
        std::panic::set_hook(Box::new(|info| {
            let mut at = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
            static LOOKED: AtomicU64 = AtomicU64::new(0);
            if !at.starts_with("src/") && LOOKED.fetch_add(1, Ordering::Relaxed) < 20 {
                // The first place of ours on the stack; finding it is slow and takes memory.
                #[cfg(not(feature = "reserve"))]
                let most = MOST_BYTES.swap(usize::MAX, Ordering::Relaxed);
                let stack = std::backtrace::Backtrace::force_capture().to_string();
                let own = stack
                    .lines()
                    .map(str::trim)
                    .find(|l| l.starts_with("at ") && l.contains("src/") && l.contains("rust-core/"));
                at = own.map_or(at, |l| l.into());
                #[cfg(not(feature = "reserve"))]
                MOST_BYTES.store(most, Ordering::Relaxed);
            }
            let said = info
                .payload()
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| info.payload().downcast_ref::<&str>().map(|s| s.to_string()));
            PANIC.with(|p| *p.borrow_mut() = format!("at {at}: {}", said.unwrap_or_default()));
        }));
        // A call that never ends.
        std::thread::spawn(|| loop {
            std::thread::sleep(Duration::from_millis(500));
            if took() > most_time(10) {
                eprintln!("HANG: one call has worked for more than {:?}", most_time(10));
                std::process::abort();
            }
        });
        let (report, targets) = run(&o);
        summary(&report, &targets, &o)
    };
    std::process::exit(if good { 0 } else { 1 });
}
