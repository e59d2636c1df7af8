//! Versions, errors, dtypes, threads, memory.

use super::*;
use crate::dtype::{self, ResultType};
use crate::{parallel, storage};
use std::sync::OnceLock;

/// The version of the ABI that a program was compiled against; compare with `rt_abi_version()`.
pub const RT_ABI_VERSION: u32 = 3;

/// The version of the ABI that this library has.
#[no_mangle]
pub extern "C-unwind" fn rt_abi_version() -> u32 {
    RT_ABI_VERSION
}
/// The library's version, such as "0.1.0".
#[no_mangle]
pub extern "C-unwind" fn rt_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// This thread's last error as text; "" if there was none. It lives until the next failure on this thread.
#[no_mangle]
pub extern "C-unwind" fn rt_last_error() -> *const c_char {
    last(|l| l.message.as_ptr())
}
/// Status of this thread's last error; `RT_OK` if there was none.
#[no_mangle]
pub extern "C-unwind" fn rt_last_error_status() -> rt_status {
    last(|l| l.status)
}
/// Name of the op of this thread's last error, or "".
#[no_mangle]
pub extern "C-unwind" fn rt_last_error_op() -> *const c_char {
    last(|l| l.op.as_ptr())
}
/// One of the two shapes (`which` is 0 or 1) of this thread's last error: writes where the sizes lie and returns their
/// number, or -1 if the error is not about two shapes.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_last_error_shape(which: i32, sizes: *mut *const i64) -> i32 {
    last(|l| {
        if l.status != RT_ERR_SHAPE || sizes.is_null() || !(0..2).contains(&which) {
            return -1;
        }
        if l.shapes[0].is_empty() && l.shapes[1].is_empty() {
            return -1;
        }
        let s = &l.shapes[which as usize];
        *sizes = s.as_ptr();
        s.len() as i32
    })
}

/// What is known about a dtype. Strings live for ever.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rt_dtype_info {
    /// sizeof(rt_dtype_info), which the caller sets.
    pub size: usize,
    /// PyTorch's name.
    pub name: *const c_char,
    /// NumPy's type string.
    pub typestr: *const c_char,
    /// Bytes per element.
    pub itemsize: usize,
    /// 0 bool, 1 whole numbers, 2 floats, 3 complex numbers. Gradients flow through the last two.
    pub category: i32,
    /// DLPack type code.
    pub dlpack_code: u8,
    /// DLPack bits.
    pub dlpack_bits: u8,
    /// Smallest finite value.
    pub min: f64,
    /// Largest finite value.
    pub max: f64,
    /// Distance from 1 to the next larger value; 0 for whole numbers.
    pub eps: f64,
}

/// Number of dtypes; their codes are 0, 1, 2 ...
#[no_mangle]
pub extern "C-unwind" fn rt_dtype_count() -> i32 {
    dtype::ALL.len() as i32
}
/// What is known about the dtype with this code. At most `out->size` bytes are written; afterwards that says how many.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_dtype_get(code: i32, out: *mut rt_dtype_info) -> rt_status {
    static NAMES: OnceLock<SmallVec<[(CString, CString); 16]>> = OnceLock::new();
    guard(|| {
        need_out(out)?;
        let names = NAMES.get_or_init(|| dtype::ALL.iter().map(|d| (text(d.name()), text(d.typestr()))).collect());
        let d = DType::from_code(code)?;
        let (name, typestr) = &names[d as usize];
        let info = rt_dtype_info {
            size: size_of::<rt_dtype_info>(),
            name: name.as_ptr(),
            typestr: typestr.as_ptr(),
            itemsize: d.size(),
            category: d.category() as i32,
            dlpack_code: d.dlpack().0,
            dlpack_bits: d.dlpack().1,
            min: d.min(),
            max: d.max(),
            eps: d.eps(),
        };
        fill("rt_dtype_info", first_size!(rt_dtype_info, eps: f64), &info, out)
    })
}
/// The smallest dtype that holds both.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_promote_types(a: i32, b: i32, out: *mut i32) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = dtype::promote(DType::from_code(a)?, DType::from_code(b)?)? as i32;
        Ok(())
    })
}
/// The dtype in which an operation on these tensors runs (PyTorch's `result_type`).
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_result_type(
    tensors: *const *const rt_tensor,
    tensors_len: usize,
    out: *mut i32,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        let mut r = ResultType::default();
        for i in 0..tensors_len {
            let t = need(if tensors.is_null() { &std::ptr::null() } else { &*tensors.add(i) }, "tensors")?;
            r.add(t.dtype(), t.ndim(), t.0.wrapped)?;
        }
        *out = r.get()? as i32;
        Ok(())
    })
}
/// The dtype of floating-point tensors made without one.
#[no_mangle]
pub extern "C-unwind" fn rt_default_dtype() -> i32 {
    dtype::default_dtype() as i32
}
/// Sets `rt_default_dtype`; it must be a floating-point type.
#[no_mangle]
pub extern "C-unwind" fn rt_set_default_dtype(code: i32) -> rt_status {
    guard(|| dtype::set_default_dtype(DType::from_code(code)?))
}

/// Number of threads that ops use.
#[no_mangle]
pub extern "C-unwind" fn rt_num_threads() -> usize {
    parallel::num_threads()
}
/// Sets the number of threads that ops use; at least 1. Results do not depend on it.
#[no_mangle]
pub extern "C-unwind" fn rt_set_num_threads(n: usize) -> rt_status {
    guard(|| {
        if n == 0 {
            bail!(Value, "set_num_threads: wanted at least 1, got 0");
        }
        parallel::set_num_threads(n);
        Ok(())
    })
}
/// What long calls on this thread ask, about 20 times a second, whether to go on: if it returns anything but 0, the call
/// ends soon with `RT_ERR_INTERRUPTED`. NULL: they are not asked. Calls that change a tensor in place run to their end. The
/// check may call the library; it must return.
#[no_mangle]
pub extern "C-unwind" fn rt_set_interrupt_check(check: Option<unsafe extern "C-unwind" fn() -> i32>) {
    parallel::set_interrupt_check(check);
}
/// How long an op waits, in milliseconds, for a tensor that another thread is writing to; then it fails with `RT_ERR_STATE`.
#[no_mangle]
pub extern "C-unwind" fn rt_set_lock_timeout(milliseconds: u64) {
    storage::set_lock_timeout(milliseconds);
}
/// Bytes that tensors hold at present; free blocks kept for reuse are not counted.
#[no_mangle]
pub extern "C-unwind" fn rt_memory_in_use() -> usize {
    storage::bytes_in_use()
}
/// Gives free blocks that were kept for reuse back to the system, and what this thread keeps of Fourier transforms.
#[no_mangle]
pub extern "C-unwind" fn rt_empty_cache() {
    crate::ops::forget_transforms();
    storage::empty_cache();
}
/// Fault injection for tests: the allocation after the next `n` ones fails with `RT_ERR_MEMORY`; -1 switches it off.
#[no_mangle]
pub extern "C-unwind" fn rt_fail_allocation_after(n: i32) {
    storage::fail_after(n);
}
