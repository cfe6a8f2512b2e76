//! Validators: what a token must be beyond its shape. Each takes a bounded string.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::placeholders::placeholder;
use super::plain::{compound, harmless};
use super::scan::Alphabet;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

pub(super) fn any(_token: &str) -> bool {
    true
}

/// Shannon entropy in bits a byte, of the first 256 bytes.
pub(super) fn entropy(text: &str) -> f64 {
    let bytes = &text.as_bytes()[..text.len().min(256)];
    let mut counts = [0_u32; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let terms = counts.iter().filter(|&&count| count > 0).map(|&count| {
        let share = f64::from(count) / total;
        -share * share.log2()
    });
    terms.sum()
}

fn has_digit_and_letter(text: &str) -> bool {
    let head = &text.as_bytes()[..text.len().min(256)];
    head.iter().any(u8::is_ascii_digit) && head.iter().any(u8::is_ascii_alphabetic)
}

/// At least 8 bytes, with a digit and a letter, and no placeholder.
pub(super) fn tokenish(text: &str) -> bool {
    text.len() >= 8 && has_digit_and_letter(text) && !placeholder(text)
}

/// What the value of a `token` must be: noise with a digit, or letters that make no word; no path, time, size or name.
pub(super) fn secretish(text: &str) -> bool {
    let text = text.strip_prefix("base64:").unwrap_or(text);
    let run = text.bytes().take(256).take_while(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_')).count();
    let letters = run >= 24 || (run >= 12 && run == text.len().min(256));
    (8..=4096).contains(&text.len())
        && (has_digit_and_letter(text) || (letters && entropy(text) >= 2.5))
        && !placeholder(text)
        && !harmless(text)
        && !compound(text, false)
}

/// A long token at the begin of a value, whatever is stuck to it: `key=…#`.
fn body(text: &str) -> &str {
    let end = text.bytes().position(|byte| !Alphabet::Token68.has(byte) || matches!(byte, b'.' | b'%')).unwrap_or(text.len());
    if end >= 24 { &text[..end] } else { text }
}

/// At least 8 bytes with a capital, a small letter and a digit: no word of a sentence.
pub(super) fn strong(text: &str) -> bool {
    let has = |test: fn(&u8) -> bool| text.as_bytes().iter().take(256).any(test);
    text.len() >= 8 && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) && !placeholder(text)
}

/// For heads that also begin ordinary words: digits, and not one word after another.
pub(super) fn random(text: &str) -> bool {
    has_digit_and_letter(text) && entropy(text) >= 3.0
}

/// The body of a token with a head of its own, where digits need not be: a digit and a letter, or letters of both cases.
pub(super) fn noise(text: &str) -> bool {
    random(text) || mixed(text)
}

/// Noise of both cases, where digits need not be.
pub(super) fn mixed(text: &str) -> bool {
    let has = |test: fn(&u8) -> bool| text.as_bytes().iter().take(256).any(test);
    has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && entropy(text) >= 3.5
}

/// The generic rule: long, mixed, of high entropy, and no id or digest (a UUID, hexadecimal digits).
pub(super) fn high_entropy(text: &str) -> bool {
    // The end of an exclamation and not of a token; the encoding that a framework names.
    let text = text.trim_end_matches('!');
    let text = body(text.strip_prefix("base64:").unwrap_or(text));
    let slashes = text.bytes().take(256).filter(|&byte| byte == b'/').count();
    (16..=512).contains(&text.len())
        && text.bytes().all(|byte| Alphabet::Token68.has(byte) && byte != b'.' && byte != b'%')
        && (has_digit_and_letter(text) || mixed(text))
        && !text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        && (slashes <= text.len() / 16 || text.ends_with('='))
        && entropy(text) >= 3.5
        && !is_ulid(text)
        && !harmless(text)
        && !compound(text, true)
}

/// An id that sorts by its time: 26 letters and digits of Crockford's base32, the first of them small.
fn is_ulid(text: &str) -> bool {
    text.len() == 26
        && matches!(text.as_bytes(), [b'0'..=b'7', ..])
        && text.bytes().all(|byte| Alphabet::Upper.has(byte) && !matches!(byte, b'I' | b'L' | b'O' | b'U'))
}

/// A secret access key of AWS: 40 bytes of base64 that are no digest and no path.
pub(super) fn aws_secret(text: &str) -> bool {
    let has = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
    has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) && entropy(text) >= 4.0
}

/// The header of a JWT decodes to a JSON object with `alg` (RFC 7515, 4.1.1).
pub(super) fn jwt(text: &str) -> bool {
    let header = text.split('.').next().unwrap_or_default();
    let decoded = URL_SAFE.decode(header).unwrap_or_default();
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&decoded);
    object.is_ok_and(|object| object.contains_key("alg"))
}

