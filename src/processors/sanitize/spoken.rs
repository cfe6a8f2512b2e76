//! Passwords that stand behind a word and a space: in sentences, in SQL, on command lines.

use std::ops::Range;

use super::headers::pairs;
use super::placeholders::placeholder;
use super::plain::compound;
use super::scan::{Alphabet, Scan};
use super::validate::{random, strong};

/// Options are looked for this far behind the name of their command, in bytes.
const MAX_COMMAND: usize = 1000;
/// A pipe is looked through this far before the command that it ends in.
const MAX_PIPE: usize = 200;

/// Behind which options a user's name and the password stand, or the password alone, by how the command begins.
const OPTIONS: &[(&str, &[&str])] = &[
    ("curl", &[" -u ", " --user ", " --user=", " -u"]),
    ("http", &[" -a "]),
    ("mysql", &[" -p"]),
    ("sshpass", &[" -p ", " -p"]),
    ("redis", &[" -a ", " --pass "]),
    ("ldap", &[" -w "]),
    ("", &[" -p "]),
];
/// Commands whose option takes `user:password`.
const WITH_USER: &[&str] = &["curl", "http"];

/// `password 'x'` in quotes, or a word of three kinds of characters without.
pub(super) fn spoken(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let start = scan.skip_blanks(keyword.end);
    if start == keyword.end {
        return None;
    }
    let verb = [" is ", " to ", " was "].iter().find(|verb| scan.starts_with(start - 1, verb)).map_or(0, |verb| verb.len() - 1);
    let (start, quote) = scan.opener(start + verb);
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

/// A token behind its name and a space.
pub(super) fn spoken_token(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let end = scan.run(Alphabet::Dotted, keyword.end);
    let end = if scan.before(end) == Some(b'.') { end - 1 } else { end };
    (end > keyword.end).then_some(keyword.end..end)
}

/// The password among the options of a command that takes one.
pub(super) fn command_line(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let (command, options) = OPTIONS.iter().find(|(command, _)| scan.starts_with_any_case(keyword.start, command))?;
    let from = scan.bytes[keyword.clone()].iter().position(|&byte| byte == b' ').map_or(keyword.end, |at| keyword.start + at);
    let window = &scan.bytes[from..scan.bytes.len().min(from + MAX_COMMAND)];
    let line = &window[..memchr::memchr2(b'\n', b'|', window).unwrap_or(window.len())];
    let found = options.iter().find_map(|option| {
        let at = memchr::memmem::find(line, option.as_bytes())?;
        Some((from + at + option.len(), option.ends_with([' ', '='])))
    });
    let (start, apart) = found?;
    let (start, quote) = scan.opener(start);
    let value = match quote {
        Some((quote, escapes)) => scan.quoted(start, quote, escapes)?,
        None => start..scan.unquoted_end(start),
    };
    let text = &scan.text[value.clone()];
    if !WITH_USER.contains(command) {
        // `-pshop` may be any option; one that has a capital or a digit is a password.
        let word = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        return (!placeholder(text) && !text.starts_with('-') && (apart || !word)).then_some(value);
    }
    if placeholder(text) {
        return None;
    }
    let token = |user: &str| user.len() >= 16 && random(user) && !compound(user, false);
    let Some(colon) = text.find(':') else {
        return token(text).then_some(value);
    };
    let (user, password) = (&text[..colon], &text[colon + 1..]);
    if token(user) {
        return Some(value);
    }
    let numbers = text.bytes().all(|byte| Alphabet::Digit.has(byte) || byte == b':');
    (!numbers && !password.starts_with("//") && !placeholder(password)).then_some(value.start + colon + 1..value.end)
}

/// `echo "user:password" | chpasswd`
pub(super) fn chpasswd(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let low = scan.text.ceil_char_boundary(keyword.start.saturating_sub(MAX_PIPE));
    let piped = scan.text[low..keyword.start].trim_end().strip_suffix('|')?.trim_end();
    let piped = piped.trim_end_matches(['"', '\'', '\\']);
    let start = low + piped.rfind([' ', '"', '\'', '\n']).map_or(0, |at| at + 1);
    let end = low + piped.len();
    let colon = scan.text[start..end].find(':')?;
    let password = start + colon + 1..end;
    (colon > 0 && !placeholder(&scan.text[password.clone()])).then_some(password)
}

/// The cookies that curl is to send.
pub(super) fn curl_cookie(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let from = keyword.end - 1;
    let window = &scan.bytes[from..scan.bytes.len().min(from + MAX_COMMAND)];
    let line = &window[..memchr::memchr(b'\n', window).unwrap_or(window.len())];
    let option =
        [" -b ", " --cookie "].iter().find_map(|option| Some(memchr::memmem::find(line, option.as_bytes())? + option.len()))?;
    let (start, quote) = scan.opener(from + option);
    let value = match quote {
        Some((quote, escapes)) => scan.quoted(start, quote, escapes)?,
        None => start..scan.unquoted_end(start),
    };
    pairs(scan, value)
}
