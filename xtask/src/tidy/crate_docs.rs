//! Every library opens with its purpose, theory of operation, invariants and what it deliberately lacks. Ten lines are
//! not a measure of that, but fewer cannot hold it.

use super::finding::Finding;
use crate::repository::Repository;

const RULE: &str = "crate-docs";

const LEAST: usize = 10;

/// Nobody learns the architecture from these.
const EXEMPT: &[&str] = &["crates/testkit/src/lib.rs"];

pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.rust() {
        let is_library = path.starts_with("crates/") && path.matches('/').count() == 3 && path.ends_with("/src/lib.rs");
        if !is_library || EXEMPT.contains(&path) {
            continue;
        }
        let lines = text.lines().take_while(|line| line.starts_with("//!")).count();
        if lines < LEAST {
            let message = format!(
                "opens with {lines} lines of `//!`, at least {LEAST}: purpose, theory of operation, invariants, what is absent"
            );
            findings.push(Finding::about(RULE, path, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn a_silent_library_fails() {
        let documented = "//! A line.\n".repeat(10);
        let repository = Repository::of(&[
            ("crates/a/src/lib.rs", &documented),
            ("crates/b/src/lib.rs", "//! B.\nfn b() {}\n"),
            ("crates/testkit/src/lib.rs", ""),
            ("crates/c/src/main.rs", ""),
        ]);
        assert_eq!(places(&check(&repository)), ["crates/b/src/lib.rs:0"]);
    }
}
