//! Passwords that stand behind a word and a space: in sentences, in SQL, on command lines.

use std::ops::Range;

use super::scan::{Alphabet, Scan};
use super::validate::{placeholder, random, strong};

/// Options are looked for this far behind the name of their command, in bytes.
const MAX_COMMAND: usize = 512;

/// Behind which options a user's name and the password stand, or the password alone, by how the command begins.
const OPTIONS: &[(&str, &[&str])] = &[
    ("curl", &[" -u ", " --user ", " --user=", " -u"]),
    ("http ", &[" -a ", " --auth "]),
    ("ldapsearch", &[" -w "]),
    ("mysql", &[" -p"]),
    ("sshpass", &[" -p ", " -p"]),
    ("redis", &[" -a ", " --pass "]),
    ("", &[" -p "]),
];

/// `password 'x'` in quotes, or a word of three kinds of characters without; `PASSWORD('x')` of SQL.
pub(super) fn spoken(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let call = scan.byte(keyword.end) == Some(b'(') && scan.bytes[keyword.clone()].iter().all(u8::is_ascii_uppercase);
    let start = if call { keyword.end + 1 } else { scan.skip_blanks(keyword.end) };
    if start == keyword.end {
        return None;
    }
    let (start, quote) = scan.opener(start);
    let (value, fits) = if let Some((quote, escapes)) = quote {
        let value = scan.quoted(start, quote, escapes)?;
        let word = !scan.text[value.clone()].contains(char::is_whitespace);
        (value, word)
    } else {
        let value = start..scan.unquoted_end(start);
        let strong = strong(&scan.text[value.clone()]);
        (value, strong)
    };
    (fits && !placeholder(&scan.text[value.clone()])).then_some(value)
}

/// The password among the options of a command that takes one.
pub(super) fn command_line(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let (command, options) = OPTIONS.iter().find(|(command, _)| scan.starts_with_any_case(keyword.start, command))?;
    let from = keyword.end - 1;
    let window = &scan.bytes[from..scan.bytes.len().min(from + MAX_COMMAND)];
    let line = &window[..memchr::memchr2(b'\n', b'|', window).unwrap_or(window.len())];
    let found = options.iter().find_map(|option| {
        let at = memchr::memmem::find(line, option.as_bytes())?;
        Some((from + at + option.len(), option.ends_with(' ')))
    });
    let (start, apart) = found?;
    let (start, quote) = scan.opener(start);
    let value = if let Some((quote, escapes)) = quote {
        scan.quoted(start, quote, escapes)?
    } else {
        // The colon of `-u <token>:` is a part of it.
        let end = scan.unquoted_end(start);
        start..end + usize::from(scan.byte(end) == Some(b':'))
    };
    let text = &scan.text[value.clone()];
    if placeholder(text.trim_end_matches(':')) {
        return None;
    }
    if !matches!(*command, "curl" | "http ") {
        // `-pshop` may be any option; one that has a capital or a digit is a password.
        let word = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        return (!placeholder(text) && !text.starts_with('-') && (apart || !word)).then_some(value);
    }
    let colon = text.find(':')?;
    let password = &text[colon + 1..];
    if password.is_empty() && colon >= 20 && random(&text[..colon]) {
        // `-u <token>:`
        return Some(value.start..value.start + colon);
    }
    let numbers = text.bytes().all(|byte| Alphabet::Digit.has(byte) || byte == b':');
    (!numbers && !password.starts_with("//") && !placeholder(password)).then_some(value.start + colon + 1..value.end)
}
