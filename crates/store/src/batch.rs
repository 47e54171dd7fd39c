//! One write transaction: rows are loaded once, changed in memory, and written together at the end.
//!
//! An operation decides on what it sees here before anything is written, so one that is refused by its own logic
//! leaves no trace and does not disturb the others of its transaction. A statement that searches (a claim, say) must
//! see what was decided before it: such operations call [`Batch::flush`] first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use piton_model::{
    DedupKey, Event, IllegalTransition, LedgerEntry, NewRun, Phase, Projection, Record, Run, RunId, RunState,
    ScheduleId, Seq, Subject,
};
use piton_vault::Vault;

use crate::Error;
use crate::db::{Conn, Param, Row, params};
use crate::dialect::Dialect;
use crate::events::AUDIT;
use crate::known::{Held, Known, Place, Seen};
use crate::provisions::{self, Following};
use crate::row;
use crate::statement::Column::{Int, Text};
use crate::statement::{In, Rows};
use crate::turns::{self, Turn};

// The row lock on the head makes this transaction the only writing one among all nodes, from its first statement.
pub(crate) const LOCK_HEAD: &str = "UPDATE ledger SET head = head WHERE id = 1 RETURNING head";
pub(crate) const WRITE_HEAD: &str = "UPDATE ledger SET head = ";

pub(crate) const LOAD_LIVE: In = In { head: "SELECT body, due_at, queue_at, seq FROM runs WHERE id IN", tail: "" };
pub(crate) const LOAD_ENDED: In = In { head: "SELECT body FROM run_history WHERE id IN", tail: "" };
pub(crate) const LOAD_PROJECTIONS: In = In { head: "SELECT subject, body FROM projections WHERE subject IN", tail: "" };
pub(crate) const LOAD_KEYS: In = In { head: "SELECT dedup_key, run_id FROM run_keys WHERE dedup_key IN", tail: "" };

pub(crate) const DELETE_RUNS: In = In { head: "DELETE FROM runs WHERE id IN", tail: "" };
pub(crate) const WRITE_RUNS: Rows = Rows {
    head: "INSERT INTO runs (id, subject, phase, due_at, priority, lock_key, queue_at, seq, worker, caller, turn, body)",
    columns: &[Text, Text, Text, Int, Int, Text, Int, Int, Text, Text, Int, Text],
    tail: "",
};
/// Only what changes of a run that is there: to insert it and find out costs more.
pub(crate) const MOVE_RUNS: Rows = Rows {
    head: "UPDATE runs SET phase = v.column2, due_at = v.column3, worker = v.column4, body = v.column5 FROM (",
    columns: &[Text, Text, Int, Text, Text],
    tail: ") AS v WHERE runs.id = v.column1",
};
pub(crate) const WRITE_HISTORY: Rows = Rows {
    head: "INSERT INTO run_history (id, subject, outcome, ended_at, ended_seq, body)",
    columns: &[Text, Text, Text, Int, Int, Text],
    tail: "",
};
pub(crate) const WRITE_KEYS: Rows =
    Rows { head: "INSERT INTO run_keys (dedup_key, run_id)", columns: &[Text, Text], tail: "" };
pub(crate) const WRITE_PROJECTIONS: Rows = Rows {
    head: "INSERT INTO projections (subject, body, seq)",
    columns: &[Text, Text, Int],
    tail: " ON CONFLICT (subject) DO UPDATE SET body = excluded.body, seq = excluded.seq",
};
pub(crate) const WRITE_EVENTS: Rows = Rows {
    head: "INSERT INTO events (seq, at, run_id, skipped, topic, body)",
    columns: &[Int, Int, Text, Text, Text, Text],
    tail: "",
};

/// What is written together, as far as there is something of it.
pub(crate) const TOGETHER: [&Rows; 4] = [&WRITE_HISTORY, &WRITE_KEYS, &WRITE_PROJECTIONS, &WRITE_EVENTS];

