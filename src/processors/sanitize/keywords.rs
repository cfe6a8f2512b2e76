//! Where the keywords of the rules stand in a text, in any case of ASCII letters.
//!
//! Every keyword of three bytes and more is known by two windows of three bytes, the one at its start and the next: one of them stands at
//! an even place, so only even places are looked at. A place costs a hash and a bit; what has its bit set is compared. There is no state
//! from place to place, so a processor looks at many at once, which an automaton cannot.

use std::ops::Range;

use super::scan::Alphabet;

/// Bits of a window's hash.
const HASH_BITS: u32 = 18;
/// Windows of one bucket have these bits in common.
const BUCKET_BITS: u32 = 12;
/// Places are looked at in blocks of so many bytes, with what their last window reaches beyond.
const BLOCK: usize = 24;
const REACH: usize = 8;

/// Sets the case of a letter, and is harmless to the rest: what is the same after it is compared.
const FOLD: u64 = 0x2020_2020_2020_2020;
const WINDOW: u32 = 0x00ff_ffff;

/// Keywords, numbered in the order in which they came.
#[derive(Clone)]
pub(super) struct Keywords {
    words: Vec<Box<[u8]>>,
    /// One bit for every hash; set for those of windows.
    bits: Box<[u64]>,
    /// Sorted by hash; where those of each bucket begin.
    windows: Vec<Window>,
    starts: Vec<usize>,
    /// Words of one or two bytes, that have no window.
    short: Vec<usize>,
}

/// A literal to look for.
pub(super) struct Keyword<'w> {
    pub(super) text: &'w str,
    /// What must follow it; `None` for anything, and for the end of the text.
    pub(super) next: Option<Alphabet>,
}

#[derive(Clone, Copy)]
struct Window {
    folded: u32,
    /// From the start of the word, in bytes.
    offset: usize,
    word: usize,
}

fn hash(folded: u32) -> usize {
    (folded.wrapping_mul(0x9e37_79b1) >> (u32::BITS - HASH_BITS)) as usize
}

fn bucket(folded: u32) -> usize {
    hash(folded) >> (HASH_BITS - BUCKET_BITS)
}

fn fold(bytes: [u8; 3]) -> u32 {
    u32::from_le_bytes([bytes[0] | 0x20, bytes[1] | 0x20, bytes[2] | 0x20, 0])
}

/// The windows of a word: at its start, and one byte later. That of three bytes has what may follow it as the last byte of its second.
fn windows(number: usize, word: &Keyword<'_>, into: &mut Vec<Window>) {
    let [first, second, third, ref rest @ ..] = *word.text.as_bytes() else { return };
    into.push(Window { folded: fold([first, second, third]), offset: 0, word: number });
    let last = rest.first().map_or(0..=u8::MAX, |&last| last..=last);
    let follows = last.filter(|&last| !rest.is_empty() || word.next.is_none_or(|next| next.has(last)));
    let mut folded: Vec<u32> = follows.map(|last| fold([second, third, last])).collect();
    folded.sort_unstable();
    folded.dedup();
    into.extend(folded.into_iter().map(|folded| Window { folded, offset: 1, word: number }));
}

impl Keywords {
    pub(super) fn new(words: &[Keyword<'_>]) -> Keywords {
        let mut all = Vec::new();
        for (number, word) in words.iter().enumerate() {
            windows(number, word, &mut all);
        }
        let words: Vec<Box<[u8]>> = words.iter().map(|word| word.text.as_bytes().into()).collect();
        all.sort_by_key(|window| hash(window.folded));
        let mut bits = vec![0; (1 << HASH_BITS) / 64].into_boxed_slice();
        for window in &all {
            bits[hash(window.folded) / 64] |= 1 << (hash(window.folded) % 64);
        }
        let starts = (0..=1 << BUCKET_BITS).map(|number| all.partition_point(|window| bucket(window.folded) < number)).collect();
        let short = (0..words.len()).filter(|&word| words[word].len() < 3).collect();
        Keywords { words, bits, windows: all, starts, short }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    pub(super) fn any_in(&self, text: &str) -> bool {
        let mut any = false;
        self.find(text.as_bytes(), |_, _| any = true);
        any
    }

    /// Calls `hit` with the place and the number of every keyword in the text, in no order; one that its `next` does not follow may lack.
    pub(super) fn find(&self, text: &[u8], mut hit: impl FnMut(Range<usize>, usize)) {
        for &word in &self.short {
            if let [first, rest @ ..] = &*self.words[word] {
                let places = memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text);
                let places =
                    places.filter(|&at| text[at + 1..].get(..rest.len()).is_some_and(|next| next.eq_ignore_ascii_case(rest)));
                places.for_each(|at| hit(at..at + 1 + rest.len(), word));
            }
        }
        let mut at = 0;
        while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<{ BLOCK + REACH }>) {
            self.look(text, at, block, &mut hit);
            at += BLOCK;
        }
        while at < text.len() {
            let mut block = [0; BLOCK + REACH];
            let rest = &text[at..text.len().min(at + block.len())];
            block[..rest.len()].copy_from_slice(rest);
            self.look(text, at, &block, &mut hit);
            at += BLOCK;
        }
    }

