//! The table `scheduled_provisions`: accounts that are made, changed or removed at a time that somebody chose.
//!
//! A row is the truth while it waits; whoever may write the table may change it. The transaction that takes a row that
//! is due submits its run and claims it, and each transaction that changes the run changes the row. A row that another
//! program holds locked is not waited for, because everybody else would have to wait too: it is taken, or made to
//! follow its run, a little later ([`Store::catch_up_provisions`]); one that was put back to waiting meanwhile follows
//! its run before it is taken or altered. A table that it holds locked is waited for shortly: then what needs it fails
//! with [`Error::Locked`], and everything else goes on.

mod beside;
mod copy;
mod list;
mod row;
mod sql;

use jiff::Timestamp;
use piton_model::{
    Act, Alteration, AttemptNo, Backoff, By, Deed, Event, NewProvision, NotAltered, Record, Run, RunId, ScheduleId,
    ScheduledProvision, Uptime, WorkerId,
};

use crate::batch::Batch;
use crate::db::params;
use crate::dialect::Dialect;
use crate::row::{micros, run_id, timestamp, whole_micros};
use crate::writer::Operation;
use crate::{Error, Store};

pub(crate) use beside::AT_ONCE;
pub use list::{ProvisionPage, ProvisionQuery};
pub(crate) use row::Following;
pub(crate) use sql::{statements, texts};

/// Why a scheduled provision was not altered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlterError {
    /// There is no such row.
    #[error("there is no scheduled provision {0}")]
    NotFound(ScheduleId),
    /// Another program is changing the row at this moment.
    #[error("another program is changing the scheduled provision {0}")]
    Busy(ScheduleId),
    /// It is in a state in which this cannot be done.
    #[error(transparent)]
    Refused(#[from] NotAltered),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Who takes rows, and how.
#[derive(Debug, Clone)]
pub struct Taking {
    /// The worker that claims their runs.
    pub worker: WorkerId,
    /// Until when it holds them unless it renews that.
    pub lease_until: Timestamp,
    /// How long the host of the worker has been up.
    pub uptime: Option<Uptime>,
    /// How often, and after how long, a call that failed is made again.
    pub retry: Backoff,
    /// The ids of the runs; no more rows are taken than there are.
    pub runs: Vec<RunId>,
    /// Rows that are due until then are taken.
    pub horizon: Timestamp,
    /// Only such as come after this one, [`Taken::last`] of the last time, are looked for among those that were not tried
    /// yet: what was taken is not looked at again, of which there is much in the midst of many that are due.
    pub after: Option<ProvisionPlace>,
}

/// Where a row stands among all of them: when it is due, then its id.
pub type ProvisionPlace = (Timestamp, ScheduleId);

/// What was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The runs, which the worker holds.
    pub runs: Vec<Run>,
    /// The last of those that were not tried before, if there may be more after it.
    pub last: Option<ProvisionPlace>,
}

impl Store {
    /// Schedules provisions, all or none, on behalf of `by`. Those whose id is taken are there already; the answer names
    /// the others.
    pub async fn schedule_provisions(
        &self,
        new: Vec<NewProvision>,
        by: By,
        at: Timestamp,
    ) -> Result<Vec<ScheduleId>, Error> {
        let at = whole_micros(at);
        match self.schedule_beside(&new, &by, at).await? {
            Some(ids) => Ok(ids),
            None => self.writer().perform(Schedule { new, by, at }).await,
        }
    }

    /// One row.
    pub async fn provision(&self, id: ScheduleId) -> Result<Option<ScheduledProvision>, Error> {
        let sql = statements(self.dialect()).one.as_str();
        let row = self.readers().row(sql, params![id.to_string()]).await?;
        row.as_ref().map(row::provision).transpose()
    }

    /// When the first row is due that nobody works on.
    pub async fn next_provision(&self) -> Result<Option<Timestamp>, Error> {
        let row = self.readers().row(statements(self.dialect()).next.as_str(), params![]).await?;
        row.map_or(Ok(None), |row| row.maybe_int(0))?.map(timestamp).transpose()
    }

    /// Takes rows that are due, the longest due first: each gets a run that the worker holds already.
    pub async fn take_provisions(&self, taking: Taking, at: Timestamp) -> Result<Taken, Error> {
        self.writer().perform(Take { taking, at: whole_micros(at) }).await
    }

    /// Alters a row that waits.
    pub async fn alter_provision(
        &self,
        id: ScheduleId,
        alteration: Alteration,
        by: By,
        at: Timestamp,
    ) -> Result<ScheduledProvision, AlterError> {
        self.writer().perform(Alter { id, alteration, by, at: whole_micros(at) }).await?
    }

