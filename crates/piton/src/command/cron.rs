//! `piton cron …`

use jiff::tz::TimeZone;
use piton_cron::{Schedule, explain};
use serde::Serialize;

use crate::args::{CronCommand, ExplainArgs};
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure};
use crate::place::Place;

/// Does what was asked.
pub fn run(context: &Context, command: &CronCommand) -> Result<Exit, Failure> {
    let CronCommand::Explain(args) = command;
    let zone = zone(context, args.tz.as_deref())?;
    let from = match &args.from {
        None => context.clock.now,
        Some(text) => {
            let there = crate::clock::Clock { zone: zone.clone(), ..context.clock.clone() };
            there.parse(text).ok_or_else(|| {
                CommandError::new(Exit::Usage, format!("'{}' is not a time", text.escape_debug()))
                    .hint("such as 2026-03-28 or 2026-03-28T01:30:00Z")
            })?
        }
    };
    let explanation = explained(args, &zone, from)?;
    context.out.show(&explanation, || text(&explanation))?;
    Ok(Exit::Ok)
}

/// What is shown: the stable shape.
#[derive(Debug, Serialize)]
struct Explained {
    expr: String,
    time_zone: String,
    description: String,
    next: Vec<String>,
    notes: Vec<String>,
}

fn explained(args: &ExplainArgs, zone: &TimeZone, from: jiff::Timestamp) -> Result<Explained, Failure> {
    let schedule = Schedule::parse(&args.expression).map_err(|error| {
        let refused = CommandError::new(Exit::Usage, error.to_string());
        match error.hint() {
            Some(hint) => refused.hint(hint),
            None => refused,
        }
    })?;
    let explanation = explain(&schedule, zone, from, usize::from(args.count));
    let next = explanation.next_rfc3339().collect();
    Ok(Explained {
        expr: explanation.expr,
        time_zone: explanation.time_zone,
        description: explanation.description,
        next,
        notes: explanation.notes,
    })
}

/// The zone that is named, else the configured one, else the system's.
fn zone(context: &Context, name: Option<&str>) -> Result<TimeZone, Failure> {
    match name {
        Some(name) => TimeZone::get(name).map_err(|_| {
            CommandError::new(Exit::Usage, format!("unknown time zone '{}'", name.escape_debug()))
                .hint("a name of the IANA database, such as Europe/Berlin or UTC")
                .into()
        }),
        // An expression can be explained whatever the configuration is like.
        None => {
            let configured = Place::resolve(&context.global).ok().and_then(|place| place.config.scheduler.time_zone);
            Ok(configured.unwrap_or_else(TimeZone::system))
        }
    }
}

fn text(explained: &Explained) -> String {
    let mut lines = vec![format!("{}: {}", explained.expr, explained.description)];
    lines.push(format!("Time zone: {}", explained.time_zone));
    if !explained.next.is_empty() {
        lines.push("Next:".to_owned());
        lines.extend(explained.next.iter().map(|at| format!("  {at}")));
    }
    if !explained.notes.is_empty() {
        lines.push("Notes:".to_owned());
        lines.extend(explained.notes.iter().map(|note| format!("  - {note}")));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(expression: &str, count: u16) -> ExplainArgs {
        ExplainArgs { expression: expression.to_owned(), tz: None, from: None, count }
    }

    #[test]
    fn the_document_has_the_shape_of_the_interface() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let from = "2026-03-27T12:00:00Z".parse().unwrap();
        let explained = explained(&args("30 2 * * *", 2), &zone, from).unwrap();
        let json = serde_json::to_value(&explained).unwrap();
        assert_eq!(json["expr"], "30 2 * * *");
        assert_eq!(json["time_zone"], "Europe/Berlin");
        assert_eq!(json["next"][0], "2026-03-28T02:30:00+01:00");
        assert_eq!(json["next"][1], "2026-03-29T03:00:00+02:00");
        assert!(json["description"].is_string());
        assert!(!json["notes"].as_array().unwrap().is_empty());
        assert!(text(&explained).contains("\nNext:\n  2026-03-28T02:30:00+01:00\n"));
    }

    #[test]
    fn what_never_fires_is_refused() {
        let refused = explained(&args("0 0 30 2 *", 1), &TimeZone::UTC, jiff::Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
    }
}
