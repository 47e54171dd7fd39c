//! Scheduled provisions: the routes of the scheduler for delayed provisioning, with its shapes and its status codes, and
//! what Piton adds to them. A list is a bare array, and what is wrong with a request is 400, as its clients expect.
//!
//! `request` turns what somebody asks for into a row, `bulk` a file into requests, `view` shows a row.

mod bulk;
mod list;
mod moment;
mod request;
mod view;

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use piton_api as api;
use piton_model::{Alteration, JobType, ScheduleId, json_pointer};
use serde_json::{Map, Value};

use request::{ALLOW_PAST, Measure, Mistake, mistake};

use crate::caller::Caller;
use crate::extract::{Json, Path};
use crate::problem::{Answer, Refusal};
use crate::processes::unless_in_the_way;
use crate::route::{Permission, Table, routes};
use crate::state::App;

/// What requests for scheduled provisions must keep to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleRules {
    /// Whether a time that has passed may be asked for.
    pub allow_past: bool,
    /// What nobody may have done without somebody who agrees.
    pub approval_required: BTreeSet<JobType>,
}

pub(crate) fn routes() -> Table {
    Table::new()
        .at(Permission::Read, routes!(list::list))
        .creating(Permission::Operate, routes!(create))
        .at(Permission::Read, routes!(show))
        .at(Permission::Operate, routes!(cancel))
        .at(Permission::Operate, routes!(change))
        .at(Permission::Operate, routes!(execute))
        .at(Permission::Operate, routes!(reschedule))
        .at(Permission::Operate, routes!(retry))
        .at(Permission::Operate, routes!(approve))
        .at(Permission::Operate, routes!(reject))
        .creating_many(Permission::Operate, bulk::LARGEST, routes!(bulk::bulk))
}

type Created = (StatusCode, [(HeaderName, HeaderValue); 1], Json<api::Schedule>);

/// Schedules something to be done to an account.
#[utoipa::path(post, path = "/schedule", request_body = api::NewSchedule, responses(
    (status = 201, description = "It is scheduled.", body = api::Schedule,
        headers(("location" = String, description = "Where it is."))),
    (status = 400, description = "It cannot be scheduled; `code` and `errors` say why.")))]
async fn create(State(app): State<App>, caller: Caller, body: Answer<Json<Map<String, Value>>>) -> Answer<Created> {
    let Json(body) = body.map_err(unless_in_the_way)?;
    let id = app.engine.new_schedule_ids(1).remove(0);
    let name = caller.by.to_string();
    let new = request::read(&body, id, &measure(&app, &caller, &name)).map_err(refused)?;
    app.engine.schedule_provisions(vec![new], caller.by).await?;
    let location = HeaderValue::from_str(&format!("{}/schedule/{id}", crate::BASE));
    let location = location.map_err(|error| Refusal::internal(&error))?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(seen(&app, id).await?)))
}

fn measure<'a>(app: &'a App, caller: &Caller, name: &'a str) -> Measure<'a> {
    Measure {
        now: app.engine.clock().now(),
        zone: &app.about.layout.defaults.time_zone,
        allow_past: app.schedules.allow_past,
        approval_required: &app.schedules.approval_required,
        caller: name,
        is_known: caller.account().is_some(),
    }
}

/// The first mistake gives the code; all of them are told.
fn refused(mistakes: Vec<Mistake>) -> Refusal {
    let code = mistakes.first().map_or("invalid_field", |mistake| mistake.code);
    let hint = mistakes.iter().find_map(|mistake| mistake.hint).map(str::to_owned);
    let told: Vec<&str> = mistakes.iter().map(|mistake| mistake.detail.as_str()).collect();
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, code, told.join("; "), hint);
    mistakes.into_iter().fold(refusal, |refusal, mistake| {
        refusal.at(api::Fault { pointer: json_pointer(mistake.place()), detail: mistake.detail })
    })
}

fn id_of(text: &str) -> Answer<ScheduleId> {
    text.parse().map_err(|_| {
        let detail = format!("scheduled provision '{}' not found", text.escape_debug());
        Refusal::new(StatusCode::NOT_FOUND, "not_found", detail, None)
    })
}

async fn seen(app: &App, id: ScheduleId) -> Answer<api::Schedule> {
    Ok(view::schedule(&app.engine.provision(id).await?))
}

async fn alter(app: &App, caller: Caller, id: ScheduleId, alteration: Alteration) -> Answer<Json<api::Schedule>> {
    Ok(Json(view::schedule(&app.engine.alter_provision(id, alteration, caller.by).await?)))
}

/// One scheduled provision.
#[utoipa::path(get, path = "/schedule/{id}", responses((status = 200, body = api::Schedule),
    (status = 409, description = "Another program has written something into its row that cannot be read.")))]
async fn show(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<api::Schedule>> {
    Ok(Json(seen(&app, id_of(&id)?).await?))
}

/// Cancels a scheduled provision. One that is being executed is stopped, if that is still possible.
#[utoipa::path(delete, path = "/schedule/{id}", responses(
    (status = 200, body = api::Schedule), (status = 409, description = "It is over.")))]
async fn cancel(State(app): State<App>, Path(id): Path<String>, caller: Caller) -> Answer<Json<api::Schedule>> {
    alter(&app, caller, id_of(&id)?, Alteration::Cancel).await
}

