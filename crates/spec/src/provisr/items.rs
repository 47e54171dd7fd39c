//! Readers that declarations of processes and jobs share: numbers, durations, sizes, paths, commands, environments.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use piton_model::{Program, Secret};
use serde_json::Value as Json;

use super::command::program_of;
use super::dotenv::is_name;
use super::surroundings::{Surroundings, Unresolved};
use super::template::Template;
use crate::document::Value;
use crate::duration::{LONGEST, parse_duration};
use crate::fields::{Fields, Item, shown};

/// In which form a declaration is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In a file of people's making.
    File,
    /// In a JSON file, which may come from a program: whole numbers are nanoseconds where a duration is expected.
    Json,
    /// In the body of a request: the same, and paths are absolute.
    Request,
}

/// What it takes to read a declaration.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) around: &'a Surroundings,
    pub(crate) form: Form,
    /// Whether it stands in the configuration.
    pub(crate) inline: bool,
}

/// A whole number within bounds.
pub(crate) fn integer(item: &Item<'_, '_>, from: i64, to: i64) -> Option<i64> {
    let Value::Number(number) = &item.node.value else {
        item.report(item.error("wrong_type", format!("expected a whole number, found {}", item.node.value.kind())));
        return None;
    };
    match number.as_i64() {
        Some(number) if (from..=to).contains(&number) => Some(number),
        Some(number) => {
            let message = format!("{number} is out of range, it goes from {from} to {to}");
            item.report(item.error("out_of_range", message));
            None
        }
        None => {
            item.report(item.error("wrong_type", format!("`{number}` is not a whole number")));
            None
        }
    }
}

/// A whole number that is a `u32`.
pub(crate) fn count(item: &Item<'_, '_>, from: u32, to: u32) -> Option<u32> {
    integer(item, i64::from(from), i64::from(to)).and_then(|number| u32::try_from(number).ok())
}

/// A duration, which may be zero: `3s`, or a number of nanoseconds where programs write. A number that is zero says
/// nothing, since programs write it for what nobody said.
pub(crate) fn span(item: &Item<'_, '_>, reading: Reading<'_>) -> Option<Duration> {
    const HINT: &str = "write a number and a unit (h, m, s, ms), for example `3s` or `1m30s`";
    if let Value::Number(number) = &item.node.value {
        if reading.form == Form::File {
            let error = item.error("wrong_type", "expected a duration with its unit, found a number");
            item.report(error.hint(format!("write `\"{number}s\"` for seconds")));
            return None;
        }
        return match number.as_u64().map(Duration::from_nanos) {
            Some(Duration::ZERO) => None,
            Some(span) => Some(span),
            None => {
                item.report(
                    item.error("invalid_duration", format!("`{number}` is no number of nanoseconds")).hint(HINT),
                );
                None
            }
        };
    }
    match parse_duration(item.text()?) {
        Ok(span) => Some(span),
        Err(error) => {
            item.report(item.error("invalid_duration", error.to_string()).hint(HINT));
            None
        }
    }
}

/// The same, longer than zero and not longer than `most`.
pub(crate) fn positive_span(item: &Item<'_, '_>, reading: Reading<'_>, most: Duration) -> Option<Duration> {
    let span = span(item, reading)?;
    if span.is_zero() || span > most {
        let message = match most {
            LONGEST => "the duration must be longer than zero".to_owned(),
            most => format!("it is longer than zero and not longer than {}", crate::format_duration(most)),
        };
        item.report(item.error("out_of_range", message));
        return None;
    }
    Some(span)
}

/// Seconds as a whole number, or a duration as text.
pub(crate) fn seconds(item: &Item<'_, '_>, least: i64) -> Option<Duration> {
    match &item.node.value {
        Value::Number(_) => {
            integer(item, least, LONGEST.as_secs() as i64).map(|n| Duration::from_secs(n.unsigned_abs()))
        }
        _ => match parse_duration(item.text()?) {
            Ok(span) if span >= Duration::from_secs(least.unsigned_abs()) => Some(span),
            Ok(_) => {
                item.report(item.error("out_of_range", format!("it is at least {least} seconds")));
                None
            }
            Err(error) => {
                let hint = "write a number of seconds, or a duration such as `5m`";
                item.report(item.error("invalid_duration", error.to_string()).hint(hint));
                None
            }
        },
    }
}

