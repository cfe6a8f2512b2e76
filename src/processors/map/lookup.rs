//! Reading attributes of one record by name, in the order record, scope, resource.
//!
//! The attributes that the preset reads are known when floe is built: each has a fixed slot, and a bit that says whether it is there. A
//! record's attributes are gone through once and written into a table by slot; after that a look-up is an array access, and one for what
//! is not there the test of a bit. The tables are stamped with an epoch instead of being cleared; those of scope and resource are kept
//! while records share them, and so is what columns take from them alone ([`Shared`]).
//!
//! What counts as absent: no value, `""`, `null`, `unknown_service*`, and a key that stands twice in one owner with different
//! values (the Azure host sends up to 15 copies of `faas.invocation_id`); the look-up then goes on to the next owner.

mod attrs;

use std::borrow::Cow;

use crate::signals::attributes::{Attributes, Keys};
use crate::signals::{Attribute, KeyId, Records, Slice, Value};

pub use attrs::{Attr, Attrs};

/// How keys begin that only runs of CI/CD pipelines have.
const PIPELINE: &str = "cicd.";

/// From the key ids of a chain to slots, those of the preset first; made once, when the chain is built.
#[derive(Debug)]
pub struct SlotsOfKeys {
    by_key: Vec<Reading>,
    count: usize,
}

/// What is read of a key.
#[derive(Clone, Copy, Debug)]
struct Reading {
    slot: u32,
    /// The key begins with [`PIPELINE`].
    of_a_pipeline: bool,
}

/// The slot of an attribute, of the preset or of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// A key whose value nothing reads.
const NO_SLOT: u32 = u32::MAX;

impl SlotsOfKeys {
    /// Interns every attribute of the preset, so that it is decoded.
    pub fn intern(keys: &mut Keys) -> SlotsOfKeys {
        let ids: Vec<KeyId> = Attr::ALL.iter().map(|attr| keys.intern(attr.name())).collect();
        keys.intern_family(PIPELINE);
        let mut slots = SlotsOfKeys { by_key: Vec::new(), count: Attr::ALL.len() };
        slots.grow(keys);
        for (attr, id) in Attr::ALL.iter().zip(ids) {
            slots.by_key[id.0 as usize].slot = *attr as u32;
        }
        slots
    }

    /// The slot of one more key; the preset's own is taken where it reads the key too.
    pub fn intern_also(&mut self, name: &str, keys: &mut Keys) -> Slot {
        let key = keys.intern(name).0 as usize;
        self.grow(keys);
        let reading = &mut self.by_key[key];
        if reading.slot == NO_SLOT {
            reading.slot = u32::try_from(self.count).unwrap_or(NO_SLOT);
            self.count += 1;
        }
        Slot(reading.slot)
    }

    /// One reading for every key that is known.
    fn grow(&mut self, keys: &Keys) {
        let new = keys.names().skip(self.by_key.len());
        self.by_key.extend(new.map(|(_, name)| Reading { slot: NO_SLOT, of_a_pipeline: name.starts_with(PIPELINE) }));
    }

    fn of(&self, key: KeyId, attributes: &Attributes<'_>) -> Reading {
        match self.by_key.get(key.0 as usize) {
            Some(reading) => *reading,
            // A key of this request only, where all are kept.
            None => Reading { slot: NO_SLOT, of_a_pipeline: attributes.name(key).starts_with(PIPELINE) },
        }
    }
}

impl Slot {
    pub fn is(self, attr: Attr) -> bool {
        self.0 == attr as u32
    }
}

/// The attributes of one owner by slot.
#[derive(Debug)]
struct Owner<'r, 'a> {
    list: &'r [Attribute<'a>],
    /// Epoch and place in `list`; of another epoch is absent.
    places: Vec<(u32, u32)>,
    epoch: u32,
    /// Of the preset's, those that are there; past them only `places` tells.
    present: Attrs,
    /// It has a key that begins with [`PIPELINE`].
    runs_a_pipeline: bool,
}

