//! `floe check`: tries what the exporter will need, in order, and says in plain words what is wrong and what to do.

use std::time::Duration;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use iceberg::TableIdent;
use iceberg::io::FileIO;
use uuid::Uuid;

use super::catalog::{self, Connection, brief};
use super::cause::{Cause, Said, Store};
use super::committer::CatalogError;
use super::config::{CatalogConfig, IcebergConfig};
use super::schema::{self, Target};
use crate::tables::{Schemas, Table};

/// Apache's library refuses a snapshot that is more than a minute older than the last one.
const CLOCK_TOLERANCE: i64 = 30;
/// Each step has so long; after a step of the catalog that had no answer the others are not tried.
const STEP: Duration = Duration::from_secs(20);
/// A step that takes longer is spoken of.
const QUIET: Duration = Duration::from_secs(3);

/// One thing that was to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With what was found.
    Well(String),
    /// With the reason, and what would let it be tried.
    NotTried(String),
    /// What is wrong, and what to do.
    Wrong(String),
}

/// What is told while it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    Found(Finding),
    /// This takes a while, at most so long.
    Waiting {
        what: String,
        most: Duration,
    },
}

/// Connects as configured, looks at the tables, and writes, reads back and removes a probe: within a minute and a half. Makes nothing but the
/// files of a local catalog, and with `create` the tables that are not there. `schemas` are those of the rows, with the columns that the
/// configuration adds.
pub async fn check(config: &IcebergConfig, schemas: &Schemas, create: bool, tell: impl FnMut(Progress)) {
    let mut check = Check { tell };
    if let Some(contradiction) = config.contradiction() {
        return check.found("settings", Outcome::Wrong(contradiction));
    }
    let connecting = async { catalog::connect(config).await.map_err(said) };
    let connection = match check.within("catalog", connecting).await {
        Ok(connection) => connection,
        Err(error) => return check.found("catalog", Outcome::Wrong(advise(config, &error))),
    };
    let clear = if config.catalog.sends_in_clear() { "; the token goes there unencrypted: use https://" } else { "" };
    check.found("catalog", Outcome::Well(format!("answers{clear}")));
    check.found("clock", clock(connection.clock_ahead()));
    let mut storage = connection.warehouse();
    let mut silent = false;
    for table in Table::ALL {
        let ident = TableIdent::new(catalog::namespace(config), table.name().to_owned());
        let what = ident.to_string();
        if silent {
            check.found(&what, Outcome::NotTried("the catalog answers no more".to_owned()));
            continue;
        }
        let looking = look(connection.as_ref(), create, table, &schemas[table.index()], &ident, &mut storage);
        let outcome = check.within(&what, looking).await.unwrap_or_else(|error| {
            silent = error.cause == Cause::Silent;
            Outcome::Wrong(advise(config, &error))
        });
        check.found(&what, outcome);
    }
    let outcome = match storage {
        None => Outcome::NotTried(
            "the catalog names no place and no keys before there is a table; `floe check --create` makes the tables now"
                .to_owned(),
        ),
        Some((location, io)) => match check.within("storage", probe(&location, &io)).await {
            Ok(done) => Outcome::Well(done),
            Err(error) => Outcome::Wrong(advise(config, &error)),
        },
    };
    check.found("storage", outcome);
}

struct Check<F> {
    tell: F,
}

impl<F: FnMut(Progress)> Check<F> {
    fn found(&mut self, what: &str, outcome: Outcome) {
        (self.tell)(Progress::Found(Finding { what: what.to_owned(), outcome }));
    }

    async fn within<T>(&mut self, what: &str, step: impl Future<Output = Result<T, Said>>) -> Result<T, Said> {
        let mut step = std::pin::pin!(step);
        if let Ok(done) = tokio::time::timeout(QUIET, &mut step).await {
            return done;
        }
        (self.tell)(Progress::Waiting { what: what.to_owned(), most: STEP });
        let late = |_| Err(Said::new(format!("no answer within {} s", STEP.as_secs()), Cause::Silent));
        tokio::time::timeout(STEP.saturating_sub(QUIET), step).await.unwrap_or_else(late)
    }
}

/// What the error itself says, without whose error it is.
fn said(error: CatalogError) -> Said {
    match error {
        CatalogError::Unreachable(said) | CatalogError::Denied(said) => said,
        CatalogError::TooMany { why, .. } => Said::new(why, Cause::Status(429)),
        other => other.to_string().into(),
    }
}

