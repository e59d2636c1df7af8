//! L6: the C ABI. Pointers in, status out; no logic lives here. The contract is printed at the top of the header
//! (`cbindgen.toml`).
//!
//! Safety: every function here trusts its caller as the contract says: pointers are NULL or valid, handles are live,
//! lengths are right. Everything else is checked.
#![allow(non_camel_case_types, non_snake_case, clippy::missing_safety_doc)]

// In this order they stand in the header; the blank lines keep rustfmt from sorting them.
pub mod system;

pub mod tensor;

#[rustfmt::skip] // generated
pub mod ops;

pub mod autograd;

pub mod random;

pub mod io;

pub mod dlpack;

pub mod door;

use crate::callback;
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::error::{Error, Kind, Result};
use crate::memory::{self, Kept, List};
use crate::ops::{Attr, OpDef, Outs};
use crate::random::GeneratorHandle;
use crate::tensor::Tensor;
use crate::{bail, err};
use smallvec::SmallVec;
use std::ffi::{c_char, CStr, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Once, OnceLock};

/// What a fallible function returns: `RT_OK` or one of the `RT_ERR_` codes.
pub type rt_status = i32;

/// Success.
pub const RT_OK: i32 = 0;
/// A required pointer was NULL.
pub const RT_ERR_NULL: i32 = 1;
/// Shapes do not fit; `rt_last_error_shape` gives both.
pub const RT_ERR_SHAPE: i32 = 2;
/// A dtype is not accepted here.
pub const RT_ERR_DTYPE: i32 = 3;
/// An index or a dimension is out of range.
pub const RT_ERR_INDEX: i32 = 4;
/// An argument has a value that is not allowed.
pub const RT_ERR_VALUE: i32 = 5;
/// Memory could not be had.
pub const RT_ERR_MEMORY: i32 = 6;
/// The object is not in a state that allows this (or is in use by another thread).
pub const RT_ERR_STATE: i32 = 7;
/// The autograd graph does not allow this.
pub const RT_ERR_AUTOGRAD: i32 = 8;
/// Reading or writing a file failed.
pub const RT_ERR_IO: i32 = 9;
/// Known, but not built.
pub const RT_ERR_UNSUPPORTED: i32 = 10;
/// A callback of the caller reported an error.
pub const RT_ERR_CALLBACK: i32 = 11;
/// A bug inside the library; the call had no effect.
pub const RT_ERR_PANIC: i32 = 12;
/// The caller's interrupt check ended the call (`rt_set_interrupt_check`).
pub const RT_ERR_INTERRUPTED: i32 = 13;

/// A tensor handle. Release it with `rt_tensor_free`.
pub struct rt_tensor {
    _private: [u8; 0],
}

/// A list of tensors, as ops with several results give it. Release it with `rt_tensor_list_free`.
pub struct rt_tensor_list(pub(crate) Outs);

/// A random generator. Release it with `rt_generator_free`.
pub struct rt_generator {
    // A handle is the address of a `GeneratorHandle`.
    _private: [u8; 0],
}

/// Main memory.
pub const RT_DEVICE_CPU: i32 = 0;
/// Nowhere: a tensor of this device has a shape, a dtype and strides, but no elements. Ops on such tensors say what would come
/// out, and compute nothing.
pub const RT_DEVICE_META: i32 = 1;

/// No number is given.
pub const RT_SCALAR_NONE: i32 = 0;
/// `value.i` is 0 or 1.
pub const RT_SCALAR_BOOL: i32 = 1;
/// `value.i` holds a whole number.
pub const RT_SCALAR_INT: i32 = 2;
/// `value.f` holds a float.
pub const RT_SCALAR_FLOAT: i32 = 3;
/// `value.c` holds a complex number.
pub const RT_SCALAR_COMPLEX: i32 = 4;

/// A complex number.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rt_complex_number {
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
}

/// The number inside an `rt_scalar`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union rt_number {
    /// A float.
    pub f: f64,
    /// A whole number or truth value.
    pub i: i64,
    /// A complex number.
    pub c: rt_complex_number,
}

/// A number with its kind (`RT_SCALAR_`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rt_scalar {
    /// One of `RT_SCALAR_`.
    pub kind: i32,
    /// The number.
    pub value: rt_number,
}

// ---- structs that can grow: they begin with their size ----

/// Refuses a size that no version of a struct has: it holds at least the fields of the first version (`first` bytes). What
/// was never set is mostly refused too.
fn check_size<T>(name: &str, size: usize, first: usize) -> Result<()> {
    if !(first..=4096).contains(&size) || !size.is_multiple_of(align_of::<T>()) {
        bail!(Value, "{name}: the field `size` is {size}; set it to sizeof({name}), which is at least {first}");
    }
    Ok(())
}

