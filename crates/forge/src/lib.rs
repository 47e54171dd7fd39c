//! Creates a repository at a forge and pushes its first commit, exactly once.
//!
//! # Purpose
//! A run that scaffolds a service ends with a repository in which the rendered files are. This crate sees to it that
//! there is one repository and one first commit, however often and wherever the run is cut off and begun again, and that
//! nothing of anybody else's is ever touched.
//!
//! # Theory of operation
//! Files become a [`Tree`], and a tree becomes a [`Commit`]: a pure function of the files, the author, the time at which
//! the run was created and the run's id, so that every try makes the same one. [`Forge::publish`] then does three
//! things, each of which looks before it acts:
//!
//! 1. [`Forge::ensure_repository`] looks the repository up, creates it where there is none, and looks again where
//!    somebody was faster. What is there is taken only if it is this run's: its description or a topic says
//!    `run:RUN_ID`, or its branch has the very commit that would be pushed.
//! 2. [`Forge::push`] speaks git's own protocol: over HTTP by itself, over SSH through `ssh`, to a directory through
//!    `git receive-pack`. It asks which branches there are, and sends one pack only if the branch is not there. The
//!    server refuses if the branch came into being meanwhile.
//! 3. [`Forge::finish`] sets topics and the default branch where a forge could not be told before.
//!
//! # Invariants
//! - A branch that exists is never changed, and a repository of others is never pushed to.
//! - The same input makes the same commit. Each of the three steps may be repeated at any time, after any failure; no
//!   error is therefore of the class "uncertain".
//! - Credentials go to the configured host and nowhere else: no redirect is followed, and no address that a forge
//!   gives leads away from it. They are in no argument of a program, no environment, no URL and no message.
//! - Link-local and metadata addresses are never connected to, nor what the [`Guard`](piton_model::guard::Guard) blocks beside.
//! - No path leads into `.git` on any file system, and no link out of the tree.
//! - What a server says is read up to a limit, and never panics.
//!
//! # Deliberately absent
//! Retries and a clock: an error says whether and when to come back ([`Error::class`], [`Error::retry_after`]).
//! Rendering of templates. Changes to a repository with a history, and deleting one. Taking protection off a branch.
#![warn(missing_docs)]

mod api;
mod commit;
mod error;
mod forge;
mod object;
mod pkt;
mod plain;
mod push;
mod reach;
mod remote;
mod repository;
mod tree;
mod wanted;
mod web;

pub use commit::{Commit, CommitError, Identity, TRAILER, Words};
pub use error::Error;
pub use forge::{Access, Forge, Kind, PRIVATE, Settings};
pub use object::{InvalidObjectId, ObjectId};
pub use push::SshKey;
pub use repository::{Published, Pushed, Repository};
pub use tree::{Entry, InvalidPath, Limits, Tree, TreeError, TreePath};
pub use wanted::{BranchName, InvalidName, Owner, RepositoryName, RunMark, Visibility, Wanted};
pub use web::Patience;
