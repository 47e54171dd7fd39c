//! Arithmetic. What is no number counts as zero.

use super::decimal::Decimal;
use super::{Args, Entry};
use crate::format::shown;
use crate::function::{FunctionError, Outcome};
use crate::limits::Meter;
use crate::number::read::{parse_float, parse_int};
use crate::text::lossy;
use crate::value::{Element, List, Type, Value};

const A: Type = Type::Any;
const I: Type = Type::Int;
const L: Type = Type::Int64;
const F: Type = Type::Float;
const T: Type = Type::Text;
const IL: Type = Type::List(Element::Int);

pub(super) const FUNCTIONS: &[Entry] = &[
    ("atoi", &[T], None, I, |_, args| Ok(Value::Int(atoi(&args.text(0))))),
    ("int", &[A], None, I, |_, args| Ok(Value::Int(to_int(args.get(0))))),
    ("int64", &[A], None, L, |_, args| Ok(Value::Int64(to_int(args.get(0))))),
    ("float64", &[A], None, F, |_, args| Ok(Value::Float(to_float(args.get(0))))),
    ("toDecimal", &[A], None, L, |meter, args| {
        let text = shown(meter, args.get(0))?;
        Ok(Value::Int64(parse_int(&lossy(&text), 8).unwrap_or(0)))
    }),
    ("add1", &[A], None, L, |_, args| Ok(Value::Int64(to_int(args.get(0)).wrapping_add(1)))),
    ("add", &[], Some(A), L, |_, args| Ok(Value::Int64(args.0.iter().map(to_int).fold(0, i64::wrapping_add)))),
    ("sub", &[A, A], None, L, |_, args| Ok(Value::Int64(to_int(args.get(0)).wrapping_sub(to_int(args.get(1)))))),
    ("div", &[A, A], None, L, |_, args| divide(args, i64::wrapping_div)),
    ("mod", &[A, A], None, L, |_, args| divide(args, i64::wrapping_rem)),
    ("mul", &[A], Some(A), L, |_, args| Ok(Value::Int64(args.0.iter().map(to_int).fold(1, i64::wrapping_mul)))),
    ("max", &[A], Some(A), L, |_, args| Ok(extreme(args, i64::max))),
    ("biggest", &[A], Some(A), L, |_, args| Ok(extreme(args, i64::max))),
    ("min", &[A], Some(A), L, |_, args| Ok(extreme(args, i64::min))),
    ("maxf", &[A], Some(A), F, |_, args| Ok(extreme_float(args, |a, b| a > b))),
    ("minf", &[A], Some(A), F, |_, args| Ok(extreme_float(args, |a, b| a < b))),
    ("add1f", &[A], None, F, |_, args| decimal(to_float(args.get(0)), &[Value::Int(1)], |a, b| Ok(a.add(b)))),
    ("addf", &[], Some(A), F, |_, args| decimal(0.0, args.0, |a, b| Ok(a.add(b)))),
    ("subf", &[A], Some(A), F, |_, args| decimal(to_float(args.get(0)), args.rest(1), |a, b| Ok(a.sub(b)))),
    ("mulf", &[A], Some(A), F, |_, args| decimal(to_float(args.get(0)), args.rest(1), |a, b| Ok(a.mul(b)))),
    ("divf", &[A], Some(A), F, |_, args| decimal(to_float(args.get(0)), args.rest(1), Decimal::div)),
    ("floor", &[A], None, F, |_, args| Ok(Value::Float(to_float(args.get(0)).floor()))),
    ("ceil", &[A], None, F, |_, args| Ok(Value::Float(to_float(args.get(0)).ceil()))),
    ("round", &[A, I], Some(F), F, |_, args| Ok(Value::Float(round(args)))),
    ("until", &[I], None, IL, |meter, args| {
        let count = args.int(0);
        Ok(numbers(steps(meter, 0, count, if count < 0 { -1 } else { 1 })?))
    }),
    ("untilStep", &[I, I, I], None, IL, |meter, args| {
        Ok(numbers(steps(meter, args.int(0), args.int(1), args.int(2))?))
    }),
    ("seq", &[], Some(I), T, seq),
];

