//! The children the keeper holds, in memory and in the journal: every change goes to both.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::journal::{Entry, Journal};
use super::note;
use crate::{Child, ExitStatus, Output, Remembered, State, Token};

/// A child and what only the keeper needs to know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) child: Child,
    /// The session it was started in. Tells its process group from a later one that got the same number.
    pub(super) session: u32,
    /// The control group that was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Remembered::is_default")]
    pub(super) remembered: Remembered,
}

/// A child that is about to be started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Starting {
    pub(super) token: Token,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    pub(super) at_unix_us: i64,
}

#[derive(Debug)]
pub(super) struct Table {
    /// In boxes: the nodes of a map have room for more than they hold.
    held: BTreeMap<Token, Box<Held>>,
    running: BTreeMap<u32, Token>,
    /// Announced to be started and never heard of again.
    uncertain: BTreeMap<Token, Starting>,
    journal: Journal,
}

impl Table {
    /// Reads the journal as the last keeper left it. [`Table::settle`] has to follow.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let (journal, entries) = Journal::open(dir)?;
        let (mut held, mut uncertain) = (BTreeMap::new(), BTreeMap::new());
        for entry in entries {
            match entry {
                Entry::Starting(one) => {
                    uncertain.insert(one.token.clone(), one);
                }
                Entry::Held(one) => {
                    uncertain.remove(&one.child.token);
                    held.insert(one.child.token.clone(), Box::new(one));
                }
                Entry::Forgotten(token) => {
                    uncertain.remove(&token);
                    held.remove(&token);
                }
            }
        }
        Ok(Self { held, running: BTreeMap::new(), uncertain, journal })
    }

    /// Compares what the journal says with the world: `now` tells the present state of a child that is not known to
    /// have ended, `find` looks for a process that carries a token.
    pub(super) fn settle(&mut self, now: impl Fn(&Child) -> State, find: impl Fn(&Starting) -> Option<Held>) {
        for (token, starting) in std::mem::take(&mut self.uncertain) {
            match find(&starting) {
                Some(held) => drop(self.held.insert(token, Box::new(held))),
                None => drop(self.uncertain.insert(token, starting)),
            }
        }
        for held in self.held.values_mut().filter(|held| held.child.exit().is_none()) {
            held.child.state = now(&held.child);
            if held.child.state == State::Running {
                self.running.insert(held.child.identity.pid, held.child.token.clone());
            }
        }
        self.repair();
    }

    pub(super) fn get(&self, token: &Token) -> Option<&Held> {
        self.held.get(token).map(Box::as_ref)
    }

    pub(super) fn is_uncertain(&self, token: &Token) -> bool {
        self.uncertain.contains_key(token)
    }

    /// Children in the order of their tokens, after this one.
    pub(super) fn after(&self, token: Option<&Token>) -> impl Iterator<Item = &Child> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = token.map_or(Unbounded, Excluded);
        self.held.range((from, Unbounded)).map(|(_, held)| &held.child)
    }

    /// Whether a child of this keeper has this process id.
    pub(super) fn runs(&self, pid: u32) -> bool {
        self.running.contains_key(&pid)
    }

    /// How many children of this keeper are alive.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// Children that are alive and belong to an earlier keeper.
    pub(super) fn orphaned(&self) -> impl Iterator<Item = &Child> {
        self.after(None).filter(|child| child.state == State::Orphaned)
    }

    /// Notes that a child is about to be started. Without this note it must not be.
    pub(super) fn begin(&mut self, starting: Starting) -> io::Result<()> {
        let token = starting.token.clone();
        self.uncertain.insert(token.clone(), starting.clone());
        self.record(&[Entry::Starting(starting)], false).inspect_err(|_| drop(self.uncertain.remove(&token)))
    }

    /// Notes that the child could not be started.
    pub(super) fn abandon(&mut self, token: &Token) {
        self.uncertain.remove(token);
        self.record_or_note(&[Entry::Forgotten(token.clone())], false);
    }

    /// Notes that the child runs.
    pub(super) fn started(&mut self, held: Held) {
        let token = held.child.token.clone();
        self.uncertain.remove(&token);
        self.running.insert(held.child.identity.pid, token.clone());
        self.held.insert(token, Box::new(held.clone()));
        self.record_or_note(&[Entry::Held(held)], false);
    }

    /// Notes the ends of processes, of which only some may be children; gives back those that are, once it is safe to
    /// tell of them.
    pub(super) fn ended(&mut self, dead: &[(u32, ExitStatus)], at_unix_us: i64) -> Vec<Child> {
        let tokens: Vec<_> =
            dead.iter().filter_map(|(pid, status)| Some((self.running.remove(pid)?, *status))).collect();
        self.mark_ended(&tokens, at_unix_us)
    }

    /// Notes that a child of an earlier keeper is gone.
    pub(super) fn vanished(&mut self, token: Token, at_unix_us: i64) -> Vec<Child> {
        self.mark_ended(&[(token, ExitStatus::Unknown)], at_unix_us)
    }

    fn mark_ended(&mut self, tokens: &[(Token, ExitStatus)], at_unix_us: i64) -> Vec<Child> {
        let mut entries = Vec::with_capacity(tokens.len());
        let mut children = Vec::with_capacity(tokens.len());
        let mut sync = false;
        for (token, status) in tokens {
            if let Some(held) = self.held.get_mut(token) {
                held.child.state = State::Exited { status: *status, at_unix_us };
                sync |= held.remembered == Remembered::OverPowerLoss;
                entries.push(Entry::Held(Held::clone(held)));
                children.push(held.child.clone());
            }
        }
        if !entries.is_empty() {
            // Where the disk refuses, telling an exit that a crash of the keeper could lose beats telling nothing.
            self.record_or_note(&entries, sync);
        }
        children
    }

    /// Forgets a child that has ended, or one that may never have been; gives what was known of it.
    pub(super) fn forget(&mut self, token: &Token) -> Option<Held> {
        let held = self.held.remove(token).map(|held| *held);
        if held.is_some() | self.uncertain.remove(token).is_some() {
            self.record_or_note(&[Entry::Forgotten(token.clone())], false);
        }
        held
    }

    /// Whether something the keeper should remember is in memory only.
    pub(super) fn is_damaged(&self) -> bool {
        self.journal.is_damaged()
    }

    /// Tries again to bring everything to disk.
    pub(super) fn repair(&mut self) {
        if self.journal.is_damaged() {
            self.record_or_note(&[], false);
        }
    }

    fn record_or_note(&mut self, entries: &[Entry], sync: bool) {
        let was_damaged = self.journal.is_damaged();
        if let Err(error) = self.record(entries, sync)
            && !was_damaged
        {
            note(format_args!("cannot write the journal: {error}; trying again every second"));
        }
    }

    /// Writes entries whose effect is already in memory, so that a rewrite contains them.
    fn record(&mut self, entries: &[Entry], sync: bool) -> io::Result<()> {
        if !self.journal.wants_rewrite() {
            return self.journal.append(entries, sync);
        }
        // After trouble with the disk nothing is certain.
        let sync = sync || self.journal.is_damaged() || self.is_lasting(entries);
        let uncertain = self.uncertain.values().cloned().map(Entry::Starting);
        let held = self.held.values().map(|held| Entry::Held(Held::clone(held)));
        self.journal.rewrite(uncertain.chain(held), sync)
    }

    /// Whether anything but these entries has to be known after a machine has lost power, and may be on the disk
    /// already: what is remembered over that, and what an earlier keeper may have started. What is being started was
    /// not synced either.
    fn is_lasting(&self, entries: &[Entry]) -> bool {
        let is_new =
            |token: &Token| entries.iter().any(|entry| matches!(entry, Entry::Starting(new) if new.token == *token));
        self.held.values().any(|held| held.remembered == Remembered::OverPowerLoss)
            || !self.uncertain.keys().all(is_new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootId, ProcessIdentity};

    fn fresh() -> (tempfile::TempDir, Table) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("keeper")).unwrap();
        let table = reopen(dir.path());
        (dir, table)
    }

    /// The table as a keeper finds it that is not the parent of anything in it; all that was alive is.
    fn reopen(dir: &Path) -> Table {
        let mut table = Table::open(dir).unwrap();
        table.settle(|_| State::Orphaned, |_| None);
        assert!(!table.is_damaged());
        table
    }

    fn starting(token: &str) -> Starting {
        let token = token.parse().unwrap();
        Starting { token, stdout: Output::Null, stderr: Output::Null, at_unix_us: 1 }
    }

    fn running(token: &str, pid: u32) -> Held {
        let identity = ProcessIdentity { pid, start_ticks: 5, boot_id: BootId::current().unwrap() };
        let Starting { token, stdout, stderr, at_unix_us } = starting(token);
        let child = Child {
            token,
            identity,
            state: State::Running,
            spawned_at_unix_us: at_unix_us,
            stdout,
            stderr,
            warnings: Vec::new(),
        };
        Held { child, session: 1, group: None, remembered: Remembered::default() }
    }

    fn states(table: &Table) -> Vec<(&str, State)> {
        table.after(None).map(|child| (child.token.as_str(), child.state)).collect()
    }

    #[test]
    fn what_was_recorded_is_read_back() {
        let (dir, mut table) = fresh();
        for (pid, token) in (10..).zip(["a", "b", "c", "d"]) {
            table.begin(starting(token)).unwrap();
            table.started(running(token, pid));
        }
        table.begin(starting("lost")).unwrap();
        table.begin(starting("failed")).unwrap();
        table.abandon(&"failed".parse().unwrap());
        // 99 is an orphan that only had to be reaped.
        let ended =
            table.ended(&[(10, ExitStatus::Code(3)), (99, ExitStatus::Code(0)), (11, ExitStatus::Signal(9))], 7);
        assert_eq!(
            ended.iter().map(|child| child.exit()).collect::<Vec<_>>(),
            [Some(ExitStatus::Code(3)), Some(ExitStatus::Signal(9))]
        );
        table.forget(&"b".parse().unwrap());
        assert_eq!(table.running(), 2);
        // A reused pid must not end the first child again.
        assert!(table.ended(&[(10, ExitStatus::Code(0))], 8).is_empty());

        let table = reopen(dir.path());
        let exited = State::Exited { status: ExitStatus::Code(3), at_unix_us: 7 };
        assert_eq!(states(&table), [("a", exited), ("c", State::Orphaned), ("d", State::Orphaned)]);
        assert!(table.is_uncertain(&"lost".parse().unwrap()));
        assert!(!table.is_uncertain(&"failed".parse().unwrap()));
        assert_eq!(states(&reopen(dir.path())), states(&table));
    }

    #[test]
    fn only_what_nobody_asks_for_after_a_reboot_is_not_synced() {
        let (_dir, mut table) = fresh();
        let begun = [Entry::Starting(starting("b"))];
        assert!(!table.is_lasting(&[]));
        table.begin(starting("a")).unwrap();
        table.started(Held { remembered: Remembered::WithinThisBoot, ..running("a", 10) });
        assert!(!table.is_lasting(&[]));
        table.begin(starting("b")).unwrap();
        assert!(!table.is_lasting(&begun), "it is being started");
        assert!(table.is_lasting(&[]), "it may have been started by a keeper before");
        table.started(Held { remembered: Remembered::OverPowerLoss, ..running("b", 11) });
        assert!(table.is_lasting(&[]));
    }

    #[test]
    fn on_a_full_disk_nothing_starts_and_nothing_is_lost() {
        let (dir, mut table) = fresh();
        table.begin(starting("a")).unwrap();
        table.started(running("a", 10));
        table.journal.fill_the_disk();

        assert!(table.begin(starting("b")).is_err());
        assert!(!table.is_uncertain(&"b".parse().unwrap()));
        assert_eq!(table.ended(&[(10, ExitStatus::Code(3))], 7).len(), 1);
        assert!(table.is_damaged());
        table.repair();
        assert!(table.is_damaged());

        table.journal.empty_the_disk();
        table.repair();
        assert!(!table.is_damaged());
        let exited = State::Exited { status: ExitStatus::Code(3), at_unix_us: 7 };
        assert_eq!(states(&reopen(dir.path())), [("a", exited)]);
    }
}
