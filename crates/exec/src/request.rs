//! What somebody asks for, from outside, checked: repository, credentials, paths, flags, environment. Pure.
//!
//! Whoever may ask for a deployment may run code, so these rules do not keep that from anybody. They keep a request from
//! being anything else than it says: no option in place of a value, no file and no address that is not the requester's,
//! no say over what Piton itself decides.

pub mod flags;
mod origin;
mod paths;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use flags::Flags;
use flags::Wrong;
use piton_model::{GitAuth, GitSource, Secret, json_pointer};
use piton_process::{Environment, EnvironmentError, Policy};

use crate::guard::Guard;

/// The longest time that can be asked for: a week.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The kernel takes no longer text in an environment.
const LONGEST_VARIABLE: usize = 128 * 1024 - 1;

/// What all variables may be together, with names.
const ALL_VARIABLES: usize = 1024 * 1024;

/// A request as it came in.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Where the repository is.
    pub git_url: String,
    /// A branch, a tag or a commit.
    pub git_ref: String,
    /// The directory with the root module; the root of the repository where absent.
    pub path: Option<String>,
    /// Variable files, relative to `path`.
    pub tfvars_files: Vec<String>,
    /// Environment of the tool.
    pub env_vars: BTreeMap<String, Secret<String>>,
    /// Further flags of `init`.
    pub init_flags: Option<Flags>,
    /// Further flags of `plan`.
    pub plan_flags: Option<Flags>,
    /// Minutes; the default where absent or 0.
    pub timeout: Option<u64>,
    /// What it takes to read the repository.
    pub git_auth: Option<GitAuth>,
}

/// What the installation says about requests.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Which addresses may be reached.
    pub guard: Guard,
    /// Whether credentials may travel over plain HTTP, and not just within this host.
    pub allow_http: bool,
}

/// The same, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// Repository, commit, directory and credentials.
    pub source: GitSource,
    /// Variable files, relative to the directory.
    pub var_files: Vec<PathBuf>,
    /// Environment of the tool.
    pub env: BTreeMap<String, Secret<String>>,
    /// Flags of `init`.
    pub init_flags: Vec<String>,
    /// Flags of `plan`.
    pub plan_flags: Vec<String>,
    /// The time of one attempt; the default where absent.
    pub timeout: Option<Duration>,
    /// What is allowed, but may not be meant.
    pub warnings: Vec<String>,
}

/// One thing that is wrong with a request. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The member, as a JSON pointer (RFC 6901): `/env_vars/PATH`.
    pub pointer: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Checks all of a request; the faults are those of all of it, not just the first.
pub fn check(request: Request, rules: &Rules) -> Result<Checked, Vec<Fault>> {
    let mut faults = Faults::default();
    let mut warnings = Vec::new();
    let path = match request.path.as_deref() {
        None | Some("") => ".",
        Some(path) => path,
    };
    faults.take("/path", paths::check_directory(path));
    faults.take("/git_ref", request.git_ref.parse::<crate::git::Ref>().map_err(|error| error.to_string()));
    if let Some(address) = faults.take("/git_url", origin::address(&request.git_url, rules)) {
        warnings.extend(address.warning());
        if let Some(auth) = &request.git_auth {
            faults.take("/git_auth", origin::match_auth(&address, auth, rules));
        }
    }
    let auth = request.git_auth.and_then(|auth| match origin::auth(auth) {
        Ok(auth) => Some(auth),
        Err((member, problem)) => {
            faults.add(format!("/git_auth/{member}"), problem);
            None
        }
    });
    let mut flags = |member: &str, given: Option<Flags>, phase| {
        given.map(|given| faults.take_flags(member, flags::check(&given, phase, path))).unwrap_or_default()
    };
    let init = flags("/init_flags", request.init_flags, flags::Phase::Init);
    let plan = flags("/plan_flags", request.plan_flags, flags::Phase::Plan);
    for (index, file) in request.tfvars_files.iter().enumerate() {
        faults.take(&format!("/tfvars_files/{index}"), paths::check_file(path, file));
    }
    check_env(&request.env_vars, &mut faults);
    let timeout = match request.timeout {
        None | Some(0) => None,
        Some(minutes) => {
            let timeout =
                minutes.checked_mul(60).map(Duration::from_secs).filter(|timeout| *timeout <= LONGEST_TIMEOUT);
            let problem = || format!("it goes up to {} minutes", LONGEST_TIMEOUT.as_secs() / 60);
            faults.take("/timeout", timeout.ok_or_else(problem))
        }
    };
    if !faults.0.is_empty() {
        return Err(faults.0);
    }
    Ok(Checked {
        source: GitSource { url: request.git_url, reference: request.git_ref, path: PathBuf::from(path), auth },
        var_files: request.tfvars_files.into_iter().map(PathBuf::from).collect(),
        env: request.env_vars,
        init_flags: init,
        plan_flags: plan,
        timeout,
        warnings,
    })
}

fn check_env(declared: &BTreeMap<String, Secret<String>>, faults: &mut Faults) {
    let mut size = 0;
    for (name, value) in declared {
        let pointer = json_pointer(["env_vars", name.escape_debug().to_string().as_str()]);
        let one = [(name.as_str(), value.expose().as_str())];
        let checked = Environment::default().declare(one, Policy::Infrastructure).map(drop);
        faults.take(&pointer, checked.map_err(|error| explain(name, &error)));
        let length = name.len() + value.expose().len() + 1;
        if length > LONGEST_VARIABLE {
            faults.add(pointer, format!("it is longer than {} KiB", LONGEST_VARIABLE.div_ceil(1024)));
        }
        size += length;
    }
    if size > ALL_VARIABLES {
        faults.add("/env_vars", format!("all variables together are longer than {} KiB", ALL_VARIABLES / 1024));
    }
}

