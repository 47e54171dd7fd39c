//! The rules as tables and properties, and all of it against a real RabbitMQ.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod acks;
mod decisions;
mod faults;
mod headers;
mod messages;
mod modes;
mod queues;
mod retries;
mod scene;
mod taking;