/// Writes as much of `info` as the caller has room for, and how much that is.
unsafe fn fill<T: Copy>(name: &str, first: usize, info: &T, out: *mut T) -> Result<()> {
    let size = out.cast::<usize>();
    check_size::<T>(name, *size, first)?;
    let filled = (*size).min(size_of::<T>());
    std::ptr::copy_nonoverlapping((info as *const T).cast::<u8>(), out.cast(), filled);
    *size = filled;
    Ok(())
}

/// Bytes of a struct up to the end of a field, which is the last one of its first version.
macro_rules! first_size {
    ($t:ident, $field:ident: $f:ty) => {
        (std::mem::offset_of!($t, $field) + size_of::<$f>()).next_multiple_of(align_of::<$t>())
    };
}
use first_size;

static LIVE: AtomicI64 = AtomicI64::new(0);

// ---- errors ----

#[derive(Default)]
struct Last {
    status: i32,
    message: CString,
    op: CString,
    shapes: [SmallVec<[i64; 5]>; 2],
}

thread_local! {
    static LAST: Kept<Last> = const { Kept::new() };
    static PANIC: Kept<String> = const { Kept::new() };
    static GUARDED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// What `f` finds in this thread's last error.
fn last<R>(f: impl FnOnce(&Last) -> R) -> R {
    static NONE: OnceLock<Last> = OnceLock::new();
    // SAFETY: the getters only look; what they point to stays where it is until the next error.
    LAST.with(|l| unsafe { l.look(|last| f(last.unwrap_or_else(|| NONE.get_or_init(Last::default)))) })
}

fn end_last() {
    LAST.with(Kept::end);
    PANIC.with(Kept::end);
}

fn text(s: &str) -> CString {
    CString::new(s.replace('\0', "\u{fffd}")).unwrap_or_default()
}

#[cold]
fn fail(e: &Error) -> rt_status {
    let status = e.kind() as i32;
    let shapes = e.both_shapes().map_or([SmallVec::new(), SmallVec::new()], |(a, b)| {
        [a.iter().map(|&d| d as i64).collect(), b.iter().map(|&d| d as i64).collect()]
    });
    let last = Last { status, message: text(&e.to_string()), op: text(e.op()), shapes };
    LAST.with(|l| l.put(last, end_last));
    status
}

/// Every door: catches panics and keeps the error for `rt_last_error`.
#[inline]
fn guard(f: impl FnOnce() -> Result<()>) -> rt_status {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if GUARDED.try_with(|g| g.get()).unwrap_or(false) {
                PANIC.with(|p| p.put(info.to_string(), end_last));
            } else {
                before(info);
            }
        }));
    });
    let result = GUARDED.with(|guarded| {
        let outer = guarded.replace(true);
        let result = match memory::check() {
            Ok(()) => catch_unwind(AssertUnwindSafe(f)),
            Err(e) => Ok(Err(e)),
        };
        guarded.set(outer);
        result
    });
    let status = match result {
        Ok(Ok(())) => RT_OK,
        Ok(Err(e)) => fail(&e),
        Err(payload) if payload.is::<crate::parallel::Interrupted>() => {
            fail(&err!(Interrupted, "the call was interrupted"))
        }
        Err(_) => fail(&Error::new(Kind::Panic, "", PANIC.with(Kept::take).unwrap_or_default())),
    };
    callback::go_on();
    status
}

/// Drops what a handle has held. A panic ends here.
fn release<T>(t: T) {
    // Nobody can be told: functions that release return nothing.
    let _ = catch_unwind(AssertUnwindSafe(move || drop(t)));
    callback::go_on();
}

/// The status of a callback; one that did not return has failed.
fn ask(f: impl Fn() -> rt_status) -> rt_status {
    callback::call(f).unwrap_or(RT_ERR_CALLBACK)
}

// ---- arguments ----

// A handle is a `Tensor` as it lies in memory: whatever holds a handle can be read as a tensor.
const _: () = assert!(size_of::<Tensor>() == size_of::<*mut rt_tensor>());

/// The tensor of a handle that is not NULL; it lives as long as the place that holds the handle.
#[inline(always)]
unsafe fn borrow(p: &*const rt_tensor) -> &Tensor {
    &*(p as *const *const rt_tensor).cast()
}

#[inline(always)]
unsafe fn borrow_opt(p: &*const rt_tensor) -> Option<&Tensor> {
    if p.is_null() {
        None
    } else {
        Some(borrow(p))
    }
}

