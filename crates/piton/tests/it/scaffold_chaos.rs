//! The worker under faults: brokers that restart, connections that break, workers that are killed at every point, messages
//! that come ten times, forges and control planes that are away. After each there is one repository with one commit, one
//! success that was told, and nothing in any queue.

use std::fs;

use piton_broker::{Address, Ladder, Topology, dead};
use piton_model::Secret;
use piton_testkit::amqp_relay::Relay;
use piton_testkit::forges::{Act, Fault, Hold, TOKEN};
use serde_json::json;

use crate::scene::{Deaf, Gate, Scene, git};
use crate::site::{Site, until};

const CREATE: (&str, &str) = ("POST", "/projects");
const PUSH: (&str, &str) = ("POST", "/git-receive-pack");

impl Scene {
    fn fault(&self, (method, path): (&'static str, &'static str), act: Act) {
        self.forge.fail(Fault { method, path, act });
    }

    fn hold(&self, what: (&'static str, &'static str), act: impl Fn(Hold) -> Act) -> Hold {
        let hold = Hold::default();
        self.fault(what, act(hold.clone()));
        hold
    }
}

#[test]
fn a_broker_that_restarts_in_the_middle_of_jobs_loses_none_and_repeats_none() {
    let scene = Scene::with_own_broker("chaos-broker").env("WORKER_CONCURRENCY", "1");
    let worker = scene.site.work();
    let hold = scene.hold(CREATE, Act::HoldBefore);
    for number in 0..4 {
        scene.enqueue(&Scene::message(&format!("run-{number}"), &format!("service-{number}")));
    }
    // One is in the middle, and the others are in hand, unacknowledged.
    until("the first repository is asked for", || hold.is_reached());
    scene.rabbit().kill().unwrap();
    hold.release();
    scene.assert_made_once("run-0", "service-0");
    scene.rabbit().start_again().unwrap();
    for number in 0..4 {
        scene.assert_made_once(&format!("run-{number}"), &format!("service-{number}"));
    }
    assert_eq!(scene.forge.names().len(), 4);
    scene.until_empty();
    assert_eq!(worker.terminate(), 0);
    scene.site.audit();
}

#[test]
fn a_connection_that_breaks_in_place_of_the_acknowledgement_makes_nothing_twice() {
    let scene = Scene::new("chaos-cut");
    let relay = Relay::start(scene.rabbit().address()).unwrap();
    let url = relay.url(&scene.rabbit().url());
    let scene = scene.env("RABBITMQ_URL", &url);
    let worker = scene.site.work();
    relay.cut_before_acks(3);
    for number in 0..5 {
        scene.enqueue(&Scene::message(&format!("run-{number}"), &format!("service-{number}")));
    }
    for number in 0..5 {
        scene.assert_made_once(&format!("run-{number}"), &format!("service-{number}"));
    }
    scene.until_empty();
    assert_eq!((relay.cut(), scene.forge.names().len()), (3, 5));
    assert_eq!(worker.terminate(), 0);
    scene.site.audit();
}

/// Two workers that share nothing but the queue: each has a database of its own.
#[test]
fn a_message_that_two_workers_took_makes_one_repository() {
    let scene = Scene::new("chaos-two");
    let relay = Relay::start(scene.rabbit().address()).unwrap();
    let (direct, url) = (scene.another_site(), relay.url(&scene.rabbit().url()));
    let scene = scene.env("RABBITMQ_URL", &url);
    let first = scene.site.work();
    relay.cut_before_acks(usize::MAX);
    let hold = scene.hold(CREATE, Act::HoldAfter);
    scene.enqueue(&Scene::message("run-1", "service"));
    until("the first has made the repository, and not acknowledged", || hold.is_reached() && relay.cut() > 0);
    let second = direct.work();
    until("the second has pushed to it", || !scene.plane.successes("run-1").is_empty());
    hold.release();
    let run = scene.ended("run-1");
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    scene.assert_repository("run-1", "service", &run);
    until("both have told it", || scene.plane.successes("run-1").len() == 2);
    let keys: Vec<String> = scene.plane.successes("run-1").into_iter().map(|told| told.key).collect();
    assert_eq!(keys, ["run-1-succeeded", "run-1-succeeded"]);
    relay.cut_before_acks(0);
    scene.until_empty();
    assert_eq!((first.terminate(), second.terminate()), (0, 0));
}

