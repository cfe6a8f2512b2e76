//! How severe a log is: by its number, else by its text.

use crate::signals::LogRecord;

/// As far as the mapping needs it. The names are those of the short names of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Severity {
    /// `None` where neither number nor text tells.
    pub fn of(log: &LogRecord<'_>) -> Option<Severity> {
        match log.severity {
            1..=4 => Some(Severity::Trace),
            5..=8 => Some(Severity::Debug),
            9..=12 => Some(Severity::Info),
            13..=16 => Some(Severity::Warn),
            17..=20 => Some(Severity::Error),
            21.. => Some(Severity::Fatal),
            _ => Severity::from_text(&log.severity_text),
        }
    }

    /// Reads the names that loggers use, in any case, with or without the specification's step (`ERROR2`).
    fn from_text(text: &str) -> Option<Severity> {
        const NAMES: [(Severity, &[&str]); 6] = [
            (Severity::Trace, &["trace", "finest", "verbose"]),
            (Severity::Debug, &["debug", "fine", "finer"]),
            (Severity::Info, &["info", "information", "informational", "log", "notice"]),
            (Severity::Warn, &["warn", "warning"]),
            (Severity::Error, &["error", "err", "severe"]),
            (Severity::Fatal, &["fatal", "critical", "crit", "alert", "emerg", "emergency", "panic"]),
        ];
        let name = text.trim().trim_end_matches(['2', '3', '4']);
        NAMES
            .into_iter()
            .find(|(_, names)| names.iter().any(|known| name.eq_ignore_ascii_case(known)))
            .map(|(severity, _)| severity)
    }

    /// 17 and above.
    pub fn is_error(self) -> bool {
        matches!(self, Severity::Error | Severity::Fatal)
    }

    pub fn name(self) -> &'static str {
        match self {
            Severity::Trace => "TRACE",
            Severity::Debug => "DEBUG",
            Severity::Info => "INFO",
            Severity::Warn => "WARN",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}
