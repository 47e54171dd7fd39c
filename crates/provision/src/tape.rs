//! Keeps what is exchanged while a request is carried out, without its secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;

use piton_model::{Answer, Exchange};

use crate::answer::{LONGEST_BODY, LONGEST_PART, MOST_EXCHANGES};
use crate::legible;
use crate::mask::{Masker, excerpt};
use crate::wire::{Incoming, Outgoing};

/// Headers by which the other side finds a request again.
const OF_INTEREST: [&str; 8] = [
    "content-type",
    "date",
    "retry-after",
    "request-id",
    "x-request-id",
    "x-correlation-id",
    "client-request-id",
    "traceparent",
];

#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) masker: Masker,
    answer: Answer,
    /// The HTTP target was answered: what providers say later does not take its place.
    settled: bool,
}

impl Tape {
    pub(crate) fn new(masker: Masker) -> Tape {
        Tape { masker, ..Tape::default() }
    }

    /// An answer came.
    pub(crate) fn answered(&mut self, outgoing: &Outgoing, incoming: &Incoming, took: Duration) {
        let body = legible::lines(&self.masker.text(&String::from_utf8_lossy(&incoming.body)));
        self.note(outgoing, Some(incoming.status), excerpt(body.clone(), LONGEST_PART), took);
        if self.settled {
            return;
        }
        self.answer.status = Some(incoming.status);
        self.answer.body = excerpt(body, LONGEST_BODY);
        self.answer.headers = self.headers(incoming);
    }

    /// None came.
    pub(crate) fn unanswered(&mut self, outgoing: &Outgoing, why: &str, took: Duration) {
        let why = legible::line(&self.masker.without_known(why));
        self.note(outgoing, None, why, took);
    }

    /// What was answered last is the answer to the request.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }

    pub(crate) fn finish(self, took: Duration) -> Answer {
        Answer { took, ..self.answer }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.answer.exchanges.is_empty()
    }

    fn note(&mut self, outgoing: &Outgoing, status: Option<u16>, response: String, took: Duration) {
        if self.answer.exchanges.len() >= MOST_EXCHANGES {
            return;
        }
        let request = outgoing.shown.as_ref().map(|body| self.masker.value(body).to_string());
        // The HTTP target comes first, and its request is the one that people know.
        let longest = if self.answer.exchanges.is_empty() { LONGEST_BODY } else { LONGEST_PART };
        self.answer.exchanges.push(Exchange {
            method: outgoing.method.to_string(),
            url: self.masker.without_known(&plain(&outgoing.url)),
            request: request.map(|text| excerpt(text, longest)),
            status,
            response,
            took,
        });
    }

    fn headers(&self, incoming: &Incoming) -> BTreeMap<String, String> {
        let kept = |name: &&str| {
            let value = incoming.headers.get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), excerpt(self.masker.without_known(value), 256)))
        };
        OF_INTEREST.iter().filter_map(kept).collect()
    }
}

/// `url` without its query, where people put tokens, and without a user and a password.
pub(crate) fn plain(url: &Url) -> String {
    let mut url = url.clone();
    // Only addresses that can have neither refuse.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}
