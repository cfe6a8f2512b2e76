//! Secrets of every class and addresses, made by a seeded generator, so that none stands in this tree; and the search for what is left of them.

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// A class, and a phrase as a sender writes it; what stands between `«` and `»` may be found nowhere. `<w36>` stands for 36 generated
/// characters: `w` letters and digits, `u` upper-case letters and digits, `l` with `_` and `-`, `b` base64, `h` hexadecimal, `d` digits.
pub const PHRASES: &[(&str, &str)] = &[
    ("aws-key", "The key «AKIA<u16>» is inactive"),
    ("aws-key", "aws_secret_access_key = «<b40>»"),
    ("github-token", "bad credentials («ghp_<w36>»)"),
    ("github-token", "cannot push with «github_pat_<w22>_<w59>»: denied"),
    ("gitlab-token", "remote: «glpat-<w20>» denied"),
    ("slack-token", "invalid_auth «xoxb-<d12>-<d12>-<w24>»"),
    ("slack-token", "POST https://hooks.slack.com/services/«T<u8>/B<u8>/<w24>» 404"),
    ("stripe-key", "Invalid API Key: «sk_live_<w24>»"),
    ("google-key", "no such key [«AIza<w35>»]"),
    ("npm-token", "npm ERR! 401 «npm_<w36>»,"),
    ("pypi-token", "upload with «pypi-AgEIcHlwaS5vcmc<l80>» failed"),
    ("sendgrid-key", "mail: «SG.<w22>.<w43>»"),
    ("twilio-key", "sid «SK<h32>»,"),
    ("openai-key", "Incorrect key provided: «sk-proj-<w60>»."),
    ("anthropic-key", "x «sk-ant-api03-<w80>»."),
    ("vault-token", "permission denied («hvs.<w90>»)"),
    ("cloudflare-token", "10000: «cfut_<w48>»"),
    ("azure-key", "AccountName=x;AccountKey=«<b86>»==;EndpointSuffix=y"),
    ("service-token", "token was «hf_<w34>»,"),
    ("jwt", "token «<jwt>» expired"),
    ("private-key", "-----BEGIN RSA PRIVATE KEY-----\n<b64>\n«<b64>»\n-----END RSA PRIVATE KEY-----"),
    ("authorization", "Authorization: Bearer «<w24>»"),
    ("cookie", "Cookie: «sid=<w20>»; theme=dark"),
    ("url-password", "postgres://app:«Zx9<w12>»@db.example.com:5432/x"),
    ("query-secret", "GET /b?sv=1&sig=«<w30>»&se=2"),
    ("password", "password=«Zx9<w12>», next"),
    ("secret", "refresh_token: «<w32>»"),
    ("card", "card «<card>» declined"),
    ("iban", "to «<iban>» failed"),
    ("ssn", "ssn: «219-09-<d4>» unknown"),
    ("email", "user «jane.<w10>@example.com» not found"),
    ("ip", "connect to «<v4>»:443 refused"),
    ("ip", "from «<v6>» refused"),
    ("github-token", "«ghp_<w36>»"),
    ("email", "«jane.<w10>@example.com»"),
    ("ip", "«<v4>»"),
    ("ip", "«<v6>»"),
    ("iban", "«<iban>»"),
    ("phone", "call «+49 30 <d7>» now"),
];

/// What was planted where.
pub struct Planted {
    seed: u64,
    phrase: usize,
    needles: Vec<(String, String)>,
}

impl Planted {
    pub fn new() -> Planted {
        Planted { seed: 7, phrase: 0, needles: Vec::new() }
    }

    /// The phrases that follow are of this kind.
    pub fn plant(&mut self, phrase: usize) {
        self.phrase = phrase;
    }

    /// A phrase with a secret of its own, for one place.
    pub fn text(&mut self, place: &str) -> String {
        let (class, template) = PHRASES[self.phrase];
        let filled = self.fill(template);
        let (before, rest) = filled.split_once('«').unwrap();
        let (secret, after) = rest.split_once('»').unwrap();
        self.needles.push((secret.to_owned(), format!("{class} in {place}")));
        format!("{before}{secret}{after}")
    }

