//! Inflating: gzip, deflate, zstd and snappy into one buffer, within the limit and the budget.
//!
//! | file | what it holds |
//! |---|---|
//! | `deflate` | gzip of one or more members, zlib, raw deflate |
//! | `zstd` | frames of zstd, with a bound on their window |
//! | `snappy` | a block, or the framed format |
//!
//! What a body says of its own size is a hint for the first allocation and nothing more, unless the format itself bounds what it can say.
//! What a decoder holds beside its output is asked for before it is held, too.

mod deflate;
mod snappy;
#[cfg(test)]
mod tests;
mod zstd;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use self::deflate::Deflate;
use self::snappy::Snappy;
use self::zstd::Zstd;
use super::body::Growing;
use super::reply::Refusal;
use crate::receivers::admission::{MemoryPermit, PER_BODY_BYTE};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    /// With the header of zlib (RFC 9110, 8.4.1.2), or without it, as some clients send it.
    Deflate,
    Zstd,
    /// A block, or the framed format: their first bytes differ, and senders name both `snappy`.
    Snappy,
}

/// The codings in the words of `accept-encoding`.
pub const ACCEPTED: &str = "gzip,zstd,deflate,snappy,identity";

/// Output past this is made on the blocking pool: it takes a worker about a millisecond.
const INLINE: usize = 1 << 20;

impl Coding {
    /// Reads `content-encoding` or `grpc-encoding`: one coding, in one header or among `identity`.
    pub fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Coding, Refusal> {
        let mut coding = Coding::Identity;
        let words = headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        for word in words.map(<[u8]>::trim_ascii).filter(|word| !word.is_empty()) {
            match Coding::named(word) {
                Some(Coding::Identity) => {}
                Some(named) if coding == Coding::Identity => coding = named,
                _ => return Err(Refusal::Coding),
            }
        }
        Ok(coding)
    }

    /// With the second names of RFC 9110 and of the Collector's confighttp.
    fn named(word: &[u8]) -> Option<Coding> {
        match word.to_ascii_lowercase().as_slice() {
            b"identity" => Some(Coding::Identity),
            b"gzip" | b"x-gzip" => Some(Coding::Gzip),
            b"deflate" | b"zlib" => Some(Coding::Deflate),
            b"zstd" => Some(Coding::Zstd),
            b"snappy" | b"x-snappy-framed" => Some(Coding::Snappy),
            _ => None,
        }
    }

    /// Memory to ask for per byte as it comes in. A compressed byte is not decoded; its output asks for itself.
    pub fn per_byte(self) -> usize {
        if self == Coding::Identity { PER_BODY_BYTE } else { 1 }
    }

    /// The inflated body, and a permit for it alone.
    pub async fn inflate(self, body: Bytes, permit: MemoryPermit, limit: usize) -> Result<(Bytes, MemoryPermit), Refusal> {
        let Some(mut inflater) = Inflater::new(self, &body, permit, limit) else { return Err(Refusal::Fault) };
        if let Decoder::Identity = inflater.decoder {
            return Ok((body, inflater.output.into_permit()));
        }
        drop(body);
        if inflater.expected > INLINE || !inflater.run(INLINE)? {
            let rest = tokio::task::spawn_blocking(move || inflater.run(usize::MAX).map(|_| inflater));
            inflater = rest.await.map_err(|_| Refusal::Fault)??;
        }
        Ok(inflater.finish())
    }
}

/// Inflates in one or more runs.
struct Inflater {
    decoder: Decoder,
    /// The size that the body says it has, as far as that is credible; 0 if it says none.
    expected: usize,
    output: Growing,
}

enum Decoder {
    Identity,
    Deflate(Deflate),
    Zstd(Zstd),
    Snappy(Snappy),
}

impl Inflater {
    /// `None` only where a decoder finds no memory.
    fn new(coding: Coding, input: &Bytes, permit: MemoryPermit, limit: usize) -> Option<Inflater> {
        let (decoder, expected, beside) = match coding {
            Coding::Identity => (Decoder::Identity, 0, 0),
            Coding::Gzip => (Decoder::Deflate(Deflate::gzip(input.clone())), deflate::expected(input), deflate::STATE),
            Coding::Deflate => (Decoder::Deflate(Deflate::zlib_or_raw(input.clone())), 0, deflate::STATE),
            Coding::Zstd => (Decoder::Zstd(Zstd::new(input.clone())?), zstd::expected(input), zstd::STATE),
            Coding::Snappy => (Decoder::Snappy(Snappy::new(input.clone())), snappy::expected(input), snappy::STATE),
        };
        let output = Growing::new(permit, limit, PER_BODY_BYTE, input.len() + beside);
        Some(Inflater { decoder, expected, output })
    }

    /// Goes on until the end (`true`), or until there are at least `pause` bytes of output.
    fn run(&mut self, pause: usize) -> Result<bool, Refusal> {
        match &mut self.decoder {
            Decoder::Identity => Ok(true),
            Decoder::Deflate(deflate) => deflate.run(&mut self.output, std::mem::take(&mut self.expected), pause),
            Decoder::Zstd(zstd) => zstd.run(&mut self.output, pause),
            Decoder::Snappy(snappy) => snappy.run(&mut self.output, pause),
        }
    }

    fn finish(self) -> (Bytes, MemoryPermit) {
        drop(self.decoder);
        self.output.finish()
    }
}
