//! The tables as Iceberg has them: how they are created, and how rows are written into one that exists.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{Field as ArrowField, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::io::FileIO;
use iceberg::spec::{
    NestedField, NullOrder, PrimitiveType, Schema, SchemaRef, SortDirection, SortField, SortOrder, TableMetadata, Transform,
    Type, UnboundPartitionField, UnboundPartitionSpec,
};
use iceberg::{Error, TableCreation};

use super::committer::Shape;
use crate::tables::added::added_fields;
use crate::tables::{ColumnType, Table};

/// The field doc of an added column.
const ADDED_DOC: &str = "Added by the configuration of floe";

/// The field id of the first partition field; the next one has the next id.
const FIRST_PARTITION_FIELD: i32 = 1000;

/// What other engines should know when they write or keep these tables. Old metadata files are theirs to remove: the library does not.
const PROPERTIES: [(&str, &str); 3] = [
    ("write.parquet.compression-codec", "zstd"),
    ("write.metadata.delete-after-commit.enabled", "true"),
    ("write.metadata.previous-versions-max", "100"),
];

/// One table as it was last looked at, and how rows get into it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) table: Table,
    pub(super) shape: Shape,
    pub(super) schema: SchemaRef,
    /// The same schema for Parquet, with field ids.
    pub(super) arrow: ArrowSchemaRef,
    /// What rows of the log are brought to: the columns of ours, then every other one of the table that floe could have added. What the
    /// configuration adds no longer is still written for the rows that have it.
    pub(super) rows: ArrowSchemaRef,
    /// For every field of the schema, the column of `rows` it takes; `None` is NULL.
    pub(super) sources: Vec<Option<usize>>,
    /// The partition fields: name and the column of ours.
    pub(super) partition: Vec<(String, usize)>,
    /// The sort order of the table, if our rows are sorted by it.
    pub(super) sort_order: Option<i32>,
    /// Where data files go, without a slash at the end.
    pub(super) location: String,
    pub(super) io: FileIO,
}

/// How the table is created: field ids in column order, every field optional and with its doc, identity partitions, format version 2.
/// `rows` is the schema of its rows, with what is added.
pub(super) fn creation(table: Table, rows: &ArrowSchema) -> Result<TableCreation, Error> {
    let own = table.columns().iter().map(|column| (column.name, column.kind, column.doc));
    let added = added_fields(table, rows).map(|(name, kind)| (name, kind, ADDED_DOC));
    let fields = own.chain(added).zip(1..).map(|((name, kind, doc), id)| field(id, name, kind, doc));
    let schema = Schema::builder().with_fields(fields).build()?;
    let spec = table.partition_by().iter().zip(FIRST_PARTITION_FIELD..).map(|(name, id)| UnboundPartitionField {
        source_id: field_id(table, name),
        field_id: Some(id),
        name: (*name).to_owned(),
        transform: Transform::Identity,
    });
    let spec = UnboundPartitionSpec::builder().with_spec_id(0).add_partition_fields(spec)?.build();
    let mut order = SortOrder::builder();
    order.with_order_id(1);
    for name in table.sort_by() {
        order.with_sort_field(sort_field(field_id(table, name)));
    }
    Ok(TableCreation::builder()
        .name(table.name().to_owned())
        .sort_order(order.build(&schema)?)
        .schema(schema)
        .partition_spec(spec)
        .properties(PROPERTIES.map(|(key, value)| (key.to_owned(), value.to_owned())))
        .build())
}

/// The current schema with the added columns that it lacks behind its own; `None` where it has them all. Ids are new ones: one that was
/// ever given away is never used again.
///
/// # Errors
/// Names a column that the table once had: somebody dropped or renamed it, and a new one of that name would hide its values.
pub(super) fn widened(table: Table, rows: &ArrowSchema, metadata: &TableMetadata) -> Result<Option<Schema>, String> {
    let schema = metadata.current_schema();
    let was_there = |name: &str| metadata.schemas_iter().any(|schema| schema.field_by_name(name).is_some());
    let missing: Vec<_> = added_fields(table, rows).filter(|(name, _)| schema.field_by_name(name).is_none()).collect();
    if let Some((name, kind)) = missing.iter().find(|(name, _)| was_there(name)) {
        return Err(format!(
            "column `{name}` was dropped or renamed by somebody else: add it to the table again, optional, as {}, or take it out of `map.columns`",
            primitive(*kind)
        ));
    }
    let missing: Vec<_> = missing
        .into_iter()
        .zip(metadata.last_column_id() + 1..)
        .map(|((name, kind), id)| field(id, name, kind, ADDED_DOC))
        .collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let fields = schema.as_struct().fields().iter().cloned().chain(missing);
    let identifiers = schema.identifier_field_ids();
    // Catalogs number schemas themselves, but for Nessie.
    let id = metadata.schemas_iter().map(|schema| schema.schema_id()).max().unwrap_or(0) + 1;
    let widened = Schema::builder().with_schema_id(id).with_fields(fields).with_identifier_field_ids(identifiers).build();
    widened.map(Some).map_err(|error| error.to_string())
}

