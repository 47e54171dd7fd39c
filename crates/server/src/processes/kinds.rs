//! Samples of declarations, to begin with.

use piton_api as api;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::extract::{Json, Path, Query};
use crate::problem::{Answer, Refusal};
use crate::route::{Permission, Table, routes};

/// The kinds of samples, each with the second name that it has.
pub const KINDS: [(&str, &str); 6] = [
    ("web", "webapp"),
    ("api", "service"),
    ("worker", "background"),
    ("database", "db"),
    ("cron", "scheduled"),
    ("simple", "basic"),
];

/// What `GET {base}/templates/{name}` answers: a registered template or, where there is none of that name, a sample.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Sample {
    /// The template that is registered under that name.
    Registered(Box<api::Template>),
    /// A declaration of a process or a scheduled job, to begin with.
    Declaration(api::ProcessSpec),
}

pub(super) fn routes() -> Table {
    Table::new().at(Permission::Read, routes!(list)).at(Permission::Read, routes!(show))
}

/// The kinds of samples. provisr has them at `/templates`, where the templates of workspaces are here.
#[utoipa::path(get, path = "/process-kinds", tag = "processes", responses((status = 200, body = Vec<String>)))]
async fn list() -> Json<Vec<String>> {
    Json(KINDS.iter().map(|(kind, _)| (*kind).to_owned()).collect())
}

/// What the sample shall be called.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Called {
    /// The name in the sample; `KIND-sample` unless given.
    pub(crate) name: Option<String>,
}

/// A declaration to begin with.
#[utoipa::path(get, path = "/process-kinds/{kind}", tag = "processes", params(Called), responses((status = 200, body = api::ProcessSpec)))]
async fn show(Path(kind): Path<String>, Query(called): Query<Called>) -> Answer<Json<api::ProcessSpec>> {
    sample(&kind, called.name.as_deref())?.map(Json).ok_or_else(|| {
        let detail = format!("there is no kind `{}`", kind.escape_debug());
        let hint = Some(format!("the kinds are {}", KINDS.map(|(kind, _)| kind).join(", ")));
        Refusal::new(axum::http::StatusCode::NOT_FOUND, "kind_not_found", detail, hint)
    })
}

/// A sample of this kind; nothing where there is no such kind.
pub(crate) fn sample(kind: &str, name: Option<&str>) -> Answer<Option<api::ProcessSpec>> {
    let name = name.map(super::selector::plain).transpose()?;
    let made = sample_process(kind, name.as_deref());
    made.map(|value| serde_json::from_value(value).map_err(|error| Refusal::internal(&error))).transpose()
}

/// A declaration of this kind, to begin with; nothing where there is no such kind.
pub fn sample_process(kind: &str, name: Option<&str>) -> Option<Value> {
    let (kind, _) = KINDS.into_iter().find(|(first, second)| [*first, *second].contains(&kind))?;
    let name = name.map_or_else(|| format!("{kind}-sample"), str::to_owned);
    const SECOND: u64 = 1_000_000_000;
    Some(match kind {
        "web" => json!({
            "name": name, "command": "python3 -m http.server 8000", "instances": 1, "priority": 10,
            "auto_restart": true, "restart_interval": 3 * SECOND, "start_duration": 2 * SECOND,
            "env": ["PORT=8000"],
        }),
        "api" => json!({
            "name": name, "command": "./api-server", "instances": 2, "priority": 20, "auto_restart": true,
            "restart_interval": 3 * SECOND, "start_duration": 2 * SECOND, "env": ["LOG_LEVEL=info"],
        }),
        "worker" => json!({
            "name": name, "command": "./worker", "instances": 2, "priority": 30, "auto_restart": true,
            "restart_interval": 5 * SECOND,
        }),
        "database" => json!({
            "name": name, "command": "postgres -D data", "priority": 1, "auto_restart": true,
            "restart_interval": 10 * SECOND, "start_duration": 3 * SECOND,
        }),
        "cron" => json!({
            "name": name, "schedule": "0 2 * * *", "concurrency_policy": "Forbid",
            "job_template": { "name": format!("{name}-job"), "command": "./backup", "restart_policy": "OnFailure" },
        }),
        _ => json!({ "name": name, "command": "sleep 3600" }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_every_second_name_has_a_sample() {
        for kind in KINDS.into_iter().flat_map(|(first, second)| [first, second]) {
            let sample = sample(kind, Some("mine")).unwrap().unwrap();
            assert_eq!(sample.name, "mine");
            assert!(["command", "job_template"].iter().any(|member| sample.members.contains_key(*member)), "{kind}");
        }
        assert_eq!(sample_process("web", None).unwrap()["name"], "web-sample");
        assert!(sample("blueprint", None).unwrap().is_none());
        assert!(sample("web", Some("../x")).is_err());
    }
}
