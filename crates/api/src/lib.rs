//! Wire types, error codes and the typed client
