//! Autograd: gradients, modes, hooks, custom functions.

use super::*;
use crate::autograd::{self, Custom, Foreign, Packed, SavedHooks, Target};
use crate::ops::Grads;
use std::ffi::c_void;

/// A node of the autograd graph, or the place where a leaf collects its gradient. Release it with `rt_node_free`.
pub struct rt_node(Target, CString);

/// True if gradients flow to or through the tensor; false for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_requires_grad(tensor: *const rt_tensor) -> bool {
    !tensor.is_null() && borrow(&tensor).requires_grad()
}
/// True if no recorded op made the tensor; true for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_is_leaf(tensor: *const rt_tensor) -> bool {
    tensor.is_null() || borrow(&tensor).is_leaf()
}
/// Makes a leaf ask for gradients, or stop asking.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_set_requires_grad(tensor: *mut rt_tensor, requires_grad: bool) -> rt_status {
    guard(|| need(&tensor.cast_const(), "tensor")?.set_requires_grad(requires_grad))
}
/// The gradient collected by backward; NULL in `out` if there is none.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_grad(tensor: *const rt_tensor, out: *mut *mut rt_tensor) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = need(&tensor, "tensor")?.grad().map_or(std::ptr::null_mut(), give);
        Ok(())
    })
}
/// Sets the collected gradient; NULL removes it.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_set_grad(tensor: *mut rt_tensor, grad: *const rt_tensor) -> rt_status {
    guard(|| {
        let tensor = tensor.cast_const();
        let t = need(&tensor, "tensor")?;
        let g = borrow_opt(&grad).cloned();
        t.set_grad(g)
    })
}
/// Makes backward keep the gradient of a tensor that is no leaf.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_retain_grad(tensor: *mut rt_tensor) -> rt_status {
    guard(|| need(&tensor.cast_const(), "tensor")?.retain_grad())
}
/// True for a tensor that is no leaf and whose gradient backward keeps; false for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_retains_grad(tensor: *const rt_tensor) -> bool {
    !tensor.is_null() && borrow(&tensor).retains_grad()
}
/// Cuts the tensor from its history in place.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_detach_(tensor: *mut rt_tensor) -> rt_status {
    guard(|| need(&tensor.cast_const(), "tensor")?.detach_in_place())
}
/// The node that made the tensor; NULL in `out` for a leaf.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_grad_fn(tensor: *const rt_tensor, out: *mut *mut rt_node) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = node(Target::of(need(&tensor, "tensor")?).filter(|t| t.node().is_some()));
        Ok(())
    })
}
/// Where the gradient of the tensor goes: the node that made it and which of its outputs it is, or for a leaf the place
/// where that collects it ("AccumulateGrad"). NULL in `out` if it needs no gradient.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_gradient_edge(
    tensor: *const rt_tensor,
    output: *mut usize,
    out: *mut *mut rt_node,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        need_out(output)?;
        let edge = Target::of(need(&tensor, "tensor")?);
        *output = edge.as_ref().map_or(0, Target::output);
        *out = node(edge);
        Ok(())
    })
}

fn node(t: Option<Target>) -> *mut rt_node {
    t.map_or(std::ptr::null_mut(), |t| {
        let name = text(&t.name());
        Box::into_raw(Box::new(rt_node(t, name)))
    })
}

unsafe fn need_node<'a>(node: *const rt_node) -> Result<&'a Target> {
    Ok(&node.as_ref().ok_or_else(|| err!(Null, "argument 'node' is NULL"))?.0)
}

