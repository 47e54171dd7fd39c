//! Blueprints in temporary directories, and what they are rendered with.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use piton_scaffold::{Blueprint, Error, Limits, Meta, Mode, Order, Settings, Surroundings, Tree};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) fn time() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// A world that always looks the same.
pub(crate) fn settings() -> Settings {
    let random = |bytes: &mut [u8]| {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (at * 37 + 11) as u8;
        }
    };
    let surroundings = Surroundings { now: Arc::new(time), zone: TimeZone::UTC, random: Arc::new(random) };
    Settings { limits: Limits::default(), surroundings }
}

pub(crate) fn with_limits(limits: Limits) -> Settings {
    Settings { limits, ..settings() }
}

/// An order for `my-service` in `my-team`.
pub(crate) fn order(values: Value) -> Order {
    let Value::Object(values) = values else { panic!("values have names") };
    Order {
        name: "my-service".to_owned(),
        namespace: "my-team".to_owned(),
        values,
        meta: Meta {
            timestamp: time(),
            version: "0.1.0".to_owned(),
            run_id: "run-1".to_owned(),
            template: "go-backend".to_owned(),
            commit: Some("0123abc".to_owned()),
            kind: "component".to_owned(),
        },
    }
}

/// A blueprint of these files. A name with ` *` behind it is executable; one with ` -> ` is a link.
pub(crate) fn blueprint(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (path, content) in files {
        put(directory.path(), path, content.as_bytes());
    }
    directory
}

pub(crate) fn put(directory: &Path, path: &str, content: &[u8]) {
    if let Some((link, target)) = path.split_once(" -> ") {
        let link = directory.join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
        return;
    }
    let (path, bits) = match path.strip_suffix(" *") {
        Some(path) => (path, 0o755),
        None => (path, 0o644),
    };
    let path = directory.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
}

pub(crate) fn load(directory: &Path) -> Result<Blueprint, Error> {
    Blueprint::load(directory, &settings())
}

pub(crate) fn render(files: &[(&str, &str)], values: Value) -> Result<Tree, Error> {
    load(blueprint(files).path())?.render(&order(values))
}

/// A tree as one text.
pub(crate) fn shown(tree: &Tree) -> String {
    let mut out = String::new();
    for entry in tree.entries() {
        let mode = match entry.mode {
            Mode::File => "",
            Mode::Executable => " *",
            Mode::Link => " ->",
        };
        writeln!(out, "--- {}{mode}\n{}", entry.path, String::from_utf8_lossy(&entry.bytes)).unwrap();
    }
    out
}

pub(crate) fn paths(tree: &Tree) -> Vec<&str> {
    tree.entries().iter().map(|entry| entry.path.as_str()).collect()
}
