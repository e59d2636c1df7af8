//! Sizes of windows that move over the last dimensions.

use crate::bail;
use crate::error::Result;

/// An argument that is one number for all `n` dimensions, or one for each, in three dimensions.
pub(crate) fn per_dim<const N: usize>(
    values: &[i64],
    n: usize,
    fill: usize,
    least: i64,
    name: &str,
) -> Result<[usize; N]> {
    if values.len() != 1 && values.len() != n {
        bail!(Value, "{name} must be one number or {n}, got {values:?}");
    }
    if let Some(v) = values.iter().find(|&&v| v < least) {
        bail!(Value, "{name} must be at least {least}, got {v}");
    }
    if let Some(v) = values.iter().find(|&&v| v > i32::MAX as i64) {
        bail!(Value, "{name} is too large: {v}");
    }
    let mut out = [fill; N];
    for d in 0..n {
        out[N - n + d] = values[if values.len() == 1 { 0 } else { d }] as usize;
    }
    Ok(out)
}

/// The last `n` sizes as three.
pub(crate) fn three(shape: &[usize], n: usize) -> [usize; 3] {
    let mut out = [1; 3];
    out[3 - n..].copy_from_slice(&shape[shape.len() - n..]);
    out
}

/// Batch and channels; depth, height, width: the last `n` dimensions are pooled.
pub(crate) fn planes(shape: &[usize], n: usize) -> Result<(usize, [usize; 3])> {
    if shape.len() != n + 1 && shape.len() != n + 2 {
        bail!(Shape, "expected {}D or {}D input, but got input of size {shape:?}", n + 1, n + 2);
    }
    let (lead, size) = shape.split_at(shape.len() - n);
    if size.contains(&0) {
        bail!(Shape, "expected input with non-zero size in the dimensions that are pooled, but got {shape:?}");
    }
    Ok((lead.iter().product(), three(shape, n)))
}
