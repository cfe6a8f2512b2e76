//! From files and `--set` to a document: read, merge, resolve, type.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::place::Place;
use super::tree::read::read;
use super::tree::{Key, Node, Value};
use super::{ConfigError, references};

/// A configuration file with its text, for messages that point into it.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

/// What a configuration is made of: files in their order, then settings of the command line.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A later one goes before an earlier one, merged as the Collector merges: maps key by key, lists and values as a whole.
    pub files: Vec<Source>,
    /// `a.b=c` or `a::b=c`; the value is YAML. They go before every file.
    pub sets: Vec<String>,
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
}

impl From<Source> for Sources {
    fn from(file: Source) -> Sources {
        Sources { files: vec![file], sets: Vec::new() }
    }
}

impl Sources {
    /// Where messages lead that concern the whole configuration: its last file.
    pub fn place(&self) -> Place {
        Place::whole(self.files.last().map_or_else(|| "--set".to_owned(), |file| file.path.display().to_string()))
    }

    /// Parses the text; `environment` resolves the variables that it names.
    ///
    /// # Errors
    /// The first thing that is wrong, with its file, line and column, or its `--set` without the value.
    pub fn parse<T: DeserializeOwned>(&self, environment: impl Fn(&str) -> Option<String>) -> Result<T, ConfigError> {
        let mut whole: Option<Node> = None;
        for file in &self.files {
            let node = read(&file.text, &Place::whole(file.path.display().to_string()))?;
            let node = as_map(node)?;
            match &mut whole {
                Some(whole) => whole.merge(node),
                None => whole = Some(node),
            }
        }
        let mut whole = whole.unwrap_or_else(|| Node { place: self.place(), value: Value::Map(Vec::new()) });
        for set in &self.sets {
            whole.merge(setting(set)?);
        }
        whole.each_scalar(&mut |place, scalar| references::resolve(place, scalar, &environment))?;
        let place = whole.place.clone();
        T::deserialize(whole).map_err(|misfit| ConfigError::at(misfit.place.as_ref().unwrap_or(&place), misfit.message))
    }
}

/// Parses one text without variables: a snippet, a test.
///
/// # Errors
/// The first thing that is wrong, with its line and column.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    let place = Place::whole("yaml");
    let mut node = read(text, &place)?;
    node.each_scalar(&mut |place, scalar| references::resolve(place, scalar, &|_: &str| None))?;
    T::deserialize(node).map_err(|misfit| ConfigError::at(misfit.place.as_ref().unwrap_or(&place), misfit.message))
}

/// A file is a map of sections. An empty one is refused alone, and changes nothing beside others.
fn as_map(node: Node) -> Result<Node, ConfigError> {
    match node.value {
        Value::Map(_) => Ok(node),
        Value::Scalar(scalar) if scalar.is_null() => Ok(Node { value: Value::Map(Vec::new()), ..node }),
        _ => Err(ConfigError::at(&node.place, "expected the sections receivers, exporters and service, found a list or a value")),
    }
}

/// `a.b=c` as the map `{ a: { b: c } }`. Its place is `--set a.b`: the value may be a secret, and so may be what is no path.
fn setting(set: &str) -> Result<Node, ConfigError> {
    let (path, value) = set.split_once('=').unwrap_or(("", ""));
    let is_path = !path.is_empty() && path.chars().all(|c| c.is_ascii_alphanumeric() || "_-/.:".contains(c));
    let place = Place::option(if is_path { format!("--set {path}") } else { "--set".to_owned() });
    let keys: Vec<&str> = if path.contains("::") { path.split("::").collect() } else { path.split('.').collect() };
    if keys.iter().any(|key| key.is_empty()) {
        let message = "expected a setting and its value such as exporters.prometheus.endpoint=127.0.0.1:9464";
        return Err(ConfigError::at(&place, message));
    }
    let value = read(value, &place)?;
    Ok(keys.into_iter().rev().fold(value, |value, key| {
        let key = Key { text: key.to_owned(), place: place.clone() };
        Node { place: place.clone(), value: Value::Map(vec![(key, value)]) }
    }))
}
