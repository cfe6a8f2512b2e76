//! Tokens as one service issues them, where a head and an alphabet do not describe them; each finder is anchored at its keyword.

use std::ops::{Range, RangeInclusive};

use super::scan::{Alphabet, Scan};
use super::validate::aws_secret;

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