    /// Lets rows follow their runs that could not when those changed, gives up those that wait for a time that never
    /// comes, and cancels those that another program has refused. How many there were of these kinds: where there were
    /// some, others may be left, or still be held.
    pub async fn catch_up_provisions(&self, at: Timestamp) -> Result<usize, Error> {
        if self.readers().row(statements(self.dialect()).astray.as_str(), params![]).await?.is_none() {
            return Ok(0);
        }
        self.writer().perform(CatchUp { at: whole_micros(at) }).await
    }

    /// The runs under way whose rows another program has cancelled or deleted.
    pub async fn unwanted_provisions(&self) -> Result<Vec<RunId>, Error> {
        let rows = self.readers().rows(statements(self.dialect()).unwanted.as_str(), params![]).await?;
        rows.iter().map(|row| run_id(&row.text(0)?)).collect()
    }
}

struct Schedule {
    new: Vec<NewProvision>,
    by: By,
    at: Timestamp,
}

impl Operation for Schedule {
    type Answer = Vec<ScheduleId>;

    fn needs_provisions(&self) -> bool {
        true
    }

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        let dialect = batch.conn().dialect();
        let in_bulk = dialect == Dialect::Postgres && self.new.len() >= copy::WORTH_IT;
        // A stream is taken as a whole or, where an id is taken, not at all.
        let ids = if in_bulk && batch.conn().copy(copy::COPY, copy::lines(&self.new, self.at)).await? {
            self.new.iter().map(|new| new.id).collect()
        } else {
            let values = self.new.iter().flat_map(|new| row::new_row(new, dialect, self.at)).collect();
            let inserted = batch.conn().write_rows_returning(&statements(dialect).insert, values).await?;
            inserted.iter().map(row::id).collect::<Result<Vec<_>, _>>()?
        };
        scheduled(batch, ids.iter().copied(), &self.by, self.at);
        Ok(ids)
    }
}

/// Tells of new rows, if there are any.
fn scheduled(batch: &mut Batch, ids: impl ExactSizeIterator<Item = ScheduleId>, by: &By, at: Timestamp) {
    let (count, mut ids) = (ids.len(), ids);
    let Some(first) = ids.next() else { return };
    let target = if count == 1 { first.to_string() } else { format!("{count} rows") };
    batch.append(Record::Audit(Deed::new(by.clone(), Act::ProvisionsScheduled).to(target)), at);
    batch.wake_provisions();
}

struct Take {
    taking: Taking,
    at: Timestamp,
}

impl Operation for Take {
    type Answer = Taken;

    fn needs_provisions(&self) -> bool {
        true
    }

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        batch.flush().await?;
        let sql = statements(batch.conn().dialect());
        let Taking { worker, lease_until, uptime, retry, runs, horizon, after } = &self.taking;
        let mut ids = runs.iter();
        let (mut taken, mut last) = (Vec::new(), None);
        // What was tried before goes first: it has waited longer.
        for is_new in [false, true] {
            let limit = i64::try_from(ids.len()).unwrap_or(i64::MAX);
            if limit == 0 {
                break;
            }
            let mut params = params![micros(*horizon), limit];
            let text = match after {
                _ if !is_new => &sql.again,
                None => &sql.due,
                Some((time, id)) => {
                    params.extend(params![micros(*time), id.to_string()]);
                    &sql.due_after
                }
            };
            let found = batch.conn().rows(text.as_str(), params).await?;
            let is_full = i64::try_from(found.len()).is_ok_and(|found| found == limit);
            for found in &found {
                if let Some(run) = row::unheard(found)? {
                    // Its run has ended: to take it would be to do again what may have been done.
                    let following = followed(batch, row::id(found)?, Some(run), self.at).await?;
                    batch.follow(following);
                    batch.follow_runs(self.at).await?;
                    continue;
                }
                let provision = match row::provision(found).and_then(row::exact) {
                    Ok(provision) => provision,
                    Err(error) => {
                        spoil(batch, found, &error, self.at).await?;
                        continue;
                    }
                };
                let Some(id) = ids.next() else { break };
                last = Some((provision.wanted.schedule_time, provision.wanted.id)).filter(|_| is_new && is_full);
                let run = batch.submit(provision.run(*id, *retry), self.at).await?;
                let claimed = Event::Claimed {
                    worker: worker.clone(),
                    attempt: AttemptNo::after(run.attempts),
                    lease_until: *lease_until,
                    uptime: uptime.clone(),
                };
                if let Ok(run) = batch.change(*id, claimed, self.at).await? {
                    taken.push(run);
                }
            }
        }
        Ok(Taken { runs: taken, last })
    }
}

