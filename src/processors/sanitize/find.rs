//! Tokens and shapes that an alphabet alone does not describe: each finder is anchored at its keyword, or at the start of a word.

use std::ops::Range;

use super::placeholders::placeholder;
use super::plain::compound;
use super::scan::{Alphabet, Scan};
use super::validate::{card, iban, iban_length, random, ssn};

/// Segments joined by dots, the first not longer than this, in bytes.
const MAX_JWT_HEADER: usize = 1024;
const MAX_AUTHORITY: usize = 2048;
/// From a name to the number that it announces, in bytes.
const MAX_NEAR: usize = 48;

/// `header.payload.signature` (RFC 7515), also cut after a piece of the payload; up to five segments (RFC 7516).
pub(super) fn jwt(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let inside = scan.before(keyword.start).is_some_and(|byte| byte.is_ascii_alphanumeric()) && !scan.starts_word(keyword.start);
    let header = scan.run(Alphabet::Url, keyword.start);
    if inside || !scan.starts_with(keyword.start, "eyJ") || header - keyword.start > MAX_JWT_HEADER {
        return None;
    }
    let mut end = header;
    let mut next = header;
    for _ in 0..4 {
        // A segment may be empty: the key of `alg: dir`, a payload that is detached.
        if scan.byte(next) != Some(b'.') {
            break;
        }
        let start = next + 1;
        next = scan.run(Alphabet::Url, start);
        if next > start {
            end = next;
        }
    }
    (end > header).then_some(keyword.start..end)
}

/// The password in the user info of a URL (RFC 3986, 3.2.1): from the first colon to the last `@` before the host. User info without a
/// password goes if it looks like a token.
pub(super) fn url_password(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let start = keyword.end;
    let end = scan.run(Alphabet::Authority, start);
    if end - start > MAX_AUTHORITY {
        return None;
    }
    let at = scan.text[start..end].rfind('@')?;
    secret_of(&scan.text[start..start + at], ":").map(|range| start + range.start..start + range.end)
}

/// The same in a URL that is percent-encoded as a whole.
pub(super) fn encoded_url_password(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let start = keyword.end;
    let end = scan.run(Alphabet::Token68, start).min(start + MAX_AUTHORITY);
    let text = scan.text.get(start..end)?.to_ascii_uppercase();
    let authority =
        &text[..["%2F", "%3F", "%23", "%20", "%22"].iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len())];
    let at = authority.rfind("%40")?;
    secret_of(&authority[..at], "%3A").map(|range| start + range.start..start + range.end)
}

fn secret_of(user_info: &str, colon: &str) -> Option<Range<usize>> {
    if placeholder(user_info) {
        return None;
    }
    let token = |user: &str| user.len() >= 16 && random(user) && !compound(user, false);
    match user_info.find(colon) {
        Some(at) => {
            let password = at + colon.len()..user_info.len();
            // A token may be the name: the password is empty, or a word that says so.
            if token(&user_info[..at]) {
                return Some(0..if password.is_empty() { at } else { user_info.len() });
            }
            (!placeholder(&user_info[password.clone()])).then_some(password)
        }
        None => token(user_info).then_some(0..user_info.len()),
    }
}

/// `user:password@tcp(host)` as Go's MySQL driver has it.
pub(super) fn dsn_password(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let low = keyword.start.saturating_sub(256);
    let back = &scan.bytes[low..keyword.start];
    let start = low
        + back.iter().rposition(|&byte| matches!(byte, b' ' | b'"' | b'\'' | b'`' | b'=' | b'\n' | b'/')).map_or(0, |at| at + 1);
    let text = scan.text.get(start..keyword.start)?;
    let colon = text.find(':')?;
    (!placeholder(&text[colon + 1..])).then_some(start + colon + 1..keyword.start)
}

/// `user/password@host` behind the scheme of Oracle's driver.
pub(super) fn oracle_password(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let slash = scan.run(Alphabet::Authority, keyword.end);
    let end = scan.run(Alphabet::Authority, slash + 1);
    let password = scan.text.get(slash + 1..end)?;
    let at = password.rfind('@')?;
    (scan.byte(slash) == Some(b'/') && !placeholder(&password[..at])).then_some(slash + 1..slash + 1 + at)
}

/// A card number as one run or in its groups, at the start of a word.
pub(super) fn card_number(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let attached = match scan.before(at) {
        Some(b'-' | b'_') => !behind_its_name(scan, at - 1),
        before => before == Some(b'.'),
    };
    if !scan.has(at, Alphabet::Digit) || attached {
        return None;
    }
    card_at(scan, at)
}

/// `cc-4111…`, `card_4111…`: other names end in numbers as well.
fn behind_its_name(scan: &Scan<'_>, at: usize) -> bool {
    let back = scan.bytes[at.saturating_sub(8)..at].to_ascii_lowercase();
    [&b"cc"[..], b"card", b"pan", b"visa", b"amex", b"number"].iter().any(|name| back.ends_with(name))
}

/// The number of a magnetic stripe, `%B4111…^`, and one with spaces that do not break.
pub(super) fn card_behind(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    card_at(scan, keyword.end - 1)
}

/// A number whose first space is one that does not break; the keyword is that space with the digit behind.
pub(super) fn card_around(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let start = keyword.start.checked_sub(4)?;
    let begins = start == 0 || scan.starts_word(start);
    (begins && scan.text.is_char_boundary(start)).then(|| card_at(scan, start))?
}

