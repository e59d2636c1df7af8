//! Recurrent layers: whole networks, single steps, one layer in one direction, and packed sequences.

use crate::{bail, err};
use crate::autograd::{Exs, through, wanted};
use crate::dtype::{DType, Scalar};
use crate::engine::copy::{ptr, contiguous_unlocked, copy_into, fill_new};
use crate::engine::dtypes::{float, only_floats};
use crate::error::{Error, Result};
use crate::kernels::copy;
use crate::kernels::rnn::{Backward, Forward, Layer, Mode, Steps, backward, forward};
use crate::memory::List;
use crate::shape::{Dims, signed};
use crate::table::{Call, Grads, Outs, Refusal, Saves, Spec, Specs, Vjp, one};
use crate::table::lang::Ex;
use crate::tensor::Tensor;
use crate::tensor::modes::grad_enabled;
use smallvec::{SmallVec, smallvec};

fn mode(word: &str) -> Result<Mode> {
    Ok(match word {
        "rnn_tanh" => Mode::Tanh,
        "rnn_relu" => Mode::Relu,
        "lstm" => Mode::Lstm,
        "gru" => Mode::Gru,
        _ => bail!(Value, "mode must be rnn_tanh, rnn_relu, lstm or gru, got {word:?}"),
    })
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Tanh => "rnn_tanh",
        Mode::Relu => "rnn_relu",
        Mode::Lstm => "lstm",
        Mode::Gru => "gru",
    }
}

// ---- one layer in one direction ----

/// Refuses an argument that has not the shape that the others ask for.
fn want(t: Option<&Tensor>, name: &str, shape: &[usize]) -> Result<()> {
    match t {
        Some(t) if t.shape() == shape => Ok(()),
        Some(t) => {
            let message = format!("expected {name} of shape {shape:?}, got {:?}", t.shape());
            Err(Error::shapes("", message, t.shape(), shape))
        }
        None => bail!(Null, "{name} is missing"),
    }
}

fn refuse(t: Option<&Tensor>, name: &str) -> Result<()> {
    match t {
        Some(_) => bail!(Value, "{name} belongs to an LSTM"),
        None => Ok(()),
    }
}

fn matrix(t: &Tensor, name: &str) -> Result<[usize; 2]> {
    match *t.shape() {
        [a, b] => Ok([a, b]),
        ref s => bail!(Shape, "expected {name} with two dimensions, got shape {s:?}"),
    }
}

/// The layer that weights, projection and batch sizes make, for a state of `batch` rows and `rows` rows in all.
fn layer<'a>(
    mode: &str,
    reverse: bool,
    w_hh: &Tensor,
    w_hr: Option<&Tensor>,
    batch_sizes: Option<&Tensor>,
    [batch, rows]: [usize; 2],
) -> Result<Layer<'a>> {
    let mode = self::mode(mode)?;
    let [gates, out] = matrix(w_hh, "w_hh")?;
    if gates % mode.gates() != 0 {
        bail!(Shape, "expected {} numbers of gates in w_hh, got shape {:?}", mode.gates(), w_hh.shape());
    }
    let hidden = gates / mode.gates();
    if mode == Mode::Lstm {
        match w_hr {
            Some(_) => want(w_hr, "w_hr", &[out, hidden])?,
            None => want(Some(w_hh), "w_hh", &[gates, hidden])?,
        }
    } else {
        refuse(w_hr, "w_hr")?;
        want(Some(w_hh), "w_hh", &[gates, hidden])?;
    }
    match batch_sizes {
        Some(s) if s.dtype() != DType::I64 || s.ndim() != 1 => {
            bail!(DType, "expected batch_sizes to be 1-d and int64, got {} and shape {:?}", s.dtype(), s.shape())
        }
        Some(_) => {}
        None if rows.checked_rem(batch).unwrap_or(rows) != 0 => {
            bail!(Shape, "{rows} rows are no whole number of steps of {batch} rows")
        }
        None => {}
    }
    // Without elements there are no steps, however many there were.
    let rows = if batch_sizes.is_none() && hidden == 0 && out == 0 { 0 } else { rows };
    Ok(Layer { mode, reverse, steps: Steps { sizes: None, batch, rows }, hidden, out })
}

/// The batch sizes of a sequence, which must fit its rows and those of the state.
fn sizes_of(batch_sizes: Option<&Tensor>, [batch, rows]: [usize; 2]) -> Result<Option<List<i64>>> {
    let Some(t) = batch_sizes else { return Ok(None) };
    let sizes = t.to_vec_unlocked::<i64>()?;
    let mut before = batch as i64;
    let mut sum = 0i64;
    for &n in sizes.iter() {
        if n <= 0 || n > before {
            bail!(Value, "batch_sizes must be positive and never grow, got {n} after {before}");
        }
        (before, sum) = (n, sum.saturating_add(n));
    }
    if sum != rows as i64 || sizes.first().is_some_and(|&n| n != batch as i64) {
        bail!(Value, "batch_sizes with the sum {sum} do not fit {rows} rows, and a state of {batch} rows");
    }
    Ok(Some(sizes))
}

