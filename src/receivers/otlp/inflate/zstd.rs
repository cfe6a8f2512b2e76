//! zstd: one or more frames (RFC 8878).
//!
//! A frame that says its size is inflated straight into the output. One that does not needs a window beside it, as large as its header
//! says: at most 8 MiB, which is what every encoder for HTTP keeps to (RFC 9659), and asked for before it is allocated.

use bytes::Bytes;
use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer};

use super::super::body::Growing;
use super::super::reply::Refusal;

/// What a decoder holds beside the window: its tables and one block.
pub const STATE: usize = 512 << 10;
const WINDOW_LOG: u32 = 23;
const WINDOW: usize = 1 << WINDOW_LOG;
const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";
/// A block of 128 KiB can be said in 4 bytes; no frame says more of itself than that (RFC 8878, 3.1.1.2.3).
const RATIO: u64 = 1 << 15;

/// One body on its way.
pub struct Zstd {
    context: DCtx<'static>,
    input: Bytes,
    read: usize,
    /// The end of the frame that is being read.
    frame_end: usize,
    /// Memory asked for beside the output for the largest window so far.
    window: usize,
}

/// What the first frame says of its size.
pub fn expected(input: &[u8]) -> usize {
    content_size(input).ok().flatten().unwrap_or(0)
}

/// The size that the first frame says it has.
fn content_size(frame: &[u8]) -> Result<Option<usize>, Refusal> {
    let Ok(size) = zstd_safe::get_frame_content_size(frame) else { return Err(damaged("another format")) };
    let Some(size) = size else { return Ok(None) };
    if size > (frame.len() as u64).saturating_mul(RATIO) {
        return Err(damaged("a frame that says it is longer than it can be"));
    }
    Ok(Some(usize::try_from(size).unwrap_or(usize::MAX)))
}

/// The window a frame asks for; 0 where it says its size, or is to be skipped.
fn window(frame: &[u8]) -> usize {
    match frame.strip_prefix(MAGIC) {
        // The single-segment flag is off, so a window descriptor follows.
        Some([descriptor, window, ..]) if descriptor & 0x20 == 0 => {
            let base = 1u64 << (10 + (window >> 3));
            let whole = base + base / 8 * u64::from(window & 7);
            usize::try_from(whole).unwrap_or(usize::MAX).min(WINDOW)
        }
        _ => 0,
    }
}

fn damaged(found: &'static str) -> Refusal {
    Refusal::Damaged { expected: "zstd", found }
}

impl Zstd {
    /// `None` without memory for a decoder.
    pub fn new(input: Bytes) -> Option<Zstd> {
        let mut context = DCtx::try_create()?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).ok()?;
        Some(Zstd { context, input, read: 0, frame_end: 0, window: 0 })
    }

    /// Goes on until the end (`true`), or until there are at least `pause` bytes of output, or would be after the next frame.
    pub fn run(&mut self, output: &mut Growing, pause: usize) -> Result<bool, Refusal> {
        if self.input.is_empty() {
            return Err(damaged("nothing"));
        }
        loop {
            if self.read == self.frame_end {
                if self.read == self.input.len() {
                    return Ok(true);
                }
                if !self.begin(output, pause)? {
                    return Ok(false);
                }
            }
            let full = output.len() == output.limit();
            if !full && output.spare() == 0 {
                if output.len() >= pause {
                    return Ok(false);
                }
                output.reserve(output.len() + 1)?;
            }
            // At the limit only the end may come, which writes nothing.
            let mut past = Vec::with_capacity(1);
            let spare = if full { &mut past } else { output.spare_mut() };
            let before = spare.len();
            let mut from = InBuffer::around(&self.input[self.read..self.frame_end]);
            let mut to = OutBuffer::around_pos(spare, before);
            let left = self.context.decompress_stream(&mut to, &mut from).map_err(|_| damaged("a damaged frame"))?;
            let (read, written) = (from.pos(), to.pos() - before);
            if full && written > 0 {
                return Err(Refusal::TooLarge { limit: output.limit() });
            }
            self.read += read;
            if left > 0 && read == 0 && written == 0 {
                return Err(damaged("a frame that ends early"));
            }
        }
    }

    /// Makes room for the next frame: all of it where it says its size, else its window. `false` if that would pass `pause`.
    fn begin(&mut self, output: &mut Growing, pause: usize) -> Result<bool, Refusal> {
        let frame = &self.input[self.read..];
        let length =
            zstd_safe::find_frame_compressed_size(frame).map_err(|_| damaged("another format, or a frame that ends early"))?;
        if let Some(size) = content_size(frame)? {
            let total = size.saturating_add(output.len());
            if total > pause && total <= output.limit() {
                return Ok(false);
            }
            output.reserve_announced(total)?;
        }
        let window = window(frame);
        if window > self.window {
            output.hold_beside(window - self.window)?;
            self.window = window;
        }
        self.frame_end = self.read + length;
        Ok(true)
    }
}
