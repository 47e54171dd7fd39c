//! `piton config …`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};

use jiff::tz::TimeZone;
use piton_spec::{Config, Diagnostic, Explained, Origin};
use serde::Serialize;

use crate::args::ConfigCommand;
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, failed};
use crate::place::{Place, Unplaced};
use crate::table::{Cell, Table};
use crate::{logging, provisioning, refusals, wiring};

/// Does what was asked.
pub fn run(context: &Context, command: &ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Check => check(context),
        ConfigCommand::Show { origin } => show(context, *origin),
        ConfigCommand::Init { stdout: true } => {
            context.out.text(&Config::init())?;
            Ok(Exit::Ok)
        }
        ConfigCommand::Init { stdout: false } => init(context),
        ConfigCommand::Schema => {
            context.out.text(&Config::schema())?;
            Ok(Exit::Ok)
        }
    }
}

#[derive(Debug, Serialize)]
struct Check {
    valid: bool,
    file: Option<String>,
    workspaces: usize,
    jobs: usize,
    templates: usize,
    diagnostics: Vec<Diagnostic>,
}

fn check(context: &Context) -> Result<Exit, Failure> {
    let place = match Place::look(&context.global, &[]) {
        Ok(place) => place,
        Err(Unplaced::Wrong(found)) => return unusable(context, found),
        Err(Unplaced::Other(error)) => return Err(error.into()),
    };
    let layout = place.config.layout(TimeZone::system());
    let (catalog, found) = piton_spec::load(&layout, None);
    let mut diagnostics = place.warnings.clone();
    diagnostics.extend(place.config.exposure());
    diagnostics.extend(provisioning::check(&place.config));
    diagnostics.extend(logging::check(&place.config));
    diagnostics.extend(found);
    diagnostics.extend(refusals::find(&place, &layout, &catalog));
    let check = Check {
        valid: !diagnostics.iter().any(Diagnostic::is_error),
        file: place.config.file.as_ref().map(|file| file.display().to_string()),
        workspaces: catalog.workspaces.len(),
        jobs: catalog.jobs.len(),
        templates: catalog.templates.len(),
        diagnostics,
    };
    context.out.show(&check, || {
        let mut text = lines(&check.diagnostics);
        let file = check.file.as_deref().unwrap_or("no configuration file, defaults");
        let _ = writeln!(
            text,
            "{file}; workspaces: {}, jobs: {}, templates: {}; {}",
            check.workspaces,
            check.jobs,
            check.templates,
            if check.valid { "ok" } else { "not ok" },
        );
        text
    })?;
    Ok(if check.valid { Exit::Ok } else { Exit::BadConfig })
}

/// Without a configuration nobody knows where declarations lie, nor what holds for them.
fn unusable(context: &Context, diagnostics: Vec<Diagnostic>) -> Result<Exit, Failure> {
    let check = Check { valid: false, file: None, workspaces: 0, jobs: 0, templates: 0, diagnostics };
    context.out.show(&check, || {
        let found = lines(&check.diagnostics);
        format!("{found}the configuration cannot be used, so nothing else was looked at; not ok\n")
    })?;
    Ok(Exit::BadConfig)
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for found in diagnostics {
        let _ = writeln!(text, "{found}");
    }
    text
}

fn show(context: &Context, origin: bool) -> Result<Exit, Failure> {
    let place = Place::resolve(&context.global)?;
    for warning in &place.warnings {
        context.out.say(&warning.to_string());
    }
    let mut explained = place.config.explain();
    for (key, value) in in_force(&place.config) {
        if explained.iter().all(|it| it.key != key) {
            let section = key.split_once('.').map_or(key, |(section, _)| section);
            let last = explained.iter().rposition(|it| it.key.split('.').next() == Some(section));
            let at = last.map_or(explained.len(), |last| last + 1);
            explained.insert(at, Explained { key, value, origin: Origin::Default });
        }
    }
    if origin {
        context.out.show(&explained, || {
            let mut table = Table::new(&["KEY", "VALUE", "ORIGIN"]);
            for it in &explained {
                table.row([Cell::from(it.key), (&it.value).into(), it.origin.to_string().into()]);
            }
            table.render()
        })?;
    } else {
        let values: BTreeMap<&str, &str> = explained.iter().map(|it| (it.key, it.value.as_str())).collect();
        context.out.show(&values, || {
            let mut text = String::new();
            for it in &explained {
                let _ = writeln!(text, "{} = {}", it.key, it.value);
            }
            text
        })?;
    }
    Ok(Exit::Ok)
}

/// What is in force where the configuration does not say it, and depends on the host.
fn in_force(config: &Config) -> [(&'static str, String); 3] {
    let concurrency = wiring::Concurrency::of(config);
    let zone = TimeZone::system();
    [
        ("scheduler.timezone", zone.iana_name().unwrap_or("UTC").to_owned()),
        ("scheduler.max_concurrent_runs", concurrency.runs.to_string()),
        ("iac.max_concurrent_deployments", concurrency.deployments.to_string()),
    ]
}

fn init(context: &Context) -> Result<Exit, Failure> {
    let root = context.global.dir.clone().unwrap_or_default();
    let path = context.global.config.clone().unwrap_or_else(|| root.join("piton.toml"));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            CommandError::new(Exit::Conflict, format!("{} exists already", path.display()))
                .hint("`piton config init --stdout` prints the example")
        } else {
            CommandError::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
        }
    })?;
    file.write_all(Config::init().as_bytes())
        .map_err(|error| failed(format!("cannot write {}: {error}", path.display())))?;
    context.out.show(&serde_json::json!({ "file": path }), || format!("{}\n", path.display()))?;
    Ok(Exit::Ok)
}
