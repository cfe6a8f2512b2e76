//! The committer against a catalog made of a chain, a property and a network that keeps requests: single rules by hand, then every
//! sequence of choices up to a depth, then random walks. Two naive ways show that the verdict can fail.

use std::sync::Arc;

use super::*;

const TABLE: Uuid = Uuid::from_u128(1);
const CUT: Cut = Cut { max_age: Duration::from_mins(1), max_bytes: 1000 };

fn shape() -> Shape {
    Shape { table: TABLE, schema: 0, spec: 0 }
}

fn mark(position: u64, commit: u128) -> Mark {
    Mark { position: Position(position), commit: Uuid::from_u128(commit) }
}

fn recorded(position: u64, commit: u128) -> Recorded {
    Recorded { position: Position(position), commit: Uuid::from_u128(commit), table: TABLE }
}

fn intent(commit: u128, above: u64, to: u64, parent: Option<i64>, sequence: i64) -> Intent {
    Intent {
        commit: Uuid::from_u128(commit),
        table: TABLE,
        above: Position(above),
        to: Position(to),
        parent,
        parent_sequence: sequence,
        files: Vec::new(),
    }
}

fn look(sequence: i64, watermark: Option<Mark>) -> Look {
    let chain: Vec<i64> = (1..=sequence).rev().collect();
    Look { shape: shape(), head: chain.first().copied(), sequence, watermark, mark: watermark, chain, whole: true }
}

fn files(above: u64, to: u64) -> Files {
    Files { shape: shape(), above: Position(above), to: Position(to), rows: to - above, bytes: 0, data: Arc::from(Vec::new()) }
}

fn held(to: u64, rows: u64, oldest: Instant) -> Held {
    Held { to: Position(to), rows, bytes: rows, oldest: (rows > 0).then_some(oldest) }
}

fn fresh(n: u128) -> Uuid {
    Uuid::from_u128(1000 + n)
}

/// A committer that has looked and is told to flush rows up to 5.
fn flushing(recorded: Recorded, intents: Vec<Intent>, seen: Look, now: Instant) -> (Committer, Step) {
    let mut committer = Committer::new(CUT, Some(recorded), intents);
    assert!(matches!(committer.on(Event::Flush(held(5, 5, now)), now), Step::Look));
    let step = committer.on(Event::Looked { look: Ok(seen), fresh: fresh(0) }, now);
    (committer, step)
}

#[test]
fn the_first_commit_to_a_table_is_an_empty_append_that_enrols() {
    let now = Instant::now();
    let mut committer = Committer::new(CUT, None, Vec::new());
    assert!(matches!(committer.on(Event::Tick, now), Step::Look));
    let Step::Journal(intent) = committer.on(Event::Looked { look: Ok(look(0, None)), fresh: fresh(0) }, now) else {
        panic!("expected the enrolling intent")
    };
    assert_eq!((intent.above, intent.to, intent.parent, intent.files.len()), (Position(0), Position(0), None, 0));
    let Step::Send(attempt) = committer.on(Event::Journalled, now) else { panic!("expected to send") };
    assert!(attempt.files.is_none());
}

#[test]
fn a_recreated_table_is_enrolled_where_the_old_one_ended() {
    let now = Instant::now();
    let mut committer = Committer::new(CUT, Some(recorded(7, 3)), vec![intent(9, 7, 8, Some(4), 4)]);
    committer.on(Event::Tick, now);
    let other = Shape { table: Uuid::from_u128(2), ..shape() };
    let seen = Look { shape: other, ..look(0, None) };
    let Step::Journal(intent) = committer.on(Event::Looked { look: Ok(seen), fresh: fresh(0) }, now) else {
        panic!("expected the enrolling intent")
    };
    assert_eq!((intent.table, intent.to), (other.table, Position(7)));
}

