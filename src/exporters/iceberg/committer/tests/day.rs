//! A day of many replicas on one catalog, in virtual time: the shipped committer, cut and interval, and a catalog with the limits of Cloudflare's.
//!
//! The catalog takes 20 commits a minute of a table and 120 writes a minute in all (sliding minutes; a lost race counts, a refusal does not), refuses
//! with `Retry-After: 60`, and commits to each table once an hour by itself, as its compaction does. A look takes 0.1 to 0.5 s, an encoding 0.5 to
//! 2 s, a commit 0.3 to 1.5 s. Every replica gets a row of every table each second.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;

const TABLES: usize = 4;
const DAY: u64 = 24 * 3600;
const MINUTE: Duration = Duration::from_mins(1);
const COMMITS: usize = 20;
const WRITES: usize = 120;

/// What a day came to.
#[derive(Debug, Default)]
struct Day {
    commits: u64,
    conflicts: u64,
    refusals: u64,
    looks: u64,
    /// Sends of a replica before its `Retry-After` was over.
    hasty: u64,
    /// Rows by the seconds they waited to be in the table.
    waited: Vec<u64>,
    /// Rows not in the table at the end.
    held: u64,
}

impl Day {
    /// Seconds within which so many of a hundred rows were in the table.
    fn freshness(&self, percent: u64) -> usize {
        let enough = self.waited.iter().sum::<u64>() * percent / 100;
        let mut rows = 0;
        self.waited
            .iter()
            .take_while(|more| {
                rows += **more;
                rows < enough
            })
            .count()
    }
}

#[derive(Debug)]
struct Replica {
    committer: Committer,
    table: usize,
    /// As the table's property says.
    watermark: Option<Mark>,
    told: Option<Instant>,
}

#[derive(Debug, Default)]
struct TableState {
    version: i64,
    commits: VecDeque<Instant>,
}

#[derive(Debug)]
struct World {
    start: Instant,
    now: Instant,
    random: u64,
    replicas: Vec<Replica>,
    tables: Vec<TableState>,
    writes: VecDeque<Instant>,
    /// When, in which order, to whom.
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    events: Vec<Option<Pending>>,
    order: u64,
    day: Day,
}

/// What is under way for a replica; catalogs answer with what is so at the end.
#[derive(Clone, Debug)]
enum Pending {
    Event(Event),
    Held,
    Look,
    Send(Attempt),
}

impl World {
    fn new(replicas: usize, max_age: Duration) -> World {
        let start = Instant::now();
        let cut = Cut { max_age, max_bytes: u64::MAX };
        let replica = |index: usize| Replica {
            committer: Committer::new(cut, None, Vec::new()),
            table: index % TABLES,
            watermark: None,
            told: None,
        };
        let count = replicas * TABLES;
        let mut world = World {
            start,
            now: start,
            random: 88_172_645_463_325_252,
            replicas: (0..count).map(replica).collect(),
            tables: (0..TABLES).map(|_| TableState::default()).collect(),
            writes: VecDeque::new(),
            queue: BinaryHeap::new(),
            events: vec![None; count],
            order: 0,
            day: Day { waited: vec![0; 7200], ..Day::default() },
        };
        // A rollout: all of them within a minute.
        for index in 0..count {
            let after = Duration::from_millis(world.between(0, 60_000));
            world.schedule(index, after, Pending::Held);
        }
        world
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        from + self.random % (to - from)
    }

    fn schedule(&mut self, replica: usize, after: Duration, pending: Pending) {
        self.order += 1;
        self.events[replica] = Some(pending);
        self.queue.push(Reverse((self.now + after, self.order, replica)));
    }

    /// A row a second: the position is the second.
    fn held(&self, replica: usize) -> Held {
        let to = (self.now - self.start).as_secs().min(DAY);
        let committed = self.replicas[replica].committer.recorded().map_or(0, |recorded| recorded.position.0);
        held(to, to - committed.min(to), self.start + Duration::from_secs(committed + 1))
    }

    fn run(mut self) -> Day {
        let mut hour = 0;
        let end = self.start + Duration::from_secs(DAY) + MINUTE * 30;
        while let Some(Reverse((at, _, replica))) = self.queue.pop() {
            if at > end {
                break;
            }
            self.now = at;
            let passed = (at - self.start).as_secs() / 3600;
            if passed > hour {
                hour = passed;
                self.tables.iter_mut().for_each(|table| table.version += 1);
            }
            let Some(pending) = self.events[replica].take() else { continue };
            let event = self.arrive(replica, pending);
            let now = self.now;
            let step = self.replicas[replica].committer.on(event, now);
            self.perform(replica, step);
        }
        self.day.held = (0..self.replicas.len()).map(|replica| self.held(replica).rows).sum();
        self.day
    }

