//! The backward walk: iterative, newest node first. A node is always newer than those it sends gradients to, so the order
//! of creation is a topological order and nothing has to be counted beforehand.

use super::node::*;
use crate::device::{Device, On};
use crate::dtype::{DType, Scalar};
use crate::engine::complex::pairs;
use crate::error::{Error, Result};
use crate::memory::{room, List};
use crate::parallel::interrupted;
use crate::shape::{contiguous_strides, Dims, Layout};
use crate::table::lang::sum_to;
use crate::table::{Recorded, Vjp};
use crate::tensor::modes::{detect_anomaly, Autocast, GradMode};
use crate::tensor::{Grads, Meta, Tensor};
use crate::{bail, err};
use smallvec::SmallVec;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

#[derive(Clone)]
struct ByAge(Arc<Node>);
impl PartialEq for ByAge {
    fn eq(&self, o: &Self) -> bool {
        self.0.sequence == o.0.sequence
    }
}
impl Eq for ByAge {}
impl PartialOrd for ByAge {
    fn partial_cmp(&self, o: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for ByAge {
    fn cmp(&self, o: &Self) -> std::cmp::Ordering {
        self.0.sequence.cmp(&o.0.sequence)
    }
}

type Pending = HashMap<u64, SmallVec<[Option<Tensor>; 1]>>;

/// Where a requested gradient is found: output `k` of a node (by sequence number), or a leaf.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Node(u64, usize),
    Leaf(*const Meta),
}

fn place(e: &Edge) -> Place {
    match e {
        Edge::Node(n, k) => Place::Node(n.sequence, *k),
        Edge::Leaf(t) => leaf_place(t),
    }
}

fn leaf_place(t: &Tensor) -> Place {
    Place::Leaf(Arc::as_ptr(t.meta()))
}

struct Walk<'a> {
    pending: Pending,
    heap: BinaryHeap<ByAge>,
    create_graph: bool,
    /// For `grad`: the requested places and what was found there. None means: collect in the leaves.
    wanted: Option<&'a [Place]>,
    found: HashMap<Place, Tensor>,
    /// For `grad`: the nodes on a path to a requested place.
    useful: Option<HashSet<u64>>,
    /// Leaves with hooks and what has reached them so far: a hook sees the whole gradient.
    held: List<(Tensor, Tensor)>,
    /// The oldest node that sends to each leaf, by sequence number; made when a leaf is first held.
    oldest: Option<HashMap<*const Meta, u64>>,
}

