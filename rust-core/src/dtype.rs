//! L0: data types, one row each, and PyTorch's type promotion.

use crate::error::Result;
use half::{bf16, f16};
use std::fmt;

/// How a dtype behaves in promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// True or false.
    Bool,
    /// Whole numbers.
    Int,
    /// Floating point.
    Float,
    /// Complex numbers.
    Complex,
}

/// The type that arithmetic runs in: half floats in f32, whole numbers in i64 with wrap-around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute {
    /// f32
    F32,
    /// f64
    F64,
    /// i64
    I64,
    /// Pairs of f32.
    C64,
    /// Pairs of f64.
    C128,
}

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Complex<T> {
    /// Real part.
    pub re: T,
    /// Imaginary part.
    pub im: T,
}

/// A Rust type that a tensor can hold.
pub trait Elem: Copy + Send + Sync + PartialEq + 'static {
    /// Its dtype.
    const DTYPE: DType;
    /// Its promotion category.
    const CATEGORY: Category;
    /// True if it has negative numbers.
    const SIGNED: bool;
    /// The type arithmetic runs in.
    type Acc: Acc;
    /// To the compute type.
    fn up(self) -> Self::Acc;
    /// From the compute type (rounds, or wraps around).
    fn down(v: Self::Acc) -> Self;
    /// As f64.
    fn to_f64(self) -> f64;
    /// As i64; floats are truncated.
    fn to_i64(self) -> i64;
    /// From f64; whole-number types truncate.
    fn from_f64(v: f64) -> Self;
    /// From i64; wraps around.
    fn from_i64(v: i64) -> Self;
    /// From a real and an imaginary part; types that are real drop the latter.
    #[inline(always)]
    fn from_parts(re: f64, _im: f64) -> Self {
        Self::from_f64(re)
    }
    /// The imaginary part.
    #[inline(always)]
    fn imaginary(self) -> f64 {
        0.0
    }
    /// True if it is not zero (NaN is true).
    fn truth(self) -> bool;
    /// The total order used by sorting: NaN is greatest.
    fn less(self, other: Self) -> bool;
    /// True for NaN.
    fn nan(self) -> bool;
}

/// A type arithmetic runs in. It has no `+` and `*`: those of i64 would panic where numbers wrap around.
pub trait Acc: Elem<Acc = Self> {
    /// Nothing.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Sum; whole numbers wrap around.
    fn plus(self, other: Self) -> Self;
    /// Product; whole numbers wrap around.
    fn times(self, other: Self) -> Self;
}
macro_rules! acc {
    ($t:ty, $zero:literal, $one:literal, $plus:expr, $times:expr) => {
        impl Acc for $t {
            const ZERO: $t = $zero;
            const ONE: $t = $one;
            #[inline(always)]
            fn plus(self, other: $t) -> $t {
                $plus(self, other)
            }
            #[inline(always)]
            fn times(self, other: $t) -> $t {
                $times(self, other)
            }
        }
    };
}
acc!(f32, 0.0, 1.0, |a, b| a + b, |a, b| a * b);
acc!(f64, 0.0, 1.0, |a, b| a + b, |a, b| a * b);
acc!(i64, 0, 1, i64::wrapping_add, i64::wrapping_mul);

