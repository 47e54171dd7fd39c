//! What of a child's environment is refused, and what of it is secret. Pure.

use std::collections::BTreeMap;

use piton_model::{Failure, FailureClass, Secret};
use piton_process::{Environment, Policy};

/// What tells both tools that no person is watching.
pub(crate) const AUTOMATION: [(&str, &str); 3] =
    [("TF_IN_AUTOMATION", "1"), ("TF_INPUT", "0"), ("CHECKPOINT_DISABLE", "1")];

/// `base` and what a declaration adds to it.
pub(crate) fn declare(
    base: &Environment,
    declared: &BTreeMap<String, Secret<String>>,
    policy: Policy,
) -> Result<Environment, Failure> {
    let pairs = declared.iter().map(|(name, value)| (name.as_str(), value.expose().as_str()));
    base.clone().declare(pairs, policy).map_err(|error| {
        let failure = Failure::new(FailureClass::Permanent, "env_refused", error.to_string());
        match policy {
            Policy::Infrastructure => failure.hint("input variables go to `vars`, or to `TF_VAR_name`"),
            Policy::Job => failure,
        }
    })
}

/// The values that must not be seen in logs: what is declared, and what is inherited under a telling name.
///
/// A declared value is spared when nothing about it is secret: its name does not say so, and it is an everyday word, a
/// number or a plain path. Blotting out every `true`, `eu` and `/backup` of a log would leave nothing to read.
pub(crate) fn secrets<'a>(
    base: &Environment,
    declared: &'a BTreeMap<String, Secret<String>>,
) -> impl Iterator<Item = String> + use<'a> {
    let inherited = base.clone().into_variables().into_iter().filter(|(name, _)| sounds_secret(name));
    let inherited = inherited.map(|(_, value)| value);
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
    let path =
        value.starts_with('/') && value.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '/' | '-' | '_' | '.'));
    number || words || path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret<String>> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned()))).collect()
    }

    #[test]
    fn a_refusal_names_the_variable() {
        let failure = declare(&Environment::default(), &declared(&[("TF_LOG", "hunter2")]), Policy::Infrastructure);
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, "env_refused");
        assert!(failure.message.contains("TF_LOG") && !failure.message.contains("hunter2"), "{}", failure.message);
        assert!(declare(&Environment::default(), &declared(&[("TF_LOG", "x")]), Policy::Job).is_ok());
    }

    #[test]
    fn values_are_secret_unless_nothing_says_so() {
        let base = Environment::default().set("GITLAB_TOKEN", "inherited-1").set("HOME", "/root");
        let env = declared(&[
            ("DB_PASSWORD", "carol"),
            ("REGION", "eu-west-1"),
            ("GREETING", "hello world"),
            ("DAYS", "30"),
            ("DIR", "/var/backup"),
            ("CONNECTION", "postgres://u:p4ss@db/x"),
        ]);
        let found: Vec<String> = secrets(&base, &env).collect();
        assert_eq!(found, ["inherited-1", "postgres://u:p4ss@db/x", "carol", "eu-west-1"]);
    }
}
