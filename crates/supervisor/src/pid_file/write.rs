//! Writing and removing them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use piton_keeper::ProcessIdentity;
use piton_model::{Process, Program, RestartWhen};
use piton_process::identity::{after_boot, boot_time};
use serde_json::{Map, Value, json};

use super::{LONGEST, Start, parse};

/// A declaration as provisr writes it, without its environment.
pub fn declaration(process: &Process, instance: &str) -> Value {
    let nanos = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut spec = Map::new();
    spec.insert("name".to_owned(), json!(instance));
    match &process.program {
        Program::Exec { argv } => spec.insert("args".to_owned(), json!(argv)),
        Program::Shell { line } => spec.insert("command".to_owned(), json!(line)),
        Program::Script { text } => spec.insert("command".to_owned(), json!(text)),
    };
    if let Some(dir) = &process.work_dir {
        spec.insert("work_dir".to_owned(), json!(dir));
    }
    spec.insert("priority".to_owned(), json!(process.priority));
    spec.insert("instances".to_owned(), json!(1));
    spec.insert("start_duration".to_owned(), json!(nanos(process.start.duration)));
    spec.insert("auto_restart".to_owned(), json!(process.restart.when != RestartWhen::Never));
    spec.insert("restart_interval".to_owned(), json!(nanos(process.restart.delay)));
    Value::Object(spec)
}

/// Writes the file of an instance, for this user only. It is there as a whole or not at all, and a symbolic link in its
/// place is replaced. A file that holds something else than a process id is left alone: that is an error.
pub fn write(path: &Path, identity: &ProcessIdentity, declaration: &Value) -> io::Result<()> {
    refuse_foreign(path)?;
    let start = Start {
        start_unix: Some((boot_time() + after_boot(identity.start_ticks)).as_secs()),
        boot_id: Some(identity.boot_id.clone()),
        start_ticks: Some(identity.start_ticks),
    };
    let text = format!("{}\n{declaration}\n{}\n", identity.pid, serde_json::to_string(&start)?);
    let beside = beside(path)?;
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let mut file = match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // What a crash has left there is not ours to follow or to share.
            fs::remove_file(&beside)?;
            create()?
        }
        created => created?,
    };
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Removes the file of an instance, if it still names it.
pub fn remove(path: &Path, identity: &ProcessIdentity) -> io::Result<()> {
    let Some(bytes) = content(path)? else { return Ok(()) };
    let Ok(claim) = parse(&bytes) else { return Ok(()) };
    let is_its = claim.start.is_none_or(|start| start.start_ticks.is_none_or(|ticks| ticks == identity.start_ticks));
    if claim.pid != identity.pid || !is_its {
        return Ok(());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn refuse_foreign(path: &Path) -> io::Result<()> {
    let Some(bytes) = content(path)? else { return Ok(()) };
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let number = first.strip_prefix(b"-").unwrap_or(first);
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    if is_number || bytes.trim_ascii().is_empty() {
        return Ok(());
    }
    let message = format!("{} holds something else than a process id, and is left alone", path.display());
    Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
}

/// What a regular file holds; nothing where there is none, or something else.
fn content(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no file", path.display())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".new");
    Ok(path.with_file_name(hidden))
}
