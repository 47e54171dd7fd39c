//! What is refused, why, and where the error points.

use piton_cron::{Dialect, Field, ParseError, ParseErrorKind as Kind, Schedule};

fn refused(text: &str) -> ParseError {
    match Schedule::parse(text) {
        Ok(_) => panic!("`{text}` was accepted"),
        Err(error) => error,
    }
}

#[test]
fn errors_name_the_field_and_point_at_the_cause() {
    for (text, field, cause, message) in [
        ("60 * * * *", Some(Field::Minute), "60", "minute: 60 is out of range, it goes from 0 to 59"),
        ("0 24 * * *", Some(Field::Hour), "24", "hour: 24 is out of range, it goes from 0 to 23"),
        ("0 0 0 * *", Some(Field::DayOfMonth), "0", "day of month: 0 is out of range, it goes from 1 to 31"),
        ("0 0 * 13 *", Some(Field::Month), "13", "month: 13 is out of range, it goes from 1 to 12"),
        ("0 0 * * 8", Some(Field::DayOfWeek), "8", "day of week: 8 is out of range, it goes from 0 to 7"),
        ("*/0 * * * *", Some(Field::Minute), "0", "minute: a step of 0 never gets anywhere"),
        ("0 1,,2 * * *", Some(Field::Hour), "", "hour: empty item in a list"),
        ("0 0 * FOO *", Some(Field::Month), "FOO", "month: `FOO` is not a value"),
        ("+5 * * * *", Some(Field::Minute), "+5", "minute: `+5` has a sign"),
        ("1-2-3 * * * *", Some(Field::Minute), "1-2-3", "minute: `1-2-3` is not a value, a range or a step"),
        ("-1 * * * *", Some(Field::Minute), "-1", "minute: `-1` is not a value, a range or a step"),
        ("0 0 * * FRI#6", Some(Field::DayOfWeek), "6", "day of week: 6 is out of range, it goes from 1 to 5"),
        (
            "0 0 * * L",
            Some(Field::DayOfWeek),
            "L",
            "day of week: `L` without a day before it (as in `FRIL`) is not available here",
        ),
        ("0 0 10-15W * *", Some(Field::DayOfMonth), "10-15", "day of month: `10-15` is not a value"),
        ("* * * *", None, "* * * *", "4 fields, expected 5 or 6"),
        ("  ", None, "", "the expression is empty"),
        ("CRON_TZ=Mars/Olympus 0 0 * * *", None, "Mars/Olympus", "unknown time zone `Mars/Olympus`"),
        ("TZ=UTC", None, "TZ=UTC", "`TZ=UTC` needs a time zone and a schedule after it"),
        ("@reboot", None, "@reboot", "`@reboot` names an event, not a time"),
        ("@deployment-failed", None, "@deployment-failed", "`@deployment-failed` names an event, not a time"),
        ("@wekly", None, "@wekly", "unknown shortcut `@wekly`"),
        ("@every 0s", None, "0s", "`0s` is shorter than one second"),
        ("@every 1ns", None, "1ns", "`1ns` is shorter than one second"),
        ("@every 1500ms", None, "1500ms", "`1500ms` is not a whole number of seconds"),
        ("@every 1d", None, "1d", "`1d` is not a duration"),
        ("@every 3000000h", None, "3000000h", "`3000000h` is too long"),
    ] {
        let error = refused(text);
        assert_eq!((error.field, &text[error.span.clone()], error.to_string().as_str()), (field, cause, message));
    }
}

#[test]
fn hints_say_what_to_write_instead() {
    for (text, hint) in [
        ("@wekly", "did you mean `@weekly`?"),
        ("@every 1d", "the largest unit is the hour: one day is `24h`"),
        ("0 24 * * *", "midnight is hour 0"),
        ("0 0 30 2 *", "`L` is the last day of the month, whatever its length"),
    ] {
        assert_eq!(refused(text).hint().as_deref(), Some(hint), "{text}");
    }
    let strict = Schedule::parse_with("5/15 * * * *", Dialect::Ocps).unwrap_err();
    assert_eq!(strict.hint().as_deref(), Some("write `5-59/15`"));
}

#[test]
fn dates_that_no_calendar_has_are_refused() {
    for text in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 0 31 2 ?", "0 0 30W 2 *", "0 0 L-30 2 *", "0 0 31 2 +MON#1"] {
        let error = refused(text);
        assert_eq!(error.kind, Kind::NeverFires, "{text}");
    }
    assert_eq!(&"0 0 30 2 *"[refused("0 0 30 2 *").span], "30 2 *");
    // A day of week that may hold alone makes the same date possible.
    for text in ["0 0 29 2 *", "0 0 30 2 MON", "0 0 29 2 +MON", "0 0 L-28 2 *", "0 0 31 * +MON#5"] {
        assert!(Schedule::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn dialects_keep_to_what_their_programs_read() {
    use Dialect::{Ocps, Robfig, RobfigSeconds, Seed};
    for (dialect, accepted, refused) in [
        (
            Robfig,
            &["1,,2 * * * *", "+5 * * * *", "*/90 * * * *", "@every 1ns", "5/15 ? * * mon", "TZ=UTC 0 0 * * *"][..],
            &["0 0 * * 7", "0 0 * * MON-SUN", "0 0 L * *", "@DAILY", "0 0 0 * * *", "22-2 * * * *", "@reboot"][..],
        ),
        (RobfigSeconds, &["0 5 * * * *", "@midnight"], &["5 * * * *"]),
        (
            Ocps,
            &["0 0 * * MON-SUN", "0 0 0 1 1 * 2030", "0 0 15 * +5", "@YEARLY"],
            &["5/15 * * * *", "22-2 * * * *", "CRON_TZ=UTC 0 0 * * *", "@every 1h", "0 0 L-2 * *", "0 0 * * FRI-MON"],
        ),
        (
            Seed,
            &["*/5 * * * *", "0 9 * * 1-3,5"],
            &["0 9 * * MON", "0 9 * * 7", "0-30/5 * * * *", "0 9 ? * *", "@daily", "5/15 * * * *", "0 0 L * *"],
        ),
    ] {
        for text in accepted {
            assert!(Schedule::parse_with(text, dialect).is_ok(), "{dialect:?} should read `{text}`");
        }
        for text in refused {
            assert!(Schedule::parse_with(text, dialect).is_err(), "{dialect:?} should refuse `{text}`");
        }
    }
}
