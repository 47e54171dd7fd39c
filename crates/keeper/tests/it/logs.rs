//! Output that the keeper writes: complete, in order, rotated, and nobody's burden.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use piton_keeper::client::Client;
use piton_keeper::protocol::{RefusalKind, Target};
use piton_keeper::{ExitStatus, LogFile, Output, Signal, Spec};

use crate::nest::{Nest, lives, status_line, token, until, within};

/// What `seq` prints.
fn seq(numbers: std::ops::RangeInclusive<u32>, line: impl Fn(u32) -> String) -> String {
    numbers.map(line).collect::<Vec<_>>().concat()
}

/// A log in the directory.
pub fn log(nest: &Nest, name: &str, max_size: u64) -> LogFile {
    LogFile { path: nest.file(name), max_size, max_backups: 0, timestamps: false }
}

/// A script with both outputs in one log.
pub fn logging(nest: &Nest, script: &str, log: &LogFile) -> Spec {
    Spec { stdout: Output::Log(log.clone()), stderr: Output::Log(log.clone()), ..nest.script(script) }
}

/// The names of what was put aside of `STEM.log`, the oldest first.
pub fn backups(nest: &Nest, stem: &str) -> Vec<String> {
    let names = fs::read_dir(nest.dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(&format!("{stem}-2"))).collect();
    names.sort_unstable();
    names
}

/// Every file of the log, the oldest first.
pub fn files(nest: &Nest, stem: &str) -> Vec<String> {
    let current = format!("{stem}.log");
    let exists = nest.file(&current).exists();
    backups(nest, stem).into_iter().chain(exists.then_some(current)).map(|name| nest.read(&name)).collect()
}

async fn run(client: &Client, name: &str, spec: &Spec) {
    client.spawn(&token(name), spec).await.unwrap();
    assert_eq!(within(client.wait(&token(name))).await.unwrap(), ExitStatus::Code(0), "{name}");
}

#[tokio::test]
async fn rotation_loses_nothing_and_tears_no_line() {
    let nest = Nest::new();
    let client = nest.client().await;
    let expected = seq(1..=60_000, |number| format!("line number {number} of many\n"));
    // Below and above what a pipe holds, and never.
    for max_size in [1_000, 50_000, 300_000, 1_000_000, 0] {
        let stem = format!("log{max_size}");
        let spec =
            logging(&nest, "seq -f 'line number %.0f of many' 60000", &log(&nest, &format!("{stem}.log"), max_size));
        run(&client, &stem, &spec).await;
        let files = files(&nest, &stem);
        assert!(files.concat() == expected, "{stem}: the files together are not what was written");
        for file in &files {
            assert!(file.ends_with('\n'), "{stem}: a line is torn");
            assert!(max_size == 0 || file.len() as u64 <= max_size, "{stem}: a file of {} bytes", file.len());
        }
        let least = if max_size == 0 { 1 } else { expected.len() / max_size as usize };
        assert!((least..=2 * least + 1).contains(&files.len()), "{stem}: {} files", files.len());
        assert!(!nest.file(&format!(".{stem}.log.cut")).exists(), "{stem}: nothing was removed");
    }
}

#[tokio::test]
async fn a_huge_line_is_split_and_complete() {
    let nest = Nest::new();
    let client = nest.client().await;
    let spec = logging(&nest, "head -c 1000000 /dev/zero | tr '\\0' x; echo", &log(&nest, "huge.log", 10_000));
    run(&client, "huge", &spec).await;
    let files = files(&nest, "huge");
    assert!(files.concat() == format!("{}\n", "x".repeat(1_000_000)));
    assert!(files.len() > 5 && files.iter().all(|file| file.len() <= 10_000 + 65_536));
}

