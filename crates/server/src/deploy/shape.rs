//! The members of a request, each by itself: whoever has several wrong hears of all of them at once, in words of JSON. Pure.

use std::collections::BTreeMap;

use piton_api::{DeployTool, Fault, Flags, GitCredentials, NewDeployment};
use piton_model::json_pointer;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::extract::pointer;

/// The request that the members are, and all that is wrong with their types. What cannot be read is not there in the request,
/// or stands empty, so that the rest of it can be judged.
pub(super) fn read(members: Map<String, Value>) -> (NewDeployment, Vec<Fault>) {
    let mut reader = Reader { members, faults: Vec::new() };
    let tool = reader.required("tool", "`tofu` or `terraform`").unwrap_or(DeployTool::Tofu);
    let git_url: String = reader.required("git_url", TEXT).unwrap_or_default();
    let git_ref: String = reader.required("git_ref", TEXT).unwrap_or_default();
    let path = reader.optional("path", TEXT);
    let env_vars = reader.object("env_vars", OBJECT);
    let tfvars_files = reader.list("tfvars_files", LIST);
    let init_flags = reader.list::<Flags>("init_flags", FLAGS);
    let plan_flags = reader.list::<Flags>("plan_flags", FLAGS);
    let timeout = reader.optional("timeout", "a whole number of minutes, 0 or more");
    let auto_approve = reader.optional("auto_approve", BOOL);
    let strange = reader.strange_credentials();
    let git_auth = reader.optional::<GitCredentials>("git_auth", CREDENTIALS);
    let version = reader.optional("version", TEXT);
    let destroy = reader.optional("destroy", BOOL);
    let Reader { members, faults } = reader;
    let request = NewDeployment {
        path,
        env_vars,
        tfvars_files,
        init_flags,
        plan_flags,
        timeout,
        auto_approve,
        git_auth,
        version,
        destroy,
        other: members.into_iter().chain(strange).collect::<BTreeMap<_, _>>(),
        ..NewDeployment::new(tool, git_url, git_ref)
    };
    (request, faults)
}

const TEXT: &str = "text";
const LIST: &str = "a list of texts";
const OBJECT: &str = "an object whose values are text";
const BOOL: &str = "`true` or `false`";
const FLAGS: &str = "text, or a list of texts";
const CREDENTIALS: &str =
    "`{\"type\": \"http\", \"username\", \"password\"}` or `{\"type\": \"ssh\", \"private_key\"}`, all of them text";

/// How a member of the credentials is called that means nothing.
pub(super) const CREDENTIALS_OF: &str = "git_auth.";

/// Nobody mends more of one member at once.
const MOST: usize = 50;

struct Reader {
    members: Map<String, Value>,
    faults: Vec<Fault>,
}

impl Reader {
    fn required<T: DeserializeOwned>(&mut self, name: &str, wanted: &str) -> Option<T> {
        let value = self.optional(name, wanted);
        let pointer = format!("/{name}");
        if value.is_none() && self.faults.iter().all(|fault| fault.pointer != pointer) {
            self.faults.push(Fault { pointer, detail: format!("is missing; it must be {wanted}") });
        }
        value
    }

    /// What is null is not there.
    fn optional<T: DeserializeOwned>(&mut self, name: &str, wanted: &str) -> Option<T> {
        let value = self.members.remove(name).filter(|value| !value.is_null())?;
        match serde_path_to_error::deserialize(value) {
            Ok(value) => Some(value),
            Err(error) => {
                let pointer = format!("/{name}{}", pointer(error.path()));
                self.faults.push(Fault { pointer, detail: format!("must be {wanted}") });
                None
            }
        }
    }

    /// The members of the credentials that these do not have, such as a `token`, each as `git_auth.NAME`. What they hold
    /// may be secret, and is not kept.
    fn strange_credentials(&self) -> Vec<(String, Value)> {
        let Some(given) = self.members.get("git_auth").and_then(Value::as_object) else { return Vec::new() };
        let known = match given.get("type").and_then(Value::as_str) {
            Some("http") => GitCredentials::HTTP_MEMBERS,
            Some("ssh") => GitCredentials::SSH_MEMBERS,
            // That is a fault of its own.
            _ => return Vec::new(),
        };
        let strange = given.keys().filter(|name| *name != "type" && !known.contains(&name.as_str()));
        strange.map(|name| (format!("{CREDENTIALS_OF}{name}"), Value::Null)).collect()
    }

