//! Tokens and shapes that an alphabet alone does not describe: each finder is anchored at its keyword, or at the start of a word.

use std::ops::Range;

use super::scan::{Alphabet, Scan};
use super::validate::{card, iban, iban_length, placeholder, public_v4, public_v6, random, ssn};

/// Segments joined by dots, the first not longer than this, in bytes.
const MAX_JWT_HEADER: usize = 1024;
const MAX_AUTHORITY: usize = 2048;

/// `header.payload.signature` (RFC 7515), also cut after a piece of the payload; up to five segments (RFC 7516).
pub(super) fn jwt(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let inside = scan.before(keyword.start).is_some_and(|byte| byte.is_ascii_alphanumeric()) && !scan.starts_word(keyword.start);
    let header = scan.run(Alphabet::Url, keyword.start);
    if inside || !scan.starts_with(keyword.start, "eyJ") || header - keyword.start > MAX_JWT_HEADER {
        return None;
    }
    let mut end = header;
    for _ in 0..4 {
        let next = if scan.byte(end) == Some(b'.') { scan.run(Alphabet::Url, end + 1) } else { end };
        if next <= end + 1 {
            break;
        }
        end = next;
    }
    (end > header).then_some(keyword.start..end)
}

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
    if scan.starts_with(at, "-----END") || scan.starts_with(at, "---- END") {
        let label = &scan.bytes[at + 8..(at + 80).min(scan.bytes.len())];
        let close = memchr::memmem::find(label, b"----");
        let dashes = |offset: usize| label[offset..].iter().take(5).take_while(|&&byte| byte == b'-').count();
        end = close.map_or(at + 8, |offset| at + 8 + offset + dashes(offset));
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
    match user_info.find(colon) {
        Some(at) => {
            let password = &user_info[at + colon.len()..];
            (!placeholder(password)).then_some(at + colon.len()..user_info.len())
        }
        None => (user_info.len() >= 16 && random(user_info)).then_some(0..user_info.len()),
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

/// Endings of a file and not of a host.
const FILES: &[&str] = &["js", "mjs", "cjs", "jsx", "ts", "tsx", "html", "wasm", "vue", "svelte", "php", "java", "cpp"];

/// `local@domain.tld`, anchored at the `@` or `%40`; not a package, a version, a stack frame or the user info of a URL.
pub(super) fn email(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let low = keyword.start.saturating_sub(64);
    let local = |byte: u8| Alphabet::Dotted.has(byte) || matches!(byte, b'%' | b'+');
    let start = low + scan.bytes[low..keyword.start].iter().rposition(|&byte| !local(byte)).map_or(0, |at| at + 1);
    // An escaped line end before the name is no part of it.
    let start =
        if scan.before(start) == Some(b'\\') && matches!(scan.byte(start), Some(b'n' | b'r' | b't')) { start + 1 } else { start };
    let mut end = scan.run(Alphabet::Dotted, keyword.end);
    while end > keyword.end && !scan.bytes[end - 1].is_ascii_alphanumeric() {
        end -= 1;
    }
    if start >= keyword.start || end <= keyword.end || end - keyword.end > 253 || !scan.has(keyword.end, Alphabet::Alnum) {
        return None;
    }
    let domain = &scan.text[keyword.end..end];
    let (name, ending) = domain.rsplit_once('.')?;
    let version = name.split('.').all(|label| label.bytes().next().is_some_and(|byte| byte.is_ascii_digit()));
    let top = ending.len() >= 2 && ending.bytes().all(|byte| byte.is_ascii_alphabetic());
    let file = FILES.contains(&ending) || (scan.byte(end) == Some(b':') && matches!(ending, "py" | "rs" | "rb" | "go"));
    let remote = &scan.text[start..keyword.start] == "git";
    (top && !version && !file && !remote && !name.contains("..") && !in_authority(scan, start)).then_some(start..end)
}

/// Whether `at` stands behind `://` without an end of the authority between.
fn in_authority(scan: &Scan<'_>, at: usize) -> bool {
    let back = &scan.bytes[at.saturating_sub(256)..at];
    let slash = back.iter().rposition(|&byte| !Alphabet::Authority.has(byte));
    slash.is_some_and(|slash| back[..=slash].ends_with(b"//") || back[..=slash].ends_with(b"\\/"))
}

/// A card number as one run or in its groups, at the start of a word.
pub(super) fn card_number(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    if !scan.has(at, Alphabet::Digit) || matches!(scan.before(at), Some(b'.' | b'-')) {
        return None;
    }
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
            b' ' | b'-' if separator.is_none_or(|known| known == byte) && scan.has(end + 1, Alphabet::Digit) && group < 5 => {
                // What follows a finished number is not a part of it.
                if group >= 2 && grouped(&groups[..=group]) && card(&digits) {
                    break;
                }
                separator = Some(byte);
                group += 1;
            }
            _ => break,
        }
        end += 1;
    }
    let fraction = scan.byte(end) == Some(b'.') && scan.has(end + 1, Alphabet::Digit);
    let joined = scan.has(end, Alphabet::Word) || fraction;
    (!joined && (group == 0 || grouped(&groups[..=group])) && card(&digits)).then_some(at..end)
}

