//! Blueprints that are kept.

use std::cell::Cell;
use std::fs;
use std::sync::Arc;

use piton_scaffold::{Cache, Commit};
use serde_json::json;

use crate::scene::{blueprint, order, put, settings};

#[test]
fn a_directory_is_read_again_when_it_changed() {
    let directory = blueprint(&[("a.tmpl", "1 {{ .Name }}"), ("sub/b", "")]);
    let cache = Cache::new(settings(), 1 << 20);
    let first = cache.directory(directory.path()).unwrap();
    assert!(Arc::ptr_eq(&first, &cache.directory(directory.path()).unwrap()));
    put(directory.path(), "a.tmpl", b"two {{ .Name }}");
    let second = cache.directory(directory.path()).unwrap();
    assert_eq!(&*second.render(&order(json!({}))).unwrap().get("a").unwrap().bytes, b"two my-service");
    put(directory.path(), "sub/c", b"");
    assert_eq!(cache.directory(directory.path()).unwrap().len(), 3);
    fs::remove_file(directory.path().join("sub/b")).unwrap();
    assert_eq!(cache.directory(directory.path()).unwrap().len(), 2);
    put(directory.path(), "a.tmpl", b"{{ if }}");
    cache.directory(directory.path()).unwrap_err();
    fs::remove_dir_all(directory.path()).unwrap();
    cache.directory(directory.path()).unwrap_err();
}

#[test]
fn a_commit_is_read_once() {
    let directory = blueprint(&[("a", "1")]);
    let cache = Cache::new(settings(), 1 << 20);
    let commit = |commit: &str| Commit {
        url: "https://example.org/blueprints".to_owned(),
        commit: commit.to_owned(),
        path: String::new(),
    };
    let checkouts = Cell::new(0);
    let get = |name: &str| {
        cache.commit(&commit(name), || {
            checkouts.set(checkouts.get() + 1);
            Ok(directory.path().to_owned())
        })
    };
    let first = get("0123").unwrap();
    assert!(Arc::ptr_eq(&first, &get("0123").unwrap()));
    assert_eq!(checkouts.get(), 1);
    assert!(!Arc::ptr_eq(&first, &get("4567").unwrap()));
    assert_eq!(checkouts.get(), 2);
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let content = "x".repeat(400);
    let directories: Vec<_> = (0..3).map(|_| blueprint(&[("a", content.as_str())])).collect();
    let cache = Cache::new(settings(), 1000);
    let get = |at: usize| cache.directory(directories[at].path()).unwrap();
    let (first, second) = (get(0), get(1));
    assert!(Arc::ptr_eq(&first, &get(0)));
    get(2);
    assert_eq!(cache.size(), 800);
    assert!(Arc::ptr_eq(&first, &get(0)));
    assert!(!Arc::ptr_eq(&second, &get(1)));
    let large = blueprint(&[("a", "x".repeat(2000).as_str())]);
    cache.directory(large.path()).unwrap();
    assert!(cache.size() <= 1000);
}
