//! Attributes and values.

use std::borrow::Cow;

use serde::de::{Error, MapAccess, SeqAccess};

use super::fields::{Every, List, Message, One, boolean, bytes, double, int64, skip, text};
use crate::signals::values::{MAX_DEPTH, Value};
use crate::signals::{Records, Slice, TOO_MANY_VALUES};

/// The records so far, and the elements of the arrays and maps that are still open: they become runs when they close.
#[derive(Debug)]
pub struct Context<'a> {
    pub records: Records<'a>,
    open_items: Vec<Value<'a>>,
    open_entries: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Context<'a> {
    pub fn new(records: Records<'a>) -> Context<'a> {
        Context { records, open_items: Vec::new(), open_entries: Vec::new() }
    }
}

impl Context<'_> {
    fn room<E: Error>(&self) -> Result<(), E> {
        let open = self.open_items.len() + self.open_entries.len();
        if self.records.attributes.are_too_many(open + 1) { Err(E::custom(TOO_MANY_VALUES)) } else { Ok(()) }
    }
}

/// Reads the field `attributes` of an owner and adds it to `run`.
pub fn attributes<'a, F: MapAccess<'a>>(context: &mut Context<'a>, fields: &mut F, run: &mut Slice) -> Result<(), F::Error> {
    let mark = context.records.attributes.mark();
    fields.next_value_seed(Every(&mut Attributes(context)))?;
    let added = context.records.attributes.since(mark);
    *run = context.records.attributes.join(*run, added);
    Ok(())
}

/// Reads an `AnyValue`; `depth` is 1 for the value of an attribute or the body of a log record.
pub fn any_value<'a, F: MapAccess<'a>>(context: &mut Context<'a>, fields: &mut F, depth: u32) -> Result<Value<'a>, F::Error> {
    let mut value = AnyValue::new(context, depth);
    fields.next_value_seed(One(&mut value))?;
    Ok(value.value)
}

struct Attributes<'c, 'a>(&'c mut Context<'a>);

impl<'a> List<'a> for Attributes<'_, 'a> {
    const NAME: &'static str = "attributes";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        self.0.room()?;
        let everything = self.0.records.attributes.everything();
        let mut pair = KeyValue::new(self.0, 1);
        let Some(present) = elements.next_element_seed(One(&mut pair))? else { return Ok(false) };
        let KeyValue { key, value, .. } = pair;
        let attributes = &mut self.0.records.attributes;
        match attributes.key(key) {
            Some(key) if present => attributes.push(key, value),
            _ => attributes.rewind(everything),
        }
        Ok(true)
    }
}

struct KeyValue<'c, 'a> {
    context: &'c mut Context<'a>,
    depth: u32,
    key: Cow<'a, str>,
    value: Value<'a>,
}

impl<'c, 'a> KeyValue<'c, 'a> {
    fn new(context: &'c mut Context<'a>, depth: u32) -> KeyValue<'c, 'a> {
        KeyValue { context, depth, key: Cow::Borrowed(""), value: Value::Empty }
    }
}

impl<'a> Message<'a> for KeyValue<'_, 'a> {
    const NAME: &'static str = "KeyValue";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match name {
            "key" => self.key = text(fields)?.unwrap_or_default(),
            "value" => self.value = any_value(self.context, fields, self.depth)?,
            _ => skip(fields)?,
        }
        Ok(())
    }
}

struct AnyValue<'c, 'a> {
    context: &'c mut Context<'a>,
    depth: u32,
    value: Value<'a>,
}

impl<'c, 'a> AnyValue<'c, 'a> {
    fn new(context: &'c mut Context<'a>, depth: u32) -> AnyValue<'c, 'a> {
        AnyValue { context, depth, value: Value::Empty }
    }
}

impl<'a> Message<'a> for AnyValue<'_, 'a> {
    const NAME: &'static str = "AnyValue";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        let value = match name {
            "stringValue" => text(fields)?.map(Value::Str),
            "boolValue" => boolean(fields)?.map(Value::Bool),
            "intValue" => int64(fields)?.map(Value::Int),
            "doubleValue" => double(fields)?.map(Value::Double),
            "bytesValue" => bytes(fields)?.map(|bytes| Value::Bytes(Cow::Owned(bytes))),
            "arrayValue" | "kvlistValue" if self.depth >= MAX_DEPTH => {
                return Err(F::Error::custom(format_args!("values nest deeper than {MAX_DEPTH}")));
            }
            "arrayValue" => array(self.context, fields, self.depth + 1)?,
            "kvlistValue" => map(self.context, fields, self.depth + 1)?,
            _ => return skip(fields),
        };
        // Null leaves the field absent, and what the others said stands.
        if let Some(value) = value {
            self.value = value;
        }
        Ok(())
    }
}

fn array<'a, F: MapAccess<'a>>(context: &mut Context<'a>, fields: &mut F, depth: u32) -> Result<Option<Value<'a>>, F::Error> {
    let open = context.open_items.len();
    let present = fields.next_value_seed(One(&mut ArrayValue { context, depth }))?;
    let items = &mut context.records.attributes.items;
    let start = items.len();
    items.extend(context.open_items.drain(open..));
    Ok(present.then(|| Value::Array(Slice::between(start, items.len()))))
}

fn map<'a, F: MapAccess<'a>>(context: &mut Context<'a>, fields: &mut F, depth: u32) -> Result<Option<Value<'a>>, F::Error> {
    let open = context.open_entries.len();
    let present = fields.next_value_seed(One(&mut KeyValueList { context, depth }))?;
    let entries = &mut context.records.attributes.entries;
    let start = entries.len();
    entries.extend(context.open_entries.drain(open..));
    Ok(present.then(|| Value::Map(Slice::between(start, entries.len()))))
}

struct ArrayValue<'c, 'a> {
    context: &'c mut Context<'a>,
    depth: u32,
}

impl<'a> Message<'a> for ArrayValue<'_, 'a> {
    const NAME: &'static str = "ArrayValue";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match name {
            "values" => fields.next_value_seed(Every(self)),
            _ => skip(fields),
        }
    }
}

impl<'a> List<'a> for ArrayValue<'_, 'a> {
    const NAME: &'static str = "values";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        self.context.room()?;
        let mut element = AnyValue::new(self.context, self.depth);
        if elements.next_element_seed(One(&mut element))?.is_none() {
            return Ok(false);
        }
        // Null is a value here, the empty one: the others keep their places.
        let AnyValue { value, .. } = element;
        self.context.open_items.push(value);
        Ok(true)
    }
}

struct KeyValueList<'c, 'a> {
    context: &'c mut Context<'a>,
    depth: u32,
}

impl<'a> Message<'a> for KeyValueList<'_, 'a> {
    const NAME: &'static str = "KeyValueList";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match name {
            "values" => fields.next_value_seed(Every(self)),
            _ => skip(fields),
        }
    }
}

impl<'a> List<'a> for KeyValueList<'_, 'a> {
    const NAME: &'static str = "values";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        self.context.room()?;
        let mut pair = KeyValue::new(self.context, self.depth);
        let Some(present) = elements.next_element_seed(One(&mut pair))? else { return Ok(false) };
        let KeyValue { key, value, .. } = pair;
        if present {
            self.context.open_entries.push((key, value));
        }
        Ok(true)
    }
}
