//! Go's `text/template` language with the functions of sprig.
//!
//! # Purpose
//!
//! [`Template::parse`] compiles a text, [`Template::render`] runs it over a [`Value`] and writes what Go would write,
//! byte for byte, up to the texts of errors. Scaffolds that were made for Go's tools render the same here.
//!
//! # Theory of operation
//!
//! A lexer cuts the text, a recursive parser makes a tree in which functions are already found, and an evaluator walks
//! the tree. Text is bytes behind a counted pointer, so constants and fields are never copied. Values know the type they
//! would have in Go, since `%T`, comparisons and messages show it. Functions are checked against their [`Signature`]s
//! before they are called. [`Functions::sprig`] adds sprig's; what they know of the world is in [`Surroundings`].
//!
//! # Invariants
//!
//! * No text and no data panics or overflows the stack; trees, calls and values have a greatest depth.
//! * A rendering ends within its [`Limits`]: steps, output, memory, depth, and whenever the caller says so.
//! * Without functions of others, the same template, data and surroundings give the same output. Maps are walked in the
//!   order of their keys, in sprig's `keys` and `values` too, where Go leaves it to chance.
//! * A map never contains itself.
//!
//! # Deliberately absent
//!
//! Functions in data (`call`), channels, structs and pointers, of which there are none in JSON. `env`, `expandenv` and
//! `getHostByName`, which would tell templates about the machine, and sprig's makers of keys and certificates. Parsed
//! comments. The escaping of `html/template`.

mod builtin;
mod complex;
mod error;
mod exec;
mod format;
mod function;
mod limits;
mod number;
mod quote;
mod sprig;
mod syntax;
mod template;
mod text;
mod unicode;
mod value;

pub use error::{ExecError, ParseError, Place};
pub use format::sprintf;
pub use function::{FunctionError, Functions, Outcome, Signature};
pub use limits::{Interrupt, Limit, Limits, Meter};
pub use sprig::{Clock, RandomBytes, Surroundings};
pub use template::{MissingKey, Options, Template};
pub use text::Text;
pub use value::{Element, List, Map, Method, Object, Type, Value};
