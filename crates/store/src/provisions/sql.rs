//! The statements about scheduled provisions.
//!
//! Differs by necessity: on PostgreSQL other programs share the table, with the types of PostgreSQL
//! (`docs/adr/0007-scheduled-provisions.md`). What a statement does stands here once; how a value of the table becomes one
//! of the two types that this crate knows, and back, stands in [`Words`].

use std::sync::LazyLock;

use crate::dialect::Dialect;
use crate::statement::Column::{self, Int, Text};
use crate::statement::{Rows, SIZES};

/// What is written of a new row, in this order.
const INSERT_COLUMNS: &[Column] = &[Text, Text, Text, Text, Text, Int, Text, Text, Text, Text, Text, Text, Int];
/// What is written of a row whose run changed, in this order: see [`Statements::follow`].
const FOLLOW_COLUMNS: &[Column] = &[Text, Text, Int, Text, Int, Int, Int, Text, Text, Int];

/// The statements in one dialect.
pub(crate) struct Statements {
    /// Rows that are due by their own time, and when their runs ended: until when, how many.
    pub(crate) due: String,
    /// The same, of those that come after a row: until when, how many, its time and id.
    pub(crate) due_after: String,
    /// Rows that are to be tried (again): until when, how many.
    pub(crate) again: String,
    /// When the first of either is due.
    pub(crate) next: String,
    /// One row.
    pub(crate) one: String,
    /// One row that nobody else is changing, and when its run ended.
    pub(crate) one_to_change: String,
    /// A row that waited, as it is after somebody altered it: id, schedule time, zone, status, approval, who approved,
    /// error, next attempt, first run, now, retry count, reason of who approved.
    pub(crate) alter: String,
    /// Rows whose run has ended, as this row never heard: the body of the run too, none where it is gone.
    pub(crate) behind: String,
    /// Rows that wait for a time that never comes.
    pub(crate) never: String,
    /// Rows that wait although somebody refused them, and when their runs ended.
    pub(crate) refused: String,
    /// Whether there is a row of one of these kinds.
    pub(crate) astray: String,
    /// Runs under way whose rows somebody has cancelled or deleted.
    pub(crate) unwanted: String,
    /// The columns that [`super::row`] reads, for lists.
    pub(crate) list: String,
    /// All of them, in the order of their ids: how many.
    pub(crate) all: String,
    /// The same, of those that come after a row: how many, its id.
    pub(crate) all_after: String,
    /// One more condition of a list: it has one of the tags in a JSON array.
    pub(crate) tagged: &'static str,
    /// One more condition of a list: it comes after a row in the order of the list.
    pub(crate) after: String,
    pub(crate) insert: Rows,
    /// Follows runs: id, status, when it was executed, error, whether the error stays, retry count, next attempt, first
    /// run, last run, now. Leaves rows alone that somebody else is changing, and answers with the ids of the others.
    pub(crate) follow: Rows,
    /// A row that cannot be read: id, why, now.
    pub(crate) spoil: String,
}

/// How the types of the table are read and written.
struct Words {
    /// A time as microseconds; none where this crate knows no such moment.
    time: fn(&str) -> String,
    /// The same of a time by which rows are sorted: a number before or after all moments where there is none.
    place: fn(&str) -> String,
    /// The same of a time to look at: the first or last moment where there is none.
    clamped: fn(&str) -> String,
    /// The end of all moments: [`super::row::LAST`].
    last: &'static str,
    /// Microseconds as a time.
    to_time: fn(&str) -> String,
    /// A value as text.
    text: fn(&str) -> String,
    /// Text as a value of this type.
    cast: fn(&str, &str) -> String,
    /// An array of texts as a JSON array, and one from what [`super::row`] writes of it.
    tags: &'static str,
    to_tags: fn(&str) -> String,
    /// Keeps rows from being changed by anybody else, and leaves those alone that somebody is changing.
    lock: &'static str,
    materialized: &'static str,
    /// The id of a row that a statement has changed which joins it with others.
    returned: &'static str,
}

const SQLITE: Words = Words {
    time: |value| value.to_owned(),
    place: |value| value.to_owned(),
    clamped: |value| value.to_owned(),
    last: "253402207200000000",
    to_time: |value| value.to_owned(),
    text: |value| value.to_owned(),
    cast: |value, _| value.to_owned(),
    tags: "s.tags",
    to_tags: |value| value.to_owned(),
    lock: "",
    materialized: "",
    // There it is always a column of the table that was changed, and must not be told by an alias.
    returned: "id",
};

