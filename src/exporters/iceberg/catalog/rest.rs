//! A catalog that speaks the Iceberg REST protocol: Apache's own, Nessie, Polaris, Cloudflare's.
//!
//! | file | what it holds |
//! |---|---|
//! | `client` | requests and answers over HTTP: token, time-outs, status, error, `Retry-After` |
//! | `oauth2` | tokens for an id and a secret |
//! | `answers` | what an answer means; pure |
//!
//! The client is floe's own, on the library's types: the library's knows 409 only, and shows neither `Retry-After` nor the error's type.

mod answers;
mod client;
mod oauth2;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use iceberg::io::FileIO;
use iceberg::spec::TableMetadataRef;
use iceberg::table::Table;
use iceberg::{Error, NamespaceIdent, Runtime, TableCreation, TableIdent, TableUpdate};
use iceberg_catalog_rest::{
    CommitTableRequest, CommitTableResponse, CreateNamespaceRequest, CreateTableRequest, LoadTableResult,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Change, Connection, brief};
use crate::config::Secret;
use crate::exporters::iceberg::committer::{Answer, CatalogError};
use crate::exporters::iceberg::config::{CatalogConfig, IcebergConfig, R2CatalogConfig, StaticKeys, Token};
use crate::exporters::iceberg::storage;
use crate::faults::{self, Point};
use answers::Failure;
use client::{Client, read_token};

#[derive(Debug)]
struct Rest {
    client: Client,
    config: IcebergConfig,
    /// What the catalog says of every table's storage; a table's own settings stand above it.
    properties: HashMap<String, String>,
}

/// Asks the catalog for its settings: the protocol's first request.
pub(super) async fn connect(config: &IcebergConfig) -> Result<Arc<dyn Connection>, CatalogError> {
    let settings = config.catalog.rest().ok_or_else(|| CatalogError::Unreachable("no REST catalog is configured".into()))?;
    let vended = config.storage.keys().is_none();
    let (client, properties) = Client::connect(settings, vended).await.map_err(Failure::of_look)?;
    Ok(Arc::new(Rest { client, config: config.clone(), properties }))
}

/// The S3 keys that R2 derives from a token: its id, and the SHA-256 of its value. `None` without `token_id`: the catalog vends keys.
///
/// # Errors
/// When the token's file cannot be read now: other keys are no substitute.
pub(in crate::exporters::iceberg) fn keys_of_token(r2: &R2CatalogConfig) -> Result<Option<StaticKeys>, CatalogError> {
    let (Some(id), Some(token)) = (r2.token_id.as_deref(), r2.rest.token.as_ref()) else { return Ok(None) };
    let token = match token {
        Token::Value(token) => token.clone(),
        Token::File(file) => read_token(file).map_err(Failure::of_look)?,
        Token::OAuth2(_) => return Ok(None),
    };
    let digest = Sha256::digest(token.expose());
    let secret = digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    Ok(Some(StaticKeys { access_key_id: Secret::new(id), secret_access_key: Secret::new(secret), session_token: None }))
}

impl Rest {
    fn table(&self, ident: &TableIdent, loaded: LoadTableResult) -> Result<Table, CatalogError> {
        let location = loaded.metadata.location().to_owned();
        let mut vended = self.properties.clone();
        vended.extend(loaded.config);
        // The most specific of the credentials that the location begins with.
        let credentials = loaded.storage_credentials.unwrap_or_default();
        let fitting = credentials.into_iter().filter(|credential| location.starts_with(&credential.prefix));
        if let Some(credential) = fitting.max_by_key(|credential| credential.prefix.len()) {
            vended.extend(credential.config);
        }
        let io = storage::of(&self.config, &location, &vended)?;
        let mut table =
            Table::builder().identifier(ident.clone()).file_io(io).metadata(loaded.metadata).runtime(Runtime::current());
        if let Some(location) = loaded.metadata_location {
            table = table.metadata_location(location);
        }
        table.build().map_err(|error| CatalogError::Unreachable(brief(&error).into()))
    }

