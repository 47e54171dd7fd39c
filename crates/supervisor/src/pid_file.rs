//! Files that say which process an instance is, in provisr's form.
//!
//! Three lines: the process id; the declaration as JSON, without its environment; a JSON object with `start_unix`, the
//! start in seconds since 1970, and, where Piton wrote it, `boot_id` and `start_ticks`. These two are the identity: a
//! clock that is set moves neither. A file of another program has the first line alone.
//!
//! Such a file is somebody's claim. Nobody is signalled because of it, and it is believed only as far as it can be
//! checked.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use piton_keeper::{BootId, ProcessIdentity, is_alive};
use piton_process::identity::{after_boot, boot_time};
use rustix::fs::{FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

mod write;

pub use write::{declaration, remove, write};

/// The longest file that is read.
const LONGEST: u64 = 1 << 20;
/// provisr knows a start by its second, as its clock was then.
const TOLERANCE: Duration = Duration::from_secs(2);

/// Whom a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// This process, which lives.
    Alive(ProcessIdentity),
    /// One that is gone.
    Dead,
    /// One that is gone, while another has its id.
    Reused,
    /// Nobody that it could truly name.
    Invalid(String),
}

/// The third line.
#[derive(Debug, Serialize, Deserialize)]
struct Start {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_unix: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot_id: Option<BootId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_ticks: Option<u64>,
}

/// Reads a file and looks whether the process lives that it names. A file that is missing names nobody:
/// [`Named::Dead`].
pub fn read(path: &Path) -> io::Result<Named> {
    Ok(match claim(path)? {
        Ok((claim, written)) => check(&claim, &written),
        Err(named) => named,
    })
}

/// The process that lives and that a file names by its id and its start, as those of Piton and of provisr do. What
/// programs write themselves says when none was started, and counts for nothing here.
pub(crate) fn started(path: &Path) -> Option<ProcessIdentity> {
    let (claim, written) = claim(path).ok()?.ok()?;
    claim.start.as_ref().filter(|start| start.start_ticks.is_some() || start.start_unix.is_some())?;
    match check(&claim, &written) {
        Named::Alive(identity) => Some(identity),
        Named::Dead | Named::Reused | Named::Invalid(_) => None,
    }
}

/// What a file says, or why it names nobody.
fn claim(path: &Path) -> io::Result<Result<(Claim, Written), Named>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(Err(Named::Dead)),
        Err(rustix::io::Errno::LOOP) => return Ok(Err(Named::Invalid("it is a symbolic link".to_owned()))),
        Err(error) => return Err(error.into()),
    };
    let meta = file.metadata()?;
    if FileType::from_raw_mode(meta.mode()) != FileType::RegularFile {
        return Ok(Err(Named::Invalid("it is not a regular file".to_owned())));
    }
    let mut bytes = Vec::new();
    (&file).take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Ok(Err(Named::Invalid("it is too long".to_owned())));
    }
    let written = Written { owner: meta.uid(), at: Duration::from_secs(meta.mtime().cast_unsigned()) };
    Ok(parse(&bytes).map(|claim| (claim, written)).map_err(Named::Invalid))
}

/// What a file says.
struct Claim {
    pid: u32,
    start: Option<Start>,
}

/// Who wrote it, and when.
struct Written {
    owner: u32,
    at: Duration,
}

fn parse(bytes: &[u8]) -> Result<Claim, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let mut lines = text.lines();
    let first = lines.next().map(str::trim).filter(|line| !line.is_empty()).ok_or("it is empty")?;
    let number: i128 = first.parse().map_err(|_| "its first line is not a process id".to_owned())?;
    let pid = match u32::try_from(number) {
        Ok(0) => return Err("0 is no process id".to_owned()),
        Ok(1) => return Err("process 1 is the machine's own".to_owned()),
        Ok(pid) if pid <= i32::MAX.cast_unsigned() => pid,
        _ => return Err(format!("{number} is no process id")),
    };
    let start = match lines.nth(1).map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => {
            Some(serde_json::from_str(line).map_err(|_| "its third line does not say when it was started".to_owned())?)
        }
        None => None,
    };
    Ok(Claim { pid, start })
}

fn check(claim: &Claim, written: &Written) -> Named {
    let pid = claim.pid;
    if pid == std::process::id() {
        return Named::Invalid(format!("process {pid} is this daemon"));
    }
    let identity = match &claim.start {
        Some(Start { boot_id: Some(boot_id), .. }) if BootId::current().as_ref() != Some(boot_id) => {
            return Named::Dead;
        }
        start => match ProcessIdentity::of(pid).filter(is_alive) {
            None => return Named::Dead,
            Some(identity) if !is_meant(&identity, start.as_ref(), written) => return Named::Reused,
            Some(identity) => identity,
        },
    };
    // Whoever may write the file decides whom it names: they must not name what is not theirs.
    let Ok(meta) = std::fs::metadata(format!("/proc/{pid}")) else { return Named::Dead };
    if written.owner != 0 && meta.uid() != written.owner {
        return Named::Invalid(format!("process {pid} belongs to another user than the file"));
    }
    // Asked again, since the owner was looked up by the id alone.
    if is_alive(&identity) { Named::Alive(identity) } else { Named::Dead }
}

fn is_meant(found: &ProcessIdentity, start: Option<&Start>, written: &Written) -> bool {
    let began = boot_time() + after_boot(found.start_ticks);
    match start {
        Some(Start { boot_id: Some(_), start_ticks: Some(ticks), .. }) => *ticks == found.start_ticks,
        Some(Start { start_unix: Some(seconds), .. }) => Duration::from_secs(*seconds).abs_diff(began) <= TOLERANCE,
        // A file names who was there when it was written.
        _ => began <= written.at + TOLERANCE,
    }
}