#[test]
fn a_commit_goes_encode_look_journal_send_record() {
    let now = Instant::now();
    let (mut committer, step) = flushing(recorded(0, 3), Vec::new(), look(1, Some(mark(0, 3))), now);
    let Step::Encode(batch) = step else { panic!("expected to encode, not {step:?}") };
    assert_eq!((batch.above, batch.to), (Position(0), Position(5)));
    assert!(matches!(committer.on(Event::Encoded(Ok(files(0, 5))), now), Step::Look));
    let Step::Journal(intent) = committer.on(Event::Looked { look: Ok(look(4, Some(mark(0, 3)))), fresh: fresh(1) }, now) else {
        panic!("expected an intent")
    };
    assert_eq!((intent.parent, intent.parent_sequence, intent.commit), (Some(4), 4, fresh(1)));
    let Step::Send(attempt) = committer.on(Event::Journalled, now) else { panic!("expected to send") };
    let ours = Mark { position: attempt.intent.to, commit: attempt.intent.commit };
    assert!(matches!(committer.on(Event::Answered(Answer::Committed(Some(ours))), now), Step::Record(_)));
    assert!(matches!(committer.on(Event::Recorded(held(5, 0, now)), now), Step::Wait(_)));
    assert_eq!(committer.recorded().map(|recorded| recorded.position), Some(Position(5)));
}

/// The step after an answer, and the one after the wait.
fn after(answer: Answer) -> (Step, Step) {
    let now = Instant::now();
    let (mut committer, _) = flushing(recorded(0, 3), Vec::new(), look(1, Some(mark(0, 3))), now);
    committer.on(Event::Encoded(Ok(files(0, 5))), now);
    committer.on(Event::Looked { look: Ok(look(1, Some(mark(0, 3)))), fresh: fresh(1) }, now);
    committer.on(Event::Journalled, now);
    let step = committer.on(Event::Answered(answer), now);
    let Step::Wait(until) = step else { return (step.clone(), step) };
    (step, committer.on(Event::Tick, until))
}

#[test]
fn any_answer_but_committed_is_followed_by_a_look() {
    for answer in [
        Answer::Conflict,
        Answer::TooMany { retry_after: Some(Duration::from_secs(9)) },
        Answer::Unknown("timed out".to_owned()),
        Answer::Denied("expired".to_owned()),
        Answer::Committed(None),
        Answer::Committed(Some(mark(5, 77))),
    ] {
        let (first, then) = after(answer.clone());
        assert!(matches!(first, Step::Wait(_)) && matches!(then, Step::Look), "{answer:?}: {first:?}, {then:?}");
    }
    assert!(matches!(after(Answer::Refused("no such schema".to_owned())).0, Step::Stop(Reason::Refused(_))));
}

#[test]
fn retry_after_is_not_overridden_by_a_flush() {
    let now = Instant::now();
    let (mut committer, _) = flushing(recorded(0, 3), Vec::new(), look(1, Some(mark(0, 3))), now);
    committer.on(Event::Encoded(Ok(files(0, 5))), now);
    committer.on(Event::Looked { look: Ok(look(1, Some(mark(0, 3)))), fresh: fresh(1) }, now);
    committer.on(Event::Journalled, now);
    let told = Duration::from_mins(5);
    committer.on(Event::Answered(Answer::TooMany { retry_after: Some(told) }), now);
    let Step::Wait(until) = committer.on(Event::Flush(held(5, 5, now)), now) else { panic!("expected to wait") };
    assert_eq!(until, now + told);
}

#[test]
fn the_second_denial_in_a_row_stops_the_table() {
    let now = Instant::now();
    let mut committer = Committer::new(CUT, None, Vec::new());
    committer.on(Event::Tick, now);
    let denied = || Event::Looked { look: Err(CatalogError::Denied("401".to_owned())), fresh: fresh(0) };
    let Step::Wait(until) = committer.on(denied(), now) else { panic!("expected to try once more") };
    assert!(matches!(committer.on(Event::Tick, until), Step::Look));
    assert!(matches!(committer.on(denied(), until), Step::Stop(Reason::Catalog(_))));
    assert!(matches!(committer.on(Event::Tick, until), Step::Stop(_)), "and it stays stopped");
}

