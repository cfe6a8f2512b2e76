//! What the user adds to the built-in rules: rules of their own, and texts that stay.
//!
//! ```yaml
//! sanitize:
//!   rules: [{ name: acme-token, keywords: [acme_], pattern: "acme_[a-z0-9]{32}" }]
//!   allow: ["AKIAIOSFODNN7EXAMPLE", "[a-z.]+@example\\.com"]
//! ```
//! A rule is tried only on a text that holds one of its keywords; the regular expressions run in linear time (crate `regex`).

use regex::{Regex, RegexBuilder};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The most memory one compiled expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;
/// A shorter keyword would stand in every other text.
const MIN_KEYWORD: usize = 3;
/// So that a mark stays within [`super::mark::MAX_BYTES`].
const MAX_NAME: usize = 32;

/// A rule of the user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomRule {
    /// The word in the mark: `[redacted:name]`.
    pub name: RuleName,
    /// The rule is tried where one of them stands, in any case.
    pub keywords: Keywords,
    /// What goes: the group `secret` if the expression has one, else all that it matches.
    pub pattern: Pattern,
}

/// At least one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "Vec<Keyword>")]
pub struct Keywords(Vec<Keyword>);

/// 1 to 32 lower-case letters, digits and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct RuleName(String);

/// A literal of at least 3 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Keyword(String);

/// A regular expression in the syntax of the crate `regex`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Regex);

impl RuleName {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Keywords {
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|keyword| keyword.0.as_str())
    }
}

impl TryFrom<Vec<Keyword>> for Keywords {
    type Error = String;

    fn try_from(keywords: Vec<Keyword>) -> Result<Keywords, String> {
        if keywords.is_empty() {
            return Err("expected at least one keyword that stands in every text the rule is for, found none".to_owned());
        }
        Ok(Keywords(keywords))
    }
}

impl TryFrom<String> for RuleName {
    type Error = String;

    fn try_from(name: String) -> Result<RuleName, String> {
        let fits = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if fits {
            Ok(RuleName(name))
        } else {
            Err(format!("expected a name of 1 to {MAX_NAME} lower-case letters, digits and `-`, found `{name}`"))
        }
    }
}

impl TryFrom<String> for Keyword {
    type Error = String;

    fn try_from(keyword: String) -> Result<Keyword, String> {
        if keyword.len() < MIN_KEYWORD {
            return Err(format!("expected a keyword of at least {MIN_KEYWORD} bytes, found `{keyword}`"));
        }
        Ok(Keyword(keyword))
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(pattern: String) -> Result<Pattern, String> {
        let compiled = RegexBuilder::new(&pattern).size_limit(MAX_REGEX_BYTES).dfa_size_limit(MAX_REGEX_BYTES).build();
        let regex = compiled.map_err(|error| format!("expected a regular expression: {error}"))?;
        whole(&regex).map_err(|error| format!("expected a regular expression that can stand in a group: {error}"))?;
        if regex.is_match("") {
            return Err(format!("expected an expression that matches something, and `{pattern}` matches nothing as well"));
        }
        Ok(Pattern(regex))
    }
}

/// The expression as one that matches a text from its first byte to its last.
fn whole(regex: &Regex) -> Result<Regex, regex::Error> {
    Regex::new(&format!(r"\A(?:{})\z", regex.as_str()))
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.0.as_str().to_owned()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl JsonSchema for Pattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "regex", "description": "A regular expression in the syntax of the crate `regex`." })
    }
}

impl CustomRule {
    /// What of `text` goes.
    pub(super) fn find<'t>(&'t self, text: &'t str) -> impl Iterator<Item = std::ops::Range<usize>> + 't {
        let matches = self.pattern.0.captures_iter(text);
        matches.filter_map(|found| found.name("secret").or_else(|| found.get(0)).map(|found| found.range()))
    }
}

/// Texts that stay although a rule finds them: an expression must match the find from its first byte to its last.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed(Vec<Regex>);

impl Allowed {
    pub(super) fn new(patterns: &[Pattern]) -> Allowed {
        // Every pattern was tried so when it was read.
        Allowed(patterns.iter().filter_map(|pattern| whole(&pattern.0).ok()).collect())
    }

    pub(super) fn holds(&self, found: &str) -> bool {
        self.0.iter().any(|regex| regex.is_match(found))
    }
}
