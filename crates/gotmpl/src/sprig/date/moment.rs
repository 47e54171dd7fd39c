//! A moment: Go's `time.Time`.

use std::any::Any;
use std::rc::Rc;

use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, Zoned};

use crate::function::Signature;
use crate::sprig::layout;
use crate::text::Text;
use crate::value::{Method, Object, Type, Value};

pub(super) const TYPE: &str = "time.Time";

/// A time in its zone.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    time: Zoned,
    /// What the zone was called where the moment was read, if the zone does not know.
    zone_name: Option<Rc<str>>,
}

pub(super) fn of_value(value: &Value) -> Option<Moment> {
    let Value::Object(object) = value else { return None };
    let object: &dyn Any = &**object;
    object.downcast_ref::<Moment>().cloned()
}

impl Moment {
    pub(super) fn of(time: Zoned) -> Moment {
        Moment { time, zone_name: None }
    }

    pub(super) fn named(time: Zoned, zone_name: &str) -> Moment {
        Moment { time, zone_name: Some(Rc::from(zone_name)) }
    }

    /// The first day of the first year.
    pub(super) fn zero() -> Moment {
        let midnight = date(1, 1, 1).at(0, 0, 0, 0).to_zoned(TimeZone::UTC);
        Moment::of(midnight.unwrap_or_default())
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(Rc::new(self))
    }

    pub(super) fn time(&self) -> &Zoned {
        &self.time
    }

    /// As far as times go.
    pub(super) fn plus(&self, nanoseconds: i64) -> Moment {
        let time = self.time.saturating_add(SignedDuration::from_nanos(nanoseconds));
        Moment { time, zone_name: self.zone_name.clone() }
    }

    pub(super) fn format(&self, layout: &str) -> String {
        let zone = self.time.time_zone();
        let name = match &self.zone_name {
            Some(name) => name.to_string(),
            None if zone.to_fixed_offset().is_ok() && *zone != TimeZone::UTC => {
                layout::offset(self.time.offset().seconds(), false, false, 2)
            }
            None => zone.to_offset_info(self.time.timestamp()).abbreviation().to_owned(),
        };
        layout::format(&self.time, &name, layout)
    }
}