/// Between which times of PostgreSQL there are moments. Other programs may write such as come long before or after, or never.
const FIRST: &str = "TIMESTAMPTZ '0001-01-01 00:00:00+00'";
const LAST: &str = "TIMESTAMPTZ '9999-12-30 22:00:00+00'";

const POSTGRES: Words = Words {
    time: |value| {
        let is_moment = format!("{value} >= {FIRST} AND {value} < {LAST}");
        format!("CAST(CASE WHEN {is_moment} THEN EXTRACT(EPOCH FROM {value}) * 1000000 END AS BIGINT)")
    },
    place: |value| {
        format!(
            "CAST(CASE WHEN {value} < {FIRST} THEN -9000000000000000000 WHEN {value} >= {LAST} THEN 9000000000000000000 \
             ELSE EXTRACT(EPOCH FROM {value}) * 1000000 END AS BIGINT)"
        )
    },
    clamped: |value| format!("CAST(EXTRACT(EPOCH FROM LEAST(GREATEST({value}, {FIRST}), {LAST})) * 1000000 AS BIGINT)"),
    last: LAST,
    to_time: |value| format!("(TIMESTAMPTZ 'epoch' + CAST({value} AS BIGINT) * INTERVAL '1 microsecond')"),
    text: |value| format!("CAST({value} AS TEXT)"),
    cast: |value, to| format!("CAST({value} AS {to})"),
    tags: "CAST(array_to_json(s.tags) AS TEXT)",
    to_tags: |value| format!("CAST({value} AS TEXT[])"),
    lock: " FOR UPDATE OF s SKIP LOCKED",
    materialized: "MATERIALIZED ",
    returned: "CAST(s.id AS TEXT)",
};

/// The statements in this dialect.
pub(crate) fn statements(dialect: Dialect) -> &'static Statements {
    static IN_SQLITE: LazyLock<Statements> = LazyLock::new(|| write(&SQLITE, Dialect::Sqlite));
    static IN_POSTGRES: LazyLock<Statements> = LazyLock::new(|| write(&POSTGRES, Dialect::Postgres));
    match dialect {
        Dialect::Sqlite => &IN_SQLITE,
        Dialect::Postgres => &IN_POSTGRES,
    }
}

