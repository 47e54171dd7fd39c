//! Who may call a host next: first come, first served, within its rate, so many at a time, and only while it is well.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Breaker, BreakerRules, Bucket, Pass, Rate, Verdict};

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// Why nobody may call now, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The breaker is open.
    Open(Duration),
    /// The host asked for a pause.
    Held(Duration),
}

/// What a ticket is good for at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is its turn; the ticket is used up.
    Go(Pass),
    /// Not yet. Worth asking again when something changes, and at that moment where there is one.
    Later(Option<Duration>),
    /// Not for a while; the ticket is used up.
    Refused(Refusal),
}

#[derive(Debug, Clone)]
pub(crate) struct Lane {
    bucket: Option<Bucket>,
    breaker: Breaker,
    most: u32,
    running: u32,
    queue: VecDeque<Ticket>,
    next: u64,
    held_until: Duration,
}

impl Lane {
    pub(crate) fn new(most: u32, rate: Option<Rate>, breaker: BreakerRules) -> Lane {
        Lane {
            bucket: rate.map(Bucket::new),
            breaker: Breaker::new(breaker),
            most: most.max(1),
            running: 0,
            queue: VecDeque::new(),
            next: 0,
            held_until: Duration::ZERO,
        }
    }

    /// Queues up.
    pub(crate) fn enter(&mut self) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.queue.push_back(ticket);
        ticket
    }

    /// Whether it is the turn of `ticket`.
    pub(crate) fn turn(&mut self, ticket: Ticket, now: Duration) -> Turn {
        if self.breaker.is_probing() {
            // What the probe tells is worth the wait: sent away now, all would come back long after a probe that went well.
            return Turn::Later(None);
        }
        let refusal = if now < self.held_until {
            Some(Refusal::Held(self.held_until))
        } else {
            self.breaker.shut_until(now).map(Refusal::Open)
        };
        if let Some(refusal) = refusal {
            self.leave(ticket);
            return Turn::Refused(refusal);
        }
        if self.queue.front() != Some(&ticket) || self.running >= self.most {
            return Turn::Later(None);
        }
        if let Some(Err(ready)) = self.bucket.as_mut().map(|bucket| bucket.take(now)) {
            return Turn::Later(Some(ready));
        }
        self.leave(ticket);
        match self.breaker.admit(now) {
            Ok(pass) => {
                self.running += 1;
                Turn::Go(pass)
            }
            Err(until) => Turn::Refused(Refusal::Open(until)),
        }
    }

    /// Who is first in the queue: nobody else can go before that one has gone or left.
    pub(crate) fn first(&self) -> Option<Ticket> {
        self.queue.front().copied()
    }

    /// Gives up a place in the queue.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        self.queue.retain(|other| *other != ticket);
    }

    /// Takes note that a call which went is over.
    pub(crate) fn settle(&mut self, pass: Pass, verdict: Verdict, now: Duration) {
        self.running = self.running.saturating_sub(1);
        self.breaker.settle(pass, verdict, now);
    }

    /// Lets nobody go before `until`.
    pub(crate) fn hold(&mut self, until: Duration) {
        self.held_until = self.held_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Event {
        Enter,
        /// Somebody gives up.
        Leave(usize),
        /// A call ends.
        End(usize, bool),
        Wait(u64),
        Hold(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Enter),
            1 => any::<usize>().prop_map(Event::Leave),
            4 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(which, ill)| Event::End(which, ill)),
            3 => (0u64..2_000).prop_map(Event::Wait),
            1 => (0u64..500).prop_map(Event::Hold),
        ]
    }

    proptest! {
        /// Never more at a time than may be; those who go, go in the order in which they came; and when all calls have
        /// ended and time passes, everybody was served or told to come again.
        #[test]
        fn it_is_fair_and_nobody_is_forgotten(
            most in 1u32..4,
            calls in 1u32..5,
            events in prop::collection::vec(event(), 1..150),
        ) {
            let rate = Rate::new(calls, Duration::from_millis(700)).unwrap();
            let mut lane = Lane::new(most, Some(rate), BreakerRules { failures: 3, ..BreakerRules::default() });
            let mut now = Duration::from_secs(1);
            let (mut waiting, mut running, mut last) = (Vec::<Ticket>::new(), Vec::<Pass>::new(), None::<u64>);
            let ending = std::iter::repeat_n([Event::End(0, false), Event::Wait(60_000)], 400).flatten();
            for event in events.into_iter().chain(ending) {
                match event {
                    Event::Enter => waiting.push(lane.enter()),
                    Event::Leave(which) if !waiting.is_empty() => {
                        lane.leave(waiting.remove(which % waiting.len()));
                    }
                    Event::End(which, ill) if !running.is_empty() => {
                        let verdict = if ill { Verdict::Ill } else { Verdict::Well };
                        lane.settle(running.remove(which % running.len()), verdict, now);
                    }
                    Event::Wait(span) => now += Duration::from_millis(span),
                    Event::Hold(span) => lane.hold(now + Duration::from_millis(span)),
                    Event::Leave(_) | Event::End(..) => {}
                }
                // Asked in the worst order: the last one first.
                for ticket in waiting.clone().into_iter().rev().chain(waiting.clone()) {
                    if !waiting.contains(&ticket) {
                        continue;
                    }
                    match lane.turn(ticket, now) {
                        Turn::Go(pass) => {
                            prop_assert!(last < Some(ticket.0));
                            last = Some(ticket.0);
                            running.push(pass);
                            waiting.retain(|other| *other != ticket);
                        }
                        Turn::Refused(Refusal::Open(until) | Refusal::Held(until)) => {
                            prop_assert!(until > now);
                            waiting.retain(|other| *other != ticket);
                        }
                        Turn::Later(at) => prop_assert!(at.is_none_or(|at| at > now)),
                    }
                }
                prop_assert!(running.len() <= most as usize);
            }
            prop_assert!(waiting.is_empty(), "{} were forgotten", waiting.len());
        }
    }
}