/// The place of a key that stands twice with different values.
const REPEATED: u32 = u32::MAX;

impl<'r, 'a> Owner<'r, 'a> {
    fn new(slots: &SlotsOfKeys) -> Owner<'r, 'a> {
        Owner { list: &[], places: vec![(0, 0); slots.count], epoch: 0, present: Attrs::default(), runs_a_pipeline: false }
    }

    /// Returns how many keys stood twice with different values.
    fn fill(&mut self, slots: &SlotsOfKeys, attributes: &'r Attributes<'a>, run: Slice) -> u64 {
        let list = attributes.of(run);
        self.list = list;
        self.epoch += 1;
        self.present = Attrs::default();
        self.runs_a_pipeline = false;
        let mut repeated = 0;
        for (place, attribute) in list.iter().enumerate() {
            let Reading { slot, of_a_pipeline } = slots.of(attribute.key, attributes);
            if (slot == NO_SLOT && !of_a_pipeline) || is_absent(&attribute.value) {
                continue;
            }
            self.runs_a_pipeline |= of_a_pipeline;
            let slot = slot as usize;
            let Some(known) = self.places.get_mut(slot) else { continue };
            let (epoch, first) = *known;
            if epoch != self.epoch {
                *known = (self.epoch, u32::try_from(place).unwrap_or(REPEATED));
                self.present.set(slot, true);
            } else if first != REPEATED && !is_same(&list[first as usize].value, &attribute.value, attributes) {
                known.1 = REPEATED;
                self.present.set(slot, false);
                repeated += 1;
            }
        }
        repeated
    }

    #[inline]
    fn get(&self, attr: Attr) -> Option<&'r Value<'a>> {
        if !self.present.has(attr) {
            return None;
        }
        let (_, place) = *self.places.get(attr as usize)?;
        self.list.get(place as usize).map(|attribute| &attribute.value)
    }

    fn at(&self, slot: Slot) -> Option<&'r Value<'a>> {
        let (epoch, place) = *self.places.get(slot.0 as usize)?;
        if epoch != self.epoch {
            return None;
        }
        self.list.get(place as usize).map(|attribute| &attribute.value)
    }
}

/// Whether a value counts as no value.
fn is_absent(value: &Value<'_>) -> bool {
    match value {
        Value::Empty => true,
        Value::Str(text) => match text.as_bytes() {
            // Most texts begin with something that tells.
            [first, ..] if first.is_ascii_graphic() && !matches!(first, b'n' | b'u') => false,
            _ => {
                let text = text.trim();
                matches!(text, "" | "null") || text.starts_with("unknown_service")
            }
        },
        _ => false,
    }
}

/// Whether two values say the same. Arrays and maps that are equal lie in different places.
fn is_same(one: &Value<'_>, other: &Value<'_>, attributes: &Attributes<'_>) -> bool {
    match (one, other) {
        (Value::Array(_), Value::Array(_)) | (Value::Map(_), Value::Map(_)) => {
            one.as_str_text(attributes) == other.as_str_text(attributes)
        }
        _ => one == other,
    }
}

/// The attributes in view: of one event, its record, the record's scope and resource.
#[derive(Debug)]
pub struct Lookup<'m, 'r, 'a> {
    records: &'r Records<'a>,
    slots: &'m SlotsOfKeys,
    scope_index: Option<u32>,
    resource_index: Option<u32>,
    event: Owner<'r, 'a>,
    record: Owner<'r, 'a>,
    scope: Owner<'r, 'a>,
    resource: Owner<'r, 'a>,
    /// What any of record, scope and resource has.
    present: Attrs,
    shared: Shared<'r>,
    repeated: u64,
}

