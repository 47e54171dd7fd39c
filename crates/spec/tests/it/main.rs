//! Black-box tests of the crate: files in, catalogs and diagnostics out.
#![expect(clippy::unwrap_used, clippy::format_push_string, clippy::format_collect, reason = "tests")]

mod bad_input;
mod catalog;
mod config;
mod hostile;
mod place;
mod programs;
mod programs_bad;
mod programs_json;
mod registry;
mod scale;
mod site;
