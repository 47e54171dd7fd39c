//! Registered templates.

use axum::extract::State;
use axum::http::StatusCode;
use piton_api as api;
use piton_exec::templates::{Error, Origin, Registered, Severity, Update};
use piton_model::{Act, Name};
use piton_tools::Preference;
use serde::Deserialize;

use crate::caller::Caller;
use crate::extract::{Json, Path, Query};
use crate::problem::{Answer, Refusal};
use crate::processes::{self, Called, Sample};
use crate::route::{Permission, Table, routes};
use crate::state::App;
use crate::window::Window;

pub(crate) fn routes() -> Table {
    Table::new()
        .at(Permission::Read, routes!(list))
        .creating(Permission::Administer, routes!(add))
        .at(Permission::Read, routes!(show))
        .at(Permission::Administer, routes!(remove))
        .at(Permission::Administer, routes!(update))
        .at(Permission::Operate, routes!(validate))
}

fn view(app: &App, registered: Registered, files: Vec<String>) -> api::Template {
    let users = app.engine.loaded().catalog.users_of(&registered.name);
    api::Template {
        name: registered.name.to_string(),
        source_url: registered.shown_url(),
        source_path: registered.source_path,
        source_ref: registered.source_ref,
        description: registered.description,
        created_at: Some(registered.created_at),
        updated_at: Some(registered.updated_at),
        content_hash: registered.content_hash,
        version: registered.version,
        files,
        used_by: users.iter().map(ToString::to_string).collect(),
    }
}

/// All templates.
#[utoipa::path(get, path = "/templates", params(Window), responses((status = 200, body = api::Page<api::Template>)))]
async fn list(State(app): State<App>, Query(window): Query<Window>) -> Answer<Json<api::Page<api::Template>>> {
    let templates = app.templates.list().await?;
    let items = templates.into_iter().map(|template| view(&app, template, vec![])).collect();
    window.of(items, |template: &api::Template| &template.name).map(Json)
}

/// One template, with its files; under the name of a kind of process, where no template has that name, a declaration to
/// begin with.
#[utoipa::path(get, path = "/templates/{name}", params(Called), responses((status = 200, body = Sample), (status = 400, description = "It is no name for a process."), (status = 409, description = "Its files are gone."), (status = 422, description = "It is no name, or its files are not to be used.")))]
async fn show(State(app): State<App>, Path(name): Path<String>, Query(called): Query<Called>) -> Answer<Json<Sample>> {
    let details = match app.templates.show(&named(&name)?).await {
        Err(unknown @ Error::Unknown { .. }) => {
            let sample = processes::sample(&name, called.name.as_deref())?;
            return sample.map(|sample| Json(Sample::Declaration(sample))).ok_or(unknown.into());
        }
        details => details?,
    };
    let files = details.files.iter().map(|file| file.display().to_string()).collect();
    Ok(Json(Sample::Registered(Box::new(view(&app, details.registered, files)))))
}

/// Fetches and registers a template.
#[utoipa::path(post, path = "/templates", responses((status = 201, body = api::Template), (status = 409, description = "The name is taken.")))]
async fn add(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<api::NewTemplate>,
) -> Answer<(StatusCode, Json<api::Template>)> {
    let given = |text: String| (!text.is_empty()).then_some(text);
    let origin = Origin { url: new.url, path: given(new.path), reference: given(new.reference) };
    let now = app.engine.clock().now();
    let registered = app.templates.add(&named(&new.name)?, &origin, &new.description, now).await?;
    app.auth.note(caller.deed(Act::TemplateAdded).to(&new.name)).await;
    app.reload.now().await;
    Ok((StatusCode::CREATED, Json(view(&app, registered, vec![]))))
}

/// Fetches a template again.
#[utoipa::path(post, path = "/templates/{name}/update", responses((status = 200, body = api::TemplateUpdate), (status = 409, description = "Something is in the way, such as a run."), (status = 422, description = "It cannot be fetched.")))]
async fn update(State(app): State<App>, Path(name): Path<String>, caller: Caller) -> Answer<Json<api::TemplateUpdate>> {
    let update = app.templates.update(&named(&name)?, app.engine.clock().now()).await?;
    let (changed, registered) = match update {
        Update::Unchanged(registered) => (false, registered),
        Update::Changed { after, .. } => (true, after),
    };
    if changed {
        app.auth.note(caller.deed(Act::TemplateUpdated).to(&name)).await;
        app.reload.now().await;
    }
    let users = app.engine.loaded().catalog.users_of(&registered.name);
    Ok(Json(api::TemplateUpdate {
        name,
        changed,
        content_hash: registered.content_hash,
        used_by: users.iter().map(ToString::to_string).collect(),
    }))
}

/// Looks whether a template can be used.
#[utoipa::path(post, path = "/templates/{name}/validate", responses((status = 200, body = api::Validation), (status = 409, description = "Something is in the way, such as a run."), (status = 422, description = "It cannot be looked at.")))]
async fn validate(State(app): State<App>, Path(name): Path<String>) -> Answer<Json<api::Validation>> {
    let template = named(&name)?;
    // Looked for before the tool is, which would find no directory.
    app.templates.show(&template).await?;
    let directory = app.templates.path(&template);
    let tool = app.tools.resolve(&Preference::default(), &directory, |_| {}).await.map_err(|error| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), error.to_string(), Some(error.hint()))
    })?;
    let validation = app.templates.validate(&template, &tool).await?;
    let findings = validation.diagnostics.into_iter().map(|found| api::ValidationFinding {
        severity: match found.severity {
            Severity::Error => "error".to_owned(),
            Severity::Warning => "warning".to_owned(),
        },
        message: if found.detail.is_empty() { found.summary } else { format!("{}: {}", found.summary, found.detail) },
        file: found.file,
        line: found.line,
    });
    Ok(Json(api::Validation { name, valid: validation.valid, findings: findings.collect() }))
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Removal {
    /// Even if something is made from it.
    #[serde(default)]
    force: bool,
}

/// Removes a template.
#[utoipa::path(delete, path = "/templates/{name}", params(Removal), responses((status = 200, description = "The template as it was.", body = api::Template), (status = 409, description = "Something is made from it."), (status = 422, description = "It is no name.")))]
async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(removal): Query<Removal>,
    caller: Caller,
) -> Answer<Json<api::Template>> {
    let template = named(&name)?;
    let users = app.engine.loaded().catalog.users_of(&template);
    if !users.is_empty() && !removal.force {
        let users: Vec<String> = users.iter().map(ToString::to_string).collect();
        let detail = format!("template '{name}' is used by {}", users.join(", "));
        let hint = Some("`--force` removes it all the same; what is deployed stays as it is".to_owned());
        return Err(Refusal::new(StatusCode::CONFLICT, "template_in_use", detail, hint));
    }
    let removed = app.templates.remove(&template).await?;
    app.auth.note(caller.deed(Act::TemplateRemoved).to(&name)).await;
    app.reload.now().await;
    Ok(Json(view(&app, removed, vec![])))
}

fn named(name: &str) -> Answer<Name> {
    Ok(Name::parse(name).map_err(piton_engine::Error::from)?)
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let status = match &error {
            Error::Unknown { .. } => StatusCode::NOT_FOUND,
            Error::NameTaken { .. } | Error::FilesMissing { .. } => StatusCode::CONFLICT,
            Error::PathNotFound { .. } | Error::Tree(_) | Error::TreeOf { .. } | Error::Git(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Error::Registry { .. } | Error::Tool { .. } | Error::Io { .. } | Error::Internal { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Refusal::new(status, error.code(), error.to_string(), error.hint())
    }
}
