//! Inflating: gzip of one or more members into one buffer, within the limit and the budget.
//!
//! What a body says of its own size (ISIZE, RFC 1952) is a hint for the first allocation and nothing more.

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use http::{HeaderMap, HeaderName};

use super::body::Growing;
use super::reply::Refusal;
use crate::receivers::admission::{MemoryPermit, PER_BODY_BYTE};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
}

/// The codings in the words of `accept-encoding`.
pub const ACCEPTED: &str = "gzip,identity";

/// Output past this is made on the blocking pool: it takes a worker about a millisecond.
const INLINE: usize = 1 << 20;
/// The hint is believed up to this ratio; telemetry compresses three to ten times.
const CREDIBLE_RATIO: usize = 16;
/// Room behind the expected end: the fast loop of inflate wants 258 bytes, and the end is only seen with room left.
const SLACK: usize = 512;
/// A member costs an allocation even if it is empty. `bgzip` makes one per 64 KiB.
const MEMBERS: u32 = 4096;

impl Coding {
    /// Reads `content-encoding` or `grpc-encoding`.
    pub fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Coding, Refusal> {
        let mut values = headers.get_all(name).iter();
        let coding = match values.next().map(|value| value.as_bytes().trim_ascii()) {
            None | Some(b"") => Coding::Identity,
            Some(word) if word.eq_ignore_ascii_case(b"identity") => Coding::Identity,
            Some(word) if word.eq_ignore_ascii_case(b"gzip") => Coding::Gzip,
            Some(_) => return Err(Refusal::Coding),
        };
        if values.next().is_some() { Err(Refusal::Coding) } else { Ok(coding) }
    }

    /// Memory to ask for per byte as it comes in. A compressed byte is not decoded; its output asks for itself.
    pub fn per_byte(self) -> usize {
        match self {
            Coding::Identity => PER_BODY_BYTE,
            Coding::Gzip => 1,
        }
    }

    /// The inflated body, and a permit for it alone.
    pub async fn inflate(self, body: Bytes, permit: MemoryPermit, limit: usize) -> Result<(Bytes, MemoryPermit), Refusal> {
        if self == Coding::Identity {
            return Ok((body, permit));
        }
        let expected = expected(&body);
        let mut inflater = Inflater::new(body, permit, limit, expected);
        if expected > INLINE || !inflater.run(INLINE)? {
            let rest = tokio::task::spawn_blocking(move || inflater.run(usize::MAX).map(|_| inflater));
            inflater = rest.await.map_err(|_| Refusal::Fault)??;
        }
        Ok(inflater.finish())
    }
}

/// The size the last member says it has, as far as it is credible.
fn expected(body: &[u8]) -> usize {
    let says = body.last_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    says.min(body.len().saturating_mul(CREDIBLE_RATIO)).saturating_add(SLACK)
}

/// Inflates in one or more runs.
struct Inflater {
    input: Bytes,
    read: usize,
    member: Decompress,
    members: u32,
    expected: usize,
    output: Growing,
}

impl Inflater {
    fn new(input: Bytes, permit: MemoryPermit, limit: usize, expected: usize) -> Inflater {
        let output = Growing::new(permit, limit, PER_BODY_BYTE, input.len());
        Inflater { input, read: 0, member: gzip(), members: 1, expected, output }
    }

    /// Goes on until the end (`true`), or until there are at least `pause` bytes of output.
    fn run(&mut self, pause: usize) -> Result<bool, Refusal> {
        loop {
            let full = self.output.len() == self.output.limit();
            if !full && self.output.spare() == 0 {
                if self.output.len() >= pause {
                    return Ok(false);
                }
                self.grow()?;
            }
            // At the limit only the end may come, which writes nothing.
            let mut past = Vec::with_capacity(1);
            let output = if full { &mut past } else { self.output.spare_mut() };
            let (read, written) = (self.member.total_in(), self.member.total_out());
            let status = self
                .member
                .decompress_vec(&self.input[self.read..], output, FlushDecompress::None)
                .map_err(|_| Refusal::invalid("expected gzip, found a damaged stream"))?;
            if !past.is_empty() {
                return Err(Refusal::TooLarge { limit: self.output.limit() });
            }
            let read = self.member.total_in() - read;
            self.read += usize::try_from(read).unwrap_or(usize::MAX).min(self.input.len() - self.read);
            if status == Status::StreamEnd {
                if self.read == self.input.len() {
                    return Ok(true);
                }
                self.next_member()?;
            } else if read == 0 && self.member.total_out() == written {
                return Err(Refusal::invalid("expected gzip, found a stream that ends early"));
            }
        }
    }

