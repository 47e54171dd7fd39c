//! What the headers of a message say about its past, and the headers of what is published in its place. Pure.
//!
//! Our own headers are the truth, since brokers count differently from version to version and forget when a message is
//! published again. What the broker counted is believed where it is more.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use crate::topology::Topology;

/// How often it was tried and failed.
pub const ATTEMPTS: &str = "x-piton-attempts";
/// Why it failed the last time.
pub const REASON: &str = "x-piton-reason";
/// When it failed the first time.
pub const FIRST_FAILED: &str = "x-piton-first-failed";
/// How often it came back without an answer, where the broker does not count that.
pub const RETURNED: &str = "x-piton-returned";
/// The queue it was taken from.
pub const FROM: &str = "x-piton-from";

const LONGEST_REASON: usize = 1000;

/// The past of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// How often it was tried and failed.
    pub failures: u32,
    /// When that was the first time.
    pub first_failed: Option<Timestamp>,
    /// How often it was given out and came back without an answer.
    pub returned: u32,
    /// Does the broker count that? It writes nothing before the first return.
    pub counted: bool,
}

impl Marks {
    /// Reads the headers. Nonsense in them, such as a negative count, is nothing.
    pub fn read(properties: &BasicProperties, topology: &Topology) -> Marks {
        let Some(headers) = properties.headers() else { return Marks::default() };
        let by_broker = number(headers, "x-delivery-count");
        let ours = number(headers, ATTEMPTS).unwrap_or(0);
        // What was written here is exact: not every wait is a failure.
        let failures = if headers.contains_key(FROM) { ours } else { ours.max(waits(headers, topology)) };
        Marks {
            failures,
            first_failed: words(headers.inner().get(FIRST_FAILED)).and_then(|text| text.parse().ok()),
            returned: number(headers, RETURNED).unwrap_or(0).max(by_broker.unwrap_or(0)),
            counted: by_broker.is_some(),
        }
    }

    /// These, after one more failure.
    #[must_use]
    pub fn failed(self, now: Timestamp) -> Marks {
        let first_failed = self.first_failed.or(Some(now));
        // What was given back before has been answered now.
        Marks { failures: self.failures.saturating_add(1), first_failed, returned: 0, counted: self.counted }
    }

    /// These, after it came back once more.
    #[must_use]
    pub fn came_back(self) -> Marks {
        Marks { returned: self.returned.saturating_add(1), ..self }
    }

    /// The properties of the message that takes the place of one with `old`, taken from the queue `from`.
    ///
    /// All that the sender said stays, but what would act again: its expiry would drop the message where it waits, copies
    /// would go out again, another's user name closes the channel, and after a death that the broker remembers it drops
    /// the message when it comes through the same queue once more.
    pub fn written(&self, old: &BasicProperties, from: &str, reason: Option<&str>) -> BasicProperties {
        let mut headers = FieldTable::default();
        for (name, value) in old.headers().iter().flat_map(|headers| headers.inner()) {
            if !acts(name.as_str()) {
                headers.insert(name.clone(), value.clone());
            }
        }
        let mut put = |name: &str, value: AMQPValue| {
            headers.insert(ShortString::from(name), value);
        };
        if self.failures > 0 {
            put(ATTEMPTS, AMQPValue::LongLongInt(i64::from(self.failures)));
        }
        if self.returned > 0 {
            put(RETURNED, AMQPValue::LongLongInt(i64::from(self.returned)));
        }
        if let Some(first) = self.first_failed {
            put(FIRST_FAILED, text(&first.to_string()));
        }
        if let Some(reason) = reason {
            put(REASON, text(&shortened(reason)));
        }
        put(FROM, text(from));
        persistent(old.clone().with_headers(headers))
    }
}

/// The properties of a dead message that is sent to work again: as if it had never been tried.
pub(crate) fn forgotten(old: &BasicProperties) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in old.headers().iter().flat_map(|headers| headers.inner()) {
        let ours = [ATTEMPTS, REASON, FIRST_FAILED, RETURNED, FROM].contains(&name.as_str());
        if !ours && !acts(name.as_str()) {
            headers.insert(name.clone(), value.clone());
        }
    }
    persistent(old.clone().with_headers(headers))
}

/// There is no way to take these from properties but to build them anew.
fn persistent(old: BasicProperties) -> BasicProperties {
    let mut new = BasicProperties::default().with_delivery_mode(2);
    if let Some(headers) = old.headers() {
        new = new.with_headers(headers.clone());
    }
    macro_rules! keep {
        ($($get:ident => $set:ident),+) => { $(if let Some(value) = old.$get() { new = new.$set(value.clone()); })+ };
    }
    keep!(
        content_type => with_content_type,
        content_encoding => with_content_encoding,
        priority => with_priority,
        correlation_id => with_correlation_id,
        reply_to => with_reply_to,
        message_id => with_message_id,
        timestamp => with_timestamp,
        kind => with_type,
        app_id => with_app_id
    );
    new
}

fn acts(header: &str) -> bool {
    matches!(header, "CC" | "BCC" | "x-death" | "x-delivery-count" | "x-acquired-count" | "x-delay")
        || header.starts_with("x-first-death-")
        || header.starts_with("x-last-death-")
}

/// How often it waited on a rung, by the broker's own record.
fn waits(headers: &FieldTable, topology: &Topology) -> u32 {
    let Some(AMQPValue::FieldArray(deaths)) = headers.inner().get("x-death") else { return 0 };
    let mut waits = 0_u32;
    for death in deaths.as_slice() {
        let AMQPValue::FieldTable(death) = death else { continue };
        let queue = words(death.inner().get("queue"));
        if words(death.inner().get("reason")) == Some("expired") && queue.is_some_and(|queue| topology.is_rung(queue)) {
            waits = waits.saturating_add(number(death, "count").unwrap_or(1));
        }
    }
    waits
}

/// A count, however wide its sender made it.
fn number(table: &FieldTable, name: &str) -> Option<u32> {
    let wide = match table.inner().get(name)? {
        AMQPValue::ShortShortInt(value) => i64::from(*value),
        AMQPValue::ShortShortUInt(value) => i64::from(*value),
        AMQPValue::ShortInt(value) => i64::from(*value),
        AMQPValue::ShortUInt(value) => i64::from(*value),
        AMQPValue::LongInt(value) => i64::from(*value),
        AMQPValue::LongUInt(value) => i64::from(*value),
        AMQPValue::LongLongInt(value) => *value,
        _ => return None,
    };
    u32::try_from(wide.clamp(-1, i64::from(u32::MAX))).ok()
}

pub(crate) fn words(value: Option<&AMQPValue>) -> Option<&str> {
    match value? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

fn shortened(reason: &str) -> String {
    let mut end = reason.len().min(LONGEST_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    if end == reason.len() { reason.to_owned() } else { format!("{}…", &reason[..end]) }
}
