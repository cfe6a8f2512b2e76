//! From a file to a document.
//!
//! `${env:NAME}` and `${env:NAME:-default}` are resolved within the scalar they stand in, so a value can never change the structure
//! of the file. In a plain scalar the YAML library does it, and every position stays that of the file: it knows `${NAME}` only, so
//! `env:` becomes the equally long `env_` and the variables are handed over under that prefix. Within quotes, where it does not look,
//! the value is put in here, escaped as these quotes want it.

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
        let mut text = String::with_capacity(self.text.len());
        for (number, line) in self.text.split_inclusive('\n').enumerate() {
            let mut rest = line;
            while let Some(at) = rest.find("${env:") {
                let before = text.len();
                text.push_str(&rest[..at]);
                rest = &rest[at..];
                let reference = Reference::parse(rest);
                let quote = open_quote(&text[text[..before].rfind('\n').map_or(0, |end| end + 1)..]);
                let value = environment(reference.name);
                if let Some(value) = &value {
                    properties.insert(format!("{ENV_PREFIX}{}", reference.name), value.clone());
                }
                if let (Some(quote), true) = (quote, reference.len > 0) {
                    let column = line.len() - rest.len() + 1;
                    let value = value.or_else(|| reference.default.map(str::to_owned));
                    let value = value.ok_or_else(|| ConfigError::unset(&self.path, number + 1, column, reference.name))?;
                    text.push_str(&escaped(&value, quote));
                    rest = &rest[reference.len..];
                } else {
                    text.push_str("${env_");
                    rest = &rest["${env:".len()..];
                }
            }
            text.push_str(rest);
        }
        let options = serde_saphyr::Options::default().with_properties(properties);
        serde_saphyr::from_str_with_options(&text, options).map_err(|error| ConfigError::from_yaml(&self.path, &error))
    }
}

/// `${env:NAME}` or `${env:NAME:-default}`.
struct Reference<'a> {
    name: &'a str,
    default: Option<&'a str>,
    /// Of the whole reference; 0 where it does not end.
    len: usize,
}

impl<'a> Reference<'a> {
    /// Reads the reference that the text begins with.
    fn parse(text: &'a str) -> Reference<'a> {
        let inner = &text["${env:".len()..];
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
        let close = inner.find('}');
        let default = close.and_then(|close| inner.get(end..close)).and_then(|rest| rest.strip_prefix(":-"));
        Reference { name: &inner[..end], default, len: close.map_or(0, |close| "${env:".len() + close + 1) }
    }
}

/// The quote that is open at the end of this part of a line. A scalar in quotes that spans lines counts as plain on its later ones.
fn open_quote(line: &str) -> Option<char> {
    let mut open = None;
    let mut escaped = false;
    for c in line.chars() {
        match (open, c) {
            (Some('"'), '\\') if !escaped => escaped = true,
            (Some(quote), _) if c == quote && !escaped => open = None,
            (None, '"' | '\'') => open = Some(c),
            _ => escaped = false,
        }
    }
    open
}

/// The value as it stands within these quotes.
fn escaped(value: &str, quote: char) -> String {
    if quote == '\'' {
        return value.replace('\'', "''");
    }
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            _ => text.push(c),
        }
    }
    text
}