/// What a row is to be after its run, which has ended; none where nobody knows of one.
async fn followed(batch: &mut Batch, id: ScheduleId, run: Option<RunId>, at: Timestamp) -> Result<Following, Error> {
    let found = match run {
        Some(run) => batch.run(run).await,
        None => Ok(None),
    };
    let following = match found {
        // Another program may have copied it from another row, which is not to change because of this one.
        Ok(found) => found.and_then(Following::run).filter(|following| following.id() == id),
        // It must not keep the other rows from following theirs.
        Err(error @ Error::Unreadable { .. }) => {
            tracing::error!(provision = %id, %error, "nobody can read how a scheduled provision ended");
            None
        }
        Err(error) => return Err(error),
    };
    Ok(following.unwrap_or_else(|| Following::lost(id, at)))
}

/// A row that cannot be read would otherwise be found again for ever.
async fn spoil(batch: &mut Batch, found: &crate::db::Row, error: &Error, at: Timestamp) -> Result<(), Error> {
    // The id as it is written, whatever that is.
    let id = found.text(0)?;
    tracing::error!(provision = id, %error, "a scheduled provision cannot be read");
    let spoil = statements(batch.conn().dialect()).spoil.as_str();
    batch.conn().run(spoil, params![id, error.to_string(), micros(at)]).await?;
    Ok(())
}

/// Cancels a row of which another program has written that somebody refused it.
async fn refuse(batch: &mut Batch, found: &crate::db::Row, at: Timestamp) -> Result<(), Error> {
    if let Some(run) = row::unheard(found)? {
        // Its run has ended: what that did is done. If the row waits after that too, it is found again.
        let following = followed(batch, row::id(found)?, Some(run), at).await?;
        batch.follow(following);
        batch.follow_runs(at).await?;
        return Ok(());
    }
    let refused = match row::provision(found) {
        Ok(provision) => provision.refused(at),
        Err(error) => return spoil(batch, found, &error, at).await,
    };
    let alter = statements(batch.conn().dialect()).alter.as_str();
    batch.conn().run(alter, row::altered(&refused)).await?;
    Ok(())
}

struct Alter {
    id: ScheduleId,
    alteration: Alteration,
    by: By,
    at: Timestamp,
}

impl Operation for Alter {
    type Answer = Result<ScheduledProvision, AlterError>;

    fn needs_provisions(&self) -> bool {
        true
    }

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        batch.flush().await?;
        let sql = statements(batch.conn().dialect());
        let id = self.id.to_string();
        let mut found = batch.conn().rows(sql.one_to_change.as_str(), params![id.as_str()]).await?;
        if let Some(run) = found.first().map(row::unheard).transpose()?.flatten() {
            let following = followed(batch, self.id, Some(run), self.at).await?;
            batch.follow(following);
            batch.follow_runs(self.at).await?;
            found = batch.conn().rows(sql.one_to_change.as_str(), params![id.as_str()]).await?;
        }
        let Some(found) = found.first() else {
            let there = !batch.conn().rows(sql.one.as_str(), params![id]).await?.is_empty();
            return Ok(Err(if there { AlterError::Busy(self.id) } else { AlterError::NotFound(self.id) }));
        };
        let before = match row::provision(found) {
            Ok(before) => before,
            // Only this row is wrong, not the transaction.
            Err(error) => return Ok(Err(error.into())),
        };
        let altered = match self.alteration.apply(&before, self.at) {
            Ok(altered) => altered,
            Err(refused) => return Ok(Err(refused.into())),
        };
        batch.conn().run(sql.alter.as_str(), row::altered(&altered)).await?;
        let deed = Deed::new(self.by.clone(), self.alteration.act()).to(id);
        let detail = self.alteration.reason().map(str::to_owned);
        batch.append(Record::Audit(Deed { detail, ..deed }), self.at);
        batch.wake_provisions();
        Ok(Ok(altered))
    }
}

struct CatchUp {
    at: Timestamp,
}

impl Operation for CatchUp {
    type Answer = usize;

    fn needs_provisions(&self) -> bool {
        true
    }

    async fn perform(&self, batch: &mut Batch) -> Result<usize, Error> {
        batch.flush().await?;
        let sql = statements(batch.conn().dialect());
        let behind = batch.conn().rows(sql.behind.as_str(), params![]).await?;
        for found in &behind {
            let id = row::id(found)?;
            // Another program may have written anything there.
            let run = found.maybe_text(1)?.and_then(|run| run.parse().ok());
            let following = followed(batch, id, run, self.at).await?;
            batch.follow(following);
        }
        // Nobody is told of those that are still held: whoever waits would try again at once, for as long as that
        // lasts.
        batch.follow_runs(self.at).await?;
        let never = batch.conn().rows(sql.never.as_str(), params![]).await?;
        for found in &never {
            if let Err(error) = row::provision(found) {
                spoil(batch, found, &error, self.at).await?;
            }
        }
        let refused = batch.conn().rows(sql.refused.as_str(), params![]).await?;
        for found in &refused {
            refuse(batch, found, self.at).await?;
        }
        Ok(behind.len() + never.len() + refused.len())
    }
}
