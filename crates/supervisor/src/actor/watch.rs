//! Hearing what the keeper says, over its deaths.

use std::collections::BTreeMap;

use jiff::Timestamp;
use piton_keeper::{Child, ExitStatus, ProcessIdentity, State, Token, is_alive};
use piton_process::{Keeping, orphan};
use tokio::sync::mpsc;

use super::effect::insist;
use super::{Actor, Found, Message, end_of, sort_out};
use crate::clock::Now;
use crate::incarnation::Incarnation;
use crate::instance::{End, Event};
use crate::real_time::{now, pause};

/// Before a keeper is asked again that does not say what it holds.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// A keeper that is listened to.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Its process id.
    pub(crate) keeper: u32,
    /// The ends of children from now on.
    pub(crate) ends: mpsc::UnboundedReceiver<Child>,
    /// Those that are held.
    pub(crate) held: Vec<Child>,
}

/// Begins to listen to the keeper.
pub(crate) async fn listen(keeping: &Keeping) -> Result<Heard, piton_keeper::client::Error> {
    keeping
        .ask(|keeper| async move {
            // Listening first: what ends between the two is heard of twice, which is better than never.
            let ends = keeper.ends()?;
            let held = keeper.list().await?;
            Ok(Heard { keeper: keeper.keeper().keeper_pid, ends, held })
        })
        .await
}

/// Passes on what the keeper says; whenever it is gone, asks the next one what it holds.
pub(crate) async fn pass_on(
    keeping: Keeping,
    mut keeper: u32,
    mut ends: mpsc::UnboundedReceiver<Child>,
    outbox: mpsc::UnboundedSender<Message>,
) {
    loop {
        while let Some(child) = ends.recv().await {
            if outbox.send(Message::Ended(child)).is_err() {
                return;
            }
        }
        let heard = loop {
            match insist(|| listen(&keeping)).await {
                Ok(heard) => break heard,
                Err((_, message)) => {
                    tracing::warn!(message, "the keeper does not say what it holds");
                    pause(LOOK).await;
                }
            }
        };
        let before = std::mem::replace(&mut keeper, heard.keeper);
        // One that was upgraded in place is the same process.
        let gone = (before != keeper).then_some(before);
        ends = heard.ends;
        if outbox.send(Message::Listed { held: heard.held, gone }).is_err() {
            return;
        }
    }
}

impl Actor {
    /// Compares what the keeper holds with what should be there. `gone` is the keeper before, if this is another one.
    pub(super) fn compare(&mut self, held: Vec<Child>, gone: Option<u32>) {
        if let Some(before) = self.found.take() {
            tell_of_keeper(gone, &[]);
            return self.find_again(before, held);
        }
        for child in held.iter().filter(|child| child.exit().is_some()) {
            self.hook_ended(child);
        }
        let held: BTreeMap<Token, Child> = held.into_iter().map(|child| (child.token.clone(), child)).collect();
        let unread = self.mark_unread(&held, gone.is_some());
        tell_of_keeper(gone, &unread);
        let mut ended = Vec::new();
        for (name, entry) in &self.entries {
            let Some(up) = entry.instance.up() else { continue };
            match up.of.token(name).ok().and_then(|token| held.get(&token)) {
                Some(child) => ended.extend(end_of(child).map(|end| (name.clone(), up.of, Ok(end)))),
                None => ended.push((name.clone(), up.of, Err(up.identity.clone()))),
            }
        }
        for (name, of, end) in ended {
            match end {
                Ok(end) => self.step(&name, Event::Ended { number: of.number, end }),
                Err(identity) => self.watch_unknown(&name, of, identity),
            }
        }
    }

    /// Marks and gives the instances that print into the pipe of a keeper which is gone.
    fn mark_unread(&mut self, held: &BTreeMap<Token, Child>, is_another: bool) -> Vec<String> {
        let mut unread = Vec::new();
        for (name, entry) in &mut self.entries {
            let printing = entry.instance.printing();
            let Some(of) = printing.or_else(|| entry.instance.spawning()) else { continue };
            let child = of.token(name).ok().and_then(|token| held.get(&token));
            let is_unread = match child.map(|child| child.state) {
                Some(State::Running) => false,
                Some(State::Orphaned) => true,
                // One that is being started may not be there yet.
                None => printing.is_some(),
                // What it has left behind prints where it did.
                Some(State::Exited { .. }) => is_another && printing.is_some() && entry.instance.up().is_none(),
            };
            if is_unread {
                entry.unread = Some(of.number);
                unread.push(name.clone());
            }
        }
        for name in &unread {
            let Some(shown) = self.entries.get(name).map(|entry| entry.instance.shown()) else { continue };
            self.publish(name, shown, Now::read());
        }
        unread
    }

    /// Nothing is declared yet: what counts is what this keeper holds, and what lives although it does not know it.
    fn find_again(&mut self, before: BTreeMap<String, Vec<Found>>, held: Vec<Child>) {
        let (mut found, hooks) = sort_out(held);
        for (name, children) in before {
            for known in children {
                let now = found.entry(name.clone()).or_default();
                if now.iter().any(|now| now.of == known.of) || !is_alive(&known.child.identity) {
                    continue;
                }
                // The keeper that knew it is gone, and with it who read what it prints.
                let child = Child { state: State::Orphaned, ..known.child };
                let outbox = self.outbox.clone();
                now.push(Found { of: known.of, child: child.clone() });
                now.sort_by_key(|found| found.of.number);
                self.tasks.spawn(async move {
                    let at_unix_us = gone(&child.identity).await.as_microsecond();
                    let state = State::Exited { status: ExitStatus::Unknown, at_unix_us };
                    // Without an actor there is nobody to tell.
                    let _ = outbox.send(Message::Ended(Child { state, ..child }));
                });
            }
        }
        found.retain(|_, children| !children.is_empty());
        (self.found, self.hooks_found) = (Some(found), hooks);
    }

