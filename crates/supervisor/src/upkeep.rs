//! Compressing and removing what the keeper has put aside of logs, as it is declared.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use piton_logs::{RotatedLog, Upkeep};
use tracing::{debug, warn};

use crate::board::Board;
use crate::real_time::{now, pause};

/// A log of which nothing was put aside is looked after all the same after so many rounds, because files grow old and
/// what failed may succeed. Not in each round: it takes a look at everything in its directory.
const ROUNDS: u32 = 60;

/// Which file it is: device and inode.
type FileId = (u64, u64);

/// Looks after the logs of all that is declared, again and again.
pub(crate) async fn keep_logs(board: Arc<Board>, every: Duration) {
    let mut seen = Seen::default();
    loop {
        pause(every).await;
        let logs = board.logs();
        let looked = tokio::task::spawn_blocking(move || {
            let due = with_something_aside(seen.due(logs, current_file));
            (seen, due)
        });
        // The runtime is shutting down otherwise.
        let Ok((back, due)) = looked.await else { return };
        seen = back;
        for (path, upkeep) in due {
            match RotatedLog::new(&path).keep_up(upkeep, now()).await {
                Ok(done) if done.compressed + done.removed > 0 => {
                    debug!(path = %path.display(), done.compressed, done.removed, "a log was looked after");
                }
                Ok(_) => {}
                Err(error) => warn!(path = %path.display(), %error, "a log could not be looked after"),
            }
        }
    }
}

/// What logs were when they were last looked after.
#[derive(Debug, Default)]
struct Seen {
    logs: BTreeMap<PathBuf, Last>,
}

#[derive(Debug)]
struct Last {
    file: Option<FileId>,
    upkeep: Upkeep,
    /// Rounds since then.
    rounds: u32,
}

impl Seen {
    /// The logs that have to be looked after now. One that was rotated goes on in another file.
    fn due(
        &mut self,
        logs: BTreeMap<PathBuf, Upkeep>,
        file_of: impl Fn(&Path) -> Option<FileId>,
    ) -> Vec<(PathBuf, Upkeep)> {
        self.logs.retain(|path, _| logs.contains_key(path));
        let is_due = |(path, upkeep): &(PathBuf, Upkeep)| {
            let file = file_of(path);
            if let Some(last) = self.logs.get_mut(path)
                && (last.file, last.upkeep) == (file, *upkeep)
                && last.rounds + 1 < ROUNDS
            {
                last.rounds += 1;
                return false;
            }
            self.logs.insert(path.clone(), Last { file, upkeep: *upkeep, rounds: 0 });
            true
        };
        logs.into_iter().filter(is_due).collect()
    }
}

/// Those of which something was put aside, by one look at each directory. Whoever looks after a log looks at everything
/// beside it: for thousands of logs in one directory these would be millions of names.
fn with_something_aside(due: Vec<(PathBuf, Upkeep)>) -> Vec<(PathBuf, Upkeep)> {
    let mut listed: HashMap<PathBuf, Option<Vec<Vec<u8>>>> = HashMap::new();
    let is_wanted = |(path, _): &(PathBuf, Upkeep)| {
        let (Some(dir), Some(stem)) = (path.parent(), path.file_stem()) else { return true };
        // What cannot be listed is told of by who tries.
        let Some(names) = listed.entry(dir.to_owned()).or_insert_with(|| names_in(dir)) else { return true };
        // One that is just being compressed is hidden.
        let may_begin = [stem.as_bytes().to_vec(), [&b"."[..], stem.as_bytes()].concat()];
        may_begin.into_iter().any(|mut begin| {
            begin.push(b'-');
            let first = names.partition_point(|name| *name < begin);
            names.get(first).is_some_and(|name| name.starts_with(&begin))
        })
    };
    due.into_iter().filter(is_wanted).collect()
}

/// All names in a directory, in their order.
fn names_in(dir: &Path) -> Option<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).ok()? {
        names.push(entry.ok()?.file_name().as_bytes().to_vec());
    }
    names.sort_unstable();
    Some(names)
}

fn current_file(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_was_put_aside_nothing_is_to_be_done() {
        let dir = tempfile::tempdir().unwrap();
        let upkeep = Upkeep { max_backups: 3, max_age: Duration::ZERO, compress: false };
        let logs = ["web.log", "web-1.log", "db.log", "cut.log", "missing/x.log"];
        let aside = ["web-1-2026-11-29T15-04-05.000.log", ".cut-2026-11-29T15-04-05.000.log.gz.part"];
        for name in logs[..4].iter().chain(&aside) {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let due: Vec<(PathBuf, Upkeep)> = logs.iter().map(|name| (dir.path().join(name), upkeep)).collect();
        let found: Vec<PathBuf> = with_something_aside(due).into_iter().map(|(path, _)| path).collect();
        // The files of `web-1` might be some of `web`.
        let wanted: Vec<PathBuf> =
            ["web.log", "web-1.log", "cut.log", "missing/x.log"].iter().map(|name| dir.path().join(name)).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn only_what_may_have_changed_is_looked_after() {
        let upkeep = |compress| Upkeep { max_backups: 3, max_age: Duration::ZERO, compress };
        let logs = |compress| BTreeMap::from([("a".into(), upkeep(false)), ("b".into(), upkeep(compress))]);
        let mut seen = Seen::default();
        let mut due = |logs, inode_of_a| {
            let file_of = |path: &Path| Some((1, if path == Path::new("a") { inode_of_a } else { 7 }));
            let due: Vec<(PathBuf, Upkeep)> = seen.due(logs, file_of);
            due.into_iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(due(logs(false), 1), ["a", "b"], "nothing is known at first");
        assert_eq!(due(logs(false), 1), [""; 0]);
        assert_eq!(due(logs(false), 2), ["a"], "it was rotated");
        assert_eq!(due(logs(true), 2), ["b"], "it is declared otherwise");
        assert_eq!(due(BTreeMap::new(), 2), [""; 0]);
        assert_eq!(due(logs(true), 2), ["a", "b"], "it is declared again");
        let quiet = (0..ROUNDS).map(|_| due(logs(true), 2).len()).collect::<Vec<_>>();
        assert_eq!((quiet[..quiet.len() - 1].iter().sum::<usize>(), quiet[quiet.len() - 1]), (0, 2));
    }
}
