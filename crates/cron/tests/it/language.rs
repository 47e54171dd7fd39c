//! What may be written and what it means.

use std::time::Duration;

use jiff::Timestamp;
use piton_cron::{Dialect, Remark, Schedule};

use crate::{instant, schedule, wall, zone};

#[test]
fn equal_meanings_are_equal_schedules() {
    for (a, b) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "@Midnight"),
        ("@weekly", "0 0 * * SUN"),
        ("@yearly", "0 0 1 jan ?"),
        ("@annually", "0 0 0 1 1 *"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * 5,6,0"),
        ("0 0 * * FRI-MON", "0 0 * * 5,6,0,1"),
        ("0 0 * * MON-SUN", "0 0 * * 0-6"),
        ("0 22-2 * * *", "0 22,23,0,1,2 * * *"),
        ("50-10/5 * * * *", "0,5,10,50,55 * * * *"),
        ("0 0 28-3 * *", "0 0 28,29,30,31,1,2,3 * *"),
        ("0 0 1 11-2 *", "0 0 1 11,12,1,2 *"),
        ("5/15 * * * *", "5,20,35,50 * * * *"),
        ("0 0 ? * MON", "0 0 * * MON"),
        ("  0\t0  * * * ", "0 0 * * *"),
        ("@every 90m", "@EVERY 1h30m"),
    ] {
        assert_eq!(schedule(a), schedule(b), "{a} and {b}");
    }
    assert_ne!(schedule("0 0 * * *"), schedule("CRON_TZ=UTC 0 0 * * *"));
    assert_ne!(schedule("0 0 13 * FRI"), schedule("0 0 13 * +FRI"));
}

#[test]
fn modifiers_pick_days_of_the_month() {
    let from = "2025-01-01T12:00:00Z";
    assert_eq!(wall("0 0 L * *", "UTC", from, 3), ["01-31 00:00", "02-28 00:00", "03-31 00:00"]);
    assert_eq!(wall("0 0 L-2 * *", "UTC", from, 2), ["01-29 00:00", "02-26 00:00"]);
    assert_eq!(wall("0 0 L-30 * *", "UTC", from, 2), ["03-01 00:00", "05-01 00:00"]);
    assert_eq!(wall("0 0 LW * *", "UTC", "2025-04-30T12:00:00Z", 2), ["05-30 00:00", "06-30 00:00"]);
    assert_eq!(wall("0 0 15W * *", "UTC", from, 3), ["01-15 00:00", "02-14 00:00", "03-14 00:00"]);
    assert_eq!(wall("0 0 * * FRI#2", "UTC", from, 2), ["01-10 00:00", "02-14 00:00"]);
    assert_eq!(wall("0 0 * * MON#5", "UTC", from, 2), ["03-31 00:00", "06-30 00:00"]);
    assert_eq!(wall("0 0 * * 5L,MON#L", "UTC", from, 2), ["01-27 00:00", "01-31 00:00"]);
    assert_eq!(wall("0 0 1,L * *", "UTC", from, 2), ["01-31 00:00", "02-01 00:00"]);
}

#[test]
fn two_restricted_day_fields_match_either_unless_a_plus_says_both() {
    let from = "2025-06-01T00:00:00Z";
    assert_eq!(wall("0 0 13 * FRI", "UTC", from, 3), ["06-06 00:00", "06-13 00:00", "06-20 00:00"]);
    assert_eq!(wall("0 0 13 * +FRI", "UTC", from, 2), ["06-13 00:00", "02-13 00:00"]);
    assert_eq!(wall("0 0 */2 * MON", "UTC", from, 3), ["06-02 00:00", "06-03 00:00", "06-05 00:00"]);
    assert_eq!(wall("0 0 */1 * MON", "UTC", from, 2), ["06-02 00:00", "06-09 00:00"]);
    let seed = Schedule::parse_with("0 0 13 * 5", Dialect::Seed).unwrap();
    assert_eq!(crate::fires(&seed, "UTC", from, 2), ["06-13 00:00", "02-13 00:00"]);
}

#[test]
fn a_leap_day_is_found_across_a_century_without_one() {
    let leap_day = schedule("0 0 29 2 *");
    let next = leap_day.next(instant("2096-03-01T00:00:00Z"), &zone("Europe/Berlin")).unwrap();
    assert_eq!(next, instant("2104-02-28T23:00:00Z"));
    assert_eq!(leap_day.prev(next, &zone("Europe/Berlin")), Some(instant("2096-02-28T23:00:00Z")));
}

