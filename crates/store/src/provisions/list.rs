//! Lists of scheduled provisions.

use std::fmt::Write as _;

use jiff::Timestamp;
use piton_model::{JobType, ScheduleId, ScheduleStatus, ScheduledProvision};

use super::{row, statements};
use crate::db::{Param, params};
use crate::dialect::Dialect;
use crate::row::micros;
use crate::{Error, Store};

/// How many rows are looked through at once.
const STRIDE: i64 = 5_000;

/// Which scheduled provisions, the latest due first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProvisionQuery {
    /// Only those in this status.
    pub status: Option<ScheduleStatus>,
    /// Only those of this kind.
    pub job_type: Option<JobType>,
    /// Only those with one of these tags.
    pub tags: Option<Vec<String>>,
    /// Only those that come after this one in the list.
    pub after: Option<(Timestamp, ScheduleId)>,
    /// So many of them are left out.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
}

/// One page of scheduled provisions.
#[derive(Debug, Clone, PartialEq)]
pub struct ProvisionPage {
    /// Those on it.
    pub provisions: Vec<ScheduledProvision>,
    /// After which the next page begins; none on the last one.
    pub next: Option<(Timestamp, ScheduleId)>,
}

impl Store {
    /// Scheduled provisions. A row of another program that cannot be read is left out, and told in the log.
    pub async fn provisions(&self, query: &ProvisionQuery) -> Result<ProvisionPage, Error> {
        // One more tells whether there is another page.
        let ahead = ProvisionQuery { limit: query.limit.saturating_add(1), ..query.clone() };
        let (sql, params) = ahead.statement(self.dialect());
        let rows = self.readers().rows(sql, params).await?;
        let mut provisions = Vec::with_capacity(rows.len());
        for found in rows.iter().take(query.limit) {
            match row::provision(found) {
                Ok(provision) => provisions.push(provision),
                Err(error) => tracing::warn!(%error, "a scheduled provision is left out of a list"),
            }
        }
        // The last that was found, whether or not it can be read: there are more after it.
        let last = rows.iter().take(query.limit).next_back().filter(|_| rows.len() > query.limit);
        let next = last.map(row::place).transpose()?.flatten();
        Ok(ProvisionPage { provisions, next })
    }

    /// The rows of other programs that cannot be read, each by its id, and why: nobody takes them, and lists leave them
    /// out.
    pub async fn unreadable_provisions(&self) -> Result<Vec<String>, Error> {
        let words = statements(self.dialect());
        let (mut found, mut last) = (Vec::new(), None);
        loop {
            let rows = match last.take() {
                None => self.readers().rows(words.all.as_str(), params![STRIDE]).await?,
                Some(id) => self.readers().rows(words.all_after.as_str(), params![STRIDE, id]).await?,
            };
            for found_row in &rows {
                if let Err(error) = row::provision(found_row) {
                    found.push(unreadable(&found_row.text(0)?, &error));
                }
            }
            match rows.last() {
                Some(end) if i64::try_from(rows.len()).is_ok_and(|count| count == STRIDE) => last = Some(end.text(0)?),
                Some(_) | None => return Ok(found),
            }
        }
    }
}

/// Why a row cannot be read, with its id.
fn unreadable(id: &str, error: &Error) -> String {
    let why = error.to_string();
    if why.contains(id) { why } else { format!("the scheduled provision {id} cannot be read: {why}") }
}

impl ProvisionQuery {
    fn statement(&self, dialect: Dialect) -> (String, Vec<Param<'static>>) {
        let words = statements(dialect);
        let mut sql = words.list.clone();
        let mut params: Vec<Param<'static>> = Vec::new();
        let mut and = |condition: &str, values: Vec<Param<'static>>| {
            sql.push_str(if params.is_empty() { " WHERE " } else { " AND " });
            let mut values = values.into_iter();
            for (index, piece) in condition.split('§').enumerate() {
                if index > 0 {
                    params.extend(values.next());
                    // Writing to a String cannot fail.
                    let _ = write!(sql, "${}", params.len());
                }
                sql.push_str(piece);
            }
        };
        if let Some(status) = self.status {
            and("s.status = §", vec![status.as_str().into()]);
        }
        if let Some(job_type) = self.job_type {
            and("s.job_type = §", vec![job_type.as_str().into()]);
        }
        if let Some(tags) = &self.tags {
            let tags = row::document(&serde_json::Value::from(tags.clone()));
            and(words.tagged, vec![tags.into()]);
        }
        if let Some((time, id)) = self.after {
            and(&words.after, vec![micros(time).into(), id.to_string().into()]);
        }
        let number = |number: usize| Param::from(i64::try_from(number).unwrap_or(i64::MAX));
        params.extend([number(self.limit), number(self.offset)]);
        let (limit, offset) = (params.len() - 1, params.len());
        let _ = write!(sql, " ORDER BY s.schedule_time DESC, s.id DESC LIMIT ${limit} OFFSET ${offset}");
        (sql, params)
    }
}

/// The texts of every combination of filters.
pub(super) fn texts(dialect: Dialect) -> Vec<String> {
    let Ok(id) = "00000000-0000-4000-8000-000000000000".parse() else { return Vec::new() };
    let query = |bits: u32| {
        let has = |bit: u32| bits & (1 << bit) != 0;
        ProvisionQuery {
            status: has(0).then_some(ScheduleStatus::Pending),
            job_type: has(1).then_some(JobType::Provision),
            tags: has(2).then(|| vec!["new-hire".to_owned()]),
            after: has(3).then_some((Timestamp::UNIX_EPOCH, id)),
            offset: 0,
            limit: 1,
        }
    };
    (0..16).map(|bits| query(bits).statement(dialect).0).collect()
}
