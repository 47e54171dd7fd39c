//! Paths of the API.

use std::fmt::Write as _;

/// A name as one segment of a path.
pub fn segment(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// `path` with the parameters that have a value.
pub fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(key, value)| Some(format!("{key}={}", segment(value.as_ref()?))));
    let query: Vec<String> = given.collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

/// `/workspaces/NAME`
pub fn workspace(name: &str) -> String {
    format!("/workspaces/{}", segment(name))
}

/// `/templates/NAME`
pub fn template(name: &str) -> String {
    format!("/templates/{}", segment(name))
}

/// `/runs/ID`
pub fn run(id: &str) -> String {
    format!("/runs/{}", segment(id))
}

/// `/schedule/ID`
pub fn schedule(id: &str) -> String {
    format!("/schedule/{}", segment(id))
}

/// `/deploy/ID/WHAT`, at the root
pub fn deployment(id: &str, what: &str) -> String {
    format!("/deploy/{}/{what}", segment(id))
}

/// `/auth/users/NAME`
pub fn user(name: &str) -> String {
    format!("/auth/users/{}", segment(name))
}

/// `/auth/clients/ID`
pub fn client(id: &str) -> String {
    format!("/auth/clients/{}", segment(id))
}

/// The name of a job in paths: `NAME`, or `WORKSPACE~NAME`, which means one job whatever dots the names hold.
pub fn job_name(workspace: Option<&str>, name: &str) -> String {
    match workspace {
        Some(workspace) => segment(&format!("{workspace}~{name}")),
        None => segment(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_segment() {
        assert_eq!(workspace("web-1.x_y"), "/workspaces/web-1.x_y");
        assert_eq!(workspace("../x?y#z %"), "/workspaces/..%2Fx%3Fy%23z%20%25");
        assert_eq!(template("\u{e9}"), "/templates/%C3%A9");
        assert_eq!(job_name(Some("web"), "backup"), "web~backup");
    }

    #[test]
    fn parameters_without_value_are_left_out() {
        assert_eq!(with_query("/runs", &[("kind", None), ("state", None)]), "/runs");
        let since = Some("2026-01-01T00:00:00+01:00".to_owned());
        assert_eq!(
            with_query("/runs", &[("kind", None), ("since", since), ("limit", Some("5".into()))]),
            "/runs?since=2026-01-01T00%3A00%3A00%2B01%3A00&limit=5",
        );
    }
}
