//! Control groups (version 2) for children with limits that only those can keep.
//!
//! They lie below the keeper's own, as far as it was delegated. Where it was not, or only in part, children start
//! without and their warnings say so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::{note, now_unix_us};
use crate::Limits;
use crate::proc_table::Stat;

/// Where the keeper goes itself: a group that gives limits to others may hold no processes of its own.
const OWN: &str = "piton-keeper";
const CHILDREN: &str = "piton-child-";

/// The groups of this keeper.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Of forgotten children, with somebody still in them.
    leftover: Vec<PathBuf>,
}

impl Groups {
    /// A group with these limits, if they need one and it can be had; and what cannot.
    pub(super) fn make(limits: &Limits) -> (Option<PathBuf>, Vec<String>) {
        if !limits.need_group() {
            return (None, Vec::new());
        }
        let made = own_group(
            &fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
            &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(),
        )
        .ok_or_else(|| io::Error::other("there are none of version 2 here"))
        .and_then(|parent| Ok((new_below(&parent)?, parent)));
        match made {
            Err(error) => {
                (None, vec![format!("memory, cpu and pids are not limited: control groups cannot be used: {error}")])
            }
            Ok((group, parent)) => {
                let warnings = settings(limits)
                    .into_iter()
                    .filter_map(|(what, controller, file, value)| {
                        let set = enable(&parent, controller).and_then(|()| fs::write(group.join(file), value));
                        Some(format!("{what} is not enforced: {}", set.err()?))
                    })
                    .collect();
                (Some(group), warnings)
            }
        }
    }

    /// Removes the group of a child that is forgotten, now or when it is empty.
    pub(super) fn remove(&mut self, group: Option<PathBuf>) {
        self.leftover.extend(group);
        self.leftover.retain(|group| match fs::remove_dir(group) {
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => true,
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                note(format_args!("cannot remove {}: {error}", group.display()));
                false
            }
            _ => false,
        });
    }
}

/// Kills all that are in the group at once, so that none can fork in between; gives who they were.
pub(super) fn kill(group: &Path) -> Vec<Stat> {
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let members: Vec<Stat> = members.lines().filter_map(|line| Stat::read(line.parse().ok()?)).collect();
    if !members.is_empty() {
        // An old kernel: they are killed one by one.
        let _ = fs::write(group.join("cgroup.kill"), "1");
    }
    members.into_iter().filter(Stat::is_live).collect()
}

/// Name for people, controller, file and text of each limit.
fn settings(limits: &Limits) -> Vec<(&'static str, &'static str, &'static str, String)> {
    let memory = limits.memory_max.map(|bytes| ("memory_max", "memory", "memory.max", bytes.to_string()));
    let cpu = limits
        .cpu_percent
        .map(|percent| ("cpu_percent", "cpu", "cpu.max", format!("{} 100000", u64::from(percent) * 1000)));
    let pids = limits.pids_max.map(|most| ("pids_max", "pids", "pids.max", most.to_string()));
    [memory, cpu, pids].into_iter().flatten().collect()
}

fn new_below(parent: &Path) -> io::Result<PathBuf> {
    let first = now_unix_us();
    for number in first..first + 1000 {
        let group = parent.join(format!("{CHILDREN}{number}"));
        match fs::create_dir(&group) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| group),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Lets the groups below this one be limited in this respect.
fn enable(parent: &Path, controller: &str) -> io::Result<()> {
    let has = |file: &str| {
        fs::read_to_string(parent.join(file)).is_ok_and(|text| text.split_whitespace().any(|one| one == controller))
    };
    if has("cgroup.subtree_control") {
        return Ok(());
    }
    if !has("cgroup.controllers") {
        return Err(io::Error::other(format!("the controller {controller} is not delegated")));
    }
    let allow = || fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
    match allow() {
        Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {}
        result => return result,
    }
    let own = parent.join(OWN);
    match fs::create_dir(&own) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::write(own.join("cgroup.procs"), "0")?;
    allow().inspect_err(|_| {
        // Others are there too, so it was in vain.
        let _ = fs::write(parent.join("cgroup.procs"), "0");
        let _ = fs::remove_dir(&own);
    })
}

/// The keeper's group as it was given, by the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn own_group(cgroup: &str, mounts: &str) -> Option<PathBuf> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mount = mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| fields.split(' ').nth(4)).flatten()
    })?;
    let group = Path::new(mount).join(path);
    let is_own = group.file_name().is_some_and(|name| name == OWN);
    Some(if is_own { group.parent()?.to_owned() } else { group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_group_it_was_given() {
        let mounts = "21 1 0:19 / /proc rw - proc proc rw\n\
                      30 21 0:25 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 21 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        let found = |cgroup: &str| own_group(cgroup, mounts);
        let base = Path::new("/sys/fs/cgroup/unified");
        assert_eq!(found("9:pids:/x\n0::/\n"), Some(base.to_owned()));
        assert_eq!(found("0::/system.slice/piton.service\n"), Some(base.join("system.slice/piton.service")));
        assert_eq!(found("0::/piton.service/piton-keeper\n"), Some(base.join("piton.service")));
        assert_eq!(found("9:pids:/x\n"), None);
        assert_eq!(own_group("0::/\n", ""), None);
    }

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let limits = Limits { cpu_percent: Some(150), memory_max: Some(1 << 20), ..Limits::default() };
        let written: Vec<_> = settings(&limits).into_iter().map(|(_, _, file, text)| (file, text)).collect();
        assert_eq!(written, [("memory.max", "1048576".to_owned()), ("cpu.max", "150000 100000".to_owned())]);
    }
}
