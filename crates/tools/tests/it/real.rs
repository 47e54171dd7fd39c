//! The programs on this machine's PATH, where there are any.

use piton_tools::{Config, Constraints, Found, Installed, Manager, Preference, Reading, Tool, ToolChoice, inventory};

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

/// Our reading of constraints against the tool's own: a module that requires a version initialises, or does not.
#[tokio::test]
async fn real_tools_agree_about_constraints() {
    let dir = tempfile::tempdir().unwrap();
    let inventory = Manager::new(Config::new(dir.path().join("tools"))).list().await.unwrap();
    for Installed { path, version, .. } in inventory.installed {
        let [major, minor, patch] = version.numbers();
        let texts = [
            format!("{major}.{minor}.{patch}"),
            format!("v{major}.{minor}.{patch}"),
            format!("{major}.{minor}"),
            format!("{major}"),
            format!("~> {major}"),
            format!("~> {major}.{minor}"),
            format!("~>{major}.{minor}.{patch}"),
            format!("~> {major}.{minor}.{patch}.0"),
            format!("~> {major}.{}", minor + 1),
            format!(">= 0{major}.0{minor}"),
            format!("> {major}.{minor}.{patch}"),
            format!("> {major}.{minor}.{patch}, < {}", major + 1),
            format!(">= {major}.{minor}.{patch}.1"),
            format!("!= {major}.{minor}.{patch}"),
            format!(" >= {major} ,  < {} ", major + 1),
            format!("<= {major}.{minor}.{patch}+build"),
            format!(">= {major}.0.0-rc1"),
            format!("{major}.{minor}.x"),
            format!("== {major}.{minor}.{patch}"),
            format!("^{major}"),
            format!(">= {major},"),
            String::new(),
        ];
        for text in &texts {
            let module = tempfile::tempdir_in(&dir).unwrap();
            let code = format!("terraform {{\n  required_version = \"{text}\"\n}}\n");
            std::fs::write(module.path().join("main.tf"), code).unwrap();
            let accepted = tokio::process::Command::new(&path)
                .args(["init", "-no-color", "-input=false"])
                .current_dir(&module)
                .env("CHECKPOINT_DISABLE", "1")
                .output()
                .await
                .unwrap()
                .status
                .success();
            let ours = Constraints::parse(text, Reading::Required).is_ok_and(|constraints| constraints.allow(&version));
            assert_eq!(ours, accepted, "{} {version} about `{text}`", path.display());
        }
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
