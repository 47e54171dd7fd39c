//! The files that a run keeps beside its log. They may hold secrets, and go when the run has ended.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use piton_model::{AttemptNo, Digest, Failure, Gate, Report};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::plain::{open_plain, read_plain};
use crate::safe::Safe;
use crate::{durable, failing};

/// It is sealed in memory.
const LARGEST_PLAN: u64 = 1 << 30;

/// The directory of one run.
#[derive(Debug, Clone)]
pub(crate) struct RunFiles {
    dir: PathBuf,
    safe: Safe,
}

/// What a step came to that waits for somebody, when its files are put away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) gate: Gate,
    pub(crate) report: Report,
}

impl RunFiles {
    pub(crate) fn new(dir: PathBuf, safe: Safe) -> RunFiles {
        RunFiles { dir, safe }
    }

    /// What the run's children may use of all this.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// For files that are of no use when the run has ended.
    pub(crate) fn temp(&self) -> PathBuf {
        self.work().join("tmp")
    }

    /// The saved plan.
    pub(crate) fn plan(&self) -> PathBuf {
        self.work().join("plan.tfplan")
    }

    /// The plan that was made again, because the saved one is on another node.
    pub(crate) fn plan_again(&self, attempt: AttemptNo) -> PathBuf {
        self.work().join(format!("plan-{attempt}.tfplan"))
    }

    /// The values of input variables.
    pub(crate) fn variables(&self) -> PathBuf {
        self.work().join("vars.auto.tfvars.json")
    }

    /// The text of a job's script.
    pub(crate) fn script(&self) -> PathBuf {
        self.dir.join("script")
    }

    /// Says that this attempt began what cannot be repeated.
    pub(crate) fn effect(&self, attempt: AttemptNo) -> PathBuf {
        self.dir.join(format!("effect-{attempt}"))
    }

    /// What has to be known of the tasks of a job beyond what the keeper knows.
    pub(crate) fn batch(&self, attempt: AttemptNo) -> PathBuf {
        self.dir.join(format!("batch-{attempt}"))
    }

    /// The directory for the credentials of a fetch.
    pub(crate) fn git(&self) -> PathBuf {
        self.dir.join("git")
    }

    /// What tells the tools about a private registry while they need it.
    pub(crate) fn registry(&self) -> PathBuf {
        self.work().join("registry.tfrc")
    }

    /// The token that is in it, for a step that is resumed.
    pub(crate) fn registry_token(&self) -> PathBuf {
        self.dir.join("registry-token")
    }

    /// The secrets that the plan named, where they cannot be sealed.
    fn secrets(&self) -> PathBuf {
        self.dir.join("secrets.json")
    }

    fn sealed_secrets(&self) -> PathBuf {
        self.dir.join("secrets.sealed")
    }

    fn sealed_plan(&self) -> PathBuf {
        self.dir.join("plan.sealed")
    }

    fn waiting_since(&self, attempt: AttemptNo) -> PathBuf {
        self.dir.join(format!("waiting-{attempt}"))
    }

