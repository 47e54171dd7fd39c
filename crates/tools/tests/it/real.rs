//! The programs on this machine's PATH, where there are any.

use piton_tools::{Config, Found, Manager, Preference, Tool, ToolChoice, inventory};

use crate::harness::Harness;

#[tokio::test]
async fn real_tools_tell_their_versions() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new(dir.path());
    let expected: Vec<_> = Tool::ALL.iter().flat_map(|tool| inventory::on_path(*tool, &config.path_env)).collect();
    let inventory = Manager::new(config).list().await.unwrap();
    println!("on PATH: {:?}", inventory.installed);
    let mut answered: Vec<_> = inventory.installed.iter().map(|it| it.path.clone()).collect();
    answered.extend(inventory.broken.iter().map(|it| it.path.clone()));
    assert_eq!(answered, expected, "each one either works or is reported");
    for installed in &inventory.installed {
        assert_eq!(installed.found, Found::Path);
        assert!(installed.version >= "0.11.0".parse().unwrap(), "{installed:?}");
    }
}

#[tokio::test]
async fn both_generations_of_answers_are_understood() {
    let harness = Harness::new().await;
    harness.put_on_path(
        "tofu",
        "#!/bin/sh\n[ \"$*\" = 'version -json' ] && echo '{\"terraform_version\": \"1.9.0-rc1\"}'\n",
    );
    harness
        .put_on_path("terraform", "#!/bin/sh\necho 'Terraform v0.12.31'\necho\necho 'Your version is old!'\nexit 0\n");
    let manager = harness.manager();
    let code = harness.write_code("main.tf", "");
    for (tool, expected) in [(Tool::OpenTofu, "1.9.0-rc1"), (Tool::Terraform, "0.12.31")] {
        let preference = Preference { tool: ToolChoice::Exactly(tool), ..Preference::default() };
        let verdict = manager.which(&preference, &code).await.unwrap();
        assert_eq!(verdict.choice.version().to_string(), expected);
    }
}

#[tokio::test]
async fn the_users_settings_do_not_reach_the_program() {
    let harness = Harness::new().await;
    // PATH must stay, HOME may; the rest of this process's environment must not.
    let script = "#!/bin/sh\n[ -z \"$CARGO_MANIFEST_DIR\" ] && echo '{\"terraform_version\": \"1.8.0\"}'\n";
    harness.put_on_path("tofu", script);
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "cargo sets it for tests");
    assert_eq!(harness.manager().list().await.unwrap().installed.len(), 1);
}
