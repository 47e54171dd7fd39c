//! Integration tests of the schedule language.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its scene has to fail")]

mod cronjobs;
mod daylight_saving;
mod explanations;
mod language;
mod model;
mod properties;
mod refusals;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use piton_cron::Schedule;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(expression: &str) -> Schedule {
    Schedule::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// The first fires after `from`, on the wall of `zone`, as `MM-DD HH:MM`.
fn wall(expression: &str, zone_name: &str, from: &str, n: usize) -> Vec<String> {
    fires(&schedule(expression), zone_name, from, n)
}

fn fires(schedule: &Schedule, zone_name: &str, from: &str, n: usize) -> Vec<String> {
    let zone = zone(zone_name);
    schedule
        .upcoming(instant(from), &zone)
        .take(n)
        .map(|fire| fire.to_zoned(zone.clone()).strftime("%m-%d %H:%M").to_string())
        .collect()
}
