//! From what is declared to what has to change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use piton_keeper::{BootId, Child};
use piton_model::{HookPhase, Name, Process};
use tracing::{info, warn};

use super::effect::remove_pid_file;
use super::entry::{Entry, up_of};
use super::hooks::Phase;
use super::{Actor, Found, end_of};
use crate::board::View;
use crate::clock::Now;
use crate::incarnation::Digest;
use crate::instance::{Effect, Event, Grave, State};
use crate::{Declared, Wish, order};

/// The processes with the numbers of instances that are wished.
pub(crate) fn wished(declared: &Declared, wishes: &BTreeMap<String, Wish>) -> BTreeMap<Name, Arc<Process>> {
    let wished = |(name, process): (&Name, &Arc<Process>)| {
        let instances = wishes.get(name.as_str()).and_then(|wish| wish.instances).unwrap_or(process.instances);
        let process = if instances == process.instances {
            Arc::clone(process)
        } else {
            Arc::new(Process { instances, ..Process::clone(process) })
        };
        (name.clone(), process)
    };
    declared.processes.iter().map(wished).collect()
}

/// Whether an instance is to run without anybody's doing.
pub(crate) fn is_wished(process: &Process, instance: &str, wishes: &BTreeMap<String, Wish>) -> bool {
    let wish = wishes.get(process.name.as_str());
    wish.and_then(|wish| wish.running.get(instance)).copied().unwrap_or(process.auto_start)
}

impl Actor {
    /// Makes this what is declared. It was checked before: no circle, no name twice.
    pub(super) fn apply(&mut self, declared: Declared, wishes: &BTreeMap<String, Wish>) {
        self.processes = wished(&declared, wishes);
        self.dependents = order::dependents(&self.processes);
        let order = order::starting_order(&self.processes).unwrap_or_default();
        self.ranks = order.iter().enumerate().map(|(rank, name)| (name.clone(), rank)).collect();
        self.board.declare(View { declared, processes: self.processes.clone() });

        let mut found = self.found.take();
        tell_of_unread(found.as_ref());
        let (mut start, mut stop, mut replace) = (Vec::new(), Vec::new(), Vec::new());
        let mut named = BTreeSet::new();
        for process in order.iter().filter_map(|name| self.processes.get(name)).cloned().collect::<Vec<_>>() {
            let digest = Digest::of(&process);
            for number in 1..=process.instances {
                let name = process.instance_name(number);
                let wanted = is_wished(&process, &name, wishes);
                named.insert(name.clone());
                let fresh = Entry::new(&name, Arc::clone(&process), digest, number);
                if self.entries.contains_key(&name) {
                    self.change(&name, fresh, wanted, &mut start, &mut replace);
                    continue;
                }
                self.entries.insert(name.clone(), Box::new(fresh));
                let left = found.as_mut().and_then(|found| found.remove(&name)).unwrap_or_default();
                match (self.adopt(&name, left, wanted), wanted) {
                    (Adopted::Dead, true) => start.push(name),
                    (Adopted::Dead | Adopted::Ended, _) => {}
                    (Adopted::Alive { same: true }, true) => {}
                    (Adopted::Alive { same: false }, true) => replace.push(name),
                    (Adopted::Alive { .. }, false) => stop.push(name),
                }
            }
        }
        for (name, entry) in &mut self.entries {
            if !named.contains(name) && !std::mem::replace(&mut entry.retiring, true) {
                self.retiring.entry(entry.process.name.clone()).or_default().insert(name.clone());
                stop.push(name.clone());
            }
        }
        for (name, left) in found.into_iter().flatten() {
            self.adopt_undeclared(&name, left);
            stop.push(name);
        }
        self.plan_hooks(&start);
        info!(start = start.len(), stop = stop.len(), replace = replace.len(), "processes are declared");
        self.stop_in_order(stop, &Event::Stop { wait: None });
        self.stop_in_order(replace, &Event::Restart { wait: None });
        self.start_all(&start);
        self.settle();
        // After all that goes on with them has begun.
        self.attend_left_hooks();
    }

