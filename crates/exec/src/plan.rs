//! What a plan would change, read from `show -json`. Pure.

mod canonical;
mod secrets;
mod shape;

use piton_model::{Digest, PlanSummary, ResourceChange};
use serde_json::{Value, json};

pub(crate) use secrets::texts;
use shape::{Change, Shape};

/// No more changes than these are listed one by one; the counts are always complete.
const LISTED: usize = 500;

/// What `show -json` says of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The summary, free of secrets.
    pub summary: PlanSummary,
    /// Every sensitive text in the plan, for the redactor.
    pub secrets: Vec<String>,
}

/// Why `show -json` could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not what the format says.
    #[error("the tool's description of the plan is not readable: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The format has a new major version, whose meaning is unknown.
    #[error("the tool describes its plan in format {found}, and only format 1 is known")]
    Format {
        /// What the tool said.
        found: String,
    },
}

/// Reads the output of `show -json PLANFILE`; `file_digest` is the SHA-256 of that plan file.
pub fn read(shown: &[u8], file_digest: Digest) -> Result<Reading, Error> {
    let value: Value = serde_json::from_slice(shown)?;
    let found = value.get("format_version").and_then(Value::as_str).unwrap_or("(none)").to_owned();
    if found.split('.').next() != Some("1") {
        return Err(Error::Format { found });
    }
    let secrets = secrets::collect(&value);
    let shape: Shape = serde_json::from_value(value)?;
    Ok(Reading { summary: summarize(&shape, file_digest), secrets })
}

fn summarize(shape: &Shape, file_digest: Digest) -> PlanSummary {
    let mut summary = PlanSummary {
        digest: digest(shape),
        file_digest,
        add: 0,
        change: 0,
        replace: 0,
        destroy: 0,
        output_changes: 0,
        changes: Vec::new(),
    };
    let mut changes: Vec<(Kind, ResourceChange)> = Vec::new();
    for resource in &shape.resource_changes {
        let kind = Kind::of(&resource.change.actions);
        match kind {
            Kind::Nothing | Kind::Read => continue,
            Kind::Create => summary.add += 1,
            Kind::Update => summary.change += 1,
            Kind::Replace => summary.replace += 1,
            Kind::Delete => summary.destroy += 1,
            Kind::Forget | Kind::Unknown => {}
        }
        let address = match &resource.deposed {
            Some(key) => format!("{} (deposed object {key})", resource.address),
            None => resource.address.clone(),
        };
        let action = match kind {
            Kind::Unknown => resource.change.actions.join("+"),
            known => known.as_str().to_owned(),
        };
        changes.push((kind, ResourceChange { address, action, reason: resource.action_reason.clone() }));
    }
    changes.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.address.cmp(&y.address)));
    summary.changes = changes.into_iter().take(LISTED).map(|(_, change)| change).collect();
    summary.output_changes =
        shape.output_changes.values().filter(|change| Kind::of(&change.actions) != Kind::Nothing).count() as u32;
    summary
}

/// What happens to one resource. The order is that of the list: what destroys comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Delete,
    Replace,
    Forget,
    Update,
    Create,
    Unknown,
    Read,
    Nothing,
}

impl Kind {
    fn of(actions: &[String]) -> Kind {
        let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
        match actions.as_slice() {
            [] | ["no-op"] => Kind::Nothing,
            ["read"] => Kind::Read,
            ["create"] => Kind::Create,
            ["update"] => Kind::Update,
            ["delete"] => Kind::Delete,
            ["delete", "create"] | ["create", "delete"] => Kind::Replace,
            ["forget"] | ["create", "forget"] | ["forget", "create"] => Kind::Forget,
            _ => Kind::Unknown,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Kind::Delete => "delete",
            Kind::Replace => "replace",
            Kind::Forget => "forget",
            Kind::Update => "update",
            Kind::Create => "create",
            Kind::Unknown => "unknown",
            Kind::Read => "read",
            Kind::Nothing => "no-op",
        }
    }
}

/// The digest that an approval is bound to: two plans that would do the same have the same one.
///
/// What varies from plan to plan without changing what is done (the time, the tool's reasons, reads) is left out.
fn digest(shape: &Shape) -> Digest {
    let mut resources: Vec<Value> = shape
        .resource_changes
        .iter()
        .filter(|resource| !matches!(Kind::of(&resource.change.actions), Kind::Nothing | Kind::Read))
        .map(|resource| {
            json!({
                "address": resource.address,
                "previous_address": resource.previous_address,
                "deposed": resource.deposed,
                "provider_name": resource.provider_name,
                "change": essence(&resource.change),
            })
        })
        .collect();
    resources.sort_by_cached_key(canonical::text);
    let outputs: Value = shape
        .output_changes
        .iter()
        .filter(|(_, change)| Kind::of(&change.actions) != Kind::Nothing)
        .map(|(name, change)| (name.clone(), essence(change)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    Digest::of(canonical::text(&json!({ "resource_changes": resources, "output_changes": outputs })).as_bytes())
}

fn essence(change: &Change) -> Value {
    json!({
        "actions": change.actions,
        "before": secrets::hashed(&change.before, &change.before_sensitive),
        "after": secrets::hashed(&change.after, &change.after_sensitive),
        "after_unknown": change.after_unknown,
        "replace_paths": change.replace_paths,
        "importing": change.importing,
    })
}

#[cfg(test)]
mod tests;