#[tokio::test]
async fn only_so_many_are_kept() {
    let nest = Nest::new();
    let client = nest.client().await;
    for old in ["kept-2020-01-01T00-00-00.000.log.gz", "kept-2020-01-01T00-00-00.001.log"] {
        fs::write(nest.file(old), "old").unwrap();
    }
    for stranger in ["kept-other.log", "kept-2020.txt", "kept-2020-01-01T00-00-00.000.txt"] {
        fs::write(nest.file(stranger), "not ours").unwrap();
    }
    let settings = LogFile { max_backups: 3, ..log(&nest, "kept.log", 5_000) };
    run(&client, "kept", &logging(&nest, "seq 1 20000", &settings)).await;
    let mut aside = backups(&nest, "kept");
    aside.retain(|name| !name.contains(".txt"));
    assert_eq!(aside.len(), 3, "{aside:?}");
    assert!(aside.iter().all(|name| !name.contains("-2020-") && !name.contains(".gz")), "{aside:?}");
    for stranger in ["kept-other.log", "kept-2020.txt", "kept-2020-01-01T00-00-00.000.txt"] {
        assert_eq!(nest.read(stranger), "not ours");
    }
    let all = seq(1..=20_000, |number| format!("{number}\n"));
    let kept: String = aside.iter().map(|name| nest.read(name)).chain([nest.read("kept.log")]).collect();
    assert!(all.ends_with(&kept) && kept.len() > 10_000);
    assert!(nest.file(".kept.log.cut").exists(), "readers cannot know otherwise that something is gone");
}

#[tokio::test]
async fn every_line_has_its_time() {
    let nest = Nest::new();
    let client = nest.client().await;
    for max_size in [0, 4_000, 200_000] {
        let name = format!("stamped{max_size}");
        let settings = LogFile { timestamps: true, ..log(&nest, &format!("{name}.log"), max_size) };
        // A line that comes in two pieces is one line.
        let script = "printf 'in '; while [ ! -e go ]; do sleep 0.01; done; echo pieces; echo; seq 1 20000";
        client.spawn(&token(&name), &logging(&nest, script, &settings)).await.unwrap();
        until("the first piece", || fs::read(nest.file(&format!("{name}.log"))).unwrap().ends_with(b"in ")).await;
        fs::write(nest.file("go"), "").unwrap();
        assert_eq!(within(client.wait(&token(&name))).await.unwrap(), ExitStatus::Code(0));
        fs::remove_file(nest.file("go")).unwrap();
        let mut last = String::new();
        let mut text = String::new();
        for line in files(&nest, &name).concat().lines() {
            let (stamp, rest) = line.split_once(' ').unwrap();
            assert!(stamp.len() == 24 && stamp.ends_with('Z') && stamp.as_bytes()[10] == b'T', "{line}");
            assert!(stamp.as_bytes()[19] == b'.' && *stamp >= *last, "{line} after {last}");
            stamp.clone_into(&mut last);
            text.push_str(rest);
            text.push('\n');
        }
        let numbers = seq(1..=20_000, |number| format!("{number}\n"));
        assert!(text == format!("in pieces\n\n{numbers}"), "{name}");
        assert!(files(&nest, &name).iter().all(|file| max_size == 0 || file.len() as u64 <= max_size));
    }
}

#[tokio::test]
async fn both_streams_of_one_log_keep_their_order() {
    let nest = Nest::new();
    let client = nest.client().await;
    let script = "i=0; while [ $i -lt 3000 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done";
    let child = client.spawn(&token("a"), &logging(&nest, script, &log(&nest, "both.log", 2_000))).await.unwrap();
    assert_eq!(child.stdout, Output::Log(log(&nest, "both.log", 2_000)));
    within(client.wait(&token("a"))).await.unwrap();
    let expected = seq(0..=2999, |index| format!("o{index}\ne{index}\n"));
    assert!(files(&nest, "both").concat() == expected);
}

