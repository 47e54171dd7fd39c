//! What follows when an instance has changed: others may have waited for it.

use std::collections::BTreeSet;
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
    up: bool,
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
    No { reason: String, hopeless: bool },
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
                self.retiring.remove(&name);
                self.board.remove(&name);
                for sibling in self.instances_of(&process) {
                    self.check_waiting(&sibling);
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
        match self.met(&entry.process.clone()) {
            Met::Yes => self.step(name, Event::Met),
            Met::No { reason, .. } => {
                let Some(entry) = self.entries.get_mut(name) else { return };
                if entry.unmet.as_ref() != Some(&reason) {
                    entry.unmet = Some(reason);
                    self.publish(name, InstanceState::Waiting, Now::read());
                }
                self.answer(name);
            }
        }
    }

    fn met(&self, process: &Process) -> Met {
        let is_of = |name: &&String| self.entries.get(*name).is_some_and(|entry| entry.process.name == process.name);
        if let Some(name) = self.retiring.iter().find(is_of) {
            return Met::No { reason: format!("waits for `{name}` to be gone"), hopeless: false };
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
        if !self.processes.contains_key(needed) {
            let reason = format!("depends on `{needed}`, which is not declared");
            return Met::No { reason, hopeless: true };
        }
        for name in self.instances_of(needed) {
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
                return Met::No { reason, hopeless: hopeless || given_up };
            }
        }
        Met::Yes
    }

    /// Stops or replaces instances, each after all among them that need it.
    pub(super) fn stop_in_order(&mut self, mut names: Vec<String>, event: &Event) {
        let rank =
            |name: &String| self.entries.get(name).and_then(|entry| self.ranks.get(&entry.process.name)).copied();
        names.sort_by_key(|name| std::cmp::Reverse(rank(name)));
        let busy = |name: &&String| self.entries.get(*name).is_some_and(|entry| !entry.instance.is_quiet());
        let among: BTreeSet<String> = names.iter().filter(busy).cloned().collect();
        for name in names {
            let Some(process) = self.entries.get(&name).map(|entry| entry.process.name.clone()) else { continue };
            let mut blockers = BTreeSet::new();
            if self.dependents.contains_key(&process) {
                let needing =
                    order::reachable([process.clone()], |name| self.dependents.get(name).into_iter().flatten());
                let need_it = |other: &&String| {
                    self.entries
                        .get(*other)
                        .is_some_and(|entry| entry.process.name != process && needing.contains(&entry.process.name))
                };
                blockers = among.iter().filter(need_it).cloned().collect();
            }
            if blockers.is_empty() {
                self.held_back.remove(&name);
                self.step(&name, event.clone());
            } else {
                self.held_back.insert(name, HeldBack { blockers, event: event.clone() });
            }
        }
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
        for waiter in self.waiters.iter_mut().filter(|waiter| !waiter.up) {
            waiter.left.remove(name);
        }
        self.answer(name);
    }

    pub(super) fn wait_for(&mut self, instances: Vec<String>, up: bool, done: oneshot::Sender<Vec<Failed>>) {
        let left = instances.iter().cloned().collect();
        self.waiters.push(Waiter { left, up, failed: Vec::new(), done: Some(done) });
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
        for waiter in &mut self.waiters {
            let through = if waiter.up { is_up.is_some() } else { is_down };
            if through && waiter.left.remove(name) {
                let reason = is_up.clone().flatten().filter(|_| waiter.up);
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
            State::Waiting => match self.met(&entry.process) {
                Met::No { reason, hopeless: true } => Some(Some(reason)),
                _ => None,
            },
            State::Backoff { retrying: false, .. } | State::Fatal => Some(reason()),
            State::Stopped => Some(Some(entry.instance.reason.clone().unwrap_or_else(|| "it was stopped".to_owned()))),
            State::Exited => Some(None),
            _ => (entry.instance.shown() == InstanceState::Running).then_some(None),
        }
    }
}
