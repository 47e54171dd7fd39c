//! `piton run …`

use piton_api::{ApproveRequest, CancelRequest, Explanation, LogStart, Page, Run, Skip};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::logs::{self, Part};
use crate::args::{ListArgs, RunCommand};
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure};
use crate::session::{Purpose, Session};
use crate::{ids, render, routes, watch};

/// The most that the server gives at once.
const PAGE: usize = 1000;

/// Does what was asked.
pub async fn run(context: &Context, command: RunCommand) -> Result<Exit, Failure> {
    match command {
        RunCommand::List(filter) if filter.skipped => skipped(context, &filter).await,
        RunCommand::List(filter) => list(context, &filter).await,
        RunCommand::Show { id } => show(context, &id).await,
        RunCommand::Logs { id, follow, tail } => {
            let part = Part { follow, tail };
            context
                .with_session(part.purpose(), async |session| {
                    let id = ids::resolve(session.client(), &id).await?;
                    logs::print(context, session, &id, part).await
                })
                .await
        }
        RunCommand::Approve { id, digest, detach } => approve(context, &id, digest, detach).await,
        RunCommand::Reject { id, reason } => decide(context, &id, "reject", reason).await,
        RunCommand::Cancel { id, reason } => decide(context, &id, "cancel", reason).await,
        RunCommand::Retry { id, detach } => {
            context
                .with_session(Purpose::Act, async |session| {
                    let id = ids::resolve(session.client(), &id).await?;
                    watch::submit(context, session, &format!("{}/retry", routes::run(&id)), &json!({}), detach).await
                })
                .await
        }
        RunCommand::Explain { id } => explain(context, &id).await,
    }
}

/// Since when, as the API takes it.
pub fn since(context: &Context, text: Option<&str>) -> Result<Option<String>, CommandError> {
    let since = text.map(|text| {
        context.clock.parse(text).map(|at| at.to_string()).ok_or_else(|| {
            CommandError::new(Exit::Usage, format!("'{}' is not a time", text.escape_debug()))
                .hint("such as 2026-01-31, 2026-01-31T09:00:00Z, 90m or 2d")
        })
    });
    since.transpose()
}

/// Page after page, until there are as many as `filter` wants.
async fn pages<T: DeserializeOwned>(
    session: &Session,
    route: &str,
    filter: &ListArgs,
    since: Option<String>,
) -> Result<Vec<T>, Failure> {
    let mut items: Vec<T> = vec![];
    let mut cursor = None;
    while items.len() < filter.limit {
        let path = routes::with_query(
            route,
            &[
                ("kind", filter.kind.clone()),
                ("subject", filter.subject.clone()),
                ("state", filter.state.clone()),
                ("since", since.clone()),
                ("limit", Some((filter.limit - items.len()).min(PAGE).to_string())),
                ("cursor", cursor.take()),
            ],
        );
        let page: Page<T> = session.client().get(&path).await?;
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(items)
}

async fn list(context: &Context, filter: &ListArgs) -> Result<Exit, Failure> {
    let since = since(context, filter.since.as_deref())?;
    context
        .with_session(Purpose::Look, async |session| {
            let runs: Vec<Run> = pages(session, "/runs", filter, since.clone()).await?;
            context.out.show(&runs, || render::run::list(&runs, &context.clock))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn skipped(context: &Context, filter: &ListArgs) -> Result<Exit, Failure> {
    let since = since(context, filter.since.as_deref())?;
    context
        .with_session(Purpose::Look, async |session| {
            let skips: Vec<Skip> = pages(session, "/skips", filter, since.clone()).await?;
            context.out.show(&skips, || render::skip::list(&skips, &context.clock))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn show(context: &Context, id: &str) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let id = ids::resolve(session.client(), id).await?;
            let run: Run = session.client().get(&routes::run(&id)).await?;
            context.out.show(&run, || render::run::show(&run, &context.clock, &context.piton()))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn approve(context: &Context, id: &str, digest: Option<String>, detach: bool) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Act, async |session| {
            let id = ids::resolve(session.client(), id).await?;
            // What led to the question was seen before; only what follows is new.
            let seen = if detach { LogStart::At(0) } else { logs::end(session, &id).await? };
            let request = ApproveRequest { digest };
            let run: Run = session.client().post(&format!("{}/approve", routes::run(&id)), &request).await?;
            if detach {
                context.out.show(&run, || format!("{id}\n"))?;
                return Ok(Exit::Ok);
            }
            watch::to_the_end(context, session, &id, seen).await
        })
        .await
}

async fn decide(context: &Context, id: &str, verb: &str, reason: Option<String>) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Act, async |session| {
            let id = ids::resolve(session.client(), id).await?;
            let request = CancelRequest { reason };
            let run: Run = session.client().post(&format!("{}/{verb}", routes::run(&id)), &request).await?;
            context.out.show(&run, || render::run::result(&run, &context.clock))?;
            if run.cancelling {
                context.out.say(&format!("it was asked to stop; to see it end: {} run logs -f {id}", context.piton()));
            }
            Ok(Exit::Ok)
        })
        .await
}

async fn explain(context: &Context, id: &str) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let id = ids::resolve(session.client(), id).await?;
            let explanation: Explanation = session.client().get(&format!("{}/explain", routes::run(&id))).await?;
            context.out.show(&explanation, || render::run::explain(&explanation))?;
            Ok(Exit::Ok)
        })
        .await
}
