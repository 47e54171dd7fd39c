//! Logs as local files: those of runs, appended, redacted and followed, and those of processes, rotated by the keeper.
//!
//! # Purpose
//!
//! A run's log is what people read when something went wrong, so it has to be complete when something went wrong.
//! Children write their output to *raw* files by themselves and need nobody for it. This crate carries it from there
//! into the run's one log, without the secrets and with a line above that says which command it was, while people
//! follow it.
//!
//! # Theory of operation
//!
//! `<runs>/<run>/log` is the log. `<runs>/<run>/raw/<token>.out` is the output of the child started under that token.
//! `<runs>/<run>/index` says whose bytes are where in the log: sections (one per child), notes (lines of Piton's own)
//! and sections that go on after a note.
//!
//! What a section holds is a function of its header, the raw file, the secrets and the cap: it does not depend on when
//! the raw file was read, or in which pieces. So nothing has to be remembered between crashes. A writer that starts
//! again recomputes each section from its first raw byte, and skips as many bytes as the index says are there. What
//! else the function depends on (header, cap, where the output ended) is in the index, written before the first byte it
//! concerns.
//!
//! Followers wait on one notification per log and read through the page cache; in another process they look at the
//! file's length.
//!
//! The output of a *process* that is kept running goes to files that the keeper writes and rotates. [`RotatedLog`] reads
//! such a file and what was put aside as one log, [`MergedLog`] two of them as one. Nothing is remembered for it but the
//! order of the merged lines: which file a place is in is told by its inode and the time of its birth, which a
//! compressed file carries in its header.
//!
//! # Invariants
//!
//! - Whatever was killed, and when: the same calls made again give the same log, byte for byte (`crash::*`).
//! - No secret reaches the log or a note, however its bytes were cut by writes, reads and crashes (`redact::tests`,
//!   `crash::*`).
//! - But for secrets, output is kept byte for byte: NUL, invalid UTF-8, colours and carriage returns (`sections::*`).
//! - Memory per child is bounded by the longest secret, not by the longest line
//!   (`sections::a_long_line_is_written_in_pieces`).
//! - A follower gets each byte once and in order (`following::*`).
//! - A place in a rotated log goes on exactly where it was, whatever was put aside or compressed meanwhile; what is gone
//!   is told (`rotated::a_place_survives_rotation_and_compression`, `rotated::what_is_gone_is_told`).
//! - The last line of what has ended is shown without its end, and once
//!   (`rotated::the_last_words_of_what_has_ended_are_a_line`).
//! - A log has one writing process, by a lock on its index.
//!
//! # Durability
//!
//! Nothing is synced while a run goes on. After `kill -9` of whatever process all that was written is there, because it
//! is in the page cache; that is the crash that must not show. A power loss ends the children as well: it may cost the
//! last seconds of a log and the index entries about them, which are dropped when the log is opened again. The raw
//! output is discarded only after the log is synced.
//!
//! # Deliberately absent
//!
//! No levels or parsing of what children say. No shipping to other hosts, no retention policy: somebody else decides when
//! [`LogStore::remove`] and [`RotatedLog::keep_up`] are due. Base64 that is wrapped inside a secret is not
//! recognised. A secret that was unknown when its section began must not be added later: the recomputed section would
//! not fit the one in the log.

mod error;
mod follow;
mod forms;
mod hub;
mod index;
mod layout;
mod parts;
mod pump;
mod read;
mod redact;
mod rotated;
mod run_log;
mod section_stream;
mod store;
mod wait;
mod wrapped;
mod writer;

pub use error::Error;
pub use parts::Part;
pub use read::TAIL_LIMIT;
pub use redact::Redactor;
pub use rotated::{
    Cursor, LINE_LIMIT, Lines, MergedLine, MergedLog, MergedPage, OutputStream, Piece, RotatedLog, Upkeep, UpkeepDone,
};
pub use run_log::{RunLog, Section};
pub use store::{Chunk, DEFAULT_CAP, LogStore};
