//! The engine proved by simulation, on a real store and a virtual clock.
#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

mod ahead;
mod cron_jobs;
mod declared_jobs;
mod endings;
mod explanations;
mod jobs;
mod loops;
mod nodes;
mod provisions;
mod scaffolds;
mod site;
mod stories;
mod year;
