//! Which parameters the query of a route has. Any other is refused: whoever sends one believes that it does something,
//! such as a `digest` that is to be compared before a plan is approved.
//!
//! They are read from the description of the route, which names all that its handler reads, so that a new route need
//! not think of it. A wrong value is refused by whoever reads it ([`Query`](crate::extract::Query)).

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::extract::Query;
use axum::http::{Method, StatusCode, Uri};
use piton_api::Fault;
use piton_model::json_pointer;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{Content, RefOr, Schema};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::problem::Refusal;
use crate::state::App;

/// How much of a name is repeated.
const SHOWN: usize = 64;

/// Nobody mends more at once, and an address has room for thousands.
const MOST: usize = 50;

/// How deep the members of a body are looked for: a shape may be made from others, and these from others.
const DEEPEST: u8 = 4;

/// The parameters of all methods of a route, found out when somebody first sends one: the description is large. Clones
/// share them.
#[derive(Clone)]
pub(super) struct Parameters {
    described: fn() -> UtoipaMethodRouter<App>,
    known: Arc<OnceLock<Vec<(Method, Taken)>>>,
}

/// What one method takes.
#[derive(Debug, Default)]
struct Taken {
    query: Vec<String>,
    /// Members of the body, which are easily sent in the wrong place.
    body: BTreeSet<String>,
}

impl Parameters {
    pub(super) fn of(described: fn() -> UtoipaMethodRouter<App>) -> Parameters {
        Parameters { described, known: Arc::default() }
    }

    /// Refuses a query with parameters that the route does not have, by their names.
    pub(super) fn check(&self, method: &Method, uri: &Uri) -> Result<(), Refusal> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(());
        }
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|rejection| Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", rejection.body_text(), None))?;
        let nothing = Taken::default();
        let taken = self.taken(method).unwrap_or(&nothing);
        let mut unknown: Vec<&str> = vec![];
        for (name, _) in &given {
            if !taken.query.contains(name) && !unknown.contains(&name.as_str()) {
                unknown.push(name);
            }
            if unknown.len() == MOST {
                break;
            }
        }
        if unknown.is_empty() { Ok(()) } else { Err(taken.refuse(&unknown)) }
    }

    fn taken(&self, method: &Method) -> Option<&Taken> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let known = self.known.get_or_init(|| read(self.described));
        known.iter().find(|(one, _)| one == method).map(|(_, taken)| taken)
    }
}

fn read(described: fn() -> UtoipaMethodRouter<App>) -> Vec<(Method, Taken)> {
    let (schemas, paths, _) = described();
    let mut found = vec![];
    for item in paths.paths.values() {
        let operations = [
            (Method::GET, &item.get),
            (Method::PUT, &item.put),
            (Method::POST, &item.post),
            (Method::DELETE, &item.delete),
            (Method::PATCH, &item.patch),
        ];
        for (method, operation) in operations {
            found.extend(operation.as_ref().map(|operation| (method, Taken::of(operation, &schemas))));
        }
    }
    found
}

impl Taken {
    fn of(operation: &Operation, schemas: &[(String, RefOr<Schema>)]) -> Taken {
        let mut taken = Taken::default();
        for parameter in operation.parameters.iter().flatten() {
            if let RefOr::T(parameter) = parameter
                && parameter.parameter_in == ParameterIn::Query
            {
                taken.query.push(parameter.name.clone());
            }
        }
        if let Some(RefOr::T(body)) = &operation.request_body {
            for content in body.content.values() {
                if let RefOr::T(Content { schema: Some(schema), .. }) = content {
                    gather(schema, schemas, DEEPEST, &mut taken.body);
                }
            }
        }
        taken
    }

    fn refuse(&self, unknown: &[&str]) -> Refusal {
        let shown: Vec<String> = unknown.iter().map(|name| shown(name)).collect();
        let detail = match shown.as_slice() {
            [one] => format!("there is no parameter `{one}`"),
            several => format!("there are no parameters `{}`", several.join("`, `")),
        };
        let misplaced = unknown.iter().filter(|name| self.body.contains(**name));
        let mut hints: Vec<String> = misplaced.map(|name| format!("`{name}` belongs in the body")).collect();
        hints.push(if self.query.is_empty() {
            "nothing is read from the query here".to_owned()
        } else {
            format!("the parameters are {}", self.query.join(", "))
        });
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", detail, Some(hints.join("; ")));
        shown.iter().fold(refusal, |refusal, name| {
            refusal.at(Fault { pointer: json_pointer([name]), detail: format!("there is no parameter `{name}`") })
        })
    }
}

fn shown(name: &str) -> String {
    name.chars().take(SHOWN).collect::<String>().escape_debug().to_string()
}

