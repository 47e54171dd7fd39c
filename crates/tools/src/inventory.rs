//! What is installed: programs on PATH, and what was downloaded before.
//!
//! The cache is `TOOLS_DIR/tofu/1.8.0/linux_amd64/tofu`. A version there is what its directory says, because only a
//! verified archive of that version is ever put there. A program on PATH must be asked.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::tool::{Platform, Tool};
use crate::version::Version;

/// Where a program was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Found {
    /// On PATH.
    Path,
    /// Among the downloads.
    Cache,
}

/// A program that can be run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Installed {
    /// Which tool it is.
    pub tool: Tool,
    /// Its version.
    pub version: Version,
    /// The program.
    pub path: PathBuf,
    /// Where it was found.
    pub found: Found,
}

/// A file on PATH with a tool's name that does not behave like the tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which tool it pretends to be.
    pub tool: Tool,
    /// The program.
    pub path: PathBuf,
    /// How it failed.
    pub reason: String,
    /// Whether the machine rather than the program may be to blame, so that it may work next time.
    pub passing: bool,
}

/// Everything found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Working programs: PATH in its own order, then downloads, newest first.
    pub installed: Vec<Installed>,
    /// The others.
    pub broken: Vec<Broken>,
}

/// The executable files named like `tool` in the directories of `path_env`, the shell's order, each file once.
pub fn on_path(tool: Tool, path_env: &OsStr) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for dir in std::env::split_paths(path_env) {
        // An empty entry means the current directory, which for a daemon is nobody's intention.
        if !dir.is_absolute() {
            continue;
        }
        let path = dir.join(tool.program());
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            continue;
        }
        let identity = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if !seen.contains(&identity) {
            seen.push(identity);
            found.push(path);
        }
    }
    found
}

/// Where a downloaded program lives.
pub(crate) fn cache_path(tools_dir: &Path, tool: Tool, version: &Version, platform: Platform) -> PathBuf {
    tools_dir.join(tool.program()).join(version.to_string()).join(platform.to_string()).join(tool.program())
}

/// The downloaded program of exactly this version, if there is one.
pub(crate) fn cached(tools_dir: &Path, tool: Tool, version: &Version, platform: Platform) -> Option<Installed> {
    let path = cache_path(tools_dir, tool, version, platform);
    let installed = Installed { tool, version: version.clone(), path, found: Found::Cache };
    fs::symlink_metadata(&installed.path).is_ok_and(|metadata| metadata.is_file()).then_some(installed)
}

/// Every downloaded program for `platform`, newest first.
pub fn in_cache(tools_dir: &Path, tool: Tool, platform: Platform) -> Result<Vec<Installed>, Error> {
    let dir = tools_dir.join(tool.program());
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", &dir)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io("read", &dir))?.file_name();
        // Lock files stand beside the version directories and name no version.
        let Some(version) = name.to_str().and_then(|name| name.parse::<Version>().ok()) else { continue };
        found.extend(cached(tools_dir, tool, &version, platform));
    }
    found.sort_by(|a, b| b.version.cmp(&a.version));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn path_is_searched_like_a_shell_does() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        program(&at("plain/tofu"), 0o644);
        program(&at("one/tofu"), 0o755);
        program(&at("two/tofu"), 0o755);
        fs::create_dir_all(at("dir/tofu")).unwrap();
        fs::create_dir_all(at("link")).unwrap();
        std::os::unix::fs::symlink(at("one/tofu"), at("link/tofu")).unwrap();
        let dirs = ["plain", "dir", "gone", "one", "link", "two", "one"].map(at);
        let path_env =
            std::env::join_paths(dirs.into_iter().chain([PathBuf::new(), PathBuf::from("relative")])).unwrap();
        assert_eq!(on_path(Tool::OpenTofu, &path_env), [at("one/tofu"), at("two/tofu")]);
        assert!(on_path(Tool::Terraform, &path_env).is_empty());
        assert!(on_path(Tool::OpenTofu, OsStr::new("")).is_empty());
    }

    #[test]
    fn the_cache_lists_whole_installations_only() {
        let dir = tempfile::tempdir().unwrap();
        let platform = Platform::current();
        assert_eq!(in_cache(dir.path(), Tool::OpenTofu, platform).unwrap(), []);
        for version in [Version::new(1, 9, 0), Version::new(1, 10, 0)] {
            program(&cache_path(dir.path(), Tool::OpenTofu, &version, platform), 0o755);
        }
        program(&dir.path().join("tofu/1.7.0.lock"), 0o644);
        fs::create_dir_all(dir.path().join("tofu/1.8.0").join(platform.to_string())).unwrap();
        program(&dir.path().join("tofu/1.6.0/plan9_mips/tofu"), 0o755);
        let versions: Vec<String> =
            in_cache(dir.path(), Tool::OpenTofu, platform).unwrap().iter().map(|it| it.version.to_string()).collect();
        assert_eq!(versions, ["1.10.0", "1.9.0"]);
    }
}
