//! Tokens as one service issues them, where a head and an alphabet do not describe them; each finder is anchored at its keyword.

use std::ops::{Range, RangeInclusive};

use super::scan::{Alphabet, Scan};
use super::validate::aws_secret;

/// A JSON Web Key is read this far before and behind its type, in bytes.
const MAX_JWK: usize = 4096;

/// `SG.<16 to 32>.<32 to 64>`
pub(super) fn sendgrid(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let id = scan.run(Alphabet::Url, keyword.end);
    let end = scan.run(Alphabet::Url, id + 1);
    let shaped = scan.starts_with(keyword.start, "SG.")
        && scan.byte(id) == Some(b'.')
        && (16..=32).contains(&(id - keyword.end))
        && (32..=64).contains(&(end - id - 1));
    (shaped && scan.starts_word(keyword.start)).then_some(keyword.start..end)
}

/// A client secret of Azure: three characters, a digit, `Q~`, and 31 to 34 more.
pub(super) fn azure_client(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let start = keyword.start.checked_sub(3)?;
    let mut end = keyword.end;
    while end - keyword.end < 34 && (scan.has(end, Alphabet::Dotted) || scan.byte(end) == Some(b'~')) {
        end += 1;
    }
    let head = scan.bytes[start..keyword.start].iter().all(|&byte| Alphabet::Dotted.has(byte) || byte == b'~');
    (head && end - keyword.end >= 31).then_some(start..end)
}

/// A secret access key of AWS within 100 bytes after a word that announces one.
pub(super) fn aws_near(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let limit = keyword.end + 100;
    let mut at = keyword.end;
    while at < limit.min(scan.bytes.len()) {
        let end = scan.run(Alphabet::Base64, at);
        if end - at == 40 && aws_secret(&scan.text[at..end]) {
            return Some(at..end);
        }
        at = end + 1;
    }
    None
}

/// A keyword inside its token: so many letters and digits before it, so many bytes of base64url behind.
pub(super) fn around(
    scan: &mut Scan<'_>,
    keyword: Range<usize>,
    before: RangeInclusive<usize>,
    behind: RangeInclusive<usize>,
) -> Option<Range<usize>> {
    let back = &scan.bytes[keyword.start.saturating_sub(before.end() + 1)..keyword.start];
    let head = back.iter().rev().take_while(|&&byte| Alphabet::Alnum.has(byte)).count().min(*before.end());
    let end = scan.run(Alphabet::Url, keyword.end);
    let begins = before.contains(&head) && scan.starts_word(keyword.start - head);
    (begins && behind.contains(&(end - keyword.end))).then_some(keyword.start - head..end)
}

/// `<id>/<token>` of a webhook; the id stays.
pub(super) fn discord(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let slash = scan.run(Alphabet::Digit, keyword.end);
    let end = scan.run(Alphabet::Url, slash + 1);
    (scan.byte(slash) == Some(b'/') && end > slash + 60).then_some(slash + 1..end)
}

/// `<8 to 10 digits>:<35>`, the token of a bot.
pub(super) fn telegram(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let back = &scan.bytes[keyword.start.saturating_sub(11)..keyword.start];
    let digits = back.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let fits = (8..=10).contains(&digits) && scan.starts_with(keyword.start, ":AA");
    (fits && scan.run(Alphabet::Url, keyword.end) == keyword.start + 36).then_some(keyword.start - digits..keyword.start + 36)
}

/// The farthest that a token goes whose alphabet is read byte by byte.
const MAX_BYTES: usize = 512;

/// A token of GitLab, by itself or with the version and the sum of those that are routed: `.01.<9>`.
pub(super) fn with_sum(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let end = scan.run(Alphabet::Url, keyword.end);
    let sum = scan.bytes.get(end..).and_then(|rest| rest.first_chunk::<4>());
    let routed = sum.is_some_and(|[dot, high, low, last]| {
        (*dot, *last) == (b'.', b'.') && Alphabet::Alnum.has(*high) && Alphabet::Alnum.has(*low)
    });
    let tail = if routed { scan.run(Alphabet::Alnum, end + 4) } else { end };
    let end = if tail >= end + 11 { tail } else { end };
    (end >= keyword.end + 20).then_some(keyword.start..end)
}

/// A token whose end is of another alphabet than its head: `_` and base64, or `=` and a sum.
pub(super) fn with_tail(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let rest = &scan.bytes[keyword.end..scan.bytes.len().min(keyword.end + MAX_BYTES)];
    let body = rest.iter().take_while(|&&byte| Alphabet::Url.has(byte) || matches!(byte, b'+' | b'/')).count();
    let mut end = keyword.end + body;
    if scan.byte(end) == Some(b'=') {
        let sum = scan.run(Alphabet::Upper, end + 1);
        end = if sum == end + 9 { sum } else { end };
    }
    (body >= 30 && scan.starts_word(keyword.start)).then_some(keyword.start..end)
}

/// A key of Cloudflare's origin: `v1.0-<24>-<146>`, hexadecimal.
pub(super) fn cloudflare_origin(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let id = scan.run(Alphabet::Hex, keyword.end);
    let end = scan.run(Alphabet::Hex, id + 1);
    let shaped = id == keyword.end + 24 && scan.byte(id) == Some(b'-') && end > id + 100;
    shaped.then_some(keyword.start..end)
}

/// The private member of a JSON Web Key (RFC 7517): `"d"`, or `"k"` of a symmetric one.
pub(super) fn jwk(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    // To the brackets around it; another type ends it as well, so that no byte is read for two.
    let end = |byte: u8| matches!(byte, b'{' | b'}');
    let before = &scan.bytes[keyword.start.saturating_sub(MAX_JWK)..keyword.start];
    let behind = &scan.bytes[keyword.end..scan.bytes.len().min(keyword.end + MAX_JWK)];
    let other = memchr::memmem::rfind(before, b"kty").unwrap_or(0);
    let open = before[other..].iter().rposition(|&byte| end(byte))?;
    let low = keyword.start - before.len() + other + open;
    let other = memchr::memmem::find(behind, b"kty").unwrap_or(behind.len());
    let close = behind[..other].iter().position(|&byte| end(byte)).unwrap_or(other);
    let high = scan.text.floor_char_boundary(keyword.end + close);
    let window = &scan.text[low..high];
    window.match_indices(['d', 'k']).find_map(|(at, name)| {
        let end = at + name.len();
        let quote = window[end..].bytes().take_while(|&byte| matches!(byte, b'\\' | b'"')).count();
        let rest = window[end + quote..].trim_start().strip_prefix(':')?.trim_start();
        let value = rest.trim_start_matches(['\\', '"']);
        let length = value.bytes().take_while(|&byte| Alphabet::Url.has(byte)).count();
        let start = low + window.len() - value.len();
        let named = quote > 0 && window[..at].ends_with('"');
        (named && rest.len() > value.len() && length >= 32).then_some(start..start + length)
    })
}
