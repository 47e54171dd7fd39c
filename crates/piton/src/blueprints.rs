//! Where blueprints lie, and what they are rendered with.
//!
//! A blueprint is a directory, or a file `NAME.toml` that points into a git repository. What was fetched is kept by
//! commit: whether a branch has moved takes one question, and a fetch only if it has.

mod fetched;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use piton_exec::Git;
use piton_model::{Failure, FailureClass};
use piton_scaffold::{Blueprint, Cache, Limits, Pointer, Settings, Surroundings};
use rustls::crypto::SecureRandom;

use crate::error::{CommandError, Exit};
use crate::place::Place;
use fetched::Fetched;

/// Bytes of blueprints that are kept compiled.
const KEPT: u64 = 256 << 20;

/// The blueprints of an installation.
#[derive(Debug)]
pub struct Blueprints {
    roots: Vec<PathBuf>,
    cache: Arc<Cache>,
    fetched: Fetched,
}

/// A blueprint, and the commit that it was read from; none for one of a directory.
#[derive(Debug, Clone)]
pub struct Found {
    pub blueprint: Arc<Blueprint>,
    pub commit: Option<String>,
}

impl Blueprints {
    /// Those of `place`. Nothing is read or fetched yet.
    pub fn new(place: &Place, git: Git, now: piton_engine::Clock) -> Result<Blueprints, CommandError> {
        let kept = place.config.worker.template_cache_dir.as_ref().map_or_else(
            || place.data_dir.join("blueprints"),
            // No blueprint has a name that begins with a dot.
            |directory| directory.join(".git-blueprints"),
        );
        Ok(Blueprints {
            roots: roots(place),
            cache: Arc::new(Cache::new(settings(place, move || now.now())?, KEPT)),
            fetched: Fetched::new(git, kept, place.root.clone()),
        })
    }

    /// The blueprint of this name as it is now, or was at the commit `pinned`, for one from git.
    pub async fn find(&self, name: &str, pinned: Option<&str>) -> Result<Found, Failure> {
        match locate_in(&self.roots, name)? {
            Some(Located::Directory(directory)) => {
                let cache = Arc::clone(&self.cache);
                let load = move || cache.directory(&directory).map_err(|error| Failure::from(&error));
                Ok(Found { blueprint: blocking(load).await?, commit: None })
            }
            Some(Located::Git(pointer)) => self.fetched.find(&pointer, pinned, &self.cache).await,
            None => Err(Failure::new(
                FailureClass::Permanent,
                "blueprint_not_found",
                format!("there is no blueprint `{}`", name.escape_debug()),
            )
            .hint("blueprints are the directories in `blueprints` and in `worker.template_cache_dir`, and files `NAME.toml` in the first")),
        }
    }
}

/// What a name leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Located {
    Directory(PathBuf),
    Git(Pointer),
}

fn roots(place: &Place) -> Vec<PathBuf> {
    let cached = place.config.worker.template_cache_dir.clone();
    std::iter::once(place.root.join("blueprints")).chain(cached).collect()
}

/// What the blueprint of this name is. A name is no path: it comes from whoever may send messages. A file counts in the
/// first of the roots only: the other one may be written by others.
fn locate_in(roots: &[PathBuf], name: &str) -> Result<Option<Located>, Failure> {
    let is_plain = |char: char| char.is_alphanumeric() || matches!(char, '.' | '_' | '-' | ' ');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return Ok(None);
    }
    let directory = |root: &PathBuf| Some(root.join(name)).filter(|directory| directory.is_dir());
    let Some(first) = roots.first() else { return Ok(None) };
    if let Some(directory) = directory(first) {
        return Ok(Some(Located::Directory(directory)));
    }
    let file = format!("{name}.toml");
    match std::fs::read_to_string(first.join(&file)) {
        Ok(text) => {
            let pointer =
                Pointer::parse(&format!("blueprints/{file}"), &text).map_err(|error| Failure::from(&error))?;
            Ok(Some(Located::Git(pointer)))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(roots.iter().skip(1).find_map(directory).map(Located::Directory))
        }
        Err(error) => {
            let message = format!("cannot read blueprints/{file}: {error}");
            Err(Failure::new(FailureClass::Transient, "template_io", message))
        }
    }
}

