//! Any text as a client's address: no panic, and what is read is read again from its own form.

use floe::processors::hash_ip::parse;

pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(address) = parse(&text) {
        assert_eq!(parse(&address.to_string()), Some(address), "{text:?}");
    }
}
