//! What follows when an instance has changed: others may have waited for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use piton_model::{Dependency, DependencyCondition, Name, Process};
use tokio::sync::oneshot;

use super::Actor;
use crate::InstanceState;
use crate::clock::Now;
use crate::instance::{Event, State, is_success};
use crate::order;

/// What is wanted of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// That they run.
    Up,
    /// That they are gone.
    Down { wait: Option<Duration> },
    /// That they are others.
    Anew { wait: Option<Duration> },
}

/// What instances are waited for to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// Running.
    Up,
    /// Running, and ready by its probe.
    Ready,
    /// Not there any more.
    Gone,
}

/// An instance that did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) instance: String,
    pub(crate) reason: String,
}

/// Somebody waits for instances.
#[derive(Debug)]
pub(super) struct Waiter {
    left: BTreeSet<String>,
    until: Awaited,
    failed: Vec<Failed>,
    done: Option<oneshot::Sender<Vec<Failed>>>,
}

/// A stop that waits until those are gone that need the instance.
#[derive(Debug)]
pub(super) struct HeldBack {
    blockers: BTreeSet<String>,
    event: Event,
}

/// Whether a dependency is there.
enum Met {
    Yes,
    No {
        reason: String,
        hopeless: bool,
        /// The instance that is not as far, where it is one.
        at: Option<(Name, u32)>,
    },
}

impl Actor {
    /// Follows every change to where it leads.
    pub(super) fn settle(&mut self) {
        while let Some(name) = self.changed.pop_front() {
            self.release(&name);
            let Some(entry) = self.entries.get(&name) else { continue };
            let process = entry.process.name.clone();
            if entry.retiring && entry.instance.state == State::Stopped {
                self.entries.remove(&name);
                self.board.remove(&name);
                // They wait for all of them.
                if self.retires_no_more(&process, &name) {
                    for sibling in self.instances_of(&process) {
                        self.check_waiting(&sibling);
                    }
                }
            } else {
                self.check_waiting(&name);
            }
            for dependent in self.dependents.get(&process).cloned().unwrap_or_default() {
                for instance in self.instances_of(&dependent) {
                    self.check_waiting(&instance);
                }
            }
            self.answer(&name);
        }
    }

    /// Takes an instance from those that go; `true` if it was the last of its process.
    pub(super) fn retires_no_more(&mut self, process: &Name, name: &str) -> bool {
        let Some(of_process) = self.retiring.get_mut(process) else { return false };
        let was_last = of_process.remove(name) && of_process.is_empty();
        if was_last {
            self.retiring.remove(process);
        }
        was_last
    }

    /// The instances that a process should have.
    pub(super) fn instances_of(&self, process: &Name) -> Vec<String> {
        let process = self.processes.get(process);
        process
            .into_iter()
            .flat_map(|process| (1..=process.instances).map(|number| process.instance_name(number)))
            .collect()
    }

    /// Lets an instance start if nothing keeps it from that any more.
    pub(super) fn check_waiting(&mut self, name: &str) {
        let Some(entry) = self.entries.get(name).filter(|entry| entry.instance.state == State::Waiting) else { return };
        match self.met(name, &entry.process) {
            Met::Yes => self.step(name, Event::Met),
            Met::No { reason, at, .. } => {
                self.unmet_at.extend(at);
                let Some(entry) = self.entries.get_mut(name) else { return };
                if entry.unmet.as_ref() != Some(&reason) {
                    entry.unmet = Some(reason);
                    self.publish(name, InstanceState::Waiting, Now::read());
                }
                self.answer(name);
            }
        }
    }

    /// Whether an instance waits although all is there that it waits for.
    pub(super) fn waits_for_nothing(&self, name: &str) -> bool {
        let waits = self.entries.get(name).filter(|entry| entry.instance.state == State::Waiting);
        waits.is_some_and(|entry| matches!(self.met(name, &entry.process), Met::Yes))
    }

