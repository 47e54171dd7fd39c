//! What can be wrong with a template, in Go's words.

use thiserror::Error;

use crate::limits::Limit;
use crate::quote::quote;

/// A text that is no template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("template: {name}:{line}: {message}")]
pub struct ParseError {
    /// The name that was given to the text.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// Why a rendering stopped. What had been written by then stays written.
#[derive(Debug, Error)]
pub enum ExecError {
    /// The template and the data do not fit, or a function refused.
    #[error("template: {place}: executing {} at <{context}>: {message}", quote(template.as_bytes()))]
    Failed {
        /// Where in which text.
        place: Place,
        /// The template that was being executed.
        template: String,
        /// The piece of the template, as Go prints it.
        context: String,
        /// What is wrong.
        message: String,
    },
    /// There is no template of that name.
    #[error("template: no template {} associated with template {}", quote(name.as_bytes()), quote(of.as_bytes()))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        of: String,
    },
    /// The rendering took more than it may.
    #[error("template: {place}: executing {} at <{context}>: {limit}", quote(template.as_bytes()))]
    Limit {
        /// Where in which text.
        place: Place,
        /// The template that was being executed.
        template: String,
        /// The piece of the template.
        context: String,
        /// What there was too much of.
        limit: Limit,
    },
    /// The output could not be written.
    #[error("cannot write the output of the template: {0}")]
    Write(#[from] std::io::Error),
}

/// A place in the text of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name that was given to the text.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 0 as Go counts it.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}:{}", self.name, self.line, self.column)
    }
}
