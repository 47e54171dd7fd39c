//! Asking a program for its version, and remembering the answer.
//!
//! Starting either tool costs tens of milliseconds, so an answer is kept in `versions.json` for as long as the file
//! keeps its path, inode, size and modification time.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::version::Version;

/// An answer is a few hundred bytes; whatever says more is not one of the tools.
const MAX_ANSWER: u64 = 64 * 1024;

/// How often to try again when the file is still open for writing, as it is while a package manager replaces it.
const BUSY_RETRIES: u32 = 20;

/// Why a program gave no version.
#[derive(Debug)]
pub(crate) struct Silence {
    pub(crate) reason: String,
    /// Whether the machine rather than the program may be to blame, so that it may answer next time.
    pub(crate) passing: bool,
}

/// Runs `PROGRAM version -json`.
pub(crate) async fn ask(program: &Path, path_env: &OsStr, timeout: Duration) -> Result<Version, Silence> {
    match tokio::time::timeout(timeout, answer(program, path_env)).await {
        Err(_) => Err(Silence { reason: format!("gave no version within {} s", timeout.as_secs_f32()), passing: true }),
        Ok(Err(error)) => Err(Silence { reason: format!("cannot be run: {error}"), passing: is_passing(&error) }),
        Ok(Ok((text, status))) => read_answer(&text).ok_or_else(|| {
            let start: String = text.trim().chars().take(80).collect();
            let reason = format!("answered `version -json` with `{start}` ({status}), which names no version");
            // Killed from outside, most likely for want of memory.
            Silence { reason, passing: status.signal().is_some() }
        }),
    }
}

/// Whether starting a program failed for want of something that comes back.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let wanting = [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::TXTBSY];
    Errno::from_io_error(error).is_some_and(|errno| wanting.contains(&errno))
}

async fn answer(program: &Path, path_env: &OsStr) -> io::Result<(String, ExitStatus)> {
    let mut child = spawn(program, path_env).await?;
    let mut answer = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    }
    // A failure alone does not matter: a version manager's stand-in may complain and still answer.
    let status = child.wait().await?;
    Ok((String::from_utf8_lossy(&answer).into_owned(), status))
}

async fn spawn(program: &Path, path_env: &OsStr) -> io::Result<tokio::process::Child> {
    let mut command = Command::new(program);
    command
        .args(["version", "-json"])
        // The user's TF_* settings could change or break the answer. A directory without code keeps it quick.
        .env_clear()
        .env("PATH", path_env)
        .envs(std::env::var_os("HOME").map(|home| ("HOME", home)))
        .env("CHECKPOINT_DISABLE", "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..BUSY_RETRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => pause.tick().await,
            result => return result,
        };
    }
    command.spawn()
}

/// The version in an answer: JSON from anything current, one line of text from a Terraform before 0.13.
fn read_answer(text: &str) -> Option<Version> {
    #[derive(Deserialize)]
    struct Answer {
        terraform_version: Version,
    }
    if let Ok(answer) = serde_json::from_str::<Answer>(text) {
        return Some(answer.terraform_version);
    }
    let first = text.lines().next()?.trim();
    let number = first.strip_prefix("Terraform v").or_else(|| first.strip_prefix("OpenTofu v"))?;
    number.parse().ok()
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    mtime_s: i64,
    mtime_ns: i64,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> io::Result<Stamp> {
        let metadata = fs::metadata(path)?;
        Ok(Stamp {
            inode: metadata.ino(),
            size: metadata.size(),
            mtime_s: metadata.mtime(),
            mtime_ns: metadata.mtime_nsec(),
        })
    }
}

/// Remembered answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answers {
    programs: BTreeMap<PathBuf, Answered>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answered {
    #[serde(flatten)]
    stamp: Stamp,
    version: Version,
}

impl Answers {
    /// Reads the file. A missing or damaged one only means asking again.
    pub(crate) fn load(path: &Path) -> Answers {
        fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(crate) fn recall(&self, program: &Path, stamp: &Stamp) -> Option<&Version> {
        self.programs.get(program).filter(|answered| answered.stamp == *stamp).map(|answered| &answered.version)
    }

    pub(crate) fn remember(&mut self, program: PathBuf, stamp: Stamp, version: Version) {
        self.programs.retain(|path, _| path.exists());
        self.programs.insert(program, Answered { stamp, version });
    }

    /// Replaces the file in one step. Of two processes doing so at once one loses its answers and asks again.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.persist(path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_generations_of_answers() {
        let json = r#"{"terraform_version": "1.9.0-rc1", "platform": "linux_amd64", "provider_selections": {}}"#;
        assert_eq!(read_answer(json).unwrap().to_string(), "1.9.0-rc1");
        let text = "Terraform v0.12.31\n\nYour version of Terraform is out of date!\n";
        assert_eq!(read_answer(text), Some(Version::new(0, 12, 31)));
        assert_eq!(read_answer("OpenTofu v1.6.2\non linux_amd64\n"), Some(Version::new(1, 6, 2)));
        for text in ["", "{}", "hello", "Terraform vNext", r#"{"terraform_version": "new"}"#] {
            assert_eq!(read_answer(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_answer_holds_for_the_file_it_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let (program, file) = (dir.path().join("tofu"), dir.path().join("state/versions.json"));
        fs::write(&program, "one").unwrap();
        let stamp = Stamp::of(&program).unwrap();
        let mut answers = Answers::load(&file);
        answers.remember(program.clone(), stamp.clone(), Version::new(1, 8, 0));
        answers.save(&file).unwrap();

        let answers = Answers::load(&file);
        assert_eq!(answers.recall(&program, &stamp), Some(&Version::new(1, 8, 0)));
        fs::write(&program, "longer").unwrap();
        assert_eq!(answers.recall(&program, &Stamp::of(&program).unwrap()), None);
        assert_eq!(answers.recall(Path::new("/other"), &stamp), None);

        fs::write(&file, "{ damaged").unwrap();
        assert_eq!(Answers::load(&file).recall(&program, &stamp), None);
    }
}
