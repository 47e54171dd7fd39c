//! What can be wrong with a blueprint, an order or a rendering, and where.

use std::fmt;

use piton_model::{Failure, FailureClass};

/// What kind of trouble it is; decides what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// A file could not be read or written.
    Io,
    /// `blueprint.toml`, or what stands in its place, is wrong.
    Declaration,
    /// Something in the blueprint that no blueprint may hold: a link that leads out, a device.
    UnsafeEntry,
    /// A template that does not parse.
    Syntax,
    /// The values of the order are not what the blueprint asks for.
    Values,
    /// A template that could not be rendered over these values.
    Rendering,
    /// A file would land where none may: outside the tree, in `.git`, upon another.
    BadPath,
    /// A template takes too much work, memory or depth.
    Budget,
    /// There is more than [`Limits`](crate::Limits) allow: bytes, files.
    TooLarge,
    /// It took longer than it may.
    TimedOut,
    /// The caller wanted it to end.
    Interrupted,
}

impl Trouble {
    /// A stable word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Trouble::Io => "template_io",
            Trouble::Declaration => "template_declaration_invalid",
            Trouble::UnsafeEntry => "template_unsafe_entry",
            Trouble::Syntax => "template_invalid",
            Trouble::Values => "template_values_invalid",
            Trouble::Rendering => "template_failed",
            Trouble::BadPath => "template_bad_path",
            Trouble::Budget => "template_budget",
            Trouble::TooLarge => "template_too_large",
            Trouble::TimedOut => "template_timed_out",
            Trouble::Interrupted => "template_interrupted",
        }
    }

    fn class(self) -> FailureClass {
        match self {
            Trouble::Io => FailureClass::Transient,
            Trouble::TimedOut => FailureClass::TimedOut,
            Trouble::Interrupted => FailureClass::Interrupted,
            _ => FailureClass::Permanent,
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of trouble it is.
    pub trouble: Trouble,
    /// The file of the blueprint, by its path in it.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// The column in bytes, from 1.
    pub column: Option<u32>,
    /// The field of the declaration or of the order, such as `values.port`.
    pub field: Option<String>,
    /// What is wrong there.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(trouble: Trouble, message: impl Into<String>) -> Problem {
        let message = message.into();
        Problem { trouble, file: None, line: None, column: None, field: None, message, hint: None }
    }

    pub(crate) fn file(mut self, file: impl Into<String>) -> Problem {
        self.file = Some(file.into());
        self
    }

    pub(crate) fn field(mut self, field: impl Into<String>) -> Problem {
        self.field = Some(field.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// Adds line and column of a byte of `text`.
    pub(crate) fn at(mut self, text: &str, offset: usize) -> Problem {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        self.line = Some(before.split(|&byte| byte == b'\n').count() as u32);
        self.column = Some((before.len() - start) as u32 + 1);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(out, "{}", file.escape_debug())?;
            for number in [self.line, self.column].into_iter().flatten() {
                write!(out, ":{number}")?;
            }
            out.write_str(": ")?;
        }
        if let Some(field) = &self.field {
            write!(out, "{field}: ")?;
        }
        out.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(out, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Why there is no blueprint, or no tree. Tells all that was found, worst first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    first: Box<Problem>,
    others: Vec<Problem>,
}

impl Error {
    /// The problem that decides what can be done.
    pub fn first(&self) -> &Problem {
        &self.first
    }

    /// All of them.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&*self.first).chain(&self.others)
    }

    /// What kind of trouble it is.
    pub fn trouble(&self) -> Trouble {
        self.first.trouble
    }

    /// Nothing if there are no problems.
    pub(crate) fn of(problems: Vec<Problem>) -> Result<(), Error> {
        let mut problems = problems.into_iter();
        match problems.next() {
            Some(first) => Err(Error { first: Box::new(first), others: problems.collect() }),
            None => Ok(()),
        }
    }

    pub(crate) fn io(doing: &str, file: &str, error: &std::io::Error) -> Error {
        Problem::new(Trouble::Io, format!("cannot {doing}: {error}")).file(file).into()
    }
}

impl From<Problem> for Error {
    fn from(first: Problem) -> Error {
        Error { first: Box::new(first), others: Vec::new() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.first)?;
        for problem in &self.others {
            write!(out, "\n{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        let trouble = error.trouble();
        let message = Problem { hint: None, ..Problem::clone(&error.first) }.to_string();
        let message = match error.others.len() {
            0 => message,
            1 => format!("{message}, and 1 more problem"),
            more => format!("{message}, and {more} more problems"),
        };
        let failure = Failure::new(trouble.class(), trouble.code(), message);
        match &error.first.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
