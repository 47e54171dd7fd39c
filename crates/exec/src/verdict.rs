//! What the end of a child means for its run. Pure.

use std::time::Duration;

use piton_model::{Failure, FailureClass};
use piton_process::StopSequence;

use crate::said::{self, LockHolder};

/// How long what changes nothing may take to stop: a plan to let go of its state lock.
const HARMLESS_GRACE: Duration = Duration::from_secs(20);

/// What a child was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// `init`
    Init,
    /// `plan`
    Plan,
    /// `show -json` of a plan.
    Show,
    /// `apply` of a saved plan.
    Apply,
    /// The same of a plan that destroys.
    Destroy,
    /// `output -json`
    Outputs,
    /// `state push` of a state that the tool could not save.
    PushState,
    /// The program of a job.
    Job,
}

impl Doing {
    /// The verb in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Doing::Init => "init",
            Doing::Plan => "plan",
            Doing::Show => "show",
            Doing::Apply => "apply",
            Doing::Destroy => "destroy",
            Doing::Outputs => "output",
            Doing::PushState => "state push",
            Doing::Job => "command",
        }
    }

    /// How it is asked to stop. What changes nothing need not be waited for as long as an apply, for which `grace` is:
    /// an `init` does not always heed the first signal.
    pub(crate) fn stop(self, grace: Duration) -> StopSequence {
        match self {
            Doing::Apply | Doing::Destroy | Doing::PushState => StopSequence::infrastructure().with_grace(grace),
            Doing::Init | Doing::Plan | Doing::Show | Doing::Outputs => {
                StopSequence::infrastructure().with_grace(grace.min(HARMLESS_GRACE))
            }
            Doing::Job => StopSequence::job(),
        }
    }

    /// Whether it carries out a plan.
    pub(crate) fn applies(self) -> bool {
        matches!(self, Doing::Apply | Doing::Destroy)
    }

    fn failed_code(self) -> &'static str {
        match self {
            Doing::Init => "init_failed",
            Doing::Plan => "plan_failed",
            Doing::Show => "plan_unreadable",
            Doing::Apply | Doing::Destroy => "apply_failed",
            Doing::Outputs => "outputs_failed",
            Doing::PushState => "state_push_failed",
            Doing::Job => "command_failed",
        }
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// Nobody knows.
    Unknown,
}

/// All that is known about a child that ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// What it was doing.
    pub doing: Doing,
    /// Whether a command of the user's stood in for the tool's own.
    pub custom: bool,
    /// How it ended.
    pub status: Status,
    /// Piton asked it to stop.
    pub stopped: bool,
    /// It did not listen, and Piton killed it.
    pub killed: bool,
    /// The last part of what it printed, redacted.
    pub output: &'a str,
    /// The lock that the local backend left behind.
    pub left_lock: Option<&'a LockHolder>,
}

/// The child did what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// Nothing special.
    Well,
    /// `plan` found something to change.
    WithChanges,
}

/// What the end of a child means.
pub fn judge(ending: &Ending<'_>) -> Result<Passed, Failure> {
    match ending.status {
        // A program that heeds SIGTERM cleans up and exits with 0: how far it came, nobody knows. The tools say so when
        // an apply was cut short.
        Status::Code(0) if ending.stopped && ending.doing == Doing::Job => Err(stopped(ending, ending.status)),
        Status::Code(0) => Ok(Passed::Well),
        Status::Code(2) if ending.doing == Doing::Plan && !ending.custom => Ok(Passed::WithChanges),
        Status::Unknown => Err(unseen(ending)),
        Status::Signal(signal) if ending.doing.applies() && (!ending.stopped || ending.killed) => {
            Err(killed_mid_apply(ending, signal))
        }
        // A shell reports the death of the tool it ran as 128 + signal.
        Status::Code(137) if ending.doing.applies() && !ending.stopped => Err(killed_mid_apply(ending, 9)),
        status if ending.stopped => Err(stopped(ending, status)),
        Status::Signal(signal) => Err(by_signal(ending, signal)),
        Status::Code(code) => Err(by_code(ending, code).exit_code(code)),
    }
}

fn unseen(ending: &Ending<'_>) -> Failure {
    let doing = ending.doing.as_str();
    let message = format!("{doing} ended, but nobody saw how");
    match ending.doing {
        Doing::Apply | Doing::Destroy | Doing::Job | Doing::PushState => {
            with_lock(Failure::new(FailureClass::Uncertain, "exit_unseen", message), ending)
        }
        Doing::Init | Doing::Plan | Doing::Show | Doing::Outputs => {
            Failure::new(FailureClass::Transient, "exit_unseen", message).hint("nothing was changed; it can run again")
        }
    }
}

fn killed_mid_apply(ending: &Ending<'_>, signal: i32) -> Failure {
    let by = if ending.killed { "it did not stop when asked to, and was killed" } else { "it was killed from outside" };
    let (name, doing) = (signal_name(signal), ending.doing.as_str());
    let message = format!("the tool died of {name} in the middle of the {doing}: {by}");
    let failure = Failure::new(FailureClass::Uncertain, "tool_killed", message).exit_code(128 + signal);
    with_lock(failure, ending)
}

fn with_lock(failure: Failure, ending: &Ending<'_>) -> Failure {
    match ending.left_lock {
        Some(lock) => failure.hint(format!(
            "the state may lack what was done last; {} is left behind: check what exists, then deploy or unlock",
            lock.sentence()
        )),
        None => failure.hint("the state may lack what was done last: check what exists, then run it again"),
    }
}

