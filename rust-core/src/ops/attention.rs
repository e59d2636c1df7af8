//! Attention (Vaswani et al. 2017).

use crate::{bail, err};
use crate::dtype::{DType, Scalar};
use crate::error::{Error, Result};
use crate::shape::{Dims, signed};
use crate::table::{Call, Outs, Refusal, one, Cast};
use crate::tensor::Tensor;
use smallvec::SmallVec;

fn hidden() -> Result<Tensor> {
    Tensor::number(Scalar::Float(f64::NEG_INFINITY))
}

/// Each head of keys or values for so many heads of queries in a row.
fn shared(t: &Tensor, heads: usize) -> Result<Tensor> {
    let own = t.shape()[t.ndim() - 3];
    if own == heads {
        return Ok(t.clone());
    }
    let mut sizes: SmallVec<[i64; 8]> = signed(t.shape());
    let at = sizes.len() - 3;
    sizes.insert(at + 1, (heads / own) as i64);
    let spread = t.unsqueeze(-3)?.expand(&sizes)?;
    sizes.remove(at + 1);
    sizes[at] = heads as i64;
    spread.reshape(&sizes)
}

fn eval_attention(c: &Call) -> Result<Outs> {
    let (q, k, value, mask) = (c.x(0), c.x(1), c.x(2), c.opt(3));
    let (p, causal, grouped) = (c.float(0), c.bool(1), c.bool(3));
    if q.ndim() < 2 || k.ndim() < 2 || value.ndim() < 2 {
        bail!(
            Shape,
            "query, key and value must have at least two dimensions, got shapes {:?}, {:?} and {:?}",
            q.shape(),
            k.shape(),
            value.shape()
        );
    }
    if causal && mask.is_some() {
        bail!(Value, "explicit attn_mask should not be set when is_causal=True");
    }
    let (mut k, mut value) = (k.clone(), value.clone());
    if grouped {
        let heads = |t: &Tensor| {
            let at = t.ndim().checked_sub(3).map(|d| t.shape()[d]);
            at.ok_or_else(|| err!(Shape, "heads that share keys need three dimensions, got shape {:?}", t.shape()))
        };
        let (all, of_k, of_v) = (heads(q)?, heads(&k)?, heads(&value)?);
        if [of_k, of_v].into_iter().any(|n| all.checked_rem(n) != Some(0)) {
            bail!(
                Shape,
                "the number of heads in key and value must divide that in query, got {of_k}, {of_v} and {all}"
            );
        }
        (k, value) = (shared(&k, all)?, shared(&value, all)?);
    }
    let e = q.shape()[q.ndim() - 1];
    let scale = c.opt_float(2).unwrap_or(1.0 / (e.max(1) as f64).sqrt());
    let mut scores = (&q.matmul(&k.transpose(-2, -1)?)? * scale)?;
    let (l, s) = (scores.shape()[scores.ndim() - 2], scores.shape()[scores.ndim() - 1]);
    if causal && scores.numel() > 0 && !c.meta {
        let later = Tensor::filled(&[l, s], Scalar::Bool(true), DType::Bool)?.triu(1)?;
        scores = scores.masked_fill(&later, &hidden()?)?;
    }
    if let Some(m) = mask {
        attention_mask_fits(m, q.dtype(), scores.shape())?;
        scores = if m.dtype() == DType::Bool {
            scores.masked_fill(&m.logical_not()?, &hidden()?)?
        } else {
            scores.add(&m.to_dtype(q.dtype())?, 1)?
        };
    }
    // A query that may look nowhere gets zeros.
    let mut weights = scores.safe_softmax(-1, None)?;
    if p != 0.0 {
        weights = weights.dropout(p, true)?;
    }
    one(weights.matmul(&value)?)
}

