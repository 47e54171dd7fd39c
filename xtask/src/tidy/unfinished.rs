//! Nothing unfinished is merged: no placeholder, no debugging print, no test that is skipped.
//!
//! One kind of ignored test is none: the body of a child process that another test starts, to kill it for example. Its
//! reason says so, `#[ignore = "… by name_of_the_test"]`, with a test of that name in the same file.

use super::finding::Finding;
use crate::repository::Repository;
use crate::rust_text::{RustText, line_of, words};

const RULE: &str = "unfinished";

const MARKS: &[(&str, &str)] = &[
    ("todo!", "finish it or leave it out"),
    ("unimplemented!", "finish it or leave it out"),
    ("dbg!", "remove it"),
    (IGNORE, "a test runs or does not exist; the body of another test's child says `by` which test it is run"),
];

const IGNORE: &str = "#[ignore";

pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.rust() {
        let split = RustText::split(text);
        for (mark, advice) in MARKS {
            for at in words(&split.code, mark) {
                if *mark != IGNORE || !is_run_by_another_test(&split, at) {
                    findings.push(Finding::at(RULE, path, line_of(&split.code, at), format!("`{mark}`: {advice}")));
                }
            }
        }
    }
    findings
}

/// Does the reason of the attribute at `at` end in the name of a function of this file?
fn is_run_by_another_test(text: &RustText, at: usize) -> bool {
    let end = text.code[at..].find(']').map_or(text.code.len(), |length| at + length);
    let reason = text.strings[at..end].trim();
    let runner = reason.rsplit_once(" by ").map_or("", |(_, name)| name);
    !runner.is_empty() && words(&text.code, &format!("fn {runner}")).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn marks_in_code_fail() {
        let repository = Repository::of(&[
            ("a.rs", "fn a() {\n    todo!()\n}\n#[ignore]\nfn b() { dbg!(1); }\n#[ignore = \"slow\"]\nfn c() {}"),
            ("b.rs", "// todo!()\nconst WORD: &str = \"unimplemented!\";\n#[ignored]\nfn d() {}"),
        ]);
        assert_eq!(places(&check(&repository)), ["a.rs:2", "a.rs:5", "a.rs:4", "a.rs:6"]);
    }

    #[test]
    fn the_child_of_another_test_may_be_ignored() {
        let repository = Repository::of(&[
            ("a.rs", "#[ignore = \"is run by the_parent\"]\nfn child() {}\nfn the_parent() {}"),
            ("b.rs", "#[ignore = \"is run by the_parent\"]\nfn child() {}\n// fn the_parent()"),
            ("c.rs", "#[ignore = \"is run by \"]\nfn child() {}"),
        ]);
        assert_eq!(places(&check(&repository)), ["b.rs:1", "c.rs:1"]);
    }
}
