//! A circuit breaker: a host that keeps failing is left alone for a while, then tried with one call.

use std::collections::VecDeque;
use std::time::Duration;

/// When a host is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRules {
    /// It opens after so many failures in a row.
    pub failures: u32,
    /// It opens when so many percent of the last [`window`](Self::window) calls failed.
    pub failure_percent: u8,
    /// How many calls are looked back upon; 0 for none.
    pub window: usize,
    /// How long it stays open. Each probe that fails doubles it.
    pub pause: Duration,
    /// It never stays open longer at a time.
    pub longest_pause: Duration,
}

impl Default for BreakerRules {
    fn default() -> BreakerRules {
        BreakerRules {
            failures: 5,
            failure_percent: 50,
            window: 20,
            pause: Duration::from_secs(30),
            longest_pause: Duration::from_secs(10 * 60),
        }
    }
}

/// The rules make no breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRules {
    /// It would open without a failure.
    #[error("a breaker needs at least one failure to open")]
    NoFailures,
    /// It is no share.
    #[error("the share of failures is from 1 to 100 percent, not {0}")]
    Percent(u8),
    /// It would not be open at all, or less than it is at first.
    #[error("the pause is not zero, and the longest pause not shorter")]
    Pause,
}

impl BreakerRules {
    /// Whether they make sense.
    pub fn check(&self) -> Result<(), InvalidRules> {
        if self.failures == 0 {
            return Err(InvalidRules::NoFailures);
        }
        if !(1..=100).contains(&self.failure_percent) {
            return Err(InvalidRules::Percent(self.failure_percent));
        }
        if self.pause.is_zero() || self.longest_pause < self.pause {
            return Err(InvalidRules::Pause);
        }
        Ok(())
    }
}

/// How a call ended, as far as its host is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The host answered, be it that it refused.
    Well,
    /// It could not be reached, took too long or failed.
    Ill,
    /// The call was given up before anybody could tell.
    Unknown,
}

/// What an admitted call brings back. Of an older generation it says nothing about the state now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    generation: u64,
}

#[derive(Debug, Clone)]
enum State {
    Closed { streak: u32, recent: VecDeque<bool> },
    Open { until: Duration },
    HalfOpen { probing: bool },
}

#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    rules: BreakerRules,
    state: State,
    /// How often it opened since it was last closed.
    opened: u32,
    /// Counts changes of the state.
    generation: u64,
}

impl Breaker {
    pub(crate) fn new(rules: BreakerRules) -> Breaker {
        Breaker { rules, state: State::Closed { streak: 0, recent: VecDeque::new() }, opened: 0, generation: 0 }
    }

    /// Until when no call would be admitted, were it to come now.
    pub(crate) fn shut_until(&mut self, now: Duration) -> Option<Duration> {
        match self.state {
            State::Closed { .. } | State::HalfOpen { probing: false } => None,
            State::Open { until } if now < until => Some(until),
            State::Open { .. } => {
                self.change(State::HalfOpen { probing: false });
                None
            }
            // How long the probe takes is not known; what it tells is worth the wait.
            State::HalfOpen { probing: true } => Some(now + self.rules.pause),
        }
    }

    /// Whether it depends on a call that is under way what becomes of all others.
    pub(crate) fn is_probing(&self) -> bool {
        matches!(self.state, State::HalfOpen { probing: true })
    }

    /// Lets a call go, or says until when none goes.
    pub(crate) fn admit(&mut self, now: Duration) -> Result<Pass, Duration> {
        if let Some(until) = self.shut_until(now) {
            return Err(until);
        }
        if let State::HalfOpen { probing } = &mut self.state {
            *probing = true;
        }
        Ok(Pass { generation: self.generation })
    }

    /// Takes note of how an admitted call ended.
    pub(crate) fn settle(&mut self, pass: Pass, verdict: Verdict, now: Duration) {
        if pass.generation != self.generation {
            return;
        }
        match &mut self.state {
            State::Closed { streak, recent } => {
                let ill = match verdict {
                    Verdict::Well => false,
                    Verdict::Ill => true,
                    Verdict::Unknown => return,
                };
                *streak = if ill { *streak + 1 } else { 0 };
                recent.push_back(ill);
                while recent.len() > self.rules.window {
                    recent.pop_front();
                }
                let failed = recent.iter().filter(|ill| **ill).count();
                let too_many = self.rules.window > 0
                    && recent.len() == self.rules.window
                    && failed * 100 >= self.rules.window * usize::from(self.rules.failure_percent);
                if *streak >= self.rules.failures || (ill && too_many) {
                    self.open(now);
                }
            }
            State::HalfOpen { probing } => match verdict {
                Verdict::Well => {
                    self.opened = 0;
                    self.change(State::Closed { streak: 0, recent: VecDeque::new() });
                }
                Verdict::Ill => self.open(now),
                Verdict::Unknown => *probing = false,
            },
            State::Open { .. } => {}
        }
    }

