//! Code of deployments: from real git servers, for credentials, with nothing of them left.

use std::fs;
use std::path::Path;

use piton_exec::Config;
use piton_exec::registry::Registry;
use piton_model::{GitAuth, GitSource, Iac, Outcome, Run, Secret, Source};

use crate::hosting::{BASIC, Hosting, TOKEN, repository};
use crate::scene::{Scene, deploy, failure};
use crate::tool::Tool;

const CODE: &str = "variable \"x\" { default = \"none\" }\noutput \"x\" { value = var.x }\n\
                    resource \"terraform_data\" \"one\" {}\n";

fn from(url: String, reference: &str, path: &str, auth: Option<GitAuth>) -> Iac {
    let iac = deploy(Source::Git(GitSource { url, reference: reference.to_owned(), path: path.into(), auth }));
    Iac { workspace_name: None, ..iac }
}

fn password(text: &str) -> Option<GitAuth> {
    Some(GitAuth::Http { username: BASIC.0.to_owned(), password: Secret::new(text.to_owned()) })
}

/// Every file below `dir` that holds one of the texts.
fn holding(dir: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(holding(&path, texts));
        } else if let Ok(bytes) = fs::read(&path)
            && texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// The run is checked out, and waits for its `init`.
async fn checked_out(scene: &Scene, iac: Iac) -> Run {
    scene.drive_to(scene.run(iac), "init").await
}

async fn refused(scene: &Scene, iac: Iac) -> piton_model::Failure {
    let run = scene.drive(scene.run(iac)).await;
    failure(&run)
}

pub(crate) async fn a_deployment_from_a_server_that_asks_for_a_password(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let root = scene.path("git");
    let ids = repository(
        &root,
        "closed/code.git",
        &[&[("env/prod/main.tf", CODE), ("env/common.tfvars", "x = \"common\"\n")]],
    );
    let hosting = Hosting::start(&root, None).await;
    let mut iac = from(hosting.url("closed/code.git"), "main", "env/prod", password(BASIC.1));
    iac.var_files = vec!["../common.tfvars".into()];
    // What the tool starts sees its environment: the password must not be in it.
    iac.commands.apply =
        Some("env; cat /proc/self/environ | tr '\\0' '\\n'; exec \"$0\" apply \"$PITON_PLAN_FILE\"".to_owned());
    iac.commands.apply = iac.commands.apply.map(|line| line.replace("\"$0\"", tool.program));
    let run = scene.succeed(iac).await;
    assert_eq!(run.report.commit.as_ref(), Some(&ids[0]));
    assert_eq!(run.report.outputs.as_ref().unwrap()["x"].value, "common");
    let asked = hosting.asked();
    assert!(
        asked.iter().any(|asked| asked.authorization.as_deref() == Some(&format!("Basic {}", BASIC.2))),
        "{asked:?}"
    );
    // Neither as it is, nor as a URL or a header has it.
    let left = holding(&scene.path("data"), &[BASIC.1, BASIC.2, "p4ss%2Fw0rd%2B1"]);
    assert_eq!(left, [""; 0]);
    assert!(!scene.logs.run_dir(run.id).join("git").exists());
}

pub(crate) async fn branches_tags_and_commits() {
    let scene = Scene::new(None);
    let root = scene.path("git");
    let ids = repository(
        &root,
        "open/code.git",
        &[&[("main.tf", "# 0\n")], &[("main.tf", "# 1\n")], &[("main.tf", "# 2\n")]],
    );
    let hosting = Hosting::start(&root, None).await;
    for (reference, number) in
        [("main", 2), ("refs/heads/main", 2), ("v1", 1), (ids[1].as_str(), 1), (ids[0].as_str(), 0), (&ids[0][..9], 0)]
    {
        let git = scene.git();
        let into = tempfile::tempdir().unwrap();
        let files = scene.path("credentials");
        let access = piton_exec::git::Access { auth: None, files: &files };
        let address = hosting.url("open/code.git").parse().unwrap();
        let found = git.checkout_as(access, &address, &reference.parse().unwrap(), into.path()).await.unwrap();
        assert_eq!(found.commit, ids[number], "{reference}");
        assert_eq!(fs::read_to_string(into.path().join("main.tf")).unwrap(), format!("# {number}\n"));
        if reference.len() != 9 {
            let log = crate::hosting::git(into.path(), &["rev-list", "HEAD"]);
            assert_eq!(log.lines().count(), 1, "no history comes along with {reference}");
        }
        assert!(!files.exists());
    }
    let missing = refused(&scene, from(hosting.url("open/code.git"), "mian", ".", None)).await;
    assert_eq!(missing.code, "git_ref_not_found");
    assert!(missing.hint.unwrap().contains("main"));
    assert_eq!(
        refused(&scene, from(hosting.url("open/none.git"), "main", ".", None)).await.code,
        "git_repository_not_found"
    );
}

