//! A configuration as a tree whose every node knows its place: what several files and `--set` are merged as.
//!
//! | file | what it holds |
//! |---|---|
//! | [`read`] | from the text of a file to a tree: anchors, merge keys, and what is refused |
//! | [`typed`] | from a tree to the types of the configuration |

pub(super) mod read;
pub(super) mod typed;

use super::place::Place;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file; every key once.
    Map(Vec<(Key, Node)>),
}

/// Text as it stands in the file. Which type it is of is said by who reads it.
#[derive(Clone, Debug)]
pub(super) struct Scalar {
    pub text: String,
    /// Not in quotes, so that `1`, `true` and nothing are no text.
    pub plain: bool,
    /// Holds what a reference stood for, which may be a number even in quotes.
    pub resolved: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub text: String,
    pub place: Place,
}

impl Scalar {
    /// Nothing after the colon, `~` or `null`.
    pub fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    pub fn as_int(&self) -> Option<i128> {
        let text = self.text.as_str();
        if let Some(digits) = text.strip_prefix("0x") {
            return i128::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with(['+', '-']));
        }
        if let Some(digits) = text.strip_prefix("0o") {
            return i128::from_str_radix(digits, 8).ok().filter(|_| !digits.starts_with(['+', '-']));
        }
        text.parse().ok()
    }

    pub fn as_float(&self) -> Option<f64> {
        match self.text.as_str() {
            ".inf" | ".Inf" | ".INF" | "+.inf" => Some(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
            ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
            text if text.contains(|c: char| c.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Node {
    /// Puts another configuration over this one, as the Collector does: maps key by key, anything else as a whole.
    pub fn merge(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Value::Map(entries), Value::Map(others)) => {
                for (key, node) in others {
                    match entries.iter_mut().find(|(have, _)| have.text == key.text) {
                        Some((have, under)) => {
                            under.merge(node);
                            *have = key;
                        }
                        None => entries.push((key, node)),
                    }
                }
                self.place = over.place;
            }
            (_, value) => *self = Node { place: over.place, value },
        }
    }

    /// Applies an edit to every scalar.
    pub fn each_scalar<E>(&mut self, edit: &mut impl FnMut(&Place, &mut Scalar) -> Result<(), E>) -> Result<(), E> {
        match &mut self.value {
            Value::Scalar(scalar) => edit(&self.place, scalar),
            Value::List(nodes) => nodes.iter_mut().try_for_each(|node| node.each_scalar(edit)),
            Value::Map(entries) => entries.iter_mut().try_for_each(|(_, node)| node.each_scalar(edit)),
        }
    }
}
