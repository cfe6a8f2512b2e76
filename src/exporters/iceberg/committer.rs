//! What a table's exporter does next: look, encode, journal, send, record. Pure: one event in, one step out, without I/O, clock or
//! randomness. The rules by number stand in docs/exactly-once.md.
//!
//! ```text
//!            due              files            head, W            synced             answer
//!   Wait ──────────▶ Encode ──────────▶ Look ──────────▶ Journal ─────────▶ Send ──────────▶ Record ──▶ Wait
//!                                        ▲                                   │ anything but "committed"
//!                                        └───────────────────────────────────┘
//! ```
//! The one idea: the rows of a commit are chosen by a watermark that was read from the same version of the table whose head the commit
//! asserts. Of all requests built on one head at most one is ever applied, whoever delays or repeats them.
//!
//! Invariants:
//! - Every `Send` follows a `Look` and a `Journal` of its own, with a commit id of its own; nothing is sent again.
//! - Only a look, or the catalog's own "committed" with our watermark in it, says that a commit happened.
//! - An event that does not answer the last step is answered by a look, which is always right.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::cut::{Cut, Due};
use super::interval::Interval;
use crate::faults::{self, Naive};
use crate::wal::{Held, Intent, Position, Recorded};

mod messages;
#[cfg(test)]
mod tests;

pub use messages::{Answer, Attempt, Batch, Behind, CatalogError, EncodeFailure, Event, Files, Look, Mark, Reason, Shape, Step};

/// Before a batch is encoded the last look may be so old: the keys that the catalog vended with it may not live much longer.
const LOOK_SERVES: Duration = Duration::from_mins(5);
/// Answers in a row that are older than a commit was built on, before that is called a trouble: a cache may lag for some seconds.
const STALE_LOOKS: u32 = 6;
/// How long a table with nothing to do waits before it is asked again.
const NOTHING_TO_DO: Duration = Duration::from_hours(1);

/// The state of one table's commits.
#[derive(Clone, Debug)]
pub struct Committer {
    cut: Cut,
    interval: Interval,
    /// L of the rules: the newest commit known to be applied, for whichever table uuid.
    recorded: Option<Recorded>,
    /// Recorded for other streams and tables; see [`Committer::knowing`].
    earlier: Vec<Recorded>,
    /// Attempts whose outcome nobody has recorded.
    intents: Vec<Intent>,
    held: Held,
    /// The table as last looked at, and when.
    table: Option<Uuid>,
    looked_at: Option<Instant>,
    /// The frozen batch, until it is resolved.
    files: Option<Files>,
    /// Whether an attempt named them.
    named: bool,
    /// Files that no attempt named and that are no longer wanted.
    discarded: Vec<String>,
    flush: Option<Position>,
    trouble: Option<String>,
    /// Looks in a row that rule 12a refused.
    stale_looks: u32,
    /// What the last look showed in the place of the recorded watermark: nothing, or an older one.
    behind: Option<Behind>,
    notice: Option<Behind>,
    /// Rule 22: how long rows wait for a table that cannot be written until they are moved out.
    patience: Option<Duration>,
    /// Sabotage only: the next look is not read.
    blind: bool,
    state: State,
}

/// The step that is under way.
#[derive(Clone, Debug)]
enum State {
    Waiting,
    /// After a failure; `told` is the catalog's own wish, which a flush does not override.
    Backing {
        until: Instant,
        told: bool,
    },
    Looking,
    Encoding,
    Journalling(Attempt),
    Sending(Attempt),
    Recording(Recorded),
    /// Towards dead letters, and what goes on afterwards.
    MovingOut(Recorded, Box<State>),
    Stopped(Reason),
}

impl Committer {
    /// `recorded` and `intents` are what the log's commit journal holds for this table.
    pub fn new(cut: Cut, recorded: Option<Recorded>, intents: Vec<Intent>) -> Committer {
        Committer {
            interval: Interval::new(cut.max_age),
            cut,
            recorded,
            earlier: Vec::new(),
            intents,
            held: Held::default(),
            table: None,
            looked_at: None,
            files: None,
            named: false,
            discarded: Vec::new(),
            flush: None,
            trouble: None,
            stale_looks: 0,
            behind: None,
            notice: None,
            patience: None,
            blind: false,
            state: State::Waiting,
        }
    }

