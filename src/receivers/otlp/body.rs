//! A body on its way in: read whole, into a buffer that asks the budget before it grows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::reply::Refusal;
use crate::receivers::admission::{Admission, MemoryPermit};

/// From here on a body that came in one piece is kept as it is. A smaller one is copied: the piece shares its memory with its neighbours on
/// the connection, and would hold all of it.
pub const KEEP: usize = 64 << 10;

/// The first step of a buffer whose size nobody has said.
const FIRST: usize = 16 << 10;

/// A buffer that never grows past `limit`, and past what is granted.
#[derive(Debug)]
pub struct Growing {
    bytes: Vec<u8>,
    permit: MemoryPermit,
    limit: usize,
    /// Asked for per byte of the buffer.
    per_byte: usize,
    /// Asked for what is held beside the buffer, in bytes.
    beside: usize,
}

impl Growing {
    pub fn new(permit: MemoryPermit, limit: usize, per_byte: usize, beside: usize) -> Growing {
        Growing { bytes: Vec::new(), permit, limit, per_byte, beside }
    }

    /// Makes room for `total` bytes in all, in geometric steps: doubling, or a quarter more where that is not granted.
    pub fn reserve(&mut self, total: usize) -> Result<(), Refusal> {
        if total > self.limit {
            return Err(Refusal::TooLarge { limit: self.limit });
        }
        let capacity = self.bytes.capacity();
        if total <= capacity {
            return Ok(());
        }
        // A step past what can ever be granted would call a body too large that is not.
        let most = self.permit.budget().saturating_sub(self.beside) / self.per_byte;
        let step = |more: usize| capacity.saturating_add(more).max(FIRST).min(self.limit).min(most).max(total);
        let (double, quarter) = (step(capacity), step(capacity / 4));
        self.grow(double).or_else(|_| self.grow(quarter))
    }

    /// Makes room for exactly `total` bytes, which the sender has announced.
    pub fn reserve_announced(&mut self, total: usize) -> Result<(), Refusal> {
        if total > self.limit {
            return Err(Refusal::TooLarge { limit: self.limit });
        }
        if total > self.bytes.capacity() { self.grow(total) } else { Ok(()) }
    }

    fn grow(&mut self, capacity: usize) -> Result<(), Refusal> {
        let asked = capacity.saturating_mul(self.per_byte).saturating_add(self.beside);
        // Never less than before: what was asked for by an announced length stays until the end.
        self.permit.cover(asked.max(self.permit.bytes()))?;
        self.bytes.try_reserve_exact(capacity - self.bytes.len()).map_err(|_| Refusal::no_memory())
    }

    /// Asks for `more` bytes that are held beside the buffer from now on.
    pub fn hold_beside(&mut self, more: usize) -> Result<(), Refusal> {
        let asked = self.bytes.capacity().saturating_mul(self.per_byte).saturating_add(self.beside).saturating_add(more);
        self.permit.cover(asked.max(self.permit.bytes()))?;
        self.beside = self.beside.saturating_add(more);
        Ok(())
    }

    pub fn extend(&mut self, more: &[u8]) -> Result<(), Refusal> {
        self.reserve(self.bytes.len().saturating_add(more.len()))?;
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that can be written without growing.
    pub fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// The buffer, for a writer that fills `spare()` and no more.
    pub fn spare_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The permit, where the buffer was not needed.
    pub fn into_permit(self) -> MemoryPermit {
        self.permit
    }

    /// The content, and a permit for it alone; what was beside it must be gone by now.
    pub fn finish(mut self) -> (Bytes, MemoryPermit) {
        let needed = self.bytes.capacity() + self.bytes.len() * (self.per_byte - 1);
        // Shrinking is always granted.
        let _ = self.permit.cover(needed.min(self.permit.bytes()));
        (Bytes::from(self.bytes), self.permit)
    }
}

/// The next piece of a body that is not empty; `None` at its end. Trailers are of no interest here.
pub async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Gone)?;
        if let Ok(piece) = frame.into_data()
            && !piece.is_empty()
        {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

/// Reads a body to its end. Memory is asked for its announced length before it is read; without one, as it comes.
pub async fn read(
    body: &mut Incoming,
    admission: &Arc<Admission>,
    limit: usize,
    per_byte: usize,
) -> Result<(Bytes, MemoryPermit), Refusal> {
    let announced = match body.size_hint().exact().map(usize::try_from) {
        Some(Ok(length)) if length <= limit => Some(length),
        Some(_) => return Err(Refusal::TooLarge { limit }),
        None => None,
    };
    let permit = admission.admit(announced.unwrap_or(0).saturating_mul(per_byte))?;
    let mut buffer = Growing::new(permit, limit, per_byte, 0);
    while let Some(piece) = next(body).await? {
        if Some(piece.len()) == announced && piece.len() >= KEEP {
            return Ok((piece, buffer.into_permit()));
        }
        buffer.reserve_announced(announced.unwrap_or(0))?;
        buffer.extend(&piece)?;
    }
    Ok(buffer.finish())
}

/// Bounds a read in time; `None` does not.
pub async fn within<T>(time: Option<Duration>, read: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    match time {
        Some(time) => tokio::time::timeout(time, read).await.map_err(|_| Refusal::TooSlow(time))?,
        None => read.await,
    }
}
