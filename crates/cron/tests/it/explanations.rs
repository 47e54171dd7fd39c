//! What `cron explain` shows.

use piton_cron::{DstPolicy, Schedule, explain};

use crate::{instant, schedule, zone};

fn notes(schedule: &Schedule, zone_name: &str, from: &str) -> Vec<String> {
    explain(schedule, &zone(zone_name), instant(from), 1).notes
}

#[test]
fn an_explanation_has_words_and_times() {
    let explanation = explain(&schedule("0 9 * * 1-5"), &zone("Europe/Berlin"), instant("2025-03-28T12:00:00Z"), 2);
    assert_eq!(explanation.expr, "0 9 * * 1-5");
    assert_eq!(explanation.time_zone, "Europe/Berlin");
    assert_eq!(explanation.description, "At 09:00, Monday through Friday");
    assert_eq!(
        explanation.next_rfc3339().collect::<Vec<_>>(),
        ["2025-03-31T09:00:00+02:00", "2025-04-01T09:00:00+02:00"]
    );
    assert_eq!(explanation.notes, Vec::<String>::new());
}

#[test]
fn the_zone_in_the_expression_is_the_one_explained() {
    let explanation =
        explain(&schedule("CRON_TZ=Asia/Tokyo 0 9 * * *"), &zone("UTC"), instant("2025-01-01T00:00:00Z"), 1);
    assert_eq!(explanation.time_zone, "Asia/Tokyo");
    assert_eq!(explanation.next_rfc3339().collect::<Vec<_>>(), ["2025-01-02T09:00:00+09:00"]);
}

#[test]
fn daylight_saving_notes_tell_what_happens_to_fixed_times() {
    assert_eq!(
        notes(&schedule("30 2 * * *"), "Europe/Berlin", "2025-01-01T00:00:00Z"),
        [
            "On 2025-03-30, Europe/Berlin skips 02:00 to 03:00: the fire due at 02:30 happens at 03:00.",
            "On 2025-10-26, Europe/Berlin repeats 02:00 to 03:00: the fire due at 02:30 happens once, in the first pass.",
        ]
    );
    assert_eq!(notes(&schedule("0 4 * * *"), "Europe/Berlin", "2025-01-01T00:00:00Z"), Vec::<String>::new());
    assert_eq!(
        notes(&schedule("30 2 * * *").with_dst_policy(DstPolicy::Robfig), "Europe/Berlin", "2025-01-01T00:00:00Z"),
        [
            "On 2025-03-30, Europe/Berlin skips 02:00 to 03:00: the fire due at 02:30 is left out.",
            "On 2025-10-26, Europe/Berlin repeats 02:00 to 03:00: the fire due at 02:30 happens in both passes, one hour \
             apart.",
        ]
    );
    assert_eq!(
        notes(&schedule("30 2 * * *").with_dst_policy(DstPolicy::FirstPass), "Europe/Berlin", "2025-01-01T00:00:00Z")
            [0],
        "On 2025-03-30, Europe/Berlin skips 02:00 to 03:00: the fire due at 02:30 happens at 03:30."
    );
}

#[test]
fn daylight_saving_notes_tell_what_happens_to_intervals() {
    assert_eq!(
        notes(&schedule("*/15 * * * *"), "Australia/Lord_Howe", "2025-01-01T00:00:00Z"),
        [
            "On 2025-04-06, Australia/Lord_Howe repeats 01:30 to 02:00: the fires due then happen in both passes, 30 \
             minutes apart.",
            "On 2025-10-05, Australia/Lord_Howe skips 02:00 to 02:30: the fires due then are left out.",
        ]
    );
}

#[test]
fn notes_reach_over_midnight() {
    assert_eq!(
        notes(&schedule("30 23 * * *"), "America/Sao_Paulo", "2018-01-01T00:00:00Z"),
        [
            "On 2018-02-17, America/Sao_Paulo repeats 23:00 to 24:00: the fire due at 23:30 happens once, in the first pass."
        ]
    );
    assert_eq!(
        notes(&schedule("30 12 * * *"), "Pacific/Apia", "2011-12-01T00:00:00Z"),
        ["On 2011-12-30, Pacific/Apia skips 00:00 to 24:00: the fire due at 12:30 is left out."]
    );
}

#[test]
fn surprises_are_noted() {
    let notes = notes(&schedule("*/90 0 13 * FRI"), "UTC", "2025-01-01T00:00:00Z");
    assert!(notes[0].starts_with("A step of 90 goes beyond the minute field, so only 0 counts."), "{notes:?}");
    assert!(notes[1].starts_with("Day of month and day of week are both given"), "{notes:?}");
}
