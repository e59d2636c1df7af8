//! The JSON header of a safetensors file: names, dtypes, shapes and places. What it may hold is limited, so that reading one
//! takes little time and memory whatever it says.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::shape::{checked_numel, Dims};
use crate::{bail, err};
use std::collections::HashSet;

/// The longest header that is written or read, in bytes.
pub const MAX_HEADER: usize = 16 << 20;
/// The most tensors that a file can hold.
pub const MAX_TENSORS: usize = 1 << 16;
const MAX_DIMS: usize = 64;
const MAX_DEPTH: usize = 64;
const METADATA: &str = "__metadata__";

/// One tensor of a header. Its data lie at `begin..end`, counted from the end of the header.
pub struct Entry {
    /// Name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Dims,
    /// First byte.
    pub begin: u64,
    /// One past the last byte.
    pub end: u64,
}

/// A header that was read.
pub struct Header {
    /// Tensors in the header's order.
    pub entries: Vec<Entry>,
    /// Text metadata in the header's order.
    pub metadata: Vec<(String, String)>,
}

/// The error for what does not fit the memory that is left.
#[cold]
pub fn no_memory(bytes: usize) -> Error {
    err!(Memory, "could not allocate {bytes} bytes")
}

/// A name for a message: not more of it than people read.
pub fn shown(name: &str) -> String {
    let mut short: String = name.chars().take(80).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    format!("{short:?}")
}

fn push<T>(list: &mut Vec<T>, v: T) -> Result<()> {
    list.try_reserve(1).map_err(|_| no_memory(list.len() * size_of::<T>() * 2))?;
    list.push(v);
    Ok(())
}

// ---- writing ----

/// Text that is put together piece by piece.
struct Text(Vec<u8>);

impl Text {
    fn put(&mut self, s: &str) -> Result<()> {
        if self.0.len() + s.len() > MAX_HEADER {
            bail!(
                Value,
                "save: names, shapes and metadata are more than {MAX_HEADER} bytes, which is what a file can hold"
            );
        }
        self.0.try_reserve(s.len()).map_err(|_| no_memory(self.0.len() + s.len()))?;
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }

    fn quoted(&mut self, s: &str) -> Result<()> {
        self.put("\"")?;
        let mut rest = s;
        while let Some(i) = rest.bytes().position(|b| b < 0x20 || b == b'"' || b == b'\\') {
            self.put(&rest[..i])?;
            match rest.as_bytes()[i] {
                b if b < 0x20 => self.put(&format!("\\u{b:04x}"))?,
                b'"' => self.put("\\\"")?,
                _ => self.put("\\\\")?,
            }
            rest = &rest[i + 1..];
        }
        self.put(rest)?;
        self.put("\"")
    }
}

/// The first bytes of a file: the header's length and the header. Entries must come with different names.
pub fn write<'a>(
    entries: impl Iterator<Item = (&'a str, DType, &'a [usize], u64, u64)>,
    metadata: &[(&str, &str)],
) -> Result<Vec<u8>> {
    let mut out = Text(Vec::new());
    out.put("        {")?;
    let mut first = true;
    let mut separate = |out: &mut Text| if std::mem::take(&mut first) { Ok(()) } else { out.put(",") };
    if !metadata.is_empty() {
        separate(&mut out)?;
        out.quoted(METADATA)?;
        out.put(":{")?;
        if metadata.len() > MAX_TENSORS {
            bail!(Value, "save: more than {MAX_TENSORS} entries of metadata, which is what a file can hold");
        }
        let mut seen = HashSet::new();
        seen.try_reserve(metadata.len()).map_err(|_| no_memory(metadata.len() * 32))?;
        for (i, (key, value)) in metadata.iter().enumerate() {
            if !seen.insert(*key) {
                bail!(Value, "save: the metadata key {} occurs twice", shown(key));
            }
            out.put(if i == 0 { "" } else { "," })?;
            out.quoted(key)?;
            out.put(":")?;
            out.quoted(value)?;
        }
        out.put("}")?;
    }
    let mut seen = HashSet::new();
    for (name, dtype, shape, begin, end) in entries {
        if name == METADATA {
            bail!(Value, "save: a tensor cannot be called {METADATA:?}, which is where files keep their metadata");
        }
        seen.try_reserve(1).map_err(|_| no_memory(seen.len() * 32))?;
        if !seen.insert(name) {
            bail!(Value, "save: the name {} occurs twice", shown(name));
        }
        if seen.len() > MAX_TENSORS {
            bail!(Value, "save: more than {MAX_TENSORS} tensors, which is what a file can hold");
        }
        if shape.len() > MAX_DIMS {
            bail!(Value, "save: tensor {} has {} dimensions, a file has room for {MAX_DIMS}", shown(name), shape.len());
        }
        separate(&mut out)?;
        out.quoted(name)?;
        out.put(&format!(":{{\"dtype\":\"{}\",\"shape\":[", dtype.file_name()))?;
        for (i, d) in shape.iter().enumerate() {
            out.put(&format!("{}{d}", if i == 0 { "" } else { "," }))?;
        }
        out.put(&format!("],\"data_offsets\":[{begin},{end}]}}"))?;
    }
    out.put("}")?;
    while !out.0.len().is_multiple_of(8) {
        out.put(" ")?;
    }
    let mut out = out.0;
    let length = (out.len() - 8) as u64;
    out[..8].copy_from_slice(&length.to_le_bytes());
    Ok(out)
}

