//! Many requests at once: a CSV file, or JSON lines. Each is checked by itself, and all that are good are scheduled in one
//! transaction.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use piton_api as api;
use piton_model::{NewProvision, json_pointer};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::request::{self, Mistake, mistake};
use super::{measure, refused};
use crate::caller::Caller;
use crate::extract::{self, Json, Query};
use crate::problem::{Answer, Refusal};
use crate::state::App;

/// The largest file.
pub(crate) const LARGEST: usize = 64 * 1024 * 1024;
/// How many requests a file may have. Of whole ones there is no room for more in the largest file; of lines with next
/// to nothing in them there is, and each takes many times as much memory as it has bytes.
const MOST: usize = 500_000;
/// How many mistakes are told where nothing is scheduled.
const TOLD: usize = 1000;

const NOT_UTF_8: &str = "the line is not UTF-8";

/// Columns that belong to the request. All others are about the employee.
const COLUMNS: [&str; 7] =
    ["job_type", "schedule_time", "timezone", "tags", "applications", "target_user_email", "requested_by"];

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct How {
    /// Schedule all of them or none.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    atomic: bool,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// One request of a file.
#[derive(Debug)]
struct Line {
    /// Where it begins, from 1.
    number: u64,
    members: Result<Map<String, Value>, Mistake>,
}

/// Schedules many things: a CSV file with a line of titles, or a JSON object a line.
///
/// The columns are `schedule_time`, `timezone`, `applications` (`google;microsoft`), `tags` (`a;b`), `job_type`,
/// `target_user_email`, `requested_by`, `payload` (JSON); each other one is a member of the employee.
#[utoipa::path(post, path = "/schedule/bulk",
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))), params(How), responses(
    (status = 200, description = "What became of each line.", body = api::BulkAnswer),
    (status = 400, description = "The file cannot be read, or with `atomic` something is wrong with a line."),
    (status = 415, description = "The body is neither CSV nor JSON lines by its headers.")))]
pub(crate) async fn bulk(
    State(app): State<App>,
    caller: Caller,
    Query(how): Query<How>,
    headers: HeaderMap,
    body: axum::extract::Request,
) -> Answer<Json<api::BulkAnswer>> {
    let format = format_of(&headers)?;
    let body = extract::body(body).await?;
    let (shared, by) = (app.clone(), caller.by.clone());
    // What ids the requests get depends on whose task this is.
    let ids = app.engine.new_schedule_ids(count(format, &body).min(MOST));
    let checked = tokio::task::spawn_blocking(move || {
        let lines = lines(format, &body, MOST)?;
        let name = caller.by.to_string();
        let by = measure(&shared, &caller, &name);
        let check = |(line, id): (Line, _)| {
            let read = line.members.map_err(|mistake| vec![mistake]);
            (line.number, read.and_then(|members| request::read(&members, id, &by)))
        };
        Ok::<_, Refusal>(lines.into_iter().zip(ids).map(check).collect::<Vec<_>>())
    });
    let checked = checked.await.map_err(|error| Refusal::internal(&error))??;
    let failed = checked.iter().filter(|(_, read)| read.is_err()).count();
    if how.atomic && failed > 0 {
        return Err(none_of(checked, failed));
    }
    let mut answer = api::BulkAnswer { failed: failed as u64, ..api::BulkAnswer::default() };
    let mut good = Vec::with_capacity(checked.len() - failed);
    for (line, read) in checked {
        let result = match &read {
            Ok(new) => api::BulkResult { line, id: Some(new.id.to_string()), error: None },
            Err(mistakes) => api::BulkResult { line, id: None, error: mistakes.first().map(told) },
        };
        answer.results.push(result);
        good.extend(read);
    }
    answer.created = good.len() as u64;
    if !good.is_empty() {
        app.engine.schedule_provisions(good, by).await?;
    }
    Ok(Json(answer))
}

fn told(mistake: &Mistake) -> api::BulkError {
    let field = Some(mistake.field.clone()).filter(|field| !field.is_empty());
    api::BulkError { code: mistake.code.to_owned(), detail: mistake.detail.clone(), field }
}