    /// Looks at the even places of the block that stands at `at`.
    #[inline]
    fn look(&self, text: &[u8], at: usize, block: &[u8; BLOCK + REACH], hit: &mut impl FnMut(Range<usize>, usize)) {
        let mut set = 0;
        for start in (0..BLOCK).step_by(6) {
            let folded = eight(block, start) | FOLD;
            for shift in [0, 16, 32] {
                set |= self.bit(window(folded, shift));
            }
        }
        if set & 1 != 0 {
            self.compare(text, at, block, hit);
        }
    }

    /// The bit of a window; those above it mean nothing.
    #[inline]
    fn bit(&self, folded: u32) -> u64 {
        let hash = hash(folded);
        self.bits[hash / 64] >> (hash % 64)
    }

    fn compare(&self, text: &[u8], at: usize, block: &[u8; BLOCK + REACH], hit: &mut impl FnMut(Range<usize>, usize)) {
        let mut left = 0_u64;
        for place in (0..BLOCK).step_by(2) {
            left |= (self.bit(window(eight(block, place) | FOLD, 0)) & 1) << place;
        }
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            let folded = window(eight(block, place) | FOLD, 0);
            let bucket = bucket(folded);
            for window in &self.windows[self.starts[bucket]..self.starts[bucket + 1]] {
                let start = (at + place).wrapping_sub(window.offset);
                let word = &self.words[window.word];
                let stands = window.folded == folded
                    && text.get(start..start.wrapping_add(word.len())).is_some_and(|text| text.eq_ignore_ascii_case(word));
                if stands {
                    hit(start..start + word.len(), window.word);
                }
            }
        }
    }
}

#[inline]
fn window(folded: u64, shift: u32) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "the bytes above the window are not asked for")]
    let low = (folded >> shift) as u32;
    low & WINDOW
}

#[inline]
fn eight(block: &[u8; BLOCK + REACH], start: usize) -> u64 {
    block.get(start..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use aho_corasick::AhoCorasick;
    use proptest::prelude::*;

    use super::*;

    fn found(words: &[String], text: &str) -> Vec<(usize, usize, usize)> {
        let mut found = Vec::new();
        let words: Vec<Keyword<'_>> = words.iter().map(|text| Keyword { text, next: None }).collect();
        Keywords::new(&words).find(text.as_bytes(), |at, word| found.push((at.start, at.end, word)));
        found.sort_unstable();
        found
    }

    /// What an automaton finds.
    fn expected(words: &[String], text: &str) -> Vec<(usize, usize, usize)> {
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(words).unwrap();
        let hits = automaton.find_overlapping_iter(text);
        let mut found: Vec<_> = hits.map(|hit| (hit.start(), hit.end(), hit.pattern().as_usize())).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn a_keyword_is_found_at_every_place_of_a_text_of_every_length() {
        let words = ["@", "+1", "key", "://", "pass", "password", "é_x", "a-keyword-that-is-longer-than-a-block-of-bytes"]
            .map(str::to_owned);
        for word in &words {
            for before in 0..60 {
                for after in 0..8 {
                    let text = format!("{}{}{}", "-".repeat(before), word.to_ascii_uppercase(), "=".repeat(after));
                    let found = found(&words, &text);
                    assert_eq!(found, expected(&words, &text), "{text}");
                    assert!(!found.is_empty());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_an_automaton_finds(words in proptest::collection::vec("[aAbB@_-]{1,6}|é[a-c]", 1..8), text in "[aAbB@_é-]{0,120}") {
            prop_assert_eq!(found(&words, &text), expected(&words, &text));
        }
    }
}
