//! Files of programs that Piton writes itself, for what is declared over the API.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use piton_model::Name;
use serde_json::{Value as Json, json};

use super::items::pretty;
use super::program::Kind;
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
/// not at all, and only its owner can read it. One that is there already is replaced only where it is `replaces`: a
/// JSON file in its place, another one by a JSON file.
pub fn write_program(
    directory: &Path,
    kind: Kind,
    name: &Name,
    spec: &Json,
    replaces: Option<&Path>,
) -> Result<PathBuf, WriteError> {
    let (file, text) = program_file(kind, name, spec);
    if let Some(replaces) = replaces {
        check_place(directory, replaces)?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("make", directory))?;
    let in_place = replaces.filter(|file| Format::of(file) == Some(Format::Json));
    let target = in_place.map_or_else(|| directory.join(&file), Path::to_path_buf);
    let draft = write_draft(directory, &file, text.as_bytes())?;
    let placed = match in_place {
        Some(_) => fs::rename(&draft, &target).map_err(failed("replace", &target)),
        // A link is made only where nothing is, whoever else writes at the same time.
        None => match fs::hard_link(&draft, &target) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(WriteError::Taken(target.clone())),
            linked => linked.map_err(failed("write", &target)),
        },
    };
    if in_place.is_none() || placed.is_err() {
        // It is hidden, so nobody would read it either.
        let _ = fs::remove_file(&draft);
    }
    placed?;
    if let Some(old) = replaces.filter(|old| *old != target) {
        fs::remove_file(old).map_err(failed("remove", old))?;
    }
    sync(directory)?;
    Ok(target)
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

/// Makes the file of a program as it was before `made` was written in its place, in the same manner as it was written.
pub fn put_back(directory: &Path, made: Option<&Path>, file: &Path, before: &[u8]) -> Result<(), WriteError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let (Some(name), true) = (name, file.parent() == Some(directory)) else {
        return Err(WriteError::Outside(file.to_path_buf()));
    };
    let draft = write_draft(directory, name, before)?;
    let removed = made.filter(|made| *made != file).map_or(Ok(()), |made| remove_program(directory, made));
    let placed = removed.and_then(|()| fs::rename(&draft, file).map_err(failed("put back", file)));
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