macro_rules! elem {
    (float $t:ty, $v:ident, $acc:ty, $up:expr, $down:expr, $tof:expr, $fromf:expr) => {
        impl Elem for $t {
            const DTYPE: DType = DType::$v;
            const CATEGORY: Category = Category::Float;
            const SIGNED: bool = true;
            type Acc = $acc;
            #[inline(always)]
            fn up(self) -> $acc {
                $up(self)
            }
            #[inline(always)]
            fn down(v: $acc) -> Self {
                $down(v)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $tof(self)
            }
            #[inline(always)]
            fn to_i64(self) -> i64 {
                ($tof(self)) as i64
            }
            #[inline(always)]
            fn from_f64(v: f64) -> Self {
                $fromf(v)
            }
            #[inline(always)]
            fn from_i64(v: i64) -> Self {
                $fromf(v as f64)
            }
            #[inline(always)]
            fn truth(self) -> bool {
                $tof(self) != 0.0
            }
            #[inline(always)]
            fn less(self, other: Self) -> bool {
                let (a, b) = ($tof(self), $tof(other));
                a < b || (b.is_nan() && !a.is_nan())
            }
            #[inline(always)]
            fn nan(self) -> bool {
                $tof(self).is_nan()
            }
        }
    };
    (int $t:ty, $v:ident) => {
        impl Elem for $t {
            const DTYPE: DType = DType::$v;
            const CATEGORY: Category = Category::Int;
            const SIGNED: bool = <$t>::MIN != 0;
            type Acc = i64;
            #[inline(always)]
            fn up(self) -> i64 {
                self as i64
            }
            #[inline(always)]
            fn down(v: i64) -> Self {
                v as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn to_i64(self) -> i64 {
                self as i64
            }
            #[inline(always)]
            fn from_f64(v: f64) -> Self {
                // Beyond i64 there is only uint64.
                if <$t>::MAX as u64 == u64::MAX && v > 0.0 {
                    v as $t
                } else {
                    v as i64 as $t
                }
            }
            #[inline(always)]
            fn from_i64(v: i64) -> Self {
                v as $t
            }
            #[inline(always)]
            fn truth(self) -> bool {
                self != 0
            }
            #[inline(always)]
            fn less(self, other: Self) -> bool {
                self < other
            }
            #[inline(always)]
            fn nan(self) -> bool {
                false
            }
        }
    };
}

macro_rules! complex {
    ($t:ident, $v:ident) => {
        impl Elem for Complex<$t> {
            const DTYPE: DType = DType::$v;
            const CATEGORY: Category = Category::Complex;
            const SIGNED: bool = true;
            type Acc = Self;
            #[inline(always)]
            fn up(self) -> Self {
                self
            }
            #[inline(always)]
            fn down(v: Self) -> Self {
                v
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.re as f64
            }
            #[inline(always)]
            fn to_i64(self) -> i64 {
                self.re as i64
            }
            #[inline(always)]
            fn from_f64(v: f64) -> Self {
                Complex { re: v as $t, im: 0.0 }
            }
            #[inline(always)]
            fn from_i64(v: i64) -> Self {
                Complex { re: v as $t, im: 0.0 }
            }
            #[inline(always)]
            fn from_parts(re: f64, im: f64) -> Self {
                Complex { re: re as $t, im: im as $t }
            }
            #[inline(always)]
            fn imaginary(self) -> f64 {
                self.im as f64
            }
            #[inline(always)]
            fn truth(self) -> bool {
                self.re != 0.0 || self.im != 0.0
            }
            #[inline(always)]
            fn less(self, other: Self) -> bool {
                // Complex numbers have no order; this one only tells them apart.
                self.re.less(other.re) || self.re == other.re && self.im.less(other.im)
            }
            #[inline(always)]
            fn nan(self) -> bool {
                self.re.is_nan() || self.im.is_nan()
            }
        }
        impl Acc for Complex<$t> {
            const ZERO: Self = Complex { re: 0.0, im: 0.0 };
            const ONE: Self = Complex { re: 1.0, im: 0.0 };
            #[inline(always)]
            fn plus(self, o: Self) -> Self {
                Complex { re: self.re + o.re, im: self.im + o.im }
            }
            #[inline(always)]
            fn times(self, o: Self) -> Self {
                Complex { re: self.re * o.re - self.im * o.im, im: self.re * o.im + self.im * o.re }
            }
        }
    };
}

/// An element of a bool tensor: a byte that is true if it is not 0. Memory that is shared with others may hold any byte,
/// which a Rust `bool` must not, so none is made of an element before the byte has been looked at.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Truth(u8);

impl PartialEq for Truth {
    #[inline(always)]
    fn eq(&self, other: &Truth) -> bool {
        self.truth() == other.truth()
    }
}

macro_rules! truth_value {
    ($t:ty, $get:expr, $make:expr) => {
        impl Elem for $t {
            const DTYPE: DType = DType::Bool;
            const CATEGORY: Category = Category::Bool;
            const SIGNED: bool = false;
            type Acc = i64;
            #[inline(always)]
            fn up(self) -> i64 {
                $get(self) as i64
            }
            #[inline(always)]
            fn down(v: i64) -> Self {
                $make(v != 0)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                $get(self) as u8 as f64
            }
            #[inline(always)]
            fn to_i64(self) -> i64 {
                $get(self) as i64
            }
            #[inline(always)]
            fn from_f64(v: f64) -> Self {
                $make(v != 0.0)
            }
            #[inline(always)]
            fn from_i64(v: i64) -> Self {
                $make(v != 0)
            }
            #[inline(always)]
            fn truth(self) -> bool {
                $get(self)
            }
            #[inline(always)]
            fn less(self, other: Self) -> bool {
                !$get(self) & $get(other)
            }
            #[inline(always)]
            fn nan(self) -> bool {
                false
            }
        }
    };
}
truth_value!(Truth, |t: Truth| t.0 != 0, |b: bool| Truth(b as u8));
// What Rust programs hand in and take out.
truth_value!(bool, |b: bool| b, |b: bool| b);

// One row per dtype: variant, code in the ABI, name, Rust type, category, compute type, NumPy type string, DLPack
// (code, bits), what safetensors files call it, smallest and largest finite value, machine epsilon, and how elements are
// converted: `int`, `own` (by hand, as bool), `half` or `float` with functions to and from the compute type and f64.
macro_rules! dtypes {
    ($($v:ident = $code:literal, $name:literal, $t:ty, $cat:ident, $acc:ident, $np:literal, ($dl:literal, $bits:literal),
       $file:ident, $min:expr, $max:expr, $eps:expr, $elem:tt;)+) => {
        /// A data type of tensor elements.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DType { $(#[doc = $name] $v = $code),+ }

        /// Every dtype.
        pub const ALL: &[DType] = &[$(DType::$v),+];

        static ROWS: &[Row] = &[$(Row {
            name: $name, size: std::mem::size_of::<$t>(), category: Category::$cat, compute: Compute::$acc,
            typestr: $np, dlpack: ($dl, $bits), file: stringify!($file), min: $min, max: $max, eps: $eps,
        }),+];

        $(dtypes!(@elem $elem $t, $v);)+

        /// Runs `$body` with the type `$T` bound to the Rust type of a dtype.
        macro_rules! dispatch_all {
            ($d:expr, $T:ident => $body:expr) => {
                match $d { $($crate::dtype::DType::$v => { type $T = $t; $body })+ }
            };
        }
        pub(crate) use dispatch_all;

        /// The same for real types. Ops without `Takes::COMPLEX` meet no others.
        macro_rules! dispatch {
            ($d:expr, $T:ident => $body:expr) => {
                match $d { $($crate::dtype::DType::$v => $crate::dtype::if_real!($elem, $t, $T, $body, $d),)+ }
            };
        }
        pub(crate) use dispatch;

        /// The same for floating-point types; what other dtypes give is said behind.
        macro_rules! dispatch_float {
            ($d:expr, $T:ident => $body:expr; $other:ident => $else:expr) => {
                match $d {
                    $($crate::dtype::DType::$v => $crate::dtype::if_float!($elem, $t, $T, $body, $d, $other, $else),)+
                }
            };
        }
        pub(crate) use dispatch_float;

        /// The same for types whose elements are cast one by one: no half floats.
        macro_rules! dispatch_plain {
            ($d:expr, $T:ident => $body:expr) => {
                match $d { $($crate::dtype::DType::$v => $crate::dtype::if_plain!($elem, $t, $T, $body, $d),)+ }
            };
        }
        pub(crate) use dispatch_plain;

        /// Expands a macro for the Rust type of each real dtype.
        macro_rules! for_each_type {
            ($m:ident) => { $($crate::dtype::if_real_type!($elem, $m, $t);)+ };
        }
        pub(crate) use for_each_type;
    };
    (@elem (half $($rest:tt)*) $t:ty, $v:ident) => { elem!(float $t, $v, $($rest)*); };
    (@elem (float $($rest:tt)*) $t:ty, $v:ident) => { elem!(float $t, $v, $($rest)*); };
    (@elem (int) $t:ty, $v:ident) => { elem!(int $t, $v); };
    (@elem (complex $f:ident) $t:ty, $v:ident) => { complex!($f, $v); };
    (@elem (own) $t:ty, $v:ident) => {};
}

/// `$body` for the rows that [`dispatch!`] is for.
macro_rules! if_real {
    ((complex $($rest:tt)*), $t:ty, $T:ident, $body:expr, $d:expr) => {
        unreachable!("{} has no real elements", $d)
    };
    (($($kind:tt)*), $t:ty, $T:ident, $body:expr, $d:expr) => {{
        type $T = $t;
        $body
    }};
}
pub(crate) use if_real;

/// `$body` for the rows that [`dispatch_float!`] is for.
macro_rules! if_float {
    ((half $($rest:tt)*), $t:ty, $T:ident, $body:expr, $d:expr, $other:ident, $else:expr) => {{
        type $T = $t;
        $body
    }};
    ((float $($rest:tt)*), $t:ty, $T:ident, $body:expr, $d:expr, $other:ident, $else:expr) => {{
        type $T = $t;
        $body
    }};
    (($($kind:tt)*), $t:ty, $T:ident, $body:expr, $d:expr, $other:ident, $else:expr) => {{
        let $other = $d;
        $else
    }};
}
pub(crate) use if_float;

/// `$m!($t)` for the rows that [`for_each_type!`] is for.
macro_rules! if_real_type {
    ((complex $($rest:tt)*), $m:ident, $t:ty) => {};
    (($($kind:tt)*), $m:ident, $t:ty) => {
        $m!($t);
    };
}
pub(crate) use if_real_type;

/// `$body` for the rows that [`dispatch_plain!`] is for.
macro_rules! if_plain {
    ((half $($rest:tt)*), $t:ty, $T:ident, $body:expr, $d:expr) => {
        unreachable!("{} has casts of its own", $d)
    };
    ((complex $($rest:tt)*), $t:ty, $T:ident, $body:expr, $d:expr) => {
        unreachable!("{} is cast as its parts", $d)
    };
    (($($kind:tt)*), $t:ty, $T:ident, $body:expr, $d:expr) => {{
        type $T = $t;
        $body
    }};
}
pub(crate) use if_plain;

struct Row {
    name: &'static str,
    size: usize,
    category: Category,
    compute: Compute,
    typestr: &'static str,
    dlpack: (u8, u8),
    file: &'static str,
    min: f64,
    max: f64,
    eps: f64,
}

// `half` is re-exported so that `dispatch!` resolves the types wherever it is used.
pub use half;

dtypes! {
    Bool = 0, "bool", crate::dtype::Truth, Bool, I64, "|b1", (6, 8), BOOL, 0.0, 1.0, 0.0, (own);
    U8 = 1, "uint8", u8, Int, I64, "|u1", (1, 8), U8, 0.0, 255.0, 0.0, (int);
    I8 = 2, "int8", i8, Int, I64, "|i1", (0, 8), I8, -128.0, 127.0, 0.0, (int);
    I16 = 3, "int16", i16, Int, I64, "<i2", (0, 16), I16, -32768.0, 32767.0, 0.0, (int);
    I32 = 4, "int32", i32, Int, I64, "<i4", (0, 32), I32, -2147483648.0, 2147483647.0, 0.0, (int);
    I64 = 5, "int64", i64, Int, I64, "<i8", (0, 64), I64, -9223372036854775808.0, 9223372036854775807.0, 0.0, (int);
    F16 = 6, "float16", crate::dtype::half::f16, Float, F32, "<f2", (2, 16), F16, -65504.0, 65504.0, 0.0009765625,
        (half f32, f16::to_f32, f16::from_f32, f16::to_f64, f16::from_f64);
    BF16 = 7, "bfloat16", crate::dtype::half::bf16, Float, F32, "<V2", (4, 16), BF16,
        -3.3895313892515355e38, 3.3895313892515355e38, 0.0078125,
        (half f32, bf16::to_f32, bf16::from_f32, bf16::to_f64, bf16::from_f64);
    F32 = 8, "float32", f32, Float, F32, "<f4", (2, 32), F32,
        -3.4028234663852886e38, 3.4028234663852886e38, 1.1920928955078125e-7,
        (float f32, |x: f32| x, |x: f32| x, |x: f32| x as f64, |x: f64| x as f32);
    F64 = 9, "float64", f64, Float, F64, "<f8", (2, 64), F64, f64::MIN, f64::MAX, f64::EPSILON,
        (float f64, |x: f64| x, |x: f64| x, |x: f64| x, |x: f64| x);
    U16 = 10, "uint16", u16, Int, I64, "<u2", (1, 16), U16, 0.0, 65535.0, 0.0, (int);
    U32 = 11, "uint32", u32, Int, I64, "<u4", (1, 32), U32, 0.0, 4294967295.0, 0.0, (int);
    U64 = 12, "uint64", u64, Int, I64, "<u8", (1, 64), U64, 0.0, 18446744073709551615.0, 0.0, (int);
    C64 = 13, "complex64", crate::dtype::Complex<f32>, Complex, C64, "<c8", (5, 64), C64,
        -3.4028234663852886e38, 3.4028234663852886e38, 1.1920928955078125e-7, (complex f32);
    C128 = 14, "complex128", crate::dtype::Complex<f64>, Complex, C128, "<c16", (5, 128), C128,
        f64::MIN, f64::MAX, f64::EPSILON, (complex f64);
}

/// Runs `$body` with `$T` bound to a type of as many bytes as an element has, for ops that only move elements.
macro_rules! dispatch_size {
    ($size:expr, $T:ident => $body:expr) => {
        match $size {
            1 => {
                type $T = u8;
                $body
            }
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            8 => {
                type $T = u64;
                $body
            }
            // Two halves, as complex numbers are aligned as their parts.
            16 => {
                type $T = [u64; 2];
                $body
            }
            n => unreachable!("no dtype has elements of {n} bytes"),
        }
    };
}
pub(crate) use dispatch_size;

impl DType {
    #[inline(always)]
    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
    /// PyTorch's name.
    pub fn name(self) -> &'static str {
        self.row().name
    }
    /// Bytes per element.
    #[inline(always)]
    pub fn size(self) -> usize {
        self.row().size
    }
    /// Promotion category.
    #[inline(always)]
    pub fn category(self) -> Category {
        self.row().category
    }
    /// The type arithmetic runs in.
    #[inline(always)]
    pub fn compute(self) -> Compute {
        self.row().compute
    }
    /// The dtype whose storage type is the compute type.
    pub fn compute_dtype(self) -> DType {
        match self.compute() {
            Compute::F32 => DType::F32,
            Compute::F64 => DType::F64,
            Compute::I64 => DType::I64,
            Compute::C64 => DType::C64,
            Compute::C128 => DType::C128,
        }
    }
    /// The dtype of the real part: itself unless complex.
    pub fn real(self) -> DType {
        match self {
            DType::C64 => DType::F32,
            DType::C128 => DType::F64,
            d => d,
        }
    }
    /// The complex dtype whose parts hold a real one; whole numbers become the default one.
    pub fn complex(self) -> DType {
        match self {
            DType::F64 | DType::C128 => DType::C128,
            d if d.is_float() || d.is_complex() => DType::C64,
            _ if default_dtype() == DType::F64 => DType::C128,
            _ => DType::C64,
        }
    }
    /// What the memory of an element must be aligned to, in bytes.
    pub fn alignment(self) -> usize {
        self.size().min(8)
    }
    /// NumPy's type string ("<V2" for bfloat16, which NumPy lacks).
    pub fn typestr(self) -> &'static str {
        self.row().typestr
    }
    /// DLPack type code and bits.
    pub fn dlpack(self) -> (u8, u8) {
        self.row().dlpack
    }
    /// What safetensors files call it.
    pub fn file_name(self) -> &'static str {
        self.row().file
    }
    /// From what safetensors files call it.
    pub fn from_file_name(name: &str) -> Option<DType> {
        ALL.iter().copied().find(|d| d.file_name() == name)
    }
    /// True for floats that are stored in fewer bits than they are computed in.
    #[inline(always)]
    pub fn is_half(self) -> bool {
        self.is_float() && self.size() < 4
    }
    /// The largest whole number up to which every one is held exactly.
    pub fn largest_whole(self) -> i64 {
        if self.is_float() {
            (2.0 / self.eps()) as i64
        } else {
            self.max() as i64
        }
    }
    /// Smallest finite value.
    pub fn min(self) -> f64 {
        self.row().min
    }
    /// Largest finite value.
    pub fn max(self) -> f64 {
        self.row().max
    }
    /// Distance from 1 to the next larger value; 0 for whole numbers.
    pub fn eps(self) -> f64 {
        self.row().eps
    }
    /// True for floating-point types, which are real.
    #[inline(always)]
    pub fn is_float(self) -> bool {
        self.category() == Category::Float
    }
    /// True for complex types.
    #[inline(always)]
    pub fn is_complex(self) -> bool {
        self.category() == Category::Complex
    }
    /// True for the types through which gradients flow: floating-point and complex ones.
    #[inline(always)]
    pub fn is_differentiable(self) -> bool {
        self.category() >= Category::Float
    }
    /// True for uint16, uint32 and uint64, which take part in few ops and promote with floats only.
    #[inline(always)]
    pub fn is_wide_unsigned(self) -> bool {
        matches!(self, DType::U16 | DType::U32 | DType::U64)
    }
    /// From its code in the ABI.
    pub fn from_code(code: i32) -> Result<DType> {
        match ALL.get(code as usize) {
            Some(d) if code >= 0 => Ok(*d),
            _ => Err(crate::err!(DType, "unknown dtype code {code}, wanted 0 to {}", ALL.len() - 1)),
        }
    }
    /// From its name.
    pub fn from_name(name: &str) -> Option<DType> {
        ALL.iter().copied().find(|d| d.name() == name)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A number outside a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A float.
    Float(f64),
    /// A complex number: real and imaginary part.
    Complex(f64, f64),
}

