//! Jobs: one program or script.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use piton_model::{Command, Failure, Name, Program, Report};
use piton_process::Policy;

use crate::pass::{Child, Pass};
use crate::step::Passed;
use crate::verdict::Doing;
use crate::{environment, failing, run_files};

/// What stands for the workspace of jobs that have none.
pub(crate) const STANDALONE: &str = "_standalone_";

/// For a daemon that was started without one.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) async fn execute(pass: &Pass<'_>, command: &Command) -> Result<Passed, Failure> {
    let env = environment_of(pass, command)?;
    let log = pass.log(environment::secrets(&pass.world.config.environment, &command.env)).await?;
    if !pass.knows("execute").await? {
        pass.go_on("the command")?;
    }
    let (argv, header) = program(pass, &command.program)?;
    let child =
        Child { what: "execute", doing: Doing::Job, custom: true, argv, env, cwd: working_dir(pass, command)?, header };
    pass.begin_effect(child.what, child.doing).await?;
    let finished = pass.child(&log, &child).await?;
    let (exited_at, unwritten) = (Some(finished.ended_at), finished.unwritten);
    Ok(Passed::Done(Report { exit_code: Some(0), exited_at, unwritten, ..Report::default() }))
}

fn environment_of(pass: &Pass<'_>, command: &Command) -> Result<BTreeMap<String, String>, Failure> {
    let run = pass.input.run;
    let mut env = environment::declare(&pass.world.config.environment, &command.env, Policy::Job)?.into_variables();
    env.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    let deployment = pass.world.config.deployment_dir(&command.deployment);
    for (name, value) in [
        ("WORKSPACE_ID", run.subject.workspace().map_or(STANDALONE, Name::as_str).to_owned()),
        ("JOB_NAME", run.subject.name().to_string()),
        ("WORKSPACE_DEPLOYMENT_DIR", deployment.display().to_string()),
        ("PITON_RUN_ID", run.id.to_string()),
    ] {
        env.insert(name.to_owned(), value);
    }
    Ok(env)
}

/// The deployment directory is made, for jobs of workspaces that were never deployed; what is asked for beyond it has to
/// be there, but for standalone jobs, which have nobody else to make it.
fn working_dir(pass: &Pass<'_>, command: &Command) -> Result<PathBuf, Failure> {
    let base = pass.world.config.deployment_dir(&command.deployment);
    create(&base)?;
    let Some(wanted) = &command.working_dir else { return Ok(base) };
    let dir = base.join(wanted);
    if dir.is_dir() {
        return Ok(dir);
    }
    if dir.exists() {
        return Err(failing::permanent(
            "working_dir_missing",
            format!("the working directory {} is a file", dir.display()),
        ));
    }
    if wanted.is_relative() && pass.input.run.subject.workspace().is_none() {
        create(&dir)?;
        return Ok(dir);
    }
    let failure =
        failing::permanent("working_dir_missing", format!("the working directory {} does not exist", dir.display()));
    Err(if wanted.is_relative() {
        failure.hint("a relative working directory is looked for in the deployment directory; deploy the workspace first, or create it")
    } else {
        failure
    })
}

fn create(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|error| failing::io("create", dir, &error))
}

/// The arguments, and the line to show above the output.
pub(crate) fn program(pass: &Pass<'_>, program: &Program) -> Result<(Vec<String>, String), Failure> {
    match program {
        Program::Exec { argv } if argv.first().is_none_or(String::is_empty) => {
            Err(failing::permanent("command_empty", "the command is empty"))
        }
        Program::Exec { argv } => Ok((argv.clone(), format!("$ {}", quoted(argv)))),
        Program::Shell { line } => {
            Ok((vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()], format!("$ {}", first_line(line))))
        }
        Program::Script { text } => {
            let path = pass.files.script();
            // It is there already where it runs already, and the disk may be full by now.
            if !std::fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
                run_files::write(&path, text.as_bytes(), 0o700)?;
            }
            let mut argv = interpreter(text);
            argv.push(path.display().to_string());
            Ok((argv, "$ ./script".to_owned()))
        }
    }
}

/// What the kernel makes of the first line. Doing it here spares a data directory on a `noexec` mount, a script that is
/// still open for writing somewhere, and a carriage return at the end of the line.
fn interpreter(script: &str) -> Vec<String> {
    let line = script.strip_prefix("#!").and_then(|rest| rest.lines().next()).unwrap_or_default().trim();
    match line.split_once(|c: char| c.is_ascii_whitespace()) {
        None if line.is_empty() => vec!["/bin/sh".to_owned()],
        None => vec![line.to_owned()],
        Some((program, argument)) => vec![program.to_owned(), argument.trim().to_owned()],
    }
}

/// As a person would write it for a shell: quotes where they are needed, and nowhere else.
pub(crate) fn quoted(argv: &[String]) -> String {
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c));
    let words: Vec<Cow<'_, str>> = argv
        .iter()
        .map(|word| match shlex::try_quote(word) {
            _ if plain(word) => Cow::Borrowed(word.as_str()),
            Ok(quoted) => quoted,
            Err(_) => Cow::Borrowed(word.as_str()),
        })
        .collect();
    words.join(" ")
}

pub(crate) fn first_line(text: &str) -> String {
    let mut lines = text.trim().lines();
    let first = lines.next().unwrap_or_default();
    if lines.next().is_some() { format!("{first} …") } else { first.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter() {
        let read = |script: &str| interpreter(script).join("|");
        assert_eq!(read("#!/bin/bash\necho"), "/bin/bash");
        assert_eq!(read("#!/bin/bash\r\necho"), "/bin/bash");
        assert_eq!(read("#! /usr/bin/env  python3 -u\n"), "/usr/bin/env|python3 -u");
        assert_eq!(read("echo"), "/bin/sh");
        assert_eq!(read("#!\necho"), "/bin/sh");
        assert_eq!(read(""), "/bin/sh");
    }

    #[test]
    fn long_commands_are_shown_by_their_first_line() {
        assert_eq!(first_line("echo a\necho b"), "echo a …");
        assert_eq!(first_line(" echo a \n"), "echo a");
        let argv = ["init", "-input=false", "a b", "it's", ""].map(str::to_owned);
        assert_eq!(quoted(&argv), "init -input=false 'a b' \"it's\" ''");
    }
}
