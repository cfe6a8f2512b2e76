//! AWS's signature, version 4: to check the one that came and to make another one for the store behind.

use hmac::{Hmac, Mac as _};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::super::proxy::Kept;

/// What an `Authorization` header says.
#[derive(Clone, Debug)]
pub struct Signed {
    pub key: String,
    pub region: String,
    date: String,
    headers: String,
    signature: String,
}

/// The parts of the header; `None` for a request without one.
pub fn read(headers: &HeaderMap) -> Option<Signed> {
    let value = headers.get("authorization")?.to_str().ok()?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let part = |name: &str| value.split(',').find_map(|part| part.trim().strip_prefix(name).map(str::to_owned));
    let credential = part("Credential=")?;
    let mut scope = credential.split('/');
    Some(Signed {
        key: scope.next()?.to_owned(),
        date: scope.next()?.to_owned(),
        region: scope.next()?.to_owned(),
        headers: part("SignedHeaders=")?,
        signature: part("Signature=")?,
    })
}

/// Whether the secret has made the signature.
pub fn is_right(kept: &Kept, signed: &Signed, secret: &str) -> bool {
    signature(kept, &signed.date, &signed.region, &signed.headers, secret) == signed.signature
}

/// Signs a request anew; its body is not covered.
pub fn sign(kept: &mut Kept, host: &str, region: &str, key: &str, secret: &str) {
    for name in ["authorization", "x-amz-security-token"] {
        kept.headers.remove(name);
    }
    kept.headers.insert("host", host.parse().unwrap());
    kept.headers.insert("x-amz-content-sha256", "UNSIGNED-PAYLOAD".parse().unwrap());
    let date = kept.headers["x-amz-date"].to_str().unwrap()[..8].to_owned();
    let headers = "host;x-amz-content-sha256;x-amz-date";
    let signature = signature(kept, &date, region, headers, secret);
    let value = format!(
        "AWS4-HMAC-SHA256 Credential={key}/{date}/{region}/s3/aws4_request, SignedHeaders={headers}, Signature={signature}"
    );
    kept.headers.insert("authorization", value.parse().unwrap());
}

fn signature(kept: &Kept, date: &str, region: &str, headers: &str, secret: &str) -> String {
    let value = |name: &str| kept.headers.get(name).map_or("", |value| value.to_str().unwrap().trim());
    let (path, query) = kept.path.split_once('?').unwrap_or((&kept.path, ""));
    let mut query: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    query.sort();
    let lines: Vec<String> = headers.split(';').map(|name| format!("{name}:{}\n", value(name))).collect();
    let lines = lines.concat();
    let canonical =
        format!("{}\n{path}\n{}\n{lines}\n{headers}\n{}", kept.method, query.join("&"), value("x-amz-content-sha256"));
    let scope = format!("{date}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", value("x-amz-date"), hex(&Sha256::digest(canonical)));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [date, region, "s3", "aws4_request", &text] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(part.as_bytes());
        key = mac.finalize().into_bytes().to_vec();
    }
    hex(&key)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
