//! The engine proved by simulation, on a real store and a virtual clock.

mod endings;
mod jobs;
mod nodes;
mod site;
mod stories;
mod year;
