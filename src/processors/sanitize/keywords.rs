//! Where the keywords of the rules stand in a text, in any case of ASCII letters.
//!
//! Every keyword of three bytes and more is known by two windows of three bytes that stand one byte apart: one of them stands at an even
//! place, so only even places are looked at. Of a longer keyword those windows are taken that ordinary text has least. A place costs a
//! hash and a byte of a table; what is marked there is compared. There is no state from place to place, so a processor looks at many at
//! once, which an automaton cannot.

use std::ops::Range;

use super::scan::Alphabet;

/// Bits of a window's hash: one byte of the table for each hash.
const HASH_BITS: u32 = 17;
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
    words: Vec<Word>,
    /// One byte for every hash; not zero for those of windows.
    marked: Box<[u8]>,
    /// Sorted by bucket; where those of each bucket begin.
    windows: Vec<Window>,
    starts: Vec<u32>,
    /// Words of one or two bytes, that have no window.
    short: Vec<usize>,
}

/// A literal to look for.
pub(super) struct Keyword<'w> {
    pub(super) text: &'w str,
    /// What must follow it; `None` for anything, and for the end of the text.
    pub(super) next: Option<Alphabet>,
}

#[derive(Clone)]
struct Word {
    text: Box<[u8]>,
    /// Its first eight bytes, as far as it has them, and what of a text is compared with them: of a letter all but its case.
    head: u64,
    mask: u64,
}

#[derive(Clone, Copy)]
struct Window {
    folded: u32,
    /// From the start of the word, in bytes.
    offset: u32,
    word: u32,
}

#[inline]
fn hash(folded: u32) -> usize {
    (folded.wrapping_mul(0x9e37_79b1) >> (u32::BITS - HASH_BITS)) as usize
}

fn bucket(folded: u32) -> usize {
    hash(folded) >> (HASH_BITS - BUCKET_BITS)
}

fn fold(bytes: [u8; 3]) -> u32 {
    u32::from_le_bytes([bytes[0] | 0x20, bytes[1] | 0x20, bytes[2] | 0x20, 0])
}

/// How common a byte is in messages, code and paths: roughly its share in thousandths.
fn common(byte: u8) -> u64 {
    match byte.to_ascii_lowercase() {
        b'e' => 100,
        b't' => 75,
        b'a' | b'o' | b'r' | b'i' | b'n' | b's' => 60,
        b'c' | b'l' | b'd' => 35,
        b'p' | b'm' | b'u' | b' ' => 25,
        b'h' | b'g' | b'f' | b'b' | b'y' | b'v' | b'.' => 15,
        b'0'..=b'9' | b'_' | b'-' | b'/' | b':' => 10,
        b'w' | b'k' | b'x' | b'=' => 8,
        _ => 3,
    }
}

/// Pieces of the words that error messages and code are full of. Not a measure of anything, only a reason to look elsewhere in a word.
const OFTEN: &str = "ion ati tio ent ing the and red ord ken tok wor uth sig ate ode ret ser ess sse ssi sio ign ial ary rea ead res con com \
                     ine ver ter pro pre str int err ror tex ext nam ame val typ ype fun unc cti cor sta tat ato end rec est log lis ist cre \
                     nti len all per ore app for mat dat own her ach oad loa col lin age ass cla hen ten pas bas sec ecr cur art our por";

/// Where the two windows of a word stand: at its start, or at the four bytes that ordinary text has least. A word that holds a shorter one
/// is known elsewhere, or the shorter one would always call both.
fn rarest(word: &[u8], shorter: &[&str]) -> usize {
    let share = |at: usize| {
        let four = word[at..at + 4].to_ascii_lowercase();
        let bytes: u64 = four.iter().map(|&byte| common(byte)).product();
        let often =
            four.windows(3).filter(|three| OFTEN.as_bytes().split(|&byte| byte == b' ').any(|often| often == *three)).count();
        let other = four.windows(3).any(|three| shorter.iter().any(|short| short.as_bytes().eq_ignore_ascii_case(three)));
        bytes * if other { 1000 } else { 1 } * [1, 20, 400][often]
    };
    (0..=word.len().saturating_sub(4)).min_by_key(|&at| if word.len() <= 4 { 0 } else { share(at) }).unwrap_or(0)
}

/// The windows of a word. That of three bytes has what may follow it as the last byte of its second.
fn windows(number: u32, word: &Keyword<'_>, shorter: &[&str], into: &mut Vec<Window>) {
    let bytes = word.text.as_bytes();
    let at = rarest(bytes, shorter);
    let &[first, second, third, ref rest @ ..] = &bytes[at..] else { return };
    let offset = u32::try_from(at).unwrap_or(0);
    into.push(Window { folded: fold([first, second, third]), offset, word: number });
    let last = rest.first().map_or(0..=u8::MAX, |&last| last..=last);
    let follows = last.filter(|&last| !rest.is_empty() || word.next.is_none_or(|next| next.has(last)));
    let mut folded: Vec<u32> = follows.map(|last| fold([second, third, last])).collect();
    folded.sort_unstable();
    folded.dedup();
    into.extend(folded.into_iter().map(|folded| Window { folded, offset: offset + 1, word: number }));
}