#[test]
fn an_older_state_than_an_open_attempt_was_built_on_is_not_believed() {
    let now = Instant::now();
    let (committer, step) = flushing(recorded(0, 3), vec![intent(9, 0, 5, Some(4), 4)], look(3, Some(mark(0, 3))), now);
    assert!(matches!(step, Step::Wait(_)));
    assert_eq!(committer.trouble(), None);
}

#[test]
fn an_open_attempt_that_shows_up_is_recorded() {
    let (_, step) = flushing(recorded(0, 3), vec![intent(9, 0, 4, Some(1), 1)], look(2, Some(mark(4, 9))), Instant::now());
    let Step::Record(applied) = step else { panic!("expected to record, not {step:?}") };
    assert_eq!(applied, recorded(4, 9));
}

#[test]
fn the_mark_on_the_chain_is_enough_when_the_property_is_gone() {
    let seen = Look { watermark: None, ..look(2, Some(mark(4, 9))) };
    let (_, step) = flushing(recorded(0, 3), vec![intent(9, 0, 4, Some(1), 1)], seen, Instant::now());
    assert!(matches!(step, Step::Record(_)), "{step:?}");
}

#[test]
fn a_watermark_that_this_log_does_not_know_fences_the_table() {
    for known in [Some(recorded(0, 3)), None] {
        let mut committer = Committer::new(CUT, known, Vec::new());
        committer.on(Event::Tick, Instant::now());
        let event = Event::Looked { look: Ok(look(2, Some(mark(4, 77)))), fresh: fresh(0) };
        assert!(matches!(committer.on(event, Instant::now()), Step::Stop(Reason::Fenced(_))));
    }
}

#[test]
fn a_lost_property_with_a_lost_parent_is_ambiguous() {
    let seen = Look { watermark: None, mark: None, chain: vec![9, 8], whole: false, ..look(9, None) };
    let (_, step) = flushing(recorded(0, 3), vec![intent(9, 0, 4, Some(1), 1)], seen.clone(), Instant::now());
    assert!(matches!(step, Step::Stop(Reason::Ambiguous(_))), "{step:?}");
    let (_, step) = flushing(recorded(0, 3), vec![intent(9, 0, 4, Some(8), 8)], seen, Instant::now());
    assert!(matches!(step, Step::Encode(_)), "{step:?}");
}

#[test]
fn a_property_put_back_below_what_is_recorded_is_no_news() {
    let (_, step) = flushing(recorded(3, 3), Vec::new(), look(4, Some(mark(1, 2))), Instant::now());
    let Step::Encode(batch) = step else { panic!("expected to encode, not {step:?}") };
    assert_eq!(batch.above, Position(3));
}

#[test]
fn after_a_reopen_the_first_cut_is_at_the_newest_open_border() {
    let open = vec![intent(8, 0, 2, Some(1), 1), intent(9, 0, 3, Some(1), 1)];
    let (_, step) = flushing(recorded(0, 3), open, look(1, Some(mark(0, 3))), Instant::now());
    let Step::Encode(batch) = step else { panic!("expected to encode, not {step:?}") };
    assert_eq!((batch.above, batch.to), (Position(0), Position(3)));
}

#[test]
fn files_for_another_spec_are_made_again() {
    let now = Instant::now();
    let (mut committer, _) = flushing(recorded(0, 3), Vec::new(), look(1, Some(mark(0, 3))), now);
    committer.on(Event::Encoded(Ok(files(0, 5))), now);
    let seen = Look { shape: Shape { spec: 1, ..shape() }, ..look(1, Some(mark(0, 3))) };
    assert!(matches!(committer.on(Event::Looked { look: Ok(seen), fresh: fresh(1) }, now), Step::Encode(_)));
}

#[test]
fn an_event_out_of_turn_is_answered_by_a_look_and_never_sends() {
    let now = Instant::now();
    for event in [Event::Journalled, Event::Answered(Answer::Committed(Some(mark(9, 9)))), Event::Tick] {
        let (mut committer, _) = flushing(recorded(0, 3), Vec::new(), look(1, Some(mark(0, 3))), now);
        assert!(matches!(committer.on(event.clone(), now), Step::Look), "{event:?}");
    }
}

