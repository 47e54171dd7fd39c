//! Who belongs to a child: a pure judgement over a picture of the process table.

use std::ffi::OsStr;

use rustix::io::Errno;

use super::table::Held;
use crate::identity::signal_exactly;
use crate::proc_table::{Mark, Stat, started_since};
use crate::{Child, Signal};

/// A process in the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) stat: Stat,
    pub(super) mark: Mark,
}

/// Every process, but the keeper: it is in nobody's tree, even if something in the tree happened to start it.
pub(super) fn picture(since: u64, keeper: &OsStr) -> Vec<Process> {
    let others = started_since(since).into_iter().filter(|stat| stat.pid != std::process::id());
    others.map(|stat| Process { stat, mark: Mark::read(stat.pid, keeper) }).collect()
}

/// The picture as far as it can matter to this child.
pub(super) fn picture_for(child: &Child, keeper: &OsStr) -> Vec<Process> {
    if child.identity.is_of_this_boot() { picture(child.identity.start_ticks, keeper) } else { Vec::new() }
}

/// The processes of the child's group.
pub(super) fn group(picture: &[Process], of: &Held) -> Vec<Stat> {
    picture.iter().filter(|process| in_group(picture, of, process)).map(|process| process.stat).collect()
}

/// The child, its group, whoever carries its token, and all their descendants.
pub(super) fn members(picture: &[Process], of: &Held) -> Vec<Stat> {
    let belongs = |process: &Process| {
        is_child(of, &process.stat) || process.mark.token() == Some(&of.child.token) || in_group(picture, of, process)
    };
    let (mut members, mut others): (Vec<_>, Vec<_>) = picture.iter().partition(|process| belongs(process));
    // Ancestry is proof whatever the environment says; each turn finds one more generation.
    loop {
        let parents: Vec<u32> = members.iter().map(|process| process.stat.pid).collect();
        let (found, rest) = others.into_iter().partition(|process| parents.contains(&process.stat.parent));
        others = rest;
        if Vec::is_empty(&found) {
            break;
        }
        members.extend(found);
    }
    members.into_iter().map(|process| process.stat).collect()
}

/// Whether nobody in the picture could yet turn out to be a member.
pub(super) fn is_settled(picture: &[Process]) -> bool {
    picture.iter().all(|process| process.mark != Mark::NotYet)
}

fn is_child(of: &Held, stat: &Stat) -> bool {
    (stat.pid, stat.start_ticks) == (of.child.identity.pid, of.child.identity.start_ticks)
}

/// A group's number is the pid of its first process and is reused like it once the group is empty. So it counts only
/// within the session the child was started in, and not for who carries another child's token or while another process
/// leads it.
fn in_group(picture: &[Process], of: &Held, process: &Process) -> bool {
    let number = of.child.identity.pid;
    process.stat.group == number
        && process.stat.session == of.session
        && process.stat.start_ticks >= of.child.identity.start_ticks
        && process.mark.token().is_none_or(|token| *token == of.child.token)
        && !picture.iter().any(|other| other.stat.pid == number && !is_child(of, &other.stat))
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
    use crate::{BootId, Output, ProcessIdentity, State, Token};

    const KEEPER: u32 = 2;
    const SESSION: u32 = 2;

    fn held(token: &str, pid: u32, start_ticks: u64) -> Held {
        let boot_id = serde_json::from_str::<BootId>("\"boot\"").unwrap();
        let child = Child {
            token: token.parse().unwrap(),
            identity: ProcessIdentity { pid, start_ticks, boot_id },
            state: State::Running,
            spawned_at_unix_us: 0,
            stdout: Output::Null,
            stderr: Output::Null,
        };
        Held { child, session: SESSION }
    }

    fn process(pid: u32, parent: u32, group: u32, session: u32, token: Option<&str>) -> Process {
        let stat =
            Stat { pid, state: b'S', parent, group, session, start_ticks: 100 + u64::from(pid), is_executing: false };
        Process { stat, mark: token.map_or(Mark::Nothing, |token| Mark::Token(token.parse().unwrap())) }
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
        assert_eq!(pids(&group(&picture, &child)), [10, 11]);
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
        assert_eq!(pids(&members(&[follower], &child)), [11]);
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
