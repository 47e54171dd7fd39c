//! Tests of blueprints: whole trees, hostile ones, and the words of both engines.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cache;
mod examples;
mod foreign;
mod hostile;
mod jinja;
mod properties;
mod scene;
mod trees;
mod values;
mod written;
