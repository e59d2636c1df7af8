//! Tensors: making, reading, sharing, releasing.

use super::*;
use crate::device::On;
use crate::shape::{Layout, Strides};
use crate::storage::{Release, Storage};
use std::ffi::c_void;

/// Releases a tensor handle; NULL is accepted.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_free(tensor: *mut rt_tensor) {
    if !tensor.is_null() {
        release(take(tensor));
    }
}

/// A second handle of the same tensor. NULL gives NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_retain(tensor: *const rt_tensor) -> *mut rt_tensor {
    if tensor.is_null() {
        return std::ptr::null_mut();
    }
    give(borrow(&tensor).clone())
}

/// Number of tensor handles that have not been released.
#[no_mangle]
pub extern "C-unwind" fn rt_live_tensors() -> i64 {
    LIVE.load(Ordering::Relaxed)
}

/// A tensor with a copy of `data`: row-major elements of `dtype`, as many as `shape` says.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_from_data(
    data: *const c_void,
    shape: *const i64,
    ndim: usize,
    dtype: i32,
    out: *mut *mut rt_tensor,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        let t = Tensor::empty_of(&shape_of(shape, ndim)?, DType::from_code(dtype)?)?;
        if t.numel() > 0 {
            if data.is_null() {
                bail!(Null, "rt_tensor_from_data: data is NULL");
            }
            t.fill_from(data.cast());
        }
        *out = give(t);
        Ok(())
    })
}

/// A tensor over memory of the caller. `strides` are in elements and not negative; NULL means row-major. `release(ctx)` is
/// called once, from any thread, when nobody needs the memory any more; it may be NULL. On failure it is not called.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_from_blob(
    data: *mut c_void,
    shape: *const i64,
    strides: *const i64,
    ndim: usize,
    dtype: i32,
    release: Option<unsafe extern "C-unwind" fn(*mut c_void)>,
    ctx: *mut c_void,
    out: *mut *mut rt_tensor,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        let dtype = DType::from_code(dtype)?;
        *out =
            give(shared("rt_tensor_from_blob", data.cast(), &shape_of(shape, ndim)?, strides, dtype, (release, ctx))?);
        Ok(())
    })
}

/// A tensor over foreign memory, after all checks that do not need the memory itself. `strides` may be NULL.
pub(super) unsafe fn shared(
    who: &str,
    data: *mut u8,
    shape: &[usize],
    strides: *const i64,
    dtype: DType,
    (release, ctx): (Option<Release>, *mut c_void),
) -> Result<Tensor> {
    let mut layout = Layout::contiguous(shape)?;
    if !strides.is_null() {
        // The step of a dimension with one element means nothing, and other libraries write anything there.
        let step = |(d, &own): (usize, &isize)| if shape[d] > 1 { *strides.add(d) as isize } else { own };
        let steps: Strides = layout.strides().iter().enumerate().map(step).collect();
        if steps.iter().any(|&s| s < 0) {
            bail!(Value, "{who}: negative strides are not supported; pass a copy");
        }
        layout = Layout::new(shape.into(), steps, 0)?;
    }
    if layout.numel() > 0 && data.is_null() {
        bail!(Null, "{who}: data is NULL");
    }
    let whole = (data as usize).is_multiple_of(dtype.alignment());
    if layout.numel() > 0 && !whole {
        bail!(Value, "{who}: the memory does not lie at whole elements of {dtype}; pass a copy");
    }
    // An empty slice has a place too.
    static NOWHERE: u64 = 0;
    let data = if data.is_null() || !whole { (&raw const NOWHERE).cast_mut().cast() } else { data };
    let bytes = layout.span().checked_mul(dtype.size()).filter(|&b| b <= isize::MAX as usize);
    let Some(bytes) = bytes.filter(|&b| (data as usize).checked_add(b).is_some_and(|end| end <= isize::MAX as usize))
    else {
        bail!(Value, "{who}: shape {shape:?} with strides {:?} reaches too far", layout.strides());
    };
    Ok(Tensor::build(Storage::foreign(data, bytes, release, ctx), layout, dtype, None))
}

