//! Drives the shipped committer through a world of a table, a network that keeps requests, other writers, maintenance, people, and copies of the
//! log: every sequence of choices with few faults, then random walks with many.
//!
//! The verdict is rule by rule the same: whatever a gateway has recorded, and so released from its log, is in the table once and in files that
//! are there as they were written; and unless it halts, all it took gets there.

use std::collections::BTreeMap;
use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Struct};

use super::*;
use crate::faults::{self, Naive};

/// Positions that each gateway takes.
const LOG: u64 = 3;
/// Steps after which a run that has not settled is a violation.
const STEPS: usize = 600;

/// Where the nondeterminism comes from: a script of choices that is counted through, or a generator.
#[derive(Debug)]
pub(super) enum Choices {
    Script { taken: Vec<(usize, usize)>, at: usize },
    Random(u64),
}

impl Choices {
    fn pick(&mut self, options: usize) -> usize {
        match self {
            Choices::Script { taken, at } => {
                if *at == taken.len() {
                    taken.push((0, options));
                }
                *at += 1;
                taken[*at - 1].0
            }
            Choices::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                // Faults are rarer than the rest, so that a walk has room for many.
                if (*state >> 40).is_multiple_of(4) { usize::try_from(*state % options as u64).expect("small") } else { 0 }
            }
        }
    }

    /// The next script of the same or a smaller length; `None` after the last.
    fn advance(taken: Vec<(usize, usize)>) -> Option<Choices> {
        let mut taken = taken;
        while let Some((choice, options)) = taken.pop() {
            if choice + 1 < options {
                taken.push((choice + 1, options));
                return Some(Choices::Script { taken, at: 0 });
            }
        }
        None
    }
}

/// Who acts beside the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    /// Crashes, wrong and late answers, appends of others.
    Network,
    /// The same, with expiry and rollback.
    Maintenance,
    /// The same as the first, and the property is removed, or put back to what it was.
    People,
    /// The same as the first, and rows that a failure holds back are moved out of the log (rule 22).
    MovingOut,
    /// The same as the first, and the log's directory is copied once: two processes go on from there.
    Copied,
}

/// A row: 0 for what both copies have, then the gateway that took it.
type Row = (usize, u64);

#[derive(Clone, Debug)]
struct Snapshot {
    id: i64,
    mark: Option<Mark>,
}

/// A process and its log.
#[derive(Debug)]
struct Gateway {
    label: usize,
    /// Rows at or below it are those of the other copy, too.
    fork: u64,
    log: u64,
    recorded: Option<Recorded>,
    intents: Vec<Intent>,
    committer: Committer,
    event: Option<Event>,
    halted: Option<Reason>,
    idle: bool,
    /// Rule 22, with no patience at all.
    moves_out: bool,
}

#[derive(Debug)]
struct World {
    scenario: Scenario,
    chain: Vec<Snapshot>,
    snapshots: i64,
    sequence: i64,
    property: Option<Mark>,
    removed: Vec<Mark>,
    /// Path to what it holds.
    store: BTreeMap<String, usize>,
    contents: Vec<Vec<Row>>,
    /// Every file that a commit added, with what it held then.
    added: Vec<(String, usize)>,
    network: Vec<Attempt>,
    /// Rows that became dead letters.
    moved: Vec<Row>,
    gateways: Vec<Gateway>,
    start: Instant,
    now: Instant,
    ids: u128,
    faults: usize,
}

impl Gateway {
    fn new(label: usize) -> Gateway {
        Gateway {
            label,
            fork: u64::MAX,
            log: 1,
            recorded: None,
            intents: Vec::new(),
            committer: Committer::new(CUT, None, Vec::new()),
            event: None,
            halted: None,
            idle: false,
            moves_out: false,
        }
    }

    fn restart(&mut self) {
        self.committer = Committer::new(CUT, self.recorded.clone(), self.intents.clone())
            .moving_out_after(self.moves_out.then_some(Duration::ZERO));
        self.event = None;
    }

    fn watermark(&self) -> u64 {
        self.recorded.as_ref().map_or(0, |recorded| recorded.position.0)
    }

    fn row(&self, position: u64) -> Row {
        (if position <= self.fork { 0 } else { self.label }, position)
    }

    fn settled(&self) -> bool {
        self.halted.is_some() || (self.idle && self.log == LOG && self.watermark() == LOG)
    }
}

