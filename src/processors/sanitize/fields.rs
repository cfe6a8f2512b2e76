//! Values that stand behind a name: `password=…`, `"api_key": "…"`, `Authorization: Bearer …`, `Cookie: …`.
//!
//! Names and values are read as they stand in configuration, JSON (also escaped inside a string), headers, URLs, XML, command lines and
//! the debug output of languages. Only the value goes, so that the text still says what it was.

use std::ops::Range;

use super::mark;
use super::scan::{Alphabet, Scan};
use super::validate::{placeholder, prose, reference};

/// Names and quoted values are read this far, in bytes.
const MAX_NAME: usize = 40;
/// Texts of a list that are looked at.
const MAX_ELEMENTS: usize = 32;
pub(super) const MAX_QUOTED: usize = 4096;
/// Brackets and escapes inside a value without quotes are looked for this far.
const MAX_BALANCED: usize = 256;

/// Where a value stands, and how.
struct Field {
    value: Range<usize>,
    quoted: bool,
    /// After `: ` and without quotes, where a sentence could go on as well.
    prose: bool,
    sign: Sign,
}

/// What stands between a name and its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Equals,
    Colon,
    /// `("name", "value")`
    Comma,
    /// A tag of XML, the empty line of a form, `"value":` behind the name, an option of a command line.
    Other,
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
    "endpoint",
    "start",
    "end",
    "time",
    "timeout",
    "latency",
    "method",
    "user",
    "username",
    "sock",
    "socket",
    "host",
    "port",
    "addr",
    "address",
    "service",
    "date",
    "duration",
    "role",
    "scope",
    "mode",
    "model",
    "domain",
    "issuer",
    "audience",
    "algorithm",
    "alg",
    "usage",
    "used",
    "remaining",
    "created",
    "updated",
    "changed",
    "state",
];

