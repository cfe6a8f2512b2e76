//! Credentials in headers: `Authorization: Bearer …`, `Cookie: …`; the name and the scheme stay.

use std::ops::Range;

use super::fields::MAX_QUOTED;
use super::mark;
use super::scan::{Alphabet, Scan};
use super::validate::{placeholder, tokenish};

/// Credentials behind a scheme word; the word stays.
const ONE_TOKEN: &[&str] = &[
    "bearer",
    "basic",
    "token",
    "apikey",
    "api-key",
    "negotiate",
    "ntlm",
    "key",
    "jwt",
    "ssws",
    "splunk",
    "bot",
    "genie",
    "goog",
];
/// Schemes with parameters, to the end of the line.
const PARAMETERS: &[&str] =
    &["digest", "aws4-hmac-sha256", "aws", "oauth", "signature", "hawk", "sharedkey", "sharedkeylite", "hmac", "mac", "dpop"];

/// `Authorization: <scheme> <credentials>` (RFC 9110, 11.6.2), in any of the ways a field is written.
pub(super) fn authorization(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let value = scan.header_value(&keyword)?;
    let scheme_end = scan.run(Alphabet::Url, value.start).min(value.end);
    let scheme = &scan.text[value.start..scheme_end];
    let gap = scan.gap(scheme_end);
    let known = |list: &[&str]| gap > scheme_end && list.iter().any(|word| word.eq_ignore_ascii_case(scheme));
    let found = if known(PARAMETERS) {
        gap..value.end.max(gap)
    } else if known(ONE_TOKEN) {
        gap..scan.unquoted_end(gap)
    } else {
        let end = scan.unquoted_end(value.start);
        if !tokenish(&scan.text[value.start..end]) && end - value.start < 20 {
            return None;
        }
        value.start..end
    };
    (!found.is_empty() && !placeholder(&scan.text[found.clone()])).then_some(found)
}

/// `Bearer <token>` and `Basic <credentials>` anywhere; the rule's check looks at the token.
pub(super) fn after_scheme(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let start = scan.gap(keyword.end);
    if start == keyword.end || !scan.starts_word(keyword.start) {
        return None;
    }
    let mut end = scan.run(Alphabet::Token68, start);
    while end > start && matches!(scan.bytes[end - 1], b'.' | b'%') {
        end -= 1;
    }
    Some(start..end)
}

/// `name=value; name=value` behind `Cookie` or `Set-Cookie` (RFC 6265), to its last pair or attribute.
pub(super) fn cookie(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let value = scan.header_value(&keyword)?;
    let mut at = value.start;
    let mut end = None;
    for _ in 0..64 {
        let name_end = scan.run(Alphabet::Dotted, at);
        if name_end == at {
            break;
        }
        let pair = scan.byte(name_end) == Some(b'=');
        if !pair && end.is_none() {
            break;
        }
        let pair_end = if pair { scan.unquoted_end(name_end + 1) } else { name_end };
        end = Some(pair_end);
        if scan.byte(pair_end) != Some(b';') {
            break;
        }
        at = scan.skip_blanks(pair_end + 1);
    }
    end.map(|end| value.start..end)
}

impl Scan<'_> {
    /// The value of a header, to its closing quote or the end of the line.
    fn header_value(&mut self, keyword: &Range<usize>) -> Option<Range<usize>> {
        let name_end = keyword.end;
        let closed = self.skip_closers(name_end);
        let blank = self.skip_blanks(closed);
        let (after, _) = self.separator(keyword, closed, blank)?;
        let start = self.skip_blanks(after);
        let start = start + usize::from(self.byte(start) == Some(b'[') && !self.starts_with(start, mark::OPEN));
        let (start, quote) = self.opener(start);
        if let Some((quote, escapes)) = quote {
            return self.quoted(start, quote, escapes);
        }
        let rest = self.bytes.get(start..)?;
        let window = &rest[..rest.len().min(MAX_QUOTED)];
        let end = header_end(window);
        let end = self.text.floor_char_boundary(start + end);
        (end > start).then_some(start..end)
    }

    /// Skips what may stand between a scheme and its credentials.
    fn gap(&self, from: usize) -> usize {
        if self.starts_with_any_case(from, "%20") {
            return from + 3;
        }
        if self.byte(from) == Some(b'+') {
            return from + 1;
        }
        self.skip_blanks(from)
    }
}

/// Where a header without quotes around it ends: at a line end, real or escaped, or at a quote that closes what stands around it.
/// A quote after `=` opens the value of a parameter.
fn header_end(window: &[u8]) -> usize {
    let mut inside = false;
    for (at, &byte) in window.iter().enumerate() {
        let escaped = byte == b'\\' && matches!(window.get(at + 1), Some(b'n' | b'r' | b'u'));
        if matches!(byte, b'\n' | b'\r') || escaped {
            return at;
        }
        if byte == b'"' {
            let slash = at.checked_sub(1).filter(|&before| window[before] == b'\\');
            let before = slash.unwrap_or(at).checked_sub(1).map(|before| window[before]);
            if !inside && before != Some(b'=') {
                return slash.unwrap_or(at);
            }
            inside = !inside;
        }
    }
    window.len()
}
