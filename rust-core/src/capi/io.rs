//! Files of named tensors (safetensors).

use super::*;
use crate::io::safetensors as st;
use std::path::Path;

/// A file that was read. Release it with `rt_archive_free`.
pub struct rt_archive {
    tensors: Vec<(CString, Tensor)>,
    metadata: Vec<(CString, CString)>,
}

unsafe fn strings<'a>(p: *const *const c_char, n: usize, what: &str) -> Result<Vec<&'a str>> {
    if p.is_null() && n > 0 {
        bail!(Null, "{what} is NULL");
    }
    (0..n).map(|i| string(*p.add(i), what)).collect()
}

/// Saves `len` tensors under their names, with text metadata, in one safetensors file. The file appears whole or not at all.
#[no_mangle]
pub unsafe extern "C" fn rt_save(
    path: *const c_char,
    names: *const *const c_char,
    tensors: *const *const rt_tensor,
    len: usize,
    metadata_keys: *const *const c_char,
    metadata_values: *const *const c_char,
    metadata_len: usize,
) -> rt_status {
    guard(|| {
        let path = string(path, "save: path")?;
        let names = strings(names, len, "save: names")?;
        if tensors.is_null() && len > 0 {
            bail!(Null, "save: tensors is NULL");
        }
        let handles = (0..len).map(|i| need(&*tensors.add(i), "tensors")).collect::<Result<Vec<_>>>()?;
        let keys = strings(metadata_keys, metadata_len, "save: metadata")?;
        let values = strings(metadata_values, metadata_len, "save: metadata")?;
        let pairs: Vec<(&str, &Tensor)> = names.into_iter().zip(handles).collect();
        let meta: Vec<(&str, &str)> = keys.into_iter().zip(values).collect();
        st::save(Path::new(path), &pairs, &meta)
    })
}

fn archive(a: st::Archive) -> *mut rt_archive {
    Box::into_raw(Box::new(rt_archive {
        tensors: a.tensors.into_iter().map(|(n, t)| (text(&n), t)).collect(),
        metadata: a.metadata.into_iter().map(|(k, v)| (text(&k), text(&v))).collect(),
    }))
}

/// Loads a safetensors file.
#[no_mangle]
pub unsafe extern "C" fn rt_load(path: *const c_char, out: *mut *mut rt_archive) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = archive(st::load(Path::new(string(path, "load: path")?))?);
        Ok(())
    })
}
/// Loads a safetensors file that lies in memory.
#[no_mangle]
pub unsafe extern "C" fn rt_load_bytes(data: *const u8, nbytes: usize, out: *mut *mut rt_archive) -> rt_status {
    guard(|| {
        need_out(out)?;
        if data.is_null() {
            bail!(Null, "load: data is NULL");
        }
        *out = archive(st::deserialize(std::slice::from_raw_parts(data, nbytes))?);
        Ok(())
    })
}
/// Releases an archive; NULL is accepted.
#[no_mangle]
pub unsafe extern "C" fn rt_archive_free(archive: *mut rt_archive) {
    if !archive.is_null() {
        drop(Box::from_raw(archive));
    }
}
/// Number of tensors; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn rt_archive_len(archive: *const rt_archive) -> usize {
    archive.as_ref().map_or(0, |a| a.tensors.len())
}
/// Name of tensor `index`; it lives as long as the archive. NULL if there is none.
#[no_mangle]
pub unsafe extern "C" fn rt_archive_name(archive: *const rt_archive, index: usize) -> *const c_char {
    archive.as_ref().and_then(|a| a.tensors.get(index)).map_or(std::ptr::null(), |t| t.0.as_ptr())
}
/// A new handle of tensor `index`.
#[no_mangle]
pub unsafe extern "C" fn rt_archive_tensor(
    archive: *const rt_archive,
    index: usize,
    out: *mut *mut rt_tensor,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        let a = archive.as_ref().ok_or_else(|| err!(Null, "rt_archive_tensor: archive is NULL"))?;
        let t = a
            .tensors
            .get(index)
            .ok_or_else(|| err!(Index, "rt_archive_tensor: index {index}, it holds {}", a.tensors.len()))?;
        *out = give(t.1.clone());
        Ok(())
    })
}
/// Number of metadata entries; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn rt_archive_metadata_len(archive: *const rt_archive) -> usize {
    archive.as_ref().map_or(0, |a| a.metadata.len())
}
/// Key of metadata entry `index`, or NULL.
#[no_mangle]
pub unsafe extern "C" fn rt_archive_metadata_key(archive: *const rt_archive, index: usize) -> *const c_char {
    archive.as_ref().and_then(|a| a.metadata.get(index)).map_or(std::ptr::null(), |m| m.0.as_ptr())
}
/// Value of metadata entry `index`, or NULL.
#[no_mangle]
pub unsafe extern "C" fn rt_archive_metadata_value(archive: *const rt_archive, index: usize) -> *const c_char {
    archive.as_ref().and_then(|a| a.metadata.get(index)).map_or(std::ptr::null(), |m| m.1.as_ptr())
}
