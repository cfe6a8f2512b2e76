//! `floe check`: tries what the exporter will need, in order, and says in plain words what is wrong and what to do.

use arrow_schema::SchemaRef;
use bytes::Bytes;
use iceberg::TableIdent;
use iceberg::io::FileIO;
use uuid::Uuid;

use super::catalog::{self, Connection, brief};
use super::committer::CatalogError;
use super::config::{CatalogConfig, IcebergConfig};
use super::schema::{self, Target};
use crate::tables::{Schemas, Table};

/// Apache's library refuses a snapshot that is more than a minute older than the last one.
const CLOCK_TOLERANCE: i64 = 30;

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: String,
    /// What was found, or what is wrong and what to do.
    pub outcome: Result<String, String>,
}

/// Connects as configured, looks at the tables, and writes, reads back and removes a probe. Makes nothing but the files of a local catalog.
/// `schemas` are those of the rows, with the columns that the configuration adds.
pub async fn check(config: &IcebergConfig, schemas: &Schemas) -> Vec<Finding> {
    let finding = |what: &str, outcome| Finding { what: what.to_owned(), outcome };
    if let Some(contradiction) = config.contradiction() {
        return vec![finding("settings", Err(contradiction))];
    }
    let connection = match catalog::connect(config).await {
        Ok(connection) => connection,
        Err(error) => return vec![finding("catalog", Err(advise(config, &error.to_string())))],
    };
    let mut findings = vec![finding("catalog", Ok("answers".to_owned())), finding("clock", clock(connection.clock_ahead()))];
    let mut storage = connection.warehouse();
    for table in Table::ALL {
        let ident = TableIdent::new(catalog::namespace(config), table.name().to_owned());
        let outcome = look(connection.as_ref(), table, &schemas[table.index()], &ident, &mut storage).await;
        findings.push(finding(&ident.to_string(), outcome.map_err(|error| advise(config, &error))));
    }
    findings.push(match storage {
        None => finding("storage", Ok("not tried: the catalog names no place before there is a table".to_owned())),
        Some((location, io)) => finding("storage", probe(&location, &io).await.map_err(|error| advise(config, &error))),
    });
    findings
}

async fn look(
    connection: &dyn Connection,
    table: Table,
    rows: &SchemaRef,
    ident: &TableIdent,
    storage: &mut Option<(String, FileIO)>,
) -> Result<String, String> {
    let Some(found) = connection.load(ident).await.map_err(|error: CatalogError| error.to_string())? else {
        return Ok("not there yet: the gateway makes it when it starts".to_owned());
    };
    *storage = Some((found.metadata().location().to_owned(), found.file_io().clone()));
    catalog::one_store(&found).await.map_err(|error| error.to_string())?;
    let widened = schema::widened(table, rows, found.metadata()).map_err(|error| brief(&error))?;
    let own = table.schema();
    let target = Target::of(table, if widened.is_some() { &own } else { rows }, found.metadata(), found.file_io())?;
    *storage = Some((target.location.clone(), found.file_io().clone()));
    let added = if widened.is_some() { "; the gateway adds the columns of the configuration when it starts" } else { "" };
    Ok(format!("fits, at {}{added}", target.location))
}

/// Writes a few bytes beside the data files, reads them back and removes them.
async fn probe(location: &str, io: &FileIO) -> Result<String, String> {
    let path = format!("{}/floe-probe-{}", location.trim_end_matches('/'), Uuid::new_v4());
    let content = Bytes::from_static(b"written by floe check; it may be removed");
    let said = |error: iceberg::Error| brief(&error);
    io.new_output(&path).map_err(said)?.write(content.clone()).await.map_err(said)?;
    let read = io.new_input(&path).map_err(said)?.read().await.map_err(said)?;
    io.delete(&path).await.map_err(said)?;
    if read == content { Ok(format!("wrote, read and removed {path}")) } else { Err(format!("{path} was read with other bytes")) }
}

fn clock(ahead: i64) -> Result<String, String> {
    if ahead.abs() <= CLOCK_TOLERANCE {
        return Ok(format!("within {} s of the catalog's", ahead.abs().max(1)));
    }
    let side = if ahead > 0 { "behind" } else { "ahead of" };
    Err(format!("the clock of this machine is {} s {side} the catalog's: set it, for example with NTP", ahead.abs()))
}