// ---- reading ----

struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    #[cold]
    fn wrong(&self, what: &str) -> Error {
        err!(Io, "not a valid safetensors file: {what} at byte {} of the header", self.at)
    }

    /// The next byte that is no space; 0 at the end.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    fn take(&mut self, b: u8) -> bool {
        let there = self.peek() == b;
        self.at += usize::from(there);
        there
    }

    fn want(&mut self, b: u8) -> Result<()> {
        if self.take(b) {
            return Ok(());
        }
        Err(self.wrong(&format!("no '{}'", b as char)))
    }

    /// Past `open`, calls `member` for each member of a list or an object until `close`.
    fn members(&mut self, close: u8, mut member: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        if self.take(close) {
            return Ok(());
        }
        loop {
            member(self)?;
            if self.take(close) {
                return Ok(());
            }
            self.want(b',')?;
        }
    }

    /// A string, and whether it was written without escapes.
    fn string(&mut self) -> Result<String> {
        self.want(b'"')?;
        let bytes = self.text.as_bytes();
        let mut out = String::new();
        loop {
            let begin = self.at;
            while bytes.get(self.at).is_some_and(|&b| b >= 0x20 && b != b'"' && b != b'\\') {
                self.at += 1;
            }
            // Room for one byte more: for the NUL that C puts behind it.
            out.try_reserve_exact(self.at - begin + 1).map_err(|_| no_memory(out.len() + self.at - begin))?;
            out.push_str(&self.text[begin..self.at]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    out.try_reserve(c.len_utf8() + 1).map_err(|_| no_memory(out.len() * 2))?;
                    out.push(c);
                }
                _ => return Err(self.wrong("a string without an end")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let b = self.text.as_bytes().get(self.at).copied().unwrap_or(0);
        self.at += 1;
        Ok(match b {
            b'"' | b'\\' | b'/' => b as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xd800..0xdc00).contains(&code) && self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(self.wrong("half of a character"));
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(code).ok_or_else(|| self.wrong("half of a character"))?
            }
            _ => return Err(self.wrong("an unknown escape")),
        })
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.ok_or_else(|| self.wrong("an unknown escape"))?;
        self.at += 4;
        Ok(digits.iter().fold(0, |n, &d| n * 16 + (d as char).to_digit(16).unwrap_or(0)))
    }

    fn whole(&mut self) -> Result<usize> {
        self.peek();
        let bytes = self.text.as_bytes();
        let begin = self.at;
        let mut n = Some(0usize);
        while let Some(d) = bytes.get(self.at).filter(|b| b.is_ascii_digit()) {
            n = n.and_then(|n| n.checked_mul(10)?.checked_add(usize::from(d - b'0')));
            self.at += 1;
        }
        let digits = &bytes[begin..self.at];
        let ends = !matches!(bytes.get(self.at), Some(b'.' | b'e' | b'E'));
        match n {
            Some(n) if ends && !digits.is_empty() && (digits.len() == 1 || digits[0] != b'0') => Ok(n),
            _ => {
                self.at = begin;
                Err(self.wrong("no whole number"))
            }
        }
    }

    fn word(&mut self, word: &str) -> bool {
        self.peek();
        let there = self.text[self.at..].starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    /// Passes over a value that means nothing to us.
    fn skip(&mut self, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("too deep a nesting"));
        }
        match self.peek() {
            b'"' => self.string().map(drop),
            b'[' => {
                self.at += 1;
                self.members(b']', |j| j.skip(depth + 1))
            }
            b'{' => {
                self.at += 1;
                self.members(b'}', |j| {
                    j.string()?;
                    j.want(b':')?;
                    j.skip(depth + 1)
                })
            }
            b'-' | b'0'..=b'9' => {
                let bytes = self.text.as_bytes();
                let begin = self.at;
                while bytes.get(self.at).is_some_and(|b| b.is_ascii_digit() || b"+-.eE".contains(b)) {
                    self.at += 1;
                }
                // Rust reads every number of JSON, and little more.
                match self.text[begin..self.at].parse::<f64>() {
                    Ok(v) if v.is_finite() => Ok(()),
                    _ => Err(self.wrong("no number")),
                }
            }
            _ if self.word("true") || self.word("false") || self.word("null") => Ok(()),
            _ => Err(self.wrong("no value")),
        }
    }

    fn entry(&mut self, name: String) -> Result<Entry> {
        let (mut dtype, mut shape, mut place) = (None, None, None);
        self.want(b'{')?;
        self.members(b'}', |j| {
            let field = j.string()?;
            j.want(b':')?;
            let again = match field.as_str() {
                "dtype" => {
                    let word = j.string()?;
                    let d = DType::from_file_name(&word).ok_or_else(|| {
                        err!(Io, "tensor {} has dtype {}, which is not supported", shown(&name), shown(&word))
                    })?;
                    dtype.replace(d).is_some()
                }
                "shape" => {
                    let mut sizes = Dims::new();
                    j.want(b'[')?;
                    j.members(b']', |j| {
                        if sizes.len() == MAX_DIMS {
                            return Err(j.wrong("too many dimensions"));
                        }
                        sizes.push(j.whole()?);
                        Ok(())
                    })?;
                    shape.replace(sizes).is_some()
                }
                "data_offsets" => {
                    j.want(b'[')?;
                    let begin = j.whole()? as u64;
                    j.want(b',')?;
                    let end = j.whole()? as u64;
                    j.want(b']')?;
                    place.replace((begin, end)).is_some()
                }
                _ => {
                    j.skip(0)?;
                    false
                }
            };
            if again {
                return Err(j.wrong(&format!("a second {field:?}")));
            }
            Ok(())
        })?;
        let (Some(dtype), Some(shape), Some((begin, end))) = (dtype, shape, place) else {
            return Err(self.wrong("a tensor without dtype, shape or data_offsets"));
        };
        let n = checked_numel(&shape).map_err(|_| self.wrong("a tensor with too many elements"))?;
        let wanted = n.checked_mul(dtype.size()).ok_or_else(|| self.wrong("a tensor with too many elements"))?;
        match end.checked_sub(begin) {
            Some(n) if n == wanted as u64 => Ok(Entry { name, dtype, shape, begin, end }),
            _ => Err(err!(
                Io,
                "not a valid safetensors file: tensor {} lies at {begin} to {end}, its shape wants {wanted} bytes",
                shown(&name)
            )),
        }
    }
}