impl Scan<'_> {
    /// Reads on from the end of a keyword: the rest of the name, the separator, the value.
    fn field(&mut self, keyword: &Range<usize>) -> Option<Field> {
        let name_end = self.name_end(keyword)?;
        let closed = self.skip_closers(name_end);
        let blank = self.skip_blanks(closed);
        let (after, sign) = self.separator(keyword, name_end, closed, blank)?;
        if is_about(&self.text[keyword.end..name_end]) {
            return None;
        }
        let start = self.skip_wrapping(after);
        let spaced = start > after;
        let colon = sign == Sign::Colon;
        if sign != Sign::Comma && self.byte(start) == Some(b'[') && !self.starts_with(start, mark::OPEN) {
            return self.elements(start).map(|value| Field { value, quoted: true, prose: false, sign });
        }
        let (start, quote) = self.opener(start);
        if let Some((quote, escapes)) = quote {
            return self.quoted(start, quote, escapes).map(|value| Field { value, quoted: true, prose: false, sign });
        }
        if colon && matches!(self.byte(start), Some(b'{' | b'[' | b'(')) {
            return self.inner_value(start).map(|value| Field { value, quoted: true, prose: false, sign });
        }
        let mut value = start..self.unquoted_end(start);
        if sign == Sign::Equals && start == after && self.is_environment(keyword.start, name_end) {
            value.end = value.end.max(self.line_of_environment(start));
        }
        // `arn:aws:…:secret:name` is a path, and `{password:p}` is code.
        let path = self.before(keyword.start) == Some(b':');
        let code = value.len() <= 2 && self.bytes[value.clone()].iter().all(u8::is_ascii_alphabetic);
        let other = colon && !spaced && (path || code);
        (!value.is_empty() && !other).then_some(Field { value, quoted: false, prose: colon && spaced, sign })
    }

    /// The quoted texts of a list, from the first to the last: `["a", "b"]`. A text with a space in it is a message about the field.
    fn elements(&mut self, open: usize) -> Option<Range<usize>> {
        let mut at = self.skip_blanks(open + 1);
        let mut found: Option<Range<usize>> = None;
        for _ in 0..MAX_ELEMENTS {
            let (start, Some((quote, escapes))) = self.opener(at) else { break };
            let element = self.quoted(start, quote, escapes)?;
            if self.text[element.clone()].contains(' ') {
                return None;
            }
            at = element.end + escapes + 1;
            found = Some(found.map_or(element.start, |known| known.start)..element.end);
            let comma = self.skip_blanks(at);
            if self.byte(comma) != Some(b',') {
                break;
            }
            at = self.skip_blanks(comma + 1);
        }
        found
    }

    /// The value in `{"value":"…"}`.
    fn inner_value(&mut self, open: usize) -> Option<Range<usize>> {
        let name = self.skip_closers(self.skip_blanks(open + 1));
        if !self.starts_with_any_case(name, "value") {
            return None;
        }
        let closed = self.skip_closers(name + 5);
        let colon = self.skip_blanks(closed);
        let (start, quote) = self.opener(self.skip_blanks(colon + 1));
        let (quote, escapes) = quote.filter(|_| self.byte(colon) == Some(b':'))?;
        self.quoted(start, quote, escapes)
    }

    /// Whether the name around `at` is that of a variable in capitals at the begin of its line.
    fn is_environment(&self, at: usize, name_end: usize) -> bool {
        let low = at.saturating_sub(MAX_NAME);
        let back = &self.bytes[low..at];
        let name = back.iter().rposition(|&byte| !Alphabet::Word.has(byte)).map_or(0, |at| at + 1);
        let begins = low + name == 0 || back[..name].ends_with(b"\n") || back[..name].ends_with(b"export ");
        begins && !self.bytes[low + name..name_end].iter().any(u8::is_ascii_lowercase)
    }

    /// Where the value of such a variable ends: at the end of the line, if there is no space before it.
    fn line_of_environment(&self, start: usize) -> usize {
        let rest = &self.bytes[start..self.bytes.len().min(start + MAX_QUOTED)];
        let length =
            rest.iter().position(|&byte| byte <= b' ' || matches!(byte, b'"' | b'\'' | b'`' | b'\\')).unwrap_or(rest.len());
        let ends = matches!(self.byte(start + length), None | Some(b'\n' | b'\r'));
        let dropped =
            rest[..length].iter().rev().take_while(|byte| matches!(byte, b';' | b',' | b'.' | b':' | b'?' | b')')).count();
        if ends { start + length - dropped } else { start }
    }

    /// Skips blanks, and what languages write around a value: `Some(` of Rust, `string(7)` on a line of its own of PHP.
    fn skip_wrapping(&self, from: usize) -> usize {
        let start = self.skip_blanks(from);
        if matches!(self.byte(start), Some(b'|' | b'>')) {
            // A block of YAML: the value stands on the next line.
            let sign = start + 1 + usize::from(matches!(self.byte(start + 1), Some(b'-' | b'+')));
            if self.byte(sign) == Some(b'\n') {
                return self.skip_blanks(sign + 1);
            }
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
        let plural =
            matches!(next, Some(b's' | b'S')) && !self.byte(keyword.end + 1).is_some_and(|byte| byte.is_ascii_alphanumeric());
        if goes_on && last.is_ascii_alphabetic() && !plural {
            return None;
        }
        let end = self.run(Alphabet::Dotted, keyword.end);
        if end - keyword.end > MAX_NAME {
            return None;
        }
        Some(end)
    }

    /// Quotes, backslashes and brackets that end a name.
    pub(super) fn skip_closers(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        from + rest.iter().take(16).take_while(|byte| matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b']')).count()
    }

    /// Where what separates the name from its value ends, and what it is.
    pub(super) fn separator(
        &self,
        keyword: &Range<usize>,
        name_end: usize,
        closed: usize,
        blank: usize,
    ) -> Option<(usize, Sign)> {
        match self.byte(blank)? {
            b'=' | b':' | b'%' => self.sign(blank),
            b',' | b'\n' | b'\r' | b'\\' | b'>' => self.far_value(keyword, name_end, closed, blank),
            _ if blank > closed => self.far_value(keyword, name_end, closed, blank),
            _ => None,
        }
    }

    fn sign(&self, at: usize) -> Option<(usize, Sign)> {
        let signs = [
            ("=>", Sign::Equals),
            (":=", Sign::Equals),
            ("=", Sign::Equals),
            (":", Sign::Colon),
            ("%3D", Sign::Equals),
            ("%3A", Sign::Colon),
        ];
        let (text, sign) = signs.into_iter().find(|(text, _)| self.starts_with_any_case(at, text))?;
        let end = at + text.len();
        // `==` compares and `::` is a path.
        let doubled = text.len() == 1 && self.byte(end) == self.byte(at);
        (!doubled).then_some((end, sign))
    }

    /// A value that is not right behind its name.
    fn far_value(&self, keyword: &Range<usize>, name_end: usize, closed: usize, blank: usize) -> Option<(usize, Sign)> {
        let quoted = closed > name_end;
        if let Some(end) = self.value_name(closed) {
            return Some((end, Sign::Other));
        }
        if quoted && self.byte(blank) == Some(b',') {
            let next = self.skip_blanks(blank + 1);
            return self.opener(next).1.map(|_| (next, Sign::Comma));
        }
        let form = self.bytes[..keyword.start].iter().rposition(|&byte| !Alphabet::Url.has(byte));
        let form = form.is_some_and(|at| self.bytes[..=at].ends_with(b"name=\""));
        for line in ["\r\n\r\n", "\n\n", "\\r\\n\\r\\n"] {
            if form && quoted && self.starts_with(closed, line) {
                return Some((closed + line.len(), Sign::Other));
            }
        }
        let opened = &self.bytes[keyword.start.saturating_sub(MAX_NAME)..keyword.start];
        let begin = opened.iter().rposition(|&byte| !Alphabet::Dotted.has(byte) && byte != b':');
        // `\n` before a name is an escaped line end.
        let escape = begin.filter(|&at| opened[at] == b'\\' && matches!(opened.get(at + 1), Some(b'n' | b'r' | b't')));
        let begin = escape.map_or(begin, |at| Some(at + 1));
        let element = begin.is_some_and(|at| opened[at] == b'<');
        if self.byte(closed) == Some(b'>') {
            // `<password>…`, `<property name="password">…`
            let before = begin.map_or(&opened[..0], |at| &opened[..at]);
            let attribute = quoted && before.iter().rev().find(|byte| **byte != b'\\') == Some(&b'=');
            return (element || attribute).then_some((closed + 1, Sign::Other));
        }
        if element && blank > closed {
            let rest = &self.bytes[blank..self.bytes.len().min(blank + MAX_BALANCED)];
            let end = rest.iter().position(|&byte| matches!(byte, b'>' | b'<' | b'\n'))?;
            return (rest[end] == b'>').then_some((blank + end + 1, Sign::Other));
        }
        let name = begin.map_or(opened, |at| &opened[at + 1..]);
        let flag = blank == closed + 1 && (name.starts_with(b"--") || (name.is_empty() && opened.ends_with(b"--")));
        flag.then_some((blank, Sign::Other))
    }

    /// Behind a name: `","value":`, the same in YAML, or ` value=` of an attribute; where it ends.
    fn value_name(&self, closed: usize) -> Option<usize> {
        let rest = self.bytes.get(closed..)?;
        let gap = rest
            .iter()
            .take(24)
            .take_while(|byte| matches!(byte, b',' | b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'\'' | b'\\'))
            .count();
        if gap == 0 || !self.starts_with_any_case(closed + gap, "value") {
            return None;
        }
        let end = self.skip_blanks(self.skip_closers(closed + gap + 5));
        matches!(self.byte(end), Some(b':' | b'=')).then_some(end + 1)
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
        let mut skipped = None;
        let mut end = None;
        for (offset, &byte) in rest.iter().take(MAX_QUOTED).enumerate() {
            let closes = byte == quote && if escapes == 0 { backslashes % 2 == 0 } else { backslashes == escapes };
            // `''` within a text of SQL is one quote.
            let doubled = escapes == 0 && quote == b'\'' && offset > 0 && rest.get(offset + 1) == Some(&quote);
            if closes && (doubled || skipped == Some(offset)) {
                skipped = if skipped == Some(offset) { None } else { Some(offset + 1) };
                continue;
            }
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
        // What a value looks like is seen at its head: one that holds many keywords is looked at for each of them.
        let text = &self.text[field.value.clone()];
        let text = &text[..text.floor_char_boundary(MAX_BALANCED)];
        if field.quoted {
            let other = field.sign == Sign::Comma && !is_second_of_two(self, keyword, &field.value);
            return (!other && !placeholder(text.trim())).then_some(field.value);
        }
        let behind = &self.text[field.value.end..];
        let goes_on = behind.strip_prefix(' ').is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
        let sentence = field.prose && (prose(text) || (goes_on && is_word(text)) || is_resource(text));
        // `password= user=jane` has none, and `password = request.form["x"]` is code.
        let next = self.text[keyword.end..field.value.start].ends_with("= ") && text.contains('=');
        let assigned = self.text[keyword.end..field.value.start].ends_with(" = ") && is_variable(text);
        let code = assigned || reference(text, behind);
        (!sentence && !next && !code && !placeholder(text)).then_some(field.value)
    }
}

