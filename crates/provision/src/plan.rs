//! Who is called for a request: a pure function of what it names and what is configured.

use piton_model::{Failure, FailureClass};
use serde_json::{Map, Value};

use piton_model::JobType;

use crate::Request;

/// Someone who can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    Google,
    Microsoft,
}

impl Provider {
    /// The names of its applications, in requests.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Provider::Google => &["google", "google-workspace"],
            Provider::Microsoft => &["microsoft", "microsoft-365"],
        }
    }
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    /// Post this to the HTTP target.
    Http(Value),
    /// Ask this provider.
    Provider(Provider),
}

/// What is configured.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Configured {
    pub(crate) http: bool,
    pub(crate) google: bool,
    pub(crate) microsoft: bool,
}

/// What is to be done for `request`, in this order: the HTTP target first, for all that no adapter takes.
///
/// An adapter takes the applications of its names that are switched on, and the HTTP target does not see them. So
/// nothing is done twice, and what is sent is the same at each attempt.
pub(crate) fn plan(request: &Request, configured: Configured) -> Result<Vec<Call>, Failure> {
    // Other programs write rows, too.
    for (key, column) in [("employee", "employee_data"), ("applications", "applications")] {
        if !matches!(request.body.get(key), None | Some(Value::Null | Value::Object(_))) {
            let message = format!("the request is incomplete: `{column}` is no object");
            return Err(Failure::new(FailureClass::Permanent, "request_incomplete", message)
                .hint("make a new request; what is sent never changes once it is accepted"));
        }
    }
    let mut body = request.body.clone();
    let mut calls = Vec::new();
    let mut providers = Vec::new();
    let mut rest = true;
    if let Some(applications) = body.get_mut("applications").and_then(Value::as_object_mut) {
        for (provider, on) in [(Provider::Google, configured.google), (Provider::Microsoft, configured.microsoft)] {
            if on && take(applications, provider) {
                providers.push(Call::Provider(provider));
            }
        }
        let others = applications.values().any(is_on);
        rest = others || providers.is_empty();
        if rest && !configured.http {
            return Err(no_target(request.job_type, applications));
        }
    } else if !configured.http {
        return Err(no_target(request.job_type, &Map::new()));
    }
    if rest {
        calls.push(Call::Http(body));
    }
    calls.append(&mut providers);
    Ok(calls)
}

/// Takes the applications of `provider` out, and tells whether one of them was switched on.
fn take(applications: &mut Map<String, Value>, provider: Provider) -> bool {
    let taken = provider.names().iter().filter_map(|name| applications.remove(*name));
    taken.filter(is_on).count() > 0
}

fn is_on(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

fn no_target(job_type: JobType, applications: &Map<String, Value>) -> Failure {
    let names: Vec<&str> =
        applications.iter().filter(|(_, value)| is_on(value)).map(|(name, _)| name.as_str()).collect();
    let what =
        if names.is_empty() { "no application is named".to_owned() } else { format!("for {}", names.join(", ")) };
    Failure::new(FailureClass::Permanent, "no_target", format!("nobody is configured to {job_type} ({what})")).hint(
        format!(
            "set `provisioning.api_url` or `provisioning.webhooks.{job_type}`, or name an application whose provider is \
             configured"
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: Configured = Configured { http: true, google: true, microsoft: true };

    fn planned(applications: &Value, configured: Configured) -> Result<Vec<Call>, String> {
        let request = Request {
            id: "1".to_owned(),
            key: "k".to_owned(),
            job_type: JobType::Provision,
            body: json!({"applications": applications}),
            attempt: 1,
            due: jiff::Timestamp::UNIX_EPOCH,
        };
        plan(&request, configured).map_err(|failure| failure.code)
    }

    fn http(applications: Value) -> Call {
        Call::Http(json!({"applications": applications}))
    }

    #[test]
    fn adapters_take_what_is_theirs_and_the_target_the_rest_first() {
        let (google, microsoft) = (Call::Provider(Provider::Google), Call::Provider(Provider::Microsoft));
        let both = json!({"google": true, "microsoft-365": {"groups": []}});
        let three = json!({"google": true, "google-workspace": {}, "slack": true, "microsoft": false});
        for (applications, configured, calls) in [
            (&both, ALL, vec![google.clone(), microsoft.clone()]),
            (&both, Configured { google: false, ..ALL }, vec![http(json!({"google": true})), microsoft.clone()]),
            (&both, Configured { http: true, ..Configured::default() }, vec![http(both.clone())]),
            (&three, ALL, vec![http(json!({"slack": true})), google.clone()]),
            (&json!({"google": true, "slack": false}), ALL, vec![google.clone()]),
            (&json!({"google": false}), ALL, vec![http(json!({}))]),
            (&json!({}), ALL, vec![http(json!({}))]),
            (&json!(null), ALL, vec![http(json!(null))]),
        ] {
            assert_eq!(planned(applications, configured), Ok(calls), "{applications}");
        }
        for applications in [json!(["google"]), json!("google"), json!(true)] {
            assert_eq!(planned(&applications, ALL), Err("request_incomplete".to_owned()), "{applications}");
        }
    }

    #[test]
    fn nothing_is_begun_that_nobody_can_finish() {
        let providers = Configured { http: false, ..ALL };
        assert_eq!(planned(&json!({"google": true, "slack": true}), providers), Err("no_target".to_owned()));
        assert_eq!(planned(&json!({}), providers), Err("no_target".to_owned()));
        assert_eq!(planned(&Value::Null, Configured::default()), Err("no_target".to_owned()));
        assert_eq!(planned(&json!({"google": true}), providers).map(|calls| calls.len()), Ok(1));
    }
}