unsafe fn need<'a>(p: &'a *const rt_tensor, name: &str) -> Result<&'a Tensor> {
    borrow_opt(p).ok_or_else(|| err!(Null, "argument '{name}' is NULL, wanted a tensor"))
}

unsafe fn need_out<T>(p: *mut T) -> Result<()> {
    if p.is_null() {
        bail!(Null, "the pointer for the result is NULL");
    }
    Ok(())
}

/// A handle that the caller owns.
fn give(t: Tensor) -> *mut rt_tensor {
    LIVE.fetch_add(1, Ordering::Relaxed);
    // SAFETY: equally large (see above); `take` turns it back.
    unsafe { std::mem::transmute::<Tensor, *mut rt_tensor>(t) }
}

/// The tensor that the caller gives back.
unsafe fn take(p: *mut rt_tensor) -> Tensor {
    LIVE.fetch_sub(1, Ordering::Relaxed);
    std::mem::transmute::<*mut rt_tensor, Tensor>(p)
}

type Borrows<'a> = SmallVec<[Option<&'a Tensor>; 4]>;

/// Tensor arguments; the funnel looks whether all are there that must be.
#[inline(always)]
unsafe fn inputs<'a>(
    op: &OpDef,
    tensors: &'a [*const rt_tensor],
    lists: &[(*const *const rt_tensor, usize)],
) -> Result<Borrows<'a>> {
    let mut all: Borrows = memory::room(tensors.len())?;
    all.extend(tensors.iter().map(|p| borrow_opt(p)));
    if !lists.is_empty() {
        add_lists(op, lists, &mut all)?;
    }
    Ok(all)
}

unsafe fn add_lists(op: &OpDef, lists: &[(*const *const rt_tensor, usize)], all: &mut Borrows) -> Result<()> {
    let names = op.tensor_args().filter(|a| a.kind.is_list());
    if let Some(&(_, n)) = lists.iter().find(|l| l.1 > 1 << 20) {
        return Err(err!(Value, "a list of {n} tensors is too long").in_op(op.name));
    }
    for (&(p, n), def) in lists.iter().zip(names) {
        if (p.is_null() || n == 0) && def.kind.is_optional() {
            // A list that is missing or empty is one without tensors.
            memory::reserve(all, lists[0].1)?;
            all.extend((0..lists[0].1).map(|_| None));
            continue;
        }
        if p.is_null() {
            return Err(err!(Null, "argument '{}' is NULL, wanted a list of tensors", def.name).in_op(op.name));
        }
        if n != lists[0].1 {
            return Err(
                err!(Value, "lists of tensors must have equal lengths, got {} and {n}", lists[0].1).in_op(op.name)
            );
        }
        memory::reserve(all, n)?;
        all.extend(std::slice::from_raw_parts(p, n).iter().map(|t| borrow_opt(t)));
    }
    Ok(())
}

unsafe fn number(s: rt_scalar) -> Result<Option<Scalar>> {
    Ok(Some(match s.kind {
        RT_SCALAR_NONE => return Ok(None),
        RT_SCALAR_BOOL => Scalar::Bool(s.value.i != 0),
        RT_SCALAR_INT => Scalar::Int(s.value.i),
        RT_SCALAR_FLOAT => Scalar::Float(s.value.f),
        RT_SCALAR_COMPLEX => Scalar::Complex(s.value.c.re, s.value.c.im),
        k => bail!(Value, "unknown kind of rt_scalar: {k}"),
    }))
}

unsafe fn a_scalar<'a>(s: rt_scalar) -> Result<Attr<'a>> {
    number(s)?.map(Attr::Scalar).ok_or_else(|| err!(Value, "a number is missing (kind RT_SCALAR_NONE)"))
}
unsafe fn a_opt_scalar<'a>(s: rt_scalar) -> Result<Attr<'a>> {
    Ok(number(s)?.map_or(Attr::None, Attr::Scalar))
}
unsafe fn a_ints<'a>(p: *const i64, n: usize) -> Result<Attr<'a>> {
    if n == 0 {
        return Ok(Attr::Ints(&[]));
    }
    if p.is_null() {
        bail!(Null, "a list of {n} numbers is NULL");
    }
    if n > 1 << 20 {
        bail!(Value, "a list of {n} numbers is too long");
    }
    // Sizes and dims are copied, and shown in messages, by code that takes memory for granted: a few times the list is there.
    if n > 64 {
        memory::probe(n, 64)?;
    }
    Ok(Attr::Ints(std::slice::from_raw_parts(p, n)))
}
unsafe fn a_opt_ints<'a>(p: *const i64, n: usize) -> Result<Attr<'a>> {
    if p.is_null() {
        return Ok(Attr::None);
    }
    a_ints(p, n)
}
unsafe fn a_opt<'a, T: Copy>(p: *const T, attr: fn(T) -> Attr<'a>) -> Attr<'a> {
    p.as_ref().map_or(Attr::None, |v| attr(*v))
}
fn a_dtype<'a>(code: i32) -> Result<Attr<'a>> {
    DType::from_code(code).map(Attr::DType)
}
fn a_opt_dtype<'a>(code: i32) -> Result<Attr<'a>> {
    if code == -1 {
        return Ok(Attr::None);
    }
    a_dtype(code)
}
unsafe fn a_str<'a>(p: *const c_char) -> Result<Attr<'a>> {
    let s = string(p, "a word")?;
    if s.len() > 4096 {
        bail!(Value, "a word of {} bytes is too long", s.len());
    }
    Ok(Attr::Str(s))
}
unsafe fn a_generator<'a>(p: *const rt_generator) -> Result<Attr<'a>> {
    Ok(Attr::Generator(generator(p)))
}

