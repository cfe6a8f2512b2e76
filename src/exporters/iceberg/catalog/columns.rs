//! Columns that the configuration adds, in a table that lacks them: one more schema, by a commit pinned to the version that was looked at.
//!
//! Nothing else of the table changes: its fields keep their ids, its files their meaning; rows that were there have NULL.

use iceberg::table::Table as IcebergTable;
use iceberg::{ErrorKind, TableRequirement, TableUpdate};

use super::pinned::Pinned;
use super::{TableCatalog, unreachable};
use crate::exporters::iceberg::committer::CatalogError;
use crate::exporters::iceberg::schema;

/// Others may change the table meanwhile; after so many times the next look tries again.
const TRIES: usize = 4;
/// The schema that the same commit adds.
const LAST_ADDED: i32 = -1;

impl TableCatalog {
    /// The table with every added column. A column of that name with another type stays as it is: [`schema::Target::of`] names it.
    pub(super) async fn load_widened(&self) -> Result<IcebergTable, CatalogError> {
        for _ in 0..TRIES {
            let table = self.load().await?;
            let widened = schema::widened(self.table, &self.rows, table.metadata());
            let Some(schema) = widened.map_err(|error| CatalogError::Incompatible(error.to_string()))? else {
                return Ok(table);
            };
            let metadata = table.metadata();
            let requirements = vec![
                TableRequirement::UuidMatch { uuid: metadata.uuid() },
                TableRequirement::CurrentSchemaIdMatch { current_schema_id: metadata.current_schema_id() },
                TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: metadata.last_column_id() },
            ];
            let updates = vec![TableUpdate::AddSchema { schema }, TableUpdate::SetCurrentSchema { schema_id: LAST_ADDED }];
            let connection = self.connector.get().await?;
            let pinned = Pinned { looked: &table, connection: connection.as_ref() };
            match pinned.apply(requirements, updates).await {
                // What the catalog holds now is another question, and so is what became of a commit that met another one.
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::CatalogCommitConflicts => {}
                Err(error) => return Err(unreachable(&error)),
            }
        }
        Err(CatalogError::Unreachable("others change the table again and again while its columns are added".to_owned()))
    }
}
