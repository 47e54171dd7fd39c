//! Files of programs that people wrote and that are changed over the API: they keep their format, and as much of their
//! text as can be.
//!
//! In TOML and YAML only the plain values that changed are written anew, so that comments and order stay. Where the
//! change is of another kind, all of the file is, in the same format. Either way the text is read again before it is
//! taken: it declares what was asked for, or is not taken.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::items::pretty;
use super::json::{Secrets, cronjob_to_json, job_to_json, process_to_json};
use super::program::{Kind, ProgramDraft, read_program_file};
use super::surroundings::Surroundings;
use crate::document::{Document, Format, Node, Value};
use crate::duration::format_duration;

/// The text with which `file` declares `spec`, given the one it has; none where no text in its format does.
pub(super) fn rewrite(file: &Path, text: &str, kind: Kind, spec: &Json, around: &Surroundings) -> Option<String> {
    let as_json = pretty(&json!({"type": kind.as_str(), "spec": spec}));
    let format = Format::of(file).unwrap_or(Format::Json);
    if format == Format::Json {
        return Some(as_json);
    }
    let file: Arc<Path> = file.into();
    let wanted = declared(&file, &as_json, Format::Json, around)?;
    let is_wanted = |text: &String| declared(&file, text, format, around).as_ref() == Some(&wanted);
    let spec = as_people_write(spec);
    let known = declared(&file, text, format, around);
    let edited = known.and_then(|known| edit(&file, text, format, &differing(&known, &wanted), &spec));
    if let Some(edited) = edited.filter(is_wanted) {
        return Some(edited);
    }
    let whole = json!({"type": kind.as_str(), "spec": spec});
    let written = match format {
        Format::Toml => toml::to_string(&whole).ok(),
        Format::Yaml | Format::Json => serde_saphyr::to_string(&whole).ok(),
    };
    // YAML holds all of JSON.
    let plain = (format == Format::Yaml).then(|| pretty(&whole));
    written.into_iter().chain(plain).find(is_wanted)
}

/// What a text declares, in the form in which all that says the same is the same.
fn declared(file: &Arc<Path>, text: &str, format: Format, around: &Surroundings) -> Option<Json> {
    let document = Document::parse(file, text.as_bytes().to_vec(), format).ok()?;
    let draft = read_program_file(file, &document, format, around).0?;
    Some(match draft {
        ProgramDraft::Process(draft) => process_to_json(&draft.process, around, Secrets::Shown),
        ProgramDraft::Job(draft) if draft.job.runs_once() => job_to_json(&draft.job, around, Secrets::Shown),
        ProgramDraft::Job(draft) => cronjob_to_json(&draft.job, around, Secrets::Shown),
    })
}

/// The members in which two declarations differ.
fn differing<'a>(known: &'a Json, wanted: &'a Json) -> BTreeSet<&'a str> {
    let members = [known, wanted].into_iter().filter_map(Json::as_object).flat_map(Map::keys);
    members.map(String::as_str).filter(|member| known.get(*member) != wanted.get(*member)).collect()
}

/// The text with other values for some members of `spec`, if each is a plain one, and was.
fn edit(file: &Path, text: &str, format: Format, members: &BTreeSet<&str>, spec: &Json) -> Option<String> {
    let document = Document::parse(file, text.as_bytes().to_vec(), format).ok()?;
    let declaration = member(&document.root, "spec")?;
    let mut places = Vec::new();
    for name in members {
        let value = spec.get(*name).filter(|value| value.is_string() || value.is_boolean() || value.is_number())?;
        let node = member(declaration, name)?;
        let end = node.start + plain_length(text.get(node.start..)?, &node.value)?;
        // All formats take plain values as JSON writes them.
        places.push((node.start..end, value.to_string()));
    }
    places.sort_by_key(|(range, _)| Reverse(range.start));
    let mut text = text.to_owned();
    for (range, value) in places {
        text.replace_range(range, &value);
    }
    Some(text)
}

fn member<'d>(node: &'d Node, name: &str) -> Option<&'d Node> {
    let Value::Table(entries) = &node.value else { return None };
    entries.iter().find(|entry| entry.key == name).map(|entry| &entry.node)
}

/// How much of `rest` writes the value that it begins with, as far as one line does.
fn plain_length(rest: &str, value: &Value) -> Option<usize> {
    let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
    match (value, quote) {
        (Value::Text(_), Some(quote)) => {
            let mut escaped = false;
            let closes = |(at, character): (usize, char)| {
                let ends = !escaped && character == quote;
                escaped = !escaped && quote == '"' && character == '\\';
                ends.then_some(at + 1)
            };
            rest.char_indices().skip(1).find_map(closes)
        }
        (Value::Text(_), None) => {
            let line = rest.lines().next()?;
            let end = line.find(" #").unwrap_or(line.len());
            line.get(..end).map(|value| value.trim_end().len())
        }
        (Value::Bool(_) | Value::Number(_), None) => {
            let goes_on = |character: char| character.is_ascii_alphanumeric() || "+-._".contains(character);
            Some(rest.find(|character: char| !goes_on(character)).unwrap_or(rest.len()))
        }
        _ => None,
    }
}