impl World {
    fn new(scenario: Scenario, faults: usize) -> World {
        let now = Instant::now();
        let mut first = Gateway { moves_out: scenario == Scenario::MovingOut, ..Gateway::new(1) };
        first.restart();
        World {
            scenario,
            chain: Vec::new(),
            snapshots: 0,
            sequence: 0,
            property: None,
            removed: Vec::new(),
            store: BTreeMap::new(),
            contents: Vec::new(),
            added: Vec::new(),
            network: Vec::new(),
            moved: Vec::new(),
            gateways: vec![first],
            start: now,
            now,
            ids: 0,
            faults,
        }
    }

    fn head(&self) -> Option<i64> {
        self.chain.last().map(|snapshot| snapshot.id)
    }

    fn append(&mut self, mark: Option<Mark>) {
        self.sequence += 1;
        self.snapshots += 1;
        self.chain.push(Snapshot { id: self.snapshots, mark });
    }

    /// A commit request meets the catalog. What was built before a rollback is refused by its sequence number.
    fn apply(&mut self, attempt: &Attempt, parent: Option<i64>, sequence: i64) -> bool {
        if self.head() != parent || self.sequence != sequence {
            return false;
        }
        let mark = Mark { position: attempt.intent.to, commit: attempt.intent.commit };
        self.append(Some(mark));
        if !faults::is(Naive::WatermarkInSecondCommit) {
            self.property = Some(mark);
        }
        for file in attempt.files.iter().flat_map(|files| files.data.iter()) {
            let content = usize::try_from(file.record_count()).expect("small");
            self.added.push((file.file_path().to_owned(), content));
        }
        true
    }

    fn deliver(&mut self, attempt: &Attempt) -> bool {
        self.apply(attempt, attempt.intent.parent, attempt.intent.parent_sequence)
    }

    fn seen(&self) -> Look {
        let second = faults::is(Naive::WatermarkInSecondCommit);
        let look = Look {
            shape: shape(),
            head: self.head(),
            sequence: self.sequence,
            watermark: self.property,
            mark: self.chain.iter().rev().find_map(|snapshot| snapshot.mark).filter(|_| !second),
            chain: self.chain.iter().rev().map(|snapshot| snapshot.id).collect(),
            whole: self.chain.first().is_none_or(|first| first.id == 1),
        };
        look.sabotaged(self.chain.last().and_then(|head| head.mark))
    }

    fn held(&self, of: usize) -> Held {
        let gateway = &self.gateways[of];
        held(gateway.log, gateway.log.saturating_sub(gateway.watermark()), self.start)
    }

    fn crash(&mut self, of: usize) -> Event {
        self.gateways[of].restart();
        Event::Held(self.held(of))
    }

    /// Picks a fault while any is left; 0 is none.
    fn fault(&mut self, choices: &mut Choices, kinds: usize) -> usize {
        if self.faults == 0 {
            return 0;
        }
        let fault = choices.pick(kinds + 1);
        self.faults -= usize::from(fault > 0);
        fault
    }

    fn send(&mut self, of: usize, attempt: &Attempt, choices: &mut Choices) -> Event {
        let ours = Mark { position: attempt.intent.to, commit: attempt.intent.commit };
        let mut attempt = attempt.clone();
        if faults::is(Naive::RebaseAtCommit) {
            self.meddle(of, choices);
            (attempt.intent.parent, attempt.intent.parent_sequence) = (self.head(), self.sequence);
        }
        let fault = self.fault(choices, 6);
        // 4: held on the way, no answer; 5: held on the way, crash.
        let applied = !matches!(fault, 4 | 5) && self.deliver(&attempt);
        // 6: delivered twice.
        if matches!(fault, 4..=6) {
            self.network.push(attempt);
        }
        if applied && fault != 3 && faults::is(Naive::WatermarkInSecondCommit) {
            self.property = Some(ours);
        }
        match fault {
            0 | 6 if applied => Event::Answered(Answer::Committed(Some(ours))),
            1 | 4 => Event::Answered(Answer::Unknown("no answer".to_owned())),
            3 | 5 => self.crash(of),
            // 2: a conflict although applied.
            _ => Event::Answered(Answer::Conflict),
        }
    }

