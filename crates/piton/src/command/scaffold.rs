//! `piton scaffold …`

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use piton_broker::{Outgoing, Outlet, message};
use piton_engine::Clock;
use piton_scaffold::{Blueprint, Data, Engine, Error, Meta, Missing, Mode, Order, Tree, eval};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::args::{EvalArgs, MissingValue, RenderArgs, ScaffoldCommand, TemplateEngine};
use crate::blueprints::{self, Blueprints, Found, Located};
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure};
use crate::inlet;
use crate::output::raw;
use crate::place::Place;
use crate::wiring;

/// Does what was asked.
pub async fn run(context: &Context, command: ScaffoldCommand) -> Result<Exit, Failure> {
    match command {
        ScaffoldCommand::Render(args) => render(context, &args).await,
        ScaffoldCommand::Eval(args) => eval_one(context, &args),
        ScaffoldCommand::Enqueue { file } => enqueue(context, &file).await,
    }
}

/// What is wanted: the `blueprint` of a job message, or all of it.
#[derive(Debug, Deserialize)]
struct Wanted {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    values: Option<Map<String, Value>>,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Rendered {
    blueprint: String,
    out: String,
    files: Vec<RenderedFile>,
    digest: String,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RenderedFile {
    path: String,
    mode: &'static str,
    size: u64,
}

async fn render(context: &Context, args: &RenderArgs) -> Result<Exit, Failure> {
    let place = Place::resolve(&context.global)?;
    let now = context.clock.now;
    let given = &args.blueprint;
    let Some(located) = blueprints::locate(&place, given).map_err(|failure| of_step(&failure))? else {
        let error = CommandError::new(Exit::NotFound, format!("there is no blueprint `{}`", given.escape_debug()));
        return Err(error.hint("name a directory in `blueprints`, or the path of one").into());
    };
    let (wanted, kind, run_id) = wanted(&args.file)?;
    let (template, found) = match located {
        Located::Directory(directory) => {
            let template = directory.file_name().unwrap_or(directory.as_os_str()).to_string_lossy().into_owned();
            let settings = blueprints::settings(&place, move || now)?;
            let blueprint = Blueprint::load(&directory, &settings).map_err(|error| refused(&error))?;
            (template, Found { blueprint: Arc::new(blueprint), commit: None })
        }
        Located::Git(_) => {
            let clock = Clock::system();
            let blueprints = Blueprints::new(&place, wiring::git(&place)?, clock)?;
            let found = blueprints.find(given, None).await.map_err(|failure| of_step(&failure))?;
            (given.clone(), found)
        }
    };
    let order = Order {
        name: wanted.name,
        namespace: wanted.namespace.unwrap_or_default(),
        values: wanted.values.unwrap_or_default(),
        meta: Meta {
            timestamp: now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id,
            template: template.clone(),
            commit: found.commit,
            kind,
        },
    };
    let tree = found.blueprint.render(&order).map_err(|error| refused(&error))?;
    tree.write_to(&args.out).map_err(|error| refused(&error))?;
    let rendered = described(template, &args.out, &tree);
    for warning in &rendered.warnings {
        context.out.say(&format!("warning: {warning}"));
    }
    context.out.show(&rendered, || {
        let lines = rendered.files.iter().map(|file| format!("{}\n", file.path));
        lines.collect()
    })?;
    let count = rendered.files.len();
    let files = if count == 1 { "file" } else { "files" };
    context.out.say(&format!("{count} {files} in {}", rendered.out));
    Ok(Exit::Ok)
}

/// A failure of what workers do too.
fn of_step(failure: &piton_model::Failure) -> CommandError {
    let error = CommandError::new(Exit::Failed, failure.message.clone());
    match &failure.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn described(blueprint: String, out: &Path, tree: &Tree) -> Rendered {
    let file = |entry: &piton_scaffold::Entry| RenderedFile {
        path: entry.path.to_string(),
        mode: match entry.mode {
            Mode::File => "file",
            Mode::Executable => "executable",
            Mode::Link => "link",
        },
        size: entry.bytes.len() as u64,
    };
    Rendered {
        blueprint,
        out: out.display().to_string(),
        files: tree.entries().iter().map(file).collect(),
        digest: tree.digest(),
        warnings: tree.warnings().iter().map(ToString::to_string).collect(),
    }
}

fn wanted(file: &Path) -> Result<(Wanted, String, String), Failure> {
    let mut value = document(file, &read(file)?)?;
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, run_id) = (text(&value, "type"), text(&value, "run_id"));
    if let Some(blueprint) = value.get_mut("blueprint").filter(|blueprint| blueprint.is_object()) {
        value = blueprint.take();
    }
    let wanted = serde_json::from_value(value)
        .map_err(|error| CommandError::new(Exit::Usage, format!("{}: {error}", file.display())))?;
    Ok((wanted, kind, run_id))
}

fn eval_one(context: &Context, args: &EvalArgs) -> Result<Exit, Failure> {
    let place = Place::resolve(&context.global)?;
    let now = context.clock.now;
    let settings = blueprints::settings(&place, move || now)?;
    let template = read(&args.template)?;
    let data = match &args.data {
        None => Data::from(Value::Object(Map::new())),
        Some(file) if is_yaml(file) => Data::from(document(file, &read(file)?)?),
        Some(file) => Data::from_json(&read(file)?)
            .map_err(|error| CommandError::new(Exit::Usage, format!("{}: {error}", file.display())))?,
    };
    let engine = match args.engine {
        TemplateEngine::Go => Engine::Go,
        TemplateEngine::Jinja => Engine::Jinja,
    };
    let missing = match args.missing {
        MissingValue::Default => Missing::Default,
        MissingValue::Error => Missing::Error,
        MissingValue::Zero => Missing::Zero,
    };
    let bytes = eval(engine, &template, &data, missing, &settings).map_err(|error| refused(&error))?;
    raw(&bytes)?;
    Ok(Exit::Ok)
}

/// How long the broker may take to keep a message.
const PATIENCE: Duration = Duration::from_secs(30);

async fn enqueue(context: &Context, file: &Path) -> Result<Exit, Failure> {
    let place = Place::resolve(&context.global)?;
    let text = read(file)?;
    let read = message::parse(text.as_bytes(), message::Limits::default())
        .map_err(|refusal| CommandError::new(Exit::Usage, format!("{}: {refusal}", file.display())))?;
    for field in read.unknown {
        context.out.say(&format!("warning: `{field}` means nothing here"));
    }
    let address = inlet::address(&place)?;
    let topology = inlet::topology(&place)?;
    let (outlet, postman) = Outlet::start(address, topology, "piton (enqueue)".to_owned());
    let message = Outgoing::job(&read.job.run_id, text.into_bytes()).sent_at(Clock::system().now());
    let sent = outlet.enqueue_at_once(PATIENCE, message).await;
    drop(outlet);
    sent.map_err(|error| CommandError::new(Exit::Unreachable, error.to_string()))?;
    postman.ended().await;
    let run_id = read.job.run_id.to_string();
    context
        .out
        .show(&serde_json::json!({ "run_id": run_id, "queue": place.config.worker.queue }), || format!("{run_id}\n"))?;
    Ok(Exit::Ok)
}

/// YAML where the name says so, else JSON.
fn document(file: &Path, text: &str) -> Result<Value, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::from(CommandError::new(Exit::Usage, format!("{}: {error}", file.display())))
    };
    if is_yaml(file) {
        return serde_saphyr::from_str(text).map_err(|error| wrong(&error));
    }
    serde_json::from_str(text).map_err(|error| wrong(&error))
}

fn is_yaml(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn read(file: &Path) -> Result<String, Failure> {
    let read = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        CommandError::new(exit, format!("cannot read {}: {error}", file.display())).into()
    })
}

fn refused(error: &Error) -> Failure {
    CommandError::new(Exit::Failed, error.to_string()).into()
}
