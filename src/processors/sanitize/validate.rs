//! Validators: what a token must be beyond its shape. Each takes a bounded string.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::mark;
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

/// At least 8 bytes with a capital, a small letter and a digit: no word of a sentence.
pub(super) fn strong(text: &str) -> bool {
    let has = |test: fn(&u8) -> bool| text.as_bytes().iter().take(256).any(test);
    text.len() >= 8 && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) && !placeholder(text)
}

/// For heads that also begin ordinary words: digits, and not one word after another.
pub(super) fn random(text: &str) -> bool {
    has_digit_and_letter(text) && entropy(text) >= 3.0
}

/// For heads that no other word has: a short token of letters alone is one as well, if it has both cases.
pub(super) fn noise(text: &str) -> bool {
    random(text) || mixed(text)
}

/// A value behind a name such as `token`: it looks like no word, number, time, path or address of something.
pub(super) fn credential(text: &str) -> bool {
    let text = &text[..text.floor_char_boundary(256)];
    let bytes = text.as_bytes();
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unit = digits > 0 && bytes.len() - digits <= 8 && bytes[digits..].iter().all(u8::is_ascii_lowercase);
    let date = digits == 4 && bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
    let pointer = text.starts_with("0x") && bytes.len() <= 18;
    let place = text.contains("://") || text.starts_with('/');
    let word = changes(text) <= 1 && bytes.windows(4).any(|four| four.iter().all(u8::is_ascii_lowercase));
    let noise = tokenish(text) || (bytes.len() >= 16 && mixed(text) && !placeholder(text));
    noise && !(word || unit || date || pointer || place)
}

/// How often the letters of a text change to capitals, or to digits and back. Of words and numbers they do so seldom, of noise every other
/// time.
fn changes(text: &str) -> usize {
    let changes = text.as_bytes().windows(2).filter(|two| {
        let (one, other) = (two[0], two[1]);
        (one.is_ascii_alphanumeric() && other.is_ascii_alphanumeric())
            && (one.is_ascii_digit() != other.is_ascii_digit() || (one.is_ascii_lowercase() && other.is_ascii_uppercase()))
    });
    changes.count()
}

/// Whether a text is words, numbers and digests with something between.
pub(super) fn wordy(text: &str) -> bool {
    let parts = text.split(['-', '_', '/', ':', '.']).filter(|part| !hexadecimal(part));
    let (changes, bytes) = parts.fold((0, 0), |(all, bytes), part| (all + changes(part), bytes + part.len() + 1));
    changes * 6 <= bytes
}

/// Noise of both cases, where digits need not be.
pub(super) fn mixed(text: &str) -> bool {
    let has = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
    has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && entropy(text) >= 3.5
}

/// The generic rule: long, mixed, of high entropy, and no id or digest (a UUID, hexadecimal digits).
pub(super) fn high_entropy(text: &str) -> bool {
    // What ends a sentence or a bracket and no token.
    let text = text.trim_end_matches(|c: char| c.is_ascii_punctuation() && !matches!(c, '=' | '_' | '-' | '+' | '/'));
    let slashes = text.bytes().take(256).filter(|&byte| byte == b'/').count();
    (16..=512).contains(&text.len())
        && text.bytes().all(|byte| Alphabet::Token68.has(byte) && byte != b'.' && byte != b'%')
        && has_digit_and_letter(text)
        && !text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        && (slashes <= text.len() / 16 || text.ends_with('='))
        && entropy(text) >= 3.5
        && !wordy(text)
}

/// A digest, or a piece of a UUID.
fn hexadecimal(part: &str) -> bool {
    part.len() >= 8 && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
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

/// What stands behind `Bearer`: a token and not a word, also one with a number.
pub(super) fn bearer(text: &str) -> bool {
    let word = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = text.len() - word.len() <= 3 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    text.len() >= 12 && !numbered && (tokenish(text) || (mixed(text) && text.len() >= 20))
}

/// Base64 of `user:password` (RFC 7617).
pub(super) fn basic(text: &str) -> bool {
    let text = text.get(..1024).unwrap_or(text);
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).unwrap_or_default();
    decoded.contains(&b':') && decoded.iter().all(|&byte| byte >= b' ' && byte != 0x7f)
}

