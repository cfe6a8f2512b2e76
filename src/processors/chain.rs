//! A pipeline's chain: from the body of a request to cleared rows and points.
//!
//! ```text
//! body ─▶ decode ─▶ record steps ─▶ map ─▶ column steps ─▶ clear ─▶ rows
//!                                └───────▶ points ─▶ column steps ─▶ points     (metrics only)
//! ```
//! Pure: the same body, time and configuration give the same outcome, and nothing of the body is kept.

mod build;

use std::fmt;

use super::map::Mapping;
use super::route::Route;
use super::{ColumnStep, Destinations, Note, Outcome, RecordStep, Tally, points};
use crate::signals::attributes::Keys;
use crate::signals::{Encoding, Malformed, Records, Rejected, Signal, Timestamp, decode, json};
use crate::tables::{Clearance, Cleared};

pub use build::{ChainError, ChainKeys};

/// The processors of one pipeline, checked and ready. `Chain::build` makes one.
pub struct Chain {
    signal: Signal,
    /// What the steps read of a request.
    keys: Keys,
    record_steps: Vec<Box<dyn RecordStep>>,
    /// Only what is made here is written, so the permission to write stands beside it.
    map: Option<(Mapping, Clearance)>,
    column_steps: Vec<ChainStep>,
}

/// A step after `map`.
enum ChainStep {
    Column(Box<dyn ColumnStep>),
    Route(Route),
}

impl Chain {
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// What the chain makes of one request of its signal; `now` is the time of receipt.
    ///
    /// # Errors
    /// [`Malformed`] where the body is no such request: it never will be.
    pub fn process(&self, encoding: Encoding, body: &[u8], now: Timestamp) -> Result<Outcome, Malformed> {
        let (body, mended) = match encoding {
            Encoding::Protobuf => (body.into(), 0),
            Encoding::Json => json::mend(body),
        };
        let quoted;
        let mut records = match decode(self.signal, encoding, &body, &self.keys) {
            Err(error) if encoding == Encoding::Json => {
                quoted = json::quote_bare_numbers(&body).ok_or(error)?;
                decode(self.signal, encoding, &quoted, &self.keys)?
            }
            records => records?,
        };
        let mut rejected = records.rejected.take();
        let mut tally = Tally {
            received: records.received,
            rejected: rejected.as_ref().map_or(0, |rejected| rejected.count),
            ..Tally::default()
        };
        tally.note(Note::MendedString, records.mended + mended);
        tally.note(Note::DeepValue, records.too_deep);
        for step in &self.record_steps {
            step.apply(&mut records, &mut tally);
        }
        let mut points = points::own(&records);
        let rows = self.rows(&records, now, &mut tally, &mut rejected);
        drop(records);
        for step in &self.column_steps {
            if let ChainStep::Column(step) = step {
                step.apply_to_points(&mut points, &mut tally);
            }
        }
        debug_assert!(tally.balances(), "{tally:?}");
        Ok(Outcome { rows, points, tally, rejected })
    }

    fn rows(
        &self,
        records: &Records<'_>,
        now: Timestamp,
        tally: &mut Tally,
        rejected: &mut Option<Rejected>,
    ) -> Vec<(Destinations, Cleared)> {
        let Some((map, clearance)) = &self.map else {
            // A point feeds Prometheus, and is mapped by that; spans and log records without `map` go nowhere.
            let goes_nowhere = self.signal != Signal::Metrics;
            *(if goes_nowhere { &mut tally.unmapped } else { &mut tally.mapped }) += records.len() as u64;
            return Vec::new();
        };
        let batches = map.apply(records, now, tally, rejected).into_iter();
        let mut batches: Vec<_> = batches.map(|batch| (Destinations::ALL, batch)).collect();
        for step in &self.column_steps {
            batches = match step {
                ChainStep::Column(step) => batches.into_iter().map(|(to, batch)| (to, step.apply(batch, tally))).collect(),
                ChainStep::Route(route) => batches.into_iter().flat_map(|(_, batch)| route.apply(&batch, tally)).collect(),
            };
        }
        let kept = batches.into_iter().filter(|(_, batch)| batch.batch.num_rows() > 0);
        kept.inspect(|(_, batch)| debug_assert!(batch.batch.schema().fields().starts_with(batch.table.schema().fields())))
            .map(|(to, batch)| (to, clearance.clear(batch)))
            .collect()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("signal", &self.signal)
            .field("record_steps", &self.record_steps.len())
            .field("map", &self.map.is_some())
            .field("column_steps", &self.column_steps.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
