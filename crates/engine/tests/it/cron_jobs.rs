//! Schedules of jobs as Kubernetes has them, told by the ledger.

use piton_engine::Error;
use piton_model::{Batch, FailureClass, Name, OutcomeKind, Program};
use piton_testkit::simulation::Simulation;

use crate::site::{ana, assert_story, begin, cron_job, failing, hours, lasting, minutes, monday, submitted, told};

async fn outcomes(simulation: &Simulation, name: &str) -> Vec<(String, Option<OutcomeKind>)> {
    let history = simulation.node(0).cron_history(None, name).await.unwrap();
    history.into_iter().map(|job| (job.name, job.run.outcome().map(|outcome| outcome.kind()))).collect()
}

#[tokio::test]
async fn jobs_run_beside_each_other_where_that_is_allowed() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| lasting(25));
        cron_job(s, "measure", r#""schedule": "*/10 * * * *", "concurrency_policy": "Allow""#);
    })
    .await;
    simulation.run_until(monday("08:32:00")).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:10:00 job/measure #1 submitted to run: schedule `*/10 * * * *`
        Mon 02 08:10:00 job/measure #1 claimed by one, attempt 1
        Mon 02 08:20:00 job/measure #2 submitted to run: schedule `*/10 * * * *`
        Mon 02 08:20:00 job/measure #2 claimed by one, attempt 1
        Mon 02 08:30:00 job/measure #3 submitted to run: schedule `*/10 * * * *`
        Mon 02 08:30:00 job/measure #3 claimed by one, attempt 1
    ",
    );
    // Somebody may ask for one more, too.
    simulation.node(0).run_job(None, "measure", ana()).await.unwrap();
    simulation.settle().await.unwrap();
    let cron = simulation.node(0).cron_job(None, "measure").await.unwrap();
    let names: Vec<&str> = cron.active.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["measure-1772439000", "measure-1772439600", "measure-1772440200", "measure-1772440320"];
    assert_eq!(names, expected);
    assert_eq!((cron.last_schedule, cron.next), (Some(monday("08:30:00")), Some(monday("08:40:00"))));
}

#[tokio::test]
async fn what_is_told_of_an_interval_is_when_it_fires() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| lasting(1));
        cron_job(s, "measure", r#""schedule": "@every 10m""#);
    })
    .await;
    simulation.run_until(monday("08:04:00")).await.unwrap();
    let cron = simulation.node(0).cron_job(None, "measure").await.unwrap();
    assert_eq!(cron.next, Some(monday("08:10:00")));
    simulation.run_until(monday("08:17:00")).await.unwrap();
    let cron = simulation.node(0).cron_job(None, "measure").await.unwrap();
    assert_eq!((cron.last_schedule, cron.next), (Some(monday("08:10:00")), Some(monday("08:20:00"))));
    let due = simulation.node(0).next_runs().await.unwrap();
    assert_eq!(due.into_values().collect::<Vec<_>>(), [monday("08:20:00")]);
}

#[tokio::test]
async fn a_job_that_may_not_overlap_is_left_out_and_the_last_schedule_stays() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| lasting(15));
        cron_job(s, "measure", r#""schedule": "*/10 * * * *", "concurrency_policy": "Forbid""#);
    })
    .await;
    simulation.run_until(monday("08:22:00")).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:10:00 job/measure #1 submitted to run: schedule `*/10 * * * *`
        Mon 02 08:10:00 job/measure #1 claimed by one, attempt 1
        Mon 02 08:20:00 job/measure skipped 1 of `*/10 * * * *` until Mon 02 08:20:00: run #1 is still active
    ",
    );
    let cron = simulation.node(0).cron_job(None, "measure").await.unwrap();
    assert_eq!((cron.last_schedule, cron.last_successful), (Some(monday("08:10:00")), None));
    simulation.node(0).run_job(None, "measure", ana()).await.unwrap_err();
    simulation.run_until(monday("08:26:00")).await.unwrap();
    let cron = simulation.node(0).cron_job(None, "measure").await.unwrap();
    assert_eq!(cron.last_successful, Some(monday("08:25:00")));
}

