//! Where blueprints lie, and what they are rendered with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use piton_model::{Failure, FailureClass};
use piton_scaffold::{Blueprint, Cache, Limits, Settings, Surroundings};
use rustls::crypto::SecureRandom;

use crate::error::{CommandError, Exit};
use crate::place::Place;

/// Bytes of blueprints that are kept compiled.
const KEPT: u64 = 256 << 20;

/// The blueprints of an installation.
#[derive(Debug)]
pub struct Blueprints {
    roots: Vec<PathBuf>,
    cache: Cache,
}

impl Blueprints {
    /// Those of `place`. Nothing is read yet.
    pub fn new(place: &Place, now: piton_engine::Clock) -> Result<Blueprints, CommandError> {
        let cached = place.config.worker.template_cache_dir.clone();
        let roots = std::iter::once(place.root.join("blueprints")).chain(cached).collect();
        Ok(Blueprints { roots, cache: Cache::new(settings(place, move || now.now())?, KEPT) })
    }

    /// The blueprint of this name as it is now. Reads and compiles; not for tasks that must not wait.
    pub fn find(&self, name: &str) -> Result<Arc<Blueprint>, Failure> {
        let Some(directory) = directory(&self.roots, name) else {
            return Err(Failure::new(
                FailureClass::Permanent,
                "blueprint_not_found",
                format!("there is no blueprint `{}`", name.escape_debug()),
            )
            .hint("blueprints are the directories in `blueprints` and in `worker.template_cache_dir`"));
        };
        self.cache.directory(&directory).map_err(|error| Failure::from(&error))
    }
}

/// The directory of the blueprint of this name. A name is no path: it comes from whoever may send messages.
pub fn directory(roots: &[PathBuf], name: &str) -> Option<PathBuf> {
    let is_plain = |char: char| char.is_alphanumeric() || matches!(char, '.' | '_' | '-' | ' ');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        return None;
    }
    roots.iter().map(|root| root.join(name)).find(|directory| directory.is_dir())
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

/// The directory that somebody means by a name or a path.
pub fn locate(place: &Place, given: &str) -> Option<PathBuf> {
    let mut roots = vec![place.root.join("blueprints")];
    roots.extend(place.config.worker.template_cache_dir.clone());
    directory(&roots, given).or_else(|| Some(Path::new(given)).filter(|path| path.is_dir()).map(Path::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("blueprints/go-backend")).unwrap();
        std::fs::create_dir(root.path().join("secret")).unwrap();
        let roots = [root.path().join("nowhere"), root.path().join("blueprints")];
        assert!(directory(&roots, "go-backend").is_some());
        for bad in ["", ".", "..", "../secret", "/etc", "go-backend/", "a\\b", "no-such"] {
            assert_eq!(directory(&roots, bad), None, "{bad}");
        }
    }
}
