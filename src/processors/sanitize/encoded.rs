//! Text behind an encoding, as readable as text.
//!
//! Bytes of a sender stand in a column as base64 (docs/mapping.md), alone or in the JSON of an array or a map: a piece whose text holds a find
//! goes as a whole. In URLs every other sign is percent-encoded, in JSON and HTML some are escaped: what is found behind that goes where it stands.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::scan::Alphabet;

/// Shorter text holds no secret that a rule would find, in bytes of base64 and of the text in it.
const MIN_BYTES: usize = 12;

/// Whether a value can hold such a piece, told by its first byte, its last and its length.
pub(super) fn hint(value: &[u8]) -> bool {
    match value {
        [b'[' | b'{', ..] => true,
        [first, .., last] => {
            value.len() >= MIN_BYTES
                && value.len().is_multiple_of(4)
                && Alphabet::Base64.has(*first)
                && (*last == b'=' || Alphabet::Base64.has(*last))
                && has_capital(value)
                && whole(value)
        }
        _ => false,
    }
}

/// The pieces with the text behind them.
pub(super) fn texts(value: &str) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    match value.as_bytes().first() {
        Some(b'[' | b'{') => {
            let mut open = None;
            for quote in memchr::memchr_iter(b'"', value.as_bytes()) {
                if let Some(start) = open.replace(quote + 1) {
                    found.extend(text(&value[start..quote]).map(|text| (start..quote, text)));
                }
            }
        }
        _ => found.extend(text(value).map(|text| (0..value.len(), text))),
    }
    found
}

fn text(piece: &str) -> Option<String> {
    if piece.len() < MIN_BYTES || !piece.len().is_multiple_of(4) || !whole(piece.as_bytes()) {
        return None;
    }
    // Bytes that are no text have one in them all the same: a string between lengths.
    let bytes = STANDARD.decode(piece).ok()?;
    let readable = bytes.split(|byte| !(b' '..0x7f).contains(byte)).any(|run| run.len() >= MIN_BYTES);
    readable.then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// The base64 of a text has capitals, and most ids have none.
fn has_capital(piece: &[u8]) -> bool {
    piece.iter().fold(0, |any, byte| any | u8::from(byte.is_ascii_uppercase())) != 0
}

/// Whether all of it is base64, with its padding.
fn whole(piece: &[u8]) -> bool {
    let padding = piece.iter().rev().take(2).take_while(|&&byte| byte == b'=').count();
    piece[..piece.len() - padding].iter().all(|&byte| Alphabet::Base64.has(byte))
}

/// A text without its percent-encoding (RFC 3986, 2.1) and escapes, as far as they stand for ASCII.
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

/// `None` where nothing is encoded.
pub(super) fn decoded(text: &str) -> Option<Decoded> {
    let bytes = text.as_bytes();
    let first = memchr::memchr3_iter(b'%', b'\\', b'&', bytes).find(|&at| escape(bytes, at).is_some())?;
    let mut decoded = Decoded { text: text[..first].to_owned(), places: (0..first).collect() };
    let mut at = first;
    while let Some(character) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let (character, length) =
            escape(bytes, at).map_or((character, character.len_utf8()), |(byte, length)| (char::from(byte), length));
        decoded.text.push(character);
        decoded.places.resize(decoded.text.len(), at);
        at += length;
    }
    decoded.places.push(at);
    Some(decoded)
}

/// Entities of HTML that stand for what encloses and separates values.
const ENTITIES: &[(&[u8], u8)] = &[
    (b"&quot;", b'"'),
    (b"&#34;", b'"'),
    (b"&#x22;", b'"'),
    (b"&#39;", b'\''),
    (b"&apos;", b'\''),
    (b"&amp;", b'&'),
    (b"&#64;", b'@'),
    (b"&#10;", b'\n'),
];

/// The byte that is encoded at `at`, and how long its code is: `%3D`, `\u003d` of JSON, `&quot;` of HTML.
fn escape(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let hexadecimal = |high: u8, low: u8| {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = digit(high)? << 4 | digit(low)?;
        (byte == b'\n' || (b' '..0x7f).contains(&byte)).then_some(byte)
    };
    match bytes.get(at..)? {
        [b'%', high, low, ..] => hexadecimal(*high, *low).map(|byte| (byte, 3)),
        [b'\\', b'u', b'0', b'0', high, low, ..] => hexadecimal(*high, *low).map(|byte| (byte, 6)),
        rest @ [b'&', ..] => {
            ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity)).map(|(entity, byte)| (*byte, entity.len()))
        }
        _ => None,
    }
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
        let json = super::decoded("{\\u0022a\\u0022:&quot;b&#39;}").unwrap();
        assert_eq!(json.text, "{\"a\":\"b'}");
        assert_eq!(json.place(&(1..4)), 1..14);
        assert!(super::decoded("100% of %zz %C3%A9").is_none());
    }

    #[test]
    fn pieces_of_text_are_found_alone_and_in_json_and_nothing_else_is() {
        let piece = STANDARD.encode("a text, and more");
        for (value, expected) in [
            (piece.clone(), vec!["a text, and more"]),
            (format!("[\"x\",\"{piece}\"]"), vec!["a text, and more"]),
            (format!("{{\"k\":[\"{piece}\",1],\"{piece}\":{{}}}}"), vec!["a text, and more"; 2]),
            (format!("see {piece}"), vec![]),
            (STANDARD.encode([0xff; 16]), vec![]),
            ("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), vec![]),
            ("[\"checkout\",\"".to_owned(), vec![]),
            (String::new(), vec![]),
        ] {
            let found: Vec<String> = texts(&value).into_iter().map(|(_, text)| text).collect();
            assert_eq!(found, expected, "{value}");
            assert!(expected.is_empty() || hint(value.as_bytes()), "{value}");
        }
    }
}
