//! Test doubles and fixtures: virtual clock, scripted executor, real PostgreSQL and git
