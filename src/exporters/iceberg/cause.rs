//! What kind of thing went wrong with a catalog or its storage: read from statuses, codes and kinds of errors, never from their words. Pure.
//! `floe check` chooses its advice by it.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// A failure in words, and its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub text: String,
    pub cause: Cause,
}

/// The kind of a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    #[default]
    Unknown,
    /// A file of this machine that the configuration names.
    Local,
    /// No connection: refused, no such host, no way there.
    Nobody,
    /// No answer in time.
    Silent,
    /// The connection ended before an answer, or what came is no HTTP.
    Broke,
    /// What listens there speaks no TLS.
    NoTls,
    /// The certificate there is not trusted.
    Untrusted,
    /// The server ends the handshake: it wants another certificate, or another version.
    TlsRefused,
    /// The catalog's, or of what stands before it; no success.
    Status(u16),
    /// A success with something else in it than a catalog's answer.
    NoCatalog,
    Store(Store),
}

/// What a store of objects says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    NoBucket,
    Skewed,
    WrongSecret,
    UnknownKey,
    Expired,
    Refused,
    /// There are no keys to sign with.
    NoKeys,
    /// It answers, but not as S3 does.
    NoStore,
}

impl Said {
    pub fn new(text: impl Into<String>, cause: Cause) -> Said {
        Said { text: text.into(), cause }
    }
}

impl From<String> for Said {
    fn from(text: String) -> Said {
        Said::new(text, Cause::Unknown)
    }
}

impl From<&str> for Said {
    fn from(text: &str) -> Said {
        text.to_owned().into()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Cause {
    /// Of an error and what caused it: the innermost that tells something counts.
    pub fn of(error: &(dyn Error + 'static)) -> Cause {
        let mut found = Cause::Unknown;
        let mut next = Some(error);
        while let Some(error) = next {
            found = match (one(error), found) {
                (Cause::Unknown, found) => found,
                // A connection that was not made in time.
                (Cause::Silent, Cause::Nobody) => Cause::Nobody,
                (one, _) => one,
            };
            // Of an error that only wraps another the source is the source of that one.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
        }
        found
    }
}

fn one(error: &(dyn Error + 'static)) -> Cause {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return of_io(error.kind());
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return match error {
            rustls::Error::InvalidCertificate(_) => Cause::Untrusted,
            rustls::Error::InvalidMessage(_) => Cause::NoTls,
            rustls::Error::AlertReceived(_) => Cause::TlsRefused,
            _ => Cause::Unknown,
        };
    }
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return match (error.is_connect(), error.is_timeout()) {
            (true, _) => Cause::Nobody,
            (false, true) => Cause::Silent,
            (false, false) => Cause::Unknown,
        };
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        let broke = error.is_parse() || error.is_incomplete_message() || error.is_closed();
        return if broke { Cause::Broke } else { Cause::Unknown };
    }
    error.downcast_ref::<opendal::Error>().map_or(Cause::Unknown, of_store)
}

fn of_io(kind: ErrorKind) -> Cause {
    match kind {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AddrNotAvailable => Cause::Nobody,
        ErrorKind::TimedOut => Cause::Silent,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            Cause::Broke
        }
        _ => Cause::Unknown,
    }
}

fn of_store(error: &opendal::Error) -> Cause {
    // The library's own words for what it was doing, whole.
    match error.message() {
        "signing http request" => return Cause::Store(Store::NoKeys),
        "send http request" => return Cause::Nobody,
        _ => {}
    }
    match (code(error.message()), error.kind()) {
        (Some("NoSuchBucket"), _) => Cause::Store(Store::NoBucket),
        (Some("RequestTimeTooSkewed"), _) => Cause::Store(Store::Skewed),
        (Some("SignatureDoesNotMatch"), _) => Cause::Store(Store::WrongSecret),
        (Some("InvalidAccessKeyId"), _) => Cause::Store(Store::UnknownKey),
        (Some("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired"), _) => Cause::Store(Store::Expired),
        (_, opendal::ErrorKind::PermissionDenied) => Cause::Store(Store::Refused),
        // An answer, as nothing caused it; with a code it would be S3's.
        (None, opendal::ErrorKind::Unexpected) if error.source().is_none() => Cause::Store(Store::NoStore),
        _ => Cause::Unknown,
    }
}

/// S3's code in the message that the library makes of its answer.
fn code(message: &str) -> Option<&str> {
    message.strip_prefix("S3Error { code: \"")?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer, which says connection close, certificate and status 404")]
    struct Outer(#[source] io::Error);

    fn stored(kind: opendal::ErrorKind, message: &str) -> Cause {
        let error = iceberg::Error::new(iceberg::ErrorKind::Unexpected, "cannot write s3://b/k");
        Cause::of(&error.with_source(opendal::Error::new(kind, message)))
    }

    #[test]
    fn the_innermost_kind_counts_and_no_word() {
        let check = |error: io::Error, expected| assert_eq!(Cause::of(&Outer(error)), expected);
        check(ErrorKind::ConnectionRefused.into(), Cause::Nobody);
        check(ErrorKind::TimedOut.into(), Cause::Silent);
        check(ErrorKind::UnexpectedEof.into(), Cause::Broke);
        check(io::Error::other("connect"), Cause::Unknown);
        let tls = |error: rustls::Error| io::Error::new(ErrorKind::InvalidData, error);
        check(tls(rustls::CertificateError::UnknownIssuer.into()), Cause::Untrusted);
        check(tls(rustls::InvalidMessage::InvalidContentType.into()), Cause::NoTls);
        check(tls(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired)), Cause::TlsRefused);
    }

    #[test]
    fn a_store_is_told_by_its_code() {
        use opendal::ErrorKind::{NotFound, PermissionDenied, Unexpected};
        let of = |code: &str| format!("S3Error {{ code: \"{code}\", message: \"AccessDenied\" }}");
        for (kind, message, expected) in [
            (NotFound, of("NoSuchBucket"), Store::NoBucket),
            (PermissionDenied, of("RequestTimeTooSkewed"), Store::Skewed),
            (PermissionDenied, of("SignatureDoesNotMatch"), Store::WrongSecret),
            (PermissionDenied, of("InvalidAccessKeyId"), Store::UnknownKey),
            (Unexpected, of("ExpiredToken"), Store::Expired),
            (PermissionDenied, of("AccessDenied"), Store::Refused),
            (PermissionDenied, String::new(), Store::Refused),
            (Unexpected, "signing http request".to_owned(), Store::NoKeys),
            (Unexpected, "<html>NoSuchBucket</html>".to_owned(), Store::NoStore),
        ] {
            assert_eq!(stored(kind, &message), Cause::Store(expected), "{message}");
        }
        assert_eq!(stored(Unexpected, &of("InternalError")), Cause::Unknown);
    }
}
