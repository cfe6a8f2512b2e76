//! IP addresses in text, told from the version numbers that look like them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::scan::{Alphabet, Scan};
use super::validate::{public_v4, public_v6};

/// Words near a version, this far before it, in bytes; and what has one right behind.
const MAX_WORDS: usize = 32;
const VERSIONS: &[&str] = &[
    "version",
    "versions",
    "ver",
    "release",
    "releases",
    "build",
    "revision",
    "rev",
    "firmware",
    "section",
    "upgrade",
    "upgraded",
    "upgrading",
    "downgrade",
    "downgraded",
    "package",
    "pkg",
    "library",
    "plugin",
    "assembly",
    "oid",
    "chapter",
    "clause",
    "paragraph",
    "installed",
    "update",
    "updated",
];
const VERSIONED: &[&str] =
    &["sdk", "jdk", "jre", "runtime", "python", "java", "node", "ruby", "chrome", "windows", "kernel", "agent", "edge"];
/// Words of one line that tell of a host, and of no version.
const HOSTS: &[&str] = &[
    "from",
    "to",
    "at",
    "by",
    "ip",
    "ips",
    "ipv4",
    "addr",
    "address",
    "client",
    "peer",
    "host",
    "remote",
    "server",
    "source",
    "src",
    "dst",
    "dest",
    "connect",
    "connection",
    "dial",
    "tcp",
    "udp",
    "dns",
    "gateway",
    "resolver",
    "nameserver",
    "proxy",
    "for",
    "via",
    "node",
    "blocked",
    "bind",
    "listen",
    "ping",
    "user",
    "endpoint",
    "upstream",
    "origin",
];
/// Servers for names that anybody may name.
const RESOLVERS: &[[u8; 4]] = &[[1, 1, 1, 1], [1, 0, 0, 1], [8, 8, 8, 8], [8, 8, 4, 4], [9, 9, 9, 9]];

/// An IPv4 address that is public; a version number is none.
pub(super) fn v4(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let rest = scan.bytes.get(at..)?;
    let length = rest.iter().take(17).take_while(|&&byte| byte.is_ascii_digit() || byte == b'.').count();
    let length = length - usize::from(rest[..length].ends_with(b"."));
    let address: Ipv4Addr = scan.text[at..at + length].parse().ok()?;
    let end = at + length;
    let letter = |at: usize| scan.byte(at).is_some_and(|byte| byte.is_ascii_alphabetic());
    let joined = scan.before(at) == Some(b'.') || scan.has(end, Alphabet::Alnum);
    (!joined && public_v4(address) && !is_version(scan, address, at..end, letter)).then_some(at..end)
}