fn none_of(checked: Vec<(u64, Result<NewProvision, Vec<Mistake>>)>, failed: usize) -> Refusal {
    let detail = format!("{failed} of {} lines cannot be scheduled, so none was", checked.len());
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, "bulk_refused", detail, None);
    let mistakes = checked.into_iter().filter_map(|(line, read)| Some((line, read.err()?)));
    let each = mistakes.flat_map(|(line, mistakes)| mistakes.into_iter().map(move |mistake| (line, mistake)));
    each.take(TOLD).fold(refusal, |refusal, (line, mistake)| {
        let pointer = json_pointer([line.to_string().as_str()].into_iter().chain(mistake.place()));
        refusal.at(api::Fault { pointer, detail: mistake.detail })
    })
}

fn format_of(headers: &HeaderMap) -> Answer<Format> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "text/csv" => Ok(Format::Csv),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Format::JsonLines),
        _ => {
            let detail = "the body is neither CSV nor JSON lines by its headers";
            let hint = Some("send `Content-Type: text/csv` or `application/x-ndjson`".to_owned());
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail, hint))
        }
    }
}

/// No fewer than there are requests in it.
fn count(format: Format, body: &Bytes) -> usize {
    let ends = |end: u8| body.split(|byte| *byte == end).count();
    match format {
        Format::JsonLines => ends(b'\n'),
        // A lone carriage return ends a line of CSV, too.
        Format::Csv => ends(b'\n') + ends(b'\r'),
    }
}

fn lines(format: Format, body: &[u8], most: usize) -> Answer<Vec<Line>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // One more tells that there are too many.
    let found = match format {
        Format::Csv => csv_lines(body, most + 1).map_err(|mistake| refused(vec![mistake]))?,
        Format::JsonLines => json_lines(body, most + 1),
    };
    if found.len() > most {
        let detail = format!("the file has more than {most} requests");
        let hint = Some("send it in parts".to_owned());
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail, hint));
    }
    Ok(found)
}

fn json_lines(body: &[u8], most: usize) -> Vec<Line> {
    let numbered = (1..).zip(body.split(|byte| *byte == b'\n'));
    let each = numbered.filter(|(_, text)| !text.trim_ascii().is_empty());
    let read = each.take(most).map(|(number, text)| {
        let members = match serde_json::from_slice(text) {
            Ok(Value::Object(members)) => once(None, text, members),
            Ok(_) => Err(mistake("invalid_row", "", "a line must be a JSON object")),
            Err(_) if std::str::from_utf8(text).is_err() => Err(mistake("invalid_row", "", NOT_UTF_8)),
            Err(error) => Err(mistake("invalid_row", "", format!("the line is no JSON: {error}"))),
        };
        Line { number, members }
    });
    read.collect()
}

/// Nothing may stand twice in a line, or in the text of one field of it, as in the body of a single request.
fn once(field: Option<&str>, text: &[u8], members: Map<String, Value>) -> Result<Map<String, Value>, Mistake> {
    match extract::twice(text) {
        None => Ok(members),
        Some(place) => {
            let field = field.into_iter().chain(place.iter().map(String::as_str)).collect::<Vec<_>>().join(".");
            let detail = extract::stands_twice(&field);
            Err(mistake("invalid_row", field, detail))
        }
    }
}