    /// Commits of this log for other streams and to other tables: an exporter that is led to one of those tables, or back to it, is not fenced by
    /// them, and enrols where its own rows begin.
    #[must_use]
    pub fn knowing(mut self, earlier: Vec<Recorded>) -> Committer {
        self.earlier = earlier;
        self
    }

    /// Rows of a table that cannot be written are moved out of the log when the oldest is so old (rule 22); `None` keeps them there.
    #[must_use]
    pub fn moving_out_after(mut self, patience: Option<Duration>) -> Committer {
        self.patience = patience;
        self
    }

    /// What is known to be committed.
    pub fn recorded(&self) -> Option<&Recorded> {
        self.recorded.as_ref()
    }

    /// Whether this log is enrolled with the table as last looked at.
    pub fn enrolled(&self) -> bool {
        self.watermark().is_some()
    }

    /// The failure after which it waits now; `None` while all is well.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// That a commit went through on a table whose watermark was not what this log had recorded; once each time.
    pub fn take_notice(&mut self) -> Option<Behind> {
        self.notice.take()
    }

    /// The present interval between commits.
    pub fn interval(&self) -> Duration {
        self.interval.get()
    }

    /// Takes an event and says what to do next.
    pub fn on(&mut self, event: Event, now: Instant) -> Step {
        match (std::mem::replace(&mut self.state, State::Waiting), event) {
            (State::Stopped(reason), event) => {
                if let Event::Held(held) | Event::Flush(held) = event {
                    self.held = held;
                }
                self.move_out(State::Stopped(reason.clone()), now).unwrap_or_else(|| self.stop(reason))
            }
            (State::MovingOut(recorded, then), Event::MovedOut(held)) => self.moved_out(recorded, *then, held, now),
            (State::MovingOut(_, then), Event::Failed(_)) => self.resume(*then),
            (state, Event::Held(held)) => {
                self.held = held;
                self.go_on(state, now)
            }
            (state, Event::Flush(held)) => {
                self.held = held;
                self.flush = Some(held.to);
                match state {
                    State::Backing { told: false, .. } => self.look(),
                    state => self.go_on(state, now),
                }
            }
            (state, Event::Tick) => self.go_on(state, now),
            (State::Looking, Event::Looked { look, fresh }) => match look {
                Ok(look) => self.looked(&look, fresh, now),
                Err(error @ CatalogError::Unreachable(_)) => self.back_off(Some(error.to_string()), None, now),
                Err(CatalogError::TooMany { retry_after, why }) => {
                    self.interval.refused();
                    self.back_off(Some(CatalogError::TooMany { retry_after, why }.to_string()), retry_after, now)
                }
                Err(error @ CatalogError::Denied(_)) => self.denied(&Reason::Catalog(error), now),
                Err(error) => self.stop(Reason::Catalog(error)),
            },
            (State::Encoding, Event::Encoded(result)) => match result {
                Ok(files) => {
                    self.files = Some(files);
                    self.named = false;
                    self.look()
                }
                Err(error @ EncodeFailure::Passing(_)) => self.back_off(Some(error.to_string()), None, now),
                Err(error @ EncodeFailure::Denied(_)) => self.denied(&Reason::Encoding(error), now),
                Err(error @ EncodeFailure::Lasting(_)) => self.stop(Reason::Encoding(error)),
            },
            (State::Journalling(attempt), Event::Journalled) => {
                self.intents.push(attempt.intent.clone());
                self.named = true;
                self.state = State::Sending(attempt.clone());
                Step::Send(attempt)
            }
            (State::Sending(attempt), Event::Answered(answer)) => self.answered(&attempt, answer, now),
            (State::Recording(recorded), Event::Recorded(held)) => self.resolved(recorded, held, now),
            (_, Event::Failed(why)) => self.back_off(Some(why), None, now),
            _ => self.look(),
        }
    }

