//! What reads as words, numbers and code, and so is no secret: identifiers, paths, times, sizes, references, sentences.
//!
//! Noise and words are told apart by pairs of letters: the names that people give consist of pairs that are frequent in English, and the
//! output of a generator does not. Each function takes a bounded piece of text.

use super::scan::Alphabet;

/// How much more often than by chance the second letter follows the first in the words of technical English: `4 + log2(ratio)`, from 0 to 7.
/// A row for each first letter.
const PAIRS: [&[u8; 26]; 26] = [
    b"04540240402645040656321130",
    b"62326200630622510553610030",
    b"61316105405421620436410020",
    b"52147221610422520453421020",
    b"41563330201446132665131410",
    b"51345620600531620444400030",
    b"50217145500435410652410010",
    b"61037000600342600434401030",
    b"43544440001457530355040204",
    b"60227101502012630253613000",
    b"50337230600313411264422020",
    b"61246210601511620144320050",
    b"64127110601341560152400010",
    b"50555361403213410056330010",
    b"23541330303557440644534100",
    b"60216124402510540645401020",
    b"12034130200533320341722000",
    b"61347230603243520454421040",
    b"40416224602322442156512030",
    b"50327214600321520554301140",
    b"44434330400556250655000100",
    b"60307210600230410121000100",
    b"60136115601315620543002000",
    b"52536303500242361136322320",
    b"43325231501455470365223011",
    b"51237201512220500230200023",
];
const BY_CHANCE: i32 = 4;

/// Short words of names whose pairs are rare.
const SHORT: &[&str] =
    &["auth", "oauth", "http", "https", "html", "safe", "self", "task", "queue", "body", "copy", "view", "load", "uuid"];

/// No more of a text is looked at, so that a run which is the value of many names is not read for each.
fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(256)]
}

/// Whether letters read like a word: at least three, by their pairs.
pub(super) fn word(letters: &str) -> bool {
    let index = |byte: u8| usize::from(byte.to_ascii_lowercase().wrapping_sub(b'a'));
    let score: i32 = letters
        .as_bytes()
        .windows(2)
        .map(|pair| {
            PAIRS.get(index(pair[0])).and_then(|row| row.get(index(pair[1]))).map_or(0, |&digit| i32::from(digit - b'0'))
                - BY_CHANCE
        })
        .sum();
    letters.len() >= 3 && (score >= 0 || SHORT.iter().any(|short| short.eq_ignore_ascii_case(letters)))
}

/// The runs of letters and of digits in a part of a name; a capital begins a new one (`HTTPServer2` is `HTTP`, `Server`, `2`).
fn pieces(part: &str) -> impl Iterator<Item = &str> {
    let bytes = part.as_bytes();
    let border = move |at: usize| {
        let (before, here) = (bytes[at - 1], bytes[at]);
        before.is_ascii_digit() != here.is_ascii_digit()
            || (before.is_ascii_lowercase() && here.is_ascii_uppercase())
            || (before.is_ascii_uppercase() && here.is_ascii_uppercase() && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase))
    };
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = (start + 1..bytes.len()).find(|&at| border(at)).unwrap_or(bytes.len());
        let piece = part.get(start..end).filter(|piece| !piece.is_empty());
        start = end;
        piece
    })
}

/// Whether a part of a name, letters and digits only, consists of words and numbers; a digest counts where names of caches hold them.
fn plain_part(part: &str, digests: bool) -> bool {
    if part.bytes().all(|byte| byte.is_ascii_digit()) {
        return part.len() <= 19;
    }
    let hexadecimal = part.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    if digests && part.len() >= 7 && hexadecimal && part.bytes().any(|byte| byte.is_ascii_digit()) {
        return true;
    }
    let (mut words, mut short, mut numbers) = (0, 0, 0);
    for piece in pieces(part) {
        if piece.as_bytes()[0].is_ascii_digit() {
            numbers += 1;
        } else if word(piece) {
            words += 1;
        } else if piece.len() <= 3 || (piece.len() == 4 && piece.bytes().all(|byte| byte.is_ascii_uppercase())) {
            short += 1;
        } else {
            return false;
        }
    }
    let more = match part.len() {
        0..=4 => 2,
        5 | 6 => 1,
        _ => 0,
    };
    // `v1beta1`, `Row8821`; a longer one with two numbers is made up: `hunter2hunter2`.
    numbers <= usize::from(part.len() <= 8) + 1 && short <= words + more
}

