//! The door by name: any op through one function, descriptions of all ops, and listeners.

use super::*;
use crate::ops::{self, listener};
use std::ffi::c_void;
use std::sync::OnceLock;

/// The attribute is not given.
pub const RT_ATTR_NONE: i32 = 0;
/// `i` is 0 or 1.
pub const RT_ATTR_BOOL: i32 = 1;
/// `i` holds a whole number.
pub const RT_ATTR_INT: i32 = 2;
/// `f` holds a float.
pub const RT_ATTR_FLOAT: i32 = 3;
/// `ints` and `len` hold whole numbers.
pub const RT_ATTR_INTS: i32 = 4;
/// `i` holds a dtype code.
pub const RT_ATTR_DTYPE: i32 = 5;
/// `str` holds a word.
pub const RT_ATTR_STR: i32 = 6;
/// `generator` holds a generator (NULL: the default one).
pub const RT_ATTR_GENERATOR: i32 = 7;

/// One attribute of a call by name. Attributes are given in the order of the op's arguments that are no tensors. In an array of
/// them one begins `size` bytes after the other, whatever sizeof(rt_attr) is for whoever reads it. Fields that the library does
/// not know yet are not looked at: new meanings come with new kinds, and kinds that are not known are refused.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rt_attr {
    /// sizeof(rt_attr) for whoever made it; the same for all of an array.
    pub size: usize,
    /// One of `RT_ATTR_`.
    pub kind: i32,
    /// Whole number, truth value or dtype code.
    pub i: i64,
    /// Float.
    pub f: f64,
    /// Whole numbers.
    pub ints: *const i64,
    /// How many.
    pub len: usize,
    /// Word.
    pub str: *const c_char,
    /// Generator.
    pub generator: *const rt_generator,
}

const NO_ATTR: rt_attr = rt_attr {
    size: size_of::<rt_attr>(),
    kind: RT_ATTR_NONE,
    i: 0,
    f: 0.0,
    ints: std::ptr::null(),
    len: 0,
    str: std::ptr::null(),
    generator: std::ptr::null(),
};

/// Attributes of a caller whose `rt_attr` may be longer than ours, or, once ours has grown, shorter.
unsafe fn attributes<'a>(p: *const rt_attr, n: usize) -> Result<List<Attr<'a>>> {
    if n == 0 {
        return Ok(List::new());
    }
    let size = *p.cast::<usize>();
    check_size::<rt_attr>("rt_attr", size, first_size!(rt_attr, generator: *const rt_generator))?;
    List::try_collect((0..n).map(|i| {
        let at = p.cast::<u8>().wrapping_add(i * size);
        let own = *at.cast::<usize>();
        if own != size {
            bail!(Value, "rt_attr: the field `size` is {own} at place {i}, but {size} at place 0");
        }
        // What an older caller does not know is as if not given.
        let mut a = NO_ATTR;
        std::ptr::copy_nonoverlapping(at, (&raw mut a).cast(), size.min(size_of::<rt_attr>()));
        attr(&a)
    }))
}

unsafe fn attr<'a>(a: &rt_attr) -> Result<Attr<'a>> {
    Ok(match a.kind {
        RT_ATTR_NONE => Attr::None,
        RT_ATTR_BOOL => Attr::Bool(a.i != 0),
        RT_ATTR_INT => Attr::Int(a.i),
        RT_ATTR_FLOAT => Attr::Float(a.f),
        RT_ATTR_INTS => a_ints(a.ints, a.len)?,
        RT_ATTR_DTYPE => a_dtype(i32::try_from(a.i).unwrap_or(-1))?,
        RT_ATTR_STR => a_str(a.str)?,
        RT_ATTR_GENERATOR => a_generator(a.generator)?,
        k => bail!(Value, "unknown kind of rt_attr: {k}"),
    })
}

/// Calls the op `name` ("relu"; "relu_" for the in-place twin). `inputs` holds its tensor arguments in order (NULL where an
/// optional one is missing; lists come last, one after the other). Up to `capacity` results are written to `outs`, their
/// number to `outs_len`; more results than that are an error. An in-place twin gives a new handle of its first input.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_op_call(
    name: *const c_char,
    inputs: *const *const rt_tensor,
    inputs_len: usize,
    attrs: *const rt_attr,
    attrs_len: usize,
    outs: *mut *mut rt_tensor,
    capacity: usize,
    outs_len: *mut usize,
) -> rt_status {
    guard(|| by_name(name, (inputs, inputs_len), (attrs, attrs_len), outs, capacity, outs_len, ops::call_by_name))
}