impl Target {
    /// `rows` is the schema of the rows that come in, with what is added.
    ///
    /// # Errors
    /// Says which column or partition field of the table floe cannot write, and what it expects.
    pub(super) fn of(table: Table, rows: &ArrowSchema, metadata: &TableMetadata, io: &FileIO) -> Result<Target, String> {
        let schema = metadata.current_schema();
        let own = table.columns().iter().map(|column| (column.name, column.kind));
        for (name, kind) in own.chain(added_fields(table, rows)) {
            let expected = primitive(kind);
            let Some(field) = schema.field_by_name(name) else {
                return Err(format!("column `{name}` is missing: add it, optional, as {expected}"));
            };
            if !fits(&expected, &field.field_type) {
                return Err(format!("column `{name}` is {}, expected {expected}", field.field_type));
            }
        }
        let fields = schema.as_struct().fields();
        if let Some(field) = fields.iter().find(|field| field.required) {
            return Err(format!(
                "column `{}` is required, expected it to be optional: a row may have no value there",
                field.name
            ));
        }
        let rows = rows_of(table, schema);
        let sources: Vec<Option<usize>> = fields.iter().map(|field| rows.index_of(&field.name).ok()).collect();
        let ids: HashMap<i32, usize> =
            fields.iter().zip(&sources).filter_map(|(field, source)| Some((field.id, (*source)?))).collect();
        let arrow = schema_to_arrow_schema(schema).map_err(|error| error.to_string())?;
        Ok(Target {
            table,
            shape: Shape {
                table: metadata.uuid(),
                schema: metadata.current_schema_id(),
                spec: metadata.default_partition_spec_id(),
            },
            schema: Arc::clone(schema),
            arrow: Arc::new(arrow),
            rows: Arc::new(rows),
            sources,
            partition: partition(table, metadata, &ids)?,
            sort_order: sort_order(table, metadata, &ids),
            location: location(metadata),
            io: io.clone(),
        })
    }
}

fn field(id: i32, name: &str, kind: ColumnType, doc: &str) -> Arc<NestedField> {
    Arc::new(NestedField::optional(id, name, Type::Primitive(primitive(kind))).with_doc(doc))
}

/// See [`Target::rows`].
fn rows_of(table: Table, schema: &Schema) -> ArrowSchema {
    let others = schema.as_struct().fields().iter().filter(|field| table.column(&field.name).is_none());
    let others = others.filter_map(|field| Some((field.name.as_str(), column_type(&field.field_type)?)));
    let own = table.columns().iter().map(|column| (column.name, column.kind));
    ArrowSchema::new(own.chain(others).map(|(name, kind)| ArrowField::new(name, kind.arrow(), true)).collect::<Vec<_>>())
}

/// The type of ours that is written as this one.
fn column_type(found: &Type) -> Option<ColumnType> {
    use ColumnType::{Boolean, Date, Double, Int, Long, String, Timestamp};
    [String, Timestamp, Double, Boolean, Long, Int, Date].into_iter().find(|kind| fits(&primitive(*kind), found))
}

/// The Iceberg type of a column.
pub(super) fn primitive(kind: ColumnType) -> PrimitiveType {
    match kind {
        ColumnType::String => PrimitiveType::String,
        ColumnType::Timestamp => PrimitiveType::Timestamptz,
        ColumnType::Double => PrimitiveType::Double,
        ColumnType::Boolean => PrimitiveType::Boolean,
        ColumnType::Long => PrimitiveType::Long,
        ColumnType::Int => PrimitiveType::Int,
        ColumnType::Date => PrimitiveType::Date,
    }
}

