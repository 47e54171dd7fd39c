//! Taking runs that are due, and keeping them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use piton_model::{AttemptNo, Event, Run, RunId, Uptime, WorkerId};

use crate::batch::Batch;
use crate::db::params;
use crate::row::{self, micros, whole_micros};
use crate::turns;
use crate::writer::Operation;
use crate::{Error, Store};

// Repositories of blueprints have a lane of their own, in the words of the index `runs_scaffolds`: a range of subjects
// would make SQLite take the index of subjects.
macro_rules! scaffold {
    ($runs:literal) => {
        concat!("substr(", $runs, ".subject, 1, 9) = 'scaffold/'")
    };
}

// What waits in no other line, in the words of the index `runs_claimable`.
macro_rules! waits {
    ($runs:literal) => {
        concat!($runs, ".phase = 'pending' AND ", $runs, ".turn IS NULL AND NOT (", scaffold!($runs), ")")
    };
}

// The conditions on `r` under which nothing on its lock stands before it. Both look at most at one entry of an index.
macro_rules! first_of_its_lock {
    () => {
        "NOT EXISTS (SELECT 1 FROM runs o WHERE o.lock_key = r.lock_key AND o.phase IN ('running', 'gated')) \
         AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.lock_key = r.lock_key AND o.phase = 'pending' \
         AND (o.queue_at, o.seq) < (r.queue_at, r.seq))"
    };
}

// What is seen of the subject of `r`, which a claim changes too.
macro_rules! seen {
    () => {
        "(SELECT p.body FROM projections p WHERE p.subject = r.subject)"
    };
}

// The distinct priorities of what waits, the highest first: each is found by a jump through the index `runs_claimable`.
macro_rules! with_priorities {
    () => {
        concat!(
            "WITH RECURSIVE p (priority) AS (SELECT MAX(h.priority) FROM runs h WHERE ",
            waits!("h"),
            " UNION ALL SELECT (SELECT MAX(n.priority) FROM runs n WHERE ",
            waits!("n"),
            " AND n.priority < p.priority) FROM p WHERE p.priority IS NOT NULL) "
        )
    };
}

pub(crate) const PRIORITIES: &str = concat!(with_priorities!(), "SELECT priority FROM p WHERE priority IS NOT NULL");
// Runs of one priority, in the order of the same index: what is due in the far future is never looked at, and nothing
// is sorted.
pub(crate) const CLAIMABLE: &str = concat!(
    "SELECT r.body, r.due_at, r.queue_at, r.seq, ",
    seen!(),
    " FROM runs r WHERE ",
    waits!("r"),
    " AND r.priority = $1 AND r.due_at <= $2 AND ",
    first_of_its_lock!(),
    " ORDER BY r.due_at, r.seq LIMIT $3"
);
// Those of the highest priority, and whether there is another one: mostly there is not, and this is all it takes. To a
// database on another host every statement is a way there and back.
pub(crate) const FIRST_CLAIMABLE: &str = concat!(
    "SELECT r.body, r.due_at, r.queue_at, r.seq, ",
    seen!(),
    ", r.priority, (SELECT MIN(l.priority) FROM runs l WHERE ",
    waits!("l"),
    ") FROM runs r WHERE ",
    waits!("r"),
    " AND r.priority = (SELECT MAX(h.priority) FROM runs h WHERE ",
    waits!("h"),
    ") AND r.due_at <= $1 AND ",
    first_of_its_lock!(),
    " ORDER BY r.due_at, r.seq LIMIT $2"
);
// All of them are alike.
pub(crate) const CLAIMABLE_SCAFFOLDS: &str = concat!(
    "SELECT r.body, r.due_at, r.queue_at, r.seq, ",
    seen!(),
    " FROM runs r WHERE r.phase = 'pending' AND ",
    scaffold!("r"),
    " AND r.due_at <= $1 AND ",
    first_of_its_lock!(),
    " ORDER BY r.due_at, r.seq LIMIT $2"
);
// The end of a lease, the lapse of a gate, and the first that could be claimed of each priority.
pub(crate) const NEXT_DUE: &str = concat!(
    with_priorities!(),
    "SELECT MIN(d.due_at) FROM (\
       SELECT (SELECT due_at FROM runs WHERE phase IN ('running', 'gated') ORDER BY due_at LIMIT 1) AS due_at \
       UNION ALL \
       SELECT (SELECT r.due_at FROM runs r WHERE ",
    waits!("r"),
    " AND r.priority = p.priority AND ",
    first_of_its_lock!(),
    " ORDER BY r.due_at, r.seq LIMIT 1) FROM p WHERE p.priority IS NOT NULL) d"
);
// The first that could be claimed of each priority.
pub(crate) const NEXT_CLAIM: &str = concat!(
    with_priorities!(),
    "SELECT MIN(d.due_at) FROM (\
       SELECT (SELECT r.due_at FROM runs r WHERE ",
    waits!("r"),
    " AND r.priority = p.priority AND ",
    first_of_its_lock!(),
    " ORDER BY r.due_at, r.seq LIMIT 1) AS due_at FROM p WHERE p.priority IS NOT NULL) d"
);
pub(crate) const NEXT_SCAFFOLD: &str = concat!(
    "SELECT r.due_at FROM runs r WHERE r.phase = 'pending' AND ",
    scaffold!("r"),
    " AND ",
    first_of_its_lock!(),
    " ORDER BY r.due_at, r.seq LIMIT 1"
);
pub(crate) const RENEW: &str =
    "UPDATE runs SET due_at = $1 WHERE phase IN ('running', 'gated') AND worker = $2 RETURNING id";
