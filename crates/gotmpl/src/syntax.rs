//! From text to trees.

pub(crate) mod lex;
pub(crate) mod literal;
pub(crate) mod node;
pub(crate) mod parse;
mod print;
pub(crate) mod token;
