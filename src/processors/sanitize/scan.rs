//! One string under the rules: alphabets, runs of them, and what may stand before a token.
//!
//! Invariant: for each keyword a rule looks at a bounded number of bytes, or at a run whose end is remembered; so a scan is linear
//! whatever the text.

use std::ops::Range;

/// A set of bytes that a token may be made of. The values are bits of [`CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Alphabet {
    /// `A-Z 0-9`
    Upper = 1,
    /// `A-Z a-z 0-9`
    Alnum = 1 << 1,
    /// Alnum and `_`
    Word = 1 << 2,
    /// Alnum, `_` and `-`: base64url
    Url = 1 << 3,
    /// Url and `.`: dotted segments
    Dotted = 1 << 4,
    /// Alnum, `+` and `/`
    Base64 = 1 << 5,
    /// Dotted, `~ + / = %`: credentials of a header (RFC 9110, "token68"), percent-encoded ones among them
    Token68 = 1 << 6,
    /// What a value without quotes may hold: no space, quote, `, ; & < > |`
    Value = 1 << 7,
    /// `0-9 a-f A-F`
    Hex = 1 << 8,
    /// What may stand between `://` and the path of a URL
    Authority = 1 << 9,
    /// `0-9`
    Digit = 1 << 10,
    /// Url, `+ / = %`: base64 of either kind, also percent-encoded
    AnyBase64 = 1 << 11,
}

const ALPHABETS: usize = 12;

