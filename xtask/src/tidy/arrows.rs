//! Which crate may import which.
//!
//! The table is the architecture: a crate that needs another arrow needs a decision (docs/adr/), not a line in a
//! manifest. Test doubles are for tests, so `piton-testkit` may be nobody's normal dependency.

use super::finding::Finding;
use super::packages::{Kind, Packages};

const RULE: &str = "arrows";

/// What a crate may import of this workspace.
#[derive(Clone, Copy)]
enum May {
    /// These only.
    Import(&'static [&'static str]),
    /// Everything but these.
    ImportAllBut(&'static [&'static str]),
}

const TABLE: &[(&str, May)] = &[
    ("piton-model", May::Import(&[])),
    ("piton-cron", May::Import(&[])),
    ("piton-gotmpl", May::Import(&[])),
    ("piton-tools", May::Import(&[])),
    ("piton-keeper", May::Import(&[])),
    ("piton-api", May::Import(&[])),
    ("piton-vault", May::Import(&[])),
    ("piton-provision", May::Import(&["piton-model", "piton-logs"])),
    ("piton-scaffold", May::Import(&["piton-model", "piton-gotmpl"])),
    ("piton-auth", May::Import(&["piton-model"])),
    ("piton-forge", May::Import(&["piton-model"])),
    ("piton-broker", May::Import(&["piton-model"])),
    ("piton-spec", May::Import(&["piton-model", "piton-cron"])),
    ("piton-logs", May::Import(&["piton-model"])),
    ("piton-process", May::Import(&["piton-model", "piton-logs", "piton-keeper"])),
    ("piton-supervisor", May::Import(&["piton-model", "piton-keeper", "piton-logs", "piton-process"])),
    ("piton-store", May::Import(&["piton-model", "piton-vault"])),
    ("piton-engine", May::Import(&["piton-model", "piton-cron", "piton-spec", "piton-store"])),
    ("piton-exec", May::Import(&["piton-model", "piton-logs", "piton-process", "piton-tools", "piton-vault"])),
    (
        "piton-jobs",
        May::Import(&[
            "piton-model",
            "piton-engine",
            "piton-store",
            "piton-vault",
            "piton-spec",
            "piton-exec",
            "piton-tools",
            "piton-logs",
            "piton-process",
            "piton-keeper",
            "piton-supervisor",
        ]),
    ),
    (
        "piton-server",
        May::Import(&[
            "piton-model",
            "piton-api",
            "piton-auth",
            "piton-vault",
            "piton-engine",
            "piton-store",
            "piton-logs",
            "piton-spec",
            "piton-cron",
            "piton-exec",
            "piton-tools",
            "piton-supervisor",
        ]),
    ),
    ("piton", May::ImportAllBut(&["piton-testkit", "xtask"])),
    ("piton-testkit", May::ImportAllBut(&["piton", "xtask"])),
    ("piton-bench", May::ImportAllBut(&["piton", "xtask"])),
    ("xtask", May::Import(&[])),
];

pub fn check(packages: &Packages) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &packages.members {
        let Some((_, may)) = TABLE.iter().find(|(name, _)| name == member) else {
            findings.push(Finding::about(RULE, member, "a new crate: add its arrows to xtask/src/tidy/arrows.rs"));
            continue;
        };
        for (target, kind) in packages.of_package(member) {
            let internal = packages.members.contains(target);
            if internal && kind != Kind::Dev && !may.import(target) {
                findings.push(Finding::about(RULE, member, format!("must not depend on {target}")));
            }
        }
    }
    findings
}

impl May {
    fn import(self, target: &str) -> bool {
        match self {
            May::Import(allowed) => allowed.contains(&target),
            May::ImportAllBut(denied) => !denied.contains(&target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBERS: &[&str] = &["piton", "piton-model", "piton-store", "piton-testkit"];

    #[test]
    fn an_arrow_of_the_table_passes() {
        let packages = Packages::of(
            MEMBERS,
            &[
                ("piton-store", "piton-model", Kind::Normal),
                ("piton-store", "serde", Kind::Normal),
                ("piton-store", "piton-testkit", Kind::Dev),
                ("piton", "piton-store", Kind::Normal),
            ],
        );
        assert_eq!(check(&packages), []);
    }

    #[test]
    fn any_other_arrow_fails() {
        let packages = Packages::of(
            MEMBERS,
            &[
                ("piton-model", "piton-store", Kind::Normal),
                ("piton-model", "piton-store", Kind::Dev),
                ("piton-store", "piton", Kind::Build),
                ("piton", "piton-testkit", Kind::Normal),
                ("piton-testkit", "piton", Kind::Normal),
            ],
        );
        let expected = [
            ("piton", "piton-testkit"),
            ("piton-model", "piton-store"),
            ("piton-store", "piton"),
            ("piton-testkit", "piton"),
        ]
        .map(|(from, to)| Finding::about(RULE, from, format!("must not depend on {to}")));
        assert_eq!(check(&packages), expected);
    }

    #[test]
    fn a_crate_without_arrows_fails() {
        assert_eq!(check(&Packages::of(&["piton-surprise"], &[])).len(), 1);
    }
}
