//! The commands, one file each; `run` is wired in `crate::run`.

pub(crate) mod agent;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod collect;
pub(crate) mod coverage;
pub(crate) mod db;
mod drain;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod find;
pub(crate) mod install;
pub(crate) mod key;
pub(crate) mod ledger;
pub(crate) mod messages;
pub(crate) mod report;
pub(crate) mod rules;
pub(crate) mod send;
pub(crate) mod sources;
pub(crate) mod spool;
pub(crate) mod tap;
pub(crate) mod user;
pub(crate) mod verify;
