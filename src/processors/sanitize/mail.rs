//! Mail addresses (RFC 5321, 4.1.2; RFC 6531), anchored at their `@`.

use std::ops::Range;

use super::scan::{Alphabet, Scan};

const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 253;

/// Endings of a file and not of a host.
const FILES: &[&str] = &[
    "js", "mjs", "cjs", "jsx", "ts", "tsx", "html", "wasm", "vue", "svelte", "php", "java", "cpp", "service", "socket", "timer",
    "target", "mount", "slice", "scope",
];

/// `local@domain.tld`, anchored at the `@` or `%40`; not a package, a version, a stack frame or the user info of a URL.
pub(super) fn email(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let start = local(scan, keyword.start)?;
    let domain = domain(scan, keyword.end)?;
    let (name, ending) = domain.rsplit_once('.')?;
    let end = keyword.end + domain.len();
    let mut labels = name.split('.');
    let digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let version = labels.next().is_some_and(digits)
        && labels.next().is_some_and(|label| label.bytes().next().is_some_and(|byte| byte.is_ascii_digit()));
    let top = ending.chars().count() >= 2 && (ending.starts_with("xn--") || ending.chars().all(char::is_alphabetic));
    let position = scan.byte(end) == Some(b':') && scan.has(end + 1, Alphabet::Digit);
    let file = FILES.contains(&ending) || (position && matches!(ending, "py" | "rs" | "rb" | "go"));
    let remote = &scan.text[start..keyword.start] == "git";
    let well_formed = !name.contains("..") && domain.len() <= MAX_DOMAIN;
    (top && !version && !file && !remote && well_formed && !in_authority(scan, start)).then_some(start..end)
}

/// Where the local part begins that ends at `at`.
fn local(scan: &Scan<'_>, at: usize) -> Option<usize> {
    let low = scan.text.ceil_char_boundary(at.saturating_sub(MAX_LOCAL));
    let back = &scan.text[low..at];
    if let Some(inner) = back.strip_suffix('"') {
        // `"jane doe"@example.com`
        let open = inner.rfind('"')?;
        let name = &inner[open + 1..];
        let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | '+');
        let named = name.starts_with(char::is_alphanumeric) && name.ends_with(char::is_alphanumeric) && name.chars().all(plain);
        return named.then_some(low + open);
    }
    let mut start = at;
    for (offset, c) in back.char_indices().rev() {
        let quote = c == '\'' && start < at && back[..offset].ends_with(char::is_alphabetic) && !prefixed(&back[..offset]);
        let part = c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '%' | '+') || quote;
        if !part {
            break;
        }
        start = low + offset;
    }
    // An escaped line end or sign before the name is no part of it.
    let escape = scan.before(start) == Some(b'\\');
    match scan.byte(start) {
        Some(b'n' | b'r' | b't') if escape => start += 1,
        Some(b'u') if escape && scan.bytes[start + 1..].iter().take(4).filter(|byte| byte.is_ascii_hexdigit()).count() == 4 => {
            start += 5;
        }
        _ => {}
    }
    (start < at).then_some(start)
}

/// Whether a text ends with the letter of a string's prefix, as in `[u'…'`.
fn prefixed(text: &str) -> bool {
    let mut back = text.chars().rev();
    matches!(back.next(), Some('u' | 'b' | 'r')) && back.next().is_none_or(|before| !before.is_alphanumeric())
}

/// Names of a host from `from` on, to the last letter or digit.
fn domain<'t>(scan: &mut Scan<'t>, from: usize) -> Option<&'t str> {
    let window = scan.text.get(from..scan.text.floor_char_boundary(from + MAX_DOMAIN + 1))?;
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || (!c.is_ascii() && c.is_alphanumeric());
    let domain = &window[..window.find(|c| !part(c)).unwrap_or(window.len())];
    let domain = domain.trim_end_matches(|c: char| !c.is_alphanumeric());
    domain.starts_with(char::is_alphanumeric).then_some(domain)
}

/// Whether `at` stands behind `://` without an end of the authority between.
fn in_authority(scan: &Scan<'_>, at: usize) -> bool {
    let back = &scan.bytes[at.saturating_sub(256)..at];
    let slash = back.iter().rposition(|&byte| !Alphabet::Authority.has(byte));
    slash.is_some_and(|slash| back[..=slash].ends_with(b"://") || back[..=slash].ends_with(b":\\/\\/"))
}
