//! Finding runs, ended or not.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use piton_model::{DedupKey, Name, OutcomeKind, Phase, Run, RunId, Subject, SubjectKind};

use crate::db::{Param, params};
use crate::row;
use crate::{Error, Store};

pub(crate) const ONE: &str = "SELECT body, due_at FROM runs WHERE id = $1 \
     UNION ALL SELECT body, NULL FROM run_history WHERE id = $1";
pub(crate) const OF_KEY: &str = "SELECT run_id FROM run_keys WHERE dedup_key = $1";
pub(crate) const LIVE: &str = "SELECT body, due_at FROM runs ORDER BY id";
pub(crate) const LIVE_OF: &str = "SELECT body, due_at FROM runs WHERE subject = $1 ORDER BY id";
pub(crate) const LIVE_OF_KIND: &str = "SELECT body, due_at FROM runs WHERE subject >= $1 AND subject < $2 ORDER BY id";
pub(crate) const LATEST_OF_KIND: &str = "SELECT body FROM run_history WHERE id IN (\
     SELECT MAX(id) FROM run_history WHERE subject >= $1 AND subject < $2 GROUP BY subject)";

/// Which runs are wanted, the newest first. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Of subjects of this kind.
    pub kind: Option<SubjectKind>,
    /// Of this subject.
    pub subject: Option<Subject>,
    /// Of this workspace and its jobs.
    pub workspace: Option<Name>,
    /// In this state.
    pub phase: Option<Phase>,
    /// Ended like this.
    pub outcome: Option<OutcomeKind>,
    /// Submitted then or later.
    pub since: Option<Timestamp>,
    /// At most so many; 0 stands for 100.
    pub limit: usize,
    /// Older than this one: the [`Page::next`] of the page before.
    pub before: Option<RunId>,
}

/// Some of the runs that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The newest first.
    pub runs: Vec<Run>,
    /// Where the next page begins, if there is more.
    pub next: Option<RunId>,
}

const DEFAULT_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 1000;

impl Store {
    /// One run.
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        let Some(row) = self.readers().row(ONE, params![id.to_string()]).await? else { return Ok(None) };
        row::run(self.vault(), &row.text(0)?, row.maybe_int(1)?).map(Some)
    }

    /// The run that a key made.
    pub async fn run_of_key(&self, key: &DedupKey) -> Result<Option<RunId>, Error> {
        let Some(row) = self.readers().row(OF_KEY, params![key.as_str()]).await? else { return Ok(None) };
        row::run_id(&row.text(0)?).map(Some)
    }

    /// The runs that a query asks for, page by page.
    pub async fn runs(&self, query: &RunQuery) -> Result<Page, Error> {
        let limit = match query.limit {
            0 => DEFAULT_LIMIT,
            limit => limit.min(LARGEST_LIMIT),
        };
        let mut found = BTreeMap::new();
        // A run that ends in between is seen in both tables or in the second, but never in none.
        if query.looks_into_live() {
            let (sql, params) = query.statement(Table::Live, limit);
            for row in self.readers().rows(sql, params).await? {
                let run = row::run(self.vault(), &row.text(0)?, Some(row.int(1)?))?;
                found.insert(run.id, run);
            }
        }
        if query.looks_into_history() {
            let (sql, params) = query.statement(Table::History, limit);
            for row in self.readers().rows(sql, params).await? {
                let run = row::run(self.vault(), &row.text(0)?, None)?;
                found.insert(run.id, run);
            }
        }
        let more = found.len() > limit;
        let runs: Vec<Run> = found.into_values().rev().take(limit).collect();
        let next = runs.last().filter(|_| more).map(|run| run.id);
        Ok(Page { runs, next })
    }

    /// All runs that have not ended, the oldest first.
    pub async fn live(&self) -> Result<Vec<Run>, Error> {
        self.live_rows(LIVE, params![]).await
    }

    /// All runs of a subject that have not ended (pending, running or gated), the oldest first.
    pub async fn active_of(&self, subject: &Subject) -> Result<Vec<Run>, Error> {
        self.live_rows(LIVE_OF, params![subject.to_string()]).await
    }

    /// The newest run of a subject, ended or not.
    pub async fn latest_of(&self, subject: &Subject) -> Result<Option<Run>, Error> {
        let query = RunQuery { subject: Some(subject.clone()), limit: 1, ..RunQuery::default() };
        Ok(self.runs(&query).await?.runs.pop())
    }

    /// The newest run of each subject of a kind, ended or not, by subject.
    pub async fn latest_of_kind(&self, kind: SubjectKind) -> Result<Vec<Run>, Error> {
        let span = Span::of_kind(kind);
        let rows = self.readers().rows(LATEST_OF_KIND, params![span.from.as_str(), span.to.as_str()]).await?;
        let mut latest = BTreeMap::new();
        for row in &rows {
            let run = row::run(self.vault(), &row.text(0)?, None)?;
            latest.insert(run.subject.clone(), run);
        }
        for run in self.live_rows(LIVE_OF_KIND, params![span.from, span.to]).await? {
            if latest.get(&run.subject).is_none_or(|other| other.id < run.id) {
                latest.insert(run.subject.clone(), run);
            }
        }
        Ok(latest.into_values().collect())
    }

    /// Reads runs as `body, due_at`.
    pub(crate) async fn live_rows(&self, sql: &'static str, params: Vec<Param<'_>>) -> Result<Vec<Run>, Error> {
        let rows = self.readers().rows(sql, params).await?;
        rows.iter().map(|row| row::run(self.vault(), &row.text(0)?, Some(row.int(1)?))).collect()
    }
}

