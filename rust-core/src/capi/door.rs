//! The door by name: any op through one function, descriptions of all ops, and the listener.

use super::*;
use crate::ops::{self, listener, Class};
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

/// One attribute of a call by name. Attributes are given in the order of the op's arguments that are no tensors.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rt_attr {
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
    guard(|| {
        let name = string(name, "the op's name")?;
        need_out(outs_len)?;
        if capacity > 0 {
            need_out(outs)?;
        }
        if (inputs.is_null() && inputs_len > 0) || (attrs.is_null() && attrs_len > 0) {
            return Err(err!(Null, "inputs or attributes are NULL").in_op(name));
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
        let mut ins: Borrows = memory::room(inputs_len).map_err(|e| e.in_op(name))?;
        ins.extend((0..inputs_len).map(|i| borrow_opt(&*inputs.add(i))));
        let attrs = List::try_collect((0..attrs_len).map(|i| attr(&*attrs.add(i)))).map_err(|e| e.in_op(name))?;
        let results = ops::call_by_name(name, &ins, &attrs)?;
        if results.len() > capacity {
            return Err(err!(Value, "it has {} results, there is room for {capacity}", results.len()).in_op(name));
        }
        *outs_len = results.len();
        for (i, t) in results.into_iter().enumerate() {
            *outs.add(i) = give(t);
        }
        Ok(())
    })
}

/// One argument of an op. Strings live for ever.
#[repr(C)]
pub struct rt_arg_info {
    /// Name.
    pub name: *const c_char,
    /// "Tensor", "Operand", "OptTensor", "Tensors", "OptTensors", "Scalar", "Int", "Ints", "Shape", "Float", "Bool", "DType",
    /// "Str", "Generator", or one of these with "Opt" in front.
    pub kind: *const c_char,
    /// Default as in the table; NULL if the argument is required.
    pub default_value: *const c_char,
}

/// What is known about an op. Strings live for ever.
#[repr(C)]
pub struct rt_op_info {
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
    /// "Kernel", "View", "Composite" or "Mutates".
    pub op_class: *const c_char,
    /// True if there is an in-place twin.
    pub inplace: bool,
    /// True if gradients flow through it.
    pub differentiable: bool,
    /// Its arguments.
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
                name: self.text(a.name)?,
                kind: self.text(&format!("{:?}", a.kind))?,
                default_value: self.maybe(a.default)?,
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
            name: self.text(op.name)?,
            doc: self.text(op.doc.trim())?,
            module: self.text(module)?,
            onnx: self.maybe(op.onnx)?,
            c_text: self.maybe(op.c)?,
            domain: self.text(&format!("{:?}", op.domain))?,
            out: self.text(&format!("{:?}", op.out))?,
            op_class: self.text(&format!("{:?}", op.class))?,
            inplace: op.inplace,
            differentiable: op.vjp.is_some() || op.class == Class::Composite,
            args: args.as_ptr(),
            args_len: args.len(),
            refuses: refuses.as_ptr(),
            refuses_len: refuses.len(),
            samples: samples.as_ptr(),
            samples_len: samples.len(),
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
/// What is known about op `index`.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_op_get(index: usize, out: *mut rt_op_info) -> rt_status {
    guard(|| {
        need_out(out)?;
        let all = infos()?;
        let info =
            all.get(index).ok_or_else(|| err!(Index, "rt_op_get: index {index}, there are {} ops", all.len()))?;
        std::ptr::copy_nonoverlapping(info, out, 1);
        Ok(())
    })
}

/// Sees one successful call. Handles and arrays live only during the callback; `rt_tensor_retain` keeps a tensor. A call that
/// cannot be shown, as there is no memory for it, is told with NULL as its name and nothing else: what was seen is incomplete.
pub type rt_listener = Option<
    unsafe extern "C-unwind" fn(
        ctx: *mut c_void,
        name: *const c_char,
        inputs: *const *const rt_tensor,
        inputs_len: usize,
        attrs: *const rt_attr,
        attrs_len: usize,
        outputs: *const *const rt_tensor,
        outputs_len: usize,
    ),
>;

type ListenerFn = unsafe extern "C-unwind" fn(
    *mut c_void,
    *const c_char,
    *const *const rt_tensor,
    usize,
    *const rt_attr,
    usize,
    *const *const rt_tensor,
    usize,
);

struct Callback(ListenerFn, *mut c_void);
// SAFETY: the contract demands that the caller's callbacks may run on any thread.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl listener::Listener for Callback {
    fn called(&self, e: &listener::Event) {
        if self.tell(e).is_err() {
            let (none, attrs) = (std::ptr::null(), std::ptr::null());
            // SAFETY: it is told that it gets nothing.
            callback::call(|| unsafe { (self.0)(self.1, std::ptr::null(), none, 0, attrs, 0, none, 0) });
        }
    }
}

impl Callback {
    fn tell(&self, e: &listener::Event) -> Result<()> {
        let ins = List::collect(e.inputs.iter().map(|t| t.map_or(std::ptr::null(), lend)))?;
        let outs = List::collect(e.outputs.iter().map(lend))?;
        let name = text(&format!("{}{}", e.op.name, if e.inplace { "_" } else { "" }));
        let words: SmallVec<[CString; 4]> =
            e.attrs.iter().map(|a| if let Attr::Str(s) = a { text(s) } else { CString::default() }).collect();
        let none = rt_attr {
            kind: RT_ATTR_NONE,
            i: 0,
            f: 0.0,
            ints: std::ptr::null(),
            len: 0,
            str: std::ptr::null(),
            generator: std::ptr::null(),
        };
        let attrs: SmallVec<[rt_attr; 8]> = e
            .attrs
            .iter()
            .zip(&words)
            .map(|(a, w)| match *a {
                Attr::None => none,
                Attr::Bool(b) | Attr::Scalar(Scalar::Bool(b)) => rt_attr { kind: RT_ATTR_BOOL, i: b as i64, ..none },
                Attr::Int(i) | Attr::Scalar(Scalar::Int(i)) => rt_attr { kind: RT_ATTR_INT, i, ..none },
                Attr::Float(f) | Attr::Scalar(Scalar::Float(f)) => rt_attr { kind: RT_ATTR_FLOAT, f, ..none },
                Attr::Ints(v) => rt_attr { kind: RT_ATTR_INTS, ints: v.as_ptr(), len: v.len(), ..none },
                Attr::DType(d) => rt_attr { kind: RT_ATTR_DTYPE, i: d as i64, ..none },
                Attr::Str(_) => rt_attr { kind: RT_ATTR_STR, str: w.as_ptr(), ..none },
                // Which generator it was cannot be written down; a replay draws from the default one.
                Attr::Generator(_) => rt_attr { kind: RT_ATTR_GENERATOR, ..none },
            })
            .collect();
        // SAFETY: everything lives through the call.
        callback::call(|| unsafe {
            (self.0)(
                self.1,
                name.as_ptr(),
                ins.as_ptr(),
                ins.len(),
                attrs.as_ptr(),
                attrs.len(),
                outs.as_ptr(),
                outs.len(),
            )
        });
        Ok(())
    }
}

/// Sets the listener that sees every outermost call of an op, from whichever thread; NULL removes it. Of an op that is made
/// of others it sees one call, or, if gradients will flow through it, those others. `ctx` is handed to the listener and must
/// live until it is removed.
#[no_mangle]
pub unsafe extern "C-unwind" fn rt_set_listener(callback: rt_listener, ctx: *mut c_void) {
    listener::set(callback.map(|f| Arc::new(Callback(f, ctx)) as Arc<dyn listener::Listener>));
}