    /// Gives an instance another declaration; replaces its child only where that has to be.
    fn change(&mut self, name: &str, fresh: Entry, wanted: bool, start: &mut Vec<String>, replace: &mut Vec<String>) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let probes_change = entry.process.probes != fresh.process.probes;
        let is_other = entry.process != fresh.process;
        let needs_another = std::mem::replace(&mut entry.digest, fresh.digest) != fresh.digest;
        let was_retiring = std::mem::take(&mut entry.retiring);
        let before = std::mem::replace(&mut entry.process, fresh.process);
        entry.number = fresh.number;
        self.retires_no_more(&before.name, name);
        let Some(entry) = self.entries.get_mut(name) else { return };
        if was_retiring && wanted {
            start.push(name.to_owned());
        }
        let is_at_rest = matches!(entry.instance.state, State::Exited | State::Fatal);
        let is_anew = matches!(entry.instance.state, State::Stopped | State::Stopping { .. } | State::Waiting);
        if is_at_rest {
            // Another declaration deserves another try.
            start.extend((wanted && is_other && !was_retiring).then(|| name.to_owned()));
        } else if is_anew {
            self.changed.push_back(name.to_owned());
        } else if needs_another {
            replace.push(name.to_owned());
        } else if probes_change {
            self.probe(name);
        }
    }

    /// Takes over what a supervisor before has left of an instance.
    fn adopt(&mut self, name: &str, mut left: Vec<Found>, wanted: bool) -> Adopted {
        let now = Now::read();
        let Some(entry) = self.entries.get_mut(name) else { return Adopted::Dead };
        let alive = left.iter().rposition(|found| found.child.exit().is_none());
        let of_this_boot = |found: &Found| BootId::current().as_ref() == Some(&found.child.identity.boot_id);
        let digest = entry.digest;
        let tells = |found: &Found| wanted && of_this_boot(found) && found.of.digest == digest;
        let current = alive.or_else(|| left.len().checked_sub(1).filter(|last| tells(&left[*last])));
        let current = current.map(|index| left.remove(index));
        let pid_file = entry.launch(name, &self.settings).pid_file();
        let (mut adopted, mut ended) = (Adopted::Dead, None);
        if let Some(Found { of, child }) = current {
            let chain = Phase { instance: name.to_owned(), number: of.number, phase: HookPhase::PostStart };
            let announcing = self.hooks_found.iter().any(|left| Phase::parse(&left.token).as_ref() == Some(&chain));
            entry.adopt(up_of(of, &child, now), announcing, now);
            adopted = Adopted::Alive { same: of.digest == digest };
            entry.unread = is_unread(&child).then_some(of.number);
            if let Some(end) = end_of(&child) {
                adopted = Adopted::Ended;
                ended = Some(Event::Ended { number: of.number, end });
                // The supervisor before wrote it.
                entry.in_pid_file = Some((pid_file.clone(), child.identity));
            }
        }
        let mut effects = Vec::new();
        for found in left {
            entry.instance.number = entry.instance.number.max(found.of.number);
            entry.instance.graves.push(Grave { of: found.of, asked: true, swept: false, settled: true });
            effects.push(Effect::Sweep(found.of));
            remove_pid_file(name, &pid_file, &found.child.identity);
        }
        let shown = entry.instance.shown();
        for effect in effects {
            self.perform(name, effect);
        }
        // That there is another supervisor changes nothing; an end that the one before did not see does.
        match ended {
            Some(event) => self.step(name, event),
            None => {
                self.follow_child(name, None);
                self.follow_probes(name, None);
                self.publish(name, shown, now);
                self.step(name, Event::Adopted);
            }
        }
        self.changed.push_back(name.to_owned());
        adopted
    }

    /// Takes over an instance of which only its name is known, to stop it.
    fn adopt_undeclared(&mut self, name: &str, left: Vec<Found>) {
        // A name of an instance is the name of a process, or one with a number behind it.
        let Ok(process) = Name::parse(&name.chars().take(100).collect::<String>()) else { return };
        let nothing = piton_model::Program::Exec { argv: Vec::new() };
        let process = Process::new(process, nothing);
        self.retiring.entry(process.name.clone()).or_default().insert(name.to_owned());
        let digest = Digest::of(&process);
        let mut entry = Entry::new(name, Arc::new(process), digest, 1);
        entry.retiring = true;
        self.entries.insert(name.to_owned(), Box::new(entry));
        self.adopt(name, left, false);
    }
}

/// Whether a child prints into the pipe of a keeper that has died.
fn is_unread(child: &Child) -> bool {
    child.state == piton_keeper::State::Orphaned
}

/// Tells whose output was lost while nobody supervised, if anybody's was.
fn tell_of_unread(found: Option<&BTreeMap<String, Vec<Found>>>) {
    let found = found.into_iter().flatten();
    let unread = found.filter(|(_, left)| left.iter().any(|found| is_unread(&found.child)));
    let processes: Vec<&str> = unread.map(|(name, _)| name.as_str()).collect();
    if !processes.is_empty() {
        let processes = processes.join(", ");
        warn!(processes, "a keeper before is gone, and what these processes print is lost until they restart");
    }
}

/// What was left of an instance.
enum Adopted {
    /// A child that runs; whether it was started from the same declaration.
    Alive { same: bool },
    /// A child that ended, which the policy has judged.
    Ended,
    /// Nothing that counts.
    Dead,
}
