//! Carries out one delayed provisioning request, at one of its attempts.
//!
//! # Purpose
//! A delayed request says what is to be done for somebody at some time: make accounts, suspend them, change groups. When
//! it is due, this asks those who can do it, and says what came of it in terms of what may be done next.
//!
//! # Theory of operation
//! [`Targets`] says who can be asked: an HTTP target, such as a workflow of n8n, and adapters for Google Workspace and
//! Microsoft 365. A pure plan decides who is asked for which applications; [`Provisioner::carry_out`] makes the calls one
//! after the other. Each call waits for its turn at its host, which has a queue, a rate and a circuit breaker; those are
//! state machines over a time that is handed to them, and time comes from a [`Clock`]. An answer is judged by a pure
//! function into a [`Failure`](piton_model::Failure): transient, permanent or interrupted.
//!
//! # Invariants
//! - An attempt may be repeated. The HTTP target sees the same idempotency key and the same body again; the adapters
//!   look first, or take "it is so already" for success.
//! - No call goes to a link-local or metadata address or a blocked network, whatever a name resolves to; no proxy and no
//!   redirect leads there either.
//! - What is kept of requests and answers, messages of failures and logs have no secrets in them.
//! - Never more calls of a host are under way than its `concurrency`; they go in the order in which they came. Whoever is
//!   dropped while it waits or calls leaves its place.
//!
//! # Deliberately absent
//! Retries, their number and delays: they are the run engine's. When a request is due, and where its answer is kept.
//! Undoing: a request that failed half way is finished by its next attempt, or by people.
#![warn(missing_docs)]

mod answer;
mod clock;
mod google;
mod leave;
mod legible;
mod mask;
mod microsoft;
mod pace;
mod plan;
mod provisioner;
mod request;
mod resolver;
mod retry_after;
mod session;
mod sign;
mod tape;
mod targets;
mod verdict;
mod wanted;
mod wire;

pub use answer::{CallFailed, LONGEST_BODY};
pub use clock::{Clock, Sleeping};
pub use google::{GoogleSettings, InvalidCredentials};
pub use leave::{MayBegin, asking};
pub use microsoft::MicrosoftSettings;
pub use pace::{BreakerRules, InvalidRate, InvalidRules, Rate};
pub use provisioner::Provisioner;
pub use request::Request;
pub use targets::{InvalidTargets, Settings, Targets};
pub use wire::NoClient;
