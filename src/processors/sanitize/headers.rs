//! Credentials in headers: `Authorization: Bearer …`, `Cookie: …`; the name and the scheme stay.

use std::ops::Range;

use super::fields::{Behind, MAX_QUOTED};
use super::mark;
use super::placeholders::placeholder;
use super::plain::{compound, goes_on, harmless, letters};
use super::scan::{Alphabet, Scan};
use super::validate::tokenish;

const MAX_COOKIE_NAME: usize = 128;

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
    let behind = gap > scheme_end;
    let known = |list: &[&str]| behind && list.iter().any(|word| word.eq_ignore_ascii_case(scheme));
    let (parameters, one_token) = (known(PARAMETERS), known(ONE_TOKEN));
    if parameters {
        return Some(gap..value.end.max(gap)).filter(|found| !found.is_empty() && !placeholder(&scan.text[found.clone()]));
    }
    if one_token {
        let found = gap..scan.unquoted_end(gap);
        let text = &scan.text[found.clone()];
        let sentence = (letters(text) || compound(text, false)) && goes_on(&scan.text[found.end..]);
        return (!found.is_empty() && !sentence && !placeholder(text)).then_some(found);
    }
    let end = scan.unquoted_end(value.start);
    let first = value.start..end;
    if tokenish(&scan.text[first.clone()]) && !(compound(&scan.text[first.clone()], false) && goes_on(&scan.text[end..])) {
        return Some(first);
    }
    // A scheme that nobody registered, with a token or parameters.
    let second = gap..scan.unquoted_end(gap).min(value.end.max(gap));
    let text = &scan.text[second.clone()];
    if behind && scheme.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') && !scheme.is_empty() {
        let parameter = text
            .split_once('=')
            .is_some_and(|(name, value)| letters(name) && (tokenish(value) || value.starts_with('"') || value.is_empty()));
        if parameter {
            return Some(gap..value.end);
        }
        if tokenish(text) && !compound(text, false) && !harmless(text) {
            return Some(second);
        }
    }
    (first.len() >= 20 && !placeholder(&scan.text[first.clone()]) && !compound(&scan.text[first.clone()], false)).then_some(first)
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

/// Attributes of `Set-Cookie` (RFC 6265, 5.2): no cookie begins with one.
const ATTRIBUTES: &[&str] = &["samesite", "path", "domain", "expires", "max-age", "secure", "httponly"];

/// `name=value; name=value` behind `Cookie` or `Set-Cookie` (RFC 6265), to its last pair or attribute.
pub(super) fn cookie(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let value = scan.header_value(&keyword)?;
    pairs(scan, value)
}

/// The cookies in a value: all of it where it is quoted, else to the end of the last pair.
pub(super) fn pairs(scan: &mut Scan<'_>, value: Range<usize>) -> Option<Range<usize>> {
    let name_end =
        value.start + scan.bytes[value.clone()].iter().take(MAX_COOKIE_NAME).take_while(|&&byte| is_name(byte)).count();
    let name = &scan.text[value.start..name_end];
    let attribute = ATTRIBUTES.iter().any(|attribute| attribute.eq_ignore_ascii_case(name));
    if name.is_empty()
        || attribute
        || scan.byte(name_end) != Some(b'=')
        || placeholder(&scan.text[name_end + 1..value.end.max(name_end + 1)])
    {
        return None;
    }
    Some(value.start..if scan.closes(value.end) { value.end } else { last_pair(scan, name_end + 1..value.end) })
}

/// A byte of a cookie's name, percent-encoded or not.
fn is_name(byte: u8) -> bool {
    Alphabet::Dotted.has(byte) || matches!(byte, b'%' | b'$' | b'!' | b'~' | b'*' | b'+' | b':')
}

/// Where the last pair ends: at a space behind its value. A pair goes on where another follows, `; name=` or `, name=`, in the same quotes.
fn last_pair(scan: &mut Scan<'_>, value: Range<usize>) -> usize {
    let bytes = &scan.bytes[value.clone()];
    let mut end = 0;
    let mut marks = 0_usize;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        marks += usize::from(byte == b'"');
        if !matches!(byte, b';' | b',') || !marks.is_multiple_of(2) {
            continue;
        }
        let next = at + bytes[at..].iter().take(4).take_while(|&&byte| matches!(byte, b' ' | b'\t')).count();
        let name = bytes[next..].iter().take(MAX_COOKIE_NAME).take_while(|&&byte| is_name(byte)).count();
        let attribute = || ATTRIBUTES.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(&bytes[next..next + name]));
        if name > 0 && (byte == b';' || next > at) && (bytes.get(next + name) == Some(&b'=') || attribute()) {
            end = next + name;
            at = end;
        }
    }
    let start = value.start + end;
    if scan.byte(start) == Some(b';') {
        return start;
    }
    let tail = start + usize::from(end > 0 && scan.byte(start) == Some(b'='));
    let quoted = matches!(scan.byte(tail), Some(b'"'));
    let found = if quoted {
        scan.quoted(tail + 1, b'"', 0).map_or(tail, |inner| (inner.end + 1).min(value.end))
    } else {
        scan.cookie_end(tail)
    };
    found.min(value.end)
}