/// Moves the head, and tells other nodes.
pub(crate) fn write_head(head: Seq, dialect: Dialect) -> String {
    format!("{WRITE_HEAD}{head} WHERE id = 1{}", dialect.announce())
}

/// What operations want loaded before they begin, so that one statement loads it for all of them.
#[derive(Default)]
pub(crate) struct Needs {
    pub(crate) runs: BTreeSet<RunId>,
    pub(crate) subjects: BTreeSet<Subject>,
    pub(crate) keys: BTreeSet<DedupKey>,
}

impl Needs {
    /// What submitting `runs` needs.
    pub(crate) fn submission(&mut self, runs: &[NewRun]) {
        for run in runs {
            self.runs.insert(run.id);
            self.subjects.insert(run.subject.clone());
            self.keys.extend(run.dedup_key.clone());
        }
    }
}

/// Why a change to a run was not made.
pub(crate) enum NotChanged {
    NotFound,
    Illegal(IllegalTransition),
}

/// What is known after a commit.
pub(crate) struct Committed {
    pub(crate) conn: Conn,
    /// Whether there is something new to be seen among the scheduled provisions.
    pub(crate) provisions: bool,
    pub(crate) known: Known,
    /// What the ledger has grown by.
    pub(crate) written: Vec<LedgerEntry>,
}

/// A write transaction.
pub(crate) struct Batch {
    conn: Conn,
    vault: Vault,
    head: Seq,
    /// The ledger has grown, or something else changed that other nodes should look at.
    announce: bool,
    /// Loaded or new runs; `None` where there is none with that id.
    runs: BTreeMap<RunId, Option<Box<Held>>>,
    projections: BTreeMap<Subject, Seen>,
    keys: HashMap<DedupKey, Option<RunId>>,
    new_keys: Vec<(DedupKey, RunId)>,
    entries: Vec<LedgerEntry>,
    /// Those of them that were flushed.
    written: Vec<LedgerEntry>,
    /// Rows of scheduled provisions that have to follow their runs.
    following: Vec<Following>,
    /// Whether they may: else somebody keeps their table locked, and they follow later.
    follows: bool,
    /// There is something new to be seen among the scheduled provisions.
    provisions: bool,
}

impl Batch {
    /// Begins the transaction and becomes the only writer. Rows of scheduled provisions are written where it `follows`.
    pub(crate) async fn begin(conn: Conn, vault: Vault, known: Known, follows: bool) -> Result<Batch, Error> {
        // To a database on another host every statement is a way there and back, and others wait for the lock.
        let begin = format!("{}; ", conn.dialect().begin());
        Batch::take_turn(conn, begin, vault, known, follows).await
    }

    /// The same in a transaction that `begin` begins, or that has begun already.
    pub(crate) async fn take_turn(
        mut conn: Conn,
        begin: String,
        vault: Vault,
        known: Known,
        follows: bool,
    ) -> Result<Batch, Error> {
        let rows = conn.script_rows(format!("{begin}{LOCK_HEAD}{}", conn.dialect().wait_little())).await;
        // The turn did not come: that is nobody's lock of a table.
        let rows = rows.map_err(|error| match error {
            Error::Locked(detail) => Error::Unavailable(detail),
            error => error,
        })?;
        let head = match rows.first() {
            Some(row) => row.int(0)?,
            None => return Err(Error::Refused("the table `ledger` is empty".to_owned())),
        };
        let Known { runs, projections, .. } = if known.head == head { known } else { Known::default() };
        Ok(Batch {
            conn,
            vault,
            head,
            announce: false,
            runs,
            projections,
            keys: HashMap::new(),
            new_keys: Vec::new(),
            entries: Vec::new(),
            written: Vec::new(),
            following: Vec::new(),
            follows,
            provisions: false,
        })
    }

