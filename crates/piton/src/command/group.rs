//! `piton group …`

use std::collections::BTreeMap;

use piton_api::{Done, ProcessGroup, ProcessStatus};
use serde_json::json;

use crate::args::{GroupCommand, WhichGroup};
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::session::Purpose;
use crate::{render, routes};

/// Does what was asked.
pub async fn run(context: &Context, command: GroupCommand) -> Result<Exit, Failure> {
    match command {
        GroupCommand::List => list(context).await,
        GroupCommand::Status { group } => status(context, &group).await,
        GroupCommand::Start { group } => act(context, &group, "start", None, "started").await,
        GroupCommand::Stop { group, wait } => act(context, &group, "stop", wait, "stopped").await,
        GroupCommand::Restart { group, wait } => act(context, &group, "restart", wait, "restarted").await,
    }
}

async fn list(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let groups: Vec<ProcessGroup> = session.client().get("/groups").await?;
            context.out.show(&groups, || render::process::groups(&groups))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn status(context: &Context, group: &WhichGroup) -> Result<Exit, Failure> {
    let path = routes::with_query("/group/status", &[("group", Some(group.name().to_owned()))]);
    context
        .with_session(Purpose::Look, async |session| {
            let members: BTreeMap<String, Vec<ProcessStatus>> = session.client().get(&path).await?;
            context.out.show(&members, || {
                let instances: Vec<ProcessStatus> = members.values().flatten().cloned().collect();
                render::process::table(&instances, context.clock.now, context.out.width())
            })?;
            Ok(Exit::Ok)
        })
        .await
}

async fn act(
    context: &Context,
    group: &WhichGroup,
    verb: &str,
    wait: Option<String>,
    done: &str,
) -> Result<Exit, Failure> {
    let parameters = [("group", Some(group.name().to_owned())), ("wait", wait)];
    let path = routes::with_query(&format!("/group/{verb}"), &parameters);
    context
        .with_session(Purpose::Look, async |session| {
            let answer: Done = session.patient_client().post(&path, &json!({})).await?;
            context.out.show(&answer, || format!("Group '{}' {done}\n", group.name()))?;
            Ok(Exit::Ok)
        })
        .await
}