pub(crate) async fn wrong_credentials_are_told_and_not_repeated() {
    let scene = Scene::new(None);
    let root = scene.path("git");
    repository(&root, "closed/code.git", &[&[("main.tf", CODE)]]);
    let hosting = Hosting::start(&root, None).await;
    for auth in [None, password("wr0ng-passw0rd")] {
        let failure = refused(&scene, from(hosting.url("closed/code.git"), "main", ".", auth)).await;
        assert_eq!(failure.code, "git_authentication_required");
        assert!(!format!("{failure:?}").contains("wr0ng"), "{failure:?}");
    }
    assert_eq!(holding(&scene.path("data"), &["wr0ng-passw0rd"]), [""; 0]);
    // The credentials are for one host: another port is another.
    let other = Hosting::start(&root, None).await;
    scene
        .git()
        .checkout_as(
            piton_exec::git::Access { auth: password(BASIC.1).as_ref(), files: &scene.path("credentials") },
            &other.url("closed/code.git").parse().unwrap(),
            &"main".parse().unwrap(),
            tempfile::tempdir().unwrap().path(),
        )
        .await
        .unwrap();
    assert!(hosting.asked().iter().all(|asked| asked.authorization.as_deref() != Some(&format!("Basic {}", BASIC.2))));
}

pub(crate) async fn redirects_lead_nowhere_else() {
    let scene = Scene::new(None);
    let root = scene.path("git");
    let ids = repository(&root, "closed/code.git", &[&[("main.tf", CODE)]]);
    let target = Hosting::start(&root, None).await;
    let hosting = Hosting::start(&root, Some(target.url(""))).await;
    let failure = refused(&scene, from(hosting.url("away/closed/code.git"), "main", ".", password(BASIC.1))).await;
    assert_eq!(failure.code, "git_redirected");
    assert_eq!(target.asked(), []);
    // A server that only knows the full name of its own repository is met half-way.
    let own = Hosting::start(&root, None).await;
    let run = checked_out(&scene, from(own.url("closed/code"), "main", ".", password(BASIC.1))).await;
    assert_eq!(run.report.commit.as_ref(), Some(&ids[0]));
}

pub(crate) async fn blocked_addresses_are_not_contacted() {
    let blocked =
        |config: Config| Config { guard: piton_exec::guard::Guard::new(["127.0.0.0/8".parse().unwrap()]), ..config };
    let scene = Scene::with(None, blocked);
    let root = scene.path("git");
    repository(&root, "open/code.git", &[&[("main.tf", CODE)]]);
    let hosting = Hosting::start(&root, None).await;
    let port = hosting.address.port();
    for url in [
        format!("http://127.0.0.1:{port}/open/code.git"),
        format!("http://localhost:{port}/open/code.git"),
        format!("ssh://git@127.0.0.1:{port}/x"),
    ] {
        let failure = refused(&scene, from(url, "main", ".", None)).await;
        assert_eq!(failure.code, "blocked_address", "{failure:?}");
        assert!(failure.message.contains("security.blocked_networks"), "{failure:?}");
    }
    let failure = refused(&scene, from("http://169.254.169.254/latest".to_owned(), "main", ".", None)).await;
    assert_eq!(failure.code, "git_address_invalid");
    assert_eq!(hosting.asked(), []);
}

pub(crate) async fn a_fetch_is_stopped_with_all_it_started() {
    let scene = Scene::new(None);
    let root = scene.path("git");
    let hosting = Hosting::start(&root, None).await;
    let run = scene
        .drive_to(scene.run(from(hosting.url("stuck/code.git"), "main", ".", password(BASIC.1))), "checkout")
        .await;
    let files = scene.logs.run_dir(run.id).join("git");
    let stopping = async {
        scene.until("the server is asked", || !hosting.asked().is_empty()).await;
        assert!(files.join("password").exists());
        scene.stop.cancel();
    };
    let (run, ()) = tokio::join!(scene.step(&run, false), stopping);
    assert_eq!(failure(&run).code, "stopped");
    assert!(!files.exists(), "the credentials go with the fetch");
    let url = hosting.url("stuck");
    scene
        .until("git and its helper are gone", || {
            let said = |pid: &str| {
                String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).into_owned()
            };
            let mut processes =
                fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            !processes.any(|pid| said(&pid).contains(&url))
        })
        .await;
}

pub(crate) async fn leftovers_of_a_killed_fetch_go() {
    let scene = Scene::new(None);
    let root = scene.path("git");
    let ids = repository(&root, "closed/code.git", &[&[("main.tf", CODE)]]);
    let hosting = Hosting::start(&root, None).await;
    let run = scene
        .drive_to(scene.run(from(hosting.url("closed/code.git"), "main", ".", password(BASIC.1))), "checkout")
        .await;
    let files = scene.logs.run_dir(run.id).join("git");
    let leave = || {
        fs::create_dir_all(&files).unwrap();
        fs::write(files.join("password"), "of a daemon that was killed").unwrap();
    };
    leave();
    fs::create_dir_all(scene.deployment().join("code/half-done")).unwrap();
    let run = scene.step(&run, true).await;
    assert_eq!(run.report.commit.as_ref(), Some(&ids[0]));
    assert!(!files.exists() && !scene.deployment().join("code/half-done").exists());
    leave();
    scene.exec.cleanup(&run).await;
    assert!(!files.exists());
}

