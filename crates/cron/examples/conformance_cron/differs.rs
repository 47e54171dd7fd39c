//! Where this language knowingly differs from a peer, and why.

use crate::row::{Part, Row};

/// One row whose result differs, with the result it must have instead.
const ROWS: &[(&str, &str, &str)] = &[(
    "k8s-missed-05",
    "2016-05-20T12:30:00Z",
    "Kubernetes estimates the most recent start from the distance of the first two, overshoots and skips it; ours is \
     exact.",
)];

/// A rule of ours that shows in every row of these kinds that meets it, with the result it must have.
const RULES: &[(&[&str], &str, &str)] = &[
    (
        &["next", "seq", "syntax", "parse_ok"],
        "refused: NeverFires",
        "A date that no calendar has is a mistake worth an error when it is written, not a schedule that stays silent.",
    ),
    (
        &["syntax"],
        "refused: EmptyItem",
        "An empty item in a list is a slip of the pen; the robfig and OCPS dialects overlook it.",
    ),
    (
        &["syntax"],
        "refused: FieldCount of 7",
        "There is no year field: a date of one year is not a schedule. The OCPS dialect has it.",
    ),
    (
        &["syntax"],
        "refused: SignedNumber",
        "`+` before a day of week means AND; before other numbers only the robfig dialects take it.",
    ),
    (
        &["syntax"],
        "refused: DurationTooShort",
        "A delay below one second is refused instead of being rounded up to one.",
    ),
    (
        &["syntax"],
        "refused: DurationNotWhole",
        "A delay with a fraction of a second is refused instead of being rounded.",
    ),
];

/// Why the result of a row differs, if it does by decision and is the one decided upon.
pub fn reason(row: Row<'_>, part: &Part) -> Option<&'static str> {
    let kind = row.text("kind").ok()?;
    let by_row = ROWS.iter().find(|(id, ours, _)| *id == row.id() && *ours == part.ours);
    let by_rule = RULES.iter().find(|(kinds, ours, _)| kinds.contains(&kind) && *ours == part.ours);
    by_row.map(|(_, _, reason)| *reason).or_else(|| by_rule.map(|(_, _, reason)| *reason))
}
