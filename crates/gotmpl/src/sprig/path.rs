//! Paths with slashes. Nothing here looks at files.

use super::Entry;
use crate::value::{Type, Value};

const T: Type = Type::Text;
const B: Type = Type::Bool;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("base", &[T], None, T, |_, args| Ok(Value::from(base(&args.text(0))))),
    ("osBase", &[T], None, T, |_, args| Ok(Value::from(base(&args.text(0))))),
    ("dir", &[T], None, T, |_, args| Ok(Value::from(dir(&args.text(0))))),
    ("osDir", &[T], None, T, |_, args| Ok(Value::from(dir(&args.text(0))))),
    ("clean", &[T], None, T, |_, args| Ok(Value::from(clean(&args.text(0))))),
    ("osClean", &[T], None, T, |_, args| Ok(Value::from(clean(&args.text(0))))),
    ("ext", &[T], None, T, |_, args| Ok(Value::from(extension(&args.text(0))))),
    ("osExt", &[T], None, T, |_, args| Ok(Value::from(extension(&args.text(0))))),
    ("isAbs", &[T], None, B, |_, args| Ok(Value::Bool(args.text(0).starts_with('/')))),
    ("osIsAbs", &[T], None, B, |_, args| Ok(Value::Bool(args.text(0).starts_with('/')))),
];

fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let path = path.trim_end_matches('/');
    match path.rsplit('/').next() {
        None | Some("") => "/",
        Some(base) => base,
    }
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

fn extension(path: &str) -> &str {
    let base = path.rsplit('/').next().unwrap_or(path);
    base.rfind('.').map_or("", |dot| &base[dot..])
}

/// The shortest path that means the same.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}
