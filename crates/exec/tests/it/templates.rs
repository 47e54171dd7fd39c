//! Templates from real repositories.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use jiff::Timestamp;
use piton_exec::Templates;
use piton_exec::templates::{Error, Origin, Registered, Severity, Update};

use crate::scene::{Scene, name};
use crate::tool::Tool;

/// A repository on this machine.
pub(crate) struct Repository {
    dir: PathBuf,
}

pub(crate) fn repository(scene: &Scene) -> Repository {
    let dir = scene.path("repository");
    fs::create_dir(&dir).unwrap();
    let repository = Repository { dir };
    repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
    repository
}

impl Repository {
    #[expect(clippy::disallowed_methods, reason = "the fixture is made with the real git")]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = std::process::Command::new("git")
            .args(["-c", "user.name=Carol", "-c", "user.email=carol@example.org", "-c", "commit.gpgsign=false"])
            .args(args)
            .current_dir(&self.dir)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .expect("the tests need git on PATH");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> String {
        for (name, text) in files {
            let path = self.dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "A change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn origin(&self, path: Option<&str>, reference: Option<&str>) -> Origin {
        Origin {
            url: self.dir.display().to_string(),
            path: path.map(str::to_owned),
            reference: reference.map(str::to_owned),
        }
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn content(scene: &Scene, template: &str) -> String {
    fs::read_to_string(scene.exec.templates().path(&name(template)).join("main.tf")).unwrap()
}

pub(crate) async fn branches_tags_and_commits() {
    let scene = Scene::new(None);
    let repository = repository(&scene);
    let templates = scene.exec.templates();
    let first = repository.commit(&[("web/main.tf", "# first\n"), ("web/modules/a/a.tf", "# a\n")]);
    repository.git(&["tag", "--annotate", "v1", "--message", "One"]);
    let second = repository.commit(&[("web/main.tf", "# second\n")]);
    repository.git(&["branch", "feature/x"]);
    let third = repository.commit(&[("web/main.tf", "# third\n")]);
    let short = first.get(..9).unwrap();
    for (template, reference, commit, text, version) in [
        ("default", None, &third, "# third\n", third.as_str()),
        ("branch", Some("feature/x"), &second, "# second\n", "feature/x"),
        ("tag", Some("v1"), &first, "# first\n", "v1"),
        ("commit", Some(second.as_str()), &second, "# second\n", second.as_str()),
        ("short", Some(short), &first, "# first\n", short),
    ] {
        let added = templates.add(&name(template), &repository.origin(Some("web"), reference), "", at(1)).await;
        let added = added.unwrap_or_else(|error| panic!("{template}: {error}"));
        assert_eq!(added.commit.as_ref(), Some(commit), "{template}");
        assert_eq!((added.version.as_str(), content(&scene, template).as_str()), (version, text), "{template}");
    }
    let shown = templates.show(&name("tag")).await.unwrap();
    assert_eq!(shown.files, [PathBuf::from("main.tf"), PathBuf::from("modules/a/a.tf")]);
    let names: Vec<String> = templates.list().await.unwrap().iter().map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["branch", "commit", "default", "short", "tag"]);

    templates.remove(&name("tag")).await.unwrap();
    assert!(!templates.path(&name("tag")).exists());
    assert_eq!(templates.remove(&name("tag")).await.unwrap_err().code(), "template_not_found");
}

pub(crate) async fn an_update_tells_whether_files_changed() {
    let scene = Scene::new(None);
    let repository = repository(&scene);
    let templates = scene.exec.templates();
    repository.commit(&[("web/main.tf", "# one\n"), ("README.md", "one\n")]);
    let added = templates.add(&name("web"), &repository.origin(Some("web"), Some("main")), "Web", at(1)).await.unwrap();
    // What changes is beside the template.
    let elsewhere = repository.commit(&[("README.md", "two\n")]);
    let Update::Unchanged(same) = templates.update(&name("web"), at(2)).await.unwrap() else {
        panic!("nothing changed")
    };
    assert_eq!(same, Registered { commit: Some(elsewhere), ..added.clone() });
    repository.commit(&[("web/main.tf", "# two\n")]);
    let Update::Changed { after, .. } = templates.update(&name("web"), at(3)).await.unwrap() else {
        panic!("it changed")
    };
    assert_eq!((after.created_at, after.updated_at), (at(1), at(3)));
    assert_ne!(after.content_hash, added.content_hash);
    assert_eq!(content(&scene, "web"), "# two\n");

    fs::remove_dir_all(scene.path("data/templates/web")).unwrap();
    assert_eq!(templates.show(&name("web")).await.unwrap_err().code(), "template_files_missing");
    assert!(matches!(templates.update(&name("web"), at(4)).await.unwrap(), Update::Changed { .. }));
    assert_eq!(content(&scene, "web"), "# two\n");

    let all = templates.update_all(at(5)).await.unwrap();
    assert!(matches!(all.as_slice(), [(_, Ok(Update::Unchanged(_)))]));
    let left: Vec<_> = fs::read_dir(scene.path("data/templates")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".incoming")), "{left:?}");
}

