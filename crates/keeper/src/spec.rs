//! What a caller asks the keeper to run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::os_text;

/// The variable in which each child, and whatever it starts, carries its [`Token`](crate::Token).
pub const TOKEN_VARIABLE: &str = "PITON_TOKEN";
/// The variable that says whose token it is: the directory of the keeper. Two keepers of one user may use equal tokens.
pub const KEEPER_VARIABLE: &str = "PITON_KEEPER";

/// One command, complete: nothing is inherited from the keeper but its user, limits and umask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Program and arguments. A program without `/` is looked up in the `PATH` of [`Spec::env`], one with `/` relative
    /// to [`Spec::cwd`].
    #[serde(with = "os_text::list")]
    pub argv: Vec<OsString>,
    /// The whole environment; the keeper adds only [`TOKEN_VARIABLE`] and [`KEEPER_VARIABLE`].
    #[serde(with = "os_text::pairs")]
    pub env: BTreeMap<OsString, OsString>,
    /// The absolute working directory.
    #[serde(with = "os_text::value")]
    pub cwd: PathBuf,
    /// Where standard output goes.
    pub stdout: Output,
    /// Where standard error goes; may be the same file as [`Spec::stdout`], then the two are interleaved as written.
    pub stderr: Output,
    /// As whom and within which limits it runs.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// What becomes of the knowledge of its end when the machine loses power.
    #[serde(default, skip_serializing_if = "Remembered::is_default")]
    pub remembered: Remembered,
}

/// How well the end of a child is remembered. Whatever becomes of the keeper, it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remembered {
    /// It is on the disk before anybody is told of it.
    #[default]
    OverPowerLoss,
    /// Nobody asks for it after a reboot, so nobody waits for the disk before it is told.
    WithinThisBoot,
}

impl Remembered {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where one of a child's output streams goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Output {
    /// Nowhere.
    Null,
    /// The end of this file, created with mode 0600 if it is missing. It must be a regular file at an absolute path.
    File(#[serde(with = "os_text::value")] PathBuf),
    /// A log that the keeper writes and rotates, and that the child cannot outrun.
    Log(LogFile),
}

/// A log that is rotated while it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// The file that is written to.
    #[serde(with = "os_text::value")]
    pub path: PathBuf,
    /// A file that grew so large is put aside, in bytes; 0 for never.
    pub max_size: u64,
    /// So many of those put aside are kept; 0 for all.
    pub max_backups: u32,
    /// Every line begins with the time at which it was read.
    pub timestamps: bool,
}

impl Output {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Null => None,
            Self::File(path) => Some(path),
            Self::Log(log) => Some(&log.path),
        }
    }
}

/// A [`Spec`] that no process can be started from, whatever the state of the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// `argv` is empty or its first element is.
    #[error("the command is empty")]
    EmptyCommand,
    /// An argument, name or value cannot be passed because C strings end at NUL.
    #[error("{0} contains a NUL byte")]
    Nul(String),
    /// A variable's name is empty or contains `=`.
    #[error("{0:?} is not a variable name")]
    BadVariable(OsString),
    /// A path has to be absolute because the keeper's own directory means nothing to the caller.
    #[error("{0} is not an absolute path")]
    NotAbsolute(PathBuf),
    /// A limit that means nothing.
    #[error("{0}")]
    BadLimit(String),
}

impl Spec {
    /// Checks all that can be checked without touching the system.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.argv.first().is_none_or(|program| program.is_empty()) {
            return Err(SpecError::EmptyCommand);
        }
        let nul = |text: &OsString| text.as_bytes().contains(&0);
        if let Some(index) = self.argv.iter().position(nul) {
            return Err(SpecError::Nul(format!("argument {index}")));
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(SpecError::BadVariable(name.clone()));
            }
            // The value may be a secret: name the variable only.
            if nul(name) || nul(value) {
                return Err(SpecError::Nul(format!("variable {}", name.display())));
            }
        }
        let paths = [Some(self.cwd.as_path()), self.stdout.path(), self.stderr.path(), self.limits.stdin.as_deref()];
        for path in paths.into_iter().flatten() {
            if !path.is_absolute() {
                return Err(SpecError::NotAbsolute(path.to_owned()));
            }
            if nul(&path.as_os_str().to_owned()) {
                return Err(SpecError::Nul("a path".to_owned()));
            }
        }
        self.limits.validate().map_err(SpecError::BadLimit)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn spec() -> Spec {
        Spec {
            argv: vec!["sh".into(), "-c".into(), OsString::from_vec(vec![b'a', 0xff])],
            env: [("PATH".into(), "/bin".into()), (OsString::from_vec(vec![0xfe]), "x".into())].into(),
            cwd: "/".into(),
            stdout: Output::File("/tmp/o".into()),
            stderr: Output::Null,
            limits: Limits::default(),
            remembered: Remembered::WithinThisBoot,
        }
    }

    #[test]
    fn survives_json_even_when_it_is_not_utf8() {
        let json = serde_json::to_string(&spec()).unwrap();
        assert!(json.contains(r#""sh","-c",[97,255]"#), "{json}");
        assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), spec());
    }

    #[test]
    fn names_what_is_wrong_and_never_a_value() {
        assert_eq!(spec().validate(), Ok(()));
        assert_eq!(Spec { argv: vec![], ..spec() }.validate(), Err(SpecError::EmptyCommand));
        assert_eq!(Spec { argv: vec!["".into()], ..spec() }.validate(), Err(SpecError::EmptyCommand));
        let nul = Spec { env: [("KEY".into(), "sec\0ret".into())].into(), ..spec() }.validate().unwrap_err();
        assert_eq!(nul.to_string(), "variable KEY contains a NUL byte");
        let key = Spec { env: [("A=B".into(), "".into())].into(), ..spec() }.validate();
        assert_eq!(key, Err(SpecError::BadVariable("A=B".into())));
        let relative = Spec { stderr: Output::File("x".into()), ..spec() }.validate();
        assert_eq!(relative, Err(SpecError::NotAbsolute("x".into())));
    }
}
