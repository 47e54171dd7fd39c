//! `workspacectl add|update|remove|validate`: declarations changed by command, in the files that people edit too.

use std::fmt::Write as _;

mod document;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use piton_api::Workspace;
use piton_model::Name;
use piton_spec::{Diagnostic, Layout};

use crate::args::OneOrAll;
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, failed};
use crate::place::Place;
use crate::prompt;
use crate::routes;
use crate::session::Purpose;
use document::Document;

/// What to do with declarations.
#[derive(Debug)]
pub enum Declare {
    /// Declare a workspace.
    Add {
        /// Its name.
        workspace: String,
        /// What is declared.
        settings: Settings,
    },
    /// Change what is declared.
    Update {
        /// The workspace.
        workspace: String,
        /// What changes.
        settings: Settings,
    },
    /// Remove a declaration.
    Remove {
        /// The workspace.
        workspace: String,
        /// Without asking, and whatever is deployed.
        force: bool,
    },
    /// Check declarations.
    Validate(OneOrAll),
}

/// What can be declared by options; what is absent stays as it is.
#[derive(Debug, Default)]
pub struct Settings {
    /// Whether the schedule is in force.
    pub enabled: Option<bool>,
    /// The template.
    pub template: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// When to deploy.
    pub deploy_schedule: Option<String>,
    /// When to destroy.
    pub destroy_schedule: Option<String>,
}

impl Settings {
    fn write_to(&self, document: &mut Document) -> Result<(), Failure> {
        if let Some(enabled) = self.enabled {
            document.set("enabled", &enabled)?;
        }
        let texts = [
            ("template", &self.template),
            ("deploy_schedule", &self.deploy_schedule),
            ("destroy_schedule", &self.destroy_schedule),
            ("description", &self.description),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                document.set(key, text)?;
            }
        }
        Ok(())
    }
}

/// Does what was asked.
pub async fn run(context: &Context, declare: Declare) -> Result<Exit, Failure> {
    let place = Place::resolve(&context.global)?;
    let layout = place.config.layout(TimeZone::system());
    match declare {
        Declare::Add { workspace, settings } => {
            add(&layout, &workspace, &settings)?;
            context.out.text(&format!("Workspace '{workspace}' added\n"))?;
        }
        Declare::Update { workspace, settings } => {
            update(&layout, &workspace, &settings)?;
            context.out.text(&format!("Workspace '{workspace}' updated\n"))?;
        }
        Declare::Remove { workspace, force } => {
            if !force {
                may_be_removed(context, &layout, &workspace).await?;
            }
            let directory = directory(&layout, &workspace)?;
            fs::remove_dir_all(&directory).map_err(|error| cannot("remove", &directory, &error))?;
            context.out.text(&format!("Workspace '{workspace}' removed\n"))?;
        }
        Declare::Validate(which) => return validate(context, &layout, &which),
    }
    Ok(Exit::Ok)
}

fn add(layout: &Layout, name: &str, settings: &Settings) -> Result<(), Failure> {
    let name = Name::parse(name).map_err(|error| failed(error.to_string()))?;
    let directory = layout.workspaces.join(name.as_str());
    let file = directory.join("config.json");
    if file.exists() {
        return Err(CommandError::new(Exit::Conflict, format!("workspace '{name}' already exists")).into());
    }
    let mut document = Document::default();
    settings.write_to(&mut document)?;
    let was_there = directory.exists();
    fs::create_dir_all(&directory).map_err(|error| cannot("create", &directory, &error))?;
    write(&file, &document.render())?;
    let accepted = accepted(layout, name.as_str());
    if accepted.is_err() {
        let _ = fs::remove_file(&file);
        if !was_there {
            let _ = fs::remove_dir(&directory);
        }
    }
    accepted
}

fn update(layout: &Layout, name: &str, settings: &Settings) -> Result<(), Failure> {
    let file = directory(layout, name)?.join("config.json");
    let before = fs::read_to_string(&file).map_err(|error| cannot("read", &file, &error))?;
    let mut document = Document::parse(&before).map_err(|error| failed(format!("{}: {error}", file.display())))?;
    settings.write_to(&mut document)?;
    write(&file, &document.render())?;
    let accepted = accepted(layout, name);
    if accepted.is_err() {
        write(&file, &before)?;
    }
    accepted
}

/// Fails with what the reader of declarations has against the workspace.
fn accepted(layout: &Layout, name: &str) -> Result<(), Failure> {
    let found = findings(layout, name);
    let errors: Vec<String> = found.iter().filter(|found| found.is_error()).map(ToString::to_string).collect();
    if errors.is_empty() { Ok(()) } else { Err(failed(errors.join("\n"))) }
}

fn findings(layout: &Layout, name: &str) -> Vec<Diagnostic> {
    let below = Path::new("workspaces").join(name);
    let (_, found) = piton_spec::load(layout, None);
    let about = |file: &Path| file.starts_with(&below) || file.starts_with(layout.workspaces.join(name));
    found.into_iter().filter(|found| about(&found.file)).collect()
}

