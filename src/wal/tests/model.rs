//! Any sequence of appends, commits, failures and reopenings against a model: what is held is what was acknowledged and not yet recorded.

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// Rows for both streams; 0 for none.
    Append(u32, u32),
    /// One of the last requests again.
    Again(usize),
    /// The stream is recorded up to this share of what it holds, in tenths.
    Record(u16, usize),
    Reopen,
    /// The power goes off after the last answer.
    PowerLoss(u64),
    /// A sync fails, the power goes off, some of what was not synced is left; the sender tries again.
    FailedSync(u64),
    /// The disk has so much room for one append, and the tail can or cannot be cut off.
    Full(u64, bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..6_u32, 0..6_u32).prop_map(|(a, b)| Op::Append(a, b)),
        2 => (0..5_usize).prop_map(Op::Again),
        3 => (0..2_u16, 0..=10_usize).prop_map(|(stream, tenths)| Op::Record(stream, tenths)),
        2 => Just(Op::Reopen),
        1 => any::<u64>().prop_map(Op::PowerLoss),
        1 => any::<u64>().prop_map(Op::FailedSync),
        1 => (0..300_u64, any::<bool>()).prop_map(|(room, cut)| Op::Full(room, cut)),
    ]
}

#[derive(Debug, Default)]
struct Model {
    /// Position, request, rows by stream.
    records: Vec<(u64, u64, [u32; 2])>,
    watermarks: [u64; 2],
    requests: u64,
}

impl Model {
    fn held(&self, stream: usize) -> Vec<(u64, u32)> {
        let held = self.records.iter().filter(|(position, _, rows)| rows[stream] > 0 && *position > self.watermarks[stream]);
        held.map(|(position, _, rows)| (*position, rows[stream])).collect()
    }

    fn check(&self, wal: &Wal) {
        for stream in 0..2_u16 {
            let expected = self.held(usize::from(stream));
            assert_eq!(held(wal, stream), expected, "stream {stream}");
            let told = *wal.held(StreamId(stream)).borrow();
            assert_eq!(told.rows, expected.iter().map(|(_, rows)| u64::from(*rows)).sum::<u64>());
            assert_eq!(told.oldest.is_some(), told.rows > 0);
        }
        for line in wal.ledger() {
            assert_eq!(line.logged, line.committed + line.held + line.damaged, "{line:?}");
        }
    }

    async fn append(&mut self, wal: &Wal, request: u64, rows: [u32; 2]) -> Result<(), AppendError> {
        let entries: Vec<(u16, u32)> = (0..).zip(rows).filter(|(_, rows)| *rows > 0).collect();
        let known = self.records.iter().find(|(_, other, _)| *other == request).map(|(position, _, _)| *position);
        match wal.append(id(request), payload(&entries)).await? {
            Appended::New(durable) => {
                let position = durable.position().0;
                assert_eq!(known, None, "request {request} is there twice");
                assert!(self.records.last().is_none_or(|(last, _, _)| *last < position), "position {position} is used again");
                self.records.push((position, request, rows));
            }
            // It may have come through although its sender was told that it had not.
            Appended::Duplicate(durable) => match known {
                Some(known) => assert_eq!(durable.position().0, known),
                None => self.records.push((durable.position().0, request, rows)),
            },
        }
        Ok(())
    }

    async fn step(&mut self, disk: &Memory, mut wal: Wal, op: Op) -> Wal {
        match op {
            Op::Append(a, b) => {
                self.requests += 1;
                self.append(&wal, self.requests, [a, b]).await.unwrap();
            }
            Op::Again(back) => {
                let Some((_, request, rows)) = self.records.iter().rev().nth(back).copied() else { return wal };
                self.append(&wal, request, rows).await.unwrap();
            }
            Op::Record(stream, tenths) => {
                let held = self.held(usize::from(stream));
                let Some((last, _)) = held.get((held.len() * tenths / 10).saturating_sub(1)) else { return wal };
                wal.record(StreamId(stream), recorded(*last)).await.unwrap();
                self.watermarks[usize::from(stream)] = *last;
            }
            Op::Reopen => {
                wal.close().await;
                wal = open(disk);
            }
            Op::PowerLoss(seed) => {
                wal.close().await;
                disk.cut_power_anyhow(seed);
                wal = open(disk);
            }
            Op::FailedSync(seed) => {
                disk.faults.fails_sync.store(true, SeqCst);
                self.requests += 1;
                self.append(&wal, self.requests, [1, 2]).await.unwrap_err();
                wal.close().await;
                disk.faults.fails_sync.store(false, SeqCst);
                if seed % 2 == 0 {
                    disk.cut_power((seed >> 8) as usize % 300);
                } else {
                    disk.cut_power_anyhow(seed);
                }
                wal = open(disk);
                self.append(&wal, self.requests, [1, 2]).await.unwrap();
            }
            Op::Full(room, cut) => {
                let before = disk.faults.room.swap(room, SeqCst);
                disk.faults.fails_cut.store(!cut, SeqCst);
                self.requests += 1;
                let _ = self.append(&wal, self.requests, [4, 4]).await;
                disk.faults.fails_cut.store(false, SeqCst);
                disk.faults.room.store(before, SeqCst);
            }
        }
        wal
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_held_is_what_was_acknowledged_and_not_recorded(ops in prop::collection::vec(op(), 1..40)) {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let disk = Memory::default();
            let (mut wal, mut model) = (open(&disk), Model::default());
            for op in ops {
                wal = model.step(&disk, wal, op).await;
                model.check(&wal);
            }
            wal.close().await;
            disk.cut_power(0);
            model.check(&open(&disk));
        });
    }
}
