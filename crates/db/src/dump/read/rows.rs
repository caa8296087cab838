//! Rows as INSERT has them, and what every row goes through.

use super::super::DumpError;
use super::super::token::Token;
use super::super::value::{Form, Literal, cell};
use super::Reading;
use crate::cell::Cell;
use crate::table::Name;

impl Reading<'_, '_> {
    pub(super) fn insert(&mut self) -> Result<(), DumpError> {
        self.not_ansi()?;
        let mut word = self.token()?;
        while ["INTO", "IGNORE", "DELAYED", "LOW_PRIORITY", "HIGH_PRIORITY"]
            .iter()
            .any(|known| word.is(known))
        {
            word = self.token()?;
        }
        let (name, mut next) = self.name(word)?;
        let mut listed = None;
        if next == Token::Symbol(b'(') {
            listed = Some(self.listed()?);
            next = self.token()?;
        }
        while ["OVERRIDING", "SYSTEM", "USER", "VALUE"].iter().any(|known| next.is(known)) {
            next = self.token()?;
        }
        if next.is("DEFAULT") {
            // Of a table without columns.
            self.of_rows(&name, Some(Vec::new()))?;
            self.rest()?;
            return Ok(());
        }
        if !next.is("VALUES") {
            return Err(self.input.wrong(next.told(), "VALUES"));
        }
        let table = self.of_rows(&name, listed)?;
        loop {
            self.tuple(table)?;
            match self.token()? {
                Token::Symbol(b',') => {}
                Token::Symbol(b';') => return Ok(()),
                word if word.is("ON") => {
                    self.rest()?;
                    return Ok(());
                }
                other => return Err(self.input.wrong(other.told(), "',' or ';'")),
            }
        }
    }

    /// Names up to the closing bracket.
    pub(super) fn listed(&mut self) -> Result<Vec<String>, DumpError> {
        let mut names = Vec::new();
        loop {
            let token = self.token()?;
            let Some(name) = token.name() else {
                return Err(self.input.wrong(token.told(), "a column's name"));
            };
            names.push(name.to_owned());
            match self.token()? {
                Token::Symbol(b',') => {}
                Token::Symbol(b')') => return Ok(names),
                other => return Err(self.input.wrong(other.told(), "',' or ')'")),
            }
        }
    }

    /// The table whose rows follow, with the order of its columns.
    pub(super) fn of_rows(&mut self, name: &Name, listed: Option<Vec<String>>) -> Result<usize, DumpError> {
        let Some(place) = self.tables.iter().position(|table| table.name == *name) else {
            let expected = "CREATE TABLE before it: a dump without --no-create-info or --data-only";
            return Err(self.input.wrong(format!("rows of the table {name}"), expected));
        };
        let Some(table) = self.tables.get_mut(place) else { return Ok(place) };
        let layout: Vec<usize> = match &listed {
            None => (0..table.columns.len()).collect(),
            Some(names) => {
                let mut layout = Vec::with_capacity(names.len());
                for name in names {
                    match table.place(name) {
                        Some(place) if !layout.contains(&place) => layout.push(place),
                        _ => {
                            let found = format!("the column {name}");
                            return Err(self
                                .input
                                .wrong(found, format!("each column of {} once", table.name)));
                        }
                    }
                }
                layout
            }
        };
        if let Some(missing) = (0..table.columns.len())
            .filter(|place| !layout.contains(place))
            .find_map(|place| table.columns.get(place).filter(|column| !column.column.generated))
        {
            let found = format!("rows without the column {}", missing.column.name);
            return Err(self.input.wrong(found, "all that the database does not compute"));
        }
        match &table.layout {
            Some(known) if *known != layout => {
                Err(self.input.wrong("columns in another order", "that of the rows before"))
            }
            Some(_) => Ok(place),
            None => {
                table.layout = Some(layout);
                Ok(place)
            }
        }
    }

    fn tuple(&mut self, table: usize) -> Result<(), DumpError> {
        self.expect(b'(')?;
        let columns = self.tables.get(table).and_then(|table| table.layout.as_ref()).map_or(0, Vec::len);
        let mut literals = Vec::with_capacity(columns);
        loop {
            literals.push(self.literal()?);
            match self.token()? {
                Token::Symbol(b',') if literals.len() < columns => {}
                Token::Symbol(b')') if literals.len() == columns => return self.row(table, literals),
                other => {
                    let found = format!("{} after {} values", other.told(), literals.len());
                    return Err(self.input.wrong(found, format!("{columns} values")));
                }
            }
        }
    }

    fn literal(&mut self) -> Result<Literal, DumpError> {
        let mut token = self.token()?;
        let mut minus = false;
        if matches!(token, Token::Symbol(b'-' | b'+')) {
            minus = token == Token::Symbol(b'-');
            token = self.token()?;
        }
        Ok(match token {
            Token::Text(text) => Literal::Text(text),
            Token::Bytes(bytes) => Literal::Bytes(bytes),
            Token::Bits(bits) => Literal::Bits(bits),
            word if word.is("NULL") => Literal::Null,
            Token::Word(word) if word.starts_with('_') && self.dialect.mysql => match self.token()? {
                Token::Text(bytes) | Token::Bytes(bytes) => Literal::Bytes(bytes),
                other => return Err(self.input.wrong(other.told(), "a text")),
            },
            Token::Word(word) if minus => Literal::Bare(format!("-{word}").into_bytes()),
            Token::Word(word) => Literal::Bare(word.into_bytes()),
            // .5
            Token::Symbol(b'.') => match self.token()? {
                Token::Word(word) => {
                    Literal::Bare(format!("{}.{word}", if minus { "-" } else { "" }).into_bytes())
                }
                other => return Err(self.input.wrong(other.told(), "digits")),
            },
            other => return Err(self.input.wrong(other.told(), "a value")),
        })
    }

    pub(super) fn row(&mut self, place: usize, literals: Vec<Literal>) -> Result<(), DumpError> {
        let Some(table) = self.tables.get_mut(place) else { return Ok(()) };
        table.rows += 1;
        if !table.watched {
            return Ok(());
        }
        let Some(layout) = &table.layout else { return Ok(()) };
        let mut cells: Vec<(usize, Cell)> = Vec::with_capacity(layout.len());
        for (place, literal) in layout.iter().zip(literals) {
            let Some(column) = table.columns.get(*place).filter(|column| !column.left_out()) else {
                continue;
            };
            let made = match (column.form, &literal) {
                (Form::Plain, Literal::Text(_)) | (Form::Plain, Literal::Bytes(_)) => match literal {
                    Literal::Text(bytes) | Literal::Bytes(bytes) => Ok(Cell::Value(bytes)),
                    _ => Ok(Cell::Null),
                },
                _ => cell(column.form, &column.column.kind, literal),
            };
            let mut made = made.map_err(|expected| {
                let found = format!("a value of the column {} of {}", column.column.name, table.name);
                self.input.wrong(found, expected)
            })?;
            if column.column.masked {
                made = self.mask.mask(&made);
            }
            cells.push((*place, made));
        }
        cells.sort_by_key(|(place, _)| *place);
        let cells: Vec<Cell> = cells.into_iter().map(|(_, cell)| cell).collect();
        self.sink.row(place, &cells)
    }
}
