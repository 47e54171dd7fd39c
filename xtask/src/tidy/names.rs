//! Names that say nothing. A module is a noun of the domain or a verb of the engine; a drawer for odds and ends is
//! where the next odd end goes.

use super::finding::Finding;
use crate::repository::Repository;
use crate::rust_text::{RustText, line_of, words};

const RULE: &str = "names";

const EMPTY: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "manager", "managers", "types", "misc", "shared", "stuff"];

pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.rust() {
        let mut parts = path.split('/').map(|part| part.trim_end_matches(".rs"));
        if let Some(part) = parts.find(|part| EMPTY.contains(part)) {
            findings.push(Finding::about(RULE, path, format!("`{part}` says nothing: name the idea")));
        }
        let code = RustText::split(text).code;
        for name in EMPTY {
            // Declarations of files are reported by the file's path above.
            for at in words(&code, &format!("mod {name}")) {
                if code[at + "mod ".len() + name.len()..].trim_start().starts_with('{') {
                    let line = line_of(&code, at);
                    findings.push(Finding::at(
                        RULE,
                        path,
                        line,
                        format!("module `{name}` says nothing: name the idea"),
                    ));
                }
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
    fn drawers_fail() {
        let repository = Repository::of(&[
            ("crates/a/src/utils.rs", ""),
            ("crates/a/src/common/b.rs", ""),
            ("crates/a/src/lib.rs", "mod utils;\nmod common;\nmod misc {\n}\nmod communes { }"),
            ("crates/a/src/types_of_rock.rs", "// mod misc {"),
        ]);
        assert_eq!(
            places(&check(&repository)),
            ["crates/a/src/common/b.rs:0", "crates/a/src/lib.rs:3", "crates/a/src/utils.rs:0"]
        );
    }
}
