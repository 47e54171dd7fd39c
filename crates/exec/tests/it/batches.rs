//! Jobs of several tasks.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use piton_exec::Config;
use piton_model::batch::RetryDelay;
use piton_model::{
    Action, Batch, BatchProgress, BatchReason, CodeOperator, CompletionMode, FailureAction, FailureClass, FailureRule,
    Outcome, Program, Run, Subject, SuccessRule, TaskRestart,
};

use crate::scene::{Scene, env, failure, name};

/// A scene whose jobs do not wait long after failures.
pub(crate) fn scene() -> Scene {
    Scene::with(None, soon)
}

pub(crate) fn soon(config: Config) -> Config {
    let retry_delay = RetryDelay { first: Duration::from_millis(20), cap: Duration::from_millis(50) };
    Config { retry_delay, ..config }
}

/// A job that runs this line in the directory of the scene.
pub(crate) fn batch(scene: &Scene, line: &str) -> Batch {
    Batch { work_dir: Some(scene.path("")), ..Batch::new(shell(line)) }
}

fn indexed(scene: &Scene, count: u32, line: &str) -> Batch {
    Batch {
        parallelism: count,
        completions: Some(count),
        completion_mode: CompletionMode::Indexed,
        ..batch(scene, line)
    }
}

pub(crate) fn begun(scene: &Scene, batch: Batch) -> Run {
    scene.run_of(Subject::Job { workspace: None, name: name("import") }, Action::Batch(batch))
}

pub(crate) async fn run(scene: &Scene, batch: Batch) -> Run {
    scene.drive(begun(scene, batch)).await
}

pub(crate) fn assert_succeeded(scene: &Scene, run: &Run) {
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded), "{}", scene.log(run));
}

fn told(scene: &Scene) -> BatchProgress {
    scene.progress.borrow().as_ref().and_then(|report| report.batch.clone()).unwrap()
}

fn counted(scene: &Scene) -> (u32, u32, u32) {
    let counts = told(scene).counts;
    (counts.active, counts.succeeded, counts.failed)
}

