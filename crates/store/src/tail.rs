//! The end of the ledger as this node wrote it: whoever follows the ledger need not read that back.

use std::collections::VecDeque;
use std::sync::Arc;

use piton_model::{LedgerEntry, Seq};

/// How many entries are kept. Whoever is further behind reads them from the database.
const MOST: usize = 1_024;

/// The last entries, without gaps. What other nodes wrote is not among them.
#[derive(Debug, Default)]
pub(crate) struct Tail(VecDeque<Arc<LedgerEntry>>);

impl Tail {
    /// Takes in what was just committed.
    pub(crate) fn extend(&mut self, entries: Vec<LedgerEntry>) {
        let follows_on = match (self.0.back(), entries.first()) {
            (Some(last), Some(first)) => last.seq + 1 == first.seq,
            (None, _) | (_, None) => true,
        };
        if !follows_on {
            self.0.clear();
        }
        let more = entries.len().min(MOST);
        let surplus = (self.0.len() + more).saturating_sub(MOST);
        self.0.drain(..surplus);
        self.0.extend(entries.into_iter().rev().take(more).rev().map(Arc::new));
    }

    /// Forgets what stands before an entry: retention has removed it.
    pub(crate) fn forget_before(&mut self, first: Seq) {
        let gone = self.0.iter().take_while(|entry| entry.seq < first).count();
        self.0.drain(..gone);
    }

    /// Those after a position, where all are here, from the very next one to the `head` of the ledger.
    pub(crate) fn after(&self, after: Seq, head: Seq) -> Option<impl Iterator<Item = &Arc<LedgerEntry>>> {
        let (first, last) = (self.0.front()?.seq, self.0.back()?.seq);
        let skipped = usize::try_from(after.checked_add(1)?.checked_sub(first)?).ok()?;
        (skipped < self.0.len() && last >= head).then(|| self.0.range(skipped..))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use piton_model::{Act, By, Deed, Record};

    use super::*;

    fn entries(seqs: std::ops::RangeInclusive<Seq>) -> Vec<LedgerEntry> {
        let record = Record::Audit(Deed::new(By::System, Act::ProvisionsScheduled));
        seqs.map(|seq| LedgerEntry { seq, at: Timestamp::UNIX_EPOCH, record: record.clone() }).collect()
    }

    fn after(tail: &Tail, after: Seq) -> Option<Vec<Seq>> {
        Some(tail.after(after, 0)?.map(|entry| entry.seq).collect())
    }

    #[test]
    fn only_what_is_whole_is_told() {
        let mut tail = Tail::default();
        assert_eq!(after(&tail, 0), None);
        tail.extend(entries(11..=12));
        tail.extend(vec![]);
        tail.extend(entries(13..=14));
        assert_eq!(after(&tail, 10), Some(vec![11, 12, 13, 14]));
        assert_eq!(after(&tail, 12), Some(vec![13, 14]));
        assert_eq!(after(&tail, 9), None, "the tenth is not here");
        assert_eq!(after(&tail, 14), None, "there is nothing to tell");
        assert_eq!(after(&tail, 99), None);
        assert_eq!(after(&tail, Seq::MAX), None);
        assert_eq!(after(&tail, Seq::MIN), None);
        assert!(tail.after(12, 14).is_some());
        assert!(tail.after(12, 15).is_none(), "another node has written the fifteenth");
    }

    #[test]
    fn it_begins_anew_after_what_others_wrote() {
        let mut tail = Tail::default();
        tail.extend(entries(1..=4));
        tail.extend(entries(7..=8));
        assert_eq!(after(&tail, 2), None);
        assert_eq!(after(&tail, 6), Some(vec![7, 8]));
        // A database that was restored goes back.
        tail.extend(entries(3..=3));
        assert_eq!(after(&tail, 2), Some(vec![3]));
    }

    #[test]
    fn it_stays_short() {
        let mut tail = Tail::default();
        for round in 0..10 {
            tail.extend(entries(round * 500 + 1..=round * 500 + 500));
        }
        assert_eq!(tail.0.len(), MOST);
        assert_eq!(after(&tail, 4_999), Some(vec![5_000]));
        assert_eq!(after(&tail, 3_000), None);
        tail.extend(entries(5_001..=9_000));
        assert_eq!(tail.0.len(), MOST);
        assert_eq!(after(&tail, 8_998), Some(vec![8_999, 9_000]));
    }

    #[test]
    fn what_retention_removed_is_not_told() {
        let mut tail = Tail::default();
        tail.extend(entries(1..=9));
        tail.forget_before(4);
        assert_eq!(after(&tail, 0), None, "whoever asks for all of them asks the database");
        assert_eq!(after(&tail, 3), Some((4..=9).collect()));
    }
}
