//! The journal from outside, on the real disk and on the simulated one.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod crash;
mod damage;
mod model;
mod real;
mod run;