impl Walk<'_> {
    fn send(&mut self, edge: &Edge, g: Tensor) -> Result<()> {
        match edge {
            Edge::Leaf(t) => self.arrive(t, g),
            Edge::Node(n, k) => {
                if let Some(useful) = &self.useful {
                    if !useful.contains(&n.sequence) && !self.is_wanted(&Place::Node(n.sequence, *k)) {
                        return Ok(());
                    }
                }
                match self.pending.get_mut(&n.sequence) {
                    Some(slots) => {
                        slots[*k] = Some(match slots[*k].take() {
                            None => g,
                            Some(old) => add(&old, &g)?,
                        });
                    }
                    None => {
                        let mut slots = room(n.outputs.len())?;
                        slots.extend((0..n.outputs.len()).map(|_| None));
                        slots[*k] = Some(g);
                        more(self.pending.try_reserve(1))?;
                        more(self.heap.try_reserve(1))?;
                        self.pending.insert(n.sequence, slots);
                        self.heap.push(ByAge(n.clone()));
                    }
                }
                Ok(())
            }
        }
    }

    fn is_wanted(&self, p: &Place) -> bool {
        self.wanted.is_some_and(|w| w.contains(p))
    }

    /// A gradient reaches a leaf.
    fn arrive(&mut self, leaf: &Tensor, g: Tensor) -> Result<()> {
        if self.wanted.is_some() && !self.is_wanted(&leaf_place(leaf)) {
            return Ok(());
        }
        if !leaf.is_leaf() {
            bail!(Autograd, "leaf variable has been moved into the graph interior");
        }
        if self.wanted.is_none() && !leaf.requires_grad() {
            return Ok(()); // frozen since
        }
        if !leaf_hooks(&leaf.meta().lock()).is_some_and(|h| h.wait()) {
            return self.deliver(leaf, g);
        }
        match self.held.iter_mut().find(|h| Arc::ptr_eq(h.0.meta(), leaf.meta())) {
            Some((_, sum)) => *sum = add(sum, &g)?,
            None => self.held.push((leaf.clone(), g))?,
        }
        Ok(())
    }

    /// Runs the hooks of the held leaves that no node still waiting sends to, and delivers what they were sent.
    fn settle(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let heap = &self.heap;
        if self.oldest.is_none() {
            self.oldest = Some(oldest_senders(heap.iter().map(|n| n.0.clone()))?);
        }
        let oldest = self.oldest.as_ref();
        let waiting = |leaf: &Tensor| {
            let last = oldest.and_then(|o| o.get(&Arc::as_ptr(leaf.meta())));
            heap.peek().zip(last).is_some_and(|(next, &last)| next.0.sequence >= last)
        };
        let (mut held, mut complete) = (List::with_room(self.held.len())?, List::with_room(self.held.len())?);
        for h in std::mem::take(&mut self.held) {
            if waiting(&h.0) { &mut held } else { &mut complete }.push(h)?;
        }
        self.held = held;
        for (leaf, g) in complete {
            self.complete(&leaf, g)?;
        }
        Ok(())
    }

    /// A leaf with hooks has its whole gradient.
    fn complete(&mut self, leaf: &Tensor, mut g: Tensor) -> Result<()> {
        let calls = hooks_of(leaf, |h| &h.calls)?;
        for h in calls {
            if let Some(new) = h(&g)? {
                g = alike(new, leaf.shape(), leaf.dtype(), leaf.device())?;
            }
        }
        if self.wanted.is_some() {
            return self.deliver(leaf, g);
        }
        let mut grads = [Some(g)];
        before(hooks_of(leaf, |h| &h.around.before)?, &mut grads, &[(leaf.dims(), leaf.dtype())])?;
        let after = hooks_of(leaf, |h| &h.around.after)?;
        let [seen] = if after.is_empty() { [None] } else { grads.clone() };
        let [g] = grads;
        if let Some(g) = g {
            self.deliver(leaf, g)?;
            after_collecting(leaf)?;
        }
        for h in after {
            h(Some(&[]), std::slice::from_ref(&seen))?;
        }
        Ok(())
    }

    /// A leaf gets a gradient, beside what it has.
    fn deliver(&mut self, leaf: &Tensor, g: Tensor) -> Result<()> {
        if self.wanted.is_some() {
            let place = leaf_place(leaf);
            let sum = match self.found.remove(&place) {
                Some(old) => add(&old, &g)?,
                None => g,
            };
            more(self.found.try_reserve(1))?;
            self.found.insert(place, sum);
            return Ok(());
        }
        accumulate(leaf, g, self.create_graph)
    }

    fn run(&mut self, keep: bool) -> Result<()> {
        for step in 1usize.. {
            crate::memory::check()?;
            if step.is_multiple_of(64) && interrupted() {
                bail!(Interrupted, "the walk was interrupted");
            }
            self.settle()?;
            let Some(ByAge(node)) = self.heap.pop() else { return Ok(()) };
            let Some(mut grads) = self.pending.remove(&node.sequence) else { continue };
            if node.hooked.load(Ordering::Acquire) {
                self.hooks(&node, &mut grads)?;
            }
            if self.wanted.is_some() {
                for (k, g) in grads.iter().enumerate() {
                    let p = Place::Node(node.sequence, k);
                    if let (true, Some(g)) = (self.is_wanted(&p), g) {
                        more(self.found.try_reserve(1))?;
                        self.found.insert(p, g.clone());
                    }
                }
                if self.useful.as_ref().is_some_and(|u| !u.contains(&node.sequence)) {
                    continue;
                }
            }
            if node.hooked.load(Ordering::Acquire) {
                let hooks = match node.lock_hooks().as_ref() {
                    Some(h) => List::collect(h.around.before.iter().map(|h| h.call.clone()))?,
                    None => List::new(),
                };
                before(hooks, &mut grads, &node.outputs)?;
            }
            // Hooks may have left nothing; a custom function decides itself what that means.
            let nothing = grads.iter().all(|g| g.is_none()) && !matches!(node.rule, Rule::Custom(_));
            let out = if nothing { Ok(Grads::new()) } else { apply(&node, &grads) };
            let mut out = out.map_err(|e| e.in_op(&node.name()))?;
            if node.hooked.load(Ordering::Acquire) {
                after(&node, &mut out, &grads)?;
            }
            drop(grads);
            if detect_anomaly() {
                no_nan(&node, &out)?;
            }
            if !keep {
                release(&node);
            }
            let order = match &node.rule {
                Rule::Op(op, _) => (op.sends)(&node.inputs),
                _ => &[],
            };
            for i in order.iter().copied().chain(0..out.len()) {
                let g = out.get_mut(i).and_then(|g| g.take());
                if let (Some(g), Some(Some(edge))) = (g, node.edges.get(i)) {
                    let (shape, dtype) = &node.inputs[i];
                    self.send(edge, fit(g, shape, *dtype).map_err(|e| invalid(&node, i, e))?)?;
                }
            }
        }
        Ok(())
    }

    /// The gradients of a node's outputs have come: hooks see and change them, and some are kept.
    fn hooks(&self, node: &Node, grads: &mut [Option<Tensor>]) -> Result<()> {
        let (calls, retained) = {
            let hooks = node.lock_hooks();
            let Some(hooks) = hooks.as_ref() else { return Ok(()) };
            let mut retained = List::new();
            let mut note = &hooks.retained;
            while let Some(n) = note {
                retained.extend(n.meta.upgrade().map(|m| (n.output, m)))?;
                note = &n.next;
            }
            (List::collect(hooks.calls.iter().map(|(k, h)| (*k, h.call.clone())))?, retained)
        };
        for (k, call) in calls {
            let Some(g) = &grads[k] else { continue };
            if let Some(new) = call(g)? {
                let (shape, dtype) = &node.outputs[k];
                grads[k] = Some(alike(new, shape, *dtype, g.device())?);
            }
        }
        // A gradient is kept as the hooks leave it, whichever was asked for first.
        for (k, meta) in retained {
            if let Some(g) = &grads[k] {
                let old = meta.lock().grad.clone();
                let kept = match &old {
                    Some(old) => add(old, g)?,
                    None => g.duplicate()?,
                };
                let _old = meta.lock().grad.replace(kept);
            }
        }
        Ok(())
    }
}

