//! As whom and within which limits a process runs.

use std::collections::BTreeMap;

use piton_model::{Confinement, Rlimit};

use super::items::{Reading, count, integer, size};
use super::process::optional_path;
use crate::document::Value;
use crate::fields::{Fields, Item, shown};
use crate::suggest::nearest;

/// The kernel's limits, and whether they are of bytes.
const RESOURCES: [(&str, bool); 16] = [
    ("as", true),
    ("core", true),
    ("cpu", false),
    ("data", true),
    ("fsize", true),
    ("locks", false),
    ("memlock", true),
    ("msgqueue", true),
    ("nice", false),
    ("nofile", false),
    ("nproc", false),
    ("rss", true),
    ("rtprio", false),
    ("rttime", false),
    ("sigpending", false),
    ("stack", true),
];

pub(crate) fn read_confinement(fields: &mut Fields<'_, '_>, reading: Reading<'_>) -> Confinement {
    let signed = |item: &Item<'_, '_>, from: i32, to: i32| {
        integer(item, i64::from(from), i64::from(to)).and_then(|number| i32::try_from(number).ok())
    };
    Confinement {
        user: fields.get("user").and_then(|item| read_account(&item)),
        group: fields.get("group").and_then(|item| read_account(&item)),
        umask: fields.get("umask").and_then(|item| read_umask(&item)),
        nice: fields.get("nice").and_then(|item| signed(&item, -20, 19)),
        oom_score_adj: fields.get("oom_score_adj").and_then(|item| signed(&item, -1000, 1000)),
        no_new_privileges: fields.get("no_new_privileges").and_then(|item| item.flag()).unwrap_or(false),
        stdin: optional_path(fields, "stdin", reading).map(|(_, path)| path),
        rlimits: fields.get("limits").map(|item| read_limits(&item)).unwrap_or_default(),
        memory_max: fields.get("memory_max").and_then(|item| {
            let bytes = size(&item)?;
            if bytes == 0 {
                item.report(item.error("out_of_range", "nothing runs without memory"));
            }
            Some(bytes)
        }),
        cpu_percent: fields.get("cpu").and_then(|item| read_cpu(&item)),
        pids_max: fields.get("pids_max").and_then(|item| count(&item, 1, 4_194_304)),
    }
}

/// The name or number of a user or a group. Whether there is one is seen when the process is started.
fn read_account(item: &Item<'_, '_>) -> Option<String> {
    if let Value::Number(_) = &item.node.value {
        return integer(item, 0, i64::from(u32::MAX - 1)).map(|number| number.to_string());
    }
    let text = item.filled()?.trim();
    let good =
        text.len() <= 256 && !text.starts_with('-') && text.chars().all(|c| !c.is_whitespace() && !":/,".contains(c));
    if !good {
        let error = item.error("invalid_account", format!("`{}` cannot be the name of a user or a group", shown(text)));
        item.report(error.hint("write a name, or a number"));
        return None;
    }
    Some(text.to_owned())
}

/// Octal digits. A number would be read as a decimal one, so it has to be text.
fn read_umask(item: &Item<'_, '_>) -> Option<u32> {
    if let Value::Number(_) = &item.node.value {
        let error = item.error("wrong_type", "expected octal digits in quotes, found a number");
        // Not with the digits of the number: `0o27` is 23 by now, and "023" another mask.
        item.report(error.hint("write the mask as it is, in quotes and without a prefix, such as `\"027\"`"));
        return None;
    }
    let text = item.filled()?.trim();
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mask) if mask <= 0o777 && !digits.starts_with('+') => Some(mask),
        _ => {
            let error = item.error("invalid_umask", format!("`{}` is not a mask of file modes", shown(text)));
            item.report(error.hint("write octal digits, for example `\"022\"` or `\"0077\"`"));
            None
        }
    }
}

/// Cores, or percent of one.
fn read_cpu(item: &Item<'_, '_>) -> Option<u32> {
    let percent = match &item.node.value {
        Value::Number(number) => number.as_f64().map(|cores| cores * 100.0),
        _ => {
            let text = item.filled()?.trim();
            match text.strip_suffix('%') {
                Some(percent) => percent.trim().parse().ok(),
                None => text.parse::<f64>().ok().map(|cores| cores * 100.0),
            }
        }
    };
    match percent {
        Some(percent) if (1.0..=1_000_000.0).contains(&percent) => Some(percent.round() as u32),
        _ => {
            let error = item.error("out_of_range", "this is a share of the processor");
            item.report(error.hint("write a number of cores such as `0.5` or `2`, or `\"50%\"` of one core"));
            None
        }
    }
}

fn read_limits(item: &Item<'_, '_>) -> BTreeMap<String, Rlimit> {
    let mut limits = BTreeMap::new();
    let Some(table) = item.table() else { return limits };
    for (name, item) in table.all() {
        let Some((known, bytes)) = RESOURCES.iter().find(|(known, _)| *known == name) else {
            let error = table.key_error(name, "unknown_field", format!("`{}` is no limit of the kernel", shown(name)));
            let error = error.field(item.path.as_str());
            item.report(match nearest(name, RESOURCES.iter().map(|(known, _)| *known)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            });
            continue;
        };
        if let Some(limit) = read_limit(&item, *bytes) {
            limits.insert((*known).to_owned(), limit);
        }
    }
    limits
}

/// `1024`, `"1024:4096"` (soft and hard), `"unlimited"`; sizes for limits of bytes.
fn read_limit(item: &Item<'_, '_>, bytes: bool) -> Option<Rlimit> {
    let one = |text: &str| -> Option<Option<u64>> {
        match text.trim() {
            "unlimited" | "infinity" => Some(None),
            text if bytes => crate::config::parse_size(text).map(Some),
            text => text.parse().ok().map(Some),
        }
    };
    let limit = match &item.node.value {
        Value::Number(number) => number.as_u64().map(|number| Rlimit { soft: Some(number), hard: Some(number) }),
        _ => {
            let text = item.filled()?;
            let (soft, hard) = text.split_once(':').unwrap_or((text, text));
            one(soft).zip(one(hard)).map(|(soft, hard)| Rlimit { soft, hard })
        }
    };
    let Some(limit) = limit else {
        let error = item.error("invalid_limit", "this is no limit");
        item.report(error.hint("write a number, `\"SOFT:HARD\"` or `\"unlimited\"`"));
        return None;
    };
    let above = match (limit.soft, limit.hard) {
        (Some(soft), Some(hard)) => soft > hard,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if above {
        item.report(item.error("invalid_limit", "the soft limit is higher than the hard one"));
        return None;
    }
    Some(limit)
}
