//! Resources over scopes over records: the three requests nest alike and differ in names.

use serde::de::{Error, MapAccess, SeqAccess};

use super::embedded::{Context, attributes};
use super::fields::{Every, List, Message, One, skip, text};
use super::{logs, metrics, traces};
use crate::signals::{Resource, Scope, Signal, Slice, TOO_MANY};

/// The whole body.
#[derive(Debug)]
pub struct Request<'c, 'a>(pub &'c mut Context<'a>);

impl<'a> Message<'a> for Request<'_, 'a> {
    const NAME: &'static str = "the request";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match (self.0.records.signal, name) {
            (Signal::Traces, "resourceSpans") | (Signal::Logs, "resourceLogs") | (Signal::Metrics, "resourceMetrics") => {
                fields.next_value_seed(Every(&mut Resources(self.0)))
            }
            _ => skip(fields),
        }
    }
}

struct Resources<'c, 'a>(&'c mut Context<'a>);

impl<'a> List<'a> for Resources<'_, 'a> {
    const NAME: &'static str = "resources";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        if self.0.records.is_full() {
            return Err(S::Error::custom(TOO_MANY));
        }
        // The place is taken first: the resource may stand behind the scopes that name it.
        let resource = self.0.records.resources.len();
        self.0.records.resources.push(Resource::default());
        let present = elements.next_element_seed(One(&mut OfResource { context: self.0, resource }))?;
        if present != Some(true) {
            self.0.records.resources.truncate(resource);
        }
        Ok(present.is_some())
    }
}

struct OfResource<'c, 'a> {
    context: &'c mut Context<'a>,
    resource: usize,
}

impl<'a> Message<'a> for OfResource<'_, 'a> {
    const NAME: &'static str = "a resource and its records";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match (self.context.records.signal, name) {
            (_, "resource") => {
                let run = self.context.records.resources[self.resource].attributes;
                let mut described = Described { context: self.context, run };
                fields.next_value_seed(One(&mut described))?;
                let run = described.run;
                self.context.records.resources[self.resource].attributes = run;
                Ok(())
            }
            (Signal::Traces, "scopeSpans") | (Signal::Logs, "scopeLogs") | (Signal::Metrics, "scopeMetrics") => {
                let resource = u32::try_from(self.resource).unwrap_or(u32::MAX);
                fields.next_value_seed(Every(&mut Scopes { context: self.context, resource }))
            }
            _ => skip(fields),
        }
    }
}

/// A `Resource`.
struct Described<'c, 'a> {
    context: &'c mut Context<'a>,
    run: Slice,
}

impl<'a> Message<'a> for Described<'_, 'a> {
    const NAME: &'static str = "Resource";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match name {
            "attributes" => attributes(self.context, fields, &mut self.run),
            _ => skip(fields),
        }
    }
}

struct Scopes<'c, 'a> {
    context: &'c mut Context<'a>,
    resource: u32,
}

impl<'a> List<'a> for Scopes<'_, 'a> {
    const NAME: &'static str = "scopes";

    fn element<S: SeqAccess<'a>>(&mut self, elements: &mut S) -> Result<bool, S::Error> {
        if self.context.records.is_full() {
            return Err(S::Error::custom(TOO_MANY));
        }
        let scope = self.context.records.scopes.len();
        let (name, version, schema_url) = ("".into(), "".into(), "".into());
        let empty = Scope { resource: self.resource, name, version, schema_url, attributes: Slice::default() };
        self.context.records.scopes.push(empty);
        let present = elements.next_element_seed(One(&mut OfScope { context: self.context, scope }))?;
        if present != Some(true) {
            self.context.records.scopes.truncate(scope);
        }
        Ok(present.is_some())
    }
}

struct OfScope<'c, 'a> {
    context: &'c mut Context<'a>,
    scope: usize,
}

impl<'a> Message<'a> for OfScope<'_, 'a> {
    const NAME: &'static str = "a scope and its records";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        let scope = u32::try_from(self.scope).unwrap_or(u32::MAX);
        let context = &mut *self.context;
        match (context.records.signal, name) {
            (_, "scope") => {
                let run = context.records.scopes[self.scope].attributes;
                fields.next_value_seed(One(&mut Instrumentation { context, scope: self.scope, run })).map(drop)
            }
            (Signal::Traces, "spans") => fields.next_value_seed(Every(&mut traces::Spans { context, scope })),
            (Signal::Logs, "logRecords") => fields.next_value_seed(Every(&mut logs::Logs { context, scope })),
            (Signal::Metrics, "metrics") => fields.next_value_seed(Every(&mut metrics::Metrics { context, scope })),
            (Signal::Metrics, "schemaUrl") => {
                context.records.scopes[self.scope].schema_url = text(fields)?.unwrap_or_default();
                Ok(())
            }
            _ => skip(fields),
        }
    }
}

/// An `InstrumentationScope`.
struct Instrumentation<'c, 'a> {
    context: &'c mut Context<'a>,
    scope: usize,
    run: Slice,
}

impl<'a> Message<'a> for Instrumentation<'_, 'a> {
    const NAME: &'static str = "InstrumentationScope";

    fn field<F: MapAccess<'a>>(&mut self, name: &str, fields: &mut F) -> Result<(), F::Error> {
        match name {
            "attributes" => attributes(self.context, fields, &mut self.run)?,
            "name" => self.context.records.scopes[self.scope].name = text(fields)?.unwrap_or_default(),
            "version" => self.context.records.scopes[self.scope].version = text(fields)?.unwrap_or_default(),
            _ => skip(fields)?,
        }
        self.context.records.scopes[self.scope].attributes = self.run;
        Ok(())
    }
}
