//! Pipes and the kernel, without a keeper.

use std::path::PathBuf;

use super::*;

/// A log without limits, and where it is.
fn log_in(dir: &tempfile::TempDir) -> (PathBuf, LogFile) {
    let path = dir.path().join("log");
    (path.clone(), LogFile { path, max_size: 0, max_backups: 0, timestamps: false })
}

#[test]
fn a_pipe_that_the_kernel_would_not_watch_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (path, settings) = log_in(&dir);
    let mut captures = Captures::new().unwrap();
    let Prepared { id, writer } = captures.prepare(&settings).unwrap();
    assert_eq!(captures.timeout(), None);
    // It refuses what it watches already.
    captures.pipes.get_mut(&id).unwrap().blocked = true;
    rustix::io::write(&writer, b"one\n").unwrap();
    captures.serve(id, TURN);
    assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
    assert!(captures.unwatched.contains(&id) && captures.timeout().is_some_and(|after| after <= WATCH_AGAIN));
    captures.readiness.remove(&captures.pipes[&id].reader);
    rustix::io::write(&writer, b"two\n").unwrap();
    captures.watch_after = Some(Instant::now());
    captures.work(false);
    assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
    assert!(captures.unwatched.is_empty() && captures.timeout().is_none());
    rustix::io::write(&writer, b"three\n").unwrap();
    assert_eq!(captures.readiness.ready(), [id]);
}

/// A file that was closed to spare descriptors is opened again for output, and not for the end of it.
#[test]
fn a_pipe_with_nothing_in_it_opens_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, settings) = log_in(&dir);
    let mut captures = Captures::new().unwrap();
    let Prepared { id, writer } = captures.prepare(&settings).unwrap();
    let close = |captures: &mut Captures| {
        captures.logs.get_mut(path.as_path()).unwrap().close();
        captures.open_files = 0;
    };
    close(&mut captures);
    captures.serve(id, TURN);
    assert_eq!((captures.open_pipes(), captures.open_files), (1, 0));
    rustix::io::write(&writer, b"one\n").unwrap();
    captures.serve(id, TURN);
    assert_eq!((std::fs::read(&path).unwrap(), captures.open_files), (b"one\n".to_vec(), 1));
    // What was written before the end counts.
    close(&mut captures);
    rustix::io::write(&writer, b"two\n").unwrap();
    drop(writer);
    captures.serve(id, TURN);
    assert_eq!((std::fs::read(&path).unwrap(), captures.open_pipes()), (b"one\ntwo\n".to_vec(), 0));

    let Prepared { id, writer } = captures.prepare(&settings).unwrap();
    close(&mut captures);
    std::fs::remove_file(&path).unwrap();
    drop(writer);
    captures.serve(id, TURN);
    assert_eq!((path.exists(), captures.open_pipes(), captures.open_files), (false, 0, 0));
}

#[test]
fn who_begins_to_write_begins_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let (path, settings) = log_in(&dir);
    let mut captures = Captures::new().unwrap();
    let written = || String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    let Prepared { id, writer } = captures.prepare(&settings).unwrap();
    rustix::io::write(&writer, b"one\ntwo").unwrap();
    drop(writer);
    captures.serve(id, TURN);
    assert_eq!((written().as_str(), captures.open_pipes()), ("one\ntwo", 0), "as it was left");
    let Prepared { writer, .. } = captures.prepare(&settings).unwrap();
    assert_eq!(written(), "one\ntwo\n");
    rustix::io::write(&writer, b"three").unwrap();
    drop(writer);
    // Nobody has served the pipe of the one before since it ended.
    let Prepared { id, writer } = captures.prepare(&settings).unwrap();
    assert_eq!((written().as_str(), captures.open_pipes()), ("one\ntwo\nthree\n", 1));
    // A line that may go on is left alone.
    rustix::io::write(&writer, b"fo").unwrap();
    captures.serve(id, TURN);
    let beside = captures.prepare(&settings).unwrap();
    rustix::io::write(&writer, b"ur\n").unwrap();
    captures.serve(id, TURN);
    assert_eq!((written().as_str(), captures.open_pipes()), ("one\ntwo\nthree\nfour\n", 2));
    drop((writer, beside));
}

#[test]
fn a_log_that_is_moved_away_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let ((path, settings), aside) = (log_in(&dir), dir.path().join("log.1"));
    let mut captures = Captures::new().unwrap();
    let Prepared { id, writer } = captures.prepare(&settings).unwrap();
    let mut say_when_it_is_looked = |text: &str| {
        captures.logs.get_mut(path.as_path()).unwrap().looked_at = None;
        rustix::io::write(&writer, text.as_bytes()).unwrap();
        captures.serve(id, TURN);
        assert_eq!(captures.open_files, 1);
    };
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    say_when_it_is_looked("one\n");
    std::fs::rename(&path, &aside).unwrap();
    say_when_it_is_looked("two\n");
    assert_eq!((text(&aside).as_str(), text(&path).as_str()), ("one\n", "two\n"));
    // Also where somebody made the new one already.
    std::fs::rename(&path, &aside).unwrap();
    std::fs::write(&path, "begun\n").unwrap();
    say_when_it_is_looked("three\n");
    assert_eq!((text(&aside).as_str(), text(&path).as_str()), ("two\n", "begun\nthree\n"));
    // Where there is no place for another one, it stays where it is.
    std::fs::rename(&path, &aside).unwrap();
    std::fs::create_dir(&path).unwrap();
    say_when_it_is_looked("four\n");
    assert_eq!(text(&aside), "begun\nthree\nfour\n");
}
