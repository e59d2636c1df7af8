//! Tensors in safetensors files: a JSON header and raw little-endian data. Nothing in a file is ever executed.
//! Format: <https://huggingface.co/docs/safetensors>.

use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::{bail, err};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::SafeTensors;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

/// A file that was read: named tensors in the file's order, and its metadata.
pub struct Archive {
    /// Tensors.
    pub tensors: Vec<(String, Tensor)>,
    /// Text metadata.
    pub metadata: Vec<(String, String)>,
}

/// The bytes of a file with these tensors. Names must differ.
pub fn serialize(tensors: &[(&str, &Tensor)], metadata: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut data: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = Vec::with_capacity(tensors.len());
    let mut seen = std::collections::HashSet::new();
    for (name, t) in tensors {
        if !seen.insert(*name) {
            bail!(Value, "save: the name {name:?} occurs twice");
        }
        let mut bytes = vec![0u8; t.numel() * t.dtype().size()];
        // SAFETY: the vector has room for every element.
        unsafe { t.read_into(bytes.as_mut_ptr(), t.dtype())? };
        data.push((name, t.dtype().file_dtype(), t.shape().to_vec(), bytes));
    }
    let views = data
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((*name, TensorView::new(*dtype, shape.clone(), bytes).map_err(bad)?)))
        .collect::<Result<Vec<_>>>()?;
    let metadata: HashMap<String, String> = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    safetensors::serialize(views, if metadata.is_empty() { None } else { Some(metadata) }).map_err(bad)
}

fn bad(e: safetensors::SafeTensorError) -> crate::error::Error {
    err!(Io, "not a valid safetensors file: {e}")
}

/// Reads the bytes of a file.
pub fn deserialize(bytes: &[u8]) -> Result<Archive> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(bad)?;
    let file = SafeTensors::deserialize(bytes).map_err(bad)?;
    let mut metadata: Vec<(String, String)> =
        header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    metadata.sort();
    let mut tensors = Vec::new();
    for name in header.offset_keys() {
        let view = file.tensor(&name).map_err(bad)?;
        let dtype = crate::dtype::ALL.iter().copied().find(|d| d.file_dtype() == view.dtype());
        let dtype =
            dtype.ok_or_else(|| err!(Io, "tensor {name:?} has dtype {:?}, which is not supported", view.dtype()))?;
        let t = Tensor::empty_of(view.shape(), dtype)?;
        let data = view.data();
        if data.len() != t.numel() * dtype.size() {
            bail!(Io, "tensor {name:?} has {} bytes, its shape wants {}", data.len(), t.numel() * dtype.size());
        }
        if dtype == DType::Bool && data.iter().any(|&b| b > 1) {
            bail!(Io, "tensor {name:?} has bytes other than 0 and 1 for bools");
        }
        // SAFETY: the new tensor is row-major and has exactly these bytes.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), t.data_ptr(), data.len()) };
        tensors.push((name, t));
    }
    Ok(Archive { tensors, metadata })
}

/// Writes `bytes` to a new file beside `path` and then moves it there, so that `path` never holds half a file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |e: std::io::Error| err!(Io, "{}: {e}", path.display());
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut f = std::fs::File::create(&temporary)?;
        f.write_all(bytes)?;
        f.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        // The first error is the one to tell; the leftover may not even exist.
        let _ = std::fs::remove_file(&temporary);
        io(e)
    })
}

/// Saves tensors to a file.
pub fn save(path: &Path, tensors: &[(&str, &Tensor)], metadata: &[(&str, &str)]) -> Result<()> {
    write_atomically(path, &serialize(tensors, metadata)?)
}

/// Loads a file.
pub fn load(path: &Path) -> Result<Archive> {
    let bytes = std::fs::read(path).map_err(|e| err!(Io, "{}: {e}", path.display()))?;
    deserialize(&bytes).map_err(|e| err!(Io, "{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_back_what_was_written() {
        let a = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
        let b = Tensor::from_slice(&[true, false], &[2, 1]).unwrap();
        let bytes = serialize(&[("a", &a), ("b", &b)], &[("k", "v")]).unwrap();
        let back = deserialize(&bytes).unwrap();
        assert_eq!(back.tensors.len(), 2);
        assert_eq!(back.metadata, [("k".to_string(), "v".to_string())]);
        for n in 0..bytes.len() {
            assert!(deserialize(&bytes[..n]).is_err());
        }
    }
}
