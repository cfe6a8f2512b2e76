//! Where something without a keyword may stand: a card, an IBAN, an address. Plain steps over blocks of bytes, so that the compiler makes
//! vectors of them; what is found is a place to look at, and no find.

/// Bytes of a block, and how far beyond it is looked.
const BLOCK: usize = 64;
const REACH: usize = 16;
const WHOLE: usize = BLOCK + REACH;

/// Nine digits, or four and four with a space, a dash, a plus or a dot between: a card begins here.
pub(super) const DIGITS: u8 = 1;
/// Two capital letters and two digits: an IBAN begins here.
pub(super) const LETTERS: u8 = 2;
/// A digit before a dot, with two more dots behind: the first number of an IPv4 address ends here.
pub(super) const DOT: u8 = 4;
/// A colon with another one to five bytes behind, and as many as an address has: the first of an IPv6 address.
pub(super) const COLON: u8 = 8;

/// Calls `hit` with every place that has one of the `wanted` signs, in order, and with those it has.
pub(super) fn find(text: &[u8], wanted: u8, mut hit: impl FnMut(usize, u8)) {
    let mut at = 0;
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<WHOLE>) {
        look(text, at, block, wanted, &mut hit);
        at += BLOCK;
    }
    while at < text.len() {
        let mut block = [0; WHOLE];
        let rest = &text[at..text.len().min(at + WHOLE)];
        block[..rest.len()].copy_from_slice(rest);
        look(text, at, &block, wanted, &mut hit);
        at += BLOCK;
    }
}

/// Where what has a sign at `at` may begin: an address before its first dot or colon.
pub(super) fn starts(at: usize, signs: u8) -> std::ops::RangeInclusive<usize> {
    let back = if signs & COLON != 0 {
        4
    } else if signs & DOT != 0 {
        2
    } else {
        0
    };
    at.saturating_sub(back)..=at
}

#[inline]
fn look(text: &[u8], at: usize, block: &[u8; WHOLE], wanted: u8, hit: &mut impl FnMut(usize, u8)) {
    if may_have(block) & wanted == 0 {
        return;
    }
    let signs = signs(block);
    for (word, eight) in signs.as_chunks::<8>().0.iter().enumerate() {
        let mut left = u64::from_le_bytes(*eight);
        while left != 0 {
            let byte = left.trailing_zeros() / 8;
            left &= !(0xff << (8 * byte));
            let place = 8 * word + byte as usize;
            let signs = likely(&text[at + place..], signs[place] & wanted);
            if signs != 0 {
                hit(at + place, signs);
            }
        }
    }
}

/// A cheap look at the whole block: the signs that a place of it may have.
#[inline]
fn may_have(block: &[u8; WHOLE]) -> u8 {
    // All ones where it holds, so that vectors need no more than to compare. Digits are those and six signs that are as good.
    let mask = |holds: bool| if holds { u8::MAX } else { 0 };
    let mut digit = [0; WHOLE];
    for (digit, byte) in digit.iter_mut().zip(block) {
        *digit = mask(byte & 0xf0 == 0x30);
    }
    let (mut any, mut colons) = (0, 0_u8);
    for place in 0..BLOCK {
        let capitals = mask(block[place] & 0xe0 == 0x40) & mask(block[place + 1] & 0xe0 == 0x40);
        let letters = capitals & digit[place + 2] & digit[place + 3];
        let dot = digit[place] & mask(block[place + 1] == b'.') & digit[place + 2];
        let digits = digit[place] & digit[place + 3] & digit[place + 5] & digit[place + 8];
        let colon = mask(block[place] == b':');
        let doubled = colon & mask(block[place + 1] == b':');
        any |= (digits & DIGITS) | (letters & LETTERS) | (dot & DOT) | (doubled & COLON);
        colons = colons.wrapping_sub(colon);
    }
    for place in BLOCK..WHOLE - 1 {
        colons += u8::from(block[place] == b':');
        any |= mask(block[place] == b':' && block[place + 1] == b':') & COLON;
    }
    // From its first colon an address has four of them within 16 bytes, or two in a row.
    if colons >= 4 { any | COLON } else { any }
}

