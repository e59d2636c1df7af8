//! Tensors in safetensors files: a JSON header and raw little-endian data. Nothing in a file is ever executed.
//! Format: <https://huggingface.co/docs/safetensors>.

use super::{file, header};
use crate::dtype::DType;
use crate::error::Result;
use crate::parallel::go_on;
use crate::tensor::Tensor;
use crate::{bail, err};
use header::{no_memory, shown};
use std::cmp::Reverse;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

/// Data go out in pieces of at most this many bytes, so that saving needs no copy of a tensor.
const PIECE: usize = 1 << 20;

/// A file that was read: named tensors and text metadata, in the order of its header.
pub struct Archive {
    /// Tensors.
    pub tensors: Vec<(String, Tensor)>,
    /// Text metadata.
    pub metadata: Vec<(String, String)>,
}

// ---- writing ----

/// Hands the bytes of a file with these tensors to `put`, piece by piece. Names must differ, and none is `__metadata__`.
///
/// A tensor that somebody changes in the meantime is an error: no file holds half of a change.
pub fn write(
    tensors: &[(&str, &Tensor)],
    metadata: &[(&str, &str)],
    put: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut order: Vec<usize> = Vec::new();
    let mut ends: Vec<u64> = Vec::new();
    order.try_reserve_exact(tensors.len()).map_err(|_| no_memory(tensors.len() * 8))?;
    ends.try_reserve_exact(tensors.len()).map_err(|_| no_memory(tensors.len() * 8))?;
    order.extend(0..tensors.len());
    ends.resize(tensors.len(), 0);
    // Wide elements first: then all data are aligned as the header's end is.
    order.sort_unstable_by_key(|&i| (Reverse(tensors[i].1.dtype().size()), i));
    let mut end = 0u64;
    for &i in &order {
        let bytes = size(tensors[i].1)? as u64;
        end = end.checked_add(bytes).ok_or_else(|| err!(Value, "save: the tensors are too large for a file"))?;
        ends[i] = end;
    }
    let entries = tensors.iter().zip(&ends).map(|(&(name, t), &end)| {
        // The sum above holds each of these sizes.
        let bytes = (t.numel() * t.dtype().size()) as u64;
        (name, t.dtype(), t.shape(), end - bytes, end)
    });
    put(&header::write(entries, metadata)?)?;
    let mut buffer: Vec<u8> = Vec::new();
    let room = tensors.iter().map(|(_, t)| t.numel() * t.dtype().size()).max().unwrap_or(0).min(PIECE);
    buffer.try_reserve_exact(room).map_err(|_| no_memory(room))?;
    for i in order {
        let (name, t) = tensors[i];
        let version = t.0.storage.version();
        write_data(t, &mut buffer, &mut |piece| {
            if t.0.storage.version() != version {
                bail!(State, "save: tensor {} was changed while it was being saved", shown(name));
            }
            go_on(false)?;
            put(piece)
        })?;
    }
    Ok(())
}

/// Bytes of the elements. An expanded tensor may have more of them than there can be.
fn size(t: &Tensor) -> Result<usize> {
    let bytes = crate::shape::checked_numel(t.shape())?.checked_mul(t.dtype().size());
    bytes.ok_or_else(|| err!(Memory, "a tensor of shape {:?} is too large", t.shape()))
}

/// The elements in row-major order. Without a lock while `put` runs: it may take its time, and may call back.
fn write_data(t: &Tensor, buffer: &mut Vec<u8>, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let bytes = t.numel() * t.dtype().size();
    if bytes == 0 {
        return Ok(());
    }
    if bytes <= PIECE {
        buffer.clear();
        buffer.try_reserve_exact(bytes).map_err(|_| no_memory(bytes))?;
        // SAFETY: the vector has room for every element, all of which are written.
        unsafe {
            t.read_into(buffer.as_mut_ptr(), t.dtype())?;
            buffer.set_len(bytes);
        }
        return put(buffer);
    }
    // There is a dimension of more than one element, as one element is no more than a piece.
    let dim = t.shape().iter().position(|&d| d > 1).unwrap_or(0);
    let n = t.shape()[dim];
    let rows = (PIECE / (bytes / n)).clamp(1, n);
    for start in (0..n).step_by(rows) {
        let part = t.alias().with_layout(t.layout().slice(dim, start, rows.min(n - start), 1));
        write_data(&part, buffer, put)?;
    }
    Ok(())
}