    /// The records of a child are gone. The process itself cannot lie about being there.
    fn watch_unknown(&mut self, name: &str, of: Incarnation, identity: ProcessIdentity) {
        let (outbox, instance) = (self.outbox.clone(), name.to_owned());
        self.tasks.spawn(async move {
            let end = End { status: ExitStatus::Unknown, at: gone(&identity).await };
            // Without an actor there is nobody to tell.
            let _ = outbox.send(Message::Event { instance, event: Event::Ended { number: of.number, end } });
        });
    }
}

/// Tells that a keeper has died, and whose output is lost with it.
fn tell_of_keeper(gone: Option<u32>, unread: &[String]) {
    let Some(keeper) = gone else { return };
    if unread.is_empty() {
        tracing::warn!(keeper, "the keeper is gone, and another one has taken its place");
    } else {
        let processes = unread.join(", ");
        tracing::warn!(
            keeper,
            processes,
            "the keeper is gone, and what these processes print is lost until they restart"
        );
    }
}

/// Waits for the end of a process that no keeper tells of; gives when it was noticed.
async fn gone(identity: &ProcessIdentity) -> Timestamp {
    orphan::gone(identity).await;
    now()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use piton_keeper::Output;

    use piton_model::{Name, Process, Program};

    use super::*;
    use crate::Settings;
    use crate::actor::entry::{Entry, up_of};
    use crate::board::Board;
    use crate::incarnation::Digest;
    use crate::instance::State as Life;
    use crate::status::UNREAD;

    fn actor(held: Vec<Child>) -> Actor {
        let settings = Arc::new(Settings {
            keeper_dir: "/nowhere".into(),
            keeper_argv: Vec::new(),
            work_dir: "/nowhere".into(),
            log_dir: "/nowhere".into(),
            pid_dir: "/nowhere".into(),
            environment: BTreeMap::new(),
            measure_every: None,
            measurements: 0,
            keep_logs_every: None,
        });
        let keeping = Keeping::new("/nowhere".into(), Vec::new());
        let board = Arc::new(Board::new(Arc::clone(&settings)));
        Actor::new(settings, keeping, board, mpsc::unbounded_channel(), held)
    }

    fn child(instance: &str, lives: bool, state: State) -> Child {
        let of = Incarnation { number: 1, restarts: 0, digest: Digest::default() };
        let me = ProcessIdentity::of(std::process::id()).unwrap();
        Child {
            token: of.token(instance).unwrap(),
            identity: ProcessIdentity { start_ticks: me.start_ticks + u64::from(!lives), ..me },
            state,
            spawned_at_unix_us: 0,
            stdout: Output::Null,
            stderr: Output::Null,
            warnings: Vec::new(),
        }
    }

    #[tokio::test]
    async fn before_anything_is_declared_the_next_keeper_is_believed() {
        let exited = State::Exited { status: ExitStatus::Unknown, at_unix_us: 7 };
        let hook = Child { token: "hook/web/1/pre_start/h/1".parse().unwrap(), ..child("x", false, exited) };
        let mut actor = actor(vec![
            child("ended", true, State::Running),
            child("gone", false, State::Running),
            child("unknown", true, State::Running),
        ]);
        let held = vec![child("ended", true, exited), child("new", true, State::Orphaned), hook.clone()];
        actor.compare(held, Some(7));
        let found = actor.found.unwrap();
        let states: Vec<_> = found.iter().map(|(name, found)| (name.as_str(), found[0].child.state)).collect();
        assert_eq!(states, [("ended", exited), ("new", State::Orphaned), ("unknown", State::Orphaned)]);
        assert_eq!(actor.hooks_found, [hook]);
        assert_eq!(actor.tasks.len(), 1, "the one that no keeper tells of is watched");
    }

    /// Without it, a hook that was told to end and did so well would be taken for done.
    #[tokio::test]
    async fn that_hooks_were_cut_short_is_not_forgotten_before_they_are() {
        let exited = State::Exited { status: ExitStatus::Code(0), at_unix_us: 7 };
        let mut actor = actor(Vec::new());
        actor.found = None;
        for (token, forgotten) in [("hook/web/1/pre_start/:cut", 0), ("hook/web/1/pre_start/h/1", 1)] {
            actor.hook_ended(&Child { token: token.parse().unwrap(), ..child("web", false, exited) });
            assert_eq!(actor.tasks.len(), forgotten, "{token}");
        }
    }

    /// The answer to a start may be behind the word that its keeper has died.
    #[tokio::test]
    async fn who_was_just_started_by_a_keeper_that_died_prints_unread() {
        for (held, reason) in [(State::Orphaned, Some(UNREAD)), (State::Running, None)] {
            let mut actor = actor(Vec::new());
            actor.found = None;
            let program = Program::Shell { line: "true".to_owned() };
            let process = Arc::new(Process::new(Name::parse("web").unwrap(), program));
            let mut entry = Entry::new("web", process, Digest::default(), 1);
            let of = Incarnation { number: 1, restarts: 0, digest: Digest::default() };
            entry.instance.state = Life::Spawning { of, cancelled: None, wait: None, early: None };
            actor.entries.insert("web".to_owned(), Box::new(entry));
            actor.compare(vec![child("web", true, held)], Some(7));
            let started = child("web", true, State::Running);
            actor.step("web", Event::Spawned(up_of(of, &started, Now::read())));
            assert_eq!(actor.board.one("web").unwrap().reason.as_deref(), reason, "{held:?}");
        }
    }
}
