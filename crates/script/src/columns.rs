//! Which columns a rule names, and whether it reckons with exact numbers as if they were text.
//!
//! The compiler takes a path that is not there for null, and `"9.00" > "10.00"` for true: both would be rules that never find anything.

use std::collections::HashMap;

use vrl::diagnostic::Span;
use vrl::parser::ast::{
    AssignmentTarget, Container, Expr, FunctionCall, Node, Opcode, Predicate, Query, QueryTarget, RootExpr,
    Unary,
};
use vrl::path::{OwnedSegment, OwnedValuePath, PathPrefix};

use crate::rule::{RuleColumn, Seen};
use crate::{CompileError, exact};

/// What was found of the columns in a program.
pub(crate) struct Walk {
    /// Where which column is used.
    pub(crate) used: Vec<Used>,
}

/// A column in a program.
pub(crate) struct Used {
    pub(crate) span: Span,
    /// Its place.
    pub(crate) column: usize,
}

impl Used {
    /// As the program has it: `.row.balance`.
    pub(crate) fn text<'s>(&self, source: &'s str) -> &'s str {
        source.get(self.span.range()).unwrap_or_default().trim()
    }
}

/// Looks at all expressions of a program. One that cannot be parsed is left to the compiler.
pub(crate) fn walk(
    source: &str,
    rows: &[&'static str],
    columns: &[RuleColumn],
) -> Result<Walk, CompileError> {
    let mut walker =
        Walker { source, rows, columns, variables: HashMap::new(), used: Vec::new(), mistakes: Vec::new() };
    if let Ok(program) = vrl::parser::parse(source) {
        for root in program {
            if let RootExpr::Expr(expr) = root.into_inner() {
                walker.expr(expr);
            }
        }
    }
    match CompileError::all(walker.mistakes) {
        Some(error) => Err(error),
        None => Ok(Walk { used: walker.used }),
    }
}

/// What an expression gives, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Other,
    /// A number written in the program.
    Number,
    /// A whole number that may be a string.
    Unsigned,
    /// A decimal, which is a string.
    Decimal,
}

struct Walker<'a> {
    source: &'a str,
    rows: &'a [&'static str],
    columns: &'a [RuleColumn],
    variables: HashMap<String, Sort>,
    used: Vec<Used>,
    mistakes: Vec<CompileError>,
}

