//! Parameters of the query that a route does not have.
//!
//! Who reads a part of a query does not know what others read from it. The description of the route names all of them:
//! whatever else stands in the query is a slip, and who made it has to hear of it.

use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use piton_api::Fault;
use piton_model::json_pointer;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterIn, Paths};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::problem::Refusal;
use crate::state::App;

/// The parameters that each method of a route reads from the query.
#[derive(Clone)]
pub(crate) struct Parameters {
    described: fn() -> UtoipaMethodRouter<App>,
    /// Made with the first query: the description is much larger, and most requests have none.
    known: Arc<OnceLock<Vec<(Method, Vec<String>)>>>,
}

impl Parameters {
    /// Those of the route that is described so.
    pub(crate) fn new(described: fn() -> UtoipaMethodRouter<App>) -> Parameters {
        Parameters { described, known: Arc::default() }
    }

    /// Lets a request through whose query has no others.
    pub(crate) async fn check(self, request: Request, next: Next) -> Response {
        match self.allow(request.method(), request.uri()) {
            Ok(()) => next.run(request).await,
            Err(refusal) => refusal.into_response(),
        }
    }

    fn allow(&self, method: &Method, uri: &Uri) -> Result<(), Refusal> {
        if uri.query().is_none_or(str::is_empty) {
            return Ok(());
        }
        let all = self.known.get_or_init(|| known(&(self.described)().1));
        // What is asked for its head is what is got.
        let is_it = |of: &Method| of == method || (*of == Method::GET && *method == Method::HEAD);
        let known = all.iter().find(|(of, _)| is_it(of)).map(|(_, names)| names.as_slice()).unwrap_or_default();
        let given = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|rejection| Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", rejection.body_text(), None))?;
        match given.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) => Err(unknown(name, known)),
            None => Ok(()),
        }
    }
}

fn known(paths: &Paths) -> Vec<(Method, Vec<String>)> {
    let mut known = Vec::new();
    for item in paths.paths.values() {
        let operations = [
            (Method::GET, &item.get),
            (Method::PUT, &item.put),
            (Method::POST, &item.post),
            (Method::DELETE, &item.delete),
            (Method::PATCH, &item.patch),
        ];
        known.extend(operations.into_iter().filter_map(|(method, of)| Some((method, read_by(of.as_ref()?)))));
    }
    known
}

fn read_by(operation: &Operation) -> Vec<String> {
    let in_query = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => (parameter.parameter_in == ParameterIn::Query).then(|| parameter.name.clone()),
        RefOr::Ref(_) => None,
    });
    in_query.collect()
}

fn unknown(name: &str, known: &[String]) -> Refusal {
    let detail = format!("unknown parameter `{}`", name.escape_debug());
    let hint = match known {
        [] => "nothing is read from the query here".to_owned(),
        known => format!("the parameters are {}", known.join(", ")),
    };
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", detail.clone(), Some(hint));
    refusal.at(Fault { pointer: json_pointer([name]), detail })
}

#[cfg(test)]
mod tests {
    use piton_api::Problem;
    use serde::Deserialize;
    use utoipa::IntoParams;

    use super::*;
    use crate::extract::Query;
    use crate::route::{Handlers, routes};

    #[derive(Debug, Deserialize, IntoParams)]
    #[into_params(parameter_in = Query)]
    struct First {
        #[expect(dead_code, reason = "only its name matters")]
        one: Option<u8>,
    }

    #[derive(Debug, Deserialize, IntoParams)]
    #[into_params(parameter_in = Query)]
    struct Second {
        #[expect(dead_code, reason = "only its name matters")]
        two: Option<u8>,
    }

    #[utoipa::path(get, path = "/things/{name}", params(First, Second), responses((status = 200, description = "It is well.")))]
    async fn show(Query(_): Query<First>, Query(_): Query<Second>) {}

    #[utoipa::path(post, path = "/things/{name}", responses((status = 200, description = "It is well.")))]
    async fn act() {}

    fn refused(method: &Method, query: &str) -> Option<Problem> {
        let Handlers { described, .. } = routes!(show, act);
        let uri: Uri = format!("/things/x{query}").parse().unwrap();
        Parameters::new(described).allow(method, &uri).err().map(Refusal::into_problem)
    }

    #[test]
    fn what_a_method_reads_passes() {
        for query in ["", "?", "?&", "?one=1", "?two=2&one=x", "?tw%6f=2"] {
            for method in [Method::GET, Method::HEAD] {
                assert!(refused(&method, query).is_none(), "{method} {query}");
            }
        }
        for query in ["", "?", "?&"] {
            assert!(refused(&Method::POST, query).is_none(), "{query}");
        }
    }

    #[test]
    fn what_it_does_not_read_is_refused_by_its_name() {
        for (method, query, name, pointer, hint) in [
            (Method::GET, "?one=1&three=3", "three", "/three", "the parameters are one, two"),
            (Method::GET, "?One=1", "One", "/One", "the parameters are one, two"),
            (Method::HEAD, "?=1", "", "/", "the parameters are one, two"),
            (Method::GET, "?name=x", "name", "/name", "the parameters are one, two"),
            (Method::GET, "?a/b=%0a", "a/b", "/a~1b", "the parameters are one, two"),
            (Method::POST, "?one=1", "one", "/one", "nothing is read from the query here"),
        ] {
            let problem = refused(&method, query).unwrap();
            assert_eq!((problem.status, problem.code.as_str()), (400, "invalid_query"), "{query}");
            assert_eq!(problem.detail, format!("unknown parameter `{name}`"));
            assert_eq!(problem.errors.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), [pointer]);
            assert_eq!(problem.hint.as_deref(), Some(hint), "{query}");
        }
    }
}
