//! Ids of runs, as people abbreviate them.

use piton_api::{Client, Error, Page, Run};

use crate::error::{CommandError, Exit, Failure, usage};

/// The least that an abbreviation must hold.
const LEAST: usize = 6;

/// How many of the latest runs an abbreviation is looked for in.
const REACH: usize = 10_000;
const PAGE: usize = 1000;

/// The full length of an id.
const FULL: usize = 36;

/// The part of an id that lists show: its last group, which is random.
pub fn short(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

/// What an abbreviation fits.
#[derive(Debug, PartialEq, Eq)]
enum Fit<'a> {
    Nothing,
    One(&'a str),
    Several(&'a str, &'a str),
}

/// The id that begins or ends with `text`.
fn fit<'a>(text: &str, ids: impl Iterator<Item = &'a str>) -> Fit<'a> {
    let mut fitting = ids.filter(|id| id.starts_with(text) || id.ends_with(text));
    match (fitting.next(), fitting.next()) {
        (None, _) => Fit::Nothing,
        (Some(id), None) => Fit::One(id),
        (Some(one), Some(other)) => Fit::Several(one, other),
    }
}

/// Whether a text may be what a message calls its run.
fn is_name(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    (1..=128).contains(&text.len()) && text.bytes().all(is_fine) && !text.bytes().all(|byte| byte == b'.')
}

/// The id of the run that a message calls so, if there is one.
async fn named(client: &Client, text: &str) -> Result<Option<String>, Failure> {
    if !is_name(text) {
        return Ok(None);
    }
    match client.get::<Run>(&format!("/runs/{text}")).await {
        Ok(run) => Ok(Some(run.id)),
        Err(Error::Problem(problem)) if problem.status == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The id of the run that `text` means.
pub async fn resolve(client: &Client, text: &str) -> Result<String, Failure> {
    let wanted = text.trim().to_ascii_lowercase();
    if wanted.len() == FULL {
        return Ok(wanted);
    }
    if wanted.len() < LEAST || !wanted.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        if let Some(id) = named(client, text.trim()).await? {
            return Ok(id);
        }
        let hint = format!(
            "give its id, or at least {LEAST} characters of its beginning or its end; `piton run list` shows ids"
        );
        return Err(CommandError::new(Exit::NotFound, format!("run '{}' not found", text.escape_debug()))
            .hint(hint)
            .into());
    }
    let mut ids: Vec<String> = vec![];
    let mut cursor: Option<String> = None;
    loop {
        let path = match &cursor {
            Some(cursor) => format!("/runs?limit={PAGE}&cursor={cursor}"),
            None => format!("/runs?limit={PAGE}"),
        };
        let page: Page<Run> = client.get(&path).await?;
        ids.extend(page.items.into_iter().map(|run| run.id));
        cursor = page.next;
        if cursor.is_none() || ids.len() >= REACH {
            break;
        }
    }
    match fit(&wanted, ids.iter().map(String::as_str)) {
        Fit::One(id) => Ok(id.to_owned()),
        Fit::Several(one, other) => Err(usage(format!("'{wanted}' fits more than one run, such as {one} and {other}"))),
        Fit::Nothing => {
            if let Some(id) = named(client, text.trim()).await? {
                return Ok(id);
            }
            let hint = "`piton run list` shows ids".to_owned();
            Err(CommandError::new(Exit::NotFound, format!("run '{wanted}' not found")).hint(hint).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = [
        "019a3f2e-0000-7000-8000-a1b2c3d4e5f6",
        "019a3f2e-0000-7000-8000-a1b2c3d4e5f7",
        "019a3f2f-1111-7000-8000-0123456789ab",
    ];

    #[test]
    fn an_abbreviation_is_a_beginning_or_an_end() {
        let find = |text| fit(text, IDS.into_iter());
        assert_eq!(find("4e5f7"), Fit::One(IDS[1]));
        assert_eq!(find("0123456789ab"), Fit::One(IDS[2]));
        assert_eq!(find("019a3f2f"), Fit::One(IDS[2]));
        assert_eq!(find("019a3f2e"), Fit::Several(IDS[0], IDS[1]));
        assert_eq!(find("7000-8000"), Fit::Nothing, "the middle is no abbreviation");
        for (text, name) in
            [("abc-123", true), ("a:b_c.d", true), ("a/b", false), ("..", false), ("", false), ("a b", false)]
        {
            assert_eq!(is_name(text), name, "{text:?}");
        }
        assert_eq!(short(IDS[0]), "a1b2c3d4e5f6");
        assert_eq!(find(short(IDS[0])), Fit::One(IDS[0]), "what lists show can be typed");
    }
}
