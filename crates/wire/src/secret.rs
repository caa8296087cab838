//! Passwords, tokens and keys, as the settings of every way have them.

pub use attestry_outbound::{InEnv, InFile, Secret, SecretError};