impl Walker<'_> {
    fn mistake(&mut self, span: Span, message: &str, note: &str) {
        self.mistakes.push(CompileError::one(self.source, span, message, note));
    }

    fn all(&mut self, exprs: impl IntoIterator<Item = Node<Expr>>) -> Sort {
        exprs.into_iter().fold(Sort::Other, |_, expr| self.expr(expr))
    }

    fn expr(&mut self, node: Node<Expr>) -> Sort {
        let (span, expr) = node.take();
        match expr {
            Expr::Literal(literal) => {
                let text = literal.into_inner().to_string();
                let number = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
                if number { Sort::Number } else { Sort::Other }
            }
            Expr::Container(container) => self.container(container.into_inner()),
            Expr::IfStatement(node) => {
                let node = node.into_inner();
                match node.predicate.into_inner() {
                    Predicate::One(expr) => self.expr(*expr),
                    Predicate::Many(exprs) => self.all(exprs),
                };
                let then = self.all(node.if_node.into_inner());
                let otherwise = node.else_node.map_or(Sort::Other, |block| self.all(block.into_inner()));
                then.max(otherwise)
            }
            Expr::Op(op) => {
                let op = op.into_inner();
                let (left, right) = (self.expr(*op.0), self.expr(*op.2));
                self.op(span, op.1.into_inner(), left, right)
            }
            Expr::Assignment(assignment) => self.assignment(assignment.into_inner()),
            Expr::Query(query) => {
                let (span, query) = query.take();
                self.query(span, query)
            }
            Expr::FunctionCall(call) => self.call(call.into_inner()),
            Expr::Variable(name) => self.variables.get(&**name).copied().unwrap_or(Sort::Other),
            Expr::Unary(unary) => {
                let Unary::Not(not) = unary.into_inner();
                self.expr(*not.into_inner().take().1);
                Sort::Other
            }
            Expr::Abort(abort) => {
                abort.into_inner().message.map(|message| self.expr(*message));
                Sort::Other
            }
            Expr::Return(node) => self.expr(*node.into_inner().expr),
            Expr::Break(_) => Sort::Other,
        }
    }

    fn container(&mut self, container: Container) -> Sort {
        match container {
            Container::Group(group) => self.expr(group.into_inner().into_inner()),
            Container::Block(block) => self.all(block.into_inner()),
            Container::Array(array) => {
                self.all(array.into_inner());
                Sort::Other
            }
            Container::Object(object) => {
                self.all(object.into_inner().into_iter().map(|(_, expr)| expr));
                Sort::Other
            }
        }
    }

    fn assignment(&mut self, assignment: vrl::parser::ast::Assignment) -> Sort {
        use vrl::parser::ast::Assignment;
        let (target, expr) = match assignment {
            Assignment::Single { target, expr, .. } => (target, expr),
            Assignment::Infallible { ok, expr, .. } => (ok, expr),
        };
        let sort = self.expr(*expr);
        if let AssignmentTarget::Internal(name, None) = target.into_inner() {
            // A variable that was a decimal once is one to the end: branches are not followed.
            let known = self.variables.entry(name.into_inner()).or_insert(sort);
            *known = sort.max(*known);
        }
        sort
    }

    fn call(&mut self, call: FunctionCall) -> Sort {
        let name = call.ident.into_inner().into_inner();
        let sorts: Vec<Sort> =
            call.arguments.into_iter().map(|argument| self.expr(argument.into_inner().expr)).collect();
        if let Some(closure) = call.closure {
            self.all(closure.into_inner().block.into_inner());
        }
        match name.as_str() {
            "string" | "to_string" => sorts.first().copied().unwrap_or(Sort::Other),
            name if exact::gives_decimal(name) => Sort::Decimal,
            _ => Sort::Other,
        }
    }

    fn query(&mut self, span: Span, query: Query) -> Sort {
        let path = query.path.into_inner();
        match query.target.into_inner() {
            QueryTarget::External(PathPrefix::Event) => self.column(span, &path),
            QueryTarget::External(PathPrefix::Metadata) => {
                self.mistake(span, "a rule has no metadata", "it sees rows and nothing else");
                Sort::Other
            }
            QueryTarget::Internal(_) => Sort::Other,
            QueryTarget::FunctionCall(call) => {
                self.call(call);
                Sort::Other
            }
            QueryTarget::Container(container) => {
                self.container(container);
                Sort::Other
            }
        }
    }

    fn column(&mut self, span: Span, path: &OwnedValuePath) -> Sort {
        let rows: Vec<String> = self.rows.iter().map(|row| format!(".{row}")).collect();
        let rows = rows.join(" and ");
        let mut segments = path.segments.iter();
        match segments.next() {
            None => return Sort::Other,
            Some(OwnedSegment::Field(row)) if self.rows.contains(&row.as_str()) => {}
            Some(_) => {
                self.mistake(span, &format!("this rule sees {rows}"), "and nothing else");
                return Sort::Other;
            }
        }
        let name = match segments.next() {
            None => return Sort::Other,
            Some(OwnedSegment::Field(name)) => name.as_str(),
            Some(OwnedSegment::Index(_)) => {
                self.mistake(span, "a row has columns by name", "not by number");
                return Sort::Other;
            }
        };
        let found = self.columns.iter().enumerate().find(|(_, column)| column.name == name);
        let Some((place, column)) = found else {
            let open = self.columns.iter().filter(|column| !column.masked);
            let names: Vec<&str> = open.map(|column| column.name.as_str()).collect();
            let note = match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("it has {}", names.join(", ")),
            };
            self.mistake(span, &format!("the table has no column {name}"), &note);
            return Sort::Other;
        };
        if column.masked {
            let note = "what is masked is not known to rules either";
            self.mistake(span, &format!("the column {name} is masked"), note);
            return Sort::Other;
        }
        if segments.next().is_some() {
            let note = "it is a string here; parse_json!(…) makes more of JSON";
            self.mistake(span, &format!("the column {name} has no parts"), note);
            return Sort::Other;
        }
        self.used.push(Used { span, column: place });
        match column.seen {
            Seen::Decimal => Sort::Decimal,
            Seen::Unsigned => Sort::Unsigned,
            _ => Sort::Other,
        }
    }

    fn op(&mut self, span: Span, op: Opcode, left: Sort, right: Sort) -> Sort {
        let exact = |sort: Sort| sort >= Sort::Unsigned;
        let decimal = left == Sort::Decimal || right == Sort::Decimal;
        let instead = match op {
            Opcode::Gt => "decimal_gt!",
            Opcode::Ge => "decimal_ge!",
            Opcode::Lt => "decimal_lt!",
            Opcode::Le => "decimal_le!",
            Opcode::Sub => "decimal_subtract!",
            Opcode::Mul => "decimal_multiply!",
            Opcode::Div => "decimal_compare!, or decimal_multiply! the other side",
            // "balance is " + .row.balance is a text, and meant to be.
            Opcode::Add if exact(left) && right > Sort::Other || exact(right) && left > Sort::Other => {
                "decimal_add!"
            }
            // As text, 1.0 is not 1.00, and no number is a string. Two of one column have the same places.
            Opcode::Eq | Opcode::Ne if decimal && left.min(right) == Sort::Number => "decimal_eq!",
            Opcode::Err => return left.max(right),
            _ => return Sort::Other,
        };
        if exact(left) || exact(right) {
            let message = format!("{op} does not know exact numbers");
            self.mistake(span, &message, &format!("use {instead}(…)"));
        }
        Sort::Other
    }
}

/// The known name that was meant, if at most a third of it is mistyped.
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Longer than any name can be mistyped: keeps the work small.
    if name.len() > 64 {
        return None;
    }
    let name = name.to_lowercase();
    let each = known.into_iter().map(|known| (strsim::osa_distance(&name, &known.to_lowercase()), known));
    let close = each.filter(|(edits, known)| *edits <= name.len().max(known.len()) / 3);
    close.min_by_key(|(edits, _)| *edits).map(|(_, known)| known)
}
