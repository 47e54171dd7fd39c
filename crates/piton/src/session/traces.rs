//! What has to be made to look at nothing, and is taken away again: whoever only asks leaves no directory and no
//! database.

use std::io;
use std::path::{Path, PathBuf};

use crate::place::Place;

/// The state files of an older scheduler, below `state`. They are taken over at the first look, which has to stay.
const OLDER: [&str; 2] = ["state/scheduler.json", "state/jobs.json"];

/// What was not there before it was looked at: the data directory, and those around it that had to be made too, from
/// inside to outside. A database that lies elsewhere stays, which no lock keeps others from using.
#[derive(Debug)]
pub struct Traces(Vec<PathBuf>);

impl Traces {
    /// What opening the data directory will make, where nothing is there yet.
    pub fn expected(place: &Place) -> Option<Traces> {
        let data_dir = &place.data_dir;
        if is_there(data_dir) || OLDER.iter().any(|file| place.root.join(file).exists()) {
            return None;
        }
        Some(Traces(data_dir.ancestors().take_while(|directory| !is_there(directory)).map(Path::to_owned).collect()))
    }

    /// Takes it away. The data directory must be locked, and nobody may have changed anything in it.
    pub fn remove(&self) -> io::Result<()> {
        let Some((data_dir, around)) = self.0.split_first() else { return Ok(()) };
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
        std::fs::write(at("piton.toml"), "[data]\ndir = 'a/b/data'\n").unwrap();
        let sources = Sources { current_dir: root.path().to_owned(), ..Sources::default() };
        let (config, warnings) = Config::load(&sources).unwrap();
        let place = Place { root: config.root.clone(), data_dir: config.data_dir.clone(), config, warnings };
        let make = || std::fs::create_dir_all(at("a/b/data/runs")).unwrap();
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
        let traces = Traces::expected(&place).unwrap();
        std::fs::create_dir_all(at("a/b/data")).unwrap();
        traces.remove().unwrap();
        assert_eq!(left(), ["a", "piton.toml"]);
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
