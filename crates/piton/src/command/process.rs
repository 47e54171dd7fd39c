//! `piton process …`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use piton_api::{LogItem, LogStart, Page, ProcessLog, ProcessStatus, ProcessesDone};
use piton_spec::provisr::{self, Kind};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::args::{LogsArgs, ManyArgs, ProcessCommand, RegisterArgs, RestartArgs, StopArgs, WhichArgs};
use crate::clock::Clock;
use crate::context::{Context, Sessions};
use crate::error::{CommandError, Exit, Failure, failed, usage};
use crate::pause::pause;
use crate::session::{Purpose, Session};
use crate::{render, routes};

/// How often a watched table is drawn again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a daemon that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// Does what was asked.
pub async fn run(context: &Context, command: ProcessCommand) -> Result<Exit, Failure> {
    match command {
        ProcessCommand::List(args) => list(context, &args).await,
        ProcessCommand::Register(args) => register(context, spec(&args)?).await,
        ProcessCommand::RegisterFile { file } => register(context, read(&file)?).await,
        ProcessCommand::Unregister(args) => unregister(context, &args).await,
        ProcessCommand::Start(which) => act(context, "/start", &which, [], "started").await,
        ProcessCommand::Stop(StopArgs { which, wait }) => {
            act(context, "/stop", &which, [("wait", wait)], "stopped").await
        }
        ProcessCommand::Restart(RestartArgs { stop: StopArgs { which, wait }, rolling }) => {
            let manner = [("wait", wait), ("rolling", rolling.then(|| "true".to_owned()))];
            act(context, "/restart", &which, manner, "restarted").await
        }
        ProcessCommand::Status(args) => status(context, &args).await,
        ProcessCommand::Logs(args) => logs(context, &args).await,
        ProcessCommand::Scale { name, instances } => scale(context, &name, instances).await,
    }
}

async fn all(session: &Session, which: &WhichArgs) -> Result<Vec<ProcessStatus>, Failure> {
    let path = routes::with_query("/processes", &which.parameters());
    let page: Page<ProcessStatus> = session.client().get(&path).await?;
    Ok(page.items)
}

async fn list(context: &Context, args: &ManyArgs) -> Result<Exit, Failure> {
    context
        .with_session(Purpose::Look, async |session| {
            if args.watch {
                return watch(context, session, &args.which()).await;
            }
            let found = all(session, &args.which()).await?;
            context.out.show(&found, || render::process::table(&found, context.clock.now, context.out.width()))?;
            Ok(Exit::Ok)
        })
        .await
}

/// Draws the table again and again, until Ctrl-C.
async fn watch(context: &Context, session: &Session, which: &WhichArgs) -> Result<Exit, Failure> {
    let interrupts = signal(SignalKind::interrupt());
    let mut interrupts = interrupts.map_err(|error| failed(format!("cannot listen for Ctrl-C: {error}")))?;
    let mut ticks = tokio::time::interval(AGAIN);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = interrupts.recv() => return Ok(Exit::Ok),
        }
        let found = all(session, which).await?;
        let now = Clock::system().now;
        if context.out.is_table() {
            crate::output::raw(context.out.clear_screen().as_bytes())?;
        }
        context.out.show(&found, || render::process::table(&found, now, context.out.width()))?;
    }
}

async fn status(context: &Context, args: &ManyArgs) -> Result<Exit, Failure> {
    let which = args.which();
    let is_one = which.given.is_some() || which.name.is_some();
    if args.watch || !is_one {
        return list(context, args).await;
    }
    context
        .with_session(Purpose::Look, async |session| {
            let found = all(session, &which).await?;
            show(context, &found, || match found.as_slice() {
                [one] => render::process::status(one, &context.clock),
                several => render::process::table(several, context.clock.now, context.out.width()),
            })?;
            Ok(Exit::Ok)
        })
        .await
}

/// For programs: a list, or in the manner of provisr the one thing that was named.
fn show(context: &Context, found: &[ProcessStatus], text: impl FnOnce() -> String) -> Result<(), Failure> {
    match found {
        [one] if context.sessions == Sessions::Provisr => context.out.show(one, text),
        found => context.out.show(&found, text),
    }
}

