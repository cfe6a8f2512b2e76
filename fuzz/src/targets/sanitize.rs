//! Any text through the detectors: no panic, and what one scan leaves another leaves as well.

use std::sync::OnceLock;

use floe::processors::sanitize::{Mode, SanitizeConfig, Sanitizer};

fn sanitizer() -> Option<&'static Sanitizer> {
    static SANITIZER: OnceLock<Option<Sanitizer>> = OnceLock::new();
    SANITIZER.get_or_init(|| Sanitizer::new(&SanitizeConfig::default()).ok()).as_ref()
}

pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let sanitizer = sanitizer();
    assert!(sanitizer.is_some(), "the rules do not fit");
    let Some(sanitizer) = sanitizer else { return };
    for mode in [Mode::Text, Mode::Id] {
        let once = sanitizer.clean(&text, mode).text;
        let twice = sanitizer.clean(&once, mode);
        assert_eq!(twice.redactions, 0, "{text:?} became {once:?} became {:?}", twice.text);
    }
}
