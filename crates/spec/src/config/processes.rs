//! What the configuration says about all processes: their environment, the places of their files, how they are measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use piton_model::{OutputPolicy, Secret};
use serde_json::Value as Json;

use super::settings::{Origin, Settings};
use crate::diagnostic::Diagnostic;
use crate::document::read_bounded;
use crate::duration::parse_duration;
use crate::fields::shown;
use crate::load::read_variables;
use crate::provisr::ProcessDefaults;
use crate::provisr::dotenv::is_name;
use crate::suggest::nearest;

/// What is said about all processes.
#[derive(Debug, Clone, PartialEq)]
pub struct Processes {
    /// Directory of the files that declare them.
    pub programs: PathBuf,
    /// Directory of their pid files; none for Piton's own.
    pub pid_dir: Option<PathBuf>,
    /// What holds where their declarations say nothing.
    pub defaults: ProcessDefaults,
    /// `[metrics.process_metrics]`
    pub metrics: ProcessMetrics,
}

/// `[metrics.process_metrics]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessMetrics {
    /// Whether processes are measured.
    pub enabled: bool,
    /// The time between two measurements.
    pub interval: Duration,
    /// So many are kept of each.
    pub history: usize,
}

/// `[history]`. What happened is kept in Piton's own database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Whether the history of processes is shown.
    pub enabled: bool,
    /// How long it is kept; none for as long as anything.
    pub retention: Option<Duration>,
}

impl Processes {
    pub(super) fn read(
        s: &Settings,
        root: &Path,
        file: Option<&Path>,
        environment: &BTreeMap<String, String>,
        found: &mut Vec<Diagnostic>,
    ) -> Processes {
        let base = file.and_then(Path::parent).map_or_else(|| root.to_path_buf(), |base| root.join(base));
        let (mut env, mut env_places) = (BTreeMap::new(), BTreeMap::new());
        for (index, text) in s.texts("env").iter().enumerate() {
            let Some((name, value)) = read_variable(s, index, text, found) else { continue };
            if let Some(place) = s.place_in("env", index) {
                env_places.insert(name.clone(), place);
            }
            env.insert(name, value);
        }
        let env_files = paths(s, "env_files", root);
        for tables in ["processes", "groups", "cronjobs"] {
            if s.is_given(tables) && !matches!(s.origin(tables), Some(Origin::File { .. })) {
                let error = s.error(tables, "this can only be declared in a file");
                found.push(error.hint("write it to the configuration file, or to a file in `programs_directory`"));
            }
        }
        let count = |key| s.integer(key).and_then(|number| u64::try_from(number).ok());
        let narrow = |key, usual: u32| count(key).map_or(usual, |n| u32::try_from(n).unwrap_or(u32::MAX));
        let usual = OutputPolicy::default();
        let output = OutputPolicy {
            dir: s.path("log.dir", root).filter(|_| s.is_given("log.dir")),
            stdout: s.path("log.stdout", root),
            stderr: s.path("log.stderr", root),
            max_size: count("log.max_size_mb").map_or(usual.max_size, |megabytes| megabytes << 20),
            max_backups: narrow("log.max_backups", usual.max_backups),
            max_age: count("log.max_age_days").map_or(usual.max_age, |days| Duration::from_secs(days * 86_400)),
            compress: s.flag("log.compress"),
            timestamps: false,
        };
        let daemon = environment.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect();
        let inherit_env = s.flag("use_os_env");
        Processes {
            programs: s.path("programs_directory", root).unwrap_or_else(|| usual_programs(root, &base)),
            pid_dir: s.path("pid_dir", root),
            defaults: ProcessDefaults {
                base,
                inherit_env,
                env,
                env_places,
                env_files,
                output,
                daemon: Arc::new(daemon),
            },
            metrics: ProcessMetrics {
                enabled: s.flag("metrics.process_metrics.enabled"),
                interval: s.duration("metrics.process_metrics.interval"),
                history: count("metrics.process_metrics.max_history")
                    .filter(|_| {
                        s.is_given("metrics.process_metrics.max_history")
                            || !s.is_given("metrics.process_metrics.history_size")
                    })
                    .or_else(|| count("metrics.process_metrics.history_size"))
                    .and_then(|number| usize::try_from(number).ok())
                    .unwrap_or(usize::MAX),
            },
        }
    }

    /// What is wrong with the environment files.
    pub(super) fn check_env_files(&self) -> Vec<Diagnostic> {
        let check = |path: &PathBuf| read_bounded(path).and_then(|bytes| read_variables(path, bytes)).err();
        self.defaults.env_files.iter().filter_map(check).map(|error| *error).collect()
    }
}

/// `programs` in the directory, or beside a configuration file that lies elsewhere.
fn usual_programs(root: &Path, base: &Path) -> PathBuf {
    let here = root.join("programs");
    if base == root || here.is_dir() { here } else { base.join("programs") }
}

