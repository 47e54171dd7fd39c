//! Installations that succeed, and versions that do not exist.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use piton_tools::{Authorization, Endpoint, Error, Found, Manager, Mirror, PerTool, Progress, Source, Tool};
use tokio::sync::Semaphore;

use crate::harness::{Harness, archive, ignore, index_path, paths, program, version};
use crate::key::SigningKey;
use crate::server::{Answer, Server};

#[tokio::test]
async fn a_good_release_is_installed() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    for tool in Tool::ALL {
        let mut steps = Vec::new();
        let installed = harness.manager().install(tool, &version("1.8.0"), |step| steps.push(step)).await.unwrap();
        assert_eq!((installed.tool, installed.found), (tool, Found::Cache));
        assert_eq!(fs::read(&installed.path).unwrap(), program(tool, "1.8.0"));
        assert_eq!(fs::metadata(&installed.path).unwrap().permissions().mode() & 0o7777, 0o755);
        let place = format!("tools/{tool}/1.8.0/{}/{tool}", piton_tools::Platform::current());
        assert_eq!(installed.path, harness.at(&place));
        assert!(fs::read_dir(harness.tools_dir().join(".partial")).unwrap().next().is_none(), "nothing is left over");

        assert_eq!(steps.first(), Some(&Progress::CheckingSignature(tool, version("1.8.0"))));
        assert_eq!(steps.last(), Some(&Progress::Installed(installed.clone())));
        let whole = steps.iter().any(|step| match step {
            Progress::Downloading { received, total, .. } => Some(*received) == *total,
            _ => false,
        });
        assert!(whole, "{steps:?}");
    }
}

#[tokio::test]
async fn an_installed_version_is_not_fetched_again() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    let first = harness.install(Tool::OpenTofu, "1.8.0").await.unwrap();
    let requests = harness.server.requests().len();
    let second = harness.install(Tool::OpenTofu, "1.8.0").await.unwrap();
    assert_eq!(first, second);
    assert_eq!(harness.server.requests().len(), requests);
}

#[tokio::test]
async fn a_signing_subkey_is_as_good_as_its_primary() {
    let harness = Harness::new().await;
    for tool in Tool::ALL {
        let sums = harness.publish(tool, "1.8.0", &archive(tool, &[(tool.program(), b"program")]));
        let signature = harness.key.sign_with_subkey(sums.as_bytes());
        harness.server.set(&paths(tool, "1.8.0").signature, Answer::File(signature));
        harness.install(tool, "1.8.0").await.unwrap();
    }
}

#[tokio::test]
async fn old_terraform_releases_were_signed_again_under_another_name() {
    let harness = Harness::new().await;
    let paths = paths(Tool::Terraform, "0.14.0");
    let sums = harness.publish(Tool::Terraform, "0.14.0", &archive(Tool::Terraform, &[("terraform", b"program")]));
    // The plain signature is by a key that is no longer trusted; the other one is good.
    let retired = SigningKey::generate().sign(sums.as_bytes());
    harness.server.set(&paths.signature, Answer::File(retired));
    assert_eq!(harness.install(Tool::Terraform, "0.14.0").await.unwrap_err().code(), "unknown_key");
    let again = harness.key.sign(sums.as_bytes());
    harness.server.set(&format!("{}.72D7468F.sig", paths.sums), Answer::File(again));
    harness.install(Tool::Terraform, "0.14.0").await.unwrap();
}

#[tokio::test]
async fn an_unknown_version_offers_its_neighbours() {
    let harness = Harness::with_releases(&["1.6.2", "1.8.0", "1.8.3", "1.9.0-rc1", "1.10.0"]).await;
    for tool in Tool::ALL {
        match harness.install(tool, "1.8.2").await.unwrap_err() {
            error @ Error::NotFound { .. } => {
                assert_eq!(error.code(), "version_not_found");
                assert_eq!(error.to_string(), format!("there is no {} 1.8.2", tool.title()));
                assert_eq!(error.hint(), "the nearest releases are 1.8.3, 1.8.0, 1.6.2");
            }
            other => panic!("{other}"),
        }
    }
    // Even without a list of releases it is the version that is missing, not the server that is broken.
    harness.server.remove(index_path(Tool::OpenTofu));
    assert_eq!(harness.install(Tool::OpenTofu, "1.8.2").await.unwrap_err().code(), "version_not_found");
}

