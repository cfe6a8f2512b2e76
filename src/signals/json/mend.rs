//! Bodies of JSON that are not UTF-8, or not UTF-16 behind their escapes.

use std::borrow::Cow;

use memchr::memmem;

/// Replaces what is no text by U+FFFD, so that a bad string costs only itself; says how many strings it mended.
///
/// Two things are no text: bytes that are not UTF-8, and an escape of half a surrogate pair, which is what JavaScript writes for a string
/// that was cut in the middle of a character. A body without them, almost every one, is given back as it is.
pub fn mend(body: &[u8]) -> (Cow<'_, [u8]>, u64) {
    if simdutf8::basic::from_utf8(body).is_ok() && !has_lone_surrogate(body) {
        return (Cow::Borrowed(body), 0);
    }
    let mut mender = Mender { out: Vec::with_capacity(body.len() + 16), ..Mender::default() };
    for chunk in body.utf8_chunks() {
        mender.text(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            mender.replace("\u{fffd}");
        }
    }
    (Cow::Owned(mender.out), mender.mended)
}

/// What a `\u` escape at the start of `text` stands for.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?))
}

/// How many bytes at the start of `text`, which is an escape, belong together; and whether they are half of a pair.
fn escape(text: &[u8]) -> (usize, bool) {
    match unit(text) {
        Some(0xd800..0xdc00) => match text.get(6..).and_then(unit) {
            Some(0xdc00..0xe000) => (12, false),
            _ => (6, true),
        },
        Some(0xdc00..0xe000) => (6, true),
        _ => (2.min(text.len()), false),
    }
}

fn has_lone_surrogate(body: &[u8]) -> bool {
    let finder = memmem::Finder::new(b"\\u");
    let mut from = 0;
    while let Some(found) = finder.find(&body[from..]) {
        let at = from + found;
        // `\\u` is a backslash and the letter u.
        let before = body[from..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        let (len, lone) = if before % 2 == 0 { escape(&body[at..]) } else { (2, false) };
        if lone {
            return true;
        }
        from = at + len;
    }
    false
}

#[derive(Default)]
struct Mender {
    out: Vec<u8>,
    /// Quotes so far that open or close a string: the number of the string that we are in.
    quotes: u64,
    mended: u64,
    last_mended: Option<u64>,
}

impl Mender {
    fn replace(&mut self, by: &str) {
        self.out.extend_from_slice(by.as_bytes());
        if self.last_mended.replace(self.quotes) != Some(self.quotes) {
            self.mended += 1;
        }
    }

    fn text(&mut self, mut text: &[u8]) {
        while let Some(at) = memchr::memchr2(b'\\', b'"', text) {
            let (plain, special) = text.split_at(at);
            self.out.extend_from_slice(plain);
            let (len, lone) = if special[0] == b'"' { (1, false) } else { escape(special) };
            self.quotes += u64::from(special[0] == b'"');
            if lone {
                self.replace("\\ufffd");
            } else {
                self.out.extend_from_slice(&special[..len]);
            }
            text = &special[len..];
        }
        self.out.extend_from_slice(text);
    }
}

/// The body with `NaN`, `Infinity` and `-Infinity` in quotes, as OTLP has them, where they stand bare: JSON has no such numbers, but Python's
/// `json.dumps` writes them. `None` where there are none.
pub fn quote_bare_numbers(body: &[u8]) -> Option<Vec<u8>> {
    const BARE: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    let mut out: Option<Vec<u8>> = None;
    let (mut at, mut copied) = (0, 0);
    while at < body.len() {
        let rest = &body[at..];
        if rest[0] == b'"' {
            at += string(rest);
        } else if let Some(word) = BARE.iter().find(|word| rest.starts_with(word)) {
            let out = out.get_or_insert_with(|| Vec::with_capacity(body.len() + 16));
            out.extend_from_slice(&body[copied..at]);
            out.push(b'"');
            out.extend_from_slice(word);
            out.push(b'"');
            at += word.len();
            copied = at;
        } else {
            at += 1;
        }
    }
    out.map(|mut out| {
        out.extend_from_slice(&body[copied..]);
        out
    })
}

/// The length of the string that `text` starts with, its quotes included; to the end where it is not closed.
fn string(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'\\', b'"', text.get(at..).unwrap_or(&[])) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], expected: &str, mended: u64) {
        let (out, count) = mend(body);
        assert_eq!((std::str::from_utf8(&out).unwrap(), count), (expected, mended));
        serde_json::from_slice::<serde_json::Value>(&out).unwrap();
    }

    #[test]
    fn sound_text_is_given_back_as_it_is() {
        for body in [r#"{"a":"é😀 \ud83d\ude00 \\ud800 \\\\ud800"}"#, r#"["\u00e9\uD83D\uDE00"]"#, "[]"] {
            assert!(matches!(mend(body.as_bytes()), (Cow::Borrowed(_), 0)), "{body}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_and_their_strings_counted() {
        check(b"[\"a\xffb\xc3\", \"ok\", \"\\\"\xe2\x82\"]", "[\"a\u{fffd}b\u{fffd}\", \"ok\", \"\\\"\u{fffd}\"]", 2);
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        check(
            br#"["cut \ud83d","\ude00 \ud83d\ude00","\\ud83d \\\ud83d\ud83d\ude00"]"#,
            r#"["cut \ufffd","\ufffd \ud83d\ude00","\\ud83d \\\ufffd\ud83d\ude00"]"#,
            3,
        );
    }

    #[test]
    fn numbers_that_json_does_not_have_are_put_in_quotes() {
        let check = |body: &str, expected: Option<&str>| {
            let quoted = quote_bare_numbers(body.as_bytes()).map(|body| String::from_utf8(body).unwrap());
            assert_eq!(quoted.as_deref(), expected, "{body}");
        };
        check(r#"{"a": NaN, "b":[Infinity,-Infinity], "c":-1}"#, Some(r#"{"a": "NaN", "b":["Infinity","-Infinity"], "c":-1}"#));
        check(r#"{"NaN":"NaN \" Infinity","b":NaN}"#, Some(r#"{"NaN":"NaN \" Infinity","b":"NaN"}"#));
        for body in [r#"{"NaN":"Infinity"}"#, r#"["\\", "NaN"]"#, "", r#"["NaN"#, r#"["NaN\"#, "[nan, inf]"] {
            check(body, None);
        }
    }

    #[test]
    fn a_body_cut_within_an_escape_is_left_to_the_parser() {
        for body in [&b"[\"\\"[..], b"[\"\\u", b"[\"\\ud8", b"\\", b"\xff\\"] {
            mend(body);
        }
    }
}
