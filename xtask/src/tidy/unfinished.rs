//! Nothing unfinished is merged: no placeholder, no debugging print, no test that is skipped.

use super::finding::Finding;
use crate::repository::Repository;
use crate::rust_text::{RustText, line_of, words};

const RULE: &str = "unfinished";

const MARKS: &[(&str, &str)] = &[
    ("todo!", "finish it or leave it out"),
    ("unimplemented!", "finish it or leave it out"),
    ("dbg!", "remove it"),
    ("#[ignore", "a test runs or does not exist"),
];

pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.rust() {
        let code = RustText::split(text).code;
        for (mark, advice) in MARKS {
            for at in words(&code, mark) {
                findings.push(Finding::at(RULE, path, line_of(&code, at), format!("`{mark}`: {advice}")));
            }
        }
    }
    findings
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
}
