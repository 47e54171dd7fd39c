//! Program files that are made, changed and removed on request.

use std::fs;
use std::path::PathBuf;

use axum::http::StatusCode;
use piton_api::{Fault, ProcessSpec};
use piton_model::{Name, Process, json_pointer};
use piton_spec::provisr::{self, Kind, WriteError};
use piton_spec::{Catalog, DeclaredIn, Diagnostic, Layout};
use serde_json::Value;

use crate::problem::{Answer, Refusal};

/// What was changed, and how it was before.
#[derive(Debug)]
pub(super) struct Changed {
    directory: PathBuf,
    made: Option<PathBuf>,
    before: Option<(PathBuf, Vec<u8>)>,
}

impl Changed {
    /// Makes it as it was.
    pub(super) fn undo(self) -> Result<(), WriteError> {
        match (self.before, self.made) {
            (Some((path, text)), _) => provisr::put_back(&self.directory, &path, &text),
            (None, Some(made)) => provisr::remove_program(&self.directory, &made),
            (None, None) => Ok(()),
        }
    }
}

/// Writes the file of a new process, if it is valid among the others.
pub(super) fn create(layout: &Layout, catalog: &Catalog, spec: &ProcessSpec) -> Answer<Changed> {
    let (name, spec) = checked(catalog, spec)?;
    if catalog.processes.contains_key(&name) {
        return Err(exists(&name));
    }
    let made = provisr::write_program(&layout.programs, Kind::Process, &name, &spec);
    let made = made.map_err(|error| match error {
        WriteError::Taken(_) => exists(&name),
        error => Refusal::internal(&error),
    })?;
    Ok(Changed { directory: layout.programs.clone(), made: Some(made), before: None })
}

/// Changes the file of a process, if it is valid among the others.
pub(super) fn update(layout: &Layout, catalog: &Catalog, spec: &ProcessSpec) -> Answer<Changed> {
    let (name, spec) = checked(catalog, spec)?;
    let path = own_file(catalog, &name)?;
    let before = fs::read(&path).map_err(|error| Refusal::internal(&error))?;
    let changed = provisr::rewrite_program(&layout.programs, &path, Kind::Process, &spec, catalog.surroundings());
    changed.map_err(|error| unwritten("invalid_process", &error))?;
    Ok(Changed { directory: layout.programs.clone(), made: None, before: Some((path, before)) })
}

/// Removes the file of a process.
pub(super) fn remove(layout: &Layout, catalog: &Catalog, name: &Name) -> Answer<Changed> {
    let path = own_file(catalog, name)?;
    let before = fs::read(&path).map_err(|error| Refusal::internal(&error))?;
    provisr::remove_program(&layout.programs, &path).map_err(|error| Refusal::internal(&error))?;
    Ok(Changed { directory: layout.programs.clone(), made: None, before: Some((path, before)) })
}

/// The file of a process that may be changed over the API.
pub(super) fn own_file(catalog: &Catalog, name: &Name) -> Answer<PathBuf> {
    match catalog.processes.get(name).map(|declared| &declared.origin) {
        None => Err(piton_supervisor::Error::UnknownProcess(name.to_string()).into()),
        Some(DeclaredIn::Program(path)) => Ok(path.to_path_buf()),
        Some(DeclaredIn::Configuration(path)) => {
            let detail = format!("process `{name}` is declared in the configuration");
            let hint = Some(format!("edit {}", path.display()));
            Err(Refusal::new(StatusCode::CONFLICT, "declared_in_configuration", detail, hint))
        }
    }
}

/// Whether a declaration means this process, in whatever words.
pub(super) fn is_same(process: &Process, spec: &ProcessSpec, catalog: &Catalog) -> bool {
    let meant = serde_json::to_value(spec).ok();
    let meant = meant.and_then(|json| provisr::parse_process(&json, catalog.surroundings()).ok());
    meant.is_some_and(|(meant, _)| meant == *process)
}

/// The name and the text of a declaration that is valid among the others.
fn checked(catalog: &Catalog, spec: &ProcessSpec) -> Answer<(Name, Value)> {
    let json = serde_json::to_value(spec).map_err(|error| Refusal::internal(&error))?;
    let (process, _) = provisr::parse_process(&json, catalog.surroundings()).map_err(|found| invalid(&found))?;
    let found = provisr::check_in(&process, catalog);
    if found.iter().any(Diagnostic::is_error) {
        return Err(invalid(&found));
    }
    Ok((process.name, json))
}

fn invalid(found: &[Diagnostic]) -> Refusal {
    refused("invalid_process", found)
}

/// Why a file was not changed.
pub(crate) fn unwritten(code: &str, error: &WriteError) -> Refusal {
    match error {
        WriteError::Inexpressible(file) => {
            let hint = Some(format!("edit {}", file.display()));
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, code, error.to_string(), hint)
        }
        WriteError::Taken(_) | WriteError::Outside(_) | WriteError::Io { .. } => Refusal::internal(error),
    }
}

/// What is wrong with a declaration, by its fields.
pub(crate) fn refused(code: &str, found: &[Diagnostic]) -> Refusal {
    let errors = || found.iter().filter(|found| found.is_error());
    let words = |found: &Diagnostic| match &found.field {
        Some(field) => format!("{field}: {}", found.message),
        None => found.message.clone(),
    };
    let detail = errors().map(words).collect::<Vec<_>>().join("; ");
    let hint = errors().find_map(|found| found.hint.clone());
    let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail, hint);
    errors().fold(refusal, |refusal, found| {
        let known = found.pointer.clone();
        let pointer = known.unwrap_or_else(|| found.field.as_deref().map(pointer).unwrap_or_default());
        refusal.at(Fault { pointer, detail: found.message.clone() })
    })
}

