//! One value for one column of a row, where the configuration says where it is from.

use std::borrow::Cow;

use super::deployments::status;
use super::lookup::trimmed;
use super::origin::language_of;
use crate::signals::Value;
use crate::signals::attributes::Attributes;
use crate::tables::rows::{DeploymentRow, ErrorRow, InvocationRow, RateLimitRow};
use crate::tables::{Column, ColumnType};

/// A value as the type of its column has it.
#[derive(Debug, PartialEq)]
pub(super) enum Cell<'s> {
    Text(Option<Cow<'s, str>>),
    Double(Option<f64>),
    Bool(Option<bool>),
    Long(Option<i64>),
    Int(Option<i32>),
}

/// A number that its column cannot hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfRange;

impl<'s> Cell<'s> {
    /// `None` where the value is none of the column's type. No number of a table is negative: they are sizes, limits and lengths of time.
    pub(super) fn of(
        column: &Column,
        value: &'s Value<'_>,
        attributes: &'s Attributes<'_>,
    ) -> Result<Option<Cell<'s>>, OutOfRange> {
        Ok(match column.kind {
            ColumnType::Double => match value.as_f64() {
                Some(number) if number >= 0.0 => Some(Cell::Double(Some(number))),
                Some(_) => return Err(OutOfRange),
                None => None,
            },
            ColumnType::Boolean => value.as_bool().map(|flag| Cell::Bool(Some(flag))),
            ColumnType::Long | ColumnType::Int => match value.as_i64() {
                Some(number) if number < 0 => return Err(OutOfRange),
                Some(number) if column.kind == ColumnType::Long => Some(Cell::Long(Some(number))),
                Some(number) => Some(Cell::Int(Some(i32::try_from(number).map_err(|_| OutOfRange)?))),
                None => None,
            },
            _ => value.as_str_text(attributes).and_then(trimmed).map(|text| Cell::Text(Some(text))),
        })
    }

    pub(super) fn null(kind: ColumnType) -> Cell<'s> {
        match kind {
            ColumnType::Double => Cell::Double(None),
            ColumnType::Boolean => Cell::Bool(None),
            ColumnType::Long => Cell::Long(None),
            ColumnType::Int => Cell::Int(None),
            _ => Cell::Text(None),
        }
    }
}

/// Fills the column of this name; an id, and `success`, keep what they have where the cell is NULL.
pub(super) fn set_invocation<'s>(row: &mut InvocationRow<'s>, column: &str, cell: Cell<'s>) {
    match (column, cell) {
        ("invocation_id", Cell::Text(Some(id))) => row.invocation_id = id,
        ("function_id", Cell::Text(text)) => row.function_id = text,
        ("language", Cell::Text(text)) => row.language = text.map(language_of),
        ("version", Cell::Text(text)) => row.version = text,
        ("duration_ms", Cell::Double(number)) => row.duration_ms = number,
        ("success", Cell::Bool(Some(flag))) => row.success = flag,
        ("error_type", Cell::Text(text)) => row.error_type = text,
        ("error_message", Cell::Text(text)) => row.error_message = text,
        ("cold_start", Cell::Bool(flag)) => row.cold_start = flag,
        ("memory_used_bytes", Cell::Long(number)) => row.memory_used_bytes = number,
        ("client_ip", Cell::Text(text)) => row.client_ip = text,
        ("region", Cell::Text(text)) => row.region = text,
        ("colo", Cell::Text(text)) => row.colo = text,
        _ => {}
    }
}

/// Fills the column of this name; an id, and `success`, keep what they have where the cell is NULL.
pub(super) fn set_rate_limit<'s>(row: &mut RateLimitRow<'s>, column: &str, cell: Cell<'s>) {
    match (column, cell) {
        ("event_id", Cell::Text(Some(id))) => row.event_id = id,
        ("function_id", Cell::Text(text)) => row.function_id = text,
        ("client_ip", Cell::Text(text)) => row.client_ip = text,
        ("limit_type", Cell::Text(text)) => row.limit_type = text,
        ("limit_value", Cell::Int(number)) => row.limit_value = number,
        ("region", Cell::Text(text)) => row.region = text,
        ("colo", Cell::Text(text)) => row.colo = text,
        _ => {}
    }
}

/// Fills the column of this name; an id, and `success`, keep what they have where the cell is NULL.
pub(super) fn set_deployment<'s>(row: &mut DeploymentRow<'s>, column: &str, cell: Cell<'s>) {
    match (column, cell) {
        ("deployment_id", Cell::Text(Some(id))) => row.deployment_id = id,
        ("function_id", Cell::Text(text)) => row.function_id = text,
        ("version", Cell::Text(text)) => row.version = text,
        ("previous_version", Cell::Text(text)) => row.previous_version = text,
        ("deployed_by", Cell::Text(text)) => row.deployed_by = text,
        ("code_size_bytes", Cell::Long(number)) => row.code_size_bytes = number,
        ("source_map_size_bytes", Cell::Long(number)) => row.source_map_size_bytes = number,
        ("status", Cell::Text(text)) => row.status = text.map(status),
        ("rollback_reason", Cell::Text(text)) => row.rollback_reason = text,
        _ => {}
    }
}

/// Fills the column of this name; an id, and `success`, keep what they have where the cell is NULL.
pub(super) fn set_error<'s>(row: &mut ErrorRow<'s>, column: &str, cell: Cell<'s>) {
    match (column, cell) {
        ("error_id", Cell::Text(Some(id))) => row.error_id = id,
        ("invocation_id", Cell::Text(text)) => row.invocation_id = text,
        ("function_id", Cell::Text(text)) => row.function_id = text,
        ("error_type", Cell::Text(text)) => row.error_type = text,
        ("error_message", Cell::Text(text)) => row.error_message = text,
        ("stack_trace", Cell::Text(text)) => row.stack_trace = text,
        ("language", Cell::Text(text)) => row.language = text.map(language_of),
        ("version", Cell::Text(text)) => row.version = text,
        _ => {}
    }
}
