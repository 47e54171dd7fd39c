//! How a command is asked to stop, ever less politely.

use std::fmt;
use std::time::Duration;

use piton_keeper::Signal;
use piton_keeper::protocol::Target;

/// One signal, and the time the command has to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// What is sent.
    pub signal: Signal,
    /// Who gets it.
    pub target: Target,
    /// How long to wait before the next stage. After the last one there is no hurry any more.
    pub wait: Duration,
}

/// The stages of a stop, the most polite first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopSequence(pub Vec<Stage>);

impl StopSequence {
    /// For OpenTofu and Terraform: SIGINT to the tool alone, which then saves the state and unlocks it; five minutes
    /// later a second one, which makes it give up on what is still under way; ten seconds later SIGKILL to it and all
    /// it started.
    pub fn infrastructure() -> StopSequence {
        StopSequence(vec![
            Stage { signal: Signal::Int, target: Target::Process, wait: Duration::from_secs(300) },
            Stage { signal: Signal::Int, target: Target::Process, wait: Duration::from_secs(10) },
            Stage { signal: Signal::Kill, target: Target::Tree, wait: Duration::ZERO },
        ])
    }

    /// For anything else: SIGTERM to the process group, ten seconds later SIGKILL to the command and all it started.
    pub fn job() -> StopSequence {
        StopSequence(vec![
            Stage { signal: Signal::Term, target: Target::Group, wait: Duration::from_secs(10) },
            Stage { signal: Signal::Kill, target: Target::Tree, wait: Duration::ZERO },
        ])
    }

    /// For short commands that save nothing: SIGKILL to the command and all it started.
    pub fn kill() -> StopSequence {
        StopSequence(vec![Stage { signal: Signal::Kill, target: Target::Tree, wait: Duration::ZERO }])
    }

    /// The same with another time to react to the first signal.
    pub fn with_grace(mut self, grace: Duration) -> StopSequence {
        if let Some(first) = self.0.first_mut() {
            first.wait = grace;
        }
        self
    }
}

/// What the log says about a stage.
pub(crate) struct Notice<'a> {
    pub(crate) stage: &'a Stage,
    /// How long the stage before has waited in vain.
    pub(crate) after: Option<Duration>,
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            None => f.write_str("piton: stopping: ")?,
            Some(wait) => write!(f, "piton: still running after {}: ", Wait(wait))?,
        }
        write!(f, "sending {}", self.stage.signal.name())?;
        f.write_str(match self.stage.target {
            Target::Process => "",
            Target::Group => " to the process group",
            Target::Tree => " to the command and all it started",
        })
    }
}

struct Wait(Duration);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds > 0 && seconds.is_multiple_of(60) && self.0.subsec_nanos() == 0 {
            write!(f, "{} min", seconds / 60)
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_what_was_done() {
        let stages = StopSequence::infrastructure().0;
        let line = |stage, after| Notice { stage, after }.to_string();
        assert_eq!(line(&stages[0], None), "piton: stopping: sending SIGINT");
        assert_eq!(line(&stages[1], Some(stages[0].wait)), "piton: still running after 5 min: sending SIGINT");
        let last = "piton: still running after 10s: sending SIGKILL to the command and all it started";
        assert_eq!(line(&stages[2], Some(stages[1].wait)), last);
    }

    #[test]
    fn only_the_last_stage_kills() {
        for sequence in
            [StopSequence::infrastructure(), StopSequence::job().with_grace(Duration::ZERO), StopSequence::kill()]
        {
            let (last, polite) = sequence.0.split_last().unwrap();
            assert_eq!(last.signal, Signal::Kill);
            assert!(
                sequence != StopSequence::infrastructure()
                    || polite.iter().all(|stage| stage.target == Target::Process)
            );
            assert!(polite.iter().all(|stage| stage.signal != Signal::Kill));
        }
    }
}