fn stopped(ending: &Ending<'_>, status: Status) -> Failure {
    let doing = ending.doing.as_str();
    let message = match (ending.killed, ending.doing) {
        (false, Doing::Apply | Doing::Destroy) => {
            format!("stopped during {doing}; what was done until then is in the state")
        }
        (false, _) => format!("stopped during {doing}"),
        (true, _) => format!("stopped during {doing}; it did not listen, and was killed"),
    };
    let code = match status {
        Status::Code(code) => code,
        Status::Signal(signal) => 128 + signal,
        Status::Unknown => return Failure::new(FailureClass::Interrupted, "stopped", message),
    };
    Failure::new(FailureClass::Interrupted, "stopped", message).exit_code(code)
}

fn by_signal(ending: &Ending<'_>, signal: i32) -> Failure {
    let name = signal_name(signal);
    let message = match ending.doing {
        Doing::Job => format!("Command failed: signal: {}", signal_word(signal)),
        doing => format!("{} died of {name}", doing.as_str()),
    };
    let failure = Failure::new(FailureClass::Permanent, ending.doing.failed_code(), message).exit_code(128 + signal);
    match signal {
        9 => failure.hint("it was killed from outside; if the kernel ran out of memory, its log says so"),
        _ => failure,
    }
}

fn by_code(ending: &Ending<'_>, code: i32) -> Failure {
    let plain = said::strip_ansi(ending.output);
    if ending.doing == Doing::Job {
        let failure =
            Failure::new(FailureClass::Permanent, "command_failed", format!("Command failed: exit status {code}"));
        return match code {
            126 => failure.hint("126 means that the program was found but may not be executed"),
            127 => failure.hint("127 means that the program was not found: check its name and PATH"),
            _ => failure,
        };
    }
    if plain.contains("Error acquiring the state lock") {
        return locked(&plain);
    }
    if plain.contains("Saved plan is stale") {
        return Failure::new(
            FailureClass::Permanent,
            "plan_stale",
            "the state changed after the plan was made, so the plan no longer applies",
        )
        .hint("run it again: a new plan will be made");
    }
    let said = said::error(&plain).unwrap_or_else(|| format!("exit status {code}"));
    let message = format!("{} failed: {said}", ending.doing.as_str());
    if ending.doing == Doing::Init && is_network_failure(&plain) {
        return Failure::new(FailureClass::Transient, "init_network", message)
            .hint("providers and modules come from the network; a plugin mirror makes it independent of that");
    }
    let failure = Failure::new(FailureClass::Permanent, ending.doing.failed_code(), message);
    match hint(ending.doing, &plain) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn locked(plain: &str) -> Failure {
    let failure = |message: String| Failure::new(FailureClass::Transient, "state_locked", message);
    match LockHolder::in_output(plain) {
        Some(holder) => failure(format!("the state is locked: {}", holder.sentence()))
            .hint(format!("wait for the holder; if it is dead for certain, `force-unlock {}`", holder.id)),
        None => failure("the state is locked by somebody else".to_owned()),
    }
}

/// Only where the tool was fetching something *and* the words are the network's: a typo in a provider's name must not
/// be tried again and again.
fn is_network_failure(plain: &str) -> bool {
    const FETCHING: [&str; 5] = [
        "Failed to query available provider packages",
        "Failed to install provider",
        "Could not download module",
        "Failed to download module",
        "Failed to resolve provider packages",
    ];
    const NETWORK: [&str; 13] = [
        "timeout",
        "timed out",
        "Client.Timeout",
        "connection refused",
        "connection reset",
        "no such host",
        "network is unreachable",
        "no route to host",
        "failure in name resolution",
        "unexpected EOF",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "429 Too Many Requests",
    ];
    // The tools wrap their prose, also in the middle of these phrases.
    let flowing = plain.replace(['│', '\n'], " ");
    let flowing = flowing.split_whitespace().collect::<Vec<_>>().join(" ");
    FETCHING.iter().any(|word| flowing.contains(word)) && NETWORK.iter().any(|word| flowing.contains(word))
}

fn hint(doing: Doing, plain: &str) -> Option<&'static str> {
    let says = |words: &str| plain.contains(words);
    match doing {
        Doing::Init if says("Backend configuration changed") => {
            Some("the backend changed; move the state by hand with `init -migrate-state` in the deployment directory")
        }
        Doing::Init if says("init -upgrade") => {
            Some("the lock file forbids the version that the code asks for; update the lock file that the code ships")
        }
        Doing::Plan | Doing::Apply | Doing::Destroy if says("Value for undeclared variable") => {
            Some("declare the variable in the code, or do not set it; modes need `variable \"deployment_mode\"`")
        }
        Doing::Plan | Doing::Apply | Doing::Destroy if says("No value for required variable") => {
            Some("set it in `vars`, a file of `var_files`, or give it a default")
        }
        Doing::Plan | Doing::Apply | Doing::Destroy if says("Inconsistent dependency lock file") => {
            Some("the lock file and the code disagree; run `init` in the source and commit the lock file")
        }
        Doing::Apply | Doing::Destroy if says("errored.tfstate") => {
            Some("the state could not be saved; see errored.tfstate")
        }
        _ => None,
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        1 => "SIGHUP".to_owned(),
        2 => "SIGINT".to_owned(),
        6 => "SIGABRT".to_owned(),
        9 => "SIGKILL".to_owned(),
        11 => "SIGSEGV".to_owned(),
        13 => "SIGPIPE".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    }
}

/// The word that the scheduler's users know from `Last Error: Command failed: signal: killed`.
fn signal_word(signal: i32) -> String {
    match signal {
        1 => "hangup".to_owned(),
        2 => "interrupt".to_owned(),
        6 => "aborted".to_owned(),
        9 => "killed".to_owned(),
        11 => "segmentation fault".to_owned(),
        13 => "broken pipe".to_owned(),
        15 => "terminated".to_owned(),
        other => format!("signal {other}"),
    }
}

#[cfg(test)]
mod tests;