impl Word {
    fn new(text: &str) -> Word {
        let (mut head, mut mask) = ([0; 8], [0; 8]);
        for (at, byte) in text.bytes().enumerate().take(8) {
            mask[at] = if byte.is_ascii_alphabetic() { !0x20 } else { !0 };
            head[at] = byte & mask[at];
        }
        Word { text: text.as_bytes().into(), head: u64::from_le_bytes(head), mask: u64::from_le_bytes(mask) }
    }

    /// Whether it stands at this place of the text, in any case.
    #[inline]
    fn stands_at(&self, text: &[u8], start: usize) -> bool {
        let Some(rest) = text.get(start..) else { return false };
        match rest.first_chunk() {
            Some(eight) if u64::from_le_bytes(*eight) & self.mask != self.head => false,
            Some(_) if self.text.len() <= 8 => true,
            _ => rest.get(..self.text.len()).is_some_and(|text| text.eq_ignore_ascii_case(&self.text)),
        }
    }
}

impl Keywords {
    pub(super) fn new(words: &[Keyword<'_>]) -> Keywords {
        let shorter: Vec<&str> = words.iter().map(|word| word.text).filter(|text| text.len() == 3).collect();
        let mut all = Vec::new();
        for (number, word) in (0..).zip(words) {
            windows(number, word, &shorter, &mut all);
        }
        let words: Vec<Word> = words.iter().map(|word| Word::new(word.text)).collect();
        all.sort_by_key(|window| bucket(window.folded));
        let mut marked = vec![0; 1 << HASH_BITS].into_boxed_slice();
        for window in &all {
            marked[hash(window.folded)] = 1;
        }
        let before = |number: usize| all.partition_point(|window| bucket(window.folded) < number);
        let starts = (0..=1 << BUCKET_BITS).map(|number| u32::try_from(before(number)).unwrap_or(u32::MAX)).collect();
        let short = (0..words.len()).filter(|&word| words[word].text.len() < 3).collect();
        Keywords { words, marked, windows: all, starts, short }
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
            if let [first, rest @ ..] = &*self.words[word].text {
                let places = memchr::memchr2_iter(first.to_ascii_lowercase(), first.to_ascii_uppercase(), text);
                let places =
                    places.filter(|&at| text[at + 1..].get(..rest.len()).is_some_and(|next| next.eq_ignore_ascii_case(rest)));
                places.for_each(|at| hit(at..at + 1 + rest.len(), word));
            }
        }
        let mut at = 0;
        while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<{ BLOCK + REACH }>) {
            let marks = self.marks(block);
            if marks != 0 {
                self.compare(text, at, block, marks, &mut hit);
            }
            at += BLOCK;
        }
        while at < text.len() {
            let mut block = [0; BLOCK + REACH];
            let rest = &text[at..text.len().min(at + block.len())];
            block[..rest.len()].copy_from_slice(rest);
            self.compare(text, at, &block, self.marks(&block), &mut hit);
            at += BLOCK;
        }
    }

    /// A bit for each even place of the block, set where it is marked.
    #[inline]
    fn marks(&self, block: &[u8; BLOCK + REACH]) -> u32 {
        let mut marks = 0;
        for start in (0..BLOCK).step_by(6) {
            let folded = eight(block, start) | FOLD;
            for two in 0..3 {
                marks |= u32::from(self.marked[hash(window(folded, 16 * two))]) << (start / 2 + two);
            }
        }
        marks
    }

    fn compare(
        &self,
        text: &[u8],
        at: usize,
        block: &[u8; BLOCK + REACH],
        marks: u32,
        hit: &mut impl FnMut(Range<usize>, usize),
    ) {
        let mut left = marks;
        while left != 0 {
            let place = 2 * left.trailing_zeros() as usize;
            left &= left - 1;
            let folded = window(eight(block, place) | FOLD, 0);
            let bucket = bucket(folded);
            for window in &self.windows[self.starts[bucket] as usize..self.starts[bucket + 1] as usize] {
                if window.folded != folded {
                    continue;
                }
                let start = (at + place).wrapping_sub(window.offset as usize);
                let word = &self.words[window.word as usize];
                if word.stands_at(text, start) {
                    hit(start..start + word.text.len(), window.word as usize);
                }
            }
        }
    }
}

#[inline]
fn window(folded: u64, shift: usize) -> u32 {
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

    fn keywords(words: &[String]) -> Keywords {
        let words: Vec<Keyword<'_>> = words.iter().map(|text| Keyword { text, next: None }).collect();
        Keywords::new(&words)
    }

    fn found(keywords: &Keywords, text: &str) -> Vec<(usize, usize, usize)> {
        let mut found = Vec::new();
        keywords.find(text.as_bytes(), |at, word| found.push((at.start, at.end, word)));
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
        let keywords = keywords(&words);
        for word in &words {
            for before in 0..60 {
                for after in 0..8 {
                    let text = format!("{}{}{}", "-".repeat(before), word.to_ascii_uppercase(), "=".repeat(after));
                    let found = found(&keywords, &text);
                    assert_eq!(found, expected(&words, &text), "{text}");
                    assert!(!found.is_empty());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_an_automaton_finds(words in proptest::collection::vec("[aAbB@_-]{1,6}|é[a-c]", 1..8), text in "[aAbB@_é-]{0,120}") {
            prop_assert_eq!(found(&keywords(&words), &text), expected(&words, &text));
        }
    }
}
