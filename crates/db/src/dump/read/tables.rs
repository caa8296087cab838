//! Tables: created, given keys afterwards, dropped.

use super::super::DumpError;
use super::super::table::DumpTable;
use super::super::token::Token;
use super::{MAX_TOKENS, Reading};

impl Reading<'_, '_> {
    pub(super) fn create(&mut self) -> Result<(), DumpError> {
        let mut word = self.token()?;
        while ["UNLOGGED", "TEMPORARY", "GLOBAL", "LOCAL"].iter().any(|known| word.is(known)) {
            word = self.token()?;
        }
        if !word.is("TABLE") {
            self.rest()?;
            return Ok(());
        }
        self.not_ansi()?;
        word = self.token()?;
        while ["IF", "NOT", "EXISTS"].iter().any(|known| word.is(known)) {
            word = self.token()?;
        }
        let line = self.input.line;
        let (name, next) = self.name(word)?;
        if next != Token::Symbol(b'(') {
            self.rest()?;
            return self.note(line, format!("the table {name} is created in a way that is not understood"));
        }
        let mut items = vec![Vec::new()];
        let mut depth = 0;
        let mut tokens = 0;
        loop {
            let token = self.token()?;
            match token {
                Token::End => return Err(self.input.wrong("the end of the dump", "')'")),
                Token::Symbol(b')') if depth == 0 => break,
                Token::Symbol(b',') if depth == 0 => {
                    items.push(Vec::new());
                    continue;
                }
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') => depth -= 1,
                _ => {}
            }
            tokens += 1;
            if tokens > MAX_TOKENS {
                return Err(self.input.wrong("a table's definition that goes on", "its end"));
            }
            if let Some(item) = items.last_mut() {
                item.push(token);
            }
        }
        let options = self.rest()?;
        let mysql = self.dialect.mysql;
        let table = DumpTable::new(name, &items, &options, mysql, self.config);
        let mut table = table.map_err(|found| self.input.wrong(found, "the definition of a table"))?;
        table.watched &= table.name.schema == self.wanted;
        let inherits = options.iter().skip_while(|token| !token.is("INHERITS")).skip(2);
        let parents: Vec<&Token> = inherits.take_while(|token| **token != Token::Symbol(b')')).collect();
        for parent in parents.split(|token| **token == Token::Symbol(b',')) {
            let schema = parent.first().and_then(|token| token.name()).filter(|_| parent.len() == 3);
            let name = parent.last().and_then(|token| token.name());
            let schema = schema.or(self.schema.as_deref()).unwrap_or(&self.wanted);
            let known = self
                .tables
                .iter()
                .find(|known| known.name.schema == schema && Some(known.name.table.as_str()) == name);
            if let Some(known) = known {
                table.inherit(known, self.config);
            }
        }
        match self.tables.iter_mut().find(|known| known.name == table.name) {
            Some(known) if known.rows == 0 => *known = table,
            Some(_) => return Err(self.input.wrong(format!("the table {} again", table.name), "each once")),
            None => self.tables.push(table),
        }
        Ok(())
    }

    pub(super) fn alter(&mut self, line: u64) -> Result<(), DumpError> {
        if !self.token()?.is("TABLE") {
            self.rest()?;
            return Ok(());
        }
        let mut word = self.token()?;
        while ["ONLY", "IF", "EXISTS"].iter().any(|known| word.is(known)) {
            word = self.token()?;
        }
        let (name, next) = self.name(word)?;
        let mut rest = vec![next];
        if rest != [Token::Symbol(b';')] {
            rest.extend(self.rest()?);
        }
        let Some(table) = self.tables.iter_mut().find(|table| table.name == name) else { return Ok(()) };
        for item in rest.split(|token| *token == Token::Symbol(b',')) {
            // A comma within brackets splits a key's columns, too: it is taken as a whole below.
            let adds_column = item.first().is_some_and(|word| word.is("ADD"))
                && item.get(1).is_some_and(|word| word.is("COLUMN") || matches!(word, Token::Name(_)));
            if adds_column || item.first().is_some_and(|word| word.is("CHANGE") || word.is("MODIFY")) {
                let text =
                    format!("ALTER TABLE {name} changes columns, which is not understood and was left out");
                return self.note(line, text);
            }
        }
        if rest.first().is_some_and(|word| word.is("ADD")) {
            let mut depth = 0;
            let each = rest.split(|token| {
                depth += i32::from(*token == Token::Symbol(b'(')) - i32::from(*token == Token::Symbol(b')'));
                depth == 0 && *token == Token::Symbol(b',')
            });
            for item in each {
                table.constrain(item);
            }
        }
        Ok(())
    }

    /// What stood for a view is dropped again before the view is created.
    pub(super) fn drop(&mut self, line: u64) -> Result<(), DumpError> {
        let rest = self.rest()?;
        if !rest.first().is_some_and(|word| word.is("TABLE")) {
            return Ok(());
        }
        let Some(name) = rest.iter().rev().find_map(Token::name).map(str::to_owned) else { return Ok(()) };
        let dropped = |table: &DumpTable| {
            table.name.table == name && table.name.schema == self.schema.as_deref().unwrap_or(&self.wanted)
        };
        let Some(place) = self.tables.iter().position(dropped) else { return Ok(()) };
        let rows = self.tables.get(place).map_or(0, |table| table.rows);
        if rows > 0 {
            return self.note(
                line,
                format!("the table {name} is dropped after its rows, which were read all the same"),
            );
        }
        // Places of others must stay.
        if let Some(table) = self.tables.get_mut(place) {
            table.watched = false;
            table.columns.clear();
        }
        Ok(())
    }
}
