//! Nothing of one machine in the repository: no home directories, no fixed ports in tests.

use super::finding::Finding;
use crate::repository::{Repository, extension};
use crate::rust_text::{RustText, line_of};

const RULE: &str = "paths";

/// Where people and build machines keep checkouts. Written in halves, so that this file passes its own rule.
const HOMES: &[&str] = &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

const FIXED_PORT: &str = "localhost:";

/// Files that may name such places, and why.
const EXEMPT: &[(&str, &str)] = &[];

pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.texts() {
        if path == "Cargo.lock" || EXEMPT.iter().any(|(exempt, _)| *exempt == path) {
            continue;
        }
        for home in HOMES {
            for (at, _) in text.match_indices(home) {
                if starts_path(text, at) {
                    let message = format!("`{home}` exists on some machines only: use a relative or temporary path");
                    findings.push(Finding::at(RULE, path, line_of(text, at), message));
                }
            }
        }
        // Elsewhere an address is data, such as a default; an integration test would connect to it.
        if extension(path) == "rs" && path.contains("/tests/") {
            let strings = RustText::split(text).strings;
            for (at, word) in strings.match_indices(FIXED_PORT) {
                if strings[at + word.len()..].starts_with(|next: char| next.is_ascii_digit() && next != '0') {
                    let message = "a fixed port may be taken: bind port 0 of 127.0.0.1 and ask which it became";
                    findings.push(Finding::at(RULE, path, line_of(&strings, at), message));
                }
            }
        }
    }
    findings
}

/// Does an absolute path begin here, rather than go on (`a/b`, `../b`, `$X/b`, `https://host/b`)?
fn starts_path(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    before.is_none_or(|before| !before.is_alphanumeric() && !matches!(before, '.' | '_' | '-' | '/' | '}' | ')' | '*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn home_directories_fail() {
        let [root, home, work, _] = HOMES else { panic!("the list has changed") };
        let text = format!("see\n{root}x\n`{home}me`\nPATH=$PATH:{work}bin\n");
        let fine = format!("artifacts{work}x https://example.org{home} $DIR{root}");
        let repository = Repository::of(&[("a.md", &text), ("b.md", &fine.replace("$DIR", "${DIR}"))]);
        assert_eq!(places(&check(&repository)), ["a.md:2", "a.md:3", "a.md:4"]);
    }

    #[test]
    fn fixed_ports_in_integration_tests_fail() {
        let code = concat!("let a = \"http://local", "host:8080\";\nlet b = \"local", "host:0\";");
        let repository = Repository::of(&[("a/tests/it/b.rs", code), ("a/src/b.rs", code), ("a/tests/it/a.md", code)]);
        assert_eq!(places(&check(&repository)), ["a/tests/it/b.rs:1"]);
    }
}