/// Words that stand where a value would, in code, configuration and schemas.
const STOP_WORDS: &[&str] = &[
    "required",
    "null",
    "nil",
    "none",
    "undefined",
    "true",
    "false",
    "empty",
    "string",
    "str",
    "text",
    "bool",
    "boolean",
    "int",
    "integer",
    "number",
    "object",
    "redacted",
    "hidden",
    "masked",
    "filtered",
    "removed",
    "optional",
    "unset",
    "missing",
    "invalid",
    "incorrect",
    "wrong",
    "expired",
    "password",
    "secret",
    "token",
    "n/a",
    "changed",
    "unknown",
    "default",
    "blank",
    "opaque",
    "inherit",
    "bytes",
    "bytea",
    "varchar",
    "optional",
    "vec",
    "option",
    "any",
    "secretstr",
    "ungültig",
    "falsch",
];

/// Words that begin a sentence about a secret: `password: must be longer`.
const PROSE: &[&str] = &[
    "a",
    "an",
    "the",
    "and",
    "any",
    "as",
    "at",
    "authentication",
    "be",
    "but",
    "can",
    "cannot",
    "can't",
    "could",
    "did",
    "do",
    "does",
    "doesn't",
    "error",
    "expected",
    "failed",
    "field",
    "for",
    "from",
    "got",
    "has",
    "have",
    "if",
    "in",
    "is",
    "isn't",
    "it",
    "length",
    "less",
    "longer",
    "may",
    "minimum",
    "maximum",
    "must",
    "no",
    "not",
    "of",
    "on",
    "only",
    "or",
    "please",
    "should",
    "shorter",
    "that",
    "this",
    "to",
    "too",
    "unable",
    "unauthorized",
    "use",
    "value",
    "was",
    "when",
    "will",
    "with",
    "you",
    "your",
    "access",
    "denied",
    "rejected",
    "mismatch",
    "verification",
    "validation",
    "check",
    "are",
    "were",
    "validator",
    "cast",
    "unexpected",
    "contains",
    "already",
    "all",
    "ensure",
    "command",
    "permission",
    "quota",
    "does",
];

/// How a reference to a value kept elsewhere begins and ends. What is written behind `:-` is the value itself.
const REFERENCES: &[(&str, &str)] = &[("${", ""), ("$(", ""), ("#{", "}"), ("%(", ")s"), ("<", ">")];

fn listed(word: &str, list: &[&str]) -> bool {
    list.iter().any(|entry| entry.eq_ignore_ascii_case(word))
}