/// Bytes: `512MiB`, or a number of them.
pub(crate) fn size(item: &Item<'_, '_>) -> Option<u64> {
    match &item.node.value {
        Value::Number(_) => integer(item, 0, i64::MAX).map(i64::unsigned_abs),
        _ => {
            let text = item.text()?;
            let bytes = crate::config::parse_size(text);
            if bytes.is_none() {
                let error = item.error("invalid_size", format!("`{}` is not a size", shown(text)));
                item.report(error.hint("for example `512MiB` or `2GiB`"));
            }
            bytes
        }
    }
}

/// A path: absolute and without detours in a request, else relative to the directory of the declarations.
pub(crate) fn path(item: &Item<'_, '_>, reading: Reading<'_>) -> Option<PathBuf> {
    let text = item.filled()?;
    let path = Path::new(text);
    if reading.form != Form::Request {
        return Some(clean(&reading.around.base.join(path)));
    }
    // Compared as text: paths that differ in a slash at the end are equal otherwise.
    if !path.is_absolute() || clean(path).as_os_str() != path.as_os_str() {
        let error = item.error("invalid_path", format!("`{}` is not an absolute path without detours", shown(text)));
        item.report(error.hint("begin with `/`, and leave out `.`, `..`, `//` and a `/` at the end"));
        return None;
    }
    Some(path.to_path_buf())
}

/// The path without `.` and `..`, by its text alone.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

/// What is run: a line, or a list of words.
pub(crate) fn program(item: &Item<'_, '_>) -> Option<Program> {
    if matches!(item.node.value, Value::List(_)) {
        let items = item.list()?;
        let words: Vec<String> = items.iter().filter_map(|item| item.text().map(str::to_owned)).collect();
        if let Some(nul) =
            items.iter().find(|item| matches!(&item.node.value, Value::Text(text) if text.contains('\0')))
        {
            nul.report(nul.error("nul_character", "this must not hold a NUL character"));
            return None;
        }
        if words.first().is_none_or(|program| program.trim().is_empty()) {
            item.report(item.error("empty", "the first of these words is the program, and it must not be empty"));
            return None;
        }
        return (words.len() == items.len()).then_some(Program::Exec { argv: words });
    }
    match program_of(item.filled()?) {
        Ok(program) => Some(program),
        Err(problem) => {
            let error = item.error("invalid_command", format!("this is no command: {problem}"));
            item.report(error.hint("quote words with spaces in them: `sh -c 'LINE'` runs any LINE"));
            None
        }
    }
}

/// `command` or `args` of a declaration, of which it needs one.
pub(crate) fn command(fields: &mut Fields<'_, '_>) -> Option<Program> {
    let command = fields.get("command").filter(|item| !is_unsaid(&item.node.value));
    let args = fields.get("args").filter(|item| !is_unsaid(&item.node.value));
    match (command, args) {
        (Some(_), Some(args)) => {
            let error = args.error("conflicting_fields", "`args` replaces `command`, and both are there");
            args.report(error.hint("write the whole command in one of them"));
            None
        }
        (Some(item), None) => program(&item),
        (None, Some(item)) => {
            item.list()?;
            program(&item)
        }
        (None, None) => {
            fields.item.report(fields.item.error("missing_field", "a `command` is needed"));
            None
        }
    }
}

/// Programs write empty text and empty lists for what nobody said.
fn is_unsaid(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        _ => false,
    }
}

/// Variables as they are declared, each with the entry that says it.
#[derive(Default)]
pub(crate) struct Declared<'r, 'd> {
    pub(crate) templates: BTreeMap<String, Template>,
    entries: BTreeMap<String, Item<'r, 'd>>,
}