/// A 0-d tensor of `dtype`, which must hold the number; with -1, a plain number that yields in type promotion.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_from_number(
    value: rt_scalar,
    dtype: i32,
    out: *mut *mut rt_tensor,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        let _on = On::enter(Device::Cpu);
        *out = give(if dtype == -1 {
            plain(value)?
        } else {
            let v = number(value)?.ok_or_else(|| err!(Value, "a number is missing (kind RT_SCALAR_NONE)"))?;
            let dtype = DType::from_code(dtype)?;
            // Beyond the range of a float lies infinity, as wherever data is converted.
            Tensor::filled(&[], if dtype.is_float() && v.imaginary() == 0.0 { v } else { v.held_by(dtype)? }, dtype)?
        });
        Ok(())
    })
}

macro_rules! read {
    ($tensor:ident, $null:expr, |$x:ident| $body:expr) => {{
        if $tensor.is_null() {
            return $null;
        }
        let handle: *const rt_tensor = $tensor;
        let $x: &Tensor = borrow(&handle);
        $body
    }};
}

/// Number of dimensions; 0 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_ndim(tensor: *const rt_tensor) -> usize {
    read!(tensor, 0, |t| t.ndim())
}
/// Sizes, `rt_tensor_ndim` of them; they live as long as the handle. NULL for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_shape(tensor: *const rt_tensor) -> *const i64 {
    read!(tensor, std::ptr::null(), |t| t.shape().as_ptr().cast())
}
/// Steps in elements, `rt_tensor_ndim` of them; they live as long as the handle. NULL for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_strides(tensor: *const rt_tensor) -> *const i64 {
    read!(tensor, std::ptr::null(), |t| t.strides().as_ptr().cast())
}
/// Number of elements; 0 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_numel(tensor: *const rt_tensor) -> i64 {
    read!(tensor, 0, |t| t.numel() as i64)
}
/// Dtype code; -1 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_dtype(tensor: *const rt_tensor) -> i32 {
    read!(tensor, -1, |t| t.dtype() as i32)
}
/// Place of the first element in the storage, in elements; 0 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_storage_offset(tensor: *const rt_tensor) -> i64 {
    read!(tensor, 0, |t| t.layout().offset() as i64)
}
/// Bytes of the storage that the tensor looks into; 0 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_storage_nbytes(tensor: *const rt_tensor) -> usize {
    read!(tensor, 0, |t| t.0.storage.nbytes())
}
/// First byte of the storage; NULL for NULL and for meta tensors.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_storage_data(tensor: *const rt_tensor) -> *mut c_void {
    read!(tensor, std::ptr::null_mut(), |t| t.base_ptr().cast())
}
/// Where the tensor lives (`RT_DEVICE_`); -1 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_device(tensor: *const rt_tensor) -> i32 {
    read!(tensor, -1, |t| t.device() as i32)
}
/// A tensor with the shape, dtype and order of memory of `tensor` on another device. Elements are not copied:
/// on the CPU they are uninitialised.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_like_on(
    tensor: *const rt_tensor,
    device: i32,
    out: *mut *mut rt_tensor,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = give(need(&tensor, "tensor")?.like_on(Device::from_code(device)?)?);
        Ok(())
    })
}
/// Sets where this thread puts what is made of no data and no other tensor (`rt_zeros`, `rt_randn` ...); at first that is the CPU. The
/// device before is written to `before`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_set_device(device: i32, before: *mut i32) -> rt_status {
    guard(|| {
        need_out(before)?;
        *before = crate::device::set_current(Device::from_code(device)?) as i32;
        Ok(())
    })
}
/// Where this thread puts what is made of no data and no other tensor (`RT_DEVICE_`).
#[no_mangle]
pub extern "C-unwind" fn rt_device() -> i32 {
    crate::device::current() as i32
}
/// True if the elements lie in row-major order without gaps.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_is_contiguous(tensor: *const rt_tensor) -> bool {
    read!(tensor, false, |t| t.is_contiguous())
}
/// True if the tensor is a view of another one.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_is_view(tensor: *const rt_tensor) -> bool {
    read!(tensor, false, |t| t.is_view())
}
/// Counts in-place changes of the storage.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_version(tensor: *const rt_tensor) -> u64 {
    read!(tensor, 0, |t| t.version())
}
/// Tells autograd that the elements were changed by somebody else.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_bump_version(tensor: *mut rt_tensor) -> rt_status {
    guard(|| {
        need(&tensor.cast_const(), "tensor")?.changed();
        Ok(())
    })
}
/// Address of the first element; it lives as long as the handle. NULL for NULL and for meta tensors. Whoever writes through it while another
/// thread uses the tensor has a data race of their own.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_data(tensor: *const rt_tensor) -> *mut c_void {
    read!(tensor, std::ptr::null_mut(), |t| if t.is_meta() { std::ptr::null_mut() } else { t.data_ptr().cast() })
}