/// Says what `rt_op_call` would give, and refuses what it would refuse by shapes, dtypes and attributes, without computing
/// anything: the results are tensors of `RT_DEVICE_META`. An op whose results depend on the elements is an error.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_op_infer(
    name: *const c_char,
    inputs: *const *const rt_tensor,
    inputs_len: usize,
    attrs: *const rt_attr,
    attrs_len: usize,
    outs: *mut *mut rt_tensor,
    capacity: usize,
    outs_len: *mut usize,
) -> rt_status {
    guard(|| by_name(name, (inputs, inputs_len), (attrs, attrs_len), outs, capacity, outs_len, ops::infer_by_name))
}

/// As `rt_op_call`, but the results are put into the tensors `outs`, which have their shapes: memory that the caller has chosen
/// (`rt_tensor_from_blob`, a part of a block). Nothing is copied where the op has a kernel that writes that dtype in these
/// strides, and an `out` shares no memory with the inputs. An op whose results want gradients is refused.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_op_call_into(
    name: *const c_char,
    inputs: *const *const rt_tensor,
    inputs_len: usize,
    attrs: *const rt_attr,
    attrs_len: usize,
    outs: *const *mut rt_tensor,
    outs_len: usize,
) -> rt_status {
    guard(|| {
        let name = string(name, "the op's name")?;
        if outs.is_null() && outs_len > 0 {
            return Err(err!(Null, "the tensors for the results are NULL").in_op(name));
        }
        let (ins, attrs) = arguments(name, (inputs, inputs_len), (attrs, attrs_len))?;
        let mut places: SmallVec<[&Tensor; 4]> = memory::room(outs_len).map_err(|e| e.in_op(name))?;
        for i in 0..outs_len {
            places.push(need(&*outs.add(i).cast::<*const rt_tensor>(), "outs").map_err(|e| e.in_op(name))?);
        }
        ops::call_into_by_name(name, &ins, &attrs, &places)
    })
}

/// The arguments of a call by name.
unsafe fn arguments<'a>(
    name: &str,
    (inputs, inputs_len): (*const *const rt_tensor, usize),
    (attrs, attrs_len): (*const rt_attr, usize),
) -> Result<(Borrows<'a>, List<Attr<'a>>)> {
    if (inputs.is_null() && inputs_len > 0) || (attrs.is_null() && attrs_len > 0) {
        return Err(err!(Null, "inputs or attributes are NULL").in_op(name));
    }
    let mut ins: Borrows = memory::room(inputs_len).map_err(|e| e.in_op(name))?;
    ins.extend((0..inputs_len).map(|i| borrow_opt(&*inputs.add(i))));
    Ok((ins, attributes(attrs, attrs_len).map_err(|e| e.in_op(name))?))
}

type ByName = fn(&str, &[Option<&Tensor>], &[Attr]) -> Result<Outs>;

unsafe fn by_name(
    name: *const c_char,
    inputs: (*const *const rt_tensor, usize),
    attrs: (*const rt_attr, usize),
    outs: *mut *mut rt_tensor,
    capacity: usize,
    outs_len: *mut usize,
    call: ByName,
) -> Result<()> {
    let name = string(name, "the op's name")?;
    need_out(outs_len)?;
    if capacity > 0 {
        need_out(outs)?;
    }
    // What has one result, or two or three, may change its inputs: the room is looked at before.
    let wanted = match ops::find(name) {
        Some((_, true)) => 1,
        Some((op, _)) => op.out.least(),
        None => 0,
    };
    if wanted > capacity {
        return Err(err!(Value, "it has {wanted} results, there is room for {capacity}").in_op(name));
    }
    let (ins, attrs) = arguments(name, inputs, attrs)?;
    let results = call(name, &ins, &attrs)?;
    if results.len() > capacity {
        return Err(err!(Value, "it has {} results, there is room for {capacity}", results.len()).in_op(name));
    }
    *outs_len = results.len();
    for (i, t) in results.into_iter().enumerate() {
        *outs.add(i) = give(t);
    }
    Ok(())
}

