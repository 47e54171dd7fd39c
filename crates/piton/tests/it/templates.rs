//! Templates from real git repositories.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use crate::site::{PITON, Site, kill, until};
use crate::wire::send;
use crate::workspaces::{CODE, git_repository};

fn repository(site: &Site) -> String {
    site.write("repository/boxes/main.tf", CODE).write("repository/README.md", "Boxes.\n");
    git_repository(site, "repository");
    git(site, &["tag", "v1"]);
    format!("file://{}", site.path().join("repository").display())
}

fn git(site: &Site, args: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
    let done =
        site.command("git").args(identity).args(args).current_dir(site.path().join("repository")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn from_add_to_remove() {
    let site = Site::new();
    let url = repository(&site);
    let _daemon = site.serve();
    let said = site.piton([
        "template",
        "add",
        "boxes",
        &url,
        "--path",
        "boxes",
        "--ref",
        "main",
        "--description",
        "Some boxes",
    ]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(site.piton(["template", "add", "boxes", &url]).code, 5, "the name was taken");
    let said = site.piton(["template", "remove", "boxes"]);
    assert!(said.code == 1 && said.err.contains("nobody can be asked"), "{said}");
    let shown = site.json(["template", "show", "boxes"]);
    assert_eq!(shown["files"][0], "main.tf", "{shown}");
    assert_eq!(shown["content_hash"].as_str().unwrap().len(), 64);
    let said = site.piton(["template", "validate", "boxes"]);
    assert_eq!(said.code, 0, "{said}");

    site.workspace("everest", r#"{ "template": "boxes", "deploy_schedule": "0 0 1 1 *" }"#, "");
    until("it is deployed", || site.json(["workspace", "list"])[0]["status"] == "deployed");

    let update = site.json(["template", "update", "boxes"]);
    assert!(update.to_string().contains("\"changed\":false"), "{update}");
    site.write("repository/boxes/main.tf", &CODE.replace("default = 1", "default = 2"));
    git(&site, &["commit", "-qam", "two boxes"]);
    let update = site.json(["template", "update", "--all"]);
    assert!(update.to_string().contains("\"changed\":true"), "{update}");
    assert!(update.to_string().contains("workspace/everest"), "who is concerned is not said: {update}");
    // A new template is used by the next deployment, not at once.
    assert_eq!(site.runs("workspace/everest").len(), 1);
    assert_eq!(site.piton(["workspace", "deploy", "everest"]).code, 0);
    assert_eq!(site.runs("workspace/everest").pop().unwrap()["plan"]["add"], 1);

    let said = site.piton(["template", "remove", "boxes"]);
    assert_ne!(said.code, 0, "a template in use was removed without force: {said}");
    assert!(said.err.contains("everest"), "{said}");
    assert_eq!(site.piton(["template", "remove", "boxes", "--force"]).code, 0);
    assert_eq!(site.piton(["template", "show", "boxes"]).code, 3);
    let said = site.piton(["workspace", "destroy", "everest", "--yes"]);
    assert_eq!(said.code, 0, "what was made from a removed template cannot be destroyed: {said}");
    assert_eq!(
        fs::read_dir(site.data().join("templates")).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count(),
        0
    );
}

#[test]
fn a_local_main_tf_wins() {
    let site = Site::new();
    let url = repository(&site);
    assert_eq!(site.piton(["template", "add", "boxes", &url, "--path", "boxes", "--ref", "v1"]).code, 0);
    let own = r#"output "own" { value = "local" }"#;
    site.workspace("everest", r#"{ "template": "boxes", "deploy_schedule": "0 0 29 2 *", "catch_up": "skip" }"#, own);
    assert_eq!(site.piton(["workspace", "deploy", "everest"]).code, 0);
    assert_eq!(site.json(["workspace", "outputs", "everest"])["own"]["value"], "local");
}

#[test]
fn what_cannot_be_fetched_says_why() {
    let site = Site::new();
    let url = repository(&site);
    for (args, word) in [
        (vec!["boxes", "file:///nowhere/at/all"], "nowhere"),
        (vec!["boxes", &url, "--ref", "no-such-ref"], "no-such-ref"),
        (vec!["boxes", &url, "--path", "bxes"], "bxes"),
        (vec!["boxes", "ext::sh -c id"], "ext"),
        (vec!["boxes", &url, "--ref", "--upload-pack=id"], "upload-pack"),
        (vec!["../boxes", &url], "boxes"),
    ] {
        let said = site.piton(["template", "add"].into_iter().chain(args.iter().copied()));
        assert!(said.code == 2 || said.code == 1, "{args:?}: {said}");
        assert!(said.err.contains(word), "{args:?}: {said}");
    }
    assert!(site.json(["template", "list"]).as_array().unwrap().is_empty());
}

#[test]
fn passwords_in_a_url_are_neither_stored_nor_shown() {
    let site = Site::new();
    let daemon = site.serve();
    for url in ["http://token:hunter2@127.0.0.1/x.git", "http://hunter2@127.0.0.1/x", "ssh://git:hunter2@127.0.0.1/x"] {
        let said = site.piton(["template", "add", "boxes", url]);
        assert_eq!(said.code, 2, "{said}");
        assert!(said.err.contains("credential") && !said.err.contains("hunter2"), "{said}");
        let reply = send(&daemon.address(), "/api/templates", &serde_json::json!({ "name": "boxes", "url": url }));
        assert_eq!(reply.code(), "git_address_invalid");
        assert!(!reply.text().contains("hunter2"), "{}", reply.text());
    }
    assert_eq!(daemon.shutdown(), 0);
    // An old registry may have one.
    site.write(
        site.data().join("templates/registry.json"),
        r#"{"templates": {"old": {"name": "old", "source_url": "http://token:hunter2@127.0.0.1/x.git",
            "created_at": "2025-01-15T10:30:00Z", "updated_at": "2025-01-15T10:30:00Z"}}}"#,
    );
    fs::create_dir_all(site.data().join("templates/old")).unwrap();
    for args in [vec!["list"], vec!["list", "--detailed"], vec!["show", "old"], vec!["show", "old", "-o", "json"]] {
        let said = site.piton(["template"].into_iter().chain(args.iter().copied()));
        assert!(said.out.contains("old"), "{args:?}: {said}");
        assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"), "{args:?}: {said}");
    }
}

/// A server that accepts and never answers.
#[test]
fn an_interrupted_fetch_leaves_no_git_behind() {
    let site = Site::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x.git", server.local_addr().unwrap());
    let mut adding = site.command(PITON).args(["template", "add", "boxes", &url]).spawn().unwrap();
    let (mut git, _) = server.accept().unwrap();
    git.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    kill(adding.id(), "INT");
    assert_eq!(adding.wait().unwrap().code(), Some(130));
    // The connection ends with its process.
    std::io::copy(&mut git, &mut std::io::sink()).expect("git is still there");
    assert!(site.json(["template", "list"]).as_array().unwrap().is_empty());
}