    /// W of rule 12f, once the table was looked at and this log is enrolled with it.
    fn watermark(&self) -> Option<Position> {
        let recorded = self.recorded.as_ref()?;
        (Some(recorded.table) == self.table).then_some(recorded.position)
    }

    fn go_on(&mut self, state: State, now: Instant) -> Step {
        match state {
            State::Waiting => self.next(now),
            State::Backing { until, .. } if now < until => {
                self.state = state;
                Step::Wait(until)
            }
            _ => self.look(),
        }
    }

    /// Nothing is under way: cut, or wait until it is time.
    fn next(&mut self, now: Instant) -> Step {
        let Some(above) = self.watermark() else { return self.look() };
        if self.files.is_some() {
            return self.look();
        }
        let open = self.intents.iter().map(|intent| intent.to).max();
        let open = open.filter(|to| *to > above && !faults::is(Naive::RangeLookedFor));
        let flush = self.flush.is_some_and(|to| to > above);
        let due = if self.held.to > above { self.cut.due(&self.held, self.interval.get(), flush, now) } else { Due::Never };
        let to = match (open, due) {
            // Rule 10: either outcome of the newest open attempt ends at the same border.
            (Some(to), _) | (None, Due::Now(to)) => to,
            (None, Due::At(at)) => return self.wait(at),
            (None, Due::Never) => return self.wait(now + NOTHING_TO_DO),
        };
        if self.looked_at.is_none_or(|at| now.saturating_duration_since(at) > LOOK_SERVES) {
            return self.look();
        }
        self.state = State::Encoding;
        let instead_of = std::mem::take(&mut self.discarded);
        Step::Encode(Batch { above, to, max_bytes: self.cut.max_bytes, instead_of })
    }

    /// Rules 12 to 14.
    fn looked(&mut self, look: &Look, fresh: Uuid, now: Instant) -> Step {
        let open = || self.intents.iter().filter(|intent| intent.table == look.shape.table);
        if let Some(newer) = open().find(|intent| look.sequence < intent.parent_sequence) {
            self.stale_looks = self.stale_looks.saturating_add(1);
            let trouble = (self.stale_looks >= STALE_LOOKS).then(|| older_than(newer, look));
            return self.back_off(trouble, None, now);
        }
        self.stale_looks = 0;
        let known = self.recorded.as_ref().filter(|recorded| recorded.table == look.shape.table);
        // What this log recorded for the table under another stream is no news of this one, whose rows below it may not be there.
        let before = self.earlier.iter().filter(|earlier| earlier.table == look.shape.table);
        let news = |mark: &Mark| known.into_iter().chain(before.clone()).all(|known| mark.position > known.position);
        let mut marks: Vec<Mark> = look.watermark.into_iter().chain(look.mark).filter(news).collect();
        marks.retain(|mark| !self.overlooks(mark));
        marks.sort_by_key(|mark| mark.position);
        let ours = |mark: &Mark| open().any(|intent| intent.commit == mark.commit) || faults::is(Naive::WatermarkWithoutCommit);
        if let Some(stranger) = marks.iter().find(|mark| !ours(mark)) {
            return self.stop(Reason::Fenced(*stranger));
        }
        if let Some(applied) = marks.last() {
            return self.record(Recorded { position: applied.position, commit: applied.commit, table: look.shape.table });
        }
        let has_property = !faults::is(Naive::WatermarkInHeadOnly) && !faults::is(Naive::WatermarkInChainOnly);
        if look.watermark.is_none() && known.is_some() && has_property {
            let on_chain = |intent: &Intent| intent.parent.map_or(look.whole, |parent| look.chain.contains(&parent));
            if let Some(lost) = open().find(|intent| !on_chain(intent)) {
                return self.stop(Reason::Ambiguous(lost.commit));
            }
        }
        let enrolled = known.is_some();
        let shown = look.watermark.map_or(Position(0), |mark| mark.position);
        let behind = known.filter(|known| has_property && shown < known.position);
        self.behind = behind.map(|known| Behind { recorded: known.position, shown: look.watermark.map(|mark| mark.position) });
        self.blind = false;
        self.table = Some(look.shape.table);
        self.looked_at = Some(now);
        if self.files.as_ref().is_some_and(|files| files.shape != look.shape || Some(files.above) != self.watermark()) {
            self.discard();
        }
        let (above, to, files) = match &self.files {
            // Rule 13: where the old table ended, or at the start.
            _ if !enrolled => {
                let start = self.recorded.as_ref().map_or(Position(0), |old| old.position);
                (start, start, None)
            }
            Some(files) => (files.above, files.to, Some(files.clone())),
            None => {
                let trouble = self.trouble.take();
                let step = self.next(now);
                if let Step::Wait(_) = step {
                    self.interval.reached();
                } else {
                    // Over when the rows are in the table: a warehouse that refuses them is not asked again at once.
                    self.trouble = trouble;
                }
                return step;
            }
        };
        // Once an open intent lists the files, further attempts of the same batch need not: the journal stays small.
        let unlisted = files.iter().filter(|_| !self.named).flat_map(|files| files.data.iter());
        let paths = unlisted.map(|file| file.file_path().to_owned()).collect();
        let intent = Intent {
            commit: fresh,
            table: look.shape.table,
            above,
            to,
            parent: look.head,
            parent_sequence: look.sequence,
            files: paths,
            letters: files.as_ref().and_then(|files| files.letters),
        };
        self.state = State::Journalling(Attempt { intent: intent.clone(), files });
        Step::Journal(intent)
    }

