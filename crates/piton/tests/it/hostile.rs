//! Requests for deployments that mean something else than they say: refused with the member that is wrong, and nothing
//! has happened.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;

use piton_model::Digest;
use piton_testkit::repository::repository;
use serde_json::{Value, json};

use crate::runner::{Scene, becomes, post, start};
use crate::wire::{get, request};

const CODE: &str = "resource \"terraform_data\" \"it\" {}\n";

/// Asks for a deployment with these members, and is refused because of the one that the pointer names.
fn refused(scene: &Scene, address: &str, members: Value, pointer: &str) -> String {
    let reply = post(address, "/deploy", &scene.body(members.clone()));
    let told = reply.json();
    assert_eq!((reply.status, told["code"].as_str()), (422, Some("invalid_deployment")), "{members}: {told:#}");
    let faults = told["errors"].as_array().unwrap();
    assert!(faults.iter().all(|fault| fault["pointer"] == pointer), "{members}: {told:#}");
    faults.iter().map(|fault| fault["detail"].as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

/// No deployment was made, and no git was called for any.
fn nothing_happened(scene: &Scene, address: &str) {
    assert_eq!(get(address, "/deploy").json()["items"], json!([]));
    assert_eq!(scene.hosting.asked(), []);
    scene.site.audit();
}

fn exists_below(directory: &Path, name: &str) -> bool {
    fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok).any(|entry| {
        entry.file_name() == name
            || (entry.file_type().is_ok_and(|kind| kind.is_dir()) && exists_below(&entry.path(), name))
    })
}

/// A14: what a shell would make something of is a text, wherever it stands.
#[test]
fn no_shell_reads_a_request() {
    let scene = Scene::new("variable \"word\" {}\noutput \"word\" { value = sha256(var.word) }\n");
    let daemon = scene.site.serve();
    let address = daemon.address();
    let marker = "piton-was-here";
    let texts = [
        format!("$(touch {marker})"),
        format!("`touch {marker}`"),
        format!("x; touch {marker}"),
        format!("x && touch {marker}"),
        format!("x | touch {marker}"),
        format!("' ; touch {marker} ; '"),
        format!("\" ; touch {marker} ; \""),
        format!("${{IFS}}>{marker}"),
    ];
    for text in &texts {
        let by_ref = json!({ "git_ref": text, "auto_approve": true });
        let by_path = json!({ "path": text, "auto_approve": true });
        let by_file = json!({ "tfvars_files": [text], "auto_approve": true, "env_vars": { "TF_VAR_word": "x" } });
        for members in [by_ref, by_path, by_file] {
            let reply = post(&address, "/deploy", &scene.body(members.clone()));
            match reply.status {
                422 => {}
                // A strange name, of something that is not there.
                202 => drop(becomes(&address, reply.json()["deployment_id"].as_str().unwrap(), "failed")),
                other => panic!("{members}: {other}"),
            }
        }
        let members = json!({
            "auto_approve": true, "env_vars": { "TF_VAR_word": text }, "plan_flags": [format!("-var=other={text}")],
        });
        let id = start(&address, &scene.body(members.clone()));
        becomes(&address, &id, "failed");
        let id = start(&address, &scene.body(json!({ "auto_approve": true, "env_vars": { "TF_VAR_word": text } })));
        let told = becomes(&address, &id, "success");
        assert_eq!(told["outputs"]["word"]["value"], Digest::of(text.as_bytes()).as_str());
    }
    assert!(!exists_below(scene.site.path(), marker), "a shell was asked");
    assert!(!Path::new(marker).exists());
}

/// A15
#[test]
fn neither_url_nor_ref_is_an_option() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let address = daemon.address();
    let (marker, root) = (scene.root.path().join("marker"), scene.root.path().display().to_string());
    let touch = format!("touch {}", marker.display());
    let urls = [
        format!("ext::sh -c {touch}"),
        format!("ext::sh -c {}", touch.replace(' ', "% ")),
        format!("--upload-pack={touch}"),
        format!("-u{touch}"),
        format!("ssh://-oProxyCommand={touch}/x"),
        format!("ssh://git@-oProxyCommand={touch}/x"),
        format!("-oProxyCommand={touch}:x"),
        format!("file://{root}/open/app.git"),
        format!("{root}/open/app.git"),
        "./open/app.git".to_owned(),
        "fd::17/x".to_owned(),
        "git://127.0.0.1/x".to_owned(),
        "ftp://127.0.0.1/x".to_owned(),
        "https://user:hunter2@127.0.0.1/x".to_owned(),
        "http://127.0.0.1/x\r\nHost: evil".to_owned(),
        "http://127.0.0.1/x\n[core]\n\tfsmonitor=x".to_owned(),
        String::new(),
    ];
    for url in &urls {
        let said = refused(&scene, &address, json!({ "git_url": url }), "/git_url");
        assert!(!said.contains("hunter2"), "{said}");
    }
    for reference in [
        format!("--upload-pack={touch}"),
        format!("-u{touch}"),
        "-".to_owned(),
        "--".to_owned(),
        "-main".to_owned(),
        "main\nx".to_owned(),
        "main\r".to_owned(),
        "main..x".to_owned(),
        "refs/heads/../../x".to_owned(),
        "main:refs/heads/x".to_owned(),
        "a b".to_owned(),
        "@{-1}".to_owned(),
        "main^{/x}".to_owned(),
        "main\0".to_owned(),
        "x".repeat(5000),
        String::new(),
    ] {
        refused(&scene, &address, json!({ "git_ref": reference }), "/git_ref");
    }
    assert!(!marker.exists(), "what was an option was followed");
    nothing_happened(&scene, &address);
}

