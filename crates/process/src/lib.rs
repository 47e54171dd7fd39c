//! Runs one command well through the keeper: stop sequence, tree sweep, identity