fn card_at(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let mut digits = Vec::with_capacity(19);
    let mut groups = [0_usize; 6];
    let mut group = 0;
    let mut separator = None;
    let mut end = at;
    while let Some(byte) = scan.byte(end) {
        match byte {
            b'0'..=b'9' if digits.len() < 19 => {
                digits.push(byte);
                groups[group] += 1;
            }
            b'0'..=b'9' => return None,
            b' ' | b'-' | b'+' | b'.' | 0xc2
                if separator.is_none_or(|known| known == byte)
                    && group < 5
                    && scan.has(end + 1 + usize::from(byte == 0xc2), Alphabet::Digit)
                    && (byte != 0xc2 || scan.byte(end + 1) == Some(0xa0)) =>
            {
                // What follows a finished number is not a part of it.
                if group >= 2 && grouped(&groups[..=group]) && card(&digits) {
                    break;
                }
                separator = Some(byte);
                group += 1;
                end += usize::from(byte == 0xc2);
            }
            _ => break,
        }
        end += 1;
    }
    let fraction = scan.byte(end) == Some(b'.') && scan.has(end + 1, Alphabet::Digit);
    // Letters may follow that make no hexadecimal number of it.
    let letters = scan
        .bytes
        .get(end..end + 2)
        .is_some_and(|two| two.iter().all(u8::is_ascii_alphabetic) && !two.iter().all(u8::is_ascii_hexdigit));
    let joined = (scan.has(end, Alphabet::Word) && !letters) || fraction;
    (!joined && (group == 0 || grouped(&groups[..=group])) && card(&digits)).then_some(at..end)
}

fn grouped(groups: &[usize]) -> bool {
    matches!(groups, [4, 4, 4, 4] | [4, 4, 4, 4, 3] | [4, 6, 5 | 4])
}

/// An IBAN, in one piece or in groups of four.
pub(super) fn iban_number(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let head = scan.text.get(at..at + 4)?.as_bytes();
    if !(head[0].is_ascii_alphabetic() && head[1].is_ascii_alphabetic() && head[2].is_ascii_digit() && head[3].is_ascii_digit()) {
        return None;
    }
    let length = iban_length(&scan.text[at..at + 2].to_ascii_uppercase())?;
    let mut number = Vec::with_capacity(length);
    let mut end = at;
    while number.len() < length {
        match scan.byte(end)? {
            byte if Alphabet::Alnum.has(byte) => number.push(byte.to_ascii_uppercase()),
            b' ' | b'-' | b'+' if number.len().is_multiple_of(4) && !number.is_empty() => {}
            _ => return None,
        }
        end += 1;
    }
    (!scan.has(end, Alphabet::Alnum) && iban(&number)).then_some(at..end)
}

/// One of small letters, near the word that announces it.
pub(super) fn iban_near(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let window = keyword.end..scan.bytes.len().min(keyword.end + MAX_NEAR);
    window
        .into_iter()
        .find_map(|at| if scan.has(at, Alphabet::Alnum) && scan.starts_word(at) { iban_number(scan, at) } else { None })
}

/// A social security number near its name: in groups before or behind it, or as nine digits right behind.
pub(super) fn ssn_near(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let hump = scan.bytes[keyword.start].is_ascii_uppercase()
        && scan.before(keyword.start).is_some_and(|byte| byte.is_ascii_lowercase());
    let joined = scan.before(keyword.start).is_some_and(|byte| byte.is_ascii_alphabetic()) && !hump;
    let goes_on = scan.byte(keyword.end).is_some_and(|byte| byte.is_ascii_lowercase() && byte != b's');
    if (joined && !scan.starts_word(keyword.start)) || (keyword.len() == 3 && goes_on) {
        return None;
    }
    let behind = keyword.end..scan.bytes.len().min(keyword.end + MAX_NEAR);
    let close = keyword.end + 24;
    let found = behind
        .into_iter()
        .filter(|&at| scan.has(at, Alphabet::Digit))
        .find_map(|at| ssn_at(scan, at).filter(|found| found.len() > 9 || at <= close));
    found.or_else(|| {
        let before = keyword.start.saturating_sub(MAX_NEAR)..keyword.start;
        before
            .into_iter()
            .rev()
            .filter(|&at| scan.has(at, Alphabet::Digit))
            .find_map(|at| ssn_at(scan, at).filter(|found| found.len() > 9))
    })
}

/// Nine digits, alone or in groups of three, two and four.
fn ssn_at(scan: &Scan<'_>, start: usize) -> Option<Range<usize>> {
    if scan.before(start).is_some_and(|byte| Alphabet::Alnum.has(byte) || matches!(byte, b'-' | b'.')) && !scan.starts_word(start)
    {
        return None;
    }
    let mut digits = Vec::with_capacity(9);
    let mut end = start;
    let mut separator = None;
    while let Some(byte) = scan.byte(end) {
        match byte {
            b'0'..=b'9' if digits.len() < 9 => digits.push(byte),
            b'-' | b' ' | b'.'
                if (digits.len() == 3 || (digits.len() == 5 && separator == Some(byte)))
                    && scan.has(end + 1, Alphabet::Digit) =>
            {
                separator = Some(byte);
            }
            b'0'..=b'9' => return None,
            _ => break,
        }
        end += 1;
    }
    ssn(&digits).then_some(start..end)
}
