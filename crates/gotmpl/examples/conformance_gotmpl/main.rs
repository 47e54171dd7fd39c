//! Judges templates by `gotmpl_exec.json` and `gotmpl_sprig.json`, tables of what Go's `text/template` and sprig print.
//!
//! ```text
//! cargo run -p piton-gotmpl --example conformance_gotmpl -- DIR
//! ```
//!
//! `DIR` defaults to the environment variable `PITON_CONFORMANCE_DIR`.
#![expect(clippy::print_stdout, reason = "the report is the purpose of this program")]

mod stand_ins;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use piton_gotmpl::{Functions, Limits, MissingKey, Options, Surroundings, Template, Value};
use serde_json::Value as Json;

/// What is expected of a row, and what was found.
struct Verdict {
    expected: String,
    found: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(problem) => {
            println!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the report and returns the number of failures.
fn run() -> Result<usize, String> {
    let dir = std::env::args_os()
        .nth(1)
        .or_else(|| std::env::var_os("PITON_CONFORMANCE_DIR"))
        .ok_or("usage: conformance_gotmpl DIR (or set PITON_CONFORMANCE_DIR)")?;
    let dir = PathBuf::from(dir);
    let language = read(&dir, "gotmpl_exec.json")?;
    let sprig = read(&dir, "gotmpl_sprig.json")?;
    let functions = Functions::sprig(&Surroundings {
        now: Arc::new(|| Timestamp::UNIX_EPOCH),
        zone: TimeZone::UTC,
        random: Arc::new(|bytes| bytes.fill(7)),
    });
    let fixtures = &language["fixtures"];
    let (mut passed, mut failed) = (0, 0);
    let mut judge = |rows: &Json, verdict: &dyn Fn(&Json) -> Result<Verdict, String>| -> Result<(), String> {
        for row in rows.as_array().ok_or("a table is no list")? {
            if row["status"] == "skip" {
                continue;
            }
            let id = row["id"].as_str().unwrap_or("?");
            match verdict(row) {
                Ok(Verdict { expected, found }) if expected == found => passed += 1,
                Ok(Verdict { expected, found }) => {
                    failed += 1;
                    println!("FAIL {id} {}\n     expected {expected:?}\n     found    {found:?}", row["template"]);
                }
                Err(problem) => {
                    failed += 1;
                    println!("FAIL {id}: {problem}");
                }
            }
        }
        Ok(())
    };
    judge(&language["cases"], &|row| executed(row, fixtures, &Functions::default()))?;
    judge(&language["parse_cases"], &parsed)?;
    judge(&sprig["cases"], &|row| executed(row, fixtures, &functions))?;
    println!("{passed} passed, {failed} failed");
    Ok(failed)
}

fn read(dir: &Path, name: &str) -> Result<Json, String> {
    let path = dir.join(name);
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

fn text<'a>(row: &'a Json, name: &str) -> Result<&'a str, String> {
    row[name].as_str().ok_or_else(|| format!("there is no `{name}`"))
}

fn executed(row: &Json, fixtures: &Json, functions: &Functions) -> Result<Verdict, String> {
    let expected = if row["ok"] == true {
        format!("ok: {}", text(row, "output")?)
    } else {
        let partial = row["partial_output"].as_str().map(|partial| format!("{partial} then ")).unwrap_or_default();
        match row["error"].as_str() {
            Some(error) => format!("{partial}error: {error}"),
            None => "error".into(),
        }
    };
    let mut options = Options { functions: functions.clone(), ..Options::default() };
    for name in row["funcs"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        stand_ins::add(&mut options.functions, name)?;
    }
    if let Some([left, right]) = row["delims"].as_array().map(Vec::as_slice) {
        left.as_str().unwrap_or_default().clone_into(&mut options.left);
        right.as_str().unwrap_or_default().clone_into(&mut options.right);
    }
    options.missing_key = match row["missingkey"].as_str() {
        None | Some("default" | "invalid") => MissingKey::Default,
        Some("zero") => MissingKey::Zero,
        Some("error") => MissingKey::Error,
        Some(other) => return Err(format!("unknown missingkey {other}")),
    };
    let data = match row["data_ref"].as_str() {
        Some(name) => &fixtures[name],
        None => &row["data"],
    };
    let mut output = Vec::new();
    let found = match render(row, &options, &Value::from(data), &mut output)? {
        Ok(()) => format!("ok: {}", String::from_utf8_lossy(&output)),
        Err(error) if row["error"].is_string() => {
            let partial = String::from_utf8_lossy(&output);
            let told = row["partial_output"].is_string();
            format!("{}error: {error}", if told { format!("{partial} then ") } else { String::new() })
        }
        Err(error) if row["ok"] == true => format!("error: {error}"),
        Err(_) => "error".into(),
    };
    Ok(Verdict { expected, found })
}

/// The outer error is one of the table.
fn render(row: &Json, options: &Options, data: &Value, output: &mut Vec<u8>) -> Result<Result<(), String>, String> {
    let name = row["template_name"].as_str().unwrap_or("t");
    let earlier = row["parse_also"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let mut texts = earlier.chain([text(row, "template")?]);
    let parsed = Template::parse(name, texts.next().unwrap_or_default(), options);
    let rendered = parsed.map_err(|error| error.to_string()).and_then(|mut template| {
        for text in texts {
            template.add(name, text, options).map_err(|error| error.to_string())?;
        }
        // As deep as Go goes.
        let limits = Limits { depth: 100_000, ..Limits::default() };
        let entry = row["entry"].as_str().unwrap_or(name);
        template.render_named(entry, data, output, &limits).map_err(|error| error.to_string())
    });
    Ok(rendered)
}

fn parsed(row: &Json) -> Result<Verdict, String> {
    let mut options = Options::default();
    stand_ins::add(&mut options.functions, "contains")?;
    let name = text(row, "name")?;
    Ok(match Template::parse(name, text(row, "template")?, &options) {
        Ok(template) => {
            let expected = if row["ok"] == true { text(row, "tree")?.to_owned() } else { "error".into() };
            Verdict { expected, found: template.canonical(name).unwrap_or_default() }
        }
        Err(error) => {
            let expected = row["error"].as_str().or(row["error_contains"].as_str()).unwrap_or("no error");
            let found = error.to_string();
            let found = if row["error"].is_string() || !found.contains(expected) { found } else { expected.to_owned() };
            Verdict { expected: expected.to_owned(), found }
        }
    })
}
