//! L0: errors as data. They are built where they happen and rendered once, by `Display`.

use smallvec::SmallVec;
use std::fmt;

/// What kind of thing went wrong; the C status codes are these values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// A required pointer was NULL.
    Null = 1,
    /// Shapes do not fit each other or the operation.
    Shape = 2,
    /// A data type is not accepted here.
    DType = 3,
    /// An index or a dimension is out of range.
    Index = 4,
    /// An argument has a value that is not allowed.
    Value = 5,
    /// Memory could not be had.
    Memory = 6,
    /// The object is not in a state that allows this.
    State = 7,
    /// The autograd graph does not allow this.
    Autograd = 8,
    /// Reading or writing a file failed.
    Io = 9,
    /// Known, but not built.
    Unsupported = 10,
    /// A callback of the caller reported an error.
    Callback = 11,
    /// A bug inside; caught at the door.
    Panic = 12,
    /// The program asked for the end of the call.
    Interrupted = 13,
}

/// An error: a kind, the op it happened in, a message, and up to two shapes.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

type Sizes = SmallVec<[usize; 5]>;

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    op: String,
    message: String,
    shapes: Option<(Sizes, Sizes)>,
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A new error of `kind` in `op` (may be empty).
    #[cold]
    pub fn new(kind: Kind, op: impl Into<String>, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, op: op.into(), message: message.into(), shapes: None }))
    }

    /// A shape error that carries both shapes.
    #[cold]
    pub fn shapes(op: impl Into<String>, message: impl Into<String>, lhs: &[usize], rhs: &[usize]) -> Self {
        let mut e = Self::new(Kind::Shape, op, message);
        e.0.shapes = Some((Sizes::from_slice(lhs), Sizes::from_slice(rhs)));
        e
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The name of the op, or "".
    pub fn op(&self) -> &str {
        &self.0.op
    }

    /// Both shapes, where the error is about two of them.
    pub fn both_shapes(&self) -> Option<(&[usize], &[usize])> {
        self.0.shapes.as_ref().map(|(a, b)| (a.as_slice(), b.as_slice()))
    }

    /// Says in which op it happened.
    pub fn set_op(&mut self, op: &str) {
        self.0.op = op.to_string();
    }

    /// The same error with the op's name filled in where it had none.
    pub fn in_op(mut self, op: &str) -> Self {
        if self.0.op.is_empty() {
            self.0.op = op.to_string();
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.op.is_empty() {
            f.write_str(&self.0.message)
        } else {
            write!(f, "{}: {}", self.0.op, self.0.message)
        }
    }
}

impl std::error::Error for Error {}

/// `err!(Kind, "format", ...)`: an [`Error`] without an op name; the funnel fills that in.
#[macro_export]
macro_rules! err {
    ($kind:ident, $($fmt:tt)*) => {
        $crate::error::Error::new($crate::error::Kind::$kind, "", format!($($fmt)*))
    };
}

/// Returns an [`err!`] early.
#[macro_export]
macro_rules! bail {
    ($kind:ident, $($fmt:tt)*) => { return Err($crate::err!($kind, $($fmt)*)) };
}
