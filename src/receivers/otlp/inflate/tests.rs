use std::io::Write as _;
use std::sync::Arc;

use super::deflate::{MEMBERS, expected};
use super::*;
use crate::config::ByteSize;
use crate::receivers::admission::Admission;

const LIMIT: usize = 1 << 20;

fn member(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::GzBuilder::new().filename("a name").comment("a comment").write(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Inflates gzip with a limit of 1 MiB, a hint, and pauses every `pause` bytes.
fn inflate(packed: &[u8], hint: usize, pause: usize) -> Result<Bytes, Refusal> {
    inflate_as(Coding::Gzip, packed, Some(hint), pause)
}

fn inflate_as(coding: Coding, packed: &[u8], hint: Option<usize>, pause: usize) -> Result<Bytes, Refusal> {
    let admission = Arc::new(Admission::new(ByteSize::mib(16)));
    let permit = admission.admit(packed.len())?;
    let mut inflater = Inflater::new(coding, &Bytes::copy_from_slice(packed), permit, LIMIT).unwrap();
    inflater.expected = hint.unwrap_or(inflater.expected);
    let mut target = pause;
    while !inflater.run(target)? {
        target += pause;
    }
    let (bytes, permit) = inflater.finish();
    assert!(permit.bytes() >= bytes.len() * PER_BODY_BYTE);
    drop(permit);
    assert_eq!(admission.held(), 0);
    Ok(bytes)
}

fn check(plain: &[u8], packed: &[u8]) {
    let admits = (packed.len(), plain.len());
    for hint in [0, 1, plain.len(), expected(packed), usize::MAX] {
        for pause in [1, 4096, usize::MAX] {
            assert!(inflate(packed, hint, pause).unwrap() == plain, "{admits:?}, hint {hint}, pause {pause}");
        }
    }
}

#[test]
fn one_member_and_many_are_inflated_whatever_the_hint_says() {
    let text = b"the same words, the same words, ".repeat(20_000);
    check(b"", &member(b""));
    check(b"x", &member(b"x"));
    check(&text, &member(&text));
    check(&text, &text.chunks(100_000).flat_map(member).collect::<Vec<u8>>());
}

#[test]
fn exactly_the_limit_fits_and_one_byte_more_does_not() {
    check(&vec![7; 1 << 20], &member(&vec![7; 1 << 20]));
    check(&vec![7; 1 << 20], &[member(&vec![7; 1 << 20]), member(b"")].concat());
    for packed in [member(&vec![7; (1 << 20) + 1]), [member(&vec![7; 1 << 20]), member(b"x")].concat()] {
        assert!(matches!(inflate(&packed, expected(&packed), usize::MAX), Err(Refusal::TooLarge { .. })));
    }
}

#[test]
fn a_size_that_is_not_true_reserves_little_and_is_refused_at_the_end() {
    let mut packed = member(b"short");
    let end = packed.len() - 4;
    packed[end..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(expected(&packed) < 2000);
    assert!(matches!(inflate(&packed, expected(&packed), usize::MAX), Err(Refusal::Damaged { .. })));
}

#[test]
fn a_stream_cut_at_any_byte_is_invalid() {
    let packed = [member(b"one member"), member(&b"and another ".repeat(50))].concat();
    let border = member(b"one member").len();
    for end in (0..packed.len()).filter(|end| *end != border) {
        assert!(matches!(inflate(&packed[..end], 0, usize::MAX), Err(Refusal::Damaged { .. })), "cut at {end}");
    }
}

#[test]
fn a_flipped_bit_never_makes_other_bytes_of_it() {
    let plain = b"a body that is packed, and packed well, as a body is".repeat(3);
    let packed = member(&plain);
    for bit in 0..packed.len() * 8 {
        let mut flipped = packed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match inflate(&flipped, 0, usize::MAX) {
            Ok(bytes) => assert_eq!(bytes, plain[..], "bit {bit}"),
            Err(refusal) => assert!(matches!(refusal, Refusal::Damaged { .. }), "bit {bit}: {refusal}"),
        }
    }
}

#[test]
fn what_comes_after_the_last_member_and_too_many_members_are_invalid() {
    let garbage = [member(b"x"), b"garbage".to_vec()].concat();
    assert!(matches!(inflate(&garbage, 0, usize::MAX), Err(Refusal::Damaged { .. })));
    let empty = member(b"");
    let members: Vec<u8> = (0..=MEMBERS).flat_map(|_| empty.clone()).collect();
    assert!(matches!(inflate(&members, 0, usize::MAX), Err(Refusal::Damaged { .. })));
}

type Pack = fn(&[u8]) -> Vec<u8>;

/// Every way to pack bytes that a sender may choose.
const PACKERS: [(&str, Coding, Pack); 7] = [
    ("gzip", Coding::Gzip, member),
    ("zlib", Coding::Deflate, zlib),
    ("raw deflate", Coding::Deflate, raw_deflate),
    ("zstd with its size", Coding::Zstd, zstd_sized),
    ("zstd with a window", Coding::Zstd, zstd_streamed),
    ("snappy block", Coding::Snappy, |bytes| snap::raw::Encoder::new().compress_vec(bytes).unwrap()),
    ("snappy framed", Coding::Snappy, snappy_framed),
];

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_sized(bytes: &[u8]) -> Vec<u8> {
    ::zstd::bulk::compress(bytes, 3).unwrap()
}

fn zstd_streamed(bytes: &[u8]) -> Vec<u8> {
    ::zstd::stream::encode_all(bytes, 3).unwrap()
}

fn snappy_framed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.flush().unwrap();
    let packed = encoder.into_inner().unwrap();
    // An encoder that was given nothing has written nothing, not even what every stream begins with.
    if packed.is_empty() { b"\xff\x06\x00\x00sNaPpY".to_vec() } else { packed }
}

#[test]
fn every_coding_is_inflated_to_what_was_packed_up_to_the_limit_and_not_past_it() {
    let noise: Vec<u8> = (0..300_000u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let words = b"the same words, the same words, ".repeat(20_000);
    for (name, coding, pack) in PACKERS {
        for plain in [&b""[..], b"x", &noise, &words, &vec![7; LIMIT]] {
            for pause in [1000, usize::MAX] {
                let inflated = inflate_as(coding, &pack(plain), None, pause);
                assert!(inflated.unwrap() == plain, "{name}, {} bytes, pause {pause}", plain.len());
            }
        }
        let bomb = inflate_as(coding, &pack(&vec![7; LIMIT + 1]), None, usize::MAX);
        assert!(matches!(bomb, Err(Refusal::TooLarge { .. })), "{name}: {bomb:?}");
    }
}

#[test]
fn no_coding_takes_a_stream_that_is_cut_or_followed_by_something() {
    let plain = b"a body that is packed, and packed well, as a body is".repeat(30);
    for (name, coding, pack) in PACKERS {
        let packed = pack(&plain);
        for end in 0..packed.len() {
            match inflate_as(coding, &packed[..end], None, usize::MAX) {
                // The framed format has no end: a stream that is cut between two chunks is a shorter one.
                Ok(bytes) => assert!(name == "snappy framed" && bytes.is_empty() && end == 10, "{name} cut at {end}"),
                Err(refusal) => assert!(matches!(refusal, Refusal::Damaged { .. }), "{name} cut at {end}: {refusal}"),
            }
        }
        let followed = inflate_as(coding, &[packed, b"garbage".to_vec()].concat(), None, usize::MAX);
        assert!(matches!(followed, Err(Refusal::Damaged { .. })), "{name}: {followed:?}");
    }
}

#[test]
fn flipped_bits_never_make_more_than_the_limit_nor_a_panic() {
    let plain = b"a body that is packed, and packed well, as a body is".repeat(3);
    for (name, coding, pack) in PACKERS {
        let packed = pack(&plain);
        for bit in 0..packed.len() * 8 {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match inflate_as(coding, &flipped, None, usize::MAX) {
                Ok(bytes) => assert!(bytes.len() <= LIMIT, "{name}, bit {bit}"),
                Err(refusal) => {
                    assert!(
                        matches!(refusal, Refusal::Damaged { .. } | Refusal::TooLarge { .. }),
                        "{name}, bit {bit}: {refusal}"
                    );
                }
            }
        }
    }
}

#[test]
fn frames_of_zstd_follow_each_other_and_some_are_skipped() {
    let skipped = [&b"\x50\x2a\x4d\x18\x04\0\0\0"[..], b"skip"].concat();
    let packed = [zstd_sized(b"one, "), skipped, zstd_streamed(b"two, "), zstd_sized(b"three")].concat();
    for pause in [1, usize::MAX] {
        assert_eq!(inflate_as(Coding::Zstd, &packed, None, pause).unwrap(), "one, two, three");
    }
}

#[test]
fn a_window_past_8_mib_and_sizes_that_cannot_be_true_are_refused() {
    let wide = [&b"\x28\xb5\x2f\xfd\x00"[..], &[14 << 3, 0x01, 0, 0]].concat();
    let narrow = [&b"\x28\xb5\x2f\xfd\x00"[..], &[13 << 3, 0x01, 0, 0]].concat();
    assert_eq!(inflate_as(Coding::Zstd, &narrow, None, usize::MAX).unwrap(), "");
    let vast = [&b"\x28\xb5\x2f\xfd\xa0"[..], &(1u32 << 30).to_le_bytes(), &[0x01, 0, 0]].concat();
    let block = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], b"\x00x"].concat();
    for (coding, packed) in [(Coding::Zstd, wide), (Coding::Zstd, vast), (Coding::Snappy, block)] {
        let refused = inflate_as(coding, &packed, None, usize::MAX);
        assert!(matches!(refused, Err(Refusal::Damaged { .. })), "{packed:?}: {refused:?}");
    }
}

#[test]
fn one_coding_is_taken_by_any_of_its_names_and_two_are_not() {
    let name = http::header::CONTENT_ENCODING;
    let check = |values: &[&'static str], expected: Option<Coding>| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, http::HeaderValue::from_static(value));
        }
        assert_eq!(Coding::of(&headers, &name).ok(), expected, "{values:?}");
    };
    check(&[], Some(Coding::Identity));
    check(&[""], Some(Coding::Identity));
    check(&["identity"], Some(Coding::Identity));
    for (word, coding) in [
        ("gzip", Coding::Gzip),
        (" GZip ", Coding::Gzip),
        ("x-gzip", Coding::Gzip),
        ("deflate", Coding::Deflate),
        ("zlib", Coding::Deflate),
        ("zstd", Coding::Zstd),
        ("snappy", Coding::Snappy),
        ("x-snappy-framed", Coding::Snappy),
    ] {
        check(&[word], Some(coding));
        check(&["identity", word], Some(coding));
    }
    check(&["identity, gzip,"], Some(Coding::Gzip));
    for refused in ["br", "lz4", "gzip, gzip", "zstd,gzip", "gzip;q=1"] {
        check(&[refused], None);
    }
    check(&["gzip", "gzip"], None);
}