/// Subjects from `from` to before `to`. Subjects are compared byte by byte, and names hold nothing below `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Span {
    fn one(subject: String) -> Span {
        Span { to: format!("{subject}!"), from: subject }
    }

    /// Everything below a path: `0` is what follows `/`.
    fn below(path: &str) -> Span {
        Span { from: format!("{path}/"), to: format!("{path}0") }
    }

    pub(crate) fn of_kind(kind: SubjectKind) -> Span {
        Span::below(kind.as_str())
    }
}

#[derive(Clone, Copy)]
enum Table {
    Live,
    History,
}

impl RunQuery {
    fn looks_into_live(&self) -> bool {
        self.outcome.is_none() && self.phase != Some(Phase::Ended)
    }

    fn looks_into_history(&self) -> bool {
        self.phase.is_none_or(|phase| phase == Phase::Ended)
    }

    fn spans(&self) -> Vec<Span> {
        let workspace = |name: &Name| Span::one(Subject::Workspace(name.clone()).to_string());
        let jobs = |name: &Name| Span::below(&format!("{}/{name}", SubjectKind::Job.as_str()));
        match (self.kind, &self.workspace) {
            (None, None) => Vec::new(),
            (Some(kind), None) => vec![Span::of_kind(kind)],
            (None, Some(name)) => vec![workspace(name), jobs(name)],
            (Some(SubjectKind::Workspace), Some(name)) => vec![workspace(name)],
            (Some(SubjectKind::Job), Some(name)) => vec![jobs(name)],
            // Of no workspace: nothing lies in an empty span.
            (Some(SubjectKind::Deployment | SubjectKind::Provision | SubjectKind::Scaffold), Some(_)) => {
                vec![Span { from: String::new(), to: String::new() }]
            }
        }
    }