/// One argument of an op. Strings live for ever.
#[repr(C)]
pub struct rt_arg_info {
    /// sizeof(rt_arg_info) for the library; in an array one begins so many bytes after the other.
    pub size: usize,
    /// Name.
    pub name: *const c_char,
    /// Name of its kind, a row of `ops/kinds.rs`; what follows says what that means.
    pub kind: *const c_char,
    /// Default as in the table; NULL if the argument is required.
    pub default_value: *const c_char,
    /// "Tensor", "Scalar", "Int", "Ints", "Float", "Bool", "DType", "Str" or "Generator".
    pub holds: *const c_char,
    /// "One", "Optional" (one or none), "List" or "Optionals" (a list in which some may be missing).
    pub form: *const c_char,
    /// True if the op may write to it.
    pub written: bool,
    /// True if a plain number does too.
    pub number: bool,
    /// True for gradients of the tensors in the op's first list: where one is missing, that which backward has collected is meant.
    pub collected: bool,
}

/// What is known about an op. Strings live for ever.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rt_op_info {
    /// sizeof(rt_op_info), which the caller sets.
    pub size: usize,
    /// Name.
    pub name: *const c_char,
    /// What it computes.
    pub doc: *const c_char,
    /// The file of the table that it stands in.
    pub module: *const c_char,
    /// ONNX operator, or NULL.
    pub onnx: *const c_char,
    /// C text of one element, or NULL.
    pub c_text: *const c_char,
    /// Random inputs to test it with: "Real", "Positive", "NonZero", "Unit", "Probability", "Integer", "Boolean", "Special".
    pub domain: *const c_char,
    /// "Tensor", "Pair", "Triple", "List" or "Nothing".
    pub out: *const c_char,
    /// "Elementwise", "Kernel", "Dynamic" (what comes out depends on the elements), "View" or "Composite".
    pub op_class: *const c_char,
    /// True if there is an in-place twin.
    pub inplace: bool,
    /// True if gradients flow through it.
    pub differentiable: bool,
    /// Its arguments, `args->size` bytes apart.
    pub args: *const rt_arg_info,
    /// How many.
    pub args_len: usize,
    /// Calls that must be refused, in Python, each followed by a part of the message.
    pub refuses: *const *const c_char,
    /// How many strings that are.
    pub refuses_len: usize,
    /// Calls that its gradients are checked with, in Python.
    pub samples: *const *const c_char,
    /// How many.
    pub samples_len: usize,
    /// True if the in-place twin does not write, but gives its tensor another layout: it returns the handle that takes the place
    /// of the old one. Listeners hear it as one call, whatever the op is made of.
    pub relayout: bool,
}

/// What the infos point to. It is kept for ever once it is complete.
#[derive(Default)]
struct Infos {
    ops: List<rt_op_info>,
    args: List<List<rt_arg_info>>,
    refuses: List<List<*const c_char>>,
    samples: List<List<*const c_char>>,
    texts: List<List<u8>>,
}
// SAFETY: the pointers lead to constants that are never freed.
unsafe impl Send for Infos {}
// SAFETY: as above.
unsafe impl Sync for Infos {}

impl Infos {
    fn text(&mut self, s: &str) -> Result<*const c_char> {
        if self.texts.last().is_none_or(|t| t.capacity() - t.len() <= s.len()) {
            self.texts.push(List::with_room((64 << 10).max(s.len() + 1))?)?;
        }
        let Some(texts) = self.texts.last_mut() else { unreachable!("just pushed") };
        let at = texts.len();
        texts.extend_from_slice(s.as_bytes())?;
        texts.push(0)?;
        Ok(texts[at..].as_ptr().cast())
    }
    fn maybe(&mut self, s: Option<&str>) -> Result<*const c_char> {
        s.map_or(Ok(std::ptr::null()), |s| self.text(s))
    }
    fn add(&mut self, module: &str, op: &OpDef) -> Result<()> {
        let mut args = List::with_room(op.args.len())?;
        for a in op.args {
            args.push(rt_arg_info {
                size: size_of::<rt_arg_info>(),
                name: self.text(a.name)?,
                kind: self.text(a.kind.def().name)?,
                default_value: self.maybe(a.default)?,
                holds: self.text(&format!("{:?}", a.kind.def().holds))?,
                form: self.text(&format!("{:?}", a.kind.def().form))?,
                written: a.kind.def().written,
                number: a.kind.def().number,
                collected: a.kind.def().collected,
            })?;
        }
        let mut refuses = List::with_room(2 * op.refuses.len())?;
        for r in op.refuses {
            refuses.push(self.text(r.call)?)?;
            refuses.push(self.text(r.message)?)?;
        }
        let mut samples = List::with_room(op.samples.len())?;
        for s in op.samples {
            samples.push(self.text(s)?)?;
        }
        let info = rt_op_info {
            size: size_of::<rt_op_info>(),
            name: self.text(op.name)?,
            doc: self.text(op.doc.trim())?,
            module: self.text(module)?,
            onnx: self.maybe(op.onnx)?,
            c_text: self.maybe(op.c)?,
            domain: self.text(&format!("{:?}", op.domain))?,
            out: self.text(&format!("{:?}", op.out))?,
            op_class: self.text(op.class())?,
            inplace: op.inplace,
            differentiable: op.vjp.is_some() || op.is_composite(),
            args: args.as_ptr(),
            args_len: args.len(),
            refuses: refuses.as_ptr(),
            refuses_len: refuses.len(),
            samples: samples.as_ptr(),
            samples_len: samples.len(),
            relayout: op.relayout.is_some(),
        };
        self.args.push(args)?;
        self.samples.push(samples)?;
        self.refuses.push(refuses)?;
        self.ops.push(info)
    }
}