fn explain(name: &str, error: &EnvironmentError) -> String {
    match error {
        EnvironmentError::Refused { .. } if name.starts_with("TF_CLI_ARGS") => {
            format!("{error}; flags go to `init_flags` and `plan_flags`")
        }
        EnvironmentError::Refused { .. } if name.starts_with("GIT_") => {
            format!("{error}; credentials for git go to `git_auth`")
        }
        _ => error.to_string(),
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, pointer: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Fault { pointer: pointer.into(), problem: problem.into() });
    }

    fn take<T>(&mut self, pointer: &str, found: Result<T, String>) -> Option<T> {
        found.map_err(|problem| self.add(pointer, problem)).ok()
    }

    /// Of a list, each by its place.
    fn take_flags(&mut self, member: &str, found: Result<Vec<String>, Vec<Wrong>>) -> Vec<String> {
        found.unwrap_or_else(|wrong| {
            for Wrong { index, problem } in wrong {
                self.add(index.map_or_else(|| member.to_owned(), |index| format!("{member}/{index}")), problem);
            }
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request { git_url: "https://git.example.org/a/b.git".into(), git_ref: "main".into(), ..Request::default() }
    }

    fn pointers(request: Request) -> Vec<String> {
        check(request, &Rules::default()).unwrap_err().into_iter().map(|fault| fault.pointer).collect()
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_whole_request_passes() {
        let checked = check(
            Request {
                path: Some("env/prod".into()),
                tfvars_files: vec!["../common.tfvars".into()],
                env_vars: BTreeMap::from([("TF_VAR_region".to_owned(), secret("eu"))]),
                init_flags: Some(Flags::Text("-upgrade -backend-config='bucket=my state'".into())),
                plan_flags: Some(Flags::List(vec!["-target=a b".into(), "-var-file=x.tfvars".into()])),
                timeout: Some(120),
                git_auth: Some(GitAuth::Http { username: String::new(), password: secret("tok3n") }),
                ..request()
            },
            &Rules::default(),
        )
        .unwrap();
        assert_eq!(checked.source.path, PathBuf::from("env/prod"));
        assert_eq!(checked.var_files, [PathBuf::from("../common.tfvars")]);
        assert_eq!(checked.init_flags, ["-upgrade", "-backend-config=bucket=my state"]);
        assert_eq!(checked.plan_flags, ["-target=a b", "-var-file=x.tfvars"]);
        assert_eq!(checked.timeout, Some(Duration::from_secs(7200)));
        let Some(GitAuth::Http { username, .. }) = &checked.source.auth else { panic!("{checked:?}") };
        assert_eq!(username, "git");
        assert_eq!(check(Request { timeout: Some(0), ..request() }, &Rules::default()).unwrap().timeout, None);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let wrong = Request {
            git_url: "/etc".into(),
            git_ref: "--upload-pack=x".into(),
            path: Some("../x".into()),
            tfvars_files: vec!["a.tfvars".into(), "/etc/passwd".into()],
            env_vars: ["PATH", "TF_CLI_ARGS_plan", "A=B", "fine"].map(|name| (name.to_owned(), secret("x"))).into(),
            init_flags: Some(Flags::Text("-from-module=x".into())),
            plan_flags: Some(Flags::Text("-destroy".into())),
            timeout: Some(20_000),
            git_auth: None,
        };
        let mut found = pointers(wrong);
        found.sort();
        let wanted = [
            "/env_vars/A=B",
            "/env_vars/PATH",
            "/env_vars/TF_CLI_ARGS_plan",
            "/git_ref",
            "/git_url",
            "/init_flags",
            "/path",
            "/plan_flags",
            "/tfvars_files/0",
            "/tfvars_files/1",
            "/timeout",
        ];
        assert_eq!(found, wanted);
        let list = |words: &[&str]| Some(Flags::List(words.iter().map(|word| (*word).to_owned()).collect()));
        let plan_flags = list(&["-refresh=false", "-out=x", "-destroy"]);
        let wrong = Request { init_flags: list(&["-chdir=/"]), plan_flags, ..request() };
        assert_eq!(pointers(wrong), ["/init_flags/0", "/plan_flags/1", "/plan_flags/2"]);
        assert_eq!(pointers(Request { timeout: Some(u64::MAX), ..request() }), ["/timeout"]);
    }

    #[test]
    fn variables_that_change_what_runs_are_refused_by_name() {
        for name in [
            "TF_CLI_ARGS",
            "TF_CLI_ARGS_init",
            "TF_CLI_CONFIG_FILE",
            "TERRAFORM_CONFIG",
            "TF_LOG",
            "TF_LOG_PATH",
            "TF_REATTACH_PROVIDERS",
            "TF_DATA_DIR",
            "TF_PLUGIN_CACHE_DIR",
            "TF_WORKSPACE",
            "TF_INPUT",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "PATH",
            "BASH_ENV",
            "ENV",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT",
            "GIT_CONFIG_KEY_0",
            "GIT_ASKPASS",
            "GIT_TRACE_CURL",
            "GIT_DIR",
            "PITON_RUN_ID",
            "",
            "A=B",
            "A\0",
            "A\nB",
        ] {
            let env_vars = BTreeMap::from([(name.to_owned(), secret("hunter2"))]);
            let faults = check(Request { env_vars, ..request() }, &Rules::default()).unwrap_err();
            assert_eq!(faults.len(), 1, "{name:?}");
            assert!(!faults[0].problem.contains("hunter2"), "{faults:?}");
        }
        let long = BTreeMap::from([("A".to_owned(), secret(&"x".repeat(128 * 1024)))]);
        assert_eq!(pointers(Request { env_vars: long, ..request() }), ["/env_vars/A"]);
    }
}
