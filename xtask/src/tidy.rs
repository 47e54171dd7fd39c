//! `cargo xtask tidy`: the house rules that neither rustc nor clippy can check, stated once and enforced.
//!
//! Each rule is a pure function from the repository's files or the package graph to findings, with a test that shows
//! it failing. Rules read, they never write. STYLE.md says the same to people, with the reasons.

mod arrows;
mod banned;
mod crate_docs;
mod finding;
mod links;
mod modules;
mod names;
mod packages;
mod paths;
mod queries;
mod sizes;
mod sql;
mod unfinished;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use self::finding::Finding;
use self::packages::Packages;
use crate::repository::Repository;

/// Rules over the text of files.
const FILE_RULES: &[fn(&Repository) -> Vec<Finding>] = &[
    crate_docs::check,
    links::check,
    modules::check,
    names::check,
    paths::check,
    queries::check,
    sizes::check,
    sql::check,
    unfinished::check,
];

/// Rules over the graph of packages.
const PACKAGE_RULES: &[fn(&Packages) -> Vec<Finding>] = &[arrows::check, banned::check];

/// Checks this checkout and prints what is wrong with it.
pub fn run() -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent directory")?;
    let repository = Repository::read(root)?;
    let packages = Packages::read(root)?;

    let mut findings: Vec<Finding> = FILE_RULES.iter().flat_map(|rule| rule(&repository)).collect();
    findings.extend(PACKAGE_RULES.iter().flat_map(|rule| rule(&packages)));
    findings.sort();

    let mut out = std::io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    let rules = FILE_RULES.len() + PACKAGE_RULES.len();
    writeln!(out, "tidy: {} files, {rules} rule groups, {} findings", repository.len(), findings.len())?;
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
