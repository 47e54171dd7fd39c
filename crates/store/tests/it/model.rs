//! Random operations against the simplest thing that could be right.