/// A mask of attention is bool or added, and has its own rows: one that is spread over them, or a number, is a mistake.
fn attention_mask_fits(mask: &Tensor, dtype: DType, scores: &[usize]) -> Result<()> {
    if ![DType::Bool, DType::F32, dtype].contains(&mask.dtype()) {
        bail!(DType, "attn_mask must be bool, float32 or of the query's dtype {dtype}, got {}", mask.dtype());
    }
    let m = mask.shape();
    let fits = m.iter().rev().zip(scores.iter().rev()).all(|(&have, &want)| have == want || have == 1);
    if m.len() < 2 || m.len() > scores.len() || !fits {
        return Err(Error::shapes("", format!("attn_mask of shape {m:?} does not fit scores of shape {scores:?}"), m, scores));
    }
    Ok(())
}

// ---- several heads ----

/// A mask of bools, true where attention may not go, as numbers to add.
fn additive(mask: Option<&Tensor>, name: &str, dtype: DType) -> Result<Option<Tensor>> {
    match mask {
        Some(m) if m.dtype() == DType::Bool => {
            Tensor::filled(m.shape(), Scalar::Int(0), dtype)?.masked_fill(m, &hidden()?).map(Some)
        }
        Some(m) if !m.dtype().is_float() => {
            bail!(Value, "only bool and floating types of {name} are supported, got {}", m.dtype())
        }
        Some(m) if m.dtype() != dtype => {
            bail!(DType, "{name} must be bool or have the query's dtype {dtype}, got {}", m.dtype())
        }
        m => Ok(m.cloned()),
    }
}

/// One more column, or row, of zeros at the end.
fn one_more(t: Tensor, of_rows: bool) -> Result<Tensor> {
    t.pad(if of_rows { &[0, 0, 0, 1] } else { &[0, 1] }, "constant", None)
}

fn check_dims(q: &Tensor, k: &Tensor, v: &Tensor, padding: Option<&Tensor>, mask: Option<&Tensor>) -> Result<()> {
    let n = q.ndim();
    if !(2..=3).contains(&n) {
        bail!(Shape, "query should be unbatched 2D or batched 3D tensor but received {n}-D query tensor");
    }
    if k.ndim() != n || v.ndim() != n {
        let (k, v) = (k.ndim(), v.ndim());
        bail!(Shape, "for a {n}-D `query`, expected `key` and `value` to be {n}-D, got {k}-D and {v}-D");
    }
    if let Some(p) = padding.filter(|p| p.ndim() != n - 1) {
        let (want, got) = (n - 1, p.ndim());
        bail!(Shape, "for a {n}-D `query`, expected `key_padding_mask` to be None or {want}-D, got {got}-D");
    }
    if let Some(m) = mask.filter(|m| !(2..=3).contains(&m.ndim())) {
        bail!(Shape, "expected `attn_mask` to be None, 2-D or 3-D, got {}-D", m.ndim());
    }
    Ok(())
}

fn want(t: Option<&Tensor>, name: &str, shape: &[usize]) -> Result<()> {
    match t {
        Some(t) if t.shape() != shape => {
            let message = format!("expected {name} of shape {shape:?}, got {:?}", t.shape());
            Err(Error::shapes("", message, t.shape(), shape))
        }
        _ => Ok(()),
    }
}

