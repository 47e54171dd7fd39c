//! The past of a message, as its headers tell it.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, LongString};
use piton_broker::{ATTEMPTS, FROM, Ladder, Marks, REASON, Topology};
use proptest::prelude::*;

fn topology() -> Topology {
    Topology::new("jobs", Ladder::default()).unwrap()
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

fn table(fields: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        table.insert((*name).into(), value.clone());
    }
    table
}

fn with(headers: &[(&str, AMQPValue)]) -> BasicProperties {
    BasicProperties::default().with_headers(table(headers))
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

fn death(queue: &str, reason: &str, count: i64) -> AMQPValue {
    let fields = [("queue", text(queue)), ("reason", text(reason)), ("count", AMQPValue::LongLongInt(count))];
    AMQPValue::FieldTable(table(&fields))
}

fn deaths(all: Vec<AMQPValue>) -> AMQPValue {
    AMQPValue::FieldArray(FieldArray::from(all))
}

proptest! {
    #[test]
    fn what_is_written_is_read(failures in 1..1000_u32, returned in 0..1000_u32, first in 0..4_000_000_000_i64) {
        let first_failed = Some(Timestamp::from_second(first).unwrap());
        let marks = Marks { failures, first_failed, returned, counted: false };
        let written = marks.written(&BasicProperties::default(), "jobs", Some("why"));
        prop_assert_eq!(Marks::read(&written, &topology()), marks);
        let again = marks.written(&written, "jobs", None);
        prop_assert_eq!(Marks::read(&again, &topology()), marks);
    }
}

#[test]
fn what_others_wrote_is_believed_where_it_is_a_count() {
    let cases = [
        (vec![], 0, 0, false),
        (vec![(ATTEMPTS, AMQPValue::LongInt(3))], 3, 0, false),
        (vec![(ATTEMPTS, AMQPValue::LongLongInt(-3))], 0, 0, false),
        (vec![(ATTEMPTS, AMQPValue::LongLongInt(i64::MAX))], u32::MAX, 0, false),
        (vec![(ATTEMPTS, text("3"))], 0, 0, false),
        (vec![("x-delivery-count", AMQPValue::LongLongInt(2))], 0, 2, true),
        (vec![("x-death", text("nonsense"))], 0, 0, false),
        (
            vec![(
                "x-death",
                deaths(vec![death("jobs.retry.5s", "expired", 1), death("jobs.retry.10s", "expired", 2)]),
            )],
            3,
            0,
            false,
        ),
        (
            vec![("x-death", deaths(vec![death("jobs.retry.7s", "expired", 2)])), (ATTEMPTS, AMQPValue::LongInt(1))],
            2,
            0,
            false,
        ),
        (vec![("x-death", deaths(vec![death("jobs.retry.5s", "expired", 1)])), (FROM, text("jobs"))], 0, 0, false),
        (
            vec![("x-death", deaths(vec![death("jobs", "rejected", 9), death("others.retry.5s", "expired", 9)]))],
            0,
            0,
            false,
        ),
        (vec![("x-death", deaths(vec![death("jobs.retry.5s", "expired", -9), AMQPValue::Void]))], 1, 0, false),
    ];
    for (headers, failures, returned, counted) in cases {
        let marks = Marks::read(&with(&headers), &topology());
        assert_eq!(marks, Marks { failures, first_failed: None, returned, counted }, "{headers:?}");
    }
}

#[test]
fn what_would_act_again_is_taken_off_and_all_else_stays() {
    let old = with(&[
        ("traceparent", text("00-1")),
        ("CC", deaths(vec![text("elsewhere")])),
        ("BCC", deaths(vec![text("elsewhere")])),
        ("x-death", deaths(vec![death("jobs", "delivery_limit", 1)])),
        ("x-first-death-queue", text("jobs")),
        ("x-last-death-queue", text("jobs")),
        ("x-delivery-count", AMQPValue::LongLongInt(2)),
    ])
    .with_expiration("1000".into())
    .with_user_id("somebody".into())
    .with_message_id("run-1".into())
    .with_type("system".into())
    .with_priority(3)
    .with_correlation_id("c".into());
    let marks = Marks { failures: 2, ..Marks::default() };
    let new = marks.written(&old, "jobs", Some("no disk"));

    let names: Vec<String> = new.headers().as_ref().unwrap().inner().keys().map(ToString::to_string).collect();
    assert_eq!(names, ["traceparent", ATTEMPTS, FROM, REASON].map(str::to_owned));
    assert_eq!(header(&new, REASON), Some(&text("no disk")));
    assert_eq!((new.expiration(), new.user_id(), *new.delivery_mode()), (&None, &None, Some(2)));
    assert_eq!((new.message_id(), new.correlation_id()), (old.message_id(), old.correlation_id()));
    assert_eq!((new.kind(), new.priority()), (old.kind(), old.priority()));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let reason = "ä".repeat(3000);
    let written = Marks::default().written(&BasicProperties::default(), "jobs", Some(&reason));
    let Some(AMQPValue::LongString(kept)) = header(&written, REASON) else { panic!("no reason") };
    let kept = std::str::from_utf8(kept.as_bytes()).unwrap();
    assert!(kept.len() < 1100 && kept.ends_with('…') && reason.starts_with(kept.trim_end_matches('…')));
}
