//! From a directory of code to a program.

use std::fs;
use std::time::{Duration, Instant};

use piton_tools::{Choice, Found, Place, Preference, Progress, Reason, Tool, ToolChoice, Want};

use crate::harness::{Harness, ignore, index_path, version};
use crate::server::Answer;

/// A stand-in for a tool that notes each time it is asked.
fn stand_in(harness: &Harness, tool: Tool, version: &str) -> std::path::PathBuf {
    let log = harness.at("asked.log");
    harness.put_on_path(
        tool.program(),
        &format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\necho '{{\"terraform_version\": \"{version}\"}}'\n", log.display()),
    )
}

fn times_asked(harness: &Harness) -> usize {
    fs::read_to_string(harness.at("asked.log")).map_or(0, |log| log.lines().count())
}

fn wants(text: &str) -> Preference {
    Preference { version: Some(Want::parse(text, &Place::Configuration).unwrap()), ..Preference::default() }
}

#[tokio::test]
async fn a_program_on_path_is_asked_once() {
    let harness = Harness::new().await;
    let tofu = stand_in(&harness, Tool::OpenTofu, "1.8.3");
    let code = harness.write_code("main.tf", "terraform {\n  required_version = \"~> 1.8\"\n}\n");
    let manager = harness.manager();
    for _ in 0..3 {
        let installed = manager.resolve(&Preference::default(), &code, ignore).await.unwrap();
        assert_eq!((installed.path.as_path(), installed.found), (tofu.as_path(), Found::Path));
        assert_eq!(installed.version, version("1.8.3"));
    }
    // Nor does another process ask again.
    harness.manager().resolve(&Preference::default(), &code, ignore).await.unwrap();
    assert_eq!(times_asked(&harness), 1);
    assert!(harness.server.requests().is_empty(), "no network is needed");
    // An upgrade is noticed.
    stand_in(&harness, Tool::OpenTofu, "1.10.0");
    assert_eq!(manager.resolve(&Preference::default(), &code, ignore).await.unwrap().version, version("1.10.0"));
    assert_eq!(times_asked(&harness), 2);
}

#[tokio::test]
async fn a_repeated_resolve_is_quick() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    stand_in(&harness, Tool::OpenTofu, "1.6.0");
    let code = harness.write_code("main.tf", "terraform {\n  required_version = \">= 1.8\"\n}\n");
    for index in 0..20 {
        harness.write_code(&format!("part{index}.tf"), &"resource \"terraform_data\" \"x\" {}\n".repeat(50));
    }
    let manager = harness.manager();
    manager.resolve(&Preference::default(), &code, ignore).await.unwrap();
    let mut best = Duration::MAX;
    for _ in 0..30 {
        let start = Instant::now();
        manager.resolve(&Preference::default(), &code, ignore).await.unwrap();
        best = best.min(start.elapsed());
    }
    println!("a repeated resolve takes {best:?}");
    // The best of many, so that a busy machine does not decide it.
    assert!(best < Duration::from_millis(5), "{best:?}");
}

#[tokio::test]
async fn what_is_missing_is_downloaded() {
    let harness = Harness::with_releases(&["1.6.2", "1.8.0", "1.9.0", "2.0.0"]).await;
    let code = harness.write_code("main.tf", "terraform {\n  required_version = \">= 1.8, < 2.0\"\n}\n");
    let manager = harness.manager();
    let verdict = manager.which(&Preference::default(), &code).await.unwrap();
    assert_eq!(verdict.choice, Choice::Download(Tool::OpenTofu, version("1.9.0")));
    assert!(!harness.tools_dir().join("tofu").exists(), "which downloads nothing");

    let mut steps = Vec::new();
    let installed = manager.resolve(&Preference::default(), &code, |step| steps.push(step)).await.unwrap();
    assert_eq!(installed.version, version("1.9.0"));
    assert_eq!(steps.first(), Some(&Progress::ReadingIndex(Tool::OpenTofu)));
    assert_eq!(harness.server.count(index_path(Tool::OpenTofu)), 1, "the list is kept for a while");

    let requests = harness.server.requests().len();
    let again = harness.manager().resolve(&Preference::default(), &code, ignore).await.unwrap();
    assert_eq!(again, installed);
    assert_eq!(harness.server.requests().len(), requests, "the cache needs no network");
}

