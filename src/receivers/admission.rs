//! The byte budget for requests in memory: [`Admission`], and the share of one request in it, a [`MemoryPermit`].
//!
//! A receiver asks before it reads, and again before a buffer grows. Nothing waits here: a sender that is told "later" at once can go to
//! another replica, and a queue of waiting senders would be memory too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::ByteSize;
use crate::server::Shares;

/// What is asked for per byte of an inflated body: one for the byte itself, which stays until the reply, and one for what is made of it.
/// That is, while requests wait for the log to be synced, their entries in it, which are smaller than their bodies. Records and columns can be
/// larger, but live only while a thread works on them: they are bounded by threads, not by requests.
pub const PER_BODY_BYTE: usize = 2;

/// The budget, shared by all receivers of a process; and half as much beside it for what their connections hold before it is read.
#[derive(Debug)]
pub struct Admission {
    budget: usize,
    held: AtomicUsize,
    connections: Arc<Shares>,
}

/// A share of the budget; goes back when dropped.
#[derive(Debug)]
pub struct MemoryPermit {
    admission: Arc<Admission>,
    bytes: usize,
}

/// Why memory was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shortage {
    /// Others hold it: the same request can be taken later.
    #[error("the memory for requests is in use")]
    Now,
    /// More than the whole budget: it can never be taken.
    #[error("the request needs more memory than the {budget} bytes that all requests may hold")]
    Ever { budget: usize },
}

impl Admission {
    pub fn new(budget: ByteSize) -> Admission {
        let budget = budget.in_memory();
        Admission { budget, held: AtomicUsize::new(0), connections: Shares::new(budget / 2) }
    }

    /// Bytes that all requests together may hold.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// The memory of connections.
    pub fn connections(&self) -> &Arc<Shares> {
        &self.connections
    }

    /// Bytes that are held now; never more than the budget.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes `bytes` of the budget, or nothing.
    pub fn admit(self: &Arc<Self>, bytes: usize) -> Result<MemoryPermit, Shortage> {
        let mut permit = MemoryPermit { admission: Arc::clone(self), bytes: 0 };
        permit.cover(bytes)?;
        Ok(permit)
    }
}

impl MemoryPermit {
    /// The bytes of this share.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that a share can have at most.
    pub fn budget(&self) -> usize {
        self.admission.budget
    }

    /// Grows or shrinks the share to `bytes`. A refusal leaves it as it was.
    pub fn cover(&mut self, bytes: usize) -> Result<(), Shortage> {
        let Admission { budget, held, .. } = &*self.admission;
        if bytes <= self.bytes {
            held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        } else if bytes > *budget {
            return Err(Shortage::Ever { budget: *budget });
        } else {
            let more = bytes - self.bytes;
            held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| held.checked_add(more).filter(|held| held <= budget))
                .map_err(|_| Shortage::Now)?;
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.admission.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn admission(budget: u64) -> Arc<Admission> {
        Arc::new(Admission::new(ByteSize(budget)))
    }

    #[test]
    fn past_the_budget_the_answer_is_later_until_a_permit_goes() {
        let admission = admission(100);
        let first = admission.admit(60).unwrap();
        assert_eq!(admission.admit(41).unwrap_err(), Shortage::Now);
        let second = admission.admit(40).unwrap();
        assert_eq!(admission.held(), 100);
        drop(first);
        assert_eq!(admission.held(), 40);
        drop(second);
        assert_eq!(admission.held(), 0);
    }

    #[test]
    fn more_than_the_whole_budget_is_never_taken() {
        let mut permit = admission(100).admit(10).unwrap();
        assert_eq!(permit.cover(101), Err(Shortage::Ever { budget: 100 }));
        assert_eq!(permit.cover(usize::MAX), Err(Shortage::Ever { budget: 100 }));
        assert_eq!(permit.bytes(), 10);
    }

    proptest! {
        #[test]
        fn what_is_held_is_the_sum_of_the_permits_and_within_the_budget(steps in proptest::collection::vec((0usize..8, 0usize..80), 0..200)) {
            let admission = admission(200);
            let mut permits: Vec<MemoryPermit> = Vec::new();
            for (which, bytes) in steps {
                match permits.get_mut(which) {
                    Some(_) if bytes == 0 => drop(permits.swap_remove(which)),
                    Some(permit) => drop(permit.cover(bytes)),
                    None => permits.extend(admission.admit(bytes)),
                }
                prop_assert_eq!(admission.held(), permits.iter().map(MemoryPermit::bytes).sum::<usize>());
                prop_assert!(admission.held() <= admission.budget());
            }
        }
    }
}
