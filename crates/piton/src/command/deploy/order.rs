//! What a command line orders. Files and variables are read here, with the rights of whoever typed it.

use std::collections::BTreeMap;
use std::path::Path;

use piton_api::{DeployTool, Flags, GitCredentials, NewDeployment};

use crate::args::{self, DeployArgs, GitArgs};
use crate::context::Context;
use crate::error::{CommandError, Exit, Failure, usage};
use crate::password;
use crate::remote::filled;

/// The request that a command line means.
pub fn order(context: &Context, args: &DeployArgs) -> Result<NewDeployment, Failure> {
    if holds_password(&args.git_url) {
        let error = CommandError::new(Exit::Usage, "`--git-url` holds a password, which others can read there");
        return Err(error.hint("give `--git-username`, and the password in PITON_GIT_PASSWORD").into());
    }
    let tool = match args.tool {
        args::DeployTool::Tofu => DeployTool::Tofu,
        args::DeployTool::Terraform => DeployTool::Terraform,
    };
    let env = variables(args, &context.environment)?;
    let mut order = NewDeployment::new(tool, args.git_url.clone(), args.git_ref.clone());
    order.path.clone_from(&args.path);
    order.env_vars = Some(env).filter(|env| !env.is_empty());
    order.tfvars_files = Some(args.tfvars_file.clone()).filter(|files| !files.is_empty());
    order.init_flags = args.init_flags.clone().map(Flags::Text);
    order.plan_flags = args.plan_flags.clone().map(Flags::Text);
    order.timeout = args.timeout;
    order.auto_approve = args.auto_approve.then_some(true);
    order.destroy = args.destroy.then_some(true);
    order.version.clone_from(&args.tool_version);
    order.git_auth = credentials(context, &args.git)?;
    Ok(order)
}