/// Kills the worker when the request is there, and lets another one go on.
fn kill_at(queue: &str, what: (&'static str, &'static str)) {
    for (number, act) in [Act::HoldBefore, Act::HoldAfter].into_iter().enumerate() {
        let scene = Scene::new(&format!("{queue}-{number}"));
        let worker = scene.site.work();
        let hold = scene.hold(what, act);
        scene.enqueue(&Scene::message("run-1", "service"));
        until("the request is there", || hold.is_reached());
        worker.kill();
        let worker = scene.site.work();
        let run = scene.assert_made_once("run-1", "service");
        assert_eq!(run["attempts"], 1, "the attempt was taken back: {run:#}");
        assert_eq!(scene.plane.successes("run-1").len(), 1);
        scene.until_empty();
        assert_eq!(worker.terminate(), 0);
        scene.site.audit();
    }
}

#[test]
fn a_worker_that_is_killed_while_the_repository_is_made_makes_one() {
    kill_at("chaos-create", CREATE);
}

#[test]
fn a_worker_that_is_killed_during_the_push_pushes_one_commit() {
    kill_at("chaos-push", PUSH);
}

#[test]
fn a_worker_that_is_killed_while_it_reports_tells_the_same_again() {
    for (number, deaf) in [Deaf::HoldBefore, Deaf::HoldAfter].into_iter().enumerate() {
        let scene = Scene::new(&format!("chaos-report-{number}"));
        let worker = scene.site.work();
        let gate = Gate::default();
        scene.plane.meets("succeeded", deaf(gate.clone()));
        scene.enqueue(&Scene::message("run-1", "service"));
        until("it is being told", || gate.is_reached());
        worker.kill();
        let worker = scene.site.work();
        // What was heard and not answered is said once more, to the letter and under the same key.
        until("it was told", || scene.plane.successes("run-1").len() == number + 1);
        scene.assert_made_once("run-1", "service");
        scene.until_empty();
        assert_eq!(worker.terminate(), 0);
        assert_eq!(scene.plane.successes("run-1").len(), number + 1);
        scene.site.audit();
    }
}

#[test]
fn what_people_push_on_top_before_a_killed_worker_is_back_fails_nothing() {
    let scene = Scene::new("chaos-plain");
    let pattern = format!("{}/{{namespace}}/{{name}}.git", scene.forge.url());
    let scene = scene
        .env("PITON_WORKER__PROVIDER", "git")
        .env("PITON_GIT_REMOTE__URL", &pattern)
        .env("PITON_GIT_REMOTE__USERNAME", "anybody")
        .env("PITON_GIT_REMOTE__PASSWORD", TOKEN);
    let repository = scene.forge.add_repository("my-team", "service", "").unwrap();
    let worker = scene.site.work();
    let hold = scene.hold(PUSH, Act::HoldAfter);
    let mut message = Scene::message("run-1", "service");
    message["git_config"] = json!({});
    scene.enqueue(&message);
    until("it is pushed", || hold.is_reached());
    worker.kill();
    let first = git(&repository, &["rev-parse", "main"]);
    let people = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
    let commit = ["commit-tree", "-p", "main", "-m", "By a person", "main^{tree}"];
    let second = git(&repository, &[&people[..], &commit[..]].concat());
    git(&repository, &["update-ref", "refs/heads/main", second.trim()]);

    let worker = scene.site.work();
    let run = scene.ended("run-1");
    assert_eq!((&run["outcome"], &run["repository"]["commit"]), (&json!("succeeded"), &json!(first.trim())), "{run:#}");
    assert_eq!(git(&repository, &["rev-parse", "main"]), second);
    scene.assert_told_once("run-1");
    scene.until_empty();
    assert_eq!(worker.terminate(), 0);
}

#[test]
fn keys_that_a_killed_worker_left_are_removed_when_nobody_can_need_them() {
    let site = Site::new().env("MAX_JOB_DURATION", "1s").env("RABBITMQ_URL", "amqp://127.0.0.1:1");
    for name in ["piton-push-old/key", "piton-push-new/key", "other/file"] {
        site.write(format!(".piton/scaffold/{name}"), "secret");
    }
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let directory = site.data().join("scaffold");
    for name in ["piton-push-old", "other"] {
        fs::File::open(directory.join(name)).unwrap().set_modified(hour_ago).unwrap();
    }
    let ahead = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    fs::File::open(directory.join("piton-push-new")).unwrap().set_modified(ahead).unwrap();
    let worker = site.work();
    let mut left: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["other", "piton-push-new"]);
    assert_eq!(worker.terminate(), 0);
}