static CLASSES: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    loop {
        table[byte as usize] = classes(byte);
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

const fn bit(member: bool, alphabet: Alphabet) -> u16 {
    if member { alphabet as u16 } else { 0 }
}

const fn classes(byte: u8) -> u16 {
    let alnum = byte.is_ascii_alphanumeric();
    let word = alnum || byte == b'_';
    let url = word || byte == b'-';
    let dotted = url || byte == b'.';
    let open = byte > b' ' && byte != 0x7f && !matches!(byte, b'"' | b'\'' | b'`' | b'<' | b'>');
    bit(byte.is_ascii_uppercase() || byte.is_ascii_digit(), Alphabet::Upper)
        | bit(alnum, Alphabet::Alnum)
        | bit(word, Alphabet::Word)
        | bit(url, Alphabet::Url)
        | bit(dotted, Alphabet::Dotted)
        | bit(alnum || matches!(byte, b'+' | b'/'), Alphabet::Base64)
        | bit(dotted || matches!(byte, b'~' | b'+' | b'/' | b'=' | b'%'), Alphabet::Token68)
        | bit(open && !matches!(byte, b',' | b';' | b'&' | b'|'), Alphabet::Value)
        | bit(byte.is_ascii_hexdigit(), Alphabet::Hex)
        | bit(open && !matches!(byte, b'/' | b'?' | b'#' | b'\\'), Alphabet::Authority)
        | bit(byte.is_ascii_digit(), Alphabet::Digit)
        | bit(url || matches!(byte, b'+' | b'/' | b'=' | b'%'), Alphabet::AnyBase64)
}

impl Alphabet {
    pub(super) fn has(self, byte: u8) -> bool {
        CLASSES[usize::from(byte)] & self as u16 != 0
    }
}

/// The string that is scanned, with the last run of every alphabet.
pub(super) struct Scan<'t> {
    pub(super) text: &'t str,
    pub(super) bytes: &'t [u8],
    runs: [Range<usize>; ALPHABETS],
    /// Bytes gone through by runs, and runs asked for: what a scan costs, apart from windows of a fixed size.
    #[cfg(test)]
    pub(super) work: usize,
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Scan<'t> {
        Scan {
            text,
            bytes: text.as_bytes(),
            runs: [const { 0..0 }; ALPHABETS],
            #[cfg(test)]
            work: 0,
        }
    }

    /// Where the run of this alphabet that begins at or before `from` ends; `from` where there is none.
    pub(super) fn run(&mut self, alphabet: Alphabet, from: usize) -> usize {
        let known = &mut self.runs[(alphabet as u16).trailing_zeros() as usize];
        if !known.contains(&from) {
            let rest = self.bytes.get(from..).unwrap_or_default();
            let length = rest.iter().position(|&byte| !alphabet.has(byte)).unwrap_or(rest.len());
            *known = from..from + length;
            #[cfg(test)]
            {
                self.work += length;
            }
        }
        #[cfg(test)]
        {
            self.work += 1;
        }
        known.end.max(from)
    }

    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    pub(super) fn before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|at| self.byte(at))
    }

    pub(super) fn has(&self, at: usize, alphabet: Alphabet) -> bool {
        self.byte(at).is_some_and(|byte| alphabet.has(byte))
    }

    pub(super) fn starts_with(&self, at: usize, word: &str) -> bool {
        self.bytes.get(at..).is_some_and(|rest| rest.starts_with(word.as_bytes()))
    }

    pub(super) fn starts_with_any_case(&self, at: usize, word: &str) -> bool {
        self.bytes.get(at..at + word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Skips spaces and tabs, at most 16.
    pub(super) fn skip_blanks(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        from + rest.iter().take(16).take_while(|byte| matches!(byte, b' ' | b'\t')).count()
    }

    /// Whether a word begins here: after no letter, digit or `_`, or after an escape that ends in one (`\n`, `\u0022`, `\x22`, `%3D`,
    /// the colour of a terminal).
    pub(super) fn starts_word(&self, at: usize) -> bool {
        let Some(previous) = self.before(at) else { return true };
        if !Alphabet::Word.has(previous) {
            return true;
        }
        let hex_after = |mark: &[u8], digits: usize| {
            let start = at.checked_sub(mark.len() + digits);
            start
                .and_then(|start| self.bytes.get(start..at))
                .is_some_and(|escape| escape.starts_with(mark) && escape[mark.len()..].iter().all(u8::is_ascii_hexdigit))
        };
        let escaped =
            matches!(previous, b'n' | b't' | b'r' | b'f' | b'b' | b'v' | b'0') && at >= 2 && self.bytes[at - 2] == b'\\';
        escaped || hex_after(b"%", 2) || hex_after(b"\\u", 4) || hex_after(b"\\x", 2) || self.ends_colour(at)
    }

    /// Whether the text before `at` ends with `[31m` or the like.
    fn ends_colour(&self, at: usize) -> bool {
        let back = &self.bytes[at.saturating_sub(12)..at];
        let Some((b'm', digits)) = back.split_last() else { return false };
        digits.iter().rev().find(|byte| !byte.is_ascii_digit() && **byte != b';') == Some(&b'[')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_where_its_alphabet_ends_and_is_remembered() {
        let mut scan = Scan::new("abc-123, x");
        assert_eq!(scan.run(Alphabet::Url, 0), 7);
        assert_eq!(scan.run(Alphabet::Url, 4), 7);
        assert_eq!(scan.run(Alphabet::Alnum, 0), 3);
        assert_eq!(scan.run(Alphabet::Alnum, 3), 3);
        assert_eq!(scan.run(Alphabet::Url, 9), 10);
        assert_eq!(scan.run(Alphabet::Url, 10), 10);
    }

    #[test]
    fn a_word_begins_after_an_escape() {
        for (text, at, expected) in [
            ("word", 0, true),
            (" word", 1, true),
            ("aword", 1, false),
            ("_word", 1, false),
            ("\\nword", 2, true),
            ("\\u0022word", 6, true),
            ("\\x22word", 4, true),
            ("=%3Dword", 4, true),
            ("x3Dword", 3, false),
            ("\u{1b}[1;31mword", 7, true),
        ] {
            assert_eq!(Scan::new(text).starts_word(at), expected, "{text}");
        }
    }
}
