//! Programs as users write them: on real events, on hostile ones, and those of the manual.

#![allow(clippy::unwrap_used)]

mod cases;
mod compile;
mod docs;
mod hostile;
mod rule;
mod transform;
