//! The engine proved by simulation, on a real store and a virtual clock.

mod site;
mod stories;
