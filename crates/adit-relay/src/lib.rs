//! The relay: callers and agents both connect to it.
