//! How many answers in a row make a verdict. Pure.

/// Counts answers of one kind in a row.
#[derive(Debug, Clone)]
pub struct Thresholds {
    success: u32,
    failure: u32,
    last: Option<bool>,
    in_a_row: u32,
    verdict: Option<bool>,
}

impl Thresholds {
    /// So many successes in a row succeed, so many failures in a row fail; 0 counts as 1.
    pub fn new(success: u32, failure: u32) -> Thresholds {
        Thresholds { success: success.max(1), failure: failure.max(1), last: None, in_a_row: 0, verdict: None }
    }

    /// What holds; none before the first verdict.
    pub fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// Counts an answer. Gives the verdict if this changed it.
    pub fn record(&mut self, ok: bool) -> Option<bool> {
        self.in_a_row = if self.last == Some(ok) { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some(ok);
        let needed = if ok { self.success } else { self.failure };
        if self.verdict == Some(ok) || self.in_a_row < needed {
            return None;
        }
        self.verdict = Some(ok);
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The verdict is that of the last row of equal answers that was long enough.
        #[test]
        fn the_verdict_is_of_the_last_row_that_was_long_enough(
            success in 0_u32..5,
            failure in 0_u32..5,
            answers in proptest::collection::vec(any::<bool>(), 0..60),
        ) {
            let mut thresholds = Thresholds::new(success, failure);
            let mut told = None;
            for (index, answer) in answers.iter().enumerate() {
                if let Some(verdict) = thresholds.record(*answer) {
                    prop_assert_ne!(told, Some(verdict), "only changes are told");
                    told = Some(verdict);
                }
                let mut expected = None;
                for end in 0..=index {
                    let row = answers[..=end].iter().rev().take_while(|one| **one == answers[end]).count();
                    let needed = if answers[end] { success } else { failure }.max(1);
                    if row >= needed as usize {
                        expected = Some(answers[end]);
                    }
                }
                prop_assert_eq!(thresholds.verdict(), expected);
                prop_assert_eq!(told, expected);
            }
        }
    }
}