async fn act(
    context: &Context,
    path: &str,
    which: &WhichArgs,
    manner: impl IntoIterator<Item = (&'static str, Option<String>)>,
    verb: &str,
) -> Result<Exit, Failure> {
    let mut parameters = which.parameters().to_vec();
    parameters.extend(manner);
    let path = routes::with_query(path, &parameters);
    context
        .with_session(Purpose::Look, async |session| {
            let done: ProcessesDone = session.patient_client().post(&path, &json!({})).await?;
            show(context, &done.processes, || sentences(&done.processes, which, verb))?;
            Ok(Exit::Ok)
        })
        .await
}

fn sentences(instances: &[ProcessStatus], which: &WhichArgs, verb: &str) -> String {
    if instances.is_empty() {
        return format!("Nothing fits '{}'\n", which.shown());
    }
    let mut text = String::new();
    for instance in instances {
        let pid = if instance.pid == 0 { String::new() } else { format!(", process {}", instance.pid) };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "Process '{}' {verb}{pid}", instance.name);
    }
    text
}

/// The declaration that the options are.
fn spec(args: &RegisterArgs) -> Result<Value, Failure> {
    let mut spec = Map::new();
    spec.insert("name".to_owned(), json!(args.name));
    spec.insert("command".to_owned(), json!(args.command));
    let absolute = |path: &std::path::Path| -> Result<Value, Failure> {
        let path = std::path::absolute(path).map_err(|error| usage(format!("{}: {error}", path.display())))?;
        // Without a slash at its end, but for the one that is all of it.
        let path: PathBuf = path.components().collect();
        let text = path.to_str().ok_or_else(|| usage(format!("{} is no text", path.display())))?;
        Ok(json!(text))
    };
    if let Some(work_dir) = &args.work_dir {
        spec.insert("work_dir".to_owned(), absolute(work_dir)?);
    }
    if let Some(log_dir) = &args.log_dir {
        spec.insert("log".to_owned(), json!({ "file": { "dir": absolute(log_dir)? } }));
    }
    if let Some(bad) = args.env.iter().find(|variable| !variable.contains('=')) {
        return Err(usage(format!("`--env {bad}`: expected KEY=VALUE")));
    }
    if !args.env.is_empty() {
        spec.insert("env".to_owned(), json!(args.env));
    }
    if let Some(instances) = args.instances {
        // As a number, 0 is what nobody said.
        let number = if instances == 0 { json!("0") } else { json!(instances) };
        spec.insert("instances".to_owned(), number);
    }
    if args.auto_restart {
        spec.insert("auto_restart".to_owned(), json!(true));
    }
    Ok(Value::Object(spec))
}

/// The declaration in a file: the spec itself, or what a program file holds.
fn read(file: &std::path::Path) -> Result<Value, Failure> {
    let text = std::fs::read(file).map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Usage };
        CommandError::new(exit, format!("cannot read {}: {error}", file.display()))
    })?;
    match provisr::read_declaration(file, text).map_err(|found| usage(found.to_string()))? {
        (Some(Kind::Process), spec) => Ok(spec),
        (Some(kind), _) => Err(usage(format!("{}: this declares a {}, not a process", file.display(), kind.as_str()))),
        // A member `type` that names nothing known is for the server to refuse.
        (None, spec) if spec.is_object() => Ok(spec),
        (None, _) => Err(usage(format!("{}: a process is an object", file.display()))),
    }
}

async fn register(context: &Context, spec: Value) -> Result<Exit, Failure> {
    let name = spec["name"].as_str().unwrap_or_default().to_owned();
    context
        .with_session(Purpose::Look, async |session| {
            let done: ProcessesDone = session.patient_client().create("/register", &spec).await?;
            context.out.show(&done, || format!("Process '{name}' registered\n"))?;
            if session.is_local() {
                context.out.say("no daemon is running; `piton serve` starts it");
            }
            Ok(Exit::Ok)
        })
        .await
}

async fn unregister(context: &Context, args: &StopArgs) -> Result<Exit, Failure> {
    let mut parameters = args.which.parameters().to_vec();
    parameters.push(("wait", args.wait.clone()));
    let path = routes::with_query("/unregister", &parameters);
    context
        .with_session(Purpose::Look, async |session| {
            let done: ProcessesDone = session.patient_client().post(&path, &json!({})).await?;
            context.out.show(&done, || format!("Process '{}' unregistered\n", args.which.shown()))?;
            Ok(Exit::Ok)
        })
        .await
}

async fn scale(context: &Context, name: &str, instances: u32) -> Result<Exit, Failure> {
    let path = format!("/processes/{}/scale", routes::segment(name));
    context
        .with_session(Purpose::Look, async |session| {
            let wanted = json!({ "instances": instances });
            let done: ProcessesDone = session.patient_client().post(&path, &wanted).await?;
            show(context, &done.processes, || {
                render::process::table(&done.processes, context.clock.now, context.out.width())
            })?;
            Ok(Exit::Ok)
        })
        .await
}