pub(crate) const HELD_BY: &str = "SELECT body, due_at FROM runs \
     WHERE phase IN ('running', 'gated') AND worker = $1 ORDER BY id";
pub(crate) const OVERDUE: &str = "SELECT body, due_at FROM runs \
     WHERE phase IN ('running', 'gated') AND due_at <= $1 ORDER BY due_at LIMIT $2";

/// How many runs a claim looks at, at most, to find one that can be taken.
const MOST_LOOKED_AT: usize = 4_000;

impl Store {
    /// Takes up to `limit` pending runs that are due, the highest priority first, then the earliest due.
    ///
    /// A run is passed over while another run on its lock is running or gated, or is pending and was to be run before
    /// it. Runs of one lock are therefore taken in the order in which they were first due; a retry keeps its place.
    /// `uptime` is how long the host of the worker has been up.
    pub async fn claim(
        &self,
        worker: &WorkerId,
        limit: usize,
        lease_until: Timestamp,
        at: Timestamp,
        uptime: Option<Uptime>,
    ) -> Result<Vec<Run>, Error> {
        let room = Room { runs: limit, deployments: limit, scaffolds: limit };
        let [lease_until, at] = [lease_until, at].map(whole_micros);
        let claim = Claim { worker: worker.clone(), room, most: limit, lease_until, horizon: at, at, uptime };
        self.writer().perform(claim).await
    }

    /// The same where each kind has its own room. Deployments go first as far as theirs goes: they wait in a line of
    /// their own.
    pub async fn claim_into(
        &self,
        worker: &WorkerId,
        room: Room,
        lease_until: Timestamp,
        at: Timestamp,
        uptime: Option<Uptime>,
    ) -> Result<Vec<Run>, Error> {
        self.claim_ahead(worker, room, lease_until, at, at, uptime).await
    }

    /// The same for what is due until `horizon` as well, as far as what is due at `at` leaves room for it; the line of
    /// deployments keeps its order. Whoever takes a run must not begin it before it is due.
    pub async fn claim_ahead(
        &self,
        worker: &WorkerId,
        room: Room,
        lease_until: Timestamp,
        horizon: Timestamp,
        at: Timestamp,
        uptime: Option<Uptime>,
    ) -> Result<Vec<Run>, Error> {
        let [lease_until, horizon, at] = [lease_until, horizon, at].map(whole_micros);
        let horizon = horizon.max(at);
        let claim = Claim { worker: worker.clone(), room, most: usize::MAX, lease_until, horizon, at, uptime };
        self.writer().perform(claim).await
    }

