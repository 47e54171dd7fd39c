//! Talking to the API of a provider: tokens, quotas and the errors that all of its calls have in common.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use piton_model::{Failure, FailureClass, Secret, Unsent};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::answer::Problem;
use crate::mask::excerpt;
use crate::tape::Tape;
use crate::verdict::{Seen, judge};
use crate::wire::{Incoming, Outgoing, Wire, place};

/// Longer answers are cut, and then no JSON.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;
/// A token is not used in its last minute, since clocks differ.
const MARGIN: Duration = Duration::from_secs(60);

/// The fields of a form.
pub(crate) type Form = Vec<(&'static str, String)>;

/// What one provider does in its own way.
pub(crate) trait Dialect {
    /// As messages name it.
    const NAME: &'static str;
    /// Where its permissions are granted.
    const PERMISSIONS: &'static str;
    /// Why it may give no token.
    const CREDENTIALS: &'static str;

    /// Where a token for `scope` is asked for, and with which form.
    fn token_form(&self, scope: &str, now: Timestamp) -> Result<(Url, Form), Problem>;
    /// What an error says.
    fn told(answer: &ApiAnswer) -> Told;
}

/// What an error of a provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its word for it.
    pub(crate) code: String,
    /// Its sentence for it.
    pub(crate) message: String,
    /// Too much was asked in too short a time.
    pub(crate) quota: bool,
}

/// An answer that is for the operation to judge: a success, or a refusal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiAnswer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl ApiAnswer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Tokens that were given out, by their scope. Who waits for one holds only its own place: the other scopes' tokens are
/// as good as before, however long the provider thinks about this one.
#[derive(Debug, Default)]
pub(crate) struct Tokens(std::sync::Mutex<HashMap<String, Place>>);

/// The token of one scope.
type Place = Arc<Mutex<Option<Token>>>;

impl Tokens {
    fn of(&self, scope: &str) -> Place {
        // Each of its changes is whole.
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(scope.to_owned()).or_default())
    }
}

#[derive(Debug)]
struct Token {
    value: Secret<String>,
    until: Duration,
}

/// The calls of one request to one provider.
pub(crate) struct Session<'a, D> {
    pub(crate) dialect: &'a D,
    pub(crate) wire: &'a Wire,
    pub(crate) tokens: &'a Tokens,
    pub(crate) tape: &'a mut Tape,
    pub(crate) stop: &'a CancellationToken,
    pub(crate) scope: String,
}