fn write(words: &Words, dialect: Dialect) -> Statements {
    let Words { time, to_time, text, cast, tags, lock, last, clamped, .. } = words;
    let columns = format!(
        "{}, s.job_type, {}, {}, {}, {}, s.timezone, {tags}, s.target_user_email, s.requested_by, s.approval_status, \
         s.status, s.approved_by, {}, {}, {}, s.error_message, {}, {}, s.first_run, s.last_run, \
         s.approval_reason",
        text("s.id"),
        text("s.employee_data"),
        text("s.applications"),
        text("s.payload"),
        (words.place)("s.schedule_time"),
        time("s.created_at"),
        time("s.updated_at"),
        time("s.executed_at"),
        cast("s.retry_count", "BIGINT"),
        time("s.next_attempt_at"),
    );
    // A row that another program put back to waiting while its run is under way has to wait for the run.
    let takeable = format!(
        "s.status = 'pending' AND (s.approval_status IS NULL OR s.approval_status IN ('approved', 'auto_approved')) \
         AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.lock_key = 'provision/' || {} AND r.phase IN ('running', 'gated'))",
        text("s.id"),
    );
    // What takes or alters a row also asks when its run ended, of a row that is in the midst of its tries.
    let ended = "(SELECT h.ended_at FROM run_history h WHERE h.id = s.last_run AND s.first_run IS NOT NULL)";
    let (now, limit) = (to_time("$1"), "$2");
    let due = |after: &str| {
        format!(
            "SELECT {columns}, {ended} FROM scheduled_provisions s WHERE {takeable} AND s.next_attempt_at IS NULL \
             AND s.schedule_time <= {now}{after} ORDER BY s.schedule_time, s.id LIMIT {limit}{lock}"
        )
    };
    let after = format!(" AND (s.schedule_time, s.id) > ({}, {})", to_time("$3"), cast("$4", "UUID"));
    let again = format!(
        "SELECT {columns}, {ended} FROM scheduled_provisions s WHERE {takeable} AND s.next_attempt_at IS NOT NULL \
         AND s.next_attempt_at <= {now} ORDER BY s.next_attempt_at, s.id LIMIT {limit}{lock}"
    );
    let next = format!(
        "SELECT MIN(d.at) FROM (\
           SELECT (SELECT {} FROM scheduled_provisions s WHERE {takeable} AND s.next_attempt_at IS NULL \
           ORDER BY s.schedule_time LIMIT 1) AS at \
           UNION ALL \
           SELECT (SELECT {} FROM scheduled_provisions s WHERE {takeable} AND s.next_attempt_at IS NOT NULL \
           ORDER BY s.next_attempt_at LIMIT 1)) d",
        clamped("s.schedule_time"),
        clamped("s.next_attempt_at"),
    );
    let id = cast("$1", "UUID");
    let one = format!("SELECT {columns} FROM scheduled_provisions s WHERE s.id = {id}");
    let alter = format!(
        "UPDATE scheduled_provisions SET schedule_time = {}, timezone = $3, status = $4, approval_status = $5, \
         approved_by = $6, error_message = $7, next_attempt_at = {}, first_run = $9, updated_at = {}, \
         retry_count = {}, approval_reason = $12 WHERE id = {id}",
        to_time("$2"),
        to_time("$8"),
        to_time("$10"),
        cast("$11", "INTEGER"),
    );
    let is_behind = "s.status = 'executing' AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = s.last_run)";
    let behind = format!(
        "SELECT {}, s.last_run, h.body FROM scheduled_provisions s LEFT JOIN run_history h ON h.id = s.last_run \
         WHERE {is_behind} ORDER BY s.id LIMIT 100",
        text("s.id"),
    );
    let is_never = format!("s.status = 'pending' AND s.schedule_time >= {last}");
    let never = format!(
        "SELECT {columns} FROM scheduled_provisions s WHERE {is_never} ORDER BY s.schedule_time, s.id LIMIT 100{lock}"
    );
    let is_refused = "s.status = 'pending' AND s.approval_status = 'rejected'";
    let refused = format!(
        "SELECT {columns}, {ended} FROM scheduled_provisions s WHERE {is_refused} ORDER BY s.id LIMIT 100{lock}"
    );
    // Waiting rows are many, and so are refused ones: without its order, PostgreSQL might expect one that is both among the
    // first of another index.
    let astray = format!(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM scheduled_provisions s WHERE {is_behind}) \
         OR EXISTS (SELECT 1 FROM scheduled_provisions s WHERE {is_never}) \
         OR (SELECT s.id FROM scheduled_provisions s WHERE {is_refused} ORDER BY s.id LIMIT 1) IS NOT NULL"
    );
    let unwanted = format!(
        "SELECT r.id FROM runs r WHERE r.subject >= 'provision/' AND r.subject < 'provision0' AND NOT EXISTS (\
         SELECT 1 FROM scheduled_provisions s WHERE s.id = {} AND s.status <> 'cancelled')",
        cast("substr(r.subject, 11)", "UUID"),
    );
    let all = format!("SELECT {columns} FROM scheduled_provisions s");
    Statements {
        due: due(""),
        due_after: due(&after),
        again,
        next,
        one_to_change: format!("SELECT {columns}, {ended} FROM scheduled_provisions s WHERE s.id = {id}{lock}"),
        one,
        alter,
        behind,
        never,
        refused,
        astray,
        unwanted,
        all: format!("{all} ORDER BY s.id LIMIT $1"),
        all_after: format!("{all} WHERE s.id > {} ORDER BY s.id LIMIT $1", cast("$2", "UUID")),
        list: all,
        tagged: match dialect {
            Dialect::Sqlite => {
                "EXISTS (SELECT 1 FROM json_each(s.tags) t WHERE t.value IN (SELECT w.value FROM json_each(§) w))"
            }
            Dialect::Postgres => "s.tags && ARRAY(SELECT jsonb_array_elements_text(CAST(§ AS JSONB)))",
        },
        after: format!("(s.schedule_time, s.id) < ({}, {})", to_time("§"), cast("§", "UUID")),
        insert: insert(words),
        follow: follow(words),
        spoil: format!(
            "UPDATE scheduled_provisions SET status = 'failed', error_message = $2, updated_at = {} WHERE id = {id}",
            to_time("$3"),
        ),
    }
}

