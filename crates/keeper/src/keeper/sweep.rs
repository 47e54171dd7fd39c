//! Killing what is left of a child's tree, a look at a time so that the keeper stays responsive.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::group;
use super::hold::Keeper;
use super::table::Held;
use super::tree::{self, Picture};
use crate::protocol::{Reply, SweepReport};
use crate::{Child, Signal, State, Token};

/// How long a sweep tries. A killed process dies within milliseconds unless the kernel itself is stuck.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);
/// How old a picture of the process table may be that a signal goes by. Who is forked later is missed by a signal in
/// any case.
const RECENT: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) connection: u64,
    pub(super) request: u64,
    pub(super) of: Held,
    killed: BTreeSet<(u32, u64)>,
    deadline: Instant,
    /// The last look found nobody.
    calm: bool,
}

impl Sweep {
    pub(super) fn new(connection: u64, request: u64, of: Held) -> Self {
        Self { connection, request, of, killed: BTreeSet::new(), deadline: Instant::now() + PATIENCE, calm: false }
    }

    pub(super) fn token(&self) -> &Token {
        &self.of.child.token
    }

    /// What it did, when nobody is left.
    pub(super) fn report(&self) -> SweepReport {
        SweepReport { killed: self.killed.len() as u32, survivors: Vec::new() }
    }

    /// Looks once, kills whom it finds; the report when nobody is left or patience is.
    pub(super) fn look(&mut self, picture: &Picture) -> Option<SweepReport> {
        let mut found = picture.members(&self.of);
        if let Some(group) = &self.of.group {
            for stat in group::kill(group) {
                self.killed.insert((stat.pid, stat.start_ticks));
                if !found.iter().any(|known| known.pid == stat.pid) {
                    found.push(stat);
                }
            }
        }
        if Instant::now() > self.deadline {
            return Some(SweepReport { survivors: found.iter().map(|stat| stat.pid).collect(), ..self.report() });
        }
        if found.is_empty() && picture.is_settled(&self.of) {
            // A picture is taken process by process. Where something was alive a moment ago, it may have forked behind
            // the camera's back.
            let was_calm = std::mem::replace(&mut self.calm, true);
            return (was_calm || self.killed.is_empty()).then(|| self.report());
        }
        self.calm = false;
        // Who may not be killed stays in the picture and is reported as a survivor.
        for stat in found {
            if let Ok(true) = tree::signal_one(stat.pid, stat.start_ticks, Signal::Kill) {
                self.killed.insert((stat.pid, stat.start_ticks));
            }
        }
        None
    }
}

impl Keeper {
    /// Looks after everything that is to be killed, at once.
    pub(super) fn sweep(&mut self) {
        if self.sweeps.is_empty() || self.sweep_after.is_some_and(|after| Instant::now() < after) {
            return;
        }
        let mut sweeps = std::mem::take(&mut self.sweeps);
        let begun = Instant::now();
        // One look for all, because it is a look at every process; none, if all of them left nobody behind.
        let has_no_orphans = self.has_no_orphans();
        let is_over = |sweep: &Sweep| has_no_orphans && self.has_ended(sweep);
        let over: Vec<bool> = sweeps.iter().map(is_over).collect();
        let picture = if over.iter().all(|over| *over) {
            Picture::default()
        } else {
            let since = sweeps.iter().map(|sweep| &sweep.of.child).filter_map(start_in_this_boot).min();
            since.map_or_else(Picture::default, |since| Picture::take(since, self.place.name()))
        };
        let mut over = over.into_iter();
        sweeps.retain_mut(|sweep| {
            let is_over = over.next().unwrap_or(false);
            let looked = if is_over { Some(sweep.report()) } else { sweep.look(&picture) };
            let Some(report) = looked else { return true };
            if report.survivors.is_empty() {
                match self.table.get(sweep.token()).map(|held| held.child.state) {
                    // Killed but not reaped yet: whoever acknowledges now would be told that it still runs.
                    Some(State::Running) => return true,
                    Some(State::Orphaned) => self.lose(sweep.token().clone()),
                    Some(State::Exited { .. }) | None => {}
                }
            }
            self.reply(sweep.connection, sweep.request, Ok(Reply::Swept(report)));
            false
        });
        self.sweeps = sweeps;
        let now = Instant::now();
        self.sweep_after = Some(now + rest(now - begun, !self.sweeps.is_empty()));
    }

    /// Whether the child was this keeper's and has ended, so that what it left behind is the keeper's by now.
    fn has_ended(&self, sweep: &Sweep) -> bool {
        let held = self.table.get(sweep.token());
        held.is_none_or(|held| held.child.exit().is_some()) && self.inherits_from(&sweep.of.child)
    }

    /// A picture of everything that may be a child's, perhaps a moment old: many who ask at once share one.
    pub(super) fn recent_picture(&mut self, of: &Held) -> &Picture {
        let recent = self.recent.take().filter(|recent| !recent.is_over() && recent.picture.shows(of));
        let recent = recent.unwrap_or_else(|| {
            let begun = Instant::now();
            let since = self.table.after(None).filter_map(start_in_this_boot).min();
            let picture = since.map_or_else(Picture::default, |since| Picture::take(since, self.place.name()));
            Recent { picture, until: Instant::now() + RECENT.max(begun.elapsed()) }
        });
        &self.recent.insert(recent).picture
    }
}

/// For how long nobody is looked after once a look took so long: half of the time at least is for everything else. That
/// also holds where nobody is left to be looked after. A thousand that end one after the other are looked after together,
/// and not each with a look at every process.
fn rest(took: Duration, goes_on: bool) -> Duration {
    if goes_on { took.max(PAUSE) } else { took }
}

/// A picture that may still be used.
#[derive(Debug)]
pub(super) struct Recent {
    picture: Picture,
    pub(super) until: Instant,
}

impl Recent {
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// When the child was started, if its pid can mean anything now.
fn start_in_this_boot(child: &Child) -> Option<u64> {
    child.identity.is_of_this_boot().then_some(child.identity.start_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_look_follows_another_without_a_rest() {
        let (short, long) = (PAUSE / 5, PAUSE * 5);
        for (took, goes_on, expected) in
            [(short, true, PAUSE), (long, true, long), (short, false, short), (long, false, long)]
        {
            assert_eq!(rest(took, goes_on), expected, "after {took:?}, going on: {goes_on}");
        }
    }
}
