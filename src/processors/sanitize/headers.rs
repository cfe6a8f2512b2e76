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
        scan.own_credentials(&value, gap)?
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

/// Attributes of a cookie (RFC 6265, 4.1.1), which are no cookies.
const ATTRIBUTES: &[&str] = &["path", "domain", "max-age", "expires", "samesite", "secure", "httponly", "version", "priority"];
const MAX_COOKIES: usize = 64;

/// `name=value; name=value` behind `Cookie` or `Set-Cookie` (RFC 6265), to its last pair or attribute; in a list, to that of its last text.
pub(super) fn cookie(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let closed = scan.skip_closers(keyword.end);
    let blank = scan.skip_blanks(closed);
    let (after, _) = scan.separator(&keyword, keyword.end, closed, blank)?;
    let mut at = scan.skip_blanks(after);
    let list = scan.byte(at) == Some(b'[') && !scan.starts_with(at, mark::OPEN);
    at = if list { scan.skip_blanks(at + 1) } else { at };
    let mut found: Option<Range<usize>> = None;
    for _ in 0..MAX_COOKIES {
        let (start, quote) = scan.opener(at);
        let limit = match quote {
            Some((quote, escapes)) => {
                let value = scan.quoted(start, quote, escapes)?;
                at = value.end + escapes + 1;
                value.end
            }
            None => scan.bytes.len(),
        };
        let Some(end) = scan.cookies(start, limit) else { break };
        found = Some(found.map_or(start, |known| known.start)..end);
        let comma = scan.skip_blanks(at);
        if !list || quote.is_none() || scan.byte(comma) != Some(b',') {
            break;
        }
        at = scan.skip_blanks(comma + 1);
    }
    found
}

impl Scan<'_> {
    /// Where the pairs that begin at `start` end, before `limit`; `None` where no pair begins.
    fn cookies(&mut self, start: usize, limit: usize) -> Option<usize> {
        let mut at = start;
        let mut end = None;
        for _ in 0..MAX_COOKIES {
            let name_end = self.run(Alphabet::Dotted, at).min(limit);
            let name = self.text.get(at..name_end).unwrap_or_default();
            let attribute = ATTRIBUTES.iter().any(|attribute| attribute.eq_ignore_ascii_case(name));
            let pair = self.byte(name_end) == Some(b'=') && name_end < limit;
            if name.is_empty() || !(pair && !attribute || end.is_some()) {
                break;
            }
            let pair_end = if pair { self.cookie_end(name_end + 1, limit) } else { name_end };
            end = Some(pair_end);
            // `, name=` goes on as well: several headers that were joined.
            let comma = self.before(pair_end) == Some(b',');
            if self.byte(pair_end) != Some(b';') && !comma {
                break;
            }
            at = self.skip_blanks(pair_end + usize::from(!comma));
        }
        let mut end = end?;
        while end > start && matches!(self.bytes[end - 1], b',' | b'.' | b':' | b'?' | b')' | b']' | b'}' | b'>') {
            end -= 1;
        }
        (end > start).then_some(end)
    }

    /// A value goes on to its `;`, whatever it is made of, but no further than a space outside quotes or a quote that closes what the header
    /// stands in.
    fn cookie_end(&self, start: usize, limit: usize) -> usize {
        let rest = &self.bytes[start..limit.min(start + MAX_QUOTED)];
        let quoted = rest.first() == Some(&b'"');
        let mut inside = false;
        for (offset, &byte) in rest.iter().enumerate() {
            let escaped = byte == b'\\' && matches!(rest.get(offset + 1), Some(b'n' | b'r' | b'"' | b'\'' | b'u' | b'\\'));
            let ends = match byte {
                b'"' if quoted => {
                    inside = !inside;
                    false
                }
                b'"' | b'\'' | b'`' => !self.cookie_goes_on(start + offset, limit),
                b' ' | b'\t' | b';' => !inside,
                b'\n' | b'\r' => true,
                _ => escaped,
            };
            if ends {
                return start + offset;
            }
        }
        self.text.floor_char_boundary(start + rest.len())
    }

    /// Whether a quote stands within a value: a `;` comes before the next space.
    fn cookie_goes_on(&self, at: usize, limit: usize) -> bool {
        let rest = &self.bytes[at..limit.min(at + 64)];
        rest.iter().find(|byte| matches!(byte, b';' | b' ' | b'\n' | b'\r' | b'\\')).is_some_and(|&byte| byte == b';')
    }

    /// Credentials without a scheme that is known: the value itself, or what stands behind a word.
    fn own_credentials(&mut self, value: &Range<usize>, gap: usize) -> Option<Range<usize>> {
        let end = self.unquoted_end(value.start);
        let word = &self.text[value.start..end];
        let alone = self.text.get(end..value.end).unwrap_or_default().trim().is_empty();
        let letters = word.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
        if (tokenish(word) && (alone || word.len() >= 16)) || (word.len() >= 20 && !letters) {
            return Some(value.start..end);
        }
        let next = self.unquoted_end(gap);
        let text = self.text.get(gap..next).unwrap_or_default();
        let parameters = text.split_once('=').is_some_and(|(_, value)| value.len() >= 8);
        let fits = gap > value.start && (parameters || (tokenish(text) && text.len() >= 16));
        fits.then_some(gap..if parameters { value.end.max(next) } else { next })
    }

    /// The value of a header, to its closing quote or the end of the line.
    fn header_value(&mut self, keyword: &Range<usize>) -> Option<Range<usize>> {
        let name_end = keyword.end;
        let closed = self.skip_closers(name_end);
        let blank = self.skip_blanks(closed);
        let (after, _) = self.separator(keyword, name_end, closed, blank)?;
        let start = self.skip_blanks(after);
        let list = self.byte(start) == Some(b'[') && !self.starts_with(start, mark::OPEN);
        let start = if list { self.skip_blanks(start + 1) } else { start };
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