    /// Rule 15 and the table of answers.
    fn answered(&mut self, attempt: &Attempt, answer: Answer, now: Instant) -> Step {
        let ours = Mark { position: attempt.intent.to, commit: attempt.intent.commit };
        match answer {
            Answer::Committed(Some(mark)) if mark == ours => {
                // Only now it is certain that the look was not an old answer.
                self.notice = self.behind.take();
                self.record(Recorded { position: ours.position, commit: ours.commit, table: attempt.intent.table })
            }
            Answer::Committed(_) => {
                self.back_off(Some("the catalog said committed, but shows another watermark".to_owned()), None, now)
            }
            Answer::Conflict => {
                self.blind = faults::is(Naive::ResendAfterConflict);
                self.interval.lost();
                self.back_off(None, None, now)
            }
            Answer::TooMany { retry_after } => {
                self.interval.refused();
                self.back_off(Some("the catalog asks for fewer commits".to_owned()), retry_after, now)
            }
            Answer::Unknown(why) => {
                self.blind = faults::is(Naive::ResendAfterUnknown);
                if faults::is(Naive::DeleteUnknownFiles) {
                    self.named = false;
                    self.discard();
                }
                self.back_off(Some(format!("the outcome of a commit is not known: {why}")), None, now)
            }
            Answer::Denied(why) => self.denied(&Reason::Catalog(CatalogError::Denied(why.into())), now),
            Answer::Refused(why) => self.stop(Reason::Refused(why)),
        }
    }

    /// Rule 16, when the record is synced.
    fn resolved(&mut self, recorded: Recorded, held: Held, now: Instant) -> Step {
        if self.files.as_ref().is_some_and(|files| files.above < recorded.position || files.shape.table != recorded.table) {
            if self.named {
                self.files = None;
            } else {
                self.discard();
            }
        }
        self.flush = self.flush.filter(|to| *to > recorded.position);
        self.table = Some(recorded.table);
        if let Some(old) = self.recorded.replace(recorded).filter(|old| Some(old.table) != self.table) {
            self.earlier.retain(|earlier| earlier.table != old.table || earlier.position > old.position);
            self.earlier.push(old);
        }
        self.intents.clear();
        self.held = held;
        self.trouble = None;
        self.interval.succeeded();
        self.next(now)
    }

