//! Hearing what the keeper says, over its deaths.

use std::collections::BTreeMap;

use jiff::Timestamp;
use piton_keeper::{Child, ExitStatus, ProcessIdentity, State, Token, is_alive};
use piton_process::{Keeping, orphan};
use tokio::sync::mpsc;

use super::effect::insist;
use super::{Actor, Found, Message, end_of, sort_out};
use crate::incarnation::Incarnation;
use crate::instance::{End, Event};
use crate::real_time::{now, pause};

/// Before a keeper is asked again that does not say what it holds.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// The ends of children from now on, and those that are held.
pub(crate) async fn listen(
    keeping: &Keeping,
) -> Result<(mpsc::UnboundedReceiver<Child>, Vec<Child>), piton_keeper::client::Error> {
    keeping
        .ask(|keeper| async move {
            // Listening first: what ends between the two is heard of twice, which is better than never.
            let ends = keeper.ends()?;
            Ok((ends, keeper.list().await?))
        })
        .await
}

/// Passes on what the keeper says; whenever it is gone, asks the next one what it holds.
pub(crate) async fn pass_on(
    keeping: Keeping,
    mut ends: mpsc::UnboundedReceiver<Child>,
    outbox: mpsc::UnboundedSender<Message>,
) {
    loop {
        while let Some(child) = ends.recv().await {
            if outbox.send(Message::Ended(child)).is_err() {
                return;
            }
        }
        let held;
        (ends, held) = loop {
            match insist(|| listen(&keeping)).await {
                Ok(answer) => break answer,
                Err((_, message)) => {
                    tracing::warn!(message, "the keeper does not say what it holds");
                    pause(LOOK).await;
                }
            }
        };
        if outbox.send(Message::Listed(held)).is_err() {
            return;
        }
    }
}

impl Actor {
    /// Compares what another keeper holds with what should be there.
    pub(super) fn compare(&mut self, held: Vec<Child>) {
        if let Some(before) = self.found.take() {
            return self.find_again(before, held);
        }
        for child in held.iter().filter(|child| child.exit().is_some()) {
            self.hook_ended(child);
        }
        let held: BTreeMap<Token, Child> = held.into_iter().map(|child| (child.token.clone(), child)).collect();
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

    /// Nothing is declared yet: what counts is what this keeper holds, and what lives although it does not know it.
    fn find_again(&mut self, before: BTreeMap<String, Vec<Found>>, held: Vec<Child>) {
        let (mut found, hooks) = sort_out(held);
        for (name, children) in before {
            for known in children {
                let now = found.entry(name.clone()).or_default();
                if now.iter().any(|now| now.of == known.of) || !is_alive(&known.child.identity) {
                    continue;
                }
                let (outbox, child) = (self.outbox.clone(), known.child.clone());
                now.push(known);
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

/// Waits for the end of a process that no keeper tells of; gives when it was noticed.
async fn gone(identity: &ProcessIdentity) -> Timestamp {
    orphan::gone(identity).await;
    now()
}
