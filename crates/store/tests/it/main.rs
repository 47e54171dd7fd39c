//! The conformance suite of the store, on both engines, and what is particular to each.

mod crash;
mod fixture;
mod model;
mod postgres;
mod races;
mod sqlite;
mod suite;
