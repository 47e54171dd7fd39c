//! What is said when something does not work.

use std::path::PathBuf;

use piton_model::{FailureClass, Operation};

use crate::scene::{Scene, deploy, env, failure, iac, mode};
use crate::tool::Tool;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(crate) async fn each_step_says_what_is_wrong(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let fail = async |code: &str| {
        let run = scene.drive(scene.run(deploy(scene.code(&[("main.tf", code)])))).await;
        failure(&run)
    };
    let init = fail("terraform {\n  backend \"nowhere\" {}\n}\n").await;
    assert_eq!(init.code, "init_failed");
    assert!(init.message.starts_with("init failed: Unsupported backend type (main.tf:2): "), "{}", init.message);

    let syntax = fail("output \"x\" {\n  value = \n}\n").await;
    assert_eq!(syntax.code, "init_failed");
    assert!(syntax.message.contains("(main.tf:2): "), "{}", syntax.message);

    let plan = fail("output \"x\" {\n  value = terraform_data.nope.id\n}\n").await;
    assert_eq!((plan.code.as_str(), plan.exit_code), ("plan_failed", Some(1)));
    assert!(
        plan.message.starts_with("plan failed: Reference to undeclared resource (main.tf:2): "),
        "{}",
        plan.message
    );

    let apply =
        fail("resource \"terraform_data\" \"x\" {\n  provisioner \"local-exec\" { command = \"exit 3\" }\n}\n").await;
    assert_eq!((apply.code.as_str(), apply.class), ("apply_failed", FailureClass::Permanent));
    assert!(
        apply.message.contains("local-exec provisioner error") && apply.message.contains("exit status 3"),
        "{}",
        apply.message
    );

    let required = fail("variable \"must\" {}\n").await;
    assert!(required.hint.unwrap().contains("vars"));
    let version = fail("terraform {\n  required_version = \">= 1.x\"\n}\n").await;
    assert!(version.code.starts_with("tool_"), "{}", version.code);
}

pub(crate) async fn a_held_lock_names_its_holder(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let code = r#"
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "touch ../../../started; until test -e ../../../go; do sleep 0.02; done" }
}
"#;
    let action = deploy(scene.code(&[("main.tf", code)]));
    let holder = scene.drive_to(scene.run(action.clone()), "apply").await;
    let other = async {
        scene.until("the apply", || scene.path("started").exists()).await;
        let run = scene.drive(scene.run(action)).await;
        std::fs::write(scene.path("go"), "").unwrap();
        failure(&run)
    };
    let (holder, failure) = tokio::join!(scene.drive(holder), other);
    assert_eq!((failure.code.as_str(), failure.class), ("state_locked", FailureClass::Transient));
    assert!(
        failure.message.contains("held by ") && failure.message.contains("OperationTypeApply"),
        "{}",
        failure.message
    );
    assert!(failure.hint.unwrap().contains("force-unlock"));
    assert!(holder.outcome().is_some_and(|outcome| outcome.failure().is_none()), "{}", scene.log(&holder));
}

pub(crate) async fn refused_variables_and_files(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let source = scene.code(&[("main.tf", "output \"x\" { value = 1 }\n")]);
    let mut action = iac(source, Operation::Deploy { mode: Some(mode("busy")) });
    action.env = env(&[("TF_CLI_ARGS_apply", "-lock=false")]);
    let refused = failure(&scene.drive(scene.run(action.clone())).await);
    assert_eq!(refused.code, "env_refused");
    assert!(refused.message.contains("TF_CLI_ARGS_apply"), "{}", refused.message);
    action.env.clear();
    for (file, code) in
        [("../x.tfvars", "var_file_escape"), ("/etc/passwd", "var_file_escape"), ("x.tfvars", "var_file_missing")]
    {
        action.var_files = vec![file.into()];
        assert_eq!(failure(&scene.drive(scene.run(action.clone())).await).code, code, "{file}");
    }
}

/// The server of an `http` backend that takes no state until the tool has given up and left it in `errored`.
async fn answer(stream: TcpStream, errored: PathBuf) -> std::io::Result<bool> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let (status, saved) = match request.starts_with("POST") {
        false => ("404 Not Found", false),
        true if errored.exists() => ("200 OK", true),
        true => ("500 Internal Server Error", false),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(saved)
}

pub(crate) async fn a_state_that_could_not_be_saved_is_pushed(tool: Tool) {
    let scene = Scene::new(Some(&tool));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let code = format!(
        "terraform {{\n  backend \"http\" {{\n    address = \"http://127.0.0.1:{port}/state\"\n    retry_max = 0\n  }}\n}}\n\
         resource \"terraform_data\" \"x\" {{}}\n"
    );
    let errored = scene.deployment().join("errored.tfstate");
    let server = async {
        let mut saved = 0;
        while saved == 0 {
            let (stream, _) = listener.accept().await.unwrap();
            saved += usize::from(answer(stream, errored.clone()).await.unwrap());
        }
    };
    let begun = scene.run(deploy(scene.code(&[("main.tf", code.as_str())])));
    let (run, ()) = tokio::join!(scene.drive(begun), server);
    let failure = failure(&run);
    assert_eq!(failure.code, "apply_failed", "{}", scene.log(&run));
    assert!(failure.hint.unwrap().contains("was saved afterwards"));
    assert!(!errored.exists() && scene.deployment().join("errored.tfstate.pushed").exists());
    assert!(scene.log(&run).contains("state push errored.tfstate"));
}