    /// Commits what was [flushed](Batch::flush), and gives the connection back.
    pub(crate) async fn commit(mut self) -> Result<Committed, Error> {
        let mut end = self.conn.dialect().wait_long().to_owned();
        if let Some(announce) = self.conn.dialect().announce_provisions().filter(|_| self.provisions) {
            end.push_str(&announce);
            end.push_str("; ");
        }
        if self.announce {
            end.push_str(&write_head(self.head, self.conn.dialect()));
            end.push_str("; ");
        }
        end.push_str("COMMIT");
        self.conn.script(end).await?;
        let known = Known::of(self.head, self.runs, self.projections);
        Ok(Committed { conn: self.conn, provisions: self.provisions, known, written: self.written })
    }

    /// Where the ledger ends with what was decided so far.
    pub(crate) fn head(&self) -> Seq {
        self.head
    }

    /// The connection, for statements that search. Call [`Batch::flush`] first.
    pub(crate) fn conn(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// Makes other nodes look, although no entry may tell them why.
    pub(crate) fn announce(&mut self) {
        self.announce = true;
    }

    /// Makes whoever waits for scheduled provisions look, here and on other nodes.
    pub(crate) fn wake_provisions(&mut self) {
        self.provisions = true;
    }

    /// Lets a row follow its run, at the next flush.
    pub(crate) fn follow(&mut self, row: Following) {
        self.following.push(row);
    }

    /// Writes the rows that have to follow their runs. One that another program holds has to do so later, and so have
    /// all where it holds the table. Whether all could.
    pub(crate) async fn follow_runs(&mut self, now: Timestamp) -> Result<bool, Error> {
        if self.following.is_empty() {
            return Ok(true);
        }
        if !self.follows {
            self.following.clear();
            return Ok(false);
        }
        // Of several changes of one row the last one counts.
        let latest: BTreeMap<ScheduleId, Following> =
            self.following.drain(..).map(|following| (following.id(), following)).collect();
        let may_wait_again = latest.values().filter(|following| following.may_wait_again());
        let may_wait_again: BTreeSet<String> = may_wait_again.map(|following| following.id().to_string()).collect();
        let params = latest.values().flat_map(|following| following.params(now)).collect();
        let follow = &provisions::statements(self.conn.dialect()).follow;
        let followed = self.conn.write_rows_returning(follow, params).await?;
        // One that is held is no news yet, and would be tried again at once for being some.
        for row in &followed {
            self.provisions |= may_wait_again.contains(&row.text(0)?);
        }
        Ok(followed.len() == latest.len())
    }

    /// Loads what several operations need with one statement each.
    pub(crate) async fn load(&mut self, needs: Needs) -> Result<(), Error> {
        let mut subjects = needs.subjects;
        let ids: Vec<String> =
            needs.runs.iter().filter(|id| !self.runs.contains_key(id)).map(ToString::to_string).collect();
        if !ids.is_empty() {
            let mut missing: BTreeSet<RunId> =
                needs.runs.iter().filter(|id| !self.runs.contains_key(id)).copied().collect();
            for row in self.conn.rows_in(&LOAD_LIVE, &ids).await? {
                let run = row::run(&self.vault, &row.text(0)?, Some(row.int(1)?))?;
                missing.remove(&run.id);
                subjects.insert(run.subject.clone());
                self.hold(run, Place::Live, (row.int(2)?, row.int(3)?));
            }
            if !missing.is_empty() {
                let ids: Vec<String> = missing.iter().map(ToString::to_string).collect();
                for row in self.conn.rows_in(&LOAD_ENDED, &ids).await? {
                    let run = row::run(&self.vault, &row.text(0)?, None)?;
                    missing.remove(&run.id);
                    self.hold(run, Place::History, (0, 0));
                }
                self.runs.extend(missing.into_iter().map(|id| (id, None)));
            }
        }
        self.load_projections(&subjects).await?;
        let keys: Vec<DedupKey> = needs.keys.into_iter().filter(|key| !self.keys.contains_key(key)).collect();
        if !keys.is_empty() {
            let texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
            self.keys.extend(keys.into_iter().map(|key| (key, None)));
            for row in self.conn.rows_in(&LOAD_KEYS, &texts).await? {
                self.keys.insert(DedupKey::new(row.text(0)?), Some(row::run_id(&row.text(1)?)?));
            }
        }
        Ok(())
    }

    async fn load_projections(&mut self, subjects: &BTreeSet<Subject>) -> Result<(), Error> {
        let unseen = subjects.iter().filter(|subject| !self.projections.contains_key(subject));
        let missing: Vec<(Subject, Projection)> =
            unseen.filter_map(|subject| Some((subject.clone(), Projection::empty(subject)?))).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = missing.iter().map(|(subject, _)| subject.to_string()).collect();
        for (subject, projection) in missing {
            self.projections.insert(subject, Seen { projection, changed: None });
        }
        for row in self.conn.rows_in(&LOAD_PROJECTIONS, &texts).await? {
            let subject = row::subject(&row.text(0)?)?;
            let projection = row::projection(&row.text(0)?, &row.text(1)?)?;
            self.projections.insert(subject, Seen { projection, changed: None });
        }
        Ok(())
    }

    /// Forgets projections that a statement of its own may have written.
    pub(crate) fn forget_projections<'a>(&mut self, subjects: impl Iterator<Item = &'a Subject>) {
        for subject in subjects {
            self.projections.remove(subject);
        }
    }

