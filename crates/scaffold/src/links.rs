//! Where links lead, decided on the tree alone. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Problem, Trouble};
use crate::path::TargetPath;
use crate::tree::{Made, Mode};

/// The kernel gives up after as many.
const HOPS: usize = 40;

/// Tells every link that leaves the tree, leads nowhere or runs in circles.
pub(crate) fn check(made: &BTreeMap<TargetPath, Made>) -> Vec<Problem> {
    let mut targets: BTreeMap<&str, Node> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut links = Vec::new();
    for (path, made) in made {
        let node = if made.entry.mode == Mode::Link {
            let Ok(target) = std::str::from_utf8(&made.entry.bytes) else { continue };
            links.push((path, target, &made.source));
            Node::Link(target)
        } else {
            Node::File
        };
        targets.insert(path.as_str(), node);
    }
    if links.is_empty() {
        return problems;
    }
    let directories: BTreeSet<&str> = made.keys().flat_map(TargetPath::parents).collect();
    for (path, target, source) in links {
        let parent = path.parents().next().unwrap_or_default();
        if let Err(problem) = follow(&targets, &directories, parent, target) {
            let message = format!("the link `{path}` to `{}` {problem}", target.escape_debug());
            problems.push(Problem::new(Trouble::UnsafeEntry, message).file(source.clone()));
        }
    }
    problems
}

enum Node<'a> {
    File,
    Link(&'a str),
}

/// Whether a link in a directory stays in the tree, as far as its text tells.
pub(crate) fn stays(parent: &str, target: &str) -> Result<(), &'static str> {
    if target.starts_with('/') {
        return Err("is absolute");
    }
    let mut depth = parent.split('/').filter(|name| !name.is_empty()).count();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1).ok_or("leads out of the blueprint")?,
            _ => depth += 1,
        }
    }
    Ok(())
}

fn follow<'a>(
    nodes: &BTreeMap<&str, Node<'a>>,
    directories: &BTreeSet<&str>,
    parent: &str,
    target: &'a str,
) -> Result<(), &'static str> {
    if target.is_empty() || target.chars().any(char::is_control) {
        return Err("is no path");
    }
    let mut at: Vec<String> = parent.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let mut ahead: Vec<&str> = Vec::new();
    push(&mut ahead, target)?;
    let mut hops = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            if at.pop().is_none() {
                return Err("leads out of the tree");
            }
            continue;
        }
        at.push(name.to_owned());
        let next = at.join("/");
        match nodes.get(next.as_str()) {
            Some(Node::Link(target)) => {
                hops += 1;
                if hops > HOPS {
                    return Err("runs in circles");
                }
                at.pop();
                push(&mut ahead, target)?;
            }
            Some(Node::File) if !ahead.is_empty() => return Err("leads through a file"),
            Some(Node::File) => {}
            None if directories.contains(next.as_str()) => {}
            None => return Err("leads to nothing in the tree"),
        }
    }
    Ok(())
}

/// Puts the names of a target on top, the first one last.
fn push<'a>(ahead: &mut Vec<&'a str>, target: &'a str) -> Result<(), &'static str> {
    if target.starts_with('/') {
        return Err("is absolute");
    }
    ahead.extend(target.split('/').rev().filter(|name| !matches!(*name, "" | ".")));
    Ok(())
}