/// Adds `g` to the gradient of a tensor, in a place of its own: nobody else's tensor becomes a gradient.
fn accumulate(t: &Tensor, g: Tensor, create_graph: bool) -> Result<()> {
    if g.device() != t.device() {
        bail!(Autograd, "got a gradient on device {} for a tensor on {}", g.device(), t.device());
    }
    let meta = t.meta();
    loop {
        let old = meta.lock().grad.clone();
        let new = match &old {
            Some(old) if !create_graph && !old.requires_grad() => {
                old.add_(&g, 1)?;
                return Ok(());
            }
            Some(old) => add(old, &g)?,
            None if create_graph => g.duplicate()?,
            // Nobody else has the buffer: keep it. Else take a copy, so that leaves never share one.
            None if g.is_contiguous() && Arc::strong_count(&g.0) == 1 && Arc::strong_count(&g.0.storage) == 1 => {
                if g.requires_grad() {
                    g.alias()
                } else {
                    g.clone()
                }
            }
            None => g.duplicate()?,
        };
        let mut state = meta.lock();
        let unchanged = match (&state.grad, &old) {
            (Some(now), Some(old)) => now.is_same(old),
            (now, old) => now.is_none() && old.is_none(),
        };
        // Another thread's backward may have come in between.
        if unchanged {
            state.grad = Some(new);
            drop(state);
            return Ok(());
        }
    }
}