/// Releases a node; NULL is accepted.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_node_free(node: *mut rt_node) {
    if !node.is_null() {
        self::release(Box::from_raw(node));
    }
}
/// Name such as "AddBackward0"; it lives as long as the node. NULL for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_node_name(node: *const rt_node) -> *const c_char {
    node.as_ref().map_or(std::ptr::null(), |n| n.1.as_ptr())
}
/// A number that no other node has: two handles with the same one are of one node. For a leaf it holds as long as that
/// lives. 0 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_node_id(node: *const rt_node) -> u64 {
    node.as_ref().map_or(0, |n| n.0.number())
}
/// The leaf that collects its gradient here; NULL in `out` if the node is one of an op.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_node_leaf(node: *const rt_node, out: *mut *mut rt_tensor) -> rt_status {
    guard(|| {
        need_out(out)?;
        *out = need_node(node)?.leaf().map_or(std::ptr::null_mut(), give);
        Ok(())
    })
}
/// Number of inputs that the node sends gradients to; 0 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_node_next_count(node: *const rt_node) -> usize {
    node.as_ref().and_then(|n| n.0.node()).map_or(0, |n| n.next().len())
}
/// Where the gradient of input `index` goes: a node, or NULL with `is_leaf` saying whether a leaf is there.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_node_next(
    node_: *const rt_node,
    index: usize,
    is_leaf: *mut bool,
    out: *mut *mut rt_node,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        need_out(is_leaf)?;
        let edge = target(node_, index)?;
        *is_leaf = edge.as_ref().is_some_and(|t| t.node().is_none());
        *out = node(edge.filter(|t| t.node().is_some()));
        Ok(())
    })
}
/// As `rt_node_next`, with a handle for a leaf too (see `rt_tensor_gradient_edge`), and the output of the node that the gradient
/// belongs to. NULL in `out` if the input gets none.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_node_next_edge(
    node_: *const rt_node,
    index: usize,
    output: *mut usize,
    out: *mut *mut rt_node,
) -> rt_status {
    guard(|| {
        need_out(out)?;
        need_out(output)?;
        let edge = target(node_, index)?;
        *output = edge.as_ref().map_or(0, Target::output);
        *out = node(edge);
        Ok(())
    })
}

unsafe fn target(node: *const rt_node, index: usize) -> Result<Option<Target>> {
    let node = need_node(node)?.node();
    let count = node.map_or(0, |n| n.next().len());
    let edge = node.and_then(|n| n.next().nth(index));
    edge.ok_or_else(|| err!(Index, "rt_node_next: index {index}, the node has {count}"))
}

unsafe fn some<'a>(p: *const *const rt_tensor, n: usize, what: &str) -> Result<List<Option<&'a Tensor>>> {
    if n == 0 {
        return Ok(List::new());
    }
    if p.is_null() {
        bail!(Null, "{what} is NULL");
    }
    List::collect(std::slice::from_raw_parts(p, n).iter().map(|t| borrow_opt(t)))
}

unsafe fn all<'a>(p: *const *const rt_tensor, n: usize, what: &str) -> Result<List<&'a Tensor>> {
    List::try_collect(some(p, n, what)?.into_iter().map(|t| t.ok_or_else(|| err!(Null, "{what} holds a NULL"))))
}

/// Adds the gradients of `roots` to their leaves. `grads` holds one gradient per root (or NULL: 1 for a root with one
/// element); the array itself may be NULL. If `inputs` is not NULL, only those leaves collect. `retain_graph` keeps what the
/// graph has saved; `create_graph` records the walk itself.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_backward(
    roots: *const *const rt_tensor,
    grads: *const *const rt_tensor,
    roots_len: usize,
    inputs: *const *const rt_tensor,
    inputs_len: usize,
    retain_graph: bool,
    create_graph: bool,
) -> rt_status {
    guard(|| {
        if roots_len == 0 {
            bail!(Null, "backward: no tensor is given");
        }
        let roots = all(roots, roots_len, "backward: roots")?;
        let grads = if grads.is_null() { List::new() } else { some(grads, roots_len, "backward: grads")? };
        let ins = if inputs.is_null() { None } else { Some(all(inputs, inputs_len, "backward: inputs")?) };
        autograd::backward(&roots, &grads, ins.as_deref(), retain_graph, create_graph).map_err(|e| e.in_op("backward"))
    })
}

/// Gradients of `roots` with respect to `inputs`, written to `outs` (NULL where a root does not depend on an input).
/// The leaves are not touched.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_grad(
    roots: *const *const rt_tensor,
    grads: *const *const rt_tensor,
    roots_len: usize,
    inputs: *const *const rt_tensor,
    inputs_len: usize,
    retain_graph: bool,
    create_graph: bool,
    outs: *mut *mut rt_tensor,
) -> rt_status {
    guard(|| {
        need_out(outs)?;
        let roots = all(roots, roots_len, "grad: roots")?;
        let grads = if grads.is_null() { List::new() } else { some(grads, roots_len, "grad: grads")? };
        let inputs = all(inputs, inputs_len, "grad: inputs")?;
        let found = autograd::grad(&roots, &grads, &inputs, retain_graph, create_graph).map_err(|e| e.in_op("grad"))?;
        for (i, g) in found.into_iter().enumerate() {
            *outs.add(i) = g.map_or(std::ptr::null_mut(), give);
        }
        Ok(())
    })
}

