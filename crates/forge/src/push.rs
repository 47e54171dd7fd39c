//! The first push, as git's own protocol has it: the server says which branches it has, the client says which it wants
//! to make and sends one pack, the server reports. What is said is decided here; who carries it is in the modules.

mod carrier;
mod descent;
mod http;
mod program;
mod report;

use std::collections::BTreeMap;

use crate::commit::Commit;
use crate::error::Error;
use crate::object::ObjectId;
use crate::pkt::{self, Malformed, Packets};
use crate::wanted::BranchName;

pub(crate) use carrier::Carrier;
pub use program::SshKey;
pub(crate) use program::init_bare;

const DOING: &str = "push the first commit";
const ASKING: &str = "see what the branch was made of";
/// What a server may say of its branches. One that is made a moment ago has none.
const MOST_ADVERTISED: usize = 16 << 20;
/// What a server may say to a push, with all that its hooks print.
const MOST_REPORTED: usize = 4 << 20;

/// What is pushed, and where to.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) commit: &'a Commit,
    pub(crate) branch: &'a BranchName,
    /// Nobody says whose the repository is, so one with other branches is not ours.
    pub(crate) only_if_empty: bool,
    /// The repository, for people.
    pub(crate) repository: &'a str,
    /// The repository was made a moment ago.
    pub(crate) fresh: bool,
}

/// A branch that is at another commit than the one that was to be pushed.
#[derive(Clone, Copy)]
pub(crate) struct Descent<'a> {
    /// Where the branch is.
    pub(crate) head: ObjectId,
    /// From where it may have gone on.
    pub(crate) commit: ObjectId,
    /// The repository, for people.
    pub(crate) repository: &'a str,
}

/// What came of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The branch was made.
    Made,
    /// It was there, at this very commit.
    Same,
    /// It was there, at another commit.
    Other(ObjectId),
}

/// What a server says before anything is pushed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Advertisement {
    refs: BTreeMap<String, ObjectId>,
    capabilities: Vec<String>,
}

/// Why an advertisement makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAdvertisement {
    #[error(transparent)]
    Frame(#[from] Malformed),
    #[error("the server says: {0}")]
    Refused(String),
    #[error("this is no advertisement of branches")]
    Other,
    #[error("it ends too early")]
    Cut,
}

impl Advertisement {
    /// What every server would say of a repository without branches.
    fn of_nothing() -> Advertisement {
        let capabilities = ["report-status", "side-band-64k", "agent="].map(str::to_owned).to_vec();
        Advertisement { refs: BTreeMap::new(), capabilities }
    }

