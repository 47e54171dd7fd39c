//! What instances use: the process that was started and all that descends from it.

mod history;
mod proc;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::time::Instant;

use jiff::Timestamp;
use rustix::param::{clock_ticks_per_second, page_size};

pub use history::{History, sum};

use crate::Usage;
use proc::{Proc, Stat};

/// Measures instances again and again.
pub struct Sampler {
    proc: Proc,
    /// When the last measurement was, by the monotonic clock.
    last: Option<Instant>,
    /// Time on the processor up to then, by process: its id and its start.
    ticks: HashMap<(u32, u64), u64>,
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler").field("processes", &self.ticks.len()).finish_non_exhaustive()
    }
}

impl Sampler {
    /// Fails where `/proc` is not mounted.
    pub fn new() -> io::Result<Sampler> {
        Ok(Sampler { proc: Proc::open()?, last: None, ticks: HashMap::new() })
    }

    /// Measures these instances, each given with the id of the process that was started; those that are gone are left
    /// out. Reads all of `/proc` once: some ten milliseconds for a thousand processes, so it is for a thread that may
    /// block. `at` is for people only. The share of the processor is 0 in the first measurement of a process.
    pub fn sample<'a, N>(&mut self, at: Timestamp, instances: &'a [(N, u32)]) -> Vec<(&'a N, Usage)> {
        let now = Instant::now();
        let seconds = self.last.map(|last| now.duration_since(last).as_secs_f64());
        let all = self.proc.all();
        let tree = Tree::of(&all);
        let swaps = self.proc.swaps();
        let mut ticks = HashMap::with_capacity(self.ticks.len());
        let mut usages = Vec::with_capacity(instances.len());
        for (name, pid) in instances {
            let members = tree.below(*pid);
            if members.is_empty() {
                continue;
            }
            let mut usage = Usage { at, pid: *pid, ..Usage::default() };
            let mut worked = 0;
            for stat in members {
                let key = (stat.pid, stat.start_ticks);
                ticks.insert(key, stat.cpu_ticks);
                if let Some(before) = self.ticks.get(&key) {
                    worked += stat.cpu_ticks.saturating_sub(*before);
                }
                usage.rss += stat.rss_pages * page_size() as u64;
                usage.vms += stat.vms;
                usage.threads += stat.threads;
                if swaps {
                    usage.swap += self.proc.swap(stat.pid);
                }
                let io = self.proc.io(stat.pid);
                if let Some((read, written)) = io {
                    *usage.read_bytes.get_or_insert(0) += read;
                    *usage.written_bytes.get_or_insert(0) += written;
                }
                if let Some(fds) = self.proc.fds(stat.pid, io.is_some()) {
                    *usage.fds.get_or_insert(0) += fds;
                }
            }
            if let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) {
                let worked = worked as f64 / clock_ticks_per_second().max(1) as f64;
                usage.cpu_percent = 100.0 * worked / seconds;
            }
            usages.push((name, usage));
        }
        self.ticks = ticks;
        self.last = Some(now);
        usages
    }
}

/// Who descends from whom.
struct Tree<'a> {
    by_pid: HashMap<u32, &'a Stat>,
    children: HashMap<u32, Vec<&'a Stat>>,
}

impl<'a> Tree<'a> {
    fn of(all: &'a [Stat]) -> Tree<'a> {
        let mut tree = Tree { by_pid: HashMap::with_capacity(all.len()), children: HashMap::new() };
        for stat in all {
            tree.by_pid.insert(stat.pid, stat);
            tree.children.entry(stat.parent).or_default().push(stat);
        }
        tree
    }

    /// A process and all that descends from it; nothing if it is gone.
    fn below(&self, pid: u32) -> Vec<&'a Stat> {
        let mut found: Vec<&Stat> = self.by_pid.get(&pid).copied().into_iter().collect();
        // Read one after the other, the lines may contradict each other: nobody is visited twice.
        let mut seen = HashSet::from([pid]);
        let mut at = 0;
        while let Some(stat) = found.get(at) {
            for child in self.children.get(&stat.pid).into_iter().flatten() {
                if seen.insert(child.pid) {
                    found.push(child);
                }
            }
            at += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(pid: u32, parent: u32) -> Stat {
        Stat { pid, parent, cpu_ticks: 0, threads: 1, start_ticks: 1, vms: 0, rss_pages: 0 }
    }

    #[test]
    fn a_tree_is_complete_and_ends() {
        let all = [stat(10, 1), stat(11, 10), stat(12, 11), stat(13, 1), stat(20, 21), stat(21, 20)];
        let tree = Tree::of(&all);
        let below = |pid| {
            let mut pids: Vec<u32> = tree.below(pid).iter().map(|stat| stat.pid).collect();
            pids.sort_unstable();
            pids
        };
        assert_eq!(below(10), [10, 11, 12]);
        assert_eq!(below(13), [13]);
        assert_eq!(below(20), [20, 21], "what contradicts itself ends all the same");
        assert_eq!(below(99), [0_u32; 0]);
    }
}