impl Scalar {
    /// As f64; of complex numbers the real part.
    #[inline]
    pub fn f64(self) -> f64 {
        match self {
            Scalar::Bool(b) => b as u8 as f64,
            Scalar::Int(i) => i as f64,
            Scalar::Float(f) | Scalar::Complex(f, _) => f,
        }
    }
    /// The imaginary part.
    #[inline]
    pub fn imaginary(self) -> f64 {
        match self {
            Scalar::Complex(_, im) => im,
            _ => 0.0,
        }
    }
    /// As i64; floats are truncated.
    #[inline]
    pub fn i64(self) -> i64 {
        match self {
            Scalar::Bool(b) => b as i64,
            Scalar::Int(i) => i,
            Scalar::Float(f) | Scalar::Complex(f, _) => f as i64,
        }
    }
    /// The dtype it has as a wrapped number.
    pub fn dtype(self) -> DType {
        match self {
            Scalar::Bool(_) => DType::Bool,
            Scalar::Int(_) => DType::I64,
            Scalar::Float(_) => default_dtype(),
            Scalar::Complex(..) => default_dtype().complex(),
        }
    }
    /// Promotion category.
    pub fn category(self) -> Category {
        match self {
            Scalar::Bool(_) => Category::Bool,
            Scalar::Int(_) => Category::Int,
            Scalar::Float(_) => Category::Float,
            Scalar::Complex(..) => Category::Complex,
        }
    }
    /// True if `dtype` holds it: whole numbers within the range of an integer type (unsigned ones also take the negatives
    /// of their range, which wrap around), floats that stay within it too, and no NaN; a floating-point type holds all
    /// but finite numbers beyond its range. Bool holds everything.
    pub fn fits(self, dtype: DType) -> bool {
        match (dtype.category(), self) {
            (Category::Bool, _) | (_, Scalar::Bool(_)) | (Category::Complex, _) => true,
            // Only what has no imaginary part is real.
            (_, Scalar::Complex(re, im)) => im == 0.0 && Scalar::Float(re).fits(dtype),
            (Category::Float, s) => {
                // A number that rounds down to the greatest one is within range.
                let rounded = dispatch!(dtype, T => s.to::<T>().to_f64());
                rounded.is_finite() || !s.f64().is_finite()
            }
            (Category::Int, Scalar::Int(_)) if matches!(dtype, DType::I64 | DType::U64) => true,
            (Category::Int, Scalar::Int(i)) => {
                let (low, high) = (dtype.min() as i64, dtype.max() as i64);
                (if low == 0 { -high } else { low }..=high).contains(&i)
            }
            // 2^63 is the least float that int64 lacks.
            (Category::Int, Scalar::Float(f)) => {
                let end = if dtype == DType::U64 { 18446744073709551616.0 } else { 9223372036854775808.0 };
                f >= dtype.min() && f <= dtype.max() && f < end
            }
        }
    }
    /// Itself, if `dtype` holds it as [`Scalar::fits`] says.
    #[inline]
    pub fn held_by(self, dtype: DType) -> Result<Scalar> {
        if self.fits(dtype) {
            return Ok(self);
        }
        Err(crate::err!(Value, "value cannot be converted to type {dtype} without overflow, got {self}"))
    }
    /// As an element of type `T`.
    #[inline]
    pub fn to<T: Elem>(self) -> T {
        match self {
            Scalar::Float(f) => T::from_f64(f),
            Scalar::Complex(re, im) => T::from_parts(re, im),
            s => T::from_i64(s.i64()),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(b) => b.fmt(f),
            Scalar::Int(i) => i.fmt(f),
            Scalar::Float(v) => v.fmt(f),
            Scalar::Complex(re, im) => write!(f, "({re}{im:+}j)"),
        }
    }
}

