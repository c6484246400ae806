//! A value that stands in the configuration.

use super::{Document, Value};
use std::cmp::Ordering;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
    List(Vec<Constant>),
}

impl Constant {
    /// An unquoted word of YAML or of an expression.
    pub(crate) fn of_word(word: &str) -> Constant {
        match word {
            "null" | "~" => Constant::Null,
            "true" => Constant::Bool(true),
            "false" => Constant::Bool(false),
            _ => {
                let number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
                let int = word.parse().ok().filter(|_| number).map(Constant::Int);
                let float = || word.parse().ok().filter(|f: &f64| number && f.is_finite()).map(Constant::Float);
                int.or_else(float).unwrap_or_else(|| Constant::Text(word.into()))
            }
        }
    }

    /// How `value` compares with it; `None` where the two cannot be compared.
    pub(crate) fn compare(&self, value: Value, of: &Document) -> Option<Ordering> {
        match (value, self) {
            (Value::Null, Constant::Null) => Some(Ordering::Equal),
            (Value::Bool(a), Constant::Bool(b)) => Some(a.cmp(b)),
            (Value::Text(a), Constant::Text(b)) => Some(of.str(a).cmp(b)),
            (Value::Int(a), Constant::Int(b)) => Some(a.cmp(b)),
            (value, Constant::Int(b)) => of.number(value)?.partial_cmp(&(*b as f64)),
            (value, Constant::Float(b)) => of.number(value)?.partial_cmp(b),
            _ => None,
        }
    }
}