fn infos() -> Result<&'static [rt_op_info]> {
    static INFOS: OnceLock<Infos> = OnceLock::new();
    if let Some(all) = INFOS.get() {
        return Ok(&all.ops);
    }
    let mut all = Infos::default();
    for (module, op) in ops::table() {
        all.add(module, op)?;
    }
    Ok(&INFOS.get_or_init(|| all).ops)
}

/// Number of ops.
#[no_mangle]
pub extern "C-unwind" fn rt_op_count() -> usize {
    ops::table().count()
}
/// What is known about op `index`. At most `out->size` bytes are written; afterwards that says how many.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_op_get(index: usize, out: *mut rt_op_info) -> rt_status {
    guard(|| {
        need_out(out)?;
        let all = infos()?;
        let info =
            all.get(index).ok_or_else(|| err!(Index, "rt_op_get: index {index}, there are {} ops", all.len()))?;
        fill("rt_op_info", first_size!(rt_op_info, samples_len: usize), info, out)
    })
}

/// An op that has no parts was called, and has succeeded.
pub const RT_EVENT_CALL: i32 = 0;
/// An op that is made of others begins; those others are told at `depth` + 1.
pub const RT_EVENT_BEGIN: i32 = 1;
/// It has ended, and succeeded.
pub const RT_EVENT_END: i32 = 2;
/// It has ended, and failed.
pub const RT_EVENT_FAIL: i32 = 3;

/// The input came as a plain number, which yields in type promotion.
pub const RT_INPUT_NUMBER: u8 = 1;
/// The call writes to the input, itself or by its parts.
pub const RT_INPUT_WRITTEN: u8 = 2;

/// What a listener is told. All of it lives only during the callback; `rt_tensor_retain` keeps a tensor.
#[repr(C)]
pub struct rt_event {
    /// sizeof(rt_event) for the library: fields that end behind it are not there.
    pub size: usize,
    /// One of `RT_EVENT_`.
    pub phase: i32,
    /// How many ops that are made of others are under way around this one.
    pub depth: u32,
    /// The op ("relu"; "relu_" for the in-place twin). NULL if there is no memory to show the call: then nothing else is told
    /// of it but `phase` and `depth`, and what was seen is incomplete.
    pub name: *const c_char,
    /// Its tensors, NULL where an optional one is not given.
    pub inputs: *const *const rt_tensor,
    /// How many.
    pub inputs_len: usize,
    /// For each of them, `RT_INPUT_` flags.
    pub input_flags: *const u8,
    /// Its attributes, `attrs->size` bytes apart, as `rt_op_call` takes them. A generator is the handle that the call was given.
    pub attrs: *const rt_attr,
    /// How many.
    pub attrs_len: usize,
    /// Its results; none at `RT_EVENT_BEGIN` and `RT_EVENT_FAIL`. Of an in-place twin it is the first input.
    pub outputs: *const *const rt_tensor,
    /// How many.
    pub outputs_len: usize,
}

/// Is told what the ops of a thread do.
pub type rt_listener = Option<unsafe extern "C-unwind" fn(ctx: *mut c_void, event: *const rt_event)>;

struct Callback(unsafe extern "C-unwind" fn(*mut c_void, *const rt_event), *mut c_void);
// SAFETY: it is called on the thread that has pushed it, and dropped without a call.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl listener::Listener for Callback {
    fn called(&self, e: &listener::Event) {
        let phase = match e.phase {
            listener::Phase::Call => RT_EVENT_CALL,
            listener::Phase::Begin => RT_EVENT_BEGIN,
            listener::Phase::End => RT_EVENT_END,
            listener::Phase::Fail => RT_EVENT_FAIL,
        };
        let nothing = rt_event {
            size: size_of::<rt_event>(),
            phase,
            depth: e.depth,
            name: std::ptr::null(),
            inputs: std::ptr::null(),
            inputs_len: 0,
            input_flags: std::ptr::null(),
            attrs: std::ptr::null(),
            attrs_len: 0,
            outputs: std::ptr::null(),
            outputs_len: 0,
        };
        if self.show(e, &nothing).is_err() {
            self.tell(&nothing);
        }
    }
}

