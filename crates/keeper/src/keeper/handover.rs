//! What a keeper tells the program it becomes, beyond what is in the journal: a file without a name, as that program's
//! standard output.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, MemfdFlags};
use serde::{Deserialize, Serialize};

use super::note;
use crate::LogFile;

const NAME: &str = "piton-keeper-handover";

/// Everything that is handed over.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Handover {
    /// The limits of open files a child is to have: soft and hard.
    pub(super) nofile: Option<(Option<u64>, Option<u64>)>,
    /// Pipes of children.
    pub(super) pipes: Vec<HandedPipe>,
    /// Output that was lost and not told of yet.
    pub(super) losses: Vec<HandedLoss>,
}

/// A pipe that stays open.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedPipe {
    /// The descriptor.
    pub(super) fd: i32,
    /// What it should be.
    pub(super) inode: u64,
    /// The child's pid.
    pub(super) owner: u32,
    /// What comes next begins a line.
    pub(super) line_begins: bool,
    /// Where it ends.
    pub(super) log: LogFile,
}

/// Output that was lost.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedLoss {
    /// Which log should say so.
    pub(super) log: LogFile,
    /// How much.
    pub(super) bytes: u64,
    /// By which error.
    pub(super) why: i32,
}

impl Handover {
    /// Writes it down, for the program's standard output.
    pub(super) fn write(&self) -> io::Result<File> {
        let mut file = File::from(rustix::fs::memfd_create(NAME, MemfdFlags::CLOEXEC)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        Ok(file)
    }

    /// What was handed over to this process, if anything was.
    pub(super) fn receive() -> Self {
        let name = std::fs::read_link("/proc/self/fd/1").unwrap_or_default();
        if !name.to_str().is_some_and(|name| name.starts_with(&format!("/memfd:{NAME}"))) {
            return Self::default();
        }
        let read = || {
            let mut text = Vec::new();
            File::open("/proc/self/fd/1")?.read_to_end(&mut text)?;
            Ok::<_, io::Error>(serde_json::from_slice(&text)?)
        };
        read().unwrap_or_else(|error| {
            note(format_args!("cannot read what the keeper before handed over: {error}"));
            Self::default()
        })
    }

    /// The pipes, as far as they are there.
    pub(super) fn take_pipes(&mut self) -> Vec<(OwnedFd, HandedPipe)> {
        std::mem::take(&mut self.pipes).into_iter().filter_map(take_pipe).collect()
    }
}

#[expect(unsafe_code, reason = "there is no safe way to own a descriptor that was inherited")]
fn take_pipe(handed: HandedPipe) -> Option<(OwnedFd, HandedPipe)> {
    // Looked at by name first: a number that means something else must not be closed by mistake.
    let stat = rustix::fs::stat(format!("/proc/self/fd/{}", handed.fd)).ok();
    let is_it = stat.is_some_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::Fifo && stat.st_ino == handed.inode && handed.fd > 2
    });
    if !is_it {
        note(format_args!("a pipe into {} was not handed over", handed.log.path.display()));
        return None;
    }
    // SAFETY: the keeper before kept this descriptor open for this one, which found the very pipe under it, and each is
    // listed once; nothing in this process has opened or owns it.
    Some((unsafe { OwnedFd::from_raw_fd(handed.fd) }, handed))
}
