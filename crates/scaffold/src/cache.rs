//! Keeps loaded blueprints, for many renderings of the same.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::blueprint::{Blueprint, Settings};
use crate::error::Error;
use crate::source::Source;

/// A directory may change while it is read; it is read again as often.
const ATTEMPTS: usize = 3;

/// A place in a git repository, at a commit: it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Commit {
    /// Where the repository is.
    pub url: String,
    /// The full name of the commit.
    pub commit: String,
    /// The directory in it; empty for its root.
    pub path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Directory(PathBuf),
    Commit(Commit),
}

#[derive(Debug)]
struct Slot {
    blueprint: Arc<Blueprint>,
    /// What the directory looked like; commits need none.
    fingerprint: Option<[u8; 32]>,
    used: u64,
}

#[derive(Debug, Default)]
struct Slots {
    slots: HashMap<Key, Slot>,
    /// Counts uses, to tell which was longest ago.
    uses: u64,
}

/// Loaded blueprints, up to a number of bytes; those that were not used for longest go first.
#[derive(Debug)]
pub struct Cache {
    settings: Settings,
    limit: u64,
    slots: Mutex<Slots>,
}

impl Cache {
    /// An empty cache. Blueprints are loaded with these settings.
    pub fn new(settings: Settings, limit: u64) -> Cache {
        Cache { settings, limit, slots: Mutex::default() }
    }

    /// The blueprint in a directory as it is now. Files that changed are noticed by their size, inode and times.
    pub fn directory(&self, directory: &Path) -> Result<Arc<Blueprint>, Error> {
        let source = Source::open(directory, &self.settings.limits)?;
        let mut fingerprint = source.fingerprint()?;
        let key = Key::Directory(directory.to_owned());
        if let Some(blueprint) = self.find(&key, Some(fingerprint)) {
            return Ok(blueprint);
        }
        for _ in 0..ATTEMPTS {
            let blueprint = Arc::new(Blueprint::load(directory, &self.settings)?);
            let after = source.fingerprint()?;
            if after == fingerprint {
                self.keep(key, Arc::clone(&blueprint), Some(fingerprint));
                return Ok(blueprint);
            }
            fingerprint = after;
        }
        // It changes all the time: what is read is used, and not kept.
        Blueprint::load(directory, &self.settings).map(Arc::new)
    }

    /// The blueprint at a commit. `checkout` is called if it is not known, and says where its files are.
    pub fn commit(
        &self,
        commit: &Commit,
        checkout: impl FnOnce() -> Result<PathBuf, Error>,
    ) -> Result<Arc<Blueprint>, Error> {
        let key = Key::Commit(commit.clone());
        if let Some(blueprint) = self.find(&key, None) {
            return Ok(blueprint);
        }
        let blueprint = Arc::new(Blueprint::load(&checkout()?, &self.settings)?);
        self.keep(key, Arc::clone(&blueprint), None);
        Ok(blueprint)
    }

    /// Bytes of what is kept.
    pub fn size(&self) -> u64 {
        self.lock().slots.values().map(|slot| slot.blueprint.size()).sum()
    }

    fn find(&self, key: &Key, fingerprint: Option<[u8; 32]>) -> Option<Arc<Blueprint>> {
        let mut slots = self.lock();
        slots.uses += 1;
        let uses = slots.uses;
        let slot = slots.slots.get_mut(key).filter(|slot| slot.fingerprint == fingerprint)?;
        slot.used = uses;
        Some(Arc::clone(&slot.blueprint))
    }

    fn keep(&self, key: Key, blueprint: Arc<Blueprint>, fingerprint: Option<[u8; 32]>) {
        if blueprint.size() > self.limit {
            return;
        }
        let mut slots = self.lock();
        slots.uses += 1;
        let used = slots.uses;
        slots.slots.insert(key, Slot { blueprint, fingerprint, used });
        while slots.slots.values().map(|slot| slot.blueprint.size()).sum::<u64>() > self.limit {
            let oldest = slots.slots.iter().min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            slots.slots.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        // A slot is put in as a whole, so what a thread left that panicked is fine.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