fn lines(scene: &Scene, file: &str) -> Vec<String> {
    let mut lines: Vec<String> =
        fs::read_to_string(scene.path(file)).unwrap_or_default().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

pub(crate) async fn all_tasks_run_at_once() {
    let scene = scene();
    // Each waits for all others: nothing would end if they came one after the other.
    let line = "echo x >> here; until [ $(wc -l < here) -ge 6 ]; do sleep 0.01; done";
    let run = run(&scene, Batch { parallelism: 6, completions: Some(6), ..batch(&scene, line) }).await;
    assert_succeeded(&scene, &run);
    assert_eq!(counted(&scene), (0, 6, 0));
    assert_eq!(run.report.exit_code, Some(0));
    // No more than are wanted, however wide it may be.
    let narrow =
        self::run(&scene, Batch { parallelism: 9, completions: Some(2), ..batch(&scene, "echo y >> wide") }).await;
    assert_succeeded(&scene, &narrow);
    assert_eq!(lines(&scene, "wide").len(), 2);
}

pub(crate) async fn a_failed_index_is_tried_again_under_its_number() {
    let scene = scene();
    let line = "echo $JOB_COMPLETION_INDEX >> tries; [ $JOB_COMPLETION_INDEX != 1 ] || ! mkdir first";
    let run = run(&scene, indexed(&scene, 3, line)).await;
    assert_succeeded(&scene, &run);
    assert_eq!(lines(&scene, "tries"), ["0", "1", "1", "2"]);
    assert_eq!(counted(&scene), (0, 3, 1));
    assert_eq!(told(&scene).completed_indexes.as_deref(), Some("0-2"));
    assert_eq!(told(&scene).end.unwrap().reason, BatchReason::CompletionsReached);
}

pub(crate) async fn tasks_see_their_index_and_the_log_tells_them_apart() {
    let scene = scene();
    let line = "echo \"i am $JOB_COMPLETION_INDEX of $JOB_NAME in $PITON_RUN_ID, $WHO\"";
    let run = run(&scene, Batch { env: env(&[("WHO", "carol")]), ..indexed(&scene, 2, line) }).await;
    assert_succeeded(&scene, &run);
    let log = scene.log(&run);
    for index in 0..2 {
        let section = format!("task {index}-1: $ {line}\n");
        assert!(log.contains(&section), "{log}");
        assert!(log.contains(&format!("i am {index} of import in {}, carol\n", run.id)), "{log}");
    }
    let alike = self::run(&scene, batch(&scene, "echo [$JOB_COMPLETION_INDEX]")).await;
    assert!(scene.log(&alike).ends_with("[]\n"), "{}", scene.log(&alike));
}

pub(crate) async fn failures_beyond_the_limit_end_the_job() {
    let scene = scene();
    let run = run(&scene, Batch { backoff_limit: 2, ..batch(&scene, "echo x >> tries; exit 3") }).await;
    let failure = failure(&run);
    assert_eq!((failure.code.as_str(), failure.class), ("backoff_limit_exceeded", FailureClass::Permanent));
    assert_eq!(failure.exit_code, Some(3));
    assert_eq!(lines(&scene, "tries").len(), 3);
    assert_eq!(counted(&scene), (0, 0, 3));
    assert!(scene.log(&run).contains("task 2-1: $ "), "{}", scene.log(&run));
}

pub(crate) async fn the_deadline_kills_before_the_end_is_told() {
    let scene = scene();
    // One of them leaves its session, and ignores what is asked of its group.
    let line = "setsid sh -c 'echo $$ >> pids; trap \"\" TERM; while :; do sleep 0.02; done' & echo $$ >> pids; wait";
    let deadline = Some(Duration::from_millis(400));
    let run =
        run(&scene, Batch { active_deadline: deadline, parallelism: 2, completions: Some(2), ..batch(&scene, line) })
            .await;
    let failure = failure(&run);
    assert_eq!((failure.code.as_str(), failure.class), ("deadline_exceeded", FailureClass::TimedOut));
    assert!(matches!(run.outcome(), Some(Outcome::TimedOut { .. })));
    assert_eq!(counted(&scene), (0, 0, 0), "what was stopped has not failed");
    for pid in lines(&scene, "pids") {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        assert!(status.is_empty() || status.contains("State:\tZ"), "process {pid} lives: {status}");
    }
}

pub(crate) async fn a_job_is_stopped_whole() {
    let scene = scene();
    let line = "trap 'echo bye >> said; exit 7' TERM; echo x >> here; while :; do sleep 0.02; done";
    let begun = begun(&scene, Batch { parallelism: 3, completions: Some(9), ..batch(&scene, line) });
    let cancel = async {
        scene.until("three tasks", || lines(&scene, "here").len() == 3).await;
        scene.stop.cancel();
    };
    let (run, ()) = tokio::join!(scene.drive(begun), cancel);
    assert_eq!(failure(&run).class, FailureClass::Interrupted);
    assert_eq!(lines(&scene, "said").len(), 3);
    assert_eq!(counted(&scene), (0, 0, 0));
    // Stopped before it began, it begins nothing.
    let run = self::run(&scene, batch(&scene, "touch never")).await;
    assert_eq!(failure(&run).class, FailureClass::Interrupted);
    assert!(!scene.path("never").exists());
}

/// Begins a job and drops it as soon as the condition holds, as a killed daemon does.
async fn crash(scene: &Scene, run: &Run, what: &str, condition: impl FnMut() -> bool) {
    tokio::select! {
        _ = scene.step(run, false) => panic!("it should not end"),
        () = scene.until(what, condition) => {}
    }
}

pub(crate) async fn a_restarted_daemon_starts_no_task_twice() {
    let mut scene = scene();
    let line =
        "echo $JOB_COMPLETION_INDEX >> tries; until [ -e go ]; do sleep 0.01; done; echo said by $JOB_COMPLETION_INDEX";
    let begun = begun(&scene, Batch { parallelism: 3, ..indexed(&scene, 5, line) });
    for _ in 0..3 {
        crash(&scene, &begun, "three tasks", || lines(&scene, "tries").len() == 3).await;
        scene.restart_with(soon);
    }
    fs::write(scene.path("go"), "").unwrap();
    let run = scene.drive(scene.step(&begun, true).await).await;
    assert_succeeded(&scene, &run);
    assert_eq!(lines(&scene, "tries"), ["0", "1", "2", "3", "4"]);
    let log = scene.log(&run);
    for index in 0..5 {
        assert_eq!(log.matches(&format!("said by {index}\n")).count(), 1, "{log}");
    }
}

pub(crate) async fn an_end_that_the_daemon_missed_is_found() {
    let mut scene = scene();
    let line = "echo x >> tries; until [ -e go ]; do sleep 0.01; done; echo last words; touch gone; mkdir once 2>/dev/null && exit 4; exit 0";
    let begun = begun(&scene, Batch { backoff_limit: 1, ..batch(&scene, line) });
    crash(&scene, &begun, "the task", || scene.path("tries").exists()).await;
    fs::write(scene.path("go"), "").unwrap();
    scene.until("its end", || scene.path("once").exists()).await;
    scene.restart_with(soon);
    let run = scene.drive(scene.step(&begun, true).await).await;
    assert_succeeded(&scene, &run);
    assert_eq!(lines(&scene, "tries").len(), 2);
    assert_eq!(counted(&scene), (0, 1, 1));
    let said = |log: &str| log.lines().filter(|line| *line == "last words").count();
    assert_eq!(said(&scene.log(&run)), 2, "{}", scene.log(&run));
    // And it is found again and again.
    let again = scene.drive(scene.step(&begun, true).await).await;
    assert_eq!((again.outcome(), lines(&scene, "tries").len()), (run.outcome(), 2));
    let ends = scene.runner.held().await.unwrap().into_iter().filter_map(|child| child.exited());
    let last = ends.map(|exited| exited.at_unix_us).max();
    assert_eq!(again.report.exited_at.map(jiff::Timestamp::as_microsecond), last, "it ended when its last task did");
}

/// The disk was filled while it ran and nobody looked.
pub(crate) async fn what_the_log_lacks_of_a_task_that_ended_before_is_told() {
    let mut scene = scene();
    let line = "echo $$ > pid; until [ -e go ]; do sleep 0.01; done; echo last words";
    let begun = begun(&scene, batch(&scene, line));
    let pid = |scene: &Scene| fs::read_to_string(scene.path("pid")).ok().filter(|pid| pid.ends_with('\n'));
    crash(&scene, &begun, "the task", || pid(&scene).is_some()).await;
    let process = Path::new("/proc").join(pid(&scene).unwrap().trim());
    fs::write(scene.path("go"), "").unwrap();
    scene.until("its end", || !process.exists()).await;
    scene.restart_with(soon);
    let log = scene.logs.run_dir(begun.id).join("log");
    fs::remove_file(&log).unwrap();
    symlink("/dev/full", &log).unwrap();
    let run = scene.drive(scene.step(&begun, true).await).await;
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded));
    assert!(run.report.unwritten.is_some_and(|error| error.contains("log")));
}

