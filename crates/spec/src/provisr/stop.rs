//! How a process is stopped: a command, and signals one after the other.

use std::time::Duration;

use piton_model::{StopPolicy, StopStage};

use super::items::{Reading, program, span};
use crate::diagnostic::Severity;
use crate::document::Value;
use crate::fields::{Fields, Item, shown};
use crate::suggest::nearest;

/// The signals that a process may be sent.
pub(crate) const SIGNALS: [&str; 12] = [
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGKILL", "SIGABRT", "SIGALRM", "SIGWINCH",
    "SIGCONT", "SIGSTOP",
];

/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const MOST: usize = 10;

pub(crate) fn read_stop(fields: &mut Fields<'_, '_>, reading: Reading<'_>) -> StopPolicy {
    let usual = StopPolicy::default();
    let command = fields.get("stop_command").and_then(|item| program(&item));
    let signal_item = fields.get("stop_signal");
    let signal = signal_item.as_ref().and_then(|item| read_signal(item));
    let timeout_item = fields.get("stop_timeout");
    let timeout = timeout_item.as_ref().and_then(|item| read_wait(item, reading));
    let Some(sequence) = fields.get("stop_sequence") else {
        let usual = usual.stages.into_iter().next();
        let (usual_signal, usual_wait) = usual.map_or(("SIGTERM".to_owned(), Duration::ZERO), |s| (s.signal, s.wait));
        let stage = StopStage { signal: signal.unwrap_or(usual_signal), wait: timeout.unwrap_or(usual_wait) };
        return StopPolicy { command, stages: vec![stage] };
    };
    for item in [&signal_item, &timeout_item].into_iter().flatten() {
        let message = "`stop_sequence` says what is sent and how long is waited, and both are there";
        item.report(item.error("conflicting_fields", message));
    }
    let items = sequence.list().unwrap_or_default();
    if items.is_empty() || items.len() > MOST {
        sequence.report(sequence.error("out_of_range", format!("this takes 1 to {MOST} signals")));
    }
    StopPolicy { command, stages: items.iter().filter_map(|item| read_stage(item, reading)).collect() }
}

/// `{signal = "SIGINT", wait = "5s"}`
fn read_stage(item: &Item<'_, '_>, reading: Reading<'_>) -> Option<StopStage> {
    let mut fields = item.table()?;
    let signal = fields.get("signal").or_else(|| {
        item.report(item.error("missing_field", "a step of a stop needs a `signal`"));
        None
    });
    let signal = signal.and_then(|item| read_signal(&item));
    let wait = fields.get("wait").and_then(|item| read_wait(&item, reading));
    fields.finish(Severity::Error);
    Some(StopStage { signal: signal?, wait: wait.unwrap_or(Duration::from_secs(3)) })
}

fn read_wait(item: &Item<'_, '_>, reading: Reading<'_>) -> Option<Duration> {
    let wait = span(item, reading)?;
    if wait > LONGEST {
        item.report(item.error("out_of_range", "a stop takes a day at most"));
        return None;
    }
    Some(wait)
}

/// `SIGTERM`, `TERM`, either in lower case.
fn read_signal(item: &Item<'_, '_>) -> Option<String> {
    if let Value::Number(number) = &item.node.value {
        let error = item.error(
            "unknown_signal",
            format!("`{number}` is a number, which means different signals on different hosts"),
        );
        item.report(error.hint("write its name, such as `SIGTERM`"));
        return None;
    }
    let text = item.filled()?.trim();
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    if SIGNALS.contains(&name.as_str()) {
        return Some(name);
    }
    let error = item.error("unknown_signal", format!("`{}` is no signal that a process can be sent", shown(text)));
    item.report(match nearest(&name, SIGNALS) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("it is one of {}", SIGNALS.join(", "))),
    });
    None
}
