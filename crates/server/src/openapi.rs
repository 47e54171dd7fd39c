//! The document about the routes, OpenAPI 3.1, made from the routes themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Content, Info, OpenApi, Ref, RefOr, Required, Response as Described, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::docs;
use crate::front::keyed;
use crate::route::{Kind, Permission, Table, routes};

/// What every route may answer, whatever its handler does.
const ANY: [(&str, &str); 6] = [
    ("400", "The request cannot be understood."),
    ("421", "The `Host` is none of this server's names."),
    ("429", "Too many requests."),
    ("431", "The head of the request is too large."),
    ("500", "Something broke inside Piton."),
    ("503", "Piton is overloaded, ending, or its database is away."),
];

const GUARDED: [(&str, &str); 1] = [("401", "Nobody is logged in.")];

const FORBIDDEN: (&str, &str) = ("403", "The caller's role does not allow it, or the web origin is a foreign one.");

const WITH_BODY: [(&str, &str); 4] = [
    ("408", "The body took too long."),
    ("413", "The body is too large."),
    ("415", "The body is no JSON."),
    ("422", "The body says something that cannot be done; `errors` points at it."),
];

/// What is read whole before it is begun, and remembered.
const CREATING: [(&str, &str); 4] = [
    ("408", "The body took too long."),
    ("409", "The first request with this `Idempotency-Key` is still under way."),
    ("413", "The body is too large."),
    ("422", "The `Idempotency-Key` was used for another request."),
];

const CHANGING: [(&str, &str); 2] = [("412", "The object is not as `If-Match` says."), ("507", "The disk is full.")];

const WITH_PARAMETERS: (&str, &str) = ("404", "There is no such thing.");

/// The document, as it is sent: made when somebody asks for it, because few ever do and it is large.
#[derive(Clone)]
pub(crate) struct Document(Arc<LazyLock<Written, Box<dyn FnOnce() -> Written + Send>>>);

struct Written {
    json: Bytes,
    page: Bytes,
}

impl Document {
    /// What `describe` will say, with the last touches.
    pub(crate) fn later(describe: impl FnOnce() -> OpenApi + Send + 'static) -> Document {
        Document(Arc::new(LazyLock::new(Box::new(move || {
            let value = serde_json::to_value(finish(describe())).unwrap_or_default();
            Written { json: Bytes::from(value.to_string()), page: Bytes::from(docs::page(&value)) }
        }))))
    }
}

pub(crate) fn routes() -> Table {
    Table::new().at(Permission::Public, routes!(show)).at(Permission::Public, routes!(read))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "description", responses((status = 200, body = serde_json::Value)))]
async fn show(Extension(document): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.0.json.clone()).into_response()
}

/// This document, for people.
#[utoipa::path(get, path = "/docs", tag = "description", responses((status = 200, body = String, content_type = "text/html")))]
async fn read(Extension(document): Extension<Document>) -> Response {
    docs::html(document.0.page.clone())
}

/// Completes what handlers say of themselves with what is true of all of them.
pub(crate) fn complete(path: &str, item: &mut PathItem, kind: Kind) {
    let operations = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("patch", &mut item.patch),
    ];
    for (method, operation) in operations {
        if let Some(operation) = operation {
            complete_one(method, path, operation, kind);
        }
    }
}