/// Whether a text consists of words and numbers with signs between: `order-276030-image`, `oauth2/authorize`, `auth-v2.internal:8080`.
pub(super) fn compound(text: &str, digests: bool) -> bool {
    let text = head(text);
    let mut named = false;
    let parts = || text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let plain = parts().take(64).all(|part| {
        named |= pieces(part).any(|piece| piece.len() >= 3 && piece.is_ascii() && !piece.as_bytes()[0].is_ascii_digit());
        part.is_ascii() && plain_part(part, digests)
    });
    plain && named && parts().nth(64).is_none()
}

/// How many bytes stand in the parts of a text that are no words.
pub(super) fn noise_in(text: &str) -> usize {
    let text = head(text);
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty() && !plain_part(part, false))
        .map(str::len)
        .sum()
}

/// Whether the letters of a name hold the name of a secret, as those of a reference do: `hashed_password`, `user.apiToken`.
pub(super) fn names_a_secret(text: &str) -> bool {
    let text = head(text);
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric());
    parts.flat_map(pieces).any(|piece| {
        ["password", "passwd", "passphrase", "pwd", "secret", "secrets", "token", "key", "pass", "credentials"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(piece))
    })
}

const UNITS: &[&str] = &[
    "ns", "us", "ms", "s", "sec", "secs", "second", "seconds", "m", "min", "mins", "minute", "minutes", "h", "hr", "hrs", "hour",
    "hours", "d", "day", "days", "w", "week", "weeks", "micros", "millis", "nanos", "b", "k", "kb", "mb", "gb", "kib", "mib",
    "gib", "bytes",
];

/// A number with its unit, or several: `30minutes`, `1m30s`, `10KiB`.
fn quantity(text: &str) -> bool {
    let text = text.trim_start_matches(['-', '+', '<', '>', '~']);
    let mut unit_next = false;
    text.len() <= 32
        && text.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && text.split('.').all(|part| !part.is_empty() && part.is_ascii())
        && text.split('.').flat_map(pieces).all(|piece| {
            let unit = piece.as_bytes()[0].is_ascii_alphabetic();
            let fits = !unit || (unit_next && UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(piece)));
            unit_next = !unit;
            fits
        })
}

/// A date, a time, or both (ISO 8601 and what is like it), and plain numbers.
fn time(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b',' | b'/' | b'+' | b'T' | b'Z' | b' '))
}

