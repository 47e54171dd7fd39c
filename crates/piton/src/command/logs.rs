//! Logs of runs.

use std::pin::pin;

use futures_util::StreamExt;

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
        if self.follow { Purpose::Act } else { Purpose::Look }
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
    let offset = match part.tail {
        None => 0,
        Some(lines) => {
            let text = session.client().text(&path).await?;
            let end = last_line_end(&text);
            context.out.text(&String::from_utf8_lossy(last_lines(&text[..end], lines)))?;
            end as u64
        }
    };
    match watch::follow(context, session, run, offset).await? {
        Seen::Settled(_) => Ok(Exit::Ok),
        Seen::Left => Ok(Exit::Interrupted),
    }
}

/// How long the log of a run is now.
pub async fn length(session: &Session, run: &str) -> Result<u64, Failure> {
    let text = session.client().text(&format!("{}/logs", routes::run(run))).await?;
    Ok(last_line_end(&text) as u64)
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

/// The last lines of a text of whole lines.
fn last_lines(text: &[u8], lines: usize) -> &[u8] {
    let mut ends = text.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let begin = ends.nth(lines).unwrap_or(0);
    if lines == 0 { &[] } else { &text[begin..] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole() {
        let text = b"one\ntwo\nthree\n";
        assert_eq!(last_lines(text, 0), b"");
        assert_eq!(last_lines(text, 1), b"three\n");
        assert_eq!(last_lines(text, 2), b"two\nthree\n");
        assert_eq!(last_lines(text, 3), text);
        assert_eq!(last_lines(text, 9), text);
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
