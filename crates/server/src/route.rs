//! The table of routes: what is there, who may ask for it, and the document about both.
//!
//! A permission is part of the route itself. There is no second list of paths that could disagree with the router about
//! case, slashes or escapes.

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::Extensions;
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use piton_auth::Role;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::caller::{self, Caller, Known};
use crate::extract::Largest;
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
}

/// Routes with their permissions and their part of the document.
pub(crate) struct Table(OpenApiRouter<App>);

impl Table {
    pub(crate) fn new() -> Table {
        Table(OpenApiRouter::default())
    }

    /// Handlers of one path, as `routes!` gives them, for those who have the permission.
    pub(crate) fn at(self, permission: Permission, routes: UtoipaMethodRouter<App>) -> Table {
        self.add(Kind { permission, creates: false }, routes)
    }

    /// The same for what creates something by `POST`: asked for again under the same `Idempotency-Key`, it is not done again. Not
    /// for what answers with a secret, since the answer is kept.
    pub(crate) fn creating(self, permission: Permission, routes: UtoipaMethodRouter<App>) -> Table {
        self.add(Kind { permission, creates: true }, routes)
    }

    /// The same for what takes bodies of up to `largest` bytes.
    pub(crate) fn creating_many(
        self,
        permission: Permission,
        largest: usize,
        routes: UtoipaMethodRouter<App>,
    ) -> Table {
        let (schemas, paths, methods) = guarded(Kind { permission, creates: true }, routes);
        // Outside of the guard, which reads the body.
        let methods = methods.route_layer(Extension(Largest(largest))).route_layer(DefaultBodyLimit::max(largest));
        Table(self.0.routes((schemas, paths, methods)))
    }

    fn add(self, kind: Kind, routes: UtoipaMethodRouter<App>) -> Table {
        Table(self.0.routes(guarded(kind, routes)))
    }

    pub(crate) fn merge(self, other: Table) -> Table {
        Table(self.0.merge(other.0))
    }

    /// Everything of `other` below `base`.
    pub(crate) fn below(self, base: &str, other: Table) -> Table {
        match base.trim_end_matches('/') {
            "" => self.merge(other),
            base => Table(self.0.nest(base, other.0)),
        }
    }

    /// The router, and the document about it.
    pub(crate) fn split(self) -> (Router<App>, OpenApi) {
        self.0.split_for_parts()
    }
}

/// Handlers behind their permission.
fn guarded(kind: Kind, (schemas, mut paths, methods): UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    for (path, item) in &mut paths.paths {
        openapi::complete(path, item, kind);
    }
    let guard = move |request: Request, next: Next| guard(kind, request, next);
    (schemas, paths, methods.route_layer(from_fn(guard)))
}

async fn guard(kind: Kind, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>();
    if let (Some(caller), Some(asked)) = (caller, request.extensions().get::<Asked>()) {
        asked.tell(&caller.by);
    }
    match kind.permission.check(request.extensions()) {
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
