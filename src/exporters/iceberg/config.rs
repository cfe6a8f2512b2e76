//! The exporter's section of the configuration.
//!
//! | file | what it holds |
//! |---|---|
//! | `address` | addresses of the web, and what of them is shown |
//! | `catalog` | SQLite, REST, R2: addresses and tokens |
//! | `storage` | S3 or local files: endpoint and keys |

mod address;
mod catalog;
mod storage;

use std::fmt;
use std::path::{Path, PathBuf, absolute};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

pub use catalog::{
    CatalogConfig, CatalogKind, OAuth2Config, R2CatalogConfig, RestCatalogConfig, SqlCatalogConfig, TlsConfig, Token,
};
pub use storage::{StaticKeys, StorageConfig, StorageKind};

use crate::config::{ByteSize, Span};
use crate::tables::added::is_name;
use crate::tables::{Allowed, Columns, Table};

/// What R2 takes as a namespace.
const R2_RESERVED: [&str; 3] = ["system", "examples", "information_schema"];
const R2_LEVELS: usize = 5;

/// For settings that come out of an environment variable, which may be unset. For `deserialize_with`.
fn none_if_empty<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()).map(T::from))
}

/// `exporters: { iceberg: … }`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IcebergConfig {
    pub catalog: CatalogConfig,
    /// Where the files lie; only beside a REST catalog.
    pub storage: StorageConfig,
    /// Where the four tables live; levels are separated by dots. Default `analytics`.
    pub namespace: Namespace,
    pub commit: CommitConfig,
    pub file: FileConfig,
    pub dead_letter: DeadLetterConfig,
    /// Columns that may be written raw: `client_ip` of every table that has one, or `invocations.tenant` of one table, which may be an added
    /// column. A pipeline that would write any other raw column is refused.
    pub allow_raw: Vec<ColumnName>,
}

/// When rows are cut into a commit: as soon as one of the two is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CommitConfig {
    /// Age of the oldest row in the log that is not committed. Default 60 s.
    pub max_age: Span,
    /// Bytes held in the log for one table; also the most that one commit takes. Default 512 MiB.
    pub max_bytes: ByteSize,
    /// How long a data file stays whose commit was overtaken by another for the same rows. Default 24 h; `floe wal inspect` lists them until then.
    pub orphan_grace: Span,
}

/// What becomes of rows while their table cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterConfig {
    /// When the oldest row has waited so long for a table that cannot be written, all its rows are moved out of the log into a file of dead letters, so that
    /// the log has room for the others. `floe replay` brings them back. Default: never, the rows hold the log.
    pub after: Option<Span>,
}

/// How data files are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FileConfig {
    /// Parquet bytes after which a file is closed. Default 128 MiB.
    pub target_bytes: ByteSize,
    /// Rows that are sorted together and make a row group. Default 131072.
    pub row_group_rows: RowGroupRows,
}

/// Rows in a row group: 1 to 16777216.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "u64")]
pub struct RowGroupRows(usize);

/// A namespace of one or more levels.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(Vec<String>);

/// The name of a column of at least one of the tables, or a table and a column of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct ColumnName(String);

/// `sqlite://` and the path of a file, relative to the working directory or absolute.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct SqliteUri(PathBuf);

/// A local directory, given as a path or as `file://` and an absolute path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct Warehouse(PathBuf);

impl IcebergConfig {
    /// The tables it writes, in words: equal for two exporters that write the same ones.
    pub fn destination(&self) -> String {
        format!("`{}.*` in {}", self.namespace.levels().join("."), self.catalog.place())
    }

    /// Settings that do not go together.
    pub fn contradiction(&self) -> Option<String> {
        if !self.catalog.is_shared() && self.storage != StorageConfig::default() {
            return Some("`storage` belongs to a REST catalog; the warehouse of `type: sql` is its own".to_owned());
        }
        if matches!(self.catalog, CatalogConfig::R2(_)) {
            let levels = self.namespace.levels();
            if let Some(name) = levels.first().filter(|name| R2_RESERVED.contains(&name.as_str())) {
                return Some(format!("R2 keeps the namespace `{name}` for itself; choose another `namespace`"));
            }
            if levels.len() > R2_LEVELS {
                return Some(format!("R2 takes {R2_LEVELS} levels of namespaces, found {} in `namespace`", levels.len()));
            }
        }
        self.storage.contradiction()
    }

