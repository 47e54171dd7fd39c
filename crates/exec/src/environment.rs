//! The environment of children: what they inherit, what a declaration may add, what Piton sets itself. Pure.

use std::collections::BTreeMap;

use piton_model::{Failure, FailureClass, Secret};

/// Names that a declaration may not set for OpenTofu and Terraform, because Piton sets them itself or because they
/// change what the tool runs. A trailing `*` stands for any rest.
const REFUSED: [&str; 24] = [
    "TF_CLI_ARGS*",
    "TF_CLI_CONFIG_FILE",
    "TERRAFORM_CONFIG",
    "TF_DATA_DIR",
    "TF_INPUT",
    "TF_IN_AUTOMATION",
    "TF_LOG*",
    "TF_PLUGIN_CACHE_DIR",
    "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE",
    "TF_REATTACH_PROVIDERS",
    "TF_APPEND_USER_AGENT",
    "TF_WORKSPACE",
    "TF_DISABLE_PLUGIN_TLS",
    "TF_SKIP_PROVIDER_VERIFY",
    "TF_STATE_PERSIST_INTERVAL",
    "LD_*",
    "PATH",
    "BASH_ENV",
    "ENV",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_CONFIG*",
    "GIT_EXEC_PATH",
    "PITON_*",
];

/// What of Piton's own environment no child may see: Piton's settings, which hold its passwords, and the notification
/// channel of the service manager. Cloud credentials stay: they are there for the providers.
const KEPT_BACK: [&str; 10] = [
    "PITON_*",
    "DATABASE_*",
    "RABBITMQ_*",
    "CONTROL_PLANE_*",
    "PROVISIONING_*",
    "PROVISIONER_*",
    "WORKER_*",
    "NOTIFY_SOCKET",
    "LISTEN_*",
    "WATCHDOG_*",
];

/// What tells both tools that no person is watching.
pub(crate) const AUTOMATION: [(&str, &str); 3] = [("TF_IN_AUTOMATION", "1"), ("TF_INPUT", "0"), ("CHECKPOINT_DISABLE", "1")];

/// The environment that children begin with, made from Piton's own.
///
/// Besides Piton's own settings, everything is dropped that a declaration may not set either, except `PATH`.
pub fn inherited(variables: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    variables
        .into_iter()
        .filter(|(name, _)| is_well_formed(name) && !listed(&KEPT_BACK, name))
        .filter(|(name, _)| name == "PATH" || !listed(&REFUSED, name))
        .collect()
}

/// Refuses names that may not be declared for a tool.
pub(crate) fn check_tool(declared: &BTreeMap<String, Secret<String>>) -> Result<(), Failure> {
    check_names(declared)?;
    match declared.keys().find(|name| listed(&REFUSED, name)) {
        None => Ok(()),
        Some(name) => Err(Failure::new(
            FailureClass::Permanent,
            "env_refused",
            format!("the environment variable `{name}` may not be declared: it is set by Piton, or changes what runs"),
        )
        .hint("remove it from `env`; input variables go to `vars` or `TF_VAR_name`")),
    }
}

/// Refuses names and values that no environment can hold.
pub(crate) fn check_names(declared: &BTreeMap<String, Secret<String>>) -> Result<(), Failure> {
    let refuse = |name: &str, problem: &str| {
        let message = format!("the environment variable `{}` {problem}", name.escape_debug());
        Failure::new(FailureClass::Permanent, "env_refused", message)
    };
    for (name, value) in declared {
        if !is_well_formed(name) {
            return Err(refuse(name, "is not a name that an environment can hold"));
        }
        if value.expose().contains('\0') {
            return Err(refuse(name, "has a value with a NUL character"));
        }
    }
    Ok(())
}

fn is_well_formed(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0', '\n'])
}

fn listed(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *pattern,
    })
}

