//! Holds child processes across daemon restarts: spawn, signal, reap, capture
