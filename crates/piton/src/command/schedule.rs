//! `piton schedule …`

use std::io::Read;
use std::path::Path;

use piton_api::{ApprovalRequest, BulkAnswer, Error, Reschedule, Schedule};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{Format, ImportArgs, ImportFormat, ListSchedulesArgs, ScheduleCommand};
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, failed, usage};
use crate::session::{Purpose, Session};
use crate::{render, routes};

/// The most that the server gives at once.
const PAGE: usize = 1000;

/// Does what was asked.
pub async fn run(context: &Context, command: ScheduleCommand) -> Result<Exit, Failure> {
    match command {
        ScheduleCommand::Create { file } => create(context, &file).await,
        ScheduleCommand::Import(args) => import(context, &args).await,
        ScheduleCommand::List(filter) => list(context, &filter).await,
        ScheduleCommand::Show { id } => {
            let look = async |session: &Session| Ok(session.client().get(&routes::schedule(&id)).await?);
            one(context, look, false).await
        }
        ScheduleCommand::Cancel { id } => {
            let cancel = async |session: &Session| Ok(session.client().delete(&routes::schedule(&id)).await?);
            one(context, cancel, false).await
        }
        ScheduleCommand::Execute { id } => ask(context, &id, "execute", &json!({}), true).await,
        ScheduleCommand::Retry { id } => ask(context, &id, "retry", &json!({}), true).await,
        ScheduleCommand::Reschedule(args) => {
            let allow_past = args.allow_past.then_some(true);
            let request = Reschedule { schedule_time: args.time, timezone: args.timezone, allow_past };
            ask(context, &args.id, "reschedule", &request, true).await.map_err(in_words_of_options)
        }
        ScheduleCommand::Approve { id, reason } => {
            ask(context, &id, "approve", &ApprovalRequest { reason }, true).await
        }
        ScheduleCommand::Reject { id, reason } => ask(context, &id, "reject", &ApprovalRequest { reason }, false).await,
    }
}

/// Asks for something to be done to one of them. `waits` tells whether a daemon has to do the rest.
async fn ask(context: &Context, id: &str, verb: &str, body: &impl Serialize, waits: bool) -> Result<Exit, Failure> {
    let path = format!("{}/{verb}", routes::schedule(id));
    one(context, async |session| Ok(session.client().post(&path, body).await?), waits).await
}

/// What to try, as the command takes it and not as the API does.
fn in_words_of_options(failure: Failure) -> Failure {
    match failure {
        Failure::Problem(mut problem) if problem.code == "schedule_in_past" => {
            problem.hint = Some("`--allow-past` executes it at once".to_owned());
            Failure::Problem(problem)
        }
        other => other,
    }
}

async fn one(
    context: &Context,
    work: impl AsyncFnOnce(&Session) -> Result<Schedule, Failure>,
    waits: bool,
) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let schedule = work(session).await?;
            context.out.show(&schedule, || render::schedule::show(&schedule, &context.clock))?;
            if waits {
                remind(context, session);
            }
            Ok(Exit::Ok)
        })
        .await
}

/// Whoever schedules something without a daemon should know that nothing happens until there is one.
fn remind(context: &Context, session: &Session) {
    if session.is_local() {
        context
            .out
            .say(&format!("no daemon is running: it is executed once there is one, `{} serve`", context.piton()));
    }
}

async fn create(context: &Context, file: &Path) -> Result<Exit, Failure> {
    let bytes = read(file)?;
    let shown = file.display();
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
        usage(format!("{shown}: line {line} is not UTF-8"))
    })?;
    let document = parse(&text).map_err(|error| usage(format!("{shown}: {error}")))?;
    let Value::Array(requests) = document else {
        let create = async |session: &Session| Ok(session.client().create("/schedule", &document).await?);
        return one(context, create, true).await;
    };
    let mut lines = String::new();
    for request in &requests {
        lines.push_str(&request.to_string());
        lines.push('\n');
    }
    send(context, ImportFormat::Ndjson, lines.into_bytes(), true).await
}

