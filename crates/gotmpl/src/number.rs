//! Go's numbers, read and written.

pub(crate) mod float;
pub(crate) mod read;
