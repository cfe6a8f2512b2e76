//! Signals: one request of OTLP, decoded once into flat records that borrow from its body.
//!
//! A request becomes a few plain vectors: resources, scopes, spans, events, log records, metrics, points, and **one** vector of
//! attributes with a [`Slice`] per owner. Text is `Cow<'a, str>` borrowed from the body; it is owned only where it was mended
//! (a byte that is not UTF-8, an escape in JSON) or edited by a step. There is no trait over wire bytes and nothing lazy:
//! a malformed nested field is found here and nowhere else.
//!
//! | file | what it holds |
//! |---|---|
//! | [`attributes`] | keys, the projection, the attributes of a request and their edits |
//! | [`values`] | `AnyValue` and the lenient readings of it; `values/text.rs`: its text form |
//! | [`ids`] | trace and span ids |
//! | [`points`] | metric points that have left the request: what Prometheus is given |
//! | [`protobuf`] | the borrowed protobuf decoder |
//! | [`json`] | the OTLP/JSON decoder |
//! | [`rejected`] | what a sender is told of records that can never be taken |
//!
//! Invariant: no type with the lifetime `'a` crosses an `.await`.

pub mod attributes;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod differential;
pub mod ids;
pub mod json;
pub mod points;
pub mod protobuf;
pub mod rejected;
pub mod values;

use std::borrow::Cow;

use attributes::Keys;
pub use attributes::{Attribute, KeyId, Slice};
pub use ids::{SpanId, TraceId};
pub use rejected::Rejected;
pub use values::Value;

/// The three signals of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

    /// The word for the signal in YAML keys, metric labels and messages.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }

    /// What one record of it is called, in the plural, in the Collector's metric names.
    pub fn records(self) -> &'static str {
        match self {
            Signal::Traces => "spans",
            Signal::Logs => "log_records",
            Signal::Metrics => "metric_points",
        }
    }
}

/// How the body of a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    /// The word for the encoding in messages and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Protobuf => "protobuf",
            Encoding::Json => "json",
        }
    }
}

/// Nanoseconds since 1970 in UTC, as OTLP has them. 0 means absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

/// 2000-01-01 in nanoseconds: an earlier time is a clock that was never set, and counts as absent.
const FIRST_CREDIBLE: u64 = 946_684_800_000_000_000;

impl Timestamp {
    /// The time, unless it is 0 or before the year 2000.
    pub fn credible(self) -> Option<Timestamp> {
        (self.0 >= FIRST_CREDIBLE).then_some(self)
    }

    /// Microseconds since 1970, cut and not rounded; the unit of every `timestamptz` column.
    pub fn micros(self) -> i64 {
        i64::try_from(self.0 / 1_000).unwrap_or(i64::MAX)
    }
}

/// All records of one request, borrowed from its body.
///
/// For one signal only its own vectors are filled: `spans` and `events`; `logs`; or `metrics`, `points` and what points have.
#[derive(Debug)]
pub struct Records<'a> {
    pub signal: Signal,
    pub resources: Vec<Resource>,
    pub scopes: Vec<Scope<'a>>,
    pub spans: Vec<Span<'a>>,
    pub events: Vec<Event<'a>>,
    pub logs: Vec<LogRecord<'a>>,
    pub metrics: Vec<Metric<'a>>,
    pub points: Vec<Point>,
    /// Bucket counts of histogram points, one run a point.
    pub counts: Vec<u64>,
    /// Explicit bounds of histogram points, one run a point.
    pub bounds: Vec<f64>,
    /// The values of exponential histogram points.
    pub exponentials: Vec<Exponential>,
    /// Quantiles and their values of summary points, one run a point.
    pub quantiles: Vec<(f64, f64)>,
    /// Exemplars that name a trace and have a finite value, one run a point.
    pub exemplars: Vec<Exemplar>,
    /// The attributes of every owner, one run each; and their nested values.
    pub attributes: attributes::Attributes<'a>,
    /// Spans, log records or points in the request, the rejected ones among them.
    pub received: u64,
    /// Records that can never be taken (a span without a valid id); they are in none of the vectors.
    pub rejected: Option<Rejected>,
    /// Strings that were not UTF-8 and were mended with U+FFFD.
    pub mended: u64,
    /// Arrays and maps deeper than [`values::MAX_DEPTH`], of which nothing was kept.
    pub too_deep: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Resource {
    pub attributes: Slice,
}

#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// Index into [`Records::resources`].
    pub resource: u32,
    pub name: Cow<'a, str>,
    pub version: Cow<'a, str>,
    /// Of metrics only: nothing else is told about it.
    pub schema_url: Cow<'a, str>,
    pub attributes: Slice,
}

