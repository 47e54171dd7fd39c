//! Mirrors that lie, break off, or send too much. Each time nothing must be left but the lock.

use piton_tools::{Error, Manager, Mirror, PerTool, Tool};

use crate::harness::{Harness, archive, ignore, index_path, paths, program, version};
use crate::key::SigningKey;
use crate::server::Answer;

/// Lets `spoil` damage a good release of each tool, and expects the installation to fail with `code`.
async fn expect_refusal(code: &str, spoil: impl Fn(&Harness, Tool)) -> Vec<Error> {
    let mut errors = Vec::new();
    for tool in Tool::ALL {
        let harness = Harness::with_releases(&["1.8.0"]).await;
        spoil(&harness, tool);
        let error = harness.install(tool, "1.8.0").await.unwrap_err();
        assert_eq!(error.code(), code, "{tool}: {error}");
        assert!(!error.hint().is_empty());
        harness.assert_nothing_installed();
        errors.push(error);
    }
    errors
}

fn sums_for(tool: Tool, digest: &str) -> String {
    format!("{digest}  {}\n", paths(tool, "1.8.0").archive_name)
}

#[tokio::test]
async fn a_tampered_archive() {
    let errors = expect_refusal("checksum_mismatch", |harness, tool| {
        let evil = archive(tool, &[(tool.program(), b"#!/bin/sh\nrm -rf /\n")]);
        harness.server.set(&paths(tool, "1.8.0").archive, Answer::File(evil));
    })
    .await;
    assert!(errors[0].to_string().starts_with("tofu_1.8.0_"), "{}", errors[0]);
}

#[tokio::test]
async fn a_tampered_list_of_sums() {
    expect_refusal("bad_signature", |harness, tool| {
        let sums = sums_for(tool, &"0".repeat(64));
        harness.server.set(&paths(tool, "1.8.0").sums, Answer::File(sums.into_bytes()));
    })
    .await;
}

#[tokio::test]
async fn a_signature_by_a_stranger() {
    let stranger = SigningKey::generate();
    let errors = expect_refusal("unknown_key", |harness, tool| {
        let paths = paths(tool, "1.8.0");
        let sums = sums_for(tool, &"0".repeat(64));
        harness.server.set(&paths.signature, Answer::File(stranger.sign(sums.as_bytes())));
        harness.server.set(&paths.sums, Answer::File(sums.into_bytes()));
    })
    .await;
    let fingerprint = &stranger.public().fingerprints()[0];
    assert!(errors.iter().all(|error| error.to_string().contains(fingerprint)), "the stranger is named: {errors:?}");
}

#[tokio::test]
async fn no_signature() {
    let errors = expect_refusal("missing_signature", |harness, tool| {
        harness.server.remove(&paths(tool, "1.8.0").signature);
    })
    .await;
    assert!(errors[1].to_string().contains("terraform_1.8.0_SHA256SUMS has no signature"), "{}", errors[1]);
}

#[tokio::test]
async fn a_signature_over_a_weak_digest() {
    let errors = expect_refusal("bad_signature", |harness, tool| {
        let paths = paths(tool, "1.8.0");
        let sums = sums_for(tool, &"0".repeat(64));
        let mut signature = harness.key.sign(sums.as_bytes());
        // Header, length, version 4, type 0 (of a file), key algorithm, then the hash algorithm; 2 is SHA-1.
        let start = signature.windows(2).position(|bytes| bytes == [4, 0]).unwrap();
        assert_eq!(std::mem::replace(&mut signature[start + 3], 2), 10, "it was SHA-512");
        harness.server.set(&paths.signature, Answer::File(signature));
        harness.server.set(&paths.sums, Answer::File(sums.into_bytes()));
    })
    .await;
    assert!(errors[0].to_string().contains("SHA1"), "refused for its digest, not for being damaged: {}", errors[0]);
}

