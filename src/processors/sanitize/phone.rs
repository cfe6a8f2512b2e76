//! Telephone numbers: international ones by their form (ITU-T E.164), others behind a name that says so.

use std::ops::Range;

use super::scan::{Alphabet, Scan};

/// Digits of a number with its country (E.164, 6.1), and of one without.
const INTERNATIONAL: Range<usize> = 8..16;
const NATIONAL: Range<usize> = 7..16;
/// From a name to its number, in bytes.
const MAX_GAP: usize = 16;

/// `+` and 8 to 15 digits in groups.
pub(super) fn international(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let start = keyword.start;
    let sign = if scan.byte(start) == Some(b'%') { 3 } else { 1 };
    let joined = scan.before(start).is_some_and(|byte| Alphabet::Word.has(byte) || matches!(byte, b'.' | b'+' | b'-'));
    if joined && !scan.starts_word(start) {
        return None;
    }
    let end = number(scan, start + sign, &INTERNATIONAL)?;
    Some(start..end)
}

/// A number right behind its name: `phone: …`, `"mobile":"…"`, `phone_number=…`.
pub(super) fn near_a_name(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let name_end = scan.run(Alphabet::Url, keyword.end);
    let part = scan.text.get(keyword.end..name_end)?;
    if !matches!(part.to_ascii_lowercase().trim_start_matches(['_', '-']), "" | "s" | "number" | "numbers" | "no" | "nr") {
        return None;
    }
    let window = &scan.bytes[name_end..(name_end + MAX_GAP).min(scan.bytes.len())];
    let gap = window.iter().position(|&byte| byte.is_ascii_digit() || matches!(byte, b'(' | b'+'))?;
    let between = |byte: &u8| matches!(byte, b' ' | b':' | b'=' | b'"' | b'\'' | b'\\' | b'>' | b'#');
    if !window[..gap].iter().all(between) || gap == 0 {
        return None;
    }
    let start = name_end + gap;
    let end = number(scan, start + usize::from(scan.byte(start) == Some(b'+')), &NATIONAL)?;
    Some(start..end)
}

/// Where a number of so many digits ends: groups with one space, dash, dot or bracket between, no digit or letter behind.
fn number(scan: &Scan<'_>, start: usize, digits: &Range<usize>) -> Option<usize> {
    let (mut at, mut count, mut end) = (start, 0, start);
    while let Some(byte) = scan.byte(at) {
        if byte.is_ascii_digit() {
            count += 1;
            end = at + 1;
            if count >= digits.end {
                return None;
            }
        } else {
            // A separator, or a bracket with a space beside it.
            let next = scan.byte(at + 1);
            let goes_on = match byte {
                b' ' | b'-' | b'.' | b'/' => next.is_some_and(|next| next.is_ascii_digit() || next == b'('),
                b'(' => next.is_some_and(|next| next.is_ascii_digit()),
                b')' => next.is_some_and(|next| next.is_ascii_digit() || matches!(next, b' ' | b'-')),
                _ => false,
            };
            if !goes_on {
                break;
            }
        }
        at += 1;
    }
    let joined = scan.has(end, Alphabet::Word) || (scan.byte(end) == Some(b':') && scan.has(end + 1, Alphabet::Digit));
    (!joined && digits.contains(&count)).then_some(end)
}