/// The values that must not be seen in logs: what is declared, and what is inherited under a telling name.
///
/// A declared value is spared when nothing about it is secret: its name does not say so, and it is an everyday word, a
/// number or a plain path. Blotting out every `true`, `eu` and `/backup` of a log would leave nothing to read.
pub(crate) fn secrets<'a>(
    base: &'a BTreeMap<String, String>,
    declared: &'a BTreeMap<String, Secret<String>>,
) -> impl Iterator<Item = String> + 'a {
    let inherited = base.iter().filter(|(name, _)| sounds_secret(name)).map(|(_, value)| value.clone());
    let declared = declared
        .iter()
        .map(|(name, value)| (name, value.expose()))
        .filter(|(name, value)| sounds_secret(name) || !is_everyday(value))
        .map(|(_, value)| value.clone());
    inherited.chain(declared)
}

fn sounds_secret(name: &str) -> bool {
    const WORDS: [&str; 8] = ["SECRET", "TOKEN", "PASS", "PWD", "CREDENTIAL", "KEY", "AUTH", "DSN"];
    // `PWD` alone is the working directory; `SSH_AUTH_SOCK` is a path.
    let name = name.to_ascii_uppercase();
    !matches!(name.as_str(), "PWD" | "OLDPWD" | "SSH_AUTH_SOCK" | "XAUTHORITY")
        && WORDS.iter().any(|word| name.contains(word))
}

fn is_everyday(value: &str) -> bool {
    let number = value.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ':' | '-'));
    let words = value.len() <= 64 && value.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, ' ' | '.' | ','));
    let path = value.starts_with('/') && value.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '/' | '-' | '_' | '.'));
    number || words || path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret<String>> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned()))).collect()
    }

    #[test]
    fn names_that_steer_the_tool_are_refused_by_name() {
        for name in [
            "TF_CLI_ARGS", "TF_CLI_ARGS_plan", "TF_CLI_CONFIG_FILE", "TF_LOG_PATH", "TF_REATTACH_PROVIDERS",
            "LD_PRELOAD", "PATH", "BASH_ENV", "GIT_SSH_COMMAND", "GIT_CONFIG_COUNT", "TF_WORKSPACE", "TF_DATA_DIR",
            "A=B", "", "A\0",
        ] {
            let failure = check_tool(&declared(&[(name, "x")])).expect_err(name);
            assert_eq!(failure.code, "env_refused");
            assert!(failure.message.contains(&name.escape_debug().to_string()), "{}", failure.message);
        }
        assert!(check_tool(&declared(&[("A", "x\0")])).is_err());
        for name in ["TF_VAR_size", "AWS_PROFILE", "TF_TOKEN_app_terraform_io", "TF_HTTP_PASSWORD", "ENVIRONMENT"] {
            check_tool(&declared(&[(name, "x")])).expect(name);
        }
    }

    #[test]
    fn piton_keeps_its_own_settings_back() {
        let base = inherited(
            [
                ("PATH", "/bin"), ("HOME", "/root"), ("AWS_SECRET_ACCESS_KEY", "k"), ("PITON_STORE__URL", "postgres://"),
                ("DATABASE_PASSWORD", "p"), ("NOTIFY_SOCKET", "/run/n"), ("TF_CLI_ARGS", "-lock=false"),
                ("TF_CLI_CONFIG_FILE", "/x"), ("LD_PRELOAD", "/x.so"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        assert_eq!(base.keys().map(String::as_str).collect::<Vec<_>>(), ["AWS_SECRET_ACCESS_KEY", "HOME", "PATH"]);
    }

    #[test]
    fn values_are_secret_unless_nothing_says_so() {
        let base = BTreeMap::from([
            ("GITLAB_TOKEN".to_owned(), "inherited-1".to_owned()),
            ("HOME".to_owned(), "/root".to_owned()),
        ]);
        let env = declared(&[
            ("DB_PASSWORD", "carol"), ("REGION", "eu-west-1"), ("GREETING", "hello world"), ("DAYS", "30"),
            ("DIR", "/var/backup"), ("CONNECTION", "postgres://u:p4ss@db/x"),
        ]);
        let found: Vec<String> = secrets(&base, &env).collect();
        assert_eq!(found, ["inherited-1", "postgres://u:p4ss@db/x", "carol", "eu-west-1"]);
    }
}