#[tokio::test]
async fn a_page_in_place_of_a_signature() {
    expect_refusal("bad_signature", |harness, tool| {
        harness.server.set(&paths(tool, "1.8.0").signature, Answer::File(b"<html>Sign in</html>".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn an_archive_that_leads_out_of_itself() {
    let errors = expect_refusal("archive_unsafe", |harness, tool| {
        let evil = archive(tool, &[(tool.program(), b"program"), ("../../../evil", b"evil")]);
        harness.publish(tool, "1.8.0", &evil);
    })
    .await;
    assert!(errors[0].to_string().contains("`../../../evil`"), "{}", errors[0]);
}

#[tokio::test]
async fn an_archive_without_the_program() {
    expect_refusal("archive_broken", |harness, tool| {
        harness.publish(tool, "1.8.0", &archive(tool, &[("README.md", b"later")]));
    })
    .await;
}

#[tokio::test]
async fn more_than_was_agreed() {
    for tool in Tool::ALL {
        let harness = Harness::with_releases(&["1.8.0"]).await;
        harness.publish(tool, "1.8.0", &archive(tool, &[(tool.program(), &vec![0; 1 << 20])]));
        let mut config = harness.config();
        config.limits.unpacked = 64 << 10;
        let error = Manager::new(config).install(tool, &version("1.8.0"), ignore).await.unwrap_err();
        assert_eq!(error.code(), "archive_too_large", "{error}");
        harness.assert_nothing_installed();

        let mut config = harness.config();
        config.limits.archive = 100;
        let error = Manager::new(config).install(tool, &version("1.8.0"), ignore).await.unwrap_err();
        assert_eq!(error.code(), "archive_too_large", "{error}");
        harness.assert_nothing_installed();
    }
}

#[tokio::test]
async fn files_without_end() {
    expect_refusal("archive_too_large", |harness, tool| {
        harness.server.set(&paths(tool, "1.8.0").sums, Answer::Endless);
    })
    .await;
    let harness = Harness::with_releases(&["1.8.0"]).await;
    harness.server.set(&paths(Tool::OpenTofu, "1.8.0").archive, Answer::Endless);
    let mut config = harness.config();
    config.limits.archive = 1 << 20;
    let error = Manager::new(config).install(Tool::OpenTofu, &version("1.8.0"), ignore).await.unwrap_err();
    assert_eq!(error.code(), "archive_too_large", "{error}");
    harness.assert_nothing_installed();
}

#[tokio::test]
async fn a_download_that_breaks_off() {
    let errors = expect_refusal("network", |harness, tool| {
        let archive = archive(tool, &[(tool.program(), &program(tool, "1.8.0"))]);
        harness.publish(tool, "1.8.0", &archive);
        harness.server.set(&paths(tool, "1.8.0").archive, Answer::Interrupted(archive));
    })
    .await;
    assert!(errors.iter().all(Error::is_transient));
}

#[tokio::test]
async fn a_server_in_trouble() {
    let errors = expect_refusal("http_status", |harness, tool| {
        harness.server.set(&paths(tool, "1.8.0").archive, Answer::Status(503));
    })
    .await;
    assert!(errors.iter().all(Error::is_transient));
    expect_refusal("http_status", |harness, tool| {
        harness.server.set(&paths(tool, "1.8.0").signature, Answer::Status(403));
    })
    .await;
}

#[tokio::test]
async fn nobody_there() {
    let harness = Harness::new().await;
    let mut config = harness.config();
    // Port 1 on the loopback: nothing listens, and the refusal is immediate.
    config.mirror = Mirror::at("http://127.0.0.1:1", None).unwrap();
    let error = Manager::new(config).install(Tool::OpenTofu, &version("1.8.0"), ignore).await.unwrap_err();
    assert_eq!(error.code(), "network");
    assert!(error.to_string().contains("127.0.0.1:1") && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_redirect_into_the_clear() {
    let errors = expect_refusal("insecure_url", |harness, tool| {
        let elsewhere = "http://mirror.invalid/archive".to_owned();
        harness.server.set(&paths(tool, "1.8.0").archive, Answer::Redirect(elsewhere));
    })
    .await;
    assert!(errors[0].to_string().contains("http://mirror.invalid/archive"), "{}", errors[0]);
    assert_eq!(Mirror::at("http://mirror.invalid", None).unwrap_err().code(), "insecure_url");
}

#[tokio::test]
async fn a_redirect_to_where_clouds_keep_secrets() {
    expect_refusal("forbidden_address", |harness, tool| {
        let metadata = "https://169.254.169.254/latest/meta-data/".to_owned();
        harness.server.set(&paths(tool, "1.8.0").archive, Answer::Redirect(metadata));
    })
    .await;
}

#[tokio::test]
async fn a_redirect_in_a_circle() {
    expect_refusal("network", |harness, tool| {
        let archive = paths(tool, "1.8.0").archive;
        harness.server.set(&archive, Answer::Redirect(format!("{}{archive}", harness.server.base())));
    })
    .await;
}

#[tokio::test]
async fn a_list_of_releases_that_is_none() {
    let harness = Harness::new().await;
    harness.server.set(index_path(Tool::OpenTofu), Answer::File(b"<html>".to_vec()));
    assert_eq!(harness.manager().releases(Tool::OpenTofu).await.unwrap_err().code(), "invalid_index");
}

#[tokio::test]
async fn a_failure_does_not_stand_in_the_way_of_the_next_attempt() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    let paths = paths(Tool::OpenTofu, "1.8.0");
    let good = archive(Tool::OpenTofu, &[("tofu", &program(Tool::OpenTofu, "1.8.0"))]);
    harness.publish(Tool::OpenTofu, "1.8.0", &good);
    harness.server.set(&paths.archive, Answer::Interrupted(good.clone()));
    let manager = harness.manager();
    manager.install(Tool::OpenTofu, &version("1.8.0"), ignore).await.unwrap_err();
    harness.server.set(&paths.archive, Answer::File(good));
    manager.install(Tool::OpenTofu, &version("1.8.0"), ignore).await.unwrap();
}

#[tokio::test]
async fn one_tools_key_is_nothing_to_the_other() {
    let harness = Harness::with_releases(&["1.8.0"]).await;
    let mut config = harness.config();
    config.keys = PerTool { tofu: harness.key.public(), terraform: SigningKey::generate().public() };
    let manager = Manager::new(config);
    manager.install(Tool::OpenTofu, &version("1.8.0"), ignore).await.unwrap();
    let error = manager.install(Tool::Terraform, &version("1.8.0"), ignore).await.unwrap_err();
    assert_eq!(error.code(), "unknown_key");
}