fn infer_layer(c: &Call) -> Result<Specs> {
    let (x, h, cells, w_hh, b_hh, w_hr) = (c.x(0), c.x(1), c.opt(2), c.x(3), c.opt(4), c.opt(5));
    let ([rows, gates], [batch, _]) = (matrix(x, "input")?, matrix(h, "h_0")?);
    let l = layer(c.str(0), c.bool(1), w_hh, w_hr, c.opt(6), [batch, rows])?;
    want(Some(h), "h_0", &[batch, l.out])?;
    want(Some(w_hh), "w_hh", &[gates, l.out])?;
    if l.mode == Mode::Lstm {
        want(cells, "c_0", &[batch, l.hidden])?;
    } else {
        refuse(cells, "c_0")?;
    }
    if b_hh.is_some() {
        want(b_hh, "b_hh", &[gates])?;
    }
    only_floats(x.dtype())?;
    for t in [Some(h), cells, Some(w_hh), b_hh, w_hr].into_iter().flatten() {
        if t.dtype() != x.dtype() {
            bail!(DType, "input has dtype {}, state and weights must have it too, got {}", x.dtype(), t.dtype());
        }
    }
    let mut specs = Specs::from_iter([Spec::rows(&[rows, l.out], x.dtype())?, Spec::rows(&[batch, l.out], x.dtype())?]);
    if l.mode == Mode::Lstm {
        specs.push(Spec::rows(&[batch, l.hidden], x.dtype())?);
    }
    let kept = if c.bool(2) { rows } else { 0 };
    specs.push(Spec::rows(&[kept, l.kept()], x.dtype().compute_dtype())?);
    Ok(specs)
}

/// Has `f` write row-major tensors of dtype `dtype`, and brings their elements to the results.
fn all_written_as(outs: &[Tensor], dtype: DType, f: impl FnOnce(&[Tensor]) -> Result<()>) -> Result<()> {
    let aside = |o: &Tensor| if o.dtype() == dtype { Ok(o.clone()) } else { Tensor::empty_of(o.shape(), dtype) };
    let written: SmallVec<[Tensor; 4]> = outs.iter().map(aside).collect::<Result<_>>()?;
    f(&written)?;
    outs.iter().zip(&written).filter(|(o, w)| !o.is_same(w)).try_for_each(|(o, w)| copy_into(o, w))
}

fn compute_layer(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (x, w_hh, keep) = (c.x(0), c.x(3), c.bool(2));
    let sizes = [outs[1].shape()[0], x.shape()[0]];
    let mut l = layer(c.str(0), c.bool(1), w_hh, c.opt(5), c.opt(6), sizes)?;
    let batch_sizes = sizes_of(c.opt(6), sizes)?;
    l.steps.sizes = batch_sizes.as_deref();
    let (dtype, batch, gates) = (x.dtype().compute_dtype(), sizes[0], x.shape()[1]);
    let ready = |t: &Tensor| contiguous_unlocked(t, dtype, false);
    let (x1, w, w_hr) = (ready(x)?, ready(w_hh)?, c.opt(5).map(ready).transpose()?);
    let b = match c.opt(4) {
        Some(b) => ready(b)?,
        None => Tensor::filled(&[gates], Scalar::Int(0), dtype)?,
    };
    let part = Tensor::empty_of(&[batch, gates], dtype)?;
    let whole = w_hr.is_some().then(|| Tensor::empty_of(&[batch, l.hidden], dtype)).transpose()?;
    let room = if keep { None } else { Some(Tensor::empty_of(&[batch, l.kept()], dtype)?) };
    all_written_as(outs, dtype, |outs| {
        copy_into(&outs[1], c.x(1))?;
        let cells = c.opt(2).map(|cells| copy_into(&outs[2], cells).map(|_| &outs[2])).transpose()?;
        let work = room.as_ref().unwrap_or(&outs[outs.len() - 1]);
        float!(dtype, T => forward::<T>(&l, &Forward {
            x: x1.ptr(), w_hh: w.ptr(), b_hh: b.ptr(), w_hr: ptr!(w_hr), h: outs[1].ptr(), c: ptr!(cells),
            out: outs[0].ptr(), work: work.ptr(), keep, gates: part.ptr(), whole: ptr!(whole),
        }));
        Ok(())
    })
}

fn infer_layer_backward(c: &Call) -> Result<Specs> {
    let (gh, gc, g, work, w_hh, w_hr) = (c.x(0), c.opt(1), c.opt(2), c.x(3), c.x(4), c.opt(5));
    let ([batch, _], [rows, _], [gates, _]) = (matrix(gh, "grad_h")?, matrix(work, "kept")?, matrix(w_hh, "w_hh")?);
    let l = layer(c.str(0), c.bool(1), w_hh, w_hr, c.opt(6), [batch, rows])?;
    want(Some(gh), "grad_h", &[batch, l.out])?;
    want(Some(work), "kept", &[rows, l.kept()])?;
    let lstm = l.mode == Mode::Lstm;
    match gc {
        Some(_) if lstm => want(gc, "grad_c", &[batch, l.hidden])?,
        _ => refuse(gc, "grad_c")?,
    }
    if g.is_some() {
        want(g, "grad_output", &[rows, l.out])?;
    }
    for t in [Some(gh), gc, g, Some(work), Some(w_hh), w_hr].into_iter().flatten() {
        only_floats(t.dtype())?;
    }
    let dtype = w_hh.dtype().compute_dtype();
    let spec = |a, b| Spec::rows(&[a, b], dtype);
    let mut specs = Specs::from_iter([spec(rows, gates)?, spec(batch, l.out)?]);
    if lstm {
        specs.push(spec(batch, l.hidden)?);
    }
    if l.mode == Mode::Gru {
        specs.push(spec(rows, gates)?);
    }
    if w_hr.is_some() {
        specs.push(spec(rows, l.out)?);
        specs.push(spec(rows, l.hidden)?);
    }
    Ok(specs)
}

