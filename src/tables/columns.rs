//! Every column of the four tables. Names, types and order are fixed by the design (docs/mapping.md has the sources).

use serde::{Deserialize, Serialize};

use super::Table;

/// An Iceberg type, as far as the tables use them. Stored by Iceberg's name of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    String,
    /// Microseconds, UTC.
    #[serde(rename = "timestamptz")]
    Timestamp,
    Double,
    Boolean,
    Long,
    Int,
    Date,
}

/// What a column may hold when it comes out of `map`, and so which step has to clear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Raw {
    /// Numbers, times and booleans: nothing to clear.
    Nothing,
    /// Text of the sender: `sanitize` clears it.
    Text,
    /// An id: `sanitize` clears it of tokens and named credentials.
    Id,
    /// A client address: `hash_ip` clears it.
    Address,
}

#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub kind: ColumnType,
    pub raw: Raw,
    /// The field doc in the Iceberg schema.
    pub doc: &'static str,
}

const fn column(name: &'static str, kind: ColumnType, raw: Raw, doc: &'static str) -> Column {
    Column { name, kind, raw, doc }
}

const DATE: Column = column("date", Date, Nothing, "UTC date of the event time; partition");

use ColumnType::{Boolean, Date, Double, Int, Long, String, Timestamp};
use Raw::{Address, Id, Nothing, Text};

const INVOCATIONS: [Column; 16] = [
    column("invocation_id", String, Id, "The platform's id of the invocation, or one derived from trace and span id"),
    column("function_id", String, Text, "Name of the function"),
    column("language", String, Text, "Language of the runtime, for example javascript or python"),
    column("version", String, Text, "Version of the function that ran"),
    column("started_at", Timestamp, Nothing, "Start of the invocation"),
    column("duration_ms", Double, Nothing, "Duration in milliseconds, never negative"),
    column("success", Boolean, Nothing, "False after an error, an outcome other than ok, or HTTP status 500 and above"),
    column("error_type", String, Text, "Type of the last error; NULL on success"),
    column("error_message", String, Text, "Message of the last error, sanitised"),
    column("cold_start", Boolean, Nothing, "Whether the invocation started an instance; NULL where the platform does not say"),
    column("memory_used_bytes", Long, Nothing, "Peak memory of the invocation in bytes"),
    column("client_ip", String, Address, "Keyed hash or truncation of the client's address"),
    column("region", String, Text, "Region that ran the function"),
    column("colo", String, Text, "Data centre that took the request"),
    DATE,
    column("hour", Int, Nothing, "UTC hour of started_at, 0 to 23; partition"),
];

const RATE_LIMITS: [Column; 9] = [
    column("event_id", String, Id, "Id of the event, native or derived"),
    column("function_id", String, Text, "Name of the function"),
    column("client_ip", String, Address, "Keyed hash or truncation of the client's address"),
    column("occurred_at", Timestamp, Nothing, "Time of the event"),
    column("limit_type", String, Text, "Which limit was hit: per_ip, per_function or global"),
    column("limit_value", Int, Nothing, "The limit that was hit"),
    column("region", String, Text, "Region that ran the function"),
    column("colo", String, Text, "Data centre that took the request"),
    DATE,
];

const DEPLOYMENTS: [Column; 11] = [
    column("deployment_id", String, Id, "Id of the deployment, native or derived"),
    column("function_id", String, Text, "Name of the function"),
    column("version", String, Text, "Version that was deployed"),
    column("previous_version", String, Text, "Version that it replaced"),
    column("deployed_at", Timestamp, Nothing, "Time of the deployment"),
    column("deployed_by", String, Text, "Who or what deployed it"),
    column("code_size_bytes", Long, Nothing, "Size of the code in bytes"),
    column("source_map_size_bytes", Long, Nothing, "Size of the source map in bytes"),
    column("status", String, Text, "success, failed or rolled_back"),
    column("rollback_reason", String, Text, "Why it was rolled back"),
    DATE,
];

