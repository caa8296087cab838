//! How people and programs reach Attestry: the HTTP API, accounts, and the web page.
//!
//! [`Server::bind`] takes a [`Config`] (how it is reached) and [`Parts`] (what it serves), [`Server::run`] answers until it
//! is told to stop. The way of a request: `listen` (connection, TLS) → `gate` (host, origin, client address) → `routes` → a
//! handler, one file a capability: `ingest` (events in), `find`, `aggregate`, `values`, `stats`, `tail` (events out), `entries` and `log` (single
//! events, proofs, tiles), `people`, `keys`, `agents` (other hosts that send), `silence` and `coverage` (who was not heard, what is missing), `flow`, `ledgers`, `prune`, `health`, `page`. `auth` says who is asking and what that allows; what a
//! caller may read is a scope without which no event can be reached. Every search, export and account change is an event in
//! the ledger `audit` (`audit`, `accounts`).
//!
//! It knows HTTP and accounts. How events are checked, stored, found and proved is in the crates below.

pub mod accounts;
mod address;
mod agents;
mod aggregate;
pub mod alerts;
mod app;
mod audit;
mod auth;
mod body;
mod clash;
mod commit;
mod config;
mod coverage;
mod csv;
pub mod databases;
mod entries;
mod evidence;
mod find;
mod flow;
mod gate;
mod health;
mod ingest;
mod keys;
mod ledgers;
mod limit;
mod listen;
mod log;
mod metrics;
mod openapi;
mod page;
mod params;
mod parts;
mod people;
mod problem;
mod prune;
mod query;
pub mod reports;
mod routes;
mod rows;
mod search;
mod searched;
mod server;
mod silence;
mod split;
mod stats;
mod stream;
mod tail;
mod times;
mod tls;
mod upkeep;
mod values;

pub use address::{Network, NetworkError};
pub use audit::{RecordError, record};
pub use clash::clashes;
pub use config::{Config, ConfigError, DEFAULT_LISTEN, Tls};
pub use flow::{FlowStatus, ReceiverStatus, SinkStatus};
pub use parts::{AUDIT_LEDGER, LedgerPart, Operations, Parts, SourceStatus, VerifyStatus};
pub use prune::{PruneError, prune};
pub use rows::LedgerRows;
pub use server::{ServeError, Server};
pub use tls::{TlsError, fingerprint};