/// New rows; those whose id is taken are left out of the answer.
fn insert(words: &Words) -> Rows {
    let Words { to_time, cast, to_tags, .. } = words;
    let head = "INSERT INTO scheduled_provisions (id, job_type, employee_data, applications, payload, schedule_time, \
         timezone, tags, target_user_email, requested_by, approval_status, status, created_at, updated_at, retry_count) \
         SELECT {id}, v.column2, {employee}, {applications}, {payload}, {time}, v.column7, {tags}, v.column9, v.column10, \
         v.column11, v.column12, {now}, {now}, 0 FROM (";
    let head = head
        .replace("{id}", &cast("v.column1", "UUID"))
        .replace("{employee}", &cast("v.column3", "JSONB"))
        .replace("{applications}", &cast("v.column4", "JSONB"))
        .replace("{payload}", &cast("v.column5", "JSONB"))
        .replace("{time}", &to_time("v.column6"))
        .replace("{tags}", &to_tags("v.column8"))
        .replace("{now}", &to_time("v.column13"));
    let tail = format!(") AS v WHERE 1 = 1 ON CONFLICT (id) DO NOTHING RETURNING {}", (words.text)("id"));
    Rows { head: keep(head), columns: INSERT_COLUMNS, tail: keep(tail) }
}

fn follow(words: &Words) -> Rows {
    let Words { to_time, cast, lock, materialized, returned, .. } = words;
    let id = cast("v.id", "UUID");
    // What another program wrote last counts where the run has done nothing: nobody tries again what it cancelled, and
    // what it put back to waiting is wanted although its run was cancelled. Where it said for when, that counts if it
    // is later than the next try. What is written of a row goes with it through the lock: to join the two afterwards,
    // without statistics, is to compare each with each.
    let tail = format!(
        "), free AS {materialized}(SELECT s.id AS row_id, v.* FROM v JOIN scheduled_provisions s ON s.id = {id}{lock}) \
         UPDATE scheduled_provisions AS s SET \
         status = CASE WHEN s.status = 'cancelled' AND v.status = 'pending' THEN s.status \
         WHEN s.status = 'pending' AND v.status = 'cancelled' THEN s.status ELSE v.status END, \
         executed_at = COALESCE({executed}, s.executed_at), \
         error_message = CASE WHEN {keep} = 1 THEN s.error_message ELSE v.error END, \
         retry_count = COALESCE({retries}, s.retry_count), \
         next_attempt_at = CASE WHEN s.status = 'executing' OR s.status = 'pending' AND {next} > s.schedule_time \
         THEN {next} END, \
         first_run = v.first_run, last_run = v.last_run, updated_at = {now} \
         FROM free AS v WHERE s.id = v.row_id RETURNING {returned}",
        executed = to_time("v.executed"),
        keep = cast("v.keep", "INTEGER"),
        retries = cast("v.retries", "INTEGER"),
        next = to_time("v.next"),
        now = to_time("v.now"),
    );
    let head = "WITH v (id, status, executed, error, keep, retries, next, first_run, last_run, now) AS (";
    Rows { head, columns: FOLLOW_COLUMNS, tail: keep(tail) }
}

/// For ever: there are two of each.
fn keep(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// The texts of all statements, of every combination of filters and of every number of rows.
pub(crate) fn texts(dialect: Dialect) -> Vec<String> {
    let all = statements(dialect);
    let plain = [
        &all.due,
        &all.due_after,
        &all.again,
        &all.next,
        &all.one,
        &all.one_to_change,
        &all.alter,
        &all.behind,
        &all.never,
        &all.refused,
        &all.astray,
        &all.unwanted,
        &all.all,
        &all.all_after,
        &all.spoil,
    ];
    let mut texts: Vec<String> = plain.into_iter().cloned().collect();
    for size in SIZES {
        texts.extend([&all.insert, &all.follow].map(|rows| rows.sql(dialect, size).to_owned()));
    }
    texts.extend(super::list::texts(dialect));
    texts
}