fn eval_heads(c: &Call) -> Result<Outs> {
    let (embed, count) = (c.int(0), c.int(1));
    let (add_zero, p, need_weights, separate) = (c.bool(2), if c.bool(4) { c.float(3) } else { 0.0 }, c.bool(5), c.bool(6));
    let ([q, k, v], [in_weight, in_bias, bias_k, bias_v]) = ([c.x(0), c.x(1), c.x(2)], [c.opt(3), c.opt(4), c.opt(5), c.opt(6)]);
    let (padding, mask, given) = (c.opt(9), c.opt(10), [c.opt(14), c.opt(15)]);
    check_dims(q, k, v, padding, mask)?;
    let alone = q.ndim() == 2;
    // The three projections of self-attention are one op.
    let of_itself = q.is_same(k) && k.is_same(v);
    let batched = |t: &Tensor| if alone { t.unsqueeze(1) } else { Ok(t.clone()) };
    let (q, k, v) = (batched(q)?, batched(k)?, batched(v)?);
    let padding = padding.map(|t| if alone { t.unsqueeze(0) } else { Ok(t.clone()) }).transpose()?;
    let (length, batch, size) = (q.shape()[0], q.shape()[1], q.shape()[2]);
    if size as i64 != embed {
        bail!(Shape, "was expecting embedding dimension of {embed}, but got {size}");
    }
    let Some(heads) = usize::try_from(count).ok().filter(|&n| n > 0 && size % n == 0) else {
        bail!(Shape, "embed_dim {embed} not divisible by num_heads {count}");
    };
    let head = size / heads;
    let too_large = || err!(Memory, "{batch} sequences of {heads} heads are too many");
    let all_heads = batch.checked_mul(heads).ok_or_else(too_large)?;
    let threefold = size.checked_mul(3).ok_or_else(too_large)?;
    if c.bool(8) && mask.is_none() {
        bail!(Value, "Need attn_mask if specifying the is_causal hint.");
    }
    if bias_k.is_some() != bias_v.is_some() {
        bail!(Value, "bias_k and bias_v must both be None or both be given");
    }
    want(in_bias, "in_proj_bias", &[threefold])?;
    for (bias, name) in [(bias_k, "bias_k"), (bias_v, "bias_v")] {
        want(bias, name, &[1, 1, size])?;
    }
    let compared = if separate { 2 } else { 3 };
    if k.shape()[..compared] != v.shape()[..compared] {
        let message = format!("key shape {:?} does not match value shape {:?}", k.shape(), v.shape());
        return Err(Error::shapes("", message, k.shape(), v.shape()));
    }
    if k.shape()[1] != batch {
        bail!(Shape, "query has a batch of {batch}, key and value have one of {}", k.shape()[1]);
    }
    for (t, name) in given.into_iter().zip(["static_k", "static_v"]) {
        if let Some(t) = t.filter(|t| t.ndim() != 3 || (t.shape()[0], t.shape()[2]) != (all_heads, head)) {
            bail!(Shape, "expecting {name} of shape [{all_heads}, S, {head}], got {:?}", t.shape());
        }
    }
    let source = given[0].map_or(k.shape()[0], |t| t.shape()[1]);
    want(padding.as_ref(), "key_padding_mask", &[batch, source])?;

    let [q, mut k, mut v] = if separate {
        let biases = in_bias.map(|b| b.split_with_sizes(&[size as i64; 3], 0)).transpose()?;
        let project = |i: usize, t: &Tensor, name: &str| {
            let w = c.opt(11 + i).ok_or_else(|| err!(Value, "use_separate_proj_weight is True but {name} is None"))?;
            t.linear(w, biases.as_ref().map(|b| &b[i]))
        };
        [project(0, &q, "q_proj_weight")?, project(1, &k, "k_proj_weight")?, project(2, &v, "v_proj_weight")?]
    } else {
        let Some(w) = in_weight else {
            bail!(Value, "use_separate_proj_weight is False but in_proj_weight is None");
        };
        want(Some(w), "in_proj_weight", &[threefold, w.shape().get(1).copied().unwrap_or(0)])?;
        if of_itself {
            let all = q.linear(w, in_bias)?;
            let mut parts = all.split_with_sizes(&[size as i64; 3], -1)?.into_iter();
            let mut part = || parts.next().ok_or_else(|| err!(Panic, "three parts have fewer"));
            [part()?, part()?, part()?]
        } else {
            let parts = |t: &Tensor| t.split_with_sizes(&[size as i64; 3], 0);
            let (w, b) = (parts(w)?, in_bias.map(parts).transpose()?);
            let project = |i: usize, t: &Tensor| t.linear(&w[i], b.as_ref().map(|b| &b[i]));
            [project(0, &q)?, project(1, &k)?, project(2, &v)?]
        }
    };
    for (t, name) in [(&q, "query"), (&k, "key"), (&v, "value")] {
        if t.shape().get(2) != Some(&size) {
            bail!(Shape, "the projection of {name} must give {size} features, got shape {:?}", t.shape());
        }
    }

    let mut mask_shape: Dims = SmallVec::from_slice(&[length, source]);
    if mask.is_some_and(|m| m.ndim() == 3) {
        mask_shape.insert(0, all_heads);
    }
    if let Some(m) = mask.filter(|m| m.shape() != mask_shape.as_slice()) {
        let (got, wanted) = (m.shape(), mask_shape.as_slice());
        return Err(Error::shapes("", format!("The shape of the attn_mask is {got:?}, but should be {wanted:?}."), got, wanted));
    }
    let mut mask = additive(mask, "attn_mask", q.dtype())?;
    let mut padding = additive(padding.as_ref(), "key_padding_mask", q.dtype())?;
    let wider = |t: Option<Tensor>| t.map(|t| one_more(t, false)).transpose();
    if let (Some(bias_k), Some(bias_v)) = (bias_k, bias_v) {
        let row = |t: &Tensor, b: &Tensor| Tensor::cat(&[t.clone(), b.expand(&[1, batch as i64, size as i64])?], 0);
        (k, v) = (row(&k, bias_k)?, row(&v, bias_v)?);
        (mask, padding) = (wider(mask)?, wider(padding)?);
    }
    let sizes = [batch as i64, heads as i64, head as i64];
    // [S, N, E] to [N, heads, S, head]
    let by_head = |t: &Tensor| t.reshape(&[t.shape()[0] as i64, sizes[0], sizes[1], sizes[2]])?.permute(&[1, 2, 0, 3]);
    let of_given = |t: &Tensor| t.reshape(&[sizes[0], sizes[1], t.shape()[1] as i64, sizes[2]]);
    let q = by_head(&q)?;
    let mut k = given[0].map_or_else(|| by_head(&k), of_given)?;
    let mut v = given[1].map_or_else(|| by_head(&v), of_given)?;
    if add_zero {
        (k, v) = (one_more(k, true)?, one_more(v, true)?);
        (mask, padding) = (wider(mask)?, wider(padding)?);
    }
    if k.shape()[2] != v.shape()[2] {
        bail!(Shape, "there are {} keys and {} values", k.shape()[2], v.shape()[2]);
    }
    let mut mask = match mask {
        Some(m) if m.ndim() == 3 => {
            Some(m.reshape(&[sizes[0], sizes[1], m.shape()[1] as i64, m.shape()[2] as i64])?)
        }
        m => m,
    };
    if let Some(p) = padding {
        let p = p.unsqueeze(1)?.unsqueeze(1)?;
        mask = Some(match mask {
            Some(m) => m.add(&p, 1)?,
            None => p,
        });
    }
    if let Some(m) = mask.as_ref().filter(|m| m.shape().last() != Some(&k.shape()[2])) {
        bail!(Shape, "masks for {} keys do not fit {} keys", m.shape()[m.ndim() - 1], k.shape()[2]);
    }

    let mut weights = None;
    let out = if need_weights {
        let scores = (&q * (1.0 / head.max(1) as f64).sqrt())?.matmul(&k.transpose(-2, -1)?)?;
        let scores = mask.map_or(Ok(scores.clone()), |m| scores.add(&m, 1))?;
        let mut shares = scores.softmax(-1, None)?;
        if p != 0.0 {
            shares = shares.dropout(p, true)?;
        }
        let out = shares.matmul(&v)?;
        weights = Some(shares);
        out
    } else {
        Tensor::scaled_dot_product_attention(&q, &k, &v, mask.as_ref(), p, false, None, false)?
    };
    let out = out.permute(&[2, 0, 1, 3])?.reshape(&[length as i64, batch as i64, size as i64])?.linear(c.x(7), c.opt(8))?;
    let mut outs = one(if alone { out.squeeze(Some(&[1]))? } else { out })?;
    if let Some(w) = weights {
        let w = if c.bool(7) { w.mean(Some(&[1]), false, None)? } else { w };
        outs.push(if alone { w.squeeze(Some(&[0]))? } else { w });
    }
    Ok(outs)
}

