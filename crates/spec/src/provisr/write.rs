//! Files of programs that Piton writes itself, for what is declared over the API.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use piton_model::Name;
use serde_json::{Value as Json, json};

use super::items::pretty;
use super::program::Kind;
use super::rewrite::rewrite;
use super::surroundings::Surroundings;
use crate::diagnostic::Diagnostic;
use crate::document::{Document, Format, read_bounded};

/// Why a file was not written or removed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is a file of that name, which nobody asked to replace.
    #[error("{0} is there already")]
    Taken(PathBuf),
    /// The file does not lie in the directory of programs, or is none.
    #[error("{0} is not a file of the directory of programs")]
    Outside(PathBuf),
    /// What is to be declared cannot be said in the format that the file has.
    #[error("{0} cannot say this in its format")]
    Inexpressible(PathBuf),
    /// The system says no.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The name and the text of the file that declares something.
pub fn program_file(kind: Kind, name: &Name, spec: &Json) -> (String, String) {
    let file = match kind {
        Kind::Process => format!("{name}.json"),
        Kind::Job | Kind::CronJob => format!("{name}.{}.json", kind.as_str()),
    };
    (file, pretty(&json!({"type": kind.as_str(), "spec": spec})))
}

/// Writes such a file into the directory of programs, which is made if it is missing. The file is there as a whole or
/// not at all, and only its owner can read it. None that is there already is replaced.
pub fn write_program(directory: &Path, kind: Kind, name: &Name, spec: &Json) -> Result<PathBuf, WriteError> {
    let (file, text) = program_file(kind, name, spec);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("make", directory))?;
    let target = directory.join(&file);
    let draft = write_draft(directory, &file, text.as_bytes())?;
    // A link is made only where nothing is, whoever else writes at the same time.
    let placed = match fs::hard_link(&draft, &target) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(WriteError::Taken(target.clone())),
        linked => linked.map_err(failed("write", &target)),
    };
    // It is hidden, so nobody would read it either.
    let _ = fs::remove_file(&draft);
    placed?;
    sync(directory)?;
    Ok(target)
}

/// Lets a file of the directory of programs declare something else. It keeps its name and its format and, as far as can
/// be, the rest of what is written in it. The file is changed as a whole or not at all.
pub fn rewrite_program(
    directory: &Path,
    file: &Path,
    kind: Kind,
    spec: &Json,
    around: &Surroundings,
) -> Result<(), WriteError> {
    check_place(directory, file)?;
    let before = fs::read(file).map_err(failed("read", file))?;
    let text = rewrite(file, &String::from_utf8_lossy(&before), kind, spec, around);
    let text = text.ok_or_else(|| WriteError::Inexpressible(file.to_path_buf()))?;
    replace(directory, file, text.as_bytes())
}

/// Removes a file of the directory of programs. One that is gone already is no mistake.
pub fn remove_program(directory: &Path, file: &Path) -> Result<(), WriteError> {
    match check_place(directory, file) {
        Ok(()) => {}
        Err(WriteError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    fs::remove_file(file).map_err(failed("remove", file))?;
    sync(directory)
}

/// Makes a file of the directory of programs as it was before it was changed or removed.
pub fn put_back(directory: &Path, file: &Path, before: &[u8]) -> Result<(), WriteError> {
    replace(directory, file, before)
}

fn replace(directory: &Path, file: &Path, text: &[u8]) -> Result<(), WriteError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let (Some(name), true) = (name, file.parent() == Some(directory)) else {
        return Err(WriteError::Outside(file.to_path_buf()));
    };
    let draft = write_draft(directory, name, text)?;
    let placed = fs::rename(&draft, file).map_err(failed("replace", file));
    if placed.is_err() {
        // It is hidden, so nobody would read it either.
        let _ = fs::remove_file(&draft);
    }
    placed?;
    sync(directory)
}

/// What a file of a program says: its kind and its `spec`, as it is written.
pub fn read_program(file: &Path) -> Result<(Kind, Json), Box<Diagnostic>> {
    match read_declaration(file, read_bounded(file)?)? {
        (Some(kind), spec) => Ok((kind, spec)),
        // A process and nothing around it.
        (None, json)
            if Format::of(file) == Some(Format::Json)
                && json.get("type").is_none()
                && json.get("spec").is_none()
                && json.get("name").is_some() =>
        {
            Ok((Kind::Process, json))
        }
        (None, _) => Err(Box::new(Diagnostic::error(file, "missing_field", "this file declares no program"))),
    }
}

/// What the text of such a file says: its kind and its `spec`, or else all of it.
pub fn read_declaration(file: &Path, text: Vec<u8>) -> Result<(Option<Kind>, Json), Box<Diagnostic>> {
    let document = Document::parse(file, text, Format::of(file).unwrap_or(Format::Json))?;
    let mut json = document.root.value.to_json();
    let word = json.get("type").and_then(Json::as_str);
    let kind = Kind::WORDS.iter().find(|(known, _)| Some(*known) == word).map(|(_, kind)| *kind);
    match (kind, json.get_mut("spec").map(Json::take)) {
        (Some(kind), Some(spec)) => Ok((Some(kind), spec)),
        (None, Some(spec)) => {
            json["spec"] = spec;
            Ok((None, json))
        }
        (_, None) => Ok((None, json)),
    }
}

/// Only regular files right in the directory are touched, so neither a path nor a link leads elsewhere.
fn check_place(directory: &Path, file: &Path) -> Result<(), WriteError> {
    if file.parent() != Some(directory) || file.file_name().is_none() {
        return Err(WriteError::Outside(file.to_path_buf()));
    }
    let metadata = fs::symlink_metadata(file).map_err(failed("look at", file))?;
    if metadata.is_file() { Ok(()) } else { Err(WriteError::Outside(file.to_path_buf())) }
}

/// Writes a hidden file, which nobody takes for a declaration.
fn write_draft(directory: &Path, file: &str, text: &[u8]) -> Result<PathBuf, WriteError> {
    for attempt in 0..100_u32 {
        let path = directory.join(format!(".{file}.{}.{attempt}", std::process::id()));
        let mut draft = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(draft) => draft,
            // Somebody else's, or what is left of a daemon that died.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(source) => return Err(failed("write", &path)(source)),
        };
        return match draft.write_all(text).and_then(|()| draft.sync_all()) {
            Ok(()) => Ok(path),
            Err(source) => {
                let _ = fs::remove_file(&path);
                Err(failed("write", &path)(source))
            }
        };
    }
    Err(WriteError::Taken(directory.join(file)))
}

fn sync(directory: &Path) -> Result<(), WriteError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("write", directory))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_path_buf();
    move |source| WriteError::Io { doing, path, source }
}
