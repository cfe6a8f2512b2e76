//! Values that stand behind a name: `password=…`, `"api_key": "…"`, `Authorization: Bearer …`, `Cookie: …`.
//!
//! Names and values are read as they stand in configuration, JSON (also escaped inside a string), headers, URLs, XML, command lines and
//! the debug output of languages. Only the value goes, so that the text still says what it was.

use std::ops::Range;

use super::scan::{Alphabet, Scan};
use super::validate::{placeholder, prose};

/// Names and quoted values are read this far, in bytes.
const MAX_NAME: usize = 40;
pub(super) const MAX_QUOTED: usize = 4096;
/// Brackets and escapes inside a value without quotes are looked for this far.
const MAX_BALANCED: usize = 256;

/// Where a value stands, and how.
struct Field {
    value: Range<usize>,
    quoted: bool,
    /// After `: ` and without quotes, where a sentence could go on as well.
    prose: bool,
}

/// Endings that make a name the name of a file: `PasswordEncoder.java:42` is a position.
const FILES: &[&str] = &[
    "java", "kt", "scala", "groovy", "py", "js", "mjs", "cjs", "jsx", "ts", "tsx", "go", "rs", "rb", "php", "cs", "vb", "fs",
    "swift",
];

/// Parts of a name that say it holds something about the secret and not the secret.
const ABOUT: &[&str] = &[
    "type",
    "name",
    "id",
    "ids",
    "length",
    "len",
    "count",
    "policy",
    "url",
    "uri",
    "path",
    "file",
    "expiry",
    "expires",
    "expiration",
    "ttl",
    "limit",
    "size",
    "version",
    "field",
    "format",
    "hint",
    "age",
    "error",
    "errors",
    "status",
    "strength",
    "label",
    "prefix",
    "less",
    "manager",
    "provider",
    "required",
    "enabled",
    "attempts",
    "index",
    "in",
    "at",
    "input",
    "validator",
    "reset",
];