#[derive(Clone, Debug)]
pub struct Span<'a> {
    /// Index into [`Records::scopes`].
    pub scope: u32,
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// `None` for a root span.
    pub parent_span_id: Option<SpanId>,
    pub name: Cow<'a, str>,
    pub kind: SpanKind,
    pub start: Timestamp,
    pub end: Timestamp,
    pub status: StatusCode,
    pub status_message: Cow<'a, str>,
    pub attributes: Slice,
    /// A run of [`Records::events`].
    pub events: Slice,
}

#[derive(Clone, Debug)]
pub struct Event<'a> {
    pub time: Timestamp,
    pub name: Cow<'a, str>,
    pub attributes: Slice,
}

#[derive(Clone, Debug)]
pub struct LogRecord<'a> {
    /// Index into [`Records::scopes`].
    pub scope: u32,
    pub time: Timestamp,
    pub observed: Timestamp,
    /// 1 to 24; 0 is unspecified (specification, "Field: SeverityNumber").
    pub severity: i32,
    pub severity_text: Cow<'a, str>,
    pub event_name: Cow<'a, str>,
    pub body: Value<'a>,
    pub attributes: Slice,
    /// `None` where absent, all zero, or of a wrong length.
    pub trace_id: Option<TraceId>,
    pub span_id: Option<SpanId>,
}

#[derive(Clone, Debug)]
pub struct Metric<'a> {
    /// Index into [`Records::scopes`].
    pub scope: u32,
    pub name: Cow<'a, str>,
    pub description: Cow<'a, str>,
    pub unit: Cow<'a, str>,
    pub kind: MetricKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    Gauge,
    Sum { monotonic: bool, temporality: Temporality },
    Histogram { temporality: Temporality },
    ExponentialHistogram { temporality: Temporality },
    Summary,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Temporality {
    #[default]
    Unspecified,
    Delta,
    Cumulative,
}

/// The bit of [`Point::flags`] that says that a point has no value (`DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`).
pub const NO_RECORDED_VALUE: u32 = 1;

#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Index into [`Records::metrics`].
    pub metric: u32,
    pub start: Timestamp,
    pub time: Timestamp,
    /// Bit 0 ([`NO_RECORDED_VALUE`]): the series has ended.
    pub flags: u32,
    pub attributes: Slice,
    /// A run of [`Records::exemplars`].
    pub exemplars: Slice,
    pub value: PointValue,
}

#[derive(Clone, Copy, Debug)]
pub enum PointValue {
    Int(i64),
    /// NaN, too, where there is no recorded value.
    Double(f64),
    Histogram {
        count: u64,
        /// Absent where the values can be negative.
        sum: Option<f64>,
        /// A run of [`Records::counts`]; one longer than `bounds`, or empty.
        counts: Slice,
        /// A run of [`Records::bounds`].
        bounds: Slice,
    },
    /// Index into [`Records::exponentials`].
    Exponential(u32),
    Summary {
        count: u64,
        sum: f64,
        /// A run of [`Records::quantiles`].
        quantiles: Slice,
    },
}

/// The value of an exponential histogram point (data model, "ExponentialHistogram"): bucket `i` is (2^(i·2^-scale), 2^((i+1)·2^-scale)].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exponential {
    pub count: u64,
    pub sum: Option<f64>,
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub positive: Buckets,
    pub negative: Buckets,
}

/// Buckets that lie side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Buckets {
    /// The index of the first one.
    pub offset: i32,
    /// A run of [`Records::counts`].
    pub counts: Slice,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    pub time: Timestamp,
    pub value: f64,
    pub trace_id: TraceId,
    pub span_id: Option<SpanId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SpanKind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StatusCode {
    #[default]
    Unset,
    Ok,
    Error,
}

// A number that the enum does not have is a later version's, and reads as its 0.

impl SpanKind {
    pub fn from_number(number: i32) -> SpanKind {
        match number {
            1 => SpanKind::Internal,
            2 => SpanKind::Server,
            3 => SpanKind::Client,
            4 => SpanKind::Producer,
            5 => SpanKind::Consumer,
            _ => SpanKind::Unspecified,
        }
    }
}

impl StatusCode {
    pub fn from_number(number: i32) -> StatusCode {
        match number {
            1 => StatusCode::Ok,
            2 => StatusCode::Error,
            _ => StatusCode::Unset,
        }
    }
}

impl Temporality {
    pub fn from_number(number: i32) -> Temporality {
        match number {
            1 => Temporality::Delta,
            2 => Temporality::Cumulative,
            _ => Temporality::Unspecified,
        }
    }
}

/// Why a body is no OTLP request. Permanent: the same body will never be taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("malformed {encoding} request of {signal}: {reason}", encoding = .encoding.name(), signal = .signal.name())]
pub struct Malformed {
    pub signal: Signal,
    pub encoding: Encoding,
    /// Where and what; never a value of the request.
    pub reason: String,
}