    fn arrive(&mut self, replica: usize, pending: Pending) -> Event {
        match pending {
            Pending::Event(event) => event,
            Pending::Held => Event::Held(self.held(replica)),
            Pending::Look => {
                self.day.looks += 1;
                let table = &self.tables[self.replicas[replica].table];
                let seen = Look {
                    head: (table.version > 0).then_some(table.version),
                    sequence: table.version,
                    chain: Vec::new(),
                    ..look(0, self.replicas[replica].watermark)
                };
                Event::Looked { look: Ok(seen), fresh: fresh(u128::from(self.order)) }
            }
            Pending::Send(attempt) => Event::Answered(self.send(replica, &attempt)),
        }
    }

    fn send(&mut self, replica: usize, attempt: &Attempt) -> Answer {
        let now = self.now;
        let Replica { table, watermark, told, .. } = &mut self.replicas[replica];
        let table = &mut self.tables[*table];
        for times in [&mut self.writes, &mut table.commits] {
            while times.front().is_some_and(|at| now - *at >= MINUTE) {
                times.pop_front();
            }
        }
        if told.is_some_and(|until| now < until) {
            self.day.hasty += 1;
        }
        if self.writes.len() >= WRITES || table.commits.len() >= COMMITS {
            self.day.refusals += 1;
            *told = Some(now + MINUTE);
            return Answer::TooMany { retry_after: Some(MINUTE) };
        }
        self.writes.push_back(now);
        table.commits.push_back(now);
        if attempt.intent.parent.unwrap_or_default() != table.version {
            self.day.conflicts += 1;
            return Answer::Conflict;
        }
        table.version += 1;
        self.day.commits += 1;
        *watermark = Some(Mark { position: attempt.intent.to, commit: attempt.intent.commit });
        let seconds = (now - self.start).as_secs();
        for position in attempt.intent.above.0 + 1..=attempt.intent.to.0 {
            let waited = usize::try_from(seconds - position).expect("small");
            self.day.waited[waited.min(7199)] += 1;
        }
        Answer::Committed(*watermark)
    }

    fn perform(&mut self, replica: usize, step: Step) {
        let millis = Duration::from_millis;
        let (after, pending) = match step {
            Step::Wait(until) => {
                let rows = self.held(replica).rows;
                let until = until.saturating_duration_since(self.now);
                (if rows == 0 { until.min(Duration::from_secs(1)) } else { until }, Pending::Held)
            }
            Step::Look => (millis(self.between(100, 500)), Pending::Look),
            Step::Encode(batch) => {
                let files = files(batch.above.0, batch.to.0);
                (millis(self.between(500, 2000)), Pending::Event(Event::Encoded(Ok(files))))
            }
            Step::Journal(_) => (millis(5), Pending::Event(Event::Journalled)),
            Step::Send(attempt) => (millis(self.between(300, 1500)), Pending::Send(attempt)),
            Step::Record(recorded) => {
                let to = (self.now - self.start).as_secs().min(DAY);
                let left = held(to, to - recorded.position.0, self.start + Duration::from_secs(recorded.position.0 + 1));
                (millis(5), Pending::Event(Event::Recorded(left)))
            }
            Step::MoveOut(_, why) => panic!("moved out: {why}"),
            Step::Stop(reason) => panic!("stopped: {reason}"),
        };
        self.schedule(replica, after, pending);
    }
}

fn check(replicas: usize, max_age: u64) -> Day {
    let day = World::new(replicas, Duration::from_secs(max_age)).run();
    let sent = day.commits + day.conflicts + day.refusals;
    println!(
        "{replicas} replicas, max_age {max_age} s: {} commits, {} conflicts ({} %), {} refused (429), {} looks; freshness p50 {} s, p99 {} s, worst {} s",
        day.commits,
        day.conflicts,
        day.conflicts * 100 / sent,
        day.refusals,
        day.looks,
        day.freshness(50),
        day.freshness(99),
        day.waited.iter().rposition(|rows| *rows > 0).unwrap_or(0),
    );
    assert_eq!((day.held, day.hasty), (0, 0), "rows not in the table; commits before `Retry-After` was over");
    assert_eq!(day.waited.iter().sum::<u64>(), (replicas * TABLES) as u64 * DAY);
    day
}

#[test]
fn eight_replicas_stay_within_the_limits_of_r2_for_a_day() {
    let day = check(8, 60);
    // Refused are some of those that come at once when all begin.
    assert!(day.refusals < 32 && day.freshness(99) < 150, "{} refused, p99 {} s", day.refusals, day.freshness(99));
}

#[test]
fn replicas_that_ask_for_more_than_the_catalog_takes_settle_below_its_limits() {
    for (replicas, max_age) in [(8, 10), (24, 60)] {
        let day = check(replicas, max_age);
        let sent = day.commits + day.conflicts + day.refusals;
        assert!(day.refusals * 10 < sent, "{} of {sent} were refused", day.refusals);
    }
}

#[test]
fn one_replica_alone_meets_no_conflict_but_the_compaction() {
    let day = check(1, 60);
    assert!(day.conflicts <= 24 * TABLES as u64 && day.freshness(99) < 75, "{} conflicts", day.conflicts);
}