/// True if ops are recorded on this thread.
#[no_mangle]
pub extern "C-unwind" fn rt_grad_enabled() -> bool {
    autograd::grad_enabled()
}
/// Switches recording on this thread; returns what it was.
#[no_mangle]
pub extern "C-unwind" fn rt_set_grad_enabled(enabled: bool) -> bool {
    autograd::set_grad_enabled(enabled)
}
/// The dtype in which ops that gain by it (products, convolutions, attention) compute on this thread, while others take
/// float32: what `torch.autocast` is for; -1 if it is off.
#[no_mangle]
pub extern "C-unwind" fn rt_autocast() -> i32 {
    crate::tensor::modes::autocast().map_or(-1, |d| d as i32)
}
/// Sets that dtype, float16 or bfloat16; -1 switches it off, and lets go of the parameters that were cast.
#[no_mangle]
pub extern "C-unwind" fn rt_set_autocast(dtype: i32) -> rt_status {
    guard(|| {
        let to = if dtype == -1 { None } else { Some(DType::from_code(dtype)?) };
        if let Some(d) = to.filter(|d| !matches!(d, DType::F16 | DType::BF16)) {
            bail!(DType, "autocast computes in float16 or bfloat16, got {d}");
        }
        crate::ops::set_autocast(to);
        Ok(())
    })
}
/// True if `rt_autocast` casts a parameter once, until it is switched off.
#[no_mangle]
pub extern "C-unwind" fn rt_autocast_caches() -> bool {
    crate::tensor::modes::autocast_caches()
}
/// Says whether it does; returns what was so.
#[no_mangle]
pub extern "C-unwind" fn rt_set_autocast_caches(on: bool) -> bool {
    crate::tensor::modes::set_autocast_caches(on)
}
/// True if this thread is in inference mode.
#[no_mangle]
pub extern "C-unwind" fn rt_inference_enabled() -> bool {
    autograd::inference_enabled()
}
/// Switches inference mode on this thread; returns what it was.
#[no_mangle]
pub extern "C-unwind" fn rt_set_inference_enabled(enabled: bool) -> bool {
    autograd::set_inference(enabled)
}
/// True if backward looks for NaN in every gradient.
#[no_mangle]
pub extern "C-unwind" fn rt_detect_anomaly() -> bool {
    autograd::detect_anomaly()
}
/// Makes backward, on every thread, fail at the first op whose gradient has NaN in it (or stop looking); returns what it was.
#[no_mangle]
pub extern "C-unwind" fn rt_set_detect_anomaly(enabled: bool) -> bool {
    autograd::set_detect_anomaly(enabled)
}

/// A hook sees a gradient and may put another one (a handle of its own) into `replacement`.
pub type rt_hook = Option<
    unsafe extern "C-unwind" fn(
        ctx: *mut c_void,
        grad: *const rt_tensor,
        replacement: *mut *mut rt_tensor,
    ) -> rt_status,
>;
/// Called once when nobody needs `ctx` any more.
pub type rt_release = Option<unsafe extern "C-unwind" fn(ctx: *mut c_void)>;

/// The caller's context, released once.
struct Context(*mut c_void, rt_release);
/// How many there are: most programs have none, and a collector asks for them often.
static CONTEXTS: AtomicI64 = AtomicI64::new(0);

impl Context {
    fn new(ctx: *mut c_void, release: rt_release) -> Context {
        CONTEXTS.fetch_add(1, Ordering::Relaxed);
        Context(ctx, release)
    }
    fn foreign(&self) -> Foreign {
        Foreign { ctx: self.0, release: self.1 }
    }
    /// It stays the caller's.
    fn give_back(mut self) {
        self.1 = None;
    }
}
// SAFETY: the contract demands that the caller's callbacks may run on any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}
impl Drop for Context {
    fn drop(&mut self) {
        CONTEXTS.fetch_sub(1, Ordering::Relaxed);
        if let Some(f) = self.1 {
            let ctx = self.0;
            // SAFETY: called once, at the end of the last user.
            callback::call(|| unsafe { f(ctx) });
        }
    }
}

