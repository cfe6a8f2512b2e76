//! What is wrong with a configuration: the file, the line and column, what was expected, and the nearest name.

use std::path::PathBuf;

use super::place::Place;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}; give the configuration with --config FILE", path = .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{place}: {message}")]
    At { place: Place, message: String },
}

impl ConfigError {
    pub fn at(place: &Place, message: impl Into<String>) -> ConfigError {
        ConfigError::At { place: place.clone(), message: message.into() }
    }
}

/// `; did you mean …?` where one of the names is near, else nothing.
pub fn did_you_mean(name: &str, names: &[impl AsRef<str>]) -> String {
    let nearest = names.iter().map(|other| (strsim::damerau_levenshtein(name, other.as_ref()), other.as_ref())).min();
    match nearest {
        Some((distance, other)) if distance <= other.len().max(3) / 3 => format!("; did you mean `{other}`?"),
        _ => String::new(),
    }
}
