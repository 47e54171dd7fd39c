//! What has to be made to look at nothing, and is taken away again: whoever only asks leaves no directory and no
//! database.

use std::io;
use std::path::{Path, PathBuf};

use crate::place::Place;

/// The state files of an older scheduler, below `state`. They are taken over at the first look, which has to stay.
const OLDER: [&str; 2] = ["state/scheduler.json", "state/jobs.json"];

/// What was not there before it was looked at.
#[derive(Debug)]
pub struct Traces {
    /// The data directory, and those around it that had to be made too, from inside to outside.
    directories: Vec<PathBuf>,
    /// Of databases that lie elsewhere.
    files: Vec<PathBuf>,
}

impl Traces {
    /// What opening the data directory will make, where nothing is there yet.
    pub fn expected(place: &Place) -> Option<Traces> {
        let data_dir = &place.data_dir;
        if is_there(data_dir) || OLDER.iter().any(|file| place.root.join(file).exists()) {
            return None;
        }
        let missing = data_dir.ancestors().take_while(|directory| !is_there(directory));
        let urls = [Some(&place.config.store_url), place.config.auth.store_url.as_ref()];
        let databases = urls.into_iter().flatten().filter_map(|url| url.expose().strip_prefix("sqlite:"));
        let elsewhere = databases.map(Path::new).filter(|file| !file.starts_with(data_dir) && !is_there(file));
        let files = elsewhere.flat_map(|file| {
            ["", "-wal", "-shm"].map(|end| {
                let mut name = file.as_os_str().to_owned();
                name.push(end);
                PathBuf::from(name)
            })
        });
        Some(Traces { directories: missing.map(Path::to_owned).collect(), files: files.collect() })
    }

    /// Takes it away. The data directory must be locked, and nobody may have changed anything in it.
    pub fn remove(&self) -> io::Result<()> {
        for file in &self.files {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let Some((data_dir, around)) = self.directories.split_first() else { return Ok(()) };
        // At once, so that whoever begins here meanwhile makes a directory of his own, and loses nothing of it.
        let aside = data_dir.with_extension(format!("{}.unused", std::process::id()));
        std::fs::rename(data_dir, &aside)?;
        std::fs::remove_dir_all(&aside)?;
        // Those in which somebody else has put something stay.
        around.iter().try_for_each(std::fs::remove_dir)
    }
}

/// A link that leads nowhere is there, too.
fn is_there(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use piton_spec::{Config, Sources};

    use super::*;

    #[test]
    fn what_was_made_goes_and_what_was_there_stays() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::write(at("piton.toml"), "[data]\ndir = 'a/b/data'\n[store]\nurl = 'sqlite:other.db'\n").unwrap();
        let sources = Sources { current_dir: root.path().to_owned(), ..Sources::default() };
        let (config, warnings) = Config::load(&sources).unwrap();
        let place = Place { root: config.root.clone(), data_dir: config.data_dir.clone(), config, warnings };
        let make = || {
            std::fs::create_dir_all(at("a/b/data/runs")).unwrap();
            std::fs::write(at("other.db"), "").unwrap();
            std::fs::write(at("other.db-wal"), "").unwrap();
        };
        let left = || {
            let entries = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let traces = Traces::expected(&place).unwrap();
        make();
        traces.remove().unwrap();
        assert_eq!(left(), ["piton.toml"]);

        std::fs::create_dir(at("a")).unwrap();
        std::fs::write(at("other.db"), "kept").unwrap();
        let traces = Traces::expected(&place).unwrap();
        std::fs::create_dir_all(at("a/b/data")).unwrap();
        traces.remove().unwrap();
        assert_eq!(left(), ["a", "other.db", "piton.toml"]);
        assert!(!at("a/b").exists());

        make();
        assert!(Traces::expected(&place).is_none(), "it is there already");
        std::fs::remove_dir_all(at("a")).unwrap();
        std::fs::create_dir(at("state")).unwrap();
        assert!(Traces::expected(&place).is_some());
        std::fs::write(at("state/scheduler.json"), "{}").unwrap();
        assert!(Traces::expected(&place).is_none(), "it is taken over, and stays");
    }
}
