//! Tests of blueprints: whole trees, hostile ones, and the words of both engines.

mod cache;
mod foreign;
mod hostile;
mod jinja;
mod properties;
mod scene;
mod trees;
mod values;
mod written;
