//! When something is due: lines of a workspace's schedule, triggers of a job.

use std::collections::HashMap;

use jiff::tz::TimeZone;
use piton_cron::{ParseErrorKind, Schedule};
use piton_model::{Digest, Mode, Operation, TriggerWord};
use serde::{Deserialize, Serialize};

use crate::Job;
use crate::fields::{Item, shown};
use crate::suggest::nearest;

/// What is done about lines that came due while nobody watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// The latest of them is done, once.
    Latest,
    /// They are skipped.
    Skip,
}

impl CatchUp {
    pub(crate) const CHOICES: [(&'static str, CatchUp); 2] = [("latest", CatchUp::Latest), ("skip", CatchUp::Skip)];
}

/// What a line of a workspace's schedule does when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Deploys, in a mode where the line is one of `mode_schedules`.
    Deploy(Option<Mode>),
    /// Destroys.
    Destroy,
}

impl Effect {
    /// The operation that this effect asks for.
    pub fn operation(&self) -> Operation {
        match self {
            Effect::Deploy(mode) => Operation::Deploy { mode: mode.clone() },
            Effect::Destroy => Operation::Destroy,
        }
    }
}

/// One line of a workspace's schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleLine {
    /// The expression as it was written.
    pub text: String,
    /// When it is due.
    pub schedule: Schedule,
    /// What it does.
    pub effect: Effect,
}

/// What starts a job by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum JobTrigger {
    /// A cron expression, which knows how it was written.
    Cron(Schedule),
    /// A word that stands for something that happens.
    Word(TriggerWord),
    /// That it is declared: once for each declaration, which this is the digest of. The digest covers what is written,
    /// not what it refers to, so that a changed environment file does not start anything.
    Declared(Digest),
}

impl JobTrigger {
    /// The trigger as it was written.
    pub fn text(&self) -> &str {
        match self {
            JobTrigger::Cron(schedule) => schedule.expression(),
            JobTrigger::Word(word) => word.as_str(),
            JobTrigger::Declared(_) => "@declared",
        }
    }
}

/// Schedules that are read together: those that are written alike are one. Of many jobs most have one that others have.
#[derive(Debug, Default)]
pub(crate) struct Alike(HashMap<String, Schedule>);

impl Alike {
    /// Lets a job share its schedules with those before it.
    pub(crate) fn share(&mut self, job: &mut Job) {
        for trigger in &mut job.triggers {
            let JobTrigger::Cron(schedule) = trigger else { continue };
            match self.0.get(schedule.expression()) {
                Some(known) => *schedule = known.clone(),
                None => {
                    self.0.insert(schedule.expression().to_owned(), schedule.clone());
                }
            }
        }
    }
}

/// Reads one cron expression or a list of them.
pub(crate) fn read_schedules(item: &Item<'_, '_>) -> Vec<(String, Schedule)> {
    item.one_or_many()
        .iter()
        .filter_map(|item| {
            let text = item.text()?;
            if TriggerWord::parse(text.trim()).is_some() {
                let message =
                    format!("`{}` names an event, which only the schedule of a job can listen for", text.trim());
                item.report(item.error("invalid_schedule", message).hint("write a cron expression"));
                return None;
            }
            let schedule = read_expression(item, text, &[])?;
            Some((schedule.expression().to_owned(), schedule))
        })
        .collect()
}

/// Reads the triggers of a job: cron expressions and event words.
pub(crate) fn read_triggers(item: &Item<'_, '_>) -> Vec<JobTrigger> {
    item.one_or_many()
        .iter()
        .filter_map(|item| {
            let text = item.text()?;
            match TriggerWord::parse(text.trim()) {
                Some(word) => Some(JobTrigger::Word(word)),
                None => read_expression(item, text, &TriggerWord::ALL).map(JobTrigger::Cron),
            }
        })
        .collect()
}

/// Reads a cron expression, where the words of `events` would be understood, too.
fn read_expression(item: &Item<'_, '_>, text: &str, events: &[TriggerWord]) -> Option<Schedule> {
    match Schedule::parse(text) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            let code = match error.kind {
                ParseErrorKind::NeverFires => "schedule_never_fires",
                _ => "invalid_schedule",
            };
            let found = item.error_within(error.span.start, code, error.to_string());
            let words = TriggerWord::ALL.iter().map(|word| word.as_str());
            let near_word = text.trim().starts_with('@').then(|| nearest(text.trim(), words)).flatten();
            let hint = match (near_word, error.hint()) {
                (Some(word), _) => Some(format!("did you mean `{word}`?")),
                (None, Some(hint)) if error.lists_shortcuts() && !events.is_empty() => {
                    let events: Vec<&str> = events.iter().map(|word| word.as_str()).collect();
                    Some(format!("{hint}; events are {}", events.join(", ")))
                }
                (None, hint) => hint,
            };
            item.report(match hint {
                Some(hint) => found.hint(hint),
                None => found,
            });
            None
        }
    }
}

/// Reads the name of a time zone.
pub(crate) fn read_time_zone(item: &Item<'_, '_>) -> Option<TimeZone> {
    let name = item.filled()?;
    match find_time_zone(name) {
        Some(zone) => Some(zone),
        None => {
            let found = item.error("unknown_time_zone", format!("unknown time zone `{}`", shown(name)));
            item.report(found.hint("use a name of the IANA database, for example `Europe/Berlin` or `UTC`"));
            None
        }
    }
}

/// The zone with this name, if there is one.
pub(crate) fn find_time_zone(name: &str) -> Option<TimeZone> {
    match name.trim() {
        "UTC" | "utc" => Some(TimeZone::UTC),
        "" => None,
        name => TimeZone::get(name).ok(),
    }
}