/// The tensor that this one is a view of; NULL in `out` if it is none.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_base(tensor: *const rt_tensor, out: *mut *mut rt_tensor) -> rt_status {
    guard(|| {
        need_out(out)?;
        let t = need(&tensor, "tensor")?;
        *out = t.base().map_or(std::ptr::null_mut(), |b| give(b.clone()));
        Ok(())
    })
}

/// The only element as a number.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_item(tensor: *const rt_tensor, out: *mut rt_scalar) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = match need(&tensor, "tensor")?.item()? {
            Scalar::Bool(b) => rt_scalar { kind: RT_SCALAR_BOOL, value: rt_number { i: b as i64 } },
            Scalar::Int(i) => rt_scalar { kind: RT_SCALAR_INT, value: rt_number { i } },
            Scalar::Float(f) => rt_scalar { kind: RT_SCALAR_FLOAT, value: rt_number { f } },
            Scalar::Complex(re, im) => {
                rt_scalar { kind: RT_SCALAR_COMPLEX, value: rt_number { c: rt_complex_number { re, im } } }
            }
        };
        Ok(())
    })
}

/// Copies the elements to `data` in row-major order, converted to `dtype`; `nbytes` is the room there and must suffice.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_copy_to(
    tensor: *const rt_tensor,
    dtype: i32,
    data: *mut c_void,
    nbytes: usize,
) -> rt_status {
    guard(|| {
        let t = need(&tensor, "tensor")?;
        let dtype = DType::from_code(dtype)?;
        let wanted = crate::tensor::bytes(t.layout(), dtype)?;
        if nbytes < wanted {
            bail!(Value, "rt_tensor_copy_to: {wanted} bytes are wanted, there is room for {nbytes}");
        }
        if wanted == 0 {
            return Ok(());
        }
        if data.is_null() {
            bail!(Null, "rt_tensor_copy_to: data is NULL");
        }
        t.read_into(data.cast(), dtype)
    })
}

/// True if the tensor was made in inference mode or is a view of one that was; false for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_is_inference(tensor: *const rt_tensor) -> bool {
    !tensor.is_null() && borrow(&tensor).is_inference()
}

/// The same elements without autograd history. In-place changes are seen by both.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_detach(tensor: *const rt_tensor, out: *mut *mut rt_tensor) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = give(need(&tensor, "tensor")?.alias());
        Ok(())
    })
}

/// The same elements without autograd history, and without its protection: backward does not notice in-place changes
/// through this handle and views of it. What `tensor.data` is.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_get_data(tensor: *const rt_tensor, out: *mut *mut rt_tensor) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = give(need(&tensor, "tensor")?.data());
        Ok(())
    })
}

/// A handle with the elements of `data` and the autograd state (gradient, hooks) of `tensor`: what `tensor.data = data`
/// makes of `tensor`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_with_data(
    tensor: *const rt_tensor,
    data: *const rt_tensor,
    out: *mut *mut rt_tensor,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        let (t, d) = (need(&tensor, "tensor")?, need(&data, "data")?);
        *out = give(t.replaced_by(d)?);
        Ok(())
    })
}

/// True if both handles belong to one tensor.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_is_same(tensor: *const rt_tensor, other: *const rt_tensor) -> bool {
    tensor == other
}

/// Releases a list; NULL is accepted.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_list_free(list: *mut rt_tensor_list) {
    if !list.is_null() {
        release(Box::from_raw(list));
    }
}
/// Number of tensors in a list; 0 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_list_len(list: *const rt_tensor_list) -> usize {
    list.as_ref().map_or(0, |l| l.0.len())
}
/// A new handle of tensor `index` of a list.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_list_get(
    list: *const rt_tensor_list,
    index: usize,
    out: *mut *mut rt_tensor,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        let list = list.as_ref().ok_or_else(|| err!(Null, "rt_tensor_list_get: list is NULL"))?;
        let t = list
            .0
            .get(index)
            .ok_or_else(|| err!(Index, "rt_tensor_list_get: index {index}, the list holds {}", list.0.len()))?;
        *out = give(t.clone());
        Ok(())
    })
}