    /// The files are not wanted any more. Those that an attempt named stay: it may yet be applied.
    fn discard(&mut self) {
        if let Some(files) = self.files.take().filter(|_| !self.named) {
            self.discarded.extend(files.data.iter().map(|file| file.file_path().to_owned()));
        }
        self.named = false;
    }

    /// Credentials have expired or were taken away: nothing is written until a look brings good ones. Files that are there serve on.
    fn denied(&mut self, reason: &Reason, now: Instant) -> Step {
        self.back_off(Some(reason.to_string()), None, now)
    }

    /// Sabotage only: news that a naive writer would not see.
    fn overlooks(&self, mark: &Mark) -> bool {
        let ends_elsewhere = self.files.as_ref().is_none_or(|files| files.to != mark.position);
        self.blind || faults::is(Naive::LocalRecordOnly) || (faults::is(Naive::RangeLookedFor) && ends_elsewhere)
    }

    fn look(&mut self) -> Step {
        self.state = State::Looking;
        Step::Look
    }

    fn record(&mut self, recorded: Recorded) -> Step {
        self.state = State::Recording(recorded.clone());
        Step::Record(recorded)
    }

    fn wait(&mut self, until: Instant) -> Step {
        self.state = State::Waiting;
        Step::Wait(until)
    }

    fn back_off(&mut self, trouble: Option<String>, told: Option<Duration>, now: Instant) -> Step {
        let until = now + self.interval.failed(told);
        self.trouble = trouble;
        let backing = State::Backing { until, told: told.is_some() };
        self.move_out(backing.clone(), now).unwrap_or_else(|| self.resume(backing))
    }

    fn resume(&mut self, state: State) -> Step {
        let step = match &state {
            State::Backing { until, .. } => Step::Wait(*until),
            State::Stopped(reason) => Step::Stop(reason.clone()),
            _ => return self.look(),
        };
        self.state = state;
        step
    }

    /// Rule 22: if rows have waited too long for a table that cannot be written, they make room. Never while the outcome of a commit is open, as
    /// its rows may be in the table; and never when another process has the log.
    fn move_out(&mut self, then: State, now: Instant) -> Option<Step> {
        let patience = self.patience?;
        let trouble = self.trouble.clone()?;
        let above = self.recorded.as_ref().map_or(Position(0), |recorded| recorded.position);
        let is_due = self.held.to > above && self.held.oldest.is_some_and(|oldest| oldest + patience <= now);
        let may = self.intents.is_empty() && !matches!(then, State::Stopped(Reason::Fenced(_) | Reason::Ambiguous(_)));
        if !is_due || !may {
            return None;
        }
        // No commit reaches it, so no table will ever show this id.
        let table = self.recorded.as_ref().map_or(Uuid::nil(), |recorded| recorded.table);
        let recorded = Recorded { position: self.held.to, commit: Uuid::nil(), table };
        self.state = State::MovingOut(recorded.clone(), Box::new(then));
        Some(Step::MoveOut(recorded, trouble))
    }

    fn moved_out(&mut self, recorded: Recorded, then: State, held: Held, now: Instant) -> Step {
        self.discard();
        self.flush = self.flush.filter(|to| *to > recorded.position);
        self.recorded = Some(recorded);
        self.held = held;
        match then {
            State::Backing { until, .. } if until <= now => self.look(),
            then => self.resume(then),
        }
    }

    fn stop(&mut self, reason: Reason) -> Step {
        self.trouble = Some(reason.to_string());
        self.state = State::Stopped(reason.clone());
        Step::Stop(reason)
    }
}

/// Rule 12a, when it does not pass.
fn older_than(intent: &Intent, look: &Look) -> String {
    format!(
        "the catalog shows the table at sequence number {}, older than {}, which commit {} was built on: an answer from a cache, or a catalog \
         restored from a backup; if it was restored, stop floe, look for the commit's files in the table (`floe wal inspect` lists them) and run `floe wal resolve`",
        look.sequence, intent.parent_sequence, intent.commit
    )
}
