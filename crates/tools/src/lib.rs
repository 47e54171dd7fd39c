//! Chooses, downloads and verifies OpenTofu and Terraform.
//!
//! # Purpose
//!
//! Every run of infrastructure code needs one of two programs in a version that the code accepts. This crate finds the
//! program on PATH or among earlier downloads, or fetches it from the vendor or a mirror, and says why it chose what it
//! chose.
//!
//! # Theory of operation
//!
//! The choice is a pure function, [`choose`]: what is asked ([`Request`]), what is installed ([`Installed`]) and what
//! was released (a list of [`Version`]s) go in, a [`Choice`] comes out. [`pins`] and [`required`] read what is asked
//! from files, [`inventory`] finds what is installed. [`Manager`] is the thin shell that gathers the three, consults
//! the choice, and carries it out.
//!
//! Demands rank: explicit configuration, then the nearest version file, then nothing. Whatever `required_version` says
//! in the code holds in any case, because the tool itself would refuse to run otherwise.
//!
//! Only programs on PATH are ever asked for their version, and the answers are kept in `versions.json`. A run whose tool
//! is at hand starts no process and touches no network.
//!
//! # Invariants
//!
//! - A program in the cache is whole, and its archive's digest stood in a list that a trusted key signed.
//! - What fails verification is deleted, never run, and never replaced by another version unasked.
//! - Nothing is fetched in clear, except from this machine, and nothing at all from link-local addresses.
//! - Two installations of one version at once download it once.
//!
//! # Deliberately absent
//!
//! Running the tools (`exec` does), removing old versions (a person can delete a directory), key servers and any other
//! way to come to trust a key at run time, provider plugins, and retries: the caller knows better whether to try again,
//! and [`Error::is_transient`] tells it whether that may help.

mod address;
mod choose;
mod claim;
mod constraint;
mod error;
mod fetch;
mod index;
mod install;
pub mod inventory;
mod mirror;
mod per_tool;
pub mod pins;
mod probe;
pub mod required;
mod signature;
mod sums;
mod tool;
mod toolbox;
mod unpack;
mod version;
mod want;

pub use choose::{Choice, Reason, Request, Verdict, choose, decide, pick_tool};
pub use claim::{Claim, Place};
pub use constraint::{Constraint, Constraints, InvalidConstraint, Operator, Reading};
pub use error::Error;
pub use fetch::Patience;
pub use install::{Limits, Progress};
pub use inventory::{Broken, Found, Installed, Inventory};
pub use mirror::{Authorization, Endpoint, Mirror, Source};
pub use per_tool::PerTool;
pub use pins::Pin;
pub use required::Required;
pub use signature::Keyring;
pub use tool::{Platform, Tool, ToolChoice, UnknownTool};
pub use toolbox::{Config, Manager, Preference};
pub use version::{InvalidVersion, Version};
pub use want::{Pattern, Want};