pub(crate) async fn what_cannot_be_fetched_says_why() {
    let scene = Scene::new(None);
    let repository = repository(&scene);
    repository.commit(&[("web/main.tf", "# one\n")]);
    repository.git(&["tag", "v1.2.0"]);
    let templates = scene.exec.templates();
    let fail = async |origin: Origin| -> Error { templates.add(&name("x"), &origin, "", at(1)).await.unwrap_err() };
    let origin = |path, reference| repository.origin(path, reference);

    let missing = fail(origin(None, Some("v1.3.0"))).await;
    assert_eq!(missing.code(), "git_ref_not_found");
    assert_eq!(missing.hint().as_deref(), Some("did you mean `v1.2.0`?"));
    assert_eq!(fail(origin(None, Some("deadbeef"))).await.code(), "git_ref_not_found");
    assert_eq!(fail(origin(None, Some("dddddddddddddddddddddddddddddddddddddddd"))).await.code(), "git_ref_not_found");
    assert_eq!(fail(origin(None, Some("--upload-pack=touch x"))).await.code(), "git_ref_invalid");
    let path = fail(origin(Some("wbe"), None)).await;
    assert_eq!(path.code(), "template_path_not_found");
    assert!(path.hint().unwrap().contains("web"));
    assert_eq!(fail(origin(Some("../repository"), None)).await.code(), "template_path_not_found");
    assert_eq!(fail(origin(Some(".git"), None)).await.code(), "template_path_not_found");
    let at_path = |url: &str| Origin { url: url.to_owned(), path: None, reference: None };
    assert_eq!(fail(at_path(&scene.path("nowhere").display().to_string())).await.code(), "git_repository_not_found");
    let marker = scene.path("marker");
    let helper = fail(at_path(&format!("ext::touch {}", marker.display()))).await;
    assert_eq!(helper.code(), "git_address_invalid");
    assert!(!marker.exists());
    assert!(templates.list().await.unwrap().is_empty());

    templates.add(&name("x"), &origin(None, None), "", at(1)).await.unwrap();
    assert_eq!(fail(origin(None, None)).await.code(), "template_exists");
    // Without a program `git` nothing works, and that is said.
    let nowhere = piton_process::Environment::default().set("PATH", scene.path("bin").display().to_string());
    let without = Templates::new(scene.path("other"), piton_exec::Git::new(nowhere));
    let error = without.add(&name("x"), &origin(None, None), "", at(1)).await.unwrap_err();
    assert_eq!(error.code(), "git_missing");
    assert!(scene.git().checkout(&"/nowhere".parse().unwrap(), None, &scene.path("bin")).await.is_err());
}

pub(crate) async fn unsafe_entries_are_refused() {
    let scene = Scene::new(None);
    let repository = repository(&scene);
    let templates = scene.exec.templates();
    repository.commit(&[("ok/main.tf", ""), ("bad/main.tf", "")]);
    symlink("main.tf", scene.path("repository/ok/link.tf")).unwrap();
    symlink("../../../../../../etc/passwd", scene.path("repository/bad/link.tf")).unwrap();
    repository.commit(&[]);
    templates.add(&name("ok"), &repository.origin(Some("ok"), None), "", at(1)).await.unwrap();
    let error = templates.add(&name("bad"), &repository.origin(Some("bad"), None), "", at(1)).await.unwrap_err();
    assert_eq!(error.code(), "template_unsafe_entry");
    assert!(error.to_string().contains("link.tf"), "{error}");
    assert!(!templates.path(&name("bad")).exists());
    // The path may not go through a link either.
    symlink("ok", scene.path("repository/through")).unwrap();
    repository.commit(&[]);
    let error = templates.add(&name("t"), &repository.origin(Some("through"), None), "", at(1)).await.unwrap_err();
    assert_eq!(error.code(), "template_path_not_found");
}

