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
