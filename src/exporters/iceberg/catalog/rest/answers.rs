//! What an answer of a REST catalog means: the table "Answers and actions" of docs/exactly-once.md. Pure.

use std::fmt;
use std::time::Duration;

use crate::exporters::iceberg::cause::{Cause, Said};
use crate::exporters::iceberg::committer::{Answer, CatalogError};

/// Anything but a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The catalog's own answer, or that of something before it.
    Status {
        status: u16,
        /// The protocol's error type, for example `CommitFailedException`; empty if it gave none.
        kind: String,
        message: String,
        /// It came as the protocol's error object, so it is the catalog that speaks.
        spoken: bool,
        retry_after: Option<Duration>,
    },
    /// No answer, or none that can be read: nobody knows whether the request was carried out.
    Broken(Said),
}

impl Failure {
    /// What it means for a commit. Only the next look says whether it was applied, whatever the answer.
    pub(super) fn of_commit(self) -> Answer {
        let why = self.to_string();
        let Failure::Status { status, kind, message, spoken, retry_after } = self else { return Answer::Unknown(why) };
        match status {
            409 => Answer::Conflict,
            400 if kind.contains("ConcurrentUpdateError") || message.contains("ConcurrentUpdateError") => Answer::Conflict,
            // The head was another one when it was checked, in the words of Apache's library.
            400 | 500 if message.contains("sequence number") && message.contains("older") => Answer::Conflict,
            429 => Answer::TooMany { retry_after },
            503 if retry_after.is_some() => Answer::TooMany { retry_after },
            401 | 403 | 419 => Answer::Denied(why),
            400 if message.contains("timestamp") && message.contains("before") => {
                Answer::Refused(format!("{why}; the clock of this machine is more than a minute behind: set it right"))
            }
            // Something before the catalog may say so for a while: an ingress that is renewed.
            400 | 404 | 405 | 406 | 413 | 415 | 422 if spoken => Answer::Refused(why),
            _ => Answer::Unknown(why),
        }
    }

    /// What it means for a look, or for making a table.
    pub(super) fn of_look(self) -> CatalogError {
        let why = self.to_string();
        match self {
            Failure::Status { status: status @ (401 | 403 | 419), .. } => {
                CatalogError::Denied(Said::new(why, Cause::Status(status)))
            }
            Failure::Status { status: 429, retry_after, .. } => CatalogError::TooMany { retry_after, why },
            Failure::Status { status: 503, retry_after: Some(wait), .. } => {
                CatalogError::TooMany { retry_after: Some(wait), why }
            }
            Failure::Status { status, .. } => CatalogError::Unreachable(Said::new(why, Cause::Status(status))),
            Failure::Broken(said) => CatalogError::Unreachable(said),
        }
    }

    /// The catalog itself says that there is no such table or namespace; a 404 of something before it says nothing.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Failure::Status { status: 404, spoken: true, .. })
    }

    /// Somebody else has made it. R2 says 409 to properties that it does not take, too.
    pub(super) fn is_there_already(&self) -> bool {
        matches!(self, Failure::Status { status: 409, kind, .. } if kind.is_empty() || kind.contains("Exist"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Broken(said) => said.fmt(f),
            Failure::Status { status, kind, message, .. } => {
                write!(f, "status {status}")?;
                if !kind.is_empty() {
                    write!(f, " {kind}")?;
                }
                if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, kind: &str, message: &str, retry_after: Option<u64>) -> Failure {
        let retry_after = retry_after.map(Duration::from_secs);
        Failure::Status { status, kind: kind.to_owned(), message: message.to_owned(), spoken: !kind.is_empty(), retry_after }
    }

    #[test]
    fn every_answer_to_a_commit_has_its_action() {
        let minute = Some(Duration::from_mins(1));
        let old = "Cannot add snapshot with sequence number 3 older than last sequence number 5";
        for (failure, expected) in [
            (status(409, "CommitFailedException", "", None), "Conflict"),
            (status(409, "", "", None), "Conflict"),
            (status(400, "ConcurrentUpdateError", "", None), "Conflict"),
            (status(400, "ValidationException", old, None), "Conflict"),
            (status(500, "", old, None), "Conflict"),
            (status(429, "TooManyRequestsException", "", Some(60)), "TooMany"),
            (status(503, "", "", Some(60)), "TooMany"),
            (status(401, "", "Unauthorized", None), "Denied"),
            (status(403, "", "Forbidden", None), "Denied"),
            (status(400, "BadRequestException", "no such field", None), "Refused"),
            (status(404, "NoSuchTableException", "", None), "Refused"),
            (status(404, "", "default backend - 404", None), "Unknown"),
            (status(400, "", "<html>", None), "Unknown"),
            (status(413, "", "", None), "Unknown"),
            (status(500, "", "oops", None), "Unknown"),
            (status(502, "", "", None), "Unknown"),
            (status(503, "", "", None), "Unknown"),
            (status(504, "", "", None), "Unknown"),
            (status(307, "", "", None), "Unknown"),
            (Failure::Broken("connection reset".into()), "Unknown"),
        ] {
            let answer = failure.clone().of_commit();
            assert!(format!("{answer:?}").starts_with(expected), "{failure:?}: {answer:?}");
            if let Answer::TooMany { retry_after } = answer {
                assert_eq!(retry_after, minute);
            }
        }
    }

    #[test]
    fn a_clock_that_is_behind_is_named() {
        let said = "Invalid snapshot timestamp 5: before last snapshot timestamp 9";
        let Answer::Refused(why) = status(400, "ValidationException", said, None).of_commit() else { panic!("refused") };
        assert!(why.contains("clock of this machine"), "{why}");
    }

    #[test]
    fn every_answer_to_a_look_has_its_action() {
        for (failure, expected) in [
            (status(401, "", "Unauthorized", None), "Denied"),
            (status(403, "NotAuthorizedException", "", None), "Denied"),
            (status(429, "", "", Some(60)), "TooMany"),
            (status(500, "", "", None), "Unreachable"),
            (status(404, "", "<html>", None), "Unreachable"),
            (Failure::Broken("".into()), "Unreachable"),
        ] {
            let error = failure.clone().of_look();
            assert!(format!("{error:?}").starts_with(expected), "{failure:?}: {error:?}");
        }
    }

    #[test]
    fn only_the_catalog_itself_says_that_a_table_is_missing() {
        assert!(status(404, "NoSuchTableException", "", None).is_missing());
        assert!(!status(404, "", "no such route", None).is_missing());
    }

    #[test]
    fn only_what_exists_is_there_already() {
        assert!(status(409, "AlreadyExistsException", "", None).is_there_already());
        assert!(status(409, "NamespaceAlreadyExistsException", "", None).is_there_already());
        assert!(!status(409, "FailedToSetProperties", "", None).is_there_already());
    }
}