impl<D: Dialect> Session<'_, D> {
    /// Calls with a token, and once more with a new one where that is refused. What may pass by itself is a problem, and
    /// so is what keeps all calls from working; any other answer is for the caller.
    pub(crate) async fn call(&mut self, method: Method, url: Url, body: Option<&Value>) -> Result<ApiAnswer, Problem> {
        if let Some(body) = body {
            self.tape.masker.learn_from(body);
        }
        let mut refused = None;
        loop {
            let token = self.token(refused.as_ref()).await?;
            let mut headers = vec![(AUTHORIZATION, bearer(&token)?)];
            headers.extend(body.map(|_| (CONTENT_TYPE, HeaderValue::from_static("application/json"))));
            let outgoing = Outgoing {
                method: method.clone(),
                url: url.clone(),
                headers,
                body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
                shown: body.cloned(),
            };
            let incoming = self.send(outgoing).await?;
            let answer = self.answer(&incoming);
            match answer.status {
                401 if refused.is_none() => refused = Some(token),
                401 => {
                    let told = D::told(&answer);
                    let message = format!("{} does not accept its own token: {}", D::NAME, told.message);
                    return Err(permanent("provider_credentials", message, D::CREDENTIALS));
                }
                403 if D::told(&answer).quota => {
                    let message = format!("{} has no quota left: {}", D::NAME, D::told(&answer).message);
                    let failure = Failure::new(FailureClass::Transient, "target_busy", message)
                        .hint("it is tried again; lower `rate`, or ask the provider for more");
                    return Err(Problem::after(failure, incoming.retry_after));
                }
                200..=299 if !incoming.whole => {
                    let message = format!("the answer of {} broke off", D::NAME);
                    return Err(Failure::new(FailureClass::Transient, "target_unreachable", message).into());
                }
                300..=399 | 408 | 425 | 429 | 500.. => return Err(self.judged(&url, &incoming, &answer)),
                _ => return Ok(answer),
            }
        }
    }

    /// [`call`](Session::call), where anything but a success is a failure to do `doing`.
    pub(crate) async fn must(
        &mut self,
        method: Method,
        url: Url,
        body: Option<&Value>,
        doing: &str,
    ) -> Result<Value, Problem> {
        let answer = self.call(method, url, body).await?;
        if answer.is_success() { Ok(answer.body) } else { Err(refusal::<D>(&answer, doing)) }
    }

    fn judged(&self, url: &Url, incoming: &Incoming, answer: &ApiAnswer) -> Problem {
        let said = self.tape.masker.without_known(&D::told(answer).message);
        let location = incoming.location(url);
        let seen = Seen {
            status: answer.status,
            host: &place(url),
            retry_after: incoming.retry_after,
            location: location.as_deref(),
            said: &excerpt(said, 512),
        };
        match judge(seen) {
            Err(problem) => problem,
            Ok(()) => refusal::<D>(answer, "answer"),
        }
    }

    /// What came. A refusal without secrets, before only the beginning of what it says is taken: the beginning of a
    /// secret would be found by nobody.
    fn answer(&self, incoming: &Incoming) -> ApiAnswer {
        let body = serde_json::from_slice(&incoming.body).unwrap_or(Value::Null);
        let answer = ApiAnswer { status: incoming.status, body };
        if answer.is_success() { answer } else { ApiAnswer { body: self.tape.masker.value(&answer.body), ..answer } }
    }

    async fn send(&mut self, outgoing: Outgoing) -> Result<Incoming, Problem> {
        let host = place(&outgoing.url);
        let sent = self.wire.send(outgoing, LONGEST_ANSWER, self.tape, self.stop).await;
        sent.map_err(|unanswered| unanswered.problem(&host))
    }

    /// A token that is good for a while, and is not `refused`. One at a time asks for one; who needs the same waits for
    /// that.
    async fn token(&mut self, refused: Option<&Secret<String>>) -> Result<Secret<String>, Problem> {
        let place = self.tokens.of(&self.scope);
        let mut known = tokio::select! {
            known = place.lock() => known,
            () = self.stop.cancelled() => {
                let message = format!("stopped before a token of {} was there", D::NAME);
                return Err(Failure::new(FailureClass::Interrupted, "stopped", message).into());
            }
            () = self.wire.clock.sleep_until(self.wire.clock.uptime() + self.wire.timeout) => {
                let message = format!("others were waiting for a token of {} before this one", D::NAME);
                return Err(Failure::new(FailureClass::Transient, Unsent::Crowded.code(), message).into());
            }
        };
        if let Some(token) = known.as_ref()
            && self.wire.clock.uptime() < token.until
            && refused != Some(&token.value)
        {
            self.tape.masker.learn([token.value.expose().as_str()]);
            return Ok(token.value.clone());
        }
        *known = None;
        let token = self.new_token().await?;
        let value = token.value.clone();
        *known = Some(token);
        Ok(value)
    }

    async fn new_token(&mut self) -> Result<Token, Problem> {
        let (url, form) = self.dialect.token_form(&self.scope, self.wire.clock.now())?;
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> =
            form.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let outgoing = Outgoing {
            method: Method::POST,
            url: url.clone(),
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))],
            body: pairs.join("&").into_bytes(),
            shown: None,
        };
        let asked = self.wire.clock.uptime();
        let incoming = self.send(outgoing).await?;
        let answer = self.answer(&incoming);
        match answer.status {
            200..=299 => {}
            300..=399 | 408 | 425 | 429 | 500.. => return Err(self.judged(&url, &incoming, &answer)),
            _ => {
                let told = oauth(&answer.body);
                let message = format!("{} gave no token: {}", D::NAME, self.tape.masker.without_known(&told));
                return Err(permanent("provider_credentials", message, D::CREDENTIALS));
            }
        }
        let value = answer.body["access_token"].as_str().unwrap_or_default();
        if value.is_empty() {
            let message = format!("{} answered without a token", D::NAME);
            return Err(Failure::new(FailureClass::Transient, "target_failed", message).into());
        }
        self.tape.masker.learn([value]);
        let lifetime = Duration::from_secs(answer.body["expires_in"].as_u64().unwrap_or(0));
        Ok(Token { value: Secret::new(value.to_owned()), until: asked + lifetime.saturating_sub(MARGIN) })
    }
}

/// A permanent failure of a provider.
pub(crate) fn permanent(code: &str, message: String, hint: &str) -> Problem {
    Failure::new(FailureClass::Permanent, code, message).hint(hint).into()
}

/// The provider said no to `doing`.
pub(crate) fn refusal<D: Dialect>(answer: &ApiAnswer, doing: &str) -> Problem {
    let told = D::told(answer);
    let message = excerpt(told.message, 512);
    if answer.status == 403 {
        let message = format!("{} does not allow to {doing}: {message} ({})", D::NAME, told.code);
        return permanent("provider_forbidden", message, D::PERMISSIONS);
    }
    let message = format!("{} refused to {doing}: {message} ({} {})", D::NAME, answer.status, told.code);
    permanent("target_refused", message, "look at what was sent and at the answer, both are kept with the run")
}

/// Something that was just made is not known everywhere yet.
pub(crate) fn settling<D: Dialect>(doing: &str) -> Problem {
    let message = format!("{} does not know the new account everywhere yet: cannot {doing}", D::NAME);
    Failure::new(FailureClass::Transient, "provider_settling", message)
        .hint("it is tried again; what was done is not done twice")
        .into()
}

/// `base` with these segments, each of them as it is.
pub(crate) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // Only addresses that cannot have a path refuse, and those are no targets.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// `url` with a query.
pub(crate) fn asking(mut url: Url, query: &[(&str, &str)]) -> Url {
    url.query_pairs_mut().extend_pairs(query);
    url
}

fn bearer(token: &Secret<String>) -> Result<HeaderValue, Problem> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| {
        Problem::from(Failure::new(FailureClass::Transient, "target_failed", "a token came that no header can hold"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error as OAuth 2.0 tells it.
fn oauth(body: &Value) -> String {
    let code = body["error"].as_str().unwrap_or("no reason given");
    body["error_description"]
        .as_str()
        .map_or_else(|| code.to_owned(), |text| format!("{code}: {}", excerpt(text.to_owned(), 512)))
}
