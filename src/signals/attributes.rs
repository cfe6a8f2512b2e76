//! The attributes of a request: one vector for all owners, keys as small integers, edits in place.

use std::borrow::Cow;
use std::collections::HashMap;

use super::values::Value;

/// A run of one of the request's vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    pub start: u32,
    pub len: u32,
}

impl Slice {
    pub fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

/// An attribute key: below `Keys::len` one of the projection, above it one that only this request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub u32);

impl KeyId {
    /// The mark of a deleted attribute; equal to no key.
    pub const DELETED: KeyId = KeyId(u32::MAX);
}

/// The keys that a chain reads, known at start: the projection of decoding.
#[derive(Debug, Default)]
pub struct Keys {
    names: Vec<Box<str>>,
    index: HashMap<Box<str>, KeyId>,
    keep_all: bool,
}

impl Keys {
    /// The id of this key, which from now on is decoded.
    pub fn intern(&mut self, name: &str) -> KeyId {
        if let Some(id) = self.index.get(name) {
            return *id;
        }
        let id = KeyId(u32::try_from(self.names.len()).unwrap_or(u32::MAX - 1));
        self.names.push(name.into());
        self.index.insert(name.into(), id);
        id
    }

    /// From now on every attribute is decoded: some step reads keys that are not known at start.
    pub fn keep_all(&mut self) {
        self.keep_all = true;
    }

    pub fn keeps_all(&self) -> bool {
        self.keep_all
    }

    pub fn find(&self, name: &str) -> Option<KeyId> {
        self.index.get(name).copied()
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attribute<'a> {
    pub key: KeyId,
    pub value: Value<'a>,
}

/// Every attribute of a request, one run per owner.
#[derive(Debug)]
pub struct Attributes<'a> {
    keys: &'a Keys,
    /// Names of the keys above `keys.len()`, in order of appearance.
    own_keys: Vec<Cow<'a, str>>,
    own_index: HashMap<Cow<'a, str>, KeyId>,
    list: Vec<Attribute<'a>>,
    /// Elements of arrays.
    pub items: Vec<Value<'a>>,
    /// Entries of maps.
    pub entries: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Attributes<'a> {
    pub fn new(keys: &'a Keys) -> Attributes<'a> {
        Attributes { keys, own_keys: Vec::new(), own_index: HashMap::new(), list: Vec::new(), items: Vec::new(), entries: Vec::new() }
    }

    /// The id of a key that stands in the request; `None` where the projection drops it.
    pub fn key(&mut self, name: Cow<'a, str>) -> Option<KeyId> {
        if let Some(id) = self.keys.find(&name) {
            return Some(id);
        }
        if !self.keys.keeps_all() {
            return None;
        }
        if let Some(id) = self.own_index.get(&name) {
            return Some(*id);
        }
        let id = KeyId(u32::try_from(self.keys.len() + self.own_keys.len()).ok()?);
        self.own_keys.push(name.clone());
        self.own_index.insert(name, id);
        Some(id)
    }

    /// The name of a key.
    pub fn name(&self, key: KeyId) -> &str {
        let index = key.0 as usize;
        match self.keys.names.get(index) {
            Some(name) => name,
            None => self.own_keys.get(index - self.keys.len()).map_or("", |name| name),
        }
    }

    /// Where the next pushed attribute will stand.
    pub fn mark(&self) -> u32 {
        u32::try_from(self.list.len()).unwrap_or(u32::MAX)
    }

    /// Everything pushed since `mark`, as one owner's run.
    pub fn since(&self, mark: u32) -> Slice {
        Slice { start: mark, len: self.mark() - mark }
    }

    pub fn push(&mut self, key: KeyId, value: Value<'a>) {
        self.list.push(Attribute { key, value });
    }

    /// One owner's attributes, deleted ones among them (their key is [`KeyId::DELETED`]).
    pub fn of(&self, slice: Slice) -> &[Attribute<'a>] {
        self.list.get(slice.range()).unwrap_or(&[])
    }

    /// The first value of this key.
    pub fn get(&self, slice: Slice, key: KeyId) -> Option<&Value<'a>> {
        self.of(slice).iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value)
    }

    /// Overwrites the key's first value, deletes its others, or adds it; a run that must grow moves to the end.
    pub fn set(&mut self, slice: &mut Slice, key: KeyId, value: Value<'a>) {
        let mut value = Some(value);
        for attribute in &mut self.list[slice.range()] {
            if attribute.key == key {
                match value.take() {
                    Some(value) => attribute.value = value,
                    None => attribute.key = KeyId::DELETED,
                }
            }
        }
        if let Some(value) = value {
            let start = self.mark();
            self.list.extend_from_within(slice.range());
            self.push(key, value);
            *slice = self.since(start);
        }
    }

    /// Deletes every value of the key; says whether there was one.
    pub fn delete(&mut self, slice: Slice, key: KeyId) -> bool {
        let mut found = false;
        for attribute in &mut self.list[slice.range()] {
            if attribute.key == key {
                attribute.key = KeyId::DELETED;
                found = true;
            }
        }
        found
    }
}
