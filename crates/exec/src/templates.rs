//! The registered templates: fetched from git, kept whole, swapped in one step.
//!
//! `templates/registry.json` says which there are, `templates/NAME/` holds their files. Whoever reads the files holds a
//! shared lock on `templates/.lock`, whoever replaces them an exclusive one, so a layout never mixes two versions. The
//! lock is the kernel's: it also holds between a daemon and a command line, and ends with its holder.

mod error;
mod lock;
mod registry;
mod swap;
mod validate;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use piton_model::{Digest, Name};
use tokio_util::sync::CancellationToken;

pub use error::Error;
use lock::Lock;
pub use registry::{Registered, Registry};
pub use validate::{Diagnostic, Severity, Validation};

use crate::git::{self, Address, Git, Ref};
use crate::tree::{self, Skip, Tree};

/// The registered templates below one directory. Clones share it.
#[derive(Debug, Clone)]
pub struct Templates {
    directory: Arc<PathBuf>,
    git: Git,
    stop: CancellationToken,
}

/// Where a template comes from, as it is given by people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The repository.
    pub url: String,
    /// The directory in the repository; none for its root.
    pub path: Option<String>,
    /// Branch, tag or commit; none for the default branch.
    pub reference: Option<String>,
}

impl Origin {
    /// Whether it may be registered, which is to be stored and shown. What was registered earlier is still fetched.
    pub fn check(&self) -> Result<(), git::Error> {
        let address: Address = self.url.parse()?;
        if address.holds_credentials() {
            return Err(git::Error::AddressHoldsCredentials { address: address.to_string() });
        }
        Ok(())
    }
}

/// What an update found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// The files are what they were.
    Unchanged(Registered),
    /// The files changed.
    Changed {
        /// What was registered before.
        before: Registered,
        /// What is registered now.
        after: Registered,
    },
}

/// A template with the names of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// The entry of the registry.
    pub registered: Registered,
    /// The files, sorted, relative to the template.
    pub files: Vec<PathBuf>,
}

/// The files of a template, which do not change while this is held.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) registered: Registered,
    pub(crate) tree: Tree,
    pub(crate) lock: Lock,
}

impl Templates {
    /// What fetches them.
    pub(crate) fn git(&self) -> &Git {
        &self.git
    }

    /// Keeps templates in `directory`, and fetches them with `git`.
    pub fn new(directory: impl Into<PathBuf>, git: Git) -> Templates {
        Templates { directory: Arc::new(directory.into()), git, stop: CancellationToken::new() }
    }

    /// Fetches nothing any more: what is being fetched ends with an error, and leaves no process behind.
    pub fn stop_fetching(&self) {
        self.stop.cancel();
    }

    /// The directory of a template's files.
    pub fn path(&self, name: &Name) -> PathBuf {
        self.directory.join(name.as_str())
    }

    /// Fetches a template and registers it.
    pub async fn add(
        &self,
        name: &Name,
        origin: &Origin,
        description: &str,
        at: Timestamp,
    ) -> Result<Registered, Error> {
        if name.as_str() == registry::FILE {
            return Err(Error::NameTaken { name: name.clone() });
        }
        if self.read().await?.get(name).is_some() {
            return Err(Error::NameTaken { name: name.clone() });
        }
        origin.check()?;
        let fetched = self.fetch(origin).await?;
        let registered = Registered {
            name: name.clone(),
            source_url: origin.url.clone(),
            source_path: origin.path.clone().unwrap_or_default(),
            source_ref: origin.reference.clone().unwrap_or_default(),
            created_at: at,
            updated_at: at,
            content_hash: fetched.digest.as_str().to_owned(),
            description: description.to_owned(),
            version: origin.reference.clone().unwrap_or_else(|| fetched.commit.clone()),
            commit: Some(fetched.commit.clone()),
            rest: serde_json::Map::new(),
        };
        let entry = registered.clone();
        self.change(move |directory, registry| {
            // Somebody may have been faster while this one was fetching.
            if registry.get(&entry.name).is_some() {
                return Err(Error::NameTaken { name: entry.name });
            }
            swap::put(fetched.content(), &directory.join(entry.name.as_str()))?;
            registry.insert(entry);
            Ok(())
        })
        .await?;
        Ok(registered)
    }

    /// Fetches a template again. Its files are only touched if they differ.
    pub async fn update(&self, name: &Name, at: Timestamp) -> Result<Update, Error> {
        let before = self.registered(name).await?;
        let origin = before.origin();
        let fetched = self.fetch(&origin).await?;
        let name = name.clone();
        self.change(move |directory, registry| {
            let Some(before) = registry.get(&name).cloned() else {
                return Err(Error::Unknown { name, nearest: Vec::new() });
            };
            let mut after = before.clone();
            after.commit = Some(fetched.commit.clone());
            if origin.reference.is_none() {
                after.version.clone_from(&fetched.commit);
            }
            let target = directory.join(name.as_str());
            let unchanged = before.content_hash == fetched.digest.as_str() && target.is_dir();
            if unchanged {
                registry.insert(after.clone());
                return Ok(Update::Unchanged(after));
            }
            fetched.digest.as_str().clone_into(&mut after.content_hash);
            after.updated_at = at;
            swap::put(fetched.content(), &target)?;
            registry.insert(after.clone());
            Ok(Update::Changed { before, after })
        })
        .await
    }