fn complete_one(method: &str, path: &str, operation: &mut Operation, kind: Kind) {
    let permission = kind.permission;
    let words = path.split(['/', '{', '}', '.', '-']).filter(|word| !word.is_empty());
    // Two routes whose words are the same name themselves.
    if operation.operation_id.as_ref().is_none_or(|id| !id.starts_with(&format!("{method}_"))) {
        operation.operation_id = Some(words.fold(method.to_owned(), |id, word| format!("{id}_{word}")));
    }
    let group = path.split('/').nth(1).unwrap_or_default();
    if operation.tags.as_ref().is_none_or(Vec::is_empty) {
        operation.tags = Some(vec![group.to_owned()]);
    }
    let reach = if kind.bound { "workspaces" } else { "all" };
    operation.extensions = Some(Extensions::from_iter([("x-permission", permission.as_str()), ("x-reach", reach)]));
    operation.security = Some(match permission.role() {
        None => vec![],
        Some(_) => ["bearer", "basic"].map(|name| SecurityRequirement::new(name, [""; 0])).to_vec(),
    });
    let parameters = operation.parameters.iter().flatten();
    let in_path = parameters.filter(|parameter| match parameter {
        RefOr::T(parameter) => parameter.parameter_in == ParameterIn::Path,
        RefOr::Ref(_) => false,
    });
    let named = (in_path.count() > 0).then_some(WITH_PARAMETERS);
    let guarded: &[_] = if permission.role().is_some() { &GUARDED } else { &[] };
    let with_body: &[_] = if operation.request_body.is_some() { &WITH_BODY } else { &[] };
    let creates = kind.creates && method == "post";
    let creating: &[_] = if creates { &CREATING } else { &[] };
    let changing: &[_] = if method == "get" { &[] } else { &CHANGING };
    let all = ANY.iter().chain(guarded).chain(creating).chain(with_body).chain(changing).copied();
    let all = all.chain([FORBIDDEN]).chain(named);
    if creates {
        operation.parameters.get_or_insert_default().push(RefOr::T(key_parameter()));
    }
    let responses = &mut operation.responses.responses;
    if method == "get" && is_tagged(responses) {
        responses.insert("304".to_owned(), RefOr::T(Described::new("It is as `If-None-Match` says.")));
    }
    for (status, description) in all {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Described::new(description)));
    }
    for (_, response) in responses.iter_mut().filter(|(status, _)| status.as_str() >= "400") {
        if let RefOr::T(response) = response
            && response.content.is_empty()
        {
            let problem = Ref::from_schema_name("Problem");
            response.content.insert("application/problem+json".to_owned(), RefOr::T(Content::new(Some(problem))));
        }
    }
}

/// Whether the answer is an object, which has a tag.
fn is_tagged(responses: &BTreeMap<String, RefOr<Described>>) -> bool {
    match responses.get("200") {
        Some(RefOr::T(response)) => response.content.contains_key("application/json"),
        Some(RefOr::Ref(_)) | None => false,
    }
}

fn key_parameter() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(keyed::LONGEST_KEY))
        .description(Some("Chosen by the client, such as a UUID."));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Sent again with the same key, the request is answered as the first time, and not done again.",
        ))
        .schema(Some(schema))
        .build()
}

fn finish(mut document: OpenApi) -> OpenApi {
    document.info = Info::new("Piton", env!("CARGO_PKG_VERSION"));
    document.info.description = Some("Provisions things at the right time, and keeps them running.".to_owned());
    let components = document.components.get_or_insert_with(Components::new);
    let mut schemas = vec![("Problem".to_owned(), piton_api::Problem::schema())];
    piton_api::Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    let schemes = [("bearer", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)];
    for (name, scheme) in schemes {
        let scheme = RefOr::T(SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build()));
        components.security_schemes.insert(name.to_owned(), scheme);
    }
    let lenient: BTreeSet<String> =
        components.schemas.iter().filter(|(_, schema)| needs_nothing(schema)).map(|(name, _)| name.clone()).collect();
    let mut ids = BTreeSet::new();
    for item in document.paths.paths.values_mut() {
        let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for id in all.into_iter().flatten().filter_map(|operation| operation.operation_id.as_mut()) {
            // What is at two places has two ids.
            while !ids.insert(id.clone()) {
                id.push_str("_too");
            }
        }
        for operation in [&mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten() {
            if let Some(RefOr::T(body)) = &mut operation.request_body
                && body.content.values().all(|content| may_be_left_out(content, &lenient))
            {
                body.required = Some(Required::False);
            }
        }
    }
    document
}

/// Nothing at all counts as an object without members, which these shapes take.
fn needs_nothing(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.required.is_empty())
}