/// `hashed_password`
fn is_variable(text: &str) -> bool {
    let name = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    name && ["_password", "_secret", "_token", "_key", "_pwd"].iter().any(|ending| text.ends_with(ending))
}

/// Letters, also with a dash between, or a number: what a sentence is made of.
fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’')) || text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The name of a secret that is kept elsewhere, as Kubernetes has them: `redis-auth`, `kubernetes.io/tls`.
fn is_resource(text: &str) -> bool {
    text.contains(['-', '/']) && text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'.' | b'/'))
}

/// Whether a name and its value are all of a list, as in `("password", "x1")`, and the value is no name as well.
fn is_second_of_two(scan: &Scan<'_>, keyword: &Range<usize>, value: &Range<usize>) -> bool {
    let back = &scan.bytes[keyword.start.saturating_sub(MAX_NAME)..keyword.start];
    let name = back.iter().rposition(|&byte| !Alphabet::Dotted.has(byte)).map_or(0, |at| at + 1);
    let before = back[..name].iter().rev().find(|byte| !matches!(byte, b'"' | b'\'' | b'\\' | b'b' | b' '));
    let behind = scan.bytes[value.end..].iter().take(8).find(|byte| !matches!(byte, b'"' | b'\'' | b'\\' | b' '));
    let list = matches!(before, Some(b'(' | b'[')) && matches!(behind, Some(b')' | b']'));
    list && scan.bytes[value.clone()].iter().any(|byte| !byte.is_ascii_lowercase() && !matches!(byte, b'_' | b'-' | b'.' | b' '))
}

