//! Who belongs to a child: a pure judgement over a picture of the process table.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;

use rustix::io::Errno;

use super::table::Held;
use crate::identity::signal_exactly;
use crate::proc_table::{Mark, Stat, started_since};
use crate::{Signal, State, Token};

/// A process in the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) stat: Stat,
    pub(super) mark: Mark,
}

/// All processes at one moment, found by what makes them somebody's. One picture serves for any number of children.
#[derive(Debug, Default)]
pub(super) struct Picture {
    processes: Vec<Process>,
    by_pid: HashMap<u32, usize>,
    by_parent: HashMap<u32, Vec<usize>>,
    by_group: HashMap<u32, Vec<usize>>,
    by_token: HashMap<Token, Vec<usize>>,
    /// Those that could yet turn out to be anybody's.
    undecided: Vec<usize>,
}

impl Picture {
    /// Every process that started at or after `since` but the keeper: it is in nobody's tree, even if something in the
    /// tree happened to start it.
    pub(super) fn take(since: u64, keeper: &OsStr) -> Self {
        let others = started_since(since).into_iter().filter(|stat| stat.pid != std::process::id());
        Self::of(others.map(|stat| Process { stat, mark: Mark::read(stat.pid, keeper) }).collect())
    }

    fn of(processes: Vec<Process>) -> Self {
        let mut picture = Self::default();
        for (index, process) in processes.iter().enumerate() {
            picture.by_pid.insert(process.stat.pid, index);
            picture.by_parent.entry(process.stat.parent).or_default().push(index);
            picture.by_group.entry(process.stat.group).or_default().push(index);
            match &process.mark {
                Mark::Token(token) => picture.by_token.entry(token.clone()).or_default().push(index),
                Mark::NotYet => picture.undecided.push(index),
                Mark::Nothing => {}
            }
        }
        Self { processes, ..picture }
    }

    pub(super) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Whether the child was there already, so that its tree is to be found here.
    pub(super) fn shows(&self, of: &Held) -> bool {
        of.child.state != State::Running || self.by_pid.contains_key(&of.child.identity.pid)
    }

    /// The processes of the child's group.
    pub(super) fn group(&self, of: &Held) -> Vec<Stat> {
        self.group_indices(of).map(|index| self.processes[index].stat).collect()
    }

    /// The child, its group, whoever carries its token, and all their descendants.
    pub(super) fn members(&self, of: &Held) -> Vec<Stat> {
        if !of.child.identity.is_of_this_boot() {
            return Vec::new();
        }
        let itself = self.by_pid.get(&of.child.identity.pid).copied();
        let itself = itself.filter(|index| is_child(of, &self.processes[*index].stat));
        let marked = self.by_token.get(&of.child.token).into_iter().flatten().copied();
        let mut members: Vec<usize> = itself.into_iter().chain(marked).chain(self.group_indices(of)).collect();
        members.sort_unstable();
        members.dedup();
        let mut known: HashSet<usize> = members.iter().copied().collect();
        // Ancestry is proof whatever the environment says.
        let mut next = 0;
        while let Some(index) = members.get(next) {
            let children = self.by_parent.get(&self.processes[*index].stat.pid).into_iter().flatten();
            let found: Vec<usize> = children.copied().filter(|child| known.insert(*child)).collect();
            members.extend(found);
            next += 1;
        }
        members.into_iter().map(|index| self.processes[index].stat).collect()
    }

    /// Whether nobody in the picture could yet turn out to be a member.
    pub(super) fn is_settled(&self, of: &Held) -> bool {
        // Nothing descends from a process that is younger.
        let since = of.child.identity.start_ticks;
        self.undecided.iter().all(|index| self.processes[*index].stat.start_ticks < since)
    }

    /// A group's number is the pid of its first process and is reused like it once the group is empty. So it counts
    /// only within the session the child was started in, and not for who carries another child's token or while another
    /// process leads it.
    fn group_indices<'a>(&'a self, of: &'a Held) -> impl Iterator<Item = usize> + 'a {
        let number = of.child.identity.pid;
        let leader = self.by_pid.get(&number).map(|index| &self.processes[*index].stat);
        let is_free = of.child.identity.is_of_this_boot() && leader.is_none_or(|leader| is_child(of, leader));
        let group = self.by_group.get(&number).filter(|_| is_free).into_iter().flatten().copied();
        group.filter(|index| {
            let process = &self.processes[*index];
            process.stat.session == of.session
                && process.stat.start_ticks >= of.child.identity.start_ticks
                && process.mark.token().is_none_or(|token| *token == of.child.token)
        })
    }
}

fn is_child(of: &Held, stat: &Stat) -> bool {
    (stat.pid, stat.start_ticks) == (of.child.identity.pid, of.child.identity.start_ticks)
}