    /// Others act while a gateway waits or looks.
    fn meddle(&mut self, of: usize, choices: &mut Choices) {
        let kinds = match self.scenario {
            Scenario::Network | Scenario::MovingOut => 2,
            Scenario::Copied => 3,
            Scenario::Maintenance | Scenario::People => 4,
        };
        match (self.fault(choices, kinds), self.scenario) {
            (1, _) if !self.network.is_empty() => {
                let late = self.network.remove(0);
                self.deliver(&late);
            }
            (2, _) => self.append(None),
            (3, Scenario::Copied) if self.gateways.len() == 1 => self.copy(of),
            (3, Scenario::Maintenance) if self.chain.len() > 1 => {
                self.chain = self.chain.split_off(self.chain.len() - 1);
            }
            (4, Scenario::Maintenance) if self.chain.len() > 1 => drop(self.chain.pop()),
            (3, Scenario::People) => self.removed.extend(self.property.take()),
            (4, Scenario::People) => {
                if let Some(old) = self.removed.first() {
                    self.property = Some(*old);
                }
            }
            _ => {}
        }
    }

    fn copy(&mut self, of: usize) {
        let (fork, log) = (self.gateways[of].log, self.gateways[of].log);
        self.gateways[of].fork = fork;
        let (recorded, intents) = (self.gateways[of].recorded.clone(), self.gateways[of].intents.clone());
        let mut copy = Gateway { fork, log, recorded, intents, ..Gateway::new(2) };
        copy.restart();
        self.gateways.push(copy);
    }

    fn encode(&mut self, of: usize, batch: &Batch) -> Files {
        for path in &batch.instead_of {
            self.store.remove(path);
        }
        let rows = (batch.above.0 + 1..=batch.to.0).map(|position| self.gateways[of].row(position));
        // Odd positions are in one partition, even ones in the other.
        let rows = rows.filter(|(_, position)| !faults::is(Naive::OnePartitionOnly) || position % 2 == 1).collect();
        let content = self.contents.len();
        self.contents.push(rows);
        let name = if faults::is(Naive::NamesFromRange) {
            format!("{}-{}.parquet", batch.above.0, batch.to.0)
        } else {
            format!("{content}.parquet")
        };
        self.store.insert(name.clone(), content);
        let data = Arc::from(vec![data_file(name, content)]);
        Files { data, ..files(batch.above.0, batch.to.0) }
    }

    fn perform(&mut self, of: usize, step: Step, choices: &mut Choices) -> Event {
        self.gateways[of].idle = matches!(step, Step::Wait(_));
        match step {
            Step::Wait(until) => {
                self.now = self.now.max(until.min(self.now + Duration::from_secs(61)));
                let log = &mut self.gateways[of].log;
                *log = LOG.min(*log + 1);
                self.meddle(of, choices);
                Event::Held(self.held(of))
            }
            Step::Look => {
                self.meddle(of, choices);
                self.ids += 1;
                let look = match self.fault(choices, 1) {
                    0 => Ok(self.seen()),
                    _ => Err(CatalogError::Unreachable("down".into())),
                };
                Event::Looked { look, fresh: fresh(self.ids) }
            }
            Step::Encode(batch) => match self.fault(choices, 2) {
                0 => Event::Encoded(Ok(self.encode(of, &batch))),
                1 => Event::Encoded(Err(EncodeFailure::Passing("disk full".to_owned()))),
                _ => {
                    self.encode(of, &batch);
                    self.crash(of)
                }
            },
            Step::Journal(intent) => match self.fault(choices, 2) {
                1 => Event::Failed("disk full".to_owned()),
                fault => {
                    self.gateways[of].intents.push(intent);
                    if fault == 0 { Event::Journalled } else { self.crash(of) }
                }
            },
            Step::Send(attempt) => self.send(of, &attempt, choices),
            Step::Record(recorded) => match self.fault(choices, 2) {
                1 => self.crash(of),
                fault => {
                    let gateway = &mut self.gateways[of];
                    gateway.recorded = Some(recorded);
                    gateway.intents.clear();
                    if fault == 0 { Event::Recorded(self.held(of)) } else { self.crash(of) }
                }
            },
            Step::MoveOut(to, _) => match self.fault(choices, 3) {
                1 => Event::Failed("disk full".to_owned()),
                2 => self.crash(of),
                fault => {
                    assert!(self.gateways[of].intents.is_empty(), "rows of an open commit are moved out");
                    let rows = self.gateways[of].watermark() + 1..=to.position.0;
                    let rows: Vec<Row> = rows.map(|position| self.gateways[of].row(position)).collect();
                    self.moved.extend(rows);
                    self.gateways[of].recorded = Some(to);
                    if fault == 0 { Event::MovedOut(self.held(of)) } else { self.crash(of) }
                }
            },
            Step::Stop(reason) => {
                self.gateways[of].halted = Some(reason);
                Event::Tick
            }
        }
    }

