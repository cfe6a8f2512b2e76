//! Tokens and shapes that an alphabet alone does not describe: each finder is anchored at its keyword, or at the start of a word.

use std::ops::Range;

use super::scan::{Alphabet, Scan};
use super::validate::{card, iban, iban_length, noise, placeholder, public_v4, public_v6, random, ssn};

/// Segments joined by dots, the first not longer than this, in bytes.
const MAX_JWT_HEADER: usize = 1024;
const MAX_AUTHORITY: usize = 2048;
/// From the BEGIN line of a key to its END: one of 16,384 bits, with something before each line.
const MAX_PEM: usize = 32 << 10;

/// `header.payload.signature` (RFC 7515), also cut after a piece of the payload; up to five segments (RFC 7516), of which the second
/// may be empty.
pub(super) fn jwt(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let inside = scan.before(keyword.start).is_some_and(|byte| byte.is_ascii_alphanumeric()) && !scan.starts_word(keyword.start);
    let header = scan.run(Alphabet::Url, keyword.start);
    if inside || !scan.starts_with(keyword.start, "eyJ") || header - keyword.start > MAX_JWT_HEADER {
        return None;
    }
    let mut end = header;
    for segment in 0..4 {
        let next = if scan.byte(end) == Some(b'.') { scan.run(Alphabet::Url, end + 1) } else { end };
        // The second segment is empty where the key is agreed on, and where the payload is sent apart (RFC 7515, appendix F).
        let empty = segment == 0 && next == end + 1 && scan.byte(next) == Some(b'.') && scan.has(next + 1, Alphabet::Url);
        if next <= end + 1 && !empty {
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
    let end = match scan.pem_end(body) {
        Some(end) => end,
        None => pem_lines(scan, body),
    };
    // Five dashes end in four: the longer keyword finds more.
    (scan.before(keyword.start) != Some(b'-')).then_some(keyword.start..end)
}

/// A key that a log cut, or wrote in pieces, goes on where as much base64 stands so near, in bytes.
const PIECE: usize = 40;
const LAST_PIECE: usize = 24;
const MAX_BETWEEN: usize = 80;

/// How far a key without its end goes: whatever stands before each of its lines.
fn pem_lines(scan: &mut Scan<'_>, body: usize) -> usize {
    let mut at = body;
    let mut end = body;
    while let Some((line_end, next, is_body)) = line(scan, at) {
        if !is_body {
            break;
        }
        end = line_end.max(end);
        at = next;
    }
    let mut apart = false;
    loop {
        let mut piece = end;
        let limit = scan.bytes.len().min(end + MAX_BETWEEN);
        let found = loop {
            let run = scan.run(Alphabet::Base64, piece);
            if run >= piece + PIECE || (apart && run >= piece + LAST_PIECE) {
                break Some(run);
            }
            if run >= limit {
                break None;
            }
            piece = run + 1;
        };
        let Some(found) = found else { return end };
        (end, apart) = (found, true);
    }
}

impl Scan<'_> {
    /// Where the END line behind a BEGIN line ends, whatever stands between, if it is near and the next line with dashes.
    fn pem_end(&self, body: usize) -> Option<usize> {
        let rest = &self.bytes[body..self.bytes.len().min(body + MAX_PEM)];
        let at = body + memchr::memmem::find(rest, b"----")?;
        if !self.starts_with(at, "---- END") && !self.starts_with(at, "-----END") {
            return None;
        }
        let label = &self.bytes[at + 8..(at + 80).min(self.bytes.len())];
        let close = memchr::memmem::find(label, b"----");
        let dashes = |offset: usize| label[offset..].iter().take(5).take_while(|&&byte| byte == b'-').count();
        Some(close.map_or(at + 8, |offset| at + 8 + offset + dashes(offset)))
    }
}

/// The lines of base64 behind their number, of a key as PuTTY keeps it.
pub(super) fn putty_key(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let number = scan.run(Alphabet::Digit, keyword.end);
    let mut end = number;
    loop {
        // A line end, real or escaped, at whatever depth.
        let at = |from: usize| {
            let rest = scan.bytes.get(from..).unwrap_or_default();
            let slashes = rest.iter().take(16).take_while(|&&byte| byte == b'\\').count();
            let letter = if slashes > 0 { b'n' } else { b'\n' };
            rest.get(slashes).filter(|&&byte| byte == letter).map(|_| from + slashes + 1)
        };
        let Some(start) = at(end) else { break };
        let padding = |from: usize| scan.bytes[from..].iter().take(2).take_while(|&&byte| byte == b'=').count();
        let run = scan.bytes[start..].iter().take(MAX_BETWEEN).take_while(|&&byte| Alphabet::Base64.has(byte)).count();
        let line = start + run + padding(start + run);
        if run == 0 || (line < scan.bytes.len() && at(line).is_none()) {
            break;
        }
        end = line;
    }
    (number > keyword.end && end > number + PIECE).then_some(keyword.end..end)
}

/// The private number of a JSON Web Key (RFC 7518, 6.2.2 and 6.3.2).
pub(super) fn jwk(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let (start, quote) = scan.opener(scan.skip_blanks(keyword.end));
    let (quote, escapes) = quote?;
    let end = scan.run(Alphabet::Url, start);
    (end >= start + PIECE && scan.byte(end + escapes) == Some(quote)).then_some(start..end)
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
            let (user, password) = (&user_info[..at], &user_info[at + colon.len()..]);
            // `https://<token>:x-oauth-basic@github.com`: the token is the user.
            let token = user.len() >= 20 && noise(user);
            match (token, placeholder(password)) {
                (true, _) => Some(0..user_info.len()),
                (false, false) => Some(at + colon.len()..user_info.len()),
                (false, true) => None,
            }
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

/// Endings of a version: `pkg@2.beta`.
const STAGES: &[&str] = &["alpha", "beta", "rc", "next", "dev", "pre", "final", "release", "canary", "snapshot"];

/// `local@domain.tld`, anchored at the `@` or what stands for it; not a package, a version, a stack frame or the user info of a URL.
pub(super) fn email(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let start = local_part(scan, keyword.start);
    let end = domain_end(scan, keyword.end);
    if start >= keyword.start || end <= keyword.end || end - keyword.end > 253 {
        return None;
    }
    let domain = &scan.text[keyword.end..end];
    let (name, ending) = domain.rsplit_once('.')?;
    let numbered = name.split('.').all(|label| label.bytes().next().is_some_and(|byte| byte.is_ascii_digit()));
    // `lodash@4.17.21`, and not `somebody@163.com`.
    let version = numbered && (name.contains(['.', '-']) || STAGES.contains(&ending));
    let encoded = ending.len() > 4 && ending.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("xn--"));
    let top = encoded || (ending.len() >= 2 && ending.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let line = scan.byte(end) == Some(b':') && scan.has(end + 1, Alphabet::Digit);
    let file = FILES.contains(&ending) || (line && matches!(ending, "py" | "rs" | "rb" | "go"));
    let remote = &scan.text[start..keyword.start] == "git";
    (top && !version && !file && !remote && !name.contains("..") && !in_authority(scan, start)).then_some(start..end)
}

/// Letters of Latin alphabets beyond ASCII stand in names and hosts; those of others mostly stand before them.
fn latin(c: char) -> bool {
    ('\u{c0}'..'\u{250}').contains(&c)
}

/// Where the local part before `at` begins; `at` where there is none.
fn local_part(scan: &Scan<'_>, at: usize) -> usize {
    let low = scan.text.floor_char_boundary(at.saturating_sub(64));
    let back = &scan.text[low..at];
    let local = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '%' | '+') || latin(c);
    let start = low + back.trim_end_matches(local).len();
    // An escaped line end before the name is no part of it.
    let escaped = scan.before(start) == Some(b'\\') && matches!(scan.byte(start), Some(b'n' | b'r' | b't'));
    if escaped { start + 1 } else { start }
}

fn domain_end(scan: &mut Scan<'_>, at: usize) -> usize {
    let mut end = scan.run(Alphabet::Dotted, at);
    while end - at <= 253
        && let Some(c) = scan.text.get(end..).and_then(|rest| rest.chars().next()).filter(|&c| latin(c))
    {
        end = scan.run(Alphabet::Dotted, end + c.len_utf8());
    }
    while end > at && !scan.bytes[end - 1].is_ascii_alphanumeric() {
        end -= 1;
    }
    let begins = scan.text[at..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || latin(c));
    if begins && scan.text.is_char_boundary(end) { end } else { at }
}

/// Whether `at` stands behind `://` without an end of the authority between.
fn in_authority(scan: &Scan<'_>, at: usize) -> bool {
    let back = &scan.bytes[at.saturating_sub(256)..at];
    let slash = back.iter().rposition(|&byte| !Alphabet::Authority.has(byte));
    slash.is_some_and(|slash| back[..=slash].ends_with(b"://") || back[..=slash].ends_with(b"\\/"))
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
            b' ' | b'-' | b'+' | b'.'
                if separator.is_none_or(|known| known == byte) && scan.has(end + 1, Alphabet::Digit) && group < 5 =>
            {
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
    // Four numbers of four digits, and no decimals.
    let dots = separator == Some(b'.') && groups[..=group] != [4, 4, 4, 4];
    (!joined && !dots && (group == 0 || grouped(&groups[..=group])) && card(&digits)).then_some(at..end)
}

/// The number on track 1 of a card (ISO/IEC 7813): `%B`, digits, `^`.
pub(super) fn track(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let end = scan.run(Alphabet::Digit, keyword.end);
    let digits = scan.bytes.get(keyword.end..end)?;
    (scan.byte(end) == Some(b'^') && (13..=19).contains(&digits.len()) && card(digits)).then_some(keyword.end..end)
}

fn grouped(groups: &[usize]) -> bool {
    matches!(groups, [4, 4, 4, 4] | [4, 4, 4, 4, 3] | [4, 6, 5 | 4])
}

/// An IBAN, in one piece or in groups of four.
pub(super) fn iban_number(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    iban_at(scan, at, |byte| Alphabet::Upper.has(byte))
}

/// An IBAN in small letters, right behind its name.
pub(super) fn iban_near(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let window = scan.bytes.get(keyword.end..scan.bytes.len().min(keyword.end + 12))?;
    let at = keyword.end + window.iter().position(u8::is_ascii_alphabetic)?;
    iban_at(scan, at, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn iban_at(scan: &Scan<'_>, at: usize, member: impl Fn(u8) -> bool) -> Option<Range<usize>> {
    let head = scan.text.get(at..at + 4)?.as_bytes();
    let letters = head[..2].iter().all(|&byte| byte.is_ascii_alphabetic() && member(byte));
    if !letters || !head[2].is_ascii_digit() || !head[3].is_ascii_digit() {
        return None;
    }
    let length = iban_length(&scan.text[at..at + 2].to_ascii_uppercase())?;
    let mut number = Vec::with_capacity(length);
    let mut end = at;
    while number.len() < length {
        match scan.byte(end)? {
            byte if member(byte) => number.push(byte.to_ascii_uppercase()),
            b' ' | b'-' | b'+' if number.len().is_multiple_of(4) && !number.is_empty() => {}
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
    let address: std::net::Ipv4Addr = scan.text[at..at + length].parse().ok()?;
    let end = at + length;
    let next = |offset: usize| scan.byte(end + offset);
    let word = scan.has(end, Alphabet::Word);
    let port = next(0) == Some(b':') && next(1).is_some_and(|byte| byte.is_ascii_digit());
    // `1.2.3.4-rc1` and `nginx/1.25.3.1` are versions, which count from small numbers and often end in noughts.
    let suffixed = matches!(next(0), Some(b'-' | b'+')) && next(1).is_some_and(|byte| byte.is_ascii_alphanumeric());
    let product = matches!(scan.before(at), Some(b'/' | b'-')) && after_product(scan, at - 1) && !port;
    let [first, _, third, fourth] = address.octets();
    let low = first < 24 || (third == 0 && fourth == 0);
    let version = (low && (suffixed || product)) || after_version(scan, at, low);
    (!word && scan.before(at) != Some(b'.') && !version && public_v4(address)).then_some(at..end)
}

/// Whether what stands before `at` is a word, and neither a host nor a protocol.
fn after_product(scan: &Scan<'_>, at: usize) -> bool {
    let back = &scan.bytes[at.saturating_sub(32)..at];
    let start = back.iter().rposition(|&byte| !Alphabet::Dotted.has(byte)).map_or(0, |at| at + 1);
    let word = &back[start..];
    word.last().is_some_and(u8::is_ascii_alphanumeric)
        && !word.iter().all(|&byte| Alphabet::Digit.has(byte) || byte == b'.')
        && !word.contains(&b'.')
        && !matches!(word, b"tcp" | b"udp" | b"ip" | b"ip4" | b"node" | b"host" | b"peer" | b"client")
}

/// Words before a version that looks like an address: right before it, and somewhere before one of small numbers.
const VERSIONED: &[&str] = &["ver", "release", "build", "revision", "rev", "section", "chapter", "sdk", "python"];
const UPGRADED: &[&str] = &["firmware", "upgraded", "downgraded", "upgrade", "package", "pkg"];

/// Whether the words before say that a version comes: `version 1.2.3.4`, `Version=4.0.0.0`, `upgraded foo 1.2.3.4 to 1.2.3.5`.
fn after_version(scan: &Scan<'_>, at: usize, low: bool) -> bool {
    let back = &scan.bytes[at.saturating_sub(40)..at];
    let line = back.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let back = back[line..].to_ascii_lowercase();
    let mut words = back.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let listed = |word: &[u8], list: &[&str]| list.iter().any(|name| word == name.as_bytes());
    let last = words.clone().next_back().unwrap_or_default();
    let gap = back.iter().rev().take_while(|byte| !byte.is_ascii_alphabetic());
    let right_before = gap.clone().count() < 16 && gap.copied().all(|byte| matches!(byte, b' ' | b'=' | b':' | b'"' | b'\''));
    (right_before && (last.ends_with(b"version") || listed(last, VERSIONED))) || (low && words.any(|word| listed(word, UPGRADED)))
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
    (sure && !scan.has(end, Alphabet::Word) && !in_address(scan, at) && public_v6(address)).then_some(at..end)
}

/// Whether `at` stands behind a colon that could be one of the address; that of `peer:` and of `":` is not.
fn in_address(scan: &Scan<'_>, at: usize) -> bool {
    let back = &scan.bytes[at.saturating_sub(16)..at];
    let Some((b':', word)) = back.split_last() else { return false };
    let start = word.iter().rposition(|&byte| !Alphabet::Word.has(byte)).map_or(0, |at| at + 1);
    word[start..].iter().all(u8::is_ascii_hexdigit) && (start < word.len() || word.last() == Some(&b':'))
}

/// How far before or behind its name a social security number is looked for, in bytes.
const MAX_TO_SSN: usize = 48;

/// A social security number near its name: behind it, or before it as `219-09-9999`.
pub(super) fn ssn_near(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    // `className` and `businessNumber` have the letters and not the word.
    let small = scan.has(keyword.start, Alphabet::Alnum) && scan.bytes[keyword.start].is_ascii_lowercase();
    let goes_on = scan.byte(keyword.end).is_some_and(|byte| byte.is_ascii_lowercase() && byte != b's');
    let joined = scan.before(keyword.start).is_some_and(|byte| byte.is_ascii_alphabetic()) && !scan.starts_word(keyword.start);
    if (joined && small) || goes_on {
        return None;
    }
    let limit = (keyword.end + MAX_TO_SSN).min(scan.bytes.len());
    let line = memchr::memchr(b'\n', &scan.bytes[keyword.end..limit]).map_or(limit, |at| keyword.end + at);
    let behind = (keyword.end..line).find(|&at| scan.has(at, Alphabet::Digit));
    behind.and_then(|at| ssn_at(scan, at, false)).or_else(|| {
        let low = keyword.start.saturating_sub(MAX_TO_SSN);
        let starts = (low..keyword.start).filter(|&at| scan.has(at, Alphabet::Digit) && scan.starts_word(at));
        starts.rev().find_map(|at| ssn_at(scan, at, true))
    })
}

fn ssn_at(scan: &Scan<'_>, start: usize, separated: bool) -> Option<Range<usize>> {
    let mut digits = Vec::with_capacity(9);
    let mut separators = 0;
    let mut end = start;
    while let Some(byte) = scan.byte(end) {
        match byte {
            b'0'..=b'9' if digits.len() < 9 => digits.push(byte),
            b'-' | b' ' | b'.' if matches!(digits.len(), 3 | 5) && scan.has(end + 1, Alphabet::Digit) => separators += 1,
            b'0'..=b'9' => return None,
            _ => break,
        }
        end += 1;
    }
    (ssn(&digits) && (!separated || separators == 2)).then_some(start..end)
}