    fn met(&self, instance: &str, process: &Process) -> Met {
        if self.ending.iter().any(|of| of.instance == instance) {
            let reason = "waits for its hooks to end that were stopped before".to_owned();
            return Met::No { reason, hopeless: false, at: None };
        }
        if let Some(name) = self.retiring.get(&process.name).and_then(BTreeSet::first) {
            return Met::No { reason: format!("waits for `{name}` to be gone"), hopeless: false, at: None };
        }
        process
            .depends_on
            .iter()
            .map(|dependency| self.is_met(dependency))
            .find(|met| matches!(met, Met::No { .. }))
            .unwrap_or(Met::Yes)
    }

    fn is_met(&self, dependency: &Dependency) -> Met {
        let needed = &dependency.name;
        let Some(process) = self.processes.get(needed) else {
            let reason = format!("depends on `{needed}`, which is not declared");
            return Met::No { reason, hopeless: true, at: None };
        };
        // From where one was missing the last time. They come up one after the other: looking at all of them after each
        // would take a thousand times as long for a thousand of them.
        let from =
            self.unmet_at.get(needed).copied().filter(|from| (1..=process.instances).contains(from)).unwrap_or(1);
        for number in (from..=process.instances).chain(1..from) {
            let name = process.instance_name(number);
            let Some(entry) = self.entries.get(&name) else { continue };
            let state = entry.instance.shown();
            let exit = entry.instance.last_exit.as_ref();
            let succeeded = || exit.is_some_and(|exit| is_success(&entry.process.restart, exit.status));
            let is_exited = state == InstanceState::Exited;
            let (met, what, hopeless) = match dependency.condition {
                DependencyCondition::Started => (state == InstanceState::Running, "be started", is_exited),
                DependencyCondition::Healthy => (entry.instance.is_ready(), "be ready", is_exited),
                DependencyCondition::Completed => (is_exited, "end", false),
                DependencyCondition::CompletedSuccessfully => {
                    (is_exited && succeeded(), "end with success", is_exited && !succeeded())
                }
            };
            let held_back = self.held_back.contains_key(&name);
            if !met || held_back {
                let given_up = matches!(state, InstanceState::Fatal | InstanceState::Stopped);
                let reason = format!("waits for `{name}` to {what}; it is {state}");
                return Met::No { reason, hopeless: hopeless || given_up, at: Some((needed.clone(), number)) };
            }
        }
        Met::Yes
    }

    /// Stops or replaces instances, each after all among them that need it.
    pub(super) fn stop_in_order(&mut self, mut names: Vec<String>, event: &Event) {
        let rank =
            |name: &String| self.entries.get(name).and_then(|entry| self.ranks.get(&entry.process.name)).copied();
        names.sort_by_cached_key(|name| std::cmp::Reverse(rank(name)));
        let busy = |name: &&String| self.entries.get(*name).is_some_and(|entry| !entry.instance.is_quiet());
        let among: BTreeSet<String> = names.iter().filter(busy).cloned().collect();
        // The same for all instances of a process.
        let mut blockers_of: BTreeMap<Name, BTreeSet<String>> = BTreeMap::new();
        for name in names {
            let Some(process) = self.entries.get(&name).map(|entry| entry.process.name.clone()) else { continue };
            let blockers = match blockers_of.get(&process) {
                Some(known) => known.clone(),
                None => blockers_of.entry(process.clone()).or_insert(self.blockers(&process, &among)).clone(),
            };
            if blockers.is_empty() {
                self.held_back.remove(&name);
                self.step(&name, event.clone());
            } else {
                self.held_back.insert(name, HeldBack { blockers, event: event.clone() });
            }
        }
    }

