//! The keeper as its clients see it: the real program, real children, real signals.

mod crash;
mod nest;
mod place;
mod reap;
mod spawn;
mod tree;
mod upgrade;
mod wire;