/// Executes a scheduled provision now, whatever its time is.
#[utoipa::path(post, path = "/schedule/{id}/execute", responses(
    (status = 202, description = "It is executed as soon as there is room.", body = api::Schedule),
    (status = 409, description = "It does not wait any more, or somebody has to approve it first.")))]
async fn execute(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
) -> Answer<(StatusCode, Json<api::Schedule>)> {
    Ok((StatusCode::ACCEPTED, alter(&app, caller, id_of(&id)?, Alteration::ExecuteNow).await?))
}

/// Tries a scheduled provision once more that failed or was cancelled. One that was rejected, or never approved, waits for
/// approval.
#[utoipa::path(post, path = "/schedule/{id}/retry", responses(
    (status = 202, description = "It is executed as soon as there is room, or once it is approved.",
        body = api::Schedule),
    (status = 409, description = "It has neither failed nor been cancelled.")))]
async fn retry(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
) -> Answer<(StatusCode, Json<api::Schedule>)> {
    Ok((StatusCode::ACCEPTED, alter(&app, caller, id_of(&id)?, Alteration::Retry).await?))
}

/// Gives a scheduled provision that waits another time.
#[utoipa::path(post, path = "/schedule/{id}/reschedule", request_body = api::Reschedule, responses(
    (status = 200, body = api::Schedule), (status = 400, description = "This is no time that it could have."),
    (status = 409, description = "It does not wait any more.")))]
async fn reschedule(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    body: Answer<Json<Map<String, Value>>>,
) -> Answer<Json<api::Schedule>> {
    let Json(body) = body.map_err(unless_in_the_way)?;
    postpone(&app, caller, id_of(&id)?, &body).await
}

/// Gives a scheduled provision that waits another time.
#[utoipa::path(patch, path = "/schedule/{id}", request_body = api::Reschedule, responses(
    (status = 200, body = api::Schedule), (status = 400, description = "This is no time that it could have."),
    (status = 409, description = "It does not wait any more.")))]
async fn change(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    body: Answer<Json<Map<String, Value>>>,
) -> Answer<Json<api::Schedule>> {
    let Json(body) = body.map_err(unless_in_the_way)?;
    postpone(&app, caller, id_of(&id)?, &body).await
}

async fn postpone(app: &App, caller: Caller, id: ScheduleId, body: &Map<String, Value>) -> Answer<Json<api::Schedule>> {
    let row = app.engine.provision(id).await?;
    let wrong = |field: &str, words: &str| refused(vec![mistake("invalid_field", field, words)]);
    let text = |field: &str| match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(wrong(field, &format!("`{field}` must be text"))),
    };
    let allow_past = match body.get(ALLOW_PAST) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(allow)) => *allow,
        Some(_) => return Err(wrong(ALLOW_PAST, "`allow_past` must be true or false")),
    };
    let Some(time) = text("schedule_time")? else {
        let missing = mistake("missing_field", "schedule_time", "`schedule_time` is missing: when it is to be done");
        return Err(refused(vec![missing]));
    };
    if let Some(field) = body.keys().find(|name| !["schedule_time", "timezone", "allow_past"].contains(&name.as_str()))
    {
        return Err(wrong(field, "only the time of a scheduled provision can be changed"));
    }
    let name = caller.by.to_string();
    let by = measure(app, &caller, &name);
    let moment = request::read_time(time, text("timezone")?, allow_past, row.wanted.timezone.as_deref(), &by);
    let moment = moment.map_err(|mistake| refused(vec![mistake]))?;
    let alteration = Alteration::Reschedule { to: moment.at, timezone: moment.zone };
    alter(app, caller, id, alteration).await
}

/// Agrees to a scheduled provision that needs it, which then shows who did and the reason.
#[utoipa::path(post, path = "/schedule/{id}/approve", request_body = api::ApprovalRequest, responses(
    (status = 200, body = api::Schedule),
    (status = 403, description = "Whoever asked for it may not approve it, or the role does not allow it."),
    (status = 409, description = "Nobody is asked to agree, or it does not wait any more.")))]
async fn approve(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    body: Answer<Json<api::ApprovalRequest>>,
) -> Answer<Json<api::Schedule>> {
    let Json(request) = body.map_err(unless_in_the_way)?;
    let (by, reason) = (caller.by.to_string(), reason(request)?);
    alter(&app, caller, id_of(&id)?, Alteration::Approve { by, reason }).await
}

/// Refuses a scheduled provision that needs somebody who agrees. It is cancelled, and shows the reason.
#[utoipa::path(post, path = "/schedule/{id}/reject", request_body = api::ApprovalRequest, responses(
    (status = 200, body = api::Schedule),
    (status = 409, description = "Nobody is asked to agree, or it does not wait any more.")))]
async fn reject(
    State(app): State<App>,
    Path(id): Path<String>,
    caller: Caller,
    body: Answer<Json<api::ApprovalRequest>>,
) -> Answer<Json<api::Schedule>> {
    let Json(request) = body.map_err(unless_in_the_way)?;
    let (by, reason) = (caller.by.to_string(), reason(request)?);
    alter(&app, caller, id_of(&id)?, Alteration::Reject { by, reason }).await
}

/// What somebody said to it, if anything.
fn reason(request: api::ApprovalRequest) -> Answer<Option<String>> {
    let said = request.reason.filter(|reason| !reason.trim().is_empty());
    let checked = said.as_deref().map_or(Ok(()), api::check_reason);
    checked.map_err(|detail| refused(vec![mistake("invalid_field", "reason", detail)]))?;
    Ok(said)
}
