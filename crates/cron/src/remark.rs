//! What is right by the rules of the language, and yet seldom meant.

use std::fmt;

use crate::Field;

/// Something about an expression that often surprises its author. Worth a warning, not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remark {
    /// The step is larger than the field, so only its first value counts (`*/90` minutes is once an hour).
    StepBeyondField {
        /// The field it stands in.
        field: Field,
        /// The step as written.
        step: u16,
    },
    /// The step does not divide its field, so the last interval is shorter (`*/45` minutes is 0, 45, 0, 45 …).
    UnevenStep {
        /// The field it stands in.
        field: Field,
        /// The step as written.
        step: u16,
    },
    /// Day of month and day of week are both restricted, and a day that matches either one counts.
    EitherDay,
}

impl Remark {
    /// The remark on `*/step`, if there is one to make.
    pub(crate) fn on_step(field: Field, step: u16) -> Option<Self> {
        let cycle = field.max() - field.min() + 1;
        let counts_time = matches!(field, Field::Second | Field::Minute | Field::Hour);
        if step >= cycle {
            (step > 1).then_some(Self::StepBeyondField { field, step })
        } else {
            (counts_time && !cycle.is_multiple_of(step)).then_some(Self::UnevenStep { field, step })
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StepBeyondField { field, step } => write!(
                f,
                "A step of {step} goes beyond the {field} field, so only {} counts. For a delay, write `@every`.",
                field.min()
            ),
            Self::UnevenStep { field, step } => write!(
                f,
                "A step of {step} does not divide the {field} field evenly: it starts again at {} every time the field \
                 does, after a shorter interval. For a constant delay, write `@every`.",
                field.min()
            ),
            Self::EitherDay => f.write_str(
                "Day of month and day of week are both given: a day that matches either one counts. With `+` before \
                 the day of week both have to match.",
            ),
        }
    }
}
