//! Repositories of code, made with the real git.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::{fs, io};

/// Makes a bare repository below `root` of these files, one commit each, and answers with the commits' ids, the oldest
/// first. Commit number N is tagged `vN`; the branch is `main`. A text that begins with `-> ` is the target of a link.
pub fn repository(root: &Path, name: &str, commits: &[&[(&str, &str)]]) -> io::Result<Vec<String>> {
    let work = tempfile::tempdir()?;
    let at = work.path();
    git(at, ["init", "-q", "-b", "main", "."])?;
    let mut ids = Vec::new();
    for (number, files) in commits.iter().enumerate() {
        for (file, text) in *files {
            let path = at.join(file);
            fs::create_dir_all(path.parent().unwrap_or(at))?;
            match text.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path)?,
                None => fs::write(path, text)?,
            }
        }
        git(at, ["add", "-A"])?;
        git(at, ["commit", "-q", "--allow-empty", "-m", &format!("commit {number}")])?;
        git(at, ["tag", &format!("v{number}")])?;
        ids.push(git(at, ["rev-parse", "HEAD"])?.trim().to_owned());
    }
    let bare = root.join(name);
    fs::create_dir_all(bare.parent().unwrap_or(root))?;
    git(at, [OsStr::new("clone"), "-q".as_ref(), "--bare".as_ref(), ".".as_ref(), bare.as_os_str()])?;
    Ok(ids)
}

/// What git prints in this directory. It reads nobody's configuration; its failure is an error with its own words.
#[expect(clippy::disallowed_methods, reason = "the fixture is made with the real git")]
pub fn git<A: AsRef<OsStr>>(at: &Path, args: impl IntoIterator<Item = A>) -> io::Result<String> {
    let mut command = Command::new("git");
    command.args(args).current_dir(at);
    command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
    command.envs([("GIT_AUTHOR_NAME", "t"), ("GIT_AUTHOR_EMAIL", "t@example.org")]);
    command.envs([("GIT_COMMITTER_NAME", "t"), ("GIT_COMMITTER_EMAIL", "t@example.org")]);
    said(&mut command)
}

/// What a command prints; its failure is an error with its own words.
pub(crate) fn said(command: &mut Command) -> io::Result<String> {
    let output = command.output().map_err(|error| io::Error::new(error.kind(), format!("{command:?}: {error}")))?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}