/// A list of paths, each relative to the file that says so.
fn paths(s: &Settings, key: &str, root: &Path) -> Vec<PathBuf> {
    let base = match s.origin(key) {
        Some(Origin::File { path, .. }) => path.parent().unwrap_or(root),
        _ => root,
    };
    s.texts(key).iter().map(|text| root.join(base).join(text)).collect()
}

fn read_variable(
    s: &Settings,
    index: usize,
    text: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<(String, Secret<String>)> {
    let mut refuse = |message: &str, hint: &str| {
        found.push(s.error_in("env", index, message).hint(hint));
        None
    };
    let Some((name, value)) = text.split_once('=') else {
        // The text may be a secret that lost its name, so it is not shown.
        return refuse(
            "expected `NAME=VALUE`, and here is no `=`",
            "`NAME=${NAME}` passes a variable of the daemon on",
        );
    };
    let name = name.trim();
    if !is_name(name) {
        let message = format!("`{}` cannot be the name of an environment variable", shown(name));
        return refuse(&message, "a name has no spaces in it and is not empty");
    }
    if value.contains('\0') {
        return refuse("this must not hold a NUL character", "no program could be given such a variable");
    }
    Some((name.to_owned(), Secret::new(value.to_owned())))
}

const MEMBERS: &[&str] = &[
    "enabled",
    "primary",
    "stores",
    "in_store",
    "opensearch_url",
    "opensearch_index",
    "clickhouse_url",
    "clickhouse_table",
];
const STORES: &[&str] = &["sqlite", "postgres", "postgresql", "clickhouse", "opensearch"];
const STORE_MEMBERS: &[&str] =
    &["enabled", "dsn", "migrate", "retention", "cleanup_interval", "table", "url", "index", "path", "type"];

impl History {
    /// Reads what provisr calls sinks. Those of databases that Piton does not speak to are refused, unless they are
    /// switched off.
    pub(super) fn read(s: &Settings, found: &mut Vec<Diagnostic>) -> History {
        let Some(table) = s.json("history").and_then(Json::as_object) else {
            return History { enabled: true, retention: None };
        };
        let flag = |table: &serde_json::Map<String, Json>, key: &str| table.get(key).and_then(Json::as_bool);
        let text = |key: &str| table.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
        let enabled = flag(table, "enabled").unwrap_or(true);
        check_members(s, "history", table, MEMBERS, found);
        let mut retention = None;
        let mut foreign = Vec::new();
        for (key, name) in [("clickhouse_url", "clickhouse"), ("opensearch_url", "opensearch")] {
            if text(key).is_some() {
                foreign.push((format!("history.{key}"), name.to_owned()));
            }
        }
        let stores = table.get("stores").and_then(Json::as_object).into_iter().flatten();
        for (name, store) in stores {
            let path = format!("history.stores.{}", shown(name));
            let Some(store) = store.as_object().filter(|_| STORES.contains(&name.as_str())) else {
                let error = unknown(s, &path, name, "[history.stores]", STORES);
                found.push(error);
                continue;
            };
            check_members(s, &path, store, STORE_MEMBERS, found);
            let on = flag(store, "enabled").unwrap_or(false);
            let is_foreign = ["clickhouse", "opensearch"].contains(&name.as_str());
            if on && is_foreign {
                foreign.push((path, name.clone()));
            } else if on {
                retention = store.get("retention").and_then(Json::as_str).and_then(|text| parse_duration(text).ok());
            }
        }
        if let Some(name) = text("primary").filter(|name| ["clickhouse", "opensearch"].contains(name)) {
            foreign.push(("history.primary".to_owned(), name.to_owned()));
        }
        for (path, name) in foreign.into_iter().filter(|_| enabled) {
            let message = format!("the history of processes is kept in Piton's own database; it is not sent to {name}");
            let error = Diagnostic { code: "unsupported_history", ..s.error("history", &message) };
            found.push(error.field(path).hint("switch it off with `enabled = false`, or read `/api/history`"));
        }
        History { enabled, retention: retention.filter(|retention: &Duration| !retention.is_zero()) }
    }
}

fn check_members(
    s: &Settings,
    path: &str,
    table: &serde_json::Map<String, Json>,
    known: &'static [&'static str],
    found: &mut Vec<Diagnostic>,
) {
    for name in table.keys().filter(|name| !known.contains(&name.as_str())) {
        found.push(unknown(s, &format!("{path}.{}", shown(name)), name, &format!("[{path}]"), known));
    }
}

fn unknown(s: &Settings, path: &str, name: &str, place: &str, known: &'static [&'static str]) -> Diagnostic {
    let error = s.error("history", &format!("unknown key `{}` in {place}", shown(name)));
    let error = Diagnostic { code: "unknown_key", ..error }.field(path);
    match nearest(name, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("known are {}", known.join(", "))),
    }
}