/// `depends_on[0].name` as RFC 6901 has it.
fn pointer(field: &str) -> String {
    json_pointer(field.split(['.', '[', ']']).filter(|part| !part.is_empty()))
}

fn exists(name: &Name) -> Refusal {
    let hint = Some("change it with `/update`, or remove it first".to_owned());
    let detail = format!("a process named `{name}` is declared already");
    Refusal::new(StatusCode::CONFLICT, "process_exists", detail, hint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(value: Value) -> ProcessSpec {
        serde_json::from_value(value).unwrap()
    }

    fn site() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path(), &directory.path().join(".piton"));
        (directory, layout)
    }

    fn load(layout: &Layout) -> Catalog {
        let (catalog, found) = piton_spec::load(layout, None);
        assert_eq!(found, []);
        catalog
    }

    #[test]
    fn what_is_registered_is_declared_and_what_is_undone_is_not() {
        let (_directory, layout) = site();
        let web = spec(json!({ "name": "web", "command": "sleep 1", "restart_interval": 5_000_000_000_u64 }));
        let changed = create(&layout, &load(&layout), &web).unwrap();
        let catalog = load(&layout);
        let declared = &catalog.processes[&Name::parse("web").unwrap()];
        assert_eq!(declared.process.restart.delay, std::time::Duration::from_secs(5));
        assert!(is_same(&declared.process, &web, &catalog));
        assert_eq!(create(&layout, &catalog, &web).unwrap_err().into_problem().code, "process_exists");
        changed.undo().unwrap();
        assert!(load(&layout).processes.is_empty());
    }

    #[test]
    fn the_same_is_known_in_other_words() {
        let (_directory, layout) = site();
        let text = "type = \"process\"\n[spec]\nname = \"web\"\ncommand = \"sleep 1\"\nrestart_interval = \"5s\"\n";
        fs::create_dir_all(&layout.programs).unwrap();
        fs::write(layout.programs.join("web.toml"), text).unwrap();
        let catalog = load(&layout);
        let declared = &catalog.processes[&Name::parse("web").unwrap()].process;
        for (value, same) in [
            (json!({ "name": "web", "command": "sleep 1", "restart_interval": 5_000_000_000_u64 }), true),
            (json!({ "restart_interval": "5000ms", "command": "sleep 1", "instances": 1, "name": "web" }), true),
            (json!({ "name": "web", "command": "sleep 1" }), false),
            (json!({ "name": "web", "command": "sleep 1", "restart_interval": "5s", "nonsense": 1 }), false),
        ] {
            assert_eq!(is_same(declared, &spec(value.clone()), &catalog), same, "{value}");
        }
    }

    #[test]
    fn what_is_updated_can_be_undone_whatever_it_was_written_in() {
        let (_directory, layout) = site();
        let file = layout.programs.join("web.toml");
        let text = "# Ours.\ntype = \"process\"\n[spec]\nname = \"web\"\ncommand = \"sleep 1\"\n";
        fs::create_dir_all(&layout.programs).unwrap();
        fs::write(&file, text).unwrap();
        let other = spec(json!({ "name": "web", "command": "sleep 2" }));
        let changed = update(&layout, &load(&layout), &other).unwrap();
        let name = Name::parse("web").unwrap();
        let program = |catalog: &Catalog| format!("{:?}", catalog.processes[&name].process.program);
        assert!(program(&load(&layout)).contains('2'));
        assert_eq!(fs::read_to_string(&file).unwrap(), text.replace('1', "2"), "the rest of the file stays");
        changed.undo().unwrap();
        assert!(program(&load(&layout)).contains('1'));
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        let removed = remove(&layout, &load(&layout), &name).unwrap();
        assert!(load(&layout).processes.is_empty());
        removed.undo().unwrap();
        assert_eq!(load(&layout).processes.len(), 1);
        let unknown = remove(&layout, &load(&layout), &Name::parse("api").unwrap()).unwrap_err();
        assert_eq!(unknown.into_problem().code, "process_not_found");
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let (_directory, layout) = site();
        let table = [
            (json!({ "name": "web", "command": "x", "work_dir": "relative" }), "/work_dir"),
            (json!({ "name": "web", "command": "x", "instancse": 2 }), "/instancse"),
            (json!({ "name": "web", "command": "x", "a.b/c[0]": 2 }), "/a.b~1c[0]"),
            (json!({ "name": "web", "command": "x", "log": { "file": { "dri": "/x" } } }), "/log/file/dri"),
            (json!({ "name": "web", "command": "x", "instances": "many" }), "/instances"),
            (
                json!({ "name": "web", "command": "x", "depends_on": [{ "name": "api", "contidion": "x" }] }),
                "/depends_on/0/contidion",
            ),
            (json!({ "name": "../web", "command": "x" }), "/name"),
            (json!({ "name": "web", "command": "x", "depends_on": ["none"] }), "/depends_on/0"),
        ];
        for (value, pointer) in table {
            let problem = create(&layout, &load(&layout), &spec(value.clone())).unwrap_err().into_problem();
            assert_eq!((problem.status, problem.code.as_str()), (422, "invalid_process"), "{value}");
            assert!(problem.errors.iter().any(|fault| fault.pointer == pointer), "{value}: {problem:?}");
        }
        assert!(load(&layout).processes.is_empty());
    }
}
