//! Code of deployments: from real git servers, for credentials, with nothing of them left.

use std::fs;
use std::path::Path;

use piton_exec::Config;
use piton_exec::registry::Registry;
use piton_model::{GitAuth, GitSource, Iac, Run, Secret, Source};
use piton_testkit::hosting::{Hosting, PASSWORD, REGISTRY_TOKEN, USER, basic};
use piton_testkit::repository;
use piton_testkit::sshd::Sshd;

use crate::scene::{Scene, deploy, failure};
use crate::tool::Tool;

const CODE: &str = "variable \"x\" { default = \"none\" }\noutput \"x\" { value = var.x }\n\
                    resource \"terraform_data\" \"one\" {}\n";

fn from(url: String, reference: &str, path: &str, auth: Option<GitAuth>) -> Iac {
    let iac = deploy(Source::Git(GitSource { url, reference: reference.to_owned(), path: path.into(), auth }));
    Iac { workspace_name: None, ..iac }
}

#[expect(clippy::unnecessary_wraps, reason = "as a source has it")]
fn password(text: &str) -> Option<GitAuth> {
    Some(GitAuth::Http { username: USER.to_owned(), password: Secret::new(text.to_owned()) })
}

fn code_of(root: &Path, name: &str, commits: &[&[(&str, &str)]]) -> Vec<String> {
    repository::repository(root, name, commits).unwrap()
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
    let ids =
        code_of(&root, "closed/code.git", &[&[("env/prod/main.tf", CODE), ("env/common.tfvars", "x = \"common\"\n")]]);
    let hosting = Hosting::start(&root).unwrap();
    let mut iac = from(hosting.url("closed/code.git"), "main", "env/prod", password(PASSWORD));
    iac.var_files = vec!["../common.tfvars".into()];
    // What the tool starts sees its environment: the password must not be in it.
    iac.commands.apply =
        Some("env; cat /proc/self/environ | tr '\\0' '\\n'; exec \"$0\" apply \"$PITON_PLAN_FILE\"".to_owned());
    iac.commands.apply = iac.commands.apply.map(|line| line.replace("\"$0\"", tool.program));
    let run = scene.succeed(iac).await;
    assert_eq!(run.report.commit.as_ref(), Some(&ids[0]));
    assert_eq!(run.report.outputs.as_ref().unwrap()["x"].value, "common");
    let asked = hosting.asked();
    assert!(asked.iter().any(|asked| asked.authorization.as_deref() == Some(&basic())), "{asked:?}");
    // Neither as it is, nor as a URL or a header has it.
    let left = holding(&scene.path("data"), &[PASSWORD, basic().trim_start_matches("Basic "), "p4ss%2Fw0rd%2B1"]);
    assert_eq!(left, [""; 0]);
    assert!(!scene.logs.run_dir(run.id).join("git").exists());
}

pub(crate) async fn branches_tags_and_commits() {
    let scene = Scene::new(None);
    let root = scene.path("git");
    let ids =
        code_of(&root, "open/code.git", &[&[("main.tf", "# 0\n")], &[("main.tf", "# 1\n")], &[("main.tf", "# 2\n")]]);
    let hosting = Hosting::start(&root).unwrap();
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
            let log = repository::git(into.path(), ["rev-list", "HEAD"]).unwrap();
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
    code_of(&root, "closed/code.git", &[&[("main.tf", CODE)]]);
    let hosting = Hosting::start(&root).unwrap();
    for auth in [None, password("wr0ng-passw0rd")] {
        let failure = refused(&scene, from(hosting.url("closed/code.git"), "main", ".", auth)).await;
        assert_eq!(failure.code, "git_authentication_required");
        assert!(!format!("{failure:?}").contains("wr0ng"), "{failure:?}");
    }
    assert_eq!(holding(&scene.path("data"), &["wr0ng-passw0rd"]), [""; 0]);
    // The credentials are for one host: another port is another.
    let other = Hosting::start(&root).unwrap();
    scene
        .git()
        .checkout_as(
            piton_exec::git::Access { auth: password(PASSWORD).as_ref(), files: &scene.path("credentials") },
            &other.url("closed/code.git").parse().unwrap(),
            &"main".parse().unwrap(),
            tempfile::tempdir().unwrap().path(),
        )
        .await
        .unwrap();
    assert!(hosting.asked().iter().all(|asked| asked.authorization.as_deref() != Some(&basic())));
}

