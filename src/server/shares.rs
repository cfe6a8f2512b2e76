//! The memory that connections may hold: what peers have sent and nobody has read yet.
//!
//! A connection gets a share when it is accepted: its window in HTTP/2, its buffer in HTTP/1.1. The first ones get large shares, because a large
//! window is fast; the more there are, the smaller the next one's, down to [`SMALLEST`]. The sum never passes the whole.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// What every connection gets.
pub const SMALLEST: u32 = 32 << 10;
/// The more of what is left goes to the next connection, the sooner later ones get little.
const PART: usize = 16;
const KIB: u32 = 1 << 10;

/// Memory for connections, shared by listeners.
#[derive(Debug)]
pub struct Shares {
    /// One for each connection, of [`SMALLEST`] bytes.
    places: Arc<Semaphore>,
    /// Beside them, in KiB.
    rest: Arc<Semaphore>,
}

/// The share of one connection; goes back when dropped.
#[derive(Debug)]
pub struct Share {
    bytes: u32,
    _held: [Option<OwnedSemaphorePermit>; 2],
}

impl Shares {
    /// Half of `bytes` is kept for the smallest shares: it bounds the number of connections.
    pub fn new(bytes: usize) -> Arc<Shares> {
        let places = (bytes / 2 / SMALLEST as usize).clamp(1, Semaphore::MAX_PERMITS);
        let rest = bytes.saturating_sub(places * SMALLEST as usize) / KIB as usize;
        Arc::new(Shares { places: Arc::new(Semaphore::new(places)), rest: Arc::new(Semaphore::new(rest)) })
    }

    /// A share of at most `most` bytes, or [`SMALLEST`]; waits for a place.
    pub async fn take(&self, most: u32) -> Result<Share, AcquireError> {
        let place = Arc::clone(&self.places).acquire_owned().await?;
        let fair = u32::try_from(self.rest.available_permits() / PART).unwrap_or(u32::MAX);
        let more = fair.min(most.saturating_sub(SMALLEST) / KIB);
        let rest = Arc::clone(&self.rest).try_acquire_many_owned(more).ok();
        let bytes = SMALLEST + if rest.is_some() { more * KIB } else { 0 };
        Ok(Share { bytes, _held: [Some(place), rest] })
    }
}

impl Share {
    pub fn bytes(&self) -> u32 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_sum_of_the_shares_is_never_more_than_the_whole() {
        const MIB: u32 = 1 << 20;
        let shares = Shares::new(128 << 20);
        let mut taken: Vec<Share> = Vec::new();
        for n in 0..2048 {
            taken.push(shares.take(2 * MIB).await.unwrap());
            assert!(n > 16 || taken[n].bytes() == 2 * MIB, "connection {n} got {}", taken[n].bytes());
        }
        assert!(taken.iter().all(|share| (SMALLEST..=2 * MIB).contains(&share.bytes())));
        assert!(taken.iter().map(|share| share.bytes() as usize).sum::<usize>() <= 128 << 20);
        let mut next = std::pin::pin!(shares.take(MIB));
        assert!(futures_util::poll!(next.as_mut()).is_pending());
        drop(taken);
        assert_eq!(next.await.unwrap().bytes(), MIB);
    }
}
