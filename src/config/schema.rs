//! The JSON Schema of a configuration, generated from the types: what an editor needs to complete and to check.
//!
//! Descriptions are the docstrings, defaults are the defaults. Every value may also be a reference, `${env:…}` or `${file:…}`.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::document::{Component, Components, Document, PipelineRefs};
use super::place::Placed;
use super::values::{ByteSize, ComponentId, Secret, Span};

/// What stands in a name of a component behind the slash, and in its type.
const NAME: &str = "[A-Za-z0-9_-]+";

/// The schema of a whole file. Draft 7: what editors understand.
pub fn of<T: JsonSchema>() -> Schema {
    let generator = SchemaSettings::draft07().for_deserialize().with_transform(or_a_reference);
    generator.into_generator().into_root_schema_for::<T>()
}

/// Lets a value that is no text be a reference to one.
fn or_a_reference(schema: &mut Schema) {
    const SCALARS: [&str; 3] = ["integer", "number", "boolean"];
    transform_subschemas(&mut or_a_reference, schema);
    let Some(kind) = schema.get("type") else { return };
    let scalar = |kind: &Value| kind.as_str().is_some_and(|kind| SCALARS.contains(&kind));
    let is_scalar = match kind {
        Value::Array(kinds) => kinds.iter().any(scalar) && !kinds.iter().any(|kind| kind == "string"),
        kind => scalar(kind),
    };
    let is_limited_text = schema.get("enum").is_some() || schema.get("pattern").is_some();
    if !is_scalar && !is_limited_text {
        return;
    }
    let mut value = Map::new();
    for key in ["type", "format", "enum", "pattern", "minimum", "maximum"] {
        value.extend(schema.remove(key).map(|found| (key.to_owned(), found)));
    }
    let reference = json!({ "type": "string", "pattern": "\\$\\{(env|file):[^}]+\\}" });
    schema.insert("anyOf".to_owned(), json!([value, reference]));
}

macro_rules! leaf_schemas {
    ($($leaf:ty => $schema:tt),* $(,)?) => {$(
        impl JsonSchema for $leaf {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($leaf).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

leaf_schemas! {
    ByteSize => { "type": ["string", "integer"], "minimum": 0, "pattern": "^[0-9]+ *(B|[KMGT]iB|[KMG]B)?$" },
    Span => { "type": ["string", "integer"], "minimum": 0, "maximum": 0, "pattern": "^([0-9]+ *(ms|s|m|h|d)|0)$" },
    Secret => { "type": "string" },
    ComponentId => { "type": "string", "pattern": "^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)?$" },
}

/// An object with these properties and no other.
fn object(properties: &Map<String, Value>, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

impl<C: Component> JsonSchema for Components<C> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}s", C::WHAT).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let patterns: Map<String, Value> = C::KINDS
            .iter()
            .map(|kind| {
                let settings = json!({ "anyOf": [C::schema(kind, generator), { "type": "null" }] });
                (format!("^{kind}(/{NAME})?$"), settings)
            })
            .collect();
        json_schema!({
            "description": format!("The {}s by `type` or `type/name`; nothing after the colon means the defaults.", C::WHAT),
            "type": ["object", "null"],
            "patternProperties": patterns,
            "additionalProperties": false,
        })
    }
}

impl<R: Component, P: Component, E: Component, X: Component, T: JsonSchema> JsonSchema for Document<R, P, E, X, T> {
    fn schema_name() -> Cow<'static, str> {
        "floe".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let pipelines = json!({
            "description": "The pipelines, each with the signal that it takes.",
            "type": "object",
            "minProperties": 1,
            "patternProperties": { format!("^(traces|logs|metrics)(/{NAME})?$"): generator.subschema_for::<PipelineRefs>() },
            "additionalProperties": false,
        });
        let mut service = Map::new();
        service.insert("pipelines".to_owned(), pipelines);
        service.insert("extensions".to_owned(), {
            let ids = generator.subschema_for::<Vec<ComponentId>>();
            json!({ "description": "Which extensions are on; absent, all are.", "anyOf": [ids, { "type": "null" }] })
        });
        service.insert("telemetry".to_owned(), generator.subschema_for::<T>().to_value());
        let mut sections = Map::new();
        sections.insert("receivers".to_owned(), generator.subschema_for::<Components<R>>().to_value());
        sections.insert("processors".to_owned(), generator.subschema_for::<Components<P>>().to_value());
        sections.insert("exporters".to_owned(), generator.subschema_for::<Components<E>>().to_value());
        sections.insert("extensions".to_owned(), generator.subschema_for::<Components<X>>().to_value());
        sections.insert("service".to_owned(), object(&service, &["pipelines"]));
        let mut schema = Schema::default();
        if let Value::Object(whole) = object(&sections, &["receivers", "exporters", "service"]) {
            whole.into_iter().for_each(|(key, value)| drop(schema.insert(key, value)));
        }
        schema
    }
}

impl<T: JsonSchema> JsonSchema for Placed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl JsonSchema for PipelineRefs {
    fn schema_name() -> Cow<'static, str> {
        "Pipeline".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut ids = |what: &str| {
            let id = generator.subschema_for::<ComponentId>();
            json!({ "description": what, "type": "array", "items": id })
        };
        let properties = json!({
            "receivers": ids("Whose requests the pipeline takes; one at least."),
            "processors": ids("The steps, in their order."),
            "exporters": ids("Where the rows and points go; one at least."),
        });
        json_schema!({
            "type": "object",
            "properties": properties,
            "required": ["receivers", "exporters"],
            "additionalProperties": false,
        })
    }
}
