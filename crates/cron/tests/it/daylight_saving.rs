//! Gaps and overlaps of local time.

use piton_cron::DstPolicy;

use crate::{fires, schedule, wall};

const BEFORE_SPRING: &str = "2025-03-30T00:00:00Z";
const BEFORE_AUTUMN: &str = "2025-10-25T23:00:00Z";

#[test]
fn a_fixed_time_in_a_gap_fires_once_right_after_it() {
    assert_eq!(wall("30 2 * * *", "Europe/Berlin", BEFORE_SPRING, 2), ["03-30 03:00", "03-31 02:30"]);
    // Several times in the gap, and the moment after it, are one fire.
    assert_eq!(
        wall("0,15,30 2,3 * * *", "Europe/Berlin", BEFORE_SPRING, 3),
        ["03-30 03:00", "03-30 03:15", "03-30 03:30"]
    );
    assert_eq!(wall("5 2 * * *", "Australia/Lord_Howe", "2025-10-04T14:00:00Z", 2), ["10-05 02:30", "10-06 02:05"]);
    assert_eq!(wall("0 0 * * *", "America/Sao_Paulo", "2018-11-04T01:30:00Z", 2), ["11-04 01:00", "11-05 00:00"]);
    assert_eq!(wall("30 0 * * *", "America/Havana", "2025-03-09T03:30:00Z", 2), ["03-09 01:00", "03-10 00:30"]);
}

#[test]
fn a_fixed_time_in_an_overlap_fires_in_the_first_pass_only() {
    let first_pass = schedule("30 2 * * *").next(crate::instant(BEFORE_AUTUMN), &crate::zone("Europe/Berlin"));
    assert_eq!(first_pass, Some(crate::instant("2025-10-26T00:30:00Z")));
    assert_eq!(wall("30 2 * * *", "Europe/Berlin", BEFORE_AUTUMN, 2), ["10-26 02:30", "10-27 02:30"]);
    // Asked for in the middle of the second pass, too.
    assert_eq!(wall("30,45 2 * * *", "Europe/Berlin", "2025-10-26T01:10:00Z", 1), ["10-27 02:30"]);
}

#[test]
fn interval_patterns_follow_the_clock_on_the_wall() {
    assert_eq!(
        wall("*/30 1-3 * * *", "Europe/Berlin", BEFORE_SPRING, 3),
        ["03-30 01:30", "03-30 03:00", "03-30 03:30"]
    );
    assert_eq!(wall("*/30 2 * * *", "Europe/Berlin", BEFORE_SPRING, 1), ["03-31 02:00"]);
    assert_eq!(
        wall("0 * * * *", "Europe/Berlin", BEFORE_AUTUMN, 4),
        ["10-26 02:00", "10-26 02:00", "10-26 03:00", "10-26 04:00"]
    );
}

#[test]
fn a_missing_day_is_a_matter_of_calendars() {
    // Samoa went from 29 to 31 December 2011.
    assert_eq!(
        wall("30 2 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3),
        ["12-29 02:30", "12-31 02:30", "01-01 02:30"]
    );
    assert_eq!(wall("0 0 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 1), ["12-30 00:00"]);
    let next = schedule("0 0 30 12 *").next(crate::instant("2011-12-01T00:00:00Z"), &crate::zone("Pacific/Apia"));
    assert_eq!(next, Some(crate::instant("2012-12-29T10:00:00Z")));
}

#[test]
fn the_rule_of_robfig_skips_gaps_and_fires_twice_in_overlaps() {
    let schedule = schedule("30 2 * * *").with_dst_policy(DstPolicy::Robfig);
    assert_eq!(fires(&schedule, "Europe/Berlin", BEFORE_SPRING, 1), ["03-31 02:30"]);
    assert_eq!(fires(&schedule, "Europe/Berlin", BEFORE_AUTUMN, 3), ["10-26 02:30", "10-26 02:30", "10-27 02:30"]);
}

#[test]
fn the_rule_of_the_first_pass_shifts_gaps_and_holds_back_intervals() {
    let fixed = schedule("30 2 * * *").with_dst_policy(DstPolicy::FirstPass);
    assert_eq!(fires(&fixed, "Europe/Berlin", BEFORE_SPRING, 2), ["03-30 03:30", "03-31 02:30"]);
    let interval = schedule("*/30 * * * *").with_dst_policy(DstPolicy::FirstPass);
    assert_eq!(
        fires(&interval, "Europe/Berlin", "2025-10-26T00:00:00Z", 3),
        ["10-26 02:30", "10-26 03:00", "10-26 03:30"]
    );
}
