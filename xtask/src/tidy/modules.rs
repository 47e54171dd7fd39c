//! No forgotten files: a source file that no module declares compiles never and tests nothing.
//!
//! Integration tests are one binary per crate, `tests/it/main.rs`: each further binary costs a link of the whole crate.

use std::collections::BTreeSet;

use super::finding::Finding;
use crate::repository::Repository;
use crate::rust_text::{RustText, words};

const RULE: &str = "modules";

pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in repository.rust() {
        let parts: Vec<&str> = path.split('/').collect();
        match place(&parts) {
            Place::Root => {}
            Place::Extra => findings.push(Finding::about(
                RULE,
                path,
                "a second test binary: make it a module of tests/it/main.rs, next to the others",
            )),
            Place::Module { name, parents } => {
                let declared =
                    parents.iter().filter_map(|parent| repository.text(parent)).any(|parent| declares(parent, name));
                if !declared {
                    let parents = parents.into_iter().collect::<Vec<_>>().join(" or ");
                    findings.push(Finding::about(RULE, path, format!("forgotten: no `mod {name};` in {parents}")));
                }
            }
            Place::Elsewhere => {}
        }
    }
    findings
}

enum Place<'a> {
    /// cargo finds it by its name.
    Root,
    /// cargo finds it by its name, but should not.
    Extra,
    /// A module, which one of these files must declare.
    Module { name: &'a str, parents: BTreeSet<String> },
    /// Examples, benches, build scripts, fixtures.
    Elsewhere,
}

fn place<'a>(parts: &[&'a str]) -> Place<'a> {
    let Some(base) = parts.iter().position(|part| matches!(*part, "src" | "tests")) else { return Place::Elsewhere };
    let inside = &parts[base + 1..];
    let root = parts[..=base].join("/");
    match (parts[base], inside) {
        ("src", ["main.rs" | "lib.rs"] | ["bin", _] | ["bin", _, "main.rs"]) => Place::Root,
        ("tests", ["it", "main.rs"]) => Place::Root,
        ("tests", [_]) => Place::Extra,
        ("tests", ["it", rest @ ..]) => module(&format!("{root}/it"), &["main.rs"], rest),
        ("src", ["bin", binary, rest @ ..]) => module(&format!("{root}/bin/{binary}"), &["main.rs"], rest),
        ("src", rest) => module(&root, &["lib.rs", "main.rs"], rest),
        _ => Place::Elsewhere,
    }
}

/// The module at `rest` below `root`, whose own file is one of `roots`.
fn module<'a>(root: &str, roots: &[&str], rest: &[&'a str]) -> Place<'a> {
    let (directories, name) = match rest {
        [directories @ .., name, "mod.rs"] => (directories, *name),
        [directories @ .., file] => (directories, file.trim_end_matches(".rs")),
        [] => return Place::Elsewhere,
    };
    let parents = if directories.is_empty() {
        roots.iter().map(|file| format!("{root}/{file}")).collect()
    } else {
        let parent = format!("{root}/{}", directories.join("/"));
        BTreeSet::from([format!("{parent}.rs"), format!("{parent}/mod.rs")])
    };
    Place::Module { name, parents }
}

fn declares(text: &str, name: &str) -> bool {
    let code = RustText::split(text).code;
    words(&code, &format!("mod {name}")).any(|at| {
        let after = code[at..].trim_start_matches("mod ").trim_start_matches(name).trim_start();
        after.starts_with(';')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn declared_files_pass() {
        let repository = Repository::of(&[
            ("crates/a/src/lib.rs", "pub mod b;\nmod c;"),
            ("crates/a/src/b.rs", ""),
            ("crates/a/src/c/mod.rs", "pub(crate) mod d;"),
            ("crates/a/src/c/d.rs", "#[cfg(test)]\nmod tests;"),
            ("crates/a/src/c/d/tests.rs", ""),
            ("crates/a/src/bin/tool.rs", ""),
            ("crates/a/tests/it/main.rs", "mod x;"),
            ("crates/a/tests/it/x.rs", ""),
            ("crates/a/examples/free.rs", ""),
        ]);
        assert_eq!(check(&repository), []);
    }

    #[test]
    fn forgotten_files_fail() {
        let repository = Repository::of(&[
            ("crates/a/src/lib.rs", "// mod b;\nmod bc;\nmod d {}"),
            ("crates/a/src/b.rs", ""),
            ("crates/a/src/bc.rs", ""),
            ("crates/a/src/d.rs", ""),
            ("crates/a/tests/it/main.rs", "const X: &str = \"mod x;\";"),
            ("crates/a/tests/it/x.rs", ""),
            ("crates/a/tests/it/y/z.rs", ""),
        ]);
        assert_eq!(
            places(&check(&repository)),
            ["crates/a/src/b.rs:0", "crates/a/src/d.rs:0", "crates/a/tests/it/x.rs:0", "crates/a/tests/it/y/z.rs:0"]
        );
    }

    #[test]
    fn a_second_test_binary_fails() {
        let repository = Repository::of(&[("crates/a/tests/slow.rs", "")]);
        assert_eq!(places(&check(&repository)), ["crates/a/tests/slow.rs:0"]);
    }
}