/// Base64 of `user:password` (RFC 7617).
pub(super) fn basic(text: &str) -> bool {
    let text = text.get(..1024).unwrap_or(text);
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).unwrap_or_default();
    decoded.contains(&b':') && decoded.iter().all(|&byte| byte >= b' ' && byte != 0x7f)
}

/// A card number without its separators: issuer, length and Luhn's sum (ISO/IEC 7812-1).
pub(super) fn card(digits: &[u8]) -> bool {
    let head = |count: usize| digits.iter().take(count).fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let length = digits.len();
    let issued = match (head(1), head(2), head(3), head(4)) {
        (4, ..) | (_, _, _, 2200..=2204 | 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763) => matches!(length, 16 | 19),
        (_, 51..=55, ..) | (_, _, _, 2221..=2720) => length == 16,
        (_, 34 | 37, ..) => length == 15,
        (_, 65, ..) | (_, _, 644..=649, _) | (_, _, _, 6011) => matches!(length, 16 | 19),
        (_, _, _, 3528..=3589) => matches!(length, 16 | 19),
        (_, 36 | 38, ..) | (_, _, 300..=305, _) => length == 14,
        (_, 62, ..) => (16..=19).contains(&length),
        _ => false,
    };
    issued && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().fold(0, |sum, (index, digit)| {
        let value = u32::from(digit - b'0') << (index % 2);
        sum + if value > 9 { value - 9 } else { value }
    });
    sum.is_multiple_of(10)
}

/// Length of an IBAN by country (SWIFT, "IBAN Registry").
const IBAN_LENGTHS: &[(u8, &str)] = &[
    (15, "NO"),
    (16, "BE"),
    (18, "DK FK FO FI GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU MN XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM SO TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI DJ FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];

/// How long an IBAN of this country is.
pub(super) fn iban_length(country: &str) -> Option<usize> {
    let entry = IBAN_LENGTHS.iter().find(|(_, countries)| countries.split(' ').any(|listed| listed == country));
    entry.map(|(length, _)| usize::from(*length))
}

/// Remainder 1 of division by 97 (ISO 13616); `text` has no spaces.
pub(super) fn iban(text: &[u8]) -> bool {
    if text.len() < 5 {
        return false;
    }
    let (head, rest) = text.split_at(4);
    let remainder = rest.iter().chain(head).try_fold(0_u32, |sum, &byte| {
        let value = char::from(byte).to_digit(36)?;
        Some(if value > 9 { (sum * 100 + value) % 97 } else { (sum * 10 + value) % 97 })
    });
    remainder == Some(1)
}

/// A social security number that can have been issued (SSA, "SSN Randomization"); nine digits.
pub(super) fn ssn(digits: &[u8]) -> bool {
    let area = &digits[..3.min(digits.len())];
    digits.len() == 9 && area != b"000" && area != b"666" && area[0] != b'9' && &digits[3..5] != b"00" && &digits[5..] != b"0000"
}

/// An address that tells of somebody: not private, loopback, link-local, unspecified, nor a mask.
pub(super) fn public_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    !(address.is_private() || address.is_loopback() || address.is_link_local() || first == 0 || first >= 224)
}

/// The same for IPv6; one that embeds an IPv4 address is judged by that.
pub(super) fn public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return public_v4(mapped);
    }
    let unique_local = address.segments()[0] & 0xfe00 == 0xfc00;
    let link_local = address.segments()[0] & 0xffc0 == 0xfe80;
    !(unique_local || link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_have_an_issuer_a_length_and_a_sum() {
        for number in
            ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "2223003122003222", "30569309025904"]
        {
            assert!(card(number.as_bytes()), "{number}");
        }
        for number in ["4111111111111112", "1234567812345670", "411111111111111", "1700000000000000000"] {
            assert!(!card(number.as_bytes()), "{number}");
        }
    }

    #[test]
    fn ibans_have_a_length_and_a_remainder() {
        for number in ["DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606", "NO9386011117947"] {
            assert_eq!(iban_length(&number[..2]), Some(number.len()), "{number}");
            assert!(iban(number.as_bytes()), "{number}");
        }
        assert!(!iban(b"DE88370400440532013000"));
        assert_eq!(iban_length("ZZ"), None);
    }

    #[test]
    fn entropy_tells_words_from_noise() {
        assert!(entropy("aaaaaaaa") < 0.1);
        assert!(entropy("authentication") < 3.5);
        assert!(entropy("q8Zr2LmX0vKp7TcJ") >= 4.0);
    }
}
