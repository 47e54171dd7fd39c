//! Who may do what: passwords, tokens, roles; pure.
