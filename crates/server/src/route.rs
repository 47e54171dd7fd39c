//! The table of routes: what is there, who may ask for it, and the document about both.
//!
//! A permission is part of the route itself. There is no second list of paths that could disagree with the router about
//! case, slashes or escapes.

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Extensions;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use axum::{Extension, Router};
use piton_auth::Role;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::caller::{self, Caller, Known};
use crate::extract::{Largest, Parameters};
use crate::front::access::Asked;
use crate::front::{condition, keyed};
use crate::openapi;
use crate::problem::Refusal;
use crate::state::App;

/// Who may ask for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Anyone.
    Public,
    /// Viewers.
    Read,
    /// Operators.
    Operate,
    /// Administrators.
    Administer,
    /// Workers elsewhere, by their key; and operators.
    Report,
}

impl Permission {
    /// Its word, as the document has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Permission::Public => "public",
            Permission::Read => "read",
            Permission::Operate => "operate",
            Permission::Administer => "administer",
            Permission::Report => "report",
        }
    }

    /// The least role that has it; none where nobody needs one.
    pub(crate) fn role(self) -> Option<Role> {
        match self {
            Permission::Public => None,
            Permission::Read => Some(Role::Viewer),
            Permission::Operate | Permission::Report => Some(Role::Operator),
            Permission::Administer => Some(Role::Admin),
        }
    }

    fn check(self, request: &Extensions) -> Result<(), Refusal> {
        let Some(needed) = self.role() else { return Ok(()) };
        let caller = caller::required(request)?;
        if caller.known == Known::Worker {
            if self == Permission::Report {
                return Ok(());
            }
            let detail = "the key of workers is for reports, and for nothing else";
            return Err(Refusal::new(axum::http::StatusCode::FORBIDDEN, "forbidden", detail, None).by_code());
        }
        if caller.role >= needed {
            return Ok(());
        }
        let detail = format!("this takes the role {needed}, and you are {}", caller.role);
        Err(Refusal::new(axum::http::StatusCode::FORBIDDEN, "forbidden", detail, None).by_code())
    }
}

/// What is true of all methods of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Who may ask for it.
    pub(crate) permission: Permission,
    /// Whether its `POST` creates something.
    pub(crate) creates: bool,
    /// Whether its handlers show those who are bound to workspaces nothing else.
    pub(crate) bound: bool,
}

impl Kind {
    fn check(self, request: &Extensions) -> Result<(), Refusal> {
        self.permission.check(request)?;
        let Some(caller) = request.get::<Caller>().filter(|_| self.permission != Permission::Public) else {
            return Ok(());
        };
        if self.bound || caller.bound().is_none() {
            return Ok(());
        }
        let detail = "this is not about single workspaces, and you are bound to some";
        Err(Refusal::new(axum::http::StatusCode::FORBIDDEN, "forbidden", detail, None).by_code())
    }
}

/// Handlers of one path, and what the document says of them. That is made when somebody asks for the document: it is many
/// times larger than the handlers.
pub(crate) struct Handlers {
    pub(crate) path: String,
    pub(crate) methods: MethodRouter<App>,
    pub(crate) described: fn() -> UtoipaMethodRouter<App>,
}

/// Handlers of one path, each with its `#[utoipa::path]`.
macro_rules! routes {
    ($($first:ident)::+ $(, $($other:ident)::+)* $(,)?) => {{
        use utoipa_axum::PathItemExt as _;
        let methods = axum::routing::MethodRouter::new();
        let methods = $crate::route::routes!(@on methods, $($first)::+);
        $(let methods = $crate::route::routes!(@on methods, $($other)::+);)*
        $crate::route::Handlers {
            path: utoipa_axum::routes!(@path [path()] of $($first)::+),
            methods,
            described: || utoipa_axum::routes!($($first)::+ $(, $($other)::+)*),
        }
    }};
    (@on $methods:ident, $($handler:ident)::+) => {
        utoipa_axum::routes!(@path [methods()] of $($handler)::+)
            .iter()
            .fold($methods, |methods, method| methods.on(method.to_method_filter(), $($handler)::+))
    };
}
pub(crate) use routes;

/// Routes with their permissions and their part of the document.
#[derive(Default)]
pub(crate) struct Table {
    routes: Vec<Route>,
    below: Vec<(String, Table)>,
}

struct Route {
    kind: Kind,
    /// The largest body that is read, where that is not the one of all.
    largest: Option<usize>,
    /// What stands in the query and is no parameter of the route is refused.
    strict: bool,
    handlers: Handlers,
}

impl Table {
    pub(crate) fn new() -> Table {
        Table::default()
    }

    /// Handlers of one path, as `routes!` gives them, for those who have the permission and are not bound to workspaces.
    pub(crate) fn at(self, permission: Permission, handlers: Handlers) -> Table {
        self.add(Kind { permission, creates: false, bound: false }, None, handlers)
    }

    /// The same, also for those who are bound to workspaces: every handler looks at what it may show them ([`bound`](crate::bound)).
    pub(crate) fn bound(self, permission: Permission, handlers: Handlers) -> Table {
        self.add(Kind { permission, creates: false, bound: true }, None, handlers)
    }

    /// The same for what creates something by `POST`: asked for again under the same `Idempotency-Key`, it is not done again. Not
    /// for what answers with a secret, since the answer is kept.
    pub(crate) fn creating(self, permission: Permission, handlers: Handlers) -> Table {
        self.add(Kind { permission, creates: true, bound: false }, None, handlers)
    }