    fn hold(&mut self, run: Run, place: Place, queue: (i64, Seq)) {
        self.runs.insert(run.id, Some(Box::new(Held { run, place, queue, turn: None, changed: None, claimed: false })));
    }

    /// Takes in live runs that a searching statement found, as `body, due_at, queue_at, seq` and the body of what is seen
    /// of the subject. A run that cannot be read, or whose secrets are sealed with another's key, is left where it is: it
    /// must not keep the others from going on.
    pub(crate) fn take_in(&mut self, rows: &[Row]) -> Result<Vec<RunId>, Error> {
        let mut ids = Vec::with_capacity(rows.len());
        for found in rows {
            match row::run(&self.vault, &found.text(0)?, Some(found.int(1)?)) {
                Ok(Run { id, sealed: Some(sealed), .. }) => {
                    // Not louder: it comes up again at each claim, and the run says it of itself when it is asked.
                    tracing::debug!(run = %id, key = sealed.key, "left a run that is sealed with a key that is not known here");
                }
                Ok(run) => {
                    ids.push(run.id);
                    if !self.projections.contains_key(&run.subject)
                        && let Some(empty) = Projection::empty(&run.subject)
                    {
                        let body = found.maybe_text(4)?;
                        let seen = body.map(|body| row::projection(&run.subject.to_string(), &body)).transpose()?;
                        let seen = Seen { projection: seen.unwrap_or(empty), changed: None };
                        self.projections.insert(run.subject.clone(), seen);
                    }
                    self.hold(run, Place::Live, (found.int(2)?, found.int(3)?));
                }
                Err(error) => tracing::error!(%error, "skipped a run that cannot be read"),
            }
        }
        Ok(ids)
    }

    /// A run with this id, ended or not.
    pub(crate) async fn run(&mut self, id: RunId) -> Result<Option<&Run>, Error> {
        if !self.runs.contains_key(&id) {
            self.load(Needs { runs: BTreeSet::from([id]), ..Needs::default() }).await?;
        }
        Ok(self.runs.get(&id).and_then(Option::as_ref).map(|held| &held.run))
    }

    /// The run that `key` made.
    pub(crate) async fn run_of_key(&mut self, key: &DedupKey) -> Result<Option<RunId>, Error> {
        if !self.keys.contains_key(key) {
            self.load(Needs { keys: BTreeSet::from([key.clone()]), ..Needs::default() }).await?;
        }
        Ok(self.keys.get(key).copied().flatten())
    }

