//! `floe sanitize`: what would be stored of a text.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _, stderr, stdin, stdout};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::ComponentId;
use crate::gateway::config::Config;
use crate::processors::ProcessorConfig;
use crate::processors::sanitize::{Mode, SanitizeConfig, Sanitizer, mark};

/// Cleans standard input as `processor` would, or the first `sanitize` of the file; without a file, as one with its defaults would.
pub(super) fn sanitize(config: Option<&Config>, processor: Option<&ComponentId>) -> anyhow::Result<ExitCode> {
    let settings = match config {
        Some(config) => settings(config, processor)?,
        None => SanitizeConfig::default(),
    };
    let mut bytes = Vec::new();
    stdin().lock().read_to_end(&mut bytes).context("standard input could not be read")?;
    let text = String::from_utf8_lossy(&bytes);
    let clean = Sanitizer::new(&settings)?.clean(&text, Mode::Text);
    stdout().lock().write_all(clean.text.as_bytes())?;
    writeln!(stderr().lock(), "{}", summary(&text, &clean.text, clean.redactions))?;
    Ok(ExitCode::SUCCESS)
}

fn settings(config: &Config, processor: Option<&ComponentId>) -> anyhow::Result<SanitizeConfig> {
    let mut named = config.processors.iter().filter_map(|(id, processor)| match processor {
        ProcessorConfig::Sanitize(settings) => Some((id, settings)),
        _ => None,
    });
    let found = named.find(|(id, _)| processor.is_none_or(|processor| processor == *id));
    match (found, processor) {
        (Some((_, settings)), _) => Ok(settings.clone()),
        (None, Some(processor)) => anyhow::bail!("no processor `{processor}` of type `sanitize` is defined"),
        (None, None) => Ok(SanitizeConfig::default()),
    }
}

/// `3 redactions: email 1, github-token 2`
fn summary(sent: &str, stored: &str, redactions: u64) -> String {
    let before = marks(sent);
    let mut counts = marks(stored);
    for (name, count) in before {
        counts.entry(name).and_modify(|all| *all = all.saturating_sub(count));
    }
    counts.retain(|_, count| *count > 0);
    let names: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    match redactions {
        0 => "nothing found".to_owned(),
        1 => format!("1 redaction: {}", names.join(", ")),
        _ => format!("{redactions} redactions: {}", names.join(", ")),
    }
}

/// The marks in a text, by the word in them.
fn marks(text: &str) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for rest in text.split(mark::OPEN).skip(1) {
        if let Some((name, _)) = rest.split_once(']') {
            *counts.entry(name).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_what_was_found_and_not_what_was_there() {
        assert_eq!(summary("a", "a", 0), "nothing found");
        assert_eq!(summary("x", "[redacted:jwt]", 1), "1 redaction: jwt 1");
        let stored = "[redacted:email] [redacted:jwt] [redacted:email]";
        assert_eq!(summary("[redacted:jwt] x x", stored, 2), "2 redactions: email 2");
    }
}
