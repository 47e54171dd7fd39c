//! Which cron is spoken. A dialect is a row of data; there is one parser.

use crate::{DstPolicy, Field};

/// The dialects of the language.
///
/// New schedules are written in [`Dialect::Piton`]. The others exist to read what was written for another program
/// exactly as that program read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The superset: five fields, or six with leading seconds; names, wrap-around ranges, `N/step`, `?`, `L`, `L-n`,
    /// `W`, `LW`, `#`, `nL`, `+` in the day of week, shortcuts, `@every`, a `CRON_TZ=` prefix.
    #[default]
    Piton,
    /// robfig/cron v3, the library of Kubernetes and provisr: exactly five fields, Sunday is 0 only, loose input.
    Robfig,
    /// robfig/cron v3 with seconds enabled: exactly six fields.
    RobfigSeconds,
    /// The Open Cron Pattern Specification 1.4 (croner): five to seven fields, strict steps, a year field.
    Ocps,
    /// The first workspace scheduler: five numeric fields, day of month AND day of week.
    Seed,
}

/// What happens when day of month and day of week are both restricted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DayRule {
    /// A day matches when either field does.
    Either,
    /// A day matches when both fields do.
    Both,
}

/// Ranges whose end is before their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrap {
    /// An error.
    Refused,
    /// Only Sunday may close a week (`MON-SUN`).
    ToSunday,
    /// The range goes through the end of the field and on from its start.
    Allowed,
}

/// How `@hourly` and its like may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcuts {
    None,
    LowerCase,
    AnyCase,
}

/// How exact the duration of `@every` has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EveryRule {
    None,
    /// Whole seconds, at least one.
    Exact,
    /// Rounded down to whole seconds, up to one.
    Rounded,
}

/// The options that make up a dialect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The layouts of fields accepted, told apart by their number.
    pub(crate) layouts: &'static [&'static [Field]],
    /// 7 is Sunday too.
    pub(crate) sunday_is_seven: bool,
    /// `JAN`, `MON`.
    pub(crate) names: bool,
    /// `L`, `W`, `#`.
    pub(crate) modifiers: bool,
    /// `L-n`.
    pub(crate) before_last: bool,
    /// A day of week that starts with `+` must hold together with the day of month.
    pub(crate) plus: bool,
    /// `?` is `*`.
    pub(crate) question_mark: bool,
    /// `N/step` means from N to the end of the field.
    pub(crate) open_step: bool,
    /// `a-b/step`.
    pub(crate) range_step: bool,
    pub(crate) wrap: Wrap,
    pub(crate) shortcuts: Shortcuts,
    pub(crate) every: EveryRule,
    /// `TZ=` and `CRON_TZ=`.
    pub(crate) zone_prefix: bool,
    /// `1,,2`.
    pub(crate) empty_items: bool,
    /// `+5` is 5.
    pub(crate) signed_numbers: bool,
    pub(crate) days: DayRule,
    pub(crate) dst: DstPolicy,
}

const FIVE: &[Field] = &[Field::Minute, Field::Hour, Field::DayOfMonth, Field::Month, Field::DayOfWeek];
/// Five fields with seconds before them.
pub(crate) const SIX: &[Field] =
    &[Field::Second, Field::Minute, Field::Hour, Field::DayOfMonth, Field::Month, Field::DayOfWeek];
const SEVEN: &[Field] =
    &[Field::Second, Field::Minute, Field::Hour, Field::DayOfMonth, Field::Month, Field::DayOfWeek, Field::Year];

const PITON: Rules = Rules {
    layouts: &[FIVE, SIX],
    sunday_is_seven: true,
    names: true,
    modifiers: true,
    before_last: true,
    plus: true,
    question_mark: true,
    open_step: true,
    range_step: true,
    wrap: Wrap::Allowed,
    shortcuts: Shortcuts::AnyCase,
    every: EveryRule::Exact,
    zone_prefix: true,
    empty_items: false,
    signed_numbers: false,
    days: DayRule::Either,
    dst: DstPolicy::Vixie,
};

const ROBFIG: Rules = Rules {
    layouts: &[FIVE],
    sunday_is_seven: false,
    modifiers: false,
    before_last: false,
    plus: false,
    wrap: Wrap::Refused,
    shortcuts: Shortcuts::LowerCase,
    every: EveryRule::Rounded,
    empty_items: true,
    signed_numbers: true,
    dst: DstPolicy::Robfig,
    ..PITON
};

const ROBFIG_SECONDS: Rules = Rules { layouts: &[SIX], ..ROBFIG };

const OCPS: Rules = Rules {
    layouts: &[FIVE, SIX, SEVEN],
    before_last: false,
    open_step: false,
    wrap: Wrap::ToSunday,
    every: EveryRule::None,
    zone_prefix: false,
    empty_items: true,
    ..PITON
};

const SEED: Rules = Rules {
    layouts: &[FIVE],
    sunday_is_seven: false,
    names: false,
    modifiers: false,
    before_last: false,
    plus: false,
    question_mark: false,
    open_step: false,
    range_step: false,
    wrap: Wrap::Refused,
    shortcuts: Shortcuts::None,
    every: EveryRule::None,
    zone_prefix: false,
    days: DayRule::Both,
    dst: DstPolicy::Robfig,
    ..PITON
};

impl Dialect {
    pub(crate) fn rules(self) -> &'static Rules {
        match self {
            Self::Piton => &PITON,
            Self::Robfig => &ROBFIG,
            Self::RobfigSeconds => &ROBFIG_SECONDS,
            Self::Ocps => &OCPS,
            Self::Seed => &SEED,
        }
    }
}