async fn look(
    connection: &dyn Connection,
    create: bool,
    table: Table,
    rows: &SchemaRef,
    ident: &TableIdent,
    storage: &mut Option<(String, FileIO)>,
) -> Result<Outcome, Said> {
    let mut found = connection.load(ident).await.map_err(said)?;
    let mut made = "";
    if found.is_none() && create {
        let creation = schema::creation(table, rows).map_err(|error| Said::from(brief(&error)))?;
        connection.create(ident, creation).await.map_err(said)?;
        found = connection.load(ident).await.map_err(said)?;
        made = "; it was made now";
    }
    let Some(found) = found else {
        let why = "not there yet: the gateway makes it when it starts, or `floe check --create` now";
        return Ok(Outcome::NotTried(why.to_owned()));
    };
    *storage = Some((found.metadata().location().to_owned(), found.file_io().clone()));
    catalog::one_store(&found).await.map_err(said)?;
    let widened = schema::widened(table, rows, found.metadata()).map_err(Said::from)?;
    let own = table.schema();
    let rows = if widened.is_some() { &own } else { rows };
    let target = Target::of(table, rows, found.metadata(), found.file_io()).map_err(Said::from)?;
    *storage = Some((target.location.clone(), found.file_io().clone()));
    let added = if widened.is_some() { "; the gateway adds the columns of the configuration when it starts" } else { "" };
    Ok(Outcome::Well(format!("fits, at {}{made}{added}", target.location)))
}

/// Writes a few bytes beside the data files, reads them back and removes them.
async fn probe(location: &str, io: &FileIO) -> Result<String, Said> {
    let path = format!("{}/floe-probe-{}", location.trim_end_matches('/'), Uuid::new_v4());
    let content = Bytes::from_static(b"written by floe check; it may be removed");
    let said = |error: iceberg::Error| Said::new(brief(&error), Cause::of(&error));
    io.new_output(&path).map_err(said)?.write(content.clone()).await.map_err(said)?;
    let read = io.new_input(&path).map_err(said)?.read().await.map_err(said)?;
    io.delete(&path).await.map_err(said)?;
    if read != content {
        return Err(Said::new(format!("{path} was read with other bytes"), Cause::Store(Store::NoStore)));
    }
    Ok(format!("wrote, read and removed {path}"))
}

fn clock(ahead: i64) -> Outcome {
    if ahead.abs() <= CLOCK_TOLERANCE {
        return Outcome::Well(format!("within {} s of the catalog's", ahead.abs().max(1)));
    }
    let side = if ahead > 0 { "behind" } else { "ahead of" };
    Outcome::Wrong(format!("the clock of this machine is {} s {side} the catalog's: set it, for example with NTP", ahead.abs()))
}

/// What to do, and what was said.
fn advise(config: &IcebergConfig, said: &Said) -> String {
    match advice(matches!(config.catalog, CatalogConfig::R2(_)), said.cause) {
        Some(advice) => format!("{advice} ({said})"),
        None => said.text.clone(),
    }
}

fn advice(r2: bool, cause: Cause) -> Option<&'static str> {
    Some(match cause {
        // They name their file themselves.
        Cause::Unknown | Cause::Local => return None,
        Cause::Nobody => "nobody answers there: check the address, the port and whether this machine may reach it",
        Cause::Silent => "what is there takes the connection and does not answer: check the address, and whether it is well",
        Cause::Broke => {
            "what is there ends the connection without an answer: check the port, and whether it wants https:// in place of http://"
        }
        Cause::NoTls => "what is there speaks no TLS: check the port, and whether it wants http:// in place of https://",
        Cause::Untrusted => {
            "the certificate there is not trusted: name its authority in `catalog.tls.ca_file` (of a store, in SSL_CERT_FILE), or have it renewed"
        }
        Cause::TlsRefused => "the server ends the TLS handshake: check `catalog.tls.cert_file` and `key_file`, which it may want",
        Cause::NoCatalog => "what answers there is no Iceberg REST catalog: check `catalog.uri` (without /v1)",
        Cause::Status(status) => return of_status(r2, status),
        Cause::Store(store) => of_store(r2, store),
    })
}

