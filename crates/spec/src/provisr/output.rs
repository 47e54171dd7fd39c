//! `log`: where the output of a process goes.

use std::time::Duration;

use piton_model::OutputPolicy;

use super::items::{Reading, count, either};
use super::process::optional_path;
use crate::diagnostic::Severity;
use crate::fields::{Fields, Item};

/// What `log` says.
pub(crate) struct Output {
    pub(crate) policy: OutputPolicy,
    /// Whether it names a file or a directory.
    pub(crate) says_where: bool,
}

const DAY: u32 = 24 * 60 * 60;
const MIB: u64 = 1 << 20;

/// Reads `log` over what holds for all processes: flat, or with the parts below `file` as provisr's API has it. What it
/// says about provisr's own log has no effect.
pub(crate) fn read_output(item: &Item<'_, '_>, reading: Reading<'_>) -> Output {
    let mut policy = reading.around.output.clone();
    let mut says_where = false;
    let Some(mut fields) = item.table() else { return Output { policy, says_where } };
    if let Some(mut nested) = fields.get("file").and_then(|item| item.table()) {
        read_flat(&mut nested, &mut policy, &mut says_where, reading, false);
        nested.finish(Severity::Error);
    }
    read_flat(&mut fields, &mut policy, &mut says_where, reading, true);
    if let Some(flag) = fields.get("timestamps").and_then(|item| item.flag()) {
        policy.timestamps = flag;
    }
    for ignored in ["slog", "level", "format", "color", "source"] {
        fields.get(ignored);
    }
    fields.finish(Severity::Error);
    Output { policy, says_where }
}

/// Without `zero_says`, 0 is what a program wrote for what nobody said.
fn read_flat(
    fields: &mut Fields<'_, '_>,
    policy: &mut OutputPolicy,
    says_where: &mut bool,
    reading: Reading<'_>,
    zero_says: bool,
) {
    let said = |number: &u32| zero_says || *number > 0;
    let places: [(&[&'static str], _); 3] = [
        (&["dir"], &mut policy.dir),
        (&["stdout", "stdoutPath"], &mut policy.stdout),
        (&["stderr", "stderrPath"], &mut policy.stderr),
    ];
    for (names, place) in places {
        for &name in names {
            if let Some((_, path)) = optional_path(fields, name, reading) {
                *place = Some(path);
                *says_where = true;
            }
        }
    }
    if let Some(megabytes) =
        either(fields, &["max_size_mb", "maxSizeMB"]).and_then(|item| count(&item, 0, 1 << 30)).filter(said)
    {
        policy.max_size = u64::from(megabytes) * MIB;
    }
    if let Some(backups) =
        either(fields, &["max_backups", "maxBackups"]).and_then(|item| count(&item, 0, 1_000_000)).filter(said)
    {
        policy.max_backups = backups;
    }
    if let Some(days) =
        either(fields, &["max_age_days", "maxAgeDays"]).and_then(|item| count(&item, 0, 36_500)).filter(said)
    {
        policy.max_age = Duration::from_secs(u64::from(days) * u64::from(DAY));
    }
    if let Some(flag) = fields.get("compress").and_then(|item| item.flag()) {
        policy.compress = flag;
    }
}
