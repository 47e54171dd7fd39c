//! New ids, from the clock and random bytes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use piton_model::{Ascending, RunId, Subject};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// Makes run ids.
#[derive(Debug)]
pub(crate) enum Ids {
    Ascending(Ascending),
    /// For simulations: the same ids every time. Each subject has a sequence of its own, because several are decided
    /// about at once.
    Seeded {
        seed: u64,
        sequences: Mutex<HashMap<String, StdRng>>,
    },
}

impl Ids {
    pub(crate) fn new(seed: Option<u64>) -> Ids {
        seed.map_or_else(
            || Ids::Ascending(Ascending::default()),
            |seed| Ids::Seeded { seed, sequences: Mutex::default() },
        )
    }

    pub(crate) fn run(&self, subject: &Subject, at: Timestamp) -> RunId {
        self.next(subject.to_string(), at)
    }

    /// Of a deployment, whose subject is named by the id.
    pub(crate) fn deployment(&self, at: Timestamp) -> RunId {
        self.next("deployment".to_owned(), at)
    }

    /// Of a scheduled provision, or of a run of one.
    pub(crate) fn provision(&self, at: Timestamp) -> RunId {
        self.next("provision".to_owned(), at)
    }

    fn next(&self, sequence: String, at: Timestamp) -> RunId {
        let mut random = [0; 10];
        match self {
            Ids::Ascending(ids) => {
                rand::rng().fill_bytes(&mut random);
                ids.next(at, random)
            }
            Ids::Seeded { seed, sequences } => {
                let mut sequences = sequences.lock().unwrap_or_else(PoisonError::into_inner);
                let name = piton_model::Digest::of(format!("{seed} {sequence}").as_bytes());
                let sequence = sequences.entry(sequence).or_insert_with(|| {
                    let mut key = [0; 32];
                    key.copy_from_slice(&name.as_str().as_bytes()[..32]);
                    StdRng::from_seed(key)
                });
                sequence.fill_bytes(&mut random);
                RunId::new(at, random)
            }
        }
    }
}
