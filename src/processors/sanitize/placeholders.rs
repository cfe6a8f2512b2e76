//! What stands where a value would: stop words, masks, references, the marks of redactions; and the words that begin sentences.

use super::mark;
use super::plain::{compound, names_a_secret};

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
    "inactive",
    "revoked",
    "disabled",
    "enabled",
    "rotated",
    "renewed",
    "refreshed",
    "ok",
    "yes",
    "on",
    "off",
    "any",
    "credentials",
    "key",
    "keys",
    "username",
    "email",
    "uuid",
    "bytes",
    "varchar",
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
];

/// How a reference to a value kept elsewhere begins and ends.
const REFERENCES: &[(&str, &str)] = &[("${", ""), ("$(", ""), ("#{", "}"), ("%(", ")s"), ("<%", ">")];

/// No placeholder is longer.
const MAX_BYTES: usize = 256;

fn listed(word: &str, list: &[&str]) -> bool {
    list.iter().any(|entry| entry.eq_ignore_ascii_case(word))
}

/// Whether a value is no value: a stop word, a mask, a reference, or a mark of ours.
pub(super) fn placeholder(text: &str) -> bool {
    if text.len() > MAX_BYTES {
        return false;
    }
    let bytes = text.as_bytes();
    let masked = bytes.iter().take(256).all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.' | b'-' | b'?' | b'#' | b'_'));
    let ellipsis = text.chars().take(256).all(|c| matches!(c, '•' | '…' | '●'));
    masked
        || ellipsis
        || listed(text.trim_end_matches(['!', '?']), STOP_WORDS)
        || text.starts_with("{{")
        || tag(text)
        || (text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("your")) && compound(text, false))
        || REFERENCES.iter().any(|(opening, closing)| text.starts_with(opening) && text.ends_with(closing))
        || ["process.env", "os.environ", "os.getenv", "System.getenv"].iter().any(|call| text.starts_with(call))
        || matches!(text, "%s" | "%d" | "%v" | "%q" | "{}" | "{0}" | "$1" | "?" | ":")
        || (text.starts_with('$') && text.len() > 3 && text[1..].bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        || is_mark(text)
}

/// Whether a value after `: ` begins a sentence.
pub(super) fn prose(word: &str) -> bool {
    listed(word, PROSE)
}

/// `<password>`, `<YOUR-API-KEY-1>`: letters, or several words; `<hunter2>` is a value.
fn tag(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    inner.is_some_and(|inner| {
        let letters = inner
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b' ' | b'_' | b'-' | b'.' | b'/' | b'%' | b'=' | b':'));
        letters || inner.contains([' ', '_', '-']) || names_a_secret(inner)
    })
}

/// One whole mark of ours, or one of another tool in the same manner.
fn is_mark(text: &str) -> bool {
    let ours = text.starts_with(mark::OPEN) && text.len() <= mark::MAX_BYTES;
    (ours || ["[REDACTED", "[redacted", "[Filtered", "[FILTERED", "[hidden", "[secret"].iter().any(|open| text.starts_with(open)))
        && text.find(']') == Some(text.len() - 1)
        && text.len() <= mark::MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

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
