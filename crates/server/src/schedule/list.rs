//! Lists of scheduled provisions: an array, and where there is more a `Link` to the next page.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use piton_api as api;
use piton_model::ScheduleId;
use piton_store::ProvisionQuery;
use serde::Deserialize;

use super::view;
use crate::extract::{Json, Query, wrong, wrong_cursor};
use crate::problem::{Answer, Refusal};
use crate::state::App;

/// How many there are on a page, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// `pending`, `executing`, `completed`, `failed` or `cancelled`.
    status: Option<String>,
    /// One of its tags; a space, `-` and `_` are the same in it.
    tag: Option<String>,
    /// What is done, such as `provision`.
    #[serde(rename = "type")]
    job_type: Option<String>,
    /// How many at most; 100 unless given. More than 1000 counts as 1000, and 0 as 1.
    limit: Option<usize>,
    /// Where to go on: part of the address that `Link` gives.
    cursor: Option<String>,
    /// How many are left out first.
    offset: Option<usize>,
}

/// Scheduled provisions, the latest time first.
#[utoipa::path(get, path = "/schedule", params(Filter), responses(
    (status = 200, body = Vec<api::Schedule>,
        headers(("link" = String, description = "The next page, where there is one: `<…>; rel=\"next\"`."),
            ("left-out" = String, description = "How many rows were left out, where some cannot be read.")))))]
pub(crate) async fn list(State(app): State<App>, Query(filter): Query<Filter>) -> Answer<Response> {
    let query = query(&filter)?;
    let page = app.engine.store().provisions(&query).await?;
    let rows: Vec<api::Schedule> = page.provisions.iter().map(view::schedule).collect();
    let mut response = Json(rows).into_response();
    if let Some(next) = page.next {
        let link = format!("<{}/schedule?{}>; rel=\"next\"", crate::BASE, address(&filter, next));
        let link = HeaderValue::from_str(&link).map_err(|error| Refusal::internal(&error))?;
        response.headers_mut().insert(header::LINK, link);
    }
    if page.left_out > 0 {
        response.headers_mut().insert("left-out", page.left_out.into());
    }
    Ok(response)
}

fn query(filter: &Filter) -> Answer<ProvisionQuery> {
    let status = word("status", filter.status.as_deref())?;
    let job_type = word("type", filter.job_type.as_deref())?;
    let cursor = given(filter.cursor.as_deref()).map(|cursor| read_cursor(cursor).ok_or_else(wrong_cursor));
    Ok(ProvisionQuery {
        status,
        job_type,
        tags: given(filter.tag.as_deref()).map(spellings),
        after: cursor.transpose()?,
        offset: filter.offset.unwrap_or(0),
        limit: filter.limit.unwrap_or(USUAL).clamp(1, MOST),
    })
}

/// A parameter that says nothing is none.
fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn word<T: std::str::FromStr<Err = piton_model::UnknownWord>>(
    parameter: &str,
    text: Option<&str>,
) -> Answer<Option<T>> {
    let read = given(text).map(|text| {
        text.parse::<T>().map_err(|unknown| {
            let (detail, hint) =
                (format!("'{}' is not known here", unknown.text), format!("one of {}", unknown.expected));
            wrong(parameter, detail, Some(hint))
        })
    });
    read.transpose()
}

/// A tag as people may have written it.
fn spellings(tag: &str) -> Vec<String> {
    let mut found = vec![tag.to_owned()];
    for tag in [tag.to_owned(), tag.to_lowercase()] {
        for separator in [" ", "-", "_"] {
            let spelling = tag.replace([' ', '-', '_'], separator);
            if !found.contains(&spelling) {
                found.push(spelling);
            }
        }
    }
    found
}

/// Where the next page begins: the time and the id of the last on this one.
fn cursor((at, id): (Timestamp, ScheduleId)) -> String {
    format!("{:016x}{}", at.as_microsecond().cast_unsigned(), id.to_string().replace('-', ""))
}

fn read_cursor(text: &str) -> Option<(Timestamp, ScheduleId)> {
    let is_hex = text.len() == 48 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (at, id) = is_hex.then(|| text.split_at(16))?;
    let at = u64::from_str_radix(at, 16).ok()?.cast_signed();
    Some((Timestamp::from_microsecond(at).ok()?, id.parse().ok()?))
}

/// The parameters of the next page.
fn address(filter: &Filter, next: (Timestamp, ScheduleId)) -> String {
    let (next, limit) = (cursor(next), filter.limit.map(|limit| limit.to_string()));
    let parameters = [
        ("status", filter.status.as_deref()),
        ("tag", filter.tag.as_deref()),
        ("type", filter.job_type.as_deref()),
        ("limit", limit.as_deref()),
        ("cursor", Some(next.as_str())),
    ];
    let each = parameters.iter().filter_map(|(name, value)| Some((name, given(*value)?)));
    let parts: Vec<String> =
        each.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))).collect();
    parts.join("&")
}

#[cfg(test)]
mod tests {
    use piton_model::RunId;

    use super::*;

    #[test]
    fn a_cursor_is_what_was_given() {
        for at in ["2025-12-01T09:00:00.123456Z", "1969-01-01T00:00:00Z", "9999-12-30T00:00:00Z"] {
            let at: Timestamp = at.parse().unwrap();
            let place = (at, ScheduleId::from(RunId::new(at, [7; 10])));
            assert_eq!(read_cursor(&cursor(place)), Some(place));
        }
        for bad in ["", "x", &"f".repeat(47), &"g".repeat(48), &format!("{}{}", "7".repeat(16), "0".repeat(32))] {
            assert_eq!(read_cursor(bad), None, "{bad}");
        }
    }

    #[test]
    fn tags_are_found_however_they_are_spelt() {
        assert_eq!(spellings("to-be-created"), ["to-be-created", "to be created", "to_be_created"]);
        assert!(spellings("New_Hire").contains(&"new-hire".to_owned()));
        assert_eq!(spellings("sales"), ["sales"]);
    }

    #[test]
    fn what_a_list_is_asked_for() {
        let filter = |status: &str, limit| Filter { status: Some(status.to_owned()), limit, ..Filter::default() };
        assert_eq!(query(&filter("", None)).unwrap().limit, 100);
        for (given, taken) in [(0, 1), (1, 1), (5000, 1000), (5_000_000_000, 1000)] {
            assert_eq!(query(&filter("failed", Some(given))).unwrap().limit, taken, "{given}");
        }
        let problem = query(&filter("done", None)).unwrap_err().into_problem();
        assert_eq!((problem.code.as_str(), problem.errors[0].pointer.as_str()), ("invalid_query", "/status"));
        let bad = Filter { cursor: Some("x".to_owned()), ..Filter::default() };
        assert_eq!(query(&bad).unwrap_err().into_problem().code, "invalid_cursor");
        let next = (Timestamp::UNIX_EPOCH, RunId::new(Timestamp::UNIX_EPOCH, [0; 10]).into());
        let filter = Filter { tag: Some("a b&c".to_owned()), offset: Some(5), ..Filter::default() };
        assert!(address(&filter, next).starts_with("tag=a%20b%26c&cursor="), "{}", address(&filter, next));
    }
}