    /// The same, also for those who are bound to workspaces.
    pub(crate) fn creating_bound(self, permission: Permission, handlers: Handlers) -> Table {
        self.add(Kind { permission, creates: true, bound: true }, None, handlers)
    }

    /// The same for what takes bodies of up to `largest` bytes.
    pub(crate) fn creating_many(self, permission: Permission, largest: usize, handlers: Handlers) -> Table {
        self.add(Kind { permission, creates: true, bound: false }, Some(largest), handlers)
    }

    fn add(mut self, kind: Kind, largest: Option<usize>, handlers: Handlers) -> Table {
        self.routes.push(Route { kind, largest, strict: false, handlers });
        self
    }

    /// The same routes, which refuse what stands in the query and is no parameter of theirs.
    pub(crate) fn strict(mut self) -> Table {
        for route in &mut self.routes {
            route.strict = true;
        }
        self
    }

    pub(crate) fn merge(mut self, other: Table) -> Table {
        self.routes.extend(other.routes);
        self.below.extend(other.below);
        self
    }

    /// Everything of `other` below `base`.
    pub(crate) fn below(mut self, base: &str, other: Table) -> Table {
        match base.trim_end_matches('/') {
            "" => self.merge(other),
            base => {
                self.below.push((base.to_owned(), other));
                self
            }
        }
    }

    /// The router.
    pub(crate) fn router(self) -> Router<App> {
        let routes = self.routes.into_iter().fold(Router::new(), |router, route| {
            let Route { kind, largest, strict, handlers: Handlers { path, methods, described } } = route;
            let methods = if strict {
                let parameters = Parameters::new(described);
                methods.route_layer(from_fn(move |request, next| parameters.clone().check(request, next)))
            } else {
                methods
            };
            let guard = move |request: Request, next: Next| guard(kind, request, next);
            let methods = methods.route_layer(from_fn(guard));
            let methods = match largest {
                // Outside of the guard, which reads the body.
                Some(largest) => {
                    methods.route_layer(Extension(Largest(largest))).route_layer(DefaultBodyLimit::max(largest))
                }
                None => methods,
            };
            router.route(&path, methods)
        });
        self.below.into_iter().fold(routes, |router, (base, table)| router.nest(&base, table.router()))
    }

    /// The document about it.
    pub(crate) fn document(self) -> OpenApi {
        self.described().into_openapi()
    }

    fn described(self) -> OpenApiRouter<App> {
        let routes = self.routes.into_iter().fold(OpenApiRouter::default(), |router, route| {
            let (schemas, mut paths, _) = (route.handlers.described)();
            for (path, item) in &mut paths.paths {
                openapi::complete(path, item, route.kind);
            }
            router.routes((schemas, paths, MethodRouter::new()))
        });
        self.below.into_iter().fold(routes, |router, (base, table)| router.nest(&base, table.described()))
    }
}

async fn guard(kind: Kind, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>();
    if let (Some(caller), Some(asked)) = (caller, request.extensions().get::<Asked>()) {
        asked.tell(&caller.by);
    }
    match kind.check(request.extensions()) {
        Ok(()) if kind.creates && request.method() == Method::POST => keyed::answer(request, next).await,
        Ok(()) => condition::check(request, next).await,
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use piton_model::By;

    use super::*;

    #[test]
    fn the_document_knows_each_route_by_its_path() {
        fn check(table: &Table) -> usize {
            for Route { handlers, .. } in &table.routes {
                let (_, paths, _) = (handlers.described)();
                assert_eq!(paths.paths.keys().collect::<Vec<_>>(), [&handlers.path]);
            }
            table.routes.len() + table.below.iter().map(|(_, table)| check(table)).sum::<usize>()
        }
        assert!(check(&crate::table(crate::BASE, false)) > 30);
    }

    #[test]
    fn the_matrix_of_roles() {
        use Permission::{Administer, Operate, Public, Read, Report};
        let caller = |role| Caller::new(By::User("x".to_owned()), role, Known::Anonymous);
        let table = [
            (Public, None, 200),
            (Read, None, 401),
            (Administer, None, 401),
            (Public, Some(Role::Viewer), 200),
            (Read, Some(Role::Viewer), 200),
            (Operate, Some(Role::Viewer), 403),
            (Administer, Some(Role::Viewer), 403),
            (Operate, Some(Role::Operator), 200),
            (Administer, Some(Role::Operator), 403),
            (Administer, Some(Role::Admin), 200),
            (Report, None, 401),
            (Report, Some(Role::Viewer), 403),
            (Report, Some(Role::Operator), 200),
        ];
        for (permission, role, wanted) in table {
            let mut request = Extensions::new();
            role.map(caller).map(|caller| request.insert(caller));
            let found = permission.check(&request).map_or_else(|no| no.into_problem().status, |()| 200);
            assert_eq!(found, wanted, "{permission:?} for {role:?}");
        }
        let mut worker = Extensions::new();
        worker.insert(Caller::new(By::Client("worker".to_owned()), Role::Viewer, Known::Worker));
        for permission in [Public, Read, Operate, Administer, Report] {
            let may = permission.check(&worker).is_ok();
            assert_eq!(may, matches!(permission, Public | Report), "{permission:?} for a worker");
        }
    }
}