/// Where the nondeterminism comes from: a script of choices that is counted through, or a generator.
enum Choices {
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
                usize::try_from(*state % options as u64).expect("small")
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

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Ours,
    /// Sends again after an unknown outcome or a conflict, on whatever head it finds.
    ResendsRebased,
    /// Believes that what was sent was applied.
    BelievesInSending,
}

/// Catalog, network, log and journal; the committer is what a crash loses.
struct World {
    way: Way,
    chain: Vec<i64>,
    sequence: i64,
    property: Option<Mark>,
    mark: Option<Mark>,
    rows: Vec<u64>,
    network: Vec<Attempt>,
    log: u64,
    recorded: Option<Recorded>,
    intents: Vec<Intent>,
    committer: Committer,
    start: Instant,
    now: Instant,
    ids: u128,
    faults: usize,
}

impl World {
    fn new(way: Way, faults: usize) -> World {
        World {
            way,
            chain: Vec::new(),
            sequence: 0,
            property: None,
            mark: None,
            rows: Vec::new(),
            network: Vec::new(),
            log: 1,
            recorded: None,
            intents: Vec::new(),
            committer: Committer::new(CUT, None, Vec::new()),
            start: Instant::now(),
            now: Instant::now(),
            ids: 0,
            faults,
        }
    }

    fn apply(&mut self, attempt: &Attempt, parent: Option<i64>) -> bool {
        if self.chain.last().copied() != parent {
            return false;
        }
        self.append();
        let mark = Mark { position: attempt.intent.to, commit: attempt.intent.commit };
        self.property = Some(mark);
        self.mark = Some(mark);
        if attempt.files.is_some() {
            self.rows.extend(attempt.intent.above.0 + 1..=attempt.intent.to.0);
        }
        true
    }

    fn append(&mut self) {
        self.sequence += 1;
        self.chain.push(self.sequence);
    }

    fn seen(&self) -> Look {
        let whole = self.chain.first().is_none_or(|first| *first == 1);
        Look {
            shape: shape(),
            head: self.chain.last().copied(),
            sequence: self.sequence,
            watermark: self.property,
            mark: self.mark,
            chain: self.chain.clone(),
            whole,
        }
    }

    fn held(&self) -> Held {
        let from = self.recorded.as_ref().map_or(0, |recorded| recorded.position.0);
        held(self.log, self.log.saturating_sub(from), self.start)
    }

