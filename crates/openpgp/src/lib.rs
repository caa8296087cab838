//! How does the user's GnuPG sign, encrypt and verify for us?
//!
//! By the program `gpg`, as git does it: keyring, agent, smart cards and trust are the user's own. What `gpg` found is read from its status
//! lines (`doc/DETAILS` of GnuPG) and never from what it tells people. It is asked for nothing on a terminal, fetches no keys, and is ended
//! when it makes no progress. A passphrase goes through a pipe of its own; no argument, error or log holds one.
//!
//! Signing and encrypting: [`Gpg::clear_sign`], [`Gpg::protect`], [`Gpg::detached_signature`]. The way back: [`Gpg::open`], which gives the text
//! that is signed, by whom, and when, or refuses. All of it blocks.
//!
//! This crate knows no events and no network.

mod config;
mod fingerprint;
mod key;
mod listing;
mod open;
mod problem;
mod process;
mod sign;
mod status;

pub use config::OpenpgpConfig;
pub use fingerprint::{Fingerprint, NoFingerprint};
pub use key::{Key, KeyUse, Validity};
pub use open::{Demand, OpenError, Opened, Refusal, Signature, Trust};
pub use problem::{KeyProblem, Told};
pub use process::{Gpg, GpgError};
pub use sign::{Form, Protection, Signed};