async fn logs(context: &Context, args: &LogsArgs) -> Result<Exit, Failure> {
    let path = format!("/processes/{}/logs", routes::segment(args.instance()));
    let stream = args.stream.clone();
    context
        .with_session(Purpose::Look, async |session| {
            if args.follow {
                return follow(context, session, &path, args).await;
            }
            let parameters = [("tail", Some(args.tail.to_string())), ("stream", stream)];
            let log: ProcessLog = session.client().get(&routes::with_query(&path, &parameters)).await?;
            context.out.show(&log, || log.lines.iter().fold(String::new(), |text, line| text + &line.text + "\n"))?;
            Ok(Exit::Ok)
        })
        .await
}

/// Prints what comes until Ctrl-C, over broken connections too.
async fn follow(context: &Context, session: &Session, path: &str, args: &LogsArgs) -> Result<Exit, Failure> {
    let interrupts = signal(SignalKind::interrupt());
    let mut interrupts = interrupts.map_err(|error| failed(format!("cannot listen for Ctrl-C: {error}")))?;
    let stream = [("stream", args.stream.clone())];
    let mut start = LogStart::Last(args.tail);
    let mut away: Option<Instant> = None;
    loop {
        let lines = match session.client().follow(&routes::with_query(path, &stream), start).await {
            Ok(lines) => lines,
            Err(error) if error.may_pass() && !session.is_local() => {
                if away.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    return Err(error.into());
                }
                tokio::select! {
                    () = pause(PAUSE) => continue,
                    _ = interrupts.recv() => return Ok(Exit::Ok),
                }
            }
            Err(error) => return Err(error.into()),
        };
        away = None;
        let mut lines = pin!(lines);
        loop {
            let item = tokio::select! {
                // Lines that are there are shown before Ctrl-C is heeded.
                biased;
                item = lines.next() => item,
                _ = interrupts.recv() => return Ok(Exit::Ok),
            };
            match item {
                Some(Ok(LogItem::Begin(offset))) => start = LogStart::At(offset),
                Some(Ok(LogItem::Line { text, offset })) => {
                    start = LogStart::At(offset);
                    context.out.text(&format!("{text}\n"))?;
                }
                Some(Ok(LogItem::End(_)) | Err(_)) | None => break,
            }
        }
        if session.is_local() {
            return Ok(Exit::Ok);
        }
        tokio::select! {
            () = pause(PAUSE) => {}
            _ = interrupts.recv() => return Ok(Exit::Ok),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_a_declaration() {
        let args = RegisterArgs {
            name: "web".to_owned(),
            command: "sleep 1".to_owned(),
            work_dir: Some("/srv/app/".into()),
            log_dir: Some("/var/log/web".into()),
            env: vec!["A=b".to_owned()],
            instances: Some(2),
            auto_restart: true,
        };
        let wanted = json!({
            "name": "web", "command": "sleep 1", "work_dir": "/srv/app", "log": { "file": { "dir": "/var/log/web" } },
            "env": ["A=b"], "instances": 2, "auto_restart": true,
        });
        assert_eq!(spec(&args).unwrap(), wanted);
        let none = RegisterArgs { instances: Some(0), ..args.clone() };
        assert_eq!(spec(&none).unwrap()["instances"], "0");
        let root = RegisterArgs { work_dir: Some("/".into()), ..args.clone() };
        assert_eq!(spec(&root).unwrap()["work_dir"], "/");
        let bad = RegisterArgs { env: vec!["A".to_owned()], ..args };
        assert_eq!(spec(&bad).unwrap_err().exit(), Exit::Usage);
    }

    #[test]
    fn a_file_holds_a_declaration_in_either_form() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("web.json");
        let read_text = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(&file)
        };
        let wanted = json!({ "name": "web", "command": "x" });
        assert_eq!(read_text(r#"{"name": "web", "command": "x"}"#).unwrap(), wanted);
        assert_eq!(read_text(r#"{"type": "process", "spec": {"name": "web", "command": "x"}}"#).unwrap(), wanted);
        for bad in ["[]", "{", r#"{"type": "job", "spec": {}}"#] {
            assert_eq!(read_text(bad).unwrap_err().exit(), Exit::Usage, "{bad}");
        }
        let yaml = directory.path().join("web.yaml");
        std::fs::write(&yaml, "type: process\nspec:\n  name: web\n  command: x\n").unwrap();
        assert_eq!(read(&yaml).unwrap(), wanted);
        assert_eq!(read(&directory.path().join("none")).unwrap_err().exit(), Exit::NotFound);
    }
}