/// Reads a header, without its length. The data must fill the places from 0 on without gaps or overlaps; the second result
/// is where they end.
pub fn read(header: &[u8]) -> Result<(Header, u64)> {
    let text =
        std::str::from_utf8(header).map_err(|_| err!(Io, "not a valid safetensors file: the header is not UTF-8"))?;
    let mut json = Json { text, at: 0 };
    if !text.starts_with('{') {
        return Err(json.wrong("no '{'"));
    }
    json.at = 1;
    let mut out = Header { entries: Vec::new(), metadata: Vec::new() };
    let mut described = false;
    json.members(b'}', |j| {
        let name = j.string()?;
        j.want(b':')?;
        if name == METADATA {
            if std::mem::replace(&mut described, true) {
                return Err(j.wrong("metadata a second time"));
            }
            if j.word("null") {
                return Ok(());
            }
            j.want(b'{')?;
            return j.members(b'}', |j| {
                if out.metadata.len() == MAX_TENSORS {
                    return Err(j.wrong("too much metadata"));
                }
                let key = j.string()?;
                j.want(b':')?;
                let value = j.string()?;
                push(&mut out.metadata, (key, value))
            });
        }
        if out.entries.len() == MAX_TENSORS {
            return Err(j.wrong(&format!("more than {MAX_TENSORS} tensors")));
        }
        if name.contains('\0') {
            return Err(j.wrong("a name with a NUL"));
        }
        let entry = j.entry(name)?;
        push(&mut out.entries, entry)
    })?;
    if json.peek() != 0 || json.at < text.len() {
        return Err(json.wrong("something behind the last '}'"));
    }
    distinct(out.entries.iter().map(|e| e.name.as_str()))?;
    distinct(out.metadata.iter().map(|m| m.0.as_str()))?;
    let mut places: Vec<(u64, u64)> = Vec::new();
    for e in &out.entries {
        push(&mut places, (e.begin, e.end))?;
    }
    places.sort_unstable();
    let mut at = 0;
    for (begin, end) in places {
        if begin != at {
            bail!(Io, "not a valid safetensors file: data lie at {begin}, where {at} was to be expected");
        }
        at = end;
    }
    Ok((out, at))
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        seen.try_reserve(1).map_err(|_| no_memory(seen.len() * 32))?;
        if !seen.insert(name) {
            bail!(Io, "not a valid safetensors file: the name {} occurs twice", shown(name));
        }
    }
    Ok(())
}
