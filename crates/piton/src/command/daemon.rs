//! `piton status`, `piton doctor`, `piton shutdown`

use std::path::Path;
use std::time::Duration;

use piton_api::{Diagnostic, Error, Overview};
use piton_tools::Manager;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::access::{self, Protection};
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure};
use crate::pause::pause;
use crate::place::Place;
use crate::render;
use crate::session::Purpose;
use crate::wiring::{self, DataLock, LockRefused};

/// How often it is looked whether the daemon is gone.
const PAUSE: Duration = Duration::from_millis(100);

/// Everything on one page.
pub async fn status(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let overview: Overview = session.client().get("/overview").await?;
            context.out.show(&overview, || render::overview::page(&overview, &context.clock))?;
            if session.is_first() {
                let data = &overview.data_directory;
                context.out.say(&format!("there is no {data} yet: no daemon has been there, and none was started now"));
            }
            Ok(Exit::Ok)
        })
        .await
}

/// What the auditor answers.
#[derive(Debug, Deserialize)]
struct Audit {
    ledger_head: i64,
    violations: Vec<String>,
    database: Vec<String>,
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
struct Checkup {
    healthy: bool,
    ledger_head: i64,
    violations: Vec<String>,
    database: Vec<String>,
    declarations: Vec<Diagnostic>,
    /// Those of this machine; none are known of a server elsewhere.
    tools: Option<Vec<String>>,
    tool_problems: Vec<String>,
    /// Whether deployed code is kept from what Piton keeps; not known of a server elsewhere.
    confinement: Option<Protection>,
}

/// Audits the ledger, the database, the declarations and the tools.
pub async fn doctor(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let audit: Audit = session.client().get("/doctor").await?;
            let overview: Overview = session.client().get("/overview").await?;
            let (tools, tool_problems, confinement) = if session.is_elsewhere() {
                (None, vec![], None)
            } else {
                let mut place = Place::resolve(&context.global)?;
                // That of whoever answers, should it be another one.
                place.data_dir = session.data_dir().map_or(place.data_dir, Path::to_owned);
                let (tools, problems) = tools(&place).await?;
                (Some(tools), problems, Some(access::protection(&place)))
            };
            let broken = overview.diagnostics.iter().any(|found| found.severity == "error");
            let checkup = Checkup {
                healthy: audit.violations.is_empty()
                    && audit.database.is_empty()
                    && !broken
                    && tool_problems.is_empty(),
                ledger_head: audit.ledger_head,
                violations: audit.violations,
                database: audit.database,
                declarations: overview.diagnostics,
                tools,
                tool_problems,
                confinement,
            };
            context.out.show(&checkup, || text(&checkup))?;
            Ok(if checkup.healthy { Exit::Ok } else { Exit::Failed })
        })
        .await
}

/// The tools that work, and what is wrong with the others. None at all is fine: they are downloaded when needed.
async fn tools(place: &Place) -> Result<(Vec<String>, Vec<String>), Failure> {
    let manager = Manager::new(wiring::tools_config(place)?);
    Ok(match manager.list().await {
        Ok(inventory) => (
            inventory
                .installed
                .iter()
                .map(|it| format!("{} {} ({})", it.tool, it.version, it.path.display()))
                .collect(),
            inventory.broken.iter().map(|it| format!("{}: {}", it.path.display(), it.reason)).collect(),
        ),
        Err(error) => (vec![], vec![error.to_string()]),
    })
}

fn text(checkup: &Checkup) -> String {
    let mut lines = vec![];
    let mut section = |title: &str, found: Vec<String>| {
        if found.is_empty() {
            lines.push(format!("{title}: ok"));
        } else {
            lines.push(format!("{title}:"));
            lines.extend(found.iter().map(|line| format!("  - {}", line.trim_end().replace('\n', "\n    "))));
        }
    };
    section(&format!("Ledger ({} entries)", checkup.ledger_head), checkup.violations.clone());
    section("Database", checkup.database.clone());
    section("Declarations", checkup.declarations.iter().map(render::overview::diagnostic).collect());
    if let Some(tools) = &checkup.tools {
        section("Tools", checkup.tool_problems.clone());
        lines.extend(tools.iter().map(|tool| format!("  {tool}")));
        if tools.is_empty() {
            lines.push("  none installed; OpenTofu is downloaded when it is needed".to_owned());
        }
    }
    if let Some(protection) = &checkup.confinement {
        lines.push(format!("Confinement: {}", protection.detail));
    }
    lines.push(if checkup.healthy { "Everything is well.".to_owned() } else { "Something is wrong.".to_owned() });
    lines.join("\n") + "\n"
}

/// Lets the daemon finish what it does, then stops it.
pub async fn shutdown(context: &Context) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            if session.is_local() {
                let place = session.data_dir().map(|data| format!(": none has {}", data.display()));
                let message = format!("no daemon is running here{}", place.unwrap_or_default());
                let hint = "`--dir` names its directory; it goes on with the `data.dir` that it began with";
                return Err(CommandError::new(Exit::Unreachable, message).hint(hint).into());
            }
            let client = session.client();
            let answer: Value = client.post("/shutdown", &json!({})).await?;
            let running = answer["draining"].as_u64().unwrap_or_default();
            if running > 0 {
                context.out.say(&format!("waiting for {running} runs to end; Ctrl-C stops waiting, not the shutdown"));
            }
            if let Some(data_dir) = session.data_dir() {
                // The lock of the data directory is the last thing that goes: whoever copies the directory now copies
                // a closed database.
                while let Err(LockRefused::Held { .. }) = DataLock::take(data_dir, "piton shutdown") {
                    pause(PAUSE).await;
                }
            } else {
                let health = client.at_root();
                while health.get::<Value>("/health").await.map_or_else(|error| is_answer(&error), |_| true) {
                    pause(PAUSE).await;
                }
            }
            context.out.show(&json!({ "stopped": true }), || "piton has stopped\n".to_owned())?;
            Ok(Exit::Ok)
        })
        .await
}

/// Whether a server that is asked for its health still runs: it says something, or is too busy to.
fn is_answer(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::Broken(_) | Error::Tls { .. } => false,
        // A proxy speaks in its place.
        Error::Status { status, .. } => !(502..=504).contains(status),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkup() -> Checkup {
        Checkup {
            healthy: true,
            ledger_head: 12,
            violations: vec![],
            database: vec![],
            declarations: vec![],
            tools: Some(vec!["tofu 1.10.0 (/usr/bin/tofu)".to_owned()]),
            tool_problems: vec![],
            confinement: Some(Protection { confined: true, detail: "deployed code is confined".to_owned() }),
        }
    }

    #[test]
    fn a_checkup_in_words() {
        let wanted = "\
Ledger (12 entries): ok
Database: ok
Declarations: ok
Tools: ok
  tofu 1.10.0 (/usr/bin/tofu)
Confinement: deployed code is confined
Everything is well.
";
        assert_eq!(text(&checkup()), wanted);
        let sick = Checkup { healthy: false, violations: vec!["run x ended twice".to_owned()], ..checkup() };
        let text = text(&sick);
        assert!(text.starts_with("Ledger (12 entries):\n  - run x ended twice\n"), "{text}");
        assert!(text.ends_with("Something is wrong.\n"), "{text}");
        let elsewhere = super::text(&Checkup { tools: None, ..checkup() });
        assert!(!elsewhere.contains("ools"), "{elsewhere}");
    }
}