#[test]
fn the_zone_in_the_expression_wins() {
    let tokyo = schedule("CRON_TZ=Asia/Tokyo 0 9 * * *");
    assert_eq!(
        tokyo.next(instant("2025-06-01T00:00:00Z"), &zone("America/New_York")),
        Some(instant("2025-06-02T00:00:00Z"))
    );
    assert_eq!(tokyo.embedded_zone().and_then(|zone| zone.iana_name()), Some("Asia/Tokyo"));
    assert_eq!(tokyo, schedule("TZ=Asia/Tokyo   0 9 * * *"));
    let midnight = schedule("TZ=America/New_York @midnight");
    assert_eq!(midnight.next(instant("2025-06-01T12:00:00Z"), &zone("UTC")), Some(instant("2025-06-02T04:00:00Z")));
}

#[test]
fn every_counts_from_the_moment_given() {
    let utc = zone("UTC");
    let every = schedule("@every 1h30m");
    let start = instant("2025-06-01T10:00:00.7Z");
    assert_eq!(every.next(start, &utc), Some(instant("2025-06-01T11:30:00Z")));
    assert_eq!(every.latest(start, instant("2025-06-01T11:29:59Z"), &utc), None);
    assert_eq!(every.latest(start, instant("2025-06-03T00:00:00Z"), &utc), Some(instant("2025-06-02T23:30:00Z")));
    assert_eq!(every.delay(), Some(Duration::from_secs(5400)));
    assert_eq!(every.prev(start, &utc), None);
    assert_eq!(every, Schedule::every(Duration::from_millis(5_400_999)));
    assert_eq!(Schedule::every(Duration::ZERO).to_string(), "@every 1s");
}

#[test]
fn the_latest_fire_since_the_last_one_is_found_at_once() {
    let (hourly, utc) = (schedule("0 * * * *"), zone("UTC"));
    let year_ago = instant("2024-06-01T00:00:00Z");
    let now = instant("2025-06-01T10:30:00Z");
    assert_eq!(hourly.latest(year_ago, now, &utc), Some(instant("2025-06-01T10:00:00Z")));
    assert_eq!(hourly.latest(instant("2025-06-01T10:00:00Z"), now, &utc), None);
    assert_eq!(hourly.count_up_to(1000, instant("2025-06-01T00:00:00Z"), now, &utc), 10);
    assert_eq!(hourly.count_up_to(100, year_ago, now, &utc), 100);
}

#[test]
fn fractions_of_a_second_fall_on_the_right_side() {
    let (secondly, utc) = (schedule("* * * * * *"), zone("UTC"));
    for base in ["2025-06-01T00:00:00Z", "1965-06-01T00:00:00Z"].map(instant) {
        let after = |nanos| base + jiff::SignedDuration::from_nanos(nanos);
        assert_eq!(secondly.next(base, &utc), Some(after(1_000_000_000)));
        assert_eq!(secondly.next(after(1), &utc), Some(after(1_000_000_000)));
        assert_eq!(secondly.next(after(-1), &utc), Some(base));
        assert_eq!(secondly.prev(base, &utc), Some(after(-1_000_000_000)));
        assert_eq!(secondly.prev(after(1), &utc), Some(base));
        assert_eq!(secondly.prev_at_or_before(base, &utc), Some(base));
        assert_eq!(secondly.prev_at_or_before(after(-1), &utc), Some(after(-1_000_000_000)));
    }
}

#[test]
fn the_ends_of_time_are_ends_of_the_schedule() {
    for zone in ["UTC", "America/New_York", "Pacific/Apia"].map(zone) {
        for expression in ["* * * * *", "0 0 29 2 *", "@every 1h", "30 2 * * *"] {
            let schedule = schedule(expression);
            assert_eq!(schedule.next(Timestamp::MAX, &zone), None, "{expression}");
            assert_eq!(schedule.prev(Timestamp::MIN, &zone), None, "{expression}");
            let last = schedule.prev_at_or_before(Timestamp::MAX, &zone);
            assert!(last.is_none_or(|last| last.to_string().starts_with("999")), "{expression}: {last:?}");
        }
    }
    let past = Schedule::parse_with("0 0 0 1 1 * 2020", Dialect::Ocps).unwrap();
    assert_eq!(past.next(instant("2025-01-01T00:00:00Z"), &zone("Europe/Berlin")), None);
    assert_eq!(past.prev(instant("2025-01-01T00:00:00Z"), &zone("UTC")), Some(instant("2020-01-01T00:00:00Z")));
    assert_eq!(past.prev(instant("2019-01-01T00:00:00Z"), &zone("Europe/Berlin")), None);
}

#[test]
fn surprises_are_remarked_upon() {
    assert_eq!(schedule("0 9 * * MON-FRI").remarks(), []);
    assert_eq!(schedule("*/15 */6 * * *").remarks(), []);
    assert!(matches!(schedule("*/90 * * * *").remarks(), [Remark::StepBeyondField { step: 90, .. }]));
    assert!(matches!(schedule("*/45 * * * *").remarks(), [Remark::UnevenStep { step: 45, .. }]));
    assert_eq!(schedule("0 0 13 * FRI").remarks(), [Remark::EitherDay]);
}
