//! Crash points, failing syncs and naive variants: what the tests of docs/exactly-once.md break on purpose.
//!
//! They are there only with the cargo feature `faults`, which is off by default and in every release; without it each call is nothing.
//! ```text
//! FLOE_CRASH_AT=after_intent      the process aborts when it passes the point for the first time
//! FLOE_CRASH_AT=after_ack:7       … for the seventh time
//! FLOE_FAIL_SYNC_AT=3             the log's third sync, and every later one, fails
//! FLOE_SABOTAGE=local_record_only the protocol is broken in one way; a suite that stays green is worth nothing
//! ```
//! A name that is not known aborts at once: a test of a misspelt point would test nothing.

/// Makes an enum whose variants have a name of their own in the environment.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        #[cfg(any(test, feature = "faults"))]
        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            fn named(name: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

named! {
    /// A moment at which a process may die, in the order in which a request meets them.
    Point {
        /// Its frame is written, not synced.
        AfterAppend = "after_append",
        AfterFsyncBeforeAck = "after_fsync_before_ack",
        AfterAck = "after_ack",
        /// A row group of a data file has gone out.
        DuringUpload = "during_upload",
        AfterUpload = "after_upload",
        AfterIntent = "after_intent",
        /// The catalog has been asked, and has not answered.
        CommitSent = "commit_sent",
        AfterCommitBeforeRecord = "after_commit_before_record",
        AfterRecordBeforeRelease = "after_record_before_release",
        /// One segment is removed, the next one not yet.
        DuringRelease = "during_release",
        AfterSegmentCreate = "after_segment_create",
        /// The last segment's copy is written, and not in its place.
        DuringReopenRewrite = "during_reopen_rewrite",
        /// The empty first commit is applied, and not recorded.
        DuringEnrol = "during_enrol",
        /// Rows that do not fit are in a file, and no intent names it.
        AfterDeadLetter = "after_dead_letter",
        /// The journal says that dead letters are back, and their segment is not in its place.
        DuringReplay = "during_replay",
        /// The segment of a replay is in its place, and its letters are not removed.
        AfterReplay = "after_replay",
        /// The journal's image is written to the other file, not synced.
        DuringCompaction = "during_compaction",
        /// It is synced, and the first file is not marked as left.
        AfterCompaction = "after_compaction",
        /// The requests of a segment are carried over, and it is not removed.
        AfterCarry = "after_carry",
        /// Rows that are moved out are in a file, and no record names it.
        DuringMoveOut = "during_move_out",
        /// Damage is written down and its bytes are kept, and the segment is not rewritten.
        AfterSetAside = "after_set_aside",
        /// A rehomed log is whole, and not in its place.
        DuringRehome = "during_rehome",
    }
}

named! {
    /// A way to do it that looks right and is not: the last table of the protocol.
    Naive {
        ResendAfterUnknown = "resend_after_unknown",
        ResendAfterConflict = "resend_after_conflict",
        LocalRecordOnly = "local_record_only",
        WatermarkInSecondCommit = "watermark_in_second_commit",
        /// Looks, then commits on whatever head it finds.
        RebaseAtCommit = "rebase_at_commit",
        WatermarkInHeadOnly = "watermark_in_head_only",
        WatermarkInChainOnly = "watermark_in_chain_only",
        /// The commit that ends where the batch ends is looked for, instead of a watermark at or above it.
        RangeLookedFor = "range_looked_for",
        OnePartitionOnly = "one_partition_only",
        ReleaseAtFastest = "release_at_fastest",
        ReleaseAtUpload = "release_at_upload",
        DeleteUnknownFiles = "delete_unknown_files",
        NamesFromRange = "names_from_range",
        /// A watermark without a commit id: whoever set it is taken for this log.
        WatermarkWithoutCommit = "watermark_without_commit",
        PositionsAgain = "positions_again",
        RetrySync = "retry_sync",
        HashesInMemory = "hashes_in_memory",
        HashesWithSegment = "hashes_with_segment",
        /// A reader loads the table before it pins the log, and compares nothing.
        ReaderLoadsFirst = "reader_loads_first",
        /// It takes the watermark of another load than the snapshot.
        ReaderLoadsTwice = "reader_loads_twice",
        ReaderBelievesStale = "reader_believes_stale",
    }
}

#[cfg(not(any(test, feature = "faults")))]
mod absent {
    use super::{Naive, Point};

    #[inline]
    pub fn pass(_: Point) {}

    #[inline]
    pub fn is(_: Naive) -> bool {
        false
    }

    #[inline]
    pub fn chosen() -> Option<Naive> {
        None
    }

    #[inline]
    pub fn choose(_: Option<Naive>) {}

    #[inline]
    pub fn sync_fails() -> bool {
        false
    }
}

#[cfg(not(any(test, feature = "faults")))]
pub use absent::{choose, chosen, is, pass, sync_fails};
#[cfg(any(test, feature = "faults"))]
pub use present::{choose, chosen, is, pass, sync_fails, with};

#[cfg(any(test, feature = "faults"))]
mod present {
    use std::cell::Cell;
    use std::io::Write as _;
    use std::process::abort;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Naive, Point};

    /// From the environment, once.
    struct Asked {
        crash: Option<(Point, u64)>,
        /// Passages of that point.
        passed: AtomicU64,
        fail_sync_at: Option<u64>,
        syncs: AtomicU64,
        naive: Option<Naive>,
    }

    thread_local! {
        /// A test's own choice, above the environment's.
        static CHOSEN: Cell<Option<Naive>> = const { Cell::new(None) };
    }

    fn asked() -> &'static Asked {
        static ASKED: OnceLock<Asked> = OnceLock::new();
        ASKED.get_or_init(|| Asked {
            crash: variable("FLOE_CRASH_AT", |text| {
                let (name, times) = text.split_once(':').unwrap_or((text, "1"));
                Some((Point::named(name)?, times.parse().ok()?))
            }),
            passed: AtomicU64::new(0),
            fail_sync_at: variable("FLOE_FAIL_SYNC_AT", |text| text.parse().ok()),
            syncs: AtomicU64::new(0),
            naive: variable("FLOE_SABOTAGE", Naive::named),
        })
    }

    fn variable<T>(name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
        let parsed = parse(&text);
        if parsed.is_none() {
            let _ = writeln!(std::io::stderr(), "{name}={text} is not known");
            abort();
        }
        parsed
    }

    /// Ends the process, as a kill would, if it was asked to end here.
    pub fn pass(point: Point) {
        let asked = asked();
        if let Some((at, times)) = asked.crash
            && at == point
            && asked.passed.fetch_add(1, Ordering::SeqCst) + 1 == times
        {
            let _ = writeln!(std::io::stderr(), "crash at {}", point.name());
            abort();
        }
    }

    /// Whether the protocol is to be broken in this way.
    pub fn is(naive: Naive) -> bool {
        chosen() == Some(naive)
    }

    pub fn chosen() -> Option<Naive> {
        CHOSEN.get().or(asked().naive)
    }

    /// For this thread; a thread that works for another takes over its choice.
    pub fn choose(naive: Option<Naive>) {
        CHOSEN.set(naive);
    }

    /// Breaks the protocol in one way while `work` runs on this thread.
    pub fn with<T>(naive: Option<Naive>, work: impl FnOnce() -> T) -> T {
        let before = CHOSEN.replace(naive);
        let done = work();
        CHOSEN.set(before);
        done
    }

    /// Whether the sync that is about to be made is to fail.
    pub fn sync_fails() -> bool {
        let asked = asked();
        asked.fail_sync_at.is_some_and(|at| asked.syncs.fetch_add(1, Ordering::SeqCst) + 1 >= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_point_or_variant() {
        for point in Point::ALL {
            assert_eq!(Point::named(point.name()), Some(*point));
        }
        for naive in Naive::ALL {
            assert_eq!(Naive::named(naive.name()), Some(*naive));
        }
        assert_eq!(Point::named("after_lunch"), None);
    }

    #[test]
    fn a_choice_lasts_as_long_as_its_work() {
        with(Some(Naive::RetrySync), || assert!(is(Naive::RetrySync) && !is(Naive::PositionsAgain)));
        assert_eq!(chosen(), None);
    }
}