    /// A phrase that stands in bytes; encoded it is as readable.
    pub fn bytes(&mut self, place: &str) -> Vec<u8> {
        let text = self.text(place);
        self.needles.push((STANDARD.encode(&text), format!("{} in base64 of {place}", PHRASES[self.phrase].0)));
        text.into_bytes()
    }

    /// An address of a client.
    pub fn address(&mut self, place: &str) -> String {
        let address = self.fill("<v4>");
        self.needles.push((address.clone(), format!("address in {place}")));
        address
    }

    /// Nothing more is planted.
    pub fn search(self) -> Search {
        let (needles, places): (Vec<String>, Vec<String>) = self.needles.into_iter().unzip();
        Search { automaton: AhoCorasick::new(needles).unwrap(), places }
    }

    fn below(&mut self, count: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap() % count
    }

    fn noise(&mut self, set: &str, count: usize) -> String {
        const ALNUM: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let (alphabet, first) = match set {
            "u" => (ALNUM[..36].to_owned(), "7Q"),
            "l" => (format!("{ALNUM}_-"), "7Qk"),
            "b" => (format!("{ALNUM}+/"), "7Qk"),
            "h" => ("0123456789abcdef".to_owned(), "7c"),
            "d" => ("0123456789".to_owned(), "7"),
            _ => (ALNUM.to_owned(), "7Qk"),
        };
        let mut text = first.to_owned();
        while text.len() < count {
            text.push(char::from(alphabet.as_bytes()[self.below(alphabet.len())]));
        }
        text.trim_end_matches(['_', '-', '+', '/']).to_owned()
            + &"Z".repeat(text.len() - text.trim_end_matches(['_', '-', '+', '/']).len())
    }

    fn fill(&mut self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, inside)) = rest.split_once('<') {
            let (name, after) = inside.split_once('>').unwrap();
            let made = match name {
                "jwt" => {
                    let (header, payload) =
                        (URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(self.noise("w", 30)));
                    format!("{header}.{payload}.{}", self.noise("w", 43))
                }
                "card" => self.card(),
                "iban" => self.iban(),
                "v4" => format!("93.{}.{}.{}", 100 + self.below(100), 100 + self.below(100), 100 + self.below(100)),
                "v6" => {
                    format!("2001:db8:{:x}:{:x}::{:x}", 4096 + self.below(4096), 4096 + self.below(4096), 4096 + self.below(4096))
                }
                noise => self.noise(&noise[..1], noise[1..].parse().unwrap()),
            };
            out = out + before + &made;
            rest = after;
        }
        out + rest
    }

    /// A number with an issuer and Luhn's sum.
    fn card(&mut self) -> String {
        let body = format!("4539{}", self.noise("d", 11));
        let sum: u32 = body.bytes().rev().enumerate().fold(0, |sum, (index, digit)| {
            let value = u32::from(digit - b'0') << ((index + 1) % 2);
            sum + value / 10 + value % 10
        });
        format!("{body}{}", (10 - sum % 10) % 10)
    }

    /// A German one, with its check digits (ISO 13616).
    fn iban(&mut self) -> String {
        let account = self.noise("d", 18);
        let checked: u128 = format!("{account}131400").parse().unwrap();
        format!("DE{:02}{account}", 98 - checked % 97)
    }
}

/// The search for all that was planted.
pub struct Search {
    automaton: AhoCorasick,
    places: Vec<String>,
}

impl Search {
    /// Panics with what of the planted stands in some bytes.
    pub fn assert_none_in(&self, what: &str, bytes: &[u8]) {
        let mut found: Vec<String> = Vec::new();
        for hit in self.automaton.find_iter(bytes).take(1000) {
            let around = &bytes[hit.start().saturating_sub(60)..(hit.end() + 20).min(bytes.len())];
            let around = String::from_utf8_lossy(around).replace(['\n', '\0'], " ");
            found.push(format!("{}: …{around}…", self.places[hit.pattern().as_usize()]));
        }
        found.sort();
        found.dedup();
        assert!(found.is_empty(), "{what} holds {} planted values:\n{}", found.len(), found[..found.len().min(60)].join("\n"));
    }
}
