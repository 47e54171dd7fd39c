//! The environment of a child: what it inherits, what Piton sets, what a declaration may add. Pure.

use std::collections::BTreeMap;

/// What a child may know of the daemon's own environment. A trailing `*` stands for any rest.
///
/// A list of what may pass, because a list of what may not is never complete: the daemon's environment holds its own
/// passwords.
const INHERITED: [&str; 26] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

/// What no declaration may set: it would run code in programs that know nothing of it, or pretend to be Piton.
const REFUSED: [&str; 19] = [
    "LD_PRELOAD",
    "LD_AUDIT",
    "GLIBC_TUNABLES",
    "BASH_ENV",
    "BASH_FUNC_*",
    "ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "PS4",
    "GIT_CONFIG*",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_EXEC_PATH",
    "GIT_PROXY_COMMAND",
    "GIT_EXTERNAL_DIFF",
    "GIT_ASKPASS",
    "GIT_ALLOW_PROTOCOL",
    "NOTIFY_SOCKET",
    "PITON_*",
];

/// What a declaration for OpenTofu or Terraform may not set either: it would change which program runs, or what was
/// asked of it.
const REFUSED_FOR_INFRASTRUCTURE: [&str; 22] = [
    "PATH",
    "GIT_*",
    "LD_*",
    "TF_CLI_ARGS*",
    "TF_CLI_CONFIG_FILE",
    "TERRAFORM_CONFIG",
    "TF_APPEND_USER_AGENT",
    "TF_CLOUD_PLUGIN_DEV_OVERRIDE",
    "TF_DATA_DIR",
    "TF_DISABLE_PLUGIN_TLS",
    "TF_FORCE_LOCAL_BACKEND",
    "TF_FORK",
    "TF_IN_AUTOMATION",
    "TF_INPUT",
    "TF_LOG*",
    "TF_PLUGIN_CACHE_DIR",
    "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE",
    "TF_REATTACH_PROVIDERS",
    "TF_SKIP_PROVIDER_VERIFY",
    "TF_STATE_PERSIST_INTERVAL",
    "TF_TEMP_LOG_PATH",
    "TF_WORKSPACE",
];

/// How much a declaration may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The tool and its behaviour are Piton's business.
    Infrastructure,
    /// The command is the declaration's own, and so is its `PATH`.
    Job,
}

/// Why a declared variable is refused. The value is never shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// No environment can hold this name.
    #[error("{name:?} is not the name of an environment variable")]
    BadName {
        /// What was declared.
        name: String,
    },
    /// No environment can hold this value.
    #[error("the value of the environment variable {name} contains a NUL character")]
    BadValue {
        /// Whose value.
        name: String,
    },
    /// It is not for declarations to set.
    #[error("the environment variable {name} may not be declared: it is set by Piton, or changes what runs")]
    Refused {
        /// Which.
        name: String,
    },
}

/// The complete environment of a child, in the making.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Takes from the daemon's environment what children may know; `also` names more, with a trailing `*` for any rest.
    pub fn inherit(own: impl IntoIterator<Item = (String, String)>, also: &[&str]) -> Environment {
        let passes = |name: &str| is_in(&INHERITED, name) || is_in(also, name);
        let variables = own.into_iter().filter(|(name, _)| is_name(name) && passes(name)).collect();
        Environment { variables }
    }

    /// Sets what Piton itself decides.
    pub fn set(mut self, name: &str, value: impl Into<String>) -> Environment {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Adds what a declaration asks for, if it may.
    pub fn declare<'a>(
        mut self,
        declared: impl IntoIterator<Item = (&'a str, &'a str)>,
        policy: Policy,
    ) -> Result<Environment, EnvironmentError> {
        for (name, value) in declared {
            check(name, value, policy)?;
            self.variables.insert(name.to_owned(), value.to_owned());
        }
        Ok(self)
    }

    /// The variables, as [`Invocation`](crate::Invocation) takes them.
    pub fn into_variables(self) -> BTreeMap<String, String> {
        self.variables
    }
}

impl std::fmt::Debug for Environment {
    /// Values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

fn check(name: &str, value: &str, policy: Policy) -> Result<(), EnvironmentError> {
    let name = name.to_owned();
    if !is_name(&name) {
        return Err(EnvironmentError::BadName { name });
    }
    if value.contains('\0') {
        return Err(EnvironmentError::BadValue { name });
    }
    let refused = match policy {
        Policy::Job => is_in(&REFUSED, &name),
        Policy::Infrastructure => is_in(&REFUSED, &name) || is_in(&REFUSED_FOR_INFRASTRUCTURE, &name),
    };
    if refused { Err(EnvironmentError::Refused { name }) } else { Ok(()) }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0', '\n'])
}

fn is_in(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(names: &[&str]) -> Vec<(String, String)> {
        names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect()
    }

    #[test]
    fn nothing_is_inherited_but_what_is_listed() {
        let secrets = ["DATABASE_URL", "PITON_TOKEN", "LD_PRELOAD", "AWS_SECRET_ACCESS_KEY", "PATHS", "BASH_ENV"];
        let harmless = ["PATH", "HOME", "LC_ALL", "TZ", "https_proxy"];
        let child = Environment::inherit(own(&[secrets, ["ARM_CLIENT_ID"; 6]].concat()), &["ARM_*"]);
        assert_eq!(child.into_variables().into_keys().collect::<Vec<_>>(), ["ARM_CLIENT_ID"]);
        let child = Environment::inherit(own(&harmless), &[]);
        assert_eq!(child.into_variables().len(), harmless.len());
    }

    #[test]
    fn a_job_has_its_own_path_and_a_tool_has_not() {
        let declare = |name, policy| Environment::default().declare([(name, "value")], policy);
        for name in ["PATH", "LD_LIBRARY_PATH", "TF_LOG", "TF_CLI_ARGS_plan"] {
            assert!(declare(name, Policy::Job).is_ok(), "{name}");
            let refused = EnvironmentError::Refused { name: name.to_owned() };
            assert_eq!(declare(name, Policy::Infrastructure), Err(refused));
        }
        for name in ["LD_PRELOAD", "BASH_ENV", "GIT_CONFIG_COUNT", "GIT_SSH_COMMAND", "PITON_KEEPER", "BASH_FUNC_ls%%"]
        {
            assert!(declare(name, Policy::Job).is_err(), "{name}");
        }
        assert!(declare("TF_VAR_region", Policy::Infrastructure).is_ok());
    }

    #[test]
    fn errors_name_the_variable_and_never_its_value() {
        let declare =
            |name, value| Environment::default().declare([(name, value)], Policy::Job).unwrap_err().to_string();
        assert_eq!(declare("A=B", "hunter2"), "\"A=B\" is not the name of an environment variable");
        assert_eq!(declare("A", "hunter2\0"), "the value of the environment variable A contains a NUL character");
        assert!(!declare("LD_PRELOAD", "hunter2").contains("hunter2"));
        assert_eq!(format!("{:?}", Environment::default().set("A", "hunter2")), r#"{"A"}"#);
    }
}