/// Registers a callback by `add`. If that fails, `ctx` stays the caller's.
unsafe fn register(
    tensor: *mut rt_tensor,
    hook: rt_hook,
    ctx: *mut c_void,
    release: rt_release,
    id: *mut u64,
    add: fn(&Tensor, autograd::Hook, Option<Foreign>) -> Result<u64>,
) -> Result<()> {
    need_out(id)?;
    let tensor = tensor.cast_const();
    let t = need(&tensor, "tensor")?;
    let f = hook.ok_or_else(|| err!(Null, "the hook is NULL"))?;
    let ctx = Arc::new(Context::new(ctx, release));
    let own = ctx.clone();
    let registered = add(
        t,
        Arc::new(move |t: &Tensor| {
            let t = Some(t.clone());
            let shown = Shown::new(std::slice::from_ref(&t))?;
            let mut new = std::ptr::null_mut();
            let place = &raw mut new;
            // SAFETY: the handle lives through the call.
            let status = ask(|| unsafe { f(own.0, shown.0[0], place) });
            // SAFETY: the hook gave us a handle of its own.
            let new = if new.is_null() { None } else { Some(unsafe { take(new) }) };
            if status != RT_OK {
                bail!(Callback, "a hook failed with status {status}");
            }
            Ok(new)
        }),
        Some(ctx.foreign()),
    );
    if registered.is_err() {
        if let Some(c) = Arc::into_inner(ctx) {
            c.give_back();
        }
    }
    *id = registered?;
    Ok(())
}

/// Calls `hook` with each gradient of the tensor in backward; `id` names it for `rt_tensor_remove_hook`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_register_hook(
    tensor: *mut rt_tensor,
    hook: rt_hook,
    ctx: *mut c_void,
    release: rt_release,
    id: *mut u64,
) -> rt_status {
    guard(|| register(tensor, hook, ctx, release, id, Tensor::register_hook_of))
}
/// Calls `hook` with the tensor (a leaf) itself, in place of a gradient, whenever backward has added all of a gradient to
/// what `rt_tensor_grad` gives. A replacement is ignored. `ctx` must not own a handle of the tensor, which owns the hook.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_register_post_accumulate_grad_hook(
    tensor: *mut rt_tensor,
    hook: rt_hook,
    ctx: *mut c_void,
    release: rt_release,
    id: *mut u64,
) -> rt_status {
    guard(|| register(tensor, hook, ctx, release, id, Tensor::register_post_accumulate_grad_hook_of))
}
/// Removes a hook; unknown ids are ignored.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_remove_hook(tensor: *mut rt_tensor, id: u64) -> rt_status {
    guard(|| {
        need(&tensor.cast_const(), "tensor")?.remove_hook(id);
        Ok(())
    })
}

/// Sees the run of a node. `grad_outputs` are the gradients of its outputs, `grad_inputs` those that it has computed for its
/// inputs (NULL and 0 before it runs), NULL where there is none. A hook that sets `replaced` puts handles of its own (or
/// NULL) into all of `replacements`: in place of the inputs' gradients, or of the outputs' before the node runs.
pub type rt_node_hook = Option<
    unsafe extern "C-unwind" fn(
        ctx: *mut c_void,
        grad_inputs: *const *const rt_tensor,
        inputs_len: usize,
        grad_outputs: *const *const rt_tensor,
        outputs_len: usize,
        replaced: *mut bool,
        replacements: *mut *mut rt_tensor,
    ) -> rt_status,
>;

/// Handles of tensors for a callback, freed when it is over.
struct Shown(List<*mut rt_tensor>);

impl Shown {
    fn new(tensors: &[Option<Tensor>]) -> Result<Shown> {
        let mut all = List::with_room(tensors.len())?;
        all.extend(tensors.iter().map(|t| t.clone().map_or(std::ptr::null_mut(), give)))?;
        Ok(Shown(all))
    }
    fn as_ptr(&self) -> *const *const rt_tensor {
        self.0.as_ptr().cast()
    }
}
impl Drop for Shown {
    fn drop(&mut self) {
        for &p in self.0.iter() {
            if !p.is_null() {
                // SAFETY: ours since `give`.
                drop(unsafe { take(p) });
            }
        }
    }
}