/// The signs without those that a few bytes more show to be none: an address has three dots, or two colons in a row, or six of them.
fn likely(rest: &[u8], signs: u8) -> u8 {
    let mut signs = signs;
    if signs & DOT != 0
        && rest.iter().take(13).take_while(|byte| byte.is_ascii_digit() || **byte == b'.').filter(|byte| **byte == b'.').count()
            < 3
    {
        signs &= !DOT;
    }
    if signs & COLON != 0 {
        let run = rest.iter().take(40).take_while(|byte| byte.is_ascii_hexdigit() || **byte == b':').count();
        let run = &rest[..run];
        let doubled = run.windows(2).any(|two| two == b"::");
        if !doubled && memchr::memchr_iter(b':', run).count() < 6 {
            signs &= !COLON;
        }
    }
    signs
}

/// The signs at each place of the block. One pass for each property of a byte, and one that joins them.
fn signs(block: &[u8; WHOLE]) -> [u8; BLOCK] {
    let is = |test: fn(u8) -> bool| block.map(|byte| u8::from(test(byte)));
    let digit = is(|byte| byte.wrapping_sub(b'0') < 10);
    let capital = is(|byte| byte.wrapping_sub(b'A') < 26);
    let joint = is(|byte| matches!(byte, b' ' | b'+' | b'-' | b'.') || byte.wrapping_sub(b'0') < 10);
    let dot = is(|byte| byte == b'.');
    let colon = is(|byte| byte == b':');
    let mut two = [0; WHOLE - 1];
    for (place, two) in two.iter_mut().enumerate() {
        *two = digit[place] & digit[place + 1];
    }
    let mut four = [0; WHOLE - 3];
    for (place, four) in four.iter_mut().enumerate() {
        *four = two[place] & two[place + 2];
    }
    let mut signs = [0; BLOCK];
    for (place, signs) in signs.iter_mut().enumerate() {
        let digits = four[place] & joint[place + 4] & four[place + 5];
        let letters = capital[place] & capital[place + 1] & two[place + 2];
        let dot = digit[place] & dot[place + 1] & digit[place + 2];
        let second = colon[place + 1] | colon[place + 2] | colon[place + 3] | colon[place + 4] | colon[place + 5];
        *signs = (digits * DIGITS) | (letters * LETTERS) | (dot * DOT) | ((colon[place] & second) * COLON);
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_found_at_every_place_of_a_text_of_every_length() {
        for (sign, expected, offset) in [
            ("4111111111111111", DIGITS, 0),
            ("3782 822463", DIGITS, 0),
            ("4111-1111", DIGITS, 0),
            ("4111+1111", DIGITS, 0),
            ("DE89", LETTERS, 0),
            ("203.0.113.5", DOT, 2),
            ("2001:db8::1", COLON, 4),
            ("1:2:3:4:5:6:7", COLON, 1),
        ] {
            for before in 0..140 {
                for after in 0..12 {
                    let text = format!("{}{sign}{}", "x".repeat(before), "y".repeat(after));
                    let mut first = None;
                    find(text.as_bytes(), u8::MAX, |at, signs| first = first.or(Some((at, signs))));
                    assert_eq!(first, Some((before + offset, expected)), "{text}");
                }
            }
        }
    }

    #[test]
    fn ordinary_text_has_no_sign() {
        for text in [
            "",
            "at com.example.Checkout.pay(Checkout.java:42)",
            "took 1234 ms",
            "error: 4 of 5",
            "v1",
            "12:3",
            "1.2.3",
            "06:31:06.123",
        ] {
            find(text.as_bytes(), u8::MAX, |at, signs| panic!("{signs} at {at} of {text}"));
        }
    }
}
