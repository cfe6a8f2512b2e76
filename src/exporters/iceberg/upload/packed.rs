//! The encodings of Parquet that floe writes: numbers of few bits, runs, deltas, and bytes in streams.
//!
//! Laid out as the format's own document says (apache/parquet-format, Encodings.md).

/// Values of one block of deltas, and of one of its miniblocks.
const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

/// Bits that hold every number up to this one.
pub(super) fn width(max: u64) -> u8 {
    u8::try_from(u64::BITS - max.leading_zeros()).unwrap_or(u8::MAX)
}

/// LEB128.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

/// Numbers of `width` bits one after another, lowest bits first, and zeros up to a whole byte.
pub(super) fn put_bits(out: &mut Vec<u8>, values: impl Iterator<Item = u64>, width: u8) {
    let (mut held, mut bits) = (0u128, 0);
    for value in values {
        held |= u128::from(value) << bits;
        bits += u32::from(width);
        if bits >= u64::BITS {
            out.extend_from_slice(&held.to_le_bytes()[..8]);
            held >>= u64::BITS;
            bits -= u64::BITS;
        }
    }
    out.extend_from_slice(&held.to_le_bytes()[..bits.div_ceil(8) as usize]);
}

/// RLE_DICTIONARY and levels: runs of one value, and groups of eight packed values between them.
pub(super) fn put_runs(out: &mut Vec<u8>, values: &[u32], width: u8) {
    let mut packed_from = 0;
    let mut at = 0;
    while at < values.len() {
        let run = values[at..].iter().take_while(|value| **value == values[at]).count();
        // Packed values come in eights: the first of a run fill up those before it.
        let fill = (at - packed_from).next_multiple_of(8) - (at - packed_from);
        if run >= fill + 8 {
            put_packed(out, &values[packed_from..at + fill], width);
            put_run(out, values[at], run - fill, width);
            packed_from = at + run;
        }
        at += run;
    }
    put_packed(out, &values[packed_from..], width);
}

/// One value so many times.
pub(super) fn put_run(out: &mut Vec<u8>, value: u32, times: usize, width: u8) {
    put_varint(out, (times as u64) << 1);
    out.extend_from_slice(&value.to_le_bytes()[..usize::from(width.div_ceil(8))]);
}

fn put_packed(out: &mut Vec<u8>, values: &[u32], width: u8) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(8);
    put_varint(out, (groups as u64) << 1 | 1);
    let padded = values.iter().map(|value| u64::from(*value)).chain(std::iter::repeat(0)).take(8 * groups);
    put_bits(out, padded, width);
}

/// DELTA_BINARY_PACKED.
pub(super) fn put_deltas(out: &mut Vec<u8>, values: &[i64]) {
    put_varint(out, BLOCK as u64);
    put_varint(out, (BLOCK / MINIBLOCK) as u64);
    put_varint(out, values.len() as u64);
    put_zigzag(out, values.first().copied().unwrap_or_default());
    let mut deltas = [0; BLOCK];
    for block in values.get(1..).unwrap_or_default().chunks(BLOCK).scan(0, |at, block| {
        let before = values[*at];
        *at += block.len();
        Some((before, block))
    }) {
        put_block(out, block, &mut deltas);
    }
}

fn put_block(out: &mut Vec<u8>, (mut before, block): (i64, &[i64]), deltas: &mut [i64; BLOCK]) {
    for (delta, value) in deltas.iter_mut().zip(block) {
        *delta = value.wrapping_sub(before);
        before = *value;
    }
    let deltas = &deltas[..block.len()];
    let least = deltas.iter().copied().min().unwrap_or_default();
    put_zigzag(out, least);
    let above = |delta: &i64| delta.wrapping_sub(least).cast_unsigned();
    let mut widths = [0u8; BLOCK / MINIBLOCK];
    for (bits, miniblock) in widths.iter_mut().zip(deltas.chunks(MINIBLOCK)) {
        *bits = width(miniblock.iter().map(above).fold(0, std::ops::BitOr::bitor));
    }
    out.extend_from_slice(&widths);
    for (bits, miniblock) in widths.iter().zip(deltas.chunks(MINIBLOCK)).filter(|(bits, _)| **bits > 0) {
        let padded = miniblock.iter().map(above).chain(std::iter::repeat(0)).take(MINIBLOCK);
        put_bits(out, padded, *bits);
    }
}

/// BYTE_STREAM_SPLIT: the first bytes of all numbers, then the second ones …
pub(super) fn put_streams(out: &mut Vec<u8>, values: &[f64]) {
    let start = out.len();
    out.resize(start + 8 * values.len(), 0);
    if values.is_empty() {
        return;
    }
    for (byte, stream) in out[start..].chunks_mut(values.len()).enumerate() {
        for (place, value) in stream.iter_mut().zip(values) {
            *place = value.to_le_bytes()[byte];
        }
    }
}