/// What somebody means by a name or a path.
pub fn locate(place: &Place, given: &str) -> Result<Option<Located>, Failure> {
    let found = locate_in(&roots(place), given)?;
    let by_path =
        || Some(Path::new(given)).filter(|path| path.is_dir()).map(|path| Located::Directory(path.to_owned()));
    Ok(found.or_else(by_path))
}

/// Reads and compiles where that keeps nobody waiting.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| {
        Failure::new(FailureClass::Permanent, "internal_error", format!("reading a blueprint broke off: {error}"))
    })?
}

/// What blueprints of `place` are rendered with.
pub fn settings(
    place: &Place,
    now: impl Fn() -> jiff::Timestamp + Send + Sync + 'static,
) -> Result<Settings, CommandError> {
    let worker = &place.config.worker;
    let limits = Limits {
        template_size: worker.max_template_size,
        workspace_size: worker.max_workspace_size,
        duration: worker.max_job_duration,
        ..Limits::default()
    };
    Ok(Settings { limits, surroundings: surroundings(now)? })
}

fn surroundings(now: impl Fn() -> jiff::Timestamp + Send + Sync + 'static) -> Result<Surroundings, CommandError> {
    let random: &'static dyn SecureRandom = rustls::crypto::ring::default_provider().secure_random;
    let no_luck = |_| CommandError::new(Exit::Failed, "this system gives no random bytes");
    random.fill(&mut [0; 16]).map_err(no_luck)?;
    Ok(Surroundings {
        now: Arc::new(now),
        zone: TimeZone::system(),
        // A system that gave some before gives some again.
        random: Arc::new(move |bytes| while random.fill(bytes).is_err() {}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("blueprints/go-backend")).unwrap();
        std::fs::create_dir(root.path().join("secret")).unwrap();
        std::fs::write(root.path().join("secret.toml"), "url = 'x'\n").unwrap();
        let roots = [root.path().join("blueprints"), root.path().join("nowhere")];
        assert!(locate_in(&roots, "go-backend").unwrap().is_some());
        for bad in ["", ".", "..", "../secret", "/etc", "go-backend/", "a\\b", "no-such", "..secret"] {
            assert_eq!(locate_in(&roots, bad).unwrap(), None, "{bad}");
        }
    }

    #[test]
    fn a_file_points_into_git_and_a_directory_goes_before_it() {
        let root = tempfile::tempdir().unwrap();
        let (own, other) = (root.path().join("blueprints"), root.path().join("cache"));
        for directory in [own.join("both"), other.join("file"), other.join("dir")] {
            std::fs::create_dir_all(directory).unwrap();
        }
        for name in ["both", "file"] {
            std::fs::write(own.join(format!("{name}.toml")), "url = 'https://git.example.org/x'\n").unwrap();
        }
        std::fs::write(other.join("theirs.toml"), "url = 'https://git.example.org/x'\n").unwrap();
        std::fs::write(own.join("broken.toml"), "ulr = 1\n").unwrap();
        let roots = [own.clone(), other.clone()];
        let located = |name: &str| locate_in(&roots, name).unwrap();
        assert_eq!(located("both"), Some(Located::Directory(own.join("both"))));
        assert!(matches!(located("file"), Some(Located::Git(_))));
        assert_eq!(located("dir"), Some(Located::Directory(other.join("dir"))));
        assert_eq!(located("theirs"), None, "only declarations say what is fetched");
        let broken = locate_in(&roots, "broken").unwrap_err();
        assert_eq!(broken.code, "template_declaration_invalid");
        assert!(broken.message.starts_with("blueprints/broken.toml:1:"), "{}", broken.message);
    }
}