/// A path or a URL most of whose parts are words: `/tmp/ssh-XXXX30/agent.69`, `C:\Users\jane`, `tcp://10.1.2.3:80`.
fn path(text: &str) -> bool {
    let bytes = text.as_bytes();
    let drive = matches!(bytes, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    let rooted = ["/", "./", "../", "~/", "%"].iter().any(|root| text.starts_with(root));
    let scheme =
        text.find("://").is_some_and(|at| at > 0 && bytes[..at].iter().all(|byte| Alphabet::Dotted.has(*byte) || *byte == b'+'));
    let labelled = text.find(['=', ':']).is_some_and(|at| bytes.get(at + 1) == Some(&b'/') && compound(&text[..at], false));
    if !(drive || rooted || scheme || labelled) {
        return false;
    }
    let parts = || text.split(['/', '\\', '?', '&']).filter(|part| !part.is_empty()).take(64);
    let plain = parts().filter(|part| compound(part, true) || part.len() <= 3 || time(part)).count();
    plain * 2 > parts().count() || scheme
}

/// What is known by its form and holds no secret: a path, a time, a size, an address in memory, an object as a language prints it.
pub(super) fn harmless(text: &str) -> bool {
    let text = head(text);
    let pointer = |hex: &str| hex.len() <= 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let object =
        text.rsplit_once('@').is_some_and(|(name, hex)| (4..=8).contains(&hex.len()) && pointer(hex) && compound(name, false));
    quantity(text) || time(text) || path(text) || object || text.strip_prefix("0x").is_some_and(pointer)
}

/// Objects of which code takes a value.
const OBJECTS: &[&str] = &[
    "self",
    "this",
    "user",
    "config",
    "cfg",
    "conf",
    "settings",
    "env",
    "process",
    "req",
    "request",
    "params",
    "props",
    "var",
    "local",
    "data",
    "module",
    "args",
    "opts",
    "options",
    "form",
    "body",
    "input",
    "state",
    "secrets",
    "os",
    "import",
    "credentials",
    "creds",
    "auth",
    "app",
    "ctx",
    "context",
    "event",
    "values",
    "session",
    "response",
    "res",
    "payload",
    "event",
    "model",
    "account",
    "client",
    "db",
    "vault",
    "inputs",
    "vars",
];

/// Whether a value without quotes is code: a call, an index, a type, a member, a variable. `rest` stands behind it.
pub(super) fn code(text: &str, rest: &str) -> bool {
    let text = head(text);
    let bare = text.trim_end_matches(['!', '?', ';', ',', ')', '}', ']']);
    let identifier = |text: &str| {
        text.bytes().all(|byte| Alphabet::Word.has(byte)) && text.as_bytes().first().is_some_and(|byte| !byte.is_ascii_digit())
    };
    // `z.string().min(8)`, `request.POST["x"]`, `Optional[str]`
    let text_of_call = text.trim_start_matches(['@', '&', '*', '!']);
    let opened = text_of_call.find(['(', '[']).filter(|&at| at >= 2);
    let called = opened.is_some_and(|at| {
        text_of_call[..at].split(['.', ':']).all(|part| {
            part.is_empty() || (identifier(part) && !part.bytes().any(|byte| byte.is_ascii_digit()) && compound_or_short(part))
        })
    });
    // `Vec<u8>`
    let generic = rest.starts_with('<')
        && !rest.starts_with("</")
        && !bare.bytes().any(|byte| byte.is_ascii_digit())
        && identifier(bare)
        && compound_or_short(bare)
        && bare.as_bytes()[0].is_ascii_uppercase();
    // `@p0`, `:password`, `$password`, `$2`
    let sigil = text.strip_prefix(['$', '@', ':', '&', '*', '?']).map(|name| name.trim_end_matches([';', ')', ',']));
    let variable = sigil.is_some_and(|name| {
        name.len() <= 40
            && name.bytes().all(|byte| Alphabet::Word.has(byte) || byte == b'.')
            && (name.bytes().all(|byte| byte.is_ascii_digit()) || names_a_secret(name) || (identifier(name) && name.len() <= 2))
    });
    let tag = text.starts_with('!') && text.len() > 2 && text[1..].bytes().all(|byte| byte.is_ascii_alphabetic());
    called || generic || variable || tag || member(bare) || constant(bare)
}

fn compound_or_short(text: &str) -> bool {
    text.len() <= 3 || compound(text, false)
}

/// `user.password`, `var.db_password`, `import.meta.env.K`: names with dots between, the first of an object or the last of a secret.
fn member(text: &str) -> bool {
    let text = text.strip_prefix("this->").unwrap_or(text);
    let mut parts = text.split(['.', '>']).map(|part| part.trim_end_matches(['-', '?']));
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.take(8).collect();
    let named = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| Alphabet::Word.has(byte))
            && (!part.bytes().any(|byte| byte.is_ascii_digit()) || part.bytes().all(|byte| !byte.is_ascii_lowercase()))
            && (part.len() <= 3 || compound(part, false))
    };
    let object = OBJECTS.iter().any(|object| object.eq_ignore_ascii_case(first));
    let last = rest.last().copied().unwrap_or_default();
    !rest.is_empty() && named(first) && rest.iter().all(|part| named(part)) && (object || rest.len() >= 2 || names_a_secret(last))
}

/// A name of code that says of what secret it is: `hashed_password`, `DB_PASSWORD`, `newPassword`; with dashes that of a file or an object of a
/// cluster, `postgres-password`.
fn constant(text: &str) -> bool {
    let letters = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'));
    let parts = text.split(['_', '-']).flat_map(pieces).count();
    let last = text.rsplit(['_', '-']).next().unwrap_or_default();
    letters && parts >= 2 && compound(text, false) && names_a_secret(if text.contains('-') { last } else { text })
}

/// Words that make sentences and no passphrases.
const GRAMMAR: &[&str] = &[
    "a",
    "an",
    "the",
    "is",
    "are",
    "be",
    "been",
    "was",
    "were",
    "must",
    "should",
    "can",
    "cannot",
    "can't",
    "may",
    "not",
    "no",
    "of",
    "to",
    "at",
    "for",
    "from",
    "in",
    "on",
    "with",
    "this",
    "that",
    "your",
    "you",
    "it",
    "its",
    "has",
    "have",
    "does",
    "do",
    "did",
    "or",
    "and",
    "than",
    "too",
    "field",
    "required",
    "invalid",
    "please",
    "least",
    "characters",
    "already",
    "if",
    "when",
    "by",
    "will",
];

/// Shorter ones are no sentences, in bytes.
const MIN_SENTENCE: usize = 12;

/// Whether a value in quotes is a sentence: at least three words and numbers, one of them of grammar.
pub(super) fn sentence(text: &str) -> bool {
    let text = head(text);
    let words = || text.split_whitespace().map(|word| word.trim_matches(|c: char| c.is_ascii_punctuation()));
    let grammar = |word: &str| GRAMMAR.iter().any(|entry| entry.eq_ignore_ascii_case(word));
    text.len() >= MIN_SENTENCE
        && words().count() >= 3
        && words().all(|word| letters(word) || compound(word, false) || word.parse::<u32>().is_ok())
        && words().any(grammar)
}

