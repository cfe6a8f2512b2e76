//! Bytes of a sender stand in a column as base64 (docs/mapping.md), alone or in the JSON of an array or a map: a piece whose text holds a find
//! goes as a whole.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::scan::Alphabet;

/// Shorter text holds no secret that a rule would find, in bytes of base64.
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
    let text = String::from_utf8(STANDARD.decode(piece).ok()?).ok()?;
    text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).then_some(text)
}

/// Whether all of it is base64, with its padding.
fn whole(piece: &[u8]) -> bool {
    let padding = piece.iter().rev().take(2).take_while(|&&byte| byte == b'=').count();
    piece[..piece.len() - padding].iter().all(|&byte| Alphabet::Base64.has(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

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
