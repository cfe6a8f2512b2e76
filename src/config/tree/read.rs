//! From the text of a file to a tree.
//!
//! Anchors, aliases and merge keys (`<<: *base`) mean what YAML says. Refused, with their place: a key that stands twice, a key that is no
//! text, an own tag, a second document, and aliases that grow a file beyond [`MAX_NODES`].

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{Key, Node, Scalar, Value};
use crate::config::ConfigError;
use crate::config::place::Place;

/// Nodes of one file with its aliases written out.
const MAX_NODES: usize = 100_000;
/// Lists and maps within each other.
const MAX_DEPTH: usize = 64;

/// Reads one document; `origin` is its file or option.
pub(in crate::config) fn read(text: &str, origin: &Place) -> Result<Node, ConfigError> {
    let mut reader = Reader { parser: Parser::new_from_str(text), origin, anchors: HashMap::new(), nodes: 0 };
    let mut root = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(..), span) if root.is_some() => {
                return Err(ConfigError::at(&reader.place(span), "expected one document, found a second one behind `---`"));
            }
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            (event, span) => root = Some(reader.node(event, span, 0)?),
        }
    }
    Ok(root.unwrap_or_else(|| Node { place: origin.clone(), value: Value::Scalar(nothing()) }))
}

fn nothing() -> Scalar {
    Scalar { text: String::new(), plain: true, resolved: false }
}

struct Reader<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    origin: &'a Place,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    /// The next event that is no comment.
    fn next(&mut self) -> Result<(Event<'a>, Span), ConfigError> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => {
                    let mark = error.marker();
                    let place = self.origin.at(mark.line(), mark.col() + 1);
                    return Err(ConfigError::at(&place, format!("expected YAML: {}", error.info())));
                }
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn place(&self, span: Span) -> Place {
        self.origin.at(span.start.line(), span.start.col() + 1)
    }

    /// The node that begins with this event.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, ConfigError> {
        let place = self.place(span);
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            let message = format!("expected at most {MAX_DEPTH} levels and {MAX_NODES} values, found more");
            return Err(ConfigError::at(&place, message));
        }
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, &place),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_text(tag.as_deref(), &place)?;
                (Value::Scalar(Scalar { text: text.into_owned(), plain, resolved: false }), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                is_text(tag.as_deref(), &place)?;
                (Value::List(self.list(depth)?), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                is_text(tag.as_deref(), &place)?;
                (Value::Map(self.map(depth)?), anchor)
            }
            other => return Err(ConfigError::at(&place, format!("expected a value, found {other:?}"))),
        };
        let node = Node { place, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// What the anchor stood for, at the place where it stands: messages lead to the text that is wrong.
    fn alias(&mut self, anchor: usize, place: &Place) -> Result<Node, ConfigError> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(ConfigError::at(place, "expected an alias of an anchor that ends before it"));
        };
        self.nodes += size(&node);
        if self.nodes > MAX_NODES {
            return Err(ConfigError::at(
                place,
                format!("expected at most {MAX_NODES} values, found more once aliases are written out"),
            ));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, ConfigError> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(nodes),
                (event, span) => nodes.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, ConfigError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => break,
                (event, span) => self.node(event, span, depth + 1)?,
            };
            let Value::Scalar(Scalar { text, plain, .. }) = key.value else {
                return Err(ConfigError::at(&key.place, "expected a name before the colon, found a list or a map"));
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if plain && text == "<<" {
                merged.push(value);
                continue;
            }
            if let Some((first, _)) = entries.iter().find(|(have, _)| have.text == text) {
                let message = format!("`{text}` stands here twice, first at {}; keep one of them", first.place);
                return Err(ConfigError::at(&key.place, message));
            }
            entries.push((Key { text, place: key.place }, value));
        }
        merged.into_iter().try_for_each(|node| merge_key(&mut entries, node))?;
        Ok(entries)
    }
}

/// `!!str` makes text of a scalar; the other tags of YAML say nothing new, and own ones mean nothing here.
fn is_text(tag: Option<&Tag>, place: &Place) -> Result<bool, ConfigError> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() => Ok(tag.core_suffix() == Some("str")),
        Some(tag) => Err(ConfigError::at(place, format!("expected no tag, found `{}`", tag.original()))),
    }
}

/// `<<`: the entries of a map, or of each map of a list, whose keys are not there yet.
fn merge_key(entries: &mut Vec<(Key, Node)>, node: Node) -> Result<(), ConfigError> {
    match node.value {
        Value::Map(others) => {
            for (key, value) in others {
                if !entries.iter().any(|(have, _)| have.text == key.text) {
                    entries.push((key, value));
                }
            }
            Ok(())
        }
        Value::List(nodes) => nodes.into_iter().try_for_each(|node| merge_key(entries, node)),
        Value::Scalar(_) => Err(ConfigError::at(&node.place, "expected a map, or a list of maps, after `<<`")),
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar(_) => 0,
        Value::List(nodes) => nodes.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
    }
}