async fn import(context: &Context, args: &ImportArgs) -> Result<Exit, Failure> {
    let extension = args.file.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    let format = match (args.format, extension.as_deref()) {
        (Some(format), _) => format,
        (None, Some("csv")) => ImportFormat::Csv,
        (None, Some("ndjson" | "jsonl")) => ImportFormat::Ndjson,
        (None, _) => {
            let message = format!("{}: its name does not say what it is", args.file.display());
            return Err(CommandError::new(Exit::Usage, message).hint("add `--format csv` or `--format ndjson`").into());
        }
    };
    send(context, format, read(&args.file)?, args.atomic).await
}

/// Sends lines as they are: of each that cannot be read, the server says why, and takes the others.
async fn send(context: &Context, format: ImportFormat, lines: Vec<u8>, atomic: bool) -> Result<Exit, Failure> {
    let path = routes::with_query("/schedule/bulk", &[("atomic", atomic.then(|| "true".to_owned()))]);
    let kind = match format {
        ImportFormat::Csv => "text/csv",
        ImportFormat::Ndjson => "application/x-ndjson",
    };
    context
        .with_session(Purpose::Look, async |session| {
            let answer: BulkAnswer = match session.patient_client().upload(&path, kind, lines.into()).await {
                Ok(answer) => answer,
                // The document has them all.
                Err(Error::Problem(problem))
                    if problem.code == "bulk_refused" && context.out.format != Format::Json =>
                {
                    let each = render::schedule::refused(&problem.errors);
                    let failure = Failure::Problem(problem);
                    context.out.report(&failure);
                    context.out.talk(each.trim_end());
                    return Ok(failure.exit());
                }
                Err(error) => return Err(error.into()),
            };
            context.out.show(&answer, || render::schedule::bulk(&answer))?;
            if answer.created > 0 {
                remind(context, session);
            }
            Ok(if answer.failed > 0 { Exit::Failed } else { Exit::Ok })
        })
        .await
}

async fn list(context: &Context, filter: &ListSchedulesArgs) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            let parameters = [
                ("status", filter.status.clone()),
                ("tag", filter.tag.clone()),
                ("type", filter.job_type.clone()),
                ("limit", Some(filter.limit.min(PAGE).to_string())),
            ];
            let mut schedules: Vec<Schedule> = vec![];
            let mut path = Some(routes::with_query("/schedule", &parameters));
            while let Some(part) = path.take().filter(|_| schedules.len() < filter.limit) {
                let (page, next): (Vec<Schedule>, Option<String>) = session.client().part(&part).await?;
                schedules.extend(page);
                path = next.map(|parameters| format!("/schedule?{parameters}"));
            }
            schedules.truncate(filter.limit);
            context.out.show(&schedules, || render::schedule::list(&schedules, &context.clock))?;
            Ok(Exit::Ok)
        })
        .await
}

/// Reads the file here, so that it is the caller's rights that count.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|error| failed(format!("cannot read standard input: {error}")))?;
        return Ok(bytes);
    }
    let bytes = std::fs::read(file).map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        CommandError::new(exit, format!("cannot read {}: {error}", file.display()))
    })?;
    Ok(bytes)
}

/// JSON, or YAML.
fn parse(text: &str) -> Result<Value, String> {
    let is_json = text.trim_start().starts_with(['{', '[']);
    let document = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) if is_json => return Err(error.to_string()),
        Err(_) => serde_saphyr::from_str(text).map_err(|error| error.to_string())?,
    };
    match document {
        Value::Object(_) | Value::Array(_) => Ok(document),
        _ => Err("a request is an object, or there is a list of them".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_json_or_yaml() {
        let wanted = json!({"employee": {"fullName": "Ada"}, "schedule_time": "2026-01-05T09:00:00Z"});
        assert_eq!(parse(&wanted.to_string()).unwrap(), wanted);
        let yaml = "employee:\n  fullName: Ada\nschedule_time: 2026-01-05T09:00:00Z\n";
        assert_eq!(parse(yaml).unwrap(), wanted);
        assert_eq!(parse("- a: 1\n- a: 2\n").unwrap(), json!([{"a": 1}, {"a": 2}]));
        for bad in ["", "text", "{", "[1,", "a: [", "7"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_is_read_here() {
        assert_eq!(read(Path::new("no-such-directory/x.json")).unwrap_err().exit(), Exit::NotFound);
    }
}