fn of_status(r2: bool, status: u16) -> Option<&'static str> {
    Some(match status {
        300..=399 => "it sends elsewhere: put the address that it names into `catalog.uri`",
        400 if r2 => "the catalog does not take the request: check `catalog.account_id` and `catalog.bucket`",
        400 => "the catalog does not take the request: check `catalog.warehouse`",
        401 => {
            "the catalog does not take the token: check `catalog.token`, `catalog.token_file` or `catalog.oauth2`, and whether it has expired"
        }
        403 if r2 => "the token lacks Workers R2 Data Catalog Write",
        403 => "the token may not use this warehouse: give it read and write",
        404 if r2 => {
            "there is no catalog for this bucket: `npx wrangler r2 bucket catalog enable BUCKET`, and check `catalog.account_id`"
        }
        404 => "no such warehouse, or no REST catalog at this address: check `catalog.uri` (without /v1) and `catalog.warehouse`",
        419 => "the token has expired: give a new one",
        429 => "the catalog asks for fewer requests: try again in a minute",
        502..=504 => "what stands before the catalog does not reach it: try again, and see whether it runs",
        500..=599 => "the catalog has a fault of its own: see its log",
        _ => return None,
    })
}

fn of_store(r2: bool, store: Store) -> &'static str {
    match store {
        Store::Skewed => "the clock of this machine is wrong: set it, for example with NTP",
        Store::NoBucket => "the bucket does not exist: make it, or correct the warehouse of the catalog",
        Store::WrongSecret => "the secret key does not belong to the access key, or `storage.region` is another one",
        Store::UnknownKey => {
            "the storage does not know the access key: check `storage.access_key_id` and that `storage.endpoint` is the right server"
        }
        Store::Expired => "the keys of the storage have expired: give new ones",
        Store::Refused if r2 => "the token lacks Workers R2 Storage Bucket Item Write",
        Store::Refused => "the keys may not write there: give them read, write and delete on the location",
        Store::NoKeys => {
            "there are no keys for the storage: the catalog vends none, so set `storage.access_key_id` and `storage.secret_access_key`, or \
             AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        }
        Store::NoStore => "what answers there does not speak S3: check `storage.endpoint`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> IcebergConfig {
        serde_saphyr::from_str(yaml).expect("parses")
    }

    async fn findings(config: &IcebergConfig, create: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let tell = |told| {
            if let Progress::Found(finding) = told {
                findings.push(finding);
            }
        };
        check(config, &Table::ALL.map(Table::schema), create, tell).await;
        findings
    }

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        let rest = config("catalog: { type: rest, uri: \"http://h\" }");
        let r2 = config("catalog: { type: r2, account_id: a, bucket: b, token: t }");
        for (config, cause, advice) in [
            (&rest, Cause::Status(400), "catalog.warehouse"),
            (&rest, Cause::Status(404), "catalog.warehouse"),
            (&rest, Cause::Status(401), "catalog.token"),
            (&rest, Cause::Status(403), "may not use this warehouse"),
            (&rest, Cause::Status(419), "expired"),
            (&rest, Cause::Status(429), "fewer requests"),
            (&rest, Cause::Status(301), "elsewhere"),
            (&rest, Cause::Status(502), "stands before"),
            (&rest, Cause::Status(500), "its log"),
            (&rest, Cause::Nobody, "nobody answers"),
            (&rest, Cause::Silent, "does not answer"),
            (&rest, Cause::NoTls, "no TLS"),
            (&rest, Cause::Untrusted, "catalog.tls.ca_file"),
            (&rest, Cause::NoCatalog, "no Iceberg REST catalog"),
            (&rest, Cause::Store(Store::NoBucket), "bucket does not exist"),
            (&rest, Cause::Store(Store::Skewed), "clock"),
            (&rest, Cause::Store(Store::WrongSecret), "secret key"),
            (&rest, Cause::Store(Store::Refused), "may not write"),
            (&rest, Cause::Store(Store::NoKeys), "AWS_ACCESS_KEY_ID"),
            (&r2, Cause::Status(403), "Data Catalog Write"),
            (&r2, Cause::Store(Store::Refused), "Bucket Item Write"),
            (&r2, Cause::Status(404), "catalog enable"),
        ] {
            let line = advise(config, &Said::new("certificate: connection: close", cause));
            assert!(line.contains(advice) && line.ends_with("(certificate: connection: close)"), "{cause:?}: {line}");
        }
        assert_eq!(advise(&rest, &"status 404, certificate, connect".into()), "status 404, certificate, connect");
    }

    #[test]
    fn a_clock_that_is_off_is_named_with_its_side() {
        let wrong = |ahead: i64, side: &str| matches!(clock(ahead), Outcome::Wrong(why) if why.contains(side));
        assert!(matches!((clock(5), clock(-5)), (Outcome::Well(_), Outcome::Well(_))));
        assert!(wrong(90, "90 s behind") && wrong(-90, "90 s ahead of"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_local_warehouse_is_tried_and_left_as_it_was_unless_tables_are_wanted() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().display();
        let config = config(&format!("catalog: {{ uri: \"sqlite://{at}/c.db\", warehouse: {at}/warehouse }}"));
        let found = findings(&config, false).await;
        assert!(found.iter().all(|finding| !matches!(finding.outcome, Outcome::Wrong(_))), "{found:#?}");
        let not_tried = |found: &[Finding]| found.iter().filter(|one| matches!(one.outcome, Outcome::NotTried(_))).count();
        assert_eq!(not_tried(&found), 4, "{found:#?}");
        assert_eq!(std::fs::read_dir(directory.path().join("warehouse")).expect("there").count(), 0);
        let found = findings(&config, true).await;
        assert!(found.iter().all(|finding| matches!(finding.outcome, Outcome::Well(_))), "{found:#?}");
        assert!(found.iter().any(|finding| finding.what == "analytics.errors"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_catalog_that_does_not_answer_is_the_only_finding() {
        let found = findings(&config("catalog: { type: rest, uri: \"http://127.0.0.1:1\" }"), false).await;
        let [Finding { what, outcome: Outcome::Wrong(wrong) }] = found.as_slice() else { panic!("{found:#?}") };
        assert!(what == "catalog" && wrong.starts_with("nobody answers there"), "{wrong}");
    }

    /// A server that sends this to everybody and closes; what `floe check` says of it as a catalog.
    async fn told(scheme: &str, sent: &'static str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let uri = format!("{scheme}://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(sent.as_bytes()).await;
            }
        });
        let found = findings(&config(&format!("catalog: {{ type: rest, uri: \"{uri}\" }}")), false).await;
        match found.as_slice() {
            [Finding { outcome: Outcome::Wrong(wrong), .. }] => wrong.clone(),
            _ => panic!("{found:#?}"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_no_catalog_is_told_from_one_that_refuses() {
        for (scheme, sent, expected) in [
            ("http", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "no Iceberg REST catalog"),
            ("http", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n[1,2]", "no Iceberg REST catalog"),
            ("http", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>", "no Iceberg REST catalog"),
            (
                "http",
                "HTTP/1.1 301 Moved\r\nlocation: https://other/x?key=s3cret\r\ncontent-length: 0\r\n\r\n",
                "https://other/x",
            ),
            ("http", "HTTP/1.1 429 Slow\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "try again in a minute"),
            ("http", "no HTTP at all\r\n\r\n", "without an answer"),
            ("http", "", "without an answer"),
            ("https", "HTTP/1.1 400 Bad Request\r\n\r\n", "speaks no TLS"),
        ] {
            let wrong = told(scheme, sent).await;
            assert!(wrong.contains(expected) && !wrong.contains("s3cret"), "{sent:?}: {wrong}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_cannot_be_used_is_named_and_nobody_is_blamed() {
        let directory = tempfile::tempdir().expect("a directory");
        let empty = directory.path().join("empty");
        std::fs::write(&empty, "").expect("written");
        let (empty, gone) = (empty.display(), directory.path().join("gone"));
        let gone = gone.display();
        for (setting, expected) in [
            (format!("tls: {{ ca_file: {empty} }}"), format!("{empty}, found none")),
            (format!("tls: {{ ca_file: {gone} }}"), format!("cannot read {gone}")),
            (format!("token_file: {empty}"), format!("the token file {empty} is empty")),
            (format!("token_file: {gone}"), format!("cannot read the token file {gone}")),
        ] {
            let found =
                findings(&config(&format!("catalog: {{ type: rest, uri: \"http://127.0.0.1:1\", {setting} }}")), false).await;
            let [Finding { outcome: Outcome::Wrong(wrong), .. }] = found.as_slice() else { panic!("{found:#?}") };
            assert!(wrong.contains(&expected) && !wrong.contains("catalog"), "{wrong}");
        }
    }
}