fn csv_lines(body: &[u8], most: usize) -> Result<Vec<Line>, Mistake> {
    let unreadable = |what: String| mistake("invalid_csv", "", what);
    // The reader takes all that follows it for one cell: rows that nobody would hear of.
    if let Some(begins) = open_quote(body) {
        let line = 1 + ends_of_lines(&body[..begins]);
        return Err(unreadable(format!("the quote that begins in line {line} is never closed")));
    }
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(body);
    let titles = reader.headers().map_err(|error| unreadable(format!("the titles cannot be read: {error}")))?;
    let columns: Vec<Column> = titles.iter().map(column).collect();
    if !columns.iter().any(|column| *column == Column::Member("schedule_time".to_owned())) {
        let words = "the first line must hold the titles of the columns, and `schedule_time` among them".to_owned();
        return Err(unreadable(words));
    }
    for (index, one) in columns.iter().enumerate() {
        if columns[..index].contains(one) {
            return Err(unreadable(format!("the column `{}` is there twice", titles[index].escape_debug())));
        }
    }
    let mut found = Vec::new();
    let (mut number, mut seen) = (1, 0);
    for record in reader.byte_records().take(most) {
        let record = record.map_err(|error| unreadable(error.to_string()))?;
        // The reader counts a line only when it has read past both of its ends, which is too late.
        let begins = record.position().and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(seen);
        let blank = body[begins..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        number += ends_of_lines(&body[seen..begins + blank]);
        seen = begins + blank;
        found.push(Line { number, members: cells(&columns, &record) });
    }
    Ok(found)
}

/// Where in a cell a byte stands, as the reader sees it.
enum Place {
    Begin,
    Bare,
    /// In quotes that begin there.
    Quoted(usize),
    /// After a quote that ends them, unless another one follows it.
    Closing(usize),
}

/// Where the quote begins that is still open at the end.
fn open_quote(table: &[u8]) -> Option<usize> {
    let step = |place: Place, (index, byte): (usize, &u8)| match (place, *byte) {
        (Place::Begin, b'"') => Place::Quoted(index),
        // Two quotes within quotes are one, and part of the text.
        (Place::Quoted(begins), b'"') => Place::Closing(begins),
        (Place::Quoted(begins), _) | (Place::Closing(begins), b'"') => Place::Quoted(begins),
        (_, b',' | b'\r' | b'\n') => Place::Begin,
        (_, _) => Place::Bare,
    };
    match table.iter().enumerate().fold(Place::Begin, step) {
        Place::Quoted(begins) => Some(begins),
        Place::Begin | Place::Bare | Place::Closing(_) => None,
    }
}

/// Line feeds, and carriage returns that stand by themselves.
fn ends_of_lines(text: &[u8]) -> u64 {
    let ends = |(index, byte): &(usize, &u8)| match byte {
        b'\n' => true,
        b'\r' => text.get(index + 1) != Some(&b'\n'),
        _ => false,
    };
    text.iter().enumerate().filter(ends).count() as u64
}

/// What a column is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    Member(String),
    Payload,
    PayloadMember(String),
    Employee(String),
}

fn column(title: &str) -> Column {
    let title = title.trim();
    let lower = title.to_ascii_lowercase();
    if lower == "payload" {
        return Column::Payload;
    }
    if COLUMNS.contains(&lower.as_str()) {
        return Column::Member(lower);
    }
    match title.split_once('.') {
        Some(("payload", name)) => Column::PayloadMember(name.to_owned()),
        Some(("employee", name)) => Column::Employee(name.to_owned()),
        _ => Column::Employee(title.to_owned()),
    }
}

fn cells(columns: &[Column], record: &csv::ByteRecord) -> Result<Map<String, Value>, Mistake> {
    if record.len() != columns.len() {
        let detail = format!("the line has {} cells, and there are {} columns", record.len(), columns.len());
        return Err(mistake("invalid_row", "", detail));
    }
    let mut members = Map::new();
    let (mut employee, mut payload) = (Map::new(), Map::new());
    for (column, cell) in columns.iter().zip(record) {
        let text = std::str::from_utf8(cell).map_err(|_| mistake("invalid_row", "", NOT_UTF_8))?.trim();
        if text.is_empty() {
            continue;
        }
        match column {
            Column::Employee(name) => drop(employee.insert(name.clone(), text.into())),
            Column::PayloadMember(name) => drop(payload.insert(name.clone(), text.into())),
            Column::Payload => payload.extend(object("payload", text)?),
            Column::Member(name) => {
                let value = match name.as_str() {
                    "tags" => list(text).map(Value::from).collect(),
                    "applications" if text.starts_with('{') => Value::Object(object("applications", text)?),
                    "applications" => Value::Object(list(text).map(|name| (name.to_owned(), true.into())).collect()),
                    _ => text.into(),
                };
                members.insert(name.clone(), value);
            }
        }
    }
    for (name, object) in [("employee", employee), ("payload", payload)] {
        if !object.is_empty() {
            members.insert(name.to_owned(), Value::Object(object));
        }
    }
    Ok(members)
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|item| !item.is_empty())
}

