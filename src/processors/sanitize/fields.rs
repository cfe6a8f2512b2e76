//! Values that stand behind a name: `password=…`, `"api_key": "…"`, `Authorization: Bearer …`, `Cookie: …`.
//!
//! Names and values are read as they stand in configuration, JSON (also escaped inside a string), headers, URLs, XML, command lines and
//! the debug output of languages. Only the value goes, so that the text still says what it was.

use std::ops::Range;

use super::placeholders::{placeholder, prose as prose_word};
use super::plain::{code, compound, goes_on, harmless, letters, names_a_secret, noise_in, sentence};
use super::scan::{Alphabet, Scan};

/// Names and quoted values are read this far, in bytes.
pub(super) const MAX_NAME: usize = 40;
pub(super) const MAX_QUOTED: usize = 4096;
/// Brackets and escapes inside a value without quotes are looked for this far.
const MAX_BALANCED: usize = 256;

/// Where a value stands, and how.
struct Field {
    value: Range<usize>,
    quoted: bool,
    behind: Behind,
}

/// What stands between a name and its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// `=`, `=>`, the blank after a flag, the bracket of an element.
    Sign,
    /// `:`; after `: ` and without quotes a sentence could go on as well.
    Colon,
    /// Another member, `"name":"…","value":`; the part of a form.
    Member,
    /// `'name', 'value'`, `name('value')`, `name "value"`: what is quoted may be another thing.
    Beside,
}

/// What kind of name it is: how sure it is that a secret follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// `password`: people choose words.
    Password,
    /// `api_key`, `secret`: a service made it.
    Key,
    /// `token`, `session`: the rule's check looks at the value.
    Token,
    /// `key`, `salt`: an index or a row has one too, and so what stands beside it is none.
    Word,
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
    "start",
    "started",
    "time",
    "timeout",
    "duration",
    "lifetime",
    "latency",
    "endpoint",
    "port",
    "host",
    "addr",
    "address",
    "sock",
    "socket",
    "method",
    "methods",
    "backend",
    "user",
    "username",
    "driver",
    "service",
    "server",
    "issuer",
    "scope",
    "scopes",
    "realm",
    "domain",
    "mode",
    "class",
    "dir",
    "store",
    "created",
    "source",
    "kind",
    "level",
    "alg",
    "algorithm",
    "encoder",
    "header",
    "ref",
    "description",
    "title",
    "message",
    "reason",
    "rotation",
    "exception",
    "failure",
    "expired",
    "handler",
    "filter",
    "factory",
    "impl",
    "event",
    "request",
    "response",
    "validation",
    "link",
    "page",
];