/// Members that are durations.
const SPANS: [&str; 11] = [
    "initial_delay",
    "max_restarts_window",
    "period",
    "restart_interval",
    "restart_max_interval",
    "restart_reset_after",
    "retry_interval",
    "start_duration",
    "stop_timeout",
    "timeout",
    "wait",
];

/// A declaration as people write it. Programs write whole numbers of nanoseconds, and zero or nothing for what nobody
/// said.
fn as_people_write(value: &Json) -> Json {
    match value {
        Json::Object(members) => {
            let said = members.iter().filter_map(|(name, value)| Some((name.clone(), said_by_people(name, value)?)));
            Json::Object(said.collect())
        }
        Json::Array(items) => items.iter().map(as_people_write).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value.clone(),
    }
}

/// A member as people write it; none where it says nothing.
fn said_by_people(name: &str, value: &Json) -> Option<Json> {
    match (name, value) {
        (_, Json::Null) => None,
        (_, Json::String(text)) if text.is_empty() => None,
        // What is in them has names of its own.
        ("env" | "environment" | "limits", _) => Some(value.clone()),
        ("instances", Json::Number(number)) if number.as_u64() == Some(0) => None,
        ("instances", Json::String(text)) if text == "0" => Some(0.into()),
        (name, Json::Number(number)) if SPANS.contains(&name) => match number.as_u64() {
            Some(0) => None,
            Some(nanos) => Some(format_duration(Duration::from_nanos(nanos)).into()),
            None => Some(value.clone()),
        },
        _ => Some(as_people_write(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(extra: Json) -> Json {
        let mut spec = json!({"name": "web", "command": "./web"});
        for (name, value) in extra.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        spec
    }

    fn rewritten(file: &str, text: &str, spec: &Json) -> String {
        rewrite(Path::new(file), text, Kind::Process, spec, &Surroundings::default()).unwrap()
    }

    #[test]
    fn plain_values_change_and_the_rest_stays() {
        let text = "# Ours.\ntype = \"process\"\n\n[spec] # all of it\nname = 'web'\ncommand = './web' # mind \"the\" gap\n\
                    restart_interval = \"3s\"   # a while\ninstances = 2\n\n# The end.\n";
        let spec = web(json!({
            "command": "./web --say 'it \"works\" # really'", "restart_interval": 1_500_000_000_u64, "instances": 10,
        }));
        let expected = text
            .replace("'./web'", r#""./web --say 'it \"works\" # really'""#)
            .replace("\"3s\"", "\"1.5s\"")
            .replace("= 2", "= 10");
        assert_eq!(rewritten("/p/web.toml", text, &spec), expected);

        let text =
            "# Ours.\ntype: process\nspec:\n  name: web # its name\n  command: ./web # run\n  auto_start: false\n";
        let spec = web(json!({"command": "./web: #1", "auto_start": true}));
        let expected = text.replace("./web # run", "\"./web: #1\" # run").replace("false", "true");
        assert_eq!(rewritten("/p/web.yaml", text, &spec), expected);
        assert_eq!(rewritten("/p/web.yaml", text, &web(json!({"auto_start": false}))), text, "it says the same");
    }

    #[test]
    fn other_changes_are_written_in_the_same_format() {
        let around = Surroundings::default();
        let spec = web(json!({
            "args": null, "work_dir": "", "env": ["A=1", "timeout=5"], "instances": "0", "stop_timeout": 0,
            "start_duration": 90_000_000_000_u64, "depends_on": [],
            "readiness_probe": {"tcp": "127.0.0.1:80", "period": 250_000_000, "timeout": 2_000_000_000_u64},
            "lifecycle": {"pre_start": [{"name": "a", "command": "x", "timeout": 1_000_000_000_u64}]},
        }));
        let parsed = super::super::parse_process(&spec, &around).unwrap().0;
        let wanted = process_to_json(&parsed, &around, Secrets::Shown);
        for (file, text, format) in [
            ("/p/web.toml", "type = 'process'\nspec = {name = 'web', command = 'x'}\n", Format::Toml),
            ("/p/web.yml", "type: process\nspec: {name: web, command: x}\n", Format::Yaml),
            ("/p/broken.toml", "type = 'process'\n[spec\n", Format::Toml),
        ] {
            let written = rewritten(file, text, &spec);
            let path: Arc<Path> = Path::new(file).into();
            assert_eq!(declared(&path, &written, format, &around), Some(wanted.clone()), "{written}");
            assert!(!written.trim_start().starts_with('{'), "{written}");
        }
    }

    #[test]
    fn a_suspended_declaration_goes_on_whatever_it_is_written_in() {
        let around = Surroundings::default();
        for (file, text) in [
            ("/p/a.toml", "type = 'job'\n[spec]\nname = 'a'\ncommand = 'x'\nsuspend = true # for now\n"),
            ("/p/a.toml", "type = 'job'\nspec = { name = 'a', suspend = true, command = 'x' } # for now\n"),
            ("/p/a.yaml", "type: job\nspec: {name: a, suspend: true, command: x} # for now\n"),
        ] {
            let spec = json!({"name": "a", "command": "x", "suspend": false});
            let written = rewrite(Path::new(file), text, Kind::Job, &spec, &around).unwrap();
            assert_eq!(written, text.replace("true", "false"));
        }
    }
}
