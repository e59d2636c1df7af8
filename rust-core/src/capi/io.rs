//! Files of named tensors (safetensors).
#![allow(clippy::disallowed_types, reason = "files come as vectors; room is always asked for first")]

use super::*;
use crate::io::safetensors as st;
use std::ffi::c_void;
use std::path::Path;

/// A file that was read. Release it with `rt_archive_free`.
pub struct rt_archive {
    tensors: Vec<(CString, Tensor)>,
    metadata: Vec<(CString, CString)>,
}

/// The bytes of a file, made in memory. Release them with `rt_bytes_free`.
pub struct rt_bytes(Vec<u8>);

unsafe fn strings<'a>(p: *const *const c_char, n: usize, what: &str) -> Result<Vec<&'a str>> {
    if p.is_null() && n > 0 {
        bail!(Null, "{what} is NULL");
    }
    collect(n, |i| string(*p.add(i), what))
}

/// A list of `n` things; what memory cannot hold is an error.
fn collect<T>(n: usize, mut item: impl FnMut(usize) -> Result<T>) -> Result<Vec<T>> {
    if n > 1 << 20 {
        bail!(Value, "a list of {n} is too long");
    }
    let mut all = Vec::new();
    all.try_reserve_exact(n).map_err(|_| err!(Memory, "could not allocate a list of {n}"))?;
    for i in 0..n {
        all.push(item(i)?);
    }
    Ok(all)
}

unsafe fn path<'a>(p: *const c_char, what: &str) -> Result<&'a Path> {
    if p.is_null() {
        bail!(Null, "{what} is NULL");
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Ok(Path::new(std::ffi::OsStr::from_bytes(CStr::from_ptr(p).to_bytes())))
    }
    #[cfg(not(unix))]
    Ok(Path::new(string(p, what)?))
}

/// What is to be saved: tensors with their names, and metadata.
type Contents<'a> = (Vec<(&'a str, &'a Tensor)>, Vec<(&'a str, &'a str)>);

unsafe fn contents<'a>(
    names: *const *const c_char,
    tensors: *const *const rt_tensor,
    len: usize,
    metadata_keys: *const *const c_char,
    metadata_values: *const *const c_char,
    metadata_len: usize,
) -> Result<Contents<'a>> {
    let names = strings(names, len, "save: names")?;
    if tensors.is_null() && len > 0 {
        bail!(Null, "save: tensors is NULL");
    }
    let keys = strings(metadata_keys, metadata_len, "save: metadata")?;
    let values = strings(metadata_values, metadata_len, "save: metadata")?;
    let pairs = collect(len, |i| Ok((names[i], need(&*tensors.add(i), "tensors")?)))?;
    Ok((pairs, collect(metadata_len, |i| Ok((keys[i], values[i])))?))
}

/// Saves `len` tensors under their names, with text metadata, in one safetensors file. The file appears whole or not at all.
/// The path is bytes as the system takes them (UTF-8 on Windows). Symbolic links are followed; an existing file keeps its
/// permissions and, where the system allows it, its owner; devices and pipes are written to. Tensors come row-major, an
/// expanded one with all of its elements: what they share and how they lie in memory is not kept.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_save(
    path: *const c_char,
    names: *const *const c_char,
    tensors: *const *const rt_tensor,
    len: usize,
    metadata_keys: *const *const c_char,
    metadata_values: *const *const c_char,
    metadata_len: usize,
) -> rt_status {
    guard(|| {
        let path = self::path(path, "save: path")?;
        let (pairs, metadata) = contents(names, tensors, len, metadata_keys, metadata_values, metadata_len)?;
        st::save(path, &pairs, &metadata)
    })
}

/// The bytes that `rt_save` would write.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_save_bytes(
    names: *const *const c_char,
    tensors: *const *const rt_tensor,
    len: usize,
    metadata_keys: *const *const c_char,
    metadata_values: *const *const c_char,
    metadata_len: usize,
    out: *mut *mut rt_bytes,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        let (pairs, metadata) = contents(names, tensors, len, metadata_keys, metadata_values, metadata_len)?;
        *out = Box::into_raw(Box::new(rt_bytes(st::serialize(&pairs, &metadata)?)));
        Ok(())
    })
}
/// First byte; it lives as long as `bytes`. NULL for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_bytes_data(bytes: *const rt_bytes) -> *const u8 {
    bytes.as_ref().map_or(std::ptr::null(), |b| b.0.as_ptr())
}
/// Number of bytes; 0 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_bytes_len(bytes: *const rt_bytes) -> usize {
    bytes.as_ref().map_or(0, |b| b.0.len())
}
/// Releases bytes; NULL is accepted.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_bytes_free(bytes: *mut rt_bytes) {
    if !bytes.is_null() {
        drop(Box::from_raw(bytes));
    }
}

/// Takes the next `len` bytes of a file; they live during the call only. Anything but `RT_OK` ends the saving.
pub type rt_writer = Option<unsafe extern "C-unwind" fn(ctx: *mut c_void, data: *const u8, len: usize) -> rt_status>;