/// A16
#[test]
fn flags_of_init_are_those_that_harm_nobody() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let address = daemon.address();
    for (flags, named) in [
        ("-plugin-dir=/tmp", "-plugin-dir"),
        ("-from-module=github.com/evil/x", "-from-module"),
        ("-chdir=..", "-chdir"),
        ("-upgrade -chdir=/", "-chdir"),
        ("'-upgrade' '-from-module=x'", "-from-module"),
        ("-backend-config=path=../../../up.tfstate", "-backend-config"),
        ("-backend-config=path=up.tfstate -plugin-dir=x", "-plugin-dir"),
        ("-backend-config=../../../x.hcl", "-backend-config"),
        ("-backend-config=/etc/passwd", "-backend-config"),
        ("-backend-config=secret_key=hunter2", "-backend-config"),
        ("-backend=false", "-backend"),
        ("-force-copy", "-force-copy"),
        ("-migrate-state", "-migrate-state"),
        ("-lock=false", "-lock"),
        ("-lockfile=evil", "-lockfile"),
        ("-json", "-json"),
        ("--from-module=x", "-from-module"),
        ("-out=x", "-out"),
        ("-upgrade extra", "extra"),
        ("-upgrade 'x", "quote"),
        ("-upgrade\n-chdir=/", "line break"),
    ] {
        let said = refused(&scene, &address, json!({ "init_flags": flags }), "/init_flags");
        assert!(said.contains(named) && !said.contains("hunter2"), "{flags}: {said}");
    }
    for (flags, pointer) in [
        (json!(["-upgrade -plugin-dir=/tmp"]), "/init_flags/0"),
        (json!(["-upgrade", "-from-module", "x"]), "/init_flags/1"),
        (json!(["-"]), "/init_flags/0"),
    ] {
        refused(&scene, &address, json!({ "init_flags": flags }), pointer);
    }
    let said = refused(&scene, &address, json!({ "init_flags": "-chdir=/ -upgrade -plugin-dir=x" }), "/init_flags");
    assert!(said.contains("-chdir") && said.contains("-plugin-dir"), "each of them is told: {said}");
    nothing_happened(&scene, &address);
}