fn grouped(groups: &[usize]) -> bool {
    matches!(groups, [4, 4, 4, 4] | [4, 4, 4, 4, 3] | [4, 6, 5 | 4])
}

/// An IBAN, in one piece or in groups of four.
pub(super) fn iban_number(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let head = scan.text.get(at..at + 4)?.as_bytes();
    if !(head[0].is_ascii_uppercase() && head[1].is_ascii_uppercase() && head[2].is_ascii_digit() && head[3].is_ascii_digit()) {
        return None;
    }
    let length = iban_length(&scan.text[at..at + 2])?;
    let mut number = Vec::with_capacity(length);
    let mut end = at;
    while number.len() < length {
        match scan.byte(end)? {
            byte if Alphabet::Upper.has(byte) => number.push(byte),
            b' ' if number.len().is_multiple_of(4) && !number.is_empty() => {}
            _ => return None,
        }
        end += 1;
    }
    (!scan.has(end, Alphabet::Alnum) && iban(&number)).then_some(at..end)
}

/// An IPv4 address that is public; a version number is none.
pub(super) fn v4(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let rest = scan.bytes.get(at..)?;
    let length = rest.iter().take(17).take_while(|&&byte| byte.is_ascii_digit() || byte == b'.').count();
    let length = length - usize::from(rest[..length].ends_with(b"."));
    let address = scan.text[at..at + length].parse().ok()?;
    let end = at + length;
    let next = |offset: usize| scan.byte(end + offset);
    let goes_on = scan.has(end, Alphabet::Word)
        || next(0) == Some(b'+')
        || (next(0) == Some(b'-') && next(1).is_some_and(|byte| byte.is_ascii_alphabetic()));
    let port = next(0) == Some(b':') && next(1).is_some_and(|byte| byte.is_ascii_digit());
    let before = scan.before(at);
    let word_before = at.checked_sub(2).and_then(|at| scan.byte(at)).is_some_and(|byte| byte.is_ascii_alphanumeric());
    let product = matches!(before, Some(b'/' | b'-' | b'@')) && word_before && !port;
    let joined = before == Some(b'.') || goes_on || product || after_version(scan, at);
    (!joined && public_v4(address)).then_some(at..end)
}

/// Whether the word before says that a version comes: `version 1.2.3.4`, `Version=4.0.0.0`.
fn after_version(scan: &Scan<'_>, at: usize) -> bool {
    let back = &scan.bytes[at.saturating_sub(16)..at];
    let end = back.iter().rposition(u8::is_ascii_alphabetic).map_or(0, |last| last + 1);
    let between = back[end..].iter().all(|byte| matches!(byte, b' ' | b'=' | b':' | b'"' | b'\''));
    let word = back[..end].to_ascii_lowercase();
    between && ["version", "ver", "release", "build", "revision"].iter().any(|name| word.ends_with(name.as_bytes()))
}

/// An IPv6 address that is public: eight numbers, or `::` for some of them.
pub(super) fn v6(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let rest = scan.bytes.get(at..)?;
    let length = rest.iter().take(46).take_while(|&&byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')).count();
    let mut text = &scan.text[at..at + length];
    if !text.contains("::") && text.bytes().filter(|&byte| byte == b':').count() < 6 {
        return None;
    }
    while !text.ends_with("::") && text.ends_with([':', '.']) {
        text = &text[..text.len() - 1];
    }
    let address: std::net::Ipv6Addr = text.parse().ok()?;
    let end = at + text.len();
    // `abc::def` is a path of Rust or C++: an abbreviated address must be one that is given out (2000::/3).
    let given_out = address.segments()[0] & 0xe000 == 0x2000 && text.as_bytes().get(4) == Some(&b':');
    let sure = given_out || address.to_ipv4_mapped().is_some() || !text.contains("::");
    (sure && !scan.has(end, Alphabet::Word) && scan.before(at) != Some(b':') && public_v6(address)).then_some(at..end)
}

/// A social security number within 24 bytes after its name.
pub(super) fn ssn_near(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let limit = (keyword.end + 24).min(scan.bytes.len());
    let start = (keyword.end..limit).find(|&at| scan.has(at, Alphabet::Digit))?;
    let mut digits = Vec::with_capacity(9);
    let mut end = start;
    while let Some(byte) = scan.byte(end) {
        match byte {
            b'0'..=b'9' if digits.len() < 9 => digits.push(byte),
            b'-' | b' ' if matches!(digits.len(), 3 | 5) && scan.has(end + 1, Alphabet::Digit) => {}
            b'0'..=b'9' => return None,
            _ => break,
        }
        end += 1;
    }
    ssn(&digits).then_some(start..end)
}