/// A table made by others may have times without a zone; they are written as they are.
fn fits(expected: &PrimitiveType, found: &Type) -> bool {
    match found {
        Type::Primitive(PrimitiveType::Timestamp) => *expected == PrimitiveType::Timestamptz,
        Type::Primitive(found) => found == expected,
        _ => false,
    }
}

/// Field ids of the tables that floe creates: 1, 2, 3 … in column order.
fn field_id(table: Table, name: &str) -> i32 {
    table.column(name).and_then(|index| i32::try_from(index + 1).ok()).unwrap_or_default()
}

fn sort_field(source_id: i32) -> SortField {
    SortField { source_id, transform: Transform::Identity, direction: SortDirection::Ascending, null_order: NullOrder::First }
}

fn partition(table: Table, metadata: &TableMetadata, ids: &HashMap<i32, usize>) -> Result<Vec<(String, usize)>, String> {
    let mut fields = Vec::new();
    for field in metadata.default_partition_spec().fields() {
        let source = ids.get(&field.source_id).copied().filter(|_| field.transform == Transform::Identity);
        let is_level = |index: &usize| {
            table.columns().get(*index).is_some_and(|column| matches!(column.kind, ColumnType::Date | ColumnType::Int))
        };
        match source.filter(is_level) {
            Some(index) => fields.push((field.name.clone(), index)),
            None => {
                return Err(format!(
                    "partition field `{}` has transform {}, expected identity on {}",
                    field.name,
                    field.transform,
                    table.partition_by().join(" or ")
                ));
            }
        }
    }
    Ok(fields)
}

fn sort_order(table: Table, metadata: &TableMetadata, ids: &HashMap<i32, usize>) -> Option<i32> {
    let order = metadata.default_sort_order();
    let ours: Vec<Option<usize>> = table.sort_by().iter().map(|name| table.column(name)).collect();
    let theirs: Vec<Option<usize>> = order.fields.iter().map(|field| ids.get(&field.source_id).copied()).collect();
    let ascending = order.fields.iter().all(|field| *field == sort_field(field.source_id));
    // What is sorted by (a, b) is sorted by (a) as well.
    let sorted = !theirs.is_empty() && ours.starts_with(&theirs) && ascending;
    sorted.then(|| i32::try_from(order.order_id).ok()).flatten()
}

