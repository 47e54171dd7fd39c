//! What is so at this moment, for those who look often: without reading what waits, and in one round trip.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use jiff::Timestamp;
use piton_model::{Projection, Run, ScheduleStatus, Seq, Subject, SubjectKind};

use crate::db::{Param, Row};
use crate::query::Span;
use crate::{Error, Store, row};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The runs.
    Runs,
    /// The rows of scheduled provisions too, which takes the database some time where there are many.
    Provisions,
}

/// Runs of one kind that may be claimed, now or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Of what they are.
    pub kind: SubjectKind,
    /// How many.
    pub count: i64,
    /// When the first of them may be claimed.
    pub since: Option<Timestamp>,
}

/// What is so at this moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Census {
    /// The position of the last entry of the ledger.
    pub head: Seq,
    /// The runs that wait, counted.
    pub waiting: Vec<Waiting>,
    /// Those that were begun and have not ended, which are never many: the oldest first.
    pub begun: Vec<Run>,
    /// What is seen of jobs. What cannot be read is left out.
    pub jobs: BTreeMap<Subject, Projection>,
    /// How many scheduled provisions there are in each status, where that was asked.
    pub provisions: Option<BTreeMap<ScheduleStatus, i64>>,
}

/// What a row of the answer tells of. The numbers from [`WAITING`] on are kinds of subjects.
const HEAD: i64 = 0;
const BEGUN: i64 = 1;
const JOB: i64 = 2;
const PROVISIONS: i64 = 3;
const WAITING: usize = 4;

/// The statement for the runs, and the one for the rows of scheduled provisions too. The columns of each part: what it
/// tells of, a number, a time, a name and a body.
static TEXTS: LazyLock<[String; 2]> = LazyLock::new(|| {
    const NO_TIME: &str = "CAST(NULL AS BIGINT)";
    let mut runs = format!("SELECT CAST({HEAD} AS BIGINT), head, {NO_TIME}, '', '' FROM ledger WHERE id = 1");
    let mut and = |part: &str| {
        // Writing to a String cannot fail.
        let _ = write!(runs, " UNION ALL {part}");
    };
    and(&format!("SELECT {BEGUN}, 0, due_at, id, body FROM runs WHERE phase IN ('running', 'gated')"));
    and(&format!("SELECT {JOB}, 0, {NO_TIME}, subject, body FROM projections WHERE subject >= $1 AND subject < $2"));
    for index in 0..SubjectKind::ALL.len() {
        let (tag, from, to) = (WAITING + index, index * 2 + 3, index * 2 + 4);
        and(&format!(
            "SELECT {tag}, COUNT(*), MIN(due_at), '', '' FROM runs \
             WHERE phase = 'pending' AND subject >= ${from} AND subject < ${to}"
        ));
    }
    let provisions = format!(
        "{runs} UNION ALL SELECT {PROVISIONS}, COUNT(*), {NO_TIME}, CAST(status AS TEXT), '' \
         FROM scheduled_provisions GROUP BY status"
    );
    [runs, provisions]
});

/// The texts of both.
pub(crate) fn statements() -> impl Iterator<Item = String> {
    TEXTS.iter().cloned()
}

impl Store {
    /// Looks at everything that is asked for.
    pub async fn census(&self, scope: Scope) -> Result<Census, Error> {
        let [runs, provisions] = &*TEXTS;
        let sql = match scope {
            Scope::Runs => runs.as_str(),
            Scope::Provisions => provisions.as_str(),
        };
        let spans = std::iter::once(SubjectKind::Job).chain(SubjectKind::ALL).map(Span::of_kind);
        let params: Vec<Param<'_>> = spans.flat_map(|span| [span.from, span.to]).map(Param::from).collect();
        let mut census = Census {
            head: 0,
            waiting: Vec::new(),
            begun: Vec::new(),
            jobs: BTreeMap::new(),
            provisions: (scope == Scope::Provisions).then(BTreeMap::new),
        };
        for found in self.readers().rows(sql, params).await? {
            self.take_in(&mut census, &found)?;
        }
        census.begun.sort_unstable_by_key(|run| run.id);
        Ok(census)
    }

    fn take_in(&self, census: &mut Census, found: &Row) -> Result<(), Error> {
        let (tag, number) = (found.int(0)?, found.int(1)?);
        match tag {
            HEAD => census.head = number,
            BEGUN => census.begun.push(row::run(self.vault(), &found.text(4)?, found.maybe_int(2)?)?),
            JOB => {
                let subject = found.text(3)?;
                if let (Ok(job), Ok(seen)) = (row::subject(&subject), row::projection(&subject, &found.text(4)?)) {
                    census.jobs.insert(job, seen);
                }
            }
            PROVISIONS => {
                // What other programs have written may be in a status that there is not.
                if let (Some(counts), Ok(status)) = (&mut census.provisions, found.text(3)?.parse()) {
                    counts.insert(status, number);
                }
            }
            tag => {
                let index = usize::try_from(tag).ok().and_then(|tag| tag.checked_sub(WAITING));
                if let Some(kind) = index.and_then(|index| SubjectKind::ALL.get(index).copied()) {
                    let since = found.maybe_int(2)?.map(row::timestamp).transpose()?;
                    census.waiting.push(Waiting { kind, count: number, since });
                }
            }
        }
        Ok(())
    }
}
