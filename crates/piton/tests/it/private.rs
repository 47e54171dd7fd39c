//! Private code, from the request to the outputs: over SSH, and from a registry of modules.

use piton_testkit::hosting::{Hosting, REGISTRY_TOKEN};
use piton_testkit::repository::repository;
use piton_testkit::sshd::Sshd;
use serde_json::json;

use crate::runner::{Scene, becomes, post, start};

#[test]
fn code_comes_over_ssh_for_those_who_have_the_key() {
    let scene = Scene::new("output \"word\" { value = \"by ssh\" }\n");
    let sshd = Sshd::start(scene.root.path()).unwrap();
    let daemon = scene.site.serve();
    let address = daemon.address();
    let (key, known) = (sshd.key().unwrap(), sshd.known_host().unwrap());
    let body = |key: &str, known: &str| {
        scene.body(json!({
            "git_url": sshd.url("open/app.git"), "auto_approve": true,
            "git_auth": { "type": "ssh", "private_key": key, "known_hosts": known },
        }))
    };
    let id = start(&address, &body(&key, &known));
    let told = becomes(&address, &id, "success");
    assert_eq!(told["outputs"]["word"]["value"], "by ssh", "{told:#}");
    assert!(sshd.asked().iter().any(|asked| asked.starts_with("git-upload-pack ")), "{:?}", sshd.asked());

    for (body, code) in [
        (body(&sshd.stranger().unwrap(), &known), "git_authentication_required"),
        (body(&key, &sshd.known_otherwise().unwrap()), "git_host_changed"),
        (
            body(
                &key,
                "other.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            ),
            "git_host_unknown",
        ),
    ] {
        let told = becomes(&address, &start(&address, &body), "failed");
        assert_eq!(told["error_code"], code, "{told:#}");
        assert!(!told.to_string().contains("PRIVATE KEY"), "{told:#}");
    }
    let reply = post(&address, "/deploy", &body("no key", &known));
    assert_eq!(reply.json()["errors"][0]["pointer"], "/git_auth/private_key", "{}", reply.text());
    scene.site.audit();
}

#[test]
fn modules_come_from_a_private_registry() {
    let root = tempfile::tempdir().unwrap();
    let word = "output \"word\" { value = \"from the registry\" }\n";
    repository(root.path(), "open/word.git", &[&[("main.tf", word)], &[("main.tf", word)]]).unwrap();
    let registry = Hosting::start(root.path()).unwrap();
    let port = registry.address().port();
    let code = format!(
        "module \"m\" {{\n  source  = \"registry.local:{port}/team/word/any\"\n  version = \"~> 1.0\"\n}}\n\
         output \"word\" {{ value = module.m.word }}\n\
         resource \"terraform_data\" \"x\" {{\n  provisioner \"local-exec\" {{ command = \"cat $TF_CLI_CONFIG_FILE; cat ../../../runs/*/registry-token ../../../runs/*/*/registry.tfrc || true\" }}\n}}\n"
    );
    for tool in ["tofu", "terraform"] {
        let scene = Scene::new(&code).env("REGISTRY_HOST", &format!("http://localhost:{port}"));
        let daemon = scene.site.serve();
        let address = daemon.address();
        let id = start(&address, &scene.body(json!({ "tool": tool, "auto_approve": true })));
        let told = becomes(&address, &id, "success");
        assert_eq!(told["outputs"]["word"]["value"], "from the registry", "{told:#}");
        assert!(!told.to_string().contains(REGISTRY_TOKEN), "{told:#}");
        scene.site.audit();
    }
    let bearer = format!("Bearer {REGISTRY_TOKEN}");
    let asked = registry.asked();
    let downloads = asked.iter().filter(|asked| asked.path.ends_with("/download"));
    assert!(downloads.clone().count() >= 2, "{asked:?}");
    assert!(downloads.clone().all(|asked| asked.authorization.as_deref() == Some(&bearer)), "{asked:?}");
}

#[test]
fn a_registry_that_gives_no_token_is_named() {
    let scene = Scene::new("module \"m\" { source = \"registry.local/team/word/any\" }\n");
    // Nobody listens there any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let scene = scene.env("REGISTRY_HOST", &format!("http://{closed}"));
    let daemon = scene.site.serve();
    let address = daemon.address();
    let id = start(&address, &scene.body(json!({ "auto_approve": true })));
    let told = becomes(&address, &id, "failed");
    assert_eq!(told["error_code"], "registry_token_unavailable", "{told:#}");
    assert!(told["error"].as_str().unwrap().contains(&closed.to_string()), "{told:#}");
}
