//! When jobs run, told by the ledger.

use piton_model::FailureClass;
use piton_testkit::simulation::Simulation;

use crate::site::{ana, assert_story, begin, failing, hours, job, lasting, minutes, monday, told, workspace};

#[tokio::test]
async fn a_job_never_overlaps_itself() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| lasting(25));
        job(s, "measure", r#""schedule": "*/10 * * * *""#);
    })
    .await;
    simulation.run_for(minutes(45)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:10:00 job/measure #1 submitted to run: schedule `*/10 * * * *`
        Mon 02 08:10:00 job/measure #1 claimed by one, attempt 1
        Mon 02 08:20:00 job/measure skipped 1 of `*/10 * * * *` until Mon 02 08:20:00: run #1 is still active
        Mon 02 08:30:00 job/measure skipped 1 of `*/10 * * * *` until Mon 02 08:30:00: run #1 is still active
        Mon 02 08:35:00 job/measure #1 done -> succeeded
        Mon 02 08:40:00 job/measure #2 submitted to run: schedule `*/10 * * * *`
        Mon 02 08:40:00 job/measure #2 claimed by one, attempt 1
    ",
    );
}

#[tokio::test]
async fn a_job_that_is_noticed_late_is_skipped_unless_it_catches_up() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        job(s, "report", r#""schedule": "0 * * * *""#);
        job(s, "backup", r#""schedule": "0 * * * *", "catch_up": "latest""#);
    })
    .await;
    simulation.kill(0).await;
    simulation.clock.set(monday("11:30:00"));
    simulation.start("one").await.unwrap();
    simulation.run_for(minutes(45)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 11:30:00 job/backup skipped 2 of `0 * * * *` until Mon 02 10:00:00: overtaken by the line due at 2026-03-02T11:00:00Z
        Mon 02 11:30:00 job/backup #1 submitted to run: schedule `0 * * * *`
        Mon 02 11:30:00 job/report skipped 2 of `0 * * * *` until Mon 02 10:00:00: overtaken by the line due at 2026-03-02T11:00:00Z
        Mon 02 11:30:00 job/report skipped 1 of `0 * * * *` until Mon 02 11:00:00: noticed too late
        Mon 02 11:30:00 job/backup #1 claimed by one, attempt 1
        Mon 02 11:30:01 job/backup #1 done -> succeeded
        Mon 02 12:00:00 job/backup #2 submitted to run: schedule `0 * * * *`
        Mon 02 12:00:00 job/report #3 submitted to run: schedule `0 * * * *`
        Mon 02 12:00:00 job/backup #2 claimed by one, attempt 1
        Mon 02 12:00:00 job/report #3 claimed by one, attempt 1
        Mon 02 12:00:01 job/backup #2 done -> succeeded
        Mon 02 12:00:01 job/report #3 done -> succeeded
    ",
    );
}

#[tokio::test]
async fn a_job_waits_for_the_one_on_which_it_depends() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|task| {
            let first = task.run.subject.to_string() == "job/dump";
            if first && task.run.submitted_at > monday("09:30:00") {
                failing(FailureClass::Permanent)
            } else {
                lasting(20)
            }
        });
        job(s, "dump", r#""schedule": "0 * * * *""#);
        job(s, "upload", r#""schedule": "0 * * * *", "depends_on": ["dump"]"#);
    })
    .await;
    // It waits for longer than a job may be late, and the daemon is not even there all the time.
    simulation.run_until(monday("09:10:00")).await.unwrap();
    simulation.kill(0).await;
    simulation.start("one").await.unwrap();
    simulation.run_until(monday("10:30:00")).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 09:00:00 job/dump #1 submitted to run: schedule `0 * * * *`
        Mon 02 09:00:00 job/dump #1 claimed by one, attempt 1
        Mon 02 09:20:00 job/dump #1 done -> succeeded
        Mon 02 09:20:00 job/upload #2 submitted to run: schedule `0 * * * *`
        Mon 02 09:20:00 job/upload #2 claimed by one, attempt 1
        Mon 02 09:40:00 job/upload #2 done -> succeeded
        Mon 02 10:00:00 job/dump #3 submitted to run: schedule `0 * * * *`
        Mon 02 10:00:00 job/dump #3 claimed by one, attempt 1
        Mon 02 10:00:00 job/dump #3 failed: `execute` failed as the script says -> failed
        Mon 02 10:00:00 job/upload skipped 1 of `0 * * * *` until Mon 02 10:00:00: job `dump`, on which it depends, has not succeeded
    ",
    );
}