impl Scan<'_> {
    /// Whether a quote closes here.
    fn closes(&self, at: usize) -> bool {
        let quote = at + self.bytes.get(at..).unwrap_or_default().iter().take(16).take_while(|&&byte| byte == b'\\').count();
        matches!(self.byte(quote), Some(b'"' | b'\'' | b'`'))
    }

    /// The end of a cookie's value: at a space, a quote, or a bracket that it did not open.
    fn cookie_end(&mut self, start: usize) -> usize {
        let mut end = self.unquoted_end(start);
        // What a value may not hold and yet does.
        while matches!(self.byte(end), Some(b'&' | b'|' | b','))
            && self.byte(end + 1).is_some_and(|byte| byte > b' ' && !matches!(byte, b'"' | b'\''))
        {
            end = self.unquoted_end(end + 1);
        }
        end
    }

    /// The value of a header, to its closing quote or the end of the line; of a list, to the end of its last element.
    fn header_value(&mut self, keyword: &Range<usize>) -> Option<Range<usize>> {
        let name_end = keyword.end;
        let closed = self.skip_closers(name_end);
        let blank = self.skip_blanks(closed);
        let (after, behind) = self.separator(keyword, name_end, closed, blank)?;
        let start = self.skip_blanks(after);
        let list = self.byte(start) == Some(b'[') && !self.starts_with(start, mark::OPEN);
        let start = if list { self.skip_blanks(start + 1) } else { start };
        let (start, quote) = self.opener(start);
        if let Some((quote, escapes)) = quote {
            let first = self.quoted(start, quote, escapes)?;
            return Some(first.start..if list { self.last_element(first.end, quote, escapes) } else { first.end });
        }
        if behind == Behind::Beside {
            return None;
        }
        let rest = self.bytes.get(start..)?;
        let window = &rest[..rest.len().min(MAX_QUOTED)];
        let end = header_end(window);
        let end = self.text.floor_char_boundary(start + end);
        (end > start).then_some(start..end)
    }

    /// Where the last of a list's quoted elements ends, the first of which ends at `end`.
    fn last_element(&mut self, mut end: usize, quote: u8, escapes: usize) -> usize {
        for _ in 0..32 {
            let closed = end + escapes + 1;
            let comma = closed
                + self
                    .bytes
                    .get(closed..)
                    .unwrap_or_default()
                    .iter()
                    .take(16)
                    .take_while(|byte| byte.is_ascii_whitespace())
                    .count();
            let next = comma
                + 1
                + self
                    .bytes
                    .get(comma + 1..)
                    .unwrap_or_default()
                    .iter()
                    .take(16)
                    .take_while(|byte| byte.is_ascii_whitespace())
                    .count();
            let (start, opened) = self.opener(next);
            if self.byte(comma) != Some(b',') || opened != Some((quote, escapes)) {
                break;
            }
            let Some(element) = self.quoted(start, quote, escapes) else { break };
            end = element.end;
        }
        end
    }

    /// Skips what may stand between a scheme and its credentials.
    fn gap(&self, from: usize) -> usize {
        if self.starts_with_any_case(from, "%20") {
            return from + 3;
        }
        if self.byte(from) == Some(b'+') {
            return from + 1;
        }
        let blank = self.skip_blanks(from);
        // A folded header goes on behind the line end.
        let folded = blank == from && matches!(self.byte(from), Some(b'\n' | b'\r')) || matches!(self.byte(blank), Some(b'\n'));
        if !folded {
            return blank;
        }
        let line = blank + self.bytes[blank..].iter().take(2).take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let start = self.skip_blanks(line);
        if start > line { start } else { blank }
    }
}

/// Where a header without quotes around it ends: at a line end, real or escaped, or at a quote that closes what stands around it.
/// A quote after `=` opens the value of a parameter, and one within brackets belongs to a value of JSON.
fn header_end(window: &[u8]) -> usize {
    let mut inside = false;
    let mut depth = 0_usize;
    for (at, &byte) in window.iter().enumerate() {
        let escaped = byte == b'\\' && matches!(window.get(at + 1), Some(b'n' | b'r' | b'u'));
        if matches!(byte, b'\n' | b'\r') || escaped {
            return at;
        }
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' if depth == 0 => {
                let slash = at.checked_sub(1).filter(|&before| window[before] == b'\\');
                let before = slash.unwrap_or(at).checked_sub(1).map(|before| window[before]);
                if !inside && before != Some(b'=') {
                    return slash.unwrap_or(at);
                }
                inside = !inside;
            }
            _ => {}
        }
    }
    window.len()
}
