//! What may leave this host: to which addresses a request goes ([`Reach`]), and the secrets it takes along ([`Secret`]).
//!
//! For whatever makes requests, sinks and sources alike. This crate makes none itself: it knows no protocol.

mod reach;
mod secret;

pub use reach::{Reach, Unreachable};
pub use secret::{InEnv, InFile, Secret, SecretError};