    /// Reads what comes before a push. Over HTTP it begins with a section that names the service.
    pub(crate) fn parse(text: &[u8]) -> Result<Advertisement, NoAdvertisement> {
        let mut packets = Packets::of(text);
        let mut found = Advertisement::default();
        let mut names_service = false;
        while let Some(packet) = packets.next()? {
            match packet.line() {
                Some(b"# service=git-receive-pack") => names_service = true,
                Some(line) => found.take(line)?,
                None if names_service => names_service = false,
                None => return Ok(found),
            }
        }
        Err(NoAdvertisement::Cut)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), NoAdvertisement> {
        let text = String::from_utf8_lossy(line);
        if let Some(said) = text.strip_prefix("ERR ") {
            return Err(NoAdvertisement::Refused(said.trim().to_owned()));
        }
        if text.starts_with("version ") || text.starts_with("shallow ") {
            return Ok(());
        }
        let (line, capabilities) = text.split_once('\0').map_or((text.as_ref(), None), |(a, b)| (a, Some(b)));
        if let Some(capabilities) = capabilities {
            self.capabilities = capabilities.split_ascii_whitespace().map(str::to_owned).collect();
        }
        let (id, name) = line.split_once(' ').ok_or(NoAdvertisement::Other)?;
        // The names of a repository with other objects are longer, which is told by its capabilities.
        if let Ok(id) = id.parse::<ObjectId>() {
            if name != "capabilities^{}" && name != ".have" && id != ObjectId::ZERO {
                self.refs.insert(name.to_owned(), id);
            }
        } else if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoAdvertisement::Other);
        }
        Ok(())
    }

    fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known == capability)
    }

    /// What the branch is at, where that decides the push; none where it is to be made.
    pub(crate) fn decide(&self, job: Job<'_>) -> Result<Option<Outcome>, Error> {
        if self.capabilities.iter().any(|known| known.starts_with("object-format=") && known != "object-format=sha1") {
            return Err(Error::Unsupported { forge: "this program", what: "repositories of other objects than SHA-1" });
        }
        match self.refs.get(&job.branch.full()) {
            Some(head) if *head == job.commit.id() => Ok(Some(Outcome::Same)),
            Some(head) => Ok(Some(Outcome::Other(*head))),
            None if job.only_if_empty && !self.refs.is_empty() => {
                Err(Error::Taken { name: job.repository.to_owned(), reason: "it has other branches" })
            }
            None => Ok(None),
        }
    }

    /// What is said before the pack.
    pub(crate) fn command(&self, job: Job<'_>) -> Vec<u8> {
        let mut line = format!("{} {} {}\0", ObjectId::ZERO, job.commit.id(), job.branch.full());
        for wanted in ["report-status", "side-band-64k", "object-format=sha1"] {
            if self.has(wanted) {
                line.push(' ');
                line.push_str(wanted);
            }
        }
        if self.capabilities.iter().any(|known| known.starts_with("agent=")) {
            line.push_str(concat!(" agent=piton/", env!("CARGO_PKG_VERSION")));
        }
        let mut command = Vec::with_capacity(line.len() + 8);
        pkt::write(&mut command, line.as_bytes());
        pkt::write_flush(&mut command);
        command
    }

    /// What the server reported, judged.
    pub(crate) fn judge(&self, reported: &[u8], job: Job<'_>) -> Result<Outcome, Error> {
        let unexpected = |problem: String| Error::Unexpected { doing: DOING, problem };
        if !self.has("report-status") {
            return Err(unexpected("the server does not report what came of it".to_owned()));
        }
        let report = report::Report::parse(reported, self.has("side-band-64k"));
        report.map_err(|malformed| unexpected(malformed.to_string()))?.judge(job).map(|()| Outcome::Made)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

    fn frames(lines: &[&str]) -> Vec<u8> {
        let mut text = Vec::new();
        for line in lines {
            match *line {
                "" => pkt::write_flush(&mut text),
                line => pkt::write(&mut text, line.as_bytes()),
            }
        }
        text
    }

    #[test]
    fn advertisements_of_every_carrier_are_read() {
        let zero = format!("{} capabilities^{{}}\0 report-status side-band-64k agent=git/2", ObjectId::ZERO);
        for lines in [&["# service=git-receive-pack\n", "", &zero, ""][..], &[&zero, ""], &["version 1\n", &zero, ""]] {
            let found = Advertisement::parse(&frames(lines)).unwrap();
            assert!(found.refs.is_empty() && found.has("side-band-64k"), "{found:?}");
        }
        let main = format!("{HEAD} refs/heads/main\0report-status\n");
        let have = format!("{HEAD} .have\n");
        let found = Advertisement::parse(&frames(&["# service=git-receive-pack\n", "", &main, &have, ""])).unwrap();
        assert_eq!(found.refs.keys().collect::<Vec<_>>(), ["refs/heads/main"]);
        let told = |lines: &[&str]| Advertisement::parse(&frames(lines)).unwrap_err();
        assert_eq!(told(&["ERR no such repository", ""]), NoAdvertisement::Refused("no such repository".to_owned()));
        assert_eq!(told(&[&main]), NoAdvertisement::Cut);
        assert_eq!(told(&["hello", ""]), NoAdvertisement::Other);
        assert!(Advertisement::parse(b"<!DOCTYPE html>").is_err());
    }

    proptest! {
        #[test]
        fn no_answer_panics(text in prop::collection::vec(any::<u8>(), 0..200), lines in prop::collection::vec(".{0,60}", 0..5)) {
            let _ = Advertisement::parse(&text);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let _ = Advertisement::parse(&frames(&lines));
            for side_band in [true, false] {
                let _ = report::Report::parse(&text, side_band);
                let _ = report::Report::parse(&frames(&lines), side_band);
            }
        }
    }
}
