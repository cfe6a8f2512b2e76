//! A row struct per table, and the builders that rows are pushed into.
//!
//! The fields are named as the columns; [`super::columns`] has their meaning. `date` and `hour` are no fields: the builder takes them
//! from the event time, in UTC. Times are microseconds since 1970 in UTC. `added` holds the values of the columns that the configuration
//! adds, in their order; where it is short the rest is NULL.

mod added;
mod buffers;

use std::borrow::Cow;

use arrow_array::{ArrayRef, RecordBatch};

use super::{Schemas, Table, TableBatch};
use added::Added;
pub use added::Cell;
use buffers::{Booleans, Dates, Hours, Numbers, Text, Times};

/// One row of `invocations`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InvocationRow<'a> {
    pub invocation_id: Cow<'a, str>,
    pub function_id: Option<Cow<'a, str>>,
    pub language: Option<Cow<'a, str>>,
    pub version: Option<Cow<'a, str>>,
    pub started_at: i64,
    pub duration_ms: Option<f64>,
    pub success: bool,
    pub error_type: Option<Cow<'a, str>>,
    pub error_message: Option<Cow<'a, str>>,
    pub cold_start: Option<bool>,
    pub memory_used_bytes: Option<i64>,
    pub client_ip: Option<Cow<'a, str>>,
    pub region: Option<Cow<'a, str>>,
    pub colo: Option<Cow<'a, str>>,
    pub added: Vec<Cell<'a>>,
}

/// One row of `rate_limits`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateLimitRow<'a> {
    pub event_id: Cow<'a, str>,
    pub function_id: Option<Cow<'a, str>>,
    pub client_ip: Option<Cow<'a, str>>,
    pub occurred_at: i64,
    pub limit_type: Option<Cow<'a, str>>,
    pub limit_value: Option<i32>,
    pub region: Option<Cow<'a, str>>,
    pub colo: Option<Cow<'a, str>>,
    pub added: Vec<Cell<'a>>,
}

/// One row of `deployments`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentRow<'a> {
    pub deployment_id: Cow<'a, str>,
    pub function_id: Option<Cow<'a, str>>,
    pub version: Option<Cow<'a, str>>,
    pub previous_version: Option<Cow<'a, str>>,
    pub deployed_at: i64,
    pub deployed_by: Option<Cow<'a, str>>,
    pub code_size_bytes: Option<i64>,
    pub source_map_size_bytes: Option<i64>,
    pub status: Option<Cow<'a, str>>,
    pub rollback_reason: Option<Cow<'a, str>>,
    pub added: Vec<Cell<'a>>,
}

/// One row of `errors`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorRow<'a> {
    pub error_id: Cow<'a, str>,
    pub invocation_id: Option<Cow<'a, str>>,
    pub function_id: Option<Cow<'a, str>>,
    pub occurred_at: i64,
    pub error_type: Option<Cow<'a, str>>,
    pub error_message: Option<Cow<'a, str>>,
    pub stack_trace: Option<Cow<'a, str>>,
    pub language: Option<Cow<'a, str>>,
    pub version: Option<Cow<'a, str>>,
    pub added: Vec<Cell<'a>>,
}

/// The text that the rows of one request may hold together. A resource's value is copied into each of its rows, so a small request
/// can ask for very large tables; four times the largest request (64 MiB) is room for every honest one.
pub const MAX_TEXT_BYTES: usize = 256 << 20;

/// The row was not taken; those before it were. The same request always stops at the same row.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the rows of one request may hold {} MiB of text, and this request asks for more: send fewer records at a time", MAX_TEXT_BYTES >> 20)]
pub struct RowsFull;

/// The rows of one request, table by table.
#[derive(Debug, Default)]
pub struct RowBuilders {
    invocations: Invocations,
    rate_limits: RateLimits,
    deployments: Deployments,
    errors: Errors,
    added: [Added; Table::ALL.len()],
    text_bytes: usize,
}

impl RowBuilders {
    pub fn new() -> RowBuilders {
        RowBuilders::default()
    }

    /// For tables with added columns.
    pub fn with(schemas: &Schemas) -> RowBuilders {
        let added = Table::ALL.map(|table| Added::to(table, &schemas[table.index()]));
        RowBuilders { added, ..RowBuilders::default() }
    }

    /// # Errors
    /// [`RowsFull`] past [`MAX_TEXT_BYTES`]; the row is left out.
    pub fn push_invocation(&mut self, row: &InvocationRow<'_>) -> Result<(), RowsFull> {
        self.reserve(
            &[
                Some(&row.invocation_id),
                row.function_id.as_ref(),
                row.language.as_ref(),
                row.version.as_ref(),
                row.error_type.as_ref(),
                row.error_message.as_ref(),
                row.client_ip.as_ref(),
                row.region.as_ref(),
                row.colo.as_ref(),
            ],
            &row.added,
        )?;
        self.invocations.push(row);
        self.added[Table::Invocations.index()].push(&row.added);
        Ok(())
    }

