//! Columns of every type that databases have, and the values of them that are hardest to carry: for whoever reads, follows, dumps or watches one.

pub mod mariadb;
pub mod postgres;
