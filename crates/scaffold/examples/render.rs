//! Renders a blueprint into a directory and tells how long it took.
//!
//! ```text
//! cargo run -p piton-scaffold --example render -- BLUEPRINT ORDER.json OUT
//! ```

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use piton_scaffold::{Blueprint, Limits, Meta, Order, Settings, Surroundings};
use serde_json::Value;

/// Renderings that are timed.
const ROUNDS: u32 = 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(blueprint), Some(order), Some(out)) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: render BLUEPRINT ORDER.json OUT".into());
    };
    let order: Value = serde_json::from_str(&std::fs::read_to_string(order)?)?;
    let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
    let order = Order {
        name: text("name"),
        namespace: text("namespace"),
        values: order["values"].as_object().cloned().unwrap_or_default(),
        meta: Meta {
            timestamp: Timestamp::UNIX_EPOCH,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id: String::new(),
            template: text("template"),
            commit: None,
            kind: String::new(),
        },
    };
    let surroundings = Surroundings {
        now: Arc::new(|| Timestamp::UNIX_EPOCH),
        zone: TimeZone::UTC,
        random: Arc::new(|bytes: &mut [u8]| bytes.fill(7)),
    };
    let settings = Settings { limits: Limits::default(), surroundings };

    let started = Instant::now();
    let blueprint = Blueprint::load(&PathBuf::from(blueprint), &settings)?;
    let loaded = started.elapsed();
    let started = Instant::now();
    let mut tree = blueprint.render(&order)?;
    for _ in 1..ROUNDS {
        tree = blueprint.render(&order)?;
    }
    let rendered = started.elapsed() / ROUNDS;
    tree.write_to(&PathBuf::from(out))?;
    let (files, bytes) = (tree.entries().len(), tree.size());
    writeln!(io::stdout(), "{files} files, {bytes} bytes; loaded in {loaded:?}, rendered in {rendered:?}")?;
    for warning in tree.warnings() {
        writeln!(io::stderr(), "{warning}")?;
    }
    Ok(())
}