/// Small numbers are versions unless something tells of a host; any numbers are behind a word that says so.
fn is_version(scan: &Scan<'_>, address: Ipv4Addr, place: Range<usize>, letter: impl Fn(usize) -> bool) -> bool {
    let (before, next) = (scan.before(place.start), scan.byte(place.end));
    let host = (next == Some(b':') && scan.has(place.end + 1, Alphabet::Digit))
        || scan.bytes[..place.start].ends_with(b"://")
        || before == Some(b'@')
            && scan.before(place.start - 1).is_some_and(|byte| Alphabet::Alnum.has(byte))
            && !address.octets().iter().all(|&octet| octet <= 20);
    if host {
        return false;
    }
    let octets = address.octets();
    let all_below = |limit: u8| octets.iter().all(|&octet| octet <= limit);
    let round = matches!(octets, [_, 0, 0, _] | [_, 0, _, 0] | [_, _, 0, 0]);
    let attached = |sign: Option<u8>| matches!(sign, Some(b'/' | b'-' | b'_' | b'@' | b'+'));
    let product = attached(before) && place.start >= 2 && scan.has(place.start - 2, Alphabet::Alnum);
    let suffixed = matches!(next, Some(b'-' | b'_')) && letter(place.end + 1);
    // The agents of browsers have a zero there.
    let name = scan.text[..place.start]
        .trim_end_matches('/')
        .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-')
        .next();
    let name = name.filter(|name| name.len() <= 24 && !name.contains('.') && name.starts_with(|c: char| c.is_ascii_uppercase()));
    let agent = before == Some(b'/') && octets[1] == 0 && name.is_some();
    if (product || suffixed) && (all_below(40) || round || agent)
        || next == Some(b'+') && scan.has(place.end + 1, Alphabet::Alnum)
    {
        return true;
    }
    let low = scan.text.ceil_char_boundary(place.start.saturating_sub(MAX_WORDS));
    let line = scan.text[low..place.start].rsplit(['\n', ';']).next().unwrap_or_default();
    let mut words = line.rsplit(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let is = |word: &str, list: &[&str]| list.iter().any(|entry| entry.eq_ignore_ascii_case(word));
    let versioned =
        |word: &str| is(word, VERSIONS) || word.len() > 3 && word.get(..3).is_some_and(|head| head.eq_ignore_ascii_case("lib"));
    let last = words.next().unwrap_or_default();
    if is(last, &["version", "ver", "release", "build", "revision"]) || last.ends_with("Version") {
        return true;
    }
    let near = (is(last, VERSIONED) && !product) || versioned(last) || words.any(versioned);
    let small = octets[..3].iter().all(|&octet| octet <= 40);
    (near && small) || (all_below(20) && !is(last, HOSTS) && !RESOLVERS.contains(&octets))
}

/// An IPv6 address that is public: eight numbers, or `::` for some of them.
pub(super) fn v6(scan: &mut Scan<'_>, at: usize) -> Option<Range<usize>> {
    let rest = scan.bytes.get(at..)?;
    let length = rest.iter().take(46).take_while(|&&byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')).count();
    let mut text = &scan.text[at..at + length];
    if !text.contains("::") && text.bytes().filter(|&byte| byte == b':').count() < 6 {
        return None;
    }
    while !text.ends_with("::") && text.ends_with([':', '.']) {
        text = &text[..text.len() - 1];
    }
    let address: Ipv6Addr = text.parse().ok()?;
    let end = at + text.len();
    // `abc::def` is a path of Rust or C++: an abbreviated address must be one that is given out (2000::/3).
    let given_out = address.segments()[0] & 0xe000 == 0x2000 && text.as_bytes().get(4) == Some(&b':');
    let sure = given_out || address.to_ipv4_mapped().is_some() || !text.contains("::");
    // Behind a colon the name of a member may stand, and no further number of an address.
    let back = &scan.bytes[at.saturating_sub(24)..at];
    let name = back
        .strip_suffix(b":")
        .map(|back| &back[back.iter().rposition(|&byte| !Alphabet::Alnum.has(byte)).map_or(0, |at| at + 1)..]);
    let named = name.is_none_or(|name| name.iter().any(|byte| !byte.is_ascii_hexdigit()));
    let joined = scan.has(end, Alphabet::Word) || !named || back.ends_with(b"::");
    (sure && !joined && public_v6(address)).then_some(at..end)
}

/// An IPv4 address in the form of IPv6, `::ffff:cb00:7109`.
pub(super) fn mapped(scan: &mut Scan<'_>, keyword: Range<usize>) -> Option<Range<usize>> {
    let rest = &scan.bytes[keyword.start..scan.bytes.len().min(keyword.start + 24)];
    let length = rest.iter().take_while(|&&byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')).count();
    let text = scan.text[keyword.start..keyword.start + length].trim_end_matches([':', '.']);
    let address = text.parse::<Ipv6Addr>().ok()?.to_ipv4_mapped()?;
    let joined = scan.before(keyword.start).is_some_and(|byte| Alphabet::Alnum.has(byte));
    (!joined && public_v4(address)).then_some(keyword.start..keyword.start + text.len())
}