    /// Runs until all is committed or halted and no request is on the way.
    fn run(&mut self, choices: &mut Choices) -> Result<(), String> {
        for step in 0..STEPS {
            self.check()?;
            if self.gateways.iter().all(Gateway::settled) {
                if self.network.is_empty() {
                    return self.end();
                }
                let late = self.network.remove(0);
                self.deliver(&late);
            }
            let of = step % self.gateways.len();
            if self.gateways[of].halted.is_some() {
                continue;
            }
            let event = self.gateways[of].event.take().unwrap_or_else(|| Event::Held(self.held(of)));
            let now = self.now;
            let step = self.gateways[of].committer.on(event, now);
            let event = self.perform(of, step, choices);
            self.gateways[of].event = Some(event);
        }
        Err(format!("not settled after {STEPS} steps: {:?}", self.gateways.iter().map(Gateway::watermark).collect::<Vec<_>>()))
    }

    /// What is recorded is in the table, once, in files as they were written.
    fn check(&self) -> Result<(), String> {
        let added = self.added.iter().flat_map(|(_, content)| &self.contents[*content]);
        let mut rows: Vec<Row> = added.chain(&self.moved).copied().collect();
        rows.sort_unstable();
        if let Some([twice, _]) = rows.array_windows().find(|[one, next]| one == next) {
            return Err(format!("row {twice:?} is in the table twice"));
        }
        if let Some((path, _)) = self.added.iter().find(|(path, content)| self.store.get(path) != Some(content)) {
            return Err(format!("{path} is missing or was written over"));
        }
        for gateway in &self.gateways {
            let lost =
                (1..=gateway.watermark()).map(|position| gateway.row(position)).find(|row| rows.binary_search(row).is_err());
            if let Some(lost) = lost {
                return Err(format!("row {lost:?} is lost"));
            }
        }
        Ok(())
    }

    fn end(&self) -> Result<(), String> {
        self.check()?;
        let may_halt = matches!(self.scenario, Scenario::People | Scenario::Copied);
        match self.gateways.iter().find_map(|gateway| gateway.halted.as_ref()).filter(|_| !may_halt) {
            Some(reason) => Err(format!("it halted: {reason}")),
            None => Ok(()),
        }
    }
}

/// The content's number stands in for a number of rows.
fn data_file(path: String, content: usize) -> DataFile {
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(path)
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::empty())
        .partition_spec_id(0)
        .record_count(content as u64)
        .file_size_in_bytes(1)
        .build()
        .expect("a data file")
}

/// Every sequence of choices with so many faults; the number of runs, or the first violation.
pub(super) fn explore(scenario: Scenario, faults: usize) -> Result<usize, String> {
    let mut choices = Choices::Script { taken: Vec::new(), at: 0 };
    for run in 1.. {
        World::new(scenario, faults).run(&mut choices).map_err(|violation| format!("run {run}: {violation}: {choices:?}"))?;
        let Choices::Script { taken, .. } = choices else { unreachable!("a script") };
        match Choices::advance(taken) {
            Some(next) => choices = next,
            None => return Ok(run),
        }
    }
    unreachable!("the loop has no end")
}

/// So many random walks with so many faults each.
pub(super) fn walk(scenario: Scenario, walks: u64, faults: usize) -> Result<(), String> {
    for seed in 1..=walks {
        let mut choices = Choices::Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        World::new(scenario, faults).run(&mut choices).map_err(|violation| format!("seed {seed}: {violation}"))?;
    }
    Ok(())
}

fn check(scenario: Scenario) {
    let runs = explore(scenario, 3).unwrap();
    println!("{scenario:?}: {runs} runs with three faults");
    assert!(runs > 1_000, "only {runs} runs");
    walk(scenario, 5_000, 12).unwrap();
}

#[test]
fn every_row_gets_there_once_through_crashes_and_wrong_answers() {
    check(Scenario::Network);
}

#[test]
fn every_row_gets_there_once_through_expiry_and_rollback() {
    check(Scenario::Maintenance);
}

#[test]
fn nothing_is_lost_or_twice_when_people_edit_the_property() {
    check(Scenario::People);
}

#[test]
fn every_row_is_in_the_table_or_a_dead_letter_once_when_rows_are_moved_out() {
    check(Scenario::MovingOut);
}

#[test]
fn of_two_copies_of_a_log_one_stops_and_nothing_is_lost() {
    check(Scenario::Copied);
}
