//! What a server says to a push: its report, and what its hooks print.

use super::{DOING, Job};
use crate::error::Error;
use crate::pkt::{Malformed, Packet, Packets};

/// What hooks print is kept up to here.
const LONGEST_TALK: usize = 2000;

/// Why a report makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoReport {
    #[error(transparent)]
    Frame(#[from] Malformed),
    #[error("a frame belongs to no band")]
    Band,
}

/// A report.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// `ok`, or why the pack was not kept.
    unpack: Option<String>,
    /// Of each branch whether it was made, or why not.
    refs: Vec<(String, Result<(), String>)>,
    /// What hooks and the server printed.
    talk: String,
    /// Why the server gave up.
    fatal: Option<String>,
}

impl Report {
    pub(super) fn parse(text: &[u8], side_band: bool) -> Result<Report, NoReport> {
        let mut report = Report::default();
        let mut inner = Vec::new();
        let mut talk = Vec::new();
        if side_band {
            let mut packets = Packets::of(text);
            while let Some(packet) = packets.next()? {
                let Packet::Data(data) = packet else { continue };
                match data.split_first() {
                    Some((1, rest)) => inner.extend_from_slice(rest),
                    Some((2, rest)) if talk.len() < LONGEST_TALK => talk.extend_from_slice(rest),
                    Some((2, _)) => {}
                    Some((3, rest)) => report.fatal = Some(readable(rest)),
                    _ => return Err(NoReport::Band),
                }
            }
        }
        let mut packets = Packets::of(if side_band { &inner } else { text });
        while let Some(packet) = packets.next()? {
            let Some(line) = packet.line() else { continue };
            let line = String::from_utf8_lossy(line);
            if let Some(unpack) = line.strip_prefix("unpack ") {
                report.unpack = Some(unpack.to_owned());
            } else if let Some(name) = line.strip_prefix("ok ") {
                report.refs.push((name.to_owned(), Ok(())));
            } else if let Some((name, why)) = line.strip_prefix("ng ").and_then(|rest| rest.split_once(' ')) {
                report.refs.push((name.to_owned(), Err(why.to_owned())));
            }
        }
        report.talk = readable(&talk);
        Ok(report)
    }

    /// Whether the branch was made, and why not.
    pub(super) fn judge(self, job: Job<'_>) -> Result<(), Error> {
        let text = self.talk;
        let branch = job.branch.as_str().to_owned();
        let fatal = self.fatal.filter(|fatal| !fatal.is_empty());
        match self.unpack.as_deref() {
            Some("ok") => {}
            Some(reason) => {
                return Err(Error::PushRefused { content: blames_content(&text), reason: reason.to_owned(), text });
            }
            None => {
                let problem = fatal.unwrap_or_else(|| format!("there is no report {text}").trim_end().to_owned());
                // The server went away in the middle.
                return Err(Error::PushRefused { content: blames_content(&text), reason: problem, text });
            }
        }
        let full = job.branch.full();
        let reason = match self.refs.into_iter().find(|(name, _)| *name == full) {
            Some((_, Ok(()))) => return Ok(()),
            Some((_, Err(reason))) => reason,
            None => {
                return Err(Error::Unexpected { doing: DOING, problem: format!("the report says nothing of {full}") });
            }
        };
        let lower = format!("{reason} {text}").to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        Err(if says(&["protected branch", "protected ref", "branch protection", "gh006", "gh013"]) {
            Error::Protected { branch, text: if text.is_empty() { reason } else { text } }
        } else if says(&["hook declined", "hook failed"]) {
            Error::HookDeclined { reason, text }
        } else if says(&["failed to update ref", "already exists", "cannot lock ref", "failed to lock", "fetch first"])
        {
            Error::Raced { branch, reason }
        } else {
            Error::PushRefused { reason, text, content: true }
        })
    }
}

/// Whether the server says that it does not like what is in the pack, as opposed to its disk being full.
fn blames_content(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["fsck", "object ", "exceeds", "too large", "larger than", "maximum allowed size"]
        .iter()
        .any(|word| lower.contains(word))
}

/// Printed text as one paragraph: without colours, without lines that only frame it.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            // A colour, up to its letter.
            '\u{1b}' => drop(chars.by_ref().find(char::is_ascii_alphabetic)),
            '\r' | '\n' | '\t' => plain.push(' '),
            char if char.is_control() => {}
            char => plain.push(char),
        }
    }
    plain
        .split_whitespace()
        .filter(|word| word.chars().any(|char| !matches!(char, '=' | '-' | '*' | '#' | '>' | '<')))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::{Commit, Identity, Words};
    use crate::pkt;
    use crate::tree::{Limits, Tree};

    fn code(talk: &str, lines: &[&str], fatal: Option<&str>) -> Result<(), &'static str> {
        let identity = Identity::new("a", "a@example.org").unwrap();
        let mut tree = Tree::new(Limits::default());
        tree.file("a", "a", false).unwrap();
        let words = Words {
            author: identity.clone(),
            committer: identity,
            date: jiff::Timestamp::UNIX_EPOCH,
            message: "a".to_owned(),
            run: "a".parse().unwrap(),
        };
        let commit = Commit::build(&tree, &words).unwrap();
        let branch = "main".parse().unwrap();
        let job = Job { commit: &commit, branch: &branch, only_if_empty: false, repository: "a", fresh: false };
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        for line in lines {
            pkt::write(&mut inner, line.as_bytes());
        }
        pkt::write_flush(&mut inner);
        pkt::write(&mut outer, &[b"\x02", talk.as_bytes()].concat());
        pkt::write(&mut outer, &[b"\x01", inner.as_slice()].concat());
        if let Some(fatal) = fatal {
            pkt::write(&mut outer, &[b"\x03", fatal.as_bytes()].concat());
        }
        pkt::write_flush(&mut outer);
        Report::parse(&outer, true).unwrap().judge(job).map_err(|error| error.code())
    }

    #[test]
    fn reports_are_judged() {
        let main = "refs/heads/main";
        let gitlab =
            "\u{1b}[31mGitLab: You are not allowed to push code to protected branches on this project.\u{1b}[0m\n";
        let ng = |why: &str| format!("ng {main} {why}\n");
        for (talk, lines, expected) in [
            ("", vec!["unpack ok\n".to_owned(), format!("ok {main}\n")], Ok(())),
            (gitlab, vec!["unpack ok\n".to_owned(), ng("pre-receive hook declined")], Err("branch_protected")),
            ("", vec!["unpack ok\n".to_owned(), ng("protected branch hook declined")], Err("branch_protected")),
            ("no!", vec!["unpack ok\n".to_owned(), ng("pre-receive hook declined")], Err("push_hook_declined")),
            ("", vec!["unpack ok\n".to_owned(), ng("failed to update ref")], Err("push_raced")),
            ("", vec!["unpack ok\n".to_owned(), ng("deny updating a hidden ref")], Err("push_refused")),
            ("", vec!["unpack index-pack abnormal exit\n".to_owned(), ng("unpacker error")], Err("push_refused")),
            ("", vec!["unpack ok\n".to_owned()], Err("forge_answer_invalid")),
            ("", vec![], Err("push_refused")),
        ] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(code(talk, &lines, None), expected, "{talk} {lines:?}");
        }
        assert_eq!(code("", &[], Some("fatal: disk full")), Err("push_refused"));
    }

    #[test]
    fn printed_text_is_readable() {
        let text = "remote:\n\u{1b}[31m====\u{1b}[0m\n\tERROR: no\u{7}\r\n====\n";
        assert_eq!(readable(text.as_bytes()), "remote: ERROR: no");
    }
}
