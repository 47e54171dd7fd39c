//! Parameters of the query: values, or which of them is wrong and what it may be.
//!
//! What a parameter may be is read from its description in the OpenAPI document, so that there is one place that says it.
//! Which parameters there are, the route knows (`route::parameters`).

use std::error::Error as _;

use axum::extract::FromRequestParts;
use axum::extract::rejection::QueryRejection;
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use piton_api::Fault;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::IntoParams;
use utoipa::openapi::path::ParameterIn;

use super::pointer;
use crate::problem::Refusal;

/// What the reader of numbers says of a text that is none. What it wants, it does not say.
const NO_NUMBER: [&str; 2] = ["invalid digit found in string", "cannot parse integer from empty string"];

/// Parameters of the query.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        read(&parts.uri).map(Query)
    }
}

/// A parameter whose value is none that it takes.
pub(crate) fn wrong(parameter: &str, detail: impl Into<String>, hint: Option<String>) -> Refusal {
    at(parameter, Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", detail, hint))
}

/// `cursor` is nothing that a list has given.
pub(crate) fn wrong_cursor() -> Refusal {
    let hint = "give what the page before gave as `next`, or no cursor for the first page".to_owned();
    let detail = "the cursor is not one that a list gave";
    at("cursor", Refusal::new(StatusCode::BAD_REQUEST, "invalid_cursor", detail, Some(hint)))
}

fn at(parameter: &str, refusal: Refusal) -> Refusal {
    let detail = refusal.detail().to_owned();
    refusal.at(Fault { pointer: format!("/{parameter}"), detail })
}

fn read<T: DeserializeOwned + IntoParams>(uri: &Uri) -> Result<T, Refusal> {
    let read = axum::extract::Query::<T>::try_from_uri(uri);
    read.map(|axum::extract::Query(value)| value).map_err(|rejection| unreadable::<T>(&rejection))
}

type Cause = serde_path_to_error::Error<serde::de::value::Error>;

fn cause(rejection: &QueryRejection) -> Option<&Cause> {
    std::iter::successors(rejection.source(), |&error| error.source()).find_map(|error| error.downcast_ref())
}

fn unreadable<T: IntoParams>(rejection: &QueryRejection) -> Refusal {
    let known = T::into_params(|| Some(ParameterIn::Query));
    let known: Vec<Value> = known.iter().filter_map(|parameter| serde_json::to_value(parameter).ok()).collect();
    let (place, problem) = match cause(rejection) {
        Some(error) => (pointer(error.path()), error.inner().to_string()),
        None => (String::new(), rejection.body_text()),
    };
    // What is missing or stands twice is told without its place.
    let is_meant = |name: &str| match place.strip_prefix('/') {
        Some(place) => place == name,
        None => problem.contains(&format!("`{name}`")),
    };
    let meant = known.iter().find(|parameter| parameter["name"].as_str().is_some_and(is_meant));
    if let Some(parameter) = meant
        && let Some(name) = parameter["name"].as_str()
    {
        let problem =
            if NO_NUMBER.contains(&problem.as_str()) { format!("expected {}", kind(parameter)) } else { problem };
        return wrong(name, format!("parameter `{name}`: {problem}"), Some(allowed(name, parameter)));
    }
    let names: Vec<&str> = known.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
    let hint = format!("the parameters are {}", names.join(", "));
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", problem, Some(hint))
}

/// What a parameter may be, and what it is for.
fn allowed(name: &str, parameter: &Value) -> String {
    let about: Vec<&str> = parameter["description"].as_str().unwrap_or_default().split_whitespace().collect();
    format!("`{name}` is {}. {}", kind(parameter), about.join(" ")).trim_end().to_owned()
}

/// What a parameter may be, in words.
fn kind(parameter: &Value) -> String {
    let schema = &parameter["schema"];
    let kinds = &schema["type"];
    let is = |kind: &str| *kinds == kind || kinds.as_array().is_some_and(|kinds| kinds.iter().any(|one| *one == kind));
    let words = words(schema);
    if !words.is_empty() {
        format!("one of {}", words.join(", "))
    } else if is("integer") {
        match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
            (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
            (Some(least), None) => format!("a whole number, {least} or more"),
            (None, Some(most)) => format!("a whole number up to {most}"),
            (None, None) => "a whole number".to_owned(),
        }
    } else if is("boolean") {
        "`true` or `false`".to_owned()
    } else if schema["format"] == "date-time" {
        "a time such as `2026-05-01T09:00:00Z`".to_owned()
    } else {
        "a text".to_owned()
    }
}

/// The words of an enumeration, which is one of several shapes where it may be null or has a title of its own.
fn words(schema: &Value) -> Vec<String> {
    let within = ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|of| schema[of].as_array()).flatten();
    let words = std::iter::once(schema).chain(within).filter_map(|shape| shape["enum"].as_array()).flatten();
    words.filter_map(Value::as_str).map(|word| format!("`{word}`")).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde::Deserialize;
    use serde_json::json;
    use utoipa::ToSchema;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    enum Stream {
        Stdout,
        Stderr,
    }

    #[derive(Debug, Deserialize, utoipa::IntoParams)]
    #[into_params(parameter_in = Query)]
    struct Wanted {
        /// How many at most.
        #[param(minimum = 1, maximum = 1000)]
        limit: Option<usize>,
        /// Submitted at this time or later.
        since: Option<Timestamp>,
        /// All of them or none.
        #[serde(default)]
        atomic: bool,
        /// Only what went there.
        #[param(inline)]
        stream: Option<Stream>,
    }

    fn problem(query: &str) -> piton_api::Problem {
        let uri: Uri = format!("/things?{query}").parse().unwrap();
        read::<Wanted>(&uri).unwrap_err().into_problem()
    }

    #[test]
    fn a_refusal_names_the_parameter_and_what_it_may_be() {
        let table = [
            (
                "limit=abc",
                "/limit",
                "parameter `limit`: expected a whole number from 1 to 1000",
                "a whole number from 1 to 1000. How many at most.",
            ),
            ("limit=", "/limit", "expected a whole number", "from 1 to 1000"),
            ("limit=-1", "/limit", "expected a whole number", "from 1 to 1000"),
            ("limit=99999999999999999999", "/limit", "too large", "from 1 to 1000"),
            ("limit=1&limit=2", "/limit", "duplicate field `limit`", "from 1 to 1000"),
            ("since=yesterday", "/since", "parameter `since`: ", "2026-05-01T09:00:00Z"),
            ("atomic=yes", "/atomic", "`true` or `false`", "`atomic` is `true` or `false`. All of them or none."),
            (
                "stream=x",
                "/stream",
                "unknown variant `x`",
                "`stream` is one of `stdout`, `stderr`. Only what went there.",
            ),
            ("stream=", "/stream", "unknown variant ``", "one of `stdout`, `stderr`"),
        ];
        for (query, pointer, detail, hint) in table {
            let problem = problem(query);
            assert_eq!((problem.status, problem.code.as_str()), (400, "invalid_query"), "{query}");
            assert_eq!(problem.errors.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), [pointer]);
            assert!(problem.detail.contains(detail), "{query}: {}", problem.detail);
            assert!(problem.hint.as_ref().is_some_and(|given| given.contains(hint)), "{query}: {:?}", problem.hint);
        }
        let uri: Uri = "/things?limit=7&atomic=true&stream=stderr".parse().unwrap();
        let read = read::<Wanted>(&uri).unwrap();
        assert_eq!((read.limit, read.since, read.atomic, read.stream), (Some(7), None, true, Some(Stream::Stderr)));
    }

    #[test]
    fn the_words_of_an_enumeration_are_found_in_each_shape_of_it() {
        let plain = json!({ "type": "string", "enum": ["a", "b"] });
        for (schema, wanted) in [
            (plain.clone(), &["`a`", "`b`"][..]),
            (json!({ "type": ["string", "null"], "enum": ["a", null] }), &["`a`"]),
            (json!({ "oneOf": [plain, { "type": "null" }] }), &["`a`", "`b`"]),
            (json!({ "allOf": [plain, { "title": "Which" }] }), &["`a`", "`b`"]),
            (json!({ "type": "string" }), &[]),
        ] {
            assert_eq!(words(&schema), wanted, "{schema}");
        }
    }

    #[test]
    fn a_cursor_is_named_too() {
        let problem = wrong_cursor().into_problem();
        assert_eq!((problem.code.as_str(), problem.errors[0].pointer.as_str()), ("invalid_cursor", "/cursor"));
    }
}
