//! Private keys in PEM (RFC 7468): from `BEGIN` to `END`, whatever a logger wrote between the lines.

use std::ops::Range;

use super::scan::{Alphabet, Scan};

/// No key is longer, in bytes; between two of its lines no more stands than this.
const MAX_KEY: usize = 32 << 10;
const MAX_PREFIX: usize = 160;
/// Shorter pieces of base64 are words.
const MIN_PIECE: usize = 40;

/// A private key in PEM (RFC 7468) from `BEGIN` to `END`; without its end, as far as the lines look like base64.
pub(super) fn private_key(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let label = scan.bytes.get(keyword.end..)?;
    let label = &label[..label.len().min(64)];
    let dashes = memchr::memmem::find(label, b"----")?;
    memchr::memmem::find(&label[..dashes], b"PRIVATE KEY")?;
    let body = keyword.end + dashes + label[dashes..].iter().take_while(|&&byte| byte == b'-').count();
    let mut at = body;
    let mut end = body;
    while let Some((line_end, next, is_body)) = line(scan, at) {
        if !is_body {
            break;
        }
        end = line_end.max(end);
        at = next;
    }
    if let Some(close) = end_label(scan, body) {
        end = close;
    } else {
        end = pieces(scan, end).max(end);
    }
    // Five dashes end in four: the longer keyword finds more.
    (scan.before(keyword.start) != Some(b'-')).then_some(keyword.start..end)
}

/// One piece of a PEM body: where its base64 ends, where the next piece begins, and whether it is one.
fn line(scan: &Scan<'_>, at: usize) -> Option<(usize, usize, bool)> {
    let rest = scan.bytes.get(at..).filter(|rest| !rest.is_empty())?;
    let word = rest.iter().take_while(|&&byte| Alphabet::Base64.has(byte) || matches!(byte, b'=' | b',')).count();
    let end = at + word;
    let mut next = end;
    let mut plain = true;
    // What separates lines: real or escaped line ends, quotes and commas of arrays, the plus of a concatenation.
    while let Some(byte) = scan.byte(next) {
        let escaped = byte == b'\\' && matches!(scan.byte(next + 1), Some(b'n' | b'r' | b't' | b'\\'));
        if escaped {
            next += 2;
        } else if matches!(byte, b'\n' | b'\r') {
            next += 1;
        } else if matches!(byte, b' ' | b'\t') {
            next += 1;
            continue;
        } else {
            break;
        }
        plain = false;
    }
    if word == 0 {
        // A header such as `Proc-Type: 4,ENCRYPTED` (RFC 1421), or the separators after the label.
        return Some((end, next, next > end));
    }
    let header = matches!(scan.byte(end), Some(b':' | b'-')) && !scan.starts_with(end, "--") && word < 24;
    if header {
        let line = rest.iter().take(80).position(|&byte| matches!(byte, b'\n' | b'\\')).unwrap_or(word);
        return Some((at + line, at + line, line > word));
    }
    let letters = rest[..word].iter().all(u8::is_ascii_alphabetic);
    let ends = next >= scan.bytes.len() || scan.starts_with(next, "--") || !plain;
    Some((end, next, word >= 24 || !letters || ends))
}

/// Where the label of the end closes, before the next key begins.
fn end_label(scan: &Scan<'_>, body: usize) -> Option<usize> {
    let window = &scan.bytes[body..scan.bytes.len().min(body + MAX_KEY)];
    let next = memchr::memmem::find(window, b"-- BEGIN ").into_iter().chain(memchr::memmem::find(window, b"--BEGIN ")).min();
    let window = &window[..next.unwrap_or(window.len())];
    let at = memchr::memmem::find(window, b"---- END ").into_iter().chain(memchr::memmem::find(window, b"----END ")).min()?;
    let label = &window[at + 8..window.len().min(at + 80)];
    let close =
        memchr::memmem::find(label, b"----").filter(|&close| memchr::memmem::find(&label[..close], b"PRIVATE KEY").is_some())?;
    let dashes = label[close..].iter().take(5).take_while(|&&byte| byte == b'-').count();
    Some(body + at + 8 + close + dashes)
}

/// Where the last piece of base64 ends that stands near the one before: a prefix of a logger, quotes, `<br>` may stand between. A last short
/// piece goes too where the same stands before it.
fn pieces(scan: &mut Scan<'_>, from: usize) -> usize {
    let mut end = from;
    let mut between = 0..0;
    let mut at = from;
    while at < scan.bytes.len().min(end + MAX_PREFIX) && at < from + MAX_KEY {
        let run = scan.run(Alphabet::Base64, at);
        if run >= at + MIN_PIECE {
            between = end..at;
            end = run;
        }
        at = run + 1;
    }
    let (length, padding) = (between.len(), |at: usize| {
        scan.bytes.get(at..).unwrap_or_default().iter().take(2).take_while(|&&byte| byte == b'=').count()
    });
    let same = length > 0 && scan.bytes.get(end..end + length) == scan.bytes.get(between);
    let start = end + length;
    let last = scan
        .bytes
        .get(start..)
        .unwrap_or_default()
        .iter()
        .take(MIN_PIECE)
        .take_while(|&&byte| Alphabet::Base64.has(byte))
        .count();
    // A line that goes on with other signs is another one.
    let other = matches!(scan.byte(start + last), Some(b'-' | b':' | b' '));
    let end = if same && last >= 4 && !other { start + last } else { end };
    end + padding(end)
}

/// The lines of a key of PuTTY, behind their number.
pub(super) fn putty_key(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let number = scan.run(Alphabet::Digit, keyword.end);
    let start = number + scan.bytes.get(number..)?.iter().take(2).take_while(|byte| byte.is_ascii_whitespace()).count();
    let start = if scan.starts_with(number, "\\n") { number + 2 } else { start };
    let end = pieces(scan, start);
    (end > start).then_some(start..end)
}
