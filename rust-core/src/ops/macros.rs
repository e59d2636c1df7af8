//! `ops!`: the grammar of the table. An entry reads
//!
//! ```text
//! /// What it computes.
//! name(arg: Kind = default, ...) -> Tensor, Domain { body: Elementwise(|c| ...), vjp: vjp!(|v| ...), saves: Saves::X, ... }
//! ```
//!
//! and becomes a static [`OpDef`](crate::table::OpDef) in `defs` and a Rust method of `Tensor` (or an associated function,
//! where the first argument is no tensor called `input`).

/// PyTorch's name of an entry: its identifier, but where Rust reserves that.
macro_rules! op_name {
    (duplicate) => {
        "clone"
    };
    (where_) => {
        "where"
    };
    ($name:ident) => {
        stringify!($name)
    };
}

/// The Rust method of one op.
macro_rules! op_method {
    ([$($doc:literal)*] $name:ident $out:ident; input Tensor $(, $a:ident $k:ident)*) => {
        impl $crate::tensor::Tensor {
            $(#[doc = $doc])*
            pub fn $name(&self $(, $a: arg_type!($k))*) -> op_method!(@type $out) {
                op_method!(@body $name $out, self, [$(($a $k))*])
            }
        }
    };
    // The short names of these belong to `convenience.rs`.
    ([$($doc:literal)*] empty $($rest:tt)*) => { op_method!(@function empty_with [$($doc)*] empty $($rest)*); };
    ([$($doc:literal)*] zeros $($rest:tt)*) => { op_method!(@function zeros_with [$($doc)*] zeros $($rest)*); };
    ([$($doc:literal)*] ones $($rest:tt)*) => { op_method!(@function ones_with [$($doc)*] ones $($rest)*); };
    ([$($doc:literal)*] full $($rest:tt)*) => { op_method!(@function full_with [$($doc)*] full $($rest)*); };
    ([$($doc:literal)*] rand $($rest:tt)*) => { op_method!(@function rand_with [$($doc)*] rand $($rest)*); };
    ([$($doc:literal)*] randn $($rest:tt)*) => { op_method!(@function randn_with [$($doc)*] randn $($rest)*); };
    ([$($doc:literal)*] eye $($rest:tt)*) => { op_method!(@function eye_with [$($doc)*] eye $($rest)*); };
    ([$($doc:literal)*] $name:ident $($rest:tt)*) => { op_method!(@function $name [$($doc)*] $name $($rest)*); };
    (@function $method:ident [$($doc:literal)*] $name:ident $out:ident; $($a:ident $k:ident),*) => {
        impl $crate::tensor::Tensor {
            $(#[doc = $doc])*
            pub fn $method($($a: arg_type!($k)),*) -> op_method!(@type $out) {
                op_method!(@body $name $out, , [$(($a $k))*])
            }
        }
    };
    (@type Tensor) => { $crate::error::Result<$crate::tensor::Tensor> };
    (@type $other:ident) => { $crate::error::Result<$crate::table::Outs> };
    (@call Tensor) => { $crate::funnel::call1 };
    (@call $other:ident) => { $crate::funnel::call };
    (@body $name:ident $out:ident, $($first:expr)?, [$(($a:ident $k:ident))*]) => {{
        #[allow(unused_mut)]
        let mut ins: smallvec::SmallVec<[Option<&$crate::tensor::Tensor>; 4]> = smallvec::SmallVec::new();
        #[allow(unused_mut)]
        let mut attrs: smallvec::SmallVec<[$crate::table::Attr; 4]> = smallvec::SmallVec::new();
        $(ins.push(Some($first));)?
        $(arg_push!($k, ins, attrs, $a);)*
        op_method!(@call $out)(&defs::$name, &ins, &attrs)
    }};
}

/// Declares the ops of one file.
macro_rules! ops {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident ( $($arg:ident : $kind:ident $(= $def:expr)?),* $(,)? ) -> $out:ident, $domain:ident {
            $($field:ident : $value:expr),* $(,)?
        }
    )*) => {
        /// The entries of this file.
        #[allow(non_upper_case_globals, unused_imports)]
        pub mod defs {
            use super::*;
            use $crate::table::Body::*;
            $(
                $(#[doc = $doc])+
                pub static $name: $crate::table::OpDef = {
                    const ARGS: &[$crate::table::ArgDef] = &[$($crate::table::ArgDef {
                        name: op_name!($arg),
                        kind: $crate::table::ArgKind::$kind,
                        default: { #[allow(unused_mut, unused_assignments)] let mut d = None; $(d = Some(stringify!($def));)? d },
                    }),*];
                    $crate::table::OpDef {
                        name: op_name!($name),
                        doc: concat!($($doc, "\n"),+),
                        args: ARGS,
                        signature: $crate::table::Signature::of(ARGS),
                        out: $crate::table::OutKind::$out,
                        domain: $crate::table::Domain::$domain,
                        $($field: $value,)*
                        ..$crate::table::OpDef::BASE
                    }
                };
            )*
        }
        /// The entries of this file, in order.
        pub static TABLE: &[&$crate::table::OpDef] = &[$(&defs::$name),*];
        $(op_method! { [$($doc)*] $name $out; $($arg $kind),* })*
    };
}

/// A gradient rule: a closure from the context to one expression, an array of them, or a `Grads`.
macro_rules! vjp {
    (|$v:ident| $body:expr) => {
        Some({
            fn rule($v: &$crate::table::Vjp) -> $crate::error::Result<$crate::table::Grads> {
                #[allow(unused_imports)]
                use $crate::table::lang::*;
                $crate::table::lang::IntoGrads::grads($body)
            }
            rule
        })
    };
}