/// What was said, and what to do about it.
fn advise(config: &IcebergConfig, said: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let r2 = matches!(config.catalog, CatalogConfig::R2(_));
    let advice = if has(&["RequestTimeTooSkewed"]) {
        "the clock of this machine is wrong: set it, for example with NTP"
    } else if has(&["NoSuchBucket"]) {
        "the bucket does not exist: make it, or correct the warehouse of the catalog"
    } else if has(&["SignatureDoesNotMatch"]) {
        "the secret key does not belong to the access key, or `storage.region` is another one"
    } else if has(&["InvalidAccessKeyId"]) {
        "the storage does not know the access key: check `storage.access_key_id` and that `storage.endpoint` is the right server"
    } else if has(&["PermissionDenied", "AccessDenied"]) && r2 {
        "the token lacks Workers R2 Storage Bucket Item Write"
    } else if has(&["PermissionDenied", "AccessDenied"]) {
        "the keys may not write there: give them read, write and delete on the location"
    } else if has(&["status 401"]) {
        "the catalog does not take the token: check `catalog.token` or `catalog.token_file`, and whether it has expired"
    } else if has(&["status 403"]) && r2 {
        "the token lacks Workers R2 Data Catalog Write"
    } else if has(&["status 403"]) {
        "the token may not use this warehouse: give it read and write"
    } else if has(&["status 404"]) && r2 {
        "there is no catalog for this bucket: `npx wrangler r2 bucket catalog enable BUCKET`, and check `catalog.account_id`"
    } else if has(&["status 404"]) {
        "no such warehouse, or no REST catalog at this address: check `catalog.uri` (without /v1) and `catalog.warehouse`"
    } else if has(&["certificate"]) {
        "the certificate there is not trusted: name its authority in `catalog.tls.ca_file` (of a store, in SSL_CERT_FILE), or have it renewed"
    } else if has(&["error sending request", "dns error", "connect"]) {
        "nobody answers there: check the address, the port and whether this machine may reach it"
    } else {
        return said.to_owned();
    };
    format!("{advice} ({said})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> IcebergConfig {
        serde_saphyr::from_str(yaml).expect("parses")
    }

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        let rest = config("catalog: { type: rest, uri: \"http://h\" }");
        let r2 = config("catalog: { type: r2, account_id: a, bucket: b, token: t }");
        for (config, said, advice) in [
            (&rest, "status 404: not found", "catalog.warehouse"),
            (&rest, "status 401: Unauthorized", "catalog.token"),
            (&rest, "status 403", "may not use this warehouse"),
            (&rest, "error sending request: connection refused", "nobody answers"),
            (&rest, "S3Error { code: \"NoSuchBucket\" }", "bucket does not exist"),
            (&rest, "S3Error { code: \"RequestTimeTooSkewed\" }", "clock"),
            (&rest, "PermissionDenied SignatureDoesNotMatch", "secret key"),
            (&rest, "PermissionDenied AccessDenied", "may not write"),
            (&r2, "status 403: Forbidden", "Data Catalog Write"),
            (&r2, "PermissionDenied AccessDenied", "Bucket Item Write"),
            (&r2, "status 404", "catalog enable"),
        ] {
            let line = advise(config, said);
            assert!(line.contains(advice) && line.contains(said), "{said}: {line}");
        }
        assert_eq!(advise(&rest, "something new"), "something new");
    }

    #[test]
    fn a_clock_that_is_off_is_named_with_its_side() {
        assert!(clock(5).is_ok() && clock(-5).is_ok());
        assert!(clock(90).expect_err("behind").contains("90 s behind"));
        assert!(clock(-90).expect_err("ahead").contains("90 s ahead of"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_local_warehouse_is_tried_and_left_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().display();
        let config = config(&format!("catalog: {{ uri: \"sqlite://{at}/c.db\", warehouse: {at}/warehouse }}"));
        let findings = check(&config, &Table::ALL.map(Table::schema)).await;
        assert!(findings.iter().all(|finding| finding.outcome.is_ok()), "{findings:#?}");
        assert!(findings.iter().any(|finding| finding.what == "analytics.errors"));
        assert_eq!(std::fs::read_dir(directory.path().join("warehouse")).expect("there").count(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_catalog_that_does_not_answer_is_the_only_finding() {
        let findings =
            check(&config("catalog: { type: rest, uri: \"http://127.0.0.1:1\" }"), &Table::ALL.map(Table::schema)).await;
        let [Finding { what, outcome: Err(wrong) }] = findings.as_slice() else { panic!("{findings:#?}") };
        assert!(what == "catalog" && wrong.starts_with("nobody answers there"), "{wrong}");
    }
}