const ERRORS: [Column; 10] = [
    column("error_id", String, Id, "Id of the error, equal for the span event and the log of one exception"),
    column("invocation_id", String, Id, "The invocation it happened in; NULL where that is not known"),
    column("function_id", String, Text, "Name of the function"),
    column("occurred_at", Timestamp, Nothing, "Time of the error"),
    column("error_type", String, Text, "Type of the error"),
    column("error_message", String, Text, "Message of the error, sanitised"),
    column("stack_trace", String, Text, "Stack trace, sanitised and truncated"),
    column("language", String, Text, "Language of the runtime"),
    column("version", String, Text, "Version of the function"),
    DATE,
];

pub(super) fn of(table: Table) -> &'static [Column] {
    match table {
        Table::Invocations => &INVOCATIONS,
        Table::RateLimits => &RATE_LIMITS,
        Table::Deployments => &DEPLOYMENTS,
        Table::Errors => &ERRORS,
    }
}

/// A set of columns over all tables, and whether the labels of metric points and the text of added columns are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    bits: [u32; 4],
    labels: bool,
    added: bool,
}

impl Columns {
    pub const NONE: Columns = Columns { bits: [0; 4], labels: false, added: false };

    /// No column, but the labels of metric points.
    pub const LABELS: Columns = Columns { labels: true, ..Columns::NONE };

    /// No column of the tables' own, but the text of every one that the configuration adds.
    pub const ADDED: Columns = Columns { added: true, ..Columns::NONE };

    /// Every column whose raw content is of this kind; the labels of points and added columns are `Raw::Text`.
    pub fn with_raw(raw: &[Raw]) -> Columns {
        let mut set = Columns { bits: [0; 4], labels: raw.contains(&Text), added: raw.contains(&Text) };
        for table in Table::ALL {
            for (index, column) in table.columns().iter().enumerate() {
                if raw.contains(&column.raw) {
                    set.bits[table.index()] |= 1 << index;
                }
            }
        }
        set
    }

    /// The columns of this name, in whichever tables have one.
    pub fn named(name: &str) -> Columns {
        Table::ALL.into_iter().fold(Columns::NONE, |all, table| all.union(Columns::one(table, name)))
    }

    /// One column of one table; none where it has no such column of its own.
    pub fn one(table: Table, name: &str) -> Columns {
        let mut set = Columns::NONE;
        if let Some(index) = table.column(name) {
            set.bits[table.index()] |= 1 << index;
        }
        set
    }

    #[must_use]
    pub fn union(self, other: Columns) -> Columns {
        let mut bits = self.bits;
        bits.iter_mut().zip(other.bits).for_each(|(mine, others)| *mine |= others);
        Columns { bits, labels: self.labels || other.labels, added: self.added || other.added }
    }

    #[must_use]
    pub fn intersection(self, other: Columns) -> Columns {
        self.without(self.without(other))
    }

    #[must_use]
    pub fn without(self, other: Columns) -> Columns {
        let mut bits = self.bits;
        bits.iter_mut().zip(other.bits).for_each(|(mine, others)| *mine &= !others);
        Columns { bits, labels: self.labels && !other.labels, added: self.added && !other.added }
    }

    pub fn contains(self, table: Table, index: usize) -> bool {
        self.bits[table.index()] & (1 << index) != 0
    }

    /// Whether the labels of metric points are in the set.
    pub fn has_labels(self) -> bool {
        self.labels
    }

    /// Whether the text of added columns is in the set.
    pub fn has_added(self) -> bool {
        self.added
    }

    pub fn is_empty(self) -> bool {
        self == Columns::NONE
    }

    /// The columns of the set with their tables.
    pub fn iter(self) -> impl Iterator<Item = (Table, &'static Column)> {
        Table::ALL.into_iter().flat_map(move |table| {
            table
                .columns()
                .iter()
                .enumerate()
                .filter(move |(index, _)| self.contains(table, *index))
                .map(move |(_, column)| (table, column))
        })
    }
}