/// The hooks of a leaf in one of its lists.
fn hooks_of<H: Clone>(leaf: &Tensor, list: impl Fn(&LeafHooks) -> &List<Registered<H>>) -> Result<List<H>> {
    let state = leaf.meta().lock();
    let Some(hooks) = leaf_hooks(&state) else { return Ok(List::new()) };
    List::collect(list(hooks).iter().map(|h| h.call.clone()))
}

/// Puts what a hook has returned in the place of `grads`; it must have as many entries, which get the shapes and dtypes that
/// the others had.
fn replace(grads: &mut [Option<Tensor>], new: Option<Grads>, kinds: &[(Dims, DType)]) -> Result<()> {
    let Some(new) = new else { return Ok(()) };
    if new.len() != grads.len() {
        bail!(
            Autograd,
            "a hook has returned an incorrect number of values (got {}, but expected {})",
            new.len(),
            grads.len()
        );
    }
    for ((g, new), (shape, dtype)) in grads.iter_mut().zip(new).zip(kinds) {
        *g = new.map(|new| fit(new, shape, *dtype)).transpose()?;
    }
    Ok(())
}

/// Calls hooks that see the gradients of outputs before the node runs.
fn before(hooks: List<NodeHook>, grads: &mut [Option<Tensor>], kinds: &[(Dims, DType)]) -> Result<()> {
    for h in hooks {
        let new = h(None, grads)?;
        replace(grads, new, kinds)?;
    }
    Ok(())
}

/// Calls the hooks that see what a node gives.
fn after(node: &Node, out: &mut Grads, grads: &[Option<Tensor>]) -> Result<()> {
    let hooks = match node.lock_hooks().as_ref() {
        Some(h) => List::collect(h.around.after.iter().map(|h| h.call.clone()))?,
        None => return Ok(()),
    };
    if hooks.is_empty() {
        return Ok(());
    }
    crate::memory::reserve(out, node.edges.len().saturating_sub(out.len()))?;
    out.resize(node.edges.len(), None);
    for (i, ((g, edge), (shape, dtype))) in out.iter_mut().zip(&node.edges).zip(&node.inputs).enumerate() {
        *g = match g.take().filter(|_| edge.is_some()) {
            Some(g) => Some(fit(g, shape, *dtype).map_err(|e| invalid(node, i, e))?),
            None => None,
        };
    }
    for h in hooks {
        let new = h(Some(out), grads)?;
        replace(out, new, &node.inputs)?;
    }
    Ok(())
}

fn no_nan(node: &Node, grads: &Grads) -> Result<()> {
    for (k, g) in grads.iter().enumerate() {
        let parts = |g: &Tensor| if g.dtype().is_complex() { pairs(g) } else { Ok(g.clone()) };
        if g.as_ref().map(|g| parts(g)?.to_vec::<f64>()).transpose()?.is_some_and(|v| v.iter().any(|x| x.is_nan())) {
            bail!(Autograd, "Function '{}' returned nan values in its {k}th output.", node.name());
        }
    }
    Ok(())
}

fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.add(b, 1)
}

/// Frees what a node has saved, and the node inside an in-place change of a view.
fn release(node: &Node) {
    if matches!(node.rule, Rule::AsStrided(..)) {
        return;
    }
    let holder = match &node.rule {
        // Its result was saved: the walk may come to it once more, on that way.
        Rule::Slices(Some(inner), ..) if Arc::strong_count(inner) > 1 => return,
        Rule::Slices(Some(inner), ..) => inner,
        _ => node,
    };
    let mut saved = holder.lock_saved();
    // Who has saved nothing can be walked through again.
    let gone = if saved.as_ref().is_some_and(|s| s.holds_nothing()) { None } else { saved.take() };
    drop(saved);
    drop(gone);
}

/// Undoes broadcasting and promotion: a gradient gets the shape and dtype of the input it belongs to. Rules need not care.
fn fit(g: Tensor, shape: &[usize], dtype: DType) -> Result<Tensor> {
    let g = if g.shape() == shape { g } else { sum_to(&g, shape)? };
    if g.dtype() == dtype {
        Ok(g)
    } else {
        g.to_dtype(dtype)
    }
}