impl Scan<'_> {
    /// Reads on from the end of a keyword: the rest of the name, the separator, the value.
    fn field(&mut self, keyword: &Range<usize>) -> Option<Field> {
        let name_end = self.name_end(keyword)?;
        let closed = self.skip_closers(name_end);
        let blank = self.skip_blanks(closed);
        let (after, behind) = self.separator(keyword, name_end, closed, blank)?;
        if is_about(&self.text[keyword.end..name_end]) {
            return None;
        }
        let start = self.skip_wrapping(after, behind);
        let (start, quote) = self.opener(start);
        if let Some((quote, escapes)) = quote {
            // `"Password: "` is a text that ends.
            let prompt = closed == name_end
                && start == self.skip_blanks(after) + 1 + escapes
                && behind == Behind::Colon
                && self.opens(keyword, quote, escapes);
            return self.quoted(start, quote, escapes).filter(|_| !prompt).map(|value| Field { value, quoted: true, behind });
        }
        if behind == Behind::Beside {
            return None;
        }
        let spaced = start > after;
        if behind == Behind::Colon && matches!(self.byte(start), Some(b'{' | b'[' | b'(')) {
            return None;
        }
        let value = start..self.field_end(keyword, after, start);
        // `arn:aws:…:secret:name` is a path, and `{password:p}` is code.
        let path = self.before(keyword.start) == Some(b':');
        let code = value.len() <= 2 && self.bytes[value.clone()].iter().all(u8::is_ascii_alphabetic);
        let other = behind == Behind::Colon && !spaced && (path || code);
        // `password= user=jane` is an empty value and another name.
        let next_name = behind == Behind::Sign
            && spaced
            && blank == closed
            && self.byte(after - 1) == Some(b'=')
            && self.text[value.clone()]
                .find('=')
                .is_some_and(|at| self.text[start..start + at].bytes().all(|byte| Alphabet::Word.has(byte)));
        // `${NAME:?a message}`
        let message = self.byte(value.start) == Some(b'?')
            && self.text[..keyword.start].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').ends_with("${");
        (!value.is_empty() && !other && !next_name && !message).then_some(Field { value, quoted: false, behind })
    }

    /// Whether this quote stands before the name.
    fn opens(&self, keyword: &Range<usize>, quote: u8, escapes: usize) -> bool {
        let back = &self.bytes[keyword.start.saturating_sub(MAX_NAME)..keyword.start];
        let begin = back.iter().rposition(|&byte| !Alphabet::Dotted.has(byte) && byte != b' ');
        begin.is_some_and(|at| back[at] == quote && back[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() == escapes)
    }

    /// The end of a value without quotes. A line of an environment goes on to its end, and one of a connection string to its semicolon.
    fn field_end(&mut self, keyword: &Range<usize>, after: usize, start: usize) -> usize {
        if self.byte(start) == Some(b'<') {
            // What is like a tag: a placeholder, or a value.
            let rest = &self.bytes[start..self.bytes.len().min(start + 64)];
            let close = rest
                .iter()
                .position(|&byte| byte == b'>')
                .filter(|&close| !rest[..close].contains(&b' ') && rest.get(1) != Some(&b'/'));
            return close.map_or(start, |close| start + close + 1);
        }
        let end = self.unquoted_end(start);
        if after != start || self.byte(after.wrapping_sub(1)) != Some(b'=') {
            return end;
        }
        let back = &self.bytes[keyword.start.saturating_sub(MAX_NAME)..keyword.start];
        let name = back.iter().rposition(|&byte| !Alphabet::Word.has(byte)).map(|at| back[at]);
        let rest = &self.bytes[end..self.bytes.len().min(end + 128)];
        if name == Some(b';') || (name == Some(b' ') && back.ends_with(b"; ")) {
            let braced = self.byte(start) == Some(b'{');
            let stop = rest.iter().position(|&byte| byte == if braced { b'}' } else { b';' });
            let plain = |stop: &usize| !rest[..*stop].iter().any(|byte| matches!(byte, b'=' | b'"' | b'\'' | b'\n' | b'\\'));
            return stop.filter(plain).map_or(end, |stop| end + stop + usize::from(braced));
        }
        let capitals = self.bytes[keyword.start..after - 1].iter().all(|byte| !byte.is_ascii_lowercase());
        if capitals
            && matches!(name, None | Some(b'\n'))
            && matches!(self.byte(end), Some(b'&' | b',' | b';' | b'|' | b'<' | b'>'))
        {
            let stop = rest.iter().position(|&byte| byte.is_ascii_whitespace()).unwrap_or(rest.len());
            if self.byte(end + stop).is_none_or(|byte| byte == b'\n' || byte == b'\r')
                && !rest[..stop].iter().any(|byte| matches!(byte, b'=' | b'"' | b'\'' | b'\\'))
            {
                let more = rest[..stop]
                    .iter()
                    .rposition(|byte| !matches!(byte, b'&' | b',' | b';' | b'|' | b'<' | b'>'))
                    .map_or(0, |at| at + 1);
                return self.text.ceil_char_boundary(end + more);
            }
        }
        end
    }

    /// Skips blanks, and what languages write around a value: `Some(` of Rust, `string(7)` on a line of its own of PHP, the `|` of a block of
    /// YAML with its line end.
    fn skip_wrapping(&self, from: usize, behind: Behind) -> usize {
        let start = self.skip_blanks(from);
        if behind == Behind::Colon && matches!(self.byte(start), Some(b'|' | b'>')) {
            let sign = start + 1 + usize::from(matches!(self.byte(start + 1), Some(b'-' | b'+')));
            return if self.byte(sign) == Some(b'\n') { self.skip_blanks(sign + 1) } else { start };
        }
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

    /// Where the name that holds the keyword ends; `None` if the keyword is only part of another word.
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
        Some(end)
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
        // SQL doubles the quote that is part of a value.
        let mut doubled = None;
        for (offset, &byte) in rest.iter().take(MAX_QUOTED).enumerate() {
            if doubled == Some(offset) {
                continue;
            }
            if byte == b'\'' && quote == byte && escapes == 0 && offset > 0 && rest.get(offset + 1) == Some(&byte) {
                doubled = Some(offset + 1);
                continue;
            }
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

    fn value(&mut self, keyword: &Range<usize>, names: Names) -> Option<Range<usize>> {
        let mut field = self.field(keyword)?;
        let text = &self.text[field.value.clone()];
        if !field.quoted
            && let Some(default) = default_of(text)
        {
            field.value = field.value.start + default.start..field.value.start + default.end;
        }
        let text = &self.text[field.value.clone()];
        let kept = placeholder(if field.quoted { text.trim() } else { text })
            || match field.behind {
                _ if field.quoted && sentence(text) => true,
                Behind::Beside => names == Names::Word || !beside(text, names),
                _ if field.quoted => false,
                behind => self.is_plain(keyword, &field.value, names, behind == Behind::Colon),
            };
        (!kept).then_some(field.value)
    }

    /// Whether a value without quotes is none: code, a short number, a path, the beginning of a sentence.
    fn is_plain(&self, keyword: &Range<usize>, value: &Range<usize>, names: Names, colon: bool) -> bool {
        let (text, rest) = (&self.text[value.clone()], &self.text[value.end..]);
        let number = text.bytes().take(32).all(|byte| byte.is_ascii_digit());
        if code(text, rest) || (number && text.len() <= 3) {
            return true;
        }
        let directory = text.starts_with('/') || text.starts_with("./") || text.starts_with("~/");
        let works = self.starts_with_any_case(keyword.start, "pwd") && (directory || text.get(1..2) == Some(":"));
        if works || (names == Names::Key && number) || ((directory || names == Names::Key) && harmless(text) && !number) {
            return true;
        }
        let prose = colon && matches!(self.before(value.start), Some(b' ' | b'\t'));
        let word = letters(text) || (names != Names::Password && compound(text, false));
        let plain = names == Names::Key && compound(text, false) && !text.bytes().any(|byte| byte.is_ascii_digit());
        prose && (prose_word(text) || plain || ((word || number) && goes_on(rest)) || (!text.is_ascii() && letters(text)))
    }
}

/// Where the default stands in a reference that has one: `${DB_PASSWORD:-hunter2}`.
fn default_of(text: &str) -> Option<Range<usize>> {
    let inner = text.strip_prefix("${").filter(|inner| inner.len() <= MAX_QUOTED)?.strip_suffix('}')?;
    let colon = inner.find(':')?;
    let start = 2 + colon + 1 + usize::from(matches!(inner.as_bytes().get(colon + 1), Some(b'-' | b'=')));
    let default = text.get(start..text.len() - 1)?;
    (!default.is_empty() && !default.starts_with(['?', '+', '$'])).then_some(start..text.len() - 1)
}

/// Whether what stands beside a name, in quotes of its own, is its value: it looks like a secret.
fn beside(text: &str, names: Names) -> bool {
    if text.len() < 5 || text.contains(char::is_whitespace) || harmless(text) {
        return false;
    }
    let has = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
    let mixed = has(u8::is_ascii_alphabetic) && (has(u8::is_ascii_digit) || has(|byte| b"!@#$%^&*?".contains(byte)));
    if names == Names::Password {
        !compound(text, true) || (mixed && !names_a_secret(text))
    } else {
        noise_in(text) >= 8 && noise_in(text) * 4 >= text.len() * 3
    }
}

/// Whether the rest of a name says that it is about the secret, or the name of a file.
fn is_about(rest: &str) -> bool {
    let rest = rest.trim_end_matches('.');
    let last_part = rest.rsplit(['_', '-', '.']).next().unwrap_or_default();
    let camel = last_part.rfind(|c: char| c.is_ascii_uppercase()).map_or(last_part, |at| &last_part[at..]);
    let about = |part: &str| ABOUT.iter().any(|word| word.eq_ignore_ascii_case(part));
    let file = rest.contains('.') && FILES.contains(&last_part);
    !rest.is_empty() && (about(last_part) || about(camel) || camel == "Key" || file)
}

/// A password-like name takes any value that is no placeholder, no code, and begins no sentence.
pub(super) fn password(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    scan.value(&keyword, Names::Password)
}

/// The name of what a service makes up: words are none.
pub(super) fn key(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    scan.value(&keyword, Names::Key)
}

/// A name such as `token`; the rule's check looks at the value.
pub(super) fn token(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    (!is_public(scan, &keyword)).then(|| scan.value(&keyword, Names::Token))?
}

/// A session's id with its separator.
pub(super) fn session(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    scan.starts_word(keyword.start).then(|| scan.value(&(keyword.start..keyword.start + 3), Names::Token))?
}

/// A name that is one only by itself or after a separator (`pass`, `db_pass`, `key`, `apiKey`).
pub(super) fn whole_word(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let head = scan.byte(keyword.start)?;
    let joined = scan.before(keyword.start).is_some_and(|before| {
        before.is_ascii_alphabetic()
            && before.is_ascii_uppercase() == head.is_ascii_uppercase()
            && !scan.starts_word(keyword.start)
    });
    if joined || is_public(scan, &keyword) {
        return None;
    }
    scan.value(&keyword, if scan.starts_with_any_case(keyword.start, "pass") { Names::Password } else { Names::Word })
}

/// Whether the name says that it is public, as `public_key` and `PublicKeyToken` do.
fn is_public(scan: &Scan<'_>, keyword: &Range<usize>) -> bool {
    let back = &scan.bytes[keyword.start.saturating_sub(MAX_NAME)..keyword.start];
    let start = back.iter().rposition(|&byte| !Alphabet::Url.has(byte) && byte != b' ').map_or(0, |at| at + 1);
    let name = back[start..].to_ascii_lowercase();
    let words = [&b"public"[..], b"public_", b"public-", b"public ", b"publickey", b"public_key_"];
    words.iter().any(|word| name.ends_with(word))
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
