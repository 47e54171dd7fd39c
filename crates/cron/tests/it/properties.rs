//! Properties that hold for every schedule in every zone.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use piton_cron::{Dialect, DstPolicy, Schedule, explain};
use proptest::prelude::*;

use crate::model;

/// Zones with every kind of change, and a moment shortly before one of each kind.
const CHANGES: &[(&str, &str)] = &[
    ("America/New_York", "2025-03-08T00:00:00Z"),
    ("America/New_York", "2025-11-01T00:00:00Z"),
    ("Europe/Berlin", "2025-03-29T00:00:00Z"),
    ("Europe/Berlin", "2025-10-25T00:00:00Z"),
    ("Australia/Lord_Howe", "2025-04-05T00:00:00Z"),
    ("Australia/Lord_Howe", "2025-10-04T00:00:00Z"),
    ("Pacific/Apia", "2011-09-24T00:00:00Z"),
    ("Pacific/Apia", "2011-12-29T00:00:00Z"),
    ("Pacific/Apia", "2012-03-31T00:00:00Z"),
    ("America/Sao_Paulo", "2018-02-17T00:00:00Z"),
    ("America/Sao_Paulo", "2018-11-03T00:00:00Z"),
    ("America/Havana", "2025-03-08T00:00:00Z"),
    ("Asia/Kathmandu", "1985-12-31T00:00:00Z"),
    ("Asia/Kathmandu", "2025-06-01T00:00:00Z"),
];

const POLICIES: [DstPolicy; 3] = [DstPolicy::Vixie, DstPolicy::Robfig, DstPolicy::FirstPass];

fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

fn place() -> impl Strategy<Value = (TimeZone, Timestamp)> {
    prop::sample::select(CHANGES).prop_map(|(zone, at)| (crate::zone(zone), crate::instant(at)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_agrees_with_a_daemon_that_wakes_every_minute(
        expression in model::expressions(),
        (zone, around) in place(),
        policy in prop::sample::select(&POLICIES),
        first_hour in 0..24i64,
    ) {
        let text = expression.write();
        // An expression of random days may be one that never fires.
        let Ok(schedule) = Schedule::parse(&text) else { return Ok(()) };
        let schedule = schedule.with_dst_policy(policy);
        let from = around + hours(first_hour);
        let until = around + hours(4 * 24);
        let expected: BTreeSet<_> = model::fires(&expression, policy, &zone, around - hours(24), until)
            .into_iter()
            .filter(|fire| *fire > from)
            .collect();
        let found: Vec<_> = schedule.upcoming(from, &zone).take_while(|fire| *fire < until).collect();
        prop_assert!(found.is_sorted_by(|a, b| a < b), "{text} is not strictly increasing");
        prop_assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), expected, "{}", text);

        // Backward, the same fires.
        let mut backward = Vec::new();
        let mut before = until;
        while let Some(fire) = schedule.prev(before, &zone).filter(|fire| *fire > from) {
            backward.push(fire);
            before = fire;
        }
        backward.reverse();
        prop_assert_eq!(backward, found, "{} backward", text);
    }

    #[test]
    fn next_and_prev_are_inverse_at_any_moment(
        expression in model::expressions(),
        (zone, around) in place(),
        policy in prop::sample::select(&POLICIES),
        seconds in 0..100 * 86_400i64,
        nanos in 0..1_000_000_000i64,
    ) {
        let Ok(schedule) = Schedule::parse(&expression.write()) else { return Ok(()) };
        let schedule = schedule.with_dst_policy(policy);
        let at = around + SignedDuration::from_secs(seconds) + SignedDuration::from_nanos(nanos);
        let (Some(next), Some(last)) = (schedule.next(at, &zone), schedule.prev_at_or_before(at, &zone)) else {
            return Err(TestCaseError::fail("a schedule that fires at all fires before and after"));
        };
        prop_assert!(last <= at && at < next);
        prop_assert_eq!(schedule.prev(next, &zone), Some(last));
        prop_assert_eq!(schedule.next(last, &zone), Some(next));
        prop_assert!(schedule.fires_at(next, &zone) && schedule.fires_at(last, &zone));
        prop_assert_eq!(schedule.latest(last, at, &zone), None);
        prop_assert_eq!(schedule.latest(at, next, &zone), Some(next));
    }

    #[test]
    fn any_text_is_parsed_or_refused_without_panic(
        text in prop_oneof![
            "\\PC{0,40}",
            "[0-9*/,?LW#+a-zA-Z@= -]{0,30}",
            "([0-9*?]{1,3}[/,#LW-]?[0-9*]{0,3}[LW]? ){4,6}[0-9MONFRIl*#L-]{1,5}",
            "(CRON_)?TZ=(UTC|Europe/Berlin|[A-Za-z/.]{0,9}) @?[a-z0-9 *]{0,12}",
            "@every [0-9.]{0,22}(ns|us|ms|s|m|h|d)([0-9]{1,3}(ms|s|m))?",
        ],
        dialect in prop::sample::select(&[
            Dialect::Piton, Dialect::Robfig, Dialect::RobfigSeconds, Dialect::Ocps, Dialect::Seed,
        ]),
        policy in prop::sample::select(&POLICIES),
        (zone, around) in place(),
        anywhere in -377_705_023_201i64..=253_402_207_200,
    ) {
        match Schedule::parse_with(&text, dialect) {
            Ok(schedule) => {
                let schedule = schedule.with_dst_policy(policy);
                for at in [around, Timestamp::from_second(anywhere).unwrap()] {
                    if let Some(next) = schedule.next(at, &zone) {
                        prop_assert!(next > at);
                    }
                    if let Some(last) = schedule.prev(at, &zone) {
                        prop_assert!(last < at);
                    }
                }
                let explanation = explain(&schedule, &zone, around, 3);
                prop_assert!(!explanation.description.is_empty());
                // What is shown can be read again, and means the same.
                let again = Schedule::parse_with(schedule.expression(), dialect).unwrap().with_dst_policy(policy);
                prop_assert_eq!(again, schedule);
            }
            Err(error) => {
                prop_assert!(text.get(error.span.clone()).is_some(), "{:?} is not a part of `{}`", error.span, text);
                prop_assert!(!error.to_string().is_empty());
                error.hint();
            }
        }
    }
}