    async fn create_namespaces(&self, namespace: &NamespaceIdent) -> Result<(), Failure> {
        for level in 1..=namespace.len() {
            let Ok(namespace) = NamespaceIdent::from_vec(namespace[..level].to_vec()) else { continue };
            let request = CreateNamespaceRequest { namespace, properties: HashMap::new() };
            unless_there(self.client.ask::<Value>(Method::POST, "namespaces", Some(&request)).await)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Connection for Rest {
    async fn load(&self, table: &TableIdent) -> Result<Option<Table>, CatalogError> {
        match self.client.ask::<LoadTableResult>(Method::GET, &path(table), None::<&Value>).await {
            Ok(loaded) => self.table(table, loaded).map(Some),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure.of_look()),
        }
    }

    async fn create(&self, table: &TableIdent, creation: TableCreation) -> Result<(), CatalogError> {
        let request = CreateTableRequest {
            name: creation.name,
            location: creation.location,
            schema: creation.schema,
            partition_spec: creation.partition_spec,
            write_order: creation.sort_order,
            stage_create: Some(false),
            properties: creation.properties,
        };
        let tables = format!("namespaces/{}/tables", namespace(table.namespace()));
        let ask = || async { unless_there(self.client.ask::<Value>(Method::POST, &tables, Some(&request)).await) };
        let created = match ask().await {
            Err(failure) if failure.is_missing() => match self.create_namespaces(table.namespace()).await {
                Ok(()) => ask().await,
                Err(failure) => Err(failure),
            },
            created => created,
        };
        created.map_err(Failure::of_look)
    }

    async fn commit(&self, looked: &Table, change: Change) -> Result<TableMetadataRef, Answer> {
        let last = looked.metadata().last_column_id();
        let request = CommitTableRequest {
            identifier: Some(looked.identifier().clone()),
            requirements: change.requirements,
            updates: change.updates,
        };
        let request = with_last_column(&request, last).map_err(|error| Answer::Unknown(error.to_string()))?;
        faults::pass(Point::CommitSent);
        let answer = self.client.ask::<CommitTableResponse>(Method::POST, &path(looked.identifier()), Some(&request)).await;
        match answer {
            Ok(committed) => Ok(Arc::new(committed.metadata)),
            Err(failure) => Err(failure.of_commit()),
        }
    }

    fn clock_ahead(&self) -> i64 {
        self.client.clock_ahead()
    }

    fn warehouse(&self) -> Option<(String, FileIO)> {
        if let CatalogConfig::R2(r2) = &self.config.catalog {
            // The keys that R2 vends come with a table.
            let keyed = self.config.storage.keys().is_some() || keys_of_token(r2).is_ok_and(|keys| keys.is_some());
            let bucket = format!("s3://{}/", r2.bucket);
            let io = storage::of(&self.config, &bucket, &self.properties).ok().filter(|_| keyed)?;
            return Some((bucket, io));
        }
        let configured = self.config.catalog.rest().and_then(|rest| rest.warehouse.as_ref());
        let said = self.properties.get("warehouse").or(configured).filter(|warehouse| warehouse.contains(":/"))?;
        Some((said.clone(), storage::of(&self.config, said, &self.properties).ok()?))
    }
}

/// With `last-column-id` in every new schema: the protocol has it no longer, and Nessie refuses one without.
fn with_last_column(request: &CommitTableRequest, last: i32) -> serde_json::Result<Value> {
    let mut json = serde_json::to_value(request)?;
    for (update, written) in request.updates.iter().zip(json["updates"].as_array_mut().into_iter().flatten()) {
        if let TableUpdate::AddSchema { schema } = update {
            written["last-column-id"] = schema.highest_field_id().max(last).into();
        }
    }
    Ok(json)
}

/// Names have letters, digits, `_` and `-` only; the protocol's separator of levels is the unit separator.
fn namespace(namespace: &NamespaceIdent) -> String {
    namespace.join("%1F")
}

fn path(table: &TableIdent) -> String {
    format!("namespaces/{}/tables/{}", namespace(table.namespace()), table.name())
}

fn unless_there<T>(created: Result<T, Failure>) -> Result<(), Failure> {
    match created {
        Err(failure) if !failure.is_there_already() => Err(failure),
        _ => Ok(()),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Broken(brief(&error).into())
    }
}