/// Decodes one body of any signal and encoding. The only way in.
///
/// `keys` is the projection: attributes whose key is not in it are checked and then dropped, unless it keeps all.
/// A body of JSON that is not UTF-8 must have been mended by [`json::mend`] before.
///
/// # Errors
/// [`Malformed`] where the body is not a request of this signal; a wrong string or id costs only itself.
pub fn decode<'a>(signal: Signal, encoding: Encoding, body: &'a [u8], keys: &'a Keys) -> Result<Records<'a>, Malformed> {
    match encoding {
        Encoding::Protobuf => protobuf::decode(signal, body, keys),
        Encoding::Json => json::decode(signal, body, keys),
    }
}

/// Records of one request, and what stands around them: events, metrics, scopes, resources. SDKs send at most some thousands; empty ones take
/// two bytes on the wire and a hundred times that here, so without a bound a body could grow far past what was admitted.
pub const MAX_RECORDS: usize = 1 << 18;

/// Attributes of one request that are kept, and the values nested in them; for the same reason.
pub const MAX_VALUES: usize = 1 << 20;

/// What the sender of more is told.
const TOO_MANY: &str = "more than 262144 records, events, metrics, scopes and resources; send fewer at once";
const TOO_MANY_VALUES: &str = "more than 1048576 attributes and nested values; send fewer at once";

/// Bucket counts and quantiles of one request that take a byte or two on the wire and eight or more here.
const MAX_COUNTS: usize = 1 << 21;
const TOO_MANY_COUNTS: &str = "more than 2097152 bucket counts, or 1048576 quantiles; send fewer at once";

/// See [`Records::point_mark`].
#[derive(Clone, Copy, Debug)]
struct PointMark {
    everything: attributes::Everything,
    counts: usize,
    bounds: usize,
    exponentials: usize,
    quantiles: usize,
    exemplars: usize,
}

impl<'a> Records<'a> {
    /// Whether there is no room for another record, or for anything that stands around it.
    fn is_full(&self) -> bool {
        let around = self.events.len() + self.metrics.len() + self.scopes.len() + self.resources.len();
        usize::try_from(self.received).unwrap_or(usize::MAX).saturating_add(around) >= MAX_RECORDS
    }

    pub fn new(signal: Signal, keys: &'a Keys) -> Records<'a> {
        Records {
            signal,
            resources: Vec::new(),
            scopes: Vec::new(),
            spans: Vec::new(),
            events: Vec::new(),
            logs: Vec::new(),
            metrics: Vec::new(),
            points: Vec::new(),
            counts: Vec::new(),
            bounds: Vec::new(),
            exponentials: Vec::new(),
            quantiles: Vec::new(),
            exemplars: Vec::new(),
            attributes: attributes::Attributes::new(keys),
            received: 0,
            rejected: None,
            mended: 0,
            too_deep: 0,
        }
    }

    /// How far the vectors go that points share; for [`Records::rewind_point`].
    fn point_mark(&self) -> PointMark {
        PointMark {
            everything: self.attributes.everything(),
            counts: self.counts.len(),
            bounds: self.bounds.len(),
            exponentials: self.exponentials.len(),
            quantiles: self.quantiles.len(),
            exemplars: self.exemplars.len(),
        }
    }

    /// Takes away what a point brought that is not taken.
    fn rewind_point(&mut self, mark: PointMark) {
        self.attributes.rewind(mark.everything);
        self.counts.truncate(mark.counts);
        self.bounds.truncate(mark.bounds);
        self.exponentials.truncate(mark.exponentials);
        self.quantiles.truncate(mark.quantiles);
        self.exemplars.truncate(mark.exemplars);
    }

    /// Keeps an exemplar that names a trace and has a finite value; others say nothing that Prometheus could show.
    fn push_exemplar(&mut self, time: u64, value: Option<f64>, trace_id: Option<TraceId>, span_id: Option<SpanId>) {
        if let (Some(value), Some(trace_id)) = (value.filter(|value| value.is_finite()), trace_id) {
            self.exemplars.push(Exemplar { time: Timestamp(time), value, trace_id, span_id });
        }
    }

    fn push_exponential(&mut self, value: Exponential) -> PointValue {
        self.exponentials.push(value);
        PointValue::Exponential(u32::try_from(self.exponentials.len() - 1).unwrap_or(u32::MAX))
    }

    /// Records that are still here: received without rejected and filtered ones.
    pub fn len(&self) -> usize {
        match self.signal {
            Signal::Traces => self.spans.len(),
            Signal::Logs => self.logs.len(),
            Signal::Metrics => self.points.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
