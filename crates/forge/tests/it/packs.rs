//! Packs are what git takes them for.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use piton_forge::{Commit, Limits, Tree};
use piton_testkit::repository::git;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::scene::{RUN, commit, tree, words};

/// The same files, of another run.
pub fn other_commit() -> Commit {
    Commit::build(&tree(), &words("0192aa7e-ffff-7cc1-9c1d-3f1f5f6b7a02")).unwrap()
}

/// Gives a pack to a program of git, in an empty repository.
fn feed(commit: &Commit, args: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), ["init", "-q", "--bare", "."]).unwrap();
    let pack = dir.path().join("given");
    std::fs::write(&pack, commit.pack()).unwrap();
    let given = std::fs::File::open(&pack).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the judge is the real git")]
    let ended = std::process::Command::new("git")
        .args(args)
        .current_dir(dir.path())
        .stdin(Stdio::from(given))
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    dir
}

fn names(at: &Path, commit: &Commit) -> BTreeMap<String, String> {
    let listed = git(at, ["ls-tree", "-r", "-z", &commit.id().to_string()]).unwrap();
    let rows = listed.split_terminator('\0').map(|row| row.split_once('\t').unwrap());
    rows.map(|(head, path)| (path.to_owned(), head.split(' ').next().unwrap().to_owned())).collect()
}

#[test]
fn git_makes_the_same_commit_of_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    git(at, ["init", "-q", "."]).unwrap();
    for sub in ["bin", "src", "src-2", "src.d", ".github/workflows", "docs"] {
        std::fs::create_dir_all(at.join(sub)).unwrap();
    }
    for (path, content) in [
        ("README.md", "# A service\n"),
        ("bin/run", "#!/bin/sh\n"),
        ("src/main.rs", "fn main() {}\n"),
        ("src-2/lib.rs", ""),
        ("src.d/x", "\0\u{ff}"),
        (".github/workflows/ci.yml", "on: push\n"),
    ] {
        std::fs::write(at.join(path), content).unwrap();
    }
    std::fs::set_permissions(at.join("bin/run"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("../README.md", at.join("docs/readme")).unwrap();
    git(at, ["add", "-A"]).unwrap();
    assert_eq!(git(at, ["write-tree"]).unwrap().trim(), commit().tree().to_string());
    let raw = format!(
        "tree {}\nauthor Piton <piton@example.org> 1772600767 +0000\ncommitter Piton <piton@example.org> 1772600767 \
         +0000\n\nBegin\n\nRun-Id: {RUN}\n",
        commit().tree()
    );
    std::fs::write(at.join("raw"), raw).unwrap();
    let id = git(at, ["hash-object", "-t", "commit", "-w", "raw"]).unwrap();
    assert_eq!(id.trim(), commit().id().to_string());
    let trailers = git(at, ["log", "-1", "--format=%(trailers:key=Run-Id,valueonly)", id.trim()]).unwrap();
    assert_eq!(trailers.trim(), RUN);
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "[a-c][.-]?[a-c0-9]{0,2}", "[äö€ ]{1,3}x"]
}

fn files() -> impl Strategy<Value = BTreeMap<String, (Vec<u8>, bool)>> {
    let path = prop::collection::vec(name(), 1..4).prop_map(|names| names.join("/"));
    let content = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        // Long enough for heads of several bytes, and the same in several files.
        (0usize..9000).prop_map(|length| vec![b'x'; length]),
    ];
    prop::collection::btree_map(path, (content, any::<bool>()), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn git_takes_every_pack_and_finds_every_file(files in files()) {
        let mut tree = Tree::new(Limits::default());
        for (path, (content, executable)) in &files {
            tree.file(path, content.clone(), *executable).unwrap();
        }
        // A file where another has its directory is refused; see the tests of trees.
        prop_assume!(tree.check().is_ok());
        let commit = Commit::build(&tree, &words(RUN)).unwrap();
        let indexed = feed(&commit, &["index-pack", "--strict", "--stdin"]);
        let unpacked = feed(&commit, &["unpack-objects", "-q", "--strict"]);
        let expected: BTreeMap<String, String> = files
            .iter()
            .map(|(path, (_, executable))| (path.clone(), if *executable { "100755" } else { "100644" }.to_owned()))
            .collect();
        for dir in [&indexed, &unpacked] {
            prop_assert_eq!(&names(dir.path(), &commit), &expected);
            git(dir.path(), ["fsck", "--strict", "--no-dangling"]).unwrap();
        }
        let (path, (content, _)) = files.first_key_value().unwrap();
        let object = format!("{}:{path}", commit.id());
        let shown = git(indexed.path(), ["cat-file", "-s", &object]).unwrap();
        prop_assert_eq!(shown.trim(), content.len().to_string());
    }
}
