//! Why something with a template did not work.

use std::io;
use std::path::{Path, PathBuf};

use piton_model::Name;

use crate::{git, tree};

/// Why something with a template did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such template.
    #[error("template '{name}' not found")]
    Unknown {
        /// What was asked for.
        name: Name,
        /// Templates of a similar name.
        nearest: Vec<String>,
    },
    /// There is one of that name already.
    #[error("template '{name}' already exists")]
    NameTaken {
        /// The name.
        name: Name,
    },
    /// It is registered, and its files are gone.
    #[error("the files of template '{name}' are missing: {} is no directory", path.display())]
    FilesMissing {
        /// The template.
        name: Name,
        /// Where they should be.
        path: PathBuf,
    },
    /// The repository has no such directory.
    #[error("the repository has no directory `{path}`")]
    PathNotFound {
        /// What was asked for.
        path: String,
        /// Directories that hold code.
        directories: Vec<String>,
    },
    /// The template holds something that may not be copied.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// A registered template holds something that may not be copied.
    #[error("template '{name}': {source}")]
    TreeOf {
        /// The template.
        name: Name,
        /// What it is.
        source: tree::Error,
    },
    /// Fetching did not work.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// The registry is not readable.
    #[error("{}: {source}", path.display())]
    Registry {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// The tool could not be asked.
    #[error("template validation failed: {problem}")]
    Tool {
        /// Why.
        problem: String,
    },
    /// The system said no.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which path.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A bug.
    #[error("a task of Piton's own failed: {problem}")]
    Internal {
        /// What is known.
        problem: String,
    },
}

impl Error {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    }

    pub(super) fn of_tree(name: Name, source: tree::Error) -> Error {
        Error::TreeOf { name, source }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Unknown { .. } => "template_not_found",
            Error::NameTaken { .. } => "template_exists",
            Error::FilesMissing { .. } => "template_files_missing",
            Error::PathNotFound { .. } => "template_path_not_found",
            Error::Tree(source) | Error::TreeOf { source, .. } => match source {
                tree::Error::Unsafe { .. } => "template_unsafe_entry",
                tree::Error::InTheWay { .. } => "layout_blocked",
                tree::Error::Io { .. } => "io_error",
            },
            Error::Git(source) => source.code(),
            Error::Registry { .. } => "registry_invalid",
            Error::Tool { .. } => "template_validation_failed",
            Error::Io { .. } => "io_error",
            Error::Internal { .. } => "internal",
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Unknown { nearest, .. } if !nearest.is_empty() => {
                Some(format!("did you mean `{}`?", nearest.join("`, `")))
            }
            Error::Unknown { .. } => {
                Some("`templatectl list` shows all templates, `templatectl add` adds one".to_owned())
            }
            Error::NameTaken { name } => {
                Some(format!("`templatectl update {name}` fetches it again, `templatectl remove {name}` makes room"))
            }
            Error::FilesMissing { name, .. } => Some(format!("`templatectl update {name}` fetches them again")),
            Error::PathNotFound { directories, .. } if !directories.is_empty() => {
                let some: Vec<&str> = directories.iter().take(8).map(String::as_str).collect();
                Some(format!("directories with code: {}", some.join(", ")))
            }
            Error::Tree(tree::Error::Unsafe { .. }) | Error::TreeOf { source: tree::Error::Unsafe { .. }, .. } => {
                Some("templates may hold files, directories, and links to either that stay inside".to_owned())
            }
            Error::Git(source) => source.hint(),
            Error::Registry { .. } => Some("repair the file; the templates' directories are beside it".to_owned()),
            Error::PathNotFound { .. }
            | Error::Tree(_)
            | Error::TreeOf { .. }
            | Error::Tool { .. }
            | Error::Io { .. }
            | Error::Internal { .. } => None,
        }
    }
}