fn compute_layer_backward(c: &Call, outs: &[Tensor]) -> Result<()> {
    let (work, w_hh) = (c.x(3), c.x(4));
    let sizes = [outs[1].shape()[0], work.shape()[0]];
    let mut l = layer(c.str(0), c.bool(1), w_hh, c.opt(5), c.opt(6), sizes)?;
    let batch_sizes = sizes_of(c.opt(6), sizes)?;
    l.steps.sizes = batch_sizes.as_deref();
    let dtype = outs[0].dtype();
    let ready = |t: &Tensor| contiguous_unlocked(t, dtype, false);
    let (work, w, w_hr, g) = (ready(work)?, ready(w_hh)?, c.opt(5).map(ready).transpose()?, c.opt(2).map(ready).transpose()?);
    let gw = w_hr.is_some().then(|| Tensor::empty_of(&[sizes[0], l.hidden], dtype)).transpose()?;
    copy_into(&outs[1], c.x(0))?;
    let lstm = (l.mode == Mode::Lstm).then(|| &outs[2]);
    match (lstm, c.opt(1)) {
        (Some(to), Some(gc)) => copy_into(to, gc)?,
        (Some(to), None) => fill_new(to, Scalar::Int(0)),
        _ => {}
    }
    let gru = (l.mode == Mode::Gru).then(|| &outs[2]);
    let [gp, whole] = if w_hr.is_some() { [Some(&outs[3]), Some(&outs[4])] } else { [None, None] };
    float!(dtype, T => backward::<T>(&l, &Backward {
        work: work.ptr(), w_hh: w.ptr(), w_hr: ptr!(w_hr), g: ptr!(g), gh: outs[1].ptr(), gc: ptr!(lstm),
        gx: outs[0].ptr(), gy: ptr!(gru), gp: ptr!(gp), whole: ptr!(whole), gw: ptr!(gw),
    }));
    Ok(())
}

/// Backward by its kernel; where its result is to be differentiated too, through the steps as other ops.
fn layer_vjp(v: &Vjp) -> Result<Grads> {
    let (mode, lstm) = (mode(v.str(0))?, v.str(0) == "lstm");
    if grad_enabled() || !v.bool(2) || v.has(2 + lstm as usize) {
        return through(v, |x| match unrolled(mode, [v.bool(1), v.bool(2)], x) {
            Ok(outs) => outs,
            Err(e) => SmallVec::from_iter([Ex::Err(e)]),
        });
    }
    let (w_hh, w_hr) = (v.x(3).tensor()?, v.x(5).value()?);
    let work = v.yk(2 + lstm as usize).tensor()?;
    let given = |k: usize| if v.has(k) { v.gk(k).value() } else { Ok(None) };
    let (g, gh, gc) = (given(0)?, v.gk(1).tensor()?, if lstm { given(2)? } else { None });
    let sizes = v.x(6).value()?;
    let outs = Tensor::rnn_layer_backward(
        &gh, gc.as_ref(), g.as_ref(), &work, &w_hh, w_hr.as_ref(), sizes.as_ref(), v.str(0), v.bool(1),
    )?;
    let seen = Ex::from(&outs[if mode == Mode::Gru { 2 } else { 0 }]);
    let before = |work: &Tensor| work.narrow(1, work.shape()[1] as i64 - v.shape(1)[1] as i64, v.shape(1)[1] as i64);
    let rules = [
        Ex::from(&outs[0]),
        Ex::from(&outs[1]),
        if lstm { Ex::from(&outs[2]) } else { Ex::None },
        v.want(3, || seen.mt().matmul(Ex::from(&work).then(before))),
        v.want(4, || seen.sum(&[0], false)),
        v.want(5, || Ex::from(&outs[3]).mt().matmul(Ex::from(&outs[4]))),
    ];
    rules.into_iter().enumerate().map(|(i, e)| v.want(i, || e).value()).collect()
}

/// The steps of a layer in the op language, on the inputs of `rnn_layer`.
fn unrolled(mode: Mode, [reverse, keep]: [bool; 2], x: &[Ex]) -> Result<Exs> {
    let (gates, mut h, mut cells) = (x[0].clone().tensor()?, x[1].clone().tensor()?, x[2].clone().value()?);
    let sizes = x[6].clone().value()?.map(|t| t.to_vec::<i64>()).transpose()?;
    let nothing = sizes.is_none() && gates.shape()[1] == 0 && h.shape()[1] == 0;
    let rows = if nothing { 0 } else { gates.shape()[0] };
    let steps = Steps { sizes: sizes.as_deref(), batch: h.shape()[0], rows };
    let (mut outs, mut kept) = (List::new(), List::new());
    let mut step = |at: usize, n: usize| -> Result<()> {
        let first = |t: &Tensor| t.narrow(0, 0, n as i64);
        // Sequences that have ended, or not begun, keep their state.
        let joined = |new: Tensor, old: &Tensor| match old.shape()[0] - n {
            0 => Ok(new),
            rest => Tensor::cat(&[new, old.narrow(0, n as i64, rest as i64)?], 0),
        };
        let part = gates.narrow(0, at as i64, n as i64)?;
        let old = cells.as_ref().map(first).transpose()?;
        let ([new, new_cells], parts) = one_step(mode, &part, &first(&h)?, old.as_ref(), &x[3..6])?;
        let parts: SmallVec<[Tensor; 6]> = parts.into_iter().map(Ex::tensor).collect::<Result<_>>()?;
        kept.push(Tensor::cat(&parts, 1)?.to_dtype(gates.dtype().compute_dtype())?)?;
        let new = new.tensor()?;
        outs.push(new.clone())?;
        h = joined(new, &h)?;
        if let (Some(new), Some(old)) = (new_cells.value()?, &cells) {
            cells = Some(joined(new, old)?);
        }
        Ok(())
    };
    let mut done = Ok(());
    steps.each(reverse, |at, n| {
        if done.is_ok() {
            done = step(at, n);
        }
    });
    done?;
    let all = |mut parts: List<Tensor>| {
        if reverse {
            parts.reverse();
        }
        if parts.is_empty() { Ex::None } else { Ex::from(Tensor::cat(&parts, 0)) }
    };
    let (out, kept) = (all(outs), all(kept));
    let mut results: Exs = SmallVec::from_iter([out, Ex::from(&h)]);
    results.extend(cells.as_ref().map(Ex::from));
    if keep {
        results.push(kept);
    }
    Ok(results)
}

