//! Submits, claims, drives, rescues and retires runs; owns the clock and the executor port
