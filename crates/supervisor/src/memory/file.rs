//! Wishes in a file of their own, for those who embed the supervisor.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Memory, Remembering, Wish};

/// A JSON file, replaced as a whole with every change. Without the file nothing is wished.
#[derive(Debug, Clone)]
pub struct FileMemory {
    path: Arc<PathBuf>,
    /// Held while the file is replaced: what one change read, no other may have changed.
    turn: Arc<Mutex<()>>,
}

impl FileMemory {
    /// The memory at this path.
    pub fn new(path: impl Into<PathBuf>) -> FileMemory {
        FileMemory { path: Arc::new(path.into()), turn: Arc::default() }
    }

    /// File systems block, and a sync takes its time.
    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let (path, turn) = (Arc::clone(&self.path), Arc::clone(&self.turn));
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            work(&path).map_err(|error| format!("{}: {error}", path.display()))
        });
        done.await.map_err(|error| error.to_string())?
    }
}

impl Memory for FileMemory {
    fn load(&self) -> Remembering<'_, BTreeMap<String, Wish>> {
        Box::pin(self.beside(read))
    }

    fn save<'a>(&'a self, process: &'a str, wish: &'a Wish) -> Remembering<'a, ()> {
        let changes = vec![(process.to_owned(), wish.clone())];
        Box::pin(self.beside(move |path| change(path, changes)))
    }

    fn save_all<'a>(&'a self, wishes: &'a BTreeMap<String, Wish>) -> Remembering<'a, ()> {
        let changes = wishes.iter().map(|(process, wish)| (process.clone(), wish.clone())).collect();
        Box::pin(self.beside(move |path| change(path, changes)))
    }
}

fn read(path: &Path) -> io::Result<BTreeMap<String, Wish>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

fn change(path: &Path, changes: Vec<(String, Wish)>) -> io::Result<()> {
    let mut wishes = read(path)?;
    for (process, wish) in changes {
        if wish == Wish::default() {
            wishes.remove(&process);
        } else {
            wishes.insert(process, wish);
        }
    }
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(&wishes)?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wishes_come_back_and_the_default_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let memory = || FileMemory::new(dir.path().join("wishes.json"));
        assert!(memory().load().await.unwrap().is_empty());
        let wish =
            Wish { instances: Some(3), declared: Some(2), running: BTreeMap::from([("web-1".to_owned(), false)]) };
        memory().save("web", &wish).await.unwrap();
        memory().save("api", &wish).await.unwrap();
        let all = BTreeMap::from([("web".to_owned(), Wish::default()), ("db".to_owned(), wish.clone())]);
        memory().save_all(&all).await.unwrap();
        let both = BTreeMap::from([("api".to_owned(), wish.clone()), ("db".to_owned(), wish)]);
        assert_eq!(memory().load().await.unwrap(), both);
    }

    #[tokio::test]
    async fn a_file_that_makes_no_sense_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wishes.json");
        fs::write(&path, "{").unwrap();
        let memory = FileMemory::new(&path);
        assert!(memory.load().await.unwrap_err().contains("wishes.json"));
        assert!(memory.save("web", &Wish::default()).await.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"{");
    }
}
