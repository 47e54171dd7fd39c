//! New ids, from the clock and a seedable source of random bytes.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use piton_model::RunId;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// Makes run ids; with a fixed seed the same ones every time.
#[derive(Debug)]
pub(crate) struct Ids(Mutex<StdRng>);

impl Ids {
    pub(crate) fn new(seed: Option<u64>) -> Ids {
        Ids(Mutex::new(seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64)))
    }

    pub(crate) fn run(&self, at: Timestamp) -> RunId {
        let mut random = [0; 10];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut random);
        RunId::new(at, random)
    }
}
