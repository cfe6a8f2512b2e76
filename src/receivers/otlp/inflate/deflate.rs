//! gzip of one or more members, zlib and raw deflate.

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

use super::super::body::Growing;
use super::super::reply::Refusal;

/// What a decoder holds: its window of 32 KiB and its tables.
pub const STATE: usize = 64 << 10;
/// The hint is believed up to this ratio; telemetry compresses three to ten times.
const CREDIBLE_RATIO: usize = 16;
/// Room behind the expected end: the fast loop of inflate wants 258 bytes, and the end is only seen with room left.
const SLACK: usize = 512;
/// A member costs an allocation even if it is empty. `bgzip` makes one per 64 KiB.
pub const MEMBERS: u32 = 4096;

/// One body on its way.
pub struct Deflate {
    input: Bytes,
    read: usize,
    member: Decompress,
    members: u32,
    /// `gzip`, whose members may follow each other; or `deflate`, which ends once.
    name: &'static str,
}

/// The size the last member says it has (ISIZE, RFC 1952), as far as it is credible.
pub fn expected(body: &[u8]) -> usize {
    let says = body.last_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    says.min(body.len().saturating_mul(CREDIBLE_RATIO)).saturating_add(SLACK)
}

/// The header of RFC 1950. Raw deflate begins so only with a stored block whose padding is not zero, which nobody writes.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..] if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

/// A decoder for one member: header, deflate with the largest window, CRC and size.
fn gzip() -> Decompress {
    Decompress::new_gzip(15)
}

impl Deflate {
    pub fn gzip(input: Bytes) -> Deflate {
        Deflate { input, read: 0, member: gzip(), members: 1, name: "gzip" }
    }

    pub fn zlib_or_raw(input: Bytes) -> Deflate {
        let member = Decompress::new(is_zlib(&input));
        Deflate { input, read: 0, member, members: 1, name: "deflate" }
    }

    /// Goes on until the end (`true`), or until there are at least `pause` bytes of output. `expected` is where to begin.
    pub fn run(&mut self, output: &mut Growing, expected: usize, pause: usize) -> Result<bool, Refusal> {
        let mut expected = expected;
        loop {
            let full = output.len() == output.limit();
            if !full && output.spare() == 0 {
                if output.len() >= pause {
                    return Ok(false);
                }
                grow(output, std::mem::take(&mut expected))?;
            }
            // At the limit only the end may come, which writes nothing.
            let mut past = Vec::with_capacity(1);
            let spare = if full { &mut past } else { output.spare_mut() };
            let (read, written) = (self.member.total_in(), self.member.total_out());
            let status = self
                .member
                .decompress_vec(&self.input[self.read..], spare, FlushDecompress::None)
                .map_err(|_| self.damaged("a damaged stream"))?;
            if !past.is_empty() {
                return Err(Refusal::TooLarge { limit: output.limit() });
            }
            let read = self.member.total_in() - read;
            self.read += usize::try_from(read).unwrap_or(usize::MAX).min(self.input.len() - self.read);
            if status == Status::StreamEnd {
                if self.read == self.input.len() {
                    return Ok(true);
                }
                self.next_member()?;
            } else if read == 0 && self.member.total_out() == written {
                return Err(self.damaged("a stream that ends early"));
            }
        }
    }

    fn next_member(&mut self) -> Result<(), Refusal> {
        self.members += 1;
        if self.name != "gzip" {
            return Err(self.damaged("bytes after its end"));
        }
        if self.members > MEMBERS {
            return Err(self.damaged("more than 4096 members"));
        }
        self.member = gzip();
        Ok(())
    }

    fn damaged(&self, found: &'static str) -> Refusal {
        Refusal::Damaged { expected: self.name, found }
    }
}

fn grow(output: &mut Growing, expected: usize) -> Result<(), Refusal> {
    let hint = expected.min(output.limit());
    if hint > 0 && output.reserve_announced(hint).is_ok() && output.spare() > 0 {
        return Ok(());
    }
    output.reserve(output.len() + 1)
}
