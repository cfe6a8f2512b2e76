//! What holds of any text.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

/// Text with the words that rules look for, so that rules run.
fn spiced() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        3 => "\\PC{0,8}",
        2 => "[ -~]{0,12}",
        1 => "[0-9 .:@/=-]{0,20}",
        1 => "[A-Za-z0-9_-]{20,50}",
        3 => proptest::sample::select(all().flat_map(|rule| rule.keywords.iter().copied()).collect::<Vec<_>>()).prop_map(str::to_owned),
        2 => (proptest::sample::select(all().flat_map(|rule| rule.found).collect::<Vec<_>>()), any::<u64>())
            .prop_map(|(template, seed)| Noise(seed).fill(template).replace(['«', '»'], "")),
        1 => proptest::sample::select(vec!["\n", "\\n", "\"", "\\\"", "'", "[redacted:jwt]", "[redacted:", "]", "=", ": ", "%3D"]).prop_map(str::to_owned),
    ];
    proptest::collection::vec(word, 0..8).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn cleaning_twice_changes_nothing(text in spiced()) {
        let sanitizer = sanitizer_once();
        for mode in [Mode::Text, Mode::Id] {
            let once = sanitizer.clean(&text, mode).text.into_owned();
            let twice = sanitizer.clean(&once, mode);
            prop_assert_eq!(twice.redactions, 0, "{} became {} became {}", text, once, twice.text);
        }
    }

    #[test]
    fn no_planted_token_survives(before in spiced(), after in spiced(), which in 0..TOKENS.len(), seed: u64) {
        let token = Noise(seed).fill(TOKENS[which]);
        let text = format!("{before} {token} {after}");
        let clean = sanitizer_once().clean(&text, Mode::Text).text;
        prop_assert!(!clean.contains(&token), "{}", clean);
    }

    #[test]
    fn a_column_is_cleaned_as_its_strings_are(texts in proptest::collection::vec(proptest::option::of(spiced()), 1..6)) {
        let sanitizer = sanitizer_once();
        let out = sanitizer.apply(errors(&[("error_type", texts.clone())]), &mut Tally::default());
        let expected: Vec<_> =
            texts.iter().map(|text| text.as_ref().map(|text| sanitizer.clean(text, Mode::Text).text.into_owned())).collect();
        prop_assert_eq!(values(&out, "error_type"), expected);
    }
}

fn sanitizer_once() -> &'static Sanitizer {
    static ONCE: OnceLock<Sanitizer> = OnceLock::new();
    ONCE.get_or_init(sanitizer)
}