/// What a hook of a tensor has made of its gradient must still be like the tensor.
fn alike(new: Tensor, shape: &[usize], dtype: DType, device: Device) -> Result<Tensor> {
    if new.device() != device {
        bail!(
            Autograd,
            "a hook has changed the device of value: got a gradient on {} for one on {device}",
            new.device()
        );
    }
    if new.shape() != shape {
        bail!(
            Autograd,
            "a hook has changed the size of value: got a gradient of {:?} for one of {shape:?}",
            new.shape()
        );
    }
    if new.dtype() != dtype {
        bail!(Autograd, "a hook has changed the type of value: got a gradient of {} for one of {dtype}", new.dtype());
    }
    Ok(new)
}

/// The error of a function whose gradient does not fit its input.
#[cold]
fn invalid(node: &Node, i: usize, e: Error) -> Error {
    let Some((got, wanted)) = e.both_shapes() else { return e };
    err!(
        Autograd,
        "Function {} returned an invalid gradient at index {i} - got {got:?} but expected shape compatible with {wanted:?}",
        node.name()
    )
}

/// Layout of the part `view` of `base`, seen in a row-major copy of `base`'s elements.
fn inside(base: &Layout, view: &Layout) -> Result<Layout> {
    if base.is_contiguous() {
        return Ok(view.counted_from(base.offset()));
    }
    if !base.is_dense() {
        bail!(Unsupported, "in-place changes of a view of a non-dense tensor cannot be differentiated");
    }
    // The position of an element in storage is written in the digits of the base's strides, then in row-major strides.
    let row = contiguous_strides(base.shape());
    let mut order: SmallVec<[usize; 8]> = (0..base.ndim()).filter(|&d| base.shape()[d] > 1).collect();
    order.sort_unstable_by_key(|&d| (std::cmp::Reverse(base.strides()[d]), d));
    let convert = |mut step: isize| {
        let mut out = 0;
        for &d in &order {
            out += step / base.strides()[d] * row[d];
            step %= base.strides()[d];
        }
        out
    };
    let strides = view.strides().iter().map(|&s| convert(s)).collect();
    let start = convert(view.offset().saturating_sub(base.offset()) as isize) as usize;
    Layout::new(Dims::from_slice(view.shape()), strides, start)
}

fn signed<T: Copy + TryInto<i64>>(v: &[T]) -> SmallVec<[i64; 8]> {
    v.iter().map(|&x| x.try_into().unwrap_or(0)).collect()
}

fn conjugates(grads: &[Option<Tensor>]) -> Result<Grads> {
    let mut out = room(grads.len())?;
    for g in grads {
        out.push(g.as_ref().map(|g| g.conj()).transpose()?);
    }
    Ok(out)
}

/// What a rule asks a node for.
struct Held<'a> {
    node: &'a Arc<Node>,
    saved: &'a SavedSet,
}

impl Recorded for Held<'_> {
    fn input(&self, i: usize) -> Option<Result<Tensor>> {
        let saved = self.saved.inputs.get(i)?.as_ref()?;
        Some(saved.unpack(self.node, false))
    }
    fn output(&self, k: usize) -> Option<Result<Tensor>> {
        let saved = self.saved.outputs.get(k)?.as_ref()?;
        Some(saved.unpack(self.node, false))
    }
    fn needs(&self, i: usize) -> bool {
        self.node.edges.get(i).is_some_and(|e| e.is_some())
    }
}

