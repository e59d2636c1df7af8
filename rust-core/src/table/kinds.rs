//! The kinds of arguments, one row each. Rust's type, the C parameter, Python's and C++'s conversions follow from what a kind
//! holds and in which form.

use super::attr::Attr;

/// What an argument holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A tensor.
    Tensor,
    /// A number of any type.
    Scalar,
    /// A whole number.
    Int,
    /// Whole numbers.
    Ints,
    /// A float.
    Float,
    /// A truth value.
    Bool,
    /// An element type.
    DType,
    /// A word.
    Str,
    /// A random generator.
    Generator,
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One.
    One,
    /// One or none.
    Optional,
    /// A list.
    List,
    /// A list in which some may be missing.
    Optionals,
}

/// Everything about a kind of argument.
pub struct KindDef {
    /// Its name in the table.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// How much of it.
    pub form: Form,
    /// What a message says is wanted.
    pub wants: &'static str,
    /// The op writes to it, unless its `writes` says otherwise. Autograd does not record that; backward notices by the version
    /// counters.
    pub written: bool,
    /// A plain number will do.
    pub number: bool,
    /// Python's methods take it as several arguments too.
    pub spread: bool,
    /// Gradients of the tensors in the op's first list: where one is missing, that which backward has collected is meant, and
    /// tensors that have none are left out.
    pub collected: bool,
}

impl KindDef {
    const BASE: KindDef = KindDef {
        name: "",
        holds: Holds::Tensor,
        form: Form::One,
        wants: "",
        written: false,
        number: false,
        spread: false,
        collected: false,
    };
}

/// The Rust type of an argument.
macro_rules! form_type {
    (One Tensor) => { &$crate::tensor::Tensor };
    (List Tensor) => { &[$crate::tensor::Tensor] };
    (Optionals Tensor) => { &[Option<&$crate::tensor::Tensor>] };
    (One Scalar) => { impl Into<$crate::dtype::Scalar> };
    (Optional Scalar) => { Option<$crate::dtype::Scalar> };
    (One Int) => { i64 };
    (One Ints) => { &[i64] };
    (One Float) => { f64 };
    (One Bool) => { bool };
    (One DType) => { $crate::dtype::DType };
    (One Str) => { &str };
    (One Generator) => { &$crate::random::GeneratorHandle };
    (Optional $holds:ident) => { Option<form_type!(One $holds)> };
}

/// Appends an argument to the inputs or the attributes of a call.
macro_rules! form_push {
    (One Tensor, $ins:ident, $attrs:ident, $v:expr) => {
        $ins.push(Some($v))
    };
    (Optional Tensor, $ins:ident, $attrs:ident, $v:expr) => {
        $ins.push($v)
    };
    (List Tensor, $ins:ident, $attrs:ident, $v:expr) => {
        $ins.extend($v.iter().map(Some))
    };
    (Optionals Tensor, $ins:ident, $attrs:ident, $v:expr) => {
        $ins.extend($v.iter().copied())
    };
    (One Scalar, $ins:ident, $attrs:ident, $v:expr) => {
        $attrs.push($crate::table::attr::Attr::Scalar($v.into()))
    };
    (Optional Generator, $ins:ident, $attrs:ident, $v:expr) => {
        $attrs.push($crate::table::attr::Attr::Generator($v))
    };
    (One $holds:ident, $ins:ident, $attrs:ident, $v:expr) => {
        $attrs.push($crate::table::attr::Attr::$holds($v))
    };
    (Optional $holds:ident, $ins:ident, $attrs:ident, $v:expr) => {
        $attrs.push($v.map_or($crate::table::attr::Attr::None, $crate::table::attr::Attr::$holds))
    };
}

