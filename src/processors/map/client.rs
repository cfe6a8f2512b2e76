//! The client's address: the first source that can be read as one, in its canonical form.

use std::borrow::Cow;

use super::lookup::{Attr, Lookup, has_no_edges};
use super::preset;
use crate::processors::hash_ip;
use crate::signals::Value;

/// What the sources say of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client<'r> {
    Address(Cow<'r, str>),
    /// There were values, and none was an address.
    Unreadable,
    Unknown,
}

impl<'r> Lookup<'_, 'r, '_> {
    /// `trusted_hops` entries of X-Forwarded-For are skipped from the right: those that the operator's own proxies wrote.
    pub fn client(&self, trusted_hops: usize) -> Client<'r> {
        let mut seen = false;
        for attr in preset::CLIENT {
            let hops = (attr == Attr::HttpHeaderForwardedFor).then_some(trusted_hops);
            let address = self.read(attr, |value| {
                seen = true;
                self.address_in(value, hops)
            });
            if let Some(address) = address {
                return Client::Address(address);
            }
        }
        if seen { Client::Unreadable } else { Client::Unknown }
    }

    /// The address in a value; `hops` for the value of an X-Forwarded-For.
    pub fn address_in(&self, value: &'r Value<'_>, hops: Option<usize>) -> Option<Cow<'r, str>> {
        match hops {
            Some(hops) => self.forwarded_for(value, hops),
            None => self.first_address(value),
        }
    }

    /// The value, or the first address among its elements.
    fn first_address(&self, value: &'r Value<'_>) -> Option<Cow<'r, str>> {
        value.elements(self.attributes()).iter().filter_map(Value::as_str).find_map(address)
    }

    /// The entry that stands `trusted_hops` before the last, over all lines of the header.
    fn forwarded_for(&self, value: &'r Value<'_>, trusted_hops: usize) -> Option<Cow<'r, str>> {
        let lines = value.elements(self.attributes()).iter().rev().filter_map(Value::as_str);
        lines.flat_map(|line| line.rsplit(',')).nth(trusted_hops).and_then(address)
    }
}

/// An address in canonical form; borrowed where it already is.
fn address(text: &str) -> Option<Cow<'_, str>> {
    let text = if has_no_edges(text) { text } else { text.trim() };
    if is_ipv4(text) {
        return Some(Cow::Borrowed(text));
    }
    hash_ip::parse(text).map(|address| Cow::Owned(address.to_string()))
}

/// Whether the text is an IPv4 address in its canonical form. The standard parser takes the same ones, and takes six times as long.
fn is_ipv4(text: &str) -> bool {
    let (mut number, mut digits, mut dots) = (0, 0, 0);
    for byte in text.bytes() {
        match byte {
            // No number but 0 begins with a 0.
            b'0'..=b'9' if digits == 0 || number > 0 => {
                number = number * 10 + u32::from(byte - b'0');
                digits += 1;
                if number > 255 {
                    return false;
                }
            }
            b'.' if digits > 0 && dots < 3 => {
                dots += 1;
                (number, digits) = (0, 0);
            }
            _ => return false,
        }
    }
    dots == 3 && digits > 0
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::is_ipv4;

    proptest! {
        #[test]
        fn an_ipv4_address_is_what_the_standard_parser_takes(text in "([0-9]{0,3}[.]?){3}[0-9.x]{0,3}", number: u32) {
            prop_assert_eq!(is_ipv4(&text), text.parse::<Ipv4Addr>().is_ok(), "{}", text);
            let address = Ipv4Addr::from_bits(number).to_string();
            prop_assert!(is_ipv4(&address), "{}", address);
        }
    }
}