#[tokio::test]
async fn version_files_are_found_up_to_the_root() {
    let harness = Harness::with_releases(&["1.6.2", "1.8.0", "1.9.0"]).await;
    let code = harness.write_code("main.tf", "");
    fs::write(harness.at(".opentofu-version"), "1.6.2\n").unwrap();
    let manager = harness.manager();
    let resolve =
        async |preference: &Preference| manager.resolve(preference, &code, ignore).await.unwrap().version.to_string();
    let rooted = Preference { root: Some(harness.dir.path().to_owned()), ..Preference::default() };
    assert_eq!(resolve(&rooted).await, "1.6.2");
    assert_eq!(resolve(&Preference { root: rooted.root.clone(), ..wants("1.8.0") }).await, "1.8.0");
    // Without a root only the directory itself counts; 1.8.0 is at hand by now, so nothing newer is fetched.
    assert_eq!(resolve(&Preference::default()).await, "1.8.0");
    harness.write_code(".tool-versions", "opentofu latest\n");
    assert_eq!(resolve(&rooted).await, "1.9.0");
}

#[tokio::test]
async fn a_conflict_names_the_files() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    let code = harness.write_code("versions.tf", "terraform {\n\n  required_version = \">= 1.9\"\n}\n");
    harness.write_code(".opentofu-version", "1.8.0\n");
    let error = harness.manager().resolve(&Preference::default(), &code, ignore).await.unwrap_err();
    assert_eq!(error.code(), "version_conflict");
    for part in ["`1.8.0`", ".opentofu-version:1", "`>= 1.9`", "versions.tf:3"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(harness.server.requests().is_empty());
}

#[tokio::test]
async fn an_unreachable_list_matters_only_if_nothing_will_do() {
    let harness = Harness::with_releases(&["1.8.0", "1.9.0"]).await;
    harness.server.set(index_path(Tool::OpenTofu), Answer::Status(503));
    let code = harness.write_code("main.tf", "");
    let manager = harness.manager();
    let error = manager.resolve(&wants("latest"), &code, ignore).await.unwrap_err();
    assert_eq!(error.code(), "http_status");
    manager.install(Tool::OpenTofu, &version("1.8.0"), ignore).await.unwrap();
    let verdict = manager.which(&wants("latest"), &code).await.unwrap();
    assert_eq!(*verdict.choice.version(), version("1.8.0"));
    assert!(matches!(&verdict.reasons[0], Reason::IndexUnreachable(why) if why.contains("503")), "{verdict:?}");
    // With the list back, `latest` is the latest again.
    harness.publish_index(Tool::OpenTofu, &["1.8.0", "1.9.0"]);
    assert_eq!(manager.resolve(&wants("latest"), &code, ignore).await.unwrap().version, version("1.9.0"));
}

#[tokio::test]
async fn a_broken_program_is_passed_over_and_reported() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    let code = harness.write_code("main.tf", "");
    let broken = harness.put_on_path("tofu", "#!/bin/sh\necho 'segmentation fault' && exit 139\n");
    let terraform = harness.put_on_path("terraform", "#!/bin/sh\necho '{\"terraform_version\":\"1.11.4\"}'\n");
    let manager = harness.manager();
    let inventory = manager.list().await.unwrap();
    assert_eq!(inventory.broken.len(), 1);
    assert_eq!((&inventory.broken[0].path, inventory.broken[0].passing), (&broken, false));
    assert!(inventory.broken[0].reason.contains("segmentation fault"), "{inventory:?}");
    let verdict = manager.which(&Preference::default(), &code).await.unwrap();
    assert!(matches!(&verdict.choice, Choice::Use(installed) if installed.path == terraform), "{verdict:?}");
    assert!(matches!(&verdict.reasons[0], Reason::Broken(path, _) if *path == broken), "{verdict:?}");
}