    fn open(&mut self, now: Duration) {
        let factor = 2u32.saturating_pow(self.opened);
        let pause = self.rules.pause.saturating_mul(factor).min(self.rules.longest_pause);
        self.opened = self.opened.saturating_add(1);
        self.change(State::Open { until: now + pause });
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules() -> BreakerRules {
        BreakerRules { failures: 3, failure_percent: 50, window: 10, pause: SECOND, longest_pause: 4 * SECOND }
    }

    fn call(breaker: &mut Breaker, verdict: Verdict, now: Duration) {
        let pass = breaker.admit(now).unwrap();
        breaker.settle(pass, verdict, now);
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_each_failed_probe_doubles_the_pause() {
        let mut breaker = Breaker::new(rules());
        let mut now = Duration::ZERO;
        for verdict in [Verdict::Ill, Verdict::Ill, Verdict::Well, Verdict::Ill, Verdict::Ill, Verdict::Ill] {
            call(&mut breaker, verdict, now);
        }
        for pause in [1, 2, 4, 4] {
            assert_eq!(breaker.admit(now), Err(now + pause * SECOND));
            now += pause * SECOND;
            call(&mut breaker, Verdict::Ill, now);
        }
        now += 4 * SECOND;
        call(&mut breaker, Verdict::Well, now);
        for _ in 0..3 {
            call(&mut breaker, Verdict::Ill, now);
        }
        assert_eq!(breaker.admit(now), Err(now + SECOND), "a success begins anew");
    }

    #[test]
    fn it_opens_when_half_of_the_last_calls_failed() {
        let mut breaker = Breaker::new(rules());
        for turn in 0..9 {
            let verdict = if turn % 2 == 0 { Verdict::Ill } else { Verdict::Well };
            call(&mut breaker, verdict, SECOND);
        }
        assert_eq!(breaker.shut_until(SECOND), None);
        call(&mut breaker, Verdict::Ill, SECOND);
        assert_eq!(breaker.shut_until(SECOND), Some(2 * SECOND));
    }

    #[test]
    fn half_open_lets_one_call_through_and_another_when_that_was_given_up() {
        let mut breaker = Breaker::new(rules());
        let late = breaker.admit(SECOND).unwrap();
        for _ in 0..3 {
            call(&mut breaker, Verdict::Ill, SECOND);
        }
        let probe = breaker.admit(2 * SECOND).unwrap();
        assert!(breaker.admit(2 * SECOND).is_err());
        breaker.settle(late, Verdict::Well, 2 * SECOND);
        assert!(breaker.admit(2 * SECOND).is_err(), "what began before it opened says nothing");
        breaker.settle(probe, Verdict::Unknown, 2 * SECOND);
        let probe = breaker.admit(2 * SECOND).unwrap();
        breaker.settle(probe, Verdict::Well, 2 * SECOND);
        assert!(breaker.admit(2 * SECOND).is_ok() && breaker.admit(2 * SECOND).is_ok());
    }

    proptest! {
        /// Whatever happens, nobody waits longer than the longest pause, an open breaker admits nobody before its time, and
        /// after it exactly one.
        #[test]
        fn it_never_stays_shut(
            events in prop::collection::vec((0u64..3_000, 0u8..3, prop::bool::ANY), 1..200),
        ) {
            let mut breaker = Breaker::new(rules());
            let (mut now, mut under_way) = (Duration::ZERO, Vec::new());
            for (step, verdict, ends) in events {
                now += Duration::from_millis(step);
                if ends && !under_way.is_empty() {
                    let verdict = [Verdict::Well, Verdict::Ill, Verdict::Unknown][usize::from(verdict)];
                    breaker.settle(under_way.remove(0), verdict, now);
                    continue;
                }
                match breaker.admit(now) {
                    Ok(pass) => under_way.push(pass),
                    Err(until) => {
                        prop_assert!(until > now && until <= now + rules().longest_pause);
                        prop_assert!(breaker.clone().admit(until.saturating_sub(Duration::from_nanos(1))).is_err());
                    }
                }
            }
            for pass in under_way.drain(..) {
                breaker.settle(pass, Verdict::Unknown, now);
            }
            now += rules().longest_pause;
            prop_assert!(breaker.admit(now).is_ok());
        }
    }
}