#[tokio::test]
async fn a_job_takes_the_place_of_the_one_before() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| lasting(15));
        cron_job(s, "measure", r#""schedule": "*/10 * * * *", "concurrency_policy": "Replace""#);
    })
    .await;
    simulation.run_until(monday("08:22:00")).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:10:00 job/measure #1 submitted to run: schedule `*/10 * * * *`
        Mon 02 08:10:00 job/measure #1 claimed by one, attempt 1
        Mon 02 08:20:00 job/measure #1 superseded
        Mon 02 08:20:00 job/measure #2 submitted to run: schedule `*/10 * * * *`
        Mon 02 08:20:00 job/measure #1 failed: `execute` failed as the script says -> superseded
        Mon 02 08:20:00 job/measure #2 claimed by one, attempt 1
    ",
    );
    // So does one that somebody asks for.
    simulation.node(0).run_job(None, "measure", ana()).await.unwrap();
    simulation.run_until(monday("08:23:00")).await.unwrap();
    let runs = submitted(&simulation).await;
    let second = simulation.store().run(runs[1]).await.unwrap().unwrap();
    assert_eq!(second.outcome().map(|outcome| outcome.kind()), Some(OutcomeKind::Superseded));
}

#[tokio::test]
async fn only_the_newest_missed_time_is_made_up_for_and_not_after_its_deadline() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        cron_job(s, "patient", r#""schedule": "0 * * * *""#);
        cron_job(s, "prompt", r#""schedule": "0 * * * *", "starting_deadline_seconds": 600"#);
        cron_job(s, "tolerant", r#""schedule": "0 * * * *", "starting_deadline_seconds": 3600"#);
    })
    .await;
    simulation.kill(0).await;
    simulation.clock.set(monday("11:30:00"));
    simulation.start("one").await.unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    let told = told(&simulation).await;
    let lines: Vec<&str> =
        told.lines().filter(|line| line.contains("submitted") || line.contains("too late")).collect();
    assert_story(
        &lines.join("\n"),
        r"
        Mon 02 11:30:00 job/patient #1 submitted to run: schedule `0 * * * *`
        Mon 02 11:30:00 job/prompt skipped 1 of `0 * * * *` until Mon 02 11:00:00: noticed too late
        Mon 02 11:30:00 job/tolerant #2 submitted to run: schedule `0 * * * *`
    ",
    );
    assert_eq!(told.matches("skipped 2 of `0 * * * *` until Mon 02 10:00:00: overtaken").count(), 3, "{told}");
    let cron = simulation.node(0).cron_job(None, "prompt").await.unwrap();
    assert_eq!(cron.last_schedule, None);
}

#[tokio::test]
async fn a_suspended_schedule_starts_nothing_and_lets_go_on_what_runs() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| lasting(15));
        cron_job(s, "measure", r#""schedule": "*/10 * * * *""#);
        cron_job(s, "asleep", r#""schedule": "*/10 * * * *", "suspend": true"#);
    })
    .await;
    simulation.run_until(monday("08:12:00")).await.unwrap();
    simulation.node(0).suspend_job(None, "measure", ana()).await.unwrap();
    simulation.run_until(monday("08:29:00")).await.unwrap();
    let jobs = outcomes(&simulation, "measure").await;
    assert_eq!(jobs, [("measure-1772439000".to_owned(), Some(OutcomeKind::Succeeded))]);
    // Its jobs are not held back by themselves, nor is it by way of them.
    let node = simulation.node(0);
    for refused in [node.hold_job("measure-1772439000", ana()).await, node.release_job("measure-1772439000").await] {
        assert!(matches!(refused, Err(Error::OfSchedule { schedule, .. }) if schedule == "measure"));
    }
    assert_eq!(simulation.node(0).cron_job(None, "measure").await.unwrap().next, None);
    assert!(simulation.node(0).cron_job(None, "asleep").await.unwrap().suspended);
    // It stays so when one of its jobs goes.
    simulation.node(0).delete_job("measure-1772439000", ana()).await.unwrap();
    assert_eq!(outcomes(&simulation, "measure").await, []);
    assert!(simulation.node(0).cron_job(None, "measure").await.unwrap().suspended);
    assert_eq!(outcomes(&simulation, "asleep").await, []);
    simulation.node(0).resume_job(None, "measure").await.unwrap();
    simulation.run_until(monday("08:31:00")).await.unwrap();
    assert_eq!(outcomes(&simulation, "measure").await.len(), 1);
}