fn directory(layout: &Layout, name: &str) -> Result<PathBuf, Failure> {
    let unknown = || CommandError::new(Exit::NotFound, format!("workspace '{}' not found", name.escape_debug()));
    let name = Name::parse(name).map_err(|_| unknown())?;
    let directory = layout.workspaces.join(name.as_str());
    if directory.join("config.json").is_file() { Ok(directory) } else { Err(unknown().into()) }
}

/// Asks, and refuses where something is deployed that nobody would look after any more.
async fn may_be_removed(context: &Context, layout: &Layout, name: &str) -> Result<(), Failure> {
    directory(layout, name)?;
    if !context.out.is_interactive() {
        let error = CommandError::new(Exit::Failed, format!("workspace '{name}' was not removed: nobody can be asked"));
        return Err(error.hint("`--force` removes it without asking").into());
    }
    context
        .with_session(Purpose::Look, async |session| {
            let workspace: Workspace = session.client().get(&routes::workspace(name)).await?;
            if !matches!(workspace.status.as_str(), "destroyed" | "pending") {
                let error = CommandError::new(Exit::Conflict, format!("workspace '{name}' is {}", workspace.status));
                return Err(error.hint(format!("first: workspacectl destroy {name}")).into());
            }
            Ok(Exit::Ok)
        })
        .await?;
    if prompt::agree(&context.out, &format!("Remove workspace '{name}' and its files? [y/N] "))? {
        Ok(())
    } else {
        Err(failed("nothing was removed"))
    }
}

fn validate(context: &Context, layout: &Layout, which: &OneOrAll) -> Result<Exit, Failure> {
    let names = match &which.name {
        Some(name) => {
            directory(layout, name)?;
            vec![name.clone()]
        }
        None => names(layout)?,
    };
    let mut exit = Exit::Ok;
    for name in names {
        let found = findings(layout, &name);
        let mut text = String::new();
        if found.iter().any(Diagnostic::is_error) {
            exit = Exit::Failed;
            let _ = writeln!(text, "Workspace '{name}' is not valid");
        } else {
            let _ = writeln!(text, "Workspace '{name}' is valid");
        }
        text.extend(found.iter().map(|found| format!("{found}\n")));
        context.out.text(&text)?;
    }
    Ok(exit)
}

fn names(layout: &Layout) -> Result<Vec<String>, Failure> {
    let entries = match fs::read_dir(&layout.workspaces) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(cannot("read", &layout.workspaces, &error)),
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("config.json").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Replaces a file as a whole, so that whoever watches it never reads half of it.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let written = tempfile::Builder::new().prefix(".config-").tempfile_in(directory).and_then(|mut partial| {
        partial.write_all(text.as_bytes())?;
        let mode = fs::metadata(file)
            .map_or_else(|_| std::os::unix::fs::PermissionsExt::from_mode(0o644), |it| it.permissions());
        partial.as_file().set_permissions(mode)?;
        partial.as_file().sync_all()?;
        partial.persist(file).map_err(|error| error.error)
    });
    written.map(drop).map_err(|error| cannot("write", file, &error))
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    failed(format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(root: &Path) -> Layout {
        Layout::new(root, &root.join(".piton"))
    }

    fn with_code(root: &Path, name: &str) {
        let directory = root.join("workspaces").join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("main.tf"), "").unwrap();
    }

    fn scheduled(line: &str) -> Settings {
        Settings { enabled: Some(true), deploy_schedule: Some(line.to_owned()), ..Settings::default() }
    }

    #[test]
    fn a_workspace_is_declared_and_changed() {
        let root = tempfile::tempdir().unwrap();
        let layout = layout(root.path());
        with_code(root.path(), "web");
        add(&layout, "web", &scheduled("0 9 * * 1-5")).unwrap();
        let file = root.path().join("workspaces/web/config.json");
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "{\n  \"enabled\": true,\n  \"deploy_schedule\": \"0 9 * * 1-5\"\n}\n"
        );
        let again = add(&layout, "web", &Settings::default()).unwrap_err();
        assert_eq!(again.words().unwrap().0, "workspace 'web' already exists");

        let settings = Settings { enabled: Some(false), description: Some("Say \"hi\"".into()), ..Settings::default() };
        update(&layout, "web", &settings).unwrap();
        let document: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(
            document,
            serde_json::json!({ "enabled": false, "deploy_schedule": "0 9 * * 1-5", "description": "Say \"hi\"" })
        );
        assert_eq!(names(&layout).unwrap(), ["web"]);
    }

    #[test]
    fn what_would_not_be_accepted_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let layout = layout(root.path());
        assert!(add(&layout, "web", &scheduled("nonsense")).is_err());
        assert!(!root.path().join("workspaces/web").exists());
        assert!(add(&layout, "../web", &scheduled("0 9 * * *")).is_err());

        with_code(root.path(), "web");
        add(&layout, "web", &scheduled("0 9 * * *")).unwrap();
        let file = root.path().join("workspaces/web/config.json");
        let before = fs::read_to_string(&file).unwrap();
        let refused = update(&layout, "web", &scheduled("0 0 30 2 *")).unwrap_err();
        assert!(refused.words().unwrap().0.contains("deploy_schedule"), "{refused:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        assert_eq!(update(&layout, "other", &Settings::default()).unwrap_err().exit(), Exit::NotFound);
    }
}