    /// # Errors
    /// [`RowsFull`] past [`MAX_TEXT_BYTES`]; the row is left out.
    pub fn push_rate_limit(&mut self, row: &RateLimitRow<'_>) -> Result<(), RowsFull> {
        self.reserve(
            &[
                Some(&row.event_id),
                row.function_id.as_ref(),
                row.client_ip.as_ref(),
                row.limit_type.as_ref(),
                row.region.as_ref(),
                row.colo.as_ref(),
            ],
            &row.added,
        )?;
        self.rate_limits.push(row);
        self.added[Table::RateLimits.index()].push(&row.added);
        Ok(())
    }

    /// # Errors
    /// [`RowsFull`] past [`MAX_TEXT_BYTES`]; the row is left out.
    pub fn push_deployment(&mut self, row: &DeploymentRow<'_>) -> Result<(), RowsFull> {
        self.reserve(
            &[
                Some(&row.deployment_id),
                row.function_id.as_ref(),
                row.version.as_ref(),
                row.previous_version.as_ref(),
                row.deployed_by.as_ref(),
                row.status.as_ref(),
                row.rollback_reason.as_ref(),
            ],
            &row.added,
        )?;
        self.deployments.push(row);
        self.added[Table::Deployments.index()].push(&row.added);
        Ok(())
    }

    /// # Errors
    /// [`RowsFull`] past [`MAX_TEXT_BYTES`]; the row is left out.
    pub fn push_error(&mut self, row: &ErrorRow<'_>) -> Result<(), RowsFull> {
        self.reserve(
            &[
                Some(&row.error_id),
                row.invocation_id.as_ref(),
                row.function_id.as_ref(),
                row.error_type.as_ref(),
                row.error_message.as_ref(),
                row.stack_trace.as_ref(),
                row.language.as_ref(),
                row.version.as_ref(),
            ],
            &row.added,
        )?;
        self.errors.push(row);
        self.added[Table::Errors.index()].push(&row.added);
        Ok(())
    }

    /// One batch, in the schema of its table, for each table that has a row.
    pub fn finish(self) -> Vec<TableBatch> {
        let tables = [
            (Table::Invocations, self.invocations.finish()),
            (Table::RateLimits, self.rate_limits.finish()),
            (Table::Deployments, self.deployments.finish()),
            (Table::Errors, self.errors.finish()),
        ];
        let filled = tables.into_iter().zip(self.added).filter(|((_, columns), _)| !columns[0].is_empty());
        filled.map(|((table, columns), added)| batch(table, columns, added)).collect()
    }

    /// Takes the bytes of one row's text from what the request may still hold.
    fn reserve(&mut self, texts: &[Option<&Cow<'_, str>>], added: &[Cell<'_>]) -> Result<(), RowsFull> {
        let added = added.iter().filter_map(|cell| if let Cell::Text(text) = cell { text.as_ref() } else { None });
        let texts = texts.iter().copied().flatten().chain(added);
        let bytes = texts.fold(self.text_bytes, |sum, text| sum.saturating_add(text.len()));
        if bytes > MAX_TEXT_BYTES {
            return Err(RowsFull);
        }
        self.text_bytes = bytes;
        Ok(())
    }
}

fn batch(table: Table, mut columns: Vec<ArrayRef>, added: Added) -> TableBatch {
    let (schema, added) = added.finish(table);
    columns.extend(added);
    match RecordBatch::try_new(schema, columns) {
        Ok(batch) => TableBatch { table, batch },
        // Types and order are fixed at compile time and held by a test, added columns are made from the schema; lengths are one push a row.
        Err(error) => unreachable!("the columns of {} are those of its schema: {error}", table.name()),
    }
}

/// The columns of `invocations`, in the order of its schema; so are the three below.
#[derive(Debug, Default)]
struct Invocations {
    invocation_id: Text,
    function_id: Text,
    language: Text,
    version: Text,
    started_at: Times,
    duration_ms: Numbers<f64>,
    success: Booleans,
    error_type: Text,
    error_message: Text,
    cold_start: Booleans,
    memory_used_bytes: Numbers<i64>,
    client_ip: Text,
    region: Text,
    colo: Text,
    date: Dates,
    hour: Hours,
}

impl Invocations {
    fn push(&mut self, row: &InvocationRow<'_>) {
        self.invocation_id.push(Some(&row.invocation_id));
        self.function_id.push(row.function_id.as_deref());
        self.language.push(row.language.as_deref());
        self.version.push(row.version.as_deref());
        self.started_at.push(row.started_at);
        self.duration_ms.push(row.duration_ms);
        self.success.push(Some(row.success));
        self.error_type.push(row.error_type.as_deref());
        self.error_message.push(row.error_message.as_deref());
        self.cold_start.push(row.cold_start);
        self.memory_used_bytes.push(row.memory_used_bytes);
        self.client_ip.push(row.client_ip.as_deref());
        self.region.push(row.region.as_deref());
        self.colo.push(row.colo.as_deref());
        self.date.push(row.started_at);
        self.hour.push(row.started_at);
    }