    /// Forgets runs and keys that a statement of its own removed.
    pub(crate) fn forget(&mut self, runs: &[RunId], keys: &[DedupKey]) {
        for id in runs {
            self.runs.remove(id);
        }
        for key in keys {
            self.keys.remove(key);
        }
    }

    /// The lease of these runs was extended by a statement of its own.
    pub(crate) fn renewed(&mut self, ids: &[RunId], until: Timestamp) {
        for id in ids {
            if let Some(Some(held)) = self.runs.get_mut(id)
                && let RunState::Running { lease, .. } = &mut held.run.state
            {
                lease.until = until;
            }
        }
    }

    /// Adds a new run. The caller has made sure that neither its id nor its key is taken.
    pub(crate) async fn submit(&mut self, new: NewRun, at: Timestamp) -> Result<Run, Error> {
        let event = Event::Submitted { due: new.due };
        let run = Run::submitted(new, at);
        let queue = (run.due().map_or(0, row::micros), self.head + 1);
        if let Some(key) = &run.dedup_key {
            self.keys.insert(key.clone(), Some(run.id));
            self.new_keys.push((key.clone(), run.id));
        }
        let turn = self.turn(&run).await?;
        let id = run.id;
        self.put(run.clone(), Place::Nowhere, queue, event, at).await?;
        if let Some(Some(held)) = self.runs.get_mut(&id) {
            held.turn = turn;
        }
        Ok(run)
    }

    /// The place that a new run gets in the line of deployments.
    async fn turn(&mut self, run: &Run) -> Result<Option<Turn>, Error> {
        let Some(caller) = turns::caller(run) else { return Ok(None) };
        self.flush().await?;
        let number = |rows: Vec<Row>| rows.first().map_or(Ok(None), |row| row.maybe_int(0));
        let last = number(self.conn.rows(turns::LAST_OF_CALLER, params![caller.as_str()]).await?)?;
        let waiting = number(self.conn.rows(turns::FIRST_WAITING, params![]).await?)?;
        let begun = number(self.conn.rows(turns::LAST_BEGUN, params![]).await?)?;
        Ok(Some(Turn { caller, number: turns::next(last, waiting, begun) }))
    }

    /// Lets `event` happen to a run, if it may.
    pub(crate) async fn change(
        &mut self,
        id: RunId,
        event: Event,
        at: Timestamp,
    ) -> Result<Result<Run, NotChanged>, Error> {
        let Some(before) = self.run(id).await? else { return Ok(Err(NotChanged::NotFound)) };
        let run = match before.apply(&event, at) {
            Ok(run) => run,
            Err(illegal) => return Ok(Err(NotChanged::Illegal(illegal))),
        };
        let (place, queue, turn, was_claimed) = match self.runs.get(&id) {
            Some(Some(held)) => (held.place, held.queue, held.turn.clone(), held.claimed),
            _ => (Place::Nowhere, (0, 0), None, false),
        };
        let claimed = was_claimed || matches!(event, Event::Claimed { .. });
        self.put(run.clone(), place, queue, event, at).await?;
        if let Some(Some(held)) = self.runs.get_mut(&id) {
            held.turn = turn;
            held.claimed = claimed;
        }
        Ok(Ok(run))
    }

    async fn put(
        &mut self,
        run: Run,
        place: Place,
        queue: (i64, Seq),
        event: Event,
        at: Timestamp,
    ) -> Result<(), Error> {
        if !self.projections.contains_key(&run.subject) {
            self.load_projections(&BTreeSet::from([run.subject.clone()])).await?;
        }
        let seq = self.head + 1;
        if let Some(seen) = self.projections.get_mut(&run.subject) {
            seen.projection = seen.projection.after(&run, &event, at);
            seen.changed = Some(seq);
        }
        self.following.extend(Following::run(&run));
        let record = Record::Run { run: run.id, subject: run.subject.clone(), event, outcome: run.outcome().cloned() };
        self.runs
            .insert(run.id, Some(Box::new(Held { run, place, queue, turn: None, changed: Some(seq), claimed: false })));
        self.append(record, at);
        Ok(())
    }