/// Whether the rest of a name says that it is about the secret, or the name of a file.
fn is_about(rest: &str) -> bool {
    let rest = rest.trim_end_matches('.');
    let last_part = rest.rsplit(['_', '-', '.']).next().unwrap_or_default();
    let camel = last_part.rfind(|c: char| c.is_ascii_uppercase()).map_or(last_part, |at| &last_part[at..]);
    let about = |part: &str| ABOUT.iter().any(|word| word.eq_ignore_ascii_case(part));
    let file = rest.contains('.') && FILES.contains(&last_part);
    !rest.is_empty() && (about(last_part) || about(camel) || file)
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
    if joined { None } else { not_public(scan, keyword) }
}

/// The value of a name that is not that of something public: `public_key`, `PublicKeyToken`.
pub(super) fn not_public(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let before = scan.text[..keyword.start].trim_end_matches(['_', '-', ' ']);
    let ends = |name: &str| {
        before.len().checked_sub(name.len()).and_then(|at| before.get(at..)).is_some_and(|word| word.eq_ignore_ascii_case(name))
    };
    if ends("public") || ends("publickey") { None } else { scan.value(&keyword) }
}

/// The directory in `PWD` is no password.
pub(super) fn working_directory_or_password(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let value = scan.value(&keyword)?;
    let text = &scan.text[value.clone()];
    let drive = text.as_bytes().get(1..3).is_some_and(|two| matches!(two, b":\\" | b":/"));
    (!text.starts_with(['/', '~']) && !drive).then_some(value)
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
