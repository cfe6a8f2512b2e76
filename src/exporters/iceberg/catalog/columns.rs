//! Columns that the configuration adds, in a table that lacks them: one more schema, by a commit pinned to the version that was looked at.
//!
//! Nothing else of the table changes: its fields keep their ids, its files their meaning; rows that were there have NULL.

use iceberg::table::Table as IcebergTable;
use iceberg::{TableRequirement, TableUpdate};
use tracing::info;

use super::TableCatalog;
use super::pinned::Change;
use crate::exporters::iceberg::committer::{Answer, CatalogError};
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
            let Some(schema) = widened.map_err(CatalogError::Incompatible)? else {
                return Ok(table);
            };
            let metadata = table.metadata();
            let requirements = vec![
                TableRequirement::UuidMatch { uuid: metadata.uuid() },
                TableRequirement::CurrentSchemaIdMatch { current_schema_id: metadata.current_schema_id() },
                TableRequirement::LastAssignedFieldIdMatch { last_assigned_field_id: metadata.last_column_id() },
            ];
            let last = metadata.last_column_id();
            let added: Vec<_> = schema.as_struct().fields().iter().filter(|field| field.id > last).cloned().collect();
            let updates = vec![TableUpdate::AddSchema { schema }, TableUpdate::SetCurrentSchema { schema_id: LAST_ADDED }];
            let connection = self.connector.get().await?;
            match connection.commit(&table, Change { requirements, updates }).await {
                // What the catalog holds now is another question, and so is what became of a commit that met another one.
                Ok(_) => {
                    for field in added {
                        info!(table = %self.ident, column = field.name, id = field.id, kind = %field.field_type, "a column was added to the table");
                    }
                }
                Err(Answer::Conflict) => {}
                Err(answer) => return Err(unanswered(answer)),
            }
        }
        Err(CatalogError::Unreachable("others change the table again and again while its columns are added".into()))
    }
}

/// What an answer to a change of the schema means for the look that asked for it.
fn unanswered(answer: Answer) -> CatalogError {
    match answer {
        Answer::Denied(why) => CatalogError::Denied(why.into()),
        Answer::Refused(why) => CatalogError::Incompatible(format!("the catalog refuses the added columns: {why}")),
        Answer::TooMany { retry_after } => {
            CatalogError::TooMany { retry_after, why: "the catalog asks for fewer commits".to_owned() }
        }
        Answer::Unknown(why) => CatalogError::Unreachable(why.into()),
        Answer::Conflict | Answer::Committed(_) => CatalogError::Unreachable("others change the table".into()),
    }
}
