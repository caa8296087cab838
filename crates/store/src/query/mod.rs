//! The search language: text to meaning, and meaning against one entry. `docs/search.md` is its manual.
//!
//! Nothing here knows an index: [`Query::matches`] looks at the entry alone, so it can check what an index says.

mod ast;
mod error;
mod matches;
mod network;
mod parse;
mod pattern;
mod resolve;
mod scan;
#[cfg(test)]
mod syntax_tests;
mod time;
mod words;

use std::fmt;

pub use ast::{Expr, Subject, Term, Test};
pub use error::{Hint, SyntaxError, Token, TokenKind};
pub use matches::{Row, ValueOf};
pub use network::Network;
pub(crate) use pattern::matches as matches_pieces;
pub use pattern::{Piece, Regex, Wildcard, WordPattern};
pub(crate) use words::words;

/// What a field's name stands for, as it would before a colon.
pub(crate) fn subject(name: &str) -> Result<(Subject, Option<Hint>), SyntaxError> {
    resolve::subject(name.to_owned(), 0..name.len())
}

/// The longest query, in bytes.
pub const MAX_QUERY_BYTES: usize = 16 << 10;

/// How deep parentheses and negations may nest.
pub const MAX_DEPTH: usize = 64;

/// The most terms in a query.
pub const MAX_TERMS: usize = 1024;

/// The most regular expressions in a query.
pub const MAX_REGEXES: usize = 32;

/// A query that was read. Cheap to clone but for its text.
#[derive(Debug, Clone)]
pub struct Query {
    expr: Expr,
    tokens: Vec<Token>,
    hints: Vec<Hint>,
}

impl Query {
    /// Reads a query; an empty one asks for everything.
    pub fn parse(text: &str) -> Result<Query, SyntaxError> {
        parse::parse(text).map(|parsed| Query {
            expr: parsed.expr,
            tokens: parsed.tokens,
            hints: parsed.hints,
        })
    }

    /// The query that every entry answers.
    pub fn all() -> Query {
        Query { expr: Expr::All, tokens: Vec::new(), hints: Vec::new() }
    }

    /// What it means.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Whether every entry answers it.
    pub fn is_all(&self) -> bool {
        self.expr == Expr::All
    }

    /// The pieces of its text in order, for colouring; white space and nothing else is left out.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Places that were perhaps not meant as they were read.
    pub fn hints(&self) -> &[Hint] {
        &self.hints
    }

    /// What answers both; tokens and hints stay this query's own. This is how a key's filter is applied.
    #[must_use]
    pub fn and(&self, other: &Query) -> Query {
        let expr = match (&self.expr, &other.expr) {
            (Expr::All, expr) | (expr, Expr::All) => expr.clone(),
            (left, right) => Expr::And(vec![left.clone(), right.clone()]),
        };
        Query { expr, tokens: self.tokens.clone(), hints: self.hints.clone() }
    }
}

/// Equal meaning, whatever the text was.
impl PartialEq for Query {
    fn eq(&self, other: &Query) -> bool {
        self.expr == other.expr
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}
