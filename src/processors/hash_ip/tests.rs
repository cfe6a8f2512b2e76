use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use proptest::prelude::*;

use super::*;
use crate::tables::Table;

const KEY: &[u8] = b"sixteen bytes or more";

fn step(mode: Mode) -> HashIp {
    HashIp::new(&HashIpConfig { mode, ..HashIpConfig::default() }, Some(KEY)).unwrap()
}

/// Runs the step over one column of addresses.
fn run(step: &HashIp, values: &[Option<&str>]) -> (Vec<Option<String>>, u64) {
    let table = Table::RateLimits;
    let index = table.column("client_ip").unwrap();
    let schema = table.schema();
    let mut columns: Vec<ArrayRef> =
        schema.fields().iter().map(|field| new_null_array(field.data_type(), values.len())).collect();
    columns[index] = Arc::new(StringArray::from(values.to_vec()));
    let mut tally = Tally::default();
    let out = step.apply(TableBatch { table, batch: RecordBatch::try_new(schema, columns).unwrap() }, &mut tally);
    let strings = out.strings(index).unwrap().iter().map(|value| value.map(str::to_owned)).collect();
    (strings, tally.noted(Note::UnreadableAddress))
}

#[test]
fn addresses_are_read_as_they_are_written_in_the_wild() {
    let table = [
        ("203.0.113.7", Some("203.0.113.7")),
        (" 203.0.113.7\t", Some("203.0.113.7")),
        ("203.0.113.7:443", Some("203.0.113.7")),
        ("\"203.0.113.7:443\"", Some("203.0.113.7")),
        ("for=203.0.113.7", Some("203.0.113.7")),
        ("For=\"[2001:db8::1]:4711\";proto=https", Some("2001:db8::1")),
        ("2001:db8::1", Some("2001:db8::1")),
        ("2001:DB8:0:0:0:0:0:1", Some("2001:db8::1")),
        ("[2001:db8::1]", Some("2001:db8::1")),
        ("[2001:db8::1]:8080", Some("2001:db8::1")),
        ("fe80::1%eth0", Some("fe80::1")),
        ("[fe80::1%25en0]:80", Some("fe80::1")),
        ("::ffff:203.0.113.7", Some("203.0.113.7")),
        ("[::ffff:203.0.113.7]:80", Some("203.0.113.7")),
        ("::ffff:cb00:7107", Some("203.0.113.7")),
        ("::1", Some("::1")),
        ("0.0.0.0", Some("0.0.0.0")),
        ("", None),
        ("unknown", None),
        ("localhost", None),
        ("_hidden", None),
        ("for=unknown", None),
        ("203.0.113", None),
        ("203.0.113.256", None),
        ("203.0.113.07", None),
        ("203.0.113.7:", None),
        ("203.0.113.7:99999", None),
        ("203.0.113.7:+80", None),
        ("203.0.113.7, 198.51.100.2", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]80", None),
        ("[203.0.113.7]", None),
        ("2001:db8::1::2", None),
        ("fe80::1%", None),
        ("/var/run/app.sock", None),
        ("client.example.com:443", None),
        ("٢٠٣.0.113.7", None),
    ];
    for (text, expected) in table {
        assert_eq!(parse(text).map(|address| address.to_string()).as_deref(), expected, "{text}");
    }
}

#[test]
fn the_hash_is_hmac_sha256_of_the_bytes_and_one_address_has_one_hash() {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(&[203, 0, 113, 7]);
    let first: [u8; 16] = mac.finalize().into_bytes()[..16].try_into().unwrap();
    let expected = format!("{:032x}", u128::from_be_bytes(first));
    let (out, unreadable) = run(
        &step(Mode::Hmac),
        &[Some("203.0.113.7"), Some("[::ffff:203.0.113.7]:80"), Some("203.0.113.8"), None, Some("2001:db8::1")],
    );
    assert_eq!(out[0].as_deref(), Some(&*expected));
    assert_eq!(out[0], out[1]);
    assert_ne!(out[0], out[2]);
    assert_eq!(out[3], None);
    assert_eq!(out[4].as_ref().unwrap().len(), 32);
    assert_eq!(unreadable, 0);
}

#[test]
fn another_key_makes_another_hash() {
    let other = HashIp::new(&HashIpConfig::default(), Some(b"another key, as long")).unwrap();
    assert_ne!(run(&step(Mode::Hmac), &[Some("203.0.113.7")]), run(&other, &[Some("203.0.113.7")]));
}

#[test]
fn what_cannot_be_read_becomes_null_and_is_counted() {
    for mode in [Mode::Hmac, Mode::Truncate, Mode::Drop] {
        assert_eq!(run(&step(mode), &[Some("unix:/tmp/s"), None, Some("host.example")]), (vec![None, None, None], 2));
    }
}

#[test]
fn truncation_writes_the_network_without_its_length() {
    let (out, _) = run(&step(Mode::Truncate), &[Some("203.0.113.77"), Some("2001:db8:1:2:3:4:5:6"), Some("::ffff:203.0.113.77")]);
    assert_eq!(out, [Some("203.0.113.0".to_owned()), Some("2001:db8:1::".to_owned()), Some("203.0.113.0".to_owned())]);
}