pub(crate) async fn redirects_lead_nowhere_else(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let root = scene.path("git");
    let ids = code_of(&root, "closed/code.git", &[&[("main.tf", CODE)]]);
    let target = Hosting::start(&root).unwrap();
    let hosting = Hosting::start_with(&root, Some(target.url(""))).unwrap();
    let failure = refused(&scene, from(hosting.url("away/closed/code.git"), "main", ".", password(PASSWORD))).await;
    assert_eq!(failure.code, "git_redirected");
    assert_eq!(target.asked(), []);
    // A server that only knows the full name of its own repository is met half-way.
    let own = Hosting::start(&root).unwrap();
    let run = checked_out(&scene, from(own.url("closed/code"), "main", ".", password(PASSWORD))).await;
    assert_eq!(run.report.commit.as_ref(), Some(&ids[0]));
}

pub(crate) async fn blocked_addresses_are_not_contacted() {
    let blocked =
        |config: Config| Config { guard: piton_exec::guard::Guard::new(["127.0.0.0/8".parse().unwrap()]), ..config };
    let scene = Scene::with(None, blocked);
    let root = scene.path("git");
    code_of(&root, "open/code.git", &[&[("main.tf", CODE)]]);
    let hosting = Hosting::start(&root).unwrap();
    let port = hosting.address().port();
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
    let hosting = Hosting::start(&root).unwrap();
    let run = scene
        .drive_to(scene.run(from(hosting.url("stuck/code.git"), "main", ".", password(PASSWORD))), "checkout")
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

pub(crate) async fn leftovers_of_a_killed_fetch_go(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let root = scene.path("git");
    let ids = code_of(&root, "closed/code.git", &[&[("main.tf", CODE)]]);
    let hosting = Hosting::start(&root).unwrap();
    let run = scene
        .drive_to(scene.run(from(hosting.url("closed/code.git"), "main", ".", password(PASSWORD))), "checkout")
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
    code_of(&root, "open/code.git", &[&files]);
    let hosting = Hosting::start(&root).unwrap();
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
    let module = |word: &str| format!("output \"word\" {{ value = \"{word}\" }}\n");
    let (old, new) = (module("old"), module("from the registry"));
    code_of(root, "open/word.git", &[&[("main.tf", old.as_str())], &[("main.tf", new.as_str())]]);
    let hosting = Hosting::start(root).unwrap();
    let address = format!("http://localhost:{}", hosting.address().port());
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
    let bearer = Some(format!("Bearer {REGISTRY_TOKEN}"));
    assert!(
        asked
            .iter()
            .any(|asked| asked.path == "/v1/modules/team/word/any/1.1.0/download" && asked.authorization == bearer),
        "{asked:?}"
    );
    assert!(scene.log(&run).contains("disable_checkpoint"), "the code did look for the token");
    assert_eq!(holding(&scene.path("data"), &[REGISTRY_TOKEN]), [""; 0]);
}

pub(crate) async fn a_registry_that_gives_no_token(tool: Tool) {
    let root = tempfile::tempdir().unwrap();
    let hosting = Hosting::start(root.path()).unwrap();
    // The one is not there; the other answers, and not with a token.
    for (address, code) in
        [("http://127.0.0.1:1".to_owned(), "cannot ask"), (hosting.url("nowhere"), "gave no token: it answered 404")]
    {
        let registry = Registry::parse(&address).unwrap();
        let scene = Scene::with(Some(&tool), |config| Config { registry: Some(registry), ..config });
        let found = refused(&scene, deploy(scene.code(&[("main.tf", CODE)]))).await;
        assert_eq!(found.code, "registry_token_unavailable", "{found:?}");
        assert!(found.message.contains("/api/internal/registry-token") && found.message.contains(code), "{found:?}");
    }
    // What redirects or is blocked is not asked for it.
    let target = Hosting::start(root.path()).unwrap();
    let away = Hosting::start_with(root.path(), Some(target.url(""))).unwrap();
    let registry = Registry::parse(&away.url("away")).unwrap();
    let guard = piton_exec::guard::Guard::default();
    assert!(registry.token(&guard).await.unwrap_err().to_string().contains("301"));
    assert_eq!(target.asked(), []);
    let guard = piton_exec::guard::Guard::new(["127.0.0.0/8".parse().unwrap()]);
    let localhost = Registry::parse(&format!("http://localhost:{}", target.address().port())).unwrap();
    for registry in [localhost, Registry::parse(&target.url("")).unwrap()] {
        assert!(registry.token(&guard).await.is_err());
    }
    assert_eq!(target.asked(), []);
}

pub(crate) async fn keys_and_hosts_of_ssh() {
    let scene = Scene::new(None);
    let root = scene.path("git");
    let ids = code_of(&root, "code.git", &[&[("main.tf", "# 0\n")], &[("main.tf", "# 1\n")]]);
    let sshd = Sshd::start(&root).unwrap();
    let auth = |key: String, known_hosts: Option<String>| GitAuth::Ssh {
        private_key: Secret::new(key),
        passphrase: None,
        known_hosts,
    };
    let files = scene.path("credentials");
    let fetch = async |git: &piton_exec::Git, auth: &GitAuth, reference: &str| {
        let into = tempfile::tempdir().unwrap();
        let access = piton_exec::git::Access { auth: Some(auth), files: &files };
        let url = sshd.url("code.git").parse().unwrap();
        let found = git.checkout_as(access, &url, &reference.parse().unwrap(), into.path()).await;
        assert!(!files.exists());
        found.map(|found| (found.commit, fs::read_to_string(into.path().join("main.tf")).unwrap()))
    };
    let git = scene.git();
    let good = auth(sshd.key().unwrap(), Some(sshd.known_host().unwrap()));
    for (reference, number) in [("main", 1), ("v0", 0), (ids[0].as_str(), 0)] {
        let found = fetch(&git, &good, reference).await.unwrap_or_else(|error| panic!("{error}: {}", sshd.log()));
        assert_eq!(found, (ids[number].clone(), format!("# {number}\n")));
    }
    let asked = sshd.asked().len();
    for (auth, code) in [
        (auth(sshd.stranger().unwrap(), Some(sshd.known_host().unwrap())), "git_authentication_required"),
        (auth(sshd.key().unwrap(), Some(sshd.known_otherwise().unwrap())), "git_host_changed"),
        (auth(sshd.key().unwrap(), None), "git_host_unknown"),
    ] {
        let error = fetch(&git, &auth, "main").await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!error.to_string().contains("PRIVATE KEY"), "{error}");
        if code == "git_host_unknown" {
            assert!(error.to_string().contains("SHA256:"), "the fingerprint is for a person to compare: {error}");
        }
    }
    assert_eq!(sshd.asked().len(), asked, "nothing is asked of a host that is not the right one");

    // Hosts that the installation knows, and a key behind a passphrase.
    let known = scene.path("known_hosts");
    fs::write(&known, sshd.known_host().unwrap()).unwrap();
    let git = git.knowing_hosts_of(Some(known));
    fetch(&git, &auth(sshd.key().unwrap(), None), "main").await.unwrap();
    let locked = scene.path("locked");
    fs::write(&locked, sshd.key().unwrap()).unwrap();
    fs::set_permissions(&locked, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    lock(&locked, "a phr4se");
    let locked = fs::read_to_string(&locked).unwrap();
    let with = |phrase: &str| GitAuth::Ssh {
        private_key: Secret::new(locked.clone()),
        passphrase: Some(Secret::new(phrase.to_owned())),
        known_hosts: None,
    };
    fetch(&git, &with("a phr4se"), "main").await.unwrap();
    let error = fetch(&git, &with("an0ther"), "main").await.unwrap_err();
    assert_eq!(error.code(), "git_key_unusable", "{error}");
    assert!(!error.to_string().contains("an0ther"), "{error}");
    assert_eq!(fetch(&git, &auth(locked.clone(), None), "main").await.unwrap_err().code(), "git_key_unusable");
}

#[expect(clippy::disallowed_methods, reason = "the fixture is made with the real ssh-keygen")]
fn lock(key: &Path, phrase: &str) {
    let mut command = std::process::Command::new("ssh-keygen");
    let done = command.args(["-q", "-p", "-P", "", "-N", phrase, "-f"]).arg(key).status().unwrap();
    assert!(done.success());
}