pub(crate) async fn a_task_that_was_stopped_before_it_began_gets_a_new_number() {
    let scene = scene();
    let begun = begun(&scene, Batch { backoff_limit: 0, ..batch(&scene, "echo x >> tries") });
    // A daemon has noted that the first task is to stop, and died before that was started.
    let dir = scene.logs.run_dir(begun.id);
    fs::create_dir_all(&dir).unwrap();
    let journal = r#"{"since": "2026-03-02T08:00:00Z", "suspended": false, "stopped": ["0-1"], "end": null}"#;
    fs::write(dir.join("batch-1"), journal).unwrap();
    let run = scene.drive(scene.step(&begun, true).await).await;
    assert_succeeded(&scene, &run);
    assert_eq!((lines(&scene, "tries").len(), counted(&scene)), (1, (0, 1, 0)));
    assert!(scene.log(&run).contains("task 1-1: $ "), "{}", scene.log(&run));
}

pub(crate) async fn an_end_that_nobody_saw_is_a_failure() {
    let scene = scene();
    let line = "echo x >> tries; [ $(wc -l < tries) -gt 1 ] || until [ -e go ]; do sleep 0.01; done";
    let begun = begun(&scene, Batch { backoff_limit: 1, ..batch(&scene, line) });
    let kill = async {
        scene.until("the task", || scene.path("tries").exists()).await;
        scene.kill_keeper();
        fs::write(scene.path("go"), "").unwrap();
    };
    let (run, ()) = tokio::join!(scene.drive(begun), kill);
    assert_succeeded(&scene, &run);
    assert_eq!(counted(&scene), (0, 1, 1));
    assert_eq!(lines(&scene, "tries").len(), 2);
}

