//! The ledger on SQLite and PostgreSQL; the only crate with SQL