/// Whether it is one word of a language.
pub(super) fn letters(text: &str) -> bool {
    let text = head(text);
    let head = text.chars().next().is_some_and(char::is_alphabetic);
    let rest = text.chars().skip(1).all(|c| (c.is_alphabetic() && !c.is_uppercase()) || matches!(c, '\'' | '’'));
    let capitals = text.chars().all(|c| c.is_ascii_uppercase());
    let english = || text.len() <= 3 || !text.is_ascii() || word(text) || text.contains('\'');
    text.len() <= 32 && head && (rest || capitals) && english()
}

/// Whether a word without quotes goes on as a sentence: another word or a number with a word stands behind it, and no name of a value.
pub(super) fn goes_on(rest: &str) -> bool {
    let rest = &rest[..rest.floor_char_boundary(80)];
    let line = rest.lines().next().unwrap_or_default();
    let Some(line) = line.trim_start_matches([',', '.']).strip_prefix([' ', '\t']) else { return false };
    let next = line.split_whitespace().next().unwrap_or_default();
    let bare = next.trim_matches(|c: char| c.is_ascii_punctuation() && c != '=' && c != ':');
    let bare = bare.strip_suffix(':').filter(|_| line.trim_end().len() == next.len()).unwrap_or(bare);
    (letters(bare) || (next.starts_with('(') && !bare.is_empty())) && !bare.contains(['=', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_noise() {
        for text in [
            "node-modules-linux-x64",
            "order-276030-image",
            "order_report_6402632_v1",
            "exports/auth/cache_2026_08_00648",
            "item-7830-RegionCard-Row8821",
            "metricStatus2026Pending",
            "Linux-yarn-v5-Node20",
            "kerberos5",
            "auth-v2.internal:8080",
            "oauth2/authorize",
            "redis-auth",
        ] {
            assert!(compound(text, false), "{text}");
        }
        for text in
            ["7Qk0aB3dE5fG7hJ9", "hunter2hunter2", "KfgrtHyscsaxwiyFVojq", "xkqjzvbwplfmtzrk", "k3j9x8qz7mwp2dlf", "", "1234"]
        {
            assert!(!compound(text, true), "{text}");
        }
        assert!(compound("node-9fceb02d0ae598e95dc970b74767f19372d61af8", true));
    }

    #[test]
    fn what_has_a_form_of_its_own_is_harmless() {
        for text in [
            "30minutes",
            "108240micros",
            "1m30s",
            "2026-11-24T10:00:00.1Z",
            "/tmp/ssh-XXXX30/agent.69",
            "tcp://10.1.2.3:80",
            "0xf40945412903",
            "com.acme.Token@1f2a3b",
            "C:\\Users\\jane\\token",
        ] {
            assert!(harmless(text), "{text}");
        }
        for text in ["7Qk0aB3dE5fG7hJ9", "/7Qk0aB3dE5fG7hJ9+x", "hunter2", "30x7Qk0a"] {
            assert!(!harmless(text), "{text}");
        }
    }

    #[test]
    fn code_is_told_from_passwords() {
        for (text, rest) in [
            ("z.string().min(8)", ""),
            ("request.POST[", "\"x\"]"),
            ("Optional[str]", ""),
            ("Vec", "<u8>"),
            ("user.password", ""),
            ("var.db_password", ""),
            ("import.meta.env.K", ""),
            ("@p0", ""),
            (":password", ""),
            ("$2", ""),
            ("$password", ""),
            ("!Ref", ""),
            ("hashed_password", ""),
            ("getPassword();", ""),
            ("postgres-password", ""),
        ] {
            assert!(code(text, rest), "{text}");
        }
        for text in
            ["hunter2", "my-secret-pw", "$ecret", "p@ssw0rd", "mysecretpassword", "env.prod123abc", "Zx9(kLm)", "@dmin123", "x"]
        {
            assert!(!code(text, ""), "{text}");
        }
    }

    #[test]
    fn sentences_are_told_from_passphrases() {
        for text in ["must be at least 8 characters", "This field is required.", "can't be blank, please"] {
            assert!(sentence(text), "{text}");
        }
        for text in ["correct horse battery staple", "a, b} \" c", "my secret pw"] {
            assert!(!sentence(text), "{text}");
        }
        for (rest, expected) in [
            (" not match", true),
            (", user: jane", false),
            (" host=x", false),
            ("\nx y", false),
            (" (attempt 3)", true),
            ("", false),
        ] {
            assert_eq!(goes_on(rest), expected, "{rest}");
        }
    }
}