#[test]
fn the_prefixes_are_the_users() {
    let config: HashIpConfig = serde_json::from_str(r#"{"mode":"truncate","ipv4_prefix":20,"ipv6_prefix":56}"#).unwrap();
    let (out, _) = run(&HashIp::new(&config, None).unwrap(), &[Some("203.0.113.77"), Some("2001:db8:1:fff:3:4:5:6")]);
    assert_eq!(out, [Some("203.0.112.0".to_owned()), Some("2001:db8:1:f00::".to_owned())]);
    for json in [r#"{"ipv4_prefix":33}"#, r#"{"ipv4_prefix":0}"#, r#"{"ipv6_prefix":129}"#, r#"{"ipv6_prefix":8}"#] {
        assert!(serde_json::from_str::<HashIpConfig>(json).is_err(), "{json}");
    }
}

/// Hashes one address at each of these hours since 1970.
fn hashes(config: &str, hours: &[i64]) -> Vec<String> {
    let step = HashIp::new(&serde_json::from_str(config).unwrap(), Some(KEY)).unwrap();
    let table = Table::RateLimits;
    let schema = table.schema();
    let mut columns: Vec<ArrayRef> = schema.fields().iter().map(|field| new_null_array(field.data_type(), hours.len())).collect();
    columns[table.column("client_ip").unwrap()] = Arc::new(StringArray::from(vec!["203.0.113.7"; hours.len()]));
    let micros: Vec<i64> = hours.iter().map(|hour| hour * MICROS_AN_HOUR).collect();
    columns[table.column("occurred_at").unwrap()] = Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("+00:00"));
    let batch = TableBatch { table, batch: RecordBatch::try_new(schema, columns).unwrap() };
    let out = step.apply(batch, &mut Tally::default());
    out.strings(table.column("client_ip").unwrap()).unwrap().iter().map(|hash| hash.unwrap().to_owned()).collect()
}

#[test]
fn an_address_has_one_hash_a_period_of_event_time() {
    let out = hashes(r#"{"rotate_every":"24h"}"#, &[0, 23, 24, 47, 0, -1]);
    assert_eq!(out[0], out[1]);
    assert_eq!(out[2], out[3]);
    assert_eq!(out[0], out[4]);
    assert!(out[0] != out[2] && out[5] != out[0]);
    // Another process, another batch: the same.
    assert_eq!(hashes(r#"{"rotate_every":"24h"}"#, &[30]), [out[2].clone()]);
    // Without rotation it is the hash of the key itself.
    assert_eq!(hashes("{}", &[0, 1_000_000]), vec![run(&step(Mode::Hmac), &[Some("203.0.113.7")]).0[0].clone().unwrap(); 2]);
}

#[test]
fn the_id_of_the_key_stands_before_the_hash() {
    let out = hashes(r#"{"key_id":"2026"}"#, &[0]).remove(0);
    assert_eq!(out, format!("2026:{}", hashes("{}", &[0])[0]));
}

#[test]
fn a_period_is_whole_hours() {
    for period in ["90m", "30m", "0", "5000d"] {
        let error = serde_json::from_str::<HashIpConfig>(&format!(r#"{{"rotate_every":"{period}"}}"#)).unwrap_err();
        assert!(error.to_string().contains("whole hours"), "{error}");
    }
}

#[test]
fn drop_leaves_nothing() {
    assert_eq!(run(&step(Mode::Drop), &[Some("203.0.113.77")]), (vec![None], 0));
}

#[test]
fn a_key_is_needed_and_must_be_long_enough() {
    let hmac = HashIpConfig::default();
    assert_eq!(HashIp::new(&hmac, None).unwrap_err(), HashIpError::NoKey);
    assert_eq!(HashIp::new(&hmac, Some(b"fifteen bytes..")).unwrap_err(), HashIpError::ShortKey { found: 15 });
    assert!(HashIp::new(&HashIpConfig { mode: Mode::Truncate, ..HashIpConfig::default() }, None).is_ok());
}

#[test]
fn the_key_is_never_shown() {
    let config: HashIpConfig = serde_json::from_str(r#"{"mode":"hmac","key":"sixteen bytes or more"}"#).unwrap();
    let step = HashIp::new(&config, config.key.as_ref().map(|key| key.expose().as_bytes())).unwrap();
    assert!(!format!("{config:?} {step:?}").contains("sixteen"));
}

#[test]
fn an_unknown_key_of_the_configuration_is_refused() {
    assert!(serde_json::from_str::<HashIpConfig>(r#"{"modes":"hmac"}"#).is_err());
}

proptest! {
    #[test]
    fn every_address_is_read_back_from_every_way_of_writing_it(bytes: [u8; 16], four: [u8; 4], port: u16) {
        let v6 = Ipv6Addr::from(bytes);
        let v4 = Ipv4Addr::from(four);
        for text in [format!("{v6}"), format!("[{v6}]:{port}"), format!("for=\"[{v6}]\"")] {
            prop_assert_eq!(parse(&text), Some(IpAddr::V6(v6).to_canonical()));
        }
        for text in [format!("{v4}"), format!("{v4}:{port}"), format!("::ffff:{v4}")] {
            prop_assert_eq!(parse(&text), Some(IpAddr::V4(v4)));
        }
    }

    #[test]
    fn nothing_raw_is_left_of_any_text(text in "\\PC{0,60}") {
        let (out, _) = run(&step(Mode::Hmac), &[Some(&text)]);
        if let Some(hash) = &out[0] {
            prop_assert!(hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
}
