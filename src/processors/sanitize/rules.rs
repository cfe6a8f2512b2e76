//! The rules, in one table: what is looked for, around which words, and examples of what must go and what must stay.
//!
//! A rule is found by its keywords: one automaton looks for those of all rules, and only where one stands is the rule tried, anchored there.
//! Where two rules find the same text, the earlier one names it.
//!
//! Examples are templates, so that no scanner of repositories takes them for leaks: `<w36>` stands for 36 generated characters
//! (`w` letters and digits, `u` upper-case letters and digits, `l` with `_` and `-`, `b` base64, `h` hexadecimal, `d` digits), and
//! `«…»` encloses what the rule takes away.

use std::ops::Range;

use serde::Deserialize;

use super::fields::{after_scheme, authorization, aws_near, cookie, password, query, ssn_near, whole_word};
use super::find::{
    address, azure_client, card_number, dsn_password, email, encoded_url_password, iban_number, jwt, private_key, sendgrid,
    twilio, url_password,
};
use super::scan::{Alphabet, Scan};
use super::validate::{self, any, basic, high_entropy, random, tokenish};

/// What a rule finds: the word in the mark, and the switch in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
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
        }
    }

    /// Whether the class knows its tokens by their own form. Only such classes look at ids.
    pub(super) fn is_token(self) -> bool {
        self <= Class::PrivateKey
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
    /// A finder tried at the start of every word that has digits; no keyword.
    Shape(fn(&mut Scan<'_>, usize) -> Option<Range<usize>>),
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
    pub(super) fn at(&self, scan: &mut Scan<'_>, hit: Range<usize>, keyword: &str) -> Option<Range<usize>> {
        match self {
            Find::Head { body, min, start } => {
                let end = scan.run(*body, hit.end);
                let fits = end - hit.end >= *min && scan.starts_with(hit.start, keyword);
                let begins = *start != Start::Word || scan.starts_word(hit.start);
                (fits && begins).then_some(if *start == Start::Kept { hit.end..end } else { hit.start..end })
            }
            Find::At(find) => find(scan, hit),
            Find::Shape(_) => None,
        }
    }
}

const fn head(body: Alphabet, min: usize) -> Find {
    Find::Head { body, min, start: Start::Anywhere }
}

const fn word(body: Alphabet, min: usize) -> Find {
    Find::Head { body, min, start: Start::Word }
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "aws-key-id",
        class: Class::AwsKey,
        keywords: &["AKIA", "ASIA", "ABIA", "ACCA"],
        find: head(Alphabet::Upper, 16),
        check: |token| token.len() == 20,
        found: &["The key «AKIA<u16>» is inactive", "id=«ASIA<u16>»&x", "{\"id\":\"«AKIA<u16>»\"}"],
        kept: &["AKIA", "AKIA<u12>", "AKIA<u30>", "ASIAN MARKETS"],
    },
    Rule {
        id: "aws-secret-key",
        class: Class::AwsKey,
        keywords: &["aws", "secret_access_key", "secretaccesskey", "secret access key", "secret key", "secretkey"],
        find: Find::At(aws_near),
        check: any,
        found: &["aws_secret_access_key = «<b40>»", "AWS secret \"«<b40>»\" rejected"],
        kept: &["aws commit <h40>", "aws-sdk/client/lib/node/signature/index/main"],
    },
    Rule {
        id: "aws-session-token",
        class: Class::AwsKey,
        keywords: &["IQoJb3JpZ2lu", "FwoGZXIvYXdz"],
        find: head(Alphabet::Base64, 50),
        check: any,
        found: &["expired: «IQoJb3JpZ2lu<b80>»"],
        kept: &["IQoJb3JpZ2lu"],
    },
    Rule {
        id: "github-token",
        class: Class::GithubToken,
        keywords: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        find: head(Alphabet::Word, 36),
        check: any,
        found: &["bad credentials «ghp_<w36>»", "(«ghs_<w36>»)", "«gho_<w36>».", "x\\n«ghr_<w40>»\\n"],
        kept: &["ghp_short", "ghp_<w20>"],
    },
    Rule {
        id: "github-fine-grained-token",
        class: Class::GithubToken,
        keywords: &["github_pat_"],
        find: head(Alphabet::Word, 36),
        check: any,
        found: &["«github_pat_<w22>_<w59>»: bad"],
        kept: &["github_pat_example"],
    },
    Rule {
        id: "gitlab-token",
        class: Class::GitlabToken,
        keywords: &[
            "glpat-", "gldt-", "glptt-", "glrt-", "glcbt-", "glft-", "glimt-", "glagent-", "gloas-", "glsoat-", "glffct-",
            "glwt-",
        ],
        find: head(Alphabet::Url, 20),
        check: random,
        found: &["remote: «glpat-<w20>» denied", "url?private=«glrt-<w24>»"],
        kept: &["glpat-example", "glft-"],
    },
    Rule {
        id: "slack-token",
        class: Class::SlackToken,
        keywords: &[
            "xoxb-",
            "xoxp-",
            "xoxa-",
            "xoxr-",
            "xoxs-",
            "xoxe-",
            "xoxc-",
            "xoxd-",
            "xoxo-",
            "xoxe.xoxp-",
            "xoxe.xoxb-",
            "xapp-",
        ],
        find: head(Alphabet::Url, 10),
        check: random,
        found: &["invalid_auth «xoxb-<d12>-<d12>-<w24>»", "«xapp-1-A<d10>-<d13>-<h64>»,"],
        kept: &["xoxb-token-goes-here"],
    },
    Rule {
        id: "slack-webhook",
        class: Class::SlackToken,
        keywords: &["hooks.slack.com/services/", "hooks.slack.com/workflows/", "hooks.slack.com/triggers/"],
        find: Find::Head { body: Alphabet::Base64, min: 20, start: Start::Kept },
        check: any,
        found: &["POST https://hooks.slack.com/services/«T<u8>/B<u8>/<w24>» 404"],
        kept: &["https://hooks.slack.com/services/ is down"],
    },
    Rule {
        id: "stripe-key",
        class: Class::StripeKey,
        keywords: &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_org_", "whsec_"],
        find: word(Alphabet::Word, 16),
        check: random,
        found: &["Invalid API Key: «sk_live_<w24>»", "«rk_test_<w99>»|", "«whsec_<w32>»"],
        kept: &["task_live_<w24>", "pk_live_<w24>", "sk_test_key"],
    },
    Rule {
        id: "google-api-key",
        class: Class::GoogleKey,
        keywords: &["AIza"],
        find: head(Alphabet::Url, 35),
        check: any,
        found: &["key=«AIza<l35>»", "[«AIza<l35>»]"],
        kept: &["AIza<w10>"],
    },
    Rule {
        id: "google-client-secret",
        class: Class::GoogleKey,
        keywords: &["GOCSPX-"],
        find: head(Alphabet::Url, 20),
        check: any,
        found: &["client «GOCSPX-<l28>»"],
        kept: &["GOCSPX-"],
    },
    Rule {
        id: "google-oauth-token",
        class: Class::GoogleKey,
        keywords: &["ya29."],
        find: head(Alphabet::Url, 20),
        check: any,
        found: &["401 for «ya29.<l60>»"],
        kept: &["ya29.x"],
    },
    Rule {
        id: "google-refresh-token",
        class: Class::GoogleKey,
        keywords: &["1//0"],
        find: word(Alphabet::Url, 40),
        check: random,
        found: &["refresh «1//0<l60>» revoked"],
        kept: &["1//0 is no path"],
    },
    Rule {
        id: "npm-token",
        class: Class::NpmToken,
        keywords: &["npm_"],
        find: head(Alphabet::Alnum, 36),
        check: any,
        found: &["//registry/:_x=«npm_<w36>»"],
        kept: &["npm_config_registry", "npm_lifecycle_event"],
    },
    Rule {
        id: "pypi-token",
        class: Class::PypiToken,
        keywords: &["pypi-"],
        find: word(Alphabet::Url, 50),
        check: random,
        found: &["upload with «pypi-AgEIcHlwaS5vcmc<l80>»"],
        kept: &["pypi-mirror-of-the-company"],
    },
    Rule {
        id: "sendgrid-key",
        class: Class::SendgridKey,
        keywords: &["SG."],
        find: Find::At(sendgrid),
        check: any,
        found: &["mail: «SG.<l22>.<l43>»"],
        kept: &["SG.a.b", "MSG.<w22>.<w43>"],
    },
    Rule {
        id: "twilio-key",
        class: Class::TwilioKey,
        keywords: &[
            "SK0", "SK1", "SK2", "SK3", "SK4", "SK5", "SK6", "SK7", "SK8", "SK9", "SKa", "SKb", "SKc", "SKd", "SKe", "SKf",
        ],
        find: Find::At(twilio),
        check: any,
        found: &["sid «SK<h32>»,"],
        kept: &["SKeleton", "SK<h10>", "sk<h32>", "SK<h40>"],
    },
    Rule {
        id: "anthropic-key",
        class: Class::AnthropicKey,
        keywords: &["sk-ant-"],
        find: word(Alphabet::Url, 20),
        check: random,
        found: &["x «sk-ant-api03-<l80>»."],
        kept: &["sk-ant-key"],
    },
    Rule {
        id: "openai-key",
        class: Class::OpenaiKey,
        keywords: &["sk-"],
        find: word(Alphabet::Url, 20),
        check: |token| {
            !token.starts_with("sk-ant-") && random(token) && token.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'_')
        },
        found: &["Incorrect key provided: «sk-proj-<l60>».", "'«sk-<w48>»'"],
        kept: &["task-<w48>", "sk-learn-model-selection-2024", "disk-usage"],
    },
    Rule {
        id: "vault-token",
        class: Class::VaultToken,
        keywords: &["hvs.", "hvb.", "hvr."],
        find: head(Alphabet::Url, 24),
        check: random,
        found: &["permission denied («hvs.<l90>»)"],
        kept: &["hvs.example"],
    },
    Rule {
        id: "cloudflare-token",
        class: Class::CloudflareToken,
        keywords: &["cfk_", "cfut_", "cfat_"],
        find: head(Alphabet::Url, 30),
        check: random,
        found: &["10000: «cfut_<l48>»", "\"«cfk_<w48>»\""],
        kept: &["cfat_token"],
    },
    Rule {
        id: "azure-client-secret",
        class: Class::AzureKey,
        keywords: &["7Q~", "8Q~"],
        find: Find::At(azure_client),
        check: random,
        found: &["AADSTS7000215 «abc8Q~<l34>»"],
        kept: &["8Q~ is short"],
    },
    Rule {
        id: "azure-storage-key",
        class: Class::AzureKey,
        keywords: &["AccountKey", "SharedAccessKey", "SharedSecretKey"],
        find: Find::At(password),
        check: any,
        found: &["AccountName=x;AccountKey=«<b86>==»;EndpointSuffix=y", "SharedAccessKey=«<b43>=»;EntityPath=q"],
        kept: &["SharedAccessKeyName=RootManage;", "AccountKey=${KEY}"],
    },
    Rule {
        id: "service-token",
        class: Class::ServiceToken,
        keywords: &[
            "dop_v1_",
            "doo_v1_",
            "dor_v1_",
            "shpat_",
            "shpca_",
            "shppa_",
            "shpss_",
            "hf_",
            "dapi",
            "dp.pt.",
            "dp.st.",
            "lin_api_",
            "PMAK-",
            "glsa_",
            "glc_",
            "NRAK-",
            "sntrys_",
            "sntryu_",
            "ATATT3x",
            "sq0atp-",
            "sq0csp-",
            "rubygems_",
            "sbp_",
            "figd_",
            "ntn_",
            "AGE-SECRET-KEY-1",
            "fo1_",
            "vercel_",
            "pul-",
            "dckr_pat_",
            "r8_",
            "gsk_",
            "xai-",
            "pplx-",
            "re_",
            "EAAA",
            "key-",
            "tskey-",
            "dd_api_",
            "phc_",
            "lsv2_",
        ],
        find: word(Alphabet::Url, 30),
        check: |token| random(token) && entropy_of_body(token),
        found: &["«dop_v1_<h64>»", "token was «hf_<w34>»,", "«shpat_<h32>»", "«AGE-SECRET-KEY-1<u58>»"],
        kept: &["hf_transformers", "key-value-store-of-the-second-region-2024", "re_export_the_whole_module_of_version_2"],
    },
    Rule {
        id: "jwt",
        class: Class::Jwt,
        keywords: &["eyJ"],
        find: Find::At(jwt),
        check: validate::jwt,
        found: &["token «<jwt>» expired", "a=«<jwt>»&b", "x\\n«<jwt>»\\n"],
        kept: &["eyJ", "eyJhIjoxfQ.eyJiIjoyfQ.c2ln", "eyJ<w40>.<w40>.<w40>"],
    },
    Rule {
        id: "private-key",
        class: Class::PrivateKey,
        keywords: &["-----BEGIN "],
        find: Find::At(private_key),
        check: any,
        found: &[
            "x «-----BEGIN PRIVATE KEY-----\n<b64>\n<b64>\n<b11>=\n-----END PRIVATE KEY-----» y",
            "{\"k\":\"«-----BEGIN RSA PRIVATE KEY-----\\n<b64>\\n<b30>==\\n-----END RSA PRIVATE KEY-----»\\n\"}",
            "«-----BEGIN OPENSSH PRIVATE KEY-----\n<b70>\n<b40>»",
            "«-----BEGIN EC PRIVATE KEY----- <b64> <b64>» failed to parse",
            "«-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,<h32>\n\n<b64>\n-----END RSA PRIVATE KEY-----»",
        ],
        kept: &["-----BEGIN CERTIFICATE-----\n<b64>\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----\n<b64>\n"],
    },
    Rule {
        id: "authorization-header",
        class: Class::Authorization,
        keywords: &["authorization"],
        find: Find::At(authorization),
        check: any,
        found: &[
            "Authorization: Bearer «opaque-1»\nHost: x",
            "{\"authorization\":\"Basic «<b20>»\"}",
            "'Authorization': 'Token «<h40>»', 'a': 1",
            "Authorization: Digest «username=\"u\", response=\"<h32>\"»\\r\\nx",
            "proxy-authorization=«<w24>»",
            "{\\\"Authorization\\\":\\\"Bearer «<w24>»\\\"}",
            "map[Authorization:[Bearer «<w24>»] Host:[x]]",
        ],
        kept: &[
            "Authorization: required",
            "Authorization header is missing",
            "authorization: Bearer <token>",
            "authorization: Bearer null",
        ],
    },
    Rule {
        id: "bearer-token",
        class: Class::Authorization,
        keywords: &["bearer"],
        find: Find::At(after_scheme),
        check: |token| token.len() >= 12 && tokenish(token),
        found: &["sent Bearer «<w24>», got 401", "bearer%20«<w24>»"],
        kept: &["bearer authentication", "Bearer token is expired", "forbearer <w24>"],
    },
    Rule {
        id: "basic-credentials",
        class: Class::Authorization,
        keywords: &["basic"],
        find: Find::At(after_scheme),
        check: basic,
        found: &["sent Basic «dXNlcjpodW50ZXIy»."],
        kept: &["basic authentication", "Basic Usage of things"],
    },
    Rule {
        id: "cookie-header",
        class: Class::Cookie,
        keywords: &["cookie"],
        find: Find::At(cookie),
        check: any,
        found: &[
            "Cookie: «sid=<w20>; theme=dark» failed",
            "set-cookie: «sid=<w20>; Path=/; HttpOnly»\nx",
            "{\"cookie\":\"«a=<w12>»\"}",
        ],
        kept: &["Cookie: none", "cookies are required", "CookieError: no cookie"],
    },
    Rule {
        id: "url-password",
        class: Class::UrlPassword,
        keywords: &["://", ":\\/\\/"],
        find: Find::At(url_password),
        check: any,
        found: &[
            "postgres://app:«hunter2»@db.example.com:5432/x",
            "redis://:«p@ss@word»@cache/0",
            "https://«<w24>»@git.example.com/x",
            "amqp:\\/\\/u:«pw1»@h\\/x",
        ],
        kept: &["https://example.com/a@b", "ssh://deploy@host/x", "http://u:${PW}@h", "http://h:80/?x=a:b@c"],
    },
    Rule {
        id: "encoded-url-password",
        class: Class::UrlPassword,
        keywords: &["%3A%2F%2F"],
        find: Find::At(encoded_url_password),
        check: any,
        found: &["u=postgres%3A%2F%2Fapp%3A«hunter2»%40db%2Fx"],
        kept: &["u=https%3A%2F%2Fexample.com%2Fa%40b"],
    },
    Rule {
        id: "dsn-password",
        class: Class::UrlPassword,
        keywords: &["@tcp(", "@unix("],
        find: Find::At(dsn_password),
        check: any,
        found: &["open root:«hunter2»@tcp(127.0.0.1:3306)/x"],
        kept: &["open root@tcp(127.0.0.1:3306)/x"],
    },
    Rule {
        id: "query-secret",
        class: Class::QuerySecret,
        keywords: &[
            "sig=",
            "signature=",
            "token=",
            "secret=",
            "password=",
            "passwd=",
            "pwd=",
            "apikey=",
            "api_key=",
            "api-key=",
            "access_key=",
            "assertion=",
            "hmac=",
            "otp=",
            "x-amz-credential=",
        ],
        find: Find::At(query),
        check: |value| value.len() >= 4,
        found: &["/b?sv=1&sig=«<b20>%3D»&se=2", "https://h/?access_token=«abcd»#x", "?X-Amz-Signature=«<h64>»"],
        kept: &["sig=SIGTERM", "/?design=flat", "?token=null"],
    },
    Rule {
        id: "query-key",
        class: Class::QuerySecret,
        keywords: &["code=", "key=", "auth=", "sid=", "session="],
        find: Find::At(query),
        check: |value| value.len() >= 16 && tokenish(value),
        found: &["/api/f?code=«<w54>==»", "?key=«<w32>»&b"],
        kept: &["?code=404", "?key=name", "?sort_key=created"],
    },
    Rule {
        id: "password",
        class: Class::Password,
        keywords: &[
            "password",
            "passwd",
            "passphrase",
            "pwd",
            "passcode",
            "secret",
            "api_key",
            "apikey",
            "api-key",
            "api key",
            "access_key",
            "accesskey",
            "access-key",
            "private_key",
            "privatekey",
            "private-key",
            "secretkey",
            "clientsecret",
            "signing_key",
            "signing-key",
            "signingkey",
            "encryption_key",
            "encryption-key",
            "encryptionkey",
            "master_key",
            "identified by",
        ],
        find: Find::At(password),
        check: any,
        found: &[
            "password=«hunter2», next",
            "PASSWORD: «hunter2»",
            "{\"password\":\"«a, b} \\\" c»\",\"x\":1}",
            "{\\\"db_password\\\": \\\"«p»\\\"}",
            "password => '«p1»'",
            "--password «hunter2» --host x",
            "<password>«hunter2»</password>",
            "Server=x;Password=«pw»;Database=y",
            "client_secret=«abc»&grant=x",
            "connect(pwd=«pw1») at x",
            "apiKey: «<h32>»",
            "password%3D«hunter2»%26x",
            "x-api-key: «<w20>»",
        ],
        kept: &[
            "password is required",
            "password: required",
            "password: must be at least 8 characters",
            "Password: too short",
            "password=null",
            "password=***",
            "password=${DB_PASSWORD}",
            "\"password\":\"[redacted:password]\"",
            "PasswordError: x",
            "password_reset: x",
            "secretary: Bob",
            "token_secret_name=db-credentials",
            "password == other",
            "passwordless: yes",
        ],
    },
    Rule {
        id: "pass",
        class: Class::Password,
        keywords: &["pass"],
        find: Find::At(whole_word),
        check: any,
        found: &["db_pass=«hunter2»", "pass: «x1»", "userPass=«hunter2»"],
        kept: &["bypass=yes", "passed: 3", "compass: north"],
    },
    Rule {
        id: "token-value",
        class: Class::Secret,
        keywords: &[
            "token",
            "auth",
            "credential",
            "credentials",
            "session",
            "sessionid",
            "session_id",
            "session-id",
            "sessid",
            "jsessionid",
            "cred",
        ],
        find: Find::At(password),
        check: tokenish,
        found: &["token=«<w16>»)", "\"refresh_token\": \"«<w16>»\"", "JSESSIONID=«<u20>»;"],
        kept: &[
            "Unexpected token < in JSON",
            "Unexpected token: foo",
            "token: 1",
            "max_tokens=100",
            "tokenizer=abc12345",
            "author: John2024x",
            "token_type=bearer12",
        ],
    },
    Rule {
        id: "key-value",
        class: Class::Secret,
        keywords: &["key", "signature", "salt"],
        find: Find::At(whole_word),
        check: high_entropy,
        found: &["key=«<w32>»", "signature: «<b43>=»", "\"subscription-key\":\"«<w32>»\""],
        kept: &[
            "key=value",
            "monkey=<w32>",
            "cache key: <h40>",
            "key=123e4567-e89b-12d3-a456-426614174000",
            "public_key=<w32>",
            "key=assets/images/header/Logo2x",
        ],
    },
    Rule {
        id: "card-number",
        class: Class::Card,
        keywords: &[],
        find: Find::Shape(card_number),
        check: any,
        found: &[
            "card «4111 1111 1111 1111» declined",
            "«4111-1111-1111-1111»,",
            "pan=«378282246310005»;",
            "{\"n\":«5555555555554444»}",
        ],
        kept: &["4111 1111 1111 1112", "1.4111111111111111", "id 41111111111111110000", "1700000000000000000"],
    },
    Rule {
        id: "iban",
        class: Class::Iban,
        keywords: &[],
        find: Find::Shape(iban_number),
        check: any,
        found: &["to «DE89 3704 0044 0532 0130 00» failed", "(«GB29NWBK60161331926819»)"],
        kept: &["DE89 3704 0044 0532 0130 01", "AB12 3456"],
    },
    Rule {
        id: "ssn",
        class: Class::Ssn,
        keywords: &["ssn", "social security", "social_security", "socialsecurity"],
        find: Find::At(ssn_near),
        check: any,
        found: &["ssn: «219-09-9999» unknown", "Social Security number «219099999»."],
        kept: &["ssn 000-12-3456", "lesson 219-09", "219-09-9999"],
    },
    Rule {
        id: "email",
        class: Class::Email,
        keywords: &["@", "%40"],
        find: Find::At(email),
        check: any,
        found: &["user «jane.doe+x@mail.example.com» not found", "<«a@b.io»>", "u=«jane%40example.com»&x", "mailto:«a@b.io»."],
        kept: &[
            "node_modules/@scope/pkg/index.js",
            "lodash@4.17.21",
            "react-dom@18.2.0-next.abc",
            "handler@app.js:10:3",
            "user@localhost",
            "git@github.com:org/repo",
            "ssh://deploy@host.example.com/x",
        ],
    },
    Rule {
        id: "ip-address",
        class: Class::Ip,
        keywords: &[],
        find: Find::Shape(address),
        check: any,
        found: &[
            "connect to «203.0.113.5»:443 refused",
            "(«203.0.113.5»).",
            "http://«198.51.100.7»/x",
            "from «2001:db8::8a2e:370:7334»,",
            "[«2001:db8::1»]:80",
            "host.example.com/«93.184.216.34»:443",
        ],
        kept: &[
            "127.0.0.1:80",
            "10.1.2.3",
            "192.168.1.1",
            "0.0.0.0",
            "255.255.255.0",
            "version 1.2.3.4",
            "Version=4.0.0.0, Culture=neutral",
            "Chrome/100.0.0.0 Safari",
            "v1.2.3.4",
            "1.2.3.4.5",
            "std::io::Error",
            "abc::def",
            "12:34:56",
            "00:1a:2b:3c:4d:5e",
            "::1",
            "fe80::1",
            "foo-1.2.3.4.jar",
        ],
    },
];

/// Heads of a few letters also begin identifiers made of words: the body must be noise.
fn entropy_of_body(token: &str) -> bool {
    let words = token.split(['-', '_', '.']).filter(|part| part.bytes().all(|byte| byte.is_ascii_lowercase())).count();
    words <= 2 && validate::entropy(token) >= 3.4
}