impl Scan<'_> {
    /// Reads on from the end of a keyword: the rest of the name, the separator, the value.
    fn field(&mut self, keyword: &Range<usize>) -> Option<Field> {
        let name_end = self.name_end(keyword)?;
        let closed = self.skip_closers(name_end);
        let blank = self.skip_blanks(closed);
        let (after, colon) = self.separator(keyword, closed, blank)?;
        let start = self.skip_wrapping(after);
        let (start, quote) = self.opener(start);
        if let Some((quote, escapes)) = quote {
            return self.quoted(start, quote, escapes).map(|value| Field { value, quoted: true, prose: false });
        }
        let spaced = start > after;
        if colon && matches!(self.byte(start), Some(b'{' | b'[' | b'(')) {
            return None;
        }
        let value = start..self.unquoted_end(start);
        // `arn:aws:…:secret:name` is a path, and `{password:p}` is code.
        let path = self.before(keyword.start) == Some(b':');
        let code = value.len() <= 2 && self.bytes[value.clone()].iter().all(u8::is_ascii_alphabetic);
        let other = colon && !spaced && (path || code);
        (!value.is_empty() && !other).then_some(Field { value, quoted: false, prose: colon && spaced })
    }

    /// Skips blanks, and what languages write around a value: `Some(` of Rust, `string(7)` on a line of its own of PHP.
    fn skip_wrapping(&self, from: usize) -> usize {
        let start = self.skip_blanks(from);
        let line = start + self.bytes.get(start..).unwrap_or_default().iter().take(2).take_while(|&&byte| byte == b'\\').count();
        let next = match self.byte(line) {
            Some(b'\n') if line == start => self.skip_blanks(start + 1),
            Some(b'n') if line > start => self.skip_blanks(line + 1),
            _ => start,
        };
        if self.starts_with(next, "string(") {
            let length = next + 7 + self.bytes[next + 7..].iter().take(8).take_while(|byte| byte.is_ascii_digit()).count();
            if self.starts_with(length, ") ") {
                return length + 2;
            }
        }
        start + if self.starts_with(start, "Some(") { 5 } else { 0 }
    }

    /// Where the name that holds the keyword ends; `None` if the keyword is only part of another word, or the name is about the secret.
    fn name_end(&mut self, keyword: &Range<usize>) -> Option<usize> {
        let last = self.before(keyword.end)?;
        let next = self.byte(keyword.end);
        let goes_on =
            next.is_some_and(|next| next.is_ascii_alphabetic() && next.is_ascii_uppercase() == last.is_ascii_uppercase());
        if goes_on && last.is_ascii_alphabetic() {
            return None;
        }
        let end = self.run(Alphabet::Dotted, keyword.end);
        if end - keyword.end > MAX_NAME {
            return None;
        }
        let rest = self.text[keyword.end..end].trim_end_matches('.');
        let last_part = rest.rsplit(['_', '-', '.']).next().unwrap_or_default();
        let camel = last_part.rfind(|c: char| c.is_ascii_uppercase()).map_or(last_part, |at| &last_part[at..]);
        let about = |part: &str| ABOUT.iter().any(|word| word.eq_ignore_ascii_case(part));
        let file = rest.contains('.') && FILES.contains(&last_part);
        (!about(last_part) && !about(camel) && !file).then_some(end)
    }

    /// Quotes, backslashes and brackets that end a name.
    pub(super) fn skip_closers(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        from + rest.iter().take(16).take_while(|byte| matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b']')).count()
    }

    /// Where the separator ends, and whether it is a colon.
    pub(super) fn separator(&self, keyword: &Range<usize>, closed: usize, blank: usize) -> Option<(usize, bool)> {
        for (sign, colon) in [("=>", false), (":=", false), ("=", false), (":", true), ("%3D", false), ("%3A", true)] {
            if self.starts_with_any_case(blank, sign) {
                let end = blank + sign.len();
                // `==` compares and `::` is a path.
                let doubled = sign.len() == 1 && self.byte(end) == self.byte(blank);
                return (!doubled).then_some((end, colon));
            }
        }
        // `<add key="Password" value="…"/>`
        let attribute = closed > keyword.end && blank > closed && self.starts_with_any_case(blank, "value=");
        if attribute {
            return Some((blank + 6, false));
        }
        let opened = &self.bytes[keyword.start.saturating_sub(MAX_NAME)..keyword.start];
        let begin = opened.iter().rposition(|&byte| !Alphabet::Url.has(byte));
        // `\n` before a name is an escaped line end.
        let escape = begin.filter(|&at| opened[at] == b'\\' && matches!(opened.get(at + 1), Some(b'n' | b'r' | b't')));
        let begin = escape.map_or(begin, |at| Some(at + 1));
        let element = self.byte(closed) == Some(b'>') && begin.is_some_and(|at| opened[at] == b'<');
        let name = begin.map_or(opened, |at| &opened[at + 1..]);
        let flag = blank == closed + 1 && (name.starts_with(b"--") || (name.is_empty() && opened.ends_with(b"--")));
        if element { Some((closed + 1, false)) } else { flag.then_some((blank, false)) }
    }

    /// The quote at `from`, with the number of backslashes before it and a letter of a language's string prefix.
    pub(super) fn opener(&self, from: usize) -> (usize, Option<(u8, usize)>) {
        let prefixed = usize::from(matches!(self.byte(from), Some(b'b' | b'u' | b'r' | b'@')));
        for start in [from, from + prefixed] {
            let escapes = self.bytes.get(start..).unwrap_or_default().iter().take(16).take_while(|&&byte| byte == b'\\').count();
            if let Some(quote @ (b'"' | b'\'' | b'`')) = self.byte(start + escapes) {
                return (start + escapes + 1, Some((quote, escapes)));
            }
        }
        (from, None)
    }

    /// Up to the closing quote with as many backslashes; without one, to the end of the line.
    pub(super) fn quoted(&mut self, start: usize, quote: u8, escapes: usize) -> Option<Range<usize>> {
        let rest = self.bytes.get(start..)?;
        let mut backslashes = 0;
        let mut end = None;
        for (offset, &byte) in rest.iter().take(MAX_QUOTED).enumerate() {
            let closes = byte == quote && if escapes == 0 { backslashes % 2 == 0 } else { backslashes == escapes };
            if closes || byte == b'\n' {
                let drop = if closes { escapes } else { 0 };
                end = Some(start + offset - drop.min(offset));
                break;
            }
            backslashes = if byte == b'\\' { backslashes + 1 } else { 0 };
        }
        let end = match end {
            Some(end) => end,
            None if rest.len() <= MAX_QUOTED => self.bytes.len(),
            None => self.run(Alphabet::Value, start),
        };
        (end > start).then_some(start..end)
    }

    /// The end of a value without quotes: of its run, or at a bracket that it did not open, or at an escaped line end or quote.
    pub(super) fn unquoted_end(&mut self, start: usize) -> usize {
        let end = self.run(Alphabet::Value, start);
        let mut depth = 0_i32;
        let mut cut = end;
        for at in start..end.min(start + MAX_BALANCED) {
            match self.bytes[at] {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' if depth == 0 => {
                    cut = at;
                    break;
                }
                b')' | b']' | b'}' => depth -= 1,
                b'\\' if matches!(self.byte(at + 1), Some(b'n' | b'r' | b't' | b'"' | b'\'' | b'u' | b'\\')) => {
                    cut = at;
                    break;
                }
                b'%' if at > start
                    && ["%26", "%22", "%27", "%0A", "%0D"].iter().any(|end| self.starts_with_any_case(at, end)) =>
                {
                    cut = at;
                    break;
                }
                _ => {}
            }
        }
        while cut > start && matches!(self.bytes[cut - 1], b'.' | b':' | b'?') {
            cut -= 1;
        }
        cut
    }

    fn value(&mut self, keyword: &Range<usize>) -> Option<Range<usize>> {
        let field = self.field(keyword)?;
        let text = &self.text[field.value.clone()];
        let sentence = field.prose && prose(text);
        (!sentence && !placeholder(if field.quoted { text.trim() } else { text })).then_some(field.value)
    }
}

