//! What is wrong with a configuration: the file, the line and column, what was expected, and the nearest name.

use std::path::PathBuf;

use serde_saphyr::{Location, SnippetMode};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}; give the configuration with --config FILE", path = .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}:{column}: {message}", path = .path.display())]
    At { path: PathBuf, line: u64, column: u64, message: String },
    #[error("{path}: {message}", path = .path.display())]
    Whole { path: PathBuf, message: String },
}

impl ConfigError {
    /// An error at a place of the file; without a place where the parser has none.
    pub fn at(path: &std::path::Path, location: Option<Location>, message: impl Into<String>) -> ConfigError {
        let (path, message) = (path.to_owned(), message.into());
        match location.filter(|location| *location != Location::UNKNOWN) {
            Some(location) => ConfigError::At { path, line: location.line(), column: location.column(), message },
            None => ConfigError::Whole { path, message },
        }
    }

    pub(super) fn unset(path: &std::path::Path, line: usize, column: usize, name: &str) -> ConfigError {
        let (line, column) = (u64::try_from(line).unwrap_or_default(), u64::try_from(column).unwrap_or_default());
        ConfigError::At { path: path.to_owned(), line, column, message: unset(name) }
    }

    /// What the YAML library found, with the nearest name where a name is unknown.
    pub(super) fn from_yaml(path: &std::path::Path, error: &serde_saphyr::Error) -> ConfigError {
        use serde_saphyr::Error;
        let message = match error.without_snippet() {
            Error::SerdeUnknownField { field, expected, .. } => unknown("setting", field, expected),
            Error::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
            Error::SerdeMissingField { field, .. } => format!("missing setting `{field}`"),
            Error::UnresolvedProperty { name, .. } => {
                let name = name.strip_prefix(super::source::ENV_PREFIX).unwrap_or(name);
                unset(name)
            }
            other => plain(other),
        };
        ConfigError::at(path, error.location(), message)
    }
}

fn unset(name: &str) -> String {
    format!("environment variable {name} is not set; set it, or give a default: ${{env:{name}:-default}}")
}

/// The library's own message without its position, which stands in front already.
fn plain(error: &serde_saphyr::Error) -> String {
    let formatter = serde_saphyr::DefaultMessageFormatter;
    let options = serde_saphyr::render_options! { formatter: &formatter, snippets: SnippetMode::Off };
    let text = error.render_with_options(options);
    match text.rfind(" at line ") {
        Some(end) => text[..end].trim_end_matches([',', ':']).to_owned(),
        None => text,
    }
}

fn unknown(what: &str, name: &str, expected: &[&str]) -> String {
    if expected.is_empty() {
        return format!("unknown {what} `{name}`, expected none here");
    }
    format!("unknown {what} `{name}`, expected one of {}{}", expected.join(", "), did_you_mean(name, expected))
}

/// `; did you mean …?` where one of the names is near, else nothing.
pub fn did_you_mean(name: &str, names: &[impl AsRef<str>]) -> String {
    let nearest = names.iter().map(|other| (strsim::damerau_levenshtein(name, other.as_ref()), other.as_ref())).min();
    match nearest {
        Some((distance, other)) if distance <= other.len().max(3) / 3 => format!("; did you mean `{other}`?"),
        _ => String::new(),
    }
}
