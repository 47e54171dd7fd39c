//! Logs of runs.

use std::pin::pin;

use futures_util::StreamExt;
use piton_api::{LogItem, LogStart};

use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::routes;
use crate::session::{Purpose, Session};
use crate::watch::{self, Seen};

/// How many lines are recent.
pub const RECENT: usize = 200;

/// Which part of a log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part {
    /// Go on until the run ends.
    pub follow: bool,
    /// Only so many last lines of what is there.
    pub tail: Option<usize>,
}

impl Part {
    /// Without a daemon nobody but this process brings a run to the end that is waited for.
    pub fn purpose(self) -> Purpose {
        if self.follow { Purpose::Follow } else { Purpose::Look }
    }
}

/// Prints the log of a run. Logs are text in every format.
pub async fn print(context: &Context, session: &Session, run: &str, part: Part) -> Result<Exit, Failure> {
    let path = format!("{}/logs", routes::run(run));
    if !part.follow {
        let path = routes::with_query(&path, &[("tail", part.tail.map(|lines| lines.to_string()))]);
        let mut pieces = pin!(session.client().pieces(&path).await?);
        let mut lines = WholeLines::default();
        while let Some(piece) = pieces.next().await {
            context.out.text(&lines.push(&piece?))?;
        }
        context.out.text(&lines.finish())?;
        return Ok(Exit::Ok);
    }
    let start = part.tail.map_or(LogStart::At(0), LogStart::Last);
    match watch::follow(context, session, run, start).await? {
        Seen::Settled(_) => Ok(Exit::Ok),
        Seen::Left => Ok(Exit::Interrupted),
    }
}

/// Behind all lines that the log of a run has now.
pub async fn end(session: &Session, run: &str) -> Result<LogStart, Failure> {
    let mut log = pin!(session.client().follow_log(run, LogStart::Last(0)).await?);
    match log.next().await.transpose()? {
        Some(LogItem::Begin(offset)) => Ok(LogStart::At(offset)),
        // It does not say where it begins; what was seen is seen again.
        _ => Ok(LogStart::At(0)),
    }
}

/// A line that is longer is printed in several pieces.
const LONGEST_LINE: usize = 1 << 20;

/// Puts lines together again, so that what is printed is cut neither in a character nor in a colour.
#[derive(Debug, Default)]
struct WholeLines {
    rest: Vec<u8>,
}

impl WholeLines {
    /// The lines that `piece` completes.
    fn push(&mut self, piece: &[u8]) -> String {
        self.rest.extend_from_slice(piece);
        let end = match last_line_end(&self.rest) {
            0 if self.rest.len() > LONGEST_LINE => self.rest.len(),
            end => end,
        };
        let lines = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.rest.drain(..end);
        lines
    }

    /// The last line, ended.
    fn finish(mut self) -> String {
        if !self.rest.is_empty() {
            self.rest.push(b'\n');
        }
        String::from_utf8_lossy(&self.rest).into_owned()
    }
}

/// Where the last line that is complete ends.
fn last_line_end(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_complete_with_its_end() {
        assert_eq!(last_line_end(b"one\ntw"), 4, "what is not complete comes with what follows");
        assert_eq!(last_line_end(b""), 0);
    }

    #[test]
    fn a_text_is_printed_in_whole_lines_however_it_is_cut() {
        let text = "one\n\u{e9}\ntwo".as_bytes();
        for cut in 0..text.len() {
            let mut lines = WholeLines::default();
            let printed = lines.push(&text[..cut]) + &lines.push(&text[cut..]);
            assert_eq!(printed, "one\n\u{e9}\n", "cut at {cut}");
            assert_eq!(lines.finish(), "two\n");
        }
        assert_eq!(WholeLines::default().finish(), "");
        let (mut endless, piece) = (WholeLines::default(), vec![b'x'; 100_000]);
        let printed: usize = (0..100).map(|_| endless.push(&piece).len()).sum();
        assert!(printed + LONGEST_LINE >= 10_000_000 && endless.rest.len() <= LONGEST_LINE);
    }
}