/// Sends the signal to each process; gives how many were still there. Stopped ones are continued, or they would not
/// notice.
pub(super) fn signal_all(processes: &[Stat], signal: Signal) -> Result<usize, Errno> {
    let mut reached = 0;
    let mut failed = None;
    for stat in processes {
        match signal_one(stat.pid, stat.start_ticks, signal) {
            Ok(there) => reached += usize::from(there),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(reached), Err)
}

/// Sends the signal to exactly this process, and continues it if that is needed to notice; `false` if it is gone.
pub(super) fn signal_one(pid: u32, start_ticks: u64, signal: Signal) -> Result<bool, Errno> {
    let there = signal_exactly(pid, start_ticks, signal)?;
    if there && signal.needs_continue() {
        signal_exactly(pid, start_ticks, Signal::Cont)?;
    }
    Ok(there)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{BootId, Child, Output, ProcessIdentity, Remembered};

    const KEEPER: u32 = 2;
    const SESSION: u32 = 2;

    fn held(token: &str, pid: u32, start_ticks: u64) -> Held {
        let boot_id = BootId::current().unwrap();
        let child = Child {
            token: token.parse().unwrap(),
            identity: ProcessIdentity { pid, start_ticks, boot_id },
            state: State::Running,
            spawned_at_unix_us: 0,
            stdout: Output::Null,
            stderr: Output::Null,
            warnings: Vec::new(),
        };
        Held { child, session: SESSION, group: None, remembered: Remembered::default() }
    }

    fn process(pid: u32, parent: u32, group: u32, session: u32, token: Option<&str>) -> Process {
        let stat =
            Stat { pid, state: b'S', parent, group, session, start_ticks: 100 + u64::from(pid), is_executing: false };
        Process { stat, mark: token.map_or(Mark::Nothing, |token| Mark::Token(token.parse().unwrap())) }
    }

    fn members(picture: &[Process], of: &Held) -> Vec<Stat> {
        Picture::of(picture.to_vec()).members(of)
    }

    fn pids(of: &[Stat]) -> Vec<u32> {
        let mut pids: Vec<_> = of.iter().map(|stat| stat.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn finds_group_descendants_and_escaped() {
        let child = held("a", 10, 110);
        let picture = [
            process(10, KEEPER, 10, SESSION, Some("a")),
            process(11, 10, 10, SESSION, None),
            process(12, 11, 12, 12, None),
            process(13, 12, 13, 13, None),
            process(14, KEEPER, 14, 14, Some("a")),
            process(15, 14, 14, 14, None),
            process(20, KEEPER, 20, SESSION, Some("b")),
            process(21, 20, 20, SESSION, None),
            process(30, 1, 30, 30, None),
        ];
        assert_eq!(pids(&members(&picture, &child)), [10, 11, 12, 13, 14, 15]);
        assert_eq!(pids(&Picture::of(picture.to_vec()).group(&child)), [10, 11]);
    }

    #[test]
    fn a_reused_number_is_not_the_group() {
        let child = held("a", 10, 110);
        let mut successor = process(10, KEEPER, 10, SESSION, Some("b"));
        successor.stat.start_ticks = 999;
        let follower = process(11, 10, 10, SESSION, None);
        assert!(members(&[successor, follower.clone()], &child).is_empty());
        // Its leader gone too, but it is known by its token, or by its session.
        assert!(members(&[process(11, KEEPER, 10, SESSION, Some("b"))], &child).is_empty());
        assert!(members(&[process(11, KEEPER, 10, 77, None)], &child).is_empty());
        assert_eq!(pids(&members(std::slice::from_ref(&follower), &child)), [11]);
        let before_reboot = BootId::current().map(|_| serde_json::from_str("\"earlier\"").unwrap()).unwrap();
        let mut child = child;
        child.child.identity.boot_id = before_reboot;
        assert!(members(&[follower], &child).is_empty());
    }

    proptest! {
        /// Whatever the tables look like, two children never share a process unless one descends from the other.
        #[test]
        fn siblings_trees_are_disjoint(shape in prop::collection::vec((0_usize..6, 0_u8..3), 0..20)) {
            let (a, b) = (held("a", 10, 110), held("b", 11, 111));
            let mut picture =
                vec![process(10, KEEPER, 10, SESSION, Some("a")), process(11, KEEPER, 11, SESSION, Some("b"))];
            for (pid, (parent, how)) in (12..).zip(shape) {
                let parent = picture[parent % picture.len()].clone();
                let (group, session) = if how == 2 { (pid, pid) } else { (parent.stat.group, parent.stat.session) };
                let token = parent.mark.token().filter(|_| how != 1).map(Token::as_str);
                picture.push(process(pid, parent.stat.pid, group, session, token));
            }
            let (mut ours, theirs) = (pids(&members(&picture, &a)), pids(&members(&picture, &b)));
            prop_assert!(ours.iter().all(|pid| !theirs.contains(pid)));
            ours.extend(theirs);
            prop_assert_eq!(ours.len(), picture.len());
        }
    }
}
