//! snappy: the raw block, whose size stands in front, or the framed format (github.com/google/snappy, `framing_format.txt`).
//!
//! The Collector has written both under the name `snappy`. No block begins as a framed stream does: it would copy from before its start.

use std::io::Read;

use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use snap::raw::{self, decompress_len};
use snap::read::FrameDecoder;

use super::super::body::Growing;
use super::super::reply::Refusal;

/// What the framed decoder holds: one chunk, as it came and inflated, and one more on its way to the output.
pub const STATE: usize = 256 << 10;
const STREAM: &[u8] = b"\xff\x06\x00\x00sNaPpY";
const CHUNK: usize = 64 << 10;
/// A copy of 64 bytes takes three: a block that says more than this cannot be true.
const RATIO: usize = 32;

/// One body on its way.
pub enum Snappy {
    Block(Bytes),
    Framed { decoder: Box<FrameDecoder<Reader<Bytes>>>, chunk: Box<[u8]> },
}

/// What a block says of its size; a framed stream says nothing.
pub fn expected(input: &[u8]) -> usize {
    if input.starts_with(STREAM) { 0 } else { decompress_len(input).unwrap_or(0) }
}

fn damaged(found: &'static str) -> Refusal {
    Refusal::Damaged { expected: "snappy", found }
}

impl Snappy {
    pub fn new(input: Bytes) -> Snappy {
        if input.starts_with(STREAM) {
            let decoder = Box::new(FrameDecoder::new(input.reader()));
            Snappy::Framed { decoder, chunk: vec![0; CHUNK].into_boxed_slice() }
        } else {
            Snappy::Block(input)
        }
    }

    /// Goes on until the end (`true`), or until there are at least `pause` bytes of output.
    pub fn run(&mut self, output: &mut Growing, pause: usize) -> Result<bool, Refusal> {
        match self {
            Snappy::Block(input) => block(input, output).map(|()| true),
            Snappy::Framed { decoder, chunk } => loop {
                match decoder.read(chunk).map_err(|_| damaged("a damaged stream"))? {
                    0 => return Ok(true),
                    n => output.extend(&chunk[..n])?,
                }
                if output.len() >= pause {
                    return Ok(false);
                }
            },
        }
    }
}

fn block(input: &[u8], output: &mut Growing) -> Result<(), Refusal> {
    let length = decompress_len(input).map_err(|_| damaged("a damaged block"))?;
    if length > input.len().saturating_mul(RATIO) {
        return Err(damaged("a block that says it is longer than it can be"));
    }
    output.reserve_announced(length)?;
    let bytes = output.spare_mut();
    bytes.resize(length, 0);
    let written = raw::Decoder::new().decompress(input, bytes).map_err(|_| damaged("a damaged block"))?;
    if written == length { Ok(()) } else { Err(damaged("a block that ends early")) }
}