pub(crate) async fn policies_decide_early() {
    let scene = scene();
    let rule = FailureRule {
        action: FailureAction::FailJob,
        operator: CodeOperator::In,
        values: vec![42],
        conditions: vec![],
    };
    let line = "[ $JOB_COMPLETION_INDEX = 1 ] && exit 42; while :; do sleep 0.02; done";
    let run = run(&scene, Batch { failure_policy: vec![rule], ..indexed(&scene, 3, line) }).await;
    let failure = failure(&run);
    assert_eq!((failure.code.as_str(), failure.exit_code), ("pod_failure_policy", Some(42)));
    let rule = SuccessRule { succeeded_indexes: Some("1".to_owned()), succeeded_count: None };
    let line = "[ $JOB_COMPLETION_INDEX = 1 ] || while :; do sleep 0.02; done";
    let run = self::run(&scene, Batch { success_policy: vec![rule], ..indexed(&scene, 3, line) }).await;
    assert_succeeded(&scene, &run);
    assert_eq!(told(&scene).end.unwrap().reason, BatchReason::SuccessPolicy);
}

pub(crate) async fn a_task_is_restarted_in_its_place() {
    let scene = scene();
    let line = "echo x >> tries; [ $(wc -l < tries) -ge 3 ]";
    let job = Batch { restart_policy: TaskRestart::OnFailure, ..batch(&scene, line) };
    let run = run(&scene, job.clone()).await;
    assert_succeeded(&scene, &run);
    assert!(scene.log(&run).contains("task 0-3: $ "), "{}", scene.log(&run));
    let failed = failure(&self::run(&scene, Batch { backoff_limit: 2, program: shell("exit 1"), ..job }).await);
    assert_eq!(failed.code, "backoff_limit_exceeded");
}

fn shell(line: &str) -> Program {
    Program::Shell { line: line.to_owned() }
}

pub(crate) async fn a_suspended_job_stops_and_goes_on() {
    let scene = scene();
    let line = "echo x >> tries; until [ -e go ]; do sleep 0.01; done";
    let begun = begun(&scene, Batch { backoff_limit: 0, parallelism: 2, completions: Some(2), ..batch(&scene, line) });
    let suspend = async {
        scene.until("two tasks", || lines(&scene, "tries").len() == 2).await;
        scene.suspended.send_replace(true);
        scene.until("nothing to run", || counted(&scene) == (0, 0, 0) && told(&scene).suspended).await;
        let held_at = told(&scene).suspension_changed_at;
        fs::write(scene.path("go"), "").unwrap();
        scene.suspended.send_replace(false);
        held_at
    };
    let (run, held_at) = tokio::join!(scene.drive(begun), suspend);
    assert_succeeded(&scene, &run);
    let released = told(&scene);
    assert!(held_at.is_some() && !released.suspended && released.suspension_changed_at > held_at, "{released:?}");
    assert_eq!((lines(&scene, "tries").len(), counted(&scene)), (4, (0, 2, 0)));
}

pub(crate) async fn what_cannot_be_started_fails_at_once() {
    let scene = scene();
    let missing = Batch { program: Program::Exec { argv: vec!["no-such-program".to_owned()] }, ..batch(&scene, "") };
    assert_eq!(failure(&run(&scene, missing).await).code, "spawn_failed");
    let nowhere = Batch { work_dir: Some(scene.path("nowhere")), ..batch(&scene, "true") };
    assert_eq!(failure(&run(&scene, nowhere).await).code, "working_dir_missing");
    let refused = Batch { env: env(&[("LD_PRELOAD", "/x.so")]), ..batch(&scene, "true") };
    assert_eq!(failure(&run(&scene, refused).await).code, "env_refused");
}

pub(crate) async fn secrets_are_masked() {
    let scene = scene();
    let job = Batch { env: env(&[("DB_PASSWORD", "hunter2hunter2")]), ..batch(&scene, "echo it is $DB_PASSWORD") };
    let run = run(&scene, job).await;
    let log = scene.log(&run);
    assert!(log.contains("it is ***\n") && !log.contains("hunter2"), "{log}");
}
