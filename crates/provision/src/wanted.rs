//! What a request wants of one provider, read once for both of them.

use std::fmt::Write as _;

use piton_model::{Failure, FailureClass};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Map, Value};

use crate::Request;
use crate::answer::Problem;
use crate::plan::Provider;

/// A request, as far as one provider is concerned.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) request: &'a Request,
    employee: Map<String, Value>,
    /// From `applications` of this provider, over that from `payload`, over that from `payload` of this provider.
    options: Map<String, Value>,
}

/// Somebody's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) full: String,
    pub(crate) given: String,
    pub(crate) family: String,
}

impl<'a> Wanted<'a> {
    pub(crate) fn of(request: &'a Request, provider: Provider) -> Wanted<'a> {
        let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let payload = object(&request.body["payload"]);
        let mut options = Map::new();
        for name in provider.names() {
            options.extend(object(&request.body["applications"][*name]));
        }
        options.extend(payload.clone());
        for name in provider.names() {
            options.extend(payload.get(*name).map(object).unwrap_or_default());
        }
        Wanted { request, employee: object(&request.body["employee"]), options }
    }

    /// The account that it is about.
    pub(crate) fn user(&self) -> Result<String, Problem> {
        let named = text(&self.options, &["user", "account"])
            .or_else(|| text(&self.employee, &["workEmail", "work_email", "email"]));
        named.map(str::to_lowercase).ok_or_else(|| incomplete("`employee.workEmail` says whose account it is"))
    }

    pub(crate) fn names(&self) -> Result<Names, Problem> {
        let given = text(&self.employee, &["firstName", "first_name", "givenName"]);
        let family = text(&self.employee, &["lastName", "last_name", "familyName"]);
        let full = text(&self.employee, &["fullName", "full_name", "name"]);
        let (given, family) = match (given, family, full) {
            (Some(given), Some(family), _) => (given, family),
            (_, _, Some(full)) => full.rsplit_once(' ').unwrap_or((full, full)),
            _ => return Err(incomplete("`employee.fullName` says how the account is named")),
        };
        let full = full.map_or_else(|| format!("{given} {family}"), str::to_owned);
        Ok(Names { full, given: given.trim().to_owned(), family: family.to_owned() })
    }

    /// Something of the employee that may be left out.
    pub(crate) fn employee(&self, names: &[&str]) -> Option<&str> {
        text(&self.employee, names)
    }

    /// An option that may be left out.
    pub(crate) fn option(&self, names: &[&str]) -> Option<&str> {
        text(&self.options, names)
    }

    pub(crate) fn flag(&self, names: &[&str], default: bool) -> bool {
        names.iter().find_map(|name| self.options.get(*name)?.as_bool()).unwrap_or(default)
    }

    /// The items of a list, or the only one.
    pub(crate) fn list(&self, names: &[&str]) -> Vec<Value> {
        match names.iter().find_map(|name| self.options.get(*name)) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items.clone(),
            Some(only) => vec![only.clone()],
        }
    }

    pub(crate) fn texts(&self, names: &[&str]) -> Result<Vec<String>, Problem> {
        let read = |item: Value| match item {
            Value::String(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            _ => Err(incomplete(&format!("`{}` is a list of names", names[0]))),
        };
        self.list(names).into_iter().map(read).collect()
    }

    /// What is to be added and what removed, at least one of anything.
    pub(crate) fn changes(&self, noun: &str) -> Result<(Vec<Value>, Vec<Value>), Problem> {
        let (add, remove) = (format!("add_{noun}"), format!("remove_{noun}"));
        let (add, remove) = (self.list(&["add", &add]), self.list(&["remove", &remove]));
        if add.is_empty() && remove.is_empty() {
            return Err(incomplete("`payload.add` and `payload.remove` say what is changed"));
        }
        Ok((add, remove))
    }

    /// The password that the request brings, or one that nobody knows.
    pub(crate) fn password(&self) -> Result<String, Problem> {
        let given = [&self.options, &self.employee].into_iter().find_map(|map| map.get("password")?.as_str());
        if let Some(password) = given.filter(|password| !password.is_empty()) {
            return Ok(password.to_owned());
        }
        let mut bytes = [0u8; 24];
        SystemRandom::new().fill(&mut bytes).map_err(|_| {
            Problem::from(Failure::new(FailureClass::Transient, "no_randomness", "the system gave no random bytes"))
        })?;
        let mut password = String::from("Pt1!");
        for byte in bytes {
            // Writing to a text does not fail.
            let _ = write!(password, "{byte:02x}");
        }
        Ok(password)
    }
}

/// Something is missing that the provider needs.
pub(crate) fn incomplete(what: &str) -> Problem {
    Failure::new(FailureClass::Permanent, "request_incomplete", format!("the request is incomplete: {what}"))
        .hint("make a new request with it; what is sent never changes once it is accepted")
        .into()
}

/// The texts in `values`.
pub(crate) fn texts(values: &[Value], what: &str) -> Result<Vec<String>, Problem> {
    let read = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| incomplete(what));
    values.iter().map(read).collect()
}

fn text<'a>(map: &'a Map<String, Value>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| map.get(*name)?.as_str().map(str::trim).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use piton_model::JobType;

    fn request(body: Value) -> Request {
        let due = jiff::Timestamp::UNIX_EPOCH;
        Request { id: "1".into(), key: "k".into(), job_type: JobType::ModifyGroups, body, attempt: 1, due }
    }

    #[test]
    fn the_most_particular_option_wins() {
        let request = request(json!({
            "employee": {"workEmail": "Ada@Example.org", "fullName": "Ada King Lovelace"},
            "applications": {"google": true, "google-workspace": {"a": "1", "b": "1", "c": "1"}},
            "payload": {"b": "2", "c": "2", "add": "one", "google": {"c": "3"}, "microsoft": {"a": "no"}},
        }));
        let wanted = Wanted::of(&request, Provider::Google);
        assert_eq!(["a", "b", "c"].map(|name| wanted.option(&[name])), [Some("1"), Some("2"), Some("3")]);
        assert_eq!(wanted.user().unwrap(), "ada@example.org");
        assert_eq!(wanted.changes("groups").unwrap(), (vec![json!("one")], vec![]));
        let names = wanted.names().unwrap();
        assert_eq!((names.given.as_str(), names.family.as_str()), ("Ada King", "Lovelace"));
        assert_ne!(wanted.password().unwrap(), wanted.password().unwrap());
    }

    #[test]
    fn what_is_missing_is_told() {
        let request = request(json!({"employee": {"fullName": " "}, "payload": {"groups": [1]}}));
        let wanted = Wanted::of(&request, Provider::Microsoft);
        for problem in [
            wanted.user().unwrap_err(),
            wanted.names().unwrap_err(),
            wanted.changes("groups").unwrap_err(),
            wanted.texts(&["groups"]).unwrap_err(),
        ] {
            assert_eq!(problem.failure.code, "request_incomplete");
        }
    }
}
