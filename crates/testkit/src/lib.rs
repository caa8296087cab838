//! The real programs, for tests: started from their binaries, each in a folder and on a port of its own.
//!
//! A [`Scenario`] is one data directory and the server on it, started, killed and started again as the test says. Its last step is
//! always the same: the server is stopped, and three verifiers that share little look at what it left, `attestry verify`,
//! `attestry-verify` and `tools/verify.py`. A test cannot forget it: a scenario that is dropped without it fails.
//!
//! What is missing fails a test; nothing is skipped. Everything here panics where a test would, with what was being done.

mod activemq;
mod amqp;
mod authority;
mod client;
mod docker;
mod gnupg;
mod mariadb;
mod moto;
mod nats;
mod port;
mod postgres;
mod programs;
mod rabbitmq;
mod rsyslog;
mod run;
mod scenario;
mod small_disk;
mod smtp;
mod stomp;
mod tail;
pub mod values;

pub use activemq::ActiveMq;
pub use authority::{Authority, Issued, OWN_HOSTS};
pub use client::{Answer, Client};
pub use docker::{BUSYBOX, Docker};
pub use gnupg::GnuPg;
pub use mariadb::MariaDb;
pub use moto::Moto;
pub use nats::{NATS_MAX_PAYLOAD, NatsServer};
pub use port::free as free_port;
pub use postgres::Postgres;
pub use programs::Programs;
pub use rabbitmq::RabbitMq;
pub use rsyslog::Rsyslog;
pub use run::{Ran, Running};
pub use scenario::{Scenario, copy_tree};
pub use small_disk::SmallDisk;
pub use smtp::{Said, SmtpServer};
pub use tail::{Message, Tail};

use std::time::{Duration, Instant};

/// Looks every 10 ms whether something is there yet, and fails when it is not within the time.
#[track_caller]
pub fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < within, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