    /// Those among the instances that need this process, directly or not.
    fn blockers(&self, process: &Name, among: &BTreeSet<String>) -> BTreeSet<String> {
        if !self.dependents.contains_key(process) {
            return BTreeSet::new();
        }
        let needing = order::reachable([process.clone()], |name| self.dependents.get(name).into_iter().flatten());
        let needs_it = |other: &&String| {
            let entry = self.entries.get(*other);
            entry.is_some_and(|entry| entry.process.name != *process && needing.contains(&entry.process.name))
        };
        among.iter().filter(needs_it).cloned().collect()
    }

    /// Goes on with the stops that waited for this instance.
    fn release(&mut self, name: &str) {
        if self.held_back.is_empty() || self.entries.get(name).is_some_and(|entry| !entry.instance.is_quiet()) {
            return;
        }
        let mut free = Vec::new();
        for (held, waits) in &mut self.held_back {
            if waits.blockers.remove(name) && waits.blockers.is_empty() {
                free.push(held.clone());
            }
        }
        for held in free {
            if let Some(waits) = self.held_back.remove(&held) {
                self.step(&held, waits.event);
            }
        }
    }

    /// Forgets that an instance was to be stopped.
    pub(super) fn no_longer_stopped(&mut self, name: &str) {
        self.held_back.remove(name);
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.until == Awaited::Gone) {
            waiter.left.remove(name);
        }
        self.answer(name);
    }

    pub(super) fn wait_for(&mut self, instances: Vec<String>, until: Awaited, done: oneshot::Sender<Vec<Failed>>) {
        let left = instances.iter().cloned().collect();
        self.waiters.push(Waiter { left, until, failed: Vec::new(), done: Some(done) });
        for name in &instances {
            self.answer(name);
        }
        if instances.is_empty() {
            self.answer("");
        }
    }

    /// Tells those who wait for an instance that it is through, if it is.
    fn answer(&mut self, name: &str) {
        if self.waiters.is_empty() {
            return;
        }
        let (is_up, is_down) = (self.through_to_up(name), self.is_gone(name));
        let is_unready = self
            .entries
            .get(name)
            .is_some_and(|entry| entry.instance.shown() == InstanceState::Running && !entry.instance.is_ready());
        for waiter in &mut self.waiters {
            let through = match waiter.until {
                Awaited::Up => is_up.is_some(),
                Awaited::Ready => is_up.is_some() && !is_unready,
                Awaited::Gone => is_down,
            };
            if through && waiter.left.remove(name) {
                let reason = is_up.clone().flatten().filter(|_| waiter.until != Awaited::Gone);
                waiter.failed.extend(reason.map(|reason| Failed { instance: name.to_owned(), reason }));
            }
            if waiter.left.is_empty()
                && let Some(done) = waiter.done.take()
            {
                // Whoever waited may have given up.
                let _ = done.send(std::mem::take(&mut waiter.failed));
            }
        }
        self.waiters.retain(|waiter| waiter.done.as_ref().is_some_and(|done| !done.is_closed()));
    }

    fn is_gone(&self, name: &str) -> bool {
        self.entries.get(name).is_none_or(|entry| entry.instance.state == State::Stopped)
    }

    /// None while a start is under way; else why it failed, if it did.
    #[expect(clippy::option_option, reason = "under way, succeeded, failed with a reason")]
    fn through_to_up(&self, name: &str) -> Option<Option<String>> {
        let Some(entry) = self.entries.get(name) else { return Some(None) };
        if self.held_back.contains_key(name) {
            return None;
        }
        let reason = || Some(entry.instance.reason.clone().unwrap_or_else(|| "it ended".to_owned()));
        match &entry.instance.state {
            State::Waiting => match self.met(name, &entry.process) {
                Met::No { reason, hopeless: true, .. } => Some(Some(reason)),
                _ => None,
            },
            State::Backoff { retrying: false, .. } | State::Fatal => Some(reason()),
            State::Stopped => Some(Some(entry.instance.reason.clone().unwrap_or_else(|| "it was stopped".to_owned()))),
            State::Exited => Some(None),
            _ => (entry.instance.shown() == InstanceState::Running).then_some(None),
        }
    }
}
