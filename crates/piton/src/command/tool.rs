//! `piton tool …`

use std::path::PathBuf;

use jiff::tz::TimeZone;
use piton_tools::{
    Choice, Error, Found, Manager, Place as Asked, Preference, Progress, Tool, ToolChoice, Version, Want,
};
use serde::Serialize;

use crate::args::ToolCommand;
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, failed};
use crate::place::Place;
use crate::table::{Cell, Table};
use crate::wiring;

/// Does what was asked.
pub async fn run(context: &Context, command: ToolCommand) -> Result<Exit, Failure> {
    let place = Place::resolve(&context.global)?;
    let manager = Manager::new(wiring::tools_config(&place)?);
    match command {
        ToolCommand::List => list(context, &manager).await,
        ToolCommand::Install { tool, version } => install(context, &manager, &tool, &version).await,
        ToolCommand::Which { workspace } => which(context, &place, &manager, workspace.as_deref()).await,
    }
}

#[derive(Debug, Serialize)]
struct Installed {
    tool: String,
    version: String,
    path: PathBuf,
    found: &'static str,
}

impl From<&piton_tools::Installed> for Installed {
    fn from(installed: &piton_tools::Installed) -> Installed {
        Installed {
            tool: installed.tool.to_string(),
            version: installed.version.to_string(),
            path: installed.path.clone(),
            found: match installed.found {
                Found::Path => "path",
                Found::Cache => "downloaded",
            },
        }
    }
}

async fn list(context: &Context, manager: &Manager) -> Result<Exit, Failure> {
    let inventory = manager.list().await.map_err(refused)?;
    let installed: Vec<Installed> = inventory.installed.iter().map(Installed::from).collect();
    context.out.show(&installed, || {
        if installed.is_empty() {
            return "No tools installed; OpenTofu is downloaded when it is needed\n".to_owned();
        }
        let mut table = Table::new(&["TOOL", "VERSION", "FOUND", "PATH"]);
        for it in &installed {
            table.row([
                Cell::from(&it.tool),
                (&it.version).into(),
                it.found.into(),
                it.path.display().to_string().into(),
            ]);
        }
        table.render()
    })?;
    for broken in &inventory.broken {
        context.out.talk(&format!("warning: {} does not work: {}", broken.path.display(), broken.reason));
    }
    Ok(Exit::Ok)
}

async fn install(context: &Context, manager: &Manager, tool: &str, version: &str) -> Result<Exit, Failure> {
    let tool: Tool = tool.parse().map_err(|error: piton_tools::UnknownTool| failed(error.to_string()))?;
    let version = if version == "latest" {
        let releases = manager.releases(tool).await.map_err(refused)?;
        let newest = releases.iter().find(|version| !version.is_prerelease()).cloned();
        newest.ok_or_else(|| failed(format!("no release of {} is listed", tool.title())))?
    } else {
        version.parse::<Version>().map_err(|error| {
            CommandError::new(Exit::Usage, error.to_string()).hint("an exact version such as 1.10.0, or `latest`")
        })?
    };
    let out = &context.out;
    let installed = manager.install(tool, &version, |progress| out.say(&words(&progress))).await.map_err(refused)?;
    let shown = Installed::from(&installed);
    context.out.show(&shown, || format!("{} {} is {}\n", shown.tool, shown.version, shown.path.display()))?;
    Ok(Exit::Ok)
}

fn words(progress: &Progress) -> String {
    match progress {
        Progress::ReadingIndex(tool) => format!("reading the list of {} releases", tool.title()),
        Progress::Waiting(tool, version) => format!("waiting for another installation of {} {version}", tool.title()),
        Progress::CheckingSignature(tool, version) => format!("checking the signature of {} {version}", tool.title()),
        Progress::Downloading { file, .. } => format!("downloading {file}"),
        // More may be told by later versions of the crate.
        other => format!("{other:?}"),
    }
}

#[derive(Debug, Serialize)]
struct Which {
    tool: String,
    version: String,
    /// Absent for what would be downloaded first.
    path: Option<PathBuf>,
    reasons: Vec<String>,
}

async fn which(context: &Context, place: &Place, manager: &Manager, workspace: Option<&str>) -> Result<Exit, Failure> {
    let (directory, tool, version) = match workspace {
        Some(name) => of_workspace(place, name)?,
        None => {
            let here =
                std::env::current_dir().map_err(|error| failed(format!("cannot tell where this is: {error}")))?;
            (here, place.config.iac.tool, place.config.iac.version.clone())
        }
    };
    let version = version.map(|text| Want::parse(&text, &Asked::Configuration)).transpose().map_err(refused)?;
    let tool = match tool {
        piton_model::ToolChoice::Auto => ToolChoice::Auto,
        piton_model::ToolChoice::Tofu => ToolChoice::Exactly(Tool::OpenTofu),
        piton_model::ToolChoice::Terraform => ToolChoice::Exactly(Tool::Terraform),
    };
    let verdict = manager.which(&Preference { tool, version, root: None }, &directory).await.map_err(refused)?;
    let path = match &verdict.choice {
        Choice::Use(installed) => Some(installed.path.clone()),
        Choice::Download(..) => None,
    };
    let which = Which {
        tool: verdict.choice.tool().to_string(),
        version: verdict.choice.version().to_string(),
        path,
        reasons: verdict.reasons.iter().map(ToString::to_string).collect(),
    };
    context.out.show(&which, || {
        let path = which.path.as_ref().map_or_else(|| "to be downloaded".to_owned(), |path| path.display().to_string());
        let mut lines = vec![format!("{} {} ({path})", which.tool, which.version)];
        lines.extend(which.reasons.iter().map(|reason| format!("  - {reason}")));
        lines.join("\n") + "\n"
    })?;
    Ok(Exit::Ok)
}

/// Directory of the code, tool and version that a workspace asks for.
fn of_workspace(place: &Place, name: &str) -> Result<(PathBuf, piton_model::ToolChoice, Option<String>), Failure> {
    let layout = place.config.layout(TimeZone::system());
    let (catalog, _) = piton_spec::load(&layout, None);
    let found = catalog.workspaces.values().find(|workspace| workspace.name.as_str() == name);
    let workspace = found.ok_or_else(|| {
        CommandError::new(Exit::NotFound, format!("workspace '{}' not found", name.escape_debug()))
            .hint("`piton config check` says what is wrong with its files, if it has any")
    })?;
    let directory = match workspace.template() {
        Some(template) => layout.template_dir(template),
        None => workspace.dir.clone(),
    };
    Ok((directory, workspace.tool, workspace.version.clone()))
}

fn refused(error: Error) -> Failure {
    let hint = error.hint();
    let refused = CommandError::new(Exit::Failed, error.to_string());
    if hint.is_empty() { refused.into() } else { refused.hint(hint).into() }
}
