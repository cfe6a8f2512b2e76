//! From a file to a document.
//!
//! `${env:NAME}` and `${env:NAME:-default}` are resolved by the YAML library within the scalar they stand in, so a value can
//! never change the structure of the file, and every position stays that of the file. The library knows `${NAME}` only, so
//! `env:` becomes the equally long `env_` and the variables are handed over under that prefix.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::ConfigError;

/// How an environment variable is called on its way through the YAML library.
pub(super) const ENV_PREFIX: &str = "env_";

/// A configuration file with its text, for messages that point into it.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> Result<Source, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Source { path: path.to_owned(), text }),
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    /// Parses the text; `environment` resolves the variables that it names.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and column.
    pub fn parse<T: DeserializeOwned>(&self, environment: impl Fn(&str) -> Option<String>) -> Result<T, ConfigError> {
        let mut properties = HashMap::new();
        for reference in self.text.split("${env:").skip(1) {
            let end = reference.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(reference.len());
            let name = &reference[..end];
            if let Some(value) = environment(name) {
                properties.insert(format!("{ENV_PREFIX}{name}"), value);
            }
        }
        let text = self.text.replace("${env:", "${env_");
        let options = serde_saphyr::Options::default().with_properties(properties);
        serde_saphyr::from_str_with_options(&text, options).map_err(|error| ConfigError::from_yaml(&self.path, &error))
    }
}
