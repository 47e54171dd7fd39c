//! Integration tests of the template language.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its scene has to fail")]

mod differential;
mod language;
mod limits;
mod properties;
mod sprig_functions;

use std::sync::{Arc, OnceLock};

use jiff::tz::TimeZone;
use piton_gotmpl::{Functions, Limits, Options, Surroundings, Template, Value};
use serde_json::Value as Json;

/// All functions, in a world where it is ten o'clock and chance is the byte 7.
fn sprig() -> Functions {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    let make = || {
        Functions::sprig(&Surroundings {
            now: Arc::new(|| "2026-07-01T10:00:00Z".parse().unwrap()),
            zone: TimeZone::UTC,
            random: Arc::new(|bytes| bytes.fill(7)),
        })
    };
    FUNCTIONS.get_or_init(make).clone()
}

fn options() -> Options {
    Options { functions: sprig(), ..Options::default() }
}

/// What the template prints, or what is wrong with it.
fn rendered(template: &str, data: &Json) -> String {
    let template = match Template::parse("t", template, &options()) {
        Ok(template) => template,
        Err(error) => return error.to_string(),
    };
    match template.render_text(&Value::from(data), &Limits::default()) {
        Ok(text) => text,
        Err(error) => error.to_string(),
    }
}

/// Checks a table of templates over the same data.
fn check(data: &Json, cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        assert_eq!(rendered(template, data), *expected, "{template}");
    }
}

/// A seed that the environment names, or another one each time.
fn seed(variable: &str) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    let named = std::env::var(variable).ok().and_then(|seed| seed.parse().ok());
    named.unwrap_or_else(|| RandomState::new().hash_one(variable))
}