ops! {
    /// `softmax(query @ key^T * scale + mask) @ value` over the last two dimensions (Vaswani et al. 2017). `attn_mask` is
    /// added, or, if it is bool, says where to look; `is_causal` looks only at keys up to the query's own place; `scale` is
    /// `1 / sqrt(size of the last dimension)` by default. With `enable_gqa`, heads (the dimension before) of query in a row
    /// share one of key and value (Ainslie et al. 2023).
    scaled_dot_product_attention(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: OptTensor = None, dropout_p: Float = 0.0,
        is_causal: Bool = false, scale: OptFloat = None, enable_gqa: Bool = false
    ) -> Tensor, Special {
        cast: Cast::Lower,
        body: Composite(eval_attention),
        method: false, function: false,
        refuses: &[Refusal {
            call: "*[rt.ones(1, n, 2, 2) for n in (3, 2, 3)], enable_gqa=True", message: "heads in key and value must divide",
        }],
        samples: &[
            "r(1, 2, 3, 2), r(1, 2, 4, 2), r(1, 2, 4, 3)", "r(2, 3, 2), r(2, 3, 2), r(2, 3, 2), is_causal=True",
            "r(2, 2), r(3, 2), r(3, 2), b([[True, False, True], [True, True, True]]), scale=0.7",
            "r(2, 2), r(3, 2), r(3, 2), r(2, 3)", "r(4, 2, 2), r(2, 3, 2), r(1, 3, 2), enable_gqa=True",
        ],
    }

    /// Attention of several heads (Vaswani et al. 2017): `query` [L, N, E], `key` and `value` [S, N, *] (or all without N) are
    /// projected, by `in_proj_weight` [3 E, E] or by three weights if `use_separate_proj_weight`, split into heads, attended
    /// to and projected back: [L, N, E] and, with `need_weights`, the weights [N, L, S], one per head unless
    /// `average_attn_weights`. `key_padding_mask` [N, S] and `attn_mask` [L, S] or [N heads, L, S] are added, or, if bool, are
    /// true where attention may not go. `bias_k` and `bias_v` [1, 1, E] are one more key and value, `add_zero_attn` one of
    /// zeros; `static_k` and `static_v` [N heads, S, E / heads] stand for what the projections would give. In training,
    /// `dropout_p` zeroes weights. `is_causal` is a hint that `attn_mask` is causal.
    multi_head_attention_forward(
        query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: Int, num_heads: Int, in_proj_weight: OptTensor,
        in_proj_bias: OptTensor, bias_k: OptTensor, bias_v: OptTensor, add_zero_attn: Bool, dropout_p: Float,
        out_proj_weight: Tensor, out_proj_bias: OptTensor, training: Bool = true, key_padding_mask: OptTensor = None,
        need_weights: Bool = true, attn_mask: OptTensor = None, use_separate_proj_weight: Bool = false,
        q_proj_weight: OptTensor = None, k_proj_weight: OptTensor = None, v_proj_weight: OptTensor = None,
        static_k: OptTensor = None, static_v: OptTensor = None, average_attn_weights: Bool = true, is_causal: Bool = false
    ) -> List, Special {
        body: Composite(eval_heads),
        method: false, function: false,
        refuses: &[
            Refusal { call: "*[rt.ones(3, 2, 4)] * 3, 4, 3, None, None, None, None, False, 0.0, rt.ones(4, 4), None",
                message: "not divisible by num_heads 3" },
            Refusal { call: "*[rt.ones(3, 2, 4)] * 3, 4, 2, None, None, None, None, False, 0.0, rt.ones(4, 4), None",
                message: "in_proj_weight is None" },
        ],
        samples: &[
            "*[r(2, 1, 2)] * 3, 2, 1, r(6, 2), r(6), None, None, False, 0.0, r(2, 2), r(2)",
            "r(2, 2, 2), r(3, 2, 2), r(3, 2, 2), 2, 2, r(6, 2), None, r(1, 1, 2), r(1, 1, 2), True, 0.0, r(2, 2), None, \
             need_weights=False, attn_mask=r(2, 3)",
            "r(2, 2), r(3, 1), r(3, 3), 2, 1, None, r(6), None, None, False, 0.0, r(2, 2), r(2), True, \
             b([False, True, False]), use_separate_proj_weight=True, q_proj_weight=r(2, 2), k_proj_weight=r(2, 1), \
             v_proj_weight=r(2, 3)",
        ],
    }
}
