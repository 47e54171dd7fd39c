//! When the memory is given back that was needed to do much at once. Pure.

/// So much has to have happened for it to be worth the while.
const MUCH: u64 = 200;

/// Looks now and then how much has happened so far.
#[derive(Debug, Default)]
pub struct Bursts {
    /// As of the last look.
    seen: u64,
    /// As of when something was last given back.
    given_back: u64,
}

impl Bursts {
    /// Whether much has happened, and nothing since the last look. Once for each time.
    pub fn is_over(&mut self, happened: u64) -> bool {
        let is_quiet = std::mem::replace(&mut self.seen, happened) == happened;
        let is_over = is_quiet && happened.saturating_sub(self.given_back) >= MUCH;
        if is_over {
            self.given_back = happened;
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_once_when_nothing_more_happens() {
        let mut bursts = Bursts::default();
        let looks = [0, 0, 150, 3000, 4000, 4000, 4000, 4010, 4010, 4150, 4200, 4200, 4200];
        let over = looks.map(|happened| bursts.is_over(happened));
        let expected = [5, 11];
        for (look, is_over) in over.into_iter().enumerate() {
            assert_eq!(is_over, expected.contains(&look), "look {look}");
        }
    }
}
