//! A table and the rows of the log that are not in it yet, for readers (rule 23).
//!
//! First the log is pinned, then the table is loaded once, and snapshot and watermark are of that one version. In the other order rows that are committed in
//! between are in neither.

use uuid::Uuid;

use super::ExporterError;
use super::catalog::Catalog;
use super::committer::Look;
use crate::faults::{self, Naive};
use crate::wal::{Pin, Position, Reader, Recorded, StreamId, Wal};

/// All rows of one table, each once: those of the snapshot, and these of the log.
#[derive(Debug)]
pub struct Together {
    /// The table's uuid.
    pub table: Uuid,
    /// Which snapshot is to be read; `None` for a table without any.
    pub snapshot: Option<i64>,
    /// Rows of the log up to here are in the snapshot.
    pub above: Position,
    pub rows: Reader,
}

/// What a reader does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Pin,
    Load,
    /// The rows above it.
    Read(Position),
}

/// How far a reader has got. Pure.
#[derive(Debug, Default)]
struct Reading {
    is_pinned: bool,
    /// L of the pin.
    recorded: Option<Recorded>,
    loads: u32,
    loaded: Option<Seen>,
    /// Sabotage only: of the load before the last.
    before: Option<Seen>,
}

/// What counts of a version of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    table: Uuid,
    watermark: Position,
}

impl Reading {
    fn pinned(&mut self, recorded: Option<Recorded>) {
        (self.is_pinned, self.recorded) = (true, recorded);
    }

    fn loaded(&mut self, look: &Look) {
        self.loads += 1;
        self.before = self.loaded;
        let watermark = look.watermark.map_or(Position(0), |mark| mark.position);
        self.loaded = Some(Seen { table: look.shape.table, watermark });
    }

    fn next(&self) -> Next {
        if !self.is_pinned {
            let first = faults::is(Naive::ReaderLoadsFirst) && self.loaded.is_none();
            return if first { Next::Load } else { Next::Pin };
        }
        let Some(loaded) = self.loaded else { return Next::Load };
        let seen = if faults::is(Naive::ReaderLoadsTwice) { self.before } else { Some(loaded) };
        let Some(Seen { watermark, .. }) = seen else { return Next::Load };
        // Rows at or below L are in the table that it was recorded for, or in an older one of that name.
        let recorded = self.recorded.as_ref().map_or(Position(0), |recorded| recorded.position);
        let is_same = self.recorded.as_ref().is_none_or(|recorded| recorded.table == loaded.table);
        let compares = !faults::is(Naive::ReaderBelievesStale) && !faults::is(Naive::ReaderLoadsFirst);
        match watermark >= recorded || !is_same || !compares {
            true => Next::Read(if is_same { watermark } else { watermark.max(recorded) }),
            // A stale answer, or somebody removed the property.
            false if self.loads == 1 => Next::Load,
            false => Next::Read(recorded),
        }
    }
}

pub(super) async fn read(wal: &Wal, stream: StreamId, catalog: &dyn Catalog) -> Result<Together, ExporterError> {
    let mut reading = Reading::default();
    let mut pin: Option<Pin> = None;
    let mut seen: Option<Look> = None;
    loop {
        match (reading.next(), &pin, &seen) {
            (Next::Read(above), Some(pin), Some(look)) => {
                return Ok(Together { table: look.shape.table, snapshot: look.head, above, rows: pin.read(above) });
            }
            (Next::Load, ..) => {
                let look = catalog.look().await?;
                reading.loaded(&look);
                seen = Some(look);
            }
            (Next::Pin | Next::Read(_), ..) => {
                let wal = wal.clone();
                let pinned = tokio::task::spawn_blocking(move || wal.pin(stream)).await;
                let pinned = pinned.map_err(std::io::Error::other).and_then(|pinned| pinned).map_err(ExporterError::Log)?;
                reading.pinned(pinned.recorded().cloned());
                pin = Some(pinned);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporters::iceberg::committer::{Mark, Shape};

    /// Rows of the log while a reader reads.
    const ROWS: u64 = 2;

    /// What goes on beside the reader before each of its steps: nothing, a commit, its record, both.
    #[derive(Clone, Copy, Debug, Default)]
    struct World {
        committed: u64,
        recorded: u64,
    }

    impl World {
        fn go_on(&mut self, choice: usize) {
            if choice & 1 == 1 {
                self.committed = ROWS.min(self.committed + 1);
            }
            if choice & 2 == 2 {
                self.recorded = self.committed;
            }
        }

        fn look(self) -> Look {
            let shape = Shape { table: Uuid::nil(), schema: 0, spec: 0 };
            let mark = Mark { position: Position(self.committed), commit: Uuid::nil() };
            Look { shape, head: None, sequence: 0, watermark: Some(mark), mark: None, chain: Vec::new(), whole: true }
        }
    }

    /// Reads once, while at each step the world makes this choice, and the load of this number is answered from the beginning.
    fn read_once(choices: [usize; 4], stale: usize) -> Result<(), String> {
        let mut world = World::default();
        let (mut reading, mut log, mut snapshot) = (Reading::default(), 0..=0, 0);
        for choice in choices {
            world.go_on(choice);
            match reading.next() {
                Next::Pin => {
                    // What is recorded is released.
                    log = world.recorded + 1..=ROWS;
                    let recorded = Recorded { position: Position(world.recorded), commit: Uuid::nil(), table: Uuid::nil() };
                    reading.pinned(Some(recorded));
                }
                Next::Load => {
                    let seen = if reading.loads as usize == stale { World::default() } else { world };
                    snapshot = seen.committed;
                    reading.loaded(&seen.look());
                }
                Next::Read(_) => break,
            }
        }
        let Next::Read(above) = reading.next() else { return Err("it does not end".to_owned()) };
        let rows: Vec<u64> = (1..=snapshot).chain(log.filter(|row| *row > above.0)).collect();
        if rows == (1..=ROWS).collect::<Vec<_>>() { Ok(()) } else { Err(format!("{choices:?}, stale {stale}: {rows:?}")) }
    }

    /// Every choice at every step.
    fn explore() -> Result<(), String> {
        for n in 0..4_usize.pow(4) {
            let choices = [n % 4, n / 4 % 4, n / 16 % 4, n / 64];
            // At most one answer is stale: the first, or none.
            (0..3).filter(|stale| *stale != 1).try_for_each(|stale| read_once(choices, stale))?;
        }
        Ok(())
    }

    #[test]
    fn a_reader_sees_every_row_once_whatever_is_committed_meanwhile() {
        explore().unwrap();
    }

    #[test]
    fn a_reader_that_takes_a_short_cut_is_found() {
        for naive in [Naive::ReaderLoadsFirst, Naive::ReaderLoadsTwice, Naive::ReaderBelievesStale] {
            faults::with(Some(naive), explore).expect_err(naive.name());
        }
    }

    #[test]
    fn a_table_made_anew_is_read_with_the_rows_above_the_old_one() {
        let recorded = Recorded { position: Position(7), commit: Uuid::nil(), table: Uuid::from_u128(9) };
        let mut reading = Reading::default();
        reading.pinned(Some(recorded));
        reading.loaded(&World::default().look());
        assert_eq!(reading.next(), Next::Read(Position(7)));
    }
}
