//! Detectors.

use std::fs;

use piton_model::{Detector, Program};
use piton_supervisor::detector::{Seen, look};

use crate::children::{Children, kill, lives, until};

pub(crate) async fn a_pid_file_or_a_command_tells() {
    let children = Children::new();
    let pid = children.script("a", "exec sleep 1000").await.identity.pid;
    let path = children.file("web.pid");
    let file = Detector::PidFile { path: path.clone() };
    let ask = async |detector: &Detector| look(&children.keeping, detector, &children.around()).await;
    assert_eq!(ask(&file).await, Ok(Seen::Nothing));
    fs::write(&path, format!("{pid}\n")).unwrap();
    assert_eq!(ask(&file).await, Ok(Seen::Alive(Some(pid))));
    kill(pid);
    until("its death", || !lives(pid)).await;
    assert_eq!(ask(&file).await, Ok(Seen::Nothing));
    fs::write(&path, "1\n").unwrap();
    assert!(ask(&file).await.unwrap_err().ends_with("web.pid: process 1 is the machine's own"));
    for (line, answer) in [
        ("test \"$OWN\" = \"owner's\"", Seen::Alive(None)),
        ("exit 1", Seen::Nothing),
        ("no-such-command", Seen::Nothing),
    ] {
        let command = Detector::Command { program: Program::Shell { line: line.to_owned() } };
        assert_eq!(ask(&command).await, Ok(answer), "{line}");
    }
    let missing = Detector::Command { program: Program::Exec { argv: vec!["no-such-command".to_owned()] } };
    assert_eq!(ask(&missing).await, Ok(Seen::Nothing));
    let held = children.keeping.held().await.unwrap();
    assert_eq!(held.len(), 1, "only the child: answers are not remembered");
}
