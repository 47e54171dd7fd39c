//! Chores of the repository as code: `cargo xtask` lists them.
//!
//! What a shell script would do badly (parsing, walking a graph, saying precisely what is wrong and where) lives here
//! and has tests; what a shell script does well (installing packages, chaining commands) lives in `scripts/`.

mod repository;
mod rust_text;
mod tidy;

use std::process::ExitCode;

/// A chore: its name, what it does, and the function that does it.
struct Chore {
    name: &'static str,
    summary: &'static str,
    run: fn() -> anyhow::Result<ExitCode>,
}

const CHORES: &[Chore] =
    &[Chore { name: "tidy", summary: "check the house rules that no compiler checks (STYLE.md)", run: tidy::run }];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let asked = arguments.next();
    match (asked.as_deref(), arguments.next()) {
        (None | Some("help" | "--help" | "-h"), None) => say(std::io::stdout(), &listing(), ExitCode::SUCCESS),
        (Some(name), None) => match CHORES.iter().find(|chore| chore.name == name) {
            Some(chore) => (chore.run)()
                .unwrap_or_else(|error| say(std::io::stderr(), &format!("xtask {name}: {error:#}"), ExitCode::FAILURE)),
            None => say(
                std::io::stderr(),
                &format!("xtask: no chore is called {name:?}\n\n{}", listing()),
                ExitCode::from(2),
            ),
        },
        (_, Some(extra)) => {
            say(std::io::stderr(), &format!("xtask: unexpected argument {extra:?}\n\n{}", listing()), ExitCode::from(2))
        }
    }
}

fn listing() -> String {
    let lines = CHORES.iter().map(|chore| format!("\n  {:<8} {}", chore.name, chore.summary));
    format!("Usage: cargo xtask CHORE\n\nChores:{}", lines.collect::<String>())
}

/// Prints a text and passes the exit code on. A closed pipe is the reader's choice, not an error.
fn say(mut to: impl std::io::Write, text: &str, code: ExitCode) -> ExitCode {
    let _ = writeln!(to, "{text}");
    code
}
