//! Where symbolic links lead, as a file system would follow them.

use std::collections::BTreeMap;

use super::path::is_gits_own;
use super::{Entry, TreePath};

/// As many links as Linux follows for one name.
const MOST: usize = 40;

/// Whether a link in `path` to `target` ends inside the tree, whatever other links are on the way. What it leads to
/// need not be there.
pub(super) fn stays_inside(entries: &BTreeMap<TreePath, Entry>, path: &TreePath, target: &[u8]) -> bool {
    if target.is_empty() || target.contains(&0) || target.contains(&b'\\') {
        return false;
    }
    let mut at: Vec<Vec<u8>> = path.components().map(<[u8]>::to_owned).collect();
    at.pop();
    let mut todo: Vec<Vec<u8>> = names(target);
    let mut followed = 1;
    if target.starts_with(b"/") {
        return false;
    }
    while let Some(name) = todo.pop() {
        match name.as_slice() {
            b"" | b"." => {}
            b".." => {
                if at.pop().is_none() {
                    return false;
                }
            }
            own if is_gits_own(own) => return false,
            _ => {
                at.push(name);
                let here = at.join(&b'/');
                let link = TreePath::parse(&here).ok().and_then(|here| match entries.get(&here) {
                    Some(Entry::Link { target }) => Some(target),
                    Some(Entry::File { .. }) | None => None,
                });
                if let Some(target) = link {
                    followed += 1;
                    if followed > MOST || target.starts_with(b"/") {
                        return false;
                    }
                    at.pop();
                    todo.extend(names(target));
                }
            }
        }
    }
    true
}

/// The names of a target, the first one last.
fn names(target: &[u8]) -> Vec<Vec<u8>> {
    target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use crate::tree::{Limits, Tree, TreeError};

    fn check(links: &[(&str, &str)]) -> Result<(), TreeError> {
        let mut tree = Tree::new(Limits::default());
        tree.file("docs/a.md", "", false)?;
        for (path, target) in links {
            tree.link(path, *target)?;
        }
        tree.check()
    }

    #[test]
    fn links_stay_inside() {
        for good in [
            &[("x", "docs/a.md")][..],
            &[("docs/x", "../docs/a.md")],
            &[("x", "not/there")],
            &[("docs/x", "..")],
            &[("x", "docs"), ("y", "x/a.md")],
            &[("x", "docs/./a.md")],
        ] {
            assert!(check(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn links_that_lead_out_fail() {
        for bad in [
            &[("x", "/etc/passwd")][..],
            &[("x", "..")],
            &[("docs/x", "../../etc")],
            &[("x", ".git/config")],
            &[("docs/x", "../.GIT")],
            &[("x", "")],
            &[("x", "x")],
            &[("x", "y"), ("y", "x")],
            // Either looks fine by itself; together they lead one directory too high.
            &[("docs/up", ".."), ("docs/deep/x", "../up/..")],
            &[("docs/up", ".."), ("y", "docs/up/../a")],
        ] {
            assert!(matches!(check(bad), Err(TreeError::Link { .. })), "{bad:?}");
        }
    }
}