    /// The same; of a list, each part that is no text is told.
    fn list<T: DeserializeOwned>(&mut self, name: &str, wanted: &str) -> Option<T> {
        let items = self.members.get(name).and_then(Value::as_array).into_iter().flatten().enumerate();
        let wrong = items.filter(|(_, item)| !item.is_string()).map(|(index, _)| index.to_string());
        let wrong: Vec<String> = wrong.take(MOST).collect();
        self.parts(name, wanted, &wrong)
    }

    /// The same; of an object, each member that is no text is told.
    fn object<T: DeserializeOwned>(&mut self, name: &str, wanted: &str) -> Option<T> {
        let members = self.members.get(name).and_then(Value::as_object).into_iter().flatten();
        let wrong = members.filter(|(_, value)| !value.is_string()).map(|(member, _)| member.clone());
        let wrong: Vec<String> = wrong.take(MOST).collect();
        self.parts(name, wanted, &wrong)
    }

    fn parts<T: DeserializeOwned>(&mut self, name: &str, wanted: &str, wrong: &[String]) -> Option<T> {
        if wrong.is_empty() {
            return self.optional(name, wanted);
        }
        self.members.remove(name);
        let faults = wrong
            .iter()
            .map(|part| Fault { pointer: json_pointer([name, part.as_str()]), detail: "must be text".to_owned() });
        self.faults.extend(faults);
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(value: Value) -> Vec<String> {
        let Value::Object(members) = value else { panic!("{value}") };
        read(members).1.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        assert_eq!(pointers(json!({})), ["/tool", "/git_url", "/git_ref"]);
        let wrong = json!({"tool": "make", "git_url": 1, "git_ref": null, "env_vars": {"A": 1, "B": "b", "C/D": null},
            "tfvars_files": ["a", 2, []], "init_flags": {}, "plan_flags": ["-refresh=false", 7],
            "timeout": -1, "auto_approve": "yes", "git_auth": "x"});
        let places = [
            "/tool",
            "/git_url",
            "/git_ref",
            "/env_vars/A",
            "/env_vars/C~1D",
            "/tfvars_files/1",
            "/tfvars_files/2",
            "/init_flags",
            "/plan_flags/1",
            "/timeout",
            "/auto_approve",
            "/git_auth",
        ];
        assert_eq!(pointers(wrong), places);
        let wrong =
            json!({"tool": "tofu", "git_url": "https://x/y", "git_ref": "main", "env_vars": [1], "tfvars_files": {}});
        assert_eq!(pointers(wrong), ["/env_vars", "/tfvars_files"]);
    }

    #[test]
    fn credentials_that_mean_nothing_are_kept_apart_without_what_they_hold() {
        let strange = |auth: Value| -> Vec<String> {
            let given = json!({"tool": "tofu", "git_url": "https://x/y", "git_ref": "main", "git_auth": auth});
            let Value::Object(members) = given else { panic!() };
            let other = read(members).0.other;
            assert!(other.values().all(Value::is_null), "{other:?}");
            other.into_keys().collect()
        };
        assert_eq!(strange(json!({"type": "http", "username": "u", "token": "t0ken"})), ["git_auth.token"]);
        assert_eq!(strange(json!({"type": "ssh", "private_key": "k", "password": "p"})), ["git_auth.password"]);
        assert_eq!(strange(json!({"type": "http", "username": "u", "password": "p"})), [""; 0]);
        assert_eq!(strange(json!({"type": "odd", "x": 1})), [""; 0], "that is refused");
    }

    #[test]
    fn what_means_nothing_is_kept_apart() {
        let given = json!({"tool": "tofu", "git_url": "https://x/y", "git_ref": "main", "version": null, "x": 1});
        let Value::Object(members) = given else { panic!() };
        let (read, faults) = read(members);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!((read.version, read.other.into_keys().collect::<Vec<_>>()), (None, vec!["x".to_owned()]));
    }
}
