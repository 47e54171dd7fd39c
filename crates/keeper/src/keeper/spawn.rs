//! Starting one child, with a precise answer when it cannot be started.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fd::OwnedFd;
use rustix::fs::{Access, FileType, OFlags};
use rustix::io::Errno;

use super::capture::Captures;
use super::hold::Shields;
use super::launcher::Launcher;
use crate::identity::to_rustix;
use crate::launch::{Order, open_input};
use crate::protocol::{Refusal, RefusalKind};
use crate::spec::{KEEPER_VARIABLE, TOKEN_VARIABLE};
use crate::{Output, Spec, Token};

/// Where a program is looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A process that was started. It is the keeper's child and not yet reaped, so the pid cannot mean another process.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: u32,
    pub(super) warnings: Vec<String>,
}

/// Starts the process; what can be seen without the system was validated before.
pub(super) fn spawn(
    spec: &Spec,
    token: &Token,
    keeper: &OsStr,
    shields: &Shields,
    group: Option<&Path>,
    captures: &mut Captures,
) -> Result<Started, Refusal> {
    let Some(program) = spec.argv.first() else {
        return Err(Refusal::new(RefusalKind::BadSpec, crate::SpecError::EmptyCommand.to_string()));
    };
    check_directory(&spec.cwd)?;
    let path = spec.env.get(OsStr::new("PATH")).map_or(OsStr::new(DEFAULT_PATH), |path| path.as_os_str());
    let resolved = resolve(program, path, &spec.cwd)?;
    let outputs = open_outputs(&spec.stdout, &spec.stderr, captures)?;
    let pipes = outputs.pipes.clone();
    let result = if spec.limits.need_launcher() {
        launch(spec, token, keeper, shields, group, &resolved, outputs)
    } else {
        start(spec, token, keeper, shields, &resolved, outputs)
    };
    for pipe in pipes {
        match &result {
            Ok(started) => captures.adopt(pipe, started.pid),
            Err(_) => captures.detach(pipe),
        }
    }
    result
}

/// Starts it as it is.
fn start(
    spec: &Spec,
    token: &Token,
    keeper: &OsStr,
    shields: &Shields,
    program: &Path,
    outputs: Outputs,
) -> Result<Started, Refusal> {
    let stdin = match &spec.limits.stdin {
        Some(path) => open_input(path)?,
        None => File::open("/dev/null").map_err(|error| refuse_start(&error, program))?,
    };
    #[expect(clippy::disallowed_methods, reason = "the keeper is the one place that starts processes")]
    let mut command = Command::new(program);
    command.arg0(&spec.argv[0]).args(&spec.argv[1..]).env_clear().envs(&spec.env);
    let pid = spawn_with(command, &spec.cwd, token, keeper, shields, stdin.into(), outputs)
        .map_err(|error| refuse_start(&error, program))?;
    Ok(Started { pid, warnings: Vec::new() })
}

/// Starts it by way of the launcher.
fn launch(
    spec: &Spec,
    token: &Token,
    keeper: &OsStr,
    shields: &Shields,
    group: Option<&Path>,
    program: &Path,
    outputs: Outputs,
) -> Result<Started, Refusal> {
    let (launcher, stdin) = Launcher::new()?;
    let mut command = Launcher::command();
    // Not the child's environment: what it says to the dynamic loader is not meant for the launcher.
    command.env_clear();
    let pid = spawn_with(command, &spec.cwd, token, keeper, shields, stdin, outputs)
        .map_err(|error| refuse_start(&error, program))?;
    let mut order = Order {
        program: program.to_owned(),
        argv: spec.argv.clone(),
        env: spec.env.clone(),
        limits: spec.limits.clone(),
        group: group.map(Path::to_owned),
    };
    order.env.insert(TOKEN_VARIABLE.into(), token.as_str().into());
    order.env.insert(KEEPER_VARIABLE.into(), keeper.into());
    match launcher.launch(&order) {
        Ok(warnings) => Ok(Started { pid, warnings }),
        Err(refusal) => {
            // It ends by itself, unless it is stuck. Not reaped yet, so the number is its own.
            if let Some(pid) = to_rustix(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            Err(refusal)
        }
    }
}

/// Starts the command in a group of its own, with what every child is given.
fn spawn_with(
    mut command: Command,
    cwd: &Path,
    token: &Token,
    keeper: &OsStr,
    shields: &Shields,
    stdin: OwnedFd,
    outputs: Outputs,
) -> io::Result<u32> {
    command
        .env(TOKEN_VARIABLE, token.as_str())
        .env(KEEPER_VARIABLE, keeper)
        .current_dir(cwd)
        .stdin(stdin)
        .stdout(outputs.stdout)
        .stderr(outputs.stderr)
        .process_group(0);
    // All is open by now: nothing could be opened under the children's limit.
    let child = shields.oom.lowered(|| shields.files.lowered(|| command.spawn()))?;
    // Dropping the handle neither kills nor waits: the child is reaped with all others.
    Ok(child.id())
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
pub(crate) fn refuse_start(error: &io::Error, program: &Path) -> Refusal {
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

/// A child's ends of its outputs.
#[derive(Debug)]
struct Outputs {
    stdout: OwnedFd,
    stderr: OwnedFd,
    /// The keeper's ends, where there are any.
    pipes: Vec<u64>,
}

fn open_outputs(stdout: &Output, stderr: &Output, captures: &mut Captures) -> Result<Outputs, Refusal> {
    let mut pipes = Vec::new();
    let mut open = || -> Result<(OwnedFd, OwnedFd), Refusal> {
        let first = open_output(stdout, captures, &mut pipes)?;
        let second = if stderr == stdout {
            first.try_clone().map_err(|error| refuse_output(&error, stderr))?
        } else {
            open_output(stderr, captures, &mut pipes)?
        };
        Ok((first, second))
    };
    match open() {
        Ok((stdout, stderr)) => Ok(Outputs { stdout, stderr, pipes }),
        Err(refusal) => {
            for pipe in pipes {
                captures.detach(pipe);
            }
            Err(refusal)
        }
    }
}

fn open_output(output: &Output, captures: &mut Captures, pipes: &mut Vec<u64>) -> Result<OwnedFd, Refusal> {
    let path = match output {
        Output::Null => {
            let null = OpenOptions::new().write(true).open("/dev/null");
            return Ok(null.map_err(|error| refuse_output(&error, output))?.into());
        }
        Output::File(path) => path,
        Output::Log(log) => {
            let prepared = captures.prepare(log).map_err(|error| refuse_output(&error, output))?;
            pipes.push(prepared.id);
            return Ok(prepared.writer);
        }
    };
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
    Ok(file.into())
}

fn refuse_output(error: &io::Error, output: &Output) -> Refusal {
    let kind = match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => RefusalKind::Resources,
        _ => RefusalKind::Output,
    };
    let path = output.path().unwrap_or(Path::new("/dev/null"));
    Refusal::new(kind, format!("output file {}: {error}", path.display()))
}