/// What a callback has put into places that held NULL.
unsafe fn taken(places: List<*mut rt_tensor>, mut room: Grads) -> Grads {
    room.extend(places.into_iter().map(|p| if p.is_null() { None } else { Some(take(p)) }));
    room
}

/// Calls `hook` whenever the node has run in backward, or with `before` when it is about to; `id` names it for
/// `rt_node_remove_hook`. For a leaf, it is called around the adding of a gradient, with no inputs. If this fails, `ctx`
/// stays the caller's.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_node_register_hook(
    node: *mut rt_node,
    before: bool,
    hook: rt_node_hook,
    ctx: *mut c_void,
    release: rt_release,
    id: *mut u64,
) -> rt_status {
    guard(|| {
        need_out(id)?;
        let node = need_node(node)?;
        let f = hook.ok_or_else(|| err!(Null, "the hook is NULL"))?;
        let ctx = Arc::new(Context::new(ctx, release));
        let own = ctx.clone();
        let call = move |ins: Option<&[Option<Tensor>]>, outs: &[Option<Tensor>]| {
            let of = ins.unwrap_or(outs).len();
            let (mut replaced, mut places, results) =
                (false, List::filled(of, std::ptr::null_mut())?, memory::room(of)?);
            let inputs = ins.map(Shown::new).transpose()?;
            let outputs = Shown::new(outs)?;
            let (i, n) = inputs.as_ref().map_or((std::ptr::null(), 0), |s| (s.as_ptr(), s.0.len()));
            let (flag, to) = (&raw mut replaced, places.as_mut_ptr());
            // SAFETY: arrays and handles live through the call.
            let status = ask(|| unsafe { f(own.0, i, n, outputs.as_ptr(), outputs.0.len(), flag, to) });
            // SAFETY: the hook gave us handles of its own.
            let results = unsafe { taken(places, results) };
            if status != RT_OK {
                bail!(Callback, "a hook of a node failed with status {status}");
            }
            Ok(replaced.then_some(results))
        };
        let registered = node.register_hook(before, Arc::new(call), Some(ctx.foreign()));
        if registered.is_err() {
            if let Some(c) = Arc::into_inner(ctx) {
                c.give_back();
            }
        }
        *id = registered?;
        Ok(())
    })
}
/// Removes a hook of the node; unknown ids are ignored.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_node_remove_hook(node: *mut rt_node, id: u64) -> rt_status {
    guard(|| {
        need_node(node)?.remove_hook(id);
        Ok(())
    })
}

/// Decides how a tensor is kept that an op saves for backward, and puts what stands for it into `packed`. It must not change
/// the tensor; `rt_tensor_retain` keeps it.
pub type rt_pack = Option<
    unsafe extern "C-unwind" fn(ctx: *mut c_void, tensor: *const rt_tensor, packed: *mut *mut c_void) -> rt_status,
>;
/// Makes a tensor (a handle of its own) of what `rt_pack` has packed, with the same shape. It may be called several times.
pub type rt_unpack = Option<unsafe extern "C-unwind" fn(packed: *mut c_void, out: *mut *mut rt_tensor) -> rt_status>;

struct Packer {
    pack: unsafe extern "C-unwind" fn(*mut c_void, *const rt_tensor, *mut *mut c_void) -> rt_status,
    unpack: unsafe extern "C-unwind" fn(*mut c_void, *mut *mut rt_tensor) -> rt_status,
    release: rt_release,
    ctx: Context,
}

struct Parcel {
    unpack: unsafe extern "C-unwind" fn(*mut c_void, *mut *mut rt_tensor) -> rt_status,
    content: Context,
}

impl SavedHooks for Packer {
    fn pack(&self, t: &Tensor) -> Result<Box<dyn Packed>> {
        let t = Some(t.clone());
        let shown = Shown::new(std::slice::from_ref(&t))?;
        let mut packed = std::ptr::null_mut();
        let place = &raw mut packed;
        // SAFETY: the handle lives through the call.
        let status = ask(|| unsafe { (self.pack)(self.ctx.0, shown.0[0], place) });
        // What a hook that fails has put there already is released.
        let content = (status == RT_OK || !packed.is_null()).then(|| Context::new(packed, self.release));
        match content {
            Some(content) if status == RT_OK => Ok(Box::new(Parcel { unpack: self.unpack, content })),
            _ => bail!(Callback, "a hook that packs saved tensors failed with status {status}"),
        }
    }
}