    /// Extends the leases of all runs that `worker` holds, and says which these are.
    ///
    /// A run that is missing from the answer is lost to the worker, which must stop what it does for it.
    pub async fn renew(&self, worker: &WorkerId, until: Timestamp, _at: Timestamp) -> Result<Vec<RunId>, Error> {
        self.writer().perform(Renew { worker: worker.clone(), until: whole_micros(until) }).await
    }

    /// The runs that `worker` holds, with the requests to cancel them.
    pub async fn held_by(&self, worker: &WorkerId) -> Result<Vec<Run>, Error> {
        self.live_rows(HELD_BY, params![worker.as_str()]).await
    }

    /// Running runs whose lease has ended and gated runs whose question has lapsed at `at`, the oldest first.
    pub async fn overdue(&self, at: Timestamp, limit: usize) -> Result<Vec<Run>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.live_rows(OVERDUE, params![micros(at), limit]).await
    }

    /// When something is to be done next: a claim that would succeed, the end of a lease, the lapse of a gate.
    /// What could be done already counts as due at `at`.
    pub async fn next_due(&self, at: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.earliest(NEXT_DUE, at, Room { runs: 1, deployments: 1, scaffolds: 1 }).await
    }

    /// From when on a claim would succeed, of what there is room for. What could be claimed already counts as due at
    /// `at`.
    pub async fn next_claim(&self, at: Timestamp, room: Room) -> Result<Option<Timestamp>, Error> {
        self.earliest(NEXT_CLAIM, at, room).await
    }

    async fn earliest(&self, of_runs: &'static str, at: Timestamp, room: Room) -> Result<Option<Timestamp>, Error> {
        let lines = [
            (room.runs, of_runs),
            (room.deployments.min(room.runs), turns::NEXT_TURN),
            (room.scaffolds, NEXT_SCAFFOLD),
        ];
        let mut next = None;
        for (_, sql) in lines.into_iter().filter(|(room, _)| *room > 0) {
            if let Some(row) = self.readers().row(sql, params![]).await? {
                next = [next, row.maybe_int(0)?].into_iter().flatten().min();
            }
        }
        next.map(|due| row::timestamp(due.max(micros(at)))).transpose()
    }
}

/// How many runs a worker can take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Of any kind but the last.
    pub runs: usize,
    /// Of these, deployments that people ask for.
    pub deployments: usize,
    /// Repositories that are made of blueprints.
    pub scaffolds: usize,
}

struct Claim {
    worker: WorkerId,
    room: Room,
    /// Of all kinds together.
    most: usize,
    lease_until: Timestamp,
    horizon: Timestamp,
    at: Timestamp,
    uptime: Option<Uptime>,
}

/// Where runs wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Priority(i64),
    Turns,
    Scaffolds,
}

impl Claim {
    /// Those that may be claimed, in order. No two of them share a lock.
    async fn candidates(&self, batch: &mut Batch) -> Result<Vec<RunId>, Error> {
        let Room { runs, deployments, scaffolds } = self.room;
        let mut ids = match deployments.min(runs) {
            0 => Vec::new(),
            turns => self.take(batch, Line::Turns, turns, self.horizon).await?,
        };
        if ids.len() < runs {
            let room = runs - ids.len();
            let mut others = self.others(batch, room, self.horizon).await?;
            if others.len() >= room && self.is_any_early(batch, &others).await? {
                others = due_first(self.others(batch, room, self.at).await?, &others, room);
            }
            ids.extend(others);
        }
        match scaffolds.min(self.most - ids.len().min(self.most)) {
            0 => {}
            room => ids.extend(self.take(batch, Line::Scaffolds, room, self.horizon).await?),
        }
        Ok(ids)
    }

