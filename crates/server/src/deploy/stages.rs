//! The log of a run, cut into the logs of its stages.

use piton_logs::{LogStore, Part};
use piton_model::RunId;

use super::view::{Stage, StageLogs};
use crate::problem::Answer;

/// How much of the end of each log is told with the status; the rest is behind `/logs`.
const MOST: u64 = 1024 * 1024;

/// The end of each stage's log.
pub(super) async fn read(logs: &LogStore, run: RunId) -> Answer<StageLogs> {
    let parts = logs.parts(run).await?;
    let mut told = StageLogs::default();
    for stage in [Stage::Init, Stage::Plan, Stage::Apply] {
        let (pieces, left_out) = last(parts.iter().filter(|part| stage_of(part) == Some(stage)), MOST);
        let mut bytes = vec![];
        for (start, end) in pieces {
            let most = usize::try_from(end - start).unwrap_or(usize::MAX);
            bytes.extend(logs.read(run, start, most).await?.bytes);
        }
        let text = String::from_utf8_lossy(&bytes);
        *told.of(stage) = match left_out {
            0 => text.into_owned(),
            count => {
                format!("piton: the first {count} bytes are left out; GET /deploy/{run}/logs has all of it\n{text}")
            }
        };
    }
    Ok(told)
}

/// Tokens are `RUN/ATTEMPT/STEP/WHAT`.
fn stage_of(part: &Part) -> Option<Stage> {
    part.token.split('/').nth(2).and_then(Stage::of_word)
}

/// The places of the last `most` bytes, in order, and how many bytes come before them. Pure.
fn last<'a>(parts: impl DoubleEndedIterator<Item = &'a Part>, most: u64) -> (Vec<(u64, u64)>, u64) {
    let (mut pieces, mut room, mut left_out) = (vec![], most, 0);
    for part in parts.rev() {
        let taken = room.min(part.end - part.start);
        if taken > 0 {
            pieces.push((part.end - taken, part.end));
        }
        room -= taken;
        left_out += part.end - part.start - taken;
    }
    pieces.reverse();
    (pieces, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(token: &str, start: u64, end: u64) -> Part {
        Part { token: token.to_owned(), start, end }
    }

    #[test]
    fn the_end_of_a_log_is_what_is_told() {
        let parts = [part("r/1/plan/plan", 0, 10), part("r/1/plan/note", 10, 15), part("r/2/plan/plan", 20, 30)];
        assert_eq!(last(parts.iter(), 100), (vec![(0, 10), (10, 15), (20, 30)], 0));
        assert_eq!(last(parts.iter(), 12), (vec![(13, 15), (20, 30)], 13));
        assert_eq!(last(parts.iter(), 10), (vec![(20, 30)], 15));
        assert_eq!(last([].iter(), 10), (vec![], 0));
    }

    #[test]
    fn each_part_belongs_to_a_stage() {
        let stage = |token| stage_of(&part(token, 0, 1));
        assert_eq!(stage("r/1/prepare/tool"), Some(Stage::Init));
        assert_eq!(stage("r/1/checkout/commit"), Some(Stage::Init));
        assert_eq!(stage("r/3/apply/apply"), Some(Stage::Apply));
        assert_eq!(stage("r/3/outputs/outputs"), Some(Stage::Apply));
        assert_eq!(stage("r/1/execute/run"), None);
        assert_eq!(stage("odd"), None);
    }
}