/// What scope and resource say of columns by themselves: it holds for every record of theirs that says nothing of the column.
#[derive(Clone, Debug, Default)]
pub struct Shared<'r> {
    pub function_id: Option<Cow<'r, str>>,
    pub language: Option<Cow<'r, str>>,
    pub version: Option<Cow<'r, str>>,
    pub region: Option<Cow<'r, str>>,
}

impl<'m, 'r, 'a> Lookup<'m, 'r, 'a> {
    pub fn new(records: &'r Records<'a>, slots: &'m SlotsOfKeys) -> Lookup<'m, 'r, 'a> {
        Lookup {
            records,
            slots,
            scope_index: None,
            resource_index: None,
            event: Owner::new(slots),
            record: Owner::new(slots),
            scope: Owner::new(slots),
            resource: Owner::new(slots),
            present: Attrs::default(),
            shared: Shared::default(),
            repeated: 0,
        }
    }

    /// Brings a record into view.
    pub fn view(&mut self, scope: u32, attributes: Slice) {
        self.repeated += self.fill(scope, attributes);
    }

    /// Brings a record into view that was there before: what stands twice in it has been counted.
    pub fn view_again(&mut self, scope: u32, attributes: Slice) {
        let repeated = self.repeated;
        self.fill(scope, attributes);
        self.repeated = repeated;
    }

    fn fill(&mut self, scope: u32, attributes: Slice) -> u64 {
        if self.scope_index != Some(scope) {
            self.view_scope(scope);
        }
        let repeated = self.record.fill(self.slots, &self.records.attributes, attributes);
        self.present = self.record.present.or(self.scope.present).or(self.resource.present);
        repeated
    }

    fn view_scope(&mut self, index: u32) {
        self.scope_index = Some(index);
        let scope = self.records.scopes.get(index as usize);
        let attributes = scope.map(|scope| scope.attributes).unwrap_or_default();
        self.repeated += self.scope.fill(self.slots, &self.records.attributes, attributes);
        let resource = scope.map(|scope| scope.resource);
        if self.resource_index != resource {
            self.resource_index = resource;
            let resource = resource.and_then(|index| self.records.resources.get(index as usize));
            let attributes = resource.map(|resource| resource.attributes).unwrap_or_default();
            self.repeated += self.resource.fill(self.slots, &self.records.attributes, attributes);
        }
        self.record.present = Attrs::default();
        self.present = self.scope.present.or(self.resource.present);
        self.shared = self.said_of_columns();
    }

    /// What holds for the records of the scope in view, unless the record in view has any of these attributes.
    pub fn shared(&self, unless: Attrs) -> Option<&Shared<'r>> {
        (!self.record.present.has_any_of(unless)).then_some(&self.shared)
    }

    /// Brings an event of the span in view into view.
    pub fn view_event(&mut self, attributes: Slice) {
        self.repeated += self.event.fill(self.slots, &self.records.attributes, attributes);
    }