    /// The columns that `allow_raw` names, in whichever tables have them.
    pub fn allowed(&self) -> Allowed {
        let mut allowed = Allowed::default();
        for name in &self.allow_raw {
            let columns = name.columns();
            if columns.is_empty() {
                allowed.added.insert(name.0.clone());
            }
            allowed.columns = allowed.columns.union(columns);
        }
        allowed
    }
}

impl Default for IcebergConfig {
    fn default() -> IcebergConfig {
        IcebergConfig {
            catalog: CatalogConfig::default(),
            storage: StorageConfig::default(),
            namespace: Namespace(vec!["analytics".to_owned()]),
            commit: CommitConfig::default(),
            file: FileConfig::default(),
            dead_letter: DeadLetterConfig::default(),
            allow_raw: Vec::new(),
        }
    }
}

impl Default for CommitConfig {
    fn default() -> CommitConfig {
        CommitConfig { max_age: Span::seconds(60), max_bytes: ByteSize::mib(512), orphan_grace: Span::seconds(86_400) }
    }
}

impl Default for FileConfig {
    fn default() -> FileConfig {
        FileConfig { target_bytes: ByteSize::mib(128), row_group_rows: RowGroupRows(131_072) }
    }
}

impl RowGroupRows {
    pub fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<u64> for RowGroupRows {
    type Error = String;

    fn try_from(rows: u64) -> Result<RowGroupRows, String> {
        match usize::try_from(rows) {
            Ok(rows @ 1..=16_777_216) => Ok(RowGroupRows(rows)),
            _ => Err(format!("expected 1 to 16777216 rows, found {rows}")),
        }
    }
}

impl Namespace {
    pub fn levels(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl TryFrom<String> for Namespace {
    type Error = String;

    fn try_from(text: String) -> Result<Namespace, String> {
        let levels: Vec<String> = text.split('.').map(str::to_owned).collect();
        let valid =
            |level: &String| !level.is_empty() && level.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if levels.iter().all(valid) {
            Ok(Namespace(levels))
        } else {
            Err(format!("expected a namespace of letters, digits, `_` and `-`, levels separated by dots, found `{text}`"))
        }
    }
}

impl ColumnName {
    /// None where it names an added column.
    fn columns(&self) -> Columns {
        match self.0.split_once('.').map(|(table, column)| (Table::from_name(table), column)) {
            Some((Some(table), column)) => Columns::one(table, column),
            _ => Columns::named(&self.0),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ColumnName {
    type Error = String;

    fn try_from(name: String) -> Result<ColumnName, String> {
        // Which columns are added is known only when the whole file is read; one that is not added is not missed.
        let of_table = name.split_once('.').is_some_and(|(table, column)| Table::from_name(table).is_some() && is_name(column));
        if !of_table && Columns::named(&name).is_empty() {
            return Err(format!(
                "expected the name of a column such as `client_ip`, found `{name}`, which no table has; name an added column with its table, \
                 such as `invocations.tenant`"
            ));
        }
        Ok(ColumnName(name))
    }
}

impl SqliteUri {
    /// # Errors
    /// When the working directory cannot be told.
    pub fn path(&self) -> std::io::Result<PathBuf> {
        absolute(&self.0)
    }
}

impl TryFrom<String> for SqliteUri {
    type Error = String;

    fn try_from(uri: String) -> Result<SqliteUri, String> {
        match uri.strip_prefix("sqlite://").or_else(|| uri.strip_prefix("sqlite:")) {
            Some(path) if !path.is_empty() && !path.contains('?') => Ok(SqliteUri(PathBuf::from(path))),
            _ => Err("expected `sqlite://` and the path of a file in `catalog.uri`".to_owned()),
        }
    }
}

impl From<Namespace> for String {
    fn from(namespace: Namespace) -> String {
        namespace.to_string()
    }
}

impl From<SqliteUri> for String {
    fn from(uri: SqliteUri) -> String {
        format!("sqlite://{}", uri.0.display())
    }
}

impl Warehouse {
    pub fn at(path: &Path) -> Warehouse {
        Warehouse(path.to_owned())
    }

    /// # Errors
    /// When the working directory cannot be told.
    pub fn path(&self) -> std::io::Result<PathBuf> {
        absolute(&self.0)
    }
}

impl TryFrom<String> for Warehouse {
    type Error = String;

    fn try_from(text: String) -> Result<Warehouse, String> {
        let path = text.strip_prefix("file://").unwrap_or(&text);
        let rooted = path.len() == text.len() || path.starts_with('/');
        if path.is_empty() || path.contains("://") || !rooted {
            return Err("expected a directory in `catalog.warehouse`, as a path or as `file:///…`".to_owned());
        }
        Ok(Warehouse(PathBuf::from(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str) -> Result<IcebergConfig, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_section_is_the_default() {
        assert_eq!(check("{}"), Ok(IcebergConfig::default()));
    }

    #[test]
    fn the_documented_section_parses() {
        let yaml = "catalog: { type: sql, uri: \"sqlite://floe-data/catalog.db\", warehouse: floe-data/warehouse }\n\
                    namespace: analytics\n\
                    commit: { max_age: 60s, max_bytes: 512MiB }\n\
                    file: { target_bytes: 128MiB, row_group_rows: 131072 }\n\
                    dead_letter: {}\n\
                    allow_raw: []\n";
        assert_eq!(check(yaml), Ok(IcebergConfig::default()));
    }

    #[test]
    fn what_is_not_known_is_refused_with_a_word_of_what_was_expected() {
        for (yaml, word) in [
            ("catalogue: {}", "catalogue"),
            ("catalog: { type: hive }", "hive"),
            ("catalog: { uri: \"postgres://x\" }", "sqlite://"),
            ("catalog: { warehouse: \"s3://bucket\" }", "directory"),
            ("file: { row_group_rows: 0 }", "1 to 16777216"),
            ("allow_raw: [ip]", "client_ip"),
            ("namespace: \"a..b\"", "namespace"),
        ] {
            let error = check(yaml).expect_err(yaml);
            assert!(error.contains(word), "{yaml}: {error}");
        }
    }

    #[test]
    fn namespaces_that_r2_refuses_are_refused() {
        let r2 = "catalog: { type: r2, account_id: a, bucket: b, token: t }\nnamespace: ";
        for (namespace, word) in [("system", "`system`"), ("examples.a", "`examples`"), ("a.b.c.d.e.f", "5 levels")] {
            let why = check(&format!("{r2}{namespace}")).expect("parses").contradiction().expect(namespace);
            assert!(why.contains(word), "{why}");
        }
        for namespace in ["analytics", "a.system", "a.b.c.d.e"] {
            assert_eq!(check(&format!("{r2}{namespace}")).expect("parses").contradiction(), None, "{namespace}");
        }
        assert_eq!(check("namespace: system").expect("parses").contradiction(), None);
    }

    #[test]
    fn raw_columns_are_allowed_by_name_in_every_table_that_has_them() {
        let config = check("allow_raw: [client_ip]").expect("parses");
        let tables: Vec<&str> = config.allowed().columns.iter().map(|(table, _)| table.name()).collect();
        assert_eq!(tables, ["invocations", "rate_limits"]);
    }

    #[test]
    fn a_raw_column_of_one_table_is_allowed_there_and_may_be_an_added_one() {
        let allowed = check("allow_raw: [rate_limits.client_ip, errors.tenant]").expect("parses").allowed();
        assert_eq!(allowed.columns, Columns::one(Table::RateLimits, "client_ip"));
        assert!(allowed.allows("errors.tenant") && !allowed.allows("invocations.tenant"));
        for name in ["tenant", "visits.tenant", "errors.", "errors.a.b"] {
            let error = check(&format!("allow_raw: [{name}]")).expect_err(name);
            assert!(error.contains(&format!("found `{name}`")), "{error}");
        }
    }
}