    /// Makes the directory for the run's children.
    pub(crate) fn make_work(&self) -> Result<(), Failure> {
        let make = |dir: PathBuf| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|error| failing::io("create", &dir, &error))
        };
        make(self.work()).and_then(|()| make(self.temp()))
    }

    /// Remembers what the plan called sensitive, for the steps that follow.
    pub(crate) fn keep_secrets(&self, secrets: &[String]) -> Result<(), Failure> {
        let (path, sealed) = (self.secrets(), self.sealed_secrets());
        if secrets.is_empty() && !path.exists() && !sealed.exists() {
            return Ok(());
        }
        let text = serde_json::to_vec(secrets).map_err(|error| failing::io("write", &path, &error.into()))?;
        if self.safe.put(&sealed, &text)? {
            return remove(&path);
        }
        durable::write(&path, &text, 0o600).map_err(|error| failing::io("write", &path, &error))
    }

    /// What the plan called sensitive.
    pub(crate) fn kept_secrets(&self) -> Result<Vec<String>, Failure> {
        let path = self.secrets();
        let text = match self.safe.get(&self.sealed_secrets())? {
            Some(text) => text,
            None => match fs::read(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(failing::io("read", &path, &error)),
            },
        };
        serde_json::from_slice(&text).map_err(|error| failing::io("read", &path, &error.into()))
    }

    /// Seals the secrets that an earlier version, or a daemon without a key, left in clear; whether there were any.
    pub(crate) fn seal_old_secrets(&self) -> Result<bool, Failure> {
        if !self.secrets().exists() {
            return Ok(false);
        }
        self.keep_secrets(&self.kept_secrets()?)?;
        Ok(!self.secrets().exists())
    }

    /// Puts away the plan, and what it was made from, while a run waits for somebody: sealed, what is needed later, and
    /// what is written anew then not at all. Without a key it does nothing.
    ///
    /// First all is there twice, then it is known what the step came to, then only what is sealed is left: wherever this
    /// is cut off, the step ends the same when it is done again.
    pub(crate) fn put_away(&self, attempt: AttemptNo, waiting: &Waiting) -> Result<bool, Failure> {
        let plan = self.plan();
        let content = read_plain(&plan, LARGEST_PLAN).map_err(|error| failing::io("read", &plan, &error))?;
        if !self.safe.put(&self.sealed_plan(), &content)? {
            return Ok(false);
        }
        let path = self.waiting_since(attempt);
        let text = serde_json::to_vec(waiting).map_err(|error| failing::io("write", &path, &error.into()))?;
        durable::write(&path, &text, 0o600).map_err(|error| failing::io("write", &path, &error))?;
        self.clear_away()?;
        Ok(true)
    }

    /// What an attempt came to whose files are put away, if they are.
    pub(crate) fn waiting(&self, attempt: AttemptNo) -> Result<Option<Waiting>, Failure> {
        let path = self.waiting_since(attempt);
        match fs::read(&path) {
            Ok(text) => {
                self.clear_away()?;
                serde_json::from_slice(&text).map(Some).map_err(|error| failing::io("read", &path, &error.into()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failing::io("read", &path, &error)),
        }
    }

    fn clear_away(&self) -> Result<(), Failure> {
        remove(&self.plan())?;
        remove(&self.variables())
    }

    /// Puts the plan back where the tool finds it, if it was put away.
    pub(crate) fn take_out_plan(&self) -> Result<(), Failure> {
        let plan = self.plan();
        if plan.exists() {
            return Ok(());
        }
        match self.safe.get(&self.sealed_plan())? {
            Some(content) => write(&plan, &content, 0o600),
            None => Ok(()),
        }
    }

    /// Removes everything but the log.
    pub(crate) fn remove(&self) -> io::Result<()> {
        crate::git::remove_credentials(&self.git())?;
        let ours: BTreeSet<PathBuf> =
            [self.script(), self.secrets(), self.sealed_secrets(), self.sealed_plan(), self.registry_token()].into();
        match fs::remove_dir_all(self.work()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if ours.contains(&path)
                || name.starts_with("effect-")
                || name.starts_with("batch-")
                || name.starts_with("waiting-")
                || name.starts_with(".piton-tmp-")
            {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Writes a file that the step would write again. `mode` keeps others out.
pub(crate) fn write(path: &std::path::Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    durable::replace(path, content, mode).map_err(|error| failing::io("write", path, &error))
}

fn remove(path: &std::path::Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failing::io("remove", path, &error)),
        _ => Ok(()),
    }
}

/// SHA-256 of a file; none where there is no such file.
pub(crate) fn file_digest(path: &std::path::Path) -> Result<Option<Digest>, Failure> {
    let read = || -> io::Result<Option<Digest>> {
        let mut file = match open_plain(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut hash = Sha256::new();
        io::copy(&mut file, &mut hash)?;
        Ok(Digest::parse(&hex::encode(hash.finalize())))
    };
    read().map_err(|error| failing::io("read", path, &error))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use piton_model::RunId;
    use piton_vault::{Key, Vault};

    use super::*;

    #[test]
    fn what_is_put_away_comes_back_and_goes_with_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunId::new(Timestamp::UNIX_EPOCH, [1; 10]);
        let files = |vault: Vault| RunFiles::new(dir.path().to_owned(), Safe::new(vault, run));
        let kept = files(Vault::new([Key::generate().unwrap()]));
        kept.make_work().unwrap();
        fs::write(kept.plan(), b"plan").unwrap();
        fs::write(kept.variables(), b"variables").unwrap();
        kept.keep_secrets(&["hunter2".to_owned()]).unwrap();
        let attempt = AttemptNo::after(0);
        let gate = Gate { digest: Digest::of(b"plan"), question: "deploy?".to_owned() };
        let waiting = Waiting { gate, report: Report::default() };
        assert_eq!(kept.waiting(attempt), Ok(None));
        assert_eq!(kept.put_away(attempt, &waiting), Ok(true));
        assert!(!kept.plan().exists() && !kept.variables().exists());

        // Cut off after it was known what the step came to: what lies in clear goes the next time.
        fs::write(kept.plan(), b"plan").unwrap();
        assert_eq!(kept.waiting(attempt), Ok(Some(waiting.clone())));
        assert!(!kept.plan().exists());

        assert_eq!(kept.kept_secrets(), Ok(vec!["hunter2".to_owned()]));
        kept.take_out_plan().unwrap();
        assert_eq!(fs::read(kept.plan()).unwrap(), b"plan");
        assert_eq!(files(Vault::default()).kept_secrets().unwrap_err().code, "file_sealed");
        kept.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_a_key_all_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunId::new(Timestamp::UNIX_EPOCH, [1; 10]);
        let files = RunFiles::new(dir.path().to_owned(), Safe::new(Vault::default(), run));
        files.make_work().unwrap();
        fs::write(files.plan(), b"plan").unwrap();
        files.keep_secrets(&["hunter2".to_owned()]).unwrap();
        let gate = Gate { digest: Digest::of(b"plan"), question: "deploy?".to_owned() };
        let waiting = Waiting { gate, report: Report::default() };
        assert_eq!(files.put_away(AttemptNo::after(0), &waiting), Ok(false));
        assert!(files.plan().exists());
        assert_eq!(files.kept_secrets(), Ok(vec!["hunter2".to_owned()]));
        assert_eq!(files.seal_old_secrets(), Ok(false));
    }
}
