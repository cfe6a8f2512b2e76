//! The attributes of a request: one vector for all owners, keys as small integers, edits in place.

use std::borrow::Cow;
use std::collections::HashMap;

use super::MAX_VALUES;
use super::values::Value;

/// A run of one of the request's vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    pub start: u32,
    pub len: u32,
}

impl Slice {
    /// The run from index `start` up to `end`. A request has under 2³² of anything: no body is longer than that.
    pub fn between(start: usize, end: usize) -> Slice {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        Slice { start, len: u32::try_from(end).unwrap_or(u32::MAX).saturating_sub(start) }
    }

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

/// A key in the table.
#[derive(Clone, Copy, Debug)]
struct Seat {
    id: KeyId,
    ends: Ends,
}

/// Length, first and last eight bytes of a name: all of it up to [`Ends::WHOLE`] bytes, so that such names need no further comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    len: usize,
    head: u64,
    tail: u64,
}

impl Ends {
    const WHOLE: usize = 16;

    #[inline]
    fn of(name: &[u8]) -> Ends {
        let (head, tail) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => (name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
        };
        Ends { len: name.len(), head, tail }
    }
}

/// The keys that a chain reads, known at start: the projection of decoding.
#[derive(Debug, Default)]
pub struct Keys {
    names: Vec<Box<str>>,
    /// Open addressing over `names`: a power of two of places, at most a quarter of them taken; see [`Keys::place`].
    table: Vec<Option<Seat>>,
    /// How keys begin that are decoded without being known one by one, and the id that they share.
    families: Vec<(Box<str>, KeyId)>,
    keep_all: bool,
}