    /// Updates every template. One that fails does not keep the others from being updated.
    pub async fn update_all(&self, at: Timestamp) -> Result<Vec<(Name, Result<Update, Error>)>, Error> {
        let mut results = Vec::new();
        for registered in self.list().await? {
            let result = self.update(&registered.name, at).await;
            results.push((registered.name, result));
        }
        Ok(results)
    }

    /// Asks the tool whether the template is good code.
    pub async fn validate(&self, name: &Name, tool: &piton_tools::Installed) -> Result<Validation, Error> {
        let this = self.clone();
        let wanted = name.clone();
        let (copy, files) = blocking(move || {
            let snapshot = this.snapshot(&wanted)?;
            let copy = tempfile::tempdir().map_err(Error::io("create a directory below", &std::env::temp_dir()))?;
            tree::place(&snapshot.tree, copy.path()).map_err(|error| Error::of_tree(wanted, error))?;
            Ok((copy, snapshot.tree.files().map(Path::to_owned).collect::<Vec<_>>()))
        })
        .await?;
        validate::validate(name, copy.path(), &files, tool, self.git.environment()).await
    }

    /// Forgets a template and removes its files.
    pub async fn remove(&self, name: &Name) -> Result<Registered, Error> {
        let name = name.clone();
        self.change(move |directory, registry| {
            let Some(removed) = registry.remove(&name) else { return Err(registry.unknown(&name)) };
            swap::take_away(&directory.join(name.as_str()))?;
            Ok(removed)
        })
        .await
    }

    /// The registered templates, by name.
    pub async fn list(&self) -> Result<Vec<Registered>, Error> {
        Ok(self.read().await?.into_iter().collect())
    }

    /// One template and its files.
    pub async fn show(&self, name: &Name) -> Result<Details, Error> {
        let this = self.clone();
        let name = name.clone();
        blocking(move || {
            let snapshot = this.snapshot(&name)?;
            let files = snapshot.tree.files().map(Path::to_owned).collect();
            Ok(Details { registered: snapshot.registered, files })
        })
        .await
    }

    /// The files of a template as they are now. Blocks while one is being replaced.
    pub(crate) fn snapshot(&self, name: &Name) -> Result<Snapshot, Error> {
        let lock = Lock::shared(&self.directory)?;
        let registry = Registry::read(&self.directory)?;
        let registered = registry.get(name).cloned().ok_or_else(|| registry.unknown(name))?;
        let path = self.path(name);
        if !path.is_dir() {
            return Err(Error::FilesMissing { name: name.clone(), path });
        }
        let tree = Tree::scan(&path, Skip::Tools).map_err(|error| Error::of_tree(name.clone(), error))?;
        tree.check_links().map_err(|error| Error::of_tree(name.clone(), error))?;
        Ok(Snapshot { registered, tree, lock })
    }

    async fn registered(&self, name: &Name) -> Result<Registered, Error> {
        let registry = self.read().await?;
        registry.get(name).cloned().ok_or_else(|| registry.unknown(name))
    }

    async fn read(&self) -> Result<Registry, Error> {
        let directory = Arc::clone(&self.directory);
        // The registry is replaced by a rename, so a reader needs no lock.
        blocking(move || Registry::read(&directory)).await
    }

    /// Changes files and registry together, alone. The registry is written last: what it names is there.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Path, &mut Registry) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let directory = Arc::clone(&self.directory);
        blocking(move || {
            let _lock = Lock::exclusive(&directory)?;
            let mut registry = Registry::read(&directory)?;
            let result = change(&directory, &mut registry)?;
            registry.write(&directory)?;
            Ok(result)
        })
        .await
    }

    async fn fetch(&self, origin: &Origin) -> Result<Fetched, Error> {
        let address: Address = origin.url.parse()?;
        let reference = origin.reference.as_deref().map(str::parse::<Ref>).transpose()?;
        let directory = Arc::clone(&self.directory);
        let work = blocking(move || swap::workplace(&directory)).await?;
        let clone = work.path().join("clone");
        let content = work.path().join("content");
        std::fs::create_dir(&clone).map_err(Error::io("create", &clone))?;
        let checkout = self.git.checkout(&address, reference.as_ref(), &clone);
        let Some(checkout) = self.stop.run_until_cancelled(checkout).await else {
            return Err(git::Error::Interrupted { address: address.to_string() }.into());
        };
        let commit = checkout?.commit;
        let path = origin.path.clone().unwrap_or_default();
        blocking(move || {
            let source = swap::inside(&clone, &path)
                .ok_or_else(|| Error::PathNotFound { path: path.clone(), directories: swap::directories(&clone) })?;
            let tree = Tree::scan(&source, Skip::Tools)?;
            tree.check_links()?;
            let digest = tree.digest()?;
            tree::place(&tree, &content)?;
            std::fs::remove_file(content.join(tree::MANIFEST)).map_err(Error::io("remove", &content))?;
            Ok(Fetched { commit, digest, work })
        })
        .await
    }
}

/// Files that were fetched and are not in place yet.
struct Fetched {
    commit: String,
    digest: Digest,
    work: tempfile::TempDir,
}

impl Fetched {
    fn content(&self) -> PathBuf {
        self.work.path().join("content")
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal { problem: error.to_string() })?
}
