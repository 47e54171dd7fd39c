//! `piton workspace …`

use std::collections::BTreeMap;

use piton_api::{DeployRequest, ModeRequest, Output, Page, Upcoming, Workspace};
use serde_json::json;

use super::logs::{self, Part};
use crate::args::WorkspaceCommand;
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure};
use crate::output::Voice;
use crate::session::{Purpose, Session};
use crate::{prompt, render, routes, watch};

/// Does what was asked.
pub async fn run(context: &Context, command: WorkspaceCommand) -> Result<Exit, Failure> {
    match command {
        WorkspaceCommand::List { detailed: false } => list(context).await,
        WorkspaceCommand::List { detailed: true } => list_detailed(context).await,
        WorkspaceCommand::Status { name: None } => statuses(context).await,
        WorkspaceCommand::Status { name: Some(name) } => status(context, &name).await,
        WorkspaceCommand::Deploy { name, mode, detach } => deploy(context, &name, "deploy", mode, detach).await,
        WorkspaceCommand::Plan { name, mode, detach } => deploy(context, &name, "plan", mode, detach).await,
        WorkspaceCommand::Mode { name, mode, detach } => {
            let path = format!("{}/mode", routes::workspace(&name));
            let request = ModeRequest { mode };
            context
                .with_session(Purpose::Act, async |session| {
                    watch::submit(context, session, &path, &request, detach).await
                })
                .await
        }
        WorkspaceCommand::Destroy { name, yes, detach } => destroy(context, &name, yes, detach).await,
        WorkspaceCommand::Logs { name, follow, tail } => log(context, &name, follow, tail).await,
        WorkspaceCommand::Outputs { name } => outputs(context, &name).await,
        WorkspaceCommand::Next { name, count } => next(context, &name, count).await,
    }
}

async fn all(session: &Session) -> Result<Vec<Workspace>, Failure> {
    let page: Page<Workspace> = session.client().get("/workspaces").await?;
    Ok(page.items)
}

async fn one(session: &Session, name: &str) -> Result<Workspace, Failure> {
    Ok(session.client().get(&routes::workspace(name)).await?)
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let workspaces = all(session).await?;
            context
                .out
                .show(&workspaces, || render::workspace::list(&workspaces, context.out.voice, context.out.width()))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn statuses(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let workspaces = all(session).await?;
            let text =
                || render::workspace::statuses(&workspaces, &context.clock, context.out.voice, context.out.width());
            context.out.show(&workspaces, text)?;
            Ok(Exit::Ok)
        })
        .await
}

async fn status(context: &Context, name: &str) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let workspace = one(session, name).await?;
            let text = || render::workspace::status(&workspace, &context.clock, context.out.voice);
            context.out.show(&workspace, text)?;
            Ok(Exit::Ok)
        })
        .await
}

async fn list_detailed(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let workspaces = all(session).await?;
            context.out.show(&workspaces, || {
                if workspaces.is_empty() {
                    return render::workspace::list(&workspaces, context.out.voice, context.out.width());
                }
                let texts =
                    workspaces.iter().map(|it| render::workspace::status(it, &context.clock, context.out.voice));
                texts.collect::<Vec<_>>().join("\n")
            })?;
            Ok(Exit::Ok)
        })
        .await
}

async fn deploy(
    context: &Context,
    name: &str,
    verb: &str,
    mode: Option<String>,
    detach: bool,
) -> Result<Exit, Failure> {
    let path = format!("{}/{verb}", routes::workspace(name));
    context
        .with_session(Purpose::Act, async |session| {
            let mode = match mode {
                None if context.out.is_interactive() => choose_mode(context, session, name).await?,
                given => given,
            };
            watch::submit(context, session, &path, &DeployRequest { mode }, detach).await
        })
        .await
}

/// Asks for the mode, where there is one to choose.
async fn choose_mode(context: &Context, session: &Session, name: &str) -> Result<Option<String>, Failure> {
    let workspace = one(session, name).await?;
    if workspace.modes.is_empty() {
        return Ok(None);
    }
    let heading = "Workspace uses mode-based scheduling. Select deployment mode:";
    prompt::choose(&context.out, heading, &workspace.modes).map(Some)
}

async fn destroy(context: &Context, name: &str, yes: bool, detach: bool) -> Result<Exit, Failure> {
    let path = format!("{}/destroy", routes::workspace(name));
    context
        .with_session(Purpose::Act, async |session| {
            if !yes && context.out.is_interactive() && context.out.voice == Voice::Piton {
                // A name that does not exist is not worth a question.
                let workspace = one(session, name).await?;
                context
                    .out
                    .talk(&format!("This destroys everything that workspace '{}' has deployed.", workspace.name));
                if !prompt::confirm(&context.out, "Type its name to go on: ", &workspace.name)? {
                    return Err(
                        CommandError::new(Exit::Failed, "nothing was destroyed: the name does not match").into()
                    );
                }
            }
            watch::submit(context, session, &path, &json!({}), detach).await
        })
        .await
}

async fn log(context: &Context, name: &str, follow: bool, tail: Option<usize>) -> Result<Exit, Failure> {
    let mut part = Part { follow, tail };
    context
        .with_session(part.purpose(), async |session| {
            let workspace = one(session, name).await?;
            let Some(run) = workspace.active_run.as_ref().or(workspace.last_run.as_ref()) else {
                let error = CommandError::new(Exit::NotFound, format!("workspace '{name}' has no runs yet"));
                return Err(error.hint(format!("piton workspace deploy {name}")).into());
            };
            if context.out.voice == Voice::Scheduler {
                let file = workspace.log_file.as_deref().unwrap_or("None");
                context.out.text(&format!("=== Recent logs for workspace '{name}' ===\nLog file: {file}\n\n"))?;
                part.tail = part.tail.or(Some(logs::RECENT));
            }
            logs::print(context, session, run, part).await
        })
        .await
}

async fn outputs(context: &Context, name: &str) -> Result<Exit, Failure> {
    let path = format!("{}/outputs", routes::workspace(name));
    context
        .with_session(Purpose::Look, async |session| {
            let outputs: BTreeMap<String, Output> = session.client().get(&path).await?;
            context.out.show(&outputs, || render::workspace::outputs(&outputs))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn next(context: &Context, name: &str, count: u16) -> Result<Exit, Failure> {
    let path = routes::with_query(&format!("{}/next", routes::workspace(name)), &[("n", Some(count.to_string()))]);
    context
        .with_session(Purpose::Look, async |session| {
            let upcoming: Vec<Upcoming> = session.client().get(&path).await?;
            context.out.show(&upcoming, || render::workspace::next(&upcoming, &context.clock))?;
            Ok(Exit::Ok)
        })
        .await
}
