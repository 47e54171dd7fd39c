//! What somebody asks for becomes what a run does, or a list of what is wrong with it. Pure. Which requests are refused
//! is decided by [`request::check`]; here is what only this route knows.

use std::collections::BTreeMap;

use piton_api::{DeployTool, Fault, Flags, GitCredentials, NewDeployment};
use piton_exec::request::{self, Request, Rules};
use piton_model::{ApprovalPolicy, CustomCommands, GitAuth, Iac, Name, Operation, Secret, Source, ToolChoice};
use piton_spec::Defaults;
use piton_tools::{Place, Want};

use super::shape::CREDENTIALS_OF;

/// What a run is to do, and what was odd about the request.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) iac: Iac,
    pub(super) warnings: Vec<String>,
}

/// What requests are measured by.
pub(super) struct Measure<'a> {
    pub(super) rules: &'a Rules,
    pub(super) defaults: &'a Defaults,
    /// Who has to agree to what is applied.
    pub(super) consent: Consent,
}

/// Who has to agree to what is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    /// Whoever asks for it is enough.
    Requester,
    /// Somebody else than who asks for it, so nobody can waive it.
    SomebodyElse,
}

/// Checks all of a request; the faults are those of all of it, not just the first, and with them those of its `shape`. The
/// engine puts the id of the run in the place of `deployment`.
pub(super) fn order(
    (asked, shape): (NewDeployment, Vec<Fault>),
    by: &Measure<'_>,
    deployment: Name,
) -> Result<Order, Vec<Fault>> {
    let mut warnings = warnings(&asked);
    let version = version(asked.version.clone());
    let (destroy, auto_approve) = (asked.destroy.unwrap_or_default(), asked.auto_approve.unwrap_or_default());
    let tool = match asked.tool {
        DeployTool::Terraform => ToolChoice::Terraform,
        DeployTool::Tofu => ToolChoice::Tofu,
    };
    let waived = (auto_approve && by.consent == Consent::SomebodyElse).then(|| Fault {
        pointer: "/auto_approve".to_owned(),
        detail: "somebody else has to approve the plan (`iac.self_approval` is false)".to_owned(),
    });
    let checked = request::check(plain(asked), by.rules);
    let (checked, version) = match (checked, version) {
        (Ok(checked), Ok(version)) if waived.is_none() && shape.is_empty() => (checked, version),
        (checked, version) => {
            let found = checked.err().into_iter().flatten();
            let faults = found.map(|fault| Fault { pointer: fault.pointer, detail: fault.problem });
            let wrong = version.err().map(|detail| Fault { pointer: "/version".to_owned(), detail });
            // What stands in for a member that cannot be read is nobody's fault.
            let is_new = |fault: &Fault| shape.iter().all(|known| known.pointer != fault.pointer);
            let more: Vec<Fault> = faults.chain(wrong).chain(waived).filter(is_new).collect();
            return Err(shape.into_iter().chain(more).collect());
        }
    };
    warnings.extend(checked.warnings);
    let iac = Iac {
        operation: if destroy { Operation::Destroy } else { Operation::Deploy { mode: None } },
        source: Source::Git(checked.source),
        deployment,
        workspace_name: None,
        tool,
        version,
        vars: BTreeMap::new(),
        var_files: checked.var_files,
        env: checked.env,
        approval: if auto_approve {
            ApprovalPolicy::None
        } else {
            ApprovalPolicy::Manual { timeout: by.defaults.approval_timeout }
        },
        timeout: checked.timeout.unwrap_or(by.defaults.timeout),
        commands: CustomCommands::default(),
        init_flags: checked.init_flags,
        plan_flags: checked.plan_flags,
        source_digest: None,
        declaration_digest: None,
        state_at: None,
    };
    Ok(Order { iac, warnings })
}

