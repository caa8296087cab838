//! The server over real connections, against real ledgers and a real search index in a folder of its own.
//!
//! Most tests are scripts (`scripts/*.http`): requests and what must be answered, as text. `script.rs` says how to read them.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod bank;
mod bodies;
mod client;
mod press;
mod script;
mod silences;
mod starting;
mod tails;
mod world;

use script::check;
use world::World;

macro_rules! scripts {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(&World::new(), concat!(stringify!($name), ".http"), include_str!(concat!("scripts/", stringify!($name), ".http")));
        }
    )*};
}

scripts! {
    accounts
    coverage
    databases
    filters
    gate
    ingest
    proofs
    reports
    search
    status
}
