//! Killing what is left of a child's tree, a look at a time so that the keeper stays responsive.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::time::{Duration, Instant};

use super::table::Held;
use super::tree;
use crate::protocol::SweepReport;
use crate::{Signal, Token};

/// How long a sweep tries. A killed process dies within milliseconds unless the kernel itself is stuck.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

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
    pub(super) fn look(&mut self, keeper: &OsStr) -> Option<SweepReport> {
        let picture = tree::picture_for(&self.of.child, keeper);
        let found = tree::members(&picture, &self.of);
        if Instant::now() > self.deadline {
            return Some(SweepReport { survivors: found.iter().map(|stat| stat.pid).collect(), ..self.report() });
        }
        if found.is_empty() && tree::is_settled(&picture) {
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