/// What a handle of a generator stands for; NULL is the default one.
unsafe fn generator<'a>(p: *const rt_generator) -> Option<&'a GeneratorHandle> {
    p.cast::<GeneratorHandle>().as_ref()
}

unsafe fn string<'a>(p: *const c_char, what: &str) -> Result<&'a str> {
    if p.is_null() {
        bail!(Null, "{what} is NULL");
    }
    CStr::from_ptr(p).to_str().map_err(|_| err!(Value, "{what} is not UTF-8"))
}

unsafe fn shape_of(p: *const i64, n: usize) -> Result<crate::shape::Dims> {
    match a_ints(p, n)? {
        Attr::Ints(v) => crate::shape::sizes(v),
        _ => Ok(Default::default()),
    }
}

// ---- what the generated functions call ----

unsafe fn call_one(op: &'static OpDef, ins: Result<Borrows>, attrs: &[Attr], out: *mut *mut rt_tensor) -> Result<()> {
    need_out(out)?;
    let ins = ins?;
    let t = crate::ops::call1(op, &ins, attrs)?;
    heard()?;
    *out = give(t);
    Ok(())
}

/// A caller that a listener's exception goes to gets no results.
#[inline]
fn heard() -> Result<()> {
    if callback::unwinding() {
        bail!(Callback, "a callback did not return");
    }
    Ok(())
}

unsafe fn call_some(
    op: &'static OpDef,
    ins: Result<Borrows>,
    attrs: &[Attr],
    outs: &[*mut *mut rt_tensor],
) -> Result<()> {
    for &o in outs {
        need_out(o)?;
    }
    let ins = ins?;
    let results: Outs = crate::ops::call(op, &ins, attrs)?;
    heard()?;
    for (t, &o) in results.into_iter().zip(outs) {
        *o = give(t);
    }
    Ok(())
}

unsafe fn call_list(
    op: &'static OpDef,
    ins: Result<Borrows>,
    attrs: &[Attr],
    out: *mut *mut rt_tensor_list,
) -> Result<()> {
    need_out(out)?;
    let ins = ins?;
    let results = crate::ops::call(op, &ins, attrs)?;
    heard()?;
    *out = Box::into_raw(Box::new(rt_tensor_list(results)));
    Ok(())
}

unsafe fn call_nothing(op: &'static OpDef, ins: Result<Borrows>, attrs: &[Attr]) -> Result<()> {
    crate::ops::call(op, &ins?, attrs).map(|_| ())
}

unsafe fn call_inplace(op: &'static OpDef, ins: Result<Borrows>, attrs: &[Attr]) -> Result<()> {
    crate::ops::call_inplace(op, &ins?, attrs).map(|_| ())
}

/// In-place twins that change a layout: they give a new handle.
unsafe fn call_relayout(
    op: &'static OpDef,
    ins: Result<Borrows>,
    attrs: &[Attr],
    out: *mut *mut rt_tensor,
) -> Result<()> {
    need_out(out)?;
    let t = crate::ops::call_inplace(op, &ins?, attrs)?;
    heard()?;
    *out = give(t);
    Ok(())
}

/// A plain number as a tensor argument.
unsafe fn plain(s: rt_scalar) -> Result<Tensor> {
    Tensor::number(number(s)?.ok_or_else(|| err!(Value, "a number is missing (kind RT_SCALAR_NONE)"))?)
}

/// A handle that lives as long as `t`.
fn lend(t: &Tensor) -> *const rt_tensor {
    // SAFETY: a tensor, read as the handle that it is.
    unsafe { *(t as *const Tensor).cast() }
}
