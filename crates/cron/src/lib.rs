//! The schedule language: parse, next, previous and explain, in a time zone, right across daylight saving