/// The new state and the new cells of a step, and what is kept for backward; `weights` are those of the state, their bias and
/// the projection.
fn one_step(
    mode: Mode,
    x: &Tensor,
    h: &Tensor,
    cells: Option<&Tensor>,
    weights: &[Ex],
) -> Result<([Ex; 2], SmallVec<[Ex; 6]>)> {
    let (w, b, w_hr) = (weights[0].clone().tensor()?, weights[1].clone().value()?, &weights[2]);
    let width = (x.shape()[1] / mode.gates()) as i64;
    let (x, y, old) = (Ex::from(x), Ex::from(h.linear(&w, b.as_ref())), Ex::from(h));
    let parts = |e: &Ex| -> Result<Outs> {
        let widths: SmallVec<[i64; 4]> = smallvec![width; mode.gates()];
        e.clone().tensor()?.split_with_sizes(&widths, 1)
    };
    Ok(match mode {
        Mode::Tanh | Mode::Relu => {
            let new = (x + y).then(|t| if mode == Mode::Tanh { t.tanh() } else { t.relu() });
            ([new.clone(), Ex::None], SmallVec::from_iter([new, old]))
        }
        Mode::Lstm => {
            let all = parts(&(x + y))?;
            let gate = |k: usize| Ex::from(&all[k]);
            let (i, f, g, o) = (gate(0).sigmoid(), gate(1).sigmoid(), gate(2).tanh(), gate(3).sigmoid());
            let before = cells.map_or(Ex::None, Ex::from);
            let cells = &f * &before + &i * &g;
            let h = &o * cells.tanh();
            let h = if w_hr.is_none() { h } else { h.with(w_hr, |h, w| h.linear(w, None)) };
            ([h, cells], SmallVec::from_iter([i, f, g, o, before, old]))
        }
        Mode::Gru => {
            let (x, y) = (parts(&x)?, parts(&y)?);
            let gate = |k: usize| (Ex::from(&x[k]) + Ex::from(&y[k])).sigmoid();
            let (r, z, given) = (gate(0), gate(1), Ex::from(&y[2]));
            let new = (Ex::from(&x[2]) + &r * &given).tanh();
            ([&new + &z * (&old - &new), Ex::None], SmallVec::from_iter([r, z, new, given, old]))
        }
    })
}

// ---- networks ----