/// A password-like name takes any value that is no placeholder and begins no sentence.
pub(super) fn password(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    scan.value(&keyword)
}

/// A name that is one only by itself or after a separator (`pass`, `db_pass`, `key`, `apiKey`).
pub(super) fn whole_word(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let head = scan.byte(keyword.start)?;
    let joined = scan.before(keyword.start).is_some_and(|before| {
        before.is_ascii_alphabetic()
            && before.is_ascii_uppercase() == head.is_ascii_uppercase()
            && !scan.starts_word(keyword.start)
    });
    let public = scan.text[..keyword.start].trim_end_matches(['_', '-', ' ']);
    if joined
        || public.len().checked_sub(6).and_then(|at| public.get(at..)).is_some_and(|word| word.eq_ignore_ascii_case("public"))
    {
        return None;
    }
    scan.value(&keyword)
}

/// The value of a query or fragment parameter whose name ends with the keyword; the name stays.
pub(super) fn query(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let back = &scan.bytes[keyword.start.saturating_sub(MAX_NAME)..keyword.start];
    let opens = back.iter().rev().find(|&&byte| !Alphabet::Url.has(byte));
    if !matches!(opens, Some(b'?' | b'&' | b'#' | b';')) {
        return None;
    }
    let start = keyword.end;
    let end = scan.unquoted_end(start);
    let end = scan.bytes[start..end.min(start + MAX_QUOTED)].iter().position(|&byte| byte == b'#').map_or(end, |at| start + at);
    (end > start && !placeholder(&scan.text[start..end])).then_some(start..end)
}
