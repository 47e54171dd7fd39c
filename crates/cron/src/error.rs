//! Why an expression was refused, where, and what to write instead.

use std::fmt;
use std::ops::Range;

use crate::Field;

/// An expression that is not a schedule.
///
/// Displays as one sentence, such as ``minute: 60 is out of range, it goes from 0 to 59``. [`ParseError::hint`] says
/// what to write instead, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The field it is wrong in, unless it concerns the whole expression.
    pub field: Option<Field>,
    /// The bytes of the expression it is about.
    pub span: Range<usize>,
}

/// The reasons for refusing an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Nothing but white space.
    #[error("the expression is empty")]
    Empty,
    /// Too few or too many fields.
    #[error("{found} fields, expected {expected}")]
    FieldCount {
        /// How many there are.
        found: usize,
        /// How many there may be, in words.
        expected: String,
    },
    /// An `@word` that is not known.
    #[error("unknown shortcut `{0}`")]
    UnknownShortcut(String),
    /// An `@word` that names an event.
    #[error("`{0}` names an event, not a time")]
    EventWord(String),
    /// A zone prefix with a name the time zone database does not have.
    #[error("unknown time zone `{0}`")]
    UnknownZone(String),
    /// A zone prefix with nothing behind it, or with no schedule behind it.
    #[error("`{0}` needs a time zone and a schedule after it")]
    IncompleteZone(String),
    /// An empty place in a list, as in `1,,2`.
    #[error("empty item in a list")]
    EmptyItem,
    /// Something that is neither a number nor a known name.
    #[error("`{0}` is not a value")]
    NotAValue(String),
    /// A number with a sign.
    #[error("`{0}` has a sign")]
    SignedNumber(String),
    /// A value the field does not have.
    #[error("{value} is out of range, it goes from {min} to {max}")]
    OutOfRange {
        /// The value as written.
        value: String,
        /// The smallest value allowed.
        min: u16,
        /// The largest value allowed.
        max: u16,
    },
    /// More than one `-` or `/`, or one with nothing on a side of it.
    #[error("`{0}` is not a value, a range or a step")]
    Malformed(String),
    /// A range that ends before it starts.
    #[error("the range `{0}` ends before it starts")]
    ReversedRange(String),
    /// A step of zero.
    #[error("a step of 0 never gets anywhere")]
    ZeroStep,
    /// A step on a single value, where the dialect wants a range.
    #[error("the step in `{0}` needs a range")]
    StepWithoutRange(String),
    /// Something of the language that this field or this dialect does not have.
    #[error("{what} is not available here")]
    NotAvailable {
        /// The construct.
        what: &'static str,
    },
    /// An `@every` with something that is not a duration.
    #[error("`{0}` is not a duration")]
    InvalidDuration(String),
    /// An `@every` shorter than a second.
    #[error("`{0}` is shorter than one second")]
    DurationTooShort(String),
    /// An `@every` with a fraction of a second.
    #[error("`{0}` is not a whole number of seconds")]
    DurationNotWhole(String),
    /// An `@every` beyond 292 years.
    #[error("`{0}` is too long")]
    DurationTooLong(String),
    /// A date that no calendar has, such as 30 February.
    #[error("the schedule never fires: no date satisfies day, month and day of week")]
    NeverFires,
}

impl ParseError {
    pub(crate) fn new(kind: ParseErrorKind, field: Option<Field>, span: Range<usize>) -> Self {
        Self { kind, field, span }
    }

    /// Whether the hint is the list of all shortcuts, to which one may add those of one's own.
    pub fn lists_shortcuts(&self) -> bool {
        matches!(&self.kind, ParseErrorKind::UnknownShortcut(word) if nearest_shortcut(word).is_none())
    }

    /// What to write instead, where that is known.
    pub fn hint(&self) -> Option<String> {
        use ParseErrorKind as K;
        Some(match &self.kind {
            K::Empty | K::FieldCount { .. } => {
                "write minute, hour, day of month, month and day of week, for example `0 9 * * MON-FRI`".into()
            }
            K::UnknownShortcut(word) => match nearest_shortcut(word) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("the shortcuts are {} and @every DURATION", SHORTCUT_WORDS.join(", ")),
            },
            K::EventWord(_) => "put the event where an event is expected; a schedule is a time".into(),
            K::UnknownZone(_) => "use a name of the IANA time zone database, for example Europe/Berlin or UTC".into(),
            K::IncompleteZone(_) => "for example `CRON_TZ=Europe/Berlin 0 9 * * *`".into(),
            K::EmptyItem => "remove the extra comma".into(),
            K::NotAValue(_) => match self.field {
                Some(Field::Month) => "months are 1 to 12 or JAN to DEC".into(),
                Some(Field::DayOfWeek) => "days of the week are 0 to 7 (0 and 7 are Sunday) or SUN to SAT".into(),
                Some(field) => format!("the {field} takes numbers from {} to {}", field.min(), field.max()),
                None => return None,
            },
            K::SignedNumber(_) => "write the number without a sign".into(),
            K::OutOfRange { .. } => match self.field {
                Some(Field::Hour) => "midnight is hour 0".into(),
                Some(Field::Minute) => "the full hour is minute 0".into(),
                Some(Field::DayOfMonth) => "`L` is the last day of the month".into(),
                Some(Field::DayOfWeek) => "Sunday is 0".into(),
                _ => return None,
            },
            K::Malformed(_) => "values are `5`, ranges `1-5`, steps `*/15` or `1-30/5`, lists `1,15`".into(),
            K::ReversedRange(_) => "write the two parts as a list, for example `22-23,0-2`".into(),
            K::ZeroStep => "a step is 1 or more; without a step, write `*`".into(),
            K::StepWithoutRange(text) => match text.split_once('/') {
                Some((from, step)) => format!(
                    "write `{from}-{}/{step}`",
                    self.field.map_or_else(|| "MAX".to_owned(), |field| field.max().to_string())
                ),
                None => return None,
            },
            K::NotAvailable { .. } => return None,
            K::InvalidDuration(text) if text.ends_with(['d', 'w']) => {
                "the largest unit is the hour: one day is `24h`".into()
            }
            K::InvalidDuration(_) => "for example `@every 1h30m` or `@every 45s`".into(),
            K::DurationTooShort(_) | K::DurationNotWhole(_) => "use whole seconds, at least `1s`".into(),
            K::DurationTooLong(_) => return None,
            K::NeverFires => "`L` is the last day of the month, whatever its length".into(),
        })
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = self.field {
            write!(f, "{field}: ")?;
        }
        self.kind.fmt(f)
    }
}

impl std::error::Error for ParseError {}

pub(crate) const SHORTCUT_WORDS: [&str; 7] =
    ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];

/// The shortcut that differs from `word` by at most two edits.
fn nearest_shortcut(word: &str) -> Option<&'static str> {
    // Longer words cannot be near, and comparing them would cost their length squared.
    if word.len() > 16 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let (distance, known) = SHORTCUT_WORDS
        .iter()
        .map(|known| (edit_distance(&word, known), *known))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= 2).then_some(known)
}

/// Levenshtein's distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
