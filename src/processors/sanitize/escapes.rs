//! Text behind escapes, as readable as text: percents of URLs, `\\"` and `\\u0022` of JSON, `&quot;` of HTML. What is found behind them goes where it
//! stands.

use std::ops::Range;

/// An escape may be escaped again, as in JSON that stands in a URL.
const MAX_LAYERS: usize = 3;

/// Names of characters in HTML and XML.
const ENTITIES: &[(&str, u8)] =
    &[("quot;", b'"'), ("apos;", b'\''), ("amp;", b'&'), ("lt;", b'<'), ("gt;", b'>'), ("nbsp;", b' ')];

/// A text without its escapes, as far as they stand for ASCII.
pub(super) struct Decoded {
    pub(super) text: String,
    /// Where each byte of it, and its end, stand in what was encoded.
    places: Vec<usize>,
}

impl Decoded {
    /// Where a part of the decoded text stands in what was encoded.
    pub(super) fn place(&self, part: &Range<usize>) -> Range<usize> {
        self.places[part.start]..self.places[part.end]
    }
}

/// `None` where nothing is escaped.
pub(super) fn decoded(text: &str) -> Option<Decoded> {
    let mut decoded = layer(text)?;
    for _ in 1..MAX_LAYERS {
        let Some(next) = layer(&decoded.text) else { break };
        let places = next.places.iter().map(|&at| decoded.places[at]).collect();
        decoded = Decoded { text: next.text, places };
    }
    Some(decoded)
}

fn layer(text: &str) -> Option<Decoded> {
    let bytes = text.as_bytes();
    let mut decoded: Option<Decoded> = None;
    let mut kept = 0;
    for at in memchr::memchr3_iter(b'%', b'\\', b'&', bytes).chain(std::iter::once(bytes.len())) {
        // The second of two backslashes is not looked at.
        let escape = if at < kept { None } else { escape(bytes, at) };
        let Some((byte, length)) = escape else { continue };
        let decoded = decoded.get_or_insert_with(|| Decoded { text: String::new(), places: Vec::new() });
        decoded.keep(text, kept..at);
        decoded.text.push(char::from(byte));
        decoded.places.push(at);
        kept = at + length;
    }
    let mut decoded = decoded?;
    decoded.keep(text, kept..bytes.len());
    decoded.places.push(bytes.len());
    Some(decoded)
}

impl Decoded {
    fn keep(&mut self, text: &str, part: Range<usize>) {
        self.text.push_str(&text[part.clone()]);
        self.places.extend(part);
    }
}

/// The byte of ASCII that is escaped here, printable or the end of a line, and the length of its escape.
fn escape(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = bytes.get(at..)?;
    let (value, length) = match rest {
        // A space that does not break, in UTF-8.
        [b'%', b'C' | b'c', b'2', b'%', b'A' | b'a', b'0', ..] => (0x20, 6),
        [b'%', digits @ ..] => (number(digits.get(..2)?, 16)?, 3),
        [b'\\', b'u', digits @ ..] => (number(digits.get(..4)?, 16)?, 6),
        [b'\\', b'x', digits @ ..] => (number(digits.get(..2)?, 16)?, 4),
        [b'\\', b'n' | b'r', ..] => (u32::from(b'\n'), 2),
        [b'\\', b't', ..] => (u32::from(b' '), 2),
        [b'\\', sign @ (b'"' | b'\'' | b'/' | b'\\'), ..] => (u32::from(*sign), 2),
        [b'&', b'#', digits @ ..] => {
            let end = digits.iter().take(8).position(|&byte| byte == b';')?;
            let value = match &digits[..end] {
                [b'x' | b'X', digits @ ..] => number(digits, 16)?,
                digits => number(digits, 10)?,
            };
            (value, end + 3)
        }
        [b'&', name @ ..] => {
            let (entity, byte) = ENTITIES.iter().find(|(entity, _)| name.starts_with(entity.as_bytes()))?;
            (u32::from(*byte), entity.len() + 1)
        }
        _ => return None,
    };
    let byte = u8::try_from(if value == 0xa0 { 0x20 } else { value }).ok()?;
    let byte = if byte == b'\r' { b'\n' } else { byte };
    (byte == b'\n' || (b' '..0x7f).contains(&byte)).then_some((byte, length))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |sum, &digit| Some(sum * radix + char::from(digit).to_digit(radix)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_behind_percents_is_known_where_it_stands() {
        let decoded = decoded("é a%3Db%20c%zz%C3%A9 100%").unwrap();
        assert_eq!(decoded.text, "é a=b c%zz%C3%A9 100%");
        assert_eq!(decoded.place(&(3..6)), 3..8);
        assert_eq!(decoded.place(&(0..decoded.text.len())), 0..26);
    }

    #[test]
    fn escapes_of_every_kind_are_read_in_layers() {
        for (text, expected) in [
            ("{\\u0022a\\u0022:1}", "{\"a\":1}"),
            ("{\\\\u0022a\\x22", "{\"a\""),
            ("&quot;a&quot;&#61;&#x3D;&amp;b", "\"a\"==&b"),
            ("a%2526b", "a&b"),
            ("{\\\"a\\\":\\\"\\\\n\\\"", "{\"a\":\"\n\""),
            ("https:\\/\\/x", "https://x"),
            ("&amp;quot;a", "\"a"),
            ("\\u002Bé%41", "+éA"),
        ] {
            assert_eq!(decoded(text).unwrap().text, expected, "{text}");
        }
        for text in ["100% of %zz %C3%A9", "a & b; &copy; &#; &#x;", "C:\\Users\\x", "\\u00e9 \\", ""] {
            assert!(decoded(text).is_none(), "{text}");
        }
    }
}
