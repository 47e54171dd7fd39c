//! Renders a blueprint, a tree of templates, into a tree of files.
//!
//! # Purpose
//! Whoever starts a project names a blueprint, a name and some values, and gets the files of the project: in memory, to
//! be committed, or in a fresh directory. The blueprint and the values may come from people who are mistaken or worse.
//!
//! # Theory of operation
//! [`Blueprint::load`] reads a directory once, without following links, and compiles what is a template: `*.tmpl` in
//! Go's `text/template` with sprig, `*.j2` in Jinja2; names of files and directories, conditions and defaults are
//! templates too. What `blueprint.toml` says is a [`Declaration`]; those of cookiecutter and copier are read as well.
//! [`Blueprint::render`] checks the values of an [`Order`] against it, renders everything over one set of data, checks
//! every resulting path, and returns a [`Tree`]. [`Cache`] keeps loaded blueprints as long as they are current.
//! [`eval`] renders one text.
//!
//! # Invariants
//! - A path of a [`Tree`] is relative, has no `..`, is nothing that git takes for its own, and is there once. A link of a
//!   tree leads to something in it. So a tree can be written into any directory without touching what lies outside.
//! - A rendering ends within its [`Limits`]: size, number of files, work, depth, time.
//! - The same blueprint, order and [`Surroundings`] give the same tree.
//! - Nothing of the blueprint is executed: no hooks, no extensions, no access to files, environment or network.
//!
//! # Deliberately absent
//! Fetching from git, which is a matter of git. Asking for values. The hooks, tasks and migrations of cookiecutter and
//! copier. Merging into files that exist.
#![warn(missing_docs)]

mod blueprint;
mod cache;
mod data;
mod declaration;
mod engine;
mod error;
mod glob;
mod limits;
mod links;
mod load;
mod path;
mod pointer;
mod source;
mod tree;
mod validate;
mod write;

pub use blueprint::{Blueprint, Settings};
pub use cache::{Cache, Commit};
pub use data::{Data, Meta, Order};
pub use declaration::{Declaration, Kind, Undeclared, ValueRule};
pub use engine::{Engine, Missing, eval};
pub use error::{Error, Problem, Trouble};
pub use limits::Limits;
pub use path::{BadPath, TargetPath};
pub use piton_gotmpl::{Interrupt, Surroundings};
pub use pointer::Pointer;
pub use tree::{Entry, Mode, Tree, Warning};
