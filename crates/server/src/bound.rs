//! What there is for somebody who is bound to workspaces.
//!
//! These workspaces, their jobs, the runs of both, and the deployments that they asked for themselves. Everything else
//! does not exist for them: its name or id answers as one that was never given out, and no list and no count has it.
//! Routes that do not keep to this are closed to them ([`Table::bound`](crate::route::Table::bound) opens one).

use std::collections::{BTreeMap, BTreeSet};

use piton_engine::Error;
use piton_model::{LedgerEntry, Name, Record, Run, RunId, Subject, SubjectKind};
use piton_store::{Page, RunQuery, SkipQuery};

use crate::caller::Caller;
use crate::problem::{Answer, Refusal};
use crate::state::App;

/// How much is looked through at once for what somebody may see.
const STRIDE: usize = 1000;

impl Caller {
    /// Whether there is a workspace of this name for them, if there is one at all.
    pub(crate) fn sees_workspace(&self, name: &str) -> bool {
        self.bound().is_none_or(|workspaces| workspaces.contains(name))
    }

    /// Whether there are a subject and its runs for them, whoever asked for these.
    pub(crate) fn sees_subject(&self, subject: &Subject) -> bool {
        match (self.bound(), subject.workspace()) {
            (None, _) => true,
            (Some(workspaces), Some(workspace)) => workspaces.contains(workspace),
            (Some(_), None) => false,
        }
    }

    /// Whether there is a run for them.
    pub(crate) fn sees(&self, run: &Run) -> bool {
        let own = run.subject.kind() == SubjectKind::Deployment && run.origin.by() == self.by;
        own || self.sees_subject(&run.subject)
    }

    /// Turns away whoever asks for a workspace that there is not for them. Whether it exists cannot be told from the
    /// answer, nor what else does.
    pub(crate) fn check_workspace(&self, name: &str) -> Answer<()> {
        if self.sees_workspace(name) { Ok(()) } else { Err(missing("workspace", name)) }
    }
}

/// The answer about what does not exist.
pub(crate) fn missing(what: &'static str, name: &str) -> Refusal {
    Error::NotFound { what, name: name.escape_debug().to_string(), nearest: None }.into()
}

/// The runs that a query asks for, of those that there are for whoever asks.
pub(crate) async fn runs(app: &App, caller: &Caller, query: &RunQuery) -> Answer<Page> {
    let store = app.engine.store();
    let Some(workspaces) = caller.bound() else { return Ok(store.runs(query).await?) };
    let mut found = Found::default();
    for name in of_query(workspaces, query) {
        found.take(store.runs(&RunQuery { workspace: Some(name.clone()), ..query.clone() }).await?);
    }
    if query.workspace.is_none() && query.kind.is_none_or(|kind| kind == SubjectKind::Deployment) {
        let mut part = RunQuery { kind: Some(SubjectKind::Deployment), limit: STRIDE, ..query.clone() };
        let mut count = 0;
        loop {
            let page = store.runs(&part).await?;
            let own: Vec<Run> = page.runs.into_iter().filter(|run| caller.sees(run)).collect();
            count += own.len();
            found.add(own);
            part.before = page.next;
            if part.before.is_none() || count > query.limit {
                break;
            }
        }
    }
    Ok(found.page(query.limit))
}

/// Those of the workspaces that can have what is asked for.
fn of_query<'a>(workspaces: &'a BTreeSet<Name>, query: &'a RunQuery) -> impl Iterator<Item = &'a Name> {
    let about = query.subject.as_ref().map(Subject::workspace);
    workspaces.iter().filter(move |name| {
        query.workspace.as_ref().is_none_or(|wanted| wanted == *name)
            && about.is_none_or(|workspace| workspace == Some(*name))
    })
}

/// Runs from several places, and whether one of them has more.
#[derive(Default)]
pub(crate) struct Found {
    runs: BTreeMap<RunId, Run>,
    more: bool,
}

impl Found {
    pub(crate) fn take(&mut self, page: Page) {
        self.more |= page.next.is_some();
        self.add(page.runs);
    }

    fn add(&mut self, runs: Vec<Run>) {
        self.runs.extend(runs.into_iter().map(|run| (run.id, run)));
    }

    /// The newest of them.
    pub(crate) fn page(self, limit: usize) -> Page {
        let more = self.more || self.runs.len() > limit;
        let runs: Vec<Run> = self.runs.into_values().rev().take(limit).collect();
        let next = runs.last().filter(|_| more).map(|run| run.id);
        Page { runs, next }
    }
}

/// The due times that made no run, of those that there are for whoever asks.
pub(crate) async fn skips(app: &App, caller: &Caller, query: &SkipQuery) -> Answer<Vec<LedgerEntry>> {
    let store = app.engine.store();
    if caller.bound().is_none() {
        return Ok(store.skips(query).await?);
    }
    if query.subject.as_ref().is_some_and(|subject| !caller.sees_subject(subject)) {
        return Ok(Vec::new());
    }
    let mut part = SkipQuery { limit: STRIDE, ..query.clone() };
    let mut seen = Vec::new();
    loop {
        let entries = store.skips(&part).await?;
        let is_last = entries.len() < STRIDE;
        part.before = entries.last().map(|entry| entry.seq);
        seen.extend(entries.into_iter().filter(|entry| match &entry.record {
            Record::Skipped { subject, .. } => caller.sees_subject(subject),
            _ => false,
        }));
        if is_last || seen.len() >= query.limit {
            seen.truncate(query.limit);
            return Ok(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use piton_auth::Role;
    use piton_model::By;

    use super::*;
    use crate::caller::{Account, Known};

    fn caller(workspaces: &[&str]) -> Caller {
        let account = Account {
            id: "id".to_owned(),
            name: "anna".to_owned(),
            roles: vec![Role::Operator],
            workspaces: workspaces.iter().map(|name| Name::parse(name).unwrap()).collect(),
            generation: 0,
        };
        Caller::new(By::User("anna".to_owned()), Role::Operator, Known::Basic(account))
    }

    #[test]
    fn who_is_bound_sees_what_is_named_and_nothing_else() {
        let subject = |text: &str| text.parse::<Subject>().unwrap();
        let deployment = "deployment/0199d6a2-7c00-7000-8000-000000000000";
        let all = ["workspace/web", "job/web/backup", "workspace/web-2", "job/web", "job/webs/x", deployment];
        let (free, bound) = (caller(&[]), caller(&["web"]));
        assert!(all.iter().all(|text| free.sees_subject(&subject(text))));
        let seen: Vec<&str> = all.into_iter().filter(|text| bound.sees_subject(&subject(text))).collect();
        assert_eq!(seen, ["workspace/web", "job/web/backup"]);
        assert!(bound.check_workspace("web").is_ok() && free.check_workspace("anything").is_ok());
        let told = |name: &str| serde_json::to_value(bound.check_workspace(name).unwrap_err().into_problem()).unwrap();
        assert_eq!(told("web-2")["detail"], "workspace 'web-2' not found");
        assert_eq!((told("web-2")["status"].clone(), told("web-2")["hint"].clone()), (404.into(), None::<()>.into()));
    }
}
