//! Against the real servers.

mod mysql;