    fn crash(&mut self) -> Event {
        self.committer = Committer::new(CUT, self.recorded.clone(), self.intents.clone());
        Event::Held(self.held())
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

    fn send(&mut self, attempt: &Attempt, choices: &mut Choices) -> Event {
        let ours = Mark { position: attempt.intent.to, commit: attempt.intent.commit };
        let fault = self.fault(choices, 6);
        // 4: held on the way, no answer; 5: held on the way, crash.
        let applied = !matches!(fault, 4 | 5) && self.apply(attempt, attempt.intent.parent);
        // 6: delivered twice.
        if matches!(fault, 4..=6) {
            self.network.push(attempt.clone());
        }
        let answer = match fault {
            0 | 6 if applied => Answer::Committed(Some(ours)),
            1 | 4 => Answer::Unknown("no answer".to_owned()),
            3 | 5 => return self.crash(),
            // 2: a conflict although applied.
            _ => Answer::Conflict,
        };
        match (self.way, &answer) {
            (Way::ResendsRebased, Answer::Unknown(_) | Answer::Conflict) => self.resend(attempt),
            (Way::BelievesInSending, _) => Event::Answered(Answer::Committed(Some(ours))),
            _ => Event::Answered(answer),
        }
    }

    fn resend(&mut self, attempt: &Attempt) -> Event {
        let head = self.chain.last().copied();
        self.apply(attempt, head);
        Event::Answered(Answer::Committed(Some(Mark { position: attempt.intent.to, commit: attempt.intent.commit })))
    }

    /// Others act while the committer waits or looks.
    fn meddle(&mut self, choices: &mut Choices) {
        match self.fault(choices, 3) {
            1 if !self.network.is_empty() => {
                let late = self.network.remove(0);
                self.apply(&late, late.intent.parent);
            }
            2 => self.append(),
            3 if self.chain.len() > 1 => {
                let keep = self.chain.split_off(self.chain.len() - 1);
                self.chain = keep;
            }
            _ => {}
        }
    }

    fn perform(&mut self, step: Step, choices: &mut Choices) -> Event {
        match step {
            Step::Wait(until) => {
                self.now = self.now.max(until.min(self.now + Duration::from_secs(61)));
                if self.log < 3 {
                    self.log += 1;
                }
                self.meddle(choices);
                Event::Held(self.held())
            }
            Step::Look => {
                self.meddle(choices);
                self.ids += 1;
                let look = match self.fault(choices, 1) {
                    0 => Ok(self.seen()),
                    _ => Err(CatalogError::Unreachable("down".to_owned())),
                };
                Event::Looked { look, fresh: fresh(self.ids) }
            }
            Step::Encode(batch) => Event::Encoded(match self.fault(choices, 1) {
                0 => Ok(files(batch.above.0, batch.to.0)),
                _ => Err(EncodeFailure::Passing("disk full".to_owned())),
            }),
            Step::Journal(intent) => match self.fault(choices, 2) {
                0 => {
                    self.intents.push(intent);
                    Event::Journalled
                }
                1 => Event::Failed("disk full".to_owned()),
                _ => {
                    self.intents.push(intent);
                    self.crash()
                }
            },
            Step::Send(attempt) => self.send(&attempt, choices),
            Step::Record(recorded) => match self.fault(choices, 2) {
                0 => {
                    self.recorded = Some(recorded);
                    self.intents.clear();
                    Event::Recorded(self.held())
                }
                1 => self.crash(),
                _ => {
                    self.recorded = Some(recorded);
                    self.intents.clear();
                    self.crash()
                }
            },
            Step::Stop(reason) => panic!("stopped: {reason}"),
        }
    }

    /// Runs until all is committed and no request is on the way.
    fn run(&mut self, choices: &mut Choices) -> Result<(), String> {
        let mut event = Event::Held(self.held());
        for _ in 0..400 {
            let step = self.committer.on(event, self.now);
            let settled = self.log == 3 && self.recorded.as_ref().is_some_and(|recorded| recorded.position == Position(3));
            if settled && matches!(step, Step::Wait(_)) {
                if self.network.is_empty() {
                    break;
                }
                let late = self.network.remove(0);
                self.apply(&late, late.intent.parent);
            }
            event = self.perform(step, choices);
        }
        self.rows.sort_unstable();
        if self.rows == [1, 2, 3] { Ok(()) } else { Err(format!("the table holds {:?}", self.rows)) }
    }
}

/// Every sequence of choices with so many faults; the number of runs, or the first violation.
fn explore(way: Way, faults: usize) -> Result<usize, String> {
    let mut choices = Choices::Script { taken: Vec::new(), at: 0 };
    for run in 1.. {
        World::new(way, faults).run(&mut choices)?;
        let Choices::Script { taken, .. } = choices else { unreachable!("a script") };
        match Choices::advance(taken) {
            Some(next) => choices = next,
            None => return Ok(run),
        }
    }
    unreachable!("the loop has no end")
}

#[test]
fn every_row_is_in_the_table_once_whatever_two_faults_happen() {
    let runs = explore(Way::Ours, 2).expect("no violation");
    assert!(runs > 1_000, "only {runs} runs");
}

#[test]
fn every_row_is_in_the_table_once_on_random_walks_with_many_faults() {
    for seed in 1..20_000u64 {
        let mut choices = Choices::Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        World::new(Way::Ours, 12).run(&mut choices).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn sending_again_without_a_look_writes_rows_twice() {
    assert!(explore(Way::ResendsRebased, 2).is_err());
}

#[test]
fn believing_in_what_was_sent_loses_rows() {
    assert!(explore(Way::BelievesInSending, 2).is_err());
}
