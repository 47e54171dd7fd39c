//! Processes, groups, jobs and cronjobs, as provisr has them in files and over HTTP.
//!
//! Files hold `{type, spec}` in TOML, YAML or JSON; requests hold the `spec` alone. Both are read by the same readers,
//! which differ in two things: where programs write, whole numbers are nanoseconds and zero or empty is what nobody
//! said; in requests, paths are absolute. What is written here is read here again, and means the same.

mod batch;
mod command;
mod confinement;
pub(crate) mod dotenv;
mod hooks;
mod items;
pub(crate) mod join;
mod json;
mod mask;
mod output;
mod pointers;
mod policy;
mod probes;
pub(crate) mod process;
pub(crate) mod program;
mod request;
mod restart;
mod rewrite;
mod stop;
mod surroundings;
pub(crate) mod template;
mod write;

pub use json::{Secrets, batch_to_json, cronjob_to_json, job_to_json, process_to_json};
pub use mask::{mask, unmask};
pub use program::Kind;
pub use request::{Parsed, check_in, parse_cronjob, parse_job, parse_process};
pub use surroundings::{ProcessDefaults, Surroundings};
pub use write::{
    WriteError, program_file, put_back, read_declaration, read_program, remove_program, rewrite_program, write_program,
};
