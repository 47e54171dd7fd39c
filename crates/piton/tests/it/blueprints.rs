//! Blueprints that lie in git, and the examples, made into repositories by a real worker, cloned back and built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use piton_testkit::forges::{Act, Fault};
use piton_testkit::repository::{git, repository};
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::site::Site;

/// Commits once more to a bare repository, on `main`; the commit.
fn push(bare: &Path, file: &str, text: &str) -> String {
    let work = tempfile::tempdir().unwrap();
    let at = work.path();
    git(at, ["clone", "-q", bare.to_str().unwrap(), "."]).unwrap();
    fs::write(at.join(file), text).unwrap();
    git(at, ["add", "-A"]).unwrap();
    git(at, ["commit", "-q", "-m", "more"]).unwrap();
    git(at, ["push", "-q", "origin", "main"]).unwrap();
    git(at, ["rev-parse", "HEAD"]).unwrap().trim().to_owned()
}

fn render(site: &Site, name: &str, out: &str) -> crate::site::Said {
    site.write("values.json", r#"{ "name": "shop" }"#);
    site.piton(["scaffold", "render", name, "--file", "values.json", "--out", out])
}

#[test]
fn a_blueprint_from_git_is_what_its_ref_is_now_and_is_fetched_once_for_each_commit() {
    let site = Site::new();
    let readme = ("service/README.md.tmpl", "{{ .Name }} from {{ .Meta.commit }}\n");
    let commits = repository(site.path(), "blueprints.git", &[&[readme]]).unwrap();
    let bare = site.path().join("blueprints.git");
    site.write("blueprints/web.toml", "url = 'blueprints.git'\nref = 'main'\npath = 'service'\n");
    site.write("blueprints/fixed.toml", "url = 'blueprints.git'\nref = 'v0'\npath = 'service'\n");
    let read = |out: &str| fs::read_to_string(site.path().join(out).join("README.md")).unwrap();

    let first = render(&site, "web", "one");
    assert_eq!(first.code, 0, "{first}");
    assert_eq!(read("one"), format!("shop from {}\n", commits[0]));
    // What is known is not fetched again.
    let kept = fs::read_dir(site.data().join("blueprints")).unwrap().next().unwrap().unwrap().path();
    let marker = kept.join(&commits[0]).join("service/MARKER");
    fs::write(&marker, "kept").unwrap();
    assert_eq!(render(&site, "web", "two").code, 0);
    assert!(site.path().join("two/MARKER").is_file(), "it was fetched again");

    // A branch that moves is seen at once; a tag stays.
    let moved = push(&bare, "service/README.md.tmpl", "{{ .Name }} anew from {{ .Meta.commit }}\n");
    assert_eq!(render(&site, "web", "three").code, 0);
    assert_eq!(read("three"), format!("shop anew from {moved}\n"));
    assert_eq!(render(&site, "fixed", "four").code, 0);
    assert_eq!(read("four"), format!("shop from {}\n", commits[0]));
}

#[test]
fn what_is_wrong_with_a_blueprint_from_git_is_told_precisely() {
    let site = Site::new();
    let files = [("web/README.md", "x\n"), ("out", "-> /etc"), ("evil/link", "-> ../../../../etc/passwd")];
    repository(site.path(), "blueprints.git", &[&files]).unwrap();
    for (name, pointer, said) in [
        ("ref", "url = 'blueprints.git'\nref = 'mian'\n", "has no branch, tag or commit `mian`"),
        ("path", "url = 'blueprints.git'\npath = 'wbe'\n", "has no directory `wbe` at commit "),
        ("link", "url = 'blueprints.git'\npath = 'out'\n", "has no directory `out` at commit "),
        (
            "up",
            "url = 'blueprints.git'\npath = '../..'\n",
            "blueprints/up.toml:2:8: path: it leads out of the repository",
        ),
        ("evil", "url = 'blueprints.git'\npath = 'evil'\n", "link"),
        ("helper", "url = 'ext::sh -c true'\n", "remote helpers"),
        ("option", "url = 'blueprints.git'\nref = '--upload-pack=x'\n", "is not a branch, tag or commit"),
        ("nowhere", "url = 'nothing.git'\n", "repository not found"),
        ("metadata", "url = 'http://169.254.169.254/x'\n", "169.254.169.254"),
        ("typo", "url = 'blueprints.git'\nbranch = 'main'\n", "blueprints/typo.toml:2:1: unknown field `branch`"),
    ] {
        site.write(format!("blueprints/{name}.toml"), pointer);
        let refused = render(&site, name, &format!("out-{name}"));
        assert_eq!(refused.code, 1, "{name}: {refused}");
        assert!(refused.err.contains(said), "{name}: {refused}");
        assert!(!site.path().join(format!("out-{name}")).exists(), "{name}");
    }
    let hint = render(&site, "ref", "out-ref");
    assert!(hint.err.contains("main"), "the nearest is named: {hint}");
}

/// Between two passes of a run its blueprint may move on; both make the same commit.
#[test]
fn a_run_goes_on_with_the_commit_of_its_blueprint_that_it_began_with() {
    let scene = Scene::new("scaffold-pinned");
    let commits =
        repository(scene.site.path(), "blueprints.git", &[&[("README.md.tmpl", "{{ .Meta.commit }}\n")]]).unwrap();
    scene.site.write("blueprints/web.toml", "url = 'blueprints.git'\n");
    // The first pass is cut off after its push.
    scene.forge.fail(Fault { method: "POST", path: "git-receive-pack", act: Act::CutAfter });
    let worker = scene.site.work();
    let mut message = Scene::message("pinned", "pinned");
    message["blueprint"]["template"] = json!("web");
    scene.enqueue(&message);
    crate::site::until("it has begun", || !scene.forge.names().is_empty());
    let moved = push(&scene.site.path().join("blueprints.git"), "README.md.tmpl", "moved {{ .Meta.commit }}\n");
    let run = scene.ended("pinned");
    assert_eq!((&run["outcome"], &run["attempts"]), (&json!("succeeded"), &json!(2)), "{run:#}");
    let clone = scene.clone("my-team/pinned");
    assert_eq!(fs::read_to_string(clone.join("README.md")).unwrap(), format!("{}\n", commits[0]));
    // The next one is made of what there is now.
    let mut message = Scene::message("next", "next");
    message["blueprint"]["template"] = json!("web");
    scene.enqueue(&message);
    assert_eq!(scene.ended("next")["outcome"], "succeeded");
    let clone = scene.clone("my-team/next");
    assert_eq!(fs::read_to_string(clone.join("README.md")).unwrap(), format!("moved {moved}\n"));
    assert_eq!(worker.terminate(), 0);
}

/// The server knows nothing but git, and a message may say so.
#[test]
fn a_message_may_ask_for_a_repository_at_a_plain_git_server() {
    let scene = Scene::new("scaffold-plain");
    fs::create_dir_all(scene.root.path().join("plain/my-team")).unwrap();
    let bare = scene.root.path().join("plain/my-team/tool.git");
    git(scene.root.path(), ["init", "-q", "--bare", bare.to_str().unwrap()]).unwrap();
    let pattern = format!("file://{}/plain/{{namespace}}/{{name}}.git", scene.root.path().display());
    scene.site.write("piton.toml", &format!("[git_remote]\nurl = '{pattern}'\n"));
    let worker = scene.site.work();
    let mut message = Scene::message("plain", "tool");
    message["git_config"] = json!({ "provider": "git" });
    scene.enqueue(&message);
    let run = scene.ended("plain");
    assert_eq!((&run["outcome"], &run["attempts"]), (&json!("succeeded"), &json!(1)), "{run:#}");
    assert_eq!(git(&bare, ["rev-parse", "main"]).unwrap().trim(), run["repository"]["commit"].as_str().unwrap());
    assert!(scene.forge.names().is_empty(), "GitLab was asked for nothing");
    assert_eq!(worker.terminate(), 0);
}

/// A program of the machine, with its environment.
fn build(at: &Path, program: impl AsRef<std::ffi::OsStr>, args: &[&str], env: &[(&str, &Path)]) -> String {
    let program = program.as_ref();
    let output = Command::new(program).args(args).envs(env.iter().copied()).current_dir(at).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {args:?}:\n{said}{wrong}", program.display());
    said.into_owned()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|place| place.join(program).is_file())
}

