//! Reports over a recorded month: what they say, and that they can be made again.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod figures;
mod late;
mod month;
mod pages;
mod replay;
mod world;
