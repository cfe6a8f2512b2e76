//! The mark that stands where a secret was: `[redacted:github-token]`. Steps that cut text later keep it whole.

/// How every mark begins.
pub const OPEN: &str = "[redacted:";

/// No mark is longer, in bytes.
pub const MAX_BYTES: usize = 48;

/// The last place at or before `at` where `text` may be cut: between characters and not inside a mark.
pub fn floor(text: &str, at: usize) -> usize {
    let at = text.floor_char_boundary(at);
    around(text, at).map_or(at, |(start, _)| start)
}

/// The first place at or after `at` where `text` may be cut.
pub fn ceil(text: &str, at: usize) -> usize {
    let at = text.ceil_char_boundary(at);
    around(text, at).map_or(at, |(_, end)| end)
}

/// The word of the mark that `at` lies inside of.
pub(super) fn word_around(text: &str, at: usize) -> Option<&str> {
    let (start, end) = around(text, at)?;
    text.get(start + OPEN.len()..end - 1)
}

/// The mark that `at` lies inside of.
fn around(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let from = at.saturating_sub(MAX_BYTES);
    let start = (from..at).rev().find(|&start| bytes[start..].starts_with(OPEN.as_bytes()))?;
    let end = start + bytes[start..].iter().take(MAX_BYTES).position(|&byte| byte == b']')? + 1;
    (at < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_falls_beside_a_mark_and_between_characters() {
        let text = "é [redacted:jwt] é";
        let (start, end) = (3, 16);
        for at in 0..=text.len() + 2 {
            let (low, high) = (floor(text, at), ceil(text, at));
            assert!(text.is_char_boundary(low) && text.is_char_boundary(high));
            assert!(low <= at.min(text.len()) && high >= at.min(text.len()));
            assert!(low <= start || low >= end, "{at}: {low}");
            assert!(high <= start || high >= end, "{at}: {high}");
        }
    }
}
