//! Which directory and which file.

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Sources;
use crate::diagnostic::Diagnostic;

/// `--dir`, else what the workspace scheduler calls its configuration directory, else the current one.
pub(super) fn root(sources: &Sources) -> PathBuf {
    let variable = filled(sources, "PROVISIONER_CONFIG_DIR").map(PathBuf::from);
    match sources.dir.clone().or(variable) {
        Some(dir) => sources.current_dir.join(dir),
        None => sources.current_dir.clone(),
    }
}

/// The first file there is: `--config`, `PITON_CONFIG`, `DIR/piton.toml`, the user's, the system's.
pub(super) fn file(sources: &Sources, root: &Path) -> Result<(Option<PathBuf>, Vec<Diagnostic>), Box<Diagnostic>> {
    let variable = filled(sources, "PITON_CONFIG").map(PathBuf::from);
    if let Some(file) = sources.file.clone().or(variable) {
        let path = sources.current_dir.join(&file);
        // A file that somebody names must be there.
        let found = path.metadata();
        if found.as_ref().is_ok_and(Metadata::is_file) {
            return Ok((Some(path), Vec::new()));
        }
        is_there(&file, found)?;
        let missing = Diagnostic::error(file, "missing_config", "there is no such configuration file");
        let hint = "check `--config` and `PITON_CONFIG`; `piton config init` writes an example";
        return Err(Box::new(missing.hint(hint)));
    }
    let user = filled(sources, "XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| filled(sources, "HOME").map(|home| Path::new(home).join(".config")));
    let system = sources.system_dir.clone().unwrap_or_else(|| PathBuf::from("/etc"));
    let dirs = [Some(root.to_path_buf()), user.map(|dir| dir.join("piton")), Some(system.join("piton"))];
    for dir in dirs.into_iter().flatten() {
        let mut there = Vec::new();
        for name in ["piton.toml", "piton.yaml", "piton.yml", "piton.json"] {
            let path = dir.join(name);
            // Also a directory, or a link that leads nowhere: without what it is to say, other defaults would hold.
            if is_there(path.strip_prefix(root).unwrap_or(&path), path.symlink_metadata())? {
                there.push(path);
            }
        }
        let mut there = there.into_iter();
        if let Some(first) = there.next() {
            let ignored = there.map(|path| {
                let message = format!("this file is ignored, because there is {}", first.display());
                Diagnostic::warning(path, "ignored_file", message).hint("keep one of them")
            });
            let ignored = ignored.collect();
            return Ok((Some(first), ignored));
        }
    }
    Ok((None, unread(root)))
}

/// Whether something is at a path, by what the system says of it. Where it does not let us see that, there may be a file that
/// says what is to hold.
fn is_there(path: &Path, found: io::Result<Metadata>) -> Result<bool, Box<Diagnostic>> {
    match found {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => {
            let message = format!("whether there is a configuration file cannot be seen: {error}");
            let hint = "let this user search its directory, or name a file with `--config`";
            Err(Box::new(Diagnostic::error(path, "unreadable", message).hint(hint)))
        }
    }
}

/// Files of the process manager and of the provisioning scheduler, which are read where somebody names them.
fn unread(root: &Path) -> Vec<Diagnostic> {
    let there = ["config.toml", "config.yaml", "config.yml"].into_iter().filter(|name| root.join(name).is_file());
    let warn = |name: &str| {
        let message = "this file is not read, because nobody names it";
        let hint = format!("if it is Piton's, name it: `piton --config {name}`");
        Diagnostic::warning(root.join(name), "ignored_file", message).hint(hint)
    };
    there.map(warn).collect()
}

fn filled<'a>(sources: &'a Sources, variable: &str) -> Option<&'a str> {
    sources.environment.get(variable).map(String::as_str).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_seen_is_not_taken_for_missing() {
        let path = Path::new("/etc/piton/piton.toml");
        for kind in [ErrorKind::NotFound, ErrorKind::NotADirectory] {
            assert!(!is_there(path, Err(kind.into())).unwrap());
        }
        let told = is_there(path, Err(ErrorKind::PermissionDenied.into())).unwrap_err().to_string();
        assert!(told.starts_with("/etc/piton/piton.toml: error: ") && told.contains("permission denied"), "{told}");
    }
}
