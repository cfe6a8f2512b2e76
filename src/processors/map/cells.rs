//! One value for one column of a row, where the configuration says where it is from.

use std::borrow::Cow;

use super::deployments::status;
use super::lookup::trimmed;
use super::origin::language_of;
use super::rate_limits::limit_type;
use crate::processors::literal::Literal;
use crate::signals::Value;
use crate::signals::attributes::{Attributes, Keys};
use crate::tables::rows::{Cell, DeploymentRow, ErrorRow, InvocationRow, RateLimitRow};
use crate::tables::{Column, ColumnType};

/// A number that its column cannot hold, or a word that it does not have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfRange;

impl<'s> Cell<'s> {
    /// For a column of the preset; `None` where the value is none of its type. No number of the preset is negative: they are sizes, limits
    /// and lengths of time.
    pub(super) fn of(
        column: &Column,
        value: &'s Value<'_>,
        attributes: &'s Attributes<'_>,
    ) -> Result<Option<Cell<'s>>, OutOfRange> {
        match Cell::read(column.kind, value, attributes)? {
            Some(Cell::Double(Some(number))) if number.is_nan() || number < 0.0 => Err(OutOfRange),
            Some(Cell::Long(Some(number))) if number < 0 => Err(OutOfRange),
            Some(Cell::Int(Some(number))) if number < 0 => Err(OutOfRange),
            Some(Cell::Text(Some(text))) => word(column, text).map(|text| Some(Cell::Text(Some(text)))),
            cell => Ok(cell),
        }
    }

    /// `None` where the value is none of the type.
    pub(super) fn read(
        kind: ColumnType,
        value: &'s Value<'_>,
        attributes: &'s Attributes<'_>,
    ) -> Result<Option<Cell<'s>>, OutOfRange> {
        Ok(match kind {
            ColumnType::Double => value.as_f64().map(|number| Cell::Double(Some(number))),
            ColumnType::Boolean => value.as_bool().map(|flag| Cell::Bool(Some(flag))),
            ColumnType::Long => value.as_i64().map(|number| Cell::Long(Some(number))),
            ColumnType::Int => match value.as_i64() {
                Some(number) => Some(Cell::Int(Some(i32::try_from(number).map_err(|_| OutOfRange)?))),
                None => None,
            },
            ColumnType::Timestamp => moment(value, attributes).map(|micros| Cell::Time(Some(micros))),
            ColumnType::String | ColumnType::Date => {
                value.as_str_text(attributes).and_then(trimmed).map(|text| Cell::Text(Some(text)))
            }
        })
    }

    pub(super) fn null(kind: ColumnType) -> Cell<'s> {
        match kind {
            ColumnType::Double => Cell::Double(None),
            ColumnType::Boolean => Cell::Bool(None),
            ColumnType::Long => Cell::Long(None),
            ColumnType::Int => Cell::Int(None),
            ColumnType::Timestamp => Cell::Time(None),
            ColumnType::String | ColumnType::Date => Cell::Text(None),
        }
    }
}

/// Whether a column has only the words that the table names.
pub(super) fn has_words(column: &Column) -> bool {
    matches!(column.name, "status" | "limit_type")
}

/// A text as the column has it.
pub(super) fn word<'s>(column: &Column, text: Cow<'s, str>) -> Result<Cow<'s, str>, OutOfRange> {
    let word = match column.name {
        "status" => status(&text),
        "limit_type" => limit_type(&text),
        _ => return Ok(text),
    };
    word.map(Cow::Borrowed).ok_or(OutOfRange)
}

/// Whether a sender means this word of a column: in any case, with `-` for `_`.
pub(super) fn is_word(sent: &str, word: &str) -> bool {
    let folded = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    sent.len() == word.len() && sent.bytes().map(folded).eq(word.bytes())
}

/// What is wrong with a fixed value for a column of the preset: it would make it NULL for ever.
pub(super) fn check_fixed(column: &Column, value: &Literal) -> Result<(), String> {
    let keys = Keys::default();
    let read = matches!(Cell::of(column, &value.to_value(), &Attributes::new(&keys)), Ok(Some(_)));
    if read { Ok(()) } else { Err(unfit(column.name, column.kind, value)) }
}

/// The same for an added column.
pub(super) fn check_added(name: &str, kind: ColumnType, value: &Literal) -> Result<(), String> {
    let keys = Keys::default();
    let read = matches!(Cell::read(kind, &value.to_value(), &Attributes::new(&keys)), Ok(Some(_)));
    if read { Ok(()) } else { Err(unfit(name, kind, value)) }
}

fn unfit(name: &str, kind: ColumnType, value: &Literal) -> String {
    format!("expected a `value` of `{name}` that is of its type {kind} and in its range, found {value}")
}

/// A moment in microseconds since 1970: text as in RFC 3339, or a number since 1970 in the unit that its size tells: the year 5138 is the last
/// that is read as seconds, as milliseconds or as microseconds, and 1973 the first that is read as anything smaller than seconds.
fn moment(value: &Value<'_>, attributes: &Attributes<'_>) -> Option<i64> {
    const LAST_SECOND: u64 = 100_000_000_000;
    if let Some(number) = value.as_i64() {
        let size = number.unsigned_abs();
        return Some(match size {
            ..LAST_SECOND => number * 1_000_000,
            _ if size / 1_000 < LAST_SECOND => number * 1_000,
            _ if size / 1_000_000 < LAST_SECOND => number,
            _ => number.div_euclid(1_000),
        });
    }
    let text = value.as_str_text(attributes)?;
    Some(chrono::DateTime::parse_from_rfc3339(text.trim()).ok()?.timestamp_micros())
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
        ("status", Cell::Text(text)) => row.status = text,
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