/// All layers and directions. Inputs: the sequence, the state (of an LSTM two tensors), batch sizes, parameters.
fn eval_network(c: &Call, mode: Mode) -> Result<Outs> {
    let lstm = mode == Mode::Lstm;
    let at = 2 + lstm as usize;
    let (input, states, batch_sizes) = (c.x(0), [Some(c.x(1)), c.opt(2).filter(|_| lstm)], c.opt(at));
    let (biases, layers, p, train, directions) = (c.bool(0), c.int(1), c.float(2), c.bool(3), 1 + c.bool(4) as usize);
    if !(0.0..=1.0).contains(&p) {
        bail!(Value, "dropout probability has to be between 0 and 1, but got {p}");
    }
    let params = &c.inputs[(at + 1).min(c.inputs.len())..];
    let last = |t: &Tensor| t.shape().last().copied();
    let projects = states[1].is_some_and(|cells| last(cells) != last(c.x(1)));
    let per = 2 + 2 * biases as usize + projects as usize;
    let rows = usize::try_from(layers).ok().filter(|&n| n > 0).and_then(|n| n.checked_mul(directions));
    let Some(rows) = rows.filter(|&n| n.checked_mul(per) == Some(params.len())) else {
        bail!(
            Value,
            "got an incorrect number of RNN parameters: {layers} layers of {directions} directions with {per} tensors each \
             are wanted, got {} tensors",
            params.len()
        );
    };
    let param = |row: usize, k: usize| params[row * per + k].ok_or_else(|| err!(Null, "a parameter is missing"));

    let packed = batch_sizes.is_some();
    let batched = packed || input.ndim() == 3;
    let (first, alone) = (c.bool(5) && !packed && batched, input.unsqueeze(1));
    let (x, length, batch) = match input.ndim() {
        2 if packed => (input.clone(), 0, c.x(1).shape().get(1).copied().unwrap_or(0)),
        2 | 3 if !packed => {
            let x = if !batched { alone? } else if first { input.transpose(0, 1)? } else { input.clone() };
            let (length, batch, size) = (x.shape()[0], x.shape()[1], x.shape()[2]);
            if length == 0 {
                bail!(Value, "Expected sequence length to be larger than 0 in RNN");
            }
            let all = length.checked_mul(batch).ok_or_else(|| err!(Memory, "shape {:?} is too large", x.shape()))?;
            (x.reshape(&[all as i64, size as i64])?, length, batch)
        }
        n => bail!(Shape, "Expected input to be {}, got {n}D", if packed { "2D" } else { "2D or 3D" }),
    };
    let w_hh = param(0, 1)?;
    let [gates, out] = matrix(w_hh, "weight_hh")?;
    let mut state: SmallVec<[Tensor; 2]> = SmallVec::new();
    for (i, (t, size)) in states.into_iter().flatten().zip([out, gates / mode.gates()]).enumerate() {
        let want: Dims = if batched { SmallVec::from_iter([rows, batch, size]) } else { SmallVec::from_iter([rows, size]) };
        if t.shape() != want.as_slice() {
            let message = format!("Expected hidden[{i}] size {:?}, got {:?}", want.as_slice(), t.shape());
            return Err(Error::shapes("", message, t.shape(), &want));
        }
        state.push(if batched { t.clone() } else { t.unsqueeze(1)? });
    }

    // What no one will go back through keeps nothing for backward.
    let keep = wanted(c.inputs);
    let mut x = x;
    let (mut last_h, mut last_c) = (List::with_room(rows)?, List::with_room(if lstm { rows } else { 0 })?);
    for first in (0..rows).step_by(directions) {
        let mut outs: SmallVec<[Tensor; 2]> = SmallVec::new();
        for row in first..first + directions {
            let bias = |k: usize| if biases { param(row, k).map(Some) } else { Ok(None) };
            let gates = x.linear(param(row, 0)?, bias(2)?)?;
            let w_hr = if projects { Some(param(row, per - 1)?) } else { None };
            let of_row = |t: &Tensor| t.select(0, row as i64);
            let cells = state.get(1).map(of_row).transpose()?;
            let results = Tensor::rnn_layer(
                &gates, &of_row(&state[0])?, cells.as_ref(), param(row, 1)?, bias(3)?, w_hr, batch_sizes, word(mode),
                row > first, keep,
            )?;
            outs.push(results[0].clone());
            last_h.push(results[1].clone())?;
            if lstm {
                last_c.push(results[2].clone())?;
            }
        }
        x = if directions == 1 { outs[0].clone() } else { Tensor::cat(&outs, -1)? };
        if p != 0.0 && first + directions < rows {
            x = x.dropout(p, train)?;
        }
    }

    let mut hidden: SmallVec<[Tensor; 2]> = SmallVec::from_iter([Tensor::stack(&last_h, 0)?]);
    if lstm {
        hidden.push(Tensor::stack(&last_c, 0)?);
    }
    if !packed {
        x = x.reshape(&[length as i64, batch as i64, x.shape()[1] as i64])?;
    }
    if !batched {
        x = x.squeeze(Some(&[1]))?;
        hidden = hidden.iter().map(|h| h.squeeze(Some(&[1]))).collect::<Result<_>>()?;
    } else if first {
        x = x.transpose(0, 1)?;
    }
    let mut all = one(x)?;
    all.extend(hidden);
    Ok(all)
}

/// One step of one layer. Inputs: the input, the state (of an LSTM two tensors), weights and biases.
fn eval_cell(c: &Call, mode: Mode) -> Result<Outs> {
    let lstm = mode == Mode::Lstm;
    let (x, at) = (c.x(0), 2 + lstm as usize);
    let alone = x.ndim() == 1;
    if !(1..=2).contains(&x.ndim()) {
        bail!(Shape, "Expected input to be 1D or 2D, got {}D", x.ndim());
    }
    let row = |t: &Tensor| if alone { t.unsqueeze(0) } else { Ok(t.clone()) };
    let gates = row(x)?.linear(c.x(at), c.opt(at + 2))?;
    let [_, hidden] = matrix(c.x(at + 1), "w_hh")?;
    for (i, name) in (1..at).zip(["hx", "cx"]) {
        let want: Dims = if alone { SmallVec::from_iter([hidden]) } else { SmallVec::from_iter([gates.shape()[0], hidden]) };
        if c.x(i).shape() != want.as_slice() {
            let message = format!("Expected {name} of shape {:?}, got {:?}", want.as_slice(), c.x(i).shape());
            return Err(Error::shapes("", message, c.x(i).shape(), &want));
        }
    }
    let cells = c.opt(2).filter(|_| lstm).map(row).transpose()?;
    let results = Tensor::rnn_layer(
        &gates, &row(c.x(1))?, cells.as_ref(), c.x(at + 1), c.opt(at + 3), None, None, word(mode), false, wanted(c.inputs),
    )?;
    let back = |t: &Tensor| if alone { t.squeeze(Some(&[0])) } else { Ok(t.clone()) };
    results[1..at].iter().map(back).collect()
}

// ---- packed sequences ----

/// A sequence as [steps, batch, ...], row-major.
fn time_first(x: &Tensor, batch_first: bool) -> Result<Tensor> {
    if x.ndim() < 2 {
        bail!(Shape, "expected an input with at least two dimensions, got shape {:?}", x.shape());
    }
    let x = if batch_first { x.alias().transpose(0, 1)? } else { x.alias() };
    contiguous_unlocked(&x, x.dtype(), false)
}

