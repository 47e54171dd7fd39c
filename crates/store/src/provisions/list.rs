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
const STRIDE: i64 = 500;

/// How many rows of a page are read at once, and how often that is done for one page: a table in which thousands cannot
/// be read gives pages that are not full, but in time.
const MORE: usize = 100;
const ROUNDS: usize = 50;

/// A page whose documents have more bytes than this ends there: what people may write into one row, times the rows of a
/// page, would be more than there is memory.
const HEAVIEST: usize = 16 * 1024 * 1024;

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
    /// How many rows were left out on the way, because they cannot be read.
    pub left_out: usize,
}

impl Store {
    /// Scheduled provisions. A row of another program that cannot be read is left out, counted, and told in the log;
    /// others take its place.
    pub async fn provisions(&self, query: &ProvisionQuery) -> Result<ProvisionPage, Error> {
        let mut page = ProvisionPage { provisions: Vec::new(), next: None, left_out: 0 };
        // One more tells whether there is another page.
        let mut part = ProvisionQuery { limit: query.limit.saturating_add(1).min(MORE), ..query.clone() };
        let mut bytes = 0;
        for _ in 0..ROUNDS {
            let (sql, params) = part.statement(self.dialect());
            let rows = self.readers().rows(sql, params).await?;
            for found in &rows {
                if page.provisions.len() == query.limit || bytes > HEAVIEST {
                    return Ok(page);
                }
                match row::provision(found) {
                    Ok(provision) => {
                        bytes += row::weight(found);
                        page.provisions.push(provision);
                    }
                    Err(error) => {
                        page.left_out += 1;
                        tracing::warn!(%error, "a scheduled provision is left out of a list");
                    }
                }
                // Whether or not it can be read, there may be more after it. Where one stands without an id nobody
                // knows.
                if let Ok(place) = row::place(found) {
                    page.next = place;
                }
            }
            if rows.len() < part.limit || page.next.is_none() || page.next == part.after {
                page.next = None;
                return Ok(page);
            }
            part = ProvisionQuery { after: page.next, offset: 0, limit: MORE, ..part };
        }
        Ok(page)
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
