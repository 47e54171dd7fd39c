//! Links between Markdown files lead somewhere.

use super::finding::Finding;
use crate::repository::{Repository, extension};

const RULE: &str = "links";

pub fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repository.texts().filter(|(path, _)| extension(path) == "md") {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        for (line, target) in targets(text) {
            let Some(file) = local_file(target) else { continue };
            match resolve(directory, file) {
                Some(resolved) if repository.contains(&resolved) => {}
                Some(_) => findings.push(Finding::at(RULE, path, line, format!("`{target}` does not exist"))),
                None => findings.push(Finding::at(RULE, path, line, format!("`{target}` leads out of the repository"))),
            }
        }
    }
    findings
}

/// Targets of inline links and link definitions with their lines, code left out.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if start.starts_with("```") || start.starts_with("~~~") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        // Outside code spans only: every other piece between backticks.
        for piece in line.split('`').step_by(2) {
            for (at, opening) in piece.match_indices("](") {
                let rest = &piece[at + opening.len()..];
                targets.push((number + 1, &rest[..rest.find(')').unwrap_or(rest.len())]));
            }
        }
        if let Some((_, target)) = start.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            targets.push((number + 1, target));
        }
    }
    targets
}

/// The file a target names, without title and anchor; none for another site or this very page.
fn local_file(target: &str) -> Option<&str> {
    let target = target.split_whitespace().next()?.trim_matches(['<', '>']);
    let file = target.split('#').next()?;
    (!file.is_empty() && !file.contains(':')).then_some(file)
}

fn resolve(directory: &str, file: &str) -> Option<String> {
    let mut parts: Vec<&str> = if file.starts_with('/') { Vec::new() } else { directory.split('/').collect() };
    parts.retain(|part| !part.is_empty());
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::places;

    #[test]
    fn dead_links_fail() {
        let text = "[a](b.md) [b](../src) [c](https://example.org/x) [d](#here) [e](b.md#there \"title\")\n\
            [f](gone.md)\n`[g](code.md)`\n```\n[h](fenced.md)\n```\n[i](../../outside.md)\n[j]: gone2.md\n[k](/docs/b.md)\n";
        let repository = Repository::of(&[("docs/a.md", text), ("docs/b.md", ""), ("src/lib.rs", "")]);
        assert_eq!(places(&check(&repository)), ["docs/a.md:2", "docs/a.md:7", "docs/a.md:8"]);
    }
}