/// A17
#[test]
fn flags_of_plan_make_no_other_plan() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let address = daemon.address();
    for (flags, named) in [
        ("-out=/tmp/x", "-out"),
        ("-out /tmp/x", "-out"),
        ("-state=/tmp/x", "-state"),
        ("-state-out=/tmp/x", "-state-out"),
        ("-backup=/tmp/x", "-backup"),
        ("-var-file=/etc/passwd", "-var-file"),
        ("-var-file=../../x", "-var-file"),
        ("-var-file=.git/config", "-var-file"),
        ("-generate-config-out=x.tf", "-generate-config-out"),
        ("-destroy", "`destroy`"),
        ("--destroy", "`destroy`"),
        ("-destroy=true", "`destroy`"),
        ("-compact-warnings '-destroy'", "`destroy`"),
        ("-lock=false", "-lock"),
        ("-input=true", "-input"),
        ("-json", "-json"),
        ("-chdir=..", "-chdir"),
        ("-auto-approve", "auto_approve"),
        ("-show-sensitive", "-show-sensitive"),
        ("-parallelism=0", "-parallelism"),
        ("-parallelism=1e9", "-parallelism"),
        ("plan.tfplan", "plan.tfplan"),
    ] {
        let said = refused(&scene, &address, json!({ "plan_flags": flags }), "/plan_flags");
        assert!(said.contains(named), "{flags}: {said}");
    }
    nothing_happened(&scene, &address);
}

/// A18
#[test]
fn variables_do_not_change_what_runs() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let address = daemon.address();
    for name in [
        "TF_CLI_ARGS",
        "TF_CLI_ARGS_plan",
        "TF_CLI_CONFIG_FILE",
        "TF_LOG",
        "TF_LOG_PATH",
        "TF_TEMP_LOG_PATH",
        "TF_CLOUD_PLUGIN_DEV_OVERRIDE",
        "TF_FORCE_LOCAL_BACKEND",
        "TF_REATTACH_PROVIDERS",
        "TF_DATA_DIR",
        "TF_WORKSPACE",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PATH",
        "BASH_ENV",
        "ENV",
        "GIT_SSH_COMMAND",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_KEY_0",
        "PITON_TOKEN",
        "A=B",
        "",
    ] {
        let said = refused(&scene, &address, json!({ "env_vars": { name: "hunter2" } }), &format!("/env_vars/{name}"));
        assert!(said.contains(name) && !said.contains("hunter2"), "{name}: {said}");
    }
    for (name, pointer) in [("A\0B", "/env_vars/A\\0B"), ("A\nB", "/env_vars/A\\nB")] {
        refused(&scene, &address, json!({ "env_vars": { name: "x" } }), pointer);
    }
    refused(&scene, &address, json!({ "env_vars": { "FINE": "hunter2\u{0}" } }), "/env_vars/FINE");
    nothing_happened(&scene, &address);
}