#[tokio::test]
async fn a_program_that_does_not_answer_in_time_stops_the_run() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    harness.put_on_path("terraform", "#!/bin/sh\necho '{\"terraform_version\":\"1.11.4\"}'\n");
    // It waits for a writer that never comes, without a process of its own to leave behind.
    let pipe = harness.at("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    harness.put_on_path("tofu", &format!("#!/bin/sh\nread line <'{}'\n", pipe.display()));
    let mut config = harness.config();
    config.probe_timeout = Duration::from_millis(50);
    let manager = piton_tools::Manager::new(config);
    // Neither the other tool nor a download takes its place: a busy machine must not change what a workspace runs on.
    let error = manager.resolve(&Preference::default(), &harness.write_code("main.tf", ""), ignore).await.unwrap_err();
    assert_eq!(error.code(), "tool_unusable");
    assert!(error.is_transient() && error.to_string().contains("no version within"), "{error}");
    let inventory = manager.list().await.unwrap();
    assert!(inventory.broken[0].passing, "{inventory:?}");
}

#[tokio::test]
async fn a_program_that_is_killed_stops_the_run() {
    let harness = Harness::new().await;
    harness.put_on_path("tofu", "#!/bin/sh\nkill -9 $$\n");
    let code = harness.write_code("main.tf", "");
    let error = harness.manager().resolve(&Preference::default(), &code, ignore).await.unwrap_err();
    assert_eq!(error.code(), "tool_unusable");
}

#[tokio::test]
async fn a_program_for_another_machine_is_passed_over() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    harness.put_on_path("tofu", "\u{7f}ELF, but no more than that");
    let code = harness.write_code("main.tf", "");
    let installed = harness.manager().resolve(&Preference::default(), &code, ignore).await.unwrap();
    assert_eq!((installed.tool, installed.found), (Tool::OpenTofu, Found::Cache));
}

#[tokio::test]
async fn a_chosen_tool_is_the_only_one() {
    let harness = Harness::with_releases(&["1.5.7"]).await;
    stand_in(&harness, Tool::OpenTofu, "1.8.3");
    let code = harness.write_code("main.tf", "");
    harness.write_code(".terraform-version", "1.5.7");
    let preference = Preference { tool: ToolChoice::Exactly(Tool::Terraform), ..Preference::default() };
    let installed = harness.manager().resolve(&preference, &code, ignore).await.unwrap();
    assert_eq!((installed.tool, installed.version), (Tool::Terraform, version("1.5.7")));
    assert_eq!(times_asked(&harness), 0, "tofu is of no concern");
}

#[tokio::test]
async fn the_list_shows_path_and_cache() {
    let harness = Harness::with_releases(&["1.8.0", "1.10.0"]).await;
    let manager = harness.manager();
    assert_eq!(manager.list().await.unwrap(), piton_tools::Inventory::default());
    stand_in(&harness, Tool::OpenTofu, "1.6.2");
    for text in ["1.8.0", "1.10.0"] {
        manager.install(Tool::OpenTofu, &version(text), ignore).await.unwrap();
    }
    manager.install(Tool::Terraform, &version("1.8.0"), ignore).await.unwrap();
    let listed: Vec<String> = manager
        .list()
        .await
        .unwrap()
        .installed
        .iter()
        .map(|it| format!("{} {} {:?}", it.tool, it.version, it.found))
        .collect();
    assert_eq!(listed, ["tofu 1.6.2 Path", "tofu 1.10.0 Cache", "tofu 1.8.0 Cache", "terraform 1.8.0 Cache"]);
}

#[tokio::test]
async fn answers_that_cannot_be_kept_cost_only_time() {
    let harness = Harness::new().await;
    stand_in(&harness, Tool::OpenTofu, "1.8.3");
    let code = harness.write_code("main.tf", "");
    // A directory in the file's place defeats even root.
    fs::create_dir_all(harness.tools_dir().join("versions.json/occupied")).unwrap();
    for asked in 1..3 {
        let installed = harness.manager().resolve(&Preference::default(), &code, ignore).await.unwrap();
        assert_eq!(installed.version, version("1.8.3"));
        assert_eq!(times_asked(&harness), asked);
    }
    let left: Vec<_> = fs::read_dir(harness.tools_dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["versions.json"], "no temporary files pile up");
}
