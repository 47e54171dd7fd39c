-- The ledger. One text for both engines; the words in double braces and the lines that begin with an engine's name
-- are what differs by necessity (see dialect.rs).
--
-- Columns exist because a query needs them; everything else is in `body`, the JSON of the typed value.
-- Times are microseconds since 1970 in UTC.

-- One row: the position of the last entry. Taking its row lock is what makes a writer the only one.
CREATE TABLE ledger (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    head BIGINT NOT NULL
)
--postgres WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)
;
INSERT INTO ledger (id, head) VALUES (1, 0);

-- What happened, in one total order without gaps.
--   run_id   the run it happened to
--   skipped  the subject of a due time that made no run
CREATE TABLE events (
    seq     {{bigint_key}},
    at      BIGINT NOT NULL,
    run_id  {{text}},
    skipped {{text}},
    body    {{text}} NOT NULL
);
CREATE INDEX events_run ON events (run_id, seq) WHERE run_id IS NOT NULL;
CREATE INDEX events_skipped ON events (seq) WHERE skipped IS NOT NULL;
CREATE INDEX events_skipped_subject ON events (skipped, seq) WHERE skipped IS NOT NULL;

-- Runs that have not ended, and only those: however many have ended, this stays small.
--   due_at    when something is due by itself: a claim, the end of the lease, the expiry of the gate
--   queue_at  when it was first due, which with `seq` is its place in the queue of its lock; a retry keeps the place
--   seq       the entry that says it was submitted
CREATE TABLE runs (
    id       {{text}} PRIMARY KEY,
    subject  {{text}} NOT NULL,
    phase    {{text}} NOT NULL CHECK (phase IN ('pending', 'running', 'gated')),
    due_at   BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    lock_key {{text}},
    queue_at BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    worker   {{text}},
    body     {{text}} NOT NULL
)
-- Every row is updated a few times and then deleted: leave room in the pages, and clean up by count, not by share.
--postgres WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000)
;
CREATE INDEX runs_claimable ON runs (priority, due_at, seq) WHERE phase = 'pending';
CREATE INDEX runs_queue ON runs (lock_key, queue_at, seq) WHERE phase = 'pending' AND lock_key IS NOT NULL;
CREATE INDEX runs_deadline ON runs (due_at, worker) WHERE phase IN ('running', 'gated');
CREATE INDEX runs_subject ON runs (subject, id);
-- The backstop: whatever the program thinks, two active runs never hold the same lock.
CREATE UNIQUE INDEX runs_lock ON runs (lock_key) WHERE phase IN ('running', 'gated');

-- Runs that have ended. They came here in the statement that ended them, and never change.
CREATE TABLE run_history (
    id        {{text}} PRIMARY KEY,
    subject   {{text}} NOT NULL,
    outcome   {{text}} NOT NULL,
    ended_at  BIGINT NOT NULL,
    ended_seq BIGINT NOT NULL,
    body      {{text}} NOT NULL
);
CREATE INDEX run_history_subject ON run_history (subject, id);
CREATE INDEX run_history_ended ON run_history (ended_at, id);

-- Which run a trigger made, whether that run is over or not.
CREATE TABLE run_keys (
    dedup_key {{text}} PRIMARY KEY,
    run_id    {{text}} NOT NULL
);

-- What people see of a subject, and the entry that made it so (0 where it was imported).
CREATE TABLE projections (
    subject {{text}} PRIMARY KEY,
    body    {{text}} NOT NULL,
    seq     BIGINT NOT NULL
)
--postgres WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000)
;

-- Up to when the fires of a subject's schedules are settled.
CREATE TABLE schedules (
    subject   {{text}} PRIMARY KEY,
    cursor_at BIGINT NOT NULL
);

-- Up to which entry a follower has acted.
CREATE TABLE followers (
    name     {{text}} PRIMARY KEY,
    position BIGINT NOT NULL
);

-- Subjects whose triggers are held back.
CREATE TABLE suspensions (
    subject {{text}} PRIMARY KEY,
    by_whom {{text}} NOT NULL,
    at      BIGINT NOT NULL
);