/// The members of a shape, and of those that it is made from.
fn gather(schema: &RefOr<Schema>, schemas: &[(String, RefOr<Schema>)], depth: u8, found: &mut BTreeSet<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let parts = match schema {
        RefOr::Ref(named) => {
            let name = named.ref_location.rsplit('/').next();
            for (_, schema) in schemas.iter().filter(|(known, _)| Some(known.as_str()) == name) {
                gather(schema, schemas, depth, found);
            }
            return;
        }
        RefOr::T(Schema::Object(object)) => {
            found.extend(object.properties.keys().cloned());
            return;
        }
        RefOr::T(Schema::AllOf(all)) => &all.items,
        RefOr::T(Schema::OneOf(one)) => &one.items,
        RefOr::T(Schema::AnyOf(any)) => &any.items,
        RefOr::T(_) => return,
    };
    for part in parts {
        gather(part, schemas, depth, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Table;

    /// The handlers of every route, by its path without the base.
    fn every(table: &Table) -> Vec<(String, Parameters)> {
        let own = table.routes.iter().map(|route| {
            let handlers = &route.handlers;
            (handlers.path.clone(), Parameters::of(handlers.described))
        });
        own.chain(table.below.iter().flat_map(|(_, table)| every(table))).collect()
    }

    fn refused(method: &Method, path: &str, query: &str) -> Option<piton_api::Problem> {
        let routes = every(&crate::table(crate::BASE, false));
        // Two routes may differ in nothing but their methods.
        let mut of_path = routes.iter().filter(|(known, _)| known == path);
        let (_, route) = of_path.find(|(_, route)| route.taken(method).is_some()).unwrap();
        route.check(method, &format!("/x?{query}").parse().unwrap()).err().map(Refusal::into_problem)
    }

    #[test]
    fn no_method_of_any_route_takes_what_it_does_not_describe() {
        let mut methods = 0;
        for (path, route) in every(&crate::table(crate::BASE, false)) {
            let known = route.known.get_or_init(|| read(route.described));
            for (method, taken) in known {
                methods += 1;
                let uri: Uri = "/x?no-such-parameter=1".parse().unwrap();
                let problem = route.check(method, &uri).unwrap_err().into_problem();
                assert_eq!((problem.status, problem.code.as_str()), (400, "invalid_query"), "{method} {path}");
                let own: Vec<String> = taken.query.iter().map(|name| format!("{name}=1")).collect();
                let uri: Uri = format!("/x?{}", own.join("&")).parse().unwrap();
                assert!(route.check(method, &uri).is_ok(), "{method} {path}: {own:?}");
            }
        }
        assert!(methods > 60, "{methods}");
    }

    #[test]
    fn what_is_refused_is_named_with_its_place() {
        let problem = refused(&Method::POST, "/deploy/{id}/approve", "digest=abc").unwrap();
        assert_eq!(problem.detail, "there is no parameter `digest`");
        assert_eq!(
            problem.hint.as_deref(),
            Some("`digest` belongs in the body; nothing is read from the query here"),
            "or the approver takes the digest for compared"
        );
        let pointers = |problem: &piton_api::Problem| -> Vec<String> {
            problem.errors.iter().map(|fault| fault.pointer.clone()).collect()
        };
        assert_eq!(pointers(&problem), ["/digest"]);
        let problem = refused(&Method::POST, "/deploy", "auto_approve=true&x=1&x=2&a/b").unwrap();
        assert_eq!(pointers(&problem), ["/auto_approve", "/x", "/a~1b"]);
        assert!(problem.detail.contains("`auto_approve`, `x`, `a/b`"), "{}", problem.detail);
        assert!(problem.hint.unwrap().starts_with("`auto_approve` belongs in the body; "));
        let problem = refused(&Method::POST, "/stop", "wait=2s&nme=web").unwrap();
        assert_eq!(pointers(&problem), ["/nme"], "of several descriptions each is known");
        assert_eq!(problem.hint.as_deref(), Some("the parameters are name, base, wildcard, wait"));
        let problem = refused(&Method::DELETE, "/templates/{name}", "forced=true").unwrap();
        assert_eq!(problem.hint.as_deref(), Some("the parameters are force"));
        assert!(!refused(&Method::POST, "/deploy", &"x".repeat(4000)).unwrap().detail.contains(&"x".repeat(65)));
        let many: Vec<String> = (0..1000).map(|number| format!("x{number}")).collect();
        assert_eq!(pointers(&refused(&Method::POST, "/deploy", &many.join("&")).unwrap()).len(), MOST);
    }

    #[test]
    fn what_is_known_or_nothing_passes() {
        for (method, path, query) in [
            (Method::POST, "/deploy/{id}/approve", ""),
            (Method::POST, "/deploy/{id}/approve", "&"),
            (Method::POST, "/stop", "name=web&wait=2s"),
            (Method::POST, "/schedule/bulk", "atomic=true"),
            (Method::GET, "/deploy", "limit=x"),
            (Method::HEAD, "/deploy", "limit=1"),
            (Method::GET, "/cronjobs", "workspace=web&limit=1"),
        ] {
            assert!(refused(&method, path, query).is_none(), "{method} {path}?{query}");
        }
    }
}
