//! Where a template stands, for messages.

use piton_gotmpl::Place;

use crate::error::Problem;

/// Where a template stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is the content of a file.
    File(String),
    /// It is in the path of a file.
    Path(String),
    /// It is the target of a link.
    Target(String),
    /// It says whether files are wanted.
    Condition {
        /// The declaration.
        file: &'static str,
        /// Which files.
        pattern: String,
    },
    /// It is the default of a value.
    Default {
        /// The declaration.
        file: &'static str,
        /// Which value.
        value: String,
    },
    /// It was handed over as it is.
    Text,
}

impl Origin {
    /// A name that no other template has. Files have their path, by which templates include them.
    pub(crate) fn name(&self) -> String {
        match self {
            Origin::File(path) => path.clone(),
            Origin::Path(path) => format!("\0path {path}"),
            Origin::Target(path) => format!("\0target {path}"),
            Origin::Condition { pattern, .. } => format!("\0when {pattern}"),
            Origin::Default { value, .. } => format!("\0default {value}"),
            Origin::Text => "template".to_owned(),
        }
    }

    /// Says where the problem is. `place` is what the engine says, if it does.
    pub(crate) fn tell(&self, mut problem: Problem, place: Option<Place>) -> Problem {
        match (self, place) {
            (_, Some(place)) if place.name != self.name() && !place.name.starts_with('\0') => {
                // In a partial.
                problem.line = Some(place.line);
                problem.column = Some(place.column + 1);
                problem.file(place.name)
            }
            (Origin::File(_) | Origin::Text, place) => {
                if let Some(place) = place {
                    problem.line = Some(place.line);
                    problem.column = Some(place.column + 1);
                }
                problem.file(self.name())
            }
            (Origin::Path(path), _) => problem.file(path.clone()).field("path"),
            (Origin::Target(path), _) => problem.file(path.clone()).field("target of the link"),
            (Origin::Condition { file, pattern }, _) => problem.file(*file).field(format!("files.when.{pattern:?}")),
            (Origin::Default { file, value }, _) => problem.file(*file).field(format!("values.{value}.default")),
        }
    }
}