/// Hands what `rt_save` would write to `writer`, from the first byte to the last in pieces of about 1 MiB: no second copy
/// of the data is made. `writer` runs on this thread and is called with `ctx`; if it fails, so does this, with
/// `RT_ERR_CALLBACK`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_save_to(
    writer: rt_writer,
    ctx: *mut c_void,
    names: *const *const c_char,
    tensors: *const *const rt_tensor,
    len: usize,
    metadata_keys: *const *const c_char,
    metadata_values: *const *const c_char,
    metadata_len: usize,
) -> rt_status {
    guard(|| {
        let writer = writer.ok_or_else(|| err!(Null, "save: writer is NULL"))?;
        let (pairs, metadata) = contents(names, tensors, len, metadata_keys, metadata_values, metadata_len)?;
        st::write(&pairs, &metadata, &mut |piece| match ask(|| writer(ctx, piece.as_ptr(), piece.len())) {
            RT_OK => Ok(()),
            status => bail!(Callback, "save: the writer failed with status {status}"),
        })
    })
}

/// The archive as C reads it.
fn archive(a: st::Archive) -> Result<*mut rt_archive> {
    // A string comes with room for its NUL, so that this allocates nothing but the lists.
    let c = |s: String| CString::new(s).unwrap_or_else(|e| text(&String::from_utf8_lossy(&e.into_vec())));
    let (mut tensors, mut metadata) = (a.tensors.into_iter(), a.metadata.into_iter());
    let gone = || err!(State, "fewer entries than there were");
    let tensors = collect(tensors.len(), |_| tensors.next().map(|(n, t)| (c(n), t)).ok_or_else(gone))?;
    let metadata = collect(metadata.len(), |_| metadata.next().map(|(k, v)| (c(k), c(v))).ok_or_else(gone))?;
    Ok(Box::into_raw(Box::new(rt_archive { tensors, metadata })))
}

/// Loads a safetensors file. The path is bytes as the system takes them (UTF-8 on Windows). A NUL in metadata is read as
/// U+FFFD; a name with one is refused.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_load(path: *const c_char, out: *mut *mut rt_archive) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = archive(st::load(self::path(path, "load: path")?)?)?;
        Ok(())
    })
}
/// Loads a safetensors file that lies in memory.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_load_bytes(data: *const u8, nbytes: usize, out: *mut *mut rt_archive) -> rt_status {
    guard(|| {
        need_out(out)?;
        if data.is_null() {
            bail!(Null, "load: data is NULL");
        }
        *out = archive(st::deserialize(std::slice::from_raw_parts(data, nbytes))?)?;
        Ok(())
    })
}
/// Fills the `len` bytes at `data` with the next ones of a file. Anything but `RT_OK` ends the loading.
pub type rt_reader = Option<unsafe extern "C-unwind" fn(ctx: *mut c_void, data: *mut u8, len: usize) -> rt_status>;

/// Loads a safetensors file that `reader` hands out, in pieces of at most 16 MiB. It is called with `ctx` on this thread, and
/// not for what follows the file. If it fails, so does this, with `RT_ERR_CALLBACK`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_load_from(
    reader: rt_reader,
    ctx: *mut c_void,
    out: *mut *mut rt_archive,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        let reader = reader.ok_or_else(|| err!(Null, "load: reader is NULL"))?;
        let mut get = |to: &mut [u8]| {
            let (p, n) = (to.as_mut_ptr(), to.len());
            match ask(|| reader(ctx, p, n)) {
                RT_OK => Ok(()),
                status => bail!(Callback, "load: the reader failed with status {status}"),
            }
        };
        *out = archive(st::read(&mut get, None)?)?;
        Ok(())
    })
}
/// Releases an archive; NULL is accepted.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_archive_free(archive: *mut rt_archive) {
    if !archive.is_null() {
        release(Box::from_raw(archive));
    }
}
/// Number of tensors; 0 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_archive_len(archive: *const rt_archive) -> usize {
    archive.as_ref().map_or(0, |a| a.tensors.len())
}
/// Name of tensor `index`; it lives as long as the archive. NULL if there is none.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_archive_name(archive: *const rt_archive, index: usize) -> *const c_char {
    archive.as_ref().and_then(|a| a.tensors.get(index)).map_or(std::ptr::null(), |t| t.0.as_ptr())
}
/// A new handle of tensor `index`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_archive_tensor(
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
pub unsafe extern "C-unwind" fn rt_archive_metadata_len(archive: *const rt_archive) -> usize {
    archive.as_ref().map_or(0, |a| a.metadata.len())
}
/// Key of metadata entry `index`, or NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_archive_metadata_key(archive: *const rt_archive, index: usize) -> *const c_char {
    archive.as_ref().and_then(|a| a.metadata.get(index)).map_or(std::ptr::null(), |m| m.0.as_ptr())
}
/// Value of metadata entry `index`, or NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_archive_metadata_value(archive: *const rt_archive, index: usize) -> *const c_char {
    archive.as_ref().and_then(|a| a.metadata.get(index)).map_or(std::ptr::null(), |m| m.1.as_ptr())
}