macro_rules! kinds {
    // The first token stands for the dollar of the macros that this one writes.
    ($d:tt $($(#[doc = $doc:literal])+ $kind:ident = $form:ident $holds:ident $([$($flag:ident),+])?, $wants:literal;)+) => {
        /// What kind of argument an op takes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ArgKind {
            $($(#[doc = $doc])+ $kind),+
        }
        impl ArgKind {
            /// All of them.
            pub const ALL: &'static [ArgKind] = &[$(ArgKind::$kind),+];
            /// What is known about it.
            pub const fn def(self) -> &'static KindDef {
                match self {
                    $(ArgKind::$kind => &const {
                        KindDef {
                            name: stringify!($kind),
                            holds: Holds::$holds,
                            form: Form::$form,
                            wants: $wants,
                            $($($flag: true,)+)?
                            ..KindDef::BASE
                        }
                    },)+
                }
            }
        }
        /// The Rust type of an argument kind.
        macro_rules! arg_type {
            $(($kind) => { form_type!($form $holds) };)+
        }
        /// Appends an argument to the inputs or the attributes of a call.
        macro_rules! arg_push {
            $(($kind, $d ins:ident, $d attrs:ident, $d v:expr) => { form_push!($form $holds, $d ins, $d attrs, $d v) };)+
        }
    };
}

kinds! { $
    /// A tensor.
    Tensor = One Tensor, "a Tensor";
    /// A tensor or a plain number.
    Operand = One Tensor [number], "a Tensor or a number";
    /// A tensor or nothing.
    OptTensor = Optional Tensor, "a Tensor or None";
    /// Several tensors.
    Tensors = List Tensor, "a sequence of Tensors";
    /// Several tensors, each of which may be missing.
    OptTensors = Optionals Tensor, "a sequence of Tensors or None";
    /// A tensor that the op writes to.
    Mut = One Tensor [written], "a Tensor";
    /// A tensor that the op writes to, or nothing.
    OptMut = Optional Tensor [written], "a Tensor or None";
    /// Several tensors that the op writes to.
    Muts = List Tensor [written], "a sequence of Tensors";
    /// Several tensors that the op writes to, each of which may be missing.
    OptMuts = Optionals Tensor [written], "a sequence of Tensors or None";
    /// Gradients of the tensors in the first list; where one is missing, that which backward has collected.
    Grads = Optionals Tensor [collected], "a sequence of Tensors or None";
    /// A number.
    Scalar = One Scalar, "a number";
    /// A number or nothing.
    OptScalar = Optional Scalar, "a number or None";
    /// A whole number.
    Int = One Int, "an int";
    /// A whole number or nothing.
    OptInt = Optional Int, "an int or None";
    /// Whole numbers; Python accepts a single one too.
    Ints = One Ints, "an int or a sequence of ints";
    /// Whole numbers or nothing.
    OptInts = Optional Ints, "an int, a sequence of ints or None";
    /// Sizes: whole numbers that a Python method also accepts one by one.
    Shape = One Ints [spread], "sizes (ints)";
    /// A float.
    Float = One Float, "a float";
    /// A float or nothing.
    OptFloat = Optional Float, "a float or None";
    /// True or false.
    Bool = One Bool, "a bool";
    /// A dtype.
    DType = One DType, "a dtype";
    /// A dtype or nothing.
    OptDType = Optional DType, "a dtype or None";
    /// A word.
    Str = One Str, "a str";
    /// A random generator; none means the default one.
    Generator = Optional Generator, "a Generator or None";
}

impl ArgKind {
    /// True for arguments that are tensors.
    pub const fn is_tensor(self) -> bool {
        matches!(self.def().holds, Holds::Tensor)
    }
    /// True for lists of tensors.
    pub const fn is_list(self) -> bool {
        matches!(self.def().form, Form::List | Form::Optionals)
    }
    /// True if there may be nothing, or nothing in some places of a list.
    pub const fn is_optional(self) -> bool {
        matches!(self.def().form, Form::Optional | Form::Optionals)
    }
    /// True if an attribute may be given for an argument of this kind.
    pub fn takes(self, v: &Attr) -> bool {
        let def = self.def();
        match (def.holds, v) {
            (_, Attr::None) => def.form == Form::Optional,
            (Holds::Scalar, Attr::Scalar(_) | Attr::Int(_) | Attr::Float(_) | Attr::Bool(_))
            | (Holds::Int, Attr::Int(_))
            | (Holds::Ints, Attr::Ints(_))
            | (Holds::Float, Attr::Float(_) | Attr::Int(_))
            | (Holds::Bool, Attr::Bool(_))
            | (Holds::DType, Attr::DType(_))
            | (Holds::Str, Attr::Str(_))
            | (Holds::Generator, Attr::Generator(_)) => true,
            _ => false,
        }
    }
}

/// One argument of an op.
pub struct ArgDef {
    /// PyTorch's name.
    pub name: &'static str,
    /// What it takes.
    pub kind: ArgKind,
    /// Default, as written in the table.
    pub default: Option<&'static str>,
}

/// What follows from the arguments of an op. Bits of tensor arguments: single ones first, then lists.
pub struct Signature {
    /// Tensor arguments that are no lists.
    pub singles: usize,
    /// Lists of tensors. In a call they stand behind the single tensors and have equal lengths.
    pub lists: usize,
    /// Attributes: arguments that are not tensors.
    pub attrs: usize,
    required: u32,
    written: u32,
    /// The list of gradients, if any.
    pub collected: Option<usize>,
}

impl Signature {
    /// Of these arguments.
    pub const fn of(args: &[ArgDef]) -> Signature {
        let mut s = Signature { singles: 0, lists: 0, attrs: 0, required: 0, written: 0, collected: None };
        let mut i = 0;
        while i < args.len() {
            let (kind, def) = (args[i].kind, args[i].kind.def());
            i += 1;
            if !kind.is_tensor() {
                s.attrs += 1;
                continue;
            }
            let bit = 1 << (s.singles + s.lists);
            if !kind.is_optional() {
                s.required |= bit;
            }
            if def.written {
                s.written |= bit;
            }
            if def.collected {
                s.collected = Some(s.lists);
            }
            if kind.is_list() {
                s.lists += 1;
            } else {
                assert!(s.lists == 0, "lists of tensors come last");
                s.singles += 1;
            }
        }
        s
    }
    /// The tensor argument that input `i` of `n` belongs to.
    pub fn place(&self, n: usize, i: usize) -> usize {
        if i < self.singles {
            return i;
        }
        self.singles + (i - self.singles) / self.length(n).max(1)
    }
    /// How long the lists are if there are `n` inputs.
    pub fn length(&self, n: usize) -> usize {
        n.saturating_sub(self.singles).checked_div(self.lists).unwrap_or(0)
    }
    /// The inputs, of `n`, that are list number `k`.
    pub fn list(&self, n: usize, k: usize) -> std::ops::Range<usize> {
        let length = self.length(n);
        self.singles + k * length..self.singles + (k + 1) * length
    }
    /// True if tensor argument `place` must be there.
    #[inline(always)]
    pub fn requires(&self, place: usize) -> bool {
        self.required >> place & 1 == 1
    }
    /// True if some argument is written.
    #[inline(always)]
    pub fn writes(&self) -> bool {
        self.written != 0
    }
    /// True if input `i` of `n` is written.
    pub fn is_written(&self, n: usize, i: usize) -> bool {
        self.written >> self.place(n, i) & 1 == 1
    }
}
