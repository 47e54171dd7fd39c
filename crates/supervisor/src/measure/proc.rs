//! What `/proc` says of a process. Its own few lines: a general crate reads and keeps far more of each.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

/// One line of `/proc/PID/stat`, as far as it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) pid: u32,
    pub(super) parent: u32,
    /// Time on the processor, in clock ticks.
    pub(super) cpu_ticks: u64,
    pub(super) threads: u32,
    pub(super) start_ticks: u64,
    pub(super) vms: u64,
    pub(super) rss_pages: u64,
}

impl Stat {
    pub(super) fn parse(line: &[u8]) -> Option<Stat> {
        // The name in parentheses may hold anything, also parentheses: the last one ends it.
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
        let mut fields = std::str::from_utf8(line.get(close + 1..)?).ok()?.split_ascii_whitespace();
        // Numbers as in proc(5); the state is field 3.
        if matches!(fields.next()?, "Z" | "X" | "x") {
            return None;
        }
        let mut at = 3;
        let mut number = |field: usize| {
            let value = fields.nth(field - at - 1)?.parse::<u64>().ok();
            at = field;
            value
        };
        let parent = u32::try_from(number(4)?).ok()?;
        let cpu_ticks = number(14)?.saturating_add(number(15)?);
        let threads = u32::try_from(number(20)?).ok()?;
        Some(Stat {
            pid,
            parent,
            cpu_ticks,
            threads,
            start_ticks: number(22)?,
            vms: number(23)?,
            rss_pages: number(24)?,
        })
    }
}

/// `/proc`, and room to read into.
pub(super) struct Proc {
    dir: OwnedFd,
    buffer: Vec<u8>,
}

impl Proc {
    pub(super) fn open() -> io::Result<Proc> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open("/proc", flags, Mode::empty())?;
        Ok(Proc { dir, buffer: vec![0; 8 * 1024] })
    }

    /// Every process that lives.
    pub(super) fn all(&mut self) -> Vec<Stat> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter_map(|pid| Stat::parse(self.read(&format!("{pid}/stat"))?)).collect()
    }

    /// Whether anything of this machine's memory is swapped out, or could be.
    pub(super) fn swaps(&mut self) -> bool {
        let Some(text) = self.read("meminfo") else { return true };
        let kib = |name| kib_of(text, name);
        kib("SwapTotal:") != kib("SwapFree:")
    }

    /// Bytes of a process that are swapped out.
    pub(super) fn swap(&mut self, pid: u32) -> u64 {
        self.read(&format!("{pid}/status")).and_then(|text| kib_of(text, "VmSwap:")).map_or(0, |kib| kib * 1024)
    }

    /// Bytes read from and written to storage; none where that may not be known.
    pub(super) fn io(&mut self, pid: u32) -> Option<(u64, u64)> {
        let text = std::str::from_utf8(self.read(&format!("{pid}/io"))?).ok()?;
        let value = |name| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        Some((value("read_bytes:")?, value("write_bytes:")?))
    }

    /// Open descriptors; none where they may not be counted. `readable` says that [`Proc::io`] may be read, which takes
    /// the same permission.
    pub(super) fn fds(&self, pid: u32, readable: bool) -> Option<u32> {
        let path = format!("{pid}/fd");
        if readable {
            // Since Linux 6.2 the size of the directory is their number, whoever asks.
            let size = statat(self.dir.as_fd(), &path, AtFlags::empty()).ok()?.st_size;
            if size > 0 {
                return u32::try_from(size).ok();
            }
        }
        std::fs::read_dir(format!("/proc/{path}")).ok().and_then(|entries| u32::try_from(entries.count()).ok())
    }

    fn read(&mut self, path: &str) -> Option<&[u8]> {
        let file = openat(self.dir.as_fd(), path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let length = File::from(file).read(&mut self.buffer).ok()?;
        self.buffer.get(..length)
    }
}

fn kib_of(text: &[u8], name: &str) -> Option<u64> {
    // Field by field and not as a whole: the name of a process above may be no UTF-8.
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()))?;
    std::str::from_utf8(line).ok()?.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_moves_no_field() {
        let line = b"77 (a) R 1 1 (b\n\xff) S 12 13 14 0 -1 4194304 1 2 3 4 50 60 7 8 20 0 5 0 9876 4096 3 184467\n";
        let stat = Stat { pid: 77, parent: 12, cpu_ticks: 110, threads: 5, start_ticks: 9876, vms: 4096, rss_pages: 3 };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse(b"77 (a) Z 12 13 14 0 -1 4194304 1 2 3 4 50 60 7 8 20 0 5 0 9876 4096 3"), None);
        for broken in [&b""[..], b"77 (a", b"77 (a) S 12", b"x (a) S 1 2 3"] {
            assert_eq!(Stat::parse(broken), None);
        }
    }

    #[test]
    fn knows_this_process() {
        let mut proc = Proc::open().unwrap();
        let me = std::process::id();
        let stat = proc.all().into_iter().find(|stat| stat.pid == me).unwrap();
        assert_eq!(stat.parent, std::os::unix::process::parent_id());
        assert!(stat.rss_pages > 0 && stat.vms > stat.rss_pages && stat.threads > 0);
        let before = proc.fds(me, true).unwrap();
        let held: Vec<_> = (0..40).map(|_| File::open("/dev/null").unwrap()).collect();
        assert!(proc.fds(me, true).unwrap() >= before + 20, "{} descriptors more", held.len());
        assert!(proc.fds(me, false).unwrap() >= before + 20);
        assert!(proc.io(me).is_some());
        assert_eq!(kib_of(b"Name:\t\xff\nVmSwap:\t  12 kB\n", "VmSwap:"), Some(12));
    }
}