fn chain(simulation: &Simulation) {
    let jobs = r#"[
        {"name": "notify", "type": "command", "command": "true", "schedule": "@deployment", "depends_on": ["smoke", "index"]},
        {"name": "smoke", "type": "command", "command": "true", "schedule": "@deployment"},
        {"name": "index", "type": "command", "command": "true", "schedule": "@deployment", "depends_on": ["smoke"]},
        {"name": "alarm", "type": "command", "command": "true", "schedule": "@deployment-failed"}
    ]"#;
    workspace(simulation, "everest", &format!(r#"{{"jobs": {jobs}}}"#));
}

#[tokio::test]
async fn a_chain_after_a_deployment_runs_in_order() {
    let mut simulation = begin(monday("08:00:00"), chain).await;
    simulation.node(0).deploy("everest", None, ana()).await.unwrap();
    simulation.run_for(hours(1)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 workspace/everest #1 submitted to deploy: asked for by ana
        Mon 02 08:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 08:00:05 workspace/everest #1 done -> succeeded
        Mon 02 08:00:05 job/everest/smoke #2 submitted to run: @deployment
        Mon 02 08:00:05 job/everest/smoke #2 claimed by one, attempt 1
        Mon 02 08:00:06 job/everest/smoke #2 done -> succeeded
        Mon 02 08:00:06 job/everest/index #3 submitted to run: @deployment
        Mon 02 08:00:06 job/everest/index #3 claimed by one, attempt 1
        Mon 02 08:00:07 job/everest/index #3 done -> succeeded
        Mon 02 08:00:07 job/everest/notify #4 submitted to run: @deployment
        Mon 02 08:00:07 job/everest/notify #4 claimed by one, attempt 1
        Mon 02 08:00:08 job/everest/notify #4 done -> succeeded
    ",
    );
}

#[tokio::test]
async fn a_chain_ends_where_a_job_fails_and_says_so_once_for_each_job() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|task| {
            if task.run.subject.to_string().ends_with("/smoke") { failing(FailureClass::Permanent) } else { lasting(1) }
        });
        chain(s);
    })
    .await;
    simulation.node(0).deploy("everest", None, ana()).await.unwrap();
    simulation.run_for(hours(1)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 workspace/everest #1 submitted to deploy: asked for by ana
        Mon 02 08:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 08:05:00 workspace/everest #1 done -> succeeded
        Mon 02 08:05:00 job/everest/smoke #2 submitted to run: @deployment
        Mon 02 08:05:00 job/everest/smoke #2 claimed by one, attempt 1
        Mon 02 08:05:00 job/everest/smoke #2 failed: `execute` failed as the script says -> failed
        Mon 02 08:05:00 job/everest/index skipped 1 of `@deployment` until Mon 02 08:05:00: job `smoke`, on which it depends, has not succeeded
        Mon 02 08:05:00 job/everest/notify skipped 1 of `@deployment` until Mon 02 08:05:00: job `smoke`, on which it depends, has not succeeded
    ",
    );
}

#[tokio::test]
async fn a_job_does_not_wait_for_what_was_removed_meanwhile() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|task| {
            let is_job = task.run.subject.to_string().starts_with("job/");
            if is_job { lasting(20) } else { lasting(1) }
        });
        chain(s);
    })
    .await;
    simulation.node(0).deploy("everest", None, ana()).await.unwrap();
    simulation.run_until(monday("08:10:00")).await.unwrap();
    // What it waits for, by way of `index`, goes on to its end, and is nothing to it any more.
    let jobs = r#"[{"name": "notify", "type": "command", "command": "true", "schedule": "@deployment"}]"#;
    workspace(&simulation, "everest", &format!(r#"{{"jobs": {jobs}}}"#));
    simulation.reload().unwrap();
    simulation.run_until(monday("09:00:00")).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 workspace/everest #1 submitted to deploy: asked for by ana
        Mon 02 08:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 08:05:00 workspace/everest #1 done -> succeeded
        Mon 02 08:05:00 job/everest/smoke #2 submitted to run: @deployment
        Mon 02 08:05:00 job/everest/smoke #2 claimed by one, attempt 1
        Mon 02 08:25:00 job/everest/smoke #2 done -> succeeded
        Mon 02 08:25:00 job/everest/notify #3 submitted to run: @deployment
        Mon 02 08:25:00 job/everest/notify #3 claimed by one, attempt 1
        Mon 02 08:45:00 job/everest/notify #3 done -> succeeded
    ",
    );
}