fn may_be_left_out(content: &RefOr<Content>, lenient: &BTreeSet<String>) -> bool {
    let RefOr::T(content) = content else { return false };
    match &content.schema {
        Some(RefOr::Ref(named)) => named.ref_location.rsplit('/').next().is_some_and(|name| lenient.contains(name)),
        Some(inline) => needs_nothing(inline),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn document() -> Value {
        serde_json::to_value(finish(crate::table(crate::BASE, false).document())).unwrap()
    }

    fn operations(document: &Value) -> Vec<(String, &Value)> {
        let paths = document["paths"].as_object().unwrap();
        let each = paths.iter().flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(move |(method, operation)| (format!("{method} {path}"), operation))
        });
        each.collect()
    }

    #[test]
    fn every_operation_says_who_may_and_has_an_id_of_its_own() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        let mut ids = BTreeSet::new();
        for (name, operation) in operations(&document) {
            let permission = operation["x-permission"].as_str().unwrap_or_else(|| panic!("{name} has none"));
            let guarded = !operation["security"].as_array().unwrap().is_empty();
            assert_eq!(guarded, permission != "public", "{name}");
            assert!(ids.insert(operation["operationId"].to_string()), "{name}: {}", operation["operationId"]);
            assert!(operation["summary"].is_string(), "{name} says nothing of itself");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{name} never succeeds");
        }
        assert!(ids.len() > 30, "{}", ids.len());
    }

    /// Each of them is provoked in `crates/piton/tests/it`.
    #[test]
    fn what_a_handler_refuses_with_is_described() {
        let document = document();
        let operations = operations(&document);
        for (method, path, status) in [
            ("post", "/update", "409"),
            ("post", "/unregister", "409"),
            ("post", "/cronjobs/{name}", "409"),
            ("delete", "/cronjobs/{name}", "409"),
            ("post", "/cronjobs/{name}/suspend", "409"),
            ("post", "/cronjobs/{name}/resume", "409"),
            ("delete", "/schedule/{id}", "409"),
            ("post", "/schedule/{id}/execute", "409"),
            ("post", "/schedule/{id}/approve", "409"),
        ] {
            let name = format!("{method} {}{path}", crate::BASE);
            let (_, operation) = operations.iter().find(|(one, _)| *one == name).unwrap_or_else(|| panic!("{name}"));
            assert!(operation["responses"][status].is_object(), "{name}: {status}");
        }
    }

    #[test]
    fn what_is_read_from_the_query_is_described() {
        let document = document();
        let operations = operations(&document);
        for (method, path, names) in [
            ("get", "/runs", &["kind", "subject", "state", "since", "limit", "cursor"][..]),
            ("get", "/cronjobs", &["workspace", "standalone", "limit", "cursor"]),
            ("get", "/workspaces/{name}/logs", &["from", "tail"]),
            ("post", "/restart", &["name", "base", "wildcard", "wait", "rolling"]),
            ("post", "/schedule/bulk", &["atomic"]),
            ("delete", "/templates/{name}", &["force"]),
        ] {
            let name = format!("{method} {}{path}", crate::BASE);
            let (_, operation) = operations.iter().find(|(one, _)| *one == name).unwrap_or_else(|| panic!("{name}"));
            let parameters = operation["parameters"].as_array().unwrap().iter();
            let in_query = parameters.filter(|parameter| parameter["in"] == "query");
            let found: Vec<&str> = in_query.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            assert_eq!(found, names, "{name}");
        }
        for (name, operation) in &operations {
            let mut seen = BTreeSet::new();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let place = format!("{} {}", parameter["in"], parameter["name"]);
                assert!(seen.insert(place.clone()), "{name} has {place} twice");
            }
        }
    }

    #[test]
    fn a_number_that_counts_as_another_is_within_no_bounds() {
        let document = document();
        let mut bounded = vec![];
        for (name, operation) in operations(&document) {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter["in"] == "query" && !parameter["schema"]["maximum"].is_null() {
                    bounded.push(format!("{name} {}", parameter["name"].as_str().unwrap()));
                }
            }
        }
        assert_eq!(bounded, [format!("post {}/scale instances", crate::BASE)], "which is refused beyond them");
    }

    #[test]
    fn every_limit_is_taken_and_described_alike() {
        let document = document();
        let mut limits = vec![];
        for (name, operation) in operations(&document) {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            limits.extend(parameters.filter(|one| one["name"] == "limit").map(|limit| (name.clone(), limit)));
        }
        assert!(limits.len() >= 10, "{limits:?}");
        for (name, limit) in &limits {
            assert_eq!(limit["schema"], limits[0].1["schema"], "{name}");
            let words = limit["description"].as_str().unwrap();
            // Of what has no pages.
            if words.contains("all unless given. 0 counts as 1.") {
                continue;
            }
            let says = ["unless given. More than ", " counts as ", ", and 0 as 1"];
            assert!(says.iter().all(|part| words.contains(part)), "{name}: {words}");
        }
    }

    #[test]
    fn what_changes_something_is_not_public_and_not_for_viewers() {
        let document = document();
        for (name, operation) in operations(&document) {
            if !name.starts_with("get ") && !name.ends_with("/auth/login") && !name.ends_with("/auth/bootstrap") {
                let permission = operation["x-permission"].as_str().unwrap();
                assert!(
                    ["operate", "administer", "report"].contains(&permission) || name.contains("/auth/"),
                    "{name}: {permission}"
                );
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        found.insert(reference.clone());
                    }
                    members.values().for_each(|member| walk(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
                _ => {}
            }
        }
        let document = document();
        let mut references = BTreeSet::new();
        walk(&document, &mut references);
        assert!(references.len() > 15, "{references:?}");
        for reference in references {
            let place = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{reference} is missing");
        }
    }
}