#[test]
fn messages_that_come_ten_times_in_any_order_are_done_once() {
    let scene = Scene::new("chaos-often");
    let mut messages: Vec<(usize, serde_json::Value)> = Vec::new();
    for number in 0..3 {
        let message = Scene::message(&format!("run-{number}"), &format!("service-{number}"));
        messages.extend((0..10).map(|time| ((time * 7 + number * 11) % 29, message.clone())));
    }
    messages.sort_by_key(|(place, _)| *place);
    // Some are there before there is a worker.
    let (before, after) = messages.split_at(15);
    for (_, message) in before {
        scene.enqueue(message);
    }
    let worker = scene.site.work();
    for (_, message) in after {
        scene.enqueue(message);
    }
    scene.until_empty();
    for number in 0..3 {
        scene.assert_made_once(&format!("run-{number}"), &format!("service-{number}"));
        assert_eq!(scene.plane.successes(&format!("run-{number}")).len(), 1);
    }
    assert_eq!(scene.forge.names().len(), 3);
    assert_eq!(worker.terminate(), 0);
    scene.site.audit();
}

#[test]
fn what_has_failed_is_tried_once_more_however_often_it_is_sent_again() {
    let scene = Scene::new("chaos-again");
    let worker = scene.site.work();
    let mut message = Scene::message("run-1", "service");
    message["blueprint"]["template"] = json!("late");
    scene.enqueue(&message);
    assert_eq!(scene.ended("run-1")["outcome"], "failed");
    until("it is with the dead letters", || scene.lying(".dead") == 1);
    scene.site.write("blueprints/late/README.md.tmpl", "# {{ .Name }}\n");
    for _ in 0..5 {
        scene.enqueue(&message);
    }
    until("it went well", || scene.site.runs("scaffold/run-1").last().is_some_and(|run| run["outcome"] == "succeeded"));
    until("all messages were taken", || scene.lying("") == 0);
    assert_eq!(scene.site.runs("scaffold/run-1").len(), 2);
    scene.assert_told_once("run-1");
    assert_eq!(scene.plane.successes("run-1").len(), 1);
    assert_eq!(worker.terminate(), 0);
}

#[test]
fn a_gitlab_that_is_busy_broken_or_silent_is_asked_again_when_it_says() {
    let scene = Scene::new("chaos-gitlab").env("PITON_WORKER__FORGE_TIMEOUT", "1s");
    let later = vec![("retry-after", "3".to_owned())];
    scene.fault(CREATE, Act::Answer(429, later, "Retry later".to_owned()));
    scene.fault(PUSH, Act::Answer(500, Vec::new(), "<html>Whoops</html>".to_owned()));
    // What was asked of it is done all the same.
    let silent = scene.hold(PUSH, Act::HoldAfter);
    let worker = scene.site.work();
    scene.enqueue(&Scene::message("run-1", "service"));
    let run = scene.assert_made_once("run-1", "service");
    assert_eq!(run["attempts"], 4, "{run:#}");
    assert!(silent.is_reached());
    let log = scene.site.log(run["id"].as_str().unwrap());
    let waits: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("trying again in ").map(|(_, wait)| wait)).collect();
    assert_eq!(waits, ["3s", "2s", "4s"], "{log}");
    assert_eq!(scene.forge.names().len(), 1);
    scene.until_empty();
    assert_eq!(worker.terminate(), 0);
    scene.site.audit();
}

#[test]
fn what_was_made_before_gitlab_fell_silent_is_found_again() {
    let scene = Scene::new("chaos-silent").env("PITON_WORKER__FORGE_TIMEOUT", "1s");
    let created = scene.hold(CREATE, Act::HoldAfter);
    scene.fault(("GET", "/projects/"), Act::Answer(502, Vec::new(), String::new()));
    scene.fault(PUSH, Act::CutAfter);
    let worker = scene.site.work();
    scene.enqueue(&Scene::message("run-1", "service"));
    scene.assert_made_once("run-1", "service");
    assert!(created.is_reached());
    assert_eq!(scene.forge.names().len(), 1);
    scene.until_empty();
    assert_eq!(worker.terminate(), 0);
    scene.site.audit();
}

