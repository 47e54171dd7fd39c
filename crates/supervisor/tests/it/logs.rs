//! What becomes of logs, from the pipe of a process to whoever reads.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use piton_logs::{MergedLog, OutputStream};
use piton_model::RestartWhen;
use piton_supervisor::InstanceState;

use crate::scene::{Scene, process, until};

const LINES: usize = 3000;

/// The lines of a log from its beginning, and whether something was missing.
async fn read(log: &MergedLog) -> (Vec<String>, bool) {
    let (mut lines, mut at, mut gap) = (Vec::new(), 0, false);
    loop {
        let page = log.page(Some(at), 500).await.unwrap();
        (at, gap) = (page.next, gap | page.gap);
        if page.lines.is_empty() {
            return (lines, gap);
        }
        lines.extend(page.lines.into_iter().map(|line| line.text));
    }
}

/// How many files of a log were put aside: as they are, and compressed.
fn put_aside(log: &Path) -> (usize, usize) {
    let stem = format!("{}-2", log.file_stem().unwrap().to_string_lossy());
    let names = fs::read_dir(log.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.starts_with(&stem));
    let (compressed, plain): (Vec<_>, Vec<_>) =
        names.partition(|name| Path::new(name).extension().is_some_and(|end| end == "gz"));
    (plain.len(), compressed.len())
}

pub(crate) async fn what_is_put_aside_is_compressed_and_read_as_one_log() {
    let script = format!(
        "i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done; echo x > through; exec sleep 100000"
    );
    let mut talker = process("talker", &script);
    let output = &mut talker.output;
    (output.max_size, output.max_backups, output.max_age) = (4000, 0, Duration::ZERO);
    (output.timestamps, output.compress) = (true, true);
    let scene = Scene::with([talker]).await;
    scene.until_state("talker", InstanceState::Running).await;
    let (stdout, stderr) = scene.supervisor.log_files("talker").unwrap();
    let log = MergedLog::new(&stdout, &stderr, scene.file("order"));
    // Read while it is written, rotated and compressed.
    while scene.read("through").is_empty() {
        assert!(!read(&log).await.1, "nothing was removed");
    }
    until("all to be compressed", || {
        let (plain, compressed) = put_aside(&stdout);
        plain == 0 && compressed > 10
    })
    .await;
    let (lines, gap) = read(&log).await;
    assert!(!gap);
    let anew = MergedLog::new(&stdout, &stderr, scene.file("another order"));
    assert_eq!(read(&anew).await, (lines.clone(), false));
    assert_eq!(lines.len(), LINES);
    for (number, line) in lines.iter().enumerate() {
        let (time, text) = line.split_once(' ').unwrap();
        assert!(time.parse::<Timestamp>().is_ok(), "{line}");
        assert_eq!(text, format!("line {number}"));
    }
}

pub(crate) async fn what_the_keeper_removed_before_anybody_read_is_told() {
    let mut talker =
        process("talker", &format!("i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done; echo x >&2"));
    talker.restart.when = RestartWhen::Never;
    let output = &mut talker.output;
    (output.max_size, output.max_backups, output.max_age) = (4000, 2, Duration::ZERO);
    // The keeper removes, and whoever reads finds the mark that it has left: both have to know it by one name.
    let scene = Scene::without_upkeep().await;
    scene.apply([talker]).await;
    scene.until_state("talker", InstanceState::Exited).await;
    let (stdout, stderr) = scene.supervisor.log_files("talker").unwrap();
    assert_eq!((put_aside(&stdout), put_aside(&stderr)), ((2, 0), (0, 0)));
    let log = MergedLog::new(&stdout, &stderr, scene.file("order"));
    assert!(log.page(Some(0), 1).await.unwrap().gap, "the log does not begin where it seems to");
    // The other output has lost nothing.
    let other = MergedLog::one(OutputStream::Stderr, &stderr, scene.file("other order"));
    assert_eq!(read(&other).await, (vec!["x".to_owned()], false));
    let out = MergedLog::one(OutputStream::Stdout, &stdout, scene.file("out order"));
    let (lines, gap) = read(&out).await;
    let left: Vec<String> = (LINES - lines.len()..LINES).map(|number| format!("line {number}")).collect();
    assert_eq!((lines, gap), (left, true));
}
