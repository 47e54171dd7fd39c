//! The nouns of Piton, the transitions of a run and the invariants of the ledger