fn apply(node: &Arc<Node>, grads: &[Option<Tensor>]) -> Result<Grads> {
    match &node.rule {
        Rule::Op(op, attrs) => {
            let Some(rule) = op.vjp else {
                return Ok(Grads::new());
            };
            // Most rules are written for functions that are holomorphic, or real.
            let turned = !op.conjugates && grads.iter().flatten().any(|g| g.dtype().is_complex());
            let conjugated = if turned { Some(conjugates(grads)?) } else { None };
            let grads = conjugated.as_deref().unwrap_or(grads);
            let held = node.lock_saved();
            let Some(saved) = held.as_ref() else {
                bail!(
                    Autograd,
                    "trying to backward through the graph a second time: the saved tensors were freed when backward or \
                     grad first ran; pass retain_graph=True there if you need to go through it again"
                );
            };
            let run = |saved: &SavedSet| {
                let mut given = room(attrs.len())?;
                given.extend(attrs.iter().map(OwnedAttr::get));
                let _on = on(grads.iter().flatten());
                let call = &Held { node, saved };
                let v = Vjp { grads, inputs: &node.inputs, outputs: &node.outputs, call, attrs: given };
                rule(&v)
            };
            let given = match saved.copy_if_packed()? {
                None => run(saved),
                Some(copy) => {
                    drop(held);
                    run(&copy.unpack(node)?)
                }
            };
            if turned {
                return conjugates(&given?);
            }
            given
        }
        Rule::Custom(c) => {
            let saved = || {
                let held = node.lock_saved();
                let Some(saved) = held.as_ref() else {
                    bail!(
                        Autograd,
                        "trying to backward through the graph a second time: the saved tensors of {} were freed; pass \
                         retain_graph=True the first time",
                        c.name()
                    );
                };
                let mut inputs: SmallVec<[Option<Saved>; 3]> = room(saved.inputs.len())?;
                inputs.extend(saved.inputs.iter().cloned());
                drop(held);
                let mut all = room(inputs.len())?;
                for s in &inputs {
                    all.push(s.as_ref().map(|s| s.unpack(node, true)).transpose()?);
                }
                Ok(all)
            };
            c.backward(grads, &saved)
        }
        Rule::AsStrided(layouts) => {
            let [base, view] = &**layouts;
            let Some(g) = &grads[0] else { return Ok(Grads::new()) };
            let at = inside(base, view)?;
            let _on = on([g].into_iter());
            let zeros = Tensor::filled(base.shape(), Scalar::Int(0), g.dtype())?;
            let (s, t) = (signed(at.shape()), signed(at.strides()));
            Ok(Grads::from_iter([Some(zeros.as_strided_scatter(g, &s, &t, at.offset() as i64)?)]))
        }
        Rule::Slices(inner, layouts) => {
            let Some(inner) = inner else { return Ok(Grads::new()) };
            let [base, view] = &**layouts;
            let Some(g) = &grads[0] else { return Ok(Grads::new()) };
            let at = inside(base, view)?;
            let (s, t, o) = (signed(at.shape()), signed(at.strides()), at.offset() as i64);
            let mut g = g.contiguous()?;
            if g.layout().offset() != 0 {
                g = g.duplicate()?;
            }
            let part = g.as_strided(&s, &t, Some(o))?;
            let mut out = apply(inner, &[Some(part)])?;
            if out.is_empty() {
                out.push(None);
            }
            if node.edges[0].is_some() {
                let (shape, dtype) = &inner.inputs[0];
                let back = match out[0].take() {
                    Some(x) => fit(x, shape, *dtype)?,
                    None => {
                        let _on = on([&g].into_iter());
                        Tensor::filled(shape, Scalar::Int(0), g.dtype())?
                    }
                };
                out[0] = Some(g.as_strided_scatter(&back, &s, &t, o)?);
            }
            Ok(out)
        }
    }
}

fn seed(root: &Tensor, g: Option<&Tensor>) -> Result<Tensor> {
    if !root.requires_grad() {
        bail!(Autograd, "element 0 of tensors does not require grad and does not have a grad_fn");
    }
    let _on = on([root].into_iter());
    match g {
        // A number has no place of its own.
        Some(g) if g.ndim() == 0 && root.ndim() == 0 && root.is_meta() && !g.is_meta() => {
            g.like_on(Device::Meta)?.to_dtype(root.dtype())
        }
        Some(g) if g.device() != root.device() => {
            bail!(Autograd, "the gradient is on device {}, the output on {}", g.device(), root.device())
        }
        Some(g) if g.dtype().is_complex() != root.dtype().is_complex() => {
            bail!(Autograd, "the gradient has dtype {}, the output {}", g.dtype(), root.dtype())
        }
        Some(g) if g.shape() == root.shape() => {
            if g.dtype() == root.dtype() {
                Ok(g.clone())
            } else {
                g.to_dtype(root.dtype())
            }
        }
        Some(g) => Err(Error::shapes(
            "",
            format!("the gradient has shape {:?}, the output {:?}", g.shape(), root.shape()),
            g.shape(),
            root.shape(),
        )),
        None if root.dtype().is_complex() => {
            bail!(Autograd, "grad can be implicitly created only for real scalar outputs but got {}", root.dtype())
        }
        None if root.numel() == 1 => Tensor::filled(root.shape(), Scalar::Int(1), root.dtype()),
        None => bail!(
            Autograd,
            "grad can be implicitly created only for scalar outputs, this one has shape {:?}",
            root.shape()
        ),
    }
}