impl Packed for Parcel {
    fn unpack(&self) -> Result<Tensor> {
        let mut out = std::ptr::null_mut();
        let place = &raw mut out;
        // SAFETY: what `pack` gave, not yet released.
        let status = ask(|| unsafe { (self.unpack)(self.content.0, place) });
        // SAFETY: the hook gave us a handle of its own.
        let t = (!out.is_null()).then(|| unsafe { take(out) });
        match t {
            Some(t) if status == RT_OK => Ok(t),
            _ => bail!(Callback, "a hook that unpacks saved tensors failed with status {status}"),
        }
    }
    fn context(&self) -> Option<Foreign> {
        Some(self.content.foreign())
    }
}

/// From now on, ops on this thread save tensors for backward through `pack` and `unpack`, until `rt_saved_hooks_pop`; of
/// several such hooks the last ones count. `release_packed` is called once for what `pack` gave, `release` for `ctx` when the
/// hooks have been taken away (or if this function fails).
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_saved_hooks_push(
    pack: rt_pack,
    unpack: rt_unpack,
    release_packed: rt_release,
    ctx: *mut c_void,
    release: rt_release,
) -> rt_status {
    let ctx = Context::new(ctx, release);
    guard(move || {
        let (Some(pack), Some(unpack)) = (pack, unpack) else { bail!(Null, "a hook of saved tensors is NULL") };
        autograd::push_saved_hooks(Arc::new(Packer { pack, unpack, release: release_packed, ctx }))
    })
}
/// Takes away the hooks of saved tensors that this thread has pushed last.
#[no_mangle]
pub extern "C-unwind" fn rt_saved_hooks_pop() -> rt_status {
    guard(|| {
        if !autograd::pop_saved_hooks() {
            bail!(State, "there are no hooks of saved tensors to take away");
        }
        Ok(())
    })
}
/// True if hooks see what ops on this thread save.
#[no_mangle]
pub extern "C-unwind" fn rt_saved_hooks_active() -> bool {
    autograd::saved_hooks_active()
}

/// For hooks: a number for the walk (backward or grad) that this thread is in, which no other has; 0 outside of one.
#[no_mangle]
pub extern "C-unwind" fn rt_walk_id() -> u64 {
    autograd::walk_number()
}
/// For hooks: says in `reached` which of the tensors get a gradient in the walk that this thread is in.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_will_reach(
    tensors: *const *const rt_tensor,
    tensors_len: usize,
    reached: *mut bool,
) -> rt_status {
    guard(|| {
        need_out(reached)?;
        let found = autograd::will_reach(&all(tensors, tensors_len, "tensors")?)?;
        std::ptr::copy_nonoverlapping(found.as_ptr(), reached, found.len());
        Ok(())
    })
}

/// The backward of a custom function: given the gradients of the outputs (NULL where none came) and the saved tensors, it
/// writes one handle of its own (or NULL) per input into `grad_inputs`.
pub type rt_backward_fn = Option<
    unsafe extern "C-unwind" fn(
        ctx: *mut c_void,
        grad_outputs: *const *const rt_tensor,
        outputs_len: usize,
        saved: *const *const rt_tensor,
        saved_len: usize,
        grad_inputs: *mut *mut rt_tensor,
        inputs_len: usize,
    ) -> rt_status,
>;

type BackwardFn = unsafe extern "C-unwind" fn(
    *mut c_void,
    *const *const rt_tensor,
    usize,
    *const *const rt_tensor,
    usize,
    *mut *mut rt_tensor,
    usize,
) -> rt_status;

struct Function {
    name: String,
    backward: BackwardFn,
    ctx: Context,
    inputs: usize,
}