    /// Appends an entry to the ledger.
    pub(crate) fn append(&mut self, record: Record, at: Timestamp) {
        self.head += 1;
        self.entries.push(LedgerEntry { seq: self.head, at, record });
    }

    /// Writes what was decided so far.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.announce = true;
        let history = self.flush_runs().await?;
        if let Some(last) = self.entries.last()
            && !self.follow_runs(last.at).await?
        {
            // Whoever waits for provisions lets them catch up.
            self.provisions = true;
        }
        let keys = self.new_keys.drain(..).flat_map(|(key, run)| params![key.to_string(), run.to_string()]).collect();
        let mut projections = Vec::new();
        for (subject, seen) in &mut self.projections {
            let Some(seq) = seen.changed.take() else { continue };
            projections.extend(params![subject.to_string(), row::projection_body(&seen.projection)?, seq]);
        }

        let mut entries = Vec::with_capacity(self.entries.len() * WRITE_EVENTS.width());
        for entry in &self.entries {
            let (run, skipped, topic) = match &entry.record {
                Record::Run { run, .. } => (Some(run.to_string()), None, None),
                Record::Skipped { subject, .. } => (None, Some(subject.to_string()), None),
                Record::Removed { .. } => (None, None, None),
                Record::Audit(_) => (None, None, Some(AUDIT)),
            };
            let body = row::record_body(&entry.record)?;
            entries.extend(params![entry.seq, row::micros(entry.at), run, skipped, topic, body]);
        }
        self.written.append(&mut self.entries);
        let values = [history, keys, projections, entries];
        self.conn.write_together(TOGETHER.into_iter().zip(values).collect()).await
    }

    /// Runs that ended leave the hot table first, so that whoever takes over their lock finds it free. What the history is
    /// to say of them.
    async fn flush_runs(&mut self) -> Result<Vec<Param<'static>>, Error> {
        let (mut gone, mut history, mut moved, mut new) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let vault = self.vault.clone();
        for held in self.runs.values_mut().flatten() {
            let Some(changed) = held.changed.take() else { continue };
            let Held { run, queue, turn, .. } = &**held;
            let id = run.id.to_string();
            let subject = run.subject.to_string();
            let body = row::run_body(&vault, run)?;
            if let (Some(outcome), Some(known)) = (run.outcome(), run.known_to_have_ended()) {
                if held.place == Place::Live {
                    gone.push(id.clone());
                }
                // Whoever removes what is old has looked at the times before already.
                history.extend(params![id, subject, outcome.kind().as_str(), row::micros(known), changed, body]);
                held.place = Place::History;
                continue;
            }
            let (phase, due, worker) = (run.phase().as_str(), run.due().map_or(0, row::micros), worker_column(run));
            if held.place == Place::Live {
                moved.extend(params![id, phase, due, worker, body]);
            } else {
                new.extend(params![
                    id,
                    subject,
                    phase,
                    due,
                    i64::from(run.priority),
                    run.lock_key.as_ref().map(|key| key.as_str().to_owned()),
                    queue.0,
                    queue.1,
                    worker,
                    turn.as_ref().map(|turn| turn.caller.clone()),
                    turn.as_ref().map(|turn| turn.number),
                    body,
                ]);
                held.place = Place::Live;
            }
        }
        self.conn.run_in(&DELETE_RUNS, &gone).await?;
        self.conn.write_rows(&MOVE_RUNS, moved).await?;
        self.conn.write_rows(&WRITE_RUNS, new).await?;
        Ok(history)
    }
}

fn worker_column(run: &Run) -> Option<String> {
    debug_assert_ne!(run.phase(), Phase::Ended, "ended runs are in the history");
    run.lease().map(|lease| lease.worker.as_str().to_owned())
}
