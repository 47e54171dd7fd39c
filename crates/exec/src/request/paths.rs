//! Paths that must stay inside a repository, as far as their text tells. Links are looked at when the code is there.

use std::path::{Component, Path};

/// The longest path that is looked at.
const LONGEST: usize = 1024;

/// A directory of the repository, relative to its root and without `..`.
pub(super) fn check_directory(path: &str) -> Result<(), String> {
    check_text(path)?;
    if depth(path) != Depth::Straight {
        return Err("name a directory of the repository, relative to its root and without `..`".to_owned());
    }
    check_hidden(path)
}

/// A file of the repository, relative to `directory`, from which `..` may lead up as far as the root.
pub(super) fn check_file(directory: &str, file: &str) -> Result<(), String> {
    if file.is_empty() {
        return Err("it is empty".to_owned());
    }
    check_text(file)?;
    let inside = Path::new(file).is_relative() && depth(&format!("{directory}/{file}")) != Depth::Outside;
    if !inside {
        return Err(format!("`{}` leaves the repository", file.escape_debug()));
    }
    check_hidden(file)
}

fn check_text(path: &str) -> Result<(), String> {
    if path.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    if path.chars().any(char::is_control) {
        return Err("it contains a line break or another control character".to_owned());
    }
    Ok(())
}

/// What `git` keeps for itself is not part of the code.
fn check_hidden(path: &str) -> Result<(), String> {
    if Path::new(path).components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git")) {
        return Err("`.git` is not part of the code".to_owned());
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Depth {
    /// Only down.
    Straight,
    /// Up and down, never above where it began.
    Winding,
    Outside,
}

fn depth(path: &str) -> Depth {
    let (mut level, mut straight) = (0_usize, true);
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => level += 1,
            Component::ParentDir if level > 0 => {
                level -= 1;
                straight = false;
            }
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Depth::Outside,
        }
    }
    if straight { Depth::Straight } else { Depth::Winding }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_lie_below_the_root() {
        for good in [".", "", "a", "a/b", "./a", "a/./b", "..a", "a..b", "ä b"] {
            assert_eq!(check_directory(good), Ok(()), "{good:?}");
        }
        for bad in [
            "..",
            "../..",
            "a/../b",
            "a/..",
            "/",
            "/etc",
            "//x",
            "a\0",
            "a\n",
            ".git",
            "a/.GIT/hooks",
            &"a".repeat(2000),
        ] {
            assert!(check_directory(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_may_lie_above_the_directory_but_not_above_the_root() {
        for (directory, file) in
            [(".", "prod.tfvars"), ("env/prod", "../common.tfvars"), ("env/prod", "../../x"), ("a", "b/../c")]
        {
            assert_eq!(check_file(directory, file), Ok(()), "{directory} {file}");
        }
        for (directory, file) in [
            (".", ""),
            (".", "../x"),
            ("env/prod", "../../../x"),
            ("a", "/etc/passwd"),
            ("a", "b\0"),
            ("a", "../.git/config"),
            ("a", "../../a/x"),
        ] {
            assert!(check_file(directory, file).is_err(), "{directory} {file}");
        }
    }
}