fn node_of(e: &Edge) -> Option<Arc<Node>> {
    match e {
        Edge::Node(n, _) => Some(n.clone()),
        Edge::Leaf(_) => None,
    }
}

/// The error of a map that could not grow.
fn more(grown: std::result::Result<(), std::collections::TryReserveError>) -> Result<()> {
    grown.map_err(|_| err!(Memory, "there is no memory for the walk through the graph"))
}

/// The given nodes and all that they send to, directly or not.
fn reachable(from: impl Iterator<Item = Arc<Node>>) -> Result<impl ExactSizeIterator<Item = Arc<Node>>> {
    let mut seen: HashMap<u64, Arc<Node>> = HashMap::new();
    let mut work = List::collect(from)?;
    while let Some(n) = work.pop() {
        more(seen.try_reserve(1))?;
        if seen.insert(n.sequence, n.clone()).is_none() {
            work.extend(n.edges.iter().flatten().filter_map(node_of))?;
        }
    }
    Ok(seen.into_values())
}

/// For each leaf, the oldest of these nodes and those behind them that sends to it. Newer nodes are walked first, so the
/// leaf's gradient is complete when that node has been passed.
fn oldest_senders(from: impl Iterator<Item = Arc<Node>>) -> Result<HashMap<*const Meta, u64>> {
    let mut oldest = HashMap::new();
    for n in reachable(from)? {
        for e in n.edges.iter().flatten() {
            if let Edge::Leaf(t) = e {
                more(oldest.try_reserve(1))?;
                let last = oldest.entry(Arc::as_ptr(t.meta())).or_insert(n.sequence);
                *last = n.sequence.min(*last);
            }
        }
    }
    Ok(oldest)
}

/// Calls the hooks that wait for the gradient of a leaf.
fn after_collecting(leaf: &Tensor) -> Result<()> {
    let hooks = hooks_of(leaf, |h| &h.collected)?;
    if hooks.is_empty() {
        return Ok(());
    }
    let t = leaf.present();
    hooks.iter().try_for_each(|h| h(&t).map(drop))
}

/// The walk that a thread is in, for its hooks: where it began, and its number.
type Under = (*const List<Edge>, u64);

thread_local! {
    static WALK: std::cell::Cell<Under> = const { std::cell::Cell::new((std::ptr::null(), 0)) };
}

/// Brings back the walk around this one when it ends.
struct Outer(Under);

impl Outer {
    fn enter(roots: &List<Edge>) -> Outer {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        Outer(WALK.replace((roots, COUNT.fetch_add(1, Ordering::Relaxed))))
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        WALK.set(self.0);
    }
}

/// For hooks: a number for the walk that this thread is in, which no other walk has; 0 outside of one.
pub fn walk_number() -> u64 {
    WALK.get().1
}

/// For hooks: which of these tensors get a gradient in the walk that this thread is in. All are False outside of one.
pub fn will_reach(tensors: &[&Tensor]) -> Result<List<bool>> {
    let (roots, _) = WALK.get();
    if roots.is_null() {
        return List::filled(tensors.len(), false);
    }
    // SAFETY: `Outer` takes the pointer away before the list goes.
    let roots = unsafe { &*roots };
    let mut places = HashSet::new();
    let mut note = |e: &Edge| -> Result<()> {
        more(places.try_reserve(1))?;
        places.insert(place(e));
        Ok(())
    };
    roots.iter().try_for_each(&mut note)?;
    for n in reachable(roots.iter().filter_map(node_of))? {
        n.edges.iter().flatten().try_for_each(&mut note)?;
    }
    List::collect(tensors.iter().map(|t| t.edge().is_some_and(|e| places.contains(&place(&e)))))
}

