//! The store over ledgers in memory.
// The lint's exception for tests does not reach the functions that tests share.
#![allow(clippy::unwrap_used)]

mod cases;
mod fields;
mod follow;
mod generate;
mod memory;
mod random;