    /// How many keys stood twice with different values.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    pub fn attributes(&self) -> &'r Attributes<'a> {
        &self.records.attributes
    }

    /// The value on the record, else on its scope, else on its resource.
    #[inline]
    pub fn get(&self, attr: Attr) -> Option<&'r Value<'a>> {
        if !self.has(attr) {
            return None;
        }
        self.record.get(attr).or_else(|| self.scope.get(attr)).or_else(|| self.resource.get(attr))
    }

    /// What is read of the value on the record, else of that on its scope, else of that on its resource.
    #[inline]
    pub fn read<T>(&self, attr: Attr, mut read: impl FnMut(&'r Value<'a>) -> Option<T>) -> Option<T> {
        if !self.has(attr) {
            return None;
        }
        [&self.record, &self.scope, &self.resource].into_iter().find_map(|owner| read(owner.get(attr)?))
    }

    /// Whether record, scope or resource has a key that only runs of CI/CD pipelines have.
    pub fn runs_a_pipeline(&self) -> bool {
        self.record.runs_a_pipeline || self.scope.runs_a_pipeline || self.resource.runs_a_pipeline
    }

    /// The value on the event in view if it is asked for, else on the record, else on its scope, else on its resource.
    pub fn at(&self, slot: Slot, in_event: bool) -> Option<&'r Value<'a>> {
        let event = if in_event { self.event.at(slot) } else { None };
        event.or_else(|| self.record.at(slot)).or_else(|| self.scope.at(slot)).or_else(|| self.resource.at(slot))
    }

    /// The value on the record itself.
    pub fn own(&self, attr: Attr) -> Option<&'r Value<'a>> {
        self.record.get(attr)
    }

    /// The value on the record's resource.
    pub fn on_resource(&self, attr: Attr) -> Option<&'r Value<'a>> {
        self.resource.get(attr)
    }

    #[inline]
    pub fn has(&self, attr: Attr) -> bool {
        self.present.has(attr)
    }

    /// The first value of a list of sources, as text; messages keep their spaces.
    pub fn text(&self, sources: &[Attr]) -> Option<Cow<'r, str>> {
        sources.iter().find_map(|attr| self.get(*attr).and_then(|value| value.as_str_text(self.attributes())))
    }

    /// The first value of a list of sources, as trimmed text that is not empty.
    pub fn id(&self, sources: &[Attr]) -> Option<Cow<'r, str>> {
        sources.iter().find_map(|attr| self.read(*attr, |value| self.id_in(value)))
    }

    /// The value as trimmed text that is not empty.
    pub fn id_in(&self, value: &'r Value<'a>) -> Option<Cow<'r, str>> {
        trimmed(value.as_str_text(self.attributes())?)
    }

    /// The text of a header, which may be a list: its first element.
    pub fn first_text_in(&self, value: &'r Value<'a>) -> Option<Cow<'r, str>> {
        value.strings(self.attributes()).next().and_then(trimmed)
    }

    /// The text of a value on the event in view.
    pub fn event_text(&self, attr: Attr) -> Option<Cow<'r, str>> {
        self.event.get(attr).and_then(|value| value.as_str_text(self.attributes()))
    }

    pub fn event_flag(&self, attr: Attr) -> Option<bool> {
        self.event.get(attr).and_then(Value::as_bool)
    }

    pub fn int(&self, attr: Attr) -> Option<i64> {
        self.read(attr, Value::as_i64)
    }

    pub fn number(&self, attr: Attr) -> Option<f64> {
        self.read(attr, Value::as_f64)
    }

    pub fn flag(&self, attr: Attr) -> Option<bool> {
        self.read(attr, Value::as_bool)
    }

    /// Whether a value reads as exactly this text.
    pub fn is(&self, attr: Attr, expected: &str) -> bool {
        matches!(self.get(attr), Some(Value::Str(text)) if text.trim() == expected)
    }
}

/// The value of a key on the first owner that has it, by the same rules; for keys that are not the preset's.
pub fn find<'r, 'a>(attributes: &'r Attributes<'a>, owners: &[Slice], key: KeyId) -> Option<&'r Value<'a>> {
    owners.iter().find_map(|owner| {
        let mut values = attributes.of(*owner).iter().filter(|attribute| attribute.key == key && !is_absent(&attribute.value));
        let first = &values.next()?.value;
        values.all(|other| is_same(first, &other.value, attributes)).then_some(first)
    })
}

/// Whether there is surely nothing to trim: most texts begin and end in something that is no space in any script.
pub fn has_no_edges(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_graphic) && bytes.last().is_some_and(u8::is_ascii_graphic)
}

/// The text without the spaces around it; `None` where nothing is left.
pub fn trimmed(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if has_no_edges(&text) {
        return Some(text);
    }
    let inner = text.trim();
    if inner.is_empty() {
        return None;
    }
    if inner.len() == text.len() {
        return Some(text);
    }
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    })
}
