//! When a process that ended is started again.

use std::collections::BTreeSet;

use piton_model::{RestartPolicy, RestartWhen};

use super::items::{Reading, count, either, integer, positive_span, span};
use crate::document::Value;
use crate::duration::LONGEST;
use crate::fields::{Fields, Item};

/// The words of `restart`. That a process was stopped by hand is always remembered, so `unless-stopped` is `always`.
const WORDS: [(&str, RestartWhen); 6] = [
    ("always", RestartWhen::Always),
    ("unless-stopped", RestartWhen::Always),
    ("on-failure", RestartWhen::OnFailure),
    ("on_failure", RestartWhen::OnFailure),
    ("never", RestartWhen::Never),
    ("no", RestartWhen::Never),
];

pub(crate) fn read_restart(fields: &mut Fields<'_, '_>, reading: Reading<'_>) -> RestartPolicy {
    let usual = RestartPolicy::default();
    let growth = fields.get("restart_backoff").and_then(|item| read_growth(&item));
    let delay = fields.get("restart_interval").and_then(|item| span(&item, reading)).unwrap_or(usual.delay);
    let cap = fields.get("restart_max_interval").and_then(|item| {
        let cap = positive_span(&item, reading, LONGEST)?;
        if cap < delay {
            let message = "the longest delay is shorter than `restart_interval`, the first one";
            item.report(item.error("conflicting_fields", message));
        }
        Some(cap)
    });
    RestartPolicy {
        when: read_when(fields).unwrap_or(usual.when),
        success_codes: fields.get("success_codes").map_or(usual.success_codes, |item| read_codes(&item)),
        delay,
        growth_percent: growth.unwrap_or(usual.growth_percent),
        delay_cap: cap.unwrap_or(usual.delay_cap.max(delay)),
        reset_after: fields
            .get("restart_reset_after")
            .and_then(|item| span(&item, reading))
            .unwrap_or(usual.reset_after),
        flap_limit: fields.get("max_restarts").and_then(|item| count(&item, 0, 1_000_000)),
        flap_window: fields
            .get("max_restarts_window")
            .and_then(|item| positive_span(&item, reading, LONGEST))
            .unwrap_or(usual.flap_window),
    }
}

/// `auto_restart`, or `restart` with a word.
fn read_when(fields: &mut Fields<'_, '_>) -> Option<RestartWhen> {
    let auto = either(fields, &["auto_restart", "autorestart"]).and_then(|item| item.flag());
    let Some(restart) = fields.get("restart") else {
        return auto.map(|auto| if auto { RestartWhen::Always } else { RestartWhen::Never });
    };
    let when = restart.choice(&WORDS)?;
    if auto == Some(when == RestartWhen::Never) {
        restart
            .report(restart.error("conflicting_fields", "`auto_restart` says the opposite").hint("remove one of them"));
    }
    Some(when)
}

/// 2 doubles the delay with every restart.
fn read_growth(item: &Item<'_, '_>) -> Option<u32> {
    let number = match &item.node.value {
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    match number {
        Some(number) if (1.0..=100.0).contains(&number) => Some((number * 100.0).round() as u32),
        _ => {
            let error = item.error("out_of_range", "this is a number from 1 to 100");
            item.report(error.hint("1 keeps the delay as it is, 2 doubles it with every restart"));
            None
        }
    }
}

fn read_codes(item: &Item<'_, '_>) -> BTreeSet<i32> {
    let codes = item.one_or_many();
    codes.iter().filter_map(|item| integer(item, 0, 255)).filter_map(|code| i32::try_from(code).ok()).collect()
}
