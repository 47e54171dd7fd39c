//! Text of every dialect becomes a catalog of declarations and a list of diagnostics
