//! Passwords that were found right a moment ago.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

/// How long it is remembered that a password was right.
const SPAN: SignedDuration = SignedDuration::from_secs(60);
const CAPACITY: usize = 1_000;

/// Remembers digests of what was right, under a salt that nobody learns. They are looked up as keys of a table, which
/// tells a guesser nothing: what they send goes through the salted digest first.
#[derive(Debug)]
pub(super) struct Memory {
    salt: [u8; 32],
    known: HashMap<[u8; 32], Remembered>,
}

#[derive(Debug, Clone)]
struct Remembered {
    user: String,
    generation: u32,
    until: Timestamp,
}

impl Memory {
    pub(super) fn new(salt: [u8; 32]) -> Memory {
        Memory { salt, known: HashMap::new() }
    }

    fn key(&self, name: &str, password: &str) -> [u8; 32] {
        let parts = [&self.salt[..], &name.len().to_le_bytes()[..], name.as_bytes(), password.as_bytes()];
        parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into()
    }

    /// The user whose password this was a moment ago, and in which generation.
    pub(super) fn recall(&self, name: &str, password: &str, now: Timestamp) -> Option<(String, u32)> {
        let found = self.known.get(&self.key(name, password)).filter(|found| found.until > now)?;
        Some((found.user.clone(), found.generation))
    }

    /// This was right.
    pub(super) fn remember(&mut self, (name, password): (&str, &str), user: &str, generation: u32, now: Timestamp) {
        if self.known.len() >= CAPACITY {
            self.known.retain(|_, found| found.until > now);
        }
        if self.known.len() >= CAPACITY {
            self.known.clear();
        }
        let until = now.saturating_add(SPAN).unwrap_or(now);
        let key = self.key(name, password);
        self.known.insert(key, Remembered { user: user.to_owned(), generation, until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_right_is_known_for_a_minute() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut memory = Memory::new([1; 32]);
        memory.remember(("anna", "secret"), "u1", 3, at(0));
        assert_eq!(memory.recall("anna", "secret", at(59)), Some(("u1".to_owned(), 3)));
        assert_eq!(memory.recall("anna", "secret", at(60)), None);
        assert_eq!(memory.recall("annas", "ecret", at(1)), None);
        assert_eq!(memory.recall("anna", "Secret", at(1)), None);
        for number in 0..5_000 {
            memory.remember((&number.to_string(), "x"), "u", 0, at(1));
        }
        assert!(memory.known.len() <= CAPACITY);
    }
}
