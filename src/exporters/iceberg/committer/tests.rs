//! Single rules of the committer by hand. Whole histories are in `model`, and what becomes of them when a rule is broken in `sabotage`.

mod day;
mod model;
mod sabotage;

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
        letters: None,
    }
}

fn look(sequence: i64, watermark: Option<Mark>) -> Look {
    let chain: Vec<i64> = (1..=sequence).rev().collect();
    Look { shape: shape(), head: chain.first().copied(), sequence, watermark, mark: watermark, chain, whole: true }
}

fn files(above: u64, to: u64) -> Files {
    Files {
        shape: shape(),
        above: Position(above),
        to: Position(to),
        rows: to - above,
        bytes: 0,
        data: Arc::from(Vec::new()),
        letters: None,
    }
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
fn a_table_that_it_had_before_is_enrolled_anew_where_the_other_one_ended() {
    let now = Instant::now();
    let before = Recorded { table: Uuid::from_u128(2), ..recorded(4, 1) };
    let mut committer = Committer::new(CUT, Some(recorded(7, 3)), Vec::new()).knowing(vec![recorded(7, 3), before]);
    committer.on(Event::Tick, now);
    let back = Look { shape: Shape { table: Uuid::from_u128(2), ..shape() }, ..look(3, Some(mark(4, 1))) };
    let Step::Journal(intent) = committer.on(Event::Looked { look: Ok(back), fresh: fresh(0) }, now) else {
        panic!("expected the enrolling intent")
    };
    assert_eq!((intent.above, intent.to), (Position(7), Position(7)));
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
fn a_denied_look_is_tried_again_ever_less_often_until_the_credentials_are_good() {
    let mut now = Instant::now();
    let mut committer = Committer::new(CUT, recorded(0, 3).into(), Vec::new());
    committer.on(Event::Tick, now);
    let mut waits = Vec::new();
    for _ in 0..20 {
        let denied = Event::Looked { look: Err(CatalogError::Denied("401".into())), fresh: fresh(0) };
        let Step::Wait(until) = committer.on(denied, now) else { panic!("expected to wait") };
        assert!(committer.trouble().is_some_and(|trouble| trouble.contains("401")));
        waits.push(until - now);
        now = until;
        assert!(matches!(committer.on(Event::Tick, now), Step::Look));
    }
    assert!(waits.is_sorted() && waits[19] >= Duration::from_secs(10), "{waits:?}");
    let step = committer.on(Event::Looked { look: Ok(look(1, Some(mark(0, 3)))), fresh: fresh(1) }, now);
    assert!(matches!(step, Step::Wait(_)), "{step:?}");
    assert_eq!(committer.trouble(), None);
}

#[test]
fn a_denied_commit_keeps_its_files() {
    let (first, then) = after(Answer::Denied("403".to_owned()));
    assert!(matches!(first, Step::Wait(_)) && matches!(then, Step::Look));
    let now = Instant::now();
    let (mut committer, _) = flushing(recorded(0, 3), Vec::new(), look(1, Some(mark(0, 3))), now);
    committer.on(Event::Encoded(Ok(files(0, 5))), now);
    committer.on(Event::Looked { look: Ok(look(1, Some(mark(0, 3)))), fresh: fresh(1) }, now);
    committer.on(Event::Journalled, now);
    let Step::Wait(until) = committer.on(Event::Answered(Answer::Denied("403".to_owned())), now) else { panic!("waits") };
    committer.on(Event::Tick, until);
    let step = committer.on(Event::Looked { look: Ok(look(1, Some(mark(0, 3)))), fresh: fresh(2) }, until);
    assert!(matches!(step, Step::Journal(_)), "the same files are committed, not encoded again: {step:?}");
}

#[test]
fn after_a_long_silence_a_look_brings_fresh_keys_before_the_batch_is_encoded() {
    let start = Instant::now();
    let mut committer = Committer::new(CUT, recorded(0, 3).into(), Vec::new());
    committer.on(Event::Tick, start);
    committer.on(Event::Looked { look: Ok(look(1, Some(mark(0, 3)))), fresh: fresh(0) }, start);
    let later = start + Duration::from_mins(6);
    assert!(matches!(committer.on(Event::Flush(held(5, 5, later)), later), Step::Look));
    let step = committer.on(Event::Looked { look: Ok(look(1, Some(mark(0, 3)))), fresh: fresh(1) }, later);
    assert!(matches!(step, Step::Encode(_)), "{step:?}");
}

#[test]
fn a_warehouse_that_refuses_is_asked_ever_less_often_though_the_catalog_answers() {
    let mut now = Instant::now();
    let (mut committer, mut step) = flushing(recorded(0, 3), Vec::new(), look(1, Some(mark(0, 3))), now);
    let mut waits = Vec::new();
    for _ in 0..10 {
        assert!(matches!(step, Step::Encode(_)), "{step:?}");
        let Step::Wait(until) = committer.on(Event::Encoded(Err(EncodeFailure::Denied("403".to_owned()))), now) else {
            panic!("expected to wait")
        };
        waits.push(until - now);
        now = until;
        assert!(matches!(committer.on(Event::Tick, now), Step::Look));
        step = committer.on(Event::Looked { look: Ok(look(1, Some(mark(0, 3)))), fresh: fresh(1) }, now);
        assert!(committer.trouble().is_some(), "it is not well before the rows are in the table");
    }
    assert!(waits.is_sorted() && waits[9] >= Duration::from_secs(10), "{waits:?}");
}

#[test]
fn a_look_that_meets_too_many_requests_waits_as_it_is_told_and_widens() {
    let now = Instant::now();
    let mut committer = Committer::new(CUT, recorded(0, 3).into(), Vec::new());
    committer.on(Event::Tick, now);
    let before = committer.interval();
    let told = Duration::from_mins(1);
    let look = Err(CatalogError::TooMany { retry_after: Some(told), why: "status 429".to_owned() });
    let Step::Wait(until) = committer.on(Event::Looked { look, fresh: fresh(0) }, now) else { panic!("expected to wait") };
    assert_eq!(until, now + told);
    assert!(committer.interval() > before);
}

#[test]
fn an_older_state_than_an_open_attempt_was_built_on_is_not_believed() {
    let now = Instant::now();
    let (committer, step) = flushing(recorded(0, 3), vec![intent(9, 0, 5, Some(4), 4)], look(3, Some(mark(0, 3))), now);
    assert!(matches!(step, Step::Wait(_)));
    assert_eq!(committer.trouble(), None);
}

#[test]
fn an_older_state_that_stays_is_told_and_still_not_believed() {
    let mut now = Instant::now();
    let older = || Event::Looked { look: Ok(look(3, Some(mark(0, 3)))), fresh: fresh(0) };
    let (mut committer, mut step) = flushing(recorded(0, 3), vec![intent(9, 0, 5, Some(4), 4)], look(3, Some(mark(0, 3))), now);
    for _ in 1..STALE_LOOKS {
        assert_eq!(committer.trouble(), None);
        let Step::Wait(until) = step else { panic!("expected to wait, not {step:?}") };
        now = until;
        assert!(matches!(committer.on(Event::Tick, now), Step::Look));
        step = committer.on(older(), now);
    }
    assert!(committer.trouble().is_some_and(|trouble| trouble.contains("restored from a backup")), "{:?}", committer.trouble());
    assert!(matches!(step, Step::Wait(_)));
}

#[test]
fn a_watermark_below_what_was_recorded_is_told_once_a_commit_shows_that_it_was_no_old_answer() {
    for shown in [Some(mark(2, 8)), None] {
        let now = Instant::now();
        let mut committer = Committer::new(CUT, Some(recorded(3, 3)), Vec::new());
        let seen = || Event::Looked { look: Ok(Look { mark: None, ..look(2, shown) }), fresh: fresh(0) };
        committer.on(Event::Flush(held(5, 5, now)), now);
        assert!(matches!(committer.on(seen(), now), Step::Encode(_)));
        committer.on(Event::Encoded(Ok(files(3, 5))), now);
        committer.on(seen(), now);
        committer.on(Event::Journalled, now);
        assert_eq!(committer.take_notice(), None);
        committer.on(Event::Answered(Answer::Committed(Some(Mark { position: Position(5), commit: fresh(0) }))), now);
        let expected = Behind { recorded: Position(3), shown: shown.map(|mark| mark.position) };
        assert_eq!((committer.take_notice(), committer.take_notice()), (Some(expected), None));
    }
}

#[test]
fn a_table_that_another_stream_of_the_log_wrote_is_enrolled_where_the_own_rows_begin() {
    let now = Instant::now();
    let mut committer = Committer::new(CUT, None, Vec::new()).knowing(vec![recorded(7, 3)]);
    committer.on(Event::Tick, now);
    let step = committer.on(Event::Looked { look: Ok(look(3, Some(mark(7, 3)))), fresh: fresh(0) }, now);
    let Step::Journal(intent) = step else { panic!("expected the enrolling intent, not {step:?}") };
    assert_eq!((intent.above, intent.to), (Position(0), Position(0)));
}

#[test]
fn a_table_swapped_away_and_back_is_known_again() {
    let now = Instant::now();
    let other = |watermark| Look { shape: Shape { table: Uuid::from_u128(2), ..shape() }, ..look(1, watermark) };
    let mut committer = Committer::new(CUT, Some(recorded(7, 3)), Vec::new());
    committer.on(Event::Tick, now);
    committer.on(Event::Looked { look: Ok(other(None)), fresh: fresh(0) }, now);
    committer.on(Event::Journalled, now);
    let enrolled = Mark { position: Position(7), commit: fresh(0) };
    assert!(matches!(committer.on(Event::Answered(Answer::Committed(Some(enrolled))), now), Step::Record(_)));
    let Step::Wait(later) = committer.on(Event::Recorded(held(7, 0, now)), now) else { panic!("expected to wait") };
    committer.on(Event::Tick, later + LOOK_SERVES);
    committer.on(Event::Flush(held(8, 1, now)), later);
    let step = committer.on(Event::Looked { look: Ok(look(5, Some(mark(7, 3)))), fresh: fresh(1) }, later);
    assert!(matches!(step, Step::Journal(_)), "{step:?}");
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
