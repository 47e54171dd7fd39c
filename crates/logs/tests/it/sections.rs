//! What sections and notes look like.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::scene::{SECRET, Scene, contains};

#[tokio::test]
async fn a_log_reads_like_a_terminal() {
    let scene = Scene::new();
    let log = scene.open().await;
    log.note("start", "piton: tofu 1.9.0").await.unwrap();
    scene.finished(&log, "init", b"ok").await;
    scene.finished(&log, "plan", b"").await;
    log.note("end", &format!("piton: done with {SECRET}\n")).await.unwrap();
    assert_eq!(scene.log(), b"piton: tofu 1.9.0\n$ init\nok\n$ plan\npiton: done with ***\n");
}

#[tokio::test]
async fn repeated_calls_write_nothing() {
    let scene = Scene::new();
    let log = scene.open().await;
    for _ in 0..3 {
        log.note("start", "piton: hello").await.unwrap();
        assert_eq!(scene.again(&log, "init").await, "$ init\n".len() as u64);
    }
    let other = scene.open().await;
    other.note("start", "piton: a changed wording").await.unwrap();
    assert_eq!(scene.log(), b"piton: hello\n$ init\n");
}

#[tokio::test]
async fn every_byte_but_the_secrets_is_kept() {
    let scene = Scene::new();
    let log = scene.open().await;
    let mut odd: Vec<u8> = (0..=255).collect();
    odd.extend_from_slice("\x1b[31mred\x1b[0m\r\r\r 10%\r 20%\n\u{202e}\u{feff}\0\0".as_bytes());
    odd.extend_from_slice(b"\xe2\x82");
    scene.finished(&log, "a", &[&odd, SECRET.as_bytes(), &odd].concat()).await;
    assert_eq!(scene.log(), [b"$ a\n".as_slice(), &odd, b"***", &odd, b"\n"].concat());
}

#[tokio::test]
async fn a_note_may_stand_in_the_middle_of_output() {
    let scene = Scene::new();
    let log = scene.open().await;
    scene.raw("apply").write_all(b"creating").unwrap();
    scene.pump_until(&log, "apply", b"creating").await;
    log.note("stop", "piton: sent SIGINT").await.unwrap();
    scene.finished(&log, "apply", b" ... stopped\n").await;
    assert_eq!(scene.log(), b"$ apply\ncreating\npiton: sent SIGINT\n ... stopped\n");
}

#[tokio::test]
async fn children_side_by_side_lose_nothing() {
    let scene = Scene::new();
    let log = scene.open().await;
    for round in 0..3 {
        for token in ["a", "b"] {
            let text = format!("{token}{round}\n");
            scene.raw(token).write_all(text.as_bytes()).unwrap();
            scene.pump_until(&log, token, text.as_bytes()).await;
        }
    }
    scene.again(&log, "a").await;
    scene.again(&log, "b").await;
    assert_eq!(scene.log(), b"$ a\na0\n$ b\nb0\na1\nb1\na2\nb2\n");
}

#[tokio::test]
async fn what_is_written_after_the_end_is_not_the_childs() {
    let scene = Scene::new();
    let log = scene.open().await;
    scene.finished(&log, "a", b"half a line").await;
    // A grandchild that nobody could kill.
    scene.finished(&log, "a", b" and more\n").await;
    assert_eq!(scene.log(), b"$ a\nhalf a line\n");
}

#[tokio::test]
async fn people_see_a_line_when_it_is_written() {
    let scene = Scene::new();
    let log = scene.open().await;
    let mut raw = scene.raw("a");
    raw.write_all(b"first\nEnter a value: ").unwrap();
    scene.pump_until(&log, "a", b"first\nEnter a value: ").await;
    raw.write_all(b"s3cr").unwrap();
    scene.pump_until(&log, "a", b"value: ").await;
    assert!(!contains(&scene.log(), b"s3cr"));
}

#[tokio::test]
async fn output_beyond_the_cap_is_given_back_to_the_disk() {
    const CAP: u64 = 1 << 20;
    let scene = Scene::capped(CAP);
    let log = scene.open().await;
    let notice = b"\npiton: output beyond 1 MiB is not kept\n";
    let mut raw = scene.raw("a");
    let chunk = vec![b'x'; 4 << 20];
    raw.write_all(&chunk).unwrap();
    scene.pump_until(&log, "a", notice).await;
    raw.write_all(&chunk).unwrap();
    raw.write_all(&chunk).unwrap();
    scene.again(&log, "a").await;
    scene.finished(&log, "b", b"late\n").await;
    log.note("end", "piton: done").await.unwrap();
    let kept = vec![b'x'; usize::try_from(CAP).unwrap() - "$ a\n".len()];
    let expected = [b"$ a\n".as_slice(), &kept, notice, b"$ b\n", &notice[1..], b"piton: done\n"].concat();
    assert!(scene.log() == expected);
    let raw = scene.store.raw_path(scene.run, "a");
    let metadata = fs::metadata(&raw).unwrap();
    assert_eq!(metadata.len(), 12 << 20);
    // Some file systems have no holes; the temporary directory's says so when asked for one.
    if holes_exist(&raw) {
        assert!(metadata.blocks() * 512 < 4 << 20, "{} blocks are still in use", metadata.blocks());
    }
}

fn holes_exist(path: &std::path::Path) -> bool {
    let probe = path.with_extension("probe");
    fs::write(&probe, vec![1; 64 * 1024]).unwrap();
    let file = fs::File::options().write(true).open(&probe).unwrap();
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&file, flags, 0, 64 * 1024).is_ok()
}

#[tokio::test]
async fn a_long_line_is_written_in_pieces() {
    let scene = Scene::new();
    let log = scene.open().await;
    let mut line = vec![b'-'; 10 << 20];
    scene.raw("a").write_all(&line).unwrap();
    // The line has not ended, yet all of it is there.
    line.extend(b"[the end");
    scene.raw("a").write_all(b"[the end").unwrap();
    scene.pump_until(&log, "a", b"[the end").await;
    scene.again(&log, "a").await;
    assert!(scene.log() == [b"$ a\n".as_slice(), &line, b"\n"].concat());
}

#[tokio::test]
async fn nobody_else_may_read() {
    let scene = Scene::new();
    let log = scene.open().await;
    scene.again(&log, "a").await;
    let dir = scene.store.run_dir(scene.run);
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("."), mode("raw"), mode("log"), mode("index")], [0o700, 0o700, 0o600, 0o600]);
}

#[tokio::test]
async fn raw_output_goes_and_then_the_run() {
    let scene = Scene::new();
    let log = scene.open().await;
    scene.finished(&log, "a", SECRET.as_bytes()).await;
    scene.store.discard_raw(scene.run).await.unwrap();
    scene.store.discard_raw(scene.run).await.unwrap();
    assert!(!scene.store.raw_path(scene.run, "a").exists());
    // Once more, after a crash: nothing to add, nothing to lose.
    scene.again(&log, "a").await;
    assert_eq!(scene.log(), b"$ a\n***\n");
    scene.store.remove(scene.run).await.unwrap();
    scene.store.remove(scene.run).await.unwrap();
    assert!(!scene.store.run_dir(scene.run).exists());
}
