//! What was read from which file, so that a reload reads only what changed.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use piton_model::Digest;

use crate::diagnostic::Diagnostic;
use crate::document::Document;
use crate::layout::Defaults;
use crate::provisr::dotenv::Variables;
use crate::provisr::program::{Inline, ProgramDraft};
use crate::provisr::{ProcessDefaults, Surroundings};
use crate::read_job::JobDraft;
use crate::read_workspace::WorkspaceDraft;
use crate::template::Registry;

/// Everything that earlier loads know about files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cache {
    /// Drafts hold defaults in the place of what they leave out, so other defaults make them void.
    pub(crate) defaults: Option<Defaults>,
    pub(crate) files: BTreeMap<Arc<Path>, Arc<ReadFile>>,
    pub(crate) trees: BTreeMap<PathBuf, Arc<ReadTree>>,
    pub(crate) configured: Configured,
}

/// What the configuration said when it was last good, and what came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configured {
    pub(crate) read: Option<Arc<ReadConfiguration>>,
    /// Content of the environment files.
    pub(crate) variables: BTreeMap<PathBuf, Arc<Variables>>,
    /// All environment files that are named, also by a configuration that is not in force because one is broken.
    pub(crate) env_files: Vec<PathBuf>,
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) inline: Arc<Inline>,
}

/// The part of the configuration that is about processes.
#[derive(Debug)]
pub(crate) struct ReadConfiguration {
    pub(crate) defaults: ProcessDefaults,
    pub(crate) document: Document,
}

/// What one file declares.
#[derive(Debug)]
pub(crate) struct ReadFile {
    pub(crate) stamp: Stamp,
    pub(crate) content: Content,
    pub(crate) diagnostics: Box<[Diagnostic]>,
}

/// The content of a file by its kind; none where the file is broken.
#[derive(Debug)]
pub(crate) enum Content {
    Workspace(Option<Box<WorkspaceDraft>>),
    Job(Option<JobDraft>),
    Registry(Option<Box<Registry>>),
    Configuration(Option<Arc<ReadConfiguration>>),
    Variables(Option<Arc<Variables>>),
    Program(Option<ProgramDraft>),
}

/// The files of a workspace's directory.
#[derive(Debug)]
pub(crate) struct ReadTree {
    pub(crate) stamps: Vec<(PathBuf, Stamp)>,
    pub(crate) digest: Digest,
}

/// What says whether a file changed, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: Nanos,
    changed: Nanos,
}

/// A time of a file, in nanoseconds. Until the year 2262 it is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Nanos(i64);

impl Nanos {
    const SECOND: i64 = 1_000_000_000;

    fn of(seconds: i64, nanos: i64) -> Nanos {
        Nanos(seconds.saturating_mul(Self::SECOND).saturating_add(nanos))
    }

    fn seconds(self) -> i64 {
        self.0.div_euclid(Self::SECOND)
    }
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: Nanos::of(metadata.mtime(), metadata.mtime_nsec()),
            changed: Nanos::of(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether the file had been left alone long enough at `now` for a later write to show in its times. File systems
    /// round times; a file written, read and written again within one tick would look unchanged.
    pub(crate) fn is_settled(&self, now: FileTime) -> bool {
        self.changed.seconds().saturating_add(2) < now.0
    }

    /// The parts that stand for the content of a file that is too large to read.
    pub(crate) fn outline(&self) -> String {
        let modified = self.modified;
        format!("{} {}.{:09}", self.size, modified.seconds(), modified.0.rem_euclid(Nanos::SECOND))
    }
}

/// Seconds of the clock that stamps files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileTime(i64);

impl FileTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "compared with the times of real files, which do not follow the engine's clock; decides only whether \
                  to trust the cache"
    )]
    pub(crate) fn now() -> FileTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        FileTime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }
}