/// The members, as the check of requests knows them.
fn plain(asked: NewDeployment) -> Request {
    let flags = |flags: Flags| match flags {
        Flags::Text(text) => request::Flags::Text(text),
        Flags::List(list) => request::Flags::List(list),
    };
    let env = asked.env_vars.unwrap_or_default().into_iter();
    Request {
        git_url: asked.git_url,
        git_ref: asked.git_ref,
        path: asked.path,
        tfvars_files: asked.tfvars_files.unwrap_or_default(),
        env_vars: env.map(|(name, value)| (name, Secret::new(value))).collect(),
        init_flags: asked.init_flags.map(flags),
        plan_flags: asked.plan_flags.map(flags),
        timeout: asked.timeout,
        git_auth: asked.git_auth.and_then(credentials),
    }
}

/// A client that was written for another runner may send more than is known here. That is no reason to refuse it, but
/// whoever mistyped `destroy` should hear of it.
fn warnings(request: &NewDeployment) -> Vec<String> {
    let about = |name: &String| {
        let name: String = name.chars().take(64).collect();
        // What was meant by a member of the credentials is one of theirs.
        let (outer, inner) = match name.strip_prefix(CREDENTIALS_OF) {
            Some(inner) => (CREDENTIALS_OF, inner),
            None => ("", name.as_str()),
        };
        let members = if outer.is_empty() {
            NewDeployment::MEMBERS.to_vec()
        } else {
            [GitCredentials::HTTP_MEMBERS, GitCredentials::SSH_MEMBERS].concat()
        };
        let near = members
            .into_iter()
            .map(|known| (strsim::jaro_winkler(&inner.to_ascii_lowercase(), known), known))
            // A member of the other kind of credentials is spelt right.
            .filter(|(likeness, known)| *likeness > 0.85 && *known != inner)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = near.map(|(_, known)| format!("; did you mean `{outer}{known}`?")).unwrap_or_default();
        format!("the member `{}` means nothing here and was ignored{hint}", name.escape_debug())
    };
    request.other.keys().take(20).map(about).collect()
}

/// A form that was not filled in is no credentials.
fn credentials(given: GitCredentials) -> Option<GitAuth> {
    Some(match given {
        GitCredentials::Http { username, password } if username.is_empty() && password.is_empty() => return None,
        GitCredentials::Http { username, password } => GitAuth::Http { username, password: Secret::new(password) },
        GitCredentials::Ssh { private_key, passphrase, known_hosts } => {
            GitAuth::Ssh { private_key: Secret::new(private_key), passphrase: passphrase.map(Secret::new), known_hosts }
        }
    })
}