impl Callback {
    fn tell(&self, event: &rt_event) {
        // SAFETY: everything in the event lives through the call.
        callback::call(|| unsafe { (self.0)(self.1, event) });
    }

    fn show(&self, e: &listener::Event, nothing: &rt_event) -> Result<()> {
        let inputs = List::collect(e.inputs.iter().map(|t| t.map_or(std::ptr::null(), lend)))?;
        let outputs = List::collect(e.outputs.iter().map(lend))?;
        let flags = List::collect((0..inputs.len()).map(|i| {
            let number = if e.is_number(i) { RT_INPUT_NUMBER } else { 0 };
            number | if e.writes(i) { RT_INPUT_WRITTEN } else { 0 }
        }))?;
        let name = text(&format!("{}{}", e.op.name, if e.inplace { "_" } else { "" }));
        let words: SmallVec<[CString; 4]> =
            e.attrs.iter().map(|a| if let Attr::Str(s) = a { text(s) } else { CString::default() }).collect();
        let attrs: SmallVec<[rt_attr; 8]> = e
            .attrs
            .iter()
            .zip(&words)
            .map(|(a, w)| match *a {
                Attr::None => NO_ATTR,
                Attr::Bool(b) | Attr::Scalar(Scalar::Bool(b)) => rt_attr { kind: RT_ATTR_BOOL, i: b as i64, ..NO_ATTR },
                Attr::Int(i) | Attr::Scalar(Scalar::Int(i)) => rt_attr { kind: RT_ATTR_INT, i, ..NO_ATTR },
                Attr::Float(f) | Attr::Scalar(Scalar::Float(f)) => rt_attr { kind: RT_ATTR_FLOAT, f, ..NO_ATTR },
                Attr::Ints(v) => rt_attr { kind: RT_ATTR_INTS, ints: v.as_ptr(), len: v.len(), ..NO_ATTR },
                Attr::DType(d) => rt_attr { kind: RT_ATTR_DTYPE, i: d as i64, ..NO_ATTR },
                Attr::Str(_) => rt_attr { kind: RT_ATTR_STR, str: w.as_ptr(), ..NO_ATTR },
                Attr::Generator(g) => rt_attr {
                    kind: RT_ATTR_GENERATOR,
                    generator: g.map_or(std::ptr::null(), |g| (g as *const GeneratorHandle).cast()),
                    ..NO_ATTR
                },
            })
            .collect();
        self.tell(&rt_event {
            name: name.as_ptr(),
            inputs: inputs.as_ptr(),
            inputs_len: inputs.len(),
            input_flags: flags.as_ptr(),
            attrs: attrs.as_ptr(),
            attrs_len: attrs.len(),
            outputs: outputs.as_ptr(),
            outputs_len: outputs.len(),
            ..*nothing
        });
        Ok(())
    }
}

/// From now on `callback` is told every call of an op on this thread, backward's included, until `rt_listener_pop`. It may be
/// one of several: all of them hear, the one that was pushed last first. Every call is told, whether gradients are recorded or
/// not: an op that has no parts once it has succeeded, one that is made of others when it begins and when it ends, and those
/// others in between. What a kernel calls inside itself is not told, nor is what a listener calls. A listener may push and pop
/// listeners; one that is pushed while an op is under way hears nothing of that op's end. `ctx` is handed to the callback and
/// must live until then; when its thread ends the listener goes too.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_listener_push(callback: rt_listener, ctx: *mut c_void) -> rt_status {
    guard(|| {
        let Some(f) = callback else { bail!(Null, "the listener is NULL") };
        listener::push(Arc::new(Callback(f, ctx)))
    })
}
/// Takes away the listener that this thread has pushed last.
#[no_mangle]
pub extern "C-unwind" fn rt_listener_pop() -> rt_status {
    // No door that is closed where memory is short: who leaves must be able to.
    match listener::pop() {
        Some(last) => {
            release(last);
            RT_OK
        }
        None => fail(&err!(State, "there is no listener to take away")),
    }
}