    fn finish(self) -> Vec<ArrayRef> {
        vec![
            self.invocation_id.finish(),
            self.function_id.finish(),
            self.language.finish(),
            self.version.finish(),
            self.started_at.finish(),
            self.duration_ms.finish(),
            self.success.finish(),
            self.error_type.finish(),
            self.error_message.finish(),
            self.cold_start.finish(),
            self.memory_used_bytes.finish(),
            self.client_ip.finish(),
            self.region.finish(),
            self.colo.finish(),
            self.date.finish(),
            self.hour.finish(),
        ]
    }
}

#[derive(Debug, Default)]
struct RateLimits {
    event_id: Text,
    function_id: Text,
    client_ip: Text,
    occurred_at: Times,
    limit_type: Text,
    limit_value: Numbers<i32>,
    region: Text,
    colo: Text,
    date: Dates,
}

impl RateLimits {
    fn push(&mut self, row: &RateLimitRow<'_>) {
        self.event_id.push(Some(&row.event_id));
        self.function_id.push(row.function_id.as_deref());
        self.client_ip.push(row.client_ip.as_deref());
        self.occurred_at.push(row.occurred_at);
        self.limit_type.push(row.limit_type.as_deref());
        self.limit_value.push(row.limit_value);
        self.region.push(row.region.as_deref());
        self.colo.push(row.colo.as_deref());
        self.date.push(row.occurred_at);
    }

    fn finish(self) -> Vec<ArrayRef> {
        vec![
            self.event_id.finish(),
            self.function_id.finish(),
            self.client_ip.finish(),
            self.occurred_at.finish(),
            self.limit_type.finish(),
            self.limit_value.finish(),
            self.region.finish(),
            self.colo.finish(),
            self.date.finish(),
        ]
    }
}

#[derive(Debug, Default)]
struct Deployments {
    deployment_id: Text,
    function_id: Text,
    version: Text,
    previous_version: Text,
    deployed_at: Times,
    deployed_by: Text,
    code_size_bytes: Numbers<i64>,
    source_map_size_bytes: Numbers<i64>,
    status: Text,
    rollback_reason: Text,
    date: Dates,
}

impl Deployments {
    fn push(&mut self, row: &DeploymentRow<'_>) {
        self.deployment_id.push(Some(&row.deployment_id));
        self.function_id.push(row.function_id.as_deref());
        self.version.push(row.version.as_deref());
        self.previous_version.push(row.previous_version.as_deref());
        self.deployed_at.push(row.deployed_at);
        self.deployed_by.push(row.deployed_by.as_deref());
        self.code_size_bytes.push(row.code_size_bytes);
        self.source_map_size_bytes.push(row.source_map_size_bytes);
        self.status.push(row.status.as_deref());
        self.rollback_reason.push(row.rollback_reason.as_deref());
        self.date.push(row.deployed_at);
    }

    fn finish(self) -> Vec<ArrayRef> {
        vec![
            self.deployment_id.finish(),
            self.function_id.finish(),
            self.version.finish(),
            self.previous_version.finish(),
            self.deployed_at.finish(),
            self.deployed_by.finish(),
            self.code_size_bytes.finish(),
            self.source_map_size_bytes.finish(),
            self.status.finish(),
            self.rollback_reason.finish(),
            self.date.finish(),
        ]
    }
}

#[derive(Debug, Default)]
struct Errors {
    error_id: Text,
    invocation_id: Text,
    function_id: Text,
    occurred_at: Times,
    error_type: Text,
    error_message: Text,
    stack_trace: Text,
    language: Text,
    version: Text,
    date: Dates,
}

impl Errors {
    fn push(&mut self, row: &ErrorRow<'_>) {
        self.error_id.push(Some(&row.error_id));
        self.invocation_id.push(row.invocation_id.as_deref());
        self.function_id.push(row.function_id.as_deref());
        self.occurred_at.push(row.occurred_at);
        self.error_type.push(row.error_type.as_deref());
        self.error_message.push(row.error_message.as_deref());
        self.stack_trace.push(row.stack_trace.as_deref());
        self.language.push(row.language.as_deref());
        self.version.push(row.version.as_deref());
        self.date.push(row.occurred_at);
    }

    fn finish(self) -> Vec<ArrayRef> {
        vec![
            self.error_id.finish(),
            self.invocation_id.finish(),
            self.function_id.finish(),
            self.occurred_at.finish(),
            self.error_type.finish(),
            self.error_message.finish(),
            self.stack_trace.finish(),
            self.language.finish(),
            self.version.finish(),
            self.date.finish(),
        ]
    }
}

#[cfg(test)]
mod tests;