fn version(text: Option<String>) -> Result<Option<String>, String> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    Want::parse(&text, &Place::Configuration).map_err(|error| error.to_string())?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asked(text: &str) -> Result<Order, Vec<String>> {
        asked_under(text, Consent::Requester)
    }

    fn asked_under(text: &str, consent: Consent) -> Result<Order, Vec<String>> {
        let request = serde_json::from_str(text).unwrap();
        let by = Measure { rules: &Rules::default(), defaults: &Defaults::default(), consent };
        order((request, vec![]), &by, Name::parse("new").unwrap())
            .map_err(|faults| faults.into_iter().map(|fault| fault.pointer).collect())
    }

    fn with(more: &str) -> Result<Order, Vec<String>> {
        asked(&format!(
            r#"{{"tool":"tofu","git_url":"https://git.example.org/a/b.git","git_ref":"main"{}{more}}}"#,
            if more.is_empty() { "" } else { "," }
        ))
    }

    #[test]
    fn the_least_gets_the_defaults() {
        let Order { iac, warnings } = with("").unwrap();
        assert_eq!(iac.timeout, Duration::from_secs(3600));
        assert_eq!(iac.approval, ApprovalPolicy::Manual { timeout: Duration::from_secs(24 * 3600) });
        let Source::Git(git) = &iac.source else { panic!("{iac:?}") };
        assert_eq!((git.path.to_str(), git.auth.is_none()), (Some("."), true));
        assert_eq!(iac.operation, Operation::Deploy { mode: None });
        assert!(warnings.is_empty());
        assert_eq!(with(r#""timeout":0"#).unwrap().iac.timeout, Duration::from_secs(3600));
        assert_eq!(with(r#""timeout":2"#).unwrap().iac.timeout, Duration::from_secs(120));
    }

    #[test]
    fn flags_are_split_as_a_shell_would() {
        let both = r#""init_flags":"-upgrade -backend-config='bucket=my state'","plan_flags":["-target=a b"]"#;
        let iac = with(both).unwrap().iac;
        assert_eq!(iac.init_flags, ["-upgrade", "-backend-config=bucket=my state"]);
        assert_eq!(iac.plan_flags, ["-target=a b"]);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let text = r#"{"tool":"terraform","git_url":"/etc","git_ref":"--upload-pack=x","path":"../x",
            "tfvars_files":["a.tfvars","/etc/passwd"],"init_flags":"-from-module=x","plan_flags":"-destroy",
            "timeout":20000,"version":"not one"}"#;
        let mut found = asked(text).unwrap_err();
        found.sort();
        let wanted = [
            "/git_ref",
            "/git_url",
            "/init_flags",
            "/path",
            "/plan_flags",
            "/tfvars_files/0",
            "/tfvars_files/1",
            "/timeout",
            "/version",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_means_nothing_is_ignored_and_told() {
        let warnings = with(r#""auto_aprove":true,"x":1"#).unwrap().warnings;
        assert_eq!(warnings.len(), 2);
        assert!(warnings.iter().any(|text| text.contains("did you mean `auto_approve`?")), "{warnings:?}");
        assert!(warnings.iter().any(|text| text.contains("`x`") && !text.contains("did you mean")), "{warnings:?}");
        let warnings = with(r#""git_auth.pasword":null,"git_auth.token":null"#).unwrap().warnings;
        assert!(warnings[0].ends_with("ignored; did you mean `git_auth.password`?"), "{warnings:?}");
        assert!(warnings[1].contains("`git_auth.token`") && warnings[1].ends_with("ignored"), "{warnings:?}");
    }

    #[test]
    fn what_cannot_be_read_keeps_nothing_else_from_being_told() {
        let members = serde_json::json!({
            "tool": "pulumi", "git_url": "file:///etc", "git_ref": "-x", "timeout": -1, "version": 7,
        });
        let serde_json::Value::Object(members) = members else { panic!("{members}") };
        let by = Measure { rules: &Rules::default(), defaults: &Defaults::default(), consent: Consent::Requester };
        let pointers = |members| {
            let faults = order(super::super::shape::read(members), &by, Name::parse("new").unwrap()).unwrap_err();
            faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
        };
        assert_eq!(pointers(members), ["/tool", "/timeout", "/version", "/git_ref", "/git_url"]);
        assert_eq!(pointers(serde_json::Map::new()), ["/tool", "/git_url", "/git_ref"], "each is told once");
    }

    #[test]
    fn nobody_waives_the_consent_of_somebody_else() {
        let text = |approves: bool, reference: &str| {
            format!(r#"{{"tool":"tofu","git_url":"https://h/x","git_ref":"{reference}","auto_approve":{approves}}}"#)
        };
        let refused = asked_under(&text(true, "-x"), Consent::SomebodyElse).unwrap_err();
        assert_eq!(refused, ["/git_ref", "/auto_approve"]);
        let asks = asked_under(&text(false, "main"), Consent::SomebodyElse).unwrap();
        assert!(matches!(asks.iac.approval, ApprovalPolicy::Manual { .. }));
        let waived = asked_under(&text(true, "main"), Consent::Requester).unwrap();
        assert_eq!(waived.iac.approval, ApprovalPolicy::None);
    }

    #[test]
    fn an_empty_form_is_no_credentials() {
        let of = |auth: &str| match with(&format!(r#""git_auth":{auth}"#)).unwrap().iac.source {
            Source::Git(git) => git.auth,
            _ => None,
        };
        assert_eq!(of(r#"{"type":"http","username":"","password":""}"#), None);
        let Some(GitAuth::Http { username, password }) = of(r#"{"type":"http","password":"tok3n"}"#) else { panic!() };
        assert_eq!((username.as_str(), password.expose().as_str()), ("git", "tok3n"));
    }
}
