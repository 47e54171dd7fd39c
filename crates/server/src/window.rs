//! Pages of lists that are made whole, in the order of their names.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use piton_api as api;
use serde::Deserialize;

use crate::extract::wrong_cursor;
use crate::problem::Answer;

/// Which part of a list.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Window {
    /// How many at most; all unless given. More than 1000 counts as 1000, and 0 as 1.
    limit: Option<usize>,
    /// What the page before gave as `next`.
    cursor: Option<String>,
}

/// Which part of a list that is answered without more, so that it has no place for a cursor.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Slice {
    /// How many at most; all unless given. 0 counts as 1.
    limit: Option<usize>,
    /// How many to leave out.
    offset: Option<usize>,
}

impl Slice {
    /// The part of this list.
    pub(crate) fn of<T>(&self, items: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
        let limit = self.limit.map_or(usize::MAX, |limit| limit.max(1));
        items.into_iter().skip(self.offset.unwrap_or(0)).take(limit)
    }
}

impl Window {
    /// The part of what is sorted by `name`. The next page begins after the last name of this one, whatever was added or
    /// removed meanwhile.
    pub(crate) fn of<T>(&self, mut items: Vec<T>, name: impl Fn(&T) -> &str) -> Answer<api::Page<T>> {
        if let Some(cursor) = &self.cursor {
            let last = read(cursor).ok_or_else(wrong_cursor)?;
            items.retain(|item| name(item) > last.as_str());
        }
        let mut next = None;
        if let Some(limit) = self.limit.map(|limit| limit.clamp(1, 1000)).filter(|limit| *limit < items.len()) {
            items.truncate(limit);
            next = items.last().map(|last| URL_SAFE_NO_PAD.encode(name(last)));
        }
        Ok(api::Page { items, next })
    }
}

fn read(cursor: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(limit: Option<usize>, cursor: Option<String>) -> Window {
        Window { limit, cursor }
    }

    #[test]
    fn a_cursor_is_one_that_a_list_gave() {
        let names = || vec!["a".to_owned(), "b".to_owned()];
        let refused = window(None, Some("!".to_owned())).of(names(), String::as_str).unwrap_err();
        assert_eq!(refused.into_problem().code, "invalid_cursor");
        assert_eq!(window(Some(0), None).of(names(), String::as_str).unwrap().items, ["a"]);
    }

    #[test]
    fn a_slice_is_what_stands_there() {
        for (limit, offset, wanted) in [
            (None, None, &[1, 2, 3][..]),
            (Some(2), None, &[1, 2]),
            (Some(2), Some(2), &[3]),
            (None, Some(1), &[2, 3]),
            (Some(0), None, &[1]),
            (Some(usize::MAX), Some(usize::MAX), &[]),
        ] {
            assert_eq!(Slice { limit, offset }.of([1, 2, 3]).collect::<Vec<_>>(), wanted, "{limit:?} {offset:?}");
        }
    }

    #[test]
    fn pages_are_the_whole_list() {
        for (count, limit) in (0..9).flat_map(|count| (1..6).map(move |limit| (count, limit))) {
            let all: Vec<String> = (0..count).map(|number| format!("a/{number}")).collect();
            assert_eq!(window(None, None).of(all.clone(), String::as_str).unwrap().items, all);
            let (mut found, mut cursor) = (vec![], None);
            loop {
                let page = window(Some(limit), cursor).of(all.clone(), String::as_str).unwrap();
                assert!(page.items.len() <= limit);
                found.extend(page.items);
                match page.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
            assert_eq!(found, all, "{limit} at a time");
        }
    }
}
