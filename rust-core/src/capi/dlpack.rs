//! DLPack, both ways: sharing tensors with other libraries without copying.
//! Protocol: <https://dmlc.github.io/dlpack/latest/c_api.html>.

use super::*;
use crate::dtype::ALL;
use std::ffi::c_void;

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

type Deleter = Option<unsafe extern "C-unwind" fn(*mut c_void)>;

/// The managed tensor of DLPack before 1.0.
#[repr(C)]
struct Old {
    dl: DlTensor,
    ctx: *mut c_void,
    deleter: Deleter,
}

/// The managed tensor since 1.0.
#[repr(C)]
struct Versioned {
    major: u32,
    minor: u32,
    ctx: *mut c_void,
    deleter: Deleter,
    flags: u64,
    dl: DlTensor,
}

const READ_ONLY: u64 = 1;
const CPU: i32 = 1;

/// What an exported tensor keeps alive.
struct Keep {
    _tensor: Tensor,
    shape: SmallVec<[i64; 5]>,
    strides: SmallVec<[i64; 5]>,
}

unsafe extern "C-unwind" fn drop_old(p: *mut c_void) {
    let m = Box::from_raw(p.cast::<Old>());
    release(Box::from_raw(m.ctx.cast::<Keep>()));
}

unsafe extern "C-unwind" fn drop_versioned(p: *mut c_void) {
    let m = Box::from_raw(p.cast::<Versioned>());
    release(Box::from_raw(m.ctx.cast::<Keep>()));
}

/// A `DLManagedTensorVersioned` (or, if `versioned` is false, a `DLManagedTensor`) that shares the tensor's memory. Whoever
/// takes it calls its deleter; if nobody does, `rt_dlpack_free`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_to_dlpack(
    tensor: *const rt_tensor,
    versioned: bool,
    managed: *mut *mut c_void,
) -> rt_status {
    guard(|| {
        need_out(managed)?;
        let t = need(&tensor, "tensor")?;
        if t.is_meta() {
            bail!(Unsupported, "a meta tensor has no elements to share");
        }
        let (code, bits) = t.dtype().dlpack();
        let mut keep = Box::new(Keep {
            _tensor: t.clone(),
            shape: t.shape().iter().map(|&d| d as i64).collect(),
            strides: t.strides().iter().map(|&s| s as i64).collect(),
        });
        let dl = DlTensor {
            data: t.data_ptr().cast(),
            device_type: CPU,
            device_id: 0,
            ndim: t.ndim() as i32,
            code,
            bits,
            lanes: 1,
            shape: keep.shape.as_mut_ptr(),
            strides: keep.strides.as_mut_ptr(),
            byte_offset: 0,
        };
        let ctx: *mut c_void = Box::into_raw(keep).cast();
        *managed = if versioned {
            let m = Versioned { major: 1, minor: 0, ctx, deleter: Some(drop_versioned), flags: 0, dl };
            Box::into_raw(Box::new(m)).cast()
        } else {
            Box::into_raw(Box::new(Old { dl, ctx, deleter: Some(drop_old) })).cast()
        };
        Ok(())
    })
}

/// Calls the deleter of a managed tensor that nobody has taken; NULL is accepted.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_dlpack_free(managed: *mut c_void, versioned: bool) {
    if managed.is_null() {
        return;
    }
    let deleter = if versioned { (*managed.cast::<Versioned>()).deleter } else { (*managed.cast::<Old>()).deleter };
    if let Some(f) = deleter {
        callback::call(|| f(managed));
        callback::go_on();
    }
}

/// Takes a managed tensor of another library and shares its memory; its deleter is called when nobody needs it any more.
/// On failure it stays with the caller. Read-only memory and devices other than the CPU are refused.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_from_dlpack(
    managed: *mut c_void,
    versioned: bool,
    out: *mut *mut rt_tensor,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        if managed.is_null() {
            bail!(Null, "from_dlpack: the managed tensor is NULL");
        }
        let (dl, deleter) = if versioned {
            let m = &*managed.cast::<Versioned>();
            if m.major != 1 {
                bail!(Unsupported, "from_dlpack: DLPack version {}.{} is not known", m.major, m.minor);
            }
            if m.flags & READ_ONLY != 0 {
                bail!(Value, "from_dlpack: the memory is read-only; pass a copy");
            }
            (&m.dl, m.deleter)
        } else {
            let m = &*managed.cast::<Old>();
            (&m.dl, m.deleter)
        };
        if dl.device_type != CPU {
            bail!(Unsupported, "from_dlpack: only CPU memory can be shared, this is device type {}", dl.device_type);
        }
        let dtype = ALL.iter().copied().find(|d| d.dlpack() == (dl.code, dl.bits) && dl.lanes == 1);
        let Some(dtype) = dtype else {
            bail!(DType, "from_dlpack: type code {}, {} bits, {} lanes is not supported", dl.code, dl.bits, dl.lanes);
        };
        let n = usize::try_from(dl.ndim).map_err(|_| err!(Value, "from_dlpack: ndim is {}", dl.ndim))?;
        let shape = shape_of(dl.shape, n)?;
        let data = match (dl.data.is_null(), usize::try_from(dl.byte_offset)) {
            (true, _) => std::ptr::null_mut(),
            (false, Ok(at)) if (dl.data as usize).checked_add(at).is_some() => dl.data.cast::<u8>().wrapping_add(at),
            _ => bail!(Value, "from_dlpack: byte_offset {} reaches too far", dl.byte_offset),
        };
        *out = give(super::tensor::shared("from_dlpack", data, &shape, dl.strides, dtype, (deleter, managed))?);
        Ok(())
    })
}
