//! The few facts the keeper reads from `/proc`, by hand: a general crate would cost more memory than the keeper itself.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;

use crate::Token;
use crate::spec::{KEEPER_VARIABLE, TOKEN_VARIABLE};

/// The parts of `/proc/PID/stat` that place a process in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) state: u8,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    pub(crate) start_ticks: u64,
    /// Between two programs: `execve` has dropped the old environment and not yet laid out the new one.
    pub(crate) is_executing: bool,
}

/// `PF_KTHREAD` of the kernel: a thread of its own, which never has an environment.
const KERNEL_THREAD: u64 = 0x0020_0000;

impl Stat {
    pub(crate) fn read(pid: u32) -> Option<Self> {
        // The kernel gives the line in one piece. Twice the room of its longest form.
        let mut line = [0; 2048];
        let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut line).ok()?;
        Self::parse(line.get(..length)?)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        // The command name stands in parentheses and may itself contain `) R 1`, so the last `)` ends it.
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // `rest` begins with field 3; numbers as in proc(5).
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let id = |field| u32::try_from(number(field)?).ok();
        let state = *fields.first()?.as_bytes().first()?;
        let (flags, environment_end) = (number(9)?, number(51).unwrap_or(0));
        Some(Self {
            pid,
            state,
            parent: id(4)?,
            group: id(5)?,
            session: id(6)?,
            start_ticks: number(22)?,
            is_executing: environment_end == 0 && flags & KERNEL_THREAD == 0,
        })
    }

    /// Whether it still executes; `Z` and `X` are dead.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Every process that started at or after `since` and still executes.
///
/// Nothing descends from a process older than itself, so the bound spares the keeper the rest of a busy machine.
pub(crate) fn started_since(since: u64) -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Stat::read)
        .filter(|stat| stat.start_ticks >= since && stat.is_live())
        .collect()
}

/// The children of this process, the dead ones that were not reaped included, if it has one thread only. `None` where
/// the kernel does not say.
///
/// Nobody is missed, though the list is read piece by piece: who comes late, as the child of a child that ends meanwhile,
/// is put at its end.
pub(crate) fn own_children() -> Option<impl Iterator<Item = u32>> {
    let text = fs::read_to_string("/proc/thread-self/children").ok()?;
    let pids: Option<Vec<u32>> = text.split_ascii_whitespace().map(|pid| pid.parse().ok()).collect();
    Some(pids?.into_iter())
}

/// What a process's environment says of where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The keeper of this directory gave it this token, or gave it to an ancestor.
    Token(Token),
    /// Nothing.
    Nothing,
    /// Nothing yet: it is just becoming another program and may well carry a token in a moment.
    NotYet,
}

impl Mark {
    pub(crate) fn read(pid: u32, keeper_dir: &OsStr) -> Self {
        for _ in 0..3 {
            // Another user's process, or one that is gone.
            let Ok(environ) = File::open(format!("/proc/{pid}/environ")) else { return Self::Nothing };
            let mut environ = BufReader::with_capacity(16 * 1024, environ);
            if environ.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
                return token_in(environ, keeper_dir.as_bytes()).map_or(Self::Nothing, Self::Token);
            }
            match Stat::read(pid) {
                Some(stat) if stat.is_live() && stat.is_executing => return Self::NotYet,
                None => return Self::Nothing,
                // Truly empty, or complete just now: once more tells which.
                Some(_) => {}
            }
        }
        Self::Nothing
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        match self {
            Self::Token(token) => Some(token),
            Self::Nothing | Self::NotYet => None,
        }
    }
}

fn token_in(mut environ: impl BufRead, keeper_dir: &[u8]) -> Option<Token> {
    let (mut token, mut ours) = (None, false);
    let mut entry = Vec::new();
    loop {
        entry.clear();
        if environ.read_until(0, &mut entry).ok()? == 0 {
            return None;
        }
        let text = entry.strip_suffix(&[0]).unwrap_or(&entry);
        if let Some(value) = value_of(text, TOKEN_VARIABLE) {
            token = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        } else if let Some(value) = value_of(text, KEEPER_VARIABLE) {
            ours = value == keeper_dir;
        }
        if ours && token.is_some() {
            return token;
        }
    }
}

fn value_of<'a>(entry: &'a [u8], name: &str) -> Option<&'a [u8]> {
    entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_command_name_moves_no_field() {
        let line = b"77 (a) R 1 1 (b\n\xff) S 12 13 14 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9876 99 1\n";
        let stat = Stat::parse(line).unwrap();
        let expected =
            Stat { pid: 77, state: b'S', parent: 12, group: 13, session: 14, start_ticks: 9876, is_executing: true };
        assert_eq!(stat, expected);
        assert_eq!(Stat::parse(b"77 (a"), None);
        assert_eq!(Stat::parse(b"77 (a) S 1 2"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn finds_itself() {
        let me = Stat::read(std::process::id()).unwrap();
        assert_eq!(me.parent, std::os::unix::process::parent_id());
        assert!(!me.is_executing);
        assert!(started_since(me.start_ticks).iter().any(|stat| stat.pid == me.pid));
        assert!(started_since(me.start_ticks + 1).iter().all(|stat| stat.pid != me.pid));
    }

    #[test]
    fn children_are_there_until_they_are_reaped() {
        #[expect(clippy::disallowed_methods, reason = "it takes a child to find one")]
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id();
        let is_there = || own_children().unwrap().any(|child| child == pid);
        assert!(is_there());
        child.kill().unwrap();
        assert!(is_there(), "nobody has asked how it ended");
        child.wait().unwrap();
        assert!(!is_there());
    }

    #[test]
    fn a_token_counts_only_with_its_keeper() {
        let found = |environ: &[u8]| token_in(environ, b"/data").map(String::from);
        assert_eq!(found(b"A=1\0PITON_KEEPER=/data\0PITON_TOKEN=run/1\0B=2\0"), Some("run/1".into()));
        assert_eq!(found(b"PITON_TOKEN=run/1\0PITON_KEEPER=/data"), Some("run/1".into()));
        assert_eq!(found(b"PITON_TOKEN=run/1\0PITON_KEEPER=/other\0"), None);
        assert_eq!(found(b"PITON_TOKEN=run/1\0"), None);
        assert_eq!(found(b"PITON_TOKEN=no token\0PITON_KEEPER=/data\0"), None);
        assert_eq!(found(b"XPITON_TOKEN=a\0XPITON_KEEPER=/data\0"), None);
        assert_eq!(found(b""), None);
    }
}
