//! Blueprints from git: fetched once for each commit, into a directory that never changes again.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use piton_exec::Git;
use piton_exec::git::{Address, Error, Ref, Scheme};
use piton_model::{Digest, Failure, FailureClass};
use piton_scaffold::{Cache, Commit, Pointer};
use tokio::sync::Mutex;

use super::{Found, blocking};

/// So many commits of each repository are kept.
const COMMITS: usize = 4;

/// What was fetched, and what fetches.
#[derive(Debug)]
pub(super) struct Fetched {
    git: Git,
    /// Each repository has a directory in it, and each commit one in that.
    kept: PathBuf,
    /// What paths of repositories are relative to.
    root: PathBuf,
    /// One at a time: what one reads another must not remove, and both may want the same.
    turn: Mutex<()>,
}

impl Fetched {
    pub(super) fn new(git: Git, kept: PathBuf, root: PathBuf) -> Fetched {
        Fetched { git, kept, root, turn: Mutex::new(()) }
    }

    /// The blueprint that a pointer means now, or meant when it was at the commit `pinned`.
    pub(super) async fn find(
        &self,
        pointer: &Pointer,
        pinned: Option<&str>,
        cache: &Arc<Cache>,
    ) -> Result<Found, Failure> {
        let address = self.address(pointer).map_err(|error| error.failure())?;
        let wanted = pinned.or(pointer.reference.as_deref()).map(str::parse::<Ref>).transpose();
        let wanted = wanted.map_err(|error| error.failure())?;
        let repository = self.kept.join(Digest::of(address.as_str().as_bytes()).short());
        make_private(&repository).map_err(|error| unusable(&repository, &error))?;
        let known = match pinned {
            Some(commit) => Some(commit.to_owned()),
            None => self.git.commit(&address, wanted.as_ref(), &repository).await.map_err(|error| error.failure())?,
        };
        let _turn = self.turn.lock().await;
        let commit = match known {
            Some(commit) if repository.join(&commit).is_dir() => commit,
            // What `git` told may be gone by now; what it fetches is what counts.
            _ => self.fetch(&address, wanted.as_ref(), &repository).await?,
        };
        let key = Commit { url: address.as_str().to_owned(), commit: commit.clone(), path: pointer.path.clone() };
        let (cache, checkout, shown) = (Arc::clone(cache), repository.join(&commit), address.to_string());
        let load = move || {
            let directory = inside(&checkout, &key.path).ok_or_else(|| {
                let short: String = key.commit.chars().take(12).collect();
                let message = format!("the repository {shown} has no directory `{}` at commit {short}", key.path);
                Failure::new(FailureClass::Permanent, "blueprint_path_not_found", message)
            })?;
            cache.commit(&key, || Ok(directory)).map_err(|error| Failure::from(&error))
        };
        Ok(Found { blueprint: blocking(load).await?, commit: Some(commit) })
    }

    fn address(&self, pointer: &Pointer) -> Result<Address, Error> {
        let address: Address = pointer.url.parse()?;
        if address.scheme() == Scheme::File && !pointer.url.contains("://") {
            return self.root.join(&pointer.url).to_string_lossy().parse();
        }
        Ok(address)
    }

    /// Fetches into a directory beside, and puts it in its place by its commit.
    async fn fetch(&self, address: &Address, wanted: Option<&Ref>, repository: &Path) -> Result<String, Failure> {
        let failed = |error: io::Error| unusable(repository, &error);
        let work = tempfile::Builder::new().prefix(".incoming-").tempdir_in(repository).map_err(failed)?;
        let into = work.path().join("checkout");
        fs::create_dir(&into).map_err(failed)?;
        let commit = self.git.checkout(address, wanted, &into).await.map_err(|error| error.failure())?.commit;
        let (repository, place) = (repository.to_owned(), repository.join(&commit));
        blocking(move || {
            let put = fs::remove_dir_all(into.join(".git")).and_then(|()| match fs::rename(&into, &place) {
                // Another process was faster.
                Err(_) if place.is_dir() => Ok(()),
                renamed => renamed,
            });
            put.map_err(|error| unusable(&place, &error))?;
            thin_out(&repository, &place);
            drop(work);
            Ok(())
        })
        .await?;
        tracing::info!(repository = %address, commit, "a blueprint was fetched");
        Ok(commit)
    }
}

/// The directory `path` below `root`, reached without a link.
fn inside(root: &Path, path: &str) -> Option<PathBuf> {
    let mut at = root.to_owned();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        at.push(name);
        if !fs::symlink_metadata(&at).is_ok_and(|found| found.is_dir()) {
            return None;
        }
    }
    Some(at)
}

/// Removes commits that nobody has wanted for longest. What cannot be removed is tried again with the next fetch.
fn thin_out(repository: &Path, newest: &Path) {
    let age = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let entries = fs::read_dir(repository).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let is_commit = |path: &PathBuf| {
        path != newest && path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
    };
    let mut others: Vec<PathBuf> = entries.filter(is_commit).collect();
    others.sort_by_key(|path| std::cmp::Reverse(age(path)));
    for old in others.iter().skip(COMMITS - 1) {
        if let Err(error) = fs::remove_dir_all(old) {
            tracing::debug!(directory = %old.display(), %error, "an old blueprint was left behind");
        }
    }
}

fn make_private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot keep a blueprint in {}: {error}", path.display());
    Failure::new(FailureClass::Transient, "template_io", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let (tree, outside) = (root.path().join("tree"), root.path().join("outside"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("out")).unwrap();
        fs::write(tree.join("file"), "").unwrap();
        assert_eq!(inside(&tree, "a/b"), Some(tree.join("a/b")));
        assert_eq!(inside(&tree, ""), Some(tree.clone()));
        for bad in ["out", "file", "a/c"] {
            assert_eq!(inside(&tree, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_few_commits_stay() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..9 {
            fs::create_dir(root.path().join(format!("{number}"))).unwrap();
        }
        fs::create_dir(root.path().join(".incoming-x")).unwrap();
        thin_out(root.path(), &root.path().join("3"));
        let left = fs::read_dir(root.path()).unwrap().count();
        assert_eq!(left, COMMITS + 1, "with what is being fetched");
        assert!(root.path().join("3").is_dir() && root.path().join(".incoming-x").is_dir());
    }
}