#[tokio::test]
async fn a_release_for_other_machines_only() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    harness.publish_sums(Tool::OpenTofu, "1.8.0", &format!("{}  tofu_1.8.0_plan9_mips.tar.gz\n", "0".repeat(64)));
    assert_eq!(harness.install(Tool::OpenTofu, "1.8.0").await.unwrap_err().code(), "no_build");
}

#[tokio::test]
async fn installations_at_once_download_once() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    let gate = Arc::new(Semaphore::new(0));
    let release = archive(Tool::OpenTofu, &[("tofu", &program(Tool::OpenTofu, "1.8.0"))]);
    harness.publish(Tool::OpenTofu, "1.8.0", &release);
    harness.server.set(&paths(Tool::OpenTofu, "1.8.0").archive, Answer::Gated(release, Arc::clone(&gate)));

    let waited = Arc::new(AtomicBool::new(false));
    let mut installations = tokio::task::JoinSet::new();
    for _ in 0..4 {
        // A manager of its own for each, as if it were another process.
        let manager = harness.manager();
        let (gate, waited) = (Arc::clone(&gate), Arc::clone(&waited));
        installations.spawn(async move {
            let report = |step| {
                // The download goes on only once somebody is seen waiting for it.
                if matches!(step, Progress::Waiting(..)) {
                    waited.store(true, Ordering::Relaxed);
                    gate.add_permits(1);
                }
            };
            manager.install(Tool::OpenTofu, &version("1.8.0"), report).await
        });
    }
    let mut programs = Vec::new();
    while let Some(installed) = installations.join_next().await {
        programs.push(installed.unwrap().unwrap().path);
    }
    assert_eq!(programs.len(), 4);
    assert!(programs.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(waited.load(Ordering::Relaxed));
    assert_eq!(harness.server.count(".tar.gz"), 1);
    assert_eq!(harness.server.count("SHA256SUMS"), 1);
}

#[tokio::test]
async fn what_a_killed_installation_left_is_swept() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    let partial = harness.tools_dir().join(".partial");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("tofu_1.8.0_abandoned"), "half").unwrap();
    fs::write(partial.join("tofu_1.9.0_running"), "somebody else's").unwrap();
    harness.install(Tool::OpenTofu, "1.8.0").await.unwrap();
    let left: Vec<_> = fs::read_dir(&partial).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["tofu_1.9.0_running"]);
}

#[tokio::test]
async fn authorization_goes_to_the_mirror_and_nowhere_else() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    let storage = Server::start().await;
    let paths = paths(Tool::OpenTofu, "1.8.0");
    let release = archive(Tool::OpenTofu, &[("tofu", &program(Tool::OpenTofu, "1.8.0"))]);
    harness.publish(Tool::OpenTofu, "1.8.0", &release);
    storage.set("/blob", Answer::File(release));
    harness.server.set(&paths.archive, Answer::Redirect(format!("{}/blob", storage.base())));

    let mut config = harness.config();
    let authorization = Authorization::new("Bearer secret").unwrap();
    config.mirror = Mirror::at(harness.server.base(), Some(authorization)).unwrap();
    Manager::new(config).install(Tool::OpenTofu, &version("1.8.0"), ignore).await.unwrap();

    let requests = harness.server.requests();
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|request| request.authorization.as_deref() == Some("Bearer secret")), "{requests:?}");
    let elsewhere = storage.requests();
    assert_eq!(elsewhere.len(), 1);
    assert!(elsewhere[0].authorization.is_none(), "{elsewhere:?}");
}

#[tokio::test]
async fn each_tool_may_have_a_place_of_its_own() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    let source = |tool: Tool| Source {
        index: Endpoint::parse(&format!("{}{}", harness.server.base(), index_path(tool))).unwrap(),
        artefacts: Endpoint::parse(&format!("{}/{tool}/", harness.server.base())).unwrap(),
        authorization: None,
    };
    let mut config = harness.config();
    config.mirror = Mirror::new(PerTool::from_fn(source));
    let manager = Manager::new(config);
    for tool in Tool::ALL {
        assert_eq!(*manager.releases(tool).await.unwrap(), [version("1.8.0")]);
        manager.install(tool, &version("1.8.0"), ignore).await.unwrap();
    }
}