    /// Whether one of them is not due yet: it may have been found before another that is, for its priority.
    async fn is_any_early(&self, batch: &mut Batch, ids: &[RunId]) -> Result<bool, Error> {
        for id in ids {
            if batch.run(*id).await?.and_then(Run::due).is_some_and(|due| due > self.at) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those that stand in no line and are due `by` then.
    async fn others(&self, batch: &mut Batch, room: usize, by: Timestamp) -> Result<Vec<RunId>, Error> {
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        let first = batch.conn().rows(FIRST_CLAIMABLE, params![micros(by), limit]).await?;
        let mut ids = batch.take_in(&first)?;
        let highest = first.first().map(|row| row.int(5)).transpose()?;
        let lowest = first.first().map(|row| row.int(6)).transpose()?;
        // Where some could not be taken, there may be more behind them.
        let done = highest.filter(|_| ids.len() == first.len());
        if done.is_some() && (ids.len() >= room || highest == lowest) {
            return Ok(ids);
        }
        if done.is_none() {
            ids.clear();
        }
        for found in batch.conn().rows(PRIORITIES, params![]).await? {
            if ids.len() >= room {
                break;
            }
            let priority = found.int(0)?;
            if Some(priority) != done {
                ids.extend(self.take(batch, Line::Priority(priority), room - ids.len(), by).await?);
            }
        }
        Ok(ids)
    }

    /// Up to `room` of those in a line that are due `by` then. Those that cannot be taken must not stand in the way of
    /// what is behind them.
    async fn take(&self, batch: &mut Batch, line: Line, room: usize, by: Timestamp) -> Result<Vec<RunId>, Error> {
        let mut wanted = room;
        loop {
            let (at, limit) = (micros(by), i64::try_from(wanted).unwrap_or(i64::MAX));
            let rows = match line {
                Line::Priority(priority) => batch.conn().rows(CLAIMABLE, params![priority, at, limit]).await?,
                Line::Turns => batch.conn().rows(turns::CLAIMABLE_TURNS, params![at, limit]).await?,
                Line::Scaffolds => batch.conn().rows(CLAIMABLE_SCAFFOLDS, params![at, limit]).await?,
            };
            let mut taken = batch.take_in(&rows)?;
            if taken.len() >= room || rows.len() < wanted || wanted >= MOST_LOOKED_AT {
                taken.truncate(room);
                return Ok(taken);
            }
            wanted = wanted.saturating_mul(4).min(MOST_LOOKED_AT);
        }
    }
}

/// Which runs are taken where there is not room for all: those that are `due`, then of the `near` ones, which may be
/// among them, as many as fit. Pure.
fn due_first(mut due: Vec<RunId>, near: &[RunId], room: usize) -> Vec<RunId> {
    let known: BTreeSet<RunId> = due.iter().copied().collect();
    due.extend(near.iter().filter(|id| !known.contains(id)));
    due.truncate(room);
    due
}

impl Operation for Claim {
    type Answer = Vec<Run>;

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        batch.flush().await?;
        let ids = self.candidates(batch).await?;
        let mut claimed = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(run) = batch.run(id).await? else { continue };
            let event = Event::Claimed {
                worker: self.worker.clone(),
                attempt: AttemptNo::after(run.attempts),
                lease_until: self.lease_until,
                uptime: self.uptime.clone(),
            };
            if let Ok(run) = batch.change(id, event, self.at).await? {
                claimed.push(run);
            }
        }
        Ok(claimed)
    }
}

struct Renew {
    worker: WorkerId,
    until: Timestamp,
}

impl Operation for Renew {
    type Answer = Vec<RunId>;

    async fn perform(&self, batch: &mut Batch) -> Result<Self::Answer, Error> {
        batch.flush().await?;
        let rows = batch.conn().rows(RENEW, params![micros(self.until), self.worker.as_str()]).await?;
        let mut ids = Vec::with_capacity(rows.len());
        for row in rows {
            ids.push(row::run_id(&row.text(0)?)?);
        }
        ids.sort_unstable();
        batch.renewed(&ids, self.until);
        Ok(ids)
    }
}
