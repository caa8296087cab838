//! The index against a brute-force scan of the same entries.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod damage;
mod entries;
mod filters;
mod hostile;
mod scan;
mod whole;