/// `cast.ToInt64`.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Bool(value) => i64::from(*value),
        // Out of range, processors of Go's largest platform give the smallest number.
        Value::Float(float) if !(-(2f64.powi(63))..2f64.powi(63)).contains(float) => i64::MIN,
        Value::Float(float) => *float as i64,
        Value::Text(text) => parse_int(trim_zero_decimal(&text.to_str()), 0).unwrap_or(0),
        Value::Byte(byte) => i64::from(*byte),
        value => value.as_integer().unwrap_or(0),
    }
}

/// `12.00` is `12`.
fn trim_zero_decimal(text: &str) -> &str {
    let trimmed = text.trim_end_matches('0');
    match trimmed.strip_suffix('.') {
        Some(integer) if trimmed.len() < text.len() => integer,
        _ => text,
    }
}

/// `cast.ToFloat64`.
pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Float(float) => *float,
        Value::Text(text) => parse_float(&text.to_str()).unwrap_or(0.0),
        value => value.as_integer().unwrap_or(0) as f64,
    }
}

fn atoi(text: &str) -> i64 {
    // Out of range, Go gives the nearest number along with the error that sprig drops.
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match parse_int(text, 10) {
        Some(number) if is_number => number,
        None if is_number && text.starts_with('-') => i64::MIN,
        None if is_number => i64::MAX,
        _ => 0,
    }
}

fn divide(args: &Args<'_>, operation: fn(i64, i64) -> i64) -> Outcome {
    match to_int(args.get(1)) {
        0 => Err("runtime error: integer divide by zero".into()),
        divisor => Ok(Value::Int64(operation(to_int(args.get(0)), divisor))),
    }
}

fn extreme(args: &Args<'_>, better: fn(i64, i64) -> i64) -> Value {
    Value::Int64(args.0.iter().map(to_int).reduce(better).unwrap_or(0))
}

fn extreme_float(args: &Args<'_>, better: fn(f64, f64) -> bool) -> Value {
    let better_of = |a: f64, b: f64| {
        if a.is_nan() || b.is_nan() {
            f64::NAN
        } else if better(b, a) {
            b
        } else {
            a
        }
    };
    Value::Float(args.0.iter().map(to_float).reduce(better_of).unwrap_or(0.0))
}

fn decimal(
    first: f64,
    others: &[Value],
    operation: fn(&Decimal, &Decimal) -> Result<Decimal, FunctionError>,
) -> Outcome {
    let mut result = Decimal::of(first)?;
    for other in others {
        result = operation(&result, &Decimal::of(to_float(other))?)?;
    }
    Ok(Value::Float(result.to_float()))
}

fn round(args: &Args<'_>) -> f64 {
    let round_on = match args.get(2) {
        Value::Float(round_on) => *round_on,
        _ => 0.5,
    };
    let power = 10f64.powi(i32::try_from(args.int(1)).unwrap_or(i32::MAX));
    let digits = power * to_float(args.get(0));
    let rounded = if digits.fract() >= round_on { digits.ceil() } else { digits.floor() };
    rounded / power
}

fn steps(meter: &mut Meter, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, FunctionError> {
    let span = if step > 0 { stop.saturating_sub(start) } else { start.saturating_sub(stop) };
    if step == 0 || span <= 0 {
        return Ok(Vec::new());
    }
    let count = (span.unsigned_abs() - 1) / step.unsigned_abs() + 1;
    let size = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(size_of::<Value>() + 8);
    meter.allocate(size)?;
    Ok((0..count).map(|at| start.wrapping_add((at as i64).wrapping_mul(step))).collect())
}

fn numbers(numbers: Vec<i64>) -> Value {
    Value::List(List::new(Element::Int, numbers.into_iter().map(Value::Int).collect()))
}

fn seq(meter: &mut Meter, args: &Args<'_>) -> Outcome {
    let (start, step, end) = match args.len() {
        1 => (1, None, args.int(0)),
        2 => (args.int(0), None, args.int(1)),
        3 => (args.int(0), Some(args.int(1)), args.int(2)),
        _ => return Ok(Value::from("")),
    };
    let direction = if end < start { -1 } else { 1 };
    if direction < 0 && step.is_some_and(|step| step > 0) {
        return Ok(Value::from(""));
    }
    let numbers = steps(meter, start, end.saturating_add(direction), step.unwrap_or(direction))?;
    meter.allocate(numbers.len().saturating_mul(20))?;
    Ok(Value::from(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")))
}