#[test]
fn a_run_that_failed_is_with_the_dead_letters_although_its_worker_was_killed() {
    let scene = Scene::with_own_broker("chaos-dead");
    let worker = scene.site.work();
    let hold = scene.hold(("GET", "/groups/"), Act::HoldBefore);
    scene.fault(CREATE, Act::Answer(403, Vec::new(), r#"{"message":"403 Forbidden"}"#.to_owned()));
    // No forge is named: what the worker made of it must be said in the same way again.
    let mut message = Scene::message("run-1", "service");
    message["git_config"] = json!({ "group_id": 123 });
    scene.enqueue(&message);
    until("the run is under way", || hold.is_reached());
    until("the message is acknowledged", || scene.lying("") == 0);
    // There is nobody to bury it.
    scene.rabbit().kill().unwrap();
    hold.release();
    let failed = scene.ended("run-1");
    assert_eq!((&failed["outcome"], &failed["attempts"]), (&json!("failed"), &json!(1)), "{failed:#}");
    worker.kill();
    scene.rabbit().start_again().unwrap();
    let worker = scene.site.work();
    until("it is with the dead letters", || scene.lying(".dead") == 1);
    assert_eq!(worker.terminate(), 0);

    // It is buried once, and can be sent to work again as it lies there.
    let worker = scene.site.work();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = Address::parse(&Secret::new(scene.rabbit().url())).unwrap();
    let topology =
        Topology::new(&scene.queue, Ladder { first: std::time::Duration::from_secs(1), ..Ladder::default() });
    let topology = topology.unwrap();
    let letters = runtime.block_on(dead::read(&address, &topology, 10)).unwrap();
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert!(letters[0].reason.contains("not allowed") && letters[0].attempts == 1, "{letters:#?}");
    assert_eq!(runtime.block_on(dead::redrive(&address, &topology, 10)).unwrap(), 1);
    until("it went well", || scene.site.runs("scaffold/run-1").last().is_some_and(|run| run["outcome"] == "succeeded"));
    let runs = scene.site.runs("scaffold/run-1");
    assert_eq!((runs.len(), &runs[1]["retry_of"]), (2, &failed["id"]), "{runs:#?}");
    scene.assert_told_once("run-1");
    let mut failures = scene.plane.told_that("run-1", "failed");
    failures.dedup();
    assert_eq!(failures.len(), 1, "{failures:#?}");
    scene.until_empty();
    assert_eq!(worker.terminate(), 0);
    scene.site.audit();
}

#[test]
fn a_control_plane_that_is_away_hears_of_every_end_when_it_is_back() {
    let scene = Scene::new("chaos-plane");
    scene.plane.meets("succeeded", Deaf::Answer("503 Service Unavailable"));
    scene.plane.meets("succeeded", Deaf::Answer("401 Unauthorized"));
    let worker = scene.site.work();
    scene.enqueue(&Scene::message("run-1", "one"));
    scene.assert_made_once("run-1", "one");
    scene.plane.set_away(true);
    scene.enqueue(&Scene::message("run-2", "two"));
    assert_eq!(scene.ended("run-2")["outcome"], "succeeded");
    // It waits for a while at its end, and leaves the rest to the next one.
    assert_eq!(worker.terminate(), 0);
    assert_eq!(scene.plane.successes("run-2"), []);
    scene.plane.set_away(false);
    let worker = scene.site.work();
    scene.assert_made_once("run-2", "two");
    assert_eq!(scene.plane.successes("run-1").len(), 1);
    assert_eq!(worker.terminate(), 0);
}

#[test]
fn jobs_of_the_queue_and_other_runs_do_not_wait_for_each_other() {
    let scene =
        Scene::new("chaos-lanes").env("WORKER_CONCURRENCY", "2").env("PITON_SCHEDULER__MAX_CONCURRENT_RUNS", "1");
    let job = |name: &str, command: &str| {
        let text = json!({ "name": name, "type": "command", "command": command }).to_string();
        scene.site.write(format!("jobs/{name}.json"), &text);
    };
    let gate = scene.site.path().join("go");
    job("quick", "true");
    job("slow", &format!("echo begun; while [ ! -e {} ]; do sleep 0.05; done", gate.display()));
    let daemon = scene.site.serve_with(&["--listen", "127.0.0.1:0", "--worker"]);
    let holds: Vec<Hold> = (0..2).map(|_| scene.hold(CREATE, Act::HoldBefore)).collect();
    for number in 0..3 {
        scene.enqueue(&Scene::message(&format!("run-{number}"), &format!("service-{number}")));
    }
    until("as many repositories as may be are being made", || holds.iter().all(Hold::is_reached));
    let said = scene.site.piton(["job", "run", "quick"]);
    assert_eq!(said.code, 0, "{said}");
    let slow = scene.site.piton(["job", "run", "slow", "--detach"]).out.trim().to_owned();
    until("the only slot is taken", || scene.site.log(&slow).contains("begun\n"));
    for hold in &holds {
        hold.release();
    }
    for number in 0..3 {
        scene.assert_made_once(&format!("run-{number}"), &format!("service-{number}"));
    }
    assert_eq!(scene.site.json(["run", "show", &slow])["state"], "running");
    fs::write(gate, "").unwrap();
    until("the slow one has ended", || scene.site.json(["run", "show", &slow])["state"] == "ended");
    scene.until_empty();
    assert_eq!(daemon.terminate(), 0);
}