fn eval_pack(c: &Call) -> Result<Outs> {
    let (x, lengths) = (time_first(c.x(0), c.bool(0))?, c.x(1));
    if lengths.ndim() != 1 || lengths.dtype() != DType::I64 {
        let shape = lengths.shape();
        bail!(DType, "'lengths' argument should be a 1D int64 tensor, but got one of {} and shape {shape:?}", lengths.dtype());
    }
    let (steps, batch) = (x.shape()[0], x.shape()[1]);
    let lengths = lengths.to_vec_unlocked::<i64>()?;
    if lengths.len() != batch {
        bail!(Shape, "Expected `len(lengths)` to be equal to batch_size {batch}, but got {}", lengths.len());
    }
    if lengths.windows(2).any(|w| w[0] < w[1]) {
        bail!(
            Value,
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass \
             `enforce_sorted=False` to sort them."
        );
    }
    if lengths.last().is_none_or(|&n| n <= 0) {
        bail!(Value, "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0");
    }
    if lengths[0] > steps as i64 {
        bail!(Value, "the longest length is {}, the input has {steps} steps", lengths[0]);
    }
    // Each step has the sequences that reach it.
    let mut sizes = List::with_room(lengths[0] as usize)?;
    let mut n = batch;
    for t in 0..lengths[0] {
        while lengths[n - 1] <= t {
            n -= 1;
        }
        sizes.push(n as i64)?;
    }
    let rows: i64 = sizes.iter().sum();
    let mut shape: Dims = SmallVec::from_iter([rows as usize]);
    shape.extend_from_slice(&x.shape()[2..]);
    let out = Tensor::empty_of(&shape, x.dtype())?;
    let row = x.shape()[2..].iter().product::<usize>() * x.dtype().size();
    let mut to = out.data_ptr();
    for (t, &n) in sizes.iter().enumerate() {
        let bytes = n as usize * row;
        // SAFETY: both are row-major; step `t` has at least `n` rows, and the result has as many as all steps together.
        unsafe {
            x.data_ptr().add(t * batch * row).copy_to_nonoverlapping(to, bytes);
            to = to.add(bytes);
        }
    }
    Ok(SmallVec::from_iter([out, Tensor::from_slice(&sizes, &[sizes.len()])?]))
}

fn eval_pad(c: &Call) -> Result<Outs> {
    let (data, total) = (c.x(0), c.int(2));
    c.scalar(1).held_by(data.dtype())?;
    let sizes = c.x(1);
    if sizes.ndim() != 1 || sizes.dtype() != DType::I64 || data.ndim() == 0 {
        let shapes = (data.shape(), sizes.shape());
        bail!(DType, "expected data with rows and 1-d batch_sizes of int64, got {} and shapes {shapes:?}", sizes.dtype());
    }
    let batch = sizes.to_vec_unlocked::<i64>()?.first().copied().unwrap_or(0);
    if batch <= 0 {
        bail!(Value, "batch_sizes must begin with a positive number");
    }
    let batch = batch as usize;
    let Some(sizes) = sizes_of(Some(sizes), [batch, data.shape()[0]])? else { unreachable!("they are given") };
    let longest = sizes.len();
    if total > 0 && (total as u64) < longest as u64 {
        bail!(
            Value,
            "Expected total_length to be at least the length of the longest sequence in input, but got \
             total_length={total} and max sequence length being {longest}"
        );
    }
    let mut shape: Dims = SmallVec::from_iter([if total > 0 { total as usize } else { longest }, batch]);
    shape.extend_from_slice(&data.shape()[1..]);
    let out = Tensor::empty_of(&shape, data.dtype())?;
    let data = contiguous_unlocked(data, data.dtype(), false)?;
    let row = shape[2..].iter().product::<usize>() * data.dtype().size();
    // SAFETY: row-major, and nobody else's yet; step `t` has `batch` rows, of which the data has `n`.
    unsafe {
        copy::fill(out.data_ptr(), out.dtype(), out.numel(), c.scalar(1));
        let mut from = data.data_ptr();
        for (t, &n) in sizes.iter().enumerate() {
            let bytes = n as usize * row;
            from.copy_to_nonoverlapping(out.data_ptr().add(t * batch * row), bytes);
            from = from.add(bytes);
        }
    }
    let mut lengths = List::with_room(batch)?;
    let mut reached = longest;
    for b in 0..batch as i64 {
        while sizes[reached - 1] <= b {
            reached -= 1;
        }
        lengths.push(reached as i64)?;
    }
    let out = if c.bool(0) { out.transpose(0, 1)? } else { out };
    Ok(SmallVec::from_iter([out, Tensor::from_slice(&lengths, &[batch])?]))
}

