//! What people want of instances.

use tokio::sync::oneshot;

use super::{Actor, Awaited, Failed, Want};
use crate::instance::Event;

impl Actor {
    /// Begins what is wanted; `done` is answered when it is through.
    pub(super) fn want(&mut self, instances: Vec<String>, want: Want, done: oneshot::Sender<Vec<Failed>>) {
        match want {
            Want::Up => self.start_all(&instances),
            Want::Down { wait } => self.stop_in_order(instances.clone(), &Event::Stop { wait }),
            Want::Anew { wait } => {
                for name in &instances {
                    self.no_longer_stopped(name);
                }
                self.stop_in_order(instances.clone(), &Event::Restart { wait });
            }
        }
        self.settle();
        let until = if matches!(want, Want::Down { .. }) { Awaited::Gone } else { Awaited::Up };
        self.wait_for(instances, until, done);
    }

    /// Starts instances in the order of their processes. What they depend on holds them back.
    pub(super) fn start_all(&mut self, instances: &[String]) {
        let mut instances: Vec<&String> = instances.iter().collect();
        instances.sort_by_cached_key(|name| {
            let entry = self.entries.get(*name);
            entry.and_then(|entry| Some((*self.ranks.get(&entry.process.name)?, entry.number)))
        });
        for name in instances {
            self.no_longer_stopped(name);
            if self.entries.get(name).is_some_and(|entry| !entry.retiring) {
                self.step(name, Event::Start);
            }
        }
    }
}