    fn grow(&mut self) -> Result<(), Refusal> {
        let hint = std::mem::take(&mut self.expected).min(self.output.limit());
        if hint > 0 && self.output.reserve_announced(hint).is_ok() && self.output.spare() > 0 {
            return Ok(());
        }
        self.output.reserve(self.output.len() + 1)
    }

    fn next_member(&mut self) -> Result<(), Refusal> {
        self.members += 1;
        if self.members > MEMBERS {
            return Err(Refusal::invalid("expected gzip of at most 4096 members, found more"));
        }
        self.member = gzip();
        Ok(())
    }

    fn finish(self) -> (Bytes, MemoryPermit) {
        drop(self.input);
        self.output.finish()
    }
}

/// A decoder for one member: header, deflate with the largest window, CRC and size.
fn gzip() -> Decompress {
    Decompress::new_gzip(15)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::config::ByteSize;
    use crate::receivers::admission::Admission;

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut encoder =
            flate2::GzBuilder::new().filename("a name").comment("a comment").write(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Inflates with a limit of 1 MiB and pauses every `pause` bytes.
    fn inflate(packed: &[u8], expected: usize, pause: usize) -> Result<Bytes, Refusal> {
        let admission = Arc::new(Admission::new(ByteSize::mib(8)));
        let mut inflater = Inflater::new(Bytes::copy_from_slice(packed), admission.admit(packed.len())?, 1 << 20, expected);
        let mut target = pause;
        while !inflater.run(target)? {
            target += pause;
        }
        let (bytes, permit) = inflater.finish();
        assert!(permit.bytes() >= bytes.len() * PER_BODY_BYTE);
        drop(permit);
        assert_eq!(admission.held(), 0);
        Ok(bytes)
    }

    fn check(plain: &[u8], packed: &[u8]) {
        let admits = (packed.len(), plain.len());
        for hint in [0, 1, plain.len(), expected(packed), usize::MAX] {
            for pause in [1, 4096, usize::MAX] {
                assert!(inflate(packed, hint, pause).unwrap() == plain, "{admits:?}, hint {hint}, pause {pause}");
            }
        }
    }

    #[test]
    fn one_member_and_many_are_inflated_whatever_the_hint_says() {
        let text = b"the same words, the same words, ".repeat(20_000);
        check(b"", &member(b""));
        check(b"x", &member(b"x"));
        check(&text, &member(&text));
        check(&text, &text.chunks(100_000).flat_map(member).collect::<Vec<u8>>());
    }

    #[test]
    fn exactly_the_limit_fits_and_one_byte_more_does_not() {
        check(&vec![7; 1 << 20], &member(&vec![7; 1 << 20]));
        check(&vec![7; 1 << 20], &[member(&vec![7; 1 << 20]), member(b"")].concat());
        for packed in [member(&vec![7; (1 << 20) + 1]), [member(&vec![7; 1 << 20]), member(b"x")].concat()] {
            assert!(matches!(inflate(&packed, expected(&packed), usize::MAX), Err(Refusal::TooLarge { .. })));
        }
    }

    #[test]
    fn a_size_that_is_not_true_reserves_little_and_is_refused_at_the_end() {
        let mut packed = member(b"short");
        let end = packed.len() - 4;
        packed[end..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(expected(&packed) < 2000);
        assert!(matches!(inflate(&packed, expected(&packed), usize::MAX), Err(Refusal::Invalid(_))));
    }

    #[test]
    fn a_stream_cut_at_any_byte_is_invalid() {
        let packed = [member(b"one member"), member(&b"and another ".repeat(50))].concat();
        let border = member(b"one member").len();
        for end in (0..packed.len()).filter(|end| *end != border) {
            assert!(matches!(inflate(&packed[..end], 0, usize::MAX), Err(Refusal::Invalid(_))), "cut at {end}");
        }
    }

    #[test]
    fn a_flipped_bit_never_makes_other_bytes_of_it() {
        let plain = b"a body that is packed, and packed well, as a body is".repeat(3);
        let packed = member(&plain);
        for bit in 0..packed.len() * 8 {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match inflate(&flipped, 0, usize::MAX) {
                Ok(bytes) => assert_eq!(bytes, plain[..], "bit {bit}"),
                Err(refusal) => assert!(matches!(refusal, Refusal::Invalid(_)), "bit {bit}: {refusal}"),
            }
        }
    }

    #[test]
    fn what_comes_after_the_last_member_and_too_many_members_are_invalid() {
        let garbage = [member(b"x"), b"garbage".to_vec()].concat();
        assert!(matches!(inflate(&garbage, 0, usize::MAX), Err(Refusal::Invalid(_))));
        let empty = member(b"");
        let members: Vec<u8> = (0..=MEMBERS).flat_map(|_| empty.clone()).collect();
        assert!(matches!(inflate(&members, 0, usize::MAX), Err(Refusal::Invalid(_))));
    }
}