fn location(metadata: &TableMetadata) -> String {
    let path = metadata.properties().get("write.data.path");
    let default = || format!("{}/data", metadata.location().trim_end_matches('/'));
    path.map_or_else(default, |path| path.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use iceberg::spec::TableMetadataBuilder;

    use super::*;
    use crate::tables::Additions;

    fn metadata(creation: TableCreation) -> TableMetadata {
        let creation = TableCreation { location: Some("file:///w/t".to_owned()), ..creation };
        TableMetadataBuilder::from_table_creation(creation).expect("valid").build().expect("valid").metadata
    }

    fn check(table: Table, change: impl FnOnce(&mut TableCreation)) -> Result<Target, String> {
        let mut creation = creation(table, &table.schema()).expect("valid");
        change(&mut creation);
        Target::of(table, &table.schema(), &metadata(creation), &FileIO::new_with_memory())
    }

    fn with_fields(change: impl Fn(&mut Vec<NestedField>)) -> Schema {
        let schema = creation(Table::Errors, &Table::Errors.schema()).expect("valid").schema;
        let mut fields: Vec<NestedField> = schema.as_struct().fields().iter().map(|field| (**field).clone()).collect();
        change(&mut fields);
        Schema::builder().with_fields(fields.into_iter().map(Arc::new)).build().expect("valid")
    }

    #[test]
    fn tables_are_created_with_ids_docs_partitions_and_order() {
        for table in Table::ALL {
            let metadata = metadata(creation(table, &table.schema()).expect("valid"));
            for (column, id) in table.columns().iter().zip(1..) {
                let field = metadata.current_schema().field_by_id(id).expect("there");
                assert_eq!((field.name.as_str(), field.doc.as_deref(), field.required), (column.name, Some(column.doc), false));
            }
            let spec: Vec<(&str, i32)> =
                metadata.default_partition_spec().fields().iter().map(|field| (field.name.as_str(), field.field_id)).collect();
            let expected: Vec<(&str, i32)> = table.partition_by().iter().copied().zip(1000..).collect();
            assert_eq!(spec, expected);
            assert_eq!(metadata.default_sort_order().fields.len(), 2);
        }
    }

    #[test]
    fn a_table_that_floe_created_fits() {
        for table in Table::ALL {
            let target = check(table, |_| {}).expect("fits");
            assert_eq!(target.sources, (0..table.columns().len()).map(Some).collect::<Vec<_>>());
            assert_eq!(target.partition.len(), table.partition_by().len());
            assert_eq!((target.sort_order, target.location.as_str()), (Some(1), "file:///w/t/data"));
        }
    }

    #[test]
    fn a_column_of_another_type_is_named() {
        let schema = with_fields(|fields| *fields[1].field_type = Type::Primitive(PrimitiveType::Long));
        let error = check(Table::Errors, |creation| creation.schema = schema).expect_err("does not fit");
        assert_eq!(error, "column `invocation_id` is long, expected string");
    }

    #[test]
    fn a_missing_or_required_column_is_named() {
        let schema = with_fields(|fields| drop(fields.remove(8)));
        let error = check(Table::Errors, |creation| creation.schema = schema).expect_err("does not fit");
        assert!(error.starts_with("column `version` is missing"), "{error}");
        let schema = with_fields(|fields| fields[0].required = true);
        let error = check(Table::Errors, |creation| creation.schema = schema).expect_err("does not fit");
        assert!(error.starts_with("column `error_id` is required"), "{error}");
    }

    #[test]
    fn a_column_of_others_is_null_and_a_time_without_zone_is_taken() {
        let schema = with_fields(|fields| {
            fields.push(NestedField::optional(11, "price", Type::Primitive(PrimitiveType::Float)));
            *fields[3].field_type = Type::Primitive(PrimitiveType::Timestamp);
        });
        let target = check(Table::Errors, |creation| creation.schema = schema).expect("fits");
        assert_eq!(target.sources.last(), Some(&None));
    }

    fn with_tenant(kind: ColumnType) -> ArrowSchema {
        let mut additions = Additions::default();
        additions.add(Table::Errors, "tenant", kind).expect("new");
        ArrowSchema::clone(&additions.schemas()[Table::Errors.index()])
    }

    #[test]
    fn an_added_column_is_made_with_the_table_or_behind_its_own_with_an_id_never_used() {
        let rows = with_tenant(ColumnType::String);
        let made = metadata(creation(Table::Errors, &rows).expect("valid"));
        assert_eq!(made.current_schema().field_by_name("tenant").expect("there").id, 11);
        assert_eq!(widened(Table::Errors, &rows, &made).expect("valid"), None);

        let live = metadata(creation(Table::Errors, &Table::Errors.schema()).expect("valid"));
        let dropped = live.into_builder(None).add_current_schema(with_fields(|fields| {
            fields.push(NestedField::optional(11, "dropped", Type::Primitive(PrimitiveType::Long)));
        }));
        let dropped = dropped.and_then(|builder| builder.set_current_schema(0)).expect("valid").build().expect("valid").metadata;
        let schema = widened(Table::Errors, &rows, &dropped).expect("valid").expect("wider");
        assert_eq!(schema.field_by_name("tenant").expect("there").id, 12);
        assert_eq!(schema.as_struct().fields()[..10], dropped.current_schema().as_struct().fields()[..]);
    }

    #[test]
    fn an_added_column_of_another_type_is_named_and_one_of_yore_is_still_written() {
        let made = metadata(creation(Table::Errors, &with_tenant(ColumnType::String)).expect("valid"));
        let io = FileIO::new_with_memory();
        let error = Target::of(Table::Errors, &with_tenant(ColumnType::Long), &made, &io).expect_err("does not fit");
        assert_eq!(error, "column `tenant` is string, expected long");
        let target = Target::of(Table::Errors, &Table::Errors.schema(), &made, &io).expect("fits");
        assert_eq!(target.sources.last(), Some(&Some(10)));
        assert_eq!(target.rows.field(10).name(), "tenant");
    }

    #[test]
    fn another_transform_is_named_and_another_order_is_not_claimed() {
        let spec = UnboundPartitionSpec::builder().add_partition_field(10, "month", Transform::Month).expect("valid").build();
        let error = check(Table::Errors, |creation| creation.partition_spec = Some(spec)).expect_err("does not fit");
        assert_eq!(error, "partition field `month` has transform month, expected identity on date");
        let target = check(Table::Errors, |creation| creation.sort_order = None).expect("fits");
        assert_eq!(target.sort_order, None);
    }
}