impl Custom for Function {
    fn name(&self) -> &str {
        &self.name
    }
    fn backward(&self, grads: &[Option<Tensor>], saved: &dyn Fn() -> Result<Grads>) -> Result<Grads> {
        let saved = saved()?;
        // All room first: what is given out is taken back.
        let (mut out, results) = (List::filled(self.inputs, std::ptr::null_mut())?, memory::room(self.inputs)?);
        let (g, s) = (Shown::new(grads)?, Shown::new(&saved)?);
        let (to, n) = (out.as_mut_ptr(), out.len());
        // SAFETY: arrays and handles live through the call.
        let status =
            ask(|| unsafe { (self.backward)(self.ctx.0, g.as_ptr(), g.0.len(), s.as_ptr(), s.0.len(), to, n) });
        // SAFETY: the callback gave us handles of its own.
        let results = unsafe { taken(out, results) };
        if status != RT_OK {
            bail!(Callback, "the backward of {} failed with status {status}", self.name);
        }
        Ok(results)
    }
    fn context(&self) -> Option<Foreign> {
        Some(self.ctx.foreign())
    }
}

/// Makes `outputs` the results of a custom function of `inputs` (NULL where an argument is no tensor). `saved` tensors are
/// kept for `backward` and checked for in-place changes. `release(ctx)` is called once, also if this function fails.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_custom_function(
    name: *const c_char,
    backward: rt_backward_fn,
    ctx: *mut c_void,
    release: rt_release,
    inputs: *const *const rt_tensor,
    inputs_len: usize,
    outputs: *const *const rt_tensor,
    outputs_len: usize,
    saved: *const *const rt_tensor,
    saved_len: usize,
) -> rt_status {
    let ctx = Context::new(ctx, release);
    guard(move || {
        let name = string(name, "the function's name")?.to_string();
        let backward = backward.ok_or_else(|| err!(Null, "{name}: backward is NULL"))?;
        let (ins, outs, kept) = (
            some(inputs, inputs_len, "inputs")?,
            all(outputs, outputs_len, "outputs")?,
            some(saved, saved_len, "saved")?,
        );
        let outs = List::collect(outs.into_iter().cloned())?;
        let rule = Arc::new(Function { name, backward, ctx, inputs: inputs_len });
        autograd::record_custom(rule, &ins, &outs, &kept)
    })
}

/// Sees one context; a result that is not 0 ends the visits.
pub type rt_visit = Option<unsafe extern "C-unwind" fn(ctx: *mut c_void, arg: *mut c_void) -> i32>;

unsafe fn visitor(
    release: rt_release,
    visit: rt_visit,
    arg: *mut c_void,
    search: impl FnOnce(&mut dyn FnMut(Foreign)),
) -> i32 {
    let Some(visit) = visit.filter(|_| CONTEXTS.load(Ordering::Relaxed) > 0) else { return 0 };
    let mut ended = 0;
    let wanted = release.map(|f| f as usize);
    let mut found = |c: Foreign| {
        if ended == 0 && c.release.map(|f| f as usize) == wanted {
            ended = callback::call(|| visit(c.ctx, arg)).unwrap_or(1);
        }
    };
    // A collector is no place for an error.
    let _ = catch_unwind(AssertUnwindSafe(|| search(&mut found)));
    callback::go_on();
    ended
}

/// For the garbage collector of another language: calls `visit(ctx, arg)` for each context of a hook or a custom function,
/// given with `release`, that this handle alone keeps alive, and returns what the last visit returned. What others keep
/// alive too (another handle, a graph that runs on another thread) is left out, and so may be what lies deep in the graph.
/// A collector that frees such handles when their contexts lead back to them collects cycles through tensors. The answer
/// holds until the next call of any function for this tensor or what it was made from. 0 for NULL.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_tensor_visit_contexts(
    tensor: *const rt_tensor,
    release: rt_release,
    visit: rt_visit,
    arg: *mut c_void,
) -> i32 {
    let Some(t) = borrow_opt(&tensor) else { return 0 };
    visitor(release, visit, arg, |found| t.visit_contexts(found))
}
/// As `rt_tensor_visit_contexts`, for the handle of a node.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_node_visit_contexts(
    node: *const rt_node,
    release: rt_release,
    visit: rt_visit,
    arg: *mut c_void,
) -> i32 {
    let Some(n) = node.as_ref() else { return 0 };
    visitor(release, visit, arg, |found| n.0.visit_contexts(found))
}