#[tokio::test]
async fn a_job_is_told_when_what_it_waits_for_will_not_come() {
    let jobs = |schedule: &str| {
        format!(
            r#"{{"jobs": [
                {{"name": "smoke", "type": "command", "command": "true", "schedule": "@deployment"}},
                {{"name": "index", "type": "command", "command": "true", "schedule": "{schedule}", "depends_on": ["smoke"]}},
                {{"name": "notify", "type": "command", "command": "true", "schedule": "@deployment", "depends_on": ["index"]}}
            ]}}"#
        )
    };
    let mut simulation = begin(monday("08:00:00"), |s| {
        s.scripted.play(|_| lasting(1));
        workspace(s, "everest", &jobs("@deployment"));
    })
    .await;
    simulation.node(0).deploy("everest", None, ana()).await.unwrap();
    simulation.run_until(monday("08:05:30")).await.unwrap();
    workspace(&simulation, "everest", &jobs("0 0 1 1 *"));
    simulation.reload().unwrap();
    simulation.run_until(monday("09:00:00")).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 workspace/everest #1 submitted to deploy: asked for by ana
        Mon 02 08:00:00 workspace/everest #1 claimed by one, attempt 1
        Mon 02 08:05:00 workspace/everest #1 done -> succeeded
        Mon 02 08:05:00 job/everest/smoke #2 submitted to run: @deployment
        Mon 02 08:05:00 job/everest/smoke #2 claimed by one, attempt 1
        Mon 02 08:06:00 job/everest/smoke #2 done -> succeeded
        Mon 02 08:06:00 job/everest/notify skipped 1 of `@deployment` until Mon 02 08:06:00: job `index`, on which it depends, has not succeeded
    ",
    );
}

#[tokio::test]
async fn a_suspended_job_is_skipped_until_it_is_resumed() {
    let mut simulation = begin(monday("08:00:00"), |s| job(s, "report", r#""schedule": "0 * * * *""#)).await;
    simulation.node(0).suspend_job(None, "report", ana()).await.unwrap();
    simulation.run_until(monday("10:30:00")).await.unwrap();
    simulation.node(0).resume_job(None, "report").await.unwrap();
    simulation.run_until(monday("11:30:00")).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 09:00:00 job/report skipped 1 of `0 * * * *` until Mon 02 09:00:00: suspended
        Mon 02 10:00:00 job/report skipped 1 of `0 * * * *` until Mon 02 10:00:00: suspended
        Mon 02 11:00:00 job/report #1 submitted to run: schedule `0 * * * *`
        Mon 02 11:00:00 job/report #1 claimed by one, attempt 1
        Mon 02 11:00:01 job/report #1 done -> succeeded
    ",
    );
}

#[tokio::test]
async fn a_job_that_is_enabled_later_begins_to_count_then() {
    let mut simulation = begin(monday("08:00:00"), |s| {
        job(s, "report", r#""schedule": "0 * * * *", "enabled": false"#);
        let jobs = r#"[{"name": "sweep", "type": "command", "command": "true", "schedule": "30 * * * *"}]"#;
        workspace(s, "everest", &format!(r#"{{"enabled": false, "jobs": {jobs}}}"#));
    })
    .await;
    simulation.run_until(monday("10:10:00")).await.unwrap();
    job(&simulation, "report", r#""schedule": "0 * * * *""#);
    let jobs = r#"[{"name": "sweep", "type": "command", "command": "true", "schedule": "30 * * * *"}]"#;
    workspace(&simulation, "everest", &format!(r#"{{"jobs": {jobs}}}"#));
    simulation.reload().unwrap();
    simulation.run_until(monday("11:10:00")).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 10:30:00 job/everest/sweep #1 submitted to run: schedule `30 * * * *`
        Mon 02 10:30:00 job/everest/sweep #1 claimed by one, attempt 1
        Mon 02 10:30:01 job/everest/sweep #1 done -> succeeded
        Mon 02 11:00:00 job/report #2 submitted to run: schedule `0 * * * *`
        Mon 02 11:00:00 job/report #2 claimed by one, attempt 1
        Mon 02 11:00:01 job/report #2 done -> succeeded
    ",
    );
}

#[tokio::test]
async fn what_wants_to_run_at_boot_runs_once_for_each_boot() {
    let mut simulation = Simulation::new(7, monday("08:00:00")).await.unwrap();
    job(&simulation, "mount", r#""schedule": "@reboot""#);
    simulation.reload().unwrap();
    simulation.configure = |config| piton_engine::Config { boot_id: Some("first".to_owned()), ..config };
    for _ in 0..3 {
        let node = simulation.start("one").await.unwrap();
        simulation.run_for(minutes(5)).await.unwrap();
        simulation.kill(node).await;
    }
    simulation.configure = |config| piton_engine::Config { boot_id: Some("second".to_owned()), ..config };
    simulation.start("one").await.unwrap();
    simulation.run_for(minutes(5)).await.unwrap();
    assert_story(
        &told(&simulation).await,
        r"
        Mon 02 08:00:00 job/mount #1 submitted to run: @reboot
        Mon 02 08:00:00 job/mount #1 claimed by one, attempt 1
        Mon 02 08:00:01 job/mount #1 done -> succeeded
        Mon 02 08:15:00 job/mount #2 submitted to run: @reboot
        Mon 02 08:15:00 job/mount #2 claimed by one, attempt 1
        Mon 02 08:15:01 job/mount #2 done -> succeeded
    ",
    );
}
