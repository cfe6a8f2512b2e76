//! The shape of a configuration file. Which components there are is said by the enums it is generic over.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{Schema, SchemaGenerator};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::error::did_you_mean;
use super::place::{Place, Placed};
use super::values::ComponentId;

/// The enum of one section's components: one variant a type, one arm to read each.
pub trait Component: Sized {
    /// What one of them is called in messages: `receiver`, `processor` ….
    const WHAT: &'static str;
    /// The types that exist, as they stand in the YAML.
    const KINDS: &'static [&'static str];

    /// Reads the configuration of a component of this type, which is one of [`Component::KINDS`].
    fn read<'de, D: Deserializer<'de>>(kind: &str, deserializer: D) -> Result<Self, D::Error>;

    /// The JSON Schema of those settings.
    fn schema(kind: &str, generator: &mut SchemaGenerator) -> Schema;
}

/// The components of one section, in the order of the file.
#[derive(Clone, Debug)]
pub struct Components<C>(Vec<(Placed<ComponentId>, C)>);

impl<C> Components<C> {
    pub fn get(&self, id: &ComponentId) -> Option<&C> {
        self.iter().find(|(have, _)| *have == id).map(|(_, component)| component)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ComponentId, &C)> {
        self.0.iter().map(|(id, component)| (&id.value, component))
    }

    pub fn ids(&self) -> impl Iterator<Item = &ComponentId> {
        self.0.iter().map(|(id, _)| &id.value)
    }

    /// Where each stands, in the order of the file.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().map(|(id, _)| &id.place)
    }
}

impl<C: Serialize> Serialize for Components<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<C> Default for Components<C> {
    fn default() -> Self {
        Components(Vec::new())
    }
}

/// A whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    bound = "R: Component, P: Component, E: Component, X: Component, T: Default + serde::de::DeserializeOwned"
)]
pub struct Document<R, P, E, X, T> {
    pub receivers: Components<R>,
    #[serde(default)]
    pub processors: Components<P>,
    pub exporters: Components<E>,
    #[serde(default)]
    pub extensions: Components<X>,
    pub service: Service<T>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, bound = "T: Default + serde::de::DeserializeOwned")]
pub struct Service<T> {
    /// `traces`, `logs`, `metrics`, each with an optional `/name`.
    pub pipelines: Placed<BTreeMap<ComponentId, PipelineRefs>>,
    /// Which extensions are on; absent, all are.
    #[serde(default)]
    pub extensions: Option<Vec<Placed<ComponentId>>>,
    #[serde(default)]
    pub telemetry: T,
}

/// One pipeline: the ids of its components, with their places in the file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineRefs {
    pub receivers: Vec<Placed<ComponentId>>,
    #[serde(default)]
    pub processors: Vec<Placed<ComponentId>>,
    pub exporters: Vec<Placed<ComponentId>>,
}

impl<'de, C: Component> Deserialize<'de> for Components<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SectionVisitor(PhantomData))
    }
}

struct SectionVisitor<C>(PhantomData<C>);

impl<'de, C: Component> Visitor<'de> for SectionVisitor<C> {
    type Value = Components<C>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map from {} ids to their settings", C::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Components<C>, A::Error> {
        let mut components = Vec::new();
        while let Some(id) = map.next_key::<Placed<ComponentId>>()? {
            let kind = id.kind().to_owned();
            let component = map.next_value_seed(ComponentSeed::<C> { kind: &kind, component: PhantomData })?;
            components.push((id, component));
        }
        Ok(Components(components))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Components<C>, E> {
        Ok(Components::default())
    }
}

/// Reads one component; nothing after the colon means its defaults.
struct ComponentSeed<'a, C> {
    kind: &'a str,
    component: PhantomData<C>,
}

impl<'de, C: Component> DeserializeSeed<'de> for ComponentSeed<'_, C> {
    type Value = C;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<C, D::Error> {
        if !C::KINDS.contains(&self.kind) {
            let hint = did_you_mean(self.kind, C::KINDS);
            let kinds = C::KINDS.join(", ");
            return Err(de::Error::custom(format!("unknown {} type `{}`, expected one of {kinds}{hint}", C::WHAT, self.kind)));
        }
        deserializer.deserialize_option(self)
    }
}

impl<'de, C: Component> Visitor<'de> for ComponentSeed<'_, C> {
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings of {} `{}`", C::WHAT, self.kind)
    }

    fn visit_none<E: de::Error>(self) -> Result<C, E> {
        self.visit_unit()
    }

    fn visit_unit<E: de::Error>(self) -> Result<C, E> {
        let nothing = std::iter::empty::<(&str, &str)>();
        C::read(self.kind, de::value::MapDeserializer::new(nothing))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<C, D::Error> {
        C::read(self.kind, deserializer)
    }
}