/// Whether a value is no value: a stop word, a mask, a reference, or a mark of ours.
pub(super) fn placeholder(text: &str) -> bool {
    let bytes = text.as_bytes();
    let masked = bytes.iter().take(256).all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.' | b'-' | b'?' | b'#' | b'_'));
    let ellipsis = text.chars().take(256).all(|c| matches!(c, '•' | '…' | '●'));
    masked
        || ellipsis
        || listed(text, STOP_WORDS)
        || text.starts_with("{{")
        || (REFERENCES.iter().any(|(opening, closing)| text.starts_with(opening) && text.ends_with(closing))
            && text.split_once(":-").is_none_or(|(_, default)| default.trim_end_matches('}').is_empty()))
        || ["process.env", "os.environ", "os.getenv", "System.getenv", "env.", "secrets."]
            .iter()
            .any(|call| text.starts_with(call))
        || matches!(text, "%s" | "%d" | "%v" | "%q" | "{}" | "{0}" | "$1" | "?" | ":")
        || (text.starts_with('$') && text.len() > 3 && text[1..].bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        || is_mark(text)
}

/// Whether a value after `: ` begins a sentence.
pub(super) fn prose(word: &str) -> bool {
    listed(word, PROSE)
}

/// What begins a reference in code, configuration and templates.
const OBJECTS: &[&str] = &[
    "request", "req", "var", "vars", "self", "this", "config", "cfg", "conf", "settings", "z", "os", "import", "data", "local",
    "module", "params", "args", "opts", "options", "user", "form", "body", "env", "process", "secrets", "context", "ctx",
    "props", "event",
];

/// Whether a value without quotes is an expression, with what stands behind it: `user.password`, `request.POST["x"]`, `:password`,
/// `Optional[str]`, `!Ref X`, `2;`.
pub(super) fn reference(text: &str, behind: &str) -> bool {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if let Some(tag) = text.strip_prefix('!') {
        return ["Ref", "Sub", "GetAtt", "ImportValue", "secret", "vault", "env"].contains(&tag);
    }
    if let Some(parameter) = text.strip_prefix([':', '$', '@']) {
        let short = parameter.len() <= 3 && !parameter.is_empty() && parameter.bytes().skip(1).all(|byte| byte.is_ascii_digit());
        return short || (word(parameter) && secret_name(parameter));
    }
    let number = text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit()) && behind.starts_with([';', ' ']);
    let call = text.find(['(', '[']);
    let head = &text[..call.unwrap_or(text.len())];
    let mut parts = head.split('.');
    let chain = head.contains('.') && head.split('.').all(word);
    let object = parts.next().is_some_and(|first| OBJECTS.contains(&first));
    let last = head.rsplit('.').next().is_some_and(secret_name);
    let typed = behind.starts_with(['<', '[']) && matches!(text, "Vec" | "Option" | "Box" | "Optional" | "List");
    number || typed || (chain && (object || last || call.is_some())) || matches!(head, "Optional" if call.is_some())
}

fn secret_name(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["password", "passwd", "pwd", "secret", "token", "key", "pass"].iter().any(|name| lower.ends_with(name))
}

/// One whole mark of ours, or one of another tool in the same manner.
fn is_mark(text: &str) -> bool {
    let ours = text.starts_with(mark::OPEN) && text.len() <= mark::MAX_BYTES;
    (ours || ["[REDACTED", "[redacted", "[Filtered", "[FILTERED", "[hidden", "[secret"].iter().any(|open| text.starts_with(open)))
        && text.find(']') == Some(text.len() - 1)
        && text.len() <= mark::MAX_BYTES
}

/// A card number without its separators: issuer, length and Luhn's sum (ISO/IEC 7812-1).
pub(super) fn card(digits: &[u8]) -> bool {
    let head = |count: usize| digits.iter().take(count).fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    let length = digits.len();
    let issued = match (head(1), head(2), head(3), head(4)) {
        (4, ..) => matches!(length, 16 | 19),
        (_, 51..=55, ..) | (_, _, _, 2221..=2720) => length == 16,
        (_, 34 | 37, ..) => length == 15,
        (_, 65, ..) | (_, _, 644..=649, _) | (_, _, _, 6011) => matches!(length, 16 | 19),
        (_, _, _, 3528..=3589) => matches!(length, 16 | 19),
        (_, 36 | 38, ..) | (_, _, 300..=305, _) => length == 14,
        (_, 62, ..) | (_, _, _, 2200..=2204) => (16..=19).contains(&length),
        (_, _, _, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763) => matches!(length, 16 | 19),
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

    #[test]
    fn masks_references_and_stop_words_are_no_values() {
        for value in
            ["***", "xxxx", "Required", "NULL", "${DB_PASSWORD}", "{{ password }}", "$DB_PASS", "[redacted:jwt]", "<secret>", ""]
        {
            assert!(placeholder(value), "{value}");
        }
        for value in ["hunter2", "$ecret", "[redacted:jwt]x", "requires", "xX1"] {
            assert!(!placeholder(value), "{value}");
        }
    }
}
