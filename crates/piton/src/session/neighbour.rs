//! The daemon of this directory that keeps its data elsewhere: `data.dir` was changed while it ran, and until it is
//! started anew it goes on where it began.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use piton_api::{Client, Overview, ServedBy, Transport};
use piton_spec::{Diagnostic, Explained, Origin, Severity};

use crate::args::Global;
use crate::place::{Place, environment};
use crate::remote::{self, Remote};

/// How long somebody may take to say who they are.
const PATIENCE: Duration = Duration::from_secs(2);

/// A daemon that serves the same declarations from another data directory.
#[derive(Debug)]
pub struct Neighbour {
    /// Where its data is.
    pub data_dir: PathBuf,
    pid: u32,
}

impl Neighbour {
    /// Finds one whose data is in the directory of the declarations. Whoever can put a socket there also says what
    /// `data.dir` is, so what answers is believed.
    pub async fn find(global: &Global, place: &Place) -> Option<Neighbour> {
        if !may_have_moved(global, place) {
            return None;
        }
        for entry in std::fs::read_dir(&place.root).ok()?.flatten() {
            let data_dir = entry.path();
            let socket = Place::socket_in(&data_dir);
            let is_socket = socket.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
            if data_dir == place.data_dir || !is_socket {
                continue;
            }
            let client = Client::new(Transport::Unix(socket), piton_server::BASE);
            if let Some(overview) = serves(&client, place).await {
                return Some(Neighbour { data_dir, pid: overview.pid });
            }
        }
        None
    }

    /// Reaches it.
    pub fn client(&self) -> Client {
        Client::new(Transport::Unix(Place::socket_in(&self.data_dir)), piton_server::BASE)
    }

    /// What to know of it: it answers in place of a daemon that uses `data.dir`.
    pub fn answers(&self, place: &Place) -> Diagnostic {
        let hint = "`piton shutdown` and `piton serve` make it use `data.dir`; what it has written stays where it is";
        told(place, format!("{}, and it answers", self.shown())).hint(hint)
    }

    /// The same, where there is data in `data.dir` that is meant.
    pub fn runs(&self, place: &Place) -> Diagnostic {
        told(place, format!("{}, and it is not asked", self.shown()))
            .hint("`piton shutdown` with that `data.dir` ends it")
    }

    fn shown(&self) -> String {
        shown(self.pid, &self.data_dir)
    }
}

/// What to know of a daemon that keeps its data anywhere else, and says so where the configuration says that one
/// listens. It is not asked for anything more: there, anybody may be listening.
pub async fn at_address(global: &Global, place: &Place) -> Option<Diagnostic> {
    if !may_have_moved(global, place) {
        return None;
    }
    let url = place.address()?;
    let server = remote::parse_url(&url, "server.listen").ok()?;
    let http = Remote::at(server, global, &environment()).ok()?.anonymous().ok()?;
    let overview = serves(&Client::of_server(http).with_patience(PATIENCE), place).await?;
    let data_dir = Path::new(&overview.data_directory);
    if data_dir == place.data_dir {
        return None;
    }
    let message = format!("{}, and it is not asked", shown(overview.pid, data_dir));
    Some(told(place, message).hint(format!("`--server {url}` asks it")))
}

/// Only the usual configuration can be the one that a daemon began with in another wording. Whoever names a file or a
/// data directory for one command means that one.
fn may_have_moved(global: &Global, place: &Place) -> bool {
    let is_named = global.config.is_some() || environment().get("PITON_CONFIG").is_some_and(|file| !file.is_empty());
    !is_named && matches!(origin(place), None | Some(Origin::Default | Origin::File { .. }))
}

/// What a daemon says of itself, if it is one and serves these declarations.
async fn serves(client: &Client, place: &Place) -> Option<Overview> {
    let asked = tokio::time::timeout(PATIENCE, client.get::<Overview>("/overview")).await;
    let overview = asked.ok()?.ok()?;
    let same = Path::new(&overview.directory).canonicalize().ok()? == place.root.canonicalize().ok()?;
    (same && overview.served_by == ServedBy::Daemon).then_some(overview)
}

fn origin(place: &Place) -> Option<Origin> {
    let mut explained = place.config.explain().into_iter();
    explained.find(|Explained { key, .. }| *key == "data.dir").map(|explained| explained.origin)
}

fn shown(pid: u32, data_dir: &Path) -> String {
    format!("the daemon of this directory, process {pid}, keeps its data in {}", data_dir.display())
}

fn told(place: &Place, message: String) -> Diagnostic {
    const CODE: &str = "other_data_directory";
    let mut told = match origin(place) {
        Some(Origin::File { .. }) => place.config.fault("data.dir", CODE, message),
        _ => Diagnostic::warning(&place.root, CODE, message).field("data.dir"),
    };
    told.severity = Severity::Warning;
    told
}
