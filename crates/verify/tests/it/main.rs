//! Directories, exports, proofs and servers, true and forged, checked by this crate and by `tools/verify.py`, which share nothing.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![allow(clippy::single_range_in_vec_init, reason = "lists of ranges, of which one is a list, too")]

mod both;
mod clean;
mod command;
mod forged;
mod handed_out;
mod model;
mod served;
mod written;
