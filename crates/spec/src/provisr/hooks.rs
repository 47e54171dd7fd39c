//! `lifecycle`: commands that are run around starts and stops.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use piton_model::{FailureMode, Hook, HookPhase, Hooks, Name, RunMode, Secret};

use super::items::{Reading, path, positive_span, variables};
use crate::diagnostic::Severity;
use crate::fields::{Item, shown};

const PER_PHASE: usize = 50;
const IN_ALL: usize = 100;
const LONGEST: Duration = Duration::from_secs(3600);
const USUAL: Duration = Duration::from_secs(30);
/// What Piton says to hooks begins with this.
const RESERVED: &str = "PROVISR_";

/// Reads `lifecycle`. `env` is that of the owner, which references may name.
pub(crate) fn read_hooks(item: &Item<'_, '_>, env: &BTreeMap<String, Secret<String>>, reading: Reading<'_>) -> Hooks {
    let mut hooks = Hooks::default();
    let Some(mut fields) = item.table() else { return hooks };
    for phase in HookPhase::ALL {
        let Some(list) = fields.get(phase.as_str()) else { continue };
        let items = list.list().unwrap_or_default();
        if items.len() > PER_PHASE {
            let message = format!("there are {} hooks in this phase, and {PER_PHASE} is the limit", items.len());
            list.report(list.error("too_many", message));
            continue;
        }
        let read: Vec<Hook> = items.iter().filter_map(|item| read_hook(item, env, reading)).collect();
        match phase {
            HookPhase::PreStart => hooks.pre_start = read,
            HookPhase::PostStart => hooks.post_start = read,
            HookPhase::PreStop => hooks.pre_stop = read,
            HookPhase::PostStop => hooks.post_stop = read,
        }
    }
    fields.finish(Severity::Error);
    check(&hooks, item);
    hooks
}

/// Names are unique over all phases, and there are not too many. Of the hooks of a scheduled job and its template this
/// holds together.
pub(crate) fn check(hooks: &Hooks, item: &Item<'_, '_>) {
    let mut names = BTreeSet::new();
    let all = || HookPhase::ALL.into_iter().flat_map(|phase| hooks.of(phase));
    for hook in all().filter(|hook| !names.insert(&hook.name)) {
        let message = format!("there are two hooks with the name `{}`", hook.name);
        item.report(item.error("duplicate_name", message).hint("names are unique over all phases: rename one of them"));
    }
    let count = all().count();
    if count > IN_ALL {
        item.report(item.error("too_many", format!("there are {count} hooks, and {IN_ALL} is the limit")));
    }
}

fn read_hook(item: &Item<'_, '_>, env: &BTreeMap<String, Secret<String>>, reading: Reading<'_>) -> Option<Hook> {
    let mut fields = item.table()?;
    let missing = |key: &str| item.report(item.error("missing_field", format!("a hook needs a `{key}`")));
    let name: Option<Name> = match fields.get("name") {
        Some(item) => item.name(),
        None => {
            missing("name");
            None
        }
    };
    let command = match fields.get("command") {
        Some(item) => read_command(&item),
        None => {
            missing("command");
            None
        }
    };
    let failures = [("fail", FailureMode::Fail), ("ignore", FailureMode::Ignore), ("retry", FailureMode::Retry)];
    let modes = [("blocking", RunMode::Blocking), ("async", RunMode::Async)];
    let said = |item: &Item<'_, '_>| !matches!(&item.node.value, crate::document::Value::Text(text) if text.is_empty());
    let failure_mode = fields.get("failure_mode").filter(said).and_then(|item| item.choice(&failures));
    let run_mode = fields.get("run_mode").filter(said).and_then(|item| item.choice(&modes));
    let timeout = fields.get("timeout").and_then(|item| positive_span(&item, reading, LONGEST));
    let own = fields.get("env").map(|item| {
        let declared = variables(&item, Some(RESERVED));
        let (values, unresolved) = reading.around.resolve_over(&declared.templates, env);
        declared.report(unresolved, &item);
        values
    });
    let work_dir = fields.get("work_dir").filter(said).and_then(|item| path(&item, reading));
    fields.finish(Severity::Error);
    Some(Hook {
        name: name?,
        command: command?,
        failure_mode: failure_mode.unwrap_or_default(),
        run_mode: run_mode.unwrap_or_default(),
        timeout: timeout.unwrap_or(USUAL),
        env: own.unwrap_or_default(),
        work_dir,
    })
}

/// A line for the shell. One that climbs out of directories is refused.
fn read_command(item: &Item<'_, '_>) -> Option<String> {
    let line = item.filled()?;
    if let Some(word) = climbing_word(line) {
        let message = format!("`{}` leads out of its directory", shown(word));
        let error = item.error("path_traversal", message);
        item.report(error.hint("write the absolute path, or set `work_dir`"));
        return None;
    }
    Some(line.to_owned())
}

/// A word of the line in which `..` is a part of a path.
fn climbing_word(line: &str) -> Option<&str> {
    let separates = |c: char| c.is_whitespace() || "'\"`;|&()<>{}=:,$".contains(c);
    line.split(separates).find(|word| word.split(['/', '\\']).any(|part| part == ".."))
}

#[cfg(test)]
mod tests {
    use super::climbing_word;

    #[test]
    fn paths_that_climb_are_found() {
        for bad in ["cat ../x", "cat a/../b", "cd ..", "x=..;y", "cat \"../x\"", "cat /etc/../passwd", "a>../b"] {
            assert!(climbing_word(bad).is_some(), "{bad}");
        }
        for good in ["git log a..b", "seq {1..5}", "echo ...", "tar -czf /backups/a-$(date +%Y%m%d).tar.gz /var/log/"] {
            assert!(climbing_word(good).is_none(), "{good}");
        }
    }
}
