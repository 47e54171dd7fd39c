//! Pipes and the kernel, without a keeper.

use super::*;

#[test]
fn a_pipe_that_the_kernel_would_not_watch_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let settings = LogFile { path: path.clone(), max_size: 0, max_backups: 0, timestamps: false };
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
    let path = dir.path().join("log");
    let settings = LogFile { path: path.clone(), max_size: 0, max_backups: 0, timestamps: false };
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