/// The nodes from which a requested place can be reached.
fn useful(roots: &[Edge], wanted: &[Place]) -> Result<HashSet<u64>> {
    let mut nodes = List::collect(reachable(roots.iter().filter_map(node_of))?)?;
    nodes.sort_unstable_by_key(|n| n.sequence);
    let mut useful = HashSet::new();
    for n in nodes {
        let leads =
            |e: &Edge| wanted.contains(&place(e)) || matches!(e, Edge::Node(m, _) if useful.contains(&m.sequence));
        if n.edges.iter().flatten().any(leads) {
            more(useful.try_reserve(1))?;
            useful.insert(n.sequence);
        }
    }
    Ok(useful)
}

/// What is made beside these lives where they do.
#[inline(always)]
fn on<'a>(mut beside: impl Iterator<Item = &'a Tensor>) -> On {
    On::enter(if beside.any(|t| t.is_meta()) { Device::Meta } else { Device::Cpu })
}

/// Adds the gradients of `roots` to the leaves (or to the given `inputs` only). A missing gradient means 1 for a root
/// with one element.
pub fn backward(
    roots: &[&Tensor],
    grads: &[Option<&Tensor>],
    inputs: Option<&[&Tensor]>,
    retain_graph: bool,
    create_graph: bool,
) -> Result<()> {
    // Gradients are computed in the dtypes of the ops that they are of.
    let (_mode, _cast) = (GradMode::set(create_graph), Autocast::set(None));
    if let Some(inputs) = inputs {
        let found = grad(roots, grads, inputs, retain_graph, create_graph)?;
        for (i, (t, g)) in inputs.iter().zip(found).enumerate() {
            let again = inputs[..i].iter().any(|u| std::ptr::eq(u.meta(), t.meta()));
            if let Some(g) = g.filter(|_| !again) {
                accumulate(t, g, create_graph)?;
                after_collecting(t)?;
            }
        }
        return Ok(());
    }
    let mut walk = Walk {
        pending: HashMap::new(),
        heap: BinaryHeap::new(),
        create_graph,
        wanted: None,
        found: HashMap::new(),
        useful: None,
        held: List::new(),
        oldest: None,
    };
    let mut edges = List::with_room(roots.len())?;
    for (i, root) in roots.iter().enumerate() {
        let g = seed(root, grads.get(i).copied().flatten())?;
        if let Some(edge) = root.edge() {
            walk.send(&edge, g)?;
            edges.push(edge)?;
        }
    }
    let _outer = Outer::enter(&edges);
    walk.run(retain_graph)
}

/// Gradients of `roots` with respect to `inputs`, without touching `.grad`; None where `roots` do not depend on an input.
pub fn grad(
    roots: &[&Tensor],
    grads: &[Option<&Tensor>],
    inputs: &[&Tensor],
    retain_graph: bool,
    create_graph: bool,
) -> Result<List<Option<Tensor>>> {
    let places = List::try_collect(inputs.iter().map(|t| match t.edge() {
        Some(e) => Ok(place(&e)),
        None => Err(err!(Autograd, "one of the differentiated tensors does not require grad")),
    }))?;
    let mut edges = List::new();
    let mut seeds = List::new();
    let (_mode, _cast) = (GradMode::set(create_graph), Autocast::set(None));
    for (i, root) in roots.iter().enumerate() {
        seeds.push(seed(root, grads.get(i).copied().flatten())?)?;
        edges.extend(root.edge())?;
    }
    let mut walk = Walk {
        pending: HashMap::new(),
        heap: BinaryHeap::new(),
        create_graph,
        wanted: Some(&places),
        found: HashMap::new(),
        useful: Some(useful(&edges, &places)?),
        held: List::new(),
        oldest: None,
    };
    for (edge, g) in edges.iter().zip(seeds) {
        walk.send(edge, g)?;
    }
    let _outer = Outer::enter(&edges);
    walk.run(retain_graph)?;
    List::collect(places.iter().map(|p| walk.found.get(p).cloned()))
}