pub(crate) async fn readers_never_see_half_a_template() {
    let scene = Scene::new(None);
    let repository = repository(&scene);
    let templates = scene.exec.templates().clone();
    let commit = |version: usize| {
        let text = format!("# {version}\n");
        let names: Vec<String> = (0..20).map(|i| format!("web/f{i}.tf")).collect();
        repository.commit(&names.iter().map(|name| (name.as_str(), text.as_str())).collect::<Vec<_>>());
    };
    commit(0);
    templates.add(&name("web"), &repository.origin(Some("web"), None), "", at(1)).await.unwrap();
    let (done, mut is_done) = tokio::sync::oneshot::channel::<()>();
    let reader = {
        let templates = templates.clone();
        tokio::spawn(async move {
            let mut looks = 0;
            while is_done.try_recv().is_err() {
                let details = templates.show(&name("web")).await.unwrap();
                assert_eq!(details.files.len(), 20);
                looks += 1;
            }
            looks
        })
    };
    for version in 1..6 {
        commit(version);
        templates.update(&name("web"), at(2)).await.unwrap();
    }
    done.send(()).unwrap();
    assert!(reader.await.unwrap() > 0);
}

pub(crate) async fn validation_tells_file_and_line(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let repository = repository(&scene);
    repository.commit(&[
        ("good/main.tf", "variable \"a\" { default = 1 }\noutput \"a\" { value = var.a }\n"),
        ("bad/main.tf", "output \"a\" {\n  value = var.nope\n}\n"),
        ("broken/main.tf", "output \"a\" {\n  value = \n}\n"),
        ("empty/README.md", "nothing\n"),
    ]);
    let templates = scene.exec.templates();
    let manager = piton_tools::Manager::new(piton_tools::Config {
        path_env: scene.path("bin").into(),
        ..piton_tools::Config::new(scene.path("tools"))
    });
    let installed = manager.resolve(&piton_tools::Preference::default(), &scene.path("bin"), |_| {}).await.unwrap();
    let validate = async |template: &str| {
        let name = name(template);
        templates.add(&name, &repository.origin(Some(template), None), "", at(1)).await.unwrap();
        templates.validate(&name, &installed).await.unwrap()
    };
    let good = validate("good").await;
    assert!(good.valid && good.diagnostics.is_empty(), "{good:?}");
    let bad = validate("bad").await;
    assert!(!bad.valid);
    let found = &bad.diagnostics[0];
    assert_eq!((found.severity, found.file.as_deref(), found.line), (Severity::Error, Some("main.tf"), Some(2)));
    assert!(found.to_string().starts_with("main.tf:2: "), "{found}");
    let broken = validate("broken").await;
    assert!(!broken.valid && broken.diagnostics[0].to_string().contains("main.tf:2"), "{broken:?}");
    let empty = validate("empty").await;
    assert!(!empty.valid && empty.diagnostics[0].summary.contains("no code"), "{empty:?}");
    // Nothing is left in the template itself.
    let files = templates.show(&name("good")).await.unwrap().files;
    assert_eq!(files, [PathBuf::from("main.tf")]);
}

/// A server that accepts and never answers: `git` waits for it until nobody wants to wait any more, and not longer.
pub(crate) async fn a_fetch_that_nobody_waits_for_leaves_no_git_behind() {
    let scene = Scene::new(None);
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x.git", server.local_addr().unwrap());
    for is_dropped in [true, false] {
        let templates = scene.exec.templates().clone();
        let origin = Origin { url: url.clone(), path: None, reference: None };
        let fetch = {
            let templates = templates.clone();
            tokio::spawn(async move { templates.add(&name("boxes"), &origin, "", at(0)).await })
        };
        let (mut git, _) = server.accept().await.unwrap();
        if is_dropped {
            fetch.abort();
        } else {
            templates.stop_fetching();
            let error = fetch.await.unwrap().unwrap_err();
            assert!(matches!(error, Error::Git(piton_exec::git::Error::Interrupted { .. })), "{error}");
        }
        // The connection ends with its process.
        let mut nowhere = tokio::io::sink();
        let read = tokio::io::copy(&mut git, &mut nowhere);
        tokio::time::timeout(std::time::Duration::from_secs(20), read).await.unwrap().ok();
    }
}
