//! The test of the tests: every naive variant of the protocol that concerns commits is switched on, and the model has to find it.
//!
//! | variant | found by |
//! |---|---|
//! | the twelve below | the model, in the scenario that stands beside it |
//! | positions used again, syncs repeated, early release, forgotten hashes | `wal/tests/sabotage.rs` |

use super::model::{Scenario, explore, walk};
use crate::faults::{self, Naive};

/// The violation that the model finds.
fn check(naive: Naive, scenario: Scenario, expected: &str) {
    let found = faults::with(Some(naive), || {
        explore(scenario, 1).and_then(|_| explore(scenario, 2)).and_then(|_| walk(scenario, 20_000, 12).map(|()| 0))
    });
    match found {
        Err(violation) => {
            println!("{}: {violation}", naive.name());
            assert!(violation.contains(expected), "{}: expected `{expected}`, found {violation}", naive.name());
        }
        Ok(_) => panic!("{} is not found by the model", naive.name()),
    }
}

#[test]
fn sending_again_after_an_unknown_outcome_is_found() {
    check(Naive::ResendAfterUnknown, Scenario::Network, "twice");
}

#[test]
fn sending_again_after_a_conflict_is_found() {
    check(Naive::ResendAfterConflict, Scenario::Network, "twice");
}

#[test]
fn believing_the_local_record_only_is_found() {
    check(Naive::LocalRecordOnly, Scenario::Network, "twice");
}

#[test]
fn a_watermark_in_a_second_commit_is_found() {
    check(Naive::WatermarkInSecondCommit, Scenario::Network, "twice");
}

#[test]
fn rebasing_at_the_commit_is_found() {
    check(Naive::RebaseAtCommit, Scenario::Network, "twice");
}

#[test]
fn a_watermark_in_the_heads_summary_only_is_found() {
    check(Naive::WatermarkInHeadOnly, Scenario::Network, "twice");
}

#[test]
fn a_watermark_in_the_chain_only_is_found() {
    check(Naive::WatermarkInChainOnly, Scenario::Maintenance, "twice");
}

#[test]
fn looking_for_the_range_is_found() {
    check(Naive::RangeLookedFor, Scenario::Network, "twice");
}

#[test]
fn flushing_one_partition_is_found() {
    check(Naive::OnePartitionOnly, Scenario::Network, "lost");
}

#[test]
fn deleting_files_of_an_unknown_outcome_is_found() {
    check(Naive::DeleteUnknownFiles, Scenario::Network, "missing or was written over");
}

#[test]
fn names_from_the_range_are_found() {
    check(Naive::NamesFromRange, Scenario::Network, "missing or was written over");
}

#[test]
fn a_watermark_without_a_commit_id_is_found() {
    check(Naive::WatermarkWithoutCommit, Scenario::Copied, "lost");
}
