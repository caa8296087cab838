//! How people and programs reach Attestry: the HTTP API, accounts, and the web page.

pub mod accounts;
mod address;
mod config;
mod problem;
mod split;

pub use address::{Network, NetworkError};
pub use config::{Config, ConfigError, DEFAULT_LISTEN, Tls};