impl Object for Moment {
    fn type_name(&self) -> &'static str {
        TYPE
    }

    fn text(&self) -> String {
        self.format("2006-01-02 15:04:05.999999999 -0700 MST")
    }

    fn method(&self, name: &str) -> Option<Method> {
        fn moment(object: &dyn Object) -> Moment {
            let object: &dyn Any = object;
            object.downcast_ref::<Moment>().cloned().unwrap_or_else(Moment::zero)
        }
        let number = |call| Some(Method { signature: Signature::new(&[], Type::Int), call });
        let number64 = |call| Some(Method { signature: Signature::new(&[], Type::Int64), call });
        let time = |call| Some(Method { signature: Signature::new(&[], Type::Named(TYPE)), call });
        let relation = |call| Some(Method { signature: Signature::new(&[Type::Named(TYPE)], Type::Bool), call });
        match name {
            "Year" => number(|this, _| Ok(Value::Int(moment(this).time.year().into()))),
            "Day" => number(|this, _| Ok(Value::Int(moment(this).time.day().into()))),
            "YearDay" => number(|this, _| Ok(Value::Int(moment(this).time.day_of_year().into()))),
            "Hour" => number(|this, _| Ok(Value::Int(moment(this).time.hour().into()))),
            "Minute" => number(|this, _| Ok(Value::Int(moment(this).time.minute().into()))),
            "Second" => number(|this, _| Ok(Value::Int(moment(this).time.second().into()))),
            "Nanosecond" => number(|this, _| Ok(Value::Int(moment(this).time.subsec_nanosecond().into()))),
            "Unix" => number64(|this, _| Ok(Value::Int64(moment(this).time.timestamp().as_second()))),
            "UnixMilli" => number64(|this, _| Ok(Value::Int64(moment(this).time.timestamp().as_millisecond()))),
            "UnixMicro" => number64(|this, _| Ok(Value::Int64(moment(this).time.timestamp().as_microsecond()))),
            "UnixNano" => number64(|this, _| Ok(Value::Int64(moment(this).time.timestamp().as_nanosecond() as i64))),
            "Month" => Some(Method {
                signature: Signature::new(&[], Type::Named("time.Month")),
                call: |this, _| {
                    Ok(named("time.Month", moment(this).time.month(), layout::month_name(&moment(this).time)))
                },
            }),
            "Weekday" => Some(Method {
                signature: Signature::new(&[], Type::Named("time.Weekday")),
                call: |this, _| {
                    let moment = moment(this);
                    let number = moment.time.weekday().to_sunday_zero_offset();
                    Ok(named("time.Weekday", number, layout::weekday_name(&moment.time)))
                },
            }),
            "Format" => Some(Method {
                signature: Signature::new(&[Type::Text], Type::Text),
                call: |this, args| match args {
                    [Value::Text(layout)] => Ok(Value::from(moment(this).format(&layout.to_str()))),
                    _ => Ok(Value::from("")),
                },
            }),
            "String" => Some(Method {
                signature: Signature::new(&[], Type::Text),
                call: |this, _| Ok(Value::Text(Text::from(this.text()))),
            }),
            "IsZero" => Some(Method {
                signature: Signature::new(&[], Type::Bool),
                call: |this, _| Ok(Value::Bool(this.equals(&Moment::zero()))),
            }),
            "UTC" => time(|this, _| Ok(Moment::of(moment(this).time.with_time_zone(TimeZone::UTC)).into_value())),
            "AddDate" => Some(Method {
                signature: Signature::new(&[Type::Int, Type::Int, Type::Int], Type::Named(TYPE)),
                call: |this, args| {
                    let [years, months, days] = args else { return Ok(Value::Nil) };
                    let of = |value: &Value| value.as_integer().unwrap_or(0);
                    Ok(add_date(&moment(this), of(years), of(months), of(days)).into_value())
                },
            }),
            "Before" => relation(|this, args| {
                Ok(Value::Bool(args.first().and_then(of_value).is_some_and(|other| moment(this).time < other.time)))
            }),
            "After" => relation(|this, args| {
                Ok(Value::Bool(args.first().and_then(of_value).is_some_and(|other| moment(this).time > other.time)))
            }),
            "Equal" => relation(|this, args| {
                Ok(Value::Bool(args.first().and_then(of_value).is_some_and(|other| moment(this).time == other.time)))
            }),
            _ => None,
        }
    }

    fn json(&self) -> Option<serde_json::Value> {
        Some(self.format("2006-01-02T15:04:05.999999999Z07:00").into())
    }

    fn equals(&self, other: &dyn Object) -> bool {
        let other: &dyn Any = other;
        other.downcast_ref::<Moment>().is_some_and(|other| self.time == other.time)
    }
}

/// Days that a month does not have run over into the next, as in Go.
fn add_date(moment: &Moment, years: i64, months: i64, days: i64) -> Moment {
    let months = years.saturating_mul(12).saturating_add(months).clamp(-200_000, 200_000);
    let first = moment.time.with().day(1).build().and_then(|time| time.checked_add(months.months()));
    let days = days.saturating_add(i64::from(moment.time.day()) - 1).clamp(-4_000_000, 4_000_000);
    let time = first.and_then(|time| time.checked_add(days.days()));
    Moment { time: time.unwrap_or_else(|_| moment.time.clone()), zone_name: moment.zone_name.clone() }
}

/// A number that prints as its name.
#[derive(Debug)]
struct Named {
    type_name: &'static str,
    number: i64,
    name: &'static str,
}

fn named(type_name: &'static str, number: i8, name: &'static str) -> Value {
    Value::Object(Rc::new(Named { type_name, number: number.into(), name }))
}

impl Object for Named {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn kind(&self) -> &'static str {
        "int"
    }

    fn text(&self) -> String {
        self.name.to_owned()
    }

    fn integer(&self) -> Option<i64> {
        Some(self.number)
    }

    fn method(&self, name: &str) -> Option<Method> {
        (name == "String").then(|| Method {
            signature: Signature::new(&[], Type::Text),
            call: |this, _| Ok(Value::from(this.text())),
        })
    }

    fn json(&self) -> Option<serde_json::Value> {
        Some(self.number.into())
    }

    fn equals(&self, other: &dyn Object) -> bool {
        self.type_name == other.type_name() && Some(self.number) == other.integer()
    }
}