impl Declared<'_, '_> {
    /// Tells what could not be resolved, each at its entry. `whole` is all of them.
    pub(crate) fn report(&self, unresolved: Vec<Unresolved>, whole: &Item<'_, '_>) {
        for unresolved in unresolved {
            let item = self.entries.get(unresolved.variable()).unwrap_or(whole);
            item.report(unresolved.diagnostic(item.error("", "")));
        }
    }
}

/// Variables as a list of `NAME=VALUE` or as a table. `reserved` begins names that are not for declarations.
pub(crate) fn variables<'r, 'd>(item: &Item<'r, 'd>, reserved: Option<&str>) -> Declared<'r, 'd> {
    let mut variables = Declared::default();
    let mut add = |item: &Item<'r, 'd>, name: &str, value: &str| {
        if !is_name(name) {
            let message = format!("`{}` cannot be the name of an environment variable", shown(name));
            item.report(item.error("invalid_variable", message));
        } else if let Some(reserved) = reserved.filter(|reserved| name.starts_with(reserved)) {
            let message = format!("`{}` is reserved: names with `{reserved}` are set by Piton", shown(name));
            item.report(item.error("reserved_variable", message));
        } else if value.contains('\0') {
            item.report(item.error("nul_character", "this must not hold a NUL character"));
        } else {
            variables.templates.insert(name.to_owned(), Template::parse(value));
            variables.entries.insert(name.to_owned(), item.clone());
        }
    };
    if matches!(item.node.value, Value::Table(_)) {
        for (name, item) in item.table().into_iter().flat_map(|table| table.all().collect::<Vec<_>>()) {
            match &item.node.value {
                Value::Number(number) => add(&item, name, &number.to_string()),
                Value::Bool(flag) => add(&item, name, &flag.to_string()),
                _ => {
                    if let Some(text) = item.text() {
                        add(&item, name, text);
                    }
                }
            }
        }
        return variables;
    }
    for item in item.list().unwrap_or_default() {
        let Some(text) = item.text() else { continue };
        match text.split_once('=') {
            Some((name, value)) => add(&item, name.trim(), value),
            None => {
                // The text may be a secret that lost its name, so it is not shown.
                let error = item.error("invalid_variable", "expected `NAME=VALUE`, and here is no `=`");
                item.report(error.hint("`NAME=${NAME}` passes a variable of the daemon on"));
            }
        }
    }
    variables
}

/// The environment of a declaration: its own over the global one.
pub(crate) fn environment(item: Option<&Item<'_, '_>>, reading: Reading<'_>) -> BTreeMap<String, Secret<String>> {
    let mut environment = reading.around.global.clone();
    if let Some(item) = item {
        let declared = variables(item, None);
        let (values, unresolved) = reading.around.resolve(&declared.templates);
        declared.report(unresolved, item);
        environment.extend(values);
    }
    environment
}

/// The value of a key that has other names, too. Only one of them may be there.
pub(crate) fn either<'r, 'd>(fields: &mut Fields<'r, 'd>, names: &[&'static str]) -> Option<Item<'r, 'd>> {
    let mut first: Option<(&str, Item<'r, 'd>)> = None;
    for name in names {
        let Some(item) = fields.get(name) else { continue };
        match &first {
            None => first = Some((name, item)),
            Some((taken, _)) => {
                let message = format!("this is the same as `{taken}`, and both are there");
                item.report(item.error("conflicting_fields", message));
            }
        }
    }
    first.map(|(_, item)| item)
}

/// Takes the places out of what is wrong with a request, which has none.
pub(crate) fn without_places(diagnostic: crate::Diagnostic) -> crate::Diagnostic {
    crate::Diagnostic { line: None, column: None, ..diagnostic }
}

/// A value as the text of a file in which programs write.
pub(crate) fn pretty(value: &Json) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
