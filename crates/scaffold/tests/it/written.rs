//! Trees that are written into directories.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use piton_scaffold::Trouble;
use serde_json::json;
use tempfile::TempDir;

use crate::scene::render;

const FILES: &[(&str, &str)] =
    &[("a/b/c.tmpl", "{{ .Name }}"), ("a/b.txt", "x"), ("run *", "#!"), ("a/link -> b/c", "")];

#[test]
fn a_tree_is_written() {
    let tree = render(&[FILES, &[("a/b/c2", "y"), ("z/z/z/z", "")]].concat(), json!({}));
    // The link is to a template's source, not to what it becomes.
    let tree = tree.unwrap();
    let place = TempDir::new().unwrap();
    let out = place.path().join("out");
    tree.write_to(&out).unwrap();
    assert_eq!(fs::read_to_string(out.join("a/b/c")).unwrap(), "my-service");
    assert_eq!(fs::read_to_string(out.join("a/link")).unwrap(), "my-service");
    assert_eq!(fs::read_to_string(out.join("a/b/c2")).unwrap(), "y");
    assert!(out.join("z/z/z/z").is_file());
    let bits = |path: &str| fs::metadata(out.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(bits(""), 0o700);
    assert_eq!(bits("run") & 0o100, 0o100);
    assert_eq!(bits("a/b.txt") & 0o111, 0);
}

#[test]
fn an_empty_directory_will_do() {
    let place = TempDir::new().unwrap();
    render(FILES, json!({})).unwrap().write_to(place.path()).unwrap();
    assert!(place.path().join("run").is_file());
}

#[test]
fn nothing_that_is_there_is_touched() {
    let tree = render(FILES, json!({})).unwrap();
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("run"), "mine").unwrap();
    let error = tree.write_to(place.path()).unwrap_err();
    assert_eq!(error.trouble(), Trouble::Io);
    assert!(error.to_string().contains("not empty"), "{error}");
    assert_eq!(fs::read_to_string(place.path().join("run")).unwrap(), "mine");
    assert!(!place.path().join("a").exists());
}

#[test]
fn a_link_is_no_place() {
    let tree = render(FILES, json!({})).unwrap();
    let place = TempDir::new().unwrap();
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let out = place.path().join("out");
    symlink(&elsewhere, &out).unwrap();
    tree.write_to(&out).unwrap_err();
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    tree.write_to(&place.path().join("no/such/parent")).unwrap_err();
}
