//! What stands between a name and its value, in configuration, JSON, XML, forms, argument lists and the debug output of languages.

use std::ops::Range;

use super::fields::{Behind, MAX_NAME};
use super::scan::{Alphabet, Scan};

/// From a name to the member or the bracket that its value stands behind, in bytes.
const MAX_GAP: usize = 64;

impl Scan<'_> {
    /// Quotes, backslashes and brackets that end a name.
    pub(super) fn skip_closers(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        // `password[]=`, `password[0]=`
        let index = if rest.first() == Some(&b'[') {
            1 + rest[1..].iter().take(3).take_while(|byte| byte.is_ascii_digit()).count()
        } else {
            0
        };
        let index = if rest.get(index) == Some(&b']') { index } else { 0 };
        from + index + rest[index..].iter().take(16).take_while(|byte| matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b']')).count()
    }

    /// Where the separator ends, and what it is.
    pub(super) fn separator(
        &self,
        keyword: &Range<usize>,
        name_end: usize,
        closed: usize,
        blank: usize,
    ) -> Option<(usize, Behind)> {
        let signs = [
            ("=>", Behind::Sign),
            ("->", Behind::Sign),
            (":=", Behind::Sign),
            ("=", Behind::Sign),
            (":", Behind::Colon),
            ("%3D", Behind::Sign),
            ("%3A", Behind::Colon),
        ];
        for (sign, behind) in signs {
            if self.starts_with_any_case(blank, sign) {
                let end = blank + sign.len();
                // `==` compares and `::` is a path.
                let doubled = sign.len() == 1 && self.byte(end) == self.byte(blank);
                return (!doubled).then_some((end, behind));
            }
        }
        let quoted = closed > name_end && self.byte(closed - 1).is_some_and(|byte| byte != b']' && byte != b'\\');
        if quoted {
            // `<add key="Password" value="…"/>`
            if blank > closed && self.starts_with_any_case(blank, "value=") {
                return Some((blank + 6, Behind::Sign));
            }
            if let Some(after) = self.member(closed).or_else(|| self.part(keyword, closed)) {
                return Some((after, Behind::Member));
            }
            if self.byte(blank) == Some(b',') {
                return Some((self.skip_lines(blank + 1), Behind::Beside));
            }
        } else if matches!(self.byte(closed), Some(b'\n' | b'\r'))
            && let Some(after) = self.member(closed)
        {
            return Some((after, Behind::Member));
        }
        let called = closed == name_end && self.byte(closed) == Some(b'(');
        if called || blank > closed && matches!(self.byte(blank), Some(b'"' | b'\'')) && !self.is_flag(keyword, closed, blank) {
            return Some((if called { closed + 1 } else { blank }, Behind::Beside));
        }
        if let Some(after) = self.element(keyword, closed) {
            return Some((after, Behind::Sign));
        }
        self.is_flag(keyword, closed, blank).then_some((blank, Behind::Sign))
    }

    /// Skips spaces and line ends, at most 24.
    fn skip_lines(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        from + rest.iter().take(24).take_while(|byte| byte.is_ascii_whitespace()).count()
    }

    /// The value of a pair whose name is a value itself: `"name":"DB_PASSWORD","value":"…"`, `name: DB_PASSWORD` and `value: …` on the next line.
    fn member(&self, closed: usize) -> Option<usize> {
        let window = &self.bytes[closed..self.bytes.len().min(closed + MAX_GAP)];
        let sign = window
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b'"' | b'\'' | b'\\' | b'-'))
            .count();
        if sign == 0 || !self.starts_with_any_case(closed + sign, "value") {
            return None;
        }
        let end = self.skip_blanks(self.skip_closers(closed + sign + 5));
        let after = matches!(self.byte(end), Some(b':' | b'=')).then_some(end + 1)?;
        // The value of OTLP: `{"stringValue":"…"}`.
        let inner = self.skip_blanks(after);
        let typed = ["{\"stringValue\":", "{\\\"stringValue\\\":"].iter().find(|typed| self.starts_with(inner, typed));
        Some(typed.map_or(after, |typed| inner + typed.len()))
    }

    /// The value of a part of a form: `name="password"`, an empty line, the value.
    fn part(&self, keyword: &Range<usize>, closed: usize) -> Option<usize> {
        let back = &self.bytes[keyword.start.saturating_sub(MAX_NAME)..keyword.start];
        let quote = back.iter().rposition(|&byte| !Alphabet::Dotted.has(byte))?;
        let named = back[..quote].strip_suffix(b"\\").unwrap_or(&back[..quote]).ends_with(b"name=");
        let ends = ["\r\n\r\n", "\n\n", "\\r\\n\\r\\n", "\\n\\n"];
        ends.iter().find(|end| named && self.starts_with(closed, end)).map(|end| closed + end.len())
    }

    /// The content of an element: `<password>`, `<wsse:Password Type="…">`, `<property name="password">`.
    fn element(&self, keyword: &Range<usize>, closed: usize) -> Option<usize> {
        if !matches!(self.byte(closed), Some(b'>' | b' ')) {
            return None;
        }
        let name = self.name_before(keyword.start);
        let opened = self.before(name) == Some(b'<');
        let back = &self.bytes[name.saturating_sub(8)..name];
        let quote = matches!(back, [.., b'"' | b'\'']);
        let attribute = quote && ["name=", "key="].iter().any(|attribute| back[..back.len() - 1].ends_with(attribute.as_bytes()));
        let window = &self.bytes[closed..self.bytes.len().min(closed + MAX_GAP)];
        let close = window.iter().position(|&byte| matches!(byte, b'>' | b'<' | b'\n'))?;
        let whole = self.byte(closed + close) == Some(b'>') && self.before(closed + close) != Some(b'/');
        ((opened || attribute) && whole).then_some(closed + close + 1)
    }

    /// Whether a flag of a command line ends here: `--password hunter2`.
    fn is_flag(&self, keyword: &Range<usize>, closed: usize, blank: usize) -> bool {
        let name = self.name_before(keyword.start);
        blank == closed + 1
            && (self.starts_with(name, "--") || self.text.get(..keyword.start).is_some_and(|text| text.ends_with("--")))
    }

    /// Where the name begins that goes on at `at`: letters, digits, `_-.:`. `\n` before it is an escaped line end.
    fn name_before(&self, at: usize) -> usize {
        let low = at.saturating_sub(MAX_NAME);
        let back = &self.bytes[low..at];
        let begin = back.iter().rposition(|&byte| !Alphabet::Dotted.has(byte) && byte != b':').map_or(0, |at| at + 1);
        let escaped = begin > 0 && back[begin - 1] == b'\\' && matches!(back.get(begin), Some(b'n' | b'r' | b't'));
        low + begin + usize::from(escaped)
    }
}