impl Keys {
    /// The id of this key, which from now on is decoded.
    pub fn intern(&mut self, name: &str) -> KeyId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = KeyId(u32::try_from(self.names.len()).unwrap_or(u32::MAX - 1));
        self.names.push(name.into());
        if self.names.len() * 4 > self.table.len() {
            self.table = vec![None; (self.names.len() * 8).next_power_of_two()];
            for index in 0..self.names.len() {
                self.seat(index);
            }
        } else {
            self.seat(id.0 as usize);
        }
        id
    }

    /// The id of every key that begins with this and has no id of its own; where all keys are kept, each has one.
    pub fn intern_family(&mut self, beginning: &str) -> KeyId {
        let id = self.intern(beginning);
        self.families.push((beginning.into(), id));
        id
    }

    /// The names that are known, by their ids.
    pub fn names(&self) -> impl Iterator<Item = (KeyId, &str)> {
        (0..).map(KeyId).zip(self.names.iter().map(Box::as_ref))
    }

    /// From now on every attribute is decoded: some step reads keys that are not known at start.
    pub fn keep_all(&mut self) {
        self.keep_all = true;
    }

    pub fn keeps_all(&self) -> bool {
        self.keep_all
    }

    #[inline]
    pub fn find(&self, name: &str) -> Option<KeyId> {
        self.find_bytes(name.as_bytes())
    }

    /// The same for a key whose bytes may not be UTF-8; a name that is found is.
    #[inline]
    pub fn find_bytes(&self, name: &[u8]) -> Option<KeyId> {
        let ends = Ends::of(name);
        let mut place = self.place(ends);
        // Ends: the table always has empty places.
        while let Some(Some(seat)) = self.table.get(place) {
            if seat.ends == ends && (ends.len <= Ends::WHOLE || self.names[seat.id.0 as usize].as_bytes() == name) {
                return Some(seat.id);
            }
            place = (place + 1) & (self.table.len() - 1);
        }
        None
    }

    #[inline]
    fn family(&self, name: &[u8]) -> Option<KeyId> {
        self.families.iter().find(|(beginning, _)| name.starts_with(beginning.as_bytes())).map(|(_, id)| *id)
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn seat(&mut self, index: usize) {
        let ends = Ends::of(self.names[index].as_bytes());
        let mut place = self.place(ends);
        while self.table[place].is_some() {
            place = (place + 1) & (self.table.len() - 1);
        }
        self.table[place] = u32::try_from(index).ok().map(|id| Seat { id: KeyId(id), ends });
    }

    /// Where to look first. Senders cannot fill the table, so that a hash that can be guessed does no harm.
    #[inline]
    fn place(&self, ends: Ends) -> usize {
        let mixed = (ends.head ^ ends.len as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ends.tail;
        let mixed = mixed.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        (mixed >> 32) as usize & self.table.len().wrapping_sub(1)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attribute<'a> {
    pub key: KeyId,
    pub value: Value<'a>,
}

/// A state of [`Attributes`] to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Everything {
    list: usize,
    items: usize,
    entries: usize,
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
        Attributes {
            keys,
            own_keys: Vec::new(),
            own_index: HashMap::new(),
            list: Vec::new(),
            items: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// The id of a key that stands in the request; `None` where the projection drops it.
    pub fn key(&mut self, name: Cow<'a, str>) -> Option<KeyId> {
        if let Some(id) = self.keys.find(&name) {
            return Some(id);
        }
        if !self.keys.keeps_all() {
            return self.keys.family(name.as_bytes());
        }
        if let Some(id) = self.own_index.get(&name) {
            return Some(*id);
        }
        let id = KeyId(u32::try_from(self.keys.len() + self.own_keys.len()).ok()?);
        self.own_keys.push(name.clone());
        self.own_index.insert(name, id);
        Some(id)
    }

    /// The same from the bytes of a key, which are checked only where it is kept and not in the projection by name.
    #[inline]
    pub(super) fn key_from_bytes(&mut self, name: &'a [u8], mended: &mut u64) -> Option<KeyId> {
        match self.keys.find_bytes(name) {
            Some(id) => Some(id),
            None if self.keys.keeps_all() => {
                let name = String::from_utf8_lossy(name);
                *mended += u64::from(matches!(name, Cow::Owned(_)));
                self.key(name)
            }
            None => self.keys.family(name),
        }
    }

    /// The name of a key; empty for [`KeyId::DELETED`].
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

    /// Two runs of one owner as one run.
    pub(super) fn join(&mut self, first: Slice, second: Slice) -> Slice {
        if first.len == 0 {
            return second;
        }
        if second.len == 0 || first.range().end == second.range().start {
            return Slice { start: first.start, len: first.len + second.len };
        }
        let mark = self.mark();
        self.list.extend_from_within(first.range());
        self.list.extend_from_within(second.range());
        self.since(mark)
    }

    /// How much there is of everything: attributes and nested values.
    pub(super) fn everything(&self) -> Everything {
        Everything { list: self.list.len(), items: self.items.len(), entries: self.entries.len() }
    }

    /// Whether `more` values would be too many.
    pub(super) fn are_too_many(&self, more: usize) -> bool {
        (self.list.len() + self.items.len() + self.entries.len()).saturating_add(more) > MAX_VALUES
    }

    /// Forgets what was read since: it belongs to a record that is not taken, or to a key that is dropped.
    pub(super) fn rewind(&mut self, to: Everything) {
        self.list.truncate(to.list);
        self.items.truncate(to.items);
        self.entries.truncate(to.entries);
    }

    #[inline]
    pub fn push(&mut self, key: KeyId, value: Value<'a>) {
        self.list.push(Attribute { key, value });
    }

    /// One owner's attributes, deleted ones among them (their key is [`KeyId::DELETED`]).
    pub fn of(&self, slice: Slice) -> &[Attribute<'a>] {
        self.list.get(slice.range()).unwrap_or(&[])
    }

    /// One owner's attributes without the deleted ones, by name.
    pub fn named(&self, slice: Slice) -> impl Iterator<Item = (&str, &Value<'a>)> {
        let live = self.of(slice).iter().filter(|attribute| attribute.key != KeyId::DELETED);
        live.map(|attribute| (self.name(attribute.key), &attribute.value))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'v>(attributes: &'v Attributes<'_>, run: Slice) -> Vec<(&'v str, &'v str)> {
        attributes.named(run).map(|(key, value)| (key, value.as_str().unwrap_or("?"))).collect()
    }

    fn text(text: &str) -> Value<'_> {
        Value::Str(Cow::Borrowed(text))
    }

    #[test]
    fn every_interned_key_is_found_and_no_other() {
        let mut keys = Keys::default();
        assert_eq!(keys.find("a"), None);
        // Names that differ only where the hash does not look, among them.
        let names: Vec<String> = (0..1_000).map(|index| format!("prefix.{index:04}.and.suffix")).collect();
        let ids: Vec<KeyId> = names.iter().map(|name| keys.intern(name)).collect();
        for (name, id) in names.iter().zip(ids) {
            assert_eq!((keys.find(name), keys.intern(name)), (Some(id), id));
            assert_eq!(keys.find(&name[1..]), None);
        }
        assert_eq!((keys.len(), keys.find("")), (1_000, None));
        assert_eq!(keys.intern(""), KeyId(1_000));
        assert_eq!(keys.find(""), Some(KeyId(1_000)));
    }

    #[test]
    fn keys_of_a_family_share_an_id_unless_they_have_their_own_or_all_are_kept() {
        let mut keys = Keys::default();
        let (own, family) = (keys.intern("cicd.worker.id"), keys.intern_family("cicd."));
        let mut attributes = Attributes::new(&keys);
        for (name, expected) in [("cicd.worker.id", Some(own)), ("cicd.new", Some(family)), ("cicd", None), ("x.cicd.", None)] {
            assert_eq!(attributes.key(name.into()), expected, "{name}");
            assert_eq!(attributes.key_from_bytes(name.as_bytes(), &mut 0), expected, "{name}");
        }
        drop(attributes);
        keys.keep_all();
        let mut attributes = Attributes::new(&keys);
        let id = attributes.key("cicd.new".into()).unwrap();
        assert_eq!((attributes.name(id), id == family), ("cicd.new", false));
    }

    #[test]
    fn set_overwrites_the_first_deletes_the_others_and_moves_a_run_that_grows() {
        let mut keys = Keys::default();
        let (a, b, c) = (keys.intern("a"), keys.intern("b"), keys.intern("c"));
        let mut attributes = Attributes::new(&keys);
        for (key, value) in [(a, "1"), (b, "2"), (a, "3")] {
            attributes.push(key, text(value));
        }
        let mut run = attributes.since(0);
        attributes.push(c, text("a neighbour"));
        let neighbour = attributes.since(3);
        attributes.set(&mut run, a, text("4"));
        assert_eq!(texts(&attributes, run), [("a", "4"), ("b", "2")]);
        attributes.set(&mut run, c, text("5"));
        assert_eq!(texts(&attributes, run), [("a", "4"), ("b", "2"), ("c", "5")]);
        assert!(attributes.delete(run, b) && !attributes.delete(run, b));
        assert_eq!(texts(&attributes, run), [("a", "4"), ("c", "5")]);
        assert_eq!(texts(&attributes, neighbour), [("c", "a neighbour")]);
    }

    #[test]
    fn runs_of_one_owner_are_joined_wherever_they_stand() {
        let mut keys = Keys::default();
        let (a, b, c) = (keys.intern("a"), keys.intern("b"), keys.intern("c"));
        let mut attributes = Attributes::new(&keys);
        for (key, value) in [(a, "1"), (b, "2"), (c, "3")] {
            attributes.push(key, text(value));
        }
        let runs = [0, 1, 2].map(|start| Slice { start, len: 1 });
        let joined = attributes.join(runs[0], runs[1]);
        assert_eq!(texts(&attributes, joined), [("a", "1"), ("b", "2")]);
        assert_eq!(attributes.join(Slice::default(), runs[2]), runs[2]);
        let joined = attributes.join(runs[2], runs[0]);
        assert_eq!(texts(&attributes, joined), [("c", "3"), ("a", "1")]);
    }
}
