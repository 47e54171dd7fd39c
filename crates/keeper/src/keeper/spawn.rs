//! Starting one child, with a precise answer when it cannot be started.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, FileType, OFlags};
use rustix::io::Errno;

use crate::protocol::{Refusal, RefusalKind};
use crate::spec::{KEEPER_VARIABLE, TOKEN_VARIABLE};
use crate::{Output, Spec, Token};

/// Where a program is looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Starts the process and gives its pid. It is the keeper's child and not yet reaped, so the pid cannot mean another
/// process.
pub(super) fn spawn(spec: &Spec, token: &Token, keeper: &OsStr) -> Result<u32, Refusal> {
    let invalid = |error: &dyn std::error::Error| Refusal::new(RefusalKind::BadSpec, error.to_string());
    spec.validate().map_err(|error| invalid(&error))?;
    let Some(program) = spec.argv.first() else { return Err(invalid(&crate::SpecError::EmptyCommand)) };

    check_directory(&spec.cwd)?;
    let path = spec.env.get(OsStr::new("PATH")).map_or(OsStr::new(DEFAULT_PATH), |path| path.as_os_str());
    let resolved = resolve(program, path, &spec.cwd)?;
    let (stdout, stderr) = open_outputs(&spec.stdout, &spec.stderr)?;

    #[expect(clippy::disallowed_methods, reason = "the keeper is the one place that starts processes")]
    let mut command = Command::new(&resolved);
    command
        .arg0(program)
        .args(&spec.argv[1..])
        .env_clear()
        .envs(&spec.env)
        .env(TOKEN_VARIABLE, token.as_str())
        .env(KEEPER_VARIABLE, keeper)
        .current_dir(&spec.cwd)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0);
    // Dropping the handle neither kills nor waits: the child is reaped with all others.
    command.spawn().map(|child| child.id()).map_err(|error| refuse(&error, &resolved))
}

fn check_directory(cwd: &Path) -> Result<(), Refusal> {
    let refuse = |why: &dyn std::fmt::Display| {
        Refusal::new(RefusalKind::WorkingDirectory, format!("working directory {}: {why}", cwd.display()))
    };
    match std::fs::metadata(cwd) {
        Err(error) => Err(refuse(&error)),
        Ok(meta) if !meta.is_dir() => Err(refuse(&"is not a directory")),
        Ok(_) => rustix::fs::access(cwd, Access::EXEC_OK).map_err(|error| refuse(&io::Error::from(error))),
    }
}

/// Finds the program as `execvp` would, but in the child's `PATH` and from the child's directory.
fn resolve(program: &OsStr, path: &OsStr, cwd: &Path) -> Result<PathBuf, Refusal> {
    let shown = program.display();
    if program.as_bytes().contains(&b'/') {
        let candidate = cwd.join(program);
        return match check_program(&candidate) {
            Ok(()) => Ok(candidate),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                Err(Refusal::new(RefusalKind::ProgramNotFound, format!("{}: no such program", candidate.display())))
            }
            Err(Errno::ACCESS) => Err(denied(&candidate)),
            Err(error) => Err(system(&error.into(), &candidate)),
        };
    }
    let mut forbidden = None;
    for dir in path.as_bytes().split(|byte| *byte == b':') {
        let candidate = cwd.join(OsStr::from_bytes(dir)).join(program);
        match check_program(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ACCESS) => forbidden = forbidden.or(Some(candidate)),
            Err(_) => {}
        }
    }
    Err(match forbidden {
        Some(candidate) => denied(&candidate),
        None => Refusal::new(RefusalKind::ProgramNotFound, format!("{shown} not found in PATH {}", path.display())),
    })
}

fn check_program(candidate: &Path) -> Result<(), Errno> {
    let stat = rustix::fs::stat(candidate)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::ACCESS);
    }
    rustix::fs::access(candidate, Access::EXEC_OK)
}

fn denied(candidate: &Path) -> Refusal {
    Refusal::new(RefusalKind::PermissionDenied, format!("{} is not executable", candidate.display()))
}

fn system(error: &io::Error, program: &Path) -> Refusal {
    Refusal::new(RefusalKind::System, format!("cannot start {}: {error}", program.display()))
}

/// Says what went wrong after the program was found.
fn refuse(error: &io::Error, program: &Path) -> Refusal {
    let shown = program.display();
    let (kind, why) = match Errno::from_io_error(error) {
        Some(Errno::NOENT) => (RefusalKind::ProgramNotFound, "the interpreter it names does not exist"),
        Some(Errno::ACCESS | Errno::PERM) => (RefusalKind::PermissionDenied, "execution is not permitted"),
        Some(Errno::NOEXEC) => {
            (RefusalKind::NotExecutable, "neither a binary for this machine nor a script with a `#!` line")
        }
        Some(Errno::TOOBIG) => (RefusalKind::BadSpec, "arguments and environment are too long"),
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::TXTBSY) => {
            return Refusal::new(RefusalKind::Resources, format!("cannot start {shown} now: {error}"));
        }
        _ => return system(error, program),
    };
    Refusal::new(kind, format!("cannot start {shown}: {why}"))
}

fn open_outputs(stdout: &Output, stderr: &Output) -> Result<(Stdio, Stdio), Refusal> {
    let first = open_output(stdout)?;
    let second = if stderr == stdout {
        first.as_ref().map(File::try_clone).transpose().map_err(|error| refuse_output(&error, stderr))?
    } else {
        open_output(stderr)?
    };
    let stdio = |file: Option<File>| file.map_or_else(Stdio::null, Stdio::from);
    Ok((stdio(first), stdio(second)))
}

fn open_output(output: &Output) -> Result<Option<File>, Refusal> {
    let Some(path) = output.path() else { return Ok(None) };
    // Neither a FIFO nor a device may be put in the file's place: opening the one would hang the keeper, writing to the
    // other is no log.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| refuse_output(&error, output))?;
    let regular = file.metadata().map_err(|error| refuse_output(&error, output))?.is_file();
    if !regular {
        return Err(refuse_output(&io::Error::other("is not a regular file"), output));
    }
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND).map_err(|error| refuse_output(&error.into(), output))?;
    Ok(Some(file))
}

fn refuse_output(error: &io::Error, output: &Output) -> Refusal {
    let kind = match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => RefusalKind::Resources,
        _ => RefusalKind::Output,
    };
    let path = output.path().unwrap_or(Path::new("/dev/null"));
    Refusal::new(kind, format!("output file {}: {error}", path.display()))
}