    fn statement(&self, table: Table, limit: usize) -> (String, Vec<Param<'static>>) {
        let mut select = Select::from(match table {
            Table::Live => "SELECT body, due_at FROM runs",
            Table::History => "SELECT body FROM run_history",
        });
        if let Some(subject) = &self.subject {
            select.and(&["subject = "], [subject.to_string()]);
        }
        match self.spans().as_slice() {
            [] => {}
            [a] => select.and(&["(subject >= ", " AND subject < "], [a.from.clone(), a.to.clone()]),
            [a, b, ..] => select.and(
                &["(subject >= ", " AND subject < ", " OR subject >= ", " AND subject < "],
                [a.from.clone(), a.to.clone(), b.from.clone(), b.to.clone()],
            ),
        }
        if let (Table::Live, Some(phase)) = (table, self.phase) {
            select.and(&["phase = "], [phase.as_str().to_owned()]);
        }
        if let (Table::History, Some(outcome)) = (table, self.outcome) {
            select.and(&["outcome = "], [outcome.as_str().to_owned()]);
        }
        if let Some(since) = self.since {
            // Ids begin with the time of the submission.
            select.and(&["id >= "], [RunId::new(since, [0; 10]).to_string()]);
        }
        if let Some(before) = self.before {
            select.and(&["id < "], [before.to_string()]);
        }
        select.newest(limit + 1)
    }
}

/// A statement that grows by conditions.
struct Select {
    sql: String,
    params: Vec<Param<'static>>,
}

impl Select {
    fn from(head: &str) -> Select {
        Select { sql: head.to_owned(), params: Vec::new() }
    }

    /// Adds a condition: each piece of text is followed by a value. One that opens a parenthesis has it closed.
    fn and<const N: usize>(&mut self, pieces: &[&'static str; N], values: [String; N]) {
        self.sql.push_str(if self.params.is_empty() { " WHERE " } else { " AND " });
        for (piece, value) in pieces.iter().zip(values) {
            self.params.push(value.into());
            // Writing to a String cannot fail.
            let _ = write!(self.sql, "{piece}${}", self.params.len());
        }
        if pieces.iter().any(|piece| piece.starts_with('(')) {
            self.sql.push(')');
        }
    }

    fn newest(mut self, limit: usize) -> (String, Vec<Param<'static>>) {
        self.params.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let _ = write!(self.sql, " ORDER BY id DESC LIMIT ${}", self.params.len());
        (self.sql, self.params)
    }
}

/// The texts of every combination of filters.
pub(crate) fn statements() -> Vec<String> {
    let Ok(name) = Name::parse("x") else { return Vec::new() };
    let mut texts = Vec::new();
    for bits in 0..128_u32 {
        let has = |bit: u32| bits & (1 << bit) != 0;
        let query = RunQuery {
            kind: has(0).then_some(SubjectKind::Job),
            subject: has(1).then(|| Subject::Workspace(name.clone())),
            workspace: has(2).then(|| name.clone()),
            phase: has(3).then_some(Phase::Pending),
            outcome: has(4).then_some(OutcomeKind::Failed),
            since: has(5).then_some(Timestamp::UNIX_EPOCH),
            limit: 1,
            before: has(6).then(|| RunId::new(Timestamp::UNIX_EPOCH, [0; 10])),
        };
        texts.extend([Table::Live, Table::History].map(|table| query.statement(table, 1).0));
    }
    texts.sort();
    texts.dedup();
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_hold_what_they_name_and_nothing_else() {
        let query = RunQuery { workspace: Some(Name::parse("web").unwrap()), ..RunQuery::default() };
        let spans = query.spans();
        let holds =
            |subject: &str| spans.iter().any(|span| span.from.as_str() <= subject && subject < span.to.as_str());
        for inside in ["workspace/web", "job/web/backup"] {
            assert!(holds(inside), "{inside}");
        }
        for outside in ["workspace/web-2", "workspace/web.v2", "workspace/webs", "job/web", "job/web-2/backup"] {
            assert!(!holds(outside), "{outside}");
        }
    }

    #[test]
    fn conditions_are_numbered_in_order() {
        let query = RunQuery {
            workspace: Some(Name::parse("web").unwrap()),
            before: Some(RunId::new(Timestamp::UNIX_EPOCH, [0; 10])),
            ..RunQuery::default()
        };
        let (sql, params) = query.statement(Table::History, 10);
        assert_eq!(
            sql,
            "SELECT body FROM run_history WHERE (subject >= $1 AND subject < $2 OR subject >= $3 AND subject < $4) \
             AND id < $5 ORDER BY id DESC LIMIT $6"
        );
        assert_eq!(params.len(), 6);
    }
}