pub(crate) async fn paths_and_files_stay_in_the_repository(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let root = scene.path("git");
    let outside = scene.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("main.tf"), CODE).unwrap();
    fs::write(outside.join("x.tfvars"), "x = \"outside\"\n").unwrap();
    let to = |text: &str| format!("-> {text}");
    let (away, file) = (to(&outside.display().to_string()), to(&outside.join("x.tfvars").display().to_string()));
    let files = [
        ("main.tf", CODE),
        ("away", away.as_str()),
        ("up", "-> ../../../../outside"),
        ("x.tfvars", file.as_str()),
        ("inside", "-> sub"),
        ("sub/main.tf", CODE),
        ("sub/fine.tfvars", "x = \"fine\"\n"),
    ];
    repository(&root, "open/code.git", &[&files]);
    let hosting = Hosting::start(&root, None).await;
    let at = |path: &str| from(hosting.url("open/code.git"), "main", path, None);
    for (path, code) in
        [("away", "path_escape"), ("up", "path_escape"), ("nowhere", "path_missing"), ("main.tf", "path_missing")]
    {
        assert_eq!(refused(&scene, at(path)).await.code, code, "{path}");
    }
    for (file, code) in [
        ("x.tfvars", "var_file_escape"),
        ("none.tfvars", "var_file_missing"),
        ("sub", "var_file_missing"),
        ("../x", "var_file_escape"),
    ] {
        let iac = Iac { var_files: vec![file.into()], ..at(".") };
        assert_eq!(refused(&scene, iac).await.code, code, "{file}");
    }
    let settings = Iac { init_flags: vec!["-backend-config=x.tfvars".to_owned()], ..at(".") };
    assert_eq!(refused(&scene, settings).await.code, "var_file_escape");
    let inside = Iac { var_files: vec!["fine.tfvars".into()], ..at("inside") };
    let run = scene.succeed(inside).await;
    assert_eq!(run.report.outputs.as_ref().unwrap()["x"].value, "fine");

    // Swapped while the run is under way.
    let run = scene.drive_to(scene.run(at("sub")), "plan").await;
    let code = scene.deployment().join("code");
    fs::rename(code.join("sub"), code.join("aside")).unwrap();
    std::os::unix::fs::symlink(&outside, code.join("sub")).unwrap();
    let run = scene.step(&run, false).await;
    assert_eq!(failure(&run).code, "path_escape");
    assert!(!outside.join(".terraform").exists());
}

pub(crate) async fn modules_of_a_private_registry(tool: Tool) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    repository(root, "open/module.git", &[&[("main.tf", "output \"word\" { value = \"from the registry\" }\n")]]);
    let hosting = Hosting::start(root, None).await;
    let address = format!("http://localhost:{}", hosting.address.port());
    let registry = Registry::parse(&address).unwrap();
    let name = registry.names()[1].clone();
    let scene = Scene::with(Some(&tool), |config| Config { registry: Some(registry), ..config });
    let code = format!(
        "module \"m\" {{\n  source  = \"{name}/team/word/any\"\n  version = \"~> 1.0\"\n}}\n\
         output \"word\" {{ value = module.m.word }}\n\
         resource \"terraform_data\" \"x\" {{\n  provisioner \"local-exec\" {{ command = \"env; cat $TF_CLI_CONFIG_FILE\" }}\n}}\n"
    );
    let run = scene.succeed(deploy(scene.code(&[("main.tf", code.as_str())]))).await;
    assert_eq!(run.report.outputs.as_ref().unwrap()["word"].value, "from the registry");
    let asked = hosting.asked();
    let bearer = Some(format!("Bearer {TOKEN}"));
    assert!(
        asked
            .iter()
            .any(|asked| asked.path == "/v1/modules/team/word/any/1.1.0/download" && asked.authorization == bearer),
        "{asked:?}"
    );
    assert!(scene.log(&run).contains("disable_checkpoint"), "the code did look for the token");
    assert_eq!(holding(&scene.path("data"), &[TOKEN]), [""; 0]);
}

pub(crate) async fn a_registry_that_gives_no_token() {
    let closed = Registry::parse("http://127.0.0.1:1").unwrap();
    let scene = Scene::with(Some(&Tool { program: "tofu", path: "/bin/true".into() }), |config| Config {
        registry: Some(closed),
        ..config
    });
    let mut iac = deploy(scene.code(&[("main.tf", CODE)]));
    iac.commands.init = Some("true".to_owned());
    let run = scene.drive(scene.run(iac)).await;
    let found = match run.outcome() {
        Some(Outcome::Failed { failure, .. }) => failure.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(found.code, "registry_token_unavailable", "{found:?}");
    assert!(found.message.contains("/api/internal/registry-token"), "{found:?}");
}