fn object(field: &str, text: &str) -> Result<Map<String, Value>, Mistake> {
    let read = serde_json::from_str(text).map_err(|error| {
        let expected = "a JSON object is expected, such as `{\"name\": \"value\"}`";
        // Of other texts it says nothing that helps. What it calls a line is not one of the file.
        let why = text.starts_with('{').then(|| error.to_string());
        let why = why.as_deref().map(extract::without_place);
        mistake("invalid_row", field, why.map_or_else(|| expected.to_owned(), |why| format!("{expected}: {why}")))
    });
    read.and_then(|members| once(Some(field), text.as_bytes(), members))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(format: Format, text: &str) -> Vec<(u64, Result<Value, &'static str>)> {
        let lines = lines(format, text.as_bytes(), MOST).unwrap();
        assert!(lines.len() <= count(format, &Bytes::copy_from_slice(text.as_bytes())), "there is an id for each");
        let members = |line: Line| (line.number, line.members.map(Value::Object).map_err(|mistake| mistake.code));
        lines.into_iter().map(members).collect()
    }

    #[test]
    fn lines_of_json() {
        let text = "{\"a\":1}\n\n  \r\n[1]\n{\"a\":\n{\"b\":2}";
        let wanted =
            [(1, Ok(json!({"a": 1}))), (4, Err("invalid_row")), (5, Err("invalid_row")), (6, Ok(json!({"b": 2})))];
        assert_eq!(read(Format::JsonLines, text), wanted);
        assert_eq!(read(Format::JsonLines, ""), []);
        let text = "{\"a\":{\"b\":1,\"b\":2}}\n{\"a\":{\"b\":1}}";
        let wanted = [(1, Err("invalid_row")), (2, Ok(json!({"a": {"b": 1}})))];
        assert_eq!(read(Format::JsonLines, text), wanted);
    }

    #[test]
    fn rows_of_a_table() {
        let text = "\u{feff}fullName,workEmail,Applications,schedule_time,tags,payload.reason,payload\r\n\
            \"Doe, John\",jdoe@company.com,google; microsoft,2025-12-01T09:00:00Z,new-hire;to be created,,\r\n\
            Jane,,\"{\"\"google\"\": {\"\"ou\"\": \"\"/x\"\"}}\",2025-12-01T09:00,,left,\"{\"\"n\"\": 1}\"\r\n\
            only,two\r\n\
            Two,\"lines\nof it\",google,x,,,{\r\n";
        let rows = read(Format::Csv, text);
        assert_eq!(rows.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3, 4, 5]);
        let first = json!({
            "employee": {"fullName": "Doe, John", "workEmail": "jdoe@company.com"},
            "applications": {"google": true, "microsoft": true},
            "schedule_time": "2025-12-01T09:00:00Z", "tags": ["new-hire", "to be created"],
        });
        assert_eq!(rows[0].1, Ok(first));
        let second = json!({
            "employee": {"fullName": "Jane"}, "applications": {"google": {"ou": "/x"}},
            "schedule_time": "2025-12-01T09:00", "payload": {"reason": "left", "n": 1},
        });
        assert_eq!(rows[1].1, Ok(second));
        assert_eq!((&rows[2].1, &rows[3].1), (&Err("invalid_row"), &Err("invalid_row")));
    }

    #[test]
    fn what_stands_twice_is_named() {
        for (format, text, place) in [
            (Format::JsonLines, r#"{"a":[{"b/c~":1,"b/c~":2}]}"#, "a.0.b/c~"),
            (Format::Csv, "schedule_time,payload\nx,\"{\"\"a\"\":1,\"\"a\"\":1}\"\n", "payload.a"),
        ] {
            let found = lines(format, text.as_bytes(), MOST).unwrap().remove(0).members.unwrap_err();
            let detail = format!("the member `{place}` stands twice");
            assert_eq!((found.field, found.detail), (place.to_owned(), detail), "{text}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_hides_no_row() {
        let titles = "schedule_time,fullName\n";
        for (rows, line) in [
            ("\"Doe,x\na,b\n", 2),
            ("\na,b\r\n\r\nx,\"Doe\r\na,b", 5),
            ("a,b\n\"two\nlines\",\"Doe\n\n\n", 4),
            ("a,b\rx,\"Doe \"\"J\"\"", 3),
            ("a,\"", 2),
        ] {
            for most in [MOST, 1] {
                let text = format!("{titles}{rows}");
                let problem = lines(Format::Csv, text.as_bytes(), most).unwrap_err().into_problem();
                assert_eq!((problem.status, problem.code.as_str()), (400, "invalid_csv"), "{text:?}");
                assert_eq!(problem.detail, format!("the quote that begins in line {line} is never closed"), "{text:?}");
            }
        }
        let problem = lines(Format::Csv, b"\"schedule_time,a\nb,c\n", MOST).unwrap_err().into_problem();
        assert_eq!(problem.detail, "the quote that begins in line 1 is never closed");
        for end in ["", "\n", "\r\n", "\n\n\n"] {
            let rows = read(Format::Csv, &format!("{titles}a,\"b\"\nc,5\" wide\nd,\"e\"\"\"{end}"));
            assert_eq!(rows.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3, 4], "{end:?}");
            assert!(rows.iter().all(|(_, row)| row.is_ok()), "{end:?}: {rows:?}");
        }
    }

    /// Text that follows the end of a line is a record of its own, unless a quote is open.
    #[test]
    fn quotes_are_open_where_the_reader_says_so() {
        let mut texts = vec![String::new()];
        for _ in 0..=5 {
            for text in &texts {
                let marked = format!("{text}\n\0");
                let mut reader =
                    csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(marked.as_bytes());
                let last = reader.byte_records().map(Result::unwrap).last().unwrap();
                assert_eq!(open_quote(text.as_bytes()).is_some(), last.as_slice() != b"\0", "{text:?}");
            }
            let longer = |text: &String| ['a', ',', '"', '\r', '\n'].map(|next| format!("{text}{next}"));
            texts = texts.iter().flat_map(longer).collect();
        }
    }

    #[test]
    fn a_cell_that_is_no_object_is_told_what_it_may_be() {
        let expected = "a JSON object is expected, such as `{\"name\": \"value\"}`";
        for (cell, detail) in [
            ("new here", expected.to_owned()),
            ("[1]", expected.to_owned()),
            ("{", format!("{expected}: EOF while parsing an object")),
        ] {
            let text = format!("schedule_time,payload\nx,{cell}\n");
            let found = lines(Format::Csv, text.as_bytes(), MOST).unwrap().remove(0).members.unwrap_err();
            assert_eq!((found.code, found.field.as_str(), found.detail), ("invalid_row", "payload", detail), "{cell}");
        }
    }

    #[test]
    fn each_mistake_is_pointed_at() {
        let wrong = |field: &str| Err(vec![mistake("invalid_row", field, "no")]);
        let problem = none_of(vec![(2, wrong("employee.a/b")), (3, wrong("")), (4, wrong("tags.0"))], 3).into_problem();
        let pointers: Vec<&str> = problem.errors.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/2/employee/a~1b", "/3", "/4/tags/0"]);
    }

    #[test]
    fn a_table_needs_its_titles() {
        for bad in ["", "a,b\n1,2\n", "schedule_time,fullName,employee.fullName\n", "schedule_time,Schedule_Time\n"] {
            let problem = lines(Format::Csv, bad.as_bytes(), MOST).unwrap_err().into_problem();
            assert_eq!(problem.code, "invalid_csv", "{bad}");
        }
    }

    #[test]
    fn there_are_not_more_requests_than_may_be() {
        for (format, text) in
            [(Format::JsonLines, "{}\n\n{}\r\n\n{}\n\n"), (Format::Csv, "schedule_time\r\na\r\n\r\nb\r\nc\r\n")]
        {
            assert_eq!(lines(format, text.as_bytes(), 3).unwrap().len(), 3, "what is blank is none");
            let problem = lines(format, text.as_bytes(), 2).unwrap_err().into_problem();
            assert_eq!((problem.status, problem.code.as_str()), (413, "body_too_large"), "{}", problem.detail);
        }
    }
}
