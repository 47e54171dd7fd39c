//! Seals what must not be read where it lies.
