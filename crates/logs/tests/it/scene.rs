//! A store in a temporary directory, and a child that is only its raw file.

use std::fs::{self, File, OpenOptions};
use std::future::{pending, ready};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use piton_logs::{LogStore, Redactor, RunLog};
use piton_model::RunId;
use tempfile::TempDir;

pub(crate) const SECRET: &str = "s3cr3t/token+value";

pub(crate) struct Scene {
    pub(crate) dir: TempDir,
    pub(crate) store: LogStore,
    pub(crate) run: RunId,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let store = LogStore::new(dir.path().join("runs"));
        Scene { dir, store, run: "0193a5c0-0000-7000-8000-000000000001".parse().unwrap() }
    }

    pub(crate) fn capped(cap: u64) -> Scene {
        let scene = Scene::new();
        Scene { store: scene.store.clone().with_cap(cap), ..scene }
    }

    /// A store that remembers nothing, as after a restart.
    pub(crate) fn restart(&mut self, cap: u64) {
        self.store = LogStore::new(self.dir.path().join("runs")).with_cap(cap);
    }

    pub(crate) async fn open(&self) -> RunLog {
        self.store.open(self.run, Redactor::new([SECRET.to_owned()])).await.unwrap()
    }

    pub(crate) fn log(&self) -> Vec<u8> {
        fs::read(self.log_path()).unwrap()
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.store.run_dir(self.run).join("log")
    }

    pub(crate) fn raw(&self, token: &str) -> File {
        OpenOptions::new().append(true).create(true).open(self.store.raw_path(self.run, token)).unwrap()
    }

    /// The section of a child that wrote this and ended.
    pub(crate) async fn finished(&self, log: &RunLog, token: &str, output: &[u8]) -> u64 {
        self.raw(token).write_all(output).unwrap();
        self.again(log, token).await
    }

    /// Continues the section of a child that has ended.
    pub(crate) async fn again(&self, log: &RunLog, token: &str) -> u64 {
        let section = log.section(token, &format!("$ {token}")).await.unwrap();
        section.pump(&self.store.raw_path(self.run, token), ready(())).await.unwrap()
    }

    /// Pumps a running child until the log holds `text`, then drops the future.
    pub(crate) async fn pump_until(&self, log: &RunLog, token: &str, text: &[u8]) {
        let section = log.section(token, &format!("$ {token}")).await.unwrap();
        let raw = self.store.raw_path(self.run, token);
        tokio::select! {
            result = section.pump(&raw, pending()) => panic!("the child runs, but the pump ended: {result:?}"),
            () = self.until_log_holds(text) => {}
        }
    }

    pub(crate) async fn until_log_holds(&self, text: &[u8]) {
        let (_running, ended) = tokio::sync::watch::channel(false);
        let mut chunks = Box::pin(self.store.follow(self.run, 0, ended));
        let mut seen = Vec::new();
        let search = async {
            let mut searched = 0;
            while !contains(&seen[searched..], text) {
                searched = seen.len().saturating_sub(text.len());
                let chunk = futures_util::StreamExt::next(&mut chunks).await.unwrap();
                seen.extend(chunk.unwrap().bytes);
            }
        };
        tokio::time::timeout(Duration::from_secs(20), search).await.expect("the log never held the text");
    }
}

pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}
