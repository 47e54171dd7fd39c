//! Black-box tests: the real program, real tools, real git, real processes.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![expect(clippy::disallowed_methods, reason = "the tests are outside of the program and see real time and processes")]

mod abuse;
mod approval;
mod archive;
mod attacks;
mod auth;
mod bad_input;
mod batch_jobs;
mod browser;
mod chaos;
mod confined;
mod crash;
mod deploy_commands;
mod deployment_phases;
mod deployments;
mod description;
mod examples;
mod faults;
mod full_disk;
mod hostile;
mod http;
mod jobs;
mod keyed;
mod legacy;
mod login;
mod nowhere;
mod postgres;
mod private;
mod process_commands;
mod processes;
mod provisions;
mod reload;
mod remote;
mod roles;
mod runner;
mod scaffold;
mod schedule;
mod secrets;
mod seed_tools;
mod site;
mod systemd;
mod templates;
mod tls;
mod wire;
mod workspaces;
