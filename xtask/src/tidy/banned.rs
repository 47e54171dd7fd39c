//! Crates that must not become part of the product. `deny.toml` says the same to cargo-deny, which needs the network.

use std::collections::{BTreeMap, VecDeque};

use super::finding::Finding;
use super::packages::{Kind, Packages};

const RULE: &str = "banned";

/// Banned wherever they come from, as everything that ships or builds what ships is searched.
const ANYWHERE: &[(&str, &str)] = &[
    ("openssl", "TLS is rustls with ring: no system library, no second TLS"),
    ("openssl-sys", "TLS is rustls with ring: no system library, no second TLS"),
    ("native-tls", "TLS is rustls with ring: no system library, no second TLS"),
    ("aws-lc-rs", "needs cmake and minutes to build; rustls uses ring"),
    ("aws-lc-sys", "needs cmake and minutes to build; rustls uses ring"),
    ("cmake", "building Piton needs cargo and a C compiler, nothing else"),
    ("git2", "git is called as a program, so that credentials and transports are the user's own"),
    ("libgit2-sys", "git is called as a program, so that credentials and transports are the user's own"),
    ("serde_yaml", "archived; serde-saphyr reads YAML"),
    ("serde_yml", "an unsound fork; serde-saphyr reads YAML"),
    ("cron", "schedules are piton-cron, which is right across daylight saving"),
    ("diesel", "the store is sqlx with one SQL text"),
    ("tonic", "the API is HTTP and JSON"),
];

/// Banned as a dependency of our own crates; what others do inside is theirs.
const DIRECTLY: &[(&str, &str)] = &[("chrono", "time is jiff"), ("time", "time is jiff")];

pub fn check(packages: &Packages) -> Vec<Finding> {
    let reached_through = reach(packages);
    let mut findings = Vec::new();
    for (name, reason) in ANYWHERE {
        if reached_through.contains_key(name) {
            let chain = chain(&reached_through, name);
            findings.push(Finding::about(RULE, chain[0], format!("{}: {reason}", chain.join(" -> "))));
        }
    }
    for member in &packages.members {
        for (target, _) in packages.of_package(member) {
            if let Some((_, reason)) = DIRECTLY.iter().find(|(name, _)| *name == target) {
                findings.push(Finding::about(RULE, member, format!("depends on {target}: {reason}")));
            }
        }
    }
    findings
}

/// Breadth first from the members over normal and build dependencies: each package with the one that led to it.
fn reach(packages: &Packages) -> BTreeMap<&str, Option<&str>> {
    let mut through: BTreeMap<&str, Option<&str>> =
        packages.members.iter().map(|member| (member.as_str(), None)).collect();
    let mut queue: VecDeque<&str> = through.keys().copied().collect();
    while let Some(package) = queue.pop_front() {
        for (target, kind) in packages.of_package(package) {
            if kind != Kind::Dev && !through.contains_key(target) {
                through.insert(target, Some(package));
                queue.push_back(target);
            }
        }
    }
    through
}

fn chain<'a>(through: &BTreeMap<&'a str, Option<&'a str>>, to: &'a str) -> Vec<&'a str> {
    let mut chain: Vec<&str> =
        std::iter::successors(Some(to), |package| through.get(package).copied().flatten()).collect();
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_crate_is_found_with_the_way_to_it() {
        let packages = Packages::of(
            &["piton-tools"],
            &[("piton-tools", "reqwest", Kind::Normal), ("reqwest", "native-tls", Kind::Normal)],
        );
        let findings = check(&packages);
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].to_string().contains("piton-tools -> reqwest -> native-tls: TLS is rustls"),
            "{findings:?}"
        );
    }

    #[test]
    fn test_dependencies_are_not_the_product() {
        let packages = Packages::of(&["piton-tools"], &[("piton-tools", "openssl", Kind::Dev)]);
        assert_eq!(check(&packages), []);
    }

    #[test]
    fn some_crates_are_banned_directly_only() {
        let below = Packages::of(&["piton"], &[("piton", "x", Kind::Normal), ("x", "chrono", Kind::Normal)]);
        assert_eq!(check(&below), []);
        let direct = Packages::of(&["piton"], &[("piton", "chrono", Kind::Normal)]);
        assert_eq!(check(&direct), [Finding::about(RULE, "piton", "depends on chrono: time is jiff")]);
    }
}