#[tokio::test]
async fn of_the_past_of_a_schedule_so_many_jobs_are_kept() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        // Every third one fails.
        s.scripted.play(|task| {
            let minute = task.run.submitted_at.as_second() / 600;
            if minute % 3 == 0 { failing(FailureClass::Permanent) } else { lasting(1) }
        });
        let limits = r#""successful_jobs_history_limit": 2, "failed_jobs_history_limit": 1"#;
        cron_job(s, "measure", &format!(r#""schedule": "*/10 * * * *", {limits}"#));
        cron_job(s, "usual", r#""schedule": "*/10 * * * *""#);
    })
    .await;
    simulation.run_for(hours(3)).await.unwrap();
    let kinds = |jobs: Vec<(String, Option<OutcomeKind>)>| {
        let count = |kind| jobs.iter().filter(|(_, outcome)| *outcome == Some(kind)).count();
        (count(OutcomeKind::Succeeded), count(OutcomeKind::Failed))
    };
    simulation.run_until(monday("11:05:00")).await.unwrap();
    assert_eq!(kinds(outcomes(&simulation, "measure").await), (2, 1));
    assert_eq!(kinds(outcomes(&simulation, "usual").await), (3, 1));
    // The newest are those that are kept, and the ledger says what became of the others.
    let told = told(&simulation).await;
    assert!(told.matches("job/measure #").count() > 30, "{told}");
    assert!(told.contains("removed by"), "{told}");
    let cron = simulation.node(0).cron_job(None, "measure").await.unwrap();
    assert_eq!(cron.last_schedule, Some(monday("11:00:00")));
    // Restarted, it forgets nothing and makes nothing twice.
    simulation.kill(0).await;
    simulation.start("one").await.unwrap();
    simulation.run_until(monday("11:09:00")).await.unwrap();
    assert_eq!(kinds(outcomes(&simulation, "measure").await), (2, 1));
    // A tighter limit holds at once.
    let limits = r#""successful_jobs_history_limit": 0, "failed_jobs_history_limit": 0"#;
    cron_job(&simulation, "measure", &format!(r#""schedule": "*/10 * * * *", {limits}"#));
    simulation.reload().unwrap();
    simulation.settle().await.unwrap();
    assert_eq!(outcomes(&simulation, "measure").await, []);
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}

#[tokio::test]
async fn schedules_are_read_in_their_zone() {
    let mut simulation = begin(monday("00:00:00"), |s| {
        cron_job(s, "tokyo", r#""schedule": "0 10 * * *", "time_zone": "Asia/Tokyo""#);
        cron_job(s, "utc", r#""schedule": "0 2 * * *""#);
        cron_job(s, "often", r#""schedule": "@every 5h", "time_zone": "Asia/Tokyo""#);
    })
    .await;
    simulation.run_until(monday("12:00:00")).await.unwrap();
    let told = told(&simulation).await;
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("submitted")).collect();
    assert!(lines.iter().any(|line| line.starts_with("Mon 02 01:00:00 job/tokyo")), "{told}");
    assert!(lines.iter().any(|line| line.starts_with("Mon 02 02:00:00 job/utc")), "{told}");
    assert_eq!(lines.iter().filter(|line| line.contains("job/often")).count(), 2, "{told}");
}

/// It is a schedule as any other, though no time is ever due.
#[tokio::test]
async fn a_cronjob_that_runs_at_boot_only() {
    let mut simulation = Simulation::new(7, monday("08:00:00")).await.unwrap();
    cron_job(&simulation, "mount", r#""schedule": "@reboot""#);
    cron_job(&simulation, "asleep", r#""schedule": "@reboot", "suspend": true"#);
    simulation.reload().unwrap();
    simulation.configure = |config| piton_engine::Config { boot_id: Some("first".to_owned()), ..config };
    simulation.start("one").await.unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    let done = (format!("mount-{}", monday("08:00:00").as_second()), Some(OutcomeKind::Succeeded));
    assert_eq!(outcomes(&simulation, "mount").await, std::slice::from_ref(&done));
    assert_eq!(outcomes(&simulation, "asleep").await, [], "it is suspended");
    let jobs = simulation.node(0).jobs().await.unwrap();
    let jobs: Vec<(&str, bool)> = jobs.iter().map(|job| (job.name.as_str(), job.scheduled)).collect();
    assert_eq!(jobs, [(done.0.as_str(), true)]);
    assert!(simulation.node(0).job_object(&done.0).await.unwrap().scheduled);
}

/// As in Kubernetes a job has a name of its own, so that of the schedule is free at once.
#[tokio::test]
async fn jobs_of_a_schedule_that_is_gone_go_on_under_their_names() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| lasting(25));
        cron_job(s, "cx", r#""schedule": "*/10 * * * *", "concurrency_policy": "Allow""#);
    })
    .await;
    simulation.run_until(monday("08:22:00")).await.unwrap();
    simulation.node(0).run_job(None, "cx", ana()).await.unwrap();
    simulation.settle().await.unwrap();
    let other = r#"{"type": "process", "spec": {"name": "other", "command": "true"}}"#;
    simulation.write("programs/cx.json", other).unwrap();
    simulation.reload().unwrap();
    simulation.run_for(minutes(1)).await.unwrap();
    let left = ["08:10:00", "08:20:00", "08:22:00"].map(|at| (format!("cx-{}", monday(at).as_second()), true));
    assert_eq!(jobs(&simulation).await, left);
    assert!(simulation.node(0).job_object(&left[0].0).await.unwrap().scheduled);
    let free = simulation.node(0).job_object("cx").await;
    assert!(matches!(free, Err(Error::NotFound { .. })), "{free:?}");

    let batch = Batch::new(Program::Shell { line: "true".to_owned() });
    simulation.node(0).create_job(Name::parse("cx").unwrap(), batch, ana()).await.unwrap();
    simulation.settle().await.unwrap();
    let made = ("cx".to_owned(), false);
    assert_eq!(jobs(&simulation).await, [vec![made.clone()], left.to_vec()].concat());
    simulation.run_until(monday("10:00:00")).await.unwrap();
    assert_eq!(jobs(&simulation).await, [made]);
    assert_eq!(simulation.store().audit().await.unwrap(), []);
}

/// Whatever its policy: one that somebody asked for is a job of the schedule, too.
#[tokio::test]
async fn what_was_asked_for_of_a_schedule_that_is_gone_goes_on_under_its_name() {
    for policy in ["Forbid", "Replace"] {
        let mut simulation = begin(monday("08:00:00"), |s| {
            s.scripted.play(|_| lasting(25));
            cron_job(s, "cx", &format!(r#""schedule": "0 * * * *", "concurrency_policy": "{policy}""#));
        })
        .await;
        simulation.run_until(monday("08:22:00")).await.unwrap();
        simulation.node(0).run_job(None, "cx", ana()).await.unwrap();
        simulation.settle().await.unwrap();
        let once = r#"{"type": "job", "spec": {"name": "cx", "command": "true"}}"#;
        simulation.write("programs/cx.json", once).unwrap();
        simulation.reload().unwrap();
        simulation.run_for(minutes(1)).await.unwrap();
        // The job that has the name now is another one, which takes nobody's place.
        let asked = format!("cx-{}", monday("08:22:00").as_second());
        let both = [("cx".to_owned(), false), (asked.clone(), true)];
        assert_eq!(jobs(&simulation).await, both, "{policy}");
        simulation.node(0).stop_job(&asked, ana()).await.unwrap();
        simulation.run_for(minutes(1)).await.unwrap();
        let one = [("cx".to_owned(), false)];
        assert_eq!(jobs(&simulation).await, one, "{policy}: stopping the one leaves the other");
        assert_eq!(simulation.store().audit().await.unwrap(), []);
    }
}

async fn jobs(simulation: &Simulation) -> Vec<(String, bool)> {
    let jobs = simulation.node(0).jobs().await.unwrap();
    jobs.into_iter().map(|job| (job.name, job.scheduled)).collect()
}