ops! {
    /// One recurrent layer in one direction. `input` [rows, gates] is the input's part of the gates, the rows of a step
    /// behind those of the step before; without `batch_sizes` every step has as many as the state `h_0` [batch, out], with
    /// them as many as they say, never more than before (those of a packed sequence). `w_hh` [gates, out] and `b_hh` [gates]
    /// give the state's part. `mode` is rnn_tanh, rnn_relu, gru or lstm, which has cells `c_0` [batch, hidden] and may have
    /// a projection `w_hr` [out, hidden]. Gives the outputs [rows, out], the last state, of an LSTM the last cells, and what
    /// backward reads, which is nothing without `keep` (backward then computes it again).
    rnn_layer(
        input: Tensor, h_0: Tensor, c_0: OptTensor, w_hh: Tensor, b_hh: OptTensor, w_hr: OptTensor, batch_sizes: OptTensor,
        mode: Str, reverse: Bool = false, keep: Bool = true
    ) -> List, Special {
        body: Kernel(infer_layer, compute_layer),
        vjp: vjp!(|v| layer_vjp(v)), saves: Saves::ALL, method: false, function: false,
        refuses: &[
            Refusal { call: "rt.ones(4, 3), rt.ones(2, 3), None, rt.ones(3, 3), None, None, None, 'rnn'", message: "mode must be" },
            Refusal { call: "rt.ones(4, 3), rt.ones(2, 3), None, rt.ones(3, 2), None, None, None, 'rnn_tanh'", message: "expected w_hh" },
            Refusal { call: "rt.ones(3, 3), rt.ones(2, 3), None, rt.ones(3, 3), None, None, None, 'rnn_tanh'", message: "whole number of steps" },
            Refusal { call: "rt.ones(3, 3), rt.ones(2, 3), None, rt.ones(3, 3), None, None, rt.tensor([1, 2]), 'rnn_tanh'",
                message: "batch_sizes must be positive and never grow" },
        ],
        samples: &[
            "r(4, 2), r(2, 2), None, r(2, 2), r(2), None, None, 'rnn_tanh'",
            "r(4, 6), r(2, 2), None, r(6, 2), None, None, None, 'gru', True",
            "r(3, 8), r(2, 2), r(2, 2), r(8, 2), r(8), None, rt.tensor([2, 1]), 'lstm'",
            "r(3, 8), r(2, 1), r(2, 2), r(8, 1), r(8), r(1, 2), rt.tensor([2, 1]), 'lstm', True, False",
        ],
    }

    /// Gradients of `rnn_layer` with respect to `input`, `h_0` and, of an LSTM, `c_0`, given those of the last state, the last
    /// cells and the outputs, and what was `kept`. Of a GRU also the gradient of the state's part of the gates; with a
    /// projection that of what it gives, and what it was given. (Where they are to be differentiated, the layer's rule goes
    /// another way.)
    rnn_layer_backward(
        grad_h: Tensor, grad_c: OptTensor, grad_output: OptTensor, kept: Tensor, w_hh: Tensor, w_hr: OptTensor,
        batch_sizes: OptTensor, mode: Str, reverse: Bool
    ) -> List, Special {
        body: Kernel(infer_layer_backward, compute_layer_backward),
        method: false, function: false,
        refuses: &[Refusal {
            call: "rt.ones(2, 3), None, None, rt.ones(4, 5), rt.ones(3, 3), None, None, 'rnn_relu', False",
            message: "expected kept of shape [4, 6]",
        }],
    }

    /// A long short-term memory (Hochreiter and Schmidhuber 1997, with forget gates) of `num_layers` layers, in both
    /// directions if `bidirectional`. `input` [L, N, in], with `batch_first` [N, L, in], or [L, in]; with `batch_sizes` the
    /// rows of a packed sequence. `hx` and `cx` [layers * directions, N, *] are the first state and cells; sizes that differ
    /// say that outputs are projected (Sak et al. 2014). `params` are, by layer and direction, w_ih, w_hh, with `has_biases`
    /// b_ih and b_hh, and w_hr of a projection; gates are in the order i, f, g, o. In training, `dropout` zeroes elements
    /// between layers. Gives the last layer's outputs, the last state and the last cells.
    lstm(
        input: Tensor, hx: Tensor, cx: Tensor, batch_sizes: OptTensor, params: Tensors, has_biases: Bool, num_layers: Int,
        dropout: Float, train: Bool, bidirectional: Bool, batch_first: Bool = false
    ) -> Triple, Special {
        body: Composite(|c| eval_network(c, Mode::Lstm)),
        method: false, function: false,
        refuses: &[Refusal {
            call: "rt.ones(2, 2, 3), rt.ones(1, 2, 4), rt.ones(1, 2, 4), None, [rt.ones(16, 3)], True, 1, 0.0, False, False",
            message: "incorrect number of RNN parameters",
        }],
        samples: &[
            "r(2, 2, 2), r(1, 2, 2), r(1, 2, 2), None, [r(8, 2), r(8, 2), r(8), r(8)], True, 1, 0.0, False, False",
            "r(3, 2), r(2, 2, 1), r(2, 2, 2), rt.tensor([2, 1]), [r(8, 2), r(8, 1), r(1, 2)] * 2, False, 1, 0.0, False, True",
        ],
    }

    /// Gated recurrent units (Cho et al. 2014, the reset gate behind the product), gates in the order r, z, n; else as `lstm`.
    gru(
        input: Tensor, hx: Tensor, batch_sizes: OptTensor, params: Tensors, has_biases: Bool, num_layers: Int,
        dropout: Float, train: Bool, bidirectional: Bool, batch_first: Bool = false
    ) -> Pair, Special {
        body: Composite(|c| eval_network(c, Mode::Gru)),
        method: false, function: false,
        samples: &["r(2, 2, 2), r(1, 2, 2), None, [r(6, 2), r(6, 2), r(6), r(6)], True, 1, 0.0, False, False, True"],
    }

    /// A recurrent network with `tanh` (Elman 1990); else as `lstm`.
    rnn_tanh(
        input: Tensor, hx: Tensor, batch_sizes: OptTensor, params: Tensors, has_biases: Bool, num_layers: Int,
        dropout: Float, train: Bool, bidirectional: Bool, batch_first: Bool = false
    ) -> Pair, Special {
        body: Composite(|c| eval_network(c, Mode::Tanh)),
        method: false, function: false,
        samples: &["r(3, 2), r(2, 2), None, [r(2, 2), r(2, 2)] * 2, False, 2, 0.0, False, False"],
    }

    /// A recurrent network with `relu`; else as `lstm`.
    rnn_relu(
        input: Tensor, hx: Tensor, batch_sizes: OptTensor, params: Tensors, has_biases: Bool, num_layers: Int,
        dropout: Float, train: Bool, bidirectional: Bool, batch_first: Bool = false
    ) -> Pair, Special {
        body: Composite(|c| eval_network(c, Mode::Relu)),
        method: false, function: false,
        samples: &["r(2, 2, 2), r(1, 2, 2), None, [r(2, 2), r(2, 2), r(2), r(2)], True, 1, 0.0, False, False"],
    }

    /// One step of an LSTM layer: `input` [N, in] or [in], state `hx` and cells `cx` [N, hidden], to the new ones.
    lstm_cell(
        input: Tensor, hx: Tensor, cx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: OptTensor = None, b_hh: OptTensor = None
    ) -> Pair, Special {
        body: Composite(|c| eval_cell(c, Mode::Lstm)),
        method: false, function: false,
        samples: &["r(2, 3), r(2, 2), r(2, 2), r(8, 3), r(8, 2), r(8), r(8)"],
    }

    /// One step of a GRU layer: `input` [N, in] or [in] and state `hx` [N, hidden] to the new state.
    gru_cell(
        input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: OptTensor = None, b_hh: OptTensor = None
    ) -> Tensor, Special {
        body: Composite(|c| eval_cell(c, Mode::Gru)),
        method: false,
        refuses: &[Refusal { call: "rt.ones(2, 3), rt.ones(1, 2), rt.ones(6, 3), rt.ones(6, 2)", message: "Expected hx of shape [2, 2]" }],
        samples: &["r(2, 3), r(2, 2), r(6, 3), r(6, 2), r(6), r(6)"],
    }

    /// One step of a layer with `tanh`, as `gru_cell`.
    rnn_tanh_cell(
        input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: OptTensor = None, b_hh: OptTensor = None
    ) -> Tensor, Special {
        body: Composite(|c| eval_cell(c, Mode::Tanh)),
        method: false,
        samples: &["r(3), r(2), r(2, 3), r(2, 2), r(2)"],
    }

    /// One step of a layer with `relu`, as `gru_cell`.
    rnn_relu_cell(
        input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: OptTensor = None, b_hh: OptTensor = None
    ) -> Tensor, Special {
        body: Composite(|c| eval_cell(c, Mode::Relu)),
        method: false,
        samples: &["r(2, 3), r(2, 2), r(2, 3), r(2, 2)"],
    }

    /// Sequences of `lengths` (int64, never growing) in `input` [L, N, *] (or [N, L, *]), step by step without the padding:
    /// the rows [sum of lengths, *], and how many sequences reach each step.
    _pack_padded_sequence(input: Tensor, lengths: Tensor, batch_first: Bool) -> Pair, Special {
        body: Dynamic(|_| Ok(None), eval_pack),
        vjp: vjp!(|v| {
            let steps = v.shape(0)[v.bool(0) as usize] as i64;
            let padded = |g: &Tensor| Ok(Tensor::_pad_packed_sequence(g, &v.yk(1).tensor()?, v.bool(0), 0, steps)?.remove(0));
            v.g().then(padded)
        }),
        saves: Saves::OUTPUT, method: false,
        refuses: &[Refusal { call: "rt.ones(3, 2), rt.tensor([1, 2]), False", message: "must be sorted in decreasing order" }],
        samples: &["r(3, 2), rt.tensor([3, 1]), False", "r(2, 4, 2), rt.tensor([2, 2]), True"],
    }

    /// The inverse of `_pack_padded_sequence`: rows and the number of sequences that reach each step to [L, N, *] (or
    /// [N, L, *]) and the lengths, `padding_value` behind the ends; L is `total_length`, if that is positive.
    _pad_packed_sequence(
        data: Tensor, batch_sizes: Tensor, batch_first: Bool, padding_value: Scalar, total_length: Int = -1
    ) -> Pair, Special {
        body: Dynamic(|_| Ok(None), eval_pad),
        vjp: vjp!(|v| v.g().then(|g| Ok(Tensor::_pack_padded_sequence(g, &v.yk(1).tensor()?, v.bool(0))?.remove(0)))),
        saves: Saves::OUTPUT, method: false,
        refuses: &[Refusal { call: "rt.ones(3, 2), rt.tensor([2, 1]), False, 0.0, 1", message: "total_length" }],
        samples: &["r(4, 2), rt.tensor([2, 1, 1]), False, 1.5, 4", "r(3), rt.tensor([2, 1]), True, 0"],
    }

    /// Sequences [L_i, *] as one tensor [L, N, *] (or [N, L, *]), `padding_value` behind ("right") or before ("left") those
    /// that are shorter than the longest.
    pad_sequence(
        sequences: Tensors, batch_first: Bool = false, padding_value: Float = 0.0, padding_side: Str = "right"
    ) -> Tensor, Special {
        body: Composite(|c| {
            let (side, value) = (c.str(2), c.float(1));
            if !["left", "right"].contains(&side) {
                bail!(Value, "padding_side should be 'right' or 'left', got '{side}'");
            }
            let mut longest = None;
            for t in c.inputs.iter().flatten() {
                let n = t.shape().first().ok_or_else(|| err!(Shape, "received a sequence without dimensions"))?;
                longest = longest.max(Some(*n));
            }
            let longest = longest.ok_or_else(|| err!(Value, "received an empty list of sequences"))?;
            let mut padded = List::with_room(c.inputs.len())?;
            for t in c.inputs.iter().flatten() {
                let gap = (longest - t.shape()[0]) as i64;
                if gap == 0 {
                    padded.push((*t).clone())?;
                    continue;
                }
                let mut shape = signed(t.shape());
                shape[0] = gap;
                let fill = Tensor::full_with(&shape, Scalar::Float(value), Some(t.dtype()))?;
                let t = (*t).clone();
                padded.push(Tensor::cat(&if side == "right" { [t, fill] } else { [fill, t] }, 0)?)?;
            }
            one(Tensor::stack(&padded, if c.bool(0) { 0 } else { 1 })?)
        }),
        method: false, function: false,
        refuses: &[Refusal { call: "[]", message: "empty list of sequences" }],
        samples: &["[r(2, 2), r(3, 2)]", "[r(1), r(2)], True, 1.5, 'left'"],
    }
}
