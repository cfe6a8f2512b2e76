//! The rules, in tables: what is looked for, around which words, and examples of what must go and what must stay.
//!
//! | file | rules |
//! |---|---|
//! | `tokens` | tokens known by their own form |
//! | `named` | secrets known by what stands before them |
//! | `personal` | what tells of a person |
//!
//! A rule is found by its keywords: one pass looks for those of all rules, and only where one stands is the rule tried, anchored there.
//! Where two rules find the same text, the earlier one names it.
//!
//! Examples are templates, so that no scanner of repositories takes them for leaks: `<w36>` stands for 36 generated characters
//! (`w` letters and digits, `u` upper-case letters and digits, `l` with `_` and `-`, `b` base64, `h` hexadecimal, `d` digits), and
//! `«…»` encloses what the rule takes away.

mod named;
mod personal;
mod tokens;

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scan::{Alphabet, Scan};

/// What a rule finds: the word in the mark, and the switch in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    AwsKey,
    GithubToken,
    GitlabToken,
    SlackToken,
    StripeKey,
    GoogleKey,
    NpmToken,
    PypiToken,
    SendgridKey,
    TwilioKey,
    OpenaiKey,
    AnthropicKey,
    VaultToken,
    CloudflareToken,
    AzureKey,
    ServiceToken,
    Jwt,
    PrivateKey,
    Authorization,
    Cookie,
    UrlPassword,
    QuerySecret,
    Password,
    Secret,
    Card,
    Iban,
    Ssn,
    Email,
    Ip,
    Phone,
}

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Class::AwsKey => "aws-key",
            Class::GithubToken => "github-token",
            Class::GitlabToken => "gitlab-token",
            Class::SlackToken => "slack-token",
            Class::StripeKey => "stripe-key",
            Class::GoogleKey => "google-key",
            Class::NpmToken => "npm-token",
            Class::PypiToken => "pypi-token",
            Class::SendgridKey => "sendgrid-key",
            Class::TwilioKey => "twilio-key",
            Class::OpenaiKey => "openai-key",
            Class::AnthropicKey => "anthropic-key",
            Class::VaultToken => "vault-token",
            Class::CloudflareToken => "cloudflare-token",
            Class::AzureKey => "azure-key",
            Class::ServiceToken => "service-token",
            Class::Jwt => "jwt",
            Class::PrivateKey => "private-key",
            Class::Authorization => "authorization",
            Class::Cookie => "cookie",
            Class::UrlPassword => "url-password",
            Class::QuerySecret => "query-secret",
            Class::Password => "password",
            Class::Secret => "secret",
            Class::Card => "card",
            Class::Iban => "iban",
            Class::Ssn => "ssn",
            Class::Email => "email",
            Class::Ip => "ip",
            Class::Phone => "phone",
        }
    }

    /// Phone numbers look like too many other numbers; whoever has them in messages switches the class on.
    pub(super) fn is_on_by_default(self) -> bool {
        self != Class::Phone
    }

    /// Whether the class looks at ids: tokens known by their own form, credentials named by what stands before them, and what is no id
    /// by its form (an address, a mail address). A digit string that passes for a card is more often an id, and the generic rule takes
    /// noise for a secret, which ids are.
    pub(super) fn looks_at_ids(self) -> bool {
        self <= Class::Password || matches!(self, Class::Iban | Class::Ssn | Class::Email | Class::Ip)
    }
}

pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) class: Class,
    /// Literals that a text must hold, found in any case.
    pub(super) keywords: &'static [&'static str],
    pub(super) find: Find,
    /// What the token found must be besides.
    pub(super) check: fn(&str) -> bool,
    /// Templates: what stands between `«` and `»` goes, the rest stays.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests of the table read it"))]
    pub(super) found: &'static [&'static str],
    /// Templates that stay as they are.
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests of the table read it"))]
    pub(super) kept: &'static [&'static str],
}

type Finder = fn(&mut Scan<'_>, Range<usize>) -> Option<Range<usize>>;

/// How a rule's token is found.
pub(super) enum Find {
    /// The keyword, in its own case, is the token's head; a body of at least `min` bytes follows.
    Head { body: Alphabet, min: usize, start: Start },
    /// A finder anchored at the keyword.
    At(Finder),
    /// A finder tried at the starts of words where one of the signs stands (see [`super::hints`]); no keyword.
    Shape { signs: u8, find: fn(&mut Scan<'_>, usize) -> Option<Range<usize>> },
}

/// What may stand before a head, and whether it is part of what goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Anything: the head is distinctive.
    Anywhere,
    /// No letter, digit or `_`.
    Word,
    /// Anything; the head stays.
    Kept,
}

impl Find {
    /// What stands behind every keyword of the rule where it finds something.
    pub(super) fn next(&self) -> Option<Alphabet> {
        match self {
            Find::Head { body, .. } => Some(*body),
            Find::At(_) | Find::Shape { .. } => None,
        }
    }

    pub(super) fn at(&self, scan: &mut Scan<'_>, hit: Range<usize>, keyword: &str) -> Option<Range<usize>> {
        match self {
            Find::Head { body, min, start } => {
                let mut end = scan.run(*body, hit.end);
                while *body == Alphabet::Dotted && end > hit.end && scan.before(end) == Some(b'.') {
                    end -= 1;
                }
                let fits = end - hit.end >= *min && scan.starts_with(hit.start, keyword);
                let begins = *start != Start::Word || scan.starts_word(hit.start);
                (fits && begins).then_some(if *start == Start::Kept { hit.end..end } else { hit.start..end })
            }
            Find::At(find) => find(scan, hit),
            Find::Shape { .. } => None,
        }
    }
}

/// Every rule, in the order in which one names what several find.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    [tokens::TOKENS, named::NAMED, personal::PERSONAL].into_iter().flatten()
}