impl From<f64> for Scalar {
    fn from(v: f64) -> Self {
        Scalar::Float(v)
    }
}
impl From<i64> for Scalar {
    fn from(v: i64) -> Self {
        Scalar::Int(v)
    }
}
impl From<bool> for Scalar {
    fn from(v: bool) -> Self {
        Scalar::Bool(v)
    }
}

static DEFAULT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(DType::F32 as u8);

/// The dtype of floating-point tensors made without one; float32 at first.
pub fn default_dtype() -> DType {
    ALL[DEFAULT.load(std::sync::atomic::Ordering::Relaxed) as usize]
}

/// Sets [`default_dtype`]; it must be a floating-point type.
pub fn set_default_dtype(d: DType) -> Result<()> {
    if !d.is_float() {
        crate::bail!(DType, "set_default_dtype: wanted a floating-point dtype, got {d}");
    }
    DEFAULT.store(d as u8, std::sync::atomic::Ordering::Relaxed);
    Ok(())
}

/// The smallest dtype that holds both, by PyTorch's `promote_types`; uint16, uint32 and uint64 share one with floats only.
pub fn promote(a: DType, b: DType) -> Result<DType> {
    if a == b {
        return Ok(a);
    }
    let (lo, hi) = if a.category() <= b.category() { (a, b) } else { (b, a) };
    if !hi.is_differentiable() && (lo.is_wide_unsigned() || hi.is_wide_unsigned()) {
        crate::bail!(
            DType,
            "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote {a} and {b}"
        );
    }
    if lo.category() != hi.category() {
        return Ok(if lo == DType::F64 && hi == DType::C64 { DType::C128 } else { hi });
    }
    Ok(match (lo, hi) {
        (DType::F16, DType::BF16) | (DType::BF16, DType::F16) => DType::F32,
        (DType::U8, DType::I8) | (DType::I8, DType::U8) => DType::I16,
        _ if lo.size() > hi.size() => lo,
        _ => hi,
    })
}

