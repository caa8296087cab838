//! Functions for exact decimals: `decimal_gt!(.row.balance, "0.00")`.
//!
//! They take strings and whole numbers; of anything else, NULL and `NaN` among it, they fail, so they are called with `!` or guarded by `??`.

use std::cmp::Ordering;

use vrl::compiler::prelude::*;

use crate::decimal::Decimal;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exact {
    name: &'static str,
    usage: &'static str,
    work: Work,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Reckon(fn(&Decimal, &Decimal) -> Result<Decimal, crate::decimal::DecimalError>),
    Compare,
    Holds(fn(Ordering) -> bool),
}

/// All of them.
pub(crate) fn functions() -> impl Iterator<Item = Box<dyn Function>> {
    let all = [
        ("decimal_add", "The exact sum of two decimals.", Work::Reckon(Decimal::add)),
        (
            "decimal_subtract",
            "The exact difference of two decimals.",
            Work::Reckon(|one, two| one.add(&two.negated())),
        ),
        ("decimal_multiply", "The exact product of two decimals.", Work::Reckon(Decimal::multiply)),
        ("decimal_compare", "-1, 0 or 1: whether a decimal is less, equal or greater.", Work::Compare),
        ("decimal_eq", "Whether two decimals are the same number.", Work::Holds(Ordering::is_eq)),
        ("decimal_lt", "Whether a decimal is less than another.", Work::Holds(Ordering::is_lt)),
        ("decimal_le", "Whether a decimal is at most another.", Work::Holds(Ordering::is_le)),
        ("decimal_gt", "Whether a decimal is greater than another.", Work::Holds(Ordering::is_gt)),
        ("decimal_ge", "Whether a decimal is at least another.", Work::Holds(Ordering::is_ge)),
    ];
    all.into_iter().map(|(name, usage, work)| Box::new(Exact { name, usage, work }) as Box<dyn Function>)
}

/// Whether what this function gives is an exact decimal.
pub(crate) fn gives_decimal(function: &str) -> bool {
    ["decimal_add", "decimal_subtract", "decimal_multiply"].contains(&function)
}

const PARAMETERS: &[Parameter] = &[
    Parameter::required("value", kind::BYTES | kind::INTEGER, "A decimal, or a whole number."),
    Parameter::required("other", kind::BYTES | kind::INTEGER, "Another."),
];

impl Function for Exact {
    fn identifier(&self) -> &'static str {
        self.name
    }

    fn usage(&self) -> &'static str {
        self.usage
    }

    fn category(&self) -> &'static str {
        Category::Number.as_ref()
    }

    fn return_kind(&self) -> u16 {
        match self.work {
            Work::Reckon(_) => kind::BYTES,
            Work::Compare => kind::INTEGER,
            Work::Holds(_) => kind::BOOLEAN,
        }
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn examples(&self) -> &'static [Example] {
        &[]
    }

    fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let (value, other) = (arguments.required("value"), arguments.required("other"));
        Ok(Call { work: self.work, value, other }.as_expr())
    }
}

#[derive(Clone, Debug)]
struct Call {
    work: Work,
    value: Box<dyn Expression>,
    other: Box<dyn Expression>,
}

impl FunctionExpression for Call {
    fn resolve(&self, ctx: &mut Context) -> Resolved {
        let value = decimal(&self.value.resolve(ctx)?)?;
        let other = decimal(&self.other.resolve(ctx)?)?;
        Ok(match self.work {
            Work::Reckon(reckon) => {
                reckon(&value, &other).map_err(|error| error.to_string())?.to_string().into()
            }
            Work::Compare => Value::Integer(value.cmp(&other) as i64),
            Work::Holds(holds) => holds(value.cmp(&other)).into(),
        })
    }

    fn type_def(&self, _: &TypeState) -> TypeDef {
        match self.work {
            Work::Reckon(_) => TypeDef::bytes().fallible(),
            Work::Compare => TypeDef::integer().fallible(),
            Work::Holds(_) => TypeDef::boolean().fallible(),
        }
    }
}

fn decimal(value: &Value) -> Result<Decimal, ExpressionError> {
    let parsed = match (value, value.to_str()) {
        (Value::Integer(number), _) => number.to_string().parse::<Decimal>(),
        (_, Some(text)) => text.parse(),
        (other, None) => return Err(format!("expected a decimal, found {}", other.kind_str()).into()),
    };
    parsed.map_err(|error| error.to_string().into())
}
