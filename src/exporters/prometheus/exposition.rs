//! Everything, a piece at a time: a [`Cursor`] walks families by name and series by labels, and each piece is written under the lock of its own.
//!
//! | file | what it holds |
//! |---|---|
//! | `text` | Prometheus text and OpenMetrics |
//! | `protobuf` | `io.prometheus.client.MetricFamily`, with native histograms |
//!
//! Invariant: a series is written whole within one piece, so its buckets, sum and count belong together.

pub(super) mod protobuf;
mod text;

use std::sync::Arc;

use super::accept::{Format, Syntax};
use super::series::{Family, Kind, Series, Store};

/// A piece is about as large; a single series may make it larger.
const PIECE_BYTES: usize = 64 << 10;

/// How far a scrape has come.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The family it is in, or was in last.
    family: Option<(Box<str>, Kind)>,
    /// The last series written of it; `None` where it is done.
    labels: Option<Arc<str>>,
    done: bool,
}

/// What is written beside names, labels and values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style<'a> {
    pub(super) format: Format,
    /// `_created` in OpenMetrics.
    pub(super) created: bool,
    /// Labels that every series has, as they are written.
    pub(super) constant: &'a str,
}

impl Cursor {
    pub(super) fn is_done(&self) -> bool {
        self.done
    }
}

/// Appends the next piece to `out`.
pub(super) fn piece(store: &Store, cursor: &mut Cursor, style: Style<'_>, out: &mut Vec<u8>) {
    let end = out.len() + PIECE_BYTES;
    while !cursor.done && out.len() < end {
        let resumed = cursor.family.as_ref().filter(|_| cursor.labels.is_some());
        let resumed = resumed.and_then(|(name, kind)| store.named(name).filter(|family| family.kind == *kind));
        let begins = resumed.is_none();
        if begins {
            cursor.labels = None;
        }
        let after = cursor.family.as_ref().map(|(name, _)| &**name);
        let Some(family) = resumed.or_else(|| store.next_family(after)) else {
            cursor.done = true;
            if style.format.is_open_metrics() {
                out.extend_from_slice(b"# EOF\n");
            }
            return;
        };
        cursor.family = Some((family.name.base.clone(), family.kind));
        let mut last = None;
        let series = store.series(family, cursor.labels.as_deref()).inspect(|(labels, _)| last = Some(Arc::clone(labels)));
        let whole = match style.format.syntax {
            Syntax::Protobuf => protobuf::family(family, series, style, end, out),
            _ => text::family(family, begins, series, style, end, out),
        };
        // Without another series the family is done, also if the piece is full.
        cursor.labels = if whole { None } else { last };
    }
}

/// The name of a family's samples, before suffixes of histograms and summaries, and before escaping.
fn sample_name(family: &Family, format: Format) -> String {
    let suffix = match family.kind {
        Kind::Counter if format.is_open_metrics() || family.name.total => "_total",
        Kind::Info => "_info",
        _ => "",
    };
    format!("{}{suffix}", family.name.base)
}

type Item<'a> = (&'a Arc<str>, &'a Series);