#[test]
fn the_examples_are_pushed_cloned_back_and_built() {
    let scene = Scene::new("scaffold-examples");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/blueprints");
    for name in ["go-backend", "rust-service", "python-app"] {
        let target = scene.site.path().join("blueprints").join(name);
        // The scene has a small one of a name that is an example's.
        let _ = fs::remove_dir_all(&target);
        std::os::unix::fs::symlink(examples.join(name).canonicalize().unwrap(), &target).unwrap();
    }
    let worker = scene.site.work();
    let make = |template: &str, values: Value| -> PathBuf {
        let mut message = Scene::message(template, template);
        message["blueprint"]["template"] = json!(template);
        message["blueprint"]["values"] = values;
        scene.enqueue(&message);
        let run = scene.ended(template);
        assert_eq!(run["outcome"], "succeeded", "{run:#}");
        let clone = scene.clone(&format!("my-team/{template}"));
        assert_eq!(git(&clone, ["status", "--porcelain"]).unwrap(), "");
        clone
    };
    let go = make("go-backend", json!({ "port": 8080, "database": "postgres" }));
    let rust = make("rust-service", json!({ "greetings": ["hello", "servus"] }));
    let python = make("python-app", json!({ "service": true, "settings": { "port": 1 } }));
    assert_eq!(worker.terminate(), 0);

    let room = tempfile::tempdir().unwrap();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    build(&rust, &cargo, &["test", "--offline", "--quiet"], &[("CARGO_TARGET_DIR", room.path())]);
    // A Python that has pytest is among the tools of the tests.
    let schemathesis =
        std::env::var("PITON_TEST_SCHEMATHESIS").expect("PITON_TEST_SCHEMATHESIS: run scripts/setup-tests");
    let interpreter = Path::new(&schemathesis).with_file_name("python");
    let env = [("PYTHONPATH", Path::new("src")), ("PYTHONPYCACHEPREFIX", room.path())];
    build(&python, &interpreter, &["-m", "compileall", "-q", "src", "tests"], &env);
    build(&python, &interpreter, &["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], &env);
    assert_eq!(build(&python, &interpreter, &["-m", "python_app.cli", "--who", "you"], &env), "hello, you\n");
    // The tests' setup promises no Go.
    if on_path("go") {
        let nowhere =
            [("GOPROXY", Path::new("off")), ("GOTOOLCHAIN", Path::new("local")), ("GOFLAGS", Path::new("-mod=mod"))];
        build(&go, "go", &["build", "./..."], &nowhere);
        build(&go, "go", &["test", "./..."], &nowhere);
    }
}