/// Whoever hears of an end may read what was printed before it.
#[tokio::test]
async fn output_is_there_when_the_end_is_announced() {
    let nest = Nest::new();
    let client = nest.client().await;
    let fds = || fs::read_dir(format!("/proc/{}/fd", client.keeper().keeper_pid)).unwrap().count();
    let before = fds();
    for index in 0..100 {
        let name = format!("quick{index}");
        let out = log(&nest, &format!("{name}.out"), 1000);
        let err = log(&nest, &format!("{name}.err"), 1000);
        let spec = Spec {
            stdout: Output::Log(out),
            stderr: Output::Log(err),
            ..nest.script(&format!("echo {index}; echo error {index} >&2"))
        };
        run(&client, &name, &spec).await;
        assert_eq!(nest.read(&format!("{name}.out")), format!("{index}\n"));
        assert_eq!(nest.read(&format!("{name}.err")), format!("error {index}\n"));
    }
    let mode = fs::metadata(nest.file("quick0.out")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    until("every pipe and file to be closed", || fds() == before).await;
}

#[tokio::test]
async fn a_grandchild_goes_on_writing() {
    let nest = Nest::new();
    let client = nest.client().await;
    let script =
        "(while [ ! -e go ]; do sleep 0.01; done; echo late; echo $$ > pid; exec sleep 1000) & echo early; exit 4";
    let keeper = client.keeper().keeper_pid;
    let fds = || fs::read_dir(format!("/proc/{keeper}/fd")).unwrap().count();
    let before = fds();
    client.spawn(&token("a"), &logging(&nest, script, &log(&nest, "a.log", 1000))).await.unwrap();
    assert_eq!(within(client.wait(&token("a"))).await.unwrap(), ExitStatus::Code(4));
    assert_eq!(nest.read("a.log"), "early\n");
    client.acknowledge(&token("a")).await.unwrap();
    // The keeper may not leave: the grandchild would be killed by its next line.
    let refused = client.stop(true).await.unwrap_err();
    assert_eq!(refused.refusal(), Some(RefusalKind::Busy), "{refused}");
    fs::write(nest.file("go"), "").unwrap();
    until("the late line", || nest.read("a.log") == "early\nlate\n").await;
    let descendants =
        || crate::nest::processes().filter(|pid| status_line(*pid, "PPid").is_some_and(|of| of == keeper.to_string()));
    descendants().for_each(|pid| crate::nest::kill(pid, rustix::process::Signal::KILL));
    until("the end of the log", || fds() == before).await;
    within(async { while client.stop(true).await.is_err() {} }).await;
    until("the keeper to end", || !lives(keeper)).await;
}

#[tokio::test]
async fn a_flood_drowns_nobody() {
    let nest = Nest::new();
    let client = nest.client().await;
    for index in 0..8 {
        let settings = LogFile { max_backups: 1, ..log(&nest, &format!("flood{index}.log"), 1_000_000) };
        client.spawn(&token(&format!("flood{index}")), &logging(&nest, "exec yes", &settings)).await.unwrap();
    }
    for index in 0..8 {
        until("every flood to flow", || backups(&nest, &format!("flood{index}")).len() == 1).await;
    }
    let mut slowest = Duration::ZERO;
    for index in 0..20 {
        let name = format!("quiet{index}");
        let begun = Instant::now();
        run(&client, &name, &logging(&nest, "echo heard", &log(&nest, &format!("{name}.log"), 1000))).await;
        assert_eq!(nest.read(&format!("{name}.log")), "heard\n");
        slowest = slowest.max(begun.elapsed());
    }
    println!("the slowest of 20 quiet children among 8 floods: {slowest:?}");
    assert!(slowest < Duration::from_secs(10));
    let memory = status_line(client.keeper().keeper_pid, "RssAnon").unwrap();
    assert!(memory.trim_end_matches(" kB").parse::<u64>().unwrap() < 4096, "{memory}");
    for index in 0..8 {
        within(client.sweep(&token(&format!("flood{index}")))).await.unwrap();
        let lines: Vec<_> = files(&nest, &format!("flood{index}"));
        assert!(lines.iter().all(|file| file.trim_start_matches("y\n").len() < 2));
    }
}

#[tokio::test]
async fn a_log_that_was_removed_is_begun_again() {
    let nest = Nest::new();
    let client = nest.client().await;
    let script = "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two";
    client.spawn(&token("a"), &logging(&nest, script, &log(&nest, "a.log", 1000))).await.unwrap();
    until("the first line", || fs::read(nest.file("a.log")).is_ok_and(|text| text == b"one\n")).await;
    fs::remove_file(nest.file("a.log")).unwrap();
    fs::write(nest.file("go"), "").unwrap();
    within(client.wait(&token("a"))).await.unwrap();
    assert_eq!(nest.read("a.log"), "two\n");
}

#[tokio::test]
async fn a_log_is_a_regular_file_in_a_directory() {
    let nest = Nest::new();
    let client = nest.client().await;
    fs::write(nest.file("target"), "").unwrap();
    std::os::unix::fs::symlink(nest.file("target"), nest.file("link")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, nest.file("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for name in ["link", "fifo", "no/such/dir/log"] {
        let refused = client.spawn(&token("a"), &logging(&nest, "true", &log(&nest, name, 0))).await.unwrap_err();
        assert_eq!(refused.refusal(), Some(RefusalKind::Output), "{refused}");
        assert!(refused.to_string().contains(name), "{refused}");
    }
    let fds = || fs::read_dir(format!("/proc/{}/fd", client.keeper().keeper_pid)).unwrap().count();
    let before = fds();
    let bad = Spec { argv: vec!["no-such-program".into()], ..logging(&nest, "", &log(&nest, "a.log", 0)) };
    client.spawn(&token("a"), &bad).await.unwrap_err();
    assert_eq!(fds(), before, "what was not started needs no pipe");
}

/// The pipes go along, so neither a byte nor a child is lost.
#[tokio::test]
async fn an_upgrade_in_the_middle_of_a_flood_loses_nothing() {
    let nest = Nest::new();
    let mut client = nest.client().await;
    let other = nest.file("other");
    fs::copy(env!("CARGO_BIN_EXE_piton-keeper"), &other).unwrap();
    let script = "seq 1 200000; while [ ! -e go ]; do seq 1 1000; sleep 0.001; done; seq 1 200000";
    let stamped = LogFile { timestamps: true, ..log(&nest, "stamped.log", 400_000) };
    client.spawn(&token("a"), &logging(&nest, script, &log(&nest, "a.log", 300_000))).await.unwrap();
    client.spawn(&token("b"), &logging(&nest, script, &stamped)).await.unwrap();
    let keeper = client.keeper().keeper_pid;
    for turn in 0..6 {
        let exe = if turn % 2 == 0 { other.clone() } else { env!("CARGO_BIN_EXE_piton-keeper").into() };
        client.upgrade(&exe).await.unwrap();
        client = nest.client().await;
        assert_eq!(client.keeper().keeper_pid, keeper);
    }
    fs::write(nest.file("go"), "").unwrap();
    for name in ["a", "b"] {
        assert_eq!(within(client.wait(&token(name))).await.unwrap(), ExitStatus::Code(0));
    }
    let check = |text: &str| {
        let mut expected = 1;
        let mut ends = Vec::new();
        for line in text.lines() {
            let number: u32 = line.rsplit(' ').next().unwrap().parse().unwrap();
            if number != expected {
                assert_eq!(number, 1, "after {}", expected - 1);
                ends.push(expected - 1);
            }
            expected = number + 1;
        }
        ends.push(expected - 1);
        assert!(ends.len() > 1 && ends[0] == 200_000 && ends[ends.len() - 1] == 200_000, "{ends:?}");
        assert!(ends[1..ends.len() - 1].iter().all(|end| *end == 1000), "{ends:?}");
    };
    check(&files(&nest, "a").concat());
    let stamped = files(&nest, "stamped").concat();
    assert!(stamped.lines().all(|line| line.as_bytes().get(23) == Some(&b'Z')));
    check(&stamped);
}

/// After a keeper that was killed nobody reads: the child is told by the kernel, as by any pipe.
#[tokio::test]
async fn a_killed_keeper_breaks_the_pipe() {
    let nest = Nest::new();
    let client = nest.client().await;
    let child = client.spawn(&token("a"), &logging(&nest, "exec yes", &log(&nest, "a.log", 0))).await.unwrap();
    crate::nest::kill(client.keeper().keeper_pid, rustix::process::Signal::KILL);
    until("the child to end", || !lives(child.identity.pid)).await;
    let client = nest.client().await;
    assert_eq!(within(client.wait(&token("a"))).await.unwrap(), ExitStatus::Unknown);
    client.signal(&token("a"), Signal::Term, Target::Tree).await.unwrap_err();
}