/// A23
#[test]
fn paths_stay_in_the_repository() {
    let scene = Scene::new(CODE);
    let outside = scene.root.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("main.tf"), CODE).unwrap();
    fs::write(outside.join("secret.tfvars"), "word = \"outside-secret\"\n").unwrap();
    let (directory, file) = (format!("-> {}", outside.display()), format!("-> {}/secret.tfvars", outside.display()));
    let up = format!("-> ../../../../../../../../../..{}", outside.display());
    let files = [
        ("main.tf", "variable \"word\" { default = \"\" }\noutput \"word\" { value = var.word }\n"),
        ("away", directory.as_str()),
        ("up", &up),
        ("chain", "-> away"),
        ("away.tfvars", &file),
        ("loop", "-> loop"),
        ("inside/main.tf", CODE),
        ("alias", "-> inside"),
    ];
    repository(scene.root.path(), "open/links.git", &[&files]).unwrap();
    let daemon = scene.site.serve();
    let address = daemon.address();
    for path in ["..", "../..", "inside/../..", "/etc", "inside/../inside", ".git", "inside/.GIT", "a\nb", "a\0"] {
        refused(&scene, &address, json!({ "path": path }), "/path");
    }
    for file in ["../x.tfvars", "/etc/passwd", ".git/config", "inside/../../x", ""] {
        refused(&scene, &address, json!({ "tfvars_files": [file] }), "/tfvars_files/0");
    }
    nothing_happened(&scene, &address);

    let url = scene.hosting.url("open/links.git");
    let run = |members: Value| {
        let mut all = json!({ "git_url": url, "auto_approve": true });
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        start(&address, &scene.body(all))
    };
    for (members, code) in [
        (json!({ "path": "away" }), "path_escape"),
        (json!({ "path": "up" }), "path_escape"),
        (json!({ "path": "chain" }), "path_escape"),
        (json!({ "path": "loop" }), "path_escape"),
        (json!({ "path": "nowhere" }), "path_missing"),
        (json!({ "tfvars_files": ["away.tfvars"] }), "var_file_escape"),
        (json!({ "tfvars_files": ["away/secret.tfvars"] }), "var_file_escape"),
        (json!({ "plan_flags": "-var-file=away.tfvars" }), "var_file_escape"),
        (json!({ "init_flags": "-backend-config=away.tfvars" }), "var_file_escape"),
    ] {
        let told = becomes(&address, &run(members.clone()), "failed");
        assert_eq!(told["error_code"], code, "{members}: {told:#}");
        assert!(!told.to_string().contains("outside-secret"), "{told:#}");
    }
    assert!(!outside.join(".terraform").exists(), "something ran outside");
    becomes(&address, &run(json!({ "path": "alias" })), "success");
}

/// A39: addresses that give credentials away are not contacted, however they are written, and redirects are not followed.
#[test]
fn addresses_that_tell_secrets_are_not_contacted() {
    let scene = Scene::new(CODE);
    let daemon = scene.site.serve();
    let address = daemon.address();
    for host in [
        "169.254.169.254",
        "169.254.1.1",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "0.0.0.0",
        "0",
        "[::]",
    ] {
        for url in [format!("http://{host}/x.git"), format!("https://{host}:8443/x"), format!("ssh://git@{host}/x")] {
            refused(&scene, &address, json!({ "git_url": url }), "/git_url");
        }
    }
    for url in ["file:///etc/passwd", "gopher://127.0.0.1:70/x", "dict://127.0.0.1/x", "jar:http://127.0.0.1/x"] {
        refused(&scene, &address, json!({ "git_url": url }), "/git_url");
    }
    nothing_happened(&scene, &address);

    // A server that sends everybody to such an address.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let answer = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/x.git/info/refs\r\n\
                          Content-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let id = start(&address, &scene.body(json!({ "git_url": format!("http://{away}/x.git"), "auto_approve": true })));
    assert_eq!(becomes(&address, &id, "failed")["error_code"], "git_redirected");
}

/// A39: what counts is the address that a name leads to, and what the configuration says of it.
#[test]
fn blocked_networks_are_blocked_behind_names_too() {
    let scene = Scene::new(CODE).env("PITON_SECURITY__BLOCKED_NETWORKS", "127.0.0.0/8,::1/128");
    let daemon = scene.site.serve();
    let address = daemon.address();
    let port = scene.hosting.address().port();
    for host in ["127.0.0.1", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/open/app.git");
        refused(&scene, &address, json!({ "git_url": url }), "/git_url");
    }
    let url = format!("http://localhost:{port}/open/app.git");
    let reply = request(&address, "POST", "/deploy", &[], &scene.body(json!({ "git_url": url, "auto_approve": true })));
    match reply.status {
        422 => {}
        202 => {
            let id = reply.json()["deployment_id"].as_str().unwrap().to_owned();
            assert_eq!(becomes(&address, &id, "failed")["error_code"], "blocked_address");
        }
        other => panic!("{other}: {}", reply.text()),
    }
    assert_eq!(scene.hosting.asked(), []);
}
