//! What follows an end that nobody asked for.

use std::time::Duration;

use piton_keeper::ExitStatus;
use piton_model::{RestartPolicy, RestartWhen};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{End, Instance, State, Turn};

/// After so many restarts in a row, none of which was healthy, even those that may follow at once are slowed down.
const RUSH: u32 = 100;
/// To this pace.
const PACE: Duration = Duration::from_millis(100);

/// Whether an end is a success.
pub(crate) fn is_success(policy: &RestartPolicy, status: ExitStatus) -> bool {
    matches!(status, ExitStatus::Code(code) if policy.success_codes.contains(&code))
}

impl Instance {
    /// The child ended by itself.
    pub(super) fn by_policy(&mut self, end: End, young: bool, turn: &mut Turn<'_>) {
        self.ready = false;
        let policy = &turn.process().restart;
        let success = is_success(policy, end.status);
        let again = match policy.when {
            RestartWhen::Always => true,
            RestartWhen::OnFailure => !success,
            RestartWhen::Never => false,
        };
        let reason = if young {
            let duration = turn.process().start.duration;
            Some(format!("{}, before it had run for {duration:?}", end.status))
        } else {
            (!success || again).then(|| end.status.to_string())
        };
        self.decide(reason, young, again, turn);
        // Looking for what is left keeps the keeper busy, so that the next one, if it comes at once, comes first.
        if !matches!(self.state, State::Spawning { .. }) {
            self.sweep_graves(turn);
        }
    }

    /// A probe failed, and the child was stopped for it.
    pub(super) fn failed(&mut self, reason: String, young: bool, turn: &mut Turn<'_>) {
        self.decide(Some(reason), young, true, turn);
    }

    fn decide(&mut self, reason: Option<String>, young: bool, again: bool, turn: &mut Turn<'_>) {
        let start = turn.process().start;
        self.reason = reason;
        if young && self.tries < start.retries {
            self.tries += 1;
            self.state = State::Backoff { until: turn.after(start.retry_interval), retrying: true };
            return;
        }
        if !again {
            self.state = if young { State::Fatal } else { State::Exited };
            return;
        }
        if self.is_flapping(turn) {
            let policy = &turn.process().restart;
            let last = self.reason.take().unwrap_or_default();
            let (times, window) = (self.flaps.len(), policy.flap_window);
            self.reason = Some(format!("restarted {times} times within {window:?}, the last time after: {last}"));
            self.state = State::Fatal;
            return;
        }
        let delay = self.delay(turn);
        self.streak = self.streak.saturating_add(1);
        if delay.is_zero() {
            self.spawn(turn);
        } else {
            self.state = State::Backoff { until: turn.after(delay), retrying: false };
        }
    }

    /// Counts a restart, unless it would be one too many.
    fn is_flapping(&mut self, turn: &Turn<'_>) -> bool {
        let policy = &turn.process().restart;
        let Some(limit) = policy.flap_limit else {
            self.flaps.clear();
            return false;
        };
        let now = turn.now.moment;
        self.flaps.retain(|at| now.saturating_sub(*at) < policy.flap_window);
        if self.flaps.len() >= limit as usize {
            return true;
        }
        self.flaps.push_back(now);
        false
    }

    fn delay(&self, turn: &Turn<'_>) -> Duration {
        let policy = &turn.process().restart;
        if policy.delay.is_zero() && self.streak >= RUSH {
            return PACE;
        }
        let growth = f64::from(policy.growth_percent) / 100.0;
        let grown = policy.delay.as_secs_f64() * growth.powf(f64::from(self.streak));
        let delay = Duration::try_from_secs_f64(grown).unwrap_or(Duration::MAX).min(policy.delay_cap);
        if policy.growth_percent <= 100 || self.streak == 0 {
            return delay;
        }
        // A little less, so that those who failed together do not all come back together.
        let mut random = SmallRng::seed_from_u64(turn.rules.seed ^ u64::from(self.streak));
        delay.mul_f64(random.random_range(0.9..=1.0))
    }
}
