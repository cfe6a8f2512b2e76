//! References within a scalar: `${env:NAME}`, `${env:NAME:-default}`, `${NAME}`, `${file:path}`; `$$` is a dollar sign.
//!
//! A value stays within the scalar that names it, so it can never change the structure of the file; and it is not read again: a `$` in it is
//! a dollar sign.

use std::path::Path;

use super::ConfigError;
use super::place::Place;
use super::tree::Scalar;

/// The most that a file may hold, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Puts the values in; `environment` resolves the variables.
pub(super) fn resolve(
    place: &Place,
    scalar: &mut Scalar,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<(), ConfigError> {
    if !scalar.text.contains('$') {
        return Ok(());
    }
    let begin = place.further(usize::from(!scalar.plain));
    let (text, resolved) = expand(&scalar.text, &begin, environment)?;
    scalar.text = text;
    scalar.resolved |= resolved;
    Ok(())
}

/// The text with its references resolved, and whether there were any.
fn expand(text: &str, begin: &Place, environment: &impl Fn(&str) -> Option<String>) -> Result<(String, bool), ConfigError> {
    let mut expanded = String::with_capacity(text.len());
    let mut resolved = false;
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix("$$") {
            expanded.push('$');
            rest = behind;
        } else if let Some(inner) = rest.strip_prefix("${") {
            let place = begin.further(text[..text.len() - rest.len()].chars().count());
            let Some(end) = closing(inner) else {
                let message = "expected `}` at the end of a reference; a dollar sign in front of `{` is written `$$`";
                return Err(ConfigError::at(&place, message));
            };
            expanded.push_str(&value(&inner[..end], &place, environment)?);
            resolved = true;
            rest = &inner[end + 1..];
        } else {
            expanded.push('$');
            rest = &rest[1..];
        }
    }
    expanded.push_str(rest);
    Ok((expanded, resolved))
}

/// Where the brace is closed that stands in front of this text; a default may hold references of its own.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What a reference stands for; `inner` is what is between its braces.
fn value(inner: &str, place: &Place, environment: &impl Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
    if let Some(path) = inner.strip_prefix("file:") {
        return file(path, place);
    }
    let reference = inner.strip_prefix("env:").unwrap_or(inner);
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || !valid {
        let message = format!(
            "expected ${{env:NAME}}, ${{env:NAME:-default}} or ${{file:path}}, found `${{{inner}}}`; a dollar sign in front of `{{` is written `$$`"
        );
        return Err(ConfigError::at(place, message));
    }
    match (environment(name), default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => expand(default, place, environment).map(|(text, _)| text),
        (None, None) => {
            let message = format!("environment variable {name} is not set; set it, or give a default: ${{env:{name}:-default}}");
            Err(ConfigError::at(place, message))
        }
    }
}

/// The whole content of a file, without the line break at its end.
fn file(path: &str, place: &Place) -> Result<String, ConfigError> {
    let refused = |why: String| ConfigError::at(place, format!("cannot use file {path}: {why}"));
    let read = |path: &Path| -> std::io::Result<Vec<u8>> {
        use std::io::Read;
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes =
        read(Path::new(path)).map_err(|error| refused(format!("{error}; it is looked for from the working directory")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refused(format!("expected at most {MAX_FILE_BYTES} bytes, found more")));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("expected text in UTF-8, found other bytes".to_owned()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
