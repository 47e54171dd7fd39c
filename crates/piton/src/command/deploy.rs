//! `piton deploy …`

mod order;

use piton_api::{
    ApproveRequest, CancelRequest, Client, DeploymentAnswer, DeploymentStarted, DeploymentStatus, DeploymentSummary,
    LogStart, Page,
};
use serde::Serialize;

use super::logs::{self, Part};
use super::run::since;
use crate::args::{DeployArgs, DeployCommand};
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::session::{Purpose, Session};
use crate::watch::{self, Seen};
use crate::{ids, render, routes};

/// The most that the server gives at once.
const PAGE: usize = 1000;

/// Does what was asked.
pub async fn run(context: &Context, command: DeployCommand) -> Result<Exit, Failure> {
    match command {
        DeployCommand::Run(args) => start(context, &args).await,
        DeployCommand::Status { id } => status(context, &id).await,
        DeployCommand::Logs { id, follow, tail } => {
            let part = Part { follow, tail };
            context
                .with_session(part.purpose(), async |session| {
                    let id = known(session, &id).await?;
                    logs::print(context, session, &id, part).await
                })
                .await
        }
        DeployCommand::Approve { id, digest, detach } => approve(context, &id, digest, detach).await,
        DeployCommand::Reject { id, reason } => decide(context, &id, "reject", &CancelRequest { reason }).await,
        DeployCommand::Cancel { id, reason } => decide(context, &id, "cancel", &CancelRequest { reason }).await,
        DeployCommand::List { status, since, limit } => list(context, status, since.as_deref(), limit).await,
    }
}

/// Deployments are at the root, where the runner's clients look for them.
fn runner(session: &Session) -> Client {
    session.client().at_root()
}

/// The id of a deployment, from an abbreviation.
async fn known(session: &Session, text: &str) -> Result<String, Failure> {
    let id = ids::resolve(session.client(), text).await?;
    // The id of another run is none of a deployment.
    let _: DeploymentStatus = runner(session).get(&routes::deployment(&id, "status")).await?;
    Ok(id)
}

async fn start(context: &Context, args: &DeployArgs) -> Result<Exit, Failure> {
    let order = order::order(context, args)?;
    context
        .with_session(Purpose::Act, async |session| {
            let started: DeploymentStarted = runner(session).create("/deploy", &order).await?;
            for warning in &started.warnings {
                context.out.say(&format!("warning: {warning}"));
            }
            let id = &started.deployment_id;
            if args.detach {
                return watch::leave(context, session, &started, id);
            }
            if started.position > 0 {
                context.out.say(&format!("{} deployments will begin before this one", started.position));
            }
            to_the_end(context, session, id, LogStart::At(0)).await
        })
        .await
}

/// Follows a deployment, and prints how it came out.
async fn to_the_end(context: &Context, session: &Session, id: &str, from: LogStart) -> Result<Exit, Failure> {
    match watch::follow(context, session, id, from).await? {
        Seen::Left => Ok(Exit::Interrupted),
        Seen::Settled(run) if context.out.is_table() => watch::conclude(context, &run),
        Seen::Settled(run) => {
            let status: DeploymentStatus = runner(session).get(&routes::deployment(id, "status")).await?;
            context.out.show(&status, String::new)?;
            Ok(Exit::of_run(&run.state, run.outcome.as_deref()))
        }
    }
}

async fn status(context: &Context, id: &str) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let id = ids::resolve(session.client(), id).await?;
            let status: DeploymentStatus = runner(session).get(&routes::deployment(&id, "status")).await?;
            context.out.show(&status, || render::deploy::status(&status, &context.clock, &context.piton()))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn approve(context: &Context, id: &str, digest: Option<String>, detach: bool) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Act, async |session| {
            let id = known(session, id).await?;
            // What led to the question was seen before; only what follows is new.
            let seen = if detach { LogStart::At(0) } else { logs::end(session, &id).await? };
            let request = ApproveRequest { digest };
            let path = routes::deployment(&id, "approve");
            let answer: DeploymentAnswer = runner(session).post(&path, &request).await?;
            if detach {
                context.out.show(&answer, || format!("{}\n", answer.message))?;
                return Ok(Exit::Ok);
            }
            to_the_end(context, session, &id, seen).await
        })
        .await
}

async fn decide(context: &Context, id: &str, verb: &str, request: &impl Serialize) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Act, async |session| {
            let id = ids::resolve(session.client(), id).await?;
            let answer: DeploymentAnswer = runner(session).post(&routes::deployment(&id, verb), request).await?;
            context.out.show(&answer, || format!("{}\n", answer.message))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn list(context: &Context, status: Option<String>, from: Option<&str>, limit: usize) -> Result<Exit, Failure> {
    let since = since(context, from)?;
    context
        .with_session(Purpose::Look, async |session| {
            let mut found: Vec<DeploymentSummary> = vec![];
            let mut cursor = None;
            while found.len() < limit {
                let path = routes::with_query(
                    "/deploy",
                    &[
                        ("status", status.clone()),
                        ("since", since.clone()),
                        ("limit", Some((limit - found.len()).min(PAGE).to_string())),
                        ("cursor", cursor.take()),
                    ],
                );
                let page: Page<DeploymentSummary> = runner(session).get(&path).await?;
                found.extend(page.items);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            context.out.show(&found, || render::deploy::list(&found, &context.clock))?;
            Ok(Exit::Ok)
        })
        .await
}
