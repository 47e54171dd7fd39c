//! What must hold for work to be accepted.

use std::path::Path;
use std::time::Duration;

use axum::http::StatusCode;
use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::state::App;

/// With less than this on the disk of the data directory, a run could not be sure of its log and its state.
const ROOM: u64 = 64 * 1024 * 1024;

/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    name: &'static str,
    /// What is wrong.
    fault: Option<String>,
}

impl Check {
    /// Of something with this name, and of what is wrong with it.
    pub fn new(name: &'static str, fault: Option<String>) -> Check {
        Check { name, fault }
    }

    /// What is wrong, with the name.
    pub fn fault(&self) -> Option<String> {
        self.fault.as_ref().map(|fault| format!("{}: {fault}", self.name))
    }

    fn passed(&self) -> bool {
        self.fault.is_none()
    }

    /// `[+]store ok`, as Kubernetes writes it.
    fn line(&self) -> String {
        match &self.fault {
            None => format!("[+]{} ok\n", self.name),
            Some(fault) => format!("[-]{} failed: {fault}\n", self.name),
        }
    }
}

/// Checks everything. What is told of a fault is for everybody to read, so it names no file and no host.
pub async fn checks(app: &App) -> Vec<Check> {
    let ending = app.front.ending.is_cancelled() || !app.engine.accepting();
    let store = tokio::time::timeout(PATIENCE, app.engine.store().head()).await;
    let answers = store.is_ok_and(|head| head.is_ok());
    let keeper = app.probes.keeper_children().await;
    let supervises = !app.about.supervises() || app.applier.has_applied();
    let check = |name, fault: Option<&str>| Check { name, fault: fault.map(str::to_owned) };
    vec![
        check("accepting", ending.then_some("the daemon ends")),
        check("store", (!answers).then_some("the database does not answer")),
        Check { name: "disk", fault: disk(&app.about.data_directory) },
        check("keeper", keeper.is_none().then_some("the keeper does not answer")),
        check("processes", (!supervises).then_some("the declared processes are not supervised yet")),
    ]
}

/// What `/readyz` answers; `verbose` tells the outcome of each.
pub fn answer(checks: &[Check], verbose: bool) -> (StatusCode, String) {
    let status = if checks.iter().all(Check::passed) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text: String = checks.iter().filter(|_| verbose).map(Check::line).collect();
    text.push_str(if status == StatusCode::OK { "ok\n" } else { "not ready\n" });
    (status, text)
}

fn disk(path: &Path) -> Option<String> {
    let Ok(found) = statvfs(path) else { return Some("the data directory is gone".to_owned()) };
    if found.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Some("the data directory is read-only".to_owned());
    }
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    // File systems that make their inodes as they need them count none.
    let inodes = found.f_files == 0 || found.f_favail > 0;
    (free < ROOM || !inodes).then(|| format!("{} MiB are free", free / 1024 / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(Check { name: "store", fault: None }.line(), "[+]store ok\n");
        let failed = Check { name: "disk", fault: Some("0 MiB are free".to_owned()) };
        assert_eq!(failed.line(), "[-]disk failed: 0 MiB are free\n");
        assert_eq!(failed.fault().as_deref(), Some("disk: 0 MiB are free"));
        let (status, text) = answer(&[Check::new("store", None), failed], true);
        assert_eq!((status.as_u16(), text.as_str()), (503, "[+]store ok\n[-]disk failed: 0 MiB are free\nnot ready\n"));
        let (status, text) = answer(&[Check::new("store", None)], false);
        assert_eq!((status.as_u16(), text.as_str()), (200, "ok\n"));
    }

    #[test]
    fn a_directory_that_is_gone() {
        assert!(disk(Path::new("/nowhere/at/all")).is_some());
    }
}
