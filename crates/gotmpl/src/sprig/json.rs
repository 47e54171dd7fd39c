//! JSON, as Go's `encoding/json` reads and writes it.

mod read;
mod write;

use super::{Args, Entry};
use crate::function::Outcome;
use crate::limits::Meter;
use crate::value::{Type, Value};

use write::{Failure, Style};

const A: Type = Type::Any;
const T: Type = Type::Text;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("toJson", &[A], None, T, |meter, args| written(meter, args, Style::COMPACT, false)),
    ("mustToJson", &[A], None, T, |meter, args| written(meter, args, Style::COMPACT, true)),
    ("toPrettyJson", &[A], None, T, |meter, args| written(meter, args, Style::PRETTY, false)),
    ("mustToPrettyJson", &[A], None, T, |meter, args| written(meter, args, Style::PRETTY, true)),
    ("toRawJson", &[A], None, T, |meter, args| written(meter, args, Style::RAW, true)),
    ("mustToRawJson", &[A], None, T, |meter, args| written(meter, args, Style::RAW, true)),
    ("fromJson", &[T], None, A, |meter, args| {
        meter.allocate(args.bytes(0).len().saturating_mul(8))?;
        Ok(read::parse(args.bytes(0)).unwrap_or_default())
    }),
    ("mustFromJson", &[T], None, A, |meter, args| {
        meter.allocate(args.bytes(0).len().saturating_mul(8))?;
        Ok(read::parse(args.bytes(0))?)
    }),
];

fn written(meter: &mut Meter, args: &Args<'_>, style: Style, must: bool) -> Outcome {
    match write::write(meter, args.get(0), style) {
        Ok(text) => Ok(text.into()),
        Err(Failure::Limit(limit)) => Err(limit.into()),
        Err(Failure::Unsupported(message)) if must => Err(message.into()),
        Err(Failure::Unsupported(_)) => Ok(Value::from("")),
    }
}
