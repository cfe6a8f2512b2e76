//! The first law of conservation, counted: what became of every record, by pipeline.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::processors::{Note, Tally};
use crate::signals::Signal;

/// What can become of a record, `received` first: the sum of the others.
const STATES: [&str; 7] = ["received", "refused", "duplicate", "rejected", "filtered", "unmapped", "mapped"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    pipeline: String,
    signal: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoteLabels {
    pipeline: String,
    signal: &'static str,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PipelineLabels {
    pipeline: String,
    signal: &'static str,
}

/// The families of all pipelines.
#[derive(Debug, Default)]
pub(super) struct Families {
    records: Family<StateLabels, Counter>,
    notes: Family<NoteLabels, Counter>,
    rows_filtered: Family<PipelineLabels, Counter>,
}

/// The counters of one pipeline. Every request is counted once, by exactly one of [`PipelineMetrics::taken`],
/// [`PipelineMetrics::refused`] and [`PipelineMetrics::duplicate`]; then
/// received = refused + duplicate + rejected + filtered + unmapped + mapped.
#[derive(Clone, Debug)]
pub struct PipelineMetrics {
    states: [Counter<u64, AtomicU64>; STATES.len()],
    notes: [Counter<u64, AtomicU64>; Note::ALL.len()],
    rows_filtered: Counter<u64, AtomicU64>,
}

/// What became of the records of one pipeline since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Records {
    pub received: u64,
    /// Told "later".
    pub refused: u64,
    /// In a request that was here before.
    pub duplicate: u64,
    /// Can never be taken; told so in `partial_success`.
    pub rejected: u64,
    pub filtered: u64,
    pub unmapped: u64,
    pub mapped: u64,
}

impl PipelineMetrics {
    /// A request was acknowledged, and not for a second time.
    pub fn taken(&self, tally: &Tally) {
        self.add([tally.received, 0, 0, tally.rejected, tally.filtered, tally.unmapped, tally.mapped]);
        for (note, counter) in Note::ALL.into_iter().zip(&self.notes) {
            counter.inc_by(tally.noted(note));
        }
        self.rows_filtered.inc_by(tally.rows_filtered);
    }

    /// A request of so many records was told "later".
    pub fn refused(&self, records: u64) {
        self.add([records, records, 0, 0, 0, 0, 0]);
    }

    /// A request of so many records was here before.
    pub fn duplicate(&self, records: u64) {
        self.add([records, 0, records, 0, 0, 0, 0]);
    }

    pub fn records(&self) -> Records {
        let [received, refused, duplicate, rejected, filtered, unmapped, mapped] = self.states.each_ref().map(Counter::get);
        Records { received, refused, duplicate, rejected, filtered, unmapped, mapped }
    }

    fn add(&self, counts: [u64; STATES.len()]) {
        for (counter, count) in self.states.iter().zip(counts) {
            counter.inc_by(count);
        }
    }
}

impl Families {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Records by what became of them; received is the sum of the others";
        registry.register("floe_pipeline_records", help, self.records.clone());
        registry.register("floe_processor_notes", "What was mended, dropped or replaced, by kind", self.notes.clone());
        registry.register(
            "floe_processor_rows_filtered",
            "Rows that a filter on columns took away, or that a route sends nowhere",
            self.rows_filtered.clone(),
        );
    }

    /// Every counter stands at 0 from the start.
    pub(super) fn pipeline(&self, pipeline: &str, signal: Signal) -> PipelineMetrics {
        let (pipeline, signal) = (pipeline.to_owned(), signal.name());
        let state = |state| self.records.get_or_create_owned(&StateLabels { pipeline: pipeline.clone(), signal, state });
        let note =
            |note: Note| self.notes.get_or_create_owned(&NoteLabels { pipeline: pipeline.clone(), signal, kind: note.name() });
        let rows_filtered = self.rows_filtered.get_or_create_owned(&PipelineLabels { pipeline: pipeline.clone(), signal });
        PipelineMetrics { states: STATES.map(state), notes: Note::ALL.map(note), rows_filtered }
    }
}
