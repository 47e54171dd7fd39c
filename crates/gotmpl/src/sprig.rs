//! The functions of sprig.

mod arguments;
mod cases;
mod codec;
mod collection;
mod date;
mod decimal;
mod dictionary;
mod duration;
mod hash;
mod json;
mod layout;
mod list;
mod numeric;
mod path;
mod random;
mod reflect;
mod regexes;
mod secret;
mod strings;
mod url;
mod version;
mod wrap;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::function::{Functions, Outcome, Signature};
use crate::limits::Meter;
use crate::value::Type;

use arguments::Args;

/// What the time is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Fills a buffer with random bytes.
pub type RandomBytes = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What functions know of the world.
#[derive(Clone)]
pub struct Surroundings {
    /// For `now`, `ago` and their like.
    pub now: Clock,
    /// The local time zone.
    pub zone: TimeZone,
    /// For `randAlphaNum`, `uuidv4`, `bcrypt` and their like. Has to be fit for passwords where templates make some.
    pub random: RandomBytes,
}

/// A function that depends on nothing but its arguments: its name, parameters, what may follow them, and its result.
type Entry = (&'static str, &'static [Type], Option<Type>, Type, fn(&mut Meter, &Args<'_>) -> Outcome);

impl Functions {
    /// The functions of the language and those of sprig.
    pub fn sprig(surroundings: &Surroundings) -> Functions {
        let mut functions = Functions::default();
        let tables = [
            cases::FUNCTIONS,
            codec::FUNCTIONS,
            collection::FUNCTIONS,
            dictionary::FUNCTIONS,
            duration::FUNCTIONS,
            hash::FUNCTIONS,
            json::FUNCTIONS,
            list::FUNCTIONS,
            numeric::FUNCTIONS,
            path::FUNCTIONS,
            reflect::FUNCTIONS,
            regexes::FUNCTIONS,
            strings::FUNCTIONS,
            url::FUNCTIONS,
            version::FUNCTIONS,
            wrap::FUNCTIONS,
        ];
        for (name, params, rest, result, call) in tables.into_iter().flatten() {
            let mut signature = Signature::new(params, *result);
            signature.rest = *rest;
            let call = *call;
            functions.add(name, signature, move |meter, args| call(meter, &Args(args)));
        }
        date::add(&mut functions, surroundings);
        random::add(&mut functions, &surroundings.random);
        secret::add(&mut functions, &surroundings.random);
        functions
    }
}
