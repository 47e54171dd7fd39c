//! Dates and times.

mod moment;
mod read;

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::arguments::Args;
use super::{Surroundings, duration};
use crate::function::{Functions, Signature};
use crate::value::{Type, Value};

use moment::Moment;

const A: Type = Type::Any;
const T: Type = Type::Text;
const TIME: Type = Type::Named(moment::TYPE);

pub(super) fn add(functions: &mut Functions, surroundings: &Surroundings) {
    let surroundings = Arc::new(surroundings.clone());
    let world = Arc::clone(&surroundings);
    functions.add("now", Signature::new(&[], TIME), move |_, _| {
        Ok(Moment::of((world.now)().to_zoned(world.zone.clone())).into_value())
    });
    let world = Arc::clone(&surroundings);
    functions.add("date", Signature::new(&[T, A], T), move |_, args| {
        let args = Args(args);
        Ok(Value::from(written(&world, &args.text(0), args.get(1), "Local")))
    });
    for name in ["dateInZone", "date_in_zone"] {
        let world = Arc::clone(&surroundings);
        functions.add(name, Signature::new(&[T, A, T], T), move |_, args| {
            let args = Args(args);
            Ok(Value::from(written(&world, &args.text(0), args.get(1), &args.text(2))))
        });
    }
    let world = Arc::clone(&surroundings);
    functions.add("htmlDate", Signature::new(&[A], T), move |_, args| {
        Ok(Value::from(written(&world, "2006-01-02", Args(args).get(0), "Local")))
    });
    let world = Arc::clone(&surroundings);
    functions.add("htmlDateInZone", Signature::new(&[A, T], T), move |_, args| {
        let args = Args(args);
        Ok(Value::from(written(&world, "2006-01-02", args.get(0), &args.text(1))))
    });
    for (name, must) in
        [("dateModify", false), ("date_modify", false), ("mustDateModify", true), ("must_date_modify", true)]
    {
        functions.add(name, Signature::new(&[T, TIME], TIME), move |_, args| {
            let args = Args(args);
            let Some(moment) = moment::of_value(args.get(1)) else { return Ok(args.get(1).clone()) };
            match duration::parse(&args.text(0)) {
                Ok(nanoseconds) => Ok(moment.plus(nanoseconds).into_value()),
                Err(message) if must => Err(message.into()),
                Err(_) => Ok(args.get(1).clone()),
            }
        });
    }
    for (name, must) in [("toDate", false), ("mustToDate", true)] {
        let world = Arc::clone(&surroundings);
        functions.add(name, Signature::new(&[T, T], TIME), move |_, args| {
            let args = Args(args);
            match read::parse(&args.text(0), &args.text(1), &world.zone) {
                Ok(moment) => Ok(moment.into_value()),
                Err(message) if must => Err(message.into()),
                Err(_) => Ok(Moment::zero().into_value()),
            }
        });
    }
    functions.add("unixEpoch", Signature::new(&[TIME], T), |_, args| {
        let moment = moment::of_value(Args(args).get(0));
        Ok(Value::from(moment.map_or(0, |moment| moment.time().timestamp().as_second()).to_string()))
    });
    let world = Arc::clone(&surroundings);
    functions.add("ago", Signature::new(&[A], T), move |_, args| {
        let then = timestamp(&world, Args(args).get(0));
        let elapsed = (world.now)().duration_since(then).as_nanos();
        let seconds = (elapsed + if elapsed < 0 { -500_000_000 } else { 500_000_000 }) / 1_000_000_000;
        let nanoseconds = i64::try_from(seconds.saturating_mul(1_000_000_000));
        Ok(Value::from(duration::shown(nanoseconds.unwrap_or(if elapsed < 0 { i64::MIN } else { i64::MAX }))))
    });
    functions.add("durationRound", Signature::new(&[A], T), move |_, args| {
        let nanoseconds = match Args(args).get(0) {
            Value::Text(text) => duration::parse(&text.to_str()).unwrap_or(0),
            Value::Int64(nanoseconds) => *nanoseconds,
            value => match moment::of_value(value) {
                Some(moment) => {
                    let elapsed = (surroundings.now)().duration_since(moment.time().timestamp()).as_nanos();
                    i64::try_from(elapsed).unwrap_or(i64::MAX)
                }
                None => 0,
            },
        };
        Ok(Value::from(duration::rounded(nanoseconds)))
    });
}

/// The instant that a value names; now, if it names none.
fn timestamp(world: &Surroundings, value: &Value) -> Timestamp {
    match value {
        Value::Int(seconds) | Value::Int64(seconds) => {
            Timestamp::from_second(*seconds).unwrap_or(if *seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
        }
        value => match moment::of_value(value) {
            Some(moment) => moment.time().timestamp(),
            None => (world.now)(),
        },
    }
}

fn written(world: &Surroundings, layout: &str, value: &Value, zone: &str) -> String {
    let zone = match zone {
        "Local" => world.zone.clone(),
        "" | "UTC" => TimeZone::UTC,
        name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    };
    Moment::of(Zoned::new(timestamp(world, value), zone)).format(layout)
}
