//! Trees from directories.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use piton_forge::{Commit, Error, Limits, Tree, TreeError};

use crate::scene::{RUN, tree, words};

#[test]
fn a_directory_makes_the_same_commit_as_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    for sub in ["bin", "src", "src-2", "src.d", ".github/workflows", "docs", "empty/deep"] {
        fs::create_dir_all(at.join(sub)).unwrap();
    }
    for (path, entry) in tree().entries() {
        let path = at.join(path.to_string());
        match entry {
            piton_forge::Entry::File { content, executable } => {
                fs::write(&path, content).unwrap();
                let mode = if *executable { 0o700 } else { 0o640 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            piton_forge::Entry::Link { target } => symlink(String::from_utf8(target.clone()).unwrap(), path).unwrap(),
        }
    }
    let read = Tree::read(at, Limits::default()).unwrap();
    let build = |tree: &Tree| Commit::build(tree, &words(RUN)).unwrap().id();
    assert_eq!(build(&read), build(&tree()));
}

#[test]
fn what_must_not_be_pushed_is_refused() {
    let refused = |prepare: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "a").unwrap();
        prepare(dir.path());
        Tree::read(dir.path(), Limits { file_bytes: 1000, ..Limits::default() }).map(drop).map_err(Error::from)
    };
    assert!(refused(&|_| {}).is_ok());
    for (code, prepare) in [
        ("template_unsafe_entry", &(|at: &Path| symlink("/etc/passwd", at.join("x")).unwrap()) as &dyn Fn(&Path)),
        ("template_unsafe_entry", &|at: &Path| symlink("../x", at.join("x")).unwrap()),
        ("template_unsafe_entry", &|at: &Path| {
            rustix::fs::mkfifoat(rustix::fs::CWD, at.join("x"), rustix::fs::Mode::RUSR).unwrap();
        }),
        ("template_unsafe_entry", &|at: &Path| drop(std::os::unix::net::UnixListener::bind(at.join("x")).unwrap())),
        ("template_bad_path", &|at: &Path| {
            fs::create_dir(at.join(".git")).unwrap();
            fs::write(at.join(".git/config"), "").unwrap();
        }),
        ("template_bad_path", &|at: &Path| fs::write(at.join("git~1"), "").unwrap()),
        ("template_bad_path", &|at: &Path| fs::write(at.join("a\\b"), "").unwrap()),
        ("template_too_large", &|at: &Path| fs::write(at.join("x"), "x".repeat(1001)).unwrap()),
        ("template_empty", &|at: &Path| fs::remove_file(at.join("a")).unwrap()),
        ("io_error", &|at: &Path| fs::remove_dir_all(at).unwrap()),
    ] {
        let error = refused(prepare).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    // A link to a directory is a link, and what is in there is not read.
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let dir = tempfile::tempdir().unwrap();
    symlink(outside.path(), dir.path().join("x")).unwrap();
    assert!(matches!(Tree::read(dir.path(), Limits::default()), Err(TreeError::Link { .. })));
}