/// Whether there is a password in an address. A name alone is none: `ssh://git@host/path`.
fn holds_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// The environment of the tool: files first, what is on the command line in place of that.
fn variables(args: &DeployArgs, own: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure> {
    let mut variables = BTreeMap::new();
    for file in &args.env_file {
        let text = text_of(file)?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // The line is not repeated: what is wrong with it may be the secret.
            let Some((name, value)) = line.split_once('=') else {
                return Err(usage(format!("{}:{}: a line is NAME=VALUE", file.display(), number + 1)));
            };
            variables.insert(name.trim().to_owned(), unquoted(value.trim()).to_owned());
        }
    }
    for given in &args.env {
        let (name, value) = match given.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => match own.get(given) {
                Some(value) => (given.as_str(), value.clone()),
                None => return Err(usage(format!("there is no variable {} here", given.escape_debug()))),
            },
        };
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

fn credentials(context: &Context, git: &GitArgs) -> Result<Option<GitCredentials>, Failure> {
    let variable = |name| filled(&context.environment, name).map(str::to_owned);
    if let Some(key) = &git.git_ssh_key {
        let passphrase = match &git.git_passphrase_file {
            Some(file) => Some(password::of_file(file)?.expose().clone()),
            None => variable("PITON_GIT_PASSPHRASE"),
        };
        let known_hosts = git.git_known_hosts.as_deref().map(text_of).transpose()?;
        return Ok(Some(GitCredentials::Ssh { private_key: text_of(key)?, passphrase, known_hosts }));
    }
    let password = match &git.git_password_file {
        Some(file) => Some(password::of_file(file)?.expose().clone()),
        None => variable("PITON_GIT_PASSWORD"),
    };
    match (git.git_username.clone(), password) {
        (None, None) => Ok(None),
        (username, Some(password)) => {
            Ok(Some(GitCredentials::Http { username: username.unwrap_or_default(), password }))
        }
        (Some(username), None) if context.out.is_interactive() => {
            let password = password::ask(&format!("Password or token of {username} for git: "))?.expose().clone();
            Ok(Some(GitCredentials::Http { username, password }))
        }
        (Some(_), None) => Err(CommandError::new(Exit::Usage, "a password is needed, and nobody can be asked")
            .hint("`--git-password-file FILE`, or the variable PITON_GIT_PASSWORD")
            .into()),
    }
}

fn text_of(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        CommandError::new(exit, format!("cannot read {}: {error}", path.display())).into()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command, DeployCommand};
    use crate::output::Voice;

    fn ordered(more: &[&str], environment: &[(&str, &str)]) -> Result<serde_json::Value, Failure> {
        let least = ["piton", "deploy", "run", "--tool", "tofu", "--git-url", "https://git.example.org/x.git"];
        let words = least.iter().chain(&["--git-ref", "main", "--no-input"]).chain(more);
        let cli = Cli::try_parse_from(words).unwrap();
        let Command::Deploy(DeployCommand::Run(args)) = cli.command else { panic!("not an order") };
        let mut context = Context::new(cli.global, Voice::Piton);
        context.environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        order(&context, &args).map(|order| serde_json::to_value(order).unwrap())
    }

    #[test]
    fn what_is_not_said_is_not_sent() {
        let wanted =
            serde_json::json!({ "tool": "tofu", "git_url": "https://git.example.org/x.git", "git_ref": "main" });
        assert_eq!(ordered(&[], &[]).unwrap(), wanted);
    }

    #[test]
    fn everything_that_can_be_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("env");
        std::fs::write(&file, "# comment\n\nA = 1\nB=\"two words\"\nC=x=y\n").unwrap();
        let file = file.display().to_string();
        let more = [
            "--path",
            "a/b",
            "--env",
            "B=other",
            "--env",
            "HUSH",
            "--env-file",
            &file,
            "--tfvars-file",
            "x.tfvars",
            "--init-flags",
            "-upgrade",
            "--plan-flags",
            "-lock=false -refresh=false",
            "--timeout",
            "5",
            "--auto-approve",
            "--destroy",
            "--tool-version",
            "~> 1.9",
            "--git-username",
            "ada",
        ];
        let order = ordered(&more, &[("HUSH", "secret"), ("PITON_GIT_PASSWORD", "token")]).unwrap();
        let wanted = serde_json::json!({
            "tool": "tofu", "git_url": "https://git.example.org/x.git", "git_ref": "main", "path": "a/b",
            "env_vars": { "A": "1", "B": "other", "C": "x=y", "HUSH": "secret" }, "tfvars_files": ["x.tfvars"],
            "init_flags": "-upgrade", "plan_flags": "-lock=false -refresh=false", "timeout": 5, "auto_approve": true,
            "destroy": true, "version": "~> 1.9",
            "git_auth": { "type": "http", "username": "ada", "password": "token" },
        });
        assert_eq!(order, wanted);
    }

    #[test]
    fn an_ssh_key_is_read_here() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("key"), "KEY\n").unwrap();
        std::fs::write(path("hosts"), "host ssh-ed25519 AAAA\n").unwrap();
        let (key, hosts) = (path("key"), path("hosts"));
        let more = ["--git-ssh-key", &key, "--git-known-hosts", &hosts];
        let order = ordered(&more, &[("PITON_GIT_PASSPHRASE", "open")]).unwrap();
        let wanted = serde_json::json!({ "type": "ssh", "private_key": "KEY\n", "passphrase": "open",
            "known_hosts": "host ssh-ed25519 AAAA\n" });
        assert_eq!(order["git_auth"], wanted);
        let missing = path("none");
        assert_eq!(ordered(&["--git-ssh-key", &missing], &[]).unwrap_err().exit(), Exit::NotFound);
        // An at sign is no way to name a file.
        let order = ordered(&["--env", "A=@/etc/hostname", "--path", "@/etc/hostname"], &[]).unwrap();
        assert_eq!((&order["env_vars"]["A"], &order["path"]), (&"@/etc/hostname".into(), &"@/etc/hostname".into()));
    }

    #[test]
    fn what_is_missing_is_asked_for_or_told() {
        assert_eq!(ordered(&["--git-username", "ada"], &[]).unwrap_err().exit(), Exit::Usage);
        assert_eq!(ordered(&["--env", "NOT_THERE"], &[]).unwrap_err().exit(), Exit::Usage);
        for (url, holds) in [
            ("https://ada:hush@git.example.org/x", true),
            ("https://ada@git.example.org/x", false),
            ("ssh://git@git.example.org:22/x", false),
            ("git@git.example.org:x/y", false),
            ("https://git.example.org/a:b@c", false),
        ] {
            assert_eq!(holds_password(url), holds, "{url}");
        }
    }
}
