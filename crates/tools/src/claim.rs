//! Who asks for which version, and where it is written.

use std::fmt;
use std::path::PathBuf;

/// Where a demand is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// Piton's own configuration, or a flag.
    Configuration,
    /// A file, with the line where it is known.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: Option<usize>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Configuration => f.write_str("the configuration"),
            Place::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Place::File { path, line: None } => write!(f, "{}", path.display()),
        }
    }
}

/// One demand, as it is shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The demand as it reads.
    pub text: String,
    /// Where it is written.
    pub place: Place,
}

impl Claim {
    /// The claims as a phrase.
    pub(crate) fn list(claims: &[Claim]) -> String {
        match claims {
            [] => "any version".to_owned(),
            claims => claims.iter().map(Claim::to_string).collect::<Vec<_>>().join(" and "),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.text, self.place)
    }
}