/// Collects operands and says in which dtype an operation on them runs (PyTorch's `result_type`): dimensioned tensors
/// outrank 0-d tensors, which outrank plain numbers, within one category.
#[derive(Clone, Copy, Default)]
pub struct ResultType {
    dim: Option<DType>,
    zero: Option<DType>,
    wrapped: Option<DType>,
}

impl ResultType {
    /// Adds one operand.
    #[inline]
    pub fn add(&mut self, dtype: DType, ndim: usize, wrapped: bool) -> Result<()> {
        let slot = if wrapped {
            &mut self.wrapped
        } else if ndim == 0 {
            &mut self.zero
        } else {
            &mut self.dim
        };
        let d = match dtype.category() {
            Category::Float if wrapped => default_dtype(),
            Category::Complex if wrapped => default_dtype().complex(),
            _ => dtype,
        };
        *slot = Some(match *slot {
            Some(s) => promote(s, d)?,
            None => d,
        });
        Ok(())
    }

    /// The common dtype; the default dtype if there was no operand.
    #[inline]
    pub fn get(self) -> Result<DType> {
        fn combine(higher: Option<DType>, lower: Option<DType>) -> Result<Option<DType>> {
            Ok(match (higher, lower) {
                (Some(h), Some(l)) if h.category() >= l.category() => {
                    Some(if h == DType::Bool { promote(h, l)? } else { h })
                }
                // The higher one says how many digits there are.
                (Some(h), Some(l)) if h.is_float() && l.is_complex() => Some(h.complex()),
                (Some(h), Some(l)) => Some(promote(h, l)?),
                (h, l) => h.or(l),
            })
        }
        Ok(combine(self.dim, combine(self.zero, self.wrapped)?)?.unwrap_or_else(default_dtype))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotion_follows_pytorch() {
        assert_eq!(promote(DType::U8, DType::I8).ok(), Some(DType::I16));
        assert_eq!(promote(DType::F16, DType::BF16).ok(), Some(DType::F32));
        assert_eq!(promote(DType::I64, DType::F16).ok(), Some(DType::F16));
        assert!(promote(DType::U16, DType::I64).is_err());
        assert_eq!(promote(DType::F64, DType::C64).ok(), Some(DType::C128));
        let mut r = ResultType::default();
        r.add(DType::I32, 2, false).unwrap();
        r.add(DType::F32, 0, true).unwrap();
        assert_eq!(r.get().ok(), Some(DType::F32));
        let mut r = ResultType::default();
        r.add(DType::F16, 1, false).unwrap();
        r.add(DType::F64, 0, false).unwrap();
        assert_eq!(r.get().ok(), Some(DType::F16));
        let mut r = ResultType::default();
        r.add(DType::Bool, 1, false).unwrap();
        r.add(DType::I64, 0, true).unwrap();
        assert_eq!(r.get().ok(), Some(DType::I64));
    }
}