/// The bytes of a file with these tensors.
pub fn serialize(tensors: &[(&str, &Tensor)], metadata: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut total = Some(0usize);
    for (_, t) in tensors {
        total = total.zip(size(t).ok()).and_then(|(n, b)| n.checked_add(b));
    }
    let mut out = Vec::new();
    let mut first = true;
    write(tensors, metadata, &mut |piece| {
        // All of it at once, when the length of the header is known.
        let more =
            if std::mem::take(&mut first) { total.and_then(|n| n.checked_add(piece.len())) } else { Some(piece.len()) };
        out.try_reserve_exact(more.unwrap_or(usize::MAX)).map_err(|_| no_memory(more.unwrap_or(usize::MAX)))?;
        out.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(out)
}

/// Saves tensors to a file, which appears whole or not at all.
///
/// Symbolic links are followed; an existing file keeps its permissions and, where the system allows it, its owner; devices
/// and pipes are written to. Temporary files that killed processes have left in the folder are removed.
pub fn save(path: &Path, tensors: &[(&str, &Tensor)], metadata: &[(&str, &str)]) -> Result<()> {
    file::replace(path, |mut f: &File| {
        write(tensors, metadata, &mut |mut piece| {
            // As `write_all`, which would not be interrupted in a pipe that nobody reads.
            while !piece.is_empty() {
                match f.write(piece) {
                    Ok(0) => return Err(file::failed(path, ErrorKind::WriteZero.into())),
                    Ok(n) => piece = &piece[n..],
                    Err(e) if e.kind() == ErrorKind::Interrupted => go_on(true)?,
                    Err(e) => return Err(file::failed(path, e)),
                }
            }
            Ok(())
        })
    })
}

// ---- reading ----

/// Reads a file that comes from `get`, which fills the slice that it is given. What comes behind the data is left unread.
/// `total` is the size of the file where that is known; then nothing may follow.
pub fn read(get: &mut dyn FnMut(&mut [u8]) -> Result<()>, total: Option<u64>) -> Result<Archive> {
    let mut length = [0; 8];
    get(&mut length)?;
    let length = u64::from_le_bytes(length);
    if total.is_some_and(|t| length > t.saturating_sub(8)) {
        bail!(Io, "not a valid safetensors file: a header of {length} bytes does not fit the file");
    }
    let length = usize::try_from(length).ok().filter(|&n| n <= header::MAX_HEADER).ok_or_else(|| {
        err!(Io, "not a valid safetensors file: a header of {length} bytes, the limit is {}", header::MAX_HEADER)
    })?;
    let mut text: Vec<u8> = Vec::new();
    text.try_reserve_exact(length).map_err(|_| no_memory(length))?;
    text.resize(length, 0);
    get(&mut text)?;
    let (header, end) = header::read(&text)?;
    drop(text);
    if total.is_some_and(|t| t.saturating_sub(8 + length as u64) != end) {
        bail!(Io, "not a valid safetensors file: {end} bytes of data were to be expected");
    }
    let entries = header.entries;
    let mut order: Vec<usize> = Vec::new();
    let mut found: Vec<Option<Tensor>> = Vec::new();
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    order.try_reserve_exact(entries.len()).map_err(|_| no_memory(entries.len() * 8))?;
    found.try_reserve_exact(entries.len()).map_err(|_| no_memory(entries.len() * 8))?;
    tensors.try_reserve_exact(entries.len()).map_err(|_| no_memory(entries.len() * 32))?;
    order.extend(0..entries.len());
    found.resize(entries.len(), None);
    order.sort_unstable_by_key(|&i| (entries[i].begin, entries[i].end));
    for i in order {
        let e = &entries[i];
        let t = Tensor::empty_of(&e.shape, e.dtype)?;
        let bytes = t.numel() * e.dtype.size();
        for at in (0..bytes).step_by(PIECE) {
            // Piece by piece: a stream that promises more than it holds takes no more memory than that.
            // SAFETY: the new tensor is row-major and has these bytes; they are set before anybody reads them.
            let piece = unsafe {
                let (p, n) = (t.data_ptr().add(at), PIECE.min(bytes - at));
                p.write_bytes(0, n);
                std::slice::from_raw_parts_mut(p, n)
            };
            go_on(false)?;
            get(piece)?;
            if e.dtype == DType::Bool && piece.iter().any(|&b| b > 1) {
                bail!(Io, "tensor {} has bytes other than 0 and 1 for bools", shown(&e.name));
            }
        }
        found[i] = Some(t);
    }
    tensors.extend(entries.into_iter().zip(found).filter_map(|(e, t)| Some((e.name, t?))));
    Ok(Archive { tensors, metadata: header.metadata })
}

#[cold]
fn ends() -> crate::error::Error {
    err!(Io, "not a valid safetensors file: it ends too early")
}

/// Reads the bytes of a file.
pub fn deserialize(bytes: &[u8]) -> Result<Archive> {
    let mut rest = bytes;
    let mut get = |to: &mut [u8]| {
        let (piece, others) = rest.split_at_checked(to.len()).ok_or_else(ends)?;
        to.copy_from_slice(piece);
        rest = others;
        Ok(())
    };
    read(&mut get, Some(bytes.len() as u64))
}

/// Loads a file.
pub fn load(path: &Path) -> Result<Archive> {
    let mut f = File::open(path).map_err(|e| file::failed(path, e))?;
    let m = f.metadata().map_err(|e| file::failed(path, e))?;
    let mut get = |mut to: &mut [u8]| {
        while !to.is_empty() {
            match f.read(to) {
                Ok(0) => return Err(ends()),
                Ok(n) => to = &mut to[n..],
                Err(e) if e.kind() == ErrorKind::Interrupted => go_on(true)?,
                Err(e) if e.kind() == ErrorKind::OutOfMemory => bail!(Memory, "{e}"),
                Err(e) => bail!(Io, "{e}"),
            }
        }
        Ok(())
    };
    read(&mut get, if m.is_file() { Some(m.len()) } else { None }).map_err(|e| file::at(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_back_what_was_written() {
        let a = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
        let b = Tensor::from_slice(&[true, false], &[2, 1]).unwrap();
        let c = Tensor::from_slice(&[1.5f64; 0], &[0, 4]).unwrap();
        let names = ["a", "\u{1}\"\\/ü𝄞\n", ""];
        let bytes = serialize(&[(names[0], &a), (names[1], &b), (names[2], &c)], &[("k", "v"), ("", "\t\"")]).unwrap();
        let back = deserialize(&bytes).unwrap();
        assert_eq!(back.tensors.iter().map(|t| t.0.as_str()).collect::<Vec<_>>(), names);
        assert_eq!(back.tensors[0].1.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(back.tensors[1].1.to_vec::<bool>().unwrap(), [true, false]);
        assert_eq!(back.tensors[2].1.shape(), [0, 4]);
        assert_eq!(back.metadata, [("k".to_string(), "v".to_string()), (String::new(), "\t\"".to_string())]);
        for n in 0..bytes.len() {
            assert!(deserialize(&bytes[..n]).is_err());
        }
    }

    #[test]
    fn large_tensors_go_out_in_pieces_and_in_order() {
        let n = PIECE / 4 * 5 / 2;
        let values: Vec<i32> = (0..n as i32).collect();
        let flat = Tensor::from_slice(&values, &[n]).unwrap();
        let turned = Tensor::from_slice(&values, &[2, n / 2]).unwrap();
        let turned = turned.with_layout(turned.layout().transpose(0, 1));
        let mut sizes = Vec::new();
        let mut bytes = Vec::new();
        write(&[("flat", &flat), ("turned", &turned)], &[], &mut |piece| {
            sizes.push(piece.len());
            bytes.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        assert!(sizes.len() > 6 && sizes[1..].iter().all(|&s| s <= PIECE), "{sizes:?}");
        let back = deserialize(&bytes).unwrap();
        assert_eq!(back.tensors[0].1.to_vec::<i32>().unwrap(), values);
        let expected: Vec<i32> = (0..n as i32 / 2).flat_map(|i| [i, i + n as i32 / 2]).collect();
        assert_eq!(back.tensors[1].1.to_vec::<i32>().unwrap(), expected);
        assert_eq!(serialize(&[("flat", &flat), ("turned", &turned)], &[]).unwrap(), bytes);
    }

    #[test]
    fn a_change_in_the_middle_is_noticed() {
        let t = Tensor::from_slice(&vec![0u8; 3 * PIECE], &[3 * PIECE]).unwrap();
        let mut n = 0;
        let e = write(&[("t", &t)], &[], &mut |_| {
            n += 1;
            if n == 3 {
                t.0.storage.bump();
            }
            Ok(())
        });
        assert_eq!(e.unwrap_err().kind(), crate::error::Kind::State);
    }
}
