//! Attempt logs as local files: append, redact, read from an offset, follow
