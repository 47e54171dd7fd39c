//! How long a file may be. A file holds one idea; one that grows past this holds two.

use super::finding::Finding;
use crate::repository::Repository;

const RULE: &str = "sizes";

const LIMIT: usize = 600;
const TEST_LIMIT: usize = 900;

/// Files that may be longer, and why. An entry that is no longer needed fails too, so the list only shrinks.
const LONGER: &[(&str, &str)] = &[];

pub fn check(repository: &Repository) -> Vec<Finding> {
    judge(repository, LONGER)
}

fn judge(repository: &Repository, longer: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.rust() {
        let limit = if is_test(path) { TEST_LIMIT } else { LIMIT };
        let lines = text.lines().count();
        if lines > limit && !longer.iter().any(|(allowed, _)| *allowed == path) {
            findings.push(Finding::about(RULE, path, format!("{lines} lines, at most {limit}: split it by idea")));
        }
    }
    for (path, _) in longer {
        let limit = if is_test(path) { TEST_LIMIT } else { LIMIT };
        if repository.text(path).is_none_or(|text| text.lines().count() <= limit) {
            findings.push(Finding::about(RULE, path, "needs no exception any more: remove it from sizes.rs"));
        }
    }
    findings
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn long_files_fail_and_tests_may_be_longer() {
        let (fits, test, long) = ("\n".repeat(600), "\n".repeat(900), "\n".repeat(901));
        let repository = Repository::of(&[
            ("crates/a/src/fits.rs", &fits),
            ("crates/a/src/long.rs", &test),
            ("crates/a/tests/it/fits.rs", &test),
            ("crates/a/tests/it/long.rs", &long),
            ("crates/a/src/data.json", &long),
        ]);
        assert_eq!(places(&judge(&repository, &[])), ["crates/a/src/long.rs:0", "crates/a/tests/it/long.rs:0"]);
        let excused = [("crates/a/src/long.rs", "a table"), ("crates/a/tests/it/long.rs", "a table")];
        assert_eq!(judge(&repository, &excused), []);
    }

    #[test]
    fn a_stale_exception_fails() {
        let repository = Repository::of(&[("a.rs", "fn a() {}")]);
        assert_eq!(places(&judge(&repository, &[("a.rs", ""), ("gone.rs", "")])), ["a.rs:0", "gone.rs:0"]);
    }
}
